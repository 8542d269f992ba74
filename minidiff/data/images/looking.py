"""What can be said of each picture by itself: a row of what was measured, and the first step that refuses it.

`look` is a pure function of a few pictures and the limits, so it runs anywhere (engines.py). What it is not: what needs all
pictures (deciding.py) or a network (scoring.py).
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from minidiff.data.images.buckets import Size, fitted
from minidiff.data.images.duplicates import SIDE, fingerprint
from minidiff.data.images.pixels import UnfitError, decoded, sharpness
from minidiff.data.images.sources import Found
from minidiff.data.images.words import junk, language, tidy, unsafe_word
from minidiff.utils.validation import Between, one_line

Step = Literal["size", "aspect", "caption", "language", "exact", "near", "sharpness", "clip", "aesthetic", "words", "nsfw"]
"""Steps that can be switched off, in the order in which they refuse."""
SOURCE, DECODE, BUCKET = "source", "decode", "bucket"  # steps that cannot: without them there is nothing to write


@dataclass(kw_only=True)
class Limits:
    """What a picture and its captions must have."""

    skip: tuple[Step, ...] = ()
    """Steps to leave out: size, aspect, caption, language, exact, near, sharpness, clip, aesthetic, words, nsfw."""
    min_size: Annotated[int, Between(1, 8192)] = 256
    """Pixels of the shorter side, at least."""
    max_aspect: Annotated[float, Between(1, 100)] = 3.0
    """The longer side over the shorter one, at most."""
    min_characters: Annotated[int, Between(1, 1000)] = 5
    """Characters of a caption, at least."""
    max_characters: Annotated[int, Between(1, 100_000)] = 2000
    """Characters of a caption, at most."""
    languages: tuple[Literal["en", "vi", "other"], ...] = ("en", "vi")
    """Captions in other languages are left out."""
    near: Annotated[float, Between(0, 50)] = 2.2
    """Pictures that differ by less than this, in levels of 255, when one is laid upon the other, are near duplicates."""
    min_sharpness: Annotated[float, Between(0)] = 2.6
    """Sharpness, at least: below 2.5 for a blurred picture, 4 for a soft drawing, 20 for a sharp photograph."""


@dataclass(frozen=True)
class Caption:
    """A text and its language, "en", "vi" or "other". translated: by a network, from another caption of the picture."""

    text: str
    language: str
    translated: bool = False

    def record(self) -> dict[str, Any]:
        """As it is written beside the picture."""
        origin = {"origin": "translated", "translated": True} if self.translated else {"origin": "given"}
        return {"text": self.text, "language": self.language, **origin}


@dataclass
class Seen:
    """What is known of a picture. step: the one that refused it, "" for none, with a reason of a word or two and a detail.

    width, height: upright, in pixels; digest: SHA-256 of size and pixels; unsafe: a word in its captions; mended: what had to
    be converted; thumbnail: its fingerprint (SIDE, SIDE, 3) uint8 in base 64; scores: by networks, later."""

    key: str
    captions: list[Caption] = field(default_factory=list)
    step: str = ""
    reason: str = ""
    detail: str = ""
    width: int = 0
    height: int = 0
    sharpness: float = 0.0
    digest: str = ""
    unsafe: str = ""
    mended: tuple[str, ...] = ()
    thumbnail: str = ""
    scores: dict[str, float] = field(default_factory=dict)

    def refuse(self, step: str, reason: str, detail: str) -> None:
        """Notes the step that refuses it, unless an earlier one has."""
        if not self.step:
            self.step, self.reason, self.detail = step, reason, detail

    def fingerprint(self) -> NDArray[np.uint8]:
        """The fingerprint of duplicates.py, (SIDE, SIDE, 3)."""
        return np.frombuffer(base64.b64decode(self.thumbnail), np.uint8).reshape(SIDE, SIDE, 3)

    def record(self) -> dict[str, Any]:
        """As JSON can hold it, for `seen_of`."""
        return asdict(self)


def seen_of(record: dict[str, Any]) -> Seen:
    """A row as it was kept. Raises TypeError and KeyError for another table."""
    captions = [Caption(**caption) for caption in record["captions"]]
    return Seen(**record | {"captions": captions, "mended": tuple(record["mended"])})


def look(samples: Sequence[Found], limits: Limits) -> list[dict[str, Any]]:
    """`look_at` for several, as records."""
    return [look_at(sample, limits).record() for sample in samples]


def look_at(sample: Found, limits: Limits) -> Seen:
    """Everything that can be said of one picture by itself. Never raises for what its file holds."""
    seen = Seen(sample.key)
    try:
        image, seen.mended = opened(sample)
    except UnfitError as unfit:
        seen.refuse(DECODE, unfit.reason, unfit.detail)
        return seen
    seen.width, seen.height = image.size
    judge_size(seen, limits)
    judge_captions(seen, sample.captions, limits)
    if not seen.step:
        seen.digest = hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()
        seen.thumbnail = base64.b64encode(fingerprint(image).tobytes()).decode()
        seen.sharpness = round(sharpness(image), 3)
        seen.unsafe = next(filter(None, (unsafe_word(caption.text) for caption in seen.captions)), "")
    return seen


def opened(sample: Found) -> tuple[Image.Image, tuple[str, ...]]:
    """A sample's picture as RGB, and what had to be done for it. Raises UnfitError."""
    try:
        content = sample.place.read()
    except (OSError, ValueError) as error:
        raise UnfitError("unreadable", one_line(error, 80)) from None
    return decoded(content, sample.place.suffix)


def judge_size(seen: Seen, limits: Limits) -> None:
    """Refuses a picture that is too small or too long."""
    short, long = sorted((seen.width, seen.height))
    size = f"{seen.width} x {seen.height}"
    if short < limits.min_size and "size" not in limits.skip:
        seen.refuse("size", "too small", size)
    if long > limits.max_aspect * short and "aspect" not in limits.skip:
        seen.refuse("aspect", "too long", size)


def judge_captions(seen: Seen, given: Sequence[str], limits: Limits) -> None:
    """Keeps the captions that say something in a language that is wanted; refuses a picture that is left with none."""
    first = ""
    tidied = list(dict.fromkeys(filter(None, map(tidy, given))))
    useful = []
    for text in tidied:
        why = "" if "caption" in limits.skip else junk(text, limits.min_characters, limits.max_characters)
        first = first or (f"{why}: {text[:80]}" if why else "")
        if not why:
            useful.append(Caption(text, language(text)))
    if not useful and "caption" not in limits.skip:
        reason, _, detail = first.partition(": ")
        seen.refuse("caption", reason or "none", detail or "no caption")
    kept = [caption for caption in useful if "language" in limits.skip or caption.language in limits.languages]
    if useful and not kept:
        seen.refuse("language", useful[0].language, useful[0].text[:80])
    seen.captions = kept


def written(sample: Found, bucket: Size, kind: str, quality: int, cut: bool = True) -> bytes:
    """The picture made to fit its bucket, as a file. kind: "jpg", "png" or "webp"; quality: of jpg and webp; cut: as `fitted`.
    Raises ValueError that names a picture which could be read before and can't be now."""
    try:
        image, _ = opened(sample)
    except UnfitError as unfit:
        raise ValueError(f"{sample.key} can be read no longer ({unfit}): the source must stay as it is.") from None
    file = io.BytesIO()
    options: dict[str, Any] = {"jpg": {"quality": quality, "subsampling": 0}, "webp": {"quality": quality}, "png": {}}[kind]
    fitted(image, bucket, cut).save(file, "JPEG" if kind == "jpg" else kind.upper(), **options)
    return file.getvalue()
