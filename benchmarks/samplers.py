"""What a sampler costs and what it gives: `python -m benchmarks.samplers`.

Cost: microseconds per step besides the network, against the scheduler of diffusers with the same method, in one run.
Gain: how far samples of a mixture of two Gaussians, whose exact denoiser is known, are from that mixture after n steps;
as a table, and drawn into docs/samplers.png.
"""

from __future__ import annotations

import argparse
import functools
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from minidiff.diffusion.analytic import mixture
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import SAMPLERS, State, run
from minidiff.diffusion.schedules import get_schedule
from minidiff.evaluate.report import table
from minidiff.inference.fused_sampling import run_fused

BAR = 0.6               # ours over diffusers, at most
SHAPE = (1, 4, 64, 64)  # a latent of Stable Diffusion, float32
RUN = 20                # steps

# ----------------------------------------------------------------------------------------------------- cost of a step


@dataclass(frozen=True)
class Duel:
    """One method on both sides: a row of `SAMPLERS` with a schedule and a spacing, and a scheduler with its options."""

    sampler: str
    scheduler: str
    options: tuple[tuple[str, Any], ...] = ()
    schedule: str = "scaled_linear"
    prediction_type: str = "eps"
    spacing: str = "trailing"


SDE = (("algorithm_type", "sde-dpmsolver++"),)
DUELS = {
    "DDIM": Duel("ddim", "DDIMScheduler", (("clip_sample", False),)),
    "DDPM": Duel("ddpm", "DDPMScheduler", (("clip_sample", False),)),
    "Euler": Duel("euler", "EulerDiscreteScheduler"),
    "Euler ancestral": Duel("euler_a", "EulerAncestralDiscreteScheduler"),
    "Heun": Duel("heun", "HeunDiscreteScheduler"),
    "DPM++ 2M": Duel("dpmpp_2m", "DPMSolverMultistepScheduler"),
    "DPM++ 2M SDE": Duel("dpmpp_2m_sde", "DPMSolverMultistepScheduler", SDE),
    "flow Euler": Duel("euler", "FlowMatchEulerDiscreteScheduler", (("shift", 3.0),), "flow", "flow", "flow_shift"),
}


def ours(duel: Duel, x: Tensor, noise: Tensor, how: str) -> Callable[[], object]:
    """A whole run, the spacing of its times included, with a network that hands back what it is given. how: plain, or fused
    as the pipelines do it."""
    schedule = get_schedule(duel.schedule)

    def network(x: Tensor, timestep: Tensor) -> Tensor:
        return x

    def plain() -> Iterator[State]:
        model = denoiser(network, schedule, duel.prediction_type)
        return run(duel.sampler, model, x, schedule, RUN, timesteps=duel.spacing, noise=lambda index: noise)

    def fused() -> Iterator[State]:
        return run_fused(
            duel.sampler, network, x, schedule, duel.prediction_type, RUN, timesteps=duel.spacing, noise=lambda index: noise
        )

    def once() -> object:
        for state in fused() if how == "fused" else plain():
            last = state.x
        return last

    return once


def theirs(duel: Duel, x: Tensor) -> Callable[[], object]:
    """The same in the loop of diffusers' pipelines."""
    import diffusers

    options = dict(duel.options)
    if duel.schedule != "flow":
        options |= {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
        options |= {"timestep_spacing": duel.spacing}
    scheduler = getattr(diffusers, duel.scheduler)(**options)
    scaled = hasattr(scheduler, "scale_model_input")

    def once() -> object:
        scheduler.set_timesteps(RUN)
        state = x * getattr(scheduler, "init_noise_sigma", 1.0)
        for timestep in scheduler.timesteps:
            given = scheduler.scale_model_input(state, timestep) if scaled else state
            timestep.expand(len(x))                     # what the network would be told
            state = scheduler.step(given, timestep, state, return_dict=False)[0]
        return state

    return once


def in_turns(contestants: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Median seconds of processor time of each: by the clock on the wall, a busy machine would interrupt the slower one
    more often and make it look slower still."""
    seconds: list[list[float]] = [[] for _ in contestants]
    for _ in range(rounds + 2):
        for once, found in zip(contestants, seconds, strict=True):
            began = time.process_time()
            once()
            found.append(time.process_time() - began)
    return [statistics.median(found[2:]) for found in seconds]      # the first two are for warming up


@torch.inference_mode()
def costs(rounds: int) -> dict[str, tuple[float, float, float]]:
    """{method: (plain, fused, diffusers)}, microseconds per step of whole runs, on one thread. Noise is handed to both ready
    drawn: drawing it costs both the same, and more than the rest. Both are warm; ours remembers the weights of the times
    it has met, and the first picture along its times takes some 2 ms longer."""
    x, noise = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = {}
    with ExitStack() as stack:
        for module in ("ddpm", "euler_ancestral_discrete", "dpmsolver_multistep"):
            stack.enter_context(patch(f"diffusers.schedulers.scheduling_{module}.randn_tensor", lambda *_, **__: noise))
        for name, duel in DUELS.items():
            seconds = in_turns([ours(duel, x, noise, "plain"), ours(duel, x, noise, "fused"), theirs(duel, x)], rounds)
            plain, fused, other = (second / RUN * 1e6 for second in seconds)
            found[name] = (plain, fused, other)
    torch.set_num_threads(threads)
    return found


def show_costs(rounds: int = 101) -> None:
    """Print the table of costs."""
    import diffusers

    rows = []
    for name, (plain, fused, other) in costs(rounds).items():
        times = [f"{cost:.0f} µs" for cost in (plain, fused, other)]
        rows.append([name, *times, f"{plain / other:.2f}", f"{fused / other:.2f}", f"<= {BAR}"])
    print(f"a step besides the network: latents {SHAPE} in fp32, {RUN} steps, 1 thread, diffusers {diffusers.__version__}")
    print(table(["", "plain", "fused", "diffusers", "ratio, plain", "ratio, fused", "bar"], rows))


# --------------------------------------------------------------------------------------------------- error of a picture

MEANS, STD = (-1.0, 1.0), 0.3
POINTS, DRAWS = 4096, 16        # samples at once (more are slow to allocate), and how often where noise is drawn
STEPS = (5, 7, 10, 14, 20, 28, 40, 57, 80, 113, 160)
IN_TABLE = (5, 10, 20, 40, 80, 160)


def quantiles(n: int) -> Tensor:
    """(n,) values that cut the mixture into equal shares, rising: its distribution function, turned round."""
    value = torch.linspace(-3, 3, 60_001, dtype=torch.float64)
    share = sum(torch.special.ndtr((value - mean) / STD) for mean in MEANS) / len(MEANS)
    wanted = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    high = torch.searchsorted(share, wanted).clamp(1)
    between = (wanted - share[high - 1]) / (share[high] - share[high - 1])
    return torch.lerp(value[high - 1], value[high], between)


@functools.cache
def error(name: str, n: int) -> float:
    """Mean distance between the sorted samples of a sampler and as many quantiles of the mixture (the Wasserstein-1
    distance). In one dimension the exact ODE takes quantiles of the noise to quantiles of the data, so without fresh noise
    it is the error of the trajectories too. Samples with fresh noise are drawn in mirrored pairs, as the data are."""
    path, generator = get_schedule("cosine"), torch.Generator().manual_seed(0)
    model, fresh = mixture(path, MEANS, STD), SAMPLERS[name].eta > 0
    even = torch.special.ndtri((torch.arange(POINTS, dtype=torch.float64) + 0.5) / POINTS)

    def mirrored(_: int = 0) -> Tensor:
        half = torch.randn(POINTS // 2, generator=generator, dtype=torch.float64)
        return torch.cat([half, -half])

    ends = []
    for _ in range(DRAWS if fresh else 1):
        for state in run(name, model, mirrored() if fresh else even, path, n, noise=mirrored):
            x = state.x
        ends.append(x)
    samples = torch.cat(ends).sort().values
    return float((samples - quantiles(len(samples))).abs().mean())


def show_errors() -> None:
    """Print the table of errors."""
    rows = [[sampler.label, *(f"{error(name, n):.4f}" for n in IN_TABLE)] for name, sampler in SAMPLERS.items()]
    print("distance between samples and data, N(-1, 0.3²) or N(1, 0.3²), by steps on the cosine path, uniform grid")
    print(table(["", *map(str, IN_TABLE)], rows))


# Okabe and Ito's colours, which are told apart without red or green; and a marker each. Equal curves are drawn once.
CURVES: dict[str, tuple[str, str, str]] = {
    "ddpm": ("DDPM = Euler ancestral", "#D55E00", "o"),
    "ddim": ("DDIM = Euler", "#0072B2", "s"),
    "dpmpp_2m_sde": ("DPM++ 2M SDE", "#CC79A7", "^"),
    "dpmpp_2m": ("DPM++ 2M", "#009E73", "D"),
    "heun": ("Heun, 2 evaluations a step", "#000000", "v"),
}


# Dashed lines: slope, height at 5 steps, what it means, and where that is written.
GUIDES = (
    (1, 0.35, "twice the steps, half the error", (6.4, 0.32)),
    (2, 0.02, "twice the steps, a quarter of it", (5.2, 0.0009)),
)
FOOTNOTE = (
    "Data: N(-1, 0.3²) or N(1, 0.3²), for which the perfect denoiser is known. Cosine path, uniform grid.\n"
    f"With fresh noise: {POINTS * DRAWS} samples, which are off by about 0.002 by chance."
)


def apart(heights: Sequence[float], least: float) -> list[float]:
    """The heights, pushed apart until neighbours are at least that far from each other; in their order."""
    order = sorted(range(len(heights)), key=lambda k: -heights[k])
    placed = list(heights)
    for above, below in zip(order, order[1:], strict=False):
        placed[below] = min(placed[below], placed[above] - least)
    return placed


def draw(path: FilePath) -> None:
    """The errors of all samplers over their steps, log-log, each curve labelled where it ends."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8.4, 5.4), dpi=110, layout="constrained")
    heights = apart([math.log10(error(name, STEPS[-1])) for name in CURVES], 0.13)
    for (name, (label, colour, marker)), height in zip(CURVES.items(), heights, strict=True):
        axes.plot(STEPS, [error(name, n) for n in STEPS], color=colour, marker=marker, markersize=5, linewidth=2)
        axes.annotate(label, (STEPS[-1], 10**height), (10, 0), textcoords="offset points", color=colour, va="center",
                      fontsize=10.5)  # fmt: skip
    for power, top, text, at in GUIDES:
        axes.plot((5, 160), [top, top * (5 / 160) ** power], color="#8a8a8a", linewidth=1, linestyle=(0, (4, 4)), zorder=0)
        axes.text(*at, text, color="#6a6a6a", fontsize=9)
    axes.set(xscale="log", yscale="log", xlim=(4.5, 175), ylim=(6e-5, 0.5), ylabel="mean distance of samples from the data")
    axes.set_xticks(IN_TABLE, [str(n) for n in IN_TABLE])
    axes.xaxis.minorticks_off()
    axes.set_yticks([0.1, 0.01, 0.001, 0.0001], ["0.1", "0.01", "0.001", "0.0001"])
    axes.set_xlabel(f"steps\n\n{FOOTNOTE}", loc="left", color="#6a6a6a")
    axes.set_title("More steps, less error: how much less is a matter of the sampler", loc="left", fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    """Print both tables, and draw the second."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.samplers", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=101, help="rounds of each timing (default 101)")
    parser.add_argument("--picture", type=FilePath, default=FilePath("docs/samplers.png"), help="where to draw")
    options = parser.parse_args()
    show_costs(options.rounds)
    print()
    show_errors()
    draw(options.picture)
    print(f"drawn into {options.picture}")


if __name__ == "__main__":
    main()
