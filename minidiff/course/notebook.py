"""What every notebook of the course imports: `check`, `payoff`, `source`, and the figures of utils/plots.py.

`check("04.2", ddim_step)` judges an answer where it was written, without a network. It shows what is right, what is not and
the likeliest mistake, in the notebook's language, and raises when anything is wrong, so that a notebook that is run from the
top (nbmake) stops there. What it is not: the grading of a whole notebook from outside (grade.py).
"""

from __future__ import annotations

import html
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

import minidiff
from minidiff.course.catalogue import get_exercise
from minidiff.course.exercise import Exercise
from minidiff.course.judging import Finding, difference, judge
from minidiff.course.say import LANGS, Say
from minidiff.utils.plots import cloud, histogram, lines, panels, show, slider

__all__ = [
    "CheckFailed", "check", "cloud", "histogram", "language", "lines", "panels", "payoff", "show", "slider", "source",
    "variant",
]  # fmt: skip

PASSED = Say("All {points} points. Well done.", "Đủ {points} điểm. Làm tốt lắm.")
FAILED = Say("{points} of {maximum} points so far.", "Mới được {points} trên {maximum} điểm.")

REFERENCE = Say("solution", "lời giải")
MINE = Say("yours", "của bạn")
PICTURE = Say("your picture", "bức tranh của bạn")

GOOD, BAD = "#1a7f37", "#b42318"  # green and red that can be read on white and on black

_lang = "en"
_seed: int | None = None  # of the variant whose notebook this is


class CheckFailed(AssertionError):
    """The answer is not right yet; the findings are shown above."""

    def _render_traceback_(self) -> list[str]:
        return [f"CheckFailed: {self}"]  # a traceback through the grader's code would only hide what was found


def language(lang: str) -> None:
    """Choose "en" or "vi" for what `check` says. A notebook's first cell does."""
    global _lang
    if lang not in LANGS:
        raise ValueError(f"There is no language {lang!r}: choose one of {', '.join(LANGS)}.")
    _lang = lang


def spoken() -> str:
    """The language that was chosen."""
    return _lang


def variant(seed: int | None) -> None:
    """Say of which variant the notebook's exercises are; None: of none. The first cell of such a notebook does."""
    global _seed
    _seed = seed


def exercise_of(number: str) -> Exercise:
    """The exercise of that number in this notebook. Raises ValueError for a number that is no exercise's."""
    if _seed is None:
        return get_exercise(number)
    from minidiff.course.variant import variant_exercises  # it needs what builds notebooks, which a plain one does without

    found = variant_exercises(number.split(".")[0], _seed)
    return found[number] if number in found else get_exercise(number)


def check(number: str, answer: Any) -> None:
    """Judge `answer`, show the findings, and raise CheckFailed unless everything is right.

    Raises ValueError for a number that is no exercise's."""
    exercise = exercise_of(number)
    found = judge(exercise, answer)
    points, maximum = sum(f.points for f in found), exercise.points
    verdict = (PASSED if points == maximum else FAILED).of(_lang).format(points=points, maximum=maximum)
    _show(number, verdict, found, points == maximum)
    if points < maximum:
        messages = dict.fromkeys(f.message.of(_lang) for f in found if f.message)
        raise CheckFailed(" ".join([f"{number}: {verdict}", *messages]))


def _show(number: str, verdict: str, found: list[Finding], passed: bool) -> None:
    """As HTML in a notebook, as text elsewhere; a message that several findings share is shown once."""
    messages = [f.message.of(_lang) if f.message else "" for f in found]
    once = ["" if message in messages[:k] else message for k, message in enumerate(messages)]
    lines = [(f.passed, f.what.of(_lang), message, f.points, f.maximum) for f, message in zip(found, once, strict=True)]
    if not _in_notebook():
        for ok, what, message, got, most in lines:
            print(f"{'✓' if ok else '✗'} {what} ({got}/{most}){': ' + message if message else ''}")
        print(f"{number}: {verdict}")
        return
    from IPython.display import HTML, display

    rows = "".join(_row(*line) for line in lines)
    style = f"border-left:4px solid {GOOD if passed else BAD};padding:4px 12px"
    heading = f"<b>{number}</b> {html.escape(verdict)}"
    display(HTML(f"<div style='{style}'>{heading}<ul style='padding:0;margin:4px 0'>{rows}</ul></div>"))


def _row(ok: bool, what: str, message: str, got: int, most: int) -> str:
    mark = f"<span style='color:{GOOD if ok else BAD}'>{'✓' if ok else '✗'}</span>"
    below = f"<div style='margin:2px 0 4px 1.4em'>{html.escape(message)}</div>" if message else ""
    return f"<li style='margin:2px 0;list-style:none'>{mark} {html.escape(what)} <small>({got}/{most})</small>{below}</li>"


def payoff(number: str, draw: Callable[[Any], Tensor], mine: Any, tolerance: float = 1e-3) -> None:
    """Draw with `mine` and with the exercise's solution, show both, and raise CheckFailed unless they agree.

    draw(function) gives pictures (B, C, H, W) in -1..1, the same ones in every call for the same function."""
    expected, got = draw(exercise_of(number).reference), draw(mine)
    show([*expected, *got], titles=[REFERENCE.of(_lang)] * len(expected) + [MINE.of(_lang)] * len(got), columns=len(expected))
    wrong = difference(expected, got, rtol=0, atol=tolerance, where=PICTURE)
    if wrong:
        raise CheckFailed(wrong.of(_lang))


def source(thing: Any) -> None:
    """Show the library's source of a function or class, and the file it is in."""
    thing = inspect.unwrap(thing)  # a decorator may be from elsewhere, such as torch.no_grad
    code = inspect.getsource(thing).rstrip()
    where = Path(inspect.getsourcefile(thing) or "").relative_to(Path(minidiff.__file__).parents[1]).as_posix()
    if not _in_notebook():
        print(f"# {where}\n{code}")
        return
    from IPython.display import Markdown, display

    display(Markdown(f"`{where}`\n\n```python\n{code}\n```"))


def _in_notebook() -> bool:
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")
