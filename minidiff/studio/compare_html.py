"""A grid as HTML. While it is drawn it only grows at its end, so that gradio sends each picture once; a browser closes what is
left open.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from minidiff.pipelines.messages import LANGS
from minidiff.studio import html, lessons
from minidiff.studio.comparing import Comparison, Drawn, Kind, Title
from minidiff.studio.judged import Judgement
from minidiff.studio.labels import label

LESSONS: dict[Kind, str] = {
    "samplers": "steps", "guidance": "guidance", "prompts": "prompts", "models": "models", "seeds": "seeds"
}


def both_titles(title: Title) -> str:
    """In each language; once where both are the same, as the words of a visitor are."""
    if title.text("en") == title.text("vi"):
        return html.escape(title.text("en"))
    return "".join(f'<span lang="{lang}">{html.escape(title.text(lang))}</span>' for lang in LANGS)


def empty() -> str:
    """What stands there before the first grid."""
    return f'<div class="inside-empty"><p class="last">{html.both("compare_idle")}</p></div>'


def explanation(kind: Kind) -> str:
    """The sentence under the choice of what is compared, and the lesson about it."""
    return f'<p class="why">{html.both(f"compare_{kind}_info")} {lessons.link(LESSONS[kind])}</p>'


def begin(comparison: Comparison) -> str:
    """The start of a grid, in which cells follow."""
    return f'<div class="grid" style="--columns:{len(comparison.column_titles)}">'


def cell(comparison: Comparison, drawn: Drawn) -> str:
    """A cell, and before the first of a row the row's title."""
    at = drawn.cell
    row, column = comparison.row_titles[at.row], comparison.column_titles[at.column]
    heading = f"<h3>{both_titles(row)}</h3>" if at.column == 0 else ""
    name = f"cell-{at.row}-{at.column}"
    if drawn.image is None or drawn.refusal is not None:
        refusal = html.refusal(drawn.refusal) if drawn.refusal else ""
        caption = f"<figcaption><b>{both_titles(column)}</b></figcaption>"
        return f'{heading}<figure><div class="blank"><p>{refusal}</p></div>{caption}</figure>'
    picture = html.data_uri(html.encode(drawn.image, level=6))
    cost = html.both("cell_cost", evaluations=drawn.evaluations, ms=round(drawn.milliseconds))
    return (
        f'{heading}<figure><img src="{picture}" alt="" aria-labelledby="{name}"><figcaption><b id="{name}">'
        f'{both_titles(column)}</b>{verdict(drawn.judgement)}<span class="cost">{cost}</span></figcaption></figure>'
    )


def verdict(judgement: Judgement | None) -> str:
    """The judge's word, and what it saw for those who point at it or reach it by keyboard."""
    if judgement is None:
        return ""
    key, sign = ("right", "✓") if judgement.right else ("wrong", "✗")
    saw = "".join(
        f'<span lang="{lang}">{html.escape(label("judge_saw", lang, saw=judgement.saw[lang]))}</span>' for lang in LANGS
    )
    said = f"{sign} {html.both(key)}"
    return f'<span class="verdict {key}" tabindex="0">{said}<span class="saw" role="tooltip">{saw}</span></span>'


def end(png: bytes, text: str, judged: bool) -> str:
    """Closes the grid: what the marks mean, and the files."""
    note = f'<p class="why">{html.both("judge_note")} {lessons.link("measuring")}</p>' if judged else ""
    table = "data:application/json;base64," + base64.b64encode(text.encode()).decode("ascii")
    return (
        f'</div>{note}<p class="files"><a download="minidiff-grid.png" href="{html.data_uri(png)}">{html.both("grid_png")}</a>'
        f'<a download="minidiff-grid.json" href="{table}">{html.both("grid_json")}</a></p>'
    )


def judged(drawn: Sequence[Drawn]) -> bool:
    return any(one.judgement is not None for one in drawn)
