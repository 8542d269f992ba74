"""A grid as one PNG, with titles and what stands under each picture, and as text inside it the JSON that brings it back."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, PngImagePlugin

from minidiff.pipelines.png_metadata import MAX_SIDE
from minidiff.studio.comparing import Comparison, Drawn, GridError, SavedGrid, from_json, to_json
from minidiff.studio.labels import label
from minidiff.utils.images import FRAMES, readable_font, wrap

TEXT = "minidiff-grid"  # the name of the PNG's text
LARGEST = 168  # pixels of a picture's side in the sheet
MARGIN, GAP, INK, SOFT = 24, 16, (25, 27, 30), (110, 110, 104)


def sheet(comparison: Comparison, drawn: Sequence[Drawn], lang: str) -> Image.Image:
    """The grid on white, row by row; frames are green where the judge agrees and red where not. At most 2048 pixels a side, as
    all pictures that are read here again."""
    rows, columns = len(comparison.row_titles), len(comparison.column_titles)
    wrapped_at = min(columns, 9)
    lines = -(-columns // wrapped_at)
    room = (MAX_SIDE - 2 * MARGIN) // wrapped_at - GAP, (MAX_SIDE - 120) // (rows * lines) - 62
    side = max(min(LARGEST, *room), 24)
    title, plain, small = readable_font(18), readable_font(13), readable_font(10)
    width = max(2 * MARGIN + wrapped_at * (side + GAP) - GAP, 360)
    said = f"{comparison.prompt}\n{label(f'kind_{comparison.kind}', lang)} · {comparison.model}"
    heading = wrap(said, width - 2 * MARGIN, plain)
    top = MARGIN + 34 + 18 * (heading.count("\n") + 1)
    row_height = 26 + lines * (side + 46)
    picture = Image.new("RGB", (width, min(top + rows * row_height + MARGIN, MAX_SIDE)), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, MARGIN), "minidiff", fill=INK, font=title)
    draw.multiline_text((MARGIN, MARGIN + 28), heading, fill=SOFT, font=plain, spacing=3)
    for index, row in enumerate(comparison.row_titles):
        draw.text((MARGIN, top + index * row_height), row.text(lang), fill=INK, font=plain)
    for one in drawn:
        line, column = divmod(one.cell.column, wrapped_at)
        x = MARGIN + column * (side + GAP)
        y = top + one.cell.row * row_height + 24 + line * (side + 46)
        _cell(picture, draw, one, (x, y), side, small, comparison.column_titles[one.cell.column].text(lang), lang)
    return picture


def _cell(
    picture: Image.Image, draw: Any, one: Drawn, at: tuple[int, int], side: int, font: Any, name: str, lang: str
) -> None:
    x, y = at
    if one.image is None:
        draw.rectangle((x, y, x + side - 1, y + side - 1), outline=SOFT)
    else:
        picture.paste(one.image.resize((side, side), Image.Resampling.LANCZOS), at)
    cost = label("cell_cost", lang, evaluations=one.evaluations, ms=round(one.milliseconds)) if one.image else ""
    if one.judgement is not None:
        draw.rectangle((x - 3, y - 3, x + side + 2, y + side + 2), outline=FRAMES[one.judgement.right], width=3)
        cost = f"{'✓' if one.judgement.right else '✗'} {cost}"
    draw.text((x, y + side + 5), fitting(name, side, font), fill=INK, font=font)
    draw.text((x, y + side + 19), fitting(cost, side, font), fill=SOFT, font=font)


def fitting(text: str, width: int, font: Any) -> str:
    """The text, cut at its end where it is wider."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


def png(comparison: Comparison, drawn: Sequence[Drawn], grid: SavedGrid, lang: str) -> bytes:
    """The sheet as a PNG file that holds the grid."""
    info, file = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_itxt(TEXT, to_json(grid), lang="", tkey="")
    sheet(comparison, drawn, lang).save(file, format="PNG", pnginfo=info)
    return file.getvalue()


def read_grid(path: Path | str, most_bytes: int) -> SavedGrid:
    """The grid in a PNG or a JSON file. Raises GridError for a file that holds none, is too large, or is damaged; pixels are
    never decoded."""
    path = Path(path)
    try:
        if path.stat().st_size > most_bytes:
            raise ValueError("too large")
        with path.open("rb") as file:
            is_png = file.read(4) == b"\x89PNG"
        return from_json(_text_of(path) if is_png else path.read_bytes())
    except (OSError, ValueError):  # GridError is a ValueError
        raise GridError("grid_not_ours") from None


def _text_of(path: Path) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=["PNG"]) as image:
                return str(image.info[TEXT])
    except (SyntaxError, KeyError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError("no grid") from error
