"""What networks say of pictures that passed so far, a piece at a time. The networks are handed in from above
(evaluate/prepare_images.py); here are only the maps that call them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from PIL import Image

from minidiff.data.images.looking import Caption, Seen, opened
from minidiff.data.images.sources import Found

Job = tuple[Found, Seen]
Score = Callable[[Sequence[Image.Image], Sequence[Sequence[Caption]]], Sequence[float]]
"""RGB pictures of any sizes, and the captions of each, to a number for each."""
Translate = Callable[[Sequence[str], str], Sequence[str]]
"""Texts, and the language ("en" or "vi") to put them into, to texts; "" where it can't."""
BATCH = 16  # pictures that a network sees at once


@dataclass(frozen=True)
class Judge:
    """A score as a step. name: of the step; make: loads its network, where it runs; threshold: of the score; above: whether a
    higher score is refused, not a lower one; by: which network, for the report."""

    name: str
    make: Callable[[], Score]
    threshold: float
    above: bool = False
    by: str = ""


def scorer(make: Callable[[], Score]) -> Callable[[Sequence[Job]], list[float]]:
    """Loads a network, and returns what scores a piece."""
    return partial(scored, make())


def scored(score: Score, jobs: Sequence[Job]) -> list[float]:
    """A score for each, to four digits."""
    found: list[float] = []
    for start in range(0, len(jobs), BATCH):
        part = jobs[start : start + BATCH]
        pictures = [opened(sample)[0] for sample, _ in part]
        found += [round(float(value), 4) for value in score(pictures, [seen.captions for _, seen in part])]
    return found


def translator(make: Callable[[], Translate]) -> Callable[[Sequence[Job]], list[list[str]]]:
    """Loads a network, and returns what fills in the missing language of a piece."""
    return partial(translated, make())


def translated(translate: Translate, jobs: Sequence[Job]) -> list[list[str]]:
    """For each picture [language, text] that it lacked, or nothing."""
    found: list[list[str]] = [[] for _ in jobs]
    for source, target in (("en", "vi"), ("vi", "en")):
        lacking = {}
        for k, (_, seen) in enumerate(jobs):
            told = {caption.language: caption.text for caption in reversed(seen.captions)}  # the first of each language
            if source in told and target not in told:
                lacking[k] = told[source]
        for start in range(0, len(lacking), BATCH):
            numbers = list(lacking)[start : start + BATCH]
            texts = translate([lacking[k] for k in numbers], target)
            for k, text in zip(numbers, texts, strict=True):
                found[k] = [target, text] if text.strip() else []
    return found
