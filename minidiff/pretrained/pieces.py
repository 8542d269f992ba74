"""A weight file in pieces, for a way that large files don't fit through. The manifest's hash stays that of the whole."""

from __future__ import annotations

import re
from pathlib import Path

from minidiff.utils.files import write_whole
from minidiff.utils.validation import shown

UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


def size_of(text: str) -> int:
    """"16M" as 16 MiB. Raises ValueError."""
    found = re.fullmatch(r"([1-9]\d*)([KMG])", text.strip())
    if not found:
        raise ValueError(f"The size of pieces is {shown(text)}; it must be a number with K, M or G, such as 16M.")
    return int(found[1]) * UNITS[found[2]]


def split(path: Path, most: int) -> list[Path]:
    """Puts pieces of at most `most` bytes in the place of a file: weights.safetensors.1-of-2 and so on."""
    data = path.read_bytes()
    count = max(1, -(-len(data) // most))
    pieces = [path.with_name(f"{path.name}.{k + 1}-of-{count}") for k in range(count)]
    for k, piece in enumerate(pieces):
        write_whole(piece, data[k * most : (k + 1) * most])
    path.unlink()
    return pieces


def join(path: Path) -> bool:
    """Puts a file together from its pieces, if it isn't there and all of them are; returns whether it did."""
    names = (re.fullmatch(r".*\.(\d+)-of-(\d+)", piece.name) for piece in path.parent.glob(f"{path.name}.*-of-*"))
    found = {(int(name[1]), int(name[2])): path.with_name(name[0]) for name in names if name}
    if path.exists() or not found or set(found) != {(k + 1, len(found)) for k in range(len(found))}:
        return False
    write_whole(path, b"".join(found[key].read_bytes() for key in sorted(found)))
    return True
