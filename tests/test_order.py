"""Order: how fast the error of each sampler falls with the number of steps, where the exact answer is known.

For data N(0.7, 0.4^2) the denoiser is linear and the probability-flow ODE has a solution in closed form: x stays as many
standard deviations from the mean as it was. Errors against it are fitted with a line in a log-log plot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from minidiff.diffusion.analytic import mixture
from minidiff.diffusion.prediction import Denoiser
from minidiff.diffusion.samplers import heun, run, sample
from minidiff.diffusion.schedules import SCHEDULES, NoiseSchedule, get_schedule
from minidiff.diffusion.timesteps import karras, uniform

MEAN, STD = 0.7, 0.4
ORDERS = [("ddim", 1), ("euler", 1), ("heun", 2), ("dpmpp_2m", 2)]
STEPS = (20, 40, 80, 160)
X = torch.linspace(-2, 2, 9, dtype=torch.float64)


def gaussian(schedule: NoiseSchedule) -> Denoiser:
    return mixture(schedule, [MEAN], STD)


def variance(schedule: NoiseSchedule, t: Tensor) -> Tensor:
    return (schedule.alpha(t) * STD) ** 2 + schedule.sigma(t) ** 2


def exact(schedule: NoiseSchedule, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """Where the probability-flow ODE takes x from time t to time s."""
    deviations = (x - schedule.alpha(t) * MEAN) / variance(schedule, t).sqrt()
    return schedule.alpha(s) * MEAN + deviations * variance(schedule, s).sqrt()


def even(schedule: NoiseSchedule, n: int) -> Tensor:
    """Even steps in log(alpha / sigma), where both are far from 0."""
    return schedule.time(torch.linspace(-2.5, 2.5, n + 1, dtype=torch.float64))


def end(name: str, model: Denoiser, x: Tensor, schedule: NoiseSchedule, timesteps: Tensor) -> Tensor:
    return list(run(name, model, x, schedule, len(timesteps) - 1, timesteps=timesteps))[-1].x


def slope(errors: Sequence[float], steps: Sequence[int] = STEPS) -> float:
    """The order: minus the slope of log error against log steps."""
    return -float(np.polyfit(np.log(steps), np.log(errors), 1)[0])


def largest_error(name: str, schedule: NoiseSchedule, timesteps: Tensor) -> float:
    found = end(name, gaussian(schedule), X, schedule, timesteps)
    return float((found - exact(schedule, X, timesteps[0], timesteps[-1])).abs().max())


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize(("name", "order"), ORDERS)
def test_the_error_falls_at_the_order_of_the_method(name: str, order: int, schedule: NoiseSchedule) -> None:
    errors = [largest_error(name, schedule, even(schedule, n)) for n in STEPS]
    assert abs(slope(errors) - order) < 0.15
    assert errors[-1] < 0.01


@pytest.mark.parametrize("schedule", ["cosine", "flow"])
@pytest.mark.parametrize(("name", "order"), ORDERS)
def test_it_does_so_from_pure_noise_to_clean_data(name: str, order: int, schedule: str) -> None:
    """On Karras' spacing. Its first step is short in noise and its last short in data, so that it does not matter that a
    method of order 2 makes them with order 1."""
    errors = [largest_error(name, get_schedule(schedule), karras(get_schedule(schedule), n)) for n in STEPS]
    assert abs(slope(errors) - order) < 0.25


@pytest.mark.parametrize("schedule", ["linear", "flow"])
@pytest.mark.parametrize(("name", "order"), ORDERS)
def test_it_does_so_where_the_denoiser_bends(name: str, order: int, schedule: str) -> None:
    """For a mixture of two Gaussians, against a run of Heun's method that is much finer."""
    where = get_schedule(schedule)
    model = mixture(where, [-1, 1], 0.3)
    fine = list(heun(model, X, where, even(where, 1280)))[-1].x
    errors = [float((end(name, model, X, where, even(where, n)) - fine).norm()) for n in (40, 80, 160)]
    assert abs(slope(errors, (40, 80, 160)) - order) < 0.25


def test_the_path_does_not_matter() -> None:
    """At equal steps in log(alpha / sigma), and up to the scale alpha of x, all schedules are one: the errors are equal."""
    errors = []
    for schedule in SCHEDULES.values():
        timesteps = even(schedule, 10)
        x = X * schedule.alpha(timesteps[0])
        found = end("dpmpp_2m", gaussian(schedule), x, schedule, timesteps)
        errors.append((found - exact(schedule, x, timesteps[0], timesteps[-1])) / schedule.alpha(timesteps[-1]))
    for error in errors[1:]:
        assert_close(error, errors[0], rtol=1e-6, atol=1e-9)


# ----------------------------------------------------------------------------------------------------- with fresh noise


def law(name: str, schedule: NoiseSchedule, timesteps: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of what a sampler makes out of standard normal noise, exactly: here x at the end is
    linear in x at the start and in the noise of each step. Row 0 is given none of these, every other row one."""
    n = len(timesteps) - 1
    given = torch.eye(n + 2, dtype=torch.float64)[:, 1:]                    # (rows, n + 1)
    states = run(name, gaussian(schedule), given[:, 0], schedule, n, timesteps=timesteps, noise=lambda i: given[:, i + 1])
    x = list(states)[-1].x
    return float(x[0]), float((x[1:] - x[0]).norm())


@pytest.mark.parametrize("schedule", ["cosine", "linear", "flow"])
@pytest.mark.parametrize(("name", "order"), [("ddpm", 1), ("euler_a", 1), ("dpmpp_2m_sde", 2)])
def test_the_spread_of_samples_becomes_that_of_the_data(name: str, order: int, schedule: str) -> None:
    laws = [law(name, get_schedule(schedule), karras(get_schedule(schedule), n)) for n in STEPS]
    assert abs(slope([abs(std - STD) for _, std in laws]) - order) < 0.3
    assert math.isclose(laws[-1][0], MEAN, abs_tol=0.01)


@pytest.mark.parametrize("schedule", ["cosine", "flow"])
@pytest.mark.parametrize("name", ["ddpm", "euler_a", "dpmpp_2m_sde"])
def test_samples_have_the_mean_and_the_variance_of_the_data(name: str, schedule: str) -> None:
    """20 000 of them, drawn: the mean is off by 0.003 at random, and 100 steps make the spread up to 5 % too small."""
    torch.manual_seed(0)
    x = torch.randn(20_000, dtype=torch.float64)
    drawn = list(run(name, gaussian(get_schedule(schedule)), x, get_schedule(schedule), 100))[-1].x
    assert_close(float(drawn.mean()), MEAN, rtol=0, atol=0.012)
    assert_close(float(drawn.std()), STD, rtol=0.06 if name != "dpmpp_2m_sde" else 0.02, atol=0)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_on_the_way_too_the_variance_is_the_path_s(eta: float) -> None:
    torch.manual_seed(0)
    schedule: NoiseSchedule = get_schedule("cosine")
    x = torch.randn(20_000, dtype=torch.float64)
    for state in sample(gaussian(schedule), x, schedule, uniform(schedule, 200), eta=eta):
        if state.index % 20 == 19:
            assert_close(state.x.var(), variance(schedule, torch.tensor(state.s).double()), rtol=0.07, atol=0)
