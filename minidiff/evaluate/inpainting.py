"""How well are holes filled? `minidiff evaluate inpainting` paints each picture's hole anew and compares with what was there.

PSNR, SSIM and LPIPS to the true picture, edge consistency where the mask ends, FID, KID, precision and recall of the whole set;
and the largest error outside of the masks, which is 0. Beside them: the real pictures, holes filled with the picture's mean
colour, and with a part of another picture. What it is not: the painting (pipelines/inpaint.py), the data (inpainting_data.py).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from minidiff.evaluate.edges import allowed_seam, border_consistency
from minidiff.evaluate.figures import MOST_PSNR, Row, mean_row, set_rows
from minidiff.evaluate.gallery import Gallery, Made, finished_pictures, gallery, kept_pictures, spread
from minidiff.evaluate.instruments import Instruments, WeightOptions, load_instruments, to_floats, verified
from minidiff.evaluate.layouts import Found, Hole, LayoutError, read_inpainting
from minidiff.evaluate.metrics import psnr, ssim
from minidiff.evaluate.pages import Results, remarks_on_sets, sheet_of, write
from minidiff.evaluate.picture_options import DrawnOptions, Painter, check_options
from minidiff.evaluate.reconstruction import masked_psnr
from minidiff.pipelines.inpaint import inpaint
from minidiff.pipelines.png_metadata import png_info
from minidiff.utils.devices import check_device

STEM, REPORT = "inpainted", "evaluation_results"


@dataclass(kw_only=True)
class InpaintingRun(DrawnOptions, WeightOptions):
    """Measure inpainting on a folder of pictures with masks and texts: PSNR, SSIM, LPIPS, edge consistency, FID."""

    out: Path = Path("runs/inpainting")
    """Folder for evaluation_results.json, .md and .png and for inpainted_00001.png, ..."""
    zoom: bool = False
    """Show the model only the hole and what is round it, larger: for small holes in large pictures."""
    feather: int = 4
    """Width in pixels of the soft edge inside the hole; 0 is hard."""

    def __post_init__(self) -> None:
        check_options(self, "minidiff evaluate inpainting")

    def settings(self) -> dict[str, Any]:
        return super().settings() | ({} if self.pictures else {"zoom": self.zoom, "feather": self.feather})


def evaluate(run: InpaintingRun) -> dict[str, Any]:
    """Paint, measure, print tables, write the report; returns what the JSON holds. Raises ValueError for data, models and files
    that can't be used, before anything is painted."""
    verified(run)
    found = read_inpainting(run.data, run.max_samples)
    with gallery(run.out, STEM, run.settings(), run.fresh) as kept:
        pairs, made = taken(run, found) if run.pictures else painted(run, found, kept)
        instruments = load_instruments(run, check_device(run.device))
        results = measured(pairs, made, found, instruments)
        results.about |= {"settings": run.settings(), "max_samples": run.max_samples}
        staying = [] if run.pictures else spread(len(found.pairs), run.save_images_ratio)
        results.name_files(kept.path, staying)
        write(results, run.out, REPORT, sheet(pairs, made))
        if not run.pictures:
            kept.thin_out(len(found.pairs), staying)
    print(results.text())
    print(f"{run.out}/{REPORT}.json holds the figures, {REPORT}.md the report with pictures.")
    return results.record()


def painted(run: InpaintingRun, found: Found[Hole], kept: Gallery) -> tuple[list[tuple[int, Hole]], Made]:
    """(number, pair) of all that could be painted, and their pictures. What can't be is noted as skipped."""
    painter, done = Painter(run), []
    for number, pair in enumerate(tqdm(found.pairs, desc="painting", unit="picture"), start=1):
        if kept.finished(number, pair.name) is None:
            try:
                paint(run, painter, pair, number, kept)
            except ValueError as error:
                found.notes.skipped.append((pair.name, str(error)))
                continue
        done.append((number, pair))
    if not done:
        raise LayoutError(f"None of {len(found.pairs)} pictures could be painted: {found.notes.skipped[-1][1]}")

    return done, kept_pictures(done, lambda pair: pair.name, kept)


def paint(run: InpaintingRun, painter: Painter, pair: Hole, number: int, kept: Gallery) -> None:
    picture, hole = pair.read()
    request = run.request(painter.pipeline, pair.text, number)
    mask = Image.fromarray((255 * hole).astype(np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        image = inpaint(painter.pipeline, picture, mask, request, feather=run.feather, zoom=run.zoom)[0]
    pipeline = painter.pipeline
    info = png_info(request, pipeline.model, pipeline.model_hash, image.size, edit={"kind": "inpaint", "picture": pair.name})
    kept.save(number, pair.name, image, info)


def taken(run: InpaintingRun, found: Found[Hole]) -> tuple[list[tuple[int, Hole]], Made]:
    """Somebody else's pictures, called as the pair or as this command calls them."""
    assert run.pictures is not None
    return finished_pictures(
        run.pictures, found.pairs, lambda pair, number: [pair.name, f"{STEM}_{number:05}"],
        lambda pair: pair.read()[0].size, found.notes,
    )  # fmt: skip


# --- the figures ------------------------------------------------------------------------------------------------------


def measured(pairs: list[tuple[int, Hole]], made: Made, found: Found[Hole], instruments: Instruments) -> Results:
    """All rows: the model's, and its controls."""

    def real(k: int) -> Image.Image:
        return pairs[k][1].read()[0]

    def flat(k: int) -> Image.Image:
        return mean_filled(*pairs[k][1].read())

    def other(k: int) -> Image.Image:
        return pasted(*pairs[k][1].read(), real((k + 1) % len(pairs)))

    allowed = allowed_seam((np.asarray(picture), hole) for picture, hole in (pair.read() for _, pair in pairs))
    kinds: dict[str, Made] = {"inpainted": made, "mean colour": flat, "part of another picture": other}
    single = {name: each(pairs, kind, instruments, allowed, name) for name, kind in kinds.items()}
    rows: dict[str, Row] = {name: mean_row(values) for name, values in single.items()}
    rows["real"] = mean_row({"edges": each(pairs, real, instruments, allowed, "real")["edges"]})
    for name, row in set_rows(instruments, real, len(pairs), kinds).items():
        rows.setdefault(name, {}).update(row)
    own = single["inpainted"]
    pictures = [{"number": number, "name": pair.name, "text": pair.text, **{key: values[k] for key, values in own.items()}}
                for k, (number, pair) in enumerate(pairs)]  # fmt: skip
    explained = ("Edge consistency is the share of the masks' borders without a seam: a step across it that is larger by more "
                 f"than {allowed:.4f} of the range than the steps beside it. Under the same masks 95 % of the real pictures' "
                 "own steps are none.")  # fmt: skip
    remarks = [explained, *remarks_on_sets(instruments, len(pairs))]
    about = {"largest_error_outside": int(max(own["outside"]))}
    return Results("Inpainting", rows, instruments, found.notes, about, pictures, remarks)


def each(
    pairs: list[tuple[int, Hole]], made: Made, instruments: Instruments, allowed: float, name: str
) -> dict[str, list[float]]:
    """What each picture has of its own."""
    values: dict[str, list[float]] = {}
    for k, (_, pair) in enumerate(tqdm(pairs, desc=f"measuring, {name}", unit="picture", leave=False)):
        (picture, hole), image = pair.read(), made(k)
        true, drawn = np.asarray(picture), np.asarray(image)
        a, b = to_floats(picture), to_floats(image)
        outside = np.abs(true.astype(int) - drawn)[~hole]
        one = {
            "psnr": min(float(psnr(a, b)), MOST_PSNR), "ssim": float(ssim(a, b)), "distance": float(instruments.distance(b, a)),
            "edges": border_consistency(drawn, hole, allowed), "psnr_hole": masked_psnr(true, drawn, hole),
            "outside": float(outside.max(initial=0)),
        }  # fmt: skip
        for key, value in one.items():
            values.setdefault(key, []).append(value)
    return values


def mean_filled(picture: Image.Image, hole: Any) -> Image.Image:
    """The hole in the mean colour of what is outside of it."""
    array = np.array(picture)
    array[hole] = array[~hole].mean(axis=0).round() if not hole.all() else 128
    return Image.fromarray(array)


def pasted(picture: Image.Image, hole: Any, other: Image.Image) -> Image.Image:
    """The hole filled with what another picture, made as large, has there."""
    return Image.fromarray(np.where(hole[..., None], np.asarray(other.resize(picture.size)), np.asarray(picture)))


def sheet(pairs: list[tuple[int, Hole]], made: Made) -> Image.Image:
    rows = []
    for k in np.linspace(0, len(pairs) - 1, min(len(pairs), 4)).round().astype(int).tolist():
        picture, hole = pairs[k][1].read()
        rows.append([(picture, "real"), (mean_filled(picture, hole), "hole, in the mean colour"), (made(k), pairs[k][1].text)])
    return sheet_of(rows)
