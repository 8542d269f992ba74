"""Stable Diffusion's upscaler: what diffusers draws from the same noise, on tiny weights; what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import published
import pytest
import torch
from parity_table import Agree
from PIL import Image

from minidiff.inference import prepare
from minidiff.models.unet import UNetConfig
from minidiff.pipelines.img2img import img2img
from minidiff.pipelines.inpaint import inpaint
from minidiff.pipelines.latent_upscale import latent_upscale, stream
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.request import RequestError
from minidiff.pipelines.text_to_image import TextToImage

PROMPT, STEPS = "A red ngôi SAO ", 6


def picture(width: int = 16, height: int = 16, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module", params=["ddim", "euler", "dpm"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[TextToImage, Any]:
    """(ours, theirs), from one folder."""
    folder = tmp_path_factory.mktemp("published") / "model"
    theirs = published.upscaling(folder, request.param)
    return load_pipeline(folder, device="cpu", dtype="float32"), theirs


@pytest.mark.parity("super-resolution, latents", "diffusers, 6 steps, tiny: {pair}")
@pytest.mark.parametrize(("level", "scale", "size"), [(20, 9.0, (16, 16)), (0, 1.0, (24, 16)), (350, 3.0, (16, 28))])
def test_the_latents_are_those_of_diffusers(
    pair: tuple[TextToImage, Any], level: int, scale: float, size: tuple[int, int], agree: Agree
) -> None:
    ours, theirs = pair
    assert ours.upscales and not ours.inpaints
    options = {"guidance_scale": scale, "negative_prompt": "dark"}
    start = torch.randn(1, 4, *size[::-1], generator=torch.Generator().manual_seed(3))
    expected = theirs(
        PROMPT, picture(*size), STEPS, noise_level=level, latents=start, output_type="latent",
        generator=torch.Generator().manual_seed(2**32 + 3), **options,
    ).images  # fmt: skip
    request = ours.request(PROMPT, steps=STEPS, seed=3, **options)
    *_, last = stream(ours, picture(*size), request, level)
    assert float(expected.std()) > 0.1
    agree(last.latents, expected, rtol=0, atol=1e-3)
    assert last.images is not None and last.images[0].size == (4 * size[0], 4 * size[1])
    scaled = theirs.vae.decode(expected / 0.08333).sample[0].detach().clamp(-1, 1)
    drawn = torch.tensor(np.asarray(last.images[0])).permute(2, 0, 1) / 127.5 - 1
    torch.testing.assert_close(drawn, scaled, rtol=0, atol=2e-2)


def test_picture_seed_and_noise_level_matter(pair: tuple[TextToImage, Any]) -> None:
    ours, _ = pair
    request = ours.request(PROMPT, steps=2, seed=3)
    (one,) = latent_upscale(ours, picture(), request)
    (again,) = latent_upscale(ours, picture(), request)
    others = [latent_upscale(ours, picture(seed=1), request)[0], latent_upscale(ours, picture(), request, 200)[0],
              latent_upscale(ours, picture(), ours.request(PROMPT, steps=2, seed=4))[0]]  # fmt: skip
    assert one.tobytes() == again.tobytes()
    assert len({image.tobytes() for image in (one, *others)}) == 4


def test_it_is_used_for_nothing_else(pair: tuple[TextToImage, Any]) -> None:
    ours, _ = pair
    request = ours.request(PROMPT, steps=2)
    mask = Image.new("L", (16, 16), "white")
    uses: list[Any] = [ours, lambda asked: img2img(ours, picture(), asked), lambda asked: inpaint(ours, picture(), mask, asked)]
    for use in uses:
        with pytest.raises(RequestError, match="made for enlarging pictures and does nothing else") as refusal:
            use(request)
        assert "phóng to" in refusal.value.text("vi")


@pytest.mark.parametrize("level", [-1, 351, 2.5, True])
def test_a_noise_level_out_of_range_is_refused(pair: tuple[TextToImage, Any], level: Any) -> None:
    ours, _ = pair
    with pytest.raises(RequestError, match="from 0 to 350"):
        latent_upscale(ours, picture(), ours.request(PROMPT, steps=2), level)


def test_other_models_and_large_pictures_are_refused(pair: tuple[TextToImage, Any], whole_zoo: Path) -> None:
    ours, _ = pair
    other = load_pipeline("world-unet", device="cpu", dtype="float32", root=whole_zoo)
    with pytest.raises(RequestError, match="not made for enlarging"):
        latent_upscale(other, picture(), other.request("star", steps=2))
    with pytest.raises(ValueError, match="attention over 16,384 places is asked for"):
        latent_upscale(ours, picture(128, 128), ours.request(PROMPT, steps=2))


def test_a_network_without_labels_or_picture_is_refused(tmp_path: Path) -> None:
    published.upscaling(tmp_path / "plain", in_channels=4)
    with pytest.raises(ValueError, match="in_channels is 4, but it must be 3 more"):
        load_pipeline(tmp_path / "plain")
    published.upscaling(tmp_path / "deaf", num_class_embeds=None)
    with pytest.raises(ValueError, match="num_class_embeds is None, and only 1000"):
        load_pipeline(tmp_path / "deaf")


def test_the_fast_copy_is_the_plain_network(pair: tuple[TextToImage, Any]) -> None:
    network = pair[0].network
    assert network.config.cross_only == (True, False)
    dice = torch.Generator().manual_seed(0)
    x, context = torch.randn(1, 7, 8, 8, generator=dice), torch.randn(2, 5, 16, generator=dice)
    mask, labels = torch.tensor([[True] * 5, [True] * 3 + [False] * 2]), torch.tensor([20, 20])
    fast = prepare(network)
    with torch.no_grad():
        given = fast(x, torch.tensor([500.0]), fast.prepare_context(context, mask, labels))
        plain = network(x.repeat(2, 1, 1, 1), torch.tensor([500.0]), context, mask, labels)
    torch.testing.assert_close(given, plain, rtol=0, atol=1e-4)


def test_cross_only_has_an_entry_for_each_level_and_a_caption() -> None:
    with pytest.raises(ValueError, match="cross_only has 1 entries"):
        UNetConfig(cross_only=(True,))
    with pytest.raises(ValueError, match="context_dim"):
        UNetConfig(cross_only=(True,) * 4, context_dim=None)
