"""What a network that takes captions learns from, at which times, and what it gets to see of the caption."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from minidiff.data.world.captions import drop_details
from minidiff.data.world.free_captions import said
from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.scenes import Scene, is_ambiguous
from minidiff.diffusion.losses import sample_times
from minidiff.models.dit import DiTConfig
from minidiff.recipes import world
from minidiff.recipes.recipe import CaptionMix, Recipe, Stage, build_task
from minidiff.recipes.world import WorldLatents
from minidiff.train.latent_diffusion import LatentDiffusionTask, Objective
from minidiff.train.loop import Step, mix_seed
from minidiff.train.options import TrainingError

STAGE = Stage(steps=2, batch=8, lr=1e-3, scenes=64, seed=0)
TINY = Recipe("tiny", DiTConfig(sample_size=16, hidden_size=32, depth=1, heads=2), WorldLatents(), (STAGE,), text="world-dit")


def numbered(count: int, split: str, *rest: Any) -> np.ndarray:
    """Latents that hold nothing but the numbers of their scenes, from 1000 in the split of counts."""
    first = 1000 if split == "counts" else 0
    return np.arange(first, first + count, dtype=np.float16)[:, None, None, None].repeat(4, 1).repeat(16, 2).repeat(16, 3)


@pytest.fixture(autouse=True)
def tiny_models(tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDIFF_ZOO", str(tiny_zoo))
    monkeypatch.setattr(world, "cached_latents", numbered)


def task_of(recipe: Recipe = TINY, **settings: Any) -> LatentDiffusionTask:
    return build_task(recipe, replace(STAGE, **settings), None)


def batch_of(count: int, **mix: float) -> dict[str, Tensor]:
    """The batch of index 3."""
    return task_of(captions=CaptionMix(**mix)).make_batch(3, count, 0)


def shown(count: int, **mix: float) -> list[int]:
    """The numbers of the scenes in the batch of index 3."""
    return [int(number) for number in batch_of(count, **mix)["latents"][:, 0, 0, 0]]


def test_ambiguous_scenes_are_shown_as_many_times_as_often_as_the_mix_says() -> None:
    plain = float(np.mean([is_ambiguous(scene_at(number)) for number in range(64)]))
    share = float(np.mean([is_ambiguous(scene_at(number)) for number in shown(3000, ambiguous=3.0)]))
    assert 0.1 < plain < 0.6
    assert share == pytest.approx(3 * plain / (3 * plain + 1 - plain), abs=0.03)


def test_otherwise_the_scenes_are_plain_random_ones() -> None:
    rng = random.Random(mix_seed(0, 3))
    assert shown(200, ambiguous=1.0) == [rng.randrange(64) for _ in range(200)]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_the_captions_leaves_out_more(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    seen: list[float] = []

    def watch(scene: Scene, rng: random.Random, detail: float) -> Scene:
        seen.append(detail)
        return drop_details(scene, rng, detail)

    monkeypatch.setattr(world, "drop_details", watch)
    shown(1500, detail_dropout=share)
    assert set(seen) <= {0.5, 1.0}
    assert seen.count(0.5) / 1500 == pytest.approx(share, abs=0.04 if 0 < share < 1 else 0)


@pytest.mark.parametrize("dropout", [0.0, 0.1, 1.0])
def test_a_share_of_the_captions_is_empty(dropout: float) -> None:
    """Without empty captions there is no classifier-free guidance."""
    task = task_of(captions=CaptionMix(dropout=dropout))
    batch, empty = task.make_batch(3, 2000, 0), task.examples.tokens([""])  # type: ignore[attr-defined]
    tokens = int(empty["mask"].sum())
    without = (batch["mask"].sum(1) == tokens) & (batch["ids"][:, :tokens] == empty["ids"][0, :tokens]).all(1)
    assert float(without.float().mean()) == pytest.approx(dropout, abs=0.02 if 0 < dropout < 1 else 0)


def test_a_dropped_caption_raises_no_questions() -> None:
    aux = (("caption_questions", 0.1), ("token_labels", 0.1))
    batch = task_of(aux=aux, captions=CaptionMix(dropout=1.0)).make_batch(3, 16, 0)
    assert all((value == -100).all() for name, value in batch.items() if name.startswith("question_"))
    assert (batch["label_kind"] > 0).any()


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_times_are_pushed_towards_the_noise(shift: float) -> None:
    task = task_of(objective=Objective(shift=shift))
    seen: list[Tensor] = []
    task.network.register_forward_pre_hook(lambda network, given: seen.append(given[1]))
    task(task.make_batch(0, 8, 0), Step(0, torch.Generator().manual_seed(0)))
    t = sample_times(8, "stratified", torch.Generator().manual_seed(0))
    assert_close(seen, [task.schedule.timestep(shift * t / (1 + (shift - 1) * t))])  # Esser et al. 2024, eq. 23


def test_the_network_gets_the_captions_mask() -> None:
    """What stands in the padding must not matter, and what stands in the caption must."""
    task = task_of()
    for module in (task.network, task.text):
        for weight in module.parameters():
            nn.init.normal_(weight, std=0.2)
    batch = task.make_batch(0, 4, 0)
    padding = ~batch["mask"]
    assert padding.any()

    def loss(ids: Tensor) -> float:
        return task({**batch, "ids": ids}, Step(0, torch.Generator().manual_seed(0)))[0].item()

    changed, other = batch["ids"].clone(), batch["ids"].clone()
    changed[padding] = 7
    other[:, 1] = (other[:, 1] + 1) % 300
    assert loss(changed) == pytest.approx(loss(batch["ids"]), rel=1e-6)
    assert loss(other) != pytest.approx(loss(batch["ids"]), rel=1e-6)


@pytest.mark.parametrize("places", [0.0, 0.4, 1.0])
def test_a_share_of_the_captions_says_where_things_stand(monkeypatch: pytest.MonkeyPatch, places: float) -> None:
    claims: list[Scene] = []
    monkeypatch.setattr(world, "said", lambda claim, *rest: claims.append(claim) or said(claim, *rest))
    shown(1500, places=places)
    open_ones = [claim for claim in claims if len(claim.groups) == 3]
    telling = sum(any(group.spot for group in claim.groups) for claim in open_ones) / len(open_ones)
    most = 0.85  # the others have two things in one spot, or would show what is held out
    assert telling == pytest.approx(places * most, abs=0.08 if places else 0)


@pytest.mark.parametrize("counts", [0.0, 0.3, 1.0])
def test_a_share_of_the_images_has_several_things_alike(monkeypatch: pytest.MonkeyPatch, counts: float) -> None:
    claims: list[Scene] = []
    monkeypatch.setattr(world, "said", lambda claim, *rest: claims.append(claim) or said(claim, *rest))
    numbers = shown(600, counts=counts, detail_dropout=0.5, places=0.5)
    assert {number for number in numbers if number >= 1000} == (set(range(1000, 1008)) if counts else set())
    assert sum(number >= 1000 for number in numbers) / 600 == pytest.approx(counts, abs=0.08 if 0 < counts < 1 else 0)
    for number, claim in zip(numbers, claims, strict=True):
        scene = scene_at(number - 1000, "counts") if number >= 1000 else scene_at(number)
        assert [(group.kind, group.count) for group in claim.groups] == [(group.kind, group.count) for group in scene.groups]
        assert number < 1000 or claim.relation == scene.relation


def test_validation_captions_and_noise_are_always_the_same() -> None:
    first, second = (list(task_of(seed=seed).examples.held_out()) for seed in (0, 1))
    for one, other in zip(first, second, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    task = task_of()
    assert task.fixed_noise_loss() == task.fixed_noise_loss()


@pytest.mark.parametrize("how, share", [("none", 0.0), ("last", 0.1), ("all", 0.5)])
def test_the_text_encoder_learns_as_far_as_the_stage_says(how: str, share: float) -> None:
    text = task_of(text_trainable=how).text
    learning = sum(p.numel() for p in text.parameters() if p.requires_grad) / sum(p.numel() for p in text.parameters())
    assert (learning == 0) if share == 0 else learning >= share
    assert not any(p.requires_grad for p in text.text_projection.parameters())


@pytest.mark.parametrize("aux", [(), (("token_labels", 0.1), ("caption_questions", 0.0)), (("caption_questions", 0.1),)])
def test_every_weight_that_wants_a_gradient_gets_one(aux: tuple[tuple[str, float], ...]) -> None:
    """Training in several processes waits for the gradient of whatever wants one."""
    task = task_of(aux=aux, text_trainable="all")
    loss, figures = task(task.make_batch(0, 8, 0), Step(0, torch.Generator().manual_seed(0)))
    loss.backward()
    assert list(task.aux) == [name for name, weight in aux if weight]
    heads = [p for p in task.aux.parameters() if p.grad is None]
    assert not heads and "diffusion" in figures
    assert bool(task.aux) == (float(loss) > float(figures["diffusion"]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"captions": CaptionMix(dropout=-0.1)}, "captions.dropout is -0.1"),
        ({"captions": CaptionMix(detail_dropout=1.1)}, "captions.detail_dropout is 1.1"),
        ({"captions": CaptionMix(places=float("nan"))}, "captions.places is nan"),
        ({"captions": CaptionMix(counts=2.0)}, "captions.counts is 2.0"),
        ({"captions": CaptionMix(ambiguous=0.5)}, "captions.ambiguous is 0.5"),
        ({"objective": Objective(shift=0.0)}, "objective.shift is 0.0"),
        ({"objective": Objective(schedule="line")}, "objective.schedule is 'line'"),  # type: ignore[arg-type]
        ({"text_trainable": "half"}, "text_trainable is 'half', but it must be 'all' or 'last' or 'none'"),
        ({"average_with_start": 1.5}, "average_with_start is 1.5"),
        ({"aux": (("seeing", 0.1),)}, "no auxiliary loss 'seeing': choose from caption_questions, token_labels"),
        ({"aux": (("token_labels", -1.0),)}, r"aux\[0\]\[1\] is -1.0"),
        ({"steps": 0}, "steps is 0"),
        ({"lr": float("inf")}, "lr is inf"),
        ({"scenes": 0}, "scenes is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_a_setting_out_of_range_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        replace(STAGE, **settings)
