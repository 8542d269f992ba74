"""Somebody else's tokenizer behind the same methods as ours (tokenizer.py). Taught in the lesson on text encoders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minidiff.text.tokenizer import words_of
from minidiff.utils.validation import one_line


@dataclass(frozen=True)
class PublishedTokenizer:
    """Somebody else's tokenizer, used as ours is.

    cut: texts to ids (B, L), padded to L as when the tower was trained. pieces: a text to its ids, all of them, without
    specials. decode: ids to text. max_tokens: how many of the pieces `cut` keeps. specials: ids that are no piece of a
    text. pad_id: hidden from tower and network; None: seen by both. unknown_id: stands for what can't be said.
    """

    cut: Callable[[list[str]], Tensor]
    pieces: Callable[[str], list[int]]
    decode: Callable[[list[int]], str]
    max_tokens: int
    specials: frozenset[int]
    pad_id: int | None = None
    unknown_id: int | None = None

    def encode(self, texts: Sequence[str], /) -> tuple[Tensor, Tensor | None]:
        ids = self.cut(list(texts))
        return ids, None if self.pad_id is None else ids != self.pad_id

    def tokens(self, text: str, /) -> list[str]:
        return [self.decode([i]).strip() for i in self.cut([text])[0].tolist() if i not in self.specials]

    def unknown_words(self, text: str, /) -> list[str]:
        return [word for word in dict.fromkeys(words_of(text)) if self.unknown_id in self.cut([word])[0].tolist()]

    def unread(self, text: str, /) -> str:
        rest = self.pieces(text)[self.max_tokens :]
        words = self.decode(rest).replace("▁", " ") if rest else ""  # some tokenizers leave SentencePiece's mark of a space
        return " ".join(words.split())


def transformers_tokenizer(
    tokenizer: Any, length: int, masked: bool = False, clean: Callable[[str], str] = str
) -> PublishedTokenizer:
    """A tokenizer of transformers. length: of every text, in tokens. masked: whether padding is hidden. clean: done to
    each text before. Raises ValueError when no token of a text has room in it."""

    def cut(texts: list[str]) -> Tensor:
        cleaned = [clean(text) for text in texts]
        return tokenizer(cleaned, padding="max_length", max_length=length, truncation=True, return_tensors="pt").input_ids

    def pieces(text: str) -> list[int]:
        return tokenizer(clean(text), add_special_tokens=False, truncation=False, verbose=False).input_ids

    ends = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}  # CLIP's unknown is its end token
    unknown = None if tokenizer.unk_token_id in ends else tokenizer.unk_token_id
    specials = frozenset({*tokenizer.all_special_ids, tokenizer.pad_token_id} - {unknown})
    most = length - tokenizer.num_special_tokens_to_add()
    if most < 1:
        raise ValueError(f"The tokenizer keeps {length} tokens of a text, and none of them would be a word.")
    pad = tokenizer.pad_token_id if masked else None
    return PublishedTokenizer(cut, pieces, tokenizer.decode, most, specials, pad, unknown)


def check_tokens(tokenizer: PublishedTokenizer, vocab_size: int, source: object) -> PublishedTokenizer:
    """The same tokenizer, if it cuts texts into rows of one length with ids that the tower has. Raises ValueError if not."""
    try:
        ids = tokenizer.cut(["", "a red star"])
    except Exception as error:  # whatever a library raises over a damaged file of its own
        raise ValueError(f"The tokenizer in {source} cannot cut a text into tokens: {one_line(error)}") from None
    if ids.ndim != 2 or not 0 <= int(ids.min()) <= int(ids.max()) < vocab_size or torch.equal(ids[0], ids[1]):
        raise ValueError(f"The tokenizer in {source} gives ids up to {int(ids.max())}, and the text encoder has {vocab_size}.")
    return tokenizer


def read_tokenizer(folder: Path) -> Any:
    """transformers' tokenizer of a folder. Raises ValueError, naming what it lacks: files, or the package that reads them."""
    from transformers import AutoTokenizer

    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}, where the tokenizer should be: fetch the whole of the model.")
    strange = next((path for path in folder.iterdir() if not path.is_file() and not path.is_dir()), None)
    if strange is not None:  # a pipe, from which reading would wait for ever, or a link to nothing
        raise ValueError(f"{strange} is no file: fetch the folder of the tokenizer again.")
    if not (folder / "tokenizer.json").is_file() and any(folder.glob("*.model")) and find_spec("sentencepiece") is None:
        raise ValueError(f"The tokenizer in {folder} is of SentencePiece: pip install sentencepiece protobuf.")
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a bare Exception of tokenizers, or a panic of its Rust, which is no Exception at all
        raise ValueError(f"The tokenizer in {folder} cannot be read by transformers: {one_line(error)}") from None
