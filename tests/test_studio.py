"""The web demo without a browser: its callbacks, its HTML, its guard, and its server through gradio's client."""

from __future__ import annotations

import base64
import io
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from minidiff.diffusion.samplers import SAMPLERS
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.messages import LANGS
from minidiff.pipelines.png_metadata import read_png, save_images
from minidiff.pipelines.request import MAX_SEED, Request, RequestError
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pipelines.zoo_rows import quick_models, sampling_models
from minidiff.studio import app, callbacks, html, restore, security
from minidiff.studio.labels import EXAMPLES, EXAMPLES_OF, LABELS, SAMPLER_LABELS, examples, label
from minidiff.studio.models import Models
from minidiff.studio.tabs import create
from minidiff.utils.images import contact_sheet

NAMES = ["prompt", "negative", "sampler", "steps", "guidance", "seed", "images", "eta", "expand", "start", "end", "rescale"]
VALUES = ("a red star", "", "dpmpp_2m", 3, 5.0, 42, 1, 0.0, True, 0.0, 1.0, 0.0)


@pytest.fixture(scope="module")
def pipeline(tiny_zoo: Path) -> TextToImage:
    return load_pipeline(device="cpu", dtype="float32", root=tiny_zoo)


def values(**changes: Any) -> tuple[Any, ...]:
    assert set(changes) <= set(NAMES)
    return tuple(changes.get(name, value) for name, value in zip(NAMES, VALUES, strict=True))


# Words


def test_every_label_is_in_both_languages_with_the_same_blanks() -> None:
    for key, texts in LABELS.items():
        assert set(texts) == set(LANGS), key
        assert all(texts.values()), key
        blanks = [sorted(re.findall(r"{(\w+)}", text)) for text in texts.values()]
        assert blanks[0] == blanks[1], key
    assert set(SAMPLER_LABELS) == set(SAMPLERS)
    vietnamese = [text for text in EXAMPLES if not text.isascii()]
    assert len(vietnamese) == len(EXAMPLES) - len(vietnamese) == 3
    for texts in EXAMPLES_OF.values():
        assert [text.isascii() for text in texts] == [text.isascii() for text in EXAMPLES]


def test_a_model_that_knows_another_world_has_examples_of_its_own() -> None:
    assert examples("world-unet") == EXAMPLES != examples("emoji-dit")
    assert create.first_example("emoji-dit", "vi") == examples("emoji-dit")[1]
    for place, text in enumerate(EXAMPLES):
        assert create.example_for("emoji-dit", text) == examples("emoji-dit")[place]
        assert create.example_for("world-dit", examples("emoji-dit")[place]) == create.example_for("world-unet", text) == text
    assert create.example_for("emoji-dit", "my own words") == "my own words"


def test_switching_relabels_every_control() -> None:
    english, vietnamese = create.relabel("en"), create.relabel("vi")
    fields = set(create.Controls.__dataclass_fields__)
    without_words = {  # these carry both languages, or names
        "note", "notice", "stage", "results", "recall", "typed", "used_seed", "examples", "lora_weights"
    }  # fmt: skip
    assert set(english) == fields - without_words
    for name in english:
        shown = [{k: v for k, v in one[name].items() if k != "__type__"} for one in (english, vietnamese)]
        assert shown[0]
        same = [key for key in shown[0] if shown[0][key] == shown[1][key]]
        assert same == (["label"] if name in ("eta", "seed") else []), name  # Vietnamese says eta and seed too


# HTML


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", '"><img src=x>', "${alert(1)}", "{{value}}", "`x`"])
def test_what_a_visitor_writes_stays_text(evil: str) -> None:
    for page in (html.note(3, [evil]), html.results([b"png"], evil, [1], [f"{evil} left"]), html.escape(evil)):
        assert evil not in page
        assert "<script" not in page
        assert "<img src=x" not in page
        assert not re.search(r"[{}`]|\$\{", page)


def test_words_come_in_both_languages() -> None:
    for page in (html.stage(), html.header(), html.note(2, ["x"]), html.notice(html.both("stopped"))):
        assert page.count('<span lang="en">') == page.count('<span lang="vi">') > 0
    refusal = html.refusal(RequestError("prompt_empty", most=200))
    assert "The prompt is empty" in refusal
    assert "Mô tả đang trống" in refusal
    assert 'role="alert"' in html.notice(refusal, "bad")


def test_contact_sheet_places_images_in_order() -> None:
    colours = ["red", "lime", "blue", "white"]
    sheet = contact_sheet([Image.new("RGB", (32, 32), colour) for colour in colours]).convert("RGB")
    assert sheet.size == (65, 65)
    corners = [sheet.getpixel(point) for point in [(0, 0), (64, 0), (0, 64), (64, 64)]]
    assert corners == [Image.new("RGB", (1, 1), colour).getpixel((0, 0)) for colour in colours]
    assert contact_sheet([Image.new("RGB", (32, 32))]).size == (32, 32)


def test_note_counts_tokens_and_points_out_unseen_words(pipeline: TextToImage) -> None:
    note = callbacks.describe(pipeline, "a big red dragon")
    assert "<mark>dragon</mark>" in note
    assert "<mark>red</mark>" not in note
    count = len(pipeline.tokenizer.tokens("a big red dragon"))
    assert f">{count} tokens<" in note
    assert ">0 tokens<" in callbacks.describe(pipeline, "")
    assert ">0 tokens<" in callbacks.describe(pipeline, None)
    callbacks.describe(pipeline, "x" * 100_000)


def test_note_tells_when_a_prompt_is_too_long_to_be_read_whole(pipeline: TextToImage) -> None:
    most = pipeline.tokenizer.max_tokens
    note = callbacks.describe(pipeline, "zxqjk " * most)
    assert f"The model reads only the first {most}." in note and f"Mô hình chỉ đọc {most} token đầu." in note
    assert "reads only" not in callbacks.describe(pipeline, "a big red star")


# Sampling


def test_generate_shows_every_step_then_the_images(pipeline: TextToImage) -> None:
    views = list(callbacks.generate(pipeline, values(images=2)))
    assert "Waiting" in (views[0].stage or "")
    assert views[0].seed == 42
    for index, view in enumerate(views[1:], start=1):
        assert view.stage is not None
        assert f"Step {index} of 3" in view.stage
        assert view.stage.count("<img") == 2  # x_t and x0
    assert [view.running for view in views] == [True, None, None, False]
    assert views[-1].results is not None
    assert views[-1].results.count("<img") == 2
    assert views[-1].results.count("download=") == 2
    assert all(view.results is None for view in views[:-1])


def test_the_saved_image_is_the_library_s_and_says_how_it_was_made(pipeline: TextToImage) -> None:
    view = list(callbacks.generate(pipeline, values(images=2, seed=7)))[-1]
    files = [base64.b64decode(data) for data in re.findall(r'href="data:image/png;base64,([^"]+)"', view.results or "")]
    expected = pipeline(Request("a red star", steps=3, seed=7, num_images=2))
    assert [Image.open(io.BytesIO(file)).tobytes() for file in files] == [image.tobytes() for image in expected]
    assert [read_png(io.BytesIO(file))["seed"] for file in files] == [7, 8]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"prompt": " "}, "prompt is empty"),
        ({"prompt": "x" * 10_000}, "10000 characters"),
        ({"start": 0.7, "end": 0.3}, "the lower one first, not (0.7, 0.3)"),
        ({"end": None}, "two numbers from 0 to 1"),
        ({"rescale": 2}, "guidance rescale must be a number from 0 to 1"),
        ({"prompt": None}, "must be text"),
        ({"negative": "x" * 2001}, "negative prompt has 2001"),
        ({"sampler": "magic"}, "no sampler"),
        ({"sampler": None}, "no sampler"),
        ({"steps": 2.5}, "not 2.5"),
        ({"steps": 10**9}, "1 to 100"),
        ({"guidance": float("nan")}, "0 to 15"),
        ({"guidance": None}, "0 to 15"),
        ({"seed": None}, "seed must be a whole number"),
        ({"seed": -1}, "0 to 2147483647"),
        ({"images": 500}, "1 to 9"),
        ({"sampler": "ddim", "eta": 7}, "0 to 1"),
    ],
)
def test_refusals_are_shown_not_raised(pipeline: TextToImage, changes: dict[str, Any], says: str) -> None:
    views = list(callbacks.generate(pipeline, values(**changes)))
    assert len(views) == 1
    assert says in (views[0].notice or "")
    assert 'lang="vi"' in (views[0].notice or "")
    assert not views[0].running
    assert len(views[0].notice or "") < 1500


def test_a_prompt_that_this_model_has_no_room_for_is_refused(pipeline: TextToImage) -> None:
    *_, view = callbacks.generate(pipeline, values(prompt="x" * 201))
    assert "201 characters and at most 200" in (view.notice or "")
    assert not view.running


def test_heun_takes_no_eta_and_whole_floats_are_whole() -> None:
    assert callbacks.make_request(*values(eta=0.7, sampler="heun")).eta is None
    assert [callbacks.make_request(*values(eta=0.7, sampler=name)).eta for name in ("ddim", "euler_a")] == [0.7, 0.7]
    assert callbacks.make_request(*values(eta=0, sampler="euler_a")).eta == 0
    assert callbacks.make_request(*values(steps=20.0, seed=3.0, images=2.0)).steps == 20
    assert callbacks.make_request(*values(start=0.1, end=0.9)).guidance_interval == (0.1, 0.9)
    assert create.own_eta("euler_a") == 1 and create.own_eta("dpmpp_2m") == create.own_eta("<b>") == 0


def test_a_new_seed_each_time(pipeline: TextToImage) -> None:
    seeds = {list(callbacks.generate(pipeline, values(steps=1), randomise=True))[0].seed for _ in range(4)}
    assert len(seeds) > 1
    assert all(0 <= (seed or 0) <= MAX_SEED for seed in seeds)


def test_too_many_requests_are_refused(pipeline: TextToImage) -> None:
    bucket = security.TokenBucket(burst=1, rate=0.1, clock=lambda: 0.0)
    assert len(list(callbacks.generate(pipeline, VALUES, client="a", bucket=bucket))) > 1
    views = list(callbacks.generate(pipeline, VALUES, client="a", bucket=bucket))
    assert len(views) == 1
    assert "wait 10 seconds" in (views[0].notice or "")
    assert len(list(callbacks.generate(pipeline, VALUES, client="b", bucket=bucket))) > 1


def test_one_request_cannot_take_for_ever(pipeline: TextToImage) -> None:
    hours = iter(range(0, 10**7, 3600))
    views = list(callbacks.generate(pipeline, values(steps=50), clock=lambda: next(hours)))
    assert len(views) == 2
    assert "the most one drawing may take" in (views[-1].notice or "")
    assert not views[-1].running


def test_a_fault_of_ours_is_said_without_its_details(pipeline: TextToImage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "stream", lambda request: (_ for _ in ()).throw(RuntimeError("secret path")))
    view = list(callbacks.generate(pipeline, VALUES))[-1]
    assert "Something went wrong" in (view.notice or "")
    assert "secret" not in str(view)
    assert not view.running


# Models to choose from


@pytest.fixture(scope="module")
def models(whole_zoo: Path) -> Models:
    load = partial(load_pipeline, device="cpu", dtype="float32", root=whole_zoo)
    return Models(load("world-dit"), [*sampling_models(whole_zoo), "world-dit", "world-broken"], load)


def test_the_list_is_what_makes_images_and_the_first_one_once(models: Models, whole_zoo: Path) -> None:
    assert sampling_models(whole_zoo) == ["world-dit", "world-pixels", "world-unet"]
    assert models.names == ["world-dit", "world-pixels", "world-unet", "world-broken"]


def test_a_chosen_model_is_used_and_kept(models: Models) -> None:
    assert models.get("world-unet") is models.get("world-unet") is not models.first
    drawn = {}
    for name in ("world-dit", "world-unet", "world-pixels"):
        *_, view = callbacks.generate_with(models, name, values(prompt="a star"))
        drawn[name] = re.findall(r'href="data:image/png;base64,([^"]+)"', view.results or "")
        assert read_png(io.BytesIO(base64.b64decode(drawn[name][0])))["model"] == name
    assert len({file for files in drawn.values() for file in files}) == 3


def test_a_drawing_while_one_types_shows_the_end_alone_and_costs_little(student_zoo: Path) -> None:
    load = partial(load_pipeline, device="cpu", dtype="float32", root=student_zoo)
    quick = Models(load("world-dit"), sampling_models(student_zoo), load, *quick_models(student_zoo))
    assert quick.quick == "world-dit-4" and quick.get("world-dit-4").own_settings["steps"] == 4
    assert Models(load("world-dit"), [], load, "world-dit-4").quick == "" == Models(load("world-dit")).quick

    bucket = security.TokenBucket(burst=1.1, rate=0.001, clock=lambda: 0.0)
    settings = values(prompt="a star", sampler="ddim", steps=4, guidance=1.0)
    first, *steps, last = callbacks.generate_with(quick, "world-dit-4", settings, client="a", bucket=bucket, typed=True)
    assert first.stage is None and first.running and not any(view.stage or view.results for view in steps)
    assert len(steps) == 3 and last.stage and last.results and last.running is False
    assert bucket._buckets["a"][0] == pytest.approx(0.85)
    *_, drawn = callbacks.generate_with(quick, "world-dit-4", settings)
    assert drawn.results == last.results, "the same picture as by the button"

    for _ in range(3):
        list(callbacks.generate_with(quick, "world-dit-4", settings, client="a", bucket=bucket, typed=True))
    (refused,) = callbacks.generate_with(quick, "world-dit-4", settings, client="a", bucket=bucket, typed=True)
    assert refused.stage is None and "notice bad" in (refused.notice or "")
    next(stopped := callbacks.generate_with(quick, "world-dit-4", settings, client="b", bucket=bucket, typed=True))
    stopped.close()  # type: ignore[attr-defined]
    assert bucket._buckets["b"][0] == pytest.approx(0.85), "nothing is given back of so little"


def test_a_model_that_is_not_there_or_cannot_be_loaded_is_said(
    models: Models, caplog: pytest.LogCaptureFixture
) -> None:
    cases = [("../secret", "choose one of world-dit"), (None, "There is no model"), ("world-broken", "could not be loaded")]
    for name, says in cases:
        [view] = callbacks.generate_with(models, name, VALUES)
        assert says in (view.notice or "")
        assert 'lang="vi"' in (view.notice or "")
        assert not view.running
    assert "world-broken" in caplog.text


def test_what_a_model_cannot_make_is_refused_not_broken(models: Models) -> None:
    *_, view = callbacks.generate_with(models, "world-pixels", values(prompt="a red star"))
    assert "names none: choose one of circle" in (view.notice or "")
    assert "hình tròn" in (view.notice or "")
    assert not view.running


def test_the_note_follows_the_model(models: Models) -> None:
    assert "<mark>red</mark>" in callbacks.describe(models.get("world-pixels"), "a red star")
    assert ">1 token<" in callbacks.describe(models.get("world-pixels"), "ngôi sao")
    assert "<mark>" not in callbacks.describe(models.first, "a big red star")


def test_link_and_image_bring_the_model_back(models: Models, tmp_path: Path) -> None:
    asked, model, _ = restore.restore({"prompt": "nhà", "model": "world-unet"}, models)
    assert models.get("world-unet").guidance_scale == 3.0 != models.first.guidance_scale
    assert (asked, model) == (Request("nhà", guidance_scale=3.0), "world-unet")
    asked, _, _ = restore.restore({"prompt": "nhà", "guidance": "7", "model": "world-unet"}, models)
    assert asked == Request("nhà", guidance_scale=7)
    assert restore.restore({"prompt": "nhà"}, models)[1] == "world-dit"
    refused, model, notice = restore.restore({"prompt": "nhà", "model": "<b>"}, models)
    assert (refused, model) == (None, "world-dit")
    assert "choose one of world-dit" in notice and "<b>" not in notice
    for name, expected in (("world-unet", "world-unet"), ("elsewhere", None)):
        [path] = save_images([Image.new("RGB", (8, 8))], tmp_path / "a.png", Request("x"), name)
        request, model, notice = restore.from_image(str(path), models)
        assert (request, model) == (Request("x"), expected)
        assert ("its model, elsewhere, isn&#x27;t here" in notice) == (expected is None) == ("are back." not in notice)


def test_a_program_may_not_keep_the_model_for_ever(pipeline: TextToImage) -> None:
    asked = Request("nhà", steps=6, num_images=2)
    *steps, images = callbacks.finish(pipeline, asked)
    assert steps == [[]] * 5 and [i.tobytes() for i in images] == [i.tobytes() for i in pipeline(asked)]
    ticks = iter([0.0, 1.0, callbacks.MAX_SECONDS + 1])
    with pytest.raises(TimeoutError, match="Stopped after"):
        list(callbacks.finish(pipeline, asked, clock=lambda: next(ticks)))
    assert next(ticks, None) is None  # two steps of six


# Settings from an image or a link


def test_load_from_image_brings_everything_back(models: Models, tmp_path: Path) -> None:
    request = Request("một ngôi sao", "nhà", "ddim", 7, 3.5, 99, 1, 0.4, False, (0.1, 0.9), 0.7)
    [path] = save_images([Image.new("RGB", (8, 8))], tmp_path / "a.png", request, "world-dit")
    restored, model, notice = restore.from_image(str(path), models)
    assert (restored, model) == (request, "world-dit")
    assert "are back" in notice
    shown = create.control_values(restored)
    assert shown == ["một ngôi sao", "nhà", "ddim", 7, 3.5, 99, 1, 0.4, False, 0.1, 0.9, 0.7]
    assert callbacks.make_request(*shown) == request
    assert create.control_values(Request("x", sampler="euler_a"))[7] == 1  # the slider shows the sampler's own
    assert len(create.control_values(None)) == len(shown) == len(VALUES)


def test_load_from_a_strange_image_changes_nothing(models: Models, tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    paths = [tmp_path / f"{i}.png" for i in range(4)]
    paths[0].write_bytes(b"not a picture")
    Image.new("RGB", (8, 8)).save(paths[1])
    for path, text in zip(paths[2:], ['{"prompt": ""}', '{"prompt": "x", "steps": 100000}'], strict=True):
        info = PngInfo()
        info.add_itxt("minidiff", text)
        Image.new("RGB", (8, 8)).save(path, pnginfo=info)
    for path in paths:
        request, model, notice = restore.from_image(str(path), models)
        assert request is None is model
        assert "does not say how it was made" in notice
        assert str(path) not in notice
    assert restore.from_image(None, models)[0] is None


OWN = {"sampler": "dpmpp_2m", "steps": 20, "guidance_scale": 5.0}


def test_links() -> None:
    query = {"prompt": "nhà", "negative": "x", "sampler": "euler_a", "steps": "9", "guidance": "2.5", "seed": "7"}
    asked, _ = restore.from_link({**query, "images": "2", "eta": "0.5", "expand": "false"}, OWN)
    assert asked == Request("nhà", "x", "euler_a", 9, 2.5, 7, 2, 0.5, False)
    old = {**query, "upsample": "false"}
    assert restore.from_link(old, OWN)[0] == Request("nhà", "x", "euler_a", 9, 2.5, 7, expand_prompt=False)
    asked, _ = restore.from_link({"prompt": "nhà", "start": "0.1", "end": "0.9", "rescale": "0.7", "eta": "0"}, OWN)
    assert asked == Request("nhà", eta=0, guidance_interval=(0.1, 0.9), guidance_rescale=0.7)
    assert restore.from_link({"prompt": "nhà", "sampler": "heun", "eta": "0.5"}, OWN)[0] == Request("nhà", sampler="heun")
    assert restore.from_link({"prompt": "nhà"}, OWN)[0] == Request("nhà")
    quick = {"sampler": "ddim", "steps": 4, "guidance_scale": 1.0}  # what a model of few steps brings
    asked, _ = restore.from_link({"prompt": "nhà", "eta": "0.5"}, quick)
    assert asked == Request("nhà", sampler="ddim", steps=4, guidance_scale=1.0, eta=0.5)
    assert restore.from_link({}, OWN) == (None, html.notice())
    refused = ({"steps": "many"}, {"steps": "0"}, {"guidance": "nan"}, {"sampler": "<b>"}, {"expand": "1"}, {"start": "<b>"})
    for bad in (*refused, {"prompt": "x" * 9999}, {"start": "0.9", "end": "0.1"}):
        asked, notice = restore.from_link({"prompt": "nhà", **bad}, OWN)
        assert asked is None
        assert "not allowed" in notice
        assert "<b>" not in notice
    assert restore.link_language({"lang": "vi"}, "en") == "vi"
    assert restore.link_language({"lang": "<script>"}, "en") == "en"


# Security


def test_token_bucket() -> None:
    now = [0.0]
    bucket = security.TokenBucket(burst=2, rate=0.5, clients=2, clock=lambda: now[0])
    assert [bucket.wait("a") for _ in range(3)] == [0, 0, 2]
    assert bucket.wait("b") == 0
    now[0] = 2.0
    assert [bucket.wait("a") for _ in range(2)] == [0, 2]
    for client in "cdef":
        bucket.wait(client)
    assert len(bucket._buckets) == 2


def scope(
    method: str = "POST", path: str = "/gradio_api/queue/join", length: str | None = "10", host: str = "localhost:7860"
) -> dict[str, Any]:
    headers = [(b"host", host.encode()), *([] if length is None else [(b"content-length", length.encode())])]
    return {"type": "http", "method": method, "path": path, "headers": headers, "client": ("1.2.3.4", 5)}


@pytest.mark.parametrize(
    ("request_scope", "status"),
    [
        (scope(), 0),
        (scope("GET", "/", None), 0),
        (scope(length=None), 411),
        (scope(length="ten"), 411),
        (scope(length="1000000"), 413),
        (scope(path="/gradio_api/upload", length="1000000"), 0),
        (scope(path="/gradio_api/upload", length="3000000"), 413),
        (scope("GET", "/gradio_api/vibe-code/"), 404),
        (scope("POST", "/gradio_api/vibe-edit/"), 404),
        (scope("GET", "/monitoring"), 404),
        (scope("GET", "/gradio_api/proxy=http://elsewhere"), 404),
        (scope("POST", "/gradio_api/component_server"), 404),
        (scope("POST", "/gradio_api/call/generate"), 0),
        (scope("GET", "/gradio_api/call/generate/0123456789"), 0),
        (scope("POST", "/gradio_api/run/predict"), 0),
        (scope("POST", "/gradio_api/call/run"), 404),  # a function of the page, by its name
        (scope("POST", "/gradio_api/call/v2/run"), 404),
        (scope("POST", "/gradio_api/api/open_page/"), 404),
        (scope("POST", "/gradio_api/call/predict"), 404),
        (scope(host="127.0.0.1"), 0),
        (scope(host="192.168.1.7:80"), 0),
        (scope(host="[::1]:7860"), 0),
        (scope(host="[::1]"), 0),
        (scope(host="Draw.Example.org."), 0),
        (scope(host="evil.example:7860"), 421),
        (scope(host="draw.example.org.evil.example"), 421),
        (scope(host=""), 421),
    ],
)
def test_guard(request_scope: dict[str, Any], status: int) -> None:
    assert security.Guard(None, hosts=["draw.example.org"]).judge(request_scope)[0] == status  # type: ignore[arg-type]


def test_the_guard_of_a_public_page_takes_any_host_name() -> None:
    assert security.Guard(None, hosts=None).judge(scope(host="evil.example"))[0] == 0  # type: ignore[arg-type]


def test_guard_limits_the_rate() -> None:
    guard = security.Guard(None, security.TokenBucket(burst=3, rate=0.001))  # type: ignore[arg-type]
    assert [guard.judge(scope())[0] for _ in range(4)] == [0, 0, 0, 429]
    assert guard.judge(scope("GET", "/"))[0] == 0


def test_uploads_have_a_limit_of_their_own() -> None:
    guard = security.Guard(None)  # type: ignore[arg-type]
    upload = scope("POST", "/gradio_api/upload")
    assert [guard.judge(upload)[0] for _ in range(7)] == 6 * [0] + [429]
    assert guard.judge(scope())[0] == 0


def test_large_requests_are_paid_back() -> None:
    now = [0.0]
    bucket = security.TokenBucket(burst=12, rate=0.5, clock=lambda: now[0])
    assert bucket.wait("a", 45) == 0 and bucket.wait("b") == 0
    assert bucket.wait("a") == 68, "33 tokens owed and one wanted"
    now[0] = 67.9
    assert 0 < bucket.wait("a") < 0.3
    now[0] = 68.1
    assert bucket.wait("a") == 0


def test_a_drawing_costs_what_the_network_does_for_it() -> None:
    assert callbacks.cost(1, 20, "dpmpp_2m") == callbacks.cost(1, 1, "ddim") == 1
    assert callbacks.cost(9, 100, "ddim") == 45 and callbacks.cost(9, 100, "heun") == 90


def test_what_is_not_drawn_is_given_back(pipeline: TextToImage) -> None:
    bucket = security.TokenBucket(burst=50, rate=0.001, clock=lambda: 0.0)
    views = callbacks.generate(pipeline, values(steps=100, images=9), client="a", bucket=bucket)  # 45 tokens
    for _ in range(11):  # that it begins, and 10 steps
        next(views)
    assert bucket._buckets["a"][0] == pytest.approx(5)
    views.close()  # type: ignore[attr-defined]
    assert bucket._buckets["a"][0] == pytest.approx(5 + 0.9 * 45)
    list(callbacks.generate(pipeline, values(steps=20), client="b", bucket=bucket))
    assert bucket._buckets["b"][0] == pytest.approx(49)
    next(stopped := callbacks.generate(pipeline, values(steps=40), client="c", bucket=bucket))
    stopped.close()  # type: ignore[attr-defined]
    assert bucket._buckets["c"][0] == pytest.approx(49), "one token is for the asking"


def test_whoever_has_requests_waiting_gets_no_more() -> None:
    waiting = {"1.2.3.4": 3}
    guard = security.Guard(None, waiting=lambda client: waiting.get(client, 0))  # type: ignore[arg-type]
    assert guard.judge(scope())[0] == 429 and guard.judge(scope(path="/gradio_api/call/generate"))[0] == 429
    assert guard.judge(scope(path="/gradio_api/run/predict"))[0] == 0 == guard.judge(scope("GET"))[0]
    waiting["1.2.3.4"] = 2
    assert guard.judge(scope())[0] == 0


@pytest.mark.parametrize("begun", [False, True])
def test_what_breaks_is_said_and_carries_the_headers(begun: bool) -> None:
    import asyncio

    sent: list[Any] = []

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise KeyError("a secret")

    async def send(message: Any) -> None:
        sent.append(message)

    run = security.Guard(broken)(scope(), None, send)  # type: ignore[arg-type]
    if begun:  # too late for another answer
        with pytest.raises(KeyError):
            asyncio.run(run)  # type: ignore[arg-type]
        return
    asyncio.run(run)  # type: ignore[arg-type]
    assert sent[0]["status"] == 500 and {name.decode() for name, _ in sent[0]["headers"]} >= set(security.HEADERS)
    assert sent[1]["body"].decode() == security.UNANSWERED


# The server


@pytest.fixture(scope="module")
def address(pipeline: TextToImage) -> Iterator[str]:
    blocks = app.build(pipeline, "en")
    yield app.launch(blocks, "127.0.0.1", free_port(), "en", block=False)
    blocks.close()


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(url: str, data: bytes | None = None) -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()


def test_every_answer_carries_the_headers(address: str) -> None:
    for path in ("", "config", "no/such/page", "gradio_api/vibe-code/"):
        _, headers, _ = fetch(address + path)
        for name, value in security.HEADERS.items():
            assert headers[name] == value, path


def test_closed_doors(address: str) -> None:
    for path in ("gradio_api/vibe-code/", "monitoring", "monitoring/summary", "docs", "redoc"):
        assert fetch(address + path)[0] == 404, path
    for path in ("gradio_api/file=/etc/passwd", f"gradio_api/file={Path.cwd()}/pyproject.toml"):
        status, _, body = fetch(address + path)
        assert status in (403, 404), path
        assert b"root:" not in body
        assert b"minidiff" not in body
    assert fetch(address + "gradio_api/queue/join", b"x" * 300_000)[0] == 413


def test_page_asks_nothing_of_other_servers(address: str) -> None:
    page = fetch(address)[2].decode()
    assert "fonts.googleapis.com" not in page
    assert not re.findall(r'<(?:script|link)[^>]+(?:src|href)="https?://', page)


def test_only_generate_is_public(address: str) -> None:
    import json

    info = json.loads(fetch(address + "gradio_api/info")[2])
    assert set(info["named_endpoints"]) == {"/generate"}
    assert not info["unnamed_endpoints"]


def test_generate_through_the_client(address: str, pipeline: TextToImage) -> None:
    from gradio_client import Client

    client = Client(address, verbose=False, analytics_enabled=False)
    [uri] = client.predict("một ngôi sao đỏ", steps=2, seed=5, api_name="/generate")
    file = io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))
    assert read_png(file)["prompt"] == "một ngôi sao đỏ"
    [expected] = pipeline(Request("một ngôi sao đỏ", steps=2, seed=5))
    assert Image.open(file).tobytes() == expected.tobytes()
    guidance = {"guidance_interval": [0.1, 0.6], "guidance_rescale": 0.7}
    advanced = {"sampler": "euler_a", "eta": 0.0, "expand_prompt": False, **guidance}
    [uri] = client.predict("a star", steps=2, **advanced, api_name="/generate")
    values = read_png(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))
    assert {name: values[name] for name in advanced} == advanced
    for bad, says in (({"steps": 0}, "1 to 100"), ({"steps": 2.5}, "whole number"), ({"sampler": "magic"}, "no sampler")):
        with pytest.raises(Exception, match=says):
            client.predict("a star", **bad, api_name="/generate")
    with pytest.raises(Exception, match="prompt is empty"):
        client.predict("", api_name="/generate")


def test_a_program_gets_the_models_own_settings(student_zoo: Path) -> None:
    from gradio_client import Client

    load = partial(load_pipeline, device="cpu", dtype="float32", root=student_zoo)
    blocks = app.build(load("world-dit"), "en", sampling_models(student_zoo), load)
    client = Client(app.launch(blocks, "127.0.0.1", free_port(), "en", block=False), verbose=False, analytics_enabled=False)
    for name, steps, sampler in (("world-dit-4", 4, "ddim"), ("world-dit", 20, "dpmpp_2m")):
        [uri] = client.predict("a star", model=name, api_name="/generate")
        made = read_png(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))
        assert (made["model"], made["steps"], made["sampler"]) == (name, steps, sampler)
    blocks.close()


def test_a_program_may_choose_among_the_models_of_the_list_only(address: str, pipeline: TextToImage) -> None:
    from gradio_client import Client

    client = Client(address, verbose=False, analytics_enabled=False)
    ask = partial(client.predict, "ngôi sao", steps=1, api_name="/generate")
    assert ask(model=pipeline.model) == ask()
    with pytest.raises(Exception, match="There is no model './world-dit' here"):
        ask(model="./world-dit")


def test_a_taken_port_is_said(address: str, pipeline: TextToImage) -> None:
    port = int(address.rstrip("/").rsplit(":", 1)[1])
    with pytest.raises(OSError, match=rf"^nothing can be served at 127\.0\.0\.1:{port} .* another --host or --port\.$"):
        app.launch(app.build(pipeline), "127.0.0.1", port, "en", block=False)


def test_examples_hold_no_unseen_word() -> None:
    from minidiff.pretrained import zoo
    from minidiff.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(zoo.path("tokenizer", zoo.SHIPPED))
    assert [word for text in EXAMPLES for word in tokenizer.unknown_words(text)] == []


def test_label_is_filled() -> None:
    assert label("step", "vi", index=1, n=20) == "Bước 1 trên 20"
