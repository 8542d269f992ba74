"""The U-Net gives diffusers' numbers from the same weights, with captions, with labels and with neither, up to Stable
Diffusion 1.5's size."""

from __future__ import annotations

import dataclasses
from typing import Any

import diffusers
import pytest
import torch
from parity_table import Agree
from torch import Tensor
from torch.testing import assert_close

from minidiff.models.unet import UNet, UNetConfig

SMALL: dict[str, Any] = {"sample_size": 8, "groups": 4, "layers": 1, "channels": (8, 16), "attention": (True, False)}
CAPTIONED = UNetConfig(**SMALL, heads=4, context_dim=12)
WITH_CAPTIONS = {
    "attention above": CAPTIONED,
    "attention below": dataclasses.replace(CAPTIONED, attention=(False, True)),
    "two layers, labels": dataclasses.replace(CAPTIONED, layers=2, classes=5),
    "heads of a width, another eps": dataclasses.replace(CAPTIONED, heads=1, head_dim=4, attention=(True, True), eps=1e-2),
    "three levels, more out than in": dataclasses.replace(
        CAPTIONED, channels=(8, 16, 24), attention=(True, False, True), out_channels=6
    ),
}
PLAIN = UNetConfig(**SMALL, head_dim=4, context_dim=None, in_channels=3, out_channels=3)
WITHOUT = {
    "no labels": PLAIN,
    "labels, attention below": dataclasses.replace(PLAIN, classes=5, attention=(False, True)),
    "two layers, one head, another eps": dataclasses.replace(
        PLAIN, layers=2, head_dim=None, heads=1, channels=(8, 8), eps=1e-2
    ),
    "attention in the middle only": dataclasses.replace(PLAIN, attention=(False, False), channels=(4, 12)),
}
STABLE_DIFFUSION: dict[str, Any] = {
    "sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8, "block_out_channels": (320, 640, 1280, 1280)
}  # fmt: skip


def diffusers_unet(config: UNetConfig) -> Any:
    """Their model of that shape, with random weights."""
    kinds = ("CrossAttn", "") if config.context_dim else ("Attn", "")
    names = [kinds[0 if attends else 1] for attends in config.attention]
    settings: dict[str, Any] = {
        "sample_size": config.sample_size, "in_channels": config.in_channels, "out_channels": config.out_channels,
        "down_block_types": tuple(f"{name}DownBlock2D" for name in names),
        "up_block_types": tuple(f"{name}UpBlock2D" for name in reversed(names)),
        "block_out_channels": config.channels, "layers_per_block": config.layers, "norm_num_groups": config.groups,
        "norm_eps": config.eps, "num_class_embeds": config.classes,
    }  # fmt: skip
    torch.manual_seed(0)
    if config.context_dim:  # its attention_head_dim is the number of heads
        heads = tuple(config.heads_at(width) for width in config.channels)
        return diffusers.UNet2DConditionModel(
            **settings, attention_head_dim=heads, cross_attention_dim=config.context_dim
        ).eval()
    width = config.head_dim or config.channels[-1] // config.heads
    return diffusers.UNet2DModel(**settings, attention_head_dim=width).eval()


def shaken(config: UNetConfig = CAPTIONED) -> UNet:
    """A U-Net whose every parameter is random; at its start it predicts 0, which would agree with anything."""
    torch.manual_seed(0)
    model = UNet(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    return model.eval()


def inputs(config: UNetConfig = CAPTIONED, size: tuple[int, int] = (8, 8), batch: int = 3) -> dict[str, Tensor]:
    """What `forward` takes, by name. Of three captions one is full, one cut, one of two tokens."""
    generator = torch.Generator().manual_seed(1)
    given = {
        "x": torch.randn(batch, config.in_channels, *size, generator=generator),
        "timestep": torch.tensor([3.0, 421.5, 999.0])[:batch],
    }
    if config.context_dim:
        given["context"] = torch.randn(batch, 5, config.context_dim, generator=generator)
        given["mask"] = torch.arange(5) < torch.tensor([5, 4, 2])[:batch, None]
    if config.classes:
        given["labels"] = torch.tensor([0, 4, 2])[:batch]
    return given


def theirs(model: Any, x: Tensor, timestep: Tensor, **given: Tensor) -> Tensor:
    names = {"context": "encoder_hidden_states", "mask": "encoder_attention_mask", "labels": "class_labels"}
    return model(x, timestep, **{names[name]: value for name, value in given.items()}).sample


ALL = {**WITH_CAPTIONS, **WITHOUT}


@pytest.mark.parity("U-Net", "diffusers UNet2DModel, UNet2DConditionModel, tiny")
@pytest.mark.parametrize("size", [(8, 8), (4, 12)])
@pytest.mark.parametrize("name", ALL)
@torch.no_grad()
def test_unet_is_diffusers_in_both_directions(name: str, size: tuple[int, int], agree: Agree) -> None:
    config = ALL[name]
    ours, reference = shaken(config), diffusers_unet(config)
    reference.load_state_dict(ours.state_dict(), strict=True)
    expected = theirs(reference, **inputs(config, size))
    assert expected.std() > 0.1
    agree(ours(**inputs(config, size)), expected, rtol=1e-4, atol=1e-5)
    UNet(config).load_state_dict(diffusers_unet(config).state_dict(), strict=True)


@pytest.mark.parametrize("name", ["attention above", "labels, attention below"])
def test_gradients_are_diffusers(name: str) -> None:
    config = ALL[name]
    ours, reference = shaken(config), diffusers_unet(config)
    reference.load_state_dict(ours.state_dict(), strict=True)
    ours(**inputs(config)).square().mean().backward()
    theirs(reference, **inputs(config)).square().mean().backward()
    expected = dict(reference.named_parameters())
    for key, parameter in ours.named_parameters():
        assert_close(parameter.grad, expected[key].grad, rtol=1e-4, atol=1e-5, msg=lambda m, key=key: f"{key}: {m}")


@pytest.mark.parity("U-Net", "diffusers UNet2DModel, UNet2DConditionModel, tiny")
@torch.no_grad()
def test_captions_without_a_mask_are_diffusers(agree: Agree) -> None:
    ours, reference = shaken(), diffusers_unet(CAPTIONED)
    reference.load_state_dict(ours.state_dict(), strict=True)
    given = inputs()
    del given["mask"]
    agree(ours(**given), theirs(reference, **given), rtol=1e-4, atol=1e-5)


@pytest.mark.parity("U-Net", "diffusers UNet2DModel, UNet2DConditionModel, tiny")
@torch.no_grad()
def test_sides_that_cannot_be_halved_are_diffusers(agree: Agree) -> None:
    ours, reference = shaken(), diffusers_unet(CAPTIONED)
    reference.load_state_dict(ours.state_dict(), strict=True)
    given = inputs(size=(7, 9))
    agree(ours(**given), theirs(reference, **given), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_batch_is_its_rows() -> None:
    config = WITH_CAPTIONS["two layers, labels"]
    model, given = shaken(config), inputs(config)
    rows = [model(**{name: value[k : k + 1] for name, value in given.items()}) for k in range(3)]
    assert_close(model(**given), torch.cat(rows), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_one_time_for_all_may_be_given_once() -> None:
    model, given = shaken(), inputs()
    expected = model(**{**given, "timestep": torch.full((3,), 250.0)})
    assert_close(model(**{**given, "timestep": torch.tensor([250.0])}), expected)
    assert_close(model(**{**given, "timestep": torch.tensor(250.0)}), expected)


@torch.no_grad()
def test_padding_of_a_caption_is_not_seen() -> None:
    model = shaken()
    x, timestep, context, mask = inputs().values()
    noisy = torch.where(mask[..., None], context, 100.0)
    assert_close(model(x, timestep, noisy, mask), model(x, timestep, context, mask))
    assert not torch.allclose(model(x, timestep, noisy), model(x, timestep, context))


@pytest.mark.parametrize("config", [CAPTIONED, PLAIN], ids=["captions", "none"])
def test_a_new_unet_predicts_zero_its_blocks_add_nothing_and_it_learns(config: UNetConfig) -> None:
    model, given, seen = UNet(config), inputs(config), []
    model.conv_norm_out.register_forward_hook(lambda module, args, out: seen.append(args[0]))
    out = model(**given)
    assert torch.count_nonzero(out) == 0
    given["timestep"] = given["timestep"].flip(0)
    model(**given)
    assert_close(seen[0], seen[1], rtol=0, atol=0)      # no block has told it the time
    (out - given["x"]).square().mean().backward()
    assert model.conv_out.weight.grad is not None and model.conv_out.weight.grad.abs().max() > 0


@pytest.mark.parametrize("name", ["attention above", "labels, attention below"])
@torch.no_grad()
def test_a_unet_is_one_graph_whatever_its_mask(name: str) -> None:
    """Nothing in it depends on what the numbers are, as torch.compile(fullgraph=True) and an export need it."""
    model, given = shaken(ALL[name]), inputs(ALL[name])
    graph = torch.export.export(model, (), given).module()
    for _ in range(2):
        assert_close(graph(**given), model(**given), rtol=1e-4, atol=1e-5)
        given = {key: torch.ones_like(value) if key == "mask" else value for key, value in given.items()}
    with torch.device("meta"):      # where numbers cannot be looked at
        out = UNet(ALL[name])(**{key: value.to("meta") for key, value in given.items()})
    assert out.shape == given["x"].shape


def test_by_default_it_is_stable_diffusions() -> None:
    with torch.device("meta"):
        ours, reference = UNet(UNetConfig()), diffusers.UNet2DConditionModel(**STABLE_DIFFUSION)
    shapes = {name: tuple(value.shape) for name, value in ours.state_dict().items()}
    assert shapes == {name: tuple(value.shape) for name, value in reference.state_dict().items()}
    assert sum(parameter.numel() for parameter in ours.parameters()) == 859_520_964


@pytest.mark.parity("U-Net", "diffusers, Stable Diffusion 1.5, 860 M, full size")
@pytest.mark.full
@pytest.mark.timeout(1800)
@torch.no_grad()
def test_stable_diffusion_in_full_size_is_diffusers(agree: Agree) -> None:
    """Each number of the 3.4 GB of weights is in memory once, so 5 GB are enough."""
    torch.manual_seed(0)
    config = UNetConfig()
    x, timestep, context = torch.randn(2, 4, 32, 32), torch.tensor([7.0, 801.0]), torch.randn(2, 77, 768)
    reference = diffusers.UNet2DConditionModel(**STABLE_DIFFUSION).eval()
    for name, parameter in reference.named_parameters():
        if "norm" in name or name.endswith("bias"):
            parameter.add_(0.1 * torch.randn_like(parameter))
    expected = theirs(reference, x, timestep, context=context)
    state = reference.state_dict()
    del reference
    with torch.device("meta"):
        ours = UNet(config)
    ours.load_state_dict(state, strict=True, assign=True)
    assert expected.std() > 0.1
    agree(ours.eval()(x, timestep, context), expected, rtol=1e-3, atol=1e-4)


def test_a_configuration_survives_json() -> None:
    assert UNetConfig(**{**dataclasses.asdict(CAPTIONED), "channels": [8, 16], "attention": [True, False]}) == CAPTIONED


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"channels": (8, 18)}, "multiples of groups=4"),
        ({"channels": (9, 18), "groups": 9, "heads": 1}, "the first one even"),
        ({"attention": (True,)}, "1 entries of attention for 2 of channels"),
        ({"channels": (), "attention": ()}, "one of each for every level"),
        ({"heads": 3}, "multiples of heads=3"),
        ({"head_dim": 12}, "multiples of head_dim=12"),
        ({"layers": 0}, "layers is 0"),
        ({"classes": 0}, "classes is 0"),
    ],
)
def test_bad_shapes_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(CAPTIONED, **changes)


def test_what_does_not_fit_is_said_at_the_door() -> None:
    model, labelled = shaken(), shaken(WITHOUT["labels, attention below"])
    x, timestep, context, mask = inputs().values()
    pixels = torch.randn(3, 3, 8, 8)
    for call, says in (
        (lambda: model(x[:, :3], timestep, context, mask), r"\(B, 4, H, W\)"),
        (lambda: model(x, timestep), "called with context"),
        (lambda: model(x, timestep, context, mask, torch.zeros(3).long()), "called without labels"),
        (lambda: model(x, timestep, context[:2], mask[:2]), "2 captions for 3 latents"),
        (lambda: labelled(pixels, timestep), "called with labels"),
        (lambda: labelled(pixels, timestep, labels=torch.zeros(2).long()), "3 images"),
        (lambda: labelled(pixels, timestep, context, labels=torch.zeros(3).long()), "called without context"),
    ):
        with pytest.raises(ValueError, match=says):
            call()
