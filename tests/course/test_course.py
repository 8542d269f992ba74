"""The course as it is committed: nothing derived is stale, both languages hold together, the tables of lessons are true."""

from __future__ import annotations

import re
import shutil
import unicodedata
from pathlib import Path

import nbformat
import pytest

from minidiff.course import table
from minidiff.course.build import BuildRun, build, lesson_folders, target
from minidiff.course.catalogue import exercise_files
from minidiff.course.say import LANGS
from minidiff.course.source import EXERCISE_ROLES, ROLES, SourceError, read
from minidiff.course.table import TableRun, command

ROOT = Path(__file__).parents[2]
FOLDERS = lesson_folders(ROOT)


def test_no_notebook_is_stale() -> None:
    assert build(BuildRun(root=ROOT, check=True)) == []


def test_no_two_lessons_have_one_number() -> None:
    numbers = [folder.name[:2] for folder in FOLDERS]
    assert numbers == sorted(set(numbers)) and numbers[0] == "00"


def test_the_tables_of_lessons_are_true() -> None:
    command(TableRun(root=ROOT, check=True))


@pytest.mark.parametrize("page", ["README.md", "docs/course.md"])
def test_a_stale_table_is_told_and_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    monkeypatch.setattr(table, "links", lambda root: "| links |")
    monkeypatch.setattr(table, "costs", lambda root: "| costs |")
    (tmp_path / "docs").mkdir()
    for name in ("README.md", "docs/course.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    command(TableRun(root=tmp_path, write=True))
    command(TableRun(root=tmp_path, check=True))
    true = (tmp_path / page).read_text(encoding="utf-8")
    assert true.count("| links |" if page == "README.md" else "| costs |") == 1 and "# " in true
    (tmp_path / page).write_text(re.sub(r"\| (links|costs) \|", "| old |", true), encoding="utf-8")
    with pytest.raises(SourceError, match=f"{page} is stale"):
        command(TableRun(root=tmp_path, check=True))
    command(TableRun(root=tmp_path, write=True))
    assert (tmp_path / page).read_text(encoding="utf-8") == true
    (tmp_path / page).write_text("no place for it", encoding="utf-8")
    with pytest.raises(SourceError, match="needs one place"):
        command(TableRun(root=tmp_path))


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
