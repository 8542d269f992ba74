"""`python -m benchmarks.figures --write`: the figures of README.md and docs/figures.md, from what commands wrote.

Each measurement is a file of docs/measured: its command, its date, its machine, the hashes of the weights it is of, and the
JSON that the command wrote. What was measured before results were kept stands in docs/measured/log.json, a table for each section of
LOG.md that it was read from (tests/test_figures.py looks every number up there). The rest comes from the manifest of the
weights and from what the studio and the course measured of themselves. What it is not: a measurement. It runs none.

After a measurement: `python -m benchmarks.figures --keep people=out.json --command "minidiff evaluate prompts --suite people"`.
"""

from __future__ import annotations

import json
import textwrap
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro

from minidiff.doctor import processor
from minidiff.pretrained import zoo
from minidiff.utils import strict_json
from minidiff.utils.files import write_whole
from minidiff.utils.marked_text import fill
from minidiff.utils.validation import build

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs/measured"
LANGS = {"en": "English", "vi": "Vietnamese", "vi_unaccented": "Vietnamese without accents"}
CATEGORIES = ("object", "count", "colour", "position", "binding", "setting")


@dataclass(frozen=True)
class Measurement:
    """What a command wrote. weights: the hash of each weight file that has a part in it; note: what it says of itself."""

    command: str
    date: str
    machine: str
    weights: dict[str, str]
    result: dict[str, Any]
    note: str = ""

    def source(self) -> str:
        return f"*`{self.command}`, {self.date}, {self.machine}.{' ' + self.note if self.note else ''}*"


def measurement(name: str) -> Measurement:
    """A file of docs/measured. Raises ValueError for one that says something else."""
    path = FOLDER / f"{name}.json"
    return build(Measurement, strict_json.parse(path.read_text(encoding="utf-8")), path.name)


def share(number: float) -> str:
    return f"{number:.3f}"


def interval(low: float, high: float) -> str:
    return f"{low:.3f} to {high:.3f}"


def table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] + ["--:"] * (len(columns) - 1), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


# --- what stands in README.md -------------------------------------------------------------------------------------------


def how_well() -> str:
    suite, people = measurement("prompts"), measurement("people")
    right = [share(suite.result[lang]["overall"]) for lang in LANGS]
    typed = [share(people.result[lang]["overall"]) for lang in ("en", "vi")]
    text = f"""
        **How well it does**: of images for compositions that no training caption says, **{right[0]}** show everything that was asked
        for in English and **{right[1]}** in Vietnamese ({right[2]} without accents); for prompts as people type them it is
        **{typed[0]}** and **{typed[1]}**. The aims, 0.96 (0.94 without accents) and 0.92, are not reached yet.
        Every figure has its command in [docs/figures.md](docs/figures.md)."""
    return textwrap.fill(" ".join(text.split()), 128, break_long_words=False, break_on_hyphens=False)


# --- what stands in docs/figures.md -------------------------------------------------------------------------------------


def prompts_table() -> str:
    found = measurement("prompts")
    names = {**{key: found.result[key] for key in LANGS}, **found.result["controls"]}
    rows = [
        [LANGS.get(name, f"*{name}*"), f"**{share(row['overall'])}**", interval(*row["intervals"]["overall"])]
        + [share(row[category]) for category in CATEGORIES]
        for name, row in names.items()
    ]
    return table([f"{330} prompts", "overall", "95 % interval", *CATEGORIES], rows) + f"\n\n{found.source()}"


# --- the command --------------------------------------------------------------------------------------------------------

PAGES = {
    "README.md": {"how well it does": how_well},
    "docs/figures.md": {},
}


@dataclass
class FiguresRun:
    """Print the figures of README.md and docs/figures.md, made of docs/measured and what else was measured."""

    write: bool = False
    """Put them into the pages."""
    check: bool = False
    """Fail if the pages say something else."""
    keep: str = ""
    """Take a result first: NAME=FILE, the JSON that a command wrote, into docs/measured/NAME.json."""
    command: str = ""
    """The command that wrote it."""
    weights: tuple[str, ...] = ("world-dit", "world-vae", "world-reader", "world-judge")
    """The weights that have a part in it: when they change, the tests ask for a new measurement."""
    note: str = ""
    """A sentence to stand beside its date."""


def kept(run: FiguresRun) -> None:
    name, _, path = run.keep.partition("=")
    if not run.command or not path:
        raise SystemExit("--keep wants NAME=FILE, and with it --command, the command that wrote FILE.")
    result = strict_json.parse(Path(path).read_text(encoding="utf-8"))
    result.pop("prompts", None)  # a row for each prompt, which no table shows
    weights = {weight: zoo.entry(weight, zoo.SHIPPED)["sha256"] for weight in run.weights}
    made = Measurement(run.command, time.strftime("%Y-%m-%d"), processor()[0], weights, result, run.note)
    write_whole(FOLDER / f"{name}.json", json.dumps(asdict(made), indent=1, ensure_ascii=False) + "\n")


def main(run: FiguresRun) -> None:
    if run.keep:
        kept(run)
    for page, places in PAGES.items():
        made = {name: make() for name, make in places.items()}
        fresh = fill(ROOT / page, made, run.write)
        if run.check and not fresh:
            raise SystemExit(f"The figures of {page} are stale: run python -m benchmarks.figures --write.")
        for name, text in made.items():
            print(f"{page}, {name}:\n\n{text}\n")


if __name__ == "__main__":
    main(tyro.cli(FiguresRun))
