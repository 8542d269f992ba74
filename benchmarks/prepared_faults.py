"""How well `minidiff prepare images` finds planted faults: `python -m benchmarks.prepared_faults data/emoji`.

A part of the emoji that `minidiff prepare emoji` made gets the faults of collected data, is prepared, and is compared with the
truth. Emoji in four styles, and the men, women and persons of one, are much alike: thresholds were chosen on one half of the
concepts (`--choose 150` prints by what) and the figures hold for the other. `--swapped` tries to find captions that were
exchanged between pictures by `world-clip`, or with `--clip FOLDER` by another CLIP. `--workers 1 2` times the preparation.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import resource
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from minidiff.data.emoji.prepare import SPLITS, read_prepared
from minidiff.data.fashion.faults import FAULTS, MENDED, Entry, encoded
from minidiff.data.fashion.scores import Score, compared
from minidiff.data.images.duplicates import difference, fingerprint, pairs_alike
from minidiff.data.images.looking import Caption, Limits
from minidiff.data.images.pixels import sharpness
from minidiff.data.images.prepare import PrepareImages, prepare_images
from minidiff.evaluate.prepare_images import published_clip, world_clip

Row = tuple[dict[str, Any], Path]
"""A line of metadata, and its picture."""
SIZE = 128
JUNK = ("IMG_20190412_113355.jpg", "DSC02231", "https://example.com/a/b.png", "image", "untitled", "12345", "aaaaaaaaaa",
        "photo of the day photo credit: AFP", "Red apple stock photo, royalty free", "ảnh minh hoạ", "???", "a1b2c3d4e5f6",
        "&nbsp;", "no caption", "cat cat cat cat cat", "ảnh")  # fmt: skip


def small(entry: Entry, image: Image.Image, rng: random.Random) -> None:
    side = rng.randrange(32, SIZE - 8)
    entry.content, entry.suffix = encoded(image.resize((side, side), Image.Resampling.LANCZOS)), ".jpg"


def junk_caption(entry: Entry, image: Image.Image, rng: random.Random) -> None:
    entry.captions = dict.fromkeys(entry.captions, rng.choice(JUNK))


def foreign_caption(entry: Entry, image: Image.Image, rng: random.Random) -> None:
    texts = ("ein roter Apfel auf dem Tisch", "une pomme rouge sur la table", "una manzana roja en la mesa", "赤いリンゴ",
             "красное яблоко")  # fmt: skip
    entry.captions = dict.fromkeys(entry.captions, rng.choice(texts))


def banner(entry: Entry, image: Image.Image, rng: random.Random) -> None:
    """The emoji four times in a row."""
    wide = Image.new("RGB", (4 * image.width, image.height))
    for k in range(4):
        wide.paste(image, (k * image.width, 0))
    entry.content, entry.suffix = encoded(wide), ".jpg"


PLANT: dict[str, Callable[[Entry, Image.Image, random.Random], None]] = {
    **{name: fault.plant for name, fault in FAULTS.items()},
    "small": small, "banner": banner, "junk caption": junk_caption, "foreign caption": foreign_caption,
}  # fmt: skip
EXPECTED = {
    "missing": "source", "truncated": "decode", "no image": "decode", "small": "size", "banner": "aspect",
    "empty caption": "caption", "no caption": "caption", "junk caption": "caption", "foreign caption": "language",
    "duplicate": "exact", "encoded again": "near", "resized": "near", "moved": "near", "blurred": "sharpness",
    "palette": MENDED, "cmyk": MENDED, "16 bits": MENDED, "wrong extension": MENDED, "turned": MENDED, "transparent": MENDED,
}  # fmt: skip
COPIES = ("duplicate", "encoded again", "resized", "moved")


def concepts(folder: Path, second: bool, most: int) -> list[Row]:
    """About `most` pictures of one half of the concepts, each with all its variants, styles and backdrops."""
    rows = [(row, image) for split in SPLITS for row, image, _ in read_prepared(folder, split)]
    bases = sorted({row["base"] for row, _ in rows}, key=lambda base: zlib.crc32(base.encode()))
    half = bases[len(bases) // 2 :] if second else bases[: len(bases) // 2]
    wanted = set(half[: max(1, round(len(half) * most / (len(rows) / 2)))])
    return [one for one in rows if one[0]["base"] in wanted]


def plant(rows: Sequence[Row], share: float, seed: int, out: Path) -> dict[str, Any]:
    """Writes a folder with captions in which a share of the pictures has a fault, and returns the truth of each file."""
    rng, truth, lines = random.Random(seed), dict[str, Any](), list[str]()
    (out / "images").mkdir(parents=True)
    names = rng.sample(range(100_000), 2 * len(rows))  # so that a copy may come before its original

    def put(entry: Entry, fault: str | None, copy_of: str | None) -> str:
        name = f"images/{names.pop():05d}{entry.suffix}"
        truth[name] = {"fault": fault, "copy_of": copy_of}
        if entry.content is not None:
            (out / name).write_bytes(entry.content)
        if entry.told:
            lines.append(json.dumps({"file_name": name, **entry.captions}, ensure_ascii=False) + "\n")
        return name

    for row, path in rows:
        picture = Image.open(path).convert("RGB")
        fault = rng.choice(sorted(EXPECTED)) if rng.random() < share else None
        captions = {"text": row["text"], "text_vi": row["text_vi"]}
        original = put(Entry(".png", path.read_bytes(), captions), None, None) if fault in COPIES or not fault else None
        if fault:
            entry = Entry(".png", path.read_bytes(), captions)
            PLANT[fault](entry, picture, rng)
            put(entry, fault, original)
    (out / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")
    return truth


def prepared(source: Path, out: Path, workers: int | None = None) -> dict[str, str]:
    """Prepares a folder, and returns the step that refused each file."""
    prepare_images(PrepareImages(source=str(source), out=out, area=f"{SIZE}x{SIZE}", min_size=SIZE - 8, workers=workers,
                                 step=8))  # fmt: skip
    lines = (out / "dropped.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["key"]: row["step"] for row in map(json.loads, lines)}


def measured(rows: Sequence[Row], share: float, seed: int, folder: Path) -> Score:
    """Plants, prepares, compares; prints what was lost or overlooked."""
    truth = plant(rows, share, seed, folder / "raw")
    refused = prepared(folder / "raw", folder / "out")
    for name, row in truth.items():
        alone = compared({name: row}, {one: step for one, step in refused.items() if one in (name, row["copy_of"])}, EXPECTED)
        if alone.lost and not copied(truth, name, refused) or alone.found < alone.planted:
            print(f"  {name}: {row['fault'] or 'good'}, {refused.get(name, 'kept')}")
    return compared(truth, refused, EXPECTED)


def copied(truth: dict[str, Any], name: str, refused: dict[str, str]) -> bool:
    """Whether a copy of a file was kept."""
    return any(row["copy_of"] == name and one not in refused for one, row in truth.items())


def choose(rows: Sequence[Row], count: int) -> None:
    """Prints what the thresholds were chosen by."""
    rng = random.Random(0)
    pictures = [Image.open(path).convert("RGB") for _, path in rows]
    prints = [fingerprint(picture) for picture in pictures]
    pairs = pairs_alike(np.stack(prints))
    figures = {"difference, two pictures that are about alike": [difference(prints[a], prints[b]) for a, b in pairs]}
    for k in rng.sample(range(len(rows)), min(count, len(rows))):
        figures.setdefault("sharpness, good", []).append(sharpness(pictures[k]))
        for fault in ("blurred", "encoded again", "resized", "moved"):
            entry = Entry(".png", None, {})
            FAULTS[fault].plant(entry, pictures[k], rng)
            changed = Image.open(io.BytesIO(entry.content or b"")).convert("RGB")
            if fault == "blurred":
                figures.setdefault("sharpness, blurred", []).append(sharpness(changed))
            else:
                figures.setdefault(f"difference, {fault}", []).append(difference(prints[k], fingerprint(changed)))
    print(f"{len(rows)} pictures; refused: sharpness below {Limits.min_sharpness}, difference below {Limits.near}")
    print(f"{'':<48}" + "".join(f"{name:>9}" for name in ("least", "1 %", "half", "99 %", "most")))
    for name, values in figures.items():
        print(f"{name:<48}" + "".join(f"{np.percentile(values, p):9.2f}" for p in (0, 1, 50, 99, 100)))


def agreement(rows: Sequence[Row], clip: Path | None, seed: int) -> tuple[list[float], list[float]]:
    """How well pictures fit their own captions, and those of another concept."""
    score = published_clip(clip, "cpu", False) if clip else world_clip()
    rng = random.Random(seed)
    own, other = [], []
    for start in range(0, len(rows), 32):
        part = rows[start : start + 32]
        pictures = [Image.open(path).convert("RGB") for _, path in part]
        strange = [rng.choice([row for row, _ in rows if row["base"] != mine["base"]]) for mine, _ in part]
        own += list(score(pictures, [captions_of(row) for row, _ in part]))
        other += list(score(pictures, [captions_of(row) for row in strange]))
    return own, other


def captions_of(row: dict[str, Any]) -> list[Caption]:
    return [Caption(row["text"], "en"), Caption(row["text_vi"], "vi")]


def swapped(first: Sequence[Row], second: Sequence[Row], clip: Path | None) -> None:
    """Prints how many exchanged captions are found, with the threshold that loses 1 % of the good ones in the first half."""
    own, _ = agreement(first, clip, 0)
    threshold = float(np.quantile(own, 0.01))
    own, other = agreement(second, clip, 1)
    found, lost = np.mean(np.asarray(other) < threshold), np.mean(np.asarray(own) < threshold)
    area = np.mean(np.asarray(own)[:, None] > np.asarray(other))
    print(f"{clip or 'world-clip'}, {len(second)} pictures of the other half: a cosine below {threshold:.3f} finds {found:.1%} "
          f"of the exchanged captions and loses {lost:.1%} of the good ones; area under the curve {area:.3f}; the middle of "
          f"the good ones is {np.median(own):.3f}, of the exchanged ones {np.median(other):.3f}")  # fmt: skip


def cpu_seconds() -> tuple[float, float]:
    """Processor time of this process, and of those that it started and that have ended; other people's load doesn't count."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return tuple(one.ru_utime + one.ru_stime for one in used)  # type: ignore[return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("emoji", type=Path)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--share", type=float, default=0.25)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--choose", type=int, metavar="COUNT")
    parser.add_argument("--swapped", action="store_true")
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--workers", type=int, nargs="+")
    options = parser.parse_args()
    first, second = (concepts(options.emoji, half, options.images) for half in (False, True))
    if options.choose:
        choose(first, options.choose)
    elif options.swapped:
        swapped(first, second, options.clip)
    else:
        with tempfile.TemporaryDirectory() as folder:
            if options.workers:
                plant(second, 0, options.seed, Path(folder) / "raw")
            for workers in options.workers or ():
                start, before = time.perf_counter(), cpu_seconds()
                prepared(Path(folder) / "raw", Path(folder) / f"out{workers}", workers)
                here, elsewhere = (after - first for after, first in zip(cpu_seconds(), before, strict=True))
                rate = len(second) / (time.perf_counter() - start)
                print(f"{workers} workers: {rate:.1f} pictures/s; processor time {here:.1f} s, {elsewhere:.1f} s in workers")
            if not options.workers:
                print(measured(second, options.share, options.seed, Path(folder)))


if __name__ == "__main__":
    main()
