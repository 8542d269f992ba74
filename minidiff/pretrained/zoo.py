"""The shipped weights: safetensors files in `weights`, and a manifest that says what each of them is.

What it is not: a downloader. Everything is in the repository, and is verified (size and SHA-256) whenever it is read.
Set MINIDIFF_ZOO, or pass `root`, to use another directory.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from minidiff.utils.files import write_whole

MANIFEST = "manifest.json"
SHIPPED = Path(__file__).parent / "weights"


class ZooError(ValueError):
    """Weights that are unknown, missing, truncated or changed; the text says which, and what to do."""


def zoo_root(root: Path | str | None = None) -> Path:
    """`root`, else the directory that MINIDIFF_ZOO names, else the shipped one."""
    return Path(root or os.environ.get("MINIDIFF_ZOO") or SHIPPED)


def manifest(root: Path | str | None = None) -> dict[str, dict[str, Any]]:
    """{name: {file, sha256, bytes, config, recipe, images_seen, world_version, figures}}; empty where there is none."""
    path = zoo_root(root) / MANIFEST
    if not path.exists():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ZooError(f"{path} is not JSON ({error}): restore it, for instance with git checkout.") from None
    rows = entries.values() if isinstance(entries, dict) else [None]
    if not all(isinstance(row, dict) and row.keys() >= {"file", "sha256", "bytes", "config"} for row in rows):
        raise ZooError(f"{path} is not a table of weights: restore it, for instance with git checkout.")
    return entries


def entry(name: str, root: Path | str | None = None) -> dict[str, Any]:
    """The manifest's row of `name`. Raises ZooError that lists the names when there is none."""
    entries = manifest(root)
    if name not in entries:
        known = ", ".join(sorted(entries)) or "none yet: train with `minidiff train`"
        raise ZooError(f"There are no weights called {str(name)[:40]!r} in {zoo_root(root)}: it holds {known}.")
    return entries[name]


def read(name: str, root: Path | str | None = None) -> bytes:
    """The file of `name`, after its size and hash were found right.

    Raises:
        ZooError: unknown name, missing file, wrong size (truncated) or wrong hash (changed).
    """
    row = entry(name, root)
    path = _where(row, root)
    if not path.is_file():
        raise ZooError(f"The weights {name!r} are not here: {path} is missing. Fetch the repository's files again.")
    data = path.read_bytes()
    if len(data) != row["bytes"]:
        raise ZooError(
            f"The weights {name!r} are incomplete: {path} has {len(data)} bytes and the manifest says {row['bytes']}. "
            "Fetch the file again (git checkout, or git lfs pull where it is used)."
        )
    if hashlib.sha256(data).hexdigest() != row["sha256"]:
        raise ZooError(
            f"The weights {name!r} were changed: the SHA-256 of {path} is not the manifest's. Fetch the file again, "
            "or add your own weights under a name of their own."
        )
    return data


def check_dependencies(name: str, root: Path | str | None = None) -> None:
    """Raises ZooError when `name` was trained with other weights (a DiT with another VAE) than those that lie beside it."""
    for other, sha in entry(name, root)["config"].get("made_with", {}).items():
        if entry(other, root)["sha256"] != sha:
            raise ZooError(
                f"{name!r} was trained with another {other!r} than the one here, and will not work with it: train it anew, or "
                "fetch the repository's files again."
            )


def _where(row: dict[str, Any], root: Path | str | None) -> Path:
    return zoo_root(root) / Path(row["file"]).name  # a manifest may not point outside its own directory


def path(name: str, root: Path | str | None = None) -> Path:
    """Where the verified file of `name` is, for what is not weights. Raises ZooError as `read`."""
    read(name, root)
    return _where(entry(name, root), root)


def load(name: str, root: Path | str | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(configuration, state dict) of `name`. Tensors are float32 on the CPU, whatever they were stored as.

    Raises:
        ZooError: as `read`, or the file is not safetensors.
    """
    data = read(name, root)
    try:
        state = load_safetensors(data)
    except SafetensorError as error:
        raise ZooError(f"The file of {name!r} is not safetensors ({error}).") from None
    return entry(name, root)["config"], {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


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
    """Stores `state` as `dtype` under `name`, replacing what had that name; both files are written atomically.

    Raises:
        ZooError: a weight is NaN, infinite, or too large for `dtype`.
    """
    stored = {k: _narrow(k, v, dtype) for k, v in state.items()}
    meta = {"recipe": recipe, "images_seen": images_seen, "world_version": world_version, "figures": figures or {}}
    return _store(name, f"{name}.safetensors", save_safetensors(stored), {"config": config, **meta}, root)


def add_file(name: str, data: bytes, suffix: str = ".json", root: Path | str | None = None) -> Path:
    """Stores a file that is not weights, such as the tokenizer, under `name`."""
    return _store(name, name + suffix, data, {"config": {}}, root)


def _narrow(key: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    tensor = tensor.detach().cpu()
    narrow = (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous().clone()
    if narrow.is_floating_point() and not bool(torch.isfinite(narrow).all()):
        raise ZooError(f"The tensor {key!r} is not finite as {dtype}: it holds NaN, infinity or too large a number.")
    return narrow


def _store(name: str, file: str, data: bytes, row: dict[str, Any], root: Path | str | None) -> Path:
    folder = zoo_root(root)
    entries = manifest(root)
    entries[name] = {"file": file, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), **row}
    text = json.dumps(dict(sorted(entries.items())), indent=2, ensure_ascii=False) + "\n"
    write_whole(folder / file, data)
    write_whole(folder / MANIFEST, text)
    return folder / file


def table(root: Path | str | None = None) -> tuple[str, bool]:
    """What `minidiff zoo` prints: a line for each name, and whether all of them are whole."""
    if not manifest(root):
        raise ZooError(f"There is no zoo in {zoo_root(root)}: no {MANIFEST}, or nothing in it.")
    rows = [("name", "MB", "images seen", "sha256", "state")]
    total, healthy = 0, True
    for name, row in manifest(root).items():
        try:
            read(name, root)
            check_dependencies(name, root)
            state = "verified"
        except ZooError as error:
            state, healthy = str(error), False
        total += row["bytes"]
        seen = f"{row['images_seen']:,}" if row.get("images_seen") else ""
        rows.append((name, f"{row['bytes'] / 1e6:.2f}", seen, row["sha256"][:12], state))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = ["  ".join([*(row[i].ljust(widths[i]) for i in range(4)), row[4]]) for row in rows]
    return "\n".join([*lines, f"{len(rows) - 1} files, {total / 1e6:.2f} MB, in {zoo_root(root)}"]), healthy
