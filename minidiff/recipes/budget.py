"""A recipe in a given time: `--budget 9m` caches what the stages need, times some steps of each, and makes every stage so much
longer or shorter that all are done when the time is up. The command that repeats the run then says `--lengthen`.
"""

from __future__ import annotations

import csv
import json
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from minidiff.train.loop import Task, fit
from minidiff.train.options import LoopConfig, TrainingError
from minidiff.train.processes import Processes
from minidiff.utils.files import write_whole
from minidiff.utils.strict_json import JSONError, read
from minidiff.utils.validation import convert, shown

UNITS = {"s": 1, "m": 60, "h": 3600}
TRIAL = 16    # steps that are timed; the first half, in which memory is taken and kernels are chosen, doesn't count
USED = 0.9    # share of the time left that training fills; the rest goes into samples, figures and files
NOTE = "budget.json"


def seconds_of(text: str) -> float:
    """"9m" as 540. Raises TrainingError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if not found or not float(found[1]):
        raise TrainingError(f"--budget is {shown(text)}; it must be a time such as 90s, 9m or 1.5h.")
    return float(found[1]) * UNITS[found[2]]


def seconds_per_step(task: Task, config: LoopConfig) -> float:
    """What a step of a task takes here, the median of some."""
    with tempfile.TemporaryDirectory() as name:
        trial = replace(config, out=Path(name), stop_after=TRIAL, validate_every=10**9, publish=False, fresh=True)
        processes = fit(task, trial).processes
        with (Path(name) / "log.csv").open(encoding="utf-8") as file:
            rates = [float(row["images_per_second"]) for row in csv.DictReader(file)]
    return config.batch * processes / statistics.median(rates[len(rates) // 2 :])


def lengthening(budget: str, out: Path, began: float, stages: Callable[[], list[tuple[Task, LoopConfig]]]) -> float:
    """By how much to lengthen stages so that they end `budget` after `began` (a time of time.monotonic).

    stages: makes the task and the options of each; called only where `out` doesn't say yet what an earlier call of the run
    measured. All processes get the first one's answer. Raises TrainingError when nothing of the time is left."""
    note, seconds, processes = out / NOTE, seconds_of(budget), Processes()
    try:
        return convert(read(note), dict[str, float], str(note))["lengthen"]
    except FileNotFoundError:
        pass
    except (JSONError, OSError, ValueError, KeyError) as error:
        raise TrainingError(f"{note} cannot be read ({error}): pass another --out, or --fresh to begin anew there.") from None
    whole = sum(seconds_per_step(task, config) * config.steps for task, config in stages())
    left = seconds - (time.monotonic() - began)
    if left <= 0:
        raise TrainingError(f"--budget {budget} was over before training began: what it needs is cached now, so run it again.")
    lengthen = processes.gather(float(f"{USED * left / whole:.4g}"))[0]
    if processes.rank == 0:
        out.mkdir(parents=True, exist_ok=True)
        write_whole(note, json.dumps({"lengthen": lengthen}))
        print(f"{left:.0f} s are left of {budget}: every stage takes {lengthen:g} times its steps (--lengthen {lengthen:g})")
    processes.wait()
    return lengthen
