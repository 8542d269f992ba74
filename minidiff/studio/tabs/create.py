"""The tab Create: a sentence in, images out, and every step on the way.

What the buttons do is in `callbacks.py`, how results look in `html.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from minidiff.diffusion.samplers import SAMPLERS
from minidiff.pipelines.loras import shipped
from minidiff.pipelines.request import MAX_CHARACTERS, MAX_GUIDANCE, MAX_IMAGES, MAX_SEED, MAX_STEPS, Request
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.studio import callbacks, html, lora_picker, restore
from minidiff.studio.callbacks import View
from minidiff.studio.judged import shared
from minidiff.studio.labels import EXAMPLES, EXAMPLES_OF, SAMPLER_LABELS, examples, label
from minidiff.studio.line import MODEL, Line
from minidiff.studio.measured import info
from minidiff.studio.models import Models
from minidiff.studio.security import TokenBucket

MEASURED = ("sampler", "steps", "guidance", "images", "eta", "expand_prompt", "start", "end", "rescale")  # `benchmarks.knobs`
TYPED = "() => window.minidiff.typed()"
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


@dataclass
class Controls:
    """The parts of the tab by name, for wiring and relabelling."""

    prompt: gr.Textbox
    note: gr.HTML
    typing: gr.Checkbox
    typed: gr.Button
    draw: gr.Button
    stop: gr.Button
    notice: gr.HTML
    model: gr.Dropdown
    settings: gr.Accordion
    negative: gr.Textbox
    sampler: gr.Dropdown
    steps: gr.Slider
    guidance: gr.Slider
    seed: gr.Number
    dice: gr.Button
    recycle: gr.Button
    randomise: gr.Checkbox
    images: gr.Slider
    eta: gr.Slider
    expand_prompt: gr.Checkbox
    loras: gr.CheckboxGroup
    lora_weights: list[gr.Slider]
    advanced: gr.Accordion
    start: gr.Slider
    end: gr.Slider
    rescale: gr.Slider
    load_image: gr.UploadButton
    copy_link: gr.Button
    examples: list[gr.Button]
    stage: gr.HTML
    results: gr.HTML
    recall: gr.Button
    used_seed: gr.State

    @property
    def values(self) -> list[Any]:
        """The inputs in the order in which `callbacks.make_request` takes them."""
        return [
            self.prompt, self.negative, self.sampler, self.steps, self.guidance, self.seed, self.images, self.eta,
            self.expand_prompt, self.start, self.end, self.rescale,
        ]  # fmt: skip


def build(models: Models, lang: str) -> Controls:
    """Lays the tab out; call inside a gr.Blocks."""
    parts: dict[str, Any] = {"used_seed": gr.State(42)}
    with gr.Row(elem_id="layout"):  # the style sheet places these three; on a phone they follow one another
        with gr.Column(elem_id="ask", min_width=280):
            parts |= _request(models, lang)
        with gr.Column(elem_id="see", min_width=280):
            parts["stage"] = gr.HTML(html.stage(), elem_id="stage", apply_default_css=False)
            parts["results"] = gr.HTML("", elem_id="results", apply_default_css=False)
            gr.HTML(html.history(shipped()), elem_id="history", apply_default_css=False)
            parts["recall"] = gr.Button("", elem_id="recall", visible="hidden")  # what the history's pictures press
        with gr.Column(elem_id="more", min_width=280):
            parts |= _examples(models.first)
            parts["model"] = gr.Dropdown(
                models.names, value=models.first.model, label=label("model", lang), info=label("model_info", lang),
                filterable=False, visible=len(models.names) > 1, elem_id="model",
            )  # fmt: skip
            parts |= _settings(models.first, lang)
    return Controls(**parts)


def first_example(model: str, lang: str) -> str:
    """What stands in the prompt when the page opens."""
    return examples(model)[1 if lang == "vi" else 0]


def example_for(model: str, prompt: str) -> str:
    """The prompt; in place of another model's example, the one of this model at the same place."""
    known = (texts.index(prompt) for texts in (EXAMPLES, *EXAMPLES_OF.values()) if prompt in texts)
    place = next(known, None)
    return prompt if place is None else examples(model)[place]


def most_characters(pipeline: TextToImage) -> int:
    return pipeline.max_characters or MAX_CHARACTERS


def _request(models: Models, lang: str) -> dict[str, Any]:
    pipeline = models.first
    prompt = gr.Textbox(
        value=first_example(pipeline.model, lang),
        label=label("prompt", lang),
        placeholder=label("prompt_hint", lang),
        lines=1,
        max_lines=4,
        max_length=most_characters(pipeline),
        elem_id="prompt",
        autofocus=True,
    )
    note = gr.HTML(elem_id="note", apply_default_css=False)
    with gr.Row():
        draw = gr.Button(label("draw", lang), variant="primary", elem_id="draw", min_width=120)
        stop = gr.Button(label("stop", lang), elem_id="stop", min_width=80, interactive=False)
    typing = gr.Checkbox(
        False, label=label("typing", lang), info=label("typing_info", lang), visible=bool(models.quick), elem_id="typing"
    )
    typed = gr.Button("", elem_id="typed", visible="hidden")  # what a pause in the typing presses
    notice = gr.HTML(html.notice(), elem_id="notice", apply_default_css=False)
    return {
        "prompt": prompt, "note": note, "draw": draw, "stop": stop, "typing": typing, "typed": typed, "notice": notice,
    }  # fmt: skip


def _examples(pipeline: TextToImage) -> dict[str, Any]:
    gr.HTML(f'<p class="eyebrow">{html.both("examples")}</p>', apply_default_css=False, elem_id="examples-title")
    with gr.Row(elem_id="examples"):
        return {"examples": [gr.Button(text, size="sm", min_width=0) for text in examples(pipeline.model)]}


def _settings(pipeline: TextToImage, lang: str) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    with gr.Accordion(label("settings", lang), open=False, elem_id="settings") as parts["settings"]:
        parts["negative"] = gr.Textbox(
            label=label("negative", lang), placeholder=label("negative_hint", lang),
            max_length=most_characters(pipeline), lines=1, max_lines=3, elem_id="negative",
        )
        parts["sampler"] = gr.Dropdown(
            [(shown, name) for name, shown in SAMPLER_LABELS.items()], value="dpmpp_2m", label=label("sampler", lang),
            info=info("sampler", lang), filterable=False, elem_id="sampler",
        )
        parts["steps"] = gr.Slider(
            1, MAX_STEPS, 20, step=1, precision=0, label=label("steps", lang), info=info("steps", lang),
            elem_id="steps",
        )
        parts["guidance"] = gr.Slider(
            0, MAX_GUIDANCE, pipeline.guidance_scale, step=0.1, label=label("guidance", lang),
            info=info("guidance", lang), elem_id="guidance",
        )
        parts["images"] = gr.Slider(
            1, MAX_IMAGES, 1, step=1, precision=0, label=label("images", lang), info=info("images", lang), elem_id="images"
        )
        parts["expand_prompt"] = gr.Checkbox(
            True, label=label("expand_prompt", lang), info=info("expand_prompt", lang), elem_id="expand-prompt"
        )
        words = {"label": label("loras", lang), "info": label("loras_info", lang)}
        parts["loras"], parts["lora_weights"] = lora_picker.build(pipeline.model, "create", words)
        parts["seed"] = gr.Number(
            42, precision=0, minimum=0, maximum=MAX_SEED, label=label("seed", lang), info=label("seed_info", lang),
            elem_id="seed",
        )
        with gr.Row(elem_id="seedtools"):
            parts["dice"] = gr.Button(label("dice", lang), size="sm", min_width=100, elem_id="dice")
            parts["recycle"] = gr.Button(label("recycle", lang), size="sm", min_width=100, elem_id="recycle")
        parts["randomise"] = gr.Checkbox(False, label=label("randomise", lang), elem_id="randomise")
        with gr.Accordion(label("advanced", lang), open=False, elem_id="advanced") as parts["advanced"]:
            for name, value in (("eta", 0), ("start", 0), ("end", 1), ("rescale", 0)):
                parts[name] = gr.Slider(
                    0, 1, value, step=0.05, label=label(name, lang), info=info(name, lang), elem_id=name
                )
        gr.HTML(html.about_figures(), elem_id="measured-about", apply_default_css=False)
    with gr.Row(elem_id="tools"):
        parts["load_image"] = gr.UploadButton(
            label("load_image", lang), size="sm", file_types=[".png"], elem_id="load-image", min_width=100
        )
        parts["copy_link"] = gr.Button(label("copy_link", lang), size="sm", elem_id="copy-link", min_width=100)
    return parts


def wire(controls: Controls, models: Models, bucket: TokenBucket, line: Line) -> None:
    """Connects what can be pressed with what it does."""
    _wire_generation(controls, models, bucket, line)
    _wire_model(controls, models)
    c = controls
    c.sampler.input(own_eta, c.sampler, c.eta, queue=False, **QUIET)
    c.sampler.change(
        lambda name: gr.update(interactive=callbacks.takes_eta(name)), c.sampler, c.eta, queue=False, **QUIET
    )
    c.dice.click(callbacks.new_seed, None, c.seed, queue=False, **QUIET)
    c.recycle.click(lambda seed: (seed, False), c.used_seed, [c.seed, c.randomise], queue=False, **QUIET)
    c.load_image.upload(
        lambda path: _load_image(path, models), c.load_image,
        [*c.values, c.model, c.randomise, c.notice, c.loras, *c.lora_weights], **QUIET,
    )  # fmt: skip
    c.loras.change(lora_picker.shown, c.loras, c.lora_weights, queue=False, **QUIET)
    c.copy_link.click(
        lambda *_: html.notice(html.both("link_copied"), "good"), [*c.values, c.model, c.loras, *c.lora_weights], c.notice,
        queue=False, js=f"(...values) => window.minidiff.copyLink({json.dumps(shipped())}, ...values)", **QUIET,
    )  # fmt: skip


def own_eta(sampler: str) -> float:
    """The eta that a sampler has unless another is chosen."""
    return SAMPLERS[sampler].eta if sampler in SAMPLERS else 0.0


def _wire_model(c: Controls, models: Models) -> None:
    """Choosing a model loads it and brings its own settings and examples; the note is about what it can read. To draw as one
    types is to choose the quick one."""

    def choose(name: str, prompt: str, loras: list[str]) -> list[Any]:
        pipeline, notice = callbacks.find(models, name)
        if pipeline is None:
            return [gr.skip()] * (len(changed) - 1) + [notice]
        most = most_characters(pipeline)
        asked = gr.update(max_length=most, value=example_for(name, prompt))
        picker = lora_picker.for_model(name, loras)
        return [asked, gr.update(max_length=most), *pipeline.own_settings.values(), *picker, notice]

    def tick(typing: bool, name: str, prompt: str, loras: list[str]) -> list[Any]:
        if not typing or name == models.quick:
            return [gr.skip()] * (1 + len(changed))
        return [models.quick, *choose(models.quick, prompt, loras)]

    describe = partial(callbacks.describe_with, models)
    changed = [c.prompt, c.negative, c.sampler, c.steps, c.guidance, c.loras, *c.lora_weights, c.notice]
    chosen = c.model.input(
        choose, [c.model, c.prompt, c.loras], changed, concurrency_limit=1, concurrency_id=MODEL, **QUIET
    )
    c.model.change(examples, c.model, c.examples, queue=False, **QUIET)
    ticked = c.typing.input(
        tick, [c.typing, c.model, c.prompt, c.loras], [c.model, *changed], concurrency_limit=1, concurrency_id=MODEL, **QUIET
    )
    for event in (chosen, ticked):
        event.then(describe, [c.model, c.prompt], c.note, queue=False, **QUIET).then(None, js=TYPED, **QUIET)
    c.prompt.change(describe, [c.model, c.prompt], c.note, queue=False, trigger_mode="always_last", **QUIET)


def _wire_generation(c: Controls, models: Models, bucket: TokenBucket, line: Line) -> None:
    def draw(typed: bool, request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        client = request.client.host if request.client else ""
        asked, (model, randomise, names, *weights) = values[: len(c.values)], values[len(c.values) :]
        strengths = lora_picker.chosen(names, weights)
        views = callbacks.generate_with(
            models, model, asked, bool(randomise), client, bucket, loras=strengths, typed=typed,
            judge=None if typed else shared(),
        )  # fmt: skip
        for view in line.watched(views, request.session_hash):
            yield updates(view)

    def run(request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        yield from draw(False, request, *values)

    def run_typed(request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        yield from draw(True, request, *values)

    outputs = [c.stage, c.results, c.notice, c.seed, c.used_seed, c.stop]
    asked = [*c.values, c.model, c.randomise, c.loras, *c.lora_weights]
    one_at_a_time: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": MODEL, **QUIET}
    waiting = "(...values) => window.minidiff.waiting(...values)"
    running = [
        gr.on([c.draw.click, c.prompt.submit], run, asked, outputs, trigger_mode="once", js=waiting, **one_at_a_time),
        c.typed.click(run_typed, asked, outputs, trigger_mode="always_last", **one_at_a_time),
    ]
    # a refusal leaves the stage as it was
    running[0].then(None, js="() => { window.minidiff.answered(); window.minidiff.remember(); }", **QUIET)
    recalled = [*c.values, c.model, c.randomise, c.results, c.notice, c.loras, *c.lora_weights]
    c.recall.click(None, None, recalled, queue=False, js="() => window.minidiff.recall()", **QUIET)
    for button in c.examples:
        # the button's own words, not those of the page's language
        button.click(lambda text: text, button, c.prompt, queue=False, **QUIET).then(None, js=TYPED, **QUIET)
    c.stop.click(
        lambda: (gr.update(interactive=False), html.notice(html.both("stopped"))), None, [c.stop, c.notice],
        cancels=running, queue=False, **QUIET,
    )


def updates(view: View) -> tuple[Any, ...]:
    """A View as gradio's updates of stage, results, notice, seed, used seed and the Stop button."""
    return (
        *(gr.skip() if part is None else part for part in (view.stage, view.results, view.notice)),
        gr.skip() if view.seed is None else view.seed,
        gr.skip() if view.seed is None else view.seed,
        gr.skip() if view.running is None else gr.update(interactive=view.running),
    )


def control_values(request: Request | None) -> list[Any]:
    """Updates of `Controls.values`, in their order; none when there is no request."""
    if request is None:
        return [gr.skip()] * 12
    eta = own_eta(request.sampler) if request.eta is None else request.eta
    return [
        request.prompt, request.negative_prompt, request.sampler, request.steps, request.guidance_scale, request.seed,
        request.num_images, eta, request.expand_prompt, *request.guidance_interval, request.guidance_rescale,
    ]  # fmt: skip


def _load_image(path: str | None, models: Models) -> list[Any]:
    request, model, notice = restore.from_image(path, models)
    if request is None:
        return [*control_values(None), gr.skip(), gr.skip(), notice, gr.skip(), *[gr.skip()] * len(shipped())]
    strengths, missing = restore.loras_from_image(str(path), model) if model else ({}, "")
    picker = lora_picker.for_model(model, list(strengths), strengths) if model else [[], *lora_picker.shown([])]
    return [*control_values(request), model or gr.skip(), False, missing or notice, *picker]


def relabel(lang: str) -> dict[str, Any]:
    """Updates that put every control into `lang`, by their names in Controls."""
    update = gr.update
    named: dict[str, dict[str, Any]] = {
        "prompt": {"label": label("prompt", lang), "placeholder": label("prompt_hint", lang)},
        "negative": {"label": label("negative", lang), "placeholder": label("negative_hint", lang)},
        "settings": {"label": label("settings", lang)},
        "advanced": {"label": label("advanced", lang)},
    }
    named["randomise"] = {"label": label("randomise", lang)}
    for name in ("model", "seed", *MEASURED):
        named[name] = {"label": label(name, lang), "info": info(name, lang)}
    named["loras"] = {"label": label("loras", lang), "info": label("loras_info", lang)}
    named["typing"] = {"label": label("typing", lang), "info": label("typing_info", lang)}
    for name in ("draw", "stop", "dice", "recycle", "copy_link"):
        named[name] = {"value": label(name, lang)}
    named["load_image"] = {"label": label("load_image", lang)}
    return {name: update(**values) for name, values in named.items()}
