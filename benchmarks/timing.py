"""Fair timing of two things on a machine that does other work too: in turns, and by medians."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence


def interleaved(contestants: Sequence[Callable[[], object]], rounds: int, warm_up: int = 2) -> list[float]:
    """Median seconds of each contestant. They run in turns, in an order that is reversed every other round, so that a
    machine that slows down for a while slows all of them."""
    for _ in range(warm_up):
        for run in contestants:
            run()
    seconds: list[list[float]] = [[] for _ in contestants]
    gc.collect()
    gc.disable()
    try:
        for k in range(rounds):
            for index in range(len(contestants)) if k % 2 == 0 else reversed(range(len(contestants))):
                began = time.perf_counter()
                contestants[index]()
                seconds[index].append(time.perf_counter() - began)
    finally:
        gc.enable()
    return [statistics.median(times) for times in seconds]
