"""One check of settings: exact types, finite numbers, ranges, unknown and missing names; all in one sentence."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidiff.utils import strict_json
from minidiff.utils.validation import Between, build, check, convert


@dataclass(frozen=True)
class Inner:
    width: Annotated[int, Between(1)] = 4


@dataclass(frozen=True)
class Settings:
    steps: int
    rate: Annotated[float, Between(0, 1, above=True)] = 0.5
    name: str = "x"
    mode: Literal["a", "b"] = "a"
    flag: bool = False
    sizes: tuple[int, ...] = ()
    pair: tuple[float, float] = (0.0, 1.0)
    limit: int | None = None
    shares: dict[str, float] = field(default_factory=dict)
    inner: Inner = Inner()
    out: Path = Path()

    def __post_init__(self) -> None:
        if self.name == "bad":
            raise ValueError("The name is bad.")


def test_what_is_right_is_built() -> None:
    table = {"steps": 3, "rate": 1, "sizes": [1, 2], "pair": [0, 1.5], "limit": 7, "inner": {"width": 2}, "out": "runs"}
    made = build(Settings, table, "here")
    assert made == Settings(3, 1.0, sizes=(1, 2), pair=(0.0, 1.5), limit=7, inner=Inner(2), out=Path("runs"))
    assert isinstance(made.rate, float) and check(made, "here") is made


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "here: the setting steps is missing."),
    ({"step": 1}, "here: there is no setting 'step'; there are steps, rate, "),
    ({"steps": True}, "here: steps is True, but it must be a whole number."),
    ({"steps": 1.0}, "steps is 1.0, but it must be a whole number."),
    ({"steps": "1"}, "steps is '1'"),
    ({"steps": 10**12}, "at most 2,147,483,647"),
    ({"steps": 10**4290}, "but it must be at most"),
    ({"rate": 0}, "rate is 0, but it must be a finite number above 0 and at most 1."),
    ({"rate": float("nan")}, "rate is nan"),
    ({"rate": float("inf")}, "rate is inf"),
    ({"rate": 10**400}, "rate is 1000"),
    ({"rate": False}, "rate is False"),
    ({"name": 3}, "name is 3, but it must be a text."),
    ({"mode": "c"}, "mode is 'c', but it must be 'a' or 'b'."),
    ({"mode": ["a"]}, "mode is .'a'., but it must be 'a' or 'b'."),
    ({"flag": 1}, "flag is 1, but it must be true or false."),
    ({"sizes": 3}, "sizes is 3, but it must be a list, each of it a whole number."),
    ({"sizes": [1, None]}, r"sizes\[1\] is None"),
    ({"pair": [1.0]}, r"pair is \[1.0\], but it must be a list of 2."),
    ({"limit": "x"}, "limit is 'x', but it must be a whole number or null."),
    ({"shares": {"a": "b"}}, r"shares\['a'\] is 'b', but it must be a finite number."),
    ({"shares": []}, "shares is \\[\\], but it must be a table"),
    ({"inner": 3}, "inner is 3, but it must be a table of settings."),
    ({"inner": {"width": 0}}, "inner: width is 0, but it must be a whole number of at least 1."),
    ({"out": "a\0b"}, "out is .* but it must be a path"),
    ({"name": "bad"}, "here: The name is bad."),
]


@pytest.mark.parametrize(("change", "says"), WRONG, ids=[says[:40] for _, says in WRONG])
def test_what_is_wrong_is_said_in_one_short_sentence(change: dict[str, Any], says: str) -> None:
    table = change if not change or "step" in change else {"steps": 1, **change}
    with pytest.raises(ValueError, match=says) as refusal:
        build(Settings, table, "here")
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 250


def test_what_is_made_by_hand_is_checked_too() -> None:
    with pytest.raises(ValueError, match="^train: rate is 2, but it must be a finite number above 0 and at most 1.$"):
        check(Settings(1, rate=2), "train")
    with pytest.raises(ValueError, match="^train: inner.width is 0"):
        check(Settings(1, inner=Inner(0)), "train")


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_nothing_but_a_value_error_ever_comes_out(value: Any) -> None:
    for annotation in (
        int,
        float,
        str,
        tuple[int, ...],
        dict[str, float],
        Inner,
        Literal["a"],
        int | None,
        list[tuple[str, str] | str],
    ):
        try:
            convert(value, annotation, "it")
        except ValueError as error:
            assert "\n" not in str(error)


DAMAGED = ["{", "[" * 100_000, '{"a": 1, "a": 2}', '{"a": ' * 100_000 + "1" + "}" * 100_000, "1" * 5000, "", "{'a': 1}"]


@pytest.mark.parametrize("text", DAMAGED, ids=range(len(DAMAGED)))
def test_json_is_read_whole_or_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(text, encoding="utf-8")
    with pytest.raises(strict_json.JSONError) as refusal:
        strict_json.read(tmp_path / "file")
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 250


def test_large_files_and_other_bytes_are_no_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(strict_json.JSONError):
        strict_json.read(tmp_path / "file")
    (tmp_path / "file").write_text(json.dumps({"a": [1, None]}))
    assert strict_json.read(tmp_path / "file") == {"a": [1, None]}
    monkeypatch.setattr(strict_json, "LARGEST", 4)
    with pytest.raises(strict_json.JSONError, match="it has 16 bytes, and at most 4 are read"):
        strict_json.read(tmp_path / "file")
