"""Train a network to draw in few steps, without guidance: progressive distillation (Salimans & Ho 2022; Meng et al. 2023 with
guidance) and, for comparison, a shortcut model (Frans et al. 2024).

Either way a student, which begins as its teacher, learns to make in one step what the teacher makes in two
(`diffusion/distillation.py`). Progressive: stage after stage with half the steps; the first teacher is guided, each later one
is the student of the stage before. Shortcut: all step sizes at once; the network is told the step's size by one more token
behind the caption, and the average of the student's own weights is the teacher of all but the smallest. What learns is a LoRA,
or with rank 0 every weight of the network; the text encoder stays as it is. Not here: the data, and how students are watched
(recipes/few_steps.py).
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from minidiff.diffusion.distillation import two_step_target
from minidiff.diffusion.guidance import combine
from minidiff.diffusion.losses import diffusion_loss
from minidiff.diffusion.prediction import to_x0_eps
from minidiff.diffusion.schedules import get_schedule
from minidiff.nn.lora import LoRALayer, LoRAMixer, add_lora, factors_of, lora_layers
from minidiff.train.latent_diffusion import Examples
from minidiff.train.loop import Batch, Step, Task
from minidiff.train.options import Count, LoopConfig, Positive, TrainingError, Weight
from minidiff.utils.devices import autocast
from minidiff.utils.validation import Between

FURTHEST = 4.0  # of a shortcut's targets from 0, in deviations of a latent
OWN_AVERAGE = 0.999  # a shortcut's teacher: the average of its own weights
TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "adaln_single.linear", "proj_out")


@dataclass(kw_only=True)
class DistillOptions(LoopConfig):
    """What every distillation may set."""

    model: str = "world-dit"
    """The teacher: a model of the zoo that takes captions."""
    students: tuple[Count, ...] = (8, 4)
    """Steps of the students, one after the other, each half of those before; the teacher makes twice as many as the first."""
    how: Literal["progressive", "shortcut"] = "progressive"
    """progressive: student after student; shortcut: all numbers of steps at once, in a single stage as long as all of them."""
    guidance: Annotated[float, Between(0, 15)] = 3.0
    """The teacher's guidance scale, which the student then needs no more."""
    rank: Annotated[int, Between(0, 256)] = 32
    """Rank of the LoRA that learns; 0: all weights of the network."""
    scenes: Count = 24_576
    """How many scenes are learnt from."""

    steps: Count = 1500
    batch: Count = 32
    lr: Positive = 1e-3
    warmup: Annotated[int, Between(0)] = 30
    weight_decay: Weight = 0.0
    ema: Annotated[float, Between(0, 0.9999999)] = 0.99
    workers: Annotated[int, Between(0, 256)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.students or any(2 * fewer != more for more, fewer in pairwise(self.students)):
            given = " ".join(map(str, self.students)) or "none"
            raise TrainingError(f"--students must be numbers of steps, each half of the one before, as in 8 4 2; not {given}.")


class Student(nn.Module):
    """A network of which a LoRA or everything learns. Only what learns is a module of it, so that checkpoints and averages hold
    nothing else.

    sizes: how many step sizes the network is told apart, 0 for none."""

    def __init__(self, network: Any, rank: int, sizes: int = 0, width: int = 0) -> None:
        super().__init__()
        self.networks = [network]  # a list, so that it isn't registered
        if rank:
            self.learns = nn.ModuleList(layer.update for layer in add_lora(network, rank, targets=targets(network)).values())
        else:
            self.learns = nn.ModuleList([network.requires_grad_(True)])
        self.size = nn.Embedding(sizes, width) if sizes else None
        if self.size is not None:
            nn.init.normal_(self.size.weight, std=0.02)

    def forward(self, x: Tensor, timestep: Tensor, context: Tensor, mask: Tensor, size: Tensor | None = None) -> Tensor:
        """The prediction (B, C, h, w). size (B,): which step size."""
        if self.size is not None and size is not None:
            context = torch.cat([context, self.size(size)[:, None].to(context)], dim=1)                # (B, L + 1, D)
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        return self.networks[0](x, timestep, context, mask)

    def plain(self) -> Any:
        """A frozen copy of the network with what was learnt in its weights."""
        copied = deepcopy(self.networks[0]).requires_grad_(False).eval()
        factors = factors_of(copied)
        if not factors:
            return copied
        for name, layer in lora_layers(copied).items():
            parent, _, last = name.rpartition(".")
            setattr(copied.get_submodule(parent), last, layer.base)
        mixer = LoRAMixer(copied)
        mixer.add("learnt", factors)
        mixer.mix({"learnt": 1.0})
        return copied


def targets(network: nn.Module) -> tuple[str, ...]:
    """Those of TARGETS that the network has."""
    names = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear | LoRALayer)]
    return tuple(target for target in TARGETS if any(name == target or name.endswith(f".{target}") for name in names))


class DistillTask(Task):
    """One stage: the student's loss against `two_step_target`.

    Args:
        config: its `students` are those of this stage: one, or for a shortcut all.
        network: where the student begins. teacher: a frozen network, guided or not.
        text: the frozen text encoder, whose `empty` caption (ids (1, L)) guidance needs.
        kind, schedule: prediction type and noise schedule of both networks.
    """

    def __init__(
        self, config: DistillOptions, network: Any, teacher: Any, guided: bool, text: Any, empty: Tensor, examples: Examples,
        kind: str, schedule: str,
    ) -> None:  # fmt: skip
        super().__init__()
        torch.manual_seed(config.seed)
        self.config, self.examples, self.kind, self.schedule = config, examples, kind, get_schedule(schedule)
        self.guided, self.empty = guided, empty
        sizes = len(config.students) if config.how == "shortcut" else 0
        self.student = Student(network, config.rank, sizes, text.config.hidden_size)
        self.slow = deepcopy(self.student).requires_grad_(False) if sizes else None
        self.frozen = [teacher, text]  # a list, so that no checkpoint holds them

    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        return self.examples.make_batch(index, size, seed)

    def context(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Vectors (B, L, D) and mask (B, L) of the captions."""
        with torch.no_grad():
            return self.frozen[1](batch["ids"], batch["mask"]).sequence, batch["mask"]

    def teacher(self, context: Tensor, mask: Tensor) -> Any:
        """The teacher as a denoiser for times (B,), guided where it is."""
        network, schedule, kind, scale = self.frozen[0], self.schedule, self.kind, self.config.guidance
        if self.guided:
            ids = self.empty.to(mask.device)
            nothing = self.frozen[1](ids, torch.ones_like(ids, dtype=torch.bool)).sequence                  # (1, L', D)
            room = context.shape[1] - nothing.shape[1]
            both = torch.cat([context, nn.functional.pad(nothing, (0, 0, 0, room)).expand_as(context)])     # (2B, L, D)
            told = torch.arange(context.shape[1], device=mask.device) < nothing.shape[1]
            masks = torch.cat([mask, told.expand_as(mask)])

        def denoise(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
            timestep = schedule.timestep(t)
            if self.guided:
                prediction = network(torch.cat([x, x]), torch.cat([timestep, timestep]), both, masks)
                conditional, unconditional = prediction.chunk(2)
                prediction = combine(conditional, unconditional, scale)
            else:
                prediction = network(x, timestep, context, mask)
            return to_x0_eps(schedule, kind, prediction, x, t)

        return denoise

    def own_average(self, context: Tensor, mask: Tensor, size: Tensor) -> Any:
        """A shortcut's own average as the denoiser of the next smaller steps."""

        def denoise(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
            prediction = self.slow(x, self.schedule.timestep(t), context, mask, size - 1)   # type: ignore[misc]
            return to_x0_eps(self.schedule, self.kind, prediction, x, t)

        return denoise

    @torch.no_grad()
    def targets(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, ...]:
        """(x, t, target x0, context, mask, size) of a batch: times are the beginnings of a student's steps."""
        x0, (context, mask) = batch["latents"], self.context(batch)
        steps = torch.tensor(self.config.students)
        size = torch.randint(len(steps), (len(x0),), generator=generator)                       # (B,)
        turn = torch.rand(len(x0), generator=generator)
        t = ((turn * steps[size]).floor() + 1) / steps[size]                                    # 1/N, 2/N, ..., 1
        s = t - 1 / steps[size]
        eps = torch.randn(x0.shape, generator=generator).to(x0.device)
        t, s, size = (values.to(x0.device) for values in (t, s.clamp(min=0), size))
        x = self.schedule.mix(x0, eps, t)
        if self.slow is None:
            aim = two_step_target(self.schedule, self.teacher(context, mask), x, t, s)
        else:
            aim = torch.empty_like(x)
            for rows, average in ((size == 0, False), (size > 0, True)):
                if rows.any():
                    given = (context[rows], mask[rows])
                    teacher = self.own_average(*given, size[rows]) if average else self.teacher(*given)
                    aim[rows] = two_step_target(self.schedule, teacher, x[rows], t[rows], s[rows])
        return x, t, aim.clamp(-FURTHEST, FURTHEST) if self.slow is not None else aim, context, mask, size

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        x, t, aim, context, mask, size = self.targets(batch, generator)
        prediction = self.student(x, self.schedule.timestep(t), context, mask, None if self.slow is None else size)
        _, eps = to_x0_eps(self.schedule, "x0", aim, x, t)
        return diffusion_loss(prediction, aim, eps, t, self.schedule, self.kind)

    def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        if self.slow is not None and self.training:
            with torch.no_grad():
                pairs = zip(self.slow.parameters(), self.student.parameters(), strict=True)
                for average, value in pairs:
                    average.lerp_(value, 1 - OWN_AVERAGE)
        return self.loss(batch, step.generator), {}

    @torch.no_grad()
    def validate(self, folder: Path, step: int) -> dict[str, float]:
        """The loss on a held-out batch, with noise and times that never change."""
        device = next(self.parameters()).device
        batch = {name: value.to(device) for name, value in next(iter(self.examples.held_out())).items()}
        with autocast(device):
            return {"loss": float(self.loss(batch, torch.Generator().manual_seed(0)))}
