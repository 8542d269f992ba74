"""A lesson of one exercise, for tests of the engine: the text of its source, and how a test gets it into the course."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
import torch
from torch import Tensor

from minidiff.course import checks
from minidiff.course.exercise import Exercise, Mistake, Probe, Say
from minidiff.course.source import accept


def halve(x: Tensor) -> Tensor:
    """The reference."""
    return x / 2


EXERCISE = Exercise(
    "99.1", "halve", halve,
    probes=(
        Probe(Say("shape", "kích thước"), lambda f: list(f(torch.ones(2, 3)).shape)),
        Probe(Say("values", "giá trị"), lambda f: f(torch.tensor([1.0, 4.0], dtype=torch.float64)), points=3),
    ),
    mistakes=(
        Mistake("doubled", lambda x: x * 2, Say("You doubled it.", "Bạn đã nhân đôi.")),
        Mistake("squared", lambda x: x**0.5, Say("That is a root.", "Đó là căn bậc hai.")),
    ),
    title=Say("Half of it", "Một nửa"), difficulty=2, minutes=3,
)  # fmt: skip

SOURCE = '''"""A toy lesson."""

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
# %% [markdown] lang="en" exercise="99.1"
# Halve `x`.
# %% [markdown] lang="vi"
# Hãy chia đôi `x`.
# %% exercise="99.1"
def halve(x: Tensor) -> Tensor:
    #@ solution
    return x / 2
    #@ stub
    # 1. half of x, (B, N)
    raise NotImplementedError
# %% [markdown] lang="en" role="hints" exercise="99.1"
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
# %% exercise="99.1" role="payoff"
payoff(lambda f: f(torch.zeros(1, 3, 4, 4)), halve, lambda x: x / 2)
'''


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the toy lesson's source, its translations accepted; exercise 99.1 is known while the test runs."""
    module = types.ModuleType("minidiff.course.checks.lesson99")
    module.EXERCISES = (EXERCISE,)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    real = checks.lessons
    monkeypatch.setattr(checks, "lessons", lambda: [*real(), "99"])
    checks.exercises.cache_clear()
    source = tmp_path / "lessons" / "source" / "99_halves.py"
    source.parent.mkdir(parents=True)
    source.write_text(SOURCE, encoding="utf-8")
    accept(source)
    return tmp_path
