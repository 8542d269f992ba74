"""Look inside and Compare as a person meets them: a real Chromium that may talk to nobody else, in both languages, on a desk
and at the width of a small phone. The models are tiny and draw noise; what is shown of them is what counts here."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import needs_chromium
from PIL import Image
from studio_page import DESKTOP, NAMELESS, PATIENCE, PHONE, expect, go_to, pages, pause, served_from, sideways

from minidiff.studio.labels import EXAMPLES

TABS = {"inspect": {"en": "Look inside", "vi": "Nhìn vào trong"}, "compare": {"en": "Compare", "vi": "So sánh"}}
TABS |= {"create": {"en": "Create", "vi": "Vẽ tranh"}, "learn": {"en": "Learn", "vi": "Học"}}
OPEN = {"create": "#draw", "inspect": "#open-up", "compare": "#compare-draw", "learn": "#learn-map"}  # seen in each tab

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def address(whole_zoo: Path) -> Iterator[str]:
    with served_from(whole_zoo) as found:
        yield found


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Any]:
    """Opens the page at a tab."""
    with pages(browser, address) as page:
        yield lambda tab, lang="en", size=DESKTOP: go_to(page(lang, size), TABS[tab][lang], OPEN[tab])


def opened(page: Any, prompt: str) -> None:
    page.locator("#inspect-prompt textarea").fill(prompt)
    page.locator("#inspect-prompt textarea").press("Enter")  # the same as the button
    expect(page.locator("minidiff-inside .now")).not_to_be_empty(timeout=PATIENCE)
    expect(page.locator("#inspect-notice .good")).to_be_visible(timeout=PATIENCE)


def pixels(page: Any, selector: str) -> Any:
    script = "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].join()"
    return page.locator(selector).first.evaluate(script)


def test_look_inside_by_keyboard_and_without_asking_again(visit: Any) -> None:
    page = visit("inspect")
    opened(page, "a big red star")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if not request.url.startswith("data:") else None)
    seen = {name: page.locator(f"[data-show={name}]").get_attribute("src") for name in ("x", "x0", "looked", "guided")}
    assert all(seen.values())
    expect(page.locator(".now")).to_have_text(re.compile(r"^Step 20 of 20 · \d+ % noise$"))
    page.locator("minidiff-inside input[type=range]").focus()
    for _ in range(12):
        page.keyboard.press("ArrowLeft")
    expect(page.locator(".now")).to_have_text("Step 1 of 20 · 100 % noise")
    for name, before in seen.items():
        assert page.locator(f"[data-show={name}]").get_attribute("src") != before, name
    assert page.locator(".curves .here").get_attribute("x1") == page.locator(".curves").get_attribute("data-places").split()[0]
    buttons = page.locator(".words button")
    expect(buttons.first).to_have_text("start")
    veil = pixels(page, "[data-show=veil]")
    word = page.locator(".multiples button[aria-pressed=false]").first
    word.focus()
    page.keyboard.press("Enter")
    pressed = page.locator(".multiples button[aria-pressed=true]")
    expect(page.locator("[data-show=chosen]")).to_contain_text(f"“{pressed.inner_text().strip()}”")
    mean = pixels(page, "[data-show=veil]")
    assert mean != veil
    page.locator("[data-pick=layer]").select_option("0")
    assert pixels(page, "[data-show=veil]") != mean
    page.locator("[data-pick=head]").select_option("1")
    page.locator(".play").press("Enter")
    expect(page.locator(".now")).to_have_text(re.compile("^Step 20 of 20"), timeout=PATIENCE)
    assert page.evaluate(NAMELESS) == []
    assert [url for url in asked if "heartbeat" not in url] == []


def test_look_inside_in_vietnamese_on_a_phone(visit: Any) -> None:
    page = visit("inspect", "vi", PHONE)
    expect(page.locator("#open-up")).to_have_text("Mở ra xem", timeout=PATIENCE)
    expect(page.locator("#inspect-prompt textarea")).to_have_value(EXAMPLES[1], timeout=PATIENCE)
    opened(page, "một ngôi sao đỏ lớn")
    expect(page.locator(".now")).to_have_text(re.compile(r"^Bước 20 trên 20 · \d+ % là nhiễu$"))
    words = page.locator("body").inner_text()
    for text in ("Từ nhiễu đến tranh", "Mỗi từ được nghe ở đâu", "Kênh 1", "Bố cục", "Xem bài 07", "đầu câu", "Trong lần vẽ"):
        assert text in words, text
    for text in ("Look inside", "From noise", "Channel", "Layout", "Lesson", "Open it up", "Step", "Steps"):
        assert text not in words, text
    assert sideways(page) <= 0
    page.get_by_text("English", exact=True).click()
    expect(page.locator("#open-up")).to_have_text("Open it up", timeout=PATIENCE)
    expect(page.locator(".now")).to_have_text(re.compile(r"^Step 20 of 20"))  # the script's words too
    expect(page.locator("[data-show=channels-0] figcaption").first).to_have_text("Channel 1")
    page.locator("#inspect-prompt textarea").fill(" ")
    page.locator("#open-up").click()
    expect(page.locator("#inspect-notice [role=alert]")).to_contain_text("prompt is empty", timeout=PATIENCE)
    expect(page.locator("#inspect-notice .queued")).to_be_hidden(timeout=PATIENCE)


def test_what_is_typed_is_never_run(visit: Any) -> None:
    evil = '<img src=x onerror="window.hit=1">${window.hit=1}{{hit}}'
    page = visit("inspect")
    opened(page, evil)
    assert page.evaluate("window.hit") is None
    assert page.locator("minidiff-inside .said").inner_text() == ""


def test_a_grid_fills_up_and_its_file_brings_it_back(visit: Any, tmp_path: Path) -> None:
    page = visit("compare")
    page.locator("#compare-prompt textarea").fill("a red star")
    page.locator("#compare-step_counts input, #compare-step_counts textarea").first.fill("2, 3")
    page.locator("#compare-draw").click()
    expect(page.locator(".grid figure").first).to_be_visible(timeout=PATIENCE)
    expect(page.locator(".files a")).to_have_count(2, timeout=PATIENCE)
    expect(page.locator(".grid figure")).to_have_count(6)
    expect(page.locator(".grid h3")).to_have_text(["DPM++ 2M", "DDIM", "Euler A"])
    cost = page.locator(".grid .cost").first
    expect(cost).to_have_text(re.compile(r"^4 evaluations · \d+ ms$"), use_inner_text=True)
    expect(page.locator("#compare-stop")).to_be_disabled()
    verdict = page.locator(".verdict").first
    verdict.focus()
    expect(verdict.locator(".saw")).to_be_visible()
    expect(verdict.locator(".saw")).to_contain_text("The judge sees")
    with page.expect_download() as saved:
        page.locator(".files a").first.press("Enter")
    saved.value.save_as(tmp_path / "grid.png")
    assert Image.open(io.BytesIO((tmp_path / "grid.png").read_bytes())).width > 300
    page = visit("compare", "vi", PHONE)
    assert sideways(page) <= 0
    with page.expect_file_chooser() as chooser:
        page.locator("#compare-load").click()
    chooser.value.set_files(tmp_path / "grid.png")
    expect(page.locator("#compare-notice")).to_contain_text("Đã lấy lại thiết lập của bảng", timeout=PATIENCE)
    expect(page.locator("#compare-prompt textarea")).to_have_value("a red star", timeout=PATIENCE)
    page.locator("#compare-draw").click()
    expect(page.locator(".files a")).to_have_count(2, timeout=PATIENCE)
    words = page.locator("body").inner_text()
    for text in ("Bộ lấy mẫu và số bước", "2 bước", "4 lần tính", "Lưu bảng thành PNG", "6 tranh trong"):
        assert text in words, text
    for text in ("evaluations", "Save", "steps", "right", "wrong", "Draw the grid"):
        assert text not in words, text
    assert sideways(page) <= 0
    assert page.evaluate(NAMELESS) == []


def test_stop_keeps_what_is_drawn(visit: Any) -> None:
    page = visit("compare")
    page.get_by_role("radio", name="One word").check()
    expect(page.locator("#compare-prompt textarea")).to_have_value(re.compile(r"\{red\|green\|purple\}"), timeout=PATIENCE)
    expect(page.locator("#compare-samplers")).to_be_hidden(timeout=PATIENCE)
    steps = page.locator("#compare-steps input[type=number]")
    expect(steps).to_be_visible(timeout=PATIENCE)
    page.wait_for_timeout(1000)
    for _ in range(5):
        steps.fill("100")
        steps.press("Tab")
        page.wait_for_timeout(400)
        if steps.input_value() == "100":
            break
    pause[0] = 0.05
    page.locator("#compare-draw").click()
    expect(page.locator(".grid figure").first).to_be_visible(timeout=PATIENCE)
    page.locator("#compare-stop").click()
    expect(page.locator("#compare-notice")).to_contain_text(re.compile(r"Stopped after [1-5] pictures"), timeout=PATIENCE)
    pause[0] = 0.0
    expect(page.locator(".files a")).to_have_count(2)
    expect(page.locator("#compare-stop")).to_be_disabled()
