"""The page, its one public function for programs, and the server that shows it. Each tab has a file in `tabs/`."""

from __future__ import annotations

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before gradio is imported, or it would report to its makers

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.messages import LANGS
from minidiff.pipelines.request import Request, RequestError
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pipelines.zoo_rows import sampling_models
from minidiff.studio import callbacks, html, restore, security
from minidiff.studio.labels import example_in, label
from minidiff.studio.models import Models, warm
from minidiff.studio.tabs import compare, create, inspect
from minidiff.studio.theme import css, head, theme

TABS: dict[str, Any] = {"create": create, "inspect": inspect, "compare": compare}  # each has build, wire and relabel
NAMES = {"en": "English", "vi": "Tiếng Việt"}


def build(
    pipeline: TextToImage,
    lang: str = "en",
    others: Sequence[str] = (),
    load: Callable[[str], TextToImage] = load_pipeline,
) -> gr.Blocks:
    """The whole page, ready for `launch`. others: models that may be chosen besides the given one, names that `load`
    knows."""
    models = Models(pipeline, others, load)
    bucket = security.TokenBucket(burst=12, rate=0.5)
    blocks = gr.Blocks(title=label("title", lang), analytics_enabled=False, delete_cache=(300, 600))
    with blocks:
        with gr.Row(elem_id="top"):
            gr.HTML(html.header(), apply_default_css=False)
            language = gr.Radio(
                [(name, code) for code, name in NAMES.items()], value=lang, label=label("language", lang),
                show_label=False, container=False, elem_id="language", scale=0, min_width=200,
            )
        built = []
        for name, module in TABS.items():
            with gr.Tab(label(name, lang), id=name, elem_id=f"tab-{name}") as tab:
                controls = module.build(models, lang)
            module.wire(controls, models, bucket)
            built.append((name, tab, controls))
        _wire_language(language, built)
        _wire_load(blocks, built[0][2], language, models, lang)
        _public_function(models, bucket)
    blocks.queue(max_size=16, default_concurrency_limit=4)
    return blocks


def _wire_language(language: gr.Radio, built: list[tuple[str, gr.Tab, Any]]) -> None:
    """built: name, tab and controls of each of TABS."""
    outputs: list[Any] = []
    for name, tab, controls in built:
        outputs += [tab, *(getattr(controls, part) for part in TABS[name].relabel("en"))]

    def switch(lang: str, *prompts: str) -> list[Any]:
        lang = lang if lang in LANGS else "en"
        updates: list[Any] = []
        for (name, _, _), prompt in zip(built, (None, *prompts), strict=True):
            relabelled = TABS[name].relabel(lang)
            if (other := example_in(prompt, lang)) != prompt:
                relabelled["prompt"] = relabelled["prompt"] | {"value": other}
            updates += [gr.update(label=label(name, lang)), *relabelled.values()]
        return updates

    prompts = [controls.prompt for _, _, controls in built[1:]]  # that of Create is set when the page opens
    speak = "(lang, ...prompts) => [window.minidiff.speak(lang), ...prompts]"
    language.change(switch, [language, *prompts], outputs, queue=False, js=speak, **create.QUIET)


def _wire_load(
    blocks: gr.Blocks, controls: create.Controls, language: gr.Radio, models: Models, lang: str
) -> None:
    """When the page opens: the settings that its link carries, the language, and the note under the prompt."""

    def open_page(request: gr.Request, prompt: str) -> list[Any]:
        query = dict(request.query_params)
        settings, model, notice = restore.restore(query, models)
        shown = restore.link_language(query, lang)
        values = create.control_values(settings)
        if settings is None and (shown, model) != (lang, models.first.model):
            values[0] = create.first_example(model, shown)
        note = callbacks.describe(models.get(model), settings.prompt if settings else prompt)
        return [*values, model, notice, note, shown]

    outputs = [*controls.values, controls.model, controls.notice, controls.note, language]
    blocks.load(open_page, controls.prompt, outputs, queue=False, **create.QUIET)


def _public_function(models: Models, bucket: security.TokenBucket) -> None:
    """`/generate`, the one thing a program may call: images as data URIs of PNG files."""

    def generate(
        prompt: str,
        negative_prompt: str = "",
        sampler: str = "dpmpp",
        steps: int = 20,
        guidance_scale: float | None = None,
        seed: int = 42,
        num_images: int = 1,
        eta: float | None = None,
        model: str = models.first.model,
        expand_prompt: bool = True,
        guidance_interval: list[float] | None = None,
        guidance_rescale: float = 0.0,
        request: gr.Request | None = None,
    ) -> list[str]:
        client = request.client.host if request is not None and request.client else ""
        try:
            models.check(model)
            scale = models.first.guidance_scale if guidance_scale is None else guidance_scale
            interval: Any = (0.0, 1.0) if guidance_interval is None else guidance_interval
            settings = Request(
                prompt, negative_prompt, sampler, steps, scale, seed, num_images, eta, expand_prompt, interval,
                guidance_rescale,
            )  # fmt: skip
            seconds = bucket.wait(client)
            if seconds:
                raise gr.Error(label("too_often", "en", seconds=round(seconds + 0.5)), print_exception=False)
            pipeline = models.get(model)
            if guidance_scale is None:
                settings = replace(settings, guidance_scale=pipeline.guidance_scale)
            images = callbacks.finish(pipeline, settings)
            return [html.data_uri(png) for png in callbacks.pngs(pipeline, settings, images)]
        except (RequestError, TimeoutError) as error:
            raise gr.Error(str(error), print_exception=False) from None

    gr.api(generate, api_name="generate", concurrency_limit=1, concurrency_id="model")


def launch(blocks: gr.Blocks, host: str, port: int, lang: str, block: bool = True) -> str:
    """Starts the server with all that it doesn't need turned off; returns the address. block False returns at once."""
    security.harden_pillow()
    _, address, _ = blocks.launch(
        server_name=host,
        server_port=port,
        share=False,
        show_error=False,
        allowed_paths=[],
        max_file_size=security.MAX_UPLOAD,
        enable_monitoring=False,
        run_history=False,
        mcp_server=False,
        pwa=False,
        ssr_mode=False,
        footer_links=[],
        state_session_capacity=500,
        theme=theme(),
        css=css(),
        head=head(lang),
        app_kwargs={"middleware": [Middleware(security.Guard)], "docs_url": None, "redoc_url": None},  # type: ignore
        quiet=True,
        prevent_thread_lock=True,
    )
    if block:
        print(f"minidiff studio: {address} (Ctrl-C stops it)", flush=True)
        blocks.block_thread()
    return address


def serve(
    host: str = "127.0.0.1", port: int = 7860, model: str = "world-dit", lang: str = "en", allow_pickle: bool = False
) -> None:
    """Loads the model, starts the page with it and the zoo's others to choose from, and stays until Ctrl-C.

    Raises ValueError for an unknown model or damaged weights, OSError when the port is taken.
    """
    pipeline = warm(load_pipeline(model, allow_pickle=allow_pickle))
    launch(build(pipeline, lang, sampling_models()), host, port, lang)
