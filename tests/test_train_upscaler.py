"""`minidiff train world-upscaler`: its examples, its loss, and a run that stops, goes on, and can be used and published."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from minidiff import cli
from minidiff.models.upscaler import bicubic, shrunk
from minidiff.pipelines.upscale import load_upscaler
from minidiff.pretrained import zoo
from minidiff.recipes import world_upscaler
from minidiff.train.loop import Step
from minidiff.train.options import TrainingError
from minidiff.train.upscaler import UpscalerRun, UpscalerTask, busy_crop
from minidiff.train.vae_losses import reconstruction_loss

SMALL = {"width": 8, "layers": 1, "scenes": 8, "emoji": None, "workers": 0}


@pytest.fixture
def task(tmp_path: Path) -> UpscalerTask:
    return UpscalerTask(UpscalerRun(cache=tmp_path, **SMALL))  # type: ignore[arg-type]


def test_factors_come_by_turns_and_a_batch_is_always_the_same(task: UpscalerTask) -> None:
    batches = [task.make_batch(k, 4, 0) for k in range(3)]
    assert [batch["factor"] for batch in batches] == [2, 4, 2]
    assert [batch["images"].shape for batch in batches] == [(4, 3, 32, 32), (4, 3, 64, 64), (4, 3, 32, 32)]
    assert float(batches[0]["images"].abs().max()) <= 1
    assert torch.equal(task.make_batch(1, 4, 0)["images"], batches[1]["images"])
    assert not torch.equal(task.make_batch(1, 4, 1)["images"], batches[1]["images"])


def test_crops_are_of_busy_places() -> None:
    image = np.full((128, 128, 3), 90, np.uint8)
    image[64:, 64:] = np.random.default_rng(0).integers(0, 256, (64, 64, 3))
    crops = [busy_crop(image, 32, random.Random(seed)) for seed in range(60)]
    assert all(crop.shape == (32, 32, 3) for crop in crops)
    flat = sum(crop.std() == 0 for crop in crops)
    assert flat / 60 < 0.3, "one random crop in two would be flat, and of the best of four one in ten"


def test_the_loss_is_that_of_bicubic_interpolation_at_first(task: UpscalerTask) -> None:
    batch = task.make_batch(1, 4, 0)
    loss, figures = task(batch, Step(0, torch.Generator()))
    plain = bicubic(shrunk(batch["images"], 4), (64, 64))
    wanted = reconstruction_loss(plain, batch["images"], torch.ones(4, 1, 64, 64), 0.5)
    torch.testing.assert_close(loss, wanted)
    torch.testing.assert_close(figures["mse"], (plain - batch["images"]).square().mean())


def test_a_crop_fits_into_every_picture() -> None:
    with pytest.raises(TrainingError, match="crop"):
        UpscalerRun(crop=33)


def test_a_run_goes_on_after_a_stop_and_its_result_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seen: list[tuple[str, int]] = []

    def watched(task: UpscalerTask, split: str, count: int) -> list:
        seen.append((split, count))
        return [lambda folder, step: {"gain": 1.5}]

    monkeypatch.setattr(world_upscaler, "upscaler_validators", watched)
    argv = ["train", "world-upscaler", "--steps", "4", "--batch", "2", "--width", "8", "--layers", "1", "--scenes", "8",
            "--emoji", "None", "--held", "16", "--precision", "no"]  # fmt: skip
    for more in (["--stop-after", "2"], []):
        with pytest.raises(SystemExit) as left:
            cli.main([*argv, *more])
        assert not left.value.code
        assert bool(zoo.manifest("runs/world-upscaler")) == (not more)
    assert seen[-1] == ("test", 16)
    row = zoo.entry("world-upscaler", "runs/world-upscaler")
    assert row["figures"]["gain"] == 1.5 and row["images_seen"] == 8 and "minidiff train world-upscaler" in row["recipe"]
    assert load_upscaler("runs/world-upscaler")(torch.zeros(1, 3, 8, 8), 4).shape == (1, 3, 32, 32)


def test_it_is_watched_on_pictures_that_it_does_not_learn_from(tmp_path: Path) -> None:
    task = UpscalerTask(UpscalerRun(cache=tmp_path, **SMALL)).eval()  # type: ignore[arg-type]
    (validator,) = world_upscaler.upscaler_validators(task, "validation", 2)
    with torch.no_grad():
        found = validator(tmp_path / "out", 7)
    assert found["world_128_x2_gain"] == found["world_256_x4_gain"] == 0 and found["world_128_x4_clip_ratio"] == 1.0
    assert found["world_128_x4_psnr"] < found["world_128_x2_psnr"] and (tmp_path / "out" / "enlarged-000007.png").exists()
