"""Notebooks under nbmake: an untouched exercise fails at its first task, a filled one passes, and budgets are held."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
FIRST = "from minidiff.course.notebook import check"
STUB = "def alpha_bars(betas):\n    raise NotImplementedError"
SOLUTION = "def alpha_bars(betas):\n    return torch.cat([torch.ones(1, dtype=betas.dtype), (1 - betas).cumprod(0)])"
CHECK = 'check("02.1", alpha_bars)'
HUNGRY = "import time\nblock = bytearray(300 * 2**20)\nblock[::4096] = b'1' * len(block[::4096])\ntime.sleep(1.5)"


def notebook(path: Path, *cells: str) -> None:
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)


def nbmake(folder: Path, *options: str) -> tuple[str, dict[str, dict[str, float]]]:
    """What pytest says, and the measured figures."""
    measured = folder / "measured.json"
    command = [sys.executable, "-m", "pytest", "-p", "minidiff.course.budget", "-p", "no:cacheprovider", "--nbmake", "-q",
               "--measured", str(measured), *options, str(folder)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return done.stdout, json.loads(measured.read_text(encoding="utf-8")) if measured.exists() else {}


def test_exercises_fail_until_they_are_solved_and_what_passed_is_measured(tmp_path: Path) -> None:
    notebook(tmp_path / "exercise.ipynb", FIRST, "import torch", STUB, CHECK, "raise RuntimeError('went on')")
    notebook(tmp_path / "solved.ipynb", FIRST, "import torch", SOLUTION, CHECK)
    said, measured = nbmake(tmp_path)
    assert "1 failed, 1 passed" in said
    assert "Not done yet" in said and "went on" not in said
    ((name, row),) = measured.items()
    assert name.endswith("solved.ipynb") and row["minutes"] > 0 and 0.1 < row["gigabytes"] < 3
    assert "solved.ipynb" in said.split("notebooks")[-1] and "min together" in said


@pytest.mark.timeout(600)
def test_every_untouched_exercise_notebook_fails_at_its_first_task(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "exercises" / "vi", tmp_path / "vi")
    books = sorted((tmp_path / "vi").glob("*.ipynb"))
    said, measured = nbmake(tmp_path / "vi")
    assert f"{len(books)} failed" in said and not measured
    for book in books:
        assert f"CheckFailed: {book.name[:2]}.1: Mới được 0 trên" in said, book.name
    assert not re.search(r"CheckFailed: \d\d\.[2-9]", said), "a notebook went on after its first task"


def test_a_notebook_beyond_its_budget_fails(tmp_path: Path) -> None:
    notebook(tmp_path / "hungry.ipynb", HUNGRY)
    said, measured = nbmake(tmp_path, "--budget-gigabytes", "0.2")
    assert "1 failed" in said and "its budget is 5 minutes and 0.2 GB" in said and not measured
    said, measured = nbmake(tmp_path, "--budget-minutes", "0.01")
    assert "1 failed" in said and "its budget is 0.01 minutes and 3 GB" in said
    said, measured = nbmake(tmp_path)
    assert "1 passed" in said and next(iter(measured.values()))["gigabytes"] > 0.3
