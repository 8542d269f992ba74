"""Losses on what a prediction looks like: perceptual, and of style (Gatys et al. 2016).

A prediction at time t gives x0 in one step; decoded, it is seen by our frozen image tower. Only low times count: at high ones
x0 in one step is a blur, whatever was learnt. What it is not: LPIPS, which names fixed weights, nor a judge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from minidiff.train.perceptual import ImageTower, cosine_distance


def gram_matrix(features: Tensor) -> Tensor:
    """How often features occur together, wherever in the image: F^T F / N of features (B, N, D); returns (B, D, D)."""
    return features.mT @ features / features.shape[1]


def gram_distance(output: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """Squared distance of Gram matrices, relative to the target's size, mean over layers and images; a scalar. output, target:
    a tensor (B, N, D) for each layer (Gatys et al. 2016, eq. 4 and 5, but for the scale)."""
    distances = []
    for ours, theirs in zip(output, target, strict=True):
        a, b = gram_matrix(ours.float()), gram_matrix(theirs.float())
        distances.append((a - b).square().sum((1, 2)) / b.square().sum((1, 2)))
    return torch.stack(distances).mean()


class ImageLosses:
    """Both losses with their weights.

    decode: latents as the network sees them (B, C, h, w) to pixels (B, 3, H, W), with gradients. perceptual, gram: weights, of
    which one may be 0. below: times from here on are left out. every: steps of which one is taken.
    """

    def __init__(
        self, decode: Callable[[Tensor], Tensor], tower: ImageTower, perceptual: float, gram: float, below: float = 0.4,
        every: int = 4,
    ) -> None:  # fmt: skip
        self.decode, self.tower = decode, tower
        self.perceptual, self.gram, self.below, self.every = perceptual, gram, below, every

    def __call__(self, x0_pred: Tensor, x0: Tensor, t: Tensor, step: int) -> dict[str, Tensor]:
        """The weighted losses that are switched on; none in a step that is not taken, and where all times are too high.
        x0_pred, x0 (B, C, h, w); t (B,)."""
        early = t < self.below
        if step % self.every or not bool(early.any()):
            return {}
        with torch.no_grad():
            target = self.decode(x0[early])
            wanted = self.tower.layers(target)
        output = self.decode(x0_pred[early])
        seen = self.tower.layers(output)
        losses = {}
        if self.perceptual:
            losses["perceptual"] = self.perceptual * cosine_distance(seen, wanted)
        if self.gram:
            losses["gram"] = self.gram * gram_distance(seen, wanted)
        return losses
