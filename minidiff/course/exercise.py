"""An exercise: its text, stub, solution, probes, mistakes and hints, all read from one file of a lesson's folder.

The cells of such a file, in this order; texts are pairs of English and Vietnamese:

    role="task" difficulty="1" minutes="5"    "## " and the title, then what to do
    role="shown"        (code, if any) what the task talks about, such as a fault at work
    role="hints"        three hints, from gentle to plain, between lines of ---
    role="stub"         the function's docstring, a line of ---, and the numbered steps (of a class: of each method)
    role="solution"     (code) the function, without docstring
    role="checks"       "- " and what a probe looks at, a line for each
    role="probes"       (code) `probe(call, points=1, ...)` for each, see probing.py
    role="mistake" name="added"    what to tell those who make this mistake ...
    role="wrong" name="added"      (code) ... and what they write: `patch("old", "new")` of the solution, or a function
    role="library"      (code) the same function by means of the library; tests compare it with the solution
    role="payoff"       (code) the learner's function in a trained model
    role="variants"     (code, if any) what differs between the variants of an assessment, see variant.py

The stub is made of the solution: its signature, the docstring and the steps in the notebook's language. `given="2"` in the
stub's header leaves the first two statements of the solution in it; `given="added"` the wrong answer of that name, for
debugging. An answer may be a class; its methods are then stubs with steps of their own, but for the one that `given` names.
What it is not: the judging of answers (judging.py).
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from minidiff.course.extract import Definitions, definitions, run_statements, tree_of
from minidiff.course.probing import Outcome, Probe, outcome, outcomes, probes_of
from minidiff.course.say import LANGS, Say
from minidiff.course.source import EXERCISE_ROLES, Cell, SourceError, parts, read

PAIRS = ("task", "hints", "stub", "checks")  # each once, as markdown
CODES = ("solution", "probes", "library")  # each once, as code


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people give, and what to tell them. code: a function with the exercise's name."""

    name: str
    hint: Say
    code: str


@dataclass(frozen=True)
class Exercise:
    """number: "04.2", lesson and place in it; name: of the function; difficulty: 1 to 5; minutes: how long it takes;
    checks: what each probe looks at; company: code cells that define what a solution may use, the solutions of earlier
    exercises last; before: the names of these."""

    number: str
    name: str
    title: Say
    task: Say
    hints: tuple[Say, ...]
    difficulty: int
    minutes: int
    docstring: Say
    steps: Say
    given: str
    solution: str
    checks: tuple[Say, ...]
    probes_code: tuple[str, ...]
    mistakes: tuple[Mistake, ...]
    library: str
    payoff: str
    shown: str = ""
    company: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    @cached_property
    def probes(self) -> tuple[Probe, ...]:
        """Raises ValueError when there are more or fewer of them than checks."""
        found = tuple(probe for code in self.probes_code for probe in probes_of(code, f"<probes of {self.number}>"))
        if len(found) != len(self.checks):
            raise ValueError(
                f"Exercise {self.number} has {len(found)} probes, and {len(self.checks)} lines that say what they look at."
            )
        return found

    @property
    def points(self) -> int:
        return sum(probe.points for probe in self.probes)

    @cached_property
    def reference(self) -> Any:
        """The solution, as a function."""
        return self.function(self.solution)

    def function(self, code: str) -> Any:
        """The function that `code` defines, in the company of what a solution may use."""
        return run_statements(self.standing_alone(code), self.name)[self.name]

    def standing_alone(self, code: str, name: str = "") -> str:
        """`code` and whatever of the company it needs, as one text."""
        return source_of(definitions([*self.company, code]), name or self.name)

    @cached_property
    def expected(self) -> list[Outcome]:
        """What the solution gives to each probe."""
        return outcomes(self.probes, self.reference)

    def given_by(self, mistake: Mistake, place: int) -> Outcome:
        """What a mistake gives to the probe at that place; it is run once, when it is first asked for."""
        if mistake.name not in self._functions:
            self._functions[mistake.name] = self.function(mistake.code)
        if (mistake.name, place) not in self._given:
            self._given[mistake.name, place] = outcome(self.probes[place], self._functions[mistake.name])
        return self._given[mistake.name, place]

    @cached_property
    def _given(self) -> dict[tuple[str, int], Outcome]:
        return {}

    @cached_property
    def _functions(self) -> dict[str, Any]:
        return {}

    def stub(self, lang: str) -> str:
        """What stands in the notebook before it is done."""
        return stub_of(self, lang)

    def solved(self, lang: str) -> str:
        """The solution with its docstring."""
        tree, lines = definition_in(self.solution, self.name), self.solution.split("\n")
        first = begin(tree.body[0]) - 1
        after = [""] if isinstance(tree, ast.ClassDef) else []
        return "\n".join([*lines[:first], documented(self.docstring.of(lang)), *after, *lines[first:]])


def source_of(found: Definitions, name: str) -> str:
    """The statements that `name` needs, as text."""
    return "\n".join(map(ast.unparse, found.needed_by(name)))


def definition_in(code: str, name: str) -> ast.FunctionDef | ast.ClassDef:
    """The definition of a function or class. Raises ValueError when there is none."""
    for node in tree_of(code).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name:
            return node
    raise ValueError(f"there is no function {name}")


# --- the stub -----------------------------------------------------------------------------------------------------------


def documented(text: str) -> str:
    """A docstring, indented."""
    return "\n".join(f"    {line}".rstrip() for line in f'"""{text}"""'.split("\n"))


def stub_of(exercise: Exercise, lang: str) -> str:
    """Signature, docstring, given lines, numbered steps and the `raise`; a faulty answer's last `return` stands behind it."""
    given = exercise.given
    code = next((m.code for m in exercise.mistakes if m.name == given), exercise.solution)
    tree, lines = definition_in(code, exercise.name), code.split("\n")
    docstring, steps = documented(exercise.docstring.of(lang)), exercise.steps.of(lang)
    if isinstance(tree, ast.ClassDef):
        decorators = lines[begin(tree) - 1 : tree.lineno - 1]
        return "\n".join([*decorators, *head_of(tree, lines), docstring, *_open_methods(tree, lines, parts(steps), given)])
    body = tree.body
    before: list[str] = []
    after: list[str] = []
    if given.isdigit():
        before = lines[body[0].lineno - 1 : body[int(given) - 1].end_lineno]
    elif given:
        cut = body[-1].lineno - 1 if isinstance(body[-1], ast.Return) else len(lines)
        before, after = lines[body[0].lineno - 1 : cut], lines[cut:]
    made = [*head_of(tree, lines), docstring, *before, *to_do(steps, 4), *after]
    return "\n".join(made).rstrip()


def head_of(tree: ast.FunctionDef | ast.ClassDef, lines: list[str]) -> list[str]:
    """The lines of a signature, without decorators."""
    return lines[tree.lineno - 1 : begin(tree.body[0]) - 1]


def begin(node: ast.stmt) -> int:
    """The first line of a statement, its decorators included."""
    return min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])


def to_do(steps: str, indent: int) -> list[str]:
    """Steps as comments, and the `raise`."""
    comments = [f"# {line}".rstrip() for line in steps.split("\n")]
    return [" " * indent + text for text in [*comments, "raise NotImplementedError"]]


def _open_methods(tree: ast.ClassDef, lines: list[str], steps: list[str], given: str) -> list[str]:
    """A class's body: its methods, each with the next of the steps in place of what it does, but for the one that is given;
    decorators and attributes stay."""
    made, left = [], iter(steps)
    for node in tree.body:
        method = node if isinstance(node, ast.FunctionDef) else None
        if method or node is tree.body[0]:
            made.append("")
        if method and method.name != given:
            made += [*lines[begin(method) - 1 : method.lineno - 1], *head_of(method, lines), *to_do(next(left), 8)]
        else:
            made += lines[begin(node) - 1 : node.end_lineno]
    return made


# --- reading ------------------------------------------------------------------------------------------------------------


def read_exercise(path: Path, number: str, company: Iterable[str] = (), before: Iterable[str] = ()) -> Exercise:
    """The exercise in a file. Raises SourceError that says where it is wrong."""
    cells = read(path, EXERCISE_ROLES)
    name = path.stem.split("_", 1)[1]
    by_role = {role: [cell for cell in cells if cell.role == role] for role in EXERCISE_ROLES}
    for role in (*PAIRS, *CODES):
        if [cell.is_code for cell in by_role[role]] != [role in CODES]:
            raise SourceError(
                f'{path}: an exercise has one {"code" if role in CODES else "pair of markdown"} cell role="{role}".'
            )
    task, hints, stub, checks = (by_role[role][0] for role in PAIRS)
    solution, probes, library = (by_role[role][0].code for role in CODES)
    try:
        definition_in(solution, name)
    except (ValueError, SyntaxError) as error:
        raise SourceError(f"{path}: the solution is wrong: {error}; the file's name says how the function is called.") from None
    title, text = _title(task, path)
    solved = definition_in(solution, name)
    given = stub.options.get("given", "")
    methods = [node.name for node in solved.body if isinstance(node, ast.FunctionDef)]
    if isinstance(solved, ast.ClassDef) and given and given not in methods:
        raise SourceError(f'{path}:{stub.line}: given="{given}" names no method of {name}; there are {", ".join(methods)}.')
    open_methods = [method for method in methods if method != given]
    docstring, *steps = _each_part(stub, 1 + (len(open_methods) if isinstance(solved, ast.ClassDef) else 1), path)
    return Exercise(
        number=number, name=name, title=title, task=text, hints=_each_part(hints, 3, path),
        difficulty=_whole(task, "difficulty", path), minutes=_whole(task, "minutes", path),
        docstring=docstring, steps=Say(*("\n---\n".join(step.of(lang) for step in steps) for lang in LANGS)), given=given,
        solution=solution,
        checks=_bullets(checks, path), probes_code=(probes,), mistakes=_mistakes(by_role, solution, path), library=library,
        payoff="\n\n".join(cell.code for cell in by_role["payoff"]),
        shown="\n\n".join(cell.code for cell in by_role["shown"]), company=tuple(company), before=tuple(before),
    )  # fmt: skip


def _whole(cell: Cell, option: str, path: Path) -> int:
    if not cell.options.get(option, "").isdigit():
        raise SourceError(f'{path}:{cell.line}: the task says {option}="..." with a whole number.')
    return int(cell.options[option])


def _title(cell: Cell, path: Path) -> tuple[Say, Say]:
    """The title and the text below it."""
    lines = [cell.text(lang).split("\n", 1) for lang in LANGS]
    if not all(line[0].startswith("## ") and len(line) == 2 for line in lines):
        raise SourceError(f'{path}:{cell.line}: a task begins with "## " and its title, in both languages.')
    return Say(*(line[0][3:].strip() for line in lines)), Say(*(line[1].strip() for line in lines))


def _each_part(cell: Cell, count: int, path: Path) -> tuple[Say, ...]:
    found = [parts(cell.text(lang)) for lang in LANGS]
    if [len(part) for part in found] != [count] * len(LANGS):
        raise SourceError(f"{path}:{cell.line}: this cell has {count} parts between lines of ---, in both languages.")
    return tuple(map(Say, *found))


def _bullets(cell: Cell, path: Path) -> tuple[Say, ...]:
    found = [[" ".join(part.split()) for part in ("\n" + cell.text(lang)).split("\n- ")[1:]] for lang in LANGS]
    if len(found[0]) != len(found[1]) or not found[0]:
        raise SourceError(f'{path}:{cell.line}: the checks have a line "- ..." for each probe, as many in both languages.')
    return tuple(map(Say, *found))


def _mistakes(by_role: dict[str, list[Cell]], solution: str, path: Path) -> tuple[Mistake, ...]:
    hints = {cell.options.get("name", ""): cell for cell in by_role["mistake"]}
    codes = {cell.options.get("name", ""): cell for cell in by_role["wrong"]}
    if hints.keys() != codes.keys() or len(codes) != len(by_role["wrong"]) or len(hints) != len(by_role["mistake"]):
        odd = sorted(hints.keys() ^ codes.keys()) or ["one that is there twice"]
        raise SourceError(f'{path}: each mistake has a name, a hint and a cell role="wrong": look at {", ".join(odd)}.')
    said = {name: Say(*(" ".join(cell.text(lang).split()) for lang in LANGS)) for name, cell in hints.items()}
    return tuple(
        Mistake(name, said[name], patched(cell.code, solution, f"{path}:{cell.line}")) for name, cell in codes.items()
    )


def patched(code: str, solution: str, where: str) -> str:
    """What a cell role="wrong" stands for: the solution with its patches, or the function itself. Raises SourceError for a
    patch whose old text is not there exactly once."""
    calls = [node.value for node in tree_of(code).body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    if not calls:
        return code
    for call in calls:
        try:
            old, new = map(ast.literal_eval, call.args)
        except ValueError:
            raise SourceError(f'{where}: a patch is `patch("old", "new")`.') from None
        if solution.count(old) != 1:
            raise SourceError(f"{where}: the solution holds {old!r} {solution.count(old)} times, and a patch needs it once.")
        solution = solution.replace(old, new)
    return solution
