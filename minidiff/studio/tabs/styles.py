"""The tab Styles: LoRAs with their weights, mixed and swept, a visitor's own, and one trained here. What is drawn is decided in
`styling.py`, a training runs in `teaching.py`, and how both look is in `styles_html.py`.

The server keeps nothing: a dropped LoRA is an upload like any other, which is deleted after some minutes.
"""

from __future__ import annotations

import logging
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from minidiff.pipelines import loras
from minidiff.pipelines.request import MAX_SEED, RequestError
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.studio import callbacks, html, lora_picker, styles_html, styling, teaching
from minidiff.studio.labels import label
from minidiff.studio.line import MODEL, Line
from minidiff.studio.models import Models
from minidiff.studio.refusals import Refusal
from minidiff.studio.security import TokenBucket
from minidiff.studio.tabs.compare import MAX_LIST, Stops, numbers
from minidiff.studio.tabs.create import QUIET, example_for, first_example, most_characters
from minidiff.utils.files import write_whole

TEACHING = "teaching"  # the concurrency_id of trainings: one at a time, and pictures are drawn meanwhile
DECODED = 0.1  # tokens of a picture that is only decoded
log = logging.getLogger(__name__)


@dataclass
class Controls:
    """The parts of the tab by name, for wiring and relabelling."""

    prompt: gr.Textbox
    model: gr.Dropdown
    seed: gr.Number
    names: gr.CheckboxGroup
    weights: list[gr.Slider]
    sweep: gr.Textbox
    own: gr.File
    own_info: gr.HTML
    own_weight: gr.Slider
    draw: gr.Button
    draw_sweep: gr.Button
    stop: gr.Button
    notice: gr.HTML
    view: gr.HTML
    teach: gr.Accordion
    pictures: gr.File
    captions: gr.Textbox
    name: gr.Textbox
    minutes: gr.Slider
    teach_begin: gr.Button
    teach_stop: gr.Button
    teach_notice: gr.HTML
    teach_view: gr.HTML

    @property
    def values(self) -> list[Any]:
        """The inputs in the order in which `draw` takes them."""
        return [self.model, self.prompt, self.seed, self.sweep, self.own, self.own_weight, self.names, *self.weights]


def build(models: Models, lang: str) -> Controls:
    """Lays the tab out; call inside a gr.Tab."""
    first = models.first
    parts: dict[str, Any] = {}
    gr.HTML(styles_html.explanation(), elem_id="styles-about", apply_default_css=False)
    parts["prompt"] = gr.Textbox(
        first_example(first.model, lang), label=label("prompt", lang), placeholder=label("prompt_hint", lang), lines=1,
        max_lines=4, max_length=most_characters(first), elem_id="styles-prompt",
    )  # fmt: skip
    words = {"label": label("styles_loras", lang), "info": label("styles_loras_info", lang)}
    parts["names"], parts["weights"] = lora_picker.build(first.model, "styles", words)
    with gr.Row(elem_classes="knobs"):
        parts["model"] = gr.Dropdown(
            models.names, value=first.model, label=label("model", lang), info=label("model_info", lang), filterable=False,
            visible=len(models.names) > 1, elem_id="styles-model",
        )  # fmt: skip
        parts["seed"] = gr.Number(
            42, precision=0, minimum=0, maximum=MAX_SEED, label=label("seed", lang), info=label("seed_info", lang),
            elem_id="styles-seed",
        )  # fmt: skip
        parts["sweep"] = gr.Textbox(
            ", ".join(f"{one:g}" for one in styling.SWEEP), max_length=MAX_LIST, label=label("styles_sweep", lang),
            info=label("styles_sweep_info", lang), elem_id="styles-sweep",
        )  # fmt: skip
    with gr.Row(elem_classes="press"):
        parts["draw"] = gr.Button(
            label("styles_draw", lang), variant="primary", elem_id="styles-draw", scale=3, min_width=120
        )
        parts["draw_sweep"] = gr.Button(label("styles_draw_sweep", lang), elem_id="styles-draw-sweep", scale=2, min_width=110)
        parts["stop"] = gr.Button(label("stop", lang), elem_id="styles-stop", scale=1, min_width=70, interactive=False)
    parts["notice"] = gr.HTML(html.line(html.notice()), elem_id="styles-notice", apply_default_css=False)
    parts["view"] = gr.HTML(styles_html.empty(), elem_id="styles-view", apply_default_css=False)
    parts |= _own(lang)
    parts |= _teaching(lang)
    return Controls(**parts)


def _own(lang: str) -> dict[str, Any]:
    own = gr.File(label=label("styles_own", lang), file_types=[".safetensors"], height=110, elem_id="styles-own")
    info = gr.HTML(f'<p class="why">{html.both("styles_own_info")}</p>', elem_id="styles-own-info", apply_default_css=False)
    weight = gr.Slider(
        loras.WEAKEST, loras.STRONGEST, styling.DEFAULT, step=0.05, label=label("styles_own_weight", lang), visible=False,
        elem_id="styles-own-weight",
    )  # fmt: skip
    return {"own": own, "own_info": info, "own_weight": weight}


def _teaching(lang: str) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    shown = not callbacks.PUBLIC
    with gr.Accordion(label("teach", lang), open=False, visible=shown, elem_id="teach") as parts["teach"]:
        gr.HTML(styles_html.teaching(), elem_id="teach-about", apply_default_css=False)
        pictures = label("teach_pictures_info", lang, least=teaching.LEAST, most=teaching.MOST)
        parts["pictures"] = gr.File(
            label=f"{label('teach_pictures', lang)}: {pictures}", file_count="multiple", file_types=[".png", ".jpg", ".jpeg"],
            height=150, elem_id="teach-pictures",
        )  # fmt: skip
        parts["captions"] = gr.Textbox(
            label=label("teach_captions", lang), info=label("teach_captions_info", lang), elem_id="teach-captions", lines=2,
            placeholder=label("teach_captions_hint", lang), max_lines=12,
        )  # fmt: skip
        with gr.Row(elem_classes="knobs"):
            parts["name"] = gr.Textbox(
                "my-style", label=label("teach_name", lang), info=label("teach_name_info", lang), max_length=40,
                elem_id="teach-name",
            )  # fmt: skip
            parts["minutes"] = gr.Slider(
                teaching.SHORTEST, teaching.LONGEST, 2, step=0.5, label=label("teach_minutes", lang),
                info=label("teach_minutes_info", lang), elem_id="teach-minutes",
            )
        with gr.Row(elem_classes="press"):
            parts["teach_begin"] = gr.Button(
                label("teach_begin", lang), variant="primary", elem_id="teach-begin", scale=3, min_width=120
            )
            parts["teach_stop"] = gr.Button(label("stop", lang), elem_id="teach-stop", scale=1, min_width=70, interactive=False)
        parts["teach_notice"] = gr.HTML(html.line(html.notice()), elem_id="teach-notice", apply_default_css=False)
        parts["teach_view"] = gr.HTML("", elem_id="teach-view", apply_default_css=False)
    return parts


def wire(c: Controls, models: Models, bucket: TokenBucket, line: Line) -> None:
    """Connects what can be pressed with what it does."""
    stops = Stops()

    def run(request: gr.Request, *values: Any, sweep: bool) -> Iterator[tuple[Any, ...]]:
        client, session = request.client.host if request.client else "", str(request.session_hash)
        flag = stops.begin(session)
        try:
            for view in line.watched(draw(models, values, sweep, client, bucket, flag.is_set), session):
                yield updates(view)
        finally:
            stops.end(session)

    def mix(request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        yield from run(request, *values, sweep=False)

    def sweep(request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        yield from run(request, *values, sweep=True)

    def stop(request: gr.Request) -> Any:
        stops.stop(str(request.session_hash))
        return gr.update(interactive=False)

    def choose(name: str, prompt: str, names: list[str], file: str | None) -> list[Any]:
        pipeline, notice = callbacks.find(models, name)
        if pipeline is None:
            return [gr.skip(), gr.skip(), *[gr.skip()] * len(c.weights), html.line(notice)]
        asked = gr.update(max_length=most_characters(pipeline), value=example_for(name, prompt))
        picker = lora_picker.for_model(name, names)
        if file:
            notice = check_own(pipeline, file)
        elif not loras.shipped(name):
            notice = html.notice(html.both("styles_none"))
        return [asked, *picker, html.line(notice)]

    def dropped(file: str | None, model: str) -> tuple[Any, str]:
        if not file:
            return gr.update(visible=False), html.line(html.notice())
        pipeline, notice = callbacks.find(models, model)
        return gr.update(visible=True), html.line(notice if pipeline is None else check_own(pipeline, file))

    waiting = "(...values) => window.minidiff.waitFor('styles-notice', values)"
    for triggers, draws in (([c.draw.click, c.prompt.submit], mix), ([c.draw_sweep.click], sweep)):
        drawing = gr.on(
            triggers, draws, c.values, [c.notice, c.view, c.stop], concurrency_limit=1, concurrency_id=MODEL,
            trigger_mode="once", js=waiting, **QUIET,
        )  # fmt: skip
        drawing.then(None, js="() => window.minidiff.answered()", **QUIET)
    c.stop.click(stop, None, c.stop, queue=False, **QUIET)
    c.names.change(lora_picker.shown, c.names, c.weights, queue=False, **QUIET)
    c.model.input(
        choose, [c.model, c.prompt, c.names, c.own], [c.prompt, c.names, *c.weights, c.notice], concurrency_limit=1,
        concurrency_id=MODEL, **QUIET,
    )  # fmt: skip
    c.own.change(dropped, [c.own, c.model], [c.own_weight, c.notice], concurrency_limit=1, concurrency_id=MODEL, **QUIET)
    _wire_teaching(c, models, line)


def _wire_teaching(c: Controls, models: Models, line: Line) -> None:
    stops = Stops()

    def run(request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        session = str(request.session_hash)
        flag = stops.begin(session)

        def stopped() -> bool:
            return flag.is_set() or callbacks.STOPPING.is_set()

        try:
            with tempfile.TemporaryDirectory(prefix="minidiff-lora-") as folder:  # until gradio has taken the file from there
                for view in line.watched(teach(models, values, stopped), session):
                    file = gr.skip()
                    if view.file:
                        write_whole(Path(folder) / view.file[0], view.file[1])
                        file = str(Path(folder) / view.file[0])
                    running = gr.skip() if view.running is None else gr.update(interactive=view.running)
                    yield html.line(view.notice), gr.skip() if view.view is None else view.view, running, file
        finally:
            stops.end(session)

    def stop(request: gr.Request) -> Any:
        stops.stop(str(request.session_hash))
        return gr.update(interactive=False)

    taught = c.teach_begin.click(
        run, [c.model, c.pictures, c.captions, c.name, c.minutes], [c.teach_notice, c.teach_view, c.teach_stop, c.own],
        concurrency_limit=1, concurrency_id=TEACHING, trigger_mode="once",
        js="(...values) => window.minidiff.waitFor('teach-notice', values)", **QUIET,
    )  # fmt: skip
    taught.then(None, js="() => window.minidiff.answered()", **QUIET)
    c.teach_stop.click(stop, None, c.teach_stop, queue=False, **QUIET)


@dataclass(frozen=True)
class View:
    """What changes on the page; None leaves a part as it is. running: whether Stop can be pressed. file: name and bytes of a
    LoRA that was trained."""

    notice: str
    view: str | None = None
    running: bool | None = None
    file: tuple[str, bytes] | None = None


def updates(view: View) -> tuple[Any, ...]:
    """A View as gradio's updates of notice, pictures and the Stop button."""
    return (
        html.line(view.notice),
        gr.skip() if view.view is None else view.view,
        gr.skip() if view.running is None else gr.update(interactive=view.running),
    )


def check_own(pipeline: TextToImage, file: str) -> str:
    """A notice on a dropped file."""
    try:
        styling.check_file(Path(file), pipeline)
    except RequestError as error:
        return html.notice(html.refusal(error), "bad")
    return html.notice(html.both("own_ready", name=Path(file).name[-60:], model=pipeline.model), "good")


def draw(
    models: Models, values: tuple[Any, ...], sweep: bool, client: str = "", bucket: TokenBucket | None = None,
    stopped: Callable[[], bool] = lambda: False, clock: Callable[[], float] = time.perf_counter,
) -> Iterator[View]:  # fmt: skip
    """Draws without and with the LoRAs, or a sweep of their strengths, and yields what the page shows after each step. Never
    raises. values: those of `Controls.values`."""
    pipeline, notice = callbacks.find(models, values[0])
    if pipeline is None:
        yield View(notice, running=False)
        return
    try:
        yield from _draw(pipeline, values[1:], sweep, client, bucket, stopped, clock)
    except RequestError as error:
        yield View(html.notice(html.refusal(error), "bad"), running=False)
    except Exception:  # the visitor learns that it failed, the log why
        log.exception("drawing with LoRAs failed")
        yield View(html.notice(html.both("broken"), "bad"), running=False)


def _draw(
    pipeline: TextToImage, values: tuple[Any, ...], sweep: bool, client: str, bucket: TokenBucket | None,
    stopped: Callable[[], bool], clock: Callable[[], float],
) -> Iterator[View]:  # fmt: skip
    prompt, seed, strengths, file, own_weight, names, *weights = values
    request = pipeline.request(prompt, seed=callbacks.whole(seed))
    table = lora_picker.chosen(names, weights)
    chosen = styling.choose(pipeline, table, file, own_weight)
    if sweep:  # a weight of 0 is no reason to leave a LoRA out of it
        swept = [*table, *chosen.own]
        cells = styling.sweep_cells(swept, numbers(strengths, float, "0, 0.5, 1"))
        sources = {name: chosen.own.get(name, name) for name in swept}
    elif not chosen.strengths:
        raise Refusal("style_none")
    else:
        cells, sources = styling.mix_cells(chosen.strengths), chosen.sources
    worn = loras.apart(pipeline, sources)
    needed = styling.samplings(worn, cells)
    price = needed * callbacks.cost(1, request.steps, request.sampler) + DECODED * (len(cells) - needed)
    seconds = bucket.wait(client, price) if bucket else 0.0
    if seconds:
        yield View(html.notice(html.both("too_often", seconds=math.ceil(seconds)), "bad"), running=False)
        return
    with callbacks.Bill(bucket, client, price) as bill:
        yield from _pictures(pipeline, worn, request, cells, sweep, stopped, clock, bill)


def _pictures(
    pipeline: TextToImage, worn: loras.LoRAs, request: Any, cells: list[styling.Cell], sweep: bool,
    stopped: Callable[[], bool], clock: Callable[[], float], bill: callbacks.Bill,
) -> Iterator[View]:  # fmt: skip
    start, count, decoded = clock(), 0, False
    view = styles_html.begin(len(cells) if not sweep else sum(cell.row == 0 for cell in cells))
    yield View(html.notice(html.both("waiting")), view, running=True)

    def ends() -> bool:
        return stopped() or callbacks.STOPPING.is_set()

    for state in styling.draw_cells(worn, request, cells, ends, callbacks.MAX_SECONDS, clock):
        if state.drawn is not None:
            cell, decoded = state.drawn.cell, decoded or state.drawn.again
            if sweep and (not count or cell.row != cells[count - 1].row):
                view += styles_html.heading(cell)
            view += styles_html.cell(state.drawn, styling.png(pipeline, request, state.drawn), count, request.seed, sweep)
            count += 1
            bill.drawn = count / len(cells)
        if not state.ended:
            at = {"cell": state.cell + 1, "cells": len(cells), "index": state.index or state.n, "n": state.n}
            taken = {"count": count, "seconds": f"{clock() - start:.1f}"}
            words = html.both("compare_working", **at) if state.n else html.both("compare_done", **taken)
            yield View(html.notice(words), view if state.drawn else None)
            continue
        key = {"stopped": "compare_stopped", "too_long": "compare_too_long"}.get(state.ended, "compare_done")
        seconds: Any = round(callbacks.MAX_SECONDS) if state.ended == "too_long" else f"{clock() - start:.1f}"
        tone = {"too_long": "bad", "stopped": "info"}.get(state.ended, "good")
        said = html.both(key, count=count, seconds=seconds)
        yield View(html.notice(said, tone), view + styles_html.end(decoded), running=False)


def teach(models: Models, values: tuple[Any, ...], stopped: Callable[[], bool], **how: Any) -> Iterator[View]:
    """Trains a LoRA, and yields what the page shows about once a second. Never raises. values: model, pictures, captions, name,
    minutes. how: arguments of `teaching.teach`."""
    model, *rest = values
    if callbacks.PUBLIC:
        yield View(html.notice(html.both("teach_public"), "bad"), running=False)
        return
    pipeline, notice = callbacks.find(models, model)
    if pipeline is None:
        yield View(notice, running=False)
        return
    try:
        asked = teaching.wish(pipeline, *rest)
        yield View(html.notice(html.both("teach_waiting")), "", running=True)
        start, before = time.monotonic(), None
        for state in teaching.teach(pipeline, asked, stopped, **how):
            seconds = time.monotonic() - start
            changed = state.previews is not before or state.step % 5 == 0 or state.ended
            before = state.previews
            yield _learning(asked.name, state, seconds) if changed else View(html.notice(_said(state, seconds)))
    except RequestError as error:
        yield View(html.notice(html.refusal(error), "bad"), running=False)
    except Exception:  # the visitor learns that it failed, the log why
        log.exception("training failed")
        yield View(html.notice(html.both("teach_failed"), "bad"), running=False)


def _said(state: teaching.Learning, seconds: float) -> str:
    if state.ended:
        if state.ended == "failed" or not state.file:
            return html.both("teach_failed" if state.ended == "failed" else "teach_nothing")
        taken = {"seconds": round(seconds)} if state.ended == "done" else {}
        return html.both(f"teach_{state.ended}", step=state.step, **taken)
    if state.steps:
        return html.both("teach_working", step=state.step, n=state.steps, left=round(state.left))
    return html.both("teach_measuring", step=state.step) if state.step else html.both("teach_waiting")


def _learning(name: str, state: teaching.Learning, seconds: float) -> View:
    loss = ""
    if state.before is not None and state.best is not None:
        loss = html.both("teach_loss", before=f"{state.before:.3f}", best=f"{state.best:.3f}")
    captions = [
        (html.both("teach_after", step=step) if step else html.both("styles_without"), image) for step, image in state.previews
    ]
    file = (f"{name}.safetensors", state.file) if state.file else None
    view = styles_html.learning(state.step, state.steps, captions, loss, file)
    tone = {"failed": "bad", "done": "good"}.get(state.ended, "info")
    return View(html.notice(_said(state, seconds), tone), view, False if state.ended else None, file)


def relabel(lang: str) -> dict[str, Any]:
    """Updates that put every control into `lang`, by their names in Controls."""
    pictures = label("teach_pictures_info", lang, least=teaching.LEAST, most=teaching.MOST)
    named: dict[str, dict[str, Any]] = {
        "prompt": {"label": label("prompt", lang), "placeholder": label("prompt_hint", lang)},
        "names": {"label": label("styles_loras", lang), "info": label("styles_loras_info", lang)},
        "sweep": {"label": label("styles_sweep", lang), "info": label("styles_sweep_info", lang)},
        "own": {"label": label("styles_own", lang)},
        "own_weight": {"label": label("styles_own_weight", lang)},
        "draw": {"value": label("styles_draw", lang)},
        "draw_sweep": {"value": label("styles_draw_sweep", lang)},
        "stop": {"value": label("stop", lang)},
        "teach": {"label": label("teach", lang)},
        "pictures": {"label": f"{label('teach_pictures', lang)}: {pictures}"},
        "captions": {
            "label": label("teach_captions", lang), "info": label("teach_captions_info", lang),
            "placeholder": label("teach_captions_hint", lang),
        },
        "teach_begin": {"value": label("teach_begin", lang)},
        "teach_stop": {"value": label("stop", lang)},
    }  # fmt: skip
    for control in ("model", "seed"):
        named[control] = {"label": label(control, lang), "info": label(f"{control}_info", lang)}
    for control in ("name", "minutes"):
        named[control] = {"label": label(f"teach_{control}", lang), "info": label(f"teach_{control}_info", lang)}
    return {name: gr.update(**values) for name, values in named.items()}
