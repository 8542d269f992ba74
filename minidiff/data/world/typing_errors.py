"""Slips of the finger: letters that are swapped, doubled, left out or hit beside, marks that are missing, made-up words."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from minidiff.data.world.captions import strip_accents

ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
BESIDE = {row[k]: row[max(0, k - 1) : k] + row[k + 1 : k + 2] for row in ROWS for k in range(len(row))}
WORD = re.compile(r"[^\W\d_]{3,}")
SMALL_WORDS = re.compile(r"\b(?:a|an|the|is|are|of|there|at|in|on|to|that|which|và|là|có|ở|thì|của|một|được|nằm|màu)\b ?")


# Each takes a word, the place of the letter that goes wrong, and a random generator.


def swapped(word: str, k: int, rng: random.Random) -> str:
    return word[:k] + word[k + 1] + word[k] + word[k + 2 :]


def doubled(word: str, k: int, rng: random.Random) -> str:
    return word[: k + 1] + word[k:]


def left_out(word: str, k: int, rng: random.Random) -> str:
    return word[:k] + word[k + 1 :]


def hit_beside(word: str, k: int, rng: random.Random) -> str:
    return word[:k] + rng.choice(BESIDE.get(word[k].lower(), word[k])) + word[k + 1 :]


def unmarked(word: str, k: int, rng: random.Random) -> str:
    return strip_accents(word)


ONSETS = ("", *"bdfghklmnprstvwz", "br", "st", "th", "ng", "tr")
SLIPS: tuple[Callable[[str, int, random.Random], str], ...] = (swapped, doubled, left_out, hit_beside, unmarked)


def made_up(rng: random.Random) -> str:
    """A word that nobody knows: "brelotan". A text tower that has met such words isn't thrown by the next one."""
    syllables = (rng.choice(ONSETS) + rng.choice("aeiouy") for _ in range(rng.randint(1, 4)))
    return "".join(syllables) + rng.choice(("", "", "n", "s", "ng", "t", "r", "m"))


def mistyped(text: str, rng: random.Random) -> str:
    """`text`, sometimes with one or two slips, without small words, or with other punctuation."""
    if rng.random() < 0.08:
        text = SMALL_WORDS.sub(lambda found: "" if rng.random() < 0.6 else found[0], text).strip()
    chance = rng.random()
    if chance < 0.10:
        text = re.sub(r"[,.;:!?()]", "", text)
    elif chance < 0.13:
        text = re.sub(r"([,.;:]) ", r"\1", text)
    elif chance < 0.15:
        text = re.sub(r"(\w)([,.;:]) ?", r"\1 \2", text)
    elif chance < 0.19:
        text = joined(text, rng)
    elif chance < 0.22:
        text = text.replace(" ", "  ", 1) + rng.choice(("!!", "..", " ,", "??", "!", " :)"))
    for _ in range(rng.choices((0, 1, 2, 3), (0.70, 0.18, 0.08, 0.04))[0]):
        text = slip(text, rng)
    return text


def joined(text: str, rng: random.Random) -> str:
    """Up to three spaces are missing: "blackcat on ahouse"."""
    words = text.split()
    missing = set(rng.sample(range(1, len(words)), min(rng.choice((1, 1, 2, 3)), len(words) - 1))) if len(words) > 1 else set()
    return "".join(word if k in missing or k == 0 else f" {word}" for k, word in enumerate(words))


def slip(text: str, rng: random.Random) -> str:
    """One letter of one long word goes wrong."""
    words = list(WORD.finditer(text))
    if not words:
        return text
    found = rng.choice(words)
    word = found[0]
    return text[: found.start()] + rng.choice(SLIPS)(word, rng.randrange(1, len(word) - 1), rng) + text[found.end() :]
