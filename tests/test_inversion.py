"""DDIM inversion: up to the noise, and back to the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_img2img import as_pixels, picture
from test_prompt_to_prompt import stirred
from torch import Tensor
from torch.testing import assert_close

from minidiff.data.world.rendering import render
from minidiff.data.world.scenes import Group, Scene
from minidiff.diffusion.analytic import mixture
from minidiff.diffusion.samplers import sample, step
from minidiff.diffusion.schedules import get_schedule
from minidiff.diffusion.timesteps import uniform
from minidiff.pipelines.inversion import change_picture, climb, round_trip_error, stream
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.prompt_to_prompt import WordChange
from minidiff.pipelines.request import RequestError
from minidiff.pipelines.text_to_image import TextToImage

SCHEDULE = get_schedule("cosine")
MODEL = mixture(SCHEDULE, [-1.0, 0.5, 1.2], 0.2)


def data() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    centres = torch.tensor([-1.0, 0.5, 1.2])[torch.randint(3, (2, 3, 8, 8), generator=generator)]
    return centres + 0.2 * torch.randn(2, 3, 8, 8, generator=generator)


def off_by(steps: int, corrections: int = 0) -> float:
    times = uniform(SCHEDULE, steps)
    *_, noise = climb(MODEL, data(), SCHEDULE, times, corrections)
    *_, last = sample(MODEL, noise, SCHEDULE, times)
    return float((last.x - data()).square().mean().sqrt())


def test_smaller_steps_bring_the_picture_back_closer() -> None:
    errors = [off_by(steps) for steps in (10, 40, 160)]
    assert errors[2] < 0.5 * errors[1] < 0.25 * errors[0] and errors[2] < 0.05, errors


def test_corrections_bring_it_back_closer_at_the_same_steps() -> None:
    errors = [off_by(20, corrections) for corrections in (0, 1, 3, 10)]
    assert errors[1] < 0.6 * errors[0] and errors[2] < errors[1] and errors[3] < 0.1 * errors[0], errors


def test_a_corrected_step_is_undone_by_ddim_s_own() -> None:
    model, times = mixture(SCHEDULE, [-1.0, 1.0], 0.6), uniform(SCHEDULE, 10)
    path = [data(), *climb(model, data(), SCHEDULE, times, 30)][::-1]
    assert len(path) == 11
    for k in range(10):
        back = step(SCHEDULE, *model(path[k], times[k]), times[k], times[k + 1])
        assert_close(back, path[k + 1], rtol=0, atol=1e-4)


def test_noise_comes_out_as_noise() -> None:
    *_, noise = climb(MODEL, data(), SCHEDULE, uniform(SCHEDULE, 100))
    assert abs(float(noise.mean())) < 0.1 and abs(float(noise.std()) - 1) < 0.1


@pytest.fixture(scope="module", params=["world-dit", "world-unet"])
def ours(request: pytest.FixtureRequest, whole_zoo: Path) -> TextToImage:
    return stirred(load_pipeline(request.param, device="cpu", dtype="float32", root=whole_zoo))


def test_a_model_s_error_falls_with_the_steps(ours: TextToImage) -> None:
    def error(steps: int) -> float:
        return round_trip_error(ours, picture(32, 32), "a red star", steps)

    assert 0 < error(30) < 0.7 * error(5)


def test_guidance_spoils_the_way_back_and_a_correction_mends_it() -> None:
    """With weights that were trained: a picture of the world, and words that are true of it."""
    scene = Scene("meadow", (Group("star", "yellow", "big"), Group("house", "blue", "big")), "left", seed=0)
    pipeline, source = load_pipeline("world-dit", device="cpu", dtype="float32"), Image.fromarray(render(scene).image)
    words = "a big yellow star left of a big blue house in a meadow"
    plain, mended = (round_trip_error(pipeline, source, words, 10, corrections) for corrections in (0, 1))
    assert 3 * mended < plain < 0.3
    assert round_trip_error(pipeline, source, words, 10, scale=3.0) > 2 * plain


def test_the_old_picture_is_what_the_vae_makes_of_it(ours: TextToImage) -> None:
    request = ours.request("a red star", steps=4, seed=1)
    before, after = change_picture(ours, picture(32, 32), request, "a blue star")
    (seen,) = ours.decode(ours.latents(as_pixels([picture(32, 32)]) * 2 - 1))
    assert_close(as_pixels([before]), as_pixels([seen]), rtol=0, atol=1.1 / 255)
    assert after.tobytes() != before.tobytes()
    again = change_picture(ours, picture(32, 32), ours.request("a red star", steps=4, seed=2, num_images=3), "a blue star")
    assert [image.tobytes() for image in again] == [before.tobytes(), after.tobytes()], "chance has no part in it"


def test_words_that_change_nothing_leave_the_picture(ours: TextToImage) -> None:
    """With the old words as the negative prompt a new picture that attends like the old one is guided nowhere else."""
    request = ours.request("a red star", steps=8)
    change = WordChange(1, 1, weights={"star": 1.0})
    before, after = change_picture(ours, picture(32, 32), request, "a red star", change, corrections=8)
    assert float((as_pixels([after]) - as_pixels([before])).abs().mean()) < 0.02
    change = WordChange(1, 1, weights={"star": 4.0})
    stronger = change_picture(ours, picture(32, 32), request, "a red star", change, corrections=8)
    assert float((as_pixels([stronger[1]]) - as_pixels([before])).abs().mean()) > 0.02


def test_previews_go_up_and_down(ours: TextToImage) -> None:
    previews = list(stream(ours, picture(50, 30), ours.request("a red star", steps=3), "a blue star"))
    assert [(preview.index, preview.n) for preview in previews] == [(k, 6) for k in range(1, 7)]
    assert [preview.latents.shape[0] for preview in previews] == [2] * 6
    images = previews[-1].images
    assert images and [image.size for image in images] == [(50, 30)] * 2
    assert np.asarray(images[1]).std() > 1


def test_the_same_words_are_refused_before_anything_is_drawn(ours: TextToImage) -> None:
    with pytest.raises(RequestError, match="The two prompts are the same"):
        next(stream(ours, picture(32, 32), ours.request("a red star", steps=3), "A red star"))
    with pytest.raises(RequestError, match="don't have the word 'cat'"):
        next(stream(ours, picture(32, 32), ours.request("a red star", steps=3), "a star", WordChange(only=["cat"])))
