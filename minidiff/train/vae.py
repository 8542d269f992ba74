"""Train `world-vae`: images of the drawn world to latents of an eighth of their height and width, and back.

Most of an image is smooth background that is soon learned. So the first part of the run sees 64-pixel crops round the
things, four times as many for the same work, and only the last part sees whole images.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import Render, render
from minidiff.data.world.scenes import WORLD_VERSION
from minidiff.models.vae import VAE, VAEConfig
from minidiff.train.checkpoint import Training
from minidiff.train.loop import Batch, Step, Task, fit, mix_seed
from minidiff.train.options import Count, LoopConfig, Positive, Share, TrainingError, Weight, recipe_text
from minidiff.train.publish import keep
from minidiff.utils.images import contact_sheet, to_images, to_tensor
from minidiff.utils.validation import Between

Figures = Callable[[np.ndarray, np.ndarray], dict[str, float]]
"""(images, reconstructions), both (N, H, W, 3) uint8, to figures."""


@dataclass
class VAERun(LoopConfig):
    """Train the drawn world's VAE (f8, 4 channels, 128 px)."""

    out: Path = Path("runs/world-vae")
    steps: Count = 3200
    batch: Count = 16
    """Crops per step; in the last part, batch / 4 whole images."""
    lr: Positive = 8e-3
    optimizer: Literal["adamw", "muon"] = "muon"
    warmup: Annotated[int, Between(0)] = 100
    ema: Annotated[float, Between(0, 0.9999999)] = 0.998
    channels: tuple[Annotated[int, Between(1, 4096)], ...] = (16, 32, 64, 128)
    layers: Annotated[int, Between(1, 16)] = 1
    groups: Annotated[int, Between(1, 4096)] = 8
    kl: Weight = 3e-4
    """Weight of the KL divergence (nats per latent number)."""
    whole: Share = 0.25
    """Share of the steps, at the end, that see whole images."""
    size: Annotated[int, Between(32, 512)] = 128
    crop: Annotated[int, Between(8, 512)] = 64
    held: Annotated[int, Between(16)] = 512
    """Held-out images on which the shipped figures are taken (a tenth of them at each validation)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.channels) != 4 or any(width % self.groups for width in self.channels):
            raise TrainingError(f"--channels must be four multiples of --groups {self.groups}, not {self.channels}.")
        if self.size % 8 or self.crop % 8 or self.crop > self.size:
            raise TrainingError(f"--size {self.size} and --crop {self.crop} must be multiples of 8, the crop not the larger.")


def crop_round_a_thing(drawn: Render, size: int, rng: random.Random) -> np.ndarray:
    """A square of `size` pixels that holds at least a part of one thing."""
    height = drawn.image.shape[0]
    x0, y0, x1, y1 = drawn.boxes[rng.randrange(len(drawn.boxes))] * height
    left = round((x0 + x1 - size) / 2 + rng.uniform(-0.35, 0.35) * size)
    top = round((y0 + y1 - size) / 2 + rng.uniform(-0.35, 0.35) * size)
    left, top = (min(max(0, edge), height - size) for edge in (left, top))
    return drawn.image[top : top + size, left : left + size]


class VAETask(Task):
    """Absolute and squared error of the reconstruction, plus a little KL divergence."""

    def __init__(self, config: VAERun, figures: Figures) -> None:
        """figures: what a validation measures."""
        super().__init__()
        torch.manual_seed(config.seed)
        self.config, self.figures = config, figures
        self.vae = VAE(VAEConfig(config.channels, 4, config.layers, config.groups)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        rng, config = random.Random(mix_seed(seed, index)), self.config
        if index < config.steps * config.accumulate * self.processes * (1 - config.whole):
            drawn = [render(scene_at(index * size + k), config.size) for k in range(size)]
            images = np.stack([crop_round_a_thing(d, config.crop, rng) for d in drawn])
        else:
            count = max(1, size // 4)
            images = np.stack([render(scene_at(index * size + k), config.size).image for k in range(count)])
        return {"images": to_tensor(images[:, :, :: rng.choice((1, -1))])}

    def images_seen(self, training: Training) -> int:
        """Crops, then a quarter as many whole images a step."""
        config, last = self.config, round(self.config.steps * self.config.whole)
        whole = max(1, config.batch // config.accumulate // 4) * config.accumulate
        return training.processes * ((config.steps - last) * config.batch + last * whole)

    def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        images = batch["images"].contiguous(memory_format=torch.channels_last)
        mean, log_variance = (m.float() for m in self.vae.encode(images))
        output = self.vae.decode(VAE.sample(mean, log_variance, step.generator)).float()
        error = (output - images).abs().mean()
        squared = (output - images).square().mean()
        kl = VAE.kl(mean, log_variance)
        return error + 2 * squared + self.config.kl * kl, {"mse": squared, "kl": kl}

    def validate(self, folder: Path, step: int) -> dict[str, float]:
        count = max(8, self.config.held // 10)
        images = np.stack([render(scene_at(k, "validation"), self.config.size).image for k in range(count)])
        output = reconstruct(self.vae, images)
        folder.mkdir(parents=True, exist_ok=True)
        pairs = np.stack([images[:8], output[:8]]).reshape(16, *images.shape[1:])
        contact_sheet(pairs, 8).save(folder / f"reconstructions-{step:06d}.png")
        return self.figures(images, output)


@torch.no_grad()
def reconstruct(vae: VAE, images: np.ndarray, batch: int = 16) -> np.ndarray:
    """Encode (mean of the latent) and decode images (N, H, W, 3) uint8; returns the same shape and type."""
    device = next(vae.parameters()).device
    outputs = []
    for part in np.array_split(images, max(1, len(images) // batch)):
        mean, _ = vae.encode(to_tensor(part).to(device))
        outputs.append(to_images(vae.decode(mean)))
    return np.concatenate(outputs)


@torch.no_grad()
def latent_statistics(vae: VAE, count: int = 1024, size: int = 128) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each latent channel over `count` training images."""
    device = next(vae.parameters()).device
    means = []
    for start in range(0, count, 32):
        images = np.stack([render(scene_at(k), size).image for k in range(start, start + 32)])
        means.append(vae.encode(to_tensor(images).to(device))[0].float().cpu())
    latents = torch.cat(means)
    return latents.mean((0, 2, 3)).tolist(), latents.std((0, 2, 3)).tolist()


def train(config: VAERun, figures: Figures) -> None:
    """Train, then keep the averaged weights together with their latent statistics and held-out figures."""
    task = VAETask(config, figures)
    training = fit(task, config)
    if not training.finished(config):
        return
    training.ema.copy_to(task)
    task.eval()
    images = np.stack([render(scene_at(k, "test"), config.size).image for k in range(config.held)])
    measured = figures(images, reconstruct(task.vae, images))
    mean, std = latent_statistics(task.vae, 2 * config.held, config.size)
    print("held-out renders: " + ", ".join(f"{name} {value:.4g}" for name, value in measured.items()) + f"; latent std {std}")
    keep(
        config.out,
        "world-vae",
        task.vae.state_dict(),
        {"vae": asdict(task.vae.config), "latent_mean": mean, "latent_std": std},
        to_zoo=config.publish,
        recipe=recipe_text("minidiff train world-vae", config),
        images_seen=task.images_seen(training),
        world_version=WORLD_VERSION,
        figures=measured,
    )
