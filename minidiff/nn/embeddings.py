"""How numbers become vectors: times, places and patches.

What it is not: learnt word vectors (models/clip.py). Taught in the lessons on the denoiser and on the DiT.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def timestep_embedding(timestep: Tensor, dim: int, max_period: float = 10000.0, freq_shift: float = 0.0) -> Tensor:
    """Sinusoids of `dim` / 2 frequencies from 1 down to 1 / max_period (Vaswani et al. 2017, section 3.5; as in DDPM).

    timestep (B,), any float or integer, usually 0 to 1000. Returns (B, dim) float32, cosines first (`flip_sin_to_cos` in
    diffusers' words). freq_shift (its `downscale_freq_shift`): 1 makes the last frequency exactly 1 / max_period; with
    0 it would be the one after the last. Raises ValueError when `dim` is odd.
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
    """Fixed 2-D sinusoids for a grid of patches: half the channels tell the column, half the row (Peebles & Xie 2023).

    Positions are stretched so that any grid spans `base_size` / `interpolation_scale` (PixArt-alpha, section 2.3),
    which lets a model trained on one size start well on another. `dim` must be a multiple of 4. Returns (height *
    width, dim).
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


def project_patches(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Cuts x (B, C, H, W) into patches and projects each: (B, N, D), rows first. The same as `conv(x)` for a
    convolution whose stride is its kernel (a border too narrow for a patch is left out), but as one matrix product,
    which is several times faster on a CPU."""
    p = conv.kernel_size[0]
    rows, columns = x.shape[2] // p, x.shape[3] // p
    whole = x[:, :, : rows * p, : columns * p].unflatten(3, (columns, p)).unflatten(2, (rows, p))   # (B, C, h, p, w, p)
    patches = whole.permute(0, 2, 4, 1, 3, 5)                                                   # (B, h, w, C, p, p)
    return F.linear(patches.flatten(3).flatten(1, 2), conv.weight.flatten(1), conv.bias)            # (B, N, D)
