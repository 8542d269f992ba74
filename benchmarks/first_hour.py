"""docs/first-hour.md followed word by word in an empty environment, with the seconds of every step.

`make dist && python -m benchmarks.first_hour --dist dist` serves that folder in place of the release, and runs the page's
commands in a new folder with a new HOME and none of this shell's variables but the ways to programs and package indexes. Where
the page goes to a browser, the server's first answer is waited for; where it goes through a notebook, the same cells are run by
nbclient of the new environment. What it is not: a test (tests/test_first_hour.py) that the page's answers are what it says.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from minidiff.doctor import processor
from minidiff.utils import release
from minidiff.utils.files import write_whole

ROOT = Path(__file__).parents[1]
PAGES = {"en": ROOT / "docs/first-hour.md", "vi": ROOT / "docs/gio-dau.md"}
SERVERS = {"app": "http://127.0.0.1:7860", "lab": "http://127.0.0.1:8888/api"}  # what answers first, and is then stopped
PORT = 8765

CELLS = """
import sys, time, nbformat
from nbclient import NotebookClient

book = nbformat.read(sys.argv[1], as_version=4)
answer = open(sys.argv[2], encoding="utf-8").read()
stub = next(k for k, cell in enumerate(book.cells) if cell.cell_type == "code" and cell.source.startswith("def q_sample("))
client = NotebookClient(book, timeout=300, kernel_name="python3")

def run(k):
    try:
        client.execute_cell(book.cells[k], k)
        return True
    except Exception as error:
        if "CellExecutionError" not in type(error).__name__:
            raise
        return False

def timed(name, cells):
    start = time.monotonic()
    ran = [run(k) for k in cells]
    print(f"{name}\\t{time.monotonic() - start:.1f}\\t{ran[-1]}", flush=True)

with client.setup_kernel():
    timed("cells", range(stub))
    book.cells[stub].source = answer
    timed("mistake", (stub, stub + 1))
    book.cells[stub].source = answer.replace("(1 - a) * eps", "(1 - a).sqrt() * eps")
    timed("mended", (stub, stub + 1))
    timed("payoff", (stub + 2,))
"""


@dataclass
class FirstHour:
    """Time the first hour in an empty environment."""

    lang: tuple[Literal["en", "vi"], ...] = ("en",)
    """The pages to follow; what is installed by the first is used by the next."""
    dist: Path = Path("dist")
    """What `make dist` made: it is served in place of the release."""
    clone: bool = False
    """Install from a clone of this repository, with the weights in it, instead of the wheel, and work in its folder."""
    json: Path | None = None
    """Write the seconds there."""


def blocks(lang: str, kind: str) -> list[str]:
    """What stands between the page's fences of a kind, "" or "python"."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGES[lang].read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [block for named, block in found if named == kind]


def commands(lang: str) -> list[str]:
    return [line for block in blocks(lang, "") for line in block.splitlines()]


def environment(home: Path) -> dict[str, str]:
    """Of somebody who has just come: nothing of this process but where Python is, and how package indexes are reached."""
    keep = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name.lower().endswith("_proxy")}
    programs = f"{Path(os.path.realpath(sys.executable)).parent}:/usr/bin:/bin"
    address = {"MINIDIFF_RELEASE": f"http://127.0.0.1:{PORT}"}
    return {**keep, **address, "PATH": programs, "HOME": str(home), "LANG": "C.UTF-8"}


@contextmanager
def served(folder: Path) -> Iterator[None]:
    """Python's own file server, which stands for the release's."""
    command = [sys.executable, "-m", "http.server", str(PORT), "--bind", "127.0.0.1", "--directory", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        server.terminate()
        server.wait()


def wait_for(url: str, server: subprocess.Popen[bytes], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10):
                return
        except OSError:
            if time.monotonic() > end or server.poll() is not None:
                raise SystemExit(f"nothing answers at {url}") from None
            time.sleep(0.2)


def installing(line: str, run: FirstHour) -> str:
    """The page's line, with the release or the clone that are at hand."""
    if run.clone and release.WHEEL in line:
        return 'pip install -q -c constraints.txt -e ".[app,course]"'
    return line.replace(release.FILES, f"http://127.0.0.1:{PORT}")


def step(line: str, folder: Path, outside: dict[str, str]) -> None:
    """One command, in the environment that the page has made by then; of a server, up to its first answer."""
    active = ". minidiff-env/bin/activate && " if (folder / "minidiff-env/bin/activate").exists() else ""
    name = next((word for word in SERVERS if shlex.split(line)[1:2] == [word]), None)
    if name == "lab" and os.geteuid() == 0:
        line += " --allow-root"
    shell = ["bash", "-c", f"{active}{'exec ' if name else ''}{line}"]
    log = (folder / "log.txt").open("ab")
    if name is None:
        subprocess.run(shell, cwd=folder, env=outside, check=True, stdout=log, stderr=log)
        return
    server = subprocess.Popen(shell, cwd=folder, env=outside, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(SERVERS[name], server)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def notebook(lang: str, folder: Path, outside: dict[str, str]) -> list[tuple[str, float]]:
    """The cells that the page names, run as it says: (what, seconds). Raises SystemExit when the mistake passes, or its mending
    doesn't."""
    write_whole(folder / "cells.py", CELLS)
    write_whole(folder / "answer.txt", blocks(lang, "python")[0])
    command = ["minidiff-env/bin/python", "cells.py", "02_ddpm.ipynb", "answer.txt"]
    done = subprocess.run(command, cwd=folder, env=outside, check=True, capture_output=True, text=True)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    passed = {name: ran == "True" for name, _, ran in rows}
    if passed["mistake"] or not passed["mended"] or not passed["payoff"]:
        raise SystemExit(f"the page promises something else: {passed}")
    return [(f"02.2: {name}", float(seconds)) for name, seconds, _ in rows]


def follow(lang: str, folder: Path, outside: dict[str, str], run: FirstHour) -> list[tuple[str, float]]:
    rows: list[tuple[str, float]] = []
    if run.clone:
        start = time.monotonic()
        subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True, env=outside)
        rows.append(("git clone", time.monotonic() - start))
    for line in commands(lang):
        new = not (folder / "minidiff-env").exists() or release.WHEEL in line
        if not new and line.startswith("python3 -m venv"):
            continue  # the other page has made it
        if line.startswith(". "):
            continue  # every step does so
        if release.WHEEL in line and (folder / "minidiff-env/bin/minidiff").exists():
            continue
        if line.startswith("jupyter"):
            shutil.copy(ROOT / "exercises" / lang / "02_ddpm.ipynb", folder)
        line = installing(line, run)
        start = time.monotonic()
        try:
            step(line, folder, outside)
        except subprocess.CalledProcessError as error:
            if not line.startswith("minidiff grade"):  # 1: the notebook hasn't reached the pass mark, and shouldn't have
                raise SystemExit(f"{error}; {folder}/log.txt says more") from None
        rows.append((line, time.monotonic() - start))
        print(f"{rows[-1][1]:7.1f} s  {line[:100]}", flush=True)
        if line.startswith("jupyter"):
            more = notebook(lang, folder, outside)
            print("".join(f"{seconds:7.1f} s  {name}\n" for name, seconds in more), end="", flush=True)
            rows += more
    return rows


def main(run: FirstHour) -> None:
    with tempfile.TemporaryDirectory(prefix="first-hour-") as name, served(run.dist):
        folder = Path(name)
        (folder / "home").mkdir()
        outside = environment(folder / "home")
        if not run.clone:
            (folder / "work").mkdir()
        told = {}
        for lang in run.lang:
            rows = follow(lang, folder / "work", outside, run)
            told[lang] = {line: round(seconds, 1) for line, seconds in rows}
            end = next(k for k, (line, _) in enumerate(rows) if line == "02.2: payoff")
            total = sum(seconds for _, seconds in rows[: end + 1])
            print(f"{lang}: {total / 60:.1f} minutes to the mended mistake, of machine time", flush=True)
        if run.json:
            about = {"date": time.strftime("%Y-%m-%d"), "processor": processor()[0], "clone": run.clone, "seconds": told}
            about |= {"cores": len(os.sched_getaffinity(0)), "load": round(os.getloadavg()[2], 1)}
            write_whole(run.json, json.dumps(about, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(tyro.cli(FirstHour))
