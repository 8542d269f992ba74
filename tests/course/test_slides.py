"""Slides and handouts, looked at in a browser that has no network: every slide fits, every picture is there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chromium import needs_chromium
from test_source import edit, source_of

from minidiff.course import slides as slides_module
from minidiff.course.build import BuildRun, build, lesson_folders
from minidiff.course.say import LANGS
from minidiff.course.slides import PACKAGES, SlidesRun, command, slides_of
from minidiff.course.source import SourceError, accept, read
from minidiff.data import npm

ROOT = Path(__file__).parents[2]


def in_a_browser(test: Callable) -> Callable:
    for mark in needs_chromium:
        test = mark(test)
    return test


MEASURE = """() => {
  const frame = document.querySelector('.slides').getBoundingClientRect();
  const section = Reveal.getCurrentSlide();
  section.querySelectorAll('.fragment').forEach(f => f.classList.add('visible'));
  const seen = [...section.querySelectorAll('p, li, img, pre, table, h1, h2, h3, .katex-html')].filter(e => e.offsetParent);
  const boxes = seen.map(e => e.getBoundingClientRect()).filter(b => b.width > 0);
  const images = [...section.querySelectorAll('img')];
  return {
    text: section.innerText.slice(0, 60),
    over: Math.max(0, ...boxes.map(b => Math.max(b.bottom - frame.bottom, b.right - frame.right, frame.left - b.left))),
    broken: images.filter(i => !i.complete || i.naturalWidth === 0).length,
    pictures: images.length, empty: boxes.length === 0,
    raw: /\\$[^$]+\\$/.test(section.innerText), errors: section.querySelectorAll('.katex-error').length,
  };
}"""


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assets")
    slides_module.fetch(folder)
    return folder


def make(root: Path, out: Path, assets: Path, only: str = "") -> Path:
    shutil.copytree(assets, out / "assets")
    command(SlidesRun(out=out, root=root, only=only))
    return out


def walk(browser: Any, page_file: Path) -> list[dict[str, Any]]:
    """What MEASURE says of every slide of a page. A request that fails or goes anywhere else than to files fails the test."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    failed: list[str] = []
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.on("request", lambda request: failed.append(request.url) if request.url.startswith("http") else None)
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.goto(page_file.as_uri())
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    page.evaluate("Reveal.configure({transition: 'none'})")
    measured = []
    for place in page.evaluate("Reveal.getSlides().map(s => Reveal.getIndices(s))"):
        page.evaluate("([h, v]) => Reveal.slide(h, v)", [place["h"], place["v"] or 0])
        measured.append(page.evaluate(MEASURE))
    page.close()
    assert not failed
    return measured


def fits(slide: dict[str, Any]) -> bool:
    return slide["over"] <= 2 and not slide["broken"] and not slide["empty"] and not slide["raw"] and not slide["errors"]


class TestToy:
    """What goes on which slide."""

    def test_slides_fragments_answers_and_notes(self, toy: Path) -> None:
        cells = read(source_of(toy))
        picture = [{"data": {"image/png": "QUJD"}}]
        first, plot, slider = slides_of(cells, [[], [], picture, picture], "vi")
        assert "không gian ẩn" in first.body[0] and "Nói chậm thôi" in first.notes[0]
        assert 'class="fragment"' in first.body[1] and "Trả lời" in first.body[1]
        assert plot.body == slider.body == ['<img alt="" src="data:image/png;base64,QUJD">']

    def test_a_lesson_that_is_not_built_or_has_no_slides_is_one_sentence(self, toy: Path, tmp_path: Path, assets: Path) -> None:
        with pytest.raises(SourceError, match="is not built yet"):
            make(toy, tmp_path / "out", assets)
        build(BuildRun(root=toy, run=False))
        text = source_of(toy).read_text(encoding="utf-8").replace(' slide="slide"', "").replace(' slide="fragment"', "")
        source_of(toy).write_text(text, encoding="utf-8")
        with pytest.raises(SourceError, match="has no slides"):
            command(SlidesRun(out=tmp_path / "out", root=toy))

    def test_without_a_network_the_sentence_says_what_is_needed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(slides_module.shutil, "which", lambda name: None)
        monkeypatch.setattr(npm, "REGISTRY", "http://127.0.0.1:9")
        with pytest.raises(SourceError, match="cannot be fetched .*need the npm registry once"):
            slides_module.fetch(tmp_path / "assets")
        assert not (tmp_path / "assets").exists()


def test_packages_are_fetched_once_and_hold_their_licence(assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [assets / f"{package.name.removesuffix('.js')}-{package.version}" for package in PACKAGES]
    assert all((folder / "LICENSE").is_file() for folder in folders)
    monkeypatch.setattr(npm, "fetch", lambda *_: pytest.fail("fetched again"))
    slides_module.fetch(assets)


@in_a_browser
def test_the_browser_notices_a_slide_that_is_too_full(browser: Any, toy: Path, tmp_path: Path, assets: Path) -> None:
    edit(
        source_of(toy),
        "# A **latent space** is not needed: $y = x / 2$.",
        "# A **latent space** $\\frac{1}{2}$.\n" + "#\n# line\n" * 40,
    )
    accept(source_of(toy))
    build(BuildRun(root=toy))
    first, plot, slider = walk(browser, make(toy, tmp_path / "out", assets) / "en" / "99_halves.html")
    assert first["over"] > 100 and fits(plot) and fits(slider) and plot["pictures"] == 1


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, assets: Path) -> Path:
    return make(ROOT, tmp_path_factory.mktemp("slides") / "out", assets)


@in_a_browser
@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("lesson", [folder.name for folder in lesson_folders(ROOT)])
def test_every_slide_of_every_lesson_fits(browser: Any, built: Path, lesson: str, lang: str) -> None:
    slides = walk(browser, built / lang / f"{lesson}.html")
    assert [(slide["text"], slide) for slide in slides if not fits(slide)] == []
    assert len(slides) >= 8 and sum(slide["pictures"] for slide in slides) >= 2


@in_a_browser
@pytest.mark.parametrize("lang", LANGS)
def test_a_handout_prints_on_pages_with_its_notes(browser: Any, built: Path, lang: str, tmp_path: Path) -> None:
    for folder in lesson_folders(ROOT):
        page = browser.new_page()
        page.goto((built / lang / f"{folder.name}-handout.html").as_uri())
        assert page.evaluate("document.querySelectorAll('section').length") >= 8
        assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        assert page.evaluate("document.querySelectorAll('aside.notes').length") >= 1
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        page.pdf(path=tmp_path / "handout.pdf")
        assert (tmp_path / "handout.pdf").stat().st_size > 10_000
        page.close()
