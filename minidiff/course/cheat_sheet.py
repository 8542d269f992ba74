"""`minidiff course cheat-sheet`: the formulas of the course with their shapes and pitfalls, on two pages and on a poster.

It is made of the tables that end the lessons, so that a formula stands in one place; cheat_rows.py says which rows, and adds
their pitfalls. Formulas are MathML, which browsers typeset by themselves: a page is one file that needs no network. PDFs are
printed by Chromium. What it is not: slides and handouts of one lesson (slides.py).
"""

from __future__ import annotations

import html
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import mistune
import tyro
from latex2mathml.converter import convert
from mistune.core import BlockState

from minidiff import __version__
from minidiff.course.catalogue import folders
from minidiff.course.cheat_rows import GROUPS, Row
from minidiff.course.say import LANGS, Say
from minidiff.course.source import SourceError, read
from minidiff.utils.browser import chromium, print_pdf
from minidiff.utils.files import write_whole

SUMMARY = "## Summary"  # how the English cells begin that hold the tables
SHAPES = ("shape", "kích thước")  # how a column's heading begins that holds shapes
STYLE = Path(__file__).with_suffix(".css")
PAGES = {"cheat-sheet": "A4; margin: 8mm", "poster": "594mm 841mm; margin: 0"}  # A1


@dataclass
class CheatSheetRun:
    """Make the cheat sheet and the poster in English and Vietnamese, as HTML, and as PDF where there is a Chromium."""

    out: tyro.conf.Positional[Path] = Path("build/cheat-sheet")
    """Folder for en/cheat-sheet.html, en/poster.html, their PDFs, and the same in vi."""
    pdf: bool = True
    """Print PDFs, too: the sheet on A4, the poster on A1, which also prints on A2 and A3."""


# --- the lessons' tables ------------------------------------------------------------------------------------------------


class Cells(mistune.HTMLRenderer):
    """A cell of a table, or a sentence, as HTML with MathML."""

    def inline_math(self, text: str) -> str:
        return convert(text)

    def paragraph(self, text: str) -> str:
        return text


_READ = mistune.create_markdown(renderer=None, plugins=["table", "math"])
_SHOW = mistune.create_markdown(renderer=Cells(), plugins=["math"])


@dataclass(frozen=True)
class Line:
    """A row of a lesson's summary in one language, as HTML: the heading of each column, and its cell."""

    heads: tuple[str, ...]
    cells: tuple[str, ...]


def shown(text: str) -> str:
    """A sentence of Markdown as HTML; formulas between $ as MathML."""
    return str(_SHOW(text))


def tables(text: str) -> list[tuple[list[Any], list[list[Any]]]]:
    """(headings, rows) of the tables of a text; each cell is a list of mistune's tokens."""
    found = []
    tokens = _READ(text)
    for token in tokens if isinstance(tokens, list) else []:
        if token["type"] == "table":
            head, body = token["children"]
            rows = [[cell["children"] for cell in row["children"]] for row in body["children"]]
            found.append(([cell["children"] for cell in head["children"]], rows))
    return found


def plain(tokens: list[Any]) -> str:
    """A cell without its marks: how cheat_rows.py names rows."""
    return "".join(token.get("raw") or plain(token.get("children", [])) for token in tokens)


@cache
def summary(lesson: str) -> Mapping[str, Mapping[str, Line]]:
    """{the English text of a row's first cell: {"en": line, "vi": line}} of all tables of a lesson's summaries.

    Raises ValueError when the tables of the two languages differ in form."""
    (folder,) = folders(only=lesson)
    found: dict[str, Mapping[str, Line]] = {}
    for cell in read(folder / "lesson.py"):
        if cell.is_code or not cell.en.startswith(SUMMARY):
            continue
        for (head, rows), (head_vi, rows_vi) in zip(tables(cell.en), tables(cell.vi), strict=True):
            for row, row_vi in zip(rows, rows_vi, strict=True):
                found[plain(row[0])] = {"en": _line(head, row), "vi": _line(head_vi, row_vi)}
    return found


def _line(head: list[Any], cells: list[Any]) -> Line:
    def made(tokens: list[Any]) -> str:
        return Cells().render_tokens(tokens, BlockState())

    return Line(tuple(map(made, head)), tuple(map(made, cells)))


# --- one entry ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """What the sheet says of a row in one language, all of it HTML."""

    lesson: str
    name: str
    formulas: list[str] = field(default_factory=list)
    shape: str = ""
    pitfall: str = ""


def entry(row: Row, lang: str) -> Entry:
    """Raises SourceError for a row that its lesson doesn't have."""
    lines = summary(row.lesson)
    if row.key not in lines:
        raise SourceError(f"Lesson {row.lesson} has no row {row.key!r} in its summary: it has {', '.join(lines)}.")
    line = lines[row.key][lang]
    formulas = [line.cells[k] if k == 1 else f"{line.heads[k]} {line.cells[k]}" for k in row.formulas]
    formulas += [convert(formula, display="block") for formula in row.written_out]
    shape = _shape(line, row.shape) if isinstance(row.shape, int) else shown(row.shape.of(lang))
    name = shown(row.called.of(lang)) if row.called else line.cells[0]
    return Entry(row.lesson, name, formulas, shape, shown(row.pitfall.of(lang)))


def _shape(line: Line, column: int) -> str:
    """The cell, after its column's heading where that doesn't say shape."""
    head, cell = line.heads[column], line.cells[column]
    return cell if head.startswith(SHAPES) else f"{head}: {cell}"


# --- pages --------------------------------------------------------------------------------------------------------------

TITLE = Say("minidiff cheat sheet", "Bảng tra cứu minidiff")
LEAD = Say(
    "The formulas of the course, their shapes, and what goes wrong. The number is the lesson's.",
    "Công thức của khóa học, kích thước, và chỗ hay sai. Con số là số của bài.",
)
LETTERS = Say(
    r"**Letters.** B pictures in a batch · C channels · H, W (h, w in latents) height, width · N places of the picture · L "
    r"tokens of the prompt · D width · h heads of width d · T times · $\alpha_t = \sqrt{\bar\alpha_t}$, "
    r"$\sigma_t = \sqrt{1 - \bar\alpha_t}$ weights of data and noise (in *noise schedule* and the ancestral step, "
    r"$\alpha_t$ is $1 - \beta_t$) · $s < t$ the next time · $\hat x_0, \hat\epsilon$ guesses · $\epsilon, z$ fresh noise",
    r"**Ký hiệu.** B số ảnh trong lô · C kênh · H, W (h, w trong không gian ẩn) cao, rộng · N vị trí của ảnh · L token của "
    r"prompt · D bề rộng · h đầu, mỗi đầu rộng d · T thời điểm · $\alpha_t = \sqrt{\bar\alpha_t}$, "
    r"$\sigma_t = \sqrt{1 - \bar\alpha_t}$ hệ số của dữ liệu và nhiễu (ở *lịch nhiễu* và bước tổ tiên, $\alpha_t$ là "
    r"$1 - \beta_t$) · $s < t$ thời điểm kế tiếp · $\hat x_0, \hat\epsilon$ lời đoán · $\epsilon, z$ nhiễu mới",
)
SHAPE = Say("shape", "kích thước")
PITFALL = Say("pitfall", "bẫy")
LESSON = Say("lesson", "bài")
FOOT = Say(
    "Made of the summaries of the lessons by <code>minidiff course cheat-sheet</code>, minidiff {version}. MIT licence.",
    "Làm từ phần tóm tắt của các bài bằng <code>minidiff course cheat-sheet</code>, minidiff {version}. Giấy phép MIT.",
)


Stop = tuple[Say, Say, str]  # a part of the whole, what leaves it, its lessons
BEFORE: tuple[Stop, ...] = (
    (Say("words", "lời"), Say("a red star at night", "ngôi sao đỏ ban đêm"), ""),
    (Say("tokens", "token"), Say("(B, L)", "(B, L)"), "06"),
    (Say("text tower", "tháp văn bản"), Say("(B, L, 256)", "(B, L, 256)"), "06"),
)
EACH_STEP: tuple[Stop, ...] = (
    (Say("network", "mạng"), Say("2 × (B, 4, 16, 16)", "2 × (B, 4, 16, 16)"), "01 07 09"),
    (Say("guidance", "dẫn hướng"), Say("(B, 4, 16, 16)", "(B, 4, 16, 16)"), "05"),
    (Say("guess, step", "lời đoán, bước"), Say("(B, 4, 16, 16)", "(B, 4, 16, 16)"), "02 03 04"),
)
AFTER: tuple[Stop, ...] = (
    (Say("VAE decoder", "bộ giải mã VAE"), Say("(B, 3, 128, 128)", "(B, 3, 128, 128)"), "08"),
    (Say("picture", "bức tranh"), Say("bytes, 0..255", "byte, 0..255"), "00"),
)
AGAIN = Say("in each step, from noise at t = 1 to t = 0", "ở mỗi bước, từ nhiễu tại t = 1 đến t = 0")


def chain(lang: str) -> str:
    """The way of a prompt through the parts of the course, for the poster."""

    def boxes(stops: tuple[Stop, ...]) -> str:
        return "".join(
            f'<li><b>{name.of(lang)}</b><span>{gives.of(lang)}</span><span class="lesson">{lessons}</span></li>'
            for name, gives, lessons in stops
        )

    loop = f'<li class="again"><ol>{boxes(EACH_STEP)}</ol><p>↻ {AGAIN.of(lang)}</p></li>'
    return f'<ol class="chain">{boxes(BEFORE)}{loop}{boxes(AFTER)}</ol>'


def group_html(title: Say, rows: tuple[Row, ...], lang: str, hue: int) -> str:
    body = "\n".join(entry_html(entry(row, lang), lang) for row in rows)
    return f'<section style="--hue: {hue}">\n<h2>{html.escape(title.of(lang))}</h2>\n{body}\n</section>'


def entry_html(made: Entry, lang: str) -> str:
    formulas = "".join(f'<div class="formula">{formula}</div>' for formula in made.formulas)
    return (
        f'<article data-lesson="{made.lesson}"><h3><span>{made.name}</span>'
        f'<span class="lesson" title="{LESSON.of(lang)} {made.lesson}">{made.lesson}</span></h3>{formulas}'
        f'<div class="shape" title="{SHAPE.of(lang)}">{made.shape}</div>'
        f'<p class="pitfall" title="{PITFALL.of(lang)}">{made.pitfall}</p></article>'
    )


def page(kind: str, lang: str) -> str:
    """One of PAGES as HTML that needs no other file. Raises SourceError for a row that no lesson has."""
    hues = [360 * k // len(GROUPS) for k in range(len(GROUPS))]
    groups = "\n".join(group_html(title, rows, lang, hue) for hue, (title, rows) in zip(hues, GROUPS.items(), strict=True))
    return f"""<!doctype html>
<html lang="{lang}"><head><meta charset="utf-8"><title>{TITLE.of(lang)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>{STYLE.read_text(encoding="utf-8")}@page {{ size: {PAGES[kind]}; }}</style></head><body class="{kind}">
<header><h1>{TITLE.of(lang)}</h1><p>{LEAD.of(lang)}</p></header>
{chain(lang) if kind == "poster" else ""}
<main>
{groups}
</main>
<footer><p>{shown(LETTERS.of(lang))}</p><p>{FOOT.of(lang).format(version=__version__)}</p></footer>
</body></html>
"""


NO_CHROMIUM = (
    "There are no PDFs, since no Chromium was found: install one, or name it by CHROMIUM; or open the pages in a browser and "
    "print them."
)


def command(run: CheatSheetRun) -> None:
    """Write the pages, and print where they are. Raises SourceError, and BrowserError where Chromium fails."""
    browser = chromium() if run.pdf else None
    for lang in LANGS:
        for kind in PAGES:
            path = run.out / lang / f"{kind}.html"
            write_whole(path, page(kind, lang))
            print(path)
            if browser:
                print_pdf(path, path.with_suffix(".pdf"), browser)
                print(path.with_suffix(".pdf"))
    if run.pdf and not browser:
        print(NO_CHROMIUM, file=sys.stderr)
