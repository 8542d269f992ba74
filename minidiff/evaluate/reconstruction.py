"""How well a VAE gives images back: PSNR and SSIM, and PSNR inside the things, which the smooth backdrop would hide.

What it is not: FD-mini (`quality`) or the judge's opinion (`prompt_following`). Taught in the lesson on latents.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from minidiff.data.world.rendering import Render
from minidiff.data.world.scenes import Scene
from minidiff.evaluate.metrics import psnr, ssim
from minidiff.models.vae import VAE
from minidiff.utils.images import to_images, to_tensor

DARK = 70.0  # mean grey of a thing, of 255, below which it counts as dark
NEAR = 0.06  # widths of the image from a thing to the edge, below which it counts as being at the edge


@torch.no_grad()
def reconstruct(vae: VAE, images: np.ndarray, batch: int = 16) -> np.ndarray:
    """Encode (mean of the latent) and decode images (N, H, W, 3) uint8; returns the same shape and type."""
    device = next(vae.parameters()).device
    outputs = []
    for part in np.array_split(images, max(1, len(images) // batch)):
        mean, _ = vae.encode(to_tensor(part).to(device))
        outputs.append(to_images(vae.decode(mean)))
    return np.concatenate(outputs)


@torch.inference_mode()
def through_vae(vae: VAE, images: Tensor) -> Tensor:
    """(B, 3, H, W) in 0..1, encoded (mean of the latent) and decoded: the best that its latents allow."""
    mean, _ = vae.encode(images.to(next(vae.parameters()).device) * 2 - 1)
    return (vae.decode(mean).float().clamp(-1, 1) + 1).cpu() / 2


def reconstruction_figures(images: np.ndarray, output: np.ndarray) -> dict[str, float]:
    """Mean PSNR (dB) and SSIM over images (N, H, W, 3) uint8."""
    real, made = (to_tensor(x) / 2 + 0.5 for x in (images, output))
    return {"psnr": float(psnr(made, real).mean()), "ssim": float(ssim(made, real).mean())}


def masked_psnr(image: np.ndarray, output: np.ndarray, mask: np.ndarray) -> float:
    """PSNR in dB over the pixels where `mask` (H, W) is true; images (H, W, 3) uint8. NaN where it is true nowhere."""
    if not mask.any():
        return math.nan
    error = (image[mask].astype(np.float64) - output[mask]) / 255
    return float(-10 * np.log10(max(float(np.mean(error**2)), 1e-10)))


def thing_figures(scenes: list[Scene], drawn: list[Render], output: np.ndarray) -> dict[str, float]:
    """Mean PSNR inside all things of an image ("inside"), and per thing inside small ones, dark ones and those at the edge.

    drawn: with masks; output (N, H, W, 3) uint8: what the VAE made of them. A mean over nothing is NaN."""
    found: dict[str, list[float]] = {"inside": [], "small": [], "dark": [], "edge": []}
    for scene, one, made in zip(scenes, drawn, output, strict=True):
        masks: np.ndarray = one.masks > 127                                                     # (N, H, W)
        found["inside"].append(masked_psnr(one.image, made, np.any(masks, axis=0)))
        for mask, box, group in zip(masks, one.boxes, one.group, strict=True):
            value = masked_psnr(one.image, made, mask)
            traits = {
                "small": scene.groups[group].size == "small",
                "dark": bool(mask.any()) and float(one.image[mask].mean()) < DARK,
                "edge": min(box[0], box[1], 1 - box[2], 1 - box[3]) < NEAR,
            }
            for name in (name for name, true in traits.items() if true):
                found[name].append(value)
    return {f"psnr_{name}": float(np.nanmean(values)) if values else math.nan for name, values in found.items()}
