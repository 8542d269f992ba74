"""Train `world-clip`: a text tower and a picture tower that agree on which caption belongs to which picture.

Contrastive (Radford et al. 2021), in English, Vietnamese and unaccented Vietnamese, so that a sentence and its
translation land in the same place. Its text tower is what the DiT starts from.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from minidiff.data.world.captions import LANGS, drop_details, phrase
from minidiff.data.world.scenes import WORLD_VERSION, Scene, render, scene_at
from minidiff.models.clip import CLIP, TextConfig, VisionConfig, clip_loss
from minidiff.text.tokenizer import Tokenizer
from minidiff.train.caption_questions import CaptionQuestionHead, answers, reading_loss
from minidiff.train.loop import Batch, LoopConfig, Step, Task, fit, mix_seed, recipe
from minidiff.train.world_captions import SHARES, world_tokenizer
from minidiff.utils.images import to_tensor


@dataclass
class CLIPRun(LoopConfig):
    """Train the drawn world's bilingual CLIP (64 px pictures)."""

    out: Path = Path("runs/world-clip")
    steps: int = 400
    batch: int = 192
    lr: float = 3e-3
    optimizer: str = "muon"
    warmup: int = 30
    weight_decay: float = 0.1
    ema: float = 0.99
    precision: str = "auto"
    width: int = 256
    """Width of the text tower; the DiT's cross-attention reads vectors this wide."""
    layers: int = 4
    vision_width: int = 192
    vision_layers: int = 4
    size: int = 64
    """Pixels to a side."""
    patch: int = 16
    reading: float = 1.0
    """Weight of the reading-comprehension loss, which teaches binding; 0 for contrast alone."""


class CLIPTask(Task):
    """Pictures and one caption each; every other caption of the batch is wrong."""

    def __init__(self, config: CLIPRun) -> None:
        super().__init__()
        torch.manual_seed(config.seed)
        self.config = config
        self.tokenizer = world_tokenizer()
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
        self.reader = CaptionQuestionHead(config.width)

    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        rng = random.Random(mix_seed(seed, index))
        scenes = [scene_at(index * size + k) for k in range(size)]
        claims = [drop_details(scene, rng) for scene in scenes]
        ids, mask = self.tokenizer.encode([phrase(claim, rng.choices(LANGS, SHARES)[0], rng) for claim in claims])
        pictures = pictures_of(scenes, self.config.size)
        return {"pictures": pictures, "ids": ids, "mask": mask, **answers(claims)}

    def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        ids, mask = batch["ids"], batch["mask"]
        image = self.clip.embed_image(batch["pictures"])
        sequence, pooled = self.clip.text_model(ids, mask)
        text = F.normalize(self.clip.text_projection(pooled), dim=-1)
        hits = (image @ text.T).argmax(1) == torch.arange(len(image), device=image.device)
        contrast = clip_loss(image, text, self.clip.logit_scale)
        reading, figures = reading_loss(self.reader(sequence, pooled, mask), batch)
        return contrast + self.config.reading * reading, {"contrast": contrast, "hits": hits.float().mean(), **figures}

    def validate(self, folder: Path, step: int) -> dict[str, float]:
        return retrieval(self.clip, self.tokenizer, "validation")


def pictures_of(scenes: list[Scene], size: int) -> Tensor:
    """Scenes drawn at `size` pixels: (B, 3, size, size) in -1..1."""
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
    image = clip.embed_image(pictures_of(scenes, clip.vision_model.config.image_size).to(device)).float()
    text = {}
    for lang in LANGS:
        ids, mask = tokenizer.encode([phrase(claim, lang, rng) for claim in claims])
        text[lang] = F.normalize(clip.embed_text(ids.to(device), mask.to(device)).float(), dim=-1)
    own = torch.arange(count, device=device)

    def first(queries: Tensor, answers: Tensor) -> float:
        return float(((queries @ answers.T).argmax(1) == own).float().mean())

    figures = {f"{lang}_to_image": first(text[lang], image) for lang in LANGS}
    return {**figures, "image_to_en": first(image, text["en"]), "en_to_vi": first(text["en"], text["vi"])}


def train(config: CLIPRun) -> None:
    """Train, then put the averaged weights and their retrieval figures into the zoo."""
    from minidiff.pretrained import zoo

    task = CLIPTask(config)
    training = fit(task, config)
    if not training.finished(config):
        return
    training.ema.copy_to(task)
    task.eval()
    figures = retrieval(task.clip, task.tokenizer)
    print("R@1 among 256 held-out scenes:", {k: round(v, 3) for k, v in figures.items()})
    zoo.add(
        "world-clip",
        task.clip.state_dict(),
        {"text": asdict(task.clip.text_model.config), "vision": asdict(task.clip.vision_model.config)},
        recipe=recipe("minidiff train world-clip", config),
        images_seen=training.pictures(config),
        world_version=WORLD_VERSION,
        figures=figures,
    )
