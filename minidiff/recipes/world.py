"""`world-dit` and `world-unet`: the drawn world's text-to-image models, as shipped.

Here are their stages, the captions they learn from, and how they are watched. `minidiff train world-dit` runs all stages.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from minidiff.data.emoji.prepare import read_prepared
from minidiff.data.latent_cache import Encode, cached_latents
from minidiff.data.world.captions import (
    ENGLISH,
    LANG_SHARES,
    LANGS,
    VIETNAMESE,
    caption,
    drop_details,
    strip_accents,
)
from minidiff.data.world.free_captions import said, words_of_rules
from minidiff.data.world.layout import tell_places
from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.scenes import WORLD_VERSION, is_ambiguous
from minidiff.evaluate.prompt_following import accuracy
from minidiff.evaluate.suites import suite
from minidiff.models.dit import DiT, DiTConfig
from minidiff.models.unet import UNetConfig
from minidiff.models.vae import VAE
from minidiff.pipelines.loading import ready
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pretrained import zoo
from minidiff.pretrained.configs import build_model
from minidiff.recipes.moved_latents import nearest_rotation, patches_of, turn
from minidiff.recipes.recipe import CaptionMix, Recipe, RecipeRun, Stage, run_recipe
from minidiff.text.encoders import TOKEN_BUCKET
from minidiff.text.tokenizer import Tokenizer
from minidiff.train.latent_diffusion import LatentDiffusionTask, Objective
from minidiff.train.loop import Batch, Validator, mix_seed
from minidiff.train.world_losses import AUX_LOSSES
from minidiff.utils.devices import autocast, fastest_dtype, keep_memory, own_device
from minidiff.utils.images import contact_sheet, to_images, to_tensor

SHEET = (
    "a big red star left of a small blue house at night",
    "một ngôi sao to màu đỏ ở bên trái một ngôi nhà nhỏ màu xanh dương vào ban đêm",
    "three pink flowers in a meadow",
    "ba bông hoa màu hồng trên đồng cỏ",
    "a green fish below a yellow boat at sea",
    "mot con ca mau xanh la o duoi mot chiec thuyen mau vang tren bien",
    "a purple cat between an orange balloon and a white moon",
    "một con mèo màu tím ở giữa một quả bóng bay màu cam và một mặt trăng màu trắng",
    "a black umbrella in a room",
    "một chiếc ô màu đen trong phòng",
    "two brown birds at sunset",
    "hai con chim màu nâu lúc hoàng hôn",
    "a small white cloud above a big green tree",
    "một đám mây nhỏ màu trắng ở trên một cái cây to màu xanh lá",
    "a blue car and a red heart",
    "một chiếc xe hơi màu xanh dương và một trái tim màu đỏ",
)

TURNED_BY = 512     # scenes, when a DiT moves to another autoencoder's latents

# --- data -----------------------------------------------------------------------------------------------------------


def load_vae(name: str = "world-vae") -> tuple[VAE, list[float], list[float]]:
    """The zoo's VAE, and mean and deviation of its latents' channels."""
    config, state = zoo.load(name)
    return ready(build_model(VAE, config["vae"], state, name), "cpu"), config["latent_mean"], config["latent_std"]


def vae_encoder(name: str) -> Encode:
    """Images to normalised latents by the zoo's VAE, on this process's device."""
    vae, mean, std = load_vae(name)
    device = torch.device(own_device())
    vae.to(device)
    keep_memory()
    shift, scale = (torch.tensor(values, device=device).view(1, -1, 1, 1) for values in (mean, std))

    @torch.inference_mode()
    def encode(images: NDArray[np.uint8]) -> NDArray[np.float16]:
        pixels = to_tensor(images).to(device).contiguous(memory_format=torch.channels_last)
        with autocast(device):
            latents = vae.encode(pixels)[0].float()
        return ((latents - shift) / scale).half().cpu().numpy()

    return encode


def world_tokenizer(
    folder: Path | None = None, emoji: Path | None = None, vocab_size: int = 2048, captions: int = 40_000,
    name: str = "tokenizer",
) -> Tokenizer:  # fmt: skip
    """The zoo's tokenizer; where the zoo has none, one learnt from captions of the world, by grammar and free, and of emoji
    where there is a folder of them, and kept in `folder`. Its known words are the world's."""
    for root in (None, folder):
        if name in zoo.manifest(root):
            return Tokenizer.load(zoo.path(name, root))
    if folder is None:
        raise zoo.ZooError(f"There is no {name} in the zoo; `minidiff train world-clip --publish` makes one.")
    rng = random.Random(0)
    plain = [caption(scene_at(k), rng) for k in range(captions)]
    free = [
        said(drop_details(scene_at(k), rng), rng.choices(LANGS, LANG_SHARES)[0], rng, free=1.0) for k in range(captions)
    ]
    named = [row[text] for row, _, _ in read_prepared(emoji, "train") for text in ("text", "text_vi")] if emoji else []
    spots = [f(spot) for g in (ENGLISH, VIETNAMESE) for spot in g.spots.values() for f in (str, strip_accents)]
    tokenizer = Tokenizer.train([*plain, *free, *named], vocab_size, known=[*plain, *words_of_rules(), *spots])
    target = folder / f"{name}.json"
    tokenizer.save(target)
    zoo.add_file(name, target.read_bytes(), root=folder)
    return tokenizer


class CaptionedWorld:
    """Latents of the world's scenes, with a new caption each time a scene is shown."""

    def __init__(self, data: WorldLatents, stage: Stage) -> None:
        self.mix, self.tokenizer = stage.captions, data.tokenizer()
        self.aux = [AUX_LOSSES[name] for name, weight in stage.aux if weight]
        self.latents = data.latents(stage.scenes)
        self.counts = data.latents(max(1, stage.scenes // 8), "counts") if self.mix.counts else self.latents[:0]
        self.held = data.latents(data.validation, "validation")

    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        rng, mix = random.Random(mix_seed(seed, index)), self.mix
        chosen = [self._choose(rng) for _ in range(size)]
        scenes = [scene_at(number, split) for split, number in chosen]
        claims = [drop_details(scene, rng, 0.5 if rng.random() < mix.detail_dropout else 1.0) for scene in scenes]
        if mix.places:
            pairs = zip(claims, scenes, strict=True)
            claims = [tell_places(claim, scene) if rng.random() < mix.places else claim for claim, scene in pairs]
        texts = [said(claim, rng.choices(LANGS, LANG_SHARES)[0], rng, mix.free) for claim in claims]
        dropped = torch.tensor([rng.random() < mix.dropout for _ in chosen])
        texts = ["" if drop else text for drop, text in zip(dropped.tolist(), texts, strict=True)]
        latents = np.stack([(self.counts if split == "counts" else self.latents)[number] for split, number in chosen])
        batch: Batch = {"latents": torch.from_numpy(latents).float(), **self.tokens(texts)}
        for loss in self.aux:
            batch.update(loss.truth(scenes, claims, dropped))
        return batch

    def _choose(self, rng: random.Random) -> tuple[str, int]:
        """Split and number of a scene to show, an ambiguous one `ambiguous` times as often."""
        if self.mix.counts and rng.random() < self.mix.counts:
            return "counts", rng.randrange(len(self.counts))
        while True:
            number = rng.randrange(len(self.latents))
            if self.mix.ambiguous == 1 or rng.random() * self.mix.ambiguous < 1 or is_ambiguous(scene_at(number)):
                return "train", number

    def tokens(self, texts: list[str]) -> dict[str, Tensor]:
        """ids and mask (B, L), padded to a multiple of TOKEN_BUCKET."""
        ids, mask = self.tokenizer.encode(texts)
        room = -ids.shape[1] % TOKEN_BUCKET
        return {"ids": nn.functional.pad(ids, (0, room)), "mask": nn.functional.pad(mask, (0, room))}

    def held_out(self) -> Iterator[Batch]:
        """Validation scenes, 128 at a time, each with one caption."""
        rng = random.Random(0)
        for start in range(0, len(self.held), 128):
            latents = torch.from_numpy(self.held[start : start + 128]).float()
            texts = [caption(scene_at(start + k, "validation"), rng) for k in range(len(latents))]
            yield {"latents": latents, **self.tokens(texts)}


@dataclass(frozen=True)
class WorldLatents:
    """The drawn world, encoded once by the zoo's VAE.

    vae: its zoo name. size: of images, in pixels. validation: how many held-out scenes. folder: where latents are kept.
    """

    vae: str = "world-vae"
    size: int = 128
    validation: int = 512
    folder: Path = Path("runs/latents")

    @property
    def dependencies(self) -> tuple[str, ...]:
        return self.vae, "tokenizer"

    @property
    def settings(self) -> dict[str, str]:
        return {"vae": self.vae, "tokenizer": "tokenizer", "reader": "world-reader"}

    def version(self) -> int:
        return WORLD_VERSION

    def tokenizer(self) -> Tokenizer:
        return world_tokenizer()

    def latents(self, count: int, split: str = "train") -> NDArray[np.float16]:
        """Of scenes 0 .. count-1 of a split."""
        name = zoo.entry(self.vae)["sha256"][:12]
        return cached_latents(count, split, lambda: vae_encoder(self.vae), name, self.folder, self.size)

    def adapt(self, network: Any, vae: str) -> None:
        """Turns a DiT from the latents of `vae` to these: the rotation is that of the first training scenes' patches."""
        if vae != self.vae and isinstance(network, DiT):
            old, new = (torch.from_numpy(data.latents(TURNED_BY)).float() for data in (replace(self, vae=vae), self))
            size = network.config.patch_size
            turn(network, nearest_rotation(patches_of(old, size), patches_of(new, size)))

    def examples(self, stage: Stage) -> CaptionedWorld:
        return CaptionedWorld(self, stage)

    def validators(self, task: LatentDiffusionTask, guidance: float, judged: int) -> list[Validator]:
        """A sheet of samples, and with `judged` prompts per category the judge's figures in English and in Vietnamese."""
        found: list[Validator] = [lambda folder, step: save_sheet(self, task, guidance, folder / f"samples-{step:06d}.png")]
        if judged and "world-judge" in zoo.manifest():
            for number, lang in enumerate(("en", "vi")):
                found.append(judge_of(self, task, guidance, judged, lang, number))
        return found


# --- watching -------------------------------------------------------------------------------------------------------


def pipeline_of(data: WorldLatents, task: LatentDiffusionTask) -> TextToImage:
    """The models as they are now; copies, so that training is not disturbed."""
    vae, mean, std = load_vae(data.vae)
    device = next(task.parameters()).device
    dtype = fastest_dtype(device.type)
    text, network = (type(module)(module.config) for module in (task.text, task.network))
    text.load_state_dict(task.text.state_dict())
    network.load_state_dict(task.network.state_dict())
    return TextToImage(
        data.tokenizer(), ready(text, device), ready(network, device, torch.float32 if device.type == "cpu" else dtype),
        ready(vae, device), schedule=task.objective.schedule, prediction_type=task.objective.prediction_type, latent_mean=mean,
        latent_std=std, dtype=dtype, batch=16,
    )  # fmt: skip


class Sampler:
    """Texts to images (B, 3, H, W) in 0..1. Every image has noise of its own: seeds count up from call to call."""

    def __init__(
        self, pipeline: TextToImage, guidance: float, steps: int = 20, seed: int = 0, sampler: str = "dpmpp_2m"
    ) -> None:
        self.pipeline, self.guidance, self.steps, self.seed, self.sampler = pipeline, guidance, steps, seed, sampler

    def __call__(self, texts: list[str]) -> Tensor:
        seeds = list(range(self.seed, self.seed + len(texts)))
        self.seed += len(texts)
        negative = [""] * len(texts)
        *_, (_, latents, _) = self.pipeline.sample(texts, seeds, negative, self.sampler, self.steps, self.guidance)
        images = torch.cat([self.pipeline.pixels(part).float().cpu() for part in latents.split(16)])
        return (images / 2 + 0.5).clamp(0, 1)


def save_sheet(data: WorldLatents, task: LatentDiffusionTask, guidance: float, path: Path) -> dict[str, float]:
    """Samples of SHEET as one PNG; no figures."""
    images = Sampler(pipeline_of(data, task), guidance)(list(SHEET))
    path.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(to_images(images * 2 - 1), 8).save(path)
    return {}


def judge_of(
    data: WorldLatents, task: LatentDiffusionTask, guidance: float, per_category: int, lang: str, number: int
) -> Validator:
    """Prompt following on held-out compositions in one language, overall and by category."""

    def judge(folder: Path, step: int) -> dict[str, float]:
        prompts = suite(per_category, seed=1)
        sampler = Sampler(pipeline_of(data, task), guidance, seed=number * len(prompts))
        return accuracy(sampler, prompts, langs=(lang,))

    return judge


# --- the recipes ----------------------------------------------------------------------------------------------------

LABELS = (("token_labels", 0.1),)
MORE_LABELS = (("token_labels", 0.2),)
JOINT = (("caption_questions", 0.05), ("token_labels", 0.1))
NOISY = Objective(shift=2.0)
LATE = Objective(times="logit_normal", shift=2.0)

WORLD_DIT = Recipe(
    name="world-dit",
    model=DiTConfig(sample_size=16, patch_size=2, in_channels=4, hidden_size=256, depth=8, heads=4),
    data=WorldLatents(),
    token_layer=4,
    guidance=3.0,
    stages=(
        Stage(1080, 128, 3e-3, 32_768, seed=0, warmup=60, ema=0.995, text_trainable="all", aux=JOINT),
        Stage(330, 128, 2e-3, 32_768, seed=1, warmup=15, ema=0.99, text_trainable="all", aux=JOINT),
        Stage(4000, 64, 2e-3, 98_304, seed=2, aux=LABELS),
        Stage(
            3400, 64, 2e-3, 98_304, seed=3, objective=NOISY, captions=CaptionMix(detail_dropout=0.4, ambiguous=2), aux=LABELS
        ),
        Stage(
            5500, 64, 2e-3, 98_304, seed=4, objective=NOISY, captions=CaptionMix(detail_dropout=0.7, ambiguous=3),
            aux=MORE_LABELS,
        ),
        Stage(
            1250, 64, 1.5e-3, 49_152, seed=5, warmup=50, ema=0.995, objective=NOISY,
            captions=CaptionMix(detail_dropout=0.7, ambiguous=3, places=0.7), text_trainable="last", aux=MORE_LABELS,
            average_with_start=0.2, restore_from_start=("caption_projection",),
        ),
        Stage(
            540, 64, 6e-4, 49_152, seed=6, warmup=20, ema=0.99, objective=LATE,
            captions=CaptionMix(detail_dropout=0.7, ambiguous=3, places=0.7, counts=0.12), aux=MORE_LABELS,
        ),
    ),
)  # fmt: skip

WORLD_UNET = Recipe(
    name="world-unet",
    model=UNetConfig(
        sample_size=16, in_channels=4, out_channels=4, channels=(64, 128, 192), attention=(False, True, True), layers=1,
        head_dim=32, groups=32,
    ),
    data=WorldLatents(),
    text="world-dit",  # whose text encoder stays as it is, so that the two networks can be compared
    guidance=5.0,
    stages=(
        Stage(
            8000, 64, 3e-3, 98_304, seed=10, objective=NOISY, captions=CaptionMix(detail_dropout=0.7, ambiguous=3),
            aux=MORE_LABELS,
        ),
    ),
)  # fmt: skip


@dataclass
class WorldDiTRun(RecipeRun):
    """Train the drawn world's text-to-image DiT, in stages, on cached latents."""

    command = "minidiff train world-dit"
    out: Path = Path("runs/world-dit")


@dataclass
class WorldUNetRun(RecipeRun):
    """Train the drawn world's text-to-image U-Net on cached latents."""

    command = "minidiff train world-unet"
    out: Path = Path("runs/world-unet")


def train_dit(run: WorldDiTRun) -> None:
    run_recipe(WORLD_DIT, run)


def train_unet(run: WorldUNetRun) -> None:
    run_recipe(WORLD_UNET, run)
