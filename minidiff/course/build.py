"""`minidiff course build`: notebooks in both languages from the sources; `--check` says whether any of them is stale.

A lesson's code is the same in both languages, so it is run once and both notebooks show the same pictures. Building twice
changes nothing: cells are named by their content, and a lesson is run again only when its code has changed, or the shipped
weights that its code names.
What it is not: the format of the sources (source.py), nor the slides (slides.py).
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import tyro
from PIL import Image

from minidiff.course.checks import get_exercise
from minidiff.course.exercise import LANGS, Exercise, Say
from minidiff.course.glossary import complaints
from minidiff.course.source import Cell, SourceError, accept, read, variants
from minidiff.pretrained import zoo
from minidiff.utils.files import write_whole
from minidiff.utils.plots import STATIC

RELEASE = "git+https://github.com/minidiff/minidiff@v0.1.0"  # what a notebook installs where minidiff is missing

SETUP = """# {comment}
import importlib.util, os, subprocess, sys
if importlib.util.find_spec("minidiff") is None:
    source = os.environ.get("MINIDIFF_SOURCE", "{release}")
    wanted = source + "[course]" if os.path.exists(source) else "minidiff[course] @ " + source
    subprocess.check_call([sys.executable, "-m", "pip", "install", "-q", wanted])
from minidiff.course.notebook import check, language, payoff, show, slider, source
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
    """Make lesson, exercise and solution notebooks from lessons/source, in English and Vietnamese."""

    check: bool = False
    """Change nothing; fail if anything derived is stale."""
    only: str = ""
    """Only sources whose name begins so, such as 04."""
    root: Path = Path(".")
    """Folder that holds lessons/source."""
    run: bool = True
    """Run lessons whose code has changed, so that their pictures show on the web; without, they stay stale."""


# --- one cell of the source to cells of a notebook --------------------------------------------------------------------


def fold(title: str, body: str) -> str:
    """Text that opens on a click, in Jupyter and on the web."""
    return f"<details><summary>{title}</summary>\n\n{body.strip()}\n\n</details>"


def parts(text: str) -> list[str]:
    """A text cut at its lines of ---."""
    return [part.strip() for part in ("\n" + text + "\n").split("\n---\n")]


def header(exercise: Exercise, lang: str) -> str:
    """What stands above an exercise."""
    stars = "★" * exercise.difficulty + "☆" * (5 - exercise.difficulty)
    facts = [f"{exercise.points} {POINTS.of(lang)}", f"{DIFFICULTY.of(lang)} {stars}", f"{exercise.minutes} {MINUTES.of(lang)}"]
    return f"## {EXERCISE.of(lang)} {exercise.number}: {exercise.title.of(lang)}\n\n*{' · '.join(facts)}*"


def markdown(cell: Cell, lang: str) -> str:
    """The text of a markdown cell, its answers and hints folded."""
    text = cell.text(lang)
    if cell.role == "think":
        question, *answers = parts(text)
        return "\n\n".join([question, *(fold(ANSWER.of(lang), answer) for answer in answers)])
    if cell.role == "hints":
        return "\n\n".join(fold(f"{HINT.of(lang)} {k}", hint) for k, hint in enumerate(parts(text), start=1))
    return text


def notebook_cells(cells: list[Cell], kind: str, lang: str, where: str) -> list[dict[str, Any]]:
    """The cells of one notebook, as (type, source) in order: setup, then whatever belongs to this kind."""
    wanted = ("lesson", "both") if kind == "lessons" else ("exercise", "both")
    setup = SETUP.format(comment=SETUP_COMMENT.of(lang), release=RELEASE, lang=lang)
    made = [("code", setup)]
    announced: set[str] = set()
    for cell in cells:
        if cell.only not in wanted or cell.role == "notes":
            continue
        if cell.exercise and cell.exercise not in announced:
            announced.add(cell.exercise)
            made.append(("markdown", header(get_exercise(cell.exercise), lang)))
        if not cell.is_code:
            made.append(("markdown", markdown(cell, lang)))
        elif cell.exercise and cell.role != "payoff":
            made.append(("code", variants(cell, where)["solution" if kind == "solutions" else "stub"]))
            exercise = get_exercise(cell.exercise)
            made.append(("code", f'check("{exercise.number}", {exercise.name})'))
        else:
            made.append(("code", cell.code))
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
    """Changes when the code does, or the weights that it names; the setup cell, which differs between the languages, does
    not count."""
    code = [cell["source"] for cell in cells[1:] if cell["cell_type"] == "code"]
    named = set(re.findall(r"world-[a-z]+", "\n".join(code)))
    if any("generate_image(" in cell or "load_pipeline()" in cell for cell in code):
        named.add("world-dit")
    weights = {name: row["sha256"] for name, row in sorted(zoo.manifest(zoo.SHIPPED).items()) if name in named}
    return hashlib.sha256(json.dumps([code, weights]).encode()).hexdigest()[:12]


# --- files --------------------------------------------------------------------------------------------------------------


def sources(root: Path, only: str = "") -> list[Path]:
    """The sources in order. Raises SourceError when there are none."""
    found = sorted(p for p in (root / "lessons" / "source").glob("[0-9][0-9]_*.py") if p.name.startswith(only))
    if not found:
        raise SourceError(f"There are no sources {only}*.py in {root / 'lessons' / 'source'}.")
    return found


def target(root: Path, kind: str, lang: str, source: Path) -> Path:
    return root / kind / lang / f"{source.stem}.ipynb"


def build(run: BuildRun) -> list[Path]:
    """Make what is missing or stale; returns it. With run.check nothing is written.

    Raises SourceError for a source that cannot be built, in either language."""
    stale: list[Path] = []
    for source in sources(run.root, run.only):
        cells = read(source)
        problems = complaints(cells, source)
        if problems:
            raise SourceError("\n".join(problems))
        stale += [path for kind in ("exercises", "solutions") for path in _plain(run, source, cells, kind)]
        stale += _lesson(run, source, cells)
    return stale


def _plain(run: BuildRun, source: Path, cells: list[Cell], kind: str) -> list[Path]:
    """Notebooks that are shipped as they are read, without outputs."""
    changed = []
    for lang in LANGS:
        path = target(run.root, kind, lang, source)
        text = nbformat.writes(assemble(notebook_cells(cells, kind, lang, str(source)), lang)) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            changed.append(path)
            if not run.check:
                write_whole(path, text)
    return changed


def _lesson(run: BuildRun, source: Path, cells: list[Cell]) -> list[Path]:
    """The lesson in both languages, with the pictures of one run. It is run again only when its code has changed."""
    made = {lang: notebook_cells(cells, "lessons", lang, str(source)) for lang in LANGS}
    books = {lang: assemble(made[lang], lang) for lang in LANGS}
    paths = {lang: target(run.root, "lessons", lang, source) for lang in LANGS}
    shown = outputs_of(paths["en"])
    wanted = code_hash(made["en"])
    if shown is None or shown[0] != wanted:
        if run.check:
            return list(paths.values())
        shown = (wanted, execute(books["en"], source)) if run.run else ("", [])
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


def execute(book: Any, source: Path) -> list[list[Any]]:
    """Run a lesson from the top in its own kernel; return each code cell's outputs without what changes every time."""
    from nbclient import NotebookClient

    print(f"running {source.stem}", flush=True)
    copy = deepcopy(book)
    client = NotebookClient(copy, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(source.parent)}})
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
    """Sources whose translations were looked at."""


def command(run: BuildRun) -> None:
    """Build, or with --check raise SourceError that names everything stale."""
    stale = build(run)
    if run.check and stale:
        names = ", ".join(path.relative_to(run.root).as_posix() for path in stale)
        raise SourceError(f"{len(stale)} notebooks are stale: run `minidiff course build`. They are {names}.")
    print(*(path.as_posix() for path in stale), sep="\n") if stale else print("everything is up to date")


def accept_command(run: AcceptRun) -> None:
    for path in run.files:
        print(f"{path}: {accept(path)} translations noted")
