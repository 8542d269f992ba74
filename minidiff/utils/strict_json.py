"""JSON from a file that nobody vouches for: read whole or refused in a sentence. Not here: what its settings mean
(validation.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from minidiff.utils.validation import one_line, shown

LARGEST = 64 * 2**20  # bytes; a manifest or a configuration has some thousands, a tokenizer's vocabulary some millions


class JSONError(ValueError):
    """It isn't JSON; the text says where not."""


def parse(text: str | bytes) -> Any:
    """What the JSON says. Raises JSONError for text that isn't JSON, is nested thousands of times, or names a key twice."""
    try:
        return json.loads(text, object_pairs_hook=_table)
    except JSONError:
        raise
    except RecursionError:
        raise JSONError("it is nested too deeply") from None
    except ValueError as error:  # not JSON, not UTF-8, a number of thousands of digits
        raise JSONError(one_line(error)) from None


def read(path: Path) -> Any:
    """`parse` of a file. Raises JSONError also when the file is far too large, and OSError when it cannot be read."""
    size = path.stat().st_size
    if size > LARGEST:
        raise JSONError(f"it has {size:,} bytes, and at most {LARGEST:,} are read")
    return parse(path.read_bytes())


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        raise JSONError(f"it names {shown(next(name for name in names if names.count(name) > 1))} twice")
    return table
