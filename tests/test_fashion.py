"""The preparation of fashion data: each planted fault is found, good images are kept, and nothing is left half done."""

from __future__ import annotations

import csv
import io
import json
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from minidiff.cli import main
from minidiff.data.captioned import DataError, read_captioned
from minidiff.data.fashion import prepare as preparation
from minidiff.data.fashion.drawing import draw
from minidiff.data.fashion.faults import COPIES, FAULTS, MENDED, Entry, encoded
from minidiff.data.fashion.filters import CAPTION, GREY, NEAR, NOT_CHOSEN, Limits, inspect, load_rgb, sharpness
from minidiff.data.fashion.garments import Garment
from minidiff.data.fashion.prepare import COLUMNS, TABLE, PrepareFashion, prepare_fashion, read_fashion
from minidiff.data.fashion.raw_data import PrepareGarments, plans, prepare_garments, truth_of
from minidiff.data.fashion.scores import score
from minidiff.data.images.duplicates import difference, fingerprint, pairs_alike, repeated
from minidiff.utils.files import whole_folder
from minidiff.utils.locks import LockedError, locked

RED = Garment("dress", "red", "striped", "white", "short", "round", "long")
TOLD = {"caption": "a striped red dress", "caption_vi": "váy kẻ sọc đỏ và trắng"}


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.fromarray(draw(RED, 320, 1))


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw data set in which every fault occurs once or twice."""
    out = tmp_path_factory.mktemp("raw") / "garments"
    prepare_garments(PrepareGarments(out, images=72, size=344, faults=0.4, seed=5))
    return out


@pytest.fixture(scope="module")
def prepared(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "fashion"
    prepare_fashion(PrepareFashion(source=raw, out=out, size=128, zip=True))
    return out


@pytest.fixture
def good(tmp_path: Path, photo: Image.Image) -> Path:
    """Three good images of different dresses in a folder, with captions.json beside them that has their bare names."""
    (tmp_path / "mine/images").mkdir(parents=True)
    colours = {"1.png": "red", "2.png": "blue", "3.png": "yellow"}
    for name, colour in colours.items():
        Image.fromarray(draw(Garment("hat", colour), 256, 3)).save(tmp_path / "mine/images" / name)
    table = [{"image": name, "caption": f"a {colour} hat with a ribbon"} for name, colour in colours.items()]
    (tmp_path / "mine/captions.json").write_text(json.dumps(table), encoding="utf-8")
    return tmp_path / "mine"


def report_of(out: Path) -> dict[str, Any]:
    return json.loads((out.with_name(f"{out.name}-report") / "report.json").read_text(encoding="utf-8"))


def prepared_again(source: Path, out: Path, **options: Any) -> dict[str, Any]:
    prepare_fashion(PrepareFashion(source=source, out=out, size=64, **options))
    return report_of(out)


# --- one image -------------------------------------------------------------------------------------------------------


def planted(fault: str, photo: Image.Image, folder: Path, seed: int = 1) -> tuple[Path, tuple[str, ...]]:
    """A file with a fault, and its captions."""
    entry = Entry(".jpg", encoded(photo), dict(TOLD))
    FAULTS[fault].plant(entry, photo, random.Random(seed))
    path = folder / f"1{entry.suffix}"
    if entry.content is not None:
        path.write_bytes(entry.content)
    return path, tuple(entry.captions.values()) if entry.told else ()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fault", [name for name in FAULTS if name not in (*COPIES, "missing")])
def test_a_fault_is_found_or_mended(fault: str, seed: int, photo: Image.Image, tmp_path: Path) -> None:
    seen = inspect(*planted(fault, photo, tmp_path, seed), Limits())
    assert (seen.reason or MENDED) == FAULTS[fault].expected
    if FAULTS[fault].expected == MENDED:
        assert bool(seen.mended) == (fault != "16 bits"), "Pillow reads colour of 16 bits as 8 without a word"


@pytest.mark.parametrize("fault", [name for name, fault in FAULTS.items() if fault.expected == MENDED])
def test_mended_images_look_as_they_should(fault: str, photo: Image.Image, tmp_path: Path) -> None:
    image = np.asarray(load_rgb(planted(fault, photo, tmp_path)[0]), float)
    assert image.shape == (320, 320, 3)
    if fault == "transparent":
        assert (image[:8] == 255).all(), "on white, not on black"
        image[:10] = image[-10:] = image[:, :10] = image[:, -10:] = 0
    margin = 12 if fault == "transparent" else 0
    inner = slice(margin, 320 - margin)
    assert np.abs(image - np.asarray(photo, float))[inner, inner].mean() < (7 if fault == "palette" else 3)


def test_grey_images_of_16_bits_are_scaled_not_cut_off(photo: Image.Image, tmp_path: Path) -> None:
    grey = photo.convert("L")
    Image.fromarray(np.asarray(grey, np.uint16) * 257).save(tmp_path / "1.png")
    assert np.abs(np.asarray(load_rgb(tmp_path / "1.png"), float)[..., 0] - np.asarray(grey, float)).max() <= 1
    assert inspect(tmp_path / "1.png", ("a grey dress",), Limits()).reason == GREY
    assert inspect(tmp_path / "1.png", ("a grey dress",), Limits(grey="convert")).reason == ""


def test_photographs_with_a_preview_behind_them_are_jpeg_files(photo: Image.Image, tmp_path: Path) -> None:
    photo.save(tmp_path / "1.jpg", "MPO", save_all=True, append_images=[photo.resize((80, 80))])
    with Image.open(tmp_path / "1.jpg") as image:
        assert image.format == "MPO"
    seen = inspect(tmp_path / "1.jpg", ("a red dress",), Limits(formats=("JPEG",)))
    assert (seen.reason, seen.mended, seen.width) == ("", (), 320)


@pytest.mark.parametrize(
    ("fault", "off"),
    [
        ("small", {"min_size": 0, "min_sharpness": 0}), ("blurred", {"min_sharpness": 0}), ("banner", {"max_aspect": 0}),
        ("grey", {"grey": "convert"}), ("short caption", {"min_characters": 0}),
    ],
)  # fmt: skip
def test_each_filter_can_be_switched_off(fault: str, off: dict[str, Any], photo: Image.Image, tmp_path: Path) -> None:
    assert inspect(*planted(fault, photo, tmp_path), Limits(**off)).reason == ""


def test_only_captions_that_are_long_enough_are_kept(photo: Image.Image, tmp_path: Path) -> None:
    photo.save(tmp_path / "1.png")
    assert inspect(tmp_path / "1.png", ("a dress", "a red dress"), Limits()).captions == ("a red dress",)
    assert inspect(tmp_path / "1.png", ("a dress", "dress"), Limits()).detail == "'a dress'"


def test_sharpness_falls_with_blur_and_depends_little_on_size_and_contrast(photo: Image.Image) -> None:
    blurs = [sharpness(photo.filter(ImageFilter.GaussianBlur(radius))) for radius in (0, 1, 2, 4)]
    assert blurs[0] > 20 and blurs[3] < 3 and blurs == sorted(blurs, reverse=True)
    flat = sharpness(ImageEnhance.Contrast(photo).enhance(0.3))
    assert 0.6 < flat / blurs[0] < 1.6
    large = Image.fromarray(draw(RED, 512, 1))
    assert sharpness(large) > 20 and sharpness(large.filter(ImageFilter.GaussianBlur(6))) < 3


# --- duplicates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["encoded again", "resized", "moved"])
def test_copies_differ_by_less_than_two_photographs_of_the_same(fault: str, photo: Image.Image, tmp_path: Path) -> None:
    again = fingerprint(Image.fromarray(draw(RED, 320, 2)))
    own = fingerprint(photo)
    for seed in range(4):
        copy = fingerprint(load_rgb(planted(fault, photo, tmp_path, seed)[0]))
        assert difference(own, copy) < Limits().near < difference(own, again)


def test_colours_are_told_apart() -> None:
    """The same drawing with red, green and blue exchanged, so that their mean stays the same."""
    orange = fingerprint(Image.fromarray(draw(Garment("hat", "orange"), 128, 3)))
    books = [orange, np.roll(orange, 1, axis=2), orange]
    assert pairs_alike(np.stack(books)) == [(0, 2)] and repeated(books, 2.0) == {2: 0}


def test_the_first_of_several_is_kept_and_blocks_change_nothing(photo: Image.Image) -> None:
    own, other = fingerprint(photo), fingerprint(Image.fromarray(draw(RED, 320, 2)))
    assert repeated([other, own, own, other, own], 2.0) == {2: 1, 3: 0, 4: 1}
    assert repeated([own, own], 0) == {} and repeated([], 2.0) == {}
    stack = np.stack([other, own, own, other, own])
    assert pairs_alike(stack, block=2) == pairs_alike(stack)


# --- a folder --------------------------------------------------------------------------------------------------------


def test_all_planted_faults_are_dealt_with_and_nothing_good_is_lost(raw: Path, prepared: Path) -> None:
    found = score(json.loads(truth_of(raw).read_text(encoding="utf-8")), report_of(prepared))
    assert set(found.by_fault) == set(FAULTS), "every fault was planted"
    assert (found.found, found.right, found.lost) == (found.planted, found.planted, 0), str(found)
    assert found.planted + found.good == 72 and found.planted == 29


def test_the_report_adds_up(prepared: Path) -> None:
    report = report_of(prepared)
    assert report["found"] == 72 == report["kept"] + sum(report["refused"].values())
    assert len(report["refused_files"]) == 72 - report["kept"] and len(report["kept_files"]) == report["kept"]
    assert set(report["mended"]) == {"CMYK", "P", "transparency", "turned", "wrong extension"}
    folder = prepared.with_name("fashion-report")
    assert all(Image.open(folder / name).width > 900 for name in ("kept.png", "refused.png"))


def test_what_is_prepared_is_an_ordinary_folder_of_captioned_images(prepared: Path) -> None:
    collection = read_captioned(prepared)
    assert len(collection.pairs) == report_of(prepared)["kept"] and collection.left_out == ()
    assert all(len(pair.captions) == 2 for pair in collection.pairs)
    for pair in collection.pairs:
        with Image.open(pair.image) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (128, 128))


def test_splits_and_the_table(raw: Path, prepared: Path) -> None:
    train, validation = (read_fashion(prepared, split) for split in ("train", "validation"))
    kept = report_of(prepared)["kept"]
    assert len(validation) == round(0.08 * kept) and len(train) + len(validation) == kept
    assert not {pair.image for pair in train} & {pair.image for pair in validation}
    with open(prepared / TABLE, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS and len(rows) == 2 * kept
    for row in rows:
        assert load_rgb(raw / row["original"]).size == (int(row["width"]), int(row["height"]))
    with pytest.raises(DataError, match="no split 'test'"):
        read_fashion(prepared, "test")
    with pytest.raises(DataError, match="run `minidiff prepare fashion` first"):
        read_fashion(raw, "train")


def test_the_same_command_gives_the_same_bytes(raw: Path, prepared: Path, tmp_path: Path) -> None:
    prepare_fashion(PrepareFashion(source=raw, out=tmp_path / "fashion", size=128, zip=True, workers=1))
    files = {path.relative_to(prepared): path.read_bytes() for path in prepared.rglob("*") if path.is_file()}
    again = {path.relative_to(tmp_path / "fashion"): path.read_bytes() for path in (tmp_path / "fashion").rglob("*.*")}
    assert files == again
    assert prepared.with_name("fashion.zip").read_bytes() == (tmp_path / "fashion.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "fashion.zip") as archive:
        assert {Path(name) for name in archive.namelist()} == {Path("fashion") / name for name in files}


def test_raw_data_is_the_same_each_time_and_counts_what_was_asked_for(tmp_path: Path) -> None:
    for name in ("one", "two"):
        prepare_garments(PrepareGarments(tmp_path / name, images=12, size=64, faults=0.5, seed=3, workers=2))
    contents = [{p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*")} for n in ("one", "two")]
    assert contents[0] == contents[1]
    planned = plans(600, 512, 0.25, 0)
    assert len(planned) == 600 and sum(plan.fault is not None for plan in planned) == 150
    assert [plan.number for plan in planned] == list(range(1, 601))
    copied = [plan.copy_of for plan in planned if plan.copy_of]
    assert len(copied) == len(set(copied)) and all(planned[number - 1].fault is None for number in copied)
    assert planned != plans(600, 512, 0.25, 1)
    assert {plan.garment.pattern for plan in plans(60, 512, 0.25, 0, plain=True)} == {"plain"}
    assert len({plan.garment.pattern for plan in planned}) > 1


def test_a_users_folder_with_bare_names_in_its_table(good: Path, tmp_path: Path) -> None:
    report = prepared_again(good, tmp_path / "out")
    assert report["kept"] == 3 and report["refused"] == {}
    captions = [pair.captions for pair in read_captioned(tmp_path / "out").pairs]
    assert captions == [("a red hat with a ribbon",), ("a blue hat with a ribbon",), ("a yellow hat with a ribbon",)]


def test_a_random_choice(good: Path, tmp_path: Path) -> None:
    reports = [prepared_again(good, tmp_path / f"out{seed}", images=1, seed=seed) for seed in range(6)]
    assert all(report["kept"] == 1 and report["refused"] == {NOT_CHOSEN: 2} for report in reports)
    assert len({report["kept_files"][0]["file"] for report in reports}) > 1
    assert read_fashion(tmp_path / "out0", "validation") == (), "the only image is for training"


def test_of_equal_files_and_near_ones_one_is_kept_unless_switched_off(good: Path, tmp_path: Path) -> None:
    (good / "images/4.png").write_bytes((good / "images/1.png").read_bytes())
    with Image.open(good / "images/2.png") as image:
        image.resize((262, 259)).save(good / "images/5.png")
    (good / "images/more.json").write_text(json.dumps(dict.fromkeys(("4.png", "5.png"), "a hat with a ribbon")))
    assert prepared_again(good, tmp_path / "a")["refused"] == {"duplicate": 1, NEAR: 1}
    refused = {row["file"]: row["detail"] for row in report_of(tmp_path / "a")["refused_files"]}
    assert refused == {"images/4.png": "of 1.png", "images/2.png": "of 5.png"}, "the larger one of the near ones is kept"
    assert prepared_again(good, tmp_path / "b", duplicates=False, near=0)["kept"] == 5


def test_enhancement_is_mild_and_can_be_switched_off(good: Path, tmp_path: Path) -> None:
    images = {}
    for name in (True, False):
        prepare_fashion(PrepareFashion(source=good, out=tmp_path / str(name), size=256, enhance=name))
        images[name] = np.asarray(load_rgb(tmp_path / str(name) / "images/00001.jpg"), float)
    original = np.asarray(load_rgb(good / "images/1.png"), float)
    assert np.abs(images[False] - original).mean() < 2 < np.abs(images[True] - original).mean() < 8
    assert images[True].std() > images[False].std()


def test_tall_images_are_cut_not_squeezed(good: Path, tmp_path: Path) -> None:
    with Image.open(good / "images/1.png") as image:
        tall = Image.new("RGB", (256, 448), (10, 200, 30))
        tall.paste(image, (0, 96))
        tall.save(good / "images/1.png")
    prepare_fashion(PrepareFashion(source=good, out=tmp_path / "out", size=256, enhance=False))
    cut = np.asarray(load_rgb(tmp_path / "out/images/00001.jpg"), float)
    assert np.abs(cut - np.asarray(load_rgb(good / "images/1.png"), float)[96:352]).mean() < 2


def test_other_files_and_what_is_missing_are_named(good: Path, tmp_path: Path) -> None:
    (good / "Thumbs.db").write_bytes(b"x")
    (good / "more.json").write_text(json.dumps({"lost.png": "a hat that is lost", "old.gif": "a hat of another time"}))
    Image.new("RGB", (300, 300)).save(good / "old.gif")
    report = prepared_again(good, tmp_path / "out")
    assert report["refused"] == {"missing": 1, "format": 1} and report["found"] == 5
    assert report["other_files"] == [{"file": "Thumbs.db", "what": "neither an image nor a caption"}]


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_run_that_is_stopped_leaves_nothing_and_the_next_one_works(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(tmp_path.rglob("*"))
    written = []

    def stop(row: Any, folder: Path, config: Any) -> Path:
        written.append(row)
        (folder / row.name).write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "write_image", stop)
        with pytest.raises(KeyboardInterrupt):
            prepared_again(good, tmp_path / "out")
    assert written and sorted(tmp_path.rglob("*")) == before
    (tmp_path / ".out.unfinished/images").mkdir(parents=True)
    (tmp_path / ".out.unfinished/images/99999.jpg").write_bytes(b"of a process that was killed")
    assert prepared_again(good, tmp_path / "out")["kept"] == 3
    assert sorted(path.name for path in (tmp_path / "out/images").iterdir()) == ["00001.jpg", "00002.jpg", "00003.jpg"]
    assert not (tmp_path / ".out.unfinished").exists()


def test_folders_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "a/new") as folder:
        (folder / "x").write_text("x")
        assert not (tmp_path / "a/new").exists()
    assert (tmp_path / "a/new/x").read_text() == "x"
    with pytest.raises(ValueError, match="is there already"), whole_folder(tmp_path / "a/new"):
        pass
    with pytest.raises(ValueError, match="is there already"), whole_folder(tmp_path / "a/new/x"):
        pass
    (tmp_path / "empty").mkdir()
    with whole_folder(tmp_path / "empty") as folder:
        (folder / "y").write_text("y")
    assert (tmp_path / "empty/y").exists()
    with locked(tmp_path / ".other.lock", "it"), pytest.raises(LockedError), whole_folder(tmp_path / "other"):
        pass


@pytest.mark.parametrize("out", ["mine/out", "mine", ".", "mine/images/../out"])
def test_a_folder_inside_the_other_is_refused(out: str, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(good.parent)
    with pytest.raises(ValueError, match="the same or one in the other: choose another --out"):
        PrepareFashion(source=Path("mine"), out=Path(out))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--images", "0"], "images is 0, but it must be a whole number of at least 1."),
        (["--validation", "1"], "validation is 1.0, but it must be a finite number from 0 to 0.9."),
        (["--formats", "jpeg", "tiff"], "There is no format 'TIFF': choose from JPEG, PNG, WEBP, BMP."),
        (["--out", "there"], "there is there already: choose another place, or remove it first."),
        (["--min-size", "300"], "None of the 3 images in mine passes: the table says why."),
    ],
)
def test_bad_input_is_one_sentence(
    options: list[str], says: str, good: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(good.parent)
    Path("there").mkdir()
    Path("there/something").write_text("x")
    with pytest.raises(SystemExit) as stop:
        main(["prepare", "fashion", "mine", "--out", "out", *options])
    said = capsys.readouterr().err.splitlines()[-1]
    assert stop.value.code == 2 and said.replace(" (see minidiff prepare fashion --help)", ".") == f"minidiff: {says}"
    assert not Path("out").exists()


def test_without_captions_the_reason_is_said(tmp_path: Path, photo: Image.Image) -> None:
    (tmp_path / "a").mkdir()
    photo.save(tmp_path / "a/1.png")
    (tmp_path / "a/captions.json").write_text("{broken")
    with pytest.raises(DataError, match="None of the 1 images in .* has a caption. captions.json is no JSON"):
        prepare_fashion(PrepareFashion(source=tmp_path / "a", out=tmp_path / "b"))


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for argv in (["garments", "--out", "raw", "--images", "10", "--size", "342", "--faults", "0.2"],
                 ["fashion", "raw", "--out", "out", "--size", "64"]):  # fmt: skip
        with pytest.raises(SystemExit) as stop:
            main(["prepare", *argv])
        assert stop.value.code == 0
    said = capsys.readouterr().out
    assert "10 images, 2 of them with faults, are in raw; raw-truth.json tells which." in said
    assert "reason" in said and "images/s." in said and len(read_captioned(Path("out")).pairs) >= 8


# --- scores ----------------------------------------------------------------------------------------------------------


def test_scores_count_families_and_reasons() -> None:
    files = {
        "a": {"fault": None, "copy_of": None}, "b": {"fault": "resized", "copy_of": "a"},
        "c": {"fault": None, "copy_of": None}, "d": {"fault": "blurred", "copy_of": None},
        "e": {"fault": "cmyk", "copy_of": None}, "f": {"fault": None, "copy_of": None},
    }  # fmt: skip

    def found(**refused: str) -> tuple[int, int, int]:
        rows = [{"file": name, "reason": reason} for name, reason in refused.items()]
        result = score({"files": files}, {"refused_files": rows})
        assert (result.planted, result.good) == (3, 3)
        return result.found, result.right, result.lost

    assert found(b=NEAR, d="blurred") == found(a=NEAR, d="blurred") == (3, 3, 0), "either of two alike may go"
    assert found() == (1, 1, 0) and found(a=NEAR, b=NEAR) == (2, 2, 1)
    assert found(c="blurred", f=NOT_CHOSEN, d=CAPTION, e=GREY) == (1, 0, 1)


def test_the_truth_tells_how_a_file_was_drawn(raw: Path) -> None:
    truth = json.loads(truth_of(raw).read_text(encoding="utf-8"))
    name, row = next((name, row) for name, row in truth["files"].items() if row["fault"] is None and name.endswith(".png"))
    assert (np.asarray(load_rgb(raw / name)) == draw(Garment(**row["garment"]), row["size"], row["seed"])).all()
    assert Image.open(io.BytesIO((raw / name).read_bytes())).format == "PNG"
