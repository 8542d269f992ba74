"""`minidiff grade NOTEBOOK`: a score for a notebook, from outside, whatever its code does.

Each exercise is judged by itself, with the solutions in place of the earlier ones, so that an early failure costs only its
own points. What it is not: the judging of one answer (judging.py) or its process (sandbox.py).
"""

from __future__ import annotations

import json
import math
import os
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tyro

from minidiff.course.catalogue import exercises, hidden_checks, lessons, names
from minidiff.course.exercise import Exercise
from minidiff.course.judging import COURSE_IMPORTED, Finding, findings
from minidiff.course.probing import Outcome, readable
from minidiff.course.sandbox import UNREADABLE, IsolationError, Limits, read_notebook, run_answer
from minidiff.course.say import LANGS, Say
from minidiff.course.source import SourceError
from minidiff.course.variant import seed_of, variant_exercises
from minidiff.utils.files import write_whole
from minidiff.utils.validation import one_line

NOTEBOOK_LIMIT = 100 * 2**20  # bytes


class NotebookError(ValueError):
    """A notebook that cannot be graded; the text says why."""


class GraderError(ValueError):
    """The grader itself failed; the text says at what."""


@dataclass
class GradeRun:
    """Grade an exercise notebook, or with --all those of a folder; exits 0 at or above the pass mark (with --all: of every
    lesson), 1 below it, 2 when there is nothing to grade."""

    notebook: tyro.conf.Positional[Path | None] = None
    """The notebook; with --all the folder, exercises when not given."""
    json: Path | None = None
    """Write the scores here as JSON."""
    junit: Path | None = None
    """Write a JUnit report here."""
    markdown: Path | None = None
    """Write a Markdown summary here; - prints it."""
    lang: str = "en"
    """Language of what is printed: en or vi."""
    pass_mark: float = 0.6
    """Share of the points that passes, 0 to 1."""
    hidden: Path | None = None
    """A teacher's folder with further checks."""
    variant: int | None = None
    """Seed of the variant that was handed out; by default the one in the notebook's name, if there is one."""
    seconds: float = 60.0
    """Time limit of each exercise."""
    gigabytes: float = 3.0
    """Memory limit of each exercise."""
    isolated: bool = False
    """Run answers in bubblewrap: no network, nothing written, other processes out of sight."""
    watch: bool = False
    """Grade again each time the notebook is saved, until Ctrl-C."""
    all: bool = False
    """Grade all notebooks of a folder, and write one report over the whole course: a certificate once every lesson is passed.
    What was graded before and is the same is not graded again."""
    name: str = ""
    """With --all: whose certificate it is."""
    out: Path = Path("build/certificate")
    """With --all: the folder for certificate.html and certificate.json."""


@dataclass(frozen=True)
class Score:
    """What one exercise got."""

    exercise: Exercise
    findings: tuple[Finding, ...]

    @property
    def points(self) -> int:
        return sum(finding.points for finding in self.findings)

    @property
    def maximum(self) -> int:
        return sum(finding.maximum for finding in self.findings)

    def hint(self, lang: str) -> str:
        """The first message, which is the one to act on."""
        return next((f.message.of(lang) for f in self.findings if f.message), "")


@dataclass(frozen=True)
class Graded:
    """The scores of a notebook's exercises, and which walls stood round its answers."""

    scores: list[Score]
    walls: dict[str, bool] = field(default_factory=dict)


def grade(
    notebook: Path, limits: Limits | None = None, hidden: Path | None = None, variant: int | None = None
) -> Graded:
    """Scores of all exercises of the notebook's lesson, or of its variant with this seed.

    Raises NotebookError when it cannot be read or belongs to none, and GraderError when an exercise could not be graded for a
    reason that is none of its answer's."""
    chosen = limits or Limits()
    extra = hidden_checks(hidden) if hidden else {}
    seed = seed_of(notebook.name) if variant is None else variant
    known = names()
    changed = _variants(notebook.name, seed) if seed is not None else {}
    for lesson_changed, given in changed.items():
        known[lesson_changed] = {number: exercise.name for number, exercise in given.items()}
    found = read_notebook(_content(notebook), notebook.name, known, chosen)
    if "error" in found:
        raise NotebookError({
            "notebook": f"{notebook} is not a Jupyter notebook (.ipynb): save it from Jupyter once more.",
        }.get(found["error"], f"{notebook} could not be read within the limits: does Jupyter open it?"))  # fmt: skip
    lesson, answers = found.get("lesson"), found.get("answers")
    if lesson not in lessons() or not isinstance(answers, dict):
        raise NotebookError(f"{notebook} belongs to no lesson: its name should begin with one of {', '.join(lessons())}.")
    plain = exercises(lesson)
    own = {number: _with_hidden(exercise, plain.get(number, exercise), extra.get(number))
           for number, exercise in changed.get(lesson, plain).items()}  # fmt: skip
    walls: list[dict[str, bool]] = []

    def score(exercise: Exercise) -> Score:
        try:
            outcomes, stood = _outcomes(exercise, answers.get(exercise.number, {}), chosen)
        except IsolationError:
            raise
        except Exception as error:  # a full disk, say: no answer must pay for it
            raise GraderError(f"Exercise {exercise.number} could not be graded, and its answer is not to blame "
                              f"({one_line(error)}): grade the notebook once more.") from error  # fmt: skip
        walls.extend([stood] if stood else [])
        try:
            return Score(exercise, tuple(findings(exercise, outcomes)))
        except Exception:  # whatever an answer may have returned: the others are graded
            return Score(exercise, tuple(findings(exercise, [UNREADABLE] * len(exercise.probes))))

    scores: dict[str, Score] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each waits for a process
        for wave in waves(own, answers):
            scores |= {found.exercise.number: found for found in pool.map(score, wave)}
    ordered = [scores[number] for number in own]
    return Graded(ordered, {name: all(stood[name] for stood in walls) for name in (walls[0] if walls else ())})


def _with_hidden(exercise: Exercise, plain: Exercise, hidden: Exercise | None) -> Exercise:
    """The exercise, or its variant, with what a teacher added to the plain one."""
    if hidden is None:
        return exercise
    checks, probes = hidden.checks[len(plain.checks) :], hidden.probes_code[len(plain.probes_code) :]
    return replace(exercise, checks=(*exercise.checks, *checks), probes_code=(*exercise.probes_code, *probes))


def _variants(file: str, seed: int) -> dict[str, Mapping[str, Exercise]]:
    """The exercises of a variant by its lesson. Raises NotebookError for a lesson that has none."""
    lesson = file[:2]
    if lesson not in lessons():
        raise NotebookError(f"{file} is said to be of variant {seed}, but its name doesn't begin with a lesson's number.")
    try:
        return {lesson: variant_exercises(lesson, seed)}
    except (SourceError, ValueError) as error:
        raise NotebookError(f"{file} cannot be graded as variant {seed}: {error}") from None


def company_of(exercise: Exercise, answer: dict[str, Any]) -> list[str]:
    """The names of the earlier exercises whose solutions an answer is given."""
    return [name for name in exercise.before if name in str(answer.get("source", ""))]


def waves(own: Mapping[str, Exercise], answers: Mapping[str, Any]) -> list[list[Exercise]]:
    """The exercises in groups that are run one after the other, so that no solution is in any process while the answer to its
    exercise is still running: the one could hand it to the other."""
    place: dict[str, int] = {}
    found: list[list[Exercise]] = []
    for number, exercise in own.items():
        needed = company_of(exercise, answers.get(number, {}))
        place[exercise.name] = max((place[name] + 1 for name in needed), default=0)
        while len(found) <= place[exercise.name]:
            found.append([])
        found[place[exercise.name]].append(exercise)
    return found


def _content(notebook: Path) -> bytes:
    if not notebook.is_file():  # a FIFO could be waited for without end
        raise NotebookError(f"There is no notebook {notebook}." if not notebook.exists() else f"{notebook} is not a file.")
    size = notebook.stat().st_size
    if not size:  # the kernel's own files say that they are empty, and may be read without end
        raise NotebookError(f"{notebook} is empty: save it from Jupyter once more.")
    if size > NOTEBOOK_LIMIT:
        raise NotebookError(f"{notebook} is larger than {NOTEBOOK_LIMIT // 2**20} MB: clear its outputs and save it once more.")
    with notebook.open("rb") as file:
        return file.read(NOTEBOOK_LIMIT)


def _outcomes(exercise: Exercise, answer: dict[str, Any], limits: Limits) -> tuple[list[Outcome | Say], dict[str, bool]]:
    """What an answer gives, or why there is none: as extract.answers_in tells."""
    count = len(exercise.probes)
    if "source" not in answer:
        return [_absent(exercise.name, answer)] * count, {}
    source = str(answer["source"])
    company = {name: exercise.standing_alone("", name) for name in company_of(exercise, answer)}
    return run_answer(exercise.name, source, company, exercise.probes_code, count, limits)


def _absent(name: str, answer: dict[str, Any]) -> Say:
    """Why there is no answer to run."""
    if "course" in answer:
        return COURSE_IMPORTED
    if "broken" in answer:
        cell, what, line = answer["broken"]
        why = readable(str(what))
        place, place_vi = (f"line {line}", f"dòng {line}") if line else ("its end", "cuối ô")
        return Say(f"Code cell {cell} is not valid Python ({why}, {place}), so nothing in it counts.",
                   f"Ô mã {cell} không phải Python hợp lệ ({why}, {place_vi}), nên không được tính.")  # fmt: skip
    if "near" in answer:
        near = readable(str(answer["near"]))[:80]
        return Say(f"There is no {name} in the notebook, but there is {near}: was it renamed?",
                   f"Trong notebook không có {name}, nhưng có {near}: có phải đã bị đổi tên?")  # fmt: skip
    return Say(f"There is no {name} in the notebook: was its cell deleted?",
               f"Trong notebook không có {name}: có phải ô của nó đã bị xóa?")  # fmt: skip


# --- reports --------------------------------------------------------------------------------------------------------


def as_json(scores: list[Score], lang: str) -> dict[str, Any]:
    """{"exercises": {number: {points, maximum, passed, failed, hint}}, "total", "maximum"}."""
    rows = {
        s.exercise.number: {
            "points": s.points, "maximum": s.maximum,
            "passed": [f.what.of(lang) for f in s.findings if f.passed],
            "failed": [f.what.of(lang) for f in s.findings if not f.passed],
            "hint": s.hint(lang),
        }
        for s in scores
    }  # fmt: skip
    return {"exercises": rows, "total": sum(s.points for s in scores), "maximum": sum(s.maximum for s in scores)}


def as_junit(scores: list[Score], lang: str) -> str:
    """One suite per exercise, one case per probe."""
    root = ET.Element("testsuites")
    for score in scores:
        failures = str(sum(not f.passed for f in score.findings))
        suite = ET.SubElement(root, "testsuite", name=f"{score.exercise.number} {score.exercise.name}",
                              tests=str(len(score.findings)), failures=failures)  # fmt: skip
        for finding in score.findings:
            case = ET.SubElement(suite, "testcase", classname=score.exercise.number, name=finding.what.of(lang))
            if finding.message:
                ET.SubElement(case, "failure", message=finding.message.of(lang))
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


HEAD = Say("| exercise | points | what to do next |", "| bài tập | điểm | việc cần làm tiếp |")


def escaped(text: str) -> str:
    """A message without what Markdown or HTML would make of it: some of its words come from the answer."""
    for mark, shown in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "/"), ("![", "! ["), ("](", "] (")):
        text = text.replace(mark, shown)
    return text


def as_markdown(scores: list[Score], lang: str, pass_mark: float) -> str:
    """A table and a verdict, for a person or a pull request."""
    total, maximum = sum(s.points for s in scores), sum(s.maximum for s in scores)
    rows = [
        f"| {s.exercise.number} {s.exercise.title.of(lang)} | {s.points} / {s.maximum} | {escaped(s.hint(lang))} |"
        for s in scores
    ]
    passed = total >= pass_mark * maximum
    verdict = Say(
        f"**{total} of {maximum} points: {'passed' if passed else 'not passed yet'}** (pass mark {pass_mark:.0%})",
        f"**{total} trên {maximum} điểm: {'đạt' if passed else 'chưa đạt'}** (mức đạt {pass_mark:.0%})",
    )
    return "\n".join([HEAD.of(lang), "|---|---|---|", *rows, "", verdict.of(lang)]) + "\n"


OPEN = Say(
    "On this system only time and memory of answers are limited: grade strangers' work with --isolated, or in a container.",
    "Trên hệ thống này chỉ giới hạn được thời gian và bộ nhớ của bài làm: hãy chấm bài của người lạ với --isolated, hoặc "
    "trong container.",
)


def command(run: GradeRun) -> int:
    """Grade, print, write the reports that were asked for; returns the exit status. Raises ValueError for options that make no
    sense and notebooks that cannot be graded."""
    if run.lang not in LANGS:
        raise ValueError(f"There is no language {run.lang!r}: choose --lang en or --lang vi.")
    if not 0 <= run.pass_mark <= 1:
        raise ValueError(f"The pass mark is {run.pass_mark}, but it must be from 0 to 1.")
    for name, value in (("seconds", run.seconds), ("gigabytes", run.gigabytes)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"--{name} is {value}, but it must be a number above 0.")
    if run.all:
        from minidiff.course.grade_all import command_all

        if run.json or run.junit or run.markdown or run.watch:
            raise ValueError("--all writes certificate.html and certificate.json into --out; leave out --json, --junit, "
                             "--markdown and --watch.")  # fmt: skip
        return command_all(run)
    if run.notebook is None:
        raise ValueError("missing: notebook, such as exercises/en/02_ddpm.ipynb; or --all (see minidiff grade --help)")
    if run.name or run.out != GradeRun.out:
        raise ValueError("--name and --out belong to --all.")
    return _watching(run, run.notebook) if run.watch else _once(run, run.notebook)


def _once(run: GradeRun, notebook: Path) -> int:
    graded = grade(notebook, Limits(run.seconds, run.gigabytes, run.isolated), run.hidden, run.variant)
    report = as_json(graded.scores, run.lang)
    text = as_markdown(graded.scores, run.lang, run.pass_mark)
    print(text)
    if graded.walls and not (graded.walls.get("calls") and graded.walls.get("files")) and not run.isolated:
        print(OPEN.of(run.lang))
    for path, content in (
        (run.json, json.dumps({**report, "walls": graded.walls}, ensure_ascii=False, indent=2) + "\n"),
        (run.junit, as_junit(graded.scores, run.lang)),
        (run.markdown if str(run.markdown) != "-" else None, text),
    ):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
    return 0 if report["total"] >= run.pass_mark * report["maximum"] else 1


WATCHING = Say("Waiting for {name} to be saved; Ctrl-C ends.", "Đang chờ {name} được lưu; Ctrl-C để dừng.")


def _watching(run: GradeRun, notebook: Path) -> int:
    """Grade whenever the file has changed; returns the last status when Ctrl-C comes."""
    seen, status = None, 2
    try:
        while True:
            now = notebook.stat().st_mtime_ns if notebook.is_file() else None
            if now != seen or now is None:
                seen = now
                try:
                    status = _once(run, notebook)
                except NotebookError as error:  # half written, say
                    print(error)
                    status = 2
                print(WATCHING.of(run.lang).format(name=notebook.name), flush=True)
            time.sleep(0.5)
    except KeyboardInterrupt:
        return status
