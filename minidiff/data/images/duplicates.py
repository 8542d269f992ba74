"""Images that show the same: the same bytes, or nearly the same pixels after another encoding, a new size or a small shift.

An image's fingerprint is a small thumbnail in colour, so an orange book isn't taken for a green one. Images whose fingerprints
are about alike are laid upon each other as well as a shift and a stretch allow (Lucas and Kanade 1981); what still differs then
tells two photographs of one garment from one photograph that was saved twice. What it is not: the other filters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

SIDE = 32  # pixels of a fingerprint
COARSE = 8  # pixels of what is compared first
ALIKE = 12.0  # levels of 255: more than a shift by 2 % changes in the coarse fingerprint
ROUNDS = 3
BORDER = 3  # pixels at the edges, where a shift brings in what isn't there


def fingerprint(image: Image.Image) -> NDArray[np.uint8]:
    """A thumbnail (SIDE, SIDE, 3) of an RGB image, stretched to a square and slightly blurred."""
    small = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(small.filter(ImageFilter.GaussianBlur(1)))


def pairs_alike(fingerprints: NDArray[np.uint8], block: int = 1024) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of fingerprints (N, SIDE, SIDE, 3) whose coarse versions differ by less than ALIKE."""
    n, step = len(fingerprints), SIDE // COARSE
    coarse = fingerprints.reshape(n, COARSE, step, COARSE, step, 3).mean((2, 4)).reshape(n, -1).astype(np.float32)
    length, found = (coarse**2).sum(1), []
    for start in range(0, n, block):
        rows = coarse[start : start + block]
        squares = length[start : start + block, None] + length - 2 * rows @ coarse.T
        i, j = np.nonzero(squares < ALIKE**2 * coarse.shape[1])
        found += [(int(a), int(b)) for a, b in zip(i + start, j, strict=True) if a < b]
    return found


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """How much two fingerprints differ, in levels of 255 (root of the mean square), once the first is shifted, stretched and
    brightened to fit the second as well as possible."""
    target, image = np.asarray(other, np.float32), Image.fromarray(one)
    x = ((np.arange(SIDE, dtype=np.float32) + 0.5) * 2 / SIDE - 1)[None, :, None]
    y = x.transpose(1, 0, 2)
    inner = (slice(BORDER, -BORDER),) * 2
    stretch, shift = np.ones(2), np.zeros(2)
    least = np.inf
    for _ in range(ROUNDS):
        (a, d), (c, f) = stretch, SIDE / 2 * (1 - stretch + shift)
        moved = image.transform((SIDE, SIDE), Image.Transform.AFFINE, (a, 0, c, 0, d, f), Image.Resampling.BICUBIC)
        pixels: NDArray[Any] = np.asarray(moved, np.float32)
        error = (target - pixels)[inner]
        least = min(least, float((error - error.mean((0, 1))).std()))
        down, right = np.gradient(pixels, 2 / SIDE, axis=(0, 1))
        ways = [x * right, y * down, right, down, np.ones_like(right)]
        columns = np.stack([way[inner].ravel() for way in ways], axis=1)
        step, *_ = np.linalg.lstsq(columns, error.ravel(), rcond=None)
        stretch, shift = stretch + step[:2], shift + step[2:4]
    return least


def repeated(fingerprints: Sequence[NDArray[np.uint8]], limit: float) -> dict[int, int]:
    """{number of an image: the earlier one that it repeats}, for fingerprints in the order in which they are to be kept."""
    found: dict[int, int] = {}
    if len(fingerprints) < 2 or not limit:
        return found
    for i, j in sorted(pairs_alike(np.stack(fingerprints))):
        if i not in found and j not in found and difference(fingerprints[i], fingerprints[j]) < limit:
            found[j] = i
    return found
