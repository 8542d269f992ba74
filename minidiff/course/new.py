"""`minidiff course new 10 "Few steps"`: a lesson's folder with one exercise, which builds as it is."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import tyro

from minidiff.course.road import ROAD
from minidiff.course.source import SourceError, accept
from minidiff.utils.files import write_whole

LESSON = '''"""Lesson {number}: {title}."""

# %% [markdown] lang="en" slide="slide"
# # {number} {title}
#
# The picture below asks to be explained. What is it, and what is the question?
# %% [markdown] lang="vi"
# # {number} {title}
#
# Bức hình dưới đây cần được giải thích. Nó là gì, và câu hỏi là gì?

# %% slide="fragment"
import torch

# %% [markdown] lang="en"
# [[map]]
#
# **Aims.** You can ...
#
# **Time:** [[time]].
# %% [markdown] lang="vi"
# [[map]]
#
# **Mục tiêu.** Bạn có thể ...
#
# **Thời gian:** [[time]].

# %% only="exercise"
import torch
from torch import Tensor
'''
EXERCISE = '''"""Exercise {number}.1, double: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="1" minutes="5"
# ## Twice as much
#
# Multiply every number by two.
# %% [markdown] lang="vi"
# ## Gấp đôi
#
# Nhân mọi số với hai.

# %% [markdown] lang="en" role="hints"
# What does an operator do to a whole tensor?
# ---
# `*` multiplies every number.
# ---
# Multiply x by 2, and return it.
# %% [markdown] lang="vi"
# Một phép toán làm gì với cả tensor?
# ---
# `*` nhân mọi số.
# ---
# Nhân x với 2 rồi trả về.

# %% [markdown] lang="en" role="stub"
# x (...) to 2 x (...).
# ---
# 1. multiply                                                 # (...)
# %% [markdown] lang="vi"
# x (...) thành 2 x (...).
# ---
# 1. nhân                                                     # (...)

# %% role="solution"
def double(x: Tensor) -> Tensor:
    return 2 * x                                                # (...)

# %% [markdown] lang="en" role="checks"
# - shape
# - three numbers
# %% [markdown] lang="vi"
# - kích thước
# - ba số

# %% role="probes"
import torch

probe(lambda f, x: list(f(x).shape), x=torch.ones(2, 3))
probe(lambda f, x: f(x), points=2, x=torch.tensor([1.0, -2.0, 0.5]))

# %% [markdown] lang="en" role="mistake" name="squared"
# Each number was multiplied by itself.
# %% [markdown] lang="vi"
# Mỗi số đã bị nhân với chính nó.
# %% role="wrong" name="squared"
patch("2 * x", "x * x")

# %% role="library"
import torch


def double(x: torch.Tensor) -> torch.Tensor:
    return torch.add(x, x)
'''


@dataclass
class NewRun:
    """Begin a lesson: a folder in minidiff/course/lessons with a lesson and an exercise that build, to be replaced bit by
    bit."""

    number: tyro.conf.Positional[str]
    """Two digits, such as 06."""
    title: tyro.conf.Positional[str]
    """Its title in English."""
    root: Path = Path(".")
    """Folder that holds minidiff/course/lessons."""


def command(run: NewRun) -> None:
    """Write the two files. Raises SourceError for a number that is taken or no lesson's."""
    if run.number not in ROAD:
        raise SourceError(f"There is no lesson {run.number!r} on the course's road: it has {', '.join(ROAD)}.")
    lessons = run.root / "minidiff" / "course" / "lessons"
    if taken := sorted(lessons.glob(f"{run.number}_*")):
        raise SourceError(f"Lesson {run.number} is there already: {taken[0]}.")
    ascii_title = unicodedata.normalize("NFKD", run.title).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "_", ascii_title).strip("_") or "lesson"
    folder = lessons / f"{run.number}_{slug}"
    folder.mkdir(parents=True)
    for name, text in (("lesson.py", LESSON), ("1_double.py", EXERCISE)):
        write_whole(folder / name, text.replace("{number}", run.number).replace("{title}", run.title))
        accept(folder / name)
        print(folder / name)
    print(f"Build it with: minidiff course build --only {run.number}")
