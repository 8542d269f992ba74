"""The functional mark: a right wiring passes; a constant picture, and a wiring that ignores the prompt, don't."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from minidiff.course import functional
from minidiff.course.catalogue import exercises
from minidiff.course.notebook import CheckFailed

SENTENCES = list(functional.CLAIMS)
EACH = 2


@cache
def drawn(how: str) -> Tensor:
    """Pictures of both sentences, drawn by the solution or by one of the mistakes of exercise 17.16."""
    known = {e.name: e for e in exercises("17").values()}
    parts = [known[name].reference for name in ("time_embedding", "ResBlock", "down_and_up", "CrossAttention")]
    model = functional.assembled(*parts, table=known["alpha_bars"].reference(1000))
    code = next((m.code for m in known["draw"].mistakes if m.name == how), known["draw"].solution)
    prompts = [sentence for sentence in SENTENCES for _ in range(EACH)]
    noise = torch.randn(len(prompts), 4, 16, 16, generator=torch.Generator().manual_seed(17))
    return known["draw"].function(code)(model, prompts, noise, 12, 5.0)


def test_the_learners_parts_draw_in_the_shipped_weights() -> None:
    assert functional.mark_of(drawn("solution"), SENTENCES).passed


def test_a_constant_picture_fails_even_where_it_is_right() -> None:
    right = drawn("solution").unflatten(0, (2, EACH))[:, :1].expand(2, EACH, 3, 128, 128).flatten(0, 1)
    mark = functional.mark_of(right, SENTENCES)
    assert mark.recognised >= functional.RECOGNISED and mark.diversity == 0 and not mark.passed
    assert not functional.mark_of(torch.zeros(2 * EACH, 3, 128, 128), SENTENCES).passed


def test_a_wiring_that_ignores_the_prompt_fails() -> None:
    mark = functional.mark_of(drawn("words_ignored"), SENTENCES)
    assert mark.recognised < functional.RECOGNISED and not mark.passed


def test_a_failed_mark_is_said_and_raised(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(functional.notebook, "show", lambda *_, **__: None)
    with pytest.raises(CheckFailed, match="don't show"):
        functional.functional_mark(torch.zeros(4, 3, 128, 128), SENTENCES)
    assert "Functional mark: the judge recognises 0%" in capsys.readouterr().out


def test_what_has_no_mark_is_said() -> None:
    with pytest.raises(ValueError, match="two or more pictures of each"):
        functional.mark_of(torch.zeros(2, 3, 128, 128), SENTENCES)
    with pytest.raises(ValueError, match="two or more pictures of each"):
        functional.mark_of(torch.zeros(4, 3, 128, 128), ["a green cloud"])
