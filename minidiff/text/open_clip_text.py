"""open_clip's text towers, in folders with `open_clip_config.json`: CLIP's own become ours, others run in open_clip's adapter.

Taught in the lesson on text encoders.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from minidiff.models.clip import TextEncoder, TowerOutput
from minidiff.pretrained import state_dicts
from minidiff.pretrained.assemble import check_fit, load_strict
from minidiff.pretrained.configs import build_model
from minidiff.pretrained.hub import outline_of, read_json, read_state
from minidiff.pretrained.weight_file import State
from minidiff.text.published_tokenizers import PublishedTokenizer, check_tokens
from minidiff.text.published_towers import text_part
from minidiff.utils.validation import Between, convert, one_line


class OpenCLIPTower(nn.Module):
    """open_clip's adapter of a transformers text model (`HFTextEncoder`), with the vectors of all tokens."""

    def __init__(self, text: Any) -> None:
        super().__init__()
        self.text = text

    def forward(self, ids: Tensor, mask: Tensor) -> TowerOutput:
        attention = mask.long()
        out = self.text.transformer(input_ids=ids, attention_mask=attention)
        return TowerOutput(out.last_hidden_state, self.text.proj(self.text.pooler(out, attention)))


def read_folder(folder: Path, allow_pickle: bool = False) -> tuple[PublishedTokenizer, nn.Module]:
    """The tokenizer and the text tower: CLIP's own, or a transformers model such as the multilingual XLM-R. Raises
    ValueError for other designs, and for what is missing or damaged."""
    settings = read_json(folder / "open_clip_config.json").get("model_cfg", {})
    outline = weights_of(outline_of(folder, allow_pickle))
    check_sizes(settings, outline, f"{folder}/open_clip_config.json")
    model, tokenizer = built(folder)
    check_fit(model, outline, str(folder))
    load_strict(model, weights_of(read_state(folder, allow_pickle)), str(folder))
    if hasattr(model, "text") and hasattr(model.text, "pooler"):
        inner = tokenizer.tokenizer
        special = inner.num_special_tokens_to_add()
        words = PublishedTokenizer(
            tokenizer, lambda text: inner(text, add_special_tokens=False, verbose=False).input_ids, inner.decode,
            tokenizer.context_length - special, frozenset(inner.all_special_ids) - {inner.unk_token_id}, inner.pad_token_id,
            inner.unk_token_id,
        )  # fmt: skip
        rows = model.text.transformer.get_input_embeddings().num_embeddings
        return check_tokens(words, rows, folder), OpenCLIPTower(model.text)
    words = PublishedTokenizer(
        tokenizer, tokenizer.encode, tokenizer.decode, tokenizer.context_length - 2, frozenset({*tokenizer.all_special_ids, 0})
    )
    return check_tokens(words, model.vocab_size, folder), clip_tower(model, settings, str(folder))


def weights_of(state: State) -> State:
    """Old files hold `position_ids`, which are no weights."""
    return {name: tensor for name, tensor in state.items() if not name.endswith(".position_ids")}


def check_sizes(settings: Any, outline: State, source: str) -> None:
    """Raises ValueError for sizes that are not in the file: open_clip would build them for hours, or take all memory."""
    settings = convert(settings, dict[str, Any], f"{source}: model_cfg")
    held = sum(tensor.numel() for tensor in outline.values())
    joint = convert(settings.get("embed_dim", 1), int, f"{source}: embed_dim", Between(1, held))
    for part in ("text_cfg", "vision_cfg"):
        sizes = convert(settings.get(part, {}), dict[str, Any], f"{source}: {part}")
        layers = sizes.get("layers", 1)
        layers = convert(layers, list[int] | int, f"{source}: layers of {part}", Between(1, len(outline)))
        depth = sum(layers) if isinstance(layers, list) else layers
        width = convert(sizes.get("width", 1), int, f"{source}: width of {part}", Between(1, held))
        for name in ("context_length", "vocab_size", "heads", "patch_size", "head_width", "image_size"):
            size = sizes.get(name, 1)
            if isinstance(size, int | float | str):
                convert(size, int, f"{source}: {name} of {part}", Between(1, held))
        rows = max(sizes.get("vocab_size", 1), sizes.get("context_length", 1), width * depth, joint)
        largest = width * rows
        if largest > held:
            raise ValueError(f"{source}: {part} describes a tower of {largest:,} numbers or more, and the file holds {held:,}.")


def built(folder: Path) -> tuple[Any, Any]:
    """open_clip's model and tokenizer of a folder. Raises ValueError when it cannot make them."""
    import open_clip

    name = f"local-dir:{folder}"
    try:
        return open_clip.create_model(name, load_weights=False, pretrained_text=False), open_clip.get_tokenizer(name)
    except Exception as error:  # open_clip checks little, so anything may happen
        raise ValueError(f"open_clip cannot build what {folder} describes: {one_line(error)}") from None


def clip_tower(model: Any, settings: dict[str, Any], source: str) -> TextEncoder:
    """The text tower of an open_clip `CLIP` with these settings, as our own. Raises ValueError for other designs."""
    text = settings["text_cfg"]
    strange = sorted(text.keys() - {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"})
    if hasattr(model, "text") or strange:
        raise ValueError(
            f"{source} has a text tower that is neither CLIP's nor transformers' ({', '.join(strange) or 'custom_text'}): "
            "for SigLIP give its folder of transformers, with the kind siglip."
        )
    block = model.transformer.resblocks[0]
    config = {
        "vocab_size": model.vocab_size, "hidden_size": block.ln_1.weight.shape[0], "layers": len(model.transformer.resblocks),
        "heads": text["heads"], "intermediate": block.mlp.c_fc.out_features, "max_length": model.context_length,
        "activation": "quick_gelu" if settings.get("quick_gelu") else "gelu", "projection_dim": settings["embed_dim"],
        "causal": True, "eos_id": None,
    }  # fmt: skip
    return build_model(TextEncoder, config, text_part(state_dicts.from_open_clip_clip(model.state_dict())), source)
