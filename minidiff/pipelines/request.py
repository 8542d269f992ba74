"""What somebody asks the model to draw, checked at the door.

What it is not: the drawing, which is `pipeline.py`. A `Request` that exists is valid: nothing behind it checks again.
"""

from __future__ import annotations

import numbers
import unicodedata
from dataclasses import dataclass

from minidiff.diffusion.samplers import ALIASES, SAMPLERS
from minidiff.pipelines.messages import say

MAX_CHARACTERS = 200
MAX_STEPS = 100
MAX_GUIDANCE = 15.0
MAX_SEED = 2**31 - 1
MAX_IMAGES = 9


class RequestError(ValueError):
    """A request that is refused. `str(error)` is English; `error.text("vi")` is Vietnamese."""

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(say(key, "en", **values))
        self.key = key
        self.values = values

    def text(self, lang: str) -> str:
        return say(self.key, lang, **self.values)


@dataclass(frozen=True)
class Request:
    """Everything that decides a picture, besides the weights.

    Args:
        prompt: 1 to 200 characters, in English or Vietnamese; kept in Unicode NFC with single spaces.
        negative_prompt: what to keep away from, 0 to 200 characters.
        sampler: a name in `samplers.SAMPLERS` or an alias of it ("dpmpp"); the canonical name is kept.
        steps: 1 to 100.
        guidance_scale: 0 to 15; 1 turns guidance off (Ho & Salimans 2022).
        seed: 0 to 2**31 - 1; picture i is drawn from seed + i.
        num_images: 1 to 9.
        eta: 0 to 1, fresh noise in each step; sampler "ddim" only (Song et al. 2021, eq. 16).
        upsample: whether a model that can (ours) may say what the prompt leaves open, see `data/upsampling.py`.

    Raises:
        RequestError (a ValueError): says what was given and what is allowed.
    """

    prompt: str
    negative_prompt: str = ""
    sampler: str = "dpmpp"
    steps: int = 20
    guidance_scale: float = 5.0
    seed: int = 42
    num_images: int = 1
    eta: float = 0.0
    upsample: bool = True

    def __post_init__(self) -> None:
        checked = {
            "prompt": _text(self.prompt, "prompt"),
            "negative_prompt": _text(self.negative_prompt, "negative"),
            "sampler": _sampler(self.sampler),
            "steps": _whole(self.steps, "steps", 1, MAX_STEPS),
            "guidance_scale": _number(self.guidance_scale, "guidance_scale", 0, MAX_GUIDANCE),
            "seed": _whole(self.seed, "seed", 0, MAX_SEED),
            "num_images": _whole(self.num_images, "num_images", 1, MAX_IMAGES),
            "eta": _number(self.eta, "eta", 0, 1),
            "upsample": _flag(self.upsample, "upsample"),
        }
        if not checked["prompt"]:
            raise RequestError("prompt_empty", most=MAX_CHARACTERS)
        if checked["eta"] and checked["sampler"] != "ddim":
            raise RequestError("eta_sampler", given=checked["sampler"])
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def seeds(self) -> list[int]:
        """One seed per picture, wrapped so that each of them is a seed that can be asked for by itself."""
        return [(self.seed + i) % (MAX_SEED + 1) for i in range(self.num_images)]


def _text(value: object, name: str) -> str:
    """NFC, no control characters, single spaces; at most 200 characters of it."""
    if not isinstance(value, str):
        raise RequestError(f"{name}_type", given=_show(value))
    if len(value) > 10 * MAX_CHARACTERS:  # far too long: do not spend time on tidying it
        raise RequestError(f"{name}_long", given=len(value), most=MAX_CHARACTERS)
    text = unicodedata.normalize("NFC", value)
    text = "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in text)
    text = " ".join(text.split())
    if len(text) > MAX_CHARACTERS:
        raise RequestError(f"{name}_long", given=len(text), most=MAX_CHARACTERS)
    return text


def _sampler(value: object) -> str:
    name = ALIASES.get(value, value) if isinstance(value, str) else value
    if not isinstance(name, str) or name not in SAMPLERS:
        raise RequestError("sampler", given=_show(value), allowed=", ".join([*SAMPLERS, *ALIASES]))
    return name


def _whole(value: object, key: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not least <= int(value) <= most:
        raise RequestError(key, given=_show(value), least=least, most=most)
    return int(value)


def _number(value: object, key: str, least: float, most: float) -> float:
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not least <= value <= most:  # type: ignore[operator] # so is NaN: it compares as false
        raise RequestError(key, given=_show(value), least=f"{least:g}", most=f"{most:g}")
    return float(value)  # type: ignore[arg-type]


def _flag(value: object, key: str) -> bool:
    if not isinstance(value, bool):
        raise RequestError(key, given=_show(value))
    return value


def _show(value: object) -> str:
    """The value as it was given, cut short: an error message is no place for ten thousand characters."""
    shown = repr(value)
    return shown if len(shown) <= 40 else shown[:37] + "..."
