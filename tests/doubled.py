"""A layer in the place of a linear one, for tests that no shortcut goes round it."""

from __future__ import annotations

import torch
from torch import Tensor


class Doubled(torch.nn.Module):
    """What a LoRA looks like from outside: something in the place of a linear layer, with that layer's weights inside."""

    def __init__(self, layer: torch.nn.Linear) -> None:
        super().__init__()
        self.layer, self.weight, self.bias = layer, layer.weight, layer.bias

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.layer(x)
