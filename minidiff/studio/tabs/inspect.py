"""The tab Look inside: one drawing opened up. What is looked at is in `looking_inside.py`, how it is shown in `inside_html.py`.

Nothing is kept between two requests: what the page shows, it holds itself.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from minidiff.pipelines.request import MAX_GUIDANCE, MAX_SEED, Request, RequestError
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.studio import callbacks, html, inside_html
from minidiff.studio.labels import label
from minidiff.studio.line import MODEL, Line
from minidiff.studio.looking_inside import look_inside
from minidiff.studio.models import Models
from minidiff.studio.security import TokenBucket
from minidiff.studio.tabs.compare import Stops
from minidiff.studio.tabs.create import QUIET, example_for, first_example, most_characters

MAX_STEPS = 50
COST = 2.0  # pictures that it is charged as: one is drawn, and some twenty are decoded
log = logging.getLogger(__name__)


@dataclass
class Controls:
    """The parts of the tab by name, for wiring and relabelling."""

    prompt: gr.Textbox
    note: gr.HTML
    model: gr.Dropdown
    steps: gr.Slider
    guidance: gr.Slider
    seed: gr.Number
    dice: gr.Button
    open_up: gr.Button
    stop: gr.Button
    notice: gr.HTML
    view: gr.HTML


def build(models: Models, lang: str) -> Controls:
    """Lays the tab out; call inside a gr.Tab."""
    first = models.first
    prompt = gr.Textbox(
        first_example(first.model, lang), label=label("prompt", lang), placeholder=label("prompt_hint", lang),
        lines=1, max_lines=4, max_length=most_characters(first), elem_id="inspect-prompt",
    )
    note = gr.HTML(callbacks.describe(first, prompt.value), elem_id="inspect-note", apply_default_css=False)
    with gr.Row(elem_classes="knobs"):
        model = gr.Dropdown(
            models.names, value=first.model, label=label("model", lang), info=label("model_info", lang),
            filterable=False, visible=len(models.names) > 1, elem_id="inspect-model",
        )  # fmt: skip
        steps = gr.Slider(
            1, MAX_STEPS, 20, step=1, precision=0, label=label("steps", lang), info=label("inspect_steps_info", lang),
            elem_id="inspect-steps",
        )
        guidance = gr.Slider(
            0, MAX_GUIDANCE, first.guidance_scale, step=0.1, label=label("guidance", lang),
            info=label("inspect_guidance_info", lang), elem_id="inspect-guidance",
        )
        seed = gr.Number(
            42, label=label("seed", lang), info=label("inspect_seed_info", lang), precision=0, minimum=0,
            maximum=MAX_SEED, elem_id="inspect-seed",
        )  # fmt: skip
    with gr.Row(elem_classes="press"):
        open_up = gr.Button(label("open_up", lang), variant="primary", elem_id="open-up", scale=3, min_width=120)
        stop = gr.Button(label("stop", lang), elem_id="inspect-stop", scale=1, min_width=70, interactive=False)
        dice = gr.Button(label("dice", lang), elem_id="inspect-dice", scale=1, min_width=90)
    notice = gr.HTML(html.line(html.notice()), elem_id="inspect-notice", apply_default_css=False)
    view = gr.HTML(inside_html.empty(), elem_id="inspect-view", apply_default_css=False)
    return Controls(prompt, note, model, steps, guidance, seed, dice, open_up, stop, notice, view)


def wire(c: Controls, models: Models, bucket: TokenBucket, line: Line) -> None:
    """Connects what can be pressed with what it does."""
    stops = Stops()

    def run(request: gr.Request, *values: Any) -> Iterator[tuple[Any, Any, Any]]:
        client, session = request.client.host if request.client else "", str(request.session_hash)
        flag = stops.begin(session)
        button: Any = gr.update(interactive=True)  # once: a later step may reach the page after Stop was pressed
        try:
            views = open_up(models, values, client, bucket, stopped=flag.is_set)
            for notice, view in line.watched(views, session):
                yield html.line(notice), gr.skip() if view is None else view, button
                button = gr.skip()
            yield gr.skip(), gr.skip(), gr.update(interactive=False)
        finally:
            stops.end(session)

    def stop(request: gr.Request) -> Any:
        stops.stop(str(request.session_hash))
        return gr.update(interactive=False)

    def choose(name: str, prompt: str) -> list[Any]:
        pipeline, notice = callbacks.find(models, name)
        if pipeline is None:
            return [gr.skip(), gr.skip(), html.line(notice)]
        asked = gr.update(max_length=most_characters(pipeline), value=example_for(name, prompt))
        return [asked, pipeline.guidance_scale, html.line(notice)]

    opened = gr.on(
        [c.open_up.click, c.prompt.submit], run, [c.model, c.prompt, c.seed, c.steps, c.guidance], [c.notice, c.view, c.stop],
        concurrency_limit=1, concurrency_id=MODEL, trigger_mode="once",
        js="(...values) => window.minidiff.waitFor('inspect-notice', values)", **QUIET,
    )  # fmt: skip
    opened.then(None, js="() => window.minidiff.answered()", **QUIET)
    c.model.input(
        choose, [c.model, c.prompt], [c.prompt, c.guidance, c.notice], concurrency_limit=1, concurrency_id=MODEL, **QUIET
    )
    describe = partial(callbacks.describe_with, models)
    gr.on([c.prompt.change, c.model.change], describe, [c.model, c.prompt], c.note, queue=False,
          trigger_mode="always_last", **QUIET)  # fmt: skip
    c.stop.click(stop, None, c.stop, queue=False, **QUIET)
    c.dice.click(callbacks.new_seed, None, c.seed, queue=False, **QUIET)


def open_up(
    models: Models, values: tuple[Any, ...], client: str = "", bucket: TokenBucket | None = None,
    clock: Callable[[], float] = time.perf_counter, stopped: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[str, str | None]]:  # fmt: skip
    """Looks inside, and yields (the notice, the view or None to leave it as it is). Never raises.

    values: name of the model, prompt, seed, steps, guidance scale. stopped: asked after each step.
    """
    pipeline, notice = callbacks.find(models, values[0])
    if pipeline is None:
        yield notice, None
        return
    try:
        yield from _open_up(pipeline, values[1:], client, bucket, clock, stopped)
    except RequestError as error:
        yield html.notice(html.refusal(error), "bad"), None
    except Exception:  # the visitor learns that it failed, the log why
        log.exception("looking inside failed")
        yield html.notice(html.both("broken"), "bad"), None


def _open_up(
    pipeline: TextToImage, values: tuple[Any, ...], client: str, bucket: TokenBucket | None, clock: Callable[[], float],
    stopped: Callable[[], bool],
) -> Iterator[tuple[str, str | None]]:  # fmt: skip
    prompt, seed, steps, guidance = values
    whole = callbacks.whole(steps)
    if isinstance(whole, int) and whole > MAX_STEPS:
        raise RequestError("steps", given=whole, least=1, most=MAX_STEPS)
    request = pipeline.request(prompt, seed=callbacks.whole(seed), steps=whole, guidance_scale=guidance)
    seconds = bucket.wait(client, COST) if bucket else 0.0
    if seconds:
        yield html.notice(html.both("too_often", seconds=math.ceil(seconds)), "bad"), None
        return
    with callbacks.Bill(bucket, client, COST) as bill:
        yield from _shown(pipeline, request, clock, bill, stopped)


def _shown(
    pipeline: TextToImage, request: Request, clock: Callable[[], float], bill: callbacks.Bill, stopped: Callable[[], bool]
) -> Iterator[tuple[str, str | None]]:
    start = clock()
    yield inside_html.progress(), None
    for state in look_inside(pipeline, request):
        bill.drawn = state.index / state.n
        if state.inside is not None:
            view = inside_html.page(pipeline, state.inside)
            yield html.notice(html.both("inside_done", seconds=f"{clock() - start:.1f}"), "good"), view
        elif stopped():
            yield html.notice(html.both("stopped")), None
            return
        elif said := callbacks.out_of_time(clock() - start):
            yield html.notice(said, "bad"), None
            return
        else:
            yield inside_html.progress(state), None


def relabel(lang: str) -> dict[str, Any]:
    """Updates that put every control into `lang`, by their names in Controls."""
    update = gr.update
    named: dict[str, dict[str, Any]] = {
        "prompt": {"label": label("prompt", lang), "placeholder": label("prompt_hint", lang)},
        "model": {"label": label("model", lang), "info": label("model_info", lang)},
        "open_up": {"value": label("open_up", lang)},
        "stop": {"value": label("stop", lang)},
        "dice": {"value": label("dice", lang)},
    }
    for name in ("steps", "guidance", "seed"):
        named[name] = {"label": label(name, lang), "info": label(f"inspect_{name}_info", lang)}
    return {name: update(**values) for name, values in named.items()}
