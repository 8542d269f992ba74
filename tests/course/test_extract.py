"""A learner's answers out of a notebook, without running it."""

from __future__ import annotations

import ast
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from minidiff.course.extract import (
    Definitions,
    NotebookError,
    answers_in,
    code_cells,
    definitions,
    lesson_of,
    run_statements,
    uses_the_course,
)

LESSONS = {"02": {"02.1": "alpha_bars", "02.2": "q_sample"}, "03": {"03.1": "v_target"}}


def source(found: Definitions, name: str) -> str:
    return "\n".join(map(ast.unparse, found.needed_by(name)))


def value(cells: list[str], name: str) -> object:
    """What the name means after its statements are run."""
    return run_statements(source(definitions(cells), name), name)[name]


def test_an_answer_gets_what_it_uses_and_nothing_else() -> None:
    found = definitions([
        "import torch\nSCALE = 2", "def helper(x):\n    return torch.exp(x) * SCALE", "def f(x):\n    return helper(x)",
        "def other(x=undefined_name):\n    return x", "train()\nprint(f(1))",
    ])  # fmt: skip
    text = source(found, "f")
    assert "helper" in text and "SCALE" in text and "import torch" in text
    assert "undefined_name" not in text and "train" not in text, "trouble elsewhere must not be this answer's trouble"


@pytest.mark.parametrize(
    ("cells", "result"),
    [
        (["f = lambda x: x + 1"], 3),
        (["from functools import partial\ndef add(x, y):\n    return x + y\nf = partial(add, y=1)"], 3),
        (["import math\nROOT = math.sqrt(1)", "def f(x):\n    return int(x + ROOT)"], 3),
        (["def once(g):\n    return g", "@once\ndef f(x):\n    return x + 1"], 3),
        (["def f(x):\n    return x\ndef g(x):\n    return f0(x) + 1\nf0 = f\nf = g"], 3),
        (["%%time\ndef f(x):\n    return x + 1"], 3),
        (["%%capture out\n\ndef f(x):\n    return x + 1"], 3),
        (["%matplotlib inline\n!pip install x\ndef f(x):\n    ?help\n    return x + 1\nf?\nfiles = !ls"], 3),
        (["if 1 > 0:\n    step = 1\nelse:\n    step = 5\ndef f(x):\n    return x + step"], 3),
        (["try:\n    import nowhere\nexcept ImportError:\n    nowhere = 1\ndef f(x):\n    return x + nowhere"], 3),
        (["TABLE = {}\nfor k in range(4):\n    TABLE[k] = k + 1\ndef f(x):\n    return TABLE[x]"], None),
        (["def f(x):\n    return 1", "def f(x):\n    return x + 1"], 3),
        (["a, (b, *c) = 1, (2, 3)\ndef f(x):\n    return x + a"], 3),
        (["class Adder:\n    def __call__(self, x):\n        return x + 1\nf = Adder()"], 3),
        (["class Adder:\n    pass\nf = Adder()", "def call(self, x):\n    return x + 1\nAdder.__call__ = call"], 3),
    ],
)  # fmt: skip
def test_whatever_an_answer_is_made_of_comes_along(cells: list[str], result: object) -> None:
    answer = value(cells, "f")
    assert callable(answer)
    if result is None:
        with pytest.raises(KeyError):  # a table that is filled later isn't: only what binds a name is run
            answer(2)
    else:
        assert answer(2) == result


def test_an_answer_may_have_a_dataclass() -> None:
    pair = "@dataclass\nclass Pair:\n    a: int\n    b: 'int' = 2"
    cells = ["from dataclasses import dataclass", pair, "def f(x):\n    return Pair(x)"]
    assert vars(value(cells, "f")(1)) == {"a": 1, "b": 2}  # type: ignore[operator]


def test_names_of_its_own_drag_nothing_in() -> None:
    found = definitions(["x = train_for_hours()", "def f(x):\n    y = [x for x in range(3)]\n    return x"])
    assert "train" not in source(found, "f")


def test_star_imports_are_always_kept() -> None:
    assert "from math import *" in source(definitions(["from math import *\ndef f():\n    return pi"]), "f")


def test_a_constant_that_fails_spoils_no_answer_that_lives_without() -> None:
    cells = ["model = load()\nSCALE = 2", "def f(x):\n    return x * SCALE\ndef g(x):\n    return model"]
    assert value(cells, "f")(3) == 6
    with pytest.raises(NameError, match="model"):
        value(cells, "g")(3)


def test_a_definition_that_fails_says_why() -> None:
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        run_statements("def f(x, y=__import__('nowhere')):\n    return x", "f")


@pytest.mark.parametrize("first", ["%%bash\ndef f(", "%%writefile x.py\nfrom x import", "%%html\n<b>"])
def test_a_cell_in_another_language_is_passed_over(first: str) -> None:
    found = definitions([first, "def f():\n    return 1"])
    assert found.broken == () and found.names == {"f"}


@pytest.mark.parametrize("cell", ["def g(:\n    pass", "-" * 100_000 + "1", "+".join("1" * 50_000), "(" * 5000, "x = '\ud800'"])
def test_a_cell_that_cannot_be_read_is_reported_and_the_others_count(cell: str) -> None:
    found = definitions(["def f():\n    return 1", cell])
    assert found.names >= {"f"} and [number for number, *_ in found.broken] in ([2], [])


@pytest.mark.parametrize("content", ["", "not json", "[]", '{"cells": 3}', "[" * 200_000])
def test_a_file_that_is_no_notebook_is_refused(content: str) -> None:
    with pytest.raises(NotebookError):
        code_cells(content.encode())


@pytest.mark.parametrize(
    ("cells", "name", "lesson"),
    [
        ([], "03_targets.ipynb", "03"),
        (['check("02.1", alpha_bars)'], "03_targets.ipynb", "03"),  # the name is the teacher's, the cells are the learner's
        (["x = 1", "check( '02.1', alpha_bars)"], "mine.ipynb", "02"),
        (['check("77.1", alpha_bars)'], "03_targets.ipynb", "03"),  # there is no lesson 77
        (['# check("02.1", alpha_bars)', 'check("03.1", v_target)'], "mine.ipynb", "03"),
        (['check("02.1", alpha_bars)', 'check("03.1", v_target)'], "03_mine.ipynb", "03"),
        (['check("02.1", alpha_bars)\ncheck("02.2", q_sample)', 'check("03.1", v_target)'], "mine.ipynb", "02"),
        (['text = """check("02.1", x)"""'], "mine.ipynb", None),
        (["x = 1"], "mine.ipynb", None),
    ],
)
def test_a_notebook_belongs_to_the_lesson_whose_checks_it_calls_or_to_that_of_its_name(
    cells: list[str], name: str, lesson: str | None
) -> None:
    assert lesson_of(cells, name, LESSONS) == lesson


def test_a_line_that_only_looks_like_ipythons_stays() -> None:
    (statement,) = definitions(["y = (7\n% 4)"]).statements
    assert ast.unparse(statement) == "y = 7 % 4"


@pytest.mark.parametrize("cell", [
    "\n" * 60_000 + "def f(: pass", " " * 200_000 + "a =", "if a: b = 1\n" + "elif a: b = 1\n" * 2000,
    "\n".join(" " * 300 for _ in range(600)), "x = " + "[" * 90 + "]" * 90, "a" * 500_000 + "?",
])  # fmt: skip
def test_no_cell_takes_long(cell: str) -> None:
    start = time.monotonic()
    found = definitions([cell, "def f(x):\n    return x"])
    assert "f" in found.names and time.monotonic() - start < 5


def test_odd_cells_are_passed_over() -> None:
    odd = [
        5,
        None,
        [],
        {"cell_type": "code"},
        {"cell_type": "code", "source": None},
        {"cell_type": "code", "source": [1, "x = 1"]},
    ]
    assert code_cells(json.dumps({"cells": odd}).encode()) == ["", "", "x = 1"]


def notebook(*cells: str) -> bytes:
    return json.dumps({"cells": [{"cell_type": "code", "source": [cell]} for cell in cells]}).encode()


@pytest.mark.parametrize(
    ("cells", "answer"),
    [
        (["def alpha_bars(b):\n    return b"], {"source": "def alpha_bars(b):\n    return b"}),
        (["x = 1"], {}),
        (["def alpha_barz(b): pass"], {"near": "alpha_barz"}),
        (["def q_sample(b): pass"], {}),  # another exercise's, not this one renamed
        (["x = (", "def alpha_bars(:"], {"broken": [2, "invalid syntax", 1]}),
        (["from minidiff.course.catalogue import get_exercise\ndef alpha_bars(b):\n    return get_exercise"], {"course": True}),
        (["def alpha_bars(b):\n    import minidiff.course as c\n    return c"], {"course": True}),
        (["def alpha_bars(b):\n    from minidiff import course\n    return course"], {"course": True}),
    ],
)  # fmt: skip
def test_an_answer_that_is_not_there_says_what_may_have_happened(cells: list[str], answer: dict) -> None:
    assert answers_in(notebook(*cells), "02_x.ipynb", LESSONS)["answers"]["02.1"] == answer


def test_the_setup_cell_is_no_use_of_the_course() -> None:
    found = definitions(
        [
            "from minidiff.course.notebook import check, show",
            "from minidiff.diffusion import samplers\ndef f(x):\n    return samplers",
        ]
    )
    assert not uses_the_course(found.needed_by("f"))


class Yields:
    """Part of a cycle: when it is collected, in the middle of whatever a thread does then, another thread may go on."""

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        time.sleep(0)


def test_threads_read_python_at_the_same_time() -> None:
    """The parser of Python 3.11 itself fails here with a SystemError in some of the threads."""
    cell, before = "\n".join(["x = [[[1, 2], [3]], f(a + b * (c - d))]"] * 200), sys.getswitchinterval()

    def read() -> int:
        found = 0
        for _ in range(4):
            for _ in range(50):
                Yields()
            found += len(definitions([cell]).statements) + run_statements("y = 1\n" * 200, "y")["y"]
        return found

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert {done.result() for done in [pool.submit(read) for _ in range(8)]} == {4 * (200 + 1)}
    finally:
        sys.setswitchinterval(before)
