"""The LoRAs of a pipeline: files in, and their strengths changed between two images without anything being read again.

    loras = LoRAs(pipeline)
    loras.load("watercolour.safetensors")
    loras.mix({"watercolour": 0.8})

What it is not: the sums themselves (nn/lora.py) and the files (pretrained/adapters.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from minidiff.models.unet import UNet
from minidiff.nn.lora import LoRAMixer
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pretrained.adapters import read_lora
from minidiff.utils.validation import shown

WEAKEST, STRONGEST = -1.0, 2.0


def part_of(network: nn.Module) -> str:
    """How files of LoRAs call a network."""
    return "unet" if isinstance(network, UNet) else "transformer"


class LoRAs:
    """All LoRAs of one pipeline, by name: of its network and of its text tower. At first, and at strength 0, the pipeline is
    what it was, to the bit."""

    def __init__(self, pipeline: TextToImage) -> None:
        network = pipeline.network
        self.mixers = {part_of(network): LoRAMixer(network), "text_encoder": LoRAMixer(pipeline.words.tower)}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple({name: None for mixer in self.mixers.values() for name in mixer.updates})

    def load(self, path: Path | str, name: str | None = None) -> str:
        """Read a file, or a peft folder, at strength 0; returns its name, by default the file's. Raises ValueError as
        `read_lora`."""
        path = Path(path)
        name = name or path.stem
        parts = read_lora(path, {part: mixer.model for part, mixer in self.mixers.items()})
        for part, factors in parts.items():
            self.mixers[part].add(name, factors)
        return name

    def mix(self, strengths: Mapping[str, float]) -> None:
        """Make the pipeline what it was plus each named LoRA at its strength, -1 to 2. Raises ValueError for a name that was
        not loaded, and for other strengths."""
        for name, strength in strengths.items():
            if name not in self.names:
                raise ValueError(f"There is no LoRA {name!r}; there are {', '.join(self.names) or 'none'}.")
            if not WEAKEST <= strength <= STRONGEST:
                raise ValueError(f"The strength of {name!r} is {strength:g}; it must be {WEAKEST:g} to {STRONGEST:g}.")
        for mixer in self.mixers.values():
            mixer.mix({name: strength for name, strength in strengths.items() if name in mixer.updates})


def parsed(text: str) -> tuple[Path, float]:
    """ "watercolour.safetensors:0.8" as file and strength; without a number, 1. Raises ValueError for a file that is not
    there."""
    before, colon, after = text.rpartition(":")
    try:
        path, strength = (Path(before), float(after)) if colon else (Path(text), 1.0)
    except ValueError:  # a colon of the path
        path, strength = Path(text), 1.0
    if not path.exists():
        raise ValueError(f"There is no LoRA {shown(text)}: give a file or a peft folder, and behind a colon a strength.")
    return path.expanduser(), strength


def apply(pipeline: TextToImage, texts: Sequence[str]) -> dict[str, float]:
    """The LoRAs of `--lora FILE:STRENGTH ...`, in the pipeline from now on; returns their strengths by name. Raises ValueError
    as `parsed`, `LoRAs.load` and `LoRAs.mix`, and for two of one name."""
    loras, strengths = LoRAs(pipeline), {}
    for path, strength in map(parsed, texts):
        if path.stem in strengths:
            raise ValueError(f"There are two LoRAs called {path.stem!r}: name each once.")
        strengths[loras.load(path)] = strength
    loras.mix(strengths)
    return strengths
