"""The judge: a small network that says what is in an image of the drawn world.

It learns from scenes that no generator is trained on (`minidiff train world-judge`) and is never used for guidance or as a
loss, so no generator can learn to please it. It only reports what is there; `verdict` decides whether a prompt wanted it. Its
network is `models/detector.py`; its own accuracy (`reliability`) is printed beside every figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff.data.world.layout import RADIUS
from minidiff.data.world.rendering import ALL_STYLES
from minidiff.data.world.scenes import COLOURS, SETTINGS, SHAPES
from minidiff.models.detector import Detector, DetectorConfig, DetectorOutput
from minidiff.pretrained import zoo
from minidiff.pretrained.assemble import assemble
from minidiff.utils.validation import Between, build

BIG = (RADIUS["small"][1] + RADIUS["big"][0]) / 2  # half-way between the largest small and the smallest big thing
BOUNDS = {"image_size": Between(32, 512), "channels": Between(1, 4096), "depth": Between(0, 256)}


@dataclass(frozen=True)
class Detection:
    """One thing that the judge found: its names, centre and radius in widths of the image, and certainty (0..1)."""

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
    """What the judge finds in one image, the most certain things first."""

    things: tuple[Detection, ...]
    setting: str
    style: str | None = None  # None from a judge that knows no styles

    def words(self) -> str:
        """A line for captions of figures: "sea: big red boat, small white cloud"."""
        return f"{self.setting}: " + (", ".join(f"{t.size} {t.colour} {t.kind}" for t in self.things) or "nothing")


def to_batch(images: Any, size: int = 128) -> Tensor:
    """Floats (B, 3, size, size) in 0..1 from floats (B, 3, H, W) in 0..1, bytes (B, H, W, 3) or a list of PIL images. Raises
    ValueError for anything else."""
    if isinstance(images, (list, tuple)):
        images = np.stack([np.asarray(image.convert("RGB") if hasattr(image, "convert") else image) for image in images])
    x = torch.as_tensor(images)
    if x.dtype == torch.uint8 and x.ndim == 4 and x.shape[-1] == 3:
        x = x.permute(0, 3, 1, 2).float() / 255
    if x.ndim != 4 or x.shape[1] != 3 or not x.is_floating_point():
        raise ValueError(
            f"Images must be floats (B, 3, H, W) in 0..1, bytes (B, H, W, 3) or a list of PIL images, "
            f"not {x.dtype} {tuple(x.shape)}."
        )
    if x.shape[-2:] != (size, size):
        x = F.interpolate(x.float(), size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)
    return x.float()


def decode(output: DetectorOutput, config: DetectorConfig, threshold: float = 0.3) -> list[Seen]:
    """The things in each image: local maxima of the heat above `threshold`; of two closer than 0.6 of their radii together only
    the more certain one, since the world's things never overlap."""
    heat = output.heat.sigmoid()                                                            # (B, H, W)
    peaks = (heat == F.max_pool2d(heat[:, None], 3, 1, 1)[:, 0]) & (heat > threshold)
    cells = heat.shape[-1]
    kinds, colours = output.kind.argmax(1).cpu(), output.colour.argmax(1).cpu()
    styles = [config.styles[k] for k in output.style.argmax(1).tolist()] if output.style is not None else [None] * len(heat)
    settings, places, heat, peaks = output.setting.argmax(1).tolist(), output.place.cpu(), heat.cpu(), peaks.cpu()
    seen = []
    for b, setting in enumerate(settings):
        found = []
        for row, column in peaks[b].nonzero().tolist():
            dx, dy, radius = places[b, :, row, column].tolist()
            x, y = (column + 0.5 + dx) / cells, (row + 0.5 + dy) / cells
            names = config.kinds[int(kinds[b, row, column])], config.colours[int(colours[b, row, column])]
            found.append(Detection(*names, x, y, radius, float(heat[b, row, column])))
        seen.append(Seen(_without_echoes(found), config.settings[setting], styles[b]))
    return seen


def _without_echoes(found: list[Detection]) -> tuple[Detection, ...]:
    kept: list[Detection] = []
    for thing in sorted(found, key=lambda t: -t.score):
        if all(math.dist((thing.x, thing.y), (k.x, k.y)) > 0.6 * (thing.radius + k.radius) for k in kept):
            kept.append(thing)
    return tuple(kept)


@torch.no_grad()
def look(judge: Detector, images: Any, batch: int = 64) -> list[Seen]:
    """What the judge finds in each image (any form that `to_batch` takes)."""
    judge.eval()
    x = to_batch(images, judge.config.image_size)
    return [s for part in x.split(batch) for s in decode(judge(part.to(_device(judge))), judge.config)]


@torch.no_grad()
def features(judge: Detector, images: Any, batch: int = 64) -> Tensor:
    """`DetectorOutput.features` of each image, (N, 24 + channels) on the CPU: what FD-mini and KID-mini compare."""
    judge.eval()
    x = to_batch(images, judge.config.image_size)
    return torch.cat([judge(part.to(_device(judge))).features.cpu() for part in x.split(batch)])


@torch.no_grad()
def feature_maps(judge: Detector, images: Any) -> list[Tensor]:
    """Maps of five depths, each (B, C, H, W), for `metrics.perceptual_distance` (PD-mini)."""
    judge.eval()
    return judge.feature_maps(to_batch(images, judge.config.image_size).to(_device(judge)))


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device


def from_state(config: Mapping[str, Any], state: dict[str, Tensor], source: str = "The judge") -> Detector:
    """A judge from what `zoo.load` gives. Raises ValueError for settings or weights that don't fit, or of another world."""
    made = build(DetectorConfig, config, source, BOUNDS)
    styles = ALL_STYLES if made.styles else ()
    for name, known, world in (("kinds", made.kinds, SHAPES), ("colours", made.colours, COLOURS),
                               ("settings", made.settings, SETTINGS), ("styles", made.styles, styles)):  # fmt: skip
        if odd := sorted(set(known) ^ set(world)):
            raise ValueError(f"{source} knows other {name} than the world ({', '.join(odd[:5])}): train it again.")
    judge = assemble(lambda: Detector(made), state, source)
    return judge.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def load_judge(name: str = "world-judge") -> Detector:
    """The shipped judge. Raises ValueError when it is missing or damaged."""
    return from_state(*zoo.load(name), f"The judge {name!r}")
