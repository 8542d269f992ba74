"""The figures of the pages are what `python -m benchmarks.figures` makes of the measurements, each of these is
of the weights that are shipped, and what was read from LOG.md stands there."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from benchmarks import figures
from benchmarks.figures import FiguresRun, main
from minidiff.pretrained import zoo

ROOT = Path(__file__).parents[1]
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in figures.PAGES}
FILES = sorted((ROOT / "docs/measured").glob("*.json"))
OF_WEIGHTS = ("prompts", "people")
SINGLES = json.loads((ROOT / "docs/measured/log.json").read_text(encoding="utf-8"))["rows"]


def test_the_pages_say_what_was_measured() -> None:
    main(FiguresRun(check=True))


def test_every_measurement_is_shown() -> None:
    shown = set(re.findall(r"measured/([\w-]+)\.json", PAGES["docs/figures.md"]))
    assert shown == {path.stem for path in FILES}


@pytest.mark.parametrize("name", OF_WEIGHTS)
def test_what_is_measured_of_weights_is_of_those_that_are_shipped(name: str) -> None:
    """When this fails, weights were published and not measured: run the file's command, then benchmarks.figures --keep."""
    found = figures.measurement(name)
    assert {"world-dit", "world-vae", "world-reader"} <= set(found.weights)
    assert found.weights == {weight: zoo.entry(weight, zoo.SHIPPED)["sha256"] for weight in found.weights}
    assert found.result["run"]["sha256"] == found.weights[found.result["run"]["model"]]


@pytest.mark.parametrize("row", SINGLES, ids=lambda row: row["what"][:40])
def test_a_single_figure_is_in_its_section_of_the_log(row: dict[str, str]) -> None:
    log = "\n" + (ROOT / "LOG.md").read_text(encoding="utf-8")
    section = log.split(f"\n## {row['section']}\n", 1)[1].split("\n## ", 1)[0]
    numbers = re.findall(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?", row["figure"])
    assert numbers
    for number in numbers:
        assert re.search(rf"(?<![\d.]){re.escape(number)}(?![\d]|\.\d)", section) or number == "20", (
            f"{number}: {row['section']}"
        )


@pytest.mark.parametrize("page", PAGES)
def test_the_text_holds_no_results_of_its_own(page: str) -> None:
    text = re.sub(r"<!-- ([\w -]+): .*?<!-- end of \1 -->", "", PAGES[page], flags=re.DOTALL)
    text = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", "", text, flags=re.DOTALL)
    assert re.findall(r"(?<!Python )\b\d+\.\d\d+|\d %", text) == []


# --- stale pages, new measurements ----------------------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The pages and the measurements, in a folder of their own."""
    for name in (*figures.PAGES, "LOG.md", "lessons/measured.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "docs/measured", tmp_path / "docs/measured")
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    monkeypatch.setattr(figures, "FOLDER", tmp_path / "docs/measured")
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "old", "new", "stale"),
    [
        ("docs/measured/people.json", '"overall": 0.845', '"overall": 0.855', "README.md"),
        ("README.md", "**0.845**", "**0.92**", "README.md"),
        ("docs/figures.md", "| 0.64 |", "| 0.60 |", "docs/figures.md"),
        ("docs/measured/samplers.json", "0.15", "0.14", "docs/figures.md"),
        ("LOG.md", "| neon | 12.5 % |", "| neon | 92.5 % |", "docs/figures.md"),
        ("lessons/measured.json", "2.63", "2.93", "docs/figures.md"),
    ],
)
def test_what_is_stale_is_told_and_mended(copy: Path, name: str, old: str, new: str, stale: str) -> None:
    change(copy / name, old, new)
    with pytest.raises(SystemExit, match=f"figures of {stale} are stale"):
        main(FiguresRun(check=True))
    main(FiguresRun(write=True))
    main(FiguresRun(check=True))


def test_a_new_measurement_is_kept_and_shown(copy: Path) -> None:
    result = figures.measurement("people").result
    result["en"]["overall"] = 0.931
    (copy / "out.json").write_text(json.dumps({**result, "prompts": [1, 2]}), encoding="utf-8")
    main(FiguresRun(keep=f"people={copy}/out.json", command="minidiff evaluate prompts --suite people", write=True))
    kept = figures.measurement("people")
    assert "prompts" not in kept.result and kept.weights["world-dit"] == zoo.entry("world-dit", zoo.SHIPPED)["sha256"]
    assert "**0.931**" in (copy / "README.md").read_text(encoding="utf-8")
    assert f"`minidiff evaluate prompts --suite people`; {kept.date}" in (copy / "docs/figures.md").read_text(encoding="utf-8")


def test_a_measurement_without_its_command_is_refused(copy: Path) -> None:
    with pytest.raises(SystemExit, match="--keep wants NAME=FILE"):
        main(FiguresRun(keep=f"people={copy}/out.json"))


def test_aims_are_compared_in_their_direction() -> None:
    assert figures.is_reached("0.92", "0.920") and not figures.is_reached("0.92", "0.919")
    assert figures.is_reached("at most 0.03", "0.030") and not figures.is_reached("at most 0.03", "0.031")
    assert figures.is_reached("<= 0.5", "0.49") and not figures.is_reached("<= 0.5", "0.51")
