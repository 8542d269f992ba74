"""Grids of pictures that differ in one thing: a `Comparison` says which, `cells_of` lists them, `draw_cells` draws them.

Each row has one seed, so what differs along it comes from what is compared; only the kind "seeds" has a seed for each picture.
How a grid looks is in `compare_html.py`, the judge in `judged.py`, the exported picture in `grid_picture.py`.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

from PIL import Image

from minidiff import __version__
from minidiff.diffusion.samplers import SAMPLERS
from minidiff.pipelines.request import MAX_SEED, Request, RequestError
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.studio.judged import Judge, Judgement
from minidiff.studio.labels import SAMPLER_LABELS, label
from minidiff.studio.models import Models
from minidiff.studio.refusals import Refusal
from minidiff.utils import strict_json
from minidiff.utils.validation import build

Kind = Literal["samplers", "guidance", "prompts", "models", "seeds"]
KINDS: tuple[Kind, ...] = ("samplers", "guidance", "prompts", "models", "seeds")
MAX_CELLS = 36
MAX_ROWS = 9
FORMAT = "minidiff-grid-1"
log = logging.getLogger(__name__)
MAX_FILE = 100_000  # characters of a grid's JSON; one of 36 cells has some 6,000


class GridError(Refusal):
    """A grid that is refused."""


@dataclass(frozen=True)
class Comparison:
    """What a grid compares. Fields that its kind doesn't use are kept, so that a form can be filled from it.

    Args:
        kind: "samplers" (rows) by numbers of steps (columns); else the columns are guidance scales, variants of the prompt
            ("a {red|blue} star"), models (each in its own manner) or seeds.
        seed, rows: the first seed, and how many: a row each, or for the kind "seeds" a picture each.

    Raises RequestError for a setting that is not allowed, a kind that there isn't, an empty or too long list, and more than
    MAX_CELLS pictures. What each cell asks for is checked when its Request is made, see `cells_of`.
    """

    kind: Kind
    prompt: str
    model: str
    sampler: str = "dpmpp_2m"
    steps: int = 20
    guidance_scale: float = 3.0
    seed: int = 42
    rows: int = 1
    samplers: tuple[str, ...] = ("dpmpp_2m", "ddim", "euler_a")
    step_counts: tuple[int, ...] = (5, 10, 20)
    scales: tuple[float, ...] = (1.0, 3.0, 7.0)
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise GridError("grid_kind", allowed=", ".join(KINDS))
        base = Request(
            self.prompt, sampler=self.sampler, steps=self.steps, guidance_scale=self.guidance_scale, seed=self.seed
        )
        object.__setattr__(self, "prompt", base.prompt)
        if isinstance(self.rows, bool) or not isinstance(self.rows, int) or not 1 <= self.rows <= MAX_ROWS:
            raise GridError("grid_rows", most=MAX_ROWS)
        for values in (self.samplers, self.step_counts, self.scales, self.models):
            if len(values) > MAX_CELLS:
                raise GridError("grid_large", given=len(values), most=MAX_CELLS)
        count = len(self.row_titles) * len(self.column_titles)
        if not count:
            raise GridError("grid_none")
        if count > MAX_CELLS:
            raise GridError("grid_large", given=count, most=MAX_CELLS)

    @property
    def seeds(self) -> list[int]:
        return [(self.seed + k) % (MAX_SEED + 1) for k in range(self.rows)]

    @property
    def row_titles(self) -> list[Title]:
        if self.kind == "samplers":
            return [Title("grid_text", SAMPLER_LABELS.get(name, str(name)[:40])) for name in unique(self.samplers)]
        if self.kind == "seeds":
            return [Title("grid_one_sentence", len(self.seeds))]
        return [Title("grid_seed", seed) for seed in self.seeds]

    @property
    def column_titles(self) -> list[Title]:
        if self.kind == "samplers":
            return [Title("grid_steps", n) for n in unique(self.step_counts)]
        if self.kind == "guidance":
            return [Title("grid_scale", f"{scale:g}") for scale in unique(self.scales)]
        if self.kind == "prompts":
            return [Title("grid_text", words) for _, words in variants(self.prompt)]
        if self.kind == "models":
            return [Title("grid_text", name) for name in unique(self.models)]
        return [Title("grid_seed", seed) for seed in self.seeds]


@dataclass(frozen=True)
class Title:
    """What a row or a column is called: a label with one blank."""

    key: str
    value: object

    def text(self, lang: str) -> str:
        return label(self.key, lang, value=self.value)


@dataclass(frozen=True)
class Cell:
    """A picture to draw. settings: those that differ from its model's own, for `TextToImage.request`."""

    row: int
    column: int
    model: str
    prompt: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class Drawn:
    """A picture, or why there is none. evaluations: of the network, two a step with guidance. milliseconds: of this picture
    alone, decoding included."""

    cell: Cell
    image: Image.Image | None
    evaluations: int = 0
    milliseconds: float = 0.0
    judgement: Judgement | None = None
    refusal: RequestError | None = None


@dataclass(frozen=True)
class Progress:
    """Where a grid stands: the cell that is drawn and its step, 1..n; `drawn` when it is finished. ended: "done", "stopped" or
    "too_long" at the end."""

    cell: int
    index: int = 0
    n: int = 0
    drawn: Drawn | None = None
    ended: str = ""


def unique(values: Sequence[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


BRACES = re.compile(r"\{([^{}]*)\}")


def variants(prompt: str) -> list[tuple[str, str]]:
    """(the sentence, the words that it chose) for each alternative of "a {red|blue|} star"; an empty one leaves the word out.
    Raises GridError unless there is exactly one pair of braces with two alternatives or more."""
    found, rest = BRACES.findall(prompt), BRACES.sub("", prompt)
    options = unique([option.strip() for option in found[0].split("|")]) if len(found) == 1 else []
    if len(options) < 2 or "{" in rest or "}" in rest:
        raise GridError("grid_braces")
    before, _, after = prompt.partition(f"{{{found[0]}}}")
    return [(" ".join(f"{before}{option}{after}".split()), option or "–") for option in options]


def cells_of(comparison: Comparison) -> list[Cell]:
    """Every cell, row by row. Raises RequestError for settings that are not allowed, before anything is drawn."""
    c = comparison
    base = {"sampler": c.sampler, "steps": c.steps, "guidance_scale": c.guidance_scale}
    cells: list[Cell] = []

    def row(model: Sequence[str], prompts: Sequence[str], settings: Sequence[dict[str, Any]]) -> None:
        at = cells[-1].row + 1 if cells else 0
        cells.extend(Cell(at, k, m, p, s) for k, (m, p, s) in enumerate(zip(model, prompts, settings, strict=True)))

    if c.kind == "samplers":
        for sampler in unique(c.samplers):
            settings = [base | {"sampler": sampler, "steps": n, "seed": c.seed} for n in unique(c.step_counts)]
            row([c.model] * len(settings), [c.prompt] * len(settings), settings)
    elif c.kind == "seeds":
        row([c.model] * c.rows, [c.prompt] * c.rows, [base | {"seed": seed} for seed in c.seeds])
    else:
        for seed in c.seeds:
            if c.kind == "guidance":
                settings = [base | {"guidance_scale": scale, "seed": seed} for scale in unique(c.scales)]
                row([c.model] * len(settings), [c.prompt] * len(settings), settings)
            elif c.kind == "prompts":
                texts = [text for text, _ in variants(c.prompt)]
                row([c.model] * len(texts), texts, [base | {"seed": seed}] * len(texts))
            else:
                names = unique(c.models)
                row(names, [c.prompt] * len(names), [{"seed": seed}] * len(names))
    for cell in cells:
        Request(cell.prompt, **cell.settings)
    return cells


def evaluations(pipeline: TextToImage, request: Request) -> int:
    """How often the network is asked for a picture: once a step, twice with guidance; Heun asks again at the end of a step,
    unless it begins in pure noise or ends in clean data."""
    asked = request.steps
    if SAMPLERS[request.sampler].method == "heun":
        schedule = pipeline.scheduler.schedule
        times = pipeline.scheduler.timesteps(schedule, request.steps)
        begins = schedule.log_snr_half(times).exp().tolist()
        ends = [float(schedule.sigma(end)) for _, end in pairwise(times)]
        asked += sum(begin > 0 and end > 0 for begin, end in zip(begins, ends, strict=False))
    return asked * (1 if request.guidance_scale == 1 else 2)


def find(models: Models, name: str) -> TextToImage:
    """The model of that name. Raises RequestError for one that there isn't, or that can't be loaded."""
    try:
        return models.get(name)
    except RequestError:
        raise
    except Exception:  # the visitor learns that it failed, the log why
        log.exception("loading %s failed", name)
        raise GridError("model_broken", model=name) from None


def draw_cells(
    models: Models, cells: Sequence[Cell], judge: Judge, stopped: Callable[[], bool] = lambda: False,
    most_seconds: float = 120.0, clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Progress]:  # fmt: skip
    """Draws one cell after another, and yields after each step. What a model cannot draw is noted in its cell, and the others
    go on. stopped: asked after each step."""
    start = clock()
    for place, cell in enumerate(cells):
        drawn = None
        try:
            pipeline = find(models, cell.model)  # loading is nobody's milliseconds
            spent, before = 0.0, clock()
            request = pipeline.request(cell.prompt, **cell.settings)
            for preview in pipeline.stream(request):
                spent += clock() - before
                if preview.images is not None:
                    image = preview.images[0]
                    seen = judge.verdict(pipeline, request.prompt, image)
                    drawn = Drawn(cell, image, evaluations(pipeline, request), 1000 * spent, seen)
                    break
                yield Progress(place, preview.index, preview.n)
                ended = "stopped" if stopped() else "too_long" if clock() - start > most_seconds else ""
                if ended:
                    yield Progress(place, ended=ended)
                    return
                before = clock()
        except RequestError as error:
            drawn = Drawn(cell, None, refusal=error)
        yield Progress(place, drawn=drawn, ended="done" if place + 1 == len(cells) else "")
        if stopped() and place + 1 < len(cells):
            yield Progress(place, ended="stopped")
            return


# ------------------------------------------------------------------------------------------------------------------- files


@dataclass(frozen=True)
class Result:
    """What a saved grid says of a cell. right: the judge's verdict, None where there is none; saw: what it found, in words."""

    row: int
    column: int
    evaluations: int
    milliseconds: float
    right: bool | None = None
    saw: str = ""


@dataclass(frozen=True)
class SavedGrid:
    """A grid as a file holds it: all that its pictures can be drawn from again, and what was measured."""

    comparison: Comparison
    results: tuple[Result, ...]
    version: str = __version__
    format: str = FORMAT

    def __post_init__(self) -> None:
        if self.format != FORMAT or len(self.version) > 40 or len(self.results) > MAX_CELLS:
            raise ValueError("it is of another format, or has too many results.")
        cells = {(cell.row, cell.column) for cell in cells_of(self.comparison)}
        if not {(one.row, one.column) for one in self.results} <= cells:
            raise ValueError("it has results of cells that it lacks.")


def saved(comparison: Comparison, drawn: Sequence[Drawn]) -> SavedGrid:
    results = []
    for one in drawn:
        seen = one.judgement
        right, saw = (None, "") if seen is None else (seen.right, seen.saw["en"])
        results.append(Result(one.cell.row, one.cell.column, one.evaluations, round(one.milliseconds, 1), right, saw[:400]))
    return SavedGrid(comparison, tuple(results))


def to_json(grid: SavedGrid) -> str:
    return json.dumps(asdict(grid), ensure_ascii=False, indent=1)


def from_json(text: str | bytes) -> SavedGrid:
    """What `to_json` wrote. Raises GridError for anything else: another type or range, a setting that there isn't, too long."""
    try:
        if len(text) > MAX_FILE:
            raise ValueError("too long")
        return build(SavedGrid, strict_json.parse(text), "The grid")
    except ValueError:
        raise GridError("grid_not_ours") from None
