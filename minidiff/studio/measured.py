"""What controls cost and buy: those of Create as `python -m benchmarks.knobs` measured them for one model (measured.json), the
strengths of Edit as `python -m benchmarks.edit_knobs` did (measured_edits.json).

Create shows these figures only while that very model is chosen: its info lines are in bold from `**` on, and the style sheet
hides what is bold while the note under the prompt doesn't say that the model is the measured one. Edit names the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from minidiff.studio.labels import LABELS, SAMPLER_LABELS, label
from minidiff.utils import strict_json
from minidiff.utils.validation import build

FILE = Path(__file__).parent / "measured.json"
EDITS = Path(__file__).parent / "measured_edits.json"


@dataclass(frozen=True)
class Change:
    """What happens when one control goes from one value to another, on the same prompts and seeds.

    right_before, right_after: shares of pictures, 0 to 1, in which the judge finds all that the prompt says; of `images`, the
    shares of prompts with at least one such picture. gain: their difference; low, high: its 95 % interval.
    milliseconds: median of the processor's time for a prompt's pictures, on one thread.
    """

    knob: str
    before: str
    after: str
    right_before: float
    right_after: float
    gain: float
    low: float
    high: float
    milliseconds_before: float
    milliseconds_after: float

    @property
    def times(self) -> float:
        """How many times as long it takes."""
        return self.milliseconds_after / self.milliseconds_before


@dataclass(frozen=True)
class Measured:
    """A run of `benchmarks.knobs`. n: prompts, in both languages together; suite: the number of their suite."""

    model: str
    model_hash: str
    date: str
    processor: str
    n: int
    suite: int
    changes: tuple[Change, ...]

    def of(self, knob: str) -> list[Change]:
        return [change for change in self.changes if change.knob == knob]


@dataclass(frozen=True)
class Edited:
    """What happens when a control of Edit goes from one value to another, on the same pictures. shows: shares of pictures, 0 to
    1, that show what was asked for; stays: the share of what was to stay and did."""

    knob: str
    before: str
    after: str
    shows_before: float
    shows_after: float
    stays_before: float
    stays_after: float


@dataclass(frozen=True)
class MeasuredEdits:
    """A run of `benchmarks.edit_knobs`. n: pictures that were edited."""

    model: str
    model_hash: str
    date: str
    processor: str
    n: int
    changes: tuple[Edited, ...]


@cache
def shipped(path: Path = FILE) -> Measured | None:
    """What was measured last, None where nothing was. Raises ValueError for a file that says something else."""
    if not path.exists():
        return None
    return build(Measured, strict_json.parse(path.read_text(encoding="utf-8")), path.name)


def is_measured(model_hash: str) -> bool:
    """Whether the figures are about the model with that hash."""
    found = shipped()
    return found is not None and bool(model_hash) and found.model_hash == model_hash


def info(knob: str, lang: str, measured: Measured | None = None) -> str:
    """The info line of a control: what it does, and in bold what was measured, where something was."""
    found = measured or shipped()
    plain = label(f"{knob}_info", lang) if f"{knob}_info" in LABELS else ""
    changes = found.of(knob) if found else []
    if not changes:
        return plain
    told = of_samplers(changes, lang) if knob == "sampler" else " · ".join(of_change(change, lang) for change in changes)
    return f"{plain} **{told}**".strip()


@cache
def shipped_edits(path: Path = EDITS) -> MeasuredEdits | None:
    """As `shipped`, of Edit's controls."""
    return build(MeasuredEdits, strict_json.parse(path.read_text(encoding="utf-8")), path.name) if path.exists() else None


def edit_info(knob: str, plain: str, lang: str, measured: MeasuredEdits | None = None) -> str:
    """The info line of a control of Edit: what it does (`plain`), and in bold what was measured, where something was."""
    found = measured or shipped_edits()
    changes = [change for change in found.changes if change.knob == knob] if found else []
    if found is None or not changes:
        return plain
    values = [changes[0].before, *(change.after for change in changes)]
    shows = [changes[0].shows_before, *(change.shows_after for change in changes)]
    stays = [changes[0].stays_before, *(change.stays_after for change in changes)]
    shares = [" → ".join(f"{100 * share:.0f}" for share in row) for row in (shows, stays)]
    told = label(
        f"measured_{knob}", lang, model=found.model, values=" → ".join(value(text, lang) for text in values), shows=shares[0],
        stays=shares[1],
    )  # fmt: skip
    return f"{plain} **{told}**"


def about(lang: str) -> str:
    """Where the figures come from, in a sentence; empty where there are none."""
    found = shipped()
    if found is None:
        return ""
    return label("measured_about", lang, model=found.model, n=found.n, date=found.date, processor=found.processor)


def of_change(change: Change, lang: str) -> str:
    """Such as "20 → 40: +1 of 100 pictures right (−3 to +5), 2.0 times the time."."""
    key = "measured_images" if change.knob == "images" else "measured"
    gain, low, high = (signed(share) for share in (change.gain, change.low, change.high))
    return label(
        key, lang, before=value(change.before, lang), after=value(change.after, lang), gain=gain, low=low, high=high,
        times=decimal(change.times, lang),
    )  # fmt: skip


def of_samplers(changes: list[Change], lang: str) -> str:
    """The share of each sampler, the best first, and the time of those that need another."""
    first = changes[0]
    rows = [(first.before, first.right_before, 1.0), *((one.after, one.right_after, one.times) for one in changes)]
    words = []
    for name, right, times in sorted(rows, key=lambda row: -row[1]):
        slower = label("measured_slower", lang, times=decimal(times, lang)) if times > 1.25 else ""
        words.append(f"{SAMPLER_LABELS.get(name, name)} {100 * right:.0f}{slower}")
    return label("measured_samplers", lang, samplers=", ".join(words))


def value(text: str, lang: str) -> str:
    """A control's value as the page writes it."""
    if text in ("on", "off"):
        return label(f"measured_{text}", lang)
    return text.replace(".", ",") if lang == "vi" else text


def signed(share: float) -> str:
    """0.014 as "+1", of 100; with a true minus."""
    points = round(100 * share)
    return "±0" if points == 0 else f"+{points}" if points > 0 else f"−{-points}"


def decimal(number: float, lang: str) -> str:
    text = f"{number:.1f}"
    return text.replace(".", ",") if lang == "vi" else text
