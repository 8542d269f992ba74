"""One check of what comes from outside, a file's settings or a run's options, against the annotated fields of a dataclass.

`build` makes the dataclass from a table as JSON gives it, `check` looks at one that is there. Both refuse with a single
sentence. Not here: what several settings mean together, which a dataclass checks in its own `__post_init__`.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
WHOLE = 2**31 - 1  # larger than any count, size or seed


@dataclass(frozen=True)
class Between:
    """The range of a number, as an annotation: `steps: Annotated[int, Between(1)]`. above: `least` itself is too little."""

    least: float = -math.inf
    most: float = math.inf
    above: bool = False

    def holds(self, number: float) -> bool:
        return (self.least < number if self.above else self.least <= number) and number <= self.most

    def __str__(self) -> str:
        low, high = f"{self.least:,.12g}", f"{self.most:,.12g}"
        if math.isinf(self.most):
            return f"above {low}" if self.above else f"of at least {low}"
        return f"above {low} and at most {high}" if self.above else f"from {low} to {high}"


class _Refused(Exception):
    """A value is not what the annotation says: (its name, the value, what it must be)."""


def build(cls: type[T], table: object, source: str, bounds: Mapping[str, Between] | None = None) -> T:
    """`cls`, a dataclass, from a table of its fields; what isn't there has its default.

    source: whose settings they are, for the message. bounds: ranges of fields, or of all numbers in them, that the class
    does not annotate itself. Values must have the annotated types exactly: True and 3.0 are no int, an int is a float, a
    list is a tuple. Numbers must be finite, and ints without another range at most 2^31 - 1 either way.

    Raises ValueError that names an unknown or missing setting, or the value that is not allowed and what is.
    """
    if not isinstance(table, Mapping):
        raise ValueError(f"{source} must be a table of settings, but it is {shown(table)}.")
    kinds = _annotations(cls)
    unknown = [key for key in table if key not in kinds]
    if unknown:
        raise ValueError(f"{source}: there is no setting {shown(unknown[0])}; there are {', '.join(kinds)}.")
    known = {field.name: field for field in fields(cls) if field.init}  # type: ignore[arg-type]
    missing = [n for n, f in known.items() if n not in table and f.default is MISSING and f.default_factory is MISSING]
    if missing:
        raise ValueError(f"{source}: the setting {missing[0]} is missing.")
    values = {name: convert(value, kinds[name], f"{source}: {name}", (bounds or {}).get(name)) for name, value in table.items()}
    try:
        return cls(**values)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise ValueError(f"{source}: {one_line(error)}") from None


def check(options: T, source: str) -> T:
    """The dataclass, if its values have the annotated types and ranges. Raises ValueError as `build`."""
    for name, annotation in _annotations(type(options)).items():
        convert(getattr(options, name), annotation, f"{source}: {name}" if source else name)
    return options


def convert(value: object, annotation: Any, name: str, bounds: Between | None = None) -> Any:
    """`value` as the annotation has it. Raises ValueError: "{name} is 'x', but it must be a whole number."."""
    try:
        return _convert(value, annotation, bounds, name)
    except _Refused as refusal:
        place, given, wanted = refusal.args
        raise ValueError(f"{place} is {shown(given)}, but it must be {wanted}.") from None


def shown(value: object, most: int = 60) -> str:
    """A value for a message, cut short, whatever it is."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # a list in itself; a number of thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= most else text[: most - 3] + "..."


def one_line(error: BaseException, most: int = 200) -> str:
    """What an error says, or its kind: some libraries write paragraphs."""
    lines = str(error).strip().splitlines()
    return lines[0][:most] if lines else type(error).__name__


@cache
def _annotations(cls: type) -> dict[str, Any]:
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in fields(cls) if field.init}


def _convert(value: object, annotation: Any, bounds: Between | None, place: str) -> Any:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        own = next((extra for extra in inner[1:] if isinstance(extra, Between)), bounds)
        return _convert(value, inner[0], own, place)
    if origin in (Union, types.UnionType):
        return _one_of(value, annotation, bounds, place)
    if origin is Literal:
        allowed = any(value == one and type(value) is type(one) for one in inner)
    elif annotation is Any:
        allowed = True
    elif annotation is None or annotation is type(None):
        allowed = value is None
    elif annotation in (int, float):
        return _number(value, annotation, bounds, place)
    elif origin in (list, tuple):
        return _sequence(value, annotation, bounds, place)
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        if isinstance(value, Mapping):
            keys = {key: _convert(key, inner[0], None, f"{place}[{shown(key)}]") for key in value}
            return {keys[key]: _convert(one, inner[1], bounds, f"{place}[{shown(key)}]") for key, one in value.items()}
        allowed = False
    elif is_dataclass(annotation) and isinstance(annotation, type):
        return _nested(value, annotation, place)
    elif annotation is Path and isinstance(value, (str, Path)) and "\0" not in str(value):
        return Path(value)
    elif isinstance(annotation, type):
        allowed = isinstance(value, annotation)
    else:
        allowed = True  # callables and type variables say nothing that can be checked
    if not allowed:
        raise _Refused(place, value, described(annotation))
    return value


def _one_of(value: object, annotation: Any, bounds: Between | None, place: str) -> Any:
    refusals = []
    for one in get_args(annotation):
        try:
            return _convert(value, one, bounds, place)
        except _Refused as refusal:
            refusals.append(refusal)
    deep = [refusal for refusal in refusals if refusal.args[0] != place]
    raise deep[0] if deep else _Refused(place, value, " or ".join(r.args[2] for r in refusals))


def _number(value: object, kind: type, bounds: Between | None, place: str) -> int | float:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if kind is int:
        right, wanted = whole, "a whole number"
        if right and (bounds is None or math.isinf(bounds.most)) and abs(value) > WHOLE:  # type: ignore[arg-type]
            raise _Refused(place, value, f"at most {WHOLE:,}")
    else:
        right, wanted = whole or (isinstance(value, float) and math.isfinite(value)), "a finite number"
        right = right and abs(value) <= 1.7e308  # type: ignore[arg-type]  # a whole number may be too large for a float
    if not right or not (bounds is None or bounds.holds(value)):  # type: ignore[arg-type]
        raise _Refused(place, value, f"{wanted} {bounds}" if bounds else wanted)
    return value if kind is int else float(value)  # type: ignore[return-value, arg-type]


def _sequence(value: object, annotation: Any, bounds: Between | None, place: str) -> Any:
    kind, inner = get_origin(annotation), get_args(annotation)
    if not isinstance(value, (list, tuple)):
        raise _Refused(place, value, described(annotation))
    if kind is tuple and inner[-1] is not Ellipsis:
        if len(value) != len(inner):
            raise _Refused(place, value, described(annotation))
        kinds = inner
    else:
        kinds = inner[:1] * len(value)
    return kind(_convert(one, k, bounds, f"{place}[{i}]") for i, (one, k) in enumerate(zip(value, kinds, strict=True)))


def _nested(value: object, cls: type, place: str) -> Any:
    if isinstance(value, cls):
        for name, annotation in _annotations(cls).items():
            _convert(getattr(value, name), annotation, None, f"{place}.{name}")
        return value
    if not isinstance(value, Mapping):
        raise _Refused(place, value, described(cls))
    return build(cls, value, place)


def described(annotation: Any) -> str:
    """An annotation in words: "a list of whole numbers"."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return described(inner[0])
    if origin in (Union, types.UnionType):
        return " or ".join(map(described, inner))
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if origin in (list, tuple):
        many = origin is list or inner[-1] is Ellipsis
        return f"a list, each of it {described(inner[0])}" if many else f"a list of {len(inner)}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a table, each value of it {described(inner[1])}"
    names = {int: "a whole number", float: "a finite number", str: "a text", bool: "true or false", Path: "a path"}
    if annotation is None or annotation is type(None):
        return "null"
    if isinstance(annotation, type) and is_dataclass(annotation):
        return "a table of settings"
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))
