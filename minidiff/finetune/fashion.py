"""`minidiff finetune fashion DATA`: one configuration, for our models on a CPU and for Stable Diffusion on a GPU.

A LoRA of attention and convolutions, captions that also come with words of quality, a rate that falls along several cosines,
and a sheet that compares numbers of steps. DATA is what `minidiff prepare fashion` wrote, or any folder of captioned images.
What it is not: another loop; it is `lora.py` with other defaults. Taught in the lesson on fashion.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

from minidiff.data.captioned import Captioned
from minidiff.data.fashion.captions import with_quality
from minidiff.finetune.learners import LoRALearner
from minidiff.finetune.lora import LoRARun
from minidiff.finetune.run import finetune_folder
from minidiff.train.options import Count, Positive, Weight
from minidiff.utils.validation import Between

TARGETS = ("to_k", "to_q", "to_v", "to_out.0", "proj_in", "proj_out", "conv1", "conv2")


@dataclass
class FashionRun(LoRARun):
    """Teach a U-Net garments, from a folder of images with captions, by a small file beside it."""

    command: ClassVar[str] = "fashion"

    model: str = "world-unet"
    out: Path = Path("runs/fashion")
    rank: Count = 12
    alpha: Positive | None = 24.0
    dropout: Annotated[float, Between(0, 0.999)] = 0.1
    targets: tuple[str, ...] = TARGETS
    quality_words: Count = 2
    """Ways in which each caption is told: as it is, and with words of quality."""
    latent_noise: Weight = 0.02
    cycles: Count = 4
    steps: Count = 2000
    lr: Positive = 5e-4
    warmup: Annotated[int, Between(0)] = 100
    weight_decay: Weight = 0.01
    validate_every: Count = 500
    sample_steps: tuple[Count, ...] = (20, 30, 50)
    sample_guidance: Weight | None = 12.0


def told_in_more_ways(pairs: Sequence[Captioned], ways: int) -> list[Captioned]:
    """Each image with its captions as they are and, `ways` - 1 times each, with words of quality."""
    made = []
    for number, pair in enumerate(pairs):
        rng = random.Random(number)
        more = [with_quality(caption, rng) for caption in pair.captions for _ in range(ways - 1)]
        made.append(replace(pair, captions=tuple(dict.fromkeys((*pair.captions, *more)))))
    return made


def finetune_fashion(config: FashionRun) -> None:
    """Raises as `run.finetune_folder`."""
    finetune_folder(
        config, lambda pipeline: LoRALearner(pipeline, config, config.text),
        lambda pairs: told_in_more_ways(pairs, config.quality_words),
    )  # fmt: skip
