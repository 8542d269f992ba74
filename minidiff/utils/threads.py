"""The same work for many items, several at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")
R = TypeVar("R")


def side_by_side(work: Callable[[T], R], items: Sequence[T], workers: int | None = None, **bar: Any) -> Iterator[R]:
    """work(item) for all items, in their order, `workers` (by default as many as there are cores) at once, under a progress
    bar. Threads do for Pillow and NumPy, which let each other run. bar: as of tqdm."""
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        try:
            yield from tqdm(pool.map(work, items), total=len(items), **bar)
        finally:
            pool.shutdown(cancel_futures=True)  # Ctrl-C doesn't wait for what hasn't begun
