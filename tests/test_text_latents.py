"""What a network that reads captions is shown in training, and at which times: loose scenes, terse speakers, the shift."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from minidiff.data.world.captions import drop_details, phrase
from minidiff.data.world.scenes import Scene, is_loose, scene_at
from minidiff.diffusion.losses import sample_times
from minidiff.train import latent_diffusion
from minidiff.train.dit import DiTRun, DiTTask
from minidiff.train.loop import Step, TrainingError, mix_seed

TINY: dict[str, Any] = {
    "hidden_size": 32, "depth": 1, "heads": 2, "seeing_block": 0, "text_from": "world-dit", "reading": 0, "seeing": 0,
    "scenes": 64,
}  # fmt: skip


def numbered(count: int, split: str = "train") -> np.ndarray:
    """Latents that hold nothing but the numbers of their scenes, from 1000 in the split of sides."""
    first = 1000 if split == "sides" else 0
    return np.arange(first, first + count, dtype=np.float16)[:, None, None, None].repeat(4, 1).repeat(16, 2).repeat(16, 3)


@pytest.fixture(autouse=True)
def zoo_of_nobody(tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDIFF_ZOO", str(tiny_zoo))
    monkeypatch.setattr(latent_diffusion, "cached_latents", numbered)


def shown(count: int, **options: float) -> list[int]:
    """The numbers of the scenes in the batch of index 3."""
    latents = DiTTask(DiTRun(**TINY, **options)).make_batch(3, count, 0)["latents"]
    return [int(number) for number in latents[:, 0, 0, 0]]


def test_loose_scenes_are_shown_as_many_times_as_often_as_asked() -> None:
    plain = float(np.mean([is_loose(scene_at(number)) for number in range(64)]))
    share = float(np.mean([is_loose(scene_at(number)) for number in shown(3000, loose=3.0)]))
    assert 0.1 < plain < 0.6
    assert share == pytest.approx(3 * plain / (3 * plain + 1 - plain), abs=0.03)


def test_without_looseness_the_scenes_are_plain_draws() -> None:
    rng = random.Random(mix_seed(0, 3))
    assert shown(200, loose=1.0) == [rng.randrange(64) for _ in range(200)]


@pytest.mark.parametrize("terse", [0.0, 0.3, 1.0])
def test_as_many_captions_as_asked_are_by_a_terse_speaker(monkeypatch: pytest.MonkeyPatch, terse: float) -> None:
    heard: list[float] = []

    def listen(scene: Scene, rng: random.Random, talkative: float) -> Scene:
        heard.append(talkative)
        return drop_details(scene, rng, talkative)

    monkeypatch.setattr(latent_diffusion, "drop_details", listen)
    shown(1500, terse=terse)
    assert set(heard) <= {0.5, 1.0}
    assert heard.count(0.5) / 1500 == pytest.approx(terse, abs=0.04 if 0 < terse < 1 else 0)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_times_are_pushed_towards_the_noise(shift: float) -> None:
    task = DiTTask(DiTRun(**TINY, shift=shift))
    told: list[Tensor] = []

    def listen(network: nn.Module, given: tuple[Tensor, ...]) -> None:
        told.append(given[1])

    task.network.register_forward_pre_hook(listen)
    task(task.make_batch(0, 8, 0), Step(0, torch.Generator().manual_seed(0)))
    t = sample_times(8, "stratified", torch.Generator().manual_seed(0))
    assert_close(told, [task.path.timestep(shift * t / (1 + (shift - 1) * t))])  # Esser et al. 2024, eq. 23


@pytest.mark.parametrize("spots", [0.0, 0.4, 1.0])
def test_as_many_captions_as_asked_tell_where_things_stand(monkeypatch: pytest.MonkeyPatch, spots: float) -> None:
    told: list[Scene] = []
    monkeypatch.setattr(latent_diffusion, "phrase", lambda claim, *rest: told.append(claim) or phrase(claim, *rest))
    shown(1500, spots=spots, loose=1.0)
    open_ones = [claim for claim in told if len(claim.groups) == 3]
    telling = sum(any(group.spot for group in claim.groups) for claim in open_ones) / len(open_ones)
    most = 0.85  # the others have two things in one spot, or would show what is held out
    assert telling == pytest.approx(spots * most, abs=0.08 if spots else 0)


@pytest.mark.parametrize("sides", [0.0, 0.3, 1.0])
def test_as_many_pictures_as_asked_are_of_sides_and_captions_say_so(monkeypatch: pytest.MonkeyPatch, sides: float) -> None:
    told: list[Scene] = []
    monkeypatch.setattr(latent_diffusion, "phrase", lambda claim, *rest: told.append(claim) or phrase(claim, *rest))
    numbers = shown(600, sides=sides, terse=0.5, spots=0.5)
    assert {number for number in numbers if number >= 1000} == (set(range(1000, 1008)) if sides else set())
    assert sum(number >= 1000 for number in numbers) / 600 == pytest.approx(sides, abs=0.08 if 0 < sides < 1 else 0)
    for number, claim in zip(numbers, told, strict=True):
        scene = scene_at(number - 1000, "sides") if number >= 1000 else scene_at(number)
        assert [(group.kind, group.count) for group in claim.groups] == [(group.kind, group.count) for group in scene.groups]
        assert number < 1000 or claim.relation == scene.relation


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("terse", -0.1),
        ("terse", 1.1),
        ("spots", -0.1),
        ("spots", 1.1),
        ("sides", -0.1),
        ("sides", float("nan")),
        ("loose", 0.5),
        ("loose", float("nan")),
        ("shift", 0.0),
        ("shift", -1.0),
    ],
)
def test_a_share_or_factor_out_of_range_is_refused(name: str, value: float) -> None:
    with pytest.raises(TrainingError, match="--terse, --spots and --sides must be from 0 to 1, --loose at least 1"):
        DiTTask(DiTRun(**TINY, **{name: value}))
