"""What this machine computes on, in which precision, and how it should hand out memory. Knows nothing of any model."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from functools import cache

import torch

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # the numbers of glibc's malloc.h


def best_device() -> str:
    """cuda, else mps, else cpu."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def check_device(device: str | None) -> str:
    """A device that is there, `best_device()` for None. Raises ValueError that names those that are."""
    if device is None:
        return best_device()
    there = ["cpu", *(["cuda"] if torch.cuda.is_available() else []), *(["mps"] if best_device() == "mps" else [])]
    kind, _, number = str(device).partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if kind not in there or (":" in str(device) and not (number.isdecimal() and int(number) < count)):
        raise ValueError(f"There is no device {device!r} here: choose one of {', '.join(there)}.")
    return str(device)


def local_place() -> tuple[int, int]:
    """(number of this process, number of processes) among those that a launcher started on this machine; (0, 1) without one."""
    return int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def own_device() -> str:
    """`best_device()`, and where it is cuda, the GPU of this process."""
    device = best_device()
    return f"cuda:{local_place()[0] % torch.cuda.device_count()}" if device == "cuda" else device


DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
FASTER = 0.8    # bfloat16 is used if its product takes at most this share of float32's time: casting back and forth costs, too


def forced_dtype() -> torch.dtype | None:
    """What the environment variable MINIDIFF_DTYPE says (float32 or bfloat16), None without it. Raises ValueError for
    others."""
    name = os.environ.get("MINIDIFF_DTYPE", "")
    if name and name not in DTYPES:
        raise ValueError(f"MINIDIFF_DTYPE is {name!r}, but it must be float32 or bfloat16; unset it to let the machine decide.")
    return DTYPES.get(name)


def fastest_dtype(device: str) -> torch.dtype:
    """bfloat16 where matrix products are clearly faster in it, else float32. MINIDIFF_DTYPE overrules the measurement."""
    return forced_dtype() or _measured_dtype(device.partition(":")[0])


@cache
def _measured_dtype(kind: str) -> torch.dtype:
    """On a CPU a product is timed, once per process: some processors have bfloat16 instructions and are slower with them. GPUs
    are believed: from compute capability 8 on they have bfloat16, older ones imitate it."""
    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability()[0] >= 8 else torch.float32
    if kind != "cpu":
        return torch.float32
    seconds = product_seconds()
    return torch.bfloat16 if seconds["bfloat16"] < FASTER * seconds["float32"] else torch.float32


def product_seconds(rows: int = 128, width: int = 256, limit: float = 0.04) -> dict[str, float]:
    """The shortest time of a product (rows, width) x (width, width) on the CPU in each dtype. They take turns, so that a busy
    moment hits both; stops after `limit` seconds."""
    factors = {name: (torch.ones(rows, width, dtype=d), torch.ones(width, width, dtype=d)) for name, d in DTYPES.items()}
    shortest = dict.fromkeys(DTYPES, float("inf"))
    end = time.perf_counter() + limit
    for turn in range(12):
        for name, (a, b) in factors.items():
            began = time.perf_counter()
            a @ b
            if turn:  # the first product also sets up the library
                shortest[name] = min(shortest[name], time.perf_counter() - began)
        if turn and time.perf_counter() > end:
            break
    return shortest


def autocast(device: torch.device) -> torch.autocast:
    """Mixed precision as far as the device gains by it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=fastest_dtype(device.type) == torch.bfloat16)


@cache
def keep_memory() -> bool:
    """Have the C library keep the memory of freed tensors for the next ones. By default glibc gives every large block back
    to the system and asks for it again, zeroed page by page. Call it once, before long work on a CPU; the process then
    never shrinks. Returns whether there was a glibc to tell."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    most = 2**31 - 1
    return all([mallopt(M_MMAP_THRESHOLD, most), mallopt(M_TRIM_THRESHOLD, most), mallopt(M_TOP_PAD, 1 << 26)])
