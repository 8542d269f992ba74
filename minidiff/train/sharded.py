"""Text-to-image training on prepared shards: latents and text vectors that were encoded beforehand, in several sizes.

Every micro-batch holds pictures of one size, and so do all that the processes work on at the same time: tensors have the same
shape everywhere, and nobody waits for a larger picture. Which pictures they are follows from (seed, number of the micro-batch)
alone. Not here: how shards are read (data/images/encoded.py), and what the network learns from them (latent_diffusion.py).
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from minidiff.data.images.encoded import Encoded, EncodedShards, Wanted
from minidiff.models.clip import TowerOutput
from minidiff.train.latent_diffusion import LatentDiffusionTask
from minidiff.train.loop import Batch, Step, mix_seed

CAPTIONS, ORDER = 2, 3  # set these seeds apart from each other and from those of the loop's noise
HELD_BATCH = 32


def shuffled(position: int, count: int, key: int) -> int:
    """Where `position` goes when 0 .. count-1 are shuffled by `key`: no list of them is made, though there may be 100 million.

    A Feistel network of four rounds permutes the numbers of an even number of bits; it is applied again while it leads outside
    (Black & Rogaway 2002, "Ciphers with arbitrary finite domains", cycle walking)."""
    half = max(1, math.ceil((count - 1).bit_length() / 2))
    mask, number = (1 << half) - 1, position
    while True:
        left, right = number >> half, number & mask
        for turn in range(4):
            left, right = right, left ^ (mix_seed(key, turn, right) & mask)
        number = left << half | right
        if number < count:
            return number


class BucketOrder:
    """Which samples each group of micro-batches gets.

    A group's bucket is drawn with a chance in proportion to the bucket's pictures. Within a bucket all pictures are seen once,
    in random order, before any is seen again; then in another order.

    counts: pictures in each bucket; groups: how many groups the run has; size: pictures in a group.
    """

    def __init__(self, counts: Sequence[int], groups: int, size: int, seed: int) -> None:
        self.counts, self.size, self.seed = list(counts), size, seed
        rng, ends = random.Random(mix_seed(seed, ORDER)), np.cumsum(self.counts)
        self.bucket = np.searchsorted(ends, [rng.random() * float(ends[-1]) for _ in range(groups)], side="right")
        self.earlier = np.empty(groups, np.int64)  # groups of the same bucket before each
        for bucket in range(len(self.counts)):
            (places,) = np.nonzero(self.bucket == bucket)
            self.earlier[places] = np.arange(len(places))

    def samples(self, group: int, first: int, count: int) -> tuple[int, list[int]]:
        """The bucket of a group, and `count` numbers of samples in it: the group's from `first` on."""
        bucket = int(self.bucket[group])
        start, whole = int(self.earlier[group]) * self.size + first, self.counts[bucket]
        places = (divmod(position, whole) for position in range(start, start + count))
        return bucket, [shuffled(place, whole, mix_seed(self.seed, ORDER, bucket, epoch)) for epoch, place in places]


class ShardedExamples:
    """Batches from shards: latents (B, C, h, w), context (B, L, D), mask (B, L), and `replaced` (B,), 1 where another took a
    corrupted sample's place.

    batch: pictures per step, in all processes. micro: pictures in a micro-batch. sizes: how many sizes a step has; its
    micro-batches are so many groups. tokens: L, to which captions are padded, and after which they are cut. dropout: share of
    captions that are empty, for guidance. mirror: whether mirror images are learnt, too. held: pictures that are never learnt
    from, the last ones of each bucket.
    """

    def __init__(
        self, shards: EncodedShards, steps: int, batch: int, micro: int, seed: int, *, sizes: int = 1, tokens: int = 77,
        dropout: float = 0.1, mirror: bool = True, held: int = 512,
    ) -> None:  # fmt: skip
        self.shards, self.tokens, self.dropout, self.mirror = shards, tokens, dropout, mirror
        self.names = list(shards.buckets)
        shares = {name: min(math.ceil(held * len(one) / len(shards)), len(one) // 2) for name, one in shards.buckets.items()}
        self.held = shares if held else dict.fromkeys(self.names, 0)
        self.turns = batch // micro // sizes  # micro-batches of a group
        counts = [len(shards.buckets[name]) - self.held[name] for name in self.names]
        self.order = BucketOrder(counts, steps * sizes, batch // sizes, seed)

    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        """Micro-batch number `index`. Raises ShardError when a shard can't be read."""
        group, turn = divmod(index, self.turns)
        bucket, numbers = self.order.samples(group, turn * size, size)
        rng = random.Random(mix_seed(seed, index, CAPTIONS))
        wanted = []
        for number in numbers:
            mirrored, dropped, which = rng.random() < 0.5, rng.random() < self.dropout, rng.random()
            wanted.append(Wanted(self.names[bucket], number, mirrored and self.mirror, None if dropped else which))
        return self.batch_of(self.shards.fetch(wanted))

    def batch_of(self, found: Sequence[Encoded]) -> Batch:
        context = np.zeros((len(found), self.tokens, self.shards.width), np.float32)
        mask = np.zeros((len(found), self.tokens), bool)
        for row, one in enumerate(found):
            if one.replaces:
                print(f"The {one.replaces} is corrupted: the next one is learnt from in its place.", file=sys.stderr)
            length = min(len(one.tokens), self.tokens)
            context[row, :length], mask[row, :length] = one.tokens[:length], True
        return {
            "latents": torch.from_numpy(np.stack([one.latents for one in found]).astype(np.float32)),
            "context": torch.from_numpy(context), "mask": torch.from_numpy(mask),
            "replaced": torch.tensor([float(bool(one.replaces)) for one in found]),
        }  # fmt: skip

    def held_out(self) -> Iterator[Batch]:
        """What is held back, each with its first caption, bucket by bucket."""
        for name, count in self.held.items():
            last = len(self.shards.buckets[name])
            wanted = [Wanted(name, number, False, 0.0) for number in range(last - count, last)]
            for start in range(0, count, HELD_BATCH):
                yield self.batch_of(self.shards.fetch(wanted[start : start + HELD_BATCH]))


class TextNorm(nn.Module):
    """The last LayerNorm of a text tower, learnt on the vectors that it gave.

    A LayerNorm ends with a factor and a summand for each channel, and another pair after it is one pair again: so the norm can
    learn though its output was computed once and kept, and `folded` gives the tower's new weights. rate: its learning rate as
    a share of the network's; AdamW's steps are about as large as the rate, whatever the gradient, so the parameters count
    `rate` times.
    """

    def __init__(self, width: int, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.scale = nn.Parameter(torch.zeros(width))
        self.shift = nn.Parameter(torch.zeros(width))

    def forward(self, vectors: Tensor) -> Tensor:
        """(B, L, D) to the same."""
        return vectors * (1 + self.rate * self.scale) + self.rate * self.shift

    @torch.no_grad()
    def folded(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Weight and bias (D,) of the tower's norm as they are now."""
        factor = 1 + self.rate * self.scale.to(weight)
        return weight * factor, bias * factor + self.rate * self.shift.to(bias)


class ShardedTask(LatentDiffusionTask):
    """Latent diffusion on vectors of captions that are there already. text: a TextNorm, or nn.Identity."""

    def read(self, batch: Batch) -> TowerOutput:
        """No pooled vector: a norm that learns would change it, and the network doesn't read it."""
        sequence = self.text(batch["context"])
        return TowerOutput(sequence, sequence.new_empty(len(sequence), 0))

    def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        loss, _ = super().forward(batch, step)
        return loss, {"replaced": batch["replaced"].mean()}

    def validate(self, folder: Path, step: int) -> dict[str, float]:
        return super().validate(folder, step) if next(iter(self.examples.held_out()), None) is not None else {}
