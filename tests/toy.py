"""A lesson of one exercise, for tests of the course's engine: its sources, and how a test gets it into the course."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from minidiff.course import catalogue
from minidiff.course.exercise import Exercise
from minidiff.course.source import accept

LESSON = '''"""A toy lesson."""

# %% [markdown] lang="en" slide="slide"
# # 99 Halves
# A **latent space** is not needed: $y = x / 2$.
# %% [markdown] lang="vi"
# # 99 Một nửa
# Không cần **không gian ẩn**: $y = x / 2$.
# %% [markdown] lang="en" role="notes"
# Say it slowly.
# %% [markdown] lang="vi"
# Nói chậm thôi.
# %% [markdown] lang="en" role="think" slide="fragment"
# What is half of 3?
# ---
# 1.5
# %% [markdown] lang="vi"
# Một nửa của 3 là bao nhiêu?
# ---
# 1.5
# %% [markdown] lang="en"
# It takes [[time]]. See [[notebook]].
# %% [markdown] lang="vi"
# Mất [[time]]. Xem [[notebook]].
# %%
import matplotlib.pyplot as plt
import torch
print(torch.tensor([1.0, 4.0]) / 2)
# %% slide="slide"
plt.figure(figsize=(1, 1))
plt.plot([0, 1])
plt.show()
# %% slide="slide"
slider(lambda value, axis: axis.plot([0, value]), "height", [1, 2, 3])
# %% only="both"
from torch import Tensor

HALF = 0.5
'''

EXERCISE = '''"""Exercise 99.1, halve."""

# %% [markdown] lang="en" role="task" difficulty="2" minutes="3"
# ## Half of it
# Halve `x`.
# %% [markdown] lang="vi"
# ## Một nửa
# Hãy chia đôi `x`.
# %% role="shown"
print(torch.tensor([3.0]) / 2)
# %% [markdown] lang="en" role="hints"
# One
# ---
# Two
# ---
# Three
# %% [markdown] lang="vi"
# Một
# ---
# Hai
# ---
# Ba
# %% [markdown] lang="en" role="stub"
# x (B, N) to x / 2.
# ---
# 1. half of x                                                # (B, N)
# %% [markdown] lang="vi"
# x (B, N) thành x / 2.
# ---
# 1. một nửa của x                                            # (B, N)
# %% role="solution"
def halve(x: Tensor) -> Tensor:
    y = x * HALF                                                # (B, N)
    return y
# %% [markdown] lang="en" role="checks"
# - shape
# - values
# - two numbers,
#   one of them negative
# %% [markdown] lang="vi"
# - kích thước
# - giá trị
# - hai số,
#   một số âm
# %% role="probes"
import torch

probe(lambda f, x: list(f(x).shape), x=torch.ones(2, 3))
probe(lambda f, x: f(x), points=3, x=torch.tensor([1.0, 4.0], dtype=torch.float64))
probe(lambda f, x: f(x), x=torch.tensor([9.0, -16.0]))
# %% [markdown] lang="en" role="mistake" name="doubled"
# You doubled it.
# %% [markdown] lang="vi"
# Bạn đã nhân đôi.
# %% role="wrong" name="doubled"
patch("x * HALF", "x / HALF")
# %% [markdown] lang="en" role="mistake" name="root"
# That is a root.
# %% [markdown] lang="vi"
# Đó là căn bậc hai.
# %% role="wrong" name="root"
def halve(x: Tensor) -> Tensor:
    return x**0.5
# %% [markdown] lang="en" role="mistake" name="crashes"
# Numbers have no axis 5.
# %% [markdown] lang="vi"
# Các số không có trục 5.
# %% role="wrong" name="crashes"
patch("return y", "return y.sum(5)")
# %% role="library"
def halve(x):
    return x / 2
# %% role="payoff"
payoff(lambda f: f(torch.zeros(1, 3, 4, 4)), halve)
'''


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the toy lesson's sources, their translations accepted; the course's only lesson while the test runs."""
    lessons = tmp_path / "minidiff" / "course" / "lessons"
    for name, text in (("lesson.py", LESSON), ("1_halve.py", EXERCISE)):
        path = lessons / "99_halves" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        accept(path)
    monkeypatch.setattr(catalogue, "LESSONS", lessons)
    catalogue.exercises.cache_clear()
    yield tmp_path
    catalogue.exercises.cache_clear()


@pytest.fixture
def halve(toy: Path) -> Exercise:
    """The toy lesson's exercise."""
    return catalogue.get_exercise("99.1")
