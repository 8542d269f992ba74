"""Random scenes, and the numbered scenes of each split: `scene_at(7, "train")` is always the same one."""

from __future__ import annotations

import random
from dataclasses import replace

from minidiff.data.world.compositions import is_held_out
from minidiff.data.world.scenes import COLOURS, PLACES, RELATIONS, SETTINGS, SHAPES, SIZES, Group, Scene

# First seed of each split: the ranges never meet. The judge learns from "judge" and is measured on "judge_test".
SPLITS = {
    "train": 0, "validation": 1 << 40, "counts": 3 << 39, "test": 2 << 40, "judge": 3 << 40,
    "judge_test": (3 << 40) + (1 << 30),
}  # fmt: skip


def sample_scene(rng: random.Random, held_out: bool | None = False) -> Scene:
    """A random scene. held_out False: one that training may show; True: one with a held-out composition; None: any."""
    while True:
        scene = _any_scene(rng)
        if held_out is None or is_held_out(scene) == held_out:
            return scene


def sample_counts(rng: random.Random) -> Scene:
    """Two to four things that look alike as two groups, the smaller first: "a car above two cars". They teach numbers as sums.
    Neither their compositions nor the whole number of their kind are held out."""
    while True:
        scene = sample_scene(rng)
        group, *others = scene.groups
        few = 2 if group.count == 4 and (group.size == "big" or rng.random() < 0.5) else 1  # three big ones don't fit
        groups = tuple(replace(group, count=count) for count in (few, group.count - few))
        apart = replace(scene, groups=groups, relation=rng.choice(RELATIONS[:4]))
        if not others and group.count > 1 and not is_held_out(apart):
            return apart


def scene_at(index: int, split: str = "train") -> Scene:
    """The scene with this number in a split of SPLITS. Scenes for the judge have any composition, all others (those of
    "counts" are from `sample_counts`) only compositions that training may show."""
    rng = random.Random(SPLITS[split] + index)
    if split == "counts":
        return sample_counts(rng)
    return sample_scene(rng, None if split in ("judge", "judge_test") else False)


def complete(claim: Scene, rng: random.Random) -> Scene:
    """A full scene of which the claim is true: what it leaves open is random. Sizes follow the rules of `sample_scene`."""
    total = sum(group.count for group in claim.groups)
    groups: list[Group] = []
    for k, group in enumerate(claim.groups):
        free = {1: True, 2: total < 4 or group.count == 1, 3: k == 0}[len(claim.groups)]
        size = group.size or (rng.choice(SIZES) if free else "small")
        taken = {g.colour for g in claim.groups if g.kind == group.kind} | {g.colour for g in groups if g.kind == group.kind}
        colour = group.colour or rng.choice([c for c in COLOURS if c not in taken])
        groups.append(Group(group.kind, colour, size, group.count, group.place))
    return Scene(claim.setting or rng.choice(SETTINGS), tuple(groups), claim.relation, rng.getrandbits(32))


def _any_scene(rng: random.Random) -> Scene:
    how_many = rng.choices((1, 2, 3), (0.33, 0.50, 0.17))[0]
    setting, seed = rng.choice(SETTINGS), rng.getrandbits(32)
    looks = _distinct_looks(rng, how_many)
    if how_many == 1:
        count = rng.choices((1, 2, 3, 4), (0.52, 0.16, 0.16, 0.16))[0]
        place = rng.choice(PLACES) if count == 1 and rng.random() < 0.6 else None
        return Scene(setting, (Group(*looks[0], rng.choice(SIZES), count, place),), None, seed)
    if how_many == 2:
        counts = [1, 1]
        if rng.random() < 0.25:
            counts[rng.randrange(2)] = rng.choice((2, 3))
        sizes = [rng.choice(SIZES) if sum(counts) < 4 or count == 1 else "small" for count in counts]
        groups = tuple(Group(*look, size, count) for look, size, count in zip(looks, sizes, counts, strict=True))
        return Scene(setting, groups, rng.choice(RELATIONS[:4]) if rng.random() < 0.8 else None, seed)
    relation = "between" if rng.random() < 0.6 else None
    first = rng.choice(SIZES)
    groups = tuple(Group(*look, first if k == 0 else "small") for k, look in enumerate(looks))
    return Scene(setting, groups, relation, seed)


def _distinct_looks(rng: random.Random, how_many: int) -> list[tuple[str, str]]:
    """(kind, colour) of each group: kinds differ, but sometimes one kind comes twice in two colours."""
    kinds = rng.sample(SHAPES, how_many)
    colours = [rng.choice(COLOURS) for _ in kinds]
    if how_many == 2 and rng.random() < 0.12:
        kinds[1], colours = kinds[0], rng.sample(COLOURS, 2)
    return list(zip(kinds, colours, strict=True))
