"""Our text-to-image DiT as a folder that diffusers opens: `minidiff export diffusers DIR`.

Transformer, VAE and scheduler are diffusers' own classes with our weights; our text tower is no class of transformers, so
it goes beside them as it is, and the README that is written into the folder shows how its vectors are handed over. What
our pipeline does and diffusers' does not is folded into what it does: the latents' mean and deviation per channel into the
VAE's 1 x 1 convolutions, the cosine path into the scheduler's table. What it is not: ONNX, or the way in (`folders.py`).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import tyro
from safetensors.torch import save_file
from torch import Tensor

from minidiff import __version__
from minidiff.diffusion.schedules import SCHEDULES, TABLE_LENGTH
from minidiff.models.clip import TextEncoder
from minidiff.models.dit import DiT
from minidiff.models.vae import VAE
from minidiff.pipelines import loading
from minidiff.pretrained.from_diffusers import EXPORTED, NEARLY_NOISE
from minidiff.text.tokenizer import Tokenizer

# (path, kind) that diffusers' scheduler can follow; of pure noise, the first x, `eps` says nothing: it has no x0 there
PREDICTIONS = {("cosine", "x0"): "sample", ("cosine", "v"): "v_prediction", ("flow", "flow"): "flow_prediction"}
README = '''# {model}, exported by minidiff

A text-to-image diffusion transformer that diffusers draws with; prompts in English or Vietnamese. The text encoder, in
`text/`, is minidiff's own (`pip install minidiff`), so the prompt's vectors are made first and handed over:

```python
import torch
from diffusers import PixArtAlphaPipeline
from minidiff import load_encoder

folder = {folder!r}
prompt, negative_prompt = "a big red star left of a small blue house at night", ""

words = load_encoder("ours", folder + "/text")
vectors, mask = words.encode([prompt, negative_prompt])
pipeline = PixArtAlphaPipeline.from_pretrained(folder, text_encoder=None, tokenizer=None)
images = pipeline(
    prompt=None,
    negative_prompt=None,
    prompt_embeds=vectors[:1],
    prompt_attention_mask=mask[:1],
    negative_prompt_embeds=vectors[1:],
    negative_prompt_attention_mask=mask[1:],
    guidance_scale={guidance:g},
    num_inference_steps=20,
    use_resolution_binning=False,
    generator=torch.Generator().manual_seed(42),
).images
images[0].save("picture.png")
```

`minidiff sample "..." --model {folder}` reads this folder, too, and from the same noise draws the same picture. The
scheduler is `DPMSolverMultistepScheduler` of order 2 {along}.
'''
ALONG = {
    "cosine": "with minidiff's cosine path as its table; where the\n"
    "number of steps does not divide 1000, the table lacks times that minidiff visits, and the two pictures differ",
    "flow": "on the straight path of flow matching",
}


@dataclass
class DiffusersExport:
    """Write a text-to-image DiT as a folder that diffusers opens with PixArtAlphaPipeline."""

    folder: tyro.conf.Positional[Path]
    """Where to: a new or an empty folder, or an earlier export, which is replaced."""
    model: str = "world-dit"
    """A name that `minidiff zoo` lists."""


def export_diffusers(config: DiffusersExport) -> None:
    """Writes the folder, whole or not at all, and prints its path.

    Raises ValueError for a model that is no text-to-image DiT of those kinds that diffusers can follow, for a folder that
    holds something else, and where diffusers is not installed.
    """
    check_target(config.folder)
    parts = exportable(config.model)
    library = diffusers()
    config.folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=config.folder.parent, prefix=f".{config.folder.name}."))
    try:
        library.PixArtAlphaPipeline(
            tokenizer=None, text_encoder=None, vae=diffusers_vae(parts["vae"], parts["latent_mean"], parts["latent_std"]),
            transformer=diffusers_dit(parts["network"]), scheduler=diffusers_scheduler(parts["schedule"], parts["prediction_type"]),
        ).save_pretrained(draft)  # fmt: skip
        write_text(draft / "text", parts["tokenizer"], parts["text_encoder"])
        about = {name: parts[name] for name in ("model", "model_hash", "schedule", "prediction_type", "guidance_scale")}
        (draft / EXPORTED).write_text(json.dumps({**about, "version": __version__}, indent=2) + "\n", encoding="utf-8")
        words = {"model": config.model, "folder": str(config.folder), "guidance": parts["guidance_scale"],
                 "along": ALONG[parts["schedule"]]}  # fmt: skip
        (draft / "README.md").write_text(README.format(**words), encoding="utf-8")
        for path in (draft, *draft.rglob("*")):  # what makes them lets nobody else read them
            path.chmod(0o755 if path.is_dir() else 0o644)
        put(draft, config.folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    print(config.folder)


def diffusers() -> Any:
    """The library; imported late, because it takes its time. Raises ValueError where it is not installed."""
    try:
        return import_module("diffusers")
    except ImportError:
        raise ValueError("The export needs diffusers, which is not here: pip install 'minidiff[interop]'.") from None


def check_target(folder: Path) -> None:
    """Raises ValueError for a file, and for a folder that holds something else than an earlier export."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: give a folder to write.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / EXPORTED).is_file():
        raise ValueError(f"{folder} is not empty and no earlier export, so it is left alone: give another folder.")


def put(draft: Path, folder: Path) -> None:
    """The draft becomes the folder; what the folder was before is gone only then."""
    before = draft.with_name(draft.name + ".before")
    if folder.exists():
        os.replace(folder, before)
    try:
        os.replace(draft, folder)
    except OSError:
        os.replace(before, folder)
        raise
    shutil.rmtree(before, ignore_errors=True)


def exportable(model: str) -> dict[str, Any]:
    """The parts of a model of the zoo. Raises ValueError for designs that `PixArtAlphaPipeline` cannot draw with."""
    parts = loading.read_row(model)
    if not isinstance(parts["network"], DiT):
        raise ValueError(f"{model!r} is a {type(parts['network']).__name__}, and only text-to-image DiTs are exported.")
    if (parts["schedule"], parts["prediction_type"]) not in PREDICTIONS:
        raise ValueError(
            f"{model!r} predicts {parts['prediction_type']!r} on the path {parts['schedule']!r}; exported are only models that predict "
            f"{', '.join(f'{kind} on {path}' for path, kind in PREDICTIONS)}."
        )
    return parts


def diffusers_dit(dit: DiT) -> Any:
    """`PixArtTransformer2DModel` with our weights; every name and shape fits."""
    config = dit.config
    theirs = diffusers().PixArtTransformer2DModel(
        num_attention_heads=config.heads, attention_head_dim=config.hidden_size // config.heads,
        in_channels=config.in_channels, out_channels=config.out_channels or config.in_channels, num_layers=config.depth,
        cross_attention_dim=config.hidden_size, caption_channels=config.caption_channels,
        sample_size=config.sample_size, patch_size=config.patch_size, norm_type="ada_norm_single",
        use_additional_conditions=False, interpolation_scale=config.interpolation_scale,
    )  # fmt: skip
    theirs.load_state_dict(dit.state_dict(), strict=True)
    return theirs


def diffusers_vae(vae: VAE, mean: list[float], std: list[float]) -> Any:
    """`AutoencoderKL` with our weights, whose latents are normalised already: scaling_factor 1."""
    widths = vae.config.channels
    theirs = diffusers().AutoencoderKL(
        block_out_channels=list(widths), down_block_types=["DownEncoderBlock2D"] * len(widths),
        up_block_types=["UpDecoderBlock2D"] * len(widths), latent_channels=vae.config.latent_channels,
        layers_per_block=vae.config.layers, norm_num_groups=vae.config.groups, scaling_factor=1.0,
    )  # fmt: skip
    theirs.load_state_dict(normalised(vae.state_dict(), torch.tensor(mean), torch.tensor(std)), strict=True)
    return theirs


def normalised(state: dict[str, Tensor], mean: Tensor, std: Tensor) -> dict[str, Tensor]:
    """A VAE's weights so changed that it codes to (z - mean) / std and decodes from that; mean and std (C,).

    Both maps are linear in each channel and stand beside a 1 x 1 convolution, so they are absorbed without a remainder:
    W (std n + mean) + b on the way out; on the way in (W h + b - mean) / std for the Gaussian's mean, and log(std^2) less
    of its log-variance.
    """
    new = dict(state)
    out, out_bias = state["post_quant_conv.weight"], state["post_quant_conv.bias"]              # (C, C, 1, 1), (C,)
    new["post_quant_conv.weight"] = out * std.view(1, -1, 1, 1)
    new["post_quant_conv.bias"] = out_bias + out[:, :, 0, 0] @ mean
    scale = torch.cat([1 / std, torch.ones_like(std)])                                          # (2 C,)
    shift = torch.cat([-mean / std, -2 * std.log()])                                            # (2 C,)
    new["quant_conv.weight"] = state["quant_conv.weight"] * scale.view(-1, 1, 1, 1)
    new["quant_conv.bias"] = state["quant_conv.bias"] * scale + shift
    return new


def cosine_betas() -> list[float]:
    """1001 betas, so that entry i of the table is our cosine path at time i / 1000, whose network is fed i.

    alpha is 0 at the last entry, which diffusers divides by, so it stops a hair before, at NEARLY_NOISE. As a beta in
    float32 is at most 1 - 2^-24, the last four entries share the way there; up to 250 steps, none visits the three between.
    """
    times = torch.arange(TABLE_LENGTH + 1, dtype=torch.float64) / TABLE_LENGTH
    times[-1] = NEARLY_NOISE
    log_signal = 2 * SCHEDULES["cosine"].alpha(times).log()                                         # (1001,) falling
    log_signal[-5:] = torch.lerp(log_signal[-5], log_signal[-1], torch.arange(5, dtype=torch.float64) / 4)
    return [0.0, *(-torch.expm1(log_signal.diff())).tolist()]


def diffusers_scheduler(schedule: str, prediction_type: str) -> Any:
    """DPM-Solver++ 2M along our uniform times. On the cosine path with n steps entries 1000, 1000 - 1000 / n, ... of
    `cosine_betas`; on the flow path diffusers' own times, which begin at 0.999."""
    table = {"num_train_timesteps": TABLE_LENGTH + 1, "trained_betas": cosine_betas(), "timestep_spacing": "linspace"}
    return diffusers().DPMSolverMultistepScheduler(
        prediction_type=PREDICTIONS[schedule, prediction_type], algorithm_type="dpmsolver++", solver_order=2, final_sigmas_type="zero",
        **({"use_flow_sigmas": True} if schedule == "flow" else table),
    )  # fmt: skip


def write_text(folder: Path, tokenizer: Tokenizer, tower: TextEncoder) -> None:
    """Our text encoder, as `encoders.load_encoder("ours", folder)` reads it."""
    folder.mkdir()
    tokenizer.save(folder / "tokenizer.json")
    save_file(tower.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(asdict(tower.config), indent=2) + "\n", encoding="utf-8")
