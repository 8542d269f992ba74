"""A visit of Create and Learn as a person makes it, and the row of tabs on a small phone: a real Chromium that may talk to
nobody else. The models are tiny and draw noise."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import needs_chromium
from studio_page import DESKTOP, NAMELESS, PATIENCE, PHONE, expect, pause, sideways
from test_studio_tabs import address, visit

fixtures = (address, visit)  # of that file's models and page

pytestmark = needs_chromium


def drawn(page: Any, prompt: str) -> None:
    page.locator("#prompt textarea").fill(prompt)
    page.locator("#prompt textarea").press("Enter")
    expect(page.locator(f'.results img[alt="{prompt}"]')).to_be_visible(timeout=PATIENCE)
    expect(page.locator(".results details")).to_be_attached(timeout=PATIENCE)
    expect(page.locator("#stop")).to_be_disabled(timeout=PATIENCE)
    page.wait_for_timeout(500)  # the page notes it when the drawing has ended


@pytest.mark.parametrize(("lang", "size"), [("en", DESKTOP), ("vi", PHONE)])
def test_pictures_of_the_visit_come_back(visit: Any, lang: str, size: dict[str, int]) -> None:
    page = visit("create", lang, size)
    drawn(page, "a big red star")
    first = page.locator(".results img").get_attribute("src")
    expect(page.locator("minidiff-history")).to_be_hidden()  # one picture is on the page anyway
    drawn(page, "a small blue house")
    assert page.locator(".results img").get_attribute("src") != first
    buttons = page.locator("minidiff-history button")
    expect(buttons).to_have_count(2)
    expect(buttons.nth(0)).to_have_attribute("aria-pressed", "true")
    word = {"en": "Bring back: a big red star, seed 42", "vi": "Lấy lại: a big red star, seed 42"}[lang]
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/queue/join" in request.url else None)
    page.get_by_role("button", name=word).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#prompt textarea")).to_have_value("a big red star")
    expect(page.locator(".results img")).to_have_attribute("src", first)
    expect(page.get_by_role("button", name=word)).to_be_focused()
    expect(page.locator("#notice .good")).to_be_visible()
    assert not asked  # the server keeps no pictures, so it can't be asked for one
    page.locator(".results summary").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".results details dl, .results details p").first).to_be_visible()
    expect(page.locator(".info-text strong").first).not_to_be_visible()  # figures of another model
    assert sideways(page) <= 0
    assert not page.evaluate(NAMELESS)


@pytest.mark.parametrize(("lang", "size"), [("en", DESKTOP), ("vi", PHONE)])
def test_progress_is_read(visit: Any, tmp_path: Path, lang: str, size: dict[str, int]) -> None:
    rows = {"01.1": {"points": 5, "maximum": 5}}
    (tmp_path / "score.json").write_text(json.dumps({"exercises": rows}))
    page = visit("learn", lang, size)
    folder = page.get_by_label({"en": "Folder with your scores", "vi": "Thư mục điểm của bạn"}[lang])
    folder.fill(f"{tmp_path}/none")
    folder.press("Enter")
    expect(page.locator("#learn-notice .bad")).to_contain_text({"en": "There is no folder", "vi": "Không có thư mục"}[lang])
    folder.fill(str(tmp_path))
    page.get_by_role("button", name={"en": "Read my scores", "vi": "Đọc điểm của tôi"}[lang]).click()
    expect(page.locator("#learn-notice .good")).to_be_visible(timeout=PATIENCE)
    told = {"en": "5 of 5 points", "vi": "5 trên 5 điểm"}[lang]
    expect(page.locator("#learn-map li.begun .told")).to_contain_text(told)
    assert all(f"/lessons/{lang}/" in link.get_attribute("href") for link in page.locator("#learn-map a:visible").all())
    assert page.locator("#learn-map a:visible").count() == page.locator("#learn-map li").count() > 16
    assert sideways(page) <= 0
    assert not page.evaluate(NAMELESS)


def test_look_inside_stops_and_marks_unknown_words(visit: Any) -> None:
    page = visit("inspect")
    page.locator("#inspect-prompt textarea").fill("a red dragon")
    expect(page.locator("#inspect-note mark", has_text="dragon")).to_be_visible(timeout=PATIENCE)
    pause[0] = 0.5
    try:
        page.locator("#open-up").click()
        expect(page.locator("#inspect-stop")).to_be_enabled(timeout=PATIENCE)
        page.locator("#inspect-stop").click()
        expect(page.locator("#inspect-notice")).to_contain_text("Stopped", timeout=PATIENCE)
        page.wait_for_timeout(1500)  # what was on its way must not take it back
    finally:
        pause[0] = 0.0
    expect(page.locator("#inspect-notice")).to_contain_text("Stopped")
    expect(page.locator("#inspect-stop")).to_be_disabled()
    assert page.locator("minidiff-inside").count() == 0


@pytest.fixture(scope="module")
def six_tabs() -> Iterator[str]:
    """A page with as many tabs as the studio is to have, under its style sheet and scripts."""
    import gradio as gr

    from minidiff.studio import app

    with gr.Blocks() as blocks:
        for name in ("Vẽ tranh", "Nhìn vào trong", "So sánh", "Chỉnh sửa", "Phong cách", "Học"):
            with gr.Tab(name):
                gr.Markdown(f"# {name}!")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    yield app.launch(blocks, "127.0.0.1", port, "vi", block=False)
    blocks.close()


@pytest.mark.parametrize("size", [PHONE, DESKTOP])
def test_six_tabs_fit_and_answer_to_the_keyboard(browser: Any, six_tabs: str, size: dict[str, int]) -> None:
    page = browser.new_page(viewport=size)
    page.goto(six_tabs)
    tabs = page.get_by_role("tab")
    expect(tabs).to_have_count(6, timeout=PATIENCE)
    page.wait_for_timeout(500)
    boxes = [tab.bounding_box() for tab in tabs.all()]
    assert all(0 <= box["x"] and box["x"] + box["width"] <= size["width"] for box in boxes)
    if size is PHONE:
        assert all(box["height"] >= 44 for box in boxes)
    beside = [(a, b) for a in boxes for b in boxes if a is not b and abs(a["y"] - b["y"]) < 5]
    assert not any(a["x"] <= b["x"] < a["x"] + a["width"] for a, b in beside)
    clipped = "t => t.scrollWidth > t.clientWidth + 1 || t.scrollHeight > t.clientHeight + 1"
    assert not any(tab.evaluate(clipped) for tab in tabs.all())
    expect(page.get_by_role("button", name="More tabs")).to_be_hidden()
    tabs.nth(0).focus()
    page.keyboard.press("ArrowLeft")  # round the end
    expect(tabs.nth(5)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Học!")).to_be_visible()
    expect(tabs.nth(5)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Home")
    expect(tabs.nth(0)).to_be_focused()
    assert sideways(page) <= 0
    page.close()
