"""Captions as people type them: every rule can be written out, what a claim says stays, and nothing else gets in."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from minidiff.data.world import free_captions
from minidiff.data.world.captions import LANGS, drop_details
from minidiff.data.world.free_captions import (
    LANGUAGES,
    LONGEST,
    STRANGER,
    SYMBOL,
    Writer,
    free_phrase,
    rules_of,
    tidy,
    words_of_rules,
)
from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.scenes import COLOURS, MAX_COUNT, PLACES, SETTINGS, SHAPES, SIZES, Group, Scene
from minidiff.data.world.typing_errors import joined, made_up, mistyped, slip
from minidiff.text.tokenizer import words_of

BOUND = {  # symbols that a claim fills
    "kind", "number", "size", "colour", "is", "all", "doing", "a", "b", "c", "is a", "is b", "is c", "at", "side", "of", "fo",
    "there", "side a", "side b", "short a", "short b", "in", "clause", "short", "body", "text", "made up", "kind a", "kind b",
    "look", "what",
}  # fmt: skip


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_symbol_has_a_rule_and_every_word_of_the_world_too(lang: str) -> None:
    rules = rules_of(lang)
    used = {name for texts in rules.values() for text in texts for name in SYMBOL.findall(text)}
    assert used <= rules.keys() | BOUND, used - rules.keys() - BOUND
    needed = [f"kind {k}" for k in (*SHAPES, STRANGER)] + [f"doing {k}" for k in SHAPES] + [f"colour {c}" for c in COLOURS]
    needed += [f"size {s}" for s in SIZES] + [f"{w} {n}" for w in ("number", "all") for n in range(1, MAX_COUNT + 1)]
    needed += [f"{w} {s}" for w in ("in", "clause", "short") for s in SETTINGS] + [f"at {p}" for p in PLACES]
    assert set(needed) <= rules.keys()


@pytest.mark.parametrize("lang", LANGUAGES)
def test_no_text_names_two_kinds_or_colours_or_has_loose_marks(lang: str) -> None:
    """A synonym that belongs to two entries would teach a contradiction; "xanh" is green or blue, and people do say so."""
    rules = rules_of(lang)
    kinds = (*SHAPES, STRANGER)
    for family, values in (("kind", kinds), ("colour", COLOURS), ("size", SIZES), ("in", SETTINGS), ("at", PLACES)):
        owners: dict[str, set[str]] = {}
        for value in values:
            for text in rules[f"{family} {value}"]:
                for word in text.split("/"):
                    owners.setdefault(word, set()).add(value)
        shared = {word for word, who in owners.items() if len(who) > 1}
        assert shared <= {"xanh"}, (family, shared)
    for symbol, texts in rules.items():
        assert all(text == text.strip() and "|" not in text and "  " not in text for text in texts), symbol


@pytest.mark.parametrize("lang", LANGUAGES)
def test_things_that_the_world_lacks_are_named_and_stay_unknown(lang: str) -> None:
    """A caption with a dog or a made-up thing says everything else, and "dog" is no word that the world knows."""
    names = {word for text in rules_of(lang)[f"kind {STRANGER}"] for word in text.split("/")}
    rng, claim = random.Random(5), Scene("night", (Group(STRANGER, "red"), Group("car")), "left")
    texts = [tidy(Writer(lang, rng).sentence(claim), lang) for _ in range(200)]
    named = sum(any(name in text for name in names if "{" not in name) for text in texts)
    assert 160 < named < 200, "the others are made up"
    known = {word for text in words_of_rules() for word in words_of(text)}
    assert {"en": {"dog", "horse", "rocket"}, "vi": {"chó", "ngựa", "tên"}}[lang].isdisjoint(known)


def test_rules_are_weighed() -> None:
    assert free_captions._weighed("red *3") == ["red"] * 3
    assert free_captions._weighed("~ *2") == ["", ""] and free_captions._weighed("a * b") == ["a * b"]
    assert Counter(rules_of("en")["size big"])["big"] == 5


@pytest.mark.parametrize("lang", LANGS)
def test_texts_are_filled_short_and_repeatable(lang: str) -> None:
    rng = random.Random(0)
    claims = [drop_details(scene_at(k), rng) for k in range(400)]
    texts = [free_phrase(claim, lang, random.Random(k)) for k, claim in enumerate(claims)]
    assert texts == [free_phrase(claim, lang, random.Random(k)) for k, claim in enumerate(claims)]
    assert len(set(texts)) > 395
    for text in texts:
        assert "{" not in text and "}" not in text and 0 < len(text) <= LONGEST and text == text.strip()
    if lang == "vi_unaccented":
        assert all(text.isascii() for text in texts)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_what_the_claim_says_is_said_and_nothing_else(lang: str) -> None:
    """By the words themselves, without slips: each kind, colour, size and setting of the claim, and no other."""
    rules, rng = rules_of(lang), random.Random(1)

    def named(family: str, value: str) -> set[str]:
        families = ("in", "clause", "short") if family == "in" else (family,)
        return {word for f in families for text in rules[f"{f} {value}"] for word in text.split("/")}

    scene = Scene("night", (Group("car", "red", "big"), Group("umbrella", "purple", "small")), "left")
    silent = Scene(None, (Group("car"), Group("umbrella")), None)
    for _ in range(300):
        text, quiet = (tidy(Writer(lang, rng).sentence(claim), lang) for claim in (scene, silent))
        for family, value in (("kind", "car"), ("kind", "umbrella"), ("colour", "red"), ("colour", "purple"), ("size", "big"),
                              ("size", "small"), ("in", "night")):  # fmt: skip
            assert any(word in text for word in named(family, value)), (family, value, text)
        for colour in COLOURS:
            words = {w for w in named("colour", colour) if w not in ("lục", "lam", "cam", "gold", "lime", "plum")}
            assert not any(re.search(rf"(?<!\w){re.escape(w)}(?!\w)", quiet) for w in words), (colour, quiet)


@pytest.mark.parametrize(("relation", "left"), [("left", "car"), ("right", "umbrella")])
def test_sides_are_told_the_right_way_round(relation: str, left: str) -> None:
    """Where a text reads "on the left ... on the right", what stands on the left is named first."""
    claim = Scene(None, (Group("car"), Group("umbrella")), relation)
    pattern = re.compile(r"^(?:on|at|to) the left(?: side)?:? (?P<first>.*?)[,;]? (?:and )?(?:on|at|to) the right")
    found, rng = 0, random.Random(2)
    names = {k: {w for t in rules_of("en")[f"kind {k}"] for w in t.split("/")} for k in ("car", "umbrella")}
    for _ in range(3000):
        if told := pattern.match(tidy(Writer("en", rng).body(claim), "en")):
            found += 1
            assert any(name in told["first"] for name in names[left]), told[0]
    assert found > 20


def test_vowels_and_spaces_are_put_right() -> None:
    assert tidy("a  orange cat , a unicorn and a umbrella ,", "en") == "an orange cat, a unicorn and an umbrella"
    assert tidy("a  orange cat", "vi") == "a orange cat"


def test_slips_change_one_long_word_and_leave_short_ones() -> None:
    rng = random.Random(3)
    for _ in range(200):
        words = slip("an umbrella at my ox", rng).split()
        assert [words[0], *words[2:]] == ["an", "at", "my", "ox"], words
        assert abs(len(words[1]) - len("umbrella")) <= 1
    assert slip("an ox", rng) == "an ox"
    changed = [mistyped("a red umbrella, and two boats", rng) for _ in range(400)]
    assert 0.4 < changed.count("a red umbrella, and two boats") / 400 < 0.65


def test_spaces_go_missing_but_no_letter() -> None:
    rng = random.Random(5)
    for text in ("a black cat on a house", "two words", "one"):
        seen = {joined(text, rng) for _ in range(50)}
        assert {found.replace(" ", "") for found in seen} == {text.replace(" ", "")}
        assert all(text.count(" ") - 3 <= found.count(" ") <= text.count(" ") for found in seen)
        assert text == "one" or min(found.count(" ") for found in seen) < text.count(" ")


def test_things_of_a_list_are_often_told_alike() -> None:
    """"flower purple, car orange": the colour stands behind each noun more often than two dice would say."""
    groups = tuple(Group(kind, colour=colour) for kind, colour in (("flower", "purple"), ("car", "orange")))
    writers = (Writer("en", random.Random(k)) for k in range(600))
    told = [[writer.thing(group) for group in groups] for writer in writers]
    colours = ("purple", "orange")
    behind = [[text.rstrip().endswith(colour) for text, colour in zip(pair, colours, strict=True)] for pair in told]
    both, first = sum(all(pair) for pair in behind), sum(pair[0] for pair in behind)
    assert both / max(1, first) > 0.3 > first / 600


def test_made_up_words_are_no_words() -> None:
    rng = random.Random(4)
    words = {made_up(rng) for _ in range(500)}
    assert len(words) > 400 and all(re.fullmatch(r"[a-z]+", word) for word in words)
