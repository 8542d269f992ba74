"""Figures with their intervals, the controls that stand beside them, and the verdicts of fixed bands.

A row holds what was measured of one set of pictures: {"fd": Figure, ...}. `set_rows` compares whole sets, with a floor (real
against real) and ceilings (blur, noise, few pictures over and over); `mean_figure` is for what each picture has. What it is
not: the networks (instruments.py), the pages (pages.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from minidiff.data.world.corruptions import grain
from minidiff.evaluate.instruments import Instruments, to_floats
from minidiff.evaluate.metrics import bootstrap_interval, covered, frechet_distance, kid, spread_interval
from minidiff.utils.images import gaussian_blur, to_images

MOST_PSNR = 100.0  # dB, for pictures that are equal: JSON has no infinity
LEAST_SET = 8  # pictures; half of them must have three neighbours


@dataclass(frozen=True)
class Figure:
    """A number, its 95 % bootstrap interval, and how many pictures it is of."""

    value: float
    low: float
    high: float
    n: int

    def text(self) -> str:
        """The value and its interval, to three digits."""
        return f"{_digits(self.value)} [{_digits(self.low)}, {_digits(self.high)}]"


Row = dict[str, Figure]


def _digits(number: float) -> str:
    if not number:
        return "0"
    return f"{number:.1f}" if abs(number) >= 100 else f"{number:.3g}" if abs(number) >= 0.01 else f"{number:.1e}"


def mean_figure(values: Sequence[float]) -> Figure | None:
    """The mean of one number for each picture; those that are not a number are left out. None when no number is left."""
    kept = [float(value) for value in values if not math.isnan(value)]
    return Figure(sum(kept) / len(kept), *bootstrap_interval(kept), len(kept)) if kept else None


def mean_row(values: dict[str, list[float]]) -> Row:
    """`mean_figure` of each."""
    found = {key: mean_figure(numbers) for key, numbers in values.items()}
    return {key: figure for key, figure in found.items() if figure is not None}


# --- whole sets -------------------------------------------------------------------------------------------------------


def set_row(real: Tensor, fake: Tensor, scale: bool) -> Row:
    """Frechet distance, kernel distance (times 1000), precision and recall of features (N, D) and (M, D). scale: each feature
    to mean 0 and deviation 1 over the reals, for networks whose features nobody else compares. N is the smaller set's."""
    if scale:
        mean, deviation = real.mean(dim=0), real.std(dim=0).clamp(min=1e-6)
        real, fake = (real - mean) / deviation, (fake - mean) / deviation
    n = min(len(real), len(fake))

    def kernel(x: Tensor, y: Tensor) -> float:
        return 1000 * kid(x, y, subsets=1 if n <= 1000 else 10)[0]

    inside, reached = covered(real, fake)
    measured: dict[str, tuple[float, tuple[float, float]]] = {
        "fd": (frechet_distance(real, fake), spread_interval(frechet_distance, real, fake)),
        "kid": (kernel(real, fake), spread_interval(kernel, real, fake)),
        "precision": (float(inside.double().mean()), bootstrap_interval(inside.double())),
        "recall": (float(reached.double().mean()), bootstrap_interval(reached.double())),
    }
    return {key: Figure(value, *interval, n) for key, (value, interval) in measured.items()}


def seen(instruments: Instruments, pictures: Callable[[int], Image.Image], count: int, name: str) -> Tensor:
    """Features (count, D) of pictures(0), pictures(1), ..., of which only one is in memory at a time."""
    return torch.cat([instruments.see([pictures(k)]) for k in tqdm(range(count), desc=name, unit="picture", leave=False)])


def set_rows(
    instruments: Instruments, real: Callable[[int], Image.Image], count: int, made: dict[str, Callable[[int], Image.Image]]
) -> dict[str, Row]:
    """Rows of sets of `count` pictures against the real ones, and of the controls; empty for fewer than LEAST_SET."""
    if count < LEAST_SET:
        return {}
    scale = "fid" not in instruments.canonical
    truth = seen(instruments, real, count, "real pictures")
    rows = {name: set_row(truth, seen(instruments, pictures, count, name), scale) for name, pictures in made.items()}
    few = truth[: max(2, count // 20)]
    blurred, noisy = (seen(instruments, changed(real, how), count, how) for how in ("blurred", "noisy"))
    return rows | {
        "real, one half against the other": set_row(truth[::2], truth[1::2], scale),
        "real, blurred by 2 pixels": set_row(truth, blurred, scale),
        "real, with noise of up to 0.3": set_row(truth, noisy, scale),
        f"{len(few)} real ones over and over": set_row(truth, few.repeat(-(-count // len(few)), 1)[:count], scale),
    }


def changed(real: Callable[[int], Image.Image], how: str) -> Callable[[int], Image.Image]:
    """The real pictures, "blurred" or "noisy"."""

    def picture(k: int) -> Image.Image:
        x = to_floats(real(k))
        x = gaussian_blur(x, 13, 2.0) if how == "blurred" else grain(x, torch.Generator().manual_seed(k), most=0.3)
        return Image.fromarray(to_images(2 * x - 1)[0])

    return picture


# --- verdicts ---------------------------------------------------------------------------------------------------------

# (bound, verdict), the best first. The distances must be below, the others above.
BANDS: dict[str, tuple[tuple[float, str], ...]] = {
    "fd": ((30, "excellent"), (50, "very good"), (100, "good")),
    "distance": ((0.1, "excellent"),),
    "edges": ((0.8, "excellent"),),
    "clip": ((0.3, "excellent"), (0.25, "good"), (0.2, "fair")),
}
BELOW = ("fd", "distance")


def verdicts(row: Row, instruments: Instruments) -> dict[str, str]:
    """For each figure that has a fixed band: the verdict, and the model that it holds for. None for the -mini figures, whose
    numbers are others."""
    holds = {
        "fd": "for Inception v3 of 2015-12-05" if "fid" in instruments.canonical else "",
        "distance": f"for {instruments.distance_by}" if "lpips" in instruments.canonical else "",
        "clip": "for OpenAI's CLIP ViT-B/32"
        if "clip" in instruments.used and instruments.used["clip"].title == "ViT-B/32"
        else "",
        "edges": "for edge consistency as it is defined here (evaluate/edges.py)",
    }
    return {key: f"{_band(key, figure.value)}, {holds[key]}" for key, figure in row.items() if key in BANDS and holds[key]}


def _band(key: str, value: float) -> str:
    for bound, verdict in BANDS[key]:
        if value < bound if key in BELOW else value > bound:
            return f"{verdict} ({'<' if key in BELOW else '>'} {bound:g})"
    return f"in none of the bands ({'<' if key in BELOW else '>'} {BANDS[key][-1][0]:g})"
