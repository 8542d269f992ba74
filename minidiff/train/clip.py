"""Train `world-clip`: a text tower and a picture tower that agree on which caption belongs to which picture.

Contrastive (Radford et al. 2021), in English, Vietnamese and unaccented Vietnamese, so that a sentence and its
translation land in the same place. It sees the drawn world, with captions by the grammar and as people type them, and emoji.
Its text tower is what the DiT starts from.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from minidiff.data.emoji.prepare import read_prepared
from minidiff.data.world.captions import LANG_SHARES, LANGS, drop_details, phrase, strip_accents
from minidiff.data.world.free_captions import said
from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import render
from minidiff.data.world.scenes import WORLD_VERSION, Scene
from minidiff.models.clip import CLIP, TextConfig, VisionConfig, clip_loss
from minidiff.text.prompt_reader import QuestionHead
from minidiff.text.tokenizer import Tokenizer
from minidiff.train.loop import Batch, Step, Task, fit, mix_seed
from minidiff.train.options import Count, LoopConfig, Positive, Share, TrainingError, Weight, recipe_text
from minidiff.train.publish import keep
from minidiff.train.world_losses import WORLD, answers, question_loss
from minidiff.utils.images import to_tensor
from minidiff.utils.validation import Between

Width = Annotated[int, Between(64, 8192)]
Depth = Annotated[int, Between(1, 64)]


@dataclass
class CLIPRun(LoopConfig):
    """Train the drawn world's bilingual CLIP (64 px pictures)."""

    out: Path = Path("runs/world-clip")
    steps: Count = 400
    batch: Count = 192
    lr: Positive = 3e-3
    optimizer: Literal["adamw", "muon"] = "muon"
    warmup: Annotated[int, Between(0)] = 30
    weight_decay: Weight = 0.1
    ema: Annotated[float, Between(0, 0.9999999)] = 0.99
    width: Width = 256
    """Width of the text tower; the DiT's cross-attention reads vectors this wide."""
    layers: Depth = 4
    vision_width: Width = 192
    vision_layers: Depth = 4
    size: Annotated[int, Between(32, 512)] = 64
    """Pixels to a side."""
    patch: Annotated[int, Between(1, 512)] = 16
    questions: Weight = 1.0
    """Weight of the loss of questions on captions, which teaches binding; 0 for contrast alone."""
    free: Share = 0.6
    """Share of the world's captions that are as people type them."""
    emoji: Path | None = Path("data/emoji")
    """Folder that `minidiff prepare emoji` wrote; None: the drawn world alone."""
    emoji_share: Share = 0.2
    """Share of emoji among the pictures."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % 64 or self.vision_width % 64:
            raise TrainingError(f"--width {self.width} and --vision-width {self.vision_width} must be multiples of 64.")
        if self.size % self.patch:
            raise TrainingError(f"--size {self.size} must be a multiple of --patch {self.patch}.")


class CLIPTask(Task):
    """Pictures and one caption each; every other caption of the batch is wrong."""

    def __init__(self, config: CLIPRun, tokenizer: Tokenizer) -> None:
        super().__init__()
        torch.manual_seed(config.seed)
        self.config, self.tokenizer = config, tokenizer
        text = TextConfig(
            vocab_size=self.tokenizer.vocab_size, hidden_size=config.width, layers=config.layers,
            heads=config.width // 64, intermediate=4 * config.width, local=True, projection_dim=256,
        )  # fmt: skip
        vision = VisionConfig(
            image_size=config.size, patch_size=config.patch, hidden_size=config.vision_width,
            layers=config.vision_layers, heads=config.vision_width // 64, intermediate=4 * config.vision_width,
            projection_dim=256,
        )  # fmt: skip
        self.clip = CLIP(text, vision)
        self.questions = QuestionHead(config.width, WORLD).requires_grad_(config.questions > 0)
        self.emoji = list(read_prepared(config.emoji, "train")) if config.emoji else []

    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        rng, config = random.Random(mix_seed(seed, index)), self.config
        images, texts = [], []
        claims: list[Scene | None] = []
        for k in range(size):
            lang = rng.choices(LANGS, LANG_SHARES)[0]
            if self.emoji and rng.random() < config.emoji_share:
                row, path, _ = rng.choice(self.emoji)
                images.append(opened(path, config.size))
                texts.append(emoji_caption(row, lang))
                claims.append(None)
            else:
                scene = scene_at(index * size + k)
                claim = drop_details(scene, rng)
                images.append(render(scene, config.size).image)
                texts.append(said(claim, lang, rng, config.free))
                claims.append(claim)
        ids, mask = self.tokenizer.encode(texts)
        return {"images": to_tensor(np.stack(images)), "ids": ids, "mask": mask, **answers(claims)}

    def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        ids, mask = batch["ids"], batch["mask"]
        image = self.clip.embed_image(batch["images"])
        sequence, pooled = self.clip.text_model(ids, mask)
        text = F.normalize(self.clip.text_projection(pooled), dim=-1)
        hits = (image @ text.T).argmax(1) == torch.arange(len(image), device=image.device)
        contrast = loss = clip_loss(image, text, self.clip.logit_scale)
        figures = {"contrast": contrast, "hits": hits.float().mean()}
        if self.config.questions:
            extra, shares = question_loss(self.questions(sequence, pooled, mask), batch)
            loss, figures = loss + self.config.questions * extra, {**figures, **shares}
        return loss, figures

    def validate(self, folder: Path, step: int) -> dict[str, float]:
        return retrieval(self.clip, self.tokenizer, "validation")


def opened(path: Path, size: int) -> NDArray[np.uint8]:
    """An image file as (size, size, 3) uint8."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.LANCZOS))


def emoji_caption(row: dict[str, Any], lang: str) -> str:
    """What the metadata of an emoji calls it in a language of LANGS."""
    text = row["text" if lang == "en" else "text_vi"]
    return strip_accents(text) if lang == "vi_unaccented" else text


def rendered(scenes: list[Scene], size: int) -> Tensor:
    """Scenes rendered at `size` pixels: (B, 3, size, size) in -1..1."""
    return to_tensor(np.stack([render(scene, size).image for scene in scenes]))


@torch.no_grad()
def retrieval(clip: CLIP, tokenizer: Tokenizer, split: str = "test", count: int = 256) -> dict[str, float]:
    """R@1 among `count` held-out scenes: the share of captions whose own picture is the nearest (per language), of pictures
    whose own English caption is, and of English captions whose Vietnamese translation is. Captions leave details
    out, so that two of them may say the same of two scenes: not everybody can reach 1."""
    rng = random.Random(0)
    scenes = [scene_at(k, split) for k in range(count)]
    claims = [drop_details(scene, rng) for scene in scenes]
    device = clip.logit_scale.device
    image = clip.embed_image(rendered(scenes, clip.vision_model.config.image_size).to(device)).float()
    text = {}
    for lang in LANGS:
        ids, mask = tokenizer.encode([phrase(claim, lang, rng) for claim in claims])
        text[lang] = F.normalize(clip.embed_text(ids.to(device), mask.to(device)).float(), dim=-1)
    own = torch.arange(count, device=device)

    def first(queries: Tensor, answers: Tensor) -> float:
        return float(((queries @ answers.T).argmax(1) == own).float().mean())

    figures = {f"{lang}_to_image": first(text[lang], image) for lang in LANGS}
    return {**figures, "image_to_en": first(image, text["en"]), "en_to_vi": first(text["en"], text["vi"])}


def train(config: CLIPRun, tokenizer: Tokenizer, dependencies: Sequence[str] = ()) -> None:
    """Train, then keep the averaged weights and their retrieval figures."""
    task = CLIPTask(config, tokenizer)
    training = fit(task, config)
    if not training.finished(config):
        return
    training.ema.copy_to(task)
    task.eval()
    figures = retrieval(task.clip, task.tokenizer)
    print("R@1 among 256 held-out scenes:", {k: round(v, 3) for k, v in figures.items()})
    keep(
        config.out,
        "world-clip",
        task.clip.state_dict(),
        {"text": asdict(task.clip.text_model.config), "vision": asdict(task.clip.vision_model.config)},
        dependencies=dependencies,
        to_zoo=config.publish,
        recipe=recipe_text("minidiff train world-clip", config),
        images_seen=training.images_seen(config),
        world_version=WORLD_VERSION,
        figures=figures,
    )
