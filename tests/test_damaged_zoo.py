"""Damaged zoos end in one sentence, whatever is damaged: hundreds of them, each with one fault.

A file may come from anywhere. Each of these must either load and give an image of finite numbers, or be refused with a
ValueError of one line, within five seconds and without taking memory that its files don't have.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damages import (
    ALL,
    RAW,
    TENSORS,
    Damage,
    broken_json,
    edits,
    flipped,
    linked,
    no_file,
    other_tensors,
    paths_in,
    problem,
    replace,
    some,
    try_all,
    with_value,
)

from minidiff.pipelines.loading import load_pipeline
from minidiff.pretrained import zoo


@pytest.fixture(scope="module")
def zoo_copy(whole_zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    target = tmp_path_factory.mktemp("damaged") / "zoo"
    return lambda: linked(whole_zoo, target)


def rehashed(name: str, change: Callable[[bytes], bytes]) -> Damage:
    """A file of the zoo changed, and its size and hash in the manifest too, so that what comes behind these is reached."""

    def damage(folder: Path) -> None:
        rows = json.loads((folder / "manifest.json").read_text())
        path = folder / rows[name]["file"]
        data = change(path.read_bytes())
        replace(path, data)
        rows[name].update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        replace(folder / "manifest.json", json.dumps(rows))

    return damage


def of_zoo(name: str) -> Callable[[Path], str | None]:
    return lambda folder: problem(name, folder, "star" if name == "world-pixels" else "a red star")


ROWS = ["world-dit", "world-unet", "world-pixels", "world-vae", "tokenizer"]


@pytest.mark.parametrize("row", ROWS)
def test_every_setting_of_the_manifest(row: str, whole_zoo: Path, zoo_copy: Callable[[], Path]) -> None:
    content = zoo.manifest(whole_zoo)[row]
    damages: dict[str, Damage] = {}
    for path in [[], *paths_in(content)]:
        damages |= edits("manifest.json", [row, *path], some(f"{row} {path}", 4))
    damages |= edits("manifest.json", [row, "unknown"], {"text": "x"}) | edits(
        "manifest.json", [row, "config", "depth"], {"one": 1}
    )
    drawn_by = row if row.startswith("world-") and row != "world-vae" else "world-dit"
    try_all(damages, zoo_copy, of_zoo(drawn_by))


SIZES: dict[str, list[Any]] = {
    "sample_size": [3, 5, 6, 12, 200, 257, 4096],
    "patch_size": [1, 3, 4],
    "heads": [1, 3, 4, 5],
    "depth": [1, 3, 64, 10**6],
    "hidden_size": [16, 30, 64, 4096],
    "in_channels": [3, 5, 8],
    "out_channels": [2, 3, 5, 8],
    "layers": [2, 10**6],
    "groups": [3, 16],
    "interpolation_scale": [1e-300, 1e300, 1e-3, 50.0],
    "norm_eps": [1e-300, 1.0, 2.0, -1e-5],
    "eps": [1e-300, 5.0, -1e-5],
    "vocab_size": [299, 301, 2**20],
    "max_length": [2, 8, 63, 65],
    "eos_id": [1, 3, 299, 300],
    "activation": ["relu", ["gelu"]],
    "channels": [[8], [8, 8, 16], [16, 8], [7, 16], [8, 16] * 20, [2**30, 2**30]],
    "attention": [[True], [1, 1], [False, False]],
    "context_dim": [8, 32],
    "classes": [1, 18, 20],
    "head_dim": [3, 4, 16],
    "latent_channels": [3, 5],
}


@pytest.mark.parametrize("row", ["world-dit", "world-unet", "world-pixels", "world-vae"])
def test_sizes_that_do_not_belong_together(row: str, whole_zoo: Path, zoo_copy: Callable[[], Path]) -> None:
    config = zoo.manifest(whole_zoo)[row]["config"]
    damages: dict[str, Damage] = {}
    for path in paths_in(config):
        damages |= edits("manifest.json", [row, "config", *path], {str(value): value for value in SIZES.get(path[-1], [])})
    lists: list[Any] = [
        [1.0] * 3,
        [1.0] * 5,
        [0.0] * 4,
        [-1.0] * 4,
        [1e30] * 4,
        [1e-30] * 4,
        [1.0, 1.0, 1.0, float("nan")],
        [True] * 4,
    ]
    for name in ("latent_mean", "latent_std") if row == "world-vae" else ():
        damages |= edits("manifest.json", [row, "config", name], {str(value): value for value in lists})
    others: dict[str, list[Any]] = {
        "guidance": [-0.1, 15.5, 1e9],
        "vae": ["tokenizer", "world-dit", "../x"],
        "tokenizer": ["world-vae", "nothing"],
        "schedule": ["linear", "Cosine", "karras"],
        "prediction_type": ["eps", "epsilon"],
        "made_with": [{"world-vae": "0"}, {"no": "0"}],
        "labels": [["star"] * 18, ["star"], [f"x{i}" for i in range(18)], [""] * 18],
    }
    for name, values in others.items():
        if name in config or name == "made_with":
            damages |= edits("manifest.json", [row, "config", name], {str(value)[:40]: value for value in values})
    try_all(damages, zoo_copy, of_zoo("world-dit" if row == "world-vae" else row))


@pytest.mark.parametrize("row", ["world-dit", "world-vae"])
def test_weights_that_are_no_weights(row: str, zoo_copy: Callable[[], Path]) -> None:
    damages = {f"{row} {case}": rehashed(row, change) for case, change in RAW.items()}
    try_all(damages, zoo_copy, of_zoo("world-dit"))


KEYS = {
    "world-dit": "dit.pos_embed.proj.weight",
    "world-vae": "decoder.conv_out.bias",
    "world-unet": "text.text_projection.weight",
    "world-pixels": "unet.conv_in.weight",
}


@pytest.mark.parametrize("row", KEYS)
def test_weights_of_other_numbers(row: str, zoo_copy: Callable[[], Path]) -> None:
    damages = {f"{row} {case}": rehashed(row, lambda data, case=case: other_tensors(data, case, KEYS[row])) for case in TENSORS}
    try_all(damages, zoo_copy, of_zoo("world-dit" if row == "world-vae" else row))


REFUSED = {
    **dict.fromkeys(
        ("NaN", "infinite", "bytes", "complex", "bool", "whole", "double"), "not finite|is of type|of another type"
    ),
    "deviation 0": r"latent_std\[1\] is 0.0, but it must be a finite number from 0.0001 to 10,000",
    "three deviations": "latent_std has 3 numbers, and the latents have 4 channels",
    "no vocabulary": "its vocabulary is not numbered from 0",
    "a vocabulary without a byte": "its vocabulary lacks some of the 256 bytes",
    "a vocabulary of another model": "tokenizer.json has 301 tokens, and the text encoder 300",
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_only_make_grey_images_is_refused(case: str, zoo_copy: Callable[[], Path]) -> None:
    folder = zoo_copy()
    stds = {"deviation 0": [1.0, 0.0, 1.0, 1.0], "three deviations": [1.0] * 3}
    vocabularies: dict[str, Callable[[dict[str, Any]], object]] = {
        "no vocabulary": lambda model: model.update(vocab={}, merges=[]),
        "a vocabulary without a byte": lambda model: model.update(
            vocab={"~~" if name == "~" else name: number for name, number in model["vocab"].items()}
        ),
        "a vocabulary of another model": lambda model: model["vocab"].update({"more": len(model["vocab"])}),
    }
    if case in stds:
        [damage] = edits("manifest.json", ["world-vae", "config", "latent_std"], {case: stds[case]}).values()
    elif case in vocabularies:
        damage = words(lambda content: vocabularies[case](content["bpe"]["model"]))
    else:
        damage = rehashed("world-dit", lambda data: other_tensors(data, case, KEYS["world-dit"]))
    damage(folder)
    with pytest.raises(ValueError, match=REFUSED[case]):
        load_pipeline("world-dit", device="cpu", root=folder)


def test_the_zoo_s_files(zoo_copy: Callable[[], Path]) -> None:
    damages = (
        broken_json("manifest.json") | no_file("manifest.json") | no_file("world-dit.safetensors") | no_file("tokenizer.json")
    )
    damages |= {
        f"flipped {seed}": lambda f, seed=seed: replace(f / "manifest.json", flipped((f / "manifest.json").read_bytes(), seed))
        for seed in range(30 if ALL else 8)
    }
    try_all(damages, zoo_copy, of_zoo("world-dit"))


def words(change: Callable[[dict[str, Any]], object]) -> Damage:
    def edit(data: bytes) -> bytes:
        content = json.loads(data)
        change(content)
        return json.dumps(content).encode()

    return rehashed("tokenizer", edit)


VOCABULARY: dict[str, Callable[[dict[str, Any]], object]] = {
    "empty": lambda model: model.update(vocab={}, merges=[]),
    "one": lambda model: model.update(vocab={"a": 0}, merges=[]),
    "no byte": lambda model: model["vocab"].pop("a"),
    "no special": lambda model: model["vocab"].pop("<eos>"),
    "gap": lambda model: model["vocab"].update(a=5000),
    "twice": lambda model: model["vocab"].update(a=7),
    "large": lambda model: model["vocab"].update(a=2**40),
    "negative": lambda model: model["vocab"].update(a=-1),
    "text": lambda model: model["vocab"].update(a="7"),
    "more": lambda model: model["vocab"].update({"more": len(model["vocab"])}),
    "exchanged": lambda model: model["vocab"].update({"<pad>": 1, "<bos>": 0}),
    "foreign": lambda model: model["merges"].append(["q", "@@@@"]),
    "three": lambda model: model["merges"].append(["a", "b", "c"]),
    "number": lambda model: model["merges"].append(7),
    "no merges": lambda model: model.update(merges=[]),
    "deep merges": lambda model: model.update(merges=[[[["a"]]]]),
}


def test_the_zoo_s_tokenizer(whole_zoo: Path, zoo_copy: Callable[[], Path]) -> None:
    damages = {
        f"vocabulary {case}": words(lambda c, change=change: change(c["bpe"]["model"])) for case, change in VOCABULARY.items()
    }
    content = json.loads((whole_zoo / "tokenizer.json").read_text())
    for path in (["format"], ["words"], ["bpe"], ["bpe", "model"], ["bpe", "model", "vocab"], ["bpe", "model", "merges"]):
        for name, value in some(str(path), 6).items():
            changed = json.dumps(with_value(content, path, value)).encode()
            damages[f"{'.'.join(path)}: {name}"] = rehashed("tokenizer", lambda data, changed=changed: changed)
    damages |= {
        f"flipped {seed}": rehashed("tokenizer", lambda data, seed=seed: flipped(data, seed))
        for seed in range(30 if ALL else 8)
    }
    damages |= {f"cut {n}": rehashed("tokenizer", lambda data, n=n: data[: len(data) * n // 7]) for n in range(7)}
    try_all(damages, zoo_copy, of_zoo("world-dit"))


def test_the_undamaged_ones_draw(whole_zoo: Path) -> None:
    """Else all of these would be refused for nothing."""
    for name in ("world-dit", "world-unet", "world-pixels"):
        pipeline = load_pipeline(name, device="cpu", root=whole_zoo)
        assert np.asarray(pipeline(pipeline.request("star" if "pix" in name else "a red star", steps=2))[0]).std() > 1
