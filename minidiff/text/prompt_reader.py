"""A small network that reads a prompt of the drawn world: which things, how many, in which colour and size, where, and in which
setting. A text encoder turns the prompt into vectors; one learnt question for each kind of thing looks into them.

It stands before the image model as a language model does in larger systems (Betker et al. 2023, "Improving Image Generation
with Better Captions"): what it has read is written out in plain words. What it is not: the claim that its answers mean
(pipelines/prompt_reader.py), nor its training (train/reader.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from minidiff.models.clip import TextConfig, TextTransformer
from minidiff.nn.attention import Attention

UNSAID = 0           # class 0 of every question but the number of things; class k + 1 is entry k of the list
PAIR_WIDTH = 32
ABSENT = 3.0         # log of how many times as many questions are about things that aren't there as about those that are
ONE = 1.0            # log of how much more often people mean a single thing than the captions of training do


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The names that answers stand for; they are kept with the weights. alike: how many groups of one kind are told apart."""

    kinds: tuple[str, ...]
    colours: tuple[str, ...]
    sizes: tuple[str, ...]
    places: tuple[str, ...]
    relations: tuple[str, ...]
    settings: tuple[str, ...]
    max_count: int = 4
    alike: int = 2

    @property
    def questions(self) -> int:
        """One for each kind, then one for each kind once more, for a second group of it."""
        return self.alike * len(self.kinds)

    @property
    def classes(self) -> dict[str, int]:
        """Answers to each question on one group."""
        lists = {"colour": self.colours, "size": self.sizes, "place": self.places}
        return {"count": self.max_count + 1, **{name: len(names) + 1 for name, names in lists.items()}}


class QuestionHead(nn.Module):
    """Learnt questions attend to the encoder's sequence; linear heads answer."""

    def __init__(self, width: int, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.questions = nn.Parameter(torch.randn(vocabulary.questions, width) * 0.5)
        self.attention = Attention(width, heads=4, head_dim=width // 4, bias=True)
        self.heads = nn.ModuleDict({name: nn.Linear(width, classes) for name, classes in vocabulary.classes.items()})
        self.first = nn.Linear(width, (len(vocabulary.relations) + 1) * PAIR_WIDTH)
        self.second = nn.Linear(width, (len(vocabulary.relations) + 1) * PAIR_WIDTH)
        self.setting = nn.Linear(width, len(vocabulary.settings) + 1)

    def forward(self, sequence: Tensor, pooled: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """sequence (B, L, D), pooled (B, D), mask (B, L) to logits, classes last: count, colour, size and place (B, Q, C),
        relation (B, Q, Q, C), how the first group is placed to the second, and setting (B, C)."""
        questions = self.questions.expand(len(sequence), -1, -1).to(sequence.dtype)
        found = self.attention(questions, sequence, mask=mask[:, None, None, :])                # (B, Q, D)
        logits = {name: head(found) for name, head in self.heads.items()}
        first = self.first(found).unflatten(-1, (-1, PAIR_WIDTH))                               # (B, Q, relations + 1, 32)
        second = self.second(found).unflatten(-1, (-1, PAIR_WIDTH))
        logits["relation"] = torch.einsum("bird,bjrd->bijr", first, second) / PAIR_WIDTH**0.5
        return {**logits, "setting": self.setting(pooled)}


class PromptReader(nn.Module):
    """forward(ids, mask) -> the logits of `QuestionHead`."""

    def __init__(self, text: TextConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.text = TextTransformer(text)
        self.head = QuestionHead(text.hidden_size, vocabulary)

    def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """ids (B, L) int64, mask (B, L) bool, True for tokens."""
        read = self.text(ids, mask)
        return self.head(read.sequence, read.pooled, mask)

    def answers(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Log-probabilities of all answers. Training weighs the few things that are there as much as the many that are not, so
        the network sees too many, and several of a thing more often than people ask for them; the true shares are put back
        here (logit adjustment, Menon et al. 2021)."""
        logits = {name: value.float() for name, value in self(ids, mask).items()}
        shares = logits["count"].new_tensor([ABSENT, ONE])
        logits["count"] = torch.cat([logits["count"][..., :2] + shares, logits["count"][..., 2:]], dim=-1)
        return {name: value.log_softmax(-1) for name, value in logits.items()}
