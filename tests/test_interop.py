"""Names of published weights go there and back without loss; what does not fit is said in a sentence; files are read
whole, and pickles only when asked for. That the renamed weights compute the same is tested with each model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from minidiff.pretrained.assemble import assemble, load_strict
from minidiff.pretrained.state_dicts import (
    OLD_VAE,
    OPEN_CLIP,
    ORIGINAL_DIT,
    Layout,
    fill,
    from_diffusers_dit,
    from_open_clip_clip,
    from_transformers_clip,
    match,
    names_of,
    to_diffusers_dit,
    to_open_clip_clip,
    to_ours,
    to_theirs,
    to_transformers_clip,
)
from minidiff.pretrained.weight_file import State, read_weights

LAYOUTS = {"original DiT": ORIGINAL_DIT, "open_clip": OPEN_CLIP, "old VAE": OLD_VAE}
names = st.from_regex(r"\A[a-z][a-z0-9_]{0,6}(\.[a-z0-9_]{1,6}){0,3}\Z")


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@st.composite
def their_states(draw: st.DrawFn, layout: Layout) -> State:
    """Weights with names of a layout, in any order and number of blocks, and others of which it knows nothing."""
    chosen = draw(st.lists(st.sampled_from(layout), min_size=1, max_size=8))
    found = [fill(theirs, map(str, draw(st.lists(st.integers(0, 40), min_size=3, max_size=3)))) for theirs, _ in chosen]
    strangers = draw(st.lists(names, max_size=3))
    ours = [part for _, targets in layout for part in names_of(targets)]
    strangers = [n for n in strangers if not any(match(p, n) for p in [*ours, *(theirs for theirs, _ in layout)])]
    return {name: torch.randn(6, 2) for name in draw(st.permutations([*found, *strangers]))}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_there_and_back_is_the_same(layout: Layout, data: Any) -> None:
    theirs = data.draw(their_states(layout))
    ours = to_ours(theirs, layout)
    assert same(to_theirs(ours, layout), theirs)
    assert same(to_ours(to_theirs(ours, layout), layout), ours)


@given(st.integers(1, 4), st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_diffusers_dit_there_and_back(depth: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    ours = {name: torch.randn(2, generator=generator) for name in ("pos_embed.proj.weight", "emb.class_embedder.t")}
    ours |= {f"transformer_blocks.{n}.norm1.linear.bias": torch.randn(2, generator=generator) for n in range(depth)}
    theirs = to_diffusers_dit(ours)
    assert sum(".norm1.emb.class_embedder.t" in name for name in theirs) == depth
    assert same(from_diffusers_dit(theirs), ours)


@given(st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_open_clip_there_and_back(width: int, joint: int) -> None:
    theirs = {"text_projection": torch.randn(width, joint), "visual.proj": torch.randn(width, joint),
              "transformer.resblocks.3.attn.in_proj_weight": torch.randn(3 * width, width), "logit_scale": torch.ones(())}
    ours = from_open_clip_clip(theirs)
    assert ours["text_projection.weight"].shape == (joint, width)
    assert same(to_open_clip_clip(ours), theirs)
    assert all(tensor.is_contiguous() for tensor in ours.values())


def test_a_stack_is_query_key_value_in_this_order_whatever_ours_is() -> None:
    query, key, value = torch.eye(2), 2 * torch.eye(2), 3 * torch.eye(2)
    parts = {f"text_model.encoder.layers.0.self_attn.{letter}_proj.weight": tensor
             for letter, tensor in (("k", key), ("v", value), ("q", query))}
    stacked = to_open_clip_clip(parts)
    assert same(stacked, {"transformer.resblocks.0.attn.in_proj_weight": torch.cat([query, key, value])})


def test_a_clip_file_keeps_its_prefix_only_where_ours_has_one() -> None:
    tower = {"embeddings.token_embedding.weight": torch.ones(2, 2), "final_layer_norm.bias": torch.ones(2)}
    file = to_transformers_clip(tower) | {"text_model.embeddings.position_ids": torch.arange(2)[None]}
    assert same(from_transformers_clip(file), tower)
    assert same(from_transformers_clip(tower), tower)
    projected = file | {"text_projection.weight": torch.ones(2, 2)}
    assert set(from_transformers_clip(projected)) == {*projected} - {"text_model.embeddings.position_ids"}


def test_stars_stand_for_numbers_and_names_end_at_dots() -> None:
    assert match("blocks.*.mlp.fc1", "blocks.12.mlp.fc1.weight") == (("12",), ".weight")
    assert match("blocks.*.mlp.fc1", "blocks.12.mlp.fc12.weight") is None
    assert match("blocks.*.mlp.fc1", "blocks.x.mlp.fc1.weight") is None
    assert match("emb", "pos_emb.weight") is None and match("emb", "emb") == ((), "")


class TestLoadStrict:
    """Every way not to fit gives one sentence that names file, model and the first weight."""

    state = {"weight": torch.ones(4, 4), "bias": torch.ones(4)}

    @pytest.mark.parametrize(("change", "said"), [
        ({"bias": None}, "1 weight is missing (first: bias)"),
        ({"bias": None, "weight": None}, "2 weights are missing (first: weight)"),
        ({"more": torch.ones(1)}, "1 weight is unknown (first: more)"),
        ({"weight": torch.ones(3, 3)}, "1 weight is of another shape (first: weight has shape (3, 3), not (4, 4))"),
    ])
    def test_what_does_not_fit_is_said(self, change: dict[str, Tensor | None], said: str) -> None:
        state = {name: tensor for name, tensor in {**self.state, **change}.items() if tensor is not None}
        layer = torch.nn.Linear(4, 4)
        before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
        with pytest.raises(ValueError, match=re.escape(f"unet/model.safetensors does not fit Linear: {said}")):
            load_strict(layer, state, "unet/model.safetensors")
        assert same(before, dict(layer.state_dict()))

    def test_all_problems_come_in_one_sentence(self) -> None:
        with pytest.raises(ValueError, match=r"missing .*, .* unknown .*, .* another shape .*; use the configuration"):
            load_strict(torch.nn.Linear(4, 4), {"weight": torch.ones(1), "other": torch.ones(1)}, "file")

    def test_what_fits_is_copied_and_cast(self) -> None:
        layer = torch.nn.Linear(4, 4)
        load_strict(layer, {name: tensor.half() for name, tensor in self.state.items()}, "file")
        assert layer.weight.dtype == torch.float32 and same(dict(layer.state_dict()), self.state)


class TestAssemble:
    """A file is only read, and memory only taken, when its header says that it fits."""

    def test_what_does_not_fit_is_never_read(self) -> None:
        def read() -> State:
            raise AssertionError("It was read.")

        outline = {name: tensor.to("meta") for name, tensor in torch.nn.Linear(4, 4).state_dict().items()}
        for make in (lambda: torch.nn.Linear(4, 5), lambda: torch.nn.Linear(2**20, 2**20)):
            with pytest.raises(ValueError, match="does not fit Linear"):
                assemble(make, outline, "file", read)
        with pytest.raises(ValueError, match="file describes a model that cannot be built: .*divisible"):
            assemble(lambda: torch.nn.GroupNorm(3, 4), outline, "file", read)

    @pytest.mark.parametrize("half", [True, False])
    def test_what_fits_is_the_module_s_own_and_in_its_dtype(self, half: bool) -> None:
        state = {"weight": torch.randn(3, 4).half().float(), "bias": torch.randn(3).half().float()}
        given = {name: tensor.half() if half else tensor for name, tensor in state.items()}
        layer = assemble(lambda: torch.nn.Linear(4, 3), given, "file")
        assert same(dict(layer.state_dict()), state) and layer.weight.dtype == torch.float32 and layer.weight.requires_grad
        with torch.no_grad():
            layer.weight.zero_()
        assert float(given["weight"].abs().max()) > 0

    def test_tables_that_are_no_weights_are_computed(self) -> None:
        class Table(torch.nn.Linear):
            def __init__(self) -> None:
                super().__init__(2, 2)
                self.register_buffer("table", torch.arange(3.0), persistent=False)

        made: Any = assemble(Table, dict(torch.nn.Linear(2, 2).state_dict()), "file")
        assert made.table.tolist() == [0, 1, 2]


class TestReadWeights:
    state = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.float16)}

    def sharded(self, folder: Path) -> Path:
        for n, (name, tensor) in enumerate(self.state.items()):
            save_file({name: tensor}, folder / f"model-{n}.safetensors")
        index = {"metadata": {}, "weight_map": {name: f"model-{n}.safetensors" for n, name in enumerate(self.state)}}
        path = folder / "model.safetensors.index.json"
        path.write_text(json.dumps(index))
        return path

    def test_one_file_and_several_are_the_same(self, tmp_path: Path) -> None:
        save_file(self.state, tmp_path / "model.safetensors")
        assert same(read_weights(tmp_path / "model.safetensors"), self.state)
        assert same(read_weights(self.sharded(tmp_path)), self.state)

    def test_files_of_transformers_are_read(self, tmp_path: Path) -> None:
        """Cut into pieces by the library that cuts the published ones."""
        import transformers

        model = transformers.CLIPTextModel(transformers.CLIPTextConfig(
            vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32))
        model.save_pretrained(tmp_path, max_shard_size="4KB")
        read = from_transformers_clip(read_weights(tmp_path / "model.safetensors.index.json"))
        assert same(read, dict(model.state_dict()))

    def test_a_pickle_is_read_only_when_asked_for(self, tmp_path: Path) -> None:
        for name, content in (("weights.bin", self.state), ("run.ckpt", {"state_dict": self.state, "epoch": 3})):
            torch.save(content, tmp_path / name)
            with pytest.raises(ValueError, match=f"{name} is a pickle, which can run code"):
                read_weights(tmp_path / name)
            assert same(read_weights(tmp_path / name, allow_pickle=True), self.state)

    def test_code_in_a_pickle_never_runs(self, tmp_path: Path) -> None:
        class Trap:
            def __reduce__(self) -> Any:
                return (Path.touch, (tmp_path / "ran",))

        torch.save({"a": Trap()}, tmp_path / "trap.pt")
        with pytest.raises(ValueError, match="trap.pt holds more than weights"):
            read_weights(tmp_path / "trap.pt", allow_pickle=True)
        assert not (tmp_path / "ran").exists()

    def test_damage_is_said(self, tmp_path: Path) -> None:
        index = self.sharded(tmp_path)
        (tmp_path / "cut.safetensors").write_bytes((tmp_path / "model-0.safetensors").read_bytes()[:-4])
        (tmp_path / "empty.pt").write_bytes(b"")
        torch.save([torch.ones(1)], tmp_path / "list.pt")
        (tmp_path / "list.safetensors.index.json").write_text("[]")
        for name, said in (
            ("none.safetensors", "There is no file"), ("cut.safetensors", "cannot be read as safetensors"),
            ("empty.pt", "damaged"), ("list.pt", "no table of names"), ("list.safetensors.index.json", "no index"),
        ):  # fmt: skip
            with pytest.raises(ValueError, match=said):
                read_weights(tmp_path / name, allow_pickle=True)
        (tmp_path / "weights.gguf").write_bytes(b"GGUF")
        with pytest.raises(ValueError, match="weights.gguf is no kind of weights"):
            read_weights(tmp_path / "weights.gguf")
        save_file({"c": torch.ones(1)}, tmp_path / "model-1.safetensors")
        with pytest.raises(ValueError, match="disagree about 'b'"):
            read_weights(index)
        (tmp_path / "model-1.safetensors").unlink()
        with pytest.raises(ValueError, match="needs 'model-1.safetensors', which is not beside it"):
            read_weights(index)

    def test_an_index_cannot_point_out_of_its_folder(self, tmp_path: Path) -> None:
        (tmp_path / "inner").mkdir()
        save_file({"a": torch.ones(1)}, tmp_path / "secret.safetensors")
        index = tmp_path / "inner" / "model.safetensors.index.json"
        index.write_text(json.dumps({"weight_map": {"a": "../secret.safetensors"}}))
        with pytest.raises(ValueError, match="needs '../secret.safetensors', which is not beside it"):
            read_weights(index)
