"""`minidiff finetune lora DATA`: a model of the zoo, or a published one, learns a style or a subject by LoRA.

Only the factors learn, are averaged and are saved, so a checkpoint is small whatever the model is. The loss on images that are
held back says which factors are kept and when to stop. What it is not: the layers (nn/lora.py) or the loop (train/loop.py).
Taught in the lesson on LoRA.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from minidiff.finetune.learners import LoRALearner
from minidiff.finetune.options import FineTuneRun, LoRAOptions
from minidiff.finetune.run import finetune_folder
from minidiff.train.options import Count, Positive


@dataclass
class LoRARun(LoRAOptions, FineTuneRun):
    """Teach a model a style or a subject, from a folder of images with captions, by a small file beside it."""

    command: ClassVar[str] = "lora"

    out: Path = Path("runs/lora")
    steps: Count = 800
    lr: Positive = 2e-3


def finetune_lora(config: LoRARun) -> None:
    """Raises as `run.finetune_folder`."""
    finetune_folder(config, lambda pipeline: LoRALearner(pipeline, config, config.text))
