"""How good is the upscaler? `minidiff evaluate upscaler` makes held-out pictures small, lets it enlarge them, and compares them
with what they were, beside bicubic interpolation.

PSNR asks for right pixels, and rewards blur where they are uncertain; PD-mini asks whether a network sees the same. It is taken
with two networks of ours, the layers of world-clip's image tower on squares of 64 pixels and world-judge's maps on squares of
128, neither of which the upscaler learnt from. Beside both stands the true picture through the VAE: no upscaler that works on
latents can do better than that. What it is not: LPIPS, whose name stands for fixed weights, or a benchmark of real pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from minidiff.data.emoji.prepare import read_prepared
from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import render
from minidiff.evaluate.judge import feature_maps, load_judge
from minidiff.evaluate.metrics import bootstrap_interval, perceptual_distance, psnr
from minidiff.evaluate.reconstruction import reconstruct
from minidiff.evaluate.report import save_json, table
from minidiff.evaluate.retrieval import load_clip
from minidiff.models.clip import CLIP
from minidiff.models.upscaler import FACTORS, bicubic, shrunk
from minidiff.models.vae import VAE
from minidiff.pipelines.upscale import enlarged, load_upscaler
from minidiff.pretrained import zoo
from minidiff.pretrained.configs import build_model
from minidiff.utils.images import contact_sheet, to_images, to_tensor
from minidiff.utils.validation import Between, check

Enlarge = Callable[[Tensor, int], Tensor]  # (low (B, 3, h, w) in -1..1, factor) -> (B, 3, factor h, factor w)
Extractor = Callable[[Tensor], list[Tensor]]  # images (B, 3, H, W) in -1..1 -> maps (N, C, h, w)
DISTANCE, LOSS = 0.7, 0.5  # the bars: at most this share of bicubic's distances; at most so many dB less
SHOWN = 8


@dataclass
class UpscalingRun:
    """Measure an upscaler against bicubic interpolation, on pictures that it was not trained on."""

    json: Path = Path("upscaler.json")
    """Where the figures go; a sheet of pictures is saved beside it as PNG."""
    model: str = "world-upscaler"
    pictures: Annotated[int, Between(2, 10**5)] = 256
    """Held-out pictures of each kind."""
    emoji: Path | None = None
    """Folder that `minidiff prepare emoji` wrote; without it the drawn world alone."""
    vae: str = "world-vae-2"
    """The VAE through which the true pictures go for comparison."""

    def __post_init__(self) -> None:
        check(self, "minidiff evaluate upscaler")
        if self.json.suffix != ".json" or not self.json.absolute().parent.is_dir():
            raise ValueError(f"{str(self.json)!r} must be a .json file in a folder that exists.")


def squares(images: Tensor, side: int) -> Tensor:
    """Images (B, 3, H, W) cut into squares (B H W / side^2, 3, side, side); a rest is left out."""
    cut = images.unfold(2, side, side).unfold(3, side, side)                        # (B, 3, H / side, W / side, side, side)
    return cut.permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, side, side)


def extractors() -> dict[str, Extractor]:
    """What looks at pictures: world-clip's image tower and world-judge. Raises ValueError when they are not there."""
    clip, judge = load_clip(), load_judge()
    return {
        "clip": lambda images: tower_maps(clip, squares(images, clip.vision_model.config.image_size)),
        "judge": lambda images: feature_maps(judge, (squares(images, judge.config.image_size) + 1) / 2),
    }


@torch.no_grad()
def tower_maps(clip: CLIP, images: Tensor) -> list[Tensor]:
    """What each layer of the image tower says of each patch of images (N, 3, 64, 64), as maps (N, D, 4, 4)."""
    vision, found = clip.vision_model, []
    x = vision.pre_layrnorm(vision.embeddings(images))                              # (N, 1 + 16, D)
    for layer in vision.encoder.layers:
        x = layer(x, None)
        patches = x[:, 1:].transpose(1, 2)                                          # without the token of the whole
        found.append(patches.unflatten(2, (round(patches.shape[2] ** 0.5), -1)))
    return found


def distance(extract: Extractor, a: Tensor, b: Tensor) -> Tensor:
    """PD-mini of images (B, 3, H, W) in -1..1, mean over an image's squares: (B,)."""
    return perceptual_distance(extract(a), extract(b)).view(len(a), -1).mean(1)


@torch.no_grad()
def held_against(
    images: np.ndarray, make: Callable[[Tensor], Tensor], extract: dict[str, Extractor], batch: int = 16
) -> dict[str, Tensor]:
    """PSNR in dB and distances of what `make` gives for images (N, H, W, 3) uint8, rounded to 8 bits: tensors (N,)."""
    found: dict[str, list[Tensor]] = {}
    for part in np.array_split(images, max(1, len(images) // batch)):
        true = to_tensor(part)
        made = to_tensor(to_images(make(true)))
        found.setdefault("psnr", []).append(psnr(made, true, data_range=2.0))
        for name, one in extract.items():
            found.setdefault(name, []).append(distance(one, made, true))
    return {name: torch.cat(values) for name, values in found.items()}


def compared(images: np.ndarray, enlarge: Enlarge, factor: int, extract: dict[str, Extractor]) -> dict[str, Any]:
    """Of an upscaler and of bicubic interpolation: means with intervals; the difference of PSNR; and the ratios of the
    distances."""
    def plainly(true: Tensor) -> Tensor:
        return bicubic(shrunk(true, factor), (true.shape[2], true.shape[3]))

    made = held_against(images, lambda true: enlarge(shrunk(true, factor), factor), extract)
    plain = held_against(images, plainly, extract)
    figures: dict[str, Any] = {"upscaler": summary(made), "bicubic": summary(plain)}
    figures["gain"] = float((made["psnr"] - plain["psnr"]).mean())
    figures["gain_interval"] = bootstrap_interval(made["psnr"] - plain["psnr"])
    figures["ratio"] = {name: float(made[name].mean() / plain[name].mean()) for name in extract}
    figures["reached"] = figures["gain"] >= -LOSS and all(ratio <= DISTANCE for ratio in figures["ratio"].values())
    return figures


def summary(values: dict[str, Tensor]) -> dict[str, Any]:
    """Means, and for each a bootstrap interval."""
    means = {name: float(value.mean()) for name, value in values.items()}
    return means | {f"{name}_interval": bootstrap_interval(value) for name, value in values.items()}


def held_out(count: int, emoji: Path | None, split: str = "test") -> dict[str, np.ndarray]:
    """Pictures that no upscaler learns from, (N, H, W, 3) uint8: scenes at 128 pixels and at 256, and emoji. Raises ValueError
    when there are no emoji in the folder."""
    found = {
        f"world, {size} px": np.stack([render(scene_at(k, split), size).image for k in range(count)]) for size in (128, 256)
    }
    if emoji is not None:
        files = [image for _, image, _ in read_prepared(emoji, "test")]
        picked = [files[k * len(files) // count] for k in range(min(count, len(files)))]
        found["emoji"] = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in picked])
    return found


def evaluate(run: UpscalingRun) -> dict[str, Any]:
    """Measure, print a table, write the JSON and the sheet; returns what the JSON holds. Raises ValueError when the upscaler or
    a network that looks is missing or damaged."""
    upscaler, extract = load_upscaler(run.model), extractors()
    config, state = zoo.load(run.vae)
    vae: VAE = build_model(VAE, config["vae"], state, run.vae).eval()

    def enlarge(low: Tensor, factor: int) -> Tensor:
        return torch.stack([enlarged(upscaler, one, factor) for one in low])

    rows: dict[str, Any] = {}
    pictures = held_out(run.pictures, run.emoji)
    for kind, images in pictures.items():
        rows[kind] = {f"x{factor}": compared(images, enlarge, factor, extract) for factor in FACTORS}
        through = held_against(images, lambda true: to_tensor(reconstruct(vae, to_images(true))), extract)
        rows[kind] |= {"n": len(images), "vae": summary(through)}
    figures = {"pictures": rows, "run": {"model": run.model, "vae": run.vae}}
    _print(figures)
    save_json(figures, run.json)
    sheet(pictures, enlarge).save(run.json.with_suffix(".png"))
    print(f"\n{run.json} holds the figures, {run.json.with_suffix('.png')} pictures four times as large: bicubic, ours, true.")
    return figures


def sheet(pictures: dict[str, np.ndarray], enlarge: Enlarge, factor: int = 4) -> Image.Image:
    """Three rows for each kind of 128 pixels: by bicubic interpolation, by the upscaler, and as they were."""
    rows: list[np.ndarray] = []
    for images in pictures.values():
        true = to_tensor(images[:SHOWN])
        if true.shape[-1] == 128:
            low = shrunk(true, factor)
            rows += [*to_images(bicubic(low, (128, 128))), *to_images(enlarge(low, factor)), *images[:SHOWN]]
    return contact_sheet(rows, min(SHOWN, len(rows) // 3))


def line(name: str, way: str, one: dict[str, Any], more: Sequence[str] = ("", "", "")) -> list[str]:
    return [name, way, f"{one['psnr']:.2f}", more[0], f"{one['clip']:.5f}", more[1], f"{one['judge']:.4f}", more[2]]


def _print(figures: dict[str, Any]) -> None:
    rows, missed = [], []
    for kind, row in figures["pictures"].items():
        for factor in FACTORS:
            one = row[f"x{factor}"]
            low, high = one["gain_interval"]
            ratios = [f"{one['ratio'][name]:.2f}" for name in ("clip", "judge")]
            rows.append(line(f"{kind} ({row['n']})", f"x{factor} bicubic", one["bicubic"]))
            gain = f"{one['gain']:+.2f} ({low:+.2f} to {high:+.2f})"
            rows.append(line("", f"x{factor} {figures['run']['model']}", one["upscaler"], [gain, *ratios]))
            missed += [] if one["reached"] else [f"{kind} x{factor}"]
        rows.append(line("", f"true, through {figures['run']['vae']}", row["vae"]))
    header = ["held-out pictures", "", "PSNR, dB", "gain (95 %)", "PD-mini, clip", "ratio", "PD-mini, judge", "ratio"]
    print(table(header, rows))
    print(f"Bars: distances at most {DISTANCE} of bicubic's, PSNR at most {LOSS} dB less: "
          f"{'all reached' if not missed else 'missed by ' + ', '.join(missed)}.")  # fmt: skip
