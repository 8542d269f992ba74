"""`minidiff finetune full DATA`: all weights of a model learn from a folder of images with captions.

The most that can be learnt, and the largest file. The result is a model of its own: a zoo in the run's folder, or a diffusers
folder. What it is not: a LoRA (lora.py), whose options it shares. Taught in the lesson on DreamBooth.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from minidiff.finetune.learners import FullLearner
from minidiff.finetune.options import FineTuneRun
from minidiff.finetune.run import finetune_folder
from minidiff.train.options import Count, Positive
from minidiff.utils.validation import Between


@dataclass
class FullRun(FineTuneRun):
    """Teach a model from a folder of images with captions, all of its weights."""

    command: ClassVar[str] = "full"

    out: Path = Path("runs/full")
    steps: Count = 800
    lr: Positive = 3e-4
    ema: Annotated[float, Between(0, 0.9999999)] = 0.99


def finetune_full(config: FullRun) -> None:
    """Raises as `run.finetune_folder`."""
    finetune_folder(config, lambda pipeline: FullLearner(pipeline, config.text))
