"""`minidiff finetune lcm DATA`: a LoRA with which a published model draws in four steps (Luo et al. 2023, "LCM-LoRA").

Latent consistency distillation: wherever on the way from noise to picture the student is asked, it should name the same end.
So its answer at time t is held to its own (averaged) answer a little further down, at s, where the guided teacher's one DDIM
step leads. Guidance of a random strength is distilled along. What it is not: progressive distillation (train/distill.py), which
fits a model that is known by heart better; this one needs no stages. Taught in the lesson on few steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from minidiff.diffusion.distillation import consistency_scalings, pseudo_huber
from minidiff.diffusion.guidance import combine
from minidiff.diffusion.prediction import to_x0_eps
from minidiff.diffusion.samplers import step as ddim_step
from minidiff.diffusion.schedules import per_example
from minidiff.finetune.learners import LoRALearner
from minidiff.finetune.options import FineTuneRun, LoRAOptions
from minidiff.finetune.run import finetune_folder
from minidiff.finetune.task import NOISES, FineTuneTask
from minidiff.nn.lora import LoRALayer, lora_layers
from minidiff.train.loop import Batch, Step
from minidiff.train.options import Count, Positive, Share, TrainingError
from minidiff.utils.validation import Between

WIDE = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out", "conv1", "conv2",
        "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv", "time_emb_proj")  # fmt: skip


@dataclass
class LCMRun(LoRAOptions, FineTuneRun):
    """Teach a model to draw in four steps by latent consistency distillation, as a LoRA (LCM-LoRA)."""

    command: ClassVar[str] = "lcm"

    out: Path = Path("runs/lcm")
    steps: Count = 4000
    lr: Positive = 1e-4
    rank: Count = 64
    targets: tuple[str, ...] = WIDE
    caption_dropout: Share = 0.0
    grid: Annotated[int, Between(2, 1000)] = 50
    """The teacher's DDIM steps from noise to picture; the student's answers a step apart are held together."""
    weakest: Annotated[float, Between(0, 15)] = 5.0
    """Least guidance that is distilled, as a weight w of prompt less no prompt; scale w + 1 elsewhere."""
    strongest: Annotated[float, Between(0, 15)] = 15.0
    """Most guidance that is distilled."""
    huber: Positive = 1e-3
    """The loss is near the absolute error for errors much larger than this."""
    average: Annotated[float, Between(0, 0.9999999)] = 0.95
    """The student is held to an average of its own weights that remembers so much at each step."""
    sample_steps: tuple[Count, ...] = (4,)
    sample_guidance: float | None = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.strongest < self.weakest:
            raise TrainingError(f"--strongest {self.strongest:g} is below --weakest {self.weakest:g}.")
        if self.text:
            raise TrainingError("--text is of no use here: student and teacher read the same captions.")


@contextmanager
def updates(layers: list[LoRALayer], chosen: Any) -> Iterator[None]:
    """Within it, the layers have the updates `chosen`, or none at all where that is None."""
    own = [layer.update for layer in layers]
    for k, layer in enumerate(layers):
        layer.strength = float(chosen is not None)
        if chosen is not None:
            layer.update = chosen[k]
    try:
        yield
    finally:
        for layer, update in zip(layers, own, strict=True):
            layer.update, layer.strength = update, 1.0


class LCMTask(FineTuneTask):
    """The consistency loss of one LoRA."""

    config: LCMRun

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.layers = list(lora_layers(self.pipeline.network).values())
        self.average = nn.ModuleList(deepcopy(layer.update) for layer in self.layers).requires_grad_(False)

    def consistent(self, x: Tensor, t: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        """Where the network says that x (B, ...) at times t (B,) comes from."""
        x0, _ = to_x0_eps(self.schedule, self.kind, self.network(x, t, context, mask), x, t)
        skip, out = (per_example(share, x) for share in consistency_scalings(t))
        return skip * x + out * x0

    def network(self, x: Tensor, t: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        return self.pipeline.network(x, self.schedule.timestep(t), context, mask)[:, : x.shape[1]].float()

    @torch.no_grad()
    def one_step(self, x: Tensor, t: Tensor, s: Tensor, w: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        """x at times s, by the guided teacher's DDIM step from times t."""
        nothing, told = self.pipeline.encode([""])
        room = context.shape[1] - nothing.shape[1]
        nothing, told = nn.functional.pad(nothing, (0, 0, 0, room)), nn.functional.pad(told, (0, room))
        both = torch.cat([context, nothing.to(context).expand_as(context)])
        masks = torch.cat([mask, told.to(mask.device).expand_as(mask)])
        with updates(self.layers, None):
            pair = self.network(torch.cat([x, x]), torch.cat([t, t]), both, masks)
        conditional, unconditional = pair.chunk(2)
        guided = combine(conditional, unconditional, per_example(1 + w, x))     # type: ignore[arg-type]
        return ddim_step(self.schedule, *to_x0_eps(self.schedule, self.kind, guided, x, t), t, s)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        x0, config = batch["latents"], self.config
        context, mask = self.context(batch)
        number = torch.randint(config.grid, (len(x0),), generator=generator) + 1
        strength = config.weakest + (config.strongest - config.weakest) * torch.rand(len(x0), generator=generator)
        eps = torch.randn(x0.shape, generator=generator).to(x0.device)
        t, s = ((values / config.grid).to(x0.device) for values in (number, number - 1))                # (B,)
        x = self.schedule.mix(x0, eps, t)
        ahead = self.one_step(x, t, s, strength.to(x0.device), context, mask)
        with torch.no_grad(), updates(self.layers, self.average):
            aim = self.consistent(ahead, s, context, mask)
        return pseudo_huber(self.consistent(x, t, context, mask), aim, config.huber)

    def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            for average, layer in zip(self.average, self.layers, strict=True):
                for kept, value in zip(average.parameters(), layer.update.parameters(), strict=True):
                    kept.lerp_(value, 1 - self.config.average)
        return self.loss(batch, step.generator), {}

    @torch.no_grad()
    def held_out(self) -> dict[str, float]:
        """The loss on what is held back, over times and noises that never change. A student that says the same everywhere has
        no loss either: look at the sheet."""
        device = next(self.parameters()).device
        batch = {name: value.to(device) for name, value in self.examples.held_out().items()}
        losses = [self.loss(batch, torch.Generator().manual_seed(number)) for number in range(NOISES)]
        return {"loss": float(torch.stack(losses).mean())}


def finetune_lcm(config: LCMRun) -> None:
    """Raises as `run.finetune_folder`."""
    finetune_folder(config, lambda pipeline: LoRALearner(pipeline, config), make_task=LCMTask)
