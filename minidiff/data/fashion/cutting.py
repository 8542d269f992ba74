"""How garments are cut: the pieces of cloth that each kind is made of, with seams, folds, buttons and collars.

Places are in halves of the image's width, x to the right and y downwards, the garment's middle at x = 0. A `Cutter` collects
pieces from the back to the front. What it is not: patterns (prints.py), light and shadow (drawing.py).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidiff.data.world.drawing import RGB, darken, lighten

Points = NDArray[np.float64]
Place = tuple[float, float]


@dataclass(frozen=True)
class Fold:
    """A ridge (depth above 0) or a valley along points (P, 2), with its width at the first and at the last of them."""

    points: Points
    depth: float
    width: tuple[float, float]


@dataclass
class Piece:
    """A piece of cloth. outline (P, 2), closed; grain: the angle by which its threads lean, radians; tone: how much darker
    (below 0) or lighter it is than the cloth; colour: its own, if it isn't of the cloth; ribs: knitted ribs across a unit;
    puff: how far it swells, 0 for flat and without a shadow; round: how far also lengthwise, 1 for a ball, 0 for a tube."""

    outline: Points
    grain: float = 0.0
    tone: float = 0.0
    colour: RGB | None = None
    ribs: float = 0.0
    puff: float = 1.0
    round: float = 0.35
    folds: list[Fold] = field(default_factory=list)
    seams: list[Points] = field(default_factory=list)
    stitches: list[Points] = field(default_factory=list)


def spline(*places: Place, steps: int = 10) -> Points:
    """Points of a smooth curve through all places (Catmull and Rom 1974)."""
    p = np.array([places[0], *places, places[-1]], dtype=np.float64)
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    runs = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False)
    ]
    return np.concatenate([*runs, p[-1:]])


def mirrored(points: Points, side: int = -1) -> Points:
    """The points on the other side of the middle; as they are for side 1."""
    return points * (side, 1)


def both(*runs: Points) -> Points:
    """A closed outline from its right half, which runs from the top of the middle to its bottom."""
    right = np.concatenate(runs)
    return np.concatenate([right, mirrored(right)[::-1]])


def across(right: Points) -> Points:
    """A curve from the left to the right whose right half runs from the middle outwards."""
    return np.concatenate([mirrored(right)[::-1], right])


def between(outer: Points, inner: Points) -> Points:
    """A closed band between two curves of the same direction."""
    return np.concatenate([outer, inner[::-1]])


def disc(x: float, y: float, radius: float, high: float | None = None) -> Points:
    """A circle, or an ellipse of another height."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.stack([x + radius * np.cos(angle), y + (high or radius) * np.sin(angle)], axis=1)


class Cutter:
    """Collects the pieces of one garment. rng: for what differs between two of a kind."""

    def __init__(self, rng: random.Random, trim: RGB, ribbon: RGB) -> None:
        """trim: the colour of buttons and zips; ribbon: of a hat's ribbon."""
        self.rng, self.trim, self.ribbon = rng, trim, ribbon
        self.pieces: list[Piece] = []

    def add(self, outline: Points, **looks: Any) -> None:
        """A piece in front of those before it. looks: the other fields of a Piece."""
        self.pieces.append(Piece(np.asarray(outline, np.float64), **looks))

    def vary(self, value: float, share: float = 0.08) -> float:
        """A measure as another tailor would take it."""
        return value * self.rng.uniform(1 - share, 1 + share)

    def fold(self, start: Place, end: Place, depth: float, width: float, widen: float = 1.0, bend: float = 0.12) -> Fold:
        """A slightly bent fold whose places, depth and width are a little random."""
        (x0, y0), (x1, y1) = (tuple(c + self.rng.uniform(-0.03, 0.03) for c in place) for place in (start, end))
        bow = self.rng.uniform(-bend, bend)
        middle = ((x0 + x1) / 2 + bow * (y1 - y0), (y0 + y1) / 2 - bow * (x1 - x0))
        width = self.vary(width, 0.2)
        return Fold(spline((x0, y0), middle, (x1, y1)), self.vary(depth, 0.35), (width, width * widen))

    def button(self, x: float, y: float, radius: float = 0.02) -> None:
        """A round button with four holes."""
        light, dark = lighten(self.trim, 0.2), darken(self.trim, 0.5)
        self.add(disc(x + 0.1 * radius, y + 0.15 * radius, 1.1 * radius), colour=dark, puff=0)
        self.add(disc(x, y, radius), colour=self.trim, puff=0)
        self.add(disc(x - 0.08 * radius, y - 0.1 * radius, 0.7 * radius), colour=light, puff=0)
        for dx, dy in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
            self.add(disc(x + 0.22 * dx * radius, y + 0.22 * dy * radius, 0.13 * radius), colour=dark, puff=0)
