"""`minidiff finetune lora DATA`: a model of the zoo, or a published one, learns a style or a subject by LoRA.

Only the factors learn, are averaged and are saved, so a checkpoint is small whatever the model is. The loss on images that are
held back, with noise and times that never change, says which factors are kept and when to stop. What it is not: the layers
(nn/lora.py) or the loop (train/loop.py). Taught in the lesson on LoRA.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
import tyro
from torch import Tensor, nn

from minidiff.data.captioned import Collection, read_captioned
from minidiff.diffusion.losses import diffusion_loss, example_losses, min_snr_weight, sample_times
from minidiff.finetune.captioned_latents import CaptionedLatents
from minidiff.models.dit import DiT
from minidiff.models.unet import UNet
from minidiff.nn.lora import ATTENTION, add_lora, factors_of, take_out
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.loras import LoRAs, part_of
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pretrained.adapters import write_lora
from minidiff.train.checkpoint import load_checkpoint
from minidiff.train.loop import Batch, Step, Task, fit
from minidiff.train.options import Count, LoopConfig, Positive, Share, TrainingError, Weight, recipe_text
from minidiff.utils.files import write_whole
from minidiff.utils.images import contact_sheet
from minidiff.utils.strict_json import read as read_json
from minidiff.utils.validation import Between

BEST, REPORT, SHEET = "best.json", "report.json", "samples.png"
NOISES = 8  # times and noises with which each held-out image is looked at


@dataclass
class LoRARun(LoopConfig):
    """Teach a model a style or a subject, from a folder of images with captions."""

    afterwards: ClassVar[tuple[str, ...]] = ("patience", "min_delta")

    data: tyro.conf.Positional[Path] = Path("data")
    """Folder of images with captions: cat.txt beside cat.png, or a metadata.jsonl, .csv or .json table."""
    model: str = "world-dit"
    """A name that `minidiff zoo` lists, a diffusers folder (Stable Diffusion 1.x, PixArt-alpha), or "owner/name" on the hub."""
    out: Path = Path("runs/lora")
    rank: Count = 8
    """Rank of the updates: what they can say, and how large the file is."""
    alpha: Positive | None = None
    """The updates are multiplied by alpha / rank; the rank when not given."""
    targets: tuple[str, ...] = ATTENTION
    """The layers that learn, by the ends of their names."""
    dropout: Annotated[float, Between(0, 0.999)] = 0.0
    """Share of a layer's inputs that its update doesn't see in training."""
    caption_dropout: Share = 0.1
    """Share of captions that are left empty, for guidance."""
    min_snr: Weight = 5.0
    """Weight the times by min(SNR, this) (Hang et al. 2023); 0: all alike."""
    mirror: bool = True
    """Learn mirror images, too; --no-mirror where left and right matter."""
    held: Share = 0.08
    """Share of the images that is held back."""
    patience: Count = 10
    """Stop when so many validations in a row brought nothing new."""
    min_delta: Weight = 1e-4
    """How much lower the held-out loss must be to count."""
    steps: Count = 800
    batch: Count = 16
    lr: Positive = 2e-3
    warmup: Annotated[int, Between(0)] = 20
    weight_decay: Weight = 0.0
    ema: Annotated[float, Between(0, 0.9999999)] = 0.98
    workers: Annotated[int, Between(0, 256)] = 0
    save_every: Count = 50
    validate_every: Count = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.publish:
            raise TrainingError("--publish is for whole models; a LoRA is a file, which `minidiff sample --lora` takes.")


class LoRATask(Task):
    """The factors beside a frozen network. The pipeline is no module, so neither checkpoints nor averages hold the network."""

    def __init__(self, config: LoRARun, pipeline: TextToImage, examples: CaptionedLatents) -> None:
        super().__init__()
        torch.manual_seed(config.seed)
        self.config, self.examples, self.pipeline = config, examples, pipeline
        layers = add_lora(pipeline.network, config.rank, config.alpha, config.targets, config.dropout)
        self.updates = nn.ModuleList(layer.update for layer in layers.values())
        self.schedule, self.kind = pipeline.scheduler.schedule, pipeline.scheduler.prediction_type
        self.train()  # the layers came in the network's mode, where nothing is dropped

    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        return self.examples.make_batch(index, size, seed)

    def predict(self, batch: Batch, t: Tensor, eps: Tensor) -> Tensor:
        """What the network predicts for latents with noise eps at times t (B,), without a variance that it may also predict."""
        x0 = batch["latents"]
        out = self.pipeline.network(self.schedule.mix(x0, eps, t), self.schedule.timestep(t), batch["context"], batch["mask"])
        return out[:, : x0.shape[1]]

    def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        x0 = batch["latents"]
        t = sample_times(len(x0), "stratified", step.generator).to(x0.device)                   # (B,)
        eps = torch.randn(x0.shape, generator=step.generator).to(x0.device)
        weight = min_snr_weight(self.schedule, self.kind, t, self.config.min_snr) if self.config.min_snr else None
        return diffusion_loss(self.predict(batch, t, eps), x0, eps, t, self.schedule, self.kind, weight), {}

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """The mean loss on what is held back, over NOISES times and noises that never change."""
        device = next(self.parameters()).device
        batch = {name: value.to(device) for name, value in self.examples.held_out().items()}
        x0, losses = batch["latents"], []
        for number in range(NOISES):
            generator = torch.Generator().manual_seed(number)
            t = ((torch.rand(len(x0), generator=generator) + number) / NOISES).to(device)
            eps = torch.randn(x0.shape, generator=generator).to(device)
            losses.append(example_losses(self.predict(batch, t, eps), x0, eps, t, self.schedule, self.kind))
        return float(torch.cat(losses).mean())

    def validate(self, folder: Path, step: int) -> dict[str, float]:
        """The held-out loss, and the factors into the folder if it is the lowest so far."""
        loss, best = self.held_out_loss(), best_of(folder)
        if best is None or loss < best["loss"] - self.config.min_delta:
            network = self.pipeline.network
            write_lora(weights_in(folder), {part_of(network): factors_of(network)})
            write_whole(folder / BEST, json.dumps({"step": step, "loss": loss}))
        return {"loss": loss}


def weights_in(folder: Path) -> Path:
    """The file of the best factors in a run's folder: named after it, since the file's name is the LoRA's in a mix."""
    return folder / f"{folder.resolve().name}.safetensors"


def best_of(folder: Path) -> dict[str, Any] | None:
    """Step and loss of the factors that were kept; None before the first."""
    return read_json(folder / BEST) if (folder / BEST).exists() else None


def step_of(folder: Path) -> int:
    """The step at which a run stands."""
    checkpoint = folder / "checkpoint.pt"
    return load_checkpoint(checkpoint)["step"] if checkpoint.exists() else 0


def finetune_lora(config: LoRARun) -> None:
    """Learn until the steps are done or nothing gets better; then report, and draw with the best factors.

    Raises TrainingError for data that can't be learnt from and models that don't read captions, DataError and ValueError as
    what it calls."""
    began = time.perf_counter()
    collection = read_captioned(config.data)
    print(collection.report())
    config.out.mkdir(parents=True, exist_ok=True)
    if config.fresh:
        (config.out / BEST).unlink(missing_ok=True)
    pipeline = load_pipeline(config.model, dtype="float32")
    if not isinstance(pipeline.network, DiT | UNet):
        raise TrainingError(f"{config.model!r} reads no captions, so it can't learn from them: choose world-dit, say.")
    examples = CaptionedLatents(pipeline, collection.pairs, config.held, config.caption_dropout, config.mirror)
    task = LoRATask(config, pipeline, examples)
    without = task.to(pipeline.device).held_out_loss()
    step = learn(task, config)
    take_out(pipeline.network)
    if best_of(config.out) is None:
        print(f"Stopped at step {step}, before the first validation; the same command goes on.")
        return
    figures = {"without": without, "steps": step, "minutes": (time.perf_counter() - began) / 60}
    report(config, pipeline, collection, task, figures)


def learn(task: LoRATask, config: LoRARun) -> int:
    """Train from validation to validation; returns the step at which it ended."""
    first, last = config.fresh, config.steps
    if config.stop_after:
        last = min(last, config.stop_after + (0 if first else step_of(config.out)))
    while True:
        step = 0 if first else step_of(config.out)
        best = best_of(config.out)
        waited = (step - best["step"]) // config.validate_every if best else 0
        if waited >= config.patience and step < config.steps:
            print(f"Stopped at step {step}: nothing new since step {best['step'] if best else 0}.")
        if step >= last or waited >= config.patience:
            return step
        chunk = min(config.validate_every - step % config.validate_every, last - step)
        fit(task, type(config)(**{**vars(config), "fresh": first, "stop_after": chunk}))
        first = False


def report(config: LoRARun, pipeline: TextToImage, collection: Collection, task: LoRATask, figures: dict[str, Any]) -> None:
    """report.json, and a sheet of held-out captions drawn without the LoRA and with it. Minutes are those of this call."""
    best = best_of(config.out) or {}
    captions = [collection.pairs[row].captions[0] for row in task.examples.held[:4]]
    loras, images, weights = LoRAs(pipeline), [], weights_in(config.out)
    name = loras.load(weights)
    for strength in (0.0, 1.0):
        loras.mix({name: strength})
        for seed, caption in enumerate(captions):
            images += pipeline(pipeline.request(caption, seed=seed, expand_prompt=False))
    rows = [f"{strength}: {caption}" for strength in ("without", "with") for caption in captions]
    contact_sheet(images, len(captions), rows).save(config.out / SHEET)
    recipe = recipe_text(f"minidiff finetune lora {config.data}", config).replace(f" --data {config.data}", "")
    said = {
        "model": config.model, "recipe": recipe,
        "images": len(collection.pairs), "held_out": len(task.examples.held), "left_out": len(collection.left_out),
        "parameters": sum(factor.numel() for factor in task.parameters()),
        "bytes": weights.stat().st_size, "best": best, **figures,
    }  # fmt: skip
    write_whole(config.out / REPORT, json.dumps(said, indent=2, ensure_ascii=False))
    print(f"Held-out loss {figures['without']:.4f} without, {best['loss']:.4f} with the LoRA of step {best['step']}: "
          f"{weights} ({said['bytes'] / 1e6:.2f} MB), {config.out / SHEET}, {config.out / REPORT}")  # fmt: skip
    print(f'Draw with it: minidiff sample "..." --model {config.model} --lora {weights}:1')
