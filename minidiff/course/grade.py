"""`minidiff grade NOTEBOOK`: a score for a notebook, from outside, whatever its code does.

Each exercise is judged by itself, with the reference in place of every other one, so that an early failure costs only its
own points. What it is not: the judging of one answer (exercise.py) or its process (sandbox.py).
"""

from __future__ import annotations

import difflib
import json
import os
import re
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro

from minidiff.course.checks import exercises, hidden_probes, lessons
from minidiff.course.exercise import Exercise, Finding, Say, Trouble, findings
from minidiff.course.extract import Definitions, NotebookError, code_cells, definitions
from minidiff.course.sandbox import UNREADABLE, Limits, run


@dataclass
class GradeRun:
    """Grade an exercise notebook; exits 0 only at or above the pass mark."""

    notebook: tyro.conf.Positional[Path]
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
    seconds: float = 60.0
    """Time limit of each exercise."""
    gigabytes: float = 3.0
    """Memory limit of each exercise."""


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


def grade(notebook: Path, limits: Limits | None = None, hidden: Path | None = None) -> list[Score]:
    """Scores of all exercises of the notebook's lesson. Raises NotebookError when it cannot be read or belongs to none."""
    cells = code_cells(notebook)
    lesson = lesson_of(notebook, cells)
    found = definitions(cells)
    extra = hidden_probes(hidden) if hidden else {}
    chosen = limits or Limits()
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each waits for a process
        return list(pool.map(lambda e: _score(e, found, chosen, hidden, extra.get(e.number, ())), exercises(lesson).values()))


def lesson_of(notebook: Path, cells: list[str]) -> str:
    """The two digits of the lesson: from the checks that the notebook calls, else from the file's name."""
    called = re.findall(r"""check\(\s*["'](\d\d)\.\d""", "\n".join(cells))
    for lesson in [*called, notebook.name[:2]]:
        if lesson in lessons():
            return lesson
    raise NotebookError(f"{notebook} belongs to no lesson: its name should begin with one of {', '.join(lessons())}.")


def _score(exercise: Exercise, found: Definitions, limits: Limits, hidden: Path | None, extra: tuple[Any, ...]) -> Score:
    probes = exercise.probes + tuple(extra)
    whole = replace(exercise, probes=probes)
    results = _absent(exercise, found) or run(found.needed_by(exercise.name), exercise.number, limits, hidden)
    if isinstance(results, list) and len(results) != len(probes):  # an answer that wrote results by itself
        results = UNREADABLE
    if isinstance(results, Trouble):
        results = [results] * len(probes)
    return Score(exercise, tuple(findings(whole, results)))


def _absent(exercise: Exercise, found: Definitions) -> Trouble | None:
    """Why there is no answer to run: its cell does not parse, or it was renamed or deleted."""
    name = exercise.name
    if name in found.names:
        return None
    for _, text, why in found.broken:
        if name in text:
            return Trouble(why)
    others = {other.name for other in exercises(exercise.number.split(".")[0]).values()}
    near = difflib.get_close_matches(name, sorted(found.names - others), n=1, cutoff=0.6)
    if near:
        return Trouble(Say(f"There is no {name} in the notebook, but there is {near[0]}: was it renamed?",
                           f"Trong notebook không có {name}, nhưng có {near[0]}: có phải đã bị đổi tên?"))  # fmt: skip
    return Trouble(Say(f"There is no {name} in the notebook: was its cell deleted?",
                       f"Trong notebook không có {name}: có phải ô của nó đã bị xóa?"))  # fmt: skip


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


def as_markdown(scores: list[Score], lang: str, pass_mark: float) -> str:
    """A table and a verdict, for a person or a pull request."""
    total, maximum = sum(s.points for s in scores), sum(s.maximum for s in scores)
    rows = [
        f"| {s.exercise.number} {s.exercise.title.of(lang)} | {s.points} / {s.maximum} | {s.hint(lang).replace('|', '/')} |"
        for s in scores
    ]
    passed = total >= pass_mark * maximum
    verdict = Say(
        f"**{total} of {maximum} points: {'passed' if passed else 'not passed yet'}** (pass mark {pass_mark:.0%})",
        f"**{total} trên {maximum} điểm: {'đạt' if passed else 'chưa đạt'}** (mức đạt {pass_mark:.0%})",
    )
    return "\n".join([HEAD.of(lang), "|---|---|---|", *rows, "", verdict.of(lang)]) + "\n"


def command(run: GradeRun) -> int:
    """Grade, print, write the reports that were asked for; returns the exit status."""
    if run.lang not in ("en", "vi"):
        raise ValueError(f"There is no language {run.lang!r}: choose --lang en or --lang vi.")
    if not 0 <= run.pass_mark <= 1:
        raise ValueError(f"The pass mark is {run.pass_mark}, but it must be from 0 to 1.")
    scores = grade(run.notebook, Limits(run.seconds, run.gigabytes), run.hidden)
    report = as_json(scores, run.lang)
    text = as_markdown(scores, run.lang, run.pass_mark)
    print(text)
    for path, content in (
        (run.json, json.dumps(report, ensure_ascii=False, indent=2) + "\n"),
        (run.junit, as_junit(scores, run.lang)),
        (run.markdown if str(run.markdown) != "-" else None, text),
    ):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
    return 0 if report["total"] >= run.pass_mark * report["maximum"] else 1
