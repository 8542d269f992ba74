"""What a preparation found, for people and for programs: report.md, report.json, dropped.jsonl, and pictures of both.

What it is not: the steps (looking.py, deciding.py), or the preparation (prepare.py).
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image, ImageDraw, ImageOps

from minidiff.data.images.buckets import Size
from minidiff.data.images.looking import BUCKET, DECODE, SOURCE, Seen
from minidiff.data.images.pixels import load_rgb
from minidiff.data.images.sources import Found
from minidiff.utils.files import whole_file, write_whole
from minidiff.utils.images import contact_sheet

REPORT, DROPPED = "report.json", "dropped.jsonl"
STEPS = (SOURCE, DECODE, "size", "aspect", "caption", "language", "exact", "near", "sharpness", "words", "clip", "aesthetic",
         "nsfw", BUCKET)  # fmt: skip
TILE, EACH_STEP, MOST_OTHERS = 128, 6, 100  # pixels of a tile; pictures of a step on the sheet; other files that are named


def write_report(
    out: Path,
    settings: Mapping[str, Any],
    seen: Sequence[Seen],
    samples: Mapping[str, Found],
    others: Sequence[tuple[str, str]],
    members: Mapping[Size, Sequence[Seen]],
    stages: Mapping[str, tuple[int, float]],
) -> None:
    """Everything, report.json last, which says that all is there. members: the kept pictures of each bucket; stages: (pictures,
    seconds) of each."""
    write_whole(out / DROPPED, "".join(dropped_lines(seen)))
    kept = [one for one in seen if not one.step]
    report: dict[str, Any] = {
        "settings": settings, "found": len(seen), "kept": len(kept), "steps": step_counts(seen),
        "mended": dict(sorted(Counter(what for one in kept for what in one.mended).items())),
        "captions": caption_counts(kept),
        "buckets": {f"{width}x{height}": len(inside) for (width, height), inside in members.items()},
        "stages": [{"stage": name, "pictures": count, "seconds": round(seconds, 2),
                    "per_second": round(count / max(seconds, 1e-6), 1)} for name, (count, seconds) in stages.items()],
        "other_files": {"count": len(others), "first": [list(row) for row in others[:MOST_OTHERS]]},
    }  # fmt: skip
    drawn = draw_histograms(out / "histograms.png", distributions(seen))
    write_whole(out / "report.md", as_markdown(report, drawn))
    draw_dropped(out / "dropped.png", seen, samples)
    write_whole(out / REPORT, json.dumps(report, ensure_ascii=False, indent=1) + "\n")


def dropped_lines(seen: Iterable[Seen]) -> Iterable[str]:
    """A line of JSON for each that was refused."""
    for one in sorted(seen, key=lambda one: one.key):
        if one.step:
            row = {"key": one.key, "step": one.step, "reason": one.reason, "detail": one.detail}
            yield json.dumps(row, ensure_ascii=False) + "\n"


def step_counts(seen: Sequence[Seen]) -> list[dict[str, Any]]:
    """For each step how many came to it, how many it refused, and for which reasons."""
    rows, coming = [], len(seen)
    for step in STEPS:
        reasons = Counter(one.reason for one in seen if one.step == step)
        rows.append({"step": step, "seen": coming, "dropped": reasons.total(), "reasons": dict(sorted(reasons.items()))})
        coming -= reasons.total()
    return rows


def caption_counts(kept: Sequence[Seen]) -> dict[str, int]:
    """Captions by language, those that were translated, and pictures that have both languages."""
    all_of_them = [caption for one in kept for caption in one.captions]
    counts = Counter(caption.language for caption in all_of_them)
    both = sum({"en", "vi"} <= {caption.language for caption in one.captions} for one in kept)
    translated = sum(one.translated for one in all_of_them)
    return {**dict(sorted(counts.items())), "translated": translated, "pictures with both": both}


def as_markdown(report: Mapping[str, Any], drawn: bool) -> str:
    """report.md: tables of what report.json says."""
    lines = [f"# {report['kept']} of {report['found']} pictures kept", ""]
    lines += ["| step | came | dropped | reasons |", "|---|--:|--:|---|"]
    for row in report["steps"]:
        reasons = ", ".join(f"{reason} {count}" for reason, count in row["reasons"].items())
        lines.append(f"| {row['step']} | {row['seen']} | {row['dropped']} | {reasons} |")
    for title in ("buckets", "captions", "mended"):
        told = ", ".join(f"{name} {count}" for name, count in report[title].items())
        lines += ["", f"{title.capitalize()}: {told or 'none'}."]
    lines += ["", "| stage | pictures | seconds | pictures/s |", "|---|--:|--:|--:|"]
    lines += [f"| {row['stage']} | {row['pictures']} | {row['seconds']} | {row['per_second']} |" for row in report["stages"]]
    lines += ["", "Stages count what this call did; a call that went on did the rest.", ""]
    lines += ["![distributions](histograms.png)" if drawn else "No histograms: they need matplotlib.", ""]
    return "\n".join([*lines, "What was dropped, and why: dropped.jsonl, some of it in dropped.png.", ""])


def distributions(seen: Sequence[Seen]) -> dict[str, list[float]]:
    """What the histograms show, of all pictures of which it is known."""
    opened = [one for one in seen if one.width]
    found: dict[str, list[float]] = {
        "shorter side, pixels": [min(one.width, one.height) for one in opened],
        "width / height": [one.width / one.height for one in opened],
        "characters of a caption": [len(caption.text) for one in opened for caption in one.captions],
        "sharpness": [one.sharpness for one in opened if one.digest],
    }
    for name in sorted({name for one in opened for name in one.scores}):
        found[f"{name} score"] = [one.scores[name] for one in opened if name in one.scores]
    return {name: values for name, values in found.items() if values}


def draw_histograms(path: Path, values: Mapping[str, Sequence[float]]) -> bool:
    """A histogram of each, in one picture; False without matplotlib, or without values."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    from minidiff.utils import plots

    if not values:
        return False
    figure = Figure(figsize=(2.6 * len(values), 2.4), layout="constrained")
    for axis, (name, numbers) in zip(figure.subplots(1, len(values), squeeze=False)[0], values.items(), strict=True):
        plots.histogram({"": numbers}, axis, x=name, bins=40)
    with whole_file(path) as file:
        figure.savefig(file, format="png", dpi=110)
    return True


def draw_dropped(path: Path, seen: Sequence[Seen], samples: Mapping[str, Found]) -> None:
    """A sheet of the first few pictures that each step refused, with the reasons; none when nothing was refused."""
    bad = [one for step in STEPS for one in [one for one in seen if one.step == step][:EACH_STEP]]
    if bad:
        tiles = [tile(content(samples.get(one.key))) for one in bad]
        said = [f"{one.reason}: {one.detail}" for one in bad]
        with whole_file(path) as file:
            contact_sheet(tiles, 8, said, [False] * len(bad)).save(file, "PNG")


def content(sample: Found | None) -> BinaryIO:
    """A sample's file, empty when it isn't there or can't be read."""
    try:
        return io.BytesIO(sample.place.read() if sample else b"")
    except (OSError, ValueError):
        return io.BytesIO()


def tile(file: Path | BinaryIO) -> Image.Image:
    """A picture in a square of white, or a grey square with a cross for what can't be read."""
    try:
        return ImageOps.pad(load_rgb(file), (TILE, TILE), color="white")
    except Exception:  # PIL has many ways to fail on damaged files
        square = Image.new("RGB", (TILE, TILE), (225, 225, 225))
        draw = ImageDraw.Draw(square)
        for ends in ((30, 30, TILE - 30, TILE - 30), (30, TILE - 30, TILE - 30, 30)):
            draw.line(ends, fill=(170, 170, 170), width=5)
        return square
