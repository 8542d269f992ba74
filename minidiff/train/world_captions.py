"""Captions for training, and the tokenizer that is learned from them."""

from __future__ import annotations

import random

from minidiff.data.world.captions import ENGLISH, LANGS, VIETNAMESE, describe, strip_accents
from minidiff.data.world.scenes import Scene, scene_at
from minidiff.pretrained import zoo
from minidiff.text.tokenizer import Tokenizer

SHARES = (0.4, 0.4, 0.2)  # of English, Vietnamese, and Vietnamese without accents


def caption(scene: Scene, rng: random.Random) -> str:
    """A caption of the scene in a language drawn by lot."""
    return describe(scene, rng.choices(LANGS, SHARES)[0], rng)


def world_tokenizer(vocab_size: int = 2048, captions: int = 40_000) -> Tokenizer:
    """The zoo's tokenizer; trained on captions of the drawn world, and put there, when the zoo has none."""
    if "tokenizer" not in zoo.manifest():
        rng = random.Random(0)
        spots = [f(spot) for g in (ENGLISH, VIETNAMESE) for spot in g.spots.values() for f in (str, strip_accents)]
        tokenizer = Tokenizer.train((caption(scene_at(k), rng) for k in range(captions)), vocab_size, known=spots)
        target = zoo.zoo_root() / "tokenizer.json"
        tokenizer.save(target)
        zoo.add_file("tokenizer", target.read_bytes())
    return Tokenizer.load(zoo.path("tokenizer"))
