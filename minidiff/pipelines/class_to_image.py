"""A class-conditional network as a text-to-image model: the prompt names one thing, such as "star" or "ngôi sao".

Here are the four parts that `TextToImage` needs: a tokenizer that knows the names of the classes, a text encoder that makes
one-hot vectors, a network that takes them as its captions, and pixels in the place of latents.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff.data.world.captions import COUNTS_EN, COUNTS_VI, SHAPES_EN, SHAPES_VI, strip_accents
from minidiff.inference import Context, Prepared, prepare
from minidiff.models.clip import TowerOutput
from minidiff.models.unet import UNet, UNetConfig
from minidiff.pipelines.request import RequestError
from minidiff.text.tokenizer import words_of

ARTICLES = {"the", "an", *COUNTS_EN[1], *COUNTS_VI[1], *map(strip_accents, COUNTS_VI[1])}


def names_of(label: str) -> set[str]:
    """The names of a class: English, singular and plural, and Vietnamese, with accents and without."""
    english = {form for forms in SHAPES_EN.get(label, ()) for form in forms}
    vietnamese = set(SHAPES_VI.get(label, ()))
    return {label, *english, *vietnamese, *map(strip_accents, vietnamese)}


def called(label: str) -> str:
    """A class in both languages: "star (ngôi sao)"."""
    return f"{label} ({SHAPES_VI[label][0]})" if label in SHAPES_VI else label


class LabelTokenizer:
    """A tokenizer whose only tokens are classes: "star", "a star", "ngôi sao" and "một ngôi sao" are the same one.

    labels: the classes in the order of the network's; the class after the last stands for none of them.
    """

    max_tokens = 1

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self.numbers = {name: number for number, label in enumerate(labels) for name in names_of(label)}

    def number(self, text: str) -> int | None:
        """The class that a text names: the one after the last for an empty text, None for any other text."""
        words = words_of(text)
        if not words:
            return len(self.labels)
        names = (" ".join(part) for part in (words, words[1:] if words[0] in ARTICLES else ()))
        return next((self.numbers[name] for name in names if name in self.numbers), None)

    def encode(self, texts: Sequence[str], /) -> tuple[Tensor, Tensor | None]:
        """Labels (B, 1), and no mask. Raises RequestError that lists the classes for a text that names none."""
        numbers = []
        for text in texts:
            if (number := self.number(text)) is None:
                shown = repr(text if len(text) <= 40 else text[:37] + "...")
                raise RequestError("kind", given=shown, allowed=", ".join(map(called, self.labels)))
            numbers.append([number])
        return torch.tensor(numbers), None

    def tokens(self, text: str, /) -> list[str]:
        """The class that is named, if one is."""
        number = self.number(text)
        return [] if number is None else list(self.labels[number : number + 1])

    def unknown_words(self, text: str, /) -> list[str]:
        """All words of a text that names no class."""
        return list(dict.fromkeys(words_of(text))) if self.number(text) is None else []

    def unread(self, text: str, /) -> str:
        """Nothing: a text is read whole, or refused."""
        return ""


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
    """A class-conditional U-Net that takes its labels as one-hot captions."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.unet = unet

    @property
    def config(self) -> UNetConfig:
        return self.unet.config

    def forward(self, x: Tensor, timestep: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (B, C, H, W), timestep (B,) or (1,), context (B, 1, classes) to (B, C, H, W)."""
        return self.unet(x, timestep, labels=context[:, 0].argmax(dim=-1))

    def prepared(self, dtype: torch.dtype) -> PreparedLabels:
        """What `inference.prepare` makes of it."""
        return PreparedLabels(prepare(self.unet, dtype))


class PreparedLabels:
    """A prepared U-Net that takes one-hot captions. See `inference.Prepared`."""

    def __init__(self, inner: Prepared) -> None:
        self.inner = inner

    def prepare_context(self, context: Tensor, mask: Tensor | None = None) -> Context:
        return self.inner.prepare_context(labels=context[:, 0].argmax(dim=-1))

    def __call__(self, x: Tensor, timestep: Tensor, context: Context) -> Tensor:
        return self.inner(x, timestep, context)


class Pixels(nn.Module):
    """A VAE that does nothing, for networks that work on pixels. Images are shown `scale` times larger, dot by dot."""

    def __init__(self, scale: int = 4) -> None:
        super().__init__()
        self.scale = scale

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) to (B, 3, H/scale, W/scale), and a log-variance of none."""
        mean = F.avg_pool2d(x, self.scale)
        return mean, torch.full_like(mean, -30.0)

    def decode(self, z: Tensor) -> Tensor:
        """(B, 3, h, w) to (B, 3, scale h, scale w)."""
        return F.interpolate(z, scale_factor=self.scale, mode="nearest")
