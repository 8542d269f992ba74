"""Where a model looks: `record_attention` collects the attention weights of a model's layers while it runs, `token_maps` turns
those of cross-attention into one map per caption token.

What it is not: attention itself (nn/attention.py). Taught in the lesson on cross-attention.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AttentionMap(NamedTuple):
    """One call of one layer. name: the layer's name in the model; weights (B, heads, N, L), float32 on the CPU: how much each
    of N tokens attends to each of L; rows sum to 1."""

    name: str
    weights: Tensor


class Recorder:
    """Collects the maps of the layers in `names`; see `record_attention`."""

    def __init__(self, names: dict[nn.Module, str]) -> None:
        self.names = names
        self.maps: list[AttentionMap] = []

    def add(self, layer: nn.Module, weights: Tensor) -> None:
        """weights (B, heads, N, L) of `layer`, which must be in `names`."""
        self.maps.append(AttentionMap(self.names[_original(layer)], weights.detach().float().cpu()))


# The recorder of this thread. It is nearly always None, and then attention computes no maps.
_recorder: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


def recorder_of(layer: nn.Module) -> Recorder | None:
    """The recorder that wants the attention weights of `layer`, or None."""
    recorder = _recorder.get()
    return recorder if recorder is not None and _original(layer) in recorder.names else None


def record_as(layer: nn.Module, original: nn.Module) -> None:
    """Have `layer`, a faster form of `original`, recorded under the name of `original`."""
    layer.__dict__["recorded_as"] = original        # not a submodule, as `layer.recorded_as = ...` would make it


def _original(layer: nn.Module) -> nn.Module:
    return layer.__dict__.get("recorded_as", layer)


@contextmanager
def record_attention(model: nn.Module, part: str = "") -> Iterator[list[AttentionMap]]:
    """Within `with record_attention(model) as maps:` every attention layer of `model` adds an AttentionMap to `maps`, in the
    order of the calls. What the model computes stays the same, bit for bit.

    part: only layers with this in their names, such as "attn2", the cross-attention of DiT and U-Net. (Self-attention over
    64 x 64 places is 0.5 GB a layer.) Raises ValueError if no name has it. A model prepared by `inference.prepare` is
    recorded through the model it was made from; a model compiled earlier records nothing.
    """
    names = {module: name for name, module in model.named_modules() if part in name}
    if not names:
        raise ValueError(f"No layer of {type(model).__name__} has {part!r} in its name: leave `part` out to record all.")
    recorder = Recorder(names)
    token = _recorder.set(recorder)
    try:
        yield recorder.maps
    finally:
        _recorder.reset(token)


def token_maps(maps: Sequence[AttentionMap], rows: int, columns: int) -> Tensor:
    """For every caption token, where in the image it is attended to: (B, L, rows, columns), the mean over all maps and heads
    (after DAAM, Tang et al. 2023, which takes the sum).

    maps: cross-attention to the same captions from rows x columns places or, deeper in a U-Net, from a grid 2, 4, ... times
    coarser, which is enlarged (bilinear). At each place the tokens sum to 1. Raises ValueError for no maps, different
    captions, or grids that don't fit.
    """
    if len(captions := {(m.weights.shape[0], m.weights.shape[3]) for m in maps}) != 1:
        raise ValueError(f"The maps belong to {len(captions)} different (batch, tokens) {sorted(captions)}; give those of "
                         "one caption's cross-attention: record_attention(model, 'attn2').")
    enlarged = []
    for name, weights in maps:
        places = weights.shape[2]
        shrink = round((rows * columns / places) ** 0.5)
        height, width = -(-rows // max(shrink, 1)), -(-columns // max(shrink, 1))
        if height * width != places:
            raise ValueError(f"{name} looked from {places} places, which is no {rows} x {columns} grid made smaller.")
        grid = weights.mean(dim=1).transpose(1, 2).unflatten(2, (height, width))                # (B, L, h, w)
        enlarged.append(F.interpolate(grid, size=(rows, columns), mode="bilinear"))
    return torch.stack(enlarged).mean(dim=0)                                                    # (B, L, rows, columns)
