"""What a network may predict (`PREDICTION_TYPES`), and the conversion of any prediction to the pair (x0, eps), which is all
that samplers and guidance ever see.

Not here: how much noise there is at which time (schedules.py), and how a network is trained (losses.py).
Taught in the lesson on what to predict.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from minidiff.diffusion.schedules import NoiseSchedule, per_example

# (x at time t, t) -> (x0, eps), each of x's shape. t is a 0-dim float64 tensor on the CPU: reading its value never waits
# for the accelerator.
Denoiser = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

# A prediction is a eps + b x0, with weights (a, b) that depend on alpha and sigma. Sources: Ho et al. 2020, eq. 14; for v,
# Salimans & Ho 2022, appendix D; for flow, Lipman et al. 2023, eq. 23.
_WEIGHTS: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "eps": lambda alpha, sigma: (torch.ones_like(alpha), torch.zeros_like(alpha)),
    "x0": lambda alpha, sigma: (torch.zeros_like(alpha), torch.ones_like(alpha)),
    "v": lambda alpha, sigma: (alpha, -sigma),
    "flow": lambda alpha, sigma: (torch.ones_like(alpha), -torch.ones_like(alpha)),
}
PREDICTION_TYPES = tuple(_WEIGHTS)


def prediction_weights(prediction_type: str, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """(a, b), each of alpha's shape, of the prediction a eps + b x0. Raises ValueError on an unknown type."""
    if prediction_type not in _WEIGHTS:
        types = ", ".join(PREDICTION_TYPES)
        raise ValueError(f"There is no prediction type called {prediction_type!r}. Choose one of: {types}.")
    return _WEIGHTS[prediction_type](alpha, sigma)


def target(schedule: NoiseSchedule, prediction_type: str, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """What a perfect network predicts: eps, x0, v = alpha eps - sigma x0, or flow = eps - x0.

    x0, eps: (B, ...); t: () or (B,). Returns (B, ...).
    """
    a, b = prediction_weights(prediction_type, schedule.alpha(t), schedule.sigma(t))
    return per_example(a, x0) * eps + per_example(b, x0) * x0


def solution(schedule: NoiseSchedule, prediction_type: str, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(p, q, u, v), each of t's shape, such that x0 = p x + q pred and eps = u x + v pred.

    They solve x = alpha x0 + sigma eps and pred = b x0 + a eps. Where the prediction only repeats x (eps where alpha is 0,
    x0 where sigma is 0), the unknown is taken as 0, its mean, so nothing is ever divided by zero.
    """
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    a, b = prediction_weights(prediction_type, alpha, sigma)
    det = alpha * a - sigma * b
    solvable = det != 0
    det = torch.where(solvable, det, 1)
    p, q = torch.where(solvable, a / det, 0), torch.where(solvable, -sigma / det, b)
    u, v = torch.where(solvable, -b / det, 0), torch.where(solvable, alpha / det, a)
    return p, q, u, v


@lru_cache(maxsize=8192)
def solution_at(schedule: NoiseSchedule, prediction_type: str, t: float) -> tuple[float, float, float, float]:
    """`solution` at one time, as numbers. Remembered, since every image visits the same few times."""
    p, q, u, v = solution(schedule, prediction_type, torch.tensor(t, dtype=torch.float64))
    return float(p), float(q), float(u), float(v)


def weighted_sum(a: float, x: Tensor, b: float, y: Tensor) -> Tensor:
    """a x + b y for tensors of one shape, in as few operations as the weights allow. The result may be x or y itself."""
    if a == 0:
        return y if b == 1 else b * y
    if a == 1:
        return x if b == 0 else torch.add(x, y, alpha=b)
    if a + b == 1:
        return torch.lerp(x, y, b)
    return a * x if b == 0 else (a * x).add_(y, alpha=b)


def to_x0_eps(
    schedule: NoiseSchedule, prediction_type: str, pred: Tensor, x: Tensor, t: Tensor
) -> tuple[Tensor, Tensor]:
    """The data and the noise that x is made of, according to a prediction.

    x: (B, ...); pred: like x, of any dtype; t: (B,), or () on the CPU. Returns (x0, eps), like x; either may be `pred`
    itself where that is what was predicted.
    """
    pred = pred.to(x.dtype)
    if t.ndim == 0:
        p, q, u, v = solution_at(schedule, prediction_type, float(t))
        return weighted_sum(p, x, q, pred), weighted_sum(u, x, v, pred)
    weights = [per_example(weight, x) for weight in solution(schedule, prediction_type, t)]
    return weights[0] * x + weights[1] * pred, weights[2] * x + weights[3] * pred


@lru_cache(maxsize=8192)
def timestep_at(schedule: NoiseSchedule, t: float) -> float:
    """The number that a network is fed at one time."""
    return float(schedule.timestep(torch.tensor(t, dtype=torch.float64)))


def denoiser(network: Callable[[Tensor, Tensor], Tensor], schedule: NoiseSchedule, prediction_type: str) -> Denoiser:
    """A network as a denoiser.

    network: (x (B, ...), timestep (B,) float32 on x's device) -> prediction (B, ...) of this type.
    """

    def denoise(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        # filled in on x's device: a copy to it could wait for all the work that the accelerator still has to do
        timestep = torch.full((len(x),), timestep_at(schedule, float(t)), dtype=torch.float32, device=x.device)  # (B,)
        return to_x0_eps(schedule, prediction_type, network(x, timestep), x, t)

    return denoise
