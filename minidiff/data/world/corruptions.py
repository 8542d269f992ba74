"""Small faults that generated images have and drawings don't: blur, grain, colour casts, compression, wobble.

The judge is trained and measured with them, so that it looks at contents. Generators are not: they should learn clean images.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from minidiff.utils.images import gaussian_blur


def _amounts(x: Tensor, generator: torch.Generator, low: float, high: float) -> Tensor:
    """One random number per image from low to high, (B, 1, 1, 1)."""
    return low + (high - low) * torch.rand(len(x), 1, 1, 1, generator=generator)


def blur(x: Tensor, generator: torch.Generator, most: float = 1.0) -> Tensor:
    """Mix each image with its Gaussian blur (sigma 1.5 pixels) by a share of up to `most`. x (B, 3, H, W) in 0..1."""
    return torch.lerp(x, gaussian_blur(x, 7, 1.5), _amounts(x, generator, 0, most))


def grain(x: Tensor, generator: torch.Generator, most: float = 0.06) -> Tensor:
    """Add Gaussian noise of a deviation up to `most`."""
    return (x + torch.randn(x.shape, generator=generator) * _amounts(x, generator, 0, most)).clamp(0, 1)


def cast(x: Tensor, generator: torch.Generator, most: float = 0.05) -> Tensor:
    """Change brightness, contrast and each channel's strength by up to `most`."""
    shape = (len(x), 3, 1, 1)
    gain = 1 + most * (2 * torch.rand(shape, generator=generator) - 1)
    shift = most * (2 * torch.rand(shape, generator=generator) - 1) / 2
    return (x * gain + shift).clamp(0, 1)


def compress(x: Tensor, generator: torch.Generator, low: int = 35, high: int = 90) -> Tensor:
    """Through JPEG at a quality from `low` to `high`."""
    qualities = torch.randint(low, high + 1, (len(x),), generator=generator).tolist()
    out = []
    for image, quality in zip((x * 255).round().byte().permute(0, 2, 3, 1).numpy(), qualities, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=quality)
        out.append(np.asarray(Image.open(buffer)))
    return torch.from_numpy(np.stack(out)).permute(0, 3, 1, 2).float() / 255


def wobble(x: Tensor, generator: torch.Generator, most: float = 0.012) -> Tensor:
    """Bend the image smoothly by up to about `most` of its width."""
    coarse = torch.randn(len(x), 2, 6, 6, generator=generator) * _amounts(x, generator, 0, most)
    bend = F.interpolate(coarse, size=x.shape[-2:], mode="bicubic", align_corners=True)
    straight = F.affine_grid(torch.eye(2, 3).expand(len(x), 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, straight + bend.permute(0, 2, 3, 1), padding_mode="border", align_corners=False)


CORRUPTIONS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "blur": blur, "grain": grain, "cast": cast, "compress": compress, "wobble": wobble
}  # fmt: skip


def corrupt(x: Tensor, generator: torch.Generator, chance: float = 0.4) -> Tensor:
    """Apply each fault to each image with probability `chance`, one after the other. x (B, 3, H, W) in 0..1."""
    x = x.clone()
    for fault in (wobble, blur, cast, grain, compress):
        hit = torch.rand(len(x), generator=generator) < chance
        if hit.any():
            x[hit] = fault(x[hit], generator)
    return x
