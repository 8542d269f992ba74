"""Answers that misbehave: each gets a clear message, nothing hangs, and the other exercises keep their points."""

from __future__ import annotations

import json
import time
from pathlib import Path

import nbformat
import pytest

from minidiff import cli
from minidiff.course.checks import exercises
from minidiff.course.exercise import Trouble
from minidiff.course.grade import as_json, grade
from minidiff.course.sandbox import Limits, run

RIGHT = "import torch\ndef alpha_bars(betas):\n    return torch.cat([torch.ones(1, dtype=betas.dtype), (1 - betas).cumprod(0)])"


def answer(body: str) -> str:
    return f"import os, sys, time\nimport torch\ndef alpha_bars(betas):\n    {body}"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("while True: pass", "did not finish within 3 seconds"),
        ("return torch.zeros(50 * 2**30, dtype=torch.uint8)", "more memory than it may use"),
        ("return bytearray(50 * 2**30)", "more memory than it may use"),
        ("sys.exit(0)", "no exit() in an answer"),
        ("os._exit(0)", "ended in the middle"),
        ("os.kill(os.getpid(), 9)", "stopped by the system"),
        ("print('x' * 50 * 2**20)", "printed or wrote too much"),
        ("return object()", "cannot be read"),
    ],
)
def test_an_answer_that_misbehaves_is_told_why(body: str, says: str) -> None:
    start = time.monotonic()
    result = run(answer(body), "02.1", Limits(seconds=3, gigabytes=3))
    troubles = [result] if isinstance(result, Trouble) else result
    assert says in troubles[0].message.en, troubles[0].message
    assert troubles[0].message.vi != troubles[0].message.en
    assert time.monotonic() - start < 60


def test_children_of_an_answer_are_gone_afterwards(tmp_path: Path) -> None:
    sign = tmp_path / "alive"
    code = f"import time; time.sleep(4); open({str(sign)!r}, 'w')"
    run(
        answer(f"import subprocess; subprocess.Popen([sys.executable, '-c', {code!r}]); while_ = 1; os._exit(1)"),
        "02.1",
        Limits(3, 3),
    )
    time.sleep(6)
    assert not sign.exists()


def notebook(folder: Path, *cells: str, name: str = "02_ddpm.ipynb") -> Path:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(book, folder / name)
    return folder / name


def scores(path: Path) -> dict[str, dict]:
    return as_json(grade(path, Limits(seconds=20)), "en")["exercises"]


def test_no_answer_of_a_notebook_spoils_another(tmp_path: Path) -> None:
    """02.1 is right, in a notebook where one cell is no Python, one answer tampers with torch and one was renamed."""
    names = {number: exercise.name for number, exercise in exercises("02").items()}
    path = notebook(
        tmp_path, RIGHT, f"def {names['02.2']}(:\n    pass",
        f"import torch\ndef {names['02.3']}(*args):\n"
        "    torch.isclose = torch.allclose = lambda *a, **k: torch.tensor(True)\n    return 0",
        f"def {names['02.4']}s(*args):\n    return 0", "raise SystemExit",
    )  # fmt: skip
    found = scores(path)
    assert found["02.1"]["points"] == found["02.1"]["maximum"]
    assert "Code cell 2 is not valid Python" in found["02.2"]["hint"]
    assert found["02.3"]["points"] == 0
    assert f"but there is {names['02.4']}s: was it renamed?" in found["02.4"]["hint"]
    assert "was its cell deleted?" in found["02.5"]["hint"]


def test_a_patched_assert_or_equality_changes_no_score(tmp_path: Path) -> None:
    cheat = (
        "import torch\ndef alpha_bars(betas):\n"
        "    import builtins, minidiff.course.exercise as judge\n"
        "    judge.difference = lambda *a, **k: None\n"
        "    torch.Tensor.__eq__ = lambda *a: torch.tensor(True)\n"
        "    return betas"
    )
    assert scores(notebook(tmp_path, cheat))["02.1"]["points"] < exercises("02")["02.1"].points


def test_an_answer_that_writes_results_itself_is_not_read_and_stops_no_grading(tmp_path: Path) -> None:
    cheat = "import os\nimport torch\ndef alpha_bars(betas):\n    torch.save([], 'results.pt')\n    os._exit(0)"
    found = scores(notebook(tmp_path, cheat))
    assert found["02.1"]["points"] == 0 and "cannot be read" in found["02.1"]["hint"]
    assert set(found) == set(exercises("02"))


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
    assert set(score) == {"exercises", "total", "maximum"}
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
        (["--hidden", "."], "holds no hidden checks"),
        (["--hidden", "broken"], "mine.py cannot be run: NameError"),
    ],
)
def test_bad_options_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    path = notebook(tmp_path, RIGHT)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "mine.py").write_text("oops", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert grade_by_command(path, *options) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1


def test_a_notebook_of_no_lesson_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert grade_by_command(notebook(tmp_path, "x = 1", name="mine.ipynb")) == 2
    assert "belongs to no lesson" in capsys.readouterr().err


def test_a_renamed_notebook_is_known_by_its_checks(tmp_path: Path) -> None:
    assert "02.1" in scores(notebook(tmp_path, RIGHT, 'check("02.1", alpha_bars)', name="mine.ipynb"))


def test_hidden_checks_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "mine.py").write_text(
        "import torch\nfrom minidiff.course.exercise import Probe, Say\n"
        "PROBES = {'02.1': (Probe(Say('ten betas', 'mười beta'), lambda f: f(torch.full((10,), 0.5)), points=4),)}\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    (score, *_) = grade(notebook(tmp_path, RIGHT), Limits(seconds=20), Path("hidden"))  # relative, as a teacher types it
    assert score.points == score.maximum == exercises("02")["02.1"].points + 4
