"""What each choice in training the DiT buys: `python -m benchmarks.choices --steps 400 --batch 64`.

Small DiTs are trained from nothing, one per choice, on the same pictures in the same order from the same start; then all
are measured alike. Losses of different predictions cannot be compared, so every model's prediction is turned into x0 and
scored as v would be, at the same signal-to-noise ratios, on the same noise. Finished choices are kept in runs/choices and
not run again; a killed one goes on. Where cores are many, several can be trained side by side (`--part 1/2 --threads 1` and
`--part 2/2 --threads 1`); without `--part` the same command then prints the whole table. `--seed 1` begins elsewhere and
shows other pictures, which tells how much of a difference is luck. `--shipped` trains nothing: it measures the zoo's DiT by
the same error.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from minidiff.diffusion.prediction import to_x0_eps
from minidiff.diffusion.schedules import get_schedule
from minidiff.evaluate.judge import load_judge
from minidiff.evaluate.prompt_following import assess
from minidiff.evaluate.report import percent, save_json, table
from minidiff.evaluate.suites import suite
from minidiff.models.dit import DiTConfig
from minidiff.pretrained import zoo
from minidiff.recipes.recipe import Recipe, Stage, Weights, build_task
from minidiff.recipes.world import JOINT, WORLD_DIT, Sampler, pipeline_of
from minidiff.train.latent_diffusion import LatentDiffusionTask, Objective
from minidiff.train.loop import fit
from minidiff.train.options import LoopConfig
from minidiff.utils.devices import autocast

HOME = Path("runs/choices")
MODEL = DiTConfig(sample_size=16, hidden_size=192, depth=6, heads=3)
BASE = replace(WORLD_DIT.stages[0], lr=3e-3, warmup=40, ema=0.99)
LABELS, QUESTIONS = JOINT[1], JOINT[0]
CHOICES: dict[str, dict[str, object]] = {  # what differs from BASE: v, joint text encoder, token labels, Muon
    "v": {},
    "flow, logit-normal times": {"objective": Objective("flow", "flow", "logit_normal")},
    "eps": {"objective": Objective(prediction_type="eps")},
    "x0": {"objective": Objective(prediction_type="x0")},
    "v, text encoder frozen": {"text_trainable": "none", "aux": (LABELS,)},
    "v, its last layer trained": {"text_trainable": "last"},
    "v, no token labels": {"aux": (QUESTIONS,)},
    "v, AdamW 1e-3": {"optimizer": "adamw", "lr": 1e-3},
    "v, logit-normal times": {"objective": Objective(times="logit_normal")},
}
ATTRIBUTES = ("object", "count", "colour", "size", "position", "binding", "setting")


@torch.no_grad()
def v_loss(task: LatentDiffusionTask, thirds: int = 3) -> list[float]:
    """The error in v of a variance-preserving path, in each third of the cosine path's times 0.05 to 0.95 from data to
    noise (nearer the ends an error of eps or of x0 is multiplied without limit), on validation scenes. A model of another
    path is shown the same mixture at its own time and scale."""
    cosine, errors, times = get_schedule("cosine"), [], []
    for number, batch in enumerate(task.examples.held_out()):
        generator, x0, mask = torch.Generator().manual_seed(128 * number), batch["latents"], batch["mask"]
        share = (torch.arange(len(x0)) + 0.5) / len(x0)
        t = 0.05 + 0.9 * share
        x = cosine.mix(x0, torch.randn(x0.shape, generator=generator), t)
        own = task.schedule.time(cosine.log_snr_half(t))
        shown = x * (task.schedule.alpha(own) / cosine.alpha(t)).view(-1, 1, 1, 1)
        with autocast(torch.device("cpu")):
            text = task.text(batch["ids"], mask).sequence
            prediction = task.network(shown, task.schedule.timestep(own), text, mask)
        guess, _ = to_x0_eps(task.schedule, task.objective.prediction_type, prediction.float(), shown, own)
        # with x known, an error d in x0 is an error -d / sigma in v
        errors.append((guess - x0).square().flatten(1).mean(1) / cosine.sigma(t) ** 2)
        times.append(share)
    error, third = torch.cat(errors), (torch.cat(times) * thirds).long()
    return [float(error[third == k].mean()) for k in range(thirds)]


def run(name: str, stage: Stage, folder: Path, prompts: int) -> dict[str, object]:
    """Train one choice and measure it; what is already in runs/choices is read from there."""
    done = folder / "figures.json"
    if done.exists():
        return json.loads(done.read_text())
    print(f"\n{name}", flush=True)
    recipe = replace(WORLD_DIT, model=MODEL, token_layer=3, stages=(stage,))
    task = build_task(recipe, stage, None)
    config = LoopConfig(
        folder, stage.steps, stage.batch, stage.lr, warmup=stage.warmup, weight_decay=stage.weight_decay,
        optimizer=stage.optimizer, ema=stage.ema, seed=stage.seed, validate_every=10**9, save_every=100,
    )  # fmt: skip
    training = fit(task, config)
    training.ema.copy_to(task)
    task.eval()
    generate = Sampler(pipeline_of(recipe.data, task), 5.0)
    judged = assess(generate, suite(prompts, seed=1), load_judge()).figures()
    figures = {"v_loss": v_loss(task), "minutes": training.seconds / 60, "steps": stage.steps, "batch": stage.batch,
               "overall": judged["overall"], **judged["attributes"]}  # fmt: skip
    save_json(figures, done)
    return figures


def shipped() -> list[float]:
    """`v_loss` of the zoo's world-dit."""
    config = zoo.entry("world-dit")["config"]
    objective = Objective(config["schedule"], config["prediction_type"])
    stage = replace(BASE, scenes=8, objective=objective, text_trainable="none", aux=())
    recipe: Recipe = WORLD_DIT
    return v_loss(build_task(recipe, stage, Weights("world-dit")).eval())  # type: ignore[arg-type]


def share(text: str) -> tuple[int, int]:
    """(1, 2) of "1/2"."""
    part, parts = (int(number) for number in text.split("/"))
    if not 1 <= part <= parts:
        raise ValueError(text)  # argparse says the rest
    return part, parts


def main() -> None:
    """Train, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--prompts", type=int, default=40, help="prompts in each of the six categories")
    parser.add_argument("--threads", type=int, default=None)
    of = "train only this share of the choices: 1/2 or 2/2, say"
    parser.add_argument("--part", type=share, default=(1, 1), metavar="K/N", help=of)
    parser.add_argument("--only", nargs="+", choices=CHOICES, default=list(CHOICES), metavar="CHOICE", help="these, not all")
    parser.add_argument("--seed", type=int, default=0, help="another start, and other pictures (default 0)")
    parser.add_argument("--shipped", action="store_true", help="measure the zoo's world-dit instead")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    header = ["", "v loss", "low noise", "middle", "high"]
    if options.shipped:
        losses = shipped()
        print(table(header, [["world-dit", f"{sum(losses) / 3:.4f}", *(f"{x:.4f}" for x in losses)]]))
        return
    part, parts = options.part
    rows, began = [], time.perf_counter()
    home = HOME / (f"{options.steps}x{options.batch}" + (f"-seed-{options.seed}" if options.seed else ""))
    for name in options.only[part - 1 :: parts]:
        folder = home / name.replace(", ", "-").replace(" ", "-")
        changes: dict[str, Any] = {"steps": options.steps, "batch": options.batch, "seed": options.seed, **CHOICES[name]}
        f = run(name, replace(BASE, **changes), folder, options.prompts)
        thirds = f["v_loss"]
        assert isinstance(thirds, list)
        shares = [percent(f.get(a)) for a in ATTRIBUTES]  # type: ignore[arg-type]
        rows.append([name, f"{sum(thirds) / 3:.4f}", *(f"{x:.3f}" for x in thirds), *shares, f"{f['minutes']:.1f}"])
        print(table([*header, *ATTRIBUTES, "minutes"], rows), flush=True)
    print(f"{options.steps} steps of {options.batch}; {(time.perf_counter() - began) / 60:.0f} minutes now")


if __name__ == "__main__":
    main()
