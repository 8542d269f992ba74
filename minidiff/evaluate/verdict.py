"""Rules that decide whether an image shows what a prompt says, from what the judge found. No network here.

A claim is right only when everything in it is true and nothing else is in the image; what it leaves open cannot be wrong. The
tolerances are wider than what the world's layout guarantees, so that a correct image never fails.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from minidiff.data.world.scenes import Group, Scene
from minidiff.evaluate.judge import Detection, Seen

ATTRIBUTES = ("object", "count", "colour", "size", "position", "binding", "setting")
APART = 0.10   # "left of" wants centres at least this far apart, in widths of the image; the world keeps 0.45
MIDDLE = 0.13  # "in the middle" is at most this far from the centre on each axis; the world stays within 0.04
EDGE = 0.12    # "at the left" is at least this far left of the centre; the world keeps 0.23
TOO_MANY = 6   # more things than any scene has: the count is wrong however they are assigned


@dataclass(frozen=True)
class Verdict:
    """Whether each attribute that the claim mentions is true."""

    attributes: dict[str, bool]

    @property
    def right(self) -> bool:
        return all(self.attributes.values())


def judge(claim: Scene, seen: Seen) -> Verdict:
    """Compare a claim with what the judge found. Where two groups share a kind, the assignment of things to groups that makes
    most of the claim true counts."""
    owners = [[k for k, group in enumerate(claim.groups) if group.kind == thing.kind] or [-1] for thing in seen.things]
    if len(seen.things) > TOO_MANY:
        owners = [choice[:1] for choice in owners]
    best = max(
        (_attributes(claim, seen, owner) for owner in itertools.product(*owners)),
        key=lambda attributes: sum(attributes.values()),
    )
    return Verdict(best)


def _attributes(claim: Scene, seen: Seen, owner: Sequence[int]) -> dict[str, bool]:
    """The verdict when thing i belongs to group owner[i] (-1: to none)."""
    groups = claim.groups
    members = [[t for t, k in zip(seen.things, owner, strict=True) if k == g] for g in range(len(groups))]
    present = all(members)
    found = {"object": present, "count": _counts(claim, members, len(seen.things))}
    if any(group.colour for group in groups):
        found["colour"] = any(members) and _all_of(groups, members, "colour")
    if any(group.size for group in groups):
        found["size"] = any(members) and _all_of(groups, members, "size")
    if claim.relation or any(group.place for group in groups):
        found["position"] = present and _positions(claim, members)
    if sum(bool(group.colour or group.size) for group in groups) > 1:
        found["binding"] = present and _all_of(groups, members, "colour") and _all_of(groups, members, "size")
    if claim.setting:
        found["setting"] = seen.setting == claim.setting
    return found


def _counts(claim: Scene, members: Sequence[Sequence[Detection]], total: int) -> bool:
    """As many things as the claim says, in all and in each group that is there at all."""
    each = all(len(things) == group.count for group, things in zip(claim.groups, members, strict=True) if things)
    return each and total == sum(group.count for group in claim.groups)


def _all_of(groups: Sequence[Group], members: Sequence[Sequence[Detection]], name: str) -> bool:
    """Whether every thing has the colour (or size) of its group, if that has one."""
    wanted = [getattr(group, name) for group in groups]
    return all(getattr(t, name) == want for want, things in zip(wanted, members, strict=True) if want for t in things)


def _positions(claim: Scene, members: Sequence[Sequence[Detection]]) -> bool:
    places = [
        at_place(thing, group.place)
        for group, things in zip(claim.groups, members, strict=True)
        if group.place
        for thing in things
    ]
    return all(places) and (claim.relation is None or related(claim.relation, members))


def at_place(thing: Detection, place: str) -> bool:
    """Whether a thing is at a place of PLACES; "left" is clearly left of the centre, and further left than up or down."""
    x, y = thing.x - 0.5, thing.y - 0.5
    if place == "middle":
        return max(abs(x), abs(y)) <= MIDDLE
    along, across = {"left": (-x, y), "right": (x, y), "top": (-y, x), "bottom": (y, x)}[place]
    return along >= EDGE and along > abs(across)


def related(relation: str, members: Sequence[Sequence[Detection]]) -> bool:
    """Whether group 0 is left of, right of, above or below group 1, or between groups 1 and 2."""
    if relation == "between":
        return _between(_middle(members[0]), _middle(members[1]), _middle(members[2]))
    first, second = members[0], members[1]
    if relation in ("right", "below"):
        first, second = second, first
    axis, other = ("x", "y") if relation in ("left", "right") else ("y", "x")
    gap = min(getattr(t, axis) for t in second) - max(getattr(t, axis) for t in first)
    (ax, ay), (bx, by) = _middle(first), _middle(second)
    slope = abs(by - ay) if other == "y" else abs(bx - ax)
    return gap >= APART and gap >= slope


def _middle(things: Sequence[Detection]) -> tuple[float, float]:
    return sum(t.x for t in things) / len(things), sum(t.y for t in things) / len(things)


def _between(p: tuple[float, float], a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Whether p lies beside the middle part of the line from a to b, 0.2 to 0.8 of its length (the world: 0.43 to 0.57), off it
    by at most 0.4 of that length (0.3)."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    length = dx * dx + dy * dy
    if length < (2 * APART) ** 2:
        return False
    share = ((p[0] - a[0]) * dx + (p[1] - a[1]) * dy) / length
    off = abs((p[0] - a[0]) * dy - (p[1] - a[1]) * dx) / length
    return 0.2 <= share <= 0.8 and off <= 0.4
