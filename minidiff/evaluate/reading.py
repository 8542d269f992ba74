"""Is a prompt read rightly? `minidiff evaluate reading` compares what the reader makes of prompts that people wrote with what
they say, and shows those that it misreads. No image is made; `minidiff evaluate prompts` measures the whole way."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from minidiff.data.world.scenes import OPPOSITES, Group, Scene
from minidiff.evaluate.metrics import bootstrap_interval
from minidiff.evaluate.report import percent, save_json, table
from minidiff.evaluate.suites import Prompt, written_suite
from minidiff.pipelines.prompt_reader import CERTAIN, Reader, Reading, load_reader


@dataclass
class ReadingRun:
    """Measure how well prompts are read that people wrote, per language and form."""

    suite: Literal["people", "people-choice"] = "people"
    """people: those whose figures are published; people-choice: others to choose by."""
    reader: str = "world-reader"
    json: Path | None = None
    """Where the figures go, if anywhere."""
    misread: int = 20
    """How many of the misread prompts to show."""


def same_claim(first: Scene, second: Scene) -> bool:
    """Whether two claims say the same: "left of" one way round is "right of" the other."""
    return _plain(first) == _plain(second)


def _plain(claim: Scene) -> tuple[Any, ...]:
    groups, relation = list(claim.groups), claim.relation
    if relation in ("right", "below"):
        groups, relation = groups[::-1], OPPOSITES[relation]
    fixed = {None: 0, "between": 1}.get(relation, len(groups))  # the groups whose order means something stand first
    return claim.setting, relation, groups[:fixed], sorted(groups[fixed:], key=_words)


def _words(group: Group) -> list[str]:
    return [str(value) for value in vars(group).values()]


def read_rightly(prompt: Prompt, reading: Reading) -> bool:
    """Whether what was read is one of the prompt's readings."""
    found = reading.claim
    return found is not None and any(same_claim(found, claim) for claim in (prompt.claim, *prompt.others))


def reading_figures(reader: Reader, suite: str) -> dict[str, Any]:
    """For each language: the share of prompts read rightly, its interval, the share by form; how many are certain, and of these
    the share that is right. And the misread: prompt, what was read, how certain."""
    figures: dict[str, Any] = {"misread": []}
    for lang, prompts in written_suite(suite).items():
        readings = reader.read([prompt.texts[lang] for prompt in prompts])
        right = [read_rightly(prompt, reading) for prompt, reading in zip(prompts, readings, strict=True)]
        forms: dict[str, list[bool]] = defaultdict(list)
        for prompt, one in zip(prompts, right, strict=True):
            forms[prompt.category].append(one)
        certain = [one for one, reading in zip(right, readings, strict=True) if reading.certainty >= CERTAIN]
        figures[lang] = {
            "overall": sum(right) / len(right), "interval": bootstrap_interval([float(one) for one in right]),
            "certain": len(certain) / len(right), "right of the certain": sum(certain) / max(1, len(certain)),
            **{form: sum(values) / len(values) for form, values in forms.items()},
        }  # fmt: skip
        figures["misread"] += [
            {"prompt": prompt.texts[lang], "form": prompt.category, "read": str(reading.claim), "certainty": reading.certainty}
            for prompt, reading, one in zip(prompts, readings, right, strict=True) if not one
        ]  # fmt: skip
    return figures


def evaluate(run: ReadingRun) -> dict[str, Any]:
    """Measure, print, and write the JSON if one is named. Raises ValueError when the reader is missing or damaged."""
    figures = reading_figures(load_reader(run.reader), run.suite)
    langs = [name for name in figures if name != "misread"]
    rows = list(dict.fromkeys(row for lang in langs for row in figures[lang] if row != "interval"))
    print(table(["read rightly", *langs], [[row, *(percent(figures[lang].get(row)) for lang in langs)] for row in rows]))
    for row in figures["misread"][: run.misread]:
        print(f"{row['form']}: {row['prompt']}\n    {row['read']} ({row['certainty']:.2f})")
    if run.json:
        save_json(figures, run.json)
    return figures
