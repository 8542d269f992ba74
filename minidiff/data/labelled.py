"""Images kept on disk together with a map that says which thing each pixel belongs to.

Drawing an image costs time that training needs, so the VAE's training draws each image once and reads it many times. The
drawn world and emoji both come in this form. What it is not: a set of latents (`latent_cache`), nor a list of captions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import Render, render
from minidiff.data.world.scenes import WORLD_VERSION
from minidiff.utils.files import whole_file

SHARD = 1024  # images per file
Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # an image (H, W, 3) and its things (H, W)


def things_of(drawn: Render) -> NDArray[np.uint8]:
    """For each pixel of a drawn scene, 0 for the backdrop or k + 1 for its k-th thing: (H, W) uint8. Needs the masks."""
    covered = drawn.masks > 127                                                     # (N, H, W)
    numbers = np.arange(1, len(covered) + 1, dtype=np.uint8)[:, None, None]
    return (covered * numbers).max(0).astype(np.uint8)                              # the last one drawn lies on top


def world_pair(index: int, split: str = "train", size: int = 128) -> Pair:
    """Image and things of a scene of the drawn world."""
    drawn = render(scene_at(index, split), size, masks=True)
    return drawn.image, things_of(drawn)


@dataclass(frozen=True)
class Labelled:
    """Images (N, H, W, 3) and things (N, H, W), both uint8, in files of SHARD images that are mapped, not read."""

    shards: list[tuple[np.ndarray, np.ndarray]]

    def __len__(self) -> int:
        return sum(len(images) for images, _ in self.shards)

    def __getitem__(self, index: int) -> Pair:
        shard, row = divmod(index % len(self), SHARD)
        images, things = self.shards[shard]
        return images[row], things[row]


def keep_images(folder: Path, name: str, count: int, make: Callable[[int], Pair]) -> Labelled:
    """The images make(0) to make(count - 1), from `folder` where they lie there already, else made and put there.

    A file appears whole or not at all, so a stopped call goes on where it was. `name` must change whenever `make` would
    give other images."""
    shards = []
    for start in tqdm(range(0, count, SHARD), desc=f"drawing {name}", unit="file", disable=_whole(folder, name, count)):
        rows = min(SHARD, count - start)
        images, things = (folder / f"{name}-{start:06d}+{rows}-{part}.npy" for part in ("images", "things"))
        if not (images.exists() and things.exists()):
            pairs = [make(k) for k in range(start, start + rows)]
            for path, part in zip((images, things), zip(*pairs, strict=True), strict=True):
                with whole_file(path) as file:
                    np.save(file, np.stack(part))
        shards.append((np.load(images, mmap_mode="r"), np.load(things, mmap_mode="r")))
    return Labelled(shards)


def _whole(folder: Path, name: str, count: int) -> bool:
    """Whether nothing is left to draw."""
    last = (count - 1) // SHARD * SHARD
    return (folder / f"{name}-{last:06d}+{count - last}-things.npy").exists()


def kept_world(folder: Path, count: int, size: int = 128, split: str = "train") -> Labelled:
    """The first `count` scenes of a split, drawn at `size` pixels."""
    return keep_images(folder, f"world{WORLD_VERSION}-{split}-{size}", count, lambda k: world_pair(k, split, size))
