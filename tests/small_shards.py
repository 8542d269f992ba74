"""Small prepared shards for tests: pictures of noise in several sizes, whose latents and text vectors need no network."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from minidiff.data.images.engines import Here
from minidiff.data.images.latents import Encoders, encode_shards
from minidiff.data.images.pieces import Work
from minidiff.data.shards import Sample, write_index, write_shard

SIZES = {"48x96": 7, "64x64": 20, "96x48": 9}
PER_SHARD = 8


def png(number: int, width: int, height: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 255, (height, width, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def pictures(pixels: np.ndarray) -> np.ndarray:
    """(B, H, W, 3) to (B, 4, H/8, W/8): means of pixels, so that a picture and its mirror image differ."""
    batch, height, width, _ = pixels.shape
    means = pixels.reshape(batch, height // 8, 8, width // 8, 8, 3).mean((2, 4)).transpose(0, 3, 1, 2) / 16 - 8
    return np.concatenate([means, means[:, :1] ** 2], axis=1).astype(np.float16)


def words(width: int, texts: list[str]) -> list[np.ndarray]:
    """A vector for each word and one for the end; they follow from the text."""
    return [np.random.default_rng(zlib.crc32(text.encode())).normal(size=(1 + len(text.split()), width)).astype(np.float16)
            for text in texts]  # fmt: skip


def make_shards(folder: Path, sizes: Mapping[str, int] = SIZES, width: int = 16, by: str = "a made up model") -> Path:
    """Shards of so many pictures of each size, the k-th with 1 + k % 2 captions."""
    number, shards = 0, []
    for name, count in sizes.items():
        across, down = map(int, name.split("x"))
        for start in range(0, count, PER_SHARD):
            samples = []
            for k in range(start, min(start + PER_SHARD, count)):
                captions = [{"text": f"picture {number} of {name}"}, {"text": f"it is number {number}"}][: 1 + k % 2]
                samples.append(Sample(f"{number:09d}", "png", png(number, across, down), {"captions": captions}))
                number += 1
            path = folder / name / f"shard-{start // PER_SHARD:06d}.tar"
            write_shard(path, samples)
            shards.append((name, path))
    write_index(folder, shards)
    (folder / "prepared.json").write_text(json.dumps({"latents": by}))
    encode_shards(folder, lambda: Encoders(pictures, lambda texts: words(width, texts)), Work(folder / "work", Here(), 8))
    return folder
