"""The same function for many pieces of work, on processes of this machine or on a Ray cluster; results come in the order of the
pieces. What it is not: the work, whose functions know nothing of where they run."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import pickle
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import connection
from typing import Any, Literal, Protocol, TypeVar

from minidiff.utils.validation import one_line

T = TypeVar("T")
R = TypeVar("R")


class Engine(Protocol):
    """Something that maps."""

    def map(self, function: Callable[[T], R], pieces: Sequence[T]) -> Iterator[R]:
        """function(piece) for all pieces, in their order. The function is one of a module, or a partial of one."""

    def map_with(self, make: Callable[[], Callable[[T], R]], pieces: Sequence[T]) -> Iterator[R]:
        """The same by a function that is made once where it runs, since it loads a network."""


@contextlib.contextmanager
def engine(kind: Literal["local", "ray"], workers: int | None) -> Iterator[Engine]:
    """An engine for the length of the block. workers: processes; as many as there are cores when not given.

    Raises ValueError when Ray is asked for and isn't installed or can't be started."""
    workers = workers or os.cpu_count() or 1
    if kind == "ray":
        with _ray(workers) as cluster:
            yield cluster
    elif workers == 1:
        yield Here()
    else:
        spawn = multiprocessing.get_context("spawn")  # a fork would copy the locks of torch's threads as they happen to be
        with ProcessPoolExecutor(workers, spawn, _end_with_parent) as pool:
            try:
                yield Processes(pool, 2 * workers)
            finally:
                pool.shutdown(cancel_futures=True)


class Here:
    """One piece after the other, in this process."""

    def map(self, function: Callable[[T], R], pieces: Sequence[T]) -> Iterator[R]:
        return map(function, pieces)

    def map_with(self, make: Callable[[], Callable[[T], R]], pieces: Sequence[T]) -> Iterator[R]:
        if pieces:
            yield from map(make(), pieces)


class Processes(Here):
    """Several pieces at once. ahead: how many may wait or be done, so that results don't fill the memory. What loads a network
    runs in this process, which torch spreads over the cores."""

    def __init__(self, pool: ProcessPoolExecutor, ahead: int) -> None:
        self.pool, self.ahead = pool, ahead

    def map(self, function: Callable[[T], R], pieces: Sequence[T]) -> Iterator[R]:
        waiting: deque[Future[R]] = deque()
        try:
            for piece in pieces:
                waiting.append(self.pool.submit(function, piece))
                if len(waiting) >= self.ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise ValueError("A worker was killed, perhaps for want of memory: give the same command again with fewer "
                             "--workers; what is done is kept.") from None  # fmt: skip
        finally:
            for future in waiting:
                future.cancel()


def _end_with_parent() -> None:
    """Lets a worker end when its parent is gone, `kill -9` included; by itself it would wait for work for ever."""
    parent = multiprocessing.parent_process()

    def watch(sentinel: int) -> None:
        connection.wait([sentinel])
        os._exit(1)

    if parent is not None:
        threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()


@contextlib.contextmanager
def _ray(workers: int) -> Iterator[Engine]:
    try:
        import ray
        import ray.data
    except ImportError:
        raise ValueError("--engine ray needs Ray, which is not here: pip install 'minidiff[prepare]'.") from None
    own = not ray.is_initialized()
    if own:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
        given: dict[str, Any] = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": workers, "include_dashboard": False}
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **given)
        except Exception as error:  # Ray raises plain ones, too, as when it takes too long to start
            raise ValueError(f"Ray cannot be started ({one_line(error)}).") from None
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    try:
        yield Cluster()
    finally:
        if own:
            ray.shutdown()


class Cluster:
    """Maps on Ray Data. Pieces and results travel as bytes, so that Arrow needs no columns for them. The pictures must lie
    where all machines of the cluster can read them; only the one that began writes."""

    def map(self, function: Callable[[T], R], pieces: Sequence[T]) -> Iterator[R]:
        return self._run(pieces, partial(_in_batch, function), {})

    def map_with(self, make: Callable[[], Callable[[T], R]], pieces: Sequence[T]) -> Iterator[R]:
        return self._run(pieces, _Once, {"fn_constructor_args": (make,), "concurrency": 1})

    def _run(self, pieces: Sequence[Any], function: Any, options: dict[str, Any]) -> Iterator[Any]:
        import ray

        if not pieces:
            return
        rows = [{"piece": pickle.dumps(piece)} for piece in pieces]
        data = ray.data.from_items(rows, override_num_blocks=len(rows))
        for row in data.map_batches(function, batch_size=1, **options).iter_rows():
            yield pickle.loads(row["result"])


def _in_batch(function: Callable[[Any], Any], batch: dict[str, Any]) -> dict[str, list[bytes]]:
    return {"result": [pickle.dumps(function(pickle.loads(bytes(piece)))) for piece in batch["piece"]]}


class _Once:
    """An actor of the cluster: it makes its function once, and calls it for a piece at a time."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        self.function = make()

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        return _in_batch(self.function, batch)
