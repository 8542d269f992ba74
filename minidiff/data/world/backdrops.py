"""The settings of the drawn world, behind its things: soft gradients, a horizon, nothing that looks like one of the kinds."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from minidiff.data.world.drawing import RGB, darken, lighten

Stop = tuple[float, RGB]  # (height from 0 at the top to 1 at the bottom, colour there)


def gradient(size: int, *stops: Stop) -> Image.Image:
    """An image whose colour runs from top to bottom through the stops; size in pixels."""
    heights = [height for height, _ in stops]
    rows = (np.arange(size) + 0.5) / size
    column = np.stack([np.interp(rows, heights, [colour[c] for _, colour in stops]) for c in range(3)], axis=1)
    return Image.fromarray(column.round().astype(np.uint8)[:, None]).resize((size, size), Image.Resampling.NEAREST)


def jitter(colour: RGB, rng: random.Random, amount: float = 8.0) -> RGB:
    """The colour, moved a little in each channel (of 255)."""
    red, green, blue = (min(255, max(0, round(c + rng.uniform(-amount, amount)))) for c in colour)
    return red, green, blue


def ridge(rng: random.Random, height: float, swing: float, waves: float) -> list[tuple[float, float]]:
    """A rolling line from left to right and the ground below it, in widths of the image."""
    phase, second = rng.uniform(0, 6.28), rng.uniform(0, 6.28)
    xs = np.linspace(0, 1, 25)
    ys = height + swing * np.sin(waves * xs * 6.28 + phase) + 0.4 * swing * np.sin(2.3 * waves * xs * 6.28 + second)
    return [*zip(xs.tolist(), ys.tolist(), strict=True), (1.0, 1.01), (0.0, 1.01)]


def fill(image: Image.Image, points: list[tuple[float, float]], colour: RGB) -> None:
    """Fill a polygon given in widths of the image."""
    ImageDraw.Draw(image).polygon([(x * image.width, y * image.height) for x, y in points], fill=colour)


def plain(size: int, rng: random.Random) -> Image.Image:
    tint = rng.choice(((226, 221, 208), (208, 222, 214), (213, 216, 231), (230, 213, 213), (217, 217, 217)))
    tint = jitter(tint, rng, 5)
    return gradient(size, (0, lighten(tint, 0.15)), (1, darken(tint, 0.06)))


def day(size: int, rng: random.Random) -> Image.Image:
    top, low = jitter((104, 178, 238), rng), jitter((206, 234, 250), rng, 5)
    return gradient(size, (0, top), (1, low))


def night(size: int, rng: random.Random) -> Image.Image:
    image = gradient(size, (0, jitter((22, 26, 68), rng, 6)), (1, jitter((74, 70, 132), rng, 8)))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.randint(7, 12)):
        x, y, r = rng.random() * size, rng.random() * 0.8 * size, size * rng.uniform(0.006, 0.009)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(226, 226, 244))
    return image


def sea(size: int, rng: random.Random) -> Image.Image:
    horizon = rng.uniform(0.40, 0.52)
    near = jitter((22, 112, 150), rng)
    sky_low, far = jitter((232, 244, 244), rng, 4), jitter((72, 176, 196), rng)
    stops = ((0, jitter((150, 206, 232), rng)), (horizon, sky_low), (horizon + 0.004, far), (1, near))
    image = gradient(size, *stops)
    for k, height in enumerate((0.68, 0.84)):
        fill(image, ridge(rng, height + rng.uniform(-0.03, 0.03), 0.012, 3), darken(far, 0.16 + 0.16 * k))
    return image


def meadow(size: int, rng: random.Random) -> Image.Image:
    image = gradient(size, (0, jitter((164, 212, 240), rng)), (0.6, jitter((226, 242, 244), rng, 5)), (1, (226, 242, 244)))
    hill = jitter((150, 206, 110), rng)
    fill(image, ridge(rng, rng.uniform(0.5, 0.56), 0.035, 0.8), lighten(hill, 0.2))
    fill(image, ridge(rng, rng.uniform(0.68, 0.74), 0.03, 0.7), hill)
    return image


def sunset(size: int, rng: random.Random) -> Image.Image:
    top, middle, low = jitter((112, 82, 148), rng), jitter((240, 138, 108), rng), jitter((253, 212, 138), rng)
    image = gradient(size, (0, top), (0.45, middle), (0.75, low), (1, low))
    for base, peak, colour in ((0.78, 0.20, (146, 96, 132)), (0.90, 0.17, (92, 66, 108))):
        xs = np.linspace(-0.1, 1.1, 6)
        heights = [base - (peak if k % 2 else 0.02) * rng.uniform(0.6, 1) for k in range(6)]
        line = [(x + rng.uniform(-0.05, 0.05), y) for x, y in zip(xs.tolist(), heights, strict=True)]
        fill(image, [(-0.2, base), *line, (1.2, base), (1.2, 1.01), (-0.2, 1.01)], jitter(colour, rng, 5))
    return image


def room(size: int, rng: random.Random) -> Image.Image:
    wall = jitter(rng.choice(((238, 214, 180), (214, 200, 190), (226, 206, 206))), rng, 5)
    floor, edge = jitter((178, 132, 92), rng), rng.uniform(0.7, 0.76)
    image = gradient(size, (0, lighten(wall, 0.25)), (edge, wall), (edge + 0.004, floor), (1, darken(floor, 0.12)))
    fill(image, [(0, edge - 0.035), (1, edge - 0.035), (1, edge), (0, edge)], lighten(wall, 0.6))
    tilt = math.radians(rng.uniform(-8, 8))
    for k in range(1, 4):  # the gaps between the floor boards widen towards the viewer
        x = k / 4 + math.tan(tilt) * 0.1
        low = 0.5 + (x - 0.5) * 1.5
        fill(image, [(x - 0.003, edge), (x + 0.003, edge), (low + 0.005, 1.01), (low - 0.005, 1.01)], darken(floor, 0.2))
    return image


SETTINGS: dict[str, Callable[[int, random.Random], Image.Image]] = {
    f.__name__: f for f in (plain, day, night, sea, meadow, sunset, room)
}
