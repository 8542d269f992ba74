"""`minidiff prepare images`: every trap of decoding, what each step drops and keeps, the same bytes however it is run, the
reader of shards, buckets, other sources, and one sentence for bad input."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import pickle
import signal
import struct
import subprocess
import sys
import tarfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from minidiff.cli import main
from minidiff.data.captioned import DataError, read_captioned
from minidiff.data.fashion.faults import png_16_bits
from minidiff.data.images import engines, pixels
from minidiff.data.images.buckets import bucket_sizes, covers, fitted, nearest
from minidiff.data.images.deciding import refuse_repeated
from minidiff.data.images.latents import EMPTY
from minidiff.data.images.looking import Caption, Limits, Seen
from minidiff.data.images.pixels import UnfitError, decoded
from minidiff.data.images.prepare import Networks, PrepareImages, prepare_images
from minidiff.data.images.scoring import Judge
from minidiff.data.images.words import junk, language, tidy, unsafe_word
from minidiff.data.shards import INDEX, Sample, ShardError, ShardIndex, index_path, write_shard
from minidiff.evaluate.prepare_images import OURS, PrepareImagesOptions, best_cosines, knows, networks_of, told_languages
from minidiff.evaluate.published_weights import WeightsError

ROOT = Path(__file__).parents[1]


def drawing(number: int, size: tuple[int, int] = (96, 96)) -> Image.Image:
    """A picture with sharp edges, another one for each number."""
    rng = np.random.default_rng(number)
    image = Image.new("RGB", size, tuple(int(x) for x in rng.integers(60, 200, 3)))
    draw = ImageDraw.Draw(image)
    for _ in range(14):
        x, y = (int(rng.integers(0, side - 8)) for side in size)
        width, height = (int(x) for x in rng.integers(8, 40, 2))
        draw.rectangle((x, y, x + width, y + height), fill=tuple(int(x) for x in rng.integers(0, 255, 3)))
    return image


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def folder_of(path: Path, files: dict[str, tuple[bytes, Any]]) -> Path:
    """A folder of pictures, with a captions.jsonl; a caption of None isn't told."""
    path.mkdir(parents=True)
    lines = []
    for name, (content, text) in files.items():
        (path / name).write_bytes(content)
        if text is not None:
            lines.append(json.dumps({"file_name": name, "captions": text}, ensure_ascii=False) + "\n")
    (path / "captions.jsonl").write_text("".join(lines), encoding="utf-8")
    return path


def good(count: int, first: int = 0) -> dict[str, tuple[bytes, Any]]:
    return {f"{k:03d}.png": (saved(drawing(k)), [f"drawing {k} of a red box", f"bức vẽ hộp đỏ số {k}"])
            for k in range(first, first + count)}  # fmt: skip


def options(source: Path | str, out: Path, **changes: Any) -> PrepareImages:
    return PrepareImages(**{"source": str(source), "out": out, "area": "64x64", "min_size": 64, "step": 16, "workers": 1,
                            "chunk": 4, **changes})  # fmt: skip


def run(source: Path | str, out: Path, networks: Networks | None = None, **changes: Any) -> dict[str, dict[str, str]]:
    """Prepares, and returns what was dropped, by key."""
    prepare_images(options(source, out, **changes), networks)
    return dropped(out)


def dropped(out: Path) -> dict[str, dict[str, str]]:
    return {row["key"]: row for row in map(json.loads, (out / "dropped.jsonl").read_text(encoding="utf-8").splitlines())}


def made(out: Path) -> dict[str, bytes]:
    """What must be the same bytes however it is made."""
    files = [path for path in sorted(out.rglob("*")) if path.suffix in (".tar", ".jsonl") or path.name.endswith(".idx.json")]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in [*files, out / INDEX]}


# --- decoding ---------------------------------------------------------------------------------------------------------------


def gif(frames: int = 3) -> bytes:
    first, *others = (Image.new("P", (80, 64), k) for k in range(frames))
    for k, image in enumerate((first, *others)):
        image.putpalette([200 - 90 * k, 30, 60 * k] * 256)
    return saved(first, "GIF", save_all=True, append_images=others, duration=100)


def turned() -> bytes:
    note = Image.Exif()
    note[0x0112] = 6
    return saved(drawing(1, (96, 64)).transpose(Image.Transpose.ROTATE_90), "JPEG", exif=note, quality=95)


def clear() -> bytes:
    layers = drawing(1).convert("RGBA")
    layers.putalpha(0)
    return saved(layers)


TRAPS: dict[str, tuple[Callable[[], bytes], Callable[[np.ndarray], bool]]] = {
    "plain": (lambda: saved(drawing(1)), lambda a: a.shape == (96, 96, 3)),
    "turned": (turned, lambda a: a.shape == (64, 96, 3) and np.abs(a - np.asarray(drawing(1, (96, 64)), float)).mean() < 6),
    "alpha": (clear, lambda a: bool((a == 255).all())),
    "palette with a clear colour": (
        lambda: saved(Image.new("RGB", (64, 64), "red").quantize(4), transparency=0), lambda a: bool((a == 255).all())),
    "grey and alpha": (lambda: saved(Image.new("LA", (64, 64), (0, 0))), lambda a: bool((a == 255).all())),
    "cmyk": (lambda: saved(drawing(1).convert("CMYK"), "JPEG", quality=95),
             lambda a: np.abs(a - np.asarray(drawing(1), float)).mean() < 6),
    "16 bits, grey": (lambda: saved(Image.fromarray(np.full((64, 64), 40_000, np.uint16))),
                      lambda a: bool((np.abs(a - 40_000 / 257) <= 1).all())),
    "16 bits, colour": (lambda: png_16_bits(drawing(1)), lambda a: np.abs(a - np.asarray(drawing(1), float)).mean() < 1),
    "palette": (lambda: saved(drawing(1).quantize(256)), lambda a: np.abs(a - np.asarray(drawing(1), float)).mean() < 6),
    "animated": (gif, lambda a: bool((np.abs(a - (200, 30, 0)) < 3).all())),
}  # fmt: skip


@pytest.mark.parametrize("trap", TRAPS)
def test_strange_files_are_decoded_as_they_should_look(trap: str) -> None:
    make, looks_right = TRAPS[trap]
    image, mended = decoded(make())
    assert image.mode == "RGB" and looks_right(np.asarray(image, float))
    assert ("animated" in mended) == (trap == "animated")


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is huge."""
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 9)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "unreadable"), (b"<html>404</html>", "unreadable"), (half(saved(drawing(1))), "unreadable"),
        (half(saved(drawing(1), "JPEG")), "unreadable"), (half(saved(drawing(1), "WEBP")), "unreadable"),
        (bomb(10_000, 10_000), "decompression bomb"), (bomb(60_000, 60_000), "decompression bomb"),
    ],
)  # fmt: skip
def test_files_that_give_no_picture_are_refused(content: bytes, reason: str) -> None:
    with pytest.raises(UnfitError) as refused:
        decoded(content)
    assert refused.value.reason == reason


def test_a_large_picture_that_is_no_bomb_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "MOST_PIXELS", 96 * 96)
    assert decoded(saved(drawing(1)))[0].size == (96, 96)
    with pytest.raises(UnfitError, match="bomb"):
        decoded(saved(drawing(1, (97, 96))))


# --- captions ---------------------------------------------------------------------------------------------------------------


def test_captions_are_tidied() -> None:
    assert tidy("  a <b>red</b>\n\tbox &amp; a&nbsp;cat\u200b ") == "a red box & a cat"
    assert tidy("me\u0300o con") == "mèo con" and tidy("5 < 6 > 4") == "5 < 6 > 4"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("IMG_1234.JPG", "file name"), ("dsc02231", "file name"), ("Screenshot 2020-01-02", "file name"),
        ("a1b2c3d4e5f6", "file name"), ("my holiday photo.jpeg", "file name"), ("https://a.b/c", "URL"),
        ("see www.shop.com", "URL"),
        ("image", "placeholder"), ("Untitled.", "placeholder"), ("Hình ảnh", "placeholder"), ("n/a", "placeholder"),
        ("12345 67", "no letters"), ("???", "placeholder"), ("aaaaaaah", "repeated"), ("cat cat cat cat cat", "repeated"),
        ("Apple on white, stock photo", "stock phrase"), ("Royalty-free vector of a cat", "stock phrase"), ("cat", "too short"),
        ("cat " + "and a dog, " * 300, "too long"), ("cafÃ© in Paris", "broken letters"),
    ],
)  # fmt: skip
def test_junk_captions_are_known(text: str, reason: str) -> None:
    assert junk(text) in (reason, "empty") and junk(text)


@pytest.mark.parametrize(
    "text",
    ["a photo of a cat", "An image of two red birds", "mèo con", "hình ảnh một con mèo", "ĐÃ CÓ MỘT CON CÁ", "Boeing 747-400",
     "copyright sign emoji", "biểu tượng bản quyền", "very very good cake", "no one under eighteen"],
)  # fmt: skip
def test_captions_that_say_something_are_kept(text: str) -> None:
    assert junk(text) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a red apple on a table", "en"), ("red apple", "en"), ("café in the rain", "en"), ("a bowl of phở", "en"),
        ("quả táo đỏ trên bàn", "vi"), ("mèo con", "vi"), ("bánh mì", "vi"), ("phở", "vi"), ("con meo mau do tren ban", "vi"),
        ("hai con cá", "vi"), ("une pomme rouge sur la table", "other"), ("ein roter Apfel auf dem Tisch", "other"),
        ("una manzana roja", "other"), ("crème brûlée", "other"), ("赤いリンゴ", "other"), ("красное яблоко", "other"),
        ("123", "other"),
    ],
)  # fmt: skip
def test_languages_are_told_apart(text: str, expected: str) -> None:
    assert language(text) == expected


def test_unsafe_words_are_whole_words_in_both_languages() -> None:
    assert unsafe_word("Nude woman") == "nude" and unsafe_word("tranh khỏa thân") == "khỏa thân"
    assert not unsafe_word("denuded hills in Essex, Sussex and Middlesex") and not unsafe_word("một con cá trên đĩa")


# --- buckets --------------------------------------------------------------------------------------------------------------


def kohya(most: tuple[int, int], low: int, high: int, step: int) -> list[tuple[int, int]]:
    """`make_bucket_resolutions` of kohya-ss/sd-scripts (library/model_util.py), as it stands there."""
    area, found = most[0] * most[1], set()
    width = int((area**0.5) // step) * step
    found.add((width, width))
    width = low
    while width <= high:
        height = min(high, int((area // width) // step) * step)
        if height >= low:
            found.add((width, height))
            found.add((height, width))
        width += step
    return sorted(found)


@pytest.mark.parametrize("side", [512, 768, 1024])
def test_without_a_tolerance_the_table_is_kohyas(side: int) -> None:
    assert bucket_sizes((side, side), (256, 1024), tolerance=0) == kohya((side, side), 256, 1024, 64)


def test_the_default_buckets_are_those_of_s0_within_ten_percent() -> None:
    sizes = bucket_sizes((512, 512))
    assert {(512, 512), (640, 448), (448, 640), (256, 1024), (1024, 256)} <= set(sizes)
    assert all(256 <= side <= 1024 and side % 64 == 0 for size in sizes for side in size)
    assert all(abs(width * height / 512**2 - 1) <= 0.1 for width, height in sizes)
    assert {(height, width) for width, height in sizes} == set(sizes)


def test_pictures_go_to_the_nearest_ratio_and_are_never_blown_up() -> None:
    sizes = bucket_sizes((512, 512))
    assert nearest((1000, 1000), sizes) == (512, 512) and nearest((1500, 1050), sizes) == (640, 448)
    assert nearest((300, 3000), sizes) == (256, 1024)
    assert covers((640, 448), (640, 448)) and not covers((639, 500), (640, 448))
    with pytest.raises(ValueError, match="no size"):
        bucket_sizes((512, 512), (600, 700), 512)


def test_pictures_are_cut_in_the_middle_with_antialiasing() -> None:
    stripes = np.zeros((256, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    cut = np.asarray(fitted(Image.fromarray(stripes), (64, 64)), float)
    assert np.abs(cut[:, 4:-4] - 127.5).max() < 12, "fine stripes become grey, not coarse stripes"
    halves = Image.fromarray(np.repeat(np.repeat(np.eye(2, dtype=np.uint8) * 255, 128, 0), 256, 1))
    assert np.asarray(fitted(halves, (128, 128)))[:, :60].mean(axis=1)[0] > 250


# --- each step ----------------------------------------------------------------------------------------------------------------


def test_each_step_drops_what_it_must_and_keeps_what_it_must(tmp_path: Path) -> None:
    plain = drawing(50, (128, 128))
    files = good(6) | {
        "b01.png": (b"broken", "a red box in a frame"), "b02.png": (saved(drawing(60, (40, 96))), "a red box in a frame"),
        "b03.png": (saved(drawing(61, (400, 96))), "a red box in a frame"), "b04.png": (saved(drawing(62)), "image"),
        "b05.png": (saved(drawing(63)), None), "b06.png": (saved(drawing(64)), "une pomme rouge sur la table"),
        "b07.png": (saved(drawing(0)), "the first one again"),
        "b08.jpg": (saved(drawing(1), "JPEG", quality=80), "nearly the second"),
        "b09.png": (saved(drawing(65).filter(ImageFilter.GaussianBlur(3))), "a blurred box"),
        "b10.png": (saved(drawing(66)), "a naked box"), "b11.png": (saved(drawing(67, (60, 60))), "a small box"),
        "c00.png": (saved(plain), "a sharp picture"),
        "a99.png": (saved(plain.filter(ImageFilter.GaussianBlur(3))), "its blurred copy"),
    }  # fmt: skip
    out = tmp_path / "out"
    refused = run(folder_of(tmp_path / "raw", files), out, min_size=48)
    steps = {key.partition(".")[0]: row["step"] for key, row in refused.items()}
    assert steps == {"b01": "decode", "b02": "size", "b03": "aspect", "b04": "caption", "b05": "caption", "b06": "language",
                     "b07": "exact", "b08": "near", "b09": "sharpness", "b10": "words", "b11": "bucket",
                     "a99": steps["a99"]}  # fmt: skip
    assert steps["a99"] in ("near", "sharpness"), "and the sharp one, which comes later, is kept"
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert report["kept"] == 7 == len(ShardIndex(out)) and report["found"] == 19
    assert sum(row["dropped"] for row in report["steps"]) == 12 and report["steps"][0]["seen"] == 19
    assert all((out / name).exists() for name in ("report.md", "dropped.png", "histograms.png")) and not (out / "work").exists()
    assert {row["stage"] for row in report["stages"]} == {"looking", "duplicates", "writing"}


@pytest.mark.parametrize(
    ("step", "file", "text"),
    [
        ("size", saved(drawing(1, (70, 64))), "a red box"), ("aspect", saved(drawing(1, (64 * 4, 64))), "a red box"),
        ("caption", saved(drawing(1)), "image"), ("language", saved(drawing(1)), "une pomme rouge sur la table"),
        ("exact", saved(drawing(0)), "a red box"), ("near", saved(drawing(0), "JPEG", quality=85), "a red box"),
        ("sharpness", saved(drawing(1).filter(ImageFilter.GaussianBlur(3))), "a red box"),
        ("words", saved(drawing(1)), "a nude box"),
    ],
)  # fmt: skip
def test_each_step_can_be_switched_off(step: str, file: bytes, text: str, tmp_path: Path) -> None:
    files = {"000.png": (saved(drawing(0)), "a blue box"), "other.png": (file, text)}
    raw = folder_of(tmp_path / "raw", files)
    limits: dict[str, Any] = {"min_size": 66 if step == "size" else 64}
    assert [row["step"] for row in run(raw, tmp_path / "on", **limits).values()] == [step]
    off = (step, "near") if step == "exact" else (step,)
    assert all(row["step"] == "bucket" for row in run(raw, tmp_path / "off", skip=off, **limits).values())


@pytest.mark.parametrize("flaw", [{"sharpness": 1.0}, {"unsafe": "nude"}, {"width": 60, "height": 60}])
def test_of_several_copies_one_that_passes_is_kept(flaw: dict[str, Any]) -> None:
    whole = {"width": 64, "height": 64, "sharpness": 9.0, "digest": "same"}
    first, second, third = (Seen(key, **whole | more) for key, more in (("a", flaw), ("b", {}), ("c", {})))
    refuse_repeated([first, second, third], Limits(skip=("near",)), [(64, 64)])
    assert (first.step, second.step, third.step) == ("exact", "", "exact") and third.detail == "of b"


def judge_of(name: str, values: list[float], above: bool = False) -> Judge:
    """A score that gives each picture the value that its caption's number has."""
    def score(pictures: Any, captions: Any) -> list[float]:
        return [values[int(told[0].text.split()[1])] for told in captions]

    return Judge(name, lambda: score, 0.5, above)


def test_scores_refuse_what_is_below_or_above_and_are_written(tmp_path: Path) -> None:
    networks = Networks((judge_of("clip", [0.9, 0.4, 0.8, 0.7]), judge_of("nsfw", [0.1, 0.9, 0.9, 0.2], above=True)))
    out = tmp_path / "out"
    refused = run(folder_of(tmp_path / "raw", good(4)), out, networks)
    assert {key: row["step"] for key, row in refused.items()} == {"001.png": "clip", "002.png": "nsfw"}
    assert [ShardIndex(out).read(k)[1]["scores"] for k in range(2)] == [{"clip": 0.9, "nsfw": 0.1}, {"clip": 0.7, "nsfw": 0.2}]


def test_a_missing_language_is_filled_in_and_marked(tmp_path: Path) -> None:
    files = {"1.png": (saved(drawing(1)), "a red box"), "2.png": (saved(drawing(2)), ["một cái hộp đỏ", "a box"]),
             "3.png": (saved(drawing(3)), "một cái hộp xanh")}  # fmt: skip
    asked: list[tuple[list[str], str]] = []

    def translate(texts: Any, target: str) -> list[str]:
        asked.append((list(texts), target))
        return [f"{target}: {text}" for text in texts]

    run(folder_of(tmp_path / "raw", files), tmp_path / "out", Networks(translate=lambda: translate, translate_by="a fake"))
    assert asked == [(["a red box"], "vi"), (["một cái hộp xanh"], "en")]
    told = [ShardIndex(tmp_path / "out").read(k)[1]["captions"] for k in range(3)]
    assert told[0] == [{"text": "a red box", "language": "en", "origin": "given"},
                       {"text": "vi: a red box", "language": "vi", "origin": "translated", "translated": True}]  # fmt: skip
    assert [one["origin"] for one in told[1]] == ["given"] * 2 and told[2][1]["language"] == "en"


# --- networks -------------------------------------------------------------------------------------------------------------


def test_the_best_caption_counts_and_english_alone_for_an_english_clip() -> None:
    import torch

    vectors = {"x": (1.0, 0.0), "y": (0.0, 1.0)}
    captions = [[Caption("x", "en"), Caption("y", "vi")], []]
    pictures = [Image.new("RGB", (8, 8))] * 2


    def see(pictures: Any) -> torch.Tensor:
        return torch.tensor([[0.0, 1.0]] * len(pictures))

    for english, best in ((True, 0.0), (False, 1.0)):
        score = best_cosines(see, lambda texts: torch.tensor([vectors[text] for text in texts]), english)
        assert score(pictures, captions) == [best, -1.0]


def asked(tmp_path: Path, **changes: Any) -> PrepareImagesOptions:
    return PrepareImagesOptions(source=str(tmp_path / "raw"), out=tmp_path / "out", **changes)


def test_world_clip_scores_and_is_repeatable(tmp_path: Path) -> None:
    (judge,) = networks_of(asked(tmp_path, clip=OURS, clip_threshold=-1.0)).judges
    out = tmp_path / "out"
    run(folder_of(tmp_path / "raw", good(3)), out, Networks((judge,)))
    scores = [ShardIndex(out).read(k)[1]["scores"]["clip"] for k in range(3)]
    assert all(-1 <= score <= 1 for score in scores) and len(set(scores)) == 3


def test_an_aesthetic_head_that_is_not_the_published_one_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "head.pth").write_bytes(pickle.dumps({"layers.0.weight": 0}))
    with pytest.raises(WeightsError, match="not a published file for aesthetic"):
        networks_of(asked(tmp_path, aesthetic=tmp_path / "head.pth"))


def test_latents_and_text_vectors_are_laid_beside_the_shards(tmp_path: Path) -> None:
    """They are the model's own: of each picture, of its mirror image, and of each caption."""
    import torch

    from minidiff.pipelines.loading import load_pipeline
    from minidiff.utils.images import to_tensor

    out = tmp_path / "out"
    run(folder_of(tmp_path / "raw", good(3)), out, networks_of(asked(tmp_path, latents="world-dit")))
    latents, tokens, captions = (np.load(out / f"64x64/shard-000000.{name}.npy") for name in ("latents", "tokens", "captions"))
    pipeline, shards = load_pipeline("world-dit", "cpu", "float32"), ShardIndex(out)
    image, told = shards.read(1)
    pixels = np.asarray(Image.open(io.BytesIO(image)))
    expected = pipeline.latents(to_tensor(np.stack([pixels, pixels[:, ::-1]]))).numpy()
    assert latents.shape[:2] == (3, 2) and latents.dtype == np.float16 and np.abs(latents[1] - expected).max() < 0.02
    assert captions[:, 0].tolist() == [0, 0, 1, 1, 2, 2] and captions[-1, 1] == len(tokens)
    with torch.inference_mode():
        context, mask = pipeline.encode([told["captions"][1]["text"]])
    mine = tokens[captions[2, 1] : captions[3, 1]]
    assert np.abs(mine - context[0][mask[0].bool()].numpy()).max() < 0.02
    assert captions[3, 2] == zlib.crc32(mine.tobytes())
    checks = np.load(out / "64x64/shard-000000.checks.npy")
    assert checks.tolist() == [[zlib.crc32(view.tobytes()) for view in views] for views in latents]
    with torch.inference_mode():
        context, mask = pipeline.encode([""])
    assert np.abs(np.load(out / EMPTY) - context[0][mask[0].bool()].numpy()).max() < 0.02


def test_another_text_encoder_than_the_models_can_be_asked_for(tmp_path: Path) -> None:
    from minidiff.text.encoders import load_encoder

    networks = networks_of(asked(tmp_path, latents="world-dit", text="ours:world-clip"))
    assert networks.encoders is not None and networks.encoders_by == "world-dit with ours:world-clip"
    (vectors,) = networks.encoders().words(["a red box"])
    context, mask = load_encoder("ours", "world-clip").encode(["a red box"])
    assert np.abs(vectors - context[0][mask[0]].numpy()).max() < 0.02
    for text, told in (("world-clip", "KIND:PLACE"), ("ours:", "KIND:PLACE"), ("bert:x", "one of the kinds ours, clip")):
        with pytest.raises(ValueError, match=told):
            networks_of(asked(tmp_path, latents="world-dit", text=text))
    with pytest.raises(ValueError, match="--text needs --latents"):
        networks_of(asked(tmp_path, text="ours:world-clip"))


def test_latents_refuse_random_crops_and_those_leave_what_may_be_cut(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="latents are those of one crop"):
        networks_of(asked(tmp_path, latents="world-dit", random_crop=True))
    raw = folder_of(tmp_path / "raw", {"1.png": (saved(drawing(1, (150, 96))), "a wide box")})
    run(raw, tmp_path / "out", random_crop=True)
    image, told = ShardIndex(tmp_path / "out").read(0)
    size = Image.open(io.BytesIO(image)).size
    assert all(map(int.__ge__, size, told["bucket"])) and list(size) != told["bucket"]


def test_nudenet_sees_nothing_bare_in_boxes(tmp_path: Path) -> None:
    (judge,) = networks_of(asked(tmp_path, nsfw=True)).judges
    assert judge.above and judge.make()([drawing(1), drawing(2)], [[], []]) == [0.0, 0.0]


class Codes:
    """A tokenizer as far as languages go. direction: of one that knows a single one."""

    def __init__(self, names: tuple[str, ...] = (), direction: tuple[str | None, str | None] = (None, None)) -> None:
        self.names, (self.source_lang, self.target_lang) = names, direction

    def get_vocab(self) -> dict[str, int]:
        return {name: k for k, name in enumerate(self.names)}

    def convert_tokens_to_ids(self, name: str) -> int:
        return self.names.index(name)


def test_translators_are_told_the_languages_in_their_own_way() -> None:
    nllb = Codes(("fra_Latn", "eng_Latn", "vie_Latn"))
    assert told_languages(nllb, "m2m_100", "en", "vi") == ("", {"forced_bos_token_id": 2})
    assert nllb.src_lang == "eng_Latn"  # type: ignore[attr-defined]
    assert told_languages(Codes(("__en__", "__vi__")), "m2m_100", "vi", "en") == ("", {"forced_bos_token_id": 0})
    assert told_languages(Codes(), "t5", "en", "vi") == ("en: ", {})
    assert told_languages(Codes(), "marian", "en", "vi") == ("", {})
    assert knows(Codes(), "vi", "en") and knows(Codes(direction=("en", "vi")), "en", "vi")
    assert not knows(Codes(direction=("en", "vi")), "vi", "en")


def test_a_translator_of_transformers_is_run(tmp_path: Path) -> None:
    """A small T5 without training: what it says means nothing, but is the same each time."""
    transformers = pytest.importorskip("transformers")
    import tokenizers
    import torch

    words = {word: k for k, word in enumerate(("<pad>", "</s>", "<unk>", "en", ":", "a", "red", "box", "hộp", "đỏ"))}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, "<unk>"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **special).save_pretrained(tmp_path / "t5")
    torch.manual_seed(0)
    sizes = {"vocab_size": 10, "d_model": 16, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    config = transformers.T5Config(**sizes, decoder_start_token_id=0)
    transformers.T5ForConditionalGeneration(config).save_pretrained(tmp_path / "t5")
    translate = networks_of(asked(tmp_path, translate=tmp_path / "t5")).translate
    assert translate is not None
    run_once = translate()
    said = run_once(["a red box", "a box"], "vi")
    assert len(said) == 2 and all(isinstance(text, str) for text in said) and run_once(["a red box", "a box"], "vi") == said
    (tmp_path / "t5/config.json").write_text("{}")
    with pytest.raises(ValueError, match="cannot be read as a translator"):
        translate()


# --- the same bytes ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifteen good pictures in two shapes, a broken one and a copy."""
    files = good(12) | {f"wide{k}.png": (saved(drawing(k + 80, (140, 90))), f"wide drawing {k} of a box") for k in range(3)}
    files |= {"zz.png": (saved(drawing(3)), "a copy of a box"), "zy.png": (b"", "a box")}
    return folder_of(tmp_path_factory.mktemp("same") / "raw", files)


@pytest.fixture(scope="module")
def whole(raw: Path) -> dict[str, bytes]:
    run(raw, raw.parent / "out", shard=5)
    return made(raw.parent / "out")


def test_shards_are_deterministic_tar_files_without_time_or_user(raw: Path, whole: dict[str, bytes]) -> None:
    assert [name for name in whole if name.endswith(".tar")] == [
        "64x64/shard-000000.tar", "64x64/shard-000001.tar", "64x64/shard-000002.tar", "80x48/shard-000000.tar"
    ]  # fmt: skip
    with tarfile.open(fileobj=io.BytesIO(whole["64x64/shard-000001.tar"])) as tar:
        members = tar.getmembers()
    assert [member.name for member in members[:3]] == ["000000005.jpg", "000000005.json", "000000006.jpg"]
    assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in members} == {(0, 0, 0, "", 0o644)}
    index = json.loads(whole[INDEX])
    assert index["buckets"] == {"64x64": 12, "80x48": 3} and index["count"] == 15


def test_two_processes_and_other_pieces_give_the_same_bytes(raw: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    run(raw, tmp_path / "out", shard=5, workers=2, chunk=3)
    assert made(tmp_path / "out") == whole


@pytest.mark.timeout(900)  # on a busy machine Ray takes minutes to start
def test_ray_gives_the_same_bytes(raw: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    """On a cluster of two workers; a network is loaded in an actor of it."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        run(raw, tmp_path / "out", shard=5, engine="ray")
        assert made(tmp_path / "out") == whole
        few, networks = folder_of(tmp_path / "raw", good(4)), Networks((judge_of("clip", [0.9, 0.4, 0.8, 0.7]),))
        run(few, tmp_path / "ray", networks, engine="ray")
    finally:
        ray.shutdown()
    run(few, tmp_path / "here", networks)
    assert made(tmp_path / "ray") == made(tmp_path / "here") and len(ShardIndex(tmp_path / "ray")) == 3


def test_a_call_that_was_killed_goes_on_where_it_was(raw: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = (f"from pathlib import Path\nfrom test_prepare_images import options, prepare_images, slowed\n"
            f"slowed(); prepare_images(options(Path({str(raw)!r}), Path({str(out)!r}), shard=5))")  # fmt: skip
    paths = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": paths}, stderr=subprocess.DEVNULL)
    second = out / "work/looking-000000004.json"
    while not second.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and not (out / INDEX).exists()
    before = second.stat().st_mtime_ns
    seen: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minidiff.data.images.prepare.write_shard", lambda path, samples: (
            seen.append(second.stat().st_mtime_ns), write_shard(path, samples)))  # fmt: skip
        run(raw, out, shard=5)
    assert made(out) == whole and set(seen) == {before}, "what was done isn't done again"


def slowed() -> None:
    """Makes looking slow, so that a process can be killed in it."""
    from minidiff.data.images import looking

    fast = looking.fingerprint
    looking.fingerprint = lambda image: (time.sleep(0.1), fast(image))[1]  # type: ignore[assignment]


def test_shards_that_are_done_are_kept_and_the_rest_is_made(raw: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    out, written = tmp_path / "out", []

    def stop(path: Path, samples: Any) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        write_shard(path, samples)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("minidiff.data.images.prepare.write_shard", stop)
        run(raw, out, shard=5)
    times = [path.stat().st_mtime_ns for path in written]
    run(raw, out, shard=5)
    assert [path.stat().st_mtime_ns for path in written] == times and made(out) == whole


def test_a_finished_folder_is_left_alone_and_other_options_are_refused(raw: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out"
    run(raw, out)
    time_before = (out / INDEX).stat().st_mtime_ns
    run(raw, out, workers=2)
    assert "done already" in capsys.readouterr().out and (out / INDEX).stat().st_mtime_ns == time_before
    with pytest.raises(ValueError, match="other options"):
        run(raw, out, quality=90)


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    code = ("import os, time\nfrom minidiff.data.images.engines import engine\n"
            "if __name__ == '__main__':\n  with engine('local', 2) as run:\n"
            "    print(next(iter(run.map(abs, [1] * 9))), *run.pool._processes, flush=True); time.sleep(60)")  # fmt: skip
    (tmp_path / "parent.py").write_text(code)
    process = subprocess.Popen([sys.executable, str(tmp_path / "parent.py")], env=os.environ | {"PYTHONPATH": str(ROOT)},
                               stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stdout is not None
    workers = [int(number) for number in process.stdout.readline().split()[1:]]
    process.kill()
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 20
    while any(alive(number) for number in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert workers and not any(alive(number) for number in workers)


def alive(number: int) -> bool:
    try:
        os.kill(number, 0)
        return Path(f"/proc/{number}/stat").read_text().split()[2] != "Z"
    except (OSError, IndexError):
        return False


# --- the reader -------------------------------------------------------------------------------------------------------------


def test_any_sample_can_be_read(raw: Path, whole: dict[str, bytes]) -> None:
    shards = ShardIndex(raw.parent / "out")
    assert len(shards) == 15 and shards.buckets == {"64x64": 12, "80x48": 3}
    for k in (14, 0, 5, 11, 12):
        image, told = shards.read(k)
        with Image.open(io.BytesIO(image)) as picture:
            assert list(picture.size) == told["bucket"] and picture.format == "JPEG"
    assert shards.read(3)[1]["source"] == "003.png" and shards.read(3)[1]["captions"][1]["language"] == "vi"
    assert len(ShardIndex(raw.parent / "out", "80x48")) == 3
    assert pickle.loads(pickle.dumps(shards)).read(7) == shards.read(7)
    for k in (-1, 15):
        with pytest.raises(IndexError, match="There are 15|there are 15"):
            shards.read(k)


def test_several_processes_read_at_once(raw: Path, whole: dict[str, bytes]) -> None:
    shards = ShardIndex(raw.parent / "out")
    expected = [shards.read(k) for k in range(15)]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(shards.read, range(15)) == expected


def three(folder: Path) -> Path:
    """A shard of three samples with its index."""
    write_shard(folder / "8x8/shard-000000.tar", [Sample(f"{k:09d}", "png", saved(drawing(k)), {"k": k}) for k in range(3)])
    from minidiff.data.shards import write_index

    write_index(folder, [("8x8", folder / "8x8/shard-000000.tar")])
    return folder / "8x8/shard-000000.tar"


def test_damage_is_named(tmp_path: Path) -> None:
    shard = three(tmp_path)
    place = ShardIndex(tmp_path).places(0)[1]
    content = bytearray(shard.read_bytes())
    content[place.image_offset + 40] ^= 1
    shard.write_bytes(content)
    shards = ShardIndex(tmp_path)
    assert shards.read(0)[1] == {"k": 0} and shards.read(2)[1] == {"k": 2}
    with pytest.raises(ValueError, match="000000001.*corrupted"):
        shards.read(1)
    shard.write_bytes(content[:-600])
    with pytest.raises(ShardError, match="shard-000000.tar is damaged"):
        ShardIndex(tmp_path)
    shard.unlink()
    with pytest.raises(ShardError, match="shard-000000.tar is missing"):
        ShardIndex(tmp_path)
    three(tmp_path)
    index_path(shard).write_text("[]")
    with pytest.raises(ShardError, match="is no index"):
        ShardIndex(tmp_path).read(0)
    (tmp_path / INDEX).unlink()
    with pytest.raises(ShardError, match="prepare images"):
        ShardIndex(tmp_path)


def test_keys_with_dots_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be the key"):
        write_shard(tmp_path / "a.tar", [Sample("a.b", "jpg", b"", {})])
    assert not list(tmp_path.glob("*"))


# --- other sources ------------------------------------------------------------------------------------------------------------


def tar_of(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def test_shards_of_img2dataset_are_read(tmp_path: Path) -> None:
    """Keys end at the first dot; the .json repeats the caption; a broken shard gives what is whole in it."""
    (tmp_path / "raw").mkdir()
    for shard in range(2):
        members = {}
        for k in range(3):
            key = f"{shard:05d}{k:04d}"
            text = f"drawing {k} of a red box"
            members |= {f"{key}.jpg": saved(drawing(10 * shard + k), "JPEG", quality=95), f"{key}.txt": text.encode(),
                        f"{key}.json": json.dumps({"caption": text, "url": "http://a", "key": key}).encode()}  # fmt: skip
        members["alone.txt"] = b"a box that isn't there"
        members["two.parts.webp"] = saved(drawing(10 * shard + 7), "WEBP", quality=95)
        members["two.caption.txt"] = "cái hộp hai phần".encode()
        tar_of(tmp_path / f"raw/{shard:05d}.tar", members)
    for source in (str(tmp_path / "raw"), str(tmp_path / "raw/*.tar")):
        out = tmp_path / f"out{len(source)}"
        refused = run(source, out)
        assert {key: row["step"] for key, row in refused.items()} == {f"0000{k}.tar/alone": "source" for k in (0, 1)}
        shards = ShardIndex(out)
        told = [shards.read(k)[1] for k in range(len(shards))]
        first = [row["source"].removeprefix("00000.tar/") for row in told[:4]]
        assert first == ["000000000", "000000001", "000000002", "two"]
        assert [len(row["captions"]) for row in told] == [1] * 8
    second = tmp_path / "raw/00001.tar"
    with tarfile.open(second) as tar:
        third = tar.getmember("000010002.jpg")
    whole = second.read_bytes()
    for name, end in (("in a picture", third.offset_data + 700), ("between two files", third.offset)):
        second.write_bytes(whole[:end])
        refused = run(tmp_path / "raw", tmp_path / name)
        assert "the shard is damaged" in refused["00001.tar"]["detail"] and len(ShardIndex(tmp_path / name)) == 4 + 2


def test_captions_in_a_parquet_table(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    (tmp_path / "raw").mkdir()
    for k in range(3):
        (tmp_path / f"raw/{k}.png").write_bytes(saved(drawing(k)))
    table = pyarrow.table({"file_name": [f"{k}.png" for k in range(3)], "caption": [f"a box {k} in red" for k in range(3)],
                           "caption_vi": ["cái hộp đỏ"] * 3, "noise": [1, 2, 3]})  # fmt: skip
    parquet.write_table(table, tmp_path / "raw/captions.parquet")
    assert read_captioned(tmp_path / "raw").pairs[1].captions == ("a box 1 in red", "cái hộp đỏ")
    run(tmp_path / "raw", tmp_path / "out")
    assert len(ShardIndex(tmp_path / "out")) == 3
    (tmp_path / "raw/captions.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="no parquet file"):
        run(tmp_path / "raw", tmp_path / "out2")


def test_a_data_set_of_hugging_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A local folder of parquet files that hold pictures, by itself and as hf:FOLDER."""
    pytest.importorskip("datasets")
    parquet = pytest.importorskip("pyarrow.parquet")
    import datasets
    import pyarrow

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "raw").mkdir()
    for split, first in (("train", 0), ("test", 10)):
        rows = [{"bytes": saved(drawing(first + k)), "path": None} for k in range(3)]
        rows[2]["bytes"] = b"broken" if split == "test" else rows[2]["bytes"]
        table = pyarrow.table({"image": rows, "text": [f"a box {first + k} in red" for k in range(3)]})
        parquet.write_table(table, tmp_path / f"raw/{split}.parquet")
    for source in (f"hf:{tmp_path / 'raw'}", str(tmp_path / "raw")):
        out = tmp_path / f"out{len(source)}"
        assert {key: row["step"] for key, row in run(source, out).items()} == {"test/000000002": "decode"}
        shards = ShardIndex(out)
        assert [shards.read(k)[1]["source"] for k in range(5)] == [
            "test/000000000", "test/000000001", "train/000000000", "train/000000001", "train/000000002"]  # fmt: skip
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match="cannot load"):
        run(f"hf:{tmp_path / 'nothing'}", tmp_path / "none")


# --- bad input ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["--area", "512"], "--area must be a size"), (["--area", "8x8"], "sides from 16"),
        (["--min-size", "0"], "min_size is 0"),
        (["--quality", "101"], "quality is 101"), (["--step", "512", "--sides", "600", "700"], "no size around"),
        (["--skip", "everything"], "--skip"), (["--max-aspect", "0.5"], "max_aspect"), (["--workers", "0"], "workers is 0"),
        (["--min-characters", "500", "--max-characters", "100"], "more than"),
        (["--clip", "nowhere"], "no config.json in nowhere"),
        (["--translate", "nowhere"], "no config.json in nowhere"), (["--aesthetic", "nowhere"], "no file nowhere"),
    ],
)  # fmt: skip
def test_bad_options_get_one_sentence(changes: list[str], told: str, tmp_path: Path, capsys: Any) -> None:
    raw = folder_of(tmp_path / "raw", good(1))
    assert_sentence(["prepare", "images", str(raw), str(tmp_path / "out"), *changes], told, capsys)
    assert not (tmp_path / "out").exists()


def assert_sentence(command: list[str], told: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command)
    said = capsys.readouterr().err.strip().splitlines()
    assert ended.value.code == 2 and told in said[-1] and not any("Traceback" in line for line in said), said


def test_bad_folders_get_one_sentence(tmp_path: Path, capsys: Any) -> None:
    raw, empty = folder_of(tmp_path / "raw", good(2)), tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "a file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("x")
    silent = folder_of(tmp_path / "silent", {"1.png": (saved(drawing(1)), None)})
    junk_only = folder_of(tmp_path / "junk", {"1.png": (saved(drawing(1)), "image")})
    cases = {
        (str(empty), "o1"): "There is no image in", (str(tmp_path / "nowhere"), "o2"): "There is no folder",
        (str(silent), "o3"): "has a caption", (str(raw), "a file"): "is a file", (str(raw), "full"): "is not empty",
        (str(raw), "raw/inside"): "one in the other", (str(junk_only), "o4"): "None of the 1 pictures",
        (str(tmp_path / "*.tar"), "o5"): "it means none", (str(tmp_path / "a file"), "o6"): "is a file",
    }  # fmt: skip
    for (source, out), told in cases.items():
        assert_sentence(["prepare", "images", source, str(tmp_path / out)], told, capsys)
    assert (tmp_path / "full/mine.txt").read_text() == "x"
    run(raw, tmp_path / "o1")
    assert len(ShardIndex(tmp_path / "o1")) == 2, "a call that found nothing leaves nothing in the way"


def test_a_source_that_changed_is_told(raw: Path, tmp_path: Path) -> None:
    source = folder_of(tmp_path / "raw", good(6))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("minidiff.data.images.prepare.write_shards", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        run(source, tmp_path / "out")
    (source / "003.png").unlink()
    with pytest.raises(ValueError, match="has changed"):
        run(source, tmp_path / "out")


def test_missing_packages_are_named(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ray", "datasets"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=r"needs Ray.*minidiff\[prepare\]"), engines.engine("ray", 2):
        pass
    with pytest.raises(DataError, match=r"needs the package datasets.*minidiff\[prepare\]"):
        run("hf:some/name", tmp_path / "out")
