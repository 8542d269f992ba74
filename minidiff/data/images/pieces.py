"""Work on many pictures that is done a piece at a time, each kept in a file, so that a killed call goes on where it was.

What it is not: the place where a piece is worked on (engines.py)."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from tqdm import tqdm

from minidiff.data.images.engines import Engine
from minidiff.utils import strict_json
from minidiff.utils.files import write_whole


@dataclass
class Work:
    """folder: where results are kept; chunk: pictures in a piece; stages: by name, (pictures done in this call, seconds)."""

    folder: Path
    engine: Engine
    chunk: int
    stages: dict[str, tuple[int, float]] = field(default_factory=dict)

    def map(self, name: str, items: Sequence[Any], function: Callable[[Sequence[Any]], list[Any]]) -> list[Any]:
        """What `function` makes of each item, given a piece of them, as JSON can hold it. What an earlier call did is read."""
        return self._map(name, items, lambda pieces: self.engine.map(function, pieces))

    def map_with(self, name: str, items: Sequence[Any], make: Callable[[], Callable[[Sequence[Any]], list[Any]]]) -> list[Any]:
        """The same by a function that `make` makes where it runs, since it loads a network."""
        return self._map(name, items, lambda pieces: self.engine.map_with(make, pieces))

    def _map(self, name: str, items: Sequence[Any], run: Callable[[list[Any]], Iterator[list[Any]]]) -> list[Any]:
        pieces = {start: items[start : start + self.chunk] for start in range(0, len(items), self.chunk)}
        paths = {start: self.folder / f"{name}-{start:09d}.json" for start in pieces}
        missing = [start for start in pieces if read_piece(paths[start], len(pieces[start])) is None]
        with self.timed(name, len(items), sum(len(pieces[start]) for start in missing)) as bar:
            for start, result in zip(missing, run([pieces[start] for start in missing]), strict=True):
                write_whole(paths[start], json.dumps(result, ensure_ascii=False))
                bar.update(len(pieces[start]))
        return list(chain.from_iterable(read_piece(paths[start], len(pieces[start])) or () for start in pieces))

    @contextlib.contextmanager
    def timed(self, name: str, count: int, to_do: int) -> Iterator[tqdm]:
        """A progress bar over `count` pictures, of which `to_do` are left; the time of the block is noted."""
        began = time.perf_counter()
        with tqdm(total=count, initial=count - to_do, desc=name, unit="picture") as bar:
            yield bar
        self.stages[name] = (to_do, time.perf_counter() - began)


def read_piece(path: Path, length: int) -> list[Any] | None:
    """The results in a file, or None if it isn't there or isn't whole."""
    try:
        found = strict_json.read(path)
    except (OSError, strict_json.JSONError):
        return None
    return found if isinstance(found, list) and len(found) == length else None
