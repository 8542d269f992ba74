"""From nothing to a picture with tiny models: each trainer runs, puts its result into a zoo, and the next one builds on it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from minidiff.data.latent_cache import cached_latents
from minidiff.data.world.scenes import Group, Scene, layout, scene_at
from minidiff.pipelines.request import Request
from minidiff.pipelines.text_to_image import TextToImage, load_pipeline
from minidiff.pretrained import zoo
from minidiff.train import caption_questions, clip, dit, token_labels, vae
from minidiff.train.loop import TrainingError


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """A zoo whose models saw two batches each."""
    root = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIDIFF_ZOO", str(root / "zoo"))
        patch.chdir(root)
        settings: dict = {"steps": 2, "warmup": 1, "workers": 0, "validate_every": 100}
        vae.train(vae.VAERun(batch=4, channels=(8, 8, 8, 16), held=32, scenes=64, emoji=None, **settings))
        clip.train(clip.CLIPRun(batch=8, width=64, layers=1, vision_width=64, vision_layers=1, **settings))
        dit.train(dit.DiTRun(batch=8, scenes=64, hidden_size=64, depth=2, heads=2, seeing_block=1, sides=0.3, **settings))
        yield root


def test_each_trainer_leaves_weights_figures_and_pictures(trained: Path) -> None:
    rows = zoo.manifest()
    assert set(rows) == {"tokenizer", "world-vae", "world-clip", "world-dit"}
    assert {"psnr", "ssim"} <= set(rows["world-vae"]["figures"])
    assert {"en_to_image", "vi_to_image", "vi_unaccented_to_image", "en_to_vi"} <= set(rows["world-clip"]["figures"])
    assert "loss" in rows["world-dit"]["figures"] and rows["world-dit"]["images_seen"] == 16
    assert list((trained / "runs/world-dit").glob("samples-*.png"))
    assert zoo.table()[1]


def test_the_trained_pipeline_draws_and_unknown_words_are_known(trained: Path) -> None:
    pipeline = load_pipeline("world-dit", "cpu", root=trained / "zoo")
    assert isinstance(pipeline, TextToImage)
    assert pipeline(Request("một ngôi sao đỏ", steps=2))[0].size == (128, 128)
    assert pipeline.tokenizer.unknown_words("một ngôi sao đỏ rực rỡ") == ["rực", "rỡ"]


def test_cached_latents_are_normalised_and_made_once(trained: Path) -> None:
    first = cached_latents(64)
    stamps = {path: path.stat().st_mtime_ns for path in Path("runs/latents").rglob("*.npy")}
    assert first.shape == (64, 4, 16, 16) and abs(float(first.astype("float32").std()) - 1) < 0.5
    assert (cached_latents(64) == first).all()
    assert stamps == {path: path.stat().st_mtime_ns for path in Path("runs/latents").rglob("*.npy")}


@pytest.mark.parametrize("mode, share", [("frozen", 0.0), ("last", 0.2), ("joint", 0.7)])
def test_the_text_tower_learns_as_far_as_it_is_told(trained: Path, mode: str, share: float) -> None:
    run = dit.DiTRun(text=mode, scenes=64, hidden_size=64, depth=2, heads=2, seeing_block=1)
    weights = list(dit.DiTTask(run).text.parameters())
    learning = sum(p.numel() for p in weights if p.requires_grad) / sum(p.numel() for p in weights)
    assert (learning == 0) if share == 0 else learning >= share


def test_an_unknown_text_mode_is_refused(trained: Path) -> None:
    with pytest.raises(TrainingError, match="joint, last, frozen"):
        dit.DiTTask(dit.DiTRun(text="half"))


def test_a_perfect_reader_has_no_loss_and_a_swapped_colour_has() -> None:
    claims = [Scene("night", (Group("star", "red"), Group("house", "blue")), "left")]
    swapped = [Scene("night", (Group("star", "blue"), Group("house", "red")), "left")]
    truth = caption_questions.answers(claims)
    sure = {k: 50 * torch.nn.functional.one_hot(v.clamp(min=0), 12).float() for k, v in truth.items()}
    loss, shares = caption_questions.reading_loss(sure, truth)
    assert loss < 1e-6 and shares["read_colour"] == 1 and shares["read_relation"] == 1
    loss, shares = caption_questions.reading_loss(sure, caption_questions.answers(swapped))
    assert loss > 1 and shares["read_colour"] == 0


def test_a_relation_is_read_from_its_subject() -> None:
    """"star left of house": the pair (star, house) is "left", and (house, star) is unsaid."""
    truth = caption_questions.answers([Scene(None, (Group("star"), Group("house")), "left")])["relation"][0]
    star, house = caption_questions.SHAPES.index("star"), caption_questions.KINDS.index("house")
    assert truth[star, house] == caption_questions.label(caption_questions.RELATIONS, "left") and truth[house, star] == caption_questions.UNSAID
    assert (truth != caption_questions.IGNORED).sum() == 2


def test_token_truth_finds_each_thing_at_its_place() -> None:
    for scene in (scene_at(k, "judge") for k in range(50)):
        truth = token_labels.token_truth([scene], grid=16)
        kinds = truth["kind"].view(16, 16)
        for thing in layout(scene):
            expected = token_labels.KINDS.index(scene.groups[thing.group].kind) + 1
            assert kinds[min(15, int(thing.y * 16)), min(15, int(thing.x * 16))] == expected
        assert ((truth["kind"] == 0) == (truth["colour"] == 0)).all()


def test_training_goes_on_from_shipped_weights_of_the_same_shape(trained: Path) -> None:
    shape: dict = {"scenes": 64, "hidden_size": 64, "depth": 2, "heads": 2, "seeing_block": 1, "start": "world-dit"}
    task = dit.DiTTask(dit.DiTRun(**shape))
    _, state = zoo.load("world-dit")
    torch.testing.assert_close(task.dit.proj_out.weight.detach(), state["dit.proj_out.weight"])
    with pytest.raises(TrainingError, match="another shape"):
        dit.DiTTask(dit.DiTRun(**{**shape, "depth": 1, "seeing_block": 0}))
