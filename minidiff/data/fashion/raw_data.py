"""`minidiff prepare garments`: drawn garments as collected data is: images, captions, and faults in a part of them.

    out/images/00001.jpg         drawn garments, in several formats and sizes
    out/captions.json            [{"file_name": "images/00001.jpg", "caption": ..., "caption_vi": ...}, ...]
    out-truth.json               beside the folder: what each file shows, and which fault was planted

What it is not: the preparation that finds the faults (`minidiff prepare fashion`).
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from PIL import Image

from minidiff.data.fashion.captions import describe
from minidiff.data.fashion.drawing import draw
from minidiff.data.fashion.faults import COPIES, FAULTS, Entry, encoded
from minidiff.data.fashion.garments import Garment, random_garment
from minidiff.utils.files import whole_folder, write_whole
from minidiff.utils.threads import side_by_side
from minidiff.utils.validation import Between, check


@dataclass
class PrepareGarments:
    """Draw garments with captions in English and Vietnamese, some of them with the faults that collected images have."""

    out: Path = Path("data/garments")
    """Folder for images and captions; what was drawn and planted is written beside it, to OUT-truth.json."""
    images: Annotated[int, Between(1, 1_000_000)] = 600
    """Number of images."""
    size: Annotated[int, Between(32, 512)] = 512
    """Pixels to a side of the largest; others have down to three quarters of it."""
    faults: Annotated[float, Between(0, 0.9)] = 0.25
    """Share of the images that get a fault."""
    plain: bool = False
    """Only garments of one colour, without prints and patterns, which a small model learns sooner."""
    seed: Annotated[int, Between(0)] = 0
    workers: Annotated[int, Between(1, 256)] | None = None
    """Images drawn at once; as many as there are cores when not given."""

    def __post_init__(self) -> None:
        """Raises ValueError for an option that is out of its range."""
        check(self, "")


@dataclass(frozen=True)
class Plan:
    """What a file is to hold. number: 1 and up, in its name; seed: of the drawing; copy_of: the number of the good file that it
    copies."""

    number: int
    garment: Garment
    seed: int
    size: int
    fault: str | None = None
    copy_of: int | None = None


def plans(images: int, size: int, faults: float, seed: int, plain: bool = False) -> list[Plan]:
    """All files of a raw data set. Every fault occurs about equally often, and a good file is copied at most once. plain:
    garments without patterns alone."""
    rng = random.Random(seed)
    names = list(FAULTS)
    rng.shuffle(names)
    wanted = [names[k % len(names)] for k in range(round(faults * images))]
    numbers = list(range(1, images + 1))
    rng.shuffle(numbers)
    found: list[Plan] = []
    for number in numbers[len(wanted) :]:
        side = rng.randrange(-(-3 * size // 4), size + 1)
        found.append(Plan(number, some_garment(rng, plain), rng.randrange(2**31), side))
    copied = iter(rng.sample(found, min(len(found), sum(name in COPIES for name in wanted))))
    for number, name in zip(numbers, wanted, strict=False):
        original = next(copied, None) if name in COPIES else None
        if original:
            found.append(Plan(number, original.garment, original.seed, original.size, name, original.number))
        elif name not in COPIES:
            found.append(Plan(number, some_garment(rng, plain), rng.randrange(2**31), size, name))
    return sorted(found, key=lambda plan: plan.number)


def some_garment(rng: random.Random, plain: bool) -> Garment:
    """A garment at random; plain: the first that has no pattern."""
    garment = random_garment(rng)
    while plain and garment.pattern != "plain":
        garment = random_garment(rng)
    return garment


def make(plan: Plan) -> Entry:
    """The file and its captions. A copy begins as the file that it copies."""
    rng = random.Random(plan.seed)
    image = Image.fromarray(draw(plan.garment, plan.size, plan.seed))
    kind, suffix = rng.choice((*[("JPEG", ".jpg")] * 4, ("PNG", ".png"), ("WEBP", ".webp")))
    content = encoded(image, kind, **({"quality": rng.randrange(86, 97)} if kind != "PNG" else {}))
    captions = {"caption": describe(plan.garment, "en", rng), "caption_vi": describe(plan.garment, "vi", rng)}
    entry = Entry(suffix, content, captions)
    if plan.fault:
        FAULTS[plan.fault].plant(entry, image, random.Random(plan.number))
    return entry


def prepare_garments(config: PrepareGarments) -> None:
    """Draw and write. Raises ValueError when the folder is there already."""
    wanted = plans(config.images, config.size, config.faults, config.seed, config.plain)
    names: dict[int, str] = {}
    table: list[dict[str, str]] = []
    with whole_folder(config.out) as folder:
        (folder / "images").mkdir()

        def write(plan: Plan) -> Entry:
            entry = make(plan)
            if entry.content is not None:
                (folder / "images" / f"{plan.number:05d}{entry.suffix}").write_bytes(entry.content)
            return Entry(entry.suffix, None, entry.captions, entry.told)

        entries = side_by_side(write, wanted, config.workers, desc="drawing garments", unit="image")
        for plan, entry in zip(wanted, entries, strict=True):
            names[plan.number] = f"images/{plan.number:05d}{entry.suffix}"
            if entry.told:
                table.append({"file_name": names[plan.number], **entry.captions})
        write_whole(folder / "captions.json", json.dumps(table, ensure_ascii=False, indent=1))
        files = {
            names[plan.number]: {
                "fault": plan.fault, "copy_of": names.get(plan.copy_of or 0), "garment": asdict(plan.garment),
                "seed": plan.seed, "size": plan.size,
            }
            for plan in wanted
        }  # fmt: skip
        truth = {"images": config.images, "size": config.size, "faults": config.faults, "seed": config.seed, "files": files}
        write_whole(truth_of(config.out), json.dumps(truth, ensure_ascii=False, indent=1))
    faulty = sum(plan.fault is not None for plan in wanted)
    print(f"{len(wanted)} images, {faulty} of them with faults, are in {config.out}; {truth_of(config.out)} tells which.")
    print(f"Next: minidiff prepare fashion {config.out} --out data/fashion")


def truth_of(out: Path) -> Path:
    """The file that tells what a raw data set holds."""
    return out.with_name(f"{out.name}-truth.json")
