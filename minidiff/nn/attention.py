"""The attention of the whole library: self-attention, cross-attention and the VAE's single head are all `Attention`.

What it is not: the meaning of a mask (callers say which keys may be seen), nor the maps that show where a model looks
(nn/attention_maps.py). Taught in the lessons on cross-attention and on the DiT.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff.nn.attention_maps import recorder_of
from minidiff.nn.cpu_attention import attend_by_products, products_are_faster

HIDDEN_TOKEN = -10000.0     # added to the logits of padding, as PixArt does; exp of it is 0 in every dtype


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, L, heads*d) to (B, heads, L, d)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(B, heads, L, d) back to (B, L, heads*d)."""
    return x.transpose(1, 2).flatten(2)


def attention_weights(query: Tensor, key: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(Q K^T / sqrt(d) + mask), (B, heads, N, L): each row sums to 1. Arguments as for `attend`."""
    logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)                          # (B, heads, N, L)
    if mask is not None:
        logits = logits.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else logits + mask
    return logits.softmax(dim=-1)


def padding_bias(mask: Tensor | None, like: Tensor) -> Tensor | None:
    """What hides a caption's padding when it is added to the logits: (B, 1, 1, L), with dtype and device of `like`.

    mask (B, L) bool, True for tokens; None (nothing is padding) gives None.
    """
    if mask is None:
        return None
    bias = torch.zeros(mask.shape, dtype=like.dtype, device=like.device)
    return bias.masked_fill(~mask, HIDDEN_TOKEN)[:, None, None, :]


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, layer: nn.Module | None = None
) -> Tensor:
    """softmax(Q K^T / sqrt(d) + mask) V (Vaswani et al. 2017, eq. 1), by PyTorch's fused kernel where that is fastest.

    query (B, heads, N, d), key and value (B, heads, L, d); mask broadcastable to (B, heads, N, L), boolean (True may be
    seen) or float (added); layer: the layer that attends, for `record_attention`. Returns (B, heads, N, d).
    """
    if layer is not None and (recorder := recorder_of(layer)) is not None:
        recorder.add(layer, attention_weights(query, key, mask))
    if products_are_faster(query, key):
        return attend_by_products(query, key, value, mask)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


class Attention(nn.Module):
    """softmax(Q K^T / sqrt(d)) V (Vaswani et al. 2017, eq. 1), with diffusers' parameter names.

    Args:
        query_dim: width of the tokens that attend (the image's).
        context_dim: width of the tokens attended to; None means self-attention.
        heads, head_dim: number of heads and width of each.
        bias: whether the Q, K and V projections have a bias (PixArt and the VAE do, Stable Diffusion's U-Net does not).
    """

    def __init__(
        self, query_dim: int, context_dim: int | None = None, heads: int = 8, head_dim: int = 64, bias: bool = False
    ) -> None:
        super().__init__()
        inner = heads * head_dim
        self.heads = heads
        self.to_q = nn.Linear(query_dim, inner, bias=bias)
        self.to_k = nn.Linear(context_dim or query_dim, inner, bias=bias)
        self.to_v = nn.Linear(context_dim or query_dim, inner, bias=bias)
        self.to_out = nn.ModuleList([nn.Linear(inner, query_dim)])

    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """x (B, N, query_dim); context (B, L, context_dim), None for self-attention; mask (B, 1, 1, L), boolean (True may be
        seen) or float (added to the logits). Returns (B, N, query_dim)."""
        context = x if context is None else context
        query = split_heads(self.to_q(x), self.heads)                                           # (B, heads, N, d)
        key = split_heads(self.to_k(context), self.heads)                                       # (B, heads, L, d)
        value = split_heads(self.to_v(context), self.heads)                                     # (B, heads, L, d)
        return self.to_out[0](merge_heads(attend(query, key, value, mask, layer=self)))         # (B, N, query_dim)
