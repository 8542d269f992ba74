"""Two further losses for networks and text encoders that learn the drawn world, whose truth is known.

`question_loss` asks a `QuestionHead` on the text encoder's output how many of each kind a caption names, in which colour,
how big, where. A contrastive loss alone teaches which words a caption holds and little about which belong together
(Yuksekgonul et al. 2023). `TokenLabelHead` names what covers each inner token of the denoising network. It serves as
representation alignment does (Yu et al. 2024, "REPA"), with labels in the place of a trained encoder's features. Both heads
are thrown away after training.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff.data.world.layout import layout
from minidiff.data.world.scenes import COLOURS, MAX_COUNT, OPPOSITES, PLACES, RELATIONS, SETTINGS, SHAPES, SIZES, Scene
from minidiff.models.clip import TowerOutput
from minidiff.text.prompt_reader import UNSAID, QuestionHead, Vocabulary

Batch = dict[str, Tensor]

IGNORED = -100       # a question that this caption does not raise
NOTHING = 0          # class of the background in token labels; class k + 1 is entry k of SHAPES or COLOURS
WORLD = Vocabulary(
    kinds=SHAPES, colours=COLOURS, sizes=SIZES, places=PLACES, relations=RELATIONS, settings=SETTINGS, max_count=MAX_COUNT
)


def part_of(batch: Batch, prefix: str) -> Batch:
    """The entries of a batch whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in batch.items() if name.startswith(prefix)}


# --- questions on captions ------------------------------------------------------------------------------------------


def label(names: tuple[str, ...], value: str | None) -> int:
    """0 for what is unsaid, else 1 + the position in the world's list."""
    return UNSAID if value is None else names.index(value) + 1


def question_of(claim: Scene) -> list[int]:
    """The number of the question that asks about each group: of its kind, and of two groups of one kind the first or the second
    by colour and number, not by the order in which a sentence happens to name them."""
    order = sorted(range(len(claim.groups)), key=lambda k: (label(COLOURS, claim.groups[k].colour), claim.groups[k].count))
    rank = {k: [claim.groups[i].kind for i in order[:n]].count(claim.groups[k].kind) for n, k in enumerate(order)}
    return [SHAPES.index(group.kind) + len(SHAPES) * rank[k] for k, group in enumerate(claim.groups)]


def answers(claims: Sequence[Scene | None]) -> dict[str, Tensor]:
    """The right answers. count, colour, size, place (B, Q) for Q questions; relation (B, Q, Q): how the first is placed to the
    second; setting (B,). IGNORED where a question makes no sense, and for captions that aren't of the drawn world (None). Of
    things that the world lacks nothing is asked."""
    batch, questions = len(claims), WORLD.questions
    found = {name: torch.full((batch, questions), IGNORED) for name in WORLD.classes}
    found["relation"] = torch.full((batch, questions, questions), IGNORED)
    found["setting"] = torch.full((batch,), IGNORED)
    for row, claim in enumerate(claims):
        if claim is None:
            continue
        known = tuple(group for group in claim.groups if group.kind in SHAPES)
        claim = replace(claim, groups=known, relation=claim.relation if known == claim.groups else None)
        here = question_of(claim)
        found["count"][row] = 0
        found["setting"][row] = label(SETTINGS, claim.setting)
        for question, group in zip(here, claim.groups, strict=True):
            found["count"][row, question] = group.count
            found["colour"][row, question] = label(COLOURS, group.colour)
            found["size"][row, question] = label(SIZES, group.size)
            found["place"][row, question] = label(PLACES, group.place)
        for a, b in itertools.permutations(here, 2):
            found["relation"][row, a, b] = UNSAID
        for other in here[1:] if claim.relation else []:
            found["relation"][row, here[0], other] = label(RELATIONS, claim.relation)
            found["relation"][row, other, here[0]] = label(RELATIONS, OPPOSITES.get(claim.relation or ""))
    return found


def question_loss(logits: dict[str, Tensor], truth: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean cross-entropy over the questions, and the share of right answers on colour (binding) and relation.

    Of the numbers, those of things that are there count as much as the many that are 0."""
    losses, figures = [], {}
    for name, value in logits.items():
        value, answer = value.float().flatten(0, -2), truth[name].flatten()
        if name == "count":
            there = [answer.masked_fill(part, IGNORED) for part in (answer > 0, answer == 0)]
            losses.append(torch.stack([mean_error(value, part) for part in there]).mean())
        else:
            losses.append(mean_error(value, answer))
        if name in ("colour", "relation"):
            right = (value.argmax(-1) == answer) & (answer != IGNORED)
            figures[f"question_{name}"] = right.sum() / (answer != IGNORED).sum()
    return torch.stack(losses).mean(), figures


def mean_error(logits: Tensor, answers: Tensor) -> Tensor:
    """Cross-entropy of (N, C) with (N,), the mean over those that aren't IGNORED; 0 when all are."""
    asked = (answers != IGNORED).sum().clamp(min=1)
    return F.cross_entropy(logits, answers, ignore_index=IGNORED, reduction="sum") / asked


def answered(logits: dict[str, Tensor], truth: dict[str, Tensor]) -> Tensor:
    """Which captions of the batch have every answer right: (B,) bool."""
    right = [((value.argmax(-1) == truth[name]) | (truth[name] == IGNORED)).flatten(1) for name, value in logits.items()
             if value.ndim > 2]  # fmt: skip
    return torch.cat([*right, (logits["setting"].argmax(-1) == truth["setting"]).unsqueeze(1)], dim=1).all(1)


# --- labels of tokens -----------------------------------------------------------------------------------------------


def token_labels(scenes: list[Scene], grid: int = 8) -> dict[str, Tensor]:
    """kind and colour, each (B, grid*grid) int64, row by row: what covers the middle of each token's patch."""
    rows, columns = np.mgrid[0:grid, 0:grid]
    y, x = (rows + 0.5) / grid, (columns + 0.5) / grid
    kinds = np.zeros((len(scenes), grid, grid), np.int64)
    colours = np.zeros_like(kinds)
    for k, scene in enumerate(scenes):
        for thing in layout(scene):
            group = scene.groups[thing.group]
            inside = (x - thing.x) ** 2 + (y - thing.y) ** 2 < thing.radius**2
            kinds[k][inside] = SHAPES.index(group.kind) + 1
            colours[k][inside] = COLOURS.index(group.colour or "") + 1
    return {"kind": torch.from_numpy(kinds).flatten(1), "colour": torch.from_numpy(colours).flatten(1)}


class TokenLabelHead(nn.Module):
    """Two linear heads on normalised tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.heads = nn.ModuleDict({"kind": nn.Linear(width, len(SHAPES) + 1), "colour": nn.Linear(width, len(COLOURS) + 1)})

    def forward(self, tokens: Tensor, truth: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """tokens (B, N, D), truth as `token_labels`. Returns the mean cross-entropy, and the share of things' tokens with the
        right colour."""
        tokens = self.norm(tokens)
        logits = {name: head(tokens).float().flatten(0, 1) for name, head in self.heads.items()}
        loss = torch.stack([F.cross_entropy(logits[name], truth[name].flatten()) for name in logits]).mean()
        there = truth["colour"].flatten() != NOTHING
        right = (logits["colour"].argmax(-1) == truth["colour"].flatten()) & there
        return loss, {"label_colour": right.sum() / there.sum()}


# --- as auxiliary losses of latent diffusion (`latent_diffusion.AuxLoss`) -------------------------------------------


class CaptionQuestionLoss(nn.Module):
    """`question_loss` on the text encoder's output."""

    prefix = "question_"

    def __init__(self, text_width: int, token_width: int) -> None:
        super().__init__()
        self.head = QuestionHead(text_width, WORLD)

    @classmethod
    def truth(cls, scenes: list[Scene], claims: list[Scene], dropped: Tensor) -> Batch:
        """What a batch must hold; no caption, no questions. dropped: (B,) bool."""
        found = answers(claims)
        return {
            cls.prefix + name: answer.masked_fill(dropped.view(-1, *[1] * (answer.ndim - 1)), IGNORED)
            for name, answer in found.items()
        }

    def forward(self, text: TowerOutput, tokens: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return question_loss(self.head(text.sequence, text.pooled, batch["mask"]), part_of(batch, self.prefix))


class TokenLabelLoss(nn.Module):
    """`TokenLabelHead` on the network's inner tokens, an 8 x 8 grid."""

    prefix = "label_"

    def __init__(self, text_width: int, token_width: int) -> None:
        super().__init__()
        self.head = TokenLabelHead(token_width)

    @classmethod
    def truth(cls, scenes: list[Scene], claims: list[Scene], dropped: Tensor) -> Batch:
        """What a batch must hold. The image holds its things whether the caption is dropped or not."""
        return {cls.prefix + name: value for name, value in token_labels(scenes).items()}

    def forward(self, text: TowerOutput, tokens: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return self.head(tokens, part_of(batch, self.prefix))


AUX_LOSSES: dict[str, type[CaptionQuestionLoss] | type[TokenLabelLoss]] = {
    "caption_questions": CaptionQuestionLoss,
    "token_labels": TokenLabelLoss,
}
