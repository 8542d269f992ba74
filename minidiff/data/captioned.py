"""A folder of images with captions, as people keep them: what belongs together, and what was left out, each with its reason.

    photos/cat.png, photos/cat.txt                          a text file beside each image
    photos/metadata.jsonl                                   lines {"file_name": "cat.png", "text": "a cat"}
    photos/anything.csv                                     columns such as file_name and caption
    photos/anything.json                                    {"cat.png": "a cat"}, or a list of such objects
    photos/anything.parquet                                 the columns of a .csv (needs pyarrow)

An image may have several captions, also in several of these files. What it is not: a filter by size or sharpness.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from minidiff.utils import strict_json
from minidiff.utils.validation import one_line, shown

IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
TABLES = (".jsonl", ".csv", ".json", ".parquet")
FILE_KEYS = ("file_name", "filename", "file", "image", "image_path", "path")
TEXT_KEYS = ("text", "caption", "captions", "prompt", "description", "caption_en", "caption_vi", "text_en", "text_vi")
LARGEST_TABLE = 1 << 30  # bytes


class DataError(ValueError):
    """A folder that cannot be learnt from; the message says why."""


@dataclass(frozen=True)
class Captioned:
    """An image and what it shows, in one or more ways of saying it."""

    image: Path
    captions: tuple[str, ...]


@dataclass(frozen=True)
class Collection:
    """pairs: what can be used, by path. left_out: what can't, with the reason, in the order of the names."""

    pairs: tuple[Captioned, ...]
    left_out: tuple[tuple[Path, str], ...]

    def report(self, most: int = 5) -> str:
        """A sentence on what was found, and a line for the first few that were left out."""
        lines = [f"{len(self.pairs)} images with {sum(len(pair.captions) for pair in self.pairs)} captions; "
                 f"{len(self.left_out)} files left out."]  # fmt: skip
        lines += [f"  {path.name}: {why}" for path, why in self.left_out[:most]]
        if len(self.left_out) > most:
            lines.append(f"  ... and {len(self.left_out) - most} more")
        return "\n".join(lines)


def read_captioned(folder: Path | str) -> Collection:
    """The images below `folder` with their captions.

    Raises DataError when there is no such folder, and when it holds no image or no caption."""
    captions, left_out = gather(folder)
    pairs, told_of = [], 0
    for image, told in captions.items():
        told_of += bool(told)
        if why := "" if told else "no caption":
            left_out.append((image, why))
        elif why := unreadable(image):
            left_out.append((image, why))
        else:
            pairs.append(Captioned(image, told))
    if not told_of:
        why = next((f" {why}" for path, why in left_out if path.suffix.lower() in TABLES), "")
        raise DataError(f"None of the {len(captions)} images in {folder} has a caption: put one beside each (cat.txt for "
                        f"cat.png), or a metadata.jsonl, .csv or .json table with their names.{why}")  # fmt: skip
    return Collection(tuple(pairs), tuple(sorted(left_out)))


def gather(
    folder: Path | str, suffixes: Sequence[str] = IMAGES
) -> tuple[dict[Path, tuple[str, ...]], list[tuple[Path, str]]]:
    """Each image below `folder`, unopened, with its captions, which may be none; and whatever else lies there or is named but
    missing, with the reason why it isn't used. A table names an image by its path from the table, or by its bare file name if
    there is one of that name in the folder. suffixes: of files that are images.

    Raises DataError when there is no such folder, and when it holds no image."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.")
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    images = [file for file in files if file.suffix.lower() in suffixes]
    if not images:
        raise DataError(f"There is no image in {folder}: it may hold {', '.join(suffixes)}.")
    captions: dict[Path, list[str]] = {image: [] for image in images}
    named: dict[str, list[Path]] = {}
    for image in images:
        named.setdefault(image.name, []).append(image)
    left_out: list[tuple[Path, str]] = []
    for file in files:
        if file.suffix.lower() in TABLES:
            try:
                told_in = list(rows(file))
            except DataError as error:
                left_out.append((file, str(error)))
                continue
            for name, text in told_in:
                place, alike = file.parent / name, named.get(name, [])
                if place not in captions and len(alike) == 1:
                    place = alike[0]
                if place in captions:
                    captions[place].append(text)
                else:
                    left_out.append((place, f"{file.name} names it, but there is no such image"))
        elif file.suffix.lower() == ".txt":
            mine = [image for image in images if image.with_suffix("") == file.with_suffix("")]
            for image in mine:
                captions[image] += _lines(file)
            if not mine:
                left_out.append((file, "a caption without its image"))
        elif file not in captions:
            left_out.append((file, "neither an image nor a caption"))
    cleaned = {image: (" ".join(text.split()) for text in texts) for image, texts in captions.items()}
    return {image: tuple(dict.fromkeys(filter(None, texts))) for image, texts in cleaned.items()}, left_out


def unreadable(path: Path) -> str:
    """Why an image can't be opened; empty when it can."""
    try:
        with Image.open(path) as image:
            image.verify()
    except Exception as error:  # PIL has many ways to fail on damaged files
        return f"no image that can be read ({one_line(error)})"
    return ""


def load_square(path: Path, size: int, rng: random.Random | None = None) -> np.ndarray:
    """An image as (size, size, 3) uint8: turned as its camera says, on white where it is transparent, its shorter side made
    `size` and the middle cut out. rng: cuts out a square of 3/4 of that side or more, somewhere."""
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGBA")
    flat = Image.new("RGBA", image.size, "white")
    flat.alpha_composite(image)
    square = flat.convert("RGB")
    if rng is not None:
        side = round(min(flat.size) * rng.uniform(0.75, 1))
        left, top = (rng.randint(0, length - side) for length in flat.size)
        square = square.crop((left, top, left + side, top + side))
    return np.array(ImageOps.fit(square, (size, size), Image.Resampling.LANCZOS))


def _lines(file: Path) -> list[str]:
    """A caption on each line of a text file."""
    return _text(file).splitlines()


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > LARGEST_TABLE:
            raise DataError(f"{file.name} is larger than {LARGEST_TABLE >> 20} MB.")
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file.name} cannot be read as UTF-8 text ({one_line(error)}).") from None


def rows(file: Path) -> Iterator[tuple[str, str]]:
    """(name of an image, caption) of a table. Raises DataError for a file that is no such table."""
    if file.suffix.lower() == ".parquet":
        yield from _of_records(_parquet(file), file)
        return
    text = _text(file)
    if file.suffix.lower() == ".csv":
        table = csv.DictReader(io.StringIO(text))
        yield from _of_records(list(table), file)
        return
    try:
        if file.suffix.lower() == ".jsonl":
            content: Any = [strict_json.parse(line) for line in text.splitlines() if line.strip()]
        else:
            content = strict_json.parse(text)
    except strict_json.JSONError as error:
        raise DataError(f"{file.name} is no JSON ({one_line(error)}).") from None
    if isinstance(content, dict) and all(isinstance(value, str | list) for value in content.values()):
        content = [{"file_name": name, "text": value} for name, value in content.items()]
    if not isinstance(content, list):
        raise DataError(f"{file.name} holds {shown(content)}; it must be a list of objects, or names with their captions.")
    yield from _of_records(content, file)


def _parquet(file: Path) -> list[dict[str, Any]]:
    """The rows of a parquet file, of the columns that can be used."""
    try:
        from pyarrow import parquet
    except ImportError:
        raise DataError(f"{file.name} needs pyarrow, which is not here: pip install 'minidiff[prepare]'.") from None
    try:
        opened = parquet.ParquetFile(file)
        used = [name for name in opened.schema_arrow.names if name.strip().lower() in (*FILE_KEYS, *TEXT_KEYS)]
        return opened.read(columns=used).to_pylist()
    except (OSError, ValueError) as error:  # pyarrow's errors are such
        raise DataError(f"{file.name} is no parquet file that can be read ({one_line(error)}).") from None


def _of_records(records: list[Any], file: Path) -> Iterator[tuple[str, str]]:
    for number, record in enumerate(records, start=1):
        record = lowered(record)
        name = next((record[key] for key in FILE_KEYS if record.get(key)), None)
        if not isinstance(name, str) or not any(key in record for key in TEXT_KEYS):
            raise DataError(f"{file.name}: entry {number} must name an image ({', '.join(FILE_KEYS[:3])}, ...) and its caption "
                            f"({', '.join(TEXT_KEYS[:3])}, ...).")  # fmt: skip
        for text in texts(record):
            yield name, text


def lowered(record: Any) -> dict[str, Any]:
    """A record with its keys in small letters; empty when it is none."""
    return {str(key).strip().lower(): value for key, value in record.items()} if isinstance(record, dict) else {}


def texts(record: dict[str, Any]) -> Iterator[str]:
    """All captions in a record, whose keys are in small letters."""
    for key in TEXT_KEYS:
        value = record.get(key)
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                yield text
