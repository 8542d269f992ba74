"""Emoji as `minidiff prepare emoji` leaves them, but small: one square for each, whose colour tells the concept."""

from __future__ import annotations

import colorsys
import json
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

STYLES = ("twemoji", "noto", "flat", "3d")
SIDE = 32
CODES = tuple(f"1f3{number:02x}" for number in range(0x30, 0x44))  # some of each part, and of both splits


def write_tiny_emoji(folder: Path, codes: tuple[str, ...] = CODES) -> Path:
    """Each concept in four styles, once on the plain backdrop and once on a drawn one. Styles differ in the square's height."""
    for split in ("train", "test"):
        lines = []
        for number, code in enumerate(codes):
            if (split == "test") == (zlib.crc32(code.encode()) % 10 == 0):
                lines += [line(folder / split, code, number / len(codes), style, drawn) for style in STYLES for drawn in (0, 1)]
        (folder / split).mkdir(parents=True, exist_ok=True)
        (folder / split / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def line(folder: Path, code: str, hue: float, style: str, drawn: int) -> str:
    """Draws one emoji and its mask; returns its line of metadata."""
    name = f"{style}/{code}-{('plain', 'drawn')[drawn]}.png"
    image = np.full((SIDE, SIDE, 3), 190 + zlib.crc32(name.encode()) % 40, np.uint8)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[6 : 18 + 2 * STYLES.index(style), 6:26] = 255
    image[mask > 0] = [round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.9, 0.8)]
    for kind, array in (("images", image), ("masks", mask)):
        (folder / kind / style).mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(folder / kind / name)
    words = {"name": f"thing {code}", "name_vi": f"vật {code}", "keywords": ["star", code], "keywords_vi": ["ngôi sao", code]}
    place = {"code": code, "base": code, "group": "objects", "style": style, "backdrop": ("plain", "sea")[drawn]}
    row = {"file_name": f"images/{name}", "text": f"a {code}", "text_vi": f"vật {code}", **words, **place}
    return json.dumps(row, ensure_ascii=False) + "\n"
