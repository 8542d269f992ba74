"""The text inside a PNG: what is written, what is read back, and what is refused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from minidiff.pipelines.png_metadata import each, image_paths, png_info, read_png, save_images
from minidiff.pipelines.request import Request

REQUEST = Request("một ngôi sao đỏ, \"to\"", "nhà", "euler_a", 15, 3.5, 2**31 - 1, 2)


def test_a_png_says_how_it_was_made(tmp_path: Path) -> None:
    images = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    expanded_prompt = [REQUEST.prompt, 'một ngôi sao đỏ, "to", ở giữa']
    saved = save_images(images, tmp_path / "star.png", REQUEST, "world-dit", "abc123" * 10, expanded_prompt)
    assert [path.name for path in saved] == ["star-1.png", "star-2.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["star-1.png", "star-2.png"]
    lines = Image.open(saved[0]).info["parameters"].split("\n")
    assert lines[0] == 'một ngôi sao đỏ, "to"'
    assert lines[1] == "Negative prompt: nhà"
    assert lines[2].startswith("Steps: 15, Sampler: Euler ancestral, CFG scale: 3.5, Seed: 2147483647, Size: 32x32")
    assert "Model hash: abc123abc1, Model: world-dit" in lines[2]
    assert not any(word in lines[2] for word in ("Expanded prompt", "Eta", "Guidance interval", "Guidance rescale"))
    assert 'Expanded prompt: "một ngôi sao đỏ, \\"to\\", ở giữa"' in Image.open(saved[1]).info["parameters"]
    read = [read_png(path) for path in saved]
    assert [one["expanded_prompt"] for one in read] == expanded_prompt
    fields = Request.__dataclass_fields__
    assert [Request(**{k: v for k, v in one.items() if k in fields}) for one in read] == each(REQUEST)
    assert [one["seed"] for one in read] == [2**31 - 1, 0]
    assert {"model", "model_hash", "version", "sampler", "spacing"} <= set(read[0])


def test_one_image_keeps_its_name(tmp_path: Path) -> None:
    assert save_images([Image.new("RGB", (8, 8))], tmp_path / "a.png", Request("x")) == [tmp_path / "a.png"]
    assert image_paths("b/a.png", 2) == [Path("b/a-1.png"), Path("b/a-2.png")]


def settings(file: io.BytesIO | Path) -> Request:
    values = read_png(file)
    return Request(**{name: values[name] for name in Request.__dataclass_fields__ if name in values})


@pytest.mark.parametrize("eta", [None, 0.0, 0.3, 1.0])
def test_every_setting_comes_back(tmp_path: Path, eta: float | None) -> None:
    request = Request("x", "y", "euler_a", 7, 2.5, 9, 1, eta, False, (0.1, 0.9), 0.7)
    [path] = save_images([Image.new("RGB", (8, 8))], tmp_path / "a.png", request)
    assert settings(path) == request
    text = Image.open(path).info["parameters"]
    assert "Guidance interval: 0.1-0.9, Guidance rescale: 0.7" in text
    assert (f"Eta: {eta:g}" in text) if eta in (0.0, 0.3) else ("Eta" not in text)  # 1 is euler_a's own


OLD: dict[str, Any] = {  # as earlier versions wrote it
    "prompt": "nhà", "negative_prompt": "", "sampler": "euler_a", "steps": 9, "guidance_scale": 3.0, "seed": 7,
    "num_images": 1, "eta": 0.0, "upsample": False, "grid": "uniform", "model": "world-dit", "model_hash": "ab",
    "version": "0.1.0", "drawn_as": "nhà ở giữa",
}  # fmt: skip


def test_images_of_older_versions_are_read() -> None:
    file = png(minidiff=json.dumps(OLD))
    assert settings(file) == Request("nhà", "", "euler_a", 9, 3.0, 7, 1, None, False)  # eta 0 was the sampler's own
    file.seek(0)
    assert {"expanded_prompt": "nhà ở giữa", "spacing": "uniform", "model": "world-dit"}.items() <= read_png(file).items()
    assert settings(png(minidiff=json.dumps({**OLD, "sampler": "ddim", "eta": 0.4}))).eta == 0.4
    assert settings(png(minidiff=json.dumps({"prompt": "x", "eta": 0.0, "grid": "uniform"}))).eta is None
    assert settings(png(minidiff=json.dumps({"prompt": "x", "eta": 0.0}))).eta == 0.0  # today's


def png(size: tuple[int, int] = (8, 8), **texts: str) -> io.BytesIO:
    from PIL.PngImagePlugin import PngInfo

    info, file = PngInfo(), io.BytesIO()
    for key, value in texts.items():
        info.add_itxt(key, value)
    Image.new("1", size).save(file, "PNG", pnginfo=info)
    file.seek(0)
    return file


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (io.BytesIO(b"GIF89a" + bytes(100)), "not a PNG"),
        (io.BytesIO(b""), "not a PNG"),
        (png(), "image does not say how it was made"),
        (png(minidiff="{"), "does not say"),
        (png(minidiff="[" * 50_000), "does not say"),
        (png(minidiff="[1]"), "does not say"),
        (png((5000, 5000), minidiff="{}"), "not a PNG image that can be read|5000 x 5000 pixels; at most 2048"),
        (png((13_000, 13_000), minidiff="{}"), "not a PNG image that can be read|at most 2048"),
    ],
    ids=["gif", "empty", "plain", "half", "deep", "list", "large", "bomb"],
)
def test_strange_files_are_refused(file: io.BytesIO, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_png(file)


def test_png_info_is_json() -> None:
    texts = dict(data.split(b"\0\0\0\0\0") for _, data, *_ in png_info(REQUEST).chunks)
    assert json.loads(texts[b"minidiff"])["prompt"] == REQUEST.prompt
