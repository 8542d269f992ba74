"""Pictures that say how they were made: writing and reading the text inside a PNG.

Two texts are written: `parameters`, in the form that other image programs read (A1111's), and `minidiff`, JSON that
brings every control of the studio back. What it is not: a decoder; reading looks at the header, never at pixels.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

from PIL import Image, PngImagePlugin

from minidiff import __version__
from minidiff.diffusion.samplers import get_sampler
from minidiff.pipelines.request import Request
from minidiff.utils.files import whole_file

MAX_SIDE = 2048  # pixels; nothing of ours is larger


def png_info(
    request: Request, model: str = "", model_hash: str = "", size: tuple[int, int] | None = None, expanded_prompt: str = ""
) -> PngImagePlugin.PngInfo:
    """The two texts for one picture. `size` is (width, height); `expanded_prompt` what the prompt was upsampled to."""
    sampler = get_sampler(request.sampler)
    facts = {
        "Steps": request.steps,
        "Sampler": sampler.label,
        "CFG scale": f"{request.guidance_scale:g}",
        "Seed": request.seed,
        **({"Size": f"{size[0]}x{size[1]}"} if size else {}),
        **({"Eta": f"{request.eta:g}"} if request.eta else {}),
        **({"Drawn as": json.dumps(expanded_prompt, ensure_ascii=False)} if expanded_prompt not in ("", request.prompt) else {}),
        **({"Model hash": model_hash[:10]} if model_hash else {}),
        **({"Model": model} if model else {}),
        "Version": f"minidiff {__version__}",
    }
    lines = [request.prompt]
    if request.negative_prompt:
        lines.append(f"Negative prompt: {request.negative_prompt}")
    lines.append(", ".join(f"{name}: {value}" for name, value in facts.items()))
    chunk = asdict(request) | {
        "grid": sampler.spacing, "model": model, "model_hash": model_hash, "version": __version__, "expanded_prompt": expanded_prompt,
    }
    info = PngImagePlugin.PngInfo()
    info.add_itxt("parameters", "\n".join(lines), lang="", tkey="")  # iTXt is UTF-8, tEXt could not hold Vietnamese
    info.add_itxt("minidiff", json.dumps(chunk, ensure_ascii=False), lang="", tkey="")
    return info


def read_png(file: str | Path | IO[bytes]) -> dict[str, Any]:
    """What the `minidiff` text of a PNG holds: the fields of a Request, model, model_hash, version, grid, expanded_prompt.

    Raises:
        ValueError: not a PNG, larger than 2048 pixels a side, or without that text. Pixels are never decoded.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=["PNG"]) as image:
                info, size = dict(image.info), image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ValueError("This is not a PNG picture that can be read.") from None
    if max(size) > MAX_SIDE:
        raise ValueError(f"The picture is {size[0]} x {size[1]} pixels; at most {MAX_SIDE} a side are allowed.")
    try:
        values = json.loads(str(info["minidiff"]))
    except (KeyError, ValueError, RecursionError):
        raise ValueError("The picture does not say how it was made: choose a PNG that minidiff saved.") from None
    if not isinstance(values, dict):
        raise ValueError("The picture does not say how it was made: choose a PNG that minidiff saved.")
    return values


def each(request: Request) -> list[Request]:
    """One request per picture: the one that draws exactly that picture by itself."""
    return [replace(request, seed=seed, num_images=1) for seed in request.seeds]


def save_images(
    images: Sequence[Image.Image], out: Path | str, request: Request, model: str = "", model_hash: str = "",
    expanded_prompt: Sequence[str] = (),
) -> list[Path]:
    """Saves star.png, or star-1.png, star-2.png, ... for several. A file appears whole or not at all. `expanded_prompt`: what the
    prompt was upsampled to for each picture."""
    out = Path(out)
    numbers = [""] if len(images) == 1 else [f"-{i}" for i in range(1, len(images) + 1)]
    saved = []
    for image, number, one, text in zip(images, numbers, each(request), expanded_prompt or [""] * len(images), strict=True):
        path = out.with_name(f"{out.stem}{number}{out.suffix}")
        with whole_file(path) as file:
            image.save(file, format="PNG", pnginfo=png_info(one, model, model_hash, image.size, text))
        saved.append(path)
    return saved
