"""A row of the zoo that makes images, as the parts that `TextToImage` joins.

Three designs are shipped: a DiT and a U-Net that take captions and work on latents, and a U-Net that takes a label and
works on pixels. Not here: the reading of the files (pretrained/zoo.py), and the choice of a model by name (loading.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from minidiff.data.world.prompt_expansion import expand_prompt
from minidiff.diffusion.samplers import get_sampler
from minidiff.diffusion.schedules import get_schedule
from minidiff.diffusion.timesteps import check_steps, uniform
from minidiff.models.clip import TextEncoder
from minidiff.models.dit import DiT
from minidiff.models.unet import UNet
from minidiff.models.vae import VAE
from minidiff.nn.lora import LoRAMixer
from minidiff.pipelines.class_to_image import LabelTokenizer, LabelUNet, OneHot, Pixels
from minidiff.pipelines.loras import part_of
from minidiff.pipelines.prompt_reader import load_reader
from minidiff.pipelines.request import OUR_CHARACTERS
from minidiff.pretrained import zoo
from minidiff.pretrained.adapters import read_lora
from minidiff.pretrained.configs import build_model, check_latents, check_statistics, check_training
from minidiff.pretrained.scheduler_config import SchedulerConfig
from minidiff.pretrained.weight_file import State
from minidiff.text.encoders import our_tokenizer
from minidiff.utils.validation import build, convert, shown

NETWORKS: dict[str, type[nn.Module]] = {"dit": DiT, "unet": UNet}
FEW_STEPS = "few_steps"  # in the row of a LoRA that is a model of its own


@dataclass(frozen=True)
class Trained:
    """What every configuration says: one of `dit` and `unet` (its settings), and how it was trained."""

    schedule: str
    prediction_type: str
    dit: dict[str, Any] | None = None
    unet: dict[str, Any] | None = None
    guidance: float = 5.0

    @property
    def part(self) -> str:
        return "dit" if self.unet is None else "unet"

    def __post_init__(self) -> None:
        check_training(self.schedule, self.prediction_type, self.guidance, "its training")
        if (self.dit is None) == (self.unet is None):
            raise ValueError("there must be the settings of a dit or of a unet, and not of both.")


@dataclass(frozen=True, kw_only=True)
class Captioned(Trained):
    """The configuration of a network that takes captions. vae, tokenizer: names in the zoo. made_with: the SHA-256 of what
    it was trained with. tell_places: whether its captions said where things are. reader: the zoo's name of the network that
    reads its prompts; where the zoo has none of that name, as a run's folder, prompts are expanded by the grammar alone.
    expand: False for a network whose captions aren't the drawn world's: prompts are taken as they are, and no word of them is
    called unknown, since its tokenizer may have been made before it learnt them."""

    text: dict[str, Any]
    vae: str
    tokenizer: str
    made_with: dict[str, str] = field(default_factory=dict)
    tell_places: bool = False
    reader: str | None = None
    expand: bool = True


@dataclass(frozen=True, kw_only=True)
class Labelled(Trained):
    """The configuration of a network that takes a label."""

    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.labels or len(set(self.labels)) < len(self.labels) or not all(label.strip() for label in self.labels):
            raise ValueError(f"labels are {shown(self.labels)}, but they must be different names, one or more.")
        if self.unet is None:
            raise ValueError("only a unet takes labels.")


@dataclass(frozen=True)
class FewSteps:
    """How a model that was distilled is sampled. steps: of the last student; guidance: what is left of it to the sampler, 1."""

    steps: int
    sampler: str = "ddim"
    guidance: float = 1.0

    def __post_init__(self) -> None:
        check_steps(self.steps)
        get_sampler(self.sampler)

    def settings(self, schedule: str, prediction_type: str) -> dict[str, Any]:
        """Its part of the arguments of `TextToImage`."""
        scheduler = SchedulerConfig(get_schedule(schedule), prediction_type, self.sampler, uniform)
        return {"scheduler": scheduler, "guidance_scale": self.guidance, "steps": self.steps}


@dataclass(frozen=True)
class Coder:
    """The configuration of a VAE and of its latents."""

    vae: dict[str, Any]
    latent_mean: list[float]
    latent_std: list[float]


def sampling_models(root: Path | str | None = None) -> list[str]:
    """The zoo's names of networks that make images."""
    return [name for name, row in zoo.manifest(root).items() if row["config"].keys() & {*NETWORKS, FEW_STEPS}]


def quick_models(root: Path | str | None = None) -> list[str]:
    """Those of them that draw in few steps."""
    return [name for name, row in zoo.manifest(root).items() if FEW_STEPS in row["config"]]


def read_row(name: str, root: Path | str | None = None) -> dict[str, Any]:
    """The arguments of `TextToImage` for a row of the zoo. Raises ValueError when the row holds no network that makes
    images, does not exist, or its configuration or files are damaged."""
    settings, state = zoo.load(name, root)
    few = settings.pop(FEW_STEPS, None)
    if few is not None:
        how = build(FewSteps, few, f"{name}: {FEW_STEPS}")
        parts = read_adapted(settings, name, root) if "lora" in settings else whole_row(settings, state, name, root)
        return {**parts, **how.settings(parts.pop("schedule"), parts.pop("prediction_type"))}
    return whole_row(settings, state, name, root)


def whole_row(settings: dict[str, Any], state: State, name: str, root: Path | str | None) -> dict[str, Any]:
    """The same for a row that holds its network. Raises ValueError as `read_row`."""
    if not settings.keys() & NETWORKS.keys():
        names = ", ".join(sampling_models(root))
        raise ValueError(f"{name!r} holds no network that makes images; those that do are {names}.")
    if "labels" in settings:
        config: Trained = build(Labelled, settings, name)
        parts = label_parts(config, read_network(config, state, name), name)
    else:
        config = build(Captioned, settings, name)
        parts = caption_parts(config, read_network(config, state, name), state, name, root)
    return {
        **parts, "schedule": config.schedule, "prediction_type": config.prediction_type, "guidance_scale": config.guidance,
        "max_characters": OUR_CHARACTERS, "model": name, "model_hash": zoo.entry(name, root)["sha256"],
    }  # fmt: skip


def read_adapted(settings: dict[str, Any], name: str, root: Path | str | None) -> dict[str, Any]:
    """The same for a LoRA: its base, changed."""
    base = zoo.lora_base({"config": settings})
    where = root if base in zoo.manifest(root) else None  # the folder of a run holds the LoRA alone
    if base is None or settings["made_with"].get(base) != zoo.entry(base, where)["sha256"]:
        raise zoo.ZooError(f"{name!r} was made for another {base!r} than the one in {zoo.zoo_root(where)}: make it anew.")
    parts = read_row(base, where)
    mixer = LoRAMixer(parts["network"])
    mixer.add(name, read_lora(zoo.path(name, root), {part_of(mixer.model): mixer.model})[part_of(mixer.model)])
    mixer.mix({name: 1.0})
    return {**parts, "model": name, "model_hash": zoo.entry(name, root)["sha256"]}


def read_network(config: Trained, state: State, name: str) -> Any:
    """The DiT or the U-Net. Raises ValueError for weights of neither the network nor the text encoder."""
    known = (config.part, "text") if isinstance(config, Captioned) else (config.part,)
    strange = next((key for key in state if key.partition(".")[0] not in known), None)
    if strange is not None:
        raise ValueError(f"{name}: the weight {shown(strange)} belongs to none of {', '.join(known)}.")
    return build_model(NETWORKS[config.part], getattr(config, config.part), under(config.part, state), f"{name}: {config.part}")


def under(part: str, state: State) -> State:
    """The weights whose names begin with `part`, without it."""
    return {key.removeprefix(f"{part}."): value for key, value in state.items() if key.startswith(f"{part}.")}


def caption_parts(config: Any, network: Any, state: State, name: str, root: Path | str | None) -> dict[str, Any]:
    """For a network that takes captions and works on latents."""
    zoo.check_dependencies(name, root)
    text = build_model(TextEncoder, config.text, under("text", state), f"{name}: text")
    wanted = network.config.caption_channels if config.part == "dit" else network.config.context_dim
    if wanted != text.config.hidden_size:
        raise ValueError(f"{name}: the network takes captions of width {wanted}, and the text encoder makes "
                         f"{text.config.hidden_size}.")  # fmt: skip
    settings, vae_state = zoo.load(config.vae, root)
    coder = build(Coder, settings, config.vae)
    vae = build_model(VAE, coder.vae, vae_state, config.vae)
    check_latents(network.config, vae.config, name)
    mean, std = check_statistics(coder.latent_mean, coder.latent_std, vae.config.latent_channels, config.vae)
    return {
        "tokenizer": our_tokenizer(zoo.path(config.tokenizer, root), text), "text_encoder": text, "network": network,
        "vae": vae, "latent_mean": mean, "latent_std": std, **prompt_parts(config, root),
    }  # fmt: skip


def prompt_parts(config: Captioned, root: Path | str | None) -> dict[str, Any]:
    """What is done with prompts before the network's own tokenizer sees them."""
    if not config.expand:
        return {"prompt_expander": None, "unknown_words": lambda prompt: []}
    reader = load_reader(config.reader, root) if config.reader in zoo.manifest(root) else None
    return {
        "prompt_expander": partial(reader.expand if reader else expand_prompt, tell_places=config.tell_places),
        "unknown_words": reader.tokenizer.unknown_words if reader else None,
    }


def label_parts(config: Any, network: Any, name: str) -> dict[str, Any]:
    """For a network that takes a label and works on pixels."""
    shape = network.config
    convert(shape.classes, int, f"{name}: classes")
    if shape.classes != len(config.labels) + 1:
        raise ValueError(f"{name}: classes is {shape.classes}, but it must be {len(config.labels) + 1}, one more than labels.")
    if (shape.in_channels, shape.out_channels, shape.context_dim) != (3, 3, None):
        raise ValueError(f"{name}: a network of pixels and labels must have 3 in_channels, 3 out_channels and no context_dim.")
    return {
        "tokenizer": LabelTokenizer(config.labels), "text_encoder": OneHot(shape.classes), "network": LabelUNet(network),
        "vae": Pixels(),
    }  # fmt: skip
