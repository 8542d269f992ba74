"""What people say of an emoji, in English and Vietnamese: "an emoji of a red apple, flat style".

Unicode's names are short ("egg"), so a caption is composed of the name, the backdrop and the style; `varied` adds Unicode's
keywords. What it is not: the grammar of the drawn world (`data/world/captions`), from which it takes only the words for
backdrops.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

from minidiff.data.world.captions import ENGLISH, VIETNAMESE, strip_accents

STYLES_EN = {"twemoji": "Twemoji style", "noto": "Noto style", "flat": "flat style", "3d": "3D style"}
STYLES_VI = {"twemoji": "kiểu Twemoji", "noto": "kiểu Noto", "flat": "kiểu phẳng", "3d": "kiểu 3D"}
AFTER_HEAD = re.compile(r" (?:with|without|of|in|on|at|to|for|from|over|under|and|\w+ing) ")
IRREGULAR_PLURALS = {"men", "women", "people", "children"}
UNCOUNTED = {
    "bread", "flatbread", "broccoli", "garlic", "bacon", "popcorn", "butter", "salt", "food", "rice", "spaghetti", "oden",
    "sushi", "dango", "custard", "sake", "ice", "mate", "cooking", "fog", "money", "tennis", "cricket", "dna", "fire", "green",
    "luggage", "coral",
}  # fmt: skip
AS_A = ("uni", "use", "ufo", "u-", "up!", "eur", "ewe", "one-", "one ")  # a vowel that is spoken as a consonant
AS_AN = ("hour", "sos")
WITH_KEYWORDS, KEYWORDS_ALONE = 0.3, 0.1  # shares of varied captions


def takes_article(name: str) -> bool:
    """Whether an English name needs "a" or "an": one thing that can be counted, not named like a person or a time."""
    head = AFTER_HEAD.split(name, maxsplit=1)[0].split(" ")
    last = head[-1].lower()
    plural = last in IRREGULAR_PLURALS or bool(re.search(r"(?<![suio])s$", last))
    proper = len(head) == 1 and name[0].isupper()
    told_otherwise = any(mark in name for mark in ("o’clock", "-thirty")) or name.split(" ")[0] in ("no", "input", "keycap")
    return not (plural or proper or told_otherwise or last in UNCOUNTED or name[0].isdigit())


def with_article(name: str) -> str:
    """The English name as it stands in a sentence: "an onion", "a unicorn", "grapes"."""
    if not takes_article(name):
        return name
    start = name.lower()
    vowel = start.startswith(AS_AN) or (start[0] in "aeiou" and not start.startswith(AS_A))
    return f"{'an' if vowel else 'a'} {name}"


def spoken(name: str, lang: str) -> str:
    """A name without the colon that Unicode puts between a thing and its trait: "man: red hair", "keycap: 3"."""
    thing, colon, trait = name.partition(": ")
    if not colon or lang == "vi" or thing == "keycap":
        return f"{thing} {trait}".strip()
    return f"{trait} {thing}" if trait == "bald" else f"{thing} with {trait}"


def captions(names: Mapping[str, str], style: str, backdrop: str, rng: random.Random) -> dict[str, str]:
    """{"text": English, "text_vi": Vietnamese} of an emoji on a backdrop of the drawn world.

    Half of the images on the plain backdrop leave it unsaid. The two languages choose their phrasing separately."""
    told = is_told(backdrop, rng)
    place_en = place(backdrop, "en", rng) if told else ""
    place_vi = place(backdrop, "vi", rng) if told else ""
    said, said_vi = (called(names[lang], lang, rng) for lang in ("en", "vi"))
    return {
        "text": f"{said}{place_en}, {STYLES_EN[style]}",
        "text_vi": f"{said_vi}{place_vi}, {STYLES_VI[style]}",
    }


def is_told(backdrop: str, rng: random.Random) -> bool:
    """Whether a caption names the backdrop: always a drawn one, the plain one in half of them."""
    return backdrop != "plain" or rng.random() < 0.5


def place(backdrop: str, lang: str, rng: random.Random) -> str:
    """ " in a meadow"."""
    return f" {rng.choice((ENGLISH if lang == 'en' else VIETNAMESE).settings[backdrop])}"


def called(name: str, lang: str, rng: random.Random) -> str:
    """A name in one of the ways in which an emoji is asked for: "an emoji of a red apple"."""
    name = spoken(name, lang)
    if lang == "en":
        return rng.choice((f"an emoji of {with_article(name)}", f"{name} emoji", with_article(name)))
    heads = ("biểu tượng", "emoji") if name.startswith("hình") else ("biểu tượng", "emoji", "hình")
    return f"{rng.choice(heads)} {name}"


def prompt(name: str, style: str, lang: str) -> str:
    """The shortest way to ask for an emoji, as people do: "a red apple, flat style", "táo đỏ, kiểu phẳng"."""
    name = spoken(name, lang)
    return f"{with_article(name)}, {STYLES_EN[style]}" if lang == "en" else f"{name}, {STYLES_VI[style]}"


def varied(name: str, keywords: Sequence[str], style: str, backdrop: str, lang: str, rng: random.Random) -> str:
    """A caption to learn from, in a language of the drawn world's LANGS, another one in each epoch: the name, with one or two
    keywords, or two or three keywords alone; then the style. "an emoji of a red apple in a meadow, fruit, flat style"."""
    spelt = "en" if lang == "en" else "vi"
    where = place(backdrop, spelt, rng) if is_told(backdrop, rng) else ""
    chance = rng.random()
    if chance < KEYWORDS_ALONE and len(keywords) > 1:
        words = rng.sample(keywords, min(len(keywords), rng.choice((2, 3))))
        first, *more = words
    else:
        bare = with_article(spoken(name, "en")) if spelt == "en" else spoken(name, "vi")
        first = bare if rng.random() < 0.5 else called(name, spelt, rng)
        count = rng.choice((1, 2)) if chance < KEYWORDS_ALONE + WITH_KEYWORDS else 0
        more = rng.sample(keywords, min(len(keywords), count))
    text = ", ".join([f"{first}{where}", *more, (STYLES_EN if spelt == "en" else STYLES_VI)[style]])
    return strip_accents(text) if lang == "vi_unaccented" else text
