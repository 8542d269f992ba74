"""Train `world-reader`: captions of random scenes, by the grammar and as people type them, and what they say. Nothing is drawn.

Not here: its network (text/prompt_reader.py), and the rules by which captions are written (data/world/free_captions.py).
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import torch
from torch import Tensor

from minidiff.data.world.captions import LANG_SHARES, LANGS, drop_details
from minidiff.data.world.free_captions import STRANGER, said
from minidiff.data.world.random_scenes import sample_counts, sample_scene
from minidiff.data.world.scenes import WORLD_VERSION, Scene
from minidiff.models.clip import TextConfig
from minidiff.text.prompt_reader import PromptReader
from minidiff.text.tokenizer import Tokenizer
from minidiff.train.loop import Batch, Step, Task, fit, measured, mix_seed
from minidiff.train.options import Count, LoopConfig, Positive, Share, TrainingError, Weight, recipe_text
from minidiff.train.publish import keep
from minidiff.train.world_losses import WORLD, answered, answers, question_loss
from minidiff.utils.validation import Between

STRANGERS = 0.10  # share of the free captions that name a thing which the world lacks
HELD = 1 << 62  # added to the numbers of batches on which it is measured


@dataclass
class ReaderRun(LoopConfig):
    """Train the network that reads prompts of the drawn world."""

    out: Path = Path("runs/world-reader")
    steps: Count = 2400
    batch: Count = 128
    lr: Positive = 3e-3
    optimizer: Literal["adamw", "muon"] = "muon"
    warmup: Annotated[int, Between(0)] = 50
    weight_decay: Weight = 0.1
    ema: Annotated[float, Between(0, 0.9999999)] = 0.99
    workers: Annotated[int, Between(0, 256)] = 0
    width: Annotated[int, Between(64, 8192)] = 192
    layers: Annotated[int, Between(1, 64)] = 4
    max_length: Annotated[int, Between(16, 1024)] = 96
    """Tokens of a prompt that are read."""
    free: Share = 0.85
    """Share of the captions that are as people type them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % 64:
            raise TrainingError(f"--width {self.width} must be a multiple of 64.")


class ReaderTask(Task):
    """Captions and what they say."""

    def __init__(self, config: ReaderRun, tokenizer: Tokenizer) -> None:
        super().__init__()
        torch.manual_seed(config.seed)
        self.config, self.tokenizer = config, tokenizer
        text = TextConfig(
            vocab_size=tokenizer.vocab_size, max_length=config.max_length, hidden_size=config.width, layers=config.layers,
            heads=config.width // 64, intermediate=4 * config.width, local=True,
        )  # fmt: skip
        self.reader = PromptReader(text, WORLD)

    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        return self.batch_of(random.Random(mix_seed(seed, index)), size, self.config.free)

    def batch_of(self, rng: random.Random, size: int, free: float) -> Batch:
        """Any claims, held-out compositions too: to read "a red star" is not to have seen one."""
        claims = [claim_to_read(rng) for _ in range(size)]
        texts = [said(claim, rng.choices(LANGS, LANG_SHARES)[0], rng, free) for claim in claims]
        for k in range(size):
            if rng.random() < STRANGERS * free:  # by the grammar there are no words for such things
                claims[k] = with_stranger(claims[k], rng)
                texts[k] = said(claims[k], rng.choices(LANGS, LANG_SHARES)[0], rng, 1.0)
        ids, mask = self.tokenizer.encode(texts, self.config.max_length)
        return {"ids": ids, "mask": mask, **answers(claims)}

    def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        return question_loss(self.reader(batch["ids"], batch["mask"]), batch)

    @torch.no_grad()
    def validate(self, folder: Path, step: int) -> dict[str, float]:
        """The share of captions that are read without a mistake, by the grammar and free."""
        figures = {}
        for name, free in (("grammar", 0.0), ("free", 1.0)):
            batch = self.batch_of(random.Random(mix_seed(self.config.seed, HELD)), 256, free)
            device = next(self.parameters()).device
            found = self.reader.answers(batch["ids"].to(device), batch["mask"].to(device))
            figures[name] = float(answered({k: v.cpu() for k, v in found.items()}, batch).float().mean())
        return figures


def claim_to_read(rng: random.Random) -> Scene:
    """A random claim, sometimes with few details, as prompts are. What is rare in the world is read more often: several of a
    kind, one kind in two colours, and looks that all things share."""
    chance = rng.random()
    if chance < 0.05:
        return drop_details(sample_counts(rng), rng)
    scene = sample_scene(rng, held_out=None)
    while chance < 0.20 and all(group.count == 1 for group in scene.groups):
        scene = sample_scene(rng, held_out=None)
    while 0.20 < chance < 0.31 and len({group.kind for group in scene.groups}) == len(scene.groups):
        scene = sample_scene(rng, held_out=None)
    if 0.31 < chance < 0.43 and len({group.kind for group in scene.groups}) == len(scene.groups):
        shared = {name: getattr(scene.groups[0], name) for name in rng.choice((("colour",), ("size",), ("size", "colour")))}
        scene = replace(scene, groups=tuple(replace(group, **shared) for group in scene.groups))
    return drop_details(scene, rng, 0.5 if rng.random() < 0.3 else 1.0)


def with_stranger(claim: Scene, rng: random.Random) -> Scene:
    """The claim with a thing that the world lacks in the place of one of its own: who asks for a horse must not get a house."""
    groups = list(claim.groups)
    chosen = rng.randrange(len(groups))
    groups[chosen] = replace(groups[chosen], kind=STRANGER)
    return replace(claim, groups=tuple(groups))


def train(config: ReaderRun, tokenizer: Tokenizer, dependency: str) -> None:
    """Train, then keep the averaged weights and their figures. dependency: the tokenizer's name in the zoo."""
    task = ReaderTask(config, tokenizer)
    training = fit(task, config)
    if not training.finished(config):
        return
    training.ema.copy_to(task)
    figures = measured(task, [task.validate], config.out, training.step)
    print("read without a mistake:", {name: round(value, 3) for name, value in figures.items()})
    keep(
        config.out,
        "world-reader",
        task.reader.state_dict(),
        {"text": asdict(task.reader.text.config), "vocabulary": asdict(WORLD), "tokenizer": dependency},
        dependencies=(dependency,),
        to_zoo=config.publish,
        recipe=recipe_text("minidiff train world-reader", config),
        images_seen=0,
        world_version=WORLD_VERSION,
        figures={**figures, "minutes": round(training.seconds / 60, 1)},
    )
