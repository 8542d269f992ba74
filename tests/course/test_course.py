"""The course as it is committed: nothing derived is stale, both languages hold together, the README's table is true."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import nbformat
import pytest

from minidiff.course.build import BuildRun, build, sources, target
from minidiff.course.exercise import LANGS
from minidiff.course.source import read
from minidiff.course.table import BEGIN, END, TableRun, command

ROOT = Path(__file__).parents[2]
SOURCES = sources(ROOT)


def test_no_notebook_is_stale() -> None:
    assert build(BuildRun(root=ROOT, check=True)) == []


def test_lessons_are_in_order_without_gaps() -> None:
    assert [source.stem[:2] for source in SOURCES] == [f"{n:02d}" for n in range(len(SOURCES))]


def test_the_table_of_the_readme_is_true(capsys: pytest.CaptureFixture[str]) -> None:
    command(TableRun(root=ROOT, check=True))
    assert capsys.readouterr().out.startswith(BEGIN)
    assert END in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_lesson_is_committed_with_its_pictures(source: Path) -> None:
    for lang in LANGS:
        path = target(ROOT, "lessons", lang, source)
        book = nbformat.read(path, as_version=4)
        outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
        assert sum("image/png" in output.get("data", {}) for output in outputs) >= 5
        assert not [output for output in outputs if output.output_type == "error"]
        assert path.stat().st_size < 1_500_000


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_lesson_asks_shows_its_pitfall_and_turns_a_knob(source: Path) -> None:
    cells = read(source)
    roles = [cell.role for cell in cells]
    assert roles.count("think") >= 4 and "pitfall" in roles and "notes" in roles
    assert any("slider(" in cell.code for cell in cells) and any("source(" in cell.code for cell in cells)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_vietnamese_text_is_composed_and_not_english(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    assert unicodedata.is_normalized("NFC", text)
    for cell in read(source):
        if not cell.is_code and len(cell.en) > 80:
            assert re.search("[ăâđêôơưàáạảãèéẹẻẽìíịỉĩòóọỏõùúụủũỳýỵỷỹ]", cell.vi), f"line {cell.line}"
            assert cell.vi != cell.en
