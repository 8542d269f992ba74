"""A diffusers pipeline's folder, as the parts that `TextToImage` joins: published weights in our own models and samplers.

Read are Stable Diffusion 1.x (`StableDiffusionPipeline`), its weights for inpainting (`StableDiffusionInpaintPipeline`), its
upscaler by four (`StableDiffusionUpscalePipeline`), PixArt-alpha at 256 and 512 pixels (`PixArtAlphaPipeline`), and what
`minidiff export diffusers` wrote (export.py). Not here: single models (pretrained/from_diffusers.py) and the fetching of files
(pretrained/hub.py). Taught in the lesson on real weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from minidiff.diffusion.schedules import TABLE_LENGTH, NoiseSchedule, get_schedule
from minidiff.diffusion.timesteps import uniform
from minidiff.models.vae import VAE
from minidiff.pretrained.configs import check_latents, check_training
from minidiff.pretrained.from_diffusers import need, read_model
from minidiff.pretrained.hub import locate, read_json, require
from minidiff.pretrained.scheduler_config import SchedulerConfig, from_diffusers
from minidiff.pretrained.to_diffusers import NEARLY_NOISE
from minidiff.text import encoders
from minidiff.text.published_tokenizers import check_tokens, read_tokenizer, transformers_tokenizer
from minidiff.text.published_towers import clip_text, t5_text
from minidiff.utils.validation import Between, build, convert, shown

INDEX = "model_index.json"
EXPORTED = "minidiff.json"  # what a folder of ours says about itself, beside what diffusers reads


@dataclass(frozen=True)
class Exported:
    """The content of `minidiff.json`."""

    model: str
    model_hash: str
    schedule: str
    prediction_type: str
    guidance_scale: float
    version: str = ""


def stable_diffusion(folder: Path, dtype: torch.dtype, allow_pickle: bool, labels: int | None = None) -> dict[str, Any]:
    """The parts of a `StableDiffusionPipeline`. labels: how many the network must know."""
    network, _ = read_model(folder / "unet", allow_pickle)
    if network.config.classes != labels:
        raise ValueError(f"{folder / 'unet'}: num_class_embeds is {network.config.classes}, and only {labels} is supported.")
    text = clip_text(folder / "text_encoder", allow_pickle)
    check_captions(network.config.context_dim, text.config.hidden_size, folder)
    tokenizer = read_tokenizer(folder / "tokenizer")
    limit = convert(tokenizer.model_max_length, float, f"{folder / 'tokenizer'}: model_max_length", Between(1))
    words = transformers_tokenizer(tokenizer, int(min(limit, text.config.max_length)))
    return {
        "tokenizer": check_tokens(words, text.config.vocab_size, folder / "tokenizer"), "text_encoder": text,
        "network": network, "guidance_scale": 7.5,
    }  # fmt: skip


def upscaler(folder: Path, dtype: torch.dtype, allow_pickle: bool) -> dict[str, Any]:
    """The parts of a `StableDiffusionUpscalePipeline`, whose network is told how noisy the small picture is."""
    parts = stable_diffusion(folder, dtype, allow_pickle, labels=TABLE_LENGTH)
    config = parts["network"].config
    if config.in_channels != config.out_channels + 3:
        raise ValueError(f"{folder / 'unet'}: in_channels is {config.in_channels}, but it must be 3 more than out_channels "
                         f"{config.out_channels}, for the small picture.")  # fmt: skip
    noising = from_diffusers(read_json(folder / "low_res_scheduler" / "scheduler_config.json"))
    return {**parts, "picture_schedule": noising.schedule, "guidance_scale": 9.0}


def pixart(folder: Path, dtype: torch.dtype, allow_pickle: bool) -> dict[str, Any]:
    """The parts of a `PixArtAlphaPipeline`. The T5 is in `dtype`: it has eight times the weights of the network."""
    network, _ = read_model(folder / "transformer", allow_pickle)
    text = t5_text(folder / "text_encoder", allow_pickle)
    check_captions(network.config.caption_channels, text.width, folder)
    return {
        "tokenizer": encoders.t5_tokenizer(folder / "tokenizer", text.vocab_size), "text_dtype": dtype,
        "text_encoder": text, "network": network, "guidance_scale": 4.5,
    }  # fmt: skip


def check_captions(wanted: int | None, given: int, source: object) -> None:
    """Raises ValueError unless the network takes vectors as wide as the text encoder's."""
    if wanted != given:
        raise ValueError(f"{source}: the network takes captions of width {wanted}, and the text encoder makes {given}.")


# Pipeline -> its folders with the classes that we know, and the function that reads what is its own.
PIPELINES: dict[str, tuple[dict[str, tuple[str, ...]], Callable[[Path, torch.dtype, bool], dict[str, Any]]]] = {
    "StableDiffusionPipeline": (
        {"unet": ("UNet2DConditionModel",), "vae": ("AutoencoderKL",), "text_encoder": ("CLIPTextModel",)},
        stable_diffusion,
    ),
    "StableDiffusionInpaintPipeline": (
        {"unet": ("UNet2DConditionModel",), "vae": ("AutoencoderKL",), "text_encoder": ("CLIPTextModel",)},
        stable_diffusion,
    ),
    "StableDiffusionUpscalePipeline": (
        {"unet": ("UNet2DConditionModel",), "vae": ("AutoencoderKL",), "text_encoder": ("CLIPTextModel",)},
        upscaler,
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
    """What a pipeline's folder, or the hub's repository, says it is made of. Raises ValueError when it is no pipeline or one
    of other models than ours, and where the package is missing that reads its texts."""
    folder = locate(name, [INDEX, EXPORTED], allow_pickle)
    if not (folder / INDEX).is_file():
        raise ValueError(f"{name} is not the folder of a diffusers pipeline: it has no {INDEX}.")
    index = read_json(folder / INDEX)
    pipeline = index.get("_class_name")
    if not isinstance(pipeline, str) or pipeline not in PIPELINES:
        raise ValueError(
            f"{name} is a {shown(pipeline)}, which is not supported: give one of Stable Diffusion 1.x or PixArt-alpha "
            f"({', '.join(PIPELINES)})."
        )
    if (folder / EXPORTED).is_file():
        return index
    for part, known in PIPELINES[pipeline][0].items():
        given = index.get(part)
        given = given[1] if isinstance(given, list) and len(given) == 2 else given
        if given not in known:
            what = "missing" if given is None else shown(given)
            raise ValueError(f"{name}: its {part} is {what}, and only {' or '.join(known)} is supported.")
    require("transformers", f"The text encoder of {name}")
    return index


def read_pipeline(name: str, dtype: torch.dtype, allow_pickle: bool = False) -> dict[str, Any]:
    """The arguments of `TextToImage` for a diffusers pipeline, and the `text_dtype` of its text encoder where it matters.

    name: a folder, or the hub's "owner/name". dtype: in which the network will compute. allow_pickle: see `hub.read_state`.

    Raises ValueError, one sentence, for a folder that is no pipeline, an unsupported pipeline, model, option or scheduler,
    weights that are missing, damaged or do not fit, a pickle that was not allowed, a name that the hub does not give, and
    without transformers.
    """
    index = read_index(name, allow_pickle)
    parts, read = PIPELINES[index["_class_name"]]
    files = [INDEX, "scheduler/*", "low_res_scheduler/*", "tokenizer/*", "text/*", *(f"{part}/*" for part in parts)]
    folder = locate(name, files, allow_pickle)
    exported = (folder / EXPORTED).is_file()
    scheduler = None if exported else read_scheduler(folder)
    vae, config = read_model(folder / "vae", allow_pickle)
    if not isinstance(vae, VAE):
        raise ValueError(f"{folder / 'vae'} holds a {config['_class_name']}, and not an AutoencoderKL.")
    scaling = {"scaling_factor": 0.18215, **config}
    scale = need(scaling, "scaling_factor", str(folder / "vae"), Annotated[float, Between(1e-4, 1e4)])
    own = read_exported(folder) if exported else {**read(folder, dtype, allow_pickle), "scheduler": scheduler}
    check_latents(own["network"].config, vae.config, str(folder))
    called = folder.resolve().name if Path(name).is_dir() else name  # it will stand in every image
    return {**own, "vae": vae, "latent_std": (1 / scale,), "model": called}


def read_scheduler(folder: Path) -> SchedulerConfig:
    return from_diffusers(read_json(folder / "scheduler" / "scheduler_config.json"))


def from_nearly_noise(schedule: NoiseSchedule, n: int) -> Tensor:
    """The uniform timesteps, but the first a hair below 1 (alpha is 1e-15), where diffusers begins. There DPM-Solver++ 2M
    extrapolates from its first prediction, too; from 1 itself, infinitely far away, ours does not. That is the only
    difference between an exported folder's images and the zoo's."""
    times = uniform(schedule, n)
    times[0] = NEARLY_NOISE
    return times


def read_exported(folder: Path) -> dict[str, Any]:
    """The parts of a folder that `minidiff export diffusers` wrote, whose text encoder is ours."""
    settings = build(Exported, read_json(folder / EXPORTED), str(folder / EXPORTED))
    check_training(settings.schedule, settings.prediction_type, settings.guidance_scale, str(folder / EXPORTED))
    if settings.schedule == "flow":
        scheduler = read_scheduler(folder)
    else:
        schedule = get_schedule(settings.schedule)
        scheduler = SchedulerConfig(schedule, settings.prediction_type, "dpmpp_2m", from_nearly_noise)
    network, _ = read_model(folder / "transformer")
    words = encoders.ours(folder / "text")
    tower: Any = words.tower
    check_captions(network.config.caption_channels, tower.config.hidden_size, folder)
    return {
        "tokenizer": words.tokenizer, "text_encoder": words.tower, "network": network, "scheduler": scheduler,
        "guidance_scale": settings.guidance_scale, "model_hash": settings.model_hash,
    }  # fmt: skip
