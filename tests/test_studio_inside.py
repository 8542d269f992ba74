"""Look inside without a browser: what is found in a drawing, and the page that shows it."""

from __future__ import annotations

import base64
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from minidiff.diffusion.schedules import get_schedule
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.messages import LANGS
from minidiff.pipelines.request import Request
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pipelines.zoo_rows import sampling_models
from minidiff.studio import callbacks, inside_html, lessons, looking_inside, theme
from minidiff.studio.labels import EXAMPLES, IN_SCRIPTS, LABELS, VARIANTS, example_in
from minidiff.studio.looking_inside import BANDS, MOMENTS, Inside, look_inside, settled_at, settling, spread
from minidiff.studio.models import Models
from minidiff.studio.security import TokenBucket
from minidiff.studio.tabs import inspect
from minidiff.utils import release

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def models(whole_zoo: Path) -> Models:
    load = partial(load_pipeline, device="cpu", dtype="float32", root=whole_zoo)
    return Models(load("world-dit"), sampling_models(whole_zoo), load)


def opened(pipeline: TextToImage, request: Request) -> Inside:
    *_, last = look_inside(pipeline, request)
    assert last.inside is not None
    return last.inside


@pytest.fixture(scope="module")
def inside(models: Models) -> Inside:
    return opened(models.first, Request("a big red star at night", steps=20, guidance_scale=3.0, seed=5))


# The drawing is Create's


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "euler_a", "heun"])
@pytest.mark.parametrize("model", ["world-dit", "world-unet"])
def test_the_moments_are_those_of_sampling_to_the_bit(models: Models, model: str, sampler: str) -> None:
    pipeline, request = models.get(model), Request("a red star", steps=12, sampler=sampler, guidance_scale=3.0, seed=7)
    found = opened(pipeline, request)
    states = list(pipeline.sample(pipeline.expanded_prompts(request), [7], [""], sampler, 12, 3.0))
    assert [moment.index for moment in found.moments] == spread(12, MOMENTS)
    for moment in found.moments:
        assert torch.equal(moment.x0, states[moment.index][2][0])
        if moment.index:
            assert torch.equal(moment.x, states[moment.index - 1][1][0])
    start = torch.randn(pipeline.latent_shape, generator=torch.Generator().manual_seed(7))
    assert torch.equal(found.moments[0].x, start)
    assert found.image.tobytes() == pipeline(request)[0].tobytes()
    assert found.moments[-1].picture.tobytes() == found.image.tobytes()


def test_every_step_is_told_before_the_end(models: Models) -> None:
    states = list(look_inside(models.first, Request("a red star", steps=4)))
    assert [state.index for state in states[:-1]] == list(range(1, 4 + 4 + 4 + 1))
    assert all(state.n == 12 and state.inside is None for state in states[:-1])


def test_moments_are_spread_evenly_with_both_ends() -> None:
    assert spread(4, 10) == [0, 1, 2, 3]
    assert spread(20, 10) == [0, 2, 4, 6, 8, 11, 13, 15, 17, 19]
    assert spread(1, 10) == [0]


def test_noise_is_a_share_of_the_variance() -> None:
    schedule = get_schedule("cosine")
    assert looking_inside.noise_share(schedule, 1.0) == pytest.approx(1, abs=1e-3)
    assert looking_inside.noise_share(schedule, 0.5) == pytest.approx(0.5, abs=0.02)
    assert looking_inside.noise_share(schedule, 0.0) == pytest.approx(0, abs=1e-3)


# Guidance


@pytest.mark.parametrize("model", ["world-dit", "world-unet"])
def test_guided_is_without_plus_scale_times_the_difference(models: Models, model: str) -> None:
    found = opened(models.get(model), Request("a red star", "blue", steps=6, guidance_scale=4.0))
    assert len(found.compared) == 5
    for one in found.compared:
        guided = one.x0_without + 4.0 * (one.x0_with - one.x0_without)
        torch.testing.assert_close(guided, found.moments[one.moment].x0, rtol=1e-4, atol=1e-4)
        assert not torch.equal(one.x0_with, one.x0_without)


def test_the_difference_is_amplified_by_what_is_said(inside: Inside) -> None:
    for one in inside.compared:
        pictures = [np.asarray(picture, dtype=np.float64) - 127.5 for picture in (one.with_words, one.without, one.difference)]
        expected = (pictures[0] - pictures[1]) * one.gain
        assert np.abs(expected - pictures[2]).max() <= 1.5 * one.gain + 1  # all three are rounded to whole numbers
        assert np.abs(pictures[2]).max() > 120


# Attention


@pytest.mark.parametrize("model", ["world-dit", "world-unet"])
def test_attention_sums_to_one_over_the_tokens(models: Models, model: str) -> None:
    attention = opened(models.get(model), Request("một ngôi sao đỏ dragon", steps=3)).attention
    assert attention is not None
    torch.testing.assert_close(attention.maps.sum(dim=3), torch.ones_like(attention.maps.sum(dim=3)))
    assert attention.maps.shape[1] == len(attention.layers)
    assert attention.maps.shape[3] == attention.words[-1].columns[-1] + 1
    assert float(attention.maps.std()) > 0


def test_words_hold_their_tokens_in_order(models: Models, inside: Inside) -> None:
    assert inside.attention is not None
    words = inside.attention.words
    pieces = [piece for word in words for piece in word.tokens]
    assert pieces == models.first.tokenizer.tokens(inside.prompt)
    assert [column for word in words for column in word.columns] == list(range(len(pieces) + 2))
    assert " ".join(word.text for word in words).strip() == inside.prompt
    long = looking_inside.words_of(models.first, "zxqjk " * 100)
    assert long[-1].columns == (models.first.tokenizer.max_tokens + 1,)


def test_the_maps_are_of_the_prompt_and_not_of_the_empty_one(models: Models) -> None:
    """With guidance off only the prompt is asked about: its maps at the first moment are the same."""
    guided, alone = (opened(models.first, Request("a red star", steps=2, guidance_scale=scale)) for scale in (5.0, 1.0))
    assert guided.attention is not None and alone.attention is not None
    torch.testing.assert_close(guided.attention.maps[0], alone.attention.maps[0], rtol=1e-4, atol=1e-5)


def test_heads_and_layers_are_averaged_when_they_are_many(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request("a red star", steps=2)
    whole = opened(models.first, request).attention
    assert whole is not None
    for most, shape in ((whole.maps.numel() - 1, (2, 2, 1)), (10, (2, 1, 1))):
        monkeypatch.setattr(looking_inside, "MAX_NUMBERS", most)
        few = opened(models.first, request).attention
        assert few is not None
        assert few.maps.shape[:3] == shape
        torch.testing.assert_close(few.maps.mean(dim=(1, 2)), whole.maps.mean(dim=(1, 2)))


def test_a_model_of_labels_looks_at_no_words(models: Models) -> None:
    found = opened(models.get("world-pixels"), Request("star", steps=2))
    assert found.attention is None
    page = inside_html.page(models.get("world-pixels"), found)
    page = re.sub(r"data-inside=\S+", "", page)
    assert "t look at single words" in page
    assert "red, green and blue" in page


# When what settles


def test_settling_ends_at_one_and_begins_at_the_farthest(inside: Inside) -> None:
    for band in BANDS:
        curve = inside.nearness[band]
        assert curve[-1] == 1
        assert min(curve) == 0


def picture(array: np.ndarray) -> Image.Image:
    return Image.fromarray(array.round().clip(0, 255).astype(np.uint8))


def test_each_band_sees_its_own_kind_of_change() -> None:
    """A picture that gets its colour first, then its layout, then its detail."""
    flat = np.zeros((64, 64, 3)) + 60
    colour = flat + [80, 0, 40]
    wave = np.sin(np.arange(64) / 64 * 2 * np.pi)[:, None, None] * 40
    stripes = np.where(np.arange(64) % 2, 15, -15)[None, :, None]
    curves = settling([picture(one) for one in (flat, colour, colour + wave, colour + wave + stripes)])
    assert [settled_at(curves[band]) for band in ("colour", "layout", "detail")] == [1, 2, 3]


def test_equal_pictures_are_settled_at_once() -> None:
    assert settling([picture(np.zeros((8, 8, 3)))] * 3) == dict.fromkeys(BANDS, (1, 1, 1))
    assert settled_at((1.0, 1.0)) == 0
    assert settled_at((0.9, 0.5, 0.9, 1.0)) == 2


# The page


def test_the_page_holds_what_was_found(models: Models, inside: Inside) -> None:
    page = inside_html.page(models.first, inside)
    [encoded] = re.findall(r'data-inside="([^"]+)"', page)
    told = json.loads(base64.b64decode(encoded))
    assert [one["step"] for one in told["moments"]] == [moment.index + 1 for moment in inside.moments]
    assert told["moments"][0]["noise"] == 100
    assert len(told["moments"][0]["channels"]) == 2 and len(told["moments"][0]["channels"][0]) == 4
    assert inside.attention is not None
    roots = np.frombuffer(base64.b64decode(told["attention"]["maps"]), np.uint8).reshape(told["attention"]["shape"])
    assert np.abs((roots / 255.0) ** 2 - inside.attention.maps.numpy()).max() < 0.005
    assert page.count('<span lang="en">') == page.count('<span lang="vi">') > 10
    assert len(page) < 2_000_000


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", '"><img src=x>', "${alert(1)}", "{{value}}"])
def test_what_a_visitor_writes_stays_text(models: Models, evil: str) -> None:
    page = inside_html.page(models.first, opened(models.first, Request(evil, steps=1, expand_prompt=False)))
    assert evil not in page
    assert "<script" not in page and "<img src=x" not in page
    assert not re.search(r"\$\{|\{\{", page)


def test_the_finding_is_read_off_the_curves(inside: Inside) -> None:
    said = inside_html.finding(inside)
    for band in BANDS:
        noise = round(100 * inside.moments[settled_at(inside.nearness[band])].noise)
        name = LABELS[f"inside_{band}"]["en"].lower()
        assert re.search(rf"{name} (is settled )?at {noise} %", said), (band, said)


def test_lessons_are_those_of_the_course() -> None:
    assert lessons.address("steps", "vi") == f"{release.LESSONS}/vi/04_samplers.ipynb"
    for topic, name in lessons.LESSONS.items():
        for lang in LANGS:
            assert (ROOT / "lessons" / lang / f"{name}.ipynb").is_file(), topic
            assert lessons.address(topic, lang).endswith(f"/{lang}/{name}.ipynb")


def test_scripts_find_their_words() -> None:
    used = set(re.findall(r'say\("(\w+)"', theme._text(theme.SCRIPTS)))
    used |= set(re.findall(r'"(inside_\w+)"', theme._text(theme.SCRIPTS)))
    assert used == set(IN_SCRIPTS)


# The button


VALUES = ("world-dit", "a red star", 42.0, 3.0, 3.0)


def press(models: Models, *values: Any, **more: Any) -> list[tuple[str, str | None]]:
    return list(inspect.open_up(models, values, **more))


def test_one_press_shows_everything(models: Models) -> None:
    shown = press(models, *VALUES)
    assert "Waiting" in shown[0][0]
    assert "Opening it up: 1 of 9" in shown[1][0] and "Đang mở ra: 1 trên 9" in shown[1][0]
    assert all(view is None for _, view in shown[:-1])
    assert "minidiff-inside" in (shown[-1][1] or "")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (("../secret", "a star", 42, 3, 3.0), "There is no model"),
        (("world-dit", " ", 42, 3, 3.0), "prompt is empty"),
        (("world-dit", "x" * 201, 42, 3, 3.0), "201 characters"),
        (("world-dit", None, 42, 3, 3.0), "must be text"),
        (("world-dit", "a star", -1, 3, 3.0), "seed must be"),
        (("world-dit", "a star", 42, 51, 3.0), "1 to 50, not 51"),
        (("world-dit", "a star", 42, 2.5, 3.0), "not 2.5"),
        (("world-dit", "a star", 42, 3, float("nan")), "0 to 15"),
        (("world-pixels", "a red star", 42, 3, 3.0), "choose one of circle"),
    ],
)
def test_refusals_are_shown_in_both_languages(models: Models, values: tuple[Any, ...], says: str) -> None:
    shown = press(models, *values)
    assert says in shown[-1][0] and 'lang="vi"' in shown[-1][0]
    assert all(view is None for _, view in shown)


def test_it_is_charged_and_cannot_take_for_ever(models: Models) -> None:
    bucket = TokenBucket(burst=inspect.COST, rate=0.1, clock=lambda: 0.0)
    assert press(models, *VALUES, client="a", bucket=bucket)[-1][1]
    assert "wait 10 seconds" in press(models, *VALUES, client="a", bucket=bucket)[-1][0]
    hours = iter(range(0, 10**7, 3600))
    shown = press(models, *VALUES, clock=lambda: next(hours))
    assert len(shown) == 2 and f"Stopped after {callbacks.MAX_SECONDS:.0f}" in shown[-1][0]


def test_it_stops_within_a_step_and_gives_back_what_was_not_done(models: Models) -> None:
    bucket = TokenBucket(burst=inspect.COST, rate=0.1, clock=lambda: 0.0)
    asked = iter([False, True])
    shown = press(models, *VALUES, client="a", bucket=bucket, stopped=lambda: next(asked))
    assert len(shown) == 3 and "Stopped." in shown[-1][0] and all(view is None for _, view in shown)
    assert bucket.wait("a", 1.0) == 0  # of two tokens one came back


def test_an_example_follows_the_language_and_what_was_typed_does_not() -> None:
    assert example_in(EXAMPLES[0], "vi") == EXAMPLES[1] and example_in(EXAMPLES[1], "en") == EXAMPLES[0]
    assert example_in(EXAMPLES[3], "vi") == EXAMPLES[3]
    assert example_in(VARIANTS["en"], "vi") == VARIANTS["vi"]
    assert example_in("my own words", "vi") == "my own words" and example_in(None, "vi") is None


def test_switching_relabels_every_control() -> None:
    english, vietnamese = inspect.relabel("en"), inspect.relabel("vi")
    assert set(english) == set(inspect.Controls.__dataclass_fields__) - {"note", "notice", "view"}
    for name in english:
        same = [key for key in english[name] if key != "__type__" and english[name][key] == vietnamese[name][key]]
        assert same == (["label"] if name == "seed" else []), name
