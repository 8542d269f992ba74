"""The lessons and exercises of the course, found in `lessons/`; a lesson's files are read when it is needed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType

from minidiff.course.exercise import Exercise, read_exercise
from minidiff.course.probing import probes_of
from minidiff.course.say import Say
from minidiff.course.source import SourceError, read

LESSONS = Path(__file__).parent / "lessons"
FOLDER = re.compile(r"\d\d_[a-z0-9_]+")
FILE = re.compile(r"(\d+)_[A-Za-z0-9_]+\.py")


def folders(root: Path | None = None, only: str = "") -> list[Path]:
    """The lessons' folders in `root`, by default those of this package, in order. Raises SourceError when there are none."""
    root = root or LESSONS
    found = sorted(path for path in root.glob("*") if FOLDER.fullmatch(path.name) and path.name.startswith(only))
    if not found:
        raise SourceError(f"There are no lessons {only}* in {root}.")
    return found


def exercise_files(folder: Path) -> list[Path]:
    """The files of a lesson's exercises, in order."""
    found = [path for path in folder.glob("*.py") if FILE.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(path.name.split("_")[0]))


def exercises_in(folder: Path) -> dict[str, Exercise]:
    """{"04.1": ..., "04.2": ...} of one folder, in order. Raises SourceError."""
    files = exercise_files(folder)
    if not files:
        return {}
    company = [cell.code for cell in read(folder / "lesson.py") if cell.is_code and cell.only != "lesson"]
    found: dict[str, Exercise] = {}
    for path in files:
        number = f"{folder.name[:2]}.{path.name.split('_')[0]}"
        found[number] = read_exercise(path, number, company, [exercise.name for exercise in found.values()])
        company.append(found[number].solution)
    return found


def lessons() -> list[str]:
    """The two digits of every lesson that has exercises, in order."""
    return [folder.name[:2] for folder in folders() if exercise_files(folder)]


def names() -> dict[str, dict[str, str]]:
    """{"04": {"04.1": "trailing_timesteps", ...}, ...}: what the functions of all exercises are called."""
    found: dict[str, dict[str, str]] = {}
    for folder in folders():
        for path in exercise_files(folder):
            place, name = path.stem.split("_", 1)
            found.setdefault(folder.name[:2], {})[f"{folder.name[:2]}.{place}"] = name
    return found


@cache
def exercises(lesson: str) -> Mapping[str, Exercise]:
    """{"04.1": ..., "04.2": ...} of one lesson, in order. Raises ValueError for a lesson that has none."""
    if lesson not in lessons():
        raise ValueError(f"There are no exercises for lesson {lesson!r}: there are for {', '.join(lessons())}.")
    return MappingProxyType(exercises_in(folders(only=lesson)[0]))


def get_exercise(number: str) -> Exercise:
    """The exercise of that number, such as "04.2". Raises ValueError that lists its lesson's."""
    same = exercises(str(number).split(".")[0])
    if number not in same:
        raise ValueError(f"There is no exercise {number!r}: choose one of {', '.join(same)}.")
    return same[number]


@lru_cache(maxsize=4)
def hidden_checks(folder: Path) -> Mapping[str, Exercise]:
    """Exercises with a teacher's own checks added to theirs. A .py file in `folder` whose name begins with an exercise's
    number, such as `02.1_mine.py`, makes probes: `probe("ten betas", lambda f, betas: f(betas), points=4,
    betas=torch.full((10,), 0.5))`.

    Raises ValueError for a folder without any, a file that does not run, or a number that is no exercise's."""
    found: dict[str, Exercise] = {}
    for path in sorted(folder.glob("[0-9][0-9].[0-9]*.py")):
        number = re.match(r"\d\d\.\d+", path.name)[0]  # type: ignore[index]
        exercise = found.get(number) or get_exercise(number)
        code = path.read_text(encoding="utf-8")
        try:
            said = tuple(Say(*probe.what) for probe in probes_of(code, str(path)))
        except Exception as error:
            raise ValueError(f"The hidden checks in {path} cannot be run: {type(error).__name__}: {error}.") from None
        found[number] = replace(exercise, checks=(*exercise.checks, *said), probes_code=(*exercise.probes_code, code))
    if not found:
        raise ValueError(
            f"{folder} holds no hidden checks: a file there whose name begins with an exercise's number, such as 02.1_mine.py, "
            "should call probe(...)."
        )
    return MappingProxyType(found)
