"""What is written down of an answer's outputs, and that it comes through a pipe as it was, or not at all."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save as save_file
from torch import nn

from minidiff.course.probing import Probe, outcome, packed, probes_of, same, unpacked

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8,
)  # fmt: skip


@settings(max_examples=60)
@given(VALUES)
def test_what_is_packed_comes_out_the_same(value: object) -> None:
    found = outcome(Probe(lambda f: f()), lambda: value)
    assert repr(unpacked(packed(found))) == repr(found)


def test_tensors_come_out_with_their_bits_and_dtypes() -> None:
    tensors = [torch.tensor([1.0, float("nan"), -0.0]), torch.arange(6).reshape(2, 3).T, torch.ones(2, dtype=torch.bfloat16),
               torch.tensor(True), torch.zeros(0, 3), torch.tensor(3, dtype=torch.uint8)]  # fmt: skip
    found = outcome(Probe(lambda f: f()), lambda: {"all": tensors, "twice": tensors[0]})
    out = unpacked(packed(found)).value
    for one, other in zip([*tensors, tensors[0]], [*out["all"], out["twice"]], strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        assert torch.equal(one.double().nan_to_num(7), other.double().nan_to_num(7))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x00" * 8, b"\xff" * 64, (10**12).to_bytes(8, "little") + b"{}",
        (7).to_bytes(8, "little") + b"[" * 7, (200_000).to_bytes(8, "little") + b"[" * 200_000,
        (2).to_bytes(8, "little") + b"{}" + b"no safetensors",
        *((len(text)).to_bytes(8, "little") + text + b"\x02\x00\x00\x00\x00\x00\x00\x00{}" for text in (
            json.dumps({"value": {"tensor": "5"}, "error": None, "changed": [], "settings": []}).encode(),
            json.dumps({"value": {"list": 3}, "error": None, "changed": [], "settings": []}).encode(),
            json.dumps({"value": 1, "error": 5, "changed": [], "settings": []}).encode(),
            b'{"value": 1' + b"0" * 5000 + b', "error": null, "changed": [], "settings": []}',
        )),
    ],
)  # fmt: skip
def test_bytes_that_nobody_packed_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no outcome"):
        unpacked(data)


@pytest.mark.parametrize("value", [10**400, [[]] * 10**6, object(), {1: 2}, torch.ones(2).to_sparse()])
def test_what_no_probe_compares_is_an_error(value: object) -> None:
    assert outcome(Probe(lambda f: f()), lambda: value).error == (
        "Unreadable",
        outcome(Probe(lambda f: f()), lambda: value).error[1],
    )


def message(value: object, tensors: dict[str, torch.Tensor] | None = None, **more: object) -> bytes:
    text = json.dumps({"value": value, "error": None, "changed": [], "settings": [], **more}).encode()
    return len(text).to_bytes(8, "little") + text + save_file(tensors or {})


def test_a_forged_message_costs_no_more_than_an_honest_one() -> None:
    """A tensor named a thousand times, one of two thousand axes, a megabyte of brackets."""
    big = {"0": torch.zeros(2**20)}
    for forged in (
        message({"list": [{"tensor": "0"}] * 100}, big), message({"tensor": "0"}, {"0": torch.zeros([1] * 60)}),
        message({"list": [{"list": []}] * 200_000}),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="no outcome"):
            unpacked(forged)


def test_names_out_of_a_message_are_known_ones_or_readable() -> None:
    found = unpacked(message(1, changed=["\ud800x\x1b[2J"], settings=["grad mode", "anything"], error=["E\n**", "t\x00"]))
    assert found.settings == ("grad mode",) and found.changed == ("?x [2J",) and found.error == ("E **", "t")


def test_lists_without_end_are_an_error() -> None:
    endless: list = []
    endless.append(endless)
    assert outcome(Probe(lambda f: f()), lambda: endless).error == ("Unreadable", "lists that are too deep")


def test_each_call_gets_copies_of_its_own() -> None:
    probe = Probe(lambda f, items, x: f(items, x), {"items": [1, 2], "x": torch.ones(2)})

    def greedy(items: list, x: torch.Tensor) -> list:
        items.pop()
        x += 1
        return [len(items), x]

    for _ in range(2):
        found = outcome(probe, greedy)
        assert found.changed == ("items", "x") and found.value[0] == 1 and found.value[1].tolist() == [2.0, 2.0]
    assert probe.inputs["items"] == [1, 2]


def test_what_may_be_changed_is_no_fault() -> None:
    probe = Probe(lambda f, a, b: f(a, b), {"a": torch.ones(2), "b": torch.ones(2)}, changes=("a",))
    assert outcome(probe, lambda a, b: a.add_(b)).changed == ()
    assert outcome(probe, lambda a, b: b.add_(a)).changed == ("b",)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (torch.ones(2), torch.ones(2), True), (torch.ones(2), torch.ones(2).double(), False),
        (torch.tensor([float("nan")]), torch.tensor([float("nan")]), True),
        (torch.ones(2), torch.ones(2).requires_grad_(), False),
        ([1, [2]], [1, [2]], True), ([1, 2], [1], False), ({"a": 1}, {"a": 2}, False), ((1,), [1], False), (1, 2, False),
        (float("nan"), float("nan"), True), (object(), object(), True),
    ],
)  # fmt: skip
def test_inputs_are_compared_by_what_they_hold(one: object, other: object, alike: bool) -> None:
    assert same(one, other) == alike


def test_a_networks_weights_and_mode_count() -> None:
    network = nn.Linear(2, 2)
    probe = Probe(lambda f, network: f(network), {"network": network})
    assert outcome(probe, lambda network: network.weight.sum().backward()).changed == ()
    assert outcome(probe, lambda network: network.eval() and None).changed == ("network",)
    assert outcome(probe, lambda network: network.weight.data.zero_()).changed == ("network",)


def test_probes_say_what_they_look_at_or_leave_it_to_the_exercise() -> None:
    found = probes_of(
        'probe(lambda f: f(1))\nprobe("one", lambda f: f(1), points=2)\nprobe(("one", "một"), lambda f, x: f(x), x=1)'
    )
    assert [(probe.what, probe.points) for probe in found] == [(("", ""), 1), (("one", "one"), 2), (("one", "một"), 1)]
    assert found[2].inputs == {"x": 1}


DICE = """
import time
import torch
torch.manual_seed(3)
numbers = []
for _ in range(20):
    numbers.append(float(torch.rand(1)))
    time.sleep(0.0005)
probe(lambda f, x: f(x), x=torch.tensor(numbers))
"""


def test_threads_dont_share_dice_or_settings() -> None:
    """The grader prepares several exercises at once, and some probes seed the process's own generator."""

    def slow(x: torch.Tensor) -> torch.Tensor:
        torch.set_grad_enabled(False)
        time.sleep(0.001)
        return x + torch.rand(1)

    def one(_: int) -> tuple[list[float], object, bool]:
        (probe,) = probes_of(DICE)
        found = outcome(probe, slow)
        return probe.inputs["x"].tolist(), found.value.tolist(), found.settings == ("grad mode",)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(one, range(12)))
    assert all(each == found[0] for each in found) and found[0][2]
    assert torch.is_grad_enabled()
