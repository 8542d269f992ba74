"""What the buttons do, as plain functions: values in, a `View` out. No gradio in here, so that tests need no browser.

What it is not: the layout and the wiring (`create.py`).
"""

from __future__ import annotations

import io
import logging
import math
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from PIL import Image

from minidiff.pipelines.messages import LANGS
from minidiff.pipelines.png_metadata import each, png_info, read_png
from minidiff.pipelines.request import MAX_SEED, Request, RequestError
from minidiff.pipelines.text_to_image import Preview, TextToImage
from minidiff.studio import html
from minidiff.studio.labels import label
from minidiff.studio.models import Models
from minidiff.studio.security import TokenBucket

MAX_SECONDS = 120.0  # for one drawing
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class View:
    """What changes on the page; None leaves a part as it is.

    running: whether Stop can be pressed. Said at the beginning and at the end only: a step's view may reach the browser
    after Stop was pressed, and must not bring the button back.
    """

    stage: str | None = None
    results: str | None = None
    notice: str | None = None
    seed: int | None = None
    running: bool | None = False


def describe(pipeline: TextToImage, prompt: object) -> str:
    """The line under the prompt: tokens, and words the model has never seen. Also for a prompt that is too long."""
    text = str(prompt or "")[:400]
    tokens = len(pipeline.tokenizer.tokens(text)) if text.strip() else 0
    return html.note(tokens, pipeline.tokenizer.unknown_words(text)[:12])


def new_seed() -> int:
    return secrets.randbelow(MAX_SEED + 1)


def make_request(
    prompt: Any, negative: Any, sampler: Any, steps: Any, guidance: Any, seed: Any, images: Any, eta: Any, upsample: Any
) -> Request:
    """The controls' values as a Request. Browsers send 20.0 for 20, so whole floats become integers; nothing else is
    forgiven. Raises RequestError."""
    used_eta = eta if sampler == "ddim" else 0.0  # the slider keeps its value while another sampler is chosen
    return Request(
        prompt, negative or "", sampler, _whole(steps), guidance, _whole(seed), _whole(images), used_eta, upsample
    )


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def find(models: Models, name: Any) -> tuple[TextToImage | None, str]:
    """(the model of that name, a notice); no model when there is none or it cannot be loaded."""
    try:
        return models.get(name), html.notice(html.both("model_ready", model=name), "good")
    except RequestError as error:
        return None, html.notice(html.refusal(error), "bad")
    except Exception:  # a visitor is told that it failed, the log why
        log.exception("loading %s failed", name)
        return None, html.notice(html.both("model_broken", model=name), "bad")


def draw_with(models: Models, name: Any, *rest: Any) -> Iterator[View]:
    """`draw` with the model of that name; rest: the other arguments of `draw`."""
    pipeline, notice = find(models, name)
    if pipeline is None:
        yield View(notice=notice)
    else:
        yield from draw(pipeline, *rest)


def draw(
    pipeline: TextToImage,
    values: tuple[Any, ...],
    randomise: bool = False,
    client: str = "",
    bucket: TokenBucket | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[View]:
    """Draws and yields what the page shows after each step, whatever happens on the way.

    values: prompt, negative prompt, sampler, steps, guidance, seed, images, eta, upsample.
    """
    if randomise:
        values = (*values[:5], new_seed(), *values[6:])
    try:
        request = make_request(*values)
    except RequestError as error:
        yield View(notice=html.notice(html.refusal(error), "bad"))
        return
    seconds = bucket.wait(client) if bucket else 0.0
    if seconds:
        words = html.both("too_often", seconds=math.ceil(seconds))
        yield View(notice=html.notice(words, "bad"), stage=html.stage())
        return
    try:
        yield from _draw(pipeline, request, clock)
    except RequestError as error:  # not every model can draw every prompt
        yield View(notice=html.notice(html.refusal(error), "bad"), stage=html.stage())
    except Exception:  # a visitor is told that it failed, the log why
        log.exception("drawing failed")
        yield View(notice=html.notice(html.both("broken"), "bad"), stage=html.stage())


def _draw(pipeline: TextToImage, request: Request, clock: Callable[[], float]) -> Iterator[View]:
    start, spent = clock(), 0.0  # spent: in the model, without the sending of previews
    yield View(stage=html.stage(words="waiting"), notice=html.notice(), seed=request.seed, running=True)
    previews = pipeline.stream(request)
    while True:
        before = clock()
        preview = next(previews, None)
        spent += clock() - before
        if preview is None:
            return
        if preview.images is not None:
            break
        if clock() - start > MAX_SECONDS:
            words = html.both("too_long", seconds=round(MAX_SECONDS))
            yield View(notice=html.notice(words, "bad"), stage=render(pipeline, preview))
            return
        yield View(stage=render(pipeline, preview), running=None)
    yield View(
        stage=render(pipeline, preview),
        results=html.results(
            pngs(pipeline, request, preview.images), request.prompt, request.seeds, pipeline.expanded_prompt(request)
        ),
        notice=html.notice(html.both("done", seconds=f"{spent:.2f}", seed=request.seed), "good"),
        seed=request.seed,
    )


def finish(
    pipeline: TextToImage, request: Request, clock: Callable[[], float] = time.perf_counter
) -> list[Image.Image]:
    """The pictures of a request, for a program. Raises TimeoutError after MAX_SECONDS, within a step: nobody may keep the
    model from everybody else."""
    start = clock()
    for preview in pipeline.stream(request):
        if preview.images is not None:
            return preview.images
        if clock() - start > MAX_SECONDS:
            break
    raise TimeoutError(label("too_long", "en", seconds=round(MAX_SECONDS)))


def render(pipeline: TextToImage, preview: Preview) -> str:
    """A step as HTML: the noisy latents in rough colour, the prediction decoded."""
    noisy = html.contact_sheet(pipeline.preview(preview.latents))
    predicted = html.contact_sheet(preview.images or pipeline.decode_fast(preview.x0))
    return html.stage(noisy, predicted, preview.index, preview.n)


def pngs(pipeline: TextToImage, request: Request, images: list[Image.Image]) -> list[bytes]:
    """The pictures as files that say how they were made."""
    files = []
    for image, one, text in zip(images, each(request), pipeline.expanded_prompt(request), strict=True):
        file = io.BytesIO()
        image.save(file, format="PNG", pnginfo=png_info(one, pipeline.model, pipeline.model_hash, image.size, text))
        files.append(file.getvalue())
    return files


def from_image(path: str | None) -> tuple[Request | None, str]:
    """(the request that drew a PNG, a notice); no request when the file does not hold a valid one."""
    if not path:
        return None, html.notice()
    try:
        values = read_png(path)
        request = Request(**{f.name: values[f.name] for f in fields(Request) if f.name in values})
    except (TypeError, ValueError):  # RequestError is a ValueError
        return None, html.notice(html.both("not_ours"), "bad")
    return request, html.notice(html.both("restored"), "good")


def image_model(path: str | None, models: Models) -> str | None:
    """The model that drew a PNG, if it is one of these."""
    try:
        name = read_png(path).get("model") if path else None
    except ValueError:
        return None
    return name if name in models.names else None


def _yes(word: str) -> bool:
    """A checkbox in a link. Raises ValueError unless it is "true" or "false"."""
    if word not in ("true", "false"):
        raise ValueError(word)
    return word == "true"


QUERY: dict[str, tuple[str, Callable[[str], Any]]] = {  # name in a link -> (field, type)
    "prompt": ("prompt", str),
    "negative": ("negative_prompt", str),
    "sampler": ("sampler", str),
    "steps": ("steps", int),
    "guidance": ("guidance_scale", float),
    "seed": ("seed", int),
    "images": ("num_images", int),
    "eta": ("eta", float),
    "upsample": ("upsample", _yes),
}


def from_link(query: Mapping[str, str], guidance: float) -> tuple[Request | None, str]:
    """(the request a link carries, a notice); no request when it carries none or one that is not allowed."""
    if not query.get("prompt"):
        return None, html.notice()
    try:
        given = {field: kind(query[name]) for name, (field, kind) in QUERY.items() if query.get(name)}
        if given.get("sampler") != "ddim":
            given.pop("eta", None)
        return Request(**{"guidance_scale": guidance, **given}), html.notice()
    except RequestError as error:
        words = _bad_link(error)
    except ValueError:
        words = html.both("bad_link", reason="")
    return None, html.notice(words, "bad")


def _bad_link(error: RequestError) -> str:
    return "".join(
        f'<span lang="{lang}">{html.escape(label("bad_link", lang, reason=error.text(lang)))}</span>' for lang in LANGS
    )


def link_language(query: Mapping[str, str], default: str) -> str:
    """The language a link asks for, if it is one of ours."""
    asked = query.get("lang", "")
    return asked if asked in LANGS else default


def restore(query: Mapping[str, str], models: Models) -> tuple[Request | None, str, str]:
    """(the request a link carries, its model, a notice); no request and the first model when anything is not allowed."""
    model = query.get("model") or models.first.model
    try:
        models.check(model)
    except RequestError as error:
        return None, models.first.model, html.notice(_bad_link(error), "bad")
    pipeline, notice = find(models, model)
    if pipeline is None:
        return None, models.first.model, notice
    asked, notice = from_link(query, pipeline.guidance_scale)
    return asked, model, notice
