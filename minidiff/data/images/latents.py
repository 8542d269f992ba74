"""What a model's encoders make of finished shards, so that training needn't run them: beside shard-000000.tar lie

    shard-000000.latents.npy    (N, 2, C, h, w) float16: of each picture, and of its mirror image
    shard-000000.checks.npy     (N, 2) uint32: the CRC-32 of each of these
    shard-000000.tokens.npy     (all tokens, D) float16: the vectors of all captions, one after the other, without padding
    shard-000000.captions.npy   (captions, 3) int64: of each the number of its sample in the shard, where its tokens end, and
                                the CRC-32 of these tokens

and in OUT itself empty.tokens.npy, the vectors (L, D) of a text without words. Augmentation is frozen by this: no picture may
be cut otherwise later, since each crop has latents of its own. What it is not: the encoders, which are handed in
(evaluate/prepare_images.py), or the reading (encoded.py).
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from minidiff.data.images.pieces import Work
from minidiff.data.images.scoring import BATCH
from minidiff.data.shards import ShardIndex
from minidiff.utils.files import whole_file

LATENTS, CHECKS, TOKENS, CAPTIONS = ".latents.npy", ".checks.npy", ".tokens.npy", ".captions.npy"
EMPTY = "empty.tokens.npy"


@dataclass(frozen=True)
class Encoders:
    """pictures: (B, H, W, 3) uint8 to (B, C, h, w); words: texts to a list of their tokens' vectors (L, D)."""

    pictures: Callable[[NDArray[np.uint8]], NDArray[np.float16]]
    words: Callable[[list[str]], list[NDArray[np.float16]]]


def encode_shards(folder: Path, make: Callable[[], Encoders], work: Work) -> None:
    """Writes the four files of each shard that lacks one; captions.npy, the last, says that the others are there. The empty
    text comes first."""
    shards = ShardIndex(folder)
    numbers = [number for number, name in enumerate(shards.shards) if not beside(folder / name, CAPTIONS).exists()]
    firsts = [0, *shards.ends]
    with work.timed("encoding", len(shards), sum(firsts[k + 1] - firsts[k] for k in numbers)) as bar:
        encoders = make() if numbers or not (folder / EMPTY).exists() else None
        if encoders is not None and not (folder / EMPTY).exists():
            write_blocks(folder / EMPTY, [np.asarray(one, np.float16) for one in encoders.words([""])])
        for number in numbers:
            assert encoders is not None
            path, samples = folder / shards.shards[number], range(firsts[number], firsts[number + 1])
            checks: list[list[int]] = []
            write_blocks(beside(path, LATENTS), picture_blocks(shards, samples, encoders, checks))
            write_blocks(beside(path, CHECKS), [np.asarray(checks, np.uint32)])
            lines: list[tuple[int, int, int]] = []
            write_blocks(beside(path, TOKENS), token_blocks(shards, samples, encoders, lines))
            write_blocks(beside(path, CAPTIONS), [np.asarray(lines, np.int64).reshape(-1, 3)])
            bar.update(len(samples))


def beside(shard: Path, suffix: str) -> Path:
    return shard.with_name(shard.stem + suffix)


def picture_blocks(
    shards: ShardIndex, samples: range, encoders: Encoders, checks: list[list[int]]
) -> Iterator[NDArray[np.float16]]:
    """Latents of pictures and of their mirror images, (B, 2, C, h, w), a batch at a time; their checks go into `checks`."""
    for start in range(0, len(samples), BATCH):
        contents = (shards.read(k)[0] for k in samples[start : start + BATCH])
        pixels = np.stack([np.asarray(Image.open(io.BytesIO(content)).convert("RGB")) for content in contents])
        both = [encoders.pictures(one) for one in (pixels, np.ascontiguousarray(pixels[:, :, ::-1]))]
        latents = np.stack(both, axis=1).astype(np.float16)
        checks += [[zlib.crc32(view.tobytes()) for view in views] for views in latents]
        yield latents


def token_blocks(
    shards: ShardIndex, samples: range, encoders: Encoders, lines: list[tuple[int, int, int]]
) -> Iterator[NDArray[np.float16]]:
    """Tokens of all captions (T, D), a batch of samples at a time; notes (sample, end of its tokens, check) in `lines`."""
    end = 0
    for start in range(0, len(samples), BATCH):
        part = samples[start : start + BATCH]
        told = [(k - samples.start, caption["text"]) for k in part for caption in shards.read(k)[1]["captions"]]
        vectors = [np.asarray(one, np.float16) for one in encoders.words([text for _, text in told])] if told else []
        for (sample, _), vector in zip(told, vectors, strict=True):
            end += len(vector)
            lines.append((sample, end, zlib.crc32(vector.tobytes())))
        if vectors:
            yield np.concatenate(vectors)


def write_blocks(path: Path, blocks: Iterable[NDArray]) -> None:
    """Arrays (B, ...) one after the other as a single .npy, without holding them all; whole or not at all. NumPy leaves room in
    the header for the number of rows to grow, which is put there last."""
    rows, shape, kind = 0, (0,), np.dtype(np.float16)
    with whole_file(path) as file:
        for block in blocks:
            if not rows:
                shape, kind = block.shape[1:], block.dtype
                write_header(file, (0, *shape), kind)
            file.write(np.ascontiguousarray(block).tobytes())
            rows += len(block)
        file.seek(0)
        write_header(file, (rows, *shape), kind)


def write_header(file: object, shape: tuple[int, ...], kind: np.dtype) -> None:
    told = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, told)  # type: ignore[arg-type]
