"""The judge: a small network that looks at a picture of the drawn world and says what is in it.

It learns from renders of a split of seeds that no generator is ever trained on (`minidiff train world-judge`), and it
is never used for guidance or as a loss, so a generator cannot learn to please it. It only reports what it sees; whether
that is what a prompt asked for is decided in `verdict`, by rules. Its own accuracy is printed beside every figure.
Taught in the lesson on measuring.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff.data.world.scenes import COLOURS, RADIUS, SETTINGS, SHAPES

STRIDE = 8  # pixels of the picture per cell of the map; things are at least 25 pixels wide
BIG = (RADIUS["small"][1] + RADIUS["big"][0]) / 2  # half-way between the largest small and the smallest big thing


@dataclass(frozen=True)
class Detection:
    """One thing seen: its names, centre and radius in widths of the picture, and how sure the judge is (0..1)."""

    kind: str
    colour: str
    x: float
    y: float
    radius: float
    score: float

    @property
    def size(self) -> str:
        """"small" or "big"."""
        return "big" if self.radius > BIG else "small"


@dataclass(frozen=True)
class Seen:
    """What the judge sees in one picture; things in order of certainty."""

    things: tuple[Detection, ...]
    setting: str

    def words(self) -> str:
        """A line for captions of figures: "sea: big red boat, small white cloud"."""
        return f"{self.setting}: " + (", ".join(f"{t.size} {t.colour} {t.kind}" for t in self.things) or "nothing")


@dataclass(frozen=True)
class JudgeConfig:
    """Widths, and the names that the outputs stand for (they travel with the weights)."""

    image_size: int = 128
    channels: int = 96
    depth: int = 8
    kinds: tuple[str, ...] = SHAPES
    colours: tuple[str, ...] = COLOURS
    settings: tuple[str, ...] = SETTINGS


@dataclass
class Maps:
    """What the network gives for B pictures on a map of (H, W) cells. All but `features` and `setting` are per cell.

    heat: logit that a thing's centre lies here (B, H, W); kind (B, kinds, H, W) and colour (B, colours, H, W) logits;
    place (B, 3, H, W): centre's x and y from the middle of the cell, in cells, and the radius in widths of the picture;
    setting: logits (B, settings); features (B, 24 + channels): the strongest answers of the first layer, which tell sharp
    edges from soft ones, and the average of the last layer, which tells contents; for FD-mini and KID-mini.
    """

    heat: Tensor
    kind: Tensor
    colour: Tensor
    place: Tensor
    setting: Tensor
    features: Tensor


def _convolution(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU())


class Judge(nn.Module):
    """A fully convolutional detector of centres (after CenterNet, Zhou et al. 2019), about 0.8 M parameters.

    `forward(x)`: x (B, 3, S, S) in 0..1; returns `Maps` with S / 8 cells a side.
    """

    def __init__(self, config: JudgeConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or JudgeConfig()
        width = config.channels
        self.stem = nn.Sequential(
            _convolution(3, 24, 2), _convolution(24, 48, 2), _convolution(48, 48), _convolution(48, width, 2)
        )
        self.trunk = nn.ModuleList(_convolution(width, width) for _ in range(config.depth))
        self.parts = (1, len(config.kinds), len(config.colours), 3)
        self.head = nn.Conv2d(width, sum(self.parts), 1)
        self.setting = nn.Linear(2 * width, len(config.settings))
        nn.init.constant_(self.head.bias[:1], -4.0)  # type: ignore[index]  # few cells are centres: start by saying so

    def forward(self, x: Tensor) -> Maps:
        x = x.contiguous(memory_format=torch.channels_last) * 2 - 1
        edges = self.stem[0](x)                                                             # (B, 24, S/2, S/2)
        x = self.stem[1:](edges)                                                            # (B, C, S/8, S/8)
        for layer in self.trunk:
            x = x + layer(x)
        heat, kind, colour, place = self.head(x).float().split(self.parts, dim=1)
        place = torch.cat([place[:, :2], 0.15 + 0.05 * place[:, 2:]], dim=1)                # radii are about 0.15
        mean, most = x.float().mean(dim=(2, 3)), x.float().amax(dim=(2, 3))                 # (B, C) each
        features = torch.cat([edges.float().amax(dim=(2, 3)), mean], dim=1)
        return Maps(heat[:, 0], kind, colour, place, self.setting(torch.cat([mean, most], dim=1)), features)


def to_batch(pictures: Any, size: int = 128) -> Tensor:
    """Pictures as the judge wants them: (B, 3, size, size) float in 0..1.

    Takes a float tensor (B, 3, H, W) in 0..1, a uint8 array or tensor (B, H, W, 3), or a list of PIL pictures.
    Raises ValueError for anything else.
    """
    import numpy as np

    if isinstance(pictures, (list, tuple)):
        pictures = np.stack([np.asarray(p.convert("RGB") if hasattr(p, "convert") else p) for p in pictures])
    x = torch.as_tensor(pictures)
    if x.dtype == torch.uint8 and x.ndim == 4 and x.shape[-1] == 3:
        x = x.permute(0, 3, 1, 2).float() / 255
    if x.ndim != 4 or x.shape[1] != 3 or not x.is_floating_point():
        raise ValueError(
            f"Pictures must be floats (B, 3, H, W) in 0..1, bytes (B, H, W, 3) or a list of PIL pictures, "
            f"not {x.dtype} {tuple(x.shape)}."
        )
    if x.shape[-2:] != (size, size):
        x = F.interpolate(x.float(), size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)
    return x.float()


def decode(maps: Maps, config: JudgeConfig, threshold: float = 0.3) -> list[Seen]:
    """Maps to a list of things per picture: local maxima of the heat above `threshold`, most certain first.

    Of two maxima closer than 0.6 of their radii together only the surer one stays: the world's things never overlap.
    """
    heat = maps.heat.sigmoid()                                                              # (B, H, W)
    peaks = (heat == F.max_pool2d(heat[:, None], 3, 1, 1)[:, 0]) & (heat > threshold)
    cells = heat.shape[-1]
    kinds, colours = maps.kind.argmax(1).cpu(), maps.colour.argmax(1).cpu()
    settings, places, heat, peaks = maps.setting.argmax(1).tolist(), maps.place.cpu(), heat.cpu(), peaks.cpu()
    seen = []
    for b, setting in enumerate(settings):
        found = []
        for row, column in peaks[b].nonzero().tolist():
            dx, dy, radius = places[b, :, row, column].tolist()
            x, y = (column + 0.5 + dx) / cells, (row + 0.5 + dy) / cells
            names = config.kinds[int(kinds[b, row, column])], config.colours[int(colours[b, row, column])]
            found.append(Detection(*names, x, y, radius, float(heat[b, row, column])))
        seen.append(Seen(_without_echoes(found), config.settings[setting]))
    return seen


def _without_echoes(found: list[Detection]) -> tuple[Detection, ...]:
    kept: list[Detection] = []
    for thing in sorted(found, key=lambda t: -t.score):
        if all(math.dist((thing.x, thing.y), (k.x, k.y)) > 0.6 * (thing.radius + k.radius) for k in kept):
            kept.append(thing)
    return tuple(kept)


@torch.no_grad()
def look(judge: Judge, pictures: Any, batch: int = 64) -> list[Seen]:
    """What the judge sees in each picture (any form that `to_batch` takes)."""
    judge.eval()
    x = to_batch(pictures, judge.config.image_size)
    return [s for part in x.split(batch) for s in decode(judge(part.to(_device(judge))), judge.config)]


@torch.no_grad()
def features(judge: Judge, pictures: Any, batch: int = 64) -> Tensor:
    """`Maps.features` of each picture, (N, 24 + channels) on the CPU: what FD-mini and KID-mini compare."""
    judge.eval()
    x = to_batch(pictures, judge.config.image_size)
    return torch.cat([judge(part.to(_device(judge))).features.cpu() for part in x.split(batch)])


@torch.no_grad()
def feature_maps(judge: Judge, pictures: Any) -> list[Tensor]:
    """Maps of five depths, each (B, C, H, W), for `metrics.perceptual_distance` (PD-mini)."""
    judge.eval()
    x = to_batch(pictures, judge.config.image_size).to(_device(judge)) * 2 - 1
    maps = []
    for layer in judge.stem:
        x = layer(x)
        maps.append(x)
    for layer in judge.trunk:
        x = x + layer(x)
    return [*maps, x]


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device


def config_to_dict(config: JudgeConfig) -> dict[str, Any]:
    """The configuration as JSON can hold it."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()}


def from_state(config: dict[str, Any], state: dict[str, Tensor]) -> Judge:
    """A judge in evaluation mode from what `zoo.load` gives. Raises ValueError when it does not know this world."""
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
    made = JudgeConfig(**fields)
    for name, known, world in (("kinds", made.kinds, SHAPES), ("colours", made.colours, COLOURS),
                               ("settings", made.settings, SETTINGS)):  # fmt: skip
        if set(known) != set(world):
            odd: Sequence[str] = sorted(set(known) ^ set(world))
            raise ValueError(f"This judge knows other {name} than the world ({', '.join(odd)}): train it again.")
    judge = Judge(made)
    judge.load_state_dict(state)
    return judge.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def load_judge(name: str = "world-judge") -> Judge:
    """The shipped judge. Raises ZooError when its file is missing, truncated or changed."""
    from minidiff.pretrained import zoo

    return from_state(*zoo.load(name))
