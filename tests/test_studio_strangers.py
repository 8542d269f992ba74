"""What strangers may do to the studio's server: cancel, flood, lie about who they are, and never read what they asked for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_studio import free_port

from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.loras import shipped
from minidiff.studio import app, callbacks
from minidiff.studio.line import ABANDONED, MODEL, UNREAD, Line

STEP = 0.05  # seconds


class Slow:
    """A model that takes its time; steps counts those that were made."""

    def __init__(self, pipeline: Any) -> None:
        self.pipeline, self.steps = pipeline, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pipeline, name)

    def stream(self, request: Any) -> Iterator[Any]:
        for preview in self.pipeline.stream(request):
            time.sleep(STEP)
            self.steps += 1
            yield preview


@pytest.fixture(scope="module")
def slow(tiny_zoo: Path) -> Slow:
    return Slow(load_pipeline(device="cpu", dtype="float32", root=tiny_zoo))


@pytest.fixture
def blocks(slow: Slow) -> Iterator[Any]:
    blocks = app.build(slow, "en")  # type: ignore[arg-type]
    yield blocks
    blocks.close()


@pytest.fixture
def address(blocks: Any) -> str:
    return app.launch(blocks, "127.0.0.1", free_port(), "en", block=False)


@pytest.fixture(scope="module")
def shared(slow: Slow) -> Iterator[str]:
    """The address of a server for tests that leave nothing behind there."""
    blocks = app.build(slow, "en")  # type: ignore[arg-type]
    yield app.launch(blocks, "127.0.0.1", free_port(), "en", block=False)
    blocks.close()


def post(url: str, data: Any, **headers: str) -> tuple[int, Any]:
    content = data if isinstance(data, bytes) else json.dumps(data).encode()
    request = urllib.request.Request(url, content, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def until(true: Any, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def join(address: str, blocks: Any, steps: int, images: int = 1, **headers: str) -> tuple[int, Any, str]:
    """A page that asks for a drawing: status, answer and its session."""
    functions = (fn for fn in blocks.fns.values() if fn.concurrency_id == MODEL and fn.api_name != "generate")
    session = uuid.uuid4().hex
    values = ["a red star", "", "ddim", steps, 3.0, 42, images, 0.0, True, 0.0, 1.0, 0.0, "world-dit", False]
    values += [[], *[0.8] * len(shipped())]  # no LoRA, and a slider for each
    number = next(fn._id for fn in functions if len(fn.inputs) == len(values))
    status, answer = post(
        f"{address}gradio_api/queue/join", {"data": values, "fn_index": number, "session_hash": session}, **headers
    )
    return status, answer, session


def test_a_program_that_cancels_frees_the_model(address: str, blocks: Any, slow: Slow) -> None:
    from gradio_client import Client

    client = Client(address, verbose=False, analytics_enabled=False)
    slow.steps = 0
    job = client.submit("a star", steps=100, api_name="/generate")
    until(lambda: slow.steps > 2)
    job.cancel()
    until(lambda: not Line(blocks).drawn())
    made = slow.steps
    time.sleep(8 * STEP)
    assert slow.steps <= made + 1 < 100


def test_a_client_may_have_three_requests_and_others_are_let_in(address: str, blocks: Any) -> None:
    asked = [join(address, blocks, 60) for _ in range(4)]
    assert [status for status, *_ in asked] == [200, 200, 200, 429]
    assert "2 of your requests are waiting already" in asked[3][1]
    assert Line(blocks).of("127.0.0.1") == 3 and Line(blocks).of("1.2.3.4") == 0


def test_nobody_is_somebody_else_by_saying_so(address: str, blocks: Any) -> None:
    asked = [join(address, blocks, 60, **{"X-Forwarded-For": f"10.0.0.{k}"}) for k in range(4)]
    assert [status for status, *_ in asked] == [200, 200, 200, 429]


def test_a_proxy_that_is_known_is_believed(blocks: Any) -> None:
    address = app.launch(blocks, "127.0.0.1", free_port(), "en", block=False, proxy="127.0.0.1")
    for k in range(4):
        assert join(address, blocks, 60, **{"X-Forwarded-For": f"6.6.6.6, 10.0.0.{k}"})[0] == 200
    assert [Line(blocks).of(client) for client in ("10.0.0.0", "10.0.0.3", "6.6.6.6", "127.0.0.1")] == [1, 1, 0, 0]


def test_a_drawing_that_nobody_looks_at_stops_and_is_forgotten(address: str, blocks: Any, slow: Slow) -> None:
    slow.steps = 0
    status, _, session = join(address, blocks, 100, 9)
    assert status == 200
    until(lambda: slow.steps > UNREAD // 2 and not Line(blocks).drawn(), 20)
    assert slow.steps <= UNREAD + 2
    assert Line(blocks).unread(session) <= 2, "the end of the run alone"


def test_a_quick_model_waits_for_a_slow_page(blocks: Any) -> None:
    from asyncio import Queue

    line, messages, read = Line(blocks), Queue(), []
    blocks._queue.pending_messages_per_session["slow"] = messages

    def page() -> None:
        time.sleep(0.5)
        while len(read) < 3 * UNREAD:
            if not messages.empty():
                read.append(messages.get_nowait())
            time.sleep(0.01)

    reader = threading.Thread(target=page)
    reader.start()
    for step in line.watched(iter(range(3 * UNREAD)), "slow"):
        messages.put_nowait(step)
    reader.join(20)
    assert read == list(range(3 * UNREAD))


def test_what_is_short_and_never_read_is_thrown_away_later(blocks: Any) -> None:
    now = [0.0]
    line = Line(blocks, clock=lambda: now[0])
    queue: Any = blocks._queue.pending_messages_per_session
    from asyncio import Queue

    queue["left"], queue["read"], queue["grows"] = Queue(), Queue(), Queue()
    for session in ("left", "grows"):
        queue[session].put_nowait("a picture")
    line.sweep()
    now[0] = ABANDONED - 1
    queue["grows"].put_nowait("another")
    line.sweep()
    assert line.unread("left") == 1
    now[0] = ABANDONED + 1
    line.sweep()
    assert [line.unread(session) for session in ("left", "read", "grows", "unknown")] == [0, 0, 2, 0]


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("run/predict", {"data": [], "fn_index": 0, "session_hash": "x"}),
        ("run/predict", {"data": [1, 2, 3], "fn_index": 1, "session_hash": "x"}),
        ("call/generate", {"data": ["a"] * 40}),
        ("call/v2/generate", {"prompt": {"a": 1}, "nothing": 2}),
        ("queue/join", {"data": None, "fn_index": 10**9, "session_hash": "x"}),
        ("queue/join", b"{"),
        ("cancel", {"session_hash": "x", "fn_index": 0, "event_id": "y"}),
    ],
)
def test_a_strange_request_is_answered_with_words(shared: str, path: str, data: Any) -> None:
    status, answer = post(f"{shared}gradio_api/{path}", data)
    said = json.dumps(answer)
    assert answer and '"error": null' not in said.replace('\\"', '"'), said
    assert "Traceback" not in said and str(Path.cwd()) not in said
    if path.startswith("call") and status == 200:  # the error comes where the result is waited for
        with urllib.request.urlopen(f"{shared}gradio_api/{path.replace('/v2', '')}/{answer['event_id']}", timeout=20) as events:
            assert '"error": null' not in (told := events.read().decode()) and "event: error" in told


def test_a_strange_host_name_is_refused(shared: str) -> None:
    request = urllib.request.Request(shared, headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)
    assert refused.value.code == 421 and refused.value.headers["x-frame-options"] == "DENY"
    assert "--allowed-host" in refused.value.read().decode()


def test_what_is_drawn_when_the_server_ends_stops_at_its_next_step(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    from minidiff.pipelines.request import Request

    stopping = threading.Event()
    monkeypatch.setattr(callbacks, "STOPPING", stopping)
    views = callbacks.generate(slow, ("a star", "", "ddim", 50, 3.0, 1, 1, 0.0, True, 0.0, 1.0, 0.0))  # type: ignore[arg-type]
    images = callbacks.finish(slow, Request("a star", steps=50))  # type: ignore[arg-type]
    next(views), next(views), next(images)
    stopping.set()
    *_, last = views
    assert "the server is being shut down" in (last.notice or "")
    with pytest.raises(TimeoutError, match="shut down"):
        list(images)


DRAWING = ["a star", "", "ddim", 100, 3.0, 1, 9, 0.0, "world-dit", True, [0.0, 1.0], 0.0, {}]  # as /generate takes it


@pytest.mark.skipif(sys.platform == "win32", reason="on Windows a process can't be sent SIGTERM, nor Ctrl-C from here")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_in_the_middle_of_a_drawing_and_leaves_nothing(tiny_zoo: Path, tmp_path: Path, number: int) -> None:
    port = free_port()
    environment = {**os.environ, "MINIDIFF_ZOO": str(tiny_zoo), "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "minidiff", "app", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            if "minidiff studio" in line:
                break
        address = f"http://127.0.0.1:{port}/"
        boundary = b"--x\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a.png\"\r\n\r\npicture\r\n--x--\r\n"
        _, files = post(f"{address}gradio_api/upload", boundary, **{"Content-Type": "multipart/form-data; boundary=x"})
        assert Path(files[0]).is_file() and Path(files[0]).is_relative_to(tmp_path)
        status, _ = post(f"{address}gradio_api/call/generate", {"data": DRAWING})
        assert status == 200
        time.sleep(0.2)
        process.send_signal(number)
        said = process.stdout.read()
        assert process.wait(20) == 0 and not {"Traceback", "Fatal"} & set(said.replace(":", " ").split()), said
    assert [path for path in tmp_path.rglob("*") if path.is_file() or "minidiff" in path.name] == []


