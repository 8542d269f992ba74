"""Images compared by what our own image tower sees: a loss for a VAE whose pixels are already right.

The tower is `world-clip`'s, frozen. What it is not: LPIPS, which names fixed weights, nor the judge, which is never a loss.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from minidiff.models.clip import VisionConfig, VisionTransformer
from minidiff.pretrained import zoo


class ImageTower:
    """A frozen image tower. Not a Module, so that whoever holds one doesn't train it or save it with its own weights."""

    def __init__(self, vision: VisionTransformer) -> None:
        self.vision = vision.eval().requires_grad_(False)

    @classmethod
    def load(cls, name: str = "world-clip") -> ImageTower:
        """The image tower of a CLIP of the zoo. Raises ZooError when it isn't there."""
        config, state = zoo.load(name)
        vision = VisionTransformer(VisionConfig(**config["vision"]))
        prefix = "vision_model."
        vision.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
        return cls(vision)

    def layers(self, images: Tensor) -> list[Tensor]:
        """What each layer says of images (B, 3, H, W) in -1..1, seen at the tower's own size: tensors (B, tokens, D)."""
        self.vision.to(images.device)
        size = self.vision.config.image_size
        small = F.interpolate(images, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
        x = self.vision.pre_layrnorm(self.vision.embeddings(small))
        found = []
        for layer in self.vision.encoder.layers:
            x = layer(x, None)
            found.append(x)
        return found

    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        """1 less the cosine of each token's vectors, mean over tokens, layers and images: 0 for equal images, a scalar."""
        with torch.no_grad():
            wanted = self.layers(target)
        return cosine_distance(self.layers(output), wanted)


def cosine_distance(output: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """1 less the cosine of vectors (B, tokens, D) of each layer, mean over all; a scalar."""
    pairs = zip(output, target, strict=True)
    return torch.stack([1 - F.cosine_similarity(a.float(), b.float(), dim=-1).mean() for a, b in pairs]).mean()
