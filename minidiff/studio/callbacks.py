"""What the buttons do, as plain functions: values in, a `View` out. No gradio in here, so tests need no browser.

The layout and the wiring are in `tabs/`; how settings come back from an image or a link is in `restore.py`.
"""

from __future__ import annotations

import io
import json
import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from minidiff.diffusion.samplers import SAMPLERS
from minidiff.pipelines.loras import dressed, strengths_of
from minidiff.pipelines.png_metadata import each, png_info
from minidiff.pipelines.request import MAX_SEED, Request, RequestError
from minidiff.pipelines.text_to_image import Preview, TextToImage
from minidiff.studio import html, why_html
from minidiff.studio.judged import Judge
from minidiff.studio.labels import label
from minidiff.studio.measured import is_measured
from minidiff.studio.models import Models
from minidiff.studio.security import TokenBucket
from minidiff.utils.images import contact_sheet

MAX_SECONDS = 120.0  # for one request
PUBLIC = False  # whether strangers share the page; then nothing is trained, and none of this machine's files is read
EVALUATIONS = 40  # of the network, which cost a visitor one token: an image in 20 guided steps
TYPED = 0.25  # tokens that a drawing costs at least which is made while somebody types
STOPPING = threading.Event()  # set when the server ends: what is drawn then stops at its next step
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class View:
    """What changes on the page; None leaves a part as it is.

    running: whether Stop can be pressed. It is set at the beginning and at the end only: the view of a step may reach the
    browser after Stop was pressed, and must not bring the button back.
    """

    stage: str | None = None
    results: str | None = None
    notice: str | None = None
    seed: int | None = None
    running: bool | None = False


def describe(pipeline: TextToImage, prompt: object) -> str:
    """The line under the prompt: its tokens, whether they are too many, and words the model has never seen."""
    text, tokenizer = str(prompt or "")[:4000], pipeline.tokenizer
    count = len(tokenizer.tokens(text)) if text.strip() else 0
    too_many = html.both("too_many_tokens", most=tokenizer.max_tokens) if tokenizer.unread(text) else ""
    measured = is_measured(pipeline.model_hash)
    return html.note(count, pipeline.unknown_words(text[:400])[:12], too_many, measured)


def describe_with(models: Models, name: Any, prompt: object) -> str:
    """`describe` with the model of that name; an empty note where there is none."""
    pipeline, _ = find(models, name)
    return html.note(0, []) if pipeline is None else describe(pipeline, prompt)


def new_seed() -> int:
    return secrets.randbelow(MAX_SEED + 1)


def takes_eta(sampler: Any) -> bool:
    """Whether a sampler can add noise."""
    return sampler in SAMPLERS and SAMPLERS[sampler].method == "step"


def make_request(
    prompt: Any, negative: Any, sampler: Any, steps: Any, guidance: Any, seed: Any, images: Any, eta: Any, expand: Any,
    start: Any, end: Any, rescale: Any,
) -> Request:  # fmt: skip
    """The controls' values as a Request. Browsers send 20.0 for 20, so whole floats become integers. Raises RequestError."""
    used_eta = eta if takes_eta(sampler) else None  # the slider keeps its value while another sampler is chosen
    return Request(
        prompt, negative or "", sampler, whole(steps), guidance, whole(seed), whole(images), used_eta, expand,
        (start, end), rescale,
    )  # fmt: skip


def cost(images: int, steps: int, sampler: str, least: float = 1.0) -> float:
    """Tokens of a drawing, by how long the network works for it with guidance; at least `least`."""
    each_step = 2 * (2 if sampler == "heun" else 1)
    return max(least, images * steps * each_step / EVALUATIONS)


@dataclass
class Bill:
    """Tokens that a client has paid for a drawing. What isn't drawn, because somebody pressed Stop or something broke, is given
    back at the end, but for one token at most. drawn: share of it."""

    bucket: TokenBucket | None
    client: str
    cost: float
    drawn: float = 0.0

    def __enter__(self) -> Bill:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bucket is not None:
            self.bucket.give_back(self.client, max(0.0, min(self.cost - 1, (1 - self.drawn) * self.cost)))


def whole(value: Any) -> Any:
    """A whole float as an integer, anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def find(models: Models, name: Any) -> tuple[TextToImage | None, str]:
    """(the model of that name, a notice); None when there is no such model or it can't be loaded."""
    try:
        return models.get(name), html.notice(html.both("model_ready", model=name), "good")
    except RequestError as error:
        return None, html.notice(html.refusal(error), "bad")
    except Exception:  # the visitor learns that it failed, the log why
        log.exception("loading %s failed", name)
        return None, html.notice(html.both("model_broken", model=name), "bad")


def generate_with(models: Models, name: Any, *rest: Any, **how: Any) -> Iterator[View]:
    """`generate` with the model of that name; the other arguments are those of `generate`."""
    pipeline, notice = find(models, name)
    if pipeline is None:
        yield View(notice=notice)
    else:
        yield from generate(pipeline, *rest, **how)


def generate(
    pipeline: TextToImage,
    values: tuple[Any, ...],
    randomise: bool = False,
    client: str = "",
    bucket: TokenBucket | None = None,
    clock: Callable[[], float] = time.perf_counter,
    *,
    loras: Any = None,
    judge: Judge | None = None,
    typed: bool = False,
) -> Iterator[View]:
    """Samples, and yields what the page shows after each step. Never raises.

    values: the arguments of `make_request`. loras: strengths by name, for this drawing alone. judge: looks at the finished
    pictures after they are shown. typed: drawn while somebody types; the last picture stays until this one is there.
    """
    if randomise:
        values = (*values[:5], new_seed(), *values[6:])
    try:
        request = make_request(*values)
        strengths = strengths_of({} if loras is None else loras, pipeline.model)
    except RequestError as error:
        yield View(notice=html.notice(html.refusal(error), "bad"))
        return
    price = cost(request.num_images, request.steps, request.sampler, TYPED if typed else 1.0)
    seconds = bucket.wait(client, price) if bucket else 0.0
    if seconds:
        words = html.both("too_often", seconds=math.ceil(seconds))
        yield View(notice=html.notice(words, "bad"), stage=None if typed else html.stage())
        return
    try:
        with Bill(bucket, client, price) as bill:
            kept = json.dumps([*values[:5], request.seed, *values[6:], pipeline.model, strengths], ensure_ascii=False)
            yield from _generate(dressed(pipeline, strengths), request, clock, bill, strengths, kept, judge, typed)
    except RequestError as error:  # no model takes every prompt
        yield View(notice=html.notice(html.refusal(error), "bad"), stage=html.stage())
    except Exception:  # the visitor learns that it failed, the log why
        log.exception("sampling failed")
        yield View(notice=html.notice(html.both("broken"), "bad"), stage=html.stage())


def _generate(
    pipeline: TextToImage, request: Request, clock: Callable[[], float], bill: Bill, loras: Mapping[str, float], kept: str,
    judge: Judge | None, typed: bool,
) -> Iterator[View]:  # fmt: skip
    """kept: JSON of the settings, for the page's own history."""
    start, spent = clock(), 0.0  # spent: in the model, without the sending of previews
    yield View(stage=None if typed else html.stage(words="waiting"), notice=html.notice(), seed=request.seed, running=True)
    previews = pipeline.stream(request)
    while True:
        before = clock()
        preview = next(previews, None)
        spent += clock() - before
        if preview is None:
            return
        bill.drawn = preview.index / preview.n
        if preview.images is not None:
            break
        if said := out_of_time(clock() - start):
            yield View(notice=html.notice(said, "bad"), stage=render(pipeline, preview))
            return
        yield View(stage=None if typed else render(pipeline, preview), running=None)
    prompts, files = pipeline.expanded_prompts(request), pngs(pipeline, request, preview.images, loras)
    yield View(
        stage=render(pipeline, preview),
        results=html.results(files, request.prompt, request.seeds, prompts, kept),
        notice=html.notice(html.both("done", seconds=f"{spent:.2f}", seed=request.seed), "good"),
        seed=request.seed,
    )
    if judge is not None:
        whys = [why_html.why(pipeline, judge, request.prompt, image) for image in preview.images]
        yield View(results=html.results(files, request.prompt, request.seeds, prompts, kept, whys))


def out_of_time(seconds: float) -> str:
    """Why a drawing that has taken so long must end here, in both languages; empty where it may go on."""
    if STOPPING.is_set():
        return html.both("ending")
    return html.both("too_long", seconds=round(MAX_SECONDS)) if seconds > MAX_SECONDS else ""


def finish(
    pipeline: TextToImage, request: Request, clock: Callable[[], float] = time.perf_counter
) -> Iterator[list[Image.Image]]:
    """An empty list after each step, so that the drawing can be stopped there, and then the images of a request, for a program.
    Raises TimeoutError after MAX_SECONDS, since others wait for the model, and when the server ends."""
    start = clock()
    for preview in pipeline.stream(request):
        if preview.images is not None:
            yield preview.images
            return
        yield []
        if STOPPING.is_set():
            raise TimeoutError(label("ending", "en"))
        if clock() - start > MAX_SECONDS:
            break
    raise TimeoutError(label("too_long", "en", seconds=round(MAX_SECONDS)))


def render(pipeline: TextToImage, preview: Preview) -> str:
    """A step as HTML: the noisy latents in rough colour, the prediction decoded."""
    noisy = contact_sheet(pipeline.preview(preview.latents))
    predicted = contact_sheet(preview.images or pipeline.decode_fast(preview.x0))
    return html.stage(noisy, predicted, preview.index, preview.n)


def pngs(
    pipeline: TextToImage, request: Request, images: list[Image.Image], loras: Mapping[str, float] | None = None
) -> list[bytes]:
    """The images as PNG files that say how they were made. loras: their strengths by name."""
    files = []
    for image, one, text in zip(images, each(request), pipeline.expanded_prompts(request), strict=True):
        file = io.BytesIO()
        info = png_info(one, pipeline.model, pipeline.model_hash, image.size, text, loras)
        image.save(file, format="PNG", pnginfo=info)
        files.append(file.getvalue())
    return files
