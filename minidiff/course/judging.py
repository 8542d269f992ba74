"""Judges what an answer gave to the probes of an exercise: right, or wrong with the likeliest reason.

An output is compared with the solution's. Wrong outputs are also compared with those of every mistake that the exercise
knows: all alike give that mistake's hint, some alike say that it may be one of the faults. What it is not: the running of
answers (probing.py, sandbox.py), nor scores of a whole notebook (grade.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from minidiff.course.exercise import Exercise, Mistake
from minidiff.course.probing import Outcome, Probe, close, outcomes, readable
from minidiff.course.say import LANGS, Say

LONGEST_MESSAGE = 1500  # characters


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


def judge(exercise: Exercise, answer: Any) -> list[Finding]:
    """Run a function here, in this process, and judge it."""
    return findings(exercise, outcomes(exercise.probes, answer))


def findings(exercise: Exercise, found: Sequence[Outcome | Say]) -> list[Finding]:
    """A finding for each probe. found: the outcome of each, or a sentence that says why there is none."""
    triples = list(zip(exercise.probes, exercise.expected, found, strict=True))
    messages = [problem(*triple) for triple in triples]
    if any(messages):
        messages = explained(exercise, found, messages)
    lines = zip(exercise.checks, exercise.probes, map(_short, messages), strict=True)
    return [Finding(what, 0 if message else probe.points, probe.points, message) for what, probe, message in lines]


def _short(message: Say | None) -> Say | None:
    """One line of at most LONGEST_MESSAGE characters: some of its words come from the answer."""
    return message and Say(*(readable(text)[:LONGEST_MESSAGE] for text in message))


def problem(probe: Probe, expected: Outcome, got: Outcome | Say) -> Say | None:
    """What is wrong with one outcome, by itself."""
    if isinstance(got, Say):
        return got
    if got.error:
        return explain(*got.error)
    if got.changed:
        return input_changed(got.changed[0])
    if got.settings:
        return setting_changed(got.settings[0])
    return difference(expected.value, got.value, probe.rtol, probe.atol)


# --- hints --------------------------------------------------------------------------------------------------------------


ONE_OF_THE_FAULTS = Say("One fault may be this: {hint}", "Một lỗi có thể là: {hint}")


def explained(exercise: Exercise, found: Sequence[Outcome | Say], messages: list[Say | None]) -> list[Say | None]:
    """The messages with the hint of the mistake whose outcomes are all the same, or with the hints of those that share some of
    the wrong ones."""
    wrong = [k for k, message in enumerate(messages) if message]
    rest = [k for k, message in enumerate(messages) if not message]

    def agrees(mistake: Mistake, place: int) -> bool:
        return agree(exercise.probes[place], exercise.given_by(mistake, place), found[place])

    for mistake in exercise.mistakes:
        if all(agrees(mistake, place) for place in (*wrong, *rest)):  # most differ at the first, and no more is run
            return [mistake.hint if message else None for message in messages]
    telling = [k for k in wrong if _tells(found[k])]
    partly = {mistake: [k for k in telling if agrees(mistake, k)] for mistake in exercise.mistakes}
    best = max(partly, key=lambda mistake: len(partly[mistake]), default=None)
    for k in partly[best] if best else ():
        said = messages[k]
        assert said and best
        messages[k] = Say(*(f"{said.of(lang)} {ONE_OF_THE_FAULTS.of(lang).format(hint=best.hint.of(lang))}" for lang in LANGS))
    return messages


def _tells(outcome: Outcome | Say) -> bool:
    """Whether a wrong outcome says much about its cause: numbers do; a shape, a yes or no, or an error many mistakes share."""
    if isinstance(outcome, Say) or outcome.error or outcome.changed or outcome.settings:
        return False
    return _holds_numbers(outcome.value)


def _holds_numbers(value: Any) -> bool:
    if isinstance(value, (list, dict)):
        return any(map(_holds_numbers, value.values() if isinstance(value, dict) else value))
    return isinstance(value, (float, Tensor))


def agree(probe: Probe, one: Outcome, other: Outcome | Say) -> bool:
    """Whether two outcomes are the same: values within the probe's tolerances, or errors of one type."""
    if isinstance(other, Say) or (one.error is None) != (other.error is None):
        return False
    if one.changed != other.changed or one.settings != other.settings:
        return False
    if one.error and other.error:
        return one.error[0] == other.error[0]
    return difference(one.value, other.value, probe.rtol, probe.atol) is None


def input_changed(name: str) -> Say:
    return Say(
        f"It changes its input {name} in place, and whoever called it still needs that as it was. Make a new tensor or list: "
        "x = x * 2, not x *= 2; no inplace=True; no pop() or append() on what is handed over.",
        f"Hàm thay đổi chính đầu vào {name}, trong khi nơi gọi hàm vẫn cần giá trị cũ. Hãy tạo tensor hoặc danh sách mới: "
        "x = x * 2 chứ không x *= 2; không inplace=True; không pop() hay append() trên thứ được truyền vào.",
    )


SETTINGS = {
    "grad mode": "chế độ gradient", "default dtype": "kiểu số mặc định", "default device": "thiết bị mặc định",
    "deterministic algorithms": "chế độ tất định", "anomaly detection": "chế độ dò bất thường", "number of threads": "số luồng",
}  # fmt: skip


GRADIENTS_OFF = Say(
    " After it, nothing in the notebook would learn any more: use `with torch.no_grad():` or the decorator, which put it back.",
    " Sau đó không gì trong notebook học được nữa: hãy dùng `with torch.no_grad():` hoặc decorator, chúng tự trả lại như cũ.",
)


def setting_changed(name: str) -> Say:
    more = GRADIENTS_OFF if name == "grad mode" else Say("", "")
    return Say(
        f"It leaves a setting of PyTorch changed when it returns: {name}.{more.en}",
        f"Khi trả về, hàm để lại một thiết lập của PyTorch đã bị đổi: {SETTINGS.get(name, name)}.{more.vi}",
    )


def explain(kind: str, text: str) -> Say:
    """An exception as one sentence each. kind: its type's name."""
    if kind == "NotImplementedError" and not text:  # PyTorch raises such errors too, and says why
        return Say("Not done yet: it still raises NotImplementedError.", "Chưa làm: hàm vẫn còn raise NotImplementedError.")
    if kind == "Unreadable":
        return unreadable(text)
    if kind == "SystemExit":
        return Say("It ended the program: no exit() in an answer, please.",
                   "Hàm kết thúc cả chương trình: xin đừng gọi exit() trong bài làm.")  # fmt: skip
    if kind == "RecursionError":
        return Say("It calls itself without end.", "Hàm tự gọi chính nó mãi không dừng.")
    if kind == "MemoryError" or "can't allocate memory" in text or "Cannot allocate memory" in text:
        return Say("It asked for more memory than it may use.", "Hàm đòi nhiều bộ nhớ hơn mức cho phép.")
    if kind in ("PermissionError", "BlockingIOError") or "Operation not permitted" in text:
        return Say(
            f"It tried what an answer may not do, such as starting a program or writing a file ({kind}: {text})",
            f"Hàm làm điều không được phép trong bài làm, như chạy chương trình khác hay ghi tệp ({kind}: {text})",
        )
    if kind == "OSError" and "File too large" in text:
        return Say("It writes too much into a file.", "Hàm ghi quá nhiều vào một tệp.")
    if "'function' object has no attribute" in text:
        return KINDS["function"]
    if "minidiff.course" in text:
        return COURSE_IMPORTED
    said = f"{kind}: {text}" if text else kind
    return Say(f"It stopped with {said}", f"Hàm dừng với lỗi {said}")


COURSE_IMPORTED = Say(
    "It uses minidiff.course, where the solutions are; an answer may use the rest of the library. (check, show and payoff "
    "belong outside the function.)",
    "Bài làm dùng minidiff.course, nơi có sẵn lời giải; chỉ được dùng các phần khác của thư viện. (check, show và payoff phải "
    "đứng ngoài hàm.)",
)
KINDS = {
    "coroutine": Say("It is an `async` function, which returns a promise in place of a result: take `async` away.",
                     "Đây là hàm `async`, chỉ trả về lời hứa thay cho kết quả: hãy bỏ `async`."),
    "generator": Say("It is a generator (there is a `yield` in it): collect the values and `return` them.",
                     "Đây là một generator (bên trong có `yield`): hãy gom các giá trị rồi `return`."),
    "function": Say("It returned a function in place of a result: call it, or take the `lambda` away.",
                    "Hàm trả về một hàm khác thay cho kết quả: hãy gọi nó, hoặc bỏ `lambda`."),
}  # fmt: skip
SIZES = {
    "a tensor that is too large": Say("It returned a tensor that is too large to be what was asked for.",
                                      "Hàm trả về một tensor quá lớn so với yêu cầu."),
    "a list that is too long": Say("It returned a list that is too long.", "Hàm trả về một danh sách quá dài."),
    "lists that are too deep": Say("It returned lists within lists without end.", "Hàm trả về danh sách lồng nhau quá sâu."),
    "a number that is too large": Say("It returned a number that is too large.", "Hàm trả về một số quá lớn."),
    "a tensor that is not an ordinary one": Say(
        "It returned a tensor that is not an ordinary one (sparse, complex, quantised or without data).",
        "Hàm trả về một tensor không thông thường (thưa, phức, lượng tử hóa hoặc không có dữ liệu)."),
}  # fmt: skip


def unreadable(text: str) -> Say:
    """What is said of an output that cannot be compared."""
    kind = text.removeprefix("of type ")
    if kind in KINDS or text in SIZES:
        return KINDS.get(kind) or SIZES[text]
    return Say(f"What it returned cannot be compared: it is of type {kind}. Return tensors and numbers.",
               f"Không so sánh được kết quả trả về: nó có kiểu {kind}. Hãy trả về tensor và số.")  # fmt: skip


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
        return None if type(got) is type(expected) and got == expected else _values(at, _brief(expected), _brief(got))
    if isinstance(got, bool) or not isinstance(got, (int, float)):
        return _wrong_kind(at, "a number", "một số", got)
    return None if close(float(got), float(expected), rtol, atol) else _values(at, f"{expected:.6g}", f"{got:.6g}")


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


def _brief(value: Any) -> str:
    """A value as it is written, or its kind where that would be long."""
    if isinstance(value, (bool, int, float, type(None))) or (isinstance(value, str) and len(value) <= 200):
        return repr(value)
    return f"of type {type(value).__name__}"


def _values(at: Say, expected: str, got: str, expected_vi: str = "", got_vi: str = "") -> Say:
    return Say(
        f"{_upper(at.en)} is {got}, but should be {expected}.",
        f"{_upper(at.vi)} là {got_vi or got}, nhưng phải là {expected_vi or expected}.",
    )
