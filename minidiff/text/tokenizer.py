"""Byte-level BPE (Sennrich et al. 2016; Radford et al. 2019): text in any language to ids and back, nothing unknown.

A word never seen in training still gets ids, spelt out of smaller pieces; `unknown_words` finds such words, so that a
person can be warned. Not here: what the ids mean (models/clip.py). Taught in the lesson on text encoders.
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

from minidiff.utils import strict_json
from minidiff.utils.files import write_whole
from minidiff.utils.validation import convert, one_line

SPECIALS = ("<pad>", "<bos>", "<eos>")
FORMAT = "minidiff-tokenizer-1"
MAX_LENGTH = 64  # ids of a text, <bos> and <eos> among them
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

    Make one with `Tokenizer.train(texts, vocab_size)` or `Tokenizer.load(path)`. The specials cannot be typed: "<eos>" in
    a prompt is five ordinary characters, so no prompt can end itself early. max_length: ids of a text that the model
    reads, <bos> and <eos> among them.
    """

    pad_id, bos_id, eos_id = 0, 1, 2

    def __init__(self, bpe: BPE, words: Iterable[str] = (), max_length: int = MAX_LENGTH) -> None:
        self._bpe, self.words, self.max_length = bpe, frozenset(words), max_length

    @property
    def max_tokens(self) -> int:
        """How many tokens of a text the model reads; the rest is cut off."""
        return self.max_length - 2

    def unread(self, text: str) -> str:
        """The end of a text that is cut off, normalised; empty for a text that the model reads whole."""
        return self._bpe.decode(self._pieces(text)[self.max_tokens :]).strip()

    @property
    def vocab_size(self) -> int:
        """Number of ids, specials included: the height of the token embedding."""
        return self._bpe.get_vocab_size()

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int = 2048, known: Iterable[str] | None = None) -> Tokenizer:
        """Learns merges from `texts` (normalised here), and remembers the words of `known`, texts that a person may write;
        those of `texts` when it isn't given.

        `vocab_size` counts the 3 specials and the 256 bytes, so it is at least 259; fewer are made when the texts run
        out of pairs to merge. Raises ValueError when it is smaller.
        """
        smallest = len(SPECIALS) + 256
        if vocab_size < smallest:
            raise ValueError(f"vocab_size is {vocab_size}; at least {smallest} are needed: specials and bytes.")
        clean = [normalise(text) for text in texts]
        bpe = _byte_level(models.BPE())
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size, special_tokens=list(SPECIALS), initial_alphabet=alphabet, show_progress=False
        )
        bpe.train_from_iterator(clean, trainer)
        words = {word for text in (clean if known is None else known) for word in words_of(text)}
        content = json.loads(bpe.to_str())["model"]
        return cls(_from_parts(content["vocab"], content["merges"]), words)

    def encode(self, texts: Sequence[str], max_length: int | None = None) -> tuple[Tensor, Tensor]:
        """ids (B, L) int64 and mask (B, L) bool (True: a token, False: padding); L is the longest text's, at most
        `max_length`, the tokenizer's own if it isn't given. Every row starts with <bos> and ends with <eos>, also when
        its text was cut. A text may be empty: the unconditional prompt of classifier-free guidance. Raises ValueError for
        no texts or max_length < 3."""
        max_length = self.max_length if max_length is None else max_length
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

    def published(self) -> str:
        """The JSON of Hugging Face's tokenizers: what cuts a normalised text into pieces, without <bos> and <eos>."""
        return self._bpe.to_str()

    @classmethod
    def load(cls, path: str | Path, max_length: int = MAX_LENGTH) -> Tokenizer:
        """What `save` wrote. Raises ValueError when the file is something else or lacks a byte, FileNotFoundError when it isn't
        there."""
        try:
            content = convert(strict_json.read(Path(path)), dict[str, Any], "the file")
            if content.get("format") != FORMAT:
                raise ValueError(f"its format is not {FORMAT}")
            words = convert(content.get("words"), list[str], "its words")
            model = convert(convert(content.get("bpe"), dict[str, Any], "its bpe").get("model"), dict[str, Any], "its model")
            return cls(_from_parts(model.get("vocab"), model.get("merges")), words, max_length)
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            what = f"{path} is not a minidiff tokenizer, a JSON file written by Tokenizer.save"
            raise ValueError(f"{what}: {one_line(error)}") from None


def _byte_level(model: models.BPE) -> BPE:
    bpe = BPE(model)
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)  # the first word looks like any other
    bpe.decoder = decoders.ByteLevel()
    return bpe


def _from_parts(vocab: object, merges: object) -> BPE:
    """From what JSON holds. The specials are in the vocabulary, but are not looked for in the text: see Tokenizer. Raises
    ValueError for a vocabulary that isn't numbered from 0, or lacks the specials or one of the 256 bytes; and for merges
    of other tokens."""
    ids = convert(vocab, dict[str, int], "its vocabulary")
    if sorted(ids.values()) != list(range(len(ids))) or [ids.get(name) for name in SPECIALS] != [0, 1, 2]:
        raise ValueError("its vocabulary is not numbered from 0, the specials first.")
    if not ids.keys() >= set(pre_tokenizers.ByteLevel.alphabet()):
        raise ValueError("its vocabulary lacks some of the 256 bytes.")
    pairs = convert(merges, list[tuple[str, str] | str], "its merges")  # older versions of tokenizers write "a b"
    halves = [tuple(pair.split(" ")) if isinstance(pair, str) else pair for pair in pairs]
    if not all(len(pair) == 2 and {*pair, "".join(pair)} <= ids.keys() for pair in halves):
        raise ValueError("its merges join what is not in its vocabulary.")
    return _byte_level(models.BPE(vocab=ids, merges=halves))  # type: ignore[arg-type]
