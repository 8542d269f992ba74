"""Many visitors of the studio at once: `make load`, or `python -m benchmarks.load --clients 16 --minutes 10`.

Starts a studio of its own, lets every visitor draw again and again with pauses of a few seconds, and prints how many pictures
each got, how long they waited, what went wrong, and how the server's memory grew. Exits with 1 when somebody met an error or
starved, or memory grew by more than 50 MB after the first minute.
"""

from __future__ import annotations

import json
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass, field
from typing import Any

import psutil
import tyro

from minidiff.pipelines.loras import shipped
from minidiff.studio.labels import examples

MOST_GROWTH = 50e6  # bytes
STARVED = 1 / 3     # of what a visitor gets in the median
NO_LORAS: list[Any] = [[], *[0.8] * len(shipped())]  # none chosen, and the slider of each


@dataclass
class Options:
    clients: int = 16
    minutes: float = 10.0
    model: str = "world-dit"
    pause: float = 4.0
    """Seconds between a picture and the next request, on average."""


@dataclass
class Visitor:
    """address: under which the studio knows it, told by X-Forwarded-For."""

    address: str
    waits: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def visit(self, studio: str, function: int, model: str, pause: float, end: float) -> None:
        """Draws until the end, each picture with settings of its own."""
        rng = random.Random(self.address)
        while time.monotonic() < end:
            began = time.monotonic()
            try:
                said = self.draw(studio, function, model, rng)
                if "good" not in said:
                    self.errors.append(said[:200])
            except (OSError, ValueError, KeyError) as error:
                self.errors.append(repr(error)[:200])
            else:
                self.waits.append(time.monotonic() - began)
            time.sleep(rng.uniform(0, 2 * pause))

    def draw(self, studio: str, function: int, model: str, rng: random.Random) -> str:
        """One picture, as the page asks for it; returns the notice at its end."""
        session, steps = uuid.uuid4().hex, rng.choice([4, 10, 20, 20, 30])
        own = [rng.choice(examples(model)), "", "dpmpp_2m", steps, 3.0, rng.randrange(2**31)]
        values = [*own, 1, 0.0, True, 0.0, 1.0, 0.0, model, False, *NO_LORAS]
        self.ask(f"{studio}gradio_api/queue/join", {"data": values, "fn_index": function, "session_hash": session}).read()
        with self.ask(f"{studio}gradio_api/queue/data?session_hash={session}") as events:
            for line in events:
                message = json.loads(line[5:]) if line.startswith(b"data:") else {}
                if message.get("msg") == "process_completed":
                    data = message["output"].get("data") or [None] * 3
                    return str(data[2])
        return "the stream ended early"

    def ask(self, url: str, data: Any = None) -> Any:
        headers = {"Content-Type": "application/json", "X-Forwarded-For": self.address}
        content = None if data is None else json.dumps(data).encode()
        return urllib.request.urlopen(urllib.request.Request(url, content, headers), timeout=300)


def drawing_function(studio: str) -> int:
    """The number of the page's function that draws: the one whose inputs are a picture's 14 settings and its LoRAs."""
    with urllib.request.urlopen(f"{studio}config", timeout=60) as answer:
        functions = json.loads(answer.read())["dependencies"]
    return next(one["id"] for one in functions if len(one["inputs"]) == 14 + len(NO_LORAS) and len(one["outputs"]) == 6)


def main(options: Options) -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "minidiff", "app", "--port", str(port), "--model", options.model]
    with subprocess.Popen([*command, "--behind-proxy", "127.0.0.1"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        studio = next(line.split()[2] for line in server.stdout if line.startswith("minidiff studio: "))
        try:
            return visited(options, studio, psutil.Process(server.pid))
        finally:
            server.terminate()


def visited(options: Options, studio: str, server: psutil.Process) -> int:
    function, begun = drawing_function(studio), time.monotonic()
    end = begun + 60 * options.minutes
    visitors = [Visitor(f"10.0.{k // 250}.{k % 250 + 1}") for k in range(options.clients)]
    threads = [
        threading.Thread(target=one.visit, args=(studio, function, options.model, options.pause, end), daemon=True)
        for one in visitors
    ]
    for thread in threads:
        thread.start()
    memory: list[tuple[float, int]] = []
    while time.monotonic() < end:
        time.sleep(min(5.0, max(0.0, end - time.monotonic())))
        memory.append((time.monotonic() - begun, server.memory_info().rss))
    for thread in threads:
        thread.join(300)
    return told(options, visitors, memory)


def told(options: Options, visitors: list[Visitor], memory: list[tuple[float, int]]) -> int:
    """Prints the figures; 1 where one of them is out of its bounds."""
    waits, counts = sorted(wait for one in visitors for wait in one.waits), [len(one.waits) for one in visitors]
    errors = [error for one in visitors for error in one.errors]
    warmed = [size for at, size in memory if at >= min(60.0, 30 * options.minutes)]
    growth = warmed[-1] - warmed[0] if warmed else 0
    starved = sum(count < STARVED * statistics.median(counts) for count in counts)
    print(f"{options.clients} visitors, {options.minutes:g} minutes, {options.model}")
    print(f"  pictures            {len(waits)}, {60 * len(waits) / options.minutes / 60:.1f} a minute")
    print(f"  of each visitor     {min(counts)} to {max(counts)}; starved: {starved}")
    if waits:
        print(f"  seconds waited      {statistics.median(waits):.1f} in the median, {waits[-1]:.1f} at most")
    print(f"  errors              {len(errors)}{': ' + errors[0] if errors else ''}")
    most = max(size for _, size in memory)
    print(f"  server's memory     {most / 1e6:,.0f} MB at most, {growth / 1e6:+,.0f} MB since it was warm")
    return int(bool(errors or starved or growth > MOST_GROWTH or not waits))


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
