"""Train `world-pixels`: a small U-Net that makes 32 x 32 pixels of a kind of thing, without latents or words.

Each image is a part of a render: one big thing in any colour on plain paper. (Before all the world's backdrops the same network
learns the same shapes far more slowly.) One label more than there are kinds stands for "anything": it replaces a tenth of the
labels, for classifier-free guidance (Ho & Salimans 2022). Not here: the text-to-image models, which are recipes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from minidiff.data.world.random_scenes import SPLITS
from minidiff.data.world.rendering import render
from minidiff.data.world.scenes import COLOURS, SHAPES, WORLD_VERSION, Group, Scene
from minidiff.diffusion.losses import diffusion_loss, example_losses, sample_times
from minidiff.diffusion.schedules import get_schedule
from minidiff.models.unet import UNet, UNetConfig
from minidiff.train.loop import Batch, Step, Task, Validator, fit, measured, mix_seed
from minidiff.train.options import Count, LoopConfig, Positive, Share, TrainingError, Weight, recipe_text
from minidiff.train.publish import keep
from minidiff.utils.devices import autocast
from minidiff.utils.files import whole_file
from minidiff.utils.images import to_tensor
from minidiff.utils.validation import Between

SIDE = 32
ANYTHING = len(SHAPES)  # the label that says nothing


@dataclass
class PixelsRun(LoopConfig):
    """Train the drawn world's class-conditional U-Net on pixels (about a quarter of an hour on one CPU core)."""

    out: Path = Path("runs/world-pixels")
    steps: Count = 1200
    batch: Count = 32
    lr: Positive = 5e-3
    warmup: Annotated[int, Between(0)] = 30
    weight_decay: Weight = 0.01
    ema: Annotated[float, Between(0, 0.9999999)] = 0.99
    optimizer: Literal["adamw", "muon"] = "muon"
    images: Count = 20000
    """Different images to render once and learn from."""
    channels: tuple[Annotated[int, Between(1, 4096)], ...] = (32, 64, 128)
    """Width of each level, finest first."""
    attention: tuple[bool, ...] = (False, False, True)
    """Which levels have self-attention."""
    layers: Annotated[int, Between(1, 16)] = 1
    """Residual blocks per level on the way down; one more on the way up."""
    head_dim: Annotated[int, Between(1, 4096)] = 32
    groups: Annotated[int, Between(1, 4096)] = 8
    schedule: Literal["cosine", "linear", "scaled_linear", "flow"] = "cosine"
    """cosine, linear, scaled_linear or flow."""
    prediction_type: Literal["v", "eps", "x0", "flow"] = "v"
    """What the network predicts: v, eps, x0 or flow."""
    dropout: Share = 0.1
    """Share of labels replaced by "anything", for classifier-free guidance."""
    guidance: Annotated[float, Between(0, 15)] = 2.0
    """Guidance of the samples made while training, and the default of the shipped model."""
    sampling: Annotated[int, Between(1, 1000)] = 20
    """Steps of the sampler while training."""
    judged: Annotated[int, Between(0, 1000)] = 4
    """Samples of each kind that the judge grades in a validation; five times as many at the end."""
    name: str = "world-pixels"
    """Zoo name of the result."""

    def __post_init__(self) -> None:
        super().__post_init__()
        levels = len(self.channels)
        if not 1 <= levels <= 6 or len(self.attention) != levels:
            raise TrainingError(f"--channels {self.channels} and --attention {self.attention} must name the same 1 to 6 levels.")
        for width, attends in zip(self.channels, self.attention, strict=True):
            if width % self.groups or (attends and width % min(width, self.head_dim)):
                wanted = f"multiples of --groups {self.groups}, and of --head-dim {self.head_dim} where there is attention"
                raise TrainingError(f"--channels must be {wanted}; {width} is not.")


# --- the images -----------------------------------------------------------------------------------------------------


def portrait(kind: str, rng: random.Random) -> NDArray[np.uint8]:
    """One big thing of that kind, its colour, pose and paper drawn by lot: (32, 32, 3).

    It is a quarter of a drawing of 64 x 64 pixels, cut out round the thing, so that the thing fills the picture."""
    group = Group(kind, rng.choice(tuple(COLOURS)), "big", 1, "middle")
    rendered = render(Scene("plain", (group,), seed=rng.getrandbits(32)), 2 * SIDE)
    left, top = (round((low + high) * SIDE - SIDE / 2) for low, high in rendered.boxes[0].reshape(2, 2).T.tolist())
    return rendered.image[top : top + SIDE, left : left + SIDE]


def portraits(count: int, split: str = "train") -> NDArray[np.uint8]:
    """Portraits 0 .. count - 1 of a split, (count, 32, 32, 3): always the same ones; number n shows kind n % 18."""
    return np.stack([portrait(SHAPES[n % len(SHAPES)], random.Random(SPLITS[split] + n)) for n in range(count)])


def cached_portraits(count: int, folder: Path = Path("runs/pixels")) -> NDArray[np.uint8]:
    """`portraits` for training, drawn once and kept in a file."""
    path = folder / f"world{WORLD_VERSION}-{SIDE}-plain-{count}.npy"
    if not path.exists():
        with whole_file(path) as file:
            np.save(file, portraits(count))
    return np.load(path)


# --- the run --------------------------------------------------------------------------------------------------------


class PixelsTask(Task):
    """The U-Net, its portraits and its loss."""

    def __init__(self, config: PixelsRun) -> None:
        super().__init__()
        torch.manual_seed(config.seed)
        self.config, self.schedule = config, get_schedule(config.schedule)
        shape = UNetConfig(
            sample_size=SIDE, in_channels=3, out_channels=3, channels=config.channels,
            attention=config.attention, layers=config.layers, head_dim=config.head_dim, context_dim=None,
            classes=len(SHAPES) + 1, groups=config.groups,
        )  # fmt: skip
        self.unet = UNet(shape)
        self.images = cached_portraits(config.images)
        self.held = portraits(288, "validation")

    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        rng = random.Random(mix_seed(seed, index))
        numbers = [rng.randrange(len(self.images)) for _ in range(size)]
        labels = [ANYTHING if rng.random() < self.config.dropout else n % len(SHAPES) for n in numbers]
        return {"images": to_tensor(self.images[numbers]), "labels": torch.tensor(labels)}

    def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        x0 = batch["images"]
        t = sample_times(len(x0), "stratified", step.generator).to(x0.device)
        eps = torch.randn(x0.shape, generator=step.generator).to(x0.device)
        prediction = self.unet(self.schedule.mix(x0, eps, t), self.schedule.timestep(t), labels=batch["labels"])
        return diffusion_loss(prediction, x0, eps, t, self.schedule, self.config.prediction_type), {}

    def validate(self, folder: Path, step: int) -> dict[str, float]:
        return {"loss": self.fixed_noise_loss()}

    @torch.no_grad()
    def fixed_noise_loss(self) -> float:
        """The loss on validation portraits whose times and noise never change: comparable from step to step."""
        device, generator = next(self.parameters()).device, torch.Generator().manual_seed(0)
        x0 = to_tensor(self.held).to(device)                                                    # (288, 3, 32, 32)
        t = sample_times(len(x0), "stratified", generator).to(device)
        eps = torch.randn(x0.shape, generator=generator).to(device)
        labels = (torch.arange(len(x0)) % len(SHAPES)).to(device)
        with autocast(device):
            prediction = self.unet(self.schedule.mix(x0, eps, t), self.schedule.timestep(t), labels=labels)
        return float(example_losses(prediction, x0, eps, t, self.schedule, self.config.prediction_type).mean())

    def zoo_config(self) -> dict:
        """What the zoo keeps beside the weights."""
        config = self.config
        return {
            "unet": asdict(self.unet.config), "schedule": config.schedule, "prediction_type": config.prediction_type,
            "labels": list(SHAPES), "guidance": config.guidance,
        }  # fmt: skip


def train(config: PixelsRun, validators: Callable[[PixelsTask], Sequence[Validator]]) -> None:
    """Train, then keep the averaged weights with the validators' figures."""
    task = PixelsTask(config)
    asked = validators(task)
    training = fit(task, config, asked)
    if training.step < config.steps:
        return
    training.ema.copy_to(task)
    figures = training.figures or measured(task, [task.validate, *asked], config.out, training.step)
    if not training.main:
        return
    keep(
        config.out,
        config.name,
        task.state_dict(),
        task.zoo_config(),
        to_zoo=config.publish,
        recipe=recipe_text("minidiff train world-pixels", config),
        images_seen=training.images_seen(config),
        world_version=WORLD_VERSION,
        figures={**figures, "minutes": round(training.seconds / 60, 1)},
    )
