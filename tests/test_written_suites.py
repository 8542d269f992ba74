"""The prompts that were written by hand: each claim can be drawn, readings count, and training knows nothing of them."""

from __future__ import annotations

import json
import random
import unicodedata
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_tiny_zoo

from minidiff.cli import main
from minidiff.data.world.random_scenes import complete
from minidiff.data.world.rendering import render
from minidiff.data.world.scenes import COLOURS, PLACES, RELATIONS, SETTINGS, SHAPES, SIZES, Group, Scene
from minidiff.evaluate import prompt_following
from minidiff.evaluate.judge import Detection, Seen
from minidiff.evaluate.prompt_following import PromptsRun, best_verdict
from minidiff.evaluate.suites import LONGEST, WRITTEN, Prompt, written_suite
from minidiff.models.detector import Detector, DetectorConfig
from minidiff.pretrained import zoo

NAMES = {"people": 200, "people-choice": 130}


def prompts(name: str) -> list[tuple[str, Prompt]]:
    return [(lang, prompt) for lang, rows in written_suite(name).items() for prompt in rows]


@pytest.mark.parametrize(("name", "each"), NAMES.items())
def test_every_claim_is_one_of_the_worlds(name: str, each: int) -> None:
    assert {lang: len(rows) for lang, rows in written_suite(name).items()} == {"en": each, "vi": each}
    for lang, prompt in prompts(name):
        text = prompt.texts[lang]
        assert text == unicodedata.normalize("NFC", text).strip() and 0 < len(text) <= LONGEST
        for claim in (prompt.claim, *prompt.others):
            groups = claim.groups
            assert 1 <= len(groups) <= 3 and claim.setting in (None, *SETTINGS), text
            counts = [group.count for group in groups]
            assert min(counts) >= 1 and sum(counts) <= (4 if len(groups) < 3 else 3), text
            assert claim.relation in ((None,), (None, *RELATIONS[:4]), (None, "between"))[len(groups) - 1], text
            for group in groups:
                assert group.kind in SHAPES and group.colour in (None, *COLOURS) and group.size in (None, *SIZES), text
                assert group.place in ((None, *PLACES) if len(groups) == group.count == 1 else (None,)), text
                assert group.spot is None
            looks = [(group.kind, group.colour) for group in groups]
            alike = len({kind for kind, _ in looks}) < len(looks)
            assert not alike or (len(set(looks)) == len(looks) and all(colour for _, colour in looks)), text


def test_no_prompt_is_there_twice_or_in_both() -> None:
    texts = [prompt.texts[lang].lower() for name in NAMES for lang, prompt in prompts(name)]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("name", NAMES)
def test_every_reading_can_be_drawn_and_the_judge_then_finds_it_right(name: str) -> None:
    """Of 60 prompts: a render of any reading is right, by the shipped judge, nearly always."""
    judge = prompt_following.load_judge()
    chosen = [prompt for k, (_, prompt) in enumerate(prompts(name)) if k % 6 == 0][:60]
    rng = random.Random(0)
    images = np.stack([render(complete(rng.choice((p.claim, *p.others)), rng), 128).image for p in chosen])
    seen = prompt_following.look(judge, prompt_following.to_batch(images, judge.config.image_size))
    right = [best_verdict(prompt, one).right for prompt, one in zip(chosen, seen, strict=True)]
    assert np.mean(right) >= 0.98, [p.texts for p, r in zip(chosen, right, strict=True) if not r]


def test_any_reading_that_is_fulfilled_counts() -> None:
    green, blue = (Scene(None, (Group("car", colour),)) for colour in ("green", "blue"))
    either = Prompt("xanh", green, {"vi": "xe hơi xanh"}, (blue,))
    seen = {c: Seen((Detection("car", c, 0.5, 0.5, 0.1, 1.0),), "day") for c in ("green", "blue", "red")}
    assert [best_verdict(either, seen[c]).right for c in seen] == [True, True, False]
    assert not best_verdict(Prompt("xanh", green, {"vi": "xe hơi xanh"}), seen["blue"]).right


def test_the_captions_and_the_training_know_nothing_of_them() -> None:
    """Only modules that measure read them."""
    root = Path(zoo.__file__).parents[1]
    users = {path.name for path in root.rglob("*.py") if "written_suite" in path.read_text(encoding="utf-8")}
    assert users == {"suites.py", "prompt_following.py", "reading.py"}
    assert {path.name for path in WRITTEN.iterdir()} == {f"{name}.jsonl" for name in NAMES}


@pytest.fixture
def zoo_with_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_tiny_zoo(tmp_path / "zoo")
    torch.manual_seed(0)
    tiny = Detector(DetectorConfig(SHAPES, COLOURS, SETTINGS, channels=16, depth=1))
    zoo.add("world-judge", tiny.state_dict(), asdict(tiny.config), root=root)
    monkeypatch.setenv("MINIDIFF_ZOO", str(root))


def test_the_command_reports_by_form_and_language(
    zoo_with_judge: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = {lang: [rows[0], rows[-1]] for lang, rows in written_suite("people-choice").items()}
    monkeypatch.setattr(prompt_following, "written_suite", {"people-choice": few}.__getitem__)
    json_file = tmp_path / "out.json"
    sizes = ["--steps", "1", "--judged", "8", "--dtype", "float32"]
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "prompts", "--suite", "people-choice", "--json", str(json_file), *sizes])
    assert not end.value.code
    saved, out = json.loads(json_file.read_text()), capsys.readouterr().out
    assert saved["n"] == 2 and saved["run"]["suite"] == "people-choice" and saved["run"]["images"] == 4
    assert [[row[lang] for row in saved["prompts"] if lang in row] for lang in few] == [
        [prompt.texts[lang] for prompt in rows] for lang, rows in few.items()
    ]
    assert all(set(row["right"]) == {"en"} or set(row["right"]) == {"vi"} for row in saved["prompts"])
    assert "as people type them" in out and all(prompt.category in out for rows in few.values() for prompt in rows)


def test_seen_compositions_are_a_matter_of_numbered_suites(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--seen is for numbered suites"):
        PromptsRun(suite="people", seen=True, json=tmp_path / "out.json")
