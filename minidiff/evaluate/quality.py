"""How far generated images are from the world's own (`minidiff evaluate quality`): FD-mini, KID-mini, precision and recall,
beside a floor (other real images), the VAE alone and ceilings (blur, noise, mode collapse); and the nearest training images.

What it is not: FID. The features are the judge's, so the figures can only be compared with others made the same way.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from minidiff.data.world import captions
from minidiff.data.world.corruptions import grain
from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import render
from minidiff.data.world.scenes import WORLD_VERSION
from minidiff.evaluate.judge import features, load_judge, to_batch
from minidiff.evaluate.metrics import frechet_distance, kid, precision_recall
from minidiff.evaluate.prompt_following import PromptsRun, pipeline_generator
from minidiff.evaluate.reconstruction import through_vae
from minidiff.evaluate.report import check_run, save_json, table
from minidiff.models.detector import Detector
from minidiff.utils.images import contact_sheet, gaussian_blur
from minidiff.utils.validation import Between

if TYPE_CHECKING:
    from minidiff.pipelines.text_to_image import TextToImage


@dataclass
class QualityRun:
    """Measure how far generated images are from the drawn world, with floors and ceilings."""

    json: Path = Path("quality.json")
    """Where the figures go; nearest training images are saved beside it as PNG."""
    model: str = "world-dit"
    samples: Annotated[int, Between(4, 10**6)] = 2000
    training: Annotated[int, Between(1, 10**6)] = 10_000
    """Training images among which nearest neighbours are searched."""
    sampler: str = "dpmpp"
    steps: int = 20
    guidance_scale: float | None = None
    """The model's own when not given."""
    seed: int = 0
    expand: bool = True
    """Expand prompts as `minidiff sample` does; --no-expand draws from the prompts as they are."""
    batch: Annotated[int, Between(1, 4096)] = 16
    device: str | None = None
    dtype: str | None = None

    def __post_init__(self) -> None:
        check_run(self, "minidiff evaluate quality")


def renders(first: int, count: int, split: str, size: int = 128) -> np.ndarray:
    """Renders of a split from number `first` on, (count, size, size, 3) uint8."""
    return np.stack([render(scene_at(k, split), size).image for k in range(first, first + count)])


def seen_features(judge: Detector, make: Callable[[int, int], Any], count: int, name: str, batch: int = 64) -> Tensor:
    """Features (count, D) of images from `make(first, how many)`."""
    starts = tqdm(range(0, count, batch), desc=name, unit="batch", leave=False)
    return torch.cat([features(judge, make(k, min(batch, count - k))) for k in starts])


def compare(real: Tensor, other: Tensor) -> dict[str, float]:
    """FD-mini, KID-mini (times 1000), precision and recall, with features scaled to deviation 1 over the real images."""
    mean_of, scale = real.mean(dim=0), real.std(dim=0).clamp(min=1e-6)
    real, other = (real - mean_of) / scale, (other - mean_of) / scale
    mean, deviation = kid(real, other)
    precision, recall = precision_recall(real, other)
    return {
        "fd": frechet_distance(real, other), "kid": 1000 * mean, "kid_deviation": 1000 * deviation,
        "precision": precision, "recall": recall, "n": len(other),
    }  # fmt: skip


def controls(judge: Detector, real: Tensor, samples: int, seed: int = 0) -> dict[str, dict[str, float]]:
    """The floor (other real images) and three ceilings: name to a row of `compare`."""

    def other(first: int, count: int) -> Tensor:
        return to_batch(renders(samples + first, count, "test"))

    def blurred(first: int, count: int) -> Tensor:
        return gaussian_blur(other(first, count), 13, sigma=2.0)

    def noisy(first: int, count: int) -> Tensor:
        return grain(other(first, count), torch.Generator().manual_seed(seed + first), most=0.3)

    fresh = seen_features(judge, other, samples, "other real images")
    few = fresh[: max(4, samples // 100)]
    collapsed = few.repeat(-(-samples // len(few)), 1)[:samples]
    return {
        "real against real (floor)": compare(real, fresh),
        "blurred, sigma 2": compare(real, seen_features(judge, blurred, samples, "blurred")),
        "noise up to 0.3": compare(real, seen_features(judge, noisy, samples, "noisy")),
        f"mode collapse to {len(few)} images": compare(real, collapsed),
    }


def nearest(features_of: Tensor, training: Tensor) -> tuple[Tensor, Tensor]:
    """For rows (N, D): distance (N,) and index (N,) of the closest training row (M, D)."""
    least, index = zip(*(torch.cdist(part, training).min(dim=1) for part in features_of.split(512)), strict=True)
    return torch.cat(least), torch.cat(index)


def captions_of(first: int, count: int) -> list[str]:
    """English captions of test scenes, for generated images."""
    scenes = [scene_at(k, "test") for k in range(first, first + count)]
    return [captions.describe(scene, "en", random.Random(first + k)) for k, scene in enumerate(scenes)]


def generated(pipeline: TextToImage, run: QualityRun) -> np.ndarray:
    """`run.samples` images (N, H, W, 3) uint8 for captions of test scenes."""
    how = PromptsRun(sampler=run.sampler, steps=run.steps, guidance_scale=run.guidance_scale, expand=run.expand)
    generate = pipeline_generator(pipeline, how, run.seed)
    images = []
    for k in tqdm(range(0, run.samples, run.batch), desc="samples", unit="batch", leave=False):
        made = generate(captions_of(k, min(run.batch, run.samples - k)))
        images.append((made * 255).round().byte().permute(0, 2, 3, 1).numpy())
    return np.concatenate(images)


def evaluate(run: QualityRun) -> dict[str, Any]:
    """Measure, print a table, write the JSON and the sheet of neighbours; returns what the JSON holds. Raises ValueError when
    the model or the judge is missing or damaged."""
    from minidiff.pipelines.loading import load_pipeline

    pipeline, judge = load_pipeline(run.model, run.device, run.dtype, batch=run.batch), load_judge()
    real = seen_features(judge, lambda k, n: renders(k, n, "test"), run.samples, "real images")
    images = generated(pipeline, run)
    made = features(judge, images)
    rows = {"generated": compare(real, made)}

    def again(first: int, count: int) -> Tensor:
        return through_vae(pipeline.vae, to_batch(renders(run.samples + first, count, "test")))

    decoded = seen_features(judge, again, run.samples, "through the VAE")
    rows |= {"real through the VAE": compare(real, decoded)} | controls(judge, real, run.samples, run.seed)
    memory = neighbours(judge, images, made, real, run)
    about = {"model": pipeline.model, "sha256": pipeline.model_hash, "world_version": WORLD_VERSION,
             "features": real.shape[1], "sampler": run.sampler, "steps": run.steps}  # fmt: skip
    figures = {"rows": rows, "memorisation": memory, "n": run.samples, "run": about}
    _print(figures)
    save_json(figures, run.json)
    print(f"\n{run.json} holds the figures, {run.json.with_suffix('.png')} the nearest training images.")
    return figures


def neighbours(judge: Detector, images: np.ndarray, made: Tensor, real: Tensor, run: QualityRun) -> dict[str, float]:
    """Distances of generated and of real images to the nearest training image (a generator that repeats its training set has
    much smaller ones); writes a sheet of the eight closest, each above its neighbour."""
    training = seen_features(judge, lambda k, n: renders(k, n, "train"), run.training, "training images")
    distance, index = nearest(made, training)
    fresh, _ = nearest(real, training)
    closest = distance.argsort()[:8].tolist()
    twins = [renders(int(index[k]), 1, "train")[0] for k in closest]
    words = [f"generated, distance {distance[k]:.2f}" for k in closest] + ["nearest in training"] * len(twins)
    sheet = contact_sheet([*(images[k] for k in closest), *twins], len(closest), words)
    run.json.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(run.json.with_suffix(".png"))
    return {
        "generated_median": float(distance.median()), "real_median": float(fresh.median()),
        "generated_least": float(distance.min()), "real_least": float(fresh.min()), "training": run.training,
    }  # fmt: skip


def _print(figures: dict[str, Any]) -> None:
    width, count = figures["run"]["features"], figures["n"]
    print(f"\n{count} images against {count} real ones, {width} features of the judge (KID-mini x 1000)")
    rows = []
    for name, r in figures["rows"].items():
        spread = f"{r['kid']:.2f} ± {r['kid_deviation']:.2f}"
        rows.append([name, f"{r['fd']:.3f}", spread, f"{r['precision']:.2f}", f"{r['recall']:.2f}"])
    print(table(["", "FD-mini", "KID-mini", "precision", "recall"], rows))
    if count < 10 * width:
        print(f"These are fewer than {10 * width} images, ten per feature: FD-mini is biased upwards.")
    m = figures["memorisation"]
    made, real = (f"{m[who + '_median']:.2f} (least {m[who + '_least']:.2f})" for who in ("generated", "real"))
    print(f"\nnearest of {m['training']} training images: generated {made}, real images {real}")
