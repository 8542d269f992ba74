"""Runs one answer, or reads one notebook, in a process of its own, which may hang, eat memory, exit or flood without harm.

The process (inside.py) gets the learner's statements, the code of the probes and the solutions of *earlier* exercises; it sends
back outputs over a pipe, each read up to a size and a time. This side judges them, out of reach of whatever the answer does
to `assert`, `torch` or `print`. What the system allows is shut: new processes, signals, connections, files outside the
process's own folder. It is not a virtual machine: what its user can read, a notebook can read. Grade strangers' work with
`--isolated`, or in a container.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import minidiff
from minidiff.course.probing import Outcome, unpacked
from minidiff.course.say import Say

HERE = Path(__file__).parent
NO_COURSE = 'raise ImportError("minidiff.course cannot be used in an answer")\n'
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "SYSTEMROOT")  # no secrets
SHIPPED = ("probing.py", "extract.py", "inside.py")
START_SECONDS = 180.0  # importing torch may take long on a busy machine
FOLDER_LIMIT = 64 * 2**20  # bytes that an answer may leave in its folder
MESSAGE_LIMIT = 64 * 2**20  # bytes of one output


@dataclass(frozen=True)
class Limits:
    """seconds of wall-clock time for an exercise (the start of Python not counted), gigabytes of memory; isolated: inside
    bubblewrap, which is then needed."""

    seconds: float = 60.0
    gigabytes: float = 3.0
    isolated: bool = False


@dataclass
class Run:
    """What came of a process: messages in order, why there are no more, and which walls stood ("limits", "files", "calls")."""

    messages: list[bytes] = field(default_factory=list)
    ended: Say | None = None
    walls: dict[str, bool] = field(default_factory=dict)


class IsolationError(ValueError):
    """`--isolated` was asked for where bubblewrap is missing."""


def run_answer(
    name: str, source: str, company: Mapping[str, str], probes: Iterable[str], count: int, limits: Limits
) -> tuple[list[Outcome | Say], dict[str, bool]]:
    """What the answer `name`, bound by the statements of `source`, gives to `count` probes, whose code `probes` is; a
    sentence in place of an outcome that never came. And which walls stood. company: earlier exercises' {name: source}."""
    job = {"kind": "answer", "name": name, "source": source, "company": dict(company), "probes": list(probes)}
    run = _run(job, b"", count, limits)
    found: list[Outcome | Say] = []
    for message in run.messages[:count]:
        try:
            found.append(unpacked(message))
        except ValueError:
            found.append(UNREADABLE)
    missing = run.ended or _ended(0, limits)
    return found + [missing] * (count - len(found)), run.walls


def read_notebook(data: bytes, file: str, lessons: Mapping[str, Mapping[str, str]], limits: Limits) -> dict[str, Any]:
    """As extract.answers_in; {"error": "notebook"} for what is none, {"error": "deep"} for what could not be read."""
    job = {"kind": "extract", "file": file, "lessons": {k: dict(v) for k, v in lessons.items()}}
    run = _run(job, data, 1, Limits(min(limits.seconds, 30.0), min(limits.gigabytes, 2.0), limits.isolated), ready=False)
    try:
        found = json.loads(run.messages[0])
    except (IndexError, ValueError, RecursionError):
        return {"error": "deep"}
    return found if isinstance(found, dict) else {"error": "deep"}


UNREADABLE = Say("What it returned cannot be read: return tensors and numbers.",
                 "Không đọc được kết quả trả về: hãy trả về tensor và số.")  # fmt: skip


def _ended(status: int | None, limits: Limits) -> Say:
    """Why there are no more messages; status: of the process, None when its time was up."""
    if status is None:
        return Say(f"It did not finish within {limits.seconds:g} seconds: is there a loop without end?",
                   f"Chưa chạy xong trong {limits.seconds:g} giây: có vòng lặp vô hạn không?")  # fmt: skip
    if status == -signal.SIGKILL:
        return Say("It was stopped by the system, most likely for want of memory.",
                   "Hệ điều hành đã dừng chương trình, nhiều khả năng vì hết bộ nhớ.")  # fmt: skip
    if status < 0:
        what = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
        return Say(f"The program crashed ({what}).", f"Chương trình bị sập ({what}).")
    return Say(f"The program ended in the middle (exit status {status}): no exit() in an answer, please.",
               f"Chương trình kết thúc giữa chừng (mã thoát {status}): xin đừng gọi exit() trong bài làm.")  # fmt: skip


TOO_MUCH = Say("It wrote or returned too much: keep files and huge results out of the function.",
               "Hàm ghi hoặc trả về quá nhiều: đừng ghi tệp hay trả về kết quả khổng lồ.")  # fmt: skip


# --- the process ------------------------------------------------------------------------------------------------------


def library(target: Path) -> None:
    """A copy of the library without the course and without weights, and beside it the package that runs answers."""
    root = Path(minidiff.__file__).parent
    leave = shutil.ignore_patterns("course", "studio", "recipes", "weights", "__pycache__", "*.safetensors", "*.jsonl")
    shutil.copytree(root, target / "minidiff", ignore=leave)
    (target / "minidiff" / "course").mkdir()
    (target / "minidiff" / "course" / "__init__.py").write_text(NO_COURSE, encoding="utf-8")
    (target / "minidiff_answer").mkdir()
    for name in SHIPPED:
        shutil.copy(HERE / name, target / "minidiff_answer" / name)


def _command(folder: Path, results: int, isolated: bool) -> list[str]:
    command = [sys.executable, "-m", "minidiff_answer.inside", str(results)]
    if not isolated:
        return command
    if not (bubblewrap := shutil.which("bwrap")):
        raise IsolationError("--isolated needs bubblewrap (bwrap), which is not installed here: install it, or grade in a "
                             "container without --isolated.")  # fmt: skip
    walls = ["--unshare-all", "--die-with-parent", "--new-session", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    own = ["--tmpfs", "/tmp", "--bind", str(folder), str(folder), "--chdir", str(folder / "scratch")]
    return [bubblewrap, *walls, *own, *command]


def _run(job: dict[str, Any], data: bytes, count: int, limits: Limits, ready: bool = True) -> Run:
    """Start the process, hand it the job, and read at most `count` messages, after one that says that it is ready."""
    folder = Path(tempfile.mkdtemp(prefix="minidiff-grade-"))
    try:
        (folder / "scratch").mkdir()
        library(folder / "library")
        text = json.dumps({**job, "gigabytes": limits.gigabytes, "folder": str(folder / "scratch")}).encode()
        reading, writing = os.pipe()
        try:
            process = _start(folder, writing, limits)
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        try:
            assert process.stdin
            try:
                with process.stdin as stdin:
                    stdin.write(len(text).to_bytes(8, "little") + text + data)
            except BrokenPipeError:
                pass
            return _conversation(process, reading, count, limits, ready, folder / "scratch")
        finally:
            _end(process)
            os.close(reading)
    finally:
        remove(folder)


def _start(folder: Path, writing: int, limits: Limits) -> subprocess.Popen[bytes]:
    paths = [str(folder / "library"), *(path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path)]
    environment = {
        **{name: value for name, value in os.environ.items() if name in PASSED_ON},
        "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "TMPDIR": str(folder / "scratch"),
    }  # fmt: skip
    return subprocess.Popen(
        _command(folder, writing, limits.isolated), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, cwd=folder / "scratch", env=environment, start_new_session=True, pass_fds=(writing,),
    )  # fmt: skip


def _conversation(
    process: subprocess.Popen[bytes], reading: int, count: int, limits: Limits, ready: bool, scratch: Path
) -> Run:
    """Read messages until there are enough, or time, memory, disk or patience is up."""
    run = Run()
    pipe = _Pipe(reading, lambda: _size(scratch) > FOLDER_LIMIT)
    try:
        if ready:
            walls = json.loads(pipe.message(time.monotonic() + START_SECONDS))
            run.walls = {str(k): bool(v) for k, v in walls.items()}
        deadline = time.monotonic() + limits.seconds
        while len(run.messages) < count:
            run.messages.append(pipe.message(deadline))
    except TimeoutError:
        run.ended = _ended(None, limits)
    except OverflowError:
        run.ended = TOO_MUCH
    except EOFError:
        run.ended = _ended(_status(process), limits)
    except (ValueError, AttributeError, RecursionError):  # what came instead of "ready"
        run.ended = UNREADABLE
    return run


class _Pipe:
    """Messages, each after its length in 8 bytes, out of a pipe into which strangers may write anything."""

    def __init__(self, file: int, too_much: Callable[[], bool]) -> None:
        self.file, self.too_much, self.waiting = file, too_much, bytearray()
        os.set_blocking(file, False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(file, selectors.EVENT_READ)
        self.next_look = 0.0

    def message(self, deadline: float) -> bytes:
        """The next message. Raises TimeoutError, EOFError, or OverflowError when it or the answer's folder is too large."""
        length = int.from_bytes(self.take(8, deadline), "little")
        if length > MESSAGE_LIMIT:
            raise OverflowError
        return self.take(length, deadline)

    def take(self, size: int, deadline: float) -> bytes:
        while len(self.waiting) < size:
            if (left := deadline - time.monotonic()) <= 0:
                raise TimeoutError
            if time.monotonic() > self.next_look:
                if self.too_much():
                    raise OverflowError
                self.next_look = time.monotonic() + 0.25
            if not self.selector.select(min(left, 0.25)):
                continue
            part = os.read(self.file, 2**20)
            if not part:
                raise EOFError
            self.waiting += part
        taken, self.waiting = bytes(self.waiting[:size]), self.waiting[size:]
        return taken


def _size(folder: Path) -> int:
    """Bytes of the files in a folder, those of at most a thousand of its files and folders."""
    found, waiting, seen = 0, [folder], 0
    while waiting and seen < 1000:
        try:
            for entry in os.scandir(waiting.pop()):
                seen += 1
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                else:
                    status = entry.stat(follow_symlinks=False)
                    found += max(status.st_size, 512 * getattr(status, "st_blocks", 0))
        except OSError:
            continue
    return found if seen < 1000 else FOLDER_LIMIT + 1


def remove(folder: Path) -> None:
    """A folder and all in it are gone, however deep it is; what cannot be removed stays, and nobody is disturbed."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:  # thousands of folders within folders
        subprocess.run(["rm", "-rf", "--", str(folder)], check=False, stderr=subprocess.DEVNULL)


def _status(process: subprocess.Popen[bytes]) -> int:
    """The exit status of a process that has closed its pipe; one that lives on is ended."""
    try:
        return process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        return 0


def _end(process: subprocess.Popen[bytes]) -> None:
    """The process and its group are gone afterwards."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    process.kill()
    process.wait()
