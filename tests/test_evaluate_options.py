"""`minidiff evaluate ...` with options that are not allowed: exit 2 and one sentence that names the error, before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from minidiff.cli import main
from minidiff.evaluate import prompt_following, quality

BAD = [  # command, options, and a word that the sentence must have
    ("prompts", ["--per-category", "0"], "per_category"),
    ("prompts", ["--per-category", "99999999"], "per_category"),
    ("prompts", ["--per-category", "2.5"], "per-category"),
    ("prompts", ["--suite", "-1"], "suite"),
    ("prompts", ["--suite", "first"], "suite"),
    ("prompts", ["--seeds", "0"], "seeds"),
    ("prompts", ["--seed", "-1"], "seed"),
    ("prompts", ["--seed", str(2**40)], "seed"),
    ("prompts", ["--batch", "0"], "batch"),
    ("prompts", ["--batch", str(10**12)], "batch"),
    ("prompts", ["--judged", "0"], "judged"),
    ("prompts", ["--steps", "0"], "steps"),
    ("prompts", ["--steps", "1000"], "steps"),
    ("prompts", ["--sampler", "magic"], "magic"),
    ("prompts", ["--guidance-scale", "nan"], "guidance"),
    ("prompts", ["--guidance-scale", "1e9"], "guidance"),
    ("prompts", ["--json", "out.txt"], "out.txt"),
    ("prompts", ["--json", "nowhere/out.json"], "nowhere"),
    ("prompts", ["--json", "folder.json"], "folder.json"),
    ("prompts", ["--json", "sheet.json"], "sheet.png"),
    ("prompts", ["--no-upsample"], "--no-upsample"),
    ("prompts", ["--model", "no-such-model"], "no-such-model"),
    ("prompts", ["--device", "banana"], "banana"),
    ("prompts", ["--dtype", "int8"], "int8"),
    ("quality", ["--samples", "0"], "samples"),
    ("quality", ["--samples", "3"], "samples"),
    ("quality", ["--training", "0"], "training"),
    ("quality", ["--batch", "-5"], "batch"),
    ("quality", ["--model", "../../etc/passwd"], "passwd"),
    ("quality", ["--json", ""], "json"),
    ("beauty", [], "beauty"),
]


@pytest.fixture(autouse=True)
def small_zoo(tiny_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDIFF_ZOO", str(tiny_zoo))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "sheet.png").mkdir()

    def work(*_: object, **__: object) -> None:
        raise AssertionError("it began to work")

    for module in (prompt_following, quality):
        monkeypatch.setattr(module, "load_judge", work)


@pytest.mark.parametrize(("command", "options", "word"), BAD, ids=[" ".join([row[0], *row[1]]) for row in BAD])
def test_a_bad_option_is_one_sentence(
    command: str, options: list[str], word: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", command, *options])
    told = capsys.readouterr()
    assert stop.value.code == 2 and told.out == ""
    assert told.err.count("\n") == 1 and told.err.startswith("minidiff: ") and word in told.err.lower(), told.err
    assert len(told.err) < 400
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.json", "sheet.png"], "nothing was written"
