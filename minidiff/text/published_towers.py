"""Text towers in folders of transformers: CLIP's and SigLIP's in our own classes, T5's in transformers'.

Not here: tokenizers (published_tokenizers.py), and the choice of an encoder (encoders.py). Taught in the lesson on text
encoders.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minidiff.models.clip import TextEncoder, TextTransformer, TowerOutput
from minidiff.models.siglip import SigLIPText
from minidiff.pretrained import state_dicts
from minidiff.pretrained.assemble import check_fit, planned
from minidiff.pretrained.configs import build_model, check_blocks
from minidiff.pretrained.hub import outline_of, read_json, read_state, weights_in
from minidiff.pretrained.weight_file import PICKLES, State, check_finite
from minidiff.utils.validation import Between, convert, one_line


class TransformersTower(nn.Module):
    """A text model of transformers that gives a vector for each token; the text's is their mean."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    @property
    def vocab_size(self) -> int:
        return self.model.get_input_embeddings().num_embeddings

    @property
    def width(self) -> int:
        """D of the vectors."""
        return self.model.get_input_embeddings().embedding_dim

    def forward(self, ids: Tensor, mask: Tensor) -> TowerOutput:
        sequence = self.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state      # (B, L, D)
        weights = mask / mask.sum(dim=1, keepdim=True)                                          # (B, L)
        return TowerOutput(sequence, torch.einsum("bld,bl->bd", sequence, weights.to(sequence.dtype)))


def text_config(folder: Path) -> Any:
    """transformers' configuration of the text tower in a folder, alone or beside one for images."""
    from transformers import AutoConfig

    read_json(folder / "config.json")
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # OSError, ValueError, KeyError, and the errors of several checkers of types
        raise ValueError(f"{folder}/config.json describes no model that transformers knows: {one_line(error)}") from None
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


def text_part(state: State) -> State:
    """Of the weights of a `CLIP`, those of its `TextEncoder`."""
    return {name: tensor for name, tensor in state.items() if name.startswith(("text_model.", "text_projection."))}


def clip_text(folder: Path, allow_pickle: bool = False) -> TextEncoder | TextTransformer:
    """The text tower of CLIP in a folder of transformers, as our own: `TextEncoder`, or `TextTransformer` where there is no
    projection, as in Stable Diffusion."""
    config = text_config(folder)
    check_family(config, "clip", folder)
    eos = None if config.eos_token_id == 2 else config.eos_token_id
    settings = {**shape(config), "projection_dim": config.projection_dim, "causal": True, "eos_id": eos}
    outline = state_dicts.from_transformers_clip(outline_of(folder, allow_pickle))
    projected = bool(text_part(outline))

    def read() -> State:
        state = state_dicts.from_transformers_clip(read_state(folder, allow_pickle))
        return text_part(state) if projected else state

    tower = TextEncoder if projected else TextTransformer
    return build_model(tower, settings, text_part(outline) if projected else outline, str(folder), read)


def siglip_text(folder: Path, allow_pickle: bool = False) -> SigLIPText:
    """The text tower of SigLIP in a folder of transformers, as our own."""
    config = text_config(folder)
    check_family(config, "siglip", folder)

    def text_of(state: State) -> State:
        state = state_dicts.from_transformers_clip(state)
        text = {name.removeprefix("text_model."): tensor for name, tensor in state.items() if name.startswith("text_model.")}
        return text or state

    settings = {**shape(config), "projection_dim": config.projection_size}
    outline = text_of(outline_of(folder, allow_pickle))
    return build_model(SigLIPText, settings, outline, str(folder), lambda: text_of(read_state(folder, allow_pickle)))


def t5_text(folder: Path, allow_pickle: bool = False) -> TransformersTower:
    """The encoder of a T5 in a folder of transformers."""
    from transformers import T5EncoderModel

    config, source = text_config(folder), str(folder)
    check_family(config, "t5", folder)
    for name in ("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads", "relative_attention_num_buckets"):
        convert(getattr(config, name, None), int, f"{source}: {name}", Between(1, 2**20))
    convert(config.layer_norm_epsilon, float, f"{source}: layer_norm_epsilon", Between(0, 1, above=True))
    outline = outline_of(folder, allow_pickle)
    check_blocks(config.num_layers, outline, source)
    plan = planned(lambda: T5EncoderModel(config), source)
    check_fit(plan, encoder_part(outline, plan.state_dict()), source)
    pickled = weights_in(folder, allow_pickle).suffix in PICKLES
    try:
        model = T5EncoderModel.from_pretrained(folder, config=config, local_files_only=True, use_safetensors=not pickled)
    except Exception as error:  # nothing that is known of here; transformers has many ways to fail
        raise ValueError(f"{source} cannot be read by transformers: {one_line(error)}") from None
    check_finite(dict(model.state_dict()), source)
    return TransformersTower(model)


def encoder_part(outline: State, expected: State) -> State:
    """Of a file's weights, those of T5's encoder. A file may hold the decoder, too, and has one or both of the
    embedding's names."""
    both = ("shared.weight", "encoder.embed_tokens.weight")
    others = {name: tensor for name, tensor in outline.items() if not name.startswith(("decoder.", "lm_head.", *both))}
    shared = [outline[name] for name in both if name in outline]
    return others | {name: shared[0] for name in both if shared and name in expected}
