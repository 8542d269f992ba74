"""Styles as a person meets it: a real Chromium that may talk to nobody else, in both languages, at the width of a small phone
and in the dark. The models are tiny and draw noise; what is shown of them is what counts here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import needs_chromium
from PIL import Image
from studio_page import DESKTOP, NAMELESS, PATIENCE, PHONE, expect, go_to, pages, served, sideways
from test_studio_styles import models  # noqa: F401 (a fixture)

from minidiff.pipelines.png_metadata import read_png
from minidiff.studio.models import Models

pytestmark = needs_chromium
NAMES = {"en": "Styles", "vi": "Phong cách"}


@pytest.fixture(scope="module")
def address(models: Models) -> Iterator[str]:  # noqa: F811
    with served(models.first, models.names, models.get) as found:
        yield found


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Any]:
    """Opens the page at Styles, or at Create where an address says more."""
    with pages(browser, address) as opened:

        def at(lang: str = "en", size: dict[str, int] = DESKTOP, query: str = "", **how: Any) -> Any:
            page = opened(lang, size, query, **how)
            return page if query else go_to(page, NAMES[lang], "#styles-draw")

        yield at


def box(page: Any, name: str, where: str = "#styles-loras") -> Any:
    return page.locator(where).get_by_label(name, exact=True)


def test_a_mix_by_keyboard_and_its_picture_brings_it_back_in_create(visit: Any, tmp_path: Path) -> None:
    page = visit()
    for name in ("neon-dit", "outline"):
        box(page, name).focus()
        page.keyboard.press("Space")
        expect(page.locator(f"#styles-{name} input[type=number]")).to_be_visible(timeout=PATIENCE)
    weight = page.locator("#styles-outline input[type=range]")
    weight.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#styles-outline input[type=number]")).to_have_value("0.75")
    page.wait_for_timeout(500)
    page.locator("#styles-draw").press("Enter")
    expect(page.locator("#styles-view .grid figure")).to_have_count(4, timeout=PATIENCE)
    expect(page.locator("#styles-notice .good")).to_contain_text("4 pictures", timeout=PATIENCE)
    said = [one.strip() for one in page.locator("#styles-view figcaption b").all_inner_texts()]
    assert said == ["Without", "neon, by the network 0.8", "outline 0.75", "neon, by the network 0.8 + outline 0.75"]
    with page.expect_download() as saved:
        page.locator("#styles-view figure a").last.press("Enter")
    saved.value.save_as(tmp_path / "mix.png")
    assert read_png(tmp_path / "mix.png")["loras"] == {"neon-dit": 0.8, "outline": 0.75}
    assert page.evaluate(NAMELESS) == []
    page.get_by_role("tab", name="Create").click()
    page.locator("#settings > button").click()
    expect(page.locator("#create-loras")).to_be_visible(timeout=PATIENCE)
    page.wait_for_timeout(1000)
    with page.expect_file_chooser() as chooser:
        page.locator("#load-image").click()
    chooser.value.set_files(tmp_path / "mix.png")
    expect(box(page, "outline", "#create-loras")).to_be_checked(timeout=PATIENCE)
    expect(page.locator("#create-outline input[type=number]")).to_have_value("0.75", timeout=PATIENCE)
    page.locator("#copy-link").click()
    expect(page.locator("#notice")).to_contain_text("clipboard", timeout=PATIENCE)
    assert "loras=neon-dit%3A0.8%2Coutline%3A0.75" in page.url
    page.locator("#draw").click()
    expect(page.locator("#results img")).to_be_visible(timeout=PATIENCE)
    with page.expect_download() as saved:
        page.locator("#results a").first.click()
    saved.value.save_as(tmp_path / "again.png")
    pixels = [Image.open(tmp_path / f"{name}.png").convert("RGB").tobytes() for name in ("mix", "again")]
    assert pixels[0] == pixels[1]
    query = "&" + page.url.partition("?")[2].replace("lang=en&", "")
    page = visit("en", DESKTOP, query)
    page.locator("#settings > button").click()
    expect(page.locator("#create-outline input[type=number]")).to_have_value("0.75", timeout=PATIENCE)


def test_a_sweep_in_vietnamese_on_a_dark_phone(visit: Any, tmp_path: Path) -> None:
    page = visit("vi", PHONE, color_scheme="dark")
    box(page, "neon").check()
    page.locator("#styles-sweep textarea, #styles-sweep input").first.fill("0, 1")
    page.locator("#styles-draw-sweep").click()
    expect(page.locator("#styles-notice .good")).to_contain_text("2 tranh trong", timeout=PATIENCE)
    expect(page.locator("#styles-view h3")).to_contain_text("đèn neon")
    words = page.locator("body").inner_text()
    for text in ("LoRA là một tệp nhỏ", "Xem bài 11", "Các trọng số để dò", "Dò độ mạnh", "Huấn luyện LoRA", "Tải ảnh PNG"):
        assert text in words, text
    for text in ("A LoRA", "Lesson", "Weights", "Strength", "Train", "Download", "Your own", "Without"):
        assert text not in words, text
    assert sideways(page) <= 0
    (tmp_path / "bad.safetensors").write_bytes(b"x" * 50)
    page.locator("#styles-own input[type=file]").set_input_files(tmp_path / "bad.safetensors")
    expect(page.locator("#styles-notice")).to_contain_text("bị hỏng", timeout=PATIENCE)
    page.get_by_text("English", exact=True).click()
    expect(page.locator("#styles-draw")).to_have_text("With and without", timeout=PATIENCE)
    expect(page.locator("#styles-notice")).to_contain_text("is damaged")
    assert page.evaluate(NAMELESS) == []
    assert sideways(page) <= 0


def test_a_lora_is_trained_stopped_and_used(visit: Any, tmp_path: Path) -> None:
    page = visit()
    page.locator("#teach > button").click()
    expect(page.locator("#teach-begin")).to_be_visible(timeout=PATIENCE)
    page.wait_for_timeout(1000)
    page.locator("#teach-begin").click()
    expect(page.locator("#teach-notice [role=alert]")).to_contain_text("0 pictures", timeout=PATIENCE)
    files = []
    for k in range(3):
        files.append(tmp_path / f"{k}.png")
        Image.new("RGB", (40, 40), (80 * k, 20, 90)).save(files[-1])
    page.locator("#teach-pictures input[type=file]").set_input_files(files)
    expect(page.locator("#teach-pictures .file")).to_have_count(3, timeout=PATIENCE)
    page.locator("#teach-captions textarea").fill("a red star")
    page.locator("#teach-begin").click()
    expect(page.locator("#teach-stop")).to_be_enabled(timeout=PATIENCE)
    expect(page.locator("#teach-view figure")).to_have_count(2, timeout=2 * PATIENCE)  # a preview
    page.locator("#teach-stop").click()
    expect(page.locator("#teach-notice")).to_contain_text(re.compile("Stopped after|Learnt in"), timeout=PATIENCE)
    expect(page.locator("#styles-notice")).to_contain_text("my-style.safetensors fits world-dit", timeout=PATIENCE)
    with page.expect_download() as saved:
        page.locator("#teach-view .files a").click()
    assert saved.value.suggested_filename == "my-style.safetensors"
    page.locator("#styles-draw").click()
    expect(page.locator("#styles-view figure")).to_have_count(2, timeout=PATIENCE)
    expect(page.locator("#styles-view figcaption b").last).to_have_text("my-style 0.8")
    assert page.evaluate(NAMELESS) == []
