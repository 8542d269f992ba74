"""Captions of a scene in English, in Vietnamese, and in Vietnamese typed without accents.

`drop_details` turns a scene into a claim, `phrase` puts a claim into words, `describe` does both. A random generator chooses
among phrasings and synonyms.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from minidiff.data.world.scenes import Group, Scene

LANGS = ("en", "vi", "vi_unaccented")
LANG_SHARES = (0.4, 0.4, 0.2)  # of training captions

# English: singular and plural. Vietnamese: noun with its classifier.
SHAPES_EN: dict[str, tuple[tuple[str, str], ...]] = {
    "circle": (("circle", "circles"), ("disc", "discs")),
    "square": (("square", "squares"),),
    "triangle": (("triangle", "triangles"),),
    "star": (("star", "stars"),),
    "heart": (("heart", "hearts"),),
    "diamond": (("diamond", "diamonds"), ("rhombus", "rhombuses")),
    "house": (("house", "houses"), ("cottage", "cottages")),
    "tree": (("tree", "trees"),),
    "car": (("car", "cars"),),
    "boat": (("boat", "boats"), ("sailing boat", "sailing boats"), ("sailboat", "sailboats")),
    "fish": (("fish", "fish"),),
    "bird": (("bird", "birds"),),
    "cat": (("cat", "cats"), ("kitten", "kittens")),
    "flower": (("flower", "flowers"),),
    "moon": (("moon", "moons"), ("crescent moon", "crescent moons")),
    "cloud": (("cloud", "clouds"),),
    "balloon": (("balloon", "balloons"),),
    "umbrella": (("umbrella", "umbrellas"),),
}
SHAPES_VI: dict[str, tuple[str, ...]] = {
    "circle": ("hình tròn",),
    "square": ("hình vuông",),
    "triangle": ("hình tam giác", "tam giác"),
    "star": ("ngôi sao",),
    "heart": ("trái tim", "hình trái tim"),
    "diamond": ("hình thoi",),
    "house": ("ngôi nhà", "căn nhà"),
    "tree": ("cái cây", "cây"),  # never "cây xanh", which would name a colour
    "car": ("chiếc xe hơi", "chiếc ô tô", "xe ô tô"),
    "boat": ("chiếc thuyền", "chiếc thuyền buồm", "con thuyền"),
    "fish": ("con cá",),
    "bird": ("con chim", "chú chim"),
    "cat": ("con mèo", "chú mèo"),
    "flower": ("bông hoa", "đóa hoa"),
    "moon": ("mặt trăng", "vầng trăng"),
    "cloud": ("đám mây",),
    "balloon": ("quả bóng bay", "bóng bay"),
    "umbrella": ("chiếc ô", "cái ô", "chiếc dù"),
}
COLOURS_VI: dict[str, tuple[str, ...]] = {
    "red": ("đỏ",),
    "orange": ("cam",),
    "yellow": ("vàng",),
    "green": ("xanh lá", "xanh lá cây", "xanh lục"),
    "blue": ("xanh dương", "xanh da trời", "xanh lam"),
    "purple": ("tím",),
    "pink": ("hồng",),
    "brown": ("nâu",),
    "black": ("đen",),
    "white": ("trắng",),
}
SIZES_EN = {"small": ("small", "little", "tiny"), "big": ("big", "large")}
SIZES_VI = {"small": ("nhỏ", "bé"), "big": ("to", "lớn")}
COUNTS_EN = {1: ("a", "a", "a", "one"), 2: ("two", "two", "2"), 3: ("three", "three", "3"), 4: ("four", "four", "4")}
COUNTS_VI = {1: ("một",), 2: ("hai", "hai", "2"), 3: ("ba", "ba", "3"), 4: ("bốn", "bốn", "4")}

SETTINGS_EN = {
    "plain": ("on a plain background", "on a simple background"),
    "day": ("in the daytime", "by day", "in the day sky"),
    "night": ("at night", "in the night", "under a starry night sky"),
    "sea": ("at sea", "by the sea", "on the sea"),
    "meadow": ("in a meadow", "on a meadow", "on the grass"),
    "sunset": ("at sunset", "at sunset over the mountains"),
    "room": ("in a room", "inside a room", "indoors"),
}
SETTINGS_VI = {
    "plain": ("trên nền trơn", "trên nền đơn giản"),
    "day": ("vào ban ngày", "giữa ban ngày", "trên bầu trời ban ngày"),
    "night": ("vào ban đêm", "trong đêm", "dưới bầu trời đêm"),
    "sea": ("trên biển", "bên bờ biển", "ngoài biển"),
    "meadow": ("trên đồng cỏ", "trên bãi cỏ"),
    "sunset": ("lúc hoàng hôn", "lúc hoàng hôn trên núi"),
    "room": ("trong phòng", "trong một căn phòng"),
}
PLACES_EN = {
    "left": ("on the left", "on the left side"),
    "right": ("on the right", "on the right side"),
    "top": ("at the top",),
    "bottom": ("at the bottom",),
    "middle": ("in the middle", "in the centre", "in the center"),
}
PLACES_VI = {
    "left": ("ở bên trái", "ở phía bên trái"),
    "right": ("ở bên phải", "ở phía bên phải"),
    "top": ("ở phía trên", "ở trên cùng"),
    "bottom": ("ở phía dưới", "ở dưới cùng"),
    "middle": ("ở giữa", "ở chính giữa"),
}
SPOTS_EN = {
    "top left": "at the top left",
    "top": "at the top",
    "top right": "at the top right",
    "left": "on the left",
    "middle": "in the middle",
    "right": "on the right",
    "bottom left": "at the bottom left",
    "bottom": "at the bottom",
    "bottom right": "at the bottom right",
}
SPOTS_VI = {
    "top left": "ở góc trên bên trái",
    "top": "ở phía trên",
    "top right": "ở góc trên bên phải",
    "left": "ở bên trái",
    "middle": "ở chính giữa",
    "right": "ở bên phải",
    "bottom left": "ở góc dưới bên trái",
    "bottom": "ở phía dưới",
    "bottom right": "ở góc dưới bên phải",
}
RELATIONS_EN = {
    "left": ("to the left of", "left of", "on the left of"),
    "right": ("to the right of", "right of", "on the right of"),
    "above": ("above", "over"),
    "below": ("below", "under", "beneath"),
}
RELATIONS_VI = {
    "left": ("ở bên trái", "bên trái", "nằm bên trái"),
    "right": ("ở bên phải", "bên phải", "nằm bên phải"),
    "above": ("ở phía trên", "phía trên", "ở trên"),
    "below": ("ở phía dưới", "phía dưới", "ở dưới"),
}
OPENINGS_EN = ("a picture of", "a drawing of", "an image of")
OPENINGS_VI = ("bức tranh vẽ", "hình ảnh", "tranh vẽ")


def drop_details(scene: Scene, rng: random.Random, detail: float = 1.0) -> Scene:
    """The claim that a caption makes of a scene: kinds and numbers always, other details sometimes, `detail` (0 to 1) times as
    often as by default. Two groups of one kind keep their colours; two that look alike keep their relation."""
    kinds = [group.kind for group in scene.groups]
    alike = len(kinds) > 1 and len({(group.kind, group.colour) for group in scene.groups}) == 1
    groups = []
    for group in scene.groups:
        keep_colour = (kinds.count(group.kind) > 1 and not alike) or rng.random() < 0.88 * detail
        groups.append(
            replace(
                group,
                colour=group.colour if keep_colour else None,
                size=group.size if rng.random() < 0.5 * detail else None,
                place=group.place if rng.random() < 0.85 * detail else None,
            )
        )
    relation = scene.relation if rng.random() < 0.9 * detail or alike else None
    setting = scene.setting if rng.random() < 0.7 * detail else None
    return replace(scene, setting=setting, groups=tuple(groups), relation=relation)


def describe(scene: Scene, lang: str, rng: random.Random) -> str:
    """A caption of a scene, with details dropped at random. lang: "en", "vi" or "vi_unaccented"."""
    return phrase(drop_details(scene, rng), lang, rng)


def caption(scene: Scene, rng: random.Random) -> str:
    """`describe` in a random language, as training captions are."""
    return describe(scene, rng.choices(LANGS, LANG_SHARES)[0], rng)


def phrase(claim: Scene, lang: str, rng: random.Random, names: Mapping[str, str] = MappingProxyType({})) -> str:
    """A claim in words. names: what to call single things of kinds that the world lacks, {"mochi": "a sks cat"}. Raises
    ValueError for a language that is not in LANGS."""
    if lang not in LANGS:
        raise ValueError(f"Captions are written in {', '.join(LANGS)}; {lang!r} is none of them.")
    grammar = ENGLISH if lang == "en" else VIETNAMESE
    known = grammar.group
    grammar = replace(grammar, group=lambda group, rng: names[group.kind] if group.kind in names else known(group, rng))
    text = _sentence(claim, rng, grammar)
    return strip_accents(text) if lang == "vi_unaccented" else text


@dataclass(frozen=True)
class Grammar:
    """What differs between the languages; the order of a sentence doesn't."""

    group: Callable[[Group, random.Random], str]
    relations: Mapping[str, tuple[str, ...]]
    between: tuple[str, ...]
    places: Mapping[str, tuple[str, ...]]
    spots: Mapping[str, str]
    settings: Mapping[str, tuple[str, ...]]
    openings: tuple[str, ...]
    conjunction: str


def _sentence(claim: Scene, rng: random.Random, grammar: Grammar) -> str:
    """(opening) things in their relation (place) (setting), or the setting first."""
    text = _things(claim, rng, grammar)
    if claim.groups[0].place:
        text += " " + rng.choice(grammar.places[claim.groups[0].place])
    opened = rng.random() < 0.12
    if opened:
        text = f"{rng.choice(grammar.openings)} {text}"
    if claim.setting:
        where = rng.choice(grammar.settings[claim.setting])
        comma = "," if claim.groups[-1].spot else ""  # "a cat on the left, by the sea": the cat is by the sea, not the left
        text = f"{where}, {text}" if not opened and rng.random() < 0.15 else f"{text}{comma} {where}"
    return text


def _things(claim: Scene, rng: random.Random, grammar: Grammar) -> str:
    things = [grammar.group(group, rng) + spot_words(group.spot, grammar) for group in claim.groups]
    conjunction = grammar.conjunction
    if claim.relation == "between" and len(things) == 3:
        return f"{things[0]} {rng.choice(grammar.between)} {things[1]} {conjunction} {things[2]}"
    if claim.relation and claim.relation in grammar.relations and len(things) == 2:
        return f"{things[0]} {rng.choice(grammar.relations[claim.relation])} {things[1]}"
    if len(things) == 3:
        return f"{things[0]}, {things[1]} {conjunction} {things[2]}"
    return f" {conjunction} ".join(things)


def spot_words(spot: str | None, grammar: Grammar) -> str:
    """" at the top left", to follow a thing; nothing for None."""
    return f" {grammar.spots[spot]}" if spot else ""


def _group_en(group: Group, rng: random.Random) -> str:
    singular, plural = rng.choice(SHAPES_EN[group.kind])
    words = [rng.choice(SIZES_EN[group.size])] if group.size else []
    words += [group.colour] if group.colour else []
    words.append(singular if group.count == 1 else plural)
    number = rng.choice(COUNTS_EN[group.count])
    if number == "a" and words[0][0] in "aeiou":
        number = "an"
    return " ".join([number, *words])


def _group_vi(group: Group, rng: random.Random) -> str:
    """Number, noun with classifier, then size and colour: "con mèo nhỏ màu đen", "con mèo đen nhỏ", "con mèo màu đen"."""
    size = rng.choice(SIZES_VI[group.size]) if group.size else ""
    colour = rng.choice(COLOURS_VI[group.colour]) if group.colour else ""
    said = rng.random() < 0.7  # "màu" before the colour; always there after a size, where it would sound clipped without
    if size and colour:
        after = f"{size} màu {colour}" if said else f"{colour} {size}"
    else:
        after = f"màu {colour}" if colour and said else colour or size
    return " ".join([rng.choice(COUNTS_VI[group.count]), rng.choice(SHAPES_VI[group.kind]), after]).strip()


def strip_accents(text: str) -> str:
    """Vietnamese as it is typed without a Vietnamese keyboard: "đỏ" becomes "do"."""
    plain = unicodedata.normalize("NFD", text.replace("đ", "d").replace("Đ", "D"))
    return "".join(c for c in plain if not unicodedata.combining(c))


ENGLISH = Grammar(
    _group_en, RELATIONS_EN, ("between", "in between"), PLACES_EN, SPOTS_EN, SETTINGS_EN, OPENINGS_EN, conjunction="and"
)
VIETNAMESE = Grammar(
    _group_vi, RELATIONS_VI, ("ở giữa", "nằm giữa"), PLACES_VI, SPOTS_VI, SETTINGS_VI, OPENINGS_VI, conjunction="và"
)
