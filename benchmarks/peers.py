"""The same model twice: ours, and diffusers' classes holding the same weights, with the loop of its PixArt pipeline.

diffusers' own `PixArtAlphaPipeline` wants a T5, so its denoising loop is written out here; the text encoder is ours on
both sides. Where no trained weights are found, random ones of the shipped size do as well for speed.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.first_picture import PROMPT
from minidiff.models.clip import TextConfig, TextEncoder
from minidiff.models.dit import DiT, DiTConfig
from minidiff.models.vae import VAE, VAEConfig
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pretrained import zoo
from minidiff.text.tokenizer import Tokenizer


def randomised(module: nn.Module, seed: int = 0) -> Any:
    """Small random weights everywhere, so that no layer is idle as it would be at its initialisation."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.02)
    return module


def random_zoo(folder: Path, dit: DiTConfig | None = None) -> Path:
    """A zoo of untrained weights in `folder`, of the shipped shapes; returns the folder."""
    tokenizer = Tokenizer.train([PROMPT, "một ngôi sao lớn màu đỏ ở bên trái một ngôi nhà nhỏ màu xanh"], 300)
    tokenizer.save(folder / "words.json")
    zoo.add_file("tokenizer", (folder / "words.json").read_bytes(), root=folder)
    vae, shape = VAEConfig((16, 32, 64, 128), 4, 1, 8), dit or DiTConfig()
    zoo.add(
        "world-vae", randomised(VAE(vae)).state_dict(),
        {"vae": asdict(vae), "latent_mean": [0.0] * 4, "latent_std": [1.0] * 4}, root=folder,
    )  # fmt: skip
    text = TextConfig(vocab_size=tokenizer.vocab_size, eos_id=2, projection_dim=256)
    parts = {"dit": randomised(DiT(shape)), "text": randomised(TextEncoder(text))}
    state = {f"{name}.{k}": v for name, part in parts.items() for k, v in part.state_dict().items()}
    config = {"dit": asdict(shape), "text": asdict(text), "vae": "world-vae", "tokenizer": "tokenizer",
              "schedule": "cosine", "prediction_type": "v", "guidance": 5.0}  # fmt: skip
    zoo.add("world-dit", state, config, root=folder)
    return folder


def diffusers() -> Any:
    """The library, imported late because it is slow to, and untyped because it hides its classes from type checkers."""
    warnings.filterwarnings("ignore", module="diffusers")
    return import_module("diffusers")


def diffusers_vae(ours: VAE) -> Any:
    """`AutoencoderKL` with our weights; every name and shape must fit."""
    widths = ours.config.channels
    theirs = diffusers().AutoencoderKL(
        block_out_channels=list(widths), down_block_types=["DownEncoderBlock2D"] * len(widths),
        up_block_types=["UpDecoderBlock2D"] * len(widths), latent_channels=ours.config.latent_channels,
        layers_per_block=ours.config.layers, norm_num_groups=ours.config.groups,
    )  # fmt: skip
    theirs.load_state_dict(ours.state_dict(), strict=True)
    return theirs.eval().requires_grad_(False)


def diffusers_dit(config: DiTConfig, state: dict[str, Tensor]) -> Any:
    """`PixArtTransformer2DModel` with our weights; every name and shape must fit."""
    theirs = diffusers().PixArtTransformer2DModel(
        num_attention_heads=config.heads, attention_head_dim=config.hidden_size // config.heads,
        in_channels=config.in_channels, out_channels=config.in_channels, num_layers=config.depth,
        cross_attention_dim=config.hidden_size, caption_channels=config.caption_channels,
        sample_size=config.sample_size, patch_size=config.patch_size, norm_type="ada_norm_single",
        use_additional_conditions=False, interpolation_scale=config.interpolation_scale,
    )  # fmt: skip
    theirs.load_state_dict(state, strict=True)
    return theirs


class Peer:
    """diffusers' models and scheduler in the loop of its PixArt pipeline: guidance by a doubled batch, 20 steps of
    DPM-Solver++ 2M, decode."""

    def __init__(self, dit: Any, vae: Any, prediction_type: str = "v", scale: float = 5.0, steps: int = 20) -> None:
        self.dit, self.vae, self.scale, self.steps = dit.eval().requires_grad_(False), vae, scale, steps
        names = {"v": "v_prediction", "eps": "epsilon", "x0": "sample", "flow": "flow_prediction"}
        self.scheduler = diffusers().DPMSolverMultistepScheduler(
            prediction_type=names[prediction_type], use_flow_sigmas=prediction_type == "flow",
            beta_schedule="squaredcos_cap_v2", final_sigmas_type="zero",
        )  # fmt: skip

    @torch.inference_mode()
    def __call__(self, vectors: Tensor, mask: Tensor, mean: Tensor | float = 0.0, std: Tensor | float = 1.0) -> Tensor:
        """vectors (2, L, D): the prompt's, then the empty prompt's, with mask (2, L); returns pixels (1, 3, H, W)."""
        config = self.dit.config
        generator = torch.Generator().manual_seed(42)
        x = torch.randn(1, config.in_channels, config.sample_size, config.sample_size, generator=generator)
        self.scheduler.set_timesteps(self.steps)
        x = x * self.scheduler.init_noise_sigma
        for t in self.scheduler.timesteps:
            pair = self.scheduler.scale_model_input(torch.cat([x, x]), t)
            given = self.dit(
                pair, encoder_hidden_states=vectors, encoder_attention_mask=mask, timestep=t.expand(2),
                added_cond_kwargs={"resolution": None, "aspect_ratio": None}, return_dict=False,
            )[0]  # fmt: skip
            conditional, unconditional = given.chunk(2)
            guided = unconditional + self.scale * (conditional - unconditional)
            x = self.scheduler.step(guided, t, x, return_dict=False)[0]
        return self.vae.decode(x * std + mean, return_dict=False)[0]


def peer_of(pipeline: TextToImage) -> Peer:
    """diffusers with the weights of an fp32 pipeline."""
    dit = diffusers_dit(pipeline.network.config, pipeline.network.state_dict())
    return Peer(dit, diffusers_vae(pipeline.vae), pipeline.prediction_type, pipeline.guidance_scale)
