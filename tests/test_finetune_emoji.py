"""`minidiff finetune emoji` with tiny models: what is never shown, what a batch holds, what the model is that comes out."""

from __future__ import annotations

import collections
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny_emoji import write_tiny_emoji

from minidiff import cli
from minidiff.data.emoji.concepts import Concept
from minidiff.data.emoji.packages import EmojiError
from minidiff.data.emoji.pairs import STYLES, Pair, read_pairs, some
from minidiff.finetune import run as runs
from minidiff.finetune.captioned_latents import encode_images
from minidiff.finetune.emoji import EmojiLatents, EmojiRun, EmojiTask, finetune_emoji
from minidiff.finetune.learners import FullLearner
from minidiff.pipelines.loading import load_pipeline
from minidiff.pretrained import zoo
from minidiff.train.options import TrainingError

SHORT = {"data": Path("emoji"), "steps": 4, "batch": 4, "warmup": 1, "validate_every": 2, "save_every": 1, "min_delta": 0.0,
         "lr": 0.01, "ema": 0.5, "out": Path("emoji-run")}  # fmt: skip


@pytest.fixture
def work(whole_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in with tiny emoji, and the tiny zoo."""
    monkeypatch.setenv("MINIDIFF_ZOO", str(whole_zoo))
    monkeypatch.chdir(tmp_path)
    write_tiny_emoji(tmp_path / "emoji")
    return tmp_path


def pair(code: str, style: str) -> Pair:
    return Pair(code, code, style, {}, {}, True)


# --- what is never shown ------------------------------------------------------------------------------------------------


def test_one_pair_in_ten_is_never_shown_and_every_concept_and_style_is() -> None:
    codes = [f"{number:04x}" for number in range(0x1F300, 0x1F300 + 2000)]
    parts = {(code, style): pair(code, style).part for code in codes for style in STYLES}
    counts = collections.Counter(parts.values())
    assert set(counts) == {"shown", "validation", "unseen"}
    held = len(parts) - counts["shown"]
    assert 0.09 < held / len(parts) < 0.11 and 0.15 < counts["validation"] / held < 0.25
    for code in codes:
        assert sum(parts[code, style] == "shown" for style in STYLES) >= 3
    for style in STYLES:
        assert 0.08 < sum(parts[code, style] != "shown" for code in codes) / len(codes) < 0.12


def test_emoji_that_look_alike_are_in_one_part_whatever_split_they_are_in() -> None:
    for style in STYLES:
        alike = [Pair(f"1f4{number:02x}", "1f468", style, {}, {}, number < 9) for number in range(40)]
        assert len({one.part for one in alike}) == 1
    codes = [f"{number:04x}" for number in range(0x1F300, 0x1F300 + 2000)]
    new = [code for code in codes if Concept(code, code, "", {}).split == "test"]
    held = sum(pair(code, style).part != "shown" for code in new for style in STYLES) / len(new) / 4
    assert 0.06 < held < 0.14, "which pairs are held back doesn't hang on which concepts are"


def test_a_choice_of_pairs_is_always_the_same_and_grows(work: Path) -> None:
    pairs = read_pairs(work / "emoji")
    few, more = some(pairs, "unseen", 3), some(pairs[::-1], "unseen", 5)
    assert [one.code for one in few] == [one.code for one in more[:3]] and all(one.part == "unseen" for one in more)
    assert len({one.style for one in some(pairs, "unseen", 999)}) > 1


# --- batches ------------------------------------------------------------------------------------------------------------


def test_batches_hold_shown_pairs_with_captions_of_their_own(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, pairs = load_pipeline("world-dit", "cpu", "float32"), read_pairs(work / "emoji")
    examples = EmojiLatents(pipeline, pairs, dropout=0.25, drawn=0.5)
    asked: list[Any] = []
    own = examples._batch
    monkeypatch.setattr(examples, "_batch", lambda views, texts: asked.append((views, texts)) or own(views, texts))
    batch = examples.make_batch(0, 400, seed=1)
    (views, texts) = asked[0]
    of = {view.image: one for one in pairs for view in one.views}
    assert {of[view.image].part for view in views} == {"shown"} and batch["latents"].shape == (400, 4, 4, 4)
    assert 0.18 < texts.count("") / 400 < 0.32 and 0.4 < sum(view.backdrop == "sea" for view in views) / 400 < 0.6
    for view, text in zip(views, texts, strict=True):
        one = of[view.image]
        named = any(word in text for word in (*one.names.values(), *one.keywords["en"], *one.keywords["vi"], "vat", "ngoi"))
        assert not text or named
        assert view.backdrop == "sea" or not any(word in text for word in (" sea", "biển", "bien"))
    again = EmojiLatents(pipeline, pairs, dropout=0.25, drawn=0.5).make_batch(0, 400, seed=1)
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    alone = encode_images(pipeline, [views[0].image])[0, 0]
    torch.testing.assert_close(batch["latents"][0], alone)
    held, words = examples.held_out(), asked[-1][1]
    assert len(held["latents"]) == len(words) == sum(one.part == "validation" for one in pairs)
    assert [("style" in text, "kiểu" in text) for text in words[:2]] == [(True, False), (False, True)]


def test_without_drawn_backdrops_their_images_are_not_even_encoded(work: Path) -> None:
    pipeline, pairs = load_pipeline("world-dit", "cpu", "float32"), read_pairs(work / "emoji")
    plain, both = (EmojiLatents(pipeline, pairs, drawn=drawn) for drawn in (0.0, 0.3))
    assert all("plain" in image.name for image in plain.numbers) and len(both.numbers) > 1.8 * len(plain.numbers)
    assert not {view.image for one in pairs if one.part == "unseen" for view in one.views} & both.numbers.keys()


def test_a_caption_that_would_be_cut_gives_way_to_one_that_ends_in_the_style(work: Path) -> None:
    pipeline, pairs = load_pipeline("world-dit", "cpu", "float32"), read_pairs(work / "emoji")
    examples = EmojiLatents(pipeline, pairs)
    examples.tokenizer.max_length = 8  # type: ignore[misc]
    import random

    one = examples.shown[0]
    assert {examples.caption(one, one.views[0], random.Random(seed)) for seed in range(9)} == {one.prompt("en")}


def test_times_are_pushed_towards_the_noise_and_all_weighted_alike(work: Path) -> None:
    pipeline, pairs = load_pipeline("world-dit", "cpu", "float32"), read_pairs(work / "emoji")
    examples, learner = EmojiLatents(pipeline, pairs, drawn=0.0), FullLearner(pipeline)
    times = {}
    for shift in (1.0, 2.0):
        task = EmojiTask(EmojiRun(shift=shift), pipeline, examples, learner)
        times[shift] = task.times(1000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(times[2.0], 2 * times[1.0] / (1 + times[1.0]))
    assert float(times[2.0].median()) == pytest.approx(2 / 3, abs=0.01) and EmojiRun().min_snr == 0


# --- a run --------------------------------------------------------------------------------------------------------------


def test_a_run_leaves_a_model_that_takes_prompts_as_they_are(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finetune_emoji(EmojiRun(sample_guidance=2.5, **SHORT))  # type: ignore[arg-type]
    said = json.loads((work / "emoji-run" / runs.REPORT).read_text())
    assert said["best"]["loss"] < said["without"] and said["recipe"].startswith("minidiff finetune emoji emoji --steps 4")
    assert (said["pairs"], said["never_shown"]) == (80, sum(one.part != "shown" for one in read_pairs(work / "emoji")))
    assert "20 emoji in 4 styles" in capsys.readouterr().out
    row = zoo.entry("emoji-run", work / "emoji-run")["config"]
    assert row["expand"] is False and row["reader"] is None and row["tell_places"] is False
    before, after = load_pipeline("world-dit", "cpu", "float32"), load_pipeline("emoji-run", "cpu", "float32")
    assert before.prompt_expander and before.unknown_words("a star, zxq style") == ["zxq", "style"]
    assert after.prompt_expander is None and after.unknown_words("a star, zxq style") == [] and after.guidance_scale == 2.5
    assert after.expanded_prompts(after.request("a red star", num_images=2)) == ["a red star"] * 2
    towers = (before.words.tower.parameters(), after.words.tower.parameters())
    assert any(not torch.equal(a.half(), b.half()) for a, b in zip(*towers, strict=True)), "the text tower learns, too"
    with pytest.raises(SystemExit, match="0"):
        cli.main(["sample", "a thing, 3D style", "--model", "emoji-run", "--steps", "1", "--out", "a.png"])
    assert Image.open("a.png").size == (32, 32)


def test_a_stopped_run_goes_on_as_an_unbroken_one(work: Path) -> None:
    options = {**SHORT, "text": False, "drawn": 0.0}
    finetune_emoji(EmojiRun(**options))  # type: ignore[arg-type]
    for stop in (3, None):
        finetune_emoji(EmojiRun(**{**options, "out": Path("other"), "stop_after": stop}))  # type: ignore[arg-type]
    one, other = (load_file(Path(folder) / "best.safetensors") for folder in ("emoji-run", "other"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_what_cannot_be_learnt_from_is_told_in_a_sentence(work: Path) -> None:
    pipeline, pairs = load_pipeline("world-dit", "cpu", "float32"), read_pairs(work / "emoji")
    with pytest.raises(TrainingError, match="0 are for validation"):
        EmojiLatents(pipeline, [one for one in pairs if one.part != "validation"])
    with pytest.raises(EmojiError, match="minidiff prepare emoji --out nowhere"):
        finetune_emoji(EmojiRun(data=Path("nowhere")))
    path = work / "emoji/train/metadata.jsonl"
    path.write_text(path.read_text().replace('"keywords"', '"words"'))
    with pytest.raises(EmojiError, match="have no keywords: run `minidiff prepare emoji --out emoji` again"):
        finetune_emoji(EmojiRun(data=Path("emoji")))


def test_the_command_hides_what_is_fixed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["finetune", "emoji", "--help"])
    shown = capsys.readouterr().out
    assert stop.value.code == 0 and "minidiff finetune emoji data/emoji" in shown
    assert not any(option in shown for option in ("--mirror", "--crops", "--held"))
