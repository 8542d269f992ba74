"""DDIM inversion: from a given picture to the noise that it would have been drawn from, and from there to pictures with other
words (Song et al. 2021, section 4.3; Dhariwal & Nichol 2021, appendix F).

    before, after = change_picture(pipeline, picture, pipeline.request("a red house at night"), "a blue house at night")

DDIM's steps are those of an ordinary differential equation, so they can be made backwards. That holds for a small step and for
guidance 1: the way back uses the prediction of a step's clean end in the place of its noisy end's, and guidance makes the
mistake larger by its scale until the picture doesn't come back (Mokady et al. 2023, section 3.2). So the way up goes without
guidance, by the words that describe the picture. On the way down, with guidance, the old picture is held to the way that it
came, and its words are the negative prompt (Miyake et al. 2023), so that only what the new words change is exaggerated. What it
is not: the exchange of attention (prompt_to_prompt.py). Taught in the lesson on editing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import torch
from PIL import Image
from torch import Tensor

from minidiff.diffusion.prediction import Denoiser
from minidiff.diffusion.samplers import sample, step
from minidiff.diffusion.schedules import NoiseSchedule
from minidiff.pipelines.pictures import rgb, to_latent, whole
from minidiff.pipelines.prompt_to_prompt import WordChange, share, stream_pairs
from minidiff.pipelines.request import Request, check_length
from minidiff.pipelines.text_to_image import Preview, TextToImage, finish

CORRECTIONS = 2
GUIDANCE = 3.0  # that goes well with old words as the negative prompt, whatever the model's own scale is


def climb(model: Denoiser, x: Tensor, schedule: NoiseSchedule, timesteps: Tensor, corrections: int = 0) -> Iterator[Tensor]:
    """DDIM backwards: x at the last of the falling times is given, x at the one before is yielded, and so on to the first.

    corrections: how often a step is mended so that DDIM's own step from its end leads back to its beginning: what it is off by
    is added to the end, for one more prediction each time (a fixed-point iteration, as in Pan et al. 2023).
    """
    for s, t in pairwise(timesteps.flip(0)):
        ahead = schedule.mix(*model(x, s), t)
        for _ in range(corrections):
            ahead = ahead + x - step(schedule, *model(ahead, t), t, s)
        x = ahead
        yield x


@torch.inference_mode()
def round_trip_error(
    pipeline: TextToImage, picture: Image.Image, prompt: str, steps: int = 20, corrections: int = 0, scale: float = 1.0
) -> float:
    """How far a picture is from what is drawn from its own noise: the root mean square of the difference between the two
    latents, whose numbers have deviations of about 1. scale: of the guidance on both ways; see above why only 1 is small."""
    schedule = pipeline.scheduler.schedule
    timesteps, model = pipeline.scheduler.timesteps(schedule, steps), pipeline.denoiser([prompt], [""], scale)
    latent = to_latent(pipeline, whole(picture, pipeline.image_size).cut(rgb(picture)))
    *_, noise = climb(model, latent, schedule, timesteps, corrections)
    *_, last = sample(model, noise, schedule, timesteps)
    return float((last.x - latent).square().mean().sqrt())


@torch.inference_mode()
def stream(
    pipeline: TextToImage, picture: Image.Image, request: Request, changed: str, change: WordChange | None = None,
    corrections: int = CORRECTIONS,
) -> Iterator[Preview]:  # fmt: skip
    """`change_picture`, step by step: first up to the noise, then down. The previews' latents are those of the old picture and
    of the new one."""
    other = replace(request, prompt=changed)
    check_length(other, pipeline.max_characters)
    before, after = request.prompt, other.prompt
    request = replace(request, sampler="ddim", eta=0.0, num_images=1, negative_prompt=request.negative_prompt or before)
    shared = share(pipeline, request, [before], [after], change or WordChange())
    schedule, n = pipeline.scheduler.schedule, request.steps
    timesteps, model = pipeline.scheduler.timesteps(schedule, n), pipeline.denoiser([before], [""], 1.0)
    picture = rgb(picture)
    window = whole(picture, pipeline.image_size)
    path = [to_latent(pipeline, window.cut(picture))]
    for x in climb(model, path[0], schedule, timesteps, corrections):
        path.insert(0, x)
        both = torch.cat([x, x])
        yield Preview(len(path) - 1, 2 * n, both, both)
    for preview in stream_pairs(pipeline, request, [before, after], shared, path):
        images = preview.images and [window.paste(picture, image) for image in preview.images]
        yield replace(preview, index=n + preview.index, n=2 * n, images=images)


def change_picture(
    pipeline: TextToImage, picture: Image.Image, request: Request, changed: str, change: WordChange | None = None,
    corrections: int = CORRECTIONS, progress: bool | None = False,
) -> list[Image.Image]:  # fmt: skip
    """[the picture as the model draws it, the picture with its words changed].

    Args:
        picture: of any size and form, see `pictures.rgb`; the results have its size.
        request: its prompt says what is in the picture. It is taken as it is, and there is one result, by DDIM: seed, sampler,
            eta and expand_prompt don't matter. Without a negative prompt the prompt is taken for one.
            A guidance scale of 2 to 3 does for every model.
        changed, change: as for `change_words`. corrections: see `climb`. progress: as for `TextToImage.__call__`.

    Raises RequestError (a ValueError) as `change_words`, and for a picture that won't do.
    """
    return finish(stream(pipeline, picture, request, changed, change, corrections), progress)
