"""Does a picture show what its prompt says? The judge looks at it, the prompt reader says what was asked for, rules compare.

Only for models of the drawn world, and only where the reader is certain of what the prompt says. Networks are loaded when the
first picture is judged. Taught in the lesson on measuring.
"""

from __future__ import annotations

import logging
import random
import threading
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from PIL import Image

from minidiff.data.world.captions import COLOURS_VI, SETTINGS_EN, SETTINGS_VI, SHAPES_EN, SHAPES_VI, SIZES_VI, phrase
from minidiff.evaluate.judge import Detection, Seen, load_judge, look
from minidiff.evaluate.verdict import judge as give_verdict
from minidiff.pipelines.messages import LANGS
from minidiff.pipelines.prompt_reader import CERTAIN, load_reader
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.studio.labels import label

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Judgement:
    """right: whether everything that the prompt says is there, and nothing else. saw: what the judge found, by language; asked:
    what the prompt says, as it was read; wrong: those of `verdict.ATTRIBUTES` that aren't as it says."""

    right: bool
    saw: dict[str, str]
    asked: dict[str, str] = field(default_factory=dict)
    wrong: tuple[str, ...] = ()


class Judge:
    """The judge and the reader, loaded once for all visitors."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._networks: tuple[Any, Any] | None = None
        self._broken = False

    def networks(self) -> tuple[Any, Any] | None:
        """(judge, reader), or None where the zoo lacks one of them or it is damaged."""
        with self._lock:
            if self._networks is None and not self._broken:
                try:
                    self._networks = load_judge(), load_reader()
                except (ValueError, OSError):
                    self._broken = True
                    log.exception("there is no judge: pictures get no verdict")
            return self._networks

    def verdict(self, pipeline: TextToImage, prompt: str, image: Image.Image) -> Judgement | None:
        """None for a model of something else than the drawn world, and for a prompt that isn't understood."""
        if pipeline.prompt_expander is None or (networks := self.networks()) is None:
            return None
        judge, reader = networks
        [reading] = reader.read([prompt])
        if reading.claim is None or reading.certainty < CERTAIN:
            return None
        [seen] = look(judge, [image])
        saw = {"en": in_english(seen), "vi": in_vietnamese(seen)}
        given = give_verdict(reading.claim, seen)
        asked = {lang: phrase(reading.claim, lang, random.Random(0)) for lang in LANGS}
        return Judgement(given.right, saw, asked, tuple(name for name, right in given.attributes.items() if not right))


@cache
def shared() -> Judge:
    """The judge of all tabs."""
    return Judge()


def in_english(seen: Seen) -> str:
    """Such as "big red star, small blue house; at night"."""
    things = ", ".join(f"{thing.size} {thing.colour} {SHAPES_EN[thing.kind][0][0]}" for thing in seen.things)
    return f"{things or label('saw_nothing', 'en')}; {SETTINGS_EN[seen.setting][0]}"


def in_vietnamese(seen: Seen) -> str:
    """Such as "ngôi sao đỏ to, ngôi nhà xanh dương nhỏ; vào ban đêm"."""

    def words(thing: Detection) -> str:
        return f"{SHAPES_VI[thing.kind][0]} {COLOURS_VI[thing.colour][0]} {SIZES_VI[thing.size][0]}"

    things = ", ".join(words(thing) for thing in seen.things)
    return f"{things or label('saw_nothing', 'vi')}; {SETTINGS_VI[seen.setting][0]}"
