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

from minidiff.data.captions import drop_details
from minidiff.data.scenes import Scene, is_loose, scene_at
from minidiff.losses import sample_times
from minidiff.pipeline import load_pipeline
from minidiff.train import text_latents
from minidiff.train.dit import DiTRun, DiTTask
from minidiff.train.loop import Step, TrainingError, mix_seed

TINY: dict[str, Any] = {
    "hidden_size": 32, "depth": 1, "heads": 2, "seeing_block": 0, "text_from": "world-dit", "reading": 0, "seeing": 0,
    "scenes": 64,
}  # fmt: skip


def numbered(count: int, split: str = "train") -> np.ndarray:
    """Latents that hold nothing but the numbers of their scenes."""
    return np.arange(count, dtype=np.float16)[:, None, None, None].repeat(4, 1).repeat(16, 2).repeat(16, 3)


@pytest.fixture(autouse=True)
def zoo_of_nobody(tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDIFF_ZOO", str(tiny_zoo))
    monkeypatch.setattr(text_latents, "cached_latents", numbered)


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

    monkeypatch.setattr(text_latents, "drop_details", listen)
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


def learning_from(teacher: str, **options: Any) -> DiTTask:
    """A run of the world's shape whose network, as a fresh one does, predicts 0."""
    return DiTTask(DiTRun(**TINY, teacher=teacher, **options))


def test_a_student_learns_from_data_and_teacher_in_the_shares_asked(whole_zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDIFF_ZOO", str(whole_zoo))
    task, losses = learning_from("world-unet"), {}
    batch = task.make_batch(0, 8, 0)
    batch["latents"] = torch.randn(8, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    for share in (0.0, 0.25, 1.0):
        task.config.teaching = share
        losses[share], figures = task(batch, Step(0, torch.Generator().manual_seed(0)))
    assert_close(losses[0.0], figures["diffusion"])
    assert_close(losses[1.0], figures["lesson"])
    assert_close(losses[0.25], 0.75 * losses[0.0] + 0.25 * losses[1.0])
    # the student says 0 to everything: its distance to the teacher is how much the teacher says, by the shipped pipeline
    teacher = load_pipeline("world-unet", "cpu", "float32")
    t = sample_times(8, "stratified", generator := torch.Generator().manual_seed(0))
    x = task.path.mix(batch["latents"], torch.randn(8, 4, 16, 16, generator=generator), t)
    context = teacher.words.tower(batch["ids"], batch["mask"]).sequence
    said = teacher.network(x, task.path.timestep(t), context, batch["mask"])
    assert_close(losses[1.0], said.square().mean())
    assert said.abs().max() > 0.1


def test_a_teacher_is_no_part_of_its_student(whole_zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDIFF_ZOO", str(whole_zoo))
    taught, alone = learning_from("world-unet"), learning_from("nothing")
    assert taught.state_dict().keys() == alone.state_dict().keys()
    taught(taught.make_batch(0, 4, 0), Step(0, torch.Generator().manual_seed(0)))[0].backward()
    assert taught.teacher and all(weight.grad is None for weight in taught.teacher.network.parameters())


@pytest.mark.parametrize(
    ("teacher", "options", "said"),
    [
        ("world-unet", {"kind": "eps"}, "'world-unet' cannot teach this run, which has kind 'eps'"),
        ("world-dit", {"path": "flow", "kind": "flow"}, "has path 'flow' and kind 'flow'"),
        ("world-pixels", {}, "has vae 'world-vae' and tokenizer 'tokenizer'"),
        ("world-vae", {}, "has path 'cosine'"),
    ],
)
def test_a_teacher_of_something_else_is_refused(
    whole_zoo: Path, monkeypatch: pytest.MonkeyPatch, teacher: str, options: dict[str, Any], said: str
) -> None:
    monkeypatch.setenv("MINIDIFF_ZOO", str(whole_zoo))
    with pytest.raises(TrainingError, match=said):
        learning_from(teacher, **options)


@pytest.mark.parametrize(
    ("name", "value"),
    [("terse", -0.1), ("terse", 1.1), ("loose", 0.5), ("loose", float("nan")), ("shift", 0.0), ("shift", -1.0),
     ("teaching", 1.1)],
)
def test_a_share_or_factor_out_of_range_is_refused(name: str, value: float) -> None:
    allowed = "--terse and --teaching must be from 0 to 1, --loose at least 1, and --shift above 0"
    with pytest.raises(TrainingError, match=allowed):
        DiTTask(DiTRun(**TINY, **{name: value}))
