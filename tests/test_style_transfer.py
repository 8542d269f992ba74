"""Style transfer: what LoRAs of the decoder and of the network do to a picture, `minidiff edit style`, and its measure."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from minidiff import cli
from minidiff.evaluate import style_transfer
from minidiff.evaluate.style_transfer import CEILING, NOTHING, PLAIN, SHUFFLED, STYLED, closeness, figures_of
from minidiff.nn.lora import Factors
from minidiff.pipelines import loras
from minidiff.pipelines.img2img import img2img
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.png_metadata import read_png
from minidiff.pipelines.style_transfer import restyle
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pretrained.adapters import write_lora


def picture(width: int = 40, height: int = 24, seed: int = 0) -> Image.Image:
    """Soft noise: no two places are alike."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def work(whole_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TextToImage:
    """An empty folder with a picture and two LoRAs: ink is of the decoder, and line of the network."""
    monkeypatch.setenv("MINIDIFF_ZOO", str(whole_zoo))
    monkeypatch.chdir(tmp_path)
    picture().save("one.png")
    pipeline = load_pipeline("world-dit", device="cpu", dtype="float32")
    dice = torch.Generator().manual_seed(0)
    decoder = "decoder.mid_block.attentions.0.to_v"
    width = pipeline.vae.get_submodule(decoder).weight.shape[0]
    network, block = pipeline.network, "transformer_blocks.0.attn1.to_v"
    side = network.get_submodule(block).weight.shape[0]
    for name, part, layer, d in (("ink", "vae", decoder, width), ("line", "transformer", block, side)):
        factors = Factors(torch.randn(2, d, generator=dice), torch.randn(d, 2, generator=dice), 1.0)
        write_lora(Path(f"{name}.safetensors"), {part: {layer: factors}})
    return pipeline


def edit(*argv: str) -> int:
    with pytest.raises(SystemExit) as left:
        cli.main(["edit", "style", *argv])
    return int(left.value.code or 0)


def test_without_a_prompt_a_picture_is_encoded_and_decoded(work: TextToImage) -> None:
    (plain,) = restyle(work, picture(32, 32))
    (expected,) = work.decode(work.latents(torch.tensor(np.array(picture(32, 32))).permute(2, 0, 1)[None] / 127.5 - 1))
    assert plain.tobytes() == expected.tobytes()
    assert restyle(work, picture(90, 41))[0].size == (90, 41)
    loras.apply(work, ["ink.safetensors:1"])
    assert restyle(work, picture(32, 32))[0].tobytes() != plain.tobytes()


def test_with_a_prompt_it_is_image_to_image(work: TextToImage) -> None:
    loras.apply(work, ["line.safetensors"])
    request = work.request("star", steps=5, seed=3, num_images=2, expand_prompt=False)
    made = restyle(work, picture(), request, 0.4)
    assert [one.tobytes() for one in made] == [one.tobytes() for one in img2img(work, picture(), request, 0.4)]


def test_edit_style_says_in_the_png_what_was_done(work: TextToImage, capsys: pytest.CaptureFixture[str]) -> None:
    picture(33, 17, seed=1).save("two.png")
    assert edit("one.png", "two.png", "--lora", "ink.safetensors:0.5", "--out", "new.png") == 0
    assert capsys.readouterr().out.split() == ["new-1.png", "new-2.png"]
    said = read_png("new-2.png")
    assert (said["edit"]["kind"], said["edit"]["picture"], said["loras"]) == ("style", "two.png", {"ink": 0.5})
    assert "prompt" not in said and Image.open("new-2.png").size == (33, 17)
    loras.apply(work, ["ink.safetensors:0.5"])
    assert Image.open("new-1.png").tobytes() == restyle(work, picture())[0].tobytes()


def test_edit_style_with_a_prompt(work: TextToImage) -> None:
    argv = ("one.png", "--lora", "line.safetensors", "--prompt", "a red star", "--steps", "5", "--num-images", "2")
    assert edit(*argv, "--strength", "0.4", "--out", "new.png") == 0
    said = read_png("new-2.png")
    assert (said["prompt"], said["seed"], said["edit"]["strength"]) == ("a red star", 43, 0.4)


@pytest.mark.parametrize(("argv", "says"), [
    (("--lora", "ink.safetensors"), "give at least one picture"), (("one.png",), "needs a LoRA"),
    (("one.png", "--lora", "line.safetensors"), "changes more than the decoder"),
    (("one.png", "--lora", "ink.safetensors", "--num-images", "2"), "nothing is left to chance"),
    (("one.png", "--lora", "ink.safetensors", "--strength", "2"), "strength"),
    (("one.png", "--lora", "none"), "no LoRA 'none'"), (("none.png", "--lora", "ink.safetensors"), "no picture none.png"),
])  # fmt: skip
def test_edit_style_refuses(work: TextToImage, argv: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert edit(*argv) == 2
    assert says in capsys.readouterr().err and not Path("output.png").exists()


# --- the measure -------------------------------------------------------------------------------------------------------


def test_closeness_is_psnr() -> None:
    truth = np.full((2, 8, 8, 3), 100, np.uint8)
    off = truth.copy()
    off[1] += 10
    assert torch.isinf(closeness(off, truth)[0])
    assert float(closeness(off, truth)[1]) == pytest.approx(20 * np.log10(25.5), abs=1e-3)


def test_style_transfer_has_to_be_better_than_nothing_and_than_no_lora() -> None:
    truth = np.stack([np.asarray(picture(16, 16, seed)) for seed in range(8)])
    near, far = truth // 2 + 60, 255 - truth
    good = figures_of({NOTHING: far, PLAIN: far, STYLED: near}, truth)
    assert good["reached"] and good["ways"][STYLED]["psnr"] > good["ways"][NOTHING]["psnr"]
    assert good["ways"][NOTHING]["behind_interval"][0] <= good["ways"][NOTHING]["behind"]
    assert not figures_of({NOTHING: far, PLAIN: near, STYLED: near}, truth)["reached"]
    assert not figures_of({NOTHING: near, PLAIN: far, STYLED: far}, truth)["reached"]


def test_evaluate_style_transfer(work: TextToImage, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["evaluate", "style-transfer", "--scenes", "3", "--steps", "4", "--strength", "0.5"]
    with pytest.raises(SystemExit) as left:
        cli.main([*argv, "--lora", "neon=ink.safetensors", "--lora", "woodcut=line.safetensors"])
    assert not left.value.code
    figures = json.loads(Path("style-transfer.json").read_text())
    assert set(figures["styles"]) == {"neon", "woodcut"} and figures["n"] == 3
    ways = figures["styles"]["neon"]["ways"]
    assert {NOTHING, PLAIN, SHUFFLED, STYLED, CEILING} < set(ways) and all(len(one["interval"]) == 2 for one in ways.values())
    assert figures["styles"]["neon"]["ways"][PLAIN] != figures["styles"]["woodcut"]["ways"][PLAIN], "other truths"
    assert "3 held-out scenes" in capsys.readouterr().out and Image.open("style-transfer.png").height > 5 * 32
    for wrong, says in ((["--strength", "0"], "strength"), (["--scenes", "1"], "scenes")):
        with pytest.raises(SystemExit) as left:
            cli.main([*argv, *wrong])
        assert left.value.code == 2 and says in capsys.readouterr().err


def test_the_shipped_loras_are_better_than_doing_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MINIDIFF_ZOO", raising=False)
    monkeypatch.chdir(tmp_path)
    figures = style_transfer.evaluate(style_transfer.StyleTransferRun(scenes=6))
    assert len(figures["styles"]) == 5 and all(row["reached"] for row in figures["styles"].values())
