"""Sizes around one area, so that pictures of all shapes can be learnt from in batches with little cut off (NovelAI 2022,
"Aspect ratio bucketing"; `make_bucket_resolutions` of kohya-ss/sd-scripts gives the same table for a tolerance of 0)."""

from __future__ import annotations

import math

from PIL import Image, ImageOps

Size = tuple[int, int]
"""Width and height in pixels."""


def bucket_sizes(area: Size, sides: Size | None = None, step: int = 64, tolerance: float = 0.1) -> list[Size]:
    """Sizes whose sides are multiples of `step`, within `sides`, by width: for each width the greatest height that keeps the
    area at most (1 + tolerance) times as large, and the same turned round.

    area: a size that has it, (512, 512). sides: the least and the greatest; half and twice the area's root when not given. With
    a tolerance, sizes whose area is less than (1 - tolerance) of it are left out. With 10 % there are 640 x 448 and 448 x 640,
    which have 9.4 % more pixels than 512 x 512. Raises ValueError when there is no size."""
    whole = area[0] * area[1]
    most = whole * (1 + tolerance)
    low, high = sides or (math.isqrt(whole) // 2, 2 * math.isqrt(whole))
    low = -(-low // step) * step
    square = int(math.sqrt(most) // step) * step
    found = {(square, square)} if low <= square <= high else set()
    for width in range(low, high + 1, step):
        height = min(high, int(most // width)) // step * step
        if height >= low and (not tolerance or width * height >= (1 - tolerance) * whole):
            found |= {(width, height), (height, width)}
    if not found:
        raise ValueError(f"There is no size around {area[0]}x{area[1]} with sides from {low} to {high} in steps of {step}: "
                         f"choose another --area, --sides or --step.")  # fmt: skip
    return sorted(found)


def nearest(size: Size, buckets: list[Size]) -> Size:
    """The bucket whose aspect ratio is nearest, by the ratio of the ratios; of equally near ones the largest."""
    ratio = math.log(size[0] / size[1])
    return min(buckets, key=lambda one: (round(abs(math.log(one[0] / one[1]) - ratio), 9), -one[0] * one[1], one))


def covers(size: Size, bucket: Size) -> bool:
    """Whether a picture needn't be blown up to fill a bucket."""
    return size[0] >= bucket[0] and size[1] >= bucket[1]


def fitted(image: Image.Image, bucket: Size, cut: bool = True) -> Image.Image:
    """The picture, made smaller until it just covers the bucket (Lanczos, which averages what falls together), and its middle
    cut out, unless `cut` is False."""
    if cut:
        return image if image.size == bucket else ImageOps.fit(image, bucket, Image.Resampling.LANCZOS)
    return ImageOps.cover(image, bucket, Image.Resampling.LANCZOS)


def parsed(text: str) -> Size:
    """ "512x512" as (512, 512). Raises ValueError for anything else."""
    width, cross, height = text.lower().partition("x")
    if not cross or not (width.isascii() and width.isdigit() and height.isascii() and height.isdigit()):
        raise ValueError(f"--area must be a size such as 512x512, not {text!r}.")
    size = int(width), int(height)
    if not all(16 <= side <= 8192 for side in size):
        raise ValueError(f"--area must have sides from 16 to 8192 pixels, not {text}.")
    return size
