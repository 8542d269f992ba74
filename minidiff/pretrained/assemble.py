"""Weights into modules: first on paper, then in memory.

A module is built on the "meta" device, where it takes no memory, and compared with the file: only if every name, shape
and type fits does it get memory, and no time is lost on initial weights. Not here: how a file is read (weight_file.py) or
what a configuration may say (configs.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from minidiff.pretrained.weight_file import State
from minidiff.utils.validation import one_line

M = TypeVar("M", bound=nn.Module)


def assemble(make: Callable[[], M], weights: Mapping[str, Tensor], source: str, read: Callable[[], State] | None = None) -> M:
    """The module that `make` builds, with weights.

    weights: by name, with `read` only an outline of them on the "meta" device, and `read` then gets them. source: where
    they are from, for the message. Raises ValueError that says what does not fit, before memory is taken.
    """
    module = planned(make, source)
    check_fit(module, weights, source)
    state = read() if read else weights
    check_fit(module, state, source)
    own = {name: state[name].to(tensor.dtype, copy=True).contiguous() for name, tensor in module.state_dict().items()}
    module.load_state_dict(own, strict=True, assign=True)
    return module


def planned(make: Callable[[], M], source: str) -> M:
    """The module, its parameters on the "meta" device. Raises ValueError when a configuration that looks right builds nothing
    all the same."""
    try:
        with OnPaper():
            return make()
    except (RuntimeError, ValueError, TypeError, ArithmeticError, LookupError, AssertionError, MemoryError) as error:
        raise ValueError(f"{source} describes a model that cannot be built: {one_line(error)}") from None


class OnPaper(TorchFunctionMode):
    """Modules built within have their parameters on the "meta" device: they take no memory, and are not initialised.

    Unlike `torch.device("meta")` it leaves computed tables real, and does not import PyTorch's compiler (5 seconds), which
    fills tensors on that device.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        tensor = args[0] if args else kwargs.get("tensor")  # nn.init hands it over by name
        if isinstance(tensor, Tensor) and tensor.is_meta and name.endswith("_") and not name.endswith("__"):
            return tensor
        if func in (torch.empty, torch.zeros, torch.ones) and kwargs.get("device") is None:
            kwargs = {**kwargs, "device": "meta"}
        return func(*args, **kwargs)


def load_strict(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Copies `state` into `module`, where every name and shape must fit. Raises ValueError as `check_fit`; the module is
    then as before."""
    check_fit(module, state, source)
    module.load_state_dict(dict(state), strict=True)


def same_kind(one: Tensor, other: Tensor) -> bool:
    """Both floating-point numbers, of any size, or both of one type of whole numbers."""
    return one.is_floating_point() if other.is_floating_point() else one.dtype == other.dtype


def check_fit(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Raises ValueError that says which weights are missing, unknown, of another shape or of another type."""
    expected = module.state_dict()
    both = [name for name in expected if name in state]
    problems = {
        "missing": [name for name in expected if name not in state],
        "unknown": [name for name in state if name not in expected],
        "of another shape": [
            f"{name} has shape {tuple(state[name].shape)}, not {tuple(expected[name].shape)}"
            for name in both if state[name].shape != expected[name].shape
        ],
        "of another type": [
            f"{name} is {state[name].dtype}, and the model has {expected[name].dtype}"
            for name in both if not same_kind(state[name], expected[name])
        ],
    }  # fmt: skip
    said = [
        f"{len(names)} {'weight is' if len(names) == 1 else 'weights are'} {what} (first: {names[0]})"
        for what, names in problems.items() if names
    ]  # fmt: skip
    if said:
        raise ValueError(f"{source} does not fit {type(module).__name__}: {', '.join(said)}; use the configuration that these "
                         "weights were trained with.")  # fmt: skip
