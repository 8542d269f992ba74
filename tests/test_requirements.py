"""docs/requirements.md names every requirement once, and only tests, notebooks and commands that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from minidiff import cli

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/requirements.md").read_text(encoding="utf-8")
COUNTS = {"C": 6, "T": 13, "L": 7, "E": 5, "K": 9, "F": 7, "N": 9}
LINES = re.findall(r"^\| [A-Z]\d.*$", PAGE, re.MULTILINE)
ROWS = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in LINES]
NAMED = re.findall(r"`([^`]+)`", "\n".join(row[2] for row in ROWS) + PAGE.rpartition("\n\n")[2])
COMMANDS = sorted({name for name in NAMED if name.startswith("minidiff ")})
FILES = sorted({name for name in NAMED if name.startswith(("tests/", "lessons/", "exercises/"))})


def test_every_requirement_has_one_row() -> None:
    assert [row[0] for row in ROWS] == [f"{letter}{k}" for letter, most in COUNTS.items() for k in range(1, most + 1)]
    assert all(len(row) == 3 and row[1] and ("`" in row[2] or "**Not yet**" in row[2]) for row in ROWS)


def test_the_top_of_the_tree_is_what_the_card_says() -> None:
    for name in ("pyproject.toml", "lessons", "minidiff", "app.py", "exercises", "solutions", "tests", "README.md", "LICENSE"):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("name", FILES)
def test_a_named_file_is_there_and_tests_something(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not name.endswith(".py") or "\ndef test_" in text


@pytest.mark.parametrize("line", COMMANDS)
def test_a_named_command_can_be_read(line: str) -> None:
    name, *rest = shlex.split(line)[1:]
    commands = cli.COMMANDS[name][1]()
    if isinstance(commands, dict) and not rest:
        rest = [cli.DEFAULTS[name]]
    cli.parse(commands, rest, f"minidiff {name}")


def test_both_kinds_are_found() -> None:
    assert len(COMMANDS) >= 20 and len(FILES) >= 50
