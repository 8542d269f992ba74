"""The one attention of the library: self-attention, cross-attention and the VAE's single head are all this class.

What it is not: a place for masks' meaning. A caller says which keys may be seen; this file only obeys.
Taught in the lessons on cross-attention and on the DiT.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, L, heads*d) to (B, heads, L, d): heads lie side by side in the last axis, so they are cut out of it first."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(B, heads, L, d) back to (B, L, heads*d)."""
    return x.transpose(1, 2).flatten(2)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(Q K^T / sqrt(d) + mask) V (Vaswani et al. 2017, eq. 1).

    query (B, heads, N, d), key and value (B, heads, L, d); mask broadcastable to (B, heads, N, L), boolean (True may be
    seen) or float (added). Returns (B, heads, N, d). It is PyTorch's fused kernel, except in bfloat16 on a CPU, where
    for lengths like ours two plain matrix products are 1.5 to 5 times faster, most of all backward.
    """
    if query.device.type != "cpu" or query.dtype != torch.bfloat16 or key.shape[-2] > 1024:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)                          # (B, heads, N, L)
    if mask is not None:
        logits = logits.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else logits + mask
    return logits.softmax(dim=-1).to(value.dtype) @ value


class Attention(nn.Module):
    """softmax(Q K^T / sqrt(d)) V (Vaswani et al. 2017, eq. 1), with diffusers' parameter names.

    Args:
        query_dim: width of the tokens that ask (the picture's).
        context_dim: width of the tokens that answer; None means self-attention.
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

    def keys_values(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """K and V of `context` (B, L, context_dim), each (B, heads, L, d). They do not depend on the picture, so a
        sampler computes them once for all its steps."""
        return split_heads(self.to_k(context), self.heads), split_heads(self.to_v(context), self.heads)

    def queries_keys_values(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Q, K and V of x for self-attention, each (B, heads, N, d), as one matrix product where that gives the same:
        when nobody (a LoRA, say) has put something else in the place of the three linear layers."""
        layers = (self.to_q, self.to_k, self.to_v)
        if any(type(layer) is not nn.Linear for layer in layers):
            return split_heads(self.to_q(x), self.heads), *self.keys_values(x)
        bias = None if self.to_q.bias is None else torch.cat([layer.bias for layer in layers])
        qkv = F.linear(x, torch.cat([layer.weight for layer in layers]), bias)              # (B, N, 3 heads d)
        query, key, value = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)   # (B, heads, N, d) each
        return query, key, value

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        keys_values: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """x (B, N, query_dim), context (B, L, context_dim) or None for self-attention; mask (B, 1, 1, L), boolean (True
        may be seen) or float (added to the logits); keys_values: what `keys_values(context)` gave. Returns (B, N,
        query_dim)."""
        if context is None and keys_values is None:
            query, key, value = self.queries_keys_values(x)                                 # (B, heads, N, d) each
        else:
            query = split_heads(self.to_q(x), self.heads)                                   # (B, heads, N, d)
            key, value = keys_values or self.keys_values(x if context is None else context)     # (B, heads, L, d)
        return self.to_out[0](merge_heads(attend(query, key, value, mask)))
