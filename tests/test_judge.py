"""The judge: its rules against the world's own truth, its maps there and back, its training, the shipped one's eyes."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from minidiff.data.world import corruptions
from minidiff.data.world.captions import drop_details
from minidiff.data.world.layout import layout
from minidiff.data.world.random_scenes import SPLITS, scene_at
from minidiff.data.world.scenes import COLOURS, SETTINGS, SHAPES, Group, Scene
from minidiff.evaluate import reliability
from minidiff.evaluate.judge import Detection, Seen, decode, features, from_state, load_judge, look, to_batch
from minidiff.evaluate.verdict import APART, at_place, judge, related
from minidiff.models.detector import Detector, DetectorConfig, DetectorOutput
from minidiff.pretrained import zoo
from minidiff.recipes import world_parts
from minidiff.train import detector as training


def world_config(**widths: int) -> DetectorConfig:
    return DetectorConfig(SHAPES, COLOURS, SETTINGS, **widths)


def truth(scene: Scene) -> Seen:
    """What a perfect judge sees."""
    owners = [(scene.groups[thing.group], thing) for thing in layout(scene)]
    things = [Detection(g.kind, g.colour or "", t.x, t.y, t.radius, 1.0) for g, t in owners]
    return Seen(tuple(things), scene.setting or "")


def thing(kind: str, colour: str = "red", x: float = 0.5, y: float = 0.5, radius: float = 0.11) -> Detection:
    return Detection(kind, colour, x, y, radius, 1.0)


# --- rules ----------------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 1 << 30))
def test_what_the_world_draws_is_always_right(index):
    scene = scene_at(index, "judge")
    assert judge(scene, truth(scene)).right
    assert judge(drop_details(scene, random.Random(index)), truth(scene)).right


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 1 << 30), st.sampled_from(sorted(reliability.FALSE)))
def test_one_false_word_makes_a_claim_wrong(index, attribute):
    scene = scene_at(index, "judge")
    claim = reliability.falsify(scene, attribute, random.Random(index))
    if claim is None:
        return
    verdict = judge(claim, truth(scene))
    assert not verdict.right
    alike = len({group.kind for group in scene.groups}) < len(scene.groups)  # then another assignment may explain it
    assert alike or not verdict.attributes[attribute], f"{attribute} of {claim} was not what was found false"


def test_another_object_makes_it_wrong():
    claim = Scene(None, (Group("star"),))
    assert judge(claim, Seen((thing("star"),), "sea")).right
    verdict = judge(claim, Seen((thing("star"), thing("boat", x=0.1)), "sea"))
    assert not verdict.right and not verdict.attributes["count"] and verdict.attributes["object"]


def test_what_the_claim_leaves_open_cannot_be_wrong():
    verdict = judge(Scene(None, (Group("star", None, None),)), Seen((thing("star", "green"),), "night"))
    assert verdict.attributes == {"object": True, "count": True}


def test_colours_swapped_between_objects_are_a_binding_error():
    claim = Scene("sea", (Group("star", "red"), Group("boat", "blue")))
    verdict = judge(claim, Seen((thing("star", "blue"), thing("boat", "red", x=0.1)), "sea"))
    assert not verdict.attributes["binding"] and verdict.attributes["object"] and verdict.attributes["setting"]


def test_an_empty_image_has_nothing_right_but_its_setting():
    claim = Scene("sea", (Group("star", "red", "big", 1, "left"),))
    verdict = judge(claim, Seen((), "sea"))
    assert [name for name, value in verdict.attributes.items() if value] == ["setting"]


def test_two_groups_of_one_kind_are_told_apart_by_colour_and_place():
    claim = Scene(None, (Group("star", "red"), Group("star", "blue")), "left")
    left, right = thing("star", "red", x=0.2), thing("star", "blue", x=0.8)
    assert judge(claim, Seen((right, left), "sea")).right
    assert not judge(claim, Seen((replace(right, x=0.1), left), "sea")).right


def test_a_crowd_is_judged_without_trying_every_assignment():
    claim = Scene(None, (Group("star", "red"), Group("star", "blue")))
    crowd = Seen(tuple(thing("star", x=k / 40) for k in range(40)), "sea")
    assert not judge(claim, crowd).right


@pytest.mark.parametrize("place, x, y, right", [
    ("left", 0.2, 0.5, True), ("left", 0.45, 0.5, False), ("left", 0.3, 0.1, False), ("left", 0.8, 0.5, False),
    ("right", 0.8, 0.6, True), ("top", 0.5, 0.2, True), ("top", 0.5, 0.8, False), ("bottom", 0.4, 0.8, True),
    ("middle", 0.55, 0.45, True), ("middle", 0.5, 0.7, False),
])  # fmt: skip
def test_places(place, x, y, right):
    assert at_place(thing("star", x=x, y=y), place) == right


@pytest.mark.parametrize("relation, a, b, right", [
    ("left", (0.3, 0.5), (0.7, 0.5), True), ("left", (0.7, 0.5), (0.3, 0.5), False),
    ("left", (0.48, 0.5), (0.48 + APART - 0.01, 0.5), False), ("left", (0.3, 0.1), (0.5, 0.9), False),
    ("right", (0.7, 0.5), (0.3, 0.5), True), ("above", (0.5, 0.2), (0.5, 0.7), True),
    ("above", (0.5, 0.7), (0.5, 0.2), False), ("below", (0.4, 0.8), (0.5, 0.3), True),
])  # fmt: skip
def test_relations(relation, a, b, right):
    assert related(relation, [[thing("star", x=a[0], y=a[1])], [thing("boat", x=b[0], y=b[1])]]) == right


def test_all_things_of_a_group_must_stand_where_the_relation_says():
    stars = [thing("star", x=0.2, y=0.2), thing("star", x=0.9, y=0.8)]
    assert not related("left", [stars, [thing("boat", x=0.6)]])


@pytest.mark.parametrize(
    "middle, right", [((0.5, 0.5), True), ((0.05, 0.5), False), ((0.95, 0.5), False), ((0.5, 0.95), False)]
)
def test_between(middle, right):
    ends = [thing("boat", x=0.2), thing("cat", x=0.8)]
    assert related("between", [[thing("star", x=middle[0], y=middle[1])], *([end] for end in ends)]) == right


# --- the network's maps ---------------------------------------------------------------------------------------------


def perfect_maps(batch: training.Examples, config: DetectorConfig) -> DetectorOutput:
    """Output without any error, made from the targets."""
    cells = config.image_size // 8
    heat, nearest, _ = training.heat_map(batch.things, batch.there, cells)
    rows = torch.arange(len(heat))[:, None, None].expand_as(nearest)
    things = batch.things[rows, nearest]
    grid = torch.stack(torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="xy"), dim=-1)
    place = torch.cat([things[..., :2] * cells - grid - 0.5, things[..., 2:3]], dim=-1).movedim(-1, 1)
    kind = torch.nn.functional.one_hot(things[..., 3].long(), len(SHAPES)).movedim(-1, 1) * 30.0
    colour = torch.nn.functional.one_hot(things[..., 4].long(), len(COLOURS)).movedim(-1, 1) * 30.0
    setting = torch.nn.functional.one_hot(batch.setting, len(SETTINGS)) * 30.0
    return DetectorOutput(torch.logit(heat, eps=1e-6), kind, colour, place, setting, torch.zeros(len(heat), 1))


def test_heat_is_a_small_hill_and_the_cells_beside_its_top_learn_too():
    things, there = torch.zeros(1, 8, 5), torch.zeros(1, 8, dtype=torch.bool)
    things[0, 0, :2], there[0, 0] = torch.tensor([5.5 / 16, 9.2 / 16]), True
    heat, nearest, close = training.heat_map(things, there, 16)
    assert heat[0, 9, 5] == 1 and heat[0, 9, 6] == pytest.approx(np.exp(-0.5)) and heat[0, 0, 15] < 1e-6
    assert close.sum() == 9 and close[0, 8:11, 4:7].all() and not nearest.any()


def test_perfect_maps_decode_to_the_scene_and_cost_almost_nothing():
    config, first = world_config(), 77
    batch = training.examples(first, 24)
    maps = perfect_maps(batch, config)
    for k, seen in enumerate(decode(maps, config)):
        scene = scene_at(first + k, "judge")
        assert judge(scene, seen).right
        found = sorted((round(t.x, 4), round(t.y, 4), round(t.radius, 4)) for t in seen.things)
        assert found == sorted((round(t.x, 4), round(t.y, 4), round(t.radius, 4)) for t in layout(scene))
    parts = training.loss(maps, batch)
    assert all(value < 0.15 for value in parts.values())
    shifted = training.loss(perfect_maps(training.examples(first + 24, 24), config), batch)
    assert all(shifted[name] > parts[name] + 0.1 for name in parts)


def test_the_loss_is_computed_where_its_batch_lies():
    """On a pretended GPU, which refuses to mix its tensors with those of the CPU."""
    with FakeTensorMode(shape_env=ShapeEnv()), torch.device("cuda"):
        there, setting = torch.ones(2, 8, dtype=torch.bool), torch.zeros(2, dtype=torch.long)
        batch = training.Examples(torch.zeros(2, 3, 128, 128), torch.zeros(2, 8, 5), there, setting, setting)
        heat, nearest, close = training.heat_map(batch.things, batch.there, 16)
        assert {t.device.type for t in (heat, nearest, close)} == {"cuda"}
        parts = training.loss(Detector(world_config())(batch.image), batch)
        assert {part.device.type for part in parts.values()} == {"cuda"}


def test_of_two_maxima_on_one_thing_the_surer_stays():
    things = (thing("star", x=0.50), replace(thing("star", x=0.56), score=0.6), thing("boat", x=0.9))
    config = world_config()
    nothing = torch.zeros(1, 8, 5)
    names = torch.zeros(2, 1, dtype=torch.long)
    batch = training.Examples(torch.zeros(1), nothing, nothing[..., 0] > 0, *names)
    for k, t in enumerate(things):
        batch.things[0, k] = torch.tensor([t.x, t.y, t.radius, SHAPES.index(t.kind), 0])
        batch.there[0, k] = True
    batch.things[0, 1, 0] = 0.62  # two cells on, so that both are local maxima
    assert len(decode(perfect_maps(batch, config), config)[0].things) == 2


def test_focal_loss_is_the_papers():
    logits, heat = torch.tensor([[[0.3, -1.2, 2.0]]]), torch.tensor([[[1.0, 0.5, 0.0]]])
    p = logits.sigmoid()
    by_hand = -((1 - p[0, 0, 0]) ** 2 * p[0, 0, 0].log() + 0.5**4 * p[0, 0, 1] ** 2 * (1 - p[0, 0, 1]).log()
                + p[0, 0, 2] ** 2 * (1 - p[0, 0, 2]).log())  # fmt: skip
    torch.testing.assert_close(training.focal_loss(logits, heat), by_hand)


def test_images_are_taken_in_any_form():
    array = np.zeros((2, 64, 64, 3), np.uint8)
    array[:, :, :, 0] = 255
    from PIL import Image

    for form in (array, torch.from_numpy(array), [Image.fromarray(a) for a in array]):
        x = to_batch(form)
        assert x.shape == (2, 3, 128, 128) and x[:, 0].min() > 0.99 and x[:, 1].max() < 0.01
    with pytest.raises(ValueError, match="Images must be"):
        to_batch(torch.zeros(3, 64, 64))


def tiny_judge() -> tuple[dict, dict]:
    """Configuration and weights, as the zoo gives them."""
    tiny = Detector(world_config(channels=16, depth=1))
    return json.loads(json.dumps(asdict(tiny.config))), tiny.state_dict()


def test_a_judge_of_another_world_is_refused():
    config, state = tiny_judge()
    assert from_state(config, state).config == world_config(channels=16, depth=1)
    with pytest.raises(ValueError, match="other kinds than the world .*unicorn"):
        from_state(config | {"kinds": [*SHAPES, "unicorn"]}, state)


@pytest.mark.parametrize(("change", "sentence"), [
    ({"depth": 10**9}, "depth is 1000000000, but it must be a whole number from 0 to 256"),
    ({"channels": 0}, "channels is 0"), ({"channels": "16"}, "channels is '16'"), ({"channels": 32}, "does not fit Detector"),
    ({"image_size": -1}, "image_size is -1"), ({"image_size": float("nan")}, "image_size is nan"),
    ({"depth": 2}, "does not fit Detector"), ({"kinds": 3}, "kinds is 3"), ({"kinds": [*SHAPES, 7]}, r"kinds\[18\] is 7"),
    ({"kinds": [*SHAPES, SHAPES[0]]}, "does not fit Detector"), ({"colours": []}, "other colours"), ({"eye": 1}, "'eye'"),
])  # fmt: skip
def test_a_damaged_configuration_is_refused_in_a_sentence(change: dict, sentence: str):
    config, state = tiny_judge()
    with pytest.raises(ValueError, match=sentence) as refusal:
        from_state(config | change, state)
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 400


def test_damaged_weights_are_refused_in_a_sentence():
    config, state = tiny_judge()
    bias = state["head.bias"]
    less = {k: v for k, v in state.items() if k != "head.bias"}
    for damaged in ({}, less, {**state, "more": bias}, {**less, "head.bias": bias[:3]}, {**less, "head.bias": bias + 1j}):
        with pytest.raises(ValueError, match="does not fit Detector") as refusal:
            from_state(config, damaged)
        assert "\n" not in str(refusal.value)
    with pytest.raises(ValueError, match="kinds is missing"):
        from_state({k: v for k, v in config.items() if k != "kinds"}, state)


def test_a_model_that_is_no_judge_is_refused_in_a_sentence(tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MINIDIFF_ZOO", str(tiny_zoo))
    with pytest.raises(ValueError, match="The judge 'world-dit': there is no setting 'dit'"):
        load_judge("world-dit")


# --- faults and training --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(corruptions.CORRUPTIONS))
def test_faults_are_small_repeatable_and_there(name):
    x = reliability.rendered(reliability.test_scenes(3))
    once, twice = (corruptions.CORRUPTIONS[name](x, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(once, twice) and once.min() >= 0 and once.max() <= 1
    assert 1e-4 < (once - x).abs().mean() < 0.08


def test_training_never_meets_the_renders_kept_for_measuring():
    task = training.JudgeTask(training.JudgeRun(channels=16, depth=1))
    with pytest.raises(ValueError, match="kept for measuring"):
        task.make_batch((SPLITS["judge_test"] - SPLITS["judge"]) // 8, 8, 0)


def test_a_broken_off_run_goes_on_as_if_unbroken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MINIDIFF_ZOO", str(tmp_path / "zoo"))
    monkeypatch.setattr(world_parts, "test_scenes", lambda count, first=0: reliability.test_scenes(4))
    small = training.JudgeRun(
        out=tmp_path / "a", steps=4, batch=2, warmup=2, channels=16, depth=1, precision="no", tested=8, publish=True
    )
    world_parts.train_judge(small)
    assert isinstance(load_judge(), Detector) and zoo.entry("world-judge")["images_seen"] == 8
    whole = zoo.load("world-judge")[1]
    world_parts.train_judge(replace(small, out=tmp_path / "b", stop_after=2))
    world_parts.train_judge(replace(small, out=tmp_path / "b"))
    again = zoo.load("world-judge")[1]
    assert all(torch.equal(whole[name], again[name]) for name in whole)


# --- the shipped judge ----------------------------------------------------------------------------------------------


def test_the_shipped_judge_sees_what_is_drawn(shipped):
    scenes = reliability.test_scenes(96, first=4242)
    pairs = list(reliability.looked_at(shipped, scenes))
    assert reliability.confirms(iter(pairs))["overall"] >= 0.97
    assert min(reliability.notices(iter(pairs)).values()) >= 0.97
    assert reliability.confirms(reliability.looked_at(shipped, scenes[:48], corruptions.corrupt))["overall"] >= 0.94
    errors = []
    for scene, seen in pairs:
        for real in layout(scene):
            found = min(seen.things, key=lambda t: np.hypot(t.x - real.x, t.y - real.y))
            errors.append([abs(found.radius - real.radius), np.hypot(found.x - real.x, found.y - real.y)])
    radius, centre = np.mean(errors, axis=0)
    assert radius < 0.004 and centre < 0.008, "in widths of the image"


def test_the_shipped_judge_knows_noise_from_images(shipped):
    noise = torch.rand(4, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    claim = Scene(None, (Group("star"),))
    assert not any(judge(claim, seen).right for seen in look(shipped, noise))
    assert features(shipped, noise).shape == (4, 24 + shipped.config.channels)
