"""The one training loop: everything that minidiff trains from nothing goes through `fit`.

A `Task` says what is learned; the loop does the rest: devices and mixed precision (accelerate), accumulation, clipping,
learning rate, EMA, validation, pictures, a CSV log, a progress bar, and checkpoints that survive `kill -9`. Every batch
and every random number of step k is a function of (seed, k) alone, so a resumed run repeats an unbroken one exactly.
"""

from __future__ import annotations

import csv
import io
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from minidiff.train.ema import EMA
from minidiff.train.optim import build_optimizers, warmup_cosine
from minidiff.utils.devices import best_device, fastest_dtype, keep_memory
from minidiff.utils.files import whole_file, write_whole

Batch = dict[str, Any]


ASIDE = ("out", "fresh", "stop_after", "workers", "save_every", "validate_every")  # where files lie, how the work is cut


class TrainingError(ValueError):
    """Training cannot begin or go on; the message says why and what to do."""


@dataclass
class LoopConfig:
    """What every run may set. Lengths are in optimiser steps; `batch` is the number of examples per step and process."""

    afterwards: ClassVar[tuple[str, ...]] = ()  # options that training does not depend on, only what is made of it

    out: Path = Path("runs/run")
    """Folder for checkpoint, log and pictures (made if missing; a run found there is resumed)."""
    steps: int = 1000
    batch: int = 64
    lr: float = 1e-3
    """Peak learning rate, reached after `warmup` steps and then lowered along a cosine."""
    warmup: int = 200
    weight_decay: float = 0.01
    optimizer: str = "adamw"
    """adamw, or muon (for the matrices; the rest stays with AdamW)."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    accumulate: int = 1
    """Micro-batches per step; each holds batch / accumulate examples."""
    ema: float = 0.999
    precision: str = "auto"
    """auto, bf16 or no (fp32); auto is bf16 where the machine computes in it, else fp32."""
    compile: bool = False
    """Compile the model with torch.compile (needs a C++ compiler on a CPU)."""
    seed: int = 0
    workers: int = 1
    """Processes that prepare batches."""
    save_every: int = 200
    validate_every: int = 500
    fresh: bool = False
    """Start anew even if the folder holds a checkpoint."""
    stop_after: int | None = None
    """Stop (and save) after this many steps of this call, with the schedule of the whole run."""

    def __post_init__(self) -> None:
        """Raises TrainingError for lengths that nothing can be trained with."""
        for name in ("steps", "batch", "accumulate", "save_every", "validate_every"):
            if getattr(self, name) < 1:
                raise TrainingError(f"--{name.replace('_', '-')} must be at least 1, not {getattr(self, name)}.")
        if self.batch % self.accumulate:
            raise TrainingError(f"The batch of {self.batch} cannot be divided into {self.accumulate} equal micro-batches.")
        if self.precision not in ("auto", "bf16", "no"):
            raise TrainingError(f"--precision must be auto, bf16 or no, not {self.precision!r}.")


@dataclass
class Step:
    """What a task may know of the moment: the step and a generator on the CPU that is fixed by (seed, step, process)."""

    index: int
    generator: torch.Generator


class Task(nn.Module, ABC):
    """What is learned. Subclasses hold the modules to train (made after `torch.manual_seed`, so that a run can be
    repeated) and say how a batch is made and what it costs."""

    processes: int = 1
    """How many processes learn together; batches are numbered through all of them. Set by `fit`."""

    @abstractmethod
    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        """Batch number `index` of `size` examples: always the same one for the same arguments. Runs in a worker process."""

    @abstractmethod
    def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to minimise (a scalar) and further figures to log."""

    def validate(self, folder: Path, step: int) -> dict[str, float]:
        """Figures on held-out data with fixed noise; may write pictures into `folder`. Runs with the averaged weights."""
        return {}


class Batches(Dataset):
    """Batch number k of a task, made where the DataLoader's workers run."""

    def __init__(self, task: Task, size: int, seed: int) -> None:
        self.make, self.size, self.seed = task.make_batch, size, seed

    def __getitem__(self, index: int) -> Batch:
        return self.make(index, self.size, self.seed)


def mix_seed(*parts: int) -> int:
    """One 63-bit seed from several numbers, well spread (Python's tuple hash is the same in every process for ints)."""
    return hash(parts) & (2**63 - 1)


def micro_batches(task: Task, config: LoopConfig, start: int, accelerator: Accelerator) -> Iterator[Batch]:
    """This process's micro-batches from step `start` on. Batch numbers never depend on how the run was cut into pieces."""
    ranks, rank = accelerator.num_processes, accelerator.process_index
    numbers = range(start * config.accumulate, config.steps * config.accumulate)
    loader = DataLoader(
        Batches(task, config.batch // config.accumulate, config.seed),
        batch_size=None,
        sampler=[k * ranks + rank for k in numbers],
        num_workers=config.workers,
        prefetch_factor=4 if config.workers else None,
        multiprocessing_context="fork" if config.workers and accelerator.device.type == "cpu" else None,
    )
    for batch in loader:
        yield {k: v.to(accelerator.device, non_blocking=True) if isinstance(v, Tensor) else v for k, v in batch.items()}


def recipe(command: str, config: LoopConfig) -> str:
    """The command that repeats a run: `command` and every option that is not at its default, except where files lie and
    how the work is cut."""
    told = []
    for option in fields(config):
        value, word = getattr(config, option.name), f"--{option.name.replace('_', '-')}"
        if value == option.default or option.name in ASIDE:
            continue
        if isinstance(value, bool):
            told.append(word if value else word.replace("--", "--no-", 1))
        else:
            told.append(f"{word} {' '.join(map(str, value)) if isinstance(value, tuple) else value}")
    return " ".join([command, *told])


def differences(config: LoopConfig, saved: dict[str, str]) -> list[str]:
    """What a checkpoint's run was told otherwise than this one: "seed was 0 and is 1". A run may be made longer or shorter and
    go on elsewhere; what its weights depend on must be the same, or the recipe kept with them would be untrue."""
    free = (*ASIDE, *config.afterwards, "steps", "precision", "compile")
    now = {k: str(v) for k, v in asdict(config).items() if k not in free}
    return [f"{k} was {saved[k]} and is {v}" for k, v in now.items() if saved.get(k, v) != v]


# --- checkpoints ----------------------------------------------------------------------------------------------------


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """A kill at any moment leaves the old checkpoint or the new one."""
    with whole_file(path) as file:
        torch.save(state, file)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; raises TrainingError with advice if it cannot be read."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(f"{path} cannot be read as a checkpoint ({error}); delete it or pass --fresh.") from error


@dataclass
class Training:
    """Everything that changes while training, and how it goes to disk and comes back."""

    task: Task
    optimizers: list[torch.optim.Optimizer]
    ema: EMA
    step: int = 0
    seconds: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)  # of the last validation
    processes: int = 1
    main: bool = True  # only the main process measures and writes

    def finished(self, config: LoopConfig) -> bool:
        """Whether the whole run is behind us and this is the process that keeps the result."""
        return self.main and self.step >= config.steps

    def pictures(self, config: LoopConfig) -> int:
        """How many were learnt from, in all processes."""
        return config.steps * config.batch * self.processes

    def state(self, config: LoopConfig) -> dict[str, Any]:
        return {
            "model": self.task.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "ema": self.ema.average,
            "ema_updates": self.ema.updates,
            "step": self.step,
            "seconds": self.seconds,
            "config": {k: str(v) for k, v in asdict(config).items()},
        }

    def restore(self, saved: dict[str, Any], path: Path, config: LoopConfig) -> None:
        if changed := differences(config, saved.get("config", {})):
            raise TrainingError(
                f"{path} belongs to another run ({'; '.join(changed)}): pass another --out, or --fresh to begin anew there."
            )
        try:
            self.task.load_state_dict(saved["model"])
            for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
                optimizer.load_state_dict(state)
        except (RuntimeError, ValueError, KeyError) as error:
            message = f"{path} holds another model than this run trains; pass --fresh or another --out ({error})."
            raise TrainingError(message) from error
        self.ema.average = {k: v.clone() for k, v in saved["ema"].items()}
        self.ema.updates = saved["ema_updates"]
        self.step, self.seconds = saved["step"], saved["seconds"]


class CSVLog:
    """One row per logged step. On resuming, rows at or after the checkpoint's step are dropped, so no step stands twice."""

    def __init__(self, path: Path, start: int) -> None:
        self.path, self.rows = path, []
        if path.exists() and start > 0:
            with open(path, newline="") as file:
                self.rows = [row for row in csv.DictReader(file) if row.get("step") and int(row["step"]) <= start]
        self.fields: list[str] = list(self.rows[0]) if self.rows else []
        self._rewrite()

    def _rewrite(self) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.fields, restval="")
        writer.writeheader()
        writer.writerows(self.rows)
        write_whole(self.path, text.getvalue())  # a kill must not cost the run's history

    def add(self, row: dict[str, Any]) -> None:
        text = {k: f"{v:.6g}" if isinstance(v, float) else str(v) for k, v in row.items()}
        self.rows.append(text)
        new = [k for k in text if k not in self.fields]
        if new:
            self.fields += new
            self._rewrite()
        else:
            with open(self.path, "a", newline="") as file:
                csv.DictWriter(file, self.fields, restval="").writerow(text)


# --- the loop -------------------------------------------------------------------------------------------------------


def fit(task: Task, config: LoopConfig) -> Training:
    """Train `task` until config.steps; resumes from config.out/checkpoint.pt when it is there.

    Raises TrainingError when the loss is no longer a number, or when the checkpoint does not fit."""
    AcceleratorState._reset_state()  # accelerate keeps one precision per process; a second run may want another
    fastest = "bf16" if fastest_dtype(best_device()) == torch.bfloat16 else "no"
    accelerator = Accelerator(mixed_precision=fastest if config.precision == "auto" else config.precision)
    keep_memory()
    checkpoint = config.out / "checkpoint.pt"
    task.to(accelerator.device)
    optimizers = build_optimizers(task, config.optimizer, config.lr, config.weight_decay)
    main, ranks = accelerator.is_main_process, accelerator.num_processes
    task.processes = ranks
    training = Training(task, optimizers, EMA(task, config.ema), processes=ranks, main=main)
    if checkpoint.exists() and not config.fresh:
        training.restore(load_checkpoint(checkpoint), checkpoint, config)
        training.ema.average = {k: v.to(accelerator.device) for k, v in training.ema.average.items()}
    runner = accelerator.prepare(torch.compile(task) if config.compile else task)
    log = CSVLog(config.out / "log.csv", training.step) if main else None
    batches = micro_batches(task, config, training.step, accelerator)
    end = config.steps if config.stop_after is None else min(config.steps, training.step + config.stop_after)
    bar = tqdm(total=config.steps, initial=training.step, unit="step", disable=not main, dynamic_ncols=True, smoothing=0.05)
    while training.step < end:
        began = time.perf_counter()
        figures = one_step(runner, training, config, batches, accelerator)
        training.step += 1
        training.ema.update(task)
        training.seconds += time.perf_counter() - began
        rate = config.batch * ranks / (time.perf_counter() - began)
        row = {"step": training.step, **figures, "images_per_second": rate, "minutes": training.seconds / 60}
        if main and (training.step % config.validate_every == 0 or training.step == config.steps):
            training.figures = validated(training, config.out)
            row.update({f"val_{k}": v for k, v in training.figures.items()})
        if main and log is not None:
            log.add(row)
            bar.update()
            bar.set_postfix_str(" ".join(f"{k} {v:.3g}" for k, v in row.items() if k not in ("step", "minutes")), refresh=False)
            if training.step % config.save_every == 0 or training.step == end:
                save_checkpoint(training.state(config), checkpoint)
    bar.close()
    accelerator.wait_for_everyone()
    return training


def one_step(
    runner: nn.Module, training: Training, config: LoopConfig, batches: Iterator[Batch], accelerator: Accelerator
) -> dict[str, float]:
    """Gradients of one batch (in micro-batches), clipped, and one update of the weights. Returns what to log."""
    factor = warmup_cosine(training.step, config.steps, config.warmup)
    for optimizer in training.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = config.lr * factor
    totals: dict[str, Tensor] = {}
    for micro in range(config.accumulate):
        generator = torch.Generator().manual_seed(
            mix_seed(config.seed, training.step, micro, accelerator.process_index)
        )
        batch = next(batches)
        with accelerator.autocast():
            loss, figures = runner(batch, Step(training.step, generator))
        accelerator.backward(loss / config.accumulate)
        for name, value in {"loss": loss, **figures}.items():
            totals[name] = totals.get(name, torch.zeros(())) + value.detach().float().cpu() / config.accumulate
    norm = torch.nn.utils.clip_grad_norm_([p for p in training.task.parameters() if p.grad is not None], config.clip)
    if not (math.isfinite(totals["loss"].item()) and math.isfinite(norm.item())):
        raise TrainingError(
            f"The loss is {totals['loss'].item()} and the gradient norm {norm.item()} at step {training.step}: training has "
            f"diverged and stops here. The last checkpoint is untouched; try a lower --lr (it was {config.lr:g}) or --clip."
        )
    for optimizer in training.optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return {**{k: v.item() for k, v in totals.items()}, "grad_norm": norm.item(), "lr": config.lr * factor}


def validated(training: Training, folder: Path) -> dict[str, float]:
    """The task's validation figures, taken with the averaged weights; the trained ones come back afterwards."""
    task = training.task
    own = {k: v.detach().clone() for k, v in task.state_dict().items()}
    training.ema.copy_to(task)
    task.eval()
    try:
        with torch.no_grad():
            return task.validate(folder, training.step)
    finally:
        task.load_state_dict(own)
        task.train()
