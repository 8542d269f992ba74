"""Which tailor makes which kind of garment."""

from __future__ import annotations

import random
from collections.abc import Callable

from minidiff.data.fashion import bottoms, dresses, outerwear, tops
from minidiff.data.fashion.cutting import Cutter, Piece
from minidiff.data.fashion.garments import COLOURS, Garment

TAILORS: dict[str, Callable[[Cutter, Garment], None]] = {
    "t-shirt": tops.t_shirt, "shirt": tops.shirt, "sweater": tops.sweater, "dress": dresses.dress, "coat": outerwear.coat,
    "jacket": outerwear.jacket, "skirt": dresses.skirt, "trousers": bottoms.trousers,
    "shorts": bottoms.shorts, "hat": bottoms.hat,
}  # fmt: skip


def pieces_of(garment: Garment, rng: random.Random) -> list[Piece]:
    """The pieces of a garment, from the back to the front. rng: for what differs between two of a kind."""
    dark = sum(COLOURS[garment.colour]) < 480
    cut = Cutter(rng, trim=(226, 214, 190) if dark else (112, 88, 70), ribbon=(232, 224, 208) if dark else (84, 66, 60))
    TAILORS[garment.kind](cut, garment)
    return cut.pieces
