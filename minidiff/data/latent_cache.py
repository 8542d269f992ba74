"""The latent cache: every training image goes through an encoder once, before the training of the network begins.

The drawn world is encoded in chunks, each a file, so that a killed preparation goes on where it stopped and several processes
share the work. Caching freezes augmentation: nothing may crop or flip an image afterwards. Not here: the encoder, which is
passed in.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import render
from minidiff.data.world.scenes import WORLD_VERSION
from minidiff.utils.devices import local_place
from minidiff.utils.files import whole_file

CHUNK = 2048
Encode = Callable[[NDArray[np.uint8]], NDArray[np.float16]]
"""Images (B, H, W, 3) to latents (B, C, h, w)."""


class Images(Dataset):
    """Batches of 32 rendered scenes as uint8 (32, size, size, 3)."""

    def __init__(self, split: str, first: int, count: int, size: int) -> None:
        self.split, self.first, self.count, self.size = split, first, count, size

    def __len__(self) -> int:
        return -(-self.count // 32)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        start = self.first + index * 32
        stop = min(start + 32, self.first + self.count)
        return np.stack([render(scene_at(k, self.split), self.size).image for k in range(start, stop)])


def cached_latents(
    count: int,
    split: str,
    encoder: Callable[[], Encode],
    name: str,
    folder: Path = Path("runs/latents"),
    size: int = 128,
    place: tuple[int, int] | None = None,
) -> NDArray[np.float16]:
    """Latents of scenes 0 .. count-1 of a split, (count, C, h, w) float16; made where missing or damaged.

    encoder: gives the function that encodes; called only if something is missing. name: identifies the encoder's weights.
    Folders are named after it and the world's version, so an old cache is never mistaken for a new one. place: (number of
    this process, processes on this machine), by default the launcher's; each makes every n-th chunk and waits for the others'
    ones.
    """
    home = folder / f"{name}-world{WORLD_VERSION}-{size}-{split}"
    home.mkdir(parents=True, exist_ok=True)
    chunks = {start: min(CHUNK, count - start) for start in range(0, count, CHUNK)}
    paths = {start: home / f"{start:07d}-{start + length:07d}.npy" for start, length in chunks.items()}
    rank, ranks = local_place() if place is None else place
    own = list(chunks)[rank::ranks]
    missing = [start for start in own if read_chunk(paths[start], chunks[start]) is None]
    if missing:
        encode = encoder()
        for start in tqdm(missing, desc=f"encoding {split} images", unit="chunk", disable=rank > 0):
            images = Images(split, start, chunks[start], size)
            loader = DataLoader(images, batch_size=None, num_workers=1, prefetch_factor=4)
            with whole_file(paths[start]) as file:
                np.save(file, np.concatenate([encode(np.asarray(batch)) for batch in loader]))
    return np.concatenate([wait_for_chunk(paths[start], chunks[start]) for start in chunks])


def read_chunk(path: Path, length: int) -> NDArray[np.float16] | None:
    """The chunk in a file, or None if it isn't there or isn't whole."""
    try:
        latents = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    right = isinstance(latents, np.ndarray) and latents.ndim == 4 and len(latents) == length and latents.dtype == np.float16
    return latents if right else None


def wait_for_chunk(path: Path, length: int) -> NDArray[np.float16]:
    """A chunk that another process may still be making."""
    while (latents := read_chunk(path, length)) is None:
        time.sleep(0.2)
    return latents
