"""What to sample: a `Request` holds every setting, and is checked when it is made."""

from __future__ import annotations

import numbers
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from minidiff.diffusion.samplers import ALIASES, SAMPLERS
from minidiff.pipelines.messages import say

MAX_CHARACTERS = 2000  # of any prompt; a model may take fewer
OUR_CHARACTERS = 200  # what our own models were trained to read; see `check_length`
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
    """Everything that decides an image, besides the weights.

    Args:
        prompt: 1 to 2000 characters (200 for our models), kept in Unicode NFC with single spaces.
        negative_prompt: what to keep away from; as long as the prompt, or empty.
        sampler: a name in `samplers.SAMPLERS` or an alias ("dpmpp"); the name is kept.
        steps: 1 to 100.
        guidance_scale: 0 to 15; 1 turns guidance off (Ho & Salimans 2022).
        seed: 0 to 2**31 - 1; image i starts from seed + i.
        num_images: 1 to 9.
        eta: 0 to 1, the share of fresh noise in each step (Song et al. 2021, eq. 16): 0 is none, None the sampler's own.
        expand_prompt: whether a model that can (ours) writes the prompt out plainly and adds the places that it leaves open.
        guidance_interval: the times, 0 (clean) to 1 (noise), between which to guide (Kynkäänniemi et al. 2024).
        guidance_rescale: 0 to 1, how far to undo the overexposure of strong guidance (Lin et al. 2024).

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
    eta: float | None = None
    expand_prompt: bool = True
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    guidance_rescale: float = 0.0

    def __post_init__(self) -> None:
        checked = {
            "prompt": _text(self.prompt, "prompt"),
            "negative_prompt": _text(self.negative_prompt, "negative"),
            "sampler": _sampler(self.sampler),
            "steps": whole_number(self.steps, "steps", 1, MAX_STEPS),
            "guidance_scale": number(self.guidance_scale, "guidance_scale", 0, MAX_GUIDANCE),
            "seed": whole_number(self.seed, "seed", 0, MAX_SEED),
            "num_images": whole_number(self.num_images, "num_images", 1, MAX_IMAGES),
            "eta": None if self.eta is None else number(self.eta, "eta", 0, 1),
            "expand_prompt": _flag(self.expand_prompt, "expand_prompt"),
            "guidance_interval": _interval(self.guidance_interval, "guidance_interval"),
            "guidance_rescale": number(self.guidance_rescale, "guidance_rescale", 0, 1),
        }
        if not checked["prompt"]:
            raise RequestError("prompt_empty", most=OUR_CHARACTERS)
        if checked["eta"] and SAMPLERS[str(checked["sampler"])].method == "heun":
            raise RequestError("eta_sampler", given=checked["sampler"])
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def seeds(self) -> list[int]:
        """One seed per image, wrapped to stay within the allowed range."""
        return [(self.seed + i) % (MAX_SEED + 1) for i in range(self.num_images)]


def check_length(request: Request, most: int | None) -> None:
    """Raises RequestError when a text has more characters than a model takes; None means any number."""
    for name, text in (("prompt", request.prompt), ("negative", request.negative_prompt)):
        if most is not None and len(text) > most:
            raise RequestError(f"{name}_long", given=len(text), most=most)


def _text(value: object, name: str) -> str:
    """NFC, no control characters, single spaces, not too long."""
    if not isinstance(value, str):
        raise RequestError(f"{name}_type", given=_show(value))
    if len(value) > 10 * MAX_CHARACTERS:  # far too long: don't spend time on tidying it
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


def whole_number(value: object, key: str, least: int, most: int) -> int:
    """The value, if it is a whole number in this range. Raises RequestError with the message `key`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not least <= int(value) <= most:
        raise RequestError(key, given=_show(value), least=least, most=most)
    return int(value)


def number(value: object, key: str, least: float, most: float) -> float:
    """The value, if it is a number in this range. Raises RequestError with the message `key`."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not least <= value <= most:  # type: ignore[operator] # so is NaN: it compares as false
        raise RequestError(key, given=_show(value), least=f"{least:g}", most=f"{most:g}")
    return float(value)  # type: ignore[arg-type]


def _interval(value: object, key: str) -> tuple[float, float]:
    pair = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2 else ()
    real = [isinstance(v, numbers.Real) and not isinstance(v, bool) for v in pair]
    if not pair or not all(real) or not 0 <= pair[0] <= pair[1] <= 1:
        raise RequestError(key, given=_show(value))
    return float(pair[0]), float(pair[1])


def _flag(value: object, key: str) -> bool:
    if not isinstance(value, bool):
        raise RequestError(key, given=_show(value))
    return value


def _show(value: object) -> str:
    """The value as it was given, cut to 40 characters."""
    shown = repr(value)
    return shown if len(shown) <= 40 else shown[:37] + "..."
