"""Super-resolution by Stable Diffusion's upscaler: a picture four times as large, with details that fit a prompt.

    pipeline = load_pipeline("stabilityai/stable-diffusion-x4-upscaler")
    (large,) = latent_upscale(pipeline, Image.open("small.png"), pipeline.request("a photo of a fox", steps=50))

Its VAE makes latents of a quarter of the picture's height and width, which are as many places as the small picture has pixels:
so that is shown to the network beside the latent (Rombach et al. 2022, section 4.4). It is shown with a little noise, and the
network is told how much, because small pictures aren't as clean as those it was trained on (Ho et al. 2022, section 4.2). What
it is not: our own upscaler, which invents nothing (upscale.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from minidiff.diffusion.schedules import TABLE_LENGTH
from minidiff.pipelines.inpaint import Beside
from minidiff.pipelines.pictures import rgb
from minidiff.pipelines.request import Request, RequestError, whole_number
from minidiff.pipelines.text_to_image import Preview, TextToImage, finish
from minidiff.pretrained.configs import check_tokens
from minidiff.utils.images import to_tensor

NOISE_LEVEL, MOST_NOISE = 20, 350  # entries of the table of the picture's schedule


def noised(picture: Tensor, pipeline: TextToImage, noise_level: int, seed: int) -> Tensor:
    """The small picture (1, 3, h, w) in -1..1 as the network is shown it. Its noise is not the latent's, nor another seed's."""
    schedule = pipeline.picture_schedule
    if schedule is None:
        raise RequestError("model_no_upscaler", model=pipeline.model)
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(2**32 + seed))
    time = torch.tensor((noise_level + 1) / TABLE_LENGTH, dtype=torch.float64)
    return schedule.mix(picture, noise, time)


@torch.inference_mode()
def stream(
    pipeline: TextToImage, picture: Image.Image, request: Request, noise_level: int = NOISE_LEVEL
) -> Iterator[Preview]:
    """`latent_upscale`, step by step."""
    whole_number(noise_level, "noise_level", 0, MOST_NOISE)
    low = to_tensor(np.array(rgb(picture))[None])                                             # (1, 3, h, w)
    config, (height, width) = pipeline.network.config, low.shape[-2:]
    finest = config.attention.index(True) if True in config.attention else len(config.attention) - 1
    check_tokens((height >> finest) * (width >> finest), f"The picture is {width} x {height} pixels")
    showing = copy(pipeline)
    showing.latent_size = (height, width)
    shown = noised(low, pipeline, noise_level, request.seed).to(pipeline.device)
    showing.fast_network = Beside(pipeline.fast_network, shown, noise_level)
    yield from showing.stream(request, lambda go, noise, times: go(pipeline.scheduler.start(noise(0), times), times))


def latent_upscale(
    pipeline: TextToImage, picture: Image.Image, request: Request, noise_level: int = NOISE_LEVEL,
    progress: bool | None = False,
) -> list[Image.Image]:  # fmt: skip
    """The picture enlarged, once for each seed of the request.

    Args:
        picture: of any form, see `pictures.rgb`; up to about 190 pixels a side with Stable Diffusion's upscaler.
        request: what the picture shows, and how it is sampled.
        noise_level: how noisy the network is shown the picture, 0 to 350: with more it keeps less of it, and invents more.
        progress: as for `TextToImage.__call__`.

    Raises RequestError (a ValueError) for a picture, a noise level or a model that won't do.
    """
    return finish(stream(pipeline, picture, request, noise_level), progress)
