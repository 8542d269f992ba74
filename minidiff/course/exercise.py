"""What an exercise is, and how an answer is judged.

A `Probe` runs a learner's function on prepared inputs, and its output is compared with the reference's. Each exercise also
knows the wrong answers that people give (`Mistake`): a wrong output that equals a known mistake's gets its hint.

What it is not: the exercises themselves (checks/), the process in which an answer runs (sandbox.py), nor scores of a
whole notebook (grade.py).
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

LANGS = ("en", "vi")


class Say(NamedTuple):
    """A sentence in both languages; `say[lang]` by name through `of`."""

    en: str
    vi: str

    def of(self, lang: str) -> str:
        return self.vi if lang == "vi" else self.en


@dataclass(frozen=True)
class Probe:
    """One check. `run` takes the answer and returns its output: a tensor, a number, a text, a bool, or a dict or list of
    these. It must do the same in every call: make noise from seeds."""

    what: Say
    run: Callable[[Any], Any]
    points: int = 1
    rtol: float = 1e-5
    atol: float = 1e-6


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people give, and what to tell them."""

    name: str
    answer: Any
    hint: Say


@dataclass(frozen=True)
class Exercise:
    """number: "04.2", lesson and place in it; name: what the learner defines; reference: the library's own; difficulty 1
    to 5; minutes: how long it takes."""

    number: str
    name: str
    reference: Any
    probes: tuple[Probe, ...]
    mistakes: tuple[Mistake, ...] = ()
    title: Say = Say("", "")
    difficulty: int = 1
    minutes: int = 5
    support: Mapping[str, Any] = field(default_factory=dict)

    @property
    def points(self) -> int:
        return sum(probe.points for probe in self.probes)


@dataclass(frozen=True)
class Finding:
    """What came of one probe: passed, or a message in both languages."""

    what: Say
    points: int
    maximum: int
    message: Say | None = None

    @property
    def passed(self) -> bool:
        return self.message is None


# --- comparing ------------------------------------------------------------------------------------------------------


def difference(expected: Any, got: Any, rtol: float = 1e-5, atol: float = 1e-6, where: Say | None = None) -> Say | None:
    """None when both agree, else the first difference in this order: type, shape, dtype, numbers. `where` names the place
    inside a dict or list."""
    at = where or Say("your answer", "kết quả của bạn")
    if isinstance(expected, Mapping):
        return _difference_of_maps(expected, got, rtol, atol, at)
    if isinstance(expected, (list, tuple)):
        if not isinstance(got, (list, tuple)):
            return _wrong_kind(at, f"{len(expected)} values", f"{len(expected)} giá trị", got)
        if len(got) != len(expected):
            return _values(
                at, f"{len(expected)} values", f"{len(got)} values", f"{len(expected)} giá trị", f"{len(got)} giá trị"
            )
        parts = (
            difference(e, g, rtol, atol, Say(f"value {k + 1} of {at.en}", f"giá trị thứ {k + 1} của {at.vi}"))
            for k, (e, g) in enumerate(zip(expected, got, strict=True))
        )
        return next((part for part in parts if part), None)
    if isinstance(expected, Tensor):
        return _difference_of_tensors(expected, got, rtol, atol, at)
    if isinstance(expected, bool) or isinstance(expected, str) or expected is None:
        return None if type(got) is type(expected) and got == expected else _values(at, repr(expected), repr(got))
    if isinstance(got, bool) or not isinstance(got, (int, float)):
        return _wrong_kind(at, "a number", "một số", got)
    close = torch.isclose(torch.tensor(float(got)), torch.tensor(float(expected)), rtol, atol, equal_nan=True)
    return None if bool(close) else _values(at, f"{expected:.6g}", f"{got:.6g}")


def _difference_of_maps(expected: Mapping[str, Any], got: Any, rtol: float, atol: float, at: Say) -> Say | None:
    if not isinstance(got, Mapping) or set(got) != set(expected):
        names = ", ".join(map(str, expected))
        return _wrong_kind(at, f"values named {names}", f"các giá trị tên là {names}", got)
    return next((d for k, v in expected.items() if (d := difference(v, got[k], rtol, atol, Say(str(k), str(k))))), None)


def _difference_of_tensors(expected: Tensor, got: Any, rtol: float, atol: float, at: Say) -> Say | None:
    if not isinstance(got, Tensor):
        return _wrong_kind(at, "a tensor", "một tensor", got)
    if got.shape != expected.shape:
        want, have = tuple(expected.shape), tuple(got.shape)
        return Say(
            f"The shape of {at.en} is {have}, but it should be {want}.",
            f"Kích thước của {at.vi} là {have}, nhưng phải là {want}.",
        )
    if got.dtype != expected.dtype:
        return Say(
            f"The dtype of {at.en} is {got.dtype}, but it should be {expected.dtype}.",
            f"Kiểu số của {at.vi} là {got.dtype}, nhưng phải là {expected.dtype}.",
        )
    if not expected.is_floating_point():
        wrong = got != expected
    else:
        wrong = ~torch.isclose(got, expected, rtol=rtol, atol=atol, equal_nan=True)
    if not bool(wrong.any()):
        return None
    place = tuple(wrong.nonzero()[0].tolist())
    share = f"{int(wrong.sum())} / {wrong.numel()}"
    e, g = expected[place].item(), got[place].item()
    return Say(
        f"{share} numbers of {at.en} are wrong; the first, at {list(place)}, is {g:.6g} and should be {e:.6g}.",
        f"{share} số của {at.vi} bị sai; số đầu tiên, tại {list(place)}, là {g:.6g} nhưng phải là {e:.6g}.",
    )


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _wrong_kind(at: Say, en: str, vi: str, got: Any) -> Say:
    kind = type(got).__name__
    return Say(
        f"{_upper(at.en)} should be {en}, but is of type {kind}.",
        f"{_upper(at.vi)} phải là {vi}, nhưng lại có kiểu {kind}.",
    )


def _values(at: Say, expected: str, got: str, expected_vi: str = "", got_vi: str = "") -> Say:
    return Say(
        f"{_upper(at.en)} is {got}, but should be {expected}.",
        f"{_upper(at.vi)} là {got_vi or got}, nhưng phải là {expected_vi or expected}.",
    )


# --- judging an answer ----------------------------------------------------------------------------------------------


class Trouble(NamedTuple):
    """In place of an output: the answer raised, or could not be run at all."""

    message: Say


def outputs(exercise: Exercise, answer: Any, probes: tuple[Probe, ...] | None = None) -> list[Any]:
    """What an answer gives to each probe; a `Trouble` where it raised. Random numbers start from the same seed for each."""
    results: list[Any] = []
    for probe in exercise.probes if probes is None else probes:
        torch.manual_seed(0)
        try:
            results.append(detached(probe.run(answer)))
        except Exception as error:
            results.append(Trouble(explain(error)))
    return results


def detached(value: Any) -> Any:
    """The same without graphs, so that it can be compared and sent to another process."""
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, Mapping):
        return {k: detached(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [detached(v) for v in value]
    return value


def explain(error: BaseException) -> Say:
    """An exception as one sentence each."""
    if isinstance(error, NotImplementedError):
        return Say("Not done yet: it still raises NotImplementedError.", "Chưa làm: hàm vẫn còn raise NotImplementedError.")
    if isinstance(error, SystemExit):
        return Say("It ended the program: no exit() in an answer, please.",
                   "Hàm kết thúc cả chương trình: xin đừng gọi exit() trong bài làm.")  # fmt: skip
    if isinstance(error, RecursionError):
        return Say("It calls itself without end.", "Hàm tự gọi chính nó mãi không dừng.")
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return Say("It asked for more memory than it may use.", "Hàm đòi nhiều bộ nhớ hơn mức cho phép.")
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return Say("It printed or wrote too much: take the printing out of the function.",
                   "Hàm in ra hoặc ghi quá nhiều: hãy bỏ lệnh in khỏi hàm.")  # fmt: skip
    said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return Say(f"It stopped with {said}", f"Hàm dừng với lỗi {said}")


def findings(exercise: Exercise, results: list[Any], probes: tuple[Probe, ...] | None = None) -> list[Finding]:
    """Each output compared with the reference's; a wrong one also with every known mistake's."""
    chosen = exercise.probes if probes is None else probes
    expected = outputs(exercise, exercise.reference, chosen)
    found = []
    for probe, want, got in zip(chosen, expected, results, strict=True):
        message = got.message if isinstance(got, Trouble) else difference(want, got, probe.rtol, probe.atol)
        if message is not None and not isinstance(got, Trouble):
            message = recognised(exercise, probe, got) or message
        found.append(Finding(probe.what, 0 if message else probe.points, probe.points, message))
    return found


def recognised(exercise: Exercise, probe: Probe, got: Any) -> Say | None:
    """The hint of the mistake that gives the same wrong output, if there is one."""
    for mistake in exercise.mistakes:
        (theirs,) = outputs(exercise, mistake.answer, (probe,))
        if not isinstance(theirs, Trouble) and difference(theirs, got, probe.rtol, probe.atol) is None:
            return mistake.hint
    return None
