"""A garment as a studio photograph: cloth with its pattern, lit from the upper left, before a plain backdrop.

Each piece of cloth gets a height: it swells towards its middle, and folds are ridges and valleys. The slope of that height
towards the lamp is how bright the cloth is (Lambert's law), and the pattern shifts along the slope. What it is not: the cut of
the pieces (cutting.py, tailoring.py).
"""

from __future__ import annotations

import functools
import random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

from minidiff.data.fashion.cutting import Fold, Piece, Points
from minidiff.data.fashion.garments import COLOURS, Garment
from minidiff.data.fashion.prints import PRINTS
from minidiff.data.fashion.tailoring import pieces_of
from minidiff.data.fashion.window import GRID, Window
from minidiff.data.world.backdrops import jitter

Array = NDArray[Any]
LAMP = np.array((-0.42, -0.62, 0.66)) / np.linalg.norm((-0.42, -0.62, 0.66))
BACKDROPS = ((240, 233, 222), (224, 234, 239), (243, 228, 226), (227, 237, 224), (232, 227, 241), (244, 238, 219))


def draw(garment: Garment, size: int, seed: int) -> NDArray[np.uint8]:
    """A garment as an image (size, size, 3), the same at every size from 32 to 512. seed: of pose, folds, shade and backdrop.

    Raises ValueError for a size out of range."""
    return photograph(garment, size, seed)[0]


def photograph(garment: Garment, size: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """`draw`'s image, and how much of each pixel the garment covers, (size, size), 0 to 255."""
    if not 32 <= size <= 512:
        raise ValueError(f"The size of an image must be from 32 to 512 pixels, not {size}.")
    rng, dice = random.Random(seed), np.random.default_rng(seed)
    pieces = posed(pieces_of(garment, rng), rng)
    cloth = np.array(jitter(COLOURS[garment.colour], rng, 7), np.float32)
    accent = np.array(jitter(COLOURS[garment.accent or garment.colour], rng, 6), np.float32)
    cover = functools.reduce(np.maximum, (Window.whole(GRID).filled(piece.outline) for piece in pieces))
    image = backdrop(size, rng, cover)
    whole = np.zeros((size, size), np.float32)
    print_seed = rng.randrange(2**31)
    for piece in pieces:
        window = Window.around(piece.outline, size)
        part, mask = image[window.slices], window.filled(piece.outline)[..., None]
        slope, light, shade = relief(piece) if piece.puff else (None, None, None)
        colour = coloured(piece, cloth, accent, garment.pattern, window, print_seed, slope)
        if light is not None and shade is not None:
            part *= 1 - 0.22 * (window.enlarged(shade) * whole[window.slices])[..., None]  # its shadow on the cloth behind it
            bright = window.enlarged(light)[..., None]
            colour = colour * bright * (1 + piece.tone) + 30 * (bright - 1)
        part += mask * (colour * (1 - lines(piece, window)) - part)
        np.maximum(whole[window.slices], mask[..., 0], out=whole[window.slices])
    image += (0.5 + 1.3 * whole[..., None]) * dice.standard_normal((size, size, 1), np.float32)
    return image.clip(0, 255).round().astype(np.uint8), (whole * 255).round().astype(np.uint8)


def posed(pieces: list[Piece], rng: random.Random) -> list[Piece]:
    """The pieces turned a little, scaled to fill most of the image, and moved to about its middle."""
    points = np.concatenate([piece.outline for piece in pieces])
    low, high = points.min(0), points.max(0)
    scale = rng.uniform(0.78, 0.88) * min(2 / (high - low))
    stretch = np.array((rng.uniform(0.97, 1.03), 1.0)) * scale
    centre = np.array((rng.uniform(-0.03, 0.03), rng.uniform(-0.02, 0.03)))
    angle = np.radians(rng.uniform(-3, 3))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    phase = rng.uniform(0, 6.28)

    def place(points: Points) -> Points:
        moved = (points - (low + high) / 2) * stretch
        limp = 0.006 * np.sin(5 * moved[:, ::-1] + phase)  # no real edge is straight
        return (moved + limp) @ turn + centre

    return [
        Piece(place(p.outline), p.grain - angle, p.tone, p.colour, p.ribs, p.puff, p.round,
              [Fold(place(f.points), f.depth, (f.width[0] * scale, f.width[1] * scale)) for f in p.folds],
              [place(line) for line in p.seams], [place(line) for line in p.stitches])
        for p in pieces
    ]  # fmt: skip


# --- light ----------------------------------------------------------------------------------------------------------


def blurred(field: Array, *radii: float) -> list[Array]:
    """A square field under Gaussian blurs; radii in halves of its width. What leaves at one side comes in at the other."""
    side = len(field)
    waves, frequency = np.fft.rfft2(field), np.fft.fftfreq(side).astype(np.float32)
    fades = [np.exp(-2 * (np.pi * frequency * radius * side / 2) ** 2) for radius in radii]
    spectra = [waves * fade[:, None] * fade[: side // 2 + 1] for fade in fades]
    return [np.fft.irfft2(spectrum, s=field.shape).astype(np.float32) for spectrum in spectra]


def shifted(field: Array, amount: float) -> Array:
    """The field moved to the lower right, away from the lamp, by halves of its width."""
    cells = amount * len(field) / 2
    return np.roll(field, (round(1.4 * cells), round(cells)), (0, 1))


def relief(piece: Piece) -> tuple[Array, Array, Array]:
    """How the height of a piece changes along x and y (2, GRID, GRID), how bright that makes it (GRID, GRID), about 1 where it
    lies flat, and how dark its shadow is, 0 to 1."""
    mask = Window.whole(GRID).filled(piece.outline)
    near, far = blurred(mask, 0.018, 0.08)
    across, along = np.array((np.cos(piece.grain), -np.sin(piece.grain))), np.array((np.sin(piece.grain), np.cos(piece.grain)))
    slope = gradient(piece.puff * (0.035 * near + 0.14 * far))
    swell = np.tensordot(across, slope, 1), piece.round * np.tensordot(along, slope, 1)
    slope = across[:, None, None] * swell[0] + along[:, None, None] * swell[1]
    if piece.folds:
        slope = slope + gradient(creased(piece.folds))
    facing = (LAMP[2] - LAMP[0] * slope[0] - LAMP[1] * slope[1]) / np.sqrt(1 + (slope**2).sum(0))
    light = 0.42 + 0.58 * np.clip(facing / LAMP[2], 0.1, 1.7)
    light = light * (0.93 + 0.07 * np.clip(2 * near - 1, 0, 1))
    return slope.astype(np.float32), light.astype(np.float32), shifted(near, 0.012)


def gradient(height: Array) -> Array:
    """How a height (GRID, GRID) changes along x and along y, (2, GRID, GRID)."""
    down, right = np.gradient(height, 2 / GRID)
    return np.stack([right, down])


def creased(folds: list[Fold]) -> Array:
    """The height of folds, (GRID, GRID): soft bumps in close rows, highest in the middle of each fold."""
    places = Window.whole(GRID).places[0]
    rows = []
    for fold in folds:
        steps = np.r_[0, np.cumsum(np.linalg.norm(np.diff(fold.points, axis=0), axis=1))] / min(fold.width) * 2
        at = np.linspace(0, steps[-1], int(steps[-1]) + 2)
        along, (x, y) = at / steps[-1], (np.interp(at, steps, fold.points[:, c]) for c in (0, 1))
        width = np.interp(along, (0, 1), fold.width)
        height = fold.depth * (width * min(fold.width)) ** 0.5 * np.sin(np.pi * (0.08 + 0.84 * along)) / 5
        rows.append(np.stack([x, y, width, height], axis=1))
    x, y, width, height = np.concatenate(rows).astype(np.float32).T[..., None]
    across = np.exp(-(((places - x) / width) ** 2))  # (bumps, GRID)
    return (np.exp(-(((places - y) / width) ** 2)) * height).T @ across


def backdrop(size: int, rng: random.Random, cover: Array) -> Array:
    """A plain studio wall, brighter towards the lamp, with the garment's soft shadow."""
    tint = np.array(jitter(rng.choice(BACKDROPS), rng, 4), np.float32) * rng.uniform(0.92, 1.02)
    x, y = Window.whole(GRID).places
    light = 1.04 - 0.09 * np.hypot(x + 0.35, y + 0.4)
    near, far = blurred(cover, 0.02, 0.07)
    light = light * (1 - 0.20 * shifted(near, 0.02).clip(0, 1)) * (1 - 0.18 * shifted(far, 0.06).clip(0, 1))
    return tint * Window.whole(size).enlarged(light.astype(np.float32))[..., None]


# --- cloth ----------------------------------------------------------------------------------------------------------


def lines(piece: Piece, window: Window) -> Array:
    """How much seams and stitches darken each pixel, (H, W, 1) or (1,), 0 to 1."""
    if not piece.seams and not piece.stitches:
        return np.zeros(1, np.float32)
    canvas, fine = window.canvas()
    pen, width = ImageDraw.Draw(canvas), max(1, round(0.0035 * window.size * fine))
    for seam in piece.seams:
        pen.line(window.on_canvas(seam, fine), fill=70, width=round(1.3 * width))
    for stitch in piece.stitches:
        for ends in dashes(stitch):
            pen.line(window.on_canvas(ends, fine), fill=80, width=width)
    return np.asarray(canvas.reduce(fine), np.float32)[..., None] / 255


def dashes(line: Points, long: float = 0.018, gap: float = 0.012) -> Array:
    """The two ends of each stitch along a line, (stitches, 2, 2)."""
    steps = np.r_[0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))]
    starts = np.arange(0, max(steps[-1] - long, 0), long + gap)
    at = np.stack([starts, starts + long], axis=1)
    return np.stack([np.interp(at, steps, line[:, c]) for c in (0, 1)], axis=2)


def coloured(
    piece: Piece, cloth: Array, accent: Array, pattern: str, window: Window, print_seed: int, slope: Array | None = None
) -> Array:
    """The colour of a piece in even light, (H, W, 3) or (3,). slope: moves the pattern."""
    if piece.colour is not None:
        return np.array(piece.colour, np.float32)
    x, y = window.places
    if slope is not None:
        x, y = (place + 0.014 * window.enlarged(part) for place, part in zip((x, y), slope, strict=True))
    u, v = x * np.cos(piece.grain) - y * np.sin(piece.grain), x * np.sin(piece.grain) + y * np.cos(piece.grain)
    colour = np.broadcast_to(cloth, (*u.shape, 3))
    if pattern != "plain":
        for cover, ink in PRINTS[pattern](u, v, accent, 2 / window.size, np.random.default_rng(print_seed)):
            colour = colour + cover[..., None].astype(np.float32) * (ink - colour)
    if piece.ribs:
        seen = min(1.0, max(0.0, window.size / piece.ribs / 5 - 0.2))  # ribs finer than pixels would only flicker
        colour = colour * (1 + 0.075 * seen * np.cos(2 * np.pi * piece.ribs * u)[..., None])
    return colour
