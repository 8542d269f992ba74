"""The VAE's training: losses that look at things, a discriminator that joins late, images kept on disk."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from minidiff.data.labelled import Labelled, keep_images, kept_world, world_pair
from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import Render, render
from minidiff.evaluate.reconstruction import masked_psnr, thing_figures
from minidiff.models.clip import VisionConfig, VisionTransformer
from minidiff.recipes.world_vae import vae_validators
from minidiff.train.loop import Step, fit
from minidiff.train.optim import build_optimizers
from minidiff.train.patch_discriminator import PatchDiscriminator, adaptive_weight, discriminator_loss, generator_loss
from minidiff.train.perceptual import ImageTower
from minidiff.train.vae import VAERun, VAETask, crop_round_a_thing
from minidiff.train.vae_losses import details, normalised, pixel_weights, reconstruction_loss, shrink_alike, sobel

# --- losses ---------------------------------------------------------------------------------------------------------


def test_things_and_their_edges_weigh_five_times_as_much_as_the_backdrop() -> None:
    things = torch.zeros(1, 20, 20)
    things[0, 8:12, 8:12] = 3
    weights = pixel_weights(things, extra=4, reach=2)[0, 0]
    torch.testing.assert_close(weights / weights[0, 0], 1 + 4 * (nn.functional.pad(torch.ones(8, 8), (6, 6, 6, 6))))


def test_every_image_counts_alike() -> None:
    things = torch.zeros(3, 16, 16)
    things[1, :8], things[2] = 1, 1
    torch.testing.assert_close(pixel_weights(things).mean(dim=(1, 2, 3)), torch.ones(3))


def test_details_are_where_things_differ_inside_not_at_their_edges() -> None:
    image, things = torch.full((1, 3, 32, 32), -1.0), torch.zeros(1, 32, 32)
    image[..., 4:28, 4:28], things[:, 4:28, 4:28] = 1, 1                                    # a bright thing
    image[..., 15:17, 15:17] = -1                                                           # with a dark eye
    found = details(image, things, reach=2)[0, 0]
    assert (found[14:18, 14:18] == 1).all() and found[8:13, 8:24].max() < 0.2
    assert (found[:6] == 0).all() and (found[:, 26:] == 0).all()
    assert details(torch.ones(1, 3, 32, 32), things).max() == 0


def test_weights_keep_a_mean_of_one() -> None:
    torch.testing.assert_close(normalised(torch.rand(3, 1, 8, 8) + 1).mean(dim=(1, 2, 3)), torch.ones(3))


def test_details_count_in_crops_and_in_whole_images(cache: Path) -> None:
    losses = {}
    for weight in (0.0, 20.0):
        task = VAETask(tiny(cache, whole=0.25, details=weight))
        batches = [task.make_batch(index, 4, 0) for index in (0, 7)]
        losses[weight] = [float(task(batch, Step(0, torch.Generator().manual_seed(0)))[0].detach()) for batch in batches]
    assert all(plain != weighed for plain, weighed in zip(losses[0.0], losses[20.0], strict=True))


def test_sobel_is_scipys_and_a_step_counts_as_one() -> None:
    image = torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    found = sobel(image).reshape(2, 3, 2, 9, 9)
    for axis, part in ((-1, 0), (-2, 1)):
        planes = [ndimage.sobel(plane.double().numpy(), axis=axis, mode="nearest") for plane in image.flatten(0, 1)]
        expected = torch.from_numpy(np.stack(planes)).float().reshape(2, 3, 9, 9) / 4
        torch.testing.assert_close(found[:, :, part], expected)
    step = torch.cat([torch.zeros(1, 1, 6, 3), torch.ones(1, 1, 6, 3)], dim=-1)
    assert sobel(step)[0, 0].max() == 1 and sobel(step)[0, 1].abs().max() == 0


def test_the_loss_is_what_it_says() -> None:
    target, weights = torch.zeros(1, 3, 8, 8), torch.ones(1, 1, 8, 8)
    assert reconstruction_loss(target, target, weights) == 0
    torch.testing.assert_close(reconstruction_loss(target + 0.5, target, weights), torch.tensor(0.5 + 2 * 0.25))
    edge = torch.cat([torch.zeros(1, 3, 8, 4), torch.ones(1, 3, 8, 4)], dim=-1)             # Sobel: 1 in 2 of 8 columns
    torch.testing.assert_close(reconstruction_loss(edge, target, weights, edges=8.0), torch.tensor(0.5 + 2 * 0.5 + 8 * 0.125))


def test_an_error_on_a_thing_costs_more_than_one_on_the_backdrop() -> None:
    things = torch.zeros(1, 16, 16)
    things[0, 2:6, 2:6] = 1
    on, off = torch.zeros(2, 1, 3, 16, 16)
    on[..., 3:5, 3:5], off[..., 11:13, 11:13] = 1, 1
    losses = [reconstruction_loss(error, torch.zeros(1, 3, 16, 16), pixel_weights(things)) for error in (on, off)]
    torch.testing.assert_close(losses[0], 5 * losses[1])


def test_latents_and_images_shrink_alike() -> None:
    latent, image, things = torch.full((2, 4, 16, 16), 3.0), torch.full((2, 3, 128, 128), 0.5), torch.ones(2, 128, 128)
    sizes = set()
    for seed in range(20):
        small, target, fewer = shrink_alike(latent, image, things, random.Random(seed), share=1.0)
        assert target.shape[-1] == fewer.shape[-1] == 8 * small.shape[-1] and len(fewer) == 2
        assert (small == 3).all() and torch.allclose(target, torch.tensor(0.5)) and (fewer == 1).all()
        sizes.add(small.shape[-1])
    assert sizes == {8, 12}
    assert shrink_alike(latent, image, things, random.Random(0), share=0.0)[0] is latent
    shrunk = [shrink_alike(latent, image, things, random.Random(k), share=0.5)[0].shape[-1] < 16 for k in range(200)]
    assert 70 < sum(shrunk) < 130


# --- the discriminator ----------------------------------------------------------------------------------------------


def test_a_logit_sees_34_pixels() -> None:
    torch.manual_seed(0)
    judge = PatchDiscriminator()
    judge.norm2, judge.norm3 = nn.Identity(), nn.Identity()                                 # a norm sees everything
    image = torch.randn(1, 3, 128, 128, requires_grad=True)
    logits = judge(image)
    logits[0, 0, 15, 15].backward()
    assert image.grad is not None
    rows = image.grad.abs().sum(dim=(0, 1, 3)).nonzero()
    assert int(rows.max() - rows.min()) + 1 == 34


def test_hinge_loss_asks_for_a_margin_of_one() -> None:
    assert discriminator_loss(torch.tensor([1.0, 3.0]), torch.tensor([-1.0, -9.0])) == 0
    torch.testing.assert_close(discriminator_loss(torch.tensor([0.0]), torch.tensor([0.5])), torch.tensor(0.5 * (1 + 1.5)))


def test_each_side_learns_only_from_its_own_loss() -> None:
    torch.manual_seed(0)
    judge, output = PatchDiscriminator(), torch.randn(1, 3, 32, 32, requires_grad=True)
    generator_loss(judge, output).backward()
    assert output.grad is not None and output.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in judge.parameters())
    torch.testing.assert_close(generator_loss(judge, output), -judge(output).mean())


def test_the_adversarial_part_pulls_half_as_hard_and_no_harder_than_allowed() -> None:
    last = torch.tensor([3.0, 4.0], requires_grad=True)
    reconstruction, adversarial = 2 * last.square().sum(), last.square().sum()
    torch.testing.assert_close(adaptive_weight(reconstruction, adversarial, last, most=9), torch.tensor(1.0), rtol=1e-4, atol=0)
    assert adaptive_weight(100 * reconstruction, adversarial, last, most=1.5) == 1.5


def test_muon_leaves_the_discriminator_to_adamw() -> None:
    layers = nn.ModuleDict({"discriminator": PatchDiscriminator(), "decoder": nn.Linear(4, 4)})
    _, *muons = build_optimizers(layers, "muon", 1e-3, 0.0)
    assert [p.shape for muon in muons for group in muon.param_groups for p in group["params"]] == [(4, 4)]


# --- the tower ------------------------------------------------------------------------------------------------------


def test_the_tower_tells_images_apart_and_learns_nothing() -> None:
    torch.manual_seed(0)
    config = VisionConfig(image_size=32, patch_size=16, hidden_size=32, layers=2, heads=2, intermediate=64, projection_dim=32)
    tower = ImageTower(VisionTransformer(config))
    for weight in tower.vision.parameters():
        nn.init.normal_(weight, std=0.2)
    image, output = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64, requires_grad=True)
    assert abs(float(tower.distance(image, image))) < 1e-6
    near = tower.distance(0.9 * image + 0.1 * output, image)
    far = tower.distance(output, image)
    assert 0 < near < far
    far.backward()
    assert output.grad is not None and all(weight.grad is None for weight in tower.vision.parameters())


# --- images kept on disk --------------------------------------------------------------------------------------------


def test_things_are_told_apart_as_the_masks_say() -> None:
    image, things = world_pair(5, "test")
    drawn = render(scene_at(5, "test"), 128, masks=True)
    assert (image == drawn.image).all() and set(np.unique(things)) == set(range(len(drawn.masks) + 1))
    assert ((things > 0) == (drawn.masks > 127).any(0)).all()


def test_images_are_drawn_once(tmp_path: Path) -> None:
    calls = []

    def make(index: int):  # type: ignore[no-untyped-def]
        calls.append(index)
        return np.full((4, 4, 3), index % 256, np.uint8), np.full((4, 4), index % 7, np.uint8)

    first = keep_images(tmp_path, "numbers", 1030, make)
    again = keep_images(tmp_path, "numbers", 1030, make)
    assert calls == list(range(1030)) and len(first) == len(again) == 1030
    for index in (0, 1023, 1024, 1029):
        image, things = again[index]
        assert (image == index % 256).all() and (things == index % 7).all()


def test_a_stopped_drawing_goes_on(tmp_path: Path) -> None:
    def broken(index: int):  # type: ignore[no-untyped-def]
        if index == 1024:
            raise KeyboardInterrupt
        return np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)

    with pytest.raises(KeyboardInterrupt):
        keep_images(tmp_path, "numbers", 1030, broken)
    calls = []
    keep_images(tmp_path, "numbers", 1030, lambda k: (calls.append(k), world_pair(k, size=32))[1])
    assert calls == list(range(1024, 1030)) and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("seed", range(5))
def test_crops_lie_inside_and_hold_a_part_of_a_thing(seed: int) -> None:
    rng = random.Random(seed)
    for index in range(20):
        image, things = world_pair(index)
        part, of_it = crop_round_a_thing(image, things, 64, rng)
        assert part.shape == (64, 64, 3) and of_it.shape == (64, 64) and of_it.any()


# --- figures --------------------------------------------------------------------------------------------------------


def test_masked_psnr_counts_only_what_the_mask_covers() -> None:
    image, output, mask = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), bool)
    output[0, 0], mask[0, 0] = 51, True                                                     # an error of 0.2
    assert math.isclose(masked_psnr(image, output, mask), -20 * math.log10(0.2))
    assert masked_psnr(image, output, ~mask) == 100 and math.isnan(masked_psnr(image, output, np.zeros((4, 4), bool)))


def test_small_dark_and_edge_things_are_counted_by_themselves() -> None:
    scenes = [scene_at(k, "test") for k in range(40)]
    drawn = [render(scene, masks=True) for scene in scenes]
    small = [g for scene, one in zip(scenes, drawn, strict=True) for g in one.group if scene.groups[g].size == "small"]

    def spoiled(one: Render, which: np.ndarray) -> np.ndarray:
        """The image with an error of 0.1 on the things that are asked for."""
        mask = (one.masks[which] > 127).any(0)
        return np.where(mask[..., None], np.where(one.image > 128, one.image - 25, one.image + 25), one.image).astype(np.uint8)

    pairs = zip(scenes, drawn, strict=True)
    of_small = [spoiled(d, np.array([s.groups[g].size == "small" for g in d.group])) for s, d in pairs]
    figures = thing_figures(scenes, drawn, np.stack(of_small))
    assert small and abs(figures["psnr_small"] + 20 * math.log10(25 / 255)) < 0.01
    assert figures["psnr_inside"] > figures["psnr_small"] + 1
    dark = [spoiled(d, np.array([d.image[m > 127].mean() < 70 for m in d.masks])) for d in drawn]
    figures = thing_figures(scenes, drawn, np.stack(dark))
    assert abs(figures["psnr_dark"] + 20 * math.log10(25 / 255)) < 0.01
    assert figures["psnr_edge"] > figures["psnr_dark"] + 1


# --- the run --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    kept_world(folder, 32)
    return folder


def tiny(cache: Path, **options) -> VAERun:  # type: ignore[no-untyped-def]
    settings = {"steps": 8, "batch": 4, "channels": (8, 8, 8, 16), "scenes": 32, "emoji": None, "cache": cache, "held": 64}
    return VAERun(**(settings | options))


@pytest.mark.parametrize("processes", [1, 2])
def test_the_last_part_of_the_steps_sees_whole_images(cache: Path, processes: int) -> None:
    task = VAETask(tiny(cache, whole=0.25))
    task.processes = processes                                          # batches are numbered through all of them
    shapes = [tuple(task.make_batch(index, 4, 0)["images"].shape) for index in range(8 * processes)]
    assert shapes == [(4, 3, 64, 64)] * 6 * processes + [(1, 3, 128, 128)] * 2 * processes


def test_a_batch_is_always_the_same_and_things_are_turned_with_their_image(cache: Path) -> None:
    task = VAETask(tiny(cache, whole=1.0))
    first, again = (task.make_batch(3, 64, 0) for _ in range(2))
    assert torch.equal(first["images"], again["images"])
    known = {}
    for k in range(32):
        image, things = task.world[k]
        for flip in (1, -1):
            known[image[:, ::flip].tobytes()] = things[:, ::flip]
    for image, things in zip(first["images"], first["things"], strict=True):
        pixels = ((image + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        assert (known[pixels.tobytes()] == things.numpy()).all()


def test_emoji_come_as_often_as_asked(cache: Path) -> None:
    task = VAETask(tiny(cache, whole=1.0, emoji_share=0.25))
    white = np.full((1, 128, 128, 3), 255, np.uint8), np.ones((1, 128, 128), np.uint8)
    task.emoji = Labelled([white])
    batches = [task.make_batch(k, 64, 0)["images"] for k in range(20)]
    share = float((torch.cat(batches) == 1).all(dim=(1, 2, 3)).float().mean())
    assert 0.17 < share < 0.33


def test_the_discriminator_joins_in_the_last_part_only(cache: Path) -> None:
    task = VAETask(tiny(cache, adversarial=0.25, perceptual=0.0))
    batch = task.make_batch(0, 4, 0)
    for step, playing in ((5, False), (6, True)):
        task.zero_grad()
        loss, figures = task(batch, Step(step, torch.Generator().manual_seed(0)))
        loss.backward()
        assert ("gan" in figures) == playing
        gradients = [weight.grad for weight in task.discriminator.parameters()]
        assert all(grad is not None and bool(grad.any()) == playing for grad in gradients)  # processes wait for every one
        assert task.vae.encoder.conv_in.weight.grad is not None


def test_it_learns(cache: Path, tmp_path: Path) -> None:
    config = tiny(cache, steps=40, channels=(8, 16, 16, 32), lr=1e-2, warmup=5, whole=0.0, out=tmp_path, validate_every=100)
    task = VAETask(config)
    batch = task.make_batch(100, 8, 0)

    def mistake() -> float:
        with torch.no_grad():
            return float(task(batch, Step(0, torch.Generator().manual_seed(0)))[1]["mse"])

    before = mistake()
    figures = fit(task, config, vae_validators(task, "validation", 8)).figures
    assert mistake() < 0.75 * before
    assert {"psnr", "ssim", "psnr_inside", "psnr_small", "psnr_dark", "psnr_edge"} == set(figures)
    assert list(tmp_path.glob("reconstructions-*.png"))
