"""Files that appear whole or not at all. What it is not: a format; what is written is the caller's."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def whole_file(path: Path | str) -> Iterator[IO[bytes]]:
    """Opens a file beside `path` for bytes, flushes it to disk and renames it when the block ends well. Killed at any moment,
    there is the old file or the new one; two writers at once don't meet, the last to end wins. Makes missing folders.
    Raises OSError that names `path`, also when the disk is full."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes files that only their owner may read
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:  # writing names no file
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def write_whole(path: Path | str, data: bytes | str) -> None:
    """`whole_file` for bytes, or for text as UTF-8, that are there already."""
    with whole_file(path) as file:
        file.write(data.encode("utf-8") if isinstance(data, str) else data)
