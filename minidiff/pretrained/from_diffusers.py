"""A diffusers pipeline's folder, as the parts that `TextToImage` joins: published weights in our own models and samplers.

Read are Stable Diffusion 1.x (`StableDiffusionPipeline`) and PixArt-alpha at 256 and 512 pixels (`PixArtAlphaPipeline`),
and what `minidiff export diffusers` wrote (`export.py`). Configurations are read strictly: an option that we have no
counterpart for is refused by name, never ignored. What it is not: the finding and fetching of files (`hub.py`).
Taught in the lesson on real weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import torch
from torch import Tensor, nn

from minidiff.diffusion.schedules import NoiseSchedule, get_schedule
from minidiff.diffusion.timesteps import uniform
from minidiff.models.dit import DiT, DiTConfig
from minidiff.models.unet import UNet, UNetConfig
from minidiff.models.vae import VAE, VAEConfig
from minidiff.pretrained import state_dicts
from minidiff.pretrained.hub import locate, read_json, read_state, require
from minidiff.pretrained.scheduler_config import SchedulerConfig, from_diffusers
from minidiff.text import encoders

INDEX = "model_index.json"
EXPORTED = "minidiff.json"  # what a folder of ours says about itself, beside what diffusers reads
NEARLY_NOISE = 1 - 2**-50  # the time at which an exported folder begins, since diffusers cannot begin at 1
Config = Mapping[str, Any]

# Options that change what is computed, and the only values that our models compute with; absent means this value.
UNET_ONLY: dict[str, Any] = {
    "center_input_sample": False, "flip_sin_to_cos": True, "freq_shift": 0, "mid_block_type": "UNetMidBlock2DCrossAttn",
    "only_cross_attention": False, "downsample_padding": 1, "mid_block_scale_factor": 1, "act_fn": "silu",
    "transformer_layers_per_block": 1, "encoder_hid_dim": None, "encoder_hid_dim_type": None,
    "dual_cross_attention": False, "use_linear_projection": False, "class_embed_type": None,
    "addition_embed_type": None, "num_class_embeds": None, "resnet_time_scale_shift": "default",
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
        if config.get(key, value) != value:
            raise ValueError(f"{source}: {key} is {config[key]!r}, and only {value!r} is supported.")


def need(config: Config, key: str, source: str, kind: type | tuple[type, ...] = int) -> Any:
    """An option that has to be there and of this type; raises ValueError otherwise."""
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, kind):
        raise ValueError(f"{source}: {key} is {value!r}, which is not supported; fetch the folder again, or another model.")
    return value


def unet_config(config: Config, source: str) -> UNetConfig:
    """The configuration of a `UNet2DConditionModel` of Stable Diffusion 1.x as ours. Raises ValueError for other designs."""
    check_only(config, UNET_ONLY, source)
    down = need(config, "down_block_types", source, (list, tuple))
    ways = {"CrossAttnDownBlock2D": "CrossAttnUpBlock2D", "DownBlock2D": "UpBlock2D"}
    if not set(down) <= ways.keys() or list(config.get("up_block_types", ())) != [ways[block] for block in reversed(down)]:
        raise ValueError(
            f"{source}: its blocks are {list(down)} and {list(config.get('up_block_types', ()))}, and only "
            f"{' and '.join(ways)}, with the same on the way up, are supported."
        )
    heads = "attention_head_dim" if config.get("num_attention_heads") is None else "num_attention_heads"
    return UNetConfig(
        sample_size=need(config, "sample_size", source), in_channels=need(config, "in_channels", source),
        out_channels=need(config, "out_channels", source),
        channels=tuple(need(config, "block_out_channels", source, (list, tuple))),
        attention=tuple(block == "CrossAttnDownBlock2D" for block in down),
        layers=need(config, "layers_per_block", source),
        heads=need(config, heads, source),  # diffusers calls the number of heads their width, and keeps to it
        context_dim=need(config, "cross_attention_dim", source), groups=config.get("norm_num_groups", 32),
        eps=config.get("norm_eps", 1e-5),
    )  # fmt: skip


def vae_config(config: Config, source: str) -> VAEConfig:
    """The configuration of an `AutoencoderKL` as ours. Raises ValueError for other designs."""
    check_only(config, VAE_ONLY, source)
    channels = tuple(need(config, "block_out_channels", source, (list, tuple)))
    for key, block in (("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")):
        check_only({key: list(config.get(key, ()))}, {key: [block] * len(channels)}, source)
    return VAEConfig(
        channels=channels, latent_channels=need(config, "latent_channels", source),
        layers=need(config, "layers_per_block", source), groups=config.get("norm_num_groups", 32),
    )  # fmt: skip


def dit_config(config: Config, source: str) -> DiTConfig:
    """The configuration of a `PixArtTransformer2DModel` as ours. Raises ValueError for other designs, such as the one for
    1024 pixels, which is told the picture's size too."""
    size = need(config, "sample_size", source)
    if config.get("use_additional_conditions") is None:
        config = {**config, "use_additional_conditions": size == 128}
    check_only(config, DIT_ONLY, source)
    heads = need(config, "num_attention_heads", source)
    width = heads * need(config, "attention_head_dim", source)
    check_only(config, {"cross_attention_dim": width}, source)
    return DiTConfig(
        sample_size=size, patch_size=need(config, "patch_size", source), in_channels=need(config, "in_channels", source),
        out_channels=config.get("out_channels"), hidden_size=width, depth=need(config, "num_layers", source), heads=heads,
        caption_channels=need(config, "caption_channels", source),
        interpolation_scale=config.get("interpolation_scale") or max(size // 64, 1),
    )  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """How a class of diffusers is read: our class, its configuration from theirs, its weights from theirs."""

    model: type[nn.Module]
    config: Callable[[Config, str], Any]
    weights: Callable[[state_dicts.State], state_dicts.State] = dict


MODELS: dict[str, Reader] = {
    "UNet2DConditionModel": Reader(UNet, unet_config),
    "AutoencoderKL": Reader(VAE, vae_config, state_dicts.from_old_vae),
    "PixArtTransformer2DModel": Reader(DiT, dit_config),
    "Transformer2DModel": Reader(DiT, dit_config),  # what PixArt-alpha was published as, before it had a class of its own
}


def read_model(folder: FilePath, allow_pickle: bool = False) -> tuple[Any, dict[str, Any]]:
    """A model's folder (`config.json` and weights) as our module, and its configuration. Raises ValueError for a class or
    an option that is not supported, and for weights that do not fit."""
    config, source = read_json(folder / "config.json"), str(folder)
    name = config.get("_class_name")
    if name not in MODELS:
        raise ValueError(f"{source} holds a {name}, which is not supported; supported are {', '.join(MODELS)}.")
    reader = MODELS[name]
    model = reader.model(reader.config(config, source))
    state_dicts.load_strict(model, reader.weights(read_state(folder, allow_pickle)), source)
    return model, config


def stable_diffusion(folder: FilePath, dtype: torch.dtype, allow_pickle: bool) -> dict[str, Any]:
    """The parts of a `StableDiffusionPipeline`."""
    text = encoders.clip_text(folder / "text_encoder", allow_pickle)
    tokenizer = encoders.read_tokenizer(folder / "tokenizer")
    length = min(tokenizer.model_max_length, text.config.max_length)
    return {
        "tokenizer": encoders.transformers_tokenizer(tokenizer, length), "text_encoder": text,
        "network": read_model(folder / "unet", allow_pickle)[0], "guidance_scale": 7.5,
    }  # fmt: skip


def pixart(folder: FilePath, dtype: torch.dtype, allow_pickle: bool) -> dict[str, Any]:
    """The parts of a `PixArtAlphaPipeline`. The T5 is in `dtype`: it has eight times the weights of what draws."""
    return {
        "tokenizer": encoders.t5_tokenizer(folder / "tokenizer"), "text_dtype": dtype,
        "text_encoder": encoders.t5_text(folder / "text_encoder", allow_pickle),
        "network": read_model(folder / "transformer", allow_pickle)[0], "guidance_scale": 4.5,
    }  # fmt: skip


# Pipeline -> its folders with the classes that we know, and the function that reads what is its own.
PIPELINES: dict[str, tuple[dict[str, tuple[str, ...]], Callable[[FilePath, torch.dtype, bool], dict[str, Any]]]] = {
    "StableDiffusionPipeline": (
        {"unet": ("UNet2DConditionModel",), "vae": ("AutoencoderKL",), "text_encoder": ("CLIPTextModel",)},
        stable_diffusion,
    ),
    "PixArtAlphaPipeline": (
        {
            "transformer": ("PixArtTransformer2DModel", "Transformer2DModel"), "vae": ("AutoencoderKL",),
            "text_encoder": ("T5EncoderModel",),
        },  # fmt: skip
        pixart,
    ),
}


def read_index(name: str, allow_pickle: bool = False) -> dict[str, Any]:
    """What a pipeline's folder, or the hub's repository, says it is made of. Raises ValueError when it is no pipeline, or
    one of other models than ours, and where the package is missing that reads its texts."""
    folder = locate(name, [INDEX, EXPORTED], allow_pickle)
    if not (folder / INDEX).is_file():
        raise ValueError(f"{name} is not the folder of a diffusers pipeline: it has no {INDEX}.")
    index = read_json(folder / INDEX)
    pipeline = index.get("_class_name")
    if pipeline not in PIPELINES:
        raise ValueError(
            f"{name} is a {pipeline}, which is not supported: give one of Stable Diffusion 1.x or PixArt-alpha "
            f"({', '.join(PIPELINES)})."
        )
    if (folder / EXPORTED).is_file():
        return index
    for part, known in PIPELINES[pipeline][0].items():
        given = index.get(part)
        given = given[1] if isinstance(given, list) and len(given) == 2 else given
        if given not in known:
            raise ValueError(f"{name}: its {part} is {given or 'missing'}, and only {' or '.join(known)} is supported.")
    require("transformers", f"The text encoder of {name}")
    return index


def read_pipeline(name: str, dtype: torch.dtype, allow_pickle: bool = False) -> dict[str, Any]:
    """The arguments of `TextToImage` for a diffusers pipeline.

    name: a folder, or the hub's "owner/name". dtype: what the network will compute in. allow_pickle: see `hub.read_state`.

    Raises ValueError, one sentence, for a folder that is no pipeline, an unsupported pipeline, model, option or scheduler,
    weights that are missing or do not fit, a pickle that was not asked for, a name that the hub does not give, and without
    transformers.
    """
    index = read_index(name, allow_pickle)
    parts, read = PIPELINES[index["_class_name"]]
    folder = locate(name, [INDEX, "scheduler/*", "tokenizer/*", "text/*", *(f"{part}/*" for part in parts)], allow_pickle)
    if (folder / EXPORTED).is_file():
        own = read_exported(folder)
    else:
        own = read(folder, dtype, allow_pickle)
        own["scheduler"] = from_diffusers(read_json(folder / "scheduler" / "scheduler_config.json"))
    vae, config = read_model(folder / "vae", allow_pickle)
    scale = need({"scaling_factor": 0.18215, **config}, "scaling_factor", str(folder / "vae"), (int, float))
    called = folder.resolve().name if FilePath(name).is_dir() else name  # it will stand in every picture
    return {**own, "vae": vae, "latent_std": (1 / scale,), "model": called}


def from_nearly_noise(path: NoiseSchedule, n: int) -> Tensor:
    """The uniform grid, begun a hair before 1 (alpha is 1e-15): where DPM-Solver++ 2M extrapolates from its first
    prediction, too. From 1 itself, infinitely far away, ours does not: that is all in which an exported folder's picture
    is another than the zoo's."""
    times = uniform(path, n)
    times[0] = NEARLY_NOISE
    return times


def read_exported(folder: FilePath) -> dict[str, Any]:
    """The parts of a folder that `minidiff export diffusers` wrote, whose text encoder is ours."""
    words, settings = encoders.ours(folder / "text"), read_json(folder / EXPORTED)
    if settings["schedule"] == "flow":
        scheduler = from_diffusers(read_json(folder / "scheduler" / "scheduler_config.json"))
    else:
        scheduler = SchedulerConfig(get_schedule(settings["schedule"]), settings["prediction_type"], "dpmpp_2m", from_nearly_noise)
    return {
        "tokenizer": words.tokenizer, "text_encoder": words.tower, "network": read_model(folder / "transformer")[0],
        "scheduler": scheduler, "guidance_scale": settings["guidance_scale"], "model_hash": settings["model_hash"],
    }  # fmt: skip
