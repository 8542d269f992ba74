"""What people say of a garment, in English and Vietnamese: "a long red dress with white dots, sleeveless, V-neck".

Kind and colours are always named; what else there is, mostly. What it is not: the grammar of the drawn world
(data/world/captions.py), from which it takes the words for colours and backdrops.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from minidiff.data.fashion.garments import Garment
from minidiff.data.world.captions import COLOURS_VI, LANGS, SETTINGS_EN, SETTINGS_VI, strip_accents
from minidiff.data.world.free_captions import language_of

NAMES_EN = {
    "t-shirt": ("T-shirt", "tee"), "shirt": ("shirt", "button-up shirt"), "sweater": ("sweater", "jumper", "knitted sweater"),
    "dress": ("dress",), "skirt": ("skirt",), "trousers": ("trousers", "long trousers"),
    "shorts": ("shorts",), "coat": ("coat", "overcoat"), "jacket": ("jacket", "zip-up jacket"),
    "hat": ("hat", "brimmed hat"),
}  # fmt: skip
NAMES_VI = {
    "t-shirt": ("áo phông", "áo thun"), "shirt": ("áo sơ mi",), "sweater": ("áo len",),
    "dress": ("váy liền thân", "váy", "đầm"),
    "skirt": ("chân váy",), "trousers": ("quần dài",), "shorts": ("quần short", "quần đùi"), "coat": ("áo măng tô",),
    "jacket": ("áo khoác", "áo khoác có khóa kéo"), "hat": ("mũ", "mũ rộng vành", "nón rộng vành"),
}  # fmt: skip
CLOTH_VI = {**COLOURS_VI, "grey": ("xám",), "beige": ("màu be",)}
# {c}: the colour, {a}: the second one, {n}: the garment's name
PATTERNS_EN = {
    "plain": ("{c} {n}", "{c} {n}", "plain {c} {n}"),
    "striped": ("{c} {n} with {a} stripes", "{c} and {a} striped {n}", "striped {n} in {c} and {a}"),
    "dotted": ("{c} {n} with {a} dots", "{c} {n} with {a} polka dots", "{c} and {a} polka-dot {n}"),
    "plaid": ("{c} and {a} plaid {n}", "{c} {n} with {a} checks", "plaid {n} in {c} and {a}"),
    "floral": ("{c} {n} with {a} flowers", "floral {n} in {c} and {a}", "{c} {n} printed with {a} flowers"),
}
PATTERNS_VI = {
    "plain": ("màu {c}", "{c}", "trơn màu {c}"),
    "striped": ("màu {c} kẻ sọc {a}", "{c} có sọc {a}", "kẻ sọc {c} và {a}"),
    "dotted": ("màu {c} chấm bi {a}", "{c} có chấm bi {a}"),
    "plaid": ("kẻ ca-rô {c} và {a}", "màu {c} kẻ ca-rô {a}"),
    "floral": ("màu {c} in hoa {a}", "màu {c} có hoa {a}", "{c} họa tiết hoa {a}"),
}
LENGTHS_EN = {"short": ("short",), "knee-length": ("knee-length",), "long": ("long",)}
LENGTHS_VI = {"short": ("ngắn",), "knee-length": ("dài đến gối", "ngang gối"), "long": ("dài",)}
SLEEVES_EN = {
    "sleeveless": ("sleeveless",),
    "short": ("short-sleeved", "short sleeves"),
    "long": ("long-sleeved", "long sleeves"),
}
SLEEVES_VI = {"sleeveless": ("không tay", "sát nách"), "short": ("tay ngắn", "ngắn tay"), "long": ("tay dài", "dài tay")}
NECKS_EN = {
    "round": ("round neck", "crew neck"), "V": ("V-neck",), "high": ("turtleneck", "high neck"), "collar": ("stand-up collar",),
    "hood": ("with a hood", "hooded"),
}  # fmt: skip
NECKS_VI = {
    "round": ("cổ tròn",), "V": ("cổ chữ V", "cổ tim"), "high": ("cổ lọ", "cổ cao"), "collar": ("cổ đứng",),
    "hood": ("có mũ trùm",),
}  # fmt: skip
BEFORE = {"short-sleeved", "long-sleeved", "sleeveless", "V-neck", "turtleneck", "hooded", "crew neck"}
PAIRS = {"trousers", "shorts"}
SHORTEST = 12  # characters; shorter captions say where the garment is, too
QUALITY_EN = (
    "studio photo", "detailed fabric", "sharp focus", "soft studio light", "fashion catalogue", "clean composition",
    "high quality",
)  # fmt: skip
QUALITY_VI = (
    "ảnh chụp studio", "chất vải rõ nét", "ảnh sắc nét", "ánh sáng studio dịu", "ảnh thời trang", "bố cục gọn gàng",
    "chất lượng cao",
)  # fmt: skip


def describe(garment: Garment, lang: str, rng: random.Random) -> str:
    """A caption of a garment. lang: "en", "vi" or "vi_unaccented". Raises ValueError for another one."""
    if lang not in LANGS:
        raise ValueError(f"Captions are written in {', '.join(LANGS)}; {lang!r} is none of them.")
    text = english(garment, rng) if lang == "en" else vietnamese(garment, rng)
    if len(text) < SHORTEST or rng.random() < 0.15:
        text += (", " if "," in text else " ") + rng.choice((SETTINGS_EN if lang == "en" else SETTINGS_VI)["plain"])
    return strip_accents(text) if lang == "vi_unaccented" else text


def english(garment: Garment, rng: random.Random) -> str:
    """ "a long red dress with white dots, sleeveless, V-neck", or with what is told after the commas before the name."""
    length, sleeve, neck = _told(garment, (LENGTHS_EN, SLEEVES_EN, NECKS_EN), rng)
    name = rng.choice(NAMES_EN[garment.kind])
    before = [one for one in (sleeve, neck) if one in BEFORE and rng.random() < 0.4]
    after = [one for one in (sleeve, neck) if one and one not in before]
    name = " ".join([*before, name])
    words = rng.choice(PATTERNS_EN[garment.pattern]).format(c=garment.colour, a=garment.accent, n=name)
    words = f"{length} {words}" if length else words
    article = "a pair of" if garment.kind in PAIRS else "an" if words[0] in "aeiou" else "a"
    opened = words if rng.random() < 0.25 else f"{article} {words}"
    return ", ".join([opened, *after]).replace(", with", " with")


def vietnamese(garment: Garment, rng: random.Random) -> str:
    """ "váy dài màu đỏ chấm bi trắng, không tay, cổ chữ V", or the sleeves before the colour: "áo phông tay dài màu đỏ"."""
    length, sleeve, neck = _told(garment, (LENGTHS_VI, SLEEVES_VI, NECKS_VI), rng)
    name = rng.choice(NAMES_VI[garment.kind])
    colour, accent = (rng.choice(CLOTH_VI[one]) if one else "" for one in (garment.colour, garment.accent))
    colours = rng.choice(PATTERNS_VI[garment.pattern]).format(c=colour, a=accent)
    before = sleeve if sleeve and not length and rng.random() < 0.4 else ""
    words = " ".join(one for one in (name, length, before, colours) if one)
    opening = rng.choice(("", "", "một chiếc "))
    said = ", ".join([opening + words, *(one for one in (sleeve, neck) if one and one != before)])
    return said.replace("màu màu", "màu")


def _told(garment: Garment, tables: tuple[Mapping[str, tuple[str, ...]], ...], rng: random.Random) -> list[str]:
    """Words for length, sleeves and neckline, "" for what there isn't or what is left unsaid."""
    values = (garment.length, garment.sleeve, garment.neckline)
    return [rng.choice(t[v]) if v and rng.random() < 0.9 else "" for v, t in zip(values, tables, strict=True)]


def with_quality(caption: str, rng: random.Random, lang: str | None = None) -> str:
    """The caption with one or two terms of good photographs behind it, as fashion pictures are asked for. lang: "en", "vi" or
    "vi_unaccented"; the caption's own when not given."""
    lang = lang or language_of(caption)
    terms = rng.sample(QUALITY_EN if lang == "en" else QUALITY_VI, rng.choice((1, 2)))
    said = ", ".join([caption, *terms])
    return strip_accents(said) if lang == "vi_unaccented" else said
