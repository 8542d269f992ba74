"""Our text-to-image DiT, VAE and noise schedule as diffusers' own classes with our weights.

What diffusers' pipeline does not do is folded into the parts: the mean and deviation of the latents into the VAE's 1 x 1
convolutions, the cosine schedule into the scheduler's table. Not here: the folder that is written (pipelines/export.py), and
the other direction (from_diffusers.py).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from minidiff.diffusion.schedules import SCHEDULES, TABLE_LENGTH
from minidiff.models.dit import DiT
from minidiff.models.vae import VAE

NEARLY_NOISE = 1 - 2**-50  # the time at which an exported model begins, since diffusers cannot begin at 1
# (schedule, prediction type) that diffusers' scheduler can follow; not `eps`, from which pure noise, the first x, gives no x0
PREDICTIONS = {("cosine", "x0"): "sample", ("cosine", "v"): "v_prediction", ("flow", "flow"): "flow_prediction"}


def diffusers() -> Any:
    """The library, imported late, since that takes seconds. Raises ValueError where it is not installed."""
    try:
        return import_module("diffusers")
    except ImportError:
        raise ValueError("The export needs diffusers, which is not here: pip install 'minidiff[interop]'.") from None


def diffusers_dit(dit: DiT) -> Any:
    """`PixArtTransformer2DModel` with our weights; every name and shape fits."""
    config = dit.config
    theirs = diffusers().PixArtTransformer2DModel(
        num_attention_heads=config.heads, attention_head_dim=config.hidden_size // config.heads,
        in_channels=config.in_channels, out_channels=config.out_channels or config.in_channels, num_layers=config.depth,
        cross_attention_dim=config.hidden_size, caption_channels=config.caption_channels,
        sample_size=config.sample_size, patch_size=config.patch_size, norm_type="ada_norm_single",
        use_additional_conditions=False, interpolation_scale=config.interpolation_scale,
    )  # fmt: skip
    theirs.load_state_dict(dit.state_dict(), strict=True)
    return theirs


def diffusers_vae(vae: VAE, mean: list[float], std: list[float]) -> Any:
    """`AutoencoderKL` with our weights, whose latents are normalised already: scaling_factor 1."""
    widths = vae.config.channels
    theirs = diffusers().AutoencoderKL(
        block_out_channels=list(widths), down_block_types=["DownEncoderBlock2D"] * len(widths),
        up_block_types=["UpDecoderBlock2D"] * len(widths), latent_channels=vae.config.latent_channels,
        layers_per_block=vae.config.layers, norm_num_groups=vae.config.groups, scaling_factor=1.0,
    )  # fmt: skip
    theirs.load_state_dict(normalised(vae.state_dict(), torch.tensor(mean), torch.tensor(std)), strict=True)
    return theirs


def normalised(state: dict[str, Tensor], mean: Tensor, std: Tensor) -> dict[str, Tensor]:
    """A VAE's weights, changed so that it encodes to (z - mean) / std and decodes from that; mean and std (C,).

    Both maps are linear in each channel and stand beside a 1 x 1 convolution, which takes them in exactly: it becomes
    W (std n + mean) + b in the decoder; in the encoder (W h + b - mean) / std for the Gaussian's mean, and its log-variance
    less log(std^2).
    """
    new = dict(state)
    out, out_bias = state["post_quant_conv.weight"], state["post_quant_conv.bias"]              # (C, C, 1, 1), (C,)
    new["post_quant_conv.weight"] = out * std.view(1, -1, 1, 1)
    new["post_quant_conv.bias"] = out_bias + out[:, :, 0, 0] @ mean
    scale = torch.cat([1 / std, torch.ones_like(std)])                                          # (2 C,)
    shift = torch.cat([-mean / std, -2 * std.log()])                                            # (2 C,)
    new["quant_conv.weight"] = state["quant_conv.weight"] * scale.view(-1, 1, 1, 1)
    new["quant_conv.bias"] = state["quant_conv.bias"] * scale + shift
    return new


def cosine_betas() -> list[float]:
    """1001 betas, so that entry i of the table is our cosine schedule at time i / 1000, where the network gets i.

    diffusers divides by alpha, which is 0 at the last entry, so the table stops a hair earlier, at NEARLY_NOISE. As a beta in
    float32 is at most 1 - 2^-24, the last four entries share the way there; up to 250 steps visit none of the three between.
    """
    times = torch.arange(TABLE_LENGTH + 1, dtype=torch.float64) / TABLE_LENGTH
    times[-1] = NEARLY_NOISE
    log_signal = 2 * SCHEDULES["cosine"].alpha(times).log()                                         # (1001,) falling
    log_signal[-5:] = torch.lerp(log_signal[-5], log_signal[-1], torch.arange(5, dtype=torch.float64) / 4)
    return [0.0, *(-torch.expm1(log_signal.diff())).tolist()]


def diffusers_scheduler(schedule: str, prediction_type: str) -> Any:
    """DPM-Solver++ 2M at our uniform timesteps. On the cosine schedule n steps visit the entries 1000, 1000 - 1000 / n, ... of
    `cosine_betas`; on the flow schedule they are diffusers' own, which begin at 0.999."""
    table = {"num_train_timesteps": TABLE_LENGTH + 1, "trained_betas": cosine_betas(), "timestep_spacing": "linspace"}
    return diffusers().DPMSolverMultistepScheduler(
        prediction_type=PREDICTIONS[schedule, prediction_type], algorithm_type="dpmsolver++", solver_order=2,
        final_sigmas_type="zero", **({"use_flow_sigmas": True} if schedule == "flow" else table),
    )  # fmt: skip
