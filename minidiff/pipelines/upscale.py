"""Super-resolution: a picture of any size, with twice or four times its width and height.

    upscaler = load_upscaler()
    large = upscale(upscaler, Image.open("star.png"), 4)

A large picture is cut into tiles that overlap, and where they do, one fades into the next; so the memory that is needed doesn't
grow with the picture, and no seam is seen. Small pictures are taken to be large ones that were made small by bicubic
interpolation; grain and JPEG's blocks are enlarged as if they were details. What it is not: the network (models/upscaler.py),
or Stable Diffusion's upscaler, which invents details by a prompt (latent_upscale.py).
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from minidiff.models.upscaler import FACTORS, Upscaler
from minidiff.pipelines.loading import ready
from minidiff.pipelines.pictures import MOST_SIDE, rgb
from minidiff.pipelines.request import RequestError
from minidiff.pipelines.text_to_image import to_pil
from minidiff.pretrained import zoo
from minidiff.pretrained.configs import build_model
from minidiff.utils.devices import check_device
from minidiff.utils.images import to_tensor

UPSCALER = "world-upscaler"
TILE, OVERLAP = 96, 24  # pixels of the small picture


def found(name: Path | str) -> tuple[str, Path | None]:
    """(name of a row, its zoo) for the name of a row, or for the folder of a training run, which is a zoo of its own."""
    folder = Path(name).expanduser()
    return (UPSCALER, folder) if folder.is_dir() and UPSCALER in zoo.manifest(folder) else (str(name), None)


def load_upscaler(name: Path | str = UPSCALER, device: str | None = None) -> Upscaler:
    """An upscaler of the zoo, or of the folder of a finished training run. Raises ValueError when there is none, or its files
    are damaged."""
    settings, state = zoo.load(*found(name))
    if "upscaler" not in settings:
        raise ValueError(f"{str(name)!r} holds no upscaler; the one that is shipped is {UPSCALER}.")
    model = build_model(Upscaler, settings["upscaler"], state, str(name))
    return ready(model, check_device(device)).to(memory_format=torch.channels_last)


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along a side: evenly, and so that two neighbours share at least `overlap`."""
    if length <= tile:
        return [0]
    count = math.ceil((length - overlap) / (tile - overlap))
    return [round(k * (length - tile) / (count - 1)) for k in range(count)]


def tiles(height: int, width: int, tile: int = TILE, overlap: int = OVERLAP) -> list[tuple[slice, slice]]:
    """(rows, columns) of each tile; together they cover all of height x width."""
    return [
        (slice(top, min(top + tile, height)), slice(left, min(left + tile, width)))
        for top in starts(height, tile, overlap) for left in starts(width, tile, overlap)
    ]  # fmt: skip


def fade(length: int, overlap: int) -> Tensor:
    """How much a tile counts along its side, (length,): 1 inside, and less and less within `overlap` of its ends."""
    place = torch.arange(length) + 0.5
    return (torch.minimum(place, length - place) / overlap).clamp(max=1)


@torch.inference_mode()
def enlarged(
    upscaler: Upscaler, low: Tensor, factor: int, tile: int = TILE, overlap: int = OVERLAP, progress: bool | None = False
) -> Tensor:
    """low (3, h, w) in -1..1 to (3, factor h, factor w), tile by tile, on the CPU. progress: True shows a bar on stderr, None
    only if that is a terminal."""
    _, height, width = low.shape
    total = torch.zeros(3, factor * height, factor * width)
    weight = torch.zeros(factor * height, factor * width)
    device = next(upscaler.parameters()).device
    silent = None if progress is None else not progress
    for rows, columns in tqdm(tiles(height, width, tile, overlap), unit="tile", disable=silent, leave=False):
        part = low[None, :, rows, columns].to(device).contiguous(memory_format=torch.channels_last)
        made = upscaler(part, factor)[0].float().cpu()
        share = fade(made.shape[1], factor * overlap)[:, None] * fade(made.shape[2], factor * overlap)
        place = (..., slice(factor * rows.start, factor * rows.stop), slice(factor * columns.start, factor * columns.stop))
        total[place] += share * made
        weight[place] += share
    return total / weight


def check_factor(size: tuple[int, int], factor: object) -> None:
    """Raises RequestError for a factor that isn't 2 or 4, and for a picture, (width, height), that would become too large."""
    if factor not in FACTORS or isinstance(factor, bool):
        raise RequestError("factor", given=repr(factor))
    if int(factor) * max(size) > MOST_SIDE:  # type: ignore[call-overload]
        raise RequestError("factor_size", width=size[0], height=size[1], factor=factor, most=MOST_SIDE)


def upscale(upscaler: Upscaler, picture: Image.Image, factor: int = 4, progress: bool | None = False) -> Image.Image:
    """The picture with `factor` (2 or 4) times its width and height.

    picture: of any form, see `pictures.rgb`. progress: as for `enlarged`. Raises RequestError (a ValueError) for a factor or a
    picture that won't do.
    """
    check_factor(picture.size, factor)
    low = to_tensor(np.array(rgb(picture))[None])[0]
    return to_pil(enlarged(upscaler, low, factor, progress=progress))
