"""Files of weights: what they hold, by their headers alone (`outline`), and their tensors (`read_weights`), both checked.

safetensors, one file or several with an index, and pickles where that is asked for. A file is trusted with nothing:
memory is taken only for what its size can hold, and every number must be finite. Not here: what weights are called
(state_dicts.py) and whether they fit a model (assemble.py). Taught in the lesson on real weights.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from minidiff.utils import strict_json
from minidiff.utils.validation import one_line, shown

State = dict[str, Tensor]

DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64, "I64": torch.int64}
ALLOWED = "float16, bfloat16, float32, float64, and int64 for counts"
PICKLES = (".bin", ".ckpt", ".pt", ".pth")
INDEX = ".safetensors.index.json"
MOST_TENSORS = 100_000
FLOAT32_MAX = torch.finfo(torch.float32).max


def outline(path: Path | str, allow_pickle: bool = False) -> State:
    """Names, shapes and dtypes of all weights of a file, as tensors on the "meta" device, which take no memory.

    Raises ValueError as `read_weights`, but for numbers that aren't finite.
    """
    path = Path(path)
    check_kind(path, allow_pickle)
    if path.name.endswith(INDEX):
        return _outline_of_shards(path)
    if path.suffix == ".safetensors":
        return _outline_of_file(path)
    return {name: tensor.to("meta") for name, tensor in _read_pickle(path).items()}


def read_weights(path: Path | str, allow_pickle: bool = False) -> State:
    """All weights of a file, on the CPU, as they were stored.

    path: `*.safetensors`, or the `*.safetensors.index.json` of one cut into several. A pickle (`.bin`, `.ckpt`, `.pt`)
    can run code when it is opened; it is read only with allow_pickle, and then weights only.

    Raises ValueError for a file that is missing, damaged or of another kind, for another dtype than float16, bfloat16, float32,
    float64 and int64, and for numbers that aren't finite in float32.
    """
    path = Path(path)
    found = outline(path, allow_pickle)
    if path.suffix in PICKLES:
        state = _read_pickle(path)
    elif path.suffix == ".safetensors":
        state = _read_safetensors(path)
    else:
        state = {}
        for shard in sorted(set(_weight_map(path).values())):
            state |= _read_safetensors(path.parent / shard)
    if state.keys() != found.keys():
        raise ValueError(f"{path.name} was changed while it was read: read it again.")
    return check_finite(state, path.name)


def check_kind(path: Path, allow_pickle: bool) -> None:
    """Raises ValueError for a file that is missing, is no file of weights, or is a pickle without having been asked for."""
    if not path.is_file():
        raise ValueError(f"There is no file {path}.")
    if path.suffix in PICKLES and not allow_pickle:
        raise ValueError(f"{path.name} is a pickle, which can run code when it is opened: use a .safetensors file, or pass "
                         "allow_pickle=True to read weights, and nothing else, from it.")  # fmt: skip
    if not path.name.endswith((".safetensors", INDEX, *PICKLES)):
        raise ValueError(f"{path.name} is no kind of weights: give a .safetensors file or a {INDEX}.")


def check_finite(state: State, source: str) -> State:
    """The same weights. Raises ValueError that names one with NaN, infinity, or a number too large for float32."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and tensor.numel():
            low, high = map(float, torch.aminmax(tensor))  # a NaN anywhere makes both of them NaN
            if not (-FLOAT32_MAX <= low and high <= FLOAT32_MAX):
                raise ValueError(f"{source}: the weight {name} is not finite: it has numbers from {low:g} to {high:g}.")
    return state


def read_header(file: BinaryIO, size: int, source: str) -> State:
    """The header of a safetensors file of `size` bytes, open at its start, as tensors on the "meta" device.

    Raises ValueError unless it is JSON, each tensor has an allowed dtype, and their bytes fill the rest of the file exactly.
    """
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or not 2 <= length <= min(size - 8, strict_json.LARGEST):
        raise _damaged(source, "its header is longer than the file" if size >= 8 else "it is too short for a header")
    try:
        header = strict_json.parse(file.read(length))
    except strict_json.JSONError as error:
        raise _damaged(source, f"in its header {error}") from None
    if not isinstance(header, dict) or len(header) > MOST_TENSORS:
        raise _damaged(source, "its header is no table of tensors")
    header.pop("__metadata__", None)
    ends = [(*_place(entry, name, source), name) for name, entry in header.items()]
    at = 0
    for begin, end, name in sorted(ends):
        if begin != at or end < begin:
            raise _damaged(source, f"the tensor {shown(name)} is not where the one before it ends")
        at = end
    if at != size - 8 - length:
        raise _damaged(source, f"its tensors need {at:,} bytes, and it has {max(size - 8 - length, 0):,}")
    return {name: torch.empty(entry["shape"], dtype=DTYPES[entry["dtype"]], device="meta") for name, entry in header.items()}


def _place(entry: Any, name: str, source: str) -> tuple[int, int]:
    """Where the tensor's bytes begin and end. Raises ValueError unless they are as many as its shape and dtype need."""
    entry = entry if isinstance(entry, dict) else {}
    dtype, shape, place = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
    if isinstance(dtype, str) and dtype not in DTYPES:
        raise ValueError(f"{source}: the weight {shown(name)} is of type {shown(dtype)}, and only {ALLOWED} are allowed.")
    sizes = isinstance(shape, list) and all(type(n) is int and 0 <= n < 2**40 for n in shape) and len(shape) <= 8
    offsets = isinstance(place, list) and len(place) == 2 and all(type(n) is int and 0 <= n < 2**62 for n in place)
    if not isinstance(dtype, str) or not sizes or not offsets:
        raise _damaged(source, f"its header says {shown(entry)} of the tensor {shown(name)}")
    if math.prod(shape) * DTYPES[dtype].itemsize != place[1] - place[0]:
        raise _damaged(source, f"the shape {shown(shape)} of the tensor {shown(name)} does not fit its bytes")
    return place[0], place[1]


def _damaged(source: str, why: str) -> ValueError:
    return ValueError(f"{source} cannot be read as safetensors ({why}): fetch it again.")


def _outline_of_file(path: Path) -> State:
    try:
        with path.open("rb") as file:
            return read_header(file, path.stat().st_size, path.name)
    except OSError as error:
        raise _damaged(path.name, one_line(error)) from None


def _read_safetensors(path: Path) -> State:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _damaged(path.name, one_line(error)) from None


def _weight_map(index: Path) -> dict[str, str]:
    """The index's table {weight: file beside it}. Raises ValueError unless it is one, of files of safetensors that are
    there."""
    try:
        content = strict_json.read(index)
    except (OSError, strict_json.JSONError) as error:
        raise ValueError(f"{index.name} is no index of safetensors ({one_line(error)}): fetch it again.") from None
    files = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(files, dict) or not files or not all(isinstance(file, str) for file in files.values()):
        raise ValueError(f"{index.name} is no index of safetensors (it has no weight_map of names): fetch it again.")
    for shard in sorted(set(files.values())):
        if "\0" in shard or Path(shard).name != shard or not shard.endswith(".safetensors"):  # no way out of the folder
            raise ValueError(f"{index.name} needs {shown(shard)}, which is not beside it: fetch another version.")
        if not (index.parent / shard).is_file():
            raise ValueError(f"{index.name} needs {shown(shard)}, which is not beside it: fetch that file too.")
    return files


def _outline_of_shards(index: Path) -> State:
    files = _weight_map(index)
    state: State = {}
    for shard in sorted(set(files.values())):
        state |= _outline_of_file(index.parent / shard)
    if state.keys() != files.keys():
        first = sorted(state.keys() ^ files.keys())[0]
        raise ValueError(f"{index.name} and its files disagree about {shown(first)}: fetch them again, all of one version.")
    return state


def _read_pickle(path: Path) -> State:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, OSError):
        raise ValueError(f"{path.name} holds more than weights, or is damaged; nothing of it was run or read.") from None
    if isinstance(content, Mapping):
        content = content.get("state_dict", content)  # as training frameworks store it
    named = isinstance(content, Mapping) and all(isinstance(name, str) for name in content)
    if not named or not all(isinstance(tensor, Tensor) for tensor in content.values()):
        raise ValueError(f"{path.name} is no table of names and tensors; convert it to safetensors by hand.")
    for name, tensor in content.items():
        if tensor.dtype not in DTYPES.values() or tensor.layout != torch.strided:
            raise ValueError(f"{path.name}: the weight {shown(name)} is {tensor.dtype}, and only {ALLOWED} are allowed.")
        if tensor.numel() * tensor.itemsize > path.stat().st_size:  # a few bytes that claim to be many
            raise ValueError(f"{path.name}: the weight {shown(name)} is larger than the file: fetch it again.")
    return dict(content)
