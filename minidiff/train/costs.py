"""What training a text DiT costs, by formulas: floating-point operations, and bytes of memory. Nothing is run.

In all of them N is the number of patches of an image, L of a caption's tokens, D the width of the network, r its mlp_ratio, p
its patch_size. Tests count both on the network itself. What it is not: the time and money that follow (recipes/plan.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from minidiff.models.dit import SINUSOIDS, DiTConfig

BACKWARD = 2      # a product's derivatives by its two factors are two products of its size (Kaplan et al. 2020, section 2.1)
FULL, HALF = 4, 2  # bytes of a number


def forward_flops(config: DiTConfig, patches: int, tokens: int) -> int:
    """Operations of one image forward, products alone: (n, k) x (k, m) counts 2 n k m. What is added, normalised and softened
    between them is less than 1 % at these widths.

    A block: self-attention's four layers 8 N D^2 and its two products with keys and values 4 N^2 D; cross-attention's layers
    for queries and output 4 N D^2, for keys and values 4 L D^2, its products 4 N L D; the MLP 4 r N D^2. Around the blocks:
    patches 2 N p^2 C D in and 2 N p^2 C' D out, the caption 2 L (D_text D + D^2), the time 2 (256 D + D^2) + 12 D^2.
    """
    d, n, length = config.hidden_size, patches, tokens
    attention = 8 * n * d**2 + 4 * n**2 * d
    cross = 4 * n * d**2 + 4 * length * d**2 + 4 * n * length * d
    block = attention + cross + 4 * config.mlp_ratio * n * d**2
    around = 2 * n * d * (config.patch_size**2 * config.in_channels + config.patch_out)
    caption = 2 * length * (config.caption_channels * d + d**2)
    return config.depth * block + around + caption + 2 * (SINUSOIDS * d + d**2) + 12 * d**2


def training_flops(config: DiTConfig, patches: int, tokens: int) -> int:
    """Operations of one image forward and backward. Blocks that are computed a second time for checkpointing don't count: MFU
    asks what the model needs (Chowdhery et al. 2022, appendix B)."""
    return (1 + BACKWARD) * forward_flops(config, patches, tokens)


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU."""

    weights: int
    gradients: int
    optimizer: int
    ema: int
    exchange: int
    activations: int

    @property
    def total(self) -> int:
        return sum(vars(self).values())


def block_activations(config: DiTConfig, patches: int, tokens: int, mixed: bool) -> int:
    """Bytes that one block keeps of one image until its derivatives are taken; under autocast (mixed), of a GPU.

    In numbers of N D: both norms' inputs and outputs, 4 in float32; 11 + 2 r of what enters the layers, queries, keys, values
    and what is gated, in bfloat16 under autocast, which also keeps a copy of self-attention's input for each of its three
    layers, 2 more. Of the caption, its keys and values 2 L D. The scores are not kept: fused attention computes them again (Dao
    et al. 2022).
    """
    d, small = config.hidden_size, HALF if mixed else FULL
    entering = 11 + 2 * config.mlp_ratio + (2 if mixed else 0)
    return patches * d * (4 * FULL + entering * small) + 2 * tokens * d * small


def training_memory(
    config: DiTConfig, parameters: int, micro: int, patches: int, tokens: int, *, processes: int = 1, mixed: bool = True,
    checkpointing: bool = False,
) -> Memory:  # fmt: skip
    """A GPU that trains with micro-batches of `micro`. Weights and EMA in float32, AdamW's two averages, and with several
    processes DDP's buckets, as large as the gradients. Under autocast the weights' bfloat16 copies live through a step. With
    checkpointing each block keeps its input alone, and one block at a time the rest."""
    block = block_activations(config, patches, tokens, mixed)
    kept = patches * config.hidden_size * FULL
    activations = config.depth * kept + block if checkpointing else config.depth * block
    whole = FULL * parameters
    return Memory(
        weights=whole + (HALF * parameters if mixed else 0), gradients=whole, optimizer=2 * whole, ema=whole,
        exchange=whole if processes > 1 else 0, activations=micro * activations,
    )  # fmt: skip
