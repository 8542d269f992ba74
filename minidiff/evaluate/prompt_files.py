"""Suites of prompts that others have published: `minidiff evaluate prompt-file` reads PartiPrompts (PartiPrompts.tsv: Prompt,
Category, Challenge, Note) and DrawBench (DrawBench.csv: Prompts, Category) by path, draws each prompt, and measures how well
picture and words agree, by category.

They are about the real world, of which our judge knows nothing; so there is CLIPScore, and PickScore and the aesthetic score
where their weights are, or Align-mini. Beside it: the same pictures with the prompts of others. What it is not: our own suites,
in which each thing of a prompt is looked for (prompt_following.py).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from PIL import Image
from tqdm import tqdm

from minidiff.evaluate.figures import Row, mean_row
from minidiff.evaluate.gallery import Gallery, Made, finished_pictures, gallery, kept_pictures, spread
from minidiff.evaluate.instruments import CaptionWeightOptions, Instruments, load_instruments, verified
from minidiff.evaluate.layouts import LayoutError, Notes
from minidiff.evaluate.pages import Results, sheet_of, write
from minidiff.evaluate.picture_options import DrawnOptions, Painter, check_options
from minidiff.pipelines.png_metadata import png_info
from minidiff.utils.devices import check_device
from minidiff.utils.validation import one_line

STEM, REPORT = "prompt", "evaluation_results"
PROMPT_COLUMNS, CATEGORY_COLUMNS = ("prompt", "prompts", "text", "caption"), ("category", "categories")


@dataclass(kw_only=True)
class PromptFileRun(DrawnOptions, CaptionWeightOptions):
    """Draw the prompts of a published suite, and measure how well pictures and prompts agree, by category."""

    data: tyro.conf.Positional[Path]
    """PartiPrompts.tsv, DrawBench.csv, or a table like them: TSV or CSV with a column Prompt, and perhaps one Category."""
    out: Path = Path("runs/prompt-file")
    """Folder for evaluation_results.json, .md and .png and for prompt_00001.png, ..."""

    def __post_init__(self) -> None:
        check_options(self, "minidiff evaluate prompt-file")


@dataclass(frozen=True)
class Asked:
    """A prompt of a file, and its category."""

    prompt: str
    category: str


def read_prompts(file: Path, most: int | None = None) -> tuple[Asked, ...]:
    """The prompts in the order of the file; one that is there twice is asked twice. Raises LayoutError for a file that is
    missing, no table, or without a column of prompts."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LayoutError(f"{file} cannot be read as UTF-8 text ({one_line(error)}).") from None
    tabs = "\t" in text.partition("\n")[0]
    if tabs:  # in PartiPrompts quotation marks stand for themselves
        rows = [line.split("\t") for line in text.splitlines()]
    else:
        rows = list(csv.reader(io.StringIO(text, newline="")))
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    prompt, category = (next((header.index(one) for one in known if one in header), None)
                        for known in (PROMPT_COLUMNS, CATEGORY_COLUMNS))  # fmt: skip
    if prompt is None:
        raise LayoutError(f"The first line of {file} must name the columns, one of them {' or '.join(PROMPT_COLUMNS)}.")
    found = []
    for row in rows[1:]:
        words = " ".join(row[prompt].split()) if len(row) > prompt else ""
        if words:
            kind = row[category].strip() if category is not None and len(row) > category else ""
            found.append(Asked(words, kind or "no category"))
    if not found:
        raise LayoutError(f"{file} holds no prompt.")
    return tuple(found[:most])


def evaluate(run: PromptFileRun) -> dict[str, Any]:
    """Draw, measure, print tables, write the report; returns what the JSON holds. Raises ValueError for files and models that
    can't be used, before anything is drawn."""
    verified(run)
    asked, notes = read_prompts(run.data, run.max_samples), Notes()
    with gallery(run.out, STEM, run.settings(), run.fresh) as kept:
        pairs, made = taken(run, asked, notes) if run.pictures else drawn(run, asked, kept, notes)
        results = measured(pairs, made, notes, load_instruments(run, check_device(run.device)))
        results.title = run.data.stem
        results.about |= {"settings": run.settings(), "max_samples": run.max_samples}
        staying = [] if run.pictures else spread(len(asked), run.save_images_ratio)
        results.name_files(kept.path, staying)
        write(results, run.out, REPORT, sheet(pairs, made))
        if not run.pictures:
            kept.thin_out(len(asked), staying)
    print(results.text())
    print(f"{run.out}/{REPORT}.json holds the figures, {REPORT}.md the report with pictures.")
    return results.record()


def drawn(run: PromptFileRun, asked: Sequence[Asked], kept: Gallery, notes: Notes) -> tuple[list[tuple[int, Asked]], Made]:
    """(number, prompt) of all that could be drawn, and their pictures. What can't be is noted as skipped."""
    painter, done = Painter(run), []
    for number, one in enumerate(tqdm(asked, desc="drawing", unit="picture"), start=1):
        if kept.finished(number, one.prompt) is None:
            pipeline = painter.pipeline
            try:
                request = run.request(pipeline, one.prompt, number)
                image, *_ = pipeline(request)
            except ValueError as error:
                notes.skipped.append((f"prompt {number}", str(error)))
                continue
            expanded = pipeline.expanded_prompts(request)[0]
            kept.save(number, one.prompt, image, png_info(request, pipeline.model, pipeline.model_hash, image.size, expanded))
        done.append((number, one))
    if not done:
        raise LayoutError(f"None of {len(asked)} prompts could be drawn: {notes.skipped[-1][1]}")
    return done, kept_pictures(done, lambda one: one.prompt, kept)


def taken(run: PromptFileRun, asked: Sequence[Asked], notes: Notes) -> tuple[list[tuple[int, Asked]], Made]:
    """Somebody else's pictures, called by their numbers: prompt_00001, 00001 or 1."""
    assert run.pictures is not None
    return finished_pictures(
        run.pictures, asked, lambda one, number: [f"{STEM}_{number:05}", f"{number:05}", str(number)], lambda one: None, notes
    )


def measured(pairs: list[tuple[int, Asked]], made: Made, notes: Notes, instruments: Instruments) -> Results:
    """The whole suite, the control, and each category."""
    own = scored(pairs, made, instruments, 0)
    rows: dict[str, Row] = {"all prompts": mean_row(own)}
    if len(pairs) > 1:
        rows["all, prompts of others"] = mean_row(scored(pairs, made, instruments, 1))
    for category in dict.fromkeys(one.category for _, one in pairs):
        chosen = [k for k, (_, one) in enumerate(pairs) if one.category == category]
        rows[category] = mean_row({key: [values[k] for k in chosen] for key, values in own.items()})
    pictures = [{"number": number, "name": one.prompt, "category": one.category,
                 **{key: values[k] for key, values in own.items()}} for k, (number, one) in enumerate(pairs)]  # fmt: skip
    return Results("", rows, instruments, notes, {}, pictures)


def scored(pairs: list[tuple[int, Asked]], made: Made, instruments: Instruments, shift: int) -> dict[str, list[float]]:
    """The scores of each picture with its prompt, or with the one `shift` further on, unless that is the same."""
    values: dict[str, list[float]] = {key: [] for key in instruments.scores if not shift or key != "aesthetic"}
    for k in tqdm(range(len(pairs)), desc="measuring", unit="picture", leave=False):
        prompt = pairs[(k + shift) % len(pairs)][1].prompt
        if shift and prompt == pairs[k][1].prompt:
            continue
        picture = made(k)
        for key in values:
            values[key].append(float(instruments.scores[key].run([picture], [prompt])))
    return values


def sheet(pairs: list[tuple[int, Asked]], made: Made) -> Image.Image:
    chosen = np.linspace(0, len(pairs) - 1, min(len(pairs), 8)).round().astype(int).tolist()
    pictures = [(made(k), f"{pairs[k][1].category}: {pairs[k][1].prompt}") for k in chosen]
    return sheet_of([pictures[:4], pictures[4:]] if len(pictures) == 8 else [pictures])
