"""Variants of the assessment: one seed is one variant, its solution passes, and passes nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from minidiff.course import notebook, variant
from minidiff.course.catalogue import exercises, folders
from minidiff.course.grade import NotebookError, _variants
from minidiff.course.judging import judge
from minidiff.course.source import SourceError

FAST = ("17.1", "17.5", "17.15")  # whose numbers differ, and which run in no time


def points(exercise, code: str, name: str) -> int:
    """What `code` gets for this exercise, whatever its function is called."""
    from minidiff.course.exercise import source_of
    from minidiff.course.extract import definitions, run_statements

    space = run_statements(source_of(definitions([*exercise.company, code]), name), name)
    return sum(finding.points for finding in judge(exercise, space[name]))


def different(number: str) -> tuple:
    """The exercises of two seeds that chose other numbers for it."""
    first = variant.variant_exercises("17", 1)[number]
    for seed in range(2, 12):
        other = variant.variant_exercises("17", seed)[number]
        if points(other, first.solution, first.name) < other.points:
            return first, other
    raise AssertionError(f"ten seeds chose one and the same {number}")


@pytest.mark.parametrize("number", FAST)
def test_the_solution_of_one_variant_passes_there_and_fails_in_another(number: str) -> None:
    first, other = different(number)
    for exercise in (first, other):
        assert points(exercise, exercise.solution, exercise.name) == exercise.points
    assert points(first, other.solution, other.name) < first.points


def test_one_seed_is_one_variant_and_worth_the_same() -> None:
    plain = exercises("17")
    made, again = variant.variant_exercises("17", 3), variant.variant_exercises.__wrapped__("17", 3)
    assert [e.solution for e in made.values()] == [e.solution for e in again.values()]
    assert [e.points for e in made.values()] == [e.points for e in plain.values()]
    assert any(e.name != plain[number].name for number, e in made.items())
    assert any(e.given != plain["17.3"].given for e in (variant.variant_exercises("17", seed)["17.3"] for seed in range(4)))


def test_a_name_is_changed_in_code_and_between_backticks_alone(tmp_path: Path) -> None:
    source = '# %% [markdown] lang="en"\n# we train, `train(x)` and `net.train()`\n# %%\nnet.train()\ntrain(retrain)\n'
    text = variant._renamed(source, tmp_path, {"train": "fit"})
    assert text == '# %% [markdown] lang="en"\n# we train, `fit(x)` and `net.train()`\n# %%\nnet.train()\nfit(retrain)\n'


def test_texts_change_together_and_none_twice() -> None:
    assert variant._replaced("a b c", {"a": "b", "b": "c"}) == "b c c"


def test_what_makes_no_variant_is_said() -> None:
    with pytest.raises(SourceError, match="has no variants"):
        variant.variant_exercises("02", 1)
    with pytest.raises(ValueError, match="must be a whole number from 0"):
        variant.variant_exercises("17", -1)
    with pytest.raises(NotebookError, match="cannot be graded as variant"):
        _variants("02_ddpm-variant-1.ipynb", 1)


def test_a_variant_names_a_text_that_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "from" / "17_x"
    folder.mkdir(parents=True)
    (folder / "lesson.py").write_text("# %%\nx = 1\n", encoding="utf-8")
    (folder / "1_f.py").write_text('# %% role="variants"\nvary("gone", "x")\n\n# %% role="solution"\npass\n', encoding="utf-8")
    with pytest.raises(SourceError, match="nowhere in the file"):
        variant.write_variant(folder, 0, tmp_path / "to")


def test_the_seed_is_in_the_notebooks_name_and_check_follows_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert variant.seed_of("17_final_assessment-variant-12.ipynb") == 12
    assert variant.seed_of("17_final_assessment.ipynb") is None
    _, other = different("17.15")
    seed = next(s for s in range(2, 12) if variant.variant_exercises("17", s)["17.15"] is other)
    try:
        notebook.variant(seed)
        notebook.check("17.15", other.reference)
        with pytest.raises(notebook.CheckFailed):
            notebook.check("17.15", variant.variant_exercises("17", 1)["17.15"].reference)
    finally:
        notebook.variant(None)
    assert "17.15" in capsys.readouterr().out


def test_every_lesson_with_variants_is_an_assessment() -> None:
    assert folders(only="17")[0].name == "17_final_assessment"
