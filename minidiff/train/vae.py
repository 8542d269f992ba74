"""Train `world-vae`: pictures of the drawn world to latents of an eighth of their height and width, and back.

Most of a picture is smooth background that is soon learned. So the first part of the run sees 64-pixel crops round the
things, four times as many for the same work, and only the last part sees whole pictures.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from minidiff.data.world.scenes import WORLD_VERSION, Render, render, scene_at
from minidiff.evaluate.metrics import psnr, ssim
from minidiff.models.vae import VAE, VAEConfig
from minidiff.train.loop import Batch, LoopConfig, Step, Task, Training, fit, mix_seed, recipe
from minidiff.utils.images import contact_sheet, to_images, to_tensor


@dataclass
class VAERun(LoopConfig):
    """Train the drawn world's VAE (f8, 4 channels, 128 px)."""

    out: Path = Path("runs/world-vae")
    steps: int = 3200
    batch: int = 16
    """Crops per step; in the last part, batch / 4 whole pictures."""
    lr: float = 8e-3
    optimizer: str = "muon"
    warmup: int = 100
    ema: float = 0.998
    channels: tuple[int, ...] = (16, 32, 64, 128)
    layers: int = 1
    groups: int = 8
    kl: float = 3e-4
    """Weight of the KL divergence (nats per latent number)."""
    whole: float = 0.25
    """Share of the steps, at the end, that see whole pictures."""
    size: int = 128
    crop: int = 64
    held: int = 512
    """Held-out pictures on which the shipped figures are taken (a tenth of them at each validation)."""


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

    def __init__(self, config: VAERun) -> None:
        super().__init__()
        torch.manual_seed(config.seed)
        self.config = config
        self.vae = VAE(VAEConfig(config.channels, 4, config.layers, config.groups)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        rng, config = random.Random(mix_seed(seed, index)), self.config
        if index < config.steps * config.accumulate * self.processes * (1 - config.whole):
            drawn = [render(scene_at(index * size + k), config.size) for k in range(size)]
            images = np.stack([crop_round_a_thing(d, config.crop, rng) for d in drawn])
        else:
            count = max(1, size // 4)
            images = np.stack([render(scene_at(index * size + k), config.size).image for k in range(count)])
        return {"pictures": to_tensor(images[:, :, :: rng.choice((1, -1))])}

    def pictures_seen(self, training: Training) -> int:
        """Crops, then a quarter as many whole pictures a step."""
        config, last = self.config, round(self.config.steps * self.config.whole)
        whole = max(1, config.batch // config.accumulate // 4) * config.accumulate
        return training.processes * ((config.steps - last) * config.batch + last * whole)

    def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        pictures = batch["pictures"].contiguous(memory_format=torch.channels_last)
        mean, log_variance = (m.float() for m in self.vae.encode(pictures))
        output = self.vae.decode(VAE.draw(mean, log_variance, step.generator)).float()
        error = (output - pictures).abs().mean()
        squared = (output - pictures).square().mean()
        kl = VAE.kl(mean, log_variance)
        return error + 2 * squared + self.config.kl * kl, {"mse": squared, "kl": kl}

    def validate(self, folder: Path, step: int) -> dict[str, float]:
        count = max(8, self.config.held // 10)
        images = np.stack([render(scene_at(k, "validation"), self.config.size).image for k in range(count)])
        output = reconstruct(self.vae, images)
        folder.mkdir(parents=True, exist_ok=True)
        pairs = np.stack([images[:8], output[:8]]).reshape(16, *images.shape[1:])
        contact_sheet(pairs, 8).save(folder / f"reconstructions-{step:06d}.png")
        return reconstruction_figures(images, output)


@torch.no_grad()
def reconstruct(vae: VAE, images: np.ndarray, batch: int = 16) -> np.ndarray:
    """Encode (mean of the latent) and decode pictures (N, H, W, 3) uint8; returns the same shape and type."""
    device = next(vae.parameters()).device
    outputs = []
    for part in np.array_split(images, max(1, len(images) // batch)):
        mean, _ = vae.encode(to_tensor(part).to(device))
        outputs.append(to_images(vae.decode(mean)))
    return np.concatenate(outputs)


def reconstruction_figures(images: np.ndarray, output: np.ndarray) -> dict[str, float]:
    """Mean PSNR (dB) and SSIM over pictures (N, H, W, 3) uint8."""
    real, made = (to_tensor(x) / 2 + 0.5 for x in (images, output))
    return {"psnr": float(psnr(made, real).mean()), "ssim": float(ssim(made, real).mean())}


@torch.no_grad()
def latent_statistics(vae: VAE, count: int = 1024, size: int = 128) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each latent channel over `count` training pictures."""
    device = next(vae.parameters()).device
    means = []
    for start in range(0, count, 32):
        images = np.stack([render(scene_at(k), size).image for k in range(start, start + 32)])
        means.append(vae.encode(to_tensor(images).to(device))[0].float().cpu())
    latents = torch.cat(means)
    return latents.mean((0, 2, 3)).tolist(), latents.std((0, 2, 3)).tolist()


def train(config: VAERun) -> None:
    """Train, then put the averaged weights into the zoo together with their latent statistics and held-out figures."""
    from minidiff.pretrained import zoo

    task = VAETask(config)
    training = fit(task, config)
    if not training.finished(config):
        return
    training.ema.copy_to(task)
    task.eval()
    images = np.stack([render(scene_at(k, "test"), config.size).image for k in range(config.held)])
    figures = reconstruction_figures(images, reconstruct(task.vae, images))
    mean, std = latent_statistics(task.vae, 2 * config.held, config.size)
    print(f"held-out renders: PSNR {figures['psnr']:.2f} dB, SSIM {figures['ssim']:.4f}; latent std {std}")
    zoo.add(
        "world-vae",
        task.vae.state_dict(),
        {"vae": asdict(task.vae.config), "latent_mean": mean, "latent_std": std},
        recipe=recipe("minidiff train world-vae", config),
        images_seen=task.pictures_seen(training),
        world_version=WORLD_VERSION,
        figures=figures,
    )
