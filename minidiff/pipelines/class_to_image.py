"""Pictures of one kind of thing each, asked for by its name: what stands where a text model has its words and its VAE.

A class-conditional network (the first lessons' U-Net on pixels) is told a label, not a text. Here are its four parts as
`TextToImage` wants them: a tokenizer that knows the names of kinds, a tower that makes a label a vector, the network
itself with labels for captions, and pictures in the place of latents. What it is not: a reader of sentences.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff.data.world.captions import COUNTS_EN, COUNTS_VI, SHAPES_EN, SHAPES_VI, strip_accents
from minidiff.models.clip import TowerOutput
from minidiff.models.unet import UNet, UNetConfig
from minidiff.pipelines.request import RequestError
from minidiff.text.tokenizer import words_of

ARTICLES = {"the", "an", *COUNTS_EN[1], *COUNTS_VI[1], *map(strip_accents, COUNTS_VI[1])}


def names_of(kind: str) -> set[str]:
    """What a kind is called, in English, singular and plural, and in Vietnamese, with its accents and without."""
    english = {form for forms in SHAPES_EN.get(kind, ()) for form in forms}
    vietnamese = set(SHAPES_VI.get(kind, ()))
    return {kind, *english, *vietnamese, *map(strip_accents, vietnamese)}


def called(kind: str) -> str:
    """A kind in both languages: "star (ngôi sao)"."""
    return f"{kind} ({SHAPES_VI[kind][0]})" if kind in SHAPES_VI else kind


class KindNames:
    """A tokenizer whose only tokens are kinds: "star", "a star", "ngôi sao" and "một ngôi sao" are one of them.

    labels: the kinds, in the order of the network's classes; the class after the last stands for no kind.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self.numbers = {name: number for number, kind in enumerate(labels) for name in names_of(kind)}

    def number(self, text: str) -> int | None:
        """The class that a text names; the one of no kind for an empty text, None for any other text."""
        words = words_of(text)
        if not words:
            return len(self.labels)
        names = (" ".join(part) for part in (words, words[1:] if words[0] in ARTICLES else ()))
        return next((self.numbers[name] for name in names if name in self.numbers), None)

    def encode(self, texts: Sequence[str], /) -> tuple[Tensor, Tensor | None]:
        """Labels (B, 1), and no mask. Raises RequestError, a ValueError, that lists the kinds for a text that names none."""
        found = [(text, self.number(text)) for text in texts]
        for text, number in found:
            if number is None:
                shown = repr(text if len(text) <= 40 else text[:37] + "...")
                raise RequestError("kind", given=shown, allowed=", ".join(map(called, self.labels)))
        return torch.tensor([[number] for _, number in found]), None

    def tokens(self, text: str, /) -> list[str]:
        """The kind that is named, if one is."""
        number = self.number(text)
        return [] if number is None else list(self.labels[number : number + 1])

    def unknown_words(self, text: str, /) -> list[str]:
        """All words of a text that names no kind."""
        return list(dict.fromkeys(words_of(text))) if self.number(text) is None else []


class OneHot(nn.Module):
    """Labels as vectors: 1 in the label's own place, 0 elsewhere."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.table = nn.Embedding.from_pretrained(torch.eye(classes))

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> TowerOutput:
        """ids (B, 1) to a sequence (B, 1, classes) and pooled (B, classes)."""
        vectors = self.table(ids)
        return TowerOutput(vectors, vectors[:, 0])


class LabelUNet(nn.Module):
    """A class-conditional U-Net, called as a network that reads captions is: its caption is one label's vector."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.unet = unet

    @property
    def config(self) -> UNetConfig:
        return self.unet.config

    def packed(self, dtype: torch.dtype = torch.float32) -> LabelUNet:
        """See UNet.packed."""
        return LabelUNet(self.unet.packed(dtype))

    def prepare_context(self, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """context (B, 1, classes) to labels (B,)."""
        return context[:, 0].argmax(dim=-1)

    def forward(self, x: Tensor, timestep: Tensor, labels: Tensor) -> Tensor:
        """x (B, C, H, W), timestep (B,) or (1,), labels (k B,) for k predictions of each x: (k B, C, H, W)."""
        return self.unet(x.repeat(len(labels) // len(x), 1, 1, 1), timestep, labels=labels)


class Pixels(nn.Module):
    """A VAE that does nothing: the network works on pixels. Only what is shown is enlarged, dot by dot.

    scale: how many times larger the picture is than what the network sees.
    """

    def __init__(self, scale: int = 4) -> None:
        super().__init__()
        self.scale = scale

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (B, 3, H, W) to (B, 3, H/scale, W/scale), and a log-variance of none."""
        mean = F.avg_pool2d(x, self.scale)
        return mean, torch.full_like(mean, -30.0)

    def decode(self, z: Tensor) -> Tensor:
        """(B, 3, h, w) to (B, 3, scale h, scale w)."""
        return F.interpolate(z, scale_factor=self.scale, mode="nearest")
