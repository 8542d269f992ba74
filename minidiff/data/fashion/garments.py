"""What a garment is: kind, colour, pattern, sleeves, neckline and length, and which of them go together.

What it is not: how a garment looks (cutting.py, prints.py, drawing.py) or what is said of it (captions.py).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from minidiff.data.world.drawing import COLOURS as WORLD_COLOURS
from minidiff.data.world.drawing import RGB

# The drawn world's ten colours, as cloth is dyed, and two more.
COLOURS: dict[str, RGB] = {
    **WORLD_COLOURS,
    "red": (196, 44, 48), "orange": (232, 128, 48), "yellow": (240, 204, 76), "green": (56, 134, 84), "blue": (44, 92, 176),
    "purple": (116, 70, 150), "pink": (238, 152, 178), "brown": (122, 82, 56), "black": (44, 44, 50), "white": (242, 241, 236),
    "grey": (144, 146, 152), "beige": (216, 194, 160),
}  # fmt: skip
PATTERNS = ("plain", "striped", "dotted", "plaid", "floral")


@dataclass(frozen=True)
class Choices:
    """What a kind of garment may have; no choices where its cut leaves none."""

    sleeves: tuple[str, ...] = ()
    necklines: tuple[str, ...] = ()
    lengths: tuple[str, ...] = ()


WARDROBE: dict[str, Choices] = {
    "t-shirt": Choices(("short", "long"), ("round", "V")),
    "shirt": Choices(("short", "long")),
    "sweater": Choices(necklines=("round", "V", "high")),
    "dress": Choices(("sleeveless", "short", "long"), ("round", "V"), ("short", "knee-length", "long")),
    "skirt": Choices(lengths=("short", "knee-length", "long")),
    "trousers": Choices(),
    "shorts": Choices(),
    "coat": Choices(lengths=("knee-length", "long")),
    "jacket": Choices(necklines=("collar", "hood")),
    "hat": Choices(),
}


@dataclass(frozen=True)
class Garment:
    """One garment. accent: the colour of its stripes, dots, checks or flowers, None when it is plain. sleeve, neckline and
    length: one of WARDROBE's choices for the kind, None where there is no choice."""

    kind: str
    colour: str
    pattern: str = "plain"
    accent: str | None = None
    sleeve: str | None = None
    neckline: str | None = None
    length: str | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for what does not exist or does not go together."""
        allowed = {"kind": tuple(WARDROBE), "colour": tuple(COLOURS), "pattern": PATTERNS}
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise ValueError(f"A garment's {name} must be one of {', '.join(values)}, not {getattr(self, name)!r}.")
        choices = WARDROBE[self.kind]
        for name, values in {"sleeve": choices.sleeves, "neckline": choices.necklines, "length": choices.lengths}.items():
            if getattr(self, name) not in (values or (None,)):
                wanted = f"one of {', '.join(values)}" if values else "None"
                raise ValueError(f"The {name} of a {self.kind} must be {wanted}, not {getattr(self, name)!r}.")
        if self.pattern == "plain" and self.accent is not None:
            raise ValueError(f"A plain garment has no second colour, but {self.accent!r} is given.")
        if self.pattern != "plain" and (self.accent not in COLOURS or self.accent == self.colour):
            raise ValueError(f"A {self.pattern} garment needs a second colour other than {self.colour}, not {self.accent!r}.")


def contrast(one: str, other: str) -> float:
    """How far two colours are apart, 0 to about 1."""
    return sum(abs(a - b) for a, b in zip(COLOURS[one], COLOURS[other], strict=True)) / (3 * 255)


def random_garment(rng: random.Random) -> Garment:
    """Any garment; its second colour is one that shows on the first."""
    kind, colour = rng.choice(list(WARDROBE)), rng.choice(list(COLOURS))
    pattern = rng.choice((*PATTERNS, "plain"))
    accents = ["white"] * 4 + list(COLOURS)  # white goes with everything
    accent = rng.choice([one for one in accents if contrast(one, colour) > 0.22]) if pattern != "plain" else None
    choices = WARDROBE[kind]
    sleeve, neckline, length = (
        rng.choice(values) if values else None for values in (choices.sleeves, choices.necklines, choices.lengths)
    )
    return Garment(kind, colour, pattern, accent, sleeve, neckline, length)
