"""LoRA files of diffusers, peft and kohya, read into one form (`nn/lora.py: Factors`) and written from it.

    diffusers   one file; "unet.LAYER.lora_A.weight" (older: "unet.LAYER.lora.down.weight"); alpha in the file's metadata
    peft        a folder; "base_model.model.LAYER.lora_A.weight", and adapter_config.json with rank and alpha
    kohya       one file; "lora_unet_LAYER_WITH_UNDERSCORES.lora_down.weight" and a tensor ".alpha"

A file that says nothing of alpha is meant at scale 1 (alpha = rank). What it is not: the layers (nn/lora.py). Taught in the
lesson on LoRA.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from minidiff.nn.lora import Factors
from minidiff.pretrained.hub import read_json
from minidiff.pretrained.weight_file import State, read_weights
from minidiff.utils import strict_json
from minidiff.utils.files import write_whole
from minidiff.utils.validation import shown

Parts = dict[str, dict[str, Factors]]  # by part of a pipeline ("unet", "transformer", "text_encoder", "vae"), then by layer

FORMATS = ("diffusers", "peft", "kohya")
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"  # of a peft folder
METADATA = "lora_adapter_metadata"
KOHYA = {"unet": "lora_unet_", "transformer": "lora_transformer_", "text_encoder": "lora_te_"}
TOWER = "text_model."  # stands before the layers of a text tower in transformers before 5, and in files of that time
ENDS = {  # of both factors, by format; the second is how diffusers wrote before peft
    "diffusers": (("lora_A", "lora_B"), ("lora.down", "lora.up")),
    "peft": (("lora_A", "lora_B"),),
    "kohya": (("lora_down", "lora_up"),),
}
OTHERS = ("lora_magnitude_vector", "lokr_", "hada_", "dora_scale", "diff_b", "lora_embedding")  # kinds of adapters not read


class OtherBase(ValueError):
    """A LoRA that was made for another model."""


class Alphas(NamedTuple):
    """What a file says of scales. every: the alpha of all layers, None where nothing is said; by_layer: of single ones;
    root: alpha is divided by the root of the rank (rsLoRA, Kalajdzievski 2023)."""

    every: float | None = None
    by_layer: Mapping[str, float] = {}
    root: bool = False

    def of(self, layer: str, rank: int) -> float:
        """Alpha as `Factors` means it. An alpha of 0 stands in some files of kohya for none."""
        named = next((a for name, a in self.by_layer.items() if layer == name or layer.endswith(f".{name}")), self.every)
        alpha = float(named or rank)
        return alpha * rank**0.5 if self.root and named else alpha


# --- reading ----------------------------------------------------------------------------------------------------------


def read_lora(path: Path | str, models: Mapping[str, nn.Module]) -> Parts:
    """The updates in a LoRA file, or in a peft folder, for the parts of a pipeline that `models` names: the network as
    "unet" or "transformer", the text tower as "text_encoder", the VAE as "vae". Factors are float32 on the CPU.

    Raises ValueError for what is no such file, is damaged, is another kind of adapter or lacks one of two factors, and of that
    kind OtherBase for a layer that the models don't have.
    """
    path = Path(path)
    file = path / WEIGHTS if path.is_dir() else path
    weights = read_weights(file)
    if other := next((name for name in weights if any(mark in name for mark in OTHERS)), None):
        raise ValueError(f"{file.name} holds {shown(other)}, which is no plain LoRA (rank factors alone are read).")
    kind = _format_of(weights, file.name)
    pairs = _pairs(weights, ENDS[kind], file.name)
    if kind == "kohya":
        return _from_kohya(pairs, weights, models, file.name)
    if kind == "peft":
        part = next(iter(models))
        alphas = _peft_alphas(path) if path.is_dir() else Alphas()
        layers = {name.removeprefix("base_model.model."): pair for name, pair in pairs.items()}
        return {part: _checked(layers, alphas, models[part], file.name)}
    said = _metadata(file)
    parts: dict[str, dict[str, tuple[Tensor, Tensor]]] = {}
    for name, pair in pairs.items():
        part, _, layer = name.partition(".")
        if part not in models:
            raise OtherBase(f"{file.name} changes {shown(part)}, and there are {', '.join(models)} here.")
        parts.setdefault(part, {})[layer] = pair
    return {part: _checked(layers, _alphas(said, f"{part}."), models[part], file.name) for part, layers in parts.items()}


def _format_of(weights: State, source: str) -> str:
    first = next(iter(weights), "")
    if first.startswith(tuple(KOHYA.values())):
        return "kohya"
    if first.startswith("base_model.model."):
        return "peft"
    if any(re.search(r"\.lora(_A|_B|\.down|\.up)\.weight$", name) for name in weights):
        return "diffusers"
    raise ValueError(f"{source} is no LoRA file of diffusers, peft or kohya: it begins with {shown(first)}.")


def _pairs(weights: State, ends: tuple[tuple[str, str], ...], source: str) -> dict[str, tuple[Tensor, Tensor]]:
    """(down, up) by what stands before their ends."""
    found: dict[str, dict[int, Tensor]] = {}
    for name, weight in weights.items():
        for two in ends:
            for place, end in enumerate(two):
                if name.endswith(f".{end}.weight"):
                    found.setdefault(name.removesuffix(f".{end}.weight"), {})[place] = weight.float()
    if not found:
        raise ValueError(f"{source} holds no rank factors: it is no LoRA.")
    for layer, both in found.items():
        if len(both) < 2:
            raise ValueError(f"{source} is damaged: one of the two factors of {shown(layer)} is missing.")
        down, up = tuple(both[0].shape), tuple(both[1].shape)
        if len(down) not in (2, 4) or len(up) != len(down) or up[1] != down[0]:
            raise ValueError(f"{source} is damaged: the factors of {shown(layer)} are {down} and {up}.")
    return {layer: (both[0], both[1]) for layer, both in found.items()}


def _checked(layers: Mapping[str, tuple[Tensor, Tensor]], alphas: Alphas, model: nn.Module, source: str) -> dict[str, Factors]:
    """The updates with their alphas. Raises ValueError for a layer that the model doesn't have."""
    known = {name for name, _ in model.named_modules()}
    layers = {layer if layer in known else layer.removeprefix(TOWER): pair for layer, pair in layers.items()}
    if foreign := [layer for layer in layers if layer not in known]:
        raise OtherBase(f"{source} was made for another model: {type(model).__name__} has no layer {shown(foreign[0])} "
                        f"({len(foreign)} of its {len(layers)} layers are unknown).")  # fmt: skip
    return {layer: Factors(down, up, alphas.of(layer, len(down))) for layer, (down, up) in layers.items()}


def _from_kohya(
    pairs: Mapping[str, tuple[Tensor, Tensor]], weights: State, models: Mapping[str, nn.Module], source: str
) -> Parts:
    """kohya's names have lost their dots: each is looked for among the models' layers."""
    models = {part: model for part, model in models.items() if part in KOHYA}
    known = {_kohya_name(part, name): (part, name) for part, model in models.items() for name, _ in model.named_modules()}
    parts: Parts = {}
    if foreign := [name for name in pairs if name not in known]:
        raise OtherBase(f"{source} was made for another model: there is no layer {shown(foreign[0])} here "
                        f"({len(foreign)} of its {len(pairs)} layers are unknown).")  # fmt: skip
    for name, (down, up) in pairs.items():
        part, layer = known[name]
        alpha = float(weights.get(f"{name}.alpha", torch.zeros(())))
        parts.setdefault(part, {})[layer] = Factors(down, up, alpha or float(len(down)))
    return parts


def _kohya_name(part: str, layer: str) -> str:
    """A layer's name in kohya's files, in which a text tower's layers always begin with `TOWER`."""
    full = TOWER + layer.removeprefix(TOWER) if part == "text_encoder" else layer
    return KOHYA[part] + full.replace(".", "_")


def _metadata(file: Path) -> dict[str, Any]:
    """What diffusers noted in the file; nothing where it didn't."""
    with safe_open(file, "pt") as opened:
        text = (opened.metadata() or {}).get(METADATA)
    if text is None:
        return {}
    try:
        said = strict_json.parse(text.encode())
    except strict_json.JSONError as error:
        raise ValueError(f"{file.name} is damaged: its metadata is no JSON ({error}).") from None
    return said if isinstance(said, dict) else {}


def _peft_alphas(folder: Path) -> Alphas:
    said = read_json(folder / CONFIG)
    if said.get("peft_type") != "LORA" or said.get("use_dora"):
        kind = "DoRA" if said.get("use_dora") else shown(said.get("peft_type"))
        raise ValueError(f"{folder} holds an adapter of type {kind}; it must be a plain LoRA.")
    return _alphas(said, "")


def _alphas(said: Mapping[str, Any], prefix: str) -> Alphas:
    """Alphas out of the settings of peft's `LoraConfig`, whose names begin with `prefix`."""
    every, single = said.get(f"{prefix}lora_alpha"), said.get(f"{prefix}alpha_pattern") or {}
    numbers = [every] if every is not None else []
    if not isinstance(single, dict) or not all(isinstance(n, int | float) for n in (*numbers, *single.values())):
        raise ValueError(f"The LoRA's alphas must be numbers, not {shown(every)} and {shown(single)}.")
    return Alphas(every, single, bool(said.get(f"{prefix}use_rslora")))


# --- writing ----------------------------------------------------------------------------------------------------------


def write_lora(path: Path | str, parts: Parts, form: str = "diffusers", dtype: torch.dtype = torch.float32) -> Path:
    """Write updates as `form`, a name in FORMATS; returns the file. A peft folder holds one part.

    Raises ValueError for another form, and for several parts in a peft folder."""
    path = Path(path)
    if form not in FORMATS:
        raise ValueError(f"There is no form {form!r} of LoRA files; choose one of {', '.join(FORMATS)}.")
    state: State = {}
    if form == "kohya":
        for part, layers in parts.items():
            for layer, one in layers.items():
                name = _kohya_name(part, layer)
                state |= {f"{name}.lora_down.weight": one.down.to(dtype), f"{name}.lora_up.weight": one.up.to(dtype)}
                state[f"{name}.alpha"] = torch.tensor(one.alpha)
        write_whole(path, _bytes(state))
        return path
    if form == "peft" and len(parts) != 1:
        raise ValueError(f"A peft folder holds one part, and there are {len(parts)}: {', '.join(parts)}.")
    for part, layers in parts.items():
        before = "base_model.model." if form == "peft" else f"{part}."
        for layer, one in layers.items():
            state[f"{before}{layer}.lora_A.weight"] = one.down.to(dtype)
            state[f"{before}{layer}.lora_B.weight"] = one.up.to(dtype)
    if form == "peft":
        (layers,) = parts.values()
        path.mkdir(parents=True, exist_ok=True)
        write_whole(path / CONFIG, json.dumps({"peft_type": "LORA", **settings_of(layers)}, indent=2))
        write_whole(path / WEIGHTS, _bytes(state, {"format": "pt"}))
        return path / WEIGHTS
    said = {f"{part}.{name}": value for part, layers in parts.items() for name, value in settings_of(layers).items()}
    write_whole(path, _bytes(state, {"format": "pt", METADATA: json.dumps(said)}))
    return path


def settings_of(layers: Mapping[str, Factors]) -> dict[str, Any]:
    """The settings of peft's `LoraConfig` that give these updates: the commonest rank and alpha, and by layer what differs."""
    ranks, alphas = [one.rank for one in layers.values()], [one.alpha for one in layers.values()]
    rank, alpha = max(set(ranks), key=ranks.count), max(set(alphas), key=alphas.count)
    return {
        "r": rank,
        "lora_alpha": alpha,
        "target_modules": sorted(layers),
        "rank_pattern": {layer: one.rank for layer, one in layers.items() if one.rank != rank},
        "alpha_pattern": {layer: one.alpha for layer, one in layers.items() if one.alpha != alpha},
        "bias": "none",
    }


def _bytes(state: State, said: Mapping[str, str] | None = None) -> bytes:
    """A whole safetensors file. The library writes `said` in an order that changes from run to run; here it is sorted, so that
    the same weights make the same file."""
    data = save({name: tensor.contiguous() for name, tensor in state.items()}, dict(said) if said else None)
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    if said:
        header["__metadata__"] = dict(sorted(said.items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return data[:8] + text.ljust(end - 8) + data[end:]
