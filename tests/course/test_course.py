"""The course as it is committed: nothing derived is stale, both languages hold together, the README's table is true."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import nbformat
import pytest

from minidiff.course.build import BuildRun, build, lesson_folders, target
from minidiff.course.catalogue import exercise_files
from minidiff.course.say import LANGS
from minidiff.course.source import EXERCISE_ROLES, ROLES, read
from minidiff.course.table import BEGIN, END, TableRun, command

ROOT = Path(__file__).parents[2]
FOLDERS = lesson_folders(ROOT)


def test_no_notebook_is_stale() -> None:
    assert build(BuildRun(root=ROOT, check=True)) == []


def test_no_two_lessons_have_one_number() -> None:
    numbers = [folder.name[:2] for folder in FOLDERS]
    assert numbers == sorted(set(numbers)) and numbers[0] == "00"


def test_the_table_of_the_readme_is_true(capsys: pytest.CaptureFixture[str]) -> None:
    command(TableRun(root=ROOT, check=True))
    assert capsys.readouterr().out.startswith(BEGIN)
    assert END in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_lesson_is_committed_with_its_pictures(folder: Path) -> None:
    for lang in LANGS:
        path = target(ROOT, "lessons", lang, folder)
        book = nbformat.read(path, as_version=4)
        outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
        assert sum("image/png" in output.get("data", {}) for output in outputs) >= 5
        assert not [output for output in outputs if output.output_type == "error"]
        assert path.stat().st_size < 1_500_000


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_lesson_asks_shows_its_pitfall_and_turns_a_knob(folder: Path) -> None:
    cells = read(folder / "lesson.py")
    roles = [cell.role for cell in cells]
    assert roles.count("think") >= 4 and "pitfall" in roles and "notes" in roles
    assert any("slider(" in cell.code for cell in cells) and any("source(" in cell.code for cell in cells)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_vietnamese_text_is_composed_and_not_english(folder: Path) -> None:
    for path, roles in ((folder / "lesson.py", ROLES), *((path, EXERCISE_ROLES) for path in exercise_files(folder))):
        assert unicodedata.is_normalized("NFC", path.read_text(encoding="utf-8"))
        for cell in read(path, roles):
            if not cell.is_code and len(cell.en) > 80:
                assert re.search("[ăâđêôơưàáạảãèéẹẻẽìíịỉĩòóọỏõùúụủũỳýỵỷỹ]", cell.vi), f"{path.name}, line {cell.line}"
                assert cell.vi != cell.en


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_code_in_notebooks_fits_a_narrow_page(folder: Path) -> None:
    """Longer lines are cut off on the web and on phones."""
    long = [line for cell in read(folder / "lesson.py") if cell.is_code for line in cell.code.split("\n") if len(line) > 88]
    assert long == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_what_can_be_made_is_not_typed(folder: Path) -> None:
    first = "\n".join(cell.en + cell.vi for cell in read(folder / "lesson.py")[:12])
    assert first.count("[[map]]") == 2 and first.count("[[time]]") == 2
