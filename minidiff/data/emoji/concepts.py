"""What emoji show: one `Concept` for each emoji without skin tones, with its names in English and Vietnamese.

The names are Unicode's (CLDR), the groups emojibase's. Emoji that look alike share a base, and a base is either for training
or for testing, so that no test image has a twin among those a model learnt.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from minidiff.data.emoji.packages import DERIVED_NAMES, GROUPS, NAMES
from minidiff.data.npm import members

LANGS = ("en", "vi")
COMPONENT = 2  # emojibase's group of skin tones and hair: no emoji by themselves
VARIANT, JOINER, MALE, FEMALE = 0xFE0F, 0x200D, 0x2642, 0x2640
TONES = range(0x1F3FB, 0x1F400)
# codepoints of men, women, boys, girls and the like, and the person whose picture they share
PERSONS = {
    0x1F468: 0x1F9D1, 0x1F469: 0x1F9D1, 0x1F466: 0x1F9D2, 0x1F467: 0x1F9D2, 0x1F474: 0x1F9D3, 0x1F475: 0x1F9D3,
    0x1F936: 0x1F385, 0x1F478: 0x1F934, 0x1F483: 0x1F57A, 0x1F470: 0x1F935, 0x1F46D: 0x1F46B, 0x1F46C: 0x1F46B,
}  # fmt: skip
LOOK_ALIKE = dict.fromkeys(range(0x1F550, 0x1F568), 0x1F550)  # the 24 faces of the clock


@dataclass(frozen=True)
class Concept:
    """One emoji. code: its codepoints in lower-case hexadecimal joined by "-", without U+FE0F; base: what it shares with emoji
    that look alike; group and subgroup: emojibase's ("food-drink", "food-fruit"); names: {"en": "red apple",
    "vi": "táo đỏ"}; keywords: what else Unicode says of it, {"en": ("apple", "fruit"), "vi": ("hoa quả", "táo")}."""

    code: str
    base: str
    group: str
    names: Mapping[str, str]
    subgroup: str = ""
    keywords: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def split(self) -> str:
        """ "test" for about a tenth of all bases, else "train", by a hash that never changes."""
        return "test" if zlib.crc32(self.base.encode()) % 10 == 0 else "train"


def code_of(text: str) -> str:
    """The codepoints of an emoji, or of hexadecimal numbers joined by "-", as `Concept.code` has them."""
    points = [int(part, 16) for part in text.split("-")] if text.isascii() and len(text) > 1 else [ord(c) for c in text]
    return "-".join(f"{point:04x}" for point in points if point != VARIANT)


def base_of(code: str) -> str:
    """What emoji that differ only in gender, skin or the time on a clock have in common, as a code."""
    points = [int(part, 16) for part in code.split("-")]
    if points[0] in PERSONS and any(point in PERSONS for point in points[1:]):
        return "1f46a"  # families and couples
    kept = [PERSONS.get(p, LOOK_ALIKE.get(p, p)) for p in points if p not in (MALE, FEMALE, JOINER) and p not in TONES]
    return "-".join(f"{point:04x}" for point in kept or points)


def read_words(tarballs: Mapping[str, Path]) -> dict[str, dict[str, tuple[str, tuple[str, ...]]]]:
    """{language: {code: (name, keywords)}} of everything that CLDR names. `tarballs`: name of a package to its file."""
    words: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {lang: {} for lang in LANGS}
    for package, folder in ((DERIVED_NAMES, "annotationsDerived"), (NAMES, "annotations")):
        wanted = tuple(f"{folder}/{lang}/annotations.json" for lang in LANGS)
        for lang, content in zip(LANGS, map(members(tarballs[package.name], *wanted).get, wanted), strict=True):
            rows = json.loads(content or b"{}")[folder]["annotations"]
            for emoji, row in rows.items():
                if row.get("tts"):
                    name = row["tts"][0]
                    words[lang][code_of(emoji)] = name, tuple(word for word in row.get("default", ()) if word != name)
    return words


def read_concepts(tarballs: Mapping[str, Path]) -> list[Concept]:
    """Every emoji without skin tones that has a name in each language, in emojibase's order."""
    said = read_words(tarballs)
    files = members(tarballs[GROUPS.name], "en/data.json", "meta/groups.json")
    meta = json.loads(files["meta/groups.json"])
    concepts = []
    for row in sorted(json.loads(files["en/data.json"]), key=lambda row: row.get("order", 0)):
        code = code_of(row["hexcode"])
        if row.get("group") in (None, COMPONENT) or any(code not in said[lang] for lang in LANGS):
            continue
        names = {lang: said[lang][code][0] for lang in LANGS}
        keywords = {lang: said[lang][code][1] for lang in LANGS}
        group, subgroup = meta["groups"][str(row["group"])], meta["subgroups"].get(str(row.get("subgroup")), "")
        concepts.append(Concept(code, base_of(code), group, names, subgroup, keywords))
    return concepts
