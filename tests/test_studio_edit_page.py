"""Edit as a person meets it: a real Chromium that may talk to nobody else, in both languages, on a desk and at the width of a
small phone, light and dark. The models are tiny and draw noise; what is done with their pictures is what counts here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import needs_chromium
from PIL import Image
from studio_page import DESKTOP, NAMELESS, PATIENCE, PHONE, expect, go_to, pages, pause, served_from, sideways

from minidiff.pipelines.png_metadata import read_png
from minidiff.studio.labels import EDITS

TAB = {"en": "Edit", "vi": "Chỉnh sửa"}

pytestmark = [*needs_chromium, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def address(whole_zoo: Path) -> Iterator[str]:
    with served_from(whole_zoo) as found:
        yield found


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Any]:
    """Opens the page at Edit."""
    with pages(browser, address) as opened:

        def at(lang: str = "en", size: dict[str, int] = DESKTOP, scheme: str = "light") -> Any:
            return go_to(opened(lang, size, color_scheme=scheme), TAB[lang], "#edit-go")

        yield at


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
