"""What a sampler needs of a caption, worked out once per image instead of at every step: keys and values of all layers, and for
short captions the projections around them as well. As a KV cache is for a language model, but the caption never grows.

What it is not: a change of the numbers. The plain way is `Attention.forward`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from minidiff.nn.attention import Attention, attend, merge_heads, split_heads
from minidiff.nn.attention_maps import recorder_of


@dataclass(frozen=True)
class KeysValues:
    """One layer's keys and values of a caption, each (B, heads, L, d), and the bias that hides padding, (B, 1, 1, L)."""

    key: Tensor
    value: Tensor
    bias: Tensor | None

    def attend(self, layer: Attention, x: Tensor) -> Tensor:
        """What `layer(x, caption)` gives: (B, N, D)."""
        query = split_heads(layer.to_q(x), layer.heads)                                         # (B, heads, N, d)
        return layer.to_out[0](merge_heads(attend(query, self.key, self.value, self.bias, layer=layer)))

    def add_to(self, layer: Attention, x: Tensor) -> Tensor:
        """x + layer(x, caption)."""
        return x + self.attend(layer, x)


@dataclass(frozen=True)
class FusedCrossAttention:
    """One layer's whole cross-attention to a caption as two matrices; see `fuse`.

    ask (B, D, heads*L) turns image tokens into logits, bias (B, 1, heads*L) is added to these, answer (B, heads*L, D) turns
    attention weights into what is added to the image tokens, and out_bias (D,) as well.
    """

    ask: Tensor
    bias: Tensor
    answer: Tensor
    out_bias: Tensor

    def add_to(self, layer: Attention, x: Tensor) -> Tensor:
        """x + layer(x, caption): here the sum costs nothing."""
        logits = torch.baddbmm(self.bias, x, self.ask)                                          # (B, N, heads L)
        weights = logits.unflatten(-1, (layer.heads, -1)).softmax(dim=-1)                       # (B, N, heads, L)
        if (recorder := recorder_of(layer)) is not None:
            recorder.add(layer, weights.transpose(1, 2))
        return torch.baddbmm(x + self.out_bias, weights.flatten(2), self.answer)


def keys_values(layer: Attention, caption: Tensor, bias: Tensor | None) -> KeysValues:
    """What `layer` needs of a caption (B, L, context_dim); bias as `padding_bias` gives it."""
    key, value = (split_heads(project(caption), layer.heads) for project in (layer.to_k, layer.to_v))
    return KeysValues(key, value, bias)


def fuse(layer: Attention, kv: KeysValues) -> FusedCrossAttention | KeysValues:
    """Multiplies the query projection into the keys and the output projection into the values.

    logits = (x Wq^T + bq) K^T / sqrt(d) = x (Wq^T K^T / sqrt(d)) + bq K^T / sqrt(d), and likewise on the way out. A caption
    of L tokens then costs each image token 2 D heads L multiplications instead of 2 D (D + L): a third for 20 tokens, 6 heads
    of 64. So captions with heads L >= D come back as they are; and so does every caption where another layer (a LoRA, say)
    stands in the place of one of the linear layers.
    """
    heads, length, d = kv.key.shape[1:]
    to_q, to_out = layer.to_q, cast(nn.Linear, layer.to_out[0])
    if type(to_q) is not nn.Linear or type(to_out) is not nn.Linear or heads * length >= to_q.in_features:
        return kv
    key = kv.key * d**-0.5
    w_query, w_out = to_q.weight.unflatten(0, (heads, d)), to_out.weight.unflatten(1, (heads, d))
    ask = torch.einsum("bhld,hdc->bchl", key, w_query).flatten(2)                               # (B, D, heads L)
    bias = key.new_zeros(key.shape[:3]) if to_q.bias is None else torch.einsum(
        "bhld,hd->bhl", key, to_q.bias.unflatten(0, (heads, d)))                                # (B, heads, L)
    if kv.bias is not None:
        bias = bias + kv.bias[:, 0]
    answer = torch.einsum("bhld,chd->bhlc", kv.value, w_out).flatten(1, 2)                      # (B, heads L, D)
    return FusedCrossAttention(ask.contiguous(), bias.flatten(1)[:, None].to(ask.dtype), answer.contiguous(), to_out.bias)
