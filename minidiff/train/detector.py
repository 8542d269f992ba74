"""Train `world-judge`: renders of a split of seeds that no generator sees, with small faults, so that it grades what an image
shows and not how cleanly it was made; and `world-style-judge`, which begins as a copy of it and sees all styles. Not here: the
network (`models/detector.py`) and its measures (`evaluate/reliability.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from minidiff.data.world.corruptions import corrupt
from minidiff.data.world.layout import layout
from minidiff.data.world.random_scenes import SPLITS, scene_at
from minidiff.data.world.rendering import ALL_STYLES, FLAT, render
from minidiff.data.world.scenes import COLOURS, SETTINGS, SHAPES, WORLD_VERSION
from minidiff.models.detector import Detector, DetectorConfig, DetectorOutput, textures
from minidiff.pretrained import zoo
from minidiff.train.loop import Batch, Step, Task, Validator, fit, mix_seed
from minidiff.train.options import Count, LoopConfig, Positive, Share, TrainingError, recipe_text
from minidiff.train.publish import keep
from minidiff.utils.validation import Between

MOST = 8             # room for this many things per picture; the world draws at most 5


@dataclass
class JudgeRun(LoopConfig):
    """Train the judge of prompt following (about 8 minutes on one CPU core)."""

    afterwards: ClassVar[tuple[str, ...]] = ("tested",)

    out: Path = Path("runs/world-judge")
    steps: Count = 1500
    batch: Count = 32
    lr: Positive = 3e-3
    warmup: Annotated[int, Between(0)] = 100
    clip: Positive = 5.0
    ema: Annotated[float, Between(0, 0.9999999)] = 0.99
    workers: Annotated[int, Between(0, 256)] = 0
    validate_every: Count = 250
    channels: Annotated[int, Between(1, 4096)] = 96
    depth: Annotated[int, Between(1, 100)] = 8
    chance: Share = 0.4
    """Probability of each of five faults (blur, grain, colour cast, compression, wobble) in a training image."""
    tested: Count = 2000
    """Fresh renders on which the finished judge is measured."""

    name: ClassVar[str] = "world-judge"
    styles: ClassVar[tuple[str, ...]] = ()
    """The styles that it sees and learns to tell apart; none: flat images alone."""
    start: ClassVar[str | None] = None
    """The judge whose weights it begins with."""


@dataclass
class StyleJudgeRun(JudgeRun):
    """Train the judge of images in the drawn world's styles, which begins as a copy of world-judge (about 10 minutes on one CPU
    core)."""

    afterwards: ClassVar[tuple[str, ...]] = ("tested", "settled")

    out: Path = Path("runs/world-style-judge")
    steps: Count = 600
    lr: Positive = 2e-3
    tested: Count = 250
    """Fresh renders in each style on which the finished judge is measured."""
    settled: Count = 200
    """Renders in each style from whose textures it learns to name styles, when all else is learnt."""

    name: ClassVar[str] = "world-style-judge"
    styles: ClassVar[tuple[str, ...]] = ALL_STYLES
    start: ClassVar[str | None] = "world-judge"


@dataclass
class Examples:
    """B pictures and what is in them. image (B, 3, S, S) in 0..1; things (B, 8, 5): x, y and radius in widths of the
    picture, index of kind, index of colour; there (B, 8) bool: which rows are things; setting, style (B,) indices."""

    image: Tensor
    things: Tensor
    there: Tensor
    setting: Tensor
    style: Tensor


def examples(first: int, count: int, size: int = 128, styles: Sequence[str] = (FLAT,)) -> Examples:
    """Scenes number `first` to `first + count - 1` of the judge's split, drawn in `styles` by turns."""
    style = (first + torch.arange(count)) % len(styles)
    image = torch.empty(count, 3, size, size)
    things, there = torch.zeros(count, MOST, 5), torch.zeros(count, MOST, dtype=torch.bool)
    settings = []
    for k in range(count):
        scene = scene_at(first + k, "judge")
        image[k] = torch.from_numpy(np.array(render(scene, size, styles[int(style[k])]).image)).permute(2, 0, 1) / 255
        for i, thing in enumerate(layout(scene)):
            group = scene.groups[thing.group]
            names = SHAPES.index(group.kind), COLOURS.index(group.colour or "")
            things[k, i] = torch.tensor([thing.x, thing.y, thing.radius, *names])
            there[k, i] = True
        settings.append(SETTINGS.index(scene.setting or ""))
    return Examples(image, things, there, torch.tensor(settings), style)


def heat_map(things: Tensor, there: Tensor, cells: int) -> tuple[Tensor, Tensor, Tensor]:
    """The heat that a perfect judge would give, and whose cell each cell is.

    things (B, N, 5), there (B, N). Returns heat (B, H, W), a Gaussian of one cell around each centre's cell, exactly 1
    in it; nearest (B, H, W), index of the thing whose centre's cell is nearest; close (B, H, W), whether that is this
    cell or one beside it: those cells learn names and place, not the middle one alone.
    """
    centre = (things[..., :2] * cells).floor().clamp(0, cells - 1)                          # (B, N, 2)
    row, column = torch.meshgrid(*[torch.arange(cells, device=things.device)] * 2, indexing="ij")
    step = torch.stack([column, row], dim=-1) - centre[:, :, None, None]                    # (B, N, H, W, 2)
    distance = step.square().sum(-1).masked_fill(~there[:, :, None, None], 1e6)             # (B, N, H, W)
    least, nearest = distance.min(dim=1)
    return torch.exp(-least / 2), nearest, least <= 2


def loss(maps: DetectorOutput, batch: Examples) -> dict[str, Tensor]:
    """The parts of the judge's loss, each a scalar; their sum is minimised.

    heat: the focal loss for centres (Zhou et al. 2019, eq. 1); kind, colour, setting, style: cross-entropy; place: smooth L1.
    """
    cells = maps.heat.shape[-1]
    heat, nearest, close = heat_map(batch.things, batch.there, cells)
    rows = torch.arange(len(heat), device=heat.device)[:, None, None].expand_as(nearest)
    things = batch.things[rows, nearest]                                                    # (B, H, W, 5)
    parts = {"heat": focal_loss(maps.heat, heat)}
    parts["kind"] = F.cross_entropy(maps.kind.movedim(1, -1)[close], things[close][:, 3].long())
    parts["colour"] = F.cross_entropy(maps.colour.movedim(1, -1)[close], things[close][:, 4].long())
    index = torch.stack(torch.meshgrid(*[torch.arange(cells, device=heat.device)] * 2, indexing="xy"), dim=-1)
    wanted = torch.cat([things[..., :2] * cells - index - 0.5, (things[..., 2:3] - 0.15) / 0.05], dim=-1)
    place = maps.place.movedim(1, -1)
    given = torch.cat([place[..., :2], (place[..., 2:] - 0.15) / 0.05], dim=-1)
    parts["place"] = F.smooth_l1_loss(given[close], wanted[close], beta=0.2)
    parts["setting"] = F.cross_entropy(maps.setting, batch.setting) * 0.5
    if maps.style is not None:
        parts["style"] = F.cross_entropy(maps.style, batch.style) * 0.5
    return parts


def focal_loss(logits: Tensor, heat: Tensor) -> Tensor:
    """Penalty-reduced focal loss of centre maps, both (B, H, W), per centre (Zhou et al. 2019, eq. 1, a = 2, b = 4)."""
    p, sure = logits.sigmoid(), F.logsigmoid(logits)
    hits = (1 - p) ** 2 * sure
    misses = (1 - heat) ** 4 * p**2 * (sure - logits)                                       # log(1 - p)
    centres = heat == 1
    return -torch.where(centres, hits, misses).sum() / centres.sum().clamp(min=1)


# --- the run --------------------------------------------------------------------------------------------------------


class JudgeTask(Task):
    """The judge, its corrupted renders and its loss."""

    def __init__(self, config: JudgeRun) -> None:
        super().__init__()
        self.config = config
        widths = {"channels": config.channels, "depth": config.depth}
        self.judge = Detector(DetectorConfig(SHAPES, COLOURS, SETTINGS, config.styles, **widths))
        if config.start:
            _, weights = zoo.load(config.start)
            self.judge.load_state_dict({**self.judge.state_dict(), **weights})
        self.judge.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def make_batch(self, index: int, size: int, seed: int) -> Batch:
        if (index + 1) * size > SPLITS["judge_test"] - SPLITS["judge"]:
            raise TrainingError("The run is so long that it would train on the renders kept for measuring the judge.")
        styles = self.config.styles or (FLAT,)
        drawn = examples(index * size, size, self.judge.config.image_size, styles)
        generator = torch.Generator().manual_seed(mix_seed(seed, index))
        with torch.autocast("cpu", enabled=False):  # without workers this runs inside the loop's autocast
            return {**vars(drawn), "image": corrupt(drawn.image, generator, self.config.chance)}

    def forward(self, batch: Batch, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        parts = loss(self.judge(batch["image"]), Examples(**batch))
        return torch.stack(list(parts.values())).sum(), parts


@torch.no_grad()
def settle_styles(judge: Detector, first: int, each: int, chance: float, shrink: float = 0.1) -> None:
    """The layer that names styles in closed form, from the textures of `each` true images of every style with small faults: it
    names the style whose mean is nearest by Mahalanobis's distance (Fisher 1936), which is linear in the textures since all
    styles share one covariance. shrink: share of the covariance's diagonal that is mixed in, since examples are few."""
    styles = judge.config.styles
    generator, parts, labels = torch.Generator().manual_seed(0), [], []
    for start in range(0, each * len(styles), 60):
        drawn = examples(first + start, min(60, each * len(styles) - start), judge.config.image_size, styles)
        parts.append(textures(judge.feature_maps(corrupt(drawn.image, generator, chance))[:4]).double())
        labels.append(drawn.style)
    found, label = torch.cat(parts), torch.cat(labels)                                      # (N, D), (N,)
    means = torch.stack([found[label == k].mean(0) for k in range(len(styles))])            # (styles, D)
    apart = found - means[label]
    covariance = apart.T @ apart / len(apart)
    covariance = (1 - shrink) * covariance + shrink * torch.diag(covariance.diag()) + 1e-8 * torch.eye(len(covariance))
    weight = torch.linalg.solve(covariance, means.T).T                                      # (styles, D)
    judge.style.weight.copy_(weight)
    judge.style.bias.copy_(-0.5 * (weight * means).sum(1))


def train(
    config: JudgeRun,
    validators: Callable[[Detector], Sequence[Validator]],
    reliability: Callable[[Detector, int], dict[str, Any]],
) -> None:
    """Train, measure on fresh renders, and keep the averaged weights with what was measured."""
    torch.manual_seed(config.seed)  # for the first weights
    task = JudgeTask(config)
    training = fit(task, config, validators(task.judge))
    if not training.finished(config):
        return
    training.ema.copy_to(task)
    judge = task.judge.cpu().eval()
    if isinstance(config, StyleJudgeRun):
        settle_styles(judge, training.images_seen(config), config.settled, config.chance)
    keep(
        config.out,
        config.name,
        judge.state_dict(),
        asdict(judge.config),
        to_zoo=config.publish,
        recipe=recipe_text(f"minidiff train {config.name}", config),
        images_seen=training.images_seen(config),
        world_version=WORLD_VERSION,
        figures=reliability(judge, config.tested),
    )
