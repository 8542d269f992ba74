"""Byte-level BPE (Sennrich et al. 2016; Radford et al. 2019): text in any language to ids and back, nothing unknown.

What it is not: a judge of meaning. A word never seen in training still gets ids, spelt out of smaller pieces; that is
why `unknown_words` exists, so that a person can be told. Taught in the lesson on text encoders.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer as BPE
from tokenizers import decoders, models, pre_tokenizers, trainers
from torch import Tensor

from minidiff.utils.files import write_whole

SPECIALS = ("<pad>", "<bos>", "<eos>")
FORMAT = "minidiff-tokenizer-1"
WORD = re.compile(r"[^\s!-&(-/:-@\[-`{-~“”„«»…–—‘]+")    # no white space, no punctuation but an apostrophe


def normalise(text: str) -> str:
    """Lower case, NFC, single spaces: "Ngôi  NHÀ" typed on any keyboard becomes one and the same string.

    NFC matters in Vietnamese, where "ệ" can be one code point or three. Lone surrogates (broken UTF-16) become "?".
    """
    text = text.encode("utf-8", "replace").decode("utf-8")
    return " ".join(unicodedata.normalize("NFC", text.lower()).split())


def words_of(text: str) -> list[str]:
    """The words of a text, normalised, in order, without punctuation."""
    return [word for word in (w.strip("'’") for w in WORD.findall(normalise(text))) if word]


class Tokenizer:
    """Byte-level BPE with <pad>=0, <bos>=1, <eos>=2, and the list of words it has seen.

    Make one with `Tokenizer.train(texts, vocab_size)` or `Tokenizer.load(path)`. The specials cannot be typed:
    "<eos>" in a prompt is five ordinary characters, so no prompt can end itself early.
    """

    pad_id, bos_id, eos_id = 0, 1, 2

    def __init__(self, bpe: BPE, words: Iterable[str] = ()) -> None:
        self._bpe = bpe
        self.words = frozenset(words)

    @property
    def vocab_size(self) -> int:
        """Number of ids, specials included: the height of the token embedding."""
        return self._bpe.get_vocab_size()

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int = 2048, known: Iterable[str] = ()) -> Tokenizer:
        """Learns merges from `texts` (normalised here) and remembers their words, and those of `known`, which models will
        read later.

        `vocab_size` counts the 3 specials and the 256 bytes, so it is at least 259; fewer are made when the texts run
        out of pairs to merge. Raises ValueError when it is smaller.
        """
        smallest = len(SPECIALS) + 256
        if vocab_size < smallest:
            raise ValueError(f"vocab_size is {vocab_size}; at least {smallest} are needed: specials and bytes.")
        clean = [normalise(text) for text in texts]
        bpe = BPE(models.BPE())
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)     # the first word looks like any other
        bpe.decoder = decoders.ByteLevel()
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size, special_tokens=list(SPECIALS), initial_alphabet=alphabet, show_progress=False
        )
        bpe.train_from_iterator(clean, trainer)
        words = {word for text in (*clean, *known) for word in words_of(text)}
        return cls(_without_added_tokens(json.loads(bpe.to_str())), words)

    def encode(self, texts: Sequence[str], max_length: int = 64) -> tuple[Tensor, Tensor]:
        """ids (B, L) int64 and mask (B, L) bool (True: a token, False: padding); L is the longest text's, at most
        `max_length`. Every row starts with <bos> and ends with <eos>, also when its text was cut. An empty text is
        allowed (it is the unconditional prompt of classifier-free guidance). Raises ValueError for no texts or
        max_length < 3."""
        if isinstance(texts, str):
            raise ValueError("encode takes a list of texts, and was given one string: write encode([text]).")
        if len(texts) == 0 or max_length < 3:
            raise ValueError(
                f"encode was given {len(texts)} texts and max_length={max_length}; at least one text and 3 are needed."
            )
        rows = [[self.bos_id, *self._pieces(text)[: max_length - 2], self.eos_id] for text in texts]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [self.pad_id] * (longest - len(row)) for row in rows])                # (B, L)
        lengths = torch.tensor([len(row) for row in rows])                                              # (B,)
        return ids, torch.arange(longest) < lengths[:, None]

    def _pieces(self, text: str) -> list[int]:
        clean = normalise(text)
        return self._bpe.encode(clean).ids if clean else []

    def tokens(self, text: str) -> list[str]:
        """The pieces a text is cut into, readable ("nhà" and not its bytes), for lessons and the studio."""
        return [self._bpe.decode([piece]).strip() for piece in self._pieces(text)]

    def decode(self, ids: Iterable[int]) -> str:
        """Ids back to normalised text; specials are left out."""
        return self._bpe.decode([int(i) for i in ids if int(i) >= len(SPECIALS)]).strip()

    def unknown_words(self, text: str) -> list[str]:
        """Words of `text` that no training text contained, each once, in order of appearance."""
        return [word for word in dict.fromkeys(words_of(text)) if word not in self.words]

    def save(self, path: str | Path) -> None:
        """One JSON file with merges and words, never half there."""
        content = {"format": FORMAT, "words": sorted(self.words), "bpe": json.loads(self._bpe.to_str())}
        write_whole(path, json.dumps(content, ensure_ascii=False))

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """What `save` wrote. Raises ValueError when the file is something else, FileNotFoundError when it is not
        there."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise KeyError("format")
            return cls(_without_added_tokens(content["bpe"]), content["words"])
        except FileNotFoundError:
            raise
        except Exception as error:      # tokenizers raises a bare Exception for a bad model
            raise ValueError(f"{path} is not a minidiff tokenizer, a JSON file written by Tokenizer.save.") from error


def _without_added_tokens(content: dict[str, Any]) -> BPE:
    """The specials stay in the vocabulary, but are no longer looked for in the text: see Tokenizer."""
    return BPE.from_str(json.dumps({**content, "added_tokens": []}))
