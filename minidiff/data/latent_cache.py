"""The latent cache: every training picture goes through the VAE's encoder once, before the DiT's training begins.

Chunks of the drawn world are encoded and written one by one, so that a killed preparation goes on where it stopped.
Caching freezes augmentation: what is cached is the picture as drawn, and nothing may crop or flip it afterwards.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from minidiff.data.world.scenes import WORLD_VERSION, render, scene_at
from minidiff.models.vae import VAE, VAEConfig
from minidiff.pretrained import zoo
from minidiff.utils.devices import autocast, keep_memory
from minidiff.utils.files import whole_file
from minidiff.utils.images import to_tensor

CHUNK = 2048


def load_vae(name: str = "world-vae") -> tuple[VAE, list[float], list[float]]:
    """The zoo's VAE and the mean and deviation of its latents' channels."""
    config, state = zoo.load(name)
    vae = VAE(VAEConfig(**config["vae"]))
    vae.load_state_dict(state)
    return vae.eval().requires_grad_(False), config["latent_mean"], config["latent_std"]


class Pictures(Dataset):
    """Batches of 32 rendered scenes as uint8 (32, size, size, 3)."""

    def __init__(self, split: str, first: int, count: int, size: int) -> None:
        self.split, self.first, self.count, self.size = split, first, count, size

    def __len__(self) -> int:
        return -(-self.count // 32)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        start = self.first + index * 32
        stop = min(start + 32, self.first + self.count)
        return np.stack([render(scene_at(k, self.split), self.size).image for k in range(start, stop)])


def cached_latents(
    count: int, split: str = "train", folder: Path = Path("runs/latents"), size: int = 128, vae_name: str = "world-vae"
) -> NDArray[np.float16]:
    """Normalised latents of scenes 0 .. count-1 of a split, (count, 4, size/8, size/8) float16; made where missing.

    The folder's name holds the VAE's hash and the world's version, so an old cache is never mistaken for a new one."""
    home = folder / f"{zoo.entry(vae_name)['sha256'][:12]}-world{WORLD_VERSION}-{size}-{split}"
    home.mkdir(parents=True, exist_ok=True)
    spans = {home / f"{start:07d}-{min(start + CHUNK, count):07d}.npy": start for start in range(0, count, CHUNK)}
    missing = [path for path in spans if not path.exists()]
    if missing:
        vae, mean, std = load_vae(vae_name)
        vae.to("cuda" if torch.cuda.is_available() else "cpu")
        keep_memory()
        for path in tqdm(missing, desc=f"encoding {split} pictures", unit="chunk"):
            start = spans[path]
            latents = encode(vae, Pictures(split, start, min(CHUNK, count - start), size), mean, std)
            with whole_file(path) as file:
                np.save(file, latents)
    return np.concatenate([np.load(path) for path in spans])


@torch.inference_mode()
def encode(vae: nn.Module, pictures: Pictures, mean: list[float], std: list[float]) -> NDArray[np.float16]:
    """Latents of a set of pictures, (N, 4, h, w), normalised to mean 0 and deviation 1 per channel."""
    device = next(vae.parameters()).device
    shift, scale = (torch.tensor(values, device=device).view(1, -1, 1, 1) for values in (mean, std))
    parts = []
    for images in DataLoader(pictures, batch_size=None, num_workers=1, prefetch_factor=4):
        pixels = to_tensor(np.asarray(images)).to(device).contiguous(memory_format=torch.channels_last)
        with autocast(device):
            latent = vae.encode(pixels)[0].float()  # type: ignore[operator]
        parts.append(((latent - shift) / scale).half().cpu().numpy())
    return np.concatenate(parts)
