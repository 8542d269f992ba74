"""The VAE is diffusers' AutoencoderKL: the same numbers from the same weights, both ways, and the textbook's KL."""

from __future__ import annotations

import diffusers
import pytest
import torch
from parity_table import Agree
from torch.distributions import Normal, kl_divergence

from minidiff.models.vae import VAE, VAEConfig
from minidiff.pretrained.assemble import load_strict
from minidiff.pretrained.state_dicts import from_old_vae

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


@pytest.mark.parity("VAE", "diffusers AutoencoderKL, tiny")
@pytest.mark.parametrize("name", SHAPES)
@torch.no_grad()
def test_encodes_and_decodes_as_diffusers_does(name: str, agree: Agree) -> None:
    ours, theirs = pair(SHAPES[name])
    pictures = torch.randn(2, 3, 64, 48)
    mean, log_variance = ours.encode(pictures)
    posterior = theirs.encode(pictures).latent_dist
    agree(mean, posterior.mean, rtol=1e-4, atol=1e-4)
    agree(log_variance, posterior.logvar, rtol=1e-4, atol=1e-4)
    agree(ours.decode(mean), theirs.decode(mean).sample, rtol=1e-4, atol=1e-4)


@pytest.mark.parity("VAE", "diffusers AutoencoderKL, tiny")
@pytest.mark.parametrize("name", SHAPES)
def test_our_weights_load_into_diffusers(name: str, agree: Agree) -> None:
    ours, theirs = pair(SHAPES[name])
    fresh = VAE(SHAPES[name])
    theirs.load_state_dict(fresh.state_dict(), strict=True)
    latent = torch.randn(1, 4, 4, 4)
    with torch.no_grad():
        agree(theirs.eval().decode(latent).sample, fresh.eval().decode(latent), rtol=1e-4, atol=1e-4)


@pytest.mark.parity("VAE", "AutoencoderKL files of old names, tiny")
@pytest.mark.parametrize("convolutions", [False, True])
@torch.no_grad()
def test_files_of_before_the_renaming_load(convolutions: bool, agree: Agree) -> None:
    """diffusers puts its own old names back; some old files also hold 1 x 1 convolutions."""
    ours, theirs = pair(SHAPES["ours"])
    pictures = torch.randn(1, 3, 32, 32)
    expected = theirs.encode(pictures).latent_dist.mean
    for coder in (theirs.encoder, theirs.decoder):
        attention = coder.mid_block.attentions[0]
        attention.query, attention.key, attention.value = attention.to_q, attention.to_k, attention.to_v
        attention.proj_attn = attention.to_out[0]
        del attention.to_q, attention.to_k, attention.to_v, attention.to_out
    old = dict(theirs.state_dict())
    if convolutions:
        old = {name: w[:, :, None, None] if ".attentions." in name and w.ndim == 2 else w for name, w in old.items()}
    fresh = VAE(SHAPES["ours"]).eval()
    load_strict(fresh, from_old_vae(old), "an old file")
    agree(fresh.encode(pictures)[0], expected, rtol=1e-4, atol=1e-4)
    assert from_old_vae(ours.state_dict()).keys() == ours.state_dict().keys()       # a new file passes through


@pytest.mark.parity("VAE", "diffusers, Stable Diffusion's, 84 M, full size")
@pytest.mark.full
@pytest.mark.timeout(600)
@torch.inference_mode()
def test_full_size_vae_is_stable_diffusions(agree: Agree) -> None:
    """84 M parameters, a picture of 256 x 256."""
    torch.manual_seed(0)
    theirs = diffusers.AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4, layers_per_block=2, latent_channels=4,
    ).eval()  # fmt: skip
    ours = VAE().eval()
    load_strict(ours, theirs.state_dict(), "diffusers")
    pictures = torch.rand(1, 3, 256, 256) * 2 - 1
    (mean, log_variance), posterior = ours.encode(pictures), theirs.encode(pictures).latent_dist
    got, expected = ours.decode(mean), theirs.decode(posterior.mean).sample
    for name, a, b in (("mean", mean, posterior.mean), ("log-variance", log_variance, posterior.logvar),
                       ("picture", got, expected)):
        print(f"VAE {name}: greatest difference {(a - b).abs().max():.2e}, deviation {b.std():.3f}")
        agree(a, b, rtol=1e-4, atol=1e-4)


def test_kl_is_that_of_torch_distributions() -> None:
    mean, log_variance = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    expected = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).mean()
    torch.testing.assert_close(VAE.kl(mean, log_variance), expected)


def test_draws_have_the_mean_and_deviation_asked_for() -> None:
    mean, log_variance = torch.full((20_000,), 3.0), torch.full((20_000,), 2.0).log() * 2
    draws = VAE.sample(mean, log_variance, torch.Generator().manual_seed(0))
    assert abs(draws.mean() - 3) < 0.05 and abs(draws.std() - 2) < 0.05
    assert torch.equal(draws, VAE.sample(mean, log_variance, torch.Generator().manual_seed(0)))
