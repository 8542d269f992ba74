"""`minidiff prepare fashion FOLDER`: from images with captions, as they were collected, to images that can be learnt from.

    out/images/00001.jpg         the images that passed, upright, in RGB, cut to a square
    out/fashion_data.csv         file_name, caption, split, ..., a row for each caption
    out-report/                  beside it: report.json, and contact sheets of what was kept and of what was refused

`out` is an ordinary folder of images with captions (data/captioned.py); `read_fashion` also knows which are for validation.
What it is not: the filters themselves (filters.py, duplicates.py).
"""

from __future__ import annotations

import csv
import io
import random
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro
from PIL import Image, ImageEnhance, ImageOps

from minidiff.data.captioned import TABLES, Captioned, DataError, gather
from minidiff.data.fashion.filters import (
    DUPLICATE,
    FORMAT,
    MISSING,
    NEAR,
    NOT_CHOSEN,
    SUFFIXES,
    Limits,
    Seen,
    inspect,
    load_rgb,
)
from minidiff.data.fashion.report import table, write_report
from minidiff.data.images.duplicates import repeated
from minidiff.utils.files import whole_file, whole_folder, write_whole
from minidiff.utils.threads import side_by_side
from minidiff.utils.validation import Between, check

TABLE = "fashion_data.csv"
COLUMNS = ("file_name", "caption", "split", "original", "width", "height", "sharpness")
SPLITS = ("train", "validation")
QUALITY = 95  # of the JPEG files
ENHANCEMENTS = ((ImageEnhance.Sharpness, 1.15), (ImageEnhance.Contrast, 1.04), (ImageEnhance.Color, 1.06))


@dataclass
class PrepareFashion(Limits):
    """Filter, choose, crop and enhance images with captions, and report what was refused and why."""

    source: tyro.conf.Positional[Path] = Path("data/garments")
    """Folder of images with captions: captions.json, a .jsonl or .csv table, or cat.txt beside cat.png."""
    out: Path = Path("data/fashion")
    """Folder for the prepared images; the report goes beside it, to OUT-report."""
    images: Annotated[int, Between(1)] = 10_000
    """Choose so many at random from those that pass; all when there are fewer."""
    size: Annotated[int, Between(32, 4096)] = 512
    """Pixels to a side of the prepared images; the middle is cut out."""
    enhance: bool = True
    """Add a little sharpness, contrast and colour."""
    validation: Annotated[float, Between(0, 0.9)] = 0.08
    """Share of the images that is for validation, not for training."""
    seed: Annotated[int, Between(0)] = 0
    """Of the choice and of the split."""
    zip: bool = False
    """Also pack everything into OUT.zip."""
    workers: Annotated[int, Between(1, 256)] | None = None
    """Images looked at at once; as many as there are cores when not given."""

    def __post_init__(self) -> None:
        """Raises ValueError for an option that is out of its range, or for folders one inside the other."""
        check(self, "")
        self.formats = tuple(name.upper() for name in self.formats)
        if unknown := [name for name in self.formats if name not in SUFFIXES]:
            raise ValueError(f"There is no format {unknown[0]!r}: choose from {', '.join(SUFFIXES)}.")
        source, out = self.source.resolve(), self.out.resolve()
        if source == out or source in out.parents or out in source.parents:
            raise ValueError(f"{self.out} and {self.source} are the same or one in the other: choose another --out.")


@dataclass(frozen=True)
class Row:
    """A prepared image: its name in the folder, its split, and what is known of its original."""

    name: str
    split: str
    seen: Seen


def prepare_fashion(config: PrepareFashion) -> None:
    """Look at all images, choose, write. Raises DataError for a folder without images or captions, and when nothing passes;
    ValueError when the output is there already."""
    began, report = time.perf_counter(), config.out.with_name(f"{config.out.name}-report")
    with whole_folder(config.out) as folder:
        seen, others = look(config)
        passed = refuse_repeated(seen, config)
        if not passed:
            print(table(seen))
            raise DataError(f"None of the {len(seen)} images in {config.source} passes: the table says why.")
        rng = random.Random(config.seed)
        rows = split(choose(passed, config.images, rng), config.validation, rng)
        (folder / "images").mkdir()
        work = partial(write_image, folder=folder, config=config)
        made = list(side_by_side(work, rows, config.workers, desc="writing", unit="image"))
        write_whole(folder / TABLE, csv_text(rows, config.source))
        if config.zip:
            pack(folder, config.out)
        settings = {name: value for name, value in vars(config).items() if name != "workers"}
        write_report(report, config.source, settings, seen, made, others)
    seconds = time.perf_counter() - began
    held = sum(row.split == "validation" for row in rows)
    print(table(seen))
    print(f"{len(rows)} images ({len(rows) - held} for training, {held} for validation) are in {config.out}, the report is in "
          f"{report}; {len(seen) / seconds:.1f} images/s.")  # fmt: skip


def look(config: PrepareFashion) -> tuple[list[Seen], list[tuple[Path, str]]]:
    """What is known of every image that is there or that is named, by path; and the other files, with what they are."""
    captions, left_out = gather(config.source)
    absent, others = {}, []
    for path, why in sorted(left_out):
        if not path.exists():
            absent[path] = Seen(path, reason=MISSING, detail=why.partition(",")[0])
        elif "names it" in why:
            absent[path] = Seen(path, reason=FORMAT, detail=path.suffix)
        else:
            others.append((path, why))
    if not any(captions.values()):
        why = next((f" {why}" for path, why in others if path.suffix.lower() in TABLES), "")
        raise DataError(f"None of the {len(captions)} images in {config.source} has a caption.{why}")
    files = sorted(captions.items())
    found = side_by_side(lambda f: inspect(f[0], f[1], config), files, config.workers, desc="looking", unit="image")
    others = [(path, why) for path, why in others if path not in absent]
    return sorted([*found, *absent.values()], key=lambda one: one.path), others


def refuse_repeated(seen: Sequence[Seen], config: PrepareFashion) -> list[Seen]:
    """Marks duplicates and near duplicates among what passed so far, and returns the rest; of several the largest is kept."""
    order = sorted((one for one in seen if not one.reason), key=lambda one: (-one.width * one.height, one.path))
    first: dict[str, Seen] = {}
    for one in order if config.duplicates else ():
        other = first.setdefault(one.digest, one)
        if other is not one:
            one.reason, one.detail = DUPLICATE, f"of {other.path.name}"
    order = [one for one in order if not one.reason]
    for number, original in repeated([one.fingerprint for one in order], config.near).items():
        order[number].reason, order[number].detail = NEAR, f"of {order[original].path.name}"
    return sorted((one for one in order if not one.reason), key=lambda one: one.path)


def choose(passed: list[Seen], most: int, rng: random.Random) -> list[Seen]:
    """`most` of them at random, in their order; the others are marked."""
    kept = set(rng.sample(range(len(passed)), min(most, len(passed))))
    for number, one in enumerate(passed):
        if number not in kept:
            one.reason, one.detail = NOT_CHOSEN, f"{most} are enough"
    return [passed[number] for number in sorted(kept)]


def split(chosen: list[Seen], validation: float, rng: random.Random) -> list[Row]:
    """Names and splits, as many for validation as the share says, rounded, but never all."""
    count = min(round(validation * len(chosen)), len(chosen) - 1)
    held = set(rng.sample(range(len(chosen)), count))
    return [Row(f"images/{k + 1:05d}.jpg", SPLITS[k in held], one) for k, one in enumerate(chosen)]


def write_image(row: Row, folder: Path, config: PrepareFashion) -> Path:
    """Cut, enhance and save one image; returns where."""
    image = ImageOps.fit(load_rgb(row.seen.path), (config.size, config.size), Image.Resampling.LANCZOS)
    if config.enhance:
        image = enhanced(image)
    image.save(folder / row.name, "JPEG", quality=QUALITY, subsampling=0)
    return folder / row.name


def enhanced(image: Image.Image) -> Image.Image:
    """A little sharper, with a little more contrast and colour."""
    for kind, amount in ENHANCEMENTS:
        image = kind(image).enhance(amount)
    return image


def csv_text(rows: Sequence[Row], source: Path) -> str:
    """fashion_data.csv: a row for each caption of each image. width, height and sharpness are the original's."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        one = row.seen
        for caption in one.captions:
            original = one.path.relative_to(source).as_posix()
            writer.writerow((row.name, caption, row.split, original, one.width, one.height, f"{one.sharpness:.1f}"))
    return file.getvalue()


def pack(folder: Path, out: Path) -> None:
    """Everything in `folder` as OUT.zip, the same bytes for the same images."""
    with whole_file(out.with_name(f"{out.name}.zip")) as file, zipfile.ZipFile(file, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = zipfile.ZipInfo(f"{out.name}/{path.relative_to(folder).as_posix()}")
                archive.writestr(name, path.read_bytes(), zipfile.ZIP_STORED)  # JPEG files don't get smaller


def read_fashion(folder: Path | str, split: str) -> tuple[Captioned, ...]:
    """The prepared images of a split, "train" or "validation", each with its captions. Raises DataError when there is none."""
    path = Path(folder) / TABLE
    if split not in SPLITS:
        raise DataError(f"There is no split {split!r}: choose train or validation.")
    if not path.exists():
        raise DataError(f"There is no {TABLE} in {folder}: run `minidiff prepare fashion` first.")
    captions: dict[str, list[str]] = {}
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] == split:
                captions.setdefault(row["file_name"], []).append(row["caption"])
    return tuple(Captioned(Path(folder) / name, tuple(told)) for name, told in captions.items())
