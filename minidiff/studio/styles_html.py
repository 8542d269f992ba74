"""Pictures with LoRAs, and a training, as HTML. The grid grows only at its end, as that of Compare."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping

from PIL import Image

from minidiff.pipelines.messages import LANGS
from minidiff.studio import html, lessons
from minidiff.studio.styling import Cell, Drawn, title


def empty() -> str:
    """What stands there before the first picture."""
    return f'<div class="inside-empty"><p class="last">{html.both("styles_idle")}</p></div>'


def explanation() -> str:
    return f'<p class="why">{html.both("styles_about")} {lessons.link("loras")}</p>'


def teaching() -> str:
    return f'<p class="why">{html.both("teach_about")} {lessons.link("teaching")}</p>'


def spoken(words: Callable[[str], str]) -> str:
    """words: what is said in a language; once where all are the same."""
    texts = [words(lang) for lang in LANGS]
    if len(set(texts)) == 1:
        return html.escape(texts[0])
    return "".join(f'<span lang="{lang}">{html.escape(text)}</span>' for lang, text in zip(LANGS, texts, strict=True))


def mix_words(strengths: Mapping[str, float]) -> str:
    """Such as "watercolour 0.8 + neon 0.3"."""
    if not strengths:
        return html.both("styles_without")
    return spoken(lambda lang: " + ".join(f"{title(name, lang)} {strength:g}" for name, strength in strengths.items()))


def begin(columns: int) -> str:
    """The start of a grid, in which cells follow."""
    return f'<div class="grid styles" style="--columns:{columns}">'


def cell(drawn: Drawn, png: bytes, number: int, seed: int, sweep: bool) -> str:
    """A picture, its mix (in a sweep the weight alone) and what it took. number: of the cell, from 0."""
    name, picture = f"style-{number}", html.data_uri(png)
    words = weight_words(drawn.cell) if sweep else mix_words(drawn.cell.strengths)
    cost = html.both("styles_decoded" if drawn.again and not sweep else "styles_cost", ms=round(drawn.milliseconds))
    return (
        f'<figure><img src="{picture}" alt="" aria-labelledby="{name}"><figcaption><b id="{name}">{words}</b>'
        f'<span class="cost">{cost}</span><a download="minidiff-{seed}-{number + 1}.png" href="{picture}">'
        f'{html.both("download")}</a></figcaption></figure>'
    )


def weight_words(cell: Cell) -> str:
    return html.escape(f"{next(iter(cell.strengths.values())):g}")


def heading(cell: Cell) -> str:
    """The title of a sweep's row."""
    name = next(iter(cell.strengths))
    return f"<h3>{spoken(lambda lang: title(name, lang))}</h3>"


def end(decoded: bool) -> str:
    """Closes the grid. decoded: whether some cells were decoded only."""
    return "</div>" + (f'<p class="why">{html.both("styles_note")}</p>' if decoded else "")


def learning(
    step: int, n: int, pictures: list[tuple[str, Image.Image]], loss: str = "", file: tuple[str, bytes] | None = None
) -> str:
    """A training: how far it is, previews with their captions (HTML), a sentence on the loss (HTML), and the finished file."""
    share = 100 * min(step / n, 1) if n else 0
    bar = (
        f'<div class="bar" role="progressbar" aria-valuemin="0" aria-valuemax="{n}" aria-valuenow="{min(step, n)}" '
        f'aria-labelledby="teach-state"><div style="width:{share:.1f}%"></div></div>'
    )
    figures = "".join(
        f'<figure><img src="{html.data_uri(html.encode(image, level=6))}" alt="" aria-labelledby="teach-{k}">'
        f'<figcaption><b id="teach-{k}">{words}</b></figcaption></figure>'
        for k, (words, image) in enumerate(pictures)
    )
    grid = f'<div class="grid styles" style="--columns:{max(2, len(pictures))}">{figures}</div>' if pictures else ""
    said = f'<p class="why">{loss}</p>' if loss else ""
    return f'<div class="teaching">{bar}{grid}{said}{_link(*file) if file else ""}</div>'


def _link(name: str, data: bytes) -> str:
    address = "data:application/octet-stream;base64," + base64.b64encode(data).decode("ascii")
    words = html.both("teach_save", name=name)
    return f'<p class="files"><a download="{html.escape(name)}" href="{address}">{words}</a></p>'
