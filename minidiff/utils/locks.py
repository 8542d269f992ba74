"""One writer at a time: a lock that processes, and threads, share through a file.

Not here: the writing itself (files.py). The system's own lock (`flock`) is used where there is one, since it ends with
the process that holds it, however that dies. Elsewhere (Windows, some network drives) the existence of a file is the
lock, and it is taken over when its process is gone.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:
    fcntl = None

PAUSE = 0.02  # seconds between two tries
TAKEOVER = 10.0  # seconds after which an unsigned or half-made lock file counts as left behind
NO_FLOCK = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
Release = Callable[[], None]


class LockedError(ValueError):
    """Somebody else holds the lock; the text says who."""


@contextmanager
def locked(path: Path | str, what: str, timeout: float = 0.0) -> Iterator[None]:
    """Holds the lock file `path` during the block, and removes it afterwards. Makes missing folders.

    what: names what is locked, for the message: "The run folder runs/world-dit". timeout: seconds to wait for somebody else's
    block to end; 0 doesn't wait. Who holds it doesn't get it a second time.

    Raises LockedError, a ValueError, when it isn't free in time, and OSError where the folder cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + timeout
    while (release := _take(path)) is None:
        if time.monotonic() >= end:
            raise LockedError(f"{what} is in use by {_holder(path)}: wait until that has ended, or use another place.")
        time.sleep(PAUSE)
    try:
        yield
    finally:
        release()


def _take(path: Path) -> Release | None:
    """What gives the lock back; None while somebody else has it."""
    if fcntl:
        try:
            return _take_by_system(path)
        except OSError as error:
            if error.errno not in NO_FLOCK:
                raise
            path.unlink(missing_ok=True)
    return _take_by_existence(_beside(path))


def _take_by_system(path: Path) -> Release | None:
    assert fcntl is not None
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        current = os.path.samestat(os.fstat(handle), os.stat(path))  # False: the last holder has just removed this file
    except (BlockingIOError, FileNotFoundError):
        current = False
    except OSError:
        os.close(handle)
        raise
    if not current:
        os.close(handle)
        return None
    os.ftruncate(handle, 0)
    os.write(handle, _me())

    def release() -> None:
        path.unlink(missing_ok=True)  # while it is held: whoever waits sees that the file is another one
        os.close(handle)

    return release


def _take_by_existence(path: Path) -> Release | None:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    except (FileExistsError, PermissionError):
        _take_over(path)
        return None
    os.write(handle, _me())

    def release() -> None:
        os.close(handle)
        path.unlink(missing_ok=True)

    return release


def _take_over(path: Path) -> None:
    """Removes a lock file that was left behind. A second lock keeps another process from removing the one made next."""
    guard = path.with_name(path.name + ".takeover")
    with suppress(OSError):
        if time.time() - guard.stat().st_mtime > TAKEOVER:
            guard.unlink()
    with suppress(OSError):
        os.close(os.open(guard, os.O_CREAT | os.O_EXCL))
        try:
            if _left_behind(path):
                path.unlink()
        finally:
            guard.unlink()


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".held")


def _me() -> bytes:
    return f"{os.getpid()} {socket.gethostname()}\n".encode()


def _owner(path: Path) -> tuple[int, str] | None:
    with suppress(OSError, ValueError):
        number, host = path.read_text(encoding="utf-8").split()
        return int(number), host
    return None


def _holder(path: Path) -> str:
    owner = _owner(path) or _owner(_beside(path))
    return f"process {owner[0]} on {owner[1]}" if owner else "another process"


def _left_behind(path: Path) -> bool:
    """Whether the process that made the lock file is gone. Nothing is known of the processes of another machine."""
    if os.name == "nt":
        return True  # there a file that is open cannot be removed
    owner = _owner(path)
    if owner is None:
        return time.time() - path.stat().st_mtime > TAKEOVER
    if owner[1] != socket.gethostname():
        return False
    try:
        os.kill(owner[0], 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
