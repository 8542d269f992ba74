"""Linear layers laid out once for the processor they run on, so that a CPU samples faster: same numbers, no training.

A matrix product on a CPU first copies the weights into the order in which its vector units read them, at every call.
Here that is done once (by oneDNN, which PyTorch contains), Q, K and V become one product, and GELU is applied while the
result is still in the cache. What it is not: a compiler, or quantisation; and GPUs don't need it. Where this PyTorch
lacks the kernels, ordinary ones are used.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff.nn.attention import Attention, attend, merge_heads


def reordered(weight: Tensor) -> Tensor | None:
    """`weight` (out, in) in oneDNN's own order, opaque to everything but `_linear_pointwise`; None when it can't be
    had."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return None
    kernels: Any = torch.ops.mkldnn
    for candidate in (lambda: weight, weight.to_mkldnn):      # which of the two is wanted depends on PyTorch's version
        try:
            packed = kernels._reorder_linear_weight(candidate(), None)
            kernels._linear_pointwise(weight.new_zeros(1, weight.shape[1]), packed, None, "none", [], "")
            return packed
        except (AttributeError, RuntimeError, TypeError):     # this PyTorch has no such kernel
            continue
    return None


class PackedLinear(nn.Module):
    """linear(x), then tanh-GELU if asked. Takes any float x, computes and answers in `dtype`. Has no parameters."""

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, gelu: bool = False) -> None:
        super().__init__()
        self.dtype, self.gelu = dtype, gelu
        plain = weight.detach().to(dtype).contiguous()
        self.packed = reordered(plain)
        self.weight = plain if self.packed is None else None
        self.bias = None if bias is None else bias.detach().to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        if x.requires_grad and torch.is_grad_enabled():
            raise RuntimeError("A packed model can only predict; use the model it was made from to get gradients.")
        x = x.to(self.dtype)
        if self.weight is not None:
            out = F.linear(x, self.weight, self.bias)
            return F.gelu(out, approximate="tanh") if self.gelu else out
        after: tuple[str, list[float], str] = ("gelu", [], "tanh") if self.gelu else ("none", [], "")
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, *after)


def packable(*layers: nn.Module) -> bool:
    """Whether all are plain linear layers (no LoRA around them) on a CPU."""
    return all(type(layer) is nn.Linear and layer.weight.device.type == "cpu" for layer in layers)


class PackedSelfAttention(nn.Module):
    """`Attention` over itself, its three projections packed into one."""

    @staticmethod
    def can(attention: Attention) -> bool:
        return packable(attention.to_q, attention.to_k, attention.to_v, attention.to_out[0])

    def __init__(self, attention: Attention, dtype: torch.dtype) -> None:
        super().__init__()
        layers = (attention.to_q, attention.to_k, attention.to_v)
        bias = None if attention.to_q.bias is None else torch.cat([layer.bias for layer in layers])
        self.heads = attention.heads
        self.to_qkv = PackedLinear(torch.cat([layer.weight for layer in layers]), bias, dtype)
        out = cast(nn.Linear, attention.to_out[0])
        self.to_out = PackedLinear(out.weight, out.bias, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to the same."""
        query, key, value = self.to_qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.to_out(merge_heads(attend(query, key, value, layer=self)))
