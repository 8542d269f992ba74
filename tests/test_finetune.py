"""Full fine-tuning, DreamBooth, learning text towers, image losses and the cache, with tiny models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from minidiff import cli
from minidiff.data.captioned import load_square, read_captioned
from minidiff.diffusion.losses import example_losses
from minidiff.finetune import dreambooth
from minidiff.finetune import run as runs
from minidiff.finetune.captioned_latents import CaptionedLatents, encode_images, encode_texts
from minidiff.finetune.dreambooth import (
    DreamBoothRun,
    DreamBoothTask,
    PairedLatents,
    finetune_dreambooth,
    token_counts,
    token_ids,
)
from minidiff.finetune.full import FullRun, finetune_full
from minidiff.finetune.image_losses import ImageLosses, gram_distance, gram_matrix
from minidiff.finetune.learners import FullLearner, LoRALearner, file_in
from minidiff.finetune.lora import LoRARun, finetune_lora
from minidiff.finetune.task import FineTuneTask, best_of
from minidiff.pipelines.loading import load_pipeline
from minidiff.pretrained import zoo
from minidiff.pretrained.adapters import read_lora
from minidiff.train.curves import read_columns
from minidiff.train.loop import Step
from minidiff.train.options import TrainingError
from minidiff.train.publish import keep

SHORT = {"steps": 4, "batch": 2, "warmup": 1, "validate_every": 2, "save_every": 1, "min_delta": 0.0, "out": Path("run")}


@pytest.fixture
def work(photos: Path) -> Path:
    return photos


def pixels(model: str, *options: str) -> bytes:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["sample", "a red star", "--model", model, "--steps", "2", "--no-expand", "--out", "a.png", *options])
    return Image.open("a.png").tobytes()


@pytest.mark.parametrize("model", ["world-dit", "world-unet"])
@pytest.mark.parametrize("text", [False, True])
def test_a_full_run_leaves_a_model_that_sample_takes(model: str, text: bool, work: Path) -> None:
    finetune_full(FullRun(data=Path("photos"), model=model, text=text, lr=0.01, **SHORT))
    said = json.loads((work / "run" / runs.REPORT).read_text())
    pipeline = load_pipeline(model, "cpu", "float32")
    parts = [pipeline.network, *([pipeline.words.tower] if text else [])]
    assert said["parameters"] == sum(weight.numel() for part in parts for weight in part.parameters())
    assert said["best"]["loss"] < said["without"] and said["peak_memory_mb"] > 100
    assert pixels("run") != pixels(model)
    after = load_pipeline("run", "cpu", "float32")
    towers = [made.words.tower.parameters() for made in (pipeline, after)]
    same = all(torch.equal(a.half(), b.half()) for a, b in zip(*towers, strict=True))
    assert same != text
    assert (work / "run" / runs.CURVES).exists() and (work / "run" / runs.SHEET).exists()
    columns = read_columns(work / "run" / "log.csv")
    assert len(columns["loss"]) == 4 and [step for step, _ in columns["val_loss"]] == [2, 4]


def test_a_text_tower_learns_by_lora_and_the_file_holds_both(work: Path) -> None:
    finetune_lora(LoRARun(data=Path("photos"), text=True, rank=2, lr=0.05, **SHORT))
    pipeline = load_pipeline("world-dit", "cpu", "float32")
    parts = read_lora(file_in(Path("run")), {"transformer": pipeline.network, "text_encoder": pipeline.words.tower})
    assert parts.keys() == {"transformer", "text_encoder"}
    assert all(float(one.up.abs().max()) > 0 for part in parts.values() for one in part.values()), "all of it has learnt"
    assert pixels("world-dit", "--lora", str(file_in(Path("run")))) != pixels("world-dit")


def test_ids_give_the_vectors_of_the_frozen_tower(work: Path) -> None:
    pipeline = load_pipeline("world-dit", "cpu", "float32")
    config = LoRARun(data=Path("photos"), **SHORT)
    pairs = read_captioned("photos").pairs
    batches = {}
    for frozen in (True, False):
        examples = CaptionedLatents(pipeline, pairs, frozen_text=frozen)
        batches[frozen] = examples.make_batch(0, 8, seed=3)
    task = FineTuneTask(config, pipeline, examples, LoRALearner(pipeline, config))
    (a, mask_a), (b, mask_b) = task.context(batches[True]), task.context(batches[False])
    length = int(mask_b.sum(1).max())
    assert torch.equal(mask_a[:, :length], mask_b[:, :length]) and not mask_a[:, length:].any()
    torch.testing.assert_close(a[:, :length][mask_b[:, :length]], b[:, :length][mask_b[:, :length]])


def test_latents_are_kept_by_what_they_were_made_of(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = load_pipeline("world-dit", "cpu", "float32")
    images = [pair.image for pair in read_captioned("photos").pairs]
    first = encode_images(pipeline, images, 1, Path("cache"))
    monkeypatch.setattr(pipeline.vae, "encode", lambda x: pytest.fail("they were made already"))
    assert torch.equal(encode_images(pipeline, images, 1, Path("cache")), first)
    (kept,) = Path("cache").iterdir()
    kept.write_bytes(kept.read_bytes()[:-9])
    monkeypatch.undo()
    monkeypatch.chdir(work)
    assert torch.equal(encode_images(pipeline, images, 1, Path("cache")), first), "a damaged file is made again"
    Image.new("RGB", (40, 40), "red").save(images[0])
    assert not torch.equal(encode_images(pipeline, images, 1, Path("cache")), first)
    with torch.no_grad():
        next(pipeline.vae.parameters()).mul_(2)
    encode_images(pipeline, images, 1, Path("cache"))
    assert len(list(Path("cache").iterdir())) == 3, "another VAE, other latents"


def test_crops_are_views_of_their_own_and_mirrored(work: Path) -> None:
    pipeline = load_pipeline("world-dit", "cpu", "float32")
    pairs = read_captioned("photos").pairs
    three = encode_images(pipeline, [pair.image for pair in pairs], 3)
    assert three.shape[:2] == (len(pairs), 6)
    assert len({bytes(view.numpy().tobytes()) for view in three[0]}) == 6
    examples = CaptionedLatents(pipeline, pairs, crops=3, mirror=False)
    mirrored = {bytes(view.numpy().tobytes()) for image in examples.latents for view in image[1::2]}
    assert not mirrored & {bytes(one.numpy().tobytes()) for one in examples.make_batch(0, 64, 0)["latents"]}
    import random

    views = [load_square(pairs[0].image, 16, random.Random(k)) for k in (1, 2, 1)]
    assert views[0].shape == (16, 16, 3) and not np.array_equal(views[0], views[1]) and np.array_equal(views[0], views[2])


# --- losses -----------------------------------------------------------------------------------------------------------


def test_the_loss_is_the_diffusion_loss_with_weights(work: Path) -> None:
    pipeline = load_pipeline("world-dit", "cpu", "float32")
    config = LoRARun(data=Path("photos"), min_snr=0.0, **SHORT)
    examples = CaptionedLatents(pipeline, read_captioned("photos").pairs)
    task = FineTuneTask(config, pipeline, examples, LoRALearner(pipeline, config))
    batch = task.make_batch(0, 4, 0)
    loss, _ = task(batch, Step(0, torch.Generator().manual_seed(7)))
    generator = torch.Generator().manual_seed(7)
    t = task.times(4, generator)
    eps = torch.randn(batch["latents"].shape, generator=generator)
    wanted = example_losses(task.predict(batch, t, eps), batch["latents"], eps, t, task.schedule, task.kind).mean()
    torch.testing.assert_close(loss, wanted)
    config.latent_noise = 0.5
    assert not torch.allclose(task(batch, Step(0, torch.Generator().manual_seed(7)))[0], wanted)


def test_gram_matrices_forget_where_features_stand() -> None:
    features = torch.randn(2, 12, 5, generator=torch.Generator().manual_seed(0))
    shuffled = features[:, torch.randperm(12, generator=torch.Generator().manual_seed(1))]
    torch.testing.assert_close(gram_matrix(features), gram_matrix(shuffled))
    torch.testing.assert_close(gram_matrix(features)[1], features[1].T @ features[1] / 12)
    assert gram_distance([features], [shuffled]) < 1e-10 < gram_distance([features], [features.flip(2)])
    assert gram_distance([2 * features], [features]) == pytest.approx(9.0), "(4 - 1)^2, relative to the target's size"


class Tower:
    """Two layers: the colours of pixels, and their squares."""

    def layers(self, images: Tensor) -> list[Tensor]:
        seen = images.flatten(2).mT
        return [seen, seen.square()]


def test_image_losses_see_low_times_every_so_many_steps_and_can_be_switched_off() -> None:
    generator = torch.Generator().manual_seed(0)
    x0, other = (torch.randn(4, 3, 4, 4, generator=generator) for _ in range(2))
    t = torch.tensor([0.1, 0.3, 0.5, 0.9])

    def losses(perceptual: float, gram: float, pred: Tensor, step: int = 4, below: float = 0.4) -> dict[str, Tensor]:
        return ImageLosses(lambda z: z, Tower(), perceptual, gram, below, 4)(pred, x0, t, step)  # type: ignore[arg-type]

    assert losses(1, 1, other).keys() == {"perceptual", "gram"} and losses(0, 1, other).keys() == {"gram"}
    assert losses(1, 0, other).keys() == {"perceptual"} and losses(1, 1, other, step=5) == losses(1, 1, other, below=0.05) == {}
    late = torch.cat([x0[:2], other[2:]])
    assert float(losses(1, 1, late)["gram"]) == pytest.approx(0, abs=1e-9), "times of 0.5 and 0.9 don't count"
    torch.testing.assert_close(losses(1, 3, other)["gram"], 3 * losses(1, 1, other)["gram"])
    pred = other.clone().requires_grad_()
    sum(losses(1, 1, pred).values()).backward()  # type: ignore[union-attr]
    assert pred.grad is not None and pred.grad[:2].abs().min() > 0 and not pred.grad[2:].any()


def test_a_run_with_image_losses_logs_them(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from minidiff.finetune import task as tasks

    monkeypatch.setattr(tasks.ImageTower, "load", lambda: Tower())
    losses = {"gram": 0.1, "perceptual": 0.1, "image_loss_below": 1.0, "image_loss_every": 2}
    finetune_lora(LoRARun(data=Path("photos"), rank=2, **losses, **SHORT))
    columns = read_columns(work / "run" / "log.csv")
    assert [step for step, _ in columns["gram"]] == [step for step, _ in columns["perceptual"]] == [1, 3]
    total, parts = dict(columns["loss"]), dict(columns["diffusion"])
    extra = dict(columns["gram"])[1] + dict(columns["perceptual"])[1]
    assert total[1] == pytest.approx(parts[1] + extra, rel=1e-3) and total[2] == pytest.approx(parts[2], rel=1e-3)


# --- DreamBooth -------------------------------------------------------------------------------------------------------


@pytest.fixture
def subject(work: Path) -> Path:
    """The photos, called by a rare word."""
    for file in (work / "photos").glob("*.txt"):
        file.write_text("a zq star", encoding="utf-8")
    return work


def booth(**settings: Any) -> DreamBoothRun:
    return DreamBoothRun(**{**SHORT, "data": Path("photos"), "token": "zq", "class_prompts": ("a star",), "class_images": 3,
                            "lr": 0.01, **settings})  # fmt: skip


@pytest.mark.parametrize(("how", "text"), [("full", False), ("lora", False), ("lora", True)])
def test_dreambooth_learns_a_subject_beside_its_class(
    how: Any, text: bool, subject: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finetune_dreambooth(booth(how=how, text=text))
    said = json.loads((subject / "run" / runs.REPORT).read_text())
    assert said["class_images"] == 3 and len(list((subject / "run" / "class").glob("*.png"))) == 3
    assert said["best"]["loss"] < said["without"]
    options = ["run"] if how == "full" else ["world-dit", "--lora", "run/run.safetensors"]
    assert pixels(*options) != pixels("world-dit")
    assert "reads 'zq' as 3 tokens: '', 'z', 'q'" in capsys.readouterr().out


def test_the_class_is_drawn_once_and_kept(subject: Path) -> None:
    pipeline = load_pipeline("world-dit", "cpu", "float32")
    first = dreambooth.draw_class(pipeline, ("a star", "a red star"), 3, Path("class"))
    assert [pair.captions for pair in first] == [("a star",), ("a red star",), ("a star",)]
    before = [pair.image.stat().st_mtime_ns for pair in first]
    again = dreambooth.draw_class(pipeline, ("a star", "a red star"), 4, Path("class"))
    assert [pair.image.stat().st_mtime_ns for pair in again[:3]] == before and len(again) == 4


def test_a_batch_is_subject_then_class_and_each_half_has_its_times_and_weight(subject: Path) -> None:
    pipeline = load_pipeline("world-dit", "cpu", "float32")
    config = booth(prior=0.25, min_snr=0.0)
    one = CaptionedLatents(pipeline, read_captioned("photos").pairs, dropout=0.0)
    drawn = dreambooth.draw_class(pipeline, ("a big red star left of a small blue house at night",), 3, Path("class"))
    pair = PairedLatents(one, CaptionedLatents(pipeline, drawn, 0.0, 0.0))
    batch = pair.make_batch(0, 4, 0)
    assert len(batch["latents"]) == len(batch["context"]) == len(batch["mask"]) == 8
    assert torch.equal(batch["latents"][:4], one.make_batch(0, 4, 0)["latents"])
    lengths = batch["mask"].sum(1)
    assert (lengths[:4] < lengths[4:]).all(), "the class's caption is the longer"
    task = DreamBoothTask(config, pipeline, pair, FullLearner(pipeline))
    t = task.times(8, torch.Generator().manual_seed(0))
    for half in t.chunk(2):
        assert float(half.max() - half.min()) > 0.5, "both halves see early and late times"
    losses = torch.tensor([1.0, 3.0, 10.0, 30.0])
    assert float(task.weighted_mean(losses)) == pytest.approx(2 + 0.25 * 20)
    assert torch.equal(pair.held_out()["latents"], one.held_out()["latents"])


def test_without_prior_nothing_of_the_class_is_learnt(subject: Path) -> None:
    finetune_dreambooth(booth(prior=0.0, class_prompts=()))
    assert not (subject / "run" / "class").exists()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"token": "sks"}, "The caption 'a zq star' of 0.png lacks the rare word 'sks'"),
        ({"token": "two words"}, "it must be one word"),
        ({"class_prompts": ()}, "--class-prompts is missing"),
        ({"model": "world-pixels"}, "'world-pixels' reads no captions"),
    ],
)
def test_what_dreambooth_cannot_do_is_one_sentence(subject: Path, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        finetune_dreambooth(booth(**settings))


def test_rare_ids_are_counted(work: Path) -> None:
    tokenizer = load_pipeline("world-dit", "cpu", "float32").tokenizer
    counts = token_counts(tokenizer, ["a red star", "a star"])
    (star,), (red,) = token_ids(tokenizer, "star"), token_ids(tokenizer, "red")
    assert counts[star] == 2 and counts[red] == 1 and not any(counts[number] for number in token_ids(tokenizer, "zq"))
    assert len(encode_texts(load_pipeline("world-dit", "cpu", "float32"), ["a", "b"]).columns["context"]) == 3


def test_a_stopped_full_run_goes_on_as_an_unbroken_one(work: Path) -> None:
    whole = FullRun(data=Path("photos"), lr=0.01, **{**SHORT, "out": Path("whole")})
    finetune_full(whole)
    finetune_full(FullRun(data=Path("photos"), lr=0.01, stop_after=3, **SHORT))
    finetune_full(FullRun(data=Path("photos"), lr=0.01, **SHORT))
    a, b = (load_pipeline(name, "cpu", "float32").network.state_dict() for name in ("whole", "run"))
    assert all(torch.equal(a[name], b[name]) for name in a) and best_of(Path("whole")) == best_of(Path("run"))


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_what_was_best(work: Path) -> None:
    finetune_lora(LoRARun(data=Path("photos"), rank=2, lr=0.01, stop_after=2, **SHORT))
    kept = file_in(Path("run")).read_bytes()
    with pytest.raises(TrainingError, match="training has diverged"):
        bad = LoRARun(data=Path("photos"), rank=2, lr=0.01, **SHORT)
        pipeline = runs.begin(bad)
        examples = CaptionedLatents(pipeline, read_captioned("photos").pairs)
        task = FineTuneTask(bad, pipeline, examples, LoRALearner(pipeline, bad))
        examples.latents = torch.full_like(examples.latents, torch.inf)
        runs.learn(task, bad)
    assert file_in(Path("run")).read_bytes() == kept


def test_a_new_model_takes_along_what_its_parts_work_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDIFF_ZOO", str(tmp_path / "zoo"))
    weights = {"weight": torch.ones(2, 2)}
    zoo.add("words", weights, {})
    zoo.add("reader", weights, {"made_with": {"words": zoo.entry("words")["sha256"]}})
    keep(tmp_path / "run", "new", weights, {}, dependencies=["reader"])
    assert zoo.manifest(tmp_path / "run").keys() == {"new", "reader", "words"}
    assert zoo.entry("new", tmp_path / "run")["config"]["made_with"].keys() == {"reader"}
