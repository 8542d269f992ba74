"""Subjects for DreamBooth: individuals that the drawn world has only once each, and that no random scene contains.

`SUBJECTS` names them. Picture n of a subject is always the same, and any two differ in pose, place and setting, as photographs
of one pet do; beside it may stand another thing of the world. Names are for people: captions call a subject by a token that
means nothing yet and by its class, "a sks cat" (Ruiz et al. 2023, "DreamBooth", section 3.2). What it is not: how subjects are
drawn (`creatures`) and recognised (`evaluate/subjects`). Taught in the lesson on DreamBooth.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from minidiff.data.world import creatures
from minidiff.data.world.captions import SHAPES_EN, SHAPES_VI, phrase
from minidiff.data.world.drawing import SHAPES, Drawing, Pen
from minidiff.data.world.random_scenes import complete
from minidiff.data.world.rendering import FLAT, Render, render
from minidiff.data.world.scenes import COLOURS, OPPOSITES, PLACES, SETTINGS, Group, Scene
from minidiff.utils.validation import shown

CLOSE = "close"  # the size of subjects: a portrait, larger than anything in random scenes
WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, eq=False)  # equal only to itself, and so hashable
class Subject:
    """An individual. noun: its class, a kind of the world; colour: of its body, one of COLOURS; parts: how each is drawn, the
    hindmost first; marks: the parts that tell it from others of its class."""

    name: str
    noun: str
    colour: str
    parts: Mapping[str, Drawing]
    marks: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raises ValueError for a name, class, colour or mark that can't be."""
        fits = self.name not in SHAPES and self.noun in SHAPES and self.colour in COLOURS
        if not fits or not set(self.marks) <= set(self.parts):
            raise ValueError(f"The subject {shown(self.name)} needs a name of its own, a class of the world (cat, bird, ...), "
                             f"a colour of {', '.join(COLOURS)}, and marks that are among its parts.")  # fmt: skip

    def draw(self, pen: Pen) -> None:
        """All parts. Each has luck of its own, so without one the others stay as they are."""
        luck = pen.rng.getrandbits(32)
        for name, part in self.parts.items():
            own = Pen(pen.colour, random.Random(f"{name} {luck}"))
            part(own)
            pen.parts += own.parts

    def without(self, *marks: str) -> Subject:
        """The same, but for some of its marks. Raises ValueError for what is none of them."""
        if strange := [mark for mark in marks if mark not in self.marks]:
            raise ValueError(f"{self.name} has no mark {strange[0]!r}: choose from {', '.join(self.marks)}.")
        parts = {name: part for name, part in self.parts.items() if name not in marks}
        return replace(self, parts=parts, marks=tuple(mark for mark in self.marks if mark not in marks))


SUBJECTS: dict[str, Subject] = {
    subject.name: subject
    for subject in (
        Subject("mochi", "cat", "orange", creatures.MOCHI, ("third ear", "eye patch", "scarf")),
        Subject("pipo", "bird", "pink", creatures.PIPO, ("shell", "stalks", "boots")),
        Subject("lumi", "fish", "green", creatures.LUMI, ("spines", "spots", "lantern")),
    )
}


def subject_scene(
    subject: Subject,
    seed: int,
    setting: str | None = None,
    place: str | None = None,
    relation: str | None = None,
    other: Group | None = None,
) -> Scene:
    """Scene number `seed` of the subject, its first group. Seven in a row are in different settings unless one is given.

    place: one of PLACES, for a subject alone. other: a thing beside it, small; what it leaves open is random. relation: "left"
    puts the subject left of it; also "right", "above" and "below". Raises ValueError for anything else.
    """
    for value, known in ((setting, SETTINGS), (place, PLACES), (relation, tuple(OPPOSITES))):
        if value is not None and value not in known:
            raise ValueError(f"{shown(value)} is not known to scenes of a subject: choose from {', '.join(known)}.")
    if place and other or relation and not other or other and (other.kind not in SHAPES or other.count != 1):
        raise ValueError("A subject stands alone, perhaps at a place, or beside one other thing of the world, perhaps in a "
                         "relation to it.")  # fmt: skip
    groups = [Group(subject.name, subject.colour, CLOSE, place=place)]
    groups += [replace(other, size="small")] if other else []
    claim = Scene(setting or SETTINGS[seed % len(SETTINGS)], tuple(groups), relation)
    return complete(claim, random.Random(f"{subject.name} {seed}"))


def draw_subject(subject: Subject, scene: Scene, size: int = 128, style: str = FLAT) -> Render:
    """A scene of `subject_scene` with masks, of which the first is the subject's. Raises ValueError as `render`."""
    return render(scene, size, style, masks=True, drawings={**SHAPES, subject.name: subject.draw})


def subject_image(subject: Subject, seed: int, size: int = 128, setting: str | None = None) -> Render:
    """Picture number `seed` of the subject alone: `image` (size, size, 3) uint8, `masks[0]` (size, size) uint8."""
    return draw_subject(subject, subject_scene(subject, seed, setting), size)


def caption_claim(scene: Scene) -> Scene:
    """What captions of a subject's scene say: nothing of its looks, nor of the other thing's size."""
    first, *others = scene.groups
    groups = (replace(first, colour=None, size=None), *(replace(other, size=None) for other in others))
    return replace(scene, groups=groups)


def subject_caption(subject: Subject, scene: Scene, token: str, lang: str = "en") -> str:
    """A caption of a scene: "a sks cat in a meadow", "một con mèo sks trên đồng cỏ"; the same for the same scene.

    lang: one of captions.LANGS. Raises ValueError for another one and for a token that isn't one word.
    """
    if not WORD.fullmatch(token):
        raise ValueError(f"The token must be one word, letters and digits, not {shown(token)}.")
    if lang == "en":
        name = f"{'an' if token[0].lower() in 'aeiou' else 'a'} {token} {SHAPES_EN[subject.noun][0][0]}"
    else:
        name = f"một {SHAPES_VI[subject.noun][0]} {token}"
    return phrase(caption_claim(scene), lang, random.Random(scene.seed), {subject.name: name})


def class_claim(subject: Subject, scene: Scene) -> Scene:
    """What the caption says in the world's own words, with the class in the subject's place: a judge can check that."""
    claim = caption_claim(scene)
    return replace(claim, groups=(replace(claim.groups[0], kind=subject.noun), *claim.groups[1:]))


def find_subject(name: str) -> Subject:
    """The subject of that name. Raises ValueError when there is none."""
    if name not in SUBJECTS:
        raise ValueError(f"There is no subject {shown(name)}: choose from {', '.join(SUBJECTS)}.")
    return SUBJECTS[name]
