"""The options that every command which draws images has, and how they become settings. Nothing heavy is imported here."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from minidiff.utils.validation import shown

# Request says which numbers are allowed, and why.
Number = Annotated[int | float, tyro.conf.arg(metavar="NUMBER")]
OwnNumber = Annotated[int | float | None, tyro.conf.arg(metavar="NUMBER")]  # None: the model's own


@dataclass(kw_only=True)
class SamplingOptions:
    """How images are sampled, by which model, and where they go."""

    negative_prompt: str = ""
    """What to keep away from."""
    sampler: str | None = None
    """ddpm, ddim, euler, euler_a, heun, dpmpp (= dpmpp_2m) or dpmpp_2m_sde; the model's own (ours: dpmpp) when not given."""
    steps: OwnNumber = None
    """Number of steps, 1 to 100; the model's own (world-dit: 20) when not given."""
    guidance_scale: OwnNumber = None
    """How strongly to follow the prompt, 0 to 15; 1 turns guidance off; the model's own (world-dit: 3) when not given."""
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    """The times between which to guide, from 0 (clean) to 1 (noise)."""
    guidance_rescale: Number = 0.0
    """How far to undo the overexposure of strong guidance, 0 to 1."""
    seed: Number = 42
    """0 to 2147483647; the same seed gives the same image."""
    num_images: Number = 1
    """1 to 9; image i starts from seed + i."""
    eta: OwnNumber = None
    """The share of fresh noise in each step, 0 (none) to 1; the sampler's own when not given."""
    lora: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A LoRA and its strength, -1 to 2, such as watercolour:0.8: a name that `minidiff zoo` lists, a file of diffusers or
    kohya, or a peft folder. May be given several times."""
    out: Path = Path("output.png")
    """Where the PNG goes; several images become output-1.png, output-2.png, ..."""
    model: str = "world-dit"
    """A name that `minidiff zoo` lists, a diffusers folder (Stable Diffusion 1.x, PixArt-alpha), or "owner/name" on the hub."""
    device: str | None = None
    """cpu, cuda or mps; the best there is when not given."""
    dtype: str | None = None
    """float32 or bfloat16; the fastest on the device when not given."""
    allow_pickle: bool = False
    """Read weights from a pickle where a folder has no safetensors."""

    def settings(self) -> dict[str, Any]:
        """The arguments of a `Request` that were given."""
        names = (
            "negative_prompt", "sampler", "steps", "guidance_scale", "seed", "num_images", "eta", "guidance_interval",
            "guidance_rescale",
        )  # fmt: skip
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def check_out(out: Path, paths: Sequence[Path]) -> None:
    """Raises ValueError before the sampling, not after it, when an image could not be saved."""
    if out.suffix.lower() != ".png":
        raise ValueError(f"--out {out} is not a .png: images are saved as PNG, which carries their settings.")
    if not out.parent.is_dir():
        raise ValueError(f"--out {out}: the directory {out.parent} does not exist; make it first.")
    if not os.access(out.parent, os.W_OK):
        raise ValueError(f"--out {out}: the directory {out.parent} may not be written to; choose another one.")
    if directory := next((path for path in paths if path.is_dir()), None):
        raise ValueError(f"--out {out}: {directory} is a directory; choose another name.")


@contextmanager
def notes_told() -> Iterator[None]:
    """Within it, warnings for the user become lines on stderr when it ends."""
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always", UserWarning)
        yield
    for sentence in dict.fromkeys(str(note.message) for note in notes):
        print(f"minidiff: {sentence}", file=sys.stderr)


def tell_unknown(pipeline: Any, prompt: str) -> None:
    """Says on stderr which words of a prompt mean nothing to a model."""
    if strange := pipeline.unknown_words(prompt)[:12]:
        print(f"minidiff: {pipeline.model} doesn't know these words: {', '.join(map(shown, strange))}.", file=sys.stderr)
