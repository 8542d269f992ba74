"""Edit as a person meets it: a real Chromium that may talk to nobody else, in both languages, on a desk and at the width of a
small phone, light and dark. The models are tiny and draw noise; what is done with their pictures is what counts here."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import needs_chromium
from PIL import Image

from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.png_metadata import read_png

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: no browser tests")
pytest.importorskip("gradio", reason="gradio is not installed: no browser tests")
expect = sync_api.expect

from minidiff.studio.labels import EDITS  # noqa: E402 (after the check that gradio is here)
from minidiff.studio.security import TokenBucket  # noqa: E402

pause = [0.0]  # seconds after each step, for what can only be seen while something is drawn
PATIENCE = 90_000  # ms; the machine may have other work
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
TAB = {"en": "Edit", "vi": "Chỉnh sửa"}
NAMELESS = """() => [...document.querySelectorAll('input, textarea, button, select')].filter(e => e.offsetParent
    && !(e.labels && e.labels.length) && !e.getAttribute('aria-label') && !e.getAttribute('aria-labelledby')
    && !e.textContent.trim()).map(e => e.outerHTML.slice(0, 120))"""

pytestmark = [*needs_chromium, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def address(whole_zoo: Path) -> Iterator[str]:
    from minidiff.studio import app

    def load(name: str) -> Any:
        pipeline = load_pipeline(name, "cpu", "float32", whole_zoo)
        quick = pipeline.stream

        def stream(*arguments: Any) -> Iterator[Any]:
            for preview in quick(*arguments):
                time.sleep(pause[0])
                yield preview

        pipeline.stream = stream  # type: ignore[method-assign]
        return pipeline

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    blocks = app.build(load("world-dit"), "en", ["world-unet"], load, TokenBucket(1000, 100))
    yield app.launch(blocks, "127.0.0.1", port, "en", block=False)
    blocks.close()


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Any]:
    """Opens the page at Edit. Requests to any other server are cut off, and fail the test at its end; so do script errors."""
    contexts: list[Any] = []
    trouble: list[str] = []

    def gate(route: Any) -> None:
        if route.request.url.startswith((address, "data:", "blob:")):
            route.continue_()
        else:
            trouble.append(route.request.url)
            route.abort()

    def open_tab(lang: str = "en", size: dict[str, int] = DESKTOP, scheme: str = "light") -> Any:
        contexts.append(browser.new_context(accept_downloads=True, viewport=size, color_scheme=scheme))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.route("**/*", gate)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.goto(f"{address}?lang={lang}")
        expect(page.locator("#note .tokens")).to_be_attached(timeout=PATIENCE)
        page.get_by_role("tab", name=TAB[lang]).click()
        expect(page.locator("#edit-go")).to_be_visible(timeout=PATIENCE)
        page.wait_for_timeout(1500)  # what a tab holds is mounted when it opens, and only then listens
        return page

    yield open_tab
    for context in contexts:
        context.close()
    pause[0] = 0.0
    assert not trouble


def sideways(page: Any) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def choose_file(page: Any, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.locator("#edit-upload").click()
    chooser.value.set_files(path)


def choose_way(page: Any, name: str) -> None:
    page.get_by_role("radio", name=name, exact=True).check()


def done(page: Any, way: str) -> Any:
    expect(page.locator(f"minidiff-edit.{way}")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#edit-notice .good")).to_be_visible(timeout=PATIENCE)
    return page.locator(f"minidiff-edit.{way}")


def saved(page: Any, folder: Path) -> Path:
    with page.expect_download() as download:
        page.locator("minidiff-edit .files a").press("Enter")
    path = folder / str(download.value.suggested_filename)
    download.value.save_as(path)
    return path


def marked(page: Any) -> int:
    """How many pixels are painted."""
    script = "e => [...e.marks()].filter((value, k) => k % 4 == 3 && value > 127).length"
    return int(page.locator("minidiff-start").evaluate(script))


def test_a_part_by_keyboard_alone(visit: Any, tmp_path: Path) -> None:
    page = visit()
    page.locator("#edit-go").press("Enter")
    expect(page.locator("#edit-notice [role=alert]")).to_contain_text("no picture yet", timeout=PATIENCE)
    page.locator("#edit-draw-first").press("Enter")
    expect(page.locator("minidiff-start img")).to_be_visible(timeout=PATIENCE)
    expect(page.locator(".painting")).to_be_hidden()
    page.get_by_role("radio", name="Draw anew", exact=True).focus()
    page.keyboard.press("Tab")  # gradio makes no group of them, so each is a stop of its own
    page.keyboard.press("Space")
    expect(page.locator(".painting")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#edit-prompt textarea")).to_have_value(EDITS["part"]["en"], timeout=PATIENCE)
    expect(page.locator("#edit-strength")).to_be_hidden(timeout=PATIENCE)
    page.locator("#edit-go").press("Enter")
    expect(page.locator("#edit-notice [role=alert]")).to_contain_text("Nothing is marked yet", timeout=PATIENCE)
    for name, value in (("x", 4), ("y", 8), ("width", 16), ("height", 12)):
        box = page.locator(f"[data-box={name}]")
        box.focus()
        page.keyboard.press("Control+A")
        page.keyboard.type(str(value))
    page.locator("[data-do=box]").press("Enter")
    assert marked(page) == 16 * 12
    expect(page.locator(".painted")).to_have_text("19 % of the picture is marked.")
    assert page.evaluate(NAMELESS) == []
    page.locator("#edit-go").press("Enter")
    shown = done(page, "part")
    expect(shown.locator("figure")).to_have_count(4)
    kept = f"Of the {32 * 32 - 16 * 12} pixels outside of the mask, 0 have changed."
    expect(shown.locator(".finding [lang=en]")).to_have_text(kept)
    path = saved(page, tmp_path)
    assert path.name == "minidiff-part.png" and read_png(path)["edit"]["kind"] == "inpaint"
    page.locator("[data-do=invert]").press("Enter")
    assert marked(page) == 32 * 32 - 16 * 12
    page.locator("[data-do=clear]").press("Enter")
    assert marked(page) == 0
    page.locator("#edit-again").press("Enter")
    expect(page.locator("#edit-notice")).to_contain_text("the picture to start from now", timeout=PATIENCE)
    sources = [page.locator(f"{what} img[data-part={part}]").get_attribute("src") for what, part in
               (("minidiff-start", "start"), ("minidiff-edit", "after"))]  # fmt: skip
    assert sources[0] == sources[1]


def test_a_phone_in_vietnamese_and_dark(visit: Any, tmp_path: Path) -> None:
    page = visit("vi", PHONE, "dark")
    assert sideways(page) <= 0
    expect(page.locator("#edit-first textarea")).to_have_value(EDITS["first"]["vi"], timeout=PATIENCE)
    expect(page.locator("#edit-prompt textarea")).to_have_value(EDITS["anew"]["vi"], timeout=PATIENCE)
    page.locator("#edit-from-create").click()
    expect(page.locator("#edit-first-notice [role=alert]")).to_contain_text("Ở thẻ Vẽ tranh chưa có bức nào", timeout=PATIENCE)
    (tmp_path / "text.png").write_text("no picture")
    choose_file(page, tmp_path / "text.png")
    expect(page.locator("#edit-first-notice [role=alert]")).to_contain_text("Đây không phải ảnh đọc được", timeout=PATIENCE)
    (tmp_path / "large.png").write_bytes(b"x" * 25_000_000)
    choose_file(page, tmp_path / "large.png")
    expect(page.locator("#edit-first-notice [role=alert]")).to_contain_text("Ảnh này quá lớn", timeout=PATIENCE)
    noise = np.random.default_rng(0).integers(0, 256, (1500, 2500, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.jpg")
    choose_file(page, tmp_path / "photo.jpg")
    expect(page.locator("#edit-first-notice")).to_contain_text("cắt thành hình vuông và đổi cỡ thành 32 × 32", timeout=PATIENCE)
    choose_way(page, "Một phần")
    canvas = page.locator("minidiff-start canvas")
    expect(canvas).to_be_visible(timeout=PATIENCE)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 4)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    painted = marked(page)
    assert 32 * 32 // 4 < painted < 32 * 32
    page.locator("[data-do=erase]").click()
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()  # the page may have moved
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert 0 < marked(page) < painted
    choose_way(page, "Phóng to")
    expect(page.locator(".painting")).to_be_hidden(timeout=PATIENCE)
    expect(page.locator("#edit-factor")).to_be_visible(timeout=PATIENCE)
    page.locator("#edit-go").click()
    shown = done(page, "larger")
    expect(shown.locator("#edit-sizes")).to_contain_text("128 × 128")
    slider = shown.locator("input[type=range]")
    slider.focus()
    page.keyboard.press("Home")
    assert page.locator(".slide").evaluate("e => getComputedStyle(e).getPropertyValue('--cut')") == "0%"
    words = page.locator("body").inner_text()
    for text in ("Làm gì với nó", "To gấp", "Bên trái vạch", "Tải ảnh PNG", "Sửa tiếp từ kết quả"):
        assert text in words, text
    for text in ("Edit", "Before", "Larger", "Download", "Choose", "Brush"):
        assert text not in words, text
    assert sideways(page) <= 0
    assert page.evaluate(NAMELESS) == []


def test_stop_and_the_last_of_create(visit: Any) -> None:
    page = visit()
    page.get_by_role("tab", name="Create").click()
    page.locator("#draw").click()
    expect(page.locator("#results .results img")).to_be_visible(timeout=PATIENCE)
    drawn = page.locator("#results .results img").get_attribute("src")
    page.get_by_role("tab", name="Edit").click()
    page.locator("#edit-from-create").click()
    expect(page.locator("minidiff-start img")).to_have_attribute("src", drawn, timeout=PATIENCE)
    pause[0] = 1.0
    page.locator("#edit-go").click()
    expect(page.locator(".edit-step")).to_be_visible(timeout=PATIENCE)
    page.locator("#edit-stop").click()
    expect(page.locator("#edit-notice")).to_contain_text("Stopped.", timeout=PATIENCE)
    assert page.locator("minidiff-edit").count() == 0
    expect(page.locator("#edit-stop")).to_be_disabled()
    pause[0] = 0.0
    page.locator("#edit-prompt textarea").fill('<img src=x onerror="window.hit=1">${window.hit=1}{{hit}}')
    page.locator("#edit-prompt textarea").press("Enter")
    done(page, "anew")
    assert page.evaluate("window.hit") is None
