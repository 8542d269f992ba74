"""`minidiff prepare inpainting RAW OUT`: pictures of any kind to a folder that `minidiff evaluate inpainting` reads.

    OUT/images/00001.png          the picture            OUT/masks/00001.png    white where it shall be painted
    OUT/masked_images/00001.png   with a grey hole       OUT/texts/00001.txt    what it shows
    OUT/metadata.json             for each picture its source, text, size and mask; what was left out, and why
    OUT/stats.json                how many, of which sizes, and how large the holes are

Masks are the same for the same number and seed. What it is not: the reader of such folders (layouts.py).
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps
from tqdm import tqdm

from minidiff.data.captioned import gather
from minidiff.evaluate.layouts import LayoutError, Notes, readable
from minidiff.utils.files import whole_folder
from minidiff.utils.validation import Between, check

GREY = 127
MOST_STROKES = 60


@dataclass
class PrepareInpainting:
    """Make masks for pictures, and lay them out for `minidiff evaluate inpainting`."""

    raw: tyro.conf.Positional[Path]
    """Folder of pictures. Captions are found as for fine-tuning: cat.txt beside cat.png, or a table."""
    out: tyro.conf.Positional[Path]
    """Folder to make."""
    text: str = "a picture"
    """What is written of pictures that have no caption."""
    masks: tuple[Literal["box", "brush"], ...] = ("box", "brush")
    """Kinds of masks, by turns."""
    share: tuple[float, float] = (0.1, 0.3)
    """The smallest and the largest share of a picture that a mask covers."""
    size: Annotated[int, Between(32, 4096)] | None = None
    """Cut the middle out and make it so many pixels a side; as they are when not given."""
    max_samples: Annotated[int, Between(1, 10**6)] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check(self, "minidiff prepare inpainting")
        if not 0.01 <= self.share[0] <= self.share[1] <= 0.9:
            raise ValueError(f"--share must be two numbers from 0.01 to 0.9, the smaller first, not {self.share}.")
        if not self.masks or not self.text.strip():
            raise ValueError("--masks needs at least one kind, and --text some words.")


def prepare(run: PrepareInpainting) -> None:
    """Write the folder, whole or not at all. Raises ValueError when there is no picture that can be used, and when the folder
    is there already."""
    captions, left_out = gather(run.raw)
    notes = Notes(skipped=[(path.name, why) for path, why in left_out])
    rows: list[dict[str, Any]] = []
    with whole_folder(run.out) as folder:
        for part in ("images", "masked_images", "masks", "texts"):
            (folder / part).mkdir()
        for file, told in tqdm(captions.items(), desc="masks", unit="picture"):
            picture = readable(file, notes)
            if picture is None:
                continue
            if run.size:
                picture = ImageOps.fit(picture, (run.size, run.size), Image.Resampling.LANCZOS)
            number = len(rows) + 1
            kind = run.masks[number % len(run.masks)]
            hole = drawn_hole(kind, picture.size, run.share, random.Random(f"{run.seed} {number}"))
            rows.append(write_one(folder, number, file, picture, hole, told[0] if told else run.text) | {"mask": kind})
            if run.max_samples and len(rows) == run.max_samples:
                break
        if not rows:
            raise LayoutError(f"No picture in {run.raw} can be used ({notes.skipped[0][0]}: {notes.skipped[0][1]}).")
        skipped = [{"file": name, "why": why} for name, why in notes.skipped]
        converted = [{"file": name, "how": how} for name, how in notes.converted]
        metadata = {"seed": run.seed, "pictures": rows, "skipped": skipped, "converted": converted}
        for name, content in (("metadata.json", metadata), ("stats.json", stats(rows, notes))):
            (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{run.out}: {len(rows)} pictures with masks; {len(skipped)} files left out, {len(converted)} converted.")
    for name, why in notes.skipped[:5]:
        print(f"  {name}: {why}")


def write_one(
    folder: Path, number: int, source: Path, picture: Image.Image, hole: NDArray[np.bool_], text: str
) -> dict[str, Any]:
    """The four files of one picture; returns its row of the metadata."""
    name = f"{number:05}"
    picture.save(folder / f"images/{name}.png")
    Image.fromarray(np.where(hole, 255, 0).astype(np.uint8)).save(folder / f"masks/{name}.png")
    masked = np.where(hole[..., None], GREY, np.asarray(picture)).astype(np.uint8)
    Image.fromarray(masked).save(folder / f"masked_images/{name}.png")
    (folder / f"texts/{name}.txt").write_text(text + "\n", encoding="utf-8")
    return {
        "name": name,
        "source": source.name,
        "text": text,
        "size": list(picture.size),
        "share": round(float(hole.mean()), 4),
    }


def stats(rows: list[dict[str, Any]], notes: Notes) -> dict[str, Any]:
    """Counts and means over all pictures."""
    shares = [row["share"] for row in rows]
    return {
        "pictures": len(rows), "skipped": len(notes.skipped), "converted": len(notes.converted),
        "masks": dict(Counter(row["mask"] for row in rows)),
        "sizes": dict(Counter(f"{width} x {height}" for width, height in (row["size"] for row in rows)).most_common(20)),
        "share_mean": round(sum(shares) / len(shares), 4), "share_least": min(shares), "share_most": max(shares),
    }  # fmt: skip


def drawn_hole(kind: str, size: tuple[int, int], share: tuple[float, float], rng: random.Random) -> NDArray[np.bool_]:
    """A mask for a picture of (width, height): (H, W), True in about so much of it that the share lies between two bounds.
    kind: "box", or "brush" for strokes as a hand makes them."""
    wanted = rng.uniform(*share)
    width, height = size
    mask = Image.new("L", size, 0)
    draw = ImageDraw.Draw(mask)
    if kind == "box":
        aspect = rng.uniform(0.6, 1.6)
        across = min(round((wanted * width * height * aspect) ** 0.5), width - 2)
        down = min(max(1, round(wanted * width * height / across)), height - 2)
        left, top = rng.randint(1, width - across - 1), rng.randint(1, height - down - 1)
        draw.rectangle((left, top, left + across - 1, top + down - 1), fill=255)
        return np.asarray(mask) > 0
    thick = max(3, min(size) // 9)
    x, y = rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height
    for _ in range(MOST_STROKES):
        step = min(size) / 5
        end = tuple(min(max(p + rng.uniform(-step, step), 0.1 * n), 0.9 * n) for p, n in ((x, width), (y, height)))
        draw.line((x, y, *end), fill=255, width=thick)
        draw.ellipse((end[0] - thick / 2, end[1] - thick / 2, end[0] + thick / 2, end[1] + thick / 2), fill=255)
        x, y = end
        if np.asarray(mask).mean() / 255 >= wanted:
            break
    return np.asarray(mask) > 0
