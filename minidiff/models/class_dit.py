"""The class-conditional DiT (Peebles & Xie 2023): a transformer on latent patches; time and ImageNet class enter by adaLN-zero.
The first DiT, and the shortest: no text, no cross-attention.

Parameter names are those of diffusers' `DiTTransformer2DModel`, except that the embedding of time and class, which it repeats
in every block, is here once, as `emb`; pretrained/state_dicts.py converts from and to it and the original repository's weights.
What it is not: the text DiT (models/dit.py, whose parts it shares). Taught in the lesson on the DiT.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff.models.dit import SINUSOIDS, PatchEmbed, TransformerConfig, initialise_layers, modulated_norm, unpatchify
from minidiff.nn.attention import Attention
from minidiff.nn.blocks import FeedForward
from minidiff.nn.embeddings import TimestepEmbedding, timestep_embedding

# Depth, width and heads of the published sizes (Peebles & Xie 2023, table 1).
SIZES = {"S": (12, 384, 6), "B": (12, 768, 12), "L": (24, 1024, 16), "XL": (28, 1152, 16)}


@dataclass(frozen=True, kw_only=True)
class ClassDiTConfig(TransformerConfig):
    """num_classes: label `num_classes` means "no class", for classifier-free guidance.

    freq_shift, mlp_norm_eps: 0 and 1e-6 in the original, 1 and 1e-5 in diffusers, even from the same weights.
    """

    sample_size: int = 32
    num_classes: int = 1000
    freq_shift: float = 0.0
    mlp_norm_eps: float = 1e-6


def published_config(name: str, sample_size: int = 32) -> ClassDiTConfig:
    """"XL/2", "B/4", ...: a size of `SIZES` and a patch size, with learnt variance as published. sample_size: 32 for 256
    pixels, 64 for 512. ValueError for names that the paper doesn't have."""
    size, _, patch = name.partition("/")
    if size not in SIZES or patch not in ("2", "4", "8"):
        raise ValueError(f"There is no DiT-{name}: choose a size of {', '.join(SIZES)} and a patch of 2, 4 or 8: XL/2.")
    depth, width, heads = SIZES[size]
    return ClassDiTConfig(
        sample_size=sample_size, patch_size=int(patch), out_channels=8, depth=depth, hidden_size=width, heads=heads
    )


class LabelEmbedding(nn.Module):
    """One learnt vector per class, and a last one for no class."""

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(num_classes + 1, width)


class ConditionEmbedding(nn.Module):
    """Time and class as one vector: the sum of their embeddings."""

    def __init__(self, config: ClassDiTConfig) -> None:
        super().__init__()
        self.freq_shift = config.freq_shift
        self.timestep_embedder = TimestepEmbedding(SINUSOIDS, config.hidden_size)
        self.class_embedder = LabelEmbedding(config.num_classes, config.hidden_size)

    def forward(self, timestep: Tensor, label: Tensor) -> Tensor:
        """timestep (B or 1,), label (B,) to (B, D)."""
        table = self.class_embedder.embedding_table
        sinusoids = timestep_embedding(timestep, SINUSOIDS, freq_shift=self.freq_shift).to(table.weight.dtype)
        return self.timestep_embedder(sinusoids) + table(label)


class AdaLNZero(nn.Module):
    """The block's own linear layer from the condition to shifts, scales and gates (Peebles & Xie 2023, figure 3)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 6 * width)

    def forward(self, condition: Tensor) -> tuple[Tensor, ...]:
        """(B, D) to shift, scale, gate for attention, then for the MLP, (B, 1, D) each."""
        return self.linear(condition)[:, None].chunk(6, dim=-1)


class ClassBlock(nn.Module):
    """Self-attention and MLP, each normalised, shifted, scaled and gated by time and class."""

    def __init__(self, config: ClassDiTConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.mlp_norm_eps = config.mlp_norm_eps
        self.norm1 = AdaLNZero(width)
        self.attn1 = Attention(width, None, config.heads, width // config.heads, bias=True)
        self.ff = FeedForward(width, config.mlp_ratio * width)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (B, N, D), condition (B, D), to (B, N, D)."""
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = self.norm1(condition)              # (B, 1, D) each
        x = x + gate * self.attn1(modulated_norm(x, shift, scale))
        return x + gate_mlp * self.ff(modulated_norm(x, shift_mlp, scale_mlp, self.mlp_norm_eps))


class ClassDiT(nn.Module):
    """forward(x, timestep, label) -> the prediction for x. See the file's docstring."""

    def __init__(self, config: ClassDiTConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.pos_embed = PatchEmbed(config)
        self.emb = ConditionEmbedding(config)
        self.transformer_blocks = nn.ModuleList(ClassBlock(config) for _ in range(config.depth))
        self.proj_out_1 = nn.Linear(width, 2 * width)
        self.proj_out_2 = nn.Linear(width, config.patch_out)
        self.initialise()

    def initialise(self) -> None:
        """adaLN-zero (Peebles & Xie 2023, section 3.2): every block starts as the identity, the network predicts 0."""
        initialise_layers(self)
        for layer in (self.emb.timestep_embedder.linear_1, self.emb.timestep_embedder.linear_2,
                      self.emb.class_embedder.embedding_table):
            nn.init.normal_(layer.weight, std=0.02)
        for block in self.transformer_blocks:
            nn.init.zeros_(cast(ClassBlock, block).norm1.linear.weight)
        nn.init.zeros_(self.proj_out_1.weight)
        nn.init.zeros_(self.proj_out_2.weight)

    def forward(self, x: Tensor, timestep: Tensor, label: Tensor) -> Tensor:
        """x (B, in_channels, H, W); timestep (B,), or (1,) when all share it; label (B,) int64, 0 to num_classes, the last for
        no class. Returns (B, out_channels, H, W). ValueError for sizes that don't fit, and on a CPU for labels."""
        self.config.check_latent(x)
        self._check_label(x, label)
        condition = F.silu(self.emb(timestep.reshape(-1), label))                               # (B, D)
        tokens = self.pos_embed(x)                                                              # (B, N, D)
        for block in self.transformer_blocks:
            tokens = block(tokens, condition)
        shift, scale = self.proj_out_1(condition)[:, None].chunk(2, dim=-1)                     # (B, 1, D) each
        return unpatchify(self.proj_out_2(modulated_norm(tokens, shift, scale)), x, self.config.patch_size)

    def _check_label(self, x: Tensor, label: Tensor) -> None:
        last = self.config.num_classes
        if label.shape != x.shape[:1]:
            raise ValueError(f"There are labels of shape {tuple(label.shape)} for {len(x)} latents; give one each.")
        if label.device.type != "cpu" or torch.compiler.is_compiling():
            return      # looking at the labels would make the program wait for the device
        if bool(((label < 0) | (label > last)).any()):
            raise ValueError(f"label is {label.tolist()}; labels go from 0 to {last} ({last}: no class).")
