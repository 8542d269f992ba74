"""What `record_attention` shows is the attention that happened; not recording costs nothing and recording changes nothing."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from minidiff.inference import prepare
from minidiff.inference.text_cache import FusedCrossAttention, KeysValues
from minidiff.models.class_dit import ClassDiT, ClassDiTConfig
from minidiff.models.clip import TextConfig, TextEncoder
from minidiff.models.dit import DiT, DiTConfig
from minidiff.models.unet import UNet, UNetConfig
from minidiff.nn import attention
from minidiff.nn.attention import Attention
from minidiff.nn.attention_maps import AttentionMap, record_attention, token_maps

CONFIG = DiTConfig(sample_size=8, hidden_size=32, depth=2, heads=4, caption_channels=12)


def shaken(model: Any) -> Any:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    return model.eval()


def inputs(length: int = 5) -> tuple[Tensor, ...]:
    """x, timestep, captions and their mask; the second caption is two tokens long."""
    generator = torch.Generator().manual_seed(1)
    x, context = torch.randn(2, 4, 8, 8, generator=generator), torch.randn(2, length, 12, generator=generator)
    return x, torch.tensor([3.0, 421.5]), context, torch.arange(length) < torch.tensor([length, 2])[:, None]


def test_maps_of_cross_attention_are_pytorchs() -> None:
    layer = Attention(12, 6, heads=3, head_dim=4, bias=True)
    x, context = torch.randn(2, 7, 12), torch.randn(2, 5, 6)
    reference = nn.MultiheadAttention(12, 3, kdim=6, vdim=6, batch_first=True)
    reference.q_proj_weight, reference.k_proj_weight = layer.to_q.weight, layer.to_k.weight
    reference.v_proj_weight = layer.to_v.weight
    reference.in_proj_bias = nn.Parameter(torch.cat([layer.to_q.bias, layer.to_k.bias, layer.to_v.bias]))
    hidden = torch.arange(5) >= torch.tensor([5, 3])[:, None]
    with record_attention(layer) as maps:
        layer(x, context, mask=~hidden[:, None, None])
    _, expected = reference(x, context, context, key_padding_mask=hidden, average_attn_weights=False)
    assert [m.name for m in maps] == [""]
    assert_close(maps[0].weights, expected)


@pytest.mark.parametrize("form", ["plain", "fused", "cached", "bf16"])
def test_every_layer_of_a_dit_is_recorded_whatever_form_it_runs_in(form: str) -> None:
    model = shaken(DiT(CONFIG))
    x, timestep, context, mask = inputs(9 if form == "cached" else 5)
    prepared = prepare(model, torch.bfloat16 if form == "bf16" else torch.float32)
    with torch.inference_mode(), record_attention(model) as maps:
        if form == "plain":
            model(x, timestep, context, mask)
        else:
            caption = prepared.prepare_context(context, mask)
            assert isinstance(caption.layers[0], KeysValues if form == "cached" else FusedCrossAttention)
            prepared(x, timestep, caption)
    layers = [f"transformer_blocks.{block}.{name}" for block in range(2) for name in ("attn1", "attn2")]
    assert [m.name for m in maps] == layers
    with torch.no_grad():
        expected = by_hand(model, x, timestep, context, mask)
    near = {"atol": 0.03, "rtol": 0.05} if form == "bf16" else {"atol": 1e-5, "rtol": 1e-4}
    for found, weights in zip(maps, expected, strict=True):
        assert_close(found.weights, weights, **near)
        assert_close(found.weights.sum(dim=-1), torch.ones(found.weights.shape[:3]), **near)
    assert torch.count_nonzero(maps[1].weights[1, :, :, 2:]) == 0       # padding is not looked at


def by_hand(model: DiT, x: Tensor, timestep: Tensor, context: Tensor, mask: Tensor) -> list[Tensor]:
    """softmax(Q K^T / sqrt(d)) of every layer, from the vectors that the layers are given."""
    weights: list[Tensor] = []

    def note(layer: Any, arguments: tuple[Tensor, ...]) -> None:
        query = layer.to_q(arguments[0]).reshape(2, -1, 4, 8)
        key = layer.to_k(arguments[-2] if len(arguments) == 3 else arguments[0]).reshape(2, -1, 4, 8)
        logits = torch.einsum("bnhd,blhd->bhnl", query, key) / 8**0.5
        if len(arguments) == 3:         # cross-attention
            logits = logits.masked_fill(~mask[:, None, None], -torch.inf)
        weights.append(logits.exp() / logits.exp().sum(dim=-1, keepdim=True))

    handles = [m.register_forward_pre_hook(note) for m in model.modules() if isinstance(m, Attention)]
    model(x, timestep, context, mask)
    for handle in handles:
        handle.remove()
    return weights


@pytest.mark.parametrize("width", [12, None])
def test_a_prepared_unet_is_recorded_as_the_plain_one(width: int | None) -> None:
    config = UNetConfig(
        sample_size=8, groups=4, layers=1, channels=(8, 16), attention=(True, False), heads=4, context_dim=width
    )
    model, (x, timestep, context, mask) = shaken(UNet(config)), inputs()
    given = {"context": context, "mask": mask} if config.context_dim else {}
    prepared = prepare(model)
    with torch.inference_mode():
        with record_attention(model) as expected:
            model(x, timestep, **given)
        ready = prepared.prepare_context(**given)
        with record_attention(model) as maps:
            prepared(x, timestep, ready)
    assert ready.layers is not None and len(maps) == (8 if config.context_dim else 4)
    assert [m.name for m in maps] == [m.name for m in expected]
    for found, wanted in zip(maps, expected, strict=True):
        assert_close(found.weights, wanted.weights, atol=1e-5, rtol=1e-4)


def test_recording_changes_no_bit_of_what_is_computed() -> None:
    model, (x, timestep, context, mask) = shaken(DiT(CONFIG)), inputs()
    fast, coarse = prepare(model), prepare(model, torch.bfloat16)
    for run in (
        lambda: model(x, timestep, context, mask),
        lambda: fast(x, timestep, fast.prepare_context(context, mask)),
        lambda: coarse(x, timestep, coarse.prepare_context(context, mask)),
    ):
        with torch.no_grad():
            before = run()
            with record_attention(model):
                during = run()
            assert torch.equal(before, during) and torch.equal(before, run())


def test_without_a_recorder_the_fused_kernel_runs_and_no_map_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    model, (x, timestep, context, mask) = shaken(DiT(CONFIG)), inputs()
    calls: list[str] = []
    fused, weights = F.scaled_dot_product_attention, attention.attention_weights

    def counted(kind: str, function: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Tensor:
            calls.append(kind)
            return function(*arguments, **options)

        return call

    monkeypatch.setattr(F, "scaled_dot_product_attention", counted("fused", fused))
    monkeypatch.setattr(attention, "attention_weights", counted("map", weights))
    model(x, timestep, context, mask)
    assert calls == ["fused"] * 4
    calls.clear()
    with record_attention(model, "attn2") as maps:
        model(x, timestep, context, mask)
    assert sorted(calls) == ["fused"] * 4 + ["map"] * 2 and len(maps) == 2
    calls.clear()
    with pytest.raises(RuntimeError, match="stop"), record_attention(model):
        raise RuntimeError("stop")
    model(x, timestep, context, mask)
    assert calls == ["fused"] * 4       # an error inside ends the recording too


def test_only_the_model_named_and_only_this_thread_are_recorded() -> None:
    model, other, (x, timestep, context, mask) = shaken(DiT(CONFIG)), shaken(DiT(CONFIG)), inputs()
    with record_attention(model) as maps:
        other(x, timestep, context, mask)
        thread = threading.Thread(target=lambda: model(x, timestep, context, mask))
        thread.start()
        thread.join()
        assert maps == []
        with record_attention(other, "attn1") as inner:
            other(x, timestep, context, mask)
        model(x, timestep, context, mask)
    assert len(inner) == 2 and len(maps) == 4


def test_the_other_transformers_are_recorded_too() -> None:
    dit = shaken(ClassDiT(ClassDiTConfig(sample_size=8, hidden_size=32, depth=2, heads=4, num_classes=3)))
    text = shaken(TextEncoder(TextConfig(vocab_size=9, hidden_size=16, layers=2, heads=2, intermediate=32, causal=True)))
    with torch.no_grad(), record_attention(dit) as seen:
        dit(torch.randn(1, 4, 8, 8), torch.tensor([5]), torch.tensor([3]))
    with torch.no_grad(), record_attention(text) as read:
        text(torch.tensor([[1, 5, 7, 2]]))
    assert [m.name for m in seen] == ["transformer_blocks.0.attn1", "transformer_blocks.1.attn1"]
    assert [m.name for m in read] == [f"text_model.encoder.layers.{n}.self_attn" for n in range(2)]
    assert seen[0].weights.shape == (1, 4, 16, 16)
    assert torch.count_nonzero(read[0].weights[0].triu(1)) == 0       # causal: nobody looks ahead


def test_token_maps_lie_where_the_tokens_looked() -> None:
    """A tall picture in three resolutions, as a U-Net has: token 1 is looked at by the lower half only."""
    maps = []
    for shrink in (1, 2, 4):
        rows, columns = 8 // shrink, 4 // shrink
        weights = torch.zeros(1, 2, rows, columns, 3)
        weights[..., 0] = 1.0
        weights[:, :, rows // 2 :] = torch.tensor([0.0, 1.0, 0.0])
        maps.append(AttentionMap(f"level {shrink}", weights.flatten(2, 3)))
    pictures = token_maps(maps, 8, 4)
    assert pictures.shape == (1, 3, 8, 4)
    assert_close(pictures.sum(dim=1), torch.ones(1, 8, 4))
    assert_close(pictures[0, 1, [0, 7]], torch.tensor([0.0, 1.0])[:, None].expand(2, 4))
    assert_close(token_maps(maps[:1], 8, 4)[0], maps[0].weights[0].mean(0).T.reshape(3, 8, 4))


def test_what_does_not_fit_is_said() -> None:
    one, other = AttentionMap("a", torch.ones(1, 2, 16, 3) / 3), AttentionMap("b", torch.ones(1, 2, 16, 4) / 4)
    with pytest.raises(ValueError, match="2 different"):
        token_maps([one, other], 4, 4)
    with pytest.raises(ValueError, match="0 different"):
        token_maps([], 4, 4)
    with pytest.raises(ValueError, match="a looked from 16 places, which is no 5 x 5 grid"):
        token_maps([one], 5, 5)
    with pytest.raises(ValueError, match="'attn3'"), record_attention(DiT(CONFIG), "attn3"):
        pass
