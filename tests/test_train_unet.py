"""Two U-Nets from nothing to a picture with tiny models: one that reads captions, beside the DiT, and one that is told a
kind of thing and draws pixels."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from minidiff.data.latent_cache import cached_latents
from minidiff.data.world.scenes import SHAPES
from minidiff.evaluate.judge import Judge
from minidiff.pipelines.request import Request
from minidiff.pipelines.text_to_image import load_pipeline
from minidiff.pretrained import zoo
from minidiff.train import dit, latent_diffusion, pixels, unet
from minidiff.train.loop import Step, TrainingError, fit
from minidiff.utils.images import to_tensor

SETTINGS: dict[str, Any] = {"steps": 2, "warmup": 1, "workers": 0, "validate_every": 100, "batch": 8}
CAPTIONS: dict[str, Any] = {
    "channels": (8, 16), "attention": (False, True), "groups": 4, "head_dim": 8, "scenes": 32
}  # fmt: skip
PORTRAITS: dict[str, Any] = {
    "channels": (4, 8, 16), "attention": (False, False, True), "groups": 4, "head_dim": 8, "pictures": 36, "judged": 0,
    "sampling": 2,
}  # fmt: skip


def few_latents(count: int, split: str = "train") -> np.ndarray:
    """The latents of the first 32 scenes, however many are asked for: a tiny model learns nothing from more."""
    return cached_latents(min(count, 32), split)


@pytest.fixture(scope="module")
def trained(tiny_zoo: Path, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """A zoo with a tiny tokenizer, VAE and DiT of random weights, the real judge, and both U-Nets after two batches."""
    root = tmp_path_factory.mktemp("unets")
    shutil.copytree(tiny_zoo, root / "zoo")
    config, state = zoo.load("world-judge", zoo.SHIPPED)
    zoo.add("world-judge", state, config, root=root / "zoo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latent_diffusion, "cached_latents", few_latents)
        patch.setenv("MINIDIFF_ZOO", str(root / "zoo"))
        patch.chdir(root)
        unet.train(unet.UNetRun(**CAPTIONS, **SETTINGS))
        pixels.train(pixels.PixelsRun(**PORTRAITS, **SETTINGS))
        yield root


@pytest.mark.parametrize(("name", "sheet"), [("world-unet", (1024, 256)), ("world-pixels", (576, 128))])
def test_each_trainer_leaves_weights_figures_and_pictures(trained: Path, name: str, sheet: tuple[int, int]) -> None:
    row = zoo.entry(name)
    assert row["figures"]["loss"] > 0 and row["images_seen"] == 16
    assert row["recipe"].startswith(f"minidiff train {name} --steps 2")
    assert Image.open(next((trained / "runs" / name).glob("samples-*.png"))).size == sheet
    assert zoo.table()[1]


@pytest.mark.parametrize(("name", "prompt"), [("world-unet", "a big red star"), ("world-pixels", "a star")])
def test_the_pipeline_draws_with_what_was_trained(trained: Path, name: str, prompt: str) -> None:
    pipeline = load_pipeline(name, "cpu", "float32", root=trained / "zoo")
    assert pipeline(Request(prompt, steps=2))[0].size == (128, 128)
    _, state = zoo.load(name)
    network = pipeline.network if name == "world-unet" else pipeline.network.unet
    assert_close(network.conv_out.weight, state["unet.conv_out.weight"])


# --- captions -------------------------------------------------------------------------------------------------------


def test_the_text_tower_is_the_dits_and_stays_so(trained: Path) -> None:
    ours, theirs = (zoo.load(name)[1] for name in ("world-unet", "world-dit"))
    tower = [key for key in theirs if key.startswith("text.")]
    assert tower and set(ours) - set(tower) == {key for key in ours if key.startswith("unet.")}
    for key in tower:
        assert_close(ours[key], theirs[key], rtol=0, atol=1e-3)     # kept in half precision
    task = unet.UNetTask(unet.UNetRun(**CAPTIONS))
    assert not any(parameter.requires_grad for parameter in task.text.parameters())


def test_the_seeing_loss_asks_eight_by_eight_places_and_teaches_the_network(trained: Path) -> None:
    for attention in ((False, True), (True, False)):
        task = unet.UNetTask(unet.UNetRun(**{**CAPTIONS, "attention": attention}))
        batch = task.make_batch(0, 4, 0)
        loss, figures = task(batch, Step(0, torch.Generator().manual_seed(0)))
        assert task.inner.shape == (4, 64, 16) and batch["see_kind"].shape == (4, 64)
        assert loss > figures["diffusion"] and "seen_colour" in figures
        loss.backward()
        assert task.unet.down_blocks[1].resnets[0].conv1.weight.grad is not None
        assert task.eye.heads["kind"].weight.grad.abs().max() > 0


def test_dit_and_unet_learn_from_the_same_batches(trained: Path) -> None:
    shape: dict[str, Any] = {"hidden_size": 16, "depth": 1, "heads": 2, "seeing_block": 0}
    run = dit.DiTRun(**shape, scenes=32, text="frozen", text_from="world-dit", reading=0)
    first, second = dit.DiTTask(run).make_batch(3, 4, 0), unet.UNetTask(unet.UNetRun(**CAPTIONS)).make_batch(3, 4, 0)
    assert set(first) == set(second)
    for name, value in first.items():
        assert_close(second[name], value)


@pytest.mark.parametrize("weights", [(0.0, 0.1), (0.05, 0.0)])
def test_a_head_that_no_loss_asks_is_not_trained(trained: Path, weights: tuple[float, float]) -> None:
    """Training in several processes waits for the gradient of whatever wants one."""
    reading, seeing = weights
    task = unet.UNetTask(unet.UNetRun(**CAPTIONS, reading=reading, seeing=seeing, text="joint"))
    task(task.make_batch(0, 4, 0), Step(0, torch.Generator().manual_seed(0)))[0].backward()
    wanting = {name.split(".")[0] for name, p in task.named_parameters() if p.requires_grad and p.grad is None}
    assert wanting <= {"text"}, wanting
    assert [any(p.requires_grad for p in head.parameters()) for head in (task.reader, task.eye)] == [reading > 0, seeing > 0]


def test_training_goes_on_from_shipped_weights_of_the_same_shape(trained: Path) -> None:
    task = unet.UNetTask(unet.UNetRun(**CAPTIONS, start="world-unet"))
    _, state = zoo.load("world-unet")
    assert_close(task.unet.conv_in.weight.detach(), state["unet.conv_in.weight"])
    for other in ({"start": "world-dit"}, {"start": "world-unet", "channels": (8, 24)}):
        with pytest.raises(TrainingError, match="another shape"):
            unet.UNetTask(unet.UNetRun(**{**CAPTIONS, **other}))


@pytest.mark.parametrize("keep", [0.0, 0.25, 1.0])
def test_a_share_of_the_first_weights_is_kept(trained: Path, keep: float, tmp_path: Path) -> None:
    """What goes into the zoo lies on the line from the trained, averaged weights to those that training began with."""
    _, first = zoo.load("world-unet")
    kept = {"start": "world-unet", "name": "world-unet-2", "keep": keep, "keep_whole": ("conv_in",)}
    unet.train(unet.UNetRun(**CAPTIONS, **SETTINGS, **kept, out=tmp_path, lr=0.1, ema=0.5))
    averages = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["ema"]
    config, state = zoo.load("world-unet-2")
    moved = 0
    for key, value in state.items():
        share = 1.0 if keep and "conv_in" in key else keep
        assert_close(value, torch.lerp(averages[key], first[key], share), atol=2e-3, rtol=1e-3)    # kept in half precision
        moved += int((averages[key] - first[key]).abs().max() > 0.01)
    assert moved > 5 and not config["spots"]


def test_a_finished_run_given_again_changes_nothing(trained: Path, tmp_path: Path) -> None:
    run = unet.UNetRun(**CAPTIONS, **SETTINGS, start="world-unet", name="world-unet-3", keep=0.5, out=tmp_path)
    unet.train(run)
    before = zoo.entry("world-unet-3")
    unet.train(run)
    assert zoo.entry("world-unet-3") == before
    with pytest.raises(TrainingError, match="start was world-unet and is world-unet-3"):  # another start is another run
        unet.train(replace(run, start="world-unet-3"))
    assert zoo.entry("world-unet-3") == before
    unet.train(replace(run, start="world-unet-3", fresh=True))
    after = zoo.entry("world-unet-3")
    assert after["images_seen"] == before["images_seen"] + run.steps * run.batch
    assert after["recipe"].startswith(before["recipe"]) and after["recipe"].endswith("--fresh")
    assert before["config"]["made_with"].keys() == {"world-vae", "tokenizer"}


@pytest.mark.parametrize("options", [{"keep": 0.5}, {"keep": 1.5, "start": "world-unet"}])
def test_what_cannot_be_kept_is_refused(trained: Path, options: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match="--keep must be from 0 to 1, and needs a --start"):
        unet.UNetTask(unet.UNetRun(**{**CAPTIONS, **options}))


def test_one_level_is_refused(trained: Path) -> None:
    with pytest.raises(TrainingError, match="two levels"):
        unet.UNetTask(unet.UNetRun(**{**CAPTIONS, "channels": (8,), "attention": (True,)}))


def test_the_default_sizes_are_what_a_laptop_trains(trained: Path) -> None:
    reads = unet.UNetTask(unet.UNetRun(scenes=32, text_from="nothing")).unet
    told = pixels.PixelsTask(pixels.PixelsRun(pictures=18)).unet
    assert sum(p.numel() for p in reads.parameters()) <= 12e6
    assert sum(p.numel() for p in told.parameters()) <= 4e6


# --- labels ---------------------------------------------------------------------------------------------------------


def test_portraits_are_always_the_same_and_differ_between_splits(trained: Path) -> None:
    first = pixels.portraits(4)
    assert first.shape == (4, 32, 32, 3) and first.dtype == np.uint8
    assert (pixels.portraits(6)[:4] == first).all()
    assert all((a != b).any() for a, b in zip(first, pixels.portraits(4, "validation"), strict=True))
    assert (pixels.cached_portraits(36)[:4] == first).all()


def test_cached_portraits_are_drawn_once(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = pixels.cached_portraits(36)
    monkeypatch.setattr(pixels, "portraits", lambda *_: pytest.fail("drawn again"))
    assert (pixels.cached_portraits(36) == expected).all()


def test_the_judge_recognises_real_portraits_and_no_others(shipped: Judge) -> None:
    """It has never seen one: what it knows are whole pictures, of which these are enlarged parts."""
    pictures, labels = to_tensor(pixels.portraits(360, "test")), torch.arange(360) % len(SHAPES)
    assert pixels.recognised(shipped, pictures, labels).float().mean() >= 0.99
    assert pixels.recognised(shipped, pictures, labels.roll(1)).float().mean() < 0.01
    assert not pixels.recognised(shipped, torch.zeros(2, 3, 32, 32), torch.tensor([0, 1])).any()


@pytest.mark.parametrize("drop", [0.0, 1.0])
def test_labels_belong_to_their_pictures_until_they_are_dropped(trained: Path, shipped: Judge, drop: float) -> None:
    task = pixels.PixelsTask(pixels.PixelsRun(**PORTRAITS, drop=drop))
    batch = task.make_batch(0, 32, 0)
    if drop:
        assert (batch["labels"] == pixels.ANYTHING).all()
    else:
        assert pixels.recognised(shipped, batch["pictures"], batch["labels"]).all()


def test_pictures_are_drawn_from_their_own_labels_and_seeds(trained: Path) -> None:
    task = pixels.PixelsTask(pixels.PixelsRun(**PORTRAITS)).eval()
    for parameter in task.unet.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    both = task.draw(torch.tensor([3, 7]))
    assert_close(task.draw(torch.tensor([3, 8]))[0], both[0])
    assert not torch.allclose(task.draw(torch.tensor([3, 8]))[1], both[1])
    assert_close(task.draw(torch.tensor([7]), seed=1)[0], both[1])


def test_the_loss_falls_and_the_judge_is_asked(trained: Path) -> None:
    longer = {"out": trained / "runs/longer", "steps": 15, "lr": 0.02, "ema": 0.5, "judged": 1}
    config = pixels.PixelsRun(**{**PORTRAITS, **SETTINGS, **longer})
    task = pixels.PixelsTask(config)
    before = task.fixed_noise_loss()
    figures = fit(task, config).figures
    assert figures["loss"] < 0.9 * before and 0 <= figures["recognised"] <= 1
