"""Drawing while somebody types, in a real Chromium: a pause draws, the last words win, and a tiny student draws noise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import needs_chromium
from studio_page import DESKTOP, NAMELESS, PATIENCE, PHONE, expect, pages, pause, served_from, sideways

pytestmark = needs_chromium

WORDS = {"en": ("Draw as I type", "a big red star at night"), "vi": ("Vẽ ngay khi gõ", "một ngôi sao đỏ to vào ban đêm")}


@pytest.fixture(scope="module")
def address(student_zoo: Path) -> Iterator[str]:
    with served_from(student_zoo, ["world-dit-4"], "world-dit-4") as found:
        yield found


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Any]:
    with pages(browser, address) as page:
        yield page


def ticked(page: Any, lang: str) -> Any:
    """The page with the box ticked and its first picture drawn: where the prompt is typed."""
    page.get_by_label(WORDS[lang][0]).check()
    expect(page.locator("#model input")).to_have_value("world-dit-4")
    expect(page.locator("#results img")).to_be_visible(timeout=PATIENCE)
    page.locator("#prompt textarea").fill("")
    return page.locator("#prompt textarea")


@pytest.mark.parametrize(("lang", "size"), [("en", DESKTOP), ("vi", PHONE)])
def test_a_pause_draws_what_is_typed(visit: Any, lang: str, size: dict[str, int]) -> None:
    page = visit(lang, size)
    prompt = ticked(page, lang)
    page.evaluate("window.asked = 0; document.querySelector('#typed').addEventListener('click', () => window.asked += 1)")
    prompt.press_sequentially(WORDS[lang][1], delay=20)
    expect(page.locator("#results img")).to_have_attribute("alt", WORDS[lang][1], timeout=PATIENCE)
    assert 1 <= page.evaluate("window.asked") < 5, "not one for each letter"
    expect(prompt).to_be_focused()
    expect(prompt).to_have_value(WORDS[lang][1])
    page.locator("#settings > button").click()
    expect(page.locator("#steps input[type=number]")).to_have_value("4")
    expect(page.locator("#guidance input[type=number]")).to_have_value("1")
    expect(page.locator("minidiff-history")).to_be_hidden()  # what is typed on the way isn't kept
    expect(page.locator(".results details")).to_have_count(0)
    typed = page.locator("#results img").get_attribute("src")
    page.locator("#draw").click()  # the same, looked at by the judge
    expect(page.locator(".results details")).to_be_attached(timeout=PATIENCE)
    assert page.locator("#results img").get_attribute("src") == typed
    assert sideways(page) <= 0
    assert not page.evaluate(NAMELESS)


def test_the_last_words_win_and_no_picture_is_taken_away(visit: Any) -> None:
    page = visit()
    prompt = ticked(page, "en")
    pause[0] = 0.3  # a drawing takes longer than a pause in the typing
    page.evaluate("""() => {
        window.seen = [];
        new MutationObserver(() => {
            const image = document.querySelector("#results img"), stage = document.querySelectorAll("#stage img");
            window.seen.push(stage.length && image ? image.alt : "nothing");
        }).observe(document.querySelector("#see"), {childList: true, subtree: true, attributes: true});
    }""")
    for word in ("a star", " at night", " at sea", " in a room"):
        prompt.press_sequentially(word, delay=20)
        page.wait_for_timeout(500)
    expect(page.locator("#results img")).to_have_attribute("alt", "a star at night at sea in a room", timeout=PATIENCE)
    seen = page.evaluate("window.seen")
    assert "nothing" not in seen
    assert len(set(seen)) <= 4, "of what was typed meanwhile only the last is drawn"


def test_without_the_tick_and_after_enter_nothing_is_drawn_twice(visit: Any) -> None:
    page = visit()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.post_data) if "/queue/join" in request.url else None)
    prompt = page.locator("#prompt textarea")
    prompt.fill("a star")
    page.wait_for_timeout(1000)
    before = len(asked)
    prompt = ticked(page, "en")
    page.wait_for_timeout(1000)
    drawn = len(asked)
    prompt.fill("a red star")
    prompt.press("Enter")
    expect(page.locator("#results img")).to_have_attribute("alt", "a red star", timeout=PATIENCE)
    page.wait_for_timeout(1000)
    assert (before, len(asked) - drawn) == (0, 1)


def test_an_example_is_drawn_at_once(visit: Any) -> None:
    page = visit()
    ticked(page, "en")
    button = page.locator("#examples button").nth(2)
    text = button.inner_text()
    button.click()
    expect(page.locator("#results img")).to_have_attribute("alt", text, timeout=PATIENCE)
