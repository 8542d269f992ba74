"""What is said of LoRA for Stable Diffusion 1.5, beside what can be counted on models without weights (device "meta").

Sizes are exact. Minutes and memory are no matter of counting: `minidiff finetune compare` measures ours. Taught in the lesson
on DreamBooth.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from minidiff.finetune.fashion import TARGETS
from minidiff.models.dit import DiT, DiTConfig
from minidiff.models.unet import UNet, UNetConfig
from minidiff.nn.lora import ATTENTION, targeted

PIXART = DiTConfig(hidden_size=1152, depth=28, heads=16, caption_channels=4096, sample_size=64, out_channels=8)


@dataclass(frozen=True)
class Claim:
    """A statement and what a count says of it. parameters: how many, millions; megabytes: of a file in half precision."""

    what: str
    claimed: str
    parameters: float
    megabytes: float


def lora_parameters(model: torch.nn.Module, rank: int, targets: tuple[str, ...]) -> int:
    """How many numbers a LoRA of this rank learns: r (in k^2 + out) for each layer."""
    return sum(rank * (layer.weight[0].numel() + len(layer.weight)) for layer in targeted(model, targets).values())


def published_claims() -> list[Claim]:
    """Counted on the architectures of Stable Diffusion 1.5 and PixArt-alpha XL."""
    with torch.device("meta"):
        unet, pixart = UNet(UNetConfig()), DiT(PIXART)

    def claim(what: str, claimed: str, count: int) -> Claim:
        return Claim(what, claimed, round(count / 1e6, 2), round(2 * count / 1e6, 1))

    def size(model: torch.nn.Module) -> int:
        return sum(weight.numel() for weight in model.parameters())

    return [
        claim("Stable Diffusion 1.5, U-Net whole", "860 M", size(unet)),
        *(claim(f"LoRA of its attention, rank {rank}", "4-8 M parameters, 4-8 MB", lora_parameters(unet, rank, ATTENTION))
          for rank in (4, 8, 16, 32)),
        claim("LoRA of attention and convolutions, rank 12", "", lora_parameters(unet, 12, TARGETS)),
        claim("PixArt-alpha XL, whole", "611 M", size(pixart)),
        claim("LoRA of its attention, rank 8", "", lora_parameters(pixart, 8, ATTENTION)),
    ]  # fmt: skip
