"""Train `world-unet`: a latent U-Net with cross-attention that draws the world from words, as Stable Diffusion does.

Its text tower is the DiT's, frozen, so that the two networks can be compared on the same words, latents and losses.
What it is not: the training itself, which the DiT shares (`text_latents`); here are the network and its size.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from torch import nn

from minidiff.models.unet import Level, UNet, UNetConfig
from minidiff.train.latent_diffusion import TextLatentRun, TextLatentTask, train_and_keep
from minidiff.train.loop import TrainingError

SIDE = 16  # of a latent of the world's 128 pixels


@dataclass
class UNetRun(TextLatentRun):
    """Train the drawn world's text-to-image U-Net on cached latents."""

    out: Path = Path("runs/world-unet")
    steps: int = 1600
    batch: int = 64
    name: str = "world-unet"
    text: str = "frozen"
    text_from: str = "world-dit"
    reading: float = 0.0
    channels: tuple[int, ...] = (64, 128, 192)
    """Width of each level, finest first; the second one has 8 x 8 places, whose tokens are asked what stands where."""
    attention: tuple[bool, ...] = (False, True, True)
    """Which levels look at the caption and at the whole picture."""
    layers: int = 1
    """Residual blocks per level on the way down; one more on the way up."""
    head_dim: int = 32
    groups: int = 32


class UNetTask(TextLatentTask):
    """The U-Net, and the text tower as far as it is trained."""

    part = "unet"
    config: UNetRun
    unet: UNet

    def build(self) -> UNet:
        config = self.config
        if len(config.channels) < 2:
            raise TrainingError(f"--channels must name two levels or more, not {len(config.channels)}.")
        shape = UNetConfig(
            sample_size=SIDE, channels=config.channels, attention=config.attention, layers=config.layers,
            head_dim=config.head_dim, context_dim=self.text.config.hidden_size, groups=config.groups,
        )  # fmt: skip
        return UNet(shape)

    def inner_layer(self) -> tuple[nn.Module, int]:
        level = cast(Level, self.unet.up_blocks[-2])
        return (level.attentions or level.resnets)[-1], self.config.channels[1]


def train(config: UNetRun) -> None:
    """Train, then put the averaged weights of U-Net and text tower into the zoo."""
    train_and_keep(UNetTask(config), "minidiff train world-unet")
