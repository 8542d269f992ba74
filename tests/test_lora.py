"""LoRA against peft, and what it promises: nothing at first, exactly the base at strength 0, exact sums of several."""

from __future__ import annotations

from copy import deepcopy

import peft
import pytest
import torch
from torch import Tensor, nn

from minidiff.models.dit import DiT, DiTConfig
from minidiff.models.unet import UNet, UNetConfig
from minidiff.nn.lora import Factors, LoRALayer, LoRAMixer, add_lora, concatenated, factors_of, lora_layers, take_out, targeted

UNET_TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "conv1", "conv2")
SMALL = UNetConfig(
    sample_size=8, channels=(8, 16), attention=(False, True), layers=1, heads=2, context_dim=12, groups=4, in_channels=3,
    out_channels=3,
)  # fmt: skip


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """A fresh network predicts zero; in this one every layer matters."""
    dice = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=dice) * 0.3 / max(1, weight.ndim - 1))
    return model.eval()


def unet() -> nn.Module:
    return randomised(UNet(SMALL))


def dit() -> nn.Module:
    return randomised(DiT(DiTConfig(sample_size=4, hidden_size=32, depth=2, heads=2, caption_channels=12)))


def predicted(model: nn.Module) -> Tensor:
    dice = torch.Generator().manual_seed(1)
    channels = model.config.in_channels  # type: ignore[union-attr]
    size = model.config.sample_size  # type: ignore[union-attr]
    x, context = torch.randn(2, channels, size, size, generator=dice), torch.randn(2, 5, 12, generator=dice)  # type: ignore[arg-type]
    return model(x, torch.tensor([300.0, 700.0]), context)


def learnt(model: nn.Module, seed: int, **settings: object) -> dict[str, Factors]:
    """Factors as training might leave them, of a model that is then as before."""
    add_lora(model, **settings)  # type: ignore[arg-type]
    dice = torch.Generator().manual_seed(seed)
    for layer in lora_layers(model).values():
        layer.update.up.weight.data = torch.randn(layer.update.up.weight.shape, generator=dice) * 0.2
    factors = factors_of(model)
    take_out(model)
    return factors


@pytest.mark.parametrize("make", [unet, dit])
def test_a_new_lora_changes_nothing_and_strength_0_is_the_base_to_the_bit(make) -> None:  # type: ignore[no-untyped-def]
    model = make()
    before = predicted(model)
    layers = add_lora(model, rank=3)
    torch.testing.assert_close(predicted(model), before, rtol=0, atol=0)
    for layer in layers.values():
        nn.init.ones_(layer.update.up.weight)
    assert not torch.allclose(predicted(model), before)
    for layer in layers.values():
        layer.strength = 0.0
    assert torch.equal(predicted(model), before)
    take_out(model)
    assert torch.equal(predicted(model), before) and not lora_layers(model)


@pytest.mark.parametrize(("rank", "alpha"), [(1, 1.0), (4, 8.0), (12, 24.0)])
@pytest.mark.parametrize(("make", "targets"), [(unet, UNET_TARGETS), (dit, ("to_q", "to_k", "to_v", "to_out.0", "net.2"))])
def test_the_numbers_and_gradients_are_those_of_peft(make, targets, rank: int, alpha: float) -> None:  # type: ignore[no-untyped-def]
    ours, theirs = make(), make()
    factors = learnt(ours, seed=2, rank=rank, alpha=alpha, targets=targets)
    peft.inject_adapter_in_model(peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(targets)), theirs)
    layers = {name: m for name, m in theirs.named_modules() if isinstance(m, peft.tuners.lora.LoraLayer)}
    assert set(layers) == set(factors)
    for name, layer in layers.items():
        layer.lora_A["default"].weight.data.copy_(factors[name].down)
        layer.lora_B["default"].weight.data.copy_(factors[name].up)
    made = add_lora(ours, rank, alpha, targets)
    for name, layer in made.items():
        layer.update.down.weight.data.copy_(factors[name].down)
        layer.update.up.weight.data.copy_(factors[name].up)
    one, other = predicted(ours), predicted(theirs)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    for prediction in (one, other):
        prediction.square().mean().backward()
    for name, layer in layers.items():
        for ours_, theirs_ in ((made[name].update.down, layer.lora_A), (made[name].update.up, layer.lora_B)):
            torch.testing.assert_close(ours_.weight.grad, theirs_["default"].weight.grad, rtol=1e-3, atol=1e-6)
    assert all((p.grad is not None) == (".update." in name) for name, p in ours.named_parameters())


def test_only_the_factors_learn_and_both_get_there() -> None:
    model = unet()
    add_lora(model, rank=2)
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert learning and all(".update.down." in name or ".update.up." in name for name in learning)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    for up_alone in (True, False):  # in the first step `up` is 0, so `down` has no gradient yet
        predicted(model).square().mean().backward()
        moved = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
        assert moved == {name for name in learning if not up_alone or ".up." in name}
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("make", [unet, dit])
def test_a_mix_is_the_sum_of_its_updates_and_goes_without_a_trace(make) -> None:  # type: ignore[no-untyped-def]
    model = make()
    before, weights = predicted(model), deepcopy(model.state_dict())
    one, two = learnt(model, 3, rank=2), learnt(model, 4, rank=4, alpha=8.0, targets=("to_k", "to_out.0"))
    mixer = LoRAMixer(model)
    mixer.add("one", one)
    mixer.add("two", two)
    assert torch.equal(predicted(model), before)

    mixer.mix({"one": 1.5})
    layers = add_lora(plain := make(), rank=2)
    for name, layer in layers.items():
        layer.strength = 1.5
        layer.update.down.weight.data.copy_(one[name].down)
        layer.update.up.weight.data.copy_(one[name].up)
    torch.testing.assert_close(predicted(model), predicted(plain), rtol=1e-3, atol=5e-4)

    mixer.mix({"one": 0.7, "two": -0.4})
    mixed = predicted(model)
    for _ in range(20):
        mixer.mix({"two": 2.0})
        mixer.mix({"one": -1.0, "two": 0.0})
    mixer.mix({"one": 0.7, "two": -0.4})
    assert torch.equal(predicted(model), mixed)
    single = LoRAMixer(make())
    single.add("both", concatenated([(one, 0.7), (two, -0.4)]))
    single.mix({"both": 1.0})
    torch.testing.assert_close(predicted(single.model), mixed, rtol=1e-4, atol=1e-5)

    mixer.mix({"one": 0.0})
    assert torch.equal(predicted(model), before)
    assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())


def test_the_product_of_a_convolution_is_its_two_convolutions() -> None:
    base = nn.Conv2d(4, 6, 3, stride=2, padding=1)
    layer = LoRALayer(base, rank=2, alpha=5.0)
    nn.init.normal_(layer.update.up.weight)
    x = torch.randn(2, 4, 9, 9, generator=torch.Generator().manual_seed(0))
    whole = deepcopy(base)
    whole.weight.data += layer.update.factors().product()
    torch.testing.assert_close(layer(x), whole(x), rtol=1e-4, atol=1e-5)


def test_dropout_acts_while_training_alone() -> None:
    layer = LoRALayer(nn.Linear(64, 8), rank=2, alpha=2.0, dropout=0.5)
    nn.init.ones_(layer.update.up.weight)
    x = torch.ones(3, 64)
    assert not torch.equal(layer(x), layer(x)) and torch.equal(layer.eval()(x), layer(x))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"rank": 0}, "rank is 0; it must be 1 or more"),
        ({"rank": 2, "targets": ("to_q", "query")}, "No linear layer or convolution of UNet is called query; there are"),
    ],
)
def test_what_cannot_be_is_said(settings: dict, says: str) -> None:
    model = unet()
    with pytest.raises(ValueError, match=says):
        add_lora(model, **settings)
    assert not lora_layers(model) and all(p.requires_grad for p in model.parameters())


def test_a_second_lora_a_foreign_one_and_a_strange_strength_are_refused() -> None:
    model = unet()
    factors = learnt(model, 0, rank=2)
    mixer = LoRAMixer(dit())
    with pytest.raises(ValueError, match="'ink' was made for another model: DiT has no layer down_blocks.1"):
        mixer.add("ink", factors)
    wide = {name: Factors(f.down.repeat(1, 2), f.up, f.alpha) for name, f in factors.items()}
    with pytest.raises(ValueError, match="'ink' was made for another model: its .*attn1.to_q is .16, 32., this one's .16, 16."):
        LoRAMixer(model).add("ink", wide)
    mixer = LoRAMixer(model)
    mixer.add("ink", factors)
    for strengths, says in (({"neon": 1.0}, "There is no LoRA 'neon'; there are ink"), ({"ink": float("nan")}, "is nan")):
        with pytest.raises(ValueError, match=says):
            mixer.mix(strengths)
    with pytest.raises(ValueError, match="holds nothing"):
        mixer.add("empty", {})
    add_lora(model, rank=1)
    with pytest.raises(ValueError, match="learns by LoRA already"):
        add_lora(model, rank=1)
    with pytest.raises(ValueError, match="a convolution in groups"):
        targeted(nn.Sequential(nn.Conv2d(4, 4, 3, groups=2)), ["0"])
