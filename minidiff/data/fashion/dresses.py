"""Dresses and skirts, each as pieces of cloth from the back to the front."""

from __future__ import annotations

import numpy as np

from minidiff.data.fashion.cutting import Cutter, across, between, both, mirrored, spline
from minidiff.data.fashion.garments import Garment
from minidiff.data.fashion.tops import NECK, TIP, TOP, back, collar_band, neckline, sleeves

HEMS = {"short": 0.46, "knee-length": 0.84, "long": 1.28}
WAISTBAND = -0.80  # its height in a skirt


def dress(cut: Cutter, garment: Garment) -> None:
    hem, waist = HEMS[garment.length or "long"], cut.vary(0.33, 0.05)
    wide, kind = cut.vary(0.50 + 0.22 * (hem + 0.1), 0.08), garment.neckline or "round"
    back(cut, kind)
    if garment.sleeve != "sleeveless":
        sleeves(cut, garment.sleeve == "long", width=0.85)
    gather(cut, 0.02, hem, waist - 0.005, wide)
    tip = 0.34 if garment.sleeve == "sleeveless" else TIP[0]
    shoulder = spline((NECK, TOP), (tip, TOP + (0.05 if tip < 0.4 else 0.1)))
    armhole = spline(tuple(shoulder[-1]), (tip - 0.035, -0.55), (0.36, -0.36), (0.41, -0.28))
    outline = both(
        neckline(kind),
        shoulder,
        armhole,
        spline((0.41, -0.28), (0.36, -0.12), (waist, 0.02)),
        spline((waist, 0.02), (0, 0.045)),
    )
    folds = [cut.fold((side * 0.38, -0.26), (side * 0.15, -0.05), -0.4, 0.035) for side in (-1, 1)]
    folds += [cut.fold((x, -0.12), (0.8 * x, 0.03), 0.4, 0.03) for x in (-0.22, -0.08, 0.08, 0.22)]
    edge = armhole - (0.014, 0)
    cut.add(outline, folds=folds, stitches=[edge, mirrored(edge)] if garment.sleeve == "sleeveless" else [],
            seams=[] if garment.sleeve == "sleeveless" else [armhole, mirrored(armhole)])  # fmt: skip
    collar_band(cut, neckline(kind), 0.03, tone=-0.06)
    if cut.rng.random() < 0.5:
        belt = spline((0, 0.065), (0.6 * waist, 0.055), (waist + 0.008, 0.04))
        cut.add(between(across(belt - (0, 0.055)), across(belt)), tone=-0.28, puff=0.8)


def skirt(cut: Cutter, garment: Garment) -> None:
    hem = {"short": -0.05, "knee-length": 0.40, "long": 0.95}[garment.length or "long"]
    waist, wide = cut.vary(0.30, 0.05), cut.vary(0.50 + 0.18 * (hem + 0.4), 0.12)
    rim = spline((0, WAISTBAND + 0.035), (0.6 * waist, WAISTBAND + 0.03), (waist, WAISTBAND + 0.005))
    cut.add(both(rim - np.linspace((0, 0.05), (0, 0.005), len(rim)), rim[::-1]), tone=-0.42, puff=0.2)
    gather(cut, WAISTBAND + 0.09, hem, waist + 0.01, wide)
    cut.add(between(across(rim), across(rim + np.linspace((0, 0.10), (0.015, 0.095), len(rim)))), tone=-0.04, puff=0.6,
            stitches=[across(rim + (0, 0.085))[3:-3]])  # fmt: skip
    if cut.rng.random() < 0.4:
        cut.button(0, WAISTBAND + 0.085, 0.022)


def gather(cut: Cutter, top: float, hem: float, waist: float, wide: float) -> None:
    """A skirt that falls in folds from the waist; waist and wide: half its width there and at the hem."""
    count = cut.rng.choice((7, 8, 9))
    places = (np.arange(count) + 0.5) / count * 2 - 1 + np.array([cut.rng.uniform(-0.06, 0.06) for _ in range(count)])
    swell = 0.25 + 0.2 * (hem - top)
    folds = []
    for k, x in enumerate(places):
        for depth, shift in ((0.55, 0.0), (-0.6, 1 / count)):
            start, end = ((x + shift) * waist * 0.92, top + 0.03 + 0.05 * (k % 2)), ((x + shift) * wide * 0.97, hem + 0.1)
            folds.append(cut.fold(start, end, depth, 0.028, 0.9 + 1.5 * wide, 0.03))
    edge = np.linspace(-1, 1, 160)
    number = np.interp(edge, np.r_[-1 - 1 / count, places, 1 + 1 / count], np.arange(-1, count + 1))
    hang = 0.012 * np.cos(2 * np.pi * number)  # the hem hangs lower where the cloth comes forward
    low = np.stack([edge * wide, hem - 0.05 * edge**2 + hang], axis=1)
    side = spline((waist, top), (waist + swell * (wide - waist), top + 0.3 * (hem - top)), (wide, hem - 0.05))
    upper = spline((0, top + 0.02), (waist, top))
    outline = np.concatenate([across(upper), side, low[::-1], mirrored(side)[::-1]])
    cut.add(outline, folds=folds, stitches=[low[4:-4] - (0, 0.035)])
