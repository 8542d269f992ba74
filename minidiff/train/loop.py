"""The one training loop: every model here is trained by `fit`.

A `Task` says what is learned. The loop does the rest: devices and mixed precision (accelerate), several processes,
accumulation, clipping, learning rate, EMA, validation, the log and checkpoints that survive `kill -9`. Batch and noise of
micro-batch number k are functions of (seed, k) alone, and micro-batches are numbered through all steps and processes. So a
resumed run repeats an unbroken one exactly, and 2 processes with one micro-batch each train as 1 process with two. Taught
nowhere line by line; the lessons train with it.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from minidiff.train.checkpoint import Training, load_checkpoint, save_checkpoint
from minidiff.train.ema import EMA
from minidiff.train.log import Progress
from minidiff.train.optim import build_optimizers, warmup_cosine
from minidiff.train.options import LoopConfig, TrainingError
from minidiff.train.processes import Processes, join, on_cpu
from minidiff.train.watch import Watch
from minidiff.utils.devices import best_device, fastest_dtype, forced_dtype, keep_memory
from minidiff.utils.locks import locked

Batch = dict[str, Any]
NOISE = 1            # sets the seeds of a step's noise apart from those of its batch
LOCK_WAIT = 10.0     # seconds; the workers of a killed run take a few to end, and hold its lock until then


@dataclass
class Step:
    """What a task may know of the moment: the step, and a generator on the CPU for its noise."""

    index: int
    generator: torch.Generator


class Task(nn.Module, ABC):
    """What is learned. Subclasses hold the modules to train (made after `torch.manual_seed`, so that a run can be repeated)
    and say how a batch is made and what it costs."""

    processes: int = 1
    """How many processes learn together; batches are numbered through all of them. Set by `fit`."""

    @abstractmethod
    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        """Batch number `index` of `size` examples: always the same one for the same arguments. Runs in a worker process."""

    @abstractmethod
    def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to minimise (a scalar) and further figures to log."""

    def validate(self, folder: Path, step: int) -> dict[str, float]:
        """Figures on held-out data with fixed noise; may write images into `folder`. Runs with the averaged weights."""
        return {}


Validator = Callable[[Path, int], dict[str, float]]
"""(folder, step) to figures. Like `Task.validate`, and handed to `fit` by a recipe, which may know what train doesn't."""


class Batches(Dataset):
    """Batch number k of a task, made where the DataLoader's workers run."""

    def __init__(self, task: Task, size: int, seed: int) -> None:
        self.make, self.size, self.seed = task.make_batch, size, seed

    def __getitem__(self, index: int) -> Batch | Exception:
        """An error comes as it is: the DataLoader would wrap what a worker raises into a traceback of many lines."""
        try:
            return self.make(index, self.size, self.seed)
        except (ValueError, OSError) as error:
            return error


def mix_seed(*parts: int) -> int:
    """One 63-bit seed from several numbers, well spread (Python's tuple hash is the same in every process for ints)."""
    return hash(parts) & (2**63 - 1)


def micro_batch_number(step: int, micro: int, config: LoopConfig, processes: int, rank: int) -> int:
    """Micro-batches are numbered through steps, then turns within a step, then processes."""
    return (step * config.accumulate + micro) * processes + rank


def micro_batches(task: Task, config: LoopConfig, start: int, accelerator: Accelerator) -> Iterator[Batch]:
    """This process's micro-batches from step `start` on, on its device."""
    ranks, rank = accelerator.num_processes, accelerator.process_index
    places = ((step, micro) for step in range(start, config.steps) for micro in range(config.accumulate))
    loader = DataLoader(
        Batches(task, config.batch // config.accumulate, config.seed),
        batch_size=None,
        sampler=(micro_batch_number(*place, config, ranks, rank) for place in places),  # type: ignore[arg-type]
        num_workers=config.workers,
        prefetch_factor=4 if config.workers else None,
        multiprocessing_context="fork" if config.workers and accelerator.device.type == "cpu" else None,
    )
    for batch in loader:
        if isinstance(batch, Exception):
            raise batch
        yield {k: v.to(accelerator.device, non_blocking=True) if isinstance(v, Tensor) else v for k, v in batch.items()}


def choose_precision(config: LoopConfig, saved: dict[str, Any] | None) -> str:
    """bf16, fp16 or no. With auto: what the checkpoint was trained in, so that the run stays exact, else what is fastest here.
    All processes take the first one's choice."""
    choice = config.precision
    if choice == "auto":
        before = saved.get("precision") if saved and forced_dtype() is None else None
        fastest = "bf16" if fastest_dtype(best_device()) == torch.bfloat16 else "no"
        choice = before if before in ("bf16", "fp16", "no") else fastest  # type: ignore[assignment]
    if choice == "fp16" and not torch.cuda.is_available():
        raise TrainingError("--precision fp16 needs a GPU; leave it at auto here.")
    join()
    return broadcast_object_list([choice])[0]


def make_accelerator(precision: str, accumulate: int) -> Accelerator:
    """An Accelerator of its own precision: accelerate would keep the first one's for the whole process."""
    AcceleratorState._reset_state()
    return Accelerator(cpu=on_cpu(), mixed_precision=precision, gradient_accumulation_steps=accumulate)


def fit(
    task: Task, config: LoopConfig, validators: Sequence[Validator] = (), watch: Watch | None = None
) -> Training:
    """Train `task` until config.steps; resumes from config.out/checkpoint.pt when it is there.

    validators: measure and draw in addition to the task's own `validate`; several processes share them. watch: what else is
    measured in each step, and who is told.

    Raises TrainingError when the loss is no longer a number, when the checkpoint is damaged or another run's, and LockedError
    when another run uses the folder.
    """
    main = join().is_main_process
    lock = locked(config.out / ".lock", f"The run folder {config.out}", LOCK_WAIT) if main else nullcontext()
    try:
        with lock:
            return _fit(task, config, validators, watch or Watch())
    finally:
        AcceleratorState._reset_state()  # whoever trains next in this process may want another precision


def _fit(task: Task, config: LoopConfig, validators: Sequence[Validator], watch: Watch) -> Training:
    checkpoint = config.out / "checkpoint.pt"
    saved = load_checkpoint(checkpoint) if checkpoint.exists() and not config.fresh else None
    accelerator = make_accelerator(choose_precision(config, saved), config.accumulate)
    processes = Processes()
    keep_memory()
    training = begin(task, config, accelerator)
    if saved is not None:
        training.restore(saved, checkpoint, config)
    del saved
    runner = accelerator.prepare(torch.compile(task) if config.compile else task)
    batches = watch.over(micro_batches(task, config, training.step, accelerator))
    end = config.steps if config.stop_after is None else min(config.steps, training.step + config.stop_after)
    progress = Progress(config.out, config.steps, training.step, training.main)
    try:
        while training.step < end:
            began = time.perf_counter()
            figures = one_step(runner, training, config, batches, accelerator)
            training.seconds += time.perf_counter() - began
            rate = config.batch * training.processes / (time.perf_counter() - began)
            row = {"step": training.step, **figures, "images_per_second": rate, "minutes": training.seconds / 60}
            row.update(watch.figures(accelerator, row, config.batch * training.processes))
            if training.step % config.validate_every == 0 or training.step == config.steps:
                training.figures = validated(training, [task.validate, *validators], config.out, processes)
                row.update({f"val_{k}": v for k, v in training.figures.items()})
            progress.add(row)
            watch.tell(row, training.main)
            if training.main and (training.step % config.save_every == 0 or training.step == end):
                save_checkpoint(training.state(config), checkpoint)
    finally:
        progress.close()
        watch.close()
    processes.wait()
    return training


def begin(task: Task, config: LoopConfig, accelerator: Accelerator) -> Training:
    """The task on its device, with new optimisers and EMA."""
    task.to(accelerator.device)
    task.processes = accelerator.num_processes
    precision = accelerator.mixed_precision
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    optimizers = build_optimizers(task, config.optimizer, config.lr, config.weight_decay, dtype=dtype)
    return Training(
        task, optimizers, EMA(task, config.ema), processes=accelerator.num_processes, main=accelerator.is_main_process,
        precision=precision, scaler=accelerator.scaler,
    )  # fmt: skip


def one_step(
    runner: nn.Module, training: Training, config: LoopConfig, batches: Iterator[Batch], accelerator: Accelerator
) -> dict[str, float]:
    """Gradients of one batch, made of micro-batches and averaged over processes; clipped; one update of weights and EMA.
    Returns what to log. Processes exchange gradients once, after the last micro-batch (`accumulate`)."""
    rate = config.lr * warmup_cosine(training.step, config.steps, config.warmup, cycles=config.cycles)
    for optimizer in training.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
    scaler = training.scaler
    totals: dict[str, Tensor] = {}
    for micro in range(config.accumulate):
        number = micro_batch_number(training.step, micro, config, accelerator.num_processes, accelerator.process_index)
        generator = torch.Generator().manual_seed(mix_seed(config.seed, number, NOISE))
        batch = next(batches)
        with accelerator.accumulate(runner):
            with accelerator.autocast():
                loss, figures = runner(batch, Step(training.step, generator))
            accelerator.backward(loss)  # divides by config.accumulate
        for name, value in {"loss": loss, **figures}.items():
            totals[name] = totals.get(name, 0) + value.detach().float() / config.accumulate
    for optimizer in training.optimizers if scaler is not None else ():
        scaler.unscale_(optimizer)
    norm = nn.utils.clip_grad_norm_([p for p in training.task.parameters() if p.grad is not None], config.clip)
    logged = fetch(totals, norm, accelerator)
    may_overflow = scaler is not None and scaler.get_scale() > 1  # numbers of fp16 end at 65504: a smaller scale comes next
    if not (math.isfinite(logged["loss"]) and (may_overflow or math.isfinite(logged["grad_norm"]))):
        raise TrainingError(
            f"The loss is {logged['loss']} and the gradient norm {logged['grad_norm']} at step {training.step}: training has "
            f"diverged and stops here. The last checkpoint is untouched; try a lower --lr (it was {config.lr:g}) or --clip."
        )
    for optimizer in training.optimizers:
        scaler.step(optimizer) if scaler is not None else optimizer.step()  # the scaler leaves out a step that overflowed
        optimizer.zero_grad(set_to_none=True)
    if scaler is not None:
        scaler.update()
    training.step += 1
    training.ema.update(training.task)
    return {**logged, "lr": rate}


def fetch(totals: dict[str, Tensor], norm: Tensor, accelerator: Accelerator) -> dict[str, float]:
    """The figures' means over processes and the gradient norm, brought from the device in one transfer."""
    means = accelerator.reduce(torch.stack([value.to(accelerator.device) for value in totals.values()]), "mean")
    values = torch.cat([means, norm.detach().float().view(1)]).tolist()
    return dict(zip([*totals, "grad_norm"], values, strict=True))


def validated(
    training: Training, validators: Sequence[Validator], folder: Path, processes: Processes | None = None
) -> dict[str, float]:
    """All validators' figures, taken with the averaged weights; the trained ones come back afterwards."""
    task = training.task
    own = {k: v.detach().clone() for k, v in task.state_dict().items()}
    training.ema.copy_to(task)
    try:
        return measured(task, validators, folder, training.step, processes)
    finally:
        task.load_state_dict(own)


def measured(
    task: nn.Module, validators: Sequence[Validator], folder: Path, step: int, processes: Processes | None = None
) -> dict[str, float]:
    """The figures of a task as it is. Processes share the validators; each returns when all are done, however long that
    takes."""
    processes = processes or Processes()
    figures: dict[str, float] = {}
    training = task.training
    task.eval()
    try:
        with torch.no_grad():
            for validator in validators[processes.rank :: processes.count]:
                figures.update(validator(folder, step))
    finally:
        task.train(training)
    return {name: value for part in processes.gather(figures) for name, value in part.items()}
