"""Paths between data and noise: x_t = alpha(t) x0 + sigma(t) eps, with t = 0 the data and t = 1 the noise.

Here are the four paths (`PATHS`), the four things a network may be asked to predict (`KINDS`), and the
conversion of any prediction to the pair (x0, eps), which is all that samplers and guidance ever see. Not
here: which times are visited (grids.py), how one moves between them (samplers.py), how a network is trained
(losses.py).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

TABLE_LENGTH = 1000     # T of DDPM and of Stable Diffusion: networks are fed numbers on this scale

# (x at time t, t) -> (x0, eps), each of x's shape. Samplers pass t as a 0-dim float64 tensor on the CPU:
# reading its value never waits for the accelerator.
Denoiser = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def per_example(coefficient: Tensor, x: Tensor) -> Tensor:
    """A coefficient () or (B,) made ready to multiply x (B, ...): shaped (B, 1, ..., 1), and of x's dtype."""
    coefficient = coefficient.to(x.dtype)
    return coefficient if coefficient.ndim == 0 else coefficient.reshape(-1, *[1] * (x.ndim - 1))


class Path(ABC):
    """How much data (alpha) and how much noise (sigma) there is at time t.

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
        """log(alpha / sigma), half the log signal-to-noise ratio: +inf at t = 0, and -inf where alpha is 0.
        DPM-Solver calls it lambda (Lu et al. 2022, section 2)."""
        return self.alpha(t).log() - self.sigma(t).log()

    def timestep(self, t: Tensor) -> Tensor:
        """The number a network is fed for time t: 1000 t, in [0, 1000]."""
        return TABLE_LENGTH * t

    def mix(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """x_t = alpha x0 + sigma eps. x0, eps: (B, ...); t: () or (B,). (Ho et al. 2020, eq. 4.)"""
        return per_example(self.alpha(t), x0) * x0 + per_example(self.sigma(t), x0) * eps


class Cosine(Path):
    """alpha = cos(pi t / 2), sigma = sin(pi t / 2): a quarter turn from data to noise at a steady rate, after
    which no data is left (Nichol & Dhariwal 2021, eq. 17, without the offset; Salimans & Ho 2022)."""

    name = "cosine"

    def alpha(self, t: Tensor) -> Tensor:
        return torch.sin((1 - t) * (math.pi / 2))   # the same as cos(pi t / 2), but exactly 0 at t = 1

    def sigma(self, t: Tensor) -> Tensor:
        return torch.sin(t * (math.pi / 2))

    def time(self, log_snr_half: Tensor) -> Tensor:
        return torch.atan(torch.exp(-log_snr_half)) * (2 / math.pi)


class Flow(Path):
    """alpha = 1 - t, sigma = t: straight lines from data to noise (Lipman et al. 2023; Liu et al. 2023)."""

    name = "flow"

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - t

    def sigma(self, t: Tensor) -> Tensor:
        return t

    def time(self, log_snr_half: Tensor) -> Tensor:
        return torch.sigmoid(-log_snr_half)


class Table(Path):
    """A table of T = 1000 betas, made continuous. Its entry i is at t = (i + 1) / T, where alpha^2 is
    (1 - beta_0) ... (1 - beta_i) (Ho et al. 2020, section 2). Between two entries log(alpha / sigma) is
    linear in t; before the first one sigma / alpha is, so that t = 0 is clean data."""

    def __init__(self, name: str, betas: Tensor) -> None:
        self.name = name
        alpha_bar = (1 - betas.double()).cumprod(0)                                 # (T,)
        self._entries = 0.5 * (alpha_bar.log() - (1 - alpha_bar).log())             # (T,) falling
        self._copies: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def _entries_like(self, t: Tensor) -> Tensor:
        """The entries on t's device, copied there once: training asks for them at every step."""
        key = (t.device, t.dtype)
        if key not in self._copies:
            self._copies[key] = self._entries.to(t)
        return self._copies[key]

    def log_snr_half(self, t: Tensor) -> Tensor:
        entries = self._entries_like(t)
        index = self.timestep(t)                                                    # entry i is at index i
        low = index.floor().clamp(0, len(entries) - 2).long()
        between = entries[low] + (index - low) * (entries[low + 1] - entries[low])
        return torch.where(index < 0, entries[0] - (t * len(entries)).log(), between)

    def time(self, log_snr_half: Tensor) -> Tensor:
        entries = self._entries_like(log_snr_half)
        high = torch.searchsorted(-entries, -log_snr_half).clamp(1, len(entries) - 1)   # -entries rises
        share = (log_snr_half - entries[high - 1]) / (entries[high] - entries[high - 1])
        before_first = torch.expm1(entries[0] - log_snr_half)
        index = torch.where(log_snr_half > entries[0], before_first, high - 1 + share)
        return ((index + 1) / len(entries)).clamp(0, 1)

    def alpha(self, t: Tensor) -> Tensor:
        return torch.sigmoid(2 * self.log_snr_half(t)).sqrt()

    def sigma(self, t: Tensor) -> Tensor:
        return torch.sigmoid(-2 * self.log_snr_half(t)).sqrt()

    def timestep(self, t: Tensor) -> Tensor:
        """The index in the table, 1000 t - 1: the last entry, t = 1, is 999."""
        return TABLE_LENGTH * t - 1


def _linear_betas() -> Tensor:
    """From 0.0001 to 0.02 (Ho et al. 2020, section 4)."""
    return torch.linspace(1e-4, 2e-2, TABLE_LENGTH, dtype=torch.float64)


def _scaled_linear_betas() -> Tensor:
    """Linear in the square root, from 0.00085 to 0.012 (Stable Diffusion, Rombach et al. 2022)."""
    return torch.linspace(0.00085**0.5, 0.012**0.5, TABLE_LENGTH, dtype=torch.float64) ** 2


PATHS: dict[str, Path] = {
    "cosine": Cosine(),
    "linear": Table("linear", _linear_betas()),
    "scaled_linear": Table("scaled_linear", _scaled_linear_betas()),
    "flow": Flow(),
}


def get_path(name: str) -> Path:
    """The path of that name. Raises ValueError, naming the paths there are."""
    if name not in PATHS:
        raise ValueError(f"There is no path called {name!r}. Choose one of: {', '.join(PATHS)}.")
    return PATHS[name]


# What a network may be asked for, as the weights (a, b) of a eps + b x0. Sources: Ho et al. 2020, eq. 14; for
# v, Salimans & Ho 2022, appendix D; for flow, Lipman et al. 2023, eq. 23.
_WEIGHTS: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "eps": lambda alpha, sigma: (torch.ones_like(alpha), torch.zeros_like(alpha)),
    "x0": lambda alpha, sigma: (torch.zeros_like(alpha), torch.ones_like(alpha)),
    "v": lambda alpha, sigma: (alpha, -sigma),
    "flow": lambda alpha, sigma: (torch.ones_like(alpha), -torch.ones_like(alpha)),
}
KINDS = tuple(_WEIGHTS)


def kind_weights(kind: str, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """(a, b), each of alpha's shape: a prediction of this kind stands for a eps + b x0.
    Raises ValueError on an unknown kind, naming the kinds there are."""
    if kind not in _WEIGHTS:
        raise ValueError(f"There is no prediction called {kind!r}. Choose one of: {', '.join(KINDS)}.")
    return _WEIGHTS[kind](alpha, sigma)


def target(path: Path, kind: str, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """What a perfect network of this kind would say: eps, x0, v = alpha eps - sigma x0, or flow = eps - x0.

    x0, eps: (B, ...); t: () or (B,). Returns (B, ...).
    """
    a, b = kind_weights(kind, path.alpha(t), path.sigma(t))
    return per_example(a, x0) * eps + per_example(b, x0) * x0


def to_x0_eps(path: Path, kind: str, pred: Tensor, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The data and the noise that a prediction says x is made of.

    Two equations, x = alpha x0 + sigma eps and pred = b x0 + a eps, solved for x0 and eps. That works unless
    the prediction only repeats what x says already: eps where alpha is 0, or x0 where sigma is 0. There the
    other unknown is taken as 0, its mean, so nothing is ever divided by zero.

    x: (B, ...); pred: like x, of any dtype; t: () or (B,). Returns (x0, eps), like x.
    """
    alpha, sigma = path.alpha(t), path.sigma(t)
    a, b = kind_weights(kind, alpha, sigma)
    det = alpha * a - sigma * b
    solvable = det != 0
    det = torch.where(solvable, det, 1)
    x0_from_x, x0_from_pred = torch.where(solvable, a / det, 0), torch.where(solvable, -sigma / det, b)
    eps_from_x, eps_from_pred = torch.where(solvable, -b / det, 0), torch.where(solvable, alpha / det, a)
    pred = pred.to(x.dtype)
    x0 = per_example(x0_from_x, x) * x + per_example(x0_from_pred, x) * pred
    eps = per_example(eps_from_x, x) * x + per_example(eps_from_pred, x) * pred
    return x0, eps


def denoiser(network: Callable[[Tensor, Tensor], Tensor], path: Path, kind: str) -> Denoiser:
    """A network as a denoiser.

    Args:
        network: (x (B, ...), timestep (B,) float32 on x's device) -> prediction (B, ...) of this kind.
    """

    def denoise(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        # non_blocking: a blocking copy would wait until the accelerator has finished all it was given
        timestep = path.timestep(t).to(x.device, torch.float32, non_blocking=True).expand(len(x))   # (B,)
        return to_x0_eps(path, kind, network(x, timestep), x, t)

    return denoise
