"""How well `minidiff prepare fashion` finds planted faults: `python -m benchmarks.fashion --images 600 --seeds 11 12 13`.

For each seed a raw data set is drawn, faults and all, prepared with the defaults, and compared with the truth.
`--calibrate 150` shows, on other garments, what two thresholds were chosen by: the sharpness of good and of blurred images, and
how much copies differ and two photographs of one garment. `--pairs 10000` times the search for near duplicates.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from minidiff.data.fashion.drawing import draw
from minidiff.data.fashion.faults import FAULTS, Entry
from minidiff.data.fashion.filters import Limits, sharpness
from minidiff.data.fashion.garments import random_garment
from minidiff.data.fashion.prepare import PrepareFashion, prepare_fashion
from minidiff.data.fashion.raw_data import Plan, PrepareGarments, make, prepare_garments, truth_of
from minidiff.data.fashion.report import REPORT
from minidiff.data.fashion.scores import Score, score
from minidiff.data.images.duplicates import difference, fingerprint, repeated

CALIBRATION = 77  # the seed of the garments that thresholds were chosen on


def scored(images: int, size: int, seed: int, folder: Path) -> Score:
    """Draw, prepare and compare in a folder that is empty."""
    raw, out = folder / "raw", folder / "prepared"
    start = time.perf_counter()
    prepare_garments(PrepareGarments(raw, images, size, seed=seed))
    print(f"drawn at {images / (time.perf_counter() - start):.1f} images/s")
    prepare_fashion(PrepareFashion(source=raw, out=out))
    paths = (truth_of(raw), folder / "prepared-report" / REPORT)
    return score(*(json.loads(path.read_text(encoding="utf-8")) for path in paths))


def opened(entry: Entry) -> Image.Image:
    return Image.open(io.BytesIO(entry.content or b"")).convert("RGB")


def calibrate(count: int, size: int) -> None:
    """Print the figures and the thresholds. Two thirds of the garments are plain, which are most alike."""
    rng = random.Random(CALIBRATION)
    found: dict[str, list[float]] = {}
    for number in range(count):
        garment = random_garment(rng)
        if number % 3:
            garment = replace(garment, pattern="plain", accent=None)
        plan = Plan(number, garment, rng.randrange(2**31), rng.randrange(3 * size // 4, size + 1))
        image = opened(make(plan))
        found.setdefault("sharpness, good", []).append(sharpness(image))
        found.setdefault("sharpness, blurred", []).append(sharpness(opened(make(replace(plan, fault="blurred")))))
        for fault in ("encoded again", "resized", "moved"):
            entry = make(plan)
            FAULTS[fault].plant(entry, image, rng)
            found.setdefault(f"difference, {fault}", []).append(difference(fingerprint(image), fingerprint(opened(entry))))
        again = Image.fromarray(draw(garment, size // 2, rng.randrange(2**31)))
        found.setdefault("difference, same kind and colours", []).append(difference(fingerprint(image), fingerprint(again)))
    print(f"{count} garments; refused: sharpness below {Limits.min_sharpness}, difference below {Limits.near}")
    for name, values in found.items():
        print(f"{name:<36}" + "".join(f"{np.percentile(values, p):9.2f}" for p in (0, 1, 50, 99, 100)))
    print(f"{'':<36}" + "".join(f"{name:>9}" for name in ("least", "1 %", "half", "99 %", "most")))


def time_pairs(count: int) -> None:
    """Draw some garments, make `count` fingerprints of them by a little noise, and look for near duplicates."""
    rng, dice = random.Random(CALIBRATION), np.random.default_rng(CALIBRATION)
    drawn = [fingerprint(Image.fromarray(draw(random_garment(rng), 64, k))).astype(int) for k in range(count // 10)]
    noises = (dice.integers(-9, 10, drawn[0].shape) for _ in range(count))
    noisy = [(drawn[k % len(drawn)] + noise).clip(0, 255).astype(np.uint8) for k, noise in enumerate(noises)]
    start = time.perf_counter()
    pairs = len(repeated(noisy, Limits.near))
    print(f"{count} fingerprints, each about alike to 9 others: {time.perf_counter() - start:.0f} s, {pairs} refused")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    parser.add_argument("--calibrate", type=int, metavar="COUNT")
    parser.add_argument("--pairs", type=int, metavar="COUNT")
    options = parser.parse_args()
    if options.calibrate:
        calibrate(options.calibrate, options.size)
    elif options.pairs:
        time_pairs(options.pairs)
    else:
        for seed in options.seeds:
            with tempfile.TemporaryDirectory() as folder:
                print(f"seed {seed}\n{scored(options.images, options.size, seed, Path(folder))}")


if __name__ == "__main__":
    main()
