"""Answers that misbehave: each gets a clear message, nothing hangs or survives, and the other exercises keep their points."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import nbformat
import pytest

from minidiff import cli
from minidiff.course.catalogue import exercises, get_exercise, lessons
from minidiff.course.grade import NotebookError, as_json, as_junit, as_markdown, grade, waves
from minidiff.course.inside import ARCHITECTURES
from minidiff.course.sandbox import FOLDER_LIMIT, IsolationError, Limits, read_notebook, run_answer
from minidiff.course.say import Say

RIGHT = "import torch\ndef alpha_bars(betas):\n    return torch.cat([torch.ones(1, dtype=betas.dtype), (1 - betas).cumprod(0)])"
FIRST = get_exercise("02.1")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="seccomp and Landlock are Linux's")


def ran(body: str, limits: Limits | None = None, head: str = "") -> tuple[list, dict[str, bool]]:
    source = f"import os, sys, time\nimport torch\n{head}\ndef alpha_bars(betas):\n    {body}"
    return run_answer("alpha_bars", source, {}, FIRST.probes_code, len(FIRST.probes), limits or Limits(seconds=4))


def kernel_has(wall: str) -> bool:
    """Whether this system could shut answers in so, found out without the grader: a wall that it has must stand."""
    if wall == "calls":
        return platform.machine() in ARCHITECTURES and Path("/proc/sys/kernel/seccomp/actions_avail").exists()
    return ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), ctypes.c_uint32(1)) >= 1  # Landlock's version


def need(walls: dict[str, bool], *names: str) -> None:
    """Each of these walls stands wherever the kernel has it; without it there is nothing to test."""
    assert {name: walls[name] for name in names} == {name: kernel_has(name) for name in names}
    if missing := [name for name in names if not walls[name]]:
        pytest.skip(f"this kernel lacks what shuts off {' and '.join(missing)} (seccomp, Landlock)")


def first_word(found: list) -> str:
    """What is said of the first probe, in English."""
    return found[0].en if isinstance(found[0], Say) else " ".join(found[0].error or ("", str(found[0].value)))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("while True: pass", "did not finish within 4 seconds"),
        ("os._exit(0)", "ended in the middle (exit status 0)"),
        ("import ctypes; ctypes.string_at(0)", "crashed (SIGSEGV)"),
        ("return torch.zeros(50 * 2**30, dtype=torch.uint8)", "can't allocate memory"),
        ("return bytearray(50 * 2**30)", "MemoryError"),
        ("import mmap; mmap.mmap(-1, 8 * 2**30, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)", "Cannot allocate memory"),
        ("sys.exit(0)", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("return betas[:3] if print('x' * 50 * 2**20) else betas", "[4]"),  # what it prints is nobody's business
        ("os.close(int(sys.argv[1]))", "ended in the middle"),
        ("[os.write(int(sys.argv[1]), b'x' * 999) for _ in range(99)]; return betas", "returned too much"),
        ("os.write(int(sys.argv[1]), (3).to_bytes(8, 'little') + b'abc'); return betas", "cannot be read"),
    ],
)
def test_an_answer_that_misbehaves_is_told_why(body: str, says: str) -> None:
    start = time.monotonic()
    found, walls = ran(body)
    assert len(found) == len(FIRST.probes) and walls["limits"]
    assert says in first_word(found), found[0]
    assert time.monotonic() - start < 60


@on_linux
@pytest.mark.parametrize(
    "body",
    [
        "os.fork()", "os.kill(os.getppid(), 9)", "os.kill(os.getpid(), 9)", "os.killpg(0, 9)", "os.setsid()", "os.mkfifo('a')",
        "import subprocess; subprocess.run(['true'])", "import socket; socket.socket()",
        "import socket; socket.create_server(('', 0))",
        "open(os.path.expanduser('~/here'), 'w')", "open('/tmp/minidiff-was-here', 'w')",
        "os.remove(__import__('minidiff').__file__)",
        "os.mkdir('../../up')", "os.rename('../library', '../gone')", "os.chmod(os.path.expanduser('~'), 0)",
        "os.execv('/bin/true', ['true'])",
        "import multiprocessing as m; m.get_context('spawn').Process(target=print).start()",
        "import resource; resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (0, 0))",
        "import pty; pty.fork()", "os.truncate(__import__('minidiff').__file__, 0)",
    ],
)  # fmt: skip
def test_what_an_answer_has_no_business_with_is_refused(body: str) -> None:
    found, walls = ran(body)
    need(walls, "calls", "files")
    assert found[0].error and found[0].error[0] in ("PermissionError", "BlockingIOError", "OSError"), found[0]


@on_linux
@pytest.mark.parametrize(
    "body",
    [
        "import fcntl; r, w = os.pipe(); fcntl.fcntl(r, 8, os.getppid())", "import socket; socket.socketpair()",
        "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)", "os.sched_setaffinity(os.getppid(), {0})", "os.utime('/tmp')",
        "import ctypes; c = ctypes.CDLL(None, use_errno=True); c.shmget(0, 9, 0o1600); raise OSError(ctypes.get_errno(), 'x')",
    ],
)  # fmt: skip
def test_other_ways_to_reach_out_are_refused(body: str) -> None:
    found, walls = ran(body)
    need(walls, "calls", "files")
    assert found[0].error and found[0].error[0] == "PermissionError", found[0]


@on_linux
def test_root_is_nobody_here() -> None:
    found, _ = ran("raise ValueError(open('/proc/self/status').read().split('CapEff:')[1].split()[0])")
    assert found[0].error == ("ValueError", "0" * 16)


def test_secrets_of_the_grader_stay_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "of great value")
    found, _ = ran("raise ValueError(str(os.environ.get('A_TOKEN')))")
    assert found[0].error == ("ValueError", "None")


def test_folders_without_end_disturb_nobody(tmp_path: Path) -> None:
    before = set(Path(tempfile.gettempdir()).glob("minidiff-grade-*"))
    found = scores(notebook(tmp_path, RIGHT, DIGGER))
    assert found["02.1"]["points"] == found["02.1"]["maximum"]
    assert set(Path(tempfile.gettempdir()).glob("minidiff-grade-*")) <= before


DIGGER = """
import os
def q_sample(x0, eps, t, alpha_bar):
    for _ in range(3000):
        os.mkdir("a")
        os.chdir("a")
    return x0
"""


@on_linux
def test_its_own_folder_may_hold_a_little() -> None:
    found, _ = ran("open('mine', 'w').write('x'); raise ValueError(str(os.listdir('.')))")
    assert found[0].error == ("ValueError", "['mine']")
    found, _ = ran("import tempfile; raise ValueError(tempfile.gettempdir() == os.getcwd())")
    assert found[0].error == ("ValueError", "True"), "PyTorch's optimizers ask for a folder to write into"
    found, _ = ran(
        f"[open(str(k), 'wb').write(b'x' * 10**7) for k in range({FOLDER_LIMIT // 10**7 + 2})]; time.sleep(9)", Limits(20)
    )
    assert "wrote or returned too much" in first_word(found)


def test_no_solution_no_expected_value_and_no_check_is_in_its_process() -> None:
    look = (
        "import gc; held = ' '.join(x for x in gc.get_objects() if isinstance(x, str)) + str(list(sys.modules)); "
        "held += ' '.join(str(f.f_locals) for f in sys._current_frames().values()); "
        "raise ValueError(str(['cumprod' in held, 'judging' in held, 'expected' in held.replace('unexpected', '')]))"
    )
    found, _ = ran(look)
    assert found[0].error == ("ValueError", "[False, False, False]"), found[0].error
    for steal in (
        "import minidiff.course.catalogue as c",
        "from minidiff.course import exercise",
        "__import__('minidiff.course.judging')",
    ):
        found, _ = ran(steal)
        assert found[0].error == ("ImportError", "minidiff.course cannot be used in an answer")


def test_those_before_a_crash_count() -> None:
    found, _ = ran("return os._exit(0) if len(betas) > 100 else torch.cat([betas.new_ones(1), (1 - betas).cumprod(0)])")
    ended = [isinstance(one, Say) for one in found]
    first = ended.index(True)
    assert first >= 3 and ended == [False] * first + [True] * (len(found) - first)


@on_linux
def test_threads_may_run_and_are_gone_afterwards() -> None:
    head = "import threading\nthreading.Thread(target=time.sleep, args=(600,)).start()"
    start = time.monotonic()
    found, _ = ran("return torch.cat([betas.new_ones(1), (1 - betas).cumprod(0)])", head=head)
    assert not isinstance(found[0], Say) and time.monotonic() - start < 60


def test_where_bubblewrap_is_missing_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(IsolationError, match="needs bubblewrap"):
        ran("return betas", Limits(isolated=True))


def bubblewrap_works() -> bool:
    command = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"]
    return bool(shutil.which("bwrap")) and subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not bubblewrap_works(), reason="bubblewrap isn't installed (CI installs it), or this system forbids it")
def test_inside_bubblewrap_a_right_answer_is_right() -> None:
    found, _ = ran("return torch.cat([betas.new_ones(1), (1 - betas).cumprod(0)])", Limits(isolated=True))
    assert not isinstance(found[0], Say) and found[0].error is None
    found, _ = ran("raise ValueError(str(len([p for p in os.listdir('/proc') if p.isdigit()]) < 9))", Limits(isolated=True))
    assert found[0].error == ("ValueError", "True"), "no other process is in sight"


@pytest.mark.parametrize("data", [b"[" * 200_000, b"", b"\xff" * 1000, b'{"cells": ' + b"[" * 100_000])
def test_a_notebook_that_is_none_costs_nobody_else(data: bytes) -> None:
    assert read_notebook(data, "02.ipynb", {"02": {"02.1": "alpha_bars"}}, Limits())["error"] in ("notebook", "deep")


# --- whole notebooks ----------------------------------------------------------------------------------------------------


def notebook(folder: Path, *cells: str, name: str = "02_ddpm.ipynb") -> Path:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    (folder / name).write_text(json.dumps(book), encoding="utf-8")
    return folder / name


def scores(path: Path) -> dict[str, dict]:
    return as_json(grade(path, Limits(seconds=20)).scores, "en")["exercises"]


def test_no_answer_of_a_notebook_spoils_another(tmp_path: Path) -> None:
    """02.1 is right, in a notebook where one cell is no Python, one answer tampers with torch and one was renamed."""
    names = {number: exercise.name for number, exercise in exercises("02").items()}
    path = notebook(
        tmp_path, RIGHT, f"def {names['02.2']}(:\n    pass",
        f"import torch\ndef {names['02.3']}(*args):\n"
        "    torch.isclose = torch.allclose = lambda *a, **k: torch.tensor(True)\n    return 0",
        f"def {names['02.4']}s(*args):\n    return 0", "raise SystemExit", "-" * 100_000 + "1",
    )  # fmt: skip
    found = scores(path)
    assert found["02.1"]["points"] == found["02.1"]["maximum"]
    assert "Code cell 2 is not valid Python" in found["02.2"]["hint"]
    assert found["02.3"]["points"] == 0
    assert f"but there is {names['02.4']}s: was it renamed?" in found["02.4"]["hint"]
    assert "was its cell deleted?" in found["02.5"]["hint"]


def test_an_answer_that_patches_what_runs_it_gains_nothing(tmp_path: Path) -> None:
    cheat = (
        "import torch\ndef alpha_bars(betas):\n"
        "    import minidiff_answer.probing as p, gc\n"
        "    p.same = lambda *a: True\n    p.packed = lambda found: b''\n"
        "    torch.Tensor.__eq__ = lambda *a: torch.tensor(True)\n    return betas"
    )
    honest = "import torch\ndef alpha_bars(betas):\n    return betas"
    points = [scores(notebook(tmp_path, cell))["02.1"]["points"] for cell in (cheat, honest)]
    assert points[0] == points[1] < FIRST.points


def test_an_answer_gets_the_solutions_of_earlier_exercises_and_not_its_own(tmp_path: Path) -> None:
    """02.3 uses q_sample, which is wrong in this notebook; its own name is nobody else's."""
    cells = [
        "import torch\ndef q_sample(x0, eps, t, alpha_bar):\n    return x0",
        "def ddpm_loss(network, x0, t, eps, alpha_bar):\n"
        "    return (network(q_sample(x0, eps, t, alpha_bar), t) - eps).square().mean()",
    ]
    found = scores(notebook(tmp_path, *cells))
    assert found["02.2"]["points"] < found["02.2"]["maximum"] and found["02.3"]["points"] == found["02.3"]["maximum"]


def test_a_fifo_a_folder_and_a_missing_file_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "02_pipe.ipynb")
    for path, says in (
        (tmp_path / "02_pipe.ipynb", "is not a file"),
        (tmp_path, "is not a file"),
        (tmp_path / "02_x.ipynb", "There is no notebook"),
    ):
        with pytest.raises(NotebookError, match=says):
            grade(path)


def test_no_solution_runs_beside_the_answer_to_its_exercise() -> None:
    own = dict(exercises("02"))
    answers = {number: {"source": "q_sample(alpha_bars)"} for number in ("02.2", "02.3", "02.6")} | {"02.5": {"source": ""}}
    found = [[exercise.number for exercise in wave] for wave in waves(own, answers)]
    assert found == [["02.1", "02.4", "02.5"], ["02.2"], ["02.3", "02.6"]]


def test_what_an_error_is_called_forges_no_report(tmp_path: Path) -> None:
    name = "E\\x1b[2J\\n\\n**24 of 24 points: passed**\\n<h1>"
    path = notebook(tmp_path, f"def alpha_bars(betas):\n    raise type('{name}', (Exception,), {{}})('x' * 10**6)")
    graded = grade(path, Limits(seconds=20))
    ET.fromstring(as_junit(graded.scores, "en").split("?>", 1)[1])
    lines = as_markdown(graded.scores, "en", 0.6).split("\n")
    assert len(lines) == len(graded.scores) + 5 and not any(line.startswith("**24") for line in lines)
    assert "&lt;h1&gt;" in lines[2] and len(lines[2]) < 1000


def test_control_characters_reach_no_report(tmp_path: Path) -> None:
    found = scores(notebook(tmp_path, "def alpha_bars(betas):\n    raise ValueError('a\\x1b[2Jb\\u202ec\\ud800')"))
    assert found["02.1"]["hint"].isprintable() and "a" in found["02.1"]["hint"]


def grade_by_command(path: Path, *options: str) -> int:
    with pytest.raises(SystemExit) as stop:
        cli.main(["grade", str(path), *options])
    return int(stop.value.code or 0)


def test_the_command_writes_every_report_and_its_status_is_the_pass_mark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = notebook(tmp_path, RIGHT)
    files = [tmp_path / name for name in ("score.json", "junit.xml", "summary.md")]
    options = ["--json", str(files[0]), "--junit", str(files[1]), "--markdown", str(files[2])]
    assert grade_by_command(path, *options, "--lang", "vi") == 1
    said = capsys.readouterr().out
    score = json.loads(files[0].read_text(encoding="utf-8"))
    assert set(score) == {"exercises", "total", "maximum", "walls"}
    assert set(score["exercises"]["02.1"]) == {"points", "maximum", "passed", "failed", "hint"}
    assert score["total"] == exercises("02")["02.1"].points
    assert score["maximum"] == sum(e.points for e in exercises("02").values())
    assert "chưa đạt" in said and files[2].read_text(encoding="utf-8") in said
    assert files[1].read_text(encoding="utf-8").count("<testsuite ") == len(exercises("02"))
    assert grade_by_command(path, "--pass-mark", str(score["total"] / score["maximum"] - 0.001)) == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--lang", "fr"], "There is no language 'fr'"),
        (["--pass-mark", "60"], "The pass mark is 60.0, but it must be from 0 to 1"),
        (["--pass-mark", "nan"], "The pass mark is nan, but it must be from 0 to 1"),
        (["--gigabytes", "nan"], "--gigabytes is nan, but it must be a number above 0"),
        (["--seconds", "0"], "--seconds is 0.0, but it must be a number above 0"),
        (["--hidden", "."], "holds no hidden checks"),
        (["--hidden", "broken"], "02.1_mine.py cannot be run: NameError"),
    ],
)
def test_bad_options_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    path = notebook(tmp_path, RIGHT)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "02.1_mine.py").write_text("oops", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert grade_by_command(path, *options) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [("{}", "is not a Jupyter notebook"), ("[" * 200_000, "is not a Jupyter notebook"), (None, "belongs to no lesson")],
)
def test_what_cannot_be_graded_exits_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, says: str
) -> None:
    path = notebook(tmp_path, "x = 1", name="mine.ipynb")
    if content:
        path.write_text(content, encoding="utf-8")
    assert grade_by_command(path) == 2
    assert says in capsys.readouterr().err


def test_hidden_checks_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "02.1_mine.py").write_text(
        "import torch\nprobe(('ten betas', 'mười beta'), lambda f, betas: f(betas), points=4, betas=torch.full((10,), 0.5))\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    (score, *_) = grade(notebook(tmp_path, RIGHT), Limits(seconds=20), Path("hidden")).scores  # relative, as a teacher types it
    assert score.points == score.maximum == FIRST.points + 4
    assert score.findings[-1].what == ("ten betas", "mười beta")


@pytest.mark.parametrize("lesson", lessons())
def test_the_solution_notebook_gets_every_point_behind_the_walls(lesson: str) -> None:
    """What is refused must not be what an answer needs: PyTorch's optimizers, say, look for a temporary folder."""
    (path,) = (Path(__file__).parents[2] / "solutions" / "en").glob(f"{lesson}_*.ipynb")
    assert {s.exercise.number: s.hint("en") for s in grade(path).scores if s.points < s.maximum} == {}
