"""Edit without a browser: which pictures and masks are taken, what each way makes of them, and what is refused."""

from __future__ import annotations

import base64
import io
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from minidiff.pipelines.img2img import img2img
from minidiff.pipelines.inpaint import inpaint
from minidiff.pipelines.inversion import GUIDANCE, change_picture
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.png_metadata import png_info, read_png
from minidiff.pipelines.prompt_to_prompt import WordChange, change_words
from minidiff.pipelines.request import Request, RequestError
from minidiff.pipelines.zoo_rows import sampling_models
from minidiff.studio import edit_html, editing
from minidiff.studio.editing import MOST_SIDE, MOST_TEXT, WAYS, Edit, begin, png, read_mask, read_picture, read_start
from minidiff.studio.html import data_uri as uri
from minidiff.studio.labels import EDITS
from minidiff.studio.models import Models
from minidiff.studio.security import MAX_BODY, TokenBucket
from minidiff.studio.tabs import edit

SIDE = 32  # pixels, of what the tiny model draws


@pytest.fixture(scope="module")
def models(whole_zoo: Path) -> Models:
    load = partial(load_pipeline, device="cpu", dtype="float32", root=whole_zoo)
    return Models(load("world-dit"), sampling_models(whole_zoo), load)


def picture(width: int = SIDE, height: int = SIDE, seed: int = 0) -> Image.Image:
    """Soft noise: no two places are alike."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def mask(box: tuple[int, int, int, int] = (8, 8, 23, 23), size: tuple[int, int] = (SIDE, SIDE)) -> str:
    image = Image.new("RGB", size)
    ImageDraw.Draw(image).rectangle(box, fill="white")
    return uri(png(image))


START = uri(png(picture()))
VALUES: dict[str, Any] = {
    "way": "anew", "first": "a red star", "prompt": "a blue star", "strength": 0.6, "feather": 2.0, "sides": ["right"],
    "pixels": 8.0, "weights": "", "factor": 2.0, "style": "watercolour", "style_weight": 0.8, "steps": 5.0, "guidance": 3.0,
    "seed": 7.0,
}  # fmt: skip


def press(models: Models, start: Any = START, painted: Any = "", model: Any = "world-dit", **changes: Any) -> list[edit.View]:
    given = {name: value for name, value in changes.items() if name in VALUES}
    more = {name: value for name, value in changes.items() if name not in VALUES}
    return list(edit.apply(models, model, start, painted, tuple((VALUES | given).values()), **more))


def made(views: list[edit.View]) -> Image.Image:
    """The result that the page holds, with its texts."""
    uris = re.findall(r'data-part="after" src="data:image/png;base64,([^"]+)"', views[-1].result or "")
    assert len(uris) == 1 and views[-1].finished and views[-1].running is False
    return Image.open(io.BytesIO(base64.b64decode(uris[0])))


# Pictures


def test_a_picture_is_cropped_to_a_square_and_resized() -> None:
    wide = Image.new("RGB", (100, 40), "red")
    wide.paste("lime", (30, 0, 70, 40))
    text, image, changed = editing.fitted(uri(png(wide)), SIDE, crop=True)
    assert changed == "fitted" and image.size == (SIDE, SIDE) == read_start(text).image.size
    assert image.crop((2, 0, 30, SIDE)).getcolors() == [(28 * SIDE, (0, 255, 0))]  # the middle
    file = io.BytesIO()
    picture(64, 64).save(file, format="JPEG")
    jpeg = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
    text, image, changed = editing.fitted(jpeg, SIDE, crop=True)
    assert changed == "fitted" and text.startswith("data:image/png") and image.size == (SIDE, SIDE)


def test_a_result_keeps_its_form_and_is_made_small_only_where_it_must() -> None:
    for size, expected in (((48, 32), (48, 32)), ((384, 256), (192, 128))):
        text, image, changed = editing.fitted(uri(png(picture(*size))), SIDE, crop=False)
        assert image.size == expected == read_start(text).image.size
        assert changed == ("" if size == expected else "shrunk")


def test_the_largest_start_and_its_mask_fit_into_a_request() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (MOST_SIDE, MOST_SIDE, 3), dtype=np.uint8)
    start = uri(png(Image.fromarray(noise)))
    spots = uri(png(Image.fromarray(noise[..., 0] // 128 * 255)))
    assert len(start) < MOST_TEXT and len(start) + len(spots) + 10_000 < MAX_BODY
    assert read_start(start).image.tobytes() == noise.tobytes()


def test_a_start_says_how_it_was_drawn(models: Models) -> None:
    request = Request("a red star", seed=9, steps=3)
    file = png(picture(), png_info(request, "world-dit", "ab"))
    text, _, changed = editing.fitted(uri(file), SIDE, crop=True)
    start = read_start(text)
    assert (start.request, start.model, changed) == (request, "world-dit", "")
    assert read_start(START).request is None
    edited = png(picture(), png_info(request, "world-dit", "ab", edit={"kind": "img2img"}))
    assert read_start(uri(edited)).request is None  # that request draws another picture
    assert read_start(uri(png(picture(), png_info(request, loras={"ink": 1.0})))).request is None


def bad_pictures() -> dict[str, Any]:
    bomb = io.BytesIO()
    Image.new("1", (13_000, 13_000)).save(bomb, format="PNG")
    gif = io.BytesIO()
    picture().save(gif, format="GIF")
    whole = png(picture())
    return {
        "nothing": ("", "no picture yet"), "none": (None, "no picture yet"), "a number": (7, "not a picture"),
        "a path": ("/etc/passwd", "not a picture"), "a link": ("http://x/y.png", "not a picture"),
        "text": ("data:image/png;base64,aGVsbG8=", "not a picture"), "no base64": ("data:image/png;base64,%%", "not a picture"),
        "unreadable": ("data:,unreadable", "not a picture"), "cut": (uri(whole[: len(whole) // 2]), "not a picture"),
        "another format": (uri(gif.getvalue()), "not a picture"), "large": (editing.TOO_LARGE, "too large"),
        "long": ("data:image/png;base64," + "A" * MOST_TEXT, "too large"), "a bomb": (uri(bomb.getvalue()), "too large"),
        "tiny": (uri(png(picture(8, 40))), "too small"),
    }  # fmt: skip


@pytest.mark.parametrize("name", bad_pictures())
def test_what_is_no_picture_is_refused_in_a_sentence(models: Models, name: str) -> None:
    given, says = bad_pictures()[name]
    with pytest.raises(RequestError, match=says) as refused:
        read_picture(given)
    assert refused.value.text("vi") != refused.value.text("en")
    [view] = press(models, given)
    taken = edit.take(models, "world-dit", given, True)
    for one in (view, taken):
        assert says in one.notice and 'lang="vi"' in one.notice and one.start is None and one.result is None


def test_a_button_without_a_picture_says_what_to_do(models: Models) -> None:
    assert "draw one there first" in edit.take(models, "world-dit", "", False, "edit_nothing_drawn").notice
    assert edit.take(models, "world-dit", edit.NOTHING, True).start is None
    view = edit.take(models, "world-dit", uri(png(picture(90, 50))), True)
    assert view.start and "cropped to a square" in view.notice and f"{SIDE} × {SIDE}" in view.notice
    assert "There is no model" in edit.take(models, "../x", START, True).notice


# Masks


def test_masks() -> None:
    hole = np.asarray(read_mask(mask(), (SIDE, SIDE)))
    assert (hole[8:24, 8:24] == 255).all() and hole.sum() == 255 * 256
    for given, says in ((mask((99, 99, 99, 99)), "Nothing is marked"), ("", "Nothing is marked"), (None, "Nothing is marked"),
                        (mask((0, 0, 99, 99)), "Everything is marked"), (mask(size=(40, SIDE)), "make them the same size"),
                        ("data:,x", "not a picture")):  # fmt: skip
        with pytest.raises(RequestError, match=says) as refused:
            read_mask(given, (SIDE, SIDE))
        assert refused.value.text("vi") != refused.value.text("en")


# The ways


def test_draw_anew_is_the_library_s(models: Models) -> None:
    pipeline = models.first
    request = pipeline.request("a blue star", steps=5, guidance_scale=3.0, seed=7, expand_prompt=False)
    views = press(models)
    result = made(views)
    assert result.convert("RGB").tobytes() == img2img(pipeline, picture(), request, 0.6)[0].tobytes()
    values = read_png(io.BytesIO(png_of(views)))
    assert (values["prompt"], values["steps"], values["seed"]) == ("a blue star", 5, 7)
    assert values["edit"] == {"kind": "img2img", "strength": 0.6} and values["model"] == "world-dit"
    assert "Denoising strength: 0.6" in result.info["parameters"]
    assert [view.running for view in views if view.running is not None] == [True, False]
    assert [f"Step {k} of 3" in views[k].notice for k in (1, 2)] == [True, True]  # int(5 x 0.6) steps


def png_of(views: list[edit.View]) -> bytes:
    [found] = re.findall(r'data-part="after" src="data:image/png;base64,([^"]+)"', views[-1].result or "")
    return base64.b64decode(found)


@pytest.mark.parametrize("feather", [0, 2, 16])
def test_outside_of_the_mask_no_pixel_changes(models: Models, feather: int) -> None:
    views = press(models, painted=mask(), way="part", feather=float(feather))
    after, before = np.asarray(made(views).convert("RGB")), np.asarray(picture())
    changed = (after != before).any(axis=-1)
    assert changed[8:24, 8:24].sum() > 50
    request = models.first.request("a blue star", steps=5, guidance_scale=3.0, seed=7, expand_prompt=False)
    painted = read_mask(mask(), (SIDE, SIDE))
    [expected] = inpaint(models.first, picture(), painted, request, feather=feather, resample=editing.ROUNDS)
    assert after.tobytes() == expected.tobytes()
    changed[8:24, 8:24] = False
    assert not changed.any()
    assert f"Of the {SIDE * SIDE - 256} pixels outside of the mask, 0 have changed" in (views[-1].result or "")
    assert read_png(io.BytesIO(png_of(views)))["edit"] == {"kind": "inpaint", "feather": feather, "resample": editing.ROUNDS}
    assert 'data-part="mask"' in (views[-1].result or "")


def test_the_finding_counts_what_has_changed() -> None:
    before, hole = Image.new("RGB", (16, 16)), Image.new("L", (16, 16))
    after = before.copy()
    hole.putpixel((0, 0), 255)
    for place in ((0, 0), (5, 5), (6, 6)):
        after.putpixel(place, (0, 0, 9))
    assert editing.kept(before, after, hole) == (255, 2)
    assert "outside of the mask, 2 have changed" in edit_html.result("part", before, hole, after, b"")


def test_beyond_the_edges_the_picture_stays(models: Models) -> None:
    views = press(models, way="beyond", sides=["left", "bottom"])
    result = made(views).convert("RGB")
    assert result.size == (SIDE + 8, SIDE + 8)
    assert result.crop((8, 0, SIDE + 8, SIDE)).tobytes() == picture().tobytes()
    facts = read_png(io.BytesIO(png_of(views)))["edit"]
    assert facts == {"kind": "outpaint", "left": 8, "bottom": 8, "feather": 2, "resample": 3}


def test_other_words_draw_a_drawn_picture_again(models: Models) -> None:
    *_, first = edit.draw_first(models, ("world-dit", "a red star", 5.0))
    assert first.start is not None and first.running is False
    views = press(models, first.start[0], way="words")
    facts = read_png(io.BytesIO(png_of(views)))
    assert facts["edit"]["drawn_again"] is True and facts["seed"] == 5 and facts["prompt"] == "a blue star"
    assert facts["edit"]["before"] == "a red star"
    [before] = re.findall(r'data-part="before" src="data:image/png;base64,([^"]+)"', views[-1].result or "")
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(before))), np.int16)
    assert np.abs(shown - np.asarray(read_start(first.start[0]).image, np.int16)).max() <= 2
    other = press(models, first.start[0], way="words", first="a big star")  # these words did not draw it
    assert read_png(io.BytesIO(png_of(other)))["edit"]["drawn_again"] is False
    taken = press(models, way="words", weights="blue=2")
    facts = read_png(io.BytesIO(png_of(taken)))["edit"]
    assert facts["drawn_again"] is False and facts["weights"] == {"blue": 2.0}
    own = read_start(first.start[0]).request
    assert own is not None
    expected = change_words(models.first, own, "a blue star")
    assert made(views).convert("RGB").tobytes() == expected[1].tobytes() != expected[0].tobytes()
    request = models.first.request("a red star", guidance_scale=GUIDANCE, expand_prompt=False)
    expected = change_picture(models.first, picture(), request, "a blue star", WordChange(weights={"blue": 2.0}))
    assert made(taken).convert("RGB").tobytes() == expected[1].tobytes()


def test_weights_of_words() -> None:
    assert editing.read_weights("red=2, small tree = 0.5;") == {"red": 2.0, "small tree": 0.5}
    assert editing.read_weights("  ") == {}
    for bad in ("red", "red=", "=2", "red=much", "red=2=3", 7, None, "x=1," * 99):
        with pytest.raises(RequestError, match="can't be read"):
            editing.read_weights(bad)


@pytest.mark.parametrize("factor", [2, 4])
def test_larger(models: Models, factor: int) -> None:
    views = press(models, way="larger", factor=float(factor))
    result, page = made(views), views[-1].result or ""
    assert result.size == (factor * SIDE, factor * SIDE)
    assert read_png(io.BytesIO(png_of(views)))["edit"] == {"kind": "upscale", "factor": factor}
    small = np.asarray(result.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)
    assert np.abs(small - np.asarray(picture(), np.float32)).mean() < 12  # the same picture
    assert '<input type="range"' in page and f"after, {factor * SIDE} × {factor * SIDE}" in page


def test_a_style_changes_the_picture_and_not_the_shared_model(models: Models) -> None:
    shipped = Models(load_pipeline("world-dit", device="cpu", dtype="float32"))
    assert editing.styles_of("world-dit") == ["neon", "outline", "pixel-art", "watercolour", "woodcut"]
    start, vae = uri(png(picture(64, 64))), shipped.first.vae
    weights = {name: value.clone() for name, value in vae.state_dict().items()}
    results = {w: made(press(shipped, start, way="style", style="woodcut", style_weight=w)) for w in (0.0, 0.8)}
    assert results[0.0].convert("RGB").tobytes() != results[0.8].convert("RGB").tobytes()
    assert results[0.8].size == (64, 64)
    assert results[0.8].info["parameters"].startswith("Edit: style, LoRAs: <lora:woodcut:0.8>")
    assert shipped.first.vae is vae and all(bool((vae.state_dict()[name] == value).all()) for name, value in weights.items())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"way": "magic"}, "no such way"), ({"way": ["anew"]}, "no such way"), ({"prompt": " "}, "prompt is empty"),
        ({"prompt": None}, "must be text"), ({"prompt": "x" * 999}, "999 characters"), ({"strength": 0}, "above 0"),
        ({"strength": None}, "above 0"), ({"strength": 0.1}, "makes none of 5 steps"), ({"steps": 51}, "1 to 50"),
        ({"steps": 2.5}, "1 to 50"), ({"guidance": 99}, "0 to 15"), ({"seed": -1}, "seed must be"),
        ({"way": "part", "feather": 17}, "0 to 16"), ({"way": "part", "feather": "2"}, "0 to 16"),
        ({"way": "beyond", "sides": []}, "No side is chosen"), ({"way": "beyond", "sides": "left"}, "No side is chosen"),
        ({"way": "beyond", "sides": ["up"]}, "No side is chosen"), ({"way": "beyond", "pixels": 129}, "1 to 128"),
        ({"way": "beyond", "pixels": 0}, "1 to 128"), ({"way": "words", "prompt": "a red star"}, "two prompts are the same"),
        ({"way": "words", "first": ""}, "prompt is empty"), ({"way": "words", "weights": "moon=2"}, "have the word 'moon'"),
        ({"way": "words", "weights": "star=9"}, "-2 to 5"), ({"way": "larger", "factor": 3}, "2 or 4"),
        ({"way": "larger", "factor": None}, "2 or 4"), ({"way": "style", "style": "../x"}, "no style '../x'"),
        ({"way": "style", "style": ["neon"]}, "no style"), ({"way": "style", "style_weight": 3}, "-1 to 2"),
        ({"way": "style", "style_weight": float("nan")}, "-1 to 2"), ({"model": "../x"}, "There is no model '../x'"),
        ({"way": "words", "model": "world-pixels", "first": "star", "prompt": "circle"}, "single words"),
        ({"way": "style", "model": "world-pixels"}, "no styles for world-pixels"),
    ],
)  # fmt: skip
def test_what_is_sent_is_checked_again(models: Models, changes: dict[str, Any], says: str) -> None:
    view = press(models, painted=mask(), **changes)[-1]
    assert says.replace("'", "&#x27;") in view.notice and 'lang="vi"' in view.notice, view.notice
    assert view.running is False and not view.finished


# Behaviour


def test_stop_acts_within_a_step(models: Models) -> None:
    for way in ("anew", "part", "beyond", "words"):
        asked: list[None] = []

        def stopped(asked: list[None] = asked) -> bool:
            asked.append(None)
            return len(asked) > 1

        views = press(models, painted=mask(), way=way, steps=50.0, stopped=stopped)
        assert len(views) == 3 and "Stopped." in views[-1].notice and views[-1].running is False and not views[-1].finished
    views = list(edit.draw_first(models, ("world-dit", "a red star", 5.0), stopped=lambda: True))
    assert "Stopped." in views[-1].notice and views[-1].start is None


def test_an_edit_has_a_time_limit(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minidiff.studio.callbacks.MAX_SECONDS", 10.0)
    ticks = iter(range(10**6))
    views = press(models, steps=50.0, clock=lambda: next(ticks))
    assert "Stopped after 10 seconds" in views[-1].notice and len(views) < 15


def test_each_edit_is_charged_by_what_the_network_does(models: Models) -> None:
    costs = {}
    for way in WAYS:
        if way != "style":
            job = begin(models.first, edit.make_edit(tuple((VALUES | {"way": way, "steps": 20.0}).values())), START, mask())
            costs[way] = job.evaluations
    assert costs == {"anew": 24, "part": 120, "beyond": 120, "words": 140, "larger": 0}
    bucket = TokenBucket(burst=2, rate=0.5, clock=lambda: 0.0)
    assert len(press(models, painted=mask(), way="part", steps=20.0, client="a", bucket=bucket)) > 2  # costs 3 of 2
    [view] = press(models, way="larger", client="a", bucket=bucket)
    assert "wait 4 seconds" in view.notice and view.running is False
    [view] = edit.draw_first(models, ("world-dit", "a star", 1), client="a", bucket=bucket)
    assert "wait 4 seconds" in view.notice


def test_what_breaks_is_said_without_its_reason(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ValueError("secret path")

    monkeypatch.setattr(editing.img2img, "stream", broken)
    view = press(models)[-1]
    assert "went wrong on our side" in view.notice and "secret" not in view.notice and view.running is False


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", '"><img src=x>', "${alert(1)}", "`x`"])
def test_what_a_visitor_writes_stays_text(models: Models, evil: str) -> None:
    given = {"way": "words", "weights": f"{evil}=2"}, {"way": "style", "style": evil}, {"prompt": evil}, {"way": evil}
    for changes in given:
        page = "".join(f"{view.notice}{view.result or ''}" for view in press(models, **changes))
        assert "<script" not in page and "<img src=x" not in page and not re.search(r"[{}`]|\$\{", page)
    for text in (f"data:image/png;base64,{evil}", evil):
        page = edit.take(models, "world-dit", text, True).notice
        assert "<script" not in page and "<img src=x" not in page


def test_switching_relabels_every_control() -> None:
    english, vietnamese = edit.relabel("en"), edit.relabel("vi")
    without = {"first_notice", "start_view", "about", "notice", "view", "start", "given", "mask"}
    assert set(english) == set(edit.Controls.__dataclass_fields__) - without
    for name in english:
        same = [key for key in english[name] if key != "__type__" and english[name][key] == vietnamese[name][key]]
        assert same == (["label"] if name in ("seed", "first_seed") else []), name


def test_choosing_a_way_shows_what_it_uses_and_brings_its_example() -> None:
    for way in WAYS:
        shown = {name for name, one in zip(edit.KNOBS, edit.visible(way), strict=True) if one["visible"]}
        assert shown == edit.USED[way] - {"prompt"}
    assert edit.example("words", EDITS["anew"]["en"], "vi") == EDITS["words"]["vi"]
    assert edit.example("words", "my own words", "vi") == "my own words"
    assert edit.example("larger", EDITS["anew"]["en"], "en") == EDITS["anew"]["en"]


def test_an_edit_says_what_it_was_asked() -> None:
    asked = edit.make_edit(tuple(VALUES.values()))
    assert asked == Edit(
        "anew", "a red star", "a blue star", 0.6, 2, ["right"], 8, "", 2, "watercolour", 0.8, 5, 3.0, 7
    )
