"""Inpainting and outpainting: what diffusers draws in the hole, and outside of it the picture's own bits."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import published
import pytest
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from parity_table import Agree
from PIL import Image, ImageDraw
from test_img2img import PROMPT, STEPS, picture
from torch.testing import assert_close

from minidiff.diffusion.samplers import State
from minidiff.diffusion.schedules import SCHEDULES, get_schedule
from minidiff.diffusion.timesteps import uniform
from minidiff.pipelines import inpaint as inpainting
from minidiff.pipelines.img2img import img2img
from minidiff.pipelines.inpaint import inpaint, stream
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.masks import around, read_hole, soft_edge
from minidiff.pipelines.outpaint import enlarged, sides_for
from minidiff.pipelines.pictures import Window
from minidiff.pipelines.request import RequestError
from minidiff.pipelines.text_to_image import TextToImage


def blot(width: int = 16, height: int = 16, box: tuple[float, ...] = (0.2, 0.3, 0.8, 0.7)) -> Image.Image:
    """A mask with a white ellipse that keeps to no cell of the latent."""
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).ellipse([round(share * side) for share, side in zip(box, (width, height) * 2, strict=True)], fill=255)
    return mask


def kept(image: Image.Image, source: Image.Image, mask: Image.Image) -> bool:
    """Whether every bit outside of the mask is the source's, and something inside is not."""
    hole = np.asarray(mask.convert("L")) >= 128
    made, before = np.asarray(image), np.asarray(source)
    return made.shape == before.shape and bool((made[~hole] == before[~hole]).all() and (made[hole] != before[hole]).any())


@pytest.fixture(scope="module", params=[(4, "ddim"), (4, "dpm"), (9, "ddim"), (9, "euler")], ids=str)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[TextToImage, Any]:
    """(ours, theirs), from one folder; with 4 or 9 channels."""
    channels, scheduler = request.param
    folder = tmp_path_factory.mktemp("published") / "model"
    theirs = published.inpainting(folder, scheduler, channels)
    return load_pipeline(folder, device="cpu", dtype="float32"), theirs


@pytest.mark.parity("inpainting, pixels in 0 to 1", "diffusers, 10 steps, tiny: {pair}")
@pytest.mark.parametrize(("strength", "scale"), [(1.0, 5.0), (0.6, 1.0)])
def test_the_picture_is_that_of_diffusers(
    pair: tuple[TextToImage, Any], strength: float, scale: float, agree: Agree, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pair
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    options = {"guidance_scale": scale, "negative_prompt": "dark"}
    expected = theirs(
        PROMPT, picture(), blot(), height=16, width=16, strength=strength, num_inference_steps=STEPS,
        generator=torch.Generator().manual_seed(3), output_type="pt", **options,
    ).images  # fmt: skip
    request = ours.request(PROMPT, steps=STEPS, seed=3, **options)
    *_, last = stream(ours, picture(), blot(), request, strength, feather=0, resample=1, cells="nearest")
    agree((ours.pixels(last.latents) / 2 + 0.5).clamp(0, 1), expected, rtol=0, atol=1e-3)
    (image,) = last.images or []
    assert kept(image, picture(), blot())
    hole = read_hole(blot(), picture())
    theirs_inside = expected[0].permute(1, 2, 0)[torch.from_numpy(hole)] * 255
    assert_close(torch.tensor(np.asarray(image)[hole]).float(), theirs_inside, rtol=0, atol=0.8)


def test_weights_for_inpainting_say_what_they_are_for(pair: tuple[TextToImage, Any]) -> None:
    ours, theirs = pair
    nine = theirs.unet.config.in_channels == 9
    assert ours.inpaints == nine and ours.latent_shape == (4, 8, 8)
    if nine:
        for act in (lambda: ours(ours.request("a", steps=2)), lambda: img2img(ours, picture(), ours.request("a", steps=2))):
            with pytest.raises(RequestError, match="made for inpainting and does nothing else"):
                act()


@pytest.fixture(scope="module", params=["world-dit", "world-unet", "world-pixels"])
def ours(request: pytest.FixtureRequest, whole_zoo: Path) -> TextToImage:
    """A model of the zoo; its images have 32 pixels."""
    return load_pipeline(request.param, device="cpu", dtype="float32", root=whole_zoo)


@pytest.mark.parametrize("options", [
    {}, {"strength": 0.5, "resample": 1}, {"feather": 0, "resample": 1}, {"zoom": True, "feather": 3, "resample": 2},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("size", [(32, 32), (50, 37)], ids=str)
def test_outside_of_the_mask_no_bit_changes(ours: TextToImage, options: dict[str, Any], size: tuple[int, int]) -> None:
    request = ours.request("star", steps=6, num_images=2, sampler="euler_a")
    images = inpaint(ours, picture(*size), blot(*size), request, **options)
    assert len({image.tobytes() for image in images}) == 2
    assert all(kept(image, picture(*size), blot(*size)) for image in images)


def test_what_is_known_goes_along_and_ends_as_it_was(ours: TextToImage) -> None:
    """Noised with one and the same noise, to the time of each step."""
    mask = Image.new("L", (32, 32))
    mask.paste(255, (0, 0, 32, 16))
    previews = list(stream(ours, picture(32, 32), mask, ours.request("star", steps=4, seed=9, sampler="ddim"), resample=1))
    clean = ours.latents(torch.tensor(np.array(picture(32, 32))).permute(2, 0, 1)[None] / 127.5 - 1)
    below = ours.latent_shape[1] // 2
    noise = torch.randn(ours.latent_shape, generator=torch.Generator().manual_seed(9))[None]
    for preview, t in zip(previews, (0.75, 0.5, 0.25, 0.0), strict=True):
        expected = np.cos(np.pi / 2 * t) * clean + np.sin(np.pi / 2 * t) * noise
        assert_close(preview.latents[:, :, below:], expected[:, :, below:], rtol=0, atol=1e-4)
        assert float((preview.latents - expected)[:, :, :below].abs().max()) > 0.05


# RePaint


def test_each_part_of_the_way_is_made_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inpainting, "JUMP", 2)
    gone: list[tuple[list[float], float]] = []

    def go(x: torch.Tensor, times: torch.Tensor) -> Any:
        gone.append((times.tolist(), float(x[0])))
        for i in range(len(times) - 1):
            yield State(i, len(times) - 1, float(times[i]), float(times[i + 1]), torch.zeros(1), x)

    schedule = get_schedule("cosine")
    states = list(inpainting.resampled(go, torch.ones(1), uniform(schedule, 5), schedule, lambda i: torch.ones(1) * 10, 2))
    assert [(state.index, state.n) for state in states] == [(i, 10) for i in range(10)]
    parts = [pytest.approx(part) for part in ([1, 0.8, 0.6], [0.6, 0.4, 0.2], [0.2, 0])]
    assert [times for times, _ in gone] == [part for part in parts for _ in range(2)]
    begun = [x for _, x in gone]
    assert begun[0] == 1 and begun[1] == 10, "back to pure noise"
    assert begun[2] == 0 and 0 < begun[3] < 10 and begun[4] == 0
    assert begun[5] == pytest.approx(10 * np.sin(np.pi / 2 * 0.2))


@pytest.mark.parametrize("name", SCHEDULES)
def test_what_is_noised_again_has_the_noise_of_its_time(name: str) -> None:
    schedule, generator = get_schedule(name), torch.Generator().manual_seed(0)
    s, t = torch.tensor(0.2, dtype=torch.float64), torch.tensor(0.7, dtype=torch.float64)
    eps, fresh = torch.randn(2, 200_000, generator=generator)
    x = inpainting.noised_again(schedule.mix(torch.full_like(eps, 2.0), eps, s), schedule, s, t, fresh)
    assert_close(float(x.mean()), 2 * float(schedule.alpha(t)), rtol=0, atol=0.01)
    assert_close(float(x.std()), float(schedule.sigma(t)), rtol=0, atol=0.01)


def test_resampling_draws_something_else_inside(ours: TextToImage) -> None:
    request = ours.request("star", steps=6)
    previews = list(stream(ours, picture(32, 32), blot(32, 32), request, resample=2))
    assert [preview.n for preview in previews] == [12] * 12
    (once,) = inpaint(ours, picture(32, 32), blot(32, 32), request, resample=1)
    assert previews[-1].images and previews[-1].images[0].tobytes() != once.tobytes()


# Masks


def test_a_soft_edge_lies_inside_the_hole() -> None:
    hole = np.zeros((40, 60), bool)
    hole[10:40, 20:50] = True  # reaches the lower edge
    share = soft_edge(hole, 6)
    assert (share[~hole] == 0).all() and share[25, 35] == 1 and share[39, 35] == 1
    assert_close(torch.from_numpy(share[25, 20:30]), torch.tensor([k / 7 for k in range(1, 7)] + [1.0] * 4))
    assert_close(torch.from_numpy(share[10:13, 35]), torch.tensor([1 / 7, 2 / 7, 3 / 7]))
    assert (soft_edge(hole, 0) == hole).all()


def test_a_hole_thinner_than_its_edge_is_seen_along_its_middle() -> None:
    hole = np.zeros((60, 60), bool)
    hole[5:35, 5:35] = True
    hole[50:53, 5:55] = True  # a line of 3 pixels
    share = soft_edge(hole, 6)
    assert_close(torch.from_numpy(share[49:54, 30]), torch.tensor([0, 0.5, 1, 0.5, 0]))
    assert share[20, 20] == 1 and share[20, 5] == pytest.approx(1 / 7)


def test_a_mask_may_have_any_form() -> None:
    source, plain = picture(32, 32), read_hole(blot(32, 32), picture(32, 32))
    painted = Image.new("RGBA", (32, 32))
    painted.paste((255, 255, 255, 255), mask=blot(32, 32))
    for mask in (blot(32, 32).convert("1"), blot(32, 32).convert("RGB"), blot(32, 32).convert("P"), painted):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert (read_hole(mask, source) == plain).all()


def test_grey_is_cut_at_half_and_that_is_said() -> None:
    ramp = Image.fromarray(np.tile(np.arange(0, 256, 8, dtype=np.uint8), (32, 1)))
    with pytest.warns(UserWarning, match="lighter than half is repainted"):
        assert (read_hole(ramp, picture(32, 32)) == (np.arange(32) >= 16)).all()


@pytest.mark.parametrize(("mask", "says"), [
    (Image.new("L", (32, 31), 255), "32 x 31 pixels and the picture 32 x 32: make them the same size"),
    (Image.new("L", (32, 32)), "black everywhere"),
    (Image.new("RGBA", (32, 32), (255, 255, 255, 0)), "black everywhere"),
])  # fmt: skip
def test_a_mask_of_no_use_is_refused(mask: Image.Image, says: str) -> None:
    with pytest.raises(RequestError, match=says) as refusal:
        read_hole(mask, picture(32, 32))
    assert "ặt nạ" in refusal.value.text("vi")


def test_a_mask_that_falls_between_the_cells_is_drawn_or_refused(whole_zoo: Path) -> None:
    pipeline = load_pipeline("world-dit", device="cpu", dtype="float32", root=whole_zoo)
    mask = Image.new("L", (64, 64))
    mask.paste(255, (20, 20, 22, 22))
    request = pipeline.request("star", steps=2)
    with pytest.raises(RequestError, match="at least 16 pixels wide"):
        inpaint(pipeline, picture(64, 64), mask, request, cells="nearest")
    assert kept(inpaint(pipeline, picture(64, 64), mask, request)[0], picture(64, 64), mask)


def test_every_cell_that_the_hole_touches_is_drawn() -> None:
    hole = torch.zeros(32, 32, dtype=torch.bool)
    hole[7:17, 8:16] = True
    assert inpainting.shrunk(hole, 4, "touched").tolist() == [[False, row < 3, False, False] for row in range(4)]
    assert inpainting.shrunk(hole, 4, "nearest").tolist() == [[False, row in (1, 2), False, False] for row in range(4)]
    assert inpainting.shrunk(hole, 64, "touched").sum() == 4 * hole.sum()


@pytest.mark.parametrize("options", [
    {"feather": -1}, {"feather": 2.5}, {"feather": 257}, {"resample": 0}, {"resample": 21}, {"strength": 0}
], ids=str)  # fmt: skip
def test_settings_out_of_range_are_refused(ours: TextToImage, options: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="must be"):
        inpaint(ours, picture(32, 32), blot(32, 32), ours.request("star", steps=2), **options)


def test_a_model_may_look_at_the_hole_and_its_surroundings_alone() -> None:
    hole = np.zeros((300, 400), bool)
    hole[100:140, 200:280] = True
    assert around(hole, 32) == Window(180, 60, 120, 32)
    assert around(hole, 128) == Window(176, 56, 128, 128)
    hole[:20, :20] = True
    assert around(hole, 32) == Window(0, -50, 400, 32)
    corner = np.zeros((300, 400), bool)
    corner[290:, 390:] = True
    assert around(corner, 32) == Window(368, 268, 32, 32)


# Outpainting


def test_the_canvas_grows_and_only_what_is_new_is_drawn(ours: TextToImage) -> None:
    source = picture(32, 24)
    canvas, mask = enlarged(source, left=8, right=16, bottom=4)
    assert canvas.size == mask.size == (56, 28)
    (image,) = inpaint(ours, canvas, mask, ours.request("star", steps=3), feather=4)
    assert image.crop((8, 0, 40, 24)).tobytes() == source.tobytes() == canvas.crop((8, 0, 40, 24)).tobytes()
    assert kept(image, canvas, mask)
    assert int((np.asarray(mask) == 255).sum()) == 56 * 28 - 32 * 24


@pytest.mark.parametrize(("aspect", "sides"), [
    ("1:1", {"top": 4, "bottom": 4}), ("16:9", {"left": 5, "right": 6}), ("1:2", {"top": 20, "bottom": 20}), ("4:3", {}),
])  # fmt: skip
def test_an_aspect_says_where_to_grow(aspect: str, sides: dict[str, int]) -> None:
    given = {name: size for name, size in sides_for(Image.new("RGB", (32, 24)), aspect).items() if size}
    assert given == sides


@pytest.mark.parametrize("aspect", ["", "wide", "16", "16:0", "0:9", "-4:3", "9:1", "1:2:3", "nan:1"])
def test_what_is_no_aspect_is_refused(aspect: str) -> None:
    with pytest.raises(RequestError, match="two numbers such as 16:9"):
        sides_for(Image.new("RGB", (32, 24)), aspect)


@pytest.mark.parametrize(("sides", "says"), [
    ({}, "Nothing is added"), ({"left": -1}, "from 0 to 4096"), ({"top": 1.5}, "from 0 to 4096"),
    ({"left": 4090}, "4122 x 24 pixels, but each side"),
])  # fmt: skip
def test_margins_out_of_range_are_refused(sides: dict[str, Any], says: str) -> None:
    with pytest.raises(RequestError, match=says):
        enlarged(picture(32, 24), **sides)
