"""`minidiff evaluate all`: a row for every model of the zoo that draws, and what true renders get beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from minidiff import cli
from minidiff.evaluate import all_models
from minidiff.evaluate.suites import suite
from minidiff.models.detector import Detector


def test_every_model_that_reads_captions_has_its_row(
    whole_zoo: Path, shipped: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(all_models, "load_judge", lambda: shipped)
    monkeypatch.setenv("MINIDIFF_ZOO", str(whole_zoo))
    with pytest.raises(SystemExit, match="0"):
        cli.main(["evaluate", "all", "--steps", "1", "--per-category", "4", "--json", "all.json"])
    out, figures = capsys.readouterr().out, json.loads(Path("all.json").read_text())
    rows = figures["rows"]
    assert list(rows)[:2] == ["world-dit", "world-unet"] == list(figures["models"])
    assert figures["n"] == 24 and all(rows[name][lang]["n"] == 24 for name in figures["models"] for lang in ("en", "vi"))
    assert list(figures["left_out"]) == ["world-pixels"] and "world-pixels is left out: it takes a label" in out
    true = rows["true renders, drawn twice"]
    assert true["en"]["value"] > 0.9 and true["fd"]["value"] < rows["world-dit"]["fd"]["value"]
    assert all(rows[name]["en"]["value"] == 0 for name in figures["models"]), "tiny models draw noise"
    assert rows["true renders through world-dit's VAE"]["en"]["value"] < 0.5, "and so does their VAE"
    assert [line.split("|")[1].strip() for line in out.splitlines()[3:5]] == list(figures["models"])
    width, height = Image.open("all.png").size
    assert width > 6 * 128 and height > 3 * 128


def test_named_models_alone_are_measured_and_their_prompts_checked() -> None:
    with pytest.raises(ValueError, match="per_category"):
        all_models.AllRun(per_category=1)
    assert all_models.AllRun(models=("world-dit",)).suite == 1 and len(suite(2, seed=1)) == 12
