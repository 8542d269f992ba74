"""`minidiff evaluate inpainting | super-resolution | text-to-image`: the folders they read, what they leave behind, and what
they do with bad files. Models are tiny; the networks that measure are replaced by colours, which need none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from minidiff import cli
from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import render
from minidiff.evaluate import captioned_pictures, figures, gallery, inpainting, prompt_files, super_resolution
from minidiff.evaluate.figures import Figure, mean_figure, mean_row, set_row, verdicts
from minidiff.evaluate.inpainting_data import drawn_hole
from minidiff.evaluate.instruments import Instrument, Instruments, to_floats
from minidiff.evaluate.layouts import LayoutError, read_flickr30k, read_inpainting, read_urban100
from minidiff.evaluate.published_weights import Verified

COMMANDS = (inpainting, super_resolution, captioned_pictures, prompt_files)


def picture(k: int, side: int = 64) -> Image.Image:
    return Image.fromarray(render(scene_at(k, "test"), side).image)


def colours(images: object) -> torch.Tensor:
    return torch.cat([F.adaptive_avg_pool2d(to_floats(image), 2).flatten(1) for image in images])  # type: ignore[attr-defined]


def redness(images: object, texts: object) -> torch.Tensor:
    """High where a text says red and the image is."""
    said = torch.tensor([float("red" in text) for text in texts])  # type: ignore[attr-defined]
    return said * colours(images)[:, :4].mean(dim=1)


def measuring(canonical: tuple[str, ...] = (), title: str = "ViT-B/32") -> Instruments:
    used = {"clip": Verified(Path("clip"), title, "0" * 64)} if "clip" in canonical else {}
    return Instruments(
        see=colours, see_by="colours", width=12,
        distance=lambda a, b: (a - b).abs().mean(dim=(1, 2, 3)), distance_by="LPIPS with vgg",
        scores={"clip": Instrument("CLIPScore", "redness", redness)}, canonical=frozenset(canonical), used=used,
    )  # fmt: skip


@pytest.fixture
def here(whole_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, the tiny zoo, and colours to measure by."""
    monkeypatch.setenv("MINIDIFF_ZOO", str(whole_zoo))
    monkeypatch.chdir(tmp_path)
    for module in COMMANDS:
        monkeypatch.setattr(module, "load_instruments", lambda options, device: measuring())
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        cli.main(argv)
    told = capsys.readouterr()
    return int(stop.value.code or 0), told.out, told.err


# --- folders ----------------------------------------------------------------------------------------------------------


def holes(folder: Path, count: int = 3) -> Path:
    """Good pictures 0, 1, ... with a box to paint."""
    for part in ("images", "masks", "texts"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    mask = np.zeros((64, 64), np.uint8)
    mask[20:50, 10:40] = 255
    for k in range(count):
        picture(k).save(folder / f"images/{k}.png")
        Image.fromarray(mask).save(folder / f"masks/{k}.png")
        (folder / f"texts/{k}.txt").write_text("a red star")
    return folder


def spoil(folder: Path) -> dict[str, str]:
    """Bad and odd files among the good ones, and what is said of the bad ones."""
    good = Image.open(folder / "masks/0.png")
    sixteen = Image.fromarray(np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64))
    kinds = {
        "alpha": Image.new("RGBA", (64, 64), (255, 0, 0, 90)), "cmyk": Image.new("CMYK", (64, 64), (9, 9, 9, 9)),
        "bits": sixteen,
        "dot": Image.new("RGB", (1, 1)), "small": Image.new("RGB", (20, 20)), "other": picture(9), "black": picture(8),
        "mute": picture(7), "empty": picture(7), "bare": picture(6),
    }  # fmt: skip
    for name, image in kinds.items():
        image.save(folder / "images" / f"{name}.{'tif' if name == 'cmyk' else 'png'}")
        if name != "bare":
            good.save(folder / f"masks/{name}.png")
        if name != "mute":
            (folder / f"texts/{name}.txt").write_text("" if name == "empty" else "a star")
    Image.new("L", (32, 64), 255).save(folder / "masks/other.png")
    Image.new("L", (64, 64)).save(folder / "masks/black.png")
    (folder / "images/torn.png").write_bytes(b"\x89PNG no more")
    good.save(folder / "masks/torn.png")
    (folder / "texts/torn.txt").write_text("a star")
    (folder / "texts/lost.txt").write_text("a star")
    return {
        "dot.png": "1 x 1 pixels", "small.png": "20 x 20 pixels; at least 32", "other.png": "make them the same size",
        "black.png": "black everywhere", "mute.png": "no text of its name", "empty.txt": "the text is empty",
        "bare.png": "no mask of its name", "torn.png": "no picture that can be read", "lost.txt": "a text without its picture",
    }  # fmt: skip


def test_bad_files_are_left_out_by_name_and_odd_ones_converted(tmp_path: Path) -> None:
    expected = spoil(holes(tmp_path))
    found = read_inpainting(tmp_path)
    assert [pair.name for pair in found.pairs] == ["0", "1", "2", "alpha", "bits", "cmyk"]
    told = dict(found.notes.skipped)
    assert told.keys() == expected.keys()
    assert all(words in told[name] for name, words in expected.items()), told
    lost = dict(found.notes.converted)
    assert "become white" in lost["alpha.png"] and "CMYK" in lost["cmyk.tif"] and "upper 8" in lost["bits.png"]
    for pair in found.pairs:
        image, hole = pair.read()
        assert image.mode == "RGB" and hole.sum() == 900
    assert [pair.name for pair in read_inpainting(tmp_path, most=2).pairs] == ["0", "1"]


def test_a_folder_without_pairs_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="There is no folder"):
        read_inpainting(tmp_path)
    holes(tmp_path, 1)
    Image.new("L", (64, 64)).save(tmp_path / "masks/0.png")
    with pytest.raises(LayoutError, match=r"that can be used \(1 files left out\). 0.png: The mask is black"):
        read_inpainting(tmp_path)


@pytest.mark.parametrize("flat", [False, True])
def test_urban100_is_read_as_it_comes(flat: bool, tmp_path: Path) -> None:
    places = ("image_SRF_4",) * 2 if flat else ("X4/HIGH", "X4/LOW")
    for place in places:
        (tmp_path / place).mkdir(parents=True, exist_ok=True)

    def put(name: str, high: tuple[int, int] | None, low: tuple[int, int] | None) -> None:
        for place, size, side in zip(places, (high, low), ("HR", "LR"), strict=True):
            if size:
                picture(1, 160).resize(size).save(tmp_path / place / f"{name}_SRF_4_{side}.png")

    put("img_001", (160, 128), (40, 32))
    put("img_002", (163, 130), (40, 32))
    put("img_003", (164, 128), (40, 32))
    put("img_004", (128, 128), None)
    picture(1).save(tmp_path / places[0] / "img_001_SRF_2_HR.png")
    found = read_urban100(tmp_path, 4)
    assert [pair.name for pair in found.pairs] == ["img_001", "img_002"]
    assert [pair.read()[0].size for pair in found.pairs] == [(160, 128)] * 2, "what is over is cut off"
    told = dict(found.notes.skipped)
    assert told["img_003_SRF_4_HR.png"] == "164 x 128 is not 4 times 40 x 32" and "no LR" in told["img_004_SRF_4_HR.png"]
    with pytest.raises(LayoutError, match=r"No pictures \*_SRF_2_HR and \*_SRF_2_LR of one name"):
        read_urban100(tmp_path, 2)


TABLES = {
    "captions.txt": 'image_name,caption\n0.png,"a star, red"\n0.png,a second one\ngone.png,nobody\n1.png,a house\n',
    "results.csv": "image_name| comment_number| comment\n0.png| 0| a star, red\n0.png| 1| a second one\n"
                   "gone.png|0|nobody\n1.png|0|a house\n",
    "results_20130124.token": "0.png#0\ta star, red\n0.png#1\ta second one\ngone.png#0\tnobody\n1.png#0\ta house\n",
}


@pytest.mark.parametrize("table", TABLES)
def test_flickr30k_is_read_as_it_comes(table: str, tmp_path: Path) -> None:
    folder = tmp_path / ("images" if table == "captions.txt" else "flickr30k_images/flickr30k_images")
    folder.mkdir(parents=True)
    for k in range(2):
        picture(k).save(folder / f"{k}.png")
    (tmp_path / table).write_text(TABLES[table])
    found = read_flickr30k(tmp_path)
    expected = [("0.png", ("a star, red", "a second one")), ("1.png", ("a house",))]
    assert [(pair.name, pair.captions) for pair in found.pairs] == expected
    assert found.notes.skipped == [("gone.png", f"{table} names it, but there is no such picture")]


def test_a_table_of_something_else_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="must hold a folder of pictures"):
        read_flickr30k(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "captions.txt").write_text("a,b\n1,2\n")
    with pytest.raises(LayoutError, match="must name the columns"):
        read_flickr30k(tmp_path)
    (tmp_path / "captions.txt").write_text("image_name,caption\n../secret.png,x\n")
    with pytest.raises(LayoutError, match="None of the pictures"):
        read_flickr30k(tmp_path)


# --- prepare ----------------------------------------------------------------------------------------------------------


def test_raw_pictures_become_a_folder_for_inpainting(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "raw").mkdir()
    for k in range(4):
        picture(k, 96).save(f"raw/{k}.png")
    (here / "raw/0.txt").write_text("a red star")
    Path("raw/ghost.txt").write_text("a blue ghost")
    Image.new("RGB", (1, 1)).save("raw/dot.png")
    code, out, _ = run(capsys, "prepare", "inpainting", "raw", "a/holes", "--size", "64")
    assert code == 0 and "4 pictures with masks; 2 files left out" in out and "dot.png: The picture is 1 x 1" in out
    assert "ghost.txt: a caption without its image" in out
    found = read_inpainting(here / "a/holes")
    assert [pair.text for pair in found.pairs] == ["a red star", *["a picture"] * 3] and not found.notes.skipped
    image, hole = found.pairs[0].read()
    masked = np.asarray(Image.open("a/holes/masked_images/00001.png"))
    assert (masked[hole] == 127).all() and (masked[~hole] == np.asarray(image)[~hole]).all() and image.size == (64, 64)
    rows = json.loads(Path("a/holes/metadata.json").read_text())["pictures"]
    assert [row["source"] for row in rows] == [f"{k}.png" for k in range(4)] and rows[0]["share"] == round(hole.mean(), 4)
    stats = json.loads(Path("a/holes/stats.json").read_text())
    assert stats["pictures"] == 4 and stats["skipped"] == 2 and stats["masks"] == {"brush": 2, "box": 2}
    assert run(capsys, "prepare", "inpainting", "raw", "a/holes")[0] == 2, "nothing is written over"
    run(capsys, "prepare", "inpainting", "raw", "again", "--size", "64")
    assert Path("again/masks/00002.png").read_bytes() == Path("a/holes/masks/00002.png").read_bytes()


@pytest.mark.parametrize("kind", ["box", "brush"])
def test_masks_cover_about_what_they_should_and_never_everything(kind: str) -> None:
    import random

    for seed in range(20):
        hole = drawn_hole(kind, (90, 60), (0.1, 0.3), random.Random(seed))
        assert hole.shape == (60, 90) and 0.07 < hole.mean() < 0.42
        assert not hole[0].all() and not hole[:, 0].all()


# --- pictures that are kept -------------------------------------------------------------------------------------------


def test_a_stopped_run_goes_on_and_a_finished_one_draws_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(holes(here / "data", 8))
    asked: list[str] = []
    paint = inpainting.inpaint

    def listening(pipeline: object, image: Image.Image, mask: object, request: object, **how: object) -> object:
        asked.append(request.prompt)  # type: ignore[attr-defined]
        if len(asked) == 3:
            raise KeyboardInterrupt
        return paint(pipeline, image, mask, request, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(inpainting, "inpaint", listening)
    command = ["evaluate", "inpainting", "data", "--steps", "1", "--out", "out"]
    assert run(capsys, *command)[0] == 130
    first = Path("out/inpainted_00001.png").read_bytes()
    assert run(capsys, *command)[0] == 0 and len(asked) == 3 + 9, "two of eleven were there"
    assert Path("out/inpainted_00001.png").read_bytes() == first
    report = json.loads(Path("out/evaluation_results.json").read_text())
    assert report["n"] == 11 and len(report["skipped"]) == 9 and len(report["converted"]) == 3
    assert report["run"]["largest_error_outside"] == 0 == report["figures"]["inpainted"]["largest error outside"]["value"]
    assert list(report["figures"])[:4] == ["inpainted", "mean colour", "part of another picture", "real"]
    assert report["pictures"][0]["file"] == "inpainted_00001.png"
    assert report["figures"]["real"]["edge consistency"]["value"] > 0.9

    monkeypatch.setattr("minidiff.evaluate.picture_options.load_pipeline", lambda *a, **k: pytest.fail("loaded"))
    Path("out/inpainted_00002.png").write_bytes(first)
    with pytest.raises(BaseException, match="loaded"):
        cli.main(command)  # the second file is another picture's
    monkeypatch.undo()
    monkeypatch.chdir(here)
    capsys.readouterr()
    code, _, err = run(capsys, "evaluate", "inpainting", "data", "--steps", "2", "--out", "out", "--model", "world-dit")
    assert code == 2 and err.count("\n") == 1 and "were made with other settings" in err and "steps 1, now 2" in err


def test_a_share_of_the_pictures_stays(tmp_path: Path) -> None:
    with gallery.gallery(tmp_path, "a", {"steps": 1}) as kept:
        for number in range(1, 11):
            kept.save(number, f"source {number}", picture(number))
        assert kept.finished(3, "source 3") is not None and kept.finished(3, "source 4") is None
        kept.path(2).write_bytes(kept.path(2).read_bytes()[:300])
        assert kept.finished(2, "source 2") is None and kept.finished(99, "x") is None
        kept.thin_out(10, gallery.spread(10, 0.3))
    assert sorted(file.name for file in tmp_path.glob("*.png")) == ["a_00001.png", "a_00004.png", "a_00007.png"]
    with gallery.gallery(tmp_path, "a", {"steps": 2}, fresh=True):
        assert not list(tmp_path.glob("*.png"))
    assert gallery.spread(5, 0) == [] and gallery.spread(4, 1) == [1, 2, 3, 4]


def test_somebody_else_s_pictures_are_measured_by_name(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    holes(here / "data", 4)
    (here / "done").mkdir()
    picture(0).save("done/0.png")  # the true one
    picture(5).save("done/inpainted_00002.png")
    picture(5, 48).save("done/2.png")
    code, out, err = run(capsys, "evaluate", "inpainting", "data", "--pictures", "done", "--out", "out")
    report = json.loads(Path("out/evaluation_results.json").read_text())
    assert code == 0 and report["n"] == 2 and report["run"]["largest_error_outside"] > 50, err
    assert [row["psnr"] for row in report["pictures"]][0] == figures.MOST_PSNR and "file" not in report["pictures"][0]
    assert report["skipped"] == [{"file": "2.png", "why": "it is 48 x 48 pixels and must be 64 x 64"},
                                 {"file": "3", "why": "done has no picture of this name"}]  # fmt: skip
    assert "not run, fewer than 8 pictures" in out
    code, _, err = run(capsys, "evaluate", "inpainting", "data", "--pictures", "data/texts", "--out", "out2")
    assert code == 2 and "holds no finished picture that fits" in err


# --- the other two ----------------------------------------------------------------------------------------------------


def test_super_resolution_leaves_what_it_should(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place in ("X2/HIGH", "X2/LOW"):
        (here / "urban" / place).mkdir(parents=True)
    for k in range(12):
        picture(k, 128).save(f"urban/X2/HIGH/img_{k:03}_SRF_2_HR.png")
        picture(k, 128).resize((64, 64), Image.Resampling.BICUBIC).save(f"urban/X2/LOW/img_{k:03}_SRF_2_LR.png")
    command = ["evaluate", "super-resolution", "urban", "--factor", "2"]
    code, out, err = run(capsys, *command, "--out", "out", "--save-images-ratio", "0")
    assert code == 0, err
    report = json.loads(Path("out/urban100_x2_results.json").read_text())
    rows = report["figures"]
    assert list(rows)[:4] == ["bicubic", "nearest", "real, through JPEG 75", "another picture"]
    psnr = {name: row["PSNR"]["value"] for name, row in rows.items() if "PSNR" in row}
    assert psnr["bicubic"] > psnr["nearest"] > psnr["another picture"]
    assert rows["another picture"]["edge consistency"]["value"] < 0.4 < rows["bicubic"]["edge consistency"]["value"]
    assert "FD-mini" not in rows["another picture"] and rows["real, blurred by 2 pixels"]["FD-mini"]["n"] == 12
    names = [f"result_{k:03}_{kind}.png" for k in range(10) for kind in ("hr", "sr")]
    assert sorted(file.name for file in Path("out/sample_results").iterdir()) == names
    assert not list(Path("out/x2").glob("*.png")) and "![pictures]" in Path("out/urban100_x2_results.md").read_text()
    code, _, err = run(capsys, *command, "--model", "magic")
    assert code == 2 and "choose one of bicubic" in err
    (here / "true").mkdir()
    for k in range(12):
        picture(k, 128).save(f"true/img_{k:03}_SRF_2_SR.png")
    code, _, err = run(capsys, *command, "--pictures", "true", "--out", "perfect")
    perfect = json.loads(Path("perfect/urban100_x2_results.json").read_text())["figures"]["true"]
    assert [perfect[name]["value"] for name in ("PSNR", "edge consistency", "SSIM-Y")] == [100, 1, pytest.approx(1)]


def test_brightness_is_that_of_matlab() -> None:
    from skimage.color import rgb2ycbcr

    x = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    theirs = rgb2ycbcr(x[0].permute(1, 2, 0).double().numpy())[2:-2, 2:-2, 0] / 255
    torch.testing.assert_close(super_resolution.brightness(x, 2)[0, 0].double(), torch.from_numpy(theirs), rtol=0, atol=1e-6)


def test_text_to_image_leaves_what_it_should(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "flickr/images").mkdir(parents=True)
    rows = ["image_name,caption"]
    for k in range(9):
        red = k % 3 == 0
        Image.new("RGB", (64, 64), (220, 10, 10) if red else (10, 10, 220)).save(f"flickr/images/{k}.png")
        rows.append(f"{k}.png,{'a red star' if red else 'a small blue house'}")
    rows.append(f"long.png,{'a red star ' * 30}")
    picture(1).save("flickr/images/long.png")
    (here / "flickr/captions.txt").write_text("\n".join(rows))
    command = ["evaluate", "text-to-image", "flickr", "--steps", "1", "--out", "out", "--scale", "1"]
    code, out, err = run(capsys, *command)
    assert code == 0, err
    report = json.loads(Path("out/evaluation_results.json").read_text())
    assert [one["file"] for one in report["skipped"]] == ["long.png"] and "at most 200" in report["skipped"][0]["why"]
    real, other = (report["figures"][name]["CLIPScore"]["value"] for name in ("real", "real, captions of others"))
    assert real == pytest.approx(220 / 255 / 3, rel=1e-3) and other < real / 5
    assert Path("out/evaluation_results.txt").read_text() in out and "# Text to image" in out
    assert [row["file"] for row in report["pictures"]] == [f"generated_{k:05}.png" for k in range(1, 10)]
    first = Image.open("out/generated_00001.png")
    assert json.loads(first.info["minidiff"])["seed"] == 1 and json.loads(first.info["minidiff"])["prompt"] == "a red star"
    before = Path("out/generated_00009.png").read_bytes()
    assert run(capsys, *command, "--max-samples", "9")[0] == 0
    assert Path("out/generated_00009.png").read_bytes() == before


PARTI = 'Prompt\tCategory\tChallenge\tNote\na red "star"\tArts\tBasic\t\na small blue house\tWorld Knowledge\tBasic\tx\n'
DRAWBENCH = 'Prompts,Category\n"a red ""star""",Arts\na small blue house,World Knowledge\n'


@pytest.mark.parametrize("text", [PARTI, DRAWBENCH, "\ufeff" + DRAWBENCH], ids=["parti", "drawbench", "mark"])
def test_published_suites_are_read_as_they_come(text: str, tmp_path: Path) -> None:
    (tmp_path / "suite").write_text(text, encoding="utf-8")
    found = prompt_files.read_prompts(tmp_path / "suite")
    assert [(one.prompt, one.category) for one in found] == [
        ('a red "star"', "Arts"), ("a small blue house", "World Knowledge")
    ]  # fmt: skip
    assert len(prompt_files.read_prompts(tmp_path / "suite", most=1)) == 1


@pytest.mark.parametrize(
    ("text", "says"), [("", "must name the columns"), ("a,b\n1,2", "must name the columns"), ("Prompt\n \n", "holds no prompt")]
)
def test_a_suite_without_prompts_is_one_sentence(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "suite.csv").write_text(text)
    with pytest.raises(LayoutError, match=says):
        prompt_files.read_prompts(tmp_path / "suite.csv")
    with pytest.raises(LayoutError, match="cannot be read"):
        prompt_files.read_prompts(tmp_path / "missing.csv")


def test_a_published_suite_is_measured_by_category(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["Prompts,Category", "a red star,Colors", "a small blue house,Colors"]
    rows += [f"{'a red star ' * 30},DALL-E", "a red star,Count"]
    (here / "suite.csv").write_text("\n".join(rows))
    command = ["evaluate", "prompt-file", "suite.csv", "--steps", "1", "--out", "out"]
    assert run(capsys, *command)[0] == 0
    report = json.loads(Path("out/evaluation_results.json").read_text())
    assert list(report["figures"]) == ["all prompts", "all, prompts of others", "Colors", "Count"]
    assert report["n"] == 3 and report["skipped"][0]["file"] == "prompt 3" and "at most 200" in report["skipped"][0]["why"]
    assert [one["file"] for one in report["pictures"]] == [f"prompt_{k:05}.png" for k in (1, 2, 4)]
    (here / "done").mkdir()
    for k, colour in ((1, "red"), (2, "blue"), (4, "red")):
        Image.new("RGB", (64, 64), colour).save(f"done/{k}.png")
    assert run(capsys, *command[:3], "--pictures", "done", "--out", "other")[0] == 0
    told = json.loads(Path("other/evaluation_results.json").read_text())["figures"]
    scores = {name: (row["CLIPScore"]["value"], row["CLIPScore"]["n"]) for name, row in told.items()}
    assert scores["Count"] == (1, 1) and scores["Colors"] == (0.5, 2)
    assert scores["all, prompts of others"] == (0, 2), "the same prompt is nobody else's"


@pytest.mark.parametrize(
    ("command", "options", "says"),
    [
        ("inpainting", ["--steps", "0"], "Steps must be"), ("inpainting", ["--save-images-ratio", "2"], "save_images_ratio"),
        ("text-to-image", ["--scale", "99"], "guidance scale"), ("text-to-image", ["--max-samples", "0"], "max_samples"),
        ("super-resolution", ["--factor", "3"], "--factor must be one of 2, 4"),
        ("inpainting", ["--device", "abacus"], "no device"),
        ("inpainting", [], "There is no folder"), ("text-to-image", ["--clip", "nowhere"], "There is no file nowhere"),
        ("inpainting", ["--lpips", "nowhere.pth"], "There is no file nowhere.pth"), ("super-resolution", [], "no folder"),
    ],
)  # fmt: skip
def test_bad_options_are_one_sentence(
    command: str, options: list[str], says: str, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minidiff.evaluate.picture_options.load_pipeline", lambda *a, **k: pytest.fail("loaded"))
    code, out, err = run(capsys, "evaluate", command, "missing", *options)
    assert (code, out, err.count("\n")) == (2, "", 1) and says in err, err


# --- figures ----------------------------------------------------------------------------------------------------------


def test_a_mean_has_its_interval_and_its_number() -> None:
    figure = mean_figure([0.0, 1.0, float("nan"), 1.0, 1.0])
    assert figure is not None and (figure.value, figure.n) == (0.75, 4) and figure.low < 0.75 < figure.high
    assert mean_row({"a": [float("nan")], "b": [1.0]}) == {"b": Figure(1.0, 1.0, 1.0, 1)}


def test_sets_are_compared_in_units_of_the_real_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.randn(300, 4, generator=generator), torch.randn(300, 4, generator=generator) + 0.5
    units, shift = torch.tensor([1.0, 10.0, 0.1, 3.0]), torch.tensor([5.0, -7.0, 0.0, 100.0])
    plain, moved = set_row(real, fake, scale=True), set_row(real * units + shift, fake * units + shift, scale=True)
    for key in ("fd", "kid", "precision", "recall"):
        assert moved[key].value == pytest.approx(plain[key].value, rel=1e-3)
    assert plain["fd"].value == pytest.approx(1.0, rel=0.2) and plain["fd"].low < plain["fd"].value < plain["fd"].high
    assert set_row(real * units, fake * units, scale=False)["fd"].value > 10


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [("fd", 29.9, "excellent (< 30)"), ("fd", 30, "very good (< 50)"), ("fd", 99, "good (< 100)"), ("fd", 101, "in none"),
     ("distance", 0.09, "excellent (< 0.1)"), ("distance", 0.1, "in none"), ("edges", 0.81, "excellent (> 0.8)"),
     ("clip", 0.31, "excellent (> 0.3)"), ("clip", 0.26, "good (> 0.25)"), ("clip", 0.21, "fair (> 0.2)"),
     ("clip", 0.2, "in none")],
)  # fmt: skip
def test_verdicts_follow_the_bands_and_name_their_model(key: str, value: float, said: str) -> None:
    row = {key: Figure(value, value, value, 9)}
    found = verdicts(row, measuring(("fid", "lpips", "clip")))[key]
    model = {"fd": "Inception", "distance": "LPIPS with vgg", "edges": "as it is defined here", "clip": "ViT-B/32"}[key]
    assert found.startswith(said) and model in found


def test_mini_figures_and_other_towers_have_no_verdict() -> None:
    row = {key: Figure(0.4, 0.4, 0.4, 9) for key in ("fd", "distance", "clip")}
    assert verdicts(row, measuring()) == {}
    assert list(verdicts(row, measuring(("clip",), title="ViT-L/14"))) == []


def test_controls_show_what_a_figure_is_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[[int], Image.Image] = lambda k: picture(k, 32)  # noqa: E731
    rows = figures.set_rows(measuring(), real, 24, {"same": real})
    assert rows["same"]["fd"].value == pytest.approx(0, abs=1e-6)
    assert rows["2 real ones over and over"]["recall"].value < 0.5 < rows["real, one half against the other"]["recall"].value
    assert rows["real, one half against the other"]["fd"].n == 12
    assert figures.set_rows(measuring(), real, 7, {"same": real}) == {}
