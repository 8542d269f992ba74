"""The one attention of the library: self-attention, cross-attention and the VAE's single head are all this class, and
`record_attention` shows where any of them looks.

What it is not: a place for masks' meaning. A caller says which keys may be seen; this file only obeys.
Taught in the lessons on cross-attention and on the DiT.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HIDDEN_TOKEN = -10000.0     # added to the logits of padding, as PixArt does; exp of it is 0 in every dtype


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, L, heads*d) to (B, heads, L, d): heads lie side by side in the last axis, so they are cut out of it first."""
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
    """What is added to the logits so that a caption's padding is not seen: (B, 1, 1, L) of dtype and device of `like`.

    mask (B, L) bool, True where there is a token. None where nothing is hidden: no mask, or all of it True.
    """
    if mask is None or mask.all():
        return None
    bias = torch.zeros(mask.shape, dtype=like.dtype, device=like.device)
    return bias.masked_fill_(~mask, HIDDEN_TOKEN)[:, None, None, :]


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, layer: nn.Module | None = None
) -> Tensor:
    """softmax(Q K^T / sqrt(d) + mask) V (Vaswani et al. 2017, eq. 1).

    query (B, heads, N, d), key and value (B, heads, L, d); mask broadcastable to (B, heads, N, L), boolean (True may be
    seen) or float (added); layer: whose attention this is, for `record_attention`. Returns (B, heads, N, d). It is
    PyTorch's fused kernel, except in bfloat16 on a CPU, where for lengths like ours two plain matrix products are 1.5
    to 5 times faster, most of all backward.
    """
    if (recorder := recorder_of(layer)) is not None:
        recorder.add(layer, attention_weights(query, key, mask))
    if query.device.type != "cpu" or query.dtype != torch.bfloat16 or key.shape[-2] > 1024:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return attention_weights(query, key, mask).to(value.dtype) @ value


class AttentionMap(NamedTuple):
    """One call of one layer. name: where the layer is in the model; weights (B, heads, N, L), float32 on the CPU: how
    much of its attention each of N tokens gives to each of L; every row sums to 1."""

    name: str
    weights: Tensor


class Recorder:
    """Collects the maps of the layers it has a name for; see `record_attention`."""

    def __init__(self, names: dict[nn.Module | None, str]) -> None:
        self.names = names
        self.maps: list[AttentionMap] = []

    def add(self, layer: nn.Module | None, weights: Tensor) -> None:
        """weights (B, heads, N, L) of `layer`, which must be one of `names`."""
        self.maps.append(AttentionMap(self.names[layer], weights.detach().float().cpu()))


# What collects attention maps in this thread; None, as nearly always, and attention computes no maps at all.
_recorder: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


def recorder_of(layer: nn.Module | None) -> Recorder | None:
    """What wants to know the attention weights of `layer` just now, mostly nobody: None."""
    recorder = _recorder.get()
    return recorder if recorder is not None and layer in recorder.names else None


@contextmanager
def record_attention(model: nn.Module, part: str = "") -> Iterator[list[AttentionMap]]:
    """Within `with record_attention(model) as maps:` every attention of `model` adds an AttentionMap to `maps`, in the
    order of the calls; what the model computes stays the same, bit for bit.

    model: the very module that runs (a packed DiT is another than the one it was made from; one compiled earlier
    records nothing). part: only layers with this in their names, such as "attn2", cross-attention in DiT and U-Net;
    self-attention over 64 x 64 places is 0.5 GB a layer. Raises ValueError if no module's name has it.
    """
    names: dict[nn.Module | None, str] = {module: name for name, module in model.named_modules() if part in name}
    if not names:
        raise ValueError(f"No layer of {type(model).__name__} has {part!r} in its name: leave `part` out to record all.")
    recorder = Recorder(names)
    token = _recorder.set(recorder)
    try:
        yield recorder.maps
    finally:
        _recorder.reset(token)


def token_maps(maps: Sequence[AttentionMap], rows: int, columns: int) -> Tensor:
    """For every caption token a picture of who looks at it, (B, L, rows, columns): the mean over all maps and heads
    (after DAAM, Tang et al. 2023, which takes their sum).

    maps: of cross-attention to the same captions, from rows x columns places or, deeper in a U-Net, from a grid 2, 4, ...
    times coarser, which is enlarged (bilinear). At each place the tokens sum to 1. Raises ValueError for no maps,
    different captions, or grids that don't fit.
    """
    if len(captions := {(m.weights.shape[0], m.weights.shape[3]) for m in maps}) != 1:
        raise ValueError(f"The maps belong to {len(captions)} different (batch, tokens) {sorted(captions)}; give those of "
                         "one caption's cross-attention: record_attention(model, 'attn2').")
    pictures = []
    for name, weights in maps:
        places = weights.shape[2]
        shrink = round((rows * columns / places) ** 0.5)
        height, width = -(-rows // max(shrink, 1)), -(-columns // max(shrink, 1))
        if height * width != places:
            raise ValueError(f"{name} looked from {places} places, which is no {rows} x {columns} grid made smaller.")
        grid = weights.mean(dim=1).transpose(1, 2).unflatten(2, (height, width))                # (B, L, h, w)
        pictures.append(F.interpolate(grid, size=(rows, columns), mode="bilinear"))
    return torch.stack(pictures).mean(dim=0)                                                    # (B, L, rows, columns)


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
        return self.to_out[0](merge_heads(attend(query, key, value, mask, layer=self)))
