"""Does the judge recognise the small images of single things that `world-pixels` makes?"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from minidiff.data.world.scenes import SHAPES
from minidiff.evaluate.judge import decode
from minidiff.models.detector import Detector


@torch.no_grad()
def recognised(judge: Detector, images: Tensor, labels: Tensor) -> Tensor:
    """Whether what the judge is surest of in each image is of that kind.

    images: (B, 3, S, S) in -1..1, enlarged for the judge as parts of images of twice their side. labels: (B,) indices of
    SHAPES. Returns (B,) bool.
    """
    factor = judge.config.image_size // (2 * images.shape[-1])
    shown = F.interpolate(images.float() / 2 + 0.5, scale_factor=factor, mode="bicubic")
    seen = [s for part in shown.clamp(0, 1).split(64) for s in decode(judge(part), judge.config)]
    found = [s.things[0].kind if s.things else "nothing" for s in seen]
    return torch.tensor([name == SHAPES[label] for name, label in zip(found, labels.tolist(), strict=True)])
