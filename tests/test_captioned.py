"""Folders of images with captions, in every form that people keep them in, with the junk that lies beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from minidiff.data.captioned import DataError, read_captioned


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three images, one of them in a folder within."""
    for name in ("cat.png", "dog.JPG", "more/boat.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    return tmp_path


def found(folder: Path) -> dict[str, tuple[str, ...]]:
    return {pair.image.relative_to(folder).as_posix(): pair.captions for pair in read_captioned(folder).pairs}


def test_text_files_beside_the_images(photos: Path) -> None:
    (photos / "cat.txt").write_text("\ufeff a cat\n\ncon  mèo\n", encoding="utf-8")
    (photos / "more/boat.txt").write_text("a boat", encoding="utf-8")
    assert found(photos) == {"cat.png": ("a cat", "con mèo"), "more/boat.webp": ("a boat",)}
    assert read_captioned(photos).left_out == ((photos / "dog.JPG", "no caption"),)


TABLE = [{"file_name": "cat.png", "text": "a cat"}, {"file_name": "more/boat.webp", "text": "a boat"}]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.jsonl", "\n".join(map(json.dumps, TABLE)) + "\n\n"),
        ("captions.json", json.dumps(TABLE)),
        ("captions.json", json.dumps({"cat.png": "a cat", "more/boat.webp": ["a boat"]})),
        ("data.csv", "image,caption,width\ncat.png,a cat,8\nmore/boat.webp,a boat,8\n"),
        ("data.csv", 'File_Name ,Text\ncat.png,"a cat"\nmore/boat.webp,a boat\n'),
    ],
)
def test_tables_of_every_kind(photos: Path, name: str, text: str) -> None:
    (photos / name).write_text(text, encoding="utf-8")
    assert found(photos) == {"cat.png": ("a cat",), "more/boat.webp": ("a boat",)}


def test_captions_of_two_languages_and_of_several_files_add_up_once(photos: Path) -> None:
    (photos / "a.csv").write_text("file,caption_en,caption_vi\ncat.png,a cat,con mèo\ndog.JPG,,con chó\n", encoding="utf-8")
    (photos / "cat.txt").write_text("a cat\na black cat", encoding="utf-8")
    assert found(photos) == {"cat.png": ("a cat", "con mèo", "a black cat"), "dog.JPG": ("con chó",)}


def test_a_table_may_leave_out_the_folder_of_an_image_that_is_there_once(photos: Path) -> None:
    (photos / "captions.json").write_text(json.dumps({"boat.webp": "a boat", "cat.png": "a cat"}), encoding="utf-8")
    assert found(photos) == {"cat.png": ("a cat",), "more/boat.webp": ("a boat",)}
    Image.new("RGB", (8, 8)).save(photos / "boat.webp")
    assert found(photos) == {"boat.webp": ("a boat",), "cat.png": ("a cat",)}
    (photos / "boat.webp").rename(photos / "more/cat.png")
    (photos / "captions.json").unlink()
    (photos / "tables").mkdir()
    names = {"cat.png": "which of the two?", "old/dog.JPG": "another dog", "dog.JPG": "a dog"}
    (photos / "tables/captions.json").write_text(json.dumps(names), encoding="utf-8")
    assert found(photos) == {"dog.JPG": ("a dog",)}


def test_junk_is_named_and_does_no_harm(photos: Path) -> None:
    (photos / "cat.txt").write_text("a cat", encoding="utf-8")
    (photos / "dog.txt").write_text("a dog", encoding="utf-8")
    (photos / "dog.JPG").write_bytes(b"\xff\xd8 not a whole image")
    (photos / "Thumbs.db").write_bytes(b"x")
    (photos / "bird.txt").write_text("a bird", encoding="utf-8")
    (photos / "metadata.jsonl").write_text('{"file_name": "cow.png", "text": "a cow"}', encoding="utf-8")
    (photos / "notes.json").write_text("{broken", encoding="utf-8")
    collection = read_captioned(photos)
    assert [pair.image.name for pair in collection.pairs] == ["cat.png"]
    why = {path.name: reason for path, reason in collection.left_out}
    assert why["Thumbs.db"] == "neither an image nor a caption" and why["bird.txt"] == "a caption without its image"
    assert why["cow.png"] == "metadata.jsonl names it, but there is no such image" and why["boat.webp"] == "no caption"
    assert why["dog.JPG"].startswith("no image that can be read") and why["notes.json"].startswith("notes.json is no JSON")
    assert collection.report(2).split("\n")[0] == "1 images with 1 captions; 6 files left out."
    assert collection.report(2).endswith("... and 4 more")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.json", "[1]", "a.json: entry 1 must name an image"),
        ("a.json", '{"cat.png": 3}', "a.json holds {'cat.png': 3}; it must be a list"),
        ("a.jsonl", '{"file_name": "cat.png"}', "a.jsonl: entry 1 must name an image"),
        ("a.csv", "name,words\ncat.png,a cat\n", "a.csv: entry 1 must name an image"),
        ("cat.txt", " \n", "None of the 3 images"),
    ],
)
def test_without_any_caption_the_reason_is_said(photos: Path, name: str, text: str, says: str) -> None:
    (photos / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="None of the 3 images") as caught:
        read_captioned(photos)
    assert says in str(caught.value)


def test_no_folder_and_no_image(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no folder"):
        read_captioned(tmp_path / "nowhere")
    with pytest.raises(DataError, match="There is no image in"):
        read_captioned(tmp_path)
