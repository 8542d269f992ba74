"""The tab Compare: grids of pictures that differ in one thing. What is drawn is decided in `comparing.py`, how it looks in
`compare_html.py` and `grid_picture.py`.

The server keeps no picture: the page holds the grid, and its PNG and JSON are links in it.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from minidiff.pipelines.messages import LANGS
from minidiff.pipelines.request import MAX_GUIDANCE, MAX_SEED, MAX_STEPS, RequestError
from minidiff.studio import callbacks, compare_html, grid_picture, html
from minidiff.studio.comparing import (
    KINDS,
    MAX_ROWS,
    Cell,
    Comparison,
    Drawn,
    GridError,
    cells_of,
    draw_cells,
    saved,
    to_json,
)
from minidiff.studio.judged import Judge, shared
from minidiff.studio.labels import SAMPLER_LABELS, VARIANTS, label
from minidiff.studio.line import MODEL, Line
from minidiff.studio.models import Models
from minidiff.studio.security import TokenBucket
from minidiff.studio.tabs.create import QUIET, first_example

MAX_LIST = 200  # characters of a list of numbers
MAX_GRID_FILE = 2_000_000  # bytes
log = logging.getLogger(__name__)

# Which controls a kind of comparison uses, besides kind and prompt.
USED: dict[str, set[str]] = {
    "samplers": {"model", "guidance", "seed", "samplers", "step_counts"},
    "guidance": {"model", "sampler", "steps", "seed", "rows", "scales"},
    "prompts": {"model", "sampler", "steps", "guidance", "seed", "rows"},
    "models": {"seed", "rows", "models"},
    "seeds": {"model", "sampler", "steps", "guidance", "seed", "rows"},
}
KNOBS = ("samplers", "step_counts", "scales", "models", "model", "sampler", "steps", "guidance", "seed", "rows")


@dataclass
class Controls:
    """The parts of the tab by name, for wiring and relabelling."""

    kind: gr.Radio
    about: gr.HTML
    prompt: gr.Textbox
    samplers: gr.CheckboxGroup
    step_counts: gr.Textbox
    scales: gr.Textbox
    models: gr.CheckboxGroup
    model: gr.Dropdown
    sampler: gr.Dropdown
    steps: gr.Slider
    guidance: gr.Slider
    seed: gr.Number
    rows: gr.Slider
    draw: gr.Button
    stop: gr.Button
    load: gr.UploadButton
    notice: gr.HTML
    view: gr.HTML
    lang: gr.Textbox

    @property
    def values(self) -> list[Any]:
        """The inputs in the order in which `make_comparison` takes them."""
        return [self.kind, self.prompt, *(getattr(self, name) for name in KNOBS)]


def build(models: Models, lang: str) -> Controls:
    """Lays the tab out; call inside a gr.Tab."""
    first = models.first
    parts: dict[str, Any] = {}
    parts["kind"] = gr.Radio(
        kinds(lang), value="samplers", label=label("kind", lang), info=label("kind_info", lang), elem_id="compare-kind"
    )
    parts["about"] = gr.HTML(compare_html.explanation("samplers"), elem_id="compare-about", apply_default_css=False)
    parts["prompt"] = gr.Textbox(
        first_example(first.model, lang), label=label("prompt", lang), info=label("compare_prompt_hint", lang), lines=1,
        max_lines=4, elem_id="compare-prompt",
    )  # fmt: skip
    samplers = [(shown, name) for name, shown in SAMPLER_LABELS.items()]
    several = len(models.names) > 1

    def words(name: str) -> dict[str, Any]:
        info = label(INFOS[name], lang) if name in INFOS else None
        return {"label": label(name, lang), "info": info, "visible": name in USED["samplers"], "elem_id": f"compare-{name}"}

    with gr.Row(elem_classes="knobs"):
        parts["samplers"] = gr.CheckboxGroup(samplers, value=["dpmpp_2m", "ddim", "euler_a"], **words("samplers"))
        parts["step_counts"] = gr.Textbox("5, 10, 20", max_length=MAX_LIST, **words("step_counts"))
        parts["scales"] = gr.Textbox("1, 3, 7", max_length=MAX_LIST, **words("scales"))
        parts["models"] = gr.CheckboxGroup(models.names, value=models.names, **words("models"))
        parts["model"] = gr.Dropdown(
            models.names, value=first.model, filterable=False, **words("model") | {"visible": several}
        )
        parts["sampler"] = gr.Dropdown(samplers, value="dpmpp_2m", filterable=False, **words("sampler"))
        parts["steps"] = gr.Slider(1, MAX_STEPS, 20, step=1, precision=0, **words("steps"))
        parts["guidance"] = gr.Slider(0, MAX_GUIDANCE, first.guidance_scale, step=0.1, **words("guidance"))
        parts["seed"] = gr.Number(42, precision=0, minimum=0, maximum=MAX_SEED, **words("seed"))
        parts["rows"] = gr.Slider(1, MAX_ROWS, 2, step=1, precision=0, **words("rows"))
    with gr.Row(elem_classes="press"):
        parts["draw"] = gr.Button(
            label("compare_draw", lang), variant="primary", elem_id="compare-draw", scale=3, min_width=120
        )
        parts["stop"] = gr.Button(label("stop", lang), elem_id="compare-stop", scale=1, min_width=70, interactive=False)
        parts["load"] = gr.UploadButton(
            label("compare_load", lang), file_types=[".png", ".json"], elem_id="compare-load", scale=1, min_width=90
        )
    parts["notice"] = gr.HTML(html.line(html.notice()), elem_id="compare-notice", apply_default_css=False)
    parts["view"] = gr.HTML(compare_html.empty(), elem_id="compare-view", apply_default_css=False)
    parts["lang"] = gr.Textbox(lang, visible=False)  # of the titles in the saved PNG
    return Controls(**parts)


INFOS = {
    "samplers": "samplers_info", "step_counts": "numbers_info", "scales": "numbers_info", "models": "models_info",
    "model": "model_info", "sampler": "sampler_info", "steps": "steps_info", "guidance": "guidance_info",
    "seed": "seed_info", "rows": "rows_info",
}  # fmt: skip


def kinds(lang: str) -> list[tuple[str, str]]:
    return [(label(f"kind_{kind}", lang), kind) for kind in KINDS]


class Stops:
    """Who has pressed Stop, by the page's session. Kept only while a page draws."""

    def __init__(self) -> None:
        self._flags: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    def begin(self, session: str) -> threading.Event:
        with self._lock:
            return self._flags.setdefault(session, threading.Event())

    def end(self, session: str) -> None:
        with self._lock:
            self._flags.pop(session, None)

    def stop(self, session: str) -> None:
        with self._lock:
            if flag := self._flags.get(session):
                flag.set()


@dataclass(frozen=True)
class View:
    """What changes on the page; None leaves a part as it is. running: whether Stop can be pressed."""

    notice: str
    grid: str | None = None
    running: bool | None = None


def wire(c: Controls, models: Models, bucket: TokenBucket, line: Line) -> None:
    """Connects what can be pressed with what it does."""
    judge, stops = shared(), Stops()

    def run(request: gr.Request, lang: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        client, session = request.client.host if request.client else "", str(request.session_hash)
        flag = stops.begin(session)
        try:
            views = draw_grid(models, judge, values, lang, client, bucket, flag.is_set)
            for view in line.watched(views, session):
                yield updates(view)
        finally:
            stops.end(session)

    def stop(request: gr.Request) -> Any:
        stops.stop(str(request.session_hash))
        return gr.update(interactive=False)

    def choose(kind: str, prompt: str, lang: str) -> list[Any]:
        kind = kind if kind in KINDS else "samplers"
        return [compare_html.explanation(kind), example(kind, prompt, lang), *visible(kind, models)]

    def load(path: str | None) -> list[Any]:
        comparison, notice = load_grid(path, models)
        shown = visible(comparison.kind, models) if comparison else [gr.skip()] * len(KNOBS)
        about = compare_html.explanation(comparison.kind) if comparison else gr.skip()
        return [*form(comparison, shown), about, html.line(notice)]

    drawing = gr.on(
        [c.draw.click, c.prompt.submit], run, [c.lang, *c.values], [c.notice, c.view, c.stop],
        concurrency_limit=1, concurrency_id=MODEL, trigger_mode="once",
        js="(...values) => window.minidiff.waitFor('compare-notice', values)", **QUIET,
    )  # fmt: skip
    drawing.then(None, js="() => window.minidiff.answered()", **QUIET)
    c.stop.click(stop, None, c.stop, queue=False, **QUIET)
    knobs = [getattr(c, name) for name in KNOBS]
    c.kind.input(choose, [c.kind, c.prompt, c.lang], [c.about, c.prompt, *knobs], queue=False, **QUIET)
    c.load.upload(load, c.load, [*c.values, c.about, c.notice], **QUIET)


def visible(kind: str, models: Models) -> list[Any]:
    """Updates of KNOBS that show those which a kind uses; one model is no choice."""
    several = len(models.names) > 1
    return [gr.update(visible=name in USED[kind] and (name != "model" or several)) for name in KNOBS]


def example(kind: str, prompt: str, lang: str) -> Any:
    """The prompt for a kind: with alternatives for "prompts", without for the others."""
    braced = isinstance(prompt, str) and "{" in prompt
    if kind == "prompts" and not braced:
        return VARIANTS[lang if lang in LANGS else "en"]
    if kind != "prompts" and braced:
        return re.sub(r"\{([^{}|]*)[^{}]*\}", r"\1", prompt[:4000])
    return gr.skip()


def cost(cell: Cell) -> float:
    """Tokens of a picture of the grid."""
    return callbacks.cost(1, cell.settings.get("steps", 20), cell.settings.get("sampler", ""))


def make_comparison(values: tuple[Any, ...]) -> Comparison:
    """The controls' values as a Comparison. Raises RequestError."""
    kind, prompt, samplers, step_counts, scales, models, model, sampler, steps, guidance, seed, rows = values
    return Comparison(
        kind, prompt, str(model)[:200], sampler, callbacks.whole(steps), guidance, callbacks.whole(seed),
        callbacks.whole(rows), names(samplers), numbers(step_counts, int, "5, 10, 20"), numbers(scales, float, "1, 3, 7.5"),
        names(models),
    )  # fmt: skip


def names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) for one in value):
        raise GridError("grid_names")
    return tuple(value)


def numbers(text: Any, kind: Callable[[str], Any], such: str) -> tuple[Any, ...]:
    """A list such as "5, 10, 20". Raises GridError."""
    try:
        if not isinstance(text, str) or len(text) > MAX_LIST:
            raise ValueError
        return tuple(kind(one) for one in re.split(r"[\s,;]+", text.strip(" ,;\n\t")) if one)
    except ValueError:
        raise GridError("grid_numbers", given=repr(text)[:40], such=such) from None


def draw_grid(
    models: Models, judge: Judge, values: tuple[Any, ...], lang: str = "en", client: str = "",
    bucket: TokenBucket | None = None, stopped: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[View]:  # fmt: skip
    """Draws a grid, and yields what the page shows after each step. Never raises.

    values: the arguments of `make_comparison`.
    """
    try:
        comparison = make_comparison(values)
        cells = cells_of(comparison)
        for name in dict.fromkeys(cell.model for cell in cells):
            models.check(name)
        price = sum(map(cost, cells))
        seconds = bucket.wait(client, price) if bucket else 0.0
        if seconds:
            yield View(html.notice(html.both("too_often", seconds=math.ceil(seconds)), "bad"), running=False)
            return
        with callbacks.Bill(bucket, client, price) as bill:
            yield from _draw_grid(models, judge, comparison, lang if lang in LANGS else "en", stopped, clock, bill)
    except RequestError as error:
        yield View(html.notice(html.refusal(error), "bad"), running=False)
    except Exception:  # the visitor learns that it failed, the log why
        log.exception("comparing failed")
        yield View(html.notice(html.both("broken"), "bad"), running=False)


def _draw_grid(
    models: Models, judge: Judge, comparison: Comparison, lang: str, stopped: Callable[[], bool],
    clock: Callable[[], float], bill: callbacks.Bill,
) -> Iterator[View]:  # fmt: skip
    cells, start = cells_of(comparison), clock()
    drawn: list[Drawn] = []
    grid = compare_html.begin(comparison)
    yield View(html.notice(html.both("waiting")), grid, running=True)
    ended = ""

    def ends() -> bool:
        return stopped() or callbacks.STOPPING.is_set()

    for state in draw_cells(models, cells, judge, ends, callbacks.MAX_SECONDS, clock):
        ended = state.ended
        if state.drawn is not None:
            drawn.append(state.drawn)
            bill.drawn = len(drawn) / len(cells)
            grid += compare_html.cell(comparison, state.drawn)
        if not ended:
            at = {"cell": state.cell + 1, "cells": len(cells), "index": state.index, "n": state.n}
            notice = html.both("compare_working", **at) if state.n else html.both("compare_done", **_taken(drawn, start, clock))
            yield View(html.notice(notice), grid if state.drawn else None)
    file = saved(comparison, drawn)
    if drawn:
        png = grid_picture.png(comparison, drawn, file, lang)
        grid += compare_html.end(png, to_json(file), compare_html.judged(drawn))
    key = {"stopped": "compare_stopped", "too_long": "compare_too_long"}.get(ended, "compare_done")
    said = _taken(drawn, start, clock) if ended != "too_long" else {"seconds": round(callbacks.MAX_SECONDS)}
    tone = {"too_long": "bad", "stopped": "info"}.get(ended, "good")
    yield View(html.notice(html.both(key, **said), tone), grid, running=False)


def _taken(drawn: list[Drawn], start: float, clock: Callable[[], float]) -> dict[str, Any]:
    return {"count": len(drawn), "seconds": f"{clock() - start:.1f}"}


def updates(view: View) -> tuple[Any, ...]:
    """A View as gradio's updates of notice, grid and the Stop button."""
    return (
        html.line(view.notice),
        gr.skip() if view.grid is None else view.grid,
        gr.skip() if view.running is None else gr.update(interactive=view.running),
    )


def load_grid(path: str | None, models: Models) -> tuple[Comparison | None, str]:
    """(the comparison of a saved grid, a notice); None for a file that holds none that can be drawn here."""
    if not path:
        return None, html.notice()
    try:
        comparison = grid_picture.read_grid(path, MAX_GRID_FILE).comparison
        for name in dict.fromkeys(cell.model for cell in cells_of(comparison)):
            models.check(name)
    except RequestError as error:
        return None, html.notice(html.refusal(error), "bad")
    return comparison, html.notice(html.both("grid_loaded"), "good")


def form(comparison: Comparison | None, shown: list[Any]) -> list[Any]:
    """Updates of `Controls.values`, in their order. shown: updates of KNOBS, into which the values go."""
    if comparison is None:
        return [gr.skip()] * (2 + len(KNOBS))
    c = comparison
    values = [
        list(c.samplers), ", ".join(map(str, c.step_counts)), ", ".join(f"{scale:g}" for scale in c.scales), list(c.models),
        c.model, c.sampler, c.steps, c.guidance_scale, c.seed, c.rows,
    ]  # fmt: skip
    return [c.kind, c.prompt, *(update | {"value": value} for update, value in zip(shown, values, strict=True))]


def relabel(lang: str) -> dict[str, Any]:
    """Updates that put every control into `lang`, by their names in Controls."""
    update = gr.update
    named: dict[str, dict[str, Any]] = {
        "kind": {"label": label("kind", lang), "info": label("kind_info", lang), "choices": kinds(lang)},
        "prompt": {"label": label("prompt", lang), "info": label("compare_prompt_hint", lang)},
        "draw": {"value": label("compare_draw", lang)},
        "stop": {"value": label("stop", lang)},
        "load": {"label": label("compare_load", lang)},
        "lang": {"value": lang},
    }
    for name in KNOBS:
        named[name] = {"label": label(name, lang), "info": label(INFOS[name], lang)}
    return {name: update(**values) for name, values in named.items()}
