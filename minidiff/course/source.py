"""A lesson's one source: percent-format Python (jupytext) that holds both languages, lesson, exercises and slides.

Markdown cells come in pairs, `lang="en"` then `lang="vi"`, and the Vietnamese one says of which English text it is the
translation (`of="3f2a9c1b"`, a hash). Code is shared. What it is not: the notebooks that are made of it (build.py).

    # %% [markdown] lang="en" slide="slide"          shown in lessons, and on a slide
    # %% [markdown] lang="vi" of="3f2a9c1b"
    # %% [markdown] lang="en" role="think"           a question; below a line of --- its answer, folded
    # %% [markdown] lang="en" role="notes"           speaker notes of the slide before it
    # %% [markdown] lang="en" exercise="04.2"        the task
    # %% exercise="04.2"                             the code: "#@ solution", then "#@ stub"
    # %% [markdown] lang="en" role="hints" exercise="04.2"    hints, from gentle to plain, between lines of ---
    # %% exercise="04.2" role="payoff"               the learner's function in the trained model
    # %% only="exercise"                             a cell of the exercise and solution notebooks alone
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SLIDES = ("slide", "sub", "fragment")
ROLES = ("", "think", "notes", "hints", "payoff", "pitfall")
PARTS = ("lesson", "exercise", "both")
MARK = {"solution": "#@ solution", "stub": "#@ stub"}


class SourceError(ValueError):
    """A source that cannot be built; the text names file and line and says what to do."""


@dataclass(frozen=True)
class Cell:
    """A code cell, or a markdown cell in both languages."""

    line: int
    code: str = ""
    en: str = ""
    vi: str = ""
    role: str = ""
    exercise: str = ""
    only: str = "lesson"
    slide: str = ""

    @property
    def is_code(self) -> bool:
        return not self.en

    def text(self, lang: str) -> str:
        return self.vi if lang == "vi" else self.en


def digest(text: str) -> str:
    """What a translation refers to: changes with every change of the text but its outer white space."""
    return hashlib.sha256(unicodedata.normalize("NFC", text.strip()).encode()).hexdigest()[:8]


HEADER = re.compile(r'^# %%(?P<markdown> \[markdown\])?(?P<options>(?: [a-z]+="[^"]*")*)\s*$')


def read(path: Path) -> list[Cell]:
    """The cells of a source. Raises SourceError at the first thing that is wrong with it."""
    raw = split(path.read_text(encoding="utf-8"), path)
    cells: list[Cell] = []
    waiting: tuple[int, dict[str, str], str] | None = None
    for line, markdown, options, text in raw:
        where = f"{path}:{line}"
        if markdown and options.get("lang") == "en":
            if waiting:
                raise SourceError(f"{path}:{waiting[0]}: this English cell has no Vietnamese one after it.")
            waiting = (line, options, text)
        elif markdown and options.get("lang") == "vi":
            if not waiting:
                raise SourceError(f"{where}: this Vietnamese cell has no English one before it.")
            if options.get("of") != digest(waiting[2]):
                raise SourceError(
                    f"{where}: the English cell at line {waiting[0]} changed after it was translated; look at the translation, "
                    f"then run `minidiff course accept {path}`."
                )
            cells.append(_cell(waiting[0], waiting[1], where, en=waiting[2], vi=unicodedata.normalize("NFC", text)))
            waiting = None
        elif markdown:
            raise SourceError(f'{where}: a markdown cell must say lang="en" or lang="vi".')
        else:
            if waiting:
                raise SourceError(f"{path}:{waiting[0]}: this English cell has no Vietnamese one after it.")
            cells.append(_cell(line, options, where, code=text))
    if waiting:
        raise SourceError(f"{path}:{waiting[0]}: this English cell has no Vietnamese one after it.")
    return cells


def split(text: str, path: Path) -> list[tuple[int, bool, dict[str, str], str]]:
    """(line, is markdown, options, text) of each cell; what stands before the first one is the file's own docstring."""
    found: list[tuple[int, bool, dict[str, str], list[str]]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith("# %%"):
            match = HEADER.match(line)
            if not match:
                raise SourceError(f'{path}:{number}: {line!r} is no cell header; write # %% [markdown] lang="en" name="value".')
            options = dict(re.findall(r'([a-z]+)="([^"]*)"', match["options"]))
            found.append((number, bool(match["markdown"]), options, []))
        elif found:
            found[-1][3].append(_uncommented(line) if found[-1][1] else line)
    return [(line, markdown, options, "\n".join(lines).strip()) for line, markdown, options, lines in found]


def _uncommented(line: str) -> str:
    return line[2:] if line.startswith("# ") else line.removeprefix("#")


def _cell(line: int, options: dict[str, str], where: str, **text: str) -> Cell:
    known = {"lang", "of", "role", "exercise", "only", "slide"}
    for name, allowed in (("role", ROLES), ("only", PARTS), ("slide", ("", *SLIDES))):
        if options.get(name, allowed[0]) not in allowed:
            raise SourceError(f"{where}: {name} is {options[name]!r}; it must be one of {', '.join(a for a in allowed if a)}.")
    if unknown := set(options) - known:
        raise SourceError(f"{where}: there is no option {unknown.pop()!r}; known are {', '.join(sorted(known))}.")
    chosen: dict[str, Any] = {k: v for k, v in options.items() if k in ("role", "exercise", "only", "slide")}
    if chosen.get("exercise"):
        chosen["only"] = "exercise"
    return Cell(line, **text, **chosen)


def variants(cell: Cell, where: str = "") -> dict[str, str]:
    """The two faces of an exercise's code cell, {"solution": ..., "stub": ...}. Raises SourceError if one is missing."""
    before, found_solution, rest = cell.code.partition(MARK["solution"])
    solution, found_stub, stub = rest.partition(MARK["stub"])
    if not found_solution or not found_stub or "NotImplementedError" not in stub:
        raise SourceError(
            f"{where}:{cell.line}: exercise {cell.exercise} needs a line {MARK['solution']!r} with the answer, then one "
            f"{MARK['stub']!r} with a stub that raises NotImplementedError."
        )
    before = before.rstrip(" ")  # the indentation of the marks
    return {"solution": (before + solution[1:]).strip(), "stub": (before + stub[1:]).strip()}


def accept(path: Path) -> int:
    """Note for every Vietnamese cell that it translates the English one as it is now; returns how many changed."""
    lines = path.read_text(encoding="utf-8").split("\n")
    changed, english = 0, ""
    for line, markdown, options, text in split("\n".join(lines), path):
        if markdown and options.get("lang") == "en":
            english = text
        elif markdown and options.get("lang") == "vi":
            header = re.sub(r' of="[^"]*"', "", lines[line - 1].rstrip())
            header = header.replace('lang="vi"', f'lang="vi" of="{digest(english)}"')
            changed += header != lines[line - 1]
            lines[line - 1] = header
    if changed:
        path.write_text("\n".join(lines), encoding="utf-8")
    return changed
