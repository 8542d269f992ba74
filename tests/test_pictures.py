"""Pictures in the forms that people keep them in, and the square of them that a model sees."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minidiff.pipelines.pictures import Window, lost, open_picture, rgb, whole
from minidiff.pipelines.request import RequestError

SIZE = (20, 16)


def ramp(channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (16, 20, channels), dtype=np.uint8)


def half_clear(mode: str) -> Image.Image:
    """Red, its left half transparent."""
    alpha = np.full((16, 20), 255, np.uint8)
    alpha[:, :10] = 0
    image = Image.new("RGB", SIZE, "red")
    image.putalpha(Image.fromarray(alpha))
    if mode == "P":
        return image.quantize(8)
    return image.convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_becomes_white_and_that_is_said(mode: str, tmp_path: Path) -> None:
    half_clear(mode).save(tmp_path / "a.png")
    with pytest.warns(UserWarning, match="they become white"):
        flat = np.asarray(rgb(open_picture(tmp_path / "a.png")))
    assert (flat[:, :10] == 255).all() and not (flat[:, 10:] == 255).all(axis=-1).any()
    assert "trong suốt" in lost(half_clear(mode), "vi")


LOSSLESS: dict[str, Callable[[], Image.Image]] = {
    "RGB": lambda: Image.fromarray(ramp()),
    "opaque RGBA": lambda: Image.fromarray(np.concatenate([ramp(), np.full((16, 20, 1), 255, np.uint8)], axis=-1)),
    "grey": lambda: Image.fromarray(ramp()[..., 0]),
    "palette": lambda: Image.fromarray(ramp()).quantize(16),
    "black and white": lambda: Image.fromarray(ramp()[..., 0]).convert("1"),
}


@pytest.mark.parametrize("form", LOSSLESS)
def test_nothing_is_said_where_nothing_is_lost(form: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = rgb(LOSSLESS[form]())
    assert made.mode == "RGB" and made.size == SIZE
    assert made.tobytes() == LOSSLESS[form]().convert("RGB").tobytes()


def test_of_16_bits_the_upper_8_are_kept(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 320).round().astype(np.uint16).reshape(16, 20)
    Image.fromarray(values).save(tmp_path / "deep.png")
    with pytest.warns(UserWarning, match="more than 8 bits"):
        made = np.asarray(rgb(open_picture(tmp_path / "deep.png")))
    assert made.min() == 0 and made.max() == 255 and (np.diff(made[..., 0].astype(int).flatten()) >= 0).all()


def test_ink_becomes_light_and_that_is_said(tmp_path: Path) -> None:
    Image.new("CMYK", SIZE, (0, 255, 255, 0)).save(tmp_path / "print.jpg", quality=95)
    with pytest.warns(UserWarning, match="colours are CMYK"):
        made = np.asarray(rgb(open_picture(tmp_path / "print.jpg")))
    assert made[..., 0].min() > 200 and made[..., 1:].max() < 60


def test_a_picture_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.fromarray(ramp()).save(tmp_path / "photo.png", exif=exif)
    assert open_picture(tmp_path / "photo.png").size == (16, 20)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no file": (lambda path: None, "There is no picture"),
    "a folder": (lambda path: path.mkdir(), "There is no picture"),
    "text": (lambda path: path.write_text("a red star"), "no picture that can be read"),
    "empty": (lambda path: path.write_bytes(b""), "no picture that can be read"),
    "cut short": (
        lambda path: (Image.fromarray(ramp()).save(path), path.write_bytes(path.read_bytes()[:-300])), "that can be read"
    ),
    "one pixel": (lambda path: Image.new("RGB", (1, 1)).save(path), "1 x 1 pixels, but each side must have 16 to"),
    "a line": (lambda path: Image.new("1", (9000, 16)).save(path), "9000 x 16 pixels"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_picture_is_said_in_a_sentence(case: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    BAD[case][0](path)
    with pytest.raises(RequestError, match=BAD[case][1]) as refusal:
        open_picture(path)
    assert "\n" not in str(refusal.value) and refusal.value.text("vi") != str(refusal.value)


def test_floating_point_pixels_and_a_single_one_are_refused() -> None:
    with pytest.raises(RequestError, match="floating-point"):
        rgb(Image.fromarray(np.zeros((16, 20), np.float32)))
    with pytest.raises(RequestError, match="1 x 1"):
        rgb(Image.new("RGB", (1, 1)))


def test_a_window_of_the_model_s_size_changes_no_pixel() -> None:
    picture = Image.fromarray(ramp()[:, :16])
    window = whole(picture, 16)
    assert window == Window(0, 0, 16, 16)
    assert window.cut(picture).tobytes() == picture.tobytes()
    assert window.paste(Image.new("RGB", (16, 16)), picture).tobytes() == picture.tobytes()


def test_beyond_the_picture_its_edges_are_repeated() -> None:
    picture = Image.fromarray(ramp())
    square = np.asarray(whole(picture, 20).cut(picture))
    assert whole(picture, 20) == Window(0, -2, 20, 20)
    assert (square[2:18] == ramp()).all() and (square[:2] == ramp()[0]).all() and (square[18:] == ramp()[-1]).all()


@pytest.mark.parametrize("window", [Window(3, 2, 8, 8), Window(-4, 6, 12, 12), Window(10, 5, 8, 32)])
def test_outside_of_the_window_the_picture_stays(window: Window) -> None:
    picture = Image.fromarray(ramp())
    pasted = np.asarray(window.paste(picture, Image.new("RGB", (window.size,) * 2, (1, 2, 3))))
    rows, columns = np.mgrid[:16, :20]
    inside = (rows >= window.top) & (rows < window.top + window.side)
    inside &= (columns >= window.left) & (columns < window.left + window.side)
    assert (pasted[inside] == (1, 2, 3)).all() and (pasted[~inside] == ramp()[~inside]).all() and inside.any()
