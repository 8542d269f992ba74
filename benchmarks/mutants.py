"""Mutation testing: `python -m benchmarks.mutants` breaks the code in one small way at a time and runs the tests.

A mutant is killed when a test fails or hangs, and survives when all pass: then no test checks that line. The working
tree is never touched; mutants live in a temporary copy. Each is tried in a fork of one process that has imported torch
and the other libraries already, so that it costs the tests' own seconds. This is not coverage: a line that runs may
still be checked by nothing.
"""

from __future__ import annotations

import argparse
import ast
import copy
import difflib
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The tests that cover a file. Quick ones are run first, whatever the order here.
TESTS = {
    "minidiff/diffusion/samplers.py": "test_samplers test_order test_analytic",
    "minidiff/diffusion/guidance.py": "test_guidance",
    "minidiff/diffusion/losses.py": "test_losses",
    "minidiff/train/loop.py": "test_train_loop test_training",
    "minidiff/train/checkpoint.py": "test_checkpoint test_train_loop test_training",
    "minidiff/pipelines/text_to_image.py": "test_text_to_image test_pipeline",
    "minidiff/course/grade.py": "course/test_grade",
}

NO_ACCELERATOR = "on a machine without an accelerator every device is the CPU"
# Mutants that change nothing a test could see: (end of the file's path; what the line becomes, without its comment, or
# "no " and the line that is dropped; why).
EQUIVALENT: list[tuple[str, str, str]] = [
    (
        "losses.py", "return ((torch.rand(1, generator=generator, device=device) - torch.arange(n, device=device) / n)) % 1",
        "the same times in another order",
    ),
    (
        "losses.py", "return (torch.rand(1, generator=generator) + torch.arange(n, device=device) / n) % 1", NO_ACCELERATOR,
    ),
    (
        "losses.py", "return (torch.rand(1, generator=generator, device=device) + torch.arange(n) / n) % 1", NO_ACCELERATOR,
    ),
    ("losses.py", "return torch.rand(n, generator=generator)", NO_ACCELERATOR),
    ("losses.py", "return torch.randn(n, generator=generator).sigmoid()", NO_ACCELERATOR),
    (
        "loop.py", "yield {k: v.to(accelerator.device) if isinstance(v, Tensor) else v for k, v in batch.items()}",
        NO_ACCELERATOR,
    ),
    (
        "loop.py",
        "yield {k: v.to(accelerator.device, non_blocking=False) if isinstance(v, Tensor) else v for k, v in batch.items()}",
        NO_ACCELERATOR,
    ),
    (
        "loop.py", "return Accelerator(mixed_precision=precision, gradient_accumulation_steps=accumulate)", NO_ACCELERATOR,
    ),
    ("loop.py", "optimizer.zero_grad()", "set_to_none is True by default"),
    ("loop.py", "return dict(zip([*totals, 'grad_norm'], values))", "both have one length"),
    ("loop.py", 'return dict(zip([*totals, "grad_norm"], values, strict=False))', "both have one length"),
    ("grade.py", "near = difflib.get_close_matches(name, sorted(found.names - others), cutoff=0.6)", "only the first is used"),
    ("grade.py", "near = difflib.get_close_matches(name, sorted(found.names - others), n=1)", "0.6 is the default"),
    ("grade.py", "path.write_text(content)", "where the tests run, text is UTF-8 by default"),
    ("text_to_image.py", "for states in zip(*runs):", "all groups of images take as many steps"),
    ("text_to_image.py", "def noise(_: int = 1) -> Tensor:", "the number of the step is not used"),
    ("loop.py", "no join()", "`fit` has joined the processes already"),
    ("loop.py", "NOISE = 0", "any number sets noise apart from batches, whose seeds are not mixed with one"),
    ("loop.py", "LOCK_WAIT = 11.0", "how long to wait is a matter of judgement"),
]  # fmt: skip

COMPARISONS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult, ast.Mod: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip
EXTREMES = {"min": "max", "max": "min", "amin": "amax", "amax": "amin", "minimum": "maximum", "maximum": "minimum"}
SURVIVED, NO_TESTS = 0, 5       # exit statuses of pytest
TIMEOUT = 124
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False"}
PYTEST = ["-x", "-q", "--no-header", "-p", "no:randomly", "-p", "no:cacheprovider", "-W", "ignore", "--durations=0"]


@dataclass(frozen=True)
class Mutant:
    """One change: the bytes from start to end of the source become `text`."""

    line: int
    kind: str
    start: int
    end: int
    text: str

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.text.encode() + source[self.end :]

    def diff(self, source: bytes) -> str:
        before, after = source.decode().splitlines(), self.apply(source).decode().splitlines()
        return "\n".join([*difflib.unified_diff(before, after, n=0, lineterm="")][2:])


def mutants(source: bytes) -> list[Mutant]:
    """All mutants of a module, in the order of its lines. Left out: docstrings, annotations, decorators, f-strings,
    messages of errors, `__repr__` and what is for type checkers only."""
    starts = [0]
    for line in source.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)
    found: dict[bytes, Mutant] = {}
    for node, kind, text in changes(ast.parse(source)):
        start, end = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        mutant = Mutant(node.lineno, kind, start, end, text)
        found.setdefault(mutant.apply(source), mutant)      # two rules may make the same change
    found.pop(source, None)
    return sorted(found.values(), key=lambda m: (m.start, m.end, m.kind, m.text))


def changes(node: ast.AST) -> Iterator[tuple[Any, str, str]]:
    """(node, kind of change, new text) of a node and of everything below it."""
    if isinstance(node, ast.JoinedStr) or getattr(node, "name", "") == "__repr__":
        return
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return
    yield from of_statement(node) if isinstance(node, ast.stmt) else of_expression(node)
    test = getattr(node, "test", None)
    for condition in [test] if test is not None else getattr(node, "ifs", []):
        equality = isinstance(condition, ast.Compare) and not isinstance(condition.ops[0], (ast.Lt, ast.LtE, ast.Gt, ast.GtE))
        if not isinstance(condition, ast.UnaryOp) and not equality:     # for those the other rules do the same
            yield condition, "negated condition", f"(not {wrapped(condition)})"
    if isinstance(node, ast.Raise):
        return
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list", "msg"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from changes(child)


def of_statement(node: ast.stmt) -> Iterator[tuple[ast.AST, str, str]]:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield node, "dropped call", "pass"
    elif isinstance(node, ast.Raise):
        yield node, "dropped raise", "pass"
    elif isinstance(node, ast.Return) and node.value is not None:
        yield node, "return None", "return None"
    elif isinstance(node, (ast.Break, ast.Continue)):
        yield node, "break or continue", "continue" if isinstance(node, ast.Break) else "break"
    elif isinstance(node, ast.AugAssign):
        yield node, "dropped assignment", "pass"
        if type(node.op) in ARITHMETIC:
            yield node, "arithmetic", ast.unparse(changed(node, op=ARITHMETIC[type(node.op)]()))
    elif isinstance(node, ast.Assign):
        used = {ast.unparse(n) for n in ast.walk(node.value) if isinstance(n, ast.Name)}
        targets = [ast.unparse(target) for target in node.targets]
        if any(isinstance(target, (ast.Attribute, ast.Subscript)) for target in node.targets) or used & set(targets):
            yield node, "dropped assignment", "pass"        # others only make a NameError


def of_expression(node: ast.AST) -> Iterator[tuple[ast.AST, str, str]]:
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            ops = [*node.ops[:i], COMPARISONS[type(op)](), *node.ops[i + 1 :]]
            yield node, "comparison", wrapped(changed(node, ops=ops))
    elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        yield node, "arithmetic", wrapped(changed(node, op=ARITHMETIC[type(node.op)]()))
    elif isinstance(node, ast.BoolOp):
        yield node, "and/or", wrapped(changed(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And()))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        yield node, "dropped not or minus", wrapped(node.operand)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield node, "constant", repr(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        yield node, "constant", repr(node.value - 1 if node.value == 1 else node.value + 1)
    elif isinstance(node, ast.Call):
        for keyword in node.keywords:
            yield node, "dropped argument", ast.unparse(changed(node, keywords=[k for k in node.keywords if k is not keyword]))
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in EXTREMES:
            field = "attr" if isinstance(node.func, ast.Attribute) else "id"
            yield node, "min/max", ast.unparse(changed(node, func=changed(node.func, **{field: EXTREMES[name]})))
        if name in ("clamp", "clip") and len(node.args) == 2:
            yield node, "min/max", ast.unparse(changed(node, args=node.args[::-1]))


def changed(node: Any, **fields: Any) -> Any:
    """The node with other fields; the tree it came from stays as it is."""
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def wrapped(node: ast.AST) -> str:
    text = ast.unparse(node)
    return text if isinstance(node, (ast.Name, ast.Constant, ast.Call, ast.Attribute)) else f"({text})"


# ------------------------------------------------------------------------------------------------- running the tests


class Observer:
    """A pytest plugin: leaves out tests that fail anyway, runs slow ones last, and notes what each took and what failed."""

    def __init__(self, seconds: dict[str, float], broken: list[str], report: Path) -> None:
        self.seconds, self.broken, self.report = seconds, broken, report
        self.took: dict[str, float] = {}
        self.failed: list[str] = []

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        total: dict[Any, float] = {}
        for item in items:
            total[item.path] = total.get(item.path, 0) + self.seconds.get(item.nodeid, 0)
        items[:] = [item for item in items if item.nodeid not in self.broken]
        items.sort(key=lambda item: (self.seconds.get(item.nodeid, 0) > 0.5, total[item.path]))

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.took[report.nodeid] = self.took.get(report.nodeid, 0) + report.duration
        if report.failed and report.nodeid not in self.failed:
            self.failed.append(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        modules = [n for n, m in sys.modules.items() if "site-packages" in (getattr(m, "__file__", None) or "")]
        self.report.write_text(json.dumps({"took": self.took, "failed": self.failed, "modules": modules}))


@dataclass
class Copy:
    """A copy of the repository in a temporary folder, and forked processes that run its tests."""

    folder: Path
    stamp: int = 0

    @classmethod
    def of(cls, root: Path, folder: Path) -> Copy:
        command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
        listed = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout.decode()
        for name in filter(None, listed.split("\0")):
            if (root / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                large = (root / name).stat().st_size > 2**20        # weights, which no test writes
                (os.symlink if large else shutil.copyfile)(root / name, folder / name)
        return cls(folder)

    def write(self, file: str, source: bytes) -> None:
        """With a time stamp of its own, so that compiled code of the last mutant is never taken for this one's."""
        self.stamp += 1
        (self.folder / file).write_bytes(source)
        os.utime(self.folder / file, (self.stamp, self.stamp))

    def run(
        self, tests: list[str], seconds: dict[str, float], broken: list[str], limit: float, stop: bool = True
    ) -> tuple[int, dict[str, Any]]:
        """(exit status of pytest or TIMEOUT, the observer's report) of the tests, in a process of their own."""
        report = self.folder / ".report.json"
        report.unlink(missing_ok=True)
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            os.setsid()
            os.chdir(self.folder)
            log = os.open(self.folder / ".log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            status = 70
            try:
                status = inside(PYTEST[0 if stop else 1 :] + tests, Observer(seconds, broken, report))
            finally:
                os._exit(status)
        done, deadline = 0, time.monotonic() + limit
        while not done and time.monotonic() < deadline:
            time.sleep(0.02)
            done, code = os.waitpid(pid, os.WNOHANG)
        try:
            os.killpg(pid, signal.SIGKILL)      # the group is the child's own, with what it may have left running
        except ProcessLookupError:
            pass
        if not done:
            os.waitpid(pid, 0)
        status = os.waitstatus_to_exitcode(code) if done else TIMEOUT
        return status, json.loads(report.read_text()) if report.exists() else {}


def inside(arguments: list[str], observer: Observer) -> int:
    """Run pytest in this process. Hypothesis doesn't look for the smallest example and remembers none."""
    import hypothesis
    import pytest

    phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    hypothesis.settings.register_profile("mutants", derandomize=True, database=None, deadline=None, phases=phases)
    hypothesis.settings.load_profile("mutants")
    return int(pytest.main(arguments, plugins=[observer]))


def examine(
    place: Copy, file: str, tests: list[str], chosen: list[Mutant], known: dict[str, Any], patience: float
) -> Iterator[tuple[str, Any]]:
    """(diff, verdict) of each mutant. A verdict in `known` is kept."""
    source = (place.folder / file).read_bytes()
    if all(m.diff(source) in known for m in chosen):
        yield from ((m.diff(source), known[m.diff(source)]) for m in chosen)
        return
    _, first = place.run(tests, {}, [], 1800, stop=False)
    for name in first.get("modules", []):
        try:
            importlib.import_module(name)
        except BaseException:       # some can only be imported by their own package
            pass
    status, second = place.run(tests, first["took"], [], 1800, stop=False)     # warm, and in the order to be used
    broken, took = second["failed"], second["took"]
    print(f"  {len(took)} tests in {sum(took.values()):.0f} s; left out, since they fail on the code as it is: {broken}")
    for mutant in chosen:
        diff = mutant.diff(source)
        if diff not in known:
            began = time.monotonic()
            place.write(file, mutant.apply(source))
            status, report = place.run(tests, took, broken, patience + 5 * sum(took.values()))
            verdict = "survived" if status in (SURVIVED, NO_TESTS) else "timeout" if status == TIMEOUT else "killed"
            by = (report.get("failed") or [f"pytest's status {status}"])[0] if verdict != "survived" else ""
            known[diff] = {"kind": mutant.kind, "verdict": verdict, "by": by, "seconds": round(time.monotonic() - began, 2)}
        yield diff, known[diff]
    place.write(file, source)


# ------------------------------------------------------------------------------------------------------------ report


def reason(file: str, diff: str) -> str:
    """Why a mutant is equivalent; empty when it is not."""
    before, after = (
        " ".join(line[1:].split("  # ")[0].strip() for line in diff.splitlines() if line.startswith(sign)) for sign in "-+"
    )
    change = f"no {before}" if after == "pass" else after
    return next((why for end, line, why in EQUIVALENT if file.endswith(end) and line == change), "")


def fingerprint(root: Path, names: list[str]) -> str:
    return hashlib.sha256(b"".join((root / name).read_bytes() for name in names)).hexdigest()[:16]


def show(file: str, verdicts: dict[str, Any], total: int) -> str:
    """A row of the table: file, mutants in all, tried, killed, survived, equivalent, share killed."""
    same = {diff for diff in verdicts if verdicts[diff]["verdict"] == "survived" and reason(file, diff)}
    killed = sum(v["verdict"] != "survived" for v in verdicts.values())
    survived = len(verdicts) - killed - len(same)
    share = f"{killed / (killed + survived):.0%}" if killed + survived else "-"
    return f"| {file} | {total} | {len(verdicts)} | {killed} | {survived} | {len(same)} | {share} |"


EXAMPLES = """examples:
  python -m benchmarks.mutants --sample 25                                   25 mutants of each file
  python -m benchmarks.mutants --file minidiff/diffusion/losses.py           all of one
  python -m benchmarks.mutants --file minidiff/cli.py --tests tests/test_cli.py --sample 40 --json runs/cli.json
  python -m benchmarks.mutants --list --file minidiff/diffusion/losses.py    only show them

With --json a run that was stopped goes on where it was. After a change of the source everything is tried again; after a
change of the tests only what survived."""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mutants", description="Break the code in small ways and see whether a test notices.",
        epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--file", nargs="+", default=list(TESTS), help="source files (default: those of the table TESTS)")
    parser.add_argument("--tests", nargs="+", help="test files (default: those of the table TESTS)")
    parser.add_argument("--sample", type=int, help="mutants per file, drawn at random (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    parser.add_argument("--patience", type=float, default=30, help="seconds after which the tests hang, over 5 times their own")
    parser.add_argument("--json", type=Path, help="where results are kept, and read from at the next run")
    parser.add_argument("--list", action="store_true", help="show the mutants and try none")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the repository to copy (default: this folder)")
    options = parser.parse_args(arguments)
    if options.sample is not None and options.sample < 1:
        parser.error(f"--sample is {options.sample}, but it must be at least 1.")
    for name in [*options.file, *(options.tests or [])]:
        if not (options.root / name).is_file():
            parser.error(f"There is no file {name} in {options.root}.")
        if options.tests is None and not options.list and name not in TESTS:
            parser.error(f"No tests are known for {name}: name them with --tests, or choose from {', '.join(TESTS)}.")
    kept = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    rows, survivors = [], []
    with tempfile.TemporaryDirectory() as folder:
        if not options.list:
            place = Copy.of(options.root.resolve(), Path(folder).resolve())
            os.environ.update(ENVIRONMENT, PYTHONPATH=folder)
            sys.path[:] = [folder, *(p for p in sys.path if p not in ("", str(options.root.resolve())))]
        for file in options.file:
            source = (options.root / file).read_bytes()
            found = mutants(source)
            draw = random.Random(f"{options.seed} {file}")
            chosen = found if options.sample is None else draw.sample(found, min(options.sample, len(found)))
            chosen.sort(key=lambda m: m.start)
            print(f"{file}: {len(chosen)} of {len(found)} mutants", flush=True)
            if options.list:
                print("\n".join(f"{m.kind}\n{m.diff(source)}" for m in chosen))
                continue
            tests = options.tests or [f"tests/{name}.py" for name in TESTS[file].split()]
            marks = {"source": fingerprint(options.root, [file]), "tests": fingerprint(options.root, tests)}
            last = kept.get(file, {})
            known = last.get("mutants", {}) if last.get("source") == marks["source"] else {}
            if last.get("tests") != marks["tests"]:
                known = {diff: v for diff, v in known.items() if v["verdict"] != "survived"}
            verdicts = {}
            for diff, verdict in examine(place, file, tests, chosen, known, options.patience):
                verdicts[diff] = verdict
                kept[file] = {**marks, "mutants": known}
                if options.json:
                    options.json.parent.mkdir(parents=True, exist_ok=True)
                    partial = options.json.with_suffix(".partial")
                    partial.write_text(json.dumps(kept, indent=1))
                    partial.replace(options.json)       # a kill leaves the old results or the new ones
                if verdict["verdict"] == "survived" and not reason(file, diff):
                    survivors.append(f"{file}: {verdict['kind']}\n{diff}")
                    print(f"  survived: {verdict['kind']}\n{diff}", flush=True)
            rows.append(show(file, verdicts, len(found)))
    if rows:
        print("\n| file | mutants | tried | killed | survived | equivalent | killed |\n|---|---|---|---|---|---|---|")
        print("\n".join(rows))


if __name__ == "__main__":
    main()
