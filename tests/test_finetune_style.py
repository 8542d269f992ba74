"""Styles as LoRAs: their images and captions, the decoder's part, one command that makes them, and the zoo that keeps them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from minidiff import cli
from minidiff.data.captioned import read_captioned
from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import render
from minidiff.data.world.style_folder import PrepareStyle, captions_of, prepare_style
from minidiff.data.world.styles import STYLES
from minidiff.finetune import style
from minidiff.finetune.decoder import DecoderRun, DecoderTask, finetune_decoder
from minidiff.finetune.style import StyleRun, finetune_style
from minidiff.nn.lora import lora_layers
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.loras import LoRAs, shipped
from minidiff.pretrained import zoo
from minidiff.utils.images import to_tensor


@pytest.fixture
def work(whole_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and a copy of the tiny zoo that may be added to."""
    shutil.copytree(whole_zoo, tmp_path / "zoo")
    monkeypatch.setenv("MINIDIFF_ZOO", str(tmp_path / "zoo"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        cli.main(list(argv))
    return (int(end.value.code or 0), *capsys.readouterr())


# --- images and captions ----------------------------------------------------------------------------------------------


def test_the_folder_holds_true_renders_with_captions_that_say_all_but_the_style(tmp_path: Path) -> None:
    folder = prepare_style(PrepareStyle("pixel-art", tmp_path / "squares", 3, 48))
    assert prepare_style(PrepareStyle("pixel art", tmp_path / "squares", 3, 48)) == folder
    pairs = read_captioned(folder).pairs
    assert [pair.image.name for pair in pairs] == ["00000.png", "00001.png", "00002.png"]
    for number, pair in enumerate(pairs):
        assert (np.array(Image.open(pair.image)) == render(scene_at(number), 48, "pixel art").image).all()
        assert pair.captions == tuple(captions_of(scene_at(number), number).values()) and len(pair.captions) == 2
    words = " ".join(text for pair in pairs for text in pair.captions).lower()
    assert not any(word in words for style in STYLES for word in style.split()), words


def test_captions_say_where_things_are() -> None:
    scenes = [scene_at(number) for number in range(60)]
    open_ones = [s for s in scenes if len(s.groups) == 2 and s.relation is None and all(g.count == 1 for g in s.groups)]
    places = [any(word in captions_of(scene, 0)["text"] for word in ("left", "right", "top", "bottom")) for scene in open_ones]
    assert open_ones and sum(places) > len(places) / 2


@pytest.mark.parametrize(("options", "says"), [
    (["oil"], "There is no style 'oil': choose from outline, watercolour, pixel-art"),
    (["neon", "--images", "1"], "images is 1"), (["neon", "--size", "5"], "size is 5"),
])  # fmt: skip
def test_what_cannot_be_drawn_is_one_sentence(options: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "prepare", "style", *options)
    assert code == 2 and says in err and err.count("\n") == 1


# --- the decoder's part -----------------------------------------------------------------------------------------------


def in_style(style: str, count: int = 40) -> np.ndarray:
    return np.stack([render(scene_at(k), 32, style).image for k in range(count)])


def test_the_decoder_learns_other_images_of_the_same_latents_and_is_left_as_it_was(work: Path) -> None:
    vae = load_pipeline("world-dit", "cpu", "float32").vae
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    run = DecoderRun(out=Path("run"), steps=12, batch=8, lr=0.02, precision="no")
    factors, figures = finetune_decoder(run, vae, in_style("flat"), in_style("neon"))
    assert figures["psnr"] > figures["psnr_without"] + 1 and all(name.startswith("decoder.") for name in factors)
    assert not lora_layers(vae) and all(torch.equal(before[name], value) for name, value in vae.state_dict().items())


def test_latents_are_of_what_is_given_and_what_is_held_back_is_not_learnt(work: Path) -> None:
    vae = load_pipeline("world-dit", "cpu", "float32").vae
    given, wanted = in_style("flat", 20), in_style("neon", 20)
    task = DecoderTask(DecoderRun(), vae, given, wanted)
    mean, _ = vae.encode(to_tensor(given[3:4]))
    torch.testing.assert_close(task.latents[3:4], mean)
    torch.testing.assert_close(task.wanted, to_tensor(wanted))
    places = {one.numpy().tobytes(): k for k, one in enumerate(task.wanted)}
    seen = set()
    for index in range(20):
        batch = task.make_batch(index, 6, 0)
        for latent, one in zip(batch["latents"], batch["wanted"], strict=True):
            seen.add(place := places[one.numpy().tobytes()])
            assert torch.equal(latent, task.latents[place])
    assert seen == {0, 1, 2, 3}
    assert all(torch.equal(batch[name], task.make_batch(19, 6, 0)[name]) for name in batch)


def test_too_few_images_for_a_decoder_is_one_sentence(work: Path) -> None:
    vae = load_pipeline("world-dit", "cpu", "float32").vae
    with pytest.raises(ValueError, match="There are 16 images; the decoder needs more than 16"):
        finetune_decoder(DecoderRun(out=Path("run")), vae, in_style("flat", 16), in_style("neon", 16))


# --- one command, and the zoo -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made_once(whole_zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a style LoRA of the tiny model was made and published."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(whole_zoo, folder / "zoo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIDIFF_ZOO", str(folder / "zoo"))
        patch.chdir(folder)
        file = finetune_style(StyleRun("neon", images=20, steps=4, publish=True))
        assert file == Path("runs/neon/neon.safetensors")
    return folder


@pytest.fixture
def made(made_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the current folder."""
    shutil.copytree(made_once, tmp_path / "copy")
    monkeypatch.setenv("MINIDIFF_ZOO", str(tmp_path / "copy/zoo"))
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def test_one_command_makes_a_lora_that_sample_finds_by_its_name(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shipped() == shipped("world-dit") == shipped("world-unet") == ["neon"] and not shipped("world-pixels")
    row, vae = zoo.entry("neon"), zoo.entry("world-vae")
    assert row["config"] == {"lora": {"base": "world-vae", "style": "neon"}, "made_with": {"world-vae": vae["sha256"]}}
    assert row["recipe"] == "minidiff finetune style neon --images 20 --steps 4" and row["images_seen"] == 8
    assert {"psnr", "psnr_without"} <= row["figures"].keys()
    text, healthy = zoo.table()
    assert healthy and f"world-vae {vae['sha256'][:12]}" in next(line for line in text.splitlines() if line.startswith("neon"))

    def drawn(*names: str, model: str = "world-dit") -> bytes:
        options = [word for name in names for word in ("--lora", name)]
        assert run(capsys, "sample", "a red star", "--model", model, "--steps", "2", "--out", "a.png", *options)[0] == 0
        return Image.open("a.png").tobytes()

    assert drawn() == drawn("neon:0") and drawn("neon") == drawn("neon:1") == drawn("runs/neon/neon.safetensors")
    assert len({drawn(), drawn("neon"), drawn("neon:0.5")}) == 3
    assert drawn(model="world-unet") != drawn("neon", model="world-unet")


def test_the_network_learns_as_well_where_it_is_asked_to(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"out": Path("both"), "images": 20, "steps": 2, "network_steps": 3}
    file = finetune_style(StyleRun("pixel art", **told, publish=True))  # type: ignore[arg-type]
    row = zoo.entry("pixel-art")
    assert row["config"]["lora"]["base"] == "world-dit" and set(row["config"]["made_with"]) == {"world-dit", "world-vae"}
    assert row["recipe"] == "minidiff finetune style pixel-art --images 20 --steps 2 --network-steps 3"
    assert row["images_seen"] == 16 and {"loss", "loss_without", "psnr"} <= row["figures"].keys()
    loras = LoRAs(load_pipeline("world-dit", "cpu"))
    loras.load("pixel-art")
    assert all("pixel-art" in loras.mixers[part].updates for part in ("transformer", "vae"))
    assert shipped("world-unet") == ["neon"] and shipped("world-dit") == ["neon", "pixel-art"]
    loras.load("neon")
    assert loras.moves_latents("pixel-art") and not loras.moves_latents("neon")
    before = file.read_bytes()

    def work_again(*_: Any) -> None:
        raise AssertionError("the network learnt again")

    monkeypatch.setattr(style, "finetune_lora", work_again)
    finetune_style(StyleRun("pixel art", **told))  # type: ignore[arg-type]
    assert file.read_bytes() == before
    with pytest.raises(AssertionError, match="learnt again"):
        finetune_style(StyleRun("pixel art", **told, fresh=True))  # type: ignore[arg-type]


def test_a_decoder_that_learns_alone_gets_flat_latents_and_beside_a_network_styled_ones(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, Any] = {}

    def noted(config: DecoderRun, vae: Any, given: np.ndarray, wanted: np.ndarray) -> None:
        found.update(given=given, wanted=wanted, rank=config.rank)
        raise KeyboardInterrupt

    monkeypatch.setattr(style, "finetune_decoder", noted)
    monkeypatch.setattr(style, "learn_network", lambda run: ({}, {}))
    for steps, source, rank in ((0, "flat", 8), (5, "neon", 4)):
        with pytest.raises(KeyboardInterrupt):
            finetune_style(StyleRun("neon", images=20, network_steps=steps))
        assert (found["given"] == in_style(source, 20)).all() and (found["wanted"] == in_style("neon", 20)).all()
        assert found["rank"] == rank


def test_a_lora_of_other_weights_or_of_another_model_is_refused_in_a_sentence(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = json.loads(Path("zoo/manifest.json").read_text())
    neon = manifest["neon"]["config"]
    neon["lora"]["base"] = "world-dit"
    Path("zoo/manifest.json").write_text(json.dumps(manifest))
    code, _, err = run(capsys, "sample", "a red star", "--model", "world-unet", "--lora", "neon:0.5")
    assert code == 2 and "The LoRA 'neon' was made for world-dit, which is neither 'world-unet' nor its VAE" in err
    neon["lora"]["base"] = "world-vae"
    neon["made_with"]["world-vae"] = "0" * 64
    Path("zoo/manifest.json").write_text(json.dumps(manifest))
    code, _, err = run(capsys, "sample", "a red star", "--lora", "neon:0.5")
    assert code == 2 and "'neon' was trained with another 'world-vae' than the one here" in err and err.count("\n") == 1
    assert not zoo.table()[1]


def test_a_name_that_is_not_there_lists_those_that_are(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "sample", "a red star", "--lora", "woodcut:0.5")
    assert code == 2 and "There is no LoRA 'woodcut': the zoo has neon; or give a file or a peft folder." in err


@pytest.mark.parametrize(("options", "says"), [
    (["oil"], "There is no style 'oil'"), (["neon", "--model", "world-pixels"], "'world-pixels' is no model of the zoo that"),
    (["neon", "--steps", "0"], "steps is 0"), (["neon", "--images", "10"], "images is 10"),
])  # fmt: skip
def test_a_style_that_cannot_be_learnt_is_one_sentence(
    work: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    code, _, err = run(capsys, "finetune", "style", *options)
    assert code == 2 and says in err
