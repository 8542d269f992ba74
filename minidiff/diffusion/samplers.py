"""Samplers: from noise to data along a list of times. All but one are the same step with different settings.

`step` is the formula, `sample` repeats it, and `SAMPLERS` is the table of settings with well-known names:

    eta = 0             DDIM, Euler on the probability-flow ODE, flow-matching Euler, DPM-Solver++ of order 1
    eta = 1             DDPM, Euler ancestral, SDE-DPM-Solver++ of order 1
    order = 2           DPM-Solver++ 2M, and with eta = 1 its SDE
    eta = infinity      all noise drawn anew, as consistency models and LCM do

Only Heun needs a loop of its own. Not here: the network and guidance, which are behind the denoiser (prediction.py,
guidance.py), and the spacing of the times (timesteps.py). Taught in the lessons on DDPM and on samplers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from minidiff.diffusion.prediction import Denoiser, weighted_sum
from minidiff.diffusion.schedules import NoiseSchedule, per_example
from minidiff.diffusion.timesteps import check_timesteps, get_spacing

Noise = Callable[[int], Tensor]     # index of the step -> standard normal noise like x


@dataclass(slots=True)
class State:
    """Where sampling stands after a step."""

    index: int      # of the step just made, from 0
    n: int          # number of steps in all
    t: float        # time at which the step began
    s: float        # time at which it ended, s < t
    x: Tensor       # (B, ...) at time s; whoever changes it changes what sampling goes on from, as inpainting does
    x0: Tensor      # (B, ...) what the denoiser predicted at time t


def step_weights(schedule: NoiseSchedule, t: Tensor, s: Tensor, eta: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """How much of x0, of eps and of fresh noise makes x at time s, coming from time t > s; each of t's shape.

    x at time s needs alpha_s of data and sigma_s of noise. A share c^2 of the noise's variance is fresh and the rest is the
    old eps, so the variance is right whatever eta is (Song et al. 2021, eq. 12 and 16). With eta = 1 this is the reverse of
    the noising process (Ho et al. 2020, eq. 7).
    """
    check_eta(eta)
    alpha_t, sigma_t, alpha_s, sigma_s = schedule.alpha(t), schedule.sigma(t), schedule.alpha(s), schedule.sigma(s)
    r = sigma_s * alpha_t / (alpha_s * sigma_t)         # noise to signal at s, over that at t: below 1
    c = (eta * (1 - r**2).clamp(min=0).sqrt()).clamp(max=1)
    return alpha_s, sigma_s * (1 - c**2).sqrt(), sigma_s * c


@lru_cache(maxsize=8192)
def step_weights_at(schedule: NoiseSchedule, t: float, s: float, eta: float) -> tuple[float, float, float]:
    """`step_weights` between two times, as numbers. Remembered, since every image visits the same few times."""
    times = torch.tensor([t, s], dtype=torch.float64)
    to_x0, to_eps, to_noise = step_weights(schedule, times[0], times[1], eta)
    return float(to_x0), float(to_eps), float(to_noise)


def step(
    schedule: NoiseSchedule, x0: Tensor, eps: Tensor, t: Tensor, s: Tensor, eta: float = 0.0, noise: Tensor | None = None
) -> Tensor:
    """One step, from time t to time s < t:   x_s = alpha_s x0 + sigma_s (sqrt(1 - c^2) eps + c noise),
    where c = eta sqrt(1 - r^2), at most 1, and r = (sigma_s / alpha_s) / (sigma_t / alpha_t). Returns x_s (B, ...).

    Args:
        x0, eps: (B, ...) what the denoiser said that x_t is made of.
        t, s: times, both () on the CPU or (B,).
        eta: how much of the noise is drawn anew, 0 (none) or more.
        noise: (B, ...) standard normal; needed when eta is above 0, unless the step ends in clean data.
    """
    to_noise: float | Tensor
    if t.ndim == s.ndim == 0:
        to_x0, to_eps, to_noise = step_weights_at(schedule, float(t), float(s), eta)
        x = weighted_sum(to_x0, x0, to_eps, eps)
    else:
        of_x0, of_eps, to_noise = (per_example(weight, x0) for weight in step_weights(schedule, t, s, eta))
        x = of_x0 * x0 + of_eps * eps
    if eta == 0 or (isinstance(to_noise, float) and to_noise == 0):
        return x
    if noise is None:
        raise ValueError(f"A step with eta = {eta} adds noise: pass `noise`, standard normal and like x0.")
    return x + to_noise * noise


def lookaheads(schedule: NoiseSchedule, timesteps: Tensor) -> list[float]:
    """h / (2 h_prev) for each step between n + 1 timesteps, where h is its length in log(alpha / sigma).

    It is 0, no correction, for the first step, which has no previous one, and where a length is infinite: after a step out
    of pure noise (alpha 0), and for a step into clean data (sigma 0).
    """
    h = schedule.log_snr_half(timesteps).diff()         # (n,)
    ratio = h[1:] / (2 * h[:-1])                        # (n - 1,)
    return [0.0, *torch.where(ratio.isfinite(), ratio, 0).tolist()]


def extrapolate(x0: Tensor, eps: Tensor, x0_prev: Tensor, ahead: float, alpha_over_sigma: float) -> tuple[Tensor, Tensor]:
    """(x0, eps) as they will be half a step later, judged by how x0 has changed since the previous step: all that
    DPM-Solver++ 2M and its SDE add to `step` (Lu et al. 2022b, algorithm 2; `ahead` is 1 / (2 r) there).

    eps changes with x0, so that alpha x0 + sigma eps is still x.
    """
    change = x0 - x0_prev
    return torch.add(x0, change, alpha=ahead), torch.add(eps, change, alpha=-ahead * alpha_over_sigma)


def sample(
    denoiser: Denoiser, x: Tensor, schedule: NoiseSchedule, timesteps: Tensor,
    *, eta: float = 0.0, order: int = 1, noise: Noise | None = None,
) -> Iterator[State]:  # fmt: skip
    """Step along the timesteps and yield the state after each step. Nothing in the loop waits for the accelerator.

    Args:
        denoiser: (x, t) -> (x0, eps).
        x: (B, ...) at time timesteps[0]: standard normal noise where that is 1.
        timesteps: (n + 1,) falling times.
        eta: 0 adds no noise, so that x decides everything; 1 is the reverse of the noising process.
        order: 1, or 2 to extrapolate from the previous prediction.
        noise: the fresh noise of each step; by default drawn from torch's global generator.
    """
    if order not in (1, 2):
        raise ValueError(f"The order is {order!r}, but it must be 1 or 2.")
    timesteps = check_timesteps(timesteps)
    times, ahead = timesteps.tolist(), lookaheads(schedule, timesteps)
    alpha_over_sigma = schedule.log_snr_half(timesteps).exp().tolist()
    x0_prev = x
    for i, (t, s) in enumerate(pairwise(timesteps)):
        x0, eps = denoiser(x, t)
        ahead_x0 = x0
        if order == 2 and ahead[i]:
            ahead_x0, eps = extrapolate(x0, eps, x0_prev, ahead[i], alpha_over_sigma[i])
        fresh = (noise(i) if noise else torch.randn_like(x)) if eta > 0 and times[i + 1] > 0 else None
        x = step(schedule, ahead_x0, eps, t, s, eta, fresh)
        x0_prev = x0
        state = State(i, len(times) - 1, times[i], times[i + 1], x, x0)
        yield state
        x = state.x


def heun(denoiser: Denoiser, x: Tensor, schedule: NoiseSchedule, timesteps: Tensor) -> Iterator[State]:
    """Heun's second-order method on the probability-flow ODE (Karras et al. 2022, algorithm 1): make the step, predict the
    noise at its end too, and make it again with the mean of the two. Arguments as in `sample`.

    A step is x_s = (alpha_s / alpha_t) x + b eps, so to make it again is to add b / 2 times the change of eps. A step out of
    pure noise (alpha 0) or into clean data (sigma 0) is not corrected: in the former the noise says nothing about x0, in the
    latter there is none to predict. So n steps cost up to 2 n - 1 evaluations.
    """
    timesteps = check_timesteps(timesteps)
    times, alpha_over_sigma = timesteps.tolist(), schedule.log_snr_half(timesteps).exp().tolist()
    for i, (t, s) in enumerate(pairwise(timesteps)):
        x0, eps = denoiser(x, t)
        to_x0, to_eps, _ = step_weights_at(schedule, times[i], times[i + 1], 0.0)
        x = step(schedule, x0, eps, t, s)
        if alpha_over_sigma[i] and to_eps:
            _, eps_ahead = denoiser(x, s)
            b = to_eps - to_x0 / alpha_over_sigma[i]
            x = torch.add(x, eps_ahead - eps, alpha=b / 2)
        state = State(i, len(times) - 1, times[i], times[i + 1], x, x0)
        yield state
        x = state.x


@dataclass(frozen=True)
class Sampler:
    """A row of settings with a name. `method` is the loop that reads them: `sample`'s (step) or `heun`'s."""

    label: str
    spacing: str = "uniform"
    eta: float = 0.0
    order: int = 1
    method: Literal["step", "heun"] = "step"


# DDIM and Euler are one and the same, and so are DDPM and Euler ancestral: elsewhere they differ in the spacing of the
# times and in how x is scaled, neither of which belongs to the method.
SAMPLERS: dict[str, Sampler] = {
    "ddpm": Sampler("DDPM", eta=1.0),
    "ddim": Sampler("DDIM"),
    "euler": Sampler("Euler"),
    "euler_a": Sampler("Euler ancestral", eta=1.0),
    "heun": Sampler("Heun", order=2, method="heun"),
    "dpmpp_2m": Sampler("DPM++ 2M", order=2),
    "dpmpp_2m_sde": Sampler("DPM++ 2M SDE", eta=1.0, order=2),
}
ALIASES = {"dpmpp": "dpmpp_2m", "dpmpp_sde": "dpmpp_2m_sde", "euler_ancestral": "euler_a"}


def get_sampler(name: str) -> Sampler:
    """The row of that name or alias. Raises ValueError that lists the names."""
    name = ALIASES.get(name, name)
    if name not in SAMPLERS:
        names = ", ".join([*SAMPLERS, *ALIASES])
        raise ValueError(f"There is no sampler called {name!r}. Choose one of: {names}.")
    return SAMPLERS[name]


def run(
    name: str, denoiser: Denoiser, x: Tensor, schedule: NoiseSchedule, steps: int,
    *, noise: Noise | None = None, eta: float | None = None, timesteps: str | Tensor | None = None,
) -> Iterator[State]:  # fmt: skip
    """Sample by name: with a row of `SAMPLERS`, whose eta and spacing are used unless others are given. Raises ValueError at
    once, before the first step: on an unknown name, a number of steps that is not a whole number from 1 to 1000 or that the
    given timesteps do not have, a negative eta, or eta above 0 for Heun."""
    sampler = get_sampler(name)
    eta = sampler.eta if eta is None else eta
    check_eta(eta)
    if not isinstance(timesteps, Tensor):
        timesteps = get_spacing(timesteps or sampler.spacing)(schedule, steps)
    timesteps = check_timesteps(timesteps)
    if len(timesteps) != steps + 1:
        raise ValueError(f"The timesteps make {len(timesteps) - 1} steps, but steps is {steps}: make them agree.")
    if sampler.method == "step":
        return sample(denoiser, x, schedule, timesteps, eta=eta, order=sampler.order, noise=noise)
    if eta > 0:
        raise ValueError(f"{sampler.label} adds no noise, so eta must be 0, but it is {eta}.")
    return heun(denoiser, x, schedule, timesteps)


def check_eta(eta: float) -> None:
    """Raises ValueError unless eta is a number from 0 up; infinity will do."""
    if not eta >= 0:
        raise ValueError(f"eta is {eta}, but it must be 0 (no fresh noise) or more.")
