"""How good are a VAE's latents? `minidiff evaluate vae` encodes and decodes renders that it was not trained on.

What no image model on these latents can do better: PSNR and SSIM, of the whole and inside things; FD-mini beside its floor;
whether the judge still finds the claims of prompts true; and how far things are from true drawings, kind by kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import render
from minidiff.data.world.scenes import SHAPES, Group, Scene
from minidiff.evaluate.judge import load_judge, to_batch
from minidiff.evaluate.prompt_following import real_images
from minidiff.evaluate.quality import compare, renders, seen_features
from minidiff.evaluate.reconstruction import reconstruct, reconstruction_figures, thing_figures, through_vae
from minidiff.evaluate.report import percent, save_json, table
from minidiff.evaluate.suites import suite
from minidiff.evaluate.well_formed import compared, deviations
from minidiff.models.vae import VAE
from minidiff.pretrained import zoo
from minidiff.pretrained.configs import build_model
from minidiff.utils.images import contact_sheet
from minidiff.utils.validation import Between, check


@dataclass
class VAEQualityRun:
    """Measure what a VAE keeps of images that it was not trained on."""

    json: Path = Path("vae.json")
    """Where the figures go; a sheet of every kind, drawn and decoded, is saved beside it as PNG."""
    model: str = "world-vae"
    held: Annotated[int, Between(2, 10**5)] = 512
    """Held-out renders for PSNR and SSIM."""
    samples: Annotated[int, Between(4, 10**6)] = 2000
    """Images for FD-mini."""
    per_category: Annotated[int, Between(1, 1000)] = 55
    """Prompts in each category whose claims the judge looks for."""

    def __post_init__(self) -> None:
        check(self, "minidiff evaluate vae")
        if self.json.suffix != ".json" or not self.json.absolute().parent.is_dir():
            raise ValueError(f"{str(self.json)!r} must be a .json file in a folder that exists.")


def evaluate(run: VAEQualityRun) -> dict[str, Any]:
    """Measure, print, and write the JSON and the sheet. Raises ValueError when the VAE or the judge is missing or damaged."""
    config, state = zoo.load(run.model)
    vae: VAE = build_model(VAE, config["vae"], state, run.model).eval().requires_grad_(False)
    judge = load_judge()
    scenes = [scene_at(k, "test") for k in range(run.held)]
    drawn = [render(scene, masks=True) for scene in scenes]
    images = np.stack([one.image for one in drawn])
    output = reconstruct(vae, images)
    figures: dict[str, Any] = {"kept": reconstruction_figures(images, output) | thing_figures(scenes, drawn, output)}
    real = seen_features(judge, lambda k, n: renders(k, n, "test"), run.samples, "real images")
    fresh = seen_features(judge, lambda k, n: renders(run.samples + k, n, "test"), run.samples, "other real images")
    decoded = seen_features(
        judge, lambda k, n: through_vae(vae, to_batch(renders(run.samples + k, n, "test"))), run.samples, "through the VAE"
    )
    figures["distance"] = {"through the VAE": compare(real, decoded), "real against real (floor)": compare(real, fresh)}
    prompts = suite(run.per_category)
    before, after = real_images(prompts, judge), real_images(prompts, judge, change=lambda x: through_vae(vae, x))
    figures["right"] = {"real": before.figures()["overall"], "through the VAE": after.figures()["overall"], "n": len(prompts)}
    figures["shapes"] = compared(deviations(after.images, after.seen), deviations(before.images, before.seen))
    _print(run, figures)
    save_json(figures, run.json)
    sheet(vae).save(run.json.with_suffix(".png"))
    print(f"\n{run.json} holds the figures, {run.json.with_suffix('.png')} every kind, drawn and decoded.")
    return figures


def sheet(vae: VAE) -> Any:
    """Every kind, small and by day, then big and at night: a row as drawn, a row as decoded, twice."""
    rows: list[np.ndarray] = []
    for setting, size, colour in (("day", "small", "orange"), ("night", "big", "white")):
        things = [Scene(setting, (Group(kind, colour, size),), seed=7) for kind in SHAPES]
        images = np.stack([render(scene).image for scene in things])
        rows += [*images, *reconstruct(vae, images)]
    return contact_sheet(np.stack(rows), len(SHAPES))


def _print(run: VAEQualityRun, figures: dict[str, Any]) -> None:
    kept = figures["kept"]
    print(f"{run.model} on {run.held} held-out renders: " + ", ".join(f"{name} {value:.3f}" for name, value in kept.items()))
    rows = [[name, f"{row['fd']:.3f}", f"{row['kid']:.2f}"] for name, row in figures["distance"].items()]
    print(table([f"{run.samples} images", "FD-mini", "KID-mini x 1000"], rows))
    right = figures["right"]
    shares = f"{percent(right['real'])} as drawn, {percent(right['through the VAE'])} decoded"
    print(f"claims of {right['n']} prompts that the judge finds true: {shares}")
    shapes = [[kind, *(f"{row[name]:.4f}" for name in ("real", "median")), f"{row['ratio']:.2f}"]
              for kind, row in figures["shapes"].items()]  # fmt: skip
    print(table(["median deviation from true drawings", "drawn", "decoded", "ratio"], shapes))
