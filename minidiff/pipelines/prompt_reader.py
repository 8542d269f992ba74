"""Prompts as people type them to the plain captions that an image model learnt from.

"pls draw me 2 kitties, black, on the lawn" is read by a small network (text/prompt_reader.py) as a claim, and the claim is
put into words by the grammar of the captions: "two black cats in a meadow". Prompt expansion then adds places where they are
open. What the network isn't certain of is left as it was typed.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import astuple, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minidiff.data.world.captions import phrase
from minidiff.data.world.free_captions import language_of
from minidiff.data.world.prompt_expansion import expand_prompt, is_caption
from minidiff.data.world.scenes import (
    COLOURS,
    MAX_COUNT,
    OPPOSITES,
    PLACES,
    RELATIONS,
    SETTINGS,
    SHAPES,
    SIZES,
    Group,
    Scene,
)
from minidiff.models.clip import TextConfig
from minidiff.pretrained import zoo
from minidiff.pretrained.assemble import assemble
from minidiff.pretrained.configs import WIDTH, build_config, check_blocks
from minidiff.text.encoders import our_tokenizer
from minidiff.text.prompt_reader import UNSAID, PromptReader, Vocabulary
from minidiff.text.tokenizer import Tokenizer
from minidiff.utils.validation import build, shown

CERTAIN = 0.3  # below this a prompt is left as it is
KEPT = 256     # readings remembered: every image of a prompt asks for the same one


@dataclass(frozen=True)
class Reading:
    """What a prompt says, None when it names nothing that can be drawn, and the probability (0 to 1) that the network gives to
    all its answers together."""

    claim: Scene | None
    certainty: float


class Reader:
    """Reads prompts, and writes them out as captions. The network is on the CPU and small: some milliseconds a prompt."""

    def __init__(self, tokenizer: Tokenizer, network: PromptReader) -> None:
        self.tokenizer, self.network = tokenizer, network.eval().requires_grad_(False)
        self._read = lru_cache(KEPT)(lambda prompt: self.read([prompt])[0])

    @torch.inference_mode()
    def read(self, prompts: list[str]) -> list[Reading]:
        """A reading of each prompt."""
        ids, mask = self.tokenizer.encode(prompts)
        answers = self.network.answers(ids, mask)
        return [reading_of({name: value[row] for name, value in answers.items()}, self.network.vocabulary)
                for row in range(len(prompts))]  # fmt: skip

    def caption(self, prompt: str, seed: int) -> str:
        """The prompt as a caption; unchanged when it is one already, or isn't certain. seed: chooses among synonyms."""
        if is_caption(prompt):
            return prompt
        reading = self._read(prompt)
        if reading.claim is None or reading.certainty < CERTAIN:
            return prompt
        return phrase(reading.claim, language_of(prompt), random.Random(f"caption {seed}"))

    def expand(self, prompt: str, seed: int, tell_places: bool = False) -> str:
        """The prompt as a caption with places, see `expand_prompt`."""
        return expand_prompt(self.caption(prompt, seed), seed, tell_places)


def reading_of(logits: dict[str, Tensor], words: Vocabulary) -> Reading:
    """The most probable answers of one prompt as a claim. logits: log-probabilities, a row of `PromptReader.answers`."""
    best = {name: value.max(-1) for name, value in logits.items()}
    counts = best["count"].indices.tolist()
    here = [question for question, count in enumerate(counts) if count]
    certainty = float(best["count"].values.sum() + best["setting"].values)
    certainty += sum(float(best[name].values[q]) for name in ("colour", "size") for q in here)

    def named(name: str, names: tuple[str, ...], *at: int) -> str | None:
        answer = int(best[name].indices[at])
        return None if answer == UNSAID else names[answer - 1]

    alone = len(here) == 1 and counts[here[0]] == 1
    if alone:
        certainty += float(best["place"].values[here[0]])
    groups = [
        Group(words.kinds[q % len(words.kinds)], named("colour", words.colours, q), named("size", words.sizes, q), counts[q],
              named("place", words.places, q) if alone else None)
        for q in here
    ]  # fmt: skip
    relation, order, more = relation_of(logits["relation"], here, words)
    setting = named("setting", words.settings)
    claim = Scene(setting, tuple(groups[k] for k in order), relation)
    return Reading(claim if drawable(claim) else None, float(torch.tensor(certainty + more).exp()))


def relation_of(logits: Tensor, here: list[int], words: Vocabulary) -> tuple[str | None, list[int], float]:
    """The relation of two or three groups, the order in which they stand in it, and its log-probability.

    logits (Q, Q, C): an answer for each direction. Two groups are related only by what both directions agree on."""
    names = (None, *words.relations)
    index = {name: k for k, name in enumerate(names)}
    order = list(range(len(here)))
    if len(here) == 2:
        there, back = logits[here[0], here[1]], logits[here[1], here[0]]
        sides = [name for name in names if name != "between"]
        scores = {name: float(there[index[name]] + back[index[OPPOSITES.get(name or "")]]) / 2 for name in sides}
        best = max(sides, key=lambda name: scores[name])
        return best, order, scores[best]
    if len(here) == 3:
        chances: dict[tuple[str | None, int], float] = {}
        for first in order:
            others = [k for k in order if k != first]
            chances["between", first] = float(sum(logits[here[first], here[k], index["between"]] for k in others)) / 2
        pairs = itertools.permutations(here, 2)
        chances[None, 0] = float(sum(logits[a, b, UNSAID] for a, b in pairs)) / 6
        likeliest = max(chances, key=lambda key: chances[key])
        return likeliest[0], [likeliest[1], *(k for k in order if k != likeliest[1])], chances[likeliest]
    return None, order, 0.0


def drawable(claim: Scene) -> bool:
    """Whether the world has scenes like this: one to three groups, of which two hold at most four things, and three one each;
    groups of one kind have colours of their own."""
    counts = [group.count for group in claim.groups]
    looks = [(group.kind, group.colour) for group in claim.groups]
    alike = len({kind for kind, _ in looks}) < len(looks)
    fits = 1 <= len(counts) <= 3 and sum(counts) <= (4, 4, 3)[len(counts) - 1]
    return fits and not (alike and (len(set(looks)) < len(looks) or any(colour is None for _, colour in looks)))


@dataclass(frozen=True, kw_only=True)
class ReaderRow:
    """The configuration of a reader in the zoo. tokenizer: its name there. made_with: the tokenizer's SHA-256."""

    text: dict[str, Any]
    vocabulary: dict[str, Any]
    tokenizer: str
    made_with: dict[str, str]


def load_reader(name: str = "world-reader", root: Path | str | None = None) -> Reader:
    """A reader of the zoo. Raises ValueError when it is missing, damaged, or of another world."""
    settings, state = zoo.load(name, root)
    row = build(ReaderRow, settings, name)
    zoo.check_dependencies(name, root)
    text: TextConfig = build_config(TextConfig, row.text, f"{name}: text")
    vocabulary: Vocabulary = build(Vocabulary, row.vocabulary, f"{name}: vocabulary", {"max_count": WIDTH, "alike": WIDTH})
    ours = (SHAPES, COLOURS, SIZES, PLACES, RELATIONS, SETTINGS, MAX_COUNT)
    for names, world in zip(astuple(vocabulary), ours, strict=False):
        if names != world:
            raise ValueError(f"{name} knows another world ({shown(names)} in the place of {shown(world)}): train it again.")
    check_blocks(text.layers, state, name)
    network = assemble(lambda: PromptReader(text, vocabulary), state, name)
    return Reader(our_tokenizer(zoo.path(row.tokenizer, root), network.text), network)
