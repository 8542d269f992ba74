"""Image to image: a picture is noised part of the way and drawn anew from there, by the words of a prompt (SDEdit, Meng et al.
2022).

    pipeline = load_pipeline("world-dit")
    images = img2img(pipeline, Image.open("day.png"), pipeline.request("a red house at night"), strength=0.7)

How far back is the strength: with little of it the picture stays as it is, at 1 nothing of it is left but a trace. The result
has the picture's size. What it is not: a change of one place alone (inpaint.py) or of one word (prompt_to_prompt.py).
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator
from dataclasses import replace

import torch
from PIL import Image
from torch import Tensor

from minidiff.diffusion.samplers import Noise, State
from minidiff.diffusion.schedules import NoiseSchedule
from minidiff.pipelines.pictures import rgb, to_latent, whole
from minidiff.pipelines.request import Request, RequestError
from minidiff.pipelines.text_to_image import Go, Preview, Route, TextToImage, finish


def steps_made(steps: int, strength: object) -> int:
    """How many of the steps are made, the last ones: int(steps * strength), counted as diffusers counts them. (Of 50 steps 0.58
    makes 28: as floating-point numbers the product is a hair below 29.)

    Raises RequestError for a strength that isn't above 0 and at most 1, and for one that makes no step.
    """
    real = isinstance(strength, numbers.Real) and not isinstance(strength, bool)
    if not real or not 0 < strength <= 1:  # type: ignore[operator]
        raise RequestError("strength", given=repr(strength))
    made = min(int(steps * strength), steps)  # type: ignore[operator]
    if made == 0:
        least = math.ceil(100 / steps) / 100
        raise RequestError("strength_small", given=f"{strength:g}", steps=steps, least=f"{least:g}")
    return made


def from_latent(latent: Tensor, schedule: NoiseSchedule, made: int) -> Route:
    """Begin at the picture's latent (1, C, h, w), noised to the first of the last `made` steps."""

    def route(go: Go, noise: Noise, timesteps: Tensor) -> Iterator[State]:
        eps, times = noise(0), timesteps[len(timesteps) - 1 - made :]
        return go(schedule.mix(latent.expand_as(eps), eps, times[0]), times)

    return route


@torch.inference_mode()
def stream(pipeline: TextToImage, picture: Image.Image, request: Request, strength: float = 0.6) -> Iterator[Preview]:
    """`img2img`, step by step."""
    made = steps_made(request.steps, strength)
    pipeline.check_draws()
    picture = rgb(picture)
    window = whole(picture, pipeline.image_size)
    latent = to_latent(pipeline, window.cut(picture))
    for preview in pipeline.stream(request, from_latent(latent, pipeline.scheduler.schedule, made)):
        images = preview.images and [window.paste(picture, image) for image in preview.images]
        yield replace(preview, images=images)


def img2img(
    pipeline: TextToImage, picture: Image.Image, request: Request, strength: float = 0.6, progress: bool | None = False
) -> list[Image.Image]:
    """The picture drawn anew, once for each seed of the request.

    picture: of any size and form, see `pictures.rgb`; it is fitted to the model, and the results have its size. strength:
    the share of the steps that is made, above 0 and up to 1. progress: as for `TextToImage.__call__`.

    Raises RequestError (a ValueError) for a strength or a picture that won't do, and for a model that only inpaints or
    upscales.
    """
    return finish(stream(pipeline, picture, request, strength), progress)
