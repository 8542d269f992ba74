"""The drawn world: a `Scene` says what is in a picture, `render` draws it, and the scene stays as ground truth.

A scene whose optional fields are None is a *claim*: what a caption says and leaves unsaid. Captions, prompt suites and
the judge all speak in claims. The words themselves are in `captions`; how a thing is drawn is in `drawing`.
Taught in the tour of the course; every shipped model learned this world and nothing else.
"""

from __future__ import annotations

import math
import random
import zlib
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from minidiff.data.world import drawing
from minidiff.data.world.backdrops import SETTINGS as BACKDROPS

WORLD_VERSION = 1
SHAPES = tuple(drawing.SHAPES)
COLOURS = tuple(drawing.COLOURS)
SETTINGS = tuple(BACKDROPS)
SIZES = ("small", "big")
PLACES = ("left", "right", "top", "bottom", "middle")
SPOTS = ("top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom", "bottom right")
RELATIONS = ("left", "right", "above", "below", "between")
OPPOSITES = {"left": "right", "right": "left", "above": "below", "below": "above"}
STYLES = ("flat",)
MAX_COUNT = 4
RADIUS = {"small": (0.105, 0.125), "big": (0.165, 0.190)}  # half the width of a thing, in widths of the picture
# ranges of seeds that never meet
SPLITS = {"train": 0, "validation": 1 << 40, "sides": 3 << 39, "test": 2 << 40, "judge": 3 << 40}


@dataclass(frozen=True)
class Group:
    """`count` things of one kind, colour and size. In a claim, None means that the caption does not say."""

    kind: str
    colour: str | None = None
    size: str | None = None
    count: int = 1
    place: str | None = None  # only ever set for a single thing that is alone in its scene
    spot: str | None = None  # only ever set in a claim that tells where each thing stands: `tell_spots`


@dataclass(frozen=True)
class Scene:
    """A setting and one to three groups. `relation` reads: groups[0] is <relation> groups[1]; "between": groups[0] is
    between groups[1] and groups[2]. `seed` fixes everything that the words leave open."""

    setting: str | None
    groups: tuple[Group, ...]
    relation: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class Thing:
    """One drawn thing: the index of its group, its centre and radius in widths of the picture."""

    group: int
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Render:
    """A drawn scene. image (H, W, 3) uint8; masks (N, H, W) uint8, 255 inside, empty unless asked for; boxes (N, 4)
    float, x0 y0 x1 y1 from 0 to 1 (the circle round each thing, cut at the edges); group (N,) index into scene.groups."""

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    group: NDArray[np.int64]
    masks: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0, 0), np.uint8))


# --- compositions that training never shows -------------------------------------------------------------------------


def compositions(scene: Scene) -> list[str]:
    """Every pair or triple in the scene (or claim) that may be held out: kind with colour, with setting, with number,
    with place, and kind-relation-kind."""
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
    """Whether a composition is kept from training: about one in twelve, by a hash that never changes."""
    return zlib.crc32(composition.encode()) % 12 == 0


def is_held_out(scene: Scene) -> bool:
    """Whether a scene (or claim) holds any composition that training never shows."""
    return any(held_out(composition) for composition in compositions(scene))


def is_unseen(scene: Scene) -> bool:
    """Whether a scene (or claim) holds a composition that no training caption says, not even turned round: "a star left of a
    house" is held out, but who has read "a house right of a star" has been told. Stricter than `is_held_out`."""
    if scene.relation not in OPPOSITES:
        return is_held_out(scene)
    turned = replace(scene, groups=scene.groups[::-1], relation=OPPOSITES[scene.relation])
    return is_held_out(replace(scene, relation=None)) or (is_held_out(scene) and is_held_out(turned))


# --- drawing lots ---------------------------------------------------------------------------------------------------


def sample_scene(rng: random.Random, held_out: bool | None = False) -> Scene:
    """A random scene. held_out False: one that training may show; True: one with a held-out composition; None: any."""
    while True:
        scene = _draw_lots(rng)
        if held_out is None or is_held_out(scene) == held_out:
            return scene


def sample_sides(rng: random.Random) -> Scene:
    """Two to four things that look alike, as two groups on two sides, the smaller first: "a car above two cars". Nothing else
    draws such scenes; they teach a number as the sum of what stands here and there. Never one with a held-out composition,
    nor with a held-out number of its kind."""
    while True:
        scene = sample_scene(rng)
        group, *others = scene.groups
        few = 2 if group.count == 4 and (group.size == "big" or rng.random() < 0.5) else 1  # three big ones need more room
        groups = tuple(replace(group, count=count) for count in (few, group.count - few))
        apart = replace(scene, groups=groups, relation=rng.choice(RELATIONS[:4]))
        if not others and group.count > 1 and not is_held_out(apart):
            return apart


def scene_at(index: int, split: str = "train") -> Scene:
    """The scene with this number in a split: always the same one. "judge" holds any composition; "train", "validation", "test"
    and "sides" (see `sample_sides`) only those that training may show."""
    rng = random.Random(SPLITS[split] + index)
    if split == "sides":
        return sample_sides(rng)
    return sample_scene(rng, None if split == "judge" else False)


def is_loose(scene: Scene) -> bool:
    """Whether the scene does not say where its things stand, or not wholly ("between": from left to right, or from top to
    bottom?): the hardest kind to draw, since it is then for the painter to decide, and for everything else in the picture
    to agree."""
    return scene.relation in (None, "between") and all(group.place is None for group in scene.groups)


def _draw_lots(rng: random.Random) -> Scene:
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
    """(kind, colour) of each group: kinds differ, but now and then one kind comes twice in two colours."""
    kinds = rng.sample(SHAPES, how_many)
    colours = [rng.choice(COLOURS) for _ in kinds]
    if how_many == 2 and rng.random() < 0.12:
        kinds[1], colours = kinds[0], rng.sample(COLOURS, 2)
    return list(zip(kinds, colours, strict=True))


# --- placing --------------------------------------------------------------------------------------------------------


def layout(scene: Scene) -> list[Thing]:
    """Where each thing stands. Deterministic; nothing overlaps, nothing leaves the picture, and what the scene says of
    places and relations holds with a margin (see `tests/test_world.py`)."""
    rng = random.Random(scene.seed)
    radii = [[rng.uniform(*RADIUS[group.size or "small"])] * group.count for group in scene.groups]
    if scene.relation is not None:
        spots = _related(rng, scene, [r[0] for r in radii])
    elif len(scene.groups) == 1 and scene.groups[0].count == 1:
        spots = [_placed(rng, scene.groups[0].place, radii[0][0])]
    else:
        spots = _scattered(rng, [r for group in radii for r in group])
    owners = [k for k, group in enumerate(scene.groups) for _ in range(group.count)]
    flat = [r for group in radii for r in group]
    return [Thing(k, x, y, r) for k, (x, y), r in zip(owners, spots, flat, strict=True)]


def _placed(rng: random.Random, place: str | None, radius: float) -> tuple[float, float]:
    """One thing alone: at the edge or in the middle if the scene says so, else anywhere."""
    near, low = radius + rng.uniform(0.02, 0.08), radius + 0.02
    free = rng.uniform(0.36, 0.64)
    if place is None:
        return rng.uniform(low, 1 - low), rng.uniform(low, 1 - low)
    if place == "middle":
        return rng.uniform(0.46, 0.54), rng.uniform(0.46, 0.54)
    return {"left": (near, free), "right": (1 - near, free), "top": (free, near), "bottom": (free, 1 - near)}[place]


def _related(rng: random.Random, scene: Scene, radii: list[float]) -> list[tuple[float, float]]:
    """Groups along one axis in the order that the relation asks for; things of one group stand side by side across it."""
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
    spots = []
    for k, group in enumerate(scene.groups):
        for across in _side_by_side(rng, group.count, radii[k]):
            spots.append((across, along[k]) if upright else (along[k], across))
    return spots


def _side_by_side(rng: random.Random, count: int, radius: float) -> list[float]:
    """Positions across the axis: around the middle for one thing, spread evenly for more."""
    if count == 1:
        return [rng.uniform(0.40, 0.60)]
    step = min((0.96 - 2 * radius) / (count - 1), 2 * radius * rng.uniform(1.15, 1.45))
    start = 0.5 - step * (count - 1) / 2
    slack = max(0.0, start - radius - 0.02)
    shift = rng.uniform(-1, 1) * min(slack, 0.08)
    return [start + step * k + shift for k in range(count)]


def _scattered(rng: random.Random, radii: list[float]) -> list[tuple[float, float]]:
    """Anywhere, without touching; after too many bad throws, the corners of a slightly moved square."""
    for _ in range(40):
        spots: list[tuple[float, float]] = []
        for radius in radii:
            x, y = (rng.uniform(radius + 0.02, 0.98 - radius) for _ in range(2))
            if any(math.dist((x, y), s) < (radius + r) * 1.1 for s, r in zip(spots, radii, strict=False)):
                break
            spots.append((x, y))
        else:
            return spots
    corners = [(0.26, 0.26), (0.74, 0.26), (0.26, 0.74), (0.74, 0.74)]
    rng.shuffle(corners)
    return [(x + rng.uniform(-0.03, 0.03), y + rng.uniform(-0.03, 0.03)) for x, y in corners[: len(radii)]]


def spot_of(x: float, y: float) -> str:
    """The word of SPOTS for a centre, in widths of the picture."""
    row, column = (0 if at < 0.4 else 2 if at > 0.6 else 1 for at in (y, x))
    return SPOTS[3 * row + column]


def tell_spots(claim: Scene, scene: Scene) -> Scene:
    """The claim, and where each thing of the scene stands: of every thing when the claim has no relation, of the outer two
    when it says "between". Unchanged when it speaks of one thing or of several alike, when it has another relation, when two
    things share a spot, and when that would show a held-out composition (a kind at a place) in training."""
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


# --- drawing --------------------------------------------------------------------------------------------------------


def render(scene: Scene, size: int = 128, style: str = "flat", masks: bool = False) -> Render:
    """Draw a scene: anti-aliased, deterministic, the same picture at every size (32 to 512 pixels).

    Raises ValueError for a size or style out of range, or for a claim that leaves setting, colour or size open.
    """
    if not 32 <= size <= 512:
        raise ValueError(f"The size of a picture must be from 32 to 512 pixels, not {size}.")
    if style not in STYLES:
        raise ValueError(f"There is no style {style!r}: choose from {', '.join(STYLES)}.")
    if scene.setting is None or any(group.colour is None or group.size is None for group in scene.groups):
        raise ValueError("A scene must name its setting, colours and sizes before it can be drawn; complete() fills them.")
    fine = 3 if size <= 192 else 2  # drawn larger, then averaged down: that is the anti-aliasing
    canvas = BACKDROPS[scene.setting](size * fine, random.Random(scene.seed + 1))
    draw = ImageDraw.Draw(canvas)
    things, shapes = layout(scene), []
    for k, thing in enumerate(things):
        group = scene.groups[thing.group]
        parts = drawing.parts_of(group.kind, group.colour or "", random.Random(scene.seed + 2 + k))
        shapes.append((parts, (thing.x * size * fine, thing.y * size * fine), thing.radius * size * fine))
        drawing.paint(draw, *shapes[-1], drawing.rim(drawing.COLOURS[group.colour or ""]))
    image = np.asarray(canvas.reduce(fine))
    edges = [(t.x - t.radius, t.y - t.radius, t.x + t.radius, t.y + t.radius) for t in things]
    boxes = np.array(edges, dtype=np.float32).clip(0, 1)
    owners = np.array([thing.group for thing in things])
    return Render(image, boxes, owners, *([_masks(shapes, size, fine)] if masks else []))


def _masks(shapes: list, size: int, fine: int) -> NDArray[np.uint8]:
    layers = []
    for parts, centre, radius in shapes:
        layer = Image.new("L", (size * fine, size * fine))
        drawing.silhouette(ImageDraw.Draw(layer), parts, centre, radius)
        layers.append(np.asarray(layer.reduce(fine)))
    return np.stack(layers)


def complete(claim: Scene, rng: random.Random) -> Scene:
    """A full scene that the claim is true of: what it leaves open is drawn by lot. Sizes follow the world's rules."""
    total = sum(group.count for group in claim.groups)
    groups: list[Group] = []
    for k, group in enumerate(claim.groups):
        free = len(claim.groups) == 1 or (len(claim.groups) == 2 and (total < 4 or group.count == 1)) or k == 0
        size = group.size or (rng.choice(SIZES) if free else "small")
        taken = {g.colour for g in claim.groups if g.kind == group.kind} | {g.colour for g in groups if g.kind == group.kind}
        colour = group.colour or rng.choice([c for c in COLOURS if c not in taken])
        groups.append(Group(group.kind, colour, size, group.count, group.place))
    return Scene(claim.setting or rng.choice(SETTINGS), tuple(groups), claim.relation, rng.getrandbits(32))
