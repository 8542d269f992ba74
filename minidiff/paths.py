"""Paths between data and noise: x_t = alpha(t) x0 + sigma(t) eps, with t = 0 the data and t = 1 the noise.

Here are the paths (`PATHS`), the four things a network may be asked to predict (`KINDS`), and the conversion
of any prediction to the pair (x0, eps), which is all that samplers and guidance ever see. Not here: which
times are visited (grids.py), how one moves between them (samplers.py), how a network is trained (losses.py).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

TABLE_LENGTH = 1000     # T of DDPM and of Stable Diffusion: networks are fed numbers on this scale

# (x at time t, t) -> (x0, eps), each of x's shape. t is a 0-dim float64 tensor on the CPU: reading its value
# never waits for the accelerator.
Denoiser = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def per_example(coefficient: Tensor, x: Tensor) -> Tensor:
    """A coefficient () or (B,) made ready to multiply x (B, ...): shaped (B, 1, ..., 1), and of x's dtype."""
    coefficient = coefficient.to(x.dtype)
    return coefficient if coefficient.ndim == 0 else coefficient.reshape(-1, *[1] * (x.ndim - 1))


def weighted_sum(a: float, x: Tensor, b: float, y: Tensor) -> Tensor:
    """a x + b y for two tensors of one shape. What is weighted by 0 or by 1 costs nothing: the result may be x
    or y itself, not a copy."""
    if a == 0:
        return y if b == 1 else b * y
    if a == 1:
        return x if b == 0 else torch.add(x, y, alpha=b)
    if a + b == 1:
        return torch.lerp(x, y, b)      # one operation, not two: every step of the flow path is such a mean
    return a * x if b == 0 else (a * x).add_(y, alpha=b)


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
    (1 - beta_0) ... (1 - beta_i) (Ho et al. 2020, section 2), and clean data is at t = 0. Between two of these
    times sigma / alpha is linear in t. Raises ValueError unless there are 1000 betas between 0 and 1."""

    def __init__(self, name: str, betas: Tensor) -> None:
        if betas.shape != (TABLE_LENGTH,) or not bool(((betas > 0) & (betas < 1)).all()):
            raise ValueError(
                f"A table must be {TABLE_LENGTH} betas between 0 and 1, but these are {tuple(betas.shape)}, "
                f"from {float(betas.min()):g} to {float(betas.max()):g}."
            )
        self.name = name
        alpha_bar = (1 - betas.double()).cumprod(0)                                 # (T,)
        self._ratios = torch.cat([torch.zeros(1), ((1 - alpha_bar) / alpha_bar).sqrt()])    # (T + 1,) rising
        self._copies: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def _ratios_like(self, t: Tensor) -> Tensor:
        """The table on t's device, copied there once: training asks for it at every step."""
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
        """The index in the table, 1000 t - 1: the last entry, t = 1, is 999."""
        return TABLE_LENGTH * t - 1


def linear_betas(start: float = 1e-4, end: float = 2e-2) -> Tensor:
    """(1000,) betas, evenly spaced (Ho et al. 2020, section 4)."""
    return torch.linspace(start, end, TABLE_LENGTH, dtype=torch.float64)


def scaled_linear_betas(start: float = 0.00085, end: float = 0.012) -> Tensor:
    """(1000,) betas whose square roots are evenly spaced (Stable Diffusion, Rombach et al. 2022)."""
    return torch.linspace(start**0.5, end**0.5, TABLE_LENGTH, dtype=torch.float64) ** 2


def squared_cosine_betas() -> Tensor:
    """(1000,) betas whose alpha^2 is a squared cosine, begun a little late and each beta capped at 0.999 (Nichol
    & Dhariwal 2021, eq. 17). The `cosine` path is what it comes from; this is what published networks saw."""
    t = torch.linspace(0, 1, TABLE_LENGTH + 1, dtype=torch.float64)
    alpha_bar = torch.cos((t + 0.008) / 1.008 * (math.pi / 2)) ** 2
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=0.999)


PATHS: dict[str, Path] = {
    "cosine": Cosine(),
    "linear": Table("linear", linear_betas()),
    "scaled_linear": Table("scaled_linear", scaled_linear_betas()),
    "squaredcos_cap_v2": Table("squaredcos_cap_v2", squared_cosine_betas()),
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


def _solution(kind: str, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(p, q, u, v) of x0 = p x + q pred and eps = u x + v pred, each of alpha's shape."""
    a, b = kind_weights(kind, alpha, sigma)
    det = alpha * a - sigma * b
    solvable = det != 0
    det = torch.where(solvable, det, 1)
    p, q = torch.where(solvable, a / det, 0), torch.where(solvable, -sigma / det, b)
    u, v = torch.where(solvable, -b / det, 0), torch.where(solvable, alpha / det, a)
    return p, q, u, v


@lru_cache(maxsize=8192)
def _solution_at(path: Path, kind: str, t: float) -> tuple[float, float, float, float]:
    """`_solution` at one time, in numbers, and remembered: every picture asks for the same few times."""
    time = torch.tensor(t, dtype=torch.float64)
    p, q, u, v = _solution(kind, path.alpha(time), path.sigma(time))
    return float(p), float(q), float(u), float(v)


def to_x0_eps(path: Path, kind: str, pred: Tensor, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The data and the noise that a prediction says x is made of.

    Two equations, x = alpha x0 + sigma eps and pred = b x0 + a eps, solved for x0 and eps. That works unless
    the prediction only repeats what x says already: eps where alpha is 0, or x0 where sigma is 0. There the
    other unknown is taken as 0, its mean, so nothing is ever divided by zero.

    x: (B, ...); pred: like x, of any dtype; t: (B,), or () on the CPU. Returns (x0, eps), like x; either may be
    `pred` itself, where that is what was predicted.
    """
    pred = pred.to(x.dtype)
    if t.ndim == 0:
        p, q, u, v = _solution_at(path, kind, float(t))
        return weighted_sum(p, x, q, pred), weighted_sum(u, x, v, pred)
    weights = [per_example(weight, x) for weight in _solution(kind, path.alpha(t), path.sigma(t))]
    return weights[0] * x + weights[1] * pred, weights[2] * x + weights[3] * pred


@lru_cache(maxsize=8192)
def _timestep_at(path: Path, t: float) -> float:
    return float(path.timestep(torch.tensor(t, dtype=torch.float64)))


def denoiser(network: Callable[[Tensor, Tensor], Tensor], path: Path, kind: str) -> Denoiser:
    """A network as a denoiser.

    Args:
        network: (x (B, ...), timestep (B,) float32 on x's device) -> prediction (B, ...) of this kind.
    """

    def denoise(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        # filled in on x's device, not copied there: a copy could wait for all that the accelerator was given
        timestep = torch.full((len(x),), _timestep_at(path, float(t)), dtype=torch.float32, device=x.device)    # (B,)
        return to_x0_eps(path, kind, network(x, timestep), x, t)

    return denoise
