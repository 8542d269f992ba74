"""Quick looks at latents while an image is sampled: decoded in low precision, or as a linear map to colours.

The exact decoding is the VAE's; these are for watching.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor, nn


class LatentPreview:
    """Previews of normalised latents.

    Args:
        pixels: (B, C, h, w) latents to (B, 3, H, W) pixels in -1..1, exactly.
        shape: (C, h, w) of one latent.
        dtype: what `decode` computes in.
    """

    def __init__(
        self, pixels: Callable[[Tensor], Tensor], shape: tuple[int, int, int], device: torch.device, dtype: torch.dtype
    ) -> None:
        self.pixels, self.shape, self.device, self.dtype = pixels, shape, device, dtype

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, h, w) to (B, 3, H, W). The weights are rounded at each call: a copy of them would go stale."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.pixels(latents)

    @torch.inference_mode()
    def rough(self, latents: Tensor) -> Tensor:
        """(B, C, h, w) to (B, 3, h, w), about -1..1."""
        factors = self.latent_rgb_factors
        return torch.einsum("bchw,cr->brhw", latents.float(), factors[:-1]) + factors[-1].view(1, 3, 1, 1)

    @cached_property
    def latent_rgb_factors(self) -> Tensor:
        """(C + 1, 3): the linear map from a latent, and a constant 1, to red, green and blue that is nearest, in least
        squares, to what the VAE makes of random patches."""
        channels, height, width = self.shape
        generator = torch.Generator().manual_seed(0)
        patches = torch.randn(16, channels, height // 2, width // 2, generator=generator).to(self.device)
        z = nn.functional.interpolate(patches, scale_factor=2)
        pixels = nn.functional.adaptive_avg_pool2d(self.pixels(z).clamp(-1, 1), (height // 2 * 2, width // 2 * 2))
        features = nn.functional.pad(z.movedim(1, -1).flatten(0, 2), (0, 1), value=1.0)         # (n, C + 1)
        answer = torch.linalg.lstsq(features.cpu(), pixels.movedim(1, -1).flatten(0, 2).cpu()).solution
        return answer.to(self.device)
