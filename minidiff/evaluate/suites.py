"""Prompts with the claims that their images must fulfil.

`suite`: claims about the drawn world in six categories, each in English, Vietnamese and Vietnamese without accents, put into
words by the grammar of the captions. Every claim has a composition that training never shows. Nothing is stored: the suite is
a function of its seed. `written_suite`: prompts written by hand as people type them, by somebody who didn't know that grammar.
What it is not: PartiPrompts or DrawBench, which are about the real world and not shipped.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minidiff.data.world import captions
from minidiff.data.world.compositions import is_held_out, is_unseen
from minidiff.data.world.random_scenes import sample_scene
from minidiff.data.world.scenes import Group, Scene
from minidiff.utils import strict_json

LANGS = ("en", "vi", "vi_unaccented")
PER_CATEGORY = 55
PATIENCE = 50_000  # tries for one more prompt; a few hundred suffice while a category has many left
WRITTEN = Path(__file__).parent / "prompts"
WRITTEN_LANGS = ("en", "vi")
LONGEST = 200  # characters of a prompt; as many as our models take

Chance = Callable[[float], bool]


@dataclass(frozen=True)
class Prompt:
    """One claim, its category, and its text in each language. others: claims that are as good a reading of it."""

    category: str
    claim: Scene
    texts: dict[str, str]
    others: tuple[Scene, ...] = ()

    @property
    def key(self) -> tuple[object, ...]:
        """What tells it from other prompts."""
        return self.category, self.claim, *self.texts.values()


def suite(per_category: int = PER_CATEGORY, held_out: bool = True, seed: int = 0) -> list[Prompt]:
    """`per_category` different prompts of each category, always the same for the same arguments.

    held_out: whether each claim has a composition that training never shows, or none. seed: 0 is the published suite; any other
    shares no claim with it. Raises ValueError when a category doesn't have that many claims (some hundreds are always found).
    """
    prompts: list[Prompt] = []
    known: set[Scene] = {prompt.claim for prompt in suite(held_out=held_out)} if seed else set()
    for category in CATEGORIES:
        rng = random.Random(f"{seed} {category} {held_out}")
        wanted, tries = len(prompts) + per_category, 0
        while len(prompts) < wanted:
            claim, tries = claim_of(category, rng), tries + 1
            if tries > PATIENCE:
                found = per_category - (wanted - len(prompts))
                raise ValueError(f"Only {found} different prompts of the category {category!r} were found: ask for fewer.")
            if claim is None or claim in known or not (is_unseen(claim) if held_out else not is_held_out(claim)):
                continue
            texts = phrase(claim, rng.getrandbits(32))
            if max(map(len, texts.values())) <= LONGEST:
                known.add(claim)
                tries = 0
                prompts.append(Prompt(category, claim, texts))
    return prompts


def phrase(claim: Scene, seed: int) -> dict[str, str]:
    """The claim in every language; the two Vietnamese texts differ in accents only."""
    return {lang: captions.phrase(claim, lang, random.Random(seed)) for lang in LANGS}


def written_suite(name: str) -> dict[str, list[Prompt]]:
    """The prompts that were written by hand, by language. name: "people", whose figures are published, or "people-choice", to
    choose by. Their categories are the ways in which people depart from the captions."""
    found: dict[str, list[Prompt]] = {lang: [] for lang in WRITTEN_LANGS}
    for line in (WRITTEN / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
        row = strict_json.parse(line)
        claim, *others = (_claim(told) for told in row["claims"])
        found[row["lang"]].append(Prompt(row["form"], claim, {row["lang"]: row["text"]}, tuple(others)))
    return found


def _claim(told: dict[str, Any]) -> Scene:
    """A claim as it is written down: only what the prompt says."""
    return Scene(told.get("setting"), tuple(Group(**group) for group in told["groups"]), told.get("relation"))


def claim_of(category: str, rng: random.Random) -> Scene | None:
    """A random claim of a category, or None when this try doesn't suit it. Its seed is 0: a claim has no image."""
    scene = sample_scene(rng, held_out=None)
    claim = CATEGORIES[category](scene, lambda share: rng.random() < share)
    return None if claim is None else replace(claim, seed=0)


def _said(group: Group, colour: bool, size: bool) -> Group:
    return replace(group, colour=group.colour if colour else None, size=group.size if size else None)


def _kinds_differ(scene: Scene) -> bool:
    return len({group.kind for group in scene.groups}) == len(scene.groups)


def _object(scene: Scene, chance: Chance) -> Scene | None:
    """Two or three different things, at most one with its colour: are all there?"""
    if len(scene.groups) < 2 or any(group.count > 1 for group in scene.groups) or not _kinds_differ(scene):
        return None
    coloured = chance(0.5)
    groups = tuple(_said(group, coloured and k == 0, False) for k, group in enumerate(scene.groups))
    return Scene(scene.setting if not coloured or chance(0.3) else None, groups)


def _count(scene: Scene, chance: Chance) -> Scene | None:
    """Two to four of a kind, sometimes beside something else."""
    counts = [group.count for group in scene.groups]
    if max(counts) == 1 or not _kinds_differ(scene) or (len(counts) > 1 and chance(0.5)):
        return None
    groups = tuple(_said(group, chance(0.6), chance(0.2)) for group in scene.groups)
    return Scene(scene.setting if chance(0.4) else None, groups)


def _colour(scene: Scene, chance: Chance) -> Scene | None:
    """One thing in its colour."""
    if len(scene.groups) > 1 or scene.groups[0].count > 1:
        return None
    group = replace(_said(scene.groups[0], True, chance(0.4)), place=None)
    return Scene(scene.setting if chance(0.4) else None, (group,))


def _position(scene: Scene, chance: Chance) -> Scene | None:
    """A place in the image, or a relation."""
    alone = scene.groups[0].place is not None
    if not alone and (scene.relation is None or not _kinds_differ(scene)):
        return None
    groups = tuple(_said(group, chance(0.4), chance(0.2)) for group in scene.groups)
    return Scene(scene.setting if chance(0.3) else None, groups, scene.relation)


def _binding(scene: Scene, chance: Chance) -> Scene | None:
    """Two or three things of different colours: does each have its own?"""
    colours = {group.colour for group in scene.groups}
    if len(scene.groups) < 2 or len(colours) < len(scene.groups):
        return None
    groups = tuple(_said(group, True, chance(0.3)) for group in scene.groups)
    return Scene(scene.setting if chance(0.3) else None, groups, scene.relation)


def _setting(scene: Scene, chance: Chance) -> Scene | None:
    """One thing, sometimes two, somewhere."""
    if len(scene.groups) > 2 or any(group.count > 1 for group in scene.groups) or not _kinds_differ(scene):
        return None
    if len(scene.groups) == 2 and chance(0.7):
        return None
    groups = tuple(replace(_said(group, chance(0.5), False), place=None) for group in scene.groups)
    return Scene(scene.setting, groups)


CATEGORIES: dict[str, Callable[[Scene, Chance], Scene | None]] = {
    "object": _object, "count": _count, "colour": _colour, "position": _position, "binding": _binding,
    "setting": _setting,
}  # fmt: skip
