"""Outpainting: a picture goes on beyond its edges. The canvas is enlarged, and the new part is inpainted.

    canvas, mask = enlarged(picture, left=64, right=64)
    images = inpaint(pipeline, canvas, mask, pipeline.request("a cat in a room"))
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from minidiff.pipelines.pictures import MOST_SIDE, check_size, rgb
from minidiff.pipelines.request import RequestError, whole_number

MOST_ASPECT = 4.0


def enlarged(
    picture: Image.Image, left: int = 0, top: int = 0, right: int = 0, bottom: int = 0
) -> tuple[Image.Image, Image.Image]:
    """The picture on a canvas with that many more pixels on each side, where its edges are repeated, and the mask of what is
    new. Raises RequestError for what is no number of pixels, for 0 on all sides, and for a canvas that is too large."""
    sides = [whole_number(side, "margin", 0, MOST_SIDE) for side in (left, top, right, bottom)]
    if not any(sides):
        raise RequestError("margin_none")
    margins = ((sides[1], sides[3]), (sides[0], sides[2]))
    picture = rgb(picture)
    check_size((picture.width + sum(margins[1]), picture.height + sum(margins[0])))
    canvas = np.pad(np.asarray(picture), (*margins, (0, 0)), mode="edge")
    new = np.pad(np.zeros((picture.height, picture.width), np.uint8), margins, constant_values=255)
    return Image.fromarray(canvas), Image.fromarray(new)


def sides_for(picture: Image.Image, aspect: str) -> dict[str, int]:
    """How many pixels `enlarged` has to add, half on either side, for an aspect such as "16:9". Raises RequestError for what is
    no aspect and for one beyond 4:1."""
    try:
        wide, high = (float(part) for part in aspect.split(":"))
        ratio = wide / high
    except (ValueError, ZeroDivisionError):
        ratio = math.nan
    if not 1 / MOST_ASPECT <= ratio <= MOST_ASPECT:
        raise RequestError("aspect", given=repr(aspect), most=f"{MOST_ASPECT:g}")
    across = max(0, round(picture.height * ratio) - picture.width)
    along = 0 if across else max(0, round(picture.width / ratio) - picture.height)
    return {"left": across // 2, "right": across - across // 2, "top": along // 2, "bottom": along - along // 2}
