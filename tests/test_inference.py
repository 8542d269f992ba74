"""`inference` changes how long a prediction takes and nothing else: prepared networks give what the plain ones give, also
after a change of the weights, with hooks, with LoRA in place, in training mode, with padding, with several captions a latent,
in bf16."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from doubled import Doubled
from torch import Tensor, nn
from torch.testing import assert_close

from minidiff.inference import Context, Prepared, prepare
from minidiff.inference.changes import SAMPLES, Watch
from minidiff.inference.cpu import PrepackedFeedForward, PrepackedSelfAttention
from minidiff.inference.prepared import PreparedDiT, PreparedUNet
from minidiff.inference.text_cache import FusedCrossAttention, KeysValues
from minidiff.models.dit import DiT, DiTConfig
from minidiff.models.unet import Transformer, UNet, UNetConfig

DIT = DiTConfig(sample_size=8, hidden_size=32, depth=3, heads=4, caption_channels=12)
CAPTIONED = UNetConfig(
    sample_size=8, groups=4, layers=1, channels=(8, 16, 24), attention=(True, False, True), heads=4, context_dim=12
)
LABELLED = UNetConfig(
    sample_size=8, groups=4, layers=1, channels=(8, 16), attention=(False, True), head_dim=4, context_dim=None, classes=5
)
NETWORKS: dict[str, Any] = {"dit": DIT, "captioned unet": CAPTIONED, "labelled unet": LABELLED}
TIME = torch.tensor([421.5])


def shaken(name: str = "dit") -> Any:
    """A network whose every parameter is random; at its start it predicts 0, which would agree with anything."""
    torch.manual_seed(0)
    config = NETWORKS[name]
    model = DiT(config) if isinstance(config, DiTConfig) else UNet(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    return model.eval()


def inputs(name: str = "dit", length: int = 5, rounds: int = 1) -> tuple[Tensor, dict[str, Tensor]]:
    """x, and captions with masks (one full, one cut, one of two tokens), or labels, `rounds` for each x."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, 4, 8, 8, generator=generator)
    if name == "labelled unet":
        return x, {"labels": torch.tensor([0, 4, 2, 1, 3, 0])[: 3 * rounds]}
    context = torch.randn(3 * rounds, length, 12, generator=generator)
    ends = torch.tensor([length, length - 1, 2, 3, 1, length])[: 3 * rounds]
    return x, {"context": context, "mask": torch.arange(length) < ends[:, None]}


@torch.no_grad()
def plain(network: nn.Module, x: Tensor, given: dict[str, Tensor], timestep: Tensor = TIME) -> Tensor:
    """What the plain network predicts, one latent and caption after the other."""
    rounds = len(next(iter(given.values()))) // len(x)
    rows = zip(x.repeat(rounds, 1, 1, 1), timestep.expand(len(x)).repeat(rounds), strict=True)
    return torch.cat([
        network(latent[None], time[None], **{name: value[k : k + 1] for name, value in given.items()})
        for k, (latent, time) in enumerate(rows)
    ])


def fast(prepared: Prepared, x: Tensor, given: dict[str, Tensor], timestep: Tensor = TIME) -> Tensor:
    with torch.inference_mode():
        return prepared(x, timestep, prepared.prepare_context(**given))


def near(got: Tensor, expected: Tensor) -> None:
    assert expected.std() > 0.1
    assert_close(got, expected, rtol=1e-4, atol=1e-5)


# --- the same predictions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [1, 2])
@pytest.mark.parametrize("times", [TIME, torch.tensor([3.0, 421.5, 999.0])], ids=["one time", "a time each"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_prepared_network_predicts_the_same(name: str, times: Tensor, rounds: int) -> None:
    network, (x, given) = shaken(name), inputs(name, rounds=rounds)
    prepared = prepare(network)
    near(fast(prepared, x, given, times), plain(network, x, given, times))
    assert prepared.prepare_context(**given).layers is not None       # and it was not the plain network that ran


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("length", [5, 7, 8, 20])
def test_short_captions_are_fused_and_long_ones_cached(length: int, masked: bool) -> None:
    network, (x, given) = shaken(), inputs(length=length)
    form = FusedCrossAttention if 4 * length < 32 else KeysValues       # 4 heads, width 32
    if not masked:
        del given["mask"]
    prepared = prepare(network)
    layers = prepared.prepare_context(**given).layers
    assert len(layers) == 3 and all(isinstance(layer, form) for layer in layers)
    near(fast(prepared, x, given), plain(network, x, given))


def test_every_cross_attention_of_a_unet_has_its_own_cache() -> None:
    layers = prepare(shaken("captioned unet")).prepare_context(**inputs()[1]).layers
    assert len(layers) == 7 and len({layer.key.shape for layer in layers}) == 2


@pytest.mark.parametrize("name", NETWORKS)
def test_bf16_stays_near_and_answers_in_float32(name: str) -> None:
    network, (x, given) = shaken(name), inputs(name, rounds=2)
    got, expected = fast(prepare(network, torch.bfloat16), x, given), plain(network, x, given)
    assert got.dtype == torch.float32 and 0 < (got - expected).abs().max() < 0.15 * expected.std()
    assert next(network.parameters()).dtype == torch.float32


def test_a_network_in_half_precision_takes_and_gives_float32() -> None:
    """As on a GPU, where the network itself has the dtype."""
    network, (x, given) = shaken(), inputs(rounds=2)
    expected = plain(network, x, given)
    prepared = prepare(network.bfloat16(), torch.bfloat16)
    for hook in (False, True):      # with one the plain network runs
        if hook:
            network.register_forward_hook(lambda *_: None)
        got = fast(prepared, x, given)
        assert got.dtype == torch.float32 and 0 < (got - expected).abs().max() < 0.15 * expected.std()


@pytest.mark.parametrize("name", ["dit", "captioned unet"])
def test_without_onednns_kernels_the_same_comes_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minidiff.inference.cpu.reordered", lambda weight: None)
    network, (x, given) = shaken(name), inputs(name)
    near(fast(prepare(network), x, given), plain(network, x, given))


def test_guidance_shares_what_comes_before_the_caption(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two captions a latent: the first self-attention runs for the latents alone."""
    rows: list[int] = []
    forward = PrepackedSelfAttention.forward
    monkeypatch.setattr(PrepackedSelfAttention, "forward", lambda self, x: rows.append(len(x)) or forward(self, x))
    x, given = inputs(rounds=2)
    fast(prepare(shaken()), x, given)
    assert rows == [3, 6, 6]


def test_what_is_prepared_is_really_used() -> None:
    for name, count in (("dit", 3), ("captioned unet", 7)):
        prepared = prepare(shaken(name))
        prepared.prepare_context(**inputs(name)[1])
        laid_out = prepared._layout
        layers = [layer for block in laid_out for layer in block] if name == "dit" else list(laid_out[0].modules())
        for kind in (PrepackedSelfAttention, PrepackedFeedForward):
            assert sum(isinstance(layer, kind) for layer in layers) == count


def test_a_unets_convolutions_run_channels_last() -> None:
    """The layout in which a CPU predicts fastest, whatever the layout of x."""
    prepared, seen = prepare(shaken("captioned unet")), []
    x, given = inputs()
    prepared.prepare_context(**given)
    for module in prepared._layout[0].modules():
        if isinstance(module, nn.Conv2d) and module.out_channels > 8:
            module.register_forward_hook(lambda m, i, out: seen.append(out.stride(1) == 1))
    fast(prepared, x, given)
    assert len(seen) > 10 and all(seen)


# --- the plain network stays in charge --------------------------------------------------------------------------------------


def halve_data(network: Any) -> None:
    for parameter in network.parameters():
        parameter.data.mul_(0.5)


@torch.no_grad()
def halve_in_place(network: Any) -> None:
    for parameter in network.parameters():
        parameter.mul_(0.5)


@torch.inference_mode()
def halve_in_inference_mode(network: Any) -> None:
    for parameter in network.parameters():
        parameter.mul_(0.5)


def load_halved(network: Any, assign: bool = False) -> None:
    network.load_state_dict({name: tensor / 2 for name, tensor in network.state_dict().items()}, assign=assign)


def optimise(network: Any) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()


def through_numpy(network: Any) -> None:
    for parameter in network.parameters():
        parameter.detach().numpy()[:] *= 0.5


def one_number(network: Any) -> None:
    with torch.no_grad():
        leaf(network, nn.Linear, "ff.net.2").weight[3, 5] += 20


def another_layer(network: Any) -> None:
    name = next(name for name, _ in network.named_modules() if name.endswith("attn1"))
    attention = network.get_submodule(name)
    attention.to_v = nn.Linear(attention.to_v.in_features, attention.to_v.out_features, bias=attention.to_v.bias is not None)


def another_parameter(network: Any) -> None:
    layer = leaf(network, nn.Linear, "ff.net.2")
    layer.weight = nn.Parameter(layer.weight.detach().flip(0).clone())


def leaf(network: Any, kind: type, end: str) -> Any:
    return next(m for name, m in network.named_modules() if isinstance(m, kind) and name.endswith(end))


CHANGES: dict[str, Callable[[Any], None]] = {
    ".data": halve_data, "in place": halve_in_place, "in inference mode": halve_in_inference_mode, "loaded": load_halved,
    "loaded by assignment": lambda network: load_halved(network, assign=True), "an optimiser's step": optimise,
    "through numpy": through_numpy, "one number": one_number, "another layer": another_layer,
    "another parameter": another_parameter, "dtype there and back": lambda network: halve_in_place(network.double().float()),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["dit", "captioned unet"])
def test_the_next_image_uses_the_changed_weights(name: str, change: str) -> None:
    network, (x, given) = shaken(name), inputs(name)
    prepared = prepare(network)
    before = fast(prepared, x, given)
    CHANGES[change](network)
    expected = plain(network, x, given)
    assert not torch.allclose(before, expected, rtol=1e-3, atol=1e-4)
    assert_close(fast(prepared, x, given), expected, rtol=1e-4, atol=1e-5)
    assert prepared.prepare_context(**given).layers is not None


def test_weights_made_in_inference_mode_are_watched_too() -> None:
    """PyTorch doesn't count how often these are written."""
    with torch.inference_mode():
        network = shaken()
    x, given = inputs()
    prepared = prepare(network)
    before = fast(prepared, x, given)
    halve_in_inference_mode(network)
    assert not torch.allclose(before, fast(prepared, x, given), rtol=1e-3, atol=1e-4)
    near(fast(prepared, x, given), plain(network, x, given))


def test_what_is_unchanged_is_not_laid_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared, (x, given) = prepare(shaken()), inputs()
    fast(prepared, x, given)
    monkeypatch.setattr(prepared, "_lay_out", lambda: pytest.fail("laid out again"))
    fast(prepared, x, given)
    prepared.forget()
    with pytest.raises(pytest.fail.Exception, match="laid out again"):
        prepared.prepare_context(**given)


def test_a_watch_compares_numbers_of_all_rows_and_columns() -> None:
    layer = nn.Linear(256, 1024)
    watch = Watch(layer)
    assert len(watch.samples[0]) == SAMPLES and not watch.changed(layer)
    layer.weight.data[:, :64] *= 1.01
    assert watch.changed(layer)
    watch = Watch(layer)
    layer.weight.data[100:200] *= 1.01
    assert watch.changed(layer)
    watch, layer.weight.data = Watch(layer), layer.weight.data.t().contiguous().t()     # the same numbers elsewhere
    assert watch.changed(layer)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_hook_on_any_layer_fires(name: str) -> None:
    """Once with a hook on one layer at a time, of all that the plain network calls."""
    network, (x, given) = shaken(name), inputs(name)
    prepared, calls = prepare(network), []
    before = fast(prepared, x, given)
    handles = [m.register_forward_hook(lambda m, *_: calls.append(m)) for m in network.modules()]
    plain(network, x[:1], {key: value[:1] for key, value in given.items()})
    for handle in handles:
        handle.remove()
    called = list(dict.fromkeys(calls))
    assert len(called) > 50
    for layer in called if name == "dit" else called[:: len(called) // 30]:
        calls.clear()
        handle = layer.register_forward_hook(lambda m, *_: calls.append(m))
        fast(prepared, x[:1], {key: value[:1] for key, value in given.items()})
        handle.remove()
        assert calls == [layer]
    assert_close(fast(prepared, x, given), before)      # and afterwards it is fast again
    assert prepared.prepare_context(**given).layers is not None


@pytest.mark.parametrize("key", ["attn1", "attn1.to_k", "attn2", "attn2.to_v", "ff", "ff.net.0", "ff.net.2", "norm1", ""])
@pytest.mark.parametrize("name", ["dit", "captioned unet"])
def test_a_hook_changes_the_image(name: str, key: str) -> None:
    network, (x, given) = shaken(name), inputs(name)
    block = next(blocks(network))
    if key == "norm1" and name == "dit":
        key = "attn1.to_out.0"
    prepared = prepare(network)
    before = fast(prepared, x, given)
    block.get_submodule(key).register_forward_hook(lambda module, arguments, output: output.flip(-1))
    after = fast(prepared, x, given)
    near(after, plain(network, x, given))
    assert not torch.allclose(before, after, rtol=1e-3, atol=1e-3)


def test_hooks_put_on_between_two_steps_fire() -> None:
    network, (x, given), calls = shaken(), inputs(), []
    prepared = prepare(network)
    context = prepared.prepare_context(**given)
    network.transformer_blocks[1].attn1.to_q.register_forward_pre_hook(lambda *_: calls.append("pre"))
    near(prepared(x, TIME, context), plain(network, x, given))
    handle = nn.modules.module.register_module_forward_hook(lambda *_: calls.append("global"))
    prepared(x, TIME, context)
    handle.remove()
    assert {"pre", "global"} <= set(calls)
    network.transformer_blocks[0].forward = lambda *_: pytest.fail("replaced")
    with pytest.raises(pytest.fail.Exception, match="replaced"):
        prepared(x, TIME, context)


LINEAR = [
    *("attn1.to_q", "attn1.to_v", "attn1.to_out.0", "attn2.to_q", "attn2.to_k", "attn2.to_out.0"), "ff.net.0.proj", "ff.net.2"
]  # fmt: skip


@pytest.mark.parametrize("key", LINEAR)
@pytest.mark.parametrize("name", ["dit", "captioned unet"])
def test_no_shortcut_goes_round_a_layer_put_in_place_of_another(name: str, key: str) -> None:
    network, doubled = shaken(name), shaken(name)
    x, given = inputs(name)
    prepared = prepare(network)
    fast(prepared, x, given)
    parent, name_of_layer = key.rsplit(".", 1)
    for block in blocks(network):
        setattr(block.get_submodule(parent), name_of_layer, Doubled(block.get_submodule(key)))
    for block in blocks(doubled):
        for parameter in block.get_submodule(key).parameters():
            parameter.data.mul_(2)
    near(fast(prepared, x, given), plain(doubled, x, given))
    assert not torch.allclose(plain(shaken(name), x, given), plain(doubled, x, given))


def blocks(network: Any) -> Iterator[nn.Module]:
    for module in network.modules():
        if isinstance(module, Transformer):
            yield module.transformer_blocks[0]
    if isinstance(network, DiT):
        yield from network.transformer_blocks


class LoRA(nn.Module):
    """y = W x + scale B A x (Hu et al. 2022), written for this test, with dropout in training mode."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer, self.scale = layer, 1.0
        self.down, self.up = nn.Linear(layer.in_features, 2, bias=False), nn.Linear(2, layer.out_features, bias=False)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.scale * self.up(self.down(self.dropout(x)))


@pytest.mark.parametrize("name", ["dit", "captioned unet"])
def test_a_lora_that_learns_and_is_weakened_draws_as_the_plain_network(name: str) -> None:
    network, (x, given) = shaken(name), inputs(name)
    prepared, loras = prepare(network), []
    for block in blocks(network):
        loras.append(LoRA(block.attn1.to_v))
        block.attn1.to_v = loras[-1].eval()
    first = fast(prepared, x, given)
    near(first, plain(network, x, given))
    for lora in loras:
        lora.up.weight.data.mul_(3)
    second = fast(prepared, x, given)
    near(second, plain(network, x, given))
    for lora in loras:
        lora.scale = 0.0
    third = fast(prepared, x, given)
    near(third, plain(network, x, given))
    assert not torch.allclose(first, second, rtol=1e-3) and not torch.allclose(second, third, rtol=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_in_training_mode_the_plain_network_runs_and_learns(name: str) -> None:
    network, (x, given) = shaken(name).train(), inputs(name)
    prepared = prepare(network)
    prediction = prepared(x, TIME, prepared.prepare_context(**given))
    assert_close(prediction, network(x, TIME, **given), rtol=0, atol=0)
    prediction.square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    network.eval()
    near(fast(prepared, x, given), plain(network, x, given))


@pytest.mark.parametrize("name", NETWORKS)
def test_who_wants_gradients_gets_them(name: str) -> None:
    network, (x, given) = shaken(name).requires_grad_(False), inputs(name)
    prepared = prepare(network)
    context, x = prepared.prepare_context(**given), x.clone().requires_grad_()
    gradient, = torch.autograd.grad(prepared(x, TIME, context).square().mean(), x)
    expected, = torch.autograd.grad(network(x, TIME, **given).square().mean(), x)
    assert_close(gradient, expected)
    if "context" in given:
        wanted = given["context"].clone().requires_grad_()
        context = prepared.prepare_context(wanted, given["mask"])
        assert torch.autograd.grad(prepared(x.detach(), TIME, context).square().mean(), wanted)[0].abs().max() > 0


class Wrapped(DiT):
    """A DiT whose forward is somebody else's."""

    def forward(self, x: Tensor, timestep: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        return 2 * super().forward(x, timestep, context, mask)


def test_other_networks_are_called_as_they_are() -> None:
    network, (x, given) = Wrapped(DIT), inputs(rounds=2)
    network.load_state_dict(shaken().state_dict())
    assert type(prepare(network)) is Prepared
    near(fast(prepare(network.eval()), x, given), 2 * plain(shaken(), x, given))


def test_a_network_may_say_how_it_is_prepared() -> None:
    class Own(nn.Module):
        def prepared(self, dtype: torch.dtype) -> tuple[str, torch.dtype]:
            return "mine", dtype

    assert prepare(Own(), torch.bfloat16) == ("mine", torch.bfloat16)
    assert type(prepare(shaken())) is PreparedDiT and type(prepare(shaken("labelled unet"))) is PreparedUNet


def test_the_plain_network_is_left_as_it_was() -> None:
    for name in NETWORKS:
        network, (x, given) = shaken(name), inputs(name)
        before, training = {key: value.clone() for key, value in network.state_dict().items()}, [network.training]
        strides = [parameter.stride() for parameter in network.parameters()]
        fast(prepare(network, torch.bfloat16), x, given)
        assert list(network.state_dict()) == list(before) and training == [network.training]
        assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
        assert strides == [parameter.stride() for parameter in network.parameters()]
        assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("captions", [1, 2, 4])
def test_a_number_of_captions_that_does_not_fit_is_refused(captions: int) -> None:
    prepared, (x, given) = prepare(shaken()), inputs(rounds=2)
    context = prepared.prepare_context(given["context"][:captions], given["mask"][:captions])
    with pytest.raises(ValueError, match=f"{captions} captions for 3 latents"):
        prepared(x, TIME, context)


def test_a_network_without_captions_or_labels_is_prepared_too() -> None:
    config = dataclasses.replace(LABELLED, classes=None)
    torch.manual_seed(0)
    network = UNet(config).eval()
    halve_data(network.conv_out.requires_grad_(False))
    for parameter in network.parameters():
        parameter.data.add_(0.15 * torch.randn_like(parameter))
    prepared, x = prepare(network), inputs()[0]
    with torch.no_grad():
        near(prepared(x, TIME, prepared.prepare_context()), network(x, TIME))
    assert len(Context(None, None, None)) == 0
