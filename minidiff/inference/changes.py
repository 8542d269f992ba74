"""Notices that a network was changed after its weights were laid out in another order, so that nobody samples from old weights.

What it is not: a checksum of all weights, which would cost more than it saves.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SAMPLES = 64            # numbers compared of each weight: for the 8.4 M of the world's DiT that takes 0.2 ms


class Watch:
    """The state of a network on a CPU, to compare with later.

    Seen: layers or weights put in the place of others; every write that PyTorch counts (an optimiser's, `load_state_dict`,
    anything in place, also under `no_grad`); and writes that it doesn't count, through `.data` or numpy, if they change any of
    the `SAMPLES` numbers that are compared in each weight. Only such an uncounted write to a few numbers can be missed.
    """

    def __init__(self, network: nn.Module) -> None:
        self.modules = modules_of(network)
        self.weights = _weights(self.modules)
        self.stamps = [_stamp(weight) for weight in self.weights]
        self.samples = [_sample(weight) for weight in self.weights]     # views: they show what is written later
        self.numbers = torch.cat(self.samples)

    def changed(self, network: nn.Module) -> bool:
        """Whether `network` is no longer what was watched."""
        modules = modules_of(network)
        if not _same(modules, self.modules) or not _same(weights := _weights(modules), self.weights):
            return True
        return self.stamps != [_stamp(weight) for weight in weights] or not torch.equal(torch.cat(self.samples), self.numbers)


def modules_of(network: nn.Module) -> list[nn.Module]:
    """`network.modules()`, four times faster; a module used twice comes twice."""
    found = [network]
    for child in network._modules.values():
        if child is not None:
            found += modules_of(child)
    return found


def _weights(modules: list[nn.Module]) -> list[Tensor]:
    return [weight for module in modules for weight in module._parameters.values() if weight is not None]


def _same(ones: list, others: list) -> bool:
    return len(ones) == len(others) and all(one is other for one, other in zip(ones, others, strict=True))


def _stamp(weight: Tensor) -> tuple[int, int | None]:
    """Where the numbers lie, and how often PyTorch saw them written; it doesn't count what was made in inference mode."""
    return weight.data_ptr(), None if weight.is_inference() else weight._version


def _sample(weight: Tensor) -> Tensor:
    """A view of up to SAMPLES numbers, spread over all rows and columns: the step between them is odd."""
    weight = weight.detach()
    extent = 1 + sum((size - 1) * stride for size, stride in zip(weight.shape, weight.stride(), strict=True))
    step = 1 if extent <= SAMPLES else extent // SAMPLES | 1
    return weight.as_strided((-(-extent // step),), (step,))
