"""Text-to-image training in the space of latents: all that a DiT and a U-Net have in common, on any data.

The task joins a network, a text encoder, examples (latents with tokens) and an objective. Not here: the data, the captions and
their dropout (recipes/world.py), the sizes of the networks and the stages of a training (recipes/recipe.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import torch
from torch import Tensor, nn

from minidiff.diffusion.losses import diffusion_loss, example_losses, sample_times
from minidiff.diffusion.schedules import get_schedule
from minidiff.diffusion.timesteps import shifted
from minidiff.models.clip import TextEncoder, TowerOutput
from minidiff.train.loop import Batch, Step, Task
from minidiff.utils.devices import autocast
from minidiff.utils.validation import Between

TextTrainable = Literal["all", "last", "none"]


@dataclass(frozen=True)
class Objective:
    """What is predicted, and at which times.

    times: how they are sampled (`losses.sample_times`). shift: above 1 it pushes them towards the noise, where it is settled
    what stands where (`timesteps.shifted`).
    """

    schedule: Literal["cosine", "linear", "scaled_linear", "flow"] = "cosine"
    prediction_type: Literal["v", "eps", "x0", "flow"] = "v"
    times: Literal["uniform", "stratified", "logit_normal"] = "stratified"
    shift: Annotated[float, Between(0, above=True)] = 1.0

    def sample_times(self, count: int, generator: torch.Generator) -> Tensor:
        """Times to train on, (count,) in [0, 1]."""
        return shifted(sample_times(count, self.times, generator), self.shift)


class Examples(Protocol):
    """Data: latents with their texts, as batches of latents (B, C, h, w), ids and mask (B, L), and what auxiliary losses
    need."""

    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        """Always the same batch for the same arguments."""

    def held_out(self) -> Iterable[Batch]:
        """Validation batches, always the same ones."""


class AuxLoss(Protocol):
    """A further loss: (the text encoder's output, inner tokens (B, N, D), batch) to (loss, figures)."""

    def __call__(self, text: Any, tokens: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]: ...


def set_text_trainable(text: TextEncoder, how: TextTrainable) -> None:
    """Which of the text encoder's weights learn: all, those of its last layer and norm, or none. The network reads the sequence
    and not the projection, which therefore never learns here."""
    text.requires_grad_(how == "all")
    text.text_projection.requires_grad_(False)
    if how == "last":
        text.text_model.encoder.layers[-1].requires_grad_(True)
        text.text_model.final_layer_norm.requires_grad_(True)


class LatentDiffusionTask(Task):
    """A network that takes captions and predicts latents, and its text encoder as far as that is trained. A subclass may `read`
    captions from elsewhere.

    Args:
        network: forward(x, timestep, context, mask) -> (B, C, h, w).
        inner_layer: the layer of it whose output the auxiliary losses get; None for none.
        aux: {name: (weight, loss)}. Losses of weight 0 are left out: in several processes, heads without a loss would wait for
            gradients that never come.
    """

    def __init__(
        self,
        network: Any,
        text: Any,
        examples: Examples,
        objective: Objective,
        inner_layer: nn.Module | None = None,
        aux: Mapping[str, tuple[float, nn.Module]] | None = None,
    ) -> None:
        super().__init__()
        self.network, self.text, self.examples, self.objective = network, text, examples, objective
        self.schedule = get_schedule(objective.schedule)
        used = {name: row for name, row in (aux or {}).items() if row[0] > 0}
        self.weights = {name: weight for name, (weight, _) in used.items()}
        self.aux = nn.ModuleDict({name: loss for name, (_, loss) in used.items()})
        self.tokens: Any = None
        if inner_layer is not None:
            inner_layer.register_forward_hook(self._remember)

    def _remember(self, layer: nn.Module, inputs: Any, output: Tensor) -> None:
        """Keeps what the inner layer gave, (B, N, D), for the auxiliary losses."""
        self.tokens = output if output.ndim == 3 else output.flatten(2).transpose(1, 2)

    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        return self.examples.make_batch(index, size, seed)

    def read(self, batch: Batch) -> TowerOutput:
        """What the text encoder makes of a batch's captions."""
        return self.text(batch["ids"], batch["mask"])

    def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        x0, mask = batch["latents"], batch["mask"]
        t = self.objective.sample_times(len(x0), step.generator).to(x0.device)                  # (B,)
        eps = torch.randn(x0.shape, generator=step.generator).to(x0.device)
        text = self.read(batch)
        prediction = self.network(self.schedule.mix(x0, eps, t), self.schedule.timestep(t), text.sequence, mask)
        total = loss = diffusion_loss(prediction, x0, eps, t, self.schedule, self.objective.prediction_type)
        figures = {"diffusion": loss}
        for name, aux in self.aux.items():
            extra, shares = aux(text, self.tokens, batch)
            total, figures = total + self.weights[name] * extra, {**figures, **shares}
        return total, figures

    def validate(self, folder: Path, step: int) -> dict[str, float]:
        return {"loss": self.fixed_noise_loss()}

    @torch.no_grad()
    def fixed_noise_loss(self) -> float:
        """The loss on validation examples whose captions, times and noise never change: comparable from step to step."""
        device, losses, kind = next(self.parameters()).device, [], self.objective.prediction_type
        for number, batch in enumerate(self.examples.held_out()):
            generator = torch.Generator().manual_seed(128 * number)
            batch = {name: value.to(device) for name, value in batch.items()}
            x0, mask = batch["latents"], batch["mask"]
            t = sample_times(len(x0), "stratified", generator).to(device)
            eps = torch.randn(x0.shape, generator=generator).to(device)
            with autocast(device):
                text = self.read(batch).sequence
                prediction = self.network(self.schedule.mix(x0, eps, t), self.schedule.timestep(t), text, mask)
            losses.append(example_losses(prediction, x0, eps, t, self.schedule, kind))
        return float(torch.cat(losses).mean())
