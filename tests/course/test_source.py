"""A lesson's source: what is read out of it, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import jupytext
import pytest
from toy import SOURCE

from minidiff.course.glossary import complaints
from minidiff.course.source import SourceError, accept, digest, read, split, variants


def source_of(root: Path) -> Path:
    return root / "lessons" / "source" / "99_halves.py"


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
    assert re.match(r".*99_halves\.py:\d+: ", str(caught.value))


def test_an_exercise_has_a_solution_and_a_stub_from_one_block(toy: Path) -> None:
    (cell,) = [c for c in read(source_of(toy)) if c.is_code and c.exercise and not c.role]
    both = variants(cell)
    assert both["solution"] == "def halve(x: Tensor) -> Tensor:\n    return x / 2"
    assert both["stub"].startswith("def halve(x: Tensor) -> Tensor:\n") and both["stub"].endswith("raise NotImplementedError")
    assert "#@" not in both["solution"] + both["stub"]


@pytest.mark.parametrize(("old", "new"), [("    #@ stub\n", ""), ("    raise NotImplementedError\n", "    pass\n")])
def test_an_exercise_without_a_stub_is_refused(toy: Path, old: str, new: str) -> None:
    edit(source_of(toy), old, new)
    (cell,) = [c for c in read(source_of(toy)) if c.is_code and c.exercise and not c.role]
    with pytest.raises(SourceError, match="a stub that raises NotImplementedError"):
        variants(cell)


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
    assert re.sub(r' of="\w+"', "", source_of(toy).read_text(encoding="utf-8")) == SOURCE
