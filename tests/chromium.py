"""The browser of the tests: the one that CHROMIUM names, or the first of NAMES on the path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from minidiff.utils.browser import NAMES, chromium

CHROMIUM = chromium()
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]

needs_chromium = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason=f"no Chromium here: install {' or '.join(NAMES)}, or name one by CHROMIUM"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
