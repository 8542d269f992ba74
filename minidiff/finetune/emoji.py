"""`minidiff finetune emoji DATA`: all weights of `world-dit` learn emoji, in four styles, by their names in both languages.

A concept in a style is a pair, and one pair in ten is never shown (`data/emoji/pairs.py`): `minidiff evaluate emoji` asks for
those. Captions are made anew for every batch, of names, keywords and backdrops. The result is a model of its own, whose prompts
are taken as they are: the prompt reader knows the drawn world alone.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
import tyro
from torch import Tensor

from minidiff.data.emoji.pairs import STYLES, Pair, View, read_pairs
from minidiff.data.world.captions import LANG_SHARES, LANGS
from minidiff.diffusion.timesteps import shifted
from minidiff.finetune.captioned_latents import encode_images
from minidiff.finetune.learners import FullLearner
from minidiff.finetune.options import FineTuneRun
from minidiff.finetune.run import begin, cache_of, finetune
from minidiff.finetune.task import FineTuneTask
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.train.loop import Batch, mix_seed
from minidiff.train.options import Count, Positive, Share, TrainingError, Weight
from minidiff.utils.validation import Between


@dataclass
class EmojiRun(FineTuneRun):
    """Teach a model emoji in four styles, by their names in English and Vietnamese."""

    command: ClassVar[str] = "emoji"

    data: tyro.conf.Positional[Path] = Path("data/emoji")
    """Folder that `minidiff prepare emoji` wrote."""
    out: Path = Path("runs/emoji-dit")
    """The run's folder; the model is named after it."""
    text: bool = True
    drawn: Share = 0.3
    """Share of the images on drawn backdrops; the others are on the plain one."""
    shift: Positive = 2.0
    """Above 1 pushes the times of training towards the noise, where words decide what is drawn."""
    min_snr: Weight = 0.0
    """Weight the times by min(SNR, this); 0: all alike. Such weights hide the noisy times, at which new words are learnt."""
    sample_guidance: Weight | None = None
    """Guidance scale of the sheet and of the new model; the old model's when not given."""
    steps: Count = 12_000
    batch: Count = 32
    lr: Positive = 1e-3
    warmup: Annotated[int, Between(0)] = 100
    ema: Annotated[float, Between(0, 0.9999999)] = 0.999
    save_every: Count = 100
    validate_every: Count = 250
    held: tyro.conf.Suppress[tyro.conf.Fixed[float]] = 0.1
    """A tenth of the pairs is held back, by a hash."""
    mirror: tyro.conf.Suppress[tyro.conf.Fixed[bool]] = False
    """Letters and arrows have a left and a right."""
    crops: tyro.conf.Suppress[tyro.conf.Fixed[int]] = 1
    """The emoji fills the image."""


class EmojiLatents:
    """Batches of the shown pairs, each with a caption of its own; the pairs for validation are held back."""

    def __init__(
        self, pipeline: TextToImage, pairs: Sequence[Pair], dropout: float = 0.1, drawn: float = 0.3, cache: Path | None = None
    ) -> None:
        """dropout: share of the empty captions; drawn: share of the images on drawn backdrops; cache: see `encode_images`.
        Raises TrainingError when there is nothing to learn from, or nothing to choose by."""
        self.tokenizer, self.dropout, self.drawn = pipeline.tokenizer, dropout, drawn
        self.shown, self.held = ([pair for pair in pairs if pair.part == part] for part in ("shown", "validation"))
        if not self.shown or not self.held:
            raise TrainingError(f"Of {len(pairs)} emoji in a style {len(self.shown)} may be learnt and {len(self.held)} are "
                                "for validation; at least one of each is needed.")  # fmt: skip
        wanted = [view.image for pair in self.shown for view in (pair.views if drawn else pair.views[:1])]
        wanted += [pair.views[0].image for pair in self.held]
        self.numbers = {image: number for number, image in enumerate(wanted)}
        self.latents = encode_images(pipeline, wanted, cache=cache, mirror=False)[:, 0]            # (N, C, h, w)

    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        """Always the same batch for the same arguments."""
        rng = random.Random(mix_seed(seed, index))
        views, texts = [], []
        for _ in range(size):
            pair = rng.choice(self.shown)
            views.append(rng.choice(pair.views[1:]) if pair.views[1:] and rng.random() < self.drawn else pair.views[0])
            texts.append("" if rng.random() < self.dropout else self.caption(pair, views[-1], rng))
        return self._batch(views, texts)

    def caption(self, pair: Pair, view: View, rng: random.Random) -> str:
        """A caption that the model reads to its end, where the style stands."""
        text = pair.caption(view, rng.choices(LANGS, LANG_SHARES)[0], rng)
        return pair.prompt("en") if self.tokenizer.unread(text) else text

    def held_out(self) -> Batch:
        """The pairs for validation on the plain backdrop, asked for in English and Vietnamese in turn."""
        texts = [pair.prompt(("en", "vi")[number % 2]) for number, pair in enumerate(self.held)]
        return self._batch([pair.views[0] for pair in self.held], texts)

    def _batch(self, views: Sequence[View], texts: Sequence[str]) -> Batch:
        ids, mask = self.tokenizer.encode(texts)
        rows = [self.numbers[view.image] for view in views]
        read: dict[str, Tensor] = {"ids": ids} if mask is None else {"ids": ids, "mask": mask}
        return {"latents": self.latents[rows], **read}


class EmojiTask(FineTuneTask):
    """New words are learnt at noisy times: at others the image itself shows what it is."""

    config: EmojiRun

    def times(self, count: int, generator: torch.Generator) -> Tensor:
        return shifted(super().times(count, generator), self.config.shift)


def finetune_emoji(config: EmojiRun) -> None:
    """Raises EmojiError for a folder without emoji, TrainingError and ValueError as what it calls."""
    pairs = read_pairs(config.data)
    pipeline = begin(config)
    examples = EmojiLatents(pipeline, pairs, config.caption_dropout, config.drawn, cache_of(config))
    unseen = len(pairs) - len(examples.shown)
    print(f"{len({pair.code for pair in pairs})} emoji in {len(STYLES)} styles; {unseen} of {len(pairs)} pairs are never "
          f"shown, and by {len(examples.held)} of these the weights are chosen.")  # fmt: skip
    settings: dict[str, Any] = {"expand": False, "tell_places": False, "reader": None}
    if config.sample_guidance is not None:
        settings["guidance"] = config.sample_guidance
    task = EmojiTask(config, pipeline, examples, FullLearner(pipeline, config.text, settings))
    one_each = {pair.style: pair for pair in examples.held}
    prompts = [pair.prompt(("en", "vi")[number % 2]) for number, pair in enumerate(one_each.values())]
    finetune(config, pipeline, task, prompts, images=len(examples.numbers), pairs=len(pairs), never_shown=unseen,
             held_out=len(examples.held))  # fmt: skip
