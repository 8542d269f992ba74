"""What Create's info lines, its pictures' "why" and the tab Learn say, and where they have it from. No browser in here."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from benchmarks import edit_knobs, knobs
from minidiff.course import progress
from minidiff.course.catalogue import folders, names
from minidiff.course.progress import Points
from minidiff.course.road import ROAD
from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import render
from minidiff.evaluate.verdict import ATTRIBUTES
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.loras import shipped
from minidiff.pretrained import zoo
from minidiff.studio import app, callbacks, html, learn_html, lessons, measured, why_html
from minidiff.studio.judged import Judge, Judgement
from minidiff.studio.labels import LABELS, label
from minidiff.studio.measured import Change, Measured, MeasuredEdits
from minidiff.studio.models import Models
from minidiff.studio.tabs import create, edit, learn

STEPS = Change("steps", "20", "40", 0.9, 0.914, 0.014, -0.031, 0.06, 1000.0, 2040.0)
FOUND = Measured("world-dit", "abc", "2020-02-02", "A Processor", 48, 1, (STEPS,))


@pytest.fixture(scope="module")
def models(whole_zoo: Path) -> Models:
    def load(name: str) -> Any:
        return load_pipeline(name, "cpu", "float32", whole_zoo)

    return Models(load("world-dit"), ["world-unet", "world-pixels"], load)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Measured]:
    """What measured.json says, to be changed."""
    found = [FOUND]
    monkeypatch.setattr(measured, "shipped", lambda: found[0])
    return found


# Measured figures


def test_no_figure_is_typed() -> None:
    for key, texts in LABELS.items():
        if key.startswith("measured"):
            said = re.sub(r"([Oo]f|trên) 100\b|95 %", "", " ".join(texts.values()))  # what figures are of
            assert not re.search(r"\d", said), key


def test_an_info_line_says_what_was_measured(figures: list[Measured]) -> None:
    assert measured.info("steps", "en") == (
        "More steps, finer and slower. **20 → 40: +1 of 100 pictures right (−3 to +6), 2.0 times the time.**"
    )
    assert measured.info("steps", "vi").endswith("**20 → 40: +1 tranh đúng trên 100 (−3 đến +6), thời gian gấp 2,0 lần.**")
    figures[0] = replace(FOUND, changes=(replace(STEPS, gain=-0.2, milliseconds_after=500.0),))
    assert "−20 of 100 pictures right" in measured.info("steps", "en") and "0.5 times" in measured.info("steps", "en")
    for knob in create.MEASURED:
        assert knob == "steps" or measured.info(knob, "en") == label(f"{knob}_info", "en")
    assert create.relabel("vi")["steps"]["info"] == measured.info("steps", "vi")


def test_samplers_are_told_in_a_row_the_best_first(figures: list[Measured]) -> None:
    rows = [("ddim", 0.84, 1010.0), ("heun", 0.95, 1900.0)]
    changes = tuple(Change("sampler", "dpmpp_2m", name, 0.9, right, right - 0.9, 0, 0, 1000.0, ms) for name, right, ms in rows)
    figures[0] = replace(FOUND, changes=changes)
    said = measured.info("sampler", "en")
    assert said.endswith("**Of 100 pictures right: Heun 95 (1.9 times the time), DPM++ 2M 90, DDIM 84.**")


def test_figures_belong_to_one_model(figures: list[Measured], models: Models) -> None:
    assert 'class="note"' in callbacks.describe(models.first, "a star")
    figures[0] = replace(FOUND, model_hash=models.first.model_hash)
    assert 'class="note measured"' in callbacks.describe(models.first, "a star")
    assert 'class="note"' in callbacks.describe(models.get("world-unet"), "a star")
    assert not measured.is_measured("")


def test_what_is_shipped_can_be_read() -> None:
    found = measured.shipped()
    if measured.FILE.exists():
        assert found is not None and found.n >= 12
        assert {change.knob for change in found.changes} == set(create.MEASURED)
        assert all(one.low <= one.gain <= one.high and one.times > 0 for one in found.changes)
        assert found.date in measured.about("vi") and found.processor in measured.about("en")


def test_the_benchmark_measures_a_change(models: Models) -> None:
    rows = [row for row in knobs.changes_of(models.first) if row[:3] in (("steps", "20", "10"), ("images", "1", "4"))]
    [(n, [steps, images])] = knobs.measure(models.first, Judge().networks()[0], rows, minutes=0)  # type: ignore[index]
    assert n == 12 and 0.2 < steps.times < 0.9 < 2 < images.times < 8
    assert {row[0] for row in knobs.changes_of(models.first)} == set(create.MEASURED)
    found = knobs.change("steps", "20", "40", ([0.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]), ([1.0, 2.0, 9.0], [4.0, 4.0, 5.0]))
    assert (found.right_before, found.right_after, found.gain, found.times) == (0.25, 0.5, 0.25, 2.0)
    assert found.low <= found.gain <= found.high
    alike = knobs.interval([1.0] * 10, [1.0] * 10)  # nothing differs, which ten prompts don't prove
    torch.testing.assert_close(alike, (-1.96 / 12, 1.96 / 12))
    assert knobs.interval([0.0] * 10, [1.0] * 10)[0] > 0.5 and knobs.interval([1.0] * 10, [0.0] * 10)[1] < -0.5


def test_edit_says_what_its_strengths_were_measured_to_do() -> None:
    rows = edit_knobs.rows("strength", {0.4: (0.1, 0.99), 0.6: (0.25, 0.98), 0.8: (0.7, 0.9)})
    found = MeasuredEdits("world-dit", "ab", "2026-01-02", "a processor", 60, tuple(rows))
    assert measured.edit_info("strength", "How much.", "en", found) == (
        "How much. **world-dit, 0.4 → 0.6 → 0.8: the new words are right in 10 → 25 → 70 of 100 pictures; "
        "99 → 98 → 90 % of the rest stays.**"
    )
    assert "world-dit, 0,4 → 0,6 → 0,8: 10 → 25 → 70 trên 100 tranh" in measured.edit_info("strength", "", "vi", found)
    assert measured.edit_info("feather", "How far.", "en", found) == "How far."
    shipped = measured.shipped_edits()
    assert shipped is not None and {change.knob for change in shipped.changes} == {"strength", "style_weight"}
    assert edit.relabel("vi")["strength"]["info"].count("**") == 2


def test_scenes_to_edit_differ_in_one_colour() -> None:
    for old, new in islice(edit_knobs.recoloured(), 30):
        colours = [group.colour for group in old.groups]
        assert new.groups[0].colour not in colours
        assert replace(new, groups=(replace(new.groups[0], colour=colours[0]), *new.groups[1:])) == old


def test_the_benchmark_of_edit_tells_a_right_picture_from_an_old_and_a_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = load_pipeline(device="cpu", dtype="float32")
    rendered = lambda scene, style="flat": Image.fromarray(render(scene, 128, style).image)  # noqa: E731
    old, new = zip(*islice(edit_knobs.recoloured(), 4), strict=True)
    for made, wanted in ((new, (1, 1)), (old, (0, 1)), (old[1:] + old[:1], (0, 0.9))):
        images = iter([rendered(scene) for scene in made for _ in edit_knobs.STRENGTHS])
        monkeypatch.setattr(edit_knobs, "img2img", lambda *_, images=images: [next(images)])
        for shows, stays in edit_knobs.of_strength(pipeline, 4).values():
            assert shows == wanted[0]
            assert stays > 0.99 if wanted[1] == 1 else stays < 0.9
    monkeypatch.setattr(edit_knobs, "restyle", lambda pipeline, picture: [picture])
    assert {shows for shows, _ in edit_knobs.of_style_weight(pipeline, 2).values()} == {0}
    monkeypatch.setattr(edit_knobs, "WEIGHTS", (1.0,))
    names = [name for name in shipped(pipeline.model) if zoo.entry(name)["config"]["lora"].get("style")]
    styles = [zoo.entry(name)["config"]["lora"]["style"] for name in names if not name.endswith("-dit")]
    images = iter([rendered(scene_at(k, edit_knobs.SPLIT), style) for style in styles for k in range(2)])
    monkeypatch.setattr(edit_knobs, "restyle", lambda *_: [next(images)])
    [(shows, stays)] = edit_knobs.of_style_weight(pipeline, 2).values()
    assert shows == 1 and stays >= 0.8


# What expansion added


@pytest.mark.parametrize(
    ("prompt", "text", "shown"),
    [
        ("a red star", "a red star on the left", "a red star <ins>on the left</ins>"),
        ("please a Red star, thx", "one red star", "<ins>one</ins> red star"),
        ("một ngôi sao", "một ngôi sao ở bên trái", "một ngôi sao <ins>ở bên trái</ins>"),
        ("a <b>", "a <b> {x}", "a &lt;b&gt; <ins>&#123;x&#125;</ins>"),
    ],
)
def test_what_was_added_is_told_from_what_was_typed(prompt: str, text: str, shown: str) -> None:
    assert html.added(prompt, text) == shown
    page = html.results([b"png"], prompt, [1], [text])
    assert f'<span lang="en">Expanded to: {shown}</span><span lang="vi">Đã vẽ theo: {shown}</span>' in page
    assert 'class="legend"' in page
    assert "expanded-prompt" not in html.results([b"png"], prompt, [1], [prompt])


# Why did it fail?


class SaysSo(Judge):
    def __init__(self, found: Judgement | None) -> None:
        super().__init__()
        self.found, self._networks = found, (None, None)

    def verdict(self, *_: Any) -> Judgement | None:
        return self.found


WRONG = Judgement(
    False, {"en": "big blue star", "vi": "sao xanh"}, {"en": "a red <star>", "vi": "sao đỏ"}, ("colour", "position")
)
PICTURE = Image.new("RGB", (8, 8))


def test_why_a_picture_failed(models: Models) -> None:
    said = why_html.why(models.first, SaysSo(WRONG), "a red dragon", PICTURE)
    for words in ("<mark>dragon</mark>", "a red &lt;star&gt;", "big blue star", "sao xanh", *("a colour", "where things are")):
        assert words in said
    assert "a size" not in said and "Not as you wrote" in said and lessons.address("measuring", "vi") in said
    right = why_html.why(models.first, SaysSo(replace(WRONG, right=True, wrong=())), "a star", PICTURE)
    assert "All is as you wrote" in right and "another seed" not in right
    assert all(f"why_{name}" in LABELS for name in ATTRIBUTES)


def test_where_there_is_no_verdict_none_is_claimed(models: Models) -> None:
    assert "understood well enough" in why_html.why(models.first, SaysSo(None), "a star", PICTURE)
    assert "only the drawn world" in why_html.why(models.get("world-pixels"), SaysSo(None), "star", PICTURE)
    gone = SaysSo(None)
    gone._networks, gone._broken = None, True
    assert why_html.why(models.first, gone, "a big red star", PICTURE) == ""


def test_pictures_come_before_the_judge_and_carry_their_settings(models: Models) -> None:
    values = ("a red star", "", "dpmpp_2m", 2, 5.0, 42, 2, 0.0, True, 0.0, 1.0, 0.0)
    views = list(callbacks.generate_with(models, "world-dit", values, True, judge=SaysSo(WRONG)))
    shown = [view.results for view in views if view.results]
    assert len(shown) == 2 and "why-picture" not in shown[0] and shown[1].count("why-picture") == 2
    assert views[-1].running is False and views[-1].stage is None
    kept = re.search(r'data-settings="([^"]*)"', shown[1])
    assert kept
    settings = json.loads(__import__("html").unescape(kept[1]))
    seed = next(view.seed for view in views if view.seed is not None)
    assert settings == [*values[:5], seed, *values[6:], "world-dit", {}] and seed != 42  # the seed that was used


# Progress


def score_file(path: Path, exercises: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"exercises": exercises, "total": 0, "maximum": 0}))


def test_the_best_points_of_all_score_files_count(tmp_path: Path) -> None:
    score_file(tmp_path / "score.json", {"02.1": {"points": 3, "maximum": 10}, "01.1": {"points": 5, "maximum": 5}})
    score_file(tmp_path / "scores" / "02.json", {"02.1": {"points": 7, "maximum": 10}, "99.9": {"points": 1, "maximum": 1}})
    assert progress.progress(tmp_path) == {"02.1": Points(7, 10), "01.1": Points(5, 5)}
    with pytest.raises(ValueError, match="no folder"):
        progress.progress(tmp_path / "none")


@pytest.mark.parametrize(
    "row", [None, [], 3, {}, {"points": 3}, {"points": 11, "maximum": 10}, {"points": -1, "maximum": 10},
            {"points": True, "maximum": 1}, {"points": "3", "maximum": 10}, {"points": 0, "maximum": 0},
            {"points": 1, "maximum": 10**9}],
)  # fmt: skip
def test_strange_files_are_passed_over(tmp_path: Path, row: Any) -> None:
    score_file(tmp_path / "strange.json", {"02.1": row})
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "broken.json").write_bytes(b'{"exercises": \xff')
    (tmp_path / "folder.json").mkdir()
    score_file(tmp_path / "good.json", {"01.1": {"points": 1, "maximum": 5}})
    assert progress.progress(tmp_path) == {"01.1": Points(1, 5)}


def test_graded_files_are_read(tmp_path: Path) -> None:
    """The form is that of `minidiff grade --json`."""
    from minidiff.course.catalogue import get_exercise
    from minidiff.course.grade import Score, as_json
    from minidiff.course.judging import Finding
    from minidiff.course.say import Say

    finding = Finding(Say("a", "b"), 2, 3, None)
    report = as_json([Score(get_exercise("02.1"), (finding,))], "vi")
    (tmp_path / "score.json").write_text(json.dumps({**report, "walls": {}}))
    assert progress.progress(tmp_path) == {"02.1": Points(finding.points, finding.maximum)}


# The tab


def test_the_map_has_every_lesson_and_each_controls_lesson() -> None:
    page = learn_html.course_map({})
    for folder in folders():
        for lang in ("en", "vi"):
            assert page.count(f'href="{lessons.notebook(folder.name, lang)}"') == 1
        assert page.count(f"<b>{folder.name[:2]}</b>") == 1
        assert html.escape(ROAD[folder.name[:2]].vi) in page
    assert set(lessons.TEACHES.values()) <= set(lessons.LESSONS)
    table = learn_html.controls()
    settings = {"prompt", "negative", "model", "seed", *create.MEASURED}
    assert set(lessons.TEACHES) == settings
    for control, topic in lessons.TEACHES.items():
        assert html.both(control) in table and lessons.address(topic, "en") in table
    assert set(lessons.TABS) <= set(app.TABS)
    assert 'id="cheat-sheet"' in learn_html.formulas()


def test_the_ring_fills_with_points() -> None:
    own = list(names()["02"])
    half = {own[0]: Points(5, 10)}
    assert f"--share:{50 / len(own):.0f}%" in learn_html.stop("02_ddpm", half)
    assert f"0 of {len(own)} exercises solved, 5 of 10 points" in learn_html.stop("02_ddpm", half)
    whole = learn_html.stop("02_ddpm", {number: Points(3, 3) for number in own})
    assert "--share:100%" in whole and 'class="done"' in whole
    assert 'class="new"' in learn_html.stop("03_targets", half)


def test_scores_are_read_on_a_page_of_ones_own_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score_file(tmp_path / "score.json", {"01.1": {"points": 5, "maximum": 5}})
    said, page = learn.read(str(tmp_path))
    assert "1 exercises solved" in said and "5 of 5 points" in page
    said, page = learn.read(f"{tmp_path}/<b>none")
    assert "There is no folder" in said and "Không có thư mục" in said and "<b>none" not in said
    for bad in ("\0", "~nobody-here/x", "x" * 5000, None, 3, ["a"]):
        said, _ = learn.read(bad)
        assert said
    monkeypatch.setattr(callbacks, "PUBLIC", True)
    said, page = learn.read(str(tmp_path))
    assert "5 of 5 points" not in page and "solved" not in said


def test_switching_relabels_every_control() -> None:
    english, vietnamese = learn.relabel("en"), learn.relabel("vi")
    assert set(english) == set(learn.Controls.__dataclass_fields__) - {"notice", "map"}
    for name in english:
        assert all(value != vietnamese[name][key] for key, value in english[name].items() if key != "__type__"), name
