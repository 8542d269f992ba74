"""`python -m benchmarks.figures --write`: the figures of README.md and docs/figures.md, from what commands wrote.

A measurement is a file of docs/measured: its command, its date, its machine, and either the JSON that the command wrote,
with the hashes of the weights that it is of, or the table that it printed. Single figures of LOG.md are in
docs/measured/log.json, each with the section that it was read from (tests/test_figures.py looks every number up there);
whole tables are taken from LOG.md itself. The rest comes from the weights' manifest and from what the studio and the course
measured of themselves. What it is not: a measurement.

After one: `python -m benchmarks.figures --keep people=out.json --command "minidiff evaluate prompts --suite people" --write`.
"""

from __future__ import annotations

import json
import re
import textwrap
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import tyro

from minidiff.course.budget import MEASURED
from minidiff.doctor import processor
from minidiff.pretrained import zoo
from minidiff.studio.measured import Change, shipped, shipped_edits
from minidiff.utils import strict_json
from minidiff.utils.files import write_whole
from minidiff.utils.marked_text import fill
from minidiff.utils.validation import build

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs/measured"
LANGS = {"en": "English", "vi": "Vietnamese", "vi_unaccented": "Vietnamese without accents"}
INSTALLING = ("git clone", "-m venv", "pip install")
AIMS = {"en": 0.96, "vi": 0.96, "vi_unaccented": 0.94}  # of images of suite 0 that are right
TYPED = 0.92  # of images of prompts as people type them
CATEGORIES = ("object", "count", "colour", "position", "binding", "setting")


@dataclass(frozen=True)
class Measurement:
    """What a command wrote: its result, and the hash of each weight file that has a part in it; or the table that it printed.
    note: a sentence to stand beside its date."""

    command: str
    date: str
    machine: str
    weights: dict[str, str] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    note: str = ""

    def source(self, name: str) -> str:
        return (
            f"*`{self.command}`; {self.date}, {self.machine}; {FOLDER.name}/{name}.json.{' ' + self.note if self.note else ''}*"
        )


def measurement(name: str) -> Measurement:
    """A file of docs/measured. Raises ValueError for one that says something else."""
    path = FOLDER / f"{name}.json"
    return build(Measurement, strict_json.parse(path.read_text(encoding="utf-8")), path.name)


def read_json(path: Path) -> Any:
    return strict_json.parse(path.read_text(encoding="utf-8"))


def share(number: float) -> str:
    return f"{number:.3f}"


def interval(low: float, high: float) -> str:
    return f"{low:.3f} to {high:.3f}"


def table(columns: list[str], rows: list[list[str]]) -> str:
    """Markdown; columns of numbers are flush right."""
    numbers = [all(re.fullmatch(r"\**[-+<=\d.,%]*\**( .{0,22})?", row[k]) for row in rows) for k in range(len(columns))]
    lines = [columns, ["--:" if number else "---" for number in numbers], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


# --- what stands in README.md -------------------------------------------------------------------------------------------


def how_well() -> str:
    suite, people = measurement("prompts"), measurement("people")
    right = [share(suite.result[lang]["overall"]) for lang in LANGS]
    typed = [share(people.result[lang]["overall"]) for lang in ("en", "vi")]
    text = f"""
        **How well it does**: of images for compositions that no training caption says, **{right[0]}** show everything
        that was asked for in English and **{right[1]}** in Vietnamese ({right[2]} without accents); for prompts as people type
        them it is **{typed[0]}** and **{typed[1]}**. The aims are {AIMS["en"]} ({AIMS["vi_unaccented"]} without accents)
        and {TYPED}. Every figure has its command in [docs/figures.md](docs/figures.md)."""
    return textwrap.fill(" ".join(text.split()), 128, break_long_words=False, break_on_hyphens=False)


# --- what stands in docs/figures.md -------------------------------------------------------------------------------------


def goals() -> str:
    """Aim and figure, side by side, whether reached or not."""
    suite, people, speed = measurement("prompts").result, measurement("people").result, measurement("against_diffusers")
    rows = [[f"images right, {LANGS[lang]}", f"{aim}", share(suite[lang]["overall"])] for lang, aim in AIMS.items()]
    rows.append(["gap between English and Vietnamese", "at most 0.03", share(abs(suite["gap"]))])
    rows += [[f"as people type them, {LANGS[lang]}", f"{TYPED}", share(people[lang]["overall"])] for lang in ("en", "vi")]
    rows.append(
        ["things' deviation / that of real ones through the VAE", "at most 1.3", f"{suite['shapes']['all']['ratio']:.2f}"]
    )
    reached = [[*row, "yes" if is_reached(row[1], row[2]) else "**no**"] for row in rows]
    reached += [
        [f"{row[0]}, ours / diffusers", row[4], row[3], "yes" if is_reached(row[4], row[3]) else "**no**"] for row in speed.rows
    ]
    return table(["", "aim", "figure", "reached"], reached)


def is_reached(aim: str, figure: str) -> bool:
    bound = float(aim.split()[-1])
    return float(figure) <= bound if aim.startswith(("at most", "<=")) else float(figure) >= bound


def prompts() -> str:
    found = measurement("prompts")
    names = {**{key: found.result[key] for key in LANGS}, **found.result["controls"]}
    rows = [
        [LANGS.get(name, f"*{name}*"), f"**{share(row['overall'])}**", interval(*row["intervals"]["overall"])]
        + [share(row[category]) for category in CATEGORIES]
        for name, row in names.items()
    ]
    return told("prompts", [f"{found.result['n']} prompts", "overall", "95 % interval", *CATEGORIES], rows)


def people() -> str:
    found = measurement("people").result
    langs = ("en", "vi")
    rows = [
        [
            "**all 200**",
            *(f"**{share(found[lang]['overall'])}** ({interval(*found[lang]['intervals']['overall'])})" for lang in langs),
        ]
    ]
    forms = [form for form in {**found["en"], **found["vi"]} if form not in ("overall", "intervals", "attributes")]
    rows += [[form, *(share(found[lang][form]) if form in found[lang] else "" for lang in langs)] for form in forms]
    return told("people", ["images right, by form of the prompt", "English", "Vietnamese"], rows)


def shapes() -> str:
    found = measurement("prompts").result["shapes"]
    kinds = sorted(found, key=lambda kind: (kind == "all", found[kind]["ratio"]))
    rows = [[kind, f"{found[kind]['ratio']:.2f}", f"{found[kind]['things']}"] for kind in kinds]
    return told("prompts", ["deviation from true drawings", "generated / real through the VAE", "things"], rows)


def weights() -> str:
    """Each weight file with the first figures that its own training measured in the end."""
    rows = []
    for name, row in zoo.manifest(zoo.SHIPPED).items():
        figures = [
            f"{key.replace('_', ' ')} {value:.4g}" for key, value in row.get("figures", {}).items() if isinstance(value, float)
        ]
        if figures:
            recipe = " ".join(row["recipe"].split()[: 4 if row["recipe"].startswith("minidiff finetune style") else 3])
            rows.append([name, f"{row['bytes'] / 1e6:.1f}", f"{row['images_seen']:,}", ", ".join(figures[:5]), f"`{recipe}`"])
    return table(["weights", "MB", "images seen", "figures at the end", "by"], rows)


def knobs() -> str:
    found = shipped()
    assert found is not None
    rows = [[change.knob, change.before, change.after, points(change), f"{change.times:.2f}"] for change in found.changes]
    head = table(["control", "from", "to", "images right of 100, more or less", "times the time"], rows)
    where = f"{found.date}, one thread of an {found.processor}; minidiff/studio/measured.json"
    about = f"{found.n} prompts of suite {found.suite} in both languages, `{found.model}`"
    return f"{head}\n\n*`python -m benchmarks.knobs`; {where}. {about}.*"


def edits() -> str:
    found = shipped_edits()
    assert found is not None
    rows = [
        [
            one.knob.replace("_", " "), one.before, one.after, f"{share(one.shows_before)} to {share(one.shows_after)}",
            f"{share(one.stays_before)} to {share(one.stays_after)}",
        ]  # fmt: skip
        for one in found.changes
    ]
    head = table(["control", "from", "to", "shows what was asked", "what was to stay, and did"], rows)
    where = f"{found.date}, an {found.processor}; minidiff/studio/measured_edits.json. Held-out scenes, `{found.model}`"
    return f"{head}\n\n*`python -m benchmarks.edit_knobs --scenes {found.n}`; {where}.*"


def points(change: Change) -> str:
    """What a change gains, of 100 images, with its interval."""
    return f"{100 * change.gain:+.1f} ({100 * change.low:+.1f} to {100 * change.high:+.1f})"


def first_hour() -> str:
    whole, clone = read_json(FOLDER / "first-hour.json"), read_json(FOLDER / "first-hour-clone.json")
    runs = (
        ("wheel, English", whole, "en"),
        ("wheel, Vietnamese, installed by then", whole, "vi"),
        ("clone, English", clone, "en"),
    )
    rows = []
    for name, run, lang in runs:
        steps = run["seconds"][lang]
        install = sum(seconds for step, seconds in steps.items() if any(word in step for word in INSTALLING))
        together = machine_minutes(steps)
        rows.append([name, f"{install:.0f}", f"{60 * together - install:.0f}", f"{together:.1f}"])
    head = table(["", "seconds to install", "to draw, open both pages, fail and mend", "minutes together"], rows)
    return (
        f"{head}\n\n*`python -m benchmarks.first_hour --lang en vi`, and with `--clone`; {whole['date']}, {whole['cores']} "
        f"core of an {whole['processor']}, load {whole['load']}; measured/first-hour.json, measured/first-hour-clone.json. "
        "A release on this machine stood for the one on the web, and the package index was near: on a home connection "
        "the install takes "
        "longer. Reading and typing come on top.*"
    )


def minutes(lang: str) -> str:
    """How long the first hour takes, in a sentence for its page."""
    whole, clone = (read_json(FOLDER / f"{name}.json") for name in ("first-hour", "first-hour-clone"))
    together = [f"{machine_minutes(run['seconds']['en']):.0f}" for run in (whole, clone)]
    told = {
        "en": f"""Timed as it stands here, from an empty environment to the mended mistake: {together[0]} minutes of the
            machine's time on one core of a busy processor with a fast network, {together[1]} from a clone, most of it
            for installing ([figures](figures.md#the-first-hour-and-the-course)). What you read and type comes on top.""",
        "vi": f"""Đo đúng theo trang này, từ môi trường trống đến khi sửa xong lỗi: {together[0]} phút máy chạy trên một nhân
            của bộ xử lý đang bận, với mạng nhanh; cài từ bản clone thì {together[1]} phút. Phần lớn là thời gian cài đặt
            ([số liệu](figures.md#the-first-hour-and-the-course)). Chưa kể thời gian bạn đọc và gõ.""",
    }
    return textwrap.fill(" ".join(told[lang].split()), 128, break_long_words=False, break_on_hyphens=False)


def machine_minutes(steps: dict[str, float]) -> float:
    """From the first command to the payoff of the mended mistake."""
    return sum(list(steps.values())[: list(steps).index("02.2: payoff") + 1]) / 60


def course() -> str:
    found = read_json(ROOT / MEASURED)
    kinds = {"lessons": "lessons", "solutions": "solutions of the exercises"}
    rows = []
    for kind, name in kinds.items():
        own = [row for path, row in found.items() if path.startswith(kind)]
        minutes_each, gigabytes = [row["minutes"] for row in own], [row["gigabytes"] for row in own]
        costs = (f"{sum(minutes_each):.0f}", f"{max(minutes_each):.1f}", f"{max(gigabytes):.1f}")
        rows.append([name, f"{len(own)}", *costs])
    head = table(["", "notebooks", "minutes together", "the longest", "GB at most"], rows)
    where = "two cores of an AMD EPYC, one of them busy; lessons/measured.json"
    return f"{head}\n\n*`make lessons`, {where}. By lesson: [course.md](course.md).*"


def singles() -> str:
    rows = [
        [row["what"], row["figure"], f"`{row['command']}`", row["section"].split(" · ")[0]]
        for row in read_json(FOLDER / "log.json")["rows"]
    ]
    return (
        table(["what", "figure", "command", "date"], rows)
        + "\n\n*LOG.md, the sections of these dates; measured/log.json names them.*"
    )


def told(name: str, columns: list[str] | None = None, rows: list[list[str]] | None = None) -> str:
    """A measurement's table, its own when none is given, and where it comes from."""
    found = measurement(name)
    return f"{table(columns or found.columns, rows or found.rows)}\n\n{found.source(name)}"


def logged(section: str, number: int, command: str) -> str:
    """A table of LOG.md as it stands there: the one of that number in the section."""
    text = (ROOT / "LOG.md").read_text(encoding="utf-8").split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    found = re.findall(r"(?:^\|.*\n)+", text + "\n", re.MULTILINE)[number].strip()
    date, _, title = section.partition(" · ")
    return f'{found}\n\n*`{command}`; {date}, LOG.md, "{title}", where the machine is told.*'


# --- the command --------------------------------------------------------------------------------------------------------

PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"how well it does": how_well},
    "docs/first-hour.md": {"minutes": partial(minutes, "en")},
    "docs/gio-dau.md": {"minutes": partial(minutes, "vi")},
    "docs/figures.md": {
        "goals": goals, "prompts": prompts, "people": people, "shapes": shapes, "weights": weights, "knobs": knobs,
        "edit knobs": edits,
        "first hour": first_hour, "course": course, "singles": singles,
        **{name: partial(told, name) for name in ("prompts-2026-11-22", "against_diffusers", "samplers", "parity")},
        "styles": partial(logged, "2026-11-30 · Styles as LoRAs: the decoder is where a style is cheapest", 0,
                          "minidiff evaluate styles --per-category 8"),
        "style transfer": partial(logged, "2026-11-30 · Style transfer against the true restyled scene", 0,
                                  "minidiff evaluate style-transfer"),
        "upscaler": partial(logged, "2026-11-30 · Super-resolution: on latents it can't be good, on pixels it can", 1,
                            "minidiff evaluate upscaler --emoji data/emoji"),
        "mutants": partial(logged, "2026-11-24 · Mutants before and after the tests were mended", 0,
                           "python -m benchmarks.mutants"),
    },
}  # fmt: skip


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
    machine: str = ""
    """On what it ran; this processor's name when not given."""
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
    made = Measurement(run.command, time.strftime("%Y-%m-%d"), run.machine or processor()[0], weights, result, note=run.note)
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
