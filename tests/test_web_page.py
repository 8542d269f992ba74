"""The page of `minidiff export web` in a real Chromium: the same numbers as Python's, from a folder that talks to nobody."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from chromium import needs_chromium
from PIL import Image

from minidiff.data.world.captions import LANGS, describe
from minidiff.data.world.random_scenes import scene_at
from minidiff.pipelines import export_onnx
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.png_metadata import read_png
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pretrained import zoo
from minidiff.studio import export_web
from minidiff.studio.export_web import WebExport
from minidiff.text.tokenizer import Tokenizer, words_of

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: no browser tests")
pytest.importorskip("onnxscript", reason="onnxscript is not installed: no page to test")
expect = sync_api.expect

PATIENCE = 60_000  # ms; the machine may have other work
expect.set_options(timeout=PATIENCE)
PROMPT = "a small blue house"
VIEWS = ("draw", "steps", "words", "change", "seeds", "teacher")
NASTY = [
    "", "   ", "Ngôi  NHÀ\u00a0đỏ\u2003\x1c\x85x", "e\u0302\u0323 ê\u0323 Ệ", "İstanbul ΟΔΟΣ ΣΑΣ ß ǅ K Å",
    "\ufeffa\ufeff b\u200bc\u180e", "a\x00b\x1f\x7f",
    "it's we'll I'D ''' 'tis don’t", "a1b22 333 ½ ٣ Ⅷ", "你好 世界 🙂👩‍👩‍👧 नमस्ते",
    "<eos> <pad>", "a, b. c! (d) [e] {f} “g” «h» …—", "x" * 3000,
    "đ" * 500 + " " + "ệ" * 500,
    "\ud800 a \udc00", "a" + "\u0301" * 50, "\u1e9e\u0130\u0049\u0307", "mot   ngoi\tsao\r\ndo\x0b\x0c lon",
]  # fmt: skip
pytestmark = [*needs_chromium, pytest.mark.timeout(600)]  # the first test waits for the export, a minute or more


class Files(SimpleHTTPRequestHandler):
    """Any static host, without its log."""

    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript", ".wasm": "application/wasm"}

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[[Path], str]]:
    """Serves a folder, and says where."""
    servers: list[ThreadingHTTPServer] = []

    def start(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(folder)))
        servers.append(server)
        Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def pages(student_zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The export of the tiny student with int8 and with float16 weights; tensors are large from 256 numbers on."""
    packages = Path(__file__).parents[1] / "data" / "packages"
    made, traced = {}, tmp_path_factory.mktemp("traced")

    def write_once(path: Path, *how: Any, half: bool) -> None:
        """Tracing a network takes long, and gives the same for both."""
        if not (traced / path.name).exists():
            export_onnx.write_network(traced / path.name, *how, half)
        shutil.copy(traced / path.name, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIDIFF_ZOO", str(student_zoo))
        patch.setattr(export_web, "LARGE", 256)
        patch.setattr(export_web, "write_network", write_once)
        for weights in ("int8", "float16"):
            made[weights] = tmp_path_factory.mktemp("page") / weights
            how = WebExport(made[weights], weights=weights, packages=packages, course="course")  # type: ignore[arg-type]
            export_web.export_web(how)
    return made


@pytest.fixture(scope="module")
def address(pages: dict[str, Path], serve: Callable[[Path], str]) -> str:
    return serve(pages["int8"])


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    yield from visitor(browser)


def visitor(browser: Any, **settings: Any) -> Iterator[Any]:
    """Somebody who was never here. A request to any other place, a script's error, and whatever the policy forbids fail the
    test at its end; `page.allowed` holds texts of console errors that it expects."""
    usual = {"locale": "en-GB", "accept_downloads": True, "viewport": {"width": 1280, "height": 900}}
    context = browser.new_context(**{**usual, **settings})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    strangers: list[str] = []
    errors: list[str] = []
    page.allowed = []
    ours = ("http://127.0.0.1:", "data:", "blob:")
    context.on("request", lambda request: None if request.url.startswith(ours) else strangers.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    yield page
    context.close()
    assert not strangers
    assert not [error for error in errors if not any(text in error for text in page.allowed)]


def wait(page: Any, script: str, seconds: float = 60) -> Any:
    """Until a script gives something true. (Playwright's own waiting needs eval, which the page's policy forbids.)"""
    end, found = time.monotonic() + seconds, None
    while not found:
        try:
            found = page.evaluate(script)
        except sync_api.Error as error:
            if "context was destroyed" not in str(error):  # the page loads itself again
                raise
        assert found or time.monotonic() < end, f"{script} stays {found!r}; the page says {page.locator('body').inner_text()!r}"
        page.wait_for_timeout(30)
    return found


def opened(page: Any, address: str) -> None:
    """The page, when it has drawn its first picture."""
    page.goto(address)
    wait(page, "window.minidiff && (minidiff.last !== null || !document.getElementById('alert').hidden)")
    assert page.locator("#alert").is_hidden(), page.locator("#alert").inner_text()


def finished(page: Any, prompt: str, seed: int = 42, who: str = "student") -> np.ndarray:
    """The pixels (H, W, 3) of a drawing, once it is there."""
    want = json.dumps({"prompt": prompt, "seed": seed, "who": who})
    script = f"""(() => {{ const last = minidiff.last, want = {want};
        return Object.keys(want).every((key) => last?.[key] === want[key]) && Array.from(last.image.data); }})()"""
    rgba = wait(page, script)
    side = int((len(rgba) / 4) ** 0.5)
    return np.array(rgba, dtype=np.int64).reshape(side, side, 4)[..., :3]


def drawn_by(pipeline: TextToImage, prompt: str, seed: int) -> np.ndarray:
    image = pipeline(pipeline.request(prompt, seed=seed, expand_prompt=False))[0]
    return np.asarray(image, dtype=np.int64)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).mean())


# --------------------------------------------------------------------------------------------------------- the same numbers


@pytest.mark.parametrize(("weights", "most"), [("int8", 4.0), ("float16", 2.0)])
def test_the_pictures_are_python_s(
    weights: str, most: float, page: Any, pages: dict[str, Path], serve: Callable[[Path], str], student_zoo: Path
) -> None:
    opened(page, serve(pages[weights]))
    for seed, prompt in ((42, PROMPT), (7, "một ngôi sao đỏ lớn")):
        page.locator("#seed").fill(str(seed))
        page.locator("#prompt").fill(prompt)
        page.locator("#prompt").press("Enter")
        got = finished(page, prompt, seed)
        wanted = drawn_by(load_pipeline("world-dit-4", "cpu", "float32", root=student_zoo), prompt, seed)
        assert difference(got, wanted) <= most
        plain = drawn_by(load_pipeline("world-dit", "cpu", "float32", root=student_zoo), prompt, seed)
        assert difference(wanted, plain) > 2 * most  # so that another network, or none, would be noticed
    shown = page.evaluate("""(() => { const canvas = document.querySelector('#draw canvas');
        return Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data); })()""")
    assert (np.array(shown).reshape(*got.shape[:2], 4)[..., :3] == got).all()
    page.locator("#tab-teacher").click()
    assert difference(finished(page, prompt, seed, "teacher"), plain) <= most
    expect(page.locator("#teacher figcaption").last).to_contain_text("40 evaluations")


def test_the_tokenizer_is_python_s(page: Any, address: str) -> None:
    tokenizer = Tokenizer.load(zoo.path("tokenizer", zoo.SHIPPED))
    rng = random.Random(0)
    texts = [describe(scene_at(k), LANGS[k % len(LANGS)], rng) for k in range(10_000)] + NASTY
    model = json.loads(tokenizer.published())["model"]
    about = {"tokenizer": model, "words": sorted(tokenizer.words), "max_tokens": tokenizer.max_tokens}
    opened(page, address)
    script = """async ([about, texts]) => { const { Tokenizer, normalise, wordsOf } = await import("./js/tokenizer.js");
        const reader = new Tokenizer(about), whole = texts.map((text) => JSON.parse(text));
        return whole.map((text) => [reader.pieces(text), reader.read(text).unread, wordsOf(text), normalise(text)]); }"""
    found = page.evaluate(script, [about, [json.dumps(text) for text in texts]])
    for text, (ids, unread, words, _) in zip(texts, found, strict=True):
        assert ids == tokenizer._pieces(text), text
        assert unread == tokenizer.unread(text), text
        assert words == words_of(text), text


def test_the_noise_is_torch_s(page: Any, address: str) -> None:
    opened(page, address)
    for seed in (0, 1, 42, 2**31 - 1):
        got = page.evaluate("async (seed) => Array.from((await import('./js/randn.js')).randn(seed, 4096))", seed)
        wanted = torch.randn(4096, generator=torch.Generator().manual_seed(seed))
        np.testing.assert_allclose(got, wanted.numpy(), atol=1e-6)


def test_the_png_says_how_it_was_made(page: Any, address: str, student_zoo: Path) -> None:
    opened(page, address)
    for prompt, chunk in (("một ngôi sao đỏ", b"iTXtparameters"), (PROMPT, b"tEXtparameters")):
        page.locator("#prompt").fill(prompt)
        pixels = finished(page, prompt)
        expect(page.locator("#download")).to_be_enabled()
        with page.expect_download() as saved:
            page.locator("#download").click()
        assert saved.value.suggested_filename == "minidiff-42.png"
        data = Path(saved.value.path()).read_bytes()
        image = Image.open(io.BytesIO(data))
        assert (np.asarray(image) == pixels).all() and chunk in data
        said = image.info["parameters"]
        assert said.startswith(f"{prompt}\nSteps: 4, Sampler: DDIM, CFG scale: 1, Seed: 42, Size: 32x32, ")
        assert f"Model hash: {zoo.entry('world-dit', student_zoo)['sha256'][:10]}, Model: world-dit-4, " in said
        assert read_png(io.BytesIO(data))["prompt"] == prompt


# ------------------------------------------------------------------------------------------------------------ as one meets it


def test_a_small_folder_under_any_address(page: Any, pages: dict[str, Path], serve: Callable[[Path], str]) -> None:
    opened(page, serve(pages["int8"].parent) + "int8/")
    names = {path.relative_to(pages["int8"]).as_posix() for path in pages["int8"].rglob("*") if path.is_file()}
    assert {"index.html", "style.css", "sw.js", "js/app.js", "js/views/draw.js", "model/about.json"} <= names
    assert "@STAMP@" not in (pages["int8"] / "sw.js").read_text("utf-8")


def test_it_works_without_a_network_after_the_first_load(
    page: Any, pages: dict[str, Path], serve: Callable[[Path], str]
) -> None:
    opened(page, serve(pages["int8"]))
    page.context.set_offline(True)
    page.evaluate("delete window.minidiff")
    page.reload()
    wait(page, "window.minidiff?.last")
    page.locator("#prompt").fill("a red star")
    finished(page, "a red star")


def test_a_new_export_replaces_the_kept_one(
    page: Any, pages: dict[str, Path], serve: Callable[[Path], str], tmp_path: Path
) -> None:
    folder = shutil.copytree(pages["int8"], tmp_path / "page")
    opened(page, serve(folder))
    about = folder / "model/about.json"
    about.write_text(about.read_text("utf-8").replace('"version": "', '"version": "new-'), encoding="utf-8")
    worker = folder / "sw.js"
    worker.write_text(worker.read_text("utf-8").replace("CACHE = `${OURS}", "CACHE = `${OURS}new "), encoding="utf-8")
    page.reload()  # shows what was kept, and finds the new one
    wait(page, "navigator.serviceWorker.getRegistration().then((found) => Boolean(found.waiting))")
    page.reload()
    wait(page, "window.minidiff?.engine?.about?.version.startsWith('new-')")
    assert len(page.evaluate("caches.keys()")) == 1


def test_the_last_of_several_prompts_wins(page: Any, address: str, student_zoo: Path) -> None:
    opened(page, address)
    for prompt in ("a big", "a big red", "at night", "ban đêm"):
        page.locator("#prompt").fill(prompt)
        page.locator("#prompt").press("Enter")
    got = finished(page, "ban đêm")
    page.wait_for_timeout(500)
    wanted = drawn_by(load_pipeline("world-dit-4", "cpu", "float32", root=student_zoo), "ban đêm", 42)
    assert difference(got, wanted) <= 4 and page.evaluate("minidiff.last.prompt") == "ban đêm"
    page.locator("#prompt").fill("")
    page.locator("#prompt").press_sequentially("a red star", delay=20)  # one drawing, not one for each letter
    finished(page, "a red star")
    assert page.evaluate("[...minidiff.engine.kept.values()].every((one) => one.image && one.steps.length === 4)")
    assert not page.evaluate("[...minidiff.engine.kept.values()].some((one) => one.prompt === 'a red')")


def test_every_view_shows_its_pictures(page: Any, address: str) -> None:
    opened(page, address)
    page.locator("#prompt").fill(PROMPT)
    finished(page, PROMPT)
    page.locator("#tab-steps").click()
    expect(page.locator("#strip button")).to_have_count(4)
    page.locator("#steps input").fill("1")
    expect(page.locator("#steps .scrub-text")).to_have_text("Step 1 of 4")
    wait(page, "document.getElementById('noisy').width === 32 && document.getElementById('expected').width === 32")
    page.locator("#tab-words").click()
    expect(page.locator("#words .scrub-text")).to_have_text("Step 1 of 4")  # the same step
    page.get_by_role("button", name="start", exact=True).click()
    expect(page.locator("#tokens [aria-pressed=true]")).to_have_text("start")
    assert page.locator("#most").inner_text().endswith("%")
    page.locator("#tab-change").click()
    expect(page.locator("#second")).to_have_value("a small red house")
    finished(page, "a small red house")
    expect(page.locator("#change mark")).to_have_text(["blue", "red"])
    page.locator("#tab-seeds").click()
    finished(page, PROMPT, 45)
    page.get_by_role("button", name="Keep seed 44").click()
    expect(page.locator("#seed")).to_have_value("44")
    expect(page.locator("#draw")).to_be_visible()
    assert page.locator("#lesson a").get_attribute("href") == "course/en/00_tour.ipynb"


def test_words_that_it_never_met_are_marked(page: Any, address: str) -> None:
    opened(page, address)
    page.locator("#prompt").fill("a red dragon")
    expect(page.locator("#note")).to_contain_text("Never seen in training: dragon")
    page.locator("#tab-words").click()
    expect(page.locator("#tokens .unknown")).to_have_count(1)
    assert "".join(page.locator("#tokens .unknown button").all_inner_texts()).lstrip("␣") == "dragon"


def test_what_cannot_be_read_is_said(page: Any, address: str) -> None:
    opened(page, address)
    long = "a red star " * 910
    page.locator("#prompt").fill(long)
    finished(page, long.strip())
    expect(page.locator("#note")).to_contain_text("The model reads 62 tokens. It does not see the end")
    page.locator("#prompt").fill("   ")
    expect(page.locator("#status")).to_have_text("Write what to draw, and it will appear here.")
    page.locator("#prompt").fill(PROMPT)
    for seed in ("-1", "2147483648", "many"):
        page.locator("#seed").fill(seed)
        page.locator("#seed").press("Enter")
        expect(page.locator("#alert")).to_contain_text("whole number from 0 to 2147483647")
    page.locator("#seed").fill("2147483647")
    finished(page, PROMPT, 2147483647)
    expect(page.locator("#alert")).to_be_hidden()
    page.locator("#dice").click()
    wait(page, "minidiff.last.seed !== 2147483647")


def test_what_is_typed_is_never_run(page: Any, address: str) -> None:
    evil = '<img src=x onerror="window.hit=1">${window.hit=1}'
    opened(page, address)
    for view in VIEWS[:4]:
        page.locator(f"#tab-{view}").click()
        page.locator("#prompt").fill(evil)
        finished(page, evil)
    assert page.evaluate("window.hit") is None


def test_the_language_is_switched_and_kept(page: Any, address: str) -> None:
    opened(page, address)
    page.locator("#prompt").fill("a dragon")
    expect(page.locator("#note")).to_contain_text("Never seen in training")
    page.locator("#tab-teacher").click()
    finished(page, "a dragon", who="teacher")
    page.locator("#language").click()
    assert page.evaluate("document.documentElement.lang") == "vi"
    words = page.locator("body").inner_text()
    for text in ("Viết một câu", "Vẽ", "Chưa gặp khi huấn luyện", "Mô hình thầy", "giây", "Bốn seed"):
        assert text in words, text
    for text in ("Draw", "Picture", "Never seen", "Teacher", "evaluations", "What was lost"):
        assert text not in words, text
    page.reload()
    wait(page, "window.minidiff?.last")
    assert page.evaluate("document.documentElement.lang") == "vi"
    expect(page.locator("#go")).to_have_text("Vẽ")


def test_both_languages_have_every_text(page: Any, address: str) -> None:
    opened(page, address)
    texts = page.evaluate("async () => (await import('./js/texts.js')).TEXTS")
    for key, both in texts.items():
        assert set(both) == {"en", "vi"} and all(both.values()), key
        blanks = [sorted(part.split("}")[0] for part in text.split("{")[1:]) for text in both.values()]
        assert blanks[0] == blanks[1], key
    marked = "[...document.querySelectorAll('[data-text], [data-label]')]"
    used = set(page.evaluate(f"{marked}.flatMap((e) => Object.values(e.dataset))"))
    assert used - {*VIEWS} <= set(texts) and texts


def test_vietnamese_phone_in_the_dark(browser: Any, address: str) -> None:
    """The narrowest phone: nothing is cut off at the side in any view."""
    phone = {"viewport": {"width": 360, "height": 740}, "locale": "vi-VN", "color_scheme": "dark", "has_touch": True}
    for page in visitor(browser, **phone):
        opened(page, address)
        assert page.evaluate("document.documentElement.lang") == "vi"
        for view in VIEWS:
            page.locator(f"#tab-{view}").click()
            wait(page, "document.getElementById('bar').value === 0")
            assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), view
        paper = "getComputedStyle(document.body).backgroundColor"
        dark = page.evaluate(paper)
        page.locator("#theme").click()
        assert page.evaluate(paper) != dark


def test_keyboard_alone_suffices(page: Any, address: str) -> None:
    opened(page, address)
    page.locator("#prompt").focus()
    seen = []
    for _ in range(14):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert {"seed", "dice", "go", "tab-draw", "download"} <= set(seen)
    assert "tab-steps" not in seen  # one stop for all tabs, then arrows
    page.locator("#tab-draw").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-steps"
    expect(page.locator("#steps")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#teacher")).to_be_visible()


def test_every_control_has_a_name(page: Any, address: str) -> None:
    opened(page, address)
    script = """() => [...document.querySelectorAll('input, textarea, button, a, canvas, progress')].filter((e) =>
        e.offsetParent && !(e.labels && e.labels.length) && !e.ariaLabel && !e.textContent.trim()
        && !e.closest('button[aria-label]') && e.getAttribute('aria-hidden') !== 'true').map((e) => e.outerHTML)"""
    for view in VIEWS:
        page.locator(f"#tab-{view}").click()
        wait(page, "/evaluations|All drawn/.test(document.getElementById('status').textContent)")
        assert page.evaluate(script) == []


# --------------------------------------------------------------------------------------------------------------- troubles


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "a bit of the weights": (lambda folder: flip(folder / "model/network.bin"), "The file network.bin is damaged"),
    "a bit of the runtime": (lambda folder: flip(folder / "ort" / export_web.RUNTIME_FILES[-1]), "threaded.wasm is damaged"),
    "cut off": (lambda folder: os.truncate(folder / "model/vae.bin", 100), "The file vae.bin is damaged"),
    "not there": (lambda folder: (folder / "model/text.onnx").unlink(), "The file text.onnx could not be fetched"),
    "no JSON": (lambda folder: (folder / "model/about.json").write_text("{"), "The file about.json is damaged"),
    "another format": (lambda folder: (folder / "model/about.json").write_text('{"format": "x"}'), "another format (x)"),
    "no about": (lambda folder: (folder / "model/about.json").unlink(), "about.json could not be fetched"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_folders_are_one_sentence(
    damage: str, page: Any, pages: dict[str, Path], serve: Callable[[Path], str], tmp_path: Path
) -> None:
    folder = shutil.copytree(pages["int8"], tmp_path / "page")
    change, says = DAMAGES[damage]
    change(folder)
    page.allowed = ["404"]
    page.goto(serve(folder))
    expect(page.locator("#alert")).to_contain_text(says)
    expect(page.locator("#loading")).to_be_hidden()
    page.locator("#language").click()
    expect(page.locator("#alert")).not_to_contain_text(says)
    expect(page.locator("#prompt")).to_be_visible()


def test_a_damaged_copy_is_fetched_again(
    page: Any, pages: dict[str, Path], serve: Callable[[Path], str], tmp_path: Path
) -> None:
    folder = shutil.copytree(pages["int8"], tmp_path / "page")
    flip(folder / "model/network.bin")
    page.goto(address := serve(folder))
    expect(page.locator("#alert")).to_contain_text("The file network.bin is damaged")
    flip(folder / "model/network.bin")  # which mends it
    opened(page, address)


def broken(body: str, route: Any) -> None:
    route.fulfill(body=body, content_type="text/javascript")


@pytest.mark.parametrize(
    ("found", "instead", "says"),
    [
        ("WebAssembly.validate(SIMD)", "false", "has no SIMD"),
        ('typeof WebAssembly !== "object"', "true", "has no WebAssembly"),
        ("await painter.prepare(", "throw new RangeError('Out of memory'); await painter.prepare(", "not enough memory"),
        ("let latest = 0;", "let latest = ;", "Something went wrong"),
    ],
)
def test_browsers_that_cannot_run_it_are_told(found: str, instead: str, says: str, browser: Any, address: str) -> None:
    worker = (export_web.PAGE / "js/worker.js").read_text("utf-8")
    assert found in worker
    for page in visitor(browser, service_workers="block"):
        page.allowed = ["SyntaxError", "registration blocked by Playwright"]
        page.route("**/js/worker.js", partial(broken, worker.replace(found, instead)))
        page.goto(address)
        expect(page.locator("#alert")).to_contain_text(says)


def test_without_javascript_there_is_a_sentence(browser: Any, address: str) -> None:
    for page in visitor(browser, java_script_enabled=False):
        page.goto(address)
        assert "This page draws with JavaScript" in page.content()
        expect(page.locator("noscript p")).to_be_visible()


# ------------------------------------------------------------------------------------------------------------ the true model


@pytest.mark.full
def test_the_true_model_is_quick(page: Any, serve: Callable[[Path], str], tmp_path: Path) -> None:
    """Four steps take less than 2 s, and the picture is Python's. MINIDIFF_WEB names an export that is already there."""
    folder = Path(os.environ.get("MINIDIFF_WEB", tmp_path / "page"))
    model = os.environ.get("MINIDIFF_WEB_MODEL", "world-dit-4")
    if not folder.exists():
        export_web.export_web(WebExport(folder, model=model, packages=Path(__file__).parents[1] / "data" / "packages"))
    opened(page, serve(folder))
    prompt = "a big red star left of a small blue house at night"
    page.locator("#seed").fill("1")
    pixels = finished(page, prompt, 1)
    assert difference(pixels, drawn_by(load_pipeline(model, "cpu", "float32"), prompt, 1)) <= 4
    seconds = []
    for seed in (2, 3, 4):
        page.locator("#seed").fill(str(seed))
        finished(page, prompt, seed)
        seconds.append(page.evaluate("minidiff.last.seconds"))
    assert min(seconds) < 2, seconds
