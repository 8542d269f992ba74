"""Fewer steps: what a student has to predict so that one step of its takes it where two of its teacher's lead.

`two_step_target` is all there is to progressive distillation and, with the student's own average as the teacher, to shortcut
models; `consistency_scalings` and `pseudo_huber` belong to latent consistency models. `as_flow` shows that no model need be
trained again to be sampled as a rectified flow, and `reflow_loss` is what straightens one. Not here: who the teacher is and
how long the student learns (train/distill.py, finetune/lcm.py). Taught in the lesson on few steps.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from minidiff.diffusion.prediction import Denoiser
from minidiff.diffusion.samplers import step
from minidiff.diffusion.schedules import NoiseSchedule, per_example

FLOW_ENDS = 1e-6    # a flow's time 1 is pure noise: its log(alpha / sigma) would be infinite


def x0_of_step(schedule: NoiseSchedule, x: Tensor, t: Tensor, x_s: Tensor, s: Tensor) -> Tensor:
    """The x0 with which one DDIM step leads from x (B, ...) at time t to x_s at s < t:
    (x_s - r x) / (alpha_s - r alpha_t), where r = sigma_s / sigma_t (Salimans & Ho 2022, appendix G). t, s: () or (B,)."""
    r = schedule.sigma(s) / schedule.sigma(t)
    return (x_s - per_example(r, x) * x) / per_example(schedule.alpha(s) - r * schedule.alpha(t), x)


@torch.no_grad()
def two_step_target(schedule: NoiseSchedule, teacher: Denoiser, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """The x0 that a student should predict for x (B, ...) at time t, so that its one DDIM step to s ends where two steps of
    the teacher do, over the time halfway (Salimans & Ho 2022, algorithm 2; Frans et al. 2024, eq. 5). No gradient goes
    through it. teacher: a denoiser that takes times like t and s, () or (B,)."""
    halfway = (t + s) / 2
    x_halfway = step(schedule, *teacher(x, t), t, halfway)
    return x0_of_step(schedule, x, t, step(schedule, *teacher(x_halfway, halfway), halfway, s), s)


def consistency_scalings(t: Tensor, sigma_data: float = 0.5, timestep_scaling: float = 10.0) -> tuple[Tensor, Tensor]:
    """(c_skip, c_out) at times t in [0, 1], like t: a consistency function is c_skip x + c_out x0, so that at time 0 it can't
    but return x (Song et al. 2023, eq. 5, with the constants of Luo et al. 2023, appendix C: times are 1000 t, times 10)."""
    scaled = 1000 * timestep_scaling * t
    squares = scaled**2 + sigma_data**2
    return sigma_data**2 / squares, scaled / squares.sqrt()


def pseudo_huber(prediction: Tensor, target: Tensor, c: float = 1e-3) -> Tensor:
    """sqrt(error^2 + c^2) - c, averaged, in float32: near the absolute error, with a slope at 0 (Luo et al. 2023, appendix
    C)."""
    return ((prediction.float() - target.float()).square() + c**2).sqrt().sub(c).mean()


def as_flow(model: Denoiser, schedule: NoiseSchedule) -> Callable[[Tensor, Tensor], Tensor]:
    """A denoiser of any schedule as the velocity of a rectified flow, (x, t) -> eps - x0 on straight lines x = (1 - t) x0 +
    t eps. Exact, since a line is x of the schedule divided by alpha + sigma, at the time where sigma / (alpha + sigma) = t
    (Kingma & Gao 2023, section 3; Karras et al. 2022, eq. 4)."""

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        clean = t.double().clamp(FLOW_ENDS, 1 - FLOW_ENDS)
        time = torch.where(t >= 1, 1.0, torch.where(t <= 0, 0.0, schedule.time((1 - clean).log() - clean.log())))
        x0, eps = model(per_example(schedule.alpha(time) + schedule.sigma(time), x) * x, time)
        return eps - x0

    return velocity


def reflow_loss(velocity: Callable[[Tensor, Tensor], Tensor], x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """Mean squared error of a flow's velocity on the straight lines between pairs, at times t (B,): with data and unrelated
    noise it trains a flow, with noise and what a flow has made of it, it straightens that flow (Liu et al. 2023, eq. 1 and
    section 2.1). x0, eps: (B, ...)."""
    share = per_example(t, x0)
    return (velocity((1 - share) * x0 + share * eps, t) - (eps - x0)).float().square().mean()
