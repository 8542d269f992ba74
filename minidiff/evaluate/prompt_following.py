"""Does the image show what the prompt says? `minidiff evaluate prompts` measures it in three languages, on compositions that
training never showed, beside controls and the judge's own accuracy. Training calls `accuracy`.

What it is not: the judge (`judge`), its rules (`verdict`) or the prompts (`suites`).
"""

from __future__ import annotations

import itertools
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from minidiff.data.world.random_scenes import complete
from minidiff.data.world.scenes import WORLD_VERSION, Scene
from minidiff.evaluate.judge import Seen, load_judge, look, to_batch
from minidiff.evaluate.metrics import bootstrap_interval
from minidiff.evaluate.reconstruction import through_vae
from minidiff.evaluate.reliability import reliability, rendered
from minidiff.evaluate.report import check_run, percent, reliability_table, save_json, table
from minidiff.evaluate.suites import CATEGORIES, LANGS, PER_CATEGORY, WRITTEN_LANGS, Prompt, suite, written_suite
from minidiff.evaluate.verdict import Verdict
from minidiff.evaluate.verdict import judge as give_verdict
from minidiff.evaluate.well_formed import compared, deviations
from minidiff.models.detector import Detector
from minidiff.utils.images import contact_sheet
from minidiff.utils.validation import Between

if TYPE_CHECKING:
    from minidiff.pipelines.text_to_image import TextToImage

Generate = Callable[[list[str]], Any]
"""Texts to images, in order: any form that `judge.to_batch` takes, such as floats (B, 3, H, W) in 0..1."""


@dataclass
class PromptsRun:
    """Measure how well images follow prompts, per language and category, on held-out compositions."""

    json: Path = Path("prompts.json")
    """Where the figures go; a sheet of images is saved beside it as PNG."""
    model: str = "world-dit"
    per_category: Annotated[int, Between(1, 1000)] = PER_CATEGORY
    """Prompts in each of the six categories of a numbered suite."""
    suite: Literal["people", "people-choice"] | Annotated[int, Between(0)] = 0
    """0: the prompts whose figures are published. Any other number: prompts to choose by while a model is made. people: 200
    prompts in English and 200 in Vietnamese, written by hand as people type them; people-choice: others to choose by."""
    sampler: str = "dpmpp"
    steps: int = 20
    guidance_scale: float | None = None
    """The model's own when not given."""
    seeds: Annotated[int, Between(1, 1000)] = 1
    """Images per prompt and language, each from another seed."""
    seed: int = 0
    """First seed; the prompts themselves do not depend on it."""
    expand: bool = True
    """Expand prompts as `minidiff sample` does; --no-expand draws from the prompts as they are."""
    seen: bool = False
    """Also measure prompts whose compositions were all in training (English)."""
    batch: Annotated[int, Between(1, 4096)] = 16
    judged: Annotated[int, Between(1, 10**6)] = 1000
    """Fresh renders on which the judge itself is measured."""
    device: str | None = None
    dtype: str | None = None

    def __post_init__(self) -> None:
        check_run(self, "minidiff evaluate prompts")
        if self.seen and isinstance(self.suite, str):
            raise ValueError(f"--seen is for numbered suites: the prompts of {self.suite!r} are what people wrote.")


@dataclass
class Results:
    """Prompts, verdicts, what the judge found, and images (uint8), in the same order."""

    prompts: list[Prompt]
    verdicts: list[Verdict] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    images: list[np.ndarray] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """Shares of images in which everything is right, overall and by category; bootstrap intervals of these over prompts
        (images of one prompt aren't independent); and for each attribute, of the prompts that mention it."""
        right: dict[str, list[float]] = defaultdict(list)
        attributes: dict[str, list[float]] = defaultdict(list)
        for key, values in self.by_prompt().items():
            for name in ("overall", str(key[0])):
                right[name].append(sum(values) / len(values))
        for verdict in self.verdicts:
            for name, value in verdict.attributes.items():
                attributes[name].append(float(value))
        shares: dict[str, Any] = {name: sum(values) / len(values) for name, values in right.items()}
        shares["intervals"] = {name: bootstrap_interval(values) for name, values in right.items()}
        shares["attributes"] = {name: sum(values) / len(values) for name, values in attributes.items()}
        return shares

    def by_prompt(self) -> dict[tuple[object, ...], list[bool]]:
        """By a prompt's key: whether everything is right in each image."""
        found: dict[tuple[object, ...], list[bool]] = defaultdict(list)
        for prompt, verdict in zip(self.prompts, self.verdicts, strict=True):
            found[prompt.key].append(verdict.right)
        return found

    def extend(self, other: Results) -> None:
        for name in ("prompts", "verdicts", "seen", "images"):
            getattr(self, name).extend(getattr(other, name))


def assess(
    generate: Generate, prompts: Sequence[Prompt], judge: Detector, lang: str = "en", batch: int = 16, quiet: bool = True
) -> Results:
    """Generate an image of each prompt's text in `lang` and compare what the judge finds with the claim."""
    results = Results([])
    for start in tqdm(range(0, len(prompts), batch), desc=f"prompts: {lang}", unit="batch", disable=quiet, leave=False):
        part = prompts[start : start + batch]
        images = to_batch(generate([prompt.texts[lang] for prompt in part]), judge.config.image_size)
        results.extend(_judged(part, images, judge))
    return results


def _judged(prompts: Sequence[Prompt], images: Tensor, judge: Detector) -> Results:
    seen = look(judge, images)
    verdicts = [best_verdict(prompt, s) for prompt, s in zip(prompts, seen, strict=True)]
    arrays = (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return Results(list(prompts), verdicts, seen, list(arrays))


def best_verdict(prompt: Prompt, seen: Seen) -> Verdict:
    """By the reading of the prompt that the image fulfils best."""
    verdicts = [give_verdict(claim, seen) for claim in (prompt.claim, *prompt.others)]
    return max(verdicts, key=lambda verdict: verdict.right)


def accuracy(
    generate: Generate,
    prompts: Sequence[Prompt] | None = None,
    judge: Detector | None = None,
    langs: Sequence[str] = ("en",),
    batch: int = 16,
) -> dict[str, float]:
    """{"en": 0.8, "en_object": 0.9, ...}, overall and by category, for each language in `langs`; for training.

    Args:
        generate: must draw the i-th text that it ever gets from noise of its own, the same in every call of `accuracy`;
            otherwise figures of two moments differ by luck too.
        prompts: by default 10 of each category, none of them of the published suite.
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


def real_images(
    prompts: Sequence[Prompt], judge: Detector, seed: int = 0, change: Callable[[Tensor], Tensor] | None = None
) -> Results:
    """Control, the ceiling: renders of which the claims are true, perhaps changed before judging."""
    results = Results([])
    for start in range(0, len(prompts), 64):
        part = prompts[start : start + 64]
        scenes: list[Scene] = [complete(p.claim, random.Random(seed + start + k)) for k, p in enumerate(part)]
        images = rendered(scenes, judge.config.image_size)
        results.extend(_judged(part, images if change is None else change(images), judge))
    return results


def shuffled(results: Results) -> Results:
    """Control, the floor: each image compared with another prompt of its category."""
    prompts, verdicts = [], []
    for k, prompt in enumerate(results.prompts):
        others = [p for p in results.prompts if p.category == prompt.category and p.claim != prompt.claim] or [prompt]
        other = others[(k * 7 + 3) % len(others)]
        prompts.append(other)
        verdicts.append(best_verdict(other, results.seen[k]))
    return Results(prompts, verdicts, results.seen, results.images)


def pipeline_generator(pipeline: TextToImage, run: PromptsRun, first_seed: int) -> Generate:
    """The k-th text that it ever gets starts from seed `first_seed` + k."""
    seeds = itertools.count(first_seed)
    prompt_expander = pipeline.prompt_expander if run.expand else None
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
    """Measure, print tables, write the JSON and the sheet; returns what the JSON holds. Raises ValueError when the model or the
    judge is missing or damaged."""
    from minidiff.pipelines.loading import load_pipeline

    pipeline = load_pipeline(run.model, run.device, run.dtype, batch=run.batch)
    judge = load_judge()
    asked = prompts_of(run)
    began = time.perf_counter()
    by_lang = {lang: _over_seeds(pipeline, run, prompts, judge, lang) for lang, prompts in asked.items()}
    seconds = time.perf_counter() - began
    figures: dict[str, Any] = {lang: results.figures() for lang, results in by_lang.items()}
    figures["gap"] = abs(figures["en"]["overall"] - figures["vi"]["overall"])
    if run.seen:
        figures["seen_en"] = _over_seeds(pipeline, run, suite(run.per_category, False, int(run.suite)), judge, "en").figures()
    real = asked["en"]
    decoded = real_images(real, judge, change=lambda x: through_vae(pipeline.vae, x))
    figures["controls"] = {
        "real renders": real_images(real, judge).figures(),
        "real, through the VAE": decoded.figures(),
        "shuffled prompts": shuffled(by_lang["en"]).figures(),
    }
    figures["shapes"] = shapes(by_lang, decoded)
    trust = reliability(judge, run.judged, quiet=False)
    figures |= {"judge": trust["real"], "judge_details": trust, "n": len(real)}
    figures["run"] = _about(run, pipeline, seconds, sum(len(results.images) for results in by_lang.values()))
    figures["prompts"] = _right_by_prompt(by_lang)
    _print(figures, run)
    save_json(figures, run.json)
    sheet = run.json.with_suffix(".png")
    failures_and_successes(by_lang).save(sheet)
    print(f"\n{run.json} holds the figures, {sheet} shows failures and successes of each category.")
    return figures


def _over_seeds(pipeline: TextToImage, run: PromptsRun, prompts: Sequence[Prompt], judge: Detector, lang: str) -> Results:
    results = Results([])
    for k in range(run.seeds):
        generate = pipeline_generator(pipeline, run, run.seed + k * len(prompts))
        results.extend(assess(generate, prompts, judge, lang, run.batch, quiet=False))
    return results


def shapes(by_lang: dict[str, Results], decoded: Results) -> dict[str, dict[str, float]]:
    """How far things are from true drawings, of each kind and all together, beside real things that went through the VAE."""
    found: dict[str, list[float]] = defaultdict(list)
    bar = tqdm(by_lang.items(), desc="shapes of things", unit="language", leave=False)
    for _, results in bar:
        for kind, values in deviations(results.images, results.seen).items():
            found[kind] += values
    return compared(found, deviations(decoded.images, decoded.seen))


def prompts_of(run: PromptsRun) -> dict[str, list[Prompt]]:
    """The prompts of each language: the same ones where a number names the suite."""
    if isinstance(run.suite, str):
        return written_suite(run.suite)
    return dict.fromkeys(LANGS, suite(run.per_category, seed=run.suite))


def _right_by_prompt(by_lang: dict[str, Results]) -> list[dict[str, Any]]:
    """Each prompt's texts, and for each language whether its images were right."""
    rows: dict[tuple[object, ...], dict[str, Any]] = {}
    for lang, results in by_lang.items():
        right = results.by_prompt()
        for prompt in results.prompts:
            row = rows.setdefault(prompt.key, {"category": prompt.category, **prompt.texts, "right": {}})
            row["right"][lang] = right[prompt.key]
    return list(rows.values())


def _about(run: PromptsRun, pipeline: TextToImage, seconds: float, images: int) -> dict[str, Any]:
    return {
        "model": pipeline.model, "sha256": pipeline.model_hash, "world_version": WORLD_VERSION,
        "suite": run.suite, "sampler": run.sampler, "steps": run.steps, "seed": run.seed, "seeds": run.seeds,
        "expanded": run.expand and pipeline.prompt_expander is not None,
        "guidance_scale": pipeline.guidance_scale if run.guidance_scale is None else run.guidance_scale,
        "dtype": str(pipeline.dtype).removeprefix("torch."), "device": str(pipeline.device),
        "images": images, "seconds": round(seconds, 1),
    }  # fmt: skip


def _print(figures: dict[str, Any], run: PromptsRun) -> None:
    written = isinstance(run.suite, str)
    langs = WRITTEN_LANGS if written else LANGS
    named = {lang: figures[lang] for lang in langs}
    named |= {"en, seen compositions": figures["seen_en"]} if "seen_en" in figures else {}
    columns = [] if written else list(CATEGORIES)
    rows = []
    for name, row in (named | figures["controls"]).items():
        low, high = row["intervals"]["overall"]
        shares = [percent(row.get(c)) for c in columns]
        rows.append([name, percent(row["overall"]), f"{100 * low:.1f} to {100 * high:.1f}", *shares])
    what = "as people type them" if written else "all on held-out compositions"
    print(f"\nEverything right, {figures['n']} prompts per language, {what}")
    print(table(["", "overall", "95 % interval", *columns], rows))
    print(f"gap between English and Vietnamese: {figures['gap']:.3f}\n")
    if written:
        forms = list(dict.fromkeys(row["category"] for row in figures["prompts"]))
        print(table(["form", *langs], [[form, *(percent(figures[lang].get(form)) for lang in langs)] for form in forms]) + "\n")
    rows = [[kind, f"{row['median']:.4f}", f"{row['real']:.4f}", f"{row['ratio']:.2f}", row["things"]]
            for kind, row in figures["shapes"].items()]  # fmt: skip
    header = ["", "generated", "real, through the VAE", "ratio", "things"]
    print(f"Median deviation of things from true drawings\n{table(header, rows)}\n")
    print(reliability_table(figures["judge_details"], run.judged))


def failures_and_successes(by_lang: dict[str, Results], each: int = 3) -> Any:
    """A sheet with a row per category: `each` failures, then as many successes, spread over prompts and languages."""
    chosen: list[tuple[np.ndarray, str, bool | None]] = []
    blank = np.full((128, 128, 3), 255, np.uint8)
    for category in dict.fromkeys(prompt.category for results in by_lang.values() for prompt in results.prompts):
        for right in (False, True):
            found = [
                (results.images[k], f"{prompt.texts[lang]} | {results.seen[k].words() if not right else ''}", right)
                for lang, results in by_lang.items()
                for k, prompt in enumerate(results.prompts)
                if prompt.category == category and results.verdicts[k].right == right
            ]
            picked = found[:: max(1, len(found) // each)][:each]
            chosen += [*picked, *[(blank, "", None)] * (each - len(picked))]
    images, texts, marks = zip(*chosen, strict=True)
    return contact_sheet(images, 2 * each, texts, marks)
