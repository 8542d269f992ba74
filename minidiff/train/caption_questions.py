"""Reading comprehension for the text tower: say of each kind of thing how many, which colour, how big, where.

A contrastive loss alone teaches *which* words are in a caption and little about which belong together ("a red star and a
blue house" against "a blue star and a red house"; Yuksekgonul et al. 2023). Here small heads, thrown away after training,
must answer exactly that from the tower's sequence output, so the sequence has to hold the binding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff.data.world.scenes import COLOURS, MAX_COUNT, PLACES, RELATIONS, SETTINGS, SHAPES, SIZES, Scene
from minidiff.nn.attention import Attention

UNSAID = 0  # class 0 of every question but the number of things; class k + 1 is entry k of the world's list
IGNORED = -100  # a question that this caption does not raise
QUESTIONS = {"count": MAX_COUNT + 1, "colour": len(COLOURS) + 1, "size": len(SIZES) + 1, "place": len(PLACES) + 1}
PAIR_WIDTH = 32


def label(names: tuple[str, ...], value: str | None) -> int:
    """0 for what is unsaid, else 1 + the position in the world's list."""
    return UNSAID if value is None else names.index(value) + 1


def answers(claims: list[Scene]) -> dict[str, Tensor]:
    """What a careful reader would answer. count, colour, size, place (B, kinds); relation (B, kinds, kinds): how the first
    is placed to the second; setting (B,). IGNORED where a question makes no sense, and for captions with one kind twice."""
    batch, kinds = len(claims), len(SHAPES)
    found = {name: torch.full((batch, kinds), IGNORED) for name in QUESTIONS}
    found["count"].zero_()
    found["relation"] = torch.full((batch, kinds, kinds), IGNORED)
    found["setting"] = torch.tensor([label(SETTINGS, claim.setting) for claim in claims])
    for row, claim in enumerate(claims):
        here = [SHAPES.index(group.kind) for group in claim.groups]
        if len(set(here)) < len(here):
            found["count"][row] = IGNORED
            continue
        for kind, group in zip(here, claim.groups, strict=True):
            found["count"][row, kind] = group.count
            found["colour"][row, kind] = label(tuple(COLOURS), group.colour)
            found["size"][row, kind] = label(SIZES, group.size)
            found["place"][row, kind] = label(PLACES, group.place)
        for a in here:
            for b in here:
                if a != b:
                    found["relation"][row, a, b] = UNSAID
        for other in here[1:] if claim.relation else []:
            found["relation"][row, here[0], other] = label(RELATIONS, claim.relation)
    return found


class CaptionQuestionHead(nn.Module):
    """One learnt question for each kind of thing looks into the sequence; linear heads answer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.questions = nn.Parameter(torch.randn(len(SHAPES), width) * 0.5)
        self.attention = Attention(width, heads=4, head_dim=width // 4, bias=True)
        self.heads = nn.ModuleDict({name: nn.Linear(width, classes) for name, classes in QUESTIONS.items()})
        self.first = nn.Linear(width, (len(RELATIONS) + 1) * PAIR_WIDTH)
        self.second = nn.Linear(width, (len(RELATIONS) + 1) * PAIR_WIDTH)
        self.setting = nn.Linear(width, len(SETTINGS) + 1)

    def forward(self, sequence: Tensor, pooled: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """sequence (B, L, D), pooled (B, D), mask (B, L) to logits, classes last."""
        questions = self.questions.expand(len(sequence), -1, -1).to(sequence.dtype)
        found = self.attention(questions, sequence, mask=mask[:, None, None, :])                # (B, kinds, D)
        logits = {name: head(found) for name, head in self.heads.items()}
        first = self.first(found).unflatten(-1, (-1, PAIR_WIDTH))                               # (B, kinds, relations, 32)
        second = self.second(found).unflatten(-1, (-1, PAIR_WIDTH))
        logits["relation"] = torch.einsum("bird,bjrd->bijr", first, second) / PAIR_WIDTH**0.5
        return {**logits, "setting": self.setting(pooled)}


def reading_loss(logits: dict[str, Tensor], truth: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean cross-entropy over the questions, and the share answered rightly for colour (binding) and relation."""
    losses, figures = [], {}
    for name, value in logits.items():
        value, answer = value.float().flatten(0, -2), truth[name].flatten()
        losses.append(F.cross_entropy(value, answer, ignore_index=IGNORED))
        if name in ("colour", "relation"):
            asked = answer != IGNORED
            figures[f"read_{name}"] = (value.argmax(-1) == answer)[asked].float().mean()
    return torch.stack(losses).mean(), figures
