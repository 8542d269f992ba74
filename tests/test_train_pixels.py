"""A U-Net that takes a kind of thing and makes pixels: its images, its training with tiny sizes, and how it is watched."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from minidiff.data.world.scenes import SHAPES
from minidiff.evaluate.portraits import recognised
from minidiff.models.detector import Detector
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.request import Request
from minidiff.pretrained import zoo
from minidiff.recipes.recipe import build_network
from minidiff.recipes.world import WORLD_UNET
from minidiff.recipes.world_parts import pixel_validators, sample_labels, train_pixels
from minidiff.train import pixels
from minidiff.train.loop import fit
from minidiff.utils.images import to_tensor

SETTINGS: dict[str, Any] = {"steps": 2, "warmup": 1, "workers": 0, "validate_every": 100, "batch": 8}
TINY: dict[str, Any] = {
    "channels": (4, 8, 16), "attention": (False, False, True), "groups": 4, "head_dim": 8, "images": 36, "judged": 0,
    "sampling": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tiny_zoo: Path, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """A zoo with the real judge, and a run of two batches, which was published."""
    root = tmp_path_factory.mktemp("pixels")
    shutil.copytree(tiny_zoo, root / "zoo")
    zoo.copy("world-judge", zoo.SHIPPED, root / "zoo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIDIFF_ZOO", str(root / "zoo"))
        patch.chdir(root)
        train_pixels(pixels.PixelsRun(**TINY, **SETTINGS, publish=True))
        yield root


def test_training_leaves_weights_figures_and_images(trained: Path) -> None:
    row = zoo.entry("world-pixels")
    assert row["figures"]["loss"] > 0 and row["images_seen"] == 16
    assert row["recipe"].startswith("minidiff train world-pixels --steps 2")
    width = 18 * 32 + 17  # a gap of one pixel
    assert Image.open(next((trained / "runs/world-pixels").glob("samples-*.png"))).size == (width, 4 * 32 + 3)
    assert zoo.table()[1]


def test_the_pipeline_samples_from_what_was_trained(trained: Path) -> None:
    pipeline = load_pipeline("world-pixels", "cpu", "float32", root=trained / "zoo")
    assert pipeline(Request("a star", steps=2))[0].size == (128, 128)
    assert_close(pipeline.network.unet.conv_out.weight, zoo.load("world-pixels")[1]["unet.conv_out.weight"])


def test_the_default_sizes_are_what_a_laptop_trains(trained: Path) -> None:
    captioned = build_network(WORLD_UNET.model, 256)
    labelled = pixels.PixelsTask(pixels.PixelsRun(images=18)).unet
    assert sum(p.numel() for p in captioned.parameters()) <= 12e6
    assert sum(p.numel() for p in labelled.parameters()) <= 4e6


def test_portraits_are_always_the_same_and_differ_between_splits(trained: Path) -> None:
    first = pixels.portraits(4)
    assert first.shape == (4, 32, 32, 3) and first.dtype == np.uint8
    assert (pixels.portraits(6)[:4] == first).all()
    assert all((a != b).any() for a, b in zip(first, pixels.portraits(4, "validation"), strict=True))
    assert (pixels.cached_portraits(36)[:4] == first).all()


def test_cached_portraits_are_rendered_once(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = pixels.cached_portraits(36)
    monkeypatch.setattr(pixels, "portraits", lambda *_: pytest.fail("rendered again"))
    assert (pixels.cached_portraits(36) == expected).all()


def test_the_judge_recognises_real_portraits_and_no_others(shipped: Detector) -> None:
    """It has never seen one: what it knows are whole images, of which these are enlarged parts."""
    images, labels = to_tensor(pixels.portraits(360, "test")), torch.arange(360) % len(SHAPES)
    assert recognised(shipped, images, labels).float().mean() >= 0.99
    assert recognised(shipped, images, labels.roll(1)).float().mean() < 0.01
    assert not recognised(shipped, torch.zeros(2, 3, 32, 32), torch.tensor([0, 1])).any()


@pytest.mark.parametrize("dropout", [0.0, 0.1, 1.0])
def test_labels_belong_to_their_images_until_they_are_dropped(trained: Path, shipped: Detector, dropout: float) -> None:
    task = pixels.PixelsTask(pixels.PixelsRun(**TINY, dropout=dropout))
    batch = task.make_batch(0, 400 if dropout else 32, 0)
    dropped = batch["labels"] == pixels.ANYTHING
    assert float(dropped.float().mean()) == pytest.approx(dropout, abs=0.05 if 0 < dropout < 1 else 0)
    if not dropout:
        assert recognised(shipped, batch["images"], batch["labels"]).all()


def test_the_network_gets_the_labels(trained: Path) -> None:
    from minidiff.train.loop import Step

    task = pixels.PixelsTask(pixels.PixelsRun(**TINY))
    for weight in task.unet.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    batch = task.make_batch(0, 8, 0)
    losses = [
        float(task({**batch, "labels": labels}, Step(0, torch.Generator().manual_seed(0)))[0].detach())
        for labels in (batch["labels"], (batch["labels"] + 1) % 18)
    ]
    assert losses[0] != losses[1]


def test_images_are_sampled_from_their_own_labels_and_seeds(trained: Path) -> None:
    task = pixels.PixelsTask(pixels.PixelsRun(**TINY)).eval()
    for parameter in task.unet.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    both = sample_labels(task, torch.tensor([3, 7]))
    assert_close(sample_labels(task, torch.tensor([3, 8]))[0], both[0])
    assert not torch.allclose(sample_labels(task, torch.tensor([3, 8]))[1], both[1])
    assert_close(sample_labels(task, torch.tensor([7]), seed=1)[0], both[1])
    assert all(parameter.requires_grad for parameter in task.parameters())  # what is sampled from is a copy


def test_the_loss_falls_and_the_judge_is_asked(trained: Path) -> None:
    longer = {"out": trained / "runs/longer", "steps": 15, "lr": 0.02, "ema": 0.5, "judged": 1}
    config = pixels.PixelsRun(**{**TINY, **SETTINGS, **longer})
    task = pixels.PixelsTask(config)
    before = task.fixed_noise_loss()
    figures = fit(task, config, pixel_validators(task)).figures
    assert figures["loss"] < 0.9 * before and 0 <= figures["recognised"] <= 1
