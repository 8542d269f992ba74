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


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is forced, and nothing measured yet."""
    monkeypatch.delenv("MINIDIFF_DTYPE", raising=False)
    devices._measured_dtype.cache_clear()
    yield
    devices._measured_dtype.cache_clear()


def takes(monkeypatch: pytest.MonkeyPatch, float32: float, bfloat16: float) -> list[int]:
    """A processor whose products take so long; counts the measurements."""
    asked: list[int] = []

    def product_seconds() -> dict[str, float]:
        asked.append(1)
        return {"float32": float32, "bfloat16": bfloat16}

    monkeypatch.setattr(devices, "product_seconds", product_seconds)
    return asked


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [((2.0, 1.0), torch.bfloat16), ((1.0, 1.4), torch.float32), ((1.0, 0.95), torch.float32)],
)
def test_bfloat16_is_used_where_it_is_faster_whatever_the_processor_says(
    monkeypatch: pytest.MonkeyPatch, flag: bool, seconds: tuple[float, float], wanted: torch.dtype
) -> None:
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: flag, raising=False)
    asked = takes(monkeypatch, *seconds)
    assert devices.fastest_dtype("cpu") == devices.fastest_dtype("cpu:0") == wanted and len(asked) == 1
    with devices.autocast(torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == wanted
    coarse = orthogonalise(torch.randn(8, 8, generator=torch.Generator().manual_seed(0)))
    assert coarse.dtype == torch.float32 and torch.equal(coarse, coarse.bfloat16().float()) == (wanted == torch.bfloat16)


@pytest.mark.parametrize(("name", "wanted"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_an_environment_variable_forces_the_dtype(monkeypatch: pytest.MonkeyPatch, name: str, wanted: torch.dtype) -> None:
    asked = takes(monkeypatch, 1.0, 1.0)
    monkeypatch.setenv("MINIDIFF_DTYPE", name)
    assert devices.fastest_dtype("cpu") == devices.fastest_dtype("cuda") == wanted and not asked
    monkeypatch.setenv("MINIDIFF_DTYPE", "half")
    with pytest.raises(ValueError, match="MINIDIFF_DTYPE is 'half', but it must be float32 or bfloat16"):
        devices.fastest_dtype("cpu")


def test_products_are_timed_in_both_dtypes_in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10_000))
    monkeypatch.setattr(devices.time, "perf_counter", lambda: next(clock) / 1000)  # a slow machine: 1 ms between two looks
    seconds = devices.product_seconds()
    assert seconds == {"float32": pytest.approx(0.001), "bfloat16": pytest.approx(0.001)}
    assert next(clock) < 60  # looks, that is 60 ms with what comes after the last one


def test_each_process_of_a_launcher_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert devices.local_place() == (0, 1)
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert devices.local_place() == (3, 4)
    monkeypatch.setattr(devices, "best_device", lambda: "cpu")
    assert devices.own_device() == "cpu"
    monkeypatch.setattr(devices, "best_device", lambda: "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert devices.own_device() == "cuda:3"


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
    assert devices.fastest_dtype("cuda:1") == dtype


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
