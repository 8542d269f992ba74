"""The yardstick by which training's choices are compared is the same for every prediction and path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.choices import BASE, CHOICES, v_loss
from minidiff.diffusion.prediction import target
from minidiff.diffusion.schedules import NoiseSchedule, get_schedule

HELD = np.random.default_rng(0).standard_normal((96, 4, 4, 4)).astype(np.float16)


class Held:
    """Validation latents without words."""

    def held_out(self) -> Iterator[dict[str, Tensor | None]]:
        yield {"latents": torch.from_numpy(HELD).float(), "ids": None, "mask": None}


def task_of(prediction_type: str, schedule: NoiseSchedule, guess_x0) -> SimpleNamespace:  # type: ignore[no-untyped-def]
    """A task whose network takes the data to be `guess_x0(x / alpha)`, and predicts `prediction_type` on `schedule`."""

    def network(x: Tensor, timestep: Tensor, text: None, mask: None) -> Tensor:
        t = timestep / 1000
        alpha, sigma = (weight.view(-1, 1, 1, 1) for weight in (schedule.alpha(t), schedule.sigma(t)))
        x0 = guess_x0(x / alpha)
        return target(schedule, prediction_type, x0, (x - alpha * x0) / sigma, t)

    return SimpleNamespace(
        schedule=schedule, objective=SimpleNamespace(prediction_type=prediction_type), network=network, examples=Held(),
        text=lambda ids, mask: SimpleNamespace(sequence=None),
    )  # fmt: skip


ALL = [("v", "cosine"), ("eps", "cosine"), ("x0", "cosine"), ("flow", "flow"), ("v", "flow")]


@pytest.mark.parametrize(("kind", "path"), ALL)
def test_a_perfect_network_makes_no_error(kind: str, path: str) -> None:
    true = torch.from_numpy(HELD).float()
    assert v_loss(task_of(kind, get_schedule(path), lambda x: true)) == pytest.approx([0, 0, 0], abs=1e-9)


def test_one_denoiser_has_one_error_however_it_says_it() -> None:
    losses = [v_loss(task_of(kind, get_schedule(path), lambda x: 0.4 * x)) for kind, path in ALL]
    assert min(losses[0]) > 0.1 and len({round(x, 6) for x in losses[0]}) == 3
    for other in losses[1:]:
        assert other == pytest.approx(losses[0], rel=1e-3)


def test_the_error_is_that_of_v() -> None:
    """A guess of 0 for the data: x0 / sigma is the error in v, of which the data's variance is known."""
    thirds = v_loss(task_of("v", get_schedule("cosine"), torch.zeros_like))
    times = 0.05 + 0.9 * (torch.arange(96) + 0.5) / 96
    power = torch.from_numpy(HELD).float().square().flatten(1).mean(1)
    expected = (power / torch.sin(torch.pi * times / 2) ** 2).view(3, 32).mean(1)
    assert thirds == pytest.approx(expected.tolist(), rel=1e-5)


def test_every_choice_differs_from_the_base_in_what_it_is_named_after() -> None:
    assert [name for name, changes in CHOICES.items() if not changes] == ["v"]
    objectives = [replace(BASE, **changes).objective for changes in CHOICES.values()]  # type: ignore[arg-type]
    assert {objective.prediction_type for objective in objectives} == {"v", "eps", "x0", "flow"}
    assert {changes.get("text_trainable", "all") for changes in CHOICES.values()} == {"all", "last", "none"}
    assert len({replace(BASE, **changes) for changes in CHOICES.values()}) == len(CHOICES)  # type: ignore[arg-type]
