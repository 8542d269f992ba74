"""Captions as people type them: the content of a claim stays, everything else is free.

`captions.phrase` writes one kind of sentence. People leave out articles, tell the side before the thing or the colour after
it, ask politely, mistype. Here a claim is put into words by the rules in `rules/`: a symbol in braces stands for any of its
texts, chosen at random, until no symbol is left. Order, fillers, synonyms and particles come from the rules, slips and
made-up words from `typing_errors`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from minidiff.data.world.captions import phrase, strip_accents
from minidiff.data.world.scenes import OPPOSITES, Group, Scene
from minidiff.data.world.typing_errors import made_up, mistyped

Rules = Mapping[str, tuple[str, ...]]

LANGUAGES = {"en": "english", "vi": "vietnamese"}
SYMBOL = re.compile(r"\{([^{}]*)\}")
WORD = re.compile(r"[^\W\d_]+")
WEIGHT = re.compile(r"(.*) \*(\d+)")
VOWEL = re.compile(r"\ba(?= [aeio]| u[^n ])")
STRANGER = "stranger"  # the kind of a thing that the world lacks, such as a dog
MADE_UP = "made up"  # the symbol that no rule fills
LONGEST = 200  # characters; a longer text is written again
SIDES = {"left": ("left", "right"), "right": ("right", "left"), "above": ("top", "bottom"), "below": ("bottom", "top")}


@cache
def rules_of(lang: str) -> Rules:
    """Symbol to its texts, each as often as it weighs. lang: a key of LANGUAGES."""
    found: dict[str, tuple[str, ...]] = {}
    path = Path(__file__).parent / "rules" / f"{LANGUAGES[lang]}.txt"
    lines = (line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#"))
    for rule in re.split(r"\n(?! )", "\n".join(lines)):
        symbol, texts = rule.split(" = ", 1)
        found[symbol] = tuple(text for part in texts.split("|") for text in _weighed(" ".join(part.split())))
    return found


def _weighed(text: str) -> list[str]:
    """"red *3" as three times "red"; "~" as nothing."""
    found = WEIGHT.fullmatch(text)
    text, times = (found[1], int(found[2])) if found else (text, 1)
    return ["" if text == "~" else text] * times


class Writer:
    """Puts one claim into words: fills symbols from the rules and from what is bound for this claim."""

    def __init__(self, lang: str, rng: random.Random) -> None:
        self.rules, self.rng = rules_of(lang), rng
        self.alike: dict[str, str] | None = {} if rng.random() < 0.35 else None  # all things of a list told in one way

    def write(self, text: str, bound: Mapping[str, str]) -> str:
        """`text` with its symbols filled. A bound symbol stands for its text, symbols in it included."""
        while found := SYMBOL.search(text):
            name = found[1]
            if name in bound:
                filled = bound[name]
            else:
                filled = made_up(self.rng) if name == MADE_UP else self.rng.choice(self.rules[name])
            text = text[: found.start()] + filled + text[found.end() :]
        return text

    def kind(self, group: Group) -> str:
        """A name of the group's kind, half of the time the first; now and then in the singular for several ("2 cat")."""
        ways = self.rules[f"kind {group.kind}"]
        one, _, many = (ways[0] if self.rng.random() < 0.5 else self.rng.choice(ways)).partition("/")
        return many if many and group.count > 1 and self.rng.random() < 0.96 else one

    def thing(self, group: Group) -> str:
        """A group: number, size, colour and kind, in some order."""
        size, colour = group.size, group.colour
        symbol = "thing" + (" size" if size else "") + (" colour" if colour else "")
        bound = {
            "kind": self.kind(group), "number": f"{{number {group.count}}}", "size": f"{{size {size}}}",
            "colour": f"{{colour {colour}}}", "is": self.verb(group), "all": f"{{all {group.count}}}",
            "doing": f"{{doing {group.kind}}}",
        }  # fmt: skip
        text = self.rng.choice(self.rules[symbol])
        if self.alike is not None:
            text = self.alike.setdefault(symbol, text)
        return self.write(text, bound)

    def verb(self, group: Group) -> str:
        """The symbol for "is" or "are"; Vietnamese has no need of it."""
        return "{is many}" if group.count > 1 else "{is one}"

    def body(self, claim: Scene) -> str:
        """The things in their relation or place, without the setting; what they share or where they stand may be told apart."""
        groups, rng = claim.groups, self.rng
        distinct = len({group.kind for group in groups}) == len(groups) > 1
        if distinct and rng.random() < 0.5 and (shared := shared_look(groups)):
            left = dict.fromkeys(shared)
            bare = replace(claim, groups=tuple(replace(group, **left) for group in groups))  # type: ignore[arg-type]
            what = " ".join(f"{{{name} {getattr(groups[0], name)}}}" for name in shared)
            afterwards = claim.relation in OPPOSITES and rng.random() < 0.25
            body = self.body(replace(bare, relation=None) if afterwards else bare)
            text = self.write(f"{{together {len(groups)}}}", {"body": body, "look": f"{{look of {shared[-1]}}}", "what": what})
            return text + self._relation_later(groups, claim.relation) if afterwards and claim.relation else text
        later = distinct and rng.random() < 0.16
        if later and claim.relation in OPPOSITES:
            return self.body(replace(claim, relation=None)) + self._relation_later(groups, claim.relation)
        if later and all(group.colour and group.count == 1 for group in groups):
            bare = replace(claim, groups=tuple(replace(group, colour=None) for group in groups))
            return self.body(bare) + self._colours_later(groups)
        bound = dict(zip("abc", map(self.thing, groups), strict=False))
        for letter, group in zip("abc", groups, strict=False):
            bound[f"is {letter}"] = self.verb(group)
        if len(groups) == 1:
            place = groups[0].place
            return self.write("{one at}" if place else "{one}", {**bound, "at": f"{{at {place}}}", "side": f"{{side {place}}}"})
        if claim.relation == "between":
            return self.write("{between}", bound)
        if len(groups) == 3:
            return self.write("{three}", bound)
        if claim.relation:
            return self.write("{two related}", {**bound, **self._relation(claim.relation)})
        return self.write("{two}", bound)

    def _relation(self, relation: str) -> dict[str, str]:
        """Symbols of a relation: {of}, {fo} the other way round; {there}, where the first is as seen from the second; {side a},
        {side b} and their short forms."""
        other = OPPOSITES[relation]
        a, b = SIDES[relation]
        return {
            "of": f"{{of {relation}}}", "fo": f"{{of {other}}}", "there": f"{{there {relation}}}",
            "side a": f"{{side {a}}}", "side b": f"{{side {b}}}", "short a": f"{{short {a}}}", "short b": f"{{short {b}}}",
        }  # fmt: skip

    def _colours_later(self, groups: tuple[Group, ...]) -> str:
        """". the cat is black, the house red"."""
        told = [self.write("{later}", {"kind": self.kind(group), "colour": f"{{colour {group.colour}}}"}) for group in groups]
        return self.write("{later sep}", {}) + " " + f" {self.write('{later join}', {})} ".join(told)

    def _relation_later(self, groups: tuple[Group, ...], relation: str) -> str:
        """". the cat is above the house"."""
        kinds = {f"kind {letter}": self.kind(group) for letter, group in zip("ab", groups, strict=False)}
        bound = {**kinds, **self._relation(relation), "is a": self.verb(groups[0]), "is b": self.verb(groups[1])}
        return self.write("{later sep}", {}) + " " + self.write("{later related}", bound)

    def fragments(self, claim: Scene) -> str:
        """A single group and all that is said of it in pieces: "cat. big. red. night"."""
        (group,), rng = claim.groups, self.rng
        bound = {"kind": self.kind(group), "number": f"{{number {group.count}}}"}
        apart = group.count > 1 and rng.random() < 0.4
        pieces = [f"{{colour {group.colour}}}"] * bool(group.colour) + [f"{{size {group.size}}}"] * bool(group.size)
        pieces += [f"{{side {group.place}}}"] * bool(group.place) + [f"{{short {claim.setting}}}"] * bool(claim.setting)
        pieces += [f"{{how many {group.count}}}"] * apart
        rng.shuffle(pieces)
        name = self.write("{kind}" if apart else "{number} {kind}", bound)
        pieces.insert(0 if rng.random() < 0.7 else rng.randint(0, len(pieces)), name)
        return rng.choice((", ", ", ", ". ", " ", " - ", "; ")).join(self.write(piece, {}) for piece in pieces)

    def sentence(self, claim: Scene) -> str:
        """Everything: the things, the setting, and what people say before and after."""
        if len(claim.groups) == 1 and self.rng.random() < 0.12:
            return self.write("{said}", {"text": self.fragments(claim)})
        text = self.body(claim)
        if claim.setting:
            where = claim.setting
            bound = {name: f"{{{name} {where}}}" for name in ("in", "clause", "short")}
            text = self.write("{with setting}", {**bound, "body": text})
        return self.write("{said}", {"text": text})


def shared_look(groups: tuple[Group, ...]) -> tuple[str, ...]:
    """What all groups have in common: of ("size", "colour") those that each says alike."""
    names = ("size", "colour")
    return tuple(name for name in names if getattr(groups[0], name) and len({getattr(group, name) for group in groups}) == 1)


def said(claim: Scene, lang: str, rng: random.Random, free: float) -> str:
    """A caption for training: free with probability `free`, else by the grammar, which alone knows the spots of things."""
    spots = any(group.spot for group in claim.groups)
    return free_phrase(claim, lang, rng) if rng.random() < free and not spots else phrase(claim, lang, rng)


def words_of_rules() -> list[str]:
    """Everything that the rules can say of the world, as texts, with and without Vietnamese accents."""
    rules = (item for lang in LANGUAGES for item in rules_of(lang).items())
    texts = (text for symbol, ways in rules if symbol != f"kind {STRANGER}" for text in ways)
    found = [SYMBOL.sub(" ", text).replace("/", " ") for text in texts]
    return [*found, *map(strip_accents, found)]


def language_of(text: str) -> str:
    """"en" or "vi": the language whose rules hold more of the text's words, English when neither does."""
    words = set(WORD.findall(strip_accents(text).lower()))
    return "vi" if len(words & _words("vi")) > len(words & _words("en")) else "en"


@cache
def _words(lang: str) -> frozenset[str]:
    """The words of a language's rules, without accents."""
    texts = (SYMBOL.sub(" ", text) for ways in rules_of(lang).values() for text in ways)
    return frozenset(word for text in texts for word in WORD.findall(strip_accents(text).lower()))


def free_phrase(claim: Scene, lang: str, rng: random.Random) -> str:
    """A claim in words as they might be typed. lang: "en", "vi" or "vi_unaccented"."""
    while True:
        text = mistyped(tidy(Writer("en" if lang == "en" else "vi", rng).sentence(claim), lang), rng)
        if len(text) <= LONGEST:
            return strip_accents(text) if lang == "vi_unaccented" else text


def tidy(text: str, lang: str) -> str:
    """Single spaces, none before punctuation; "an" before vowels."""
    text = re.sub(r" (?=[,.;:!?)])", "", re.sub(r"\s+", " ", text)).strip(" ,;:-")
    return VOWEL.sub("an", text) if lang == "en" else text
