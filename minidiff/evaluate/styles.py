"""Does a LoRA of a style make that style, and does the image still show what the prompt says? `minidiff evaluate styles` draws
the same prompts from the same noise without a LoRA and with each.

A scene has one true image in each style, so both are measured by a judge that learnt from true images alone
(`world-style-judge`): what it finds in an image, and to which of six styles the image's textures are nearest. Beside each
figure stands what true images get, as they are and through the VAE: more can't be asked of a model. What it is not: the judge
(judge.py) or its rules (verdict.py).
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
from torch import Tensor
from tqdm import tqdm

from minidiff.data.world.random_scenes import complete
from minidiff.data.world.rendering import ALL_STYLES, FLAT
from minidiff.evaluate.judge import load_judge, look
from minidiff.evaluate.metrics import bootstrap_interval
from minidiff.evaluate.reconstruction import through_vae
from minidiff.evaluate.reliability import rendered
from minidiff.evaluate.report import check_run, percent, save_json, table
from minidiff.evaluate.suites import Prompt, suite
from minidiff.evaluate.verdict import judge as give_verdict
from minidiff.models.detector import Detector
from minidiff.pipelines.loras import LoRAs, shipped
from minidiff.pretrained import zoo
from minidiff.utils.images import contact_sheet
from minidiff.utils.validation import Between

if TYPE_CHECKING:
    from minidiff.pipelines.text_to_image import TextToImage

RIGHT, NEAREST = 0.05, 0.95  # the bars: at most so much less right than without a LoRA; this share in its own style


@dataclass
class StylesRun:
    """Measure LoRAs of the drawn world's styles: whether images are in the style, and still follow their prompts."""

    json: Path = Path("styles.json")
    """Where the figures go; a sheet of images is saved beside it as PNG."""
    model: str = "world-dit"
    lora: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A LoRA to measure, by its name in the zoo (neon) or as STYLE=FILE (neon=runs/neon/neon.safetensors); may be given several
    times. All of the zoo's when not given."""
    strength: Annotated[float, Between(-1, 2)] = 1.0
    per_category: Annotated[int, Between(1, 1000)] = 10
    """Prompts in each of six categories, in English and Vietnamese by turns."""
    suite: Annotated[int, Between(0)] = 0
    """0: the prompts whose figures are published. Any other number: prompts to choose by while a LoRA is made."""
    sampler: str = "dpmpp"
    steps: int = 20
    guidance_scale: float | None = None
    """The model's own when not given."""
    seed: int = 0
    """First seed; prompt k is drawn from seed + k in every style."""
    batch: Annotated[int, Between(1, 4096)] = 16
    device: str | None = None
    dtype: str | None = None

    def __post_init__(self) -> None:
        check_run(self, "minidiff evaluate styles")


@dataclass(frozen=True)
class Judged:
    """Images (N, 3, H, W) in 0..1; for each, whether everything in its prompt is right, and the style that the judge names."""

    images: Tensor
    right: list[bool]
    styles: list[str]

    def figures(self, style: str) -> dict[str, Any]:
        """Shares of images that are right, and in `style`, with intervals; and how many were taken for which style."""
        own = [named == style for named in self.styles]
        return {
            "right": sum(self.right) / len(own), "right_interval": bootstrap_interval([float(one) for one in self.right]),
            "nearest": sum(own) / len(own), "nearest_interval": bootstrap_interval([float(one) for one in own]),
            "taken_for": {name: self.styles.count(name) for name in ALL_STYLES if name in self.styles},
        }  # fmt: skip


def judged(judge: Detector, prompts: Sequence[Prompt], images: Tensor) -> Judged:
    """What the judge says of images of these prompts, in the same order."""
    seen = look(judge, images)
    right = [give_verdict(prompt.claim, one).right for prompt, one in zip(prompts, seen, strict=True)]
    return Judged(images, right, [one.style or "" for one in seen])


def true_images(prompts: Sequence[Prompt], style: str, size: int = 128) -> Tensor:
    """A true image of each claim in a style: what the claim leaves open is random, and the same in every style."""
    return rendered([complete(prompt.claim, random.Random(k)) for k, prompt in enumerate(prompts)], size, style)


def languages(prompts: Sequence[Prompt]) -> list[str]:
    """The prompts' texts, in English and Vietnamese by turns."""
    return [prompt.texts["vi" if k % 2 else "en"] for k, prompt in enumerate(prompts)]


@torch.inference_mode()
def sampled(pipeline: TextToImage, prompts: Sequence[Prompt], run: StylesRun, name: str) -> Tensor:
    """Latents (N, C, h, w) as `minidiff sample` makes them, number k from seed + k."""
    scale = pipeline.guidance_scale if run.guidance_scale is None else run.guidance_scale
    seeds = list(range(run.seed, run.seed + len(prompts)))
    texts, expand = languages(prompts), pipeline.prompt_expander
    texts = [expand(text, seed) for text, seed in zip(texts, seeds, strict=True)] if expand else texts
    found = []
    for k in tqdm(range(0, len(texts), run.batch), desc=name, unit="batch", leave=False):
        part = slice(k, k + run.batch)
        *_, (_, latents, _) = pipeline.sample(texts[part], seeds[part], [""] * len(texts[part]), run.sampler, run.steps, scale)
        found.append(latents)
    return torch.cat(found)


@torch.inference_mode()
def decoded(pipeline: TextToImage, latents: Tensor, run: StylesRun) -> Tensor:
    """Their images, (N, 3, H, W) in 0..1."""
    return torch.cat([(pipeline.pixels(part).clamp(-1, 1).cpu() + 1) / 2 for part in latents.split(run.batch)])


def sources(run: StylesRun) -> dict[str, str]:
    """What to load for each style: a name in the zoo, or a file. Raises ValueError for a style or LoRA that there isn't."""
    told = {name: zoo.entry(name)["config"]["lora"] for name in shipped(run.model)}
    ours = {name: lora["style"] for name, lora in told.items() if "style" in lora}
    found = {}
    for text in run.lora or tuple(ours):
        style, equals, file = text.partition("=")
        if not equals and text not in ours:
            raise ValueError(f"The zoo has no LoRA {text!r} of a style for {run.model}; it has {', '.join(ours) or 'none'}. "
                             "Another file is given as STYLE=FILE.")  # fmt: skip
        style = style.replace("-", " ") if equals else ours[text]
        if style not in ALL_STYLES[1:]:
            raise ValueError(f"There is no style {style!r}: choose from {', '.join(ALL_STYLES[1:])}.")
        found[style] = file if equals else text
    if not found:
        raise ValueError(f"The zoo has no LoRA of a style for {run.model}: make one by `minidiff finetune style`.")
    return found


def evaluate(run: StylesRun) -> dict[str, Any]:
    """Measure, print tables, write the JSON and the sheet; returns what the JSON holds. Raises ValueError when the model, the
    judge or a LoRA is missing or damaged."""
    from minidiff.pipelines.loading import load_pipeline

    wanted, judge = sources(run), load_judge("world-style-judge")
    pipeline = load_pipeline(run.model, run.device, run.dtype, batch=run.batch)
    loras = LoRAs(pipeline)
    names = {style: loras.load(source, style) for style, source in wanted.items()}
    prompts = suite(run.per_category, seed=run.suite)
    began = time.perf_counter()
    latents = sampled(pipeline, prompts, run, FLAT)
    base = judged(judge, prompts, decoded(pipeline, latents, run))
    found, rows = {FLAT: base}, {FLAT: {**base.figures(FLAT), "controls": controls(loras, prompts, judge, FLAT, {})}}
    for style, name in names.items():
        strengths = {name: run.strength}
        loras.mix(strengths)
        own = sampled(pipeline, prompts, run, style) if loras.moves_latents(name) else latents
        found[style] = judged(judge, prompts, decoded(pipeline, own, run))
        truth = controls(loras, prompts, judge, style, strengths)
        rows[style] = {**found[style].figures(style), **against(found[style], base), "controls": truth}
    loras.mix({})
    figures = {
        "styles": rows, "n": len(prompts),
        "run": {
            "model": pipeline.model, "sha256": pipeline.model_hash, "loras": wanted, "strength": run.strength,
            "suite": run.suite, "sampler": run.sampler, "steps": run.steps, "seed": run.seed,
            "seconds": round(time.perf_counter() - began, 1),
        },
    }  # fmt: skip
    _print(figures)
    save_json(figures, run.json)
    sheet = run.json.with_suffix(".png")
    styles_sheet(prompts, found).save(sheet)
    print(f"\n{run.json} holds the figures, {sheet} shows the same prompts in each style.")
    return figures


def against(styled: Judged, base: Judged) -> dict[str, Any]:
    """How much more often images are right than those of the same prompts without a LoRA, and whether the bars are reached."""
    more = [float(one) - float(other) for one, other in zip(styled.right, base.right, strict=True)]
    difference = sum(more) / len(more)
    return {"right_more": difference, "right_more_interval": bootstrap_interval(more), "right_reached": difference >= -RIGHT}


def controls(
    loras: LoRAs, prompts: Sequence[Prompt], judge: Detector, style: str, strengths: dict[str, float]
) -> dict[str, dict[str, Any]]:
    """True images of the claims: as they are; through the VAE; and what a perfect network would give with the LoRA. That is a
    styled image through the VAE with the LoRA, or a flat one where the LoRA leaves latents as they are."""
    true, vae = true_images(prompts, style, judge.config.image_size), loras.pipeline.vae
    loras.mix({})
    shown = {"true": true, "through the VAE": through_vae(vae, true)}
    for name in strengths:
        source = true if loras.moves_latents(name) else true_images(prompts, FLAT, judge.config.image_size)
        loras.mix(strengths)
        shown["through the VAE with the LoRA"] = through_vae(vae, source)
    return {name: judged(judge, prompts, images).figures(style) for name, images in shown.items()}


def _print(figures: dict[str, Any]) -> None:
    def interval(pair: Sequence[float]) -> str:
        return f"{100 * pair[0]:.0f} to {100 * pair[1]:.0f}"

    rows, truth = [], []
    for style, row in figures["styles"].items():
        missed = ", ".join(f"{n} {name}" for name, n in row["taken_for"].items() if name != style)
        flat = style == FLAT
        rows.append([
            style, percent(row["right"]), interval(row["right_interval"]),
            "" if flat else f"{100 * row['right_more']:+.1f}", "" if flat else interval(row["right_more_interval"]),
            percent(row["nearest"]), interval(row["nearest_interval"]), missed,
        ])  # fmt: skip
        for name, one in row["controls"].items():
            truth.append([style, name, percent(one["right"]), percent(one["nearest"])])
    header = ["", "right", "95 %", "more than flat", "95 %", "own style", "95 %", "taken for"]
    print(f"\nThe same {figures['n']} prompts in each style, on held-out compositions\n{table(header, rows)}")
    print(f"Bars: right at most {100 * RIGHT:.0f} points less than flat, own style {percent(NEAREST)}.\n")
    print(f"True images of the same claims\n{table(['', 'image', 'right', 'own style'], truth)}")


def styles_sheet(prompts: Sequence[Prompt], found: dict[str, Judged], most: int = 6) -> Any:
    """A row for each style, a column for each of a few prompts of different categories, framed by whether all is right."""
    step = max(1, len(prompts) // most)
    columns = list(range(0, len(prompts), step))[:most]
    images, captions, marks = [], [], []
    texts = languages(prompts)
    for style, judged_images in found.items():
        for k in columns:
            images.append((judged_images.images[k] * 255).round().byte().permute(1, 2, 0).numpy())
            captions.append(f"{style} | {texts[k]}")
            marks.append(judged_images.right[k])
    return contact_sheet(np.stack(images), len(columns), captions, marks)
