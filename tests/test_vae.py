"""The VAE is diffusers' AutoencoderKL: the same numbers from the same weights, both ways, and the textbook's KL."""

from __future__ import annotations

import diffusers
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from minidiff.models.vae import VAE, VAEConfig

SHAPES = {
    "ours": VAEConfig((16, 32, 64, 128), 4, 1, 8),
    "as Stable Diffusion's, narrow": VAEConfig((32, 64, 64), 4, 2, 32),
}


def pair(config: VAEConfig):  # type: ignore[no-untyped-def]
    """Ours and diffusers', with the same random weights."""
    torch.manual_seed(0)
    levels = len(config.channels)
    theirs = diffusers.AutoencoderKL(
        block_out_channels=config.channels, down_block_types=["DownEncoderBlock2D"] * levels,
        up_block_types=["UpDecoderBlock2D"] * levels, layers_per_block=config.layers, norm_num_groups=config.groups,
        latent_channels=config.latent_channels,
    ).eval()  # fmt: skip
    ours = VAE(config).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


@pytest.mark.parametrize("name", SHAPES)
@torch.no_grad()
def test_encodes_and_decodes_as_diffusers_does(name: str) -> None:
    ours, theirs = pair(SHAPES[name])
    pictures = torch.randn(2, 3, 64, 48)
    mean, log_variance = ours.encode(pictures)
    posterior = theirs.encode(pictures).latent_dist
    torch.testing.assert_close(mean, posterior.mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(log_variance, posterior.logvar, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.decode(mean), theirs.decode(mean).sample, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", SHAPES)
def test_our_weights_load_into_diffusers(name: str) -> None:
    ours, theirs = pair(SHAPES[name])
    fresh = VAE(SHAPES[name])
    theirs.load_state_dict(fresh.state_dict(), strict=True)
    latent = torch.randn(1, 4, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(theirs.eval().decode(latent).sample, fresh.eval().decode(latent), rtol=1e-4, atol=1e-4)


def test_kl_is_that_of_torch_distributions() -> None:
    mean, log_variance = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    expected = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).mean()
    torch.testing.assert_close(VAE.kl(mean, log_variance), expected)


def test_draws_have_the_mean_and_deviation_asked_for() -> None:
    mean, log_variance = torch.full((20_000,), 3.0), torch.full((20_000,), 2.0).log() * 2
    draws = VAE.draw(mean, log_variance, torch.Generator().manual_seed(0))
    assert abs(draws.mean() - 3) < 0.05 and abs(draws.std() - 2) < 0.05
    assert torch.equal(draws, VAE.draw(mean, log_variance, torch.Generator().manual_seed(0)))
