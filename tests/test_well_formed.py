"""Deviation from true drawings: nothing for what is drawn, more the more a thing is warped, and details count."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from minidiff.data.world import drawing
from minidiff.data.world.layout import layout
from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import render
from minidiff.data.world.scenes import SHAPES, Group, Scene
from minidiff.evaluate import well_formed
from minidiff.evaluate.judge import Detection, Seen
from minidiff.evaluate.well_formed import compared, deviation, deviations, differences, squares, true_drawings


def picture(scene: Scene, size: int = 128) -> tuple[Tensor, list[Detection]]:
    """A render (3, size, size) in 0..1, and its things as a perfect judge finds them."""
    image = torch.from_numpy(np.array(render(scene, size).image)).permute(2, 0, 1).float() / 255
    owned = [(thing, scene.groups[thing.group]) for thing in layout(scene)]
    return image, [Detection(group.kind, group.colour or "", t.x, t.y, t.radius, 1.0) for t, group in owned]


def warped(image: Tensor, pixels: float, seed: int = 0) -> Tensor:
    """The image (3, S, S), each point moved by a smooth random shift of so many pixels."""
    side = image.shape[-1]
    noise = torch.randn(1, 2, side // 8, side // 8, generator=torch.Generator().manual_seed(seed))
    moves = F.interpolate(noise, size=side, mode="bicubic").permute(0, 2, 3, 1) * pixels * 2 / side
    grid = F.affine_grid(torch.eye(2, 3)[None], [1, *image.shape], align_corners=False)
    return F.grid_sample(image[None], grid + moves, padding_mode="border", align_corners=False)[0]


def median_of(change: float, count: int = 8) -> float:
    found = []
    for k in range(count):
        image, things = picture(scene_at(k, "test"))
        found += [deviation(warped(image, change, k) if change else image, thing) for thing in things]
    return float(np.median(found))


def test_the_more_a_thing_is_warped_the_further_it_is() -> None:
    medians = [median_of(pixels) for pixels in (0, 0.7, 1.5, 3)]
    assert medians[0] < 0.05 and all(b > 1.15 * a for a, b in zip(medians, medians[1:], strict=False)), medians


@pytest.mark.parametrize("kind", SHAPES)
def test_a_thing_is_nearest_to_its_own_kind(kind: str) -> None:
    image, (thing,) = picture(Scene("plain", (Group(kind, "blue", "big"),), seed=3))
    own = deviation(image, thing)
    names = {"star", "cloud", "boat"} - {kind}
    others = [deviation(image, Detection(other, "blue", thing.x, thing.y, thing.radius, 1.0)) for other in names]
    assert own < min(others), (own, others)
    assert own < 0.8 * deviation(image, Detection(kind, "red", thing.x, thing.y, thing.radius, 1.0))


def test_a_detail_that_is_missing_counts() -> None:
    """A bird whose details are painted over in its own colour is further away than a bird."""
    image, (thing,) = picture(Scene("plain", (Group("bird", "green", "big"),), seed=1))
    blank = Image.fromarray(np.array(render(Scene("plain", (Group("bird", "green", "big"),), seed=1), 128).image))
    parts = drawing.parts_of("bird", "green", random.Random(3))
    centre, radius = (thing.x * 128, thing.y * 128), thing.radius * 128
    for points, _, outer in parts:
        if outer:
            ImageDraw.Draw(blank).polygon((points * radius + centre).ravel().tolist(), fill=drawing.COLOURS["green"])
    plain = torch.from_numpy(np.array(blank)).permute(2, 0, 1).float() / 255
    assert deviation(plain, thing) > 1.2 * deviation(image, thing)


def test_moves_and_scales_are_forgiven() -> None:
    image, (thing,) = picture(Scene("plain", (Group("heart", "red", "big"),), seed=5))
    off = Detection("heart", "red", thing.x + 0.1 * thing.radius, thing.y, 1.05 * thing.radius, 1.0)
    assert deviation(image, off) < 1.25 * deviation(image, thing)
    far = Detection("heart", "red", thing.x + 0.6 * thing.radius, thing.y, thing.radius, 1.0)
    assert deviation(image, far) > 2 * deviation(image, thing)


def test_a_true_drawing_is_at_no_distance_from_itself() -> None:
    colours, cover = true_drawings("cat", "orange")
    ground = torch.tensor([0.2, 0.6, 0.9])[:, None, None]
    one = (colours[7] + (1 - cover[7]) * ground)[None]
    found = differences(one, colours, cover)[0]
    assert found.argmin() == 7 and found[7] < 1e-6 and found.sort().values[1] > 1e-3
    assert cover.min() >= -1e-6 and cover.max() <= 1 + 1e-6 and 0.2 < cover.mean() < 0.6


def test_squares_show_the_thing_in_the_middle() -> None:
    image = torch.zeros(3, 100, 100)
    image[:, 60:80, 20:40] = 1
    (cut,) = squares(image, [Detection("square", "white", 0.3, 0.7, 0.1, 1.0)])
    half = round(well_formed.SIDE / 2 / well_formed.REACH)
    middle = well_formed.SIDE // 2
    inside, outside = cut[0, middle, middle - half + 2 : middle + half - 2], cut[0, middle, : middle - half - 2]
    assert inside.min() > 0.99 and outside.max() < 0.01


def test_kinds_are_compared_with_real_things_of_the_same_kind() -> None:
    found = {"cat": [0.2, 0.4, 0.3], "car": [0.1]}
    rows = compared(found, {"cat": [0.1, 0.1], "car": [0.1, 0.2, 0.3], "star": [0.5]})
    assert list(rows) == ["car", "cat", "all"]
    assert rows["cat"] == pytest.approx({"median": 0.3, "real": 0.1, "ratio": 3.0, "things": 3})
    assert rows["all"]["ratio"] == pytest.approx(0.25 / 0.15)
    image, things = picture(Scene("plain", (Group("cat", "red", "big"), Group("car", "blue", "small")), "left"))
    array = (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    table = deviations([array, array], [Seen(tuple(things), "plain"), Seen((), "plain")])
    assert {kind: len(values) for kind, values in table.items()} == {"cat": 1, "car": 1}
