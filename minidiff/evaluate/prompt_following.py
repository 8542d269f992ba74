"""Does the picture show what the prompt says? `minidiff evaluate prompts --json out.json` measures it in three
languages on compositions that training never showed, by the judge, beside the judge's own accuracy and two controls.

What it is not: the judge (`judge`), its rules (`verdict`) or the prompts (`suites`). A trainer that wants to watch
obedience grow calls `accuracy` with its own way of drawing.
"""

from __future__ import annotations

import itertools
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from minidiff.data.world.scenes import WORLD_VERSION, Scene, complete
from minidiff.evaluate.judge import Judge, Seen, load_judge, look, to_batch
from minidiff.evaluate.metrics import bootstrap_interval
from minidiff.evaluate.reliability import reliability, rendered
from minidiff.evaluate.report import check_run, contact_sheet, percent, reliability_table, save_json, table
from minidiff.evaluate.suites import CATEGORIES, LANGS, PER_CATEGORY, Prompt, suite
from minidiff.evaluate.verdict import Verdict
from minidiff.evaluate.verdict import judge as give_verdict

if TYPE_CHECKING:
    from minidiff.pipelines.text_to_image import TextToImage

Generate = Callable[[list[str]], Any]
"""Texts to pictures, in order: any form that `judge.to_batch` takes, such as floats (B, 3, H, W) in 0..1."""


@dataclass
class PromptsRun:
    """Measure how well pictures follow prompts, per language and category, on held-out compositions."""

    json: Path = Path("prompts.json")
    """Where the figures go; a sheet of pictures is saved beside it as PNG."""
    model: str = "world-dit"
    per_category: int = PER_CATEGORY
    """Prompts in each of the six categories."""
    suite: int = 0
    """0: the prompts whose figures are published. Any other number: prompts to choose by while a model is made."""
    sampler: str = "dpmpp"
    steps: int = 20
    guidance_scale: float | None = None
    """The model's own when not given."""
    seeds: int = 1
    """Pictures per prompt and language, each from another seed."""
    seed: int = 0
    """First seed; the prompts themselves do not depend on it."""
    upsample: bool = True
    """Draw as the model does for a visitor, who may have said less than it wants to know (`data/upsampling.py`)."""
    seen: bool = False
    """Also measure prompts whose compositions were all in training (English)."""
    batch: int = 16
    judged: int = 1000
    """Fresh renders on which the judge itself is measured."""
    device: str | None = None
    dtype: str | None = None

    def __post_init__(self) -> None:
        check_run(self, "per_category", "seeds", "batch", "judged")
        if self.suite < 0:
            raise ValueError(f"--suite must be at least 0, not {self.suite}.")


@dataclass
class Results:
    """Verdicts on some prompts, in order, with what was seen and the pictures (uint8) that it was seen in."""

    prompts: list[Prompt]
    verdicts: list[Verdict] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    pictures: list[np.ndarray] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """overall and each category: share of pictures in which everything is right, with bootstrap intervals over prompts,
        whose several pictures are no independent witnesses; attributes: share in which that attribute is right, among the
        prompts that speak of it."""
        right: dict[str, list[float]] = defaultdict(list)
        attributes: dict[str, list[float]] = defaultdict(list)
        for (category, _), values in self.by_prompt().items():
            for name in ("overall", category):
                right[name].append(sum(values) / len(values))
        for verdict in self.verdicts:
            for name, value in verdict.attributes.items():
                attributes[name].append(float(value))
        shares: dict[str, Any] = {name: sum(values) / len(values) for name, values in right.items()}
        shares["intervals"] = {name: bootstrap_interval(values) for name, values in right.items()}
        shares["attributes"] = {name: sum(values) / len(values) for name, values in attributes.items()}
        return shares

    def by_prompt(self) -> dict[tuple[str, Scene], list[bool]]:
        """Whether everything was right in each picture of a prompt, by category and claim."""
        found: dict[tuple[str, Scene], list[bool]] = defaultdict(list)
        for prompt, verdict in zip(self.prompts, self.verdicts, strict=True):
            found[prompt.category, prompt.claim].append(verdict.right)
        return found

    def extend(self, other: Results) -> None:
        """Append another set of results."""
        for name in ("prompts", "verdicts", "seen", "pictures"):
            getattr(self, name).extend(getattr(other, name))


def assess(
    generate: Generate, prompts: Sequence[Prompt], judge: Judge, lang: str = "en", batch: int = 16, quiet: bool = True
) -> Results:
    """Draw each prompt's text in `lang`, look at the picture and compare it with the claim."""
    results = Results([])
    for start in tqdm(range(0, len(prompts), batch), desc=f"prompts: {lang}", unit="batch", disable=quiet, leave=False):
        part = prompts[start : start + batch]
        pictures = to_batch(generate([prompt.texts[lang] for prompt in part]), judge.config.image_size)
        results.extend(_judged(part, pictures, judge))
    return results


def _judged(prompts: Sequence[Prompt], pictures: Tensor, judge: Judge) -> Results:
    seen = look(judge, pictures)
    verdicts = [give_verdict(prompt.claim, s) for prompt, s in zip(prompts, seen, strict=True)]
    images = (pictures.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return Results(list(prompts), verdicts, seen, list(images))


def accuracy(
    generate: Generate,
    prompts: Sequence[Prompt] | None = None,
    judge: Judge | None = None,
    langs: Sequence[str] = ("en",),
    batch: int = 16,
) -> dict[str, float]:
    """For a trainer: {"en": 0.8, "en_object": 0.9, ...}, overall and by category, for each language in `langs`.

    Args:
        generate: texts to pictures; it must draw the i-th text it is ever given from noise of its own that is the same
            in every call of `accuracy`, or figures of two moments differ by luck too.
        prompts: `suites.suite(...)`; by default 10 of each category, none of them of the published suite.
        judge: by default the shipped one.
    """
    prompts = prompts if prompts is not None else suite(10, seed=1)
    judge = judge or load_judge()
    figures = {}
    for lang in langs:
        results = assess(generate, prompts, judge, lang, batch).figures()
        figures[lang] = results["overall"]
        figures.update({f"{lang}_{name}": results[name] for name in CATEGORIES if name in results})
    return figures


@torch.inference_mode()
def through_vae(pipeline: TextToImage, pictures: Tensor) -> Tensor:
    """Encoded and decoded, (B, 3, H, W) in 0..1: the best that a generator in this latent space can look."""
    mean, _ = pipeline.vae.encode(pictures.to(pipeline.device) * 2 - 1)
    return (pipeline.vae.decode(mean).float().clamp(-1, 1) + 1).cpu() / 2


def real_pictures(
    prompts: Sequence[Prompt], judge: Judge, seed: int = 0, change: Callable[[Tensor], Tensor] | None = None
) -> Results:
    """Control, the ceiling: drawings by the world itself of which each claim is true, perhaps changed before judging."""
    results = Results([])
    for start in range(0, len(prompts), 64):
        part = prompts[start : start + 64]
        scenes: list[Scene] = [complete(p.claim, random.Random(seed + start + k)) for k, p in enumerate(part)]
        pictures = rendered(scenes, judge.config.image_size)
        results.extend(_judged(part, pictures if change is None else change(pictures), judge))
    return results


def shuffled(results: Results) -> Results:
    """Control, the floor: each picture held against another prompt of its category."""
    prompts, verdicts = [], []
    for k, prompt in enumerate(results.prompts):
        others = [p for p in results.prompts if p.category == prompt.category and p.claim != prompt.claim] or [prompt]
        other = others[(k * 7 + 3) % len(others)]
        prompts.append(other)
        verdicts.append(give_verdict(other.claim, results.seen[k]))
    return Results(prompts, verdicts, results.seen, results.pictures)


def pipeline_generator(pipeline: TextToImage, run: PromptsRun, first_seed: int) -> Generate:
    """Draws by the pipeline, many prompts at a time; the k-th text it is given starts from seed `first_seed` + k."""
    seeds = itertools.count(first_seed)
    prompt_expander = pipeline.prompt_expander if run.upsample else None
    scale = pipeline.guidance_scale if run.guidance_scale is None else run.guidance_scale

    @torch.inference_mode()
    def generate(texts: list[str]) -> Tensor:
        own = list(itertools.islice(seeds, len(texts)))
        texts = [prompt_expander(text, seed) for text, seed in zip(texts, own, strict=True)] if prompt_expander else texts
        *_, (_, latents, _) = pipeline.sample(texts, own, [""] * len(texts), run.sampler, run.steps, scale)
        return (pipeline.pixels(latents).float().clamp(-1, 1).cpu() + 1) / 2

    return generate


# --- the command ----------------------------------------------------------------------------------------------------


def evaluate(run: PromptsRun) -> dict[str, Any]:
    """Measure, print tables, write the JSON and the sheet of pictures; returns what the JSON holds.

    Raises ValueError (ZooError) when the model or the judge is not there.
    """
    from minidiff.pipelines.text_to_image import load_pipeline

    pipeline = load_pipeline(run.model, run.device, run.dtype, batch=run.batch)
    judge = load_judge()
    prompts = suite(run.per_category, seed=run.suite)
    began = time.perf_counter()
    by_lang = {lang: _over_seeds(pipeline, run, prompts, judge, lang) for lang in LANGS}
    seconds = time.perf_counter() - began
    figures: dict[str, Any] = {lang: results.figures() for lang, results in by_lang.items()}
    figures["gap"] = abs(figures["en"]["overall"] - figures["vi"]["overall"])
    if run.seen:
        figures["seen_en"] = _over_seeds(pipeline, run, suite(run.per_category, False, run.suite), judge, "en").figures()
    figures["controls"] = {
        "real renders": real_pictures(prompts, judge).figures(),
        "real, through the VAE": real_pictures(prompts, judge, change=lambda x: through_vae(pipeline, x)).figures(),
        "shuffled prompts": shuffled(by_lang["en"]).figures(),
    }
    trust = reliability(judge, run.judged, quiet=False)
    figures |= {"judge": trust["real"], "judge_details": trust, "n": len(prompts)}
    figures["run"] = _about(run, pipeline, seconds)
    right = {lang: results.by_prompt() for lang, results in by_lang.items()}
    figures["prompts"] = [
        {"category": p.category, **p.texts, "right": {lang: right[lang][p.category, p.claim] for lang in LANGS}}
        for p in prompts
    ]
    _print(figures, run.judged)
    save_json(figures, run.json)
    sheet = run.json.with_suffix(".png")
    failures_and_successes(by_lang).save(sheet)
    print(f"\n{run.json} holds the figures, {sheet} shows failures and successes of each category.")
    return figures


def _over_seeds(pipeline: TextToImage, run: PromptsRun, prompts: Sequence[Prompt], judge: Judge, lang: str) -> Results:
    results = Results([])
    for k in range(run.seeds):
        generate = pipeline_generator(pipeline, run, run.seed + k * len(prompts))
        results.extend(assess(generate, prompts, judge, lang, run.batch, quiet=False))
    return results


def _about(run: PromptsRun, pipeline: TextToImage, seconds: float) -> dict[str, Any]:
    """What one needs to know to get these figures again."""
    return {
        "model": pipeline.model, "sha256": pipeline.model_hash, "world_version": WORLD_VERSION,
        "suite": run.suite, "sampler": run.sampler, "steps": run.steps, "seed": run.seed, "seeds": run.seeds,
        "upsampled": run.upsample and pipeline.prompt_expander is not None,
        "guidance_scale": pipeline.guidance_scale if run.guidance_scale is None else run.guidance_scale,
        "dtype": str(pipeline.dtype).removeprefix("torch."), "device": str(pipeline.device),
        "pictures": 3 * run.seeds * run.per_category * len(CATEGORIES), "seconds": round(seconds, 1),
    }  # fmt: skip


def _print(figures: dict[str, Any], judged: int) -> None:
    named = {lang: figures[lang] for lang in LANGS}
    named |= {"en, seen compositions": figures["seen_en"]} if "seen_en" in figures else {}
    rows = []
    for name, row in (named | figures["controls"]).items():
        low, high = row["intervals"]["overall"]
        rows.append([name, percent(row["overall"]), f"{100 * low:.1f} to {100 * high:.1f}",
                     *(percent(row.get(c)) for c in CATEGORIES)])  # fmt: skip
    print(f"\nEverything right, {figures['n']} prompts per language, all on held-out compositions")
    print(table(["", "overall", "95 % interval", *CATEGORIES], rows))
    print(f"gap between English and Vietnamese: {figures['gap']:.3f}\n")
    print(reliability_table(figures["judge_details"], judged))


def failures_and_successes(by_lang: dict[str, Results], each: int = 3) -> Any:
    """A sheet with a row per category: the first `each` failures, then as many successes, in English and Vietnamese."""
    chosen: list[tuple[np.ndarray, str, bool | None]] = []
    blank = np.full((128, 128, 3), 255, np.uint8)
    for category in CATEGORIES:
        for right in (False, True):
            found = [
                (results.pictures[k], f"{prompt.texts[lang]} | {results.seen[k].words() if not right else ''}", right)
                for lang, results in by_lang.items()
                for k, prompt in enumerate(results.prompts)
                if prompt.category == category and results.verdicts[k].right == right
            ]
            picked = found[:: max(1, len(found) // each)][:each]
            chosen += [*picked, *[(blank, "", None)] * (each - len(picked))]
    pictures, texts, marks = zip(*chosen, strict=True)
    return contact_sheet(pictures, texts, marks, columns=2 * each)
