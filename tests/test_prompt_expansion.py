"""Prompt expansion: places are added where a prompt leaves them open, nothing else is touched, all commands do it alike."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from minidiff.data.world.captions import ENGLISH, LANGS, drop_details, phrase, spot_words, strip_accents
from minidiff.data.world.prompt_expansion import AXES, GRAMMARS, expand_prompt, read
from minidiff.data.world.random_scenes import sample_scene
from minidiff.data.world.scenes import RELATIONS, Scene
from minidiff.evaluate.prompt_following import PromptsRun, pipeline_generator
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.png_metadata import read_png, save_images
from minidiff.pipelines.request import Request
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pretrained import zoo

PLACES = {  # what is put in, by the number of things; without accents, as the Vietnamese typed so has it
    "en": ({" on the left", " on the right", " at the top", " at the bottom", " in the middle"},
           {" to the left of ", " to the right of ", " above ", " below "}),
    "vi": ({" ở bên trái", " ở bên phải", " ở phía trên", " ở phía dưới", " ở giữa"},
           {" ở bên trái ", " ở bên phải ", " ở phía trên ", " ở phía dưới "}),
}  # fmt: skip


def claims(n: int) -> list[Scene]:
    rngs = [random.Random(k) for k in range(n)]
    return [drop_details(sample_scene(rng, None), rng, 0.6) for rng in rngs]


@pytest.mark.parametrize("lang", LANGS)
def test_every_caption_of_the_world_is_understood(lang: str) -> None:
    """The grammar read backwards: open captions are taken apart into their things, placed ones are left alone."""
    for k, claim in enumerate(claims(1500)):
        text = phrase(claim, lang, random.Random(k))
        sentence = read(text)
        if claim.relation not in (None, "between") or any(group.place for group in claim.groups):
            assert sentence is None, text
            assert expand_prompt(text, k) == expand_prompt(text, k, tell_places=True) == text
        else:
            assert sentence is not None, text
            assert sentence.counts == tuple(group.count for group in claim.groups), text
            assert sentence.between == (claim.relation == "between"), text
            told = "".join(thing + gap for thing, gap in zip(sentence.things, (*sentence.gaps, ""), strict=True))
            assert sentence.before + told + sentence.after == text


@pytest.mark.parametrize("lang", LANGS)
def test_places_are_put_in_and_nothing_else(lang: str) -> None:
    said: list[set[str]] = [set(), set()]
    for k, claim in enumerate(claims(1500)):
        text = phrase(claim, lang, random.Random(k))
        sentence, drawn = read(text), expand_prompt(text, k)
        if sentence is None:
            continue
        counts, things = sentence.counts, sentence.things
        begin, end = sentence.before + things[0], (things[1] if len(things) == 2 else "") + sentence.after
        if len(counts) == 3 or (min(counts) > 1):
            continue
        assert drawn.startswith(begin) and drawn.endswith(end), drawn
        said[len(counts) - 1].add(drawn[len(begin) : len(drawn) - len(end)])
    expected = PLACES["en" if lang == "en" else "vi"]
    plain = strip_accents if lang == "vi_unaccented" else str
    assert said == [set(map(plain, places)) for places in expected]


@pytest.mark.parametrize("lang", LANGS)
def test_spots_are_said_in_the_words_of_the_captions_that_teach_them(lang: str) -> None:
    """A prompt with its spots said is, to the letter, a caption of the claim that tells them."""
    said = set()
    for k, claim in enumerate(claims(1500)):
        if claim.relation == "between":
            drawn = expand_prompt(phrase(claim, lang, random.Random(k)), k, tell_places=True)
            captions = {phrase(with_spots(claim, axis), lang, random.Random(k)): axis for axis in AXES}
            assert drawn in captions
            said.add(captions[drawn])
    assert said == set(AXES)


def with_spots(claim: Scene, axis: tuple[str, str]) -> Scene:
    first, *outer = claim.groups
    return replace(claim, groups=(first, *(replace(group, spot=spot) for group, spot in zip(outer, axis, strict=True))))


def test_spots_are_said_of_what_people_type_too() -> None:
    listed = "a cat, a red house, and a bird at sea"
    assert {expand_prompt(listed, seed, tell_places=True) for seed in range(40)} == {
        f"a cat between a red house{spot_words(one, ENGLISH)} and a bird{spot_words(other, ENGLISH)}, at sea"
        for one, other in AXES
    }
    assert expand_prompt("a cat between two houses and a tree", 0, tell_places=True) == "a cat between two houses and a tree"
    assert expand_prompt("a cat between a house and a tree", 0) == "a cat between a house and a tree"


def test_of_three_things_the_first_comes_between_the_others() -> None:
    assert expand_prompt("a cat, a red house and two birds", 0) == "a cat, a red house and two birds"  # no place for these
    assert expand_prompt("at night, a cat, a red house and a bird", 0) == "at night, a cat between a red house and a bird"
    text = "một con mèo, một ngôi nhà đỏ và một con chim trên biển"
    assert expand_prompt(text, 0) == "một con mèo ở giữa một ngôi nhà đỏ và một con chim trên biển"
    assert expand_prompt(strip_accents(text), 0) == "mot con meo o giua mot ngoi nha do va mot con chim tren bien"


@pytest.mark.parametrize(
    ("prompt", "first", "second", "sides"),
    [
        ("2 stars", "a star", "a star", 4),
        ("three orange cars", "an orange car", "two orange cars", 2),
        ("a drawing of Three tiny rhombuses at sea.", "a drawing of a tiny rhombus", "two tiny rhombuses at sea.", 2),
        ("at night, three sailing boats", "at night, a sailing boat", "two sailing boats", 2),
        ("two big fish", "a big fish", "a big fish", 4),
        ("ba chiếc xe hơi màu cam trên biển", "một chiếc xe hơi màu cam", "hai chiếc xe hơi màu cam trên biển", 2),
        ("2 con meo den nho trong phong", "mot con meo den nho", "mot con meo den nho trong phong", 4),
    ],
)
def test_two_or_three_of_a_kind_are_told_apart(prompt: str, first: str, second: str, sides: int) -> None:
    drawn = {expand_prompt(prompt, seed) for seed in range(40)}
    told = {text.removeprefix(first).removesuffix(second) for text in drawn}
    ways = PLACES["en"][1] | PLACES["vi"][1] | set(map(strip_accents, PLACES["vi"][1]))
    assert len(told) == sides and told <= ways


@pytest.mark.parametrize("lang", LANGS)
def test_what_is_told_apart_is_as_many_as_before(lang: str) -> None:
    """Joined by "and" instead of its relation, it is read as one and one, or as one and two."""
    grammar, plain = GRAMMARS["en" if lang == "en" else "vi"], strip_accents if lang == "vi_unaccented" else str
    told = 0
    for k, claim in enumerate(claims(1500)):
        counts = [group.count for group in claim.groups]
        if counts in ([2], [3]):
            drawn = expand_prompt(phrase(claim, lang, random.Random(k)), k)
            sides = [plain(f" {grammar.relations[name][0]} ") for name in RELATIONS[:4]]
            (side,) = (side for side in sides if side in drawn)
            sentence = read(drawn.replace(side, f" {plain(grammar.conjunction)} "))
            assert sentence is not None and sentence.counts == (1, counts[0] - 1), drawn
            told += 1
    assert told > 100


def test_people_type_less_tidily_than_the_world() -> None:
    assert expand_prompt("A Cat, a house, and a tree.", 1) == "A Cat between a house and a tree."
    assert expand_prompt("red star", 1) in {f"red star{place}" for place in PLACES["en"][0]}
    assert expand_prompt("a red big star, at night!", 1).endswith(", at night!")


@pytest.mark.parametrize(
    "prompt", ["a dog and a cat", "an astronaut on a horse", "four cars", "stars", "", "🐈 và một ngôi nhà", "a cat and"]
)
def test_what_is_not_understood_or_has_no_place_is_left_alone(prompt: str) -> None:
    assert expand_prompt(prompt, 3) == prompt


def test_a_seed_says_the_same_in_every_language() -> None:
    english, vietnamese = ("a cat and a house", "một con mèo và một ngôi nhà")
    pairs = {(expand_prompt(english, seed)[5:-7], expand_prompt(vietnamese, seed)[11:-12]) for seed in range(40)}
    assert pairs == {
        (" to the left of ", " ở bên trái "), (" to the right of ", " ở bên phải "), (" above ", " ở phía trên "),
        (" below ", " ở phía dưới "),
    }  # fmt: skip


# --- in use ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pipeline(tiny_zoo: Path) -> TextToImage:
    return load_pipeline(device="cpu", dtype="float32", root=tiny_zoo)


OPEN = "a cat and a house"


def test_places_are_told_to_a_model_that_has_learnt_them(tiny_zoo: Path, tmp_path: Path) -> None:
    config, state = zoo.load("world-dit", tiny_zoo)
    shutil.copytree(tiny_zoo, tmp_path / "zoo")
    zoo.add("world-dit", state, {**config, "tell_places": True}, root=tmp_path / "zoo")
    prompt = "a cat between a house and a tree"
    asked = Request(prompt, steps=1, seed=3)
    roots = (tmp_path / "zoo", tiny_zoo)
    learnt, not_learnt = (load_pipeline(device="cpu", root=root).expanded_prompts(asked) for root in roots)
    assert learnt == [expand_prompt(prompt, 3, tell_places=True)] and not_learnt == [prompt] != learnt


def test_an_image_is_made_from_the_expanded_prompt_of_its_own_seed(pipeline: TextToImage, tmp_path: Path) -> None:
    asked = Request(OPEN, steps=2, seed=5, num_images=3)
    expanded_prompt = pipeline.expanded_prompts(asked)
    assert expanded_prompt == [expand_prompt(OPEN, seed) for seed in (5, 6, 7)] and len(set(expanded_prompt)) > 1
    images = pipeline(asked)
    for image, text, seed in zip(images, expanded_prompt, (5, 6, 7), strict=True):
        (alone,) = pipeline(Request(text, steps=2, seed=seed))
        assert image.tobytes() == alone.tobytes()
    (plain,) = pipeline(Request(OPEN, steps=2, seed=5, expand_prompt=False))
    assert plain.tobytes() != images[0].tobytes()
    paths = save_images(images, tmp_path / "a.png", asked, expanded_prompt=expanded_prompt)
    assert [read_png(path)["expanded_prompt"] for path in paths] == expanded_prompt


def test_the_suite_is_drawn_with_it_and_without(pipeline: TextToImage, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []
    sample = pipeline.sample
    monkeypatch.setattr(pipeline, "sample", lambda texts, *rest: given.extend(texts) or sample(texts, *rest))
    for expanded in (True, False):
        pipeline_generator(pipeline, PromptsRun(steps=1, expand=expanded), first_seed=8)([OPEN, OPEN])
    assert given == [expand_prompt(OPEN, 8), expand_prompt(OPEN, 9), OPEN, OPEN]


def test_other_models_draw_from_the_prompt_as_it_is(pipeline: TextToImage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "prompt_expander", None)
    assert pipeline.expanded_prompts(Request(OPEN, num_images=2)) == [OPEN, OPEN]
