"""How much is lost with fewer steps: `minidiff evaluate few-steps --json few-steps.json`.

A teacher and the student that was distilled from it draw the same prompts from the same seeds with 1, 2, 4, 8 and 20 steps: the
share of pictures in which everything is right, in English and Vietnamese; FD-mini against true renders; and seconds from a
prompt to its picture, everything counted, one picture at a time. What it is not: a comparison of different models
(all_models.py).
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

from minidiff.evaluate.all_models import LANGS, right, seen
from minidiff.evaluate.figures import Row, set_row
from minidiff.evaluate.judge import load_judge
from minidiff.evaluate.prompt_following import PromptsRun, assess, pipeline_generator, real_images
from minidiff.evaluate.report import check_run, save_json, table
from minidiff.evaluate.suites import Prompt, suite
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.utils.images import contact_sheet
from minidiff.utils.validation import Between, check

TIMED = 5  # pictures of which the median time is taken, after one that isn't counted
ON_SHEET = 8
COLUMNS = {"en": "right, en", "vi": "right, vi", "fd": "FD-mini"}


@dataclass
class FewStepsQualityRun:
    """Compare a teacher and its student at several numbers of steps: what is right, how far from true pictures, how long."""

    json: Path = Path("few-steps.json")
    """Where the figures go; a sheet of pictures, a row for each model and number of steps, is saved beside it as PNG."""
    teacher: str = "world-dit"
    student: str = "world-dit-4"
    counts: tuple[Annotated[int, Between(1, 100)], ...] = (1, 2, 4, 8, 20)
    """Numbers of steps."""
    per_category: Annotated[int, Between(2, 1000)] = 20
    """Prompts in each of six categories."""
    suite: Annotated[int, Between(0)] = 1
    """0: the prompts whose figures are published; any other number: others, to choose by."""
    sampler: str | None = None
    """Each model's own when not given."""
    guidance_scale: float | None = None
    """Each model's own when not given."""
    seed: int = 0
    expand: bool = True
    """Expand prompts as `minidiff sample` does; --no-expand draws from the prompts as they are."""
    batch: Annotated[int, Between(1, 4096)] = 16
    device: str | None = None
    dtype: str | None = None

    def __post_init__(self) -> None:
        if not self.counts:
            raise ValueError("--counts names no number of steps: give one or more, such as 4 20.")
        plain = PromptsRun(self.json, sampler=self.sampler or "ddim", steps=max(self.counts), seed=self.seed,
                           guidance_scale=self.guidance_scale)  # fmt: skip
        check(self, "minidiff evaluate few-steps")
        check_run(plain, "minidiff evaluate few-steps")


def evaluate(run: FewStepsQualityRun) -> dict[str, Any]:
    """Measure, print the table, write the JSON and the sheet; returns what the JSON holds. Raises ValueError when the judge or
    a model is missing or damaged."""
    judge, prompts = load_judge(), suite(run.per_category, seed=run.suite)
    names = dict.fromkeys((run.teacher, run.student))
    pipelines = {name: load_pipeline(name, run.device, run.dtype, batch=run.batch) for name in names}  # both are there
    real = seen(judge, real_images(prompts, judge, seed=1))
    rows: dict[str, Row] = {}
    about: dict[str, dict[str, Any]] = {}
    images: list[np.ndarray] = []
    titles: list[str] = []
    for name, pipeline in pipelines.items():
        alone = load_pipeline(name, run.device, run.dtype)
        for steps in run.counts:
            found = {}
            for lang in LANGS:
                how = PromptsRun(
                    sampler=run.sampler or pipeline.scheduler.sampler, steps=steps, guidance_scale=run.guidance_scale,
                    expand=run.expand,
                )  # fmt: skip
                found[lang] = assess(pipeline_generator(pipeline, how, run.seed), prompts, judge, lang, run.batch, quiet=False)
            row = f"{name}, {steps} steps"
            rows[row] = {lang: right(one) for lang, one in found.items()} | set_row(real, seen(judge, found["en"]), scale=True)
            about[row] = {"model": name, "steps": steps, "seconds": seconds(alone, run, steps, prompts)}
            for k in torch.linspace(0, len(prompts) - 1, ON_SHEET).round().int().tolist():
                images.append(found["en"].images[k])
                titles.append(f"{row} | {prompts[k].texts['en']}")
    floor = {"en": right(other := real_images(prompts, judge, seed=2))} | set_row(real, seen(judge, other), scale=True)
    figures = {
        "n": len(prompts), "suite": run.suite, "features": real.shape[1], "models": about, "threads": torch.get_num_threads(),
        "rows": {name: {key: vars(one) for key, one in row.items()} for name, row in (rows | {"true renders": floor}).items()},
        "run": {"sampler": run.sampler, "seed": run.seed, "guidance_scale": run.guidance_scale, "expand": run.expand},
    }  # fmt: skip
    save_json(figures, run.json)
    sheet(images, titles).save(run.json.with_suffix(".png"))
    print(told(rows, floor, figures))
    print(f"\n{run.json} holds the figures, {run.json.with_suffix('.png')} the same prompts in each row.")
    return figures


def seconds(pipeline: TextToImage, run: FewStepsQualityRun, steps: int, prompts: Sequence[Prompt]) -> float:
    """The median time from a prompt to its picture, one at a time."""
    given: dict[str, Any] = {"steps": steps, "expand_prompt": run.expand}
    given |= {k: v for k, v in {"sampler": run.sampler, "guidance_scale": run.guidance_scale}.items() if v is not None}
    times = []
    for k, prompt in enumerate(prompts[: TIMED + 1]):
        began = time.perf_counter()
        pipeline(pipeline.request(prompt.texts["en"], seed=k, **given))
        times.append(time.perf_counter() - began)
    return round(float(np.median(times[1:] or times)), 4)


def told(rows: dict[str, Row], floor: Row, figures: dict[str, Any]) -> str:
    """The table, and what must be said of it."""
    lines = [
        [name, *(row[key].text() if key in row else "" for key in COLUMNS), f"{figures['models'][name]['seconds']:.3f}"]
        for name, row in rows.items()
    ]
    lines.append(["true renders", *(floor[key].text() if key in floor else "" for key in COLUMNS), ""])
    text = table(["", *COLUMNS.values(), "seconds a picture"], lines)
    said = f"{figures['n']} prompts in each language; with 95 % intervals; seconds on {figures['threads']} threads"
    enough = 10 * figures["features"]
    few = figures["n"] < enough
    bias = f"\nThese are fewer than {enough} pictures: FD-mini is biased upwards, alike in all rows." if few else ""
    return f"{said}\n{text}{bias}"


def sheet(images: Sequence[np.ndarray], titles: Sequence[str]) -> Image.Image:
    """A row for each model and number of steps."""
    return contact_sheet(images, ON_SHEET, titles)
