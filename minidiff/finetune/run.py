"""A fine-tuning from beginning to end: read, encode, learn until nothing gets better, report and draw.

lora.py, full.py and dreambooth.py say what learns and from what; all of them call `finetune`.
"""

from __future__ import annotations

import json
import resource
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from minidiff.data.captioned import Captioned, read_captioned
from minidiff.finetune.captioned_latents import CaptionedLatents
from minidiff.finetune.learners import Learner
from minidiff.finetune.options import FineTuneRun
from minidiff.finetune.task import BEST, FineTuneTask, best_of
from minidiff.models.dit import DiT
from minidiff.models.unet import UNet
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.train.checkpoint import load_checkpoint
from minidiff.train.curves import draw_curves
from minidiff.train.loop import fit
from minidiff.train.options import TrainingError, recipe_text
from minidiff.utils.devices import best_device
from minidiff.utils.files import write_whole
from minidiff.utils.images import contact_sheet

REPORT, SHEET, CURVES = "report.json", "samples.png", "curves.png"


def begin(config: FineTuneRun) -> TextToImage:
    """The run's folder and the model. Raises TrainingError for a model that reads no captions."""
    config.out.mkdir(parents=True, exist_ok=True)
    print(system_report(config.out))
    if config.fresh:
        (config.out / BEST).unlink(missing_ok=True)
    torch.manual_seed(config.seed)
    pipeline = load_pipeline(config.model, dtype="float32")
    if not isinstance(pipeline.network, DiT | UNet):
        raise TrainingError(f"{config.model!r} reads no captions, so it can't learn from them: choose world-dit, say.")
    return pipeline


def finetune_folder(
    config: FineTuneRun,
    make_learner: Callable[[TextToImage], Learner],
    augment: Callable[[Sequence[Captioned]], Sequence[Captioned]] = tuple,
    make_task: Callable[..., FineTuneTask] = FineTuneTask,
) -> None:
    """Learn from a folder of captioned images. augment: changes their captions. make_task: what the loss is.

    Raises TrainingError for data that can't be learnt from and models that don't read captions, DataError and ValueError as
    what it calls."""
    collection = read_captioned(config.data)
    print(collection.report())
    pipeline = begin(config)
    examples = CaptionedLatents(
        pipeline, augment(collection.pairs), config.held, config.caption_dropout, config.mirror, crops=config.crops,
        frozen_text=not config.text, cache=cache_of(config),
    )  # fmt: skip
    task = make_task(config, pipeline, examples, make_learner(pipeline))
    prompts = [collection.pairs[row].captions[0] for row in examples.held[:4]]
    finetune(config, pipeline, task, prompts, images=len(collection.pairs), held_out=len(examples.held),
             left_out=len(collection.left_out))  # fmt: skip


def system_report(folder: Path) -> str:
    """Where it will be computed, and how much room there is."""
    disk = f"{shutil.disk_usage(folder).free / 1e9:.0f} GB of disk free for {folder}"
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        return f"{torch.cuda.get_device_name()}, {free / 1e9:.0f} of {total / 1e9:.0f} GB free; {disk}."
    return f"No GPU: {torch.get_num_threads()} threads on a {best_device()}; {disk}."


def cache_of(config: FineTuneRun) -> Path:
    """Where a run keeps its latents."""
    return config.cache or config.out / "latents"


def step_of(folder: Path) -> int:
    """The step at which a run stands."""
    checkpoint = folder / "checkpoint.pt"
    return load_checkpoint(checkpoint)["step"] if checkpoint.exists() else 0


def finetune(config: FineTuneRun, pipeline: TextToImage, task: FineTuneTask, prompts: Sequence[str], **facts: Any) -> None:
    """Learn until the steps are done or nothing gets better; then report, and draw `prompts` without and with the best.

    facts: what else the report says."""
    began = time.perf_counter()
    without = task.to(pipeline.device).held_out()["loss"]
    step = learn(task, config)
    if best_of(config.out) is None:
        print(f"Stopped at step {step}, before the first validation; the same command goes on.")
        return
    report(config, pipeline, task, prompts, {
        **facts, "without": without, "steps": step, "minutes": round((time.perf_counter() - began) / 60, 2),
        "peak_memory_mb": round(peak_memory()),
    })  # fmt: skip


def learn(task: FineTuneTask, config: FineTuneRun) -> int:
    """Train from validation to validation; returns the step at which it ended."""
    first, last = config.fresh, config.steps
    if config.stop_after:
        last = min(last, config.stop_after + (0 if first else step_of(config.out)))
    while True:
        step = 0 if first else step_of(config.out)
        best = best_of(config.out)
        waited = (step - best["step"]) // config.validate_every if best else 0
        if waited >= config.patience and step < config.steps:
            print(f"Stopped at step {step}: nothing new since step {best['step'] if best else 0}.")
        if step >= last or waited >= config.patience:
            return step
        chunk = min(config.validate_every - step % config.validate_every, last - step)
        fit(task, type(config)(**{**vars(config), "fresh": first, "stop_after": chunk}))
        first = False


def peak_memory() -> float:
    """The most memory that this process has held, in MB: on the GPU where there is one, else altogether."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3     # kB on Linux


def report(
    config: FineTuneRun, pipeline: TextToImage, task: FineTuneTask, prompts: Sequence[str], figures: dict[str, Any]
) -> None:
    """report.json, curves, and a sheet of prompts drawn without and with what was learnt. Minutes are those of this call."""
    best = best_of(config.out) or {}
    recipe = recipe_text(f"minidiff finetune {config.command} {config.data}", config).replace(f" --data {config.data}", "")
    parameters = sum(weight.numel() for weight in task.parameters())
    sheet(config, pipeline, task, prompts).save(config.out / SHEET)
    made, options = task.learner.finish(pipeline, config.model, config.out, recipe)
    size = sum(file.stat().st_size for file in ([made] if made.is_file() else made.rglob("*")) if file.is_file())
    said = {"model": config.model, "recipe": recipe, "parameters": parameters, "bytes": size, "best": best,
            "images_seen": best["step"] * config.batch, **figures}  # fmt: skip
    write_whole(config.out / REPORT, json.dumps(said, indent=2, ensure_ascii=False))
    draw_curves(config.out / "log.csv", config.out / CURVES)
    print(f"Held-out loss {figures['without']:.4f} before, {best['loss']:.4f} after step {best['step']}: {made} "
          f"({size / 1e6:.2f} MB), {config.out / SHEET}, {config.out / CURVES}, {config.out / REPORT}")  # fmt: skip
    print(f'Draw with it: minidiff sample "{prompts[0]}" {options}')


def sheet(config: FineTuneRun, pipeline: TextToImage, task: FineTuneTask, prompts: Sequence[str]) -> Image.Image:
    """Prompts in columns; a row without and one with what was learnt, the latter for each number of steps."""
    rows = [("before", False, config.sample_steps[0])]
    rows += [(f"after, {steps} steps" if len(config.sample_steps) > 1 else "after", True, steps)
             for steps in config.sample_steps]  # fmt: skip
    guidance = {} if config.sample_guidance is None else {"guidance_scale": config.sample_guidance}
    images, titles = [], []
    for title, learnt, steps in rows:
        task.learner.show(pipeline, config.out, learnt)
        for seed, prompt in enumerate(prompts):
            images += pipeline(pipeline.request(prompt, seed=seed, steps=steps, expand_prompt=False, **guidance))
            titles.append(f"{title}: {prompt}")
    return contact_sheet(images, len(prompts), titles)
