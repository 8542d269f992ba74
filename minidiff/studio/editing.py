"""Edits of a picture, for the tab Edit: what was asked for is checked, then one of the library's edits is made, step by step.

Pictures and masks come as data URIs, which the page holds; nothing of them is kept here. Not here: the edits themselves
(pipelines/img2img.py and its neighbours) and how results look (edit_html.py). Taught in the lesson on editing.
"""

from __future__ import annotations

import base64
import binascii
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from minidiff.diffusion.samplers import SAMPLERS
from minidiff.models.upscaler import Upscaler
from minidiff.pipelines import img2img, inpaint, inversion, loras, prompt_to_prompt
from minidiff.pipelines.outpaint import enlarged
from minidiff.pipelines.pictures import LEAST_SIDE, rgb
from minidiff.pipelines.png_metadata import edit_info, png_info, read_png
from minidiff.pipelines.prompt_to_prompt import WordChange
from minidiff.pipelines.request import Request, RequestError, whole_number
from minidiff.pipelines.style_transfer import restyle
from minidiff.pipelines.text_to_image import Preview, TextToImage
from minidiff.pipelines.upscale import UPSCALER, check_factor, load_upscaler, upscale
from minidiff.pretrained import zoo
from minidiff.studio.html import data_uri
from minidiff.studio.refusals import Refusal
from minidiff.studio.security import MAX_PIXELS

Way = Literal["anew", "part", "beyond", "words", "larger", "style"]
WAYS: tuple[Way, ...] = ("anew", "part", "beyond", "words", "larger", "style")
SIDES = ("left", "top", "right", "bottom")
MOST_SIDE = 192             # pixels of a start's side: as PNG it fits into a request (security.MAX_BODY)
MOST_TEXT = 180_000         # characters of a data URI
MOST_MEGABYTES, MOST_MEGAPIXELS = 24, 50    # of a file that the page makes small before it is sent (edit.js)
TOO_LARGE = "data:,large"   # what the page sends in the place of a larger one
MOST_STEPS, MOST_PIXELS, MOST_FEATHER, MOST_WORDS = 50, 128, 16, 200
ROUNDS = 3                  # of each part of the way when a hole is filled, as in `minidiff edit inpaint`


@dataclass(frozen=True)
class Start:
    """The picture that is edited. request, model: what drew it, where it says so and hasn't been changed since."""

    image: Image.Image
    request: Request | None = None
    model: str = ""


@dataclass(frozen=True)
class Edit:
    """What the controls say. Each way uses some of it, and only that is checked, by `begin`."""

    way: Any
    first: Any = ""
    prompt: Any = ""
    strength: Any = 0.6
    feather: Any = 2
    sides: Any = ("right",)
    pixels: Any = 32
    weights: Any = ""
    factor: Any = 4
    style: Any = None
    style_weight: Any = 0.8
    steps: Any = 20
    guidance: Any = 3.0
    seed: Any = 42


@dataclass(frozen=True)
class Progress:
    """After a step, 1..n. picture: what is expected now, or after the last step the result; None where it isn't worth the time.
    before: at the end, the old picture, where it was drawn again."""

    index: int
    n: int
    picture: Image.Image | None = None
    before: Image.Image | None = None


@dataclass(frozen=True)
class Job:
    """An edit that may begin. evaluations: of the network, with guidance. before, mask: as they are shown beside the result.
    info: the text of the result's PNG."""

    way: Way
    before: Image.Image
    mask: Image.Image | None
    evaluations: int
    run: Callable[[], Iterator[Progress]]
    info: Callable[[Image.Image], PngInfo]


# ---------------------------------------------------------------------------------------------------------------- pictures


def read_picture(text: Any) -> tuple[Image.Image, bytes]:
    """(the picture as RGB, its file) from a data URI. Raises Refusal for none, for what is no PNG or JPEG or is damaged, and
    for one of more pixels than are decoded here or of too few."""
    if not text:
        raise Refusal("edit_no_picture")
    too_large = Refusal("edit_picture_large", megabytes=MOST_MEGABYTES, megapixels=MOST_MEGAPIXELS)
    if not isinstance(text, str) or not text.startswith("data:"):
        raise Refusal("edit_not_picture")
    if text == TOO_LARGE or len(text) > MOST_TEXT:
        raise too_large
    try:
        data = base64.b64decode(text.partition(";base64,")[2], validate=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of what is lost when a picture becomes RGB
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(data), formats=["PNG", "JPEG"])
            if opened.width * opened.height > MAX_PIXELS:
                raise too_large
            if min(opened.size) < LEAST_SIDE:
                raise Refusal("edit_picture_small", least=LEAST_SIDE)
            return rgb(ImageOps.exif_transpose(opened)), data
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise too_large from None
    except Refusal:
        raise
    except (OSError, SyntaxError, ValueError, binascii.Error):  # PIL has many ways to fail on damaged files
        raise Refusal("edit_not_picture") from None


def read_start(text: Any) -> Start:
    """The picture that the page holds. Raises Refusal as `read_picture`."""
    image, data = read_picture(text)
    if max(image.size) > MOST_SIDE:
        raise Refusal("edit_picture_large", megabytes=MOST_MEGABYTES, megapixels=MOST_MEGAPIXELS)
    try:
        values = read_png(io.BytesIO(data))
        if values.keys() & {"edit", "loras"}:
            return Start(image)
        request = Request(**{one.name: values[one.name] for one in fields(Request) if one.name in values})
    except (TypeError, ValueError):
        return Start(image)
    return Start(image, replace(request, num_images=1), str(values.get("model")))


def fitted(text: Any, side: int, crop: bool) -> tuple[str, Image.Image, str]:
    """(the data URI of a start, its picture, "fitted" or "shrunk" if it is not what was given, else ""). crop: to a square of
    `side` pixels; otherwise a picture keeps its form, and is made small where it is too large to be sent."""
    image, data = read_picture(text)
    side = min(side, MOST_SIDE)
    if crop and image.size != (side, side):
        image, changed = ImageOps.fit(image, (side, side), Image.Resampling.LANCZOS), "fitted"
    elif not crop and max(image.size) > MOST_SIDE:
        image, changed = image.copy(), "shrunk"
        image.thumbnail((MOST_SIDE, MOST_SIDE), Image.Resampling.LANCZOS)
        image = image if min(image.size) >= LEAST_SIDE else ImageOps.fit(image, (MOST_SIDE, LEAST_SIDE))
    elif data.startswith(b"\x89PNG"):
        return text, image, ""
    else:
        changed = ""
    return data_uri(png(image)), image, changed


def read_mask(text: Any, size: tuple[int, int]) -> Image.Image:
    """What was painted: white on black, of the picture's size. Raises Refusal where nothing is marked, or everything."""
    if not text:
        raise Refusal("edit_mask_empty")
    painted, _ = read_picture(text)
    if painted.size != size:
        raise RequestError("mask_size", width=painted.width, height=painted.height, wide=size[0], high=size[1])
    mask = painted.convert("L").point(lambda value: 255 if value >= 128 else 0)
    least, most = mask.getextrema()
    if not most:
        raise Refusal("edit_mask_empty")
    if least:
        raise Refusal("edit_mask_full")
    return mask


def png(image: Image.Image, info: PngInfo | None = None) -> bytes:
    file = io.BytesIO()
    image.save(file, format="PNG", pnginfo=info)
    return file.getvalue()


def difference(before: Image.Image, after: Image.Image) -> tuple[Image.Image, float]:
    """(how far each colour is from what it was, times the gain, the gain): so much that the largest difference is bright, 16 at
    most. A smaller `before` is enlarged."""
    change = np.abs(np.asarray(after, np.float32) - np.asarray(resized(before, after.size), np.float32))
    gain = float(np.clip(255 / max(float(change.max()), 1.0), 1, 16))
    return Image.fromarray((gain * change).round().clip(0, 255).astype(np.uint8)), gain


def mean_difference(before: Image.Image, after: Image.Image) -> float:
    """Of a colour, of 255."""
    return float(np.abs(np.asarray(after, np.float32) - np.asarray(resized(before, after.size), np.float32)).mean())


def resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)


def kept(before: Image.Image, after: Image.Image, mask: Image.Image) -> tuple[int, int]:
    """(how many pixels are outside of the mask, how many of these have changed)."""
    outside = np.asarray(mask) == 0
    changed = (np.asarray(before) != np.asarray(after)).any(axis=-1) & outside
    return int(outside.sum()), int(changed.sum())


# ------------------------------------------------------------------------------------------------------------------- edits


def begin(pipeline: TextToImage, edit: Edit, start: Any, mask: Any = None) -> Job:
    """The edit, checked. start, mask: data URIs. Raises RequestError in every case where something is missing or not allowed,
    but for what only the network's own reading of the words can find."""
    if edit.way not in WAYS:
        raise Refusal("edit_unknown_way", allowed=", ".join(WAYS))
    picture = read_start(start)
    if edit.way == "part":
        return _fill(pipeline, edit, picture.image, read_mask(mask, picture.image.size), {"kind": "inpaint"})
    return {"anew": _anew, "beyond": _beyond, "words": _words, "larger": _larger, "style": _style}[edit.way](
        pipeline, edit, picture
    )


def _request(pipeline: TextToImage, edit: Edit) -> Request:
    """The edited picture's request. Its prompt is taken as it is: places that are added by lot would be others than the
    picture's."""
    steps = whole_number(edit.steps, "steps", 1, MOST_STEPS)
    return pipeline.request(edit.prompt, steps=steps, guidance_scale=edit.guidance, seed=edit.seed, expand_prompt=False)


def _shown(pipeline: TextToImage, previews: Iterator[Preview], place: int = 0, every: int = 1) -> Iterator[Progress]:
    """place: of the picture that is watched, among those that are drawn together. every: how many steps one is decoded."""
    for preview in previews:
        if preview.images is not None:
            yield Progress(preview.index, preview.n, preview.images[place], preview.images[0] if place else None)
        else:
            seen = preview.index % every == 0
            x0 = preview.x0[place : place + 1]
            yield Progress(preview.index, preview.n, pipeline.decode_fast(x0)[0] if seen else None)


def _info(
    pipeline: TextToImage, request: Request, edit: Mapping[str, Any], expanded: str = ""
) -> Callable[[Image.Image], PngInfo]:
    def info(image: Image.Image) -> PngInfo:
        return png_info(request, pipeline.model, pipeline.model_hash, image.size, expanded, edit=edit)

    return info


def _anew(pipeline: TextToImage, edit: Edit, start: Start) -> Job:
    request = _request(pipeline, edit)
    made = img2img.steps_made(request.steps, edit.strength)
    info = _info(pipeline, request, {"kind": "img2img", "strength": edit.strength})

    def run() -> Iterator[Progress]:
        return _shown(pipeline, img2img.stream(pipeline, start.image, request, edit.strength))

    return Job("anew", start.image, None, 2 * made, run, info)


def _beyond(pipeline: TextToImage, edit: Edit, start: Start) -> Job:
    sides = edit.sides if isinstance(edit.sides, (list, tuple)) else ()
    chosen = [side for side in SIDES if side in sides]
    if not chosen:
        raise Refusal("edit_no_sides")
    pixels = whole_number(edit.pixels, "margin", 1, MOST_PIXELS)
    canvas, mask = enlarged(start.image, **dict.fromkeys(chosen, pixels))
    return _fill(pipeline, edit, canvas, mask, {"kind": "outpaint", **dict.fromkeys(chosen, pixels)})


def _fill(
    pipeline: TextToImage, edit: Edit, picture: Image.Image, mask: Image.Image, facts: Mapping[str, Any]
) -> Job:
    feather = whole_number(edit.feather, "feather", 0, MOST_FEATHER)
    request, rounds = _request(pipeline, edit), 1 if pipeline.inpaints else ROUNDS

    def run() -> Iterator[Progress]:
        previews = inpaint.stream(pipeline, picture, mask, request, feather=feather, resample=rounds)
        return _shown(pipeline, previews, every=rounds)

    info = _info(pipeline, request, {**facts, "feather": feather, "resample": rounds})
    return Job(edit.way, picture, mask, 2 * rounds * request.steps, run, info)


def _words(pipeline: TextToImage, edit: Edit, start: Start) -> Job:
    """A picture that says what drew it is drawn again beside the new one; of another one the noise is sought."""
    change = WordChange(weights=read_weights(edit.weights))
    asked = pipeline.request(edit.first, expand_prompt=False)
    pipeline.request(edit.prompt, expand_prompt=False)  # checked as the first one is
    own = start.request if start.model == pipeline.model else None
    drawn = own is not None and own.prompt == asked.prompt
    request = own if own is not None and drawn else replace(asked, guidance_scale=inversion.GUIDANCE)
    changed = replace(request, prompt=edit.prompt)

    def run() -> Iterator[Progress]:
        if drawn:
            previews = prompt_to_prompt.stream(pipeline, request, changed.prompt, change)
        else:
            previews = inversion.stream(pipeline, start.image, request, changed.prompt, change)
        return _shown(pipeline, previews, place=1)

    facts = {
        "kind": "words", "before": request.prompt, "weights": dict(change.weights), "cross_share": change.cross_share,
        "self_share": change.self_share, "drawn_again": drawn,
    }  # fmt: skip
    (expanded,) = pipeline.expanded_prompts(changed)
    info = _info(pipeline, changed, facts, expanded)
    twice = 2 if drawn and SAMPLERS[request.sampler].method == "heun" else 1
    return Job("words", start.image, None, twice * request.steps * (4 if drawn else 7), run, info)


def read_weights(text: Any) -> dict[str, float]:
    """ "red=2, small tree=0.5" as words and weights. Raises Refusal."""
    such = "red=2, house=0.5"
    if not isinstance(text, str) or len(text) > MOST_WORDS:
        raise Refusal("edit_words_wrong", given=repr(text)[:40], such=such)
    weights: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.replace(";", ",").split(","))):
        words, equals, weight = part.partition("=")
        try:
            weights[words.strip()] = float(weight)
        except ValueError:
            equals = ""
        if not equals or not words.strip():
            raise Refusal("edit_words_wrong", given=repr(part)[:40], such=such)
    return weights


def _larger(pipeline: TextToImage, edit: Edit, start: Start) -> Job:
    check_factor(start.image.size, edit.factor)

    def run() -> Iterator[Progress]:
        yield Progress(1, 1, upscale(upscaler(), start.image, edit.factor))

    def info(_: Image.Image) -> PngInfo:
        return edit_info(UPSCALER, zoo.entry(UPSCALER)["sha256"], {"kind": "upscale", "factor": edit.factor})

    return Job("larger", start.image, None, 0, run, info)


@lru_cache(maxsize=1)
def upscaler() -> Upscaler:
    """The shipped one, loaded when it is first needed."""
    return load_upscaler()


def styles_of(model: str | None = None) -> list[str]:
    """The zoo's LoRAs that change how a decoder paints; with the name of a model, its decoder."""
    rows = zoo.manifest()
    return [name for name in loras.shipped(model) if "style" in rows[name]["config"].get("lora", {})]


def _style(pipeline: TextToImage, edit: Edit, start: Start) -> Job:
    styles = styles_of(pipeline.model)
    if not styles:
        raise Refusal("edit_style_none", model=pipeline.model)
    if edit.style not in styles:
        raise Refusal("edit_style_unknown", given=repr(edit.style)[:40], model=pipeline.model, allowed=", ".join(styles))
    weight = weight_of_style(edit.style_weight)

    def run() -> Iterator[Progress]:
        yield Progress(1, 1, restyle(loras.dressed(pipeline, {edit.style: weight}), start.image)[0])

    def info(_: Image.Image) -> PngInfo:
        return edit_info(pipeline.model, pipeline.model_hash, {"kind": "style"}, {edit.style: weight})

    return Job("style", start.image, None, 0, run, info)


def weight_of_style(value: Any) -> float:
    """Raises Refusal for what is no number from -1 to 2."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not loras.WEAKEST <= value <= loras.STRONGEST:
        limits = {"least": f"{loras.WEAKEST:g}", "most": f"{loras.STRONGEST:g}"}
        raise Refusal("edit_style_range", **limits, given=repr(value)[:40])
    return float(value)
