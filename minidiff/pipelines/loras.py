"""The LoRAs of a pipeline: zoo names or files in, and their strengths changed between two images without anything being read
again.

    loras = LoRAs(pipeline)
    loras.load("watercolour")                   # of the zoo
    loras.load("ink.safetensors")
    loras.mix({"watercolour": 0.8, "ink": 0.3})

What it is not: the sums themselves (nn/lora.py) and the files (pretrained/adapters.py).
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from torch import nn

from minidiff.models.unet import UNet
from minidiff.nn.lora import LoRAMixer
from minidiff.pipelines.request import RequestError, number
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pretrained import zoo
from minidiff.pretrained.adapters import read_lora
from minidiff.utils.validation import shown

WEAKEST, STRONGEST = -1.0, 2.0
MOST = 3  # of the zoo's in one picture of the studio


def part_of(network: nn.Module) -> str:
    """How files of LoRAs call a network."""
    return "unet" if isinstance(network, UNet) else "transformer"


def shipped(model: str | None = None) -> list[str]:
    """The zoo's names of LoRAs; with the name of a model, of those that were made for it or for its VAE."""
    rows = zoo.manifest()
    bases = {name: zoo.lora_base(row) for name, row in rows.items()}
    network = bases.get(str(model)) or model  # a model of few steps is itself a LoRA of one
    parts = (network, rows[network]["config"].get("vae")) if network in rows else (network,)
    return [name for name, base in bases.items() if base and (model is None or base in parts)]


class LoRAs:
    """All LoRAs of one pipeline, by name: of its network, of its text tower and of its VAE. At first, and at strength 0, the
    pipeline is what it was, to the bit."""

    def __init__(self, pipeline: TextToImage) -> None:
        self.pipeline, network = pipeline, pipeline.network
        parts = {part_of(network): network, "text_encoder": pipeline.words.tower, "vae": pipeline.vae}
        self.mixers = {part: LoRAMixer(model) for part, model in parts.items() if isinstance(model, nn.Module)}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple({name: None for mixer in self.mixers.values() for name in mixer.updates})

    def load(self, source: Path | str, name: str | None = None) -> str:
        """Read one of the zoo's LoRAs, a file, or a peft folder, at strength 0; returns its name, by default the zoo's or the
        file's. Raises ValueError as `read_lora`, when there is none, and for one of the zoo's that was made for others."""
        if str(source) in shipped():
            name = name or str(source)
            path = self._from_zoo(str(source))
        else:
            path = found(source)
            name = name or path.stem
        parts = read_lora(path, {part: mixer.model for part, mixer in self.mixers.items()})
        for part, factors in parts.items():
            self.mixers[part].add(name, factors)
        return name

    def _from_zoo(self, name: str) -> Path:
        base, model = zoo.lora_base(zoo.entry(name)), self.pipeline.model
        if name not in shipped(model):
            raise ValueError(f"The LoRA {name!r} was made for {base}, which is neither {shown(model)} nor its VAE: choose a "
                             "model of the zoo that has it.")  # fmt: skip
        zoo.check_dependencies(name)
        return zoo.path(name)

    def moves_latents(self, name: str) -> bool:
        """Whether a LoRA changes more than the VAE; otherwise an image's latent is the same with it."""
        return any(name in mixer.updates for part, mixer in self.mixers.items() if part != "vae")

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


def apart(pipeline: TextToImage, sources: Mapping[str, Path | str]) -> LoRAs:
    """LoRAs, at strength 0, on a copy of the pipeline, which shares all weights that none of them changes. The pipeline itself
    stays what it is, to the bit, whatever is mixed and wherever a drawing ends: for one that several people draw with.

    sources: the zoo's names or files, by the names that they get. Raises ValueError as `LoRAs.load`."""
    there = LoRAs(pipeline)
    for name, source in sources.items():
        there.load(source, name)
    copies: dict[str, nn.Module] = {}
    for part, mixer in there.mixers.items():
        if changed := {f"{layer}.weight" for factors in mixer.updates.values() for layer in factors}:
            copies["network" if mixer.model is pipeline.network else part] = _copied(mixer.model, changed)
    here = LoRAs(pipeline.with_modules(**copies))
    for part, mixer in there.mixers.items():
        here.mixers[part].updates = mixer.updates
    return here


def dressed(pipeline: TextToImage, strengths: Mapping[str, float]) -> TextToImage:
    """A pipeline with some of the zoo's LoRAs, as `apart`; the pipeline itself where there are none."""
    if not strengths:
        return pipeline
    worn = apart(pipeline, {name: name for name in strengths})
    worn.mix(strengths)
    return worn.pipeline


def _copied(model: nn.Module, changed: Collection[str]) -> nn.Module:
    """A model that shares all weights but those called `changed`."""
    shared = [weight for name, weight in model.named_parameters() if name not in changed]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in (*shared, *model.buffers())})


def strengths_of(values: object, model: str) -> dict[str, float]:
    """Strengths by the zoo's names of LoRAs, of a table from outside, for a model of that name; without those at 0. Raises
    RequestError for what is no such table, more than MOST, a name that isn't among them, and strengths out of range."""
    if not isinstance(values, Mapping):
        raise RequestError("loras", given=shown(values, 40))
    if len(values) > MOST:
        raise RequestError("loras_many", given=len(values), most=MOST)
    names = shipped(model)
    for name in values:
        if name not in names:
            raise RequestError("lora", given=shown(name, 40), model=model, allowed=", ".join(names) or "-")
    checked = {name: number(strength, "lora_strength", WEAKEST, STRONGEST) for name, strength in values.items()}
    return {name: strength for name, strength in checked.items() if strength}


def found(source: Path | str) -> Path:
    """A file or folder. Raises ValueError, with the zoo's names, when it is not there."""
    path = Path(source).expanduser()
    if not path.exists():
        raise ValueError(f"There is no LoRA {shown(str(source))}: the zoo has {', '.join(shipped()) or 'none'}; or give a file "
                         "or a peft folder.")  # fmt: skip
    return path


def parsed(text: str) -> tuple[str, float]:
    """ "watercolour:0.8" as a zoo's name, or a file, and a strength; without a number, 1. Raises ValueError for what is not
    there."""
    before, colon, after = text.rpartition(":")
    try:
        source, strength = (before, float(after)) if colon else (text, 1.0)
    except ValueError:  # a colon of the path
        source, strength = text, 1.0
    if source not in shipped():
        found(source)
    return source, strength


def apply(pipeline: TextToImage, texts: Sequence[str]) -> dict[str, float]:
    """The LoRAs of `--lora NAME:STRENGTH ...`, in the pipeline from now on; returns their strengths by name. Raises ValueError
    as `mixed`."""
    return mixed(pipeline, texts)[1]


def mixed(pipeline: TextToImage, texts: Sequence[str]) -> tuple[LoRAs, dict[str, float]]:
    """The same, with the LoRAs themselves. Raises ValueError as `parsed`, `LoRAs.load` and `LoRAs.mix`, and for two of one
    name."""
    loras, strengths = LoRAs(pipeline), {}
    for source, strength in map(parsed, texts):
        name = source if source in shipped() else Path(source).stem
        if name in strengths:
            raise ValueError(f"There are two LoRAs called {name!r}: name each once.")
        strengths[loras.load(source)] = strength
    loras.mix(strengths)
    return loras, strengths
