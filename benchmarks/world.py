"""How many scenes one core draws in a second, at 64 and 128 pixels, beside the figures aimed at."""

from __future__ import annotations

import time

from minidiff.data.world.scenes import render, scene_at

WANTED = {64: 400, 128: 150}  # pictures per second and core


def rate(size: int, seconds: float = 4.0) -> float:
    """Scenes drawn per second, throwing the lots included. Pillow and NumPy use one core here."""
    for k in range(20):
        render(scene_at(k), size)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        render(scene_at(20 + count), size)
        count += 1
    return count / (time.perf_counter() - began)


def main() -> None:
    """Print a line per size."""
    for size, wanted in WANTED.items():
        found = rate(size)
        print(f"world at {size} px: {found:.0f} pictures/s on one core, {found / wanted:.1f} times the {wanted} wanted")


if __name__ == "__main__":
    main()
