"""Guidance: denoisers made of denoisers. They stand between network and sampler, and neither knows of them.

Here are classifier-free guidance (`cfg`) with its two refinements, an interval and a rescale, and the clipping of x0. Not
here: the words that condition the network, which the caller has already put into the denoiser.
Taught in the lesson on guidance.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from minidiff.diffusion.prediction import Denoiser, to_x0_eps
from minidiff.diffusion.schedules import NoiseSchedule


def combine(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """unconditional + scale (conditional - unconditional), on every channel. Scale 0 ignores the condition, 1 follows it,
    more exaggerates it (Ho & Salimans 2022, eq. 6, whose w is scale - 1)."""
    return torch.lerp(unconditional, conditional, scale)


def match_std(guided: Tensor, conditional: Tensor, amount: float) -> Tensor:
    """Scale each example of `guided` (B, ...) towards the standard deviation of its `conditional`: not at all for amount 0,
    fully for 1. Strong guidance overexposes, and this undoes it (Lin et al. 2024, eq. 15, 16)."""
    dims = tuple(range(1, guided.ndim))
    ratio = conditional.std(dims, keepdim=True) / guided.std(dims, keepdim=True)    # (B, 1, ..., 1)
    return guided * (amount * ratio + 1 - amount)


def cfg(
    model_pair: Denoiser,
    scale: float,
    *,
    interval: tuple[float, float] = (0.0, 1.0),
    rescale: float = 0.0,
    schedule: NoiseSchedule | None = None,
) -> Denoiser:
    """Classifier-free guidance, as a denoiser (Ho & Salimans 2022, algorithm 2).

    x0 and eps are combined with the same weights, which add up to 1, so they still explain x. Every type of prediction is a
    weighted sum of the two, so it doesn't matter which type the network predicts.

    Args:
        model_pair: a denoiser that holds B conditions and, after them, B empty ones, and answers row i of x under
            condition i. Given x (2B, ...) it answers both halves in one evaluation; given x (B, ...), the first half.
        scale: 1 is no guidance, and costs an evaluation of B rows instead of 2B.
        interval: guide only at times from low to high; outside, as with scale 1 (Kynkäänniemi et al. 2024).
        rescale: how far x0 is taken through `match_std`, 0 to 1; above 0, `schedule` is needed to find the eps that goes
            with it.
    """
    check_guidance(scale, interval, rescale, schedule)

    def guided(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        if scale == 1 or not interval[0] <= float(t) <= interval[1]:
            return model_pair(x, t)
        x0_both, eps_both = model_pair(torch.cat([x, x]), t)        # (2B, ...)
        x0_cond, x0_uncond = x0_both.chunk(2)                       # (B, ...)
        eps_cond, eps_uncond = eps_both.chunk(2)                    # (B, ...)
        x0 = combine(x0_cond, x0_uncond, scale)
        if schedule is not None and rescale > 0:
            return to_x0_eps(schedule, "x0", match_std(x0, x0_cond, rescale), x, t)
        return x0, combine(eps_cond, eps_uncond, scale)

    return guided


def check_guidance(
    scale: float, interval: tuple[float, float], rescale: float, schedule: NoiseSchedule | None
) -> None:
    """Raises ValueError for a scale, an interval or a rescale out of range, and for a rescale without a schedule."""
    if not (math.isfinite(scale) and scale >= 0):
        raise ValueError(f"The guidance scale is {scale}, but it must be finite and not below 0; 1 is none.")
    if not 0 <= interval[0] <= interval[1] <= 1:
        raise ValueError(f"The guidance interval is {interval}, but it must be two rising times in [0, 1].")
    if not 0 <= rescale <= 1:
        raise ValueError(f"The guidance rescale is {rescale}, but it must be from 0 to 1; 0 is none.")
    if rescale > 0 and schedule is None:
        raise ValueError("Guidance with a rescale needs the noise schedule: pass `schedule`.")


def clip_x0(denoiser: Denoiser, schedule: NoiseSchedule, limit: float = 1.0) -> Denoiser:
    """Keep x0 within [-limit, limit], and give the eps that goes with it. For pixels, whose range is known; latents have
    none. Raises ValueError unless limit is above 0."""
    if not limit > 0:
        raise ValueError(f"The limit of x0 is {limit}, but it must be above 0.")

    def clipped(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        x0, _ = denoiser(x, t)
        return to_x0_eps(schedule, "x0", x0.clamp(-limit, limit), x, t)

    return clipped
