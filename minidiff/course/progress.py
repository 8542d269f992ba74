"""How far a learner has come, read from the score files that `minidiff grade --json` left in a folder. It writes nothing.

Not here: grading (grade.py), and how progress is shown (the studio's tab Learn).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minidiff.course.catalogue import names
from minidiff.utils import strict_json

MOST_FILES, MOST_BYTES, MOST_POINTS = 300, 2**20, 1000


@dataclass(frozen=True)
class Points:
    """What an exercise got, the best of all score files; 0 <= points <= maximum."""

    points: int
    maximum: int

    @property
    def whole(self) -> bool:
        return self.points == self.maximum


def progress(folder: Path) -> dict[str, Points]:
    """{"04.1": ..., ...}: the best points of each exercise, from the JSON files in `folder` and in folders of it. Other files
    are passed over. Raises ValueError when there is no such folder."""
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}.")
    known = {number for own in names().values() for number in own}
    best: dict[str, Points] = {}
    for path in _files(folder):
        for number, found in _scores(path).items():
            if number in known and (number not in best or found.points > best[number].points):
                best[number] = found
    return best


def _files(folder: Path) -> Iterator[Path]:
    """JSON files, those of the folder first, each small enough to be one of scores."""
    left = MOST_FILES
    for pattern in ("*.json", "*/*.json"):
        for path in sorted(folder.glob(pattern)):
            try:
                fits = path.is_file() and path.stat().st_size <= MOST_BYTES
            except OSError:  # gone meanwhile, or in a folder of somebody else's
                continue
            if fits and left:
                left -= 1
                yield path


def _scores(path: Path) -> dict[str, Points]:
    """The exercises' points of one file; none where it is something else."""
    try:
        told: Any = strict_json.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    rows = told.get("exercises") if isinstance(told, dict) else None
    found = {}
    for number, row in (rows if isinstance(rows, dict) else {}).items():
        points, maximum = (row.get("points"), row.get("maximum")) if isinstance(row, dict) else (None, None)
        if type(points) is int and type(maximum) is int and 0 <= points <= maximum <= MOST_POINTS and maximum:
            found[number] = Points(points, maximum)
    return found
