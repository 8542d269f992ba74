"""`minidiff grade --all`: every exercise notebook of a folder, one report over the whole course, as HTML and JSON.

A notebook that was graded before is not graded again while it, the checks of its lesson and the library are the same; the
report itself holds what is remembered. What it is not: the grading of one notebook (grade.py), nor the page (certificate.py).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

from tqdm import tqdm

import minidiff
from minidiff.course.catalogue import exercises, folders, lessons
from minidiff.course.certificate import BELOW, MISSING, PASSED, Got, LessonResult, Report, page
from minidiff.course.grade import OPEN, GraderError, GradeRun, NotebookError, grade
from minidiff.course.road import ROAD
from minidiff.course.sandbox import Limits
from minidiff.course.say import Say
from minidiff.utils import strict_json
from minidiff.utils.files import write_whole

FOLDER = Path("exercises")
PLACES = ("", "en", "vi", "exercises", "exercises/en", "exercises/vi")  # within the folder, in this order
NAME_LIMIT = 100  # characters
PACKAGE = Path(minidiff.__file__).parent


@dataclass(frozen=True)
class Notebook:
    """What a notebook got. path: seen from the folder; key: changes with all that its scores depend on; sha256: of its file;
    walls: what stood round its answers, as grade.Graded says."""

    path: str
    key: str
    sha256: str
    lesson: str
    exercises: Mapping[str, Got]
    walls: Mapping[str, bool] = field(default_factory=dict)

    @property
    def points(self) -> int:
        return sum(got.points for got in self.exercises.values())

    @property
    def maximum(self) -> int:
        return sum(got.maximum for got in self.exercises.values())


# --- what scores depend on ----------------------------------------------------------------------------------------------


def sha(parts: Iterable[bytes]) -> str:
    """One hash of several texts; where each ends counts, too."""
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def _files(paths: Iterable[Path], root: Path) -> str:
    ordered = sorted(paths)
    return sha(part for path in ordered for part in (path.relative_to(root).as_posix().encode(), path.read_bytes()))


@cache
def lesson_hash(number: str) -> str:
    """Of all sources of a lesson: its texts, solutions and checks."""
    (folder,) = folders(only=number)
    return _files(folder.glob("*.py"), folder)


@cache
def library_hash() -> str:
    """Of minidiff's own Python but for lessons and studio, and of the version of torch: what answers and solutions run on."""
    apart = (PACKAGE / "course" / "lessons", PACKAGE / "studio")
    own = (path for path in PACKAGE.rglob("*.py") if not any(path.is_relative_to(folder) for folder in apart))
    return sha([_files(own, PACKAGE).encode(), importlib.metadata.version("torch").encode()])


def key_of(path: Path, content: bytes, limits: Limits, hidden: Path | None) -> str:
    """Changes with the notebook, its lesson (all lessons, where its name tells none), the library, and how it is graded."""
    own = [path.name[:2]] if path.name[:2] in lessons() else lessons()
    theirs = _files((file for file in hidden.rglob("*.py")), hidden) if hidden else ""
    parts = (path.name, *map(lesson_hash, own), library_hash(), repr(limits), theirs)
    return sha([content, *(part.encode() for part in parts)])


# --- what was graded before ---------------------------------------------------------------------------------------------


def as_record(notebook: Notebook) -> dict[str, Any]:
    """A notebook's scores as JSON; hints in both languages, so that either report can be made of it."""
    own = {
        number: {"points": got.points, "maximum": got.maximum, "hint": {"en": got.hint.en, "vi": got.hint.vi}}
        for number, got in notebook.exercises.items()
    }
    return {"path": notebook.path, "key": notebook.key, "sha256": notebook.sha256, "lesson": notebook.lesson,
            "exercises": own, "walls": dict(notebook.walls)}  # fmt: skip


def from_record(record: Any) -> Notebook:
    """Raises ValueError, TypeError or KeyError for what `as_record` doesn't write."""
    own = {}
    for number, row in record["exercises"].items():
        got = Got(row["points"], row["maximum"], Say(row["hint"]["en"], row["hint"]["vi"]))
        if not (type(got.points) is type(got.maximum) is int and 0 <= got.points <= got.maximum):
            raise ValueError(number)
        own[number] = got
    path, key, found, lesson = (record[word] for word in ("path", "key", "sha256", "lesson"))
    words = [path, key, found, lesson, *(word for got in own.values() for word in got.hint)]
    if not all(isinstance(word, str) for word in words) or own.keys() != exercises(lesson).keys():
        raise ValueError(lesson)
    return Notebook(path, key, found, lesson, own, {str(wall): bool(stood) for wall, stood in record["walls"].items()})


def remembered(report: Path) -> dict[str, Notebook]:
    """{key: notebook} of an earlier report; nothing of a file that is none, or was damaged."""
    try:
        records = strict_json.read(report)["notebooks"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    found = {}
    for record in records if isinstance(records, list) else []:
        try:
            notebook = from_record(record)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        found[notebook.key] = notebook
    return found


# --- grading ------------------------------------------------------------------------------------------------------------


def notebooks_in(folder: Path) -> list[Path]:
    """The notebooks of a learner's folder, the English ones first. Raises NotebookError when there are none."""
    if not folder.is_dir():
        alone = f"{folder} is no folder: leave out --all to grade a notebook alone."
        raise NotebookError(alone if folder.exists() else f"There is no folder {folder}.")
    found = [path for place in PLACES for path in sorted((folder / place).glob("*.ipynb"))]
    if not found:
        raise NotebookError(f"There are no notebooks (.ipynb) in {folder}, nor in its folders {', '.join(PLACES[1:])}.")
    return found


def graded(path: Path, folder: Path, limits: Limits, hidden: Path | None, before: Mapping[str, Notebook]) -> Notebook:
    """The scores of a notebook, those of `before` where it is the same. Raises as grade.grade, and OSError."""
    content = path.read_bytes() if path.is_file() and path.stat().st_size < 2**30 else b""  # grade says what is wrong with it
    key = key_of(path, content, limits, hidden)
    if key in before and content:
        return before[key]
    done = grade(path, limits, hidden)
    own = {s.exercise.number: Got(s.points, s.maximum, Say(s.hint("en"), s.hint("vi"))) for s in done.scores}
    lesson = done.scores[0].exercise.number[:2]
    found = hashlib.sha256(content).hexdigest()
    return Notebook(path.relative_to(folder).as_posix(), key, found, lesson, own, done.walls)


def best(found: Sequence[Notebook]) -> dict[str, Notebook]:
    """{lesson: the notebook with most points}, so that an untouched copy in the other language does no harm."""
    chosen: dict[str, Notebook] = {}
    for notebook in found:
        if notebook.lesson not in chosen or notebook.points > chosen[notebook.lesson].points:
            chosen[notebook.lesson] = notebook
    return chosen


def report_of(run: GradeRun, found: Sequence[Notebook], problems: Mapping[str, str]) -> Report:
    """The report over all lessons that have exercises."""
    chosen = best(found)
    rows = []
    for number in lessons():
        notebook = chosen.get(number)
        if notebook is None:
            own = {n: Got(0, exercise.points, Say("", "")) for n, exercise in exercises(number).items()}
            rows.append(LessonResult(number, ROAD[number], MISSING, own, "", "", lesson_hash(number)))
            continue
        state = PASSED if notebook.points >= run.pass_mark * notebook.maximum else BELOW
        rows.append(LessonResult(
            number, ROAD[number], state, notebook.exercises, notebook.path, notebook.sha256, lesson_hash(number)
        ))  # fmt: skip
    return Report(
        run.name, run.pass_mark, tuple(rows), dict(problems), minidiff.__version__, platform.python_version(),
        importlib.metadata.version("torch"), datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"), run.hidden is not None,
    )  # fmt: skip


def checked_name(name: str) -> str:
    """A name as it is shown. Raises ValueError for one that is no line of text."""
    name = " ".join(name.split())
    if len(name) > NAME_LIMIT or not all(letter.isprintable() for letter in name):
        raise ValueError(f"--name must be a name of at most {NAME_LIMIT} characters that can be printed.")
    return name


def save(run: GradeRun, found: Sequence[Notebook], problems: Mapping[str, str]) -> Report:
    """Write certificate.json and certificate.html, each whole or not at all."""
    report = report_of(run, found, problems)
    records = {**report.as_json(), "notebooks": [as_record(notebook) for notebook in found]}
    write_whole(run.out / "certificate.json", json.dumps(records, ensure_ascii=False, indent=2) + "\n")
    write_whole(run.out / "certificate.html", page(report, run.lang))
    return report


def command_all(run: GradeRun) -> int:
    """Grade what is new, print and write the report; 0 when every lesson is passed, else 1. Raises ValueError for options that
    make no sense, and NotebookError when there is nothing to grade."""
    run.name = checked_name(run.name)
    folder = run.notebook or FOLDER
    limits = Limits(run.seconds, run.gigabytes, run.isolated)
    waiting = notebooks_in(folder)
    before = remembered(run.out / "certificate.json")
    found: list[Notebook] = []
    problems: dict[str, str] = {}
    bar = tqdm(waiting, unit="notebook", leave=False)
    for path in bar:
        name = path.relative_to(folder).as_posix()
        bar.set_description(name)
        done = best(found).get(path.name[:2])
        if done and done.points == done.maximum:
            continue  # all points in the other language
        try:
            notebook = graded(path, folder, limits, run.hidden, before)
        except (NotebookError, GraderError, OSError) as error:
            problems[name] = " ".join(str(error).replace(str(path), name).split())
            continue
        found.append(notebook)
        if notebook.key not in before:
            save(run, found, problems)  # so that a stop loses nothing
    report = save(run, found, problems)
    print(report.as_text(run.lang))
    if not run.isolated and any(one.walls and not (one.walls.get("calls") and one.walls.get("files")) for one in found):
        print(OPEN.of(run.lang))
    print(*(run.out / f"certificate.{ending}" for ending in ("html", "json")), sep="\n")
    return 0 if report.passed else 1
