"""What a network may be asked to predict (`PREDICTION_TYPES`), and the conversion of any prediction to the pair (x0, eps),
which is all that samplers and guidance ever see.

Not here: how much noise there is at which time (schedules.py), or how a network is trained (losses.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from minidiff.diffusion.schedules import NoiseSchedule, per_example

# (x at time t, t) -> (x0, eps), each of x's shape. t is a 0-dim float64 tensor on the CPU: reading its value
# never waits for the accelerator.
Denoiser = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


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


# What a network may be asked for, as the weights (a, b) of a eps + b x0. Sources: Ho et al. 2020, eq. 14; for
# v, Salimans & Ho 2022, appendix D; for flow, Lipman et al. 2023, eq. 23.
_WEIGHTS: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "eps": lambda alpha, sigma: (torch.ones_like(alpha), torch.zeros_like(alpha)),
    "x0": lambda alpha, sigma: (torch.zeros_like(alpha), torch.ones_like(alpha)),
    "v": lambda alpha, sigma: (alpha, -sigma),
    "flow": lambda alpha, sigma: (torch.ones_like(alpha), -torch.ones_like(alpha)),
}
PREDICTION_TYPES = tuple(_WEIGHTS)


def prediction_weights(prediction_type: str, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """(a, b), each of alpha's shape: a prediction of this prediction_type stands for a eps + b x0.
    Raises ValueError on an unknown prediction_type, naming the kinds there are."""
    if prediction_type not in _WEIGHTS:
        raise ValueError(f"There is no prediction called {prediction_type!r}. Choose one of: {', '.join(PREDICTION_TYPES)}.")
    return _WEIGHTS[prediction_type](alpha, sigma)


def target(schedule: NoiseSchedule, prediction_type: str, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """What a perfect network of this prediction_type would say: eps, x0, v = alpha eps - sigma x0, or flow = eps - x0.

    x0, eps: (B, ...); t: () or (B,). Returns (B, ...).
    """
    a, b = prediction_weights(prediction_type, schedule.alpha(t), schedule.sigma(t))
    return per_example(a, x0) * eps + per_example(b, x0) * x0


def _solution(prediction_type: str, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(p, q, u, v) of x0 = p x + q pred and eps = u x + v pred, each of alpha's shape."""
    a, b = prediction_weights(prediction_type, alpha, sigma)
    det = alpha * a - sigma * b
    solvable = det != 0
    det = torch.where(solvable, det, 1)
    p, q = torch.where(solvable, a / det, 0), torch.where(solvable, -sigma / det, b)
    u, v = torch.where(solvable, -b / det, 0), torch.where(solvable, alpha / det, a)
    return p, q, u, v


@lru_cache(maxsize=8192)
def _solution_at(schedule: NoiseSchedule, prediction_type: str, t: float) -> tuple[float, float, float, float]:
    """`_solution` at one time, in numbers, and remembered: every picture asks for the same few times."""
    time = torch.tensor(t, dtype=torch.float64)
    p, q, u, v = _solution(prediction_type, schedule.alpha(time), schedule.sigma(time))
    return float(p), float(q), float(u), float(v)


def to_x0_eps(schedule: NoiseSchedule, prediction_type: str, pred: Tensor, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The data and the noise that a prediction says x is made of.

    Two equations, x = alpha x0 + sigma eps and pred = b x0 + a eps, solved for x0 and eps. That works unless
    the prediction only repeats what x says already: eps where alpha is 0, or x0 where sigma is 0. There the
    other unknown is taken as 0, its mean, so nothing is ever divided by zero.

    x: (B, ...); pred: like x, of any dtype; t: (B,), or () on the CPU. Returns (x0, eps), like x; either may be
    `pred` itself, where that is what was predicted.
    """
    pred = pred.to(x.dtype)
    if t.ndim == 0:
        p, q, u, v = _solution_at(schedule, prediction_type, float(t))
        return weighted_sum(p, x, q, pred), weighted_sum(u, x, v, pred)
    weights = [per_example(weight, x) for weight in _solution(prediction_type, schedule.alpha(t), schedule.sigma(t))]
    return weights[0] * x + weights[1] * pred, weights[2] * x + weights[3] * pred


@lru_cache(maxsize=8192)
def _timestep_at(schedule: NoiseSchedule, t: float) -> float:
    return float(schedule.timestep(torch.tensor(t, dtype=torch.float64)))


def denoiser(network: Callable[[Tensor, Tensor], Tensor], schedule: NoiseSchedule, prediction_type: str) -> Denoiser:
    """A network as a denoiser.

    Args:
        network: (x (B, ...), timestep (B,) float32 on x's device) -> prediction (B, ...) of this prediction_type.
    """

    def denoise(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        # filled in on x's device, not copied there: a copy could wait for all that the accelerator was given
        timestep = torch.full((len(x),), _timestep_at(schedule, float(t)), dtype=torch.float32, device=x.device)    # (B,)
        return to_x0_eps(schedule, prediction_type, network(x, timestep), x, t)

    return denoise
