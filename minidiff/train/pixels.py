"""Train `world-pixels`: a small U-Net that is told a kind of thing and draws it, 32 x 32 pixels, without latents or words.

Each picture is cut out of a drawing of the world: one big thing in any colour on plain paper; before all the world's
backdrops the same network learns the same shapes far more slowly. One label more than there are kinds stands for "anything":
it takes the place of a tenth of the labels, for classifier-free guidance (Ho & Salimans 2022).
What it is not: the text-to-image models, which are in `unet` and `dit`.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from minidiff.data.world.scenes import COLOURS, SHAPES, SPLITS, WORLD_VERSION, Group, Scene, render
from minidiff.diffusion.losses import diffusion_loss, example_losses, sample_times
from minidiff.diffusion.schedules import get_schedule
from minidiff.evaluate.judge import Judge, decode, load_judge
from minidiff.models.unet import UNet, UNetConfig
from minidiff.pipelines.loading import label_parts
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pretrained import zoo
from minidiff.train.loop import Batch, LoopConfig, Step, Task, fit, mix_seed, recipe
from minidiff.utils.devices import autocast, fastest_dtype
from minidiff.utils.files import whole_file
from minidiff.utils.images import contact_sheet, to_images, to_tensor

SIDE = 32
ANYTHING = len(SHAPES)  # the label that says nothing


@dataclass
class PixelsRun(LoopConfig):
    """Train the drawn world's class-conditional U-Net on pixels (about a quarter of an hour on one CPU core)."""

    out: Path = Path("runs/world-pixels")
    steps: int = 1200
    batch: int = 32
    lr: float = 5e-3
    warmup: int = 30
    weight_decay: float = 0.01
    ema: float = 0.99
    optimizer: str = "muon"
    pictures: int = 20000
    """Different pictures to draw once and learn from."""
    channels: tuple[int, ...] = (32, 64, 128)
    """Width of each level, finest first."""
    attention: tuple[bool, ...] = (False, False, True)
    """Which levels look at the whole picture."""
    layers: int = 1
    """Residual blocks per level on the way down; one more on the way up."""
    head_dim: int = 32
    groups: int = 8
    schedule: str = "cosine"
    """cosine, linear, scaled_linear or flow."""
    prediction_type: str = "v"
    """What the network predicts: v, eps, x0 or flow."""
    drop: float = 0.1
    """Share of labels replaced by "anything", for classifier-free guidance."""
    guidance: float = 2.0
    """Guidance of the pictures drawn while training, and the default of the shipped model."""
    sampling: int = 20
    """Steps of the sampler that draws pictures while training."""
    judged: int = 4
    """Pictures of each kind that the judge looks at in a validation; five times as many at the end."""
    name: str = "world-pixels"
    """Zoo name of the result."""


# --- the pictures ---------------------------------------------------------------------------------------------------


def portrait(kind: str, rng: random.Random) -> NDArray[np.uint8]:
    """One big thing of that kind, its colour, pose and paper drawn by lot: (32, 32, 3).

    It is a quarter of a drawing of 64 x 64 pixels, cut out round the thing, so that the thing fills the picture."""
    group = Group(kind, rng.choice(tuple(COLOURS)), "big", 1, "middle")
    drawn = render(Scene("plain", (group,), seed=rng.getrandbits(32)), 2 * SIDE)
    left, top = (round((low + high) * SIDE - SIDE / 2) for low, high in drawn.boxes[0].reshape(2, 2).T.tolist())
    return drawn.image[top : top + SIDE, left : left + SIDE]


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


@torch.no_grad()
def recognised(judge: Judge, pictures: Tensor, labels: Tensor) -> Tensor:
    """Whether the judge takes what it is surest of in each portrait for a thing of that kind. pictures (B, 3, 32, 32) in
    -1..1, labels (B,); returns (B,) bool. They are shown to it as part of a picture of the size it knows."""
    shown = F.interpolate(pictures.float() / 2 + 0.5, scale_factor=judge.config.image_size // (2 * SIDE), mode="bicubic")
    seen = [s for part in shown.clamp(0, 1).split(64) for s in decode(judge(part), judge.config)]
    found = [s.things[0].kind if s.things else "nothing" for s in seen]
    return torch.tensor([name == SHAPES[label] for name, label in zip(found, labels.tolist(), strict=True)])


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
        self.pictures = cached_portraits(config.pictures)
        self.held = portraits(288, "validation")

    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        rng = random.Random(mix_seed(seed, index))
        numbers = [rng.randrange(len(self.pictures)) for _ in range(size)]
        labels = [ANYTHING if rng.random() < self.config.drop else n % len(SHAPES) for n in numbers]
        return {"pictures": to_tensor(self.pictures[numbers]), "labels": torch.tensor(labels)}

    def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        x0 = batch["pictures"]
        t = sample_times(len(x0), "stratified", step.generator).to(x0.device)
        eps = torch.randn(x0.shape, generator=step.generator).to(x0.device)
        prediction = self.unet(self.schedule.mix(x0, eps, t), self.schedule.timestep(t), labels=batch["labels"])
        return diffusion_loss(prediction, x0, eps, t, self.schedule, self.config.prediction_type), {}

    def validate(self, folder: Path, step: int) -> dict[str, float]:
        count = self.config.judged * (5 if step == self.config.steps else 1)
        labels = torch.arange(len(SHAPES)).repeat(max(4, count))
        pictures = self.draw(labels)
        folder.mkdir(parents=True, exist_ok=True)
        contact_sheet(to_images(pictures[: 4 * len(SHAPES)]), len(SHAPES)).save(folder / f"samples-{step:06d}.png")
        figures = {"loss": self.fixed_noise_loss()}
        if count and "world-judge" in zoo.manifest():
            right = recognised(load_judge(), pictures, labels)
            figures["recognised"] = float(right.float().mean())
        return figures

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

    def draw(self, labels: Tensor, seed: int = 0) -> Tensor:
        """One picture for each label (B,), from seeds that count up: (B, 3, 32, 32), about -1..1, on the CPU."""
        names, seeds = [SHAPES[label] for label in labels.tolist()], list(range(seed, seed + len(labels)))
        pipeline, config = self.pipeline(), self.config
        *_, (_, pictures, _) = pipeline.sample(
            names, seeds, [""] * len(names), steps=config.sampling, guidance_scale=config.guidance
        )
        return pictures.cpu()

    def pipeline(self) -> TextToImage:
        """The model as it is now, ready to draw; a copy, so that training is not disturbed."""
        unet = UNet(self.unet.config)
        unet.load_state_dict(self.unet.state_dict())
        return TextToImage(
            **label_parts(self.zoo_config(), unet), schedule=self.config.schedule, prediction_type=self.config.prediction_type,
            device=(device := next(self.parameters()).device), dtype=fastest_dtype(device.type), batch=64,
        )  # fmt: skip

    def zoo_config(self) -> dict:
        """What the zoo keeps beside the weights."""
        config = self.config
        settings = {"schedule": config.schedule, "prediction_type": config.prediction_type, "labels": list(SHAPES), "guidance": config.guidance}
        return {"unet": asdict(self.unet.config), **settings}


def train(config: PixelsRun) -> None:
    """Train, then put the averaged weights into the zoo with the judge's figures."""
    task = PixelsTask(config)
    training = fit(task, config)
    if not training.finished(config):
        return
    training.ema.copy_to(task)
    task.eval()
    figures = training.figures or task.validate(config.out, training.step)
    zoo.add(
        config.name,
        task.state_dict(),
        task.zoo_config(),
        recipe=recipe("minidiff train world-pixels", config),
        images_seen=training.pictures(config),
        world_version=WORLD_VERSION,
        figures={**figures, "minutes": round(training.seconds / 60, 1)},
    )
