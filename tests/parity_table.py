"""`make parity`: what the parity tests measured, as a table. A test that belongs to it is marked with what it compares,
`@pytest.mark.parity("text DiT", "diffusers PixArtTransformer2DModel, tiny")`, and compares by the fixture `agree`, which
asserts as `torch.testing.assert_close` does and remembers the largest difference. So nothing stands in the table that no
test holds. A test's parameters may be named in braces: `"sampler, {title}"` makes a row of each title."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn


@dataclass
class Row:
    """Of one target and reference, over all tests that bear its mark."""

    difference: float = 0.0
    largest: float = 0.0    # number compared with, so that a difference can be seen in proportion
    loaded: set[str] = field(default_factory=set)   # "ours", "theirs": whose weights were loaded strictly


class Agree:
    """Compares ours with theirs, for one row of the table."""

    def __init__(self, row: Row) -> None:
        self.row = row

    def __call__(self, ours: Tensor, theirs: Tensor, **tolerance: Any) -> None:
        """Assert that they are close, as `torch.testing.assert_close` does."""
        torch.testing.assert_close(ours, theirs, **tolerance)
        self.row.difference = max(self.row.difference, float((ours.double() - theirs.double()).abs().max()))
        self.row.largest = max(self.row.largest, float(theirs.double().abs().max()))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--parity", action="store_true", help="run the parity tests alone and print their table")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "parity(target, reference): compares with a published implementation")
    config.stash[ROWS] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--parity"):
        kept = [item for item in items if item.get_closest_marker("parity")]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


@pytest.fixture
def agree(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agree]:
    """The comparison of a test that is marked with what it compares. Watches which side's weights load strictly."""
    mark = request.node.get_closest_marker("parity")
    assert mark, "a test that uses `agree` must be marked: @pytest.mark.parity(target, reference)"
    parameters = {name: value if isinstance(value, str) else " ".join(map(str, value)) if isinstance(value, tuple) else value
                  for name, value in getattr(getattr(request.node, "callspec", None), "params", {}).items()}  # fmt: skip
    row = request.config.stash[ROWS].setdefault(tuple(text.format(**parameters) for text in mark.args), Row())
    load = nn.Module.load_state_dict

    def watched(module: nn.Module, state: Any, strict: bool = True, **options: Any) -> Any:
        result = load(module, state, strict=strict, **options)
        if strict:
            row.loaded.add("ours" if type(module).__module__.startswith("minidiff.") else "theirs")
        return result

    monkeypatch.setattr(nn.Module, "load_state_dict", watched)
    yield Agree(row)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not config.getoption("--parity"):
        return
    directions = {(): "", ("ours",): "into ours", ("theirs",): "into theirs", ("ours", "theirs"): "both ways"}
    lines = ["| ours | reference | largest difference | of numbers up to | strict load |", "|---|---|---:|---:|---|"]
    for (target, reference), row in sorted(config.stash[ROWS].items()):
        strict = directions[tuple(sorted(row.loaded))]
        lines.append(f"| {target} | {reference} | {row.difference:.1e} | {row.largest:.3g} | {strict} |")
    terminalreporter.write_line("\n".join(["", *lines]))


ROWS: pytest.StashKey[dict[tuple[str, str], Row]] = pytest.StashKey()
