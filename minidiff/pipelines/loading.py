"""A row of the zoo that draws, as the parts that `TextToImage` joins.

Three designs are shipped: a DiT or a U-Net that reads captions and draws latents, and a U-Net that is told a kind of thing
and draws pixels. What it is not: the reading and checking of the files, which is `zoo`, or of other people's models
(`folders.py`).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from minidiff.data.world.prompt_expansion import expand_prompt
from minidiff.models.clip import TextConfig, TextEncoder
from minidiff.models.dit import DiT, DiTConfig
from minidiff.models.unet import UNet, UNetConfig
from minidiff.models.vae import VAE, VAEConfig
from minidiff.pipelines.class_to_image import KindNames, LabelUNet, OneHot, Pixels
from minidiff.pretrained import zoo
from minidiff.pretrained.state_dicts import State, load_strict
from minidiff.text.tokenizer import Tokenizer

NETWORKS: dict[str, tuple[type[nn.Module], Any]] = {"dit": (DiT, DiTConfig), "unet": (UNet, UNetConfig)}


def drawing_models(root: Path | str | None = None) -> list[str]:
    """The names of the rows that draw."""
    return [name for name, row in zoo.manifest(root).items() if row["config"].keys() & NETWORKS.keys()]


def read_row(name: str, root: Path | str | None = None) -> dict[str, Any]:
    """The arguments of `TextToImage` that a row of the zoo stands for. Raises ValueError when the row does not draw, does
    not exist, or its files are damaged."""
    config, state = zoo.load(name, root)
    part = next((part for part in NETWORKS if part in config), None)
    if part is None:
        raise ValueError(f"{name!r} holds no network that draws; those that do are {', '.join(drawing_models(root))}.")
    network_class, config_class = NETWORKS[part]
    network = network_class(config_class(**config[part]))
    load_strict(network, under(part, state), name)
    return {
        **(label_parts(config, network) if "labels" in config else caption_parts(config, network, state, name, root)),
        "schedule": config["schedule"], "prediction_type": config["prediction_type"], "guidance_scale": config.get("guidance", 5.0),
        "model": name, "model_hash": zoo.entry(name, root)["sha256"],
    }  # fmt: skip


def under(part: str, state: State) -> State:
    """The weights whose names begin with `part`, without it."""
    return {key.removeprefix(f"{part}."): value for key, value in state.items() if key.startswith(f"{part}.")}


def caption_parts(
    config: dict[str, Any], network: nn.Module, state: State, name: str, root: Path | str | None
) -> dict[str, Any]:
    """For a network that reads captions and draws latents."""
    zoo.check_dependencies(name, root)
    vae_config, vae_state = zoo.load(config["vae"], root)
    text, vae = TextEncoder(TextConfig(**config["text"])), VAE(VAEConfig(**vae_config["vae"]))
    load_strict(text, under("text", state), name)
    load_strict(vae, vae_state, config["vae"])
    return {
        "tokenizer": Tokenizer.load(zoo.path(config["tokenizer"], root)), "text_encoder": text, "network": network,
        "vae": vae, "latent_mean": vae_config["latent_mean"], "latent_std": vae_config["latent_std"],
        "prompt_expander": partial(expand_prompt, spots=config.get("spots", False)),
    }  # fmt: skip


def label_parts(config: dict[str, Any], network: Any) -> dict[str, Any]:
    """For a network that is told a kind of thing and draws pixels."""
    return {
        "tokenizer": KindNames(config["labels"]), "text_encoder": OneHot(config["unet"]["classes"]),
        "network": LabelUNet(network), "vae": Pixels(),
    }  # fmt: skip
