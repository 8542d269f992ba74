"""The graders are graded: solutions get everything, stubs nothing, and every wrong answer of `mutants/` its own hint.

A mutant is written as a learner would write it, not as the mistake in `checks/` is, so that it is the outputs that are
recognised. Answers run in this process; what a process of their own adds is in test_sandbox.py.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from minidiff.course.build import sources
from minidiff.course.checks import exercises, lessons
from minidiff.course.exercise import LANGS, Exercise, findings, outputs
from minidiff.course.extract import definitions, run_definitions
from minidiff.course.grade import Score
from minidiff.course.source import read, variants

ROOT = Path(__file__).parents[2]
ALL = [exercise for lesson in lessons() for exercise in exercises(lesson).values()]
NUMBERS = [exercise.number for exercise in ALL]


@cache
def mutants(lesson: str) -> dict[tuple[str, str], str]:
    """{(exercise, mistake): source} of one lesson's file."""
    text = (ROOT / "tests" / "course" / "mutants" / f"{lesson}.py").read_text(encoding="utf-8")
    found = re.split(r"^# %% (\d\d\.\d) (\w+)\n", text, flags=re.MULTILINE)[1:]
    return {(number, name): source for number, name, source in zip(found[::3], found[1::3], found[2::3], strict=True)}


MUTANTS = [key for lesson in lessons() for key in mutants(lesson)]


def exercise_of(number: str) -> Exercise:
    return exercises(number[:2])[number]


def score(exercise: Exercise, source: str) -> Score:
    """What the definitions in `source` get, in the company of the other exercises' references."""
    space = run_definitions(source, exercise.name)
    answer = space[exercise.name]
    others = {e.name: e.reference for e in exercises(exercise.number[:2]).values() if e.name != exercise.name}
    space.update({**exercise.support, **others})
    return Score(exercise, tuple(findings(exercise, outputs(exercise, answer))))


@pytest.mark.parametrize(("number", "name"), MUTANTS, ids=[" ".join(key) for key in MUTANTS])
def test_a_wrong_answer_is_caught_with_its_own_hint(number: str, name: str) -> None:
    exercise = exercise_of(number)
    found = score(exercise, mutants(number[:2])[number, name])
    (mistake,) = [mistake for mistake in exercise.mistakes if mistake.name == name]
    assert found.points < found.maximum
    assert [found.hint(lang) for lang in LANGS] == [mistake.hint.of(lang) for lang in LANGS]


@pytest.mark.parametrize("number", NUMBERS)
def test_an_exercise_knows_three_mistakes_and_each_is_handed_in(number: str) -> None:
    exercise = exercise_of(number)
    names = [mistake.name for mistake in exercise.mistakes]
    assert len(names) >= 3 and len(set(names)) == len(names)
    assert {name for n, name in mutants(number[:2]) if n == number} == set(names)
    hints = [mistake.hint.of(lang) for mistake in exercise.mistakes for lang in LANGS]
    assert len(set(hints)) == len(hints), "each mistake has its own words, in each language"


@pytest.mark.parametrize("number", NUMBERS)
def test_the_reference_and_the_solution_get_every_point_and_the_stub_none(number: str) -> None:
    exercise = exercise_of(number)
    faces = variants(exercise_cell(number))
    shared = [cell.code for cell in cells(number[:2]) if shared_cell(cell)]
    solution, stub = (
        score(exercise, definitions([*shared, faces[face]]).needed_by(exercise.name)) for face in ("solution", "stub")
    )
    assert solution.points == solution.maximum == exercise.points, solution.hint("en")
    assert stub.points == 0
    assert all(finding.message is None for finding in findings(exercise, outputs(exercise, exercise.reference)))


@cache
def cells(lesson: str) -> list[Any]:
    (source,) = sources(ROOT, lesson)
    return read(source)


def shared_cell(cell: Any) -> bool:
    """A code cell of the exercise notebook that belongs to no exercise: its imports."""
    return cell.is_code and cell.only in ("exercise", "both") and not cell.exercise


def exercise_cell(number: str) -> Any:
    (cell,) = [cell for cell in cells(number[:2]) if cell.is_code and cell.exercise == number and not cell.role]
    return cell


@pytest.mark.parametrize("number", NUMBERS)
def test_an_exercise_says_what_it_is_worth_in_both_languages(number: str) -> None:
    exercise = exercise_of(number)
    assert exercise.number == number and exercise.title.en and exercise.title.vi
    assert 1 <= exercise.difficulty <= 5 and exercise.minutes > 0 and exercise.points >= 3
    assert all(probe.what.en and probe.what.vi for probe in exercise.probes)
    hints = [cell for cell in cells(number[:2]) if cell.role == "hints" and cell.exercise == number]
    for lang in LANGS:
        assert [cell.text(lang).count("\n---\n") for cell in hints] == [2], "a ladder of three hints"


@pytest.mark.parametrize("lesson", lessons())
def test_a_lesson_has_three_to_five_exercises_and_a_payoff(lesson: str) -> None:
    assert 3 <= len(exercises(lesson)) <= 5
    assert any(cell.role == "payoff" for cell in cells(lesson))
