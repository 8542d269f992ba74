"""The task of every fine-tuning: the diffusion loss on captioned latents, and a held-out loss that never changes its noise.

What it is not: what learns (learners.py), where batches come from (captioned_latents.py), or the run as a whole (run.py).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from minidiff.diffusion.losses import example_losses, min_snr_weight, sample_times
from minidiff.diffusion.prediction import target, to_x0_eps
from minidiff.finetune.image_losses import ImageLosses
from minidiff.finetune.learners import Learner
from minidiff.finetune.options import FineTuneRun
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.train.loop import Batch, Step, Task
from minidiff.train.perceptual import ImageTower
from minidiff.utils.files import write_whole
from minidiff.utils.strict_json import read as read_json

BEST = "best.json"
NOISES = 8  # times and noises with which each held-out image is looked at


class Examples(Protocol):
    """Where batches come from: latents (B, C, h, w) and the texts of `captioned_latents.Texts`."""

    def make_batch(self, index: int, size: int, seed: int) -> Batch: ...

    def held_out(self) -> Batch: ...


class FineTuneTask(Task):
    """What learns, and a pipeline that is no module of the task, so that no checkpoint or average holds what is frozen."""

    def __init__(self, config: FineTuneRun, pipeline: TextToImage, examples: Examples, learner: Learner) -> None:
        super().__init__()
        self.config, self.examples, self.pipeline, self.learner = config, examples, pipeline, learner
        self.schedule, self.kind = pipeline.scheduler.schedule, pipeline.scheduler.prediction_type
        self.image_losses: ImageLosses | None = None
        if config.perceptual or config.gram:
            self.image_losses = ImageLosses(
                self.decode, ImageTower.load(), config.perceptual, config.gram, config.image_loss_below, config.image_loss_every
            )
        self.train()

    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        return self.examples.make_batch(index, size, seed)

    def decode(self, latents: Tensor) -> Tensor:
        """Pixels (B, 3, H, W) of latents as the network sees them, with gradients."""
        return self.pipeline.vae.decode(latents * self.pipeline.latent_std + self.pipeline.latent_mean)

    def context(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The captions as the network reads them: vectors (B, L, D) and mask (B, L)."""
        if "context" in batch:
            return batch["context"], batch["mask"]
        sequence = self.pipeline.words.tower(batch["ids"], batch.get("mask")).sequence
        everywhere = torch.ones(sequence.shape[:2], dtype=torch.bool, device=sequence.device)
        return sequence, batch.get("mask", everywhere)

    def predict(self, batch: Batch, t: Tensor, eps: Tensor) -> Tensor:
        """What the network predicts for latents with noise eps at times t (B,), without a variance that it may also predict."""
        x0 = batch["latents"]
        context, mask = self.context(batch)
        out = self.pipeline.network(self.schedule.mix(x0, eps, t), self.schedule.timestep(t), context, mask)
        return out[:, : x0.shape[1]]

    def times(self, count: int, generator: torch.Generator) -> Tensor:
        """A time for each example of a batch, (B,)."""
        return sample_times(count, "stratified", generator)

    def weighted_mean(self, losses: Tensor) -> Tensor:
        """One number of the examples' losses (B,)."""
        return losses.mean()

    def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        x0 = batch["latents"]
        t = self.times(len(x0), step.generator).to(x0.device)                                   # (B,)
        eps = torch.randn(x0.shape, generator=step.generator).to(x0.device)
        if self.config.latent_noise:
            x0 = x0 + self.config.latent_noise * torch.randn(x0.shape, generator=step.generator).to(x0.device)
        prediction = self.predict({**batch, "latents": x0}, t, eps)
        losses = example_losses(prediction, x0, eps, t, self.schedule, self.kind)               # (B,)
        if self.config.min_snr:
            losses = losses * min_snr_weight(self.schedule, self.kind, t, self.config.min_snr)
        loss = self.weighted_mean(losses)
        if self.image_losses is None:
            return loss, {}
        x0_pred, _ = to_x0_eps(self.schedule, self.kind, prediction.float(), self.schedule.mix(x0, eps, t), t)
        more = self.image_losses(x0_pred, x0, t, step.index)
        figures = {name: more.get(name, loss.new_full((), torch.nan)) for name in ("perceptual", "gram")
                   if getattr(self.config, name)}  # fmt: skip
        return loss + sum(more.values()), {"diffusion": loss, **figures}

    @torch.no_grad()
    def held_out(self) -> dict[str, float]:
        """Figures on what is held back, over NOISES times and noises that never change: loss, the mean squared error; its
        deviation over images and times; mae, the mean absolute error."""
        device = next(self.parameters()).device
        batch = {name: value.to(device) for name, value in self.examples.held_out().items()}
        x0, squares, absolutes = batch["latents"], [], []
        for number in range(NOISES):
            generator = torch.Generator().manual_seed(number)
            t = ((torch.rand(len(x0), generator=generator) + number) / NOISES).to(device)
            eps = torch.randn(x0.shape, generator=generator).to(device)
            error = self.predict(batch, t, eps).float() - target(self.schedule, self.kind, x0, eps, t).float()
            squares.append(error.square().flatten(1).mean(1))
            absolutes.append(error.abs().flatten(1).mean(1))
        losses = torch.cat(squares)
        return {"loss": float(losses.mean()), "deviation": float(losses.std(correction=0)),
                "mae": float(torch.cat(absolutes).mean())}  # fmt: skip

    def validate(self, folder: Path, step: int) -> dict[str, float]:
        """The held-out figures; what was learnt goes into the folder if their loss is the lowest so far."""
        figures, best = self.held_out(), best_of(folder)
        if best is None or figures["loss"] < best["loss"] - self.config.min_delta:
            self.learner.write(folder)
            write_whole(folder / BEST, json.dumps({"step": step, **figures}))
        return figures


def best_of(folder: Path) -> dict[str, Any] | None:
    """Step and figures of what was kept; None before the first."""
    return read_json(folder / BEST) if (folder / BEST).exists() else None
