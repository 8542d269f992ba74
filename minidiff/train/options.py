"""What a training run may set, and the command that repeats it. Ranges are annotations, checked in one place.

Not here: the options of each model (vae.py, clip.py, ...) and the stages of the text-to-image models (recipes/).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from minidiff.utils.validation import Between, check

# Options that a resumed run may change: where files lie and how the work is divided.
RESUME_EXEMPT = ("out", "fresh", "publish", "stop_after", "workers", "save_every", "validate_every", "shard", "cache")

Count = Annotated[int, Between(1)]
Positive = Annotated[float, Between(0, above=True)]
Weight = Annotated[float, Between(0)]
Share = Annotated[float, Between(0, 1)]


class TrainingError(ValueError):
    """Training cannot begin or go on; the message says why and what to do."""


@dataclass
class LoopConfig:
    """What every run may set. Lengths are in optimiser steps; `batch` is the number of examples per step and process."""

    afterwards: ClassVar[tuple[str, ...]] = ()  # options that change what is made of the weights, not the weights

    out: Path = Path("runs/run")
    """Folder for checkpoint, log, images and the trained weights (made if missing; a run found there is resumed)."""
    steps: Count = 1000
    batch: Count = 64
    lr: Positive = 1e-3
    """Peak learning rate, reached after `warmup` steps and then lowered along a cosine."""
    warmup: Annotated[int, Between(0)] = 200
    cycles: Count = 1
    """How often the rate falls along a cosine; each time it starts from its peak again (Loshchilov & Hutter 2017)."""
    weight_decay: Weight = 0.01
    optimizer: Literal["adamw", "adamw8bit", "muon"] = "adamw"
    """adamw, muon (for the matrices; the rest stays with AdamW), or adamw8bit (its state in 8 bits; needs bitsandbytes)."""
    clip: Positive = 1.0
    """Largest norm of the gradient."""
    accumulate: Count = 1
    """Micro-batches per step and process; each holds batch / accumulate examples."""
    ema: Annotated[float, Between(0, 0.9999999)] = 0.999
    precision: Literal["auto", "bf16", "fp16", "no"] = "auto"
    """auto, bf16, fp16 (GPUs that lack bf16) or no (fp32); auto measures whether bf16 or fp32 is faster here, and keeps to it
    when the run is resumed."""
    compile: bool = False
    """Compile the model with torch.compile (needs a C++ compiler on a CPU)."""
    seed: Annotated[int, Between(0)] = 0
    workers: Annotated[int, Between(0, 256)] = 1
    """Processes that prepare batches."""
    save_every: Count = 200
    validate_every: Count = 500
    fresh: bool = False
    """Start anew even if the folder holds a checkpoint."""
    publish: bool = False
    """Put the result into the zoo, where it replaces the weights of its name; without it they stay in the run's folder."""
    stop_after: Count | None = None
    """Stop (and save) after this many steps of this call, with the schedule of the whole run."""

    def __post_init__(self) -> None:
        """Raises TrainingError for an option that is out of its range."""
        checked(self)
        if self.batch % self.accumulate:
            raise TrainingError(f"The batch of {self.batch} cannot be divided into {self.accumulate} equal micro-batches.")


def checked(options: Any) -> None:
    """Raises TrainingError, one sentence, for a field of a dataclass that has not its annotated type or range."""
    try:
        check(options, "")
    except ValueError as error:
        raise TrainingError(f"The option {error}") from None


def recipe_text(command: str, config: LoopConfig) -> str:
    """The command that repeats a run: `command` and every option that is not at its default, except those of RESUME_EXEMPT."""
    words = [command]
    for option in fields(config):
        value, word = getattr(config, option.name), f"--{option.name.replace('_', '-')}"
        if value == option.default or option.name in RESUME_EXEMPT:
            continue
        if isinstance(value, bool):
            words.append(word if value else word.replace("--", "--no-", 1))
        else:
            words.append(f"{word} {' '.join(map(str, value)) if isinstance(value, tuple) else value}")
    return " ".join(words)


def saved_options(config: LoopConfig) -> dict[str, str]:
    """What a checkpoint keeps of the options."""
    return {k: str(v) for k, v in asdict(config).items()}


def differences(config: LoopConfig, saved: dict[str, str], processes: int = 1, before: int = 1) -> list[str]:
    """How a checkpoint's run differs from this one: "seed was 0 and is 1". A run may be made longer or shorter and go on
    elsewhere. Whatever else its weights depend on must be the same, or its recipe would be untrue.

    Batches and micro-batches count through all processes (`before` of them then, `processes` now): 2 processes with one
    micro-batch and 1 process with two are the same run.
    """
    split = ("batch", "accumulate") if processes != before else ()
    exempt = (*RESUME_EXEMPT, *config.afterwards, *split, "steps", "precision", "compile")
    now = {k: v for k, v in saved_options(config).items() if k not in exempt}
    found = [f"{k} was {saved[k]} and is {v}" for k, v in now.items() if saved.get(k, v) != v]
    for name in split:
        now_each = getattr(config, name)
        if int(saved[name]) * before != now_each * processes:
            found.append(f"{name} was {saved[name]} in each of {before} processes and is {now_each} in {processes}")
    return found
