"""The drawn world's words: a `Scene` says what is in an image, and stays as its ground truth.

A scene with fields left None is a *claim*: what a caption says and what it leaves open. Captions, prompt suites and the judge
all use claims. What this file is not: where things stand (`layout`), the image (`rendering`), random scenes (`random_scenes`).
Lesson 00 introduces the world.
"""

from __future__ import annotations

from dataclasses import dataclass

from minidiff.data.world.backdrops import SETTINGS as BACKDROPS
from minidiff.data.world.drawing import COLOURS as PALETTE
from minidiff.data.world.drawing import SHAPES as DRAWINGS

WORLD_VERSION = 1
SHAPES = tuple(DRAWINGS)
COLOURS = tuple(PALETTE)
SETTINGS = tuple(BACKDROPS)
SIZES = ("small", "big")
PLACES = ("left", "right", "top", "bottom", "middle")
SPOTS = ("top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom", "bottom right")
RELATIONS = ("left", "right", "above", "below", "between")
OPPOSITES = {"left": "right", "right": "left", "above": "below", "below": "above"}
MAX_COUNT = 4


@dataclass(frozen=True)
class Group:
    """`count` things of one kind, colour and size. In a claim, None means that the caption doesn't say."""

    kind: str
    colour: str | None = None
    size: str | None = None
    count: int = 1
    place: str | None = None  # one of PLACES, only for a single thing that is alone in its scene
    spot: str | None = None  # one of SPOTS, only in a claim to which `layout.tell_places` has added it


@dataclass(frozen=True)
class Scene:
    """A setting and one to three groups. `relation` reads: groups[0] is <relation> groups[1]; "between": groups[0] is
    between groups[1] and groups[2]. `seed` fixes everything that the words leave open."""

    setting: str | None
    groups: tuple[Group, ...]
    relation: str | None = None
    seed: int = 0


def is_ambiguous(scene: Scene) -> bool:
    """Whether the scene leaves open where its things stand ("between" does too: along which axis?). The hardest to learn."""
    return scene.relation in (None, "between") and all(group.place is None for group in scene.groups)
