"""`world-upscaler`: its trainer with the measures by which it is watched."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from minidiff.evaluate.upscaling import compared, extractors, held_out, sheet
from minidiff.models.upscaler import FACTORS
from minidiff.train import upscaler
from minidiff.train.loop import Validator


def upscaler_validators(task: upscaler.UpscalerTask, split: str, count: int) -> list[Validator]:
    """Against bicubic interpolation, on `count` scenes of a split and as many emoji kept from training where there are any:
    PSNR, what was gained, and the ratios of the distances; pictures go onto a sheet."""

    def figures(folder: Path, step: int) -> dict[str, float]:
        device, extract = next(task.parameters()).device, extractors()

        def enlarge(low: Tensor, factor: int) -> Tensor:
            return task.upscaler(low.to(device).contiguous(memory_format=torch.channels_last), factor).float().cpu()

        found, pictures = {}, held_out(count, task.config.emoji, split)
        for kind, images in pictures.items():
            name = kind.replace(", ", "_").removesuffix(" px")
            for factor in FACTORS:
                one = compared(images, enlarge, factor, extract)
                found[f"{name}_x{factor}_psnr"] = one["upscaler"]["psnr"]
                found[f"{name}_x{factor}_gain"] = one["gain"]
                found |= {f"{name}_x{factor}_{extractor}_ratio": ratio for extractor, ratio in one["ratio"].items()}
        folder.mkdir(parents=True, exist_ok=True)
        sheet(pictures, enlarge).save(folder / f"enlarged-{step:06d}.png")
        return found

    return [figures]


def train_upscaler(config: upscaler.UpscalerRun) -> None:
    upscaler.train(config, upscaler_validators)
