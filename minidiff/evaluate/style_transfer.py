"""Does style transfer move the style and keep the content? `minidiff evaluate style-transfer` restyles held-out scenes.

A scene of the drawn world has one true image in each style, so both are one question: how far is the result from that image
(PSNR)? A result in the right style with a thing elsewhere is as wrong as the right thing in the wrong style. Beside it stand
what must be beaten, the picture as it was (doing nothing), through the VAE, and image to image without the LoRA; what the style
alone would give, a true image of another scene; and a ceiling, the true image through the VAE. What it is not: the judge's view
of generated images (styles.py).
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
import tyro
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from minidiff.data.world.captions import phrase
from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import render
from minidiff.data.world.scenes import Scene
from minidiff.evaluate.metrics import bootstrap_interval, psnr
from minidiff.evaluate.reconstruction import reconstruct
from minidiff.evaluate.report import check_run, save_json, table
from minidiff.evaluate.styles import StylesRun, sources
from minidiff.pipelines.img2img import img2img, steps_made
from minidiff.pipelines.loras import LoRAs
from minidiff.pipelines.style_transfer import STRENGTH, restyle
from minidiff.utils.images import contact_sheet, to_tensor
from minidiff.utils.validation import Between

if TYPE_CHECKING:
    from minidiff.pipelines.text_to_image import TextToImage

NOTHING, VAE, PLAIN, STYLED = "doing nothing", "through the VAE", "img2img, no LoRA", "style transfer"
SHUFFLED, CEILING = "another scene, truly styled", "true image through the VAE"
SHOWN = 6  # scenes on the sheet


@dataclass
class StyleTransferRun:
    """Measure style transfer against the true restyled scenes: whether content is kept and style moved."""

    json: Path = Path("style-transfer.json")
    """Where the figures go; a sheet of images is saved beside it as PNG."""
    model: str = "world-dit"
    lora: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A LoRA to measure, by its name in the zoo (neon) or as STYLE=FILE (neon=runs/neon/neon.safetensors); may be given several
    times. All of the zoo's when not given."""
    scenes: Annotated[int, Between(2, 100_000)] = 100
    """Held-out scenes."""
    strength: float = STRENGTH
    """Of image to image, above 0 to 1."""
    sampler: str = "dpmpp"
    steps: int = 20
    guidance_scale: float | None = None
    """The model's own when not given."""
    seed: int = 0
    device: str | None = None
    dtype: str | None = None

    def __post_init__(self) -> None:
        check_run(self, "minidiff evaluate style-transfer")
        steps_made(self.steps, self.strength)


def said(scene: Scene) -> str:
    """What a scene shows, in English."""
    return phrase(scene, "en", random.Random(scene.seed))


def drawn(pipeline: TextToImage, scenes: Sequence[Scene], pictures: np.ndarray, run: StyleTransferRun, what: str) -> np.ndarray:
    """Image to image of each picture by a prompt that says what it shows, with the LoRAs that the pipeline has."""
    made = []
    for k, scene in enumerate(tqdm(scenes, desc=what, unit="image", leave=False)):
        given = {} if run.guidance_scale is None else {"guidance_scale": run.guidance_scale}
        request = pipeline.request(
            said(scene)[:200], sampler=run.sampler, steps=run.steps, seed=run.seed + k, expand_prompt=False, **given
        )
        made.append(np.asarray(img2img(pipeline, Image.fromarray(pictures[k]), request, run.strength)[0]))
    return np.stack(made)


def restyled(pipeline: TextToImage, pictures: np.ndarray, what: str) -> np.ndarray:
    """Each picture encoded and decoded, with the LoRAs that the pipeline has."""
    bar = tqdm(pictures, desc=what, unit="image", leave=False)
    return np.stack([np.asarray(restyle(pipeline, Image.fromarray(one))[0]) for one in bar])


def closeness(made: np.ndarray, truth: np.ndarray) -> Tensor:
    """PSNR in dB of images (N, H, W, 3) uint8 against the true ones, (N,)."""
    return psnr(to_tensor(made), to_tensor(truth), data_range=2.0)


def figures_of(made: dict[str, np.ndarray], truth: np.ndarray) -> dict[str, Any]:
    """For each way its mean PSNR with interval; and by how much style transfer is better than each, image by image."""
    values = {name: closeness(images, truth) for name, images in made.items()}
    rows: dict[str, Any] = {}
    for name, value in values.items():
        more = values[STYLED] - value
        rows[name] = {
            "psnr": float(value.mean()), "interval": bootstrap_interval(value), "behind": float(more.mean()),
            "behind_interval": bootstrap_interval(more),
        }  # fmt: skip
    beaten = {name: rows[name]["behind_interval"][0] > 0 for name in (NOTHING, PLAIN)}
    return {"ways": rows, "beaten": beaten, "reached": all(beaten.values())}


@torch.inference_mode()
def evaluate(run: StyleTransferRun) -> dict[str, Any]:
    """Measure, print a table, write the JSON and the sheet; returns what the JSON holds. Raises ValueError when the model or a
    LoRA is missing or damaged."""
    from minidiff.pipelines.loading import load_pipeline

    wanted, began = sources(StylesRun(model=run.model, lora=run.lora)), time.perf_counter()
    pipeline = load_pipeline(run.model, run.device, run.dtype)
    loras = LoRAs(pipeline)
    names = {style: loras.load(source, style) for style, source in wanted.items()}
    scenes, size = [scene_at(k, "test") for k in range(run.scenes)], pipeline.image_size
    flat = np.stack([render(scene, size).image for scene in scenes])
    before = {NOTHING: flat, VAE: restyled(pipeline, flat, VAE), PLAIN: drawn(pipeline, scenes, flat, run, PLAIN)}
    rows, shown = {}, {"picture": flat}
    for style, name in names.items():
        truth = np.stack([render(scene, size, style).image for scene in scenes])
        ceiling = reconstruct(pipeline.vae, truth)
        loras.mix({name: 1.0})
        if loras.moves_latents(name):
            ways = {STYLED: drawn(pipeline, scenes, flat, run, style)}
        else:
            ways = {STYLED: restyled(pipeline, flat, style)}
        loras.mix({})
        rows[style] = figures_of({**before, SHUFFLED: np.roll(truth, 1, axis=0), **ways, CEILING: ceiling}, truth)
        shown |= {f"{style}, made": ways[STYLED], f"{style}, true": truth}
    figures = {
        "styles": rows, "n": run.scenes,
        "run": {
            "model": pipeline.model, "sha256": pipeline.model_hash, "loras": wanted, "strength": run.strength,
            "sampler": run.sampler, "steps": run.steps, "seed": run.seed, "seconds": round(time.perf_counter() - began, 1),
        },
    }  # fmt: skip
    _print(figures)
    save_json(figures, run.json)
    sheet(shown).save(run.json.with_suffix(".png"))
    print(f"\n{run.json} holds the figures, {run.json.with_suffix('.png')} for each style what was made, above the truth.")
    return figures


def sheet(rows: dict[str, np.ndarray]) -> Image.Image:
    """The first few images of each row, with the row's name below them."""
    images = [image for row in rows.values() for image in row[:SHOWN]]
    names = [name for name, row in rows.items() for _ in row[:SHOWN]]
    return contact_sheet(images, len(images) // len(rows), names, [None] * len(images))


def _print(figures: dict[str, Any]) -> None:
    rows = []
    for style, row in figures["styles"].items():
        for k, (name, one) in enumerate(row["ways"].items()):
            low, high = one["interval"]
            least, most = one["behind_interval"]
            behind = "" if name == STYLED else f"{one['behind']:+.2f} ({least:+.2f} to {most:+.2f})"
            rows.append([style if k == 0 else "", name, f"{one['psnr']:.2f}", f"{low:.2f} to {high:.2f}", behind])
    header = ["", "way", "PSNR, dB", "95 %", "style transfer is better by"]
    print(f"\n{figures['n']} held-out scenes against their true images in each style\n{table(header, rows)}")
    missed = [style for style, row in figures["styles"].items() if not row["reached"]]
    which = f"not {', '.join(missed)}" if missed else "all"
    print(f"Better than doing nothing and than img2img without the LoRA: {which}.")
