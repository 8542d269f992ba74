"""docs/first-hour.md and docs/gio-dau.md do what they say: their commands are read, their mistake is caught, their fix passes.

Installing and the server are run by tests/test_release.py; JupyterLab itself by nobody here.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import nbformat
import pytest

from minidiff import cli
from minidiff.utils import release

ROOT = Path(__file__).parents[1]
PAGES = {"en": "docs/first-hour.md", "vi": "docs/gio-dau.md"}


def text_of(lang: str) -> str:
    return (ROOT / PAGES[lang]).read_text(encoding="utf-8")


def blocks(lang: str) -> list[tuple[str, str]]:
    """(language, text) of what stands between fences."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text_of(lang), re.DOTALL | re.MULTILINE)


def commands(lang: str) -> list[list[str]]:
    return [shlex.split(line) for kind, block in blocks(lang) if not kind for line in block.splitlines()]


def answer_of(lang: str) -> str:
    (code,) = (block for kind, block in blocks(lang) if kind == "python")
    return code


@pytest.mark.parametrize("lang", PAGES)
def test_both_pages_run_the_same_commands(lang: str) -> None:
    def plain(of: str) -> list[list[str]]:  # the Vietnamese page draws in Vietnamese first, and asks for reports in it
        return sorted([word for word in line if word not in ("--lang", "vi")] for line in commands(of))

    assert plain("en") == plain("vi")
    names = [line[0] for line in commands(lang)]
    assert names == ["python3", ".", "pip", "minidiff", "minidiff", "minidiff", "jupyter", "minidiff", "minidiff"]
    assert commands(lang)[2][2].endswith(f"@ {release.WHEEL}")


@pytest.mark.parametrize("line", [line for lang in PAGES for line in commands(lang) if line[0] == "minidiff"], ids=" ".join)
def test_a_command_can_be_read(line: list[str]) -> None:
    cli.parse(cli.COMMANDS[line[1]][1](), line[2:], f"minidiff {line[1]}")


@pytest.mark.parametrize("lang", PAGES)
def test_pictures_and_links_are_there(lang: str) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", text_of(lang)):
        assert (ROOT / "docs" / target).exists(), target


@pytest.mark.parametrize("lang", PAGES)
def test_the_mistake_is_caught_and_the_fix_passes(lang: str, tmp_path: Path) -> None:
    wrong = answer_of(lang)
    mended = wrong.replace("(1 - a) * eps", "(1 - a).sqrt() * eps")
    assert "`(1 - a).sqrt() * eps`" in text_of(lang) and mended != wrong
    points = {}
    for name, answer in (("wrong", wrong), ("mended", mended)):
        book = nbformat.read(ROOT / "exercises" / lang / "02_ddpm.ipynb", as_version=4)
        (stub,) = (cell for cell in book.cells if cell.cell_type == "code" and cell.source.startswith("def q_sample("))
        stub.source = answer
        nbformat.write(book, tmp_path / f"{name}.ipynb")
        with pytest.raises(SystemExit):
            cli.main(["grade", str(tmp_path / f"{name}.ipynb"), "--lang", lang, "--json", str(tmp_path / f"{name}.json")])
        scores = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
        points[name] = scores["exercises"]["02.2"]["points"]
    assert points == {"wrong": 3, "mended": 8}
