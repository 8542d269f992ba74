"""The studio as a person meets it: a real Chromium, at desktop and phone width, that may talk to nobody else."""

from __future__ import annotations

import base64
import io
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from chromium import needs_chromium
from PIL import Image

from minidiff.data.world.prompt_expansion import expand_prompt
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.png_metadata import read_png
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pretrained import zoo

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: no browser tests")
pytest.importorskip("gradio", reason="gradio is not installed: no browser tests")
expect = sync_api.expect

from minidiff.studio.labels import EXAMPLES, EXAMPLES_OF, label  # noqa: E402 (after the check that gradio is here)
from minidiff.studio.security import TokenBucket  # noqa: E402

PATIENCE = 60_000  # ms; the machine may have other work
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

pytestmark = needs_chromium


def shipped() -> bool:
    return "world-dit" in zoo.manifest(zoo.SHIPPED)


@pytest.fixture(scope="module")
def pipeline(tiny_zoo: Path) -> TextToImage:
    """The shipped weights, once there are any; until then, or with MINIDIFF_TINY set, tiny random ones."""
    use_shipped = shipped() and not os.environ.get("MINIDIFF_TINY")
    return load_pipeline(device="cpu", root=zoo.SHIPPED if use_shipped else tiny_zoo)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def address(pipeline: TextToImage) -> Iterator[str]:
    from minidiff.studio import app

    before = torch.get_num_threads()
    blocks = app.build(pipeline, "en", bucket=TokenBucket(1000, 100))  # the tests are one visitor
    yield app.launch(blocks, "127.0.0.1", free_port(), "en", block=False)
    blocks.close()
    torch.set_num_threads(before)


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(browser: Any, address: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A fresh visitor. Requests to any other server are cut off, and fail the test at its end; so do script errors."""
    context = browser.new_context(viewport=request.param, accept_downloads=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address.rstrip("/"))
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    strangers: list[str] = []
    errors: list[str] = []
    ours = (address, "data:", "blob:")

    def gate(route: Any) -> None:
        if route.request.url.startswith(ours):
            route.continue_()
        else:
            strangers.append(route.request.url)
            route.abort()

    page.route("**/*", gate)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert not strangers
    assert not errors


def open_studio(page: Any, address: str, query: str = "") -> None:
    page.goto(address + query)
    expect(page.locator("#draw")).to_be_enabled(timeout=PATIENCE)
    expect(page.locator("#note .tokens")).to_be_attached(timeout=PATIENCE)


def settings(page: Any) -> None:
    page.locator("#settings > button").click()
    expect(page.locator("#steps input[type=number]")).to_be_visible(timeout=PATIENCE)
    page.wait_for_timeout(1000)  # what an accordion holds is mounted when it opens, and only then listens


def set_number(page: Any, name: str, value: object) -> None:
    """Type a number and make sure that it stays: a page that is still being put together may take it back."""
    box = page.locator(f"#{name} input[type=number]")
    for _ in range(10):
        box.fill(str(value))
        box.press("Tab")
        page.wait_for_timeout(400)
        if float(box.input_value()) == float(str(value)):
            return
    raise AssertionError(f"{name} does not keep the value {value}")


def finished(page: Any) -> None:
    expect(page.locator(".results img").first).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#notice .good")).to_be_visible(timeout=PATIENCE)


def download(page: Any, folder: Path) -> Path:
    """The result, saved in `folder` under the name that the studio gives it."""
    with page.expect_download() as saved:
        page.locator(".results a[download]").click()
    path = folder / saved.value.suggested_filename
    saved.value.save_as(path)
    return path


def load_image(page: Any, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.locator("#load-image").click()
    chooser.value.set_files(path)


def picture(page: Any, selector: str) -> Image.Image:
    uri = page.locator(selector).first.get_attribute("src")
    return Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))).convert("RGB")


def roughness(image: Image.Image) -> float:
    """Mean difference of neighbouring pixels against the spread of all pixels: near 1 for noise, small for a drawing."""
    import numpy as np

    pixels = np.asarray(image, dtype=np.float64)
    across, down = np.abs(np.diff(pixels, axis=1)).mean(), np.abs(np.diff(pixels, axis=0)).mean()
    return float((across + down) / 2 / max(pixels.std(), 1e-9))


def test_a_vietnamese_prompt_becomes_a_picture(page: Any, address: str, tmp_path: Path) -> None:
    open_studio(page, address)
    page.locator("#prompt textarea").fill("một ngôi sao đỏ lớn")
    page.locator("#prompt textarea").press("Enter")  # the same as the button
    finished(page)
    expect(page.locator(".stage .state")).to_contain_text("Step 20 of 20")
    assert page.locator(".stage img").count() == 2
    image = picture(page, ".results img")
    colours = image.getcolors(maxcolors=image.width * image.height)
    assert colours is not None
    assert len(colours) > 20  # something was drawn
    if shipped() and not os.environ.get("MINIDIFF_TINY"):
        assert image.size == (128, 128)
        assert roughness(image) < 0.35  # and it is not noise
    expanded_prompt = expand_prompt("một ngôi sao đỏ lớn", 42)
    expect(page.locator(".results .expanded-prompt [lang=en]")).to_have_text(f"Expanded to: {expanded_prompt}")
    path = download(page, tmp_path)
    assert path.name == "minidiff-42.png"
    assert read_png(path)["prompt"] == "một ngôi sao đỏ lớn"
    assert Image.open(path).convert("RGB").tobytes() == image.tobytes()


def test_noise_would_be_told_from_a_drawing() -> None:
    import numpy as np

    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    assert roughness(Image.fromarray(noise)) > 0.8
    ramp = np.broadcast_to(np.arange(128, dtype=np.uint8)[:, None, None], (128, 128, 3))
    assert roughness(Image.fromarray(ramp.copy())) < 0.1


def test_stop_ends_a_long_run(page: Any, address: str, pipeline: TextToImage) -> None:
    asked: list[None] = []  # one for each time that the network is asked
    hook = pipeline.network.register_forward_hook(lambda *_: asked.append(None))
    open_studio(page, address)
    settings(page)
    set_number(page, "steps", 100)
    set_number(page, "images", 9)
    expect(page.locator("#stop")).to_be_disabled()
    page.locator("#draw").click()
    expect(page.locator(".stage .state")).to_contain_text(re.compile(r"Step [1-9]\d* of 100"), timeout=PATIENCE)
    page.locator("#stop").click()
    expect(page.locator("#notice")).to_contain_text("Stopped", timeout=PATIENCE)
    before = 0
    while before != len(asked):  # a step that was on its way may still arrive; drawing on would come to 100 x 9
        before = len(asked)
        page.wait_for_timeout(3000)
    hook.remove()
    assert 0 < before < 900
    expect(page.locator("#stop")).to_be_disabled()
    state = page.locator(".stage .state").inner_text()
    page.wait_for_timeout(1500)
    assert page.locator(".stage .state").inner_text() == state
    assert state != "Step 100 of 100"
    assert page.locator(".results img").count() == 0
    set_number(page, "steps", 2)
    set_number(page, "images", 1)
    page.locator("#draw").click()  # the next drawing is not blocked by the last
    finished(page)


def test_switching_the_language_relabels_everything(page: Any, address: str) -> None:
    open_studio(page, address)
    settings(page)
    assert page.evaluate("document.documentElement.lang") == "en"
    page.locator("#prompt textarea").fill("a dragon in the rain")
    expect(page.locator("#note mark").first).to_be_visible()
    expect(page.locator("#note")).to_contain_text("Never seen in training")
    page.get_by_text("Tiếng Việt", exact=True).click()
    expect(page.locator("#draw")).to_have_text("Vẽ", timeout=PATIENCE)
    expect(page.locator("#stop")).to_have_text("Dừng")
    assert page.evaluate("document.documentElement.lang") == "vi"
    assert page.title() == "Xưởng vẽ minidiff"
    words = page.locator("body").inner_text()
    for text in ("Mô tả", "Bộ lấy mẫu", "Số bước", "Seed", "Thiết lập", "Chưa gặp khi huấn luyện", "Vẽ tranh"):
        assert text in words
    for text in ("Prompt", "Sampler", "Steps", "New seed", "Settings", "Never seen", "Create", "Write a sentence"):
        assert text not in words, text
    assert page.locator("#prompt textarea").input_value() == "a dragon in the rain"
    page.locator("#prompt textarea").fill("   ")
    page.locator("#draw").click()
    expect(page.locator("#notice [role=alert]")).to_contain_text("Mô tả đang trống", timeout=PATIENCE)
    assert "empty" not in page.locator("#notice").inner_text()
    expect(page.locator(".stage .queued")).to_be_hidden(timeout=PATIENCE)  # a refusal is no reason to wait
    expect(page.locator(".stage .state")).to_be_visible()
    page.get_by_text("English", exact=True).click()
    expect(page.locator("#draw")).to_have_text("Draw", timeout=PATIENCE)
    assert "The prompt is empty" in page.locator("#notice").inner_text()


@pytest.mark.parametrize("page", [DESKTOP], ids=["desktop"], indirect=True)
def test_a_line_that_is_full_is_said_in_the_page_s_language(page: Any, address: str) -> None:
    page.goto(f"{address}?lang=vi")
    page.wait_for_timeout(1500)
    full = {"status": 503, "content_type": "application/json", "body": '{"detail": "Queue is full. Max size is 16."}'}
    page.route("**/queue/join*", lambda route: route.fulfill(**full))
    page.locator("#draw").click()
    expect(page.locator("#notice .bad [lang=vi]")).to_have_text(label("queue_full", "vi"), timeout=PATIENCE)
    expect(page.locator(".stage .queued")).to_be_hidden(timeout=PATIENCE)
    expect(page.get_by_text("Queue is full")).to_be_hidden(timeout=PATIENCE)
    page.unroute("**/queue/join*")
    page.locator("#draw").click()
    finished(page)


def test_a_link_can_ask_for_a_language(page: Any, address: str) -> None:
    open_studio(page, address, "?lang=vi")
    expect(page.locator("#draw")).to_have_text("Vẽ", timeout=PATIENCE)
    expect(page.locator("#prompt textarea")).to_have_value(EXAMPLES[1], timeout=PATIENCE)
    assert page.evaluate("document.documentElement.lang") == "vi"
    assert page.title() == "Xưởng vẽ minidiff"


def test_nothing_is_cut_off_at_the_side(page: Any, address: str) -> None:
    open_studio(page, address)
    settings(page)
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0


@pytest.mark.parametrize("page", [DESKTOP], ids=["desktop"], indirect=True)
def test_image_and_link_bring_the_settings_back(page: Any, address: str, tmp_path: Path) -> None:
    open_studio(page, address)
    settings(page)
    page.locator("#prompt textarea").fill("một ngôi nhà")
    set_number(page, "steps", 3)
    set_number(page, "seed", 77)
    set_number(page, "guidance", 2.5)
    page.locator("#expand-prompt input").uncheck()
    page.locator("#advanced > button").click()
    page.wait_for_timeout(1000)
    set_number(page, "end", 0.9)
    set_number(page, "rescale", 0.7)
    page.locator("#draw").click()
    finished(page)
    expect(page.locator(".results .expanded-prompt")).to_have_count(0)
    saved = download(page, tmp_path)
    page.locator("#copy-link").click()
    expect(page.locator("#notice")).to_contain_text("clipboard", timeout=PATIENCE)
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(address)

    def check() -> None:
        expect(page.locator("#prompt textarea")).to_have_value("một ngôi nhà", timeout=PATIENCE)
        page.locator("#advanced > button").click()
        for name, value in (("steps", "3"), ("seed", "77"), ("guidance", "2.5"), ("end", "0.9"), ("rescale", "0.7")):
            expect(page.locator(f"#{name} input[type=number]")).to_have_value(value, timeout=PATIENCE)
        expect(page.locator("#expand-prompt input")).not_to_be_checked(timeout=PATIENCE)

    open_studio(page, address)
    settings(page)
    load_image(page, saved)
    check()
    expect(page.locator("#notice")).to_contain_text("are back", timeout=PATIENCE)
    open_studio(page, address, link.removeprefix(address))
    settings(page)
    check()


@pytest.mark.parametrize("page", [DESKTOP], ids=["desktop"], indirect=True)
def test_seed_tools_and_examples(page: Any, address: str) -> None:
    open_studio(page, address)
    settings(page)
    set_number(page, "steps", 1)
    page.locator("#examples button").nth(1).click()
    expect(page.locator("#prompt textarea")).to_have_value(EXAMPLES[1], timeout=PATIENCE)
    seed = page.locator("#seed input")
    page.locator("#dice").click()
    expect(seed).not_to_have_value("42", timeout=PATIENCE)
    used = seed.input_value()
    page.locator("#draw").click()
    finished(page)
    expect(page.locator(".results figcaption")).to_contain_text(f"#{used}")
    set_number(page, "seed", 5)
    page.locator("#recycle").click()
    expect(seed).to_have_value(used, timeout=PATIENCE)


@pytest.mark.parametrize("page", [DESKTOP], ids=["desktop"], indirect=True)
def test_what_is_typed_is_never_run(page: Any, address: str) -> None:
    evil = '<img src=x onerror="window.hit=1">${window.hit=1}{{hit}}'
    open_studio(page, address)
    settings(page)
    set_number(page, "steps", 1)
    page.locator("#prompt textarea").fill(evil)
    expect(page.locator("#note mark").first).to_be_visible()
    page.locator("#draw").click()
    finished(page)
    assert page.locator(".results img").first.get_attribute("alt") == evil
    assert page.evaluate("window.hit") is None


@pytest.mark.parametrize("page", [DESKTOP], ids=["desktop"], indirect=True)
def test_keyboard_alone_suffices(page: Any, address: str) -> None:
    open_studio(page, address)
    page.locator("#prompt textarea").focus()
    seen = []
    for _ in range(12):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert "draw" in seen
    assert "Settings" in " ".join(seen)
    page.locator("#settings > button").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#steps input[type=number]")).to_be_visible(timeout=PATIENCE)
    page.wait_for_timeout(1000)  # what an accordion holds is mounted when it opens, and only then listens


@pytest.mark.parametrize("page", [DESKTOP], ids=["desktop"], indirect=True)
def test_every_control_has_a_name(page: Any, address: str) -> None:
    open_studio(page, address)
    settings(page)
    script = """() => [...document.querySelectorAll('input, textarea, button')].filter(e => e.offsetParent
        && !(e.labels && e.labels.length) && !e.getAttribute('aria-label') && !e.textContent.trim())
        .map(e => e.outerHTML.slice(0, 120))"""
    assert page.evaluate(script) == []


@pytest.fixture(scope="module")
def several(whole_zoo: Path) -> Iterator[str]:
    """The studio with every design that draws, tiny and random, one of them under the name of a model of emoji."""
    from minidiff.studio import app

    def load(name: str) -> Any:
        pipeline = load_pipeline("world-dit" if name == "emoji-dit" else name, "cpu", "float32", whole_zoo)
        pipeline.model = name
        return pipeline

    blocks = app.build(load("world-dit"), "en", ["world-unet", "world-pixels", "emoji-dit"], load, TokenBucket(1000, 100))
    yield app.launch(blocks, "127.0.0.1", free_port(), "en", block=False)
    blocks.close()


def choose(page: Any, model: str) -> None:
    page.locator("#model input").click()
    page.get_by_role("option", name=model).click()
    expect(page.locator("#notice")).to_contain_text(f"Now drawing with {model}", timeout=PATIENCE)


def test_choosing_a_model(browser: Any, several: str, tmp_path: Path) -> None:
    page = browser.new_page(viewport=DESKTOP)
    page.set_default_timeout(PATIENCE)
    open_studio(page, several)
    settings(page)
    choose(page, "world-pixels")
    expect(page.locator("#guidance input[type=number]")).to_have_value("3", timeout=PATIENCE)  # its own
    page.locator("#prompt textarea").fill("a red star")
    expect(page.locator("#note mark").nth(1)).to_have_text("red", timeout=PATIENCE)
    page.locator("#draw").click()
    expect(page.locator("#notice")).to_contain_text("choose one of circle", timeout=PATIENCE)
    page.locator("#prompt textarea").fill("ngôi sao")
    set_number(page, "steps", 2)
    set_number(page, "guidance", 2.5)
    page.locator("#draw").click()
    finished(page)
    saved = download(page, tmp_path)
    assert read_png(saved)["model"] == "world-pixels"
    open_studio(page, several)
    expect(page.locator("#model input")).to_have_value("world-dit", timeout=PATIENCE)
    settings(page)
    load_image(page, saved)
    expect(page.locator("#model input")).to_have_value("world-pixels", timeout=PATIENCE)
    expect(page.locator("#guidance input[type=number]")).to_have_value("2.5", timeout=PATIENCE)
    open_studio(page, several, "?prompt=star&model=world-unet")
    expect(page.locator("#model input")).to_have_value("world-unet", timeout=PATIENCE)
    page.close()


def test_a_model_brings_its_examples(browser: Any, several: str) -> None:
    page = browser.new_page(viewport=DESKTOP)
    page.set_default_timeout(PATIENCE)
    open_studio(page, several)
    prompt, buttons = page.locator("#prompt textarea"), page.locator("#examples button")
    choose(page, "emoji-dit")
    expect(prompt).to_have_value(EXAMPLES_OF["emoji-dit"][0], timeout=PATIENCE)
    expect(buttons).to_have_text(EXAMPLES_OF["emoji-dit"], timeout=PATIENCE)
    buttons.nth(3).click()
    expect(prompt).to_have_value(EXAMPLES_OF["emoji-dit"][3], timeout=PATIENCE)
    prompt.fill("a red star")
    choose(page, "world-unet")
    expect(buttons).to_have_text(EXAMPLES, timeout=PATIENCE)
    expect(prompt).to_have_value("a red star", timeout=PATIENCE)
    open_studio(page, several, "?model=emoji-dit")
    expect(prompt).to_have_value(EXAMPLES_OF["emoji-dit"][0], timeout=PATIENCE)
    expect(buttons).to_have_text(EXAMPLES_OF["emoji-dit"], timeout=PATIENCE)
    page.close()


def test_one_model_is_no_choice(page: Any, address: str) -> None:
    open_studio(page, address)
    expect(page.locator("#model")).to_be_hidden()
