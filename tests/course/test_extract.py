"""A learner's definitions out of a notebook, without running it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from minidiff.course.extract import NotebookError, code_cells, definitions, run_definitions


def test_only_definitions_are_kept() -> None:
    found = definitions(
        ["import os\nx = 3\ndef f(a):\n    return a + x", "train()\nprint(f(1))\nif True:\n    g()", "class C: pass"]
    )
    assert found.names == {"os", "x", "f", "C"}
    assert "train" not in found.needed_by("f") and "print" not in found.needed_by("f")


def test_an_answer_gets_what_it_uses_and_nothing_else() -> None:
    found = definitions([
        "import torch\nSCALE = 2", "def helper(x):\n    return torch.exp(x) * SCALE", "def f(x):\n    return helper(x)",
        "def other(x=undefined_name):\n    return x",
    ])  # fmt: skip
    source = found.needed_by("f")
    assert "helper" in source and "SCALE" in source and "import torch" in source
    assert "undefined_name" not in source, "trouble in another answer must not be this one's trouble"


def test_star_imports_are_always_kept() -> None:
    assert "from math import *" in definitions(["from math import *\ndef f():\n    return pi"]).needed_by("f")


def test_later_definitions_come_after_earlier_ones() -> None:
    space: dict = {}
    exec(definitions(["def f():\n    return 1", "def f():\n    return 2"]).needed_by("f"), space)
    assert space["f"]() == 2


def test_a_constant_that_calls_something_is_left_behind() -> None:
    assert "model" not in definitions(["model = load()\ndef f():\n    return 1"]).names


def test_a_constant_of_something_that_was_left_behind_spoils_no_answer() -> None:
    found = definitions(
        [
            "model = load()\nlayers = model.layers\nSCALE = 2",
            "def f(x):\n    return x * SCALE + len('')\ndef g():\n    return layers",
        ]
    )
    assert run_definitions(found.needed_by("f"), "f")["f"](3) == 6
    with pytest.raises(NameError, match="layers"):
        run_definitions(found.needed_by("g"), "g")["g"]()


def test_a_definition_that_fails_says_why() -> None:
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        run_definitions("def f(x, y=__import__('nowhere')):\n    return x", "f")


def test_magics_are_passed_over_and_whole_cell_magics_too() -> None:
    found = definitions(["%matplotlib inline\n!pip install x\ndef f():\n    ?help\n    return 1", "%%time\ndef g(): pass"])
    assert found.broken == () and found.names == {"f"}


def test_a_cell_that_is_no_python_is_reported_and_the_others_count() -> None:
    found = definitions(["def f():\n    return 1", "def g(:\n    pass"])
    assert found.names == {"f"}
    ((number, text, why),) = found.broken
    assert number == 2 and "g" in text and "Code cell 2 is not valid Python" in why.en and "Ô mã 2" in why.vi


@pytest.mark.parametrize("content", ["", "not json", "[]", '{"cells": 3}', json.dumps({"cells": [{"cell_type": "code"}]})])
def test_a_file_that_is_no_notebook_is_said_to_be_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.ipynb"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(NotebookError, match="is not a Jupyter notebook"):
        code_cells(path)


def test_a_missing_notebook_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotebookError, match="There is no notebook .*gone.ipynb"):
        code_cells(tmp_path / "gone.ipynb")
