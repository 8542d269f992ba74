"""Attention of one picture used in another: what prompt-to-prompt does inside the network, by hooks on its layers.

The network's own code knows nothing of this. Each hook works out again what its layer attends to, changes it, and puts the
result in the place of the layer's. What it is not: the prompts and the sampling (prompt_to_prompt.py), or a record of
attention (nn/attention_maps.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff.nn.attention import Attention, attention_weights, merge_heads, split_heads
from minidiff.nn.attention_maps import AttentionMap, token_maps

LARGEST = 32**2  # places whose attention to one another is shared: finer maps hold details, not where things stand
BLEND_FROM, BLEND_ABOVE = 0.2, 0.3  # share of the steps after which maps are trusted; of its peak that a map must reach


@dataclass(frozen=True)
class Sharing:
    """What B new pictures take over from B old ones whose captions have L tokens.

    cross_share, self_share: in which share of the steps, 0 to 1, attention to the words and within the image is taken over.
    mapping (B, L, L), added (B, L): how attention to the old words becomes attention to the new ones, and which words are
        only in the new ones; see `alignment`.
    factors (B, L): by how much attention to each new word is multiplied.
    limits (2 B, L): 1 for the words outside of whose places nothing may change, in the old captions and in the new ones; None
        where anything may.
    """

    cross_share: float
    self_share: float
    mapping: Tensor
    added: Tensor
    factors: Tensor
    limits: Tensor | None = None


class SharedAttention:
    """Changes the attention of a network that works on [B old pictures, B new ones], and behind these, where there is guidance,
    on both once more. `step` says how many of `steps` are done; whoever samples counts it up."""

    def __init__(self, network: nn.Module, sharing: Sharing, steps: int) -> None:
        self.layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, Attention)}
        self.sharing, self.steps, self.step = sharing, steps, 0
        self.pairs = len(sharing.added)
        self.maps: list[AttentionMap] = []
        self.looked_at: Tensor | None = None

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Within it, the network's layers do so."""
        with ExitStack() as stack:
            for name, layer in self.layers.items():
                hook = partial(self._cross, name) if name.endswith("attn2") else self._self
                stack.callback(layer.register_forward_hook(hook).remove)
            yield

    def _cross(self, name: str, layer: Any, given: tuple[Any, ...], output: Tensor) -> Tensor:
        """Hertz et al. 2022, section 3.2: word swap and phrase addition (a mapping), re-weighting (factors)."""
        sharing, (x, context, bias) = self.sharing, given
        both = 2 * self.pairs
        query, key = split_heads(layer.to_q(x[:both]), layer.heads), split_heads(layer.to_k(context[:both]), layer.heads)
        old, new = attention_weights(query, key, None if bias is None else bias[:both]).chunk(2)    # (B, heads, N, L)
        if self.step < sharing.cross_share * self.steps:
            new = old @ sharing.mapping[:, None].to(old) + new * sharing.added[:, None, None].to(old)
        new = new * sharing.factors[:, None, None].to(old)
        if sharing.limits is not None:
            self.maps.append(AttentionMap(name, torch.cat([old, new]).float()))
        return self._attended(layer, new, context, output)

    def _self(self, layer: Any, given: tuple[Any, ...], output: Tensor) -> Tensor | None:
        x = given[0]
        if self.step >= self.sharing.self_share * self.steps or x.shape[1] > LARGEST:
            return None
        query, key = (split_heads(project(x[: self.pairs]), layer.heads) for project in (layer.to_q, layer.to_k))
        return self._attended(layer, attention_weights(query, key), x, output)

    def _attended(self, layer: Any, weights: Tensor, tokens: Tensor, output: Tensor) -> Tensor:
        """The layer's output, with that of the new pictures by these weights, (B, heads, N, L)."""
        first, last = self.pairs, 2 * self.pairs
        value = split_heads(layer.to_v(tokens[first:last]), layer.heads)                            # (B, heads, L, d)
        return torch.cat([output[:first], layer.to_out[0](merge_heads(weights @ value)), output[last:]])

    def limited(self, x: Tensor) -> Tensor:
        """x (2 B, C, h, w) after a step, the new pictures like the old ones where neither has looked at the limits' words
        (Hertz et al. 2022, local editing)."""
        if self.sharing.limits is None:
            return x
        maps = token_maps(self.maps, *x.shape[-2:])                                                 # (2 B, L, h, w)
        self.maps.clear()
        looked_at = torch.einsum("blhw,bl->bhw", maps, self.sharing.limits)
        self.looked_at = looked_at if self.looked_at is None else self.looked_at + looked_at
        if self.step <= BLEND_FROM * self.steps:
            return x
        wide = F.max_pool2d(self.looked_at[:, None], 3, stride=1, padding=1)                        # (2 B, 1, h, w)
        of_old, of_new = (wide > BLEND_ABOVE * wide.amax(dim=(2, 3), keepdim=True)).chunk(2)
        old, new = x.chunk(2)
        return torch.cat([old, torch.where(of_old | of_new, new, old)])
