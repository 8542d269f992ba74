"""Pictures that are edited: files in whatever form people keep them, as 8-bit RGB, and the square of a picture on which a model
works.

Not here: what is done with them (img2img.py, inpaint.py), masks (masks.py), and folders to train on (data/captioned.py).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from minidiff.pipelines.messages import say
from minidiff.pipelines.request import RequestError
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.utils.images import to_tensor
from minidiff.utils.validation import one_line

LEAST_SIDE, MOST_SIDE = 16, 4096  # pixels


def open_picture(file: Path | str) -> Image.Image:
    """A picture as it is in its file, turned as its camera says. Raises RequestError where there is none, or one that is
    damaged, too small or too large."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `check_size` knows better
            with Image.open(file) as opened:
                check_size(opened.size)
                return ImageOps.exif_transpose(opened)
    except RequestError:
        raise
    except (FileNotFoundError, IsADirectoryError):
        raise RequestError("picture_missing", given=str(file)) from None
    except Exception as error:  # PIL has many ways to fail on damaged files
        raise RequestError("picture_damaged", given=str(file), reason=one_line(error)) from None


def check_size(size: tuple[int, int]) -> None:
    """Raises RequestError for a width and height too small for a picture, or too large for the memory."""
    width, height = size
    if not LEAST_SIDE <= min(size) <= max(size) <= MOST_SIDE:
        raise RequestError("picture_size", width=width, height=height, least=LEAST_SIDE, most=MOST_SIDE)


def lost(picture: Image.Image, lang: str = "en") -> str:
    """A sentence on what `rgb` takes from a picture; empty where that is nothing."""
    if _has_holes(picture):
        return say("lost_alpha", lang)
    if picture.mode.startswith("I"):
        return say("lost_bits", lang)
    return say("lost_colours", lang, given=picture.mode) if picture.mode in ("CMYK", "YCbCr", "LAB", "HSV") else ""


def rgb(picture: Image.Image) -> Image.Image:
    """The picture as 8-bit RGB: white where it is transparent, the upper 8 of 16 bits. Warns of what is lost. Raises
    RequestError for floating-point pixels, whose range nobody knows, and as `check_size`."""
    check_size(picture.size)
    if picture.mode == "RGB":
        return picture
    if picture.mode == "F":
        raise RequestError("picture_numbers")
    if sentence := lost(picture):
        warnings.warn(sentence, stacklevel=2)
    if picture.mode.startswith("I"):
        return Image.fromarray((np.asarray(picture).clip(0, 65535) // 257).astype(np.uint8)).convert("RGB")
    if not _has_holes(picture):
        return picture.convert("RGB")
    flat = Image.new("RGBA", picture.size, "white")
    flat.alpha_composite(picture.convert("RGBA"))
    return flat.convert("RGB")


def _has_holes(picture: Image.Image) -> bool:
    """Whether any pixel is more or less transparent."""
    return picture.has_transparency_data and int(np.asarray(picture.convert("RGBA"))[..., 3].min()) < 255


@dataclass(frozen=True)
class Window:
    """The square of a picture on which a model works. It may reach beyond the picture, whose edges are repeated there.

    left, top, side: where it is in the picture, in pixels. size: side of what the model sees.
    """

    left: int
    top: int
    side: int
    size: int

    def square(self, picture: NDArray[Any]) -> NDArray[Any]:
        """The part of a picture or a mask, (H, W) or (H, W, C), that lies in this window, (side, side) or (side, side, C)."""
        columns = (np.arange(self.side) + self.left).clip(0, picture.shape[1] - 1)
        rows = (np.arange(self.side) + self.top).clip(0, picture.shape[0] - 1)
        return picture[rows[:, None], columns]

    def cut(self, picture: Image.Image) -> Image.Image:
        """What the model sees of a picture: size x size."""
        square = Image.fromarray(self.square(np.asarray(picture)))
        return square if self.side == self.size else square.resize((self.size, self.size), Image.Resampling.LANCZOS)

    def paste(self, picture: Image.Image, image: Image.Image) -> Image.Image:
        """The picture with the model's image (size x size) in this window."""
        if self.side != self.size:
            image = image.resize((self.side, self.side), Image.Resampling.LANCZOS)
        pasted = picture.copy()
        pasted.paste(image, (self.left, self.top))
        return pasted


def whole(picture: Image.Image, size: int) -> Window:
    """The smallest square round a picture."""
    side = max(picture.size)
    return Window(-((side - picture.width) // 2), -((side - picture.height) // 2), side, size)


def to_latent(pipeline: TextToImage, image: Image.Image) -> Tensor:
    """An image of the model's size as a normalised latent, (1, C, h, w)."""
    return pipeline.latents(to_tensor(np.array(image)[None]))
