"""Captions as people type them: the content of a claim stays, everything else is free.

`captions.phrase` writes one kind of sentence. People leave out articles, tell the side before the thing or the colour after
it, ask politely, mistype. So here a claim is put into words by rules (`free_english`, `free_vietnamese`): a symbol in braces
stands for any of its rules, chosen at random, until no symbol is left. Order, fillers, synonyms and particles come from the
rules, typing errors and made-up words from `typing_errors`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from minidiff.data.world import free_english, free_vietnamese, typing_errors
from minidiff.data.world.captions import strip_accents
from minidiff.data.world.scenes import OPPOSITES, Group, Scene

Rules = Mapping[str, tuple[str, ...]]

SYMBOL = re.compile(r"\{([^{}]*)\}")
MOST = 200  # characters; longer ones are tried again


@dataclass(frozen=True)
class Speech:
    """A language. rules: symbol to its possible texts, in which further symbols stand in braces; a text that is there twice is
    chosen twice as often. tidy: what the choice of words can't know ("a" or "an")."""

    rules: Rules
    kinds: Callable[[Group, random.Random], str]
    tidy: Callable[[str], str]


class Writer:
    """One text: fills symbols from the rules and from what is bound for this claim."""

    def __init__(self, speech: Speech, rng: random.Random) -> None:
        self.speech, self.rng = speech, rng

    def write(self, text: str, bound: Mapping[str, str]) -> str:
        """`text` with its symbols filled. A bound symbol stands for its text, symbols in it included."""
        while found := SYMBOL.search(text):
            name = found[1]
            filled = bound[name] if name in bound else self.rng.choice(self.speech.rules[name])
            text = text[: found.start()] + filled + text[found.end() :]
        return text

    def thing(self, group: Group, bare: bool = False) -> str:
        """A group: number, size, colour and kind, in some order. bare: without its colour and size, which come later."""
        size, colour = (None, None) if bare else (group.size, group.colour)
        many = "many" if group.count > 1 else "one"
        name = "thing" + (" size" if size else "") + (" colour" if colour else "")
        bound = {
            "kind": self.speech.kinds(group, self.rng), "number": f"{{number {group.count}}}", "size": f"{{size {size}}}",
            "colour": f"{{colour {colour}}}", "is": f"{{is {many}}}", "all": f"{{all {group.count}}}",
            "doing": f"{{doing {group.kind}}}",
        }  # fmt: skip
        return self.write(f"{{{name} {many}}}" if f"{name} {many}" in self.speech.rules else f"{{{name}}}", bound)

    def body(self, claim: Scene) -> str:
        """The things in their relation or place, without the setting."""
        groups, rng = claim.groups, self.rng
        distinct = len({group.kind for group in groups}) == len(groups)
        later = distinct and len(groups) > 1 and all(group.colour and group.count == 1 for group in groups) and rng.random() < 0.08
        names = [self.thing(group, bare=later) for group in groups]
        bound = dict(zip("abc", names, strict=False))
        for letter, group in zip("abc", groups, strict=False):
            bound[f"is {letter}"] = f"{{is {'many' if group.count > 1 else 'one'}}}"
        if len(groups) == 1:
            place = groups[0].place
            text = self.write("{one at}" if place else "{one}", {**bound, "at": f"{{at {place}}}", "side": f"{{side {place}}}"})
        elif claim.relation == "between":
            text = self.write("{between}", bound)
        elif len(groups) == 3:
            text = self.write("{three}", bound)
        elif claim.relation:
            text = self.write("{two related}", {**bound, **self._relation(claim.relation)})
        else:
            text = self.write("{two}", bound)
        return text + self._colours_later(groups) if later else text

    def _relation(self, relation: str) -> dict[str, str]:
        """Symbols of a relation: {of}, {fo} the other way round; {there}, where the first is as seen from the second; {side a},
        {side b} and their short forms."""
        other = OPPOSITES[relation]
        sides = {"left": ("left", "right"), "right": ("right", "left"), "above": ("top", "bottom"), "below": ("bottom", "top")}
        a, b = sides[relation]
        return {
            "of": f"{{of {relation}}}", "fo": f"{{of {other}}}", "there": f"{{there {relation}}}",
            "side a": f"{{side {a}}}", "side b": f"{{side {b}}}", "short a": f"{{short {a}}}", "short b": f"{{short {b}}}",
        }  # fmt: skip

    def _colours_later(self, groups: tuple[Group, ...]) -> str:
        """". the cat is black, the house red"."""
        told = [
            self.write("{later}", {"kind": self.speech.kinds(group, self.rng), "colour": f"{{colour {group.colour}}}"})
            for group in groups
        ]
        return self.write("{later sep}", {}) + self.write("{later join}", {}).join(told)

    def sentence(self, claim: Scene) -> str:
        """Everything: the things, the setting, and what people say before and after."""
        text = self.body(claim)
        if claim.setting:
            where = claim.setting
            bound = {name: f"{{{name} {where}}}" for name in ("in", "clause", "short")}
            text = self.write("{with setting}", {**bound, "body": text})
        return self.write("{said}", {"text": text})


def free_phrase(claim: Scene, lang: str, rng: random.Random, speeches: Mapping[str, Speech] | None = None) -> str:
    """A claim in words as they might be typed. lang: "en", "vi" or "vi_unaccented"."""
    speech = (speeches or SPEECHES)["en" if lang == "en" else "vi"]
    while True:
        text = speech.tidy(Writer(speech, rng).sentence(claim))
        text = typing_errors.mistyped(text, rng)
        if len(text) <= MOST:
            return strip_accents(text) if lang == "vi_unaccented" else text


SPEECHES = {
    "en": Speech(free_english.RULES, free_english.kind_word, free_english.tidy),
    "vi": Speech(free_vietnamese.RULES, free_vietnamese.kind_word, free_vietnamese.tidy),
}
