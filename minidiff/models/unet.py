"""The U-Net: a convolutional network that predicts noise in an image (Ronneberger et al. 2015; Ho et al. 2020). In the first
lessons it is small and unconditional, later it is given a class or a caption; its default is Stable Diffusion 1.5's (Rombach et
al. 2022, 860 M parameters).

Parameter names are those of diffusers' `UNet2DModel` and `UNet2DConditionModel`, so a published
`unet/diffusion_pytorch_model.safetensors` of Stable Diffusion 1.x loads as it is. What it is not: a noise schedule (the
timestep is only a number here), or fast sampling (inference/). Taught in the lessons on the U-Net and on cross-attention.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from minidiff.nn.attention import Attention, padding_bias
from minidiff.nn.blocks import GEGLU, Downsample, FeedForward, ResBlock, SpatialAttention, Upsample
from minidiff.nn.embeddings import TimestepEmbedding, timestep_embedding


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """Shape of a U-Net; the defaults are Stable Diffusion 1.5's.

    sample_size: side of the images or latents it is trained on (others work too).
    channels: width of each level, finest first; each level has half the height and width of the one before.
    attention: which levels have attention; the middle always has.
    cross_only: at which levels places don't look at each other, but twice at the caption; () is none.
    layers: residual blocks per level on the way down; one more on the way up.
    heads: number of attention heads; head_dim, if given, is the width of a head instead, and the number follows.
    context_dim: width of the caption's vectors; None: no cross-attention, and simpler self-attention.
    classes: number of labels; None: no labels.
    groups, eps: of the GroupNorms.
    """

    sample_size: int = 64
    in_channels: int = 4
    out_channels: int = 4
    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    attention: tuple[bool, ...] = (True, True, True, False)
    cross_only: tuple[bool, ...] = ()
    layers: int = 2
    heads: int = 8
    head_dim: int | None = None
    context_dim: int | None = 768
    classes: int | None = None
    groups: int = 32
    eps: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("channels", "attention", "cross_only"):    # JSON gives lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, value in vars(self).items():
            if isinstance(value, int) and value < 1:
                raise ValueError(f"{name} is {value}; it must be 1 or more.")
        if not self.channels or len(self.attention) != len(self.channels):
            raise ValueError(f"There are {len(self.attention)} entries of attention for {len(self.channels)} of channels; "
                             "give one of each for every level.")
        if self.cross_only and (len(self.cross_only) != len(self.channels) or self.context_dim is None):
            raise ValueError(f"cross_only has {len(self.cross_only)} entries; give one for every level, and context_dim.")
        if self.channels[0] % 2 or any(width < 1 or width % self.groups for width in self.channels):
            raise ValueError(f"channels are {self.channels}; they must be multiples of groups={self.groups}, and the first "
                             "one even.")
        attending = [width for width, attends in zip(self.channels, self.attention, strict=True) if attends]
        if any(width % (self.head_dim or self.heads) for width in (*attending, self.channels[-1])):
            what = f"head_dim={self.head_dim}" if self.head_dim else f"heads={self.heads}"
            raise ValueError(f"channels are {self.channels}; where there is attention they must be multiples of {what}.")

    def heads_at(self, width: int) -> int:
        """Number of attention heads of a level this wide."""
        return width // self.head_dim if self.head_dim else self.heads


class TransformerBlock(nn.Module):
    """Self-attention (or attention to the caption), cross-attention, MLP, each normalised before and added after."""

    def __init__(self, width: int, heads: int, context_dim: int, cross_only: bool = False) -> None:
        super().__init__()
        self.cross_only = cross_only
        self.norm1 = nn.LayerNorm(width)
        self.attn1 = Attention(width, context_dim if cross_only else None, heads, width // heads)
        self.norm2 = nn.LayerNorm(width)
        self.attn2 = Attention(width, context_dim, heads, width // heads)
        self.norm3 = nn.LayerNorm(width)
        self.ff = FeedForward(width, 4 * width, GEGLU)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        """x (B, N, D), context (B, L, context_dim), mask (B, 1, 1, L) added to the logits. Returns (B, N, D)."""
        x = x + (self.attn1(self.norm1(x), context, mask) if self.cross_only else self.attn1(self.norm1(x)))
        x = x + self.attn2(self.norm2(x), context, mask)
        return x + self.ff(self.norm3(x))


class Transformer(nn.Module):
    """The image's positions as tokens through a transformer block that attends to the caption, added to the image (Rombach et
    al. 2022, section 3.3)."""

    def __init__(self, width: int, config: UNetConfig, cross_only: bool = False) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(config.groups, width, eps=1e-6)    # whatever config.eps is, as published
        self.proj_in = nn.Conv2d(width, width, 1)
        block = TransformerBlock(width, config.heads_at(width), config.context_dim or width, cross_only)
        self.transformer_blocks = nn.ModuleList([block])
        self.proj_out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        """(B, C, H, W) to the same."""
        tokens = rearrange(self.proj_in(self.norm(x)), "b c h w -> b (h w) c")
        tokens = self.transformer_blocks[0](tokens, context, mask)
        return x + self.proj_out(rearrange(tokens, "b (h w) c -> b c h w", h=x.shape[2]))


class UNetBlock(nn.Module):
    """What all blocks of the U have: residual layers of one height and width, the first `attentions` of them followed by
    attention.

    widths_in: channels that come into each residual layer; width: channels that come out of it; cross_only: see `UNetConfig`.
    """

    def __init__(
        self, widths_in: list[int], width: int, attentions: int, config: UNetConfig, cross_only: bool = False
    ) -> None:
        super().__init__()
        groups, eps, time_dim = config.groups, config.eps, 4 * config.channels[0]
        self.resnets = nn.ModuleList(ResBlock(before, width, groups, eps, time_dim) for before in widths_in)
        self.attentions = nn.ModuleList(
            SpatialAttention(width, groups, config.heads_at(width), eps) if config.context_dim is None
            else Transformer(width, config, cross_only) for _ in range(attentions)
        )  # fmt: skip

    def layer(self, k: int, x: Tensor, time: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Residual layer k and its attention, if it has one: (B, widths_in[k], H, W) to (B, width, H, W)."""
        x = self.resnets[k](x, time)
        if k >= len(self.attentions):
            return x
        attention = self.attentions[k]
        return attention(x, context, mask) if isinstance(attention, Transformer) else attention(x)


class DownBlock(UNetBlock):
    """One level of the way down; but for the deepest, it ends by halving height and width."""

    def __init__(
        self, widths_in: list[int], width: int, attentions: int, config: UNetConfig, cross_only: bool, down: bool
    ) -> None:
        super().__init__(widths_in, width, attentions, config, cross_only)
        self.downsamplers = nn.ModuleList([Downsample(width, all_round=True)] if down else [])

    def forward(self, x: Tensor, time: Tensor, context: Tensor | None, mask: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """(B, C, H, W) to what goes down, and the list of what is handed across the U."""
        skips = []
        for k in range(len(self.resnets)):
            x = self.layer(k, x, time, context, mask)
            skips.append(x)
        for downsample in self.downsamplers:
            x = downsample(x)
            skips.append(x)
        return x, skips


class MidBlock(UNetBlock):
    """Residual layer, attention, residual layer at the deepest level."""

    def forward(self, x: Tensor, time: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """(B, C, H, W) to the same."""
        for k in range(len(self.resnets)):
            x = self.layer(k, x, time, context, mask)
        return x


class UpBlock(UNetBlock):
    """One level of the way up; but for the finest, it ends by doubling height and width."""

    def __init__(
        self, widths_in: list[int], width: int, attentions: int, config: UNetConfig, cross_only: bool, up: bool
    ) -> None:
        super().__init__(widths_in, width, attentions, config, cross_only)
        self.upsamplers = nn.ModuleList([Upsample(width)] if up else [])

    def forward(self, x: Tensor, skips: list[Tensor], time: Tensor, context: Tensor | None, mask: Tensor | None) -> Tensor:
        """x (B, C, H, W) from below; from the end of `skips` each layer takes what was handed across at its height."""
        for k in range(len(self.resnets)):
            x = self.layer(k, torch.cat([x, skips.pop()], dim=1), time, context, mask)
        for upsample in self.upsamplers:
            x = upsample(x, skips[-1].shape[-2:])       # the side that was halved may have been odd
        return x


class UNet(nn.Module):
    """forward(x, timestep, context, mask, labels) -> the prediction for x. See the file's docstring."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths, layers, last = config.channels, config.layers, len(config.channels) - 1
        cross = config.cross_only or (False,) * len(widths)
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.time_embedding = TimestepEmbedding(widths[0], 4 * widths[0])
        self.class_embedding = nn.Embedding(config.classes, 4 * widths[0]) if config.classes else None
        self.down_blocks = nn.ModuleList()
        skips = [widths[0]]         # widths of all that is handed across the U, in order
        for k, width in enumerate(widths):
            before = [widths[max(0, k - 1)]] + [width] * (layers - 1)
            self.down_blocks.append(DownBlock(before, width, layers * config.attention[k], config, cross[k], down=k < last))
            skips += [width] * (layers + (k < last))
        self.mid_block = MidBlock([widths[-1]] * 2, widths[-1], 1, config)
        self.up_blocks = nn.ModuleList()
        for k, width in reversed(list(enumerate(widths))):
            before = [widths[min(k + 1, last)]] + [width] * layers
            before = [own + skips.pop() for own in before]
            self.up_blocks.append(UpBlock(before, width, (layers + 1) * config.attention[k], config, cross[k], up=k > 0))
        self.conv_norm_out = nn.GroupNorm(config.groups, widths[0], eps=config.eps)
        self.conv_out = nn.Conv2d(widths[0], config.out_channels, 3, padding=1)
        self.initialise()

    def initialise(self) -> None:
        """The last layer of every branch that is added to something starts at 0, and so does the last layer of all: every block
        is the identity and the prediction 0 (Dhariwal & Nichol 2021). The others start as PyTorch's do."""
        last: list[nn.Module] = [self.conv_out]
        for module in self.modules():
            if isinstance(module, ResBlock):
                last.append(module.conv2)
            elif isinstance(module, Transformer):
                last.append(module.proj_out)
            elif isinstance(module, SpatialAttention):
                last.append(module.to_out[0])
        for layer in last:
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def forward(
        self, x: Tensor, timestep: Tensor, context: Tensor | None = None, mask: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> Tensor:
        """x (B, in_channels, H, W); timestep (B,), or (1,) when all share it; context (B, L, context_dim) with mask (B, L)
        bool, True for tokens, or None; labels (B,) int64. Returns (B, out_channels, H, W). ValueError for what doesn't
        fit."""
        self._check(x, context, labels)
        bias = None if context is None else padding_bias(mask, context)                         # (B, 1, 1, L)
        time = self._time(timestep, labels)                                                     # (B or 1, 4 C)
        h = self.conv_in(x)                                                                     # (B, C, H, W)
        skips = [h]
        for down in self.down_blocks:
            h, made = down(h, time, context, bias)
            skips += made
        h = self.mid_block(h, time, context, bias)
        for up in self.up_blocks:
            h = up(h, skips, time, context, bias)
        return self.conv_out(F.silu(self.conv_norm_out(h)))

    def _time(self, timestep: Tensor, labels: Tensor | None) -> Tensor:
        """The embedding of the time, and of the label if there is one, for all residual layers: (B or 1, 4 C)."""
        sinusoids = timestep_embedding(timestep.reshape(-1), self.config.channels[0])
        time = self.time_embedding(sinusoids.to(self.conv_in.weight.dtype))
        return time if self.class_embedding is None else time + self.class_embedding(labels)

    def _check(self, x: Tensor, context: Tensor | None, labels: Tensor | None) -> None:
        """ValueError for what this U-Net was not made for."""
        config = self.config
        if x.ndim != 4 or x.shape[1] != config.in_channels:
            raise ValueError(f"x has shape {tuple(x.shape)}; it must be (B, {config.in_channels}, H, W).")
        for name, given, wanted in (("context", context, config.context_dim), ("labels", labels, config.classes)):
            if (given is None) != (wanted is None):
                raise ValueError(f"This U-Net was made with{'out' if wanted is None else ''} {name}, so it must be called "
                                 f"with{'out' if wanted is None else ''} {name}.")
        if context is not None and context.shape[0] != x.shape[0]:
            raise ValueError(f"There are {len(context)} captions for {len(x)} latents; give one each.")
        if labels is not None and labels.shape != x.shape[:1]:
            raise ValueError(f"There are labels of shape {tuple(labels.shape)} for {len(x)} images; give one each.")
