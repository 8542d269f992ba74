"""Settings that come back: from the text inside a PNG, or from the page's address."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from minidiff.pipelines.loras import strengths_of
from minidiff.pipelines.messages import LANGS
from minidiff.pipelines.png_metadata import read_png
from minidiff.pipelines.request import Request, RequestError
from minidiff.studio import html
from minidiff.studio.callbacks import find, takes_eta
from minidiff.studio.labels import label
from minidiff.studio.models import Models


def from_image(path: str | None, models: Models) -> tuple[Request | None, str | None, str]:
    """(the request that made a PNG, the model if it is one of these, a notice); None when the file does not hold a valid
    one."""
    if not path:
        return None, None, html.notice()
    try:
        values = read_png(path)
        request = Request(**{f.name: values[f.name] for f in fields(Request) if f.name in values})
    except (TypeError, ValueError):  # RequestError is a ValueError
        return None, None, html.notice(html.both("not_ours"), "bad")
    model = values.get("model")
    if model not in models.names:
        return request, None, html.notice(html.both("restored_without_model", model=str(model)[:60]), "bad")
    return request, model, html.notice(html.both("restored"), "good")


def loras_from_image(path: str, model: str) -> tuple[dict[str, float], str]:
    """(strengths of a PNG's LoRAs, a notice): none, and a notice that names them, when the model has not all of them."""
    try:
        found = read_png(path).get("loras") or {}
    except ValueError:
        return {}, ""
    try:
        return strengths_of(found, model), ""
    except RequestError:
        names = ", ".join(map(str, found))[:80] if isinstance(found, dict) else ""
        return {}, html.notice(html.both("restored_without_loras", loras=names), "bad")


def loras_from_link(query: Mapping[str, str], model: str) -> tuple[dict[str, float], str]:
    """(strengths of a link's LoRAs, such as "watercolour:0.8,neon:0.3", a notice): none, and why, when they are not allowed."""
    parts = [part.rpartition(":") for part in query.get("loras", "")[:400].split(",") if part]
    try:
        return strengths_of({name: float(strength) for name, _, strength in parts}, model), ""
    except RequestError as error:
        return {}, html.notice(_bad_link(error), "bad")
    except ValueError:
        return {}, html.notice(html.both("bad_link", reason=""), "bad")


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
    "upsample": ("expand_prompt", _yes),  # in links of older versions
    "expand": ("expand_prompt", _yes),
    "rescale": ("guidance_rescale", float),
}


def from_link(query: Mapping[str, str], own: Mapping[str, Any]) -> tuple[Request | None, str]:
    """(the request a link carries, a notice); None when it carries none, or one that is not allowed. own: the model's
    settings, for what the link leaves out."""
    if not query.get("prompt"):
        return None, html.notice()
    try:
        settings = {field: kind(query[name]) for name, (field, kind) in QUERY.items() if query.get(name)}
        settings = {**own, **settings}
        if not takes_eta(settings["sampler"]):
            settings.pop("eta", None)
        interval = float(query.get("start", 0)), float(query.get("end", 1))
        return Request(guidance_interval=interval, **settings), html.notice()
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
    """The language a link names, if it is one of ours."""
    lang = query.get("lang", "")
    return lang if lang in LANGS else default


def restore(query: Mapping[str, str], models: Models) -> tuple[Request | None, str, str]:
    """(the request a link carries, its model, a notice); None and the first model when anything is not allowed."""
    model = query.get("model") or models.first.model
    try:
        models.check(model)
    except RequestError as error:
        return None, models.first.model, html.notice(_bad_link(error), "bad")
    pipeline, notice = find(models, model)
    if pipeline is None:
        return None, models.first.model, notice
    request, notice = from_link(query, pipeline.own_settings)
    return request, model, notice
