"""The mutation tool: which changes it makes, and that it tells a tested line from an untested one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.mutants import TESTS, main, mutants

ROOT = Path(__file__).parents[1]


def changed(source: str) -> set[str]:
    """What the source becomes, one line each: for sources of one line that matters."""
    return {mutant.apply(source.encode()).decode().strip() for mutant in mutants(source.encode())}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a + b", {"x = (a - b)"}),
        ("x += a", {"pass", "x -= a"}),
        ("x = a < b", {"x = (a <= b)"}),
        ("x = a in b", {"x = (a not in b)"}),
        ("x = a and b", {"x = (a or b)"}),
        ("x = not a", {"x = a"}),
        ("x = -1", {"x = 1", "x = -0"}),
        ("x = [0, 1, 2, 0.5, True]", {
            "x = [1, 1, 2, 0.5, True]", "x = [0, 0, 2, 0.5, True]", "x = [0, 1, 3, 0.5, True]", "x = [0, 1, 2, 1.5, True]",
            "x = [0, 1, 2, 0.5, False]",
        }),
        ("f(a)", {"pass"}),
        ("x = f(a, key=b)", {"x = f(a)"}),
        ("x = min(a, b)", {"x = max(a, b)"}),
        ("x = a.clamp(b, c)", {"x = a.clamp(c, b)"}),
        ("x.y = a", {"pass"}),
        ("x = f(x)", {"pass"}),
        ("x = f(y)", set()),  # without it there is no x: any test would notice
        ("x = a if b else c", {"x = a if (not b) else c"}),
        ("while a: break", {"while (not a): break", "while a: continue"}),
        ("for a in b: continue", {"for a in b: break"}),
        ("x = [a for a in b if c]", {"x = [a for a in b if (not c)]"}),
        ("raise ValueError('at least', 1)", {"pass"}),
        ("def f(): return None", set()),
        ("def f(): return 2 * a", {"def f(): return None", "def f(): return (2 / a)", "def f(): return 3 * a"}),
    ],
)  # fmt: skip
def test_a_line_is_changed_in_every_way_there_is(source: str, expected: set[str]) -> None:
    assert changed(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring with 1."""',
        "x: Literal[1, 2]",
        "def f(x: Annotated[int, 1]) -> Literal[0]: ...",
        "@cache(maxsize=4)\ndef f(): ...",
        'x = f"{a + 1}"',
        "class A:\n    def __repr__(self): return 1",
        "if TYPE_CHECKING:\n    x = 1",
    ],
)
def test_what_no_test_should_check_is_left_alone(source: str) -> None:
    assert mutants(source.encode()) == []


def test_a_change_is_made_at_its_place_in_lines_of_any_script() -> None:
    (mutant,) = mutants('# đỏ\nname = "ngôi sao"; x = a < b  # đỏ'.encode())
    source = '# đỏ\nname = "ngôi sao"; x = a < b  # đỏ'.encode()
    assert mutant.diff(source).splitlines()[1:] == [
        '-name = "ngôi sao"; x = a < b  # đỏ', '+name = "ngôi sao"; x = (a <= b)  # đỏ'
    ]  # fmt: skip


def test_the_table_names_files_that_exist() -> None:
    for file, tests in TESTS.items():
        assert all((ROOT / name).is_file() for name in [file, *(f"tests/{test}.py" for test in tests.split())])


CODE = """
def smaller(a, b):
    return a if a < b else b


def once():
    while True:
        break
    return 7
"""
TEST = """
from package.code import once, smaller

def test_smaller():
    assert smaller(1, 2) == 1 and smaller(5, 2) == 2

def test_broken():
    assert False

def test_once():
    once()
"""


def test_it_tells_what_is_tested_from_what_is_not_and_leaves_the_files_alone(tmp_path: Path) -> None:
    """`a <= b` is the same function, nobody looks at what once returns, and a test that fails anyway counts for nothing."""
    for name, text in {"package/__init__.py": "", "package/code.py": CODE, "tests/test_code.py": TEST}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    command = [
        sys.executable, "-m", "benchmarks.mutants", "--root", str(tmp_path), "--file", "package/code.py", "--tests",
        "tests/test_code.py", "--json", str(tmp_path / "out.json"), "--patience", "8",
    ]  # fmt: skip
    said = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    found = json.loads((tmp_path / "out.json").read_text())["package/code.py"]["mutants"]
    survived = {diff.splitlines()[-1].strip("+ ") for diff, one in found.items() if one["verdict"] == "survived"}
    assert survived == {"return a if (a <= b) else b", "return None", "return 8", "while False:", "while (not True):"}
    assert [diff.splitlines()[-1].strip("+ ") for diff, one in found.items() if one["verdict"] == "timeout"] == ["continue"]
    assert (tmp_path / "package/code.py").read_text() == CODE
    assert "test_broken" in said[0] and said[0].splitlines()[-1] == said[1].splitlines()[-1], "the second run only reads"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--sample", "0"], "--sample is 0, but it must be at least 1"),
        (["--file", "minidiff/nowhere.py"], "There is no file minidiff/nowhere.py"),
        (["--file", "minidiff/cli.py"], "No tests are known for minidiff/cli.py: name them with --tests"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, options: list[str], says: str
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit):
        main(options)
    assert says in capsys.readouterr().err
