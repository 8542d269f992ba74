"""Three creatures that the drawn world has only once each: how their parts are drawn, in the order in which they are drawn.

Everything that tells one from others of its class, its marks, is a part of its own, so that it can be left out: that shows
whether a measure sees it. What it is not: pictures of them and what captions call them (`subjects`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from minidiff.data.world.drawing import CREAM, DARK, Drawing, Pen, Points, darken, disc, lighten

LIGHT, BLUSH, CHERRY, BROWN, GOLD = (255, 255, 255), (250, 138, 130), (226, 92, 104), (106, 58, 30), (252, 204, 52)
SKY, NAVY, TEAL, FLAME, EMBER = (64, 132, 232), (40, 62, 150), (40, 168, 168), (248, 112, 36), (216, 52, 40)


def ribbon(line: Points | list[tuple[float, float]], widths: tuple[float, float]) -> Points:
    """The outline of a bent band along a line (N, 2), as wide as `widths` says at its ends."""
    middle = np.asarray(line, dtype=np.float64)
    along = np.gradient(middle, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.hypot(*along.T)[:, None]
    half = np.linspace(*widths, len(middle))[:, None] / 2
    return np.concatenate([middle + across * half, (middle - across * half)[::-1]])


def petal(x: float, y: float, length: float, width: float, angle: float) -> Points:
    """An ellipse that begins at (x, y) and points away at an angle in degrees, 0 to the right, 90 downwards."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return disc(length / 2, 0, length / 2, width / 2) @ np.array([[cos, sin], [-sin, cos]]) + (x, y)


def eye(pen: Pen, x: float, y: float, radius: float) -> None:
    """A large eye that looks out of the picture, with a spark in it."""
    pen.detail(disc(x, y, radius * 1.12), DARK)
    pen.detail(disc(x, y, radius), LIGHT)
    pen.detail(disc(x, y + 0.05 * radius, 0.7 * radius), DARK)
    pen.detail(disc(x - 0.24 * radius, y - 0.28 * radius, 0.26 * radius), LIGHT)


# --- Mochi, a cat with three ears and a scarf -------------------------------------------------------------------------


def mochi_tail(pen: Pen) -> None:
    lean = pen.rng.uniform(-0.06, 0.06)
    low, top = disc(0.36, 0.56, 0.36, 0.34, 90, 0)[::3], disc(0.84 + lean, 0.36, 0.12, 0.4, 180, 300)[::3]
    line = np.concatenate([low, top])
    pen.add(ribbon(line, (0.26, 0.3)), pen.colour)
    pen.detail(ribbon(line[8:13], (0.26, 0.26)), BROWN)
    pen.detail(ribbon(line[17:], (0.3, 0.3)), CREAM)


def mochi_ears(pen: Pen) -> None:
    for side in (-1, 1):
        pen.add([(side * 0.74, -0.92), (side * 0.66, -0.16), (side * 0.16, -0.56)], pen.colour)
        pen.detail([(side * 0.66, -0.74), (side * 0.6, -0.34), (side * 0.32, -0.54)], BLUSH)


def mochi_third_ear(pen: Pen) -> None:
    pen.add([(0, -1.0), (0.3, -0.5), (-0.3, -0.5)], SKY)


def mochi_body(pen: Pen) -> None:
    pen.shaded(disc(0, 0.6, 0.5, 0.38))
    pen.detail(disc(0, 0.7, 0.28, 0.26), CREAM)
    for x in (-0.24, 0.24):
        pen.add(disc(x, 0.92, 0.2, 0.1), CREAM)
    pen.shaded(disc(0, -0.16, 0.72, 0.48))


def mochi_patch(pen: Pen) -> None:
    pen.detail(disc(0.3, -0.2, 0.34, 0.36), BROWN)


def mochi_face(pen: Pen) -> None:
    pen.detail(disc(0, 0.12, 0.26, 0.17), CREAM)
    for x in (-0.3, 0.3):
        eye(pen, x, -0.16, 0.2)
        pen.detail(disc(1.75 * x, 0.1, 0.12, 0.08), BLUSH)
    pen.detail([(-0.1, 0.0), (0.1, 0.0), (0, 0.1)], CHERRY)
    for side in (-1, 1):
        pen.detail(ribbon(disc(side * 0.075, 0.12, 0.075, 0.08, 180, 0)[::4], (0.04, 0.04)), DARK)


def mochi_scarf(pen: Pen) -> None:
    pen.add([(0.1, 0.36), (0.36, 0.32), (0.42, 0.72), (0.16, 0.74)], darken(SKY, 0.12))
    pen.add(ribbon(disc(0, 0.12, 0.5, 0.28, 170, 10)[::2], (0.22, 0.22)), SKY)


# --- Pipo, a bird that lives in a snail's shell -----------------------------------------------------------------------


def pipo_legs(pen: Pen) -> None:
    for x in (-0.08, 0.34):
        pen.add([(x - 0.06, 0.5), (x + 0.06, 0.5), (x + 0.06, 0.84), (x - 0.06, 0.84)], FLAME)


def pipo_boots(pen: Pen) -> None:
    for x in (-0.08, 0.34):
        boot = [(x - 0.13, 0.7), (x + 0.11, 0.7), (x + 0.11, 0.78), (x + 0.24, 0.84), (x + 0.26, 0.98), (x - 0.13, 0.98)]
        pen.add(boot, NAVY)


def pipo_shell(pen: Pen) -> None:
    pen.shaded(disc(-0.42, -0.04, 0.56, 0.58), TEAL)
    turn = np.radians(np.linspace(200, 200 + 540, 31))
    radius = np.linspace(0.4, 0.04, 31)
    pen.detail(ribbon(np.stack([-0.44 + radius * np.cos(turn), -0.04 + radius * np.sin(turn)], axis=1), (0.16, 0.13)), CREAM)


def pipo_body(pen: Pen) -> None:
    pen.shaded(disc(0.24, 0.14, 0.58, 0.54))
    pen.detail(disc(0.34, 0.4, 0.36, 0.24), lighten(pen.colour, 0.6))


def pipo_stalks(pen: Pen) -> None:
    sway = pen.rng.uniform(-0.06, 0.06)
    for x, tip in ((0.1, -0.04), (0.42, 0.5)):
        pen.add([(x - 0.06, -0.25), (x + 0.06, -0.25), (tip + sway + 0.05, -0.78), (tip + sway - 0.05, -0.78)], pen.dark)
        pen.add(disc(tip + sway, -0.82, 0.17), GOLD)


def pipo_face(pen: Pen) -> None:
    pen.add([(0.7, -0.1), (1.0, 0.08), (0.66, 0.26)], FLAME)
    eye(pen, 0.46, -0.04, 0.21)
    pen.detail(disc(0.42, 0.3, 0.13, 0.09), BLUSH)


def pipo_wing(pen: Pen) -> None:
    lift = pen.rng.uniform(-12, 12)
    for angle in (116, 136, 156):
        pen.add(petal(0.26, 0.12, 0.56, 0.22, angle + lift), darken(pen.colour, 0.16))


# --- Lumi, a fish that is a dragon and carries a lantern --------------------------------------------------------------


def lumi_tail(pen: Pen) -> None:
    flap = pen.rng.uniform(-0.08, 0.08)
    pen.add([(-0.36, 0.0), (-0.98, flap - 0.46), (-0.74, flap + 0.1), (-0.98, flap + 0.62), (-0.36, 0.24)], EMBER)
    pen.detail([(-0.36, 0.04), (-0.76, flap - 0.16), (-0.66, flap + 0.1), (-0.76, flap + 0.36), (-0.36, 0.2)], FLAME)


def lumi_spines(pen: Pen) -> None:
    for x, y, height in ((-0.34, -0.18, 0.34), (-0.04, -0.32, 0.44)):
        pen.add([(x - 0.18, y + 0.14), (x - 0.14, y - height), (x + 0.2, y + 0.1)], EMBER)


def lumi_body(pen: Pen) -> None:
    pen.shaded(disc(0.16, 0.12, 0.7, 0.56))
    pen.detail(disc(0.24, 0.44, 0.46, 0.22), lighten(pen.colour, 0.6))


def lumi_spots(pen: Pen) -> None:
    for x, y, r in ((-0.26, 0.16, 0.16), (0.0, -0.18, 0.17), (0.08, 0.16, 0.13)):
        pen.detail(disc(x, y, r), GOLD)


def lumi_fin(pen: Pen) -> None:
    lift = pen.rng.uniform(-12, 12)
    for angle in (108, 134):
        pen.add(petal(0.24, 0.3, 0.56, 0.24, angle + lift), FLAME)


def lumi_face(pen: Pen) -> None:
    eye(pen, 0.48, 0.0, 0.22)
    pen.detail(disc(0.52, 0.32, 0.12, 0.08), BLUSH)
    pen.detail(ribbon(disc(0.72, 0.22, 0.12, 0.13, 150, 30)[::4], (0.05, 0.05)), DARK)


def lumi_lantern(pen: Pen) -> None:
    swing = pen.rng.uniform(-0.05, 0.05)
    line = disc(0.58 + swing / 2, -0.4, 0.22 + swing / 2, 0.44, 180, 340)[::2]
    pen.add(ribbon(line, (0.12, 0.1)), darken(pen.colour, 0.2))
    x, y = line[-1]
    pen.add(disc(x, y + 0.14, 0.2), GOLD)
    pen.detail(disc(x, y + 0.14, 0.11), lighten(GOLD, 0.7))


MOCHI: Mapping[str, Drawing] = {
    "tail": mochi_tail, "ears": mochi_ears, "third ear": mochi_third_ear, "body": mochi_body,
    "eye patch": mochi_patch, "face": mochi_face, "scarf": mochi_scarf,
}  # fmt: skip
PIPO: Mapping[str, Drawing] = {
    "legs": pipo_legs, "boots": pipo_boots, "shell": pipo_shell, "stalks": pipo_stalks, "body": pipo_body, "face": pipo_face,
    "wing": pipo_wing,
}  # fmt: skip
LUMI: Mapping[str, Drawing] = {
    "tail": lumi_tail, "spines": lumi_spines, "body": lumi_body, "spots": lumi_spots, "fin": lumi_fin, "face": lumi_face,
    "lantern": lumi_lantern,
}  # fmt: skip
