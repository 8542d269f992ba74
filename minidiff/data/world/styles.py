"""The drawn world in other styles: the same scene, outlined, in watercolour, as pixel art, as a woodcut or in neon.

Each style is made of the flat image alone, so a scene has one true image in every style and in none of them does anything
move: whether a style was learnt can be measured. Colours stay what the captions say. What it is not: the drawing of things
(drawing.py). Taught in the lesson on LoRA.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Array = NDArray[Any]  # (H, W, 3) or (H, W, 1) of floats, 0 to 1
PAPER = np.array([0.97, 0.95, 0.90], np.float32)


def blurred(image: Array, radius: float) -> Array:
    """Gaussian blur; radius in pixels."""
    pixels = Image.fromarray((image * 255).round().astype(np.uint8))
    return np.asarray(pixels.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255


def edges(image: Array, scale: float) -> Array:
    """How much colour changes at a pixel, 0 to 1, (H, W, 1). scale: width of the lines, in pixels."""
    smooth = blurred(image, 0.5 * scale)
    change = [np.abs(np.roll(smooth, 1, axis) - np.roll(smooth, -1, axis)).sum(-1, keepdims=True) for axis in (0, 1)]
    change[0][[0, -1]] = change[1][:, [0, -1]] = 0  # the roll joined opposite sides
    return np.clip(2.2 * np.maximum(*change), 0, 1)


def vivid(image: Array, amount: float = 1.6) -> Array:
    """Colours further from grey."""
    grey = image.mean(-1, keepdims=True)
    return np.clip(grey + amount * (image - grey), 0, 1)


def noise(shape: tuple[int, ...], cells: int, dice: np.random.Generator) -> Array:
    """Smooth random numbers, 0 to 1, (H, W, 1), with about `cells` hills along each side."""
    small = Image.fromarray(dice.integers(0, 256, (cells, cells), np.uint8))
    return np.asarray(small.resize((shape[1], shape[0]), Image.Resampling.BICUBIC), np.float32)[..., None] / 255


def outline(image: Array, dice: np.random.Generator) -> Array:
    """Lines in the colours that they bound, on paper with a trace of colour."""
    scale = len(image) / 128
    line = edges(image, 1.6 * scale)
    return (1 - line) * (0.82 * PAPER + 0.18 * vivid(image)) + line * vivid(image) * 0.72


def watercolour(image: Array, dice: np.random.Generator) -> Array:
    """Thin paint on rough paper: it runs, gathers at its edges and lets the paper through."""
    scale = len(image) / 128
    wet = blurred(image, 0.9 * scale)
    rows, columns = np.indices(image.shape[:2])
    shift = [((noise(image.shape, 12, dice)[..., 0] - 0.5) * 4 * scale).round().astype(int) for _ in range(2)]
    wet = wet[np.clip(rows + shift[0], 0, len(image) - 1), np.clip(columns + shift[1], 0, len(image) - 1)]
    thin = 0.16 + 0.20 * noise(image.shape, 7, dice) + 0.06 * noise(image.shape, 64, dice)
    paint = (1 - thin) * vivid(wet, 1.35) + thin * PAPER
    return np.clip(paint - 0.22 * edges(wet, 2 * scale), 0, 1)


def pixel_art(image: Array, dice: np.random.Generator) -> Array:
    """Squares, 32 along each side, of eight shades of red, green and blue each."""
    pixels = Image.fromarray((vivid(image, 1.15) * 255).astype(np.uint8))
    small = np.asarray(pixels.resize((32, 32), Image.Resampling.BOX), np.float32) / 255
    few = Image.fromarray((np.round(small * 7) / 7 * 255).round().astype(np.uint8))
    return np.asarray(few.resize(image.shape[1::-1], Image.Resampling.NEAREST), np.float32) / 255


def woodcut(image: Array, dice: np.random.Generator) -> Array:
    """Flat colours printed under black lines, which are closer together where it is dark."""
    scale = len(image) / 128
    rows, columns = np.indices(image.shape[:2]) / scale
    wave = np.sin((rows + 0.35 * columns + 5 * noise(image.shape, 5, dice)[..., 0]) * 2 * np.pi / 4.5)[..., None]
    light = blurred(image, scale).mean(-1, keepdims=True)
    cut = 1 / (1 + np.exp(-6 * (wave - 2.6 * light + 0.75)))        # 1 where the wood stood and was inked
    ink = np.maximum(cut, np.clip(1.5 * edges(image, 1.6 * scale), 0, 1))
    flat = np.round(vivid(image, 1.3) * 4) / 4 * 0.85 + 0.15 * PAPER
    return (1 - ink) * flat + ink * np.array([0.12, 0.09, 0.08], np.float32)


def neon(image: Array, dice: np.random.Generator) -> Array:
    """Glowing tubes along the edges, at night."""
    scale = len(image) / 128
    line = edges(image, 1.3 * scale)
    bright = vivid(image / np.maximum(image.max(-1, keepdims=True), 0.25), 1.8)
    tube = line * bright
    glow = blurred(np.clip(tube, 0, 1), 4 * scale) * 1.3 + blurred(np.clip(tube, 0, 1), 1.5 * scale)
    return np.clip(0.10 * image + glow + tube + 0.35 * line**3, 0, 1)


STYLES: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "outline": outline, "watercolour": watercolour, "pixel art": pixel_art, "woodcut": woodcut, "neon": neon
}


def style_called(name: str) -> str:
    """The style that is written so, or as a file's name: "pixel-art" is "pixel art". Raises ValueError when there is none."""
    style = name.strip().lower().replace("-", " ")
    if style not in STYLES:
        raise ValueError(f"There is no style {name!r}: choose from {', '.join(map(file_name, STYLES))}.")
    return style


def file_name(style: str) -> str:
    """A style's name where there may be no space: in files, and in the zoo."""
    return style.replace(" ", "-")


def restyled(image: NDArray[np.uint8], style: str, seed: int) -> NDArray[np.uint8]:
    """A flat image (H, W, 3) in a style, a name in STYLES. seed: of its grain; the same one gives the same image."""
    made = STYLES[style](image.astype(np.float32) / 255, np.random.default_rng(seed))
    return (np.clip(made, 0, 1) * 255).round().astype(np.uint8)
