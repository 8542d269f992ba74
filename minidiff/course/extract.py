"""Takes a learner's answers out of a notebook, without running its cells.

Statements that bind names are kept: imports, functions, classes, assignments, and blocks of these. What only draws, trains or
prints is not. An exercise gets the statements that its answer needs, so that faults elsewhere in the notebook don't affect it.
Cells that are not valid Python are reported, and the others still count.

The text of this file is run in a process of its own (inside.py), since a notebook may be anything: it imports nothing of
minidiff.
"""

from __future__ import annotations

import ast
import difflib
import json
import re
import symtable
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

PYTHON_MAGICS = ("%%time", "%%timeit", "%%capture", "%%prun")  # the rest of such a cell is Python; of others it is not
DEFINING = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign,
            ast.If, ast.Try, ast.With, ast.For)  # fmt: skip

ONE_AT_A_TIME = threading.RLock()  # the grader has several threads, and one parser


class NotebookError(ValueError):
    """A file that is no notebook."""


@dataclass(frozen=True)
class Definitions:
    """statements: Python that binds names, in order; broken: (cell number from 1, its text, what is wrong, line or None) of
    cells that do not parse."""

    statements: tuple[ast.stmt, ...]
    broken: tuple[tuple[int, str, str, int | None], ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """All names that are bound."""
        return frozenset(name for statement in self.statements for name in names_of(statement))

    def needed_by(self, name: str) -> list[ast.stmt]:
        """The statements that bind `name`, and whatever they use, directly or not."""
        classes = {statement.name for statement in self.statements if isinstance(statement, ast.ClassDef)}
        bound = [names_of(statement) | (classes & extended_by(statement)) for statement in self.statements]
        used = [globals_of(statement) for statement in self.statements]
        wanted, kept = {name, "*"}, set()  # `from x import *` may bind anything
        grown = True
        while grown:
            grown = False
            for k in range(len(self.statements)):
                if k not in kept and wanted.intersection(bound[k]):
                    kept.add(k)
                    wanted |= used[k]
                    grown = True
        return [self.statements[k] for k in sorted(kept)]


def code_cells(data: bytes) -> list[str]:
    """The code cells of a notebook's file, in order. Raises NotebookError if it is none."""
    try:
        cells = json.loads(data)["cells"]
        return [_text(cell) for cell in cells if isinstance(cell, dict) and cell.get("cell_type") == "code"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise NotebookError from None


def _text(cell: dict[str, Any]) -> str:
    """A cell's text, a string or a list of lines; nothing for what is neither."""
    source = cell.get("source")
    lines = [source] if isinstance(source, str) else source if isinstance(source, list) else []
    return "".join(line for line in lines if isinstance(line, str))


def without_magics(cell: str) -> str:
    """Lines of IPython (%matplotlib, !pip, name?) become `pass`, so that the rest parses and keeps its line numbers."""
    first, _, rest = cell.lstrip().partition("\n")
    if first.startswith("%%"):
        cell = "\n" + rest if first.split()[0] in PYTHON_MAGICS else ""
    return "\n".join(map(_plain_line, cell.split("\n")))


def _plain_line(line: str) -> str:
    """A line without IPython's own: `%matplotlib inline`, `!pip`, `?name`, `name?`, `files = !ls`."""
    text = line.strip()
    space = line[: len(line) - len(line.lstrip())]
    if text.startswith(("%", "!", "?")) or re.fullmatch(r"[\w.]{1,200}\?{1,2}", text):
        return space + "pass"
    names, equals, value = text.partition("=")
    if equals and value.lstrip().startswith(("%", "!")) and re.fullmatch(r"[\w, ]{1,200}", names):
        return f"{space}{names}= None"
    return line


def tree_of(source: str) -> ast.Module:
    """ast.parse, by one thread at a time: the parser counts the depth of its recursion once for all threads, and raises
    SystemError where another one has moved the count (https://github.com/python/cpython/issues/106905)."""
    with ONE_AT_A_TIME:
        return ast.parse(source)


def parsed(cell: str) -> ast.Module:
    """A cell as Python: as it stands if it can be, else without the lines of IPython. Raises as ast.parse."""
    if not cell.lstrip().startswith("%%"):
        try:
            return tree_of(cell)
        except SyntaxError:
            pass
    return tree_of(without_magics(cell))


def definitions(cells: list[str]) -> Definitions:
    """What the cells bind, later cells after earlier ones, as in a notebook that is run from the top."""
    kept: list[ast.stmt] = []
    broken = []
    for number, cell in enumerate(cells, start=1):
        try:
            statements = parsed(cell).body
            for statement in statements:
                if isinstance(statement, DEFINING):
                    globals_of(statement), names_of(statement)  # here, where too deep a statement can be passed over
        except SyntaxError as error:
            broken.append((number, cell, error.msg, error.lineno))
            continue
        except (ValueError, RecursionError, MemoryError):
            broken.append((number, cell, "too deep to be read", None))
            continue
        kept += [statement for statement in statements if isinstance(statement, DEFINING)]
    return Definitions(tuple(kept), tuple(broken))


def names_of(statement: ast.stmt) -> set[str]:
    """The names that a statement binds in the notebook."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {statement.name}
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
    found: set[str] = set()
    for node in _outside_functions(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, (*OWN_NAMES[:3], ast.Import, ast.ImportFrom)):
            found |= names_of(node)
    return found


def extended_by(statement: ast.stmt) -> set[str]:
    """The names whose attributes a statement sets: `CrossAttention.forward = forward` in a later cell than the class."""
    targets = (node.value for node in _outside_functions(statement)
               if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store))  # fmt: skip
    return {target.id for target in targets if isinstance(target, ast.Name)}


OWN_NAMES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp,
             ast.GeneratorExp)  # fmt: skip


def _outside_functions(statement: ast.AST) -> Iterator[ast.AST]:
    """All that is in a statement, but for the insides of functions, classes and comprehensions, whose names are their own."""
    waiting = [statement]
    while waiting:
        node = waiting.pop()
        yield node
        if node is statement or not isinstance(node, OWN_NAMES):
            waiting += ast.iter_child_nodes(node)


def globals_of(statement: ast.stmt) -> set[str]:
    """The names of the notebook that a statement uses, its functions' own variables left out."""
    found: set[str] = set()
    waiting = [symtable.symtable(ast.unparse(statement), "<notebook>", "exec")]
    while waiting:
        table = waiting.pop()
        top = table.get_type() == "module"
        found |= {s.get_name() for s in table.get_symbols() if s.is_referenced() and (top or s.is_global())}
        waiting += table.get_children()
    return found


def uses_the_course(statements: list[ast.stmt]) -> bool:
    """Whether the statements import minidiff.course, where the solutions are."""
    for node in (node for statement in statements for node in ast.walk(statement)):
        if isinstance(node, ast.Import) and any(alias.name.startswith("minidiff.course") for alias in node.names):
            return True
        if isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            if any(name.startswith("minidiff.course") for name in names):
                return True
    return False


def run_statements(source: str, name: str) -> dict[str, Any]:
    """The names that `source` binds, each statement run by itself. One that fails is passed over, such as a constant of a
    model that was never loaded; code that needs its name fails later. Raises the error when it is `name` itself."""
    module = sys.modules["__notebook__"] = ModuleType("__notebook__")  # where dataclasses look for their fields' types
    space = vars(module)
    for statement in tree_of(source).body:
        try:
            exec(compile(ast.Module([statement], []), "<notebook>", "exec"), space)
        except Exception:
            if name in names_of(statement):
                raise
    return space


# --- a whole notebook -------------------------------------------------------------------------------------------------


def lesson_of(cells: list[str], file: str, lessons: Mapping[str, Mapping[str, str]]) -> str | None:
    """The two digits of the lesson in the file's name, else of the one whose `check("02.1", ...)` the cells call most often.
    The name is the teacher's, the cells are the learner's."""
    if file[:2] in lessons:
        return file[:2]
    called: Counter[str] = Counter()
    for cell in cells:
        try:
            tree = parsed(cell)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "check" and node.args:
                number = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
                if isinstance(number, str) and number in lessons.get(number[:2], ()):
                    called[number[:2]] += 1
    return max(called, key=lambda lesson: called[lesson], default=None)


def answers_in(data: bytes, file: str, lessons: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """What a notebook holds: {"lesson": two digits or None, "answers": {number: ...}}, where an answer is {"source": text},
    or says why there is none: {"course": True} (it imports the course), {"broken": [cell, what, line]}, {"near": another
    name}, or nothing: {}.

    file: the notebook's name. lessons: {lesson: {number: name of the function}}. Raises NotebookError."""
    cells = code_cells(data)
    lesson = lesson_of(cells, file, lessons)
    if lesson is None:
        return {"lesson": None, "answers": {}}
    found, names = definitions(cells), lessons[lesson]
    return {"lesson": lesson, "answers": {number: _answer(name, found, set(names.values())) for number, name in names.items()}}


def _answer(name: str, found: Definitions, known: set[str]) -> dict[str, Any]:
    if name in found.names:
        statements = found.needed_by(name)
        return {"course": True} if uses_the_course(statements) else {"source": "\n".join(map(ast.unparse, statements))}
    for number, text, what, line in found.broken:
        if name in text:
            return {"broken": [number, what, line]}
    near = difflib.get_close_matches(name, sorted(found.names - known)[:1000], n=1, cutoff=0.6)
    return {"near": near[0]} if near else {}
