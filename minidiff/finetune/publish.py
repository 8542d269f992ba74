"""`minidiff zoo add RUN` for a LoRA: from its run's folder into the zoo, where `--lora NAME` finds it.

What it is not: where trained models go (train/publish.py).
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from minidiff.data.world.scenes import WORLD_VERSION
from minidiff.finetune.learners import file_in
from minidiff.finetune.run import REPORT
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.loras import LoRAs
from minidiff.pretrained import zoo
from minidiff.pretrained.adapters import read_lora, write_lora
from minidiff.train.options import TrainingError
from minidiff.utils.strict_json import read as read_json


def is_lora(run: Path) -> bool:
    """Whether a folder is of a finished run whose result is a LoRA."""
    return (run / REPORT).is_file() and file_in(run).is_file() and not (run / zoo.MANIFEST).exists()


def publish_lora(run: Path, name: str | None = None, root: Path | str | None = None) -> str:
    """The run's LoRA in float16, with the hash of the model that it was made for; returns a sentence that says so.

    name: in the zoo; the folder's by default. Raises TrainingError for a LoRA of a model that isn't in the zoo, and ValueError
    as `read_lora`."""
    said, name = read_json(run / REPORT), name or run.resolve().name
    base = str(said["model"])
    if base not in zoo.manifest(root):
        raise TrainingError(f"{file_in(run)} is a LoRA of {base}, which isn't in the zoo: use the file as it is, by its path.")
    mixers = LoRAs(load_pipeline(base, "cpu", "float32", root)).mixers
    parts = read_lora(file_in(run), {part: mixer.model for part, mixer in mixers.items()})
    with TemporaryDirectory() as folder:
        half = write_lora(Path(folder) / "half.safetensors", parts, dtype=torch.float16).read_bytes()
    zoo.add_file(
        name, half, ".safetensors", root,
        config={"lora": {"base": base}, "made_with": {base: zoo.entry(base, root)["sha256"]}}, recipe=said["recipe"],
        images_seen=said["images_seen"], world_version=WORLD_VERSION,
        figures={"loss_without": said["without"], "loss": said["best"]["loss"]},
    )  # fmt: skip
    return f'Published {name!r} in {zoo.zoo_root(root)}: minidiff sample "..." --model {base} --lora {name}:0.8'
