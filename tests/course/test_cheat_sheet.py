"""The cheat sheet: every formula of the list, every lesson, both languages alike, and nothing wider than its paper."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup
from chromium import CHROMIUM, needs_chromium

from minidiff.course import cheat_sheet as module
from minidiff.course.catalogue import folders
from minidiff.course.cheat_rows import GROUPS, Row
from minidiff.course.cheat_sheet import PAGES, CheatSheetRun, command, entry, page, summary
from minidiff.course.say import LANGS, Say
from minidiff.course.source import SourceError
from minidiff.utils.browser import BrowserError

# what the sheet must hold: a piece of what is read there, without blanks, and the lesson
WANTED = {
    "schedule": ("α¯t=∏i≤t(1−βi)", "02"),
    "jump": ("xt=α¯tx0+1−α¯tϵ", "02"),
    "target epsilon": ("(x−σϵ)/α", "03"),
    "target x0": ("x0=pred", "03"),
    "target v": ("αϵ−σx0", "03"),
    "target flow": ("ϵ−x0", "03"),
    "ancestral step": ("β~=1−α¯s1−α¯tβt", "02"),
    "DDIM step": ("xs=αsx^0+σsϵ^", "04"),
    "CFG": ("u+s(c−u)", "05"),
    "attention": ("(B,N,C)→(B,h,N,d)", "07"),
    "softmax": ("softmax(QK⊤/d+M)V", "07"),
    "InfoNCE": ("eℓii∑jeℓij", "06"),
    "KL": ("12(μ2+eℓ−1−ℓ)", "08"),
    "scale": ("(z−m)/s", "08"),
    "patchify": ("bc(hp)(wq)->b(hw)(cpq)", "09"),
    "LoRA": ("W+αrBA", "11"),
}
ROWS = [row for rows in GROUPS.values() for row in rows]


def in_a_browser(test: Callable) -> Callable:
    for mark in needs_chromium:
        test = mark(test)
    return test


def articles(lang: str, kind: str = "cheat-sheet") -> list[Any]:
    return BeautifulSoup(page(kind, lang), "html.parser").find_all("article")


def read_aloud(article: Any) -> str:
    return re.sub(r"\s+", "", "".join(formula.get_text() for formula in article.find_all(class_="formula")))


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("name", WANTED)
def test_the_formula_is_there_with_its_lesson_shape_and_pitfall(name: str, lang: str) -> None:
    formula, lesson = WANTED[name]
    found = [one for one in articles(lang) if formula in read_aloud(one)]
    assert lesson in [one["data-lesson"] for one in found]
    for one in found:
        assert all(one.find(class_=part).get_text(strip=True) for part in ("shape", "pitfall", "lesson"))


def test_every_lesson_is_on_the_sheet() -> None:
    assert {row.lesson for row in ROWS} == {folder.name[:2] for folder in folders()}, "cheat_rows.py needs rows of each lesson"


def test_every_row_is_shown_once_and_whole() -> None:
    for lang in LANGS:
        found = articles(lang)
        assert [one["data-lesson"] for one in found] == [row.lesson for row in ROWS]
        assert len({(one["data-lesson"], one.find("h3").get_text()) for one in found}) == len(ROWS)
        for one in found:
            assert one.find(class_="formula").get_text(strip=True) and one.find(class_="shape").get_text(strip=True)
            assert not re.search(r"[$`]|\\[a-z]|\*\*", one.get_text()), "Markdown or LaTeX that was not typeset"


@pytest.mark.parametrize("kind", PAGES)
def test_both_languages_have_the_same_parts(kind: str) -> None:
    def form(lang: str) -> list[tuple[str, int]]:
        return [(one["data-lesson"], len(one.find_all(class_="formula"))) for one in articles(lang, kind)]

    assert form("en") == form("vi")
    for one, other in zip(articles("en", kind), articles("vi", kind), strict=True):
        assert one.find(class_="pitfall").get_text() != other.find(class_="pitfall").get_text()


def test_the_first_formula_is_the_lessons_own() -> None:
    for row in ROWS:
        for lang in LANGS:
            line = summary(row.lesson)[row.key][lang]
            assert line.cells[1] in entry(row, lang).formulas


def test_a_row_that_its_lesson_lacks_is_named() -> None:
    with pytest.raises(SourceError, match=r"Lesson 02 has no row 'jmp' in its summary: it has schedule, forward, one jump"):
        entry(Row("02", "jmp", Say("x", "y")), "en")


def test_tables_that_differ_between_the_languages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    (folder,) = folders(only="02")
    cells = module.read(folder / "lesson.py")
    (place,) = (k for k, cell in enumerate(cells) if cell.en.startswith("## Summary"))
    cells[place] = replace(cells[place], vi="\n".join(cells[place].vi.splitlines()[:-1]))
    monkeypatch.setattr(module, "read", lambda path: cells)
    summary.cache_clear()
    try:
        with pytest.raises(ValueError, match="zip"):
            summary("02")
    finally:
        summary.cache_clear()


def test_a_page_is_one_file() -> None:
    for kind in PAGES:
        text = page(kind, "en")
        assert not re.search(r"<script|<link|<img|url\(|@import", text)
        assert set(re.findall(r"https?://[^\"' <]+", text)) == {"http://www.w3.org/1998/Math/MathML"}, "a name, never fetched"


def test_without_chromium_the_pages_are_there_and_a_sentence_says_what_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "chromium", lambda: None)
    command(CheatSheetRun(out=tmp_path))
    said = capsys.readouterr()
    assert "There are no PDFs, since no Chromium was found" in said.err
    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*"))
    assert found == [f"{lang}/{kind}.html" for lang in LANGS for kind in PAGES] and "vi/poster.html" in said.out
    command(CheatSheetRun(out=tmp_path, pdf=False))
    assert not capsys.readouterr().err


def test_a_chromium_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for browser in ("/nowhere/chromium", "/bin/false"):
        monkeypatch.setattr(module, "chromium", lambda browser=browser: browser)
        with pytest.raises(BrowserError, match=rf"cheat-sheet\.html could not be printed with {browser}"):
            command(CheatSheetRun(out=tmp_path))
        assert not list(tmp_path.rglob("*.pdf"))


OVER = """() => {
  const wide = [...document.querySelectorAll('article, article *:not(math *), .chain, .chain *, footer p')].filter(e => {
    const box = e.getBoundingClientRect(), room = (e.closest('section, li, footer') || document.body).getBoundingClientRect();
    return box.width && (box.right > room.right + 1 || box.left < room.left - 1);
  });
  const formulas = [...document.querySelectorAll('.formula')].filter(e => e.scrollWidth > e.clientWidth + 1);
  return { page: document.documentElement.scrollWidth - document.documentElement.clientWidth,
           wide: wide.map(e => e.outerHTML.slice(0, 90)), formulas: formulas.map(e => e.innerText.slice(0, 60)) };
}"""


@in_a_browser
@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize(("kind", "width", "media"), [
    ("cheat-sheet", 1280, "screen"), ("cheat-sheet", 360, "screen"), ("cheat-sheet", 733, "print"), ("poster", 1280, "screen"),
])  # fmt: skip
def test_nothing_is_wider_than_its_column(
    browser: Any, tmp_path: Path, kind: str, width: int, media: str, lang: str
) -> None:
    path = tmp_path / "page.html"
    path.write_text(page(kind, lang), encoding="utf-8")
    opened = browser.new_page(viewport={"width": width, "height": 900})  # 733: A4 without its margins
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.emulate_media(media=media)
    opened.goto(path.as_uri())
    assert opened.evaluate(OVER) == {"page": 0, "wide": [], "formulas": []}
    assert asked == [path.as_uri()]
    opened.close()


def sheets(pdf: Path) -> list[tuple[int, int]]:
    """(width, height) of each page, in millimetres."""
    content = pdf.read_bytes()
    boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", content)
    assert len(boxes) == len(re.findall(rb"/Type /Page\b(?!s)", content))
    return [(round(float(width) * 25.4 / 72), round(float(height) * 25.4 / 72)) for width, height in boxes]


@in_a_browser
@pytest.mark.timeout(600)
def test_the_sheet_has_at_most_two_pages_of_a4_and_the_poster_is_one_of_a1(tmp_path: Path) -> None:
    assert CHROMIUM
    command(CheatSheetRun(out=tmp_path))
    for lang in LANGS:
        assert sheets(tmp_path / lang / "poster.pdf") == [(594, 841)]
        assert sheets(tmp_path / lang / "cheat-sheet.pdf") in ([(210, 297)], [(210, 297)] * 2)
