"""The large recipes: what they cost by formulas and in truth, that they train alike in any number of processes, what they say
of bad input, and what is left of them."""

from __future__ import annotations

import csv
import errno
import io
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from small_shards import make_shards
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from minidiff import cli
from minidiff.models.dit import DiT, DiTConfig
from minidiff.pretrained import zoo
from minidiff.recipes import dit_b
from minidiff.recipes.dit_b import DIT_B_256, DIT_B_512, DiTB256Run, DiTB512Run, checkpoint_blocks
from minidiff.recipes.plan import Plan, data_lines, failure_lines, memory_lines, time_lines
from minidiff.train import costs, log, watch
from minidiff.train.checkpoint import load_checkpoint
from minidiff.train.options import TrainingError
from minidiff.train.watch import Watch, peak_of

TINY: dict[str, Any] = {
    "size": 64, "width": 32, "depth": 2, "heads": 2, "batch": 16, "micro": 4, "steps": 8, "warmup": 2, "workers": 0, "held": 6,
    "tokens": 6, "lr": 3e-3, "ema": 0.9, "precision": "no", "sizes_per_step": 2, "save_every": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def done(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process, from its first step to its last."""
    out = tmp_path_factory.mktemp("runs") / "one"
    dit_b.train(DiTB256Run(data=shards, out=out, validate_every=4, **TINY))
    return out


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


def weights(folder: Path) -> dict[str, Tensor]:
    saved = load_checkpoint(folder / "checkpoint.pt")
    return {**{f"model {k}": v for k, v in saved["model"].items()}, **{f"ema {k}": v for k, v in saved["ema"].items()}}


def words_of(options: dict[str, Any]) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]


# --- what it costs ----------------------------------------------------------------------------------------------------------


def inputs(config: DiTConfig, rows: int, columns: int, tokens: int, count: int = 2) -> tuple[Tensor, ...]:
    torch.manual_seed(0)
    mask = torch.ones(count, tokens, dtype=torch.bool)
    context = torch.randn(count, tokens, config.caption_channels)
    return torch.randn(count, config.in_channels, rows, columns), 1000 * torch.rand(count), context, mask


@pytest.mark.parametrize(("rows", "columns", "tokens"), [(32, 32, 77), (24, 40, 5)])
def test_operations_are_those_that_torch_counts(rows: int, columns: int, tokens: int) -> None:
    config = DiTConfig(sample_size=32, hidden_size=96, depth=2, heads=2, caption_channels=40, mlp_ratio=3)
    network = DiT(config)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        loss = network(*inputs(config, rows, columns, tokens)).square().mean()
        forward = counter.get_total_flops() / 2
        loss.backward()
    patches = rows * columns // 4
    assert costs.forward_flops(config, patches, tokens) == pytest.approx(forward, rel=0.02)
    assert costs.training_flops(config, patches, tokens) == pytest.approx(counter.get_total_flops() / 2, rel=0.02)


def kept_bytes(config: DiTConfig, mixed: bool) -> float:
    """What a block keeps for its derivatives of one image, without scores and copies of weights, which a GPU doesn't keep."""
    sizes = []
    for depth in (1, 3):
        network, seen = DiT(replace(config, depth=depth)), {}
        own = {p.untyped_storage().data_ptr() for p in network.parameters()}

        def pack(tensor: Tensor, own: set[int] = own, seen: dict[int, Tensor] = seen) -> Tensor:
            if tensor.untyped_storage().data_ptr() not in own:
                seen[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
        with hooks, torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            loss = network(*inputs(config, 32, 32, 16)).float().square().mean()
        sizes.append(sum(tensor.untyped_storage().nbytes() for tensor in seen.values()))
        del loss
    each = (sizes[1] - sizes[0]) / 2
    if mixed:  # AttendByProducts keeps weights of attention; autocast copies of the layers' weights
        each -= 2 * 2 * config.heads * 256 * (256 + 16) + 2 * 16 * config.hidden_size**2
    return each / 2


@pytest.mark.parametrize("mixed", [False, True])
def test_activations_are_those_that_a_block_keeps(mixed: bool) -> None:
    config = DiTConfig(sample_size=32, hidden_size=64, heads=2, caption_channels=40)
    assert costs.block_activations(config, 256, 16, mixed) == pytest.approx(kept_bytes(config, mixed), rel=0.02)


def test_memory_of_weights_and_averages_is_that_of_a_run(done: Path) -> None:
    saved = load_checkpoint(done / "checkpoint.pt")
    config = DiTConfig(sample_size=8, hidden_size=32, depth=2, heads=2, caption_channels=16)
    count = sum(p.numel() for p in DiT(config).parameters())
    told = costs.training_memory(config, count, 4, 16, 6, mixed=False)
    moments = [t for one in saved["optimizers"] for state in one["state"].values() for t in state.values()]
    for part, tensors in (("weights", saved["model"].values()), ("ema", saved["ema"].values()), ("optimizer", moments)):
        assert getattr(told, part) == pytest.approx(sum(t.nbytes for t in tensors), rel=0.002), part
    assert told.gradients == 4 * count and told.exchange == 0
    assert costs.training_memory(config, count, 4, 16, 6, processes=2, mixed=False).exchange == 4 * count


def test_the_network_has_the_size_that_is_told_and_checkpointing_saves_most_of_its_activations() -> None:
    assert sum(p.numel() for p in DiT(DIT_B_256.model).parameters()) == 118_960_912
    plain, small = (costs.training_memory(DIT_B_256.model, 1, 64, 256, 77, checkpointing=on) for on in (False, True))
    assert small.activations < plain.activations / 6


def test_checkpointed_blocks_give_the_same_gradients_and_keep_less() -> None:
    config = DiTConfig(sample_size=16, hidden_size=32, depth=3, heads=2, caption_channels=16)
    torch.manual_seed(0)
    plain = DiT(config)
    for parameter in plain.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    other = DiT(config)
    other.load_state_dict(plain.state_dict())
    checkpoint_blocks(other.transformer_blocks)
    kept = []
    for network in (plain, other):
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, sizes=sizes: sizes.append(t.nbytes) or t, lambda t: t):
            loss = network(*inputs(config, 16, 16, 5)).square().mean()
        loss.backward()
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 2
    assert other.state_dict().keys() == plain.state_dict().keys()
    for ours, theirs in zip(other.parameters(), plain.parameters(), strict=True):
        assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize(
    ("name", "peak"),
    [("NVIDIA H100 80GB HBM3", 989), ("NVIDIA H100 PCIe", 756), ("NVIDIA H200", 989), ("NVIDIA GH200 480GB", 989),
     ("NVIDIA A100-SXM4-80GB", 312), ("NVIDIA L4", 121), ("NVIDIA L40S", 362), ("NVIDIA A10", 125), ("Tesla T4", 65),
     ("NVIDIA A10G", None), ("Imagined X1", None)],
)  # fmt: skip
def test_peaks_are_found_by_the_names_of_devices(name: str, peak: float | None) -> None:
    assert peak_of(name) == (None if peak is None else peak * 1e12)


def test_waiting_and_use_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow() -> Any:
        for _ in range(3):
            time.sleep(0.05)
            yield {"x": 1}

    monkeypatch.setattr(watch, "measured_peak", lambda dtype: 1e6)
    watched = Watch(lambda batch: 2e5, corrections=lambda row, batch: {"count": row["share"] * batch})
    seen, cpu = watched.over(slow()), SimpleNamespace(device=torch.device("cpu"), mixed_precision="no", num_processes=2)
    next(seen), next(seen)
    found = watched.figures(cpu, {"images_per_second": 40.0, "share": 0.5}, 20)  # a step took half a second
    assert found["mfu"] == pytest.approx(0.8) and 0.09 < found["data_seconds"] < 0.3
    assert found["count"] == 10 and found["gpus"] == 2 and found["memory_gb"] > 0.05
    next(seen)
    assert watched.figures(cpu, {"images_per_second": 40.0, "share": 0.5}, 20)["mfu"] == pytest.approx(0.4), "counted anew"
    assert Watch().figures(cpu, {}, 1) == {} and list(seen) == []


# --- the plan ---------------------------------------------------------------------------------------------------------------


def plan(**changes: Any) -> Plan:
    settings: dict[str, Any] = {
        "name": "x", "model": DIT_B_256.model, "patches": 256, "tokens": 77, "steps": 1000, "batch": 512, "micro": 64,
        "gpus": 4, "gpu": "A100", "price": 2.0, "mfu": 0.4, "measured": None, "pictures": 1_000_000, "save_every": 100,
        "known_data": False, "mixed": True, "checkpointing": False,
    }  # fmt: skip
    return Plan(**{**settings, **changes})


def told(lines: list[Any]) -> dict[str, str]:
    return {line.what: line.value for line in lines}


def test_days_and_dollars_follow_from_the_rate(tmp_path: Path) -> None:
    log_file = tmp_path / "log.csv"
    log_file.write_text("step,images_per_second,gpus\n1,2,4\n2,800,4\n3,800,4\n4,400,2\n")
    measured = told(time_lines(plan(measured=log_file)))
    assert measured["pictures per second"] == "800 (200 each)" and measured["a step"] == "0.64 s"
    assert measured["time"] == "10.7 minutes" and measured["GPU hours"] == "1" and measured["cost"] == "$1"
    longer = told(time_lines(plan(measured=log_file, steps=1_000_000)))
    assert longer["time"] == "7.4 days" and longer["GPU hours"] == "711" and longer["cost"] == "$1,422"
    rate, how = plan().rate()
    assert rate == pytest.approx(0.4 * 312e12 / costs.training_flops(DIT_B_256.model, 256, 77)) and how.startswith("assumed")
    assert {line.known.split(":")[0] for line in time_lines(plan(measured=log_file))} >= {"measured", "follows", "given"}


def test_data_and_failures_are_computed() -> None:
    data, failures = told(data_lines(plan())), told(failure_lines(plan()))
    assert data["shards"] == "100"
    assert data["latents and text on disk"] == "115 GB", "1e6 x (2 x 8,192 + 2 x 32 x 1,536 bytes)"
    assert data["read for a picture"] == "57.3 kB"
    assert failures["checkpoint"] == "1.9 GB"
    assert failures["between failures"] == "527.9 days", "54 x 16,384 / 419 GPU days in 4 GPUs"


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"gpu": "Z9"}, "The peak of --gpu 'Z9' isn't known: choose one of B200.*or pass --measured"),
     ({"measured": Path("/nowhere/log.csv")}, "--measured /nowhere/log.csv is no log of such a training")],
)  # fmt: skip
def test_a_plan_without_a_rate_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        time_lines(plan(**changes))


def test_the_plan_trains_nothing_and_says_what_it_assumes(tmp_path: Path, shards: Path, capsys: Any) -> None:
    cli.dispatch(["train", "dit_b_256", "--plan", "--gpus", "64", "--batch", "4096", "--out", str(tmp_path / "run"),
                  "--data", str(tmp_path / "nowhere")])  # fmt: skip
    text = capsys.readouterr().out
    assert "118,960,912" in text and "assumed: 35% of 989 TFLOPS" in text and "shards that are assumed" in text
    assert memory_lines(plan())[0].known == "counted" and not (tmp_path / "run").exists()
    options = {name: TINY[name] for name in ("size", "width", "depth", "heads", "batch", "micro", "steps", "tokens")}
    cli.dispatch(["train", "dit_b_256", "--plan", "--gpus", "2", "--data", str(shards), *words_of(options)])
    text = capsys.readouterr().out
    network = DiT(DiTConfig(sample_size=8, hidden_size=32, depth=2, heads=2, caption_channels=16))
    assert f"{sum(p.numel() for p in network.parameters()):,}" in text and "the shards that are there" in text
    assert "4 pictures of 18 patches" in text, "of the largest size"


# --- training ---------------------------------------------------------------------------------------------------------------


def test_a_run_learns_and_logs_what_it_used(done: Path) -> None:
    logged = rows(done)
    assert [int(row["step"]) for row in logged] == list(range(1, 9))
    for name in ("loss", "grad_norm", "lr", "images_per_second", "data_seconds", "memory_gb", "mfu", "minutes"):
        assert all(float(row[name]) >= 0 for row in logged), name
    assert {row["gpus"] for row in logged} == {"1"} and {row["replaced"] for row in logged} == {"0"}
    assert [row["step"] for row in logged if row["val_loss"]] == ["4", "8"]
    assert float(logged[7]["val_loss"]) < float(logged[3]["val_loss"])
    row = zoo.entry("dit_b_256", done)
    assert row["images_seen"] == 128 and row["config"]["encoders"] == "a made up model" and row["figures"]["loss"] < 1.1
    state = zoo.load("dit_b_256", done)[1]
    averaged = load_checkpoint(done / "checkpoint.pt")["ema"]
    assert all(torch.equal(state[f"dit.{name.removeprefix('network.')}"], value) for name, value in averaged.items())


def test_a_run_that_is_done_is_left_as_it_is(done: Path, shards: Path) -> None:
    before = (done / "manifest.json").read_bytes(), (done / "log.csv").read_bytes()
    dit_b.train(DiTB256Run(data=shards, out=done, validate_every=4, **TINY))
    assert ((done / "manifest.json").read_bytes(), (done / "log.csv").read_bytes()) == before


PARALLEL = """
import os, sys, time
from pathlib import Path
from minidiff.recipes import dit_b
from minidiff.train.sharded import ShardedExamples
Path({out!r}, "pid-" + os.environ["RANK"]).write_text(str(os.getpid()))
real = ShardedExamples.make_batch
ShardedExamples.make_batch = lambda *arguments: time.sleep({pause}) or real(*arguments)
dit_b.train(dit_b.DiTB256Run(data=Path({data!r}), out=Path({out!r}), **{options!r}))
"""


def launched(data: Path, out: Path, processes: int = 2, pause: float = 0.0, **options: Any) -> subprocess.Popen:
    """A run in several processes over gloo."""
    out.mkdir(parents=True, exist_ok=True)
    code = out / "run.py"
    code.write_text(PARALLEL.format(data=str(data), out=str(out), pause=pause, options={**TINY, **options}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--master-port", str(port)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        [sys.executable, *launch, str(code)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def assert_same(folder: Path, other: Path) -> None:
    for name, value in weights(other).items():
        assert_close(weights(folder)[name], value, atol=1e-6, rtol=0, msg=lambda text, name=name: f"{name}: {text}")


def test_two_processes_train_as_one(shards: Path, done: Path, tmp_path: Path) -> None:
    """The same command: each accumulates half as many micro-batches, of three sizes, two in each step."""
    process = launched(shards, tmp_path / "two")
    _, errors = process.communicate(timeout=150)
    assert process.returncode == 0, errors[-2000:]
    assert load_checkpoint(tmp_path / "two" / "checkpoint.pt")["processes"] == 2
    assert_same(tmp_path / "two", done)
    for mine, theirs in zip(rows(tmp_path / "two"), rows(done), strict=True):
        for name in ("loss", "grad_norm"):
            assert float(mine[name]) == pytest.approx(float(theirs[name]), rel=1e-4)


def test_two_processes_that_are_killed_go_on_as_one(shards: Path, done: Path, tmp_path: Path) -> None:
    """kill -9 of the whole run, and the same command again without a launcher."""
    folder = tmp_path / "killed"
    process = launched(shards, folder, pause=0.1)
    checkpoint, deadline = folder / "checkpoint.pt", time.time() + 100
    while not checkpoint.exists() and time.time() < deadline and process.poll() is None:
        time.sleep(0.02)
    for pid in [process.pid, *(int(path.read_text()) for path in folder.glob("pid-*"))]:
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    assert 0 < load_checkpoint(checkpoint)["step"] < 8 and load_checkpoint(checkpoint)["processes"] == 2
    with pytest.raises(TrainingError, match="belongs to another run .caption_dropout was 0.1 and is 0.2."):
        dit_b.train(DiTB256Run(data=shards, out=folder, **TINY, caption_dropout=0.2))
    dit_b.train(DiTB256Run(data=shards, out=folder, **TINY))
    assert_same(folder, done)
    assert [row["step"] for row in rows(folder)] == [str(k) for k in range(1, 9)]


def test_a_full_disk_leaves_the_last_checkpoint_whole(
    shards: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    options = words_of({**TINY, "data": shards, "out": tmp_path / "run"})
    cli.dispatch(["train", "dit_b_256", *options, "--stop-after", "2"])
    before = (tmp_path / "run" / "checkpoint.pt").read_bytes()

    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            if self.tell() + len(data) > 60_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdopen", lambda handle, mode: Full(handle, mode))
        with pytest.raises(SystemExit) as ended:
            cli.main(["train", "dit_b_256", *options])
    assert ended.value.code == 2
    assert "No space left on device" in capsys.readouterr().err.splitlines()[-1]
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == before
    cli.dispatch(["train", "dit_b_256", *options])
    assert_same(tmp_path / "run", done)


def test_a_shard_that_goes_missing_ends_the_run_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Also from a worker process, whose errors a DataLoader would wrap."""
    from minidiff.data.images import encoded

    data = make_shards(tmp_path / "shards", {"64x64": 20})
    monkeypatch.setattr(encoded, "PAUSES", (0.0,))
    real = encoded.EncodedShards._check_complete

    def then_lost(self: Any, paths: Any) -> None:
        real(self, paths)
        (data / "64x64" / "shard-000001.latents.npy").unlink()

    monkeypatch.setattr(encoded.EncodedShards, "_check_complete", then_lost)
    options = words_of({**TINY, "sizes_per_step": 1, "workers": 1, "data": data, "out": tmp_path / "run", "held": 0})
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "dit_b_256", *options])
    last = capsys.readouterr().err.splitlines()[-1]
    assert ended.value.code == 2 and "Traceback" not in last
    assert last.startswith("minidiff: The shard") and "shard-000001.tar cannot be read, though it was tried 2 times" in last


def test_corrupted_samples_are_counted_in_the_log_and_at_the_end(tmp_path: Path, capsys: Any) -> None:
    data = make_shards(tmp_path / "shards", {"64x64": 20})
    path = data / "64x64" / "shard-000000.checks.npy"
    bad = bytearray(path.read_bytes())
    bad[-8:] = bytes(8)                                     # those of its last sample and of its mirror image
    path.write_bytes(bad)
    dit_b.train(DiTB256Run(data=data, out=tmp_path / "run", **{**TINY, "sizes_per_step": 1, "held": 0, "steps": 5}))
    counts = [int(float(row["replaced"])) for row in rows(tmp_path / "run")]
    assert sum(counts) == 4, "5 x 16 pictures are four times all 20"
    assert "4 corrupted samples were replaced by others" in capsys.readouterr().out


# --- what is left, and what goes on with it ---------------------------------------------------------------------------------


def test_512_goes_on_from_256_at_positions_twice_as_dense(done: Path, tmp_path: Path) -> None:
    data = make_shards(tmp_path / "large", {"128x128": 12, "96x160": 8})
    options = {**TINY, "size": 128, "steps": 2, "lr": 1e-9, "ema": 0.0, "sizes_per_step": 1, "held": 4}
    with pytest.raises(TrainingError, match="dit_b_512 begins with the weights of dit_b_256: pass --start"):
        dit_b.train(DiTB512Run(data=data, out=tmp_path / "run", **options))
    dit_b.train(DiTB512Run(data=data, out=tmp_path / "run", start=str(done), **options))
    saved, state = zoo.load("dit_b_512", tmp_path / "run")
    _, before = zoo.load("dit_b_256", done)
    assert saved["dit"]["sample_size"] == 16 and state.keys() == before.keys()
    for name, value in before.items():
        assert_close(state[name], value, atol=1e-6, rtol=0)
    configs = zoo.load("dit_b_256", done)[0]["dit"], saved["dit"]
    small, large = (DiT(DiTConfig(**config)).pos_embed.pos_embed for config in configs)
    assert_close(large.view(8, 8, -1)[::2, ::2], small.view(4, 4, -1))
    assert DIT_B_512.model.sample_size / DIT_B_512.model.interpolation_scale == DIT_B_256.model.sample_size


def test_weights_of_another_text_width_are_refused(done: Path, tmp_path: Path) -> None:
    data = make_shards(tmp_path / "wide", {"64x64": 8}, width=24)
    with pytest.raises(TrainingError, match="caption_channels is 16 there and 24 here.*the width of the text vectors: prepare"):
        dit_b.train(DiTB256Run(data=data, out=tmp_path / "run", start=str(done), **{**TINY, "sizes_per_step": 1}))
    with pytest.raises(TrainingError, match="hidden_size is 32 there and 64 here"):
        dit_b.train(DiTB256Run(data=data, out=tmp_path / "run", start=str(done), **{**TINY, "width": 64}))
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match="holds no finished training of a DiT"):
        dit_b.train(DiTB256Run(data=data, out=tmp_path / "run", start=str(tmp_path / "empty"), **TINY))
    assert not (tmp_path / "run").exists()


def test_on_latents_of_a_model_of_the_zoo_the_result_draws_with_its_own_norm(
    tiny_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from minidiff.pipelines.loading import load_pipeline

    monkeypatch.setenv("MINIDIFF_ZOO", str(tiny_zoo))
    data = make_shards(tmp_path / "shards", {"32x32": 20}, by="world-dit")
    options = {**TINY, "size": 32, "sizes_per_step": 1, "text_norm": 0.1, "steps": 4}
    dit_b.train(DiTB256Run(data=data, out=tmp_path / "run", **options))
    pipeline = load_pipeline(tmp_path / "run", "cpu", "float32")
    before = load_pipeline("world-dit", "cpu", "float32")
    (image,) = pipeline(pipeline.request("a big red star", steps=2))
    assert image.size == (32, 32)
    with torch.inference_mode():
        ours, theirs = (one.encode(["a big red star"])[0] for one in (pipeline, before))
    learnt = load_checkpoint(tmp_path / "run" / "checkpoint.pt")["ema"]
    expected = theirs * (1 + 0.1 * learnt["text.scale"]) + 0.1 * learnt["text.shift"]
    assert float(learnt["text.shift"].abs().max()) > 1e-4
    assert_close(ours, expected, atol=1e-5, rtol=1e-5)


# --- who is told ------------------------------------------------------------------------------------------------------------


def test_tensorboard_can_be_read(shards: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    dit_b.train(DiTB256Run(data=shards, out=tmp_path / "run", tensorboard=True, **{**TINY, "steps": 3}))
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3]
    logged = [float(row["loss"]) for row in rows(tmp_path / "run")]
    assert [event.value for event in events.Scalars("loss")] == pytest.approx(logged, rel=1e-4)


def test_weights_and_biases_get_each_row_and_a_resumed_run_keeps_its_name(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, logged = [], []
    note, end = lambda row, step: logged.append((step, row["loss"])), lambda: begun.append("end")  # noqa: E731
    fake = SimpleNamespace(id="abc", log=note, finish=end)
    module = SimpleNamespace(init=lambda **given: begun.append((given["project"], given["id"])) or fake)
    monkeypatch.setitem(sys.modules, "wandb", module)  # type: ignore[arg-type]
    monkeypatch.setattr(dit_b, "check_installed", lambda package, option: None)
    for steps in (2, 1):
        dit_b.train(DiTB256Run(data=shards, out=tmp_path / "run", wandb="mine", stop_after=steps, **TINY))
    assert begun == [("mine", None), "end", ("mine", "abc"), "end"]
    assert [step for step, _ in logged] == [1, 2, 3]
    assert [loss for _, loss in logged] == pytest.approx([float(row["loss"]) for row in rows(tmp_path / "run")], rel=1e-4)


@pytest.mark.parametrize(("options", "package"), [(["--tensorboard"], "tensorboard"), (["--wandb", "mine"], "wandb")])
def test_missing_packages_are_told_before_anything_begins(
    options: list[str], package: str, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log.importlib.util, "find_spec", lambda name: None)
    given = words_of({**TINY, "data": shards, "out": tmp_path / "run"})
    with pytest.raises(TrainingError, match=f"needs the package {package}, which is not here: pip install {package}"):
        cli.dispatch(["train", "dit_b_256", *given, *options])
    assert not (tmp_path / "run").exists()


# --- bad input --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": "nowhere"}, "There is no nowhere/index.json: run `minidiff prepare images` first"),
        ({"size": 256}, "pictures of 48x96, whose area isn't about that of 256x256: prepare them with --area 256x256"),
        ({"batch": 18}, "A batch of 18 can't be divided into micro-batches of 4 for 1 process: pass --micro 3"),
        ({"batch": 16, "micro": 8, "sizes-per-step": 4}, "--sizes-per-step 4 doesn't divide the 2 micro-batches"),
        ({"width": 30, "heads": 4}, "--width 30 must be a multiple of 4 and of --heads, here 4"),
        ({"width": 32, "heads": None}, "--width 32 must be a multiple of 4 and of --heads, here 0"),
        ({"start": "no-such"}, "There are no weights called 'no-such'"),
        ({"steps": 0}, "The option steps is 0, but it must be"),
    ],
)
def test_bad_input_gets_one_sentence(
    changes: dict[str, Any], message: str, shards: Path, tmp_path: Path, capsys: Any
) -> None:
    given = {name.replace("_", "-"): value for name, value in {**TINY, "data": shards, "out": tmp_path / "run"}.items()}
    given = {name: value for name, value in {**given, **changes}.items() if value is not None}
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "dit_b_256", *words_of(given)])
    error = capsys.readouterr().err
    assert ended.value.code == 2 and message in error and len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_the_commands_are_listed_with_examples(capsys: Any) -> None:
    for words in (["train", "--help"], ["train", "dit_b_256", "--help"], ["train", "dit_b_512", "--help"]):
        with pytest.raises(SystemExit):
            cli.dispatch(words)
    text = capsys.readouterr().out
    assert "accelerate launch --num_processes 8 -m minidiff train dit_b_256" in text and "--text-norm" in text
