"""Masks of pictures: white is repainted, black is kept to the bit.

Not here: the repainting (inpaint.py) and the picture's form (pictures.py).
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from minidiff.pipelines.messages import say
from minidiff.pipelines.pictures import Window
from minidiff.pipelines.request import RequestError

Hole = NDArray[np.bool_]  # (H, W), True where the picture is repainted
UNSURE = (64, 191)  # grey that a brush or a compressed file doesn't leave at an edge


def read_hole(mask: Image.Image, picture: Image.Image) -> Hole:
    """What a mask says shall be repainted: (H, W), True where it is lighter than half. Transparent is black. Warns of grey.
    Raises RequestError for a mask of another size than the picture, and for one that is black everywhere."""
    if mask.size != picture.size:
        size = {"width": mask.width, "height": mask.height, "wide": picture.width, "high": picture.height}
        raise RequestError("mask_size", **size)
    flat = Image.new("RGBA", mask.size, "black")
    flat.alpha_composite(mask.convert("RGBA"))
    values = np.asarray(flat.convert("L"))
    hole = values >= 128
    if not hole.any():
        raise RequestError("mask_black")
    if ((values >= UNSURE[0]) & (values <= UNSURE[1])).sum() > 0.1 * hole.sum():
        warnings.warn(say("mask_grey", "en"), stacklevel=2)
    return hole


def soft_edge(hole: Hole, width: int) -> NDArray[np.float32]:
    """How much of the new picture is seen: 0 outside of the hole, and inside rising to 1 over `width` pixels; where the hole is
    too thin for that, it is 1 along its middle. At the picture's own edge nothing is soft. (H, W)."""
    outside = torch.from_numpy(1 - hole.astype(np.float32))[None]  # (1, H, W)
    depth = torch.zeros_like(outside)
    for _ in range(width + 1):
        depth += 1 - outside
        outside = F.max_pool2d(outside, 3, stride=1, padding=1)
    deepest = F.max_pool2d(F.max_pool2d(depth, (2 * width + 1, 1), 1, (width, 0)), (1, 2 * width + 1), 1, (0, width))
    return (depth / deepest.clamp(min=1))[0].numpy()


def around(hole: Hole, size: int) -> Window:
    """The square round a hole with half as much again, which a model sees instead of the whole picture; not smaller than what
    the model draws, and not larger than the picture."""
    rows, columns = (np.flatnonzero(hole.any(axis=axis)) for axis in (1, 0))
    extent = max(np.ptp(rows), np.ptp(columns)) + 1
    side = min(max(int(1.5 * extent), size), max(hole.shape))
    top, left = (_begin(places, side, length) for places, length in zip((rows, columns), hole.shape, strict=True))
    return Window(left, top, side, size)


def _begin(places: NDArray[np.int64], side: int, length: int) -> int:
    """Where `side` pixels begin that have these places in their middle, and lie within `length` as far as they can."""
    if side >= length:
        return -((side - length) // 2)
    return int(np.clip((places[0] + places[-1] + 1 - side) // 2, 0, length - side))


def blend(picture: Image.Image, image: Image.Image, hole: Hole, share: NDArray[np.float32]) -> Image.Image:
    """`image` in the hole, by its share, and the picture outside: there every bit is the picture's."""
    before, after = np.asarray(picture), np.asarray(image)
    mixed = before + share[..., None] * (after.astype(np.float32) - before)
    return Image.fromarray(np.where(hole[..., None], mixed.round().astype(np.uint8), before))
