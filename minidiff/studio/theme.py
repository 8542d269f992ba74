"""Colours, fonts and the few lines of script of the page. No font or script comes from another server."""

from __future__ import annotations

import json
from pathlib import Path

import gradio as gr
from gradio.themes.utils import colors, sizes

from minidiff.studio import html
from minidiff.studio.labels import IN_SCRIPTS, LABELS

HERE = Path(__file__).parent
STYLES = ("studio.css", "tabs.css", "create.css", "inside.css", "compare.css", "edit.css", "styles.css", "learn.css")
SCRIPTS = ("studio.js", "tabs.js", "history.js", "typing.js", "inside.js", "edit.js")  # the first makes what the others use
FONT = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

INK = colors.Color(
    c50="#f8f8f6", c100="#f0f0ec", c200="#e2e2dc", c300="#cbcbc3", c400="#9c9c94", c500="#71716b", c600="#55554f",
    c700="#3b3c3c", c800="#26282b", c900="#191b1e", c950="#121316", name="ink",
)
LAKE = colors.Color(
    c50="#eef6f6", c100="#d6eaea", c200="#b0d6d7", c300="#7fbabd", c400="#4c999e", c500="#2c7d84", c600="#20656c",
    c700="#1c5259", c800="#1a4349", c900="#18383d", c950="#0a2327", name="lake",
)


def theme() -> gr.themes.Base:
    """Paper and lake: warm greys, one accent, thin borders, no shadows."""
    return gr.themes.Base(
        primary_hue=LAKE, secondary_hue=LAKE, neutral_hue=INK, radius_size=sizes.radius_lg, font=FONT, font_mono=MONO
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        background_fill_secondary="*neutral_50",
        background_fill_secondary_dark="*neutral_950",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="1px",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_800",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_title_text_weight="500",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_400",
        input_background_fill="*neutral_50",
        input_background_fill_dark="*neutral_950",
        input_border_color="*neutral_200",
        input_border_color_dark="*neutral_700",
        input_border_color_focus="*primary_500",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_500",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
        button_secondary_background_fill="white",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_secondary_border_color="*neutral_200",
        button_secondary_border_color_dark="*neutral_700",
        button_secondary_text_color="*neutral_800",
        button_secondary_text_color_dark="*neutral_100",
        button_border_width="1px",
        button_transition="background-color 0.15s ease, border-color 0.15s ease, color 0.15s ease",
        slider_color="*primary_500",
        slider_color_dark="*primary_400",
    )


def css() -> str:
    """The style sheets, and words of gradio's own that they replace: it speaks the browser's language, not the page's."""
    words = {lang: json.dumps(text, ensure_ascii=False) for lang, text in LABELS["drop"].items()}
    return f':root {{ --drop: {words["en"]}; }} html[lang="vi"] {{ --drop: {words["vi"]}; }}\n{_text(STYLES)}'


def head(lang: str) -> str:
    """Runs before gradio does: the page's language, which the style sheet reads, from the link or the default."""
    words = {key: LABELS[key] for key in IN_SCRIPTS}
    refusal = html.notice(html.both("queue_full"), "bad")
    values = {"lang": lang, "titles": LABELS["title"], "words": words, "refusal": refusal}
    safe = json.dumps(values, ensure_ascii=False).replace("<", "\\u003c")  # no value can end the script
    return f"<script>window.minidiff = {safe};\n{_text(SCRIPTS)}</script>"


def _text(names: tuple[str, ...]) -> str:
    return "\n".join((HERE / name).read_text(encoding="utf-8") for name in names)
