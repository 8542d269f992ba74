"""How many scenes one core draws per second, at 64 and 128 pixels, beside the goals."""

from __future__ import annotations

import time

from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import render

WANTED = {64: 400, 128: 150}  # images per second and core


def rate(size: int, seconds: float = 4.0) -> float:
    """Scenes sampled and drawn per second of processor time, so that other work on the machine doesn't count."""
    for k in range(20):
        render(scene_at(k), size)
    began, count = time.process_time(), 0
    while time.process_time() - began < seconds:
        render(scene_at(20 + count), size)
        count += 1
    return count / (time.process_time() - began)


def main() -> None:
    """Print a line per size."""
    for size, wanted in WANTED.items():
        found = rate(size)
        print(f"world at {size} px: {found:.0f} images/s on one core, {found / wanted:.1f} times the {wanted} wanted")


if __name__ == "__main__":
    main()
