"""Drawn garments: the same at every size, patterns inside the cloth alone, and captions that tell what is drawn."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minidiff.data.fashion.captions import CLOTH_VI, NAMES_EN, NAMES_VI, QUALITY_EN, QUALITY_VI, describe, with_quality
from minidiff.data.fashion.drawing import draw, photograph
from minidiff.data.fashion.garments import COLOURS, PATTERNS, WARDROBE, Garment, contrast, random_garment
from minidiff.data.fashion.window import GRID, Window
from minidiff.data.world.captions import strip_accents

KINDS = tuple(WARDROBE)


def garment(kind: str, colour: str = "blue", pattern: str = "plain", **looks: Any) -> Garment:
    """A garment with the first choice of everything that is left open."""
    choices = WARDROBE[kind]
    first = {"sleeve": choices.sleeves, "neckline": choices.necklines, "length": choices.lengths}
    given = {name: looks.get(name, values[0] if values else None) for name, values in first.items()}
    return Garment(kind, colour, pattern, None if pattern == "plain" else "white", **given)


# --- drawing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_garment_is_drawn_in_the_same_way_each_time(kind: str) -> None:
    image = draw(garment(kind), 64, 5)
    assert image.shape == (64, 64, 3) and image.dtype == np.uint8
    assert (image == draw(garment(kind), 64, 5)).all()


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("size", [48, 200, 512])
def test_the_same_image_at_every_size(pattern: str, size: int) -> None:
    shown = garment("shirt", "red", pattern)
    small = [Image.fromarray(draw(shown, side, 3)).resize((16, 16), Image.Resampling.BOX) for side in (96, size)]
    assert np.abs(np.asarray(small[0], float) - np.asarray(small[1], float)).mean() < 3


@pytest.mark.parametrize("pattern", PATTERNS[1:])
@pytest.mark.parametrize("kind", ["dress", "hat", "trousers"])
def test_a_pattern_is_on_the_cloth_and_nowhere_else(kind: str, pattern: str) -> None:
    plain, cover = photograph(garment(kind), 128, 2)
    other, same_cover = photograph(garment(kind, pattern=pattern), 128, 2)
    assert (cover == same_cover).all() and 0.08 < (cover == 255).mean() < 0.7
    assert (plain[cover == 0] == other[cover == 0]).all()
    changed = np.abs(plain.astype(int) - other).max(2)[cover == 255] > 25
    assert 0.08 < changed.mean() < 0.95, "a part of the cloth has the second colour"


@pytest.mark.parametrize("colour", COLOURS)
def test_cloth_has_the_colour_that_is_named(colour: str) -> None:
    image, cover = photograph(garment("skirt", colour), 96, 4)
    seen = np.median(image[cover == 255].astype(float), axis=0)
    far = {name: float(np.linalg.norm(seen - rgb)) for name, rgb in COLOURS.items()}
    assert min(far, key=far.__getitem__) == colour


def test_a_window_holds_its_part_of_the_whole() -> None:
    outline = np.array([(-0.3, -0.5), (0.45, -0.2), (0.1, 0.4)])
    whole, part = Window.whole(100), Window.around(outline, 100)
    assert 0 < part.left < part.right < 100 and 0 < part.top < part.bottom < 100
    assert np.abs(whole.filled(outline)[part.slices] - part.filled(outline)).max() < 1e-6
    x, y = (place / GRID for place in np.meshgrid(np.arange(GRID, dtype=np.float32), np.arange(GRID, dtype=np.float32)))
    for field in (x, y):
        assert np.abs(whole.enlarged(field)[part.slices] - part.enlarged(field)).max() < 1e-3
    rows, columns = part.slices
    assert (whole.places[0][:, columns] == part.places[0]).all() and (whole.places[1][rows] == part.places[1]).all()


def test_seeds_differ_in_shape_and_backdrop() -> None:
    covers = [photograph(garment("coat"), 96, seed) for seed in range(4)]
    for k, (image, cover) in enumerate(covers):
        for other, other_cover in covers[:k]:
            assert (cover != other_cover).mean() > 0.02 and np.abs(image[0].astype(int) - other[0]).mean() > 1


def extent(shown: Garment) -> tuple[float, float, float]:
    """Height over width of what is covered, how much of that box is covered, and the width of its lowest fifth."""
    _, cover = photograph(shown, 128, 7)
    rows, columns = (np.flatnonzero((cover > 127).any(axis)) for axis in (1, 0))
    box = cover[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] > 127
    return len(box) / box.shape[1], float(box.mean()), float(box[-len(box) // 5 :].any(0).mean())


def test_lengths_and_sleeves_show() -> None:
    heights = [extent(garment("skirt", length=length))[0] for length in ("short", "knee-length", "long")]
    assert heights[0] < heights[1] < heights[2]
    assert extent(garment("trousers"))[0] > 1.5 * extent(garment("shorts"))[0]
    sleeveless, short, long = (extent(garment("dress", sleeve=one, length="short")) for one in ("sleeveless", "short", "long"))
    assert sleeveless[0] > short[0] and sleeveless[1] > long[1]


def test_necklines_show() -> None:
    """Where the neck is open, the back is seen, which is darker."""
    below = {}
    for neckline in ("round", "V"):
        image, cover = photograph(garment("t-shirt", "yellow", neckline=neckline), 256, 1)
        top = np.flatnonzero((cover > 127).any(1))[0]
        below[neckline] = float(image[top + 38 : top + 44, 122:134].mean())
    assert below["V"] < 0.8 * below["round"]


@pytest.mark.parametrize("size", [31, 513])
def test_sizes_out_of_range_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"from 32 to 512 pixels, not {size}"):
        draw(garment("hat"), size, 0)


# --- garments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("looks", "says"),
    [
        ({"kind": "sock"}, "A garment's kind must be one of t-shirt, shirt"),
        ({"colour": "teal"}, "A garment's colour must be one of red"),
        ({"pattern": "zigzag"}, "A garment's pattern must be one of plain, striped"),
        ({"sleeve": "long"}, "The sleeve of a hat must be None, not 'long'"),
        ({"kind": "dress", "sleeve": "short", "neckline": "high", "length": "long"}, "must be one of round, V, not 'high'"),
        ({"accent": "red"}, "A plain garment has no second colour"),
        ({"pattern": "dotted"}, "needs a second colour other than blue, not None"),
        ({"pattern": "dotted", "accent": "blue"}, "needs a second colour other than blue, not 'blue'"),
    ],
)
def test_what_does_not_go_together_is_refused(looks: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        replace(garment("hat"), **looks) if "kind" not in looks else Garment(**{"colour": "blue", **looks})


def test_random_garments_are_of_all_kinds_and_their_second_colour_shows() -> None:
    found = [random_garment(random.Random(seed)) for seed in range(400)]
    assert {one.kind for one in found} == set(KINDS) and {one.pattern for one in found} == set(PATTERNS)
    assert {one.colour for one in found} == set(COLOURS)
    assert all(contrast(one.colour, one.accent) > 0.22 for one in found if one.accent)
    assert random_garment(random.Random(1)) == random_garment(random.Random(1))


# --- captions --------------------------------------------------------------------------------------------------------

CONTRADICTIONS = {
    "en": {"sleeveless": ("long-sl", "short-sl", "long sl", "short sl"), "short": ("sleeveless", "long-sl", "long sl"),
           "long": ("sleeveless", "short-sl", "short sl")},
    "vi": {"sleeveless": ("tay dài", "dài tay", "tay ngắn", "ngắn tay"),
           "short": ("không tay", "sát nách", "tay dài", "dài tay"), "long": ("không tay", "sát nách", "tay ngắn", "ngắn tay")},
}  # fmt: skip


def test_captions_name_kind_and_colours_and_contradict_nothing() -> None:
    rng = random.Random(0)
    for _ in range(600):
        one = random_garment(rng)
        english, vietnamese = describe(one, "en", rng), describe(one, "vi", rng)
        assert any(name in english for name in NAMES_EN[one.kind]), english
        assert any(name in vietnamese for name in NAMES_VI[one.kind]), vietnamese
        for colour in filter(None, (one.colour, one.accent)):
            assert colour in english and any(word in vietnamese for word in CLOTH_VI[colour]), (english, vietnamese)
        for lang, text in (("en", english), ("vi", vietnamese)):
            assert not any(word in text for word in CONTRADICTIONS[lang].get(one.sleeve or "", ())), text
            assert len(text) >= 10 and "None" not in text and "  " not in text and text == text.strip()


def test_the_example_of_the_description_is_said() -> None:
    dress = Garment("dress", "red", "dotted", "white", "sleeveless", "V", "long")
    said = {lang: {describe(dress, lang, random.Random(seed)) for seed in range(3000)} for lang in ("en", "vi")}
    assert "a long red dress with white dots, sleeveless, V-neck" in said["en"]
    assert "váy dài màu đỏ chấm bi trắng, không tay, cổ chữ V" in said["vi"]
    assert all(len(texts) > 50 for texts in said.values())


def test_articles_and_pairs() -> None:
    for seed in range(60):
        rng = random.Random(seed)
        assert not describe(garment("hat", "orange"), "en", rng).startswith("a orange")
        trousers = describe(garment("trousers", "black"), "en", rng)
        assert trousers.startswith(("a pair of ", "black", "plain black")), trousers


def test_captions_without_accents_and_other_languages() -> None:
    text = describe(garment("dress", "green"), "vi_unaccented", random.Random(1))
    assert text.isascii() and text == strip_accents(describe(garment("dress", "green"), "vi", random.Random(1)))
    with pytest.raises(ValueError, match="'fr' is none of them"):
        describe(garment("dress"), "fr", random.Random(1))


def test_terms_of_quality_are_added_in_the_language_of_the_caption() -> None:
    for seed in range(30):
        rng = random.Random(seed)
        one = random_garment(rng)
        english, vietnamese = describe(one, "en", rng), describe(one, "vi", rng)
        for caption, terms in ((english, QUALITY_EN), (vietnamese, QUALITY_VI)):
            said = with_quality(caption, rng)
            added = said.removeprefix(caption + ", ").split(", ")
            assert said.startswith(caption + ", ") and 1 <= len(added) <= 2 and set(added) <= set(terms), said
        assert with_quality("vay do", rng, "vi_unaccented").isascii()
