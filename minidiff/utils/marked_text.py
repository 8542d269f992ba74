"""Places in Markdown pages that a command fills: from `<!-- NAME: COMMAND -->` to `<!-- end of NAME -->`. Everything else on
the page is written by hand. What it is not: what stands there (course/table.py, benchmarks/figures.py)."""

from __future__ import annotations

import re
from pathlib import Path

from minidiff.utils.files import write_whole


def filled(text: str, name: str, made: str) -> str:
    """The page with `made` in the place `name`. Raises ValueError unless it has that place exactly once."""
    places = re.findall(rf"<!-- {re.escape(name)}: [^\n]*-->\n.*?<!-- end of {re.escape(name)} -->", text, re.DOTALL)
    if len(places) != 1:
        raise ValueError(f"needs one place from '<!-- {name}: COMMAND -->' to '<!-- end of {name} -->', not {len(places)}.")
    first, last = places[0].split("\n", 1)[0], f"<!-- end of {name} -->"
    return text.replace(places[0], f"{first}\n{made.strip()}\n{last}")


def fill(path: Path, made: dict[str, str], write: bool) -> bool:
    """Whether the page's places say already what was made for them; with `write` they do from now on.
    Raises ValueError where a place is missing."""
    old = new = path.read_text(encoding="utf-8")
    for name, text in made.items():
        try:
            new = filled(new, name, text)
        except ValueError as error:
            raise ValueError(f"{path} {error}") from None
    if write and new != old:
        write_whole(path, new)
    return new == old
