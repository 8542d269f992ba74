"""The folders that evaluation data come in: for inpainting, super-resolution (Urban100) and text to image (Flickr30k).

    inpainting   images/ masks/ texts/ masked_images/ metadata.json stats.json     `minidiff prepare inpainting` makes it
    Urban100     X2/HIGH/*_SRF_2_HR.png X2/LOW/*_SRF_2_LR.png, or image_SRF_2/ with both, wherever they lie below the folder
    Flickr30k    images/ (flickr30k_images/, Images/) and captions.txt or results.csv: image_name, comment_number, comment

A file that can't be used is left out and named with the reason; a picture that had to be converted is named, too. What it is
not: a folder to train on (data/captioned.py).
"""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from minidiff.data.captioned import IMAGES
from minidiff.pipelines.masks import read_hole
from minidiff.pipelines.pictures import open_picture, rgb
from minidiff.utils.validation import one_line

SUFFIXES = (*IMAGES, ".tif", ".tiff")
LEAST_SIDE = 32  # pixels; below it some of the networks that measure see nothing
PICTURE_FOLDERS = ("images", "Images", "flickr30k_images", "flickr30k-images")
CAPTION_FILES = ("captions.txt", "captions.csv", "results.csv", "results_20130124.token")
NAME_COLUMNS = ("image_name", "image", "file_name", "filename")
TEXT_COLUMNS = ("caption", "comment", "text", "raw")

T = TypeVar("T")


class LayoutError(ValueError):
    """A folder that isn't laid out as it should be; the text says what is missing."""


@dataclass
class Notes:
    """What happened while a folder was read. skipped: (name, why it isn't used); converted: (name, what was lost)."""

    skipped: list[tuple[str, str]] = field(default_factory=list)
    converted: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Found(Generic[T]):
    """The pairs that can be used, in the order of their names."""

    pairs: tuple[T, ...]
    notes: Notes


@dataclass(frozen=True)
class Hole:
    """A picture with a mask and what it shows."""

    name: str
    picture: Path
    mask: Path
    text: str

    def read(self) -> tuple[Image.Image, NDArray[np.bool_]]:
        """The picture, and (H, W), True where it shall be painted."""
        picture = read_rgb(self.picture)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return picture, read_hole(open_picture(self.mask), picture)


@dataclass(frozen=True)
class Enlarged:
    """A picture and the same one smaller."""

    name: str
    high: Path
    low: Path
    factor: int

    def read(self) -> tuple[Image.Image, Image.Image]:
        """(high, low); of high as much as is `factor` times low, without the pixels that are over at the right and bottom."""
        high, low = read_rgb(self.high), read_rgb(self.low)
        return high.crop((0, 0, low.width * self.factor, low.height * self.factor)), low


@dataclass(frozen=True)
class Shown:
    """A picture and its captions."""

    name: str
    picture: Path
    captions: tuple[str, ...]

    def read(self) -> Image.Image:
        return read_rgb(self.picture)


# ---------------------------------------------------------------------------------------------------------- what is common


def read_rgb(file: Path) -> Image.Image:
    """A picture that was found `readable` before; what is lost by converting it was noted then."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return rgb(open_picture(file))


def readable(file: Path, notes: Notes) -> Image.Image | None:
    """The picture, as 8-bit RGB; None for one that can't be used, which is noted as skipped. What was lost is noted, too."""
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", UserWarning)
            picture = rgb(open_picture(file))
            if min(picture.size) < LEAST_SIDE:
                raise LayoutError(f"It is {picture.width} x {picture.height} pixels; at least {LEAST_SIDE} a side are needed.")
    except ValueError as error:
        notes.skipped.append((file.name, one_line(error)))
        return None
    notes.converted += [(file.name, str(note.message)) for note in told]
    return picture


def pictures_in(folder: Path) -> dict[str, Path]:
    """The pictures of a folder by their names without the ending. Of two of one name, the first in the order of endings."""
    if not folder.is_dir():
        raise LayoutError(f"There is no folder {folder}.")
    files = sorted((file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES), reverse=True)
    return dict(sorted((file.stem, file) for file in files))


def usable(pairs: Iterable[T | None], notes: Notes, most: int | None, what: str) -> Found[T]:
    """The first `most` pairs that can be used. Raises LayoutError when there is none."""
    found: list[T] = []
    for pair in pairs:
        if pair is not None:
            found.append(pair)
        if most is not None and len(found) == most:
            break
    if not found:
        first = f" {notes.skipped[0][0]}: {notes.skipped[0][1]}" if notes.skipped else ""
        raise LayoutError(f"{what} ({len(notes.skipped)} files left out).{first}")
    return Found(tuple(found), notes)


# -------------------------------------------------------------------------------------------------------------- the layouts


def read_inpainting(folder: Path, most: int | None = None) -> Found[Hole]:
    """Pictures with masks and texts of the same names. Raises LayoutError for a folder without them."""
    notes = Notes()
    images, masks = pictures_in(folder / "images"), pictures_in(folder / "masks")
    texts = {file.stem: file for file in sorted((folder / "texts").glob("*.txt"))}
    notes.skipped += [(texts[name].name, "a text without its picture") for name in sorted(texts.keys() - images.keys())]
    notes.skipped += [(masks[name].name, "a mask without its picture") for name in sorted(masks.keys() - images.keys())]

    def pairs() -> Iterator[Hole | None]:
        for name, file in images.items():
            if name not in masks or name not in texts:
                notes.skipped.append((file.name, "no mask of its name" if name not in masks else "no text of its name"))
                continue
            text = " ".join(texts[name].read_text(encoding="utf-8", errors="replace").split())
            picture = readable(file, notes)
            if picture is None:
                continue
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)
                    read_hole(open_picture(masks[name]), picture)
            except ValueError as error:
                notes.skipped.append((masks[name].name, one_line(error)))
                continue
            if text:
                yield Hole(name, file, masks[name], text)
            else:
                notes.skipped.append((texts[name].name, "the text is empty"))

    return usable(pairs(), notes, most, f"No picture in {folder}/images has a mask and a text that can be used")


def read_urban100(folder: Path, factor: int, most: int | None = None) -> Found[Enlarged]:
    """Pairs of *_SRF_{factor}_HR.* and *_SRF_{factor}_LR.* anywhere below the folder. Raises LayoutError when there is none."""
    if not folder.is_dir():
        raise LayoutError(f"There is no folder {folder}.")
    notes, sides = Notes(), {"HR": dict[str, Path](), "LR": dict[str, Path]()}
    name_of = re.compile(rf"(.+)_SRF_{factor}_(HR|LR)")
    for file in sorted(folder.rglob(f"*_SRF_{factor}_?R.*")):
        named = name_of.fullmatch(file.stem)
        if named and file.suffix.lower() in SUFFIXES:
            sides[named[2]].setdefault(named[1], file)
    for side, other in (("HR", "LR"), ("LR", "HR")):
        notes.skipped += [(sides[side][name].name, f"no {other} picture of its name")
                          for name in sorted(sides[side].keys() - sides[other].keys())]  # fmt: skip

    def pairs() -> Iterator[Enlarged | None]:
        for name in sorted(sides["HR"].keys() & sides["LR"].keys()):
            high_file, low_file = sides["HR"][name], sides["LR"][name]
            high, low = readable(high_file, notes), readable(low_file, notes)
            if high is None or low is None:
                continue
            over = [a - factor * b for a, b in zip(high.size, low.size, strict=True)]
            if not all(0 <= rest < factor for rest in over):
                sizes = f"{high.width} x {high.height} is not {factor} times {low.width} x {low.height}"
                notes.skipped.append((high_file.name, sizes))
                continue
            yield Enlarged(name, high_file, low_file, factor)

    what = f"No pictures *_SRF_{factor}_HR and *_SRF_{factor}_LR of one name are below {folder}"
    return usable(pairs(), notes, most, what)


def read_flickr30k(folder: Path, most: int | None = None) -> Found[Shown]:
    """Pictures with their captions, in the order of the table. Raises LayoutError when the folder has no such table or no
    pictures, or no picture has a caption."""
    where = next((folder / name for name in PICTURE_FOLDERS if (folder / name).is_dir()), None)
    table = next((folder / name for name in CAPTION_FILES if (folder / name).is_file()), None)
    if where is None or table is None:
        raise LayoutError(f"{folder} must hold a folder of pictures ({', '.join(PICTURE_FOLDERS[:2])}, ...) and their captions "
                          f"({', '.join(CAPTION_FILES[:2])}, ...).")  # fmt: skip
    nested = where / where.name  # as one of the archives unpacks
    where = nested if nested.is_dir() else where
    notes, told = Notes(), captions_of(table)

    def pairs() -> Iterator[Shown | None]:
        for name, captions in told.items():
            if not (where / name).is_file() or Path(name).name != name:
                notes.skipped.append((name, f"{table.name} names it, but there is no such picture"))
            elif readable(where / name, notes) is not None:
                yield Shown(name, where / name, captions)

    return usable(pairs(), notes, most, f"None of the pictures that {table.name} names can be used")


def captions_of(table: Path) -> dict[str, tuple[str, ...]]:
    """{name of a picture: its captions}. Columns are separated by commas, bars or tabs. Raises LayoutError for other tables."""
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LayoutError(f"{table} cannot be read as UTF-8 text ({one_line(error)}).") from None
    if table.suffix == ".token":  # 1000092795.jpg#0<tab>Two young guys ...
        rows = (line.partition("\t") for line in text.splitlines())
        told = [(name.partition("#")[0], caption) for name, _, caption in rows]
    else:
        told = _columns(text, table)
    found: dict[str, list[str]] = {}
    for name, caption in told:
        if name.strip() and caption.strip():
            found.setdefault(name.strip(), []).append(" ".join(caption.split()))
    if not found:
        raise LayoutError(f"{table} holds no captions.")
    return {name: tuple(dict.fromkeys(captions)) for name, captions in found.items()}


def _columns(text: str, table: Path) -> list[tuple[str, str]]:
    head = text.partition("\n")[0]
    separator = next((mark for mark in "|\t" if mark in head), ",")
    if separator == ",":
        rows = list(csv.reader(io.StringIO(text), skipinitialspace=True))
    else:
        rows = [line.split(separator) for line in text.splitlines()]
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    name, caption = (next((header.index(one) for one in known if one in header), -1) for known in (NAME_COLUMNS, TEXT_COLUMNS))
    if name < 0 or caption < 0:
        raise LayoutError(f"The first line of {table} must name the columns, such as image_name,caption.")
    return [(row[name], row[caption]) for row in rows[1:] if len(row) > max(name, caption)]
