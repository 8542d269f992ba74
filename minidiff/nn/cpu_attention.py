"""Attention in bfloat16 on a CPU, where plain matrix products are 1.5 to 5 times faster than PyTorch's fused kernel, most of
all backward. The same numbers; `attend` of nn/attention.py chooses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def products_are_faster(query: Tensor, key: Tensor) -> bool:
    """Whether `attend_by_products` beats the fused kernel: bfloat16 on a CPU, for keys (B, heads, L, d) with L up to 1024."""
    return query.device.type == "cpu" and query.dtype == torch.bfloat16 and key.shape[-2] <= 1024


def attend_by_products(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """softmax(Q K^T / sqrt(d) + mask) V; arguments as for `attend`. Gradients go to Q, K and V, not to the mask."""
    return _Products.apply(query, key, value, mask)


class _Products(torch.autograd.Function):
    """The products of the forward pass, and those of its derivative, each once and without further copies."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (tokens.flatten(0, 1) for tokens in (query, key, value))                      # (B heads, N or L, d)
        logits = torch.baddbmm(q.new_empty(()), q, k.mT, beta=0, alpha=q.shape[-1] ** -0.5)     # (B heads, N, L)
        if mask is not None:
            shaped = logits.unflatten(0, query.shape[:2])
            shaped.masked_fill_(~mask, -torch.inf) if mask.dtype == torch.bool else shaped.add_(mask)
        weights = logits.softmax(dim=-1)
        ctx.save_for_backward(q, k, v, weights)
        return (weights @ v).unflatten(0, query.shape[:2])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, weights = ctx.saved_tensors
        heads, flat, scale = grad.shape[:2], grad.flatten(0, 1), q.shape[-1] ** -0.5
        d_weights = flat @ v.mT                                                                 # (B heads, N, L)
        d_logits = torch._softmax_backward_data(d_weights, weights, -1, weights.dtype)
        d_query = torch.baddbmm(q, d_logits, k, beta=0, alpha=scale)
        d_key = torch.baddbmm(k, d_logits.mT, q, beta=0, alpha=scale)
        return d_query.unflatten(0, heads), d_key.unflatten(0, heads), (weights.mT @ flat).unflatten(0, heads), None
