"""`minidiff prepare style NAME`: scenes in one of the drawn world's styles, as a folder that fine-tuning reads.

    out/00000.png, 00001.png, ...
    out/metadata.jsonl              for each image its caption in English (text) and Vietnamese (text_vi)

Captions say what is in an image and where, and nothing of its style: then it is the LoRA that makes the style, at whatever
strength it is added, and no word of the prompt. What it is not: the styles (styles.py) or the reader of such folders
(data/captioned.py).
"""

from __future__ import annotations

import io
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from PIL import Image
from tqdm import tqdm

from minidiff.data.world.captions import phrase
from minidiff.data.world.layout import tell_places
from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import render
from minidiff.data.world.scenes import Scene
from minidiff.data.world.styles import file_name, style_called
from minidiff.utils.files import write_whole
from minidiff.utils.validation import Between, check


@dataclass
class PrepareStyle:
    """Draw scenes in a style of the drawn world, with captions in English and Vietnamese that don't name it."""

    style: tyro.conf.Positional[str]
    """outline, watercolour, pixel-art, woodcut or neon."""
    out: Path | None = None
    """Folder for images and captions; data/styles/NAME when not given."""
    images: Annotated[int, Between(2, 100_000)] = 400
    size: Annotated[int, Between(32, 512)] = 128
    """Pixels to a side."""

    def __post_init__(self) -> None:
        """Raises ValueError for a style that there isn't, and for numbers out of their range."""
        self.style = style_called(self.style)
        check(self, "")

    @property
    def folder(self) -> Path:
        return self.out or Path("data/styles") / file_name(self.style)


def captions_of(scene: Scene, seed: int) -> dict[str, str]:
    """All that there is to say of a scene, in English (text) and Vietnamese (text_vi); seed chooses among the phrasings."""
    claim = tell_places(scene, scene)
    return {key: phrase(claim, lang, random.Random(seed)) for key, lang in (("text", "en"), ("text_vi", "vi"))}


def prepare_style(config: PrepareStyle) -> Path:
    """Draw and write the first `images` training scenes, the same ones in every style; returns the folder."""
    lines = []
    for number in tqdm(range(config.images), desc=f"drawing in {config.style}", unit="image", leave=False):
        scene, name, file = scene_at(number), f"{number:05}.png", io.BytesIO()
        Image.fromarray(render(scene, config.size, config.style).image).save(file, "PNG")
        write_whole(config.folder / name, file.getvalue())
        lines.append(json.dumps({"file_name": name, **captions_of(scene, number)}, ensure_ascii=False) + "\n")
    write_whole(config.folder / "metadata.jsonl", "".join(lines))
    print(f"{config.images} scenes in {config.style}, each with a caption in two languages, are in {config.folder}")
    return config.folder
