"""Takes a learner's definitions out of a notebook, without running its cells.

Imports, functions, classes and simple constants are kept; what draws, trains or prints is not. Cells that are not valid
Python are reported, and the others still count. An exercise gets only the definitions that its answer needs, so that faults
elsewhere in the notebook don't affect it.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minidiff.course.exercise import Say


class NotebookError(ValueError):
    """A file that is no notebook; the text says what is wrong with it."""


@dataclass(frozen=True)
class Definitions:
    """statements: Python that only defines, in order; broken: (cell number from 1, its text, what is wrong) of cells that
    do not parse."""

    statements: tuple[ast.stmt, ...]
    broken: tuple[tuple[int, str, Say], ...]

    @property
    def names(self) -> frozenset[str]:
        """All names that are defined."""
        return frozenset(name for statement in self.statements for name in names_of(statement))

    def needed_by(self, name: str) -> str:
        """The source of `name` and of everything that it uses, directly or not."""
        wanted, kept = {name, "*"}, set()  # `from x import *` may define anything
        grown = True
        while grown:
            grown = False
            for k, statement in enumerate(self.statements):
                if k not in kept and wanted.intersection(names_of(statement)):
                    kept.add(k)
                    wanted |= {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
                    grown = True
        return ast.unparse(ast.Module([statement for k, statement in enumerate(self.statements) if k in kept], []))


def code_cells(path: Path) -> list[str]:
    """The code cells of a notebook, in order. Raises NotebookError if the file is none."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except FileNotFoundError:
        raise NotebookError(f"There is no notebook {path}.") from None
    except (ValueError, KeyError, TypeError, UnicodeDecodeError):
        raise NotebookError(f"{path} is not a Jupyter notebook (.ipynb): save it from Jupyter once more.") from None


def without_magics(cell: str) -> str:
    """Lines of IPython (%matplotlib, !pip, ?name) become comments, so that the rest parses and keeps its line numbers."""
    if cell.lstrip().startswith("%%"):
        return ""
    return "\n".join(re.sub(r"^(\s*)[%!?].*", r"\1pass", line) for line in cell.split("\n"))


def definitions(cells: list[str]) -> Definitions:
    """What the cells define, later cells after earlier ones, as in a notebook that is run from the top."""
    kept: list[ast.stmt] = []
    broken = []
    for number, cell in enumerate(cells, start=1):
        try:
            statements = ast.parse(without_magics(cell)).body
        except SyntaxError as error:
            where = f"line {error.lineno}" if error.lineno else "its end"
            broken.append((number, cell, Say(
                f"Code cell {number} is not valid Python ({error.msg}, {where}), so nothing in it counts.",
                f"Ô mã {number} không phải Python hợp lệ ({error.msg}, {where}), nên không được tính.",
            )))  # fmt: skip
            continue
        kept += [statement for statement in statements if defines(statement)]
    return Definitions(tuple(kept), tuple(broken))


def defines(statement: ast.stmt) -> bool:
    """Whether a statement only defines: no call is made by keeping it, but for decorators and default values."""
    if isinstance(statement, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return True
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        return statement.value is not None and not any(
            isinstance(node, (ast.Call, ast.Await)) for node in ast.walk(statement.value)
        )
    return False


def names_of(statement: ast.stmt) -> list[str]:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [statement.name]
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return [(alias.asname or alias.name).split(".")[0] for alias in statement.names]
    return []


def run_definitions(source: str, name: str) -> dict[str, Any]:
    """The names that `source` defines, each statement run by itself. One that fails is passed over, such as a constant of a
    model that was never loaded; code that needs its name fails later. Raises the error when it is `name` itself."""
    space: dict[str, Any] = {"__name__": "__notebook__"}
    for statement in ast.parse(source).body:
        try:
            exec(compile(ast.Module([statement], []), "<notebook>", "exec"), space)
        except Exception:
            if name in names_of(statement):
                raise
    return space
