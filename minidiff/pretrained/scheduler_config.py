"""Published schedulers: what a diffusers `scheduler_config.json` says, in our terms.

A scheduler of diffusers is one object with four things in it that are separate here: the noise schedule and the prediction
type with which the network was trained, the sampler, and the spacing of the timesteps. `from_diffusers` takes it apart into
a `SchedulerConfig`, so that a published network gets the same x at the same timesteps.

Some of the spacings exist only there, and so they are in this file: the `linspace` of Euler and Heun falls between the
table's entries, DPM-Solver divides the time into one entry more than it visits, and the shift of a flow is applied to the
smallest time twice. Not here: samplers (diffusion/samplers.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minidiff.diffusion.schedules import (
    TABLE_LENGTH,
    NoiseSchedule,
    TableSchedule,
    get_schedule,
    linear_betas,
    scaled_linear_betas,
    squared_cosine_betas,
)
from minidiff.diffusion.timesteps import Spacing, check_steps, get_spacing, karras, leading, linspace, shifted
from minidiff.pretrained.scheduler_options import PREDICTION_NAMES, read_options


@dataclass(frozen=True)
class SchedulerConfig:
    """How a published network is sampled:

        times = config.timesteps(config.schedule, steps)
        model = denoiser(network, config.schedule, config.prediction_type)
        states = samplers.run(config.sampler, model, config.start(noise, times), config.schedule, steps, timesteps=times)

    schedule, prediction_type: with which it was trained.
    sampler: a name in `samplers.SAMPLERS`; another one may be used instead.
    timesteps: (schedule, steps) -> the times, (steps + 1,).
    clip: keep x0 within [-clip, clip], with `guidance.clip_x0`; None does not.
    starts_at_sigma: whether the first x is sigma noise, instead of noise, see `start`.
    """

    schedule: NoiseSchedule
    prediction_type: str
    sampler: str
    timesteps: Spacing
    clip: float | None = None
    starts_at_sigma: bool = False

    def start(self, noise: Tensor, timesteps: Tensor) -> Tensor:
        """x at the first of the timesteps, from standard normal noise (B, ...). Where some data is left at that time x has
        variance alpha^2 + sigma^2 = 1; the schedulers of Euler and Heun begin with sigma^2 alone, unless their spacing is
        `leading`."""
        return float(self.schedule.sigma(timesteps[0])) * noise if self.starts_at_sigma else noise


def from_diffusers(config: Mapping[str, Any]) -> SchedulerConfig:
    """What a diffusers scheduler with this config, as read from its JSON, would do.

    `PNDMScheduler`, with which Stable Diffusion 1 is published, is a multistep method of its own: its schedule, prediction
    type and timesteps are kept, and the sampler is `ddim`. Where x0 is clipped, eps is that of the clipped x0, as in
    `DDIMScheduler` with `use_clipped_model_output=True`.

    Raises ValueError as `scheduler_options.read_options`.
    """
    name, options = read_options(config)
    return _READERS[name](name, options)


# ------------------------------------------------------------------------------------------- what they have in common


def _table(options: Mapping[str, Any]) -> TableSchedule:
    """The schedule of a scheduler that has a table of betas. Raises ValueError when these leave next to nothing of the
    data, by which a network's x0 is divided."""
    name, ends = options["beta_schedule"], (options["beta_start"], options["beta_end"])
    if options["trained_betas"] is not None:
        name, betas = "trained_betas", torch.tensor(options["trained_betas"], dtype=torch.float64)
    elif name == "squaredcos_cap_v2":
        betas = squared_cosine_betas()
    else:
        betas = linear_betas(*ends) if name == "linear" else scaled_linear_betas(*ends)
    schedule = TableSchedule(name, betas)
    if float(torch.log1p(-betas).sum()) < math.log(1e-20):
        raise ValueError("The scheduler's betas are so large that less than 1e-20 of the data is left at the end.")
    return schedule


def _spacing(options: Mapping[str, Any]) -> Spacing:
    """The timesteps of a scheduler that chooses entries of a table."""
    if options["timestep_spacing"] == "leading":
        return partial(leading, offset=options["steps_offset"])
    return get_spacing(options["timestep_spacing"])


def _prediction_type(options: Mapping[str, Any]) -> str:
    return PREDICTION_NAMES[options["prediction_type"]]


def _clip(options: Mapping[str, Any]) -> float | None:
    return options["clip_sample_range"] if options.get("clip_sample") else None


class WholeTimesteps(NoiseSchedule):
    """A schedule whose network is fed whole numbers, rounded or cut."""

    def __init__(self, schedule: NoiseSchedule, cut: bool) -> None:
        self.name, self.schedule, self.cut = schedule.name, schedule, cut

    def alpha(self, t: Tensor) -> Tensor:
        return self.schedule.alpha(t)

    def sigma(self, t: Tensor) -> Tensor:
        return self.schedule.sigma(t)

    def log_snr_half(self, t: Tensor) -> Tensor:
        return self.schedule.log_snr_half(t)

    def time(self, log_snr_half: Tensor) -> Tensor:
        return self.schedule.time(log_snr_half)

    def timestep(self, t: Tensor) -> Tensor:
        timestep = self.schedule.timestep(t)
        return timestep.floor() if self.cut else timestep.round()


# ------------------------------------------------------------------------------------------------ one of each family


def _ddim(name: str, options: Mapping[str, Any]) -> SchedulerConfig:
    """DDIM, DDPM, PNDM: whole entries of the table."""
    timesteps = _spacing(options)
    if not options.get("set_alpha_to_one", True):
        timesteps = partial(_to_entry_0, timesteps)
    sampler = "ddpm" if name == "DDPMScheduler" else "ddim"
    return SchedulerConfig(_table(options), _prediction_type(options), sampler, timesteps, _clip(options))


def _to_entry_0(spacing: Spacing, schedule: NoiseSchedule, n: int) -> Tensor:
    """A spacing that ends at entry 0 instead of at clean data. Where it is there before its last step, that step goes
    nowhere; here it goes the least way there is."""
    times = spacing(schedule, n)
    end = torch.nextafter(times[-2], torch.zeros_like(times[-2])).clamp(max=1 / TABLE_LENGTH)
    return torch.cat([times[:-1], end.view(1)])


def _euler(name: str, options: Mapping[str, Any]) -> SchedulerConfig:
    """Euler, Euler ancestral, Heun: their linspace lies between the entries."""
    between = options["timestep_spacing"] == "linspace"
    timesteps: Spacing = partial(linspace, whole=False) if between else _spacing(options)
    if options.get("use_karras_sigmas"):
        timesteps = partial(_karras_within, timesteps)
    sampler = {"EulerDiscreteScheduler": "euler", "EulerAncestralDiscreteScheduler": "euler_a"}.get(name, "heun")
    at_sigma = options["timestep_spacing"] != "leading"
    return SchedulerConfig(_table(options), _prediction_type(options), sampler, timesteps, _clip(options), at_sigma)


def _karras_within(spacing: Spacing, schedule: NoiseSchedule, n: int) -> Tensor:
    """Karras' timesteps between the first and the last time of a spacing."""
    times = spacing(schedule, n)
    return karras(schedule, n, ends=(float(times[0]), float(times[-2])))


def _dpm_solver(name: str, options: Mapping[str, Any]) -> SchedulerConfig:
    """DPM-Solver++ multistep, as an ODE or an SDE, on a table or on a flow. Its network is fed whole numbers."""
    samplers = ("ddpm", "dpmpp_2m_sde") if options["algorithm_type"] == "sde-dpmsolver++" else ("ddim", "dpmpp_2m")
    sampler = samplers[options["solver_order"] - 1]
    prediction_type, flow = _prediction_type(options), options["use_flow_sigmas"]
    if flow != (prediction_type == "flow"):
        raise ValueError("Supported are use_flow_sigmas and a prediction_type of 'flow_prediction' together, or neither.")
    if flow:
        schedule = WholeTimesteps(get_schedule("flow"), cut=True)
        return SchedulerConfig(schedule, prediction_type, sampler, partial(_flow_dpm_solver, options["flow_shift"]))
    if options["use_karras_sigmas"]:
        return SchedulerConfig(WholeTimesteps(_table(options), cut=False), prediction_type, sampler, karras)
    timesteps = _spacing(options)
    if options["timestep_spacing"] != "trailing":
        timesteps = partial(_but_the_cleanest, timesteps)
    return SchedulerConfig(_table(options), prediction_type, sampler, timesteps)


def _but_the_cleanest(spacing: Spacing, schedule: NoiseSchedule, n: int) -> Tensor:
    """n steps by a spacing of n + 1 entries, whose last is left out."""
    check_steps(n)
    times = spacing(schedule, n + 1)
    return torch.cat([times[:n], times[-1:]])


def _flow_dpm_solver(shift: float, schedule: NoiseSchedule, n: int) -> Tensor:
    """Even times from 0.999 to 0, shifted. By numpy: whether 333 or 332.999... is cut off depends on the last bit."""
    check_steps(n)
    return shifted(torch.from_numpy((1 - np.linspace(1, 1 / TABLE_LENGTH, n + 1))[::-1].copy()), shift)


def _flow_euler(name: str, options: Mapping[str, Any]) -> SchedulerConfig:
    """Flow matching."""
    if options["use_karras_sigmas"]:
        raise ValueError("The scheduler's use_karras_sigmas is True, but for a flow only False is supported.")
    return SchedulerConfig(get_schedule("flow"), "flow", "euler", partial(_flow_twice_shifted, options["shift"]))


def _flow_twice_shifted(shift: float, schedule: NoiseSchedule, n: int) -> Tensor:
    """Even times from 1 down to where the shift takes 1/1000; then the shift takes them all, that last one again."""
    check_steps(n)
    smallest = shifted(torch.tensor(1 / TABLE_LENGTH, dtype=torch.float64), shift)
    even = torch.linspace(1, float(smallest), n, dtype=torch.float64)
    return torch.cat([shifted(even, shift), torch.zeros(1, dtype=torch.float64)])


_READERS: dict[str, Callable[[str, Mapping[str, Any]], SchedulerConfig]] = {
    **dict.fromkeys(["DDIMScheduler", "DDPMScheduler", "PNDMScheduler"], _ddim),
    **dict.fromkeys(["EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler"], _euler),
    "DPMSolverMultistepScheduler": _dpm_solver,
    "FlowMatchEulerDiscreteScheduler": _flow_euler,
}
