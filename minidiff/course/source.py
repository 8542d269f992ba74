"""The sources of the course: percent-format Python (jupytext) that holds both languages, text and code, exercises and slides.

Each lesson has a folder in `lessons/`, with the lesson in `lesson.py` and one file for each exercise. Markdown cells come in
pairs, `lang="en"` then `lang="vi"`, and the Vietnamese one says of which English text it is the translation
(`of="3f2a9c1b"`, a hash). Code is shared. Not here: what an exercise's cells mean (exercise.py), and the notebooks that are
made of them (build.py).

    # %% [markdown] lang="en" slide="slide"          shown in lessons, and on a slide
    # %% [markdown] lang="vi" of="3f2a9c1b"
    # %% [markdown] lang="en" role="think"           a question; below a line of --- its answer, folded
    # %% [markdown] lang="en" role="notes"           speaker notes of the slide before it
    # %% [markdown] lang="en" role="pitfall"         the pitfall of the lesson
    # %% only="exercise"                             a cell of the exercise and solution notebooks alone ("both": of all)
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minidiff.utils.files import write_whole

SLIDES = ("slide", "sub", "fragment")
ROLES = ("", "think", "notes", "pitfall")
EXERCISE_ROLES = (
    "variants", "task", "shown", "hints", "stub", "solution", "checks", "probes", "mistake", "wrong", "library", "payoff",
)  # fmt: skip
PARTS = ("lesson", "exercise", "both")


class SourceError(ValueError):
    """A source that cannot be built; the text names file and line and says what to do."""


@dataclass(frozen=True)
class Cell:
    """A code cell, or a markdown cell in both languages. options: those of its header that are not named here."""

    line: int
    code: str = ""
    en: str = ""
    vi: str = ""
    role: str = ""
    only: str = "lesson"
    slide: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_code(self) -> bool:
        return not self.en

    def text(self, lang: str) -> str:
        return self.vi if lang == "vi" else self.en


def digest(text: str) -> str:
    """What a translation refers to: changes with every change of the text but its outer white space."""
    return hashlib.sha256(unicodedata.normalize("NFC", text.strip()).encode()).hexdigest()[:8]


HEADER = re.compile(r'^# %%(?P<markdown> \[markdown\])?(?P<options>(?: [a-z]+="[^"]*")*)\s*$')


def read(path: Path, roles: tuple[str, ...] = ROLES) -> list[Cell]:
    """The cells of a source, whose roles may be `roles`. Raises SourceError: at the first thing that is wrong with it, or
    with a line for each translation that its English text has left behind."""
    raw = split(path.read_text(encoding="utf-8"), path)
    cells: list[Cell] = []
    stale: list[str] = []
    waiting: tuple[int, dict[str, str], str] | None = None
    for line, markdown, options, text in raw:
        where = f"{path}:{line}"
        if markdown and options.get("lang") == "vi":
            if not waiting:
                raise SourceError(f"{where}: this Vietnamese cell has no English one before it.")
            if options.get("of") != digest(waiting[2]):
                stale.append(f"{where}: the English cell at line {waiting[0]} changed after it was translated.")
            cells.append(_cell(waiting[0], waiting[1], where, roles, en=waiting[2], vi=unicodedata.normalize("NFC", text)))
            waiting = None
            continue
        if waiting:
            raise SourceError(f"{path}:{waiting[0]}: this English cell has no Vietnamese one after it.")
        if not markdown:
            cells.append(_cell(line, options, where, roles, code=text))
        elif options.get("lang") == "en":
            waiting = (line, options, text)
        else:
            raise SourceError(f'{where}: a markdown cell must say lang="en" or lang="vi".')
    if waiting:
        raise SourceError(f"{path}:{waiting[0]}: this English cell has no Vietnamese one after it.")
    if stale:
        stale.append(f"Look at the translations, then run `minidiff course accept {path}` (--line for one alone).")
        raise SourceError("\n".join(stale))
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


def _cell(line: int, options: dict[str, str], where: str, roles: tuple[str, ...], **text: str) -> Cell:
    known = {"lang", "of", "role", "only", "slide"} | (
        {"name", "difficulty", "minutes", "given"} if roles is EXERCISE_ROLES else set()
    )
    for name, allowed in (("role", roles), ("only", PARTS), ("slide", ("", *SLIDES))):
        if options.get(name, allowed[0]) not in allowed:
            raise SourceError(f"{where}: {name} is {options[name]!r}; it must be one of {', '.join(a for a in allowed if a)}.")
    if unknown := set(options) - known:
        raise SourceError(f"{where}: there is no option {unknown.pop()!r}; known are {', '.join(sorted(known))}.")
    chosen: dict[str, Any] = {k: v for k, v in options.items() if k in ("role", "only", "slide")}
    return Cell(line, **text, **chosen, options={k: v for k, v in options.items() if k not in (*chosen, "lang", "of")})


def parts(text: str) -> list[str]:
    """A text cut at its lines of ---."""
    return [part.strip() for part in ("\n" + text + "\n").split("\n---\n")]


def accept(path: Path, lines: tuple[int, ...] = ()) -> int:
    """Note for every Vietnamese cell, or for those that begin at one of `lines`, that it translates the English one as it
    is now; returns how many changed."""
    text = path.read_text(encoding="utf-8").split("\n")
    changed, english = 0, ""
    for line, markdown, options, content in split("\n".join(text), path):
        if markdown and options.get("lang") == "en":
            english = content
        elif markdown and options.get("lang") == "vi" and (not lines or line in lines):
            header = re.sub(r' of="[^"]*"', "", text[line - 1].rstrip())
            header = header.replace('lang="vi"', f'lang="vi" of="{digest(english)}"')
            changed += header != text[line - 1]
            text[line - 1] = header
    if changed:
        write_whole(path, "\n".join(text))
    return changed
