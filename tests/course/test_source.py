"""A lesson's source: what is read out of it, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import jupytext
import pytest
import torch
from toy import EXERCISE, LESSON

from minidiff.course.exercise import read_exercise
from minidiff.course.glossary import complaints
from minidiff.course.source import EXERCISE_ROLES, SourceError, accept, digest, read, split


def source_of(root: Path) -> Path:
    return root / "minidiff" / "course" / "lessons" / "99_halves" / "lesson.py"


def exercise_of(root: Path) -> Path:
    return source_of(root).with_name("1_halve.py")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the source"
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_source_reads_as_jupytext_reads_it(toy: Path) -> None:
    ours = split(source_of(toy).read_text(encoding="utf-8"), source_of(toy))
    theirs = jupytext.read(source_of(toy), fmt="py:percent").cells[1:]  # their first is the file's docstring
    own = ("lines_to_next_cell",)  # jupytext's note to itself
    read_by_jupytext = [
        (c.cell_type == "markdown", {k: v for k, v in c.metadata.items() if k not in own}, c.source) for c in theirs
    ]
    assert [(markdown, options, text) for _, markdown, options, text in ours] == read_by_jupytext


def test_pairs_of_text_become_one_cell_with_both_languages(toy: Path) -> None:
    first = read(source_of(toy))[0]
    assert first.text("en").startswith("# 99 Halves") and first.text("vi").startswith("# 99 Một nửa")
    assert first.slide == "slide" and not first.is_code


def test_a_changed_english_text_asks_for_its_translation(toy: Path) -> None:
    edit(source_of(toy), "# What is half of 3?", "# What is half of 5?")
    with pytest.raises(SourceError, match="changed after it was translated"):
        read(source_of(toy))
    assert accept(source_of(toy)) == 1
    read(source_of(toy))
    assert accept(source_of(toy)) == 0


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('# %% only="both"', '# %% only="lessons"', "only is 'lessons'; it must be one of lesson, exercise, both"),
        ('# %% only="both"', '# %% olny="both"', "there is no option 'olny'"),
        ('# %% only="both"', "# %% only=both", "is no cell header"),
        ('# %% [markdown] lang="en" role="notes"', '# %% [markdown] role="notes"', 'must say lang="en" or lang="vi"'),
        (
            "# %%\nimport matplotlib",
            '# %% [markdown] lang="en"\n# x\n# %%\nimport matplotlib',
            "has no Vietnamese one after it",
        ),
        ('# %% [markdown] lang="en" role="notes"\n# Say it slowly.\n', "", "has no English one before it"),
    ],
)
def test_what_cannot_be_read_is_said_with_file_and_line(toy: Path, old: str, new: str, says: str) -> None:
    edit(source_of(toy), old, new)
    with pytest.raises(SourceError, match=re.escape(says)) as caught:
        read(source_of(toy))
    assert re.match(r".*lesson\.py:\d+: ", str(caught.value))


def test_one_translation_can_be_accepted_alone(toy: Path) -> None:
    edit(source_of(toy), "# What is half of 3?", "# What is half of 5?")
    edit(source_of(toy), "# Say it slowly.", "# Say it very slowly.")
    with pytest.raises(SourceError) as caught:
        read(source_of(toy))
    places = [int(line) for line in re.findall(r"lesson\.py:(\d+): the English", str(caught.value))]
    assert len(places) == 2, "both are named, not only the first"
    assert accept(source_of(toy), (places[0],)) == 1
    with pytest.raises(SourceError) as caught:
        read(source_of(toy))
    assert f"lesson.py:{places[1]}: " in str(caught.value) and f"lesson.py:{places[0]}: " not in str(caught.value)


def test_an_exercise_is_one_file(toy: Path) -> None:
    exercise = read_exercise(exercise_of(toy), "99.1", ["from torch import Tensor\nHALF = 0.5"])
    assert exercise.title == ("Half of it", "Một nửa") and exercise.task.vi == "Hãy chia đôi `x`."
    assert [hint.en for hint in exercise.hints] == ["One", "Two", "Three"] and (exercise.difficulty, exercise.minutes) == (2, 3)
    assert [check.en for check in exercise.checks] == ["shape", "values", "two numbers, one of them negative"]
    assert [mistake.name for mistake in exercise.mistakes] == ["doubled", "root", "crashes"] and exercise.points == 5
    assert "x / HALF" in exercise.mistakes[0].code and exercise.mistakes[0].hint.vi == "Bạn đã nhân đôi."


def test_the_stub_is_made_of_the_solution_in_the_notebooks_language(toy: Path) -> None:
    exercise = read_exercise(exercise_of(toy), "99.1")
    assert exercise.stub("vi").split("\n") == [
        "def halve(x: Tensor) -> Tensor:", '    """x (B, N) thành x / 2."""',
        "    # 1. một nửa của x                                            # (B, N)", "    raise NotImplementedError",
    ]  # fmt: skip
    assert exercise.solved("en").split("\n")[:2] == ["def halve(x: Tensor) -> Tensor:", '    """x (B, N) to x / 2."""']
    assert "return y" in exercise.solved("en")


@pytest.mark.parametrize(
    ("given", "lines"),
    [
        ("1", ["    y = x * HALF                                                # (B, N)", "    # 1. half of x",
               "    raise NotImplementedError"]),
        ("doubled", ["    y = x / HALF                                                # (B, N)", "    # 1. half of x",
                     "    raise NotImplementedError", "    return y"]),
        ("root", ["    # 1. half of x", "    raise NotImplementedError", "    return x**0.5"]),
    ],
)  # fmt: skip
def test_a_stub_may_give_some_lines_or_a_faulty_answer(toy: Path, given: str, lines: list[str]) -> None:
    edit(exercise_of(toy), 'lang="en" role="stub"', f'lang="en" role="stub" given="{given}"')
    stub = read_exercise(exercise_of(toy), "99.1").stub("en").split("\n")[2:]
    assert [line.split("   # (B, N)")[0].rstrip() if "1." in line else line for line in stub] == lines


TIMES = """class halve(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor"""


SOLVED = """def halve(x: Tensor) -> Tensor:
    y = x * HALF                                                # (B, N)
    return y"""


def as_class(path: Path, en: str, vi: str) -> None:
    """The toy's exercise, with a class as its solution and these steps."""
    edit(path, SOLVED, TIMES)
    edit(path, 'patch("x * HALF", "x / HALF")', 'patch("x * self", "x / self")')
    edit(path, 'patch("return y", "return y.sum(5)")', 'patch("return x", "return 5 + x")')
    edit(path, f"# 1. half of x{' ' * 48}# (B, N)", en)
    edit(path, f"# 1. một nửa của x{' ' * 44}# (B, N)", vi)
    accept(path)


def test_an_answer_may_be_a_class_whose_methods_are_stubs(toy: Path) -> None:
    as_class(exercise_of(toy), "# 1. keep it\n# ---\n# 1. multiply", "# 1. giữ lại\n# ---\n# 1. nhân")
    exercise = read_exercise(exercise_of(toy), "99.1", ["from torch import Tensor, nn"])
    assert exercise.stub("vi").split("\n") == [
        "class halve(nn.Module):", '    """x (B, N) thành x / 2."""', "",
        "    def __init__(self, factor: float) -> None:", "        # 1. giữ lại", "        raise NotImplementedError", "",
        "    def forward(self, x: Tensor) -> Tensor:", "        # 1. nhân", "        raise NotImplementedError",
    ]  # fmt: skip
    assert exercise.solved("en").split("\n")[:4] == [
        "class halve(nn.Module):", '    """x (B, N) to x / 2."""', "", "    def __init__(self, factor: float) -> None:",
    ]  # fmt: skip
    x = torch.tensor([1.0, -3.0])
    assert exercise.function(exercise.solved("en"))(0.5)(x).tolist() == [0.5, -1.5]
    assert exercise.function(exercise.mistakes[0].code)(0.5)(x).tolist() == [2.0, -6.0]


def test_a_class_may_give_one_of_its_methods(toy: Path) -> None:
    edit(exercise_of(toy), 'lang="en" role="stub"', 'lang="en" role="stub" given="__init__"')
    as_class(exercise_of(toy), "# 1. multiply", "# 1. nhân")
    stub = read_exercise(exercise_of(toy), "99.1").stub("en")
    assert "        self.factor = factor\n\n    def forward" in stub and stub.count("raise NotImplementedError") == 1
    edit(exercise_of(toy), "# 1. multiply", "# 1. multiply\n# ---\n# 2. more")
    accept(exercise_of(toy))
    with pytest.raises(SourceError, match="this cell has 2 parts"):
        read_exercise(exercise_of(toy), "99.1")


AS_A_CLASS = """class halve:
    TIMES = (
        1,
    )
    share: float = HALF

    def __init__(self, times: int = 1) -> None:
        self.times = times

    @staticmethod
    @torch.no_grad()
    def __call__(x: Tensor) -> Tensor:
        y = x * HALF
        return y
"""
AS_A_FUNCTION = EXERCISE[EXERCISE.index("def halve(x: Tensor)") : EXERCISE.index("    return y\n")] + "    return y\n"


def test_the_stub_of_a_class_keeps_attributes_and_decorators(toy: Path) -> None:
    edit(exercise_of(toy), AS_A_FUNCTION, AS_A_CLASS)
    edit(exercise_of(toy), 'lang="en" role="stub"', 'lang="en" role="stub" given="__init__"')
    exercise = read_exercise(exercise_of(toy), "99.1")
    first, docstring, *stub = exercise.stub("en").split("\n")
    given = AS_A_CLASS.split("\n")[1:-3]
    assert (first, docstring) == ("class halve:", '    """x (B, N) to x / 2."""') and stub[:-2] == ["", *given]
    assert stub[-2].startswith("        # 1. half of x") and stub[-1] == "        raise NotImplementedError"
    assert exercise.solved("en") == AS_A_CLASS.rstrip().replace("halve:\n", 'halve:\n    """x (B, N) to x / 2."""\n\n')


def test_the_docstring_of_a_solved_class_is_above_its_first_methods_decorators(toy: Path) -> None:
    body = "    @staticmethod\n    def __call__(x):\n        y = x * HALF\n        return y\n"
    edit(exercise_of(toy), AS_A_FUNCTION, f"@final\nclass halve:\n{body}")
    exercise = read_exercise(exercise_of(toy), "99.1")
    head = '@final\nclass halve:\n    """x (B, N) to x / 2."""\n\n    @staticmethod\n    def __call__(x):\n'
    assert exercise.stub("en").startswith(head) and exercise.solved("en").startswith(head)


@pytest.mark.parametrize("given", ["forward", "1", "doubled"])
def test_what_a_class_gives_is_one_of_its_methods(toy: Path, given: str) -> None:
    edit(exercise_of(toy), AS_A_FUNCTION, AS_A_CLASS)
    edit(exercise_of(toy), 'lang="en" role="stub"', f'lang="en" role="stub" given="{given}"')
    with pytest.raises(SourceError, match=f'given="{given}" names no method of halve; there are __init__, __call__'):
        read_exercise(exercise_of(toy), "99.1")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("# ## Half of it\n", "", 'begins with "## " and its title'),
        ('difficulty="2"', 'difficulty="two"', 'difficulty="..." with a whole number'),
        ("# Two\n# ---\n", "# Two\n", "has 3 parts"),
        ("def halve(x: Tensor) -> Tensor:\n    y", "def halves(x: Tensor) -> Tensor:\n    y", "there is no function halve"),
        ("# - shape\n", "", "as many in both languages"),
        ('patch("x * HALF", "x / HALF")', 'patch("x*HALF", "x / HALF")', "0 times, and a patch needs it once"),
        ('patch("x * HALF", "x / HALF")', 'patch("x", "z")', "times, and a patch needs it once"),
        ('# %% role="wrong" name="root"', '# %% role="wrong" name="square root"', "look at root, square root"),
        ('# %% role="library"\n', '# %% role="notes"\n', "role is 'notes'"),
        ('# %% role="library"\ndef halve(x):\n    return x / 2\n', "", 'one code cell role="library"'),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_exercise_is_said(toy: Path, old: str, new: str, says: str) -> None:
    edit(exercise_of(toy), old, new)
    accept(exercise_of(toy))
    with pytest.raises(SourceError, match=re.escape(says)):
        read_exercise(exercise_of(toy), "99.1")


def test_as_many_probes_as_lines_that_say_what_they_look_at(toy: Path) -> None:
    edit(exercise_of(toy), "probe(lambda f, x: f(x), x=torch.tensor([9.0, -16.0]))\n", "")
    with pytest.raises(ValueError, match="99.1 has 2 probes, and 3 lines"):
        _ = read_exercise(exercise_of(toy), "99.1").probes


def test_the_hash_ignores_white_space_around_a_text_and_how_accents_are_composed() -> None:
    assert digest(" a\n") == digest("a") != digest("b")
    assert digest("e\u0301") == digest("\u00e9")


def test_the_glossary_asks_for_its_terms(toy: Path) -> None:
    path = source_of(toy)
    assert complaints(read(path), path) == []
    edit(path, "không gian ẩn", "không gian tiềm ẩn")
    (complaint,) = complaints(read(path), path)
    assert "'không gian ẩn' for 'latent space'" in complaint


def test_a_term_wrapped_over_two_lines_is_found(toy: Path) -> None:
    path = source_of(toy)
    edit(path, "Không cần **không gian ẩn**: $y", "Không cần không gian\n# ẩn: $y")
    assert complaints(read(path), path) == []


def test_words_in_code_and_formulas_are_not_terms(toy: Path) -> None:
    path = source_of(toy)
    edit(path, "# Say it slowly.", "# Say `variance` and $variance$ slowly.")
    accept(path)
    assert complaints(read(path), path) == []


def test_a_source_without_anything_wrong_stays_as_it_is(toy: Path) -> None:
    for path, text in ((source_of(toy), LESSON), (exercise_of(toy), EXERCISE)):
        assert re.sub(r' of="\w+"', "", path.read_text(encoding="utf-8")) == text
    read(exercise_of(toy), EXERCISE_ROLES)
