"""A model's folder of diffusers (U-Net, VAE or DiT) as our own module.

Read are the parts of Stable Diffusion 1.x and of PixArt-alpha at 256 and 512 pixels. Configurations are read strictly: an
option that we have no counterpart for is refused by name, never ignored. Not here: whole pipelines
(pipelines/diffusers_folder.py), schedulers (scheduler_config.py) and the fetching of files (hub.py).
Taught in the lesson on real weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from minidiff.models.dit import DiT
from minidiff.models.unet import UNet
from minidiff.models.vae import VAE
from minidiff.pretrained import state_dicts
from minidiff.pretrained.configs import build_model
from minidiff.pretrained.hub import outline_of, read_json, read_state
from minidiff.pretrained.weight_file import State
from minidiff.utils.validation import Between, convert, shown

Config = Mapping[str, Any]

# Options that change what is computed, and the only values that our models compute with; absent means this value.
UNET_ONLY: dict[str, Any] = {
    "center_input_sample": False, "flip_sin_to_cos": True, "freq_shift": 0, "mid_block_type": "UNetMidBlock2DCrossAttn",
    "downsample_padding": 1, "mid_block_scale_factor": 1, "act_fn": "silu",
    "transformer_layers_per_block": 1, "encoder_hid_dim": None, "encoder_hid_dim_type": None,
    "dual_cross_attention": False, "class_embed_type": None, "addition_embed_type": None, "resnet_time_scale_shift": "default",
    "resnet_skip_time_act": False, "resnet_out_scale_factor": 1.0, "time_embedding_type": "positional",
    "time_embedding_dim": None, "time_embedding_act_fn": None, "timestep_post_act": None, "time_cond_proj_dim": None,
    "conv_in_kernel": 3, "conv_out_kernel": 3, "attention_type": "default", "class_embeddings_concat": False,
    "mid_block_only_cross_attention": None, "cross_attention_norm": None,
}  # fmt: skip
VAE_ONLY: dict[str, Any] = {
    "in_channels": 3, "out_channels": 3, "act_fn": "silu", "shift_factor": None, "latents_mean": None, "latents_std": None,
    "use_quant_conv": True, "use_post_quant_conv": True, "mid_block_add_attention": True,
}  # fmt: skip
DIT_ONLY: dict[str, Any] = {
    "attention_bias": True, "activation_fn": "gelu-approximate", "norm_type": "ada_norm_single",
    "norm_elementwise_affine": False, "norm_eps": 1e-6, "attention_type": "default", "use_additional_conditions": False,
    "use_linear_projection": False, "num_vector_embeds": None, "double_self_attention": False, "only_cross_attention": False,
}  # fmt: skip


def check_only(config: Config, only: Config, source: str) -> None:
    """Raises ValueError for an option whose value is not the one we compute with."""
    for key, value in only.items():
        given = config.get(key, value)
        if given != value or isinstance(given, bool) != isinstance(value, bool):
            raise ValueError(f"{source}: {key} is {shown(given)}, and only {value!r} is supported.")


def need(config: Config, key: str, source: str, kind: Any = int) -> Any:
    """An option that has to be there and of this type, as an annotation; raises ValueError otherwise."""
    return convert(config.get(key), kind, f"{source}: {key}", Between(0, 2**20) if kind is int else None)


def unet_config(config: Config, source: str) -> dict[str, Any]:
    """The settings of a `UNet2DConditionModel` of Stable Diffusion 1.x, or of its upscaler, for our UNetConfig. Raises
    ValueError for other designs."""
    check_only(config, UNET_ONLY, source)
    down = need(config, "down_block_types", source, list[str])
    up = need(config, "up_block_types", source, list[str])
    ways = {"CrossAttnDownBlock2D": "CrossAttnUpBlock2D", "DownBlock2D": "UpBlock2D"}
    if not set(down) <= ways.keys() or up != [ways[block] for block in reversed(down)]:
        raise ValueError(
            f"{source}: its blocks are {shown(down)} and {shown(up)}, and only {' and '.join(ways)}, with the same on the way "
            "up, are supported."
        )
    cross_only = config.get("only_cross_attention") or False
    cross_only = cross_only if isinstance(cross_only, list) else [cross_only] * len(down)
    heads = "attention_head_dim" if config.get("num_attention_heads") is None else "num_attention_heads"
    return {
        **{key: need(config, key, source) for key in ("sample_size", "in_channels", "out_channels")},
        "channels": need(config, "block_out_channels", source, list[int]),
        "attention": [block == "CrossAttnDownBlock2D" for block in down],
        "cross_only": cross_only if True in cross_only else [],
        "classes": config.get("num_class_embeds"),
        "layers": need(config, "layers_per_block", source),
        "heads": need(config, heads, source),  # diffusers calls the number of heads their width, and keeps to it
        "context_dim": need(config, "cross_attention_dim", source), "groups": config.get("norm_num_groups", 32),
        "eps": config.get("norm_eps", 1e-5),
    }  # fmt: skip


def vae_config(config: Config, source: str) -> dict[str, Any]:
    """The settings of an `AutoencoderKL` for our VAEConfig. Raises ValueError for other designs."""
    check_only(config, VAE_ONLY, source)
    channels = need(config, "block_out_channels", source, list[int])
    for key, block in (("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")):
        check_only({key: need(config, key, source, list[str])}, {key: [block] * len(channels)}, source)
    return {
        "channels": channels, "latent_channels": need(config, "latent_channels", source),
        "layers": need(config, "layers_per_block", source), "groups": config.get("norm_num_groups", 32),
    }  # fmt: skip


def dit_config(config: Config, source: str) -> dict[str, Any]:
    """The settings of a `PixArtTransformer2DModel` for our DiTConfig. Raises ValueError for other designs, such as the
    one for 1024 pixels, which is given the image's size too."""
    size = need(config, "sample_size", source)
    if config.get("use_additional_conditions") is None:
        config = {**config, "use_additional_conditions": size == 128}
    check_only(config, DIT_ONLY, source)
    heads = need(config, "num_attention_heads", source)
    width = heads * need(config, "attention_head_dim", source)
    check_only(config, {"cross_attention_dim": width}, source)
    scale = config.get("interpolation_scale")
    return {
        "sample_size": size,
        **{key: need(config, key, source) for key in ("patch_size", "in_channels")},
        "out_channels": config.get("out_channels"), "hidden_size": width, "depth": need(config, "num_layers", source),
        "heads": heads, "caption_channels": need(config, "caption_channels", source),
        "interpolation_scale": max(size // 64, 1) if scale is None else scale,
    }  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """How a class of diffusers is read: our class, the settings of its configuration, its weights from theirs."""

    model: type[nn.Module]
    config: Callable[[Config, str], dict[str, Any]]
    weights: Callable[[State], State] = dict


MODELS: dict[str, Reader] = {
    "UNet2DConditionModel": Reader(UNet, unet_config, state_dicts.from_linear_projection),
    "AutoencoderKL": Reader(VAE, vae_config, state_dicts.from_old_vae),
    "PixArtTransformer2DModel": Reader(DiT, dit_config),
    "Transformer2DModel": Reader(DiT, dit_config),  # what PixArt-alpha was published as, before it had a class of its own
}


def read_model(folder: Path, allow_pickle: bool = False) -> tuple[Any, dict[str, Any]]:
    """A model's folder (`config.json` and weights) as our module, and its configuration. Raises ValueError for a class or
    an option that is not supported, and for weights that are damaged or do not fit, before memory is taken."""
    config, source = read_json(folder / "config.json"), str(folder)
    name = config.get("_class_name")
    if not isinstance(name, str) or name not in MODELS:
        raise ValueError(f"{source} holds a {shown(name)}, which is not supported; supported are {', '.join(MODELS)}.")
    reader = MODELS[name]
    settings = reader.config(config, source)
    outline = reader.weights(outline_of(folder, allow_pickle))
    model = build_model(reader.model, settings, outline, source, lambda: reader.weights(read_state(folder, allow_pickle)))
    return model, config
