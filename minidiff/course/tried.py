"""`minidiff course try`: hands answers that learners might write to the grader, and tells how it took them.

The answers to a lesson are sections of `tests/course/answers/NN.py`:

    # %% 02.1 right a loop that multiplies              gets every point
    # %% 02.1 wrong added cumsum for the product        doesn't, and hears the hint of the mistake `added`
    # %% 02.1 wrong @input scales betas in place        ... or the engine's: @input, @state, @kind, @crash
    # %% 02.1 wrong - forgets the dtype                 ... or none of its own
"""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import tyro

from minidiff.course.catalogue import get_exercise, lessons
from minidiff.course.exercise import Exercise, source_of
from minidiff.course.extract import definitions, run_statements
from minidiff.course.judging import KINDS, Finding, input_changed, judge, setting_changed
from minidiff.course.probing import SETTINGS
from minidiff.course.source import SourceError

ANSWERS = Path("tests/course/answers")
SECTION = re.compile(r"^# %% (\d\d\.\d+) (right|wrong) (.*)\n", re.MULTILINE)


@dataclass(frozen=True)
class Answer:
    """number: of the exercise; mistake: whose hint a wrong one should hear, "-" for none; what: one line on it; code: its
    text."""

    number: str
    right: bool
    mistake: str
    what: str
    code: str

    @property
    def hinted(self) -> bool:
        return self.mistake not in ("", "-", "@crash")


@dataclass(frozen=True)
class Verdict:
    """How the grader took an answer: points, and the first message in English."""

    answer: Answer
    points: int
    maximum: int
    said: str
    as_it_should: bool


@dataclass
class TryRun:
    """Hand the answers in tests/course/answers to the grader, and show which were taken otherwise than they should be."""

    only: tyro.conf.Positional[str] = ""
    """A lesson (02) or an exercise (02.1); nothing: all."""
    root: Path = Path(".")
    """Folder that holds tests/course/answers."""


def answers_of(root: Path, lesson: str) -> list[Answer]:
    """The answers to a lesson, in order; none where there is no file."""
    path = root / ANSWERS / f"{lesson}.py"
    if not path.exists():
        return []
    _, *found = SECTION.split(path.read_text(encoding="utf-8"))
    answers = []
    for number, kind, rest, code in zip(found[::4], found[1::4], found[2::4], found[3::4], strict=True):
        mistake, _, what = ("", "", rest) if kind == "right" else rest.partition(" ")
        answers.append(Answer(number, kind == "right", mistake, what, code))
    return answers


def judged(exercise: Exercise, code: str) -> list[Finding]:
    """What an answer gets, in the company of earlier exercises' solutions. Raises whatever its definitions raise."""
    notebook = definitions([*exercise.company, code])
    space = run_statements(source_of(notebook, exercise.name), exercise.name)
    for name in exercise.before:
        space[name] = run_statements(exercise.standing_alone("", name), name)[name]
    return judge(exercise, space[exercise.name])


def verdict(answer: Answer) -> Verdict:
    """Hand in one answer."""
    exercise = get_exercise(answer.number)
    try:
        with redirect_stdout(io.StringIO()):
            found = judged(exercise, answer.code)
    except Exception as error:  # an answer that cannot even be defined
        return Verdict(answer, 0, exercise.points, f"{type(error).__name__}: {error}", not answer.right and not answer.hinted)
    points = sum(finding.points for finding in found)
    messages = [finding.message.en for finding in found if finding.message]
    if answer.right:
        return Verdict(answer, points, exercise.points, messages[0] if messages else "", points == exercise.points)
    taken = points < exercise.points and heard(exercise, answer.mistake, messages)
    return Verdict(answer, points, exercise.points, messages[0] if messages else "", taken)


def heard(exercise: Exercise, mistake: str, messages: list[str]) -> bool:
    """Whether the messages hold the hint that belongs to a mistake's name."""
    if mistake == "-":
        return True
    if mistake == "@input":
        return any(message.startswith(input_changed("").en.split("  ")[0]) for message in messages)
    if mistake == "@state":
        return any(message in {setting_changed(name).en for name in SETTINGS} for message in messages)
    if mistake == "@kind":
        return any(message in {say.en for say in KINDS.values()} for message in messages)
    if mistake == "@crash":
        return any("stopped with" in message for message in messages)
    hints = [known.hint.en for known in exercise.mistakes if known.name == mistake]
    return bool(hints) and any(hints[0] in message for message in messages)


HEAD = "| lesson | wrong | caught | with a hint of their own | accepted | right | refused |\n|---|---|---|---|---|---|---|"


def command(run: TryRun) -> None:
    """Print each answer that was not taken as it should be, and a table. Raises SourceError when there is one."""
    rows, odd = [], 0
    for lesson in lessons():
        answers = [a for a in answers_of(run.root, lesson) if a.number.startswith(run.only)]
        if not answers:
            continue
        verdicts = [verdict(answer) for answer in answers]
        for v in verdicts:
            if not v.as_it_should:
                odd += 1
                a = v.answer
                print(f"{a.number} {'right' if a.right else 'wrong'} {a.mistake} ({a.what}): {v.points}/{v.maximum}. {v.said}")
        wrong, right = [v for v in verdicts if not v.answer.right], [v for v in verdicts if v.answer.right]
        caught = [v for v in wrong if v.points < v.maximum]
        hinted = sum(v.answer.hinted and v.as_it_should for v in wrong)
        refused = sum(v.points < v.maximum for v in right)
        rows.append(
            f"| {lesson} | {len(wrong)} | {len(caught)} | {hinted} | {len(wrong) - len(caught)} | {len(right)} | {refused} |"
        )
    print(HEAD, *rows, sep="\n")
    if odd:
        raise SourceError(f"{odd} answers were not taken as they should be.")
