"""What a large training is watched by: the share of the hardware's peak that it uses, the time it waits for data, its memory;
and who is told besides the CSV file.

What it is not: the loop, which asks for these figures after each step (loop.py).
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

import torch

# Dense products per second, 1e12: bfloat16 into float32, of the makers' data sheets (where these say "with sparsity", half of
# it); float16 where there is no bfloat16 (T4, V100). Named as torch.cuda.get_device_name has them; the first that fits counts.
PEAKS: tuple[tuple[str, float, str], ...] = (
    ("B200", 2250, "NVIDIA DGX B200 data sheet: 36 petaFLOPS of 8, with sparsity"),
    ("GH200", 989, "NVIDIA GH200 data sheet"),
    ("H200", 989, "NVIDIA H200 data sheet: 1,979 with sparsity"),
    ("H100 NVL", 835, "NVIDIA H100 data sheet: 1,671 with sparsity"),
    ("H100 PCIe", 756, "NVIDIA H100 data sheet: 1,513 with sparsity"),
    ("H100", 989, "NVIDIA H100 data sheet (SXM): 1,979 with sparsity"),
    ("A100", 312, "NVIDIA A100 data sheet"),
    ("L40S", 362, "NVIDIA L40S data sheet: 733 with sparsity"),
    ("L4", 121, "NVIDIA L4 data sheet: 242 with sparsity"),
    ("A10", 125, "NVIDIA A10 data sheet"),
    ("4090", 165.2, "NVIDIA Ada architecture paper, table 2"),
    ("3090", 71, "NVIDIA GA102 architecture paper, table 9"),
    ("T4", 65, "NVIDIA T4 data sheet, float16"),
    ("V100", 125, "NVIDIA V100 data sheet (SXM2), float16"),
)
SIDE = 1024  # of the matrices by which a CPU's peak is measured


def peak_of(name: str) -> float | None:
    """Operations per second of a GPU by its name, None for one that isn't in the table."""
    return next((peak * 1e12 for part, peak, _ in PEAKS if re.search(rf"\b{part}\b", name)), None)


@cache
def measured_peak(dtype: torch.dtype) -> float:
    """Operations per second of this machine's CPU: the best of some products of square matrices."""
    a, best = torch.ones(SIDE, SIDE, dtype=dtype), 0.0
    for _ in range(6):
        began = time.perf_counter()
        a @ a
        best = max(best, 2 * SIDE**3 / (time.perf_counter() - began))
    return best


def device_peak(device: torch.device, precision: str) -> float | None:
    """Of a GPU by the table, of a CPU measured in the precision of the run; None when it isn't known."""
    if device.type == "cuda":
        return peak_of(torch.cuda.get_device_name(device))
    return measured_peak(torch.bfloat16 if precision == "bf16" else torch.float32) if device.type == "cpu" else None


def peak_memory(device: torch.device) -> int:
    """Bytes that tensors took at most since the process began; on a CPU what the whole process took; 0 where the system doesn't
    say."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


class Sink(Protocol):
    """Somebody who is told each step's figures."""

    def add(self, row: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


@dataclass
class Watch:
    """flops: operations of a micro-batch, forward and backward; without it nothing is measured. sinks: made by the main process
    when the first step is done, each with the number of that step. corrections: figures made of others, such as a count of a
    share, told (row, pictures per step).
    """

    flops: Callable[[dict[str, Any]], float] | None = None
    sinks: Sequence[Callable[[int], Sink]] = ()
    corrections: Callable[[dict[str, Any], int], dict[str, float]] | None = None
    _open: list[Sink] | None = field(default=None, init=False)
    _waited: float = field(default=0.0, init=False)
    _done: float = field(default=0.0, init=False)

    def over(self, batches: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The same micro-batches; the time until each is there is noted, and what it costs."""
        iterator = iter(batches)
        while True:
            began = time.perf_counter()
            batch = next(iterator, None)
            if batch is None:
                return
            self._waited += time.perf_counter() - began
            if self.flops is not None:
                self._done += self.flops(batch)
            yield batch

    def figures(self, accelerator: Any, row: dict[str, Any], batch: int) -> dict[str, float]:
        """What is added to a step's row: data_seconds, how long this process waited for data; mfu, the model's operations as a
        share of what its device could do in the step (Chowdhery et al. 2022, appendix B); memory_gb, the most that this process
        took so far; gpus. batch: pictures per step, in all processes."""
        if self.flops is None:
            return {}
        waited, done, self._waited, self._done = self._waited, self._done, 0.0, 0.0
        peak = device_peak(accelerator.device, accelerator.mixed_precision)
        seconds = batch / row["images_per_second"]
        added = {"data_seconds": waited, "memory_gb": peak_memory(accelerator.device) / 1e9, "gpus": accelerator.num_processes}
        if peak is not None:
            added["mfu"] = done / seconds / peak
        return added | (self.corrections(row, batch) if self.corrections else {})

    def tell(self, row: dict[str, Any], main: bool) -> None:
        """Passes a row on to the sinks of the main process."""
        if main and self._open is None:
            self._open = [make(row["step"]) for make in self.sinks]
        for sink in self._open or ():
            sink.add(row)

    def close(self) -> None:
        for sink in self._open or ():
            sink.close()
        self._open = None
