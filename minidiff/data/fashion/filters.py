"""Whether an image with its captions is fit to learn from, and if not, why: readable, in a known format, in colour, large
enough, not too long, sharp, with a caption that says something.

`inspect` looks at one file; the first reason counts. What it is not: the measurements (data/images/pixels.py), or the search
for duplicates (data/images/duplicates.py).
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from minidiff.data.images.duplicates import fingerprint
from minidiff.data.images.pixels import SUFFIXES as SUFFIXES_OF
from minidiff.data.images.pixels import is_grey, sharpness, to_rgb
from minidiff.data.images.pixels import load_rgb as load_rgb  # lesson 15 takes it from here
from minidiff.utils.validation import Between, one_line

# Reasons, in the order in which they are looked for.
MISSING, CAPTION, UNREADABLE, FORMAT = "missing", "caption", "unreadable", "format"
SMALL, ASPECT, GREY, BLURRED = "too small", "aspect", "grey", "blurred"
DUPLICATE, NEAR, NOT_CHOSEN = "duplicate", "near duplicate", "not chosen"
REASONS = (MISSING, CAPTION, UNREADABLE, FORMAT, SMALL, ASPECT, GREY, BLURRED, DUPLICATE, NEAR, NOT_CHOSEN)

SUFFIXES = {name: SUFFIXES_OF[name] for name in ("JPEG", "PNG", "WEBP", "BMP")}


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
