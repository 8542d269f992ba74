"""`minidiff finetune lora` with tiny models: what it leaves, when it stops, that a killed run goes on as an unbroken one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from minidiff import cli
from minidiff.data.captioned import load_square, read_captioned
from minidiff.finetune import run as runs
from minidiff.finetune.captioned_latents import CaptionedLatents
from minidiff.finetune.learners import LoRALearner, file_in
from minidiff.finetune.lora import LoRARun, finetune_lora
from minidiff.finetune.task import FineTuneTask, best_of
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.loras import apply
from minidiff.pretrained import zoo
from minidiff.train.options import TrainingError


@pytest.fixture
def work(photos: Path) -> Path:
    return photos


def run(**settings: Any) -> LoRARun:
    return LoRARun(**{"data": Path("photos"), "steps": 6, "batch": 4, "warmup": 1, "rank": 2, "validate_every": 2, "lr": 0.02,
                      "save_every": 1, "min_delta": 0.0, "out": Path("run"), **settings})  # fmt: skip


def task_of(config: LoRARun, pipeline: Any, examples: Any) -> FineTuneTask:
    return FineTuneTask(config, pipeline, examples, LoRALearner(pipeline, config, config.text))


def weights(out: str) -> dict[str, torch.Tensor]:
    return load_file(file_in(Path(out)))


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("model", ["world-dit", "world-unet"])
def test_a_run_leaves_a_file_that_sample_takes_a_report_and_a_sheet(
    model: str, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finetune_lora(run(model=model, steps=8, lr=0.1, weight_decay=0.0))
    said = json.loads((work / "run" / runs.REPORT).read_text())
    best = best_of(work / "run")
    assert best and said["best"] == best and best["loss"] < said["without"], "nothing was learnt"
    assert (said["images"], said["held_out"], said["left_out"], said["steps"]) == (6, 1, 0, 8)
    assert said["recipe"].startswith("minidiff finetune lora photos --steps 8") and said["recipe"].count("photos") == 1
    assert said["bytes"] == file_in(work / "run").stat().st_size and said["parameters"] > 0
    assert Image.open(work / "run" / runs.SHEET).size[0] > 0
    assert f"--model {model} --lora run/run.safetensors:1" in capsys.readouterr().out
    pictures = []
    for options in ((), ("--lora", "run/run.safetensors:1")):
        with pytest.raises(SystemExit, match="0"):
            cli.main(["sample", "a red star", "--model", model, "--steps", "2", "--out", "a.png", *options])
        pictures.append(Image.open("a.png").tobytes())
    assert pictures[0] != pictures[1]


def test_a_finished_run_can_be_put_into_the_zoo_and_drawn_with_by_its_name(
    work: Path, whole_zoo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole_zoo, "zoo")
    monkeypatch.setenv("MINIDIFF_ZOO", "zoo")
    finetune_lora(run(lr=0.1, alpha=6.0))
    with pytest.raises(SystemExit, match="0"):
        cli.main(["zoo", "add", "run", "--name", "ink"])
    assert "Published 'ink' in zoo" in capsys.readouterr().out and not list(work.glob("run/half*"))
    row, base = zoo.entry("ink"), zoo.entry("world-dit")
    assert row["config"] == {"lora": {"base": "world-dit"}, "made_with": {"world-dit": base["sha256"]}}
    best = best_of(work / "run")
    assert best and row["images_seen"] == 4 * best["step"] and row["figures"]["loss"] < row["figures"]["loss_without"]
    assert row["bytes"] < file_in(work / "run").stat().st_size, "in half the bytes"
    merged = []
    for sources in ([], ["ink"], ["run/run.safetensors"]):
        pipeline = load_pipeline("world-dit", "cpu", "float32")
        apply(pipeline, sources)
        merged.append(torch.cat([weight.flatten() for weight in pipeline.network.parameters()]))
    torch.testing.assert_close(merged[1], merged[2], rtol=2e-3, atol=1e-3)
    assert (merged[1] - merged[0]).abs().max() > 0.01
    said = json.loads(Path("run/report.json").read_text())
    Path("run/report.json").write_text(json.dumps({**said, "model": "some/folder"}))
    with pytest.raises(SystemExit, match="2"):
        cli.main(["zoo", "add", "run"])
    assert "is a LoRA of some/folder, which isn't in the zoo" in capsys.readouterr().err


def test_a_stopped_run_goes_on_as_an_unbroken_one(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finetune_lora(run(out=Path("whole")))
    fit, calls = runs.fit, []

    def killed(task: Any, config: LoRARun, *rest: Any) -> Any:
        calls.append(config.stop_after)
        if len(calls) == 2:
            fit(task, type(config)(**{**vars(config), "stop_after": 1}))
            raise KeyboardInterrupt
        return fit(task, config, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(runs, "fit", killed)
        with pytest.raises(KeyboardInterrupt):
            finetune_lora(run())
    assert calls == [2, 2]
    finetune_lora(run())
    assert best_of(work / "run") == best_of(work / "whole") and same(weights("run"), weights("whole"))
    report = json.loads((work / "run" / runs.REPORT).read_text())
    assert report["steps"] == 6


def test_it_stops_when_nothing_gets_better_and_keeps_the_best(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finetune_lora(run(steps=40, patience=2, min_delta=100.0))
    assert best_of(work / "run")["step"] == 2  # type: ignore[index]
    assert "Stopped at step 6: nothing new since step 2." in capsys.readouterr().out


def test_a_part_of_a_run_can_be_asked_for(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finetune_lora(run(out=Path("whole")))
    capsys.readouterr()
    finetune_lora(run(stop_after=1))
    assert "Stopped at step 1, before the first validation" in capsys.readouterr().out and best_of(work / "run") is None
    finetune_lora(run(stop_after=3))
    assert json.loads((work / "run" / runs.REPORT).read_text())["steps"] == 4
    finetune_lora(run())
    assert same(weights("run"), weights("whole"))


def test_checkpoints_hold_the_factors_alone(work: Path) -> None:
    finetune_lora(run(steps=2))
    saved = torch.load(work / "run" / "checkpoint.pt", weights_only=True)
    assert saved["model"] and all(name.startswith("learner.updates.") for name in saved["model"])


def test_what_is_held_back_is_not_learnt_and_batches_repeat(work: Path) -> None:
    pipeline = load_pipeline("world-dit", "cpu", "float32")
    examples = CaptionedLatents(pipeline, read_captioned("photos").pairs, held=0.34, dropout=0.5)
    assert len(examples.held) == 2 and not set(examples.held) & set(examples.learnt)
    held = {bytes(examples.latents[row, side].numpy().tobytes()) for row in examples.held for side in (0, 1)}
    batch = examples.make_batch(3, 64, seed=1)
    assert not held & {bytes(one.numpy().tobytes()) for one in batch["latents"]}
    again = examples.make_batch(3, 64, seed=1)
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    empty = sum(torch.equal(one, examples.texts.columns["context"][0]) for one in batch["context"])
    assert 15 < empty < 50, "half of the captions are empty"
    assert not torch.equal(examples.latents[0, 0], examples.latents[0, 1]), "one is the mirror image"


def test_the_held_out_loss_repeats_and_is_the_networks(work: Path) -> None:
    pipeline = load_pipeline("world-dit", "cpu", "float32")
    examples = CaptionedLatents(pipeline, read_captioned("photos").pairs)
    task = task_of(run(), pipeline, examples)
    assert task.held_out() == task.held_out()
    before = task.held_out()
    for update in task.learner.updates:
        torch.nn.init.normal_(update.up.weight)
    assert task.held_out() != before


def test_dropout_acts_from_the_first_step_and_never_in_validation(work: Path) -> None:
    pipeline = load_pipeline("world-dit", "cpu", "float32")
    examples = CaptionedLatents(pipeline, read_captioned("photos").pairs)
    task = task_of(run(dropout=0.5), pipeline, examples)
    for update in task.learner.updates:
        torch.nn.init.normal_(update.up.weight)
    batch, t = examples.make_batch(0, 4, 0), torch.full((4,), 0.5)
    eps = torch.zeros_like(batch["latents"])
    assert not torch.equal(task.predict(batch, t, eps), task.predict(batch, t, eps))
    assert torch.equal(task.eval().predict(batch, t, eps), task.predict(batch, t, eps))
    assert not pipeline.network.training


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"model": "world-pixels"}, "'world-pixels' reads no captions"),
        ({"targets": ("to_query",)}, "No linear layer or convolution of DiT is called to_query"),
        ({"data": Path("nowhere")}, "There is no folder nowhere"),
        ({"rank": 0}, "rank"),
        ({"publish": True}, "--publish is for models trained from nothing"),
    ],
)
def test_what_cannot_be_learnt_is_one_sentence(work: Path, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        finetune_lora(run(**settings))


def test_one_image_is_too_few(work: Path) -> None:
    for k in range(1, 6):
        Path(f"photos/{k}.png").unlink()
    with pytest.raises(TrainingError, match="There is 1 image with a caption; at least two"):
        finetune_lora(run())


def test_images_are_turned_flattened_and_cut(tmp_path: Path) -> None:
    wide = Image.new("RGBA", (60, 20), (255, 0, 0, 0))
    wide.paste((0, 0, 255, 255), (20, 0, 40, 20))
    wide.save(tmp_path / "wide.png")
    square = load_square(tmp_path / "wide.png", 8)
    assert square.shape == (8, 8, 3) and (square[4, 4] == (0, 0, 255)).all()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    Image.new("RGB", (20, 40), "red").save(tmp_path / "turned.png", exif=exif)
    clear = Image.new("RGBA", (9, 9), (0, 0, 0, 0))
    clear.save(tmp_path / "clear.png")
    assert (load_square(tmp_path / "clear.png", 4) == 255).all()
