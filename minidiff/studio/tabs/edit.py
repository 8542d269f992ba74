"""The tab Edit: a picture is made of a picture, in one of six ways. What is done is in `editing.py`, how it looks in
`edit_html.py`.

The server keeps no picture: the page holds the start, the mask and the result, and sends what an edit needs.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from minidiff.models.upscaler import FACTORS
from minidiff.pipelines.loras import STRONGEST, WEAKEST
from minidiff.pipelines.messages import LANGS
from minidiff.pipelines.request import MAX_GUIDANCE, MAX_SEED, RequestError
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.studio import callbacks, edit_html, editing, html
from minidiff.studio.editing import MOST_FEATHER, MOST_PIXELS, MOST_STEPS, MOST_WORDS, SIDES, WAYS, Edit
from minidiff.studio.labels import EDITS, EXAMPLES_OF, LABELS, label
from minidiff.studio.line import MODEL, Line
from minidiff.studio.measured import edit_info
from minidiff.studio.models import Models
from minidiff.studio.refusals import Refusal
from minidiff.studio.security import TokenBucket
from minidiff.studio.tabs.compare import Stops
from minidiff.studio.tabs.create import QUIET, first_example, most_characters

PROMPTS = ("first", "prompt")  # controls that hold an example, which follows the page's language
NOTHING = "data:,none"  # from the page, when no file was chosen
log = logging.getLogger(__name__)

# Which controls a way uses.
USED: dict[str, set[str]] = {
    "anew": {"prompt", "strength", "steps", "guidance", "seed"},
    "part": {"prompt", "feather", "steps", "guidance", "seed"},
    "beyond": {"prompt", "sides", "pixels", "feather", "steps", "guidance", "seed"},
    "words": {"prompt", "weights"},
    "larger": {"factor"},
    "style": {"style", "style_weight"},
}
KNOBS = (
    "strength", "feather", "sides", "pixels", "weights", "factor", "style", "style_weight", "steps", "guidance", "seed"
)  # fmt: skip
INFOS = {
    "strength": "edit_strength_info", "feather": "edit_feather_info", "sides": "edit_sides_info",
    "pixels": "edit_pixels_info", "weights": "edit_weights_info", "factor": "edit_factor_info",
    "style": "edit_style_choice_info", "style_weight": "edit_style_weight_info", "steps": "steps_info",
    "guidance": "guidance_info", "seed": "edit_seed_info",
}  # fmt: skip


@dataclass
class Controls:
    """The parts of the tab by name, for wiring and relabelling."""

    first: gr.Textbox
    first_seed: gr.Number
    model: gr.Dropdown
    draw_first: gr.Button
    upload: gr.Button
    from_create: gr.Button
    first_notice: gr.HTML
    start_view: gr.HTML
    way: gr.Radio
    about: gr.HTML
    prompt: gr.Textbox
    strength: gr.Slider
    feather: gr.Slider
    sides: gr.CheckboxGroup
    pixels: gr.Slider
    weights: gr.Textbox
    factor: gr.Radio
    style: gr.Dropdown
    style_weight: gr.Slider
    steps: gr.Slider
    guidance: gr.Slider
    seed: gr.Number
    go: gr.Button
    stop: gr.Button
    again: gr.Button
    notice: gr.HTML
    view: gr.HTML
    start: gr.Textbox
    given: gr.Textbox
    mask: gr.Textbox
    lang: gr.Textbox

    @property
    def values(self) -> list[Any]:
        """The inputs in the order in which `make_edit` takes them."""
        return [self.way, self.first, self.prompt, *(getattr(self, name) for name in KNOBS)]


def build(models: Models, lang: str) -> Controls:
    """Lays the tab out; call inside a gr.Tab."""
    parts: dict[str, Any] = {}
    with gr.Row(elem_id="edit-layout"):  # the style sheet places these two; on a phone they follow one another
        with gr.Column(elem_id="edit-from", min_width=280):
            parts |= _from(models, lang)
        with gr.Column(elem_id="edit-to", min_width=280):
            parts |= _to(models.first, lang)
    parts["start"], parts["given"], parts["mask"] = (gr.Textbox("", visible=False) for _ in range(3))
    parts["lang"] = gr.Textbox(lang, visible=False)
    return Controls(**parts)


def _from(models: Models, lang: str) -> dict[str, Any]:
    """Where the first picture comes from."""
    pipeline = models.first
    parts: dict[str, Any] = {}
    parts["first"] = gr.Textbox(
        first_prompt("first", pipeline.model, lang), label=label("edit_first", lang), info=label("edit_first_info", lang),
        lines=1, max_lines=4, max_length=most_characters(pipeline), elem_id="edit-first",
    )  # fmt: skip
    with gr.Row(elem_classes="knobs"):
        parts["first_seed"] = gr.Number(
            42, precision=0, minimum=0, maximum=MAX_SEED, label=label("seed", lang), info=label("seed_info", lang),
            elem_id="edit-first-seed",
        )  # fmt: skip
        parts["model"] = gr.Dropdown(
            models.names, value=pipeline.model, label=label("model", lang), info=label("model_info", lang),
            filterable=False, visible=len(models.names) > 1, elem_id="edit-model",
        )  # fmt: skip
    with gr.Row(elem_id="edit-sources"):
        for name in ("draw_first", "upload", "from_create"):
            parts[name] = gr.Button(label(f"edit_{name}", lang), elem_id=f"edit-{name.replace('_', '-')}", min_width=0)
    parts["first_notice"] = gr.HTML(html.line(html.notice()), elem_id="edit-first-notice", apply_default_css=False)
    parts["start_view"] = gr.HTML(edit_html.no_start(), elem_id="edit-start-view", apply_default_css=False)
    return parts


def _to(pipeline: TextToImage, lang: str) -> dict[str, Any]:
    """What is made of it."""
    parts: dict[str, Any] = {}
    parts["way"] = gr.Radio(
        ways(lang), value="anew", label=label("edit_way", lang), info=label("edit_way_info", lang), elem_id="edit-way"
    )
    parts["about"] = gr.HTML(edit_html.explanation("anew"), elem_id="edit-about", apply_default_css=False)
    parts["prompt"] = gr.Textbox(
        first_prompt("anew", pipeline.model, lang), label=label("edit_prompt", lang), info=label("edit_prompt_info", lang),
        lines=1, max_lines=4, max_length=most_characters(pipeline), elem_id="edit-prompt",
    )  # fmt: skip

    def words(name: str) -> dict[str, Any]:
        texts = {"label": label(named(name), lang), "info": edit_info(name, label(INFOS[name], lang), lang)}
        return {**texts, "visible": name in USED["anew"], "elem_id": f"edit-{name.replace('_', '-')}"}

    choices = styles(lang)
    with gr.Row(elem_classes="knobs"):
        parts["strength"] = gr.Slider(0, 1, 0.6, step=0.05, **words("strength"))
        parts["sides"] = gr.CheckboxGroup(sides(lang), value=["right"], **words("sides"))
        parts["pixels"] = gr.Slider(1, MOST_PIXELS, 32, step=1, precision=0, **words("pixels"))
        parts["feather"] = gr.Slider(0, MOST_FEATHER, 2, step=1, precision=0, **words("feather"))
        parts["weights"] = gr.Textbox("", max_length=MOST_WORDS, **words("weights"))
        parts["factor"] = gr.Radio([(f"× {factor}", factor) for factor in FACTORS], value=FACTORS[-1], **words("factor"))
        parts["style"] = gr.Dropdown(choices, value=usual(choices), filterable=False, **words("style"))
        parts["style_weight"] = gr.Slider(WEAKEST, STRONGEST, 0.8, step=0.05, **words("style_weight"))
        parts["steps"] = gr.Slider(1, MOST_STEPS, most_steps(pipeline), step=1, precision=0, **words("steps"))
        parts["guidance"] = gr.Slider(0, MAX_GUIDANCE, pipeline.guidance_scale, step=0.1, **words("guidance"))
        parts["seed"] = gr.Number(7, precision=0, minimum=0, maximum=MAX_SEED, **words("seed"))
    with gr.Row(elem_classes="press"):
        parts["go"] = gr.Button(label("edit_go", lang), variant="primary", elem_id="edit-go", scale=3, min_width=120)
        parts["stop"] = gr.Button(label("stop", lang), elem_id="edit-stop", scale=1, min_width=70, interactive=False)
    parts["notice"] = gr.HTML(html.line(html.notice()), elem_id="edit-notice", apply_default_css=False)
    parts["view"] = gr.HTML(edit_html.empty(), elem_id="edit-view", apply_default_css=False)
    parts["again"] = gr.Button(label("edit_again", lang), elem_id="edit-again", visible=False)
    return parts


def named(name: str) -> str:
    """The label of a knob."""
    return f"edit_{name}" if f"edit_{name}" in LABELS else name


def ways(lang: str) -> list[tuple[str, str]]:
    return [(label(f"edit_way_{way}", lang), way) for way in WAYS]


def sides(lang: str) -> list[tuple[str, str]]:
    return [(label(f"edit_{side}", lang), side) for side in SIDES]


def styles(lang: str) -> list[tuple[str, str]]:
    """All styles, whichever models can paint in them; one that is new in the zoo goes by its name."""
    words = {name: f"edit_style_{name}" for name in editing.styles_of()}
    return [(label(key, lang) if key in LABELS else name, name) for name, key in words.items()]


def usual(choices: list[tuple[str, str]]) -> str | None:
    """The style that is chosen first."""
    names = [name for _, name in choices]
    return "watercolour" if "watercolour" in names else next(iter(names), None)


def most_steps(pipeline: TextToImage) -> int:
    return min(pipeline.steps, MOST_STEPS)


def first_prompt(way: str, model: str, lang: str) -> str:
    """What stands in a prompt when the page opens."""
    return first_example(model, lang) if model in EXAMPLES_OF else EDITS[way][lang]


def example(way: str, prompt: Any, lang: str) -> Any:
    """The example of a way, in the place of another way's."""
    shown = [text for texts in EDITS.values() for text in texts.values()]
    return EDITS[way][lang if lang in LANGS else "en"] if way in EDITS and prompt in shown else prompt


@dataclass(frozen=True)
class View:
    """What changes on the page; None leaves a part as it is. result: HTML. start: the data URI of a picture to start from, and
    its HTML. running: whether Stop can be pressed. finished: there is a result to go on from."""

    notice: str
    result: str | None = None
    start: tuple[str, str] | None = None
    running: bool | None = None
    finished: bool = False


def wire(c: Controls, models: Models, bucket: TokenBucket, line: Line) -> None:
    """Connects what can be pressed with what it does."""
    stops = Stops()
    outputs = [c.view, c.start, c.start_view, c.stop, c.again]  # and before them the notice that is near the button

    def watched(
        request: gr.Request, views: Callable[[str, Callable[[], bool]], Iterator[View]]
    ) -> Iterator[tuple[Any, ...]]:
        client, session = request.client.host if request.client else "", str(request.session_hash)
        flag = stops.begin(session)
        try:
            for view in line.watched(views(client, flag.is_set), session):
                yield updates(view)
        finally:
            stops.end(session)

    def draw(request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        yield from watched(request, lambda client, stopped: draw_first(models, values, client, bucket, stopped))

    def run(request: gr.Request, model: str, start: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        *asked, mask = values

        def views(client: str, stopped: Callable[[], bool]) -> Iterator[View]:
            return apply(models, model, start, mask, tuple(asked), client, bucket, stopped)

        yield from watched(request, views)

    def stop(request: gr.Request) -> Any:
        stops.stop(str(request.session_hash))
        return gr.update(interactive=False)

    def choose(way: str, prompt: str, lang: str) -> list[Any]:
        way = way if way in WAYS else "anew"
        asked = gr.update(value=example(way, prompt, lang), visible="prompt" in USED[way])
        return [edit_html.explanation(way), asked, *visible(way)]  # type: ignore[arg-type]

    def change_model(name: str) -> list[Any]:
        pipeline, notice = callbacks.find(models, name)
        if pipeline is None:
            return [gr.skip()] * 4 + [html.line(notice)]
        most = gr.update(max_length=most_characters(pipeline))
        return [most, most, most_steps(pipeline), pipeline.guidance_scale, html.line(notice)]

    drawing: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": MODEL, "trigger_mode": "once", **QUIET}
    first = gr.on(
        [c.draw_first.click, c.first.submit], draw, [c.model, c.first, c.first_seed], [c.first_notice, *outputs],
        js="(...values) => window.minidiff.waitFor('edit-first-notice', values)", **drawing,
    )  # fmt: skip
    edited = gr.on(
        [c.go.click, c.prompt.submit], run, [c.model, c.start, *c.values, c.mask], [c.notice, *outputs],
        js="(...values) => window.minidiff.edit.go(values)", **drawing,
    )  # fmt: skip
    for event in (first, edited):
        event.then(None, js="() => window.minidiff.answered()", **QUIET)
    c.stop.click(stop, None, c.stop, queue=False, **QUIET)
    sources = ((c.upload, "choose", True, "edit_no_picture", c.first_notice),
               (c.from_create, "fromCreate", False, "edit_nothing_drawn", c.first_notice),
               (c.again, "again", False, "edit_no_result", c.notice))  # fmt: skip
    for button, name, crop, missing, notice in sources:

        def take_it(given: str, model: str, crop: bool = crop, missing: str = missing) -> tuple[Any, ...]:
            return updates(take(models, model, given, crop, missing))

        js = f"async (given, model) => [await window.minidiff.edit.{name}(), model]"
        button.click(take_it, [c.given, c.model], [notice, *outputs], js=js, **QUIET)
    c.way.input(
        choose, [c.way, c.prompt, c.lang], [c.about, c.prompt, *(getattr(c, name) for name in KNOBS)], queue=False,
        js="(way, ...others) => [window.minidiff.edit.way(way), ...others]", **QUIET,
    )  # fmt: skip
    c.model.input(
        change_model, c.model, [c.first, c.prompt, c.steps, c.guidance, c.first_notice],
        concurrency_limit=1, concurrency_id=MODEL, **QUIET,
    )  # fmt: skip


def visible(way: str) -> list[Any]:
    """Updates of KNOBS that show those which a way uses."""
    return [gr.update(visible=name in USED[way]) for name in KNOBS]


def updates(view: View) -> tuple[Any, ...]:
    """A View as gradio's updates of notice, result, start, its picture, the Stop button and the one that goes on."""
    start, shown = view.start or (gr.skip(), gr.skip())
    return (
        html.line(view.notice),
        gr.skip() if view.result is None else view.result,
        start,
        shown,
        gr.skip() if view.running is None else gr.update(interactive=view.running),
        gr.skip() if view.result is None else gr.update(visible=view.finished),
    )


def refused(error: RequestError) -> View:
    return View(html.notice(html.refusal(error), "bad"), running=False)


# ------------------------------------------------------------------------------------------------------------- what is done


def take(models: Models, model: Any, given: Any, crop: bool, missing: str = "edit_no_picture") -> View:
    """A picture that the page has, as the one to start from. Never raises. crop: to a square. missing: said where there is
    none."""
    if given == NOTHING:
        return View(html.notice())
    try:
        if not given:
            raise Refusal(missing)
        side = models.get(model).image_size
        text, image, changed = editing.fitted(given, side, crop)
        words = {"fitted": "edit_fitted", "shrunk": "edit_shrunk"}.get(changed, "edit_taken")
        said = html.both(words, **({"width": image.width, "height": image.height} if changed else {}))
        return View(html.notice(said, "good"), start=(text, edit_html.start(text, image)))
    except RequestError as error:
        return View(html.notice(html.refusal(error), "bad"))
    except Exception:  # the visitor learns that it failed, the log why
        log.exception("a picture could not be taken")
        return View(html.notice(html.both("broken"), "bad"))


def make_edit(values: tuple[Any, ...]) -> Edit:
    """The controls' values as an Edit. Browsers send 20.0 for 20, so whole floats become integers."""
    way, first, prompt, *knobs = values
    given = dict(zip(KNOBS, knobs, strict=True))
    for name in ("feather", "pixels", "factor", "steps", "seed"):
        given[name] = callbacks.whole(given[name])
    return Edit(way, first, prompt, **given)


Steps = Callable[[callbacks.Bill], Iterator[View]]


def charged(price: float, steps: Steps, client: str, bucket: TokenBucket | None) -> Iterator[View]:
    """The views of a drawing, once it is paid for. Raises as `steps`."""
    seconds = bucket.wait(client, price) if bucket else 0.0
    if seconds:
        yield View(html.notice(html.both("too_often", seconds=math.ceil(seconds)), "bad"), running=False)
        return
    with callbacks.Bill(bucket, client, price) as bill:
        yield from steps(bill)


def draw_first(
    models: Models, values: tuple[Any, ...], client: str = "", bucket: TokenBucket | None = None,
    stopped: Callable[[], bool] = lambda: False, clock: Callable[[], float] = time.perf_counter,
) -> Iterator[View]:  # fmt: skip
    """Draws the picture to start from, as Create would, and yields what the page shows after each step. Never raises.

    values: name of the model, prompt, seed.
    """
    name, prompt, seed = values
    try:
        pipeline = models.get(name)
        request = pipeline.request(prompt, seed=callbacks.whole(seed))

        def steps(bill: callbacks.Bill) -> Iterator[View]:
            start = clock()
            yield View(html.notice(html.both("waiting")), running=True)
            for preview in pipeline.stream(request):
                bill.drawn = preview.index / preview.n
                if preview.images is not None:
                    [file] = callbacks.pngs(pipeline, request, preview.images)
                    text, image, _ = editing.fitted(html.data_uri(file), pipeline.image_size, crop=False)
                    said = html.both("done", seconds=f"{clock() - start:.1f}", seed=request.seed)
                    yield View(html.notice(said, "good"), start=(text, edit_html.start(text, image)), running=False)
                    return
                if said := ended(stopped, clock() - start):
                    yield View(said, running=False)
                    return
                yield View(html.notice(html.both("step", index=preview.index, n=preview.n)))

        yield from charged(callbacks.cost(1, request.steps, request.sampler), steps, client, bucket)
    except RequestError as error:
        yield refused(error)
    except Exception:  # the visitor learns that it failed, the log why
        log.exception("drawing a start failed")
        yield View(html.notice(html.both("broken"), "bad"), running=False)


def apply(
    models: Models, name: Any, start: Any, mask: Any, values: tuple[Any, ...], client: str = "",
    bucket: TokenBucket | None = None, stopped: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[View]:  # fmt: skip
    """Makes an edit, and yields what the page shows after each step. Never raises.

    name: of the model. start, mask: data URIs. values: the arguments of `make_edit`.
    """
    try:
        job = editing.begin(models.get(name), make_edit(values), start, mask)
        price = max(1.0, job.evaluations / callbacks.EVALUATIONS)

        def steps(bill: callbacks.Bill) -> Iterator[View]:
            yield from _apply(job, stopped, clock, bill)

        yield from charged(price, steps, client, bucket)
    except RequestError as error:
        yield refused(error)
    except Exception:  # the visitor learns that it failed, the log why
        log.exception("editing failed")
        yield View(html.notice(html.both("broken"), "bad"), edit_html.empty(), running=False)


def _apply(
    job: editing.Job, stopped: Callable[[], bool], clock: Callable[[], float], bill: callbacks.Bill
) -> Iterator[View]:
    start = clock()
    yield View(html.notice(html.both("waiting")), running=True)
    for state in job.run():
        bill.drawn = state.index / state.n
        if state.index == state.n and state.picture is not None:
            after = state.picture
            file = editing.png(after, job.info(after))
            shown = edit_html.result(job.way, state.before or job.before, job.mask, after, file)
            said = html.both("edit_done", seconds=f"{clock() - start:.1f}")
            yield View(html.notice(said, "good"), shown, running=False, finished=True)
            return
        if said := ended(stopped, clock() - start):
            yield View(said, edit_html.empty(), running=False)
            return
        seen = None if state.picture is None else edit_html.step(state.picture, state.index, state.n)
        yield View(html.notice(html.both("edit_working", index=state.index, n=state.n)), seen)


def ended(stopped: Callable[[], bool], seconds: float) -> str:
    """Why a drawing ends here, as a notice; empty where it may go on."""
    if stopped():
        return html.notice(html.both("stopped"))
    said = callbacks.out_of_time(seconds)
    return html.notice(said, "bad") if said else ""


def relabel(lang: str) -> dict[str, Any]:
    """Updates that put every control into `lang`, by their names in Controls."""
    update = gr.update
    named_: dict[str, dict[str, Any]] = {
        "first": {"label": label("edit_first", lang), "info": label("edit_first_info", lang)},
        "first_seed": {"label": label("seed", lang), "info": label("seed_info", lang)},
        "model": {"label": label("model", lang), "info": label("model_info", lang)},
        "way": {"label": label("edit_way", lang), "info": label("edit_way_info", lang), "choices": ways(lang)},
        "prompt": {"label": label("edit_prompt", lang), "info": label("edit_prompt_info", lang)},
        "stop": {"value": label("stop", lang)},
        "lang": {"value": lang},
    }
    for name in ("draw_first", "upload", "from_create", "go", "again"):
        named_[name] = {"value": label(f"edit_{name}", lang)}
    for name in KNOBS:
        named_[name] = {"label": label(named(name), lang), "info": edit_info(name, label(INFOS[name], lang), lang)}
    named_["sides"]["choices"], named_["style"]["choices"] = sides(lang), styles(lang)
    return {name: update(**values) for name, values in named_.items()}
