"""The prompt suite and the commands that use it: which prompts, that a perfect generator scores 1, what is reported."""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_tiny_zoo

from benchmarks.pictures import PROMPTS
from minidiff.data.world.captions import strip_accents
from minidiff.data.world.compositions import is_held_out, is_unseen
from minidiff.data.world.layout import layout
from minidiff.data.world.random_scenes import complete
from minidiff.data.world.rendering import render
from minidiff.data.world.scenes import COLOURS, SETTINGS, SHAPES, Scene
from minidiff.evaluate import prompt_following, quality, report, suites
from minidiff.evaluate.judge import Detection, Seen
from minidiff.evaluate.prompt_following import PromptsRun
from minidiff.evaluate.suites import CATEGORIES, LANGS, Prompt, suite
from minidiff.evaluate.verdict import judge
from minidiff.models.detector import Detector, DetectorConfig
from minidiff.pretrained import zoo


@pytest.fixture(scope="module")
def whole() -> list[Prompt]:
    return suite()


def test_the_suite_has_enough_of_everything(whole):
    assert len(whole) >= 300
    assert all(sum(p.category == c for p in whole) >= 50 for c in CATEGORIES)
    assert set(CATEGORIES) == {"object", "count", "colour", "position", "binding", "setting"}
    assert len({(p.category, p.claim) for p in whole}) == len(whole)


def test_every_prompt_holds_a_composition_that_training_never_shows(whole):
    assert all(is_unseen(p.claim) for p in whole)
    assert not any(is_held_out(p.claim) for p in suite(5, held_out=False))


def test_the_suite_never_changes(whole):
    again = suite()
    assert again == whole
    assert suite(5)[:5] == whole[:5], "a smaller suite begins like the large one"
    assert suite(5, seed=1)[:5] != whole[:5]


def test_three_languages_say_the_same(whole):
    for p in whole:
        assert set(p.texts) == set(LANGS)
        assert p.texts["vi_unaccented"] == strip_accents(p.texts["vi"]) != p.texts["en"]
        assert all(0 < len(text) <= 200 for text in p.texts.values())


def test_each_category_asks_for_what_it_is_named_after(whole):
    by = {c: [p.claim for p in whole if p.category == c] for c in CATEGORIES}
    assert all(len(c.groups) > 1 for c in by["object"])
    assert all(max(g.count for g in c.groups) > 1 for c in by["count"])
    assert all(c.groups[0].colour and len(c.groups) == 1 for c in by["colour"])
    assert all(c.relation or c.groups[0].place for c in by["position"])
    assert all(len({g.colour for g in c.groups} - {None}) == len(c.groups) > 1 for c in by["binding"])
    assert all(c.setting for c in by["setting"])


def drawn(claim: Scene, seed: int) -> Scene:
    return complete(claim, random.Random(seed))


def test_every_claim_can_be_drawn_and_is_then_right(whole):
    for k, p in enumerate(whole):
        scene = drawn(p.claim, k)
        groups = [(scene.groups[t.group], t) for t in layout(scene)]
        things = tuple(Detection(g.kind, g.colour or "", t.x, t.y, t.radius, 1.0) for g, t in groups)
        assert judge(p.claim, Seen(things, scene.setting or "")).right, p


def test_a_perfect_generator_scores_one_and_one_that_mixes_prompts_up_does_not(shipped):
    few = suite(4)
    by_text = {p.texts[lang]: p.claim for p in few for lang in LANGS}

    def draw(texts: list[str]) -> np.ndarray:
        return np.stack([render(drawn(by_text[text], 3)).image for text in texts])

    figures = prompt_following.accuracy(draw, few, shipped, ("en", "vi"))
    assert figures["en"] >= 0.95 and figures["vi"] >= 0.95 and figures["en_binding"] >= 0.75
    astray = prompt_following.accuracy(lambda texts: np.roll(draw(texts), 1, axis=0), few, shipped, batch=24)
    assert astray["en"] <= 0.2
    results = prompt_following.assess(draw, few, shipped)
    assert prompt_following.shuffled(results).figures()["overall"] <= 0.2


def test_figures_are_shares_with_intervals():
    p = [Prompt(category, Scene(None, (), seed=k), {}) for k, category in enumerate(("object", "colour", "colour"))]
    verdicts = [prompt_following.Verdict({"object": True}), prompt_following.Verdict({"object": True, "colour": False}),
                prompt_following.Verdict({"object": True, "colour": True})]  # fmt: skip
    figures = prompt_following.Results(p, verdicts).figures()
    assert figures["overall"] == pytest.approx(2 / 3) and figures["colour"] == 0.5 and figures["object"] == 1.0
    assert figures["attributes"] == {"object": 1.0, "colour": 0.5}
    low, high = figures["intervals"]["overall"]
    assert low <= 2 / 3 <= high


def test_images_of_one_prompt_are_not_independent():
    """Three times the same verdict on each prompt widens nothing and narrows nothing."""
    p = [Prompt("object", Scene(None, (), seed=k), {}) for k in range(60)]
    verdicts = [prompt_following.Verdict({"object": k % 5 > 0}) for k in range(60)]
    once, thrice = prompt_following.Results(p, verdicts).figures(), prompt_following.Results(3 * p, 3 * verdicts).figures()
    assert once["intervals"] == thrice["intervals"] and once["overall"] == thrice["overall"] == 0.8
    assert once["intervals"]["overall"][1] - once["intervals"]["overall"][0] > 0.15


def test_the_images_of_the_readme_show_what_no_training_caption_says():
    assert set(PROMPTS) <= {(p.texts["en"], p.texts["vi"]) for p in suite(7, seed=3)}


@pytest.mark.parametrize("held_out", [True, False])
def test_what_is_chosen_by_is_not_what_is_published(held_out):
    published = {p.claim for p in suite(held_out=held_out)}
    assert not published & {p.claim for seed in (1, 2, 5) for p in suite(60, held_out, seed)}


@pytest.fixture
def zoo_with_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tiny random models and a tiny random judge: figures mean nothing, paths are walked."""
    root = write_tiny_zoo(tmp_path / "zoo")
    torch.manual_seed(0)
    tiny = Detector(DetectorConfig(SHAPES, COLOURS, SETTINGS, channels=16, depth=1))
    zoo.add("world-judge", tiny.state_dict(), asdict(tiny.config), root=root)
    monkeypatch.setenv("MINIDIFF_ZOO", str(root))
    return root


def test_more_prompts_than_a_category_has_are_refused(monkeypatch):
    monkeypatch.setattr(suites, "PATIENCE", 1000)
    monkeypatch.setattr(suites, "CATEGORIES", {"colour": suites.CATEGORIES["colour"]})
    with pytest.raises(ValueError, match=r"Only \d+ different prompts of the category 'colour' were found: ask for fewer"):
        suites.suite(100_000)


def test_evaluate_prompts_writes_what_it_promises(zoo_with_judge, tmp_path, capsys):
    sizes = {"per_category": 1, "steps": 2, "batch": 4, "judged": 8}
    prompt_following.evaluate(PromptsRun(json=tmp_path / "out.json", seen=True, dtype="float32", **sizes))
    saved = json.loads((tmp_path / "out.json").read_text())
    assert all(set(saved[lang]) >= {"overall", *CATEGORIES} for lang in LANGS)
    assert saved["n"] == 6 and set(saved["judge"]) >= {"object", "overall"} and saved["gap"] >= 0
    assert set(saved["controls"]) == {"real renders", "real, through the VAE", "shuffled prompts"}
    assert saved["run"]["images"] == 18
    shares = {lang: np.mean([p["right"][lang] for p in saved["prompts"]]) for lang in LANGS}
    assert shares == pytest.approx({lang: saved[lang]["overall"] for lang in LANGS})
    assert (tmp_path / "out.png").stat().st_size > 1000
    assert "vi_unaccented" in capsys.readouterr().out


def test_prompts_to_choose_by_are_others_than_the_published(zoo_with_judge, tmp_path):
    sizes = {"per_category": 1, "steps": 1, "batch": 4, "judged": 8}
    asked = {}
    for number in (0, 1):
        prompt_following.evaluate(PromptsRun(json=tmp_path / "out.json", dtype="float32", suite=number, seen=True, **sizes))
        saved = json.loads((tmp_path / "out.json").read_text())
        assert saved["run"]["suite"] == number
        asked[number] = [prompt["en"] for prompt in saved["prompts"]]
        assert asked[number] == [prompt.texts["en"] for prompt in suites.suite(1, seed=number)]
    assert not set(asked[0]) & set(asked[1])


def test_the_same_prompt_starts_from_the_same_noise_in_every_language_and_batch(zoo_with_judge):
    from minidiff.pipelines.loading import load_pipeline

    pipeline = load_pipeline(dtype="float32", device="cpu")
    run = PromptsRun(steps=2)
    texts = ["a big red star", "a small blue house", "a cat"]
    together = prompt_following.pipeline_generator(pipeline, run, 5)(texts)
    generate = prompt_following.pipeline_generator(pipeline, run, 5)
    apart = torch.cat([generate(texts[:1]), generate(texts[1:])])
    torch.testing.assert_close(together, apart, atol=1e-4, rtol=0)
    assert not torch.allclose(prompt_following.pipeline_generator(pipeline, run, 6)(texts), together, atol=1e-3)


def test_evaluate_quality_puts_figures_beside_floor_and_ceilings(zoo_with_judge, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(quality, "renders", lambda first, count, split, size=32: _renders(first, count, split, size))
    run = quality.QualityRun(json=tmp_path / "q.json", samples=12, training=12, steps=1, batch=6, dtype="float32")
    figures = quality.evaluate(run)
    assert figures["n"] == 12 and len(figures["rows"]) == 6
    assert all(np.isfinite(list(row.values())).all() for row in figures["rows"].values())
    assert "biased upwards" in capsys.readouterr().out and (tmp_path / "q.png").exists()


def _renders(first: int, count: int, split: str, size: int) -> np.ndarray:
    from minidiff.data.world.random_scenes import scene_at

    return np.stack([render(scene_at(k, split), size).image for k in range(first, first + count)])


def test_controls_stand_in_the_right_order(shipped):
    """Other real images are nearest; blur, noise and collapse are farther; collapse is seen by recall."""
    real = quality.seen_features(shipped, lambda k, n: quality.renders(k, n, "test"), 96, "real")
    rows = quality.controls(shipped, real, 96)
    floor, *ceilings = rows.values()
    assert all(floor["fd"] < row["fd"] for row in ceilings)
    assert list(rows.values())[-1]["recall"] < 0.3 < floor["recall"]


def test_nearest_finds_the_copied_image():
    training = torch.randn(600, 8, generator=torch.Generator().manual_seed(0))
    distance, index = quality.nearest(training[[7, 599]] + 1e-4, training)
    assert index.tolist() == [7, 599] and distance.max() < 1e-3


def test_tables_are_readable():
    text = report.table(["", "a"], [["x", 1], ["longer", "22"]])
    assert text.splitlines()[1] == "|--------|---:|" and all(len(line) == 15 for line in text.splitlines())
    assert report.percent(0.98765) == "98.8 %" and report.percent(None) == ""
