"""The options that the evaluations of pictures have in common, and what is checked before anything is read or drawn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import tyro

from minidiff.evaluate.gallery import fingerprint
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.request import Request
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.utils.devices import check_device
from minidiff.utils.validation import Between, check


@dataclass(kw_only=True)
class PictureOptions:
    """Which pictures, whose, and where everything goes."""

    data: tyro.conf.Positional[Path]
    """Folder of the data."""
    out: Path
    """Folder for the report and the pictures. Those that are there from a run with the same settings are not made again."""
    pictures: Path | None = None
    """A folder of finished pictures to measure in the place of a model's: each has the name of the one that it belongs to."""
    max_samples: Annotated[int, Between(1, 10**6)] | None = None
    """How many pictures to take, the first ones by name; all when not given."""
    save_images_ratio: Annotated[float, Between(0, 1)] = 1.0
    """Share of the pictures that stay in the folder when the report is written. Those that don't would be made again."""
    fresh: bool = False
    """Make all pictures anew."""
    device: str | None = None
    """cpu, cuda or mps; the best there is when not given."""


@dataclass(kw_only=True)
class DrawnOptions(PictureOptions):
    """And how pictures are drawn."""

    model: str = "world-dit"
    """A name that `minidiff zoo` lists, a diffusers folder (Stable Diffusion 1.x, PixArt-alpha), or "owner/name" on the hub."""
    steps: int = 20
    """Number of steps, 1 to 100."""
    scale: float | None = None
    """How strongly to follow the prompt; the model's own when not given (world-dit: 3, Stable Diffusion: 7.5)."""
    sampler: str | None = None
    """The model's own when not given."""
    seed: int = 0
    """Picture number k is drawn from seed + k."""
    dtype: str | None = None
    """float32 or bfloat16; the fastest on the device when not given."""
    allow_pickle: bool = False
    """Read the model's weights from a pickle where a folder has no safetensors."""

    def settings(self) -> dict[str, Any]:
        """What decides how a picture looks, as it is kept beside the pictures."""
        if self.pictures:
            return {"pictures": str(self.pictures.absolute()), "data": str(self.data.absolute())}
        return {
            "model": self.model, "weights": fingerprint(self.model), "steps": self.steps, "scale": self.scale,
            "sampler": self.sampler, "seed": self.seed, "data": str(self.data.absolute()),
        }  # fmt: skip

    def request(self, pipeline: TextToImage, prompt: str, number: int) -> Request:
        """For picture `number`, counted from 1. Raises RequestError for a prompt that the model can't take."""
        asked = {"steps": self.steps, "sampler": self.sampler, "guidance_scale": self.scale, "seed": self.seed + number}
        return pipeline.request(prompt, **{name: value for name, value in asked.items() if value is not None})


def check_options(options: PictureOptions, command: str) -> None:
    """Raises ValueError for options that are not allowed, before anything is read."""
    check(options, command)
    check_device(options.device)
    if isinstance(options, DrawnOptions):
        asked = {"sampler": options.sampler, "guidance_scale": options.scale}
        Request("a", steps=options.steps, seed=options.seed, **{k: v for k, v in asked.items() if v is not None})  # type: ignore
    if options.out.exists() and not options.out.is_dir():
        raise ValueError(f"--out {options.out} is a file: the pictures need a folder.")


class Painter:
    """A model that is loaded when the first picture is drawn, so that finished runs don't wait for it."""

    def __init__(self, options: DrawnOptions) -> None:
        self.options = options

    @cached_property
    def pipeline(self) -> TextToImage:
        own = self.options
        return load_pipeline(own.model, own.device, own.dtype, allow_pickle=own.allow_pickle)
