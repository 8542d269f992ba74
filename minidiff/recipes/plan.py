"""What a large training will take, before anybody pays: memory of a GPU, days, dollars, bytes to read, and what failures cost.

Every line says how it is known: counted on the network, by a formula (train/costs.py), measured in a log, or assumed. Nothing
is trained. What it is not: the training (dit_b.py).
"""

from __future__ import annotations

import csv
import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from minidiff.models.dit import DiT, DiTConfig
from minidiff.train.costs import Memory, training_flops, training_memory
from minidiff.train.options import TrainingError
from minidiff.train.watch import PEAKS, peak_of
from minidiff.utils.validation import shown

PICTURES = 100_000_000  # where nobody says how many there will be
SHARD = 10_000          # pictures in each, as `minidiff prepare images` writes them
CAPTIONS, WORDS = 2, 32 # of a picture, and tokens of each
DISK = 1e9              # bytes per second at which a checkpoint is written
NETWORK = 50e9          # bytes per second and GPU between machines: an adapter of 400 Gbit/s each
RESTART = 10 / 60       # hours from a failure to the next step
# Unexpected interruptions, days, GPUs: Llama 3 405B (Dubey et al. 2024, "The Llama 3 herd of models", section 3.3.4, table 5).
LLAMA = 419, 54, 16_384
WARMED = 0.25           # share of a log's first rows that don't count: kernels are chosen in them


class Line(NamedTuple):
    """A row of the table."""

    what: str
    value: str
    known: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """name: of the recipe. model: its network, for latents of `patches` patches and captions of `tokens` tokens. batch:
    pictures per step in all; micro: in a micro-batch. known_data: whether there are shards that were looked at. mixed: bfloat16
    over float32 weights."""

    name: str
    model: DiTConfig
    patches: int
    tokens: int
    steps: int
    batch: int
    micro: int
    gpus: int
    gpu: str
    price: float
    mfu: float
    measured: Path | None
    pictures: int | None
    save_every: int
    known_data: bool
    mixed: bool
    checkpointing: bool

    def parameters(self) -> int:
        with torch.device("meta"):
            return sum(p.numel() for p in DiT(self.model).parameters())

    def memory(self, checkpointing: bool) -> Memory:
        return training_memory(
            self.model, self.parameters(), self.micro, self.patches, self.tokens, processes=self.gpus, mixed=self.mixed,
            checkpointing=checkpointing,
        )  # fmt: skip

    def flops(self) -> int:
        """Of a picture, forward and backward."""
        return training_flops(self.model, self.patches, self.tokens)

    def rate(self) -> tuple[float, str]:
        """Pictures per second and GPU, and how that is known. Raises TrainingError for a GPU or a log that says nothing."""
        if self.measured is not None:
            return measured_rate(self.measured), f"measured: {self.measured}"
        peak = peak_of(self.gpu)
        if peak is None:
            names = ", ".join(row[0] for row in PEAKS)
            raise TrainingError(f"The peak of --gpu {self.gpu!r} isn't known: choose one of {names}, or pass --measured.")
        return peak * self.mfu / self.flops(), f"assumed: {self.mfu:.0%} of {peak / 1e12:,.0f} TFLOPS"


def measured_rate(log: Path) -> float:
    """Pictures per second and GPU: the median of a log's steps after the first quarter. Raises TrainingError."""
    try:
        with log.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        rates = [float(row["images_per_second"]) / float(row["gpus"]) for row in rows[int(len(rows) * WARMED) :]]
        return statistics.median(rates)
    except (OSError, KeyError, ValueError, TypeError, ZeroDivisionError) as error:
        raise TrainingError(f"--measured {log} is no log of such a training ({shown(str(error))}).") from None


def size(number: float) -> str:
    """Bytes in the unit that fits."""
    power = min(4, int(math.log(max(number, 1), 1000)))
    return f"{number / 1000**power:,.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def span(hours: float) -> str:
    """A time in the unit that fits."""
    if hours >= 48:
        return f"{hours / 24:,.1f} days"
    return f"{hours:,.1f} hours" if hours >= 1 else f"{hours * 60:.1f} minutes" if hours * 60 >= 1 else f"{hours * 3600:.2f} s"


def memory_lines(plan: Plan) -> list[Line]:
    parts, small = plan.memory(False), plan.memory(True)
    kinds = "float32" + (", and bfloat16 copies" if plan.mixed else "")
    chosen, other = (small, parts) if plan.checkpointing else (parts, small)
    return [
        Line("parameters", f"{plan.parameters():,}", "counted"),
        Line("weights", size(parts.weights), f"formula: {kinds}"),
        Line("gradients, AdamW, EMA", size(parts.gradients + parts.optimizer + parts.ema), "formula: 4 + 8 + 4 bytes each"),
        Line("exchange between GPUs", size(parts.exchange), "formula: DDP's buckets, as large as the gradients"),
        Line("activations", size(parts.activations), f"formula: {plan.micro} pictures of {plan.patches} patches"),
        Line("activations with --checkpointing", size(small.activations), "formula"),
        Line("memory of each GPU", size(chosen.total), f"sum; {'without' if plan.checkpointing else 'with'} --checkpointing "
             f"{size(other.total)}"),
    ]  # fmt: skip


def time_lines(plan: Plan) -> list[Line]:
    each, how = plan.rate()
    rate = each * plan.gpus
    step, hours = plan.batch / rate, plan.steps * plan.batch / rate / 3600
    pictures = plan.pictures or PICTURES
    exchanged = 2 * (plan.gpus - 1) / plan.gpus * 4 * plan.parameters()  # by a ring (Patarasuk & Yuan 2009)
    found = "assumed" if plan.pictures is None else "counted or given"
    return [
        Line("operations of a picture", f"{plan.flops() / 1e9:,.1f} GFLOP", "formula: forward and backward"),
        Line("pictures per second", f"{rate:,.0f} ({each:,.0f} each)", how),
        Line("a step", f"{step:.3g} s", "follows: the batch by the rate"),
        Line("exchange in a step", f"{exchanged / NETWORK:.3g} s for {size(exchanged)}",
             f"assumed: {size(NETWORK)}/s; behind the backward pass as far as that lasts"),
        Line("steps", f"{plan.steps:,}", "given"),
        Line("pictures seen", f"{plan.steps * plan.batch:,}, {plan.steps * plan.batch / pictures:.2g} times each", found),
        Line("time", span(hours), "follows"),
        Line("GPU hours", f"{hours * plan.gpus:,.0f}", "follows"),
        Line("cost", f"${hours * plan.gpus * plan.price:,.0f}", f"at ${plan.price:g} per GPU and hour, given"),
    ]  # fmt: skip


def data_lines(plan: Plan) -> list[Line]:
    pictures, model = plan.pictures or PICTURES, plan.model
    view = 2 * model.in_channels * plan.patches * model.patch_size**2
    words = 2 * WORDS * model.caption_channels
    rate = plan.rate()[0] * plan.gpus
    assumed = f"assumed: {CAPTIONS} captions of {WORDS} tokens"
    return [
        Line("shards", f"{math.ceil(pictures / SHARD):,}", f"{SHARD:,} pictures each"),
        Line("latents and text on disk", size(pictures * (2 * view + CAPTIONS * words)), assumed + ", two views"),
        Line("read for a picture", size(view + words), assumed),
        Line("bandwidth", f"{size(rate * (view + words))}/s", "follows"),
    ]


def failure_lines(plan: Plan) -> list[Line]:
    rate = plan.rate()[0] * plan.gpus
    saving, every = 16 * plan.parameters() / DISK / 3600, plan.save_every * plan.batch / rate / 3600
    count, days, gpus = LLAMA
    between = 24 * days * gpus / count / plan.gpus  # hours
    lost, hours = every / 2 + RESTART, plan.steps * plan.batch / rate / 3600
    best = math.sqrt(2 * saving * between)
    return [
        Line("checkpoint", size(16 * plan.parameters()), "formula: weights, AdamW, EMA in float32"),
        Line("to write it", span(saving), f"assumed: {size(DISK)}/s"),
        Line("between two", f"{span(every)} ({saving / every:.2%} of the time)", f"--save-every {plan.save_every}"),
        Line("between failures", span(between), f"assumed: as in Llama 3, {count} in {days} days on {gpus:,} GPUs"),
        Line("failures", f"{hours / between:.2g}", "follows"),
        Line("lost by each", span(lost), f"half of that, and {RESTART * 60:.0f} minutes to start again, assumed"),
        Line("lost in all", f"{lost * plan.gpus * hours / between:,.1f} GPU hours", "follows"),
        Line("best between two", f"{span(best)}, --save-every {max(1, round(best * 3600 * rate / plan.batch)):,}",
             "sqrt(2 x writing x between failures), Young 1974"),
    ]  # fmt: skip


def print_plan(plan: Plan) -> None:
    """The table. Raises TrainingError as `Plan.rate`."""
    where = "the shards that are there" if plan.known_data else "shards that are assumed: 8 pixels to a latent, text 768 wide"
    parts = (("memory", memory_lines), ("time", time_lines), ("data", data_lines), ("failures", failure_lines))
    tables = [(name, make(plan)) for name, make in parts]
    print(f"{plan.name} on {plan.gpus} x {plan.gpu}, {plan.batch} pictures a step, for {where}")
    width, middle = (max(len(line[k]) for _, lines in tables for line in lines) for k in (0, 1))
    for name, lines in tables:
        print(f"\n{name}")
        for line in lines:
            print(f"  {line.what:<{width}}  {line.value:<{middle}}  {line.known}")
