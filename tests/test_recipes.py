"""A recipe runs its stages in order, goes on after a kill at any moment, and leaves its weights where they can be used."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from minidiff.models.dit import DiTConfig
from minidiff.models.unet import UNetConfig
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.request import Request
from minidiff.pretrained import zoo
from minidiff.recipes import world
from minidiff.recipes.recipe import (
    CaptionMix,
    Recipe,
    RecipeRun,
    Stage,
    Weights,
    adjusted,
    average_with_start,
    build_task,
    run_recipe,
    weights_of,
)
from minidiff.recipes.world import WORLD_DIT, WORLD_UNET, Sampler, WorldLatents
from minidiff.train.latent_diffusion import Objective
from minidiff.train.options import TrainingError
from minidiff.train.publish import publish

FIRST = Stage(
    steps=6, batch=4, lr=0.05, scenes=32, seed=0, warmup=1, ema=0.5, text_trainable="all",
    aux=(("caption_questions", 0.05), ("token_labels", 0.1)),
)  # fmt: skip
SECOND = Stage(
    steps=4, batch=4, lr=0.05, scenes=16, seed=1, warmup=1, ema=0.5, objective=Objective(shift=2.0), text_trainable="last",
    captions=CaptionMix(places=0.5, counts=0.2), average_with_start=0.25, restore_from_start=("caption_projection",),
)  # fmt: skip
DIT = DiTConfig(sample_size=4, hidden_size=32, depth=2, heads=2)
UNET = UNetConfig(
    sample_size=4, in_channels=4, out_channels=4, channels=(8, 16), attention=(False, True), layers=1, head_dim=8, groups=4
)


def tiny(folder: Path, model: DiTConfig | UNetConfig = DIT, stages: tuple[Stage, ...] = (FIRST, SECOND)) -> Recipe:
    """Images of 32 pixels, latents of 4 x 4."""
    data = WorldLatents(size=32, validation=8, folder=folder / "latents")
    return Recipe("tiny", replace(model), data, without_labels(stages), text="world-dit", token_layer=1)


def without_labels(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """Labels are for 8 x 8 tokens, of which these models have 2 x 2."""
    return tuple(replace(s, aux=tuple(row for row in s.aux if row[0] != "token_labels")) for s in stages)


def run_of(out: Path, **options: Any) -> RecipeRun:
    return RecipeRun(**{"out": out, "workers": 0, "save_every": 2, "validate_every": 100, "precision": "no", **options})


@pytest.fixture
def root(tiny_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(tiny_zoo, tmp_path / "zoo")
    monkeypatch.setenv("MINIDIFF_ZOO", str(tmp_path / "zoo"))
    monkeypatch.setattr(world, "SHEET", world.SHEET[:2])
    return tmp_path


def result(out: Path) -> dict[str, torch.Tensor]:
    return zoo.load("tiny", out)[1]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(value, b[key]) for key, value in a.items())


def test_all_stages_run_and_the_folder_is_a_zoo_of_its_own(root: Path) -> None:
    before = zoo.manifest()
    run_recipe(tiny(root), run_of(root / "run"))
    assert zoo.manifest() == before  # what is shipped stays as it is
    row = zoo.entry("tiny", root / "run")
    assert row["images_seen"] == 10 * 4 and row["figures"]["loss"] > 0 and row["figures"]["minutes"] >= 0
    assert row["config"]["tell_places"] and row["config"]["made_with"].keys() == {"world-vae", "tokenizer"}
    assert not list((root / "run").rglob("checkpoint.pt"))
    for number, steps in ((1, 6), (2, 4)):
        sheet = root / "run" / f"stage-{number}" / f"samples-{steps:06d}.png"
        assert Image.open(sheet).size == (2 * 32 + 1, 32)
    pipeline = load_pipeline("tiny", "cpu", "float32", root=root / "run")
    assert pipeline(Request("a big red star", steps=2))[0].size == (32, 32)


def test_a_stage_begins_with_the_weights_of_the_one_before_and_ends_between_the_two(root: Path) -> None:
    recipe = tiny(root)
    run_recipe(recipe, run_of(root / "a", stages=(1,)))
    start = Weights("previous", root / "a" / "stage-1")
    first = zoo.load("previous", start.root)[1]
    task = build_task(recipe, recipe.stages[1], start)
    for key, value in weights_of(task.network, task.text, "dit").items():
        assert torch.equal(value, first[key])
    with torch.no_grad():
        for weight in task.parameters():
            weight.add_(0.1)
    assert average_with_start(task, recipe, recipe.stages[1], start)
    for key, value in weights_of(task.network, task.text, "dit").items():
        moved = 0.0 if "caption_projection" in key else 0.075
        assert_close(value, first[key] + moved, msg=lambda text, key=key: f"{key}: {text}")
    assert not average_with_start(task, recipe, recipe.stages[0], start)


def test_a_later_stage_may_move_to_the_latents_of_another_autoencoder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, state = zoo.load("world-vae")
    other = [mean + 1 for mean in config["latent_mean"]]
    state["decoder.conv_out.bias"] += 1  # other weights, the same encoder
    zoo.add("world-vae-2", state, {**config, "latent_mean": other}, dtype=torch.float32)
    recipe = tiny(root, stages=(FIRST, replace(SECOND, vae="world-vae-2")))
    moved = torch.tensor(config["latent_std"]).reciprocal().view(1, 4, 1, 1)
    latents = recipe.data.latents(4), recipe.data_of(recipe.stages[1]).latents(4)
    assert_close(torch.from_numpy(latents[0] - latents[1]).float(), moved.expand(4, 4, 4, 4), atol=0.02, rtol=0)
    run_recipe(recipe, run_of(root / "run", stages=(1,)))
    assert zoo.entry("tiny", root / "run")["config"]["vae"] == "world-vae", "of the last stage that was run"
    asked, load_vae = [], world.load_vae
    monkeypatch.setattr(world, "load_vae", lambda name: asked.append(name) or load_vae(name))
    run_recipe(recipe, run_of(root / "run"))
    assert set(asked) == {"world-vae", "world-vae-2"}  # both for the first weights; samples are decoded by the second alone
    assert asked.count("world-vae") == 1
    row = zoo.entry("tiny", root / "run")
    assert row["config"]["vae"] == "world-vae-2" and row["config"]["made_with"].keys() == {"world-vae-2", "tokenizer"}
    first, second = ((root / "run" / f"stage-{k}" / "stage.json").read_text() for k in (1, 2))
    assert '"world-vae":' in first and '"world-vae-2":' in second
    assert load_pipeline("tiny", "cpu", "float32", root=root / "run").latent_mean.flatten().tolist() == pytest.approx(other)


def test_stages_run_alone_or_together_give_the_same_weights(root: Path) -> None:
    run_recipe(tiny(root), run_of(root / "whole"))
    run_recipe(tiny(root), run_of(root / "parts", stages=(1,)))
    run_recipe(tiny(root), run_of(root / "parts", stages=(2,)))
    run_recipe(tiny(root), run_of(root / "cut", stop_after=3))
    assert "tiny" not in zoo.manifest(root / "cut")
    run_recipe(tiny(root), run_of(root / "cut", stop_after=5))  # 3 of stage 1 and 2 of stage 2
    run_recipe(tiny(root), run_of(root / "cut"))
    for name in ("parts", "cut"):
        assert same(result(root / "whole"), result(root / name)), name


def test_a_finished_run_given_again_changes_nothing_and_another_recipe_is_refused(root: Path) -> None:
    recipe = tiny(root)
    run_recipe(recipe, run_of(root / "run"))
    before, stamp = zoo.entry("tiny", root / "run"), (root / "run/stage-1/previous.safetensors").stat().st_mtime_ns
    run_recipe(recipe, run_of(root / "run"))
    assert zoo.entry("tiny", root / "run") == before
    assert (root / "run/stage-1/previous.safetensors").stat().st_mtime_ns == stamp
    with pytest.raises(TrainingError, match="holds another stage 1 .stage.lr was 0.05 and is 0.01"):
        run_recipe(recipe, run_of(root / "run", change=("lr=0.01",)))
    with pytest.raises(TrainingError, match="stage.steps was 6 and is 3.*--fresh"):
        run_recipe(recipe, run_of(root / "run", scale=0.5))
    run_recipe(recipe, run_of(root / "run", change=("lr=0.01",), fresh=True))
    assert not same(zoo.load("tiny", root / "run")[1], {}) and zoo.entry("tiny", root / "run")["sha256"] != before["sha256"]


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
import test_recipes as t
from minidiff.recipes import recipe, world

world.SHEET = world.SHEET[:1]

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def run(at, root):
    if at == "stage result":        # between the last step of a stage and its result
        recipe.keep_stage = kill
    elif at == "checkpoint left":   # the result is there, and the checkpoint not yet removed
        Path.unlink = kill
    elif at == "final result":
        recipe.keep_result = kill
    else:
        real, calls = world.CaptionedWorld.make_batch, []
        def make_batch(self, *given):
            calls.append(1)
            return kill() if len(calls) == int(at) else real(self, *given)
        world.CaptionedWorld.make_batch = make_batch
    t.run_recipe(t.tiny(root), t.run_of(root / "killed"))

for at in {moments!r}:
    if not (child := os.fork()):
        run(at, Path({root!r}))
        os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL, at
"""


def test_a_run_killed_at_any_moment_goes_on_to_the_same_weights(root: Path) -> None:
    """kill -9 within a stage, between two, and before the end: one run, killed again and again."""
    moments = ["4", "stage result", "checkpoint left", "3", "stage result", "final result"]
    run_recipe(tiny(root), run_of(root / "whole"))
    code = KILLED.format(tests=str(Path(__file__).parent), root=str(root), moments=moments)
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-1500:]
    run_recipe(tiny(root), run_of(root / "killed"))
    assert same(result(root / "whole"), result(root / "killed"))


@pytest.mark.parametrize("content", ["", "not JSON", "[1, 2]", '{"stage": 3}', "\0", '{"stage": {"lr": 1e999}}'])
def test_a_damaged_note_of_the_stage_is_one_sentence(root: Path, content: str) -> None:
    (root / "run/stage-1").mkdir(parents=True)
    (root / "run/stage-1/stage.json").write_text(content)
    with pytest.raises(ValueError) as refused:
        run_recipe(tiny(root), run_of(root / "run"))
    assert "stage-1" in str(refused.value) and "\n" not in str(refused.value)


def test_the_result_is_published_on_request_with_what_it_needs(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_recipe(tiny(root), run_of(root / "run", stages=(1,), publish=True))
    assert same(zoo.load("tiny")[1], result(root / "run"))
    assert "other" in publish(root / "run", "other") and zoo.entry("other")["sha256"] == zoo.entry("tiny")["sha256"]
    assert publish(root / "run", root=root / "new") and zoo.manifest(root / "new").keys() == {"tiny", "world-vae", "tokenizer"}
    assert load_pipeline("tiny", "cpu", root=root / "new")
    zoo.add("world-vae", {"weight": torch.zeros(1)}, {}, root=root / "new")
    with pytest.raises(zoo.ZooError, match="trained with another 'world-vae'"):
        publish(root / "run", root=root / "new")
    with pytest.raises(TrainingError, match="cannot be published: it holds no trained weights"):
        publish(root / "nothing")
    weights = root / "run" / "tiny.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    before = zoo.entry("tiny")
    with pytest.raises(zoo.ZooError):
        publish(root / "run")
    assert zoo.entry("tiny") == before


def test_a_run_may_begin_with_weights_of_the_zoo(root: Path) -> None:
    options: dict[str, Any] = {"stages": (2,), "start": "world-dit"}
    recipe = tiny(root)
    run_recipe(recipe, run_of(root / "run", **options))
    assert zoo.entry("tiny", root / "run")["recipe"].endswith("--stages 2 --start world-dit --precision no")
    with pytest.raises(TrainingError, match="'world-dit' has another shape"):
        run_recipe(recipe, run_of(root / "other", change=("model.hidden_size=64",), **options))
    with pytest.raises(TrainingError, match="begins with the weights of stage 1, which are not in"):
        run_recipe(recipe, run_of(root / "third", stages=(2,)))
    with pytest.raises(TrainingError, match="has the stages 1 to 2"):
        run_recipe(recipe, run_of(root / "third", stages=(3,)))
    with pytest.raises(zoo.ZooError, match="no weights called 'nothing'"):
        run_recipe(recipe, run_of(root / "third", start="nothing"))


def test_a_unet_is_trained_by_the_same_recipe_and_keeps_the_text_encoder(root: Path) -> None:
    stage = replace(SECOND, average_with_start=0.0, restore_from_start=(), text_trainable="none")
    run_recipe(tiny(root, UNET, (stage,)), run_of(root / "run"))
    config, state = zoo.load("tiny", root / "run")
    theirs = zoo.load("world-dit")[1]
    assert "unet" in config and {key.partition(".")[0] for key in state} == {"unet", "text"}
    for key in theirs:
        if key.startswith("text."):
            assert_close(state[key], theirs[key], rtol=0, atol=1e-3)  # kept in half precision
    assert load_pipeline("tiny", "cpu", root=root / "run")(Request("a star", steps=2))
    one = replace(UNET, channels=(8,), attention=(True,), sample_size=4)
    with pytest.raises(TrainingError, match="two levels"):
        run_recipe(tiny(root, one, (stage,)), run_of(root / "one"))


def test_token_labels_are_for_eight_by_eight_tokens_and_teach_the_network(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def latents(count: int, *rest: Any) -> np.ndarray:
        return np.random.default_rng(0).standard_normal((count, 4, 16, 16)).astype(np.float16)

    monkeypatch.setattr(world, "cached_latents", latents)
    for shape in (DIT, UNET, replace(UNET, attention=(True, False))):
        recipe = replace(tiny(root, replace(shape, sample_size=16)), stages=(FIRST,))
        task = build_task(recipe, replace(FIRST, aux=(("token_labels", 0.5),)), None)
        batch = task.make_batch(0, 4, 0)
        loss, figures = task(batch, world_step())
        assert task.tokens.shape[:2] == (4, 64) and batch["label_kind"].shape == (4, 64) and "label_colour" in figures
        loss.backward()
        assert task.aux["token_labels"].head.heads["kind"].weight.grad.abs().max() > 0


def world_step():  # type: ignore[no-untyped-def]
    from minidiff.train.loop import Step

    return Step(0, torch.Generator().manual_seed(0))


# --- options --------------------------------------------------------------------------------------------------------


def test_changes_reach_every_stage_and_the_model(tmp_path: Path) -> None:
    changes = (
        "lr=0.004", "captions.places=0.5", "objective.times=uniform", "aux.token_labels=0.3", "text_trainable=last",
        "model.depth=3", "restore_from_start=[\"norm\"]",
    )  # fmt: skip
    recipe = adjusted(WORLD_DIT, RecipeRun(change=changes, scale=0.01, seed=2, name="mine"))
    assert (recipe.name, recipe.model.depth, recipe.token_layer) == ("mine", 3, 1)  # type: ignore[union-attr]
    for stage, before in zip(recipe.stages, WORLD_DIT.stages, strict=True):
        assert (stage.lr, stage.captions.places, stage.objective.times, stage.text_trainable) == (0.004, 0.5, "uniform", "last")
        assert dict(stage.aux)["token_labels"] == 0.3 and stage.restore_from_start == ("norm",)
        assert (stage.steps, stage.scenes) == (round(before.steps / 100), round(before.scenes / 100))
        assert stage.seed == before.seed + 2000 and stage.warmup <= stage.steps
    assert adjusted(WORLD_DIT, RecipeRun()) == WORLD_DIT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("lr", "must be NAME=VALUE"), ("rate=1", "no setting 'rate'; here there are steps, batch, lr"), ("lr=-1", "lr is -1"),
        ("lr=nan", "lr is 'nan'"), ("lr=Infinity", "lr is inf"), ("captions.drop=1", "no setting 'captions.drop'"),
        ("captions.places=2", "captions.places is 2"), ("aux.seeing=1", "no auxiliary loss 'seeing'"),
        ("aux.token_labels=x", "x"),
        ("model.depth=0", "depth"), ("model.depth=1.5", "model.depth is 1.5"), ("model.heads=7", "heads"),
        ("steps=0", "steps is 0"),
        ("seed=-1", "seed is -1"), ("text_trainable=half", "text_trainable is 'half'"), ("steps.x=1", "no setting 'steps.x'"),
    ],
)  # fmt: skip
def test_changes_that_make_no_sense_are_one_sentence(change: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message) as refused:
        adjusted(WORLD_DIT, RecipeRun(change=(change,)))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "options",
    [{"scale": 0.0}, {"scale": float("nan")}, {"seed": -1}, {"stages": (0,)}, {"judged": -1},
     {"accumulate": 0}, {"workers": -1},
     {"stop_after": 0}, {"save_every": 0}, {"precision": "fp8"}],
)  # fmt: skip
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match=f"The option {next(iter(options))}"):
        RecipeRun(**options)


# --- the shipped recipes --------------------------------------------------------------------------------------------


def test_the_shipped_recipes_never_use_a_seed_twice() -> None:
    seeds = [stage.seed for recipe in (WORLD_DIT, WORLD_UNET) for stage in recipe.stages]
    assert len(set(seeds)) == len(seeds)


def test_the_shipped_recipes_are_those_of_the_shipped_weights() -> None:
    """The same shapes, and as many images as the manifest counts."""
    for recipe in (WORLD_DIT, WORLD_UNET):
        row = zoo.entry(recipe.name, zoo.SHIPPED)
        shape = type(recipe.model)(**row["config"][recipe.part])
        width = row["config"]["text"]["hidden_size"]
        ours = replace(recipe.model, **{"caption_channels" if recipe.part == "dit" else "context_dim": width})
        assert ours == shape and recipe.guidance == row["config"]["guidance"]
        assert sum(stage.steps * stage.batch for stage in recipe.stages) == row["images_seen"]
        assert any(stage.captions.places for stage in recipe.stages) == row["config"].get("tell_places", False)
    assert sum(stage.steps for stage in WORLD_DIT.stages) == 16_100 and len(WORLD_DIT.stages) == 7


# --- watching -------------------------------------------------------------------------------------------------------


class Seeds:
    """A pipeline that remembers the seeds it is given."""

    def __init__(self) -> None:
        self.seeds: list[int] = []

    def sample(self, texts: list[str], seeds: list[int], *rest: Any, **more: Any):  # type: ignore[no-untyped-def]
        self.seeds += seeds
        yield 1, torch.zeros(len(texts), 4, 2, 2), None

    def pixels(self, latents: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(latents), 3, 16, 16)


def test_every_judged_image_has_noise_of_its_own(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However they are cut into batches: 120 images once came from 16 noises."""
    pipelines: list[Seeds] = []
    monkeypatch.setattr(world, "pipeline_of", lambda *given: pipelines.append(Seeds()) or pipelines[-1])
    monkeypatch.setattr(world.zoo, "manifest", lambda: {"world-judge": {}})

    def accuracy(generate: Sampler, prompts: list[Any], langs: tuple[str, ...]) -> dict[str, float]:
        for start in range(0, len(prompts), 16):
            generate(["a star"] * len(prompts[start : start + 16]))
        return {langs[0]: 1.0}

    monkeypatch.setattr(world, "accuracy", accuracy)
    _, english, vietnamese = WorldLatents().validators(None, 3.0, 10)  # type: ignore[arg-type]
    for _ in range(2):  # the same ones at each validation
        assert english(root, 0) == {"en": 1.0} and vietnamese(root, 0) == {"vi": 1.0}
    first, second, third, fourth = (pipeline.seeds for pipeline in pipelines)
    assert len(set(first + second)) == len(first) + len(second) == 120
    assert first == third and second == fourth
