"""Captioned images as a fine-tuning learns from them: latents and texts, each encoded once and kept on disk.

Latents can be neither mirrored nor cropped, so mirror images and random crops are encoded beforehand. What it is not: the
reader of the folder (data/captioned.py).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from minidiff.data.captioned import Captioned, load_square
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.train.loop import Batch, mix_seed
from minidiff.train.options import TrainingError
from minidiff.utils.files import whole_file
from minidiff.utils.images import to_tensor

TEXTS = 16      # texts that are encoded at once
CHUNK = 32      # images in one file of the cache


@dataclass(frozen=True)
class Texts:
    """Texts as batches hold them, number 0 the empty one. For a frozen text tower: context (K, L, D) and mask (K, L); for one
    that learns: ids (K, L) and mask, without a mask where it was trained to read its padding."""

    columns: dict[str, Tensor]

    def __getitem__(self, numbers: Sequence[int]) -> Batch:
        return {name: column[torch.tensor(numbers)] for name, column in self.columns.items()}


@torch.inference_mode()
def encode_texts(pipeline: TextToImage, texts: Sequence[str], frozen: bool = True) -> Texts:
    """All texts, the empty one first, padded to one length. frozen: as vectors, else as ids."""
    texts = ["", *texts]
    if not frozen:
        ids, mask = pipeline.tokenizer.encode(texts)
        return Texts({"ids": ids} if mask is None else {"ids": ids, "mask": mask})
    parts = [pipeline.encode(texts[k : k + TEXTS]) for k in range(0, len(texts), TEXTS)]
    longest = max(mask.shape[1] for _, mask in parts)
    context = [torch.nn.functional.pad(one, (0, 0, 0, longest - one.shape[1])) for one, _ in parts]
    masks = [torch.nn.functional.pad(one, (0, longest - one.shape[1])) for _, one in parts]
    return Texts({"context": torch.cat(context).cpu().clone(), "mask": torch.cat(masks).cpu().clone()})


def image_side(pipeline: TextToImage) -> int:
    """Width and height in pixels of what the pipeline draws."""
    return pipeline.latent_shape[-1] * 2 ** (len(pipeline.vae.config.channels) - 1)


@torch.inference_mode()
def encode_images(
    pipeline: TextToImage, images: Sequence[Path], crops: int = 1, cache: Path | None = None, mirror: bool = True
) -> Tensor:
    """Latents as the network sees them, (N, 2 crops, C, h, w): each crop of an image and then its mirror image.

    crops: 1 is the middle, more are random ones. cache: a folder in which latents are kept by what they were made of, so a
    killed run goes on where it stopped. mirror: False leaves the mirror images out, (N, crops, C, h, w)."""
    side, done = image_side(pipeline), []
    chunks = [images[k : k + CHUNK] for k in range(0, len(images), CHUNK)]
    encoder = _digest(*(tensor.cpu().numpy().tobytes() for tensor in pipeline.vae.state_dict().values())) if cache else ""
    for chunk in tqdm(chunks, desc="encoding images", unit=f"{CHUNK} images", leave=False, disable=len(chunks) < 2):
        kept = None
        if cache is not None:
            settings = f"{encoder} {side} {crops}" + ("" if mirror else " as they are")
            made_of = _digest(settings.encode(), *(path.read_bytes() for path in chunk))
            kept = cache / f"{made_of[:32]}.npy"
        if kept is not None and (found := _read(kept)) is not None:
            done.append(found)
            continue
        latents = torch.stack([_latents(pipeline, path, side, crops, mirror) for path in chunk])
        if kept is not None:
            with whole_file(kept) as file:
                np.save(file, latents.numpy())
        done.append(latents)
    normal = torch.cat(done).to(pipeline.device)
    return ((normal - pipeline.latent_mean) / pipeline.latent_std).cpu().clone()


def _latents(pipeline: TextToImage, path: Path, side: int, crops: int, mirror: bool) -> Tensor:
    """(2 crops, C, h, w) of one image, as the VAE makes them; (crops, C, h, w) without mirror images."""
    made = []
    for number in range(crops):
        image = load_square(path, side, random.Random(number) if crops > 1 else None)
        views = [image, image[:, ::-1]] if mirror else [image]
        pixels = to_tensor(np.stack(views)).to(pipeline.device)
        made.append(pipeline.vae.encode(pixels)[0].float().cpu())
    return torch.cat(made)


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def _read(path: Path) -> Tensor | None:
    """Latents of the cache; None where there are none, or no whole ones."""
    try:
        return torch.from_numpy(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError):
        return None


class CaptionedLatents:
    """Batches of latents with their captions, some of them empty, and a part that is held back."""

    def __init__(
        self,
        pipeline: TextToImage,
        pairs: Sequence[Captioned],
        held: float = 0.08,
        dropout: float = 0.1,
        mirror: bool = True,
        *,
        crops: int = 1,
        frozen_text: bool = True,
        cache: Path | None = None,
    ) -> None:
        """held: share of the images that is never learnt from, at least one; dropout: share of the empty captions; mirror:
        whether mirror images are learnt, too; crops, cache: see `encode_images`; frozen_text: see `encode_texts`. Raises
        TrainingError for fewer than two images."""
        if len(pairs) < 2:
            raise TrainingError(f"There is {len(pairs)} image with a caption; at least two are needed, one of which is held "
                                "back to tell when to stop.")  # fmt: skip
        order = list(range(len(pairs)))
        random.Random(0).shuffle(order)
        count = min(max(1, round(held * len(pairs))), len(pairs) - 1)
        self.held, self.learnt = order[:count], order[count:]
        self.pairs, self.dropout, self.mirror = pairs, dropout, mirror
        self.latents = encode_images(pipeline, [pair.image for pair in pairs], crops, cache)
        numbers = {text: 1 + k for k, text in enumerate(dict.fromkeys(text for pair in pairs for text in pair.captions))}
        self.texts = encode_texts(pipeline, list(numbers), frozen_text)
        self.numbers = [[numbers[text] for text in pair.captions] for pair in pairs]

    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        """Always the same batch for the same arguments."""
        rng = random.Random(mix_seed(seed, index))
        rows = [self.learnt[rng.randrange(len(self.learnt))] for _ in range(size)]
        views = [rng.randrange(self.latents.shape[1]) for _ in rows]
        views = [view if self.mirror else view // 2 * 2 for view in views]
        texts = [0 if rng.random() < self.dropout else rng.choice(self.numbers[row]) for row in rows]
        return self._batch(rows, views, texts)

    def held_out(self) -> Batch:
        """What is held back, each with its first caption."""
        return self._batch(self.held, [0] * len(self.held), [self.numbers[row][0] for row in self.held])

    def _batch(self, rows: Sequence[int], views: Sequence[int], texts: Sequence[int]) -> Batch:
        return {"latents": self.latents[torch.tensor(rows), torch.tensor(views)], **self.texts[texts]}
