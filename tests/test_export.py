"""What `minidiff export diffusers` writes is opened by plain diffusers, and the picture is the same."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from minidiff.models.vae import VAE, VAEConfig
from minidiff.pipelines import export
from minidiff.pipelines.export import DiffusersExport, export_diffusers
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pretrained import zoo
from minidiff.text.encoders import load_encoder

PROMPT = "a big red star"


@pytest.fixture(scope="module", autouse=True)
def tiny(tiny_zoo: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIDIFF_ZOO", str(tiny_zoo))
        yield tiny_zoo


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "exported"
    export_diffusers(DiffusersExport(folder))
    return folder


def zoo_with(root: Path, other: Path, name: str, changes: dict[str, str]) -> Path:
    """A zoo in `root` that has, besides what `other` lists, its DiT under a name and with changes of its config."""
    config, state = zoo.load("world-dit", other)
    zoo.add(name, state, {**config, **changes}, root=root, dtype=torch.float32)
    for needed in ("world-vae", "tokenizer"):
        (root / Path(zoo.entry(needed, other)["file"]).name).write_bytes(zoo.read(needed, other))
    (root / zoo.MANIFEST).write_text(json.dumps({**zoo.manifest(other), **zoo.manifest(root)}))
    return root


def theirs_from(folder: Path) -> Any:
    pipeline = diffusers.PixArtAlphaPipeline.from_pretrained(folder, text_encoder=None, tokenizer=None)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def drawn_by_diffusers(pipeline: Any, folder: Path, steps: int, scale: float = 5.0, prompt: str = PROMPT) -> torch.Tensor:
    vectors, mask = load_encoder("ours", folder / "text").encode([prompt, "night"])
    side = pipeline.transformer.config.sample_size
    latents = torch.randn(1, 4, side, side, generator=torch.Generator().manual_seed(7))
    return pipeline(
        prompt=None, negative_prompt=None, prompt_embeds=vectors[:1], prompt_attention_mask=mask[:1],
        negative_prompt_embeds=vectors[1:], negative_prompt_attention_mask=mask[1:], guidance_scale=scale,
        num_inference_steps=steps, use_resolution_binning=False, latents=latents, output_type="pt",
    ).images  # fmt: skip


def drawn_by_us(
    name: Path | str, steps: int, sampler: str = "dpmpp_2m", scale: float = 5.0, prompt: str = PROMPT
) -> torch.Tensor:
    pipeline = load_pipeline(name, device="cpu", dtype="float32")
    *_, (_, x, _) = pipeline.sample([prompt], [7], ["night"], sampler, steps, scale)
    return (pipeline.pixels(x) / 2 + 0.5).clamp(0, 1)


def test_the_readme_s_code_draws_what_minidiff_draws(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    [code] = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    drawn = np.asarray(Image.open(tmp_path / "image.png")).astype(int)
    pipeline = load_pipeline(folder, device="cpu", dtype="float32")
    request = pipeline.request("a big red star left of a small blue house at night", steps=20, seed=42)
    expected = np.asarray(pipeline(request)[0]).astype(int)
    assert drawn.std() > 10
    assert np.abs(drawn - expected).max() <= 1


@pytest.mark.parametrize("steps", [10, 20, 50])
@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_diffusers_and_minidiff_draw_the_same_from_the_folder(folder: Path, steps: int, scale: float) -> None:
    drawn = drawn_by_diffusers(theirs_from(folder), folder, steps, scale)
    assert float(drawn.std()) > 0.05
    assert_close(drawn, drawn_by_us(folder, steps, scale=scale), rtol=0, atol=1e-3)


def test_at_order_1_it_is_ddim_of_the_zoo_s_own_model(folder: Path) -> None:
    """No extrapolation, so nothing remembers where the first step came from."""
    theirs = theirs_from(folder)
    theirs.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(theirs.scheduler.config, solver_order=1)
    assert_close(drawn_by_diffusers(theirs, folder, 20), drawn_by_us("world-dit", 20, "ddim"), rtol=0, atol=1e-3)


def test_the_shipped_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the folder the picture is diffusers' to a rounding; the zoo's differs by how its second step extrapolates."""
    monkeypatch.delenv("MINIDIFF_ZOO")
    export_diffusers(DiffusersExport(tmp_path / "exported"))
    prompt = "hai con cá màu vàng trên biển"
    drawn = drawn_by_diffusers(theirs_from(tmp_path / "exported"), tmp_path / "exported", 10, prompt=prompt)
    assert_close(drawn, drawn_by_us(tmp_path / "exported", 10, prompt=prompt), rtol=0, atol=1e-2)
    assert float((drawn - drawn_by_us("world-dit", 10, prompt=prompt)).abs().mean()) < 2e-3


@pytest.fixture(scope="module")
def straight(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported folder of a model that predicts flow."""
    folder = tmp_path_factory.mktemp("flow")
    with pytest.MonkeyPatch.context() as patch:
        changes = {"schedule": "flow", "prediction_type": "flow"}
        patch.setenv("MINIDIFF_ZOO", str(zoo_with(folder / "zoo", tiny, "world-flow", changes)))
        export_diffusers(DiffusersExport(folder / "exported", "world-flow"))
    return folder / "exported"


@pytest.mark.parametrize("steps", [7, 10, 20, 50])
@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_a_flow_is_drawn_the_same_from_the_folder(straight: Path, steps: int, scale: float) -> None:
    drawn = drawn_by_diffusers(theirs_from(straight), straight, steps, scale)
    assert float(drawn.std()) > 0.05
    assert_close(drawn, drawn_by_us(straight, steps, scale=scale), rtol=0, atol=1e-3)


def test_a_flow_s_folder_draws_nearly_what_the_zoo_s_model_draws(straight: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its network is fed whole times that begin at 0.999, not 1."""
    drawn = drawn_by_us(straight, 20)
    monkeypatch.setenv("MINIDIFF_ZOO", str(straight.parent / "zoo"))
    difference = float((drawn - drawn_by_us("world-flow", 20)).abs().mean())
    assert difference < 0.2 * float(drawn.std())
    scheduler = diffusers.DPMSolverMultistepScheduler.from_pretrained(straight / "scheduler")
    scheduler.set_timesteps(20)
    assert scheduler.timesteps[0] == 999 and scheduler.config.prediction_type == "flow_prediction"
    assert "straight path" in (straight / "README.md").read_text(encoding="utf-8")


def test_the_vae_codes_and_decodes_normalised_latents(folder: Path, tiny: Path) -> None:
    theirs = diffusers.AutoencoderKL.from_pretrained(folder / "vae")
    config, state = zoo.load("world-vae", tiny)
    ours = VAE(VAEConfig(**config["vae"]))
    ours.load_state_dict(state)
    mean, std = (torch.tensor(config[f"latent_{name}"]).view(1, -1, 1, 1) for name in ("mean", "std"))
    assert float(std.max() / std.min()) > 1.5 and float(mean.abs().max()) > 0  # else there would be nothing to fold
    pixels = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        centre, log_variance = ours.encode(pixels)
        coded = theirs.encode(pixels).latent_dist
        assert_close(coded.mean, (centre - mean) / std, rtol=1e-4, atol=1e-5)
        assert_close(coded.logvar, log_variance - 2 * std.log(), rtol=1e-4, atol=1e-5)
        latent = torch.randn(2, 4, 4, 4)
        decoded = theirs.decode(latent / theirs.config.scaling_factor).sample
        assert_close(decoded, ours.decode(latent * std + mean), rtol=1e-4, atol=1e-5)


def test_the_scheduler_s_table_is_the_cosine_path(folder: Path) -> None:
    scheduler = diffusers.DPMSolverMultistepScheduler.from_pretrained(folder / "scheduler")
    entry = torch.arange(997, dtype=torch.float64)
    assert_close(scheduler.alphas_cumprod[:997].double(), torch.cos(entry * math.pi / 2000) ** 2, rtol=1e-4, atol=1e-6)
    assert 0 < float(scheduler.alphas_cumprod[-1]) < 1e-28
    for steps in (10, 20, 25, 40, 50, 100):
        scheduler.set_timesteps(steps)
        assert scheduler.timesteps.tolist() == list(range(1000, 0, -1000 // steps))
    assert scheduler.config.prediction_type == "v_prediction"


# The folder


def test_an_earlier_export_is_replaced_and_all_may_read_it(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "exported"
    for _ in range(2):
        export_diffusers(DiffusersExport(target))
    assert [path.name for path in target.parent.iterdir()] == ["exported"]
    files = sorted(path.relative_to(target) for path in target.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in target.rglob("*"))
    (tmp_path / "empty").mkdir()
    export_diffusers(DiffusersExport(tmp_path / "empty"))
    assert isinstance(load_pipeline(tmp_path / "empty", device="cpu"), TextToImage)


def test_somebody_else_s_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty and no earlier export"):
        export_diffusers(DiffusersExport(tmp_path))
    with pytest.raises(ValueError, match="is a file"):
        export_diffusers(DiffusersExport(tmp_path / "thesis.txt"))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_export_that_fails_leaves_nothing_and_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_diffusers(DiffusersExport(tmp_path / "exported"))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "exported").rglob("*")}
    monkeypatch.setattr(export, "write_text", lambda *_: (_ for _ in ()).throw(OSError("the disk is full")))
    with pytest.raises(OSError, match="the disk is full"):
        export_diffusers(DiffusersExport(tmp_path / "exported"))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "exported").rglob("*")} == before
    assert [path.name for path in tmp_path.iterdir()] == ["exported"]


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("world-cat", "no weights called 'world-cat'"),
        ("world-vae", "holds no network that makes images"),
        ("world-unet", "is a UNet, and only text-to-image DiTs"),
        ("world-pixels", "is a LabelUNet"),
        ("world-flow", "predicts 'v' on the schedule 'flow'; exported are only"),
        ("world-eps", "predicts 'eps' on the schedule 'cosine'"),
    ],
)
def test_models_that_diffusers_could_not_draw_with_are_refused(
    whole_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, says: str
) -> None:
    changes = {"world-flow": {"schedule": "flow"}, "world-eps": {"prediction_type": "eps"}}
    root = whole_zoo
    if model in changes:
        root = zoo_with(tmp_path / "zoo", whole_zoo, model, changes[model])
    monkeypatch.setenv("MINIDIFF_ZOO", str(root))
    with pytest.raises(ValueError, match=says):
        export_diffusers(DiffusersExport(tmp_path / "exported", model))
    assert not (tmp_path / "exported").exists()


def test_without_diffusers_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ValueError, match=r"pip install 'minidiff\[interop\]'"):
        export_diffusers(DiffusersExport(tmp_path / "exported"))
    assert not list(tmp_path.iterdir())
