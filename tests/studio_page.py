"""What the browser tests of the studio share: a server with tiny models, and pages of it that may talk to nobody else."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio", reason="gradio is not installed: no browser tests")
expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: no browser tests").expect

PATIENCE = 120_000  # ms; the machine may have other work
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
NAMELESS = """() => [...document.querySelectorAll('input, textarea, button, select, [role=img]')].filter(e => e.offsetParent
    && !(e.labels && e.labels.length) && !e.getAttribute('aria-label') && !e.getAttribute('aria-labelledby')
    && !e.textContent.trim()).map(e => e.outerHTML.slice(0, 120))"""

pause = [0.0]  # seconds after each step, for what can only be seen while something is drawn


@contextmanager
def served(first: Any, others: list[str], load: Any, quick: str = "") -> Iterator[str]:
    """The address of a studio with these models, as `app.build` takes them, and no limit on how much is drawn."""
    from minidiff.studio import app
    from minidiff.studio.security import TokenBucket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    blocks = app.build(first, "en", others, load, TokenBucket(1000, 100), quick)
    yield app.launch(blocks, "127.0.0.1", port, "en", block=False)
    blocks.close()


@contextmanager
def served_from(zoo: Path, others: Sequence[str] = ("world-unet", "world-pixels"), quick: str = "") -> Iterator[str]:
    """The same with the models of a zoo; they pause after each step."""
    from minidiff.pipelines.loading import load_pipeline

    def load(name: str) -> Any:
        pipeline = load_pipeline(name, "cpu", "float32", zoo)
        quick = pipeline.stream

        def stream(*arguments: Any) -> Iterator[Any]:
            for preview in quick(*arguments):
                time.sleep(pause[0])
                yield preview

        pipeline.stream = stream  # type: ignore[method-assign]
        return pipeline

    with served(load("world-dit"), [*others], load, quick) as address:
        yield address


@contextmanager
def pages(browser: Any, address: str) -> Iterator[Any]:
    """A function that opens the studio in a window of its own. Requests to any other server are cut off, and fail the test at
    its end; so do script errors."""
    contexts: list[Any] = []
    trouble: list[str] = []

    def gate(route: Any) -> None:
        if route.request.url.startswith((address, "data:", "blob:")):
            route.continue_()
        else:
            trouble.append(route.request.url)
            route.abort()

    def opened(lang: str = "en", size: dict[str, int] = DESKTOP, query: str = "", **how: Any) -> Any:
        contexts.append(browser.new_context(accept_downloads=True, viewport=size, **how))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.route("**/*", gate)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.goto(f"{address}?lang={lang}{query}")
        expect(page.locator("#note .tokens")).to_be_attached(timeout=PATIENCE)
        return page

    yield opened
    for context in contexts:
        context.close()
    pause[0] = 0.0
    assert not trouble


def go_to(page: Any, tab: str, sign: str) -> Any:
    """Opens a tab, in which `sign` is seen."""
    page.get_by_role("tab", name=tab).click()
    expect(page.locator(sign)).to_be_visible(timeout=PATIENCE)
    page.wait_for_timeout(1500)  # what a tab holds is mounted when it opens, and only then listens
    return page


def sideways(page: Any) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
