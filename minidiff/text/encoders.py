"""Text encoders to choose from: prompts in, vectors out, whoever trained the tower that reads them.

A `WordEncoder` is a tokenizer and a tower. `load_encoder` makes one of ours, of CLIP, SigLIP or T5 in transformers'
folders, or of open_clip's, the multilingual ones among them. Published weights of CLIP and SigLIP go into our own towers;
T5 and XLM-R, for which we have none, run as their own classes. A network that was trained on one encoder's vectors
understands no other's. Taught in the lesson on text encoders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from minidiff.models.clip import TextEncoder, TextTransformer, TowerOutput
from minidiff.pretrained import zoo
from minidiff.pretrained.configs import build_model
from minidiff.pretrained.hub import locate, outline_of, read_json, read_state, require
from minidiff.text.published_tokenizers import PublishedTokenizer, check_tokens, read_tokenizer, transformers_tokenizer
from minidiff.text.published_towers import clip_text, siglip_text, t5_text, text_part
from minidiff.text.tokenizer import Tokenizer

TOKEN_BUCKET = 8  # texts are padded to a multiple of this, so that few shapes occur and each is planned once
T5_LENGTH = 120  # tokens that PixArt-alpha was trained with (Chen et al. 2023, section 3.1)


class AnyTokenizer(Protocol):
    """What a tokenizer can do, ours or a published one."""

    @property
    def max_tokens(self) -> int:
        """How many tokens of a text the model reads; the rest is cut off."""

    def encode(self, texts: Sequence[str], /) -> tuple[Tensor, Tensor | None]:
        """ids (B, L) int64 and mask (B, L) bool, True for tokens; None where the tower was trained to read its padding."""

    def tokens(self, text: str, /) -> list[str]:
        """The pieces a text is cut into, readable."""

    def unknown_words(self, text: str, /) -> list[str]:
        """Words of the text that mean nothing to the model."""

    def unread(self, text: str, /) -> str:
        """The end of a text that is cut off; empty for a text that the model reads whole."""


class WordEncoder:
    """A tokenizer and a tower.

    Args: tokenizer: see AnyTokenizer. tower: module (ids (B, L), mask (B, L) or None) -> TowerOutput. It is used as it
        is: neither frozen nor put into eval mode.
        """

    def __init__(self, tokenizer: AnyTokenizer, tower: nn.Module) -> None:
        self.tokenizer, self.tower = tokenizer, tower

    def read(self, prompts: Sequence[str]) -> tuple[TowerOutput, Tensor]:
        """What the tower makes of some texts, and the mask (B, L)."""
        device = next(self.tower.parameters()).device
        ids, mask = self.tokenizer.encode(list(prompts))
        if mask is not None:
            longest = getattr(getattr(self.tower, "config", None), "max_length", None) or ids.shape[1] + TOKEN_BUCKET
            room = min(-ids.shape[1] % TOKEN_BUCKET, max(longest - ids.shape[1], 0))
            ids, mask = nn.functional.pad(ids, (0, room)).to(device), nn.functional.pad(mask, (0, room)).to(device)
        out = self.tower(ids.to(device), mask)
        return out, torch.ones(out.sequence.shape[:2], dtype=torch.bool, device=device) if mask is None else mask

    @torch.inference_mode()
    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Prompts to the context of a network: vectors (B, L, D) and mask (B, L), True where the network may look."""
        out, mask = self.read(prompts)
        return out.sequence, mask

    @torch.inference_mode()
    def pooled(self, prompts: Sequence[str]) -> Tensor:
        """One vector for each prompt, (B, D): where the tower shares a space with images, the prompt's place in it, not
        yet of length 1."""
        pooled = self.read(prompts)[0].pooled
        return self.tower.text_projection(pooled) if isinstance(self.tower, TextEncoder) else pooled


def encoder(tokenizer: AnyTokenizer, tower: nn.Module) -> WordEncoder:
    """Of a tower that was just read: in eval mode, without gradients."""
    return WordEncoder(tokenizer, tower.eval().requires_grad_(False))


def ours(folder: Path | str, allow_pickle: bool = False) -> WordEncoder:
    """A text tower of minidiff: a folder that `minidiff export` wrote, or a name of the zoo ("world-clip")."""
    if str(folder) in zoo.manifest():
        config, state = zoo.load(str(folder))
        tower = build_model(TextEncoder, config.get("text"), text_part(state), str(folder))
        return encoder(our_tokenizer(zoo.path("tokenizer"), tower), tower)
    where = locate(folder)
    config, outline = read_json(where / "config.json"), outline_of(where, allow_pickle)
    tower = build_model(TextEncoder, config, outline, str(folder), lambda: read_state(where, allow_pickle))
    return encoder(our_tokenizer(where / "tokenizer.json", tower), tower)


def our_tokenizer(path: Path, tower: TextEncoder | TextTransformer) -> Tokenizer:
    """The tokenizer of one of our text towers. Raises ValueError when it is another one's."""
    try:
        tokenizer = Tokenizer.load(path, tower.config.max_length)
    except FileNotFoundError:
        raise ValueError(f"There is no tokenizer in {path.parent}: fetch the whole of the model.") from None
    if tokenizer.vocab_size != tower.config.vocab_size:
        sizes = f"{tokenizer.vocab_size} tokens, and the text encoder {tower.config.vocab_size}"
        raise ValueError(f"{path} has {sizes}: they belong to different models.")
    if tokenizer.max_tokens < 1 or tower.config.eos_id not in (None, tokenizer.eos_id):
        raise ValueError(f"The text encoder with {path} reads {tower.config.max_length} tokens and ends texts with "
                         f"{tower.config.eos_id}; it must be 3 or more, and {tokenizer.eos_id}.")  # fmt: skip
    return tokenizer


def clip(folder: Path | str, allow_pickle: bool = False) -> WordEncoder:
    """CLIP in a folder of transformers: `CLIPModel`, `CLIPTextModel` or `CLIPTextModelWithProjection`."""
    where = locate(folder, allow_pickle=allow_pickle)
    tower = clip_text(where, allow_pickle)
    tokenizer = transformers_tokenizer(read_tokenizer(where), tower.config.max_length)
    return encoder(check_tokens(tokenizer, tower.config.vocab_size, where), tower)


def siglip(folder: Path | str, allow_pickle: bool = False) -> WordEncoder:
    """SigLIP in a folder of transformers: `SiglipModel` or `SiglipTextModel`."""
    where = locate(folder, allow_pickle=allow_pickle)
    tower = siglip_text(where, allow_pickle)
    tokenizer = transformers_tokenizer(read_tokenizer(where), tower.config.max_length)
    return encoder(check_tokens(tokenizer, tower.config.vocab_size, where), tower)


def t5_tokenizer(folder: Path, vocab_size: int) -> PublishedTokenizer:
    """T5's tokenizer, with the cleaning and the length that PixArt-alpha reads captions with."""
    tokenizer = read_tokenizer(folder)
    words = transformers_tokenizer(tokenizer, T5_LENGTH, masked=True, clean=lambda text: text.lower().strip())
    return check_tokens(words, vocab_size, folder)


def t5(folder: Path | str, allow_pickle: bool = False) -> WordEncoder:
    """T5's encoder in a folder of transformers."""
    where = locate(folder, allow_pickle=allow_pickle)
    tower = t5_text(where, allow_pickle)
    return encoder(t5_tokenizer(where, tower.vocab_size), tower)


def open_clip(folder: Path | str, allow_pickle: bool = False) -> WordEncoder:
    """open_clip's text towers in a folder with `open_clip_config.json`, see open_clip_text.py."""
    from minidiff.text.open_clip_text import read_folder

    tokenizer, tower = read_folder(locate(folder, allow_pickle=allow_pickle), allow_pickle)
    return encoder(tokenizer, tower)


ENCODERS: dict[str, Callable[..., WordEncoder]] = {
    "ours": ours, "clip": clip, "open_clip": open_clip, "siglip": siglip, "t5": t5
}
PACKAGES = {"clip": "transformers", "open_clip": "open_clip", "siglip": "transformers", "t5": "transformers"}


def load_encoder(kind: str, folder: Path | str, allow_pickle: bool = False) -> WordEncoder:
    """A text encoder by its kind, a name in ENCODERS; its tower is in eval mode and the caller's own.

    folder: where its configuration, weights and tokenizer are, or the hub's "owner/name"; for "ours" also a zoo name.
    allow_pickle: read weights from a pickle if there are no others (weights, and nothing else).

    Raises ValueError for an unknown kind, for one whose package is not installed, and for a folder that is missing, incomplete,
    damaged or of something else.
    """
    if kind not in ENCODERS:
        raise ValueError(f"There is no text encoder {kind!r}: choose one of {', '.join(ENCODERS)}.")
    if kind in PACKAGES:
        require(PACKAGES[kind], f"The text encoder {kind!r}")
    return ENCODERS[kind](folder, allow_pickle)
