"""Fashion's configuration, what is claimed and counted, and the comparison of four ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from minidiff.data.captioned import Captioned
from minidiff.finetune import compare
from minidiff.finetune.claims import lora_parameters, published_claims
from minidiff.finetune.fashion import TARGETS, FashionRun, finetune_fashion, told_in_more_ways
from minidiff.finetune.learners import file_in
from minidiff.finetune.run import REPORT, SHEET
from minidiff.models.unet import UNet, UNetConfig
from minidiff.nn.lora import ATTENTION, add_lora
from minidiff.pipelines.loading import load_pipeline


def test_each_caption_is_also_told_with_words_of_quality() -> None:
    pairs = [Captioned(Path("a.png"), ("a red dress", "váy đỏ")), Captioned(Path("b.png"), ("a hat",))]
    told = told_in_more_ways(pairs, 3)
    assert [pair.captions[: len(before.captions)] for pair, before in zip(told, pairs, strict=True)] == [
        pair.captions for pair in pairs
    ]
    assert 4 <= len(told[0].captions) <= 6 and all("dress" in c or "váy" in c for c in told[0].captions)
    assert told == told_in_more_ways(pairs, 3) and told_in_more_ways(pairs, 1) == pairs


def test_fashion_is_the_same_run_on_our_unet(photos: Path) -> None:
    config = FashionRun(data=Path("photos"), steps=2, batch=2, warmup=1, validate_every=2, save_every=2, out=Path("run"))
    assert (config.rank, config.alpha, config.dropout, config.targets) == (12, 24.0, 0.1, TARGETS)
    finetune_fashion(config)
    said = json.loads(Path("run", REPORT).read_text())
    assert said["parameters"] == lora_parameters(load_pipeline("world-unet", "cpu", "float32").network, 12, TARGETS)
    assert file_in(Path("run")).exists() and {"loss", "mae", "deviation"} <= said["best"].keys()
    sheet = Image.open(Path("run", SHEET))
    assert sheet.height > 3.5 * sheet.width, "one image before, and one for each of 20, 30 and 50 steps"


def test_parameters_are_counted_as_they_are_learnt() -> None:
    small = UNet(UNetConfig(channels=(8, 16), attention=(False, True), layers=1, heads=2, groups=4, context_dim=16))
    for targets in (ATTENTION, TARGETS):
        counted = lora_parameters(small, 3, targets)
        layers = add_lora(small, 3, targets=targets)
        assert counted == sum(weight.numel() for layer in layers.values() for weight in layer.update.parameters())
        from minidiff.nn.lora import take_out

        take_out(small)


def test_what_is_claimed_is_counted() -> None:
    counts = {(claim.what, claim.parameters) for claim in published_claims()}
    with torch.device("meta"):
        assert lora_parameters(UNet(UNetConfig()), 1, ATTENTION) == 199_296
    assert ("Stable Diffusion 1.5, U-Net whole", 859.52) in counts and ("LoRA of its attention, rank 4", 0.8) in counts
    assert ("LoRA of attention and convolutions, rank 12", 8.87) in counts and ("LoRA of its attention, rank 8", 4.13) in counts


def test_four_ways_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    config = compare.CompareRun(out=tmp_path, images=2, steps=5, prompts=4)
    said = {"parameters": 2_000_000, "bytes": 1_500_000, "minutes": 3.25, "peak_memory_mb": 2100, "recipe": "minidiff ..."}
    for way in compare.ways(config):
        way.folder(config).mkdir(parents=True)
        (way.folder(config) / REPORT).write_text(json.dumps(said))
    pipeline = load_pipeline("world-dit", "cpu", "float32")
    monkeypatch.setattr(compare, "load_pipeline", lambda *_, **__: pipeline)
    monkeypatch.setattr(compare, "LoRAs", lambda _: type("None_", (), {"load": lambda *_: "x", "mix": lambda *_: None})())
    steps = pipeline.request
    monkeypatch.setattr(pipeline, "request", lambda text, **settings: steps(text, **{**settings, "steps": 2}))
    compare.compare(config)
    figures = json.loads((tmp_path / "compare.json").read_text())
    assert list(figures["ways"]) == ["before", "LoRA", "DreamBooth by LoRA", "full", "DreamBooth"]
    rows = figures["ways"]
    assert rows["full"]["megabytes"] == 1.5 and rows["full"]["identity"] == rows["before"]["identity"] < 0.5
    assert 0 <= rows["LoRA"]["following"] <= 1 and len(figures["claims"]) == len(published_claims())
    printed = capsys.readouterr().out
    assert "2.00 M" in printed and "2.1 GB" in printed and "4 pictures a measure" in printed
    assert Image.open(tmp_path / "compare.png").size[0] > 1000 and len(list((tmp_path / "data").glob("*.png"))) == 2


def test_a_way_that_fails_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = compare.CompareRun(out=tmp_path, images=2)
    failed: Any = type("Failed", (), {"returncode": 2})
    monkeypatch.setattr(compare.subprocess, "run", lambda *_: failed)
    with pytest.raises(ValueError, match=r"This run failed: minidiff finetune lora .*data --model world-dit"):
        compare.trained(compare.ways(config)[0], config)
    with pytest.raises(ValueError, match="There is no subject 'rex'"):
        compare.CompareRun(subject="rex")
