"""`minidiff course variant --seed 7`: the notebooks of an assessment with other numbers, names and planted faults.

An exercise's file may say in a cell role="variants" what can differ:

    vary("add_noise", "jump", "noised")                            # one of three names
    vary(("1.0", "norm 1"), ("0.5", "norm 0.5"))                    # several texts that change together

A name is replaced in the code of the whole lesson and, between backticks, in its texts; anything else in its own file alone.
The variant of a seed is the lesson's folder with the chosen texts in it, so everything that reads a lesson reads a variant.
What it is not: a secret. The lists are public, and so is what a seed chooses; it keeps answers from being handed round.
"""

from __future__ import annotations

import ast
import random
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

import nbformat

from minidiff.course import build
from minidiff.course.catalogue import exercise_files, exercises_in, folders
from minidiff.course.exercise import Exercise
from minidiff.course.say import LANGS
from minidiff.course.source import SourceError, accept, split
from minidiff.utils.files import write_whole

MARK = re.compile(r"-variant-(\d+)\.ipynb$")
LARGEST = 2**31  # seeds are below


@dataclass
class VariantRun:
    """Write the exercise and solution notebooks of a variant, in both languages, for `minidiff grade` to grade."""

    seed: int
    """Which variant: any whole number from 0; the same one is the same variant on every machine."""
    lesson: str = "17"
    """Two digits of the lesson."""
    out: Path = Path("build/variants")
    """Folder for the notebooks."""


Choice = tuple[tuple[str, ...], ...]  # texts as they are written, then each alternative of them


def choices_in(path: Path) -> list[Choice]:
    """What an exercise's file says can differ. Raises SourceError for a cell that is not made of `vary(...)`."""
    found: list[Choice] = []
    for line, _, options, text in split(path.read_text(encoding="utf-8"), path):
        if options.get("role") != "variants":
            continue
        try:
            for node in ast.parse(text).body:
                assert isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and not node.value.keywords
                given = [ast.literal_eval(argument) for argument in node.value.args]
                choice = tuple((texts,) if isinstance(texts, str) else tuple(map(str, texts)) for texts in given)
                assert len(choice) > 1 and len(set(map(len, choice))) == 1
                found.append(choice)
        except (AssertionError, SyntaxError, ValueError):
            what = 'variants are lines `vary("old", "new", ...)`, or of tuples of one length.'
            raise SourceError(f"{path}:{line}: {what}") from None
    return found


def write_variant(folder: Path, seed: int, target: Path) -> Path:
    """The lesson in `folder` as its variant `seed`, in a folder of the same name within `target`; returns it.

    Raises SourceError when none of its exercises says what can differ, or a text that should change is nowhere."""
    names: dict[str, str] = {}
    texts: dict[Path, dict[str, str]] = {}
    for path in exercise_files(folder):
        own = texts.setdefault(path, {})
        for place, choice in enumerate(choices_in(path)):
            dice = random.Random(f"{seed} {path.name} {place}")
            for old, new in zip(choice[0], dice.choice(choice), strict=True):
                (names if old.isidentifier() else own)[old] = new
                if old not in path.read_text(encoding="utf-8").split("# %%", 2)[-1]:
                    raise SourceError(f"{path}: a variant changes {old!r}, which is nowhere in the file.")
    if not names and not any(texts.values()):
        raise SourceError(f"Lesson {folder.name[:2]} has no variants: no exercise of it says what can differ.")
    made = target / folder.name
    made.mkdir(parents=True)
    for path in (folder / "lesson.py", *exercise_files(folder)):
        text = _replaced(_without_variants(path.read_text(encoding="utf-8")), texts.get(path, {}))
        number, _, name = path.stem.partition("_")
        written = made / (f"{number}_{names.get(name, name)}.py" if name else path.name)
        write_whole(written, _renamed(text, written, names))
        accept(written)
    return made


def _without_variants(text: str) -> str:
    """A file without the cell that says what can differ."""
    return re.sub(r'^# %% role="variants"\n.*?(?=^# %%)', "", text, flags=re.MULTILINE | re.DOTALL)


def _replaced(text: str, new: Mapping[str, str]) -> str:
    """All texts at once, the longest first, so that none is changed twice."""
    if not new:
        return text
    return re.sub("|".join(re.escape(old) for old in sorted(new, key=len, reverse=True)), lambda found: new[found[0]], text)


def _renamed(text: str, path: Path, new: Mapping[str, str]) -> str:
    """Names in code, and between backticks in texts. One behind a dot is somebody else's."""
    if not new:
        return text
    names = re.compile(r"(?<![\w.])(" + "|".join(map(re.escape, new)) + r")(?!\w)")

    def rename(code: str) -> str:
        return names.sub(lambda found: new[found[1]], code)

    lines = text.split("\n")
    cells = split(text, path)
    ends = [cell[0] - 1 for cell in cells[1:]] + [len(lines)]
    for (line, is_text, *_), end in zip(cells, ends, strict=True):
        for k in range(line, end):
            lines[k] = re.sub(r"`[^`]+`", lambda span: rename(span[0]), lines[k]) if is_text else rename(lines[k])
    return "\n".join(lines)


# --- reading a variant -------------------------------------------------------------------------------------------------------


@cache
def variant_exercises(lesson: str, seed: int) -> Mapping[str, Exercise]:
    """{"17.1": ..., "17.2": ...} of a variant. Raises SourceError for a lesson without variants, ValueError for a seed that is
    none."""
    check_seed(seed)
    with tempfile.TemporaryDirectory() as made:
        return MappingProxyType(exercises_in(write_variant(folders(only=lesson)[0], seed, Path(made))))


def check_seed(seed: int) -> None:
    if not 0 <= seed < LARGEST:
        raise ValueError(f"The seed of a variant is {seed}, but it must be a whole number from 0 to {LARGEST - 1}.")


def seed_of(file: str) -> int | None:
    """The seed in a notebook's name, such as 17_final_assessment-variant-7.ipynb; None where there is none."""
    found = MARK.search(file)
    return int(found[1]) if found else None


# --- the command -------------------------------------------------------------------------------------------------------------


def command(run: VariantRun) -> None:
    """Write the notebooks and print their paths."""
    check_seed(run.seed)
    with tempfile.TemporaryDirectory() as made:
        lesson = build.read_lesson(write_variant(folders(only=run.lesson)[0], run.seed, Path(made)))
        for kind in ("exercises", "solutions"):
            for lang in LANGS:
                cells = build.notebook_cells(lesson, kind, lang)
                setup = cells[0]["source"].replace("    check,", "    check, variant,", 1)
                cells[0]["source"] = f"{setup}\nvariant({run.seed})"
                path = run.out / kind / lang / f"{lesson.folder.name}-variant-{run.seed}.ipynb"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, nbformat.writes(build.assemble(cells, lang)) + "\n")
                print(path.as_posix())


