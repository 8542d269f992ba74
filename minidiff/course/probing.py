"""Runs a function on the inputs of an exercise's probes, and writes down what came of it.

The text of this file is also run in the process of a learner's answer, where nothing else of the course exists: it knows
neither solutions nor expected values, and imports nothing of minidiff. Not here: the judging of what came out (judging.py).
"""

from __future__ import annotations

import copy
import functools
import inspect
import json
import math
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

LARGEST = 32 * 2**20  # bytes of one output
TEXT = 2**20  # bytes of the JSON of one output
DEEPEST = 20  # lists within lists
SEED = 20_417  # no seed that a probe or an answer would take for its own numbers
LONGEST = 300  # characters of an error that are kept
SPOKEN = 10_000  # characters of a text that is an output


@dataclass(frozen=True)
class Probe:
    """One check: `call(f, **inputs)` runs the function f on copies of the inputs and returns its output: a tensor, a number,
    a text, a bool, None, or a list or dict of these. changes: names of the inputs that f is meant to change. what: what it
    looks at, in English and Vietnamese, where no text of the exercise says so."""

    call: Callable[..., Any]
    inputs: Mapping[str, Any] = field(default_factory=dict)
    points: int = 1
    rtol: float = 1e-5
    atol: float = 1e-6
    changes: tuple[str, ...] = ()
    what: tuple[str, str] = ("", "")


class Outcome(NamedTuple):
    """What a function gave to a probe: a value, or the type and text of the error that stopped it; the inputs that it changed
    and the settings of PyTorch that it left changed, by name."""

    value: Any = None
    error: tuple[str, str] | None = None
    changed: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


class Unreadable(TypeError):
    """An output of a kind that no probe compares, such as a generator."""


def probes_of(code: str, name: str = "<probes>") -> tuple[Probe, ...]:
    """The probes that a cell of code makes by calling `probe(call, points=1, rtol=1e-5, atol=1e-6, changes=(), **inputs)`;
    before `call` it may say what the probe looks at: a text, or two, in English and Vietnamese."""
    found: list[Probe] = []

    def probe(
        *what_and_call: Any, points: int = 1, rtol: float = 1e-5, atol: float = 1e-6, changes: Iterable[str] = (),
        **inputs: Any,
    ) -> None:  # fmt: skip
        *what, call = what_and_call
        said = what[0] if what else ("", "")
        two = (said, said) if isinstance(said, str) else (str(said[0]), str(said[1]))
        found.append(Probe(call, inputs, points, rtol, atol, tuple(changes), two))

    with kept_settings():  # a network that a probe makes must not move the learner's dice
        exec(compile(code, name, "exec"), {"__name__": "__probes__", "probe": probe})
    return tuple(found)


# --- running --------------------------------------------------------------------------------------------------------


def outcome(probe: Probe, answer: Any) -> Outcome:
    """What `answer` gives to a probe. Random numbers start from the same seed, inputs are copies, and settings are put back."""
    inputs = copy.deepcopy(dict(probe.inputs))
    value, error = None, None
    with kept_settings() as settings:
        torch.manual_seed(SEED)
        try:
            value = plain(probe.call(finished(answer), **inputs))
        except (Exception, SystemExit) as stopped:
            error = (readable(type(stopped).__name__)[:80], readable(str(stopped))[:LONGEST])
    changed = tuple(name for name in inputs if name not in probe.changes and not same(probe.inputs[name], inputs[name]))
    return Outcome(value, error, changed, tuple(settings))


def finished(answer: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which raises Unreadable where it gives a promise of a result (a generator or coroutine) in its
    place."""

    @functools.wraps(answer)
    def run(*args: Any, **kwargs: Any) -> Any:
        result = answer(*args, **kwargs)
        if inspect.isgenerator(result) or inspect.iscoroutine(result):
            result.close()
            raise Unreadable(f"of type {type(result).__name__}")
        return result

    return run


def outcomes(probes: Iterable[Probe], answer: Any) -> list[Outcome]:
    return [outcome(probe, answer) for probe in probes]


SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "grad mode": (torch.is_grad_enabled, lambda value: torch.set_grad_enabled(value)),
    "default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "default device": (lambda: str(torch.get_default_device()), torch.set_default_device),
    "deterministic algorithms": (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    "anomaly detection": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "number of threads": (torch.get_num_threads, torch.set_num_threads),
}  # fmt: skip


ONE_AT_A_TIME = threading.RLock()  # settings and generators belong to the process, and the grader has several threads


@contextmanager
def kept_settings() -> Iterator[list[str]]:
    """Puts PyTorch's settings and all generators back; the list holds the names of the settings that had changed. Other threads
    wait meanwhile."""
    with ONE_AT_A_TIME, _kept_settings() as changed:
        yield changed


@contextmanager
def _kept_settings() -> Iterator[list[str]]:
    before = {name: read() for name, (read, _) in SETTINGS.items()}
    generators = torch.get_rng_state(), random.getstate(), np.random.get_state()
    changed: list[str] = []
    try:
        yield changed
    finally:
        for name, (read, put_back) in SETTINGS.items():
            if read() != before[name]:
                changed.append(name)
                put_back(before[name])
        torch.set_rng_state(generators[0])
        random.setstate(generators[1])
        np.random.set_state(generators[2])


def same(one: Any, other: Any) -> bool:
    """Whether two inputs hold the same: tensors bit by bit, weights of modules, numbers and texts; other objects always do."""
    if isinstance(one, Tensor):
        if not isinstance(other, Tensor) or one.shape != other.shape or one.dtype != other.dtype:
            return False
        if one.requires_grad != other.requires_grad:
            return False
        return bool(((one == other) | ((one != one) & (other != other))).all())
    if isinstance(one, torch.nn.Module):
        return one.training == other.training and same(one.state_dict(), other.state_dict())
    if isinstance(one, Mapping):
        return isinstance(other, Mapping) and list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, (int, float, str)):
        return bool(one == other or one != one)
    return True


def plain(value: Any, depth: int = 0) -> Any:
    """An output as it is compared and sent: tensors detached, dense and on the CPU, tuples as lists. Raises Unreadable for
    another kind, or too much of it."""
    if depth > DEEPEST:
        raise Unreadable("lists that are too deep")
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int):
        if abs(value) > 2**63:
            raise Unreadable("a number that is too large")
        return int(value)
    if isinstance(value, str):
        return readable(value[:SPOKEN])
    if isinstance(value, Tensor):
        if value.layout != torch.strided or value.device.type == "meta" or value.is_complex() or value.is_quantized:
            raise Unreadable("a tensor that is not an ordinary one")
        if value.numel() * value.element_size() > LARGEST or value.ndim > 32:
            raise Unreadable("a tensor that is too large")
        return value.detach().cpu().clone(memory_format=torch.contiguous_format)
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {readable(name): plain(item, depth + 1) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        if len(value) > 10_000:
            raise Unreadable("a list that is too long")
        return [plain(item, depth + 1) for item in value]
    raise Unreadable(f"of type {type(value).__name__}")


def readable(text: str) -> str:
    """One line without control characters, marks that turn the direction of writing, and halves of characters."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return " ".join("".join(c if c.isprintable() or c == "\n" else " " for c in text).split())


# --- sending ----------------------------------------------------------------------------------------------------------


def packed(found: Outcome) -> bytes:
    """An outcome as bytes: the length of a JSON text in 8 bytes, the text, and the tensors that it counts, as safetensors."""
    tensors: dict[str, Tensor] = {}

    def coded(value: Any) -> Any:
        if isinstance(value, Tensor):
            tensors[str(len(tensors))] = value
            return {"tensor": str(len(tensors) - 1)}
        if isinstance(value, dict):
            return {"dict": [[name, coded(item)] for name, item in value.items()]}
        if isinstance(value, list):
            return {"list": [coded(item) for item in value]}
        return {"float": repr(value)} if isinstance(value, float) else value

    text = json.dumps({**found._asdict(), "value": coded(found.value)}).encode()
    return len(text).to_bytes(8, "little") + text + save_safetensors(tensors)


def unpacked(data: bytes) -> Outcome:
    """What `packed` wrote. Raises ValueError for anything else: the bytes come from a process that runs strangers' code."""
    try:
        length = int.from_bytes(data[:8], "little")
        if length > TEXT:
            raise ValueError("too long")
        content = json.loads(data[8 : 8 + length].decode())
        tensors = load_safetensors(data[8 + length :])

        def decoded(value: Any) -> Any:
            if not isinstance(value, dict):
                return value
            ((kind, item),) = value.items()
            if kind == "tensor":
                return tensors.pop(item)  # each once: a message can't name one a thousand times
            if kind == "dict":
                return {str(name): decoded(part) for name, part in item}
            return float(item) if kind == "float" else [decoded(part) for part in item]

        error = content["error"] and tuple(readable(str(part))[:LONGEST] for part in content["error"][:2])
        changed = tuple(readable(str(name))[:80] for name in content["changed"][:10])
        settings = tuple(name for name in SETTINGS if name in content["settings"])
        return Outcome(plain(decoded(content["value"])), error, changed, settings)
    except Exception as wrong:
        raise ValueError(f"no outcome ({type(wrong).__name__})") from None


def close(one: float, other: float, rtol: float, atol: float) -> bool:
    """Whether two numbers agree, NaN with NaN and infinity with infinity."""
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    if math.isinf(one) or math.isinf(other):
        return one == other
    return abs(one - other) <= atol + rtol * abs(other)
