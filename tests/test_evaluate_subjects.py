"""Identity and drift: what they say of drawings whose truth is known, on seeds to which nothing was fitted."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from minidiff import cli
from minidiff.data.world.random_scenes import complete
from minidiff.data.world.rendering import render
from minidiff.data.world.scenes import Group, Scene
from minidiff.data.world.subjects import SUBJECTS, Subject, class_claim, draw_subject, subject_image, subject_scene
from minidiff.evaluate import subjects
from minidiff.evaluate.judge import Detection, Seen, load_judge
from minidiff.evaluate.metrics import perceptual_distance
from minidiff.evaluate.subjects import (
    calibration,
    candidates,
    class_prompts,
    described,
    drift,
    follows,
    identity,
    introduced,
    matches,
    subject_prompts,
)
from minidiff.utils.images import gaussian_blur

pytestmark = pytest.mark.timeout(600)  # the fits take half a minute of a core that nobody else uses
ALL = pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)
SEED = 5 << 20  # far from those of the fit, of the published calibration and of prompts
MOCHI = SUBJECTS["mochi"]


def pictures(subject: Subject, count: int = 7, first: int = SEED) -> np.ndarray:
    return np.stack([subject_image(subject, first + k).image for k in range(count)])


def of_class(claims: list[Scene]) -> np.ndarray:
    """True pictures of claims about the world."""
    return np.stack([render(complete(claim, random.Random(SEED + k))).image for k, claim in enumerate(claims)])


@pytest.fixture(scope="module")
def scores() -> dict[str, dict[str, Tensor]]:
    return {name: calibration(subject, 5) for name, subject in SUBJECTS.items()}


@ALL
def test_the_subject_is_known_and_others_are_not(subject: Subject, scores: dict[str, dict[str, Tensor]]) -> None:
    rows = scores[subject.name]
    assert rows["itself"].mean() > 0.9 and rows["itself"].min() > 0.65
    strangers = [name for name in rows if name in SUBJECTS or name.endswith("in its colour") or name.startswith("any ")]
    assert len(strangers) == 4
    for name in strangers:
        assert rows[name].mean() < 0.25 and rows[name].max() < 0.5, name
    unseen = [rows[name].mean() for name in rows if name.endswith("never seen")]
    assert len(unseen) == 2 and max(unseen) < min(rows[f"without {mark}"].mean() for mark in subject.marks) - 0.1


@ALL
def test_what_was_altered_lies_in_between(subject: Subject, scores: dict[str, dict[str, Tensor]]) -> None:
    rows = scores[subject.name]
    for name in (*(f"without {mark}" for mark in subject.marks), "in blue", "in purple"):
        assert 0.35 < rows[name].mean() < rows["itself"].mean() - 0.1, name
    assert rows["without any mark"].mean() < min(rows[f"without {mark}"].mean() for mark in subject.marks) - 0.15


@ALL
def test_pictures_that_are_a_little_blurred_still_show_the_subject(subject: Subject) -> None:
    """As a VAE gives them back; and with the blur, altered ones stay behind."""
    def seen(one: Subject) -> float:
        images = torch.from_numpy(pictures(one)).permute(0, 3, 1, 2).float() / 255
        return float(identity(gaussian_blur(images, 7, 1.2), subject).mean())

    assert seen(subject) > 0.85
    assert seen(subject.without(subject.marks[0])) < seen(subject) - 0.1


def test_a_subject_is_found_wherever_and_however_large_it_stands() -> None:
    scenes = [subject_scene(MOCHI, SEED + k, relation="left", other=Group("house", "red")) for k in range(4)]
    small = [replace(scene, groups=(replace(scene.groups[0], size="small"), *scene.groups[1:])) for scene in scenes]
    images = np.stack([draw_subject(MOCHI, scene).image for scene in (*scenes, *small)])
    assert identity(images, MOCHI).min() > 0.7
    for scene, match in zip((*scenes, *small), matches(images, MOCHI), strict=True):
        box = draw_subject(MOCHI, scene).boxes[0]
        assert match.thing and box[0] < match.thing.x < box[2] and box[1] < match.thing.y < box[3]


def test_images_come_in_any_form_and_size() -> None:
    drawn = pictures(MOCHI, 3)
    whole = identity(drawn, MOCHI)
    assert whole.shape == (3,) and torch.equal(whole, identity([Image.fromarray(image) for image in drawn], MOCHI))
    large = np.stack([subject_image(MOCHI, SEED + k, 256).image for k in range(3)])
    assert (identity(large, MOCHI) - whole).abs().max() < 0.15
    with pytest.raises(ValueError, match="Images must be"):
        identity(torch.zeros(2, 3), MOCHI)


def test_where_nothing_is_there_is_no_subject() -> None:
    assert identity(np.full((2, 128, 128, 3), 90, np.uint8), MOCHI).tolist() == [0, 0]


def test_a_subject_of_ones_own_can_be_measured() -> None:
    """A new individual, here Mochi in green and without a scarf, is told from the three that are there."""
    moss = replace(MOCHI.without("scarf"), name="moss", colour="green")
    own, mochi = identity(pictures(moss), moss), identity(pictures(MOCHI), moss)
    assert own.mean() > 0.75 and own.min() > mochi.max()


def test_the_judge_looks_at_reduced_images_in_place() -> None:
    image = torch.from_numpy(pictures(MOCHI, 7).copy()).permute(0, 3, 1, 2).float() / 255
    boxes = [subject_image(MOCHI, SEED + k).boxes[0] for k in range(7)]
    for things, (left, top, right, bottom) in zip(candidates(load_judge(), image), boxes, strict=True):
        errors = [max(abs(t.x - (left + right) / 2), abs(t.y - (top + bottom) / 2), abs(2 * t.radius - right + left) / 2)
                  for t in things]  # fmt: skip
        assert min(errors) < 0.05


# --- what prompts about it say --------------------------------------------------------------------------------------


@ALL
def test_true_pictures_follow_their_prompts_and_not_others(subject: Subject) -> None:
    scenes = [subject_scene(subject, SEED + k, relation="left", other=Group("tree", "red")) for k in range(4)]
    scenes += [subject_scene(subject, SEED + k, place="top") for k in range(4)]
    claims = [class_claim(subject, scene) for scene in scenes]
    images = np.stack([draw_subject(subject, scene).image for scene in scenes])
    assert all(verdict.right for verdict in follows(images, claims, subject))
    wrong = [replace(claim, relation="right") for claim in claims[:4]]
    wrong += [replace(claim, setting="sea" if claim.setting != "sea" else "room") for claim in claims[4:]]
    assert not any(verdict.right for verdict in follows(images, wrong, subject))


def test_what_is_clearly_the_subject_counts_as_of_its_class() -> None:
    places = (("house", 0.3), ("moon", 0.4), ("star", 0.8))
    body, ear, star = (Detection(kind, "orange", x, 0.5, 0.1, 0.9) for kind, x in places)
    seen, here = Seen((body, ear, star), "sea"), Detection("moon", "orange", 0.32, 0.5, 0.25, 0.5)
    found = introduced(seen, subjects.Match(0.9, here), MOCHI)
    assert found.setting == "sea" and [thing.kind for thing in found.things] == ["cat", "star"]
    assert introduced(seen, subjects.Match(0.4, here), MOCHI) == seen == introduced(seen, subjects.Match(0.0, None), MOCHI)


def test_prompts_with_the_token_are_in_both_languages_and_always_the_same() -> None:
    prompts = subject_prompts(MOCHI, "sks", 9)
    assert [prompt.category for prompt in prompts] == ["setting", "place", "relation"] * 3
    for prompt in prompts:
        first, *others = prompt.claim.groups
        assert first.kind == "cat" and first.colour is None and bool(others) == (prompt.category == "relation")
        assert "sks cat" in prompt.texts["en"] and "con mèo sks" in prompt.texts["vi"]
    assert prompts == subject_prompts(MOCHI, "sks", 9) != subject_prompts(MOCHI, "sks", 9, seed=1)


def test_prompts_of_the_class_leave_the_token_out() -> None:
    prompts = class_prompts(MOCHI, 30)
    assert all(len(prompt.claim.groups) == 1 and prompt.claim.groups[0].kind == "cat" for prompt in prompts)
    assert all("cat" in prompt.texts["en"] or "kitten" in prompt.texts["en"] for prompt in prompts)
    assert len({prompt.claim.groups[0].colour for prompt in prompts}) > 5
    assert len({prompt.claim.setting for prompt in prompts}) > 4


# --- drift ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cats() -> tuple[np.ndarray, list[Scene]]:
    claims = [prompt.claim for prompt in class_prompts(MOCHI, 10)]
    return of_class(claims), claims


def test_nothing_drifts_where_nothing_changed(cats: tuple[np.ndarray, list[Scene]]) -> None:
    images, claims = cats
    rows = drift(images, list(images), claims, MOCHI)
    assert set(rows) == {"right", "right interval", "variety", "resemblance", "taken for it"}
    assert all(row["before"] == row["after"] for row in rows.values())
    assert rows["right"]["after"] == 1 and rows["taken for it"]["after"] == 0 and rows["resemblance"]["after"] < 0.15


def test_a_class_that_became_the_subject_is_noticed(cats: tuple[np.ndarray, list[Scene]]) -> None:
    images, claims = cats
    rows = drift(images, pictures(MOCHI, 10), claims, MOCHI)
    assert rows["right"]["after"] < 0.3 < rows["right"]["before"]
    assert rows["taken for it"]["after"] == 1 and rows["resemblance"]["after"] > 0.9
    assert rows["variety"]["after"] < 0.75 * rows["variety"]["before"]


def test_a_class_that_became_one_picture_has_no_variety(cats: tuple[np.ndarray, list[Scene]]) -> None:
    images, claims = cats
    rows = drift(images, np.repeat(images[:1], 10, axis=0), claims, MOCHI)
    assert rows["variety"]["after"] == pytest.approx(0, abs=1e-5)
    grey = drift(images, np.full_like(images, 128), claims, MOCHI)
    assert math.isnan(grey["variety"]["after"]) and grey["right"]["after"] == 0


def test_variety_is_the_mean_distance_of_two() -> None:
    judge, cuts = load_judge(), torch.rand(5, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    rows = described(judge, cuts)
    pairs = [float((rows[i] - rows[k]).square().sum()) for i in range(5) for k in range(i)]
    assert 2 * float(rows.var(dim=0).sum()) == pytest.approx(float(np.mean(pairs)), rel=1e-4)
    maps = [torch.nn.functional.adaptive_avg_pool2d(judge.feature_maps(cuts)[k], subjects.GRID) for k in subjects.LAYERS]
    apart = perceptual_distance([one[:1].detach() for one in maps], [one[1:2].detach() for one in maps])
    assert float((rows[0] - rows[1]).square().sum()) == pytest.approx(float(apart), rel=1e-4)


def test_unequal_numbers_are_refused(cats: tuple[np.ndarray, list[Scene]]) -> None:
    images, claims = cats
    with pytest.raises(ValueError, match="There are 9 images after fine-tuning and 10 claims"):
        drift(images, images[:9], claims, MOCHI)


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_prints_a_table_for_each_subject(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(("evaluate", "subjects", "--images", "2", "--json", str(tmp_path / "a.json")))
    out = capsys.readouterr().out
    assert not stop.value.code and all(f"identity with {name}" in out for name in SUBJECTS)
    figures = json.loads((tmp_path / "a.json").read_text())
    assert set(figures) == set(SUBJECTS)
    mean, least, most, share = figures["pipo"]["decoded"]["itself"]
    assert 0.6 < least <= mean <= most <= 1 and share == 1


def test_a_vae_that_is_not_there_is_told_before_anything_is_drawn() -> None:
    with pytest.raises(ValueError, match="world-nothing"):
        subjects.evaluate(subjects.SubjectsRun(vae="world-nothing"))
