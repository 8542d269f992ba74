"""Super-resolution: a picture to twice or four times its width and height, in one step.

The network adds to bicubic interpolation what that lacks (a residual, Kim et al. 2016). It works on the small picture, and its
last layer makes all pixels of the large one that lie in a small one (Shi et al. 2016). Both factors share everything but that
layer (MDSR, Lim et al. 2017), and no block has a normalisation (EDSR, the same), which would make a place depend on the whole
picture. What it is not: a diffusion model. It gives the mean of all pictures that fit, which is sharp where the small one
leaves no doubt. The cutting of large pictures into tiles is in pipelines/upscale.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

FACTORS = (2, 4)
REACH = 2  # pixels to each side whose mean a pixel is compared with
SCALE = 0.1  # of what a block adds, so that a stack of them stays calm (Lim et al. 2017), and of what bicubic lacks


@dataclass(frozen=True)
class UpscalerConfig:
    """width: channels of each pixel; layers: residual blocks."""

    width: int = 64
    layers: int = 8


def bicubic(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, H, W) to (B, C, *size) by bicubic interpolation, antialiased where it shrinks (Keys 1981, a = -0.5): what Pillow
    and MATLAB do, and by which pictures are made small in the field."""
    return F.interpolate(x, size=size, mode="bicubic", antialias=True, align_corners=False)


def shrunk(images: Tensor, factor: int) -> Tensor:
    """Pictures (B, 3, H, W) in -1..1, made smaller by a factor that divides their sides, and rounded as 8-bit files are."""
    height, width = images.shape[-2:]
    small = bicubic(images, (height // factor, width // factor)).clamp(-1, 1)
    return ((small + 1) * 127.5).round() / 127.5 - 1


def details(x: Tensor) -> Tensor:
    """How much each pixel differs from the mean of those round it, as large as what the network is to find: (B, C, H, W). How
    bright a place is doesn't matter for what it lacks, and would drown the little that does."""
    mean = F.avg_pool2d(x, 2 * REACH + 1, stride=1, padding=REACH, count_include_pad=False)
    return (x - mean) / SCALE


class Block(nn.Module):
    """x + 0.1 conv(silu(conv(x)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + SCALE * self.conv2(F.silu(self.conv1(x)))


class Upscaler(nn.Module):
    """forward(low, factor) -> the larger picture. At first it is bicubic interpolation, exactly."""

    def __init__(self, config: UpscalerConfig | None = None) -> None:
        super().__init__()
        self.config = config or UpscalerConfig()
        width = self.config.width
        self.conv_in = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(Block(width) for _ in range(self.config.layers))
        self.conv_out = nn.ModuleDict({str(factor): nn.Conv2d(width, 3 * factor**2, 3, padding=1) for factor in FACTORS})
        for parameter in self.conv_out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, low: Tensor, factor: int) -> Tensor:
        """low (B, 3, h, w) in -1..1, factor 2 or 4. Returns (B, 3, factor h, factor w), about -1..1. Raises ValueError for
        another factor."""
        if factor not in FACTORS:
            raise ValueError(f"The factor is {factor!r}; it must be 2 or 4.")
        base = bicubic(low, (factor * low.shape[2], factor * low.shape[3]))
        x = first = self.conv_in(details(low))                                                      # (B, width, h, w)
        for block in self.blocks:
            x = block(x)
        missing = self.conv_out[str(factor)](x + first)                                             # (B, 3 factor^2, h, w)
        return base + SCALE * F.pixel_shuffle(missing, factor)
