"""Why a picture isn't what was asked for, as HTML that unfolds: what the model couldn't read, and what the judge sees in it.

The judge is in `judged.py`. Taught in the lesson on measuring.
"""

from __future__ import annotations

from PIL import Image

from minidiff.pipelines.messages import LANGS
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.studio import html, lessons
from minidiff.studio.judged import Judge, Judgement


def why(pipeline: TextToImage, judge: Judge, prompt: str, image: Image.Image) -> str:
    """For one picture; empty where there is nothing to say."""
    seen = judge.verdict(pipeline, prompt, image)
    facts = _unread(pipeline, prompt)
    if seen is None:
        if pipeline.prompt_expander is None:
            facts.append(f"<p>{html.both('why_other_world')}</p>")
        elif judge.networks() is not None:
            facts.append(f"<p>{html.both('why_no_claim')}</p>")
        return _folded("unsure", "?", facts) if facts else ""
    facts.append(_compared(seen))
    if not seen.right:
        facts.append(f"<p>{html.both('why_try')}</p>")
    return _folded(*(("right", "✓") if seen.right else ("wrong", "✗")), facts)


def _folded(verdict: str, sign: str, facts: list[str]) -> str:
    summary = f'<summary><b aria-hidden="true">{sign}</b> {html.both(f"why_{verdict}")}</summary>'
    return f'<details class="why-picture {verdict}">{summary}{"".join(facts)}<p>{lessons.link("measuring")}</p></details>'


def _unread(pipeline: TextToImage, prompt: str) -> list[str]:
    """What of the prompt the model couldn't read."""
    facts = []
    if unseen := pipeline.unknown_words(prompt)[:12]:
        words = " ".join(f"<mark>{html.escape(word)}</mark>" for word in unseen)
        facts.append(f"<p>{html.both('why_unseen')} {words}</p>")
    if pipeline.tokenizer.unread(prompt):
        facts.append(f"<p>{html.both('why_cut', most=pipeline.tokenizer.max_tokens)}</p>")
    return facts


def _compared(seen: Judgement) -> str:
    """What was asked for beside what the judge sees."""

    def told(words: dict[str, str]) -> str:
        return "".join(f'<span lang="{lang}">{html.escape(words[lang])}</span>' for lang in LANGS)

    rows = [("why_asked", told(seen.asked)), ("why_saw", told(seen.saw))]
    if seen.wrong:
        items = "".join(f"<li>{html.both(f'why_{name}')}</li>" for name in seen.wrong)
        rows.append(("why_not", f"<ul>{items}</ul>"))
    return f"<dl>{''.join(f'<dt>{html.both(key)}</dt><dd>{words}</dd>' for key, words in rows)}</dl>"
