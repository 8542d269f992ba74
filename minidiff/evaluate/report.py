"""Tables, JSON files and the check of options that all `minidiff evaluate` commands share. Nothing is measured here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minidiff.evaluate.verdict import ATTRIBUTES
from minidiff.pipelines.request import Request
from minidiff.utils.files import write_whole
from minidiff.utils.validation import check


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown, numbers to the right, also readable in a terminal."""
    cells = [[str(c) for c in row] for row in (header, *rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(header))]

    def line(row: Sequence[str]) -> str:
        first, *rest = (c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths, strict=True)))
        return "| " + " | ".join([first, *rest]) + " |"

    rule = "|" + "|".join("-" * (w + 2) if k == 0 else "-" * (w + 1) + ":" for k, w in enumerate(widths)) + "|"
    return "\n".join([line(cells[0]), rule, *(line(row) for row in cells[1:])])


def percent(share: float | None) -> str:
    """0.9934 as "99.3 %"; None as an empty cell."""
    return "" if share is None else f"{100 * share:.1f} %"


def reliability_table(figures: Mapping[str, Mapping[str, float]], count: int) -> str:
    """The judge's own accuracy: a row per condition, a column per attribute."""
    columns = [*ATTRIBUTES, "overall"]
    rows = [[name, *(percent(row.get(c)) for c in columns)] for name, row in figures.items()]
    return f"The judge on {count} fresh renders\n" + table(["", *columns], rows)


def style_reliability_table(figures: Mapping[str, Mapping[str, float]], count: int) -> str:
    """The accuracy of a judge that knows styles: a row per style."""
    columns = list(next(iter(figures.values())))
    rows = [[name, *(percent(row[c]) for c in columns)] for name, row in figures.items()]
    return f"The judge on {count} fresh renders in each style\n" + table(["", *columns], rows)


def check_run(run: Any, command: str) -> None:
    """Raises ValueError for options that are not allowed, or figures that can't be written, before an hour is spent on them.
    run: the options of `command`, with `json` among them; its guidance scale may be several."""
    check(run, command)
    scales = run.guidance_scale if isinstance(run.guidance_scale, tuple) else (run.guidance_scale,)
    for scale in scales or (None,):
        scale = 1.0 if scale is None else scale
        Request("a", sampler=run.sampler, steps=run.steps, guidance_scale=scale, seed=run.seed)  # raises what it refuses
    if run.json.suffix != ".json":
        raise ValueError(f"{str(run.json)!r} is not a .json file: a sheet of images is saved beside it under the same name.")
    for path in (run.json, run.json.with_suffix(".png")):
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise ValueError(f"{str(path)!r} cannot be written: its folder does not exist, or it is a folder itself.")


def save_json(figures: Mapping[str, Any], path: Path) -> None:
    """Write JSON, whole or not at all."""
    write_whole(path, json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
