"""A discriminator that judges patches, and the losses of playing against it: what makes a VAE's edges crisp.

Errors per pixel are least when the decoder blurs what it isn't sure of; a discriminator sees blur. As in VQGAN (Esser et al.
2021), but with GroupNorm, which doesn't mix images of a batch. What it is not: the errors per pixel (`vae_losses`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call


class PatchDiscriminator(nn.Module):
    """Image (B, 3, H, W) in -1..1 to one logit for each patch of 34 pixels, (B, 1, about H/4, about W/4): above 0 is real.

    Three convolutions and a last one to the logits (Isola et al. 2017, the 34-pixel PatchGAN)."""

    def __init__(self, width: int = 32, groups: int = 8) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 4, stride=2, padding=1)
        self.conv2 = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)
        self.conv3 = nn.Conv2d(2 * width, 4 * width, 4, padding=1)
        self.norm2, self.norm3 = nn.GroupNorm(groups, 2 * width), nn.GroupNorm(groups, 4 * width)
        self.logits = nn.Conv2d(4 * width, 1, 4, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.conv1(x), 0.2)
        x = F.leaky_relu(self.norm2(self.conv2(x)), 0.2)
        x = F.leaky_relu(self.norm3(self.conv3(x)), 0.2)
        return self.logits(x)


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss (Lim & Ye 2017): logits of real patches should be above 1, of made ones below -1. A scalar."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def generator_loss(discriminator: nn.Module, output: Tensor) -> Tensor:
    """What the decoder minimises: minus the mean logit of its patches, a scalar. No gradient reaches the discriminator's
    weights, so both sides may learn from one backward pass."""
    frozen = {name: weight.detach() for name, weight in discriminator.named_parameters()}
    return -functional_call(discriminator, frozen, (output,)).mean()


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor, last: Tensor, most: float = 1.0) -> Tensor:
    """0.5 |grad of the reconstruction loss| / (|grad of the adversarial loss| + 1e-4), at most `most`, a scalar: keeps the
    adversarial part at half the pull of the other (Esser et al. 2021, eq. 7). `last`: weights of the decoder's last layer."""
    ours, theirs = (torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (reconstruction, adversarial))
    return (0.5 * ours / (theirs + 1e-4)).clamp(max=most).detach()
