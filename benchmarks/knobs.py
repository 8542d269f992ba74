"""What each control of the studio costs and buys: `python -m benchmarks.knobs`, written to minidiff/studio/measured.json.

The same prompts (suite 1, English and Vietnamese) are drawn from the same seeds with one control changed at a time. The judge
says which pictures show all that their prompts say, the processor's clock how long they took on one thread. All settings are
drawn prompt by prompt, so that a machine that slows down slows all of them. Run it again whenever the shipped model changes:
the studio shows no figure of another model.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import torch

from minidiff.doctor import processor
from minidiff.evaluate.judge import load_judge, look
from minidiff.evaluate.prompt_following import best_verdict
from minidiff.evaluate.report import percent, save_json, table
from minidiff.evaluate.suites import WRITTEN_LANGS, suite
from minidiff.models.detector import Detector
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.studio.measured import FILE, Change, Measured

SUITE = 1  # not the published prompts
MOST = 50  # prompts of each category
Settings = dict[str, Any]
Row = tuple[str, str, str, Settings, Settings]  # control, its value before, after, the settings before, after


def changes_of(pipeline: TextToImage) -> list[Row]:
    """What is measured; all else is as the studio opens."""
    scale = pipeline.guidance_scale
    samplers = ("dpmpp_2m_sde", "ddim", "ddpm", "euler", "euler_a", "heun")
    return [
        ("steps", "20", "10", {}, {"steps": 10}),
        ("steps", "20", "40", {}, {"steps": 40}),
        ("guidance", "1", f"{scale:g}", {"guidance_scale": 1.0}, {}),
        ("guidance", f"{scale:g}", f"{2 * scale:g}", {}, {"guidance_scale": 2 * scale}),
        *(("sampler", "dpmpp_2m", name, {}, {"sampler": name}) for name in samplers),
        ("expand_prompt", "off", "on", {"expand_prompt": False}, {}),
        ("images", "1", "4", {}, {"num_images": 4}),
        ("rescale", "0", "0.7", {}, {"guidance_rescale": 0.7}),
        ("start", "0", "0.3", {}, {"guidance_interval": (0.3, 1.0)}),
        ("end", "1", "0.8", {}, {"guidance_interval": (0.0, 0.8)}),
        ("eta", "0", "1", {"sampler": "ddim"}, {"sampler": "ddim", "eta": 1.0}),
    ]


def measure(
    pipeline: TextToImage, judge: Detector, changes: Sequence[Row], minutes: float
) -> Iterator[tuple[int, list[Change]]]:
    """(how many prompts so far, what each change did to them), after each round of a prompt from every category in every
    language, until so many minutes of the processor are spent."""
    base = {"sampler": "dpmpp_2m", "steps": 20, "guidance_scale": pipeline.guidance_scale}
    distinct = {repr(one): one for row in changes for one in row[3:]}
    right: dict[str, list[float]] = {key: [] for key in distinct}
    spent: dict[str, list[float]] = {key: [] for key in distinct}
    prompts = suite(MOST, seed=SUITE)  # category by category
    seeds = itertools.count(0, 1000)
    pipeline(pipeline.request("a star", **base))  # the first picture plans its kernels
    for turn in range(MOST):
        for prompt, lang in itertools.product(prompts[turn::MOST], WRITTEN_LANGS):
            seed = next(seeds)
            for key, settings in distinct.items():
                request = pipeline.request(prompt.texts[lang], **{**base, **settings, "seed": seed})
                began = time.process_time()
                images = pipeline(request)
                spent[key].append(1000 * (time.process_time() - began))
                right[key].append(float(any(best_verdict(prompt, seen).right for seen in look(judge, images))))
        done = [
            change(*row[:3], (right[repr(row[3])], right[repr(row[4])]), (spent[repr(row[3])], spent[repr(row[4])]))
            for row in changes
        ]
        yield len(right[repr({})]), done
        if time.process_time() > 60 * minutes:
            return


def change(
    knob: str, before: str, after: str, right: tuple[list[float], list[float]], spent: tuple[list[float], list[float]]
) -> Change:
    """One row, from the verdicts and the milliseconds of every prompt, before and after."""
    before_share, after_share = (statistics.mean(values) for values in right)
    figures = [before_share, after_share, after_share - before_share, *interval(*right)]
    figures += [statistics.median(values) for values in spent]
    return Change(knob, before, after, *(round(figure, 4) for figure in figures))


def interval(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the gain from paired verdicts, each 0 or 1 (Agresti & Min 2005: half a pair more of each of the four
    sorts). A bootstrap would claim certainty where the few prompts happen to agree."""
    pairs = list(zip(before, after, strict=True))
    lost, won, n = (sum(a > b for a, b in pairs) + 0.5, sum(b > a for a, b in pairs) + 0.5, len(pairs) + 2)
    gain = (won - lost) / n
    reach = 1.96 * math.sqrt(lost + won - (won - lost) ** 2 / n) / n
    return max(-1.0, gain - reach), min(1.0, gain + reach)


def main() -> None:
    """Measure, write the file, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.knobs", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="world-dit", help="a model of the drawn world (default world-dit)")
    parser.add_argument("--minutes", type=float, default=15, help="of one core; whole rounds of 12 prompts (default 15)")
    parser.add_argument("--out", type=Path, default=FILE, help="where the figures go (default: where the studio reads them)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    pipeline, (name, _) = load_pipeline(options.model, device="cpu"), processor()
    for n, changes in measure(pipeline, load_judge(), changes_of(pipeline), options.minutes):
        found = Measured(pipeline.model, pipeline.model_hash, date.today().isoformat(), name, n, SUITE, tuple(changes))
        save_json(asdict(found), options.out)  # after each round: whoever stops it keeps what was measured
        print(f"{n} prompts, {time.process_time() / 60:.1f} minutes", flush=True)
    rows = [
        [f"{c.knob}: {c.before} to {c.after}", percent(c.right_before), percent(c.right_after), f"{100 * c.gain:+.1f}",
         f"{100 * c.low:+.1f} to {100 * c.high:+.1f}", f"{c.milliseconds_after:.0f} ms", f"{c.times:.2f}"]
        for c in changes
    ]  # fmt: skip
    print(f"{found.model}, {n} prompts of suite {SUITE} in both languages, 1 thread of {found.processor}, {found.date}")
    print(table(["", "right before", "after", "gain", "95 % interval", "time", "times"], rows))
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
