"""The text inside a PNG that says how the image was made: writing and reading it.

Two texts are written: `parameters`, in the form that other image programs read (A1111's), and `minidiff`, JSON with every
setting. Reading looks at the header, never at pixels.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

from PIL import Image, PngImagePlugin

from minidiff import __version__
from minidiff.diffusion.samplers import get_sampler
from minidiff.pipelines.request import Request
from minidiff.utils.files import whole_file

MAX_SIDE = 2048  # pixels
OLD_NAMES = {"upsample": "expand_prompt", "drawn_as": "expanded_prompt", "grid": "spacing"}  # in files of older versions


def png_info(
    request: Request, model: str = "", model_hash: str = "", size: tuple[int, int] | None = None, expanded_prompt: str = "",
    loras: Mapping[str, float] | None = None, edit: Mapping[str, Any] | None = None,
) -> PngImagePlugin.PngInfo:  # fmt: skip
    """The two texts for one image. size: (width, height). expanded_prompt: what the prompt was expanded to. loras: their
    strengths by name. edit: how it was made of another picture: "kind", and whatever JSON can say."""
    sampler, interval = get_sampler(request.sampler), request.guidance_interval
    expanded = json.dumps(expanded_prompt, ensure_ascii=False) if expanded_prompt not in ("", request.prompt) else ""
    facts = {
        "Steps": request.steps,
        "Sampler": sampler.label,
        "CFG scale": f"{request.guidance_scale:g}",
        "Seed": request.seed,
        **({"Size": f"{size[0]}x{size[1]}"} if size else {}),
        **({"Eta": f"{request.eta:g}"} if request.eta not in (None, sampler.eta) else {}),
        **({"Guidance interval": f"{interval[0]:g}-{interval[1]:g}"} if interval != (0, 1) else {}),
        **({"Guidance rescale": f"{request.guidance_rescale:g}"} if request.guidance_rescale else {}),
        **({"Expanded prompt": expanded} if expanded else {}),
        **({"Edit": edit["kind"]} if edit else {}),
        **({"Denoising strength": f"{edit['strength']:g}"} if edit and "strength" in edit else {}),
        **({"LoRAs": " ".join(f"<lora:{name}:{strength:g}>" for name, strength in loras.items())} if loras else {}),
        **({"Model hash": model_hash[:10]} if model_hash else {}),
        **({"Model": model} if model else {}),
        "Version": f"minidiff {__version__}",
    }
    lines = [request.prompt]
    if request.negative_prompt:
        lines.append(f"Negative prompt: {request.negative_prompt}")
    lines.append(", ".join(f"{name}: {value}" for name, value in facts.items()))
    chunk = asdict(request) | {
        "spacing": sampler.spacing, "model": model, "model_hash": model_hash, "version": __version__,
        "expanded_prompt": expanded_prompt, **({"loras": dict(loras)} if loras else {}),
        **({"edit": dict(edit)} if edit else {}),
    }  # fmt: skip
    return texts("\n".join(lines), chunk)


def edit_info(
    model: str, model_hash: str, edit: Mapping[str, Any], loras: Mapping[str, float] | None = None
) -> PngImagePlugin.PngInfo:
    """The two texts for a picture that was made of another one without a request. Arguments as for `png_info`."""
    facts = {
        "Edit": edit["kind"],
        **({"LoRAs": " ".join(f"<lora:{name}:{strength:g}>" for name, strength in loras.items())} if loras else {}),
        **({"Model hash": model_hash[:10]} if model_hash else {}),
        "Model": model,
        "Version": f"minidiff {__version__}",
    }
    chunk = {
        "model": model, "model_hash": model_hash, "version": __version__, **({"loras": dict(loras)} if loras else {}),
        "edit": dict(edit),
    }  # fmt: skip
    return texts(", ".join(f"{name}: {value}" for name, value in facts.items()), chunk)


def texts(parameters: str, chunk: Mapping[str, Any]) -> PngImagePlugin.PngInfo:
    """Both texts as a PNG holds them."""
    info = PngImagePlugin.PngInfo()
    info.add_itxt("parameters", parameters, lang="", tkey="")  # iTXt is UTF-8, tEXt could not hold Vietnamese
    info.add_itxt("minidiff", json.dumps(chunk, ensure_ascii=False), lang="", tkey="")
    return info


def read_png(file: str | Path | IO[bytes]) -> dict[str, Any]:
    """The `minidiff` text of a PNG: the fields of a Request, model, model_hash, version, spacing, expanded_prompt, and
    where there were any, loras (the strengths by name) and edit (how it was made of another picture).

    Raises:
        ValueError: not a PNG, larger than 2048 pixels a side, or without that text.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=["PNG"]) as image:
                info, size = dict(image.info), image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ValueError("This is not a PNG image that can be read.") from None
    if max(size) > MAX_SIDE:
        raise ValueError(f"The image is {size[0]} x {size[1]} pixels; at most {MAX_SIDE} a side are allowed.")
    try:
        values = json.loads(str(info["minidiff"]))
    except (KeyError, ValueError, RecursionError):
        raise ValueError("The image does not say how it was made: choose a PNG that minidiff saved.") from None
    if not isinstance(values, dict):
        raise ValueError("The image does not say how it was made: choose a PNG that minidiff saved.")
    return _renamed(values)


def _renamed(values: dict[str, Any]) -> dict[str, Any]:
    """The values under today's names. In older files an eta of 0 meant the sampler's own."""
    if OLD_NAMES.keys() & values.keys() and not values.get("eta"):
        values = {**values, "eta": None}
    return {OLD_NAMES.get(name, name): value for name, value in values.items()}


def each(request: Request) -> list[Request]:
    """One request per image, which makes exactly that image by itself."""
    return [replace(request, seed=seed, num_images=1) for seed in request.seeds]


def save_images(
    images: Sequence[Image.Image], out: Path | str, request: Request, model: str = "", model_hash: str = "",
    expanded_prompt: Sequence[str] = (), loras: Mapping[str, float] | None = None,
) -> list[Path]:  # fmt: skip
    """Saves star.png, or star-1.png, star-2.png, ... for several, whole or not at all. Returns the paths.

    expanded_prompt: what the prompt was expanded to for each image; loras: their strengths by name.
    """
    paths, prompts = image_paths(out, len(images)), expanded_prompt or [""] * len(images)
    for image, path, one, prompt in zip(images, paths, each(request), prompts, strict=True):
        save_image(image, path, png_info(one, model, model_hash, image.size, prompt, loras))
    return paths


def save_image(image: Image.Image, path: Path, info: PngImagePlugin.PngInfo) -> None:
    """Saves a PNG with its texts, whole or not at all."""
    with whole_file(path) as file:
        image.save(file, format="PNG", pnginfo=info)


def image_paths(out: Path | str, count: int) -> list[Path]:
    """The files of `save_images`."""
    out = Path(out)
    return [out] if count == 1 else [out.with_name(f"{out.stem}-{i}{out.suffix}") for i in range(1, count + 1)]
