"""Images as arrays and tensors, blurred, and side by side on a contact sheet with captions."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

FRAMES = {True: (60, 160, 80), False: (205, 60, 60)}  # green: right; red: wrong


def to_tensor(images: np.ndarray) -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) float in -1..1."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_images(images: Tensor) -> np.ndarray:
    """(B, 3, H, W) in -1..1 to (B, H, W, 3) uint8."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def gaussian_window(size: int = 11, sigma: float = 1.5) -> Tensor:
    """A 1-D Gaussian that sums to 1, (size,). The 2-D one is its outer product, so images are blurred axis by axis."""
    x = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    weights = torch.exp(-(x**2) / (2 * sigma**2))
    return weights / weights.sum()


def gaussian_blur(x: Tensor, size: int, sigma: float) -> Tensor:
    """Gaussian blur with a window of `size` (odd) and deviation `sigma` pixels; edges are repeated. x (B, C, H, W)."""
    channels, half = x.shape[1], size // 2
    kernel = gaussian_window(size, sigma).to(x).expand(channels, 1, 1, -1)
    x = F.conv2d(F.pad(x, (half, half, half, half), mode="replicate"), kernel, groups=channels)
    return F.conv2d(x, kernel.transpose(-1, -2), groups=channels)


def contact_sheet(
    images: Sequence[Any] | np.ndarray,
    columns: int | None = None,
    captions: Sequence[str] | None = None,
    marks: Sequence[bool | None] | None = None,
) -> Image.Image:
    """Images of one size as one, row by row.

    images: PIL images, or arrays (H, W, 3) uint8. columns: by default the squarest grid. captions: a text for each, wrapped
    below it on white; without captions the gaps are transparent. marks: with captions, a green (True) or red (False) frame.
    Raises ValueError when there are no images.
    """
    tiles = [image if isinstance(image, Image.Image) else Image.fromarray(np.asarray(image)) for image in images]
    if not tiles:
        raise ValueError("A contact sheet needs at least one image.")
    columns = min(columns or math.ceil(math.sqrt(len(tiles))), len(tiles))
    if captions is not None:
        return _captioned(tiles, columns, captions, marks or [None] * len(tiles))
    width, height = tiles[0].size
    gap = max(1, width // 32) if len(tiles) > 1 else 0
    size = (columns * (width + gap) - gap, math.ceil(len(tiles) / columns) * (height + gap) - gap)
    sheet = Image.new("RGBA" if gap else "RGB", size)
    for k, tile in enumerate(tiles):
        sheet.paste(tile, (k % columns * (width + gap), k // columns * (height + gap)))
    return sheet


def _captioned(tiles: list[Image.Image], columns: int, captions: Sequence[str], marks: Sequence[bool | None]) -> Image.Image:
    font, (width, height) = readable_font(11), tiles[0].size
    texts = [wrap(caption, width, font) for caption in captions]
    pitch = height + 18 + 14 * max(text.count("\n") + 1 for text in texts)
    sheet = Image.new("RGB", (columns * (width + 12) + 8, math.ceil(len(tiles) / columns) * pitch + 8), "white")
    draw = ImageDraw.Draw(sheet)
    for k, (tile, text, mark) in enumerate(zip(tiles, texts, marks, strict=True)):
        x, y = 10 + k % columns * (width + 12), 8 + k // columns * pitch
        if mark is not None:
            draw.rectangle((x - 3, y - 3, x + width + 2, y + height + 2), outline=FRAMES[mark], width=3)
        sheet.paste(tile, (x, y))
        draw.multiline_text((x, y + height + 5), text, fill=(40, 40, 40), font=font, spacing=2)
    return sheet


def readable_font(size: int) -> Any:
    """A font with Vietnamese letters if there is one (matplotlib brings one), else Pillow's own."""
    places = ["DejaVuSans.ttf"]
    with contextlib.suppress(ImportError):
        import matplotlib

        places.append(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"))
    for place in places:
        with contextlib.suppress(OSError):
            return ImageFont.truetype(place, size)
    return ImageFont.load_default(size=size)


def wrap(text: str, width: int, font: Any) -> str:
    """Break text so that no line is wider than `width` pixels, as far as its words allow."""
    done: list[str] = []
    for paragraph in text.splitlines():
        done.append("")
        for word in paragraph.split():
            longer = f"{done[-1]} {word}".strip()
            if done[-1] and font.getlength(longer) > width:
                done.append(word)
            else:
                done[-1] = longer
    return "\n".join(done)
