"""Which emoji in which styles a model is shown, and which it has to make up: a `Pair` is a concept in a style.

One pair in ten is never shown, though its concept is in the other styles and its style with other concepts. Its true image
exists, so what a model makes of it can be measured. What it is not: `Concept.split`, which keeps whole concepts from the VAE
and from CLIP.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minidiff.data.emoji import captions
from minidiff.data.emoji.images import PLAIN
from minidiff.data.emoji.packages import EmojiError
from minidiff.data.emoji.prepare import SPLITS, read_prepared

STYLES = tuple(captions.STYLES_EN)


@dataclass(frozen=True)
class View:
    """An image of a pair, and the mask that says how much of each pixel the emoji covers."""

    backdrop: str
    image: Path
    mask: Path


@dataclass(frozen=True)
class Pair:
    """A concept in a style, see `Concept`. views: on the plain backdrop, then on others. in_towers: whether its concept is one
    that the VAE and CLIP may learn."""

    code: str
    base: str
    style: str
    names: dict[str, str]
    keywords: dict[str, tuple[str, ...]]
    in_towers: bool
    views: list[View] = field(default_factory=list)

    @property
    def part(self) -> str:
        """ "shown", or for one pair in ten "validation", by which a training may choose, or "unseen", on which it is measured;
        by a hash that never changes. Emoji that look alike are in one part. A concept is missing in one style at most."""
        number = zlib.crc32(self.base.encode()) // 10  # its last digit is what `Concept.split` goes by
        if number % 10 != STYLES.index(self.style):
            return "shown"
        return "validation" if number // 10 % 5 == 0 else "unseen"

    def prompt(self, lang: str) -> str:
        """ "a red apple, flat style", in "en" or "vi"."""
        return captions.prompt(self.names[lang], self.style, lang)

    def caption(self, view: View, lang: str, rng: random.Random) -> str:
        """A caption to learn from, in one of the drawn world's LANGS."""
        spelt = "en" if lang == "en" else "vi"
        return captions.varied(self.names[spelt], self.keywords[spelt], self.style, view.backdrop, lang, rng)


def read_pairs(folder: Path) -> list[Pair]:
    """All pairs of a folder that `minidiff prepare emoji` wrote, in its order. Raises EmojiError if it hasn't, or only an older
    version that wrote no keywords."""
    if not (folder / SPLITS[0] / "metadata.jsonl").exists():
        raise EmojiError(f"There are no emoji in {folder}: run `minidiff prepare emoji --out {folder}` first.")
    pairs: dict[tuple[str, str], Pair] = {}
    for split in SPLITS:
        for row, image, mask in read_prepared(folder, split):
            pair = pairs.setdefault((row["code"], row["style"]), _pair(row, split == "train", folder))
            pair.views.append(View(row["backdrop"], image, mask))
    for pair in pairs.values():
        pair.views.sort(key=lambda view: view.backdrop != PLAIN)
    return list(pairs.values())


def _pair(row: dict[str, Any], in_towers: bool, folder: Path) -> Pair:
    if "keywords" not in row:
        raise EmojiError(f"The emoji in {folder} have no keywords: run `minidiff prepare emoji --out {folder}` again; it adds "
                         "them, and draws nothing anew.")  # fmt: skip
    names = {"en": row["name"], "vi": row["name_vi"]}
    keywords = {"en": tuple(row["keywords"]), "vi": tuple(row["keywords_vi"])}
    return Pair(row["code"], row["base"], row["style"], names, keywords, in_towers)


def some(pairs: Sequence[Pair], part: str, count: int) -> list[Pair]:
    """`count` pairs of a part, or as many as there are: always the same ones, spread over concepts and styles."""
    found = [pair for pair in pairs if pair.part == part]
    return sorted(found, key=lambda pair: zlib.crc32(f"{pair.style}/{pair.code}".encode()))[:count]
