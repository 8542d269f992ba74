"""Files of the release that a wheel leaves out, fetched when they are first needed and kept for good.

A download shows a progress bar, goes on where an earlier one broke off, and becomes the file only when its size and SHA-256
are right; several processes may want the same file at once. What it is not: which files there are, and what they hold
(zoo.py); published models (hub.py). MINIDIFF_CACHE names another folder to keep them in, MINIDIFF_RELEASE another address to
fetch them from: a mirror, or a folder.
"""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from minidiff.utils import release
from minidiff.utils.locks import locked
from minidiff.utils.validation import one_line

CHUNK = 1 << 18  # bytes read at a time
SILENCE = 30.0  # seconds after which a server that says nothing is given up
TRIES = 3  # connections, each of which goes on where the last one ended
PATIENCE = 3600.0  # seconds to wait for another process that fetches the same file


class FetchError(ValueError):
    """A file can't be had; the text says why, and what to do."""


def address() -> str:
    """Where the release's files are: what MINIDIFF_RELEASE names, else the release of this version."""
    given = os.environ.get("MINIDIFF_RELEASE") or release.FILES
    folder = Path(given).expanduser()
    return (folder.resolve().as_uri() if "://" not in given and folder.is_dir() else given).rstrip("/")


def kept(file: str, sha256: str) -> Path:
    """Where a file is kept: by its hash, so that versions which share it fetch it once. Raises FetchError without a home."""
    try:
        home = os.environ.get("MINIDIFF_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "minidiff")
        return Path(home).expanduser() / "weights" / sha256[:16] / file
    except RuntimeError:  # a user without a home
        raise FetchError("There is no home folder to keep weights in: name a folder by MINIDIFF_CACHE.") from None


def fetch(file: str, sha256: str, size: int) -> Path:
    """The whole file, where it is kept; fetched unless it is there.

    sha256: 64 hexadecimal digits. size: in bytes. Raises FetchError: no network, no such file, another file, a full disk.
    """
    path = kept(file, sha256)
    if is_whole(path, sha256, size):
        return path
    part = path.with_name(f".{file}.part")
    try:
        with locked(path.with_name(f".{file}.lock"), f"The download {path}", timeout=PATIENCE):
            if not is_whole(path, sha256, size):  # another process may have fetched it meanwhile
                _complete(part, file, sha256, size)
                os.replace(part, path)
    except OSError as error:
        raise FetchError(
            f"{file} cannot be kept in {path.parent} ({one_line(error)}): make room, or name another folder by MINIDIFF_CACHE."
        ) from None
    return path


def is_whole(path: Path, sha256: str, size: int) -> bool:
    """Whether the file is there, with this size and hash."""
    if not path.is_file() or path.stat().st_size != size:
        return False
    with path.open("rb") as file:
        return _sha256(file) == sha256


def _sha256(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    for block in iter(lambda: file.read(CHUNK), b""):
        digest.update(block)
    return digest.hexdigest()


def _complete(part: Path, file: str, sha256: str, size: int) -> None:
    """Fetches what `part` lacks, and verifies the whole."""
    if is_whole(part, sha256, size):  # whoever fetched it was stopped before the last moment
        return
    if part.exists() and part.stat().st_size >= size:
        part.unlink()
    reason = ""
    for _ in range(TRIES):
        before = part.stat().st_size if part.exists() else 0
        reason = _append(part, file, size)
        if is_whole(part, sha256, size):
            return
        after = part.stat().st_size
        if after >= size:
            part.unlink()
            reason = "the file there has another SHA-256 than the manifest says"
        if after <= before or (after >= size and not before):  # nothing came, or all of it in one piece
            break
    where = f"{address()}/{file}"
    raise FetchError(
        f"The weights {file} ({size / 1e6:.1f} MB) are not here and cannot be fetched from {where}: {reason}. Go online and "
        f"try again, name a folder that holds the file by MINIDIFF_RELEASE, or put it at {part.with_name(file)}."
    )


def _append(part: Path, file: str, size: int) -> str:
    """Adds to `part` what the release gives, at most up to `size`; from the start where it can't go on. Returns what went
    wrong, or "". Raises OSError when the disk does."""
    with part.open("ab") as out:
        have = out.tell()
        try:
            with _answer(f"{address()}/{file}", have) as answer:
                if have and not _goes_on(answer, have):
                    out.truncate(have := 0)
                with tqdm(total=size, initial=have, desc=file, unit="B", unit_scale=True, unit_divisor=1000) as bar:
                    for block in _blocks(answer, size - have):
                        out.write(block)
                        bar.update(len(block))
            out.flush()
            os.fsync(out.fileno())
        except _Broken as error:
            return str(error)
    return "" if part.stat().st_size >= size else "the connection ended too early"


class _Broken(Exception):
    """The network's fault, not the disk's."""


@contextmanager
def _answer(url: str, have: int) -> Iterator[Any]:
    """An open answer, which begins at byte `have` where the server can do that."""
    try:
        wanted = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
        answer = urllib.request.urlopen(wanted, timeout=SILENCE)
    except urllib.error.HTTPError as error:
        raise _Broken(f"the server says {error.code} {error.reason}") from None
    except (OSError, HTTPException, ValueError) as error:  # ValueError: no address at all
        raise _Broken(_said(error)) from None
    with answer:
        yield answer


def _said(error: Any) -> str:
    """The system's own words: "Name or service not known"."""
    cause = getattr(error, "reason", error)
    return getattr(cause, "strerror", None) or one_line(cause)


def _goes_on(answer: Any, have: int) -> bool:
    return answer.status == 206 and str(answer.headers.get("Content-Range", "")).startswith(f"bytes {have}-")


def _blocks(answer: Any, most: int) -> Iterator[bytes]:
    """What comes, at most `most` bytes and one more, by which a longer file is noticed."""
    left = most + 1
    while left > 0:
        try:
            block = answer.read(min(CHUNK, left))
        except (OSError, HTTPException) as error:
            raise _Broken(_said(error)) from None
        if not block:
            return
        left -= len(block)
        yield block
