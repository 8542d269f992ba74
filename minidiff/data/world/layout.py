"""Where each thing of a scene stands. Lengths are in widths of the image, x to the right, y downwards, from 0 to 1."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

import numpy as np

from minidiff.data.world.compositions import held_out
from minidiff.data.world.scenes import SPOTS, Scene

RADIUS = {"small": (0.105, 0.125), "big": (0.165, 0.190), "close": (0.225, 0.270)}  # half the width of a thing


@dataclass(frozen=True)
class Thing:
    """One drawn thing: the index of its group, its centre and radius."""

    group: int
    x: float
    y: float
    radius: float


def layout(scene: Scene) -> list[Thing]:
    """Centre and radius of each thing, group by group. Nothing overlaps or leaves the image, and what the scene says of places
    and relations holds with a margin."""
    rng = random.Random(scene.seed)
    radii = [[rng.uniform(*RADIUS[group.size or "small"])] * group.count for group in scene.groups]
    if scene.relation is not None:
        centres = _related(rng, scene, [r[0] for r in radii])
    elif len(scene.groups) == 1 and scene.groups[0].count == 1:
        centres = [_placed(rng, scene.groups[0].place, radii[0][0])]
    else:
        centres = _scattered(rng, [r for group in radii for r in group])
    owners = [k for k, group in enumerate(scene.groups) for _ in range(group.count)]
    flat = [r for group in radii for r in group]
    return [Thing(k, x, y, r) for k, (x, y), r in zip(owners, centres, flat, strict=True)]


def _placed(rng: random.Random, place: str | None, radius: float) -> tuple[float, float]:
    """One thing alone: at an edge or in the middle if the scene says so, else anywhere."""
    near, low = radius + rng.uniform(0.02, 0.08), radius + 0.02
    free = rng.uniform(0.36, 0.64)
    if place is None:
        return rng.uniform(low, 1 - low), rng.uniform(low, 1 - low)
    if place == "middle":
        return rng.uniform(0.46, 0.54), rng.uniform(0.46, 0.54)
    return {"left": (near, free), "right": (1 - near, free), "top": (free, near), "bottom": (free, 1 - near)}[place]


def _related(rng: random.Random, scene: Scene, radii: list[float]) -> list[tuple[float, float]]:
    """Groups along one axis, in the order of the relation; the things of one group stand side by side across it."""
    order = {"left": (0, 1), "above": (0, 1), "right": (1, 0), "below": (1, 0), "between": (1, 0, 2)}[scene.relation or ""]
    upright = scene.relation in ("above", "below") or (scene.relation == "between" and rng.random() < 0.5)
    widths = [2 * radii[k] for k in order]
    spare = 1 - 0.04 - sum(widths)
    shares = np.array([rng.uniform(0.6, 1), *[rng.uniform(1.6, 2.4) for _ in order[1:]], rng.uniform(0.6, 1)])
    gaps = shares / shares.sum() * spare
    along: dict[int, float] = {}
    edge = 0.02
    for k, owner in enumerate(order):
        along[owner] = edge + float(gaps[: k + 1].sum()) + sum(widths[:k]) + widths[k] / 2
    centres = []
    for k, group in enumerate(scene.groups):
        for across in _side_by_side(rng, group.count, radii[k]):
            centres.append((across, along[k]) if upright else (along[k], across))
    return centres


def _side_by_side(rng: random.Random, count: int, radius: float) -> list[float]:
    """Positions across the axis: near the middle for one thing, evenly spread for more."""
    if count == 1:
        return [rng.uniform(0.40, 0.60)]
    step = min((0.96 - 2 * radius) / (count - 1), 2 * radius * rng.uniform(1.15, 1.45))
    start = 0.5 - step * (count - 1) / 2
    slack = max(0.0, start - radius - 0.02)
    shift = rng.uniform(-1, 1) * min(slack, 0.08)
    return [start + step * k + shift for k in range(count)]


def _scattered(rng: random.Random, radii: list[float]) -> list[tuple[float, float]]:
    """Anywhere without touching; after 40 failures, near the corners of a square."""
    for _ in range(40):
        centres: list[tuple[float, float]] = []
        for radius in radii:
            x, y = (rng.uniform(radius + 0.02, 0.98 - radius) for _ in range(2))
            if any(math.dist((x, y), c) < (radius + r) * 1.1 for c, r in zip(centres, radii, strict=False)):
                break
            centres.append((x, y))
        else:
            return centres
    corners = [(0.26, 0.26), (0.74, 0.26), (0.26, 0.74), (0.74, 0.74)]
    rng.shuffle(corners)
    return [(x + rng.uniform(-0.03, 0.03), y + rng.uniform(-0.03, 0.03)) for x, y in corners[: len(radii)]]


def spot_of(x: float, y: float) -> str:
    """The word of SPOTS for a centre."""
    row, column = (0 if at < 0.4 else 2 if at > 0.6 else 1 for at in (y, x))
    return SPOTS[3 * row + column]


def tell_places(claim: Scene, scene: Scene) -> Scene:
    """The claim with the spot of each thing, or of the outer two when it says "between". Unchanged when the claim has another
    relation, a group of several or only one thing; when two things share a spot; and when that would be a held-out
    composition (a kind at a place)."""
    between = claim.relation == "between"
    several = any(group.count > 1 for group in claim.groups)
    if len(claim.groups) == 1 or several or not (between or claim.relation is None):
        return claim
    spots = [spot_of(thing.x, thing.y) for thing in layout(scene)]
    groups = [replace(group, spot=spot) for group, spot in zip(claim.groups, spots, strict=True)]
    told = [claim.groups[0], *groups[1:]] if between else groups
    said = [group for group in told if group.spot]
    shown = any(held_out(f"{group.kind} at {group.spot}") for group in said)
    return claim if shown or len({group.spot for group in said}) < len(said) else replace(claim, groups=tuple(told))
