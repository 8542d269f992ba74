"""The patterns that are printed or woven into cloth: stripes, dots, plaid and flowers, as layers of colour.

A pattern is a function of the place on the cloth, (u, v) in halves of the image's width, so it is the same at every size and
lies in folds as the cloth does. Edges are as soft as one pixel: that is the anti-aliasing. What it is not: the cut
(cutting.py) or the light (drawing.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Layer = tuple[Array, Array]
"""Cover (H, W), 0 to 1, and its colour (3,), 0 to 255."""
LEAF = np.array((92, 140, 88), np.float32)


def soft(distance: Array, pixel: float) -> Array:
    """1 where the signed distance is positive (inside), 0 outside, and a ramp of a pixel's width between."""
    return np.clip(distance / pixel + 0.5, 0, 1)


def band(x: Array, period: float, width: float, pixel: float) -> Array:
    """Bands of a width, one in each period."""
    return soft(width / 2 - np.abs((x + period / 2) % period - period / 2), pixel)


def striped(u: Array, v: Array, accent: Array, pixel: float, dice: np.random.Generator) -> list[Layer]:
    """Stripes along or across."""
    across = dice.random() < 0.6
    period, share = dice.uniform(0.11, 0.19), dice.uniform(0.34, 0.5)
    return [(band(v if across else u, period, period * share, pixel), accent)]


def dotted(u: Array, v: Array, accent: Array, pixel: float, dice: np.random.Generator) -> list[Layer]:
    """Dots in rows, every other row moved by half a step."""
    step = dice.uniform(0.11, 0.17)
    radius = step * dice.uniform(0.24, 0.32)
    row = np.round(v / (0.8 * step))
    x = u + (row % 2) * step / 2
    return [(soft(radius - np.hypot(x - np.round(x / step) * step, v - row * 0.8 * step), pixel), accent)]


def plaid(u: Array, v: Array, accent: Array, pixel: float, dice: np.random.Generator) -> list[Layer]:
    """Wide bands crossing, twice as dense where they meet, with a thin line between them."""
    period = dice.uniform(0.2, 0.28)
    layers = [(0.5 * band(x, period, 0.46 * period, pixel), accent) for x in (u, v)]
    return layers + [(0.75 * band(x + period / 2, period, 0.05 * period, pixel), accent) for x in (u, v)]


def floral(u: Array, v: Array, accent: Array, pixel: float, dice: np.random.Generator) -> list[Layer]:
    """Five-petalled flowers of several sizes, each with a heart and two leaves, scattered over the cells of a grid."""
    step = dice.uniform(0.15, 0.21)
    row = np.floor(v / step)
    x = u + (row % 2) * step / 2
    column = np.floor(x / step)
    table = dice.random((5, 64, 64)).astype(np.float32)
    right, down, size, turn, lean = table[:, row.astype(int) % 64, column.astype(int) % 64]
    x = x - (column + 0.5 + 0.26 * (right - 0.5)) * step
    y = v - (row + 0.5 + 0.26 * (down - 0.5)) * step
    radius = step * (0.25 + 0.11 * size)
    distance, angle = np.hypot(x, y), np.arctan2(y, x) + 6.28 * turn
    petals = radius * (0.66 + 0.34 * np.cos(5 * angle))
    heart = np.array((246, 206, 84) if accent @ (0.3, 0.6, 0.1) < 215 else (232, 158, 62), np.float32)
    layers: list[Layer] = []
    for side in (-1, 1):
        tilt = 6.28 * lean
        along, aside = x * np.cos(tilt) + y * np.sin(tilt), y * np.cos(tilt) - x * np.sin(tilt)
        leaf = radius * 0.28 * (1 - ((along - side * radius) / (0.62 * radius)) ** 2) - np.abs(aside)
        layers.append((0.9 * soft(leaf, pixel), LEAF))
    return [*layers, (soft(petals - distance, pixel), accent), (soft(0.24 * radius - distance, pixel), heart)]


PRINTS: dict[str, Callable[[Array, Array, Array, float, np.random.Generator], list[Layer]]] = {
    f.__name__: f for f in (striped, dotted, plaid, floral)
}
