"""The exercises of the course: one file per lesson, each with its `EXERCISES`; a file is read when its lesson is needed."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType

from minidiff.course.exercise import Exercise, Probe

HERE = Path(__file__).parent


def lessons() -> list[str]:
    """The two digits of every lesson that has exercises, in order."""
    return sorted(path.stem.removeprefix("lesson") for path in HERE.glob("lesson[0-9][0-9].py"))


@cache
def exercises(lesson: str) -> Mapping[str, Exercise]:
    """{"04.1": ..., "04.2": ...} of one lesson, in order. Raises ValueError for a lesson that has none."""
    if lesson not in lessons():
        raise ValueError(f"There are no exercises for lesson {lesson!r}: there are for {', '.join(lessons())}.")
    module = importlib.import_module(f"minidiff.course.checks.lesson{lesson}")
    return MappingProxyType({exercise.number: exercise for exercise in module.EXERCISES})


def get_exercise(number: str) -> Exercise:
    """The exercise of that number, such as "04.2". Raises ValueError that lists its lesson's."""
    same = exercises(str(number).split(".")[0])
    if number not in same:
        raise ValueError(f"There is no exercise {number!r}: choose one of {', '.join(same)}.")
    return same[number]


@lru_cache(maxsize=4)
def hidden_probes(folder: Path) -> Mapping[str, tuple[Probe, ...]]:
    """A teacher's own probes: any .py file in `folder` may define PROBES = {"04.2": (Probe(...), ...)}.

    Raises ValueError for a folder without any, a file that does not run, or a number that is no exercise's."""
    found: dict[str, tuple[Probe, ...]] = {}
    for path in sorted(folder.glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"hidden_{path.stem}", path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise ValueError(f"The hidden checks in {path} cannot be run: {type(error).__name__}: {error}.") from None
        for number, probes in getattr(module, "PROBES", {}).items():
            get_exercise(number)
            found[number] = found.get(number, ()) + tuple(probes)
    if not found:
        raise ValueError(f'{folder} holds no hidden checks: a .py file there should define PROBES = {{"04.2": (Probe(...),)}}.')
    return MappingProxyType(found)
