"""Image to image: what diffusers makes of the same picture and noise, on published models and on ours."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import published
import pytest
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from parity_table import Agree
from PIL import Image
from torch.testing import assert_close

from minidiff.pipelines.img2img import img2img, steps_made, stream
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.request import RequestError
from minidiff.pipelines.text_to_image import TextToImage

PROMPT = "A red ngôi SAO "
STEPS = 10


def picture(width: int = 16, height: int = 16, seed: int = 0) -> Image.Image:
    """Soft noise: no two places are alike."""
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def as_pixels(images: list[Image.Image]) -> torch.Tensor:
    return torch.tensor(np.stack(images)).permute(0, 3, 1, 2) / 255


@pytest.fixture(scope="module", params=["ddim", "euler", "dpm", "euler_a"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[TextToImage, Any]:
    """(ours, theirs), from one folder."""
    folder = tmp_path_factory.mktemp("published") / "model"
    parts = published.stable_diffusion(folder, request.param).components
    theirs = diffusers.StableDiffusionImg2ImgPipeline(**parts, requires_safety_checker=False)
    theirs.set_progress_bar_config(disable=True)
    return load_pipeline(folder, device="cpu", dtype="float32"), theirs


@pytest.mark.parity("image to image, pixels in 0 to 1", "diffusers, 10 steps, tiny: {pair}")
@pytest.mark.parametrize(("strength", "scale"), [(0.3, 5.0), (0.75, 5.0), (1.0, 1.0)])
def test_the_picture_is_that_of_diffusers(
    pair: tuple[TextToImage, Any], strength: float, scale: float, agree: Agree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the same noise, and the mean of the VAE's Gaussian, of which diffusers takes a sample."""
    ours, theirs = pair
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    options = {"guidance_scale": scale, "negative_prompt": "dark"}
    expected = theirs(
        PROMPT, picture(), strength, STEPS, generator=torch.Generator().manual_seed(3), output_type="pt", **options
    ).images  # fmt: skip
    request = ours.request(PROMPT, steps=STEPS, seed=3, **options)
    *_, last = stream(ours, picture(), request, strength)
    drawn = (ours.pixels(last.latents) / 2 + 0.5).clamp(0, 1)
    assert last.n == len(list(stream(ours, picture(), request, strength))) == round(STEPS * strength - 0.3)
    assert float(expected.std()) > 0.1
    agree(drawn, expected, rtol=0, atol=1e-3)
    assert last.images is not None
    assert_close(as_pixels(last.images), expected, rtol=0, atol=3e-3)


@pytest.mark.parametrize("strength", [k / 100 for k in range(1, 101)])
def test_as_many_steps_are_made_as_by_diffusers(strength: float) -> None:
    for steps in range(1, 101):
        scheduler = SimpleNamespace(timesteps=range(steps), order=1)
        fake: Any = SimpleNamespace(scheduler=scheduler)
        times, _ = diffusers.StableDiffusionImg2ImgPipeline.get_timesteps(fake, steps, strength, None)
        if len(times):
            assert steps_made(steps, strength) == len(times)
        else:
            with pytest.raises(RequestError, match="makes none of") as refusal:
                steps_made(steps, strength)
            assert steps_made(steps, float(refusal.value.values["least"])) >= 1  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=["world-dit", "world-unet", "world-pixels"])
def ours(request: pytest.FixtureRequest, whole_zoo: Path) -> TextToImage:
    """A model of the zoo; its images have 32 pixels."""
    return load_pipeline(request.param, device="cpu", dtype="float32", root=whole_zoo)


def test_latents_come_back_as_the_vae_brings_them_back(ours: TextToImage) -> None:
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    latents = ours.latents(pixels)
    assert ours.image_size == 32 and latents.shape[1:] == ours.latent_shape
    assert_close(ours.pixels(latents), ours.vae.decode(ours.vae.encode(pixels)[0]), rtol=0, atol=1e-4)


def test_the_stronger_the_further_from_the_picture(ours: TextToImage) -> None:
    request, source = ours.request("star", steps=25, expand_prompt=False), picture(32, 32)
    kept = ours.decode(ours.latents(as_pixels([source]) * 2 - 1))
    away = []
    for strength in (0.04, 0.3, 1.0):
        made = img2img(ours, source, request, strength)
        away.append(float((as_pixels(made) - as_pixels(kept)).abs().mean()))
    assert away[0] < 0.08 and away[0] < away[1] < away[2], away


def test_each_seed_makes_an_image_of_its_own(ours: TextToImage) -> None:
    three = img2img(ours, picture(32, 32), ours.request("star", steps=3, seed=5, num_images=3, sampler="euler_a"))
    assert len({image.tobytes() for image in three}) == 3
    (alone,) = img2img(ours, picture(32, 32), ours.request("star", steps=3, seed=7, sampler="euler_a"))
    assert alone.tobytes() == three[2].tobytes()


@pytest.mark.parametrize("sampler", ["heun", "dpmpp_2m_sde", "ddpm"])
def test_any_sampler_will_do(ours: TextToImage, sampler: str) -> None:
    request = ours.request("star", steps=6, sampler=sampler)
    previews = list(stream(ours, picture(32, 32), request, 0.5))
    assert [(preview.index, preview.n, preview.images is not None) for preview in previews] == [
        (1, 3, False), (2, 3, False), (3, 3, True)
    ]  # fmt: skip


@pytest.mark.parametrize("size", [(40, 24), (17, 90), (100, 100)])
def test_the_result_has_the_size_of_the_picture(ours: TextToImage, size: tuple[int, int]) -> None:
    source = picture(*size)
    (made,) = img2img(ours, source, ours.request("star", steps=20, expand_prompt=False), 0.05)
    assert made.size == size
    (squared,) = img2img(ours, source.resize((32, 32)), ours.request("star", steps=20, expand_prompt=False), 0.05)
    (mirrored,) = img2img(ours, source.transpose(Image.Transpose.FLIP_LEFT_RIGHT), ours.request("star", steps=20), 0.05)
    assert made.tobytes() != mirrored.tobytes() and squared.size == (32, 32)


@pytest.mark.parametrize("strength", [0, -0.5, 1.01, float("nan"), float("inf"), True, "half", None])
def test_a_strength_out_of_range_is_refused_in_two_languages(strength: Any) -> None:
    with pytest.raises(RequestError, match="above 0 and at most 1") as refusal:
        steps_made(20, strength)
    assert "Độ mạnh" in refusal.value.text("vi")


def test_the_picture_s_form_does_not_matter(ours: TextToImage) -> None:
    request = ours.request("star", steps=2)
    grey = picture(32, 32).convert("L")
    (one,) = img2img(ours, grey, request)
    (other,) = img2img(ours, grey.convert("RGB"), request)
    assert one.tobytes() == other.tobytes()
