"""The processes of one run: which of them this is, and how they wait for each other as long as it takes."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Any

import torch.distributed as dist
from accelerate.state import PartialState
from accelerate.utils import parse_flag_from_env

from minidiff.utils.devices import best_device


def on_cpu() -> bool:
    """Whether training runs on the CPU: there is nothing else, or `accelerate launch --cpu` says so. accelerate must be told,
    or processes on a CPU don't find each other and each trains alone."""
    return best_device() == "cpu" or parse_flag_from_env("ACCELERATE_USE_CPU")


def join() -> PartialState:
    """This process's place among those that a launcher started; the first call connects them."""
    return PartialState(cpu=on_cpu())


class Processes:
    """rank: number of this process, from 0. count: how many there are; 1 without a launcher."""

    def __init__(self) -> None:
        state = join()
        self.rank, self.count = state.process_index, state.num_processes
        self.group = patient_group() if self.count > 1 else None

    def gather(self, value: Any) -> list[Any]:
        """Every process's value, by rank."""
        if self.group is None:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value, group=self.group)
        return values

    def wait(self) -> None:
        """Returns when all processes are here."""
        self.gather(None)


@cache
def patient_group() -> Any:
    """A group over gloo whose members wait for days. NCCL gives up after ten minutes, and a validation may take longer."""
    return dist.new_group(backend="gloo", timeout=timedelta(days=7))
