"""Train `world-upscaler`: small pictures of the drawn world and of emoji to twice or four times their width and height.

Every small picture is made of a large one by bicubic interpolation with antialiasing, rounded to 8 bits, as the benchmarks of
the field do it: no noise and no JPEG, which the network therefore doesn't know how to mend. It learns from crops, mostly of
places where much changes, and of scenes drawn at two sizes, so that it sees both fine things and large ones. The loss is the
VAE's, on all pixels alike (`vae_losses`). Not here: the network (models/upscaler.py), and how its results are measured
(evaluate/upscaling.py).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from minidiff.data.labelled import kept_world
from minidiff.data.world.scenes import WORLD_VERSION
from minidiff.models.upscaler import FACTORS, Upscaler, UpscalerConfig, shrunk
from minidiff.train.loop import Batch, Step, Task, Validator, fit, measured, mix_seed
from minidiff.train.options import Count, LoopConfig, Positive, Share, Weight, recipe_text
from minidiff.train.publish import keep
from minidiff.train.vae import kept_emoji
from minidiff.train.vae_losses import reconstruction_loss
from minidiff.utils.images import to_tensor
from minidiff.utils.validation import Between

SIZE = 128  # pixels of an emoji and of most scenes
TRIES = 4  # places from which that of a crop is chosen


@dataclass
class UpscalerRun(LoopConfig):
    """Train the network that makes pictures two or four times as large (six minutes on one CPU core)."""

    afterwards: ClassVar[tuple[str, ...]] = ("cache", "emoji", "held")

    out: Path = Path("runs/world-upscaler")
    steps: Count = 1800
    batch: Count = 8
    lr: Positive = 1.5e-3
    optimizer: Literal["adamw", "muon"] = "muon"
    warmup: Annotated[int, Between(0)] = 30
    weight_decay: Weight = 0.0
    ema: Annotated[float, Between(0, 0.9999999)] = 0.99
    validate_every: Count = 900
    workers: Annotated[int, Between(0, 256)] = 0
    width: Count = 64
    """Channels inside the network."""
    layers: Annotated[int, Between(1, 64)] = 8
    """Its residual blocks."""
    edges: Weight = 0.5
    """Weight of the error's differences (Sobel)."""
    crop: Annotated[int, Between(8, SIZE // max(FACTORS))] = 16
    """Side of the crops to learn from, in pixels of the small picture."""
    scenes: Count = 8192
    """Scenes of the drawn world to learn from; every eighth of them is drawn twice as large, too."""
    emoji: Path | None = Path("data/emoji")
    """Folder that `minidiff prepare emoji` wrote; None: the drawn world alone."""
    emoji_share: Share = 0.5
    """Share of emoji among the pictures: they have more detail."""
    cache: Path = Path("runs/cache")
    """Folder for drawn images (65 kB each, and 262 kB each of the larger ones)."""
    held: Annotated[int, Between(16)] = 128
    """Held-out pictures on which the shipped figures are taken (an eighth of them at each validation)."""


def busy_crop(image: NDArray[np.uint8], size: int, rng: random.Random) -> NDArray[np.uint8]:
    """Of a few random squares of `size` pixels of an image (H, W, 3), the one in which neighbours differ most: most of a
    picture is so smooth that it is easily enlarged."""
    height, width = image.shape[:2]
    places = [(rng.randrange(height - size + 1), rng.randrange(width - size + 1)) for _ in range(TRIES)]
    crops = [image[top : top + size, left : left + size] for top, left in places]
    return max(crops, key=lambda crop: float(np.abs(np.diff(crop.astype(np.int16), axis=1)).mean()))


class UpscalerTask(Task):
    """Weighted error of the enlarged picture, by two or four from batch to batch."""

    def __init__(self, config: UpscalerRun) -> None:
        super().__init__()
        torch.manual_seed(config.seed)
        self.config = config
        self.upscaler = Upscaler(UpscalerConfig(config.width, config.layers))
        self.upscaler = self.upscaler.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.emoji = kept_emoji(config.emoji, config.cache, "train", SIZE) if config.emoji else None
        self.small = kept_world(config.cache, config.scenes, SIZE)
        self.large = kept_world(config.cache, max(1, config.scenes // 8), 2 * SIZE)

    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        rng, config, crops = random.Random(mix_seed(seed, index)), self.config, []
        factor = FACTORS[index % len(FACTORS)]
        for _ in range(size):
            world = self.large if rng.random() < 0.25 else self.small
            source = self.emoji if self.emoji and rng.random() < config.emoji_share else world
            image, _ = source[rng.randrange(len(source))]
            crops.append(busy_crop(image, factor * config.crop, rng)[:, :: rng.choice((1, -1))])
        return {"images": to_tensor(np.stack(crops)), "factor": factor}

    def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        images, factor = batch["images"].contiguous(memory_format=torch.channels_last), batch["factor"]
        output = self.upscaler(shrunk(images, factor), factor).float()
        loss = reconstruction_loss(output, images, torch.ones_like(images[:, :1]), self.config.edges)
        return loss, {"mse": (output - images).square().mean()}


def train(config: UpscalerRun, validators: Callable[[UpscalerTask, str, int], Sequence[Validator]]) -> None:
    """Train, then keep the averaged weights together with their held-out figures.

    validators: of a task, on a split ("validation" while it trains, "test" afterwards) and so many pictures."""
    config.out.mkdir(parents=True, exist_ok=True)  # a folder that can't be is refused before images are drawn
    task = UpscalerTask(config)
    training = fit(task, config, validators(task, "validation", config.held // 8))
    if not training.finished(config):
        return
    training.ema.copy_to(task)
    figures = measured(task, validators(task, "test", config.held), config.out, training.step)
    print("held-out pictures: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))
    keep(
        config.out,
        "world-upscaler",
        task.upscaler.state_dict(),
        {"upscaler": asdict(task.upscaler.config)},
        to_zoo=config.publish,
        recipe=recipe_text("minidiff train world-upscaler", config),
        images_seen=training.images_seen(config),
        world_version=WORLD_VERSION,
        figures={**figures, "minutes": round(training.seconds / 60, 1)},
    )
