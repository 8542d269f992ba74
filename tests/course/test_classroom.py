"""What a class uses: the template repository in classroom/ and the teacher's pages in both languages."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
import yaml

from minidiff.cli import course_commands
from minidiff.course.catalogue import exercises, get_exercise, hidden_checks
from minidiff.course.grade import GradeRun, Score, as_json, as_junit, as_markdown
from minidiff.course.judging import COURSE_IMPORTED, explain, judge
from minidiff.course.sandbox import TOO_MUCH
from minidiff.utils import release

ROOT = Path(__file__).parents[2]
CLASSROOM = ROOT / "classroom"
PAGES = {"en": ROOT / "docs" / "teaching.md", "vi": ROOT / "docs" / "giang-day.md"}
TWINS = [(PAGES["en"], PAGES["vi"]), (CLASSROOM / "README.md", CLASSROOM / "README.vi.md")]
WORKFLOW = yaml.safe_load((CLASSROOM / ".github" / "workflows" / "grade.yml").read_text(encoding="utf-8"))
STEPS = WORKFLOW["jobs"]["grade"]["steps"]

RIGHT = """
def alpha_bars(betas):
    return torch.cat([betas.new_ones(1), (1 - betas).cumprod(0)])
"""
WRONG = """
def q_sample(x0, eps, t, alpha_bar):
    a = alpha_bar[t].reshape(-1, *[1] * (x0.ndim - 1))
    return a.sqrt() * x0 + (1 - a) * eps
"""


def write_notebook(path: Path, *cells: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)


def grade_sh(folder: Path, *words: str, programs: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """`sh grade.sh WORDS` of a copy of the classroom in `folder`, with `minidiff` from `programs` or this Python's."""
    shutil.copy(CLASSROOM / "grade.sh", folder)
    path = f"{programs or Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(["sh", "grade.sh", *words], cwd=folder, env={**os.environ, "PATH": path, **environment},
                          capture_output=True, text=True, encoding="utf-8", check=False)  # fmt: skip


# --- the workflow -------------------------------------------------------------------------------------------------------


def test_the_workflow_installs_the_release_that_notebooks_install() -> None:
    assert WORKFLOW["env"]["MINIDIFF"] == f"minidiff[course] @ {release.WHEEL}"
    assert any('pip install "$MINIDIFF"' in step.get("run", "") for step in STEPS)


def test_the_workflow_grades_then_shows_and_keeps_the_scores_even_of_a_failure() -> None:
    names = [step.get("name") for step in STEPS]
    grade, show, keep = (STEPS[names.index(name)] for name in ("Grade", "Show the scores", "Keep the scores"))
    assert names.index("Grade") < names.index("Show the scores") < names.index("Keep the scores")
    assert grade["run"] == "sh grade.sh exercises scores" and "if" not in grade and "continue-on-error" not in grade
    assert "$GITHUB_STEP_SUMMARY" in show["run"] and keep["with"]["path"] == "scores/"
    assert show["if"] == keep["if"] == "${{ !cancelled() }}"


def test_what_the_workflow_sets_is_what_the_script_reads() -> None:
    script = (CLASSROOM / "grade.sh").read_text(encoding="utf-8")
    read = set(re.findall(r"\$\{(GRADE_\w+):-", script))
    assert {name for name in WORKFLOW["env"] if name.startswith("GRADE_")} <= read
    assert read == {"GRADE_PASS_MARK", "GRADE_LANG", "GRADE_SECONDS", "GRADE_GIGABYTES", "GRADE_HIDDEN"}


# --- grade.sh with the grader -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A student's repository after `sh grade.sh`: one right function and one wrong, in a notebook with blanks in its name."""
    folder = tmp_path_factory.mktemp("student")
    write_notebook(folder / "exercises" / "02 my first try.ipynb", "import torch", RIGHT, WRONG)
    return folder, grade_sh(folder)


def test_below_the_pass_mark_it_exits_1_and_every_report_is_there(graded: Any) -> None:
    folder, done = graded
    assert done.returncode == 1, done.stderr
    report = folder / "scores" / "02 my first try"
    score = json.loads(Path(f"{report}.json").read_text(encoding="utf-8"))["exercises"]
    assert score["02.1"]["points"] == score["02.1"]["maximum"] and 0 < score["02.2"]["points"] < score["02.2"]["maximum"]
    assert "standard deviation" in score["02.2"]["hint"]
    assert ET.parse(f"{report}.xml").getroot().find("testsuite").get("name") == "02.1 alpha_bars"  # type: ignore[union-attr]
    summary = (folder / "scores" / "summary.txt").read_text(encoding="utf-8")
    assert summary == f"## 02 my first try\n\n{Path(f'{report}.md').read_text(encoding='utf-8')}\n"
    assert "1 graded, 1 not passed" in done.stdout


def test_at_a_pass_mark_of_0_it_exits_0_and_hidden_checks_and_language_arrive(tmp_path: Path) -> None:
    right = WRONG.replace("(1 - a) * eps", "(1 - a).sqrt() * eps")
    write_notebook(tmp_path / "exercises" / "02_ddpm.ipynb", "import torch", right)
    hidden = str(CLASSROOM / "hidden-example")
    done = grade_sh(tmp_path, GRADE_PASS_MARK="0", GRADE_LANG="vi", GRADE_HIDDEN=hidden)
    assert done.returncode == 0, done.stderr
    score = json.loads((tmp_path / "scores" / "02_ddpm.json").read_text(encoding="utf-8"))["exercises"]["02.2"]
    assert score["failed"] == [] and "một lịch nhiễu khác" in score["passed"]


def test_the_class_list_of_the_pages_reads_the_scores(graded: Any) -> None:
    folder, _ = graded
    for page in PAGES.values():
        (program,) = re.findall(r"python - <<'END'\n(.*?)END", page.read_text(encoding="utf-8"), re.DOTALL)
        done = subprocess.run([sys.executable, "-"], input=program, cwd=folder, capture_output=True, text=True, check=True)
        assert re.fullmatch(rf"02 my first try,\d+,{sum(e.points for e in exercises('02').values())}\n", done.stdout)


# --- grade.sh alone -----------------------------------------------------------------------------------------------------

PRETENDED = """#!/bin/sh
echo "$@" >> calls.txt
case "$2" in *.ipynb) notebook=$2 ;; *) exit 9 ;; esac
while [ $# -gt 0 ]; do [ "$1" = --markdown ] && report=$2; shift; done
mkdir -p "$(dirname "$report")"
case "$notebook" in
    *good*) echo passed > "$report" ;;
    *bad*) echo "not passed" > "$report"; exit 1 ;;
    *) echo "minidiff: that is no notebook." >&2; exit 2 ;;
esac
"""


@pytest.fixture
def pretended(tmp_path: Path) -> Path:
    """A folder with a `minidiff` that goes by the name of the notebook, so that the loop can be looked at by itself."""
    program = tmp_path / "bin" / "minidiff"
    program.parent.mkdir()
    program.write_text(PRETENDED, encoding="utf-8")
    program.chmod(0o755)
    return program.parent


@pytest.mark.parametrize(
    ("names", "status", "last"),
    [
        (["good.ipynb"], 0, "1 graded, 0 not passed"),
        (["bad.ipynb", "good.ipynb"], 1, "2 graded, 1 not passed"),
        (["bad.ipynb", "odd.ipynb", "so good.ipynb"], 2, "3 graded, 2 not passed"),
        (["summary.ipynb", "good summary.ipynb"], 2, "2 graded, 1 not passed"),
        (["an/good.ipynb", "minh khoa/exercises/bad.ipynb"], 1, "2 graded, 1 not passed"),
        ([".ipynb_checkpoints/bad.ipynb", "good.ipynb"], 0, "1 graded, 0 not passed"),
    ],
)
def test_every_notebook_is_graded_whatever_became_of_the_others(
    tmp_path: Path, pretended: Path, names: list[str], status: int, last: str
) -> None:
    for name in names:
        write_notebook(tmp_path / "exercises" / name)
    done = grade_sh(tmp_path, "exercises", "my scores", programs=pretended)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (status, f"{last}; scores are in my scores.")
    summary = (tmp_path / "my scores" / "summary.txt").read_text(encoding="utf-8")
    for name in (name for name in names if not name.startswith(".")):
        assert f"## {name.removesuffix('.ipynb')}\n" in summary
    assert ("that is no notebook" in summary) == (status == 2), "why one was not graded stands in its place"


def test_scores_of_an_earlier_run_do_not_outlive_a_notebook_that_cannot_be_graded(tmp_path: Path, pretended: Path) -> None:
    write_notebook(tmp_path / "exercises" / "odd.ipynb")
    (tmp_path / "scores").mkdir()
    for suffix in ("json", "xml", "md"):
        (tmp_path / "scores" / f"odd.{suffix}").write_text("old", encoding="utf-8")
    assert grade_sh(tmp_path, programs=pretended).returncode == 2
    assert sorted(path.name for path in (tmp_path / "scores").iterdir()) == ["odd.md", "summary.txt"]
    assert "old" not in (tmp_path / "scores" / "odd.md").read_text(encoding="utf-8")


def test_its_environment_becomes_options(tmp_path: Path, pretended: Path) -> None:
    write_notebook(tmp_path / "exercises" / "good.ipynb")
    grade_sh(tmp_path, programs=pretended, GRADE_PASS_MARK="0.8", GRADE_LANG="vi", GRADE_SECONDS="9", GRADE_GIGABYTES="2",
             GRADE_HIDDEN="the hidden")  # fmt: skip
    call = (tmp_path / "calls.txt").read_text(encoding="utf-8")
    assert "--lang vi --pass-mark 0.8 --seconds 9 --gigabytes 2 --hidden the hidden" in call
    given = set(re.findall(r"--([a-z-]+)", call))
    others = {"notebook", "isolated", "watch", "variant", "all", "name", "out"}  # a variant's seed is in the notebook's name
    assert given == {field.name.replace("_", "-") for field in fields(GradeRun)} - others


@pytest.mark.parametrize(("lang", "says"), [("en", "There are no notebooks in exercises"), ("vi", "Không có notebook nào")])
def test_an_empty_folder_is_said_to_be_empty(tmp_path: Path, pretended: Path, lang: str, says: str) -> None:
    done = grade_sh(tmp_path, programs=pretended, GRADE_LANG=lang)
    assert done.returncode == 2 and says in done.stderr and not (tmp_path / "calls.txt").exists()


def test_without_minidiff_it_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "sh").symlink_to(shutil.which("sh") or "")
    done = grade_sh(tmp_path, PATH=str(tmp_path))
    assert done.returncode == 2 and "minidiff is not installed here" in done.stderr


# --- hidden checks ------------------------------------------------------------------------------------------------------


def test_the_solution_passes_the_hidden_example_and_what_it_looks_for_does_not() -> None:
    checks = hidden_checks(CLASSROOM / "hidden-example")
    assert set(checks) == {"02.2"}
    exercise = checks["02.2"]
    own = len(get_exercise("02.2").probes)
    fixed = torch.tensor([1.0, 0.9, 0.72, 0.432, 0.216] * 2, dtype=torch.float64)  # the schedule of the lesson's checks
    answers: dict[str, Callable[..., Any]] = {
        "solution": exercise.reference,
        "schedule": lambda x0, eps, t, alpha_bar: exercise.reference(x0, eps, t, fixed),
        "in place": lambda x0, eps, t, alpha_bar: x0.copy_(exercise.reference(x0, eps, t, alpha_bar)),
    }
    passed = {name: [finding.passed for finding in judge(exercise, answer)[own:]] for name, answer in answers.items()}
    assert passed == {"solution": [True, True], "schedule": [False, False], "in place": [False, False]}
    pictures_alone = judge(exercise, lambda x0, eps, t, alpha_bar: exercise.reference(x0[:, :], eps, t, alpha_bar.view(-1)))
    assert all(finding.passed for finding in pictures_alone)


# --- the pages ----------------------------------------------------------------------------------------------------------


def code_in(page: Path) -> list[str]:
    """Lines of the code blocks and the pieces of code within the text."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", rest)


@pytest.mark.parametrize("page", [page for pair in TWINS for page in pair], ids=lambda page: page.name)
def test_every_command_on_a_page_has_the_options_that_it_is_given(page: Path) -> None:
    known = {f"course {name}": {field.name for field in fields(command.options)} for name, command in course_commands().items()}
    known |= {"grade": {field.name for field in fields(GradeRun)}, "zoo": set()}
    for code in code_in(page):
        words = shlex.split(code, comments=True) if code.startswith("minidiff ") else [code] if code.startswith("--") else []
        if words[:1] == ["minidiff"]:
            command = " ".join(words[1:3]) if words[1] == "course" else words[1]
            assert command in known, code
            allowed = known[command]
        else:
            allowed = set().union(*known.values())
        used = {name.replace("-", "_") for word in words for name in re.findall(r"^--([a-z-]+)", word)}
        assert used <= allowed, f"{code}: there is no option {used - allowed}"


@pytest.mark.parametrize(("english", "vietnamese"), TWINS, ids=lambda page: page.name)
def test_both_languages_have_the_same_headings_and_code_blocks(english: Path, vietnamese: Path) -> None:
    def shape(page: Path) -> list[str]:
        return re.findall(r"^ *(```|#+ (?=\S)|\|--|\d+\. )", page.read_text(encoding="utf-8"), re.MULTILINE)

    assert shape(english) == shape(vietnamese) and len(shape(english)) > 5


@pytest.mark.parametrize("lang", PAGES)
def test_what_the_teachers_page_shows_is_what_the_grader_says(lang: str) -> None:
    space: dict[str, Any] = {"torch": torch}
    exec(RIGHT + WRONG, space)

    def stub(*_: Any) -> None:
        raise NotImplementedError

    scores = [Score(e, tuple(judge(e, space.get(e.name, stub)))) for e in exercises("02").values()]
    text = PAGES[lang].read_text(encoding="utf-8")
    assert as_markdown(scores, lang, 0.6) in text
    shown = json.dumps({"02.2": as_json(scores, lang)["exercises"]["02.2"]}, ensure_ascii=False, indent=2)[2:-2]
    assert textwrap.indent(shown, "  ") in text
    case = re.search(r"<testcase.*?</testcase>", as_junit([scores[1]], lang).split("/>", 1)[1])
    assert case and case[0] in text
    refused = explain("PermissionError", "[Errno 1] Operation not permitted")
    said = [explain(kind, "") for kind in ("SystemExit", "MemoryError", "NotImplementedError")]
    for sentence in (*said, refused, TOO_MUCH, COURSE_IMPORTED):
        assert f"| {sentence.of(lang)} |" in text
    assert f"{sum(e.minutes for e in exercises('02').values())} " in text
