"""Learning to draw from words in the space of latents: all that training the DiT and the U-Net have in common.

Latents come from the cache, captions are told anew each time a scene is seen. What is predicted, along which path, at
which times, and how far the text tower learns with the network are options; what each of them buys is in LOG.md.
What it is not: a network; `dit` and `unet` bring theirs, and their sizes.
"""

from __future__ import annotations

import random
from abc import abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from minidiff.data.latent_cache import cached_latents, load_vae
from minidiff.data.world.captions import LANGS, drop_details, phrase
from minidiff.data.world.scenes import WORLD_VERSION, is_loose, scene_at, tell_spots
from minidiff.diffusion.losses import diffusion_loss, example_losses, sample_times
from minidiff.diffusion.schedules import get_schedule
from minidiff.diffusion.timesteps import shifted
from minidiff.evaluate.prompt_following import accuracy
from minidiff.evaluate.suites import suite
from minidiff.models.clip import TextConfig, TextEncoder
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pretrained import zoo
from minidiff.text.encoders import TOKEN_BUCKET
from minidiff.train.caption_questions import IGNORED, CaptionQuestionHead, answers, reading_loss
from minidiff.train.loop import Batch, LoopConfig, Step, Task, TrainingError, fit, mix_seed, recipe
from minidiff.train.token_labels import TokenLabelHead, token_truth
from minidiff.train.world_captions import SHARES, caption, world_tokenizer
from minidiff.utils.devices import autocast, fastest_dtype
from minidiff.utils.images import contact_sheet, to_images

TEXT_MODES = ("joint", "last", "frozen")
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


@dataclass
class TextLatentRun(LoopConfig):
    """What every run of this sort may set; how large the network is, its own file says."""

    afterwards: ClassVar[tuple[str, ...]] = ("keep", "keep_whole", "guidance", "judged", "name")

    batch: int = 128
    lr: float = 3e-3
    warmup: int = 60
    weight_decay: float = 0.02
    ema: float = 0.995
    optimizer: str = "muon"
    scenes: int = 32768
    """Different scenes to cache and learn from."""
    schedule: str = "cosine"
    """cosine, linear, scaled_linear or flow."""
    prediction_type: str = "v"
    """What the network predicts: v, eps, x0 or flow."""
    times: str = "stratified"
    """uniform, stratified or logit_normal."""
    shift: float = 1.0
    """Pushes the times towards the noise, where it is decided what stands where, when above 1 (`grids.shifted`)."""
    text: str = "joint"
    """How far the text tower learns too: joint, last (its last layer and norm) or frozen."""
    text_from: str = "world-clip"
    """Zoo name of a model with the text tower to start from, or nothing."""
    start: str = "nothing"
    """Zoo name of a model of the same shape whose weights, text tower included, are trained further; or nothing."""
    keep: float = 0.0
    """Share of those first weights in what is kept at the end, which is the mean of both (Wortsman et al. 2022, "Robust
    fine-tuning of zero-shot models"): what a short training unlearnt comes back, what it learnt stays."""
    keep_whole: tuple[str, ...] = ()
    """Modules, by a word in their names, of which the first weights are kept whole when `keep` is above 0."""
    text_width: int = 256
    text_layers: int = 4
    reading: float = 0.05
    """Weight of the reading-comprehension loss on the text tower (train/reading.py); 0 for none."""
    seeing: float = 0.1
    """Weight of the loss that asks inner tokens what stands where (train/seeing.py); 0 for none."""
    drop: float = 0.1
    """Share of captions replaced by the empty one, for classifier-free guidance."""
    terse: float = 0.0
    """Share of captions by a speaker half as talkative as the others (`captions.drop_details`)."""
    loose: float = 1.0
    """How many times as often as others, from 1, a scene is shown in which nothing says where things stand."""
    spots: float = 0.0
    """Share of the captions that leave places open to which they are added, thing by thing (`scenes.tell_spots`)."""
    sides: float = 0.0
    """Share of pictures of several things that look alike, on two sides (`scenes.sample_sides`), from `scenes` / 8 of them."""
    guidance: float = 5.0
    """Guidance of the pictures drawn while training, and the default of the shipped model."""
    judged: int = 0
    """Prompts per category and language, none of the published suite, that the judge scores at each validation; 0 for none."""
    name: str = "unnamed"
    """Zoo name of the result."""


class TextLatentTask(Task):
    """A network that reads captions and predicts latents, and its text tower as far as that is trained. A subclass says
    what the network is."""

    part: ClassVar[str]  # the network's name in checkpoints and in the zoo, and of the attribute that holds it

    def __init__(self, config: TextLatentRun) -> None:
        super().__init__()
        if config.text not in TEXT_MODES:
            raise TrainingError(f"--text must be one of {', '.join(TEXT_MODES)}, not {config.text!r}.")
        shares = (config.terse, config.spots, config.sides)
        if not (all(0 <= share <= 1 for share in shares) and config.loose >= 1 and config.shift > 0):
            raise TrainingError("--terse, --spots and --sides must be from 0 to 1, --loose at least 1, and --shift above 0.")
        if not 0 <= config.keep <= 1 or (config.keep and config.start == "nothing"):
            raise TrainingError("--keep must be from 0 to 1, and needs a --start whose weights can be kept.")
        torch.manual_seed(config.seed)
        self.config, self.schedule = config, get_schedule(config.schedule)
        self.tokenizer = world_tokenizer()
        self.text = self._text_tower()
        self.add_module(self.part, self.build())
        if config.start != "nothing":
            self._take_over(config.start)
        layer, width = self.inner_layer()
        # a head that no loss asks must not wait for gradients: training in several processes would wait with it
        self.reader = CaptionQuestionHead(self.text.config.hidden_size).requires_grad_(config.reading > 0)
        self.eye = TokenLabelHead(width).requires_grad_(config.seeing > 0)
        layer.register_forward_hook(self._remember)
        self.latents = cached_latents(config.scenes)
        self.sides = cached_latents(max(1, config.scenes // 8), "sides") if config.sides else self.latents[:0]
        self.held = cached_latents(512, "validation")

    @abstractmethod
    def build(self) -> nn.Module:
        """A new network whose context is as wide as the text tower."""

    @abstractmethod
    def inner_layer(self) -> tuple[nn.Module, int]:
        """The layer of the network whose output the seeing loss asks, a grid of 8 x 8 places, and its width."""

    @property
    def network(self) -> Any:
        return self.get_submodule(self.part)

    def _take_over(self, name: str) -> None:
        """Load the zoo's weights of network and text tower; raises TrainingError when their shapes are others."""
        saved, state = zoo.load(name)
        ours = {self.part: self.network, "text": self.text}
        if any(part not in saved or type(module.config)(**saved[part]) != module.config for part, module in ours.items()):
            raise TrainingError(f"{name!r} has another shape than this run: its options are {saved.get(self.part)}.")
        for part, module in ours.items():
            module.load_state_dict({k[len(part) + 1 :]: v for k, v in state.items() if k.startswith(f"{part}.")})

    @torch.no_grad()
    def blend(self, name: str, share: float, whole: tuple[str, ...] = ()) -> None:
        """Move the weights of network and text tower by `share` of the way towards the zoo's, and all the way where a word of
        `whole` is in their names."""
        ours = self.state_dict()
        for key, value in zoo.load(name)[1].items():
            if key.startswith((f"{self.part}.", "text.")):
                ours[key].lerp_(value.to(ours[key]), 1.0 if any(word in key for word in whole) else share)

    def _text_tower(self) -> TextEncoder:
        config = self.config
        if config.text_from == "nothing":
            width = config.text_width
            shape = TextConfig(
                vocab_size=self.tokenizer.vocab_size, hidden_size=width, layers=config.text_layers, heads=width // 64,
                intermediate=4 * width, local=True,
            )  # fmt: skip
            text = TextEncoder(shape)
        else:
            saved, state = zoo.load(config.text_from)
            if "text" not in saved:
                raise TrainingError(f"{config.text_from!r} has no text tower to start from.")
            text = TextEncoder(TextConfig(**saved["text"]))
            state = {k.removeprefix("text."): v for k, v in state.items()}  # a model that draws calls its tower `text`
            text.load_state_dict({k: v for k, v in state.items() if k.startswith(("text_model.", "text_projection."))})
        text.requires_grad_(config.text == "joint")
        text.text_projection.requires_grad_(False)  # the network reads the sequence, not the projection
        if config.text == "last":
            text.text_model.encoder.layers[-1].requires_grad_(True)
            text.text_model.final_layer_norm.requires_grad_(True)
        return text

    def _remember(self, layer: nn.Module, inputs: Any, output: Tensor) -> None:
        """Keeps what the inner layer gave, (B, N, D), for the seeing loss."""
        self.inner = output if output.ndim == 3 else output.flatten(2).transpose(1, 2)

    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        rng = random.Random(mix_seed(seed, index))
        chosen = [self._choose(rng) for _ in range(size)]
        scenes = [scene_at(number, split) for split, number in chosen]
        claims = [drop_details(scene, rng, 0.5 if rng.random() < self.config.terse else 1.0) for scene in scenes]
        if self.config.spots:
            pairs = zip(claims, scenes, strict=True)
            claims = [tell_spots(claim, scene) if rng.random() < self.config.spots else claim for claim, scene in pairs]
        texts = [phrase(claim, rng.choices(LANGS, SHARES)[0], rng) for claim in claims]
        dropped = torch.tensor([rng.random() < self.config.drop for _ in chosen])
        texts = ["" if drop else text for drop, text in zip(dropped.tolist(), texts, strict=True)]
        latents = np.stack([(self.sides if split == "sides" else self.latents)[number] for split, number in chosen])
        batch = {"latents": torch.from_numpy(latents).float(), **self.tokens(texts)}
        if self.config.reading:
            for name, answer in answers(claims).items():
                batch[f"read_{name}"] = answer.masked_fill(dropped.view(-1, *[1] * (answer.ndim - 1)), IGNORED)
        if self.config.seeing:
            batch.update({f"see_{name}": truth for name, truth in token_truth(scenes).items()})
        return batch

    def _choose(self, rng: random.Random) -> tuple[str, int]:
        """The split and number of a scene to learn from, a loose one `loose` times as often."""
        if self.config.sides and rng.random() < self.config.sides:
            return "sides", rng.randrange(len(self.sides))
        while True:
            number = rng.randrange(len(self.latents))
            if self.config.loose == 1 or rng.random() * self.config.loose < 1 or is_loose(scene_at(number)):
                return "train", number

    def tokens(self, texts: list[str]) -> dict[str, Tensor]:
        """ids and mask, padded to a multiple of TOKEN_BUCKET."""
        ids, mask = self.tokenizer.encode(texts)
        room = -ids.shape[1] % TOKEN_BUCKET
        return {"ids": nn.functional.pad(ids, (0, room)), "mask": nn.functional.pad(mask, (0, room))}

    def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        x0, mask = batch["latents"], batch["mask"]
        t = shifted(sample_times(len(x0), self.config.times, step.generator), self.config.shift).to(x0.device)
        eps = torch.randn(x0.shape, generator=step.generator).to(x0.device)
        text = self.text(batch["ids"], mask)
        prediction = self.network(self.schedule.mix(x0, eps, t), self.schedule.timestep(t), text.sequence, mask)
        loss = total = diffusion_loss(prediction, x0, eps, t, self.schedule, self.config.prediction_type)
        figures: dict[str, Tensor] = {"diffusion": loss}
        if self.config.reading:
            reading, shares = reading_loss(self.reader(text.sequence, text.pooled, mask), truth_of(batch, "read_"))
            total, figures = total + self.config.reading * reading, {**figures, **shares}
        if self.config.seeing:
            seeing, shares = self.eye(self.inner, truth_of(batch, "see_"))
            total, figures = total + self.config.seeing * seeing, {**figures, **shares}
        return total, figures

    def validate(self, folder: Path, step: int) -> dict[str, float]:
        figures = {"loss": self.fixed_noise_loss()}
        pipeline = self.pipeline()
        folder.mkdir(parents=True, exist_ok=True)
        images = to_images(draw(pipeline, list(SHEET), self.config.guidance))
        contact_sheet(images, 8).save(folder / f"samples-{step:06d}.png")
        if self.config.judged and "world-judge" in zoo.manifest():
            figures.update(self.judged_accuracy(pipeline))
        return figures

    @torch.no_grad()
    def fixed_noise_loss(self) -> float:
        """The loss on validation scenes whose captions, times and noise never change: comparable from step to step."""
        rng, device = random.Random(0), next(self.parameters()).device
        losses = []
        for start in range(0, len(self.held), 128):
            generator = torch.Generator().manual_seed(start)
            x0 = torch.from_numpy(self.held[start : start + 128]).float().to(device)
            t = sample_times(len(x0), "stratified", generator).to(device)
            eps = torch.randn(x0.shape, generator=generator).to(device)
            texts = [caption(scene_at(start + k, "validation"), rng) for k in range(len(x0))]
            tokens = {k: v.to(device) for k, v in self.tokens(texts).items()}
            with autocast(device):
                text = self.text(**tokens).sequence
                prediction = self.network(self.schedule.mix(x0, eps, t), self.schedule.timestep(t), text, tokens["mask"])
            losses.append(example_losses(prediction, x0, eps, t, self.schedule, self.config.prediction_type))
        return float(torch.cat(losses).mean())

    def judged_accuracy(self, pipeline: TextToImage) -> dict[str, float]:
        """Prompt following on held-out compositions, overall and by category, in English and Vietnamese."""
        prompts = suite(self.config.judged, seed=1)

        def generate(texts: list[str]) -> Tensor:
            return (draw(pipeline, texts, self.config.guidance) / 2 + 0.5).clamp(0, 1)

        return accuracy(generate, prompts, langs=("en", "vi"))

    def pipeline(self) -> TextToImage:
        """The models as they are now, ready to draw; copies, so that training is not disturbed."""
        vae, mean, std = load_vae()
        text, network = (type(module)(module.config) for module in (self.text, self.network))
        text.load_state_dict(self.text.state_dict())
        network.load_state_dict(self.network.state_dict())
        return TextToImage(
            self.tokenizer, text, network, vae, schedule=self.config.schedule, prediction_type=self.config.prediction_type, latent_mean=mean,
            latent_std=std, device=(device := next(self.parameters()).device), dtype=fastest_dtype(device.type), batch=16,
        )  # fmt: skip


def truth_of(batch: Batch, prefix: str) -> dict[str, Tensor]:
    """The entries of a batch whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in batch.items() if name.startswith(prefix)}


def draw(pipeline: TextToImage, prompts: list[str], guidance: float, steps: int = 20, seed: int = 0) -> Tensor:
    """One picture for each prompt, (B, 3, H, W) in -1..1; seeds count up from `seed`."""
    seeds = list(range(seed, seed + len(prompts)))
    *_, (_, latents, _) = pipeline.sample(prompts, seeds, [""] * len(prompts), steps=steps, guidance_scale=guidance)
    return torch.cat([pipeline.pixels(part).float().cpu() for part in latents.split(16)])


def train_and_keep(task: TextLatentTask, command: str) -> None:
    """Train as the task's configuration says, then put the averaged weights of network and text tower into the zoo.
    `command` is what the recipe begins with: "minidiff train world-dit"."""
    config = task.config
    training = fit(task, config)
    told, kept = recipe(command, config), config.out / "kept.txt"
    if not training.finished(config) or (kept.exists() and kept.read_text() == told and not config.fresh):
        return  # what is in the zoo already must not be blended, and its pictures counted, a second time
    training.ema.copy_to(task)
    task.eval()
    if config.keep:
        task.blend(config.start, config.keep, config.keep_whole)
    figures = task.validate(config.out, training.step) if config.keep or not training.figures else training.figures
    settings = {"schedule": config.schedule, "prediction_type": config.prediction_type, "vae": "world-vae", "tokenizer": "tokenizer"}
    before = zoo.entry(config.start) if config.start != "nothing" else {}  # the run that this one goes on from
    minutes = before.get("figures", {}).get("minutes", 0) + training.seconds / 60
    made_with = {company: zoo.entry(company)["sha256"] for company in ("world-vae", "tokenizer")}
    shapes = {task.part: asdict(task.network.config), "text": asdict(task.text.config)}
    zoo.add(
        config.name,
        {k: v for k, v in task.state_dict().items() if k.startswith((f"{task.part}.", "text."))},
        {**shapes, **settings, "made_with": made_with, "guidance": config.guidance, "spots": config.spots > 0},
        recipe=f"{before['recipe']} && {told} --fresh" if before.get("recipe") else told,
        images_seen=before.get("images_seen", 0) + training.pictures(config),
        world_version=WORLD_VERSION,
        figures={**figures, "minutes": round(minutes, 1)},
    )
    kept.write_text(told)
