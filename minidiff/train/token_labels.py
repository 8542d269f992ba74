"""Seeing while denoising: the DiT's middle tokens must say what stands where, in words of the scene's ground truth.

Representation alignment (Yu et al. 2024, "REPA") makes diffusion transformers learn many times faster by asking their
inner tokens to agree with a trained image encoder. The drawn world knows the truth, so here each token is asked outright:
which kind of thing covers you, and in which colour? Under heavy noise only the caption can tell, which is binding itself.
The head is thrown away after training.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff.data.world.scenes import COLOURS, SHAPES, Scene, layout

NOTHING = 0  # class of the background; class k + 1 is entry k of SHAPES or COLOURS


def token_truth(scenes: list[Scene], grid: int = 8) -> dict[str, Tensor]:
    """kind and colour, each (B, grid*grid) int64, row by row: what covers the middle of each token's patch."""
    rows, columns = np.mgrid[0:grid, 0:grid]
    y, x = (rows + 0.5) / grid, (columns + 0.5) / grid
    kinds = np.zeros((len(scenes), grid, grid), np.int64)
    colours = np.zeros_like(kinds)
    for k, scene in enumerate(scenes):
        for thing in layout(scene):
            group = scene.groups[thing.group]
            inside = (x - thing.x) ** 2 + (y - thing.y) ** 2 < thing.radius**2
            kinds[k][inside] = SHAPES.index(group.kind) + 1
            colours[k][inside] = COLOURS.index(group.colour or "") + 1
    return {"kind": torch.from_numpy(kinds).flatten(1), "colour": torch.from_numpy(colours).flatten(1)}


class TokenLabelHead(nn.Module):
    """Two linear heads on normalised tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.heads = nn.ModuleDict({"kind": nn.Linear(width, len(SHAPES) + 1), "colour": nn.Linear(width, len(COLOURS) + 1)})

    def forward(self, tokens: Tensor, truth: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """tokens (B, N, D), truth as `token_truth`. Returns the mean cross-entropy, and the share of the things' tokens
        whose colour was named rightly."""
        tokens = self.norm(tokens)
        logits = {name: head(tokens).float().flatten(0, 1) for name, head in self.heads.items()}
        loss = torch.stack([F.cross_entropy(logits[name], truth[name].flatten()) for name in logits]).mean()
        there = truth["colour"].flatten() != NOTHING
        right = logits["colour"].argmax(-1) == truth["colour"].flatten()
        return loss, {"seen_colour": right[there].float().mean()}
