"""The training loop: resumes exactly, survives a kill, trains alike in one process and in two, and its parts do what their
papers say."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from minidiff.train.checkpoint import FORMAT, MARK, TAIL, Training, load_checkpoint, save_checkpoint
from minidiff.train.ema import EMA
from minidiff.train.loop import Batch, Step, Task, choose_precision, fit, make_accelerator, one_step
from minidiff.train.optim import Muon, build_optimizers, muon_for_matrices, orthogonalise, warmup_cosine
from minidiff.train.options import LoopConfig, TrainingError, recipe_text
from minidiff.utils.locks import LockedError, locked


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


def test_another_models_checkpoint_is_named(tmp_path: Path) -> None:
    fit(Line(), config(tmp_path))
    other = Line()
    other.net[0] = nn.Linear(4, 8)
    other.net[2] = nn.Linear(8, 1)
    with pytest.raises(TrainingError, match="another model"):
        fit(other, config(tmp_path))


def hashed(body: bytes) -> bytes:
    return body + MARK + hashlib.sha256(body).hexdigest().encode()


def stored(state: object) -> bytes:
    file = io.BytesIO()
    torch.save(state, file)
    return hashed(file.getvalue())


class Evil:
    """A pickle that leaves a file where it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


BAD = {
    "step": -1, "seconds": float("nan"), "ema_updates": "3", "model": {}, "ema": {"net.0.weight": torch.zeros(2)},
    "optimizers": [], "config": {"lr": 3}, "processes": 0, "precision": None,
}  # fmt: skip


def test_no_damaged_or_forged_checkpoint_ends_in_a_traceback_or_runs_code(tmp_path: Path) -> None:
    fit(Line(), config(tmp_path / "good", stop_after=4))
    good = (tmp_path / "good" / "checkpoint.pt").read_bytes()
    state = torch.load(io.BytesIO(good), weights_only=True)
    wrong = {"step": torch.tensor(1.0), "exp_avg": torch.zeros(1, 1, 1), "exp_avg_sq": torch.zeros(1, 1, 1)}
    wrong_momentum = {**state, "optimizers": [{**state["optimizers"][0], "state": {0: wrong}}]}
    files = {
        "text": b"not a checkpoint", "empty": b"", "truncated": good[:-1000], "without hash": good[:-TAIL],
        "torch pickle": stored(Evil(tmp_path / "run")), "plain pickle": hashed(pickle.dumps(Evil(tmp_path / "run"))),
        "list": stored([1, 2]), "future": stored({**state, "format": FORMAT + 1}), "past": stored({"step": 1}),
        "momentum": stored(wrong_momentum), "optimizer": stored({**state, "optimizers": [3]}),
        "missing": stored({k: v for k, v in state.items() if k != "ema"}),
        **{name: stored({**state, name: value}) for name, value in BAD.items()},
        "dtype": stored({**state, "model": {k: v.to(torch.int8) for k, v in state["model"].items()}}),
    }  # fmt: skip
    for position in range(7, len(good), len(good) // 40):
        files[f"byte {position}"] = good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :]
    for name, data in files.items():
        (tmp_path / "bad").mkdir(exist_ok=True)
        (tmp_path / "bad" / "checkpoint.pt").write_bytes(data)
        with pytest.raises(TrainingError) as refused:
            fit(Line(), config(tmp_path / "bad"))
        text = str(refused.value)
        assert "checkpoint.pt" in text and "\n" not in text and len(text) < 600, (name, text)
    assert not (tmp_path / "run").exists()
    (tmp_path / "bad" / "checkpoint.pt").write_bytes(good)
    assert fit(Line(), config(tmp_path / "bad")).step == 12


@pytest.mark.parametrize("room", [0, 100, 4000])
def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint({"step": 1}, path)

    class Full(io.FileIO):
        def write(self, data: bytes) -> int:  # type: ignore[override]
            if self.tell() + len(data) > room:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(os, "fdopen", lambda handle, mode: Full(handle, mode))
    with pytest.raises(OSError, match="No space left on device: .*checkpoint.pt"):
        save_checkpoint({"step": 2, "weights": torch.zeros(1000), "more": torch.zeros(1000)}, path)
    assert load_checkpoint(path) == {"step": 1} and [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_the_log_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = open
    monkeypatch.setattr("builtins.open", lambda path, *rest, **more: opened.append(str(path)) or real(path, *rest, **more))
    fit(Line(), config(tmp_path, steps=12, validate_every=100))
    logs = [path for path in opened if path.endswith("log.csv")]
    assert len(logs) <= 3, logs  # at the start, for the first row's columns, and for those of the validation


def test_a_checkpoint_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint({"step": 1}, path)

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError):
        save_checkpoint({"step": 2}, path)
    assert load_checkpoint(path) == {"step": 1}


def step_of(task: Task, settings: LoopConfig, optimizer: torch.optim.Optimizer, parts: list[Batch]) -> dict[str, float]:
    """One step in float32, whatever was trained in this process before."""
    accelerator = make_accelerator("no", settings.accumulate)
    return one_step(task, Training(task, [optimizer], EMA(task, 0.9)), settings, iter(parts), accelerator)


def test_accumulation_adds_up_to_the_whole_batch(tmp_path: Path) -> None:
    """The loop's step over four micro-batches of 2 has the loss and the gradient of the batch of 8 that they make together."""
    gradients, figures = [], []
    for accumulate in (1, 4):
        task = Quiet()
        parts = [task.make_batch(k, 2, 0) for k in range(4)]
        whole = [{k: torch.cat([p[k] for p in parts]) for k in parts[0]}]
        keep = Keep(task.parameters(), lr=0.0)
        settings = config(tmp_path, accumulate=accumulate, clip=1e9, batch=8)
        figures.append(step_of(task, settings, keep, parts if accumulate == 4 else whole))
        gradients.append(keep.seen)
    assert_close(gradients[1], gradients[0])
    assert figures[1]["loss"] == pytest.approx(figures[0]["loss"]) and figures[0]["grad_norm"] > 0.1
    assert figures[1]["grad_norm"] == pytest.approx(figures[0]["grad_norm"])


def test_the_gradient_is_clipped_and_its_own_norm_is_logged(tmp_path: Path) -> None:
    seen = {}
    for clip in (1e9, 0.01):
        task = Quiet()
        keep = Keep(task.parameters(), lr=0.0)
        norm = step_of(task, config(tmp_path, clip=clip), keep, [task.make_batch(0, 8, 0)])["grad_norm"]
        seen[clip] = (norm, keep.seen)
    assert seen[0.01][0] == pytest.approx(seen[1e9][0]) and seen[1e9][0] > 0.1
    assert float(seen[0.01][1].norm()) == pytest.approx(0.01, rel=1e-3)
    assert_close(seen[0.01][1] / 0.01, seen[1e9][1] / seen[1e9][0], rtol=1e-3, atol=1e-5)


def test_every_optimiser_steps_at_the_schedules_rate(tmp_path: Path) -> None:
    task, rates = Quiet(), []
    settings = config(tmp_path, lr=0.5, steps=12, warmup=3)
    both = [Keep(task.net[0].parameters(), lr=9.0), Keep(task.net[2].parameters(), lr=9.0)]
    training, accelerator = Training(task, list(both), EMA(task, 0.9)), make_accelerator("no", 1)
    for step in range(12):
        logged = one_step(task, training, settings, iter([task.make_batch(step, 8, 0)]), accelerator)
        rates.append([*[optimizer.rate for optimizer in both], logged["lr"]])
    expected = [0.5 * warmup_cosine(step, 12, 3) for step in range(12)]
    assert rates == [[rate] * 3 for rate in expected] and len(set(expected)) > 8


def test_validation_sees_the_averaged_weights_and_leaves_the_trained_ones(tmp_path: Path) -> None:
    seen: list[float] = []

    class Watched(Line):
        def validate(self, folder: Path, step: int) -> dict[str, float]:
            seen.append(float(self.net[0].weight.detach().sum()))
            assert not self.training
            return {"weight": seen[-1]}

    task = Watched()
    first = float(task.net[0].weight.detach().sum())
    training = fit(task, config(tmp_path, lr=0.1, precision="no"))
    trained, averaged = (float(w["net.0.weight"].sum()) for w in (task.state_dict(), training.ema.average))
    assert seen[-1] == pytest.approx(averaged, abs=1e-6)
    assert abs(trained - averaged) > 1e-3 and abs(averaged - first) > 1e-3
    assert load_checkpoint(tmp_path / "checkpoint.pt")["model"]["net.0.weight"].equal(task.net[0].weight) and task.training


def test_validators_handed_in_are_asked_too(tmp_path: Path) -> None:
    training = fit(Line(), config(tmp_path), [lambda folder, step: {"asked": float(step)}])
    assert training.figures.keys() == {"weight", "asked"} and training.figures["asked"] == 12
    with open(tmp_path / "log.csv", newline="") as file:
        assert [row["val_asked"] for row in csv.DictReader(file)] == [""] * 5 + ["6"] + [""] * 5 + ["12"]


class Quiet(Line):
    """Without the step's noise, which is another in every micro-batch."""

    def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        return (self.net(batch["x"]) - batch["y"]).square().mean(), {}


class Keep(torch.optim.SGD):
    """Remembers the gradient that it is given."""

    def step(self, closure: object = None) -> None:
        self.seen = torch.cat([p.grad.flatten() for group in self.param_groups for p in group["params"]])
        self.rate = self.param_groups[0]["lr"]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"accumulate": 3}, "cannot be divided"), ({"accumulate": 0}, "accumulate is 0, but it must be a whole number"),
     ({"save_every": 0}, "save_every is 0"), ({"validate_every": -1}, "validate_every is -1"), ({"steps": 0}, "steps is 0"),
     ({"precision": "fp8"}, "precision is 'fp8', but it must be 'auto' or 'bf16' or 'fp16' or 'no'"),
     ({"warmup": -1}, "warmup is -1"),
     ({"seed": -1}, "seed is -1"), ({"lr": float("nan")}, "lr is nan"), ({"lr": float("inf")}, "lr is inf"),
     ({"lr": 0.0}, "lr is 0.0, but it must be a finite number"), ({"ema": 1.0}, "ema is 1.0"), ({"ema": -0.1}, "ema"),
     ({"workers": -1}, "workers is -1"), ({"clip": 0.0}, "clip is 0.0"), ({"weight_decay": -0.1}, "weight_decay is -0.1"),
     ({"stop_after": 0}, "stop_after is 0"), ({"batch": 0}, "batch is 0"), ({"optimizer": "sgd"}, "optimizer is 'sgd'")],
)  # fmt: skip
def test_options_out_of_range_are_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        config(tmp_path, **options)


def test_a_run_found_in_the_folder_goes_on_only_if_it_is_this_one(tmp_path: Path) -> None:
    fit(Line(), config(tmp_path, stop_after=5))
    with pytest.raises(TrainingError, match="belongs to another run .lr was 0.001 and is 0.5; seed was 0 and is 1.*--fresh"):
        fit(Line(), config(tmp_path, lr=0.5, seed=1))
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 5
    assert fit(Line(), config(tmp_path, steps=14, save_every=7, workers=1)).step == 14  # longer, and otherwise cut
    assert fit(Line(), config(tmp_path, lr=0.5, fresh=True)).step == 12


def test_a_folder_in_use_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minidiff.train.loop.LOCK_WAIT", 0.1)
    with locked(tmp_path / ".lock", "The run folder"), pytest.raises(LockedError, match=f"The run folder {tmp_path} is in use"):
        fit(Line(), config(tmp_path))
    assert fit(Line(), config(tmp_path)).step == 12


def test_a_resumed_run_keeps_its_precision_unless_told_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINIDIFF_DTYPE", raising=False)
    for saved in ("bf16", "no"):
        assert choose_precision(config(tmp_path), {"precision": saved}) == saved
        assert choose_precision(config(tmp_path, precision="no"), {"precision": saved}) == "no"
    for name, precision in (("bfloat16", "bf16"), ("float32", "no")):
        monkeypatch.setenv("MINIDIFF_DTYPE", name)
        assert choose_precision(config(tmp_path), None) == precision
        fit(Line(), config(tmp_path / name))
        assert load_checkpoint(tmp_path / name / "checkpoint.pt")["precision"] == precision



PARALLEL = """
import os, sys, time
from pathlib import Path
Path({out!r}, "pid-" + os.environ["RANK"]).write_text(str(os.getpid()))
sys.path.insert(0, {tests!r})
import test_training as t
class Slow(t.Line):
    def make_batch(self, index, size, seed):
        time.sleep({pause})
        return super().make_batch(index, size, seed)
    def validate(self, folder, step):
        return {{"by_rank": float(os.environ["RANK"])}}
exchanged = []
no_sync = t.nn.parallel.DistributedDataParallel.no_sync
t.nn.parallel.DistributedDataParallel.no_sync = lambda model: exchanged.append("not yet") or no_sync(model)
task = Slow()
settings = t.config(Path({out!r}), **{options!r})
def second(folder, step):
    return {{"second_by_rank": float(os.environ["RANK"])}}
training = t.fit(task, settings, [second])
figures = sorted(training.figures.items())
Path({out!r}, "rank-" + os.environ["RANK"]).write_text(
    f"{{training.finished(settings)}} {{training.images_seen(settings)}} {{task.processes}} {{len(exchanged)}} {{figures}}"
)
"""


def launched(folder: Path, processes: int = 2, pause: float = 0.0, **options: object) -> subprocess.Popen:
    """A run of `Line` in several processes over gloo."""
    folder.mkdir(parents=True, exist_ok=True)
    code = folder / "run.py"
    code.write_text(PARALLEL.format(tests=str(Path(__file__).parent), out=str(folder), pause=pause, options=options))
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--master-port", str(free_port())]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        [sys.executable, *launch, str(code)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


PARTS: dict = {"precision": "no", "lr": 0.05, "clip": 0.5, "steps": 12}


def weights(folder: Path) -> dict[str, Tensor]:
    saved = load_checkpoint(folder / "checkpoint.pt")
    return {**{f"model {k}": v for k, v in saved["model"].items()}, **{f"ema {k}": v for k, v in saved["ema"].items()}}


def figures_of(folder: Path) -> list[list[float]]:
    with open(folder / "log.csv", newline="") as file:
        return [[float(row[name]) for name in ("step", "loss", "grad_norm", "lr")] for row in csv.DictReader(file)]


def test_two_processes_train_as_one_with_twice_as_many_micro_batches(tmp_path: Path) -> None:
    process = launched(tmp_path / "two", batch=4, accumulate=2, **PARTS)
    fit(Line(), config(tmp_path / "one", batch=8, accumulate=4, **PARTS))
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors[-2000:]
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name, value in one.items():
        assert_close(two[name], value, atol=1e-6, rtol=0, msg=lambda text, name=name: f"{name}: {text}")
    assert figures_of(tmp_path / "two") == [pytest.approx(row, rel=1e-4) for row in figures_of(tmp_path / "one")]
    told = [(tmp_path / "two" / f"rank-{rank}").read_text() for rank in (0, 1)]
    shared = "[('by_rank', 0.0), ('second_by_rank', 1.0)]"  # the processes share the validators and know all figures
    # 12 steps of 4 images in each of 2, and in each step one micro-batch after which gradients are not yet exchanged
    assert told == [f"True 96 2 12 {shared}", f"False 96 2 12 {shared}"]


def test_two_processes_killed_go_on_as_one_with_two_micro_batches(tmp_path: Path) -> None:
    """kill -9 of the whole run; and what cannot be the same run is refused."""
    folder = tmp_path / "two"
    process = launched(folder, batch=4, pause=0.15, save_every=2, **PARTS)
    checkpoint, deadline = folder / "checkpoint.pt", time.time() + 100
    while not checkpoint.exists() and time.time() < deadline and process.poll() is None:
        time.sleep(0.02)
    for pid in [process.pid, *(int(path.read_text()) for path in folder.glob("pid-*"))]:
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    before = load_checkpoint(checkpoint)
    assert 0 < before["step"] < 12 and before["processes"] == 2
    with pytest.raises(TrainingError, match="batch was 4 in each of 2 processes and is 4 in 1.*--batch 8 --accumulate 2 "):
        fit(Line(), config(folder, batch=4, **PARTS))
    fit(Line(), config(folder, batch=8, accumulate=2, **PARTS))
    fit(Line(), config(tmp_path / "one", batch=8, accumulate=2, **PARTS))
    for name, value in weights(tmp_path / "one").items():
        assert_close(weights(folder)[name], value, atol=1e-6, rtol=0)
    assert [row[0] for row in figures_of(folder)] == list(range(1, 13))


def test_noise_is_numbered_through_steps_turns_and_processes(tmp_path: Path) -> None:
    """No micro-batch of a run meets the noise of another, nor the seed of its own data."""
    seen: list[int] = []

    class Watched(Line):
        def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
            seen.append(step.generator.initial_seed())
            return super().forward(batch, step)

    fit(Watched(), config(tmp_path / "a", accumulate=2))
    fit(Watched(), config(tmp_path / "b", accumulate=2, seed=1))
    assert len(seen) == len(set(seen)) == 48


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
    ours = Muon(mine, lr=0.02, weight_decay=0.1, dtype=torch.bfloat16)
    other = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for weight, twin in zip(mine, theirs, strict=True):
            weight.grad = torch.randn(weight.shape, generator=generator)
            twin.grad = weight.grad.flatten(1).clone()
        ours.step()
        other.step()
    for weight, twin in zip(mine, theirs, strict=True):
        assert_close(weight.flatten(1), twin, atol=2e-3, rtol=0)  # bfloat16: one update moves 0.02


def test_torchs_muon_is_used_where_it_gives_the_same_update(monkeypatch: pytest.MonkeyPatch) -> None:
    matrices = [nn.Parameter(torch.zeros(4, 4))]
    made = muon_for_matrices(matrices, 0.1, 0.2, torch.bfloat16)
    assert type(made) is torch.optim.Muon and made.defaults["adjust_lr_fn"] == "match_rms_adamw"
    assert (made.defaults["lr"], made.defaults["weight_decay"], made.defaults["momentum"]) == (0.1, 0.2, 0.95)
    assert type(muon_for_matrices(matrices, 0.1, 0.2, torch.float32)) is Muon  # torch's would compute in bfloat16
    monkeypatch.delattr(torch.optim, "Muon")
    assert type(muon_for_matrices(matrices, 0.1, 0.2, torch.bfloat16)) is Muon  # before torch 2.9


def test_a_run_goes_on_with_either_muon(tmp_path: Path) -> None:
    """Torch's and ours keep the same state, so a run may change its precision on the way."""
    fit(Line(), config(tmp_path, optimizer="muon", precision="bf16", stop_after=5))
    fit(Line(), config(tmp_path, optimizer="muon", precision="no", stop_after=3))
    assert fit(Line(), config(tmp_path, optimizer="muon", precision="bf16")).step == 12


def test_muon_allocates_its_momentum_once(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = nn.Parameter(torch.randn(4, 4))
    optimizer = Muon([weight], lr=0.1)
    made: list[int] = []
    zeros_like = torch.zeros_like
    monkeypatch.setattr(torch, "zeros_like", lambda *args, **options: made.append(1) or zeros_like(*args, **options))
    for _ in range(3):
        weight.grad = torch.randn(4, 4)
        optimizer.step()
    assert len(made) == 1


def test_muon_takes_matrices_and_kernels_and_adamw_the_rest() -> None:
    model = nn.ModuleDict({"conv": nn.Conv2d(3, 8, 3), "linear": nn.Linear(8, 8), "token_embedding": nn.Embedding(9, 8)})
    adamw, matrices, kernels = build_optimizers(model, "muon", 1e-3, 0.1)
    assert isinstance(kernels, Muon)
    shapes = [{p.shape for g in one.param_groups for p in g["params"]} for one in (adamw, matrices, kernels)]
    assert shapes == [{(8,), (9, 8)}, {(8, 8)}, {(8, 3, 3, 3)}]
    assert next(g for g in adamw.param_groups if g["params"][0].ndim == 1)["weight_decay"] == 0
    with pytest.raises(ValueError, match="adamw"):
        build_optimizers(model, "sgd", 1e-3, 0.1)


def test_schedule_rises_then_falls_to_its_floor() -> None:
    factors = [warmup_cosine(step, 100, 10) for step in range(100)]
    assert factors[0] == pytest.approx(0.1) and factors[9] == 1.0
    assert all(a >= b for a, b in zip(factors[10:], factors[11:], strict=False))
    assert warmup_cosine(100, 100, 10) == pytest.approx(0.02)


def test_a_recipe_names_what_is_not_at_its_default(tmp_path: Path) -> None:
    assert recipe_text("minidiff train x", LoopConfig()) == "minidiff train x"
    changed = LoopConfig(out=tmp_path, steps=7, optimizer="muon", workers=3, compile=True, publish=True)
    assert recipe_text("minidiff train x", changed) == "minidiff train x --steps 7 --optimizer muon --compile"
