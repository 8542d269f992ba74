"""Prompt expansion: places are added to a prompt that leaves them open, before the model sees it.

From "a cat and a house" a small model often makes two cats; from "a cat left of a house" it makes both things. Large systems
use a language model (Betker et al. 2023, "Improving Image Generation with Better Captions"); here the grammar of `captions`,
read backwards, is enough. A prompt with a word that it doesn't know is left alone.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from minidiff.data.world.captions import (
    COLOURS_VI,
    COUNTS_EN,
    COUNTS_VI,
    ENGLISH,
    SHAPES_EN,
    SHAPES_VI,
    SIZES_EN,
    SIZES_VI,
    VIETNAMESE,
    spot_words,
    strip_accents,
)
from minidiff.data.world.scenes import COLOURS, PLACES, RELATIONS

GRAMMARS = {"en": ENGLISH, "vi": VIETNAMESE}
AXES = (("left", "right"), ("right", "left"), ("top", "bottom"), ("bottom", "top"))  # the outer two of three things


@dataclass(frozen=True)
class Sentence:
    """A prompt that leaves open where its one to three things stand, word for word; lang is a key of GRAMMARS."""

    before: str
    things: tuple[str, ...]
    gaps: tuple[str, ...]
    after: str
    counts: tuple[int, ...]
    between: bool  # whether it says that the first thing is between the others, which leaves the axis open
    lang: str


def expand_prompt(prompt: str, seed: int, tell_places: bool = False) -> str:
    """The prompt with places: a relation of two things, the middle one of three, the place of a single one. Two or three of a
    kind become two groups: "three cars" are "a car above two cars". Unchanged are prompts that have places, are not understood,
    or have four of a kind (these come out better so).

    prompt: in Unicode NFC. seed: decides the places, in each language the same. tell_places: for models whose captions told
    places (`layout.tell_places`): also say on which sides the outer two of three things are.
    """
    sentence = read(prompt)
    if sentence is None:
        return prompt
    rng, grammar, counts = random.Random(f"places {seed}"), GRAMMARS[sentence.lang], sentence.counts
    things, gaps, after = sentence.things, sentence.gaps, sentence.after
    told = [""] * len(things)  # the place after each thing
    if counts == (1,):
        told[0] = f" {grammar.places[rng.choice(PLACES)][0]}"
    elif counts in ((1, 1), (1, 2), (2, 1), (1, 3), (3, 1)):  # what the world puts side by side
        gaps = (f" {grammar.relations[rng.choice(RELATIONS[:4])][0]} ",)
    elif counts in ((2,), (3,)):
        things = tuple(_renumbered(things[0], count, sentence.lang) for count in (1, counts[0] - 1))
        relation = rng.choice(RELATIONS[:4] if counts == (2,) else ("above", "below"))  # one beside two comes out worse
        gaps, told = (f" {grammar.relations[relation][0]} ",), ["", ""]
    elif counts == (1, 1, 1):
        gaps = gaps if sentence.between else (f" {grammar.between[0]} ", f" {grammar.conjunction} ")
        if tell_places:
            told[1:] = (spot_words(end, grammar) for end in rng.choice(AXES))
            after = f",{after}" if after.startswith(" ") else after  # before the setting, as captions do
    else:
        return prompt
    said = "".join(thing + words + gap for thing, words, gap in zip(things, told, (*gaps, ""), strict=True))
    if prompt == strip_accents(prompt):  # Vietnamese typed without accents goes on without them
        said = strip_accents(said)
    return sentence.before + said + after


def read(prompt: str) -> Sentence | None:
    """A prompt taken apart; None when a word of it is not understood or no place is open."""
    text = strip_accents(prompt).lower()
    if len(text) != len(prompt):  # a letter must stay one letter, so that positions in both agree
        return None
    for lang in GRAMMARS:
        if found := _pattern(lang).fullmatch(text):
            spans = [found.span(name) for name in ("first", "second", "third") if found[name]]
            counts = tuple(_count(text[start:end]) for start, end in spans)
            gaps = tuple(prompt[end:start] for (_, end), (start, _) in pairwise(spans))
            between = found["between"] is not None
            if between and counts != (1, 1, 1):
                return None
            things = tuple(prompt[start:end] for start, end in spans)
            return Sentence(prompt[: spans[0][0]], things, gaps, prompt[spans[-1][1] :], counts, between, lang)
    return None


def is_caption(prompt: str) -> bool:
    """Whether the grammar of the captions could have written a prompt, places and relations included; accents, capitals and a
    last full stop don't matter."""
    text = strip_accents(prompt).lower().strip()
    return any(_caption_pattern(lang).fullmatch(text) for lang in GRAMMARS)


def _count(thing: str) -> int:
    """The number at the beginning of a thing, 1 when there is none."""
    first = thing.split()[0]
    words = ((n, strip_accents(word)) for table in (COUNTS_EN, COUNTS_VI) for n, ways in table.items() for word in ways)
    return next((n for n, word in words if word == first), 1)


def _renumbered(thing: str, count: int, lang: str) -> str:
    """Several things with another number: "three orange cars" with 1 are "an orange car"."""
    rest = thing.split(maxsplit=1)[1]
    if lang == "vi":
        return f"{COUNTS_VI[count][0]} {rest}"
    if count > 1:
        return f"{COUNTS_EN[count][0]} {rest}"
    names = (pair for ways in SHAPES_EN.values() for pair in ways if rest.lower().endswith(pair[1]))
    singular, plural = max(names, key=lambda pair: len(pair[1]))
    return f"{'an' if rest[0].lower() in 'aeiou' else 'a'} {rest[: -len(plural)]}{singular}"


@cache
def _pattern(lang: str) -> re.Pattern[str]:
    """`captions._sentence` without accents: (opening, or setting and a comma) one thing, two or three, or one between two,
    (setting)."""
    grammar, thing = GRAMMARS[lang], _thing_vi() if lang == "vi" else _thing_en()
    settings = _any(words for ways in grammar.settings.values() for words in ways)
    before = f"(?:{_any(grammar.openings)} |{settings}, )?"
    second = f"(?:, | (?P<between>{_any(grammar.between)}) )(?P<second>{thing})"
    more = f"(?:(?:{second})?,? {strip_accents(grammar.conjunction)} (?P<third>{thing}))?"
    return re.compile(f"{before}(?P<first>{thing}){more}(?:,? {settings})?[.!]?")


@cache
def _caption_pattern(lang: str) -> re.Pattern[str]:
    """`captions._sentence` without accents, whole: one to three things, each with its spot, their relation, place, setting."""
    grammar, thing = GRAMMARS[lang], _thing_vi() if lang == "vi" else _thing_en()
    settings = _any(words for ways in grammar.settings.values() for words in ways)
    relations = _any([*grammar.between, *(words for ways in grammar.relations.values() for words in ways)])
    placed = f"{thing}(?: {_any(grammar.spots.values())})?"
    join = f"(?:, |,? {strip_accents(grammar.conjunction)} | {relations} )"
    place = f"(?: {_any(words for ways in grammar.places.values() for words in ways)})?"
    before = f"(?:{_any(grammar.openings)} |{settings}, )?"
    return re.compile(f"{before}{placed}(?:{join}{placed}){{0,2}}{place}(?:,? {settings})?[.!]?")


def _thing_en() -> str:
    singular, plural = zip(*(name for ways in SHAPES_EN.values() for name in ways), strict=True)
    one, several = [*COUNTS_EN[1], "an"], [word for n, ways in COUNTS_EN.items() if n > 1 for word in ways]
    size, colour = _any(word for ways in SIZES_EN.values() for word in ways), _any(COLOURS)
    looks = f"(?:{size} )?(?:{colour} )?(?:{size} )?"
    return f"(?:(?:{_any(one)} )?{looks}{_any(singular)}|{_any(several)} {looks}{_any(plural)})"


def _thing_vi() -> str:
    tables = (COUNTS_VI, SIZES_VI, COLOURS_VI, SHAPES_VI)
    number, size, colour, kind = (_any(word for ways in table.values() for word in ways) for table in tables)
    return f"(?:{number} )?{kind}(?: {size})?(?: (?:mau )?{colour})?(?: {size})?"


def _any(words: Iterable[str]) -> str:
    """A pattern for any of these words, without accents, the longest first."""
    return f"(?:{'|'.join(sorted({re.escape(strip_accents(word)) for word in words}, key=len, reverse=True))})"
