"""What a configuration from a file may say: the ranges of every setting, and what must hold between a configuration and
its weights.

`build_model` is the one way from settings and weights to a module of ours. Not here: how files are read (weight_file.py,
zoo.py, hub.py) and diffusers' words for the settings (from_diffusers.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from torch import nn

from minidiff.diffusion.prediction import PREDICTION_TYPES
from minidiff.diffusion.schedules import SCHEDULES
from minidiff.models.clip import TextConfig, TextEncoder, TextTransformer
from minidiff.models.dit import DiT, DiTConfig
from minidiff.models.siglip import SigLIPText, SigLIPTextConfig
from minidiff.models.unet import UNet, UNetConfig
from minidiff.models.upscaler import Upscaler, UpscalerConfig
from minidiff.models.vae import VAE, VAEConfig
from minidiff.pretrained.assemble import assemble
from minidiff.pretrained.weight_file import State
from minidiff.utils.validation import Between, build, convert, shown

WIDTH = Between(1, 2**20)  # of a layer; its weights must be in the file
SIDE = Between(1, 256)  # of a latent, or of the image where there is no VAE: no file of weights says how large it is
EPS = Between(0, 1, above=True)
TOKENS = 96**2  # that attention works on: Stable Diffusion at 768 pixels
IMAGE_SIDE = 1024  # pixels

_TEXT = ("vocab_size", "hidden_size", "layers", "heads", "intermediate", "projection_dim", "max_length")
BOUNDS: dict[type, dict[str, Between]] = {
    DiTConfig: {
        **dict.fromkeys(["patch_size", "in_channels", "out_channels", "hidden_size", "depth", "heads", "mlp_ratio"], WIDTH),
        "caption_channels": WIDTH, "sample_size": SIDE, "interpolation_scale": Between(1e-3, 1e3),
    },
    UNetConfig: {
        **dict.fromkeys(["in_channels", "out_channels", "channels", "layers", "heads", "head_dim", "context_dim"], WIDTH),
        "classes": WIDTH, "groups": WIDTH, "sample_size": SIDE, "eps": EPS,
    },
    VAEConfig: dict.fromkeys(["channels", "latent_channels", "layers", "groups"], WIDTH),
    UpscalerConfig: dict.fromkeys(["width", "layers"], WIDTH),
    TextConfig: {**dict.fromkeys(_TEXT, WIDTH), "norm_eps": EPS, "eos_id": Between(0, 2**20)},
    SigLIPTextConfig: {**dict.fromkeys(_TEXT, WIDTH), "norm_eps": EPS, "eos_id": Between(0, 2**20)},
}  # fmt: skip
CONFIGS: dict[type[nn.Module], type] = {
    DiT: DiTConfig, UNet: UNetConfig, VAE: VAEConfig, TextEncoder: TextConfig, TextTransformer: TextConfig,
    SigLIPText: SigLIPTextConfig, Upscaler: UpscalerConfig,
}  # fmt: skip


def build_config(cls: type, settings: object, source: str) -> Any:
    """A configuration of a model of ours from its table. Raises ValueError as `validation.build`, and for one with which
    the model could not sample."""
    config: Any = build(cls, settings, source, BOUNDS[cls])
    check_design(config, source)
    return config


def build_model(
    model: type[nn.Module], settings: object, weights: State, source: str, read: Callable[[], State] | None = None
) -> Any:
    """A model of ours from the settings of its configuration and its weights, see `assemble`.

    Raises ValueError for settings that are not allowed or promise more layers than there are weights, and for weights
    that don't fit.
    """
    config = build_config(CONFIGS[model], settings, source)
    check_blocks(blocks_of(config), weights, source)
    return assemble(lambda: model(config), weights, source, read)


def blocks_of(config: Any) -> int:
    """How many blocks a model has at least; each of them has weights."""
    if isinstance(config, DiTConfig):
        return config.depth
    return config.layers * (len(config.channels) if isinstance(config, UNetConfig | VAEConfig) else 1)


def check_blocks(blocks: int, weights: Mapping[str, Any], source: str) -> None:
    """Raises ValueError when there are fewer weights than blocks: even their names would take all the memory there is."""
    if blocks > len(weights):
        raise ValueError(f"{source} describes a model of {blocks:,} layers, and there are only {len(weights)} weights.")


def check_design(config: Any, source: str) -> None:
    """Raises ValueError for a configuration that fits its weights, but samples nothing, or for hours."""
    if isinstance(config, DiTConfig):
        check_tokens((config.sample_size // config.patch_size) ** 2, source)
        if (config.out_channels or config.in_channels) < config.in_channels:
            raise ValueError(f"{source}: out_channels is {config.out_channels}, fewer than in_channels {config.in_channels}.")
    elif isinstance(config, UNetConfig):
        smallest = 2 ** (len(config.channels) - 1)
        if config.sample_size % smallest:
            raise ValueError(f"{source}: sample_size is {config.sample_size}, but it must be a multiple of {smallest}.")
        if config.out_channels < latent_channels(config):
            raise ValueError(f"{source}: out_channels is {config.out_channels}, fewer than in_channels {config.in_channels}.")
        finest = config.attention.index(True) if any(config.attention) else len(config.attention) - 1
        check_tokens((config.sample_size >> finest) ** 2, source)
    elif isinstance(config, VAEConfig) and not 1 <= len(config.channels) <= 8:
        raise ValueError(f"{source}: channels are {shown(config.channels)}, but they must be 1 to 8 widths.")
    elif isinstance(config, VAEConfig) and any(width % config.groups for width in config.channels):
        raise ValueError(f"{source}: channels are {shown(config.channels)}, and not all multiples of groups={config.groups}.")


def latent_channels(config: Any) -> int:
    """Channels of the latents of a network. One that inpaints is also given the mask and the masked picture's latent: of
    Stable Diffusion's 9 channels 4 are drawn (Rombach et al. 2022, appendix E.2.2). One that upscales is given the small
    picture: of 7 channels 4 are drawn."""
    drawn = config.out_channels or config.in_channels
    return drawn if config.in_channels in (2 * drawn + 1, drawn + 3) else config.in_channels


def check_tokens(tokens: int, source: str) -> None:
    if not 1 <= tokens <= TOKENS:
        raise ValueError(f"{source}: attention over {tokens:,} places is asked for, and at most {TOKENS:,} are allowed.")


def check_latents(network: Any, vae: VAEConfig, source: str) -> None:
    """Raises ValueError unless the VAE decodes the latents of the network of this configuration, into an image of at most
    1024 pixels a side."""
    channels = latent_channels(network)
    if vae.latent_channels != channels:
        raise ValueError(f"{source}: the network's latents have {channels} channels, and the VAE's {vae.latent_channels}.")
    side = network.sample_size << (len(vae.channels) - 1)
    if side > IMAGE_SIDE:
        raise ValueError(f"{source}: images would be {side} pixels wide, and at most {IMAGE_SIDE} are allowed.")


def check_statistics(mean: object, std: object, channels: int, source: str) -> tuple[list[float], list[float]]:
    """The mean and deviation of a VAE's latents. Raises ValueError unless they are a finite number for each channel, the
    deviations above 0."""
    means = convert(mean, list[Annotated[float, Between(-1e4, 1e4)]], f"{source}: latent_mean")
    stds = convert(std, list[Annotated[float, Between(1e-4, 1e4)]], f"{source}: latent_std")
    for name, values in (("latent_mean", means), ("latent_std", stds)):
        if len(values) != channels:
            raise ValueError(f"{source}: {name} has {len(values)} numbers, and the latents have {channels} channels.")
    return means, stds


def check_training(schedule: object, prediction_type: object, guidance: object, source: str) -> None:
    """Raises ValueError for a noise schedule or a prediction type that isn't there, or a guidance scale out of its range."""
    for name, value, known in (("schedule", schedule, SCHEDULES), ("prediction_type", prediction_type, PREDICTION_TYPES)):
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"{source}: {name} is {shown(value)}, but it must be one of {', '.join(known)}.")
    convert(guidance, Annotated[float, Between(0, 15)], f"{source}: guidance")
