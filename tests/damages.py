"""Ways to damage files of JSON and of weights, one fault each, and what must come of it.

Used by test_damaged_zoo.py and test_damaged_folders.py.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from minidiff.pipelines.loading import load_pipeline

SECONDS, MEMORY = 5.0, 600 * 2**20  # of the processor, of address space
ALL = os.environ.get("MINIDIFF_DAMAGE") == "all"
GONE = object()
WRONG: dict[str, Any] = {
    "gone": GONE,
    "null": None,
    "true": True,
    "text": "x",
    "no text": "",
    "minus": -1,
    "zero": 0,
    "one": 1,
    "billion": 10**9,
    "too many": 10**25,
    "fraction": 1.5,
    "nan": float("nan"),
    "infinite": float("inf"),
    "list": [],
    "numbers": [1, 2],
    "texts": ["x", "x"],
    "nested": [[[0]]],
    "table": {},
    "null in it": [None],
}
Damage = Callable[[Path], object]


@contextmanager
def little_memory() -> Iterator[None]:
    """No more memory than a small model needs: what wants gigabytes fails here, not on the machine of a visitor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if sys.platform == "linux":
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def problem(name: Path | str, root: Path | None = None, prompt: str = "a red star") -> str | None:
    """What is wrong with how this model loads and draws; None if it does, or is refused as it should be."""
    start = time.process_time()
    try:
        pipeline = load_pipeline(name, device="cpu", dtype="float32", root=root)
        *_, last = pipeline.stream(pipeline.request(prompt, steps=2, guidance_scale=2.0))
        if not last.latents.isfinite().all() or not pipeline.pixels(last.latents).isfinite().all():
            return "drew numbers that are not finite"
        if last.images is None or last.images[0].size[0] > 1024:
            return "drew no image, or a very large one"
    except ValueError as error:
        if "\n" in str(error) or not 20 <= len(str(error)) <= 600:
            return f"refused, but not in a sentence: {error}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"{type(error).__name__}: {str(error)[:200]}"
    seconds = time.process_time() - start
    return f"took {seconds:.1f} s" if seconds > SECONDS else None


def try_all(damages: dict[str, Damage], copy: Callable[[], Path], judge: Callable[[Path], str | None]) -> None:
    """Each damage done to a fresh copy, and the copy judged. Fails with all that went wrong, or if there was nothing to try."""
    assert damages
    found = {}
    for case, damage in damages.items():
        folder = copy()
        damage(folder)
        with little_memory():
            wrong = judge(folder)
        if wrong is not None:
            found[case] = wrong
    assert not found, "\n".join(f"{case}: {wrong}" for case, wrong in found.items())


def linked(source: Path, target: Path) -> Path:
    """A copy that costs nothing; a file is replaced in it, never changed."""
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(source, target, copy_function=os.link))


def replace(path: Path, data: bytes | str) -> None:
    path.unlink()
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def with_value(table: Any, keys: list[Any], value: Any) -> Any:
    """The table with something else at the end of a path of keys; `GONE` takes the key away."""
    table = json.loads(json.dumps(table))
    at = table
    for key in keys[:-1]:
        at = at[key]
    if value is GONE:
        del at[keys[-1]]
    else:
        at[keys[-1]] = value
    return table


def paths_in(table: Any) -> list[list[Any]]:
    """The paths to all values of nested tables, and to these tables."""
    found = []
    for key, value in table.items():
        found.append([key])
        if isinstance(value, dict):
            found += [[key, *rest] for rest in paths_in(value)]
    return found


def edits(file: str, keys: list[Any], values: dict[str, Any]) -> dict[str, Damage]:
    """One JSON file with other values at one place."""

    def edit(value: Any) -> Damage:
        return lambda folder: replace(
            folder / file, json.dumps(with_value(json.loads((folder / file).read_text()), keys, value))
        )

    return {f"{file} {'.'.join(map(str, keys))}: {name}": edit(value) for name, value in values.items()}


def some(key: str, count: int) -> dict[str, Any]:
    """A few of the wrong values, others for each key; all of them with MINIDIFF_DAMAGE=all in the environment."""
    names = list(WRONG)
    random.Random(key).shuffle(names)
    return {name: WRONG[name] for name in (names if ALL else names[:count])}


# What can be wrong with any file of JSON, of weights, and with any file


def broken_json(file: str, count: int = 15) -> dict[str, Damage]:
    deep = "[" * 200_000
    texts: dict[str, Callable[[str], str | bytes]] = {
        "cut": lambda old: old[: len(old) // 2],
        "empty": lambda old: "",
        "null": lambda old: "null",
        "list": lambda old: "[]",
        "text": lambda old: '"x"',
        "number": lambda old: "7",
        "deep": lambda old: deep,
        "deep inside": lambda old: '{"a": ' + deep,
        "twice": lambda old: old.rstrip().rstrip("}") + ', "a": 1, "a": 2}',
        "binary": lambda old: b"\x00\xff\xfe" * 100,
        "mark": lambda old: "\ufeff" + old,
        "digits": lambda old: '{"a": ' + "9" * 5000 + "}",
        "behind": lambda old: old + "}",
        "empty table": lambda old: "{}",
        "strange key": lambda old: old.rstrip().rstrip("}") + ', "\\ud800": 1}',
    }

    def edit(change: Callable[[str], str | bytes]) -> Damage:
        return lambda folder: replace(folder / file, change((folder / file).read_text()))

    names = [name for name in texts if ALL or random.Random(f"{file} {name}").random() < count / 15]
    return {f"{file} {name}": edit(texts[name]) for name in names}


def no_file(file: str) -> dict[str, Damage]:
    def other(make: Callable[[Path], object]) -> Damage:
        def damage(folder: Path) -> None:
            (folder / file).unlink()
            make(folder / file)

        return damage

    return {
        f"{file} gone": other(lambda path: None),
        f"{file} is a folder": other(Path.mkdir),
        f"{file} is a pipe": other(os.mkfifo),
        f"{file} links to itself": other(lambda path: path.symlink_to(path)),
        f"{file} links to a device": other(lambda path: path.symlink_to("/dev/zero")),
    }


def header_of(data: bytes) -> tuple[dict[str, Any], bytes]:
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def with_header(header: Any, rest: bytes) -> bytes:
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return struct.pack("<Q", len(text)) + text + rest


def first_tensor(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def edit(data: bytes) -> bytes:
        header, rest = header_of(data)
        name = sorted(key for key in header if key != "__metadata__")[0]
        change(header[name])
        return with_header(header, rest)

    return edit


def flipped(data: bytes, seed: int) -> bytes:
    place = random.Random(seed).randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << random.Random(seed + 1).randrange(8))]) + data[place + 1 :]


RAW: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "seven bytes": lambda data: data[:7],
    "eight bytes": lambda data: data[:8],
    "cut header": lambda data: data[:60],
    "cut": lambda data: data[: len(data) * 2 // 3],
    "a byte less": lambda data: data[:-1],
    "a byte more": lambda data: data + b"\0",
    "twice": lambda data: data + data,
    "zeros": lambda data: bytes(len(data)),
    "long header": lambda data: struct.pack("<Q", 2**62) + data[8:],
    "no header": lambda data: struct.pack("<Q", 0) + data[8:],
    "header of text": lambda data: with_header(b"x" * 64, b""),
    "header of lists": lambda data: with_header([1], b""),
    "deep header": lambda data: with_header(b"[" * 100_000, b""),
    "no tensors": lambda data: with_header({}, b""),
    "pickle": lambda data: b"\x80\x04\x95" + data,
    "no table": first_tensor(lambda entry: entry.clear()),
    "unknown type": first_tensor(lambda entry: entry.update(dtype="X9")),
    "type of a number": first_tensor(lambda e: e.update(dtype=3)),
    "eighths": first_tensor(lambda entry: entry.update(dtype="F8_E4M3")),
    "huge": first_tensor(lambda e: e.update(shape=[2**40] * 3)),
    "negative": first_tensor(lambda entry: entry.update(shape=[-1, -4])),
    "no shape": first_tensor(lambda e: e.update(shape=None)),
    "shape of text": first_tensor(lambda entry: entry.update(shape=["4"])),
    "nested": first_tensor(lambda e: e.update(shape=[[4]])),
    "far": first_tensor(lambda entry: entry.update(data_offsets=[2**50, 2**51])),
    "backwards": first_tensor(lambda entry: entry.update(data_offsets=[8, 4])),
    "overlap": first_tensor(
        lambda entry: entry.update(data_offsets=[1, 1 + entry["data_offsets"][1] - entry["data_offsets"][0]])
    ),
    "fractions": first_tensor(lambda entry: entry.update(data_offsets=[0.0, 4.5])),
    **{f"flipped {seed}": (lambda data, seed=seed: flipped(data, seed)) for seed in range(24 if ALL else 6)},
    **{
        f"flipped header {seed}": (lambda data, seed=seed: flipped(data[:2000], seed) + data[2000:])
        for seed in range(24 if ALL else 6)
    },
}


def filled(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def change(tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.clone()
        tensor.view(-1)[-1] = value
        return tensor

    return change


TENSORS: dict[str, Callable[[torch.Tensor], torch.Tensor | None]] = {
    "NaN": filled(float("nan")),
    "infinite": filled(float("-inf")),
    "all NaN": lambda t: t * float("nan"),
    "large": lambda t: t * 0 + 3e38,
    "small": lambda t: t * 0,
    "double": lambda t: t.double() + 1e300,
    "fine double": lambda t: t.double(),
    "half": lambda t: t.half(),
    "bytes": lambda t: t.to(torch.int8),
    "unsigned": lambda t: t.to(torch.uint8),
    "whole": lambda t: t.long(),
    "whole 32": lambda t: t.int(),
    "bool": lambda t: t > 0,
    "complex": lambda t: t.to(torch.complex64),
    "flat": lambda t: t.flatten(),
    "deep": lambda t: t[None],
    "cut": lambda t: t[:-1],
    "scalar": lambda t: t.flatten()[0].clone(),
    "none": lambda t: t[:0],
    "gone": lambda t: None,
}


def other_tensors(data: bytes, case: str, key: str) -> bytes:
    state = load(data)
    new = TENSORS[case](state[key])
    state = {name: tensor.contiguous() for name, tensor in ({**state, key: new}).items() if tensor is not None}
    return save(state)
