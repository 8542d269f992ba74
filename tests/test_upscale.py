"""Super-resolution: the network, tiles without seams, pictures of every size, `minidiff edit upscale`, and its measures."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.testing import assert_close

from minidiff import cli
from minidiff.evaluate import upscaling
from minidiff.models.upscaler import FACTORS, Upscaler, UpscalerConfig, bicubic, shrunk
from minidiff.pipelines.png_metadata import read_png
from minidiff.pipelines.request import RequestError
from minidiff.pipelines.upscale import enlarged, fade, load_upscaler, starts, tiles, upscale
from minidiff.pretrained import zoo
from minidiff.utils.images import to_tensor


def picture(width: int = 40, height: int = 24, seed: int = 0) -> Image.Image:
    """Soft noise: no two places are alike."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def as_tensor(image: Image.Image) -> Tensor:
    return to_tensor(np.array(image)[None])


def resized_by_pillow(channels: Tensor, size: tuple[int, int]) -> Tensor:
    """(C, H, W) to the (width, height) `size`, in floating-point numbers."""
    planes = [Image.fromarray(plane.numpy()).resize(size, Image.Resampling.BICUBIC) for plane in channels]
    return torch.tensor(np.stack([np.asarray(plane) for plane in planes]))


def random_upscaler(width: int = 8, layers: int = 2) -> Upscaler:
    torch.manual_seed(0)
    model = Upscaler(UpscalerConfig(width, layers)).eval().requires_grad_(False)
    for layer in model.conv_out.values():
        torch.nn.init.normal_(layer.weight, std=0.3)  # type: ignore[arg-type]
    return model


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with two pictures, and a zoo that holds an upscaler and something else."""
    model = random_upscaler()
    zoo.add("world-upscaler", model.state_dict(), {"upscaler": asdict(model.config)}, root=tmp_path / "zoo")
    zoo.add("other", {"x": torch.zeros(1)}, {}, root=tmp_path / "zoo")
    monkeypatch.setenv("MINIDIFF_ZOO", str(tmp_path / "zoo"))
    monkeypatch.chdir(tmp_path)
    picture().save("one.png")
    picture(17, 31, seed=1).save("two.png")
    return tmp_path


# --- the network -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("size", [(40, 24), (17, 31)])
def test_it_begins_as_pillows_bicubic_interpolation(factor: int, size: tuple[int, int]) -> None:
    image = picture(*size)
    low = as_tensor(image)
    made = Upscaler(UpscalerConfig(8, 1))(low, factor).detach()[0]
    assert_close(made, resized_by_pillow(low[0], (factor * size[0], factor * size[1])), rtol=0, atol=1e-5)


@pytest.mark.parametrize("factor", FACTORS)
def test_pictures_are_made_small_as_pillow_does_it(factor: int) -> None:
    image = picture(64, 32)
    small = (shrunk(as_tensor(image), factor) + 1) * 127.5
    assert (small - small.round()).abs().max() < 1e-3, "not whole numbers"
    wanted = resized_by_pillow((as_tensor(image)[0] + 1) * 127.5, (64 // factor, 32 // factor)).clamp(0, 255)
    assert (small[0] - wanted).abs().max() <= 0.5 + 1e-3


def test_each_factor_has_its_last_layer_and_no_other_one_is_taken() -> None:
    model = random_upscaler()
    low = as_tensor(picture(16, 16))
    before = {factor: model(low, factor) for factor in FACTORS}
    model.conv_out["2"].bias += 1.0  # type: ignore[operator]
    assert not torch.equal(model(low, 2), before[2]) and torch.equal(model(low, 4), before[4])
    with pytest.raises(ValueError, match="factor is 3; it must be 2 or 4"):
        model(low, 3)


def test_a_place_depends_on_its_surroundings_alone() -> None:
    model, low = random_upscaler(), as_tensor(picture(64, 64))
    changed = low.clone()
    changed[:, :, :, -8:] = -low[:, :, :, -8:]
    one, other = model(low, 4), model(changed, 4)
    assert torch.equal(one[..., :128], other[..., :128]) and not torch.equal(one, other)


def test_a_brighter_picture_lacks_the_same() -> None:
    model, low = random_upscaler(), as_tensor(picture(24, 24)) / 2
    assert (model(low, 2) - bicubic(low, (48, 48))).abs().max() > 0.05
    assert_close(model(low + 0.25, 2), model(low, 2) + 0.25, rtol=0, atol=1e-4)


# --- tiles -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 95, 96, 97, 150, 168, 169, 1000])
def test_tiles_cover_a_side_and_overlap(length: int) -> None:
    found = starts(length, 96, 24)
    assert found[0] == 0 and (length <= 96 or found[-1] == length - 96)
    assert all(0 < after - before <= 72 for before, after in zip(found, found[1:], strict=False))


def test_no_seam_is_seen_where_tiles_meet() -> None:
    model, low = random_upscaler(), as_tensor(picture(90, 70))
    whole = model(low, 4)[0]
    joined = enlarged(model, low[0], 4, tile=40, overlap=16)
    assert len(tiles(70, 90, 40, 16)) == 12 and joined.shape == whole.shape == (3, 280, 360)
    hard = enlarged(model, low[0], 4, tile=40, overlap=1)
    assert (joined - whole).abs().max() < 0.4 * (hard - whole).abs().max()
    assert (joined - whole).abs().mean() < 1 / 255
    assert_close(enlarged(model, low[0], 4, tile=96), whole, rtol=0, atol=1e-5)


def test_a_tile_counts_less_towards_its_ends() -> None:
    assert fade(8, 4).tolist() == [0.125, 0.375, 0.625, 0.875, 0.875, 0.625, 0.375, 0.125]
    assert fade(1, 96)[0] > 0


# --- pictures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("size", [(16, 16), (17, 31), (200, 20)])
def test_the_result_has_exactly_that_many_times_the_size(factor: int, size: tuple[int, int]) -> None:
    assert upscale(random_upscaler(), picture(*size), factor).size == (factor * size[0], factor * size[1])


@pytest.mark.parametrize(("factor", "size", "says"), [
    (3, (16, 16), "must be 2 or 4, not 3"), (True, (16, 16), "not True"), (4.5, (16, 16), "not 4.5"),
    (4, (1025, 20), "more than 4096"), (2, (20, 2049), "more than 4096"), (2, (1, 1), "1 x 1"),
])  # fmt: skip
def test_what_cannot_be_done_is_refused_in_two_languages(factor: Any, size: tuple[int, int], says: str) -> None:
    with pytest.raises(RequestError, match=says) as refusal:
        upscale(random_upscaler(), Image.new("RGB", size), factor)
    assert refusal.value.text("vi") != refusal.value.text("en")


def test_forms_of_pictures(recwarn: pytest.WarningsRecorder) -> None:
    model, grey = random_upscaler(), picture().convert("L")
    assert upscale(model, grey, 2).tobytes() == upscale(model, grey.convert("RGB"), 2).tobytes()
    clear = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    assert upscale(model, clear, 2).tobytes() == upscale(model, Image.new("RGB", (16, 16), "white"), 2).tobytes()
    assert any("transparent" in str(note.message) for note in recwarn)


def test_an_upscaler_by_name_and_by_folder(work: Path) -> None:
    low = as_tensor(picture())
    assert torch.equal(load_upscaler()(low, 2), load_upscaler(work / "zoo")(low, 2))
    with pytest.raises(ValueError, match="'other' holds no upscaler"):
        load_upscaler("other")


# --- the command -------------------------------------------------------------------------------------------------------


def run(*argv: str) -> int:
    with pytest.raises(SystemExit) as left:
        cli.main(list(argv))
    return int(left.value.code or 0)


def test_edit_upscale_leaves_large_pictures_that_say_how_they_were_made(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("edit", "upscale", "one.png", "two.png", "--factor", "2", "--out", "new.png") == 0
    assert capsys.readouterr().out.split() == ["new-1.png", "new-2.png"]
    assert [Image.open(f"new-{k}.png").size for k in (1, 2)] == [(80, 48), (34, 62)]
    said = read_png("new-2.png")
    assert (said["model"], said["edit"]["kind"], said["edit"]["factor"]) == ("world-upscaler", "upscale", 2)
    assert said["edit"]["picture"] == "two.png" and len(said["model_hash"]) == 64
    assert "Edit: upscale" in Image.open("new-2.png").info["parameters"]
    assert Image.open("new-1.png").tobytes() == upscale(load_upscaler(), picture(), 2).tobytes()


@pytest.mark.parametrize(("argv", "says"), [
    ((), "give at least one picture"), (("none.png",), "no picture none.png"), (("one.png", "--factor", "3"), "--factor"),
    (("one.png", "--out", "a.jpg"), "not a .png"), (("one.png", "--model", "other"), "holds no upscaler"),
    (("one.png", "wide.png"), "more than 4096"),
])  # fmt: skip
def test_edit_upscale_refuses(work: Path, argv: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (1100, 20)).save("wide.png")
    assert run("edit", "upscale", *argv) == 2
    assert says in capsys.readouterr().err and not list(work.glob("output*"))


# --- the measures ------------------------------------------------------------------------------------------------------


def flat_maps(images: Tensor) -> list[Tensor]:
    """A stand-in for a network that looks: the picture itself, blurred."""
    return [torch.nn.functional.avg_pool2d(images, 4) + 2]


def test_bicubic_is_as_good_as_itself_and_the_truth_is_better() -> None:
    images = np.stack([np.asarray(picture(64, 64, seed)) for seed in range(6)])
    extract = {"clip": flat_maps, "judge": flat_maps}
    same = upscaling.compared(images, lambda low, factor: bicubic(low, (64, 64)), 4, extract)
    assert same["gain"] == 0 and same["ratio"] == {"clip": 1.0, "judge": 1.0} and not same["reached"]
    near = to_tensor(images) + 0.01
    better = upscaling.compared(images, lambda low, factor: near[: len(low)], 4, extract)
    assert better["gain"] > 5 and better["ratio"]["clip"] < 0.7 and better["reached"]
    assert better["gain_interval"][0] <= better["gain"] <= better["gain_interval"][1]
    blurred = upscaling.compared(images, lambda low, factor: 0 * near[: len(low)], 4, extract)
    assert blurred["gain"] < -0.5 and not blurred["reached"]


def test_squares_are_cut_without_resizing() -> None:
    images = torch.arange(2 * 3 * 8 * 12).view(2, 3, 8, 12).float()
    found = upscaling.squares(images, 4)
    assert found.shape == (12, 3, 4, 4) and torch.equal(found[1], images[0, :, :4, 4:8])
    assert torch.equal(found[6], images[1, :, :4, :4])
    value = upscaling.distance(lambda x: [upscaling.squares(x, 4)], images, images.flip(0))
    assert value.shape == (2,) and value[0] == pytest.approx(float(value[1]))


def test_evaluate_upscaler_prints_and_writes_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(upscaling, "load_upscaler", lambda name: Upscaler(UpscalerConfig(8, 1)).eval())
    assert run("evaluate", "upscaler", "--pictures", "2") == 0
    out = capsys.readouterr().out
    assert "missed by world, 128 px x2, world, 128 px x4, world, 256 px x2, world, 256 px x4" in out
    assert "true, through world-vae-2" in out and (tmp_path / "upscaler.json").exists()
    assert Image.open("upscaler.png").height > 3 * 128 > Image.open("upscaler.png").width
    assert run("evaluate", "upscaler", "--pictures", "1") == 2


def test_the_shipped_upscaler_reaches_its_bars() -> None:
    upscaler, extract = load_upscaler(), upscaling.extractors()
    assert zoo.entry("world-upscaler")["bytes"] <= 10_000_000
    for kind, images in upscaling.held_out(16, None).items():
        for factor in FACTORS:
            one = upscaling.compared(images, upscaler, factor, extract)
            assert one["reached"] and one["gain"] > 0, (kind, factor, one)
