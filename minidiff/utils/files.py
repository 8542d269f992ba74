"""Files and folders that appear whole or not at all. What it is not: a format; what is written is the caller's."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from minidiff.utils.locks import locked


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


@contextmanager
def whole_folder(path: Path | str) -> Iterator[Path]:
    """Gives an empty folder beside `path`, which becomes `path` when the block ends well; else nothing is left of it. What a
    process that was killed left behind is removed by the next one. Makes missing folders above.
    Raises ValueError when `path` is there already and isn't an empty folder, LockedError when somebody else is making it."""
    path = Path(path)
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise ValueError(f"{path} is there already: choose another place, or remove it first.")
    unfinished = path.with_name(f".{path.name}.unfinished")
    with locked(path.with_name(f".{path.name}.lock"), f"The folder {path}"):
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        try:
            yield unfinished
            if path.exists():
                path.rmdir()
            unfinished.rename(path)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def check_replaceable(folder: Path, mark: str) -> None:
    """Raises ValueError for a file, and for a folder that holds something but no file `mark`, which says who wrote it."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: give a folder to write.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / mark).is_file():
        raise ValueError(f"{folder} is not empty and no earlier export, so it is left alone: give another folder.")


@contextmanager
def replaced_folder(folder: Path, mark: str) -> Iterator[Path]:
    """An empty folder to write into, which becomes `folder` at the end, and what was there before is removed only then; after
    an error everything stays as it was. Raises ValueError as `check_replaceable`."""
    check_replaceable(folder, mark)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    before = draft.with_name(draft.name + ".before")
    try:
        yield draft
        for path in (draft, *draft.rglob("*")):  # mkdtemp lets nobody else read it
            path.chmod(0o755 if path.is_dir() else 0o644)
        if folder.exists():
            os.replace(folder, before)
        try:
            os.replace(draft, folder)
        except OSError:
            os.replace(before, folder)
            raise
        shutil.rmtree(before, ignore_errors=True)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
