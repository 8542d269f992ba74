"""Runs one answer in a process of its own, which may hang, eat memory, exit or flood without harm to the grader.

The process only runs the answer and writes down its outputs. The grader's own process judges them, out of reach of whatever
the answer does to `assert`, `torch` or `print`. What it is not: a jail against
malice. A notebook can read the files that its owner can read; grade strangers' work in a container.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minidiff.course.exercise import Say, Trouble

OUTPUT_LIMIT = 20 * 2**20  # bytes that an answer may print, or write into one file


UNREADABLE = Trouble(Say("What it returned cannot be read: return tensors and numbers.",
                         "Không đọc được kết quả trả về: hãy trả về tensor và số."))  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """seconds of wall-clock time for an exercise (the start of Python not counted), gigabytes of memory."""

    seconds: float = 60.0
    gigabytes: float = 3.0


def run(source: str, number: str, limits: Limits, hidden: Path | None = None) -> list[Any] | Trouble:
    """Outputs of exercise `number`'s probes with the answer defined in `source`, or why there are none at all."""
    with tempfile.TemporaryDirectory(prefix="minidiff-grade-") as folder:
        home = Path(folder)
        job = {
            "source": source,
            "number": number,
            "gigabytes": limits.gigabytes,
            "hidden": str(hidden.resolve()) if hidden else None,
        }
        (home / "job.json").write_text(json.dumps(job), encoding="utf-8")
        status = _process(home, limits.seconds)
        import torch

        results = home / "results.pt"
        if status == 0 and results.exists():
            try:
                return [Trouble(Say(*r["trouble"])) if "trouble" in r else r["output"]
                        for r in torch.load(results, weights_only=True)]  # fmt: skip
            except Exception:
                return UNREADABLE
        return Trouble(_why(status, limits, home))


def _process(home: Path, seconds: float) -> int | None:
    """Exit status of the process, None when it ran out of time; it and its children are gone afterwards."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "MPLBACKEND": "Agg"}
    with open(home / "printed.txt", "wb") as printed:
        process = subprocess.Popen(
            [sys.executable, "-m", "minidiff.course.sandbox", str(home)], stdin=subprocess.DEVNULL, stdout=printed,
            stderr=subprocess.STDOUT, cwd=home, env=environment, start_new_session=True,
        )  # fmt: skip
        try:
            return process.wait(timeout=_patience(process, home, seconds))
        except subprocess.TimeoutExpired:
            return None
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()


def _patience(process: subprocess.Popen[bytes], home: Path, seconds: float) -> float:
    """`seconds` from the moment when the answer begins to run: importing torch may take long on a busy machine."""
    import time

    for _ in range(1200):
        if (home / "started").exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    return seconds


def _why(status: int | None, limits: Limits, home: Path) -> Say:
    if status is None:
        return Say(f"It did not finish within {limits.seconds:g} seconds: is there a loop without end?",
                   f"Chưa chạy xong trong {limits.seconds:g} giây: có vòng lặp vô hạn không?")  # fmt: skip
    if status == -signal.SIGXFSZ or (home / "printed.txt").stat().st_size >= OUTPUT_LIMIT:
        return Say("It printed or wrote too much: take the printing out of the function.",
                   "Hàm in ra hoặc ghi quá nhiều: hãy bỏ lệnh in khỏi hàm.")  # fmt: skip
    if status == -signal.SIGKILL:
        return Say("It was stopped by the system, most likely for want of memory.",
                   "Hệ điều hành đã dừng chương trình, nhiều khả năng vì hết bộ nhớ.")  # fmt: skip
    return Say(f"The program ended in the middle (exit status {status}): no exit() in an answer, please.",
               f"Chương trình kết thúc giữa chừng (mã thoát {status}): xin đừng gọi exit() trong bài làm.")  # fmt: skip


# --- inside the process ---------------------------------------------------------------------------------------------


def answer_in(source: str, exercise: Any) -> Any:
    """Run the learner's definitions and return the answer; the other exercises' names mean their references, so that one
    failure is not counted twice. Raises whatever the definitions raise."""
    from minidiff.course.checks import exercises
    from minidiff.course.extract import run_definitions

    space = run_definitions(source, exercise.name)
    space.update(exercise.support)
    others = exercises(exercise.number.split(".")[0]).values()
    space.update({other.name: other.reference for other in others if other.name != exercise.name})
    return space[exercise.name]


def main(home: Path) -> None:
    """The whole life of the process: limits, answer, probes, results."""
    import resource

    import torch

    from minidiff.course.checks import get_exercise, hidden_probes
    from minidiff.course.exercise import explain, outputs

    save, hard_exit = torch.save, os._exit
    job = json.loads((home / "job.json").read_text(encoding="utf-8"))
    exercise = get_exercise(job["number"])
    probes = exercise.probes + tuple(hidden_probes(Path(job["hidden"])).get(exercise.number, ()) if job["hidden"] else ())
    torch.set_num_threads(1)
    memory = int(job["gigabytes"] * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (OUTPUT_LIMIT, OUTPUT_LIMIT))
    (home / "started").touch()
    try:
        results = outputs(exercise, answer_in(job["source"], exercise), probes)
    except BaseException as error:  # SystemExit and KeyboardInterrupt of the answer included
        results = [Trouble(explain(error))] * len(probes)
    packed = [{"trouble": list(r.message)} if isinstance(r, Trouble) else {"output": r} for r in results]
    save(packed, home / "results.partial")
    os.replace(home / "results.partial", home / "results.pt")
    hard_exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
