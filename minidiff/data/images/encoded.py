"""Latents and text vectors beside finished shards (latents.py tells the form), read by number: one picture here, the next from
another shard. Only the bytes that are asked for are read, so the pictures themselves needn't be there.

A read that fails or hangs is tried again with growing pauses, then the shard is named. A sample whose bytes aren't those that
were written is left out, and the next one taken in its place: the same one on every machine and in every run. What it is not:
which samples make a batch (train/sharded.py).
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import os
import threading
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NoAnswer
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minidiff.data.images.latents import CAPTIONS, CHECKS, EMPTY, LATENTS, TOKENS, beside
from minidiff.data.shards import INDEX, ShardError, read_index
from minidiff.utils import strict_json
from minidiff.utils.validation import one_line

PAUSES = (1.0, 3.0, 9.0, 27.0)  # seconds before a read is tried again
PATIENCE = 60.0                 # seconds after which a read without an answer counts as failed
READERS = 8                     # threads that read at once, in each process
OPEN = 192                      # files that are kept open, in each process
NEIGHBOURS = 8                  # corrupted samples in a row after which a shard is given up
NOTE = "prepared.json"          # which encoders made the files (images/prepare.py)


class CorruptedError(ValueError):
    """Bytes of a sample that aren't what was written."""


class Wanted(NamedTuple):
    """number: of a sample in its bucket. mirror: the mirror image. caption: 0..1, which of its captions; None: the empty."""

    bucket: str
    number: int
    mirror: bool
    caption: float | None


class Encoded(NamedTuple):
    """latents (C, h, w), tokens (L, D), float16; replaces: where a corrupted sample lies whose place this one takes, or ""."""

    latents: NDArray[np.float16]
    tokens: NDArray[np.float16]
    replaces: str


@dataclass(frozen=True)
class Bucket:
    """The shards of one size of pictures. ends: how many samples they hold up to and with each. shape: (C, h, w) of latents."""

    shards: tuple[Path, ...]
    ends: tuple[int, ...]
    shape: tuple[int, int, int]

    def __len__(self) -> int:
        return self.ends[-1]

    def place(self, number: int) -> tuple[Path, int]:
        """The shard of a sample, and its number in there."""
        shard = bisect.bisect_right(self.ends, number)
        return self.shards[shard], number - (self.ends[shard - 1] if shard else 0)


class Rows:
    """A .npy whose rows are read alone. Several threads may read at once. Raises OSError, also for a file that ends early."""

    def __init__(self, path: Path) -> None:
        self.path, self.lock = path, threading.Lock()
        self.file = open(path, "rb", buffering=0)  # noqa: SIM115  kept open; closed when nobody holds these rows any more
        try:
            np.lib.format.read_magic(self.file)
            self.shape, _, self.dtype = np.lib.format.read_array_header_1_0(self.file)
        except ValueError as error:
            raise OSError(f"{path} is no array ({one_line(error)})") from None
        self.start = self.file.tell()

    def read(self, first: int, count: int, inner: int = 1) -> NDArray[Any]:
        """Rows first .. first + count - 1; inner: 2 counts along the first two axes as if they were one."""
        shape = self.shape[inner:]
        size = self.dtype.itemsize * int(np.prod(shape))
        offset, length = self.start + first * size, count * size
        if hasattr(os, "pread"):
            data = os.pread(self.file.fileno(), length, offset)
        else:
            with self.lock:
                self.file.seek(offset)
                data = self.file.read(length)
        if len(data) != length:
            raise OSError(f"{self.path} ends before row {first + count}")
        return np.frombuffer(data, self.dtype).reshape(count, *shape)


def parts_of(folder: Path) -> list[Path]:
    """The folders with an index: this one, or those in it."""
    inside = sorted(path.parent for path in folder.glob(f"*/{INDEX}")) if not (folder / INDEX).is_file() else []
    return inside or [folder]


def how_made(folder: Path) -> tuple[str, NDArray[np.float16]]:
    """By which encoders, and the vectors of the empty text. Raises ShardError."""
    try:
        by, empty = str(strict_json.read(folder / NOTE).get("latents", "")), np.load(folder / EMPTY, allow_pickle=False)
    except (OSError, ValueError, AttributeError) as error:
        raise ShardError(f"{folder} doesn't say how its latents were made ({one_line(error)}): prepare the pictures again with "
                         "--latents, into another folder.") from None  # fmt: skip
    return by, empty


class EncodedShards:
    """What training reads. folder: what `minidiff prepare images` wrote, or a folder of such folders, parts of one collection
    that were prepared apart. buckets: by name ("512x512": width and height in pixels); empty: the vectors (L, D) of the empty
    text; width: D; by: the encoders, as --latents named them; digest: of all that decides what is read.

    Raises ShardError when there are no shards, or some without latents. A network drive is asked for one listing per folder and
    the headers of one shard per bucket, not for each file. May be pickled, and used after a fork."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._files: dict[Path, Rows] = {}
        self._pool: tuple[int, ThreadPoolExecutor] | None = None
        parts = parts_of(self.folder)
        rows = [(part / row.name, row) for part in parts for row in read_index(part)]
        self._check_complete([path for path, _ in rows])
        self.by, self.empty = how_made(parts[0])
        for part in parts[1:]:
            by, empty = how_made(part)
            if by != self.by or not np.array_equal(empty, self.empty):
                raise ShardError(f"{part} was made by other encoders ({by}) than {parts[0]} ({self.by}).")
        self.width = int(self.empty.shape[-1])
        self.digest = hashlib.sha256(repr([self.by, [row for _, row in rows]]).encode()).hexdigest()[:16]
        self.buckets: dict[str, Bucket] = {}
        for name in sorted({row.bucket for _, row in rows}):
            inside = [(path, row.samples) for path, row in rows if row.bucket == name]
            paths, counts = zip(*inside, strict=True)
            self.buckets[name] = Bucket(paths, tuple(itertools.accumulate(counts)), self._shape(paths[0]))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_files": {}, "_pool": None}

    def __len__(self) -> int:
        return sum(map(len, self.buckets.values()))

    def _check_complete(self, shards: Sequence[Path]) -> None:
        there: dict[Path, set[str]] = {}
        for folder in {path.parent for path in shards}:
            there[folder] = {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()
        for path in shards:
            for suffix in (LATENTS, CHECKS, TOKENS, CAPTIONS):
                if beside(path, suffix).name not in there[path.parent]:
                    raise ShardError(f"There is no {beside(path, suffix)}: training needs shards with latents and text "
                                     "vectors, as `minidiff prepare images SRC OUT --latents MODEL` makes them.")  # fmt: skip

    def _shape(self, shard: Path) -> tuple[int, int, int]:
        try:
            latents, tokens, captions = (self._rows(beside(shard, suffix)) for suffix in (LATENTS, TOKENS, CAPTIONS))
        except OSError as error:
            raise ShardError(f"The latents of {shard} cannot be read ({one_line(error)}).") from None
        if len(latents.shape) != 5 or latents.shape[1] != 2 or captions.shape[1:] != (3,) or tokens.shape[1:] != (self.width,):
            raise ShardError(f"The files beside {shard} have other forms than this version of minidiff writes: prepare the "
                             "pictures again, into another folder.")  # fmt: skip
        return latents.shape[2:]

    # --- one sample -----------------------------------------------------------------------------------------------------

    def _rows(self, path: Path) -> Rows:
        """An open file; the one that was opened first is let go when there are too many. A thread that reads it just now holds
        it, too, so it isn't closed under its hands."""
        found = self._files.get(path)
        if found is None:
            found = self._files[path] = Rows(path)
            while len(self._files) > OPEN:
                self._files.pop(next(iter(self._files)), None)
        return found

    def read(self, one: Wanted) -> Encoded:
        """A sample as it is. Raises CorruptedError that names it, and OSError when it can't be read."""
        path, number = self.buckets[one.bucket].place(one.number)
        where = f"sample {number} of {path}"
        view = 2 * number + one.mirror
        latents = self._rows(beside(path, LATENTS)).read(view, 1, inner=2)[0]
        if zlib.crc32(latents.tobytes()) != self._rows(beside(path, CHECKS)).read(view, 1, inner=2)[0]:
            raise CorruptedError(where)
        captions = self._rows(beside(path, CAPTIONS))
        places, owner = range(captions.shape[0]), lambda k: captions.read(k, 1)[0, 0]
        first = bisect.bisect_left(places, number, key=owner)  # the lines are in the order of the samples
        end = bisect.bisect_left(places, number + 1, lo=first, key=owner)
        if one.caption is None or first == end:
            return Encoded(latents, self.empty, "")
        chosen = first + int(one.caption * (end - first))
        begins = captions.read(chosen - 1, 1)[0, 1] if chosen else 0
        ends, check = captions.read(chosen, 1)[0, 1:]
        if not 0 <= begins < ends <= self._rows(beside(path, TOKENS)).shape[0]:
            raise CorruptedError(where)
        tokens = self._rows(beside(path, TOKENS)).read(int(begins), int(ends - begins))
        if zlib.crc32(tokens.tobytes()) != check:
            raise CorruptedError(where)
        return Encoded(latents, tokens, "")

    def read_or_next(self, one: Wanted) -> Encoded:
        """A sample, or in place of a corrupted one the next in its bucket. Raises ShardError when all these are, too."""
        first = ""
        for distance in range(NEIGHBOURS):
            number = (one.number + distance) % len(self.buckets[one.bucket])
            try:
                return self.read(one._replace(number=number))._replace(replaces=first)
            except CorruptedError as error:
                first = first or str(error)
        raise ShardError(f"From {first} on, {NEIGHBOURS} samples in a row are corrupted: copy or prepare that shard again.")

    # --- many, patiently ------------------------------------------------------------------------------------------------

    def fetch(self, wanted: Sequence[Wanted]) -> list[Encoded]:
        """Samples, read at once by several threads. Raises ShardError that names a shard which can't be read however often it
        is tried, or in which nothing but corrupted samples is found."""
        pool = self._threads()
        begun = [pool.submit(self.read_or_next, one) for one in wanted]
        return [self._patiently(future, one, pool) for future, one in zip(begun, wanted, strict=True)]

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None or self._pool[0] != os.getpid():  # threads don't live through a fork
            self._pool = os.getpid(), ThreadPoolExecutor(READERS, "reader")
        return self._pool[1]

    def _patiently(self, future: Future[Encoded], one: Wanted, pool: ThreadPoolExecutor) -> Encoded:
        path, _ = self.buckets[one.bucket].place(one.number)
        for pause in (*PAUSES, None):
            try:
                return future.result(timeout=PATIENCE)
            except NoAnswer:
                why = f"no answer within {PATIENCE:g} s"
            except OSError as error:
                why = one_line(error)
            for suffix in (LATENTS, CHECKS, TOKENS, CAPTIONS):  # an open file may be of a drive that was mounted anew since
                self._files.pop(beside(path, suffix), None)
            if pause is not None:
                time.sleep(pause)
                future = pool.submit(self.read_or_next, one)
        raise ShardError(f"The shard {path} cannot be read, though it was tried {len(PAUSES) + 1} times ({why}): see whether "
                         "its files are there and its drive answers, then give the same command again.")  # fmt: skip
