"""`minidiff course table`: the README's table of lessons, made of the sources, the exercises and what notebooks measured."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from minidiff.course.budget import MEASURED
from minidiff.course.build import lesson_folders, read_lesson
from minidiff.course.say import LANGS
from minidiff.course.source import SourceError
from minidiff.course.tried import answers_of
from minidiff.utils.files import write_whole
from minidiff.utils.release import COLAB, KAGGLE

BEGIN, END = "<!-- course table: minidiff course table -->", "<!-- end of the course table -->"
HEAD = "| lesson | minutes | memory | exercises | points | wrong answers tried | read, and do |\n|---|---|---|---|---|---|---|"
BADGES = {  # whose picture says where a click opens the exercises
    COLAB: "![Colab](https://colab.research.google.com/assets/colab-badge.svg)",
    KAGGLE: "![Kaggle](https://kaggle.com/static/images/open-in-kaggle.svg)",
}


@dataclass
class TableRun:
    """Print the table of lessons: minutes and memory as `make lessons` measured them, exercises, points, wrong answers."""

    write: bool = False
    """Put it into README.md, in the place of the one there."""
    check: bool = False
    """Fail if the one in README.md is another."""
    root: Path = Path(".")
    """Folder that holds README.md, lessons/ and tests/."""


def table(root: Path) -> str:
    """The table as Markdown. Raises SourceError when a lesson was not measured."""
    measured = json.loads((root / MEASURED).read_text(encoding="utf-8")) if (root / MEASURED).exists() else {}
    rows = []
    for folder in lesson_folders(root):
        lesson = read_lesson(folder)
        title = next(cell.en.lstrip("# ").split("\n")[0] for cell in lesson.cells if not cell.is_code)
        name = f"lessons/en/{folder.name}.ipynb"
        if name not in measured:
            raise SourceError(f"{name} was not measured: run `make lessons`, which writes {MEASURED}.")
        own = lesson.exercises.values()
        points = sum(exercise.points for exercise in own)
        wrong = sum(not answer.right for answer in answers_of(root, folder.name[:2]))
        links = "<br>".join(_links(folder.name, lang) for lang in LANGS)
        cost = f"{measured[name]['minutes']:.1f} | {measured[name]['gigabytes']:.1f} GB"
        rows.append(f"| {title} | {cost} | {len(own)} | {points} | {wrong} | {links} |")
    return "\n".join([HEAD, *rows])


def _links(name: str, lang: str) -> str:
    """The lesson in a language, to be read, and its exercises in Colab and Kaggle."""
    badges = (f"[{badge}]({address}/exercises/{lang}/{name}.ipynb)" for address, badge in BADGES.items())
    return " ".join([f"[{lang}](lessons/{lang}/{name}.ipynb)", *badges])


def command(run: TableRun) -> None:
    made = f"{BEGIN}\n{table(run.root)}\n{END}"
    readme = run.root / "README.md"
    text = readme.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise SourceError(f"{readme} has no place for the table: it needs the lines {BEGIN} and {END}.")
    new = text[: text.index(BEGIN)] + made + text[text.index(END) + len(END) :]
    if run.check and new != text:
        raise SourceError(f"The table of lessons in {readme} is stale: run `minidiff course table --write`.")
    if run.write:
        write_whole(readme, new)
    print(made)
