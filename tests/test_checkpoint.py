"""What a checkpoint must hold to be continued: the optimiser's state has to fit the weights, and nothing in it is executed."""

from __future__ import annotations

import copy
import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from minidiff.train.checkpoint import FORMAT, MARK, load_checkpoint, load_optimizer
from minidiff.train.options import TrainingError


def after_a_step(weight_decay: float = 0.0) -> torch.optim.AdamW:
    """AdamW of a layer with a weight (2, 3) and a bias (2,), each in a group of its own, after one step."""
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    groups = [{"params": [layer.weight]}, {"params": [layer.bias]}]
    optimizer = torch.optim.AdamW(groups, lr=0.1, weight_decay=weight_decay)
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return optimizer



def test_momenta_are_taken_over_and_rates_stay_this_runs() -> None:
    saved = after_a_step(weight_decay=0.5).state_dict()
    for state in saved["state"].values():
        state["exp_avg"].fill_(7)
    optimizer = after_a_step(weight_decay=0.25)
    load_optimizer(optimizer, saved)
    assert all((state["exp_avg"] == 7).all() for state in optimizer.state.values())
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.25, 0.25]


def one_group(saved: dict[str, Any]) -> None:
    saved["param_groups"] = [saved["param_groups"][0] | {"params": [0, 1]}]


def without_exp_avg_sq(saved: dict[str, Any]) -> None:
    del saved["state"][1]["exp_avg_sq"]


def transposed(saved: dict[str, Any]) -> None:
    saved["state"][0]["exp_avg"] = saved["state"][0]["exp_avg"].T.contiguous()


def shorter(saved: dict[str, Any]) -> None:
    saved["state"][1]["exp_avg_sq"] = saved["state"][1]["exp_avg_sq"][:1]


def a_word(saved: dict[str, Any]) -> None:
    saved["state"][0]["exp_avg"] = "none"


@pytest.mark.parametrize(
    ("change", "words"),
    [(one_group, "other groups"), (without_exp_avg_sq, "state is "), (transposed, "exp_avg has another shape"),
     (shorter, "exp_avg_sq has another shape"), (a_word, "exp_avg has another shape")],
)  # fmt: skip
def test_a_state_that_does_not_fit_is_refused(change: Callable[[dict[str, Any]], None], words: str) -> None:
    saved = copy.deepcopy(after_a_step().state_dict())
    change(saved)
    with pytest.raises(ValueError, match=words):
        load_optimizer(after_a_step(), saved)


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_with_a_true_hash_is_not_executed(tmp_path: Path) -> None:
    body, proof = io.BytesIO(), tmp_path / "executed"
    torch.save({"format": FORMAT, "model": Touch(proof)}, body)
    data = body.getvalue()
    (tmp_path / "checkpoint.pt").write_bytes(data + MARK + hashlib.sha256(data).hexdigest().encode())
    with pytest.raises(TrainingError, match="cannot be read as a checkpoint"):
        load_checkpoint(tmp_path / "checkpoint.pt")
    assert not proof.exists()
    torch.load(io.BytesIO(data), weights_only=False)
    assert proof.exists(), "the file would have been made"
