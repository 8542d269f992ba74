"""How one answer is judged: what counts as different, which hint it gets, and what it must leave alone."""

from __future__ import annotations

import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from minidiff.course.exercise import Exercise
from minidiff.course.judging import difference, explain, findings, judge
from minidiff.course.probing import Outcome, outcomes, probes_of
from minidiff.course.say import Say

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
        (3.0, 10**18, "Your answer is 1e+18, but should be 3"),
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
    assert difference(float("nan"), float("nan")) is None and difference(float("inf"), float("inf")) is None
    for wrong in (1.0, float("-inf"), float("nan")):
        assert difference(float("inf"), wrong) is not None and difference(wrong, float("inf")) is not None
        assert difference(NUMBERS * float("inf"), torch.full((2,), wrong)) is not None
    assert difference(1.0, 1.0 + 1e-7) is None and difference(1.0, float("nan")) is not None


def said(exercise: Exercise, answer: object) -> list[str | None]:
    return [finding.message and finding.message.en for finding in judge(exercise, answer)]


def test_the_solution_gets_every_point(halve: Exercise) -> None:
    assert said(halve, halve.reference) == [None, None, None]
    assert [(f.points, f.maximum) for f in judge(halve, halve.reference)] == [(1, 1), (3, 3), (1, 1)]


def test_an_answer_like_a_mistake_in_every_output_hears_its_hint_and_keeps_the_points_of_what_is_right(halve: Exercise) -> None:
    assert said(halve, lambda x: x + x) == [None, "You doubled it.", "You doubled it."]
    assert said(halve, torch.sqrt) == [None, "That is a root.", "That is a root."]
    assert [f.points for f in judge(halve, lambda x: x + x)] == [1, 0, 0]


def test_errors_are_outputs_too(halve: Exercise) -> None:
    assert said(halve, lambda x: (x / 2).mean(5)) == ["Numbers have no axis 5."] * 3


def test_an_answer_like_a_mistake_in_some_outputs_hears_that_it_may_be_one_fault(halve: Exercise) -> None:
    """Doubled where numbers are positive; otherwise wrong in a way that nobody foresaw."""
    found = said(halve, lambda x: torch.where(x.sum() > 0, x * 2, x * 7))
    assert found[0] is None
    assert found[1] and "should be 0.5. One fault may be this: You doubled it." in found[1]
    assert found[2] and "should be 4.5" in found[2] and "One fault" not in found[2]


def test_another_wrong_answer_is_told_what_is_different(halve: Exercise) -> None:
    message = judge(halve, lambda x: x / 3)[1].message
    assert message is not None and "should be 0.5" in message.en and "phải là 0.5" in message.vi


def test_a_changed_input_is_named_and_the_next_probe_starts_from_the_old_one(halve: Exercise) -> None:
    found = said(halve, lambda x: x.mul_(0.5))
    assert all(message and message.startswith("It changes its input x in place") for message in found)
    assert said(halve, halve.reference) == [None] * 3, "nobody else works with what was changed"


def test_a_setting_left_changed_is_a_fault_and_is_put_back(halve: Exercise) -> None:
    def switched_off(x: Tensor) -> Tensor:
        torch.set_grad_enabled(False)
        return x / 2

    def other_dtype(x: Tensor) -> Tensor:
        torch.set_default_dtype(torch.float64)
        return x / 2

    assert all(message and "grad mode" in message for message in said(halve, switched_off))
    assert all(message and "default dtype" in message for message in said(halve, other_dtype))
    assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32


def test_checking_does_not_move_the_learners_dice(halve: Exercise) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    judge(halve, lambda x: x / 2 + torch.rand(1) * 0)
    assert torch.equal(torch.rand(3), wanted)


def test_making_probes_does_not_move_the_learners_dice() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    probes_of("import torch\ntorch.manual_seed(0)\ntorch.nn.Linear(2, 2)")
    assert torch.equal(torch.rand(3), wanted)


def generator(x: Tensor):  # noqa: ANN201
    yield x / 2


async def promise(x: Tensor) -> Tensor:
    return x / 2


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (generator, "It is a generator"),
        (promise, "It is an `async` function"),
        (lambda x: lambda: x / 2, "It returned a function in place of a result"),
        (lambda x: (x / 2).to_sparse(), "not an ordinary one"),
        (lambda x: (x / 2).to("meta"), "not an ordinary one"),
        (lambda x: (x / 2).to(torch.complex64), "not an ordinary one"),
        (lambda x: x.new_zeros(1).expand(10**9), "too large"),
        (lambda x: object(), "stopped with AttributeError"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_said_to_be_so(halve: Exercise, answer: object, says: str) -> None:
    messages = [message for message in said(halve, answer) if message]
    assert any(says in message for message in messages), messages


def test_what_an_answer_raises_is_one_sentence(halve: Exercise) -> None:
    def broken(x: Tensor) -> Tensor:
        raise KeyError("where\x1b[31m\ud800")

    (message, *_) = judge(halve, broken)
    assert (
        message.message
        and message.message.en.startswith("It stopped with KeyError: 'where")
        and message.message.en.isprintable()
    )


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        ("NotImplementedError", "", "Not done yet"),
        ("RecursionError", "", "calls itself without end"),
        ("MemoryError", "", "more memory than it may use"),
        ("RuntimeError", "DefaultCPUAllocator: can't allocate memory: you tried to allocate 50", "more memory than it may use"),
        ("OSError", "[Errno 27] File too large", "writes too much into a file"),
        ("SystemExit", "0", "no exit() in an answer"),
        ("ImportError", "minidiff.course cannot be used in an answer", "It uses minidiff.course, where the solutions are"),
        ("PermissionError", "[Errno 1] Operation not permitted", "what an answer may not do"),
    ],
)  # fmt: skip
def test_common_ends_have_words_of_their_own(kind: str, text: str, says: str) -> None:
    assert says in explain(kind, text).en and explain(kind, text).vi != explain(kind, text).en


def test_what_never_came_is_told_by_its_sentence(halve: Exercise) -> None:
    found = outcomes(halve.probes, halve.reference)
    late = Say("It was late.", "Muộn rồi.")
    assert [finding.message for finding in findings(halve, [found[0], late, late])] == [None, late, late]
    assert [finding.points for finding in findings(halve, [found[0], late, late])] == [1, 0, 0]


def test_an_outcome_of_another_kind_is_no_match(halve: Exercise) -> None:
    assert all(finding.message for finding in findings(halve, [Outcome(value="text")] * 3))


def test_a_check_answers_at_once(halve: Exercise) -> None:
    judge(halve, lambda x: x * 3)
    start = time.monotonic()
    judge(halve, lambda x: x * 4)
    assert time.monotonic() - start < 0.5
