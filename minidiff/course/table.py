"""`minidiff course table`: the lessons with their links, in README.md, and what each costs, in docs/course.md. Both are made of
the sources, the exercises and what notebooks measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from minidiff.course.budget import MEASURED
from minidiff.course.build import Lesson, lesson_folders, read_lesson
from minidiff.course.say import LANGS
from minidiff.course.source import SourceError
from minidiff.course.tried import answers_of
from minidiff.utils.marked_text import fill
from minidiff.utils.release import COLAB, KAGGLE

PLACE = "course table"
BADGES = (
    "![do it in Colab](https://colab.research.google.com/assets/colab-badge.svg)",
    "![or in Kaggle](https://kaggle.com/static/images/open-in-kaggle.svg)",
)
LINKS = f"| lesson | bài | {' | '.join(BADGES)} |\n|---|---|---|---|"
COSTS = "| lesson | minutes | memory | exercises | points | wrong answers tried |\n|---|--:|--:|--:|--:|--:|"


@dataclass
class TableRun:
    """Print the tables of lessons: links, and minutes and memory as `make lessons` measured them, exercises, points, wrong
    answers."""

    write: bool = False
    """Put them into README.md and docs/course.md, in the place of those there."""
    check: bool = False
    """Fail if those there are others."""
    root: Path = Path(".")
    """Folder that holds README.md, docs/, lessons/ and tests/."""


def links(root: Path) -> str:
    """What to read and where to do it, as Markdown: a row for each lesson."""
    rows = []
    for lesson, titles in _lessons(root):
        name = lesson.folder.name
        read = " | ".join(f"[{titles[lang]}](lessons/{lang}/{name}.ipynb)" for lang in LANGS)
        do = (" · ".join(f"[{lang}]({web}/exercises/{lang}/{name}.ipynb)" for lang in LANGS) for web in (COLAB, KAGGLE))
        rows.append(f"| {read} | {' | '.join(do)} |")
    return "\n".join([LINKS, *rows])


def costs(root: Path) -> str:
    """Minutes, gigabytes, exercises and points as Markdown: a row for each lesson, and their sum.
    Raises SourceError when a lesson was not measured."""
    measured = json.loads((root / MEASURED).read_text(encoding="utf-8")) if (root / MEASURED).exists() else {}
    rows, sums = [], [0.0, 0.0, 0, 0, 0]
    for lesson, titles in _lessons(root):
        notebook = f"lessons/en/{lesson.folder.name}.ipynb"
        if notebook not in measured:
            raise SourceError(f"{notebook} was not measured: run `make lessons`, which writes {MEASURED}.")
        minutes, gigabytes = measured[notebook]["minutes"], measured[notebook]["gigabytes"]
        own = lesson.exercises.values()
        points = sum(exercise.points for exercise in own)
        wrong = sum(not answer.right for answer in answers_of(root, lesson.folder.name[:2]))
        rows.append(f"| {titles['en']} | {minutes:.1f} | {gigabytes:.1f} GB | {len(own)} | {points} | {wrong} |")
        sums = [sums[0] + minutes, max(sums[1], gigabytes), sums[2] + len(own), sums[3] + points, sums[4] + wrong]
    total = f"| **all** | {sums[0]:.0f} | at most {sums[1]:.1f} GB | {sums[2]} | {sums[3]} | {sums[4]} |"
    return "\n".join([COSTS, *rows, total])


def _lessons(root: Path) -> Iterator[tuple[Lesson, dict[str, str]]]:
    """Each lesson and its titles by language."""
    for folder in lesson_folders(root):
        lesson = read_lesson(folder)
        first = next(cell for cell in lesson.cells if not cell.is_code)
        yield lesson, {lang: getattr(first, lang).lstrip("# ").split("\n")[0] for lang in LANGS}


def command(run: TableRun) -> None:
    pages = {run.root / "README.md": links(run.root), run.root / "docs/course.md": costs(run.root)}
    for page, made in pages.items():
        try:
            fresh = fill(page, {PLACE: made}, run.write)
        except ValueError as error:
            raise SourceError(str(error)) from None
        if run.check and not fresh:
            raise SourceError(f"The table of lessons in {page} is stale: run `minidiff course table --write`.")
        print(f"{page}\n{made}\n")
