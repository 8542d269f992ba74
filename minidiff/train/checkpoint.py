"""Checkpoints: all that changes while training, in one file that is written whole, hashed, and read without running anything.

accelerate's `save_state` is not used: it writes several files one after the other, so that a kill leaves a mixture of two
steps, and reads the states of the random generators as pickles. Here there are no such states: step k's numbers follow from
(seed, k).
"""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from minidiff.train.ema import EMA
from minidiff.train.options import LoopConfig, TrainingError, differences, saved_options
from minidiff.utils.files import whole_file
from minidiff.utils.validation import one_line, shown

FORMAT = 1
MARK = b"minidiff-sha256:"  # the last 80 bytes of a checkpoint are this and the SHA-256 of all before them
TAIL = len(MARK) + 64
EXPECTED = {
    "model": dict, "optimizers": list, "ema": dict, "ema_updates": int, "step": int, "seconds": float, "processes": int,
    "precision": str, "config": dict,
}  # fmt: skip
OPTIMIZER_STATE = {"AdamW": {"step", "exp_avg", "exp_avg_sq"}, "Muon": {"momentum_buffer"}}


class HashingFile:
    """Passes bytes on to a file, and keeps their SHA-256 and the file's last error."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.sha = file, hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        self.sha.update(data)
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """A kill at any moment leaves the old checkpoint or the new one. Raises OSError that names the file, if the disk is
    full."""
    with whole_file(path) as file:
        hashing = HashingFile(file)
        try:
            torch.save({**state, "format": FORMAT}, hashing)  # type: ignore[arg-type]
        except RuntimeError as error:  # torch doesn't say what the disk said
            raise hashing.error or OSError(5, f"the checkpoint cannot be written ({one_line(error)})", str(path)) from None
        file.write(MARK + hashing.sha.hexdigest().encode())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The state that `save_checkpoint` wrote. Raises TrainingError, one sentence, for any other file; no pickle is executed."""
    advice = "delete it, or pass --fresh to begin anew, or another --out"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TrainingError(f"{path} cannot be read as a checkpoint ({error.strerror}); {advice}.") from None
    body, tail = data[:-TAIL], data[-TAIL:]
    if not tail.startswith(MARK):
        raise TrainingError(f"{path} cannot be read as a checkpoint (its end, a hash, is missing); {advice}.")
    if hashlib.sha256(body).hexdigest().encode() != tail[len(MARK) :]:
        raise TrainingError(f"{path} was damaged or changed since it was written (its SHA-256 is another); {advice}.")
    try:
        state = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a file can make torch raise
        raise TrainingError(f"{path} cannot be read as a checkpoint ({one_line(error)}); {advice}.") from None
    version = state.pop("format", None) if isinstance(state, dict) else None
    if version != FORMAT:
        raise TrainingError(
            f"{path} has the checkpoint format {shown(version)}, and this version of minidiff reads {FORMAT}; go on with the "
            f"version that wrote it, or {advice}."
        )
    return state


@dataclass
class Training:
    """Everything that changes while training, and how it goes to disk and comes back."""

    task: torch.nn.Module
    optimizers: list[torch.optim.Optimizer]
    ema: EMA
    step: int = 0
    began: int = 0  # the step at which this process began or resumed
    seconds: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)  # of the last validation
    processes: int = 1
    main: bool = True  # only the main process writes
    precision: str = "no"
    scaler: Any = None  # of fp16's gradients: torch's GradScaler

    def finished(self, config: LoopConfig) -> bool:
        """Whether the whole run is done and this is the process that keeps the result."""
        return self.main and self.step >= config.steps

    def images_seen(self, config: LoopConfig) -> int:
        """How many examples the run learnt from, in all processes."""
        return config.steps * config.batch * self.processes

    def state(self, config: LoopConfig) -> dict[str, Any]:
        return {
            "model": self.task.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "ema": self.ema.average,
            "ema_updates": self.ema.updates,
            "step": self.step,
            "seconds": float(self.seconds),
            "processes": self.processes,
            "precision": self.precision,
            "config": saved_options(config),
            **({"scaler": self.scaler.state_dict()} if self.scaler is not None else {}),
        }

    def restore(self, saved: dict[str, Any], path: Path, config: LoopConfig) -> None:
        """Continue from `saved`. Raises TrainingError if it isn't this run's, or its parts don't fit."""
        check_parts(saved, path)
        self._check_run(saved, path, config)
        try:
            check_tensors(saved["model"], self.task.state_dict(), "model")
            check_tensors(saved["ema"], self.ema.average, "ema")
            self.task.load_state_dict(saved["model"])
            for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
                load_optimizer(optimizer, state)
            if self.scaler is not None and "scaler" in saved:
                self.scaler.load_state_dict(saved["scaler"])
        except Exception as error:  # of a file whose hash is right, but which another program wrote
            raise TrainingError(
                f"{path} holds another model than this run trains; pass --fresh or another --out ({one_line(error)})."
            ) from None
        device = next(iter(self.ema.average.values())).device
        self.ema.average = {k: v.clone().to(device) for k, v in saved["ema"].items()}
        self.ema.updates = saved["ema_updates"]
        self.step = self.began = saved["step"]
        self.seconds = saved["seconds"]

    def _check_run(self, saved: dict[str, Any], path: Path, config: LoopConfig) -> None:
        before = saved["processes"]
        try:
            changed = differences(config, saved["config"], self.processes, before)
        except (KeyError, ValueError):
            raise TrainingError(f"{path} doesn't say what it was trained with; pass --fresh or another --out.") from None
        if not changed:
            return
        advice = ""
        if before != self.processes:
            batch, parts = (int(saved["config"][name]) * before for name in ("batch", "accumulate"))
            if batch % self.processes == parts % self.processes == 0:
                advice = f" --batch {batch // self.processes} --accumulate {parts // self.processes} goes on with it exactly."
        raise TrainingError(
            f"{path} belongs to another run ({'; '.join(changed)}): pass another --out, or --fresh to begin anew there.{advice}"
        )


def check_parts(saved: dict[str, Any], path: Path) -> None:
    """Raises TrainingError unless a checkpoint has all its parts, each of its type."""
    for name, kind in EXPECTED.items():
        if not isinstance(saved.get(name), kind) or isinstance(saved[name], bool):
            given = shown(saved.get(name))
            raise TrainingError(f"{path} is no checkpoint: {name} is {given}, but it must be a {kind.__name__}.")
    numbers = [saved[name] for name in ("step", "seconds", "ema_updates", "processes")]
    texts = [text for pair in saved["config"].items() for text in pair]
    in_range = all(math.isfinite(n) and n >= 0 for n in numbers) and saved["processes"] >= 1
    if not in_range or not all(isinstance(text, str) for text in texts):
        raise TrainingError(f"{path} is no checkpoint: its numbers or options are out of range.")


def check_tensors(saved: dict[str, Any], ours: dict[str, Tensor], part: str) -> None:
    """Raises ValueError unless both hold tensors of the same names, shapes and dtypes."""
    if saved.keys() != ours.keys():
        raise ValueError(f"{part}: {shown(sorted(map(str, saved.keys() ^ ours.keys()))[0])} is in one of them only")
    for name, tensor in ours.items():
        other = saved[name]
        if not isinstance(other, Tensor) or other.shape != tensor.shape or other.dtype != tensor.dtype:
            raise ValueError(f"{part}: {name} has another shape or dtype")


def load_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """The momenta of `saved`; learning rates and the like stay this run's. Raises an error if they don't fit the weights."""
    own = optimizer.state_dict()
    if [len(g["params"]) for g in saved["param_groups"]] != [len(g["params"]) for g in own["param_groups"]]:
        raise ValueError("the optimiser has other groups")
    optimizer.load_state_dict({"state": saved["state"], "param_groups": own["param_groups"]})
    for weight, state in optimizer.state.items():
        if (names := OPTIMIZER_STATE.get(type(optimizer).__name__)) is None:
            continue  # another library's, which looks after its own
        if state.keys() != names:
            raise ValueError(f"the optimiser's state is {shown(list(state))}")
        for name, value in state.items():
            if not isinstance(value, Tensor) or (value.ndim and value.shape != weight.shape):
                raise ValueError(f"the optimiser's {name} has another shape")
