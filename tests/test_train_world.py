"""From nothing to an image with tiny models: each trainer runs and leaves its result, and the next one builds on it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from minidiff.data import latent_cache
from minidiff.data.latent_cache import cached_latents
from minidiff.data.world.layout import layout
from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.scenes import COLOURS, RELATIONS, SHAPES, Group, Scene
from minidiff.models.dit import DiTConfig
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.request import Request
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pretrained import zoo
from minidiff.recipes import world, world_parts, world_vae
from minidiff.recipes.recipe import CaptionMix, Recipe, RecipeRun, Stage, run_recipe
from minidiff.train import clip, detector, pixels, vae, world_losses
from minidiff.train.options import TrainingError

TINY_DIT = Recipe(
    "world-dit", DiTConfig(sample_size=16, hidden_size=64, depth=2, heads=2), world.WorldLatents(validation=8),
    (Stage(2, 8, 1e-3, 64, seed=0, warmup=1, captions=CaptionMix(counts=0.3), aux=world.JOINT, text_trainable="all"),),
    token_layer=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """A zoo whose models saw two batches each, published one by one."""
    root = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIDIFF_ZOO", str(root / "zoo"))
        patch.setattr(world, "SHEET", world.SHEET[:2])
        patch.chdir(root)
        settings: dict[str, Any] = {"steps": 2, "warmup": 1, "workers": 0, "validate_every": 100, "publish": True}
        world_vae.train_vae(vae.VAERun(batch=4, channels=(8, 8, 8, 16), held=32, scenes=64, emoji=None, **settings))
        towers = {"batch": 8, "width": 64, "layers": 1, "vision_width": 64, "vision_layers": 1, "emoji": None}
        world_parts.train_clip(clip.CLIPRun(**towers, **settings))  # type: ignore[arg-type]
        run_recipe(TINY_DIT, RecipeRun(out=Path("runs/world-dit"), workers=0, publish=True))
        yield root


def test_each_trainer_leaves_weights_figures_and_images(trained: Path) -> None:
    rows = zoo.manifest()
    assert set(rows) == {"tokenizer", "world-vae", "world-clip", "world-dit"}
    assert {"psnr", "ssim"} <= set(rows["world-vae"]["figures"])
    assert {"en_to_image", "vi_to_image", "vi_unaccented_to_image", "en_to_vi"} <= set(rows["world-clip"]["figures"])
    assert "loss" in rows["world-dit"]["figures"] and rows["world-dit"]["images_seen"] == 16
    for name, images in (("world-vae", "reconstructions-*.png"), ("world-dit/stage-1", "samples-*.png")):
        assert list((trained / "runs" / name).glob(images))
    assert set(zoo.manifest(trained / "runs/world-clip")) == {"tokenizer", "world-clip"}
    folders = [trained / "runs" / name for name in ("world-vae", "world-clip", "world-dit")]
    assert zoo.table()[1] and all(zoo.table(folder)[1] for folder in folders)


def test_training_leaves_the_zoo_alone_unless_it_is_told_to_publish(trained: Path, tmp_path: Path) -> None:
    before = zoo.manifest()
    small = {"batch": 4, "channels": (8, 8, 8, 16), "held": 32, "scenes": 64, "emoji": None}
    world_vae.train_vae(vae.VAERun(**small, steps=2, workers=0, out=tmp_path / "run"))
    assert zoo.manifest() == before
    assert zoo.entry("world-vae", tmp_path / "run")["recipe"].startswith("minidiff train world-vae")


def test_a_decoder_can_go_on_alone_and_latents_stay_what_they_are(trained: Path, tmp_path: Path) -> None:
    small: dict[str, Any] = {"batch": 4, "channels": (8, 8, 8, 16), "held": 32, "scenes": 64, "emoji": None, "workers": 0}
    run = vae.VAERun(**small, steps=2, warmup=1, start="world-vae", freeze_encoder=True, out=tmp_path / "run")
    world_vae.train_vae(run)
    before, after = (zoo.load("world-vae", root)[1] for root in (None, tmp_path / "run"))
    kept = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if name.startswith(("encoder.", "quant_conv."))} <= kept
    assert "decoder.conv_out.weight" not in kept
    with pytest.raises(TrainingError, match="--freeze-encoder needs --start"):
        vae.VAERun(freeze_encoder=True)


def test_the_trained_pipeline_samples_and_unknown_words_are_known(trained: Path) -> None:
    pipeline = load_pipeline("world-dit", "cpu", root=trained / "zoo")
    assert isinstance(pipeline, TextToImage)
    assert pipeline(Request("một ngôi sao đỏ", steps=2))[0].size == (128, 128)
    assert pipeline.tokenizer.unknown_words("một ngôi sao đỏ rực rỡ") == ["rỡ"]


def test_the_tokenizer_is_made_once(trained: Path) -> None:
    assert world.world_tokenizer().vocab_size == world.world_tokenizer(trained / "elsewhere").vocab_size
    assert not (trained / "elsewhere").exists()


# --- the latent cache -----------------------------------------------------------------------------------------------


def test_cached_latents_are_normalised_and_made_once(trained: Path) -> None:
    data = world.WorldLatents()
    first = data.latents(64)
    stamps = {path: path.stat().st_mtime_ns for path in Path("runs/latents").rglob("*.npy")}
    assert first.shape == (64, 4, 16, 16) and abs(float(first.astype("float32").std()) - 1) < 0.5
    assert (data.latents(64) == first).all()
    assert stamps == {path: path.stat().st_mtime_ns for path in Path("runs/latents").rglob("*.npy")}


class Encoder:
    """The mean of each image as its latent; counts the images."""

    def __init__(self) -> None:
        self.images = 0

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.images += len(images)
        return images.mean((1, 2))[:, :, None, None].astype(np.float16)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latent_cache, "CHUNK", 8)


SHARED = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
import test_train_world as t
t.latent_cache.CHUNK = 8
encoder = t.Encoder()
latents = t.cached_latents(36, "train", lambda: encoder, "mean", Path({folder!r}), size=32)
print(encoder.images, len(latents), latents.astype(float).sum())
"""


def test_processes_share_the_encoding_and_all_get_everything(tmp_path: Path, small_chunks: None) -> None:
    import os

    code = SHARED.format(tests=str(Path(__file__).parent), folder=str(tmp_path / "shared"))
    places = [{**os.environ, "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2"} for rank in (0, 1)]
    running = [subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True) for env in places]
    alone = Encoder()
    whole = cached_latents(36, "train", lambda: alone, "mean", tmp_path / "alone", size=32, place=(0, 1))
    told = [process.communicate(timeout=150)[0].split() for process in running]
    assert [int(numbers[0]) for numbers in told] == [8 + 8 + 4, 8 + 8] and alone.images == 36
    assert {(int(count), float(total)) for _, count, total in told} == {(36, float(whole.astype(float).sum()))}


def test_a_damaged_chunk_is_made_again(tmp_path: Path, small_chunks: None) -> None:
    def latents() -> tuple[np.ndarray, int]:
        encoder = Encoder()
        return cached_latents(20, "train", lambda: encoder, "mean", tmp_path, size=32), encoder.images

    first, _ = latents()
    paths = sorted(tmp_path.rglob("*.npy"))
    for path, damage in zip(paths, (b"", b"text", paths[2].read_bytes()[:-1]), strict=True):
        path.write_bytes(damage)
        again, images = latents()
        assert (again == first).all() and images in (4, 8)
    assert latents()[1] == 0


# --- the world's losses ---------------------------------------------------------------------------------------------


def test_right_answers_have_no_loss_and_a_swapped_colour_has() -> None:
    claims = [Scene("night", (Group("star", "red"), Group("house", "blue")), "left")]
    swapped = [Scene("night", (Group("star", "blue"), Group("house", "red")), "left")]
    truth = world_losses.answers(claims)
    sure = {k: 50 * torch.nn.functional.one_hot(v.clamp(min=0), 12).float() for k, v in truth.items()}
    loss, shares = world_losses.question_loss(sure, truth)
    assert loss < 1e-6 and shares["question_colour"] == 1 and shares["question_relation"] == 1
    loss, shares = world_losses.question_loss(sure, world_losses.answers(swapped))
    assert loss > 1 and shares["question_colour"] == 0


def test_emoji_come_in_their_share_with_their_names_and_no_questions(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "train"
    (folder / "images").mkdir(parents=True)
    Image.new("RGB", (128, 128), (0, 255, 0)).save(folder / "images" / "fox.png")
    row = {"file_name": "images/fox.png", "text": "a fox, flat style", "text_vi": "hình con cáo, kiểu phẳng"}
    (folder / "metadata.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    options: dict[str, Any] = {"batch": 8, "width": 64, "layers": 1, "vision_width": 64, "vision_layers": 1}
    task = clip.CLIPTask(clip.CLIPRun(**options, emoji=tmp_path, emoji_share=0.5), world.world_tokenizer())
    batch = task.make_batch(0, 64, 0)
    green = (batch["images"] == torch.tensor([-1.0, 1.0, -1.0])[:, None, None]).flatten(1).all(1)
    assert 20 <= green.sum() <= 44
    texts = {task.tokenizer.decode(ids) for ids, one in zip(batch["ids"].tolist(), green.tolist(), strict=True) if one}
    assert texts == {"a fox, flat style", "hình con cáo, kiểu phẳng", "hinh con cao, kieu phang"}
    ignored = batch["setting"] == world_losses.IGNORED
    assert torch.equal(ignored, green) and (batch["count"][green] == world_losses.IGNORED).all()


def test_a_relation_belongs_to_its_subject() -> None:
    """"star left of house": the pair (star, house) is "left", and (house, star) is "right"."""
    truth = world_losses.answers([Scene(None, (Group("star"), Group("house")), "left")])["relation"][0]
    star, house = SHAPES.index("star"), SHAPES.index("house")
    assert truth[star, house] == world_losses.label(RELATIONS, "left")
    assert truth[house, star] == world_losses.label(RELATIONS, "right")
    assert (truth != world_losses.IGNORED).sum() == 2


def test_token_labels_find_each_thing_at_its_place() -> None:
    for scene in (scene_at(k, "judge") for k in range(50)):
        truth = world_losses.token_labels([scene], grid=16)
        kinds, colours = truth["kind"].view(16, 16), truth["colour"].view(16, 16)
        for thing in layout(scene):
            group, at = scene.groups[thing.group], (min(15, int(thing.y * 16)), min(15, int(thing.x * 16)))
            assert kinds[at] == SHAPES.index(group.kind) + 1
            assert group.colour is not None and colours[at] == COLOURS.index(group.colour) + 1
        assert ((truth["kind"] == 0) == (truth["colour"] == 0)).all()


def test_the_head_says_which_share_of_the_things_has_the_right_colour() -> None:
    head, truth = world_losses.TokenLabelHead(8), world_losses.token_labels([scene_at(0), scene_at(1)])
    with torch.no_grad():
        head.heads["colour"].weight.zero_()
        head.heads["colour"].bias.copy_(torch.nn.functional.one_hot(torch.tensor(3), len(COLOURS) + 1).float())
    _, shares = head(torch.randn(2, 64, 8), truth)
    things = truth["colour"][truth["colour"] > 0]
    assert float(shares["label_colour"]) == pytest.approx(float((things == 3).float().mean()))


def test_a_clip_without_questions_learns_by_contrast_alone(trained: Path) -> None:
    options = {"batch": 8, "width": 64, "layers": 1, "vision_width": 64, "vision_layers": 1}
    from minidiff.train.loop import Step

    for questions in (0.0, 1.0):
        task = clip.CLIPTask(clip.CLIPRun(**options, questions=questions, emoji=None), world.world_tokenizer())  # type: ignore[arg-type]
        loss, figures = task(task.make_batch(0, 8, 0), Step(0, torch.Generator()))
        loss.backward()
        assert (float(loss.detach()) > float(figures["contrast"].detach())) == (questions > 0)
        assert not any(p.requires_grad and p.grad is None for p in task.parameters())


# --- options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "options", "message"),
    [
        (vae.VAERun, {"groups": 0}, "groups is 0"), (vae.VAERun, {"size": 0}, "size is 0"),
        (vae.VAERun, {"whole": 5.0}, "whole is 5"),
        (vae.VAERun, {"channels": (16, 32)}, "four multiples"), (vae.VAERun, {"groups": 7}, "multiples of --groups 7"),
        (vae.VAERun, {"crop": 256}, "the crop not the larger"), (vae.VAERun, {"kl": float("nan")}, "kl is nan"),
        (vae.VAERun, {"held": 0}, "held is 0"), (vae.VAERun, {"size": 100}, "multiples of 8"),
        (clip.CLIPRun, {"width": 100}, "multiples of 64"), (clip.CLIPRun, {"patch": 0}, "patch is 0"),
        (clip.CLIPRun, {"size": 65}, "a multiple of --patch"), (clip.CLIPRun, {"questions": -1.0}, "questions is -1"),
        (clip.CLIPRun, {"layers": 0}, "layers is 0"), (pixels.PixelsRun, {"groups": 0}, "groups is 0"),
        (pixels.PixelsRun, {"channels": (32,)}, "levels alike"), (pixels.PixelsRun, {"dropout": 1.5}, "dropout is 1.5"),
        (pixels.PixelsRun, {"groups": 5}, "multiples of --groups 5"), (pixels.PixelsRun, {"images": 0}, "images is 0"),
        (pixels.PixelsRun, {"head_dim": 48}, "--head-dim 48"), (pixels.PixelsRun, {"guidance": -1.0}, "guidance is -1"),
        (pixels.PixelsRun, {"schedule": "line"}, "schedule is 'line'"), (detector.JudgeRun, {"chance": 2.0}, "chance is 2"),
        (detector.JudgeRun, {"channels": 0}, "channels is 0"), (detector.JudgeRun, {"tested": 0}, "tested is 0"),
        (detector.JudgeRun, {"depth": -3}, "depth is -3"),
    ],
)  # fmt: skip
def test_options_out_of_range_are_one_sentence(run: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message) as refused:
        replace(run(), **options)
    assert "\n" not in str(refused.value)
