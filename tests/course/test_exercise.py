"""How one answer is looked at: what counts as different, and which hint it gets."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy import EXERCISE

from minidiff.course.exercise import Exercise, Mistake, Probe, Say, difference, explain, findings, outputs

NUMBERS = torch.tensor([1.0, 2.0])


@pytest.mark.parametrize(
    ("expected", "got", "says"),
    [
        (NUMBERS, torch.tensor([1.0, 3.0]), "1 / 2 numbers of your answer are wrong; the first, at [1], is 3 and should be 2"),
        (NUMBERS, NUMBERS[None], "The shape of your answer is (1, 2), but it should be (2,)"),
        (NUMBERS, NUMBERS.double(), "The dtype of your answer is torch.float64, but it should be torch.float32"),
        (NUMBERS, [1.0, 2.0], "Your answer should be a tensor, but is of type list"),
        (NUMBERS, torch.tensor([1.0, float("nan")]), "is nan and should be 2"),
        (NUMBERS, None, "but is of type NoneType"),
        (3, True, "should be a number, but is of type bool"),
        (3, 4, "Your answer is 4, but should be 3"),
        (True, 1, "Your answer is 1, but should be True"),
        ("a", "b", "Your answer is 'b', but should be 'a'"),
        ([1, 2], [1], "Your answer is 1 values, but should be 2 values"),
        ([1, 2], 1, "should be 2 values, but is of type int"),
        ([1, NUMBERS], [1, NUMBERS + 1], "numbers of value 2 of your answer are wrong"),
        ({"x": 1}, {"y": 1}, "should be values named x"),
        ({"x": 1}, {"x": 2}, "X is 2, but should be 1"),
        (torch.tensor([1, 2]), torch.tensor([1, 3]), "the first, at [1], is 3 and should be 2"),
    ],
)
def test_a_difference_is_said_in_the_order_in_which_one_would_look(expected: object, got: object, says: str) -> None:
    found = difference(expected, got)
    assert found is not None and says in found.en
    assert found.vi != found.en


@given(
    st.recursive(st.integers(-9, 9) | st.floats(-9, 9) | st.booleans() | st.text(), lambda inner: st.lists(inner, max_size=3))
)
def test_everything_equals_itself(value: object) -> None:
    assert difference(value, value) is None


def test_agreement_is_within_the_tolerance_and_nan_equals_nan() -> None:
    assert difference(NUMBERS, NUMBERS + 1e-7) is None
    assert difference(NUMBERS, NUMBERS + 1e-3) is not None
    assert difference(torch.tensor([float("nan")]), torch.tensor([float("nan")])) is None


def verdicts(answer: object) -> list[Say | None]:
    return [finding.message for finding in findings(EXERCISE, outputs(EXERCISE, answer))]


def test_the_reference_gets_every_point() -> None:
    assert verdicts(EXERCISE.reference) == [None, None]


def test_a_known_mistake_gets_its_own_hint_and_keeps_the_points_of_what_is_right() -> None:
    assert verdicts(lambda x: x + x) == [None, Say("You doubled it.", "Bạn đã nhân đôi.")]
    assert verdicts(torch.sqrt)[1] == Say("That is a root.", "Đó là căn bậc hai.")
    found = findings(EXERCISE, outputs(EXERCISE, lambda x: x + x))
    assert [(f.points, f.maximum) for f in found] == [(1, 1), (0, 3)]


def test_another_wrong_answer_is_told_what_is_different() -> None:
    message = verdicts(lambda x: x / 3)[1]
    assert message is not None and "should be 0.5" in message.en and "phải là 0.5" in message.vi


def test_what_an_answer_raises_is_one_sentence() -> None:
    def broken(x: torch.Tensor) -> torch.Tensor:
        raise KeyError("where")

    message = verdicts(broken)[0]
    assert message is not None and message.en == "It stopped with KeyError: 'where'"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (NotImplementedError(), "Not done yet"),
        (RecursionError(), "calls itself without end"),
        (MemoryError(), "more memory than it may use"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 50"), "more memory than it may use"),
        (OSError(27, "File too large"), "printed or wrote too much"),
    ],
)
def test_common_ends_have_words_of_their_own(error: Exception, says: str) -> None:
    assert says in explain(error).en and explain(error).vi != explain(error).en


def test_a_mistake_that_breaks_on_a_probe_does_not_hide_the_others() -> None:
    def breaks(x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError

    twice = Mistake("doubled", lambda x: x * 2, Say("doubled", "nhân đôi"))
    exercise = Exercise("99.1", "f", lambda x: x, (Probe(Say("", ""), lambda f: f(NUMBERS)),),
                        (Mistake("breaks", breaks, Say("breaks", "vỡ")), twice))  # fmt: skip
    assert findings(exercise, outputs(exercise, lambda x: 2 * x))[0].message == twice.hint
