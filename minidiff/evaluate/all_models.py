"""One table over all models of the zoo that draw: `minidiff evaluate all --json all.json`.

The same prompts from the same seeds for each: the share of pictures in which everything is right, in English and Vietnamese, on
compositions that training never showed; FD-mini, precision and recall against true renders of the claims; seconds a picture.
Beside them true renders, and true renders through each VAE. Models that take a label are named and not measured: one large
thing of 32 x 32 dots is none of what the judge has learnt to see. What it is not: a model's own figures in full (`minidiff
evaluate prompts`, `quality`), which take more prompts.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from minidiff.evaluate.figures import Figure, Row, set_row
from minidiff.evaluate.judge import features, load_judge
from minidiff.evaluate.metrics import bootstrap_interval
from minidiff.evaluate.prompt_following import PromptsRun, Results, assess, pipeline_generator, real_images
from minidiff.evaluate.reconstruction import through_vae
from minidiff.evaluate.report import check_run, save_json, table
from minidiff.evaluate.suites import Prompt, suite
from minidiff.models.detector import Detector
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pipelines.zoo_rows import sampling_models
from minidiff.utils.images import contact_sheet
from minidiff.utils.validation import Between

LANGS = ("en", "vi")
COLUMNS = {"en": "right, en", "vi": "right, vi", "fd": "FD-mini", "precision": "precision-mini", "recall": "recall-mini"}
ON_SHEET = 6  # pictures of each model


@dataclass
class AllRun:
    """Measure all models of the zoo that draw, with the same prompts and seeds, and print one table."""

    json: Path = Path("all.json")
    """Where the figures go; a sheet of pictures, a row for each model, is saved beside it as PNG."""
    models: tuple[str, ...] = ()
    """Only these; all of the zoo when not given. Runs' folders and diffusers folders may be named, too."""
    per_category: Annotated[int, Between(2, 1000)] = 10
    """Prompts in each of six categories."""
    suite: Annotated[int, Between(0)] = 1
    """0: the prompts whose figures are published; any other number: others, to choose by."""
    sampler: str = "dpmpp"
    steps: int = 20
    guidance_scale: float | None = None
    """Each model's own when not given."""
    seed: int = 0
    batch: Annotated[int, Between(1, 4096)] = 16
    device: str | None = None
    dtype: str | None = None

    def __post_init__(self) -> None:
        check_run(self, "minidiff evaluate all")


def evaluate(run: AllRun) -> dict[str, Any]:
    """Measure, print the table, write the JSON and the sheet; returns what the JSON holds. Raises ValueError when the judge or
    a model is missing or damaged."""
    judge, prompts = load_judge(), suite(run.per_category, seed=run.suite)
    names = run.models or tuple(sampling_models())
    truth = real_images(prompts, judge, seed=1)
    real = seen(judge, truth)
    rows: dict[str, Row] = {}
    about: dict[str, Any] = {}
    shown: dict[str, Results] = {"true renders": truth}
    controls: dict[str, Row] = {}
    left_out: dict[str, str] = {}
    for name in names:
        pipeline = load_pipeline(name, run.device, run.dtype, batch=run.batch)
        if hasattr(pipeline.tokenizer, "labels"):
            left_out[name] = "it takes a label, and draws what the judge has not learnt to see"
            continue
        began = time.perf_counter()
        found = {lang: drawn(pipeline, run, prompts, judge, lang) for lang in LANGS}
        seconds = (time.perf_counter() - began) / sum(len(one.images) for one in found.values())
        rows[name] = {lang: right(one) for lang, one in found.items()}
        rows[name] |= set_row(real, seen(judge, found["en"]), scale=True)
        about[name] = {"sha256": pipeline.model_hash, "seconds": round(seconds, 3)}
        shown[name] = found["en"]
        controls[f"true renders through {name}'s VAE"] = decoded(pipeline, prompts, judge, real)
    if not rows:
        raise ValueError(
            f"None of {', '.join(names)} can be measured: they take labels, and the judge knows none of what they draw."
        )
    other = real_images(prompts, judge, seed=2)
    controls["true renders, drawn twice"] = {"en": right(other)} | set_row(real, seen(judge, other), scale=True)
    figures = {
        "n": len(prompts), "suite": run.suite, "features": real.shape[1], "models": about, "left_out": left_out,
        "rows": {name: {key: vars(figure) for key, figure in row.items()} for name, row in (rows | controls).items()},
        "run": {"sampler": run.sampler, "steps": run.steps, "seed": run.seed, "guidance_scale": run.guidance_scale},
    }  # fmt: skip
    save_json(figures, run.json)
    sheet(shown).save(run.json.with_suffix(".png"))
    print(told(rows, controls, figures))
    print(f"\n{run.json} holds the figures, {run.json.with_suffix('.png')} the same prompts by each model.")
    return figures


def drawn(pipeline: TextToImage, run: AllRun, prompts: Sequence[Prompt], judge: Detector, lang: str) -> Results:
    """Prompt k from seed + k, and what the judge says."""
    how = PromptsRun(sampler=run.sampler, steps=run.steps, guidance_scale=run.guidance_scale)
    return assess(pipeline_generator(pipeline, how, run.seed), prompts, judge, lang, run.batch, quiet=False)


def decoded(pipeline: TextToImage, prompts: Sequence[Prompt], judge: Detector, real: Tensor) -> Row:
    """Other true renders through a model's VAE: the best that its latents allow."""
    images = real_images(prompts, judge, seed=2, change=lambda x: through_vae(pipeline.vae, x))
    return {"en": right(images)} | set_row(real, seen(judge, images), scale=True)


def right(results: Results) -> Figure:
    """The share of pictures in which everything is right."""
    values = [float(verdict.right) for verdict in results.verdicts]
    return Figure(sum(values) / len(values), *bootstrap_interval(values), len(values))


def seen(judge: Detector, results: Results) -> Tensor:
    return features(judge, np.stack(results.images))


def told(rows: dict[str, Row], controls: dict[str, Row], figures: dict[str, Any]) -> str:
    """The table, and what must be said of it. N is how many prompts a row has."""
    lines = []
    for name, row in (rows | controls).items():
        count = max((figure.n for figure in row.values()), default=0)
        seconds = f"{figures['models'][name]['seconds']:.2f}" if name in rows else ""
        lines.append([name, count, *(row[key].text() if key in row else "" for key in COLUMNS), seconds])
    text = table(["", "N", *COLUMNS.values(), "seconds a picture"], lines)
    n, enough = figures["n"], 10 * figures["features"]
    remarks = [f"{name} is left out: {why}." for name, why in figures["left_out"].items()]
    if n < enough:
        remarks.append(f"These are fewer than {enough} pictures: FD-mini is biased upwards, alike in all rows.")
    return f"{n} prompts in each language, on held-out compositions; each figure with its 95 % interval\n{text}\n\n" + " ".join(
        remarks
    )


def sheet(shown: dict[str, Results]) -> Image.Image:
    """A row of pictures for each model, with some of its prompts, framed by whether all is right."""
    images: list[np.ndarray] = []
    captions: list[str] = []
    marks: list[bool | None] = []
    for name, results in shown.items():
        last = len(results.prompts) - 1
        for k in torch.linspace(0, last, ON_SHEET).round().int().tolist():
            images.append(results.images[k])
            captions.append(f"{name} | {results.prompts[k].texts['en']}")
            marks.append(results.verdicts[k].right)
    return contact_sheet(images, ON_SHEET, captions, marks)
