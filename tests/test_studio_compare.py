"""Compare without a browser: which cells a grid has, how they are drawn and judged, and the files that bring a grid back."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from minidiff.data.world.scenes import COLOURS, SETTINGS, SHAPES, Group, Scene
from minidiff.diffusion.samplers import SAMPLERS
from minidiff.evaluate.judge import Detection, Seen
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.prompt_reader import Reading
from minidiff.pipelines.request import Request, RequestError
from minidiff.pipelines.zoo_rows import sampling_models
from minidiff.studio import compare_html, comparing, grid_picture, judged
from minidiff.studio.comparing import (
    KINDS,
    MAX_CELLS,
    Comparison,
    GridError,
    cells_of,
    draw_cells,
    evaluations,
    from_json,
    saved,
    to_json,
    variants,
)
from minidiff.studio.judged import Judge, Judgement
from minidiff.studio.labels import VARIANTS
from minidiff.studio.models import Models
from minidiff.studio.security import TokenBucket
from minidiff.studio.tabs import compare


@pytest.fixture(scope="module")
def models(whole_zoo: Path) -> Models:
    load = partial(load_pipeline, device="cpu", dtype="float32", root=whole_zoo)
    return Models(load("world-dit"), sampling_models(whole_zoo), load)


class NoJudge(Judge):
    def verdict(self, *_: Any) -> None:
        return None


def grid(kind: str = "samplers", **changes: Any) -> Comparison:
    given: dict[str, Any] = {"prompt": "a red star", "model": "world-dit", "step_counts": (1, 2), "samplers": ("ddim", "heun")}
    return Comparison(kind, **given | changes)  # type: ignore[arg-type]


# What is drawn


def test_samplers_are_rows_and_steps_columns_under_one_seed() -> None:
    cells = cells_of(grid(seed=9))
    asked = [(cell.row, cell.column, cell.settings["sampler"], cell.settings["steps"]) for cell in cells]
    assert asked == [(0, 0, "ddim", 1), (0, 1, "ddim", 2), (1, 0, "heun", 1), (1, 1, "heun", 2)]
    assert {cell.settings["seed"] for cell in cells} == {9}


@pytest.mark.parametrize("kind", ["guidance", "prompts", "models"])
def test_each_row_has_one_seed(kind: str) -> None:
    prompt = "a {red|blue} star" if kind == "prompts" else "star"
    comparison = grid(kind, prompt=prompt, rows=3, seed=2**31 - 2, scales=(1.0, 4.0), models=("world-dit", "world-unet"))
    cells = cells_of(comparison)
    assert len(cells) == 6 == len(comparison.row_titles) * len(comparison.column_titles)
    assert [cell.settings["seed"] for cell in cells] == [2**31 - 2] * 2 + [2**31 - 1] * 2 + [0] * 2
    differing = {"guidance": lambda c: c.settings["guidance_scale"], "prompts": lambda c: c.prompt, "models": lambda c: c.model}
    assert len({differing[kind](cell) for cell in cells}) == 2


def test_seeds_are_side_by_side() -> None:
    cells = cells_of(grid("seeds", rows=4, seed=3))
    assert [(cell.row, cell.column, cell.settings["seed"]) for cell in cells] == [(0, k, 3 + k) for k in range(4)]


def test_alternatives_in_braces() -> None:
    assert variants("a {red| blue } star") == [("a red star", "red"), ("a blue star", "blue")]
    assert variants("a {big|} star") == [("a big star", "big"), ("a star", "–")]
    assert variants(r"{\1|b} star")[0] == (r"\1 star", r"\1")
    for bad in ("a red star", "a {red} star", "{a|b} {c|d}", "{a|b", "{a|{b|c}}", "a|b}", "{a|a}", "{}"):
        with pytest.raises(GridError, match="in braces"):
            variants(bad)
    for text in VARIANTS.values():
        assert len(variants(text)) == 3


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kind": "magic"}, "choose one of samplers"),
        ({"prompt": ""}, "prompt is empty"),
        ({"prompt": None}, "must be text"),
        ({"step_counts": tuple(range(1, 20)), "samplers": ("ddim", "heun")}, "38 pictures, and a grid has at most 36"),
        ({"step_counts": tuple(range(1, 1000))}, "at most 36"),
        ({"samplers": ()}, "nothing to compare"),
        ({"samplers": ("magic",)}, "no sampler 'magic'"),
        ({"step_counts": (0,)}, "1 to 100"),
        ({"rows": 10}, "number of seeds"),
        ({"rows": True}, "number of seeds"),
        ({"seed": -1}, "seed must be"),
        ({"kind": "guidance", "scales": (99.0,)}, "0 to 15"),
        ({"kind": "prompts"}, "in braces"),
    ],
)
def test_refusals_are_sentences_in_both_languages(changes: dict[str, Any], says: str) -> None:
    given = {"kind": "samplers", **changes}
    with pytest.raises(RequestError, match=re.escape(says)) as refused:
        cells_of(grid(given.pop("kind"), **given))
    assert refused.value.text("vi") != refused.value.text("en")


def test_evaluations_are_counted_as_the_network_is_asked(models: Models) -> None:
    pipeline = models.first
    plain, asked = pipeline.fast_network, [0]

    def counted(x: Any, timestep: Any, context: Any) -> Any:
        asked[0] += len(context)
        return plain(x, timestep, context)

    counted.prepare_context = plain.prepare_context  # type: ignore[attr-defined]
    pipeline.fast_network = counted  # type: ignore[assignment]
    try:
        for sampler in SAMPLERS:
            for steps, scale in ((1, 3.0), (4, 3.0), (4, 1.0)):
                request, asked[0] = Request("a star", sampler=sampler, steps=steps, guidance_scale=scale), 0
                list(pipeline.stream(request))
                assert evaluations(pipeline, request) == asked[0], (sampler, steps, scale)
    finally:
        pipeline.fast_network = plain


# Drawing


def test_each_cell_is_the_picture_that_create_draws(models: Models) -> None:
    cells = cells_of(grid())
    drawn = [state.drawn for state in draw_cells(models, cells, NoJudge()) if state.drawn]
    for one in drawn:
        request = models.first.request(one.cell.prompt, **one.cell.settings)
        assert one.image is not None
        assert one.image.tobytes() == models.first(request)[0].tobytes()
        assert one.evaluations == evaluations(models.first, request) and one.milliseconds > 0
    assert len(drawn) == 4


def test_each_model_draws_in_its_own_manner_and_a_refusal_is_a_cell(models: Models) -> None:
    comparison = grid("models", models=("world-dit", "world-pixels", "world-unet"))
    states = list(draw_cells(models, cells_of(comparison), NoJudge()))
    drawn = [state.drawn for state in states if state.drawn]
    assert [one.refusal is None for one in drawn] == [True, False, True]
    assert states[-1].ended == "done"
    assert drawn[0].evaluations == 2 * models.first.steps
    assert "choose one of circle" in compare_html.cell(comparison, drawn[1])


def test_a_model_that_cannot_be_loaded_is_said_in_its_cell(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> Any:
        raise ValueError("secret path")

    monkeypatch.setattr(models, "get", broken)
    [state] = draw_cells(models, cells_of(grid(step_counts=(1,), samplers=("ddim",))), NoJudge())
    assert state.drawn is not None and state.drawn.image is None
    assert "could not be loaded" in str(state.drawn.refusal) and "secret" not in str(state.drawn.refusal)


def test_stop_acts_within_a_step(models: Models) -> None:
    cells = cells_of(grid(step_counts=(50, 60)))
    asked: list[None] = []

    def stopped() -> bool:
        asked.append(None)
        return len(asked) > 3

    states = list(draw_cells(models, cells, NoJudge(), stopped))
    assert states[-1].ended == "stopped" and len(states) == 5
    assert all(state.drawn is None for state in states)


def test_a_grid_has_a_time_limit(models: Models) -> None:
    ticks = iter(range(10**6))
    states = list(draw_cells(models, cells_of(grid(step_counts=(50,))), NoJudge(), most_seconds=20, clock=lambda: next(ticks)))
    assert states[-1].ended == "too_long"
    assert len(states) < 20


# The judge


STAR = Detection("star", "red", 0.5, 0.5, 0.3, 0.9)


class FakeReader:
    certainty, claim = 0.9, Scene(None, (Group("star", "red", None, 1, None),), None)

    def read(self, prompts: list[str]) -> list[Reading]:
        return [Reading(self.claim, self.certainty)]


def test_the_verdict_is_about_what_the_prompt_says(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    judge, reader, seen = Judge(), FakeReader(), [Seen((STAR,), "night")]
    judge._networks = None, reader
    monkeypatch.setattr(judged, "look", lambda network, images: seen)
    picture = Image.new("RGB", (32, 32))
    found = judge.verdict(models.first, "a red star", picture)
    assert found is not None and found.right and not found.wrong
    assert found.saw == {"en": "big red star; at night", "vi": "ngôi sao đỏ to; vào ban đêm"}
    seen[0] = Seen((replace(STAR, colour="blue"),), "night")
    assert (found := judge.verdict(models.first, "a red star", picture)) and not found.right
    assert found.wrong == ("colour",) and "star" in found.asked["en"] and "ngôi sao" in found.asked["vi"]
    seen[0] = Seen((), "sea")
    assert (found := judge.verdict(models.first, "a red star", picture)) and found.saw["vi"] == "không có gì; trên biển"
    assert judge.verdict(models.get("world-pixels"), "star", picture) is None  # no model of captions
    reader.certainty = 0.1
    assert judge.verdict(models.first, "a red star", picture) is None


def test_every_thing_of_the_world_has_words() -> None:
    for kind in SHAPES:
        for colour in COLOURS:
            for setting in SETTINGS:
                seen = Seen((replace(STAR, kind=kind, colour=colour),), setting)
                assert judged.in_english(seen) and judged.in_vietnamese(seen)


def test_without_a_judge_there_are_pictures_but_no_verdicts(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ValueError("gone")

    monkeypatch.setattr(judged, "load_judge", missing)
    judge = Judge()
    assert judge.verdict(models.first, "a red star", Image.new("RGB", (8, 8))) is None
    assert judge.networks() is None


def test_the_shipped_judge_looks(models: Models) -> None:
    """A flat picture shows no star."""
    found = Judge().verdict(models.first, "a red star", Image.new("RGB", (128, 128), "white"))
    assert found is not None and not found.right


# The page


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", '"><img src=x>', "${alert(1)}", "`x`"])
def test_what_a_visitor_writes_stays_text(models: Models, evil: str) -> None:
    prompt = "{" + evil.replace("{", "").replace("}", "") + "|b} star"
    comparison = grid("prompts", prompt=prompt, steps=1)
    page = "".join(
        compare_html.cell(comparison, state.drawn)
        for state in draw_cells(models, cells_of(comparison), NoJudge())
        if state.drawn
    )
    assert "<script" not in page and "<img src=x" not in page
    assert not re.search(r"[{}`]|\$\{", page)


VALUES = ("samplers", "a red star", ["ddim"], "1, 2", "1, 3", ["world-dit"], "world-dit", "dpmpp_2m", 3.0, 3.0, 42.0, 1.0)
NAMES = ("kind", "prompt", *compare.KNOBS)


def press(models: Models, changes: dict[str, Any] | None = None, **more: Any) -> list[compare.View]:
    given = dict(zip(NAMES, VALUES, strict=True)) | (changes or {})
    return list(compare.draw_grid(models, NoJudge(), tuple(given.values()), **more))


def test_the_grid_only_grows_so_that_each_picture_is_sent_once(models: Models) -> None:
    views = press(models)
    pages = [view.grid for view in views if view.grid is not None]
    for earlier, later in zip(pages, pages[1:], strict=False):
        assert later.startswith(earlier)
    assert [page.count("<figure>") for page in pages] == [0, 1, 2]
    assert [view.running for view in views if view.running is not None] == [True, False]
    assert "2 pictures in" in views[-1].notice and "2 tranh trong" in views[-1].notice


def test_the_files_in_the_page_bring_the_grid_back(models: Models, tmp_path: Path) -> None:
    page = press(models, lang="vi")[-1].grid or ""
    found = {}
    for name, data in re.findall(r'download="([^"]+)" href="data:[^,]+;base64,([^"]+)"', page):
        (tmp_path / name).write_bytes(base64.b64decode(data))
        comparison, notice = compare.load_grid(str(tmp_path / name), models)
        assert comparison is not None and "settings are back" in notice
        found[name] = comparison
    assert set(found) == {"minidiff-grid.png", "minidiff-grid.json"}
    assert len(set(found.values())) == 1
    given = compare.make_comparison(VALUES)
    assert found["minidiff-grid.png"] == given
    form = compare.form(given, compare.visible("samplers", models))
    assert form[:2] == ["samplers", "a red star"]
    values = [update["value"] for update in form[2:]]
    assert compare.make_comparison(("samplers", "a red star", *values)) == given


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kind": ["x"]}, "no such thing"),
        ({"prompt": 7}, "must be text"),
        ({"step_counts": "5; ten"}, "is no list of numbers"),
        ({"step_counts": "1," * 500}, "is no list of numbers"),
        ({"step_counts": None}, "is no list of numbers"),
        ({"scales": "nan", "kind": "guidance"}, "0 to 15"),
        ({"samplers": [["ddim"]]}, "list of names"),
        ({"samplers": None}, "list of names"),
        ({"models": ["../x"], "kind": "models"}, "There is no model '../x'"),
        ({"model": {"a": 1}}, "There is no model"),
        ({"steps": 10**9}, "1 to 100"),
        ({"rows": float("nan"), "kind": "seeds"}, "number of seeds"),
    ],
)
def test_what_is_sent_is_checked_again(models: Models, changes: dict[str, Any], says: str) -> None:
    [view] = press(models, changes)
    assert says.replace("'", "&#x27;") in view.notice and 'lang="vi"' in view.notice
    assert view.running is False


def test_each_picture_is_charged(models: Models) -> None:
    bucket = TokenBucket(burst=3, rate=0.5, clock=lambda: 0.0)
    for _ in range(2):  # of two pictures each: one token is left, then one is owed
        assert len(press(models, client="a", bucket=bucket)) > 1
    [view] = press(models, client="a", bucket=bucket)
    assert "wait 4 seconds" in view.notice


def test_a_stopped_grid_keeps_its_pictures_and_files(models: Models) -> None:
    asked: list[None] = []

    def stopped() -> bool:
        asked.append(None)
        return len(asked) > 2

    view = press(models, {"step_counts": "2, 50"}, stopped=stopped)[-1]
    assert "Stopped after 1 pictures" in view.notice
    assert (view.grid or "").count("<figure>") == 1 and "download=" in (view.grid or "")


def test_stop_is_for_one_page_only() -> None:
    stops = compare.Stops()
    mine, other = stops.begin("a"), stops.begin("b")
    stops.stop("a")
    stops.stop("nobody")
    assert mine.is_set() and not other.is_set()
    stops.end("a")
    assert not stops.begin("a").is_set()


def test_choosing_a_kind_shows_what_it_uses_and_mends_the_prompt(models: Models) -> None:
    for kind in KINDS:
        shown = {name for name, one in zip(compare.KNOBS, compare.visible(kind, models), strict=True) if one["visible"]}
        assert shown == compare.USED[kind]
    assert compare.example("prompts", "a red star", "vi") == VARIANTS["vi"]
    assert compare.example("seeds", "a {red|blue} star", "en") == "a red star"
    assert "value" not in compare.example("prompts", "a {red|blue} star", "en")


def test_switching_relabels_every_control() -> None:
    english, vietnamese = compare.relabel("en"), compare.relabel("vi")
    assert set(english) == set(compare.Controls.__dataclass_fields__) - {"about", "notice", "view"}
    for name in english:
        same = [key for key in english[name] if key != "__type__" and english[name][key] == vietnamese[name][key]]
        assert same == (["label"] if name == "seed" else []), name


# Files


def a_saved_grid(models: Models) -> comparing.SavedGrid:
    comparison = grid()
    drawn = [state.drawn for state in draw_cells(models, cells_of(comparison), NoJudge()) if state.drawn]
    drawn[0] = replace(drawn[0], judgement=Judgement(False, {"en": "nothing; at sea", "vi": "không có gì; trên biển"}))
    return saved(comparison, drawn)


def test_a_grid_is_read_back_as_it_was(models: Models) -> None:
    file = a_saved_grid(models)
    assert file.results[0].right is False and file.results[0].saw == "nothing; at sea"
    assert file.results[1].right is None
    assert from_json(to_json(file)) == file
    for kind in KINDS:
        prompt = "a {red|blue} star" if kind == "prompts" else "một ngôi sao"
        other = comparing.SavedGrid(grid(kind, prompt=prompt, models=("world-dit",), rows=2), ())
        assert from_json(to_json(other)) == other


def hostile(good: str) -> list[str]:
    def changed(**changes: Any) -> str:
        return json.dumps(json.loads(good) | changes)

    comparison, results = json.loads(good)["comparison"], json.loads(good)["results"]
    return [
        "", "null", "[]", "{", "[" * 100_000, "9" * 10_000, good + " " * comparing.MAX_FILE, good[:-1] + ', "format": "x"}',
        changed(format="minidiff-grid-9"), changed(more=1), changed(version=7), changed(version="x" * 50),
        changed(comparison=[]), changed(comparison=comparison | {"kind": "x"}), changed(comparison=comparison | {"evil": 1}),
        changed(comparison=comparison | {"steps": True}), changed(comparison=comparison | {"seed": 1.5}),
        changed(comparison=comparison | {"prompt": "x" * 9999}), changed(comparison=comparison | {"step_counts": [10**9]}),
        changed(comparison=comparison | {"samplers": ["<b>"]}), changed(comparison=comparison | {"step_counts": [1] * 999}),
        changed(comparison=comparison | {"samplers": []}), changed(comparison=comparison | {"guidance_scale": float("nan")}),
        changed(comparison=comparison | {"rows": 99}), changed(results=results * 50),
        changed(results=[results[0] | {"row": 99}]), changed(results=[results[0] | {"right": "yes"}]),
    ]  # fmt: skip


def test_hostile_files_are_refused_in_a_sentence(models: Models, tmp_path: Path) -> None:
    good = to_json(a_saved_grid(models))
    assert from_json(good)
    for text in hostile(good):
        with pytest.raises(GridError, match="holds no grid"):
            from_json(text)
    files = {"empty.json": b"", "broken.json": b"\xff\xfe{", "cut.png": b"\x89PNG\r\n\x1a\n", "large.json": b" " * 3_000_000}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        comparison, notice = compare.load_grid(str(tmp_path / name), models)
        assert comparison is None and "holds no grid" in notice and "không chứa bảng" in notice
        assert str(tmp_path) not in notice
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    info = PngInfo()
    info.add_itxt(grid_picture.TEXT, good.replace("world-dit", "world-secret"), lang="", tkey="")
    Image.new("RGB", (8, 8)).save(tmp_path / "other.png", pnginfo=info)
    assert compare.load_grid(str(tmp_path / "plain.png"), models)[0] is None
    comparison, notice = compare.load_grid(str(tmp_path / "other.png"), models)
    assert comparison is None and "There is no model" in notice
    assert compare.load_grid(str(tmp_path / "nowhere"), models)[0] is None
    assert compare.load_grid(None, models)[0] is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 36), (6, 6), (7, 5)])
def test_the_sheet_has_every_picture_and_is_read_again(shape: tuple[int, int]) -> None:
    rows, columns = shape
    steps = tuple(range(1, columns + 1))
    comparison = grid(samplers=tuple(SAMPLERS)[:rows], step_counts=steps, prompt="một ngôi sao " * 14)
    assert len(cells_of(comparison)) == rows * columns <= MAX_CELLS
    lime, right = Image.new("RGB", (128, 128), (10, 250, 10)), Judgement(True, {"en": "x", "vi": "x"})
    drawn = [comparing.Drawn(cell, lime, 40, 1234.5, right) for cell in cells_of(comparison)]
    sheet = grid_picture.sheet(comparison, drawn, "vi")
    assert max(sheet.size) <= 2048
    lit = sum(count for count, colour in sheet.getcolors(2**24) or [] if colour == (10, 250, 10))
    side = round((lit / (rows * columns)) ** 0.5)
    assert lit == side * side * rows * columns and side == grid_picture.LARGEST  # nothing is covered, cut off or made small
