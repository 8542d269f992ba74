"""Is a thing well drawn? The judge asks whether there is a cat; here each thing that it found is compared with true drawings.

For a thing of some kind and colour, many true drawings are made, in every pose that the world has. Each is laid over the
thing's place, a little moved and scaled, on the colour that surrounds it. The *deviation* is the least mean difference of
colour (0 to 1) between image and drawing, on the drawing and just round it: wavy edges, missing beaks and colour that runs
over all count. Deviations mean something only beside those of real images that went through the same VAE.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from minidiff.data.world import drawing
from minidiff.data.world.scenes import SHAPES
from minidiff.evaluate.judge import Detection, Seen

SIDE = 48        # pixels of the square in which image and drawing are compared
REACH = 1.35     # half that square, in radii of the thing
POSES = 96       # true drawings of each kind and colour
ROUNDS = ((0.08, 8), (0.03, 4), (0.01, 2))  # step of moves (in radii) and scales, and how many poses are still tried
RING = 2         # pixels round the drawing that must look like what is round them


@lru_cache(len(SHAPES) * len(drawing.COLOURS))
def true_drawings(kind: str, colour: str) -> tuple[Tensor, Tensor]:
    """Colours (POSES, 3, SIDE, SIDE) in 0..1, already weighted by cover, and cover (POSES, 1, SIDE, SIDE), 1 on the drawing."""
    fine, found = 4, []
    for pose in range(POSES):
        parts = drawing.parts_of(kind, colour, random.Random(pose))
        layers = []
        for ground in (0, 255):
            canvas = Image.new("RGB", (SIDE * fine, SIDE * fine), (ground,) * 3)
            centre, radius = (SIDE * fine / 2, SIDE * fine / 2), SIDE * fine / (2 * REACH)
            drawing.paint(ImageDraw.Draw(canvas), parts, centre, radius, drawing.rim(drawing.COLOURS[colour]))
            layers.append(np.asarray(canvas.reduce(fine), dtype=np.float32) / 255)
        found.append(np.stack(layers))
    black, white = torch.from_numpy(np.stack(found)).permute(1, 0, 4, 2, 3)                  # (POSES, 3, SIDE, SIDE) each
    return black, 1 - (white - black).mean(dim=1, keepdim=True)


def squares(image: Tensor, things: Sequence[Detection]) -> Tensor:
    """The surroundings (M, 3, SIDE, SIDE) of M things, cut out of image (3, H, W)."""
    steps = REACH * ((torch.arange(SIDE) + 0.5) / SIDE * 2 - 1)                             # over the square, in radii
    grids = []
    for thing in things:
        x, y = thing.x + thing.radius * steps, thing.y + thing.radius * steps               # in widths of the image
        grids.append(torch.stack([x.expand(SIDE, SIDE), y[:, None].expand(SIDE, SIDE)], dim=-1) * 2 - 1)
    grid = torch.stack(grids)                                                               # (M, SIDE, SIDE, 2)
    return F.grid_sample(image.expand(len(grid), -1, -1, -1), grid, padding_mode="border", align_corners=False)


def differences(cut: Tensor, colours: Tensor, cover: Tensor) -> Tensor:
    """Mean difference of colour (M, P) between squares (M, 3, S, S) and drawings (P, 3, S, S) with their cover (P, 1, S, S),
    each drawing on the median colour of the square's rim."""
    edge = torch.cat([cut[..., 0], cut[..., -1], cut[:, :, 0], cut[:, :, -1]], dim=-1)      # (M, 3, 4 S)
    ground = edge.median(dim=-1).values[:, None, :, None, None]                             # (M, 1, 3, 1, 1)
    error = (cut[:, None] - colours - (1 - cover) * ground).abs().mean(dim=2)               # (M, P, S, S)
    weight = F.max_pool2d(cover, 2 * RING + 1, stride=1, padding=RING)[:, 0]                # (P, S, S)
    return (error * weight).sum(dim=(2, 3)) / weight.sum(dim=(1, 2))


def deviation(image: Tensor, thing: Detection) -> float:
    """How far a thing in image (3, H, W), 0..1, is from the nearest true drawing of its kind and colour, 0 to 1."""
    colours, cover = true_drawings(thing.kind, thing.colour)
    found = differences(squares(image, [thing]), colours, cover)
    for step, poses in ROUNDS:
        best = found.amin(dim=0).topk(poses, largest=False).indices
        colours, cover = colours[best], cover[best]
        places = moved(thing, step)
        found = differences(squares(image, places), colours, cover)                         # (27, poses)
        thing = places[int(found.amin(dim=1).argmin())]
    return float(found.min())


def moved(thing: Detection, step: float) -> list[Detection]:
    """The thing where it is and moved and scaled by a step in every direction: 27 of them. step: in radii."""
    r, steps = thing.radius, (-step, 0.0, step)
    return [replace(thing, x=thing.x + r * dx, y=thing.y + r * dy, radius=r * (1 + grown))
            for grown in steps for dy in steps for dx in steps]  # fmt: skip


def deviations(images: Sequence[np.ndarray], seen: Sequence[Seen]) -> dict[str, list[float]]:
    """Of every thing found in the images (H, W, 3) uint8, by kind."""
    found: dict[str, list[float]] = defaultdict(list)
    for image, view in zip(images, seen, strict=True):
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float() / 255
        for thing in view.things:
            found[thing.kind].append(deviation(pixels, thing))
    return found


def compared(found: dict[str, list[float]], real: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Median deviation of generated things and of real ones, and their ratio, of each kind and "all" together."""
    rows = {}
    for kind in (*SHAPES, "all"):
        ours, theirs = (_of(table, kind) for table in (found, real))
        if ours and theirs:
            median, floor = float(np.median(ours)), float(np.median(theirs))
            rows[kind] = {"median": median, "real": floor, "ratio": median / floor, "things": len(ours)}
    return rows


def _of(table: dict[str, list[float]], kind: str) -> list[float]:
    every: Iterable[list[float]] = table.values() if kind == "all" else [table.get(kind, [])]
    return [value for values in every for value in values]
