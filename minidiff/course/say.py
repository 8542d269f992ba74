"""A sentence in the course's two languages."""

from __future__ import annotations

from typing import NamedTuple

LANGS = ("en", "vi")


class Say(NamedTuple):
    """What is said in English and in Vietnamese."""

    en: str
    vi: str

    def of(self, lang: str) -> str:
        return self.vi if lang == "vi" else self.en
