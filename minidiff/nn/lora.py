"""LoRA (Hu et al. 2021): a frozen layer W learns a low-rank update, W + strength (alpha / r) up down, and nothing else moves.

`add_lora` puts a `LoRALayer` in the place of each linear layer or convolution that is to learn, `take_out` ends it, and
`factors_of` is what a file keeps. To draw, `LoRAMixer` writes any mix of finished updates into the weights themselves, so that
sampling costs nothing more, and takes it out again exactly. What it is not: the files of peft, diffusers and kohya
(pretrained/adapters.py). Taught in the lesson on LoRA.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")        # the layers that LoRA was proposed for, by diffusers' names


@dataclass(frozen=True)
class Factors:
    """The update of one layer's weight. down (r, in) and up (out, r), of a convolution (r, in, k, k) and (out, r, 1, 1);
    alpha: the update is multiplied by alpha / r, so that a rate found for one rank serves others."""

    down: Tensor
    up: Tensor
    alpha: float

    @property
    def rank(self) -> int:
        return len(self.down)

    @property
    def scale(self) -> float:
        return self.alpha / self.rank

    def product(self) -> Tensor:
        """alpha / r up down, in the shape of the layer's weight: (out, in) or (out, in, k, k)."""
        return (self.scale * self.up.flatten(1) @ self.down.flatten(1)).unflatten(1, self.down.shape[1:])


class LoRAUpdate(nn.Module):
    """The path beside a layer: down to r numbers, up again, times alpha / r. It starts as nothing, since `up` is 0; if `down`
    were 0 as well, neither would ever get a gradient."""

    def __init__(self, base: nn.Linear | nn.Conv2d, rank: int, alpha: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.down: nn.Linear | nn.Conv2d
        self.up: nn.Linear | nn.Conv2d
        if isinstance(base, nn.Conv2d):
            width, size = base.in_channels, base.kernel_size
            self.down = nn.Conv2d(width, rank, size, base.stride, base.padding, base.dilation, bias=False)  # type: ignore[arg-type]
            self.up = nn.Conv2d(rank, base.out_channels, 1, bias=False)
        else:
            self.down = nn.Linear(base.in_features, rank, bias=False)
            self.up = nn.Linear(rank, base.out_features, bias=False)
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        nn.init.zeros_(self.up.weight)
        self.to(base.weight.device, base.weight.dtype)
        self.dropout, self.alpha = nn.Dropout(dropout), alpha

    def forward(self, x: Tensor) -> Tensor:
        return self.alpha / len(self.down.weight) * self.up(self.down(self.dropout(x)))

    def factors(self) -> Factors:
        """A copy of what was learnt, float32 on the CPU."""
        down, up = (weight.detach().float().cpu().clone() for weight in (self.down.weight, self.up.weight))
        return Factors(down, up, self.alpha)


class LoRALayer(nn.Module):
    """A frozen linear layer or convolution with a `LoRAUpdate` beside it. strength: what the update is multiplied by; at 0
    the layer is the frozen one to the bit."""

    def __init__(self, base: nn.Linear | nn.Conv2d, rank: int, alpha: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.base = base
        self.update = LoRAUpdate(base, rank, alpha, dropout)
        self.strength = 1.0

    def forward(self, x: Tensor) -> Tensor:
        y = self.base(x)
        return y + self.strength * self.update(x) if self.strength else y


def fits(name: str, targets: Iterable[str]) -> bool:
    """Whether a layer's name is one of `targets` or ends in one, at a dot: "to_q" fits "blocks.0.attn1.to_q"."""
    return any(name == target or name.endswith(f".{target}") for target in targets)


def targeted(model: nn.Module, targets: Iterable[str]) -> dict[str, nn.Linear | nn.Conv2d]:
    """The linear layers and convolutions of `model` that `targets` name. Raises ValueError when one names none, and for
    convolutions in groups, which have no such factors."""
    targets = tuple(targets)
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)}
    if idle := [target for target in targets if not any(fits(name, [target]) for name in layers)]:
        ends = sorted({name.split(".")[-1] for name in layers if not name.split(".")[-1].isdigit()})
        raise ValueError(f"No linear layer or convolution of {type(model).__name__} is called {', '.join(idle)}; there are "
                         f"{', '.join(ends)} and others.")  # fmt: skip
    found = {name: layer for name, layer in layers.items() if fits(name, targets)}
    if grouped := [name for name, layer in found.items() if isinstance(layer, nn.Conv2d) and layer.groups > 1]:
        raise ValueError(f"{grouped[0]} is a convolution in groups, which LoRA can't update: leave it out.")
    return found


def add_lora(
    model: nn.Module, rank: int, alpha: float | None = None, targets: Iterable[str] = ATTENTION, dropout: float = 0.0
) -> dict[str, LoRALayer]:
    """Freezes `model` and puts a LoRALayer in the place of each target; afterwards only their factors learn. alpha: by
    default the rank. Returns the new layers by name. Raises ValueError for a rank below 1, targets that name no layer, and a
    model that has such layers already."""
    if rank < 1:
        raise ValueError(f"rank is {rank}; it must be 1 or more.")
    if any(isinstance(module, LoRALayer) for module in model.modules()):
        raise ValueError("The model learns by LoRA already: take that out first.")
    found = targeted(model, targets)
    model.requires_grad_(False)
    made = {name: LoRALayer(layer, rank, rank if alpha is None else alpha, dropout) for name, layer in found.items()}
    for name, layer in made.items():
        _put(model, name, layer.train(found[name].training))
    return made


def _put(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, layer)


def lora_layers(model: nn.Module) -> dict[str, LoRALayer]:
    """The LoRALayers of a model, by name."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, LoRALayer)}


def factors_of(model: nn.Module) -> dict[str, Factors]:
    """What the LoRALayers of a model have learnt, by the names of the layers."""
    return {name: layer.update.factors() for name, layer in lora_layers(model).items()}


def take_out(model: nn.Module) -> None:
    """The frozen layers back in their places. (They stay frozen.)"""
    for name, layer in lora_layers(model).items():
        _put(model, name, layer.base)


def concatenated(mix: Iterable[tuple[Mapping[str, Factors], float]]) -> dict[str, Factors]:
    """Several updates at their strengths as one, whose rank is the sum of theirs; its product is exact. (Adding downs and ups
    before they are multiplied would mix each with the others.)"""
    parts: dict[str, list[tuple[Factors, float]]] = {}
    for factors, strength in mix:
        for name, one in factors.items():
            parts.setdefault(name, []).append((one, strength))
    return {
        name: Factors(
            torch.cat([one.down for one, _ in found]),
            torch.cat([strength * one.scale * one.up for one, strength in found], dim=1),
            sum(one.rank for one, _ in found),
        )
        for name, found in parts.items()
    }


class LoRAMixer:
    """Finished updates by name, and a model whose weights hold any mix of them:

        mixer = LoRAMixer(dit)
        mixer.add("watercolour", factors)
        mixer.mix({"watercolour": 0.8})
        mixer.mix({})                   # the model as it was, to the bit

    The frozen weights of the layers that are touched are kept, so that nothing drifts however often the mix is changed.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.updates: dict[str, Mapping[str, Factors]] = {}
        self.strengths: dict[str, float] = {}
        self._kept: dict[str, Tensor] = {}

    def add(self, name: str, factors: Mapping[str, Factors]) -> None:
        """One more update, at strength 0. Raises ValueError for one that was made for another model."""
        if not factors:
            raise ValueError(f"The LoRA {name!r} holds nothing.")
        weights = dict(self.model.named_parameters())
        for layer, one in factors.items():
            other = f"The LoRA {name!r} was made for another model"
            if f"{layer}.weight" not in weights:
                raise ValueError(f"{other}: {type(self.model).__name__} has no layer {layer}.")
            wanted, shape = (len(one.up), *one.down.shape[1:]), tuple(weights[f"{layer}.weight"].shape)
            if wanted != shape:
                raise ValueError(f"{other}: its {layer} is {wanted}, this one's {shape}.")
        self.updates[name] = factors

    @torch.no_grad()
    def mix(self, strengths: Mapping[str, float]) -> None:
        """Make the weights those of the model plus each update at its strength; what isn't named is left out. Raises
        ValueError for a name that was not added, and strengths that are no numbers."""
        for name, strength in strengths.items():
            if name not in self.updates:
                raise ValueError(f"There is no LoRA {name!r}; there are {', '.join(self.updates) or 'none'}.")
            if not math.isfinite(strength):
                raise ValueError(f"The strength of {name!r} is {strength}; it must be a number.")
        wanted = {name: float(strength) for name, strength in strengths.items() if strength}
        if wanted == self.strengths:
            return
        touched = {layer for name in (*self.strengths, *wanted) for layer in self.updates[name]}
        for layer in sorted(touched):
            weight = self.model.get_submodule(layer).get_parameter("weight")
            kept = self._kept.setdefault(layer, weight.detach().clone())
            changes = [s * self.updates[name][layer].product() for name, s in wanted.items() if layer in self.updates[name]]
            changed = kept.float() + sum(change.to(kept.device) for change in changes) if changes else kept
            weight.copy_(changed)
        self.strengths = wanted
