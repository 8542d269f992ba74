"""`minidiff evaluate emoji`: places among true images, ceilings, and the command with tiny models."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from tiny_emoji import write_tiny_emoji
from torch import Tensor

from minidiff import cli
from minidiff.data.emoji.pairs import STYLES, Pair, read_pairs, some
from minidiff.evaluate import emoji, retrieval
from minidiff.evaluate.emoji import Album, EmojiQualityRun, Row, ceilings, moved, opened
from minidiff.evaluate.retrieval import Ranked, ranked


def colours(images: Tensor) -> Tensor:
    """Small features that tell the tiny emoji apart: colours of 4 x 4 fields."""
    return F.adaptive_avg_pool2d(images, 4).flatten(1)


SEE = {"world-clip": colours, "world-judge": lambda images: colours(images).square()}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    return read_pairs(write_tiny_emoji(tmp_path_factory.mktemp("emoji")))


@pytest.fixture(scope="module")
def album(pairs: list[Pair]) -> Album:
    return Album(pairs, SEE)


# --- places -------------------------------------------------------------------------------------------------------------


def test_places_are_counted_by_scaled_distance() -> None:
    truth = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 100.0]])
    queries = torch.tensor([[0.9, 0.0], [3.0, 1.0]])
    found = ranked(queries, [0, 3], truth)  # the second is 1.98 deviations from its own; 0.77, 1.55, 2.32 from others
    assert found.rank.tolist() == [1, 2] and found.nearest.tolist() == [1, 2]
    other_units = torch.tensor([100.0, 0.01])
    assert ranked(queries * other_units, [0, 3], truth * other_units).rank.tolist() == [1, 2]


def test_shares_and_intervals() -> None:
    figures = Ranked(torch.tensor([0, 0, 3, 4, 5, 40]), torch.zeros(6)).figures()
    assert (figures["first"], figures["five"], figures["median_place"]) == (2 / 6, 4 / 6, 4.5)
    low, high = figures["five_interval"]  # type: ignore[misc]
    assert 0.15 < low < 4 / 6 < high <= 1


def test_a_true_image_is_its_own_nearest_and_is_looked_for_in_its_own_style(album: Album, pairs: list[Pair]) -> None:
    asked = some(pairs, "unseen", 99)
    row = album.find(Row(asked, opened(asked), [""] * len(asked)))
    for found in row.ranked.values():
        assert found.rank.tolist() == [0] * len(asked)
        assert [album.of_style[one.style][int(k)].code for one, k in zip(asked, found.nearest, strict=True)] == [
            one.code for one in asked
        ]
    shifted = asked[1:] + asked[:1]
    row = album.find(Row(shifted, opened(asked), [""] * len(asked)))
    assert row.figures()["world-clip"]["first"] < 0.2, "another emoji's image is not taken for it"
    strange = sum(not one.in_towers for one in asked)
    assert row.figures()["n"] == len(asked) and row.figures()["n_new_to_towers"] == strange


def test_a_concept_is_looked_up_in_the_next_style(album: Album, pairs: list[Pair]) -> None:
    for one in pairs[:8]:
        other = album.other_style(one)
        assert other.code == one.code and STYLES.index(other.style) == (STYLES.index(one.style) + 1) % 4


def test_a_moved_emoji_is_whole_on_another_backdrop(pairs: list[Pair]) -> None:
    one, other = pairs[0], pairs[40]
    image, backdrop = (np.asarray(Image.open(each.views[0].image)) for each in (one, other))
    places = set()
    for seed in range(8):
        small = F.interpolate(moved(one, other, random.Random(seed)), size=(32, 32), mode="area")[0]
        made = (small * 255).permute(1, 2, 0).numpy()
        inside = np.abs(made - image[10, 10]).max(-1) < 60
        places.add(tuple(np.argwhere(inside).mean(0).round().astype(int)))
        assert abs(inside.sum() - 12 * 20) < 30, "nothing of it is lost"
        assert np.abs(made[0, 0] - backdrop[0, 0]).max() < 2 < np.abs(image[0, 0].astype(int) - backdrop[0, 0]).max()
    assert len(places) > 1


def test_ceilings_ask_for_the_same_pairs(album: Album, pairs: list[Pair]) -> None:
    asked = some(pairs, "unseen", 6)

    class Blur:
        def parameters(self) -> object:
            return iter([torch.zeros(1)])

        def encode(self, images: Tensor) -> tuple[Tensor, None]:
            return F.avg_pool2d(images, 4), None

        def decode(self, z: Tensor) -> Tensor:
            return F.interpolate(z, scale_factor=4)

    rows = ceilings(album, asked, Blur())
    found = {name: album.find(row).figures()["world-clip"] for name, row in rows.items()}
    assert all(row.pairs == asked and row.images.shape == (6, 3, 128, 128) for row in rows.values())
    assert found["true, through the VAE"]["first"] == 1
    assert found["true, in another style"]["five"] > 0.3


# --- the networks that compare ------------------------------------------------------------------------------------------


def test_the_shipped_networks_see_the_same_in_an_image_alone_and_among_others() -> None:
    images = torch.rand(3, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    for name, see in retrieval.towers().items():
        all_three, alone = see(images), see(images[1:2])
        assert not all_three.requires_grad and len(all_three) == 3
        torch.testing.assert_close(all_three[1:2], alone, rtol=1e-3, atol=1e-4)
        if name == "world-clip":
            torch.testing.assert_close(all_three.norm(dim=1), torch.ones(3))
            clip = retrieval.load_clip()
            small = F.interpolate(images, size=(64, 64), mode="bilinear", antialias=True)
            torch.testing.assert_close(all_three, clip.embed_image(small * 2 - 1), rtol=1e-3, atol=1e-4)


# --- the command --------------------------------------------------------------------------------------------------------


def test_the_command_measures_every_scale_and_language(
    whole_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MINIDIFF_ZOO", str(whole_zoo))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(emoji, "towers", lambda: SEE)
    write_tiny_emoji(tmp_path / "emoji")
    asked: list[list[str]] = []
    generator = emoji.pipeline_generator

    def listening(pipeline: object, run: object, seed: int) -> object:
        generate = generator(pipeline, run, seed)  # type: ignore[arg-type]
        return lambda texts: asked.append(texts) or generate(texts)

    monkeypatch.setattr(emoji, "pipeline_generator", listening)
    with pytest.raises(SystemExit, match="0"):
        cli.main(["evaluate", "emoji", "emoji", "--model", "world-dit", "--pairs", "3", "--guidance-scale", "1", "3", "--steps",
                  "1", "--shown", "--json", "out.json"])  # fmt: skip
    figures, shown = json.loads(Path("out.json").read_text()), capsys.readouterr().out
    drawn = [f"drawn, {lang}, guidance {scale}" for scale in (1, 3) for lang in ("en", "vi")]
    known = [f"shown pairs, en, guidance {scale}" for scale in (1, 3)]
    assert list(figures["rows"])[:6] == drawn + known and len(figures["rows"]) == 9
    assert figures["chance"] == {"first": 1 / 20, "five": 5 / 20} and figures["run"]["concepts"] == 20
    assert all(row["n"] == 3 and set(row) >= {"world-clip", "world-judge"} for row in figures["rows"].values())
    pairs = read_pairs(Path("emoji"))
    unseen, familiar = some(pairs, "unseen", 3), some(pairs, "shown", 3)
    assert asked == [[one.prompt(lang) for one in unseen] for lang in ("en", "vi", "en", "vi")] + [
        [one.prompt("en") for one in familiar]
    ] * 2, "the model gets the prompts as they are"
    assert "by world-clip" in shown and "by world-judge" in shown and "chance" in shown
    width, height = Image.open("out.png").size
    assert width > 6 * 128 and height > 128


@pytest.mark.parametrize(
    ("options", "sentence"),
    [({"guidance_scale": (2.0, 99.0)}, "15"), ({"json": Path("a.txt")}, "is not a .json"), ({"pairs": 0}, "from 1"),
     ({"sampler": "magic"}, "sampler")],
)  # fmt: skip
def test_options_are_checked_before_anything_is_drawn(options: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        EmojiQualityRun(**options)


def test_a_folder_without_never_shown_pairs_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_emoji(tmp_path / "emoji", ("1f550",))
    with pytest.raises(ValueError, match="No emoji .* is kept from training"):
        emoji.evaluate(EmojiQualityRun(data=folder, json=tmp_path / "a.json"))
