"""The VAE: an image of H x W x 3 to a latent of H/8 x W/8 x 4 and back (Kingma & Welling 2014; Rombach et al. 2022).

Layout and names are those of diffusers' `AutoencoderKL`, so Stable Diffusion's VAE loads. The factors that normalise latents
are kept with the weights. Taught in the lesson on latents.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff.nn.blocks import Downsample, ResBlock, SpatialAttention, Upsample


@dataclass(frozen=True)
class VAEConfig:
    """channels: width of each resolution, finest first (n widths shrink the image 2^(n-1) times); layers: residual blocks per
    resolution in the encoder (the decoder has one more); groups: of every GroupNorm."""

    channels: tuple[int, ...] = (128, 256, 512, 512)
    latent_channels: int = 4
    layers: int = 2
    groups: int = 32


class DownBlock(nn.Module):
    """The residual blocks of one resolution; but for the coarsest, height and width are halved behind them."""

    def __init__(self, c_in: int, c_out: int, layers: int, groups: int, down: bool) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(ResBlock(c_in if k == 0 else c_out, c_out, groups) for k in range(layers))
        self.downsamplers = nn.ModuleList([Downsample(c_out)] if down else [])

    def forward(self, x: Tensor) -> Tensor:
        for layer in (*self.resnets, *self.downsamplers):
            x = layer(x)
        return x


class UpBlock(nn.Module):
    """The residual blocks of one resolution; but for the finest, height and width are doubled behind them."""

    def __init__(self, c_in: int, c_out: int, layers: int, groups: int, up: bool) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(ResBlock(c_in if k == 0 else c_out, c_out, groups) for k in range(layers))
        self.upsamplers = nn.ModuleList([Upsample(c_out)] if up else [])

    def forward(self, x: Tensor) -> Tensor:
        for layer in (*self.resnets, *self.upsamplers):
            x = layer(x)
        return x


class MidBlock(nn.Module):
    """Residual block, attention, residual block at the coarsest resolution."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([SpatialAttention(channels, groups)])
        self.resnets = nn.ModuleList(ResBlock(channels, channels, groups) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))


class Encoder(nn.Module):
    """Image (B, 3, H, W) to the moments (B, 2*latent_channels, H/8, W/8) of its latent's Gaussian."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths, groups = config.channels, config.groups
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList()
        for k, width in enumerate(widths):
            before, down = widths[max(0, k - 1)], k < len(widths) - 1
            self.down_blocks.append(DownBlock(before, width, config.layers, groups, down))
        self.mid_block = MidBlock(widths[-1], groups)
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(widths[-1], 2 * config.latent_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))


class Decoder(nn.Module):
    """Latent (B, latent_channels, h, w) to image (B, 3, 8h, 8w)."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths, groups = config.channels[::-1], config.groups
        self.conv_in = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.mid_block = MidBlock(widths[0], groups)
        self.up_blocks = nn.ModuleList()
        for k, width in enumerate(widths):
            before, up = widths[max(0, k - 1)], k < len(widths) - 1
            self.up_blocks.append(UpBlock(before, width, config.layers + 1, groups, up))
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.mid_block(self.conv_in(z))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class VAE(nn.Module):
    """Encoder and decoder. Images are (B, 3, H, W) in -1..1, latents (B, 4, H/8, W/8), unnormalised."""

    def __init__(self, config: VAEConfig | None = None) -> None:
        super().__init__()
        self.config = config or VAEConfig()
        c = self.config.latent_channels
        self.encoder = Encoder(self.config)
        self.decoder = Decoder(self.config)
        self.quant_conv = nn.Conv2d(2 * c, 2 * c, 1)
        self.post_quant_conv = nn.Conv2d(c, c, 1)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x), each (B, 4, H/8, W/8). The log-variance is held within -30..20."""
        mean, log_variance = self.quant_conv(self.encoder(x)).chunk(2, dim=1)
        return mean, log_variance.clamp(-30, 20)

    def decode(self, z: Tensor) -> Tensor:
        """Latent to image, (B, 3, H, W), about -1..1."""
        return self.decoder(self.post_quant_conv(z))

    @staticmethod
    def sample(mean: Tensor, log_variance: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """A sample of N(mean, exp(log_variance)) by the reparameterisation trick (Kingma & Welling 2014, section 2.4)."""
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype).to(mean.device)
        return mean + torch.exp(0.5 * log_variance) * noise

    @staticmethod
    def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
        """KL(q(z|x) || N(0, 1)) in nats per latent number, one scalar (Kingma & Welling 2014, appendix B)."""
        return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
