"""Train `world-dit`: the diffusion transformer that draws the world from words, with its text tower.

What it is not: the training itself, which the U-Net shares (`text_latents`); here are the network and its size.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from minidiff.models.dit import DiT, DiTConfig
from minidiff.train.latent_diffusion import TextLatentRun, TextLatentTask, draw, train_and_keep
from minidiff.train.loop import TrainingError

__all__ = ["DiTRun", "DiTTask", "draw", "train"]


@dataclass
class DiTRun(TextLatentRun):
    """Train the drawn world's text-to-image DiT on cached latents."""

    out: Path = Path("runs/world-dit")
    steps: int = 1080
    name: str = "world-dit"
    hidden_size: int = 256
    depth: int = 8
    heads: int = 4
    seeing_block: int = 4
    """After which block (counted from 0) the tokens are asked what stands where."""


class DiTTask(TextLatentTask):
    """The DiT, and the text tower as far as it is trained."""

    part = "dit"
    config: DiTRun
    dit: DiT

    def build(self) -> DiT:
        config = self.config
        if not 0 <= config.seeing_block < config.depth:
            raise TrainingError(f"--seeing-block must be from 0 to {config.depth - 1}, the last of the {config.depth} blocks.")
        shape = DiTConfig(
            hidden_size=config.hidden_size, depth=config.depth, heads=config.heads,
            caption_channels=self.text.config.hidden_size,
        )  # fmt: skip
        return DiT(shape)

    def inner_layer(self) -> tuple[nn.Module, int]:
        return self.dit.transformer_blocks[self.config.seeing_block], self.config.hidden_size


def train(config: DiTRun) -> None:
    """Train, then put the averaged weights of DiT and text tower into the zoo."""
    train_and_keep(DiTTask(config), "minidiff train world-dit")
