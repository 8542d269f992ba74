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
import random
import time
from dataclasses import replace
from pathlib import Path

import torch

from minidiff.data.world.scenes import scene_at
from minidiff.diffusion.prediction import to_x0_eps
from minidiff.diffusion.schedules import get_schedule
from minidiff.evaluate.judge import load_judge
from minidiff.evaluate.prompt_following import assess
from minidiff.evaluate.report import percent, save_json, table
from minidiff.evaluate.suites import suite
from minidiff.pretrained import zoo
from minidiff.train.dit import DiTRun, DiTTask, draw
from minidiff.train.loop import fit
from minidiff.train.world_captions import caption
from minidiff.utils.devices import autocast

HOME = Path("runs/choices")
BASE = DiTRun(hidden_size=192, depth=6, heads=3, seeing_block=3, warmup=40, ema=0.99, validate_every=10**9, save_every=100)
CHOICES: dict[str, dict[str, object]] = {  # what differs from BASE: v, joint text tower, seeing loss, Muon
    "v": {},
    "flow, logit-normal times": {"prediction_type": "flow", "schedule": "flow", "times": "logit_normal"},
    "eps": {"prediction_type": "eps"},
    "x0": {"prediction_type": "x0"},
    "v, text tower frozen": {"text": "frozen", "reading": 0.0},
    "v, its last layer trained": {"text": "last"},
    "v, no seeing loss": {"seeing": 0.0},
    "v, AdamW 1e-3": {"optimizer": "adamw", "lr": 1e-3},
    "v, logit-normal times": {"times": "logit_normal"},
}
ATTRIBUTES = ("object", "count", "colour", "size", "position", "binding", "setting")


@torch.no_grad()
def v_loss(task: DiTTask, thirds: int = 3) -> list[float]:
    """The error in v of a variance-preserving path, in each third of the cosine path's times 0.05 to 0.95 from data to
    noise (nearer the ends an error of eps or of x0 is multiplied without limit), on validation scenes. A model of another
    path is shown the same mixture at its own time and scale."""
    cosine, rng, errors, times = get_schedule("cosine"), random.Random(0), [], []
    for start in range(0, len(task.held), 128):
        generator = torch.Generator().manual_seed(start)
        x0 = torch.from_numpy(task.held[start : start + 128]).float()
        share = (torch.arange(len(x0)) + 0.5) / len(x0)
        t = 0.05 + 0.9 * share
        x = cosine.mix(x0, torch.randn(x0.shape, generator=generator), t)
        own = task.schedule.time(cosine.log_snr_half(t))
        shown = x * (task.schedule.alpha(own) / cosine.alpha(t)).view(-1, 1, 1, 1)
        tokens = task.tokens([caption(scene_at(start + k, "validation"), rng) for k in range(len(x0))])
        with autocast(torch.device("cpu")):
            text = task.text(**tokens).sequence
            prediction = task.dit(shown, task.schedule.timestep(own), text, tokens["mask"])
        guess, _ = to_x0_eps(task.schedule, task.config.prediction_type, prediction.float(), shown, own)
        # with x known, an error d in x0 is an error -d / sigma in v
        errors.append((guess - x0).square().flatten(1).mean(1) / cosine.sigma(t) ** 2)
        times.append(share)
    error, third = torch.cat(errors), (torch.cat(times) * thirds).long()
    return [float(error[third == k].mean()) for k in range(thirds)]


def run(name: str, config: DiTRun, prompts: int) -> dict[str, object]:
    """Train one choice and measure it; what is already in runs/choices is read from there."""
    done = config.out / "figures.json"
    if done.exists():
        return json.loads(done.read_text())
    print(f"\n{name}", flush=True)
    task = DiTTask(config)
    training = fit(task, config)
    training.ema.copy_to(task)
    task.eval()
    pipeline = task.pipeline()
    generate = lambda texts: (draw(pipeline, texts, config.guidance) / 2 + 0.5).clamp(0, 1)  # noqa: E731
    judged = assess(generate, suite(prompts, seed=1), load_judge()).figures()
    figures = {"v_loss": v_loss(task), "minutes": training.seconds / 60, "steps": config.steps, "batch": config.batch,
               "overall": judged["overall"], **judged["attributes"]}  # fmt: skip
    save_json(figures, done)
    return figures


def shipped() -> list[float]:
    """`v_loss` of the zoo's world-dit."""
    config = zoo.entry("world-dit")["config"]
    options = DiTRun(
        start="world-dit", schedule=config["schedule"], prediction_type=config["prediction_type"], text="frozen", reading=0.0, seeing=0.0, scenes=8
    )
    return v_loss(DiTTask(options).eval())


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
        config = replace(BASE, out=folder, steps=options.steps, batch=options.batch, seed=options.seed, **CHOICES[name])  # type: ignore[arg-type]
        f = run(name, config, options.prompts)
        thirds = f["v_loss"]
        assert isinstance(thirds, list)
        shares = [percent(f.get(a)) for a in ATTRIBUTES]  # type: ignore[arg-type]
        rows.append([name, f"{sum(thirds) / 3:.4f}", *(f"{x:.3f}" for x in thirds), *shares, f"{f['minutes']:.1f}"])
        print(table([*header, *ATTRIBUTES, "minutes"], rows), flush=True)
    print(f"{options.steps} steps of {options.batch}; {(time.perf_counter() - began) / 60:.0f} minutes now")


if __name__ == "__main__":
    main()
