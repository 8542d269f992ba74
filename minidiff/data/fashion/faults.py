"""The faults of collected image data, made on purpose: for each, how a good file becomes a bad one, and what a preparation
should do about it.

What it is not: the filters that find them (filters.py), the command that plants them (raw_data.py), or the count of what was
found (scores.py).
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from minidiff.data.fashion.filters import (
    ASPECT,
    BLURRED,
    CAPTION,
    DUPLICATE,
    FORMAT,
    GREY,
    MISSING,
    NEAR,
    SMALL,
    UNREADABLE,
)

MENDED = "mended"  # what a preparation should make of a file that is only strange


@dataclass
class Entry:
    """A file of a raw data set: its suffix, its bytes (None: it isn't there), and what is told of it."""

    suffix: str
    content: bytes | None
    captions: dict[str, str]
    told: bool = True


@dataclass(frozen=True)
class Fault:
    """expected: the reason for which the file should be refused, or MENDED. plant: changes an entry; it is given the RGB image
    and a random generator."""

    expected: str
    plant: Callable[[Entry, Image.Image, random.Random], None]


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """An image as a file of one of PIL's formats."""
    file = io.BytesIO()
    image.save(file, kind, **({"quality": 92} if kind in ("JPEG", "WEBP") else {}) | options)
    return file.getvalue()


def png_16_bits(image: Image.Image) -> bytes:
    """An RGB image as a PNG of 16 bits for each channel, which PIL reads but can't write (W3C, "PNG specification")."""
    deep = (np.asarray(image, np.uint16) * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    header = struct.pack(">IIBBBBB", image.width, image.height, 16, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = (struct.pack(">I", len(c)) + name + c + struct.pack(">I", zlib.crc32(name + c)) for name, c in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


# --- files that must be refused ------------------------------------------------------------------------------------------


def small(entry: Entry, image: Image.Image, rng: random.Random) -> None:
    side = rng.randrange(64, 240)
    entry.content = encoded(image.resize((side, side), Image.Resampling.LANCZOS))
    entry.suffix = ".jpg"


def truncated(entry: Entry, image: Image.Image, rng: random.Random) -> None:
    content = encoded(image)
    entry.content, entry.suffix = content[: int(len(content) * rng.uniform(0.1, 0.9))], ".jpg"


def no_image(entry: Entry, image: Image.Image, rng: random.Random) -> None:
    """A page that says that there is no image, or nothing at all."""
    entry.content, entry.suffix = rng.choice((b"<html><body>404 Not Found</body></html>\n", b"")), ".jpg"


def missing(entry: Entry, image: Image.Image, rng: random.Random) -> None:
    entry.content = None


def gif(entry: Entry, image: Image.Image, rng: random.Random) -> None:
    entry.content, entry.suffix = encoded(image, "GIF"), ".gif"


def grey(entry: Entry, image: Image.Image, rng: random.Random) -> None:
    """In one channel, in three equal ones, or in 16 bits."""
    plain = image.convert("L")
    kind = rng.randrange(3)
    if kind < 2:
        entry.content, entry.suffix = encoded(plain if kind else plain.convert("RGB")), ".jpg"
    else:
        entry.content = encoded(Image.fromarray(np.asarray(plain, np.uint16) * 257), "PNG")
        entry.suffix = ".png"


def empty_caption(entry: Entry, image: Image.Image, rng: random.Random) -> None:
    entry.captions = dict.fromkeys(entry.captions, "")


def short_caption(entry: Entry, image: Image.Image, rng: random.Random) -> None:
    entry.captions = {name: " ".join(text.split()[:2])[:8] for name, text in entry.captions.items()}


def no_caption(entry: Entry, image: Image.Image, rng: random.Random) -> None:
    entry.told = False


def blurred(entry: Entry, image: Image.Image, rng: random.Random) -> None:
    radius = image.width * rng.uniform(0.008, 0.02)
    entry.content, entry.suffix = encoded(image.filter(ImageFilter.GaussianBlur(radius))), ".jpg"


def banner(entry: Entry, image: Image.Image, rng: random.Random) -> None:
    """The garment three times in a row."""
    wide = Image.new("RGB", (3 * image.width, image.height))
    for k in range(3):
        wide.paste(ImageOps.mirror(image) if k == 1 else image, (k * image.width, 0))
    entry.content, entry.suffix = encoded(wide), ".jpg"


def duplicate(entry: Entry, image: Image.Image, rng: random.Random) -> None:
    """The same file under another name: the entry is a copy already."""


def encoded_again(entry: Entry, image: Image.Image, rng: random.Random) -> None:
    entry.content, entry.suffix = encoded(image, quality=rng.randrange(60, 85)), ".jpg"


def resized(entry: Entry, image: Image.Image, rng: random.Random) -> None:
    size = (image.width + rng.choice((-9, -6, -3, 3, 6)), image.height + rng.choice((-9, -6, -3, 3, 6)))
    entry.content, entry.suffix = encoded(image.resize(size, Image.Resampling.BICUBIC)), ".jpg"


def moved(entry: Entry, image: Image.Image, rng: random.Random) -> None:
    """Cut off by up to 2 % at each side."""
    left, top, right, bottom = (round(image.width * rng.uniform(0, 0.02)) for _ in range(4))
    entry.content = encoded(image.crop((left, top, image.width - right, image.height - bottom)))
    entry.suffix = ".jpg"


# --- files that are only strange -----------------------------------------------------------------------------------------


def transparent(entry: Entry, image: Image.Image, rng: random.Random) -> None:
    """With a see-through margin, which must not become black."""
    layers = image.convert("RGBA")
    margin = round(0.03 * image.width)
    mask = Image.new("L", image.size)
    mask.paste(255, (margin, margin, image.width - margin, image.height - margin))
    layers.putalpha(mask)
    clear = np.array(layers)
    clear[clear[..., 3] == 0] = 0
    entry.content, entry.suffix = encoded(Image.fromarray(clear), "PNG"), ".png"


def palette(entry: Entry, image: Image.Image, rng: random.Random) -> None:
    entry.content, entry.suffix = encoded(image.quantize(256, dither=Image.Dither.NONE), "PNG"), ".png"


def cmyk(entry: Entry, image: Image.Image, rng: random.Random) -> None:
    entry.content, entry.suffix = encoded(image.convert("CMYK")), ".jpg"


def deep(entry: Entry, image: Image.Image, rng: random.Random) -> None:
    entry.content, entry.suffix = png_16_bits(image), ".png"


def wrong_extension(entry: Entry, image: Image.Image, rng: random.Random) -> None:
    entry.content, entry.suffix = encoded(image, "PNG"), ".jpg"


def turned(entry: Entry, image: Image.Image, rng: random.Random) -> None:
    """Lying on its side, as a camera saves it, with a note of how to turn it."""
    note = Image.Exif()
    note[0x0112] = 6
    entry.content, entry.suffix = encoded(image.transpose(Image.Transpose.ROTATE_90), exif=note), ".jpg"


FAULTS: dict[str, Fault] = {
    "small": Fault(SMALL, small), "truncated": Fault(UNREADABLE, truncated), "no image": Fault(UNREADABLE, no_image),
    "missing": Fault(MISSING, missing), "gif": Fault(FORMAT, gif), "grey": Fault(GREY, grey),
    "empty caption": Fault(CAPTION, empty_caption), "short caption": Fault(CAPTION, short_caption),
    "no caption": Fault(CAPTION, no_caption), "blurred": Fault(BLURRED, blurred), "banner": Fault(ASPECT, banner),
    "duplicate": Fault(DUPLICATE, duplicate), "encoded again": Fault(NEAR, encoded_again), "resized": Fault(NEAR, resized),
    "moved": Fault(NEAR, moved), "transparent": Fault(MENDED, transparent), "palette": Fault(MENDED, palette),
    "cmyk": Fault(MENDED, cmyk), "16 bits": Fault(MENDED, deep), "wrong extension": Fault(MENDED, wrong_extension),
    "turned": Fault(MENDED, turned),
}  # fmt: skip
COPIES = ("duplicate", "encoded again", "resized", "moved")  # of a good file that is there, too
