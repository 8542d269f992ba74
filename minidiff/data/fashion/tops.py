"""T-shirts, shirts and sweaters, and the parts that everything with sleeves is made of, from the back to the front.

What it is not: the tools of the cut (cutting.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minidiff.data.fashion.cutting import Cutter, Fold, Points, across, between, both, mirrored, spline
from minidiff.data.fashion.garments import Garment

NECK, TOP = 0.19, -0.80  # where the shoulder begins: half the neck's width, and its height
TIP, ARMPIT = (0.50, -0.70), (0.43, -0.27)  # the two ends of the armhole
DEPTHS = {"round": 0.17, "V": 0.40, "high": 0.05, "collar": 0.13, "hood": 0.15, "lapels": 0.62}


def neckline(kind: str) -> Points:
    """The front's edge from the middle to the shoulder."""
    depth = DEPTHS[kind]
    if kind in ("V", "lapels"):
        return spline((0, TOP + depth), (0.55 * NECK, TOP + 0.42 * depth), (NECK, TOP))
    return spline((0, TOP + depth), (0.5 * NECK, TOP + 0.86 * depth), (0.9 * NECK, TOP + 0.45 * depth), (NECK, TOP))


def back(cut: Cutter, kind: str) -> None:
    """The inside of the back, which is seen through the neck, with its label."""
    edge = spline((0, TOP + 0.04), (0.6 * NECK, TOP + 0.03), (NECK + 0.01, TOP))
    cut.add(both(edge, np.array([(NECK + 0.03, TOP + 0.1), (0.1, TOP + DEPTHS[kind] + 0.06)])), tone=-0.40, puff=0.2)
    cut.add(both(np.array([(0, TOP + 0.055), (0.035, TOP + 0.055), (0.035, TOP + 0.095)])), colour=(206, 202, 194), puff=0)


def sleeves(cut: Cutter, long: bool, width: float = 1.0, cuff: float = 0.0, ribs: float = 0.0, cuff_ribs: float = 0.0) -> None:
    """Both sleeves. width: 1 for a shirt's; cuff: how long the cuffs are, 0 for none."""
    spread = cut.rng.uniform(-0.02, 0.03)
    low = 0.74 - 0.17 * width
    for side in (-1, 1):
        if long:
            outer = spline(TIP, (0.60 + 0.03 * width, -0.56), (0.72 + spread, -0.05), (0.82 + spread, 0.52))
            end = spline((0.82 + spread, 0.52), (low + 0.16 + spread, 0.55), (low + 0.09 + spread, 0.565))
            inner = spline(tuple(end[-1]), (low - 0.01 + spread, 0.02), ARMPIT, (0.38, -0.4))
            folds = [cut.fold((0.73, -0.1 + 0.09 * k), (0.58, -0.02 + 0.09 * k), 0.5, 0.028) for k in range(3)]
            folds += [cut.fold((0.60, -0.4), (0.72, 0.4), -0.35, 0.04), cut.fold((0.5, -0.5), (0.52, -0.2), -0.5, 0.03)]
            grain, back_up = -0.2, np.array((-0.008, -0.03))
        else:
            outer = spline(TIP, (0.66, -0.60), (0.89 + spread, -0.27))
            end = spline((0.89 + spread, -0.27), (0.79, -0.185), (0.87 - 0.18 * width, -0.11))
            inner = spline(tuple(end[-1]), (0.54, -0.19), ARMPIT, (0.38, -0.4))
            folds = [cut.fold((0.50, -0.5), (0.66, -0.2), -0.5, 0.03), cut.fold((0.58, -0.62), (0.78, -0.3), 0.3, 0.04)]
            grain, back_up = -0.66, np.array((-0.024, -0.028))
        looks = {"grain": side * grain, "ribs": ribs}
        placed = [Fold(mirrored(fold.points, side), fold.depth, fold.width) for fold in folds]
        stitches = [] if cuff or ribs else [mirrored(end + back_up, side)]
        outline = np.concatenate([outer, end, inner, [(0.38, -0.6)]])
        cut.add(mirrored(outline, side), folds=placed, stitches=stitches, **looks)
        if cuff:
            upper, lower = end + back_up * cuff / 0.03, end + (0.004, 0.004)
            edge = [] if cuff_ribs else [mirrored(upper - 0.3 * back_up, side)]
            cut.add(
                mirrored(between(upper, lower), side), grain=side * grain, tone=-0.05, puff=0.6, ribs=cuff_ribs, stitches=edge
            )


def front(neck: Points, hem: float, waist: float, flare: float = 0.02, curved: float = 0.02) -> tuple[Points, list[Points]]:
    """The outline of a front that ends at the height `hem`, and its two armholes. waist: half its width; flare: how much wider
    the hem is; curved: how much its corners are rounded."""
    shoulder = spline(tuple(neck[-1]), (0.36, -0.755), TIP)
    armhole = spline(TIP, (0.455, -0.55), (0.43, -0.40), ARMPIT)
    side = spline(ARMPIT, (waist, 0.02), (waist + flare, hem - curved))
    bottom = spline((waist + flare, hem - curved), (0.55 * waist, hem), (0, hem + 0.012))
    return both(neck, shoulder, armhole, side, bottom), [armhole, mirrored(armhole)]


def drape(cut: Cutter, hem: float, waist: float, strength: float = 1.0) -> list[Fold]:
    """The folds of a front: from the armpits to the middle, and upright ones above the hem."""
    folds = []
    for side in (-1, 1):
        folds += [
            cut.fold((side * 0.42, -0.24), (side * 0.16, 0.10), -0.42 * strength, 0.04),
            cut.fold((side * 0.43, -0.10), (side * 0.20, 0.30), 0.34 * strength, 0.05),
            cut.fold((side * (waist - 0.04), 0.16), (side * 0.12, 0.24), 0.3 * strength, 0.035),
            cut.fold((side * 0.30, 0.12), (side * 0.36, hem), -0.4 * strength, 0.045, 1.4),
        ]
    places = [cut.rng.uniform(-0.25, 0.25) for _ in range(2)]
    return [*folds, *(cut.fold((x, -0.05), (x * 1.2, hem), 0.32 * strength, 0.05, 1.4) for x in places)]


def hem_line(hem: float, waist: float, up: float = 0.045, curved: float = 0.02) -> Points:
    """A line along the hem, a little above it."""
    return spline((-waist, hem - curved - up), (-0.55 * waist, hem - up), (0.55 * waist, hem - up), (waist, hem - curved - up))


def hem_band(cut: Cutter, hem: float, waist: float, high: float, **looks: Any) -> None:
    """A knitted band at the hem."""
    upper = spline((0, hem - high + 0.012), (0.55 * waist, hem - high), (waist + 0.005, hem - high - 0.02))
    cut.add(between(across(upper), across(upper * (0.97, 1) + (0, high + 0.006))), puff=0.6, **looks)


def collar_band(cut: Cutter, neck: Points, wide: float, **looks: Any) -> None:
    """A band of cloth along the neckline."""
    outward = neck + np.linspace((0, wide), (0.8 * wide, 0.5 * wide), len(neck))
    cut.add(between(across(neck), across(outward)), puff=0.4, **looks)


def t_shirt(cut: Cutter, garment: Garment) -> None:
    hem, waist = cut.vary(0.70), cut.vary(0.43, 0.04)
    kind = garment.neckline or "round"
    back(cut, kind)
    sleeves(cut, garment.sleeve == "long")
    outline, armholes = front(neckline(kind), hem, waist)
    cut.add(outline, folds=drape(cut, hem, waist), stitches=[hem_line(hem, waist)], seams=armholes)
    collar_band(cut, neckline(kind), 0.034, tone=-0.07)


def collar_back(cut: Cutter, wide: float, high: float) -> None:
    """The part of a collar that stands behind the neck."""
    rim = spline((0, TOP - high + 0.025), (0.6 * wide, TOP - high + 0.015), (wide, TOP - high))
    cut.add(both(rim, spline((wide, TOP + 0.05), (0, TOP + 0.06))), tone=-0.22, puff=0.3)


def shirt(cut: Cutter, garment: Garment) -> None:
    hem, waist = cut.vary(0.74, 0.05), cut.vary(0.41, 0.04)
    back(cut, "collar")
    collar_back(cut, NECK, 0.035)
    sleeves(cut, garment.sleeve == "long", cuff=0.1 if garment.sleeve == "long" else 0)
    outline, armholes = front(neckline("collar"), hem, waist, curved=0.09)
    yoke = spline((0.25, -0.62), (0.36, -0.63), (0.47, -0.60))
    cut.add(outline, folds=drape(cut, hem, waist), stitches=[hem_line(hem, waist, 0.03, 0.09)],
            seams=[*armholes, yoke, mirrored(yoke)])  # fmt: skip
    line = np.array([(0.045, TOP + 0.16), (0.045, hem - 0.004)])
    cut.add(between(line, line * (-1, 1)), puff=0.25, stitches=[line - (0.012, 0), (line - (0.012, 0)) * (-1, 1)])
    if cut.rng.random() < 0.6:
        pocket = np.array([(0.13, -0.42), (0.33, -0.43), (0.335, -0.24), (0.235, -0.19), (0.135, -0.23)])
        cut.add(
            pocket,
            puff=0.3,
            stitches=[pocket[[0, 1]] + (0, 0.035), (pocket[[1, 2, 3, 4, 0]] - (0.235, -0.3)) * 0.93 + (0.235, -0.3)],
        )
    turned_collar(cut, DEPTHS["collar"])
    for y in np.linspace(TOP + 0.22, hem - 0.14, 6):
        cut.button(0, float(y))


def turned_collar(cut: Cutter, depth: float) -> None:
    """A shirt's collar: round the neck, and two leaves that are folded down."""
    for side in (-1, 1):
        inner = spline((0.012, TOP + depth + 0.015), (0.10, TOP + 0.075), (NECK + 0.005, TOP - 0.035))
        leaf = np.concatenate(
            [
                inner,
                spline((NECK + 0.05, TOP + 0.035), (0.235, TOP + 0.15)),
                spline((0.15, TOP + 0.245), (0.012, TOP + depth + 0.02)),
            ]
        )
        stitch = spline((0.205, TOP + 0.145), (0.15, TOP + 0.215), (0.05, TOP + depth + 0.035))
        cut.add(mirrored(leaf, side), grain=side * 0.5, tone=0.03, puff=0.6, stitches=[mirrored(stitch, side)])


def sweater(cut: Cutter, garment: Garment) -> None:
    hem, waist = cut.vary(0.66), cut.vary(0.45, 0.04)
    kind, ribs = garment.neckline or "round", 34.0
    if kind != "high":
        back(cut, kind)
    sleeves(cut, True, width=1.15, cuff=0.1, ribs=ribs, cuff_ribs=60)
    outline, armholes = front(neckline(kind), hem, waist)
    cut.add(outline, folds=drape(cut, hem, waist, 0.9), ribs=ribs, seams=armholes)
    hem_band(cut, hem, waist + 0.02, 0.1, tone=-0.05, ribs=60)
    if kind == "high":
        rim = spline((0, TOP - 0.13), (0.6 * NECK, TOP - 0.135), (0.92 * NECK, TOP - 0.155))
        turned = both(
            rim,
            spline((0.98 * NECK, TOP - 0.09), (NECK + 0.015, TOP + 0.015)),
            spline((0.6 * NECK, TOP + 0.07), (0, TOP + 0.085)),
        )
        cut.add(both(rim - np.linspace((0, 0.035), (0.004, 0), len(rim)), rim[::-1] + (0, 0.012)), tone=-0.4, puff=0.2)
        cut.add(turned, ribs=60, puff=0.8, folds=[cut.fold((-0.15, TOP - 0.03), (0.15, TOP - 0.02), -0.5, 0.03)])
    else:
        collar_band(cut, neckline(kind), 0.055, tone=-0.05, ribs=60)
