"""Inpainting: a part of a picture is drawn anew, and the rest stays as it is, to the bit.

    images = inpaint(pipeline, picture, mask, pipeline.request("a black cat in a room"))

Any model can do it: after each step what is known is put back, as noisy as x is then, so that the new part grows into it
(Lugmayr et al. 2022, eq. 8). Going a part of the way again and again lets both grow together (RePaint's resampling).
Stable Diffusion's 9-channel weights were trained for it: they see the mask and the masked picture instead. What it is not: the
reading of masks (masks.py) and the enlarging of pictures (outpaint.py). Taught in the lesson on editing.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from minidiff.diffusion.samplers import Noise, State
from minidiff.diffusion.schedules import NoiseSchedule
from minidiff.pipelines.img2img import steps_made
from minidiff.pipelines.masks import around, blend, read_hole, soft_edge
from minidiff.pipelines.pictures import rgb, to_latent, whole
from minidiff.pipelines.request import Request, RequestError, whole_number
from minidiff.pipelines.text_to_image import Go, Preview, Route, TextToImage, finish
from minidiff.pretrained.scheduler_config import SchedulerConfig
from minidiff.utils.images import to_tensor

Cells = Literal["touched", "nearest"]
MOST_FEATHER, MOST_ROUNDS = 256, 20
JUMP = 5  # steps that are resampled together


def around_known(latent: Tensor, known: Tensor | None, scheduler: SchedulerConfig, made: int, rounds: int = 1) -> Route:
    """Draw what isn't known of the picture's latent, (1, C, h, w), round what is.

    known: (h, w) bool, True where the latent is put back after each step; None for a network that sees the hole itself. made:
    how many of the steps; with all of them sampling begins at noise. rounds: how often each JUMP steps are made.
    """
    schedule = scheduler.schedule

    def route(go: Go, noise: Noise, timesteps: Tensor) -> Iterator[State]:
        eps, times = noise(0), timesteps[len(timesteps) - 1 - made :]
        picture = latent.expand_as(eps)
        x = scheduler.start(eps, times) if len(times) == len(timesteps) else schedule.mix(picture, eps, times[0])
        for state in resampled(go, x, times, schedule, noise, rounds):
            if known is not None:
                s = torch.tensor(state.s, dtype=torch.float64)
                state.x = torch.where(known, picture if s == times[-1] else schedule.mix(picture, eps, s), state.x)
            yield state

    return route


def resampled(go: Go, x: Tensor, times: Tensor, schedule: NoiseSchedule, noise: Noise, rounds: int) -> Iterator[State]:
    """The steps along the times, JUMP after JUMP of them `rounds` times: back in between, by noising x again (Lugmayr et al.
    2022, algorithm 1)."""
    if rounds == 1:
        yield from go(x, times)
        return
    n, done = (len(times) - 1) * rounds, 0
    for first in range(0, len(times) - 1, JUMP):
        part = times[first : first + JUMP + 1]
        for turn in range(rounds):
            if turn:
                x = noised_again(x, schedule, part[-1], part[0], noise(done))
            for state in go(x, part):
                state.index, state.n, done = done, n, done + 1
                yield state
                x = state.x


def noised_again(x: Tensor, schedule: NoiseSchedule, s: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """x at time s, noised on to time t > s: alpha_t / alpha_s of it, and as much fresh noise as is missing (Ho et al. 2020,
    eq. 2)."""
    kept = schedule.alpha(t) / schedule.alpha(s)
    fresh = (schedule.sigma(t) ** 2 - (kept * schedule.sigma(s)) ** 2).clamp(min=0).sqrt()
    return float(kept) * x + float(fresh) * noise


class Beside:
    """A prepared network that is shown more channels beside each latent, (1, C, h, w): the mask and the masked picture, or a
    small picture (latent_upscale.py), and then how noisy that is, too (label)."""

    def __init__(self, inner: Any, channels: Tensor, label: int | None = None) -> None:
        self.inner, self.channels, self.label = inner, channels, label

    def prepare_context(self, context: Tensor, mask: Tensor | None = None) -> Any:
        if self.label is None:
            return self.inner.prepare_context(context, mask)
        return self.inner.prepare_context(context, mask, torch.full((len(context),), self.label, device=context.device))

    def __call__(self, x: Tensor, timestep: Tensor, context: Any) -> Tensor:
        return self.inner(torch.cat([x, self.channels.expand(len(x), -1, -1, -1)], dim=1), timestep, context)


def shown_the_hole(pipeline: TextToImage, image: Image.Image, hole: Tensor, drawn: Tensor) -> TextToImage:
    """The pipeline, its network shown which cells of the latent are drawn, (h, w), and the latent of the image with a grey
    hole, (H, W)."""
    masked = to_tensor(np.array(image)[None]) * ~hole
    latent = pipeline.latents(masked)
    showing = copy(pipeline)
    showing.fast_network = Beside(pipeline.fast_network, torch.cat([drawn[None, None].to(latent), latent], dim=1))
    return showing


def shrunk(hole: Tensor, side: int, cells: Cells) -> Tensor:
    """A hole, (H, W) bool, on a grid of side x side: the cells that it touches, or those whose first pixel it covers."""
    share = hole[None, None].float()
    pool = F.adaptive_max_pool2d(share, side) if cells == "touched" else F.interpolate(share, size=(side, side))
    return pool[0, 0] > 0


def check_edges(feather: object, resample: object) -> None:
    """Raises RequestError unless these are numbers that `inpaint` takes."""
    whole_number(feather, "feather", 0, MOST_FEATHER)
    whole_number(resample, "resample", 1, MOST_ROUNDS)


@torch.inference_mode()
def stream(
    pipeline: TextToImage, picture: Image.Image, mask: Image.Image, request: Request, strength: float = 1.0,
    feather: int = 4, zoom: bool = False, resample: int = 3, cells: Cells = "touched",
) -> Iterator[Preview]:  # fmt: skip
    """`inpaint`, step by step."""
    made = steps_made(request.steps, strength)
    check_edges(feather, resample)
    if pipeline.upscales:
        pipeline.check_draws()
    hole, picture = read_hole(mask, picture), rgb(picture)
    window = around(hole, pipeline.image_size) if zoom else whole(picture, pipeline.image_size)
    image, square = window.cut(picture), torch.from_numpy(window.square(hole))
    inside, drawn = (shrunk(square, side, cells) for side in (pipeline.image_size, pipeline.latent_shape[-1]))
    if not drawn.any():
        raise RequestError("mask_thin", least=-(-window.side // pipeline.latent_shape[-1]))
    model = shown_the_hole(pipeline, image, inside, drawn) if pipeline.inpaints else pipeline
    put_back = None if pipeline.inpaints else ~drawn.to(pipeline.device)
    rounds = 1 if pipeline.inpaints else resample
    route = around_known(to_latent(pipeline, image), put_back, pipeline.scheduler, made, rounds)
    share = soft_edge(hole, feather)
    for preview in model.stream(request, route):
        images = preview.images and [blend(picture, window.paste(picture, one), hole, share) for one in preview.images]
        yield replace(preview, images=images)


def inpaint(
    pipeline: TextToImage, picture: Image.Image, mask: Image.Image, request: Request, strength: float = 1.0,
    feather: int = 4, zoom: bool = False, resample: int = 3, cells: Cells = "touched", progress: bool | None = False,
) -> list[Image.Image]:  # fmt: skip
    """The picture with what is white in the mask drawn anew, once for each seed of the request.

    Args:
        picture: of any size and form, see `pictures.rgb`; the results have its size, and outside of the mask its bits.
        mask: of the same size, see `masks.read_hole`.
        strength: as for `img2img`; 1 forgets what was in the hole.
        feather: width in pixels of the soft edge inside the hole.
        zoom: let the model see only the hole and what is round it, larger: for small holes in large pictures.
        resample: how often each part of the way is made, 1 to 20: slower, and the new part fits in better. Networks of 9
            channels, which see the hole, don't need it and make every step once.
        cells: which cells of the latent are drawn. A cell is several pixels wide, and where a hole cuts through it, diffusers
            looks at its first pixel alone ("nearest"), so that something of what was in the hole may stay.
        progress: as for `TextToImage.__call__`.

    Raises RequestError (a ValueError) for a picture, a mask or a setting that won't do.
    """
    return finish(stream(pipeline, picture, mask, request, strength, feather, zoom, resample, cells), progress)
