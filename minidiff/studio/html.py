"""The parts of the page that are not gradio's, as HTML.

All words are there in both languages, each in an element with its `lang`, and the style sheet shows those of the page's
language. Whatever a visitor wrote goes through `escape`.
"""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Sequence
from difflib import SequenceMatcher

from PIL import Image

from minidiff.pipelines.messages import LANGS
from minidiff.pipelines.request import RequestError
from minidiff.studio import measured as figures
from minidiff.studio.labels import label


def escape(text: object) -> str:
    """Text that is safe inside HTML and inside gradio's templates, which give a meaning to $, { and } too."""
    safe = html.escape(str(text), quote=True)
    for sign in "${}`":
        safe = safe.replace(sign, f"&#{ord(sign)};")
    return safe


def both(key: str, **values: object) -> str:
    """The words `key` in each language, of which one is visible."""
    return "".join(f'<span lang="{lang}">{escape(label(key, lang, **values))}</span>' for lang in LANGS)


def refusal(error: RequestError) -> str:
    """A refused request, in each language."""
    return "".join(f'<span lang="{lang}">{escape(error.text(lang))}</span>' for lang in LANGS)


def notice(content: str = "", kind: str = "info") -> str:
    """The line under the buttons; `content` is HTML already. kind: "info", "good" or "bad"."""
    role = "alert" if kind == "bad" else "status"
    return f'<p class="notice {kind}" role="{role}">{content}</p>'


def line(notice: str) -> str:
    """A notice of a tab that has no stage: it also says that it waits for the model, from the press of a button until the
    server answers (`waitFor` in studio.js)."""
    return f'<div class="line">{notice}<p class="queued notice">{both("waiting")}</p></div>'


def header() -> str:
    return f'<div class="masthead"><h1>{both("title")}</h1><p>{both("tagline")}</p></div>'


def about_figures() -> str:
    """Where the measured figures of the info lines come from."""
    told = "".join(f'<span lang="{lang}">{escape(figures.about(lang))}</span>' for lang in LANGS)
    return f'<p class="measured-about">{told}</p>' if figures.about("en") else ""


def note(tokens: int, unseen: Sequence[str], too_many: str = "", measured: bool = False) -> str:
    """What the tokenizer makes of the prompt: how many tokens, and which words it never met. too_many: HTML. measured: whether
    the figures of the info lines are this model's, for the style sheet."""
    count = both("one_token") if tokens == 1 else both("tokens", count=tokens)
    parts = [f'<span class="tokens">{count}</span>']
    if too_many:
        parts.append(f'<span class="too-many">{too_many}</span>')
    if unseen:
        words = " ".join(f"<mark>{escape(word)}</mark>" for word in unseen)
        parts.append(f'<span class="unseen">{both("unseen")} {words}</span>')
    return f'<p class="note{" measured" if measured else ""}" aria-live="polite">{" ".join(parts)}</p>'


def data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def encode(image: Image.Image, level: int = 1) -> bytes:
    """PNG bytes, quickly; for previews, which carry no text."""
    file = io.BytesIO()
    image.save(file, format="PNG", compress_level=level)
    return file.getvalue()


def _pane(key: str, symbol: str, image: Image.Image | None, pixelated: bool) -> str:
    picture = '<div class="blank"></div>'
    if image is not None:
        style = ' class="pixelated"' if pixelated else ""
        # named by the caption, of which only the page's language is shown
        picture = f'<img{style} src="{data_uri(encode(image))}" alt="" aria-labelledby="caption-{key}">'
    return f'<figure>{picture}<figcaption id="caption-{key}">{both(key)} <i>{symbol}</i></figcaption></figure>'


def stage(
    noisy: Image.Image | None = None,
    predicted: Image.Image | None = None,
    index: int = 0,
    n: int = 0,
    words: str = "idle",
) -> str:
    """x_t and the predicted x0 side by side, and how far the sampling is. words: what stands there before step 1."""
    state = both("step", index=index, n=n) if n else both(words)
    share = 100 * index / n if n else 0
    panes = _pane("noisy", "x<sub>t</sub>", noisy, True) + _pane("predicted", "x̂<sub>0</sub>", predicted, False)
    return (
        f'<div class="stage{" busy" if words == "waiting" or 0 < index < n else ""}">'
        f'<div class="panes">{panes}</div>'
        f'<div class="bar" role="progressbar" aria-valuemin="0" aria-valuemax="{n}" aria-valuenow="{index}" '
        f'aria-labelledby="stage-state"><div style="width:{share:.1f}%"></div></div>'
        f'<p class="state" id="stage-state">{state}</p><p class="queued">{both("waiting")}</p></div>'
    )


def added(prompt: str, text: str) -> str:
    """An expanded prompt, in which the words that weren't typed are marked."""

    def bare(words: list[str]) -> list[str]:
        return [word.strip(".,;:!?").lower() for word in words]

    typed, words = prompt.split(), text.split()
    parts = []
    for what, _, _, start, end in SequenceMatcher(None, bare(typed), bare(words), autojunk=False).get_opcodes():
        if some := escape(" ".join(words[start:end])):
            parts.append(some if what == "equal" else f"<ins>{some}</ins>")
    return " ".join(parts)


def expanded(prompt: str, text: str) -> str:
    """What was drawn in place of the prompt; empty where it is the same."""
    if text == prompt:
        return ""
    here = "\0"  # in no prompt
    told = (f'<span lang="{lang}">{escape(label("expanded_prompt", lang, text=here))}</span>' for lang in LANGS)
    return f'<p class="expanded-prompt">{"".join(told)}</p>'.replace(here, added(prompt, text))


def results(
    pngs: Sequence[bytes], prompt: str, seeds: Sequence[int], expanded_prompts: Sequence[str], settings: str = "",
    whys: Sequence[str] = (),
) -> str:
    """The finished images, to be saved as PNG. An expanded prompt is shown where it says more than the prompt. settings: JSON
    that brings them back, for history.js. whys: HTML below each image."""
    if not pngs:
        return ""
    more = [expanded(prompt, text) for text in expanded_prompts]
    legend = f'<p class="legend">{both("expanded_legend")}</p>' if any("<ins>" in one for one in more) else ""
    cards = "".join(
        f'<figure><img src="{data_uri(png)}" alt="{escape(prompt)}">{one}'
        f'<figcaption><span>#{seed}</span>'
        f'<a download="minidiff-{seed}.png" href="{data_uri(png)}">{both("download")}</a></figcaption>{why}</figure>'
        for png, seed, one, why in zip(pngs, seeds, more, whys or [""] * len(pngs), strict=True)
    )
    kept = f' data-settings="{escape(settings)}"' if settings else ""
    return (
        f'<section class="results n{len(pngs)}"{kept}><h2>{both("results")}</h2><div class="cards">{cards}</div>{legend}'
        "</section>"
    )


def history(loras: Sequence[str]) -> str:
    """The strip of this visit's pictures, which history.js fills and the server never sees. loras: the sliders of Create."""
    said, names = escape(notice(both("recalled"), "good")), escape(json.dumps(list(loras)))
    return (
        f'<minidiff-history data-said="{said}" data-loras="{names}" hidden>'
        f'<p class="eyebrow">{both("history")}</p><div class="strip"></div>'
        f'<p class="eyebrow">{both("history_note")}</p></minidiff-history>'
    )
