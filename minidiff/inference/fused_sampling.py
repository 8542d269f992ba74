"""The samplers of `diffusion/samplers.py` with fewer tensor operations a step, for networks that are called directly.

A plain step turns the prediction into (x0, eps) and mixes these into the next x: up to six passes over the latents. All of it
is linear in x, in the prediction and in the previous x0, so here the weights are multiplied out beforehand, as numbers, and a
step is one weighted sum (and one more for the x0 that is shown). For small latents on a CPU, and for launches on a GPU, passes
are what a step costs besides the network. Not here: guidance or clipping of x0, which need x0 before the step is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from minidiff.diffusion.prediction import denoiser, solution_at, timestep_at, weighted_sum
from minidiff.diffusion.samplers import Noise, State, check_eta, get_sampler, lookaheads, run, step_weights_at
from minidiff.diffusion.schedules import NoiseSchedule
from minidiff.diffusion.timesteps import check_timesteps, get_spacing

Network = Callable[[Tensor, Tensor], Tensor]    # (x (B, ...), timestep (B,) float32) -> prediction (B, ...)


class StepWeights(NamedTuple):
    """x0 = p x + q pred, and the next x = a x + b pred + c x0_prev + d noise."""

    p: float
    q: float
    a: float
    b: float
    c: float
    d: float


@lru_cache(maxsize=64, typed=True)
def spaced(spacing: str, schedule: NoiseSchedule, steps: int) -> tuple[float, ...]:
    """The n + 1 times of a spacing, by name."""
    return tuple(get_spacing(spacing)(schedule, steps).tolist())


@lru_cache(maxsize=64)
def run_weights(
    schedule: NoiseSchedule, prediction_type: str, times: tuple[float, ...], eta: float, order: int
) -> list[StepWeights]:
    """The weights of every step between n + 1 times."""
    timesteps = torch.tensor(times, dtype=torch.float64)
    ahead = lookaheads(schedule, timesteps) if order == 2 else [0.0] * (len(times) - 1)
    alpha_over_sigma = schedule.log_snr_half(timesteps).exp().tolist()
    rows = []
    for (t, s), h, ratio in zip(pairwise(times), ahead, alpha_over_sigma, strict=False):
        p, q, u, v = solution_at(schedule, prediction_type, t)
        to_x0, to_eps, to_noise = step_weights_at(schedule, t, s, eta)
        change = h * (to_x0 - to_eps * ratio) if h else 0.0     # weight of x0 - x0_prev, see `samplers.extrapolate`
        a, b = to_x0 * p + to_eps * u + change * p, to_x0 * q + to_eps * v + change * q
        rows.append(StepWeights(p, q, round(a, 14), round(b, 14), -change, to_noise))    # 1 - 1e-16 is 1: one pass less
    return rows


def run_fused(
    name: str,
    network: Network,
    x: Tensor,
    schedule: NoiseSchedule,
    prediction_type: str,
    steps: int,
    *,
    noise: Noise | None = None,
    eta: float | None = None,
    timesteps: str | Tensor | None = None,
) -> Iterator[State]:
    """`samplers.run` of `denoiser(network, schedule, prediction_type)`, with the same arguments, states and errors. Heun, whose
    step predicts twice, is run as it is."""
    sampler = get_sampler(name)
    eta = sampler.eta if eta is None else eta
    check_eta(eta)
    if sampler.method == "heun":
        plain = denoiser(network, schedule, prediction_type)
        return run(name, plain, x, schedule, steps, noise=noise, eta=eta, timesteps=timesteps)
    if isinstance(timesteps, Tensor):
        times = tuple(check_timesteps(timesteps).tolist())
    else:
        times = spaced(timesteps or sampler.spacing, schedule, steps)
    if len(times) != steps + 1:
        raise ValueError(f"The timesteps make {len(times) - 1} steps, but steps is {steps}: make them agree.")
    return _steps(network, x, schedule, prediction_type, times, eta, sampler.order, noise)


def _steps(
    network: Network, x: Tensor, schedule: NoiseSchedule, prediction_type: str, times: tuple[float, ...], eta: float,
    order: int, noise: Noise | None,
) -> Iterator[State]:
    n, x0_prev = len(times) - 1, x
    fed = [[timestep_at(schedule, t)] * len(x) for t in times[:-1]]
    rows = torch.tensor(fed, dtype=torch.float32, device=x.device).unbind()     # n of (B,)
    for i, w in enumerate(run_weights(schedule, prediction_type, times, eta, order)):
        pred = network(x, rows[i]).to(x.dtype)
        x0 = weighted_sum(w.p, x, w.q, pred)
        x = weighted_sum(w.a, x, w.b, pred)
        if w.c:
            x = torch.add(x, x0_prev, alpha=w.c)
        if w.d:
            x = torch.add(x, noise(i) if noise else torch.randn_like(x), alpha=w.d)
        x0_prev = x0
        state = State(i, n, times[i], times[i + 1], x, x0)
        yield state
        x = state.x
