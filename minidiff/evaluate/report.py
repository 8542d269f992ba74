"""Turning figures into what is printed and saved: plain tables and contact sheets. Nothing is measured here."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from minidiff.evaluate.verdict import ATTRIBUTES
from minidiff.pipelines.request import Request
from minidiff.utils.files import write_whole


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown, numbers to the right, which also reads well in a terminal."""
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


def check_run(run: Any, *counts: str) -> None:
    """Raises ValueError for what cannot be measured or written down, before an hour is spent on it. run: options of a command
    of `minidiff evaluate`; counts: those of them that must be at least 1."""
    for name in counts:
        if getattr(run, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1, not {getattr(run, name)}.")
    scale = 1.0 if run.guidance_scale is None else run.guidance_scale
    Request("a", sampler=run.sampler, steps=run.steps, guidance_scale=scale, seed=run.seed)  # raises what it would refuse
    if run.json.suffix != ".json":
        raise ValueError(f"{str(run.json)!r} is not a .json file: a sheet of pictures is saved beside it under the same name.")
    if run.json.is_dir() or not run.json.absolute().parent.is_dir():
        raise ValueError(f"The figures cannot be written to {str(run.json)!r}: there is no such folder, or it is one itself.")


def save_json(figures: Mapping[str, Any], path: Path) -> None:
    """Write JSON that nobody ever reads half of."""
    write_whole(path, json.dumps(figures, indent=2, ensure_ascii=False) + "\n")


def contact_sheet(
    pictures: Sequence[Any], captions: Sequence[str], marks: Sequence[bool | None] | None = None, columns: int = 6
) -> Image.Image:
    """Pictures (PIL, or arrays (H, W, 3) uint8, all of one size) over wrapped captions; a green or red frame where
    a mark is True or False."""
    font, marks = readable_font(11), marks or [None] * len(pictures)
    images = [np.asarray(picture) for picture in pictures]
    side, text = images[0].shape[0], 58
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (side + 10) + 6, rows * (side + text + 8) + 6), (250, 250, 250))
    draw = ImageDraw.Draw(sheet)
    for k, (picture, caption, mark) in enumerate(zip(images, captions, marks, strict=True)):
        x, y = 6 + (k % columns) * (side + 10), 6 + (k // columns) * (side + text + 8)
        colour = (205, 205, 205) if mark is None else (60, 160, 80) if mark else (205, 60, 60)
        draw.rectangle((x - 3, y - 3, x + side + 2, y + side + 2), outline=colour, width=3)
        sheet.paste(Image.fromarray(picture), (x, y))
        draw.multiline_text((x, y + side + 5), wrap(caption, side + 6, font), fill=(40, 40, 40), font=font, spacing=1)
    return sheet


def readable_font(size: int) -> Any:
    """A font with Vietnamese letters where one is found (matplotlib brings one), else Pillow's own."""
    places = ["DejaVuSans.ttf"]
    with contextlib.suppress(ImportError):
        import matplotlib

        places.append(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"))
    for place in places:
        with contextlib.suppress(OSError):
            return ImageFont.truetype(place, size)
    return ImageFont.load_default(size=size)


def wrap(text: str, width: int, font: Any, lines: int = 4) -> str:
    """Break text so that no line is wider than `width` pixels; what does not fit in `lines` is cut."""
    done: list[str] = []
    for paragraph in text.splitlines():
        done.append("")
        for word in paragraph.split():
            longer = f"{done[-1]} {word}".strip()
            if done[-1] and font.getlength(longer) > width:
                done.append(word)
            else:
                done[-1] = longer
    return "\n".join(done[:lines])
