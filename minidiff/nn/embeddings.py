"""Vectors for times, places and patches.

What it is not: learnt word vectors (models/clip.py). Taught in the lessons on the denoiser and on the DiT.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


def timestep_embedding(timestep: Tensor, dim: int, max_period: float = 10000.0, freq_shift: float = 0.0) -> Tensor:
    """Cosines, then sines, of `dim` / 2 frequencies from 1 down to 1 / max_period (Vaswani et al. 2017, section 3.5).

    timestep (B,), any number, usually 0 to 1000. Returns (B, dim) float32. freq_shift (diffusers' `downscale_freq_shift`):
    with 1 the last frequency is exactly 1 / max_period, with 0 the one after the last would be. ValueError when `dim` is odd.
    """
    if dim % 2:
        raise ValueError(f"dim is {dim}; it must be even, since sines and cosines come in pairs.")
    half = dim // 2
    exponent = -math.log(max_period) * torch.arange(half, dtype=torch.float32, device=timestep.device)
    angle = timestep.float()[:, None] * (exponent / (half - freq_shift)).exp()                  # (B, dim / 2)
    return torch.cat([angle.cos(), angle.sin()], dim=1)                                         # (B, dim)


class TimestepEmbedding(nn.Module):
    """The two-layer MLP behind the sinusoids, with diffusers' names."""

    def __init__(self, in_dim: int, dim: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(in_dim, dim)
        self.linear_2 = nn.Linear(dim, dim)

    def forward(self, sinusoids: Tensor) -> Tensor:
        """(B, in_dim) to (B, dim)."""
        return self.linear_2(F.silu(self.linear_1(sinusoids)))


def position_table(
    dim: int, height: int, width: int, base_size: int | None = None, interpolation_scale: float = 1.0
) -> Tensor:
    """Fixed sinusoids for a grid of patches, (height * width, dim): half the channels for the column, half for the row (Peebles
    & Xie 2023, section 3.2).

    Any grid spans `base_size` / `interpolation_scale` (PixArt-alpha, section 2.3), so that a model trained on one size starts
    well on another. ValueError unless `dim` is a multiple of 4.
    """
    if dim % 4:
        raise ValueError(f"dim is {dim}; it must be a multiple of 4: sines and cosines, of rows and of columns.")
    base = base_size or height
    rows = torch.arange(height, dtype=torch.float32) / (height / base) / interpolation_scale
    columns = torch.arange(width, dtype=torch.float32) / (width / base) / interpolation_scale
    row_part = _sinusoids(rows, dim // 2)[:, None].expand(height, width, -1)                    # (h, w, dim / 2)
    column_part = _sinusoids(columns, dim // 2)[None].expand(height, width, -1)                 # (h, w, dim / 2)
    return torch.cat([column_part, row_part], dim=-1).flatten(0, 1).float()                     # (h w, dim)


def _sinusoids(position: Tensor, dim: int) -> Tensor:
    omega = 10000.0 ** -(torch.arange(dim // 2, dtype=torch.float64) / (dim / 2))
    angle = torch.outer(position.double(), omega)                                               # (n, dim / 2)
    return torch.cat([angle.sin(), angle.cos()], dim=1)                                         # (n, dim)


class PatchProjection(nn.Conv2d):
    """Every p x p patch of an image becomes a token (Dosovitskiy et al. 2021, eq. 1): the linear layer of its flattened
    numbers.

    It is a convolution whose stride is its kernel, and has such a layer's weights; as one matrix product it is several times
    faster on a CPU. A border too narrow for a patch is left out, as a convolution does.
    """

    def __init__(self, channels: int, dim: int, patch_size: int, bias: bool = True) -> None:
        super().__init__(channels, dim, patch_size, stride=patch_size, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, H/p * W/p, dim), rows first."""
        p = self.kernel_size[0]
        whole = x[:, :, : x.shape[2] // p * p, : x.shape[3] // p * p]
        patches = rearrange(whole, "b c (h p) (w q) -> b (h w) (c p q)", p=p, q=p)
        return F.linear(patches, self.weight.flatten(1), self.bias)
