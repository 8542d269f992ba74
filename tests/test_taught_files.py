"""The files that lessons show stay short enough to print: no long functions, no long files, a small core."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "minidiff"
TAUGHT = sorted(file for room in ("diffusion", "nn", "models") for file in (PACKAGE / room).glob("*.py"))
LONGEST_FUNCTION, LONGEST_FILE, CORE = 40, 360, 3000


def functions(source: str) -> dict[str, int]:
    """How many lines each function of a module has, decorators and docstring included."""
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found[node.name] = max(found.get(node.name, 0), (node.end_lineno or first) - first + 1)
    return found


@pytest.mark.parametrize("file", TAUGHT, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_a_taught_file_fits_on_a_few_pages(file: Path) -> None:
    source = file.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= LONGEST_FILE
    assert {name: lines for name, lines in functions(source).items() if lines > LONGEST_FUNCTION} == {}


def test_the_core_is_small() -> None:
    assert sum(len(file.read_text(encoding="utf-8").splitlines()) for file in TAUGHT) <= CORE


def test_long_functions_are_seen() -> None:
    assert functions("class A:\n    @property\n    def f(self):\n        x = 1\n        return x\n") == {"f": 4}
