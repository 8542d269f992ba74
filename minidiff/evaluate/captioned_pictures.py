"""How good are pictures drawn from captions? `minidiff evaluate text-to-image` draws a picture for the first caption of each
real one (Flickr30k's layout).

CLIPScore of each picture with its caption, PickScore and the aesthetic score where their weights are; FID, KID, precision and
recall against the real pictures. Beside them: the real pictures with their captions, and both kinds with captions of others.
What it is not: whether each thing of a prompt is there (prompt_following.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from minidiff.evaluate.figures import mean_row, set_rows
from minidiff.evaluate.gallery import Gallery, Made, finished_pictures, gallery, kept_pictures, spread
from minidiff.evaluate.instruments import CaptionWeightOptions, Instruments, load_instruments, verified
from minidiff.evaluate.layouts import Found, LayoutError, Shown, read_flickr30k
from minidiff.evaluate.pages import Results, remarks_on_sets, sheet_of, write
from minidiff.evaluate.picture_options import DrawnOptions, Painter, check_options
from minidiff.pipelines.png_metadata import png_info
from minidiff.utils.devices import check_device

STEM, REPORT = "generated", "evaluation_results"


@dataclass(kw_only=True)
class TextToImageRun(DrawnOptions, CaptionWeightOptions):
    """Measure pictures drawn from captions against the captions and real pictures: CLIPScore, FID, precision, recall."""

    out: Path = Path("runs/text-to-image")
    """Folder for evaluation_results.txt, .json, .md and .png and for generated_00001.png, ..."""
    inception: Path | None = None
    """pt_inception-2015-12-05-6726825d.pth, for FID, KID, precision and recall, which end in -mini without it."""

    def __post_init__(self) -> None:
        check_options(self, "minidiff evaluate text-to-image")


def evaluate(run: TextToImageRun) -> dict[str, Any]:
    """Draw, measure, print tables, write the report; returns what the JSON holds. Raises ValueError for data, models and files
    that can't be used, before anything is drawn."""
    verified(run)
    found = read_flickr30k(run.data, run.max_samples)
    with gallery(run.out, STEM, run.settings(), run.fresh) as kept:
        pairs, made = taken(run, found) if run.pictures else drawn(run, found, kept)
        results = measured(pairs, made, found, load_instruments(run, check_device(run.device)))
        results.about |= {"settings": run.settings(), "max_samples": run.max_samples}
        staying = [] if run.pictures else spread(len(found.pairs), run.save_images_ratio)
        results.name_files(kept.path, staying)
        write(results, run.out, REPORT, sheet(pairs, made), f"{REPORT}.txt")
        if not run.pictures:
            kept.thin_out(len(found.pairs), staying)
    print(results.text())
    print(f"{run.out}/{REPORT}.txt holds this text, {REPORT}.json the figures, {REPORT}.md the report with pictures.")
    return results.record()


def drawn(run: TextToImageRun, found: Found[Shown], kept: Gallery) -> tuple[list[tuple[int, Shown]], Made]:
    """(number, pair) of all captions that could be drawn, and their pictures. What can't be is noted as skipped."""
    painter, done = Painter(run), []
    for number, pair in enumerate(tqdm(found.pairs, desc="drawing", unit="picture"), start=1):
        if kept.finished(number, pair.name) is None:
            pipeline = painter.pipeline
            try:
                request = run.request(pipeline, pair.captions[0], number)
                image, *_ = pipeline(request)
            except ValueError as error:
                found.notes.skipped.append((pair.name, str(error)))
                continue
            prompt = pipeline.expanded_prompts(request)[0]
            kept.save(number, pair.name, image, png_info(request, pipeline.model, pipeline.model_hash, image.size, prompt))
        done.append((number, pair))
    if not done:
        raise LayoutError(f"None of {len(found.pairs)} captions could be drawn: {found.notes.skipped[-1][1]}")
    return done, kept_pictures(done, lambda pair: pair.name, kept)


def taken(run: TextToImageRun, found: Found[Shown]) -> tuple[list[tuple[int, Shown]], Made]:
    """Somebody else's pictures, called as the real one or as this command calls them."""
    assert run.pictures is not None
    return finished_pictures(
        run.pictures,
        found.pairs,
        lambda pair, number: [Path(pair.name).stem, f"{STEM}_{number:05}"],
        lambda pair: None,
        found.notes,
    )


def measured(pairs: list[tuple[int, Shown]], made: Made, found: Found[Shown], instruments: Instruments) -> Results:
    """All rows: the model's, and its controls."""

    def real(k: int) -> Image.Image:
        return pairs[k][1].read()

    kinds: dict[str, tuple[Made, int]] = {"generated": (made, 0), "real": (real, 0)}
    if len(pairs) > 1:
        kinds |= {"generated, captions of others": (made, 1), "real, captions of others": (real, 1)}
    single = {name: each(pairs, kind, instruments, shift, name) for name, (kind, shift) in kinds.items()}
    rows = {name: mean_row(values) for name, values in single.items()}
    for name, row in set_rows(instruments, real, len(pairs), {"generated": made}).items():
        rows.setdefault(name, {}).update(row)
    own = single["generated"]
    pictures = [{"number": number, "name": pair.name, "caption": pair.captions[0],
                 **{key: values[k] for key, values in own.items()}} for k, (number, pair) in enumerate(pairs)]  # fmt: skip
    return Results("Text to image", rows, instruments, found.notes, {}, pictures, remarks_on_sets(instruments, len(pairs)))


def each(pairs: list[tuple[int, Shown]], made: Made, instruments: Instruments, shift: int, name: str) -> dict[str, list[float]]:
    """The scores of each picture with its caption, or with that of the picture `shift` further on."""
    values: dict[str, list[float]] = {key: [] for key in instruments.scores if not shift or key != "aesthetic"}
    for k in tqdm(range(len(pairs)), desc=f"measuring, {name}", unit="picture", leave=False):
        picture, caption = made(k), pairs[(k + shift) % len(pairs)][1].captions[0]
        for key in values:
            values[key].append(float(instruments.scores[key].run([picture], [caption])))
    return values


def sheet(pairs: list[tuple[int, Shown]], made: Made) -> Image.Image:
    chosen = np.linspace(0, len(pairs) - 1, min(len(pairs), 4)).round().astype(int).tolist()
    return sheet_of([[(made(k), pairs[k][1].captions[0]) for k in chosen], [(pairs[k][1].read(), "real") for k in chosen]])
