"""Text encoders to choose from: prompts in, vectors out, whoever trained the tower that reads them.

A `WordEncoder` is a tokenizer and a tower. `load_encoder` makes one of ours, of CLIP, SigLIP or T5 in transformers'
folders, or of open_clip's, the multilingual ones among them. Published weights of CLIP and SigLIP go into our own towers
(models/clip.py, models/siglip.py); T5 and XLM-R, which we have no towers for, run as their own classes.
What it is not: a network that draws; one is trained on the vectors of one encoder and understands no other's.
Taught in the lesson on text encoders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from minidiff.models.clip import TextConfig, TextEncoder, TextTransformer, TowerOutput
from minidiff.models.siglip import SigLIPText, SigLIPTextConfig
from minidiff.pretrained import state_dicts, zoo
from minidiff.pretrained.hub import PICKLES, locate, read_json, read_state, require, weights_in
from minidiff.text.tokenizer import Tokenizer, words_of

TOKEN_BUCKET = 8  # texts are padded to a multiple of this, so that few shapes occur and each is planned once
T5_LENGTH = 120  # tokens that PixArt-alpha was trained with (Chen et al. 2023, section 3.1)


class AnyTokenizer(Protocol):
    """What is asked of a tokenizer, ours or a published one."""

    def encode(self, texts: Sequence[str], /) -> tuple[Tensor, Tensor | None]:
        """ids (B, L) int64 and mask (B, L) bool, True for tokens; None where the tower was trained to read its padding."""

    def tokens(self, text: str, /) -> list[str]:
        """The pieces a text is cut into, readable."""

    def unknown_words(self, text: str, /) -> list[str]:
        """Words of the text that mean nothing to the model."""


class WordEncoder:
    """A tokenizer and a tower.

    Args:
        tokenizer: see AnyTokenizer.
        tower: module (ids (B, L), mask (B, L) or None) -> TowerOutput.
    """

    def __init__(self, tokenizer: AnyTokenizer, tower: nn.Module) -> None:
        self.tokenizer, self.tower = tokenizer, tower.eval().requires_grad_(False)

    def read(self, prompts: Sequence[str]) -> tuple[TowerOutput, Tensor]:
        """What the tower makes of some texts, and the mask (B, L)."""
        device = next(self.tower.parameters()).device
        ids, mask = self.tokenizer.encode(list(prompts))
        if mask is not None:
            room = -ids.shape[1] % TOKEN_BUCKET
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
        """One vector for each prompt, (B, D): where the tower has a common space with pictures, the prompt's place in it,
        not yet of length 1."""
        pooled = self.read(prompts)[0].pooled
        return self.tower.text_projection(pooled) if isinstance(self.tower, TextEncoder) else pooled


@dataclass(frozen=True)
class PublishedTokenizer:
    """Somebody else's tokenizer, asked as ours is.

    cut: texts to ids (B, L), padded to L as when the tower was trained. decode: ids to text. specials: ids that are no
    piece of a text. pad_id: hidden from tower and network; None: seen by both. unknown_id: stands for what can't be said.
    """

    cut: Callable[[list[str]], Tensor]
    decode: Callable[[list[int]], str]
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


def transformers_tokenizer(
    tokenizer: Any, length: int, masked: bool = False, clean: Callable[[str], str] = str
) -> PublishedTokenizer:
    """A tokenizer of transformers. length: of every text, in tokens. masked: whether padding is hidden. clean: done to
    each text before."""

    def cut(texts: list[str]) -> Tensor:
        cleaned = [clean(text) for text in texts]
        return tokenizer(cleaned, padding="max_length", max_length=length, truncation=True, return_tensors="pt").input_ids

    ends = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}  # CLIP's unknown is its end token
    unknown = None if tokenizer.unk_token_id in ends else tokenizer.unk_token_id
    specials = frozenset({*tokenizer.all_special_ids, tokenizer.pad_token_id} - {unknown})
    return PublishedTokenizer(cut, tokenizer.decode, specials, tokenizer.pad_token_id if masked else None, unknown)


def reason(error: Exception) -> str:
    """What a library complains of, in one line: some write paragraphs."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def read_tokenizer(folder: Path) -> Any:
    """transformers' tokenizer of a folder. Raises ValueError, naming what it lacks: files, or the package that reads them."""
    from transformers import AutoTokenizer

    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}, where the tokenizer should be: fetch the whole of the model.")
    if not (folder / "tokenizer.json").is_file() and any(folder.glob("*.model")) and find_spec("sentencepiece") is None:
        raise ValueError(f"The tokenizer in {folder} is of SentencePiece: pip install sentencepiece protobuf.")
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # tokenizers raises a bare Exception for a file that it cannot read
        raise ValueError(f"The tokenizer in {folder} cannot be read by transformers: {reason(error)}") from None


class TransformersTower(nn.Module):
    """A text model of transformers that gives a vector for each token; the text's is their mean."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, mask: Tensor) -> TowerOutput:
        sequence = self.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state      # (B, L, D)
        weights = mask / mask.sum(dim=1, keepdim=True)                                          # (B, L)
        return TowerOutput(sequence, torch.einsum("bld,bl->bd", sequence, weights.to(sequence.dtype)))


class OpenCLIPTower(nn.Module):
    """open_clip's adapter of a transformers text model (`HFTextEncoder`), with the vectors of all tokens."""

    def __init__(self, text: Any) -> None:
        super().__init__()
        self.text = text

    def forward(self, ids: Tensor, mask: Tensor) -> TowerOutput:
        attention = mask.long()
        out = self.text.transformer(input_ids=ids, attention_mask=attention)
        return TowerOutput(out.last_hidden_state, self.text.proj(self.text.pooler(out, attention)))


def text_part(state: state_dicts.State) -> state_dicts.State:
    """Of the weights of a `CLIP`, those of its `TextEncoder`."""
    return {name: tensor for name, tensor in state.items() if name.startswith(("text_model.", "text_projection."))}


def ours(folder: Path | str, allow_pickle: bool = False) -> WordEncoder:
    """A text tower of minidiff: a folder that `minidiff export` wrote, or a name of the zoo ("world-clip")."""
    if str(folder) in zoo.manifest():
        config, state = zoo.load(str(folder))
        config, tokenizer, state = config["text"], Tokenizer.load(zoo.path("tokenizer")), text_part(state)
    else:
        where = locate(folder)
        config, tokenizer = read_json(where / "config.json"), Tokenizer.load(where / "tokenizer.json")
        state = read_state(where, allow_pickle)
    tower = TextEncoder(TextConfig(**config))
    state_dicts.load_strict(tower, state, str(folder))
    return WordEncoder(tokenizer, tower)


def text_config(folder: Path) -> Any:
    """transformers' configuration of the text tower in a folder, alone or beside one for pictures."""
    from transformers import AutoConfig

    read_json(folder / "config.json")
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{folder}/config.json describes no model that transformers knows: {reason(error)}") from None
    return getattr(config, "text_config", config)


def shape(config: Any) -> dict[str, Any]:
    """transformers' words for the shape of a text tower, in ours."""
    return {
        "vocab_size": config.vocab_size, "hidden_size": config.hidden_size, "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads, "intermediate": config.intermediate_size,
        "max_length": config.max_position_embeddings, "activation": config.hidden_act, "norm_eps": config.layer_norm_eps,
    }  # fmt: skip


def check_family(config: Any, family: str, folder: Path) -> None:
    """Raises ValueError unless the configuration is of this family of text towers."""
    if not config.model_type.startswith(family):
        raise ValueError(f"{folder} holds a text model of type {config.model_type!r}, but a {family} one is needed.")


def clip_text(folder: Path, allow_pickle: bool = False) -> TextEncoder | TextTransformer:
    """The text tower of CLIP in a folder of transformers, as our own: `TextEncoder`, or `TextTransformer` where there is
    no projection, as in Stable Diffusion."""
    config = text_config(folder)
    check_family(config, "clip", folder)
    eos = None if config.eos_token_id == 2 else config.eos_token_id
    settings = TextConfig(**shape(config), projection_dim=config.projection_dim, causal=True, eos_id=eos)
    state = state_dicts.from_transformers_clip(read_state(folder, allow_pickle))
    kept = text_part(state)
    tower = TextEncoder(settings) if kept else TextTransformer(settings)
    state_dicts.load_strict(tower, kept or state, str(folder))
    return tower


def clip(folder: Path | str, allow_pickle: bool = False) -> WordEncoder:
    """CLIP in a folder of transformers: `CLIPModel`, `CLIPTextModel` or `CLIPTextModelWithProjection`."""
    where = locate(folder, allow_pickle=allow_pickle)
    tower, tokenizer = clip_text(where, allow_pickle), read_tokenizer(where)
    return WordEncoder(transformers_tokenizer(tokenizer, text_config(where).max_position_embeddings), tower)


def siglip(folder: Path | str, allow_pickle: bool = False) -> WordEncoder:
    """SigLIP in a folder of transformers: `SiglipModel` or `SiglipTextModel`."""
    where = locate(folder, allow_pickle=allow_pickle)
    config = text_config(where)
    check_family(config, "siglip", where)
    tower = SigLIPText(SigLIPTextConfig(**shape(config), projection_dim=config.projection_size))
    state = state_dicts.from_transformers_clip(read_state(where, allow_pickle))
    text = {name.removeprefix("text_model."): tensor for name, tensor in state.items() if name.startswith("text_model.")}
    state_dicts.load_strict(tower, text or state, str(where))
    return WordEncoder(transformers_tokenizer(read_tokenizer(where), config.max_position_embeddings), tower)


def open_clip(folder: Path | str, allow_pickle: bool = False) -> WordEncoder:
    """open_clip's text towers in a folder with `open_clip_config.json`: CLIP's own, or a transformers model such as the
    multilingual XLM-R."""
    import open_clip as library

    where = locate(folder, allow_pickle=allow_pickle)
    settings = read_json(where / "open_clip_config.json").get("model_cfg", {})
    name = f"local-dir:{where}"
    try:
        model = library.create_model(name, load_weights=False, pretrained_text=False)
        tokenizer: Any = library.get_tokenizer(name)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise ValueError(f"open_clip cannot build what {where} describes: {reason(error)}") from None
    state = read_state(where, allow_pickle)
    state_dicts.load_strict(model, {k: v for k, v in state.items() if not k.endswith(".position_ids")}, str(where))
    if hasattr(model, "text") and hasattr(model.text, "pooler"):
        inner = tokenizer.tokenizer
        specials = frozenset(inner.all_special_ids) - {inner.unk_token_id}
        words = PublishedTokenizer(tokenizer, inner.decode, specials, inner.pad_token_id, inner.unk_token_id)
        return WordEncoder(words, OpenCLIPTower(model.text))
    tower = open_clip_text(model, settings, str(where))
    return WordEncoder(PublishedTokenizer(tokenizer, tokenizer.decode, frozenset({*tokenizer.all_special_ids, 0})), tower)


def open_clip_text(model: Any, settings: dict[str, Any], source: str) -> TextEncoder:
    """The text tower of an open_clip `CLIP` with these settings, as our own. Raises ValueError for other designs."""
    text = settings["text_cfg"]
    strange = sorted(text.keys() - {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"})
    if hasattr(model, "text") or strange:
        raise ValueError(
            f"{source} has a text tower that is neither CLIP's nor transformers' ({', '.join(strange) or 'custom_text'}): "
            "for SigLIP give its folder of transformers, with the kind siglip."
        )
    block = model.transformer.resblocks[0]
    config = TextConfig(
        vocab_size=model.vocab_size, hidden_size=block.ln_1.weight.shape[0], layers=len(model.transformer.resblocks),
        heads=text["heads"], intermediate=block.mlp.c_fc.out_features, max_length=model.context_length,
        activation="quick_gelu" if settings.get("quick_gelu") else "gelu", projection_dim=settings["embed_dim"],
        causal=True, eos_id=None,
    )  # fmt: skip
    state = state_dicts.from_open_clip_clip(model.state_dict())
    tower = TextEncoder(config)
    state_dicts.load_strict(tower, text_part(state), source)
    return tower


def t5_text(folder: Path, allow_pickle: bool = False) -> TransformersTower:
    """The encoder of a T5 in a folder of transformers, as transformers' own class."""
    from transformers import T5EncoderModel

    check_family(text_config(folder), "t5", folder)
    pickled = weights_in(folder, allow_pickle).suffix in PICKLES
    loaded: Any = T5EncoderModel.from_pretrained(
        folder, local_files_only=True, use_safetensors=not pickled, output_loading_info=True
    )
    model, report = loaded
    for what in ("missing_keys", "mismatched_keys"):
        if report[what]:
            raise ValueError(f"{folder} does not fit T5EncoderModel: {what.replace('_', ' ')} {sorted(report[what])[:1]}.")
    return TransformersTower(model)


def t5_tokenizer(folder: Path) -> PublishedTokenizer:
    """T5's tokenizer, with the cleaning and the length that PixArt-alpha reads captions with."""
    return transformers_tokenizer(read_tokenizer(folder), T5_LENGTH, masked=True, clean=lambda text: text.lower().strip())


def t5(folder: Path | str, allow_pickle: bool = False) -> WordEncoder:
    """T5's encoder in a folder of transformers."""
    where = locate(folder, allow_pickle=allow_pickle)
    return WordEncoder(t5_tokenizer(where), t5_text(where, allow_pickle))


ENCODERS: dict[str, Callable[..., WordEncoder]] = {
    "ours": ours, "clip": clip, "open_clip": open_clip, "siglip": siglip, "t5": t5
}
PACKAGES = {"clip": "transformers", "open_clip": "open_clip", "siglip": "transformers", "t5": "transformers"}


def load_encoder(kind: str, folder: Path | str, allow_pickle: bool = False) -> WordEncoder:
    """A text encoder by its kind, a name in ENCODERS.

    folder: where its configuration, weights and tokenizer are, or the hub's "owner/name"; for "ours" also a zoo name.
    allow_pickle: read weights from a pickle if there are no others (weights, and nothing else).

    Raises ValueError for an unknown kind, for one whose package is not installed, and for a folder that is missing,
    incomplete or of something else.
    """
    if kind not in ENCODERS:
        raise ValueError(f"There is no text encoder {kind!r}: choose one of {', '.join(ENCODERS)}.")
    if kind in PACKAGES:
        require(PACKAGES[kind], f"The text encoder {kind!r}")
    return ENCODERS[kind](folder, allow_pickle)
