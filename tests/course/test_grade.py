"""From a notebook to a score and its reports. Answers run in this process; one of their own is tested in test_sandbox.py."""

from __future__ import annotations

import json
import os
import time
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest

from minidiff.course import extract
from minidiff.course import grade as module
from minidiff.course.catalogue import exercises, get_exercise
from minidiff.course.exercise import Exercise
from minidiff.course.extract import answers_in, run_statements
from minidiff.course.grade import Graded, GradeRun, NotebookError, Score, as_json, as_junit, as_markdown, command, grade
from minidiff.course.judging import Finding
from minidiff.course.probing import Outcome, outcomes, probes_of
from minidiff.course.sandbox import Limits
from minidiff.course.say import Say

FIRST = get_exercise("02.1")
RIGHT = "import torch\ndef alpha_bars(betas):\n    return torch.cat([torch.ones(1, dtype=betas.dtype), (1 - betas).cumprod(0)])"
HIDDEN = """
import torch
probe(("ten betas", "mười beta"), lambda f, betas: f(betas), points=4, betas=torch.full((10,), 0.5))
"""


class Runner:
    """In the place of the sandbox: runs an answer here, and notes the limits it was given."""

    def __init__(self) -> None:
        self.limits: list[Limits] = []
        self.company: list[set[str]] = []
        self.results: Any = None  # given back instead, when set

    def __call__(
        self, name: str, source: str, company: dict[str, str], probes: tuple[str, ...], count: int, limits: Limits
    ) -> tuple[list[Outcome | Say], dict[str, bool]]:
        self.limits.append(limits)
        self.company.append(set(company))
        if self.results:
            return [self.results] * count, {"limits": True}
        answer = run_statements(source, name)[name]
        return list(outcomes([probe for code in probes for probe in probes_of(code)], answer)), {"limits": True}


def read_here(data: bytes, file: str, lessons: dict, limits: Limits) -> dict[str, Any]:
    """In the place of a process of its own."""
    try:
        return answers_in(data, file, lessons)
    except extract.NotebookError:
        return {"error": "notebook"}


@pytest.fixture(autouse=True)
def runner(monkeypatch: pytest.MonkeyPatch) -> Runner:
    made = Runner()
    monkeypatch.setattr(module, "run_answer", made)
    monkeypatch.setattr(module, "read_notebook", read_here)
    return made


def notebook(folder: Path, *cells: str, name: str = "02_ddpm.ipynb") -> Path:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(book, folder / name)
    return folder / name


def by_number(graded: Graded) -> dict[str, Score]:
    return {score.exercise.number: score for score in graded.scores}


# --- grading ----------------------------------------------------------------------------------------------------------


def test_every_exercise_of_the_lesson_has_a_score_and_the_right_answer_all_its_points(tmp_path: Path, runner: Runner) -> None:
    found = by_number(grade(notebook(tmp_path, RIGHT)))
    assert list(found) == list(exercises("02"))
    assert found["02.1"].points == found["02.1"].maximum == FIRST.points and found["02.1"].hint("en") == ""
    assert sum(score.points for score in found.values()) == FIRST.points
    assert runner.limits == [Limits(seconds=60, gigabytes=3)], "what isn't there is not run"


def test_limits_reach_the_answers_process(tmp_path: Path, runner: Runner) -> None:
    grade(notebook(tmp_path, RIGHT), Limits(7, 2))
    assert runner.limits == [Limits(7, 2)]


def test_an_answer_is_in_the_company_of_the_earlier_exercises_that_it_uses(tmp_path: Path, runner: Runner) -> None:
    grade(
        notebook(tmp_path, "def ddpm_loss(*args):\n    return q_sample(*args)", "def q_sample(*args):\n    return sample_ddpm")
    )
    assert sorted(map(sorted, runner.company)) == [[], ["q_sample"]], "never in that of later ones, nor of its own solution"


def test_hidden_checks_add_points_to_their_exercise_alone(tmp_path: Path) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "02.1_mine.py").write_text(HIDDEN, encoding="utf-8")
    found = by_number(grade(notebook(tmp_path, RIGHT), hidden=tmp_path / "hidden"))
    assert found["02.1"].points == found["02.1"].maximum == FIRST.points + 4
    assert [found[number].maximum for number in list(found)[1:]] == [e.points for e in list(exercises("02").values())[1:]]


def test_an_answer_that_could_not_be_run_fails_each_probe_for_the_same_reason(tmp_path: Path, runner: Runner) -> None:
    runner.results = Say("It stopped.", "Đã dừng.")
    (first, *_) = grade(notebook(tmp_path, RIGHT)).scores
    assert [finding.message for finding in first.findings] == [Say("It stopped.", "Đã dừng.")] * len(FIRST.probes)
    assert first.points == 0 and first.maximum == FIRST.points


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (["x = 1"], "There is no q_sample in the notebook: was its cell deleted?"),
        (["def q_samples(x): pass"], "There is no q_sample in the notebook, but there is q_samples: was it renamed?"),
        (["def sample_ddpm(x): pass"], "There is no q_sample in the notebook: was its cell deleted?"),  # another exercise
        (["def sampler(x): pass"], "there is sampler: was it renamed?"),
        (["def make_noise(x): pass"], "was its cell deleted?"),  # hardly alike
        (["x = (", "def q_sample(:"], "Code cell 2 is not valid Python"),
        (["def q_sample(:", "def q_sample(y:"], "Code cell 1 is not valid Python"),
        (["def q_sample(x):\n    from minidiff.course import catalogue"], "It uses minidiff.course, where the solutions are"),
    ],
)
def test_an_answer_that_is_not_there_is_told_what_may_have_happened(tmp_path: Path, cells: list[str], says: str) -> None:
    assert says in by_number(grade(notebook(tmp_path, *cells)))["02.2"].hint("en")


def test_a_failure_of_the_grader_is_no_failure_of_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "run_answer", full)
    with pytest.raises(module.GraderError, match=r"^Exercise 02\.1 could not be graded, and its answer is not .*No space left"):
        grade(notebook(tmp_path, RIGHT))


def test_outcomes_that_cannot_be_judged_cost_their_own_exercise_alone(tmp_path: Path, runner: Runner) -> None:
    runner.results = object()
    found = by_number(grade(notebook(tmp_path, RIGHT)))
    assert found["02.1"].points == 0 and "cannot be read" in found["02.1"].hint("en") and len(found) == len(exercises("02"))


def test_a_notebook_of_no_lesson_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotebookError, match="mine.ipynb belongs to no lesson: its name should begin with one of 00, 01"):
        grade(notebook(tmp_path, "x = 1", name="mine.ipynb"))


# --- reports ----------------------------------------------------------------------------------------------------------


def probe(name: str, points: int, maximum: int) -> Finding:
    message = None if points == maximum else Say(f"{name} | is wrong.", f"{name} | bị sai.")
    return Finding(Say(name, f"{name}-vi"), points, maximum, message)


def exercise(number: str) -> Exercise:
    own = get_exercise("02.1")
    return replace(own, number=number, name=f"name_{number[-1]}", title=Say(f"Title {number[-1]}", f"Bài {number[-1]}"))


WALLS = {"limits": True, "files": True, "calls": True}
# 6 of 10 points
SCORES = [
    Score(exercise("02.1"), (probe("shape", 2, 2), probe("values", 1, 1))),
    Score(exercise("02.2"), (probe("dtype", 3, 3), probe("noise", 0, 3), probe("ends", 0, 1))),
]


def test_a_score_adds_up_its_findings_and_hints_at_the_first_failure() -> None:
    assert [(score.points, score.maximum) for score in SCORES] == [(3, 3), (3, 7)]
    assert [SCORES[1].hint(lang) for lang in ("en", "vi")] == ["noise | is wrong.", "noise | bị sai."]
    assert SCORES[0].hint("en") == ""


def test_json_tells_what_passed_and_what_did_not() -> None:
    assert as_json(SCORES, "vi") == {
        "exercises": {
            "02.1": {"points": 3, "maximum": 3, "passed": ["shape-vi", "values-vi"], "failed": [], "hint": ""},
            "02.2": {
                "points": 3, "maximum": 7, "passed": ["dtype-vi"], "failed": ["noise-vi", "ends-vi"],
                "hint": "noise | bị sai.",
            },
        },
        "total": 6,
        "maximum": 10,
    }  # fmt: skip


def test_junit_has_a_suite_for_each_exercise_and_a_case_for_each_probe() -> None:
    text = as_junit(SCORES, "en")
    assert text.startswith("<?xml")
    suites = ET.fromstring(text.split("?>", 1)[1]).findall("testsuite")
    assert [suite.attrib for suite in suites] == [
        {"name": "02.1 name_1", "tests": "2", "failures": "0"},
        {"name": "02.2 name_2", "tests": "3", "failures": "2"},
    ]
    assert [case.attrib for case in suites[1]] == [{"classname": "02.2", "name": name} for name in ("dtype", "noise", "ends")]
    assert [[part.attrib for part in case] for case in suites[1]] == [
        [], [{"message": "noise | is wrong."}], [{"message": "ends | is wrong."}]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("lang", "pass_mark", "expected"),
    [
        (
            "en", 0.6,
            "| exercise | points | what to do next |\n|---|---|---|\n| 02.1 Title 1 | 3 / 3 |  |\n"
            "| 02.2 Title 2 | 3 / 7 | noise / is wrong. |\n\n**6 of 10 points: passed** (pass mark 60%)\n",
        ),
        (
            "vi", 0.7,
            "| bài tập | điểm | việc cần làm tiếp |\n|---|---|---|\n| 02.1 Bài 1 | 3 / 3 |  |\n"
            "| 02.2 Bài 2 | 3 / 7 | noise / bị sai. |\n\n**6 trên 10 điểm: chưa đạt** (mức đạt 70%)\n",
        ),
    ],
)  # fmt: skip
def test_markdown_is_a_table_and_a_verdict(lang: str, pass_mark: float, expected: str) -> None:
    assert as_markdown(SCORES, lang, pass_mark) == expected


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def graded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Grading gives SCORES; the list holds what it was called with."""
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(module, "grade", lambda *arguments: calls.append(arguments) or Graded(SCORES, WALLS))
    return calls


@pytest.mark.parametrize(("pass_mark", "status"), [(0, 0), (0.59, 0), (0.6, 0), (0.61, 1), (1, 1)])
@pytest.mark.usefixtures("graded")
def test_the_exit_status_is_0_at_or_above_the_pass_mark(pass_mark: float, status: int) -> None:
    assert command(GradeRun(Path("a.ipynb"), pass_mark=pass_mark)) == status


def test_without_options_it_prints_in_english_passes_at_three_fifths_and_gives_a_minute_and_3_gigabytes(
    graded: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(GradeRun(Path("a.ipynb"))) == 0
    assert graded == [(Path("a.ipynb"), Limits(60, 3, False), None, None)]
    assert capsys.readouterr().out == as_markdown(SCORES, "en", 0.6) + "\n"


def test_options_reach_the_grading(graded: list[tuple[Any, ...]], tmp_path: Path) -> None:
    command(GradeRun(Path("a.ipynb"), hidden=tmp_path, seconds=5, gigabytes=1, variant=7))
    assert graded == [(Path("a.ipynb"), Limits(5, 1), tmp_path, 7)]


@pytest.mark.usefixtures("graded")
def test_reports_are_written_where_asked_into_new_folders_and_old_ones(tmp_path: Path) -> None:
    new = tmp_path / "new" / "folder"
    run = GradeRun(Path("a.ipynb"), new / "a.json", new / "a.xml", tmp_path / "a.md", lang="vi")
    for _ in range(2):
        command(run)
    text = (new / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {**as_json(SCORES, "vi"), "walls": WALLS}
    assert text.startswith('{\n  "exercises": {\n    "02.1"') and text.endswith("\n}\n") and "bị sai" in text
    assert (new / "a.xml").read_text(encoding="utf-8") == as_junit(SCORES, "vi")
    assert (tmp_path / "a.md").read_text(encoding="utf-8") == as_markdown(SCORES, "vi", 0.6)


@pytest.mark.usefixtures("graded")
def test_a_dash_writes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command(GradeRun(Path("a.ipynb"), markdown=Path("-")))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"lang": "fr"}, "There is no language 'fr': choose --lang en or --lang vi"),
        ({"pass_mark": -0.1}, "The pass mark is -0.1, but it must be from 0 to 1"),
        ({"pass_mark": 1.1}, "The pass mark is 1.1"),
    ],
)
def test_bad_options_are_refused_before_anything_is_graded(
    graded: list[tuple[Any, ...]], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        command(GradeRun(Path("a.ipynb"), **options))
    assert graded == []


def test_where_an_answer_is_not_shut_in_it_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(module, "grade", lambda *arguments: Graded(SCORES, {**WALLS, "calls": False}))
    command(GradeRun(Path("a.ipynb")))
    assert "only time and memory of answers are limited" in capsys.readouterr().out


def test_watching_grades_again_whenever_the_notebook_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = notebook(tmp_path, "x = 1")
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 2:
            notebook(tmp_path, RIGHT)
            os.utime(path, ns=(1, 1))
        if len(naps) == 4:
            path.write_text("half written", encoding="utf-8")
        if len(naps) == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", nap)
    assert command(GradeRun(path, watch=True)) == 2
    said = capsys.readouterr().out
    assert said.count("what to do next") == 2 and said.count("is not a Jupyter notebook") == 1
    assert said.count("Waiting for 02_ddpm.ipynb to be saved; Ctrl-C ends.") == 3
