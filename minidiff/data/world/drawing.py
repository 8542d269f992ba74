"""How each kind of thing is drawn: flat parts with a soft light from the upper left.

A drawing lies in a box from -1 to 1, x to the right and y downwards. A `Pen` collects its parts as polygons, `paint` puts them
on a canvas of any size. Not here: where things stand (`layout`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

RGB = tuple[int, int, int]
Points = NDArray[np.float64]

COLOURS: dict[str, RGB] = {
    "red": (222, 48, 44),
    "orange": (246, 138, 28),
    "yellow": (250, 214, 48),
    "green": (52, 160, 72),
    "blue": (42, 100, 222),
    "purple": (132, 66, 178),
    "pink": (246, 138, 184),
    "brown": (132, 82, 46),
    "black": (38, 38, 44),
    "white": (248, 248, 245),
}

CREAM, WOOD, LEAF, GLASS, DARK = (252, 240, 214), (120, 78, 48), (70, 150, 70), (205, 232, 248), (44, 44, 52)


def lighten(colour: RGB, amount: float) -> RGB:
    """Mix `colour` with white; amount from 0 (unchanged) to 1 (white)."""
    red, green, blue = (round(c + (255 - c) * amount) for c in colour)
    return red, green, blue


def darken(colour: RGB, amount: float) -> RGB:
    """Mix `colour` with black; amount from 0 (unchanged) to 1 (black)."""
    red, green, blue = (round(c * (1 - amount)) for c in colour)
    return red, green, blue


def rim(colour: RGB) -> RGB:
    """The outline's colour, visible on any background: dark around colours, light around black."""
    return lighten(colour, 0.62) if sum(colour) < 150 else darken(colour, 0.5)


def disc(x: float, y: float, rx: float, ry: float | None = None, start: float = 0.0, stop: float = 360.0) -> Points:
    """Points of an ellipse, or of its arc from `start` to `stop` degrees (0 is to the right, 90 downwards)."""
    angle = np.radians(np.linspace(start, stop, 33))
    return np.stack([x + rx * np.cos(angle), y + (rx if ry is None else ry) * np.sin(angle)], axis=1)


def box(left: float, top: float, right: float, bottom: float) -> Points:
    """The four corners of an upright rectangle."""
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


class Pen:
    """Collects the parts of one drawing: (points, colour, whether the part belongs to the silhouette)."""

    def __init__(self, colour: RGB, rng: random.Random) -> None:
        self.colour, self.dark, self.light = colour, darken(colour, 0.28), lighten(colour, 0.35)
        self.rng = rng
        self.parts: list[tuple[Points, RGB, bool]] = []

    def add(self, points: Points | list[tuple[float, float]], colour: RGB) -> None:
        """A part of the silhouette: it gets the rim."""
        self.parts.append((np.asarray(points, dtype=np.float64), colour, True))

    def detail(self, points: Points | list[tuple[float, float]], colour: RGB) -> None:
        """A part that lies inside the silhouette: no rim."""
        self.parts.append((np.asarray(points, dtype=np.float64), colour, False))

    def shaded(self, points: Points | list[tuple[float, float]], colour: RGB | None = None) -> None:
        """A part with light: smaller, lighter copies of it, moved towards the upper left."""
        colour = colour or self.colour
        points = np.asarray(points, dtype=np.float64)
        self.add(points, darken(colour, 0.10))
        centre = (points.min(0) + points.max(0)) / 2
        extent = (points.max(0) - points.min(0)) / 2
        for ring in (1, 2, 3):
            shift = -0.045 * ring * extent
            self.detail(centre + (points - centre) * (1 - 0.17 * ring) + shift, lighten(colour, 0.06 * (ring - 1)))


# --- the kinds ------------------------------------------------------------------------------------------------------


def circle(pen: Pen) -> None:
    pen.shaded(disc(0, 0, 0.92))


def square(pen: Pen) -> None:
    pen.shaded(box(-0.8, -0.8, 0.8, 0.8))


def triangle(pen: Pen) -> None:
    pen.shaded([(0, -0.92), (0.95, 0.78), (-0.95, 0.78)])


def star(pen: Pen) -> None:
    angle = np.radians(np.arange(10) * 36 - 90)
    radius = np.where(np.arange(10) % 2 == 0, 1.0, 0.44)
    pen.shaded(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1))


def heart(pen: Pen) -> None:
    t = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    pen.shaded(np.stack([x / 17, y / 17], axis=1))


def diamond(pen: Pen) -> None:
    pen.shaded([(0, -1), (0.66, 0), (0, 1), (-0.66, 0)])


def house(pen: Pen) -> None:
    pen.shaded(box(-0.7, -0.12, 0.7, 0.9))
    pen.add([(-0.95, -0.08), (0, -0.95), (0.95, -0.08)], pen.dark)
    door = pen.rng.choice((-0.3, 0.0, 0.3))
    pen.detail(box(door - 0.17, 0.3, door + 0.17, 0.9), WOOD)
    for x in (-0.42, 0.42) if door == 0 else (-door,):
        pen.detail(box(x - 0.18, 0.1, x + 0.18, 0.44), CREAM)


def tree(pen: Pen) -> None:
    pen.add(box(-0.15, 0.2, 0.15, 0.98), WOOD)
    for x, y in ((-0.42, 0.05), (0.42, 0.05)):
        pen.shaded(disc(x, y, 0.46, 0.42))
    pen.shaded(disc(0, -0.4, 0.56, 0.52))
    pen.detail(disc(0, 0.02, 0.5, 0.36), pen.colour)


def car(pen: Pen) -> None:
    pen.add([(-0.6, -0.08), (-0.38, -0.55), (0.3, -0.55), (0.62, -0.08)], pen.dark)
    pen.detail([(-0.44, -0.1), (-0.29, -0.43), (-0.06, -0.43), (-0.06, -0.1)], GLASS)
    pen.detail([(0.06, -0.1), (0.06, -0.43), (0.24, -0.43), (0.44, -0.1)], GLASS)
    pen.shaded([(-0.98, 0.0), (-0.86, -0.12), (0.84, -0.12), (0.98, 0.08), (0.98, 0.4), (-0.98, 0.4)])
    for x in (-0.52, 0.52):
        pen.add(disc(x, 0.42, 0.25), DARK)
        pen.detail(disc(x, 0.42, 0.11), (190, 190, 198))


def boat(pen: Pen) -> None:
    pen.add(box(-0.06, -0.95, 0.05, 0.3), WOOD)
    pen.add([(0.1, -0.85), (0.85, 0.18), (0.1, 0.18)], CREAM)
    pen.add([(-0.1, -0.6), (-0.1, 0.18), (-0.62, 0.18)], lighten(CREAM, 0.4))
    pen.shaded([(-0.98, 0.3), (0.98, 0.3), (0.62, 0.82), (-0.62, 0.82)])


def fish(pen: Pen) -> None:
    pen.add([(-0.4, 0), (-0.98, -0.5), (-0.82, 0), (-0.98, 0.5)], pen.dark)
    pen.add([(-0.2, -0.35), (0.1, -0.72), (0.35, -0.35)], pen.dark)
    pen.shaded(disc(0.14, 0, 0.8, 0.5))
    pen.detail(disc(0.58, -0.12, 0.13), CREAM)
    pen.detail(disc(0.61, -0.12, 0.07), DARK)


def bird(pen: Pen) -> None:
    pen.add([(-0.4, 0.0), (-1.0, -0.12), (-0.95, 0.3), (-0.4, 0.35)], pen.dark)
    pen.add([(0.68, -0.52), (1.0, -0.36), (0.66, -0.24)], (244, 160, 40))
    for x in (-0.12, 0.16):
        pen.add(box(x - 0.04, 0.5, x + 0.04, 0.95), (214, 130, 40))
    pen.shaded(disc(0, 0.18, 0.62, 0.46))
    pen.shaded(disc(0.45, -0.38, 0.33))
    pen.detail(disc(-0.12, 0.16, 0.36, 0.22), pen.dark)
    pen.detail(disc(0.55, -0.44, 0.08), CREAM)
    pen.detail(disc(0.57, -0.44, 0.05), DARK)


def cat(pen: Pen) -> None:
    pen.add([(0.35, 0.85), (0.72, 0.7), (0.78, 0.1), (0.95, 0.12), (0.93, 0.8), (0.5, 0.98)], pen.dark)
    pen.shaded(disc(0, 0.48, 0.52, 0.5))
    for side in (-1, 1):
        pen.add([(side * 0.5, -0.98), (side * 0.56, -0.3), (side * 0.06, -0.62)], pen.dark)
    pen.shaded(disc(0, -0.28, 0.56, 0.46))
    for x in (-0.22, 0.22):
        pen.detail(disc(x, -0.34, 0.12), CREAM)
        pen.detail(disc(x, -0.33, 0.07, 0.09), DARK)
    pen.detail([(-0.08, -0.15), (0.08, -0.15), (0, -0.05)], (235, 140, 150))


def flower(pen: Pen) -> None:
    pen.add(box(-0.06, 0.1, 0.06, 0.98), LEAF)
    pen.add([(0.03, 0.75), (0.5, 0.45), (0.4, 0.8)], LEAF)
    for k in range(6):
        angle = math.radians(60 * k + 30)
        pen.shaded(disc(0.42 * math.cos(angle), -0.3 + 0.42 * math.sin(angle), 0.3))
    yellowish = pen.colour[0] > 200 and pen.colour[1] > 120 and pen.colour[2] < 110
    pen.detail(disc(0, -0.3, 0.26), (150, 88, 40) if yellowish else (250, 205, 60))


def moon(pen: Pen) -> None:
    outer, inner = disc(0, 0, 0.95, None, 50, 310), disc(0.38, 0, 0.72, None, 290, 70)
    pen.add(np.concatenate([outer, inner]), pen.colour)
    for x, y, r in ((-0.55, -0.3, 0.1), (-0.66, 0.2, 0.13)):
        pen.detail(disc(x, y, r), pen.dark)


def cloud(pen: Pen) -> None:
    for x, y, r in ((-0.55, 0.15, 0.38), (0.55, 0.15, 0.4), (-0.1, -0.15, 0.5), (0.3, -0.02, 0.4)):
        pen.add(disc(x, y, r), pen.colour)
    pen.add(box(-0.55, 0.1, 0.55, 0.54), pen.colour)
    for x, y, r in ((-0.18, -0.25, 0.3), (-0.58, 0.08, 0.2)):
        pen.detail(disc(x, y, r), lighten(pen.colour, 0.16))
    pen.detail([(-0.72, 0.42), (0.74, 0.42), (0.6, 0.54), (-0.56, 0.54)], darken(pen.colour, 0.13))


def balloon(pen: Pen) -> None:
    sway = pen.rng.uniform(-0.12, 0.12)
    pen.add([(-0.03, 0.45), (sway - 0.03, 1.0), (sway + 0.05, 1.0), (0.05, 0.45)], DARK)
    pen.add([(0, 0.38), (0.15, 0.58), (-0.15, 0.58)], pen.dark)
    pen.shaded(disc(0, -0.27, 0.6, 0.7))
    pen.detail(disc(-0.24, -0.52, 0.1, 0.17), lighten(pen.colour, 0.6))


def umbrella(pen: Pen) -> None:
    pen.add(box(-0.05, -0.1, 0.05, 0.75), DARK)
    pen.add(np.concatenate([disc(0.15, 0.72, 0.2, 0.24, 0, 180), disc(0.15, 0.72, 0.1, 0.14, 180, 0)]), DARK)
    pen.add(disc(0, 0.05, 0.98, 0.95, 180, 360), pen.colour)
    pen.detail(np.concatenate([disc(0, 0.05, 0.36, 0.93, 180, 360)]), pen.light)
    for x in (-0.66, 0.0, 0.66):
        pen.detail(disc(x, 0.06, 0.32, 0.12, 180, 360), pen.dark)


Drawing = Callable[[Pen], None]
SHAPES: dict[str, Drawing] = {
    f.__name__: f
    for f in (
        circle, square, triangle, star, heart, diamond, house, tree, car, boat, fish, bird, cat, flower, moon, cloud,
        balloon, umbrella,
    )
}  # fmt: skip
MIRRORED = {"car", "boat", "fish", "bird", "cat", "moon", "umbrella"}  # may face either way


def parts_of(
    kind: str, colour: str, rng: random.Random, drawings: Mapping[str, Drawing] = SHAPES
) -> list[tuple[Points, RGB, bool]]:
    """The parts of one thing, with small variations of hue, pose and proportion."""
    red, green, blue = (min(255, max(0, c + round(rng.uniform(-9, 9)))) for c in COLOURS[colour])
    pen = Pen((red, green, blue), rng)
    drawings[kind](pen)
    angle = math.radians(rng.uniform(-9, 9))
    flip = -1 if (kind in MIRRORED or kind not in SHAPES) and rng.random() < 0.5 else 1
    stretch = rng.uniform(0.93, 1.0), rng.uniform(0.93, 1.0)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return [(points * (flip * stretch[0], stretch[1]) @ turn, c, outer) for points, c, outer in pen.parts]


def paint(
    canvas: ImageDraw.ImageDraw,
    parts: list[tuple[Points, RGB, bool]],
    centre: tuple[float, float],
    radius: float,
    line: RGB,
) -> None:
    """Draw the parts, scaled to `radius` and moved to `centre` (pixels): first the rim, then the fills."""
    placed = [((points * radius + centre).ravel().tolist(), c, outer) for points, c, outer in parts]
    width = max(1, round(radius * 0.075))
    for flat, _, outer in placed:
        if outer:
            canvas.line(flat + flat[:4], fill=line, width=width)
    for flat, colour, _ in placed:
        canvas.polygon(flat, fill=colour)


def silhouette(
    canvas: ImageDraw.ImageDraw, parts: list[tuple[Points, RGB, bool]], centre: tuple[float, float], radius: float
) -> None:
    """Fill what the thing covers, without its rim, with 255 on a one-channel canvas."""
    for points, _, outer in parts:
        if outer:
            canvas.polygon((points * radius + centre).ravel().tolist(), fill=255)
