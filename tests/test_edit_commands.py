"""`minidiff edit` with tiny models: what each command leaves, what stands in the PNG, what is refused before drawing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minidiff import cli
from minidiff.pipelines.png_metadata import read_png

ROOM = "a red star"


@pytest.fixture
def work(whole_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with a picture, 40 x 24, and a mask of its left half."""
    monkeypatch.setenv("MINIDIFF_ZOO", str(whole_zoo))
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save("room.png")
    hole = np.zeros((24, 40), np.uint8)
    hole[:, :20] = 255
    Image.fromarray(hole).save("mask.png")
    return tmp_path


def edit(*argv: str) -> int:
    with pytest.raises(SystemExit) as left:
        cli.main(["edit", *argv])
    return int(left.value.code or 0)


def pixels(path: str) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_img2img_draws_each_picture_anew_for_each_seed(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(pixels("room.png")[:, ::-1]).save("mirror.png")
    assert edit("img2img", ROOM, "room.png", "mirror.png", "--num-images", "2", "--steps", "4", "--out", "new.png") == 0
    assert capsys.readouterr().out.split() == [f"new-{k}.png" for k in (1, 2, 3, 4)]
    drawn = [pixels(f"new-{k}.png") for k in (1, 2, 3, 4)]
    assert all(one.shape == (24, 40, 3) for one in drawn) and len({one.tobytes() for one in drawn}) == 4
    assert edit("img2img", ROOM, "mirror.png", "--num-images", "2", "--steps", "4", "--out", "again.png") == 0
    assert (pixels("again-2.png") == drawn[3]).all(), "a picture's result depends on the others"


def test_the_picture_and_the_strength_stand_in_the_png(work: Path) -> None:
    assert edit("img2img", ROOM, "room.png", "--strength", "0.5", "--steps", "4", "--seed", "7", "--out", "new.png") == 0
    said = read_png("new.png")["edit"]
    assert (said["kind"], said["strength"], said["picture"]) == ("img2img", 0.5, "room.png")
    assert len(said["picture_sha256"]) == 64


def test_inpainting_keeps_what_the_mask_keeps(work: Path) -> None:
    assert edit("inpaint", ROOM, "room.png", "mask.png", "--steps", "3", "--resample", "1", "--out", "new.png") == 0
    before, after = pixels("room.png"), pixels("new.png")
    assert (before[:, 20:] == after[:, 20:]).all() and (before[:, :20] != after[:, :20]).any()


def test_outpainting_keeps_the_picture(work: Path) -> None:
    assert edit("outpaint", ROOM, "room.png", "--aspect", "2:1", "--steps", "3", "--resample", "1", "--out", "new.png") == 0
    assert pixels("new.png").shape == (24, 48, 3) and (pixels("new.png")[:, 4:44] == pixels("room.png")).all()


@pytest.mark.parametrize("given", [[], ["--picture", "room.png"]])
def test_words_leave_the_old_picture_beside_the_new_one(
    given: list[str], work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert edit("words", ROOM, "a blue star", "--steps", "3", "--out", "new.png", *given) == 0
    assert capsys.readouterr().out.split()[-2:] == ["new.png", "new-before.png"]
    assert pixels("new.png").shape == pixels("new-before.png").shape == ((24, 40, 3) if given else pixels("new.png").shape)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["img2img", ROOM], "give at least one picture"),
        (["img2img", ROOM, "none.png"], "none.png"),
        (["img2img", ROOM, "room.png", "--strength", "0"], "strength must be"),
        (["img2img", ROOM, "room.png", "--strength", "0.01"], "strength"),
        (["img2img", ROOM, "room.png", "--out", "a.jpg"], "not a .png"),
        (["img2img", ROOM, "room.png", "--lora", "none"], "There is no LoRA 'none'"),
        (["inpaint", ROOM, "room.png", "small.png"], "mask is 16 x 16"),
        (["inpaint", ROOM, "room.png", "black.png"], "black everywhere"),
        (["inpaint", ROOM, "room.png", "mask.png", "--resample", "0"], "1 to 20"),
        (["inpaint", ROOM, "pixel.png", "pixel.png"], "1 x 1"),
        (["inpaint", ROOM, "room.png", "broken.png"], "broken.png"),
        (["outpaint", ROOM, "room.png"], "Nothing is added"),
        (["outpaint", ROOM, "room.png", "--aspect", "wide"], "wide"),
        (["outpaint", ROOM, "room.png", "--aspect", "2:1", "--left", "4"], "leave the sides out"),
        (["words", ROOM, ROOM], "the same"),
        (["words", ROOM, "a blue star", "--weight", "blue"], '"red star=2"'),
        (["words", ROOM, "a blue star", "--cross-share", "2"], "0 to 1"),
        (["words", ROOM, "a blue star", "--picture", "room.png", "--num-images", "2"], "there is one result"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_nothing_is_drawn(
    argv: list[str], says: str, work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (16, 16), 255).save("small.png")
    Image.new("L", (40, 24)).save("black.png")
    Image.new("L", (1, 1), 255).save("pixel.png")
    Path("broken.png").write_bytes(Path("mask.png").read_bytes()[:60])
    assert edit(*argv) == 2
    err = capsys.readouterr().err
    assert says in err and err.count("\n") == 1, err
    assert not list(work.glob("output*"))
