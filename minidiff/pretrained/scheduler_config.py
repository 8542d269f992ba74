"""Published schedulers: what a diffusers `scheduler_config.json` says, in our words.

A scheduler there is one object with four things in it that are apart here: the schedule and the prediction_type of prediction
the network was trained with, the sampler, and the timesteps of times. `from_diffusers` takes it apart into a
`SchedulerConfig`, so that a published network is fed the same x at the same timesteps. What it is not: a sampler
(samplers.py), or the weights of a network.

Their schedulers divide time in ways of their own, and those are kept here: Euler's and Heun's `linspace` falls
between the table's entries, DPM-Solver's divides into one entry more than it visits, and a flow's shift is applied
to the smallest time twice.
"""

from __future__ import annotations

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
from minidiff.diffusion.timesteps import check_steps, get_spacing, karras, leading, shifted

Timesteps = Callable[[NoiseSchedule, int], Tensor]


@dataclass(frozen=True)
class SchedulerConfig:
    """How a published network is sampled:

        timesteps = schedule.timesteps(schedule.schedule, steps)
        model = denoiser(network, schedule.schedule, schedule.prediction_type)
        states = samplers.run(schedule.sampler, model, schedule.start(noise, timesteps), schedule.schedule, steps, timesteps=timesteps)

    schedule, prediction_type: what it was trained with. sampler: a name in `samplers.SAMPLERS`; another may be taken.
    timesteps: (schedule, steps) -> the times, (steps + 1,).
    clip: keep x0 within [-clip, clip], with `guidance.clip_x0`; None does not.
    starts_at_sigma: whether the first x is sigma noise, instead of noise: see `start`.
    """

    schedule: NoiseSchedule
    prediction_type: str
    sampler: str
    timesteps: Timesteps
    clip: float | None = None
    starts_at_sigma: bool = False

    def start(self, noise: Tensor, timesteps: Tensor) -> Tensor:
        """x at the first time of the timesteps, from standard normal noise (B, ...). Where some data is left at that time
        x has variance alpha^2 + sigma^2 = 1; Euler's and Heun's schedulers begin with sigma^2 alone, unless
        their spacing is `leading`."""
        return float(self.schedule.sigma(timesteps[0])) * noise if self.starts_at_sigma else noise


def from_diffusers(config: Mapping[str, Any]) -> SchedulerConfig:
    """The schedule that a diffusers scheduler with this config, as read from its JSON, would follow. What the config
    leaves out has diffusers' default; what that class does not know is passed over.

    `PNDMScheduler`, which Stable Diffusion 1 is published with, is a multistep method of its own: its schedule, prediction_type and
    timesteps are taken, and `ddim` as the sampler. A schedule that clips x0 gives the eps that goes with it, as
    `DDIMScheduler` does with `use_clipped_model_output=True`.

    Raises ValueError on a scheduler or an option that has no counterpart here, naming those that have.
    """
    name = config.get("_class_name")
    if name not in OPTIONS:
        raise ValueError(f"There is no counterpart of the scheduler {name!r}. Supported are: {', '.join(OPTIONS)}.")
    given = {key: value for key, value in config.items() if value is not None}
    options = {key: given.get(key, default) for key, default in OPTIONS[name].items()}
    for key, allowed in _ONLY.items():
        if key in options and options[key] not in allowed:
            choices = " or ".join(repr(value) for value in allowed)
            raise ValueError(f"The scheduler's {key} is {options[key]!r}, but only {choices} is supported.")
    return _READERS[name](name, options)


# ------------------------------------------------------------------------------------------- what they have in common


def _table(options: Mapping[str, Any]) -> TableSchedule:
    """The schedule of a scheduler that has a table of betas."""
    if options["trained_betas"] is not None:
        return TableSchedule("trained_betas", torch.tensor(options["trained_betas"], dtype=torch.float64))
    name, ends = options["beta_schedule"], (options["beta_start"], options["beta_end"])
    if name == "squaredcos_cap_v2":
        return TableSchedule(name, squared_cosine_betas())
    return TableSchedule(name, linear_betas(*ends) if name == "linear" else scaled_linear_betas(*ends))


def _spacing(options: Mapping[str, Any]) -> Timesteps:
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
    return SchedulerConfig(_table(options), _prediction_type(options), "ddpm" if name == "DDPMScheduler" else "ddim", timesteps, _clip(options))


def _to_entry_0(spacing: Timesteps, schedule: NoiseSchedule, n: int) -> Tensor:
    """A spacing that ends at entry 0 instead of at clean data. Where it is there before its last step, that step goes
    nowhere; here it goes the least way there is."""
    times = spacing(schedule, n)
    end = torch.nextafter(times[-2], torch.zeros_like(times[-2])).clamp(max=1 / TABLE_LENGTH)
    return torch.cat([times[:-1], end.view(1)])


def _euler(name: str, options: Mapping[str, Any]) -> SchedulerConfig:
    """Euler, Euler ancestral, Heun: their linspace lies between the entries."""
    linspace = options["timestep_spacing"] == "linspace"
    timesteps: Timesteps = partial(linspace, whole=False) if linspace else _spacing(options)
    if options.get("use_karras_sigmas"):
        timesteps = partial(_karras_within, timesteps)
    sampler = {"EulerDiscreteScheduler": "euler", "EulerAncestralDiscreteScheduler": "euler_a"}.get(name, "heun")
    at_sigma = options["timestep_spacing"] != "leading"
    return SchedulerConfig(_table(options), _prediction_type(options), sampler, timesteps, _clip(options), starts_at_sigma=at_sigma)


def _karras_within(spacing: Timesteps, schedule: NoiseSchedule, n: int) -> Tensor:
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


def _but_the_cleanest(spacing: Timesteps, schedule: NoiseSchedule, n: int) -> Tensor:
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

# -------------------------------------------------------------------------------- the options, with diffusers' defaults

PREDICTION_NAMES = {"epsilon": "eps", "sample": "x0", "v_prediction": "v", "flow_prediction": "flow"}
_TABLE = {
    "num_train_timesteps": TABLE_LENGTH, "beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02,
    "trained_betas": None, "prediction_type": "epsilon", "timestep_spacing": "linspace", "steps_offset": 0,
}  # fmt: skip
_CLIPPED = {"timestep_spacing": "leading", "thresholding": False, "clip_sample": True, "clip_sample_range": 1.0}
_ZERO_SNR = {"rescale_betas_zero_snr": False}
_SIGMAS = {"use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False}
OPTIONS: dict[str, dict[str, Any]] = {
    "DDIMScheduler": {**_TABLE, **_CLIPPED, **_ZERO_SNR, "set_alpha_to_one": True},
    "DDPMScheduler": {**_TABLE, **_CLIPPED, **_ZERO_SNR, "variance_type": "fixed_small"},
    "PNDMScheduler": {**_TABLE, "timestep_spacing": "leading", "set_alpha_to_one": False},
    "EulerDiscreteScheduler": {
        **_TABLE, **_SIGMAS, **_ZERO_SNR, "final_sigmas_type": "zero", "timestep_type": "discrete",
        "interpolation_type": "linear", "sigma_min": None, "sigma_max": None,
    },
    "EulerAncestralDiscreteScheduler": {**_TABLE, **_ZERO_SNR},
    "HeunDiscreteScheduler": {
        **_TABLE, **_SIGMAS, "beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False, "clip_sample_range": 1.0,
    },
    "DPMSolverMultistepScheduler": {
        **_TABLE, **_SIGMAS, **_ZERO_SNR, "thresholding": False, "algorithm_type": "dpmsolver++", "solver_order": 2,
        "solver_type": "midpoint", "final_sigmas_type": "zero", "lambda_min_clipped": -float("inf"),
        "use_lu_lambdas": False, "use_flow_sigmas": False, "flow_shift": 1.0, "use_dynamic_shifting": False,
        "variance_type": None,
    },
    "FlowMatchEulerDiscreteScheduler": {
        **_SIGMAS, "num_train_timesteps": TABLE_LENGTH, "shift": 1.0, "use_dynamic_shifting": False,
        "shift_terminal": None, "invert_sigmas": False, "stochastic_sampling": False,
    },
}  # fmt: skip
# Options of which only some values have a counterpart.
_ONLY: dict[str, tuple[Any, ...]] = {
    "num_train_timesteps": (TABLE_LENGTH,),
    "beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2"),
    "prediction_type": tuple(PREDICTION_NAMES),
    "timestep_spacing": ("leading", "trailing", "linspace"),
    "variance_type": (None, "fixed_small", "fixed_small_log"),
    "algorithm_type": ("dpmsolver++", "sde-dpmsolver++"),
    "solver_order": (1, 2),
    "solver_type": ("midpoint",),
    "final_sigmas_type": ("zero",),
    "lambda_min_clipped": (-float("inf"),),
    "timestep_type": ("discrete",),
    "interpolation_type": ("linear",),
    **dict.fromkeys(["sigma_min", "sigma_max", "shift_terminal"], (None,)),
    **dict.fromkeys(["thresholding", "rescale_betas_zero_snr", "use_exponential_sigmas", "use_beta_sigmas"], (False,)),
    **dict.fromkeys(["use_lu_lambdas", "use_dynamic_shifting", "invert_sigmas", "stochastic_sampling"], (False,)),
}
