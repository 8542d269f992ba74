"""Coats and jackets, each as pieces of cloth from the back to the front."""

from __future__ import annotations

import numpy as np

from minidiff.data.fashion.cutting import Cutter, across, between, both, disc, mirrored, spline
from minidiff.data.fashion.garments import Garment
from minidiff.data.fashion.tops import (
    DEPTHS,
    NECK,
    TOP,
    back,
    collar_back,
    collar_band,
    drape,
    front,
    hem_band,
    hem_line,
    neckline,
    sleeves,
)


def coat(cut: Cutter, garment: Garment) -> None:
    hem, waist = {"knee-length": 0.98, "long": 1.32}[garment.length or "long"], cut.vary(0.42, 0.04)
    back(cut, "lapels")
    collar_back(cut, 0.175, 0.045)
    sleeves(cut, True, width=1.2, cuff=0.13)
    outline, armholes = front(neckline("lapels"), hem, waist, flare=cut.vary(0.10 + 0.06 * hem, 0.2), curved=0.03)
    cut.add(outline, folds=drape(cut, hem, waist, 0.8), stitches=[hem_line(hem, waist + 0.1, 0.05)], seams=armholes)
    edge = np.array([(-0.085, TOP + DEPTHS["lapels"] + 0.03), (-0.085, hem + 0.012)])
    cut.pieces[-1].seams.append(edge)
    for side in (-1, 1):
        pocket = np.array([(0.20, 0.26), (0.37, 0.22), (0.38, 0.28), (0.21, 0.32)])
        cut.add(
            mirrored(pocket, side),
            grain=side * 0.2,
            tone=-0.03,
            puff=0.5,
            stitches=[mirrored(pocket[[0, 1]] + (0, 0.012), side)],
        )
    lapels(cut)
    if cut.rng.random() < 0.5:
        belt = spline((0, 0.115), (0.6 * waist, 0.105), (waist + 0.012, 0.09))
        cut.add(between(across(belt - (0, 0.085)), across(belt)), tone=-0.1, puff=0.8)
        cut.add(both(np.array([(0, 0.02), (0.055, 0.02), (0.055, 0.125), (0, 0.125)])), colour=cut.trim, puff=0.5)
        cut.add(both(np.array([(0, 0.035), (0.038, 0.035), (0.038, 0.11), (0, 0.11)])), tone=-0.12, puff=0)
    double = cut.rng.random() < 0.5
    for y in (-0.1, 0.24, 0.44) if not double else (-0.08, 0.24, 0.46):
        for x in (-0.02, 0.13) if double else (-0.04,):
            cut.button(x, y, 0.026)


def lapels(cut: Cutter) -> None:
    """A coat's collar: the two fronts turned over, and the collar's leaves above them."""
    low = TOP + DEPTHS["lapels"] + 0.03
    for side in (1, -1):
        roll = spline((-0.01, low), (0.10, -0.5), (0.185, TOP + 0.02))
        lapel = np.concatenate([roll, [(0.26, TOP + 0.13)], spline((0.335, -0.545), (0.20, -0.33), (-0.01, low))])
        cut.add(
            mirrored(lapel, side),
            grain=side * 0.35,
            tone=0.02,
            puff=0.7,
            stitches=[mirrored(spline((0.30, -0.54), (0.18, -0.345), (0.03, low - 0.03)), side)],
        )
    for side in (1, -1):
        leaf = np.concatenate(
            [
                spline((0.125, -0.555), (0.17, TOP + 0.03), (0.12, TOP - 0.045)),
                spline((0.21, TOP - 0.03), (0.275, TOP + 0.07), (0.315, TOP + 0.20)),
                [(0.25, TOP + 0.245)],
            ]
        )
        cut.add(mirrored(leaf, side), grain=side * 0.5, tone=0.03, puff=0.7)


def jacket(cut: Cutter, garment: Garment) -> None:
    hem, waist = cut.vary(0.60, 0.05), cut.vary(0.45, 0.04)
    kind = garment.neckline or "collar"
    if kind == "hood":
        hood = spline((0, TOP - 0.20), (0.20, TOP - 0.17), (0.31, TOP + 0.0), (0.29, TOP + 0.16))
        cut.add(both(hood, np.array([(0.0, TOP + 0.3)])), puff=1.2, round=1.0)
        inside = spline((0, TOP - 0.14), (0.14, TOP - 0.11), (0.205, TOP + 0.02), (0.15, TOP + 0.14))
        cut.add(both(inside, np.array([(0.0, TOP + 0.22)])), tone=-0.45, puff=-0.3)
    else:
        back(cut, kind)
        collar_back(cut, 0.165, 0.075)
    sleeves(cut, True, width=1.25, cuff=0.1, cuff_ribs=55)
    outline, armholes = front(neckline(kind), hem, waist)
    cut.add(outline, folds=drape(cut, hem, waist, 1.1), seams=armholes)
    hem_band(cut, hem, waist + 0.02, 0.1, tone=-0.08, ribs=55)
    for side in (-1, 1):
        slit = np.array([(0.22, 0.04), (0.33, 0.27)])
        cut.add(
            mirrored(between(slit, slit + (0.035, -0.015)), side),
            tone=-0.08,
            puff=0.5,
            stitches=[mirrored(slit - (0.012, -0.005), side)],
        )
    if kind == "collar":
        neck = neckline(kind)
        upper = spline((0, TOP + 0.045), (0.10, TOP + 0.0), (0.155, TOP - 0.045), (0.165, TOP - 0.075))
        cut.add(
            between(across(upper), across(np.concatenate([neck, [(NECK + 0.02, TOP + 0.01)]]))), tone=-0.06, ribs=55, puff=0.7
        )
    else:
        collar_band(cut, neckline(kind), 0.05, tone=-0.04)
        for side in (-1, 1):
            cord = spline((side * 0.075, TOP + 0.2), (side * 0.08, -0.45), (side * cut.rng.uniform(0.07, 0.12), -0.3))
            cut.add(between(cord, cord + (0.013, 0)), colour=cut.trim, puff=0.2)
    high = TOP + DEPTHS[kind] - (0.09 if kind == "collar" else 0)
    zip_line = np.array([(0.011, high), (0.011, hem + 0.01)])
    cut.add(between(zip_line * (2, 1), zip_line * (-2, 1)), tone=-0.25, puff=0.2)
    cut.add(between(zip_line, zip_line * (-1, 1)), colour=cut.trim, puff=0, stitches=[zip_line * (0, 1)])
    cut.add(disc(0, high + 0.05, 0.017, 0.035), colour=cut.trim, puff=0.3)
