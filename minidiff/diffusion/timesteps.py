"""Timesteps: the times that a sampler visits, from noise down to data.

n steps are a float64 tensor of n + 1 falling times on the CPU, which begins at 1 or a little below and ends at 0. Each
function takes (schedule, n); `SPACINGS` is the table of them. Not here: what is done at those times (samplers.py).

`leading`, `trailing` and `linspace` are the three spacings of a 1000-entry table with which published models are sampled
(Lin et al. 2024, table 2). Entry i is time (i + 1) / 1000, so `trailing` is `uniform`, rounded to entries.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from minidiff.diffusion.schedules import TABLE_LENGTH, NoiseSchedule

EDM_SIGMA_MAX = 80.0    # Karras et al. 2022, table 1

Spacing = Callable[[NoiseSchedule, int], Tensor]


def check_steps(n: int) -> None:
    """Raises ValueError unless n is a whole number from 1 to 1000."""
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= TABLE_LENGTH:
        raise ValueError(f"Steps is {n!r}, but it must be a whole number from 1 to {TABLE_LENGTH}.")


def check_timesteps(timesteps: Tensor) -> Tensor:
    """The same times, float64 on the CPU. Raises ValueError unless they are two or more falling times in [0, 1]."""
    timesteps = timesteps.detach().to("cpu", torch.float64)
    times = timesteps.tolist() if timesteps.ndim == 1 else []
    if len(times) < 2 or not 1 >= times[0] or not times[-1] >= 0 or not all(t > s for t, s in pairwise(times)):
        raise ValueError(f"Timesteps must be two or more falling times from 1 to 0, but they are {timesteps.tolist()}.")
    return timesteps


def uniform(schedule: NoiseSchedule, n: int) -> Tensor:
    """1, 1 - 1/n, ..., 1/n, 0."""
    check_steps(n)
    return torch.arange(n, -1, -1, dtype=torch.float64) / n                     # (n + 1,)


def from_entries(entries: NDArray[np.float64]) -> Tensor:
    """Falling indices (n,) of a 1000-entry table, whole or not, as times (n + 1,); the last is 0."""
    return torch.cat([(torch.from_numpy(entries.copy()) + 1) / TABLE_LENGTH, torch.zeros(1, dtype=torch.float64)])


def leading(schedule: NoiseSchedule, n: int, offset: int = 0) -> Tensor:
    """Every (1000 // n)-th entry from entry 0 up. The first time is below 1, where the network expects a trace of data and is
    given pure noise; kept because DDIM and Stable Diffusion (offset 1) were published with it."""
    check_steps(n)
    return from_entries(np.arange(n - 1, -1, -1.0) * (TABLE_LENGTH // n) + offset)


def trailing(schedule: NoiseSchedule, n: int) -> Tensor:
    """Every (1000 / n)-th entry counted down from the last, rounded; begins at t = 1."""
    check_steps(n)
    return from_entries(np.arange(TABLE_LENGTH, 0, -TABLE_LENGTH / n)[:n].round() - 1)


def linspace(schedule: NoiseSchedule, n: int, whole: bool = True) -> Tensor:
    """n evenly spaced entries from the last to the first, both included; one step takes the last entry. They are rounded, or
    with whole = False may lie between entries."""
    check_steps(n)
    entries = np.linspace(0 if n > 1 else TABLE_LENGTH - 1, TABLE_LENGTH - 1, n)[::-1]
    return from_entries(entries.round() if whole else entries)


def karras(schedule: NoiseSchedule, n: int, rho: float = 7.0, ends: tuple[float, float] = (1.0, 1 / TABLE_LENGTH)) -> Tensor:
    """Even steps in (sigma / alpha)^(1 / rho), which visits low noise often (Karras et al. 2022, eq. 5), between two times,
    then 0. Where sigma / alpha has no largest value it begins at 80, as in the paper."""
    check_steps(n)
    largest, smallest = torch.exp(-schedule.log_snr_half(torch.tensor(ends, dtype=torch.float64)))
    largest = torch.where(largest.isfinite(), largest, EDM_SIGMA_MAX)
    ramp = torch.linspace(0, 1, n, dtype=torch.float64)
    sigmas = (largest ** (1 / rho) * (1 - ramp) + smallest ** (1 / rho) * ramp) ** rho      # (n,)
    return torch.cat([schedule.time(-sigmas.log()), torch.zeros(1, dtype=torch.float64)])


def flow_shift(schedule: NoiseSchedule, n: int, shift: float = 3.0) -> Tensor:
    """`uniform`, `shifted`: for flows. Raises ValueError unless shift is above 0."""
    return shifted(uniform(schedule, n), shift)


def shifted(t: Tensor, shift: float) -> Tensor:
    """Times pushed towards the noise: shift t / (1 + (shift - 1) t). Images of many pixels need it, since more noise is needed
    to hide as much (Esser et al. 2024, eq. 23). Raises ValueError unless shift is above 0."""
    if not shift > 0:
        raise ValueError(f"The shift of the timesteps is {shift}, but it must be above 0; 1 changes nothing.")
    return shift * t / (1 + (shift - 1) * t)


SPACINGS: dict[str, Spacing] = {
    "uniform": uniform,
    "leading": leading,
    "trailing": trailing,
    "linspace": linspace,
    "karras": karras,
    "flow_shift": flow_shift,
}


def get_spacing(name: str) -> Spacing:
    """The spacing of that name. Raises ValueError that lists the names."""
    if name not in SPACINGS:
        raise ValueError(f"There is no spacing called {name!r}. Choose one of: {', '.join(SPACINGS)}.")
    return SPACINGS[name]
