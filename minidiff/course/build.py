"""`minidiff course build`: notebooks in both languages from the sources; `--check` says whether any of them is stale.

A lesson's code is the same in both languages, so it is run once and both notebooks show the same pictures. Building twice
changes nothing: cells are named by their content, and a lesson is run again only when its code has changed, or the shipped
weights that its code names, or the library's source that it prints.
What it is not: the format of the sources (source.py, exercise.py), nor the slides (slides.py).
"""

from __future__ import annotations

import ast
import base64
import hashlib
import inspect
import io
import json
import os
import pkgutil
import re
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import tyro
from PIL import Image

from minidiff.course import catalogue
from minidiff.course.exercise import Exercise
from minidiff.course.glossary import complaints
from minidiff.course.road import filled
from minidiff.course.say import LANGS, Say
from minidiff.course.source import EXERCISE_ROLES, Cell, SourceError, accept, parts, read
from minidiff.pretrained import zoo
from minidiff.utils.files import write_whole
from minidiff.utils.plots import STATIC
from minidiff.utils.release import WHEEL

SETUP = """# {comment}
import importlib.util, os, subprocess, sys
if importlib.util.find_spec("minidiff") is None:
    source = os.environ.get("MINIDIFF_SOURCE", "{release}")
    wanted = source + "[course]" if os.path.exists(source) else "minidiff[course] @ " + source
    subprocess.check_call([sys.executable, "-m", "pip", "install", "-q", wanted])
from minidiff.course.notebook import (
    check, cloud, histogram, language, lines, panels, payoff, show, slider, source,
)
language("{lang}")"""
SETUP_COMMENT = Say("Run this first: it installs minidiff where it is missing, as on Colab and Kaggle.",
                    "Chạy ô này trước: cài minidiff nếu chưa có, như trên Colab và Kaggle.")  # fmt: skip
ANSWER = Say("Answer", "Trả lời")
HINT = Say("Hint", "Gợi ý")
DIFFICULTY = Say("difficulty", "độ khó")
MINUTES = Say("minutes", "phút")
POINTS = Say("points", "điểm")
EXERCISE = Say("Exercise", "Bài tập")


@dataclass
class BuildRun:
    """Make lesson, exercise and solution notebooks from minidiff/course/lessons, in English and Vietnamese."""

    check: bool = False
    """Change nothing; fail if anything derived is stale."""
    only: str = ""
    """Only lessons whose name begins so, such as 04."""
    root: Path = Path(".")
    """Folder that holds minidiff/course/lessons; notebooks go into its folders lessons, exercises and solutions."""
    run: bool = True
    """Run lessons whose code has changed, so that their pictures show on the web; without, they stay stale."""


# --- one cell of the source to cells of a notebook --------------------------------------------------------------------


def fold(title: str, body: str) -> str:
    """Text that opens on a click, in Jupyter and on the web."""
    return f"<details><summary>{title}</summary>\n\n{body.strip()}\n\n</details>"


def header(exercise: Exercise, lang: str) -> str:
    """What stands above an exercise."""
    stars = "★" * exercise.difficulty + "☆" * (5 - exercise.difficulty)
    facts = [f"{exercise.points} {POINTS.of(lang)}", f"{DIFFICULTY.of(lang)} {stars}", f"{exercise.minutes} {MINUTES.of(lang)}"]
    return f"## {EXERCISE.of(lang)} {exercise.number}: {exercise.title.of(lang)}\n\n*{' · '.join(facts)}*"


def folded_hints(hints: tuple[Say, ...], lang: str) -> str:
    return "\n\n".join(fold(f"{HINT.of(lang)} {k}", hint.of(lang)) for k, hint in enumerate(hints, start=1))


def markdown(cell: Cell, lang: str) -> str:
    """The text of a markdown cell, its answers folded."""
    if cell.role != "think":
        return cell.text(lang)
    question, *answers = parts(cell.text(lang))
    return "\n\n".join([question, *(fold(ANSWER.of(lang), answer) for answer in answers)])


def exercise_cells(exercise: Exercise, kind: str, lang: str) -> list[tuple[str, str]]:
    """What an exercise becomes in a notebook, as (type, source): task, hints, code, check, payoff."""
    code = exercise.solved(lang) if kind == "solutions" else exercise.stub(lang)
    made = [
        ("markdown", f"{header(exercise, lang)}\n\n{exercise.task.of(lang)}"),
        *([("code", exercise.shown)] if exercise.shown else []),
        ("markdown", folded_hints(exercise.hints, lang)),
        ("code", code),
        ("code", f'check("{exercise.number}", {exercise.name})'),
    ]
    if exercise.payoff:
        made.append(("code", re.sub(r"^payoff\(", f'payoff("{exercise.number}", ', exercise.payoff, flags=re.MULTILINE)))
    return made


@dataclass(frozen=True)
class Lesson:
    """A lesson's folder, read: its cells and its exercises by number."""

    folder: Path
    cells: list[Cell]
    exercises: dict[str, Exercise]

    @property
    def source(self) -> Path:
        return self.folder / "lesson.py"


def read_lesson(folder: Path) -> Lesson:
    """Raises SourceError for a lesson that cannot be built, with a line for each thing that is wrong in its texts."""
    cells = read(folder / "lesson.py")
    problems = complaints(cells, folder / "lesson.py")
    for path in catalogue.exercise_files(folder):
        problems += complaints(read(path, EXERCISE_ROLES), path)
    if problems:
        raise SourceError("\n".join(problems))
    return Lesson(folder, cells, catalogue.exercises_in(folder))


def notebook_cells(lesson: Lesson, kind: str, lang: str) -> list[dict[str, Any]]:
    """The cells of one notebook: setup, then whatever belongs to this kind, exercises last."""
    wanted = ("lesson", "both") if kind == "lessons" else ("exercise", "both")
    made = [("code", SETUP.format(comment=SETUP_COMMENT.of(lang), release=WHEEL, lang=lang))]
    for cell in lesson.cells:
        if cell.only in wanted and cell.role != "notes":
            made.append(("code", cell.code) if cell.is_code else ("markdown", filled(markdown(cell, lang), lesson, lang)))
    if kind != "lessons":
        made += [cell for exercise in lesson.exercises.values() for cell in exercise_cells(exercise, kind, lang)]
    return [{"cell_type": what, "source": source} for what, source in made]


def assemble(cells: list[dict[str, Any]], lang: str) -> Any:
    """A notebook of these cells, with ids that depend on content and place alone."""
    book = nbformat.v4.new_notebook(metadata={
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "minidiff": {"lang": lang},
    })  # fmt: skip
    for place, cell in enumerate(cells):
        make = nbformat.v4.new_code_cell if cell["cell_type"] == "code" else nbformat.v4.new_markdown_cell
        new = make(cell["source"])
        new["id"] = hashlib.sha256(f"{place} {cell['source']}".encode()).hexdigest()[:12]
        book.cells.append(new)
    return book


def code_hash(cells: list[dict[str, Any]]) -> str:
    """Changes when the code does, or the weights that it names, or the library's source that it prints; the setup cell, which
    differs between the languages, does not count."""
    code = [cell["source"] for cell in cells[1:] if cell["cell_type"] == "code"]
    named = set(re.findall(r"world-[a-z]+", "\n".join(code)))
    if any("generate_image(" in cell or "load_pipeline()" in cell for cell in code):
        named.add("world-dit")
    weights = {name: row["sha256"] for name, row in sorted(zoo.manifest(zoo.SHIPPED).items()) if name in named}
    return hashlib.sha256(json.dumps([code, weights, printed_sources("\n".join(code))]).encode()).hexdigest()[:12]


def printed_sources(code: str) -> list[str]:
    """The source of everything of the library that `source(...)` prints in a notebook's code."""
    imported: dict[str, str] = {}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minidiff"):
            imported |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    found = []
    for name in re.findall(r"\bsource\(([\w.]+)\)", code):
        first, *rest = name.split(".")
        if first in imported:
            thing = pkgutil.resolve_name(imported[first])
            for part in rest:
                thing = getattr(thing, part)
            found.append(inspect.getsource(inspect.unwrap(thing)))
    return found


# --- files --------------------------------------------------------------------------------------------------------------


def target(root: Path, kind: str, lang: str, folder: Path) -> Path:
    """The notebook of a lesson's folder."""
    return root / kind / lang / f"{folder.name}.ipynb"


def lesson_folders(root: Path, only: str = "") -> list[Path]:
    return catalogue.folders(root / "minidiff" / "course" / "lessons", only)


def build(run: BuildRun) -> list[Path]:
    """Make what is missing or stale; returns it. With run.check nothing is written.

    Raises SourceError for lessons that cannot be built, with all that is wrong with them."""
    stale: list[Path] = []
    problems: list[str] = []
    for folder in lesson_folders(run.root, run.only):
        try:
            lesson = read_lesson(folder)
        except SourceError as error:
            problems.append(str(error))
            continue
        stale += [path for kind in ("exercises", "solutions") for path in _plain(run, lesson, kind)]
        stale += _lesson(run, lesson)
    if problems:
        raise SourceError("\n".join(problems))
    return stale


def _plain(run: BuildRun, lesson: Lesson, kind: str) -> list[Path]:
    """Notebooks that are shipped as they are read, without outputs."""
    changed = []
    for lang in LANGS:
        path = target(run.root, kind, lang, lesson.folder)
        text = nbformat.writes(assemble(notebook_cells(lesson, kind, lang), lang)) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            changed.append(path)
            if not run.check:
                write_whole(path, text)
    return changed


def _lesson(run: BuildRun, lesson: Lesson) -> list[Path]:
    """The lesson in both languages, with the pictures of one run. It is run again only when its code has changed."""
    made = {lang: notebook_cells(lesson, "lessons", lang) for lang in LANGS}
    books = {lang: assemble(made[lang], lang) for lang in LANGS}
    paths = {lang: target(run.root, "lessons", lang, lesson.folder) for lang in LANGS}
    shown = outputs_of(paths["en"])
    wanted = code_hash(made["en"])
    if shown is None or shown[0] != wanted:
        if run.check:
            return list(paths.values())
        shown = (wanted, execute(books["en"], lesson.folder)) if run.run else ("", [])
    changed = []
    for lang, book in books.items():
        book.metadata["minidiff"]["code"] = shown[0]
        give_outputs(book, shown[1])
        text = nbformat.writes(book) + "\n"
        if not paths[lang].exists() or paths[lang].read_text(encoding="utf-8") != text:
            changed.append(paths[lang])
            if not run.check:
                write_whole(paths[lang], text)
    return changed


def outputs_of(path: Path) -> tuple[str, list[list[Any]]] | None:
    """(code hash, outputs of each code cell) of a built lesson; None where there is none yet."""
    if not path.exists():
        return None
    book = nbformat.read(path, as_version=4)
    return book.metadata.get("minidiff", {}).get("code", ""), [c.outputs for c in book.cells if c.cell_type == "code"]


def give_outputs(book: Any, outputs: list[list[Any]]) -> None:
    for k, cell in enumerate(cell for cell in book.cells if cell.cell_type == "code"):
        cell.outputs = outputs[k] if k < len(outputs) else []
        cell.execution_count = k + 1 if outputs else None


def execute(book: Any, folder: Path) -> list[list[Any]]:
    """Run a lesson from the top in its own kernel; return each code cell's outputs without what changes every time."""
    from nbclient import NotebookClient

    print(f"running {folder.name}", flush=True)
    copy = deepcopy(book)
    client = NotebookClient(copy, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute(env={**os.environ, STATIC: "1"})
    return [[steady(output) for output in cell.outputs if keep(output)] for cell in copy.cells if cell.cell_type == "code"]


def keep(output: Any) -> bool:
    """Progress bars and warnings go to stderr; the web page has no use for them."""
    return not (output.output_type == "stream" and output.name == "stderr")


def steady(output: Any) -> Any:
    """An output without its running number and without widgets' states, which only live in a kernel; pictures are light."""
    output = dict(output)
    if "execution_count" in output:
        output["execution_count"] = None
    if "data" in output:
        output["data"] = {k: v for k, v in output["data"].items() if k != "application/vnd.jupyter.widget-view+json"}
        if "image/png" in output["data"]:
            output["data"]["image/png"] = light(output["data"]["image/png"])
    return nbformat.from_dict(output)


def light(png: str) -> str:
    """The same picture in 256 colours: a third of the bytes, which git keeps for ever. Base64 in, base64 out."""
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB").quantize(256, kmeans=2)
    packed = io.BytesIO()
    picture.save(packed, "PNG", optimize=True)
    return min(base64.b64encode(packed.getvalue()).decode(), png.replace("\n", ""), key=len)


# --- commands -----------------------------------------------------------------------------------------------------------


@dataclass
class AcceptRun:
    """Note in a source that each Vietnamese cell translates the English one as it stands now."""

    files: tyro.conf.Positional[tuple[Path, ...]]
    """Sources whose translations were looked at; a folder stands for all in it."""
    line: tuple[int, ...] = ()
    """Lines at which Vietnamese cells begin, to accept these alone."""


def command(run: BuildRun) -> None:
    """Build, or with --check raise SourceError that names everything stale."""
    stale = build(run)
    if run.check and stale:
        names = ", ".join(path.relative_to(run.root).as_posix() for path in stale)
        raise SourceError(f"{len(stale)} notebooks are stale: run `minidiff course build`. They are {names}.")
    print(*(path.as_posix() for path in stale), sep="\n") if stale else print("everything is up to date")


def accept_command(run: AcceptRun) -> None:
    files = [path for given in run.files for path in (sorted(given.rglob("*.py")) if given.is_dir() else [given])]
    for path in files:
        print(f"{path}: {accept(path, run.line)} translations noted")
