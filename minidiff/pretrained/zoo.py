"""The shipped weights: safetensors files in `weights`, and a manifest that says what each of them is.

Everything is in the repository, and its size and SHA-256 are verified whenever it is read. A wheel has the manifest alone, and
fetches the files from the release when they are first read (fetch.py). Not here: published models (hub.py), and what the
configurations mean (configs.py). Set MINIDIFF_ZOO, or pass `root`, to use another directory.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from minidiff.pretrained.fetch import FetchError, fetch, kept
from minidiff.pretrained.weight_file import ALLOWED, check_finite, read_header
from minidiff.utils import strict_json
from minidiff.utils.files import whole_file, write_whole
from minidiff.utils.locks import locked
from minidiff.utils.validation import Between, build, convert, one_line, shown

MANIFEST = "manifest.json"
SHIPPED = Path(__file__).parent / "weights"
NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}", re.ASCII)
PATIENCE = 60.0  # seconds to wait for another process that changes the manifest


class ZooError(ValueError):
    """Weights that are unknown, missing, truncated, changed or unusable; the text says which, and what to do."""


@dataclass(frozen=True)
class Row:
    """What the manifest says of one name."""

    file: str
    sha256: str
    bytes: Annotated[int, Between(0, 2**40)]
    config: dict[str, Any]
    recipe: str = ""
    images_seen: Annotated[int, Between(0, 2**50)] = 0
    world_version: int | str = ""
    figures: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.file):  # nor may it point outside of its own directory
            raise ValueError(f"file is {shown(self.file)}, but it must be the name of a file beside the manifest.")
        if not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError(f"sha256 is {shown(self.sha256)}, but it must be 64 hexadecimal digits.")


def zoo_root(root: Path | str | None = None) -> Path:
    """`root`, else the directory that MINIDIFF_ZOO names, else the shipped one."""
    return Path(root or os.environ.get("MINIDIFF_ZOO") or SHIPPED)


def manifest(root: Path | str | None = None) -> dict[str, dict[str, Any]]:
    """{name: {file, sha256, bytes, config, recipe, images_seen, world_version, figures}}; empty where there is none.
    Raises ZooError for a file that is no such table."""
    path = zoo_root(root) / MANIFEST
    restore = "restore it, for instance with git checkout."
    try:
        entries = strict_json.read(path)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except strict_json.JSONError as error:
        raise ZooError(f"{path} is not JSON ({error}): {restore}") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise ZooError(f"{path} cannot be read ({one_line(error)}): {restore}") from None
    try:
        for name, row in convert(entries, dict[str, Any], "the manifest").items():
            build(Row, row, f"the row {shown(name)}")
    except ValueError as error:
        raise ZooError(f"{path} is not a table of weights: {error}") from None
    return entries


def entry(name: str, root: Path | str | None = None) -> dict[str, Any]:
    """The manifest's row of `name`. Raises ZooError that lists the names when there is none."""
    entries = manifest(root)
    if name not in entries:
        known = ", ".join(sorted(entries)) or "none yet: train with `minidiff train`"
        raise ZooError(f"There are no weights called {str(name)[:40]!r} in {zoo_root(root)}: it holds {known}.")
    return entries[name]


def place(name: str, root: Path | str | None = None) -> Path:
    """Where the file of `name` is, or would be: beside the manifest, or where what a wheel leaves out is kept."""
    row, folder = entry(name, root), zoo_root(root)
    beside = folder / str(row["file"])
    if beside.is_file() or folder != SHIPPED:
        return beside
    try:
        return kept(row["file"], row["sha256"])
    except FetchError as error:
        raise ZooError(str(error)) from None


def read(name: str, root: Path | str | None = None) -> bytes:
    """The file of `name`, after its size and hash were found right. Shipped weights that aren't here are fetched.

    Raises:
        ZooError: unknown name, missing file, wrong size (truncated) or wrong hash (changed), or it can't be fetched.
    """
    row, path = entry(name, root), place(name, root)
    if path.parent != zoo_root(root):
        try:
            path = fetch(row["file"], row["sha256"], row["bytes"])
        except FetchError as error:
            raise ZooError(str(error)) from None
    if not path.is_file():
        raise ZooError(f"The weights {name!r} are not here: {path} is missing. Fetch the repository's files again.")
    size = path.stat().st_size
    if size != row["bytes"]:
        raise ZooError(
            f"The weights {name!r} are incomplete: {path} has {size} bytes and the manifest says {row['bytes']}. "
            "Fetch the file again (git checkout, or git lfs pull where it is used)."
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ZooError(f"The weights {name!r} cannot be read: {one_line(error)}.") from None
    if hashlib.sha256(data).hexdigest() != row["sha256"]:
        raise ZooError(
            f"The weights {name!r} were changed: the SHA-256 of {path} is not the manifest's. Fetch the file again, "
            "or add your own weights under a name of their own."
        )
    return data


def check_dependencies(name: str, root: Path | str | None = None) -> None:
    """Raises ZooError when `name` was trained with other weights (a DiT with another VAE) than those that lie beside it."""
    try:
        made_with = convert(entry(name, root)["config"].get("made_with", {}), dict[str, str], f"{name}: made_with")
    except ValueError as error:
        raise ZooError(str(error)) from None
    for other, sha in made_with.items():
        if entry(other, root)["sha256"] != sha:
            raise ZooError(
                f"{name!r} was trained with another {other!r} than the one here, and will not work with it: train it anew, or "
                "fetch the repository's files again."
            )


def path(name: str, root: Path | str | None = None) -> Path:
    """Where the verified file of `name` is, for what is not weights. Raises ZooError as `read`."""
    read(name, root)
    return place(name, root)


def load(name: str, root: Path | str | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(configuration, state dict) of `name`, which are the caller's own. Tensors are float32 on the CPU, or int64,
    whatever they were stored as.

    Raises:
        ZooError: as `read`, or the file is not safetensors, of a dtype that no weights here have, or not finite.
    """
    data = read(name, root)
    try:
        read_header(io.BytesIO(data), len(data), f"The file of {name!r}")
        stored = load_safetensors(data)
        state = {key: value.float() if value.is_floating_point() else value for key, value in stored.items()}
        check_finite(state, f"The file of {name!r}")
    except SafetensorError as error:
        raise ZooError(f"The file of {name!r} is not safetensors ({one_line(error)}).") from None
    except ValueError as error:
        raise ZooError(str(error)) from None
    return entry(name, root)["config"], state


def add(
    name: str,
    state: dict[str, Tensor],
    config: dict[str, Any],
    *,
    dtype: torch.dtype = torch.float16,
    root: Path | str | None = None,
    recipe: str = "",
    images_seen: int = 0,
    world_version: str | int = "",
    figures: dict[str, Any] | None = None,
) -> Path:
    """Stores `state` as `dtype` under `name`, replacing what had that name. Both files are written whole or not at all,
    and several processes may add to one zoo at the same time.

    Raises:
        ZooError: a weight is NaN, infinite, or too large for `dtype`; or the name is no name of a file.
        LockedError: another process has been changing the manifest for a minute.
    """
    stored = {k: _narrow(k, v, dtype) for k, v in state.items()}
    meta = {"recipe": recipe, "images_seen": images_seen, "world_version": world_version, "figures": figures or {}}
    return _store(name, f"{name}.safetensors", save_safetensors(stored), {"config": config, **meta}, root)


def add_file(name: str, data: bytes, suffix: str = ".json", root: Path | str | None = None, **row: Any) -> Path:
    """Stores a file as it is under `name`: one that is not weights, such as the tokenizer, or has metadata, such as a LoRA.
    row: config, recipe, images_seen, world_version and figures, as in the manifest."""
    return _store(name, name + suffix, data, {"config": {}, **row}, root)


def lora_base(row: dict[str, Any]) -> str | None:
    """The name of the weights that a row's LoRA was made for; None for what is no LoRA."""
    return convert(row["config"].get("lora", {}), dict[str, Any], "lora").get("base")


def copy(name: str, source: Path | str | None, root: Path | str | None, new_name: str | None = None) -> Path:
    """Copies `name` from the zoo in `source` to the one in `root`, as `new_name` if given. Raises ZooError as `read`."""
    data, row = read(name, source), entry(name, source)
    meta = {key: value for key, value in row.items() if key not in ("file", "sha256", "bytes")}
    return _store(new_name or name, (new_name or name) + Path(row["file"]).suffix, data, meta, root)


def _narrow(key: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    tensor = tensor.detach().cpu()
    if not tensor.is_floating_point() and tensor.dtype != torch.int64:
        raise ZooError(f"The tensor {key!r} is {tensor.dtype}: the zoo holds {ALLOWED}.")
    narrow = (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous().clone()
    if narrow.is_floating_point() and not bool(torch.isfinite(narrow).all()):
        raise ZooError(f"The tensor {key!r} is not finite as {dtype}: it holds NaN, infinity or too large a number.")
    return narrow


def _store(name: str, file: str, data: bytes, row: dict[str, Any], root: Path | str | None) -> Path:
    if not NAME.fullmatch(name):
        raise ZooError(f"{shown(name)} is no name for weights: use letters, digits, '.', '-' and '_'.")
    folder = zoo_root(root)
    with locked(folder / f".{MANIFEST}.lock", f"The manifest of the zoo in {folder}", timeout=PATIENCE):
        entries = manifest(root)
        entries[name] = {"file": file, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), **row}
        text = json.dumps(dict(sorted(entries.items())), indent=2, ensure_ascii=False) + "\n"
        with whole_file(folder / MANIFEST) as listed:  # ready before the weights change, and in place right after them
            listed.write(text.encode())
            write_whole(folder / file, data)
    return folder / file


def table(root: Path | str | None = None) -> tuple[str, bool]:
    """What `minidiff zoo` prints: a line for each name, and whether all of them are whole."""
    if not manifest(root):
        raise ZooError(f"There is no zoo in {zoo_root(root)}: no {MANIFEST}, or nothing in it.")
    rows = [("name", "MB", "images seen", "sha256", "LoRA for", "state")]
    total, healthy = 0, True
    for name, row in manifest(root).items():
        try:
            state = _state(name, row, root)
        except ZooError as error:
            state, healthy = str(error), False
        total += row["bytes"]
        seen = f"{row['images_seen']:,}" if row.get("images_seen") else ""
        base = lora_base(row)
        made_for = f"{base} {row['config']['made_with'][base][:12]}" if base else ""
        rows.append((name, f"{row['bytes'] / 1e6:.2f}", seen, row["sha256"][:12], made_for, state))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = ["  ".join([*(row[i].ljust(widths[i]) for i in range(5)), row[5]]) for row in rows]
    return "\n".join([*lines, f"{len(rows) - 1} files, {total / 1e6:.2f} MB, in {zoo_root(root)}"]), healthy


def waits(name: str, root: Path | str | None = None) -> bool:
    """Whether the file of `name` isn't here and is fetched when it is first read."""
    path = place(name, root)
    return path.parent != zoo_root(root) and not path.is_file()


def _state(name: str, row: dict[str, Any], root: Path | str | None) -> str:
    """"verified", or that it waits. Raises ZooError as `load`."""
    check_dependencies(name, root)
    if waits(name, root):
        return "not here yet: fetched when first used"
    load(name, root) if row["file"].endswith(".safetensors") else read(name, root)
    return "verified"
