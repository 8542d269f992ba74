"""The U-Net: a convolutional network that predicts what to take away from a noisy picture (Ronneberger et al. 2015; Ho et
al. 2020). Small and unconditional in the first lessons, told a class or a caption later, and at its default size Stable
Diffusion 1.5's (Rombach et al. 2022, 860 M parameters): one file for all of them.

Parameter names are those of diffusers' `UNet2DModel` and `UNet2DConditionModel`, so a published
`unet/diffusion_pytorch_model.safetensors` of Stable Diffusion 1.x loads as it is. What it is not: anything that knows
about paths or noise levels; it is given a number called timestep and never asks what it means.
Taught in the lessons on the U-Net and on cross-attention.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from minidiff.inference.cpu import PackedLinear, PackedSelfAttention, packable
from minidiff.models.dit import Context, KeysValues, captions_each
from minidiff.nn.attention import Attention, padding_bias
from minidiff.nn.blocks import Downsample, ResBlock, SpatialAttention, Upsample
from minidiff.nn.embeddings import TimestepEmbedding, timestep_embedding


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """Shape of a U-Net; the defaults are Stable Diffusion 1.5's.

    sample_size: side of the pictures or latents it is trained on (others work too).
    channels: width of each level, finest first; each level has half the height and width of the one before.
    attention: which levels look at the whole picture (and at the caption); the middle always does.
    layers: residual blocks per level on the way down; one more on the way up.
    heads: number of attention heads; or, if given, head_dim: width of a head, and as many of them as the level has room for.
    context_dim: width of the caption's vectors; None: no cross-attention, and simpler self-attention.
    classes: number of labels; None: no labels.
    groups, eps: of the GroupNorms.
    """

    sample_size: int = 64
    in_channels: int = 4
    out_channels: int = 4
    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    attention: tuple[bool, ...] = (True, True, True, False)
    layers: int = 2
    heads: int = 8
    head_dim: int | None = None
    context_dim: int | None = 768
    classes: int | None = None
    groups: int = 32
    eps: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("channels", "attention"):      # JSON gives lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("sample_size", "in_channels", "out_channels", "layers", "heads", "head_dim", "context_dim", "classes",
                     "groups"):  # fmt: skip
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; it must be 1 or more.")
        if not self.channels or len(self.attention) != len(self.channels):
            raise ValueError(f"There are {len(self.attention)} entries of attention for {len(self.channels)} of channels; "
                             "give one of each for every level.")
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


class GEGLU(nn.Module):
    """A linear layer whose one half gates the other: a GELU(b) (Shazeer 2020, eq. 6)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj: nn.Module = nn.Linear(width, 2 * inner)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    """GEGLU, Linear, numbered as diffusers does (net.1 is its dropout)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.ModuleList([GEGLU(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width)])

    def forward(self, x: Tensor) -> Tensor:
        return self.net[2](self.net[0](x))


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention, MLP, each normalised before and added after."""

    def __init__(self, width: int, heads: int, context_dim: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn1: Attention | PackedSelfAttention = Attention(width, None, heads, width // heads)
        self.norm2 = nn.LayerNorm(width)
        self.attn2 = Attention(width, context_dim, heads, width // heads)
        self.norm3 = nn.LayerNorm(width)
        self.ff = FeedForward(width)

    def forward(self, x: Tensor, caption: KeysValues) -> Tensor:
        """(B, N, D) to the same."""
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), mask=caption.bias, keys_values=(caption.key, caption.value))
        return x + self.ff(self.norm3(x))

    def pack(self, dtype: torch.dtype) -> None:
        """See UNet.packed. The large products, that is; cross-attention's are small."""
        gated, down = cast(GEGLU, self.ff.net[0]), self.ff.net[2]
        if isinstance(self.attn1, Attention) and PackedSelfAttention.can(self.attn1):
            self.attn1 = PackedSelfAttention(self.attn1, dtype)
        if isinstance(gated.proj, nn.Linear) and isinstance(down, nn.Linear) and packable(gated.proj, down):
            gated.proj = PackedLinear(gated.proj.weight, gated.proj.bias, dtype)
            self.ff.net[2] = PackedLinear(down.weight, down.bias, dtype)


class Transformer(nn.Module):
    """The picture's positions as tokens through a transformer block that reads the caption, added to the picture (Rombach
    et al. 2022, section 3.3)."""

    def __init__(self, width: int, config: UNetConfig) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(config.groups, width, eps=1e-6)    # whatever config.eps is, as published
        self.proj_in = nn.Conv2d(width, width, 1)
        block = TransformerBlock(width, config.heads_at(width), config.context_dim or width)
        self.transformer_blocks = nn.ModuleList([block])
        self.proj_out = nn.Conv2d(width, width, 1)

    @property
    def block(self) -> TransformerBlock:
        return cast(TransformerBlock, self.transformer_blocks[0])

    def forward(self, x: Tensor, caption: KeysValues) -> Tensor:
        """(B, C, H, W) to the same."""
        tokens = rearrange(self.proj_in(self.norm(x)), "b c h w -> b (h w) c")
        return x + self.proj_out(rearrange(self.block(tokens, caption), "b (h w) c -> b c h w", h=x.shape[2]))


class Level(nn.Module):
    """What happens at one height and width: residual blocks, after each perhaps attention, and perhaps a change of size.

    Args:
        widths_in: channels that come into each residual block.
        width: channels that come out of it.
        attentions: how many of the residual blocks, counted from the first, are followed by attention.
    """

    def __init__(
        self, widths_in: list[int], width: int, attentions: int, config: UNetConfig, down: bool = False, up: bool = False
    ) -> None:
        super().__init__()
        groups, eps, time_dim = config.groups, config.eps, 4 * config.channels[0]
        self.resnets = nn.ModuleList(ResBlock(before, width, groups, eps, time_dim) for before in widths_in)
        self.attentions = nn.ModuleList(
            SpatialAttention(width, groups, config.heads_at(width), eps) if config.context_dim is None
            else Transformer(width, config) for _ in range(attentions)
        )  # fmt: skip
        self.downsamplers = nn.ModuleList([Downsample(width, all_round=True)] if down else [])
        self.upsamplers = nn.ModuleList([Upsample(width)] if up else [])

    def layer(self, k: int, x: Tensor, time: Tensor, captions: Iterator[KeysValues]) -> Tensor:
        """Residual block k, and the attention behind it, if there is one. (B, widths_in[k], H, W) to (B, width, H, W)."""
        x = self.resnets[k](x, time)
        if k >= len(self.attentions):
            return x
        attention = self.attentions[k]
        return attention(x, next(captions)) if isinstance(attention, Transformer) else attention(x)


class UNet(nn.Module):
    """forward(x, timestep, context, mask, labels) -> prediction of x's height and width. See the file's docstring."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths, layers, last = config.channels, config.layers, len(config.channels) - 1
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.time_embedding = TimestepEmbedding(widths[0], 4 * widths[0])
        self.class_embedding = nn.Embedding(config.classes, 4 * widths[0]) if config.classes else None
        self.down_blocks = nn.ModuleList()
        skips = [widths[0]]         # width of everything that is handed across the U, in order
        for k, width in enumerate(widths):
            before = [widths[max(0, k - 1)]] + [width] * (layers - 1)
            self.down_blocks.append(Level(before, width, layers * config.attention[k], config, down=k < last))
            skips += [width] * (layers + (k < last))
        self.mid_block = Level([widths[-1]] * 2, widths[-1], 1, config)
        self.up_blocks = nn.ModuleList()
        for k, width in reversed(list(enumerate(widths))):
            before = [widths[min(k + 1, last)]] + [width] * layers
            before = [own + skips.pop() for own in before]
            self.up_blocks.append(Level(before, width, (layers + 1) * config.attention[k], config, up=k > 0))
        self.conv_norm_out = nn.GroupNorm(config.groups, widths[0], eps=config.eps)
        self.conv_out = nn.Conv2d(widths[0], config.out_channels, 3, padding=1)
        self.initialise()

    def initialise(self) -> None:
        """The last layer of whatever is added to something starts at 0, and so does the last of all: at first every block
        is the identity and the prediction 0 (Dhariwal & Nichol 2021). The other layers start as PyTorch's do."""
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

    @property
    def transformers(self) -> list[Transformer]:
        """Everything that reads the caption, in the order of the way through the U (in which __init__ makes it)."""
        return [module for module in self.modules() if isinstance(module, Transformer)]

    def prepare_context(self, context: Tensor, mask: Tensor | None = None) -> Context:
        """Keys and values of the caption for every block. They don't depend on the picture: a sampler computes them once,
        and gives them to `forward` in place of the caption.

        context (B, L, context_dim), mask (B, L) bool, True where there is a token, or None.
        """
        if self.config.context_dim is None:
            raise ValueError("A context was given, but this U-Net has no cross-attention: its context_dim is None.")
        context = context.to(self.conv_in.weight.dtype)
        bias = padding_bias(mask, context)                                                      # (B, 1, 1, L)
        blocks = (KeysValues(*module.block.attn2.keys_values(context), bias) for module in self.transformers)
        return Context(tuple(blocks), len(context))

    def packed(self, dtype: torch.dtype = torch.float32) -> UNet:
        """A copy that can only predict, faster on a CPU (nn/packed.py): same forward and prepare_context, no weights to save.

        dtype: what it computes in throughout. Convolutions run channels last, which is faster here but, because of
        GroupNorm's backward pass, slower in training. On other devices, or with LoRA in place of linear layers, it is a
        plain copy of that dtype. It does not follow later changes.
        """
        model = copy.deepcopy(self).eval().requires_grad_(False)
        model.to(dtype=dtype, memory_format=torch.channels_last)    # type: ignore[call-overload]
        for module in model.transformers:
            module.block.pack(dtype)
        return model

    def forward(
        self, x: Tensor, timestep: Tensor, context: Tensor | Context | None = None, mask: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> Tensor:
        """x (B, in_channels, H, W); timestep (B,), or (1,) when all share it; context (B, L, context_dim) with mask (B, L)
        bool (True: token), or what `prepare_context` gave; labels (B,) int64. Returns (B, out_channels, H, W) of x's dtype.

        A Context may hold k captions for each x, ordered caption by caption: [all x with the first, all x with the
        second, ...]. Then (k B, out_channels, H, W) is returned. ValueError for what doesn't fit.
        """
        self._check(x, context, labels)
        copies = 1 if context is None else captions_each(context, x)
        if isinstance(context, Tensor):
            context = self.prepare_context(context, mask)
        captions = iter(cast(tuple[KeysValues, ...], context.blocks) if context else ())
        time = self._time(timestep, labels)                                                     # (B or 1, 4 C)
        if copies > 1:
            x, time = x.repeat(copies, 1, 1, 1), time if len(time) == 1 else time.repeat(copies, 1)
        h = self.conv_in(x.to(self.conv_in.weight.dtype))                                       # (B, C, H, W)
        skips = [h]
        for level in cast(list[Level], self.down_blocks):
            for k in range(self.config.layers):
                h = level.layer(k, h, time, captions)
                skips.append(h)
            for halve in level.downsamplers:
                h = halve(h)
                skips.append(h)
        for k in range(2):
            h = self.mid_block.layer(k, h, time, captions)
        for level in cast(list[Level], self.up_blocks):
            for k in range(self.config.layers + 1):
                h = level.layer(k, torch.cat([h, skips.pop()], dim=1), time, captions)
            for double in level.upsamplers:
                h = double(h, skips[-1].shape[-2:])
        return self.conv_out(F.silu(self.conv_norm_out(h))).to(x.dtype)

    def _time(self, timestep: Tensor, labels: Tensor | None) -> Tensor:
        """The vector that tells every residual block the time, and the label if there is one: (B or 1, 4 C)."""
        sinusoids = timestep_embedding(timestep.reshape(-1), self.config.channels[0])
        time = self.time_embedding(sinusoids.to(self.conv_in.weight.dtype))
        return time if self.class_embedding is None else time + self.class_embedding(labels)

    def _check(self, x: Tensor, context: Tensor | Context | None, labels: Tensor | None) -> None:
        """ValueError for what this U-Net was not made for."""
        config = self.config
        if x.ndim != 4 or x.shape[1] != config.in_channels:
            raise ValueError(f"x has shape {tuple(x.shape)}; it must be (B, {config.in_channels}, H, W).")
        for name, given, wanted in (("context", context, config.context_dim), ("labels", labels, config.classes)):
            if (given is None) != (wanted is None):
                raise ValueError(f"This U-Net was made with{'out' if wanted is None else ''} {name}, so it must be called "
                                 f"with{'out' if wanted is None else ''} {name}.")
        if labels is not None and labels.shape != x.shape[:1]:
            raise ValueError(f"There are labels of shape {tuple(labels.shape)} for {len(x)} pictures; give one each.")
