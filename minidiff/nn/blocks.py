"""Blocks that several models share: residual block, attention over the image, down- and upsampling, feed-forward.

Names and paddings are diffusers', so published weights fit. Taught in the lessons on the U-Net, on latents and on the DiT.
"""

from __future__ import annotations

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from minidiff.nn.attention import Attention


class ResBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))) (He et al. 2016, pre-activation); a 1 x 1 shortcut where widths differ.

    Args:
        channels_in, channels_out: widths before and after; multiples of groups.
        groups, eps: of both GroupNorms.
        time_dim: width of the time embedding, added between the convolutions (Ho et al. 2020, appendix B); None: no time.
    """

    def __init__(
        self, channels_in: int, channels_out: int, groups: int = 32, eps: float = 1e-6, time_dim: int | None = None
    ) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, channels_in, eps=eps)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.time_emb_proj = nn.Linear(time_dim, channels_out) if time_dim else None
        self.norm2 = nn.GroupNorm(groups, channels_out, eps=eps)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(channels_in, channels_out, 1) if channels_in != channels_out else None

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """x (B, channels_in, H, W), time (B or 1, time_dim) to (B, channels_out, H, W)."""
        h = self.conv1(F.silu(self.norm1(x)))
        if self.time_emb_proj is not None and time is not None:
            h = h + self.time_emb_proj(F.silu(time))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class SpatialAttention(Attention):
    """Self-attention between all H*W positions, added to the input. In the VAE it has a single head."""

    def __init__(self, channels: int, groups: int = 32, heads: int = 1, eps: float = 1e-6) -> None:
        super().__init__(channels, heads=heads, head_dim=channels // heads, bias=True)
        self.group_norm = nn.GroupNorm(groups, channels, eps=eps)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """(B, C, H, W) to the same."""
        tokens = rearrange(self.group_norm(x), "b c h w -> b (h w) c")
        return x + rearrange(super().forward(tokens), "b (h w) c -> b c h w", h=x.shape[2])


class Downsample(nn.Module):
    """Halves height and width by a strided convolution. Zeros are added on all sides if `all_round`, as in the U-Net, else only
    on the right and at the bottom, as in the VAE."""

    def __init__(self, channels: int, all_round: bool = False) -> None:
        super().__init__()
        self.all_round = all_round
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1 if all_round else 0)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x if self.all_round else F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Doubles height and width: nearest neighbour, then a convolution (no checkerboard: Odena et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """(B, C, H, W) to (B, C, 2H, 2W), or to (B, C, *size): the side that was halved may have been odd."""
        bigger = size or (2 * x.shape[2], 2 * x.shape[3])
        return self.conv(F.interpolate(x, size=bigger, mode="nearest"))


class GELU(nn.Module):
    """A linear layer, then tanh-GELU (Hendrycks & Gimpel 2016, section 2)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, inner)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.proj(x), approximate="tanh")


class GEGLU(nn.Module):
    """A linear layer whose second half gates the first: a GELU(b) (Shazeer 2020, eq. 6)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 2 * inner)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    """The MLP of a transformer block: GELU (DiT) or GEGLU (U-Net), then a linear layer. net.1 is diffusers' dropout."""

    def __init__(self, width: int, inner: int, activation: type[GELU] | type[GEGLU] = GELU) -> None:
        super().__init__()
        self.net = nn.ModuleList([activation(width, inner), nn.Identity(), nn.Linear(inner, width)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, width) to the same."""
        return self.net[2](self.net[0](x))
