"""`minidiff prepare subject NAME`: pictures of a subject with captions, as people bring a dozen photographs of their pet.

    out/mochi-00.png ...    picture n is `subject_image(subject, n)`
    out/metadata.jsonl      one line per picture: file_name, text, text_vi

`data/captioned.py` reads such a folder, and `minidiff finetune` learns from it. Not here: the drawing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from PIL import Image
from tqdm import tqdm

from minidiff.data.world.subjects import draw_subject, find_subject, subject_caption, subject_scene
from minidiff.utils.files import whole_file, write_whole
from minidiff.utils.validation import Between, check

TABLE = "metadata.jsonl"


@dataclass
class PrepareSubject:
    """Draw pictures of a subject with captions in English and Vietnamese, for DreamBooth."""

    name: tyro.conf.Positional[str]
    """mochi (a cat), pipo (a bird) or lumi (a fish)."""
    out: Path = Path("data/subject")
    """Folder for the pictures and their captions."""
    images: Annotated[int, Between(1, 1000)] = 12
    """How many pictures."""
    size: Annotated[int, Between(32, 512)] = 128
    """Pixels to a side, 32 to 512."""
    token: str = "sks"
    """The word that captions put before the class: "a sks cat"."""

    def __post_init__(self) -> None:
        """Raises ValueError for options that are not allowed."""
        check(self, "minidiff prepare subject")
        subject = find_subject(self.name)
        subject_caption(subject, subject_scene(subject, 0), self.token)


def prepare(config: PrepareSubject) -> None:
    """Draw and write; the captions last. Raises ValueError when the folder holds anything that this call would not write."""
    subject = find_subject(config.name)
    names = [f"{config.name}-{number:02d}.png" for number in range(config.images)]
    there = {file.name for file in config.out.iterdir()} if config.out.is_dir() else set()
    if strange := sorted(there - {*names, TABLE}):
        raise ValueError(f"{config.out} holds other files, such as {strange[0]}: choose another --out or delete that folder.")
    lines = []
    for seed, name in enumerate(tqdm(names, desc=f"drawing {config.name}", unit="image")):
        scene = subject_scene(subject, seed)
        with whole_file(config.out / name) as file:
            Image.fromarray(draw_subject(subject, scene, config.size).image).save(file, "PNG")
        texts = {key: subject_caption(subject, scene, config.token, lang) for key, lang in (("text", "en"), ("text_vi", "vi"))}
        lines.append(json.dumps({"file_name": name, **texts}, ensure_ascii=False) + "\n")
    write_whole(config.out / TABLE, "".join(lines))
    print(f"{len(names)} pictures of {config.name}, captioned as {config.token} {subject.noun}, are in {config.out}")
