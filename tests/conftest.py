"""What the tests share: one thread, and a zoo of tiny random models, so that every path can be walked in a moment."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from pathlib import Path

import pytest

pytest_plugins = ["parity_table", "chromium", "toy"]
TEXTS = ["a big red star", "a small blue house", "một ngôi sao đỏ lớn", "mot ngoi sao do lon", "at night", "ban đêm"]


def write_tiny_zoo(root: Path) -> Path:
    """Random weights of the shipped kinds, 32 x 32 pixels. What they draw is noise, but it is drawn in the same way."""
    from dataclasses import asdict

    import torch

    from minidiff.models.clip import TextConfig, TextEncoder
    from minidiff.models.dit import DiT, DiTConfig
    from minidiff.models.vae import VAE, VAEConfig
    from minidiff.pretrained import zoo
    from minidiff.text.tokenizer import Tokenizer

    torch.manual_seed(0)
    root.mkdir(parents=True, exist_ok=True)
    Tokenizer.train(TEXTS, vocab_size=300).save(root / "words.json")
    zoo.add_file("tokenizer", (root / "words.json").read_bytes(), root=root)
    text_config = TextConfig(
        vocab_size=300, hidden_size=16, layers=1, heads=2, intermediate=32, max_length=64, projection_dim=8
    )
    dit_config = DiTConfig(sample_size=4, hidden_size=32, depth=2, heads=2, caption_channels=16)
    vae_config = VAEConfig(**TINY_VAE)
    models = {"dit": DiT(dit_config), "text": TextEncoder(text_config)}
    state = {f"{part}.{key}": value for part, model in models.items() for key, value in model.state_dict().items()}
    for value in state.values():  # a fresh DiT predicts zero; a random one lets every input matter
        if value.is_floating_point() and value.ndim > 1:
            torch.nn.init.normal_(value, std=0.15)
    config = {
        "dit": asdict(dit_config),
        "text": asdict(text_config),
        "schedule": "cosine",
        "prediction_type": "v",
        "vae": "world-vae",
        "tokenizer": "tokenizer",
        "guidance": 5.0,
    }
    zoo.add("world-dit", state, config, root=root, dtype=torch.float32)
    latents = {"latent_mean": [0.1, 0.0, -0.1, 0.0], "latent_std": [1.0, 2.0, 1.0, 0.5]}
    vae_settings = {"vae": asdict(vae_config), **latents}
    zoo.add("world-vae", VAE(vae_config).state_dict(), vae_settings, root=root, dtype=torch.float32)
    return root


@pytest.fixture(scope="session")
def shipped():  # type: ignore[no-untyped-def]
    """The judge that is shipped; it belongs to the product, so a zoo without it is a failure."""
    from minidiff.evaluate.judge import load_judge

    return load_judge()


TINY_VAE: dict = {"channels": (8, 8, 16, 16), "layers": 1, "groups": 4}


@pytest.fixture(scope="session")
def tiny_zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_zoo(tmp_path_factory.mktemp("zoo"))


@pytest.fixture(scope="session")
def student_zoo(tiny_zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny zoo with a student of four steps, a LoRA of its DiT."""
    import shutil

    import torch

    from minidiff.nn.lora import add_lora, factors_of, lora_layers
    from minidiff.pipelines.loading import load_pipeline
    from minidiff.pipelines.loras import part_of
    from minidiff.pretrained import zoo
    from minidiff.pretrained.adapters import write_lora

    folder = shutil.copytree(tiny_zoo, tmp_path_factory.mktemp("student") / "zoo")
    network = load_pipeline("world-dit", "cpu", "float32", root=folder).network
    torch.manual_seed(1)
    add_lora(network, rank=3)
    for layer in lora_layers(network).values():
        torch.nn.init.normal_(layer.update.up.weight, std=0.05)
    file = write_lora(folder / "student.safetensors", {part_of(network): factors_of(network)}, dtype=torch.float16)
    row = zoo.entry("world-dit", folder)
    config = {"lora": {"base": "world-dit"}, "made_with": {"world-dit": row["sha256"]}, "few_steps": {"steps": 4}}
    facts = {key: row[key] for key in ("recipe", "world_version", "images_seen", "figures") if key in row}
    zoo.add_file("world-dit-4", file.read_bytes(), ".safetensors", folder, config=config, **facts)
    return folder


@pytest.fixture(scope="session")
def whole_zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny zoo with a model of every design that draws: a DiT, a U-Net that reads, and one that is told a kind."""
    from dataclasses import asdict

    import torch

    from minidiff.data.world.scenes import SHAPES
    from minidiff.models.clip import TextConfig, TextEncoder
    from minidiff.models.unet import UNet, UNetConfig
    from minidiff.pretrained import zoo

    root = write_tiny_zoo(tmp_path_factory.mktemp("whole-zoo"))
    text = TextEncoder(TextConfig(**zoo.entry("world-dit", root)["config"]["text"]))
    small = {"channels": (8, 16), "attention": (False, True), "layers": 1, "heads": 2, "groups": 4}
    reads = UNetConfig(**small, sample_size=4, context_dim=16)
    told = UNetConfig(**small, sample_size=8, in_channels=3, out_channels=3, context_dim=None, classes=len(SHAPES) + 1)
    settings = {"schedule": "cosine", "prediction_type": "v", "guidance": 3.0}
    rows = {
        "world-unet": ({"unet": UNet(reads), "text": text}, {"vae": "world-vae", "tokenizer": "tokenizer"}),
        "world-pixels": ({"unet": UNet(told)}, {"labels": list(SHAPES)}),
    }
    for name, (models, extra) in rows.items():
        state = {f"{part}.{key}": value for part, model in models.items() for key, value in model.state_dict().items()}
        for value in state.values():
            torch.nn.init.normal_(value, std=0.15)
        config = {part: asdict(model.config) for part, model in models.items()}
        zoo.add(name, state, {**config, **settings, **extra}, root=root, dtype=torch.float32)
    return root


@pytest.fixture
def photos(whole_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with six captioned images in `photos`, and the tiny zoo."""
    from PIL import Image

    from minidiff.data.world.random_scenes import scene_at
    from minidiff.data.world.rendering import render

    monkeypatch.setenv("MINIDIFF_ZOO", str(whole_zoo))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for k in range(6):
        Image.fromarray(render(scene_at(k), 40).image).save(f"photos/{k}.png")
        Path(f"photos/{k}.txt").write_text(f"a red star\nmột ngôi sao đỏ {k}", encoding="utf-8")
    return tmp_path
