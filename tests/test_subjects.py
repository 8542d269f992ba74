"""Subjects: individuals drawn the same way each time, told apart by anybody, captioned in both languages."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from minidiff import cli
from minidiff.data.captioned import read_captioned
from minidiff.data.world import drawing
from minidiff.data.world.drawing import COLOURS, Drawing
from minidiff.data.world.layout import layout
from minidiff.data.world.prepare_subject import PrepareSubject, prepare
from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.scenes import SETTINGS, SHAPES, Group, Scene
from minidiff.data.world.styles import STYLES
from minidiff.data.world.subjects import (
    SUBJECTS,
    Subject,
    class_claim,
    draw_subject,
    find_subject,
    subject_caption,
    subject_image,
    subject_scene,
)
from minidiff.evaluate.judge import Detection
from minidiff.evaluate.verdict import at_place, related

ALL = pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)


def portrait(kind: str, colour: str, seed: int, drawings: Mapping[str, Drawing] = drawing.SHAPES) -> np.ndarray:
    """A thing in some pose that fills a grey square, (48, 48, 3) as floats."""
    canvas = Image.new("RGB", (192, 192), (128, 128, 128))
    parts = drawing.parts_of(kind, colour, random.Random(seed), drawings)
    drawing.paint(ImageDraw.Draw(canvas), parts, (96, 96), 80, drawing.rim(COLOURS[colour]))
    return np.asarray(canvas.reduce(4)).astype(float)


def portraits(subject: Subject, count: int = 24) -> list[np.ndarray]:
    return [portrait(subject.name, subject.colour, seed, {subject.name: subject.draw}) for seed in range(count)]


@ALL
def test_a_subject_belongs_to_a_class_of_the_world_and_to_no_random_scene(subject: Subject) -> None:
    assert subject.noun in SHAPES and subject.colour in COLOURS and subject.name not in SHAPES
    assert set(subject.marks) < set(subject.parts)
    assert all(group.kind in SHAPES for k in range(200) for group in scene_at(k).groups)


@ALL
def test_a_picture_is_the_same_each_time_and_no_two_are_alike(subject: Subject) -> None:
    assert (subject_image(subject, 3).image == subject_image(subject, 3).image).all()
    scenes = [subject_scene(subject, seed) for seed in range(14)]
    assert [scene.setting for scene in scenes] == [*SETTINGS, *SETTINGS]
    assert len({(thing.x, thing.y, thing.radius) for scene in scenes for thing in layout(scene)}) == 14
    poses = portraits(subject, 4)
    assert min(nearest(pose, poses[:k]) for k, pose in enumerate(poses) if k) > 1


@ALL
@pytest.mark.parametrize("size", [32, 96, 512])
def test_the_same_picture_and_mask_at_every_size(subject: Subject, size: int) -> None:
    render = subject_image(subject, 4, size)
    assert render.image.shape == (size, size, 3) and render.masks.shape == (1, size, size)
    assert render.image.dtype == render.masks.dtype == np.uint8
    small = np.asarray(Image.fromarray(render.image).resize((32, 32), Image.Resampling.BOX), float)
    other = np.asarray(Image.fromarray(subject_image(subject, 4).image).resize((32, 32), Image.Resampling.BOX), float)
    assert np.abs(small - other).mean() < 3
    assert 0.06 < (render.masks[0] > 127).mean() < 0.3


@ALL
def test_the_mask_covers_the_subject(subject: Subject) -> None:
    """What differs from the same scene in which it is blue lies inside the mask, or on its rim."""
    scene = subject_scene(subject, 5)
    found, blue = draw_subject(subject, scene), draw_subject(replace(subject, colour="blue"), recoloured(scene, "blue"))
    changed = (found.image != blue.image).any(axis=2)
    assert (found.masks == blue.masks).all() and changed.sum() > 200
    left, top, right, bottom = found.boxes[0] * 128
    rows, columns = np.nonzero(changed)
    assert left - 4 <= columns.min() and columns.max() <= right + 4 and top - 4 <= rows.min() and rows.max() <= bottom + 4
    assert (changed & (found.masks[0] < 1)).mean() < 0.03


def recoloured(scene: Scene, colour: str) -> Scene:
    return replace(scene, groups=(replace(scene.groups[0], colour=colour), *scene.groups[1:]))


def test_individuals_differ_from_each_other_and_from_their_class_more_than_their_pictures_do() -> None:
    every = {name: portraits(subject) for name, subject in SUBJECTS.items()}
    for name, own in every.items():
        subject = SUBJECTS[name]
        others = [image for other, images in every.items() if other != name for image in images]
        others += [portrait(subject.noun, subject.colour, seed) for seed in range(24)]
        within = np.mean([nearest(image, own[:k] + own[k + 1 :]) for k, image in enumerate(own)])
        assert min(nearest(image, own) for image in others) > 1.8 * within


def nearest(image: np.ndarray, images: list[np.ndarray]) -> float:
    return float(min(np.abs(image - one).mean() for one in images))


@ALL
def test_without_a_mark_only_that_mark_changes(subject: Subject) -> None:
    scene = subject_scene(subject, 1)
    whole = draw_subject(subject, scene).image.astype(int)
    changes = {}
    for mark in subject.marks:
        changes[mark] = (whole != draw_subject(subject.without(mark), scene).image).any(axis=2)
        assert 20 < changes[mark].sum() < 0.6 * (draw_subject(subject, scene).masks[0] > 127).sum(), mark
    bare = (whole != draw_subject(subject.without(*subject.marks), scene).image).any(axis=2)
    assert (bare <= np.any(list(changes.values()), axis=0)).all()
    with pytest.raises(ValueError, match=f"{subject.name} has no mark 'monocle': choose from {subject.marks[0]}"):
        subject.without("monocle")


@ALL
@pytest.mark.parametrize("relation", ["left", "right", "above", "below"])
def test_a_subject_stands_beside_other_things(subject: Subject, relation: str) -> None:
    for seed in range(5):
        scene = subject_scene(subject, seed, "night", relation=relation, other=Group("house", "red"))
        assert scene.groups[1] == Group("house", "red", "small")
        first, second = (Detection("", "", thing.x, thing.y, thing.radius, 1.0) for thing in layout(scene))
        assert related(relation, [[first], [second]])
        assert max(abs(first.x - second.x), abs(first.y - second.y)) > first.radius + second.radius
        assert len(draw_subject(subject, scene, 64).masks) == 2


@ALL
@pytest.mark.parametrize("place", ["left", "right", "top", "bottom", "middle"])
def test_a_subject_stands_where_it_is_put(subject: Subject, place: str) -> None:
    for seed in range(5):
        (thing,) = layout(subject_scene(subject, seed, place=place))
        assert at_place(Detection("", "", thing.x, thing.y, thing.radius, 1.0), place)
        assert thing.radius <= thing.x <= 1 - thing.radius and thing.radius <= thing.y <= 1 - thing.radius


def test_subjects_come_in_every_style() -> None:
    scene = subject_scene(SUBJECTS["mochi"], 0)
    images = [draw_subject(SUBJECTS["mochi"], scene, 64, style).image.astype(int) for style in ("flat", *STYLES)]
    assert min(np.abs(one - other).mean() for k, one in enumerate(images) for other in images[:k]) > 3


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"setting": "mars"}, "'mars' is not known"),
        ({"place": "corner"}, "'corner' is not known"),
        ({"relation": "between", "other": Group("star")}, "'between' is not known"),
        ({"relation": "left"}, "stands alone"),
        ({"other": Group("dog")}, "other thing of the world"),
        ({"other": Group("star", count=2)}, "one other thing"),
        ({"other": Group("star"), "place": "left"}, "stands alone"),
    ],
)
def test_scenes_that_cannot_be_are_refused(wanted: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        subject_scene(SUBJECTS["pipo"], 0, **wanted)


@pytest.mark.parametrize("wrong", [{"name": "cat"}, {"noun": "dog"}, {"colour": "teal"}, {"marks": ("third ear", "hat")}])
def test_a_subject_of_ones_own_must_fit_the_world(wrong: dict) -> None:
    with pytest.raises(ValueError, match="needs a name of its own, a class of the world"):
        replace(SUBJECTS["mochi"], **wrong)


def test_an_unknown_subject_and_size_are_refused() -> None:
    with pytest.raises(ValueError, match="no subject 'rex': choose from mochi, pipo, lumi"):
        find_subject("rex")
    with pytest.raises(ValueError, match="from 32 to 512"):
        subject_image(SUBJECTS["lumi"], 0, 31)


# --- captions -------------------------------------------------------------------------------------------------------


def test_captions_name_token_class_and_setting_in_both_languages() -> None:
    mochi = SUBJECTS["mochi"]
    for seed in range(30):
        scene = subject_scene(mochi, seed, "meadow")
        english, vietnamese = (subject_caption(mochi, scene, "sks", lang) for lang in ("en", "vi"))
        assert "a sks cat" in english and ("meadow" in english or "grass" in english)
        assert "một con mèo sks" in vietnamese and ("đồng cỏ" in vietnamese or "bãi cỏ" in vietnamese)
        assert "mot con meo sks" in subject_caption(mochi, scene, "sks", "vi_unaccented")
        assert english == subject_caption(mochi, scene, "sks")
        assert not any(word in f" {english} " for word in (" orange ", " big ", " small ", " mochi ", " close "))
    assert len({subject_caption(mochi, subject_scene(mochi, seed, "meadow"), "sks") for seed in range(30)}) > 2


NOUNS = [("mochi", "cat", "con mèo"), ("pipo", "bird", "con chim"), ("lumi", "fish", "con cá")]


@pytest.mark.parametrize(("name", "noun", "vietnamese_noun"), NOUNS)
def test_captions_say_the_other_thing_and_the_relation(name: str, noun: str, vietnamese_noun: str) -> None:
    subject = SUBJECTS[name]
    scene = subject_scene(subject, 8, "night", relation="left", other=Group("tree", "red"))
    english, vietnamese = (subject_caption(subject, scene, "ozk", lang) for lang in ("en", "vi"))
    assert f"an ozk {noun}" in english and "left of" in english and "red tree" in english and "night" in english
    assert f"một {vietnamese_noun} ozk" in vietnamese and "bên trái" in vietnamese and "đỏ" in vietnamese


def test_a_judge_can_check_what_a_caption_says() -> None:
    scene = subject_scene(SUBJECTS["pipo"], 2, "sea", relation="above", other=Group("star"))
    claim = class_claim(SUBJECTS["pipo"], scene)
    assert claim.groups[0] == Group("bird") and (claim.setting, claim.relation) == ("sea", "above")
    assert claim.groups[1].kind == "star" and claim.groups[1].colour == scene.groups[1].colour and claim.groups[1].size is None


@pytest.mark.parametrize("token", ["", "two words", "sks,", "a_b", "\n"])
def test_a_token_is_one_word(token: str) -> None:
    with pytest.raises(ValueError, match="The token must be one word"):
        subject_caption(SUBJECTS["mochi"], subject_scene(SUBJECTS["mochi"], 0), token)


def test_other_languages_are_refused() -> None:
    with pytest.raises(ValueError, match="'fr' is none of them"):
        subject_caption(SUBJECTS["mochi"], subject_scene(SUBJECTS["mochi"], 0), "sks", "fr")


# --- the folder -----------------------------------------------------------------------------------------------------


def test_a_prepared_folder_is_read_as_captioned_images(tmp_path: Path) -> None:
    prepare(PrepareSubject("lumi", tmp_path / "lumi", images=3, size=48, token="zwx"))
    collection = read_captioned(tmp_path / "lumi")
    assert [pair.image.name for pair in collection.pairs] == ["lumi-00.png", "lumi-01.png", "lumi-02.png"]
    assert not collection.left_out
    for seed, pair in enumerate(collection.pairs):
        assert "a zwx fish" in pair.captions[0] and "một con cá zwx" in pair.captions[1]
        assert (np.asarray(Image.open(pair.image)) == subject_image(SUBJECTS["lumi"], seed, 48).image).all()


def test_preparing_again_writes_the_same_or_more(tmp_path: Path) -> None:
    prepare(PrepareSubject("mochi", tmp_path, images=2, size=32))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    (tmp_path / "metadata.jsonl").unlink()  # as if it had been stopped
    prepare(PrepareSubject("mochi", tmp_path, images=2, size=32))
    assert before == {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    prepare(PrepareSubject("mochi", tmp_path, images=3, size=32))
    assert len(read_captioned(tmp_path).pairs) == 3


@pytest.mark.parametrize("other", ["pipo-00.png", "mochi-02.png", "holiday.jpg"])
def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, other: str) -> None:
    (tmp_path / other).write_bytes(b"precious")
    with pytest.raises(ValueError, match=f"holds other files, such as {other}"):
        prepare(PrepareSubject("mochi", tmp_path, images=2, size=32))
    assert [file.name for file in tmp_path.iterdir()] == [other]


def command(*argv: str) -> int:
    with pytest.raises(SystemExit) as stop:
        cli.main(("prepare", "subject", *argv))
    return int(stop.value.code or 0)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("rex",), "no subject 'rex'"),
        (("mochi", "--size", "31"), "from 32 to 512"),
        (("mochi", "--images", "0"), "from 1 to 1,000"),
        (("mochi", "--token", "my cat"), "one word"),
        ((), "name"),
    ],
)
def test_bad_options_are_told_in_a_sentence(argv: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(*argv) == 2
    assert says in capsys.readouterr().err


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("pipo", "--out", str(tmp_path / "a"), "--images", "2", "--size", "32") == 0
    assert "2 pictures of pipo, captioned as sks bird" in capsys.readouterr().out
    lines = [json.loads(line) for line in (tmp_path / "a/metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [set(line) for line in lines] == [{"file_name", "text", "text_vi"}] * 2
