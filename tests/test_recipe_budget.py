"""A recipe in a given time, and weights in pieces."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from test_recipes import tiny

from minidiff.pretrained import zoo
from minidiff.pretrained.pieces import join, size_of, split
from minidiff.recipes import budget
from minidiff.recipes.budget import lengthening, seconds_of
from minidiff.recipes.recipe import RecipeRun, adjusted, run_recipe
from minidiff.train.options import TrainingError
from minidiff.train.publish import publish


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("9m", 540), ("1.5h", 5400), (" 2m ", 120)])
def test_times_are_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["9", "m", "-1m", "0s", "9 minutes", "1e3s", "nan"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(TrainingError, match="it must be a time such as"):
        RecipeRun(budget=text)


def test_stages_fill_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """10 steps of 0.5 s and 20 of 1 s take 25 s; of 60 s, 5 were used before: 0.9 of 55 s is 1.98 times as long."""
    monkeypatch.setattr(budget, "seconds_per_step", lambda task, config: task)
    configs = [replace(RecipeRun(), accumulate=1), replace(RecipeRun(), accumulate=1)]
    for config, steps in zip(configs, (10, 20), strict=True):
        config.steps = steps  # type: ignore[attr-defined]
    asked: list[int] = []

    def stages() -> list:  # type: ignore[type-arg]
        asked.append(1)
        return list(zip((0.5, 1.0), configs, strict=True))

    found = lengthening("60s", tmp_path, time.monotonic() - 5, stages)
    assert found == pytest.approx(0.9 * 55 / 25, rel=0.01)
    assert lengthening("60s", tmp_path, 0.0, stages) == found and len(asked) == 1, "a resumed run keeps what was measured"
    with pytest.raises(TrainingError, match="was over before training began"):
        lengthening("60s", tmp_path / "late", time.monotonic() - 61, stages)
    (tmp_path / "budget.json").write_text("[]")
    with pytest.raises(TrainingError, match="budget.json cannot be read"):
        lengthening("60s", tmp_path, 0.0, stages)


def test_steps_and_warmup_are_lengthened_and_scenes_are_not(tmp_path: Path) -> None:
    recipe = tiny(tmp_path)
    first, again = recipe.stages[0], adjusted(recipe, RecipeRun(lengthen=2.5)).stages[0]
    assert (again.steps, again.warmup, again.scenes) == (round(2.5 * first.steps), round(2.5 * first.warmup), first.scenes)


def test_a_run_on_a_budget_says_how_to_repeat_it(tiny_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDIFF_ZOO", str(tiny_zoo))
    monkeypatch.setattr(budget, "seconds_per_step", lambda task, config: 1.0)
    recipe, run = tiny(tmp_path), RecipeRun(out=tmp_path / "run", workers=0, budget="20s")
    run_recipe(recipe, run)
    lengthen = json.loads((run.out / "budget.json").read_text())["lengthen"]
    assert 1.3 < lengthen < 1.85 and zoo.entry("tiny", run.out)["recipe"] == f"minidiff train --lengthen {lengthen}"
    steps = json.loads((run.out / "stage-1" / "stage.json").read_text())["stage"]["steps"]
    assert steps == round(lengthen * recipe.stages[0].steps)
    before = zoo.entry("tiny", run.out)["sha256"]
    run_recipe(recipe, run)
    assert zoo.entry("tiny", run.out)["sha256"] == before
    run_recipe(recipe, RecipeRun(out=tmp_path / "again", workers=0, lengthen=lengthen))
    assert zoo.entry("tiny", tmp_path / "again")["sha256"] == before


def test_steps_are_timed_by_the_loop_itself(tiny_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDIFF_ZOO", str(tiny_zoo))
    run_recipe(tiny(tmp_path), RecipeRun(out=tmp_path / "run", workers=0, budget="600s", stop_after=1))
    assert json.loads((tmp_path / "run" / "budget.json").read_text())["lengthen"] > 10


# --- pieces ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "size"), [("16M", 16 * 2**20), ("1K", 1024), ("2G", 2**31)])
def test_sizes_are_read(text: str, size: int) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize("text", ["16", "0M", "M", "1.5M", "-1K"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(TrainingError, match="--shard: The size of pieces"):
        RecipeRun(shard=text)


def test_a_file_in_pieces_comes_together_only_when_all_are_there(tmp_path: Path) -> None:
    path, data = tmp_path / "a.safetensors", bytes(range(256)) * 10
    path.write_bytes(data)
    pieces = split(path, 1000)
    assert [piece.name for piece in pieces] == [f"a.safetensors.{k}-of-3" for k in (1, 2, 3)] and not path.exists()
    assert [piece.stat().st_size for piece in pieces] == [1000, 1000, 560]
    (hidden := pieces[1].rename(tmp_path / "away"))
    assert not join(path) and not path.exists()
    hidden.rename(pieces[1])
    (tmp_path / "a.safetensors.1-of-2").write_bytes(b"other")
    assert not join(path), "pieces of two files are no file"
    (tmp_path / "a.safetensors.1-of-2").unlink()
    assert join(path) and path.read_bytes() == data and not join(path)


def test_weights_in_pieces_are_published_whole(tiny_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDIFF_ZOO", str(tiny_zoo))
    recipe = tiny(tmp_path)
    for name, shard in (("whole", ""), ("pieces", "8K")):
        run_recipe(recipe, RecipeRun(out=tmp_path / name, workers=0, shard=shard))
    files = {path.name: path.stat().st_size for path in (tmp_path / "pieces").glob("tiny.safetensors*")}
    assert len(files) > 2 and max(files.values()) <= 8192 and "tiny.safetensors" not in files
    publish(tmp_path / "pieces", root=tmp_path / "zoo")
    for root in (tmp_path / "zoo", tmp_path / "pieces"):
        assert zoo.entry("tiny", root) == zoo.entry("tiny", tmp_path / "whole")
        zoo.load("tiny", root)
    with pytest.raises(TrainingError, match="choose one of them"):
        RecipeRun(shard="16M", publish=True)
