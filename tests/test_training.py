"""The training loop: resumes exactly, survives a kill, stops on NaN, and its parts do what their papers say."""

from __future__ import annotations

import csv
import math
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from minidiff.train.ema import EMA
from minidiff.train.loop import (
    Batch,
    LoopConfig,
    Step,
    Task,
    Training,
    TrainingError,
    fit,
    load_checkpoint,
    one_step,
    recipe,
    save_checkpoint,
)
from minidiff.train.optim import Muon, build_optimizers, orthogonalise, warmup_cosine


class Line(Task):
    """A tiny regression with noise in the batch and in the step, so that any slip of randomness shows in the loss."""

    def __init__(self, broken_at: int | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 16), nn.GELU(), nn.Linear(16, 1))
        self.broken_at = broken_at

    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        x = torch.randn(size, 4, generator=torch.Generator().manual_seed(seed * 1000 + index))
        return {"x": x, "y": x.sum(1, keepdim=True)}

    def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        noise = torch.randn(batch["y"].shape, generator=step.generator)
        loss = (self.net(batch["x"]) - batch["y"] + 0.1 * noise).square().mean()
        return (loss * float("nan") if step.index == self.broken_at else loss), {}

    def validate(self, folder: Path, step: int) -> dict[str, float]:
        return {"weight": float(self.net[0].weight.sum())}


def config(out: Path, **changes: object) -> LoopConfig:
    settings: dict = {"steps": 12, "batch": 8, "workers": 0, "warmup": 3, "save_every": 4, "validate_every": 6}
    return LoopConfig(out=out, **{**settings, **changes})


def losses(folder: Path) -> list[tuple[int, str]]:
    with open(folder / "log.csv", newline="") as file:
        return [(int(row["step"]), row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_resumed_run_repeats_an_unbroken_one(tmp_path: Path, optimizer: str, accumulate: int) -> None:
    settings = {"optimizer": optimizer, "accumulate": accumulate}
    fit(Line(), config(tmp_path / "whole", **settings))
    fit(Line(), config(tmp_path / "cut", stop_after=5, **settings))
    fit(Line(), config(tmp_path / "cut", **settings))
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    whole, cut = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("whole", "cut"))
    for name, value in whole["ema"].items():
        assert torch.equal(value, cut["ema"][name])


KILLED = """
import sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
import test_training as t
class Slow(t.Line):
    def make_batch(self, index, size, seed):
        time.sleep(0.05)
        return super().make_batch(index, size, seed)
t.fit(Slow(), t.config(Path({out!r}), steps=40, save_every=3))
"""


def test_kill_9_loses_nothing_but_the_steps_since_the_checkpoint(tmp_path: Path) -> None:
    code = KILLED.format(tests=str(Path(__file__).parent), out=str(tmp_path / "killed"))
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    checkpoint, deadline = tmp_path / "killed" / "checkpoint.pt", time.time() + 60
    while not checkpoint.exists() and time.time() < deadline:
        time.sleep(0.02)
    time.sleep(0.4)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 0 < load_checkpoint(checkpoint)["step"] < 40
    fit(Line(), config(tmp_path / "killed", steps=40, save_every=3))
    fit(Line(), config(tmp_path / "whole", steps=40, save_every=3))
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")


def test_nan_stops_the_run_and_leaves_the_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="step 6.*lower --lr"):
        fit(Line(broken_at=6), config(tmp_path))
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 4


def test_a_damaged_or_foreign_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(TrainingError, match="--fresh"):
        fit(Line(), config(tmp_path))
    fit(Line(), config(tmp_path, fresh=True))
    other = Line()
    other.net[0] = nn.Linear(4, 8)
    other.net[2] = nn.Linear(8, 1)
    with pytest.raises(TrainingError, match="another model"):
        fit(other, config(tmp_path))


def test_a_checkpoint_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint({"step": 1}, path)

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError):
        save_checkpoint({"step": 2}, path)
    assert load_checkpoint(path) == {"step": 1}


def test_accumulation_adds_up_to_the_whole_batch(tmp_path: Path) -> None:
    """The loop's step over four micro-batches of 2 has the loss and the gradient of the batch of 8 that they make together."""
    accelerator = Accelerator()
    gradients, figures = [], []
    for accumulate in (1, 4):
        task, settings = Quiet(), config(tmp_path, accumulate=accumulate, clip=math.inf, batch=8)
        parts = [task.make_batch(k, 2, 0) for k in range(4)]
        batches = iter(parts if accumulate == 4 else [{k: torch.cat([p[k] for p in parts]) for k in parts[0]}])
        keep = Keep(task.parameters(), lr=0.0)
        figures.append(one_step(task, Training(task, [keep], EMA(task, 0.9)), settings, batches, accelerator))
        gradients.append(keep.seen)
    torch.testing.assert_close(gradients[1], gradients[0])
    assert figures[1]["loss"] == pytest.approx(figures[0]["loss"]) and figures[0]["grad_norm"] > 0.1
    assert figures[1]["grad_norm"] == pytest.approx(figures[0]["grad_norm"])


class Quiet(Line):
    """Without the step's noise, which is another in every micro-batch."""

    def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        return (self.net(batch["x"]) - batch["y"]).square().mean(), {}


class Keep(torch.optim.SGD):
    """Remembers the gradient that it is given."""

    def step(self, closure: object = None) -> None:
        self.seen = torch.cat([p.grad.flatten() for group in self.param_groups for p in group["params"]])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"accumulate": 3}, "cannot be divided"), ({"accumulate": 0}, "--accumulate must be at least 1, not 0"),
     ({"save_every": 0}, "--save-every must be at least 1"), ({"validate_every": -1}, "--validate-every"),
     ({"steps": 0}, "--steps"), ({"precision": "fp8"}, "--precision must be auto, bf16 or no")],
)  # fmt: skip
def test_lengths_that_make_no_sense_are_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        config(tmp_path, **options)


def test_a_run_found_in_the_folder_goes_on_only_if_it_is_this_one(tmp_path: Path) -> None:
    fit(Line(), config(tmp_path, stop_after=5))
    with pytest.raises(TrainingError, match="belongs to another run .lr was 0.001 and is 0.5; seed was 0 and is 1.*--fresh"):
        fit(Line(), config(tmp_path, lr=0.5, seed=1))
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 5
    assert fit(Line(), config(tmp_path, steps=14, save_every=7, workers=1)).step == 14  # longer, and otherwise cut
    assert fit(Line(), config(tmp_path, lr=0.5, fresh=True)).step == 12


PARALLEL = """
import os, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
import test_training as t
task = t.Line()
training = t.fit(task, t.config(Path({out!r}), batch=4))
settings = t.config(Path({out!r}), batch=4)
Path({out!r}, "rank-" + os.environ["RANK"]).write_text(
    f"{{training.finished(settings)}} {{training.pictures(settings)}} {{task.processes}}"
)
"""


def test_two_processes_train_as_one_and_one_of_them_keeps_the_result(tmp_path: Path) -> None:
    code, out = tmp_path / "run.py", tmp_path / "two"
    code.write_text(PARALLEL.format(tests=str(Path(__file__).parent), out=str(out)))
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port())]
    command = [sys.executable, *launch, str(code)]
    subprocess.run(command, capture_output=True, check=True, env={**os.environ, "ACCELERATE_USE_CPU": "1"})
    told = [(out / f"rank-{rank}").read_text() for rank in (0, 1)]
    assert told == ["True 96 2", "False 96 2"]  # 12 steps of 4 in each of 2
    assert [step for step, _ in losses(out)] == list(range(1, 13))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_ema_equals_the_recursion_and_forgets_the_start() -> None:
    model = nn.Linear(2, 2)
    ema, expected = EMA(model, 0.9), model.weight.detach().clone()
    for update in range(30):
        with torch.no_grad():
            model.weight.add_(torch.randn(2, 2))
        ema.update(model)
        decay = min(0.9, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * model.weight.detach()
    torch.testing.assert_close(ema.average["weight"], expected)
    with pytest.raises(ValueError, match="EMA decay"):
        EMA(model, 1.0)


@pytest.mark.parametrize("shape", [(32, 32), (64, 16), (16, 48)])
def test_orthogonalise_drives_singular_values_towards_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(matrix))
    assert values.min() > 0.4 and values.max() < 1.4
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    assert torch.nn.functional.cosine_similarity((u @ v).flatten(), orthogonalise(matrix).flatten(), dim=0) > 0.95


def test_muon_equals_torchs_and_takes_kernels_as_matrices() -> None:
    """torch.optim.Muon takes one matrix at a time, and no kernels; ours takes all of one shape together."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(16, 24), (16, 24), (24, 16), (8, 3, 3, 3), (8, 27)]
    mine = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    theirs = [nn.Parameter(weight.detach().flatten(1).clone()) for weight in mine]
    ours = Muon(mine, lr=0.02, weight_decay=0.1)
    other = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for weight, twin in zip(mine, theirs, strict=True):
            weight.grad = torch.randn(weight.shape, generator=generator)
            twin.grad = weight.grad.flatten(1).clone()
        ours.step()
        other.step()
    for weight, twin in zip(mine, theirs, strict=True):
        torch.testing.assert_close(weight.flatten(1), twin, atol=2e-3, rtol=0)  # bfloat16: one update moves 0.02


def test_muon_takes_matrices_and_kernels_and_adamw_the_rest() -> None:
    model = nn.ModuleDict({"conv": nn.Conv2d(3, 8, 3), "linear": nn.Linear(8, 8), "token_embedding": nn.Embedding(9, 8)})
    adamw, muon = build_optimizers(model, "muon", 1e-3, 0.1)
    assert isinstance(muon, Muon)
    assert {p.shape for g in muon.param_groups for p in g["params"]} == {(8, 3, 3, 3), (8, 8)}
    assert {p.shape for g in adamw.param_groups for p in g["params"]} == {(8,), (9, 8)}
    assert next(g for g in adamw.param_groups if g["params"][0].ndim == 1)["weight_decay"] == 0
    with pytest.raises(ValueError, match="adamw"):
        build_optimizers(model, "sgd", 1e-3, 0.1)


def test_schedule_rises_then_falls_to_its_floor() -> None:
    factors = [warmup_cosine(step, 100, 10) for step in range(100)]
    assert factors[0] == pytest.approx(0.1) and factors[9] == 1.0
    assert all(a >= b for a, b in zip(factors[10:], factors[11:], strict=False))
    assert warmup_cosine(100, 100, 10) == pytest.approx(0.02)


def test_a_recipe_names_what_is_not_at_its_default(tmp_path: Path) -> None:
    assert recipe("minidiff train x", LoopConfig()) == "minidiff train x"
    changed = LoopConfig(out=tmp_path, steps=7, optimizer="muon", workers=3, compile=True)
    assert recipe("minidiff train x", changed) == "minidiff train x --steps 7 --optimizer muon --compile"
