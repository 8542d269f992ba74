"""Compositions that training never shows, on which prompt following is measured: one in twelve pairs such as "red star",
"star at sea" or "star left of house", chosen by a hash."""

from __future__ import annotations

import zlib
from dataclasses import replace

from minidiff.data.world.scenes import OPPOSITES, Scene


def compositions(scene: Scene) -> list[str]:
    """Every combination in the scene (or claim) that may be held out: kind with colour, with setting, with number, with
    place, and kind-relation-kind."""
    found = []
    for group in scene.groups:
        found += [f"{group.kind} {group.colour}"] if group.colour else []
        found += [f"{group.kind} in {scene.setting}"] if scene.setting else []
        found += [f"{group.count} x {group.kind}"] if group.count > 1 else []
        found += [f"{group.kind} at {group.place}"] if group.place else []
    if scene.relation and len(scene.groups) > 1:
        found += [f"{scene.groups[0].kind} {scene.relation} {other.kind}" for other in scene.groups[1:]]
    return found


def held_out(composition: str) -> bool:
    """Whether training never shows a composition: about one in twelve, by a hash that never changes."""
    return zlib.crc32(composition.encode()) % 12 == 0


def is_held_out(scene: Scene) -> bool:
    """Whether a scene (or claim) has any composition that training never shows."""
    return any(held_out(composition) for composition in compositions(scene))


def is_unseen(scene: Scene) -> bool:
    """Whether a scene (or claim) has a composition that no training caption says, not even the other way round. Stricter
    than `is_held_out`: "a star left of a house" may be held out while training says "a house right of a star"."""
    if scene.relation not in OPPOSITES:
        return is_held_out(scene)
    turned = replace(scene, groups=scene.groups[::-1], relation=OPPOSITES[scene.relation])
    return is_held_out(replace(scene, relation=None)) or (is_held_out(scene) and is_held_out(turned))
