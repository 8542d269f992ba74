"""The studio at work, for the README: `python -m benchmarks.studio_pictures` opens the shipped models in a browser and writes
docs/inside.webp, an animation of Look inside, and docs/compare.png, a grid of Compare as the studio exports it."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from minidiff.pipelines.loading import load_pipeline
from minidiff.studio import app, grid_picture
from minidiff.studio.comparing import Comparison, cells_of, draw_cells, saved
from minidiff.studio.judged import shared
from minidiff.studio.models import Models
from minidiff.utils.browser import chromium

INSIDE, WORD, SEED = "a big red star left of a small blue house at night", "house", 42
COMPARED = Comparison(
    "samplers", "hai con cá màu vàng trên biển", "world-dit", samplers=("dpmpp_2m", "ddim", "euler_a"),
    step_counts=(2, 4, 8, 20),
)  # fmt: skip
WIDTH = 720             # pixels of the animation
MOMENT, LAST = 350, 2500  # milliseconds


@contextmanager
def opened() -> Iterator[Any]:
    """A page of the studio with the shipped model."""
    from playwright.sync_api import sync_playwright

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    blocks = app.build(load_pipeline(), "en")
    address = app.launch(blocks, "127.0.0.1", port, "en", block=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1000, "height": 1400})
        page.goto(address)
        page.wait_for_selector("#note .tokens")
        yield page
        browser.close()
    blocks.close()


def inside(path: Path = Path("docs/inside.webp")) -> None:
    """Every moment of a drawing: what the network sees and expects, and where a word is heard."""
    with opened() as page:
        page.get_by_role("tab", name="Look inside").click()
        page.wait_for_timeout(2000)  # what a tab holds is mounted when it opens
        page.locator("#inspect-prompt textarea").fill(INSIDE)
        page.locator("#inspect-seed input").fill(str(SEED))
        page.locator("#open-up").click()
        page.locator("#inspect-notice .good").wait_for()
        page.locator("minidiff-inside").get_by_role("button", name=WORD).first.click()
        first = page.locator("minidiff-inside > *").first.bounding_box()  # the slider; then noise and picture, and the words
        words = page.locator("minidiff-inside > *", has_text="Where each word is heard").bounding_box()
        slider = page.locator("minidiff-inside input[type=range]")
        frames = []
        for moment in range(int(slider.get_attribute("max")) + 1):
            slider.evaluate("(s, k) => { s.value = k; s.dispatchEvent(new Event('input', {bubbles: true})); }", moment)
            page.wait_for_timeout(150)
            bottom = words["y"] + words["height"]
            clip = {"x": first["x"] - 12, "y": first["y"] - 8, "width": first["width"] + 24, "height": bottom - first["y"] + 16}
            shot = Image.open(io.BytesIO(page.screenshot(clip=clip, full_page=True))).convert("RGB")
            frames.append(shot.resize((WIDTH, round(shot.height * WIDTH / shot.width)), Image.Resampling.LANCZOS))
    times = [MOMENT] * (len(frames) - 1) + [LAST]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=times, loop=0, quality=72, method=6)


def compare(path: Path = Path("docs/compare.png")) -> None:
    """What samplers make of one noise in few and in many steps, each with its cost and the judge's verdict."""
    models = Models(load_pipeline())
    drawn = [state.drawn for state in draw_cells(models, cells_of(COMPARED), shared()) if state.drawn is not None]
    path.write_bytes(grid_picture.png(COMPARED, drawn, saved(COMPARED, drawn), "en"))


if __name__ == "__main__":
    inside()
    compare()
