"""minidiff: text-to-image diffusion, small enough to read, in Vietnamese and English.

    from minidiff import generate_image
    generate_image(prompt="a big red star", seed=42)[0].save("star.png")

The names below are imported when first used, so that `import minidiff` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minidiff.diffusion.samplers import sample
    from minidiff.pipelines.loading import generate_image, load_pipeline
    from minidiff.pipelines.request import Request
    from minidiff.pipelines.text_to_image import TextToImage
    from minidiff.text.encoders import load_encoder

__version__ = "1.0.0"
__all__ = ["Request", "TextToImage", "__version__", "generate_image", "load_encoder", "load_pipeline", "sample"]

_HOMES = {
    "Request": "minidiff.pipelines.request",
    "TextToImage": "minidiff.pipelines.text_to_image",
    "generate_image": "minidiff.pipelines.loading",
    "load_encoder": "minidiff.text.encoders",
    "load_pipeline": "minidiff.pipelines.loading",
    "sample": "minidiff.diffusion.samplers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'minidiff' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
