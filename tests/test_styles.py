"""The drawn world's styles: one true image of a scene in each, told apart by anybody, the same at every size and time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import render
from minidiff.data.world.scenes import Group, Scene
from minidiff.data.world.styles import STYLES

NAMES = ("flat", *STYLES)


def drawn(style: str, size: int = 128, index: int = 3) -> np.ndarray:
    return render(scene_at(index), size, style).image


@pytest.mark.parametrize("style", NAMES)
def test_a_style_is_drawn_in_the_same_way_each_time(style: str) -> None:
    image = drawn(style)
    assert image.shape == (128, 128, 3) and image.dtype == np.uint8
    assert (image == drawn(style)).all()
    assert float(image.std()) > 10, "a picture, not a flat one"


def test_styles_differ_by_more_than_scenes_of_one_style_do_in_grain() -> None:
    for index in (3, 8, 11):
        images = [drawn(style, index=index).astype(float) for style in NAMES]
        apart = [np.abs(one - other).mean() for i, one in enumerate(images) for other in images[:i]]
        assert min(apart) > 5


@pytest.mark.parametrize("style", NAMES)
@pytest.mark.parametrize("size", [96, 256])
def test_the_same_image_at_every_size(style: str, size: int) -> None:
    """But for lines and squares that a small image can't hold."""
    other = Image.fromarray(drawn(style, size)).resize((32, 32), Image.Resampling.BOX)
    image = Image.fromarray(drawn(style)).resize((32, 32), Image.Resampling.BOX)
    assert np.abs(np.asarray(other, float) - np.asarray(image, float)).mean() < 12


@pytest.mark.parametrize("style", STYLES)
def test_nothing_moves_and_colours_stay(style: str) -> None:
    scene = Scene("plain", (Group("heart", "red", "big"),), seed=1)
    flat, styled = render(scene, 128, masks=True), render(scene, 128, style, masks=True)
    assert (flat.boxes == styled.boxes).all() and (flat.masks == styled.masks).all()
    inside = styled.image[flat.masks[0] > 127].astype(float).mean(0)
    blue = replace(scene, groups=(Group("heart", "blue", "big"),))
    other = render(blue, 128, style).image[flat.masks[0] > 127].astype(float).mean(0)
    assert inside[0] - inside[2] > 15 and other[2] - other[0] > 15, (inside, other)


def test_an_unknown_style_is_refused() -> None:
    with pytest.raises(ValueError, match="no style 'oil': choose from flat, outline, watercolour, pixel art, woodcut, neon"):
        drawn("oil")
