"""What this machine computes on, in which precision, and how it should hand out memory. Knows nothing of any model."""

from __future__ import annotations

import ctypes
import sys
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


@cache
def fastest_dtype(device: str) -> torch.dtype:
    """bfloat16 where the machine multiplies matrices in it natively (about 4 times faster), else float32: a processor that
    has to imitate it takes three times as long as in float32."""
    if device.startswith("cuda"):
        native = torch.cuda.get_device_capability(device)[0] >= 8  # torch's own is_bf16_supported counts imitation
    else:
        probes = [getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")]
        native = device == "cpu" and any(probe() for probe in probes if probe)
    return torch.bfloat16 if native else torch.float32


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
