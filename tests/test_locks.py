"""Locks keep two writers apart, whoever they are and however they end; files name themselves when they cannot be written."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from minidiff.utils import files, locks
from minidiff.utils.locks import LockedError, locked

WAYS = ["system", "existence"]
HOLD = """
import sys, time
from minidiff.utils import locks
if sys.argv[2] == "existence":
    locks.fcntl = None
with locks.locked(sys.argv[1], "It"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """By the system's lock, and by a file's existence where the system has none."""
    if request.param == "existence":
        monkeypatch.setattr(locks, "fcntl", None)
    return request.param


def test_a_lock_is_held_once_and_leaves_nothing_behind(tmp_path: Path, way: str) -> None:
    path = tmp_path / "deep" / "lock"
    with locked(path, "The thing"):
        with pytest.raises(LockedError, match=f"The thing is in use by process {os.getpid()} on .*: wait") as refusal:
            with locked(path, "The thing"):
                pass
        assert "\n" not in str(refusal.value)
    with locked(path, "The thing"):
        pass
    assert not list(path.parent.iterdir())


def test_an_error_inside_frees_it(tmp_path: Path, way: str) -> None:
    with pytest.raises(KeyError), locked(tmp_path / "lock", "It"):
        raise KeyError
    with locked(tmp_path / "lock", "It"):
        pass


def test_waiting_ends_when_the_other_is_done(tmp_path: Path, way: str) -> None:
    entered, order = threading.Event(), []

    def first() -> None:
        with locked(tmp_path / "lock", "It"):
            entered.set()
            time.sleep(0.2)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait(5)
    with locked(tmp_path / "lock", "It", timeout=30):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_threads_never_overlap(tmp_path: Path, way: str) -> None:
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(10):
            with locked(tmp_path / "lock", "It", timeout=60):
                inside += 1
                most = max(most, inside)
                time.sleep(0.001)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_killed_process_frees_it(tmp_path: Path, way: str) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path), way], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match=f"process {other.pid} on "), locked(path, "It"):
            pass
        other.kill()
    with locked(path, "It", timeout=5):
        pass


def test_a_lock_of_another_machine_is_never_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "fcntl", None)
    (tmp_path / "lock.held").write_text("1 another-machine\n")
    with pytest.raises(LockedError, match="process 1 on another-machine"), locked(tmp_path / "lock", "It", timeout=0.1):
        pass


def test_where_the_system_s_lock_does_not_work_a_file_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, "not on this drive")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with locked(tmp_path / "lock", "It"):
        assert [path.name for path in tmp_path.iterdir()] == ["lock.held"]
        with pytest.raises(LockedError), locked(tmp_path / "lock", "It"):
            pass
    assert not list(tmp_path.iterdir())


def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_whole(tmp_path / "kept", b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device.*kept"):
        files.write_whole(tmp_path / "kept", b"new")
    assert (tmp_path / "kept").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1
