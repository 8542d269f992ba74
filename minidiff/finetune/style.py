"""`minidiff finetune style NAME`: one of the drawn world's styles as a LoRA, in one command and from nothing.

It draws its own images. By default the VAE's decoder alone learns (`finetune/decoder.py`), to draw latents of flat images in
the style: then the network goes on as it always did, and things stay what and where they were, as far as the decoder's colours
and edges let one see. With --network-steps the network learns, too (`finetune/lora.py`), to make latents of styled images, and
the decoder to draw those: the way for a style that changes what is in an image, and a much longer one. Taught in the lesson on
LoRA.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro

from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import FLAT, render
from minidiff.data.world.scenes import WORLD_VERSION
from minidiff.data.world.style_folder import PrepareStyle, prepare_style
from minidiff.data.world.styles import file_name, style_called
from minidiff.finetune.decoder import HELD, DecoderRun, finetune_decoder
from minidiff.finetune.learners import file_in
from minidiff.finetune.lora import LoRARun, finetune_lora
from minidiff.finetune.run import REPORT
from minidiff.finetune.task import best_of
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.loras import part_of
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pretrained import zoo
from minidiff.pretrained.adapters import Parts, read_lora, write_lora
from minidiff.train.options import Count, TrainingError, checked
from minidiff.utils.files import write_whole
from minidiff.utils.strict_json import read as read_json
from minidiff.utils.validation import Between

TARGETS = (  # cross-attention finds its words as before, so what asks for them and what answers stay
    "attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "attn2.to_v", "attn2.to_out.0", "net.0.proj", "net.2",
    "proj_out",
)  # fmt: skip
BOTH = 4  # rank of network and decoder where both learn
NETWORK_BATCH = 4


@dataclass
class StyleRun:
    """Teach a model one of the drawn world's styles (about two minutes on one CPU core); the images are drawn first."""

    style: tyro.conf.Positional[str]
    """outline, watercolour, pixel-art, woodcut or neon."""
    model: str = "world-dit"
    """A name in the zoo that takes captions. When the decoder alone learns, the LoRA is for all models with its VAE."""
    out: Path | None = None
    """Folder for checkpoints and the LoRA; runs/NAME when not given. A run found there is resumed."""
    images: Annotated[int, Between(HELD + 4)] = 120
    """Scenes to draw and learn from."""
    steps: Count = 120
    """Steps of the VAE's decoder, of 2 images; more of them make sharper images."""
    network_steps: Annotated[int, Between(0)] = 0
    """Steps of the network, of 4 images; 0: it stays as it is."""
    fresh: bool = False
    """Start anew even if the folder holds a checkpoint."""
    publish: bool = False
    """Put the LoRA into the zoo, where it replaces the one of its name."""

    def __post_init__(self) -> None:
        """Raises ValueError for a style that there isn't, TrainingError for numbers out of their range and other models."""
        self.style = style_called(self.style)
        checked(self)
        if "vae" not in zoo.manifest().get(self.model, {"config": {}})["config"]:
            raise TrainingError(f"{self.model!r} is no model of the zoo that takes captions: choose world-dit, say.")

    @property
    def name(self) -> str:
        return file_name(self.style)

    @property
    def folder(self) -> Path:
        return self.out or Path("runs") / self.name

    def recipe(self) -> str:
        """The command that repeats it."""
        told = [f"--{key.replace('_', '-')} {getattr(self, key)}" for key in ("model", "images", "steps", "network_steps")
                if getattr(self, key) != getattr(StyleRun, key)]  # fmt: skip
        return " ".join([f"minidiff finetune style {self.name}", *told])

    def decoder_run(self) -> DecoderRun:
        """How the decoder learns."""
        rank = BOTH if self.network_steps else DecoderRun.rank
        return DecoderRun(out=self.folder / "decoder", rank=rank, steps=self.steps, fresh=self.fresh)

    def network_run(self) -> LoRARun:
        """How the network learns: a high rate and small batches, since minutes are few; weights all times alike, since a style
        is settled early as well; and no mirror images, since captions say left and right."""
        return LoRARun(
            data=self.folder / "images", model=self.model, out=self.folder / "network", rank=BOTH, targets=TARGETS,
            min_snr=0.0, mirror=False, held=HELD / self.images, steps=self.network_steps, batch=NETWORK_BATCH, lr=1e-2,
            warmup=10, ema=0.95, validate_every=100, save_every=100, fresh=self.fresh,
        )  # fmt: skip


def finetune_style(run: StyleRun) -> Path:
    """Draw, learn, and write the LoRA; returns its file. Raises TrainingError and ValueError as what it calls."""
    parts, figures = learn_network(run) if run.network_steps else ({}, {})
    pipeline = load_pipeline(run.model, dtype="float32")
    wanted = images_of(run, pipeline, run.style)
    given = wanted if run.network_steps else images_of(run, pipeline, FLAT)
    parts["vae"], learnt = finetune_decoder(run.decoder_run(), pipeline.vae, given, wanted)
    figures |= learnt
    file = write_lora(run.folder / f"{run.name}.safetensors", parts, dtype=torch.float16)
    write_whole(run.folder / REPORT, json.dumps({"recipe": run.recipe(), **figures}, indent=2))
    print(f"{file} ({file.stat().st_size / 1e6:.2f} MB): " + ", ".join(f"{key} {value:.4g}" for key, value in figures.items()))
    if run.publish:
        publish_style(run, file, figures)
    return file


def images_of(run: StyleRun, pipeline: TextToImage, style: str) -> np.ndarray:
    """The run's scenes in a style, as large as the model draws: (N, S, S, 3) uint8."""
    side = pipeline.latent_shape[-1] * 2 ** (len(pipeline.vae.config.channels) - 1)
    return np.stack([render(scene_at(number), side, style).image for number in range(run.images)])


def learn_network(run: StyleRun) -> tuple[Parts, dict[str, float]]:
    """The network's part, and its figures; what was learnt before is only read."""
    network = run.network_run()
    prepare_style(PrepareStyle(run.name, network.data, run.images))
    done = not run.fresh and (network.out / REPORT).exists() and read_json(network.out / REPORT)["steps"] >= run.network_steps
    if not done:
        finetune_lora(network)
    model = load_pipeline(run.model, dtype="float32").network
    said = read_json(network.out / REPORT)
    best: dict[str, Any] = best_of(network.out) or {}
    figures = {"loss_without": said["without"], "loss": best["loss"], "network_minutes": round(said["minutes"], 1)}
    return read_lora(file_in(network.out), {part_of(model): model}), figures


def publish_style(run: StyleRun, file: Path, figures: dict[str, float]) -> None:
    """Into the zoo, with the name and the hash of what it was made for: the VAE, and the model whose network learnt."""
    vae = str(zoo.entry(run.model)["config"]["vae"])
    base = run.model if run.network_steps else vae
    made_with = {other: zoo.entry(other)["sha256"] for other in dict.fromkeys((base, vae))}
    seen = run.steps * DecoderRun.batch + run.network_steps * NETWORK_BATCH
    zoo.add_file(
        run.name, file.read_bytes(), ".safetensors",
        config={"lora": {"base": base, "style": run.style}, "made_with": made_with}, recipe=run.recipe(),
        images_seen=seen, world_version=WORLD_VERSION, figures=figures,
    )  # fmt: skip
    print(f'Published {run.name!r}: minidiff sample "..." --model {run.model} --lora {run.name}:0.8')
