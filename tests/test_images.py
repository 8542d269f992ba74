"""Images as arrays and tensors, blur, and the contact sheet: what lies where, and that captions can be read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from minidiff.utils import images
from minidiff.utils.images import contact_sheet, gaussian_blur, to_images, to_tensor

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (9, 9, 9)]


def flat(*colours: tuple[int, int, int], side: int = 32) -> np.ndarray:
    return np.stack([np.full((side, side, 3), colour, np.uint8) for colour in colours])


def test_arrays_go_through_tensors_and_back_unchanged() -> None:
    array = np.arange(2 * 8 * 16 * 3, dtype=np.uint8).reshape(2, 8, 16, 3)
    tensor = to_tensor(array)
    assert tensor.shape == (2, 3, 8, 16) and tensor.min() == -1 and tensor.max() <= 1
    assert np.array_equal(to_images(tensor), array)
    assert to_images(torch.full((1, 3, 2, 2), 7.0)).max() == 255, "what is out of range is cut, not wrapped round"


SHEETS = [(None, (98, 65), (33, 33)), (5, (164, 32), (132, 0)), (1, (32, 164), (0, 132))]


@pytest.mark.parametrize("columns, size, last", SHEETS)
def test_a_sheet_places_images_row_by_row(columns: int | None, size: tuple[int, int], last: tuple[int, int]) -> None:
    sheet = contact_sheet(flat(*COLOURS), columns)
    assert sheet.size == size
    assert sheet.getpixel((0, 0)) == (255, 0, 0, 255) and sheet.getpixel(last) == (9, 9, 9, 255)
    if columns is None:
        assert [sheet.getpixel(p)[:3] for p in ((33, 0), (66, 0), (0, 33))] == COLOURS[1:4]
        assert sheet.getpixel((32, 32))[3] == 0 and sheet.getpixel((70, 40))[3] == 0, "gaps and empty places are transparent"


def test_pil_images_arrays_and_a_single_one_are_taken() -> None:
    array = flat(*COLOURS)
    assert contact_sheet([Image.fromarray(a) for a in array]).tobytes() == contact_sheet(array).tobytes()
    single = contact_sheet(array[:1])
    assert single.mode == "RGB" and np.array_equal(np.asarray(single), array[0])
    with pytest.raises(ValueError, match="at least one image"):
        contact_sheet([])


def test_captions_are_below_their_images_and_marks_frame_them() -> None:
    sheet = contact_sheet(flat(*COLOURS[:3]), 3, ["one", "", "three"], [True, None, False])
    pixels = np.asarray(sheet)
    lefts = [10 + 44 * k for k in range(3)]
    assert all(tuple(pixels[20, x + 16]) == colour for x, colour in zip(lefts, COLOURS, strict=False))
    frames = [tuple(pixels[20, x - 2]) for x in lefts]
    assert frames == [(60, 160, 80), (255, 255, 255), (205, 60, 60)], "green, none, red"
    inks = [(pixels[44:, x : x + 32] < 200).any() for x in lefts]
    assert inks == [True, False, True]


def test_a_long_caption_is_wrapped_and_none_of_it_is_cut() -> None:
    text = "một ngôi sao đỏ to ở bên trái một ngôi nhà nhỏ màu xanh dương vào ban đêm\nhai"
    font = images.readable_font(11)
    lines = images.wrap(text, 60, font).splitlines()
    assert " ".join(lines) == text.replace("\n", " ") and lines[-1] == "hai"
    assert all(font.getlength(line) <= 60 for line in lines)
    short, long = (contact_sheet(flat(COLOURS[0]), captions=[caption]) for caption in ("một", text))
    rows = np.nonzero((np.asarray(long)[44:] < 200).any(axis=(1, 2)))[0]
    assert long.height > short.height and rows[-1] < long.height - 44 - 3, "the last line ends above the edge"


def test_blur_is_that_of_scipy() -> None:
    from scipy.ndimage import gaussian_filter

    x = torch.rand(2, 3, 20, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    theirs = gaussian_filter(x.numpy(), (0, 0, 2.0, 2.0), mode="nearest", radius=(0, 0, 6, 6))
    torch.testing.assert_close(gaussian_blur(x, 13, 2.0), torch.from_numpy(theirs))
