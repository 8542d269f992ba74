"""What a preparation found, for people and for programs: a table, report.json, and contact sheets of the kept and the refused.

What it is not: the filters (filters.py) or the preparation (prepare.py).
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minidiff.data.fashion.filters import REASONS, Seen
from minidiff.data.images.report import tile
from minidiff.utils.files import write_whole
from minidiff.utils.images import contact_sheet

REPORT, KEPT, REFUSED = "report.json", "kept.png", "refused.png"
MOST_KEPT, EACH_REASON = 48, 6  # images on the sheets


def table(seen: Sequence[Seen]) -> str:
    """A line for each reason with its number of images and an example, and one for what was mended."""
    counts = Counter(one.reason for one in seen)
    lines = [f"{'reason':<16}{'refused':>8}  example"]
    for reason in REASONS:
        if counts[reason]:
            example = next(one for one in seen if one.reason == reason)
            lines.append(f"{reason:<16}{counts[reason]:>8}  {example.path.name}: {example.detail}")
    lines.append(f"{'kept':<16}{counts['']:>8}  of {len(seen)}")
    if mended := mended_counts(seen):
        lines.append("mended among the kept: " + ", ".join(f"{what} {count}" for what, count in mended.items()))
    return "\n".join(lines)


def mended_counts(seen: Sequence[Seen]) -> dict[str, int]:
    """How many of the kept images had to be converted, by what."""
    return dict(sorted(Counter(what for one in seen if not one.reason for what in one.mended).items()))


def write_report(
    folder: Path,
    source: Path,
    settings: Mapping[str, Any],
    seen: Sequence[Seen],
    prepared: Sequence[Path],
    others: Sequence[tuple[Path, str]],
) -> None:
    """report.json, kept.png and refused.png. source: the folder that was prepared; prepared: the images that were made, in the
    order of those in `seen` without a reason; others: files that are no images."""

    def local(path: Path) -> str:
        return path.relative_to(source).as_posix() if path.is_relative_to(source) else path.as_posix()

    kept = [one for one in seen if not one.reason]
    counts = Counter(one.reason for one in seen)
    report: dict[str, Any] = {
        "settings": {name: plain(value) for name, value in settings.items()},
        "found": len(seen), "kept": len(kept),
        "refused": {reason: counts[reason] for reason in REASONS if counts[reason]},
        "mended": mended_counts(seen),
        "kept_files": [{"file": local(one.path), "image": f"images/{path.name}", "mended": one.mended}
                       for one, path in zip(kept, prepared, strict=True)],
        "refused_files": [{"file": local(one.path), "reason": one.reason, "detail": one.detail} for one in seen if one.reason],
        "other_files": [{"file": local(path), "what": why} for path, why in others],
    }  # fmt: skip
    write_whole(folder / REPORT, json.dumps(report, ensure_ascii=False, indent=1))
    shown = sorted(random.Random(0).sample(range(len(kept)), min(MOST_KEPT, len(kept))))
    tiles = [tile(prepared[number]) for number in shown]
    contact_sheet(tiles, 8, [kept[number].captions[0] for number in shown]).save(folder / KEPT)
    bad = [one for reason in REASONS for one in [one for one in seen if one.reason == reason][:EACH_REASON]]
    if bad:
        said = [f"{one.reason}: {one.detail}" for one in bad]
        contact_sheet([tile(one.path) for one in bad], 8, said, [False] * len(bad)).save(folder / REFUSED)


def plain(value: object) -> Any:
    """A setting as JSON can hold it."""
    return value.as_posix() if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
