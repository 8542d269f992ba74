"""The first cell of every notebook, where minidiff is missing: it installs it, and weights come when they are needed."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import venv
from pathlib import Path

import nbformat
import pytest

from minidiff.course.build import lesson_folders, target
from minidiff.pretrained import zoo
from minidiff.utils import release

ROOT = Path(__file__).parents[2]
LAST = """
import minidiff, sys
from minidiff.pretrained import zoo
assert zoo.waits("world-judge"), "the wheel has no weights"
zoo.load("world-judge")
assert zoo.table()[1], zoo.table()[0]
from minidiff.course.catalogue import get_exercise
assert get_exercise("02.1").points > 3, "the exercises come with the package"
print("found", minidiff.__file__)
"""


def first_cell(lang: str) -> str:
    book = nbformat.read(target(ROOT, "exercises", lang, lesson_folders(ROOT)[0]), as_version=4)
    return next(cell.source for cell in book.cells if cell.cell_type == "code")


def run_cell(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    """Runs the cell in a new environment; its text is what a notebook on Colab would run."""
    (folder / "cell.py").write_text(first_cell("vi") + LAST, encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MINIDIFF_ZOO")}
    environment |= {"MINIDIFF_SOURCE": source, "MINIDIFF_RELEASE": str(zoo.SHIPPED), "MINIDIFF_CACHE": str(folder / "cache")}
    python = folder / "env" / "bin" / "python"
    return subprocess.run([python, "cell.py"], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.timeout(600)
def test_the_cell_installs_minidiff_where_everything_else_is_there(tmp_path: Path) -> None:
    """As on Colab and Kaggle: torch and Jupyter are there, minidiff is not."""
    venv.create(tmp_path / "env", with_pip=True)
    site = next((tmp_path / "env" / "lib").glob("python*/site-packages"))
    (site / "others.pth").write_text(sysconfig.get_paths()["purelib"], encoding="utf-8")
    done = run_cell(tmp_path, str(ROOT))
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split("found ")[-1].startswith(str(tmp_path / "env")), "the installed one, not this checkout"


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_the_cell_installs_everything_into_an_empty_environment(tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    done = run_cell(tmp_path, str(ROOT))
    assert done.returncode == 0, done.stderr[-2000:]
    assert str(tmp_path / "env") in done.stdout


def test_the_address_is_that_of_the_release() -> None:
    assert f'"{release.WHEEL}"' in first_cell("en")
