"""The line of those who wait for the model: who waits, who reads what is sent, and what nobody will read.

gradio keeps all that is sent to a page until the page reads it, even when the page is long gone. This file alone looks at
gradio's own queue, whose version is pinned. Not here: limits on rate and size (security.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import gradio as gr

MODEL = "model"         # the concurrency_id of all that needs the model
UNREAD = 12             # messages that a page may leave unread before its drawing waits for it
READING = 8.0           # seconds that it then has before its drawing stops
PAUSE = 0.05            # seconds between two looks
ABANDONED = 120.0       # seconds after which messages that nobody reads are thrown away

T = TypeVar("T")


class Line:
    """What waits at one gr.Blocks."""

    def __init__(self, blocks: gr.Blocks, clock: Callable[[], float] = time.monotonic) -> None:
        self.blocks, self.clock = blocks, clock
        self._unread: dict[str, tuple[int, float]] = {}   # session -> how many messages, and since when they are as many

    @property
    def queue(self) -> Any:
        return self.blocks._queue

    def drawn(self) -> list[Any]:
        """gradio's events that have the model now."""
        return [event for job in self.queue.active_jobs if job for event in job if event.concurrency_id == MODEL]

    def waiting(self) -> list[Any]:
        """gradio's events that wait for the model."""
        queues = self.queue.event_queue_per_concurrency_id
        return list(queues[MODEL].queue) if MODEL in queues else []

    def of(self, client: str) -> int:
        """How many requests of a client wait or are drawn."""
        events = (*self.drawn(), *self.waiting())
        return sum(bool(event.request.client) and event.request.client.host == client for event in events)

    def unread(self, session: str | None) -> int:
        """How many messages a page hasn't read."""
        messages = self.queue.pending_messages_per_session.get(session)
        return messages.qsize() if messages is not None else 0

    def watched(self, views: Iterator[T], session: str | None) -> Iterator[T]:
        """The views for as long as the page reads them. A quick model waits for a slow page: gradio sends differences, and
        without one message the next can't be used."""
        self.sweep()
        for view in views:
            yield view
            if not self.is_read(session):
                self.forget(session)
                return

    def is_read(self, session: str | None) -> bool:
        """Whether the page reads what is sent, at once or within READING seconds."""
        for _ in range(round(READING / PAUSE)):
            if self.unread(session) <= UNREAD:
                return True
            time.sleep(PAUSE)
        return False

    def sweep(self) -> None:
        """Throws away what pages have left unread for ABANDONED seconds."""
        now = self.clock()
        found = {session: self.unread(session) for session in list(self.queue.pending_messages_per_session)}
        before, self._unread = self._unread, {}
        for session, count in found.items():
            if not count:
                continue
            same, since = before.get(session, (0, now))
            since = since if same == count else now
            if now - since >= ABANDONED:
                self.forget(session)
            else:
                self._unread[session] = count, since

    def forget(self, session: str | None) -> None:
        """Empties the messages of a page; the page may still come and read later ones."""
        messages = self.queue.pending_messages_per_session.get(session)
        while messages is not None and not messages.empty():
            messages.get_nowait()
