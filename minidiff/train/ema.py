"""An exponential moving average of a model's weights: what is sampled from and shipped is the average, not the last step."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class EMA:
    """average <- d * average + (1 - d) * weights, with d = min(decay, (1 + n) / (10 + n)) at update n, so that the first
    noisy weights are soon forgotten (the warm-up of TensorFlow's ExponentialMovingAverage).

    Args:
        model: whose parameters and float buffers are followed.
        decay: 0 to 1; 0.9999 remembers about 10,000 updates.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"The EMA decay must be from 0 up to, but not, 1; it was {decay}.")
        self.decay, self.updates = decay, 0
        self.average: dict[str, Tensor] = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Follow the model by one step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        averages, values = [], []
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                averages.append(self.average[name])
                values.append(value.detach().to(self.average[name].dtype))
            else:
                self.average[name].copy_(value)
        torch._foreach_lerp_(averages, values, 1 - decay)

    def copy_to(self, model: nn.Module) -> None:
        """Put the averaged weights into a model of the same shape."""
        model.load_state_dict(self.average)
