"""`world-vae`: its trainer with the measures by which it is watched."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import render
from minidiff.evaluate.reconstruction import reconstruct, reconstruction_figures, thing_figures
from minidiff.train import vae
from minidiff.train.loop import Validator
from minidiff.utils.images import contact_sheet


def vae_validators(task: vae.VAETask, split: str, count: int) -> list[Validator]:
    """PSNR and SSIM on `count` scenes of a split and inside their things, and on emoji kept from training where there are any;
    images and reconstructions go onto sheets."""
    config = task.config

    def sheet(folder: Path, name: str, images: np.ndarray, output: np.ndarray) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        contact_sheet(np.concatenate([images[:8], output[:8]]), 8).save(folder / f"{name}.png")

    def of_scenes(folder: Path, step: int) -> dict[str, float]:
        scenes = [scene_at(k, split) for k in range(count)]
        drawn = [render(scene, config.size, masks=True) for scene in scenes]
        images = np.stack([one.image for one in drawn])
        output = reconstruct(task.vae, images)
        sheet(folder, f"reconstructions-{step:06d}", images, output)
        return reconstruction_figures(images, output) | thing_figures(scenes, drawn, output)

    def of_emoji(folder: Path, step: int) -> dict[str, float]:
        if config.emoji is None:
            return {}
        kept = vae.kept_emoji(config.emoji, config.cache, "test", config.size)
        images = np.stack([kept[k * len(kept) // count][0] for k in range(min(count, len(kept)))])
        output = reconstruct(task.vae, images)
        sheet(folder, f"emoji-{step:06d}", images, output)
        return {f"{name}_emoji": value for name, value in reconstruction_figures(images, output).items()}

    return [of_scenes, of_emoji]


def train_vae(config: vae.VAERun) -> None:
    vae.train(config, vae_validators)
