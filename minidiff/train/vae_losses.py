"""What the VAE's training minimises: errors weighted by what is seen, and latents that shrink as images do.

Most of an image is smooth backdrop that is soon learned, so pixels of things and round them count more. What it is not: the
adversarial part (`patch_discriminator`). Taught in the lesson on latents.
"""

from __future__ import annotations

import random

import torch
import torch.nn.functional as F
from torch import Tensor


def pixel_weights(things: Tensor, extra: float = 4.0, reach: int = 2) -> Tensor:
    """How much each pixel counts: 1 on the backdrop, 1 + extra on a thing and up to `reach` pixels round it, then scaled to a
    mean of 1 per image, so that an image full of things counts no more than another.

    things (B, H, W), 0 where there is backdrop; returns (B, 1, H, W) float."""
    on = (things > 0).float().unsqueeze(1)                                          # (B, 1, H, W)
    near = F.max_pool2d(on, 2 * reach + 1, stride=1, padding=reach)
    return normalised(1 + extra * near)


def normalised(weights: Tensor) -> Tensor:
    """Weights (B, 1, H, W) scaled to a mean of 1 per image."""
    return weights / weights.mean(dim=(1, 2, 3), keepdim=True)


def details(images: Tensor, things: Tensor, reach: int = 2) -> Tensor:
    """Where things have eyes, windows or ribs: how much a pixel differs from the mean of the 7 x 7 round it, 0 to 1, inside
    things and at least `reach` pixels from their edges; 0 elsewhere. Such spots are so small that a blur costs little there.

    images (B, 3, H, W) in -1..1, things (B, H, W); returns (B, 1, H, W)."""
    off = (things == 0).float().unsqueeze(1)
    inner = 1 - F.max_pool2d(off, 2 * reach + 1, stride=1, padding=reach)
    mean = F.avg_pool2d(F.pad(images, (3, 3, 3, 3), mode="replicate"), 7, stride=1)
    contrast = (images - mean).abs().mean(dim=1, keepdim=True)                      # (B, 1, H, W)
    return inner * F.max_pool2d(contrast, 3, stride=1, padding=1).clamp(max=1)


def sobel(x: Tensor) -> Tensor:
    """Differences from left to right and from top to bottom by Sobel's kernels, scaled so that a step from 0 to 1 gives 1.

    x (B, C, H, W) to (B, 2C, H, W); the border is repeated."""
    kernel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]).to(x) / 4
    channels = x.shape[1]
    kernels = torch.stack([kernel, kernel.T]).unsqueeze(1).repeat(channels, 1, 1, 1)        # (2C, 1, 3, 3)
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernels, groups=channels)


def reconstruction_loss(output: Tensor, target: Tensor, weights: Tensor, edges: float = 0.5) -> Tensor:
    """Weighted mean of |error| + 2 error^2, plus `edges` times that of |Sobel(error)|, a scalar.

    output, target (B, 3, H, W); weights (B, 1, H, W) with mean 1. The square pulls at large errors, the Sobel term at edges
    that are blurred or missing."""
    error = output - target
    pixels = error.abs() + 2 * error.square()
    return (weights * pixels).mean() + edges * (weights * sobel(error).abs()).mean()


def shrink(x: Tensor, factor: float) -> Tensor:
    """(B, C, H, W) to (B, C, round(H factor), round(W factor)) by averaging, without aliasing."""
    size = [round(side * factor) for side in x.shape[-2:]]
    return F.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)


def shrink_alike(
    latent: Tensor, target: Tensor, things: Tensor, rng: random.Random, share: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Scale equivariance (EQ-VAE, Kouzelis et al. 2025): with probability `share`, latent and target are shrunk alike, to a
    half or three quarters, so that a shrunk latent must decode to the shrunk image.

    latent (B, 4, h, w), target (B, 3, 8h, 8w), things (B, 8h, 8w); h and w multiples of 4. Returns the same three."""
    if rng.random() >= share:
        return latent, target, things
    factor = rng.choice((0.5, 0.75))
    fewer = F.interpolate(things.unsqueeze(1).float(), scale_factor=factor, mode="nearest").squeeze(1)
    return shrink(latent, factor), shrink(target, factor), fewer
