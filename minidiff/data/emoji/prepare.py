"""`minidiff prepare emoji`: fetch, draw and caption emoji, and write them as a folder that image loaders know.

    out/train/metadata.jsonl   one line per image: file_name, text, text_vi and what the image shows
    out/train/images/flat/1f34e-plain.png, out/train/masks/flat/1f34e-plain.png, and the same under out/test
    out/LICENCES.md            who drew and named the emoji, and under which licence; the texts lie in out/licences

Each emoji appears twice in each style, once on the plain backdrop and once on a drawn one. A stopped call goes on where it was.
"""

from __future__ import annotations

import io
import json
import random
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from minidiff.data.emoji.captions import captions
from minidiff.data.emoji.concepts import Concept, read_concepts
from minidiff.data.emoji.images import DRAWN, PLAIN, Style, compose, read_styles
from minidiff.data.emoji.packages import PACKAGES, EmojiError
from minidiff.data.npm import Package, fetch, members
from minidiff.utils.files import write_whole

VERSION = 1  # of what is drawn; raise it when the same options would give other images
SPLITS = ("train", "test")


@dataclass
class PrepareEmoji:
    """Fetch emoji in four styles and write images with captions in English and Vietnamese (needs npm and resvg-py)."""

    out: Path = Path("data/emoji")
    """Folder for images, captions and licences."""
    size: int = 128
    """Pixels to a side, 32 to 512."""
    packages: Path | None = None
    """Folder where the npm tarballs lie or are put; out/packages when not given."""
    only: Literal["clothing"] | None = None
    """Only garments and what is worn with them, 47 emoji from "T-shirt" to "top hat"; all emoji when not given."""

    def __post_init__(self) -> None:
        """Raises EmojiError for a size that can't be drawn."""
        if not 32 <= self.size <= 512:
            raise EmojiError(f"--size must be from 32 to 512, not {self.size}.")


@dataclass(frozen=True)
class Item:
    """One image to draw: a concept in a style on a backdrop."""

    concept: Concept
    style: str
    backdrop: str

    @property
    def name(self) -> str:
        """Path inside images/ and masks/."""
        return f"{self.style}/{self.concept.code}-{'plain' if self.backdrop == PLAIN else 'drawn'}.png"

    @property
    def seed(self) -> int:
        """The seed of its place and backdrop; one emoji's styles get different ones."""
        return zlib.crc32(self.name.encode())


def items(concepts: list[Concept], styles: Mapping[str, Style]) -> list[Item]:
    """Every concept that all styles have, in each style, on the plain backdrop and on one of the drawn ones."""
    found = []
    for concept in concepts:
        if all(concept.code in style.codes for style in styles.values()):
            for style in styles:
                drawn = DRAWN[zlib.crc32(f"{style}/{concept.code}".encode()) % len(DRAWN)]
                found += [Item(concept, style, PLAIN), Item(concept, style, drawn)]
    return found


def png(image: NDArray[np.uint8]) -> bytes:
    """An image (H, W, 3) or (H, W) as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def draw_items(wanted: list[Item], styles: Mapping[str, Style], out: Path, size: int) -> None:
    """Write the image and the mask of every item that isn't there yet."""
    for item in tqdm(wanted, desc="drawing emoji", unit="image"):
        folder = out / item.concept.split
        image_path, mask_path = folder / "images" / item.name, folder / "masks" / item.name
        if image_path.exists() and mask_path.exists():
            continue
        image, mask = compose(styles[item.style], item.concept.code, item.backdrop, random.Random(item.seed), size)
        write_whole(mask_path, png(mask))
        write_whole(image_path, png(image))


def metadata(item: Item) -> dict[str, Any]:
    """An item's line in metadata.jsonl."""
    return {
        "file_name": f"images/{item.name}",
        **captions(item.concept.names, item.style, item.backdrop, random.Random(item.seed)),
        "name": item.concept.names["en"], "name_vi": item.concept.names["vi"],
        "keywords": item.concept.keywords.get("en", ()), "keywords_vi": item.concept.keywords.get("vi", ()),
        "code": item.concept.code,
        "base": item.concept.base, "group": item.concept.group, "style": item.style, "backdrop": item.backdrop,
    }  # fmt: skip


LICENCES_HEAD = """# Licences

The images and names here were made from these npm packages. Images were scaled and put on backdrops; nothing else was changed.

| package | made by | licence |
|---|---|---|
"""


def write_licences(tarballs: Mapping[str, Path], packages: tuple[Package, ...], out: Path) -> None:
    """LICENCES.md, and beside it the text of each licence that a package brings along."""
    rows = [f"| {p.name} {p.version} | {p.holder} | {p.licence} |\n" for p in packages]
    write_whole(out / "LICENCES.md", LICENCES_HEAD + "".join(rows))
    for package in packages:
        for text in members(tarballs[package.name], "LICENSE", "license").values():
            write_whole(out / "licences" / f"{package.tarball.removesuffix('.tgz')}.txt", text)


def claim_folder(config: PrepareEmoji) -> None:
    """Note in the output folder what it will hold. Raises EmojiError if it holds images made otherwise."""
    note = config.out / "prepared.json"
    now: dict[str, Any] = {"version": VERSION, "size": config.size}
    if config.only:
        now["only"] = config.only
    if note.exists() and json.loads(note.read_text(encoding="utf-8")) != now:
        raise EmojiError(
            f"{config.out} holds other emoji, or of another size or version: choose another --out or delete that folder."
        )
    write_whole(note, json.dumps(now))


def prepare(config: PrepareEmoji, pinned: tuple[Package, ...] = PACKAGES) -> None:
    """Fetch, draw and write. `pinned`: the packages to use, ours unless a test gives its own.

    Raises EmojiError: npm, resvg or the network is missing, a hash is wrong, or the folder holds something else."""
    claim_folder(config)
    folder = config.packages or config.out / "packages"
    bar = tqdm(pinned, desc="fetching packages", unit="package")
    tarballs = {package.name: fetch(package, folder) for package in bar}
    styles = read_styles(tarballs)
    wanted = items([one for one in read_concepts(tarballs) if config.only in (None, one.subgroup)], styles)
    draw_items(wanted, styles, config.out, config.size)
    for split in SPLITS:
        lines = [json.dumps(metadata(item), ensure_ascii=False) + "\n" for item in wanted if item.concept.split == split]
        write_whole(config.out / split / "metadata.jsonl", "".join(lines))
    write_licences(tarballs, pinned, config.out)
    concepts = len({item.concept.code for item in wanted})
    print(f"{len(wanted)} images of {concepts} emoji in {len(styles)} styles are in {config.out}")


def read_prepared(folder: Path, split: str) -> Iterator[tuple[dict[str, Any], Path, Path]]:
    """(line of metadata, image file, mask file) of each image that `prepare` wrote. Raises EmojiError if it hasn't."""
    path = folder / split / "metadata.jsonl"
    if not path.exists():
        advice = f"run `minidiff prepare emoji --out {folder}` first, or do without them by --emoji None"
        raise EmojiError(f"There are no emoji in {folder}: {advice}.")
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        image = folder / split / row["file_name"]
        yield row, image, folder / split / row["file_name"].replace("images/", "masks/", 1)
