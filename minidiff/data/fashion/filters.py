"""Whether an image with its captions is fit to learn from, and if not, why: readable, in a known format, in colour, large
enough, not too long, sharp, with a caption that says something.

`inspect` looks at one file; the first reason counts. What it is not: the search for duplicates (duplicates.py).
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps, UnidentifiedImageError

from minidiff.data.fashion.duplicates import fingerprint
from minidiff.utils.validation import Between, one_line

# Reasons, in the order in which they are looked for.
MISSING, CAPTION, UNREADABLE, FORMAT = "missing", "caption", "unreadable", "format"
SMALL, ASPECT, GREY, BLURRED = "too small", "aspect", "grey", "blurred"
DUPLICATE, NEAR, NOT_CHOSEN = "duplicate", "near duplicate", "not chosen"
REASONS = (MISSING, CAPTION, UNREADABLE, FORMAT, SMALL, ASPECT, GREY, BLURRED, DUPLICATE, NEAR, NOT_CHOSEN)

SHARPNESS_SIDE = 256  # sharpness is measured at this length of the shorter side, so that large images have no advantage
GREY_SPREAD = 4  # of 255; what JPEG adds to grey images, and less than the faintest tint of a backdrop
SUFFIXES = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",), "WEBP": (".webp",), "BMP": (".bmp",)}


@dataclass
class Limits:
    """What an image and its captions must have; 0 switches a limit off."""

    min_size: Annotated[int, Between(0)] = 256
    """Pixels of the shorter side, at least."""
    min_characters: Annotated[int, Between(0)] = 10
    """Characters of a caption, at least."""
    max_aspect: Annotated[float, Between(0)] = 2.0
    """The longer side over the shorter one, at most."""
    min_sharpness: Annotated[float, Between(0)] = 6.0
    """Sharpness, at least: about 1.5 for a blurred image, 20 and more for a sharp one."""
    near: Annotated[float, Between(0, 50)] = 2.0
    """Images that differ by less than this, in levels of 255, when one is laid upon the other, are near duplicates."""
    duplicates: bool = True
    """Refuse files that are equal, byte for byte."""
    grey: Literal["refuse", "convert"] = "refuse"
    """What to do with images without colour."""
    formats: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "BMP")
    """Formats that are read, whatever the file is called."""


@dataclass
class Seen:
    """What is known of an image. reason: one of REASONS, "" when nothing speaks against it; detail: a figure or a word for it;
    captions: those that are long enough; width and height as it is looked at; mended: what had to be converted."""

    path: Path
    captions: tuple[str, ...] = ()
    reason: str = ""
    detail: str = ""
    width: int = 0
    height: int = 0
    sharpness: float = 0.0
    digest: str = ""
    mended: tuple[str, ...] = ()
    fingerprint: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0, 3), np.uint8), repr=False)


def inspect(path: Path, captions: tuple[str, ...], limits: Limits) -> Seen:
    """Everything that can be said of one image by itself. Never raises for what the file holds."""
    told = tuple(caption for caption in captions if len(caption) >= limits.min_characters)
    seen = Seen(path, told)
    if not told:
        seen.reason, seen.detail = CAPTION, repr(max(captions, key=len)) if captions else "none"
        return seen
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as opened:
            seen.width, seen.height = opened.size
            kind = "JPEG" if opened.format == "MPO" else opened.format  # as some cameras save JPEG, with a preview behind it
            if kind not in limits.formats:
                seen.reason, seen.detail = FORMAT, str(opened.format)
                return seen
            colour, seen.mended = to_rgb(opened, path.suffix.lower())
    except Exception as error:  # PIL has many ways to fail on damaged files
        unknown = isinstance(error, UnidentifiedImageError)
        seen.reason, seen.detail = UNREADABLE, "no image" if unknown else one_line(error, 80)
        return seen
    seen.width, seen.height = colour.size
    seen.digest = hashlib.sha256(content).hexdigest()
    seen.fingerprint = fingerprint(colour)
    seen.sharpness = sharpness(colour)
    short, long = sorted(colour.size)
    if short < limits.min_size:
        seen.reason, seen.detail = SMALL, f"{seen.width} x {seen.height}"
    elif limits.max_aspect and long > limits.max_aspect * short:
        seen.reason, seen.detail = ASPECT, f"{seen.width} x {seen.height}"
    elif limits.grey == "refuse" and is_grey(seen.fingerprint):
        seen.reason, seen.detail = GREY, "no colour"
    elif seen.sharpness < limits.min_sharpness:
        seen.reason, seen.detail = BLURRED, f"sharpness {seen.sharpness:.1f}"
    return seen


def load_rgb(path: Path) -> Image.Image:
    """An image as RGB, turned as its camera says, whatever its channels are. Raises what PIL raises."""
    with Image.open(path) as opened:
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
