"""The graders are graded: solutions get everything, stubs nothing, and answers as learners write them what they deserve.

Answers run in this process; what a process of their own adds is in test_sandbox.py.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from minidiff.course.build import lesson_folders
from minidiff.course.catalogue import exercises, get_exercise, lessons
from minidiff.course.judging import agree, findings, judge, problem
from minidiff.course.probing import outcomes
from minidiff.course.say import LANGS
from minidiff.course.tried import Answer, answers_of, verdict

ROOT = Path(__file__).parents[2]
NUMBERS = [number for lesson in lessons() for number in exercises(lesson)]
ANSWERS = [answer for lesson in lessons() for answer in answers_of(ROOT, lesson)]


@pytest.mark.parametrize(
    "answer", ANSWERS, ids=[f"{a.number} {'right' if a.right else 'wrong'} {a.mistake} {a.what}" for a in ANSWERS]
)
def test_an_answer_gets_what_it_deserves(answer: Answer) -> None:
    found = verdict(answer)
    assert found.as_it_should, f"{found.points} of {found.maximum}: {found.said}"


def test_enough_was_tried() -> None:
    wrong = [answer for answer in ANSWERS if not answer.right]
    assert len(ANSWERS) >= 300 and len(ANSWERS) - len(wrong) >= 80
    assert sum(answer.hinted for answer in wrong) >= 0.75 * len(wrong)
    for lesson in lessons():
        assert sum(answer.number.startswith(lesson) for answer in ANSWERS) >= 40, lesson


@pytest.mark.parametrize("number", NUMBERS)
def test_a_solution_gets_every_point_agrees_with_the_library_and_the_stub_gets_none(number: str) -> None:
    exercise = get_exercise(number)
    assert [o for o in exercise.expected if o.error or o.changed or o.settings] == []
    theirs = outcomes(exercise.probes, exercise.function(exercise.library))
    for probe, check, own, other in zip(exercise.probes, exercise.checks, exercise.expected, theirs, strict=True):
        assert agree(probe, own, other), (check.en, problem(probe, own, other))
    for lang in LANGS:
        solved = findings(exercise, outcomes(exercise.probes, exercise.function(exercise.solved(lang))))
        assert all(finding.passed for finding in solved)
        assert sum(finding.points for finding in judge(exercise, exercise.function(exercise.stub(lang)))) == 0


@pytest.mark.parametrize("number", NUMBERS)
def test_each_mistake_is_caught_and_differs_from_the_others(number: str) -> None:
    exercise = get_exercise(number)
    assert len(exercise.mistakes) >= 3
    seen: list[tuple[str, list]] = []
    for mistake in exercise.mistakes:
        theirs = [exercise.given_by(mistake, place) for place in range(len(exercise.probes))]
        assert any(problem(*triple) for triple in zip(exercise.probes, exercise.expected, theirs, strict=True)), mistake.name
        for name, others in seen:
            alike = all(agree(probe, one, other) for probe, one, other in zip(exercise.probes, theirs, others, strict=True))
            assert not alike, f"{mistake.name} and {name} are one mistake"
        seen.append((mistake.name, theirs))
        heard = findings(exercise, theirs)
        assert {f.message for f in heard if f.message} == {mistake.hint}, mistake.name
    hints = [mistake.hint.of(lang) for mistake in exercise.mistakes for lang in LANGS]
    assert len(set(hints)) == len(hints), "each mistake has its own words, in each language"


@pytest.mark.parametrize("number", NUMBERS)
def test_an_exercise_says_what_it_is_worth_in_both_languages_and_fits_a_narrow_page(number: str) -> None:
    exercise = get_exercise(number)
    assert 1 <= exercise.difficulty <= 5 and exercise.minutes > 0 and exercise.points >= 3
    assert all(check.en and check.vi and check.en != check.vi for check in exercise.checks)
    assert exercise.docstring.en != exercise.docstring.vi and exercise.steps.en != exercise.steps.vi
    for text in (
        exercise.stub("en"),
        exercise.stub("vi"),
        exercise.solved("en"),
        exercise.solved("vi"),
        exercise.payoff,
        exercise.shown,
    ):
        ast.parse(text)
        assert [line for line in text.split("\n") if len(line) > 88] == []


def test_the_assessment_is_worth_100_points_in_90_minutes() -> None:
    own = exercises("17")
    points = [own[f"17.{k}"].points for k in range(1, 17)]
    assert points == [6, 8, 8, 8, 5, 5, 5, 10, 5, 5, 10, 5, 6, 6, 4, 4] and sum(e.minutes for e in own.values()) == 90


@pytest.mark.parametrize("folder", lesson_folders(ROOT), ids=lambda folder: folder.name)
def test_a_lesson_has_three_to_six_exercises_and_a_payoff(folder: Path) -> None:
    own = exercises(folder.name[:2])
    assert 3 <= len(own) <= 6 or folder.name == "17_final_assessment"
    assert any(exercise.payoff for exercise in own.values())
