"""The bookkeeping of the training loop: which batches it asks for, what it logs, and when it validates and saves."""

from __future__ import annotations

import csv
import itertools
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from minidiff.train import loop
from minidiff.train.checkpoint import Training, load_checkpoint
from minidiff.train.ema import EMA
from minidiff.train.loop import (
    Batch,
    LoopConfig,
    Step,
    Task,
    begin,
    choose_precision,
    fit,
    make_accelerator,
    measured,
    micro_batch_number,
    mix_seed,
    one_step,
    validated,
)
from minidiff.train.optim import build_optimizers, warmup_cosine
from minidiff.train.options import TrainingError


class Scale(Task):
    """Learns one number. `asked` lists the batches it made."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.asked: list[tuple[int, int, int]] = []
        self.validated: list[int] = []

    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        self.asked.append((index, size, seed))
        return {"x": torch.full((size,), float(index)), "name": f"batch {index}"}

    def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch["name"] == f"batch {int(batch['x'][0])}", "what is no tensor comes as it is"
        return (self.weight - 1).square().mean(), {"index": batch["x"].mean(), "at": torch.tensor(step.index)}

    def validate(self, folder: Path, step: int) -> dict[str, float]:
        self.validated.append(step)
        return {"weight": float(self.weight)}


def config(out: Path, **changes: object) -> LoopConfig:
    settings: dict = {"steps": 7, "batch": 6, "workers": 0, "warmup": 2, "precision": "no", "lr": 0.1}
    return LoopConfig(out=out, **{**settings, **changes})


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The steps at which checkpoints are written."""
    steps: list[Any] = []
    real = loop.save_checkpoint
    monkeypatch.setattr(loop, "save_checkpoint", lambda state, path: (steps.append(state["step"]), real(state, path)))
    return steps


# Batches


def test_a_run_asks_for_each_micro_batch_once_and_a_resumed_one_for_those_that_are_left(tmp_path: Path) -> None:
    first, second = Scale(), Scale()
    fit(first, config(tmp_path, accumulate=3, stop_after=4, seed=5))
    fit(second, config(tmp_path, accumulate=3, seed=5))
    assert first.asked == [(k, 2, 5) for k in range(12)]
    assert second.asked == [(k, 2, 5) for k in range(12, 21)]


def test_micro_batches_are_numbered_through_steps_turns_and_processes(tmp_path: Path) -> None:
    settings = config(tmp_path, accumulate=3)
    places = [(step, micro, rank) for step in range(4) for micro in range(3) for rank in range(2)]
    assert [micro_batch_number(step, micro, settings, 2, rank) for step, micro, rank in places] == list(range(24))


def test_seeds_have_63_bits_and_differ() -> None:
    seeds = {mix_seed(a, b, c) for a in range(20) for b in range(20) for c in range(2)}
    assert len(seeds) == 800 and 2**62 < max(seeds) < 2**63 and 0 <= min(seeds) < 2**62
    assert sum(seed & 1 for seed in seeds) in range(300, 500)


@pytest.mark.parametrize(("workers", "ahead", "start"), [(0, None, None), (2, 4, "fork")])
def test_workers_prepare_four_batches_ahead_in_forked_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, ahead: int | None, start: str | None
) -> None:
    """Forked ones on a CPU: they start at once, and a task needs no pickling."""
    given: dict[str, Any] = {}

    def loader(batches: loop.Batches, **options: Any) -> list[Batch]:
        given.update(options, sampler=list(options["sampler"]))
        return [batches[k] for k in given["sampler"]]

    monkeypatch.setattr(loop, "DataLoader", loader)
    accelerator = SimpleNamespace(num_processes=2, process_index=1, device=torch.device("cpu"))
    batches = list(loop.micro_batches(Scale(), config(tmp_path, steps=5, workers=workers), 3, accelerator))  # type: ignore[arg-type]
    assert given == {
        "batch_size": None, "sampler": [7, 9], "num_workers": workers, "prefetch_factor": ahead,
        "multiprocessing_context": start,
    }  # fmt: skip
    assert [batch["name"] for batch in batches] == ["batch 7", "batch 9"]


def test_batches_go_to_the_device_and_what_is_no_tensor_stays(tmp_path: Path) -> None:
    """The meta device is as far from the CPU as an accelerator."""
    accelerator = SimpleNamespace(num_processes=1, process_index=0, device=torch.device("meta"))
    (batch,) = loop.micro_batches(Scale(), config(tmp_path, steps=1), 0, accelerator)  # type: ignore[arg-type]
    assert batch["x"].device.type == "meta" and batch["name"] == "batch 0"


# The log


def test_figures_are_means_over_the_micro_batches_and_steps_are_counted_from_1(tmp_path: Path) -> None:
    fit(Scale(), config(tmp_path, accumulate=2))
    assert [int(row["step"]) for row in rows(tmp_path)] == list(range(1, 8))
    assert [float(row["index"]) for row in rows(tmp_path)] == [0.5, 2.5, 4.5, 6.5, 8.5, 10.5, 12.5]
    assert [float(row["at"]) for row in rows(tmp_path)] == list(range(7)), "the task counts the steps done"


def test_speed_and_minutes_are_logged_and_minutes_go_on_after_a_break(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on one second whenever it is read: each step takes one, and two with the bookkeeping."""
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=itertools.count(100.0).__next__))
    fit(Scale(), config(tmp_path, stop_after=3))
    fit(Scale(), config(tmp_path))
    assert [float(row["minutes"]) for row in rows(tmp_path)] == pytest.approx([k / 60 for k in range(1, 8)], rel=1e-4)
    assert {float(row["images_per_second"]) for row in rows(tmp_path)} == {3.0}


def test_speed_counts_the_images_of_all_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=itertools.count(100.0).__next__))
    real = loop.begin
    monkeypatch.setattr(loop, "begin", lambda *arguments: replace(real(*arguments), processes=4))
    fit(Scale(), config(tmp_path))
    assert {float(row["images_per_second"]) for row in rows(tmp_path)} == {12.0}


# When it validates, saves and ends


def test_it_validates_every_so_many_steps_and_after_the_last(tmp_path: Path) -> None:
    task = Scale()
    fit(task, config(tmp_path, validate_every=3))
    assert task.validated == [3, 6, 7]
    assert [row["step"] for row in rows(tmp_path) if row["val_weight"]] == ["3", "6", "7"]


def test_it_saves_every_so_many_steps_and_at_the_end_of_each_call(tmp_path: Path, saved: list[Any]) -> None:
    assert fit(Scale(), config(tmp_path, save_every=3, stop_after=2)).step == 2
    assert fit(Scale(), config(tmp_path, save_every=3, stop_after=2)).step == 4
    assert fit(Scale(), config(tmp_path, save_every=3, stop_after=100)).step == 7
    assert saved == [2, 3, 4, 6, 7]
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 7


def test_all_processes_wait_for_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: list[Any]) -> None:
    monkeypatch.setattr(loop.Processes, "wait", lambda self: saved.append("wait"))
    fit(Scale(), config(tmp_path))
    assert saved == [7, "wait"]


@pytest.mark.parametrize("fails", [False, True])
def test_the_log_is_closed_however_a_run_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    closed: list[bool] = []
    monkeypatch.setattr(loop.Progress, "close", lambda self: closed.append(True))

    class Failing(Scale):
        def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
            loss, figures = super().forward(batch, step)
            return loss / (0 if fails else 1), figures

    try:
        fit(Failing(), config(tmp_path))
    except TrainingError:
        assert fails
    assert closed == [True]


def test_a_gradient_that_is_not_finite_stops_the_run_though_its_loss_is(tmp_path: Path) -> None:
    class Steep(Scale):
        def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
            return self.weight.abs().sqrt().sum(), {}       # at 0 its slope is infinite

    with pytest.raises(TrainingError, match="The loss is 0.0 and the gradient norm (inf|nan) at step 0"):
        fit(Steep(), config(tmp_path))


# What is around it


def test_it_compiles_only_when_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(torch, "compile", lambda module: compiled.append(module) or module)
    task = Scale()
    fit(task, config(tmp_path / "a"))
    assert compiled == []
    fit(task, config(tmp_path / "b", compile=True))
    assert compiled == [task]


def test_memory_is_kept_between_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[bool] = []
    monkeypatch.setattr(loop, "keep_memory", lambda: called.append(True))
    fit(Scale(), config(tmp_path))
    assert called == [True]


def test_the_precision_of_a_run_binds_nobody_after_it(tmp_path: Path) -> None:
    fit(Scale(), config(tmp_path, precision="bf16"))
    assert AcceleratorState._shared_state == {}
    assert make_accelerator("no", 1).mixed_precision == "no"


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("no", torch.float32)])
def test_optimisers_are_made_for_the_runs_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str, dtype: torch.dtype
) -> None:
    given: list[Any] = []
    real = loop.build_optimizers

    def build(task: Task, *arguments: Any, **options: Any) -> list[torch.optim.Optimizer]:
        given.append((arguments, options))
        return real(task, *arguments, **options)

    monkeypatch.setattr(loop, "build_optimizers", build)
    training = fit(Scale(), config(tmp_path, precision=precision, lr=0.25, weight_decay=0.5, steps=1))
    assert given == [(("adamw", 0.25, 0.5), {"dtype": dtype})]
    assert (training.precision, training.main, training.processes) == (precision, True, 1)


@pytest.mark.parametrize(("fastest", "expected"), [(torch.bfloat16, "bf16"), (torch.float32, "no")])
def test_the_precision_is_the_fastest_unless_a_known_one_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fastest: torch.dtype, expected: str
) -> None:
    monkeypatch.delenv("MINIDIFF_DTYPE", raising=False)
    monkeypatch.setattr(loop, "fastest_dtype", lambda device: fastest)
    for state in (None, {}, {"precision": "fp8"}):
        assert choose_precision(config(tmp_path, precision="auto"), state) == expected
    assert choose_precision(config(tmp_path, precision="auto"), {"precision": "no"}) == "no"


# Validation


def test_a_validation_that_fails_leaves_the_trained_weights_and_the_mode(tmp_path: Path) -> None:
    task = Scale()
    training = Training(task, [], EMA(task, 0.9))
    task.weight.data.fill_(3.0)

    def fail(folder: Path, step: int) -> dict[str, float]:
        assert float(task.weight) == 0.0 and not task.training and not torch.is_grad_enabled()
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        validated(training, [fail], tmp_path)
    assert float(task.weight) == 3.0 and task.training and torch.is_grad_enabled()


@pytest.mark.parametrize("mode", [True, False])
def test_measuring_asks_every_validator_and_keeps_the_mode(tmp_path: Path, mode: bool) -> None:
    task = Scale().train(mode)
    figures = measured(task, [task.validate, lambda folder, step: {"folder": len(folder.parts), "at": step}], tmp_path, 5)
    assert figures == {"weight": 0.0, "folder": len(tmp_path.parts), "at": 5} and task.training == mode


def test_a_task_need_not_validate_and_learns_alone_unless_told_otherwise(tmp_path: Path) -> None:
    class Silent(Scale):
        validate = Task.validate

    assert measured(Silent(), [Silent().validate], tmp_path, 0) == {} and Silent().processes == 1


@pytest.mark.parametrize(("rank", "expected"), [(0, [0, 2, 4]), (1, [1, 3])])
def test_processes_share_the_validators_and_know_all_figures(tmp_path: Path, rank: int, expected: list[int]) -> None:
    asked: list[int] = []
    validators = [lambda folder, step, k=k: asked.append(k) or {f"figure {k}": float(k)} for k in range(5)]
    two = SimpleNamespace(rank=rank, count=2, gather=lambda figures: [figures, {"other": 1.0}])
    figures = measured(Scale(), validators, tmp_path, 0, two)  # type: ignore[arg-type]
    assert asked == expected and figures == {**{f"figure {k}": float(k) for k in expected}, "other": 1.0}


def test_a_step_moves_the_weights_by_the_rate_of_its_place_in_the_schedule(tmp_path: Path) -> None:
    task = Scale()
    training = Training(task, [torch.optim.SGD(task.parameters(), lr=9.0)], EMA(task, 0.9))
    logged = one_step(task, training, config(tmp_path, clip=0.5), iter([task.make_batch(0, 6, 0)]), make_accelerator("no", 1))
    assert logged["lr"] == pytest.approx(0.1 / 2), "the first of two steps of warmup"
    assert float(task.weight) == pytest.approx(0.05 * 0.5), "the gradient, -2, was clipped to -0.5"


def test_accumulated_gradients_are_those_of_the_mean(tmp_path: Path) -> None:
    task = Scale()
    training = Training(task, [torch.optim.SGD(task.parameters(), lr=9.0)], EMA(task, 0.9))
    parts = iter([task.make_batch(k, 2, 0) for k in range(3)])
    logged = one_step(task, training, config(tmp_path, accumulate=3), parts, make_accelerator("no", 3))
    assert logged["grad_norm"] == pytest.approx(2.0) and logged["loss"] == pytest.approx(1.0)


def test_a_run_begins_as_one_of_its_processes_on_its_device(tmp_path: Path) -> None:
    accelerator = SimpleNamespace(
        scaler=None,
        device=torch.device("meta"), num_processes=3, is_main_process=False, mixed_precision="bf16"
    )
    task = Scale()
    training = loop.begin(task, config(tmp_path, ema=0.5), accelerator)  # type: ignore[arg-type]
    assert task.weight.device.type == "meta" and task.processes == 3
    assert (training.processes, training.main, training.precision, training.ema.decay) == (3, False, "bf16", 0.5)


def test_only_the_main_process_locks_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(loop, "locked", lambda *arguments: (locked.append(arguments), nullcontext())[1])
    monkeypatch.setattr(loop, "_fit", lambda *arguments: None)
    for main in (False, True):
        locked.clear()
        monkeypatch.setattr(loop, "join", lambda main=main: SimpleNamespace(is_main_process=main))
        fit(Scale(), config(tmp_path))
        assert locked == [(tmp_path / ".lock", f"The run folder {tmp_path}", loop.LOCK_WAIT)] * main


def test_gradients_and_weights_of_one_step_do_not_reach_into_the_next(tmp_path: Path) -> None:
    task = Scale()
    training = Training(task, [torch.optim.SGD(task.parameters(), lr=0.0)], EMA(task, 0.9))
    settings, accelerator = config(tmp_path, lr=1e-9), make_accelerator("no", 1)
    norms = [one_step(task, training, settings, iter([task.make_batch(k, 6, 0)]), accelerator)["grad_norm"] for k in range(3)]
    assert norms == pytest.approx([2.0, 2.0, 2.0]) and task.weight.grad is None
    assert training.step == 3 and training.ema.updates == 3


def test_the_rate_falls_along_a_cosine_as_often_as_wanted() -> None:
    rates = [warmup_cosine(step, 24, 4, cycles=2) for step in range(24)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0] and rates[4] == rates[14] == 1.0, "it starts again in the middle"
    assert all(a > b for a, b in itertools.pairwise(rates[4:14])) and all(a > b for a, b in itertools.pairwise(rates[14:]))
    assert rates[4:14] == pytest.approx(rates[14:]) and warmup_cosine(24, 24, 4, cycles=2) == pytest.approx(0.02)
    assert [warmup_cosine(step, 24, 4) for step in range(24)] == [warmup_cosine(step, 24, 4, cycles=1) for step in range(24)]


def test_gradients_are_scaled_for_fp16_and_a_step_that_overflows_is_left_out(tmp_path: Path) -> None:
    after = {}
    for scaled in (False, True):
        task = Scale()
        accelerator = make_accelerator("no", 1)
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0) if scaled else None
        training = begin(task, config(tmp_path, lr=0.1, warmup=0), accelerator)
        for k in range(3):
            one_step(task, training, config(tmp_path, lr=0.1, warmup=0), iter([task.make_batch(k, 6, 0)]), accelerator)
        after[scaled] = float(task.weight.detach())
    assert after[True] == pytest.approx(after[False]) and after[True] != 0.0
    assert training.state(config(tmp_path))["scaler"]["scale"] == 1024.0
    before = task.weight.detach().clone()
    accelerator.scaler = training.scaler = torch.amp.GradScaler("cpu", init_scale=3e38)
    one_step(task, training, config(tmp_path, lr=0.1), iter([task.make_batch(9, 6, 0)]), accelerator)
    assert torch.equal(task.weight, before) and training.scaler.get_scale() == pytest.approx(1.5e38), "the scale was too large"
    again = begin(Scale(), config(tmp_path), accelerator)
    again.restore({**training.state(config(tmp_path)), "format": 1}, tmp_path / "checkpoint.pt", config(tmp_path))
    assert again.scaler.get_scale() == training.scaler.get_scale()


def test_fp16_and_8_bits_say_what_they_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainingError, match="--precision fp16 needs a GPU"):
        choose_precision(config(tmp_path, precision="fp16"), None)
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(ValueError, match="'adamw8bit' needs bitsandbytes"):
        build_optimizers(Scale(), "adamw8bit", 1e-3, 0.0)
