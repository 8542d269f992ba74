"""Layers whose weights are laid out once for the processor they run on, so that a CPU samples faster. The numbers are the same.

A matrix product on a CPU first copies the weights into the order in which its vector units read them, at every call. Here
that happens once (by oneDNN, which PyTorch contains), Q, K and V become one product, and GELU is applied while the result is
still in the cache. What it is not: a compiler, quantisation, or anything for training. Where PyTorch lacks the kernels,
ordinary ones run.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff.nn.attention import Attention, attend, merge_heads
from minidiff.nn.attention_maps import record_as
from minidiff.nn.blocks import GEGLU, GELU, FeedForward


def reordered(weight: Tensor) -> Tensor | None:
    """`weight` (out, in) in oneDNN's own order, which only `_linear_pointwise` can read; None where that can't be had."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return None
    kernels: Any = torch.ops.mkldnn
    for candidate in (lambda: weight, weight.to_mkldnn):      # which of the two is wanted depends on PyTorch's version
        try:
            prepacked = kernels._reorder_linear_weight(candidate(), None)
            kernels._linear_pointwise(weight.new_zeros(1, weight.shape[1]), prepacked, None, "none", [], "")
            return prepacked
        except (AttributeError, RuntimeError, TypeError):     # this PyTorch has no such kernel
            continue
    return None


class PrepackedLinear(nn.Module):
    """linear(x) for the weights of one or several linear layers, stacked; then tanh-GELU if wanted. Takes any float x, computes
    and answers in `dtype`. Has no parameters."""

    def __init__(self, layers: list[nn.Linear], dtype: torch.dtype, gelu: bool = False) -> None:
        super().__init__()
        self.dtype, self.gelu = dtype, gelu
        plain = torch.cat([layer.weight.detach() for layer in layers]).to(dtype)
        self.prepacked = reordered(plain)
        self.weight = plain if self.prepacked is None else None
        biases = [layer.bias for layer in layers if layer.bias is not None]
        self.bias = torch.cat([bias.detach() for bias in biases]).to(dtype) if biases else None

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        x = x.to(self.dtype)
        if self.weight is not None:
            out = F.linear(x, self.weight, self.bias)
            return F.gelu(out, approximate="tanh") if self.gelu else out
        after: tuple[str, list[float], str] = ("gelu", [], "tanh") if self.gelu else ("none", [], "")
        return torch.ops.mkldnn._linear_pointwise(x, self.prepacked, self.bias, *after)


class PrepackedSelfAttention(nn.Module):
    """`Attention` over itself, its three projections as one."""

    def __init__(self, layer: Attention, dtype: torch.dtype) -> None:
        super().__init__()
        self.heads = layer.heads
        self.to_qkv = PrepackedLinear([layer.to_q, layer.to_k, layer.to_v], dtype)
        self.to_out = PrepackedLinear([cast(nn.Linear, layer.to_out[0])], dtype)
        record_as(self, layer)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to the same."""
        query, key, value = self.to_qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.to_out(merge_heads(attend(query, key, value, layer=self)))


class PrepackedFeedForward(nn.Module):
    """`FeedForward` with GELU or GEGLU."""

    def __init__(self, layer: FeedForward, dtype: torch.dtype) -> None:
        super().__init__()
        self.gated = isinstance(layer.net[0], GEGLU)
        self.up = PrepackedLinear([cast(GELU, layer.net[0]).proj], dtype, gelu=not self.gated)
        self.down = PrepackedLinear([cast(nn.Linear, layer.net[2])], dtype)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to the same."""
        h = self.up(x)
        if self.gated:
            value, gate = h.chunk(2, dim=-1)
            h = value * F.gelu(gate)
        return self.down(h)


def prepack(layer: Attention | FeedForward, dtype: torch.dtype) -> nn.Module:
    """Self-attention or a feed-forward layer, prepacked. The layer itself where another (a LoRA, say) stands in the place of
    one of its linear layers, and off the CPU."""
    if type(layer) is Attention:
        linear = [layer.to_q, layer.to_k, layer.to_v, layer.to_out[0]]
        return PrepackedSelfAttention(layer, dtype) if _plain(linear) else layer
    if type(layer) is FeedForward and type(layer.net[0]) in (GELU, GEGLU):
        return PrepackedFeedForward(layer, dtype) if _plain([layer.net[0].proj, layer.net[2]]) else layer
    return layer


def _plain(layers: list[Any]) -> bool:
    return all(type(layer) is nn.Linear and layer.weight.device.type == "cpu" for layer in layers)
