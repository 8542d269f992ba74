"""Damaged folders of diffusers end in one sentence, whatever is damaged: hundreds of them, each with one fault.

A file may come from anywhere. Each of these must either load and give an image of finite numbers, or be refused with a
ValueError of one line, within five seconds and without taking memory that its files don't have.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import published
import pytest
from damages import (
    RAW,
    TENSORS,
    Damage,
    broken_json,
    edits,
    linked,
    no_file,
    other_tensors,
    paths_in,
    problem,
    replace,
    some,
    try_all,
)
from safetensors.torch import load_file, save_file

from minidiff.pipelines.export import DiffusersExport, export_diffusers
from minidiff.pipelines.loading import load_pipeline


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, tiny_zoo: Path) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("folders")
    published.stable_diffusion(home / "sd")
    published.pixart(home / "pixart")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIDIFF_ZOO", str(tiny_zoo))
        export_diffusers(DiffusersExport(home / "exported"))
    shutil.rmtree(home / "sd" / "words", ignore_errors=True)
    return {name: home / name for name in ("sd", "pixart", "exported")}


@pytest.fixture
def folder_copy(folders: dict[str, Path], tmp_path: Path) -> Callable[[str], Callable[[], Path]]:
    return lambda kind: lambda: linked(folders[kind], tmp_path / "model")


JSONS = {
    "sd": [
        "model_index.json",
        "unet/config.json",
        "vae/config.json",
        "text_encoder/config.json",
        "scheduler/scheduler_config.json",
    ],
    "pixart": ["transformer/config.json", "text_encoder/config.json", "scheduler/scheduler_config.json"],
    "exported": ["minidiff.json", "text/config.json", "transformer/config.json"],
}
PLACES = [(kind, file) for kind, files in JSONS.items() for file in files]
READ = {  # what is looked at; of other settings one wrong value each is enough
    "sample_size",
    "in_channels",
    "out_channels",
    "block_out_channels",
    "layers_per_block",
    "attention_head_dim",
    "cross_attention_dim",
    "norm_num_groups",
    "down_block_types",
    "latent_channels",
    "scaling_factor",
    "num_layers",
    "num_attention_heads",
    "caption_channels",
    "patch_size",
    "interpolation_scale",
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "intermediate_size",
    "hidden_act",
    "max_position_embeddings",
    "layer_norm_eps",
    "d_model",
    "d_kv",
    "d_ff",
    "beta_start",
    "beta_end",
    "steps_offset",
    "timestep_spacing",
    "prediction_type",
    "beta_schedule",
    "trained_betas",
    "_class_name",
    "model_type",
    "schedule",
    "guidance_scale",
    "model_hash",
    "heads",
    "layers",
    "max_length",
    "activation",
    "norm_eps",
    "projection_dim",
    "eos_id",
    "eos_token_id",
    "architectures",
}


@pytest.mark.parametrize(("kind", "file"), PLACES, ids=[f"{kind} {file}" for kind, file in PLACES])
def test_every_setting_of_a_folder(
    kind: str, file: str, folders: dict[str, Path], folder_copy: Callable[[str], Callable[[], Path]]
) -> None:
    damages: dict[str, Damage] = {}
    for path in paths_in(json.loads((folders[kind] / file).read_text())):
        count = 4 if path[-1] in READ else int(random.Random(str(path)).random() < 0.2)
        damages |= edits(file, path, some(f"{file} {path}", count))
    for name, value in {"depth": "x", "_class_name": ["a"], "trained_betas": [0.5] * 1000}.items():
        damages |= edits(file, [name], {"added": value})
    try_all(damages, folder_copy(kind), problem)


@pytest.mark.parametrize("kind", JSONS)
def test_files_of_a_folder(kind: str, folder_copy: Callable[[str], Callable[[], Path]]) -> None:
    damages: dict[str, Damage] = {}
    for file in JSONS[kind]:
        damages |= broken_json(file, 6) | no_file(file)
    try_all(damages, folder_copy(kind), problem)


WEIGHTS = {
    "sd": "unet/diffusion_pytorch_model.safetensors",
    "pixart": "text_encoder/model.safetensors",
    "exported": "text/model.safetensors",
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_of_a_folder(kind: str, folders: dict[str, Path], folder_copy: Callable[[str], Callable[[], Path]]) -> None:
    file = WEIGHTS[kind]
    key = sorted(load_file(folders[kind] / file))[0]
    damages: dict[str, Damage] = no_file(file)
    for case, change in RAW.items():
        damages[f"{file} {case}"] = lambda f, change=change: replace(f / file, change((f / file).read_bytes()))
    for case in TENSORS:
        damages[f"{file} {key} {case}"] = lambda f, case=case: replace(
            f / file, other_tensors((f / file).read_bytes(), case, key)
        )
    try_all(damages, folder_copy(kind), problem)


def test_weights_in_several_files(folders: dict[str, Path], folder_copy: Callable[[str], Callable[[], Path]]) -> None:
    state = load_file(folders["sd"] / WEIGHTS["sd"])
    names = sorted(state)
    halves = {"one.safetensors": names[::2], "two.safetensors": names[1::2]}
    index = {"metadata": {}, "weight_map": {name: file for file, part in halves.items() for name in part}}
    file = "unet/model.safetensors.index.json"

    def cut(then: Callable[[Path], object] = lambda folder: None) -> Damage:
        def damage(folder: Path) -> None:
            (folder / WEIGHTS["sd"]).unlink()
            for part, keys in halves.items():
                save_file({key: state[key] for key in keys}, folder / "unet" / part)
            (folder / file).write_text(json.dumps(index))
            then(folder)

        return damage

    first = names[0]
    damages = {"whole": cut(), "no shard": cut(lambda f: (f / "unet/two.safetensors").unlink())}
    for name, damage in (
        broken_json(file) | edits(file, ["weight_map"], some("map", 6)) | edits(file, ["weight_map", first], some("first", 6))
    ).items():
        damages[name] = cut(damage)
    for place in (
        "../text_encoder/model.safetensors",
        "/etc/passwd",
        "three.safetensors",
        ".",
        "one.safetensors\0",
        "two.safetensors",
    ):
        damages[f"shard {place!r}"] = cut(
            edits(file, ["weight_map", first], {"place": place})[f"{file} weight_map.{first}: place"]
        )
    try_all(damages, folder_copy("sd"), problem)


TOKENIZERS = {
    "sd": ["tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"],
    "pixart": ["tokenizer.json", "tokenizer_config.json"],
    "exported": ["tokenizer.json"],
}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_tokenizers_of_a_folder(kind: str, folders: dict[str, Path], folder_copy: Callable[[str], Callable[[], Path]]) -> None:
    home = "text" if kind == "exported" else "tokenizer"
    damages: dict[str, Damage] = {}
    for name in TOKENIZERS[kind]:
        file = f"{home}/{name}"
        if not (folders[kind] / file).exists():
            continue
        damages |= broken_json(file) | no_file(file)
        if name == "tokenizer_config.json":
            damages |= edits(file, ["model_max_length"], some("length", 6)) | edits(file, ["tokenizer_class"], some("class", 6))
            damages |= edits(file, ["auto_map"], {"code": {"AutoTokenizer": ["code.Code", None]}})
        if name == "tokenizer.json" and kind != "exported":
            for path in (["model"], ["model", "vocab"], ["pre_tokenizer"], ["added_tokens"], ["version"]):
                damages |= edits(file, path, some(f"{kind} {path}", 4))
    try_all(damages, folder_copy(kind), problem)


def test_the_undamaged_ones_draw(folders: dict[str, Path]) -> None:
    """Else all of these would be refused for nothing."""
    for folder in folders.values():
        pipeline = load_pipeline(folder, device="cpu")
        assert np.asarray(pipeline(pipeline.request("a red star", steps=2))[0]).std() > 1
