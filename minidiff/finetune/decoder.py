"""A LoRA of a VAE's decoder: the same latents, drawn otherwise.

Latents of an image keep what it shows and where; how that looks is up to the decoder, which a few factors in its convolutions
change in a minute or two. The encoder stays, and so does everything that was trained on its latents. What it is not: the
training of a VAE (train/vae.py). Taught in the lesson on LoRA.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import Tensor, nn

from minidiff.models.vae import VAE
from minidiff.nn.lora import Factors, add_lora, factors_of, take_out
from minidiff.train.loop import Batch, Step, Task, fit, mix_seed
from minidiff.train.options import Count, LoopConfig, Positive, Weight
from minidiff.train.vae_losses import reconstruction_loss
from minidiff.utils.images import to_tensor
from minidiff.utils.validation import Between

HELD = 16  # images, the last ones, that are held back


@dataclass
class DecoderRun(LoopConfig):
    """How a decoder learns."""

    rank: Count = 8
    steps: Count = 120
    batch: Count = 2
    lr: Positive = 1e-2
    warmup: Annotated[int, Between(0)] = 10
    weight_decay: Weight = 0.0
    ema: Annotated[float, Between(0, 0.9999999)] = 0.95
    workers: Annotated[int, Between(0, 256)] = 0
    save_every: Count = 50


class DecoderTask(Task):
    """The factors beside a frozen decoder, which is no part of the task: checkpoints and averages hold the factors alone."""

    def __init__(self, config: DecoderRun, vae: VAE, given: np.ndarray, wanted: np.ndarray) -> None:
        """given, wanted (N, S, S, 3) uint8: images whose latents are decoded, and what they are to be decoded to."""
        super().__init__()
        torch.manual_seed(config.seed)
        layers = [f"decoder.{name}" for name, one in vae.decoder.named_modules() if isinstance(one, nn.Conv2d | nn.Linear)]
        self.updates = nn.ModuleList(layer.update for layer in add_lora(vae, config.rank, targets=layers).values())
        self.decode, self.wanted = vae.decode, to_tensor(wanted)                    # (N, 3, S, S), -1 to 1
        device = next(vae.parameters()).device
        with torch.inference_mode():
            means = [vae.encode(part.to(device))[0].cpu() for part in to_tensor(given).split(16)]
        self.latents = torch.cat(means).clone()                                     # (N, C, s, s)

    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        rng = random.Random(mix_seed(seed, index))
        rows = torch.tensor([rng.randrange(len(self.latents) - HELD) for _ in range(size)])
        return {"latents": self.latents[rows], "wanted": self.wanted[rows]}

    def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        wanted = batch["wanted"]
        return reconstruction_loss(self.decode(batch["latents"]), wanted, torch.ones_like(wanted[:, :1])), {}

    @torch.no_grad()
    def held_out_psnr(self) -> float:
        """PSNR in dB of all held-out images together."""
        latents = self.latents[-HELD:].to(next(self.parameters()).device)
        made = self.decode(latents).clamp(-1, 1).cpu()
        return float(-10 * torch.log10((made - self.wanted[-HELD:]).square().mean() / 4))

    def validate(self, folder: Path, step: int) -> dict[str, float]:
        return {"psnr": self.held_out_psnr()}


def finetune_decoder(
    config: DecoderRun, vae: VAE, given: np.ndarray, wanted: np.ndarray
) -> tuple[dict[str, Factors], dict[str, float]]:
    """What the decoder learns, from images as `DecoderTask` takes them; and the PSNR of held-out ones before and after. The VAE
    is left as it was. Raises ValueError for too few images."""
    if len(given) <= HELD:
        raise ValueError(f"There are {len(given)} images; the decoder needs more than {HELD}, which are held back.")
    task = DecoderTask(config, vae, given, wanted)
    before = task.to(next(vae.parameters()).device).held_out_psnr()
    training = fit(task, config)
    training.ema.copy_to(task)
    figures = {"psnr_without": before, "psnr": task.held_out_psnr(), "decoder_minutes": round(training.seconds / 60, 1)}
    factors = factors_of(vae)
    take_out(vae)
    return factors, figures
