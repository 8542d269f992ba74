"""Requests that a tab refuses. Their sentences are among the page's labels; the library's are in `messages.py`."""

from __future__ import annotations

from minidiff.pipelines.request import RequestError
from minidiff.studio.labels import label


class Refusal(RequestError):
    """`str` is English, `text("vi")` Vietnamese, as of every RequestError."""

    def __init__(self, key: str, **values: object) -> None:
        ValueError.__init__(self, label(key, "en", **values))
        self.key, self.values = key, values

    def text(self, lang: str) -> str:
        return label(self.key, lang, **self.values)
