"""Both towers of a published CLIP or SigLIP: sentences and images to vectors of length 1 in one space.

    model = load_clip("clip", "openai/clip-vit-base-patch32")
    model.embed_text(["a red car"]) @ model.embed_image([image]).T

Folders of transformers, in our own classes; multilingual ones are among SigLIP's. What it is not: a reader of prompts for
diffusion, which needs the text tower alone (encoders.py). Taught in the lesson on CLIP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from minidiff.models.clip import CLIP, TextConfig, VisionConfig
from minidiff.models.siglip import SigLIP, SigLIPTextConfig, SigLIPVisionConfig
from minidiff.pretrained import state_dicts
from minidiff.pretrained.assemble import assemble
from minidiff.pretrained.configs import build_config, check_blocks
from minidiff.pretrained.hub import locate, outline_of, read_json, read_state, require
from minidiff.text.published_tokenizers import PublishedTokenizer, check_tokens, read_tokenizer, transformers_tokenizer
from minidiff.text.published_towers import check_family, shape, text_config
from minidiff.utils.validation import Between, build, convert

KINDS = ("clip", "siglip")
SIDE, COUNT = Between(1, 4096), Between(1, 2**20)
BOUNDS = {"hidden_size": COUNT, "layers": Between(1, 4096), "heads": COUNT, "intermediate": COUNT, "projection_dim": COUNT,
          "image_size": SIDE, "patch_size": SIDE}  # fmt: skip


@dataclass(frozen=True)
class ImageSettings:
    """How a model wants its images. size: side in pixels; crop: the shorter side is made `size` and the middle cut out, else
    both sides are; mean, std: of each channel, in 0..1; resample: a filter of PIL."""

    size: int
    crop: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resample: int = Image.Resampling.BICUBIC

    def pixels(self, image: Image.Image) -> Tensor:
        """One image, of any size and mode, as (3, size, size)."""
        image = image.convert("RGB")
        width, height = image.size
        side = self.size
        if self.crop:
            shorter = min(width, height)
            width, height = side * width // shorter, side * height // shorter
            left, top = (width - side) // 2, (height - side) // 2
            image = image.resize((width, height), self.resample).crop((left, top, left + side, top + side))
        else:
            image = image.resize((side, side), self.resample)
        numbers = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255                      # (3, size, size)
        mean, std = (torch.tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (numbers - mean) / std


class TwoTowers:
    """A published model with its tokenizer and the settings of its images."""

    def __init__(self, model: CLIP | SigLIP, tokenizer: PublishedTokenizer, images: ImageSettings) -> None:
        self.model, self.tokenizer, self.images = model.eval().requires_grad_(False), tokenizer, images

    @torch.inference_mode()
    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """(B, P), of length 1."""
        ids, mask = self.tokenizer.encode(list(texts))
        return self.model.embed_text(ids, mask)

    @torch.inference_mode()
    def embed_image(self, images: Sequence[Image.Image]) -> Tensor:
        """(B, P), of length 1."""
        return self.model.embed_image(torch.stack([self.images.pixels(image) for image in images]))


def load_clip(
    kind: str, folder: Path | str, allow_pickle: bool = False, processor: Path | str | None = None
) -> TwoTowers:
    """A CLIP ("clip") or SigLIP ("siglip") in a folder of transformers, or the hub's "owner/name".

    processor: the folder of the tokenizer and of the images' settings, where they don't lie beside the weights.

    Raises ValueError for another kind, when transformers is not installed, and for a folder that is missing, incomplete,
    damaged or of something else."""
    if kind not in KINDS:
        raise ValueError(f"There is no kind {kind!r} of two towers: choose one of {', '.join(KINDS)}.")
    require("transformers", f"A published {kind}")
    where = locate(folder, allow_pickle=allow_pickle)
    config, source = text_config(where), str(where)
    check_family(config, kind, where)
    said = read_json(where / "config.json")
    if not isinstance(said.get("vision_config"), dict):
        raise ValueError(f"{where} holds a text tower alone; both are needed.")
    outline = state_dicts.from_transformers_clip(outline_of(where, allow_pickle))
    make = _clip if kind == "clip" else _siglip
    model = assemble(
        lambda: make(config, _vision(where), outline, source), outline, source,
        lambda: state_dicts.from_transformers_clip(read_state(where, allow_pickle)),
    )  # fmt: skip
    beside = locate(processor) if processor else where
    tokenizer = transformers_tokenizer(read_tokenizer(beside), model.text_model.config.max_length)
    checked = check_tokens(tokenizer, model.text_model.config.vocab_size, beside)
    return TwoTowers(model, checked, image_settings(beside, model.vision_model.config.image_size))


def _vision(folder: Path) -> Any:
    """transformers' configuration of the image tower, its defaults filled in."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False).vision_config


def _settings(config: Any) -> dict[str, Any]:
    return {
        "hidden_size": config.hidden_size, "layers": config.num_hidden_layers, "heads": config.num_attention_heads,
        "intermediate": config.intermediate_size, "activation": config.hidden_act, "norm_eps": config.layer_norm_eps,
        "image_size": config.image_size, "patch_size": config.patch_size, "channels": config.num_channels,
    }  # fmt: skip


def _clip(text: Any, vision: Any, outline: dict[str, Tensor], source: str) -> CLIP:
    eos = None if text.eos_token_id == 2 else text.eos_token_id
    common = outline["text_projection.weight"].shape[0] if "text_projection.weight" in outline else text.projection_dim
    settings = {**shape(text), "projection_dim": common, "causal": True, "eos_id": eos}
    words = build_config(TextConfig, settings, source)
    images = build(VisionConfig, {**_settings(vision), "projection_dim": common}, source, BOUNDS)
    check_blocks(words.layers + images.layers, outline, source)
    return CLIP(words, images)


def _siglip(text: Any, vision: Any, outline: dict[str, Tensor], source: str) -> SigLIP:
    words = build_config(SigLIPTextConfig, {**shape(text), "projection_dim": text.projection_size}, source)
    images = build(SigLIPVisionConfig, {**_settings(vision), "projection_dim": vision.hidden_size}, source, BOUNDS)
    check_blocks(words.layers + images.layers, outline, source)
    return SigLIP(words, images)


def image_settings(folder: Path, size: int) -> ImageSettings:
    """How images are made ready, from preprocessor_config.json. Raises ValueError for settings that are not known here."""
    said, source = read_json(folder / "preprocessor_config.json"), f"{folder}/preprocessor_config.json"
    mean, std = (
        tuple(convert(value, float, f"{source}: {name}", Between(0, 1)) for value in said.get(name, ()))
        for name in ("image_mean", "image_std")
    )
    if len(mean) != 3 or len(std) != 3 or not all(std):
        raise ValueError(f"{source}: image_mean and image_std must be three numbers each, the second above 0.")
    resample = convert(said.get("resample", int(Image.Resampling.BICUBIC)), int, f"{source}: resample", Between(0, 5))
    return ImageSettings(size, bool(said.get("do_center_crop", False)), mean, std, resample)
