"""Devices, precisions and memory: what the machine has decides, and it is said plainly what it has not."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from minidiff.train.optim import orthogonalise
from minidiff.utils import devices


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[bool]:
    """A processor that computes in bfloat16 itself, or one that has to imitate it."""
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: request.param, raising=False)
    devices.fastest_dtype.cache_clear()
    yield request.param
    devices.fastest_dtype.cache_clear()


@pytest.mark.parametrize("processor", [True, False], indirect=True)
def test_bfloat16_is_used_where_the_processor_has_it_and_only_there(processor: bool) -> None:
    wanted = torch.bfloat16 if processor else torch.float32
    assert devices.fastest_dtype("cpu") == wanted
    with devices.autocast(torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == wanted
    coarse = orthogonalise(torch.randn(8, 8, generator=torch.Generator().manual_seed(0)))
    assert coarse.dtype == torch.float32 and torch.equal(coarse, coarse.bfloat16().float()) == processor


def test_a_device_that_is_not_there_is_refused() -> None:
    assert devices.check_device(None) == devices.best_device()
    assert devices.check_device("cpu") == "cpu"
    for device in ("tpu", "cpu:", "cpu:abc", "cpu:1", "cuda:99", ""):
        with pytest.raises(ValueError, match=f"no device '{device}' here: choose one of cpu"):
            devices.check_device(device)


@pytest.mark.parametrize(("capability", "dtype"), [((7, 5), torch.float32), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)])
def test_a_gpu_older_than_ampere_imitates_bfloat16(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    assert devices.fastest_dtype.__wrapped__("cuda") == dtype


FAULTS = """
import resource, sys, torch
from minidiff.utils.devices import keep_memory
if sys.argv[1] == "keep":
    assert keep_memory()
def work():
    for _ in range(20):
        torch.ones(12_000_000)  # 48 MB: more than glibc ever keeps by itself
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_memory_that_was_freed_is_used_again_without_asking_the_system() -> None:
    if platform.libc_ver()[0] != "glibc":  # another C library cannot be told, and that is said
        assert not devices.keep_memory()
        return
    faults = {
        how: int(subprocess.run([sys.executable, "-c", FAULTS, how], check=True, capture_output=True, text=True).stdout)
        for how in ("keep", "as it is")
    }
    assert faults["keep"] < faults["as it is"] / 10, faults
