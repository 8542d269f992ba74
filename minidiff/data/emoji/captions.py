"""What people say of an emoji, in English and Vietnamese: "an emoji of a red apple, flat style".

Unicode's names are short ("egg"), so a caption is composed of the name, the backdrop and the style. What it is not: the
grammar of the drawn world (`data/world/captions`), from which it takes only the words for backdrops.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping

from minidiff.data.world.captions import ENGLISH, VIETNAMESE

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
    told = backdrop != "plain" or rng.random() < 0.5
    place_en = f" {rng.choice(ENGLISH.settings[backdrop])}" if told else ""
    place_vi = f" {rng.choice(VIETNAMESE.settings[backdrop])}" if told else ""
    name, name_vi = (spoken(names[lang], lang) for lang in ("en", "vi"))
    said = rng.choice((f"an emoji of {with_article(name)}", f"{name} emoji", with_article(name)))
    heads = ("biểu tượng", "emoji") if name_vi.startswith("hình") else ("biểu tượng", "emoji", "hình")
    said_vi = f"{rng.choice(heads)} {name_vi}"
    return {
        "text": f"{said}{place_en}, {STYLES_EN[style]}",
        "text_vi": f"{said_vi}{place_vi}, {STYLES_VI[style]}",
    }
