"""A pytest plugin (`-p minidiff.course.budget`) that holds every notebook run by nbmake to its budget, and writes down what
each took: minutes and peak memory of its kernel. What it is not: the table of the README, which table.py makes of it.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

MINUTES, GIGABYTES = 5.0, 3.0  # of one notebook on 2 CPU cores
MEASURED = Path("lessons/measured.json")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--budget-minutes", type=float, default=MINUTES, help="a notebook may take so long")
    parser.addoption("--budget-gigabytes", type=float, default=GIGABYTES, help="a notebook's kernel may take so much memory")
    parser.addoption("--measured", type=Path, default=None, help=f"write times and memory here, such as {MEASURED}")


def descendants(pid: int) -> list[int]:
    """The process and everything that it started, from Linux's /proc; nothing elsewhere."""
    found, queue = [], [pid]
    while queue:
        current = queue.pop()
        found.append(current)
        try:
            for task in os.listdir(f"/proc/{current}/task"):
                queue += [int(child) for child in Path(f"/proc/{current}/task/{task}/children").read_text().split()]
        except OSError:  # gone meanwhile, or no /proc
            continue
    return found


def resident(pid: int) -> int:
    """Bytes of memory that a process holds, 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


class Watch:
    """Peak memory of all children of this process between `start` and `stop`, looked at five times a second."""

    def __init__(self) -> None:
        self.peak, self.stopped = 0, threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self.stopped.wait(0.2):
            self.peak = max(self.peak, sum(resident(pid) for pid in descendants(os.getpid())[1:]))

    def start(self) -> Watch:
        self.thread.start()
        return self

    def stop(self) -> float:
        """The peak in gigabytes."""
        self.stopped.set()
        self.thread.join()
        return self.peak / 2**30


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    if item.path.suffix != ".ipynb":
        return (yield)
    watch, start = Watch().start(), time.monotonic()
    try:
        result = yield
    finally:
        minutes, gigabytes = (time.monotonic() - start) / 60, watch.stop()
        item.user_properties += [("minutes", round(minutes, 2)), ("gigabytes", round(gigabytes, 2))]
    config = item.config
    if minutes > config.getoption("--budget-minutes") or gigabytes > config.getoption("--budget-gigabytes"):
        pytest.fail(
            f"{item.path.name} took {minutes:.1f} minutes and {gigabytes:.1f} GB; its budget is "
            f"{config.getoption('--budget-minutes'):g} minutes and {config.getoption('--budget-gigabytes'):g} GB.",
            pytrace=False,
        )
    return result


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    properties = dict(report.user_properties)
    if report.when == "call" and "minutes" in properties:
        _figures[report.nodeid.split("::")[0]] = {**properties, "outcome": report.outcome}


_figures: dict[str, dict[str, Any]] = {}


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Times and memory, printed; and written where --measured says, other notebooks' figures kept."""
    if not _figures:
        return
    terminalreporter.section("notebooks")
    for name, row in sorted(_figures.items()):
        terminalreporter.write_line(f"{row['minutes']:6.2f} min {row['gigabytes']:5.2f} GB  {name}")
    total = sum(row["minutes"] for row in _figures.values())
    terminalreporter.write_line(f"{total:6.2f} min together")
    if path := config.getoption("--measured"):
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        passed = {k: {n: row[n] for n in ("minutes", "gigabytes")} for k, row in _figures.items() if row["outcome"] == "passed"}
        path.write_text(json.dumps(dict(sorted({**before, **passed}.items())), indent=1) + "\n", encoding="utf-8")
