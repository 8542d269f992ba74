"""`minidiff grade --all`: a folder of notebooks, what is remembered, and the report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from chromium import needs_chromium

from minidiff.course import grade_all as module
from minidiff.course.catalogue import lessons
from minidiff.course.certificate import page
from minidiff.course.grade import GraderError, GradeRun, NotebookError, command
from minidiff.course.road import ROAD, SKILLS
from minidiff.course.sandbox import Limits

ROOT = Path(__file__).parents[2]
WALLS = {"calls": True, "files": True}


def in_a_browser(test: Callable) -> Callable:
    for mark in needs_chromium:
        test = mark(test)
    return test


class Grader:
    """In the place of grade.grade: two exercises of 5 points a lesson; a notebook's text says its points, "damaged", or "full
    disk"."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, path: Path, limits: Limits, hidden: Path | None) -> Any:
        self.seen.append(f"{path.parent.name}/{path.name}")
        text = path.read_text(encoding="utf-8")
        if text == "damaged":
            raise NotebookError(f"{path} is not a Jupyter notebook (.ipynb): save it from Jupyter once more.")
        if text == "full disk":
            raise GraderError("Exercise 01.1 could not be graded, and its answer is not to blame.")
        if text == "stop":
            raise KeyboardInterrupt
        lesson, points = path.name[:2], [int(word) for word in text.split()]
        scores = [
            SimpleNamespace(exercise=SimpleNamespace(number=f"{lesson}.{k}"), points=got, maximum=5,
                            hint=lambda lang, got=got: "" if got == 5 else {"en": "<i>Root?</i>", "vi": "Căn?"}[lang])
            for k, got in enumerate(points, start=1)
        ]  # fmt: skip
        return SimpleNamespace(scores=scores, walls=WALLS)


@pytest.fixture
def grader(monkeypatch: pytest.MonkeyPatch) -> Grader:
    made = Grader()
    monkeypatch.setattr(module, "grade", made)
    monkeypatch.setattr(module, "lessons", lambda: ["01", "02", "04"])
    monkeypatch.setattr(module, "exercises", lambda lesson: {f"{lesson}.{k}": SimpleNamespace(points=5) for k in (1, 2)})
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """All three lessons, passed."""
    home = tmp_path / "exercises"
    for name, points in (("en/01_unet", "5 5"), ("en/02_ddpm", "5 2"), ("vi/04_samplers", "5 5")):
        write(home, name, points)
    return home


def write(folder: Path, name: str, text: str) -> None:
    path = folder / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def run(folder: Path, **options: Any) -> tuple[int, dict[str, Any], str]:
    """(status, certificate.json, certificate.html)"""
    out = folder.parent / "certificate"
    status = command(GradeRun(folder, all=True, out=out, **options))
    html = (out / "certificate.html").read_text(encoding="utf-8")
    return status, json.loads((out / "certificate.json").read_text(encoding="utf-8")), html


# --- the verdict --------------------------------------------------------------------------------------------------------


def test_all_lessons_passed_is_a_certificate(folder: Path, grader: Grader, capsys: pytest.CaptureFixture[str]) -> None:
    status, report, html = run(folder)
    assert status == 0 and report["passed"] and report["left"] == [] and (report["points"], report["maximum"]) == (27, 30)
    assert "<h1>Certificate</h1>" in html and "What is missing" not in html
    assert "All 3 lessons passed, with 27 of 30 points (pass mark of each lesson 60%)." in capsys.readouterr().out


def test_one_lesson_below_its_pass_mark_is_no_certificate(folder: Path, grader: Grader) -> None:
    write(folder, "en/02_ddpm", "5 0")
    status, report, html = run(folder)
    assert status == 1 and report["left"] == ["02"] and report["lessons"]["02"]["state"] == "below the pass mark"
    assert "<h1>Progress report</h1>" in html and "<b>02.2</b> 0 / 5. &lt;i&gt;Root?&lt;/i&gt;" in html
    assert "<b>02.1</b>" not in html, "it has all its points"
    assert run(folder, pass_mark=0.5)[0] == 0


def test_a_lesson_without_a_notebook_is_missing_with_its_points(folder: Path, grader: Grader) -> None:
    (folder / "vi" / "04_samplers.ipynb").unlink()
    status, report, html = run(folder, lang="vi")
    assert status == 1 and report["lessons"]["04"] | {"lesson_sha256": ""} == {
        "title": {"en": "Steps", "vi": "Từng bước"}, "state": "no notebook", "points": 0, "maximum": 10, "notebook": "",
        "sha256": "", "lesson_sha256": "",
    }  # fmt: skip
    assert report["maximum"] == 30 and "Chưa có notebook nào của bài này chấm được." in html


@pytest.mark.parametrize(("text", "why"), [("damaged", "en/02_ddpm.ipynb is not a Jupyter"), ("full disk", "not to blame")])
def test_a_notebook_that_cannot_be_graded_is_named_and_the_others_are_graded(
    folder: Path, grader: Grader, text: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, "en/02_ddpm", text)
    status, report, html = run(folder)
    assert status == 1 and report["left"] == ["02"] and report["points"] == 20
    assert why in report["problems"]["en/02_ddpm.ipynb"] and why in html and why in capsys.readouterr().out
    assert str(folder) not in html and str(folder) not in json.dumps(report)


def test_the_better_of_two_languages_counts(folder: Path, grader: Grader) -> None:
    write(folder, "vi/02_ddpm", "5 4")
    write(folder, "vi/01_unet", "0 0")
    status, report, _ = run(folder)
    assert status == 0 and report["lessons"]["02"]["notebook"] == "vi/02_ddpm.ipynb" and report["lessons"]["02"]["points"] == 9
    assert "vi/01_unet.ipynb" not in grader.seen, "its English copy has all points"
    assert report["lessons"]["01"]["notebook"] == "en/01_unet.ipynb"


def test_it_says_what_it_was_graded_with(folder: Path, grader: Grader) -> None:
    import hashlib

    import minidiff

    _, report, html = run(folder)
    assert report["minidiff"] == minidiff.__version__ and f"minidiff {minidiff.__version__}" in html
    own = hashlib.sha256((folder / "en" / "01_unet.ipynb").read_bytes()).hexdigest()
    assert report["lessons"]["01"]["sha256"] == own and own[:10] in html
    for number in ("01", "02", "04"):
        assert report["lessons"][number]["lesson_sha256"] == module.lesson_hash(number)
        assert module.lesson_hash(number)[:10] in html
    assert "who wrote them" in html and not report["hidden_checks"]


def test_every_lesson_of_the_road_belongs_to_one_skill() -> None:
    assert sorted(number for numbers in SKILLS.values() for number in numbers) == sorted(ROAD)
    assert set(lessons()) <= set(ROAD)


def test_skills_add_up(folder: Path, grader: Grader) -> None:
    _, report, html = run(folder)
    skills = {row["skill"]["en"]: (row["lessons"], row["points"], row["maximum"]) for row in report["skills"]}
    assert skills == {
        "U-Net": (["01"], 10, 10), "diffusion and training": (["02"], 7, 10), "samplers, few steps": (["04"], 10, 10),
    }  # fmt: skip
    assert html.count('class="bar') == 3 and 'style="width: 70.0%"' in html


# --- names and options --------------------------------------------------------------------------------------------------


def test_a_name_is_text_and_never_html(folder: Path, grader: Grader) -> None:
    _, report, html = run(folder, name='  <script>alert("Ngọc")</script>\n& An ')
    assert report["name"] == '<script>alert("Ngọc")</script> & An'
    assert "&lt;script&gt;alert(&quot;Ngọc&quot;)&lt;/script&gt; &amp; An" in html and "<script" not in html


@pytest.mark.parametrize("name", ["x" * 101, "a\x1b[31mb", "a\u202eb"])
def test_a_name_that_is_none_is_refused_before_anything_is_graded(folder: Path, grader: Grader, name: str) -> None:
    with pytest.raises(ValueError, match="--name must be a name of at most 100 characters"):
        run(folder, name=name)
    assert not grader.seen


def test_there_must_be_notebooks(tmp_path: Path, grader: Grader) -> None:
    with pytest.raises(NotebookError, match="There is no folder"):
        run(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotebookError, match=r"There are no notebooks \(.ipynb\) in .*empty"):
        run(tmp_path / "empty")
    write(tmp_path, "02_ddpm", "5 5")
    with pytest.raises(NotebookError, match="leave out --all to grade a notebook alone"):
        run(tmp_path / "02_ddpm.ipynb")


@pytest.mark.parametrize("options", [{"json": Path("x")}, {"junit": Path("x")}, {"markdown": Path("x")}, {"watch": True}])
def test_options_of_one_notebook_are_refused(folder: Path, grader: Grader, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="--all writes certificate.html and certificate.json into --out"):
        run(folder, **options)


@pytest.mark.parametrize("options", [{"name": "An"}, {"out": Path("x")}])
def test_options_of_all_are_refused_for_one_notebook(folder: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="--name and --out belong to --all"):
        command(GradeRun(folder / "en" / "01_unet.ipynb", **options))
    with pytest.raises(ValueError, match=r"^missing: notebook, .* or --all"):
        command(GradeRun())


# --- what is remembered -------------------------------------------------------------------------------------------------


def again(folder: Path, grader: Grader, **options: Any) -> list[str]:
    """What is graded by a further run."""
    grader.seen.clear()
    run(folder, **options)
    return grader.seen


def test_what_is_the_same_is_not_graded_again(folder: Path, grader: Grader) -> None:
    _, first, _ = run(folder)
    assert again(folder, grader) == []
    _, second, html = run(folder, lang="vi")
    assert second | {"date": ""} == first | {"date": ""} and "<h1>Chứng nhận</h1>" in html, "not graded again"
    write(folder, "en/02_ddpm", "5 3")
    assert again(folder, grader) == ["en/02_ddpm.ipynb"]


def test_other_checks_library_or_limits_are_another_grading(
    folder: Path, grader: Grader, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run(folder)
    every = ["en/01_unet.ipynb", "en/02_ddpm.ipynb", "vi/04_samplers.ipynb"]
    assert again(folder, grader, seconds=9.0) == every
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "02.1_mine.py").write_text("probe()", encoding="utf-8")
    assert again(folder, grader, hidden=tmp_path / "hidden") == every
    assert again(folder, grader, hidden=tmp_path / "hidden") == []
    (tmp_path / "hidden" / "02.1_mine.py").write_text("probe(1)", encoding="utf-8")
    assert again(folder, grader, hidden=tmp_path / "hidden") == every
    true = module.lesson_hash
    monkeypatch.setattr(module, "lesson_hash", lambda number: "other" if number == "02" else true(number))
    again(folder, grader)
    monkeypatch.setattr(module, "lesson_hash", true)
    assert again(folder, grader) == ["en/02_ddpm.ipynb"]
    monkeypatch.setattr(module, "library_hash", lambda: "other")
    assert again(folder, grader) == every


@pytest.mark.parametrize("damage", [
    lambda text: text[:-40], lambda text: "[]", lambda text: '{"notebooks": 3}', lambda text: '{"notebooks": [null, 3, {}]}',
    lambda text: text.replace('"points": 5', '"points": 6'), lambda text: text.replace('"points": 5', '"points": "5"'),
    lambda text: text.replace('"02.1"', '"02.7"').replace('"01.1"', '"01.7"').replace('"04.1"', '"04.7"'),
])  # fmt: skip
def test_a_report_that_is_damaged_is_not_believed(folder: Path, grader: Grader, damage: Callable[[str], str]) -> None:
    _, first, _ = run(folder)
    path = folder.parent / "certificate" / "certificate.json"
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    assert len(again(folder, grader)) == 3
    assert json.loads(path.read_text(encoding="utf-8")) | {"date": ""} == first | {"date": ""}


def test_a_stop_loses_nothing(folder: Path, grader: Grader) -> None:
    write(folder, "en/02_ddpm", "stop")
    with pytest.raises(KeyboardInterrupt):
        run(folder)
    write(folder, "en/02_ddpm", "5 5")
    assert again(folder, grader) == ["en/02_ddpm.ipynb", "vi/04_samplers.ipynb"]


# --- the page, and real notebooks ---------------------------------------------------------------------------------------


@in_a_browser
@pytest.mark.parametrize("lang", ["en", "vi"])
@pytest.mark.parametrize("width", [1280, 360])
def test_the_page_fits_and_prints(browser: Any, folder: Path, grader: Grader, tmp_path: Path, width: int, lang: str) -> None:
    write(folder, "en/02_ddpm", "5 0")
    _, _, html = run(folder, name="N" * 100, lang=lang)
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    opened = browser.new_page(viewport={"width": width, "height": 900})
    opened.goto((tmp_path / "page.html").as_uri())
    assert opened.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    bars = opened.evaluate("[...document.querySelectorAll('.bar')].map(b => [b.clientWidth, b.firstChild.clientWidth])")
    assert [round(filled / whole, 1) for whole, filled in bars] == [1.0, 0.5, 1.0] and all(whole > 50 for whole, _ in bars)
    opened.close()


@pytest.mark.timeout(900)
def test_real_notebooks_of_two_lessons(tmp_path: Path) -> None:
    home = tmp_path / "exercises"
    (home / "vi").mkdir(parents=True)
    shutil.copy(ROOT / "solutions" / "vi" / "00_tour.ipynb", home / "vi")
    shutil.copy(ROOT / "exercises" / "vi" / "01_unet.ipynb", home / "vi")
    status, report, html = run(home, name="An")
    assert status == 1 and report["lessons"]["00"]["state"] == "passed" and report["lessons"]["01"]["points"] == 0
    assert report["lessons"]["00"]["points"] == report["lessons"]["00"]["maximum"] > 0
    assert report["left"] == [number for number in lessons() if number != "00"] and "NotImplementedError" in html
    _, once_more, _ = run(home, name="An")
    assert once_more | {"date": ""} == report | {"date": ""}
    one = module.remembered(tmp_path / "certificate" / "certificate.json")
    assert len(one) == 2
    changed = replace(module.report_of(GradeRun(home), list(one.values()), {}), name="<An>")
    assert "&lt;An&gt;" in page(changed, "vi")
