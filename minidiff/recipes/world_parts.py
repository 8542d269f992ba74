"""The trainers of `world-clip`, `world-reader`, `world-pixels` and both judges, and how each is watched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minidiff.data.world.corruptions import corrupt
from minidiff.data.world.scenes import SHAPES
from minidiff.evaluate.judge import load_judge
from minidiff.evaluate.portraits import recognised
from minidiff.evaluate.reliability import confirms, looked_at, named, reliability, style_reliability, test_scenes
from minidiff.evaluate.report import reliability_table, style_reliability_table
from minidiff.models.detector import Detector
from minidiff.models.unet import UNet
from minidiff.pipelines.class_to_image import LabelTokenizer, LabelUNet, OneHot, Pixels
from minidiff.pipelines.loading import ready
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pretrained import zoo
from minidiff.recipes.world import world_tokenizer
from minidiff.train import clip, detector, pixels, reader
from minidiff.train.loop import Validator
from minidiff.utils.devices import fastest_dtype
from minidiff.utils.images import contact_sheet, to_images


def train_clip(config: clip.CLIPRun) -> None:
    """Also makes the tokenizer, where the zoo has none."""
    clip.train(config, world_tokenizer(config.out, config.emoji), dependencies=("tokenizer",))


def train_reader(config: reader.ReaderRun) -> None:
    """Also makes its tokenizer, where the zoo has none."""
    name = "reader-tokenizer"
    reader.train(config, world_tokenizer(config.out, name=name), name)


# --- pixels ---------------------------------------------------------------------------------------------------------


def label_pipeline(task: pixels.PixelsTask) -> TextToImage:
    """The model as it is now; a copy, so that training is not disturbed."""
    unet = UNet(task.unet.config)
    unet.load_state_dict(task.unet.state_dict())
    device = next(task.parameters()).device
    dtype = fastest_dtype(device.type)
    network = ready(LabelUNet(unet), device, torch.float32 if device.type == "cpu" else dtype)
    return TextToImage(
        LabelTokenizer(SHAPES), ready(OneHot(len(SHAPES) + 1), device), network, Pixels(), schedule=task.config.schedule,
        prediction_type=task.config.prediction_type, dtype=dtype, batch=64,
    )  # fmt: skip


def sample_labels(task: pixels.PixelsTask, labels: Tensor, seed: int = 0) -> Tensor:
    """One image for each label (B,), from seeds that count up: (B, 3, 32, 32), about -1..1, on the CPU."""
    names, seeds = [SHAPES[label] for label in labels.tolist()], list(range(seed, seed + len(labels)))
    config = task.config
    *_, (_, images, _) = label_pipeline(task).sample(
        names, seeds, [""] * len(names), steps=config.sampling, guidance_scale=config.guidance
    )
    return images.cpu()


def pixel_validators(task: pixels.PixelsTask) -> list[Validator]:
    """A sheet of samples, and the share of them in which the judge recognises the kind."""

    def samples(folder: Path, step: int) -> dict[str, float]:
        config = task.config
        count = config.judged * (5 if step == config.steps else 1)
        labels = torch.arange(len(SHAPES)).repeat(max(4, count))
        images = sample_labels(task, labels)
        folder.mkdir(parents=True, exist_ok=True)
        contact_sheet(to_images(images[: 4 * len(SHAPES)]), len(SHAPES)).save(folder / f"samples-{step:06d}.png")
        if not count or "world-judge" not in zoo.manifest():
            return {}
        return {"recognised": float(recognised(load_judge(), images, labels).float().mean())}

    return [samples]


def train_pixels(config: pixels.PixelsRun) -> None:
    pixels.train(config, pixel_validators)


# --- the judge ------------------------------------------------------------------------------------------------------


def judge_validators(judge: Detector) -> list[Validator]:
    """Accuracy on clean and corrupted renders that training never shows."""

    def figures(folder: Path, step: int) -> dict[str, float]:
        scenes = test_scenes(256, first=1 << 20)
        corrupted = confirms(looked_at(judge, scenes, corrupt))["overall"]
        return {**confirms(looked_at(judge, scenes)), "corrupted_overall": corrupted}

    return [figures]


def style_judge_validators(judge: Detector) -> list[Validator]:
    """On renders in each style that training never shows: how many are right, and whose style is named."""

    def figures(folder: Path, step: int) -> dict[str, float]:
        scenes = test_scenes(64, first=1 << 20)
        shares: dict[str, float] = {}
        for style in judge.config.styles:
            found = list(looked_at(judge, scenes, style=style))
            shares |= {f"{style}_right": confirms(iter(found))["overall"], f"{style}_named": named(found, style)}
        return shares

    return [figures]


def measured_reliability(judge: Detector, count: int) -> dict[str, Any]:
    """`reliability`, printed as a table."""
    figures = reliability(judge, count, quiet=False)
    print(reliability_table(figures, count))
    return figures


def train_judge(config: detector.JudgeRun) -> None:
    detector.train(config, judge_validators, measured_reliability)


def measured_style_reliability(judge: Detector, count: int) -> dict[str, Any]:
    """`style_reliability`, printed as a table."""
    figures = style_reliability(judge, count, quiet=False)
    print(style_reliability_table(figures, count))
    return figures


def train_style_judge(config: detector.StyleJudgeRun) -> None:
    detector.train(config, style_judge_validators, measured_style_reliability)
