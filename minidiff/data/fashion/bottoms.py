"""Trousers, shorts and hats, each as pieces of cloth from the back to the front."""

from __future__ import annotations

import numpy as np

from minidiff.data.fashion.cutting import Cutter, Fold, Points, across, between, both, disc, mirrored, spline
from minidiff.data.fashion.garments import Garment
from minidiff.data.world.drawing import box

WAIST, CROTCH = -0.80, -0.22  # heights of a waistband and of where the legs part


def trousers(cut: Cutter, garment: Garment) -> None:
    hip, wide, foot = cut.vary(0.42, 0.03), cut.vary(0.135, 0.2), 1.0
    outer = spline((hip + 0.02, CROTCH), (0.45, 0.30), (0.45 + 0.3 * wide, foot))
    inner = spline((0.45 - 1.7 * wide, foot + 0.01), (0.13, 0.30), (0.0, CROTCH))
    folds = [cut.fold((0.40, 0.22 + 0.1 * k), (0.20, 0.27 + 0.1 * k), 0.40, 0.035) for k in range(3)]
    folds += [cut.fold((0.40, 0.80 + 0.08 * k), (0.24, 0.84 + 0.08 * k), 0.38, 0.03) for k in range(2)]
    crease = [cut.fold((0.29, -0.1), (0.33, 0.9), 0.4, 0.03, bend=0.02)] if cut.rng.random() < 0.5 else []
    legs(cut, hip, outer, inner, folds + crease)


def shorts(cut: Cutter, garment: Garment) -> None:
    hip, foot = cut.vary(0.42, 0.03), cut.vary(0.08, 0.6)
    outer = spline((hip + 0.02, CROTCH), (0.475, foot - 0.015))
    inner = spline((0.065, foot + 0.01), (0.02, CROTCH + 0.08), (0.0, CROTCH))
    folds = [cut.fold((x, CROTCH), (x + 0.02, foot), depth, 0.045, 1.4) for x, depth in ((0.16, -0.4), (0.32, 0.4))]
    legs(cut, hip, outer, inner, folds)


def legs(cut: Cutter, hip: float, outer: Points, inner: Points, folds: list[Fold]) -> None:
    """Trousers, long or short. outer: a leg's side from the hip to the hem; inner: from the hem to the crotch."""
    waist = cut.vary(0.33, 0.04)
    rim = spline((0, WAIST + 0.035), (0.6 * waist, WAIST + 0.03), (waist, WAIST))
    cut.add(both(rim - np.linspace((0, 0.05), (0, 0.005), len(rim)), rim[::-1]), tone=-0.42, puff=0.2)
    end = spline(tuple(outer[-1]), tuple((outer[-1] + inner[0]) / 2 + (0, 0.008)), tuple(inner[0]))
    pocket = spline((0.20, WAIST + 0.10), (0.25, -0.60), (hip - 0.01, -0.52))
    for side in (-1, 1):
        drag = [
            cut.fold((0.04, CROTCH + 0.03), (0.26, CROTCH + 0.10), -0.5, 0.035),
            cut.fold((0.03, CROTCH - 0.04), (0.28, CROTCH - 0.06), 0.4, 0.035),
            cut.fold((0.06, CROTCH + 0.08), (0.30, CROTCH + 0.22), -0.3, 0.04),
        ]
        outline = np.concatenate(
            [[(0.0, WAIST + 0.06)], spline((waist, WAIST + 0.05), (hip, -0.45), (hip + 0.02, CROTCH)), outer, end, inner]
        )
        placed = [Fold(mirrored(fold.points, side), fold.depth, fold.width) for fold in drag + folds]
        cut.add(mirrored(outline, side), folds=placed, seams=[mirrored(pocket, side)], grain=side * -0.03, puff=0.7,
                stitches=[mirrored(end - (0, 0.04), side), mirrored(pocket + (-0.012, 0.012), side)])  # fmt: skip
    cut.pieces[-1].stitches.append(spline((0.085, WAIST + 0.11), (0.085, -0.45), (0.01, -0.30)))  # the fly
    band = rim + np.linspace((0, 0.095), (0.012, 0.09), len(rim))
    cut.add(between(across(rim), across(band)), tone=-0.03, puff=0.6, stitches=[across(band - (0, 0.012))[2:-2]])
    for x in (-0.22, 0.22):
        cut.add(box(x - 0.014, WAIST + 0.015, x + 0.014, WAIST + 0.135), puff=0.6, tone=0.02)
    cut.button(0.0, WAIST + 0.085, 0.024)


def hat(cut: Cutter, garment: Garment) -> None:
    wide, high, dent = cut.vary(0.92, 0.05), cut.vary(0.60, 0.10), cut.rng.uniform(0.0, 0.05)
    droop = cut.rng.uniform(0.0, 0.08)
    brim = spline(
        (0, 0.16),
        (0.45, 0.12),
        (0.78, 0.11 + droop),
        (wide, 0.22 + 1.3 * droop),
        (0.80, 0.335 + droop),
        (0.45, 0.425),
        (0, 0.45),
    )
    rim = across(spline((0, 0.425), (0.45, 0.40), (0.78, 0.315 + droop), (0.95 * wide, 0.225 + 1.3 * droop)))
    folds = [cut.fold((-0.8, 0.24), (-0.3, 0.36), 0.3, 0.05), cut.fold((0.35, 0.37), (0.8, 0.25), -0.3, 0.05)]
    cut.add(both(brim), puff=0.45, round=1.2, folds=folds, stitches=[rim])
    top = spline((0, 0.18 - high + dent), (0.16, 0.16 - high), (0.33, 0.24 - high), (0.41, -0.05), (0.47, 0.24))
    folds = [cut.fold((0.0, 0.2 - high), (0.02, 0.36 - high), -0.6, 0.07)]  # the dent
    folds += [cut.fold((-0.25, 0.3 - high), (-0.32, 0.1), 0.4, 0.05), cut.fold((0.2, 0.25 - high), (0.3, 0.1), -0.35, 0.05)]
    cut.add(both(top, spline((0.47, 0.24), (0.25, 0.31), (0, 0.335))), puff=1.5, round=0.8, folds=folds)
    low = spline((0, 0.345), (0.25, 0.32), (0.475, 0.25))
    ribbon = between(across(low - np.linspace((0, 0.13), (0.022, 0.125), len(low))), across(low))
    cut.add(ribbon, colour=cut.ribbon, puff=0.8)
    if cut.rng.random() < 0.6:
        for turn in (-1, 1):
            bow = spline(
                (0.33, 0.235),
                (0.33 + 0.08 * turn, 0.175),
                (0.33 + 0.135 * turn, 0.20),
                (0.33 + 0.125 * turn, 0.275),
                (0.33, 0.24),
            )
            cut.add(bow, colour=cut.ribbon, puff=1.0, round=1.0)
        cut.add(disc(0.33, 0.237, 0.024, 0.032), colour=cut.ribbon, puff=1.0)
