"""A part of a square image, in pixels: what is drawn in it, and what of a smooth field belongs to it. It saves the time for
pixels where nothing is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from minidiff.data.fashion.cutting import Points

Array = NDArray[Any]
GRID = 192  # smooth fields, such as light, are worked out on a grid of so many cells, whatever the size of the image


@dataclass(frozen=True)
class Window:
    """A part of a square image of `size` pixels, from the pixel (left, top) up to the pixel (right, bottom)."""

    size: int
    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def whole(cls, size: int) -> Window:
        return cls(size, 0, 0, size, size)

    @classmethod
    def around(cls, points: Points, size: int, margin: float = 0.05) -> Window:
        """The window round points; the margin is in halves of the image's width."""
        low = np.floor((points.min(0) - margin + 1) * size / 2).clip(0, size - 1).astype(int).tolist()
        high = np.ceil((points.max(0) + margin + 1) * size / 2).clip(1, size).astype(int).tolist()
        return cls(size, *low, *high)

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def places(self) -> tuple[Array, Array]:
        """x (1, W) and y (H, 1) of the pixels, in halves of the image's width."""
        x, y = (
            (np.arange(a, b, dtype=np.float32) + 0.5) * 2 / self.size - 1
            for a, b in ((self.left, self.right), (self.top, self.bottom))
        )
        return x[None], y[:, None]

    def canvas(self) -> tuple[Image.Image, int]:
        """An empty canvas, drawn larger than the window, and how much larger."""
        fine = 3 if self.size <= 192 else 2
        return Image.new("L", ((self.right - self.left) * fine, (self.bottom - self.top) * fine)), fine

    def on_canvas(self, points: Points, fine: int) -> list[float]:
        """Points as ImageDraw takes them for such a canvas."""
        return (((points + 1) * self.size / 2 - (self.left, self.top)) * fine - 0.5).ravel().tolist()

    def filled(self, outline: Points) -> Array:
        """How much of each pixel lies inside an outline, (H, W), 0 to 1."""
        canvas, fine = self.canvas()
        ImageDraw.Draw(canvas).polygon(self.on_canvas(outline, fine), fill=255)
        return np.asarray(canvas.reduce(fine), np.float32) / 255

    def enlarged(self, field: Array) -> Array:
        """The window's part (H, W) of a smooth field (GRID, GRID) of the whole image."""
        share = GRID / self.size
        box = (share * self.left, share * self.top, share * self.right, share * self.bottom)
        size = (self.right - self.left, self.bottom - self.top)
        return np.asarray(Image.fromarray(field).resize(size, Image.Resampling.BICUBIC, box))
