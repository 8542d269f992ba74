"""Teaching: a network in training learns from what a trained one predicts, not only from the noise that was drawn.

Which noise was drawn, nobody can foresee: most of a diffusion loss, and of what its gradient scatters by, is chance that no
network explains. What a trained network predicts comes near the mean over that chance, so it is a far quieter thing to
learn from (Hinton et al. 2015, "Distilling the Knowledge in a Neural Network"; here student and teacher are shown the same
noisy latent and the same caption, and the student may be of another architecture).
What it is not: guidance distillation or fewer steps; the student learns to make the same single predictions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from minidiff import shipped, zoo
from minidiff.train.loop import TrainingError


class Teacher:
    """A model of the zoo, network and text tower, that is asked and never trained. No nn.Module, so that it is no part of
    its student's weights, averages and checkpoints.

    settings: what student and teacher must have in common: "path", "kind", "vae" and "tokenizer", as the zoo names them.
    Raises TrainingError when they don't."""

    def __init__(self, name: str, settings: dict[str, str]) -> None:
        theirs, _ = zoo.load(name)
        if differing := [f"{key} {value!r}" for key, value in settings.items() if theirs.get(key) != value]:
            raise TrainingError(f"{name!r} cannot teach this run, which has {' and '.join(differing)}.")
        parts = shipped.read_row(name)
        self.text, self.network = (parts[part].eval().requires_grad_(False) for part in ("text_encoder", "network"))

    @torch.no_grad()
    def __call__(self, x: Tensor, timestep: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """x (B, C, h, w) noisy latents, timestep (B,), ids and mask (B, L) of their captions. Returns what it predicts,
        (B, C, h, w) float32."""
        for module in (self.text, self.network):
            module.to(x.device)
        return self.network(x, timestep, self.text(ids, mask).sequence, mask).float()
