"""Train `world-vae`: images of the drawn world and of emoji to latents of an eighth of their height and width, and back.

The first part of the run sees 64-pixel crops round the things, four times as many for the same work; the second sees whole
images; in the last a discriminator and an image tower may join. What is minimised stands in `vae_losses`,
`patch_discriminator` and `perceptual`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from minidiff.data.emoji.prepare import VERSION as EMOJI_VERSION
from minidiff.data.emoji.prepare import read_prepared
from minidiff.data.labelled import Labelled, Pair, keep_images, kept_world
from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import render
from minidiff.data.world.scenes import WORLD_VERSION
from minidiff.models.vae import VAE, VAEConfig
from minidiff.pretrained import zoo
from minidiff.pretrained.assemble import load_strict
from minidiff.train.checkpoint import Training
from minidiff.train.loop import Batch, Step, Task, Validator, fit, measured, mix_seed
from minidiff.train.options import Count, LoopConfig, Positive, Share, TrainingError, Weight, recipe_text
from minidiff.train.patch_discriminator import PatchDiscriminator, adaptive_weight, discriminator_loss, generator_loss
from minidiff.train.perceptual import ImageTower
from minidiff.train.publish import keep
from minidiff.train.vae_losses import details, normalised, pixel_weights, reconstruction_loss, shrink_alike
from minidiff.utils.images import to_tensor
from minidiff.utils.validation import Between


@dataclass
class VAERun(LoopConfig):
    """Train the drawn world's VAE (f8, 4 channels, 128 px)."""

    afterwards: ClassVar[tuple[str, ...]] = ("cache", "emoji", "held")

    out: Path = Path("runs/world-vae")
    steps: Count = 14_000
    batch: Count = 16
    """Crops per step; in the second part, batch / 4 whole images."""
    lr: Positive = 6e-3
    optimizer: Literal["adamw", "muon"] = "muon"
    warmup: Annotated[int, Between(0)] = 200
    ema: Annotated[float, Between(0, 0.9999999)] = 0.999
    workers: Annotated[int, Between(0, 256)] = 0
    channels: tuple[Annotated[int, Between(1, 4096)], ...] = (16, 32, 64, 128)
    layers: Annotated[int, Between(1, 16)] = 1
    groups: Annotated[int, Between(1, 4096)] = 8
    kl: Weight = 2e-4
    """Weight of the KL divergence (nats per latent number)."""
    things: Weight = 4.0
    """How much more pixels on things and at their edges count than the backdrop."""
    details: Weight = 20.0
    """How much more the details of things count, where they differ most from their surroundings."""
    edges: Weight = 0.5
    """Weight of the error's differences (Sobel)."""
    equivariance: Share = 0.0
    """Share of the steps that shrink latent and image alike (EQ-VAE)."""
    whole: Share = 0.45
    """Share of the steps, at the end, that see whole images."""
    adversarial: Share = 0.0
    """Share of the steps, at the end, with an adversarial loss (a patch discriminator) and a perceptual one."""
    perceptual: Weight = 0.1
    """Weight of the image tower's distance there."""
    start: str | None = None
    """A VAE of the zoo, of the same widths, to go on from; None: from nothing."""
    freeze_encoder: bool = False
    """With --start: only the decoder learns, so that latents, and models trained on them, stay what they are."""
    size: Annotated[int, Between(32, 512)] = 128
    crop: Annotated[int, Between(8, 512)] = 64
    scenes: Count = 24_576
    """Scenes of the drawn world to learn from; each is drawn once and kept in `cache`."""
    emoji: Path | None = Path("data/emoji")
    """Folder that `minidiff prepare emoji` wrote; None: the drawn world alone."""
    emoji_share: Share = 0.2
    """Share of emoji among the images."""
    cache: Path = Path("runs/cache")
    """Folder for drawn images (65 kB each)."""
    held: Annotated[int, Between(16)] = 512
    """Held-out images on which the shipped figures are taken (an eighth of them at each validation)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.channels) != 4 or any(width % self.groups for width in self.channels):
            raise TrainingError(f"--channels must be four multiples of --groups {self.groups}, not {self.channels}.")
        if self.size % 8 or self.crop % 8 or self.crop > self.size:
            raise TrainingError(f"--size {self.size} and --crop {self.crop} must be multiples of 8, the crop not the larger.")
        if self.equivariance and (self.size % 32 or self.crop % 32):
            raise TrainingError(f"With --equivariance, --size {self.size} and --crop {self.crop} must be multiples of 32.")
        if self.freeze_encoder and not self.start:
            raise TrainingError("--freeze-encoder needs --start, the VAE whose encoder stays: a random one encodes nothing.")


def crop_round_a_thing(image: np.ndarray, things: np.ndarray, size: int, rng: random.Random) -> Pair:
    """A square of `size` pixels, of image (H, W, 3) and things (H, W), that holds at least a part of one thing."""
    height, numbers = len(things), np.unique(things)
    rows, columns = np.nonzero(things == rng.choice(numbers[numbers > 0].tolist() or [0]))
    middles = ((x.min() + x.max() + 1) / 2 for x in (rows, columns))
    top, left = (round(middle - size / 2 + rng.uniform(-0.35, 0.35) * size) for middle in middles)
    top, left = (min(max(0, edge), height - size) for edge in (top, left))
    return image[top : top + size, left : left + size], things[top : top + size, left : left + size]


def kept_emoji(folder: Path, cache: Path, split: str, size: int) -> Labelled:
    """The prepared emoji of a split in the form that training reads. Raises EmojiError when there are none."""
    files = [(image, mask) for _, image, mask in read_prepared(folder, split)]

    def make(index: int) -> Pair:
        image, mask = (np.asarray(Image.open(path)) for path in files[index])
        return image, (mask > 127).astype(np.uint8)

    return keep_images(cache, f"emoji{EMOJI_VERSION}-{split}-{size}", len(files), make)


class VAETask(Task):
    """Weighted error of the reconstruction, a little KL divergence, and in the last part the adversarial loss."""

    def __init__(self, config: VAERun) -> None:
        super().__init__()
        torch.manual_seed(config.seed)
        self.config = config
        self.vae = VAE(VAEConfig(config.channels, 4, config.layers, config.groups))
        if config.start:
            weights = zoo.load(config.start)[1]
            try:
                load_strict(self.vae, weights, f"--start {config.start}")
            except ValueError as error:
                raise TrainingError(str(error)) from None
        self.vae = self.vae.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for part in (self.vae.encoder, self.vae.quant_conv):
            part.requires_grad_(not config.freeze_encoder)
        self.discriminator = PatchDiscriminator().requires_grad_(config.adversarial > 0)
        self.tower = ImageTower.load() if config.adversarial and config.perceptual else None
        self.emoji = kept_emoji(config.emoji, config.cache, "train", config.size) if config.emoji else None
        self.world = kept_world(config.cache, config.scenes, config.size)

    def begins(self, share: float) -> int:
        """The step at which the last `share` of the run begins."""
        return round(self.config.steps * (1 - share))

    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        rng, config = random.Random(mix_seed(seed, index)), self.config
        whole = index >= self.begins(config.whole) * config.accumulate * self.processes
        pairs = []
        for _ in range(max(1, size // 4) if whole else size):
            source = self.emoji if self.emoji and rng.random() < config.emoji_share else self.world
            pair = source[rng.randrange(len(source))]
            image, things = pair if whole else crop_round_a_thing(*pair, config.crop, rng)
            flip = rng.choice((1, -1))
            pairs.append((image[:, ::flip], things[:, ::flip]))
        images, things = (np.stack(part) for part in zip(*pairs, strict=True))
        return {"images": to_tensor(images), "things": torch.from_numpy(things)}

    def images_seen(self, training: Training) -> int:
        """Crops, then a quarter as many whole images a step."""
        config, first = self.config, self.begins(self.config.whole)
        whole = max(1, config.batch // config.accumulate // 4) * config.accumulate
        return training.processes * (first * config.batch + (config.steps - first) * whole)

    def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        config, rng = self.config, random.Random(mix_seed(self.config.seed, step.index))
        images = batch["images"].contiguous(memory_format=torch.channels_last)
        mean, log_variance = (m.float() for m in self.vae.encode(images))
        latent = VAE.sample(mean, log_variance, step.generator)
        latent, images, things = shrink_alike(latent, images, batch["things"], rng, config.equivariance)
        output = self.vae.decode(latent).float()
        weights = pixel_weights(things, config.things)
        if config.details:
            weights = normalised(weights + config.details * details(images, things))
        error = reconstruction_loss(output, images, weights, config.edges)
        kl = VAE.kl(mean, log_variance)
        figures = {"mse": (output - images).square().mean(), "kl": kl}
        loss = error + config.kl * kl
        if step.index >= self.begins(config.adversarial):
            played, more = self.play(output, images, error)
            loss, figures = loss + played, figures | more
        elif config.adversarial:  # several processes wait for a gradient of every weight
            loss = loss + 0 * sum(weight.sum() for weight in self.discriminator.parameters())
        return loss, figures

    def play(self, output: Tensor, images: Tensor, error: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The adversarial part: the losses of the decoder, by discriminator and image tower, and of the discriminator."""
        real, fake = self.discriminator(images).float(), self.discriminator(output.detach()).float()
        own = discriminator_loss(real, fake)
        adversarial = generator_loss(self.discriminator, output).float()
        weight = adaptive_weight(error, adversarial, self.vae.decoder.conv_out.weight)
        perceptual = self.tower.distance(output, images) if self.tower else torch.zeros(())
        figures = {"discriminator": own, "gan": adversarial, "gan_weight": weight, "perceptual": perceptual}
        return weight * adversarial + own + self.config.perceptual * perceptual, figures


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


def train(config: VAERun, validators: Callable[[VAETask, str, int], Sequence[Validator]]) -> None:
    """Train, then keep the averaged weights together with their latent statistics and held-out figures.

    validators: of a task, on a split ("validation" while it trains, "test" afterwards) and so many images."""
    config.out.mkdir(parents=True, exist_ok=True)  # a folder that can't be is refused before images are drawn
    task = VAETask(config)
    training = fit(task, config, validators(task, "validation", max(8, config.held // 8)))
    if not training.finished(config):
        return
    training.ema.copy_to(task)
    figures = measured(task, validators(task, "test", config.held), config.out, training.step)
    mean, std = latent_statistics(task.vae, 2 * config.held, config.size)
    print("held-out images: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()) + f"; latent std {std}")
    keep(
        config.out,
        "world-vae",
        task.vae.state_dict(),
        {"vae": asdict(task.vae.config), "latent_mean": mean, "latent_std": std},
        to_zoo=config.publish,
        recipe=recipe_text("minidiff train world-vae", config),
        images_seen=task.images_seen(training),
        world_version=WORLD_VERSION,
        figures={**figures, "minutes": round(training.seconds / 60, 1)},
    )
