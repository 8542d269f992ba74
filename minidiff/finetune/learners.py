"""What learns in a fine-tuning: the factors of a LoRA beside a frozen network, or the network itself.

Both hold what is trained as modules, so that checkpoints and averages hold that and nothing else, and both write a file of
what was learnt so far. Taught in the lessons on LoRA and on DreamBooth.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save
from torch import Tensor, nn

from minidiff.finetune.options import LoRAOptions
from minidiff.nn.lora import add_lora, factors_of, take_out
from minidiff.pipelines.loading import find_model
from minidiff.pipelines.loras import LoRAs, part_of
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pretrained import zoo
from minidiff.pretrained.adapters import write_lora
from minidiff.pretrained.hub import locate
from minidiff.train.options import TrainingError
from minidiff.train.publish import keep
from minidiff.utils.files import write_whole

TOWER_PREFIX = "text_model."  # of published text towers in transformers before 5


class Learner(nn.Module, ABC):
    """What is trained of a pipeline. `text`: whether its text tower learns, too."""

    def __init__(self, pipeline: TextToImage, text: bool) -> None:
        super().__init__()
        self.text = text
        tower = [pipeline.words.tower] if text else []
        self.parts: list[nn.Module] = [pipeline.network, *tower]  # a list, so that they are no submodules
        self.names = [part_of(pipeline.network), "text_encoder"][: len(self.parts)]

    @abstractmethod
    def write(self, folder: Path) -> Path:
        """What was learnt so far, as a file in the run's folder."""

    @abstractmethod
    def finish(self, pipeline: TextToImage, model: str, folder: Path, recipe: str) -> tuple[Path, str]:
        """After training: the file or folder that others use, made of what `write` wrote last, and how `minidiff sample` is
        told of it."""

    @abstractmethod
    def show(self, pipeline: TextToImage, folder: Path, learnt: bool) -> None:
        """Makes the pipeline draw as before, or with what `write` wrote last."""


class LoRALearner(Learner):
    """The factors of `add_lora`, in network and text tower."""

    def __init__(self, pipeline: TextToImage, options: LoRAOptions, text: bool = False) -> None:
        super().__init__(pipeline, text)
        targets = (options.targets, options.text_targets)
        layers = [
            layer
            for part, chosen in zip(self.parts, targets, strict=False)
            for layer in add_lora(part, options.rank, options.alpha, chosen, options.dropout).values()
        ]
        self.updates = nn.ModuleList(layer.update for layer in layers)
        self.loras: LoRAs | None = None

    def write(self, folder: Path) -> Path:
        factors = {name: factors_of(part) for name, part in zip(self.names, self.parts, strict=True)}
        return write_lora(file_in(folder), factors)

    def finish(self, pipeline: TextToImage, model: str, folder: Path, recipe: str) -> tuple[Path, str]:
        return file_in(folder), f"--model {model} --lora {file_in(folder)}:1"

    def show(self, pipeline: TextToImage, folder: Path, learnt: bool) -> None:
        if self.loras is None:
            for part in self.parts:
                take_out(part)
            self.loras = LoRAs(pipeline)
            self.loras.load(file_in(folder))
        self.loras.mix({file_in(folder).stem: float(learnt)})


class FullLearner(Learner):
    """All weights of the network, and of the text tower if that learns.

    settings: in what the new model's row in the zoo differs from that of the model it was made of, see `zoo_rows.Captioned`."""

    def __init__(self, pipeline: TextToImage, text: bool = False, settings: dict[str, Any] | None = None) -> None:
        super().__init__(pipeline, text)
        self.settings = settings or {}
        self.trained = nn.ModuleDict(dict(zip(self.names, self.parts, strict=True)))
        self.trained.requires_grad_(True)
        self.before = {name: value.clone() for name, value in _plain(self.trained.state_dict()).items()}

    def write(self, folder: Path) -> Path:
        write_whole(folder / "best.safetensors", save(_plain(self.trained.state_dict())))
        return folder / "best.safetensors"

    def show(self, pipeline: TextToImage, folder: Path, learnt: bool) -> None:
        self.trained.load_state_dict(load_file(folder / "best.safetensors") if learnt else self.before)

    def finish(self, pipeline: TextToImage, model: str, folder: Path, recipe: str) -> tuple[Path, str]:
        """A model of the zoo becomes a zoo of its own in the run's folder, a diffusers folder another one."""
        self.show(pipeline, folder, True)
        if find_model(model)[1] is not None:
            return self._as_row(pipeline, model, folder, recipe), f"--model {folder}"
        made = folder / "model"
        shutil.rmtree(made, ignore_errors=True)
        shutil.copytree(locate(model), made, ignore=shutil.ignore_patterns("*.msgpack", "*.bin", "*.ckpt", ".*"))
        for name, part in zip(self.names, self.parts, strict=True):
            _replace_weights(made / name, _plain(part.state_dict()))
        return made, f"--model {made}"

    def _as_row(self, pipeline: TextToImage, model: str, folder: Path, recipe: str) -> Path:
        name, root = find_model(model)
        row = zoo.entry(name, root)
        config = {key: value for key, value in row["config"].items() if key != "made_with"} | self.settings
        network = "unet" if self.names[0] == "unet" else "dit"
        parts = {network: pipeline.network, "text": pipeline.words.tower}
        state = {f"{part}.{key}": value for part, module in parts.items() for key, value in module.state_dict().items()}
        others = [config[key] for key in ("vae", "tokenizer", "reader") if config.get(key) in zoo.manifest(root)]
        keep(folder, folder.resolve().name, state, config, dependencies=others, recipe=recipe,
             images_seen=row.get("images_seen", 0), world_version=row.get("world_version", ""))  # fmt: skip
        return folder / f"{folder.resolve().name}.safetensors"


def _plain(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in state.items()}


def _replace_weights(folder: Path, state: dict[str, Tensor]) -> None:
    """A model's weights in a diffusers folder, in one file, by the names of the file that was there."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise TrainingError(f"{folder} holds no .safetensors file whose place the new weights could take.")
    old = {name for file in files for name in load_file(file)}
    renamed = {name if name in old else TOWER_PREFIX + name: value for name, value in state.items()}
    name = "model.safetensors" if files[0].name.startswith("model") else "diffusion_pytorch_model.safetensors"
    for file in (*files, *folder.glob("*.safetensors.index.json")):
        file.unlink()
    write_whole(folder / name, save({name: value.half() if value.is_floating_point() else value
                                     for name, value in renamed.items()}, {"format": "pt"}))  # fmt: skip


def file_in(folder: Path) -> Path:
    """The file of the best factors in a run's folder: named after it, since the file's name is the LoRA's in a mix."""
    return folder / f"{folder.resolve().name}.safetensors"
