"""Published models in miniature, for tests: random weights in the classes of diffusers and transformers, with tokenizers
whose vocabularies are a few lines, saved as their own `save_pretrained` saves them."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from tokenizers.pre_tokenizers import ByteLevel

LETTERS = string.ascii_lowercase + "đôệ"


def shaken(model: Any, amount: float = 0.1, seed: int = 0) -> Any:
    """Norms and biases start at 0 and 1, where many mistakes do not show; move every parameter off its start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(amount * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def clip_tokenizer(folder: Path) -> Any:
    """Bytes, bytes that end a word, and one merge; 77 tokens, as published."""
    letters = sorted(ByteLevel.alphabet())
    names = [*letters, *(letter + "</w>" for letter in letters), "re", "red</w>", "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({name: number for number, name in enumerate(names)}))
    (folder / "merges.txt").write_text("#version: 0.2\nr e\nre d</w>\n")
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 77, "tokenizer_class": "CLIPTokenizer"}')
    return transformers.CLIPTokenizer.from_pretrained(folder)


def clip_config(tokenizer: Any) -> Any:
    return transformers.CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=77, projection_dim=12, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip


def t5_tokenizer() -> Any:
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), ("▁red", -1.0), *((c, -3.0) for c in LETTERS)]
    return transformers.T5TokenizerFast(vocab=pieces, extra_ids=0)


def t5_model(tokenizer: Any) -> Any:
    config = transformers.T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, feed_forward_proj="gated-gelu"
    )
    return shaken(transformers.T5EncoderModel(config))


def vae(**changes: Any) -> Any:
    return shaken(diffusers.AutoencoderKL(**{
        "block_out_channels": (8, 16), "down_block_types": ["DownEncoderBlock2D"] * 2,
        "up_block_types": ["UpDecoderBlock2D"] * 2, "latent_channels": 4, "layers_per_block": 1, "norm_num_groups": 4,
        "sample_size": 16, **changes,
    }))  # fmt: skip


def unet(**changes: Any) -> Any:
    return shaken(diffusers.UNet2DConditionModel(**{
        "sample_size": 8, "block_out_channels": (16, 32), "layers_per_block": 1, "cross_attention_dim": 16,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "attention_head_dim": 2, "norm_num_groups": 8, **changes,
    }))  # fmt: skip


def pixart_transformer(**changes: Any) -> Any:
    return shaken(diffusers.PixArtTransformer2DModel(**{
        "num_attention_heads": 2, "attention_head_dim": 8, "in_channels": 4, "out_channels": 8, "num_layers": 2,
        "cross_attention_dim": 16, "sample_size": 8, "caption_channels": 16, "use_additional_conditions": False, **changes,
    }))  # fmt: skip


STABLE_DIFFUSION = {
    "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1,
    "timestep_spacing": "leading",
}  # fmt: skip
SCHEDULERS: dict[str, Any] = {
    "pndm": lambda: diffusers.PNDMScheduler(**STABLE_DIFFUSION, skip_prk_steps=True, set_alpha_to_one=False),
    "ddim": lambda: diffusers.DDIMScheduler(**STABLE_DIFFUSION, clip_sample=False, set_alpha_to_one=False),
    "dpm": lambda: diffusers.DPMSolverMultistepScheduler(**STABLE_DIFFUSION),
    "euler": lambda: diffusers.EulerDiscreteScheduler(**{**STABLE_DIFFUSION, "timestep_spacing": "linspace"}),
    "euler_a": lambda: diffusers.EulerAncestralDiscreteScheduler(**STABLE_DIFFUSION),
    "pixart": lambda: diffusers.DPMSolverMultistepScheduler(beta_schedule="linear"),
}


def stable_diffusion(folder: Path, scheduler: str = "ddim") -> Any:
    """diffusers' pipeline, saved in `folder`: 16 x 16 pixels."""
    tokenizer = clip_tokenizer(folder / "words")
    pipeline = diffusers.StableDiffusionPipeline(
        vae=vae(), text_encoder=shaken(transformers.CLIPTextModel(clip_config(tokenizer))), tokenizer=tokenizer,
        unet=unet(), scheduler=SCHEDULERS[scheduler](), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def inpainting(folder: Path, scheduler: str = "ddim", in_channels: int = 9) -> Any:
    """diffusers' pipeline for inpainting, saved in `folder`: 16 x 16 pixels."""
    parts = {**stable_diffusion(folder, scheduler).components, "unet": unet(in_channels=in_channels, out_channels=4)}
    pipeline = diffusers.StableDiffusionInpaintPipeline(**parts, requires_safety_checker=False)
    pipeline.save_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def upscaling(folder: Path, scheduler: str = "ddim", **changes: Any) -> Any:
    """diffusers' pipeline that enlarges pictures by four, saved in `folder`. Its U-Net is made as the published one is: places
    look at the caption alone, and the layers round a transformer block are linear."""
    own = {"in_channels": 7, "out_channels": 4, "num_class_embeds": 1000, "only_cross_attention": [True, False],
           "use_linear_projection": True, **changes}  # fmt: skip
    coder = vae(
        block_out_channels=(8, 8, 16), down_block_types=["DownEncoderBlock2D"] * 3, up_block_types=["UpDecoderBlock2D"] * 3,
        scaling_factor=0.08333,
    )
    words = stable_diffusion(folder / "words", scheduler).components
    pipeline = diffusers.StableDiffusionUpscalePipeline(
        vae=coder, text_encoder=words["text_encoder"], tokenizer=words["tokenizer"], unet=unet(**own),
        low_res_scheduler=diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        scheduler=diffusers.DDIMScheduler(**STABLE_DIFFUSION, clip_sample=False, set_alpha_to_one=False,
                                          prediction_type="v_prediction") if scheduler == "ddim" else words["scheduler"],
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def pixart(folder: Path, scheduler: str = "pixart") -> Any:
    """diffusers' pipeline, saved in `folder`: 16 x 16 pixels."""
    tokenizer = t5_tokenizer()
    pipeline = diffusers.PixArtAlphaPipeline(
        tokenizer=tokenizer, text_encoder=t5_model(tokenizer), vae=vae(), transformer=pixart_transformer(),
        scheduler=SCHEDULERS[scheduler](),
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
