"""Denoisers that need no network: for data made of Gaussians the best possible answer is a formula.

Tests, benchmarks and lessons use them to show what samplers do, and how far they are off, apart from what a network does not
know. Not here: anything that is trained.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from minidiff.diffusion.prediction import Denoiser
from minidiff.diffusion.schedules import NoiseSchedule


def mixture(schedule: NoiseSchedule, means: Sequence[float], std: float) -> Denoiser:
    """The exact denoiser of data whose every pixel is, independently, normal around one of the means, all of them
    equally likely: x0 is E[x0 | x_t], and eps goes with it (Karras et al. 2022, appendix B.3, has it for std 0).

    Args:
        means: one for a Gaussian, more for a mixture.
        std: standard deviation around a mean, above 0.
    """
    if not std > 0:
        raise ValueError(f"The standard deviation is {std}, but it must be above 0.")
    centres = torch.tensor(list(means), dtype=torch.float64)                        # (K,)

    def denoise(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
        variance = (alpha * std) ** 2 + sigma**2                    # of x around alpha times a mean
        means = centres.to(x).view(-1, *[1] * x.ndim)                               # (K, 1, ..., 1)
        share = torch.softmax(-((x - alpha * means) ** 2) / (2 * variance), 0)      # (K, B, ...)
        mean = (share * means).sum(0)                                               # (B, ...)
        away = (x - alpha * mean) / variance
        return mean + alpha * std**2 * away, sigma * away

    return denoise
