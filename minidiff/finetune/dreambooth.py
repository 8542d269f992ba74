"""`minidiff finetune dreambooth DATA`: a rare word comes to mean one subject (Ruiz et al. 2023), from a dozen images of it.

Learnt alone, the class would go with it: every cat would become *the* cat. So each batch holds as many images of the class,
which the model drew itself before, and their loss is added (prior preservation, eq. 2). All weights learn, or a LoRA's. Taught
in the lesson on DreamBooth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor
from tqdm import tqdm

from minidiff.data.captioned import Captioned, read_captioned
from minidiff.diffusion.losses import sample_times
from minidiff.finetune.captioned_latents import CaptionedLatents
from minidiff.finetune.learners import FullLearner, Learner, LoRALearner
from minidiff.finetune.options import FineTuneRun, LoRAOptions
from minidiff.finetune.run import begin, cache_of, finetune
from minidiff.finetune.task import FineTuneTask
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.text.encoders import AnyTokenizer
from minidiff.train.loop import Batch
from minidiff.train.options import Count, Positive, TrainingError, Weight
from minidiff.utils.files import whole_file


@dataclass
class DreamBoothRun(LoRAOptions, FineTuneRun):
    """Teach a model one subject, from a dozen images of it whose captions call it by a rare word."""

    command: ClassVar[str] = "dreambooth"

    token: str = "sks"
    """The rare word; it must stand in each caption."""
    class_prompts: tuple[str, ...] = ()
    """What the class is drawn from to keep it, such as "a cat"; without any, nothing is kept."""
    class_images: Count = 64
    """Images of the class, drawn once by the model as it is."""
    prior: Weight = 1.0
    """Weight of the class's loss."""
    how: Literal["full", "lora"] = "full"
    """All weights learn, or a LoRA's."""
    out: Path = Path("runs/dreambooth")
    caption_dropout: Weight = 0.0
    steps: Count = 400
    batch: Count = 4
    lr: Positive = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prior and not self.class_prompts:
            raise TrainingError('--class-prompts is missing, such as "a cat": what shall stay as it is; or pass --prior 0.')


class PairedLatents:
    """Batches of as many images of the subject as of its class, the subject's first."""

    def __init__(self, subject: CaptionedLatents, others: CaptionedLatents) -> None:
        self.subject, self.others = subject, others

    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        """2 size examples; always the same for the same arguments."""
        first, second = self.subject.make_batch(index, size, seed), self.others.make_batch(index, size, seed)
        return {name: torch.cat(_padded(first[name], second[name])) for name in first}

    def held_out(self) -> Batch:
        """Of the subject alone."""
        return self.subject.held_out()


def _padded(one: Tensor, other: Tensor) -> list[Tensor]:
    """Both with the length of the longer along dimension 1 (texts of two collections differ)."""
    longest = max(one.shape[1], other.shape[1])
    return [torch.cat([x, x.new_zeros(len(x), longest - x.shape[1], *x.shape[2:])], dim=1) for x in (one, other)]


class DreamBoothTask(FineTuneTask):
    """The first half of a batch is the subject, the second its class; each half has times of its own."""

    config: DreamBoothRun

    def times(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.cat([sample_times(count // 2, "stratified", generator) for _ in range(2)])

    def weighted_mean(self, losses: Tensor) -> Tensor:
        subject, others = losses.chunk(2)
        return subject.mean() + self.config.prior * others.mean()


def token_ids(tokenizer: AnyTokenizer, word: str) -> list[int]:
    """The ids of a word within a text, without those of begin and end."""
    ids, _ = tokenizer.encode([word])
    empty, _ = tokenizer.encode([""])
    ends = set(empty[0].tolist())
    return [number for number in ids[0].tolist() if number not in ends]


def token_counts(tokenizer: AnyTokenizer, captions: Sequence[str]) -> Counter[int]:
    """How often each id occurs in captions. A rare word is made of ids that hardly occur, so that it means nothing yet."""
    counts: Counter[int] = Counter()
    for caption in captions:
        counts.update(token_ids(tokenizer, caption))
    return counts


def check_token(pairs: Sequence[Captioned], token: str) -> None:
    """Raises TrainingError unless each caption holds the token as a word."""
    if not token.strip() or len(token.split()) > 1:
        raise TrainingError(f"--token is {token!r}; it must be one word.")
    for pair in pairs:
        if lacking := next((caption for caption in pair.captions if token not in caption.split()), None):
            raise TrainingError(f"The caption {lacking!r} of {pair.image.name} lacks the rare word {token!r}, by which the "
                                'subject will be called: write it in, as in "a sks cat", or name yours with --token.')


def draw_class(pipeline: TextToImage, prompts: Sequence[str], count: int, folder: Path) -> list[Captioned]:
    """`count` images of the class as the model draws it now, kept in `folder` with their prompts; what is there stays."""
    pairs = []
    for seed in tqdm(range(count), desc="drawing the class", unit="image", disable=count < 2):
        prompt, path = prompts[seed % len(prompts)], folder / f"{seed:04d}.png"
        if not path.exists():
            (image,) = pipeline(pipeline.request(prompt, seed=seed))
            with whole_file(path) as file:
                image.save(file, format="PNG")
        pairs.append(Captioned(path, (prompt,)))
    return pairs


def finetune_dreambooth(config: DreamBoothRun) -> None:
    """Raises TrainingError for captions without the rare word, and as `run.finetune_folder`."""
    collection = read_captioned(config.data)
    print(collection.report())
    check_token(collection.pairs, config.token)
    pipeline = begin(config)
    several = len(token_ids(pipeline.tokenizer, config.token))
    print(f"{pipeline.model} reads {config.token!r} as {several} token{'s' * (several > 1)}: "
          f"{', '.join(map(repr, pipeline.tokenizer.tokens(config.token)))}")  # fmt: skip
    frozen = not config.text
    subject = CaptionedLatents(pipeline, collection.pairs, config.held, config.caption_dropout, config.mirror,
                               crops=config.crops, frozen_text=frozen, cache=cache_of(config))  # fmt: skip
    examples: CaptionedLatents | PairedLatents = subject
    if config.prior:
        drawn = draw_class(pipeline, config.class_prompts, config.class_images, config.out / "class")
        others = CaptionedLatents(pipeline, drawn, 0.0, 0.1, config.mirror, frozen_text=frozen, cache=cache_of(config))
        examples = PairedLatents(subject, others)
    lora = config.how == "lora"
    learner: Learner = LoRALearner(pipeline, config, config.text) if lora else FullLearner(pipeline, config.text)
    task = (DreamBoothTask if config.prior else FineTuneTask)(config, pipeline, examples, learner)
    prompts = [collection.pairs[row].captions[0] for row in subject.held[:2]] + list(config.class_prompts[:2])
    finetune(config, pipeline, task, prompts, images=len(collection.pairs), held_out=len(subject.held),
             left_out=len(collection.left_out), class_images=config.class_images if config.prior else 0)  # fmt: skip
