"""`minidiff evaluate styles`: what it counts, what it writes, and what the shipped judge and the shipped LoRAs reach."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from minidiff import cli
from minidiff.data.world.rendering import ALL_STYLES
from minidiff.data.world.scenes import COLOURS, SETTINGS, SHAPES
from minidiff.data.world.styles import STYLES, file_name
from minidiff.evaluate import styles
from minidiff.evaluate.judge import load_judge
from minidiff.evaluate.reliability import named, style_reliability
from minidiff.evaluate.reliability import test_scenes as scenes_of_the_test
from minidiff.evaluate.styles import Judged, StylesRun, against, judged, languages, sources, true_images
from minidiff.evaluate.suites import Prompt, suite
from minidiff.finetune.style import StyleRun, finetune_style
from minidiff.models.detector import Detector, DetectorConfig, textures
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.loras import LoRAs
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pretrained import zoo
from minidiff.train import detector as training


def small_judge() -> Detector:
    torch.manual_seed(0)
    return Detector(DetectorConfig(SHAPES, COLOURS, SETTINGS, ALL_STYLES, channels=16, depth=1)).eval()


@pytest.fixture(scope="module")
def styled_zoo(whole_zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny zoo with a random style judge and a LoRA of neon."""
    folder = tmp_path_factory.mktemp("styled")
    shutil.copytree(whole_zoo, folder / "zoo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIDIFF_ZOO", str(folder / "zoo"))
        judge = small_judge()
        zoo.add("world-style-judge", judge.state_dict(), asdict(judge.config))
        finetune_style(StyleRun("neon", out=folder / "neon", images=20, steps=2, publish=True))
    return folder / "zoo"


@pytest.fixture
def work(styled_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, with that zoo."""
    monkeypatch.setenv("MINIDIFF_ZOO", str(styled_zoo))
    monkeypatch.chdir(tmp_path)


# --- the judge ----------------------------------------------------------------------------------------------------------


def test_a_judge_of_styles_begins_with_another_ones_weights_and_sees_styles_by_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIDIFF_ZOO", str(tmp_path))
    flat = Detector(DetectorConfig(SHAPES, COLOURS, SETTINGS, channels=16, depth=1))
    zoo.add("world-judge", flat.state_dict(), asdict(flat.config), dtype=torch.float32)
    task = training.JudgeTask(training.StyleJudgeRun(channels=16, depth=1, chance=0.0))
    weights = task.judge.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in flat.state_dict().items())
    assert task.judge.config.styles == ALL_STYLES and weights["style.weight"].shape == (6, 2 * (24 + 48 + 48 + 16))
    batch = task.make_batch(1, 8, 0)
    assert batch["style"].tolist() == [2, 3, 4, 5, 0, 1, 2, 3]
    for row in (0, 4):
        again = training.examples(8 + row, 1, 128, [ALL_STYLES[int(batch["style"][row])]])
        assert torch.equal(batch["image"][row], again.image[0])
    loss, parts = task(batch, None)
    assert "style" in parts and torch.isfinite(loss)
    assert "style" not in training.loss(flat(batch["image"]), training.Examples(**batch))


def test_the_settled_layer_names_the_style_whose_mean_textures_are_nearest() -> None:
    judge = small_judge()
    training.settle_styles(judge, 500, 12, 0.0)
    drawn = training.examples(500, 72, 128, ALL_STYLES)
    with torch.no_grad():
        found = textures(judge.feature_maps(drawn.image)[:4]).double()
        logits = judge(drawn.image).style
    assert logits is not None
    means = torch.stack([found[drawn.style == k].mean(0) for k in range(6)])
    apart = found - means[drawn.style]
    spread = 0.9 * apart.T @ apart / 72
    spread = spread + (0.1 / 0.9) * torch.diag(spread.diag()) + 1e-8 * torch.eye(len(spread))
    inverse = torch.linalg.inv(spread)
    away = found[:, None] - means
    distance = torch.einsum("nkd,de,nke->nk", away, inverse, away)
    assert (distance.argmin(1) == logits.argmax(1)).float().mean() > 0.95, "but for rounding"
    assert (logits.argmax(1) == drawn.style).float().mean() > 0.9
    fresh = training.examples(9000, 60, 128, ALL_STYLES)
    with torch.no_grad():
        assert (judge(fresh.image).style.argmax(1) == fresh.style).float().mean() > 0.6


def test_textures_say_nothing_of_places() -> None:
    dice = torch.Generator().manual_seed(0)
    one = torch.randn(2, 3, 4, 4, generator=dice)
    moved = one.flatten(2)[:, :, torch.randperm(16, generator=dice)].unflatten(2, (4, 4))
    torch.testing.assert_close(textures([one]), textures([moved]))
    torch.testing.assert_close(textures([one])[:, :3], one.mean((2, 3)))


def test_each_style_has_its_row_of_reliability() -> None:
    rows = style_reliability(small_judge(), 3)
    assert tuple(rows) == ALL_STYLES
    assert all(0 <= value <= 1 for row in rows.values() for value in row.values())
    assert sum(row["own style"] for row in rows.values()) == pytest.approx(sum(
        named(list(styles_seen), style) for style, styles_seen in seen_in_each().items()))  # fmt: skip


def seen_in_each() -> dict[str, Any]:
    from minidiff.evaluate.reliability import looked_at

    return {style: looked_at(small_judge(), scenes_of_the_test(3), style=style) for style in ALL_STYLES}


# --- what is counted ----------------------------------------------------------------------------------------------------


def test_shares_and_differences_are_of_the_same_prompts() -> None:
    images = torch.zeros(4, 3, 8, 8)
    base = Judged(images, [True, True, True, False], ["flat"] * 4)
    styled = Judged(images, [True, False, False, True], ["neon", "neon", "neon", "flat"])
    figures = styled.figures("neon")
    assert (figures["right"], figures["nearest"], figures["taken_for"]) == (0.5, 0.75, {"flat": 1, "neon": 3})
    more = against(styled, base)
    assert more["right_more"] == -0.25 and not more["right_reached"] and more["right_more_interval"][0] < -0.25
    assert against(base, base)["right_reached"]
    assert against(Judged(images, [True, True, True, True], []), base)["right_more"] == 0.25


def test_true_images_show_the_same_scene_in_every_style() -> None:
    prompts = suite(1, seed=3)
    flat, neon = true_images(prompts, "flat"), true_images(prompts, "neon")
    assert flat.shape == neon.shape == (6, 3, 128, 128) and not torch.equal(flat, neon)
    assert torch.equal(flat, true_images(prompts, "flat"))
    texts = languages(prompts)
    assert texts[0] == prompts[0].texts["en"] and texts[1] == prompts[1].texts["vi"]


# --- the command --------------------------------------------------------------------------------------------------------


def test_it_writes_figures_and_a_sheet_and_leaves_the_pipeline_alone(work: None, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["evaluate", "styles", "--json", "out.json", "--per-category", "1", "--steps", "2"])
    said = json.loads(Path("out.json").read_text())
    assert said["n"] == 6 and list(said["styles"]) == ["flat", "neon"] and said["run"]["loras"] == {"neon": "neon"}
    assert set(said["styles"]["neon"]["controls"]) == {"true", "through the VAE", "through the VAE with the LoRA"}
    assert set(said["styles"]["flat"]["controls"]) == {"true", "through the VAE"}
    assert Image.open("out.png").size[0] > 0
    printed = capsys.readouterr().out
    assert "The same 6 prompts in each style" in printed and "True images of the same claims" in printed


def drawn(pipeline: TextToImage, prompts: list[Prompt], run: StylesRun) -> torch.Tensor:
    return styles.decoded(pipeline, styles.sampled(pipeline, prompts, run, "flat"), run)


def test_images_are_those_of_sample(work: None) -> None:
    pipeline = load_pipeline("world-dit", "cpu")
    prompts = suite(1, seed=1)
    run = StylesRun(Path("a.json"), steps=2)
    images = drawn(pipeline, prompts, run)
    for k in (0, 3):
        (image,) = pipeline(pipeline.request(languages(prompts)[k], seed=k, steps=2))
        assert (images[k] * 255).round().byte().permute(1, 2, 0).numpy().tobytes() == image.tobytes()


def test_a_file_can_take_the_place_of_the_zoos(work: None) -> None:
    assert sources(StylesRun(Path("a.json"))) == {"neon": "neon"}
    assert sources(StylesRun(Path("a.json"), lora=("pixel-art=x.safetensors", "neon"))) == {
        "pixel art": "x.safetensors", "neon": "neon"
    }  # fmt: skip


@pytest.mark.parametrize(("options", "says"), [
    (["--lora", "oil=x.safetensors"], "There is no style 'oil'"),
    (["--lora", "woodcut"], "The zoo has no LoRA 'woodcut' of a style"),
    (["--lora", "woodcut=x.safetensors"], "There is no LoRA 'x.safetensors'"), (["--per-category", "0"], "per_category is 0"),
    (["--strength", "3"], "strength is 3"), (["--json", "a.txt"], "not a .json"),
    (["--model", "world-pixels"], "The zoo has no LoRA of a style for world-pixels"),
])  # fmt: skip
def test_what_cannot_be_measured_is_one_sentence(
    work: None, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["evaluate", "styles", *options])
    err = capsys.readouterr().err
    assert says in err and err.count("\n") == 1


# --- what is shipped ----------------------------------------------------------------------------------------------------


def test_the_shipped_judge_reads_all_styles_and_tells_them_apart() -> None:
    judge = load_judge("world-style-judge")
    assert zoo.entry("world-style-judge")["bytes"] <= 1_600_000
    harder = {"woodcut": 0.75, "neon": 0.6}  # where colours are hard to tell
    for style, row in style_reliability(judge, 30).items():
        assert row["right"] >= harder.get(style, 0.85) and row["noticed"] >= 0.95 and row["own style"] >= 0.93, (style, row)


@pytest.mark.parametrize("style", STYLES)
def test_each_shipped_style_changes_the_picture_at_1_and_nothing_at_0(style: str) -> None:
    name = file_name(style)
    row = zoo.entry(name)
    assert row["bytes"] <= 600_000 and row["config"]["lora"]["style"] == style
    pipeline, prompts = load_pipeline("world-dit", "cpu"), suite(1, seed=5)[:2]
    run = StylesRun(Path("a.json"), steps=6)
    base = drawn(pipeline, prompts, run)
    loras = LoRAs(pipeline)
    loras.load(name)
    loras.mix({name: 0.0})
    assert torch.equal(drawn(pipeline, prompts, run), base)
    loras.mix({name: 1.0})
    images = drawn(pipeline, prompts, run)
    assert (images - base).abs().mean() > 0.02
    named_styles = judged(load_judge("world-style-judge"), prompts, images).styles
    assert named_styles == [style] * 2 or style in ("pixel art", "woodcut"), "these two are sometimes taken for flat"
    loras.mix({})
    assert torch.equal(drawn(pipeline, prompts, run), base)
