"""Models by name: from the zoo (zoo_rows.py), from folders of diffusers and from the hub (diffusers_folder.py)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from minidiff.pipelines.diffusers_folder import read_pipeline
from minidiff.pipelines.request import OUR_CHARACTERS, Request, check_length
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pipelines.zoo_rows import read_row, sampling_models
from minidiff.pretrained import zoo
from minidiff.utils.devices import check_device, fastest_dtype

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load_pipeline(
    name: Path | str = "world-dit",
    device: str | None = None,
    dtype: str | None = None,
    root: Path | str | None = None,
    batch: int | None = None,
    allow_pickle: bool = False,
) -> TextToImage:
    """A model that makes images. Every call returns new modules: change them, and nobody else's images change.

    Args:
        name: a row of the zoo that holds a network; the folder of a finished training run; a diffusers folder with Stable
            Diffusion 1.x or PixArt-alpha; or such a repository on the Hugging Face hub, as "owner/name".
        device: "cpu", "cuda", "mps"; None: the best there is.
        dtype: "float32" or "bfloat16"; None: the fastest on the device.
        root: a zoo directory; None: MINIDIFF_ZOO, or the shipped one.
        batch: images per call of the network, see TextToImage.
        allow_pickle: read weights from a pickle where a folder has no safetensors (weights, and nothing else).

    Raises:
        ValueError: there is no such model, device or dtype, its design is not supported, or its files are incomplete or
            damaged.
    """
    where = check_device(device)
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"There is no dtype {dtype!r}: choose one of {', '.join(DTYPES)}, or none for the fastest.")
    number = DTYPES[dtype] if dtype else fastest_dtype(where)
    found, folder = find_model(name, root)
    parts = read_row(found, folder) if folder is not None else read_pipeline(found, number, allow_pickle)
    text_dtype = parts.pop("text_dtype", torch.float32)
    parts["text_encoder"] = ready(parts["text_encoder"], where, text_dtype)
    parts["network"] = ready(parts["network"], where, torch.float32 if where == "cpu" else number)
    parts["vae"] = ready(parts["vae"], where).to(memory_format=torch.channels_last)
    return TextToImage(**parts, dtype=number, batch=batch)


def ready(module: Any, device: torch.device | str, dtype: torch.dtype = torch.float32) -> Any:
    """The module itself, moved, in `eval` mode and without gradients. Copy one that is in training first."""
    return module.to(device=device, dtype=dtype).eval().requires_grad_(False)


def find_model(name: Path | str, root: Path | str | None = None) -> tuple[str, Path | None]:
    """(name of a row, the zoo that holds it), or (a folder's whole path or the hub's name, None). The zoo comes first, then a
    folder, then the hub. The folder of a training run is a zoo of its own, with one model."""
    path, folder = Path(name).expanduser(), zoo.zoo_root(root)
    if str(name) in zoo.manifest(folder):
        return str(name), folder
    if str(name) and path.is_dir():
        models = sampling_models(path)
        return (models[0], path.resolve()) if len(models) == 1 else (str(path.resolve()), None)
    return str(name), folder if path.name == str(name) else None  # one word is meant for the zoo, which will list its names


def checked_request(model: Path | str, prompt: str, settings: dict[str, Any], root: Path | str | None = None) -> Request:
    """What can be checked before the model is loaded. Raises RequestError."""
    request = Request(prompt, **settings)
    check_length(request, OUR_CHARACTERS if find_model(model, root)[1] is not None else None)
    return request


@lru_cache(maxsize=1)
def _kept(
    name: str, device: str | None, dtype: str | None, root: Path, allow_pickle: bool, stamps: tuple[int, int]
) -> TextToImage:
    """The pipeline of `generate_image`, which no caller gets hold of. stamps: when the files behind it last changed."""
    return load_pipeline(name, device, dtype, root, allow_pickle=allow_pickle)


def _stamp(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def generate_image(
    prompt: str,
    negative_prompt: str = "",
    sampler: str | None = None,
    steps: int | None = None,
    guidance_scale: float | None = None,
    seed: int = 42,
    num_images: int = 1,
    device: str | None = None,
    *,
    eta: float | None = None,
    expand_prompt: bool = True,
    guidance_interval: tuple[float, float] = (0.0, 1.0),
    guidance_rescale: float = 0.0,
    model: Path | str = "world-dit",
    dtype: str | None = None,
    progress: bool | None = False,
    allow_pickle: bool = False,
) -> list[Image.Image]:
    """Images of a sentence in English or Vietnamese. The same seed gives the same image, whatever the batch.

    The arguments are those of `Request`, `load_pipeline` and `TextToImage.__call__`; image i starts from seed + i. None
    means the model's own sampler, steps and guidance scale (DPM++ 2M, 20 and 3 for world-dit). The last model used stays in
    memory.

    Raises:
        ValueError: says what was given and what is allowed.
    """
    settings: dict[str, Any] = {
        "negative_prompt": negative_prompt, "sampler": sampler, "steps": steps, "guidance_scale": guidance_scale,
        "seed": seed, "num_images": num_images, "eta": eta, "expand_prompt": expand_prompt,
        "guidance_interval": guidance_interval, "guidance_rescale": guidance_rescale,
    }  # fmt: skip
    settings = {name: value for name, value in settings.items() if value is not None}
    checked_request(model, prompt, settings)
    root = zoo.zoo_root()
    stamps = _stamp(root / zoo.MANIFEST), _stamp(Path(model).expanduser())
    pipeline = _kept(str(model), device, dtype, root, allow_pickle, stamps)
    return pipeline(pipeline.request(prompt, **settings), progress)
