"""The options of diffusers' schedulers: which there are, their defaults, and the values that have a counterpart here.

`read_options` checks a `scheduler_config.json` against them. Not here: what they mean (scheduler_config.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minidiff.diffusion.schedules import TABLE_LENGTH
from minidiff.utils.validation import Between, convert, shown


def read_options(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The class of a scheduler, and all its options: what the config leaves out has diffusers' default; what that class
    does not know is passed over. Raises ValueError on a scheduler or an option that has no counterpart here, naming those
    that have."""
    name = config.get("_class_name")
    if not isinstance(name, str) or name not in OPTIONS:
        raise ValueError(f"There is no counterpart of the scheduler {shown(name)}. Supported are: {', '.join(OPTIONS)}.")
    given = {key: value for key, value in config.items() if value is not None}
    options = {key: given.get(key, default) for key, default in OPTIONS[name].items()}
    for key, value in options.items():
        options[key] = check_option(key, value, OPTIONS[name][key])
    return name, options


def check_option(key: str, value: object, default: object) -> Any:
    """The option's value, if it is of its default's type, in its range, and has a counterpart here. Raises ValueError."""
    if key in ONLY:
        if not any(value == one and type(value) is type(one) for one in ONLY[key]):
            choices = " or ".join(repr(one) for one in ONLY[key])
            raise ValueError(f"The scheduler's {key} is {shown(value)}, but only {choices} is supported.")
        return value
    if key == "trained_betas":
        return convert(value, list[float] | None, f"The scheduler's {key}")
    return convert(value, type(default), f"The scheduler's {key}", RANGES.get(key))


PREDICTION_NAMES = {"epsilon": "eps", "sample": "x0", "v_prediction": "v", "flow_prediction": "flow"}
TABLE = {
    "num_train_timesteps": TABLE_LENGTH, "beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02,
    "trained_betas": None, "prediction_type": "epsilon", "timestep_spacing": "linspace", "steps_offset": 0,
}  # fmt: skip
CLIPPED = {"timestep_spacing": "leading", "thresholding": False, "clip_sample": True, "clip_sample_range": 1.0}
ZERO_SNR = {"rescale_betas_zero_snr": False}
SIGMAS = {"use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False}
OPTIONS: dict[str, dict[str, Any]] = {
    "DDIMScheduler": {**TABLE, **CLIPPED, **ZERO_SNR, "set_alpha_to_one": True},
    "DDPMScheduler": {**TABLE, **CLIPPED, **ZERO_SNR, "variance_type": "fixed_small"},
    "PNDMScheduler": {**TABLE, "timestep_spacing": "leading", "set_alpha_to_one": False},
    "EulerDiscreteScheduler": {
        **TABLE, **SIGMAS, **ZERO_SNR, "final_sigmas_type": "zero", "timestep_type": "discrete",
        "interpolation_type": "linear", "sigma_min": None, "sigma_max": None,
    },
    "EulerAncestralDiscreteScheduler": {**TABLE, **ZERO_SNR},
    "HeunDiscreteScheduler": {
        **TABLE, **SIGMAS, "beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False, "clip_sample_range": 1.0,
    },
    "DPMSolverMultistepScheduler": {
        **TABLE, **SIGMAS, **ZERO_SNR, "thresholding": False, "algorithm_type": "dpmsolver++", "solver_order": 2,
        "solver_type": "midpoint", "final_sigmas_type": "zero", "lambda_min_clipped": -float("inf"),
        "use_lu_lambdas": False, "use_flow_sigmas": False, "flow_shift": 1.0, "use_dynamic_shifting": False,
        "variance_type": None,
    },
    "FlowMatchEulerDiscreteScheduler": {
        **SIGMAS, "num_train_timesteps": TABLE_LENGTH, "shift": 1.0, "use_dynamic_shifting": False,
        "shift_terminal": None, "invert_sigmas": False, "stochastic_sampling": False,
    },
}  # fmt: skip
# Options of which only some values have a counterpart.
ONLY: dict[str, tuple[Any, ...]] = {
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
RANGES = {
    **dict.fromkeys(["beta_start", "beta_end"], Between(0, 1, above=True)),
    **dict.fromkeys(["shift", "flow_shift"], Between(1e-2, 1e2)),
    "steps_offset": Between(0, 9),  # up to 100 steps the first of them stays within the table
    "clip_sample_range": Between(0, 1e4, above=True),
}
