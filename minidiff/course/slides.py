"""Slides and handouts of the lessons: reveal.js pages that open without a network, speaker notes, and a page to print.

A cell of the source goes on a slide when it says so (`slide="slide"` begins one, "sub" one below it, "fragment" adds to it);
pictures are those of the built lesson. reveal.js and KaTeX are fetched once from the npm registry and kept beside the pages,
which hold everything else themselves. What it is not: the notebooks (build.py).
"""

from __future__ import annotations

import html
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from minidiff.course.build import ANSWER, lesson_folders, outputs_of, read_lesson, target
from minidiff.course.road import filled
from minidiff.course.say import LANGS
from minidiff.course.source import Cell, SourceError, parts
from minidiff.data import npm
from minidiff.utils.files import write_whole

REVEAL_JS = npm.Package(
    "reveal.js", "6.0.2",
    "JYIg5D9aoxoaLeb84O+OvAwsKWdIavVgEDScxtYEXFCT6t6TQrhNtSgogcjdCpdLsWglhJn3zyE3fUOwiH5KEg==",
    "MIT", "Hakim El Hattab, http://hakim.se, and reveal.js contributors",
)  # fmt: skip
KATEX = npm.Package(
    "katex", "0.19.1",
    "jG8uKntjSEcm2EpQOh0XturpPuuC9r3Sq5HLHdsFdWZT27E672SF19QEi+of0/YeOy15lDgRhKvr5614uRrEfA==",
    "MIT", "Khan Academy and other contributors",
)  # fmt: skip
PACKAGES = (REVEAL_JS, KATEX)
KEPT = ("dist/reveal.js", "dist/reveal.css", "dist/theme/white.css", "dist/plugin/notes.js", "dist/katex.min.js",
        "dist/katex.min.css", "dist/contrib/auto-render.min.js", "dist/fonts/", "LICENSE")  # fmt: skip


@dataclass
class SlidesRun:
    """Make slides and handouts of the built lessons, in English and Vietnamese."""

    out: Path = Path("build/slides")
    """Folder for the pages; reveal.js and KaTeX are kept in its folder assets."""
    only: str = ""
    """Only lessons whose name begins so, such as 04."""
    root: Path = Path(".")
    """Folder that holds minidiff/course/lessons and lessons/en, lessons/vi."""


@dataclass
class Slide:
    """The HTML of one slide, its speaker notes, and the slides below it."""

    body: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    below: list[Slide] = field(default_factory=list)


# --- what reveal.js and KaTeX need ------------------------------------------------------------------------------------


def fetch(assets: Path) -> None:
    """Both packages into `assets`, unless they are there in these versions. Raises SourceError without a network."""
    for package in PACKAGES:
        home = assets / folder_of(package)
        if home.is_dir():
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                files = npm.members(npm.fetch(package, Path(folder)), *KEPT)
            except npm.NpmError as error:
                raise SourceError(f"{error} Slides need the npm registry once.") from None
            for name, content in files.items():
                if ".." not in name:
                    part = Path(folder, "unpacked", name)
                    part.parent.mkdir(parents=True, exist_ok=True)
                    part.write_bytes(content)
            assets.mkdir(parents=True, exist_ok=True)
            shutil.move(Path(folder, "unpacked"), home)


def folder_of(package: npm.Package) -> str:
    """Where a package's files lie among the assets."""
    return f"{package.name.removesuffix('.js')}-{package.version}"


# --- cells to slides ----------------------------------------------------------------------------------------------------


def slides_of(cells: list[Cell], outputs: list[list[Any]], lang: str) -> list[Slide]:
    """The slides of a lesson. outputs: those of the built lesson's code cells, the setup cell's first."""
    pictures = iter(outputs[1:])
    slides: list[Slide] = []
    here: Slide | None = None
    for cell in cells:
        if cell.only not in ("lesson", "both"):
            continue
        shown = next(pictures, []) if cell.is_code else []
        if cell.role == "notes":
            if here is not None:
                here.notes.append(markdown_to_html(cell.text(lang)))
            continue
        if not cell.slide:
            continue
        body = code_to_html(cell, shown) if cell.is_code else text_to_html(cell, lang)
        if cell.slide == "fragment" and here is not None:
            here.body.append(f'<div class="fragment">{body}</div>')
            continue
        here = Slide([body])
        if cell.slide == "sub" and slides:
            slides[-1].below.append(here)
        else:
            slides.append(here)
    return slides


def text_to_html(cell: Cell, lang: str) -> str:
    """A markdown cell; the answer to a question appears on the next click."""
    question, *answers = parts(cell.text(lang)) if cell.role == "think" else [cell.text(lang)]
    folded = (f'<div class="fragment answer"><b>{ANSWER.of(lang)}.</b> {markdown_to_html(a)}</div>' for a in answers)
    return markdown_to_html(question) + "".join(folded)


def code_to_html(cell: Cell, outputs: list[Any]) -> str:
    """A code cell's pictures; the code itself where it has none."""
    pictures = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    if not pictures:
        return f"<pre><code>{html.escape(cell.code)}</code></pre>"
    encoded = ("".join(p if isinstance(p, str) else "".join(p)).replace("\n", "") for p in pictures)
    return "".join(f'<img alt="" src="data:image/png;base64,{source}">' for source in encoded)


def markdown_to_html(text: str) -> str:
    """Markdown as Jupyter shows it; formulas stay as they are, for KaTeX to typeset in the page."""
    from nbconvert.filters.markdown_mistune import markdown2html_mistune

    return markdown2html_mistune(text)


# --- pages --------------------------------------------------------------------------------------------------------------

STYLE = """
.reveal { --r-main-font-size: 30px; --r-heading-text-transform: none; --r-heading1-size: 1.7em; --r-heading2-size: 1.35em;
  --r-heading3-size: 1.1em; --r-main-font: system-ui, sans-serif; --r-heading-font: system-ui, sans-serif; }
.reveal .slides section { text-align: left; }
.reveal .slides section img { display: block; margin: 8px auto; width: 900px; max-height: 400px; object-fit: contain; }
.reveal .slides section > img:only-child { width: 1200px; max-height: 640px; }
.reveal pre { width: 100%; font-size: 0.62em; } .reveal table { font-size: 0.75em; } .reveal .anchor-link { display: none; }
.reveal .answer { border-left: 4px solid #2a76dd; padding-left: 16px; }
"""
PRINT = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46em; margin: 2em auto; padding: 0 1em; }
section { border-top: 1px solid #bbb; padding: 0.6em 0; break-inside: avoid; } img { max-width: 100%; }
aside { color: #444; font-size: 0.9em; border-left: 3px solid #bbb; padding-left: 1em; } .anchor-link { display: none; }
pre { background: #f4f4f4; padding: 0.6em; overflow-x: auto; } table { border-collapse: collapse; }
td, th { border: 1px solid #bbb; padding: 0.2em 0.6em; } .answer { margin-left: 1em; }
"""
MATH = """<link rel="stylesheet" href="{katex}/katex.min.css"><script src="{katex}/katex.min.js"></script>
<script src="{katex}/contrib/auto-render.min.js"></script><script>
renderMathInElement(document.body, {{delimiters: [
  {{left: "$$", right: "$$", display: true}}, {{left: "$", right: "$", display: false}}]}});
</script>"""
HEAD = '<!doctype html><html lang="{lang}"><head><meta charset="utf-8"><title>{title}</title>'
REVEAL = """<script src="{reveal}/reveal.js"></script><script src="{reveal}/plugin/notes.js"></script><script>
Reveal.initialize({{width: 1280, height: 720, margin: 0.05, center: false, hash: true, slideNumber: "c/t",
  plugins: [RevealNotes]}});
</script>"""


def reveal_page(slides: list[Slide], lang: str, title: str, assets: str) -> str:
    """The slides as a page for reveal.js; assets: where its files are, seen from the page."""
    reveal, katex = (f"{assets}/{folder_of(package)}/dist" for package in PACKAGES)
    sheets = "".join(f'<link rel="stylesheet" href="{reveal}/{sheet}.css">' for sheet in ("reveal", "theme/white"))
    body = "\n".join(_stack(slide) for slide in slides)
    return (
        HEAD.format(lang=lang, title=html.escape(title)) + f"{sheets}<style>{STYLE}</style></head><body>"
        f'<div class="reveal"><div class="slides">\n{body}\n</div></div>'
        + MATH.format(katex=katex) + REVEAL.format(reveal=reveal) + "</body></html>\n"
    )  # fmt: skip


def _stack(slide: Slide) -> str:
    if not slide.below:
        return _section(slide)
    return "<section>" + "".join(_section(part) for part in [slide, *slide.below]) + "</section>"


def _section(slide: Slide) -> str:
    notes = f'<aside class="notes">{"".join(slide.notes)}</aside>' if slide.notes else ""
    return f"<section>{''.join(slide.body)}{notes}</section>"


def handout_page(slides: list[Slide], lang: str, title: str, assets: str) -> str:
    """Everything one under the other, notes included, to be printed."""
    katex = f"{assets}/{folder_of(KATEX)}/dist"
    body = "\n".join(_section(part) for slide in slides for part in [slide, *slide.below])
    head = HEAD.format(lang=lang, title=html.escape(title))
    return f"{head}<style>{PRINT}</style></head><body>\n{body}\n{MATH.format(katex=katex)}</body></html>\n"


def command(run: SlidesRun) -> None:
    """Write OUT/en/NN_name.html, OUT/en/NN_name-handout.html and the same for vi. Raises SourceError for a lesson that was
    not built or whose source says of no cell that it goes on a slide."""
    found = lesson_folders(run.root, run.only)
    fetch(run.out / "assets")
    for folder in found:
        lesson, stem = read_lesson(folder), folder.name
        cells = [replace(cell, en=filled(cell.en, lesson, "en"), vi=filled(cell.vi, lesson, "vi")) for cell in lesson.cells]
        for lang in LANGS:
            built = outputs_of(target(run.root, "lessons", lang, folder))
            if built is None:
                raise SourceError(f"{stem} is not built yet: run `minidiff course build --only {stem[:2]}` first.")
            slides = slides_of(cells, built[1], lang)
            if not slides:
                raise SourceError(f'{folder / "lesson.py"} has no slides: mark its cells with slide="slide".')
            title = next((cell.text(lang).lstrip("# ").split("\n")[0] for cell in cells if not cell.is_code), stem)
            for name, page in ((stem, reveal_page), (f"{stem}-handout", handout_page)):
                path = run.out / lang / f"{name}.html"
                write_whole(path, page(slides, lang, title, "../assets"))
                print(path)
