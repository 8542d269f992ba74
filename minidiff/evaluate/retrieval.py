"""Which of many true images a drawn one is nearest to, by the features of two networks; `minidiff evaluate emoji` asks it.

What it is not: a distance of whole sets of images (`quality`), or a judgement of what an image shows (`verdict`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from minidiff.evaluate.judge import features, load_judge
from minidiff.evaluate.metrics import bootstrap_interval
from minidiff.models.clip import CLIP, TextConfig, VisionConfig
from minidiff.pretrained import zoo
from minidiff.pretrained.assemble import assemble
from minidiff.utils.validation import build

Features = Callable[[Tensor], Tensor]
"""Images (B, 3, H, W) in 0..1 to features (B, D) on the CPU."""


def load_clip(name: str = "world-clip") -> CLIP:
    """A CLIP of the zoo, in eval mode. Raises ValueError when it is missing or damaged."""
    config, state = zoo.load(name)
    text: TextConfig = build(TextConfig, config.get("text"), f"{name}: text")
    vision: VisionConfig = build(VisionConfig, config.get("vision"), f"{name}: vision")
    return assemble(lambda: CLIP(text, vision), state, name).eval().requires_grad_(False)


def clip_features(clip: CLIP) -> Features:
    """What the picture tower makes of images, in the space that it shares with texts: vectors of length 1."""
    side = clip.vision_model.config.image_size

    def see(images: Tensor) -> Tensor:
        small = F.interpolate(images, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
        return torch.cat([clip.embed_image(part) for part in (small * 2 - 1).split(64)])

    return torch.no_grad()(see)


def towers() -> dict[str, Features]:
    """The two networks that compare, by their names in the zoo."""
    judge = load_judge()
    return {"world-clip": clip_features(load_clip()), "world-judge": lambda images: features(judge, images)}


@dataclass(frozen=True)
class Ranked:
    """Of some images: how many true ones are nearer than the own one (N,), 0 for the best, and which is the nearest (N,)."""

    rank: Tensor
    nearest: Tensor

    def figures(self) -> dict[str, float | list[float]]:
        """Shares whose own true image is the nearest, and among the five nearest, with 95 % bootstrap intervals; the median
        place, 1 for the best."""
        shares = {name: (self.rank < most).double() for name, most in (("first", 1), ("five", 5))}
        return {
            **{name: float(share.mean()) for name, share in shares.items()},
            **{f"{name}_interval": list(bootstrap_interval(share)) for name, share in shares.items()},
            "median_place": float(self.rank.double().quantile(0.5)) + 1,
        }


def ranked(queries: Tensor, own: Sequence[int], truth: Tensor) -> Ranked:
    """By Euclidean distance, each feature scaled to deviation 1 over the true images.

    queries (N, D); truth (M, D), features of all true images; own: the row of each query's true image."""
    scale = truth.std(dim=0).clamp(min=1e-6)
    distance = torch.cdist(queries / scale, truth / scale, compute_mode="donot_use_mm_for_euclid_dist")      # (N, M)
    mine = distance.gather(1, torch.as_tensor(own)[:, None])
    return Ranked((distance < mine).sum(dim=1), distance.argmin(dim=1))
