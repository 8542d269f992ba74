"""Between published weights and ours: what a file calls a weight, and what we do.

A layout is a list of pairs (their name, our name), in which `*` stands for any number; it is read in both directions.
Our name may be three, then theirs is these stacked (a fused Q, K and V). Names without a pair stay as they are.
What it is not: a reader of configurations or of whole folders. Taught in the lesson on real weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from minidiff.nn.embeddings import position_table
from minidiff.pretrained.weight_file import State

Layout = list[tuple[str, str | tuple[str, ...]]]


def fused(theirs: str, ours: str) -> Layout:
    """Q, K and V stacked: `ours` holds {} where their letters go. Weights and biases."""
    return [(theirs + kind, tuple(f"{ours.format(letter)}.{kind}" for letter in "qkv")) for kind in ("weight", "bias")]


def open_clip_tower(theirs: str, ours: str) -> Layout:
    """The layers of one tower of open_clip."""
    block, layer = f"{theirs}.resblocks.*", f"{ours}.encoder.layers.*"
    return [
        *fused(f"{block}.attn.in_proj_", layer + ".self_attn.{}_proj"),
        (f"{block}.attn.out_proj", f"{layer}.self_attn.out_proj"),
        (f"{block}.ln_1", f"{layer}.layer_norm1"),
        (f"{block}.ln_2", f"{layer}.layer_norm2"),
        (f"{block}.mlp.c_fc", f"{layer}.mlp.fc1"),
        (f"{block}.mlp.c_proj", f"{layer}.mlp.fc2"),
    ]


ORIGINAL_DIT: Layout = [
    ("x_embedder", "pos_embed"),
    ("t_embedder.mlp.0", "emb.timestep_embedder.linear_1"),
    ("t_embedder.mlp.2", "emb.timestep_embedder.linear_2"),
    ("y_embedder", "emb.class_embedder"),
    *fused("blocks.*.attn.qkv.", "transformer_blocks.*.attn1.to_{}"),
    ("blocks.*.attn.proj", "transformer_blocks.*.attn1.to_out.0"),
    ("blocks.*.mlp.fc1", "transformer_blocks.*.ff.net.0.proj"),
    ("blocks.*.mlp.fc2", "transformer_blocks.*.ff.net.2"),
    ("blocks.*.adaLN_modulation.1", "transformer_blocks.*.norm1.linear"),
    ("final_layer.adaLN_modulation.1", "proj_out_1"),
    ("final_layer.linear", "proj_out_2"),
]
OPEN_CLIP: Layout = [
    *open_clip_tower("transformer", "text_model"),
    *open_clip_tower("visual.transformer", "vision_model"),
    ("token_embedding", "text_model.embeddings.token_embedding"),
    ("positional_embedding", "text_model.embeddings.position_embedding.weight"),
    ("ln_final", "text_model.final_layer_norm"),
    ("text_projection", "text_projection.weight"),                          # transposed
    ("visual.class_embedding", "vision_model.embeddings.class_embedding"),
    ("visual.conv1", "vision_model.embeddings.patch_embedding"),
    ("visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"),
    ("visual.ln_pre", "vision_model.pre_layrnorm"),
    ("visual.ln_post", "vision_model.post_layernorm"),
    ("visual.proj", "visual_projection.weight"),                            # transposed
]
OLD_VAE: Layout = [
    (f"{coder}.mid_block.attentions.0.{old}", f"{coder}.mid_block.attentions.0.{new}")
    for coder in ("encoder", "decoder")
    for old, new in (("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0"))
]
TRANSPOSED = ("text_projection.weight", "visual_projection.weight")


def fill(pattern: str, numbers: Iterable[str]) -> str:
    """`pattern` with its stars replaced by `numbers`, from left to right."""
    waiting = iter(numbers)
    return re.sub(r"\*", lambda _: next(waiting), pattern)


def match(pattern: str, name: str) -> tuple[tuple[str, ...], str] | None:
    """The numbers in place of the stars and what follows, where `name` is `pattern` or lies below it; else None."""
    found = re.match(re.escape(pattern).replace(r"\*", r"(\d+)") + r"(?=\.|$)", name)
    return (found.groups(), name[found.end():]) if found else None


def names_of(targets: str | tuple[str, ...]) -> tuple[str, ...]:
    return (targets,) if isinstance(targets, str) else targets


def to_ours(state: Mapping[str, Tensor], layout: Layout) -> State:
    """Weights by their names to weights by ours; what is stacked is cut into equal parts."""
    ours: State = {}
    for name, tensor in state.items():
        for theirs, targets in layout:
            if (place := match(theirs, name)) is not None:
                parts = names_of(targets)
                for target, part in zip(parts, tensor.tensor_split(len(parts)), strict=True):
                    ours[fill(target, place[0]) + place[1]] = part
                break
        else:
            ours[name] = tensor
    return ours


def to_theirs(state: Mapping[str, Tensor], layout: Layout) -> State:
    """The way back: weights by our names to weights by theirs, stacked where theirs are."""
    pairs = [(theirs, index, ours) for theirs, targets in layout for index, ours in enumerate(names_of(targets))]
    found: dict[str, dict[int, Tensor]] = {}        # their name to its parts, by place in the stack
    for name, tensor in state.items():
        for theirs, index, ours in pairs:
            if (place := match(ours, name)) is not None:
                found.setdefault(fill(theirs, place[0]) + place[1], {})[index] = tensor
                break
        else:
            found[name] = {0: tensor}
    return {name: torch.cat([parts[i] for i in sorted(parts)]) if len(parts) > 1 else parts[0]
            for name, parts in found.items()}


def transposed(state: Mapping[str, Tensor], names: Iterable[str]) -> State:
    """The same weights, those of `names` transposed (a matrix to multiply by, against a linear layer)."""
    return {name: tensor.T.contiguous() if name in names else tensor for name, tensor in state.items()}


def from_original_dit(state: Mapping[str, Tensor]) -> State:
    """Weights of the original DiT repository to `ClassDiT`'s (freq_shift 0, mlp_norm_eps 1e-6). Its table of positions
    is left out: it is fixed, and ours is the same."""
    return to_ours({name: tensor for name, tensor in state.items() if name != "pos_embed"}, ORIGINAL_DIT)


def to_original_dit(state: Mapping[str, Tensor], grid: int) -> State:
    """The way back. grid: patches along a side, sample_size / patch_size, of the table of positions to be added."""
    table = position_table(state["pos_embed.proj.weight"].shape[0], grid, grid)[None]           # (1, N, D)
    return {"pos_embed": table, **to_theirs(state, ORIGINAL_DIT)}


def from_diffusers_dit(state: Mapping[str, Tensor]) -> State:
    """Weights of diffusers' `DiTTransformer2DModel` to `ClassDiT`'s (freq_shift 1, mlp_norm_eps 1e-5 for its numbers).

    Raises ValueError if its blocks, each of which has an embedding of time and class, don't have the same.
    """
    ours: State = {}
    for name, tensor in state.items():
        place = match("transformer_blocks.*.norm1.emb", name)
        target = name if place is None else "emb" + place[1]
        if target in ours and not torch.equal(ours[target], tensor):
            raise ValueError(f"{name} is not the same as in other blocks; ClassDiT has one embedding for all of them.")
        ours[target] = tensor
    return ours


def to_diffusers_dit(state: Mapping[str, Tensor]) -> State:
    """The way back: the embedding is repeated in every block."""
    depth = 1 + max(int(place[0][0]) for name in state if (place := match("transformer_blocks.*", name)))
    theirs: State = {}
    for name, tensor in state.items():
        below = match("emb", name)
        targets = [f"transformer_blocks.{n}.norm1.emb{below[1]}" for n in range(depth)] if below else [name]
        theirs |= dict.fromkeys(targets, tensor)
    return theirs


def from_open_clip_clip(state: Mapping[str, Tensor]) -> State:
    """Weights of open_clip's `CLIP` (ViT towers) to those of our `CLIP` with eos_id None, causal True, and quick_gelu
    for OpenAI's weights."""
    return transposed(to_ours(state, OPEN_CLIP), TRANSPOSED)


def to_open_clip_clip(state: Mapping[str, Tensor]) -> State:
    """The way back."""
    return to_theirs(transposed(state, TRANSPOSED), OPEN_CLIP)


def from_transformers_clip(state: Mapping[str, Tensor]) -> State:
    """Weights from a file of transformers' CLIP or SigLIP to ours. Old files hold `position_ids`, which are no weights;
    files of a tower alone have all names below `text_model.` or `vision_model.`, which its class no longer has."""
    weights = {name: tensor for name, tensor in state.items() if not name.endswith(".position_ids")}
    for tower in ("text_model.", "vision_model."):
        if all(name.startswith(tower) for name in weights):
            return {name.removeprefix(tower): tensor for name, tensor in weights.items()}
    return weights


def to_transformers_clip(state: Mapping[str, Tensor], tower: str = "text_model") -> State:
    """Weights of a tower alone (`TextTransformer`, `VisionTransformer`) with the names that files have."""
    return {f"{tower}.{name}": tensor for name, tensor in state.items()}


def from_linear_projection(state: Mapping[str, Tensor]) -> State:
    """Weights of a `UNet2DConditionModel` to `UNet`'s: since Stable Diffusion 2 the layers round a transformer block are
    linear, where ours are 1 x 1 convolutions, which is the same."""
    round_it = (".proj_in.weight", ".proj_out.weight")
    return {name: tensor[:, :, None, None] if name.endswith(round_it) and tensor.ndim == 2 else tensor
            for name, tensor in state.items()}  # fmt: skip


def from_old_vae(state: Mapping[str, Tensor]) -> State:
    """Weights of an `AutoencoderKL` to `VAE`'s, whatever their age: old files say query, key, value, proj_attn, and some
    store them as 1 x 1 convolutions. New files stay as they are."""
    ours = to_ours(state, OLD_VAE)
    return {name: tensor[:, :, 0, 0] if ".attentions." in name and tensor.shape[2:] == (1, 1) else tensor
            for name, tensor in ours.items()}
