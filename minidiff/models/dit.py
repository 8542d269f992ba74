"""The text DiT: a transformer on patches of a noisy latent (Peebles & Xie 2023) as PixArt-alpha shapes it (Chen et al. 2023).
The time enters by adaLN-single, the caption by cross-attention.

Parameter names are those of diffusers' `PixArtTransformer2DModel(use_additional_conditions=False)`; state dicts move in both
directions. What it is not: the class-conditional DiT (models/class_dit.py), a noise schedule (the timestep is only a number
here), or fast sampling (inference/). Taught in the lesson on the DiT.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from minidiff.nn.attention import Attention, padding_bias
from minidiff.nn.blocks import FeedForward
from minidiff.nn.embeddings import PatchProjection, TimestepEmbedding, position_table, timestep_embedding

SINUSOIDS = 256         # width of the timestep's sinusoids in every published DiT


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """What every DiT has. sample_size: side of the latent that the positions are made for (others work too).

    out_channels: None for in_channels. Published DiTs also learn the variance and have 2 in_channels: the prediction first.
    """

    sample_size: int = 16
    patch_size: int = 2
    in_channels: int = 4
    out_channels: int | None = None
    hidden_size: int = 384
    depth: int = 6
    heads: int = 6
    mlp_ratio: int = 4
    interpolation_scale: float = 1.0

    def __post_init__(self) -> None:
        if self.hidden_size % self.heads or self.hidden_size % 4:
            raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of 4 and of heads={self.heads}.")
        if self.sample_size % self.patch_size:
            raise ValueError(f"sample_size {self.sample_size} must be a multiple of patch_size {self.patch_size}.")

    @property
    def patch_out(self) -> int:
        """Numbers predicted for each patch."""
        return self.patch_size**2 * (self.out_channels or self.in_channels)

    def check_latent(self, x: Tensor) -> None:
        """ValueError unless x is (B, in_channels, H, W) and divides into patches."""
        p, c = self.patch_size, self.in_channels
        if x.ndim != 4 or x.shape[1] != c or x.shape[2] % p or x.shape[3] % p:
            raise ValueError(f"x has shape {tuple(x.shape)}; it must be (B, {c}, H, W) with H and W multiples of {p}.")


@dataclass(frozen=True, kw_only=True)
class DiTConfig(TransformerConfig):
    """The text DiT: captions are caption_channels wide."""

    caption_channels: int = 256


def modulated_norm(x: Tensor, shift: Tensor, scale: Tensor, eps: float = 1e-6) -> Tensor:
    """adaLN: LayerNorm(x) (1 + scale) + shift (Peebles & Xie 2023, section 3.2). x (B, N, D); shift, scale (B or 1, 1, D)."""
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=eps), 1 + scale)


def unpatchify(tokens: Tensor, x: Tensor, patch_size: int) -> Tensor:
    """tokens (B, N, p p C), channels last within a patch, to (B, C, H, W); x gives H and W."""
    p, rows = patch_size, x.shape[2] // patch_size
    return rearrange(tokens, "b (h w) (p q c) -> b c (h p) (w q)", h=rows, p=p, q=p)


def initialise_layers(model: nn.Module) -> None:
    """Xavier for linear layers and patch projections, 0 for biases, as in a ViT (Peebles & Xie 2023, section 4)."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(module.weight.flatten(1))
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class Block(nn.Module):
    """Self-attention, cross-attention, MLP. The time shifts, scales and gates the first and the last (adaLN-single: the
    network's one modulation plus the block's own table); cross-attention is not even normalised."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        width, head_dim = config.hidden_size, config.hidden_size // config.heads
        self.scale_shift_table = nn.Parameter(torch.empty(6, width))
        self.attn1 = Attention(width, None, config.heads, head_dim, bias=True)
        self.attn2 = Attention(width, width, config.heads, head_dim, bias=True)
        self.ff = FeedForward(width, config.mlp_ratio * width)

    def forward(self, x: Tensor, time: Tensor, caption: Tensor, mask: Tensor | None) -> Tensor:
        """x (B, N, D), time (B or 1, 6, D), caption (B, L, D), mask (B, 1, 1, L) added to the logits. Returns (B, N, D)."""
        modulation = (self.scale_shift_table + time).unsqueeze(2)                               # (B or 1, 6, 1, D)
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = modulation.unbind(1)               # (B or 1, 1, D) each
        x = x + gate * self.attn1(modulated_norm(x, shift, scale))
        x = x + self.attn2(x, caption, mask)
        return x + gate_mlp * self.ff(modulated_norm(x, shift_mlp, scale_mlp))


class PatchEmbed(nn.Module):
    """Patches as tokens, each with its position."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.grid = config.sample_size // config.patch_size
        self.interpolation_scale = config.interpolation_scale
        self.proj = PatchProjection(config.in_channels, config.hidden_size, config.patch_size)
        self.register_buffer("pos_embed", self.positions(self.grid, self.grid), persistent=False)

    def positions(self, rows: int, columns: int) -> Tensor:
        """(rows * columns, D)."""
        return position_table(self.proj.out_channels, rows, columns, self.grid, self.interpolation_scale)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, N, D)."""
        rows, columns = (side // self.proj.kernel_size[0] for side in x.shape[-2:])
        table = self.get_buffer("pos_embed")
        if (rows, columns) != (self.grid, self.grid):
            table = self.positions(rows, columns).to(table)
        return self.proj(x) + table


class AdaLNSingle(nn.Module):
    """One linear layer from the time to the shifts, scales and gates of all blocks (PixArt-alpha, section 2.3)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.emb = nn.ModuleDict({"timestep_embedder": TimestepEmbedding(SINUSOIDS, width)})    # named as in diffusers
        self.linear = nn.Linear(width, 6 * width)

    def forward(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """timestep (B,) to the blocks' modulation (B, 6, D) and the embedded time (B, D)."""
        sinusoids = timestep_embedding(timestep, SINUSOIDS).to(next(self.parameters()).dtype)
        embedded = self.emb["timestep_embedder"](sinusoids)                                     # (B, D)
        return self.linear(F.silu(embedded)).unflatten(1, (6, -1)), embedded


class CaptionProjection(nn.Module):
    """From the text encoder's width to the DiT's."""

    def __init__(self, caption_channels: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(caption_channels, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, caption: Tensor) -> Tensor:
        """(B, L, caption_channels) to (B, L, D)."""
        return self.linear_2(F.gelu(self.linear_1(caption), approximate="tanh"))


class DiT(nn.Module):
    """forward(x, timestep, context, mask) -> the prediction for x. See the file's docstring."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.pos_embed = PatchEmbed(config)
        self.transformer_blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.scale_shift_table = nn.Parameter(torch.empty(2, width))
        self.proj_out = nn.Linear(width, config.patch_out)
        self.adaln_single = AdaLNSingle(width)
        self.caption_projection = CaptionProjection(config.caption_channels, width)
        self.initialise()

    def initialise(self) -> None:
        """Every block starts as the identity (gates 0, cross-attention's output 0) and the network predicts 0: adaLN-zero
        (Peebles & Xie 2023, section 3.2). Elsewhere xavier, and normal(0.02) in the embeddings."""
        initialise_layers(self)
        for mlp in (self.adaln_single.emb["timestep_embedder"], self.caption_projection):
            for layer in (mlp.linear_1, mlp.linear_2):
                nn.init.normal_(cast(nn.Linear, layer).weight, std=0.02)
        for tensor in (self.adaln_single.linear.weight, self.scale_shift_table, self.proj_out.weight):
            nn.init.zeros_(tensor)
        for block in cast(list[Block], self.transformer_blocks):
            nn.init.zeros_(block.scale_shift_table)
            nn.init.zeros_(cast(nn.Linear, block.attn2.to_out[0]).weight)

    def forward(self, x: Tensor, timestep: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (B, C, H, W); timestep (B,), or (1,) when all share it; context (B, L, caption_channels); mask (B, L) bool, True
        for tokens, or None. Returns (B, out_channels, H, W). ValueError for sizes that don't fit."""
        self.config.check_latent(x)
        if context.shape[0] != x.shape[0]:  # not len(), which would fix the batch in an export
            raise ValueError(f"There are {len(context)} captions for {len(x)} latents; give one each.")
        time, embedded = self.adaln_single(timestep.reshape(-1))                    # (B or 1, 6, D), (B or 1, D)
        caption = self.caption_projection(context)                                              # (B, L, D)
        bias = padding_bias(mask, caption)                                                      # (B, 1, 1, L)
        tokens = self.pos_embed(x)                                                              # (B, N, D)
        for block in self.transformer_blocks:
            tokens = block(tokens, time, caption, bias)
        return self.to_latent(tokens, embedded, x)

    def to_latent(self, tokens: Tensor, embedded: Tensor, x: Tensor) -> Tensor:
        """The last layer: tokens (B, N, D), the embedded time (B or 1, D) and x, which gives the size, to (B, C, H, W)."""
        shift, scale = (self.scale_shift_table + embedded[:, None]).unsqueeze(2).unbind(1)      # (B or 1, 1, D) each
        return unpatchify(self.proj_out(modulated_norm(tokens, shift, scale)), x, self.config.patch_size)
