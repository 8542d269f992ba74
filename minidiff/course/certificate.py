"""The report over all lessons: points, a bar for each skill, what is missing; a certificate once every lesson is passed.

It says what it was made with, and what it cannot show. What it is not: the grading (grade_all.py), nor a proof of who did the
work.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from minidiff.course.grade import escaped
from minidiff.course.road import SKILLS
from minidiff.course.say import Say

STYLE = Path(__file__).with_suffix(".css")
PASSED, BELOW, MISSING = "passed", "below the pass mark", "no notebook"
STATES = {
    PASSED: Say("passed", "đạt"),
    BELOW: Say("not yet", "chưa đạt"),
    MISSING: Say("no notebook", "chưa có notebook"),
}


class Got(NamedTuple):
    """What an exercise got, and what to do next."""

    points: int
    maximum: int
    hint: Say


@dataclass(frozen=True)
class LessonResult:
    """A lesson in the report. state: one of STATES; notebook, sha256: the one that counts, empty where there is none;
    lesson_hash: of the lesson's sources, its checks among them."""

    number: str
    title: Say
    state: str
    exercises: Mapping[str, Got]
    notebook: str
    sha256: str
    lesson_hash: str

    @property
    def points(self) -> int:
        return sum(got.points for got in self.exercises.values())

    @property
    def maximum(self) -> int:
        return sum(got.maximum for got in self.exercises.values())


@dataclass(frozen=True)
class Report:
    """What was graded, and with what. problems: {notebook: why it could not be graded}; hidden: whether a teacher's checks were
    added."""

    name: str
    pass_mark: float
    lessons: tuple[LessonResult, ...]
    problems: Mapping[str, str]
    version: str
    python: str
    torch: str
    date: str
    hidden: bool

    @property
    def points(self) -> int:
        return sum(lesson.points for lesson in self.lessons)

    @property
    def maximum(self) -> int:
        return sum(lesson.maximum for lesson in self.lessons)

    @property
    def left(self) -> tuple[LessonResult, ...]:
        """The lessons that are not passed."""
        return tuple(lesson for lesson in self.lessons if lesson.state != PASSED)

    @property
    def passed(self) -> bool:
        return not self.left

    def skills(self) -> list[tuple[Say, list[str], int, int]]:
        """(skill, its lessons, points, maximum), those alone of which this version has lessons."""
        found = []
        for skill, numbers in SKILLS.items():
            own = [lesson for lesson in self.lessons if lesson.number in numbers]
            if own:
                sums = sum(lesson.points for lesson in own), sum(lesson.maximum for lesson in own)
                found.append((skill, [lesson.number for lesson in own], *sums))
        return found

    def as_json(self) -> dict[str, Any]:
        """All of it, for programs; texts in both languages."""
        return {
            "name": self.name, "passed": self.passed, "points": self.points, "maximum": self.maximum,
            "pass_mark": self.pass_mark, "left": [lesson.number for lesson in self.left], "date": self.date,
            "minidiff": self.version, "python": self.python, "torch": self.torch, "hidden_checks": self.hidden,
            "skills": [
                {"skill": skill._asdict(), "lessons": numbers, "points": points, "maximum": maximum}
                for skill, numbers, points, maximum in self.skills()
            ],
            "lessons": {
                one.number: {
                    "title": one.title._asdict(), "state": one.state, "points": one.points, "maximum": one.maximum,
                    "notebook": one.notebook, "sha256": one.sha256, "lesson_sha256": one.lesson_hash,
                }
                for one in self.lessons
            },
            "problems": dict(self.problems),
        }  # fmt: skip

    def as_text(self, lang: str) -> str:
        """A table in Markdown, and a verdict."""
        rows = [
            f"| {one.number} {one.title.of(lang)} | {one.points} / {one.maximum} | {STATES[one.state].of(lang)} | "
            f"{escaped(one.notebook)} |"
            for one in self.lessons
        ]
        lost = [f"{COULD_NOT.of(lang)} {why}" for why in self.problems.values()]
        return "\n".join([HEAD.of(lang), "|---|---|---|---|", *rows, "", *lost, f"**{verdict(self, lang)}**"])


HEAD = Say("| lesson | points | result | notebook |", "| bài | điểm | kết quả | notebook |")
COULD_NOT = Say("Could not be graded:", "Không chấm được:")
ALL = Say("All {lessons} lessons passed, with {points} of {maximum} points (pass mark of each lesson {mark:.0%}).",
          "Đã đạt cả {lessons} bài, với {points} trên {maximum} điểm (mức đạt của mỗi bài: {mark:.0%}).")  # fmt: skip
SOME = Say("{done} of {lessons} lessons passed, with {points} of {maximum} points (pass mark of each lesson {mark:.0%}).",
           "Đã đạt {done} trên {lessons} bài, với {points} trên {maximum} điểm (mức đạt của mỗi bài: {mark:.0%}).")  # fmt: skip


def verdict(report: Report, lang: str) -> str:
    count = len(report.lessons)
    text = (ALL if report.passed else SOME).of(lang)
    return text.format(
        lessons=count, done=count - len(report.left), points=report.points, maximum=report.maximum, mark=report.pass_mark
    )


# --- the page -----------------------------------------------------------------------------------------------------------

CERTIFICATE = Say("Certificate", "Chứng nhận")
PROGRESS = Say("Progress report", "Báo cáo tiến độ")
COURSE = Say("Images from words: the minidiff course", "Ảnh từ lời: khóa học minidiff")
BY_SKILL = Say("Skills", "Kỹ năng")
BY_LESSON = Say("Lessons", "Các bài")
TO_DO = Say("What is missing", "Còn thiếu gì")
LESSON = Say("lesson", "bài")
LESSON_HEAD = Say("lesson|points|result|notebook|hash of the notebook|hash of the lesson",
                  "bài|điểm|kết quả|notebook|mã băm của notebook|mã băm của bài")  # fmt: skip
NO_NOTEBOOK = Say("There is no notebook of this lesson that could be graded.", "Chưa có notebook nào của bài này chấm được.")
MADE = Say(
    "Graded by <code>minidiff grade --all</code> on {date}, with minidiff {version}, Python {python}, torch {torch}{hidden}.",
    "Chấm bằng <code>minidiff grade --all</code> lúc {date}, với minidiff {version}, Python {python}, torch {torch}{hidden}.",
)
HIDDEN = Say(", and with further checks of a teacher", ", và với các mục kiểm tra thêm của giáo viên")
HONEST = Say(
    "This page was made on the machine of whoever ran the command, by checks whose solutions anybody can read. It says what "
    "these notebooks do, not who wrote them. Whoever has the same notebooks can grade them again with the same version; the "
    "hashes (SHA-256, whole in certificate.json) show which they were.",
    "Trang này được tạo trên máy của người chạy lệnh, bằng các mục kiểm tra mà ai cũng đọc được lời giải. Nó cho biết các "
    "notebook này làm được gì, không cho biết ai viết. Ai có cùng các notebook ấy đều có thể chấm lại bằng cùng phiên bản; mã "
    "băm (SHA-256, đầy đủ trong certificate.json) cho biết đó là những tệp nào.",
)


def share(points: int, maximum: int) -> float:
    """In percent."""
    return 100 * points / maximum if maximum else 0.0


def bar(points: int, maximum: int, mark: float) -> str:
    """A bar with a line at the pass mark; what it shows also stands beside it in numbers."""
    done = share(points, maximum)
    reached = " reached" if done >= 100 * mark else ""
    filled, line = f'<i style="width: {done:.1f}%"></i>', f'<u style="left: {100 * mark:.1f}%"></u>'
    return f'<span class="bar{reached}" aria-hidden="true">{filled}{line}</span>'


def skills_html(report: Report, lang: str) -> str:
    rows = [
        f'<tr><th scope="row">{html.escape(skill.of(lang))}</th><td class="numbers">{LESSON.of(lang)} {", ".join(numbers)}</td>'
        f'<td class="wide">{bar(points, maximum, report.pass_mark)}</td><td class="points">{points} / {maximum}</td></tr>'
        for skill, numbers, points, maximum in report.skills()
    ]
    return f'<table class="skills"><tbody>{"".join(rows)}</tbody></table>'


def lessons_html(report: Report, lang: str) -> str:
    head = "".join(f'<th scope="col">{word}</th>' for word in LESSON_HEAD.of(lang).split("|"))
    rows = [
        f'<tr><th scope="row">{one.number} {html.escape(one.title.of(lang))}</th>'
        f'<td class="points">{one.points} / {one.maximum}</td>'
        f'<td class="{"good" if one.state == PASSED else "bad"}">{STATES[one.state].of(lang)}</td>'
        f"<td>{html.escape(one.notebook)}</td><td><code>{one.sha256[:10]}</code></td><td><code>{one.lesson_hash[:10]}</code></td>"
        "</tr>"
        for one in report.lessons
    ]
    table = f'<table class="lessons"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return f'<div class="scroll">{table}</div>'


def missing_html(report: Report, lang: str) -> str:
    """The lessons that are not passed, each with the exercises that lack points; and notebooks that could not be graded."""
    made = []
    for one in report.left:
        if one.state == MISSING:
            body = f"<p>{NO_NOTEBOOK.of(lang)}</p>"
        else:
            items = "".join(
                f"<li><b>{number}</b> {got.points} / {got.maximum}. {html.escape(got.hint.of(lang))}</li>"
                for number, got in one.exercises.items() if got.points < got.maximum
            )  # fmt: skip
            body = f"<ul>{items}</ul>"
        made.append(f"<h3>{one.number} {html.escape(one.title.of(lang))}</h3>{body}")
    lost = "".join(f"<li>{html.escape(why)}</li>" for why in report.problems.values())
    if lost:
        made.append(f"<h3>{COULD_NOT.of(lang)}</h3><ul>{lost}</ul>")
    return f'<section class="missing"><h2>{TO_DO.of(lang)}</h2>{"".join(made)}</section>' if made else ""


def page(report: Report, lang: str) -> str:
    """The report as HTML that needs no other file."""
    title = (CERTIFICATE if report.passed else PROGRESS).of(lang)
    name = f'<p class="name">{html.escape(report.name)}</p>' if report.name else ""
    made = MADE.of(lang).format(
        date=report.date, version=report.version, python=report.python, torch=html.escape(report.torch),
        hidden=HIDDEN.of(lang) if report.hidden else "",
    )  # fmt: skip
    return f"""<!doctype html>
<html lang="{lang}"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>{STYLE.read_text(encoding="utf-8")}</style></head><body>
<main class="{"passed" if report.passed else "progress"}">
<header><p class="course">{COURSE.of(lang)}</p><h1>{title}</h1>{name}<p class="verdict">{verdict(report, lang)}</p></header>
<h2>{BY_SKILL.of(lang)}</h2>
{skills_html(report, lang)}
<h2>{BY_LESSON.of(lang)}</h2>
{lessons_html(report, lang)}
<footer><p>{made}</p><p>{HONEST.of(lang)}</p></footer>
{missing_html(report, lang)}
</main></body></html>
"""
