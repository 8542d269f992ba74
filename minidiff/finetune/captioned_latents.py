"""A folder of captioned images as a fine-tuning learns from it: latents and captions' vectors, each made once.

Both mirror images are encoded, since latents can't be mirrored afterwards. What it is not: the reader of the folder
(data/captioned.py).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minidiff.data.captioned import Captioned, load_square
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.train.loop import Batch, mix_seed
from minidiff.train.options import TrainingError
from minidiff.utils.images import to_tensor

CHUNK = 16  # images or captions that are encoded at once


@dataclass(frozen=True)
class Vectors:
    """Captions as the network reads them: context (K, L, D) and mask (K, L); number 0 is the empty one."""

    context: Tensor
    mask: Tensor


@torch.inference_mode()
def encode_captions(pipeline: TextToImage, captions: Sequence[str]) -> Vectors:
    """All captions, the empty one first, padded to one length."""
    texts = ["", *captions]
    parts = [pipeline.encode(texts[k : k + CHUNK]) for k in range(0, len(texts), CHUNK)]
    longest = max(mask.shape[1] for _, mask in parts)
    context = [torch.nn.functional.pad(one, (0, 0, 0, longest - one.shape[1])) for one, _ in parts]
    mask = [torch.nn.functional.pad(one, (0, longest - one.shape[1])) for _, one in parts]
    return Vectors(torch.cat(context).clone(), torch.cat(mask).clone())


@torch.inference_mode()
def encode_images(pipeline: TextToImage, pairs: Sequence[Captioned]) -> Tensor:
    """Latents as the network sees them, of each image and of its mirror image: (N, 2, C, h, w)."""
    side = pipeline.latent_shape[-1] * 2 ** (len(pipeline.vae.config.channels) - 1)
    latents = []
    for pair in pairs:
        image = load_square(pair.image, side)
        both = torch.cat([to_tensor(image[None]), to_tensor(image[None, :, ::-1])]).to(pipeline.device)
        latents.append((pipeline.vae.encode(both)[0].float() - pipeline.latent_mean) / pipeline.latent_std)
    return torch.stack(latents).clone()


class CaptionedLatents:
    """Batches of latents with their captions' vectors, some of them empty, and a part that is held back."""

    def __init__(
        self, pipeline: TextToImage, pairs: Sequence[Captioned], held: float = 0.08, dropout: float = 0.1, mirror: bool = True
    ) -> None:
        """held: share of the images that is never learnt from, at least one; dropout: share of the empty captions; mirror:
        whether mirror images are learnt, too. Raises TrainingError for fewer than two images."""
        if len(pairs) < 2:
            raise TrainingError(f"There is {len(pairs)} image with a caption; at least two are needed, one of which is held "
                                "back to tell when to stop.")  # fmt: skip
        order = list(range(len(pairs)))
        random.Random(0).shuffle(order)
        count = min(max(1, round(held * len(pairs))), len(pairs) - 1)
        self.held, self.learnt = order[:count], order[count:]
        self.pairs, self.dropout, self.mirror = pairs, dropout, mirror
        self.latents = encode_images(pipeline, pairs)
        captions = list(dict.fromkeys(text for pair in pairs for text in pair.captions))
        self.vectors = encode_captions(pipeline, captions)
        self.numbers = [[1 + captions.index(text) for text in pair.captions] for pair in pairs]

    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        """Always the same batch for the same arguments."""
        rng = random.Random(mix_seed(seed, index))
        rows = [self.learnt[rng.randrange(len(self.learnt))] for _ in range(size)]
        sides = [rng.randrange(2) if self.mirror else 0 for _ in rows]
        texts = [0 if rng.random() < self.dropout else rng.choice(self.numbers[row]) for row in rows]
        return self._batch(rows, sides, texts)

    def held_out(self) -> Batch:
        """What is held back, each with its first caption."""
        return self._batch(self.held, [0] * len(self.held), [self.numbers[row][0] for row in self.held])

    def _batch(self, rows: Sequence[int], sides: Sequence[int], texts: Sequence[int]) -> Batch:
        chosen = torch.tensor(texts)
        return {
            "latents": self.latents[torch.tensor(rows), torch.tensor(sides)],
            "context": self.vectors.context[chosen],
            "mask": self.vectors.mask[chosen],
        }
