"""The drawn world: deterministic, true to its words, the same at every size, and fast enough."""

from __future__ import annotations

import hashlib
import itertools
import random
import time
import unicodedata
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from minidiff.data.world import captions
from minidiff.data.world.backdrops import SETTINGS as BACKDROPS
from minidiff.data.world.compositions import held_out, is_held_out, is_unseen
from minidiff.data.world.drawing import parts_of
from minidiff.data.world.layout import Thing, layout, tell_places
from minidiff.data.world.random_scenes import SPLITS, complete, sample_scene, scene_at
from minidiff.data.world.rendering import render
from minidiff.data.world.scenes import COLOURS, OPPOSITES, SETTINGS, SHAPES, WORLD_VERSION, Group, Scene, is_ambiguous


def many(count: int = 300, split: str = "judge") -> list[Scene]:
    return [scene_at(k, split) for k in range(count)]


def test_the_same_scene_gives_the_same_image_and_two_seeds_differ() -> None:
    scene = scene_at(3)
    assert np.array_equal(render(scene).image, render(scene).image)
    assert not np.array_equal(render(scene).image, render(replace(scene, seed=scene.seed + 1)).image)


def test_splits_never_share_a_scene() -> None:
    """Each begins a long way before the next one, and scenes are drawn from the split's own seeds."""
    starts = sorted(SPLITS.values())
    assert min(later - earlier for earlier, later in itertools.pairwise(starts)) >= 1 << 30
    found = [scene_at(k, split) for split in SPLITS for k in range(100)]
    assert len(set(found)) == len(found)


def test_the_world_of_version_1_never_changes() -> None:
    """The shipped models have learnt it: where things stand, what captions say, how things are drawn."""
    digest = hashlib.sha256()
    for split in SPLITS:
        for k in range(40):
            scene = scene_at(k, split)
            digest.update(repr([(t.group, round(t.x, 6), round(t.y, 6), round(t.radius, 6)) for t in layout(scene)]).encode())
            digest.update(" ".join(captions.describe(scene, lang, random.Random(k)) for lang in captions.LANGS).encode())
    assert WORLD_VERSION == 1 and digest.hexdigest()[:16] == "c3da32393c9a584a"
    parts = hashlib.sha256()
    for kind, colour in itertools.product(SHAPES, COLOURS):
        for points, rgb, outer in parts_of(kind, colour, random.Random(7)):
            parts.update(repr((points.round(4).tolist(), rgb, outer)).encode())
    assert parts.hexdigest()[:16] == "3d76ea6864e0c2ef"
    means = np.stack([render(scene_at(k), 64).image.mean(axis=(0, 1)) for k in range(4)])
    then = [(210.9, 180.7, 150.9), (196.5, 178.7, 166.7), (211.7, 184.7, 181.2), (171.6, 220.1, 185.7)]
    np.testing.assert_allclose(means, then, atol=0.5)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", SHAPES)
def test_every_kind_is_visible_in_every_setting_in_every_colour(kind: str, setting: str) -> None:
    """What is drawn, rim included, differs clearly from the empty setting on an area worth seeing."""
    for colour in COLOURS:
        scene = Scene(setting, (Group(kind, colour, "small", 1, "middle"),), None, 5)
        drawn = render(scene, 64, masks=True)
        empty = np.asarray(BACKDROPS[setting](64 * 3, random.Random(5 + 1)).reduce(3))
        inside = drawn.masks[0] > 200
        difference = np.abs(drawn.image.astype(int) - empty.astype(int)).max(axis=2)
        assert inside.sum() > 40
        assert (difference > 25).sum() > 0.25 * inside.sum()


def test_all_sizes_show_the_same_image() -> None:
    from PIL import Image

    for scene in many(12):
        large = np.asarray(Image.fromarray(render(scene, 256).image).reduce(4)).astype(float)
        assert np.abs(large - render(scene, 64).image).mean() < 2, "without anti-aliasing it would be up to 3.5"


def test_things_stay_inside_apart_and_where_the_scene_says() -> None:
    for scene in many(1500):
        things = layout(scene)
        assert len(things) == sum(group.count for group in scene.groups)
        for k, a in enumerate(things):
            assert a.radius <= a.x <= 1 - a.radius and a.radius <= a.y <= 1 - a.radius
            for b in things[:k]:
                assert np.hypot(a.x - b.x, a.y - b.y) > 0.95 * (a.radius + b.radius), scene
        assert relation_holds(scene, things), scene


def relation_holds(scene: Scene, things: list[Thing]) -> bool:
    """Read from centres alone, in other words than the layout's."""
    middles = [np.mean([(t.x, t.y) for t in things if t.group == k], axis=0) for k in range(len(scene.groups))]
    place = scene.groups[0].place
    if place:
        x, y = middles[0]
        edges = {"left": x < 0.35, "right": x > 0.65, "top": y < 0.35, "bottom": y > 0.65}
        return bool(edges.get(place, abs(x - 0.5) < 0.06 and abs(y - 0.5) < 0.06))
    if scene.relation is None:
        return True
    dx, dy = middles[0] - middles[1]
    if scene.relation == "between":
        a, b = middles[0] - middles[1], middles[0] - middles[2]
        return bool(np.dot(a, b) < 0)
    return bool({"left": dx < -0.15, "right": dx > 0.15, "above": dy < -0.15, "below": dy > 0.15}[scene.relation])


def test_training_never_shows_a_held_out_composition() -> None:
    rng = random.Random(0)
    assert not any(is_held_out(scene_at(k)) for k in range(500))
    assert all(is_held_out(sample_scene(rng, held_out=True)) for _ in range(50))
    pairs = [held_out(f"{kind} {colour}") for kind in SHAPES for colour in COLOURS]
    assert 0.03 < np.mean(pairs) < 0.15
    for kind in SHAPES:  # and yet every kind is seen in most colours
        assert sum(held_out(f"{kind} {colour}") for colour in COLOURS) <= 3


def test_a_relation_is_unseen_only_if_it_is_held_out_both_ways_round() -> None:
    """What no training caption says must not be said by one in other words."""
    kinds = [(a, b) for a in SHAPES for b in SHAPES if a != b]
    found = {(held, turned): 0 for held in (True, False) for turned in (True, False)}
    for relation, turned in OPPOSITES.items():
        for a, b in kinds:
            claim = Scene(None, (Group(a), Group(b)), relation)
            held = held_out(f"{a} {relation} {b}"), held_out(f"{b} {turned} {a}")
            assert is_held_out(claim) == held[0]
            assert is_unseen(claim) == all(held)
            found[held] += 1
    assert all(found.values())
    unseen = next(f"{k} {c}".split() for k in SHAPES for c in COLOURS if held_out(f"{k} {c}"))
    other = next(k for k in SHAPES if not held_out(f"{k} left {unseen[0]}"))
    assert is_unseen(Scene(None, (Group(other), Group(unseen[0], unseen[1])), "left"))  # for its colour
    between = next(c for a, b in kinds for c in [Scene(None, (Group(a), Group(b), Group("car")), "between")]
                   if a != "car" != b and held_out(f"{a} between {b}"))  # fmt: skip
    assert is_unseen(between)


@pytest.mark.parametrize(
    ("groups", "relation", "ambiguous"),
    [
        ((Group("star"),), None, True),
        ((Group("star", "red", "big", 3),), None, True),
        ((Group("star"), Group("house"), Group("cat")), None, True),
        ((Group("star", place="left"),), None, False),
        ((Group("star"), Group("house")), "left", False),
        ((Group("star"), Group("house"), Group("cat")), "between", True),  # from left to right, or from top to bottom?
        ((Group("star"), Group("house", place="top")), None, False),
    ],
)
def test_a_scene_is_ambiguous_when_nothing_says_where_things_stand(
    groups: tuple[Group, ...], relation: str | None, ambiguous: bool
) -> None:
    assert is_ambiguous(Scene("day", groups, relation)) is ambiguous


def test_places_are_told_as_the_image_has_them() -> None:
    told = 0
    for scene in many(400):
        claim = replace(scene, relation=None if scene.relation != "between" else scene.relation)
        answer = tell_places(claim, scene)
        spots = [group.spot for group in answer.groups if group.spot]
        told += bool(spots)
        assert replace(answer, groups=tuple(replace(group, spot=None) for group in answer.groups)) == claim
        assert len(set(spots)) == len(spots)
        if answer.relation == "between" and spots:  # the first stands between what is left (or top) and right (or bottom)
            assert not answer.groups[0].spot and set(spots) in ({"left", "right"}, {"top", "bottom"})
        for thing in layout(scene) if spots else []:
            spot = answer.groups[thing.group].spot or ""
            assert ("left" in spot) == (thing.x < 0.4) and ("right" in spot) == (thing.x > 0.6), (spot, thing)
            assert ("top" in spot) == (thing.y < 0.4) and ("bottom" in spot) == (thing.y > 0.6), (spot, thing)
    assert told > 80


def test_told_places_show_no_composition_that_is_held_out() -> None:
    shown = set()
    for scene in many(3000):
        for group in tell_places(replace(scene, relation=None), scene).groups:
            shown |= {f"{group.kind} at {group.spot}"} if group.spot else set()
    assert len(shown) > 100 and not any(map(held_out, shown))


@pytest.mark.parametrize(
    "claim",
    [
        Scene("day", (Group("star", "red", "big"),)),
        Scene("day", (Group("star", "red", "big"), Group("cat", "red", "big")), "left"),
        Scene("day", (Group("star", "red", "small", 3),)),
        Scene("day", (Group("star", "red", "small", 2), Group("cat", "red", "big"))),
    ],
)
def test_places_are_not_told_where_nothing_is_open_or_several_are_alike(claim: Scene) -> None:
    assert tell_places(claim, claim) == claim


def test_counts_are_two_groups_that_look_alike_the_smaller_first() -> None:
    counts: Counter[tuple[int, ...]] = Counter()
    for scene in many(400, "counts"):
        first, second = scene.groups
        assert replace(first, count=second.count) == second and scene.relation in ("left", "right", "above", "below")
        counts[first.count, second.count] += 1
        axis, sign = ("x" if scene.relation in ("left", "right") else "y"), (1 if scene.relation in ("left", "above") else -1)
        things = layout(scene)
        ends = [[sign * getattr(thing, axis) for thing in things if thing.group == k] for k in (0, 1)]
        assert max(ends[0]) < min(ends[1])
        for k, thing in enumerate(things):  # side by side, and nothing over the edge
            assert thing.radius <= min(thing.x, thing.y, 1 - thing.x, 1 - thing.y)
            assert all(np.hypot(thing.x - b.x, thing.y - b.y) > thing.radius + b.radius for b in things[k + 1 :])
    assert set(counts) == {(1, 1), (1, 2), (1, 3), (2, 2)} and min(counts.values()) > 20


def test_counts_show_no_composition_that_is_held_out() -> None:
    """Nor a held-out number: one car above two cars are three cars."""
    for scene in many(2000, "counts"):
        first, second = scene.groups
        assert not is_held_out(scene) and not held_out(f"{first.count + second.count} x {first.kind}")


def test_masks_and_boxes_cover_the_things() -> None:
    for scene in many(40):
        drawn = render(scene, 96, masks=True)
        assert drawn.masks.shape == (len(drawn.boxes), 96, 96)
        for mask, box in zip(drawn.masks, drawn.boxes, strict=True):
            rows, columns = np.nonzero(mask)
            x0, y0, x1, y1 = box * 96
            assert columns.min() >= x0 - 2 and columns.max() <= x1 + 2
            assert rows.min() >= y0 - 2 and rows.max() <= y1 + 2


@pytest.mark.parametrize("size", [16, 1024])
def test_a_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 to 512"):
        render(scene_at(0), size)


def test_a_claim_cannot_be_drawn_before_it_is_completed() -> None:
    claim = Scene(None, (Group("cat"), Group("cat", "red")), "left")
    with pytest.raises(ValueError, match="complete"):
        render(claim)
    full = complete(claim, random.Random(0))
    assert full.groups[0].colour != "red" and full.groups[1].colour == "red"
    render(full)


def test_a_completed_claim_is_a_scene_that_the_world_could_have_made() -> None:
    """Three things on one side of another are small, or they would overlap; the first of three things may be big."""
    crowded = Scene(None, (Group("circle", count=3), Group("square")), "left")
    three = Scene(None, (Group("cat"), Group("car"), Group("star")), "between")
    sizes = [tuple(g.size for g in complete(claim, random.Random(k)).groups) for k in range(40) for claim in (crowded, three)]
    assert set(sizes) == {("small", "small"), ("small", "big"), ("big", "small", "small"), ("small", "small", "small")}


# --- captions -------------------------------------------------------------------------------------------------------


def test_captions_say_what_the_claim_says_and_nothing_else() -> None:
    """Every colour word of a caption belongs to a colour of the claim, and each colour of the claim is named."""
    rng = random.Random(1)
    for scene in many(400):
        claim = captions.drop_details(scene, rng)
        english = captions.phrase(claim, "en", rng).replace(",", " ").split()
        assert {c for c in COLOURS if c in english} == {g.colour for g in claim.groups if g.colour}
        vietnamese = captions.phrase(claim, "vi", rng)
        for group in claim.groups:
            assert any(noun in vietnamese for noun in captions.SHAPES_VI[group.kind])
            assert group.colour is None or any(word in vietnamese for word in captions.COLOURS_VI[group.colour])


def test_vietnamese_is_nfc_and_unaccented_vietnamese_is_ascii() -> None:
    rng = random.Random(2)
    for scene in many(200):
        text = captions.describe(scene, "vi", rng)
        assert text == unicodedata.normalize("NFC", text)
        assert captions.describe(scene, "vi_unaccented", rng).isascii()


def test_two_groups_of_one_kind_keep_their_colours() -> None:
    scene = Scene("day", (Group("star", "red", "big"), Group("star", "blue", "big")), "left", 1)
    for seed in range(60):
        claim = captions.drop_details(scene, random.Random(seed))
        assert [group.colour for group in claim.groups] == ["red", "blue"]


def test_without_detail_a_caption_says_kinds_counts_and_the_colours_of_twins() -> None:
    twins = 0
    for scene in many(300):
        kinds = [group.kind for group in scene.groups]
        twins += len(set(kinds)) < len(kinds)
        groups = tuple(Group(g.kind, g.colour if kinds.count(g.kind) > 1 else None, count=g.count) for g in scene.groups)
        assert captions.drop_details(scene, random.Random(0), detail=0) == Scene(None, groups, None, scene.seed)
    assert twins > 5


def test_with_half_the_detail_each_is_said_half_as_often() -> None:
    scene = Scene("day", (Group("star", "red", "big", 1, "left"), Group("house", "blue", "small", 1, "top")), "left")

    def said(detail: float) -> Counter[str]:
        counts: Counter[str] = Counter()
        for seed in range(4000):
            claim = captions.drop_details(scene, random.Random(seed), detail)
            first = claim.groups[0]
            details = {"colour": first.colour, "size": first.size, "place": first.place, "relation": claim.relation,
                       "setting": claim.setting}  # fmt: skip
            counts.update(name for name, detail in details.items() if detail)
        return counts

    much, little = said(1.0), said(0.5)
    assert len(much) == 5
    assert {name: little[name] / much[name] for name in much} == pytest.approx(dict.fromkeys(much, 0.5), abs=0.03)


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(ValueError, match="en, vi, vi_unaccented"):
        captions.describe(scene_at(0), "fr", random.Random(0))


def test_articles() -> None:
    claim = Scene(None, (Group("umbrella", "orange"),))
    texts = {captions.phrase(claim, "en", random.Random(seed)) for seed in range(40)}
    assert "an orange umbrella" in texts and not any("a orange" in text or "a umbrella" in text for text in texts)


def test_drawing_is_fast_enough_to_train_from() -> None:
    """A third of the target (150 a second on one core at 128 px), because test machines are busy."""
    start = time.process_time()
    for scene in many(60):
        render(scene, 128)
    assert 60 / (time.process_time() - start) > 50
