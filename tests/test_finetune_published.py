"""Fine-tuning what others published, on tiny random pipelines of their format: diffusers draws with what was learnt here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from published import pixart, stable_diffusion
from test_folders import drawn_by_diffusers, drawn_by_us, load

from minidiff.finetune.dreambooth import DreamBoothRun, finetune_dreambooth
from minidiff.finetune.full import FullRun, finetune_full
from minidiff.finetune.learners import file_in
from minidiff.finetune.lora import LoRARun, finetune_lora
from minidiff.pipelines.loras import LoRAs

TARGETS = ("to_k", "to_q", "to_v", "to_out.0", "proj_in", "proj_out", "conv1", "conv2")
SHORT: dict[str, Any] = {"data": Path("photos"), "model": "model", "steps": 2, "batch": 2, "warmup": 1, "validate_every": 2,
                         "save_every": 2, "out": Path("run")}  # fmt: skip


def test_diffusers_draws_with_a_lora_that_was_trained_here(photos: Path) -> None:
    """Targets of linear layers and convolutions and the text tower, as a fashion LoRA has them."""
    stable_diffusion(Path("model"))
    finetune_lora(LoRARun(rank=4, alpha=8.0, targets=TARGETS, text=True, dropout=0.1, lr=0.05, **SHORT))
    ours, theirs = load(Path("model")), diffusers.StableDiffusionPipeline.from_pretrained("model")
    before = drawn_by_us(ours, "", 5.0)
    loras = LoRAs(ours)
    loras.mix({loras.load(file_in(Path("run"))): 1.0})
    theirs.load_lora_weights("run", weight_name="run.safetensors", adapter_name="run")
    expected = drawn_by_diffusers(theirs, "", 5.0)
    torch.testing.assert_close(drawn_by_us(ours, "", 5.0), expected, rtol=0, atol=1e-4)
    assert float((expected - before).abs().max()) > 0.01


@pytest.mark.parametrize("text", [False, True])
def test_diffusers_opens_the_folder_of_a_model_that_learnt_whole(text: bool, photos: Path) -> None:
    stable_diffusion(Path("model"))
    finetune_full(FullRun(text=text, lr=0.01, **SHORT))
    theirs = diffusers.StableDiffusionPipeline.from_pretrained("run/model")
    ours, before = load(Path("run/model")), load(Path("model"))
    expected = drawn_by_diffusers(theirs, "", 5.0)
    torch.testing.assert_close(drawn_by_us(ours, "", 5.0), expected, rtol=0, atol=1e-3)
    assert float((expected - drawn_by_us(before, "", 5.0)).abs().max()) > 0.01
    towers = [list(one.words.tower.parameters()) for one in (before, ours)]
    assert all(torch.equal(a.half(), b.half()) for a, b in zip(*towers, strict=True)) != text


def test_dreambooth_on_stable_diffusion(photos: Path) -> None:
    stable_diffusion(Path("model"))
    for file in Path("photos").glob("*.txt"):
        file.write_text("a sks star", encoding="utf-8")
    finetune_dreambooth(DreamBoothRun(class_prompts=("a star",), class_images=2, how="lora", **SHORT))
    assert file_in(Path("run")).exists()


def test_a_network_that_also_predicts_a_variance_learns(photos: Path) -> None:
    pixart(Path("model"))
    finetune_lora(LoRARun(rank=2, lr=0.05, **SHORT))
    ours = load(Path("model"))
    loras = LoRAs(ours)
    before = drawn_by_us(ours, "", 4.5)
    loras.mix({loras.load(file_in(Path("run"))): 1.0})
    assert float((drawn_by_us(ours, "", 4.5) - before).abs().max()) > 1e-3
