"""Noise schedules: how data and noise are mixed over time, x_t = alpha(t) x0 + sigma(t) eps, from data at t = 0 to noise at 1.

`SCHEDULES` is the table of them. Not here: what a network predicts (prediction.py), the times that a sampler visits
(timesteps.py) and the step between two of them (samplers.py). Taught in the lessons on DDPM and on samplers.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

TABLE_LENGTH = 1000     # T of DDPM and of Stable Diffusion: networks are fed numbers on this scale


def per_example(coefficient: Tensor, x: Tensor) -> Tensor:
    """Shapes a coefficient () or (B,) to multiply x (B, ...): () or (B, 1, ..., 1), in x's dtype."""
    coefficient = coefficient.to(x.dtype)
    return coefficient if coefficient.ndim == 0 else coefficient.reshape(-1, *[1] * (x.ndim - 1))


class NoiseSchedule(ABC):
    """The shares of data (alpha) and of noise (sigma) at time t.

    Methods take a float tensor of any shape on any device, t with values in [0, 1], and return one like it.
    """

    name: str

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """Share of data: 1 at t = 0, falling."""

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """Share of noise: 0 at t = 0, rising."""

    @abstractmethod
    def time(self, log_snr_half: Tensor) -> Tensor:
        """The inverse of `log_snr_half`: the time at which log(alpha / sigma) has this value."""

    def log_snr_half(self, t: Tensor) -> Tensor:
        """log(alpha / sigma), half the log signal-to-noise ratio: +inf at t = 0, and -inf where alpha is 0. DPM-Solver's
        lambda (Lu et al. 2022, section 2)."""
        return self.alpha(t).log() - self.sigma(t).log()

    def timestep(self, t: Tensor) -> Tensor:
        """The number that a network is fed for time t: 1000 t, in [0, 1000]."""
        return TABLE_LENGTH * t

    def mix(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """x_t = alpha x0 + sigma eps (Ho et al. 2020, eq. 4). x0, eps: (B, ...); t: () or (B,). Returns (B, ...)."""
        return per_example(self.alpha(t), x0) * x0 + per_example(self.sigma(t), x0) * eps


class Cosine(NoiseSchedule):
    """alpha = cos(pi t / 2), sigma = sin(pi t / 2): a quarter turn from data to noise, with no data left at the end
    (Nichol & Dhariwal 2021, eq. 17, without the offset; Salimans & Ho 2022)."""

    name = "cosine"

    def alpha(self, t: Tensor) -> Tensor:
        return torch.sin((1 - t) * (math.pi / 2))   # cos(pi t / 2), but exactly 0 at t = 1

    def sigma(self, t: Tensor) -> Tensor:
        return torch.sin(t * (math.pi / 2))

    def time(self, log_snr_half: Tensor) -> Tensor:
        return torch.atan(torch.exp(-log_snr_half)) * (2 / math.pi)


class Flow(NoiseSchedule):
    """alpha = 1 - t, sigma = t: straight lines from data to noise (Lipman et al. 2023; Liu et al. 2023)."""

    name = "flow"

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - t

    def sigma(self, t: Tensor) -> Tensor:
        return t

    def time(self, log_snr_half: Tensor) -> Tensor:
        return torch.sigmoid(-log_snr_half)


class TableSchedule(NoiseSchedule):
    """A table of T = 1000 betas, made continuous. Entry i is at t = (i + 1) / T, where alpha^2 is
    (1 - beta_0) ... (1 - beta_i) (Ho et al. 2020, section 2); clean data is at t = 0. Between two entries sigma / alpha is
    linear in t. Raises ValueError unless there are 1000 betas between 0 and 1."""

    def __init__(self, name: str, betas: Tensor) -> None:
        if betas.shape != (TABLE_LENGTH,) or not bool(((betas > 0) & (betas < 1)).all()):
            raise ValueError(
                f"A table must be {TABLE_LENGTH} betas between 0 and 1, but these are {tuple(betas.shape)}, "
                f"from {float(betas.min()):g} to {float(betas.max()):g}."
            )
        self.name = name
        alpha_bar = (1 - betas.double()).cumprod(0)                                         # (T,)
        self._ratios = torch.cat([torch.zeros(1), ((1 - alpha_bar) / alpha_bar).sqrt()])    # (T + 1,) rising
        self._copies: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def _ratios_like(self, t: Tensor) -> Tensor:
        """The table on t's device, copied there once: training needs it at every step."""
        key = (t.device, t.dtype)
        if key not in self._copies:
            self._copies[key] = self._ratios.to(t)
        return self._copies[key]

    def _ratio(self, t: Tensor) -> Tensor:
        """sigma / alpha."""
        ratios, index = self._ratios_like(t), TABLE_LENGTH * t
        low = index.floor().clamp(0, TABLE_LENGTH - 1).long()
        return torch.lerp(ratios[low], ratios[low + 1], index - low)

    def alpha(self, t: Tensor) -> Tensor:
        return (1 + self._ratio(t) ** 2).rsqrt()

    def sigma(self, t: Tensor) -> Tensor:
        ratio = self._ratio(t)
        return ratio * (1 + ratio**2).rsqrt()

    def log_snr_half(self, t: Tensor) -> Tensor:
        return -self._ratio(t).log()

    def time(self, log_snr_half: Tensor) -> Tensor:
        ratios, ratio = self._ratios_like(log_snr_half), torch.exp(-log_snr_half)
        high = torch.searchsorted(ratios, ratio).clamp(1, TABLE_LENGTH)
        share = (ratio - ratios[high - 1]) / (ratios[high] - ratios[high - 1])
        return ((high - 1 + share) / TABLE_LENGTH).clamp(0, 1)

    def timestep(self, t: Tensor) -> Tensor:
        """The index in the table, 1000 t - 1, in [0, 999]. Cleaner than entry 0 there is nothing that a network has seen."""
        return (TABLE_LENGTH * t - 1).clamp(min=0)


def linear_betas(start: float = 1e-4, end: float = 2e-2) -> Tensor:
    """(1000,) betas, evenly spaced (Ho et al. 2020, section 4)."""
    return torch.linspace(start, end, TABLE_LENGTH, dtype=torch.float64)


def scaled_linear_betas(start: float = 0.00085, end: float = 0.012) -> Tensor:
    """(1000,) betas whose square roots are evenly spaced (Stable Diffusion, Rombach et al. 2022)."""
    return torch.linspace(start**0.5, end**0.5, TABLE_LENGTH, dtype=torch.float64) ** 2


def squared_cosine_betas() -> Tensor:
    """(1000,) betas whose alpha^2 is a squared cosine, begun a little late and each beta capped at 0.999 (Nichol & Dhariwal
    2021, eq. 17): what published networks saw of the `Cosine` schedule."""
    t = torch.linspace(0, 1, TABLE_LENGTH + 1, dtype=torch.float64)
    alpha_bar = torch.cos((t + 0.008) / 1.008 * (math.pi / 2)) ** 2
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=0.999)


SCHEDULES: dict[str, NoiseSchedule] = {
    "cosine": Cosine(),
    "linear": TableSchedule("linear", linear_betas()),
    "scaled_linear": TableSchedule("scaled_linear", scaled_linear_betas()),
    "squaredcos_cap_v2": TableSchedule("squaredcos_cap_v2", squared_cosine_betas()),
    "flow": Flow(),
}


def get_schedule(name: str) -> NoiseSchedule:
    """The schedule of that name. Raises ValueError that lists the names."""
    if name not in SCHEDULES:
        raise ValueError(f"There is no noise schedule called {name!r}. Choose one of: {', '.join(SCHEDULES)}.")
    return SCHEDULES[name]
