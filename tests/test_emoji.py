"""Emoji: pinned packages, names in two languages, images with exact masks, and test concepts without twins in training."""

from __future__ import annotations

import io
import json
import random
import shutil
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minidiff.data import npm
from minidiff.data.emoji import packages
from minidiff.data.emoji.captions import captions, prompt, spoken, varied, with_article
from minidiff.data.emoji.concepts import Concept, base_of, code_of, read_concepts
from minidiff.data.emoji.images import compose, read_styles
from minidiff.data.emoji.packages import EmojiError
from minidiff.data.emoji.pairs import read_pairs
from minidiff.data.emoji.prepare import PrepareEmoji, prepare, read_prepared
from minidiff.data.npm import NpmError, Package, fetch, members, sha512
from minidiff.data.world.backdrops import SETTINGS

RED = '<rect x="8" y="8" width="16" height="16" fill="#ff0000"/>'
KEYWORDS = (("apple", "fruit"), ("hoa quả", "táo"))
EMOJI = {"1f34e": ("red apple", "táo đỏ", 4), "2764-fe0f": ("red heart", "trái tim màu đỏ", 0), "1f468": ("man", "đàn ông", 1),
         "1f469": ("woman", "phụ nữ", 1)}  # fmt: skip


def annotations(folder: str, names: dict[str, str]) -> bytes:
    """A file of names as CLDR writes it; it leaves U+FE0F out."""
    rows = {"".join(chr(int(p, 16)) for p in code.split("-") if p != "fe0f"): {"tts": [name]} for code, name in names.items()}
    for name, words in zip(("red apple", "táo đỏ"), KEYWORDS, strict=True):
        for row in rows.values():
            row |= {"default": sorted((name, *words))} if row["tts"] == [name] else {}
    return json.dumps({folder: {"annotations": rows}}).encode()


def webp() -> bytes:
    """A red square of half the width, as an image file."""
    image = Image.new("RGBA", (256, 256))
    image.paste((255, 0, 0, 255), (64, 64, 192, 192))
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=True)
    return file.getvalue()


def contents() -> dict[str, dict[str, bytes]]:
    """{package: its files}: four emoji, each of them a red square."""
    names: dict[str, dict[str, bytes]] = {packages.NAMES.name: {}, packages.DERIVED_NAMES.name: {}}
    for k, lang in enumerate(("en", "vi")):
        names[packages.NAMES.name][f"annotations/{lang}/annotations.json"] = annotations(
            "annotations", {code: row[k] for code, row in EMOJI.items()}
        )
        derived = f"annotationsDerived/{lang}/annotations.json"
        names[packages.DERIVED_NAMES.name][derived] = annotations("annotationsDerived", {})
    rows = [{"hexcode": code.upper(), "group": row[2], "subgroup": row[2] + 10, "order": k}
            for k, (code, row) in enumerate(EMOJI.items())]  # fmt: skip
    tone = {"hexcode": "1F3FB", "group": 2, "order": 9}
    icons = {"icons": {f"icon-{code}": {"body": RED} for code in EMOJI}, "width": 32, "height": 32}
    chars = {code.replace("-fe0f", ""): f"icon-{code}" for code in EMOJI}
    icon_set = {"icons.json": json.dumps(icons).encode(), "chars.json": json.dumps(chars).encode()}
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">{RED}</svg>'.encode()
    return names | {
        packages.GROUPS.name: {
            "en/data.json": json.dumps([*rows, tone]).encode(),
            "meta/groups.json": json.dumps(
                {"groups": {"0": "smileys", "1": "people", "4": "food"}, "subgroups": {"14": "clothing"}}
            ).encode(),
        },
        packages.TWEMOJI.name: {**{f"{code.replace('-fe0f', '')}.svg": svg for code in EMOJI}, "license": b"CC BY 4.0"},
        packages.NOTO.name: icon_set,
        packages.FLUENT_FLAT.name: icon_set,
        packages.FLUENT_3D.name: {f"assets/{code}.webp": webp() for code in EMOJI},
    }


@pytest.fixture(scope="module")
def pinned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Package, ...]]:
    """A folder of tarballs and the packages that they are."""
    folder, found = tmp_path_factory.mktemp("packages"), []
    for package in packages.PACKAGES:
        path = folder / package.tarball
        with tarfile.open(path, "w:gz") as tar:
            for name, content in contents()[package.name].items():
                member = tarfile.TarInfo(f"package/{name}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        found.append(replace(package, sha512=sha512(path)))
    return folder, tuple(found)


@pytest.fixture
def prepared(pinned: tuple[Path, tuple[Package, ...]], tmp_path: Path) -> Path:
    folder, found = pinned
    prepare(PrepareEmoji(tmp_path, packages=folder), found)
    return tmp_path


def tarballs(pinned: tuple[Path, tuple[Package, ...]]) -> dict[str, Path]:
    return {package.name: pinned[0] / package.tarball for package in pinned[1]}


# --- packages -------------------------------------------------------------------------------------------------------


def test_every_package_is_pinned_to_a_version_and_a_hash() -> None:
    for package in packages.PACKAGES:
        assert package.version[0].isdigit() and len(package.sha512) == 88


def test_another_file_than_the_pinned_one_is_refused(pinned: tuple[Path, tuple[Package, ...]]) -> None:
    folder, found = pinned
    with pytest.raises(NpmError, match="hash is wrong"):
        fetch(replace(found[0], sha512="x" * 88), folder)


def test_without_npm_one_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(npm, "REGISTRY", "http://127.0.0.1:9")
    with pytest.raises(NpmError, match=r"install Node\.js"):
        fetch(packages.NAMES, tmp_path)


def test_without_resvg_one_sentence_says_what_to_install(
    pinned: tuple[Path, tuple[Package, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(EmojiError, match=r"pip install 'minidiff\[emoji\]'"):
        read_styles(tarballs(pinned))["twemoji"].sprite("1f34e", 64)


def test_npm_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "npm"
    program.write_text("#!/bin/sh\necho no network >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(program))
    monkeypatch.setattr(npm, "REGISTRY", "http://127.0.0.1:9")
    with pytest.raises(NpmError, match="no network"):
        fetch(packages.NAMES, tmp_path / "packages")
    assert not list((tmp_path / "packages").glob("*"))


def test_only_wanted_members_are_read(pinned: tuple[Path, tuple[Package, ...]]) -> None:
    assert set(members(tarballs(pinned)[packages.TWEMOJI.name], "license")) == {"license"}


# --- names ----------------------------------------------------------------------------------------------------------


def test_codes_drop_the_variation_selector() -> None:
    assert code_of("❤️") == code_of("❤") == code_of("2764-FE0F") == "2764"
    assert code_of("1F469-200D-2764-FE0F-200D-1F468") == "1f469-200d-2764-200d-1f468"


def test_concepts_have_names_in_both_languages_and_no_skin_tones(pinned: tuple[Path, tuple[Package, ...]]) -> None:
    concepts = read_concepts(tarballs(pinned))
    assert [concept.code for concept in concepts] == ["1f34e", "2764", "1f468", "1f469"]
    assert concepts[1].names == {"en": "red heart", "vi": "trái tim màu đỏ"} and concepts[0].group == "food"
    assert concepts[0].keywords == dict(zip(("en", "vi"), KEYWORDS, strict=True))
    assert concepts[1].keywords == {"en": (), "vi": ()}


@pytest.mark.parametrize(
    "alike",
    [
        ("🏃", "🏃‍♂️", "🏃‍♀️"), ("👨‍🍳", "👩‍🍳", "🧑‍🍳"), ("👦", "👧", "🧒"), ("🕐", "🕧"), ("🎅", "🤶"), ("👨‍👩‍👧", "👨‍👨‍👦"),
        ("🧔", "🧔🏽‍♀️"),
    ],
)
def test_emoji_that_look_alike_are_never_split(alike: tuple[str, ...]) -> None:
    assert len({base_of(code_of(emoji)) for emoji in alike}) == 1


def test_other_emoji_are_told_apart() -> None:
    different = ("👨‍🍳", "👨‍🚒", "👨", "🍎", "🍏", "🕐", "👪", "❤", "🚶")
    assert len({base_of(code_of(emoji)) for emoji in different}) == len(different)


def test_about_a_tenth_of_the_bases_is_for_testing() -> None:
    splits = [Concept(f"{k:04x}", f"{k:04x}", "", {}).split for k in range(0x1F300, 0x1F700)]
    assert 0.06 < splits.count("test") / len(splits) < 0.14


@pytest.mark.parametrize(
    ("name", "said"),
    [("egg", "an egg"), ("unicorn", "a unicorn"), ("hourglass done", "an hourglass done"), ("grapes", "grapes"),
     ("bus", "a bus"), ("glass of milk", "a glass of milk"), ("men with bunny ears", "men with bunny ears"),
     ("cooked rice", "cooked rice"),
     ("woman lifting weights", "a woman lifting weights"), ("Leo", "Leo"), ("one o’clock", "one o’clock")],
)  # fmt: skip
def test_names_stand_in_a_sentence(name: str, said: str) -> None:
    assert with_article(name) == said


def test_traits_are_spoken() -> None:
    assert spoken("man: red hair", "en") == "man with red hair" and spoken("woman: bald", "en") == "bald woman"
    assert spoken("keycap: 3", "en") == "keycap 3" and spoken("phụ nữ: tóc đỏ", "vi") == "phụ nữ tóc đỏ"


def test_captions_name_the_thing_the_style_and_a_drawn_backdrop_in_both_languages() -> None:
    names = {"en": "red apple", "vi": "táo đỏ"}
    for seed in range(20):
        said = captions(names, "flat", "night", random.Random(seed))
        assert "red apple" in said["text"] and said["text"].endswith(", flat style") and "night" in said["text"]
        assert "táo đỏ" in said["text_vi"] and said["text_vi"].endswith(", kiểu phẳng") and "đêm" in said["text_vi"]
    assert len({captions(names, "flat", "plain", random.Random(seed))["text"] for seed in range(40)}) > 5


def test_varied_captions_tell_keywords_in_three_spellings_and_never_an_untold_backdrop() -> None:
    rng = random.Random(0)
    english = [varied("red apple", KEYWORDS[0], "3d", "plain", "en", rng) for _ in range(400)]
    assert all(text.endswith(", 3D style") for text in english) and len(set(english)) > 40
    assert 0.05 < sum("red apple" not in text for text in english) / 400 < 0.15, "keywords alone"
    assert 0.2 < sum("red apple" in text and "fruit" in text for text in english) / 400 < 0.35
    assert 0.4 < sum("background" in text for text in english) / 400 < 0.6
    drawn = {lang: varied("táo đỏ" if lang[:2] == "vi" else "red apple", (), "noto", "sea", lang, rng)
             for lang in ("en", "vi", "vi_unaccented")}  # fmt: skip
    assert "sea" in drawn["en"] and "biển" in drawn["vi"] and drawn["vi_unaccented"].isascii()
    assert prompt("red apple", "flat", "en") == "a red apple, flat style" and prompt("táo đỏ", "3d", "vi") == "táo đỏ, kiểu 3D"


# --- images ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["twemoji", "noto", "flat", "3d"])
def test_masks_are_exact(pinned: tuple[Path, tuple[Package, ...]], style: str) -> None:
    drawn = read_styles(tarballs(pinned))[style]
    image, mask = compose(drawn, "1f34e", "meadow", random.Random(0))
    empty = np.asarray(SETTINGS["meadow"](256, random.Random(0)).reduce(2))
    assert image.shape == (128, 128, 3) and mask.shape == (128, 128)
    assert (image[mask == 0] == empty[mask == 0]).all()
    assert np.abs(image[mask == 255].astype(int) - (255, 0, 0)).max() <= 2 and 0.03 < (mask == 255).mean() < 0.3


def test_prepared_folder_holds_every_emoji_in_every_style_twice(prepared: Path) -> None:
    rows = [row for split in ("train", "test") for row, *_ in read_prepared(prepared, split)]
    assert len(rows) == 4 * 4 * 2 and len({row["file_name"] for row in rows}) == len(rows)
    assert {row["style"] for row in rows} == {"twemoji", "noto", "flat", "3d"}
    for split in ("train", "test"):
        for row, image, mask in read_prepared(prepared, split):
            assert Image.open(image).size == Image.open(mask).size == (128, 128)
            assert (row["backdrop"] == "plain") == row["file_name"].endswith("-plain.png")
    assert all(len(row["text"]) >= 10 and len(row["text_vi"]) >= 10 for row in rows)


def test_a_prepared_folder_is_read_as_pairs(prepared: Path) -> None:
    pairs = read_pairs(prepared)
    assert len(pairs) == 4 * 4 and all(len(pair.views) == 2 for pair in pairs)
    assert all(pair.views[0].backdrop == "plain" != pair.views[1].backdrop for pair in pairs)
    apple = next(pair for pair in pairs if (pair.code, pair.style) == ("1f34e", "3d"))
    assert apple.keywords == dict(zip(("en", "vi"), KEYWORDS, strict=True)) and apple.prompt("vi") == "táo đỏ, kiểu 3D"


def test_man_and_woman_are_in_the_same_split(prepared: Path) -> None:
    splits = {row["code"]: split for split in ("train", "test") for row, *_ in read_prepared(prepared, split)}
    assert splits["1f468"] == splits["1f469"]


def test_licences_are_written(prepared: Path) -> None:
    text = (prepared / "LICENCES.md").read_text(encoding="utf-8")
    assert all(f"| {p.name} {p.version} | {p.holder} | {p.licence} |" in text for p in packages.PACKAGES)
    assert (prepared / "licences" / "twemoji-svg-15.0.0.txt").read_text() == "CC BY 4.0"


def test_a_stopped_call_draws_only_what_is_missing(pinned: tuple[Path, tuple[Package, ...]], prepared: Path) -> None:
    files = sorted(prepared.rglob("*.png"))
    contents_before = {path: path.read_bytes() for path in files}
    files[0].unlink()                                                               # an image; its mask is drawn again too
    kept = {path: path.stat().st_mtime_ns for path in files[1:] if path.parts[-2:] != files[0].parts[-2:]}
    assert len(kept) == len(files) - 2
    prepare(PrepareEmoji(prepared, packages=pinned[0]), pinned[1])
    assert {path: path.read_bytes() for path in sorted(prepared.rglob("*.png"))} == contents_before
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())


def test_another_size_needs_another_folder(pinned: tuple[Path, tuple[Package, ...]], prepared: Path) -> None:
    with pytest.raises(EmojiError, match="another --out"):
        prepare(PrepareEmoji(prepared, size=64, packages=pinned[0]), pinned[1])


def test_only_clothing_is_a_folder_of_its_own(pinned: tuple[Path, tuple[Package, ...]], tmp_path: Path) -> None:
    """Here the red apple is what is worn."""
    only = PrepareEmoji(tmp_path, packages=pinned[0], only="clothing")
    prepare(only, pinned[1])
    names = {row["name"] for split in ("train", "test") for row, *_ in read_prepared(tmp_path, split)}
    assert names == {"red apple"}
    with pytest.raises(EmojiError, match="other emoji"):
        prepare(PrepareEmoji(tmp_path, packages=pinned[0]), pinned[1])


def test_sizes_out_of_range_are_refused() -> None:
    with pytest.raises(EmojiError, match="from 32 to 512"):
        PrepareEmoji(size=16)


def test_reading_what_is_not_there_says_which_command_makes_it(tmp_path: Path) -> None:
    with pytest.raises(EmojiError, match="minidiff prepare emoji"):
        next(read_prepared(tmp_path, "train"))


def test_the_command_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    from minidiff.cli import main

    with pytest.raises(SystemExit) as stop:
        main(["prepare", "emoji", "--help"])
    assert stop.value.code == 0 and "minidiff prepare emoji --out data/emoji" in capsys.readouterr().out


def test_the_notice_names_every_package_with_its_licence() -> None:
    text = (Path(__file__).parents[1] / "NOTICE").read_text(encoding="utf-8")
    assert all(f"| {p.name} {p.version} | {p.holder} | {p.licence} |" in text for p in packages.PACKAGES)
