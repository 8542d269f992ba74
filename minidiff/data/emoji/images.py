"""Emoji as images: a `Sprite` of one of four styles at any size, and its place on a plain or drawn backdrop.

What it is not: a reader of names (`concepts`). Vector styles are drawn by resvg at the size asked for, so nothing is blurred.
"""

from __future__ import annotations

import io
import json
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from minidiff.data.emoji.concepts import code_of
from minidiff.data.emoji.packages import FLUENT_3D, FLUENT_FLAT, NOTO, TWEMOJI, EmojiError
from minidiff.data.npm import members
from minidiff.data.world.backdrops import SETTINGS

PLAIN = "plain"
DRAWN = tuple(name for name in SETTINGS if name != PLAIN)


def draw_svg(svg: str, size: int) -> Image.Image:
    """An SVG as an RGBA image of `size` pixels to a side. Raises EmojiError without resvg."""
    try:
        import resvg_py
    except ImportError:
        raise EmojiError("Drawing emoji needs resvg: install it with pip install 'minidiff[emoji]'.") from None
    png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


class Style(ABC):
    """All emoji of one style, read from a tarball."""

    codes: set[str]

    @abstractmethod
    def sprite(self, code: str, size: int) -> Image.Image:
        """The emoji as an RGBA image of `size` pixels to a side."""


class SVGFiles(Style):
    """A package with one SVG for each emoji (Twemoji)."""

    def __init__(self, tarball: Path) -> None:
        self.files = {code_of(n.removesuffix(".svg")): c for n, c in members(tarball).items() if n.endswith(".svg")}
        self.codes = set(self.files)

    def sprite(self, code: str, size: int) -> Image.Image:
        return draw_svg(self.files[code].decode(), size)


class IconSet(Style):
    """A package of Iconify: all bodies in icons.json, and the codepoints of their names in chars.json (Noto, Fluent flat)."""

    def __init__(self, tarball: Path) -> None:
        files = members(tarball, "icons.json", "chars.json")
        self.icons: dict[str, Any] = json.loads(files["icons.json"])
        self.names = {code_of(chars): name for chars, name in json.loads(files["chars.json"]).items()}
        self.codes = {code for code, name in self.names.items() if name in self.icons["icons"]}

    def sprite(self, code: str, size: int) -> Image.Image:
        icon = self.icons["icons"][self.names[code]]
        width, height = (icon.get(side, self.icons.get(side, 16)) for side in ("width", "height"))
        box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
        head = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box}">'
        return draw_svg(f"{head}{icon['body']}</svg>", size)


class PixelFiles(Style):
    """A package with one image for each emoji (Fluent 3D, 256 pixels)."""

    def __init__(self, tarball: Path) -> None:
        found = members(tarball, "assets/").items()
        self.files = {code_of(Path(name).stem): content for name, content in found if name.endswith((".webp", ".png"))}
        self.codes = set(self.files)

    def sprite(self, code: str, size: int) -> Image.Image:
        image = Image.open(io.BytesIO(self.files[code])).convert("RGBA")
        return image.resize((size, size), Image.Resampling.LANCZOS)


def read_styles(tarballs: Mapping[str, Path]) -> dict[str, Style]:
    """{name of the style: its emoji}. `tarballs`: name of a package to its file."""
    return {
        "twemoji": SVGFiles(tarballs[TWEMOJI.name]),
        "noto": IconSet(tarballs[NOTO.name]),
        "flat": IconSet(tarballs[FLUENT_FLAT.name]),
        "3d": PixelFiles(tarballs[FLUENT_3D.name]),
    }


def compose(
    style: Style, code: str, backdrop: str, rng: random.Random, size: int = 128
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An emoji on a backdrop: the image (size, size, 3) uint8 and how much of each pixel it covers, (size, size) uint8.

    On the plain backdrop it fills most of the image; on a drawn one it is smaller and stands anywhere."""
    canvas = SETTINGS[backdrop](size * 2, rng).reduce(2)
    side = round(size * (rng.uniform(0.78, 0.92) if backdrop == PLAIN else rng.uniform(0.45, 0.8)))
    swing = 0.15 if backdrop == PLAIN else 1.0
    left, top = (round((size - side) / 2 * (1 + rng.uniform(-swing, swing))) for _ in range(2))
    sprite = style.sprite(code, side)
    canvas.paste(sprite, (left, top), sprite)
    covered = Image.new("L", (size, size))
    covered.paste(sprite.getchannel("A"), (left, top))
    return np.asarray(canvas.convert("RGB")), np.asarray(covered)
