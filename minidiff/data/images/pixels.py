"""A picture's file to its pixels, and what is measured of them: whatever the channels, upright, on white, as RGB.

What it is not: a decision (fashion/filters.py, looking.py), or the search for duplicates (duplicates.py).
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps, UnidentifiedImageError

from minidiff.utils.validation import one_line

SHARPNESS_SIDE = 256  # sharpness is measured at this length of the shorter side, so that large images have no advantage
GREY_SPREAD = 4  # of 255; what JPEG adds to grey images, and less than the faintest tint of a backdrop
MOST_PIXELS = 89_478_485  # above this Pillow, too, thinks of a decompression bomb
SUFFIXES = {"JPEG": (".jpg", ".jpeg"), "MPO": (".jpg", ".jpeg"), "PNG": (".png",), "WEBP": (".webp",), "BMP": (".bmp",),
            "GIF": (".gif",), "TIFF": (".tif", ".tiff")}  # fmt: skip


class UnfitError(ValueError):
    """A file that gives no picture. reason: in a word or two; detail: what was found."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def decoded(content: bytes, suffix: str = "") -> tuple[Image.Image, tuple[str, ...]]:
    """The picture in a file's bytes as RGB, and what had to be done for it, as `to_rgb`; of several frames the first.

    suffix: of the file's name, if it has one. Raises UnfitError for what is no picture, is cut off, or is a bomb."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata; a bomb is refused below
            with Image.open(io.BytesIO(content)) as opened:
                if opened.width * opened.height > MOST_PIXELS:
                    raise UnfitError("decompression bomb", f"{opened.width} x {opened.height}")
                moving = opened.format != "MPO" and getattr(opened, "is_animated", False)
                opened.seek(0)
                image, mended = to_rgb(opened, suffix)
                return image, (*mended, "animated") if moving else mended
    except UnfitError:
        raise
    except Image.DecompressionBombError as error:
        raise UnfitError("decompression bomb", one_line(error, 80)) from None
    except UnidentifiedImageError:
        raise UnfitError("unreadable", "no image" if content else "an empty file") from None
    except Exception as error:  # PIL has many ways to fail on damaged files
        raise UnfitError("unreadable", one_line(error, 80)) from None


def load_rgb(file: Path | BinaryIO) -> Image.Image:
    """An image as RGB, turned as its camera says, whatever its channels are. Raises what PIL raises."""
    with Image.open(file) as opened:
        return to_rgb(opened)[0]


def to_rgb(image: Image.Image, suffix: str = "") -> tuple[Image.Image, tuple[str, ...]]:
    """The image as RGB, and what had to be done for it: turned upright, put on white where it is transparent, its channels
    converted, 16 bits scaled to 8. suffix: of the file's name, which may belong to another format."""
    mended = []
    if suffix and suffix not in SUFFIXES.get(image.format or "", (suffix,)):
        mended.append("wrong extension")
    deep = image.mode.startswith(("I", "F"))
    if image.getexif().get(0x0112, 1) != 1:
        mended.append("turned")
    image = ImageOps.exif_transpose(image)
    if deep:
        mended.append("16 bits")
        image = Image.fromarray((np.asarray(image, np.float32) / 65535 * 255).clip(0, 255).round().astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        mended.append("transparency")
        layers = image.convert("RGBA")
        image = Image.new("RGBA", image.size, "white")
        image.alpha_composite(layers)
    elif image.mode not in ("RGB", "L"):
        mended.append(image.mode)
    return image.convert("RGB"), tuple(mended)


def is_grey(thumbnail: NDArray[np.uint8]) -> bool:
    """Whether hardly any pixel of a thumbnail (N, N, 3) has a colour."""
    return bool(np.percentile(np.ptp(thumbnail.astype(int), axis=2), 99) < GREY_SPREAD)


def sharpness(image: Image.Image) -> float:
    """The variance of the image's Laplacian over that of the same image, blurred by two pixels, at a size where its shorter
    side is SHARPNESS_SIDE.

    What is sharp loses by the blur, what is blurred already doesn't (Crete et al. 2007, "The blur effect"): so the ratio
    depends less on what the image shows than the variance by itself, which is low for plain cloth, however sharp it is."""
    scale = SHARPNESS_SIDE / min(image.size)
    size = (max(3, round(image.width * scale)), max(3, round(image.height * scale)))
    small = image.convert("L").resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC)
    before, after = laplacian_variance(small), laplacian_variance(small.filter(ImageFilter.GaussianBlur(2)))
    return before / (after + 1e-3)


def laplacian_variance(grey: Image.Image) -> float:
    """The variance of the Laplacian (4 neighbours) of a grey image."""
    g = np.asarray(grey, np.float32)
    return float((g[:-2, 1:-1] + g[2:, 1:-1] + g[1:-1, :-2] + g[1:-1, 2:] - 4 * g[1:-1, 1:-1]).var())
