"""A detector of centres after CenterNet (Zhou et al. 2019, "Objects as Points"): for each cell of a map, whether a thing has
its centre there, of which kind and colour, and how large it is. The judges (`evaluate/judge.py`) have 0.8 M parameters; one of
them also tells styles apart, by the means and deviations of early maps (Huang & Belongie 2017: they are an image's style)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class DetectorConfig:
    """Names that the outputs stand for (they are kept with the weights), and widths."""

    kinds: tuple[str, ...]
    colours: tuple[str, ...]
    settings: tuple[str, ...]
    styles: tuple[str, ...] = ()
    image_size: int = 128
    channels: int = 96
    depth: int = 8


@dataclass
class DetectorOutput:
    """Maps of (H, W) cells for B images, and three outputs for each whole image."""

    heat: Tensor  # (B, H, W) logit that a thing's centre lies here
    kind: Tensor  # (B, kinds, H, W) logits
    colour: Tensor  # (B, colours, H, W) logits
    place: Tensor  # (B, 3, H, W) the centre's x and y from the middle of the cell, in cells; radius in widths of the image
    setting: Tensor  # (B, settings) logits
    features: Tensor  # (B, 24 + channels) maxima of the first layer (sharpness), averages of the last (contents); for FD-mini
    style: Tensor | None = None  # (B, styles) logits; None when it knows no styles


def _convolution(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU())


def textures(maps: list[Tensor]) -> Tensor:
    """Mean and standard deviation of each channel, over where it is in the image: (B, 2 C), C channels in all maps."""
    values = [one.float().flatten(2) for one in maps]
    return torch.cat([f(v) for v in values for f in (lambda v: v.mean(2), lambda v: (v.var(2) + 1e-5).sqrt())], dim=1)


class Detector(nn.Module):
    """`forward(x)`: x (B, 3, S, S) in 0..1; returns `DetectorOutput` with S / 8 cells a side."""

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        self.stem = nn.Sequential(*(_convolution(*c) for c in ((3, 24, 2), (24, 48, 2), (48, 48), (48, width, 2))))
        self.trunk = nn.ModuleList(_convolution(width, width) for _ in range(config.depth))
        self.parts = (1, len(config.kinds), len(config.colours), 3)
        self.head = nn.Conv2d(width, sum(self.parts), 1)
        self.setting = nn.Linear(2 * width, len(config.settings))
        if config.styles:
            self.style = nn.Linear(2 * (24 + 48 + 48 + width), len(config.styles))
        nn.init.constant_(self.head.bias[:1], -4.0)  # type: ignore[index]  # few cells are centres

    def forward(self, x: Tensor) -> DetectorOutput:
        *early, x = self.feature_maps(x)
        heat, kind, colour, place = self.head(x).float().split(self.parts, dim=1)
        place = torch.cat([place[:, :2], 0.15 + 0.05 * place[:, 2:]], dim=1)                # radii are about 0.15
        mean, most = x.float().mean(dim=(2, 3)), x.float().amax(dim=(2, 3))                 # (B, C) each
        style = self.style(textures(early)) if self.config.styles else None
        features = torch.cat([early[0].float().amax(dim=(2, 3)), mean], dim=1)
        return DetectorOutput(heat[:, 0], kind, colour, place, self.setting(torch.cat([mean, most], dim=1)), features, style)

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """The output of each layer of the stem, then the trunk's: x (B, 3, S, S) in 0..1 to five maps (B, C, H, W)."""
        x = x.contiguous(memory_format=torch.channels_last) * 2 - 1
        maps = []
        for layer in self.stem:
            maps.append(x := layer(x))
        for layer in self.trunk:
            x = x + layer(x)
        return [*maps, x]                                                                   # the last: (B, C, S/8, S/8)
