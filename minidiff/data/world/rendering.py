"""A scene as an image, with masks and boxes of its things."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from minidiff.data.world import drawing
from minidiff.data.world.backdrops import SETTINGS as BACKDROPS
from minidiff.data.world.layout import layout
from minidiff.data.world.scenes import Scene
from minidiff.data.world.styles import STYLES, restyled

FLAT = "flat"
ALL_STYLES = (FLAT, *STYLES)


@dataclass(frozen=True)
class Render:
    """A drawn scene. image (H, W, 3) uint8; boxes (N, 4) float, x0 y0 x1 y1 from 0 to 1 (the circle round each thing, cut at
    the edges); group (N,) index into scene.groups; masks (N, H, W) uint8, 255 inside, empty unless wanted."""

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    group: NDArray[np.int64]
    masks: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0, 0), np.uint8))


def render(
    scene: Scene,
    size: int = 128,
    style: str = FLAT,
    masks: bool = False,
    drawings: Mapping[str, drawing.Drawing] = drawing.SHAPES,
) -> Render:
    """Draw a scene: anti-aliased, deterministic, the same image at every size (32 to 512 pixels). drawings: of each kind.

    Raises ValueError for a size or style out of range, or for a claim that leaves setting, colour or size open.
    """
    if not 32 <= size <= 512:
        raise ValueError(f"The size of an image must be from 32 to 512 pixels, not {size}.")
    if style not in ALL_STYLES:
        raise ValueError(f"There is no style {style!r}: choose from {', '.join(ALL_STYLES)}.")
    if scene.setting is None or any(group.colour is None or group.size is None for group in scene.groups):
        raise ValueError("A scene must name its setting, colours and sizes before it can be drawn; complete() fills them.")
    fine = 3 if size <= 192 else 2  # drawn larger, then averaged down: that is the anti-aliasing
    canvas = BACKDROPS[scene.setting](size * fine, random.Random(scene.seed + 1))
    draw = ImageDraw.Draw(canvas)
    things, shapes = layout(scene), []
    for k, thing in enumerate(things):
        group = scene.groups[thing.group]
        parts = drawing.parts_of(group.kind, group.colour or "", random.Random(scene.seed + 2 + k), drawings)
        shapes.append((parts, (thing.x * size * fine, thing.y * size * fine), thing.radius * size * fine))
        drawing.paint(draw, *shapes[-1], drawing.rim(drawing.COLOURS[group.colour or ""]))
    edges = [(t.x - t.radius, t.y - t.radius, t.x + t.radius, t.y + t.radius) for t in things]
    boxes = np.array(edges, dtype=np.float32).clip(0, 1)
    owners = np.array([thing.group for thing in things])
    image = np.asarray(canvas.reduce(fine))
    image = image if style == FLAT else restyled(image, style, scene.seed)
    return Render(image, boxes, owners, *([_masks(shapes, size, fine)] if masks else []))


def _masks(shapes: list, size: int, fine: int) -> NDArray[np.uint8]:
    layers = []
    for parts, centre, radius in shapes:
        layer = Image.new("L", (size * fine, size * fine))
        drawing.silhouette(ImageDraw.Draw(layer), parts, centre, radius)
        layers.append(np.asarray(layer.reduce(fine)))
    return np.stack(layers)
