"""The page, its one public function for programs, and the server that shows it. Each tab has a file in `tabs/`."""

from __future__ import annotations

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before gradio is imported, or it would report to its makers

import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.loras import dressed, strengths_of
from minidiff.pipelines.messages import LANGS
from minidiff.pipelines.request import RequestError
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pipelines.zoo_rows import quick_models, sampling_models
from minidiff.studio import callbacks, html, lora_picker, restore, security
from minidiff.studio.labels import example_in, label
from minidiff.studio.line import MODEL, Line
from minidiff.studio.models import Models, warm
from minidiff.studio.tabs import compare, create, edit, inspect, learn, styles
from minidiff.studio.theme import css, head, theme

# Each has build, wire and relabel; PROMPTS are the controls with an example that follows the language, by default "prompt".
TABS: dict[str, Any] = {
    "create": create,
    "inspect": inspect,
    "compare": compare,
    "edit": edit,
    "styles": styles,
    "learn": learn,
}
NAMES = {"en": "English", "vi": "Tiếng Việt"}


def build(
    pipeline: TextToImage,
    lang: str = "en",
    others: Sequence[str] = (),
    load: Callable[[str], TextToImage] = load_pipeline,
    bucket: security.TokenBucket | None = None,
    quick: str = "",
) -> gr.Blocks:
    """The whole page, ready for `launch`. others: models that may be chosen besides the given one, names that `load`
    knows. bucket: what each visitor may ask for; without it about what two CPU cores can draw. quick: which of the models
    draws while one types."""
    models = Models(pipeline, others, load, quick)
    bucket = bucket or security.TokenBucket(burst=40, rate=2)
    blocks = gr.Blocks(title=label("title", lang), analytics_enabled=False, delete_cache=(300, 600))
    with blocks:
        with gr.Row(elem_id="top"):
            gr.HTML(html.header(), apply_default_css=False)
            language = gr.Radio(
                [(name, code) for code, name in NAMES.items()], value=lang, label=label("language", lang),
                show_label=False, container=False, elem_id="language", scale=0, min_width=200,
            )
        line, built = Line(blocks), []
        for name, module in TABS.items():
            with gr.Tab(label(name, lang), id=name, elem_id=f"tab-{name}") as tab:
                controls = module.build(models, lang)
            module.wire(controls, models, bucket, line)
            built.append((name, tab, controls))
        _wire_language(language, built)
        _wire_load(blocks, built[0][2], language, models, lang)
        _public_function(models, bucket, line)
    blocks.queue(max_size=16, default_concurrency_limit=4)
    return blocks


def _wire_language(language: gr.Radio, built: list[tuple[str, gr.Tab, Any]]) -> None:
    """built: name, tab and controls of each of TABS."""
    outputs: list[Any] = []
    for name, tab, controls in built:
        outputs += [tab, *(getattr(controls, part) for part in TABS[name].relabel("en"))]

    # that of Create is set when the page opens
    places = [(name, part) for name, _, _ in built[1:] for part in getattr(TABS[name], "PROMPTS", ("prompt",))]

    def switch(lang: str, *prompts: str) -> list[Any]:
        lang = lang if lang in LANGS else "en"
        updates: list[Any] = []
        for name, _, _ in built:
            relabelled = TABS[name].relabel(lang)
            for (tab, part), prompt in zip(places, prompts, strict=True):
                if tab == name and (other := example_in(prompt, lang)) != prompt:
                    relabelled[part] = relabelled[part] | {"value": other}
            updates += [gr.update(label=label(name, lang)), *relabelled.values()]
        return updates

    controls_of = {name: controls for name, _, controls in built}
    prompts = [getattr(controls_of[name], part) for name, part in places]
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
        strengths, refused = restore.loras_from_link(query, model) if settings else ({}, "")
        if refused:
            settings, notice = None, refused
        values = create.control_values(settings)
        if settings is None and (shown, model) != (lang, models.first.model):
            values[0] = create.first_example(model, shown)
        note = callbacks.describe(models.get(model), settings.prompt if settings else prompt)
        picker = lora_picker.for_model(model, list(strengths), strengths)
        return [*values, model, notice, note, shown, *picker]

    outputs = [
        *controls.values, controls.model, controls.notice, controls.note, language, controls.loras, *controls.lora_weights,
    ]  # fmt: skip
    blocks.load(open_page, controls.prompt, outputs, queue=False, **create.QUIET)


def _public_function(models: Models, bucket: security.TokenBucket, line: Line) -> None:
    """`/generate`, the one thing a program may call: images as data URIs of PNG files."""

    def generate(
        prompt: str,
        negative_prompt: str = "",
        sampler: str | None = None,
        steps: int | None = None,
        guidance_scale: float | None = None,
        seed: int = 42,
        num_images: int = 1,
        eta: float | None = None,
        model: str = models.first.model,
        expand_prompt: bool = True,
        guidance_interval: list[float] | None = None,
        guidance_rescale: float = 0.0,
        loras: dict[str, float] | None = None,
        request: gr.Request | None = None,
    ) -> Iterator[list[str]]:
        client = request.client.host if request is not None and request.client else ""
        try:
            models.check(model)
            strengths = strengths_of({} if loras is None else loras, model)
            pipeline = models.get(model)
            asked = {"sampler": sampler, "steps": steps, "guidance_scale": guidance_scale}
            interval: Any = (0.0, 1.0) if guidance_interval is None else guidance_interval
            settings = pipeline.request(
                prompt, negative_prompt=negative_prompt, seed=seed, num_images=num_images, eta=eta,
                expand_prompt=expand_prompt, guidance_interval=interval, guidance_rescale=guidance_rescale,
                **{name: value for name, value in asked.items() if value is not None},
            )  # fmt: skip
            price = callbacks.cost(num_images, settings.steps, settings.sampler)
            seconds = bucket.wait(client, price)
            if seconds:
                raise gr.Error(label("too_often", "en", seconds=round(seconds + 0.5)), print_exception=False)
            pipeline = dressed(pipeline, strengths)
            session = request.session_hash if request else None
            with callbacks.Bill(bucket, client, price) as bill:
                for images in line.watched(callbacks.finish(pipeline, settings), session):
                    bill.drawn += 1 / settings.steps
                    files = callbacks.pngs(pipeline, settings, images, strengths) if images else []
                    yield [html.data_uri(png) for png in files]
        except (RequestError, TimeoutError) as error:
            raise gr.Error(str(error), print_exception=False) from None

    gr.api(generate, api_name="generate", concurrency_limit=1, concurrency_id=MODEL)


def launch(
    blocks: gr.Blocks, host: str, port: int, lang: str, block: bool = True, hosts: Sequence[str] | None = (), proxy: str = "",
) -> str:  # fmt: skip
    """Starts the server with all that it doesn't need turned off; returns the address. block False returns at once.

    hosts: names besides localhost and `host` under which the page may be reached; None allows any. proxy: address or network of
    a proxy in front, the only one whose word on who the client is (X-Forwarded-For) is taken. Raises OSError for a port that
    is taken."""
    security.harden_pillow()
    security.say_that_it_failed()
    os.environ["FORWARDED_ALLOW_IPS"] = proxy  # uvicorn would believe every program on this machine
    names = None if hosts is None else (host, *hosts)
    guard = Middleware(security.Guard, hosts=names, waiting=Line(blocks).of)
    try:
        address = _launched(blocks, host, port, lang, guard)
    except OSError as error:
        why = "is the port taken?"  # gradio tells of a range of ports and of its own variables
        raise OSError(f"nothing can be served at {host}:{port} ({why}); choose another --host or --port.") from error
    if block:
        print(f"minidiff studio: {address} (Ctrl-C stops it)", flush=True)
        stay(blocks)
    return address


def _launched(blocks: gr.Blocks, host: str, port: int, lang: str, guard: Middleware) -> str:
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
        app_kwargs={"middleware": [guard], "docs_url": None, "redoc_url": None},  # type: ignore
        quiet=True,
        prevent_thread_lock=True,
    )
    return address


def stay(blocks: gr.Blocks) -> None:
    """Serves until Ctrl-C or SIGTERM; what is drawn then stops at its next step, and the server closes."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    while not ended.wait(0.5):  # a wait without end would keep signals out on Windows
        pass
    callbacks.STOPPING.set()
    line, deadline = Line(blocks), time.monotonic() + 5
    while line.drawn() and time.monotonic() < deadline:  # a thread inside PyTorch must not outlive the interpreter
        time.sleep(0.05)
    blocks.close(verbose=False)


def serve(
    host: str = "127.0.0.1", port: int = 7860, model: str = "world-dit", lang: str = "en", allow_pickle: bool = False,
    hosts: Sequence[str] | None = (), proxy: str = "", seconds: float | None = None,
) -> None:  # fmt: skip
    """Loads the model, starts the page with it and the zoo's others to choose from, and stays until Ctrl-C or SIGTERM, which
    also removes visitors' files. hosts, proxy: as for `launch`. seconds: the most that one drawing may take where
    strangers share the model; they may ask for less, too.

    Raises ValueError for an unknown model or damaged weights, OSError when the port is taken.
    """
    callbacks.MAX_SECONDS, callbacks.PUBLIC = seconds or callbacks.MAX_SECONDS, seconds is not None
    pipeline = warm(load_pipeline(model, allow_pickle=allow_pickle))
    with tempfile.TemporaryDirectory(prefix="minidiff-studio-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # before the page is built, which notes it
        bucket = security.TokenBucket(burst=12, rate=0.5) if seconds else None  # strangers share the model
        quick = next(iter(quick_models()), "")
        launch(build(pipeline, lang, sampling_models(), bucket=bucket, quick=quick), host, port, lang, hosts=hosts, proxy=proxy)
