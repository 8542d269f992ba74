"""The DiT gives diffusers' PixArt numbers from the same weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import diffusers
import pytest
import torch
from parity_table import Agree
from torch import Tensor
from torch.testing import assert_close

from minidiff.models.dit import DiT, DiTConfig
from minidiff.nn.attention import attend
from minidiff.nn.cpu_attention import AttendByProducts
from minidiff.nn.embeddings import PatchProjection, position_table, timestep_embedding

CONFIG = DiTConfig(sample_size=8, patch_size=2, in_channels=4, hidden_size=32, depth=3, heads=4, caption_channels=12)


def pixart(config: DiTConfig) -> Any:
    """diffusers' model of the same shape."""
    return diffusers.PixArtTransformer2DModel(
        num_attention_heads=config.heads, attention_head_dim=config.hidden_size // config.heads,
        in_channels=config.in_channels, out_channels=config.out_channels, num_layers=config.depth,
        cross_attention_dim=config.hidden_size, sample_size=config.sample_size, patch_size=config.patch_size,
        caption_channels=config.caption_channels, interpolation_scale=config.interpolation_scale,
        use_additional_conditions=False, norm_type="ada_norm_single",
    ).eval()


def shaken(config: DiTConfig = CONFIG) -> DiT:
    """A DiT whose every parameter is random; at its start it predicts 0, which would agree with anything."""
    torch.manual_seed(0)
    model = DiT(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    return model.eval()


def inputs(config: DiTConfig = CONFIG, length: int = 5, size: tuple[int, int] | None = None) -> tuple[Tensor, ...]:
    """x, timestep, captions and their mask (one full, one cut, one of two tokens)."""
    generator = torch.Generator().manual_seed(1)
    height, width = size or (config.sample_size, config.sample_size)
    x = torch.randn(3, config.in_channels, height, width, generator=generator)
    context = torch.randn(3, length, config.caption_channels, generator=generator)
    mask = torch.arange(length) < torch.tensor([length, length - 1, 2])[:, None]
    return x, torch.tensor([3.0, 421.5, 999.0]), context, mask


def theirs(model: Any, x: Tensor, timestep: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
    return model(x, encoder_hidden_states=context, timestep=timestep, encoder_attention_mask=mask).sample


@pytest.mark.parity("text DiT", "diffusers PixArtTransformer2DModel, tiny")
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_dit_is_pixart_in_both_directions(scale: float, masked: bool, agree: Agree) -> None:
    config = dataclasses.replace(CONFIG, interpolation_scale=scale)
    ours, reference = shaken(config), pixart(config)
    reference.load_state_dict(ours.state_dict(), strict=True)
    x, timestep, context, mask = inputs(config)
    seen = mask if masked else None
    expected = theirs(reference, x, timestep, context, seen)
    assert expected.std() > 0.1
    agree(ours(x, timestep, context, seen), expected)
    DiT(config).load_state_dict(reference.state_dict(), strict=True)


def test_a_learnt_variance_doubles_the_channels_as_in_pixart() -> None:
    config = dataclasses.replace(CONFIG, out_channels=8)
    ours, reference = shaken(config), pixart(config)
    reference.load_state_dict(ours.state_dict(), strict=True)
    x, timestep, context, mask = inputs(config)
    out = ours(x, timestep, context, mask)
    assert out.shape == (3, 8, 8, 8)
    assert_close(out, theirs(reference, x, timestep, context, mask))
    assert DiTConfig(in_channels=3, patch_size=4).patch_out == 48      # without one, as many as go in


# PixArt-XL-2-512x512 as it is published.
XL = DiTConfig(sample_size=64, out_channels=8, hidden_size=1152, depth=28, heads=16, caption_channels=4096)


def test_the_published_pixart_has_these_names_and_shapes() -> None:
    """diffusers' defaults are the published model's, but for its size in pixels and its captions' width."""
    with torch.device("meta"):
        ours = DiT(XL)
        reference = diffusers.PixArtTransformer2DModel(sample_size=64, caption_channels=4096)
    expected = {name: tensor.shape for name, tensor in reference.state_dict().items()}
    assert {name: tensor.shape for name, tensor in ours.state_dict().items()} == expected
    assert round(sum(p.numel() for p in ours.parameters()) / 1e6) == 611     # Chen et al. 2023: 0.6 B
    assert reference.pos_embed.interpolation_scale == XL.interpolation_scale


@pytest.mark.parity("text DiT", "diffusers PixArt-XL/2, 611 M, full size")
@pytest.mark.full
@pytest.mark.timeout(900)
@torch.inference_mode()
def test_full_size_dit_is_pixart(agree: Agree) -> None:
    """0.6 B random parameters at 256 pixels (32 x 32 latents), once for each library and never both."""
    ours = DiT(XL)
    for parameter in ours.parameters():
        parameter.normal_(std=parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 0.1)
    x, timestep, context, mask = inputs(XL, length=20, size=(32, 32))
    got, state = ours.eval()(x, timestep, context, mask), ours.state_dict()
    with torch.device("meta"):
        reference = pixart(XL)
    reference.load_state_dict(state, strict=True, assign=True)
    expected = theirs(reference, x, timestep, context, mask)
    print(f"PixArt-XL/2: greatest difference {(got - expected).abs().max():.2e}, deviation {expected.std():.3f}")
    assert expected.std() > 0.1
    agree(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parity("text DiT", "diffusers PixArtTransformer2DModel, tiny")
def test_dit_is_pixart_on_other_sizes_than_its_own(agree: Agree) -> None:
    ours, reference = shaken(), pixart(CONFIG)
    reference.load_state_dict(ours.state_dict(), strict=True)
    x, timestep, context, mask = inputs(size=(12, 12))
    agree(ours(x, timestep, context, mask), theirs(reference, x, timestep, context, mask))
    x, timestep, context, mask = inputs(size=(8, 12))
    agree(ours(x, timestep, context, mask), theirs(reference, x, timestep, context, mask))


def test_gradients_are_pixarts() -> None:
    ours, reference = shaken(), pixart(CONFIG)
    reference.load_state_dict(ours.state_dict(), strict=True)
    x, timestep, context, mask = inputs()
    ours(x, timestep, context, mask).square().mean().backward()
    theirs(reference, x, timestep, context, mask).square().mean().backward()
    expected = dict(reference.named_parameters())
    for name, parameter in ours.named_parameters():
        assert_close(parameter.grad, expected[name].grad, msg=lambda m, name=name: f"{name}: {m}")


def test_padding_of_a_caption_is_not_seen() -> None:
    model = shaken()
    x, timestep, context, mask = inputs()
    noisy = torch.where(mask[..., None], context, 100.0)
    assert_close(model(x, timestep, noisy, mask), model(x, timestep, context, mask))
    assert not torch.allclose(model(x, timestep, noisy), model(x, timestep, context))
    assert_close(model(x, timestep, noisy, mask)[2:], model(x[2:], timestep[2:], context[2:, :2]))


def test_one_time_for_all_may_be_given_once() -> None:
    model = shaken()
    x, _, context, mask = inputs()
    expected = model(x, torch.full((3,), 250.0), context, mask)
    assert_close(model(x, torch.tensor([250.0]), context, mask), expected)
    assert_close(model(x, torch.tensor(250.0), context, mask), expected)


def test_a_new_dit_predicts_zero_and_still_learns() -> None:
    model = DiT(CONFIG)
    x, timestep, context, mask = inputs()
    out = model(x, timestep, context, mask)
    assert torch.count_nonzero(out) == 0
    (out - x).square().mean().backward()
    assert model.proj_out.weight.grad is not None and model.proj_out.weight.grad.abs().max() > 0


def test_bfloat16_autocast_stays_near_float32() -> None:
    model = shaken()
    x, timestep, context, mask = inputs()
    expected = model(x, timestep, context, mask)
    with torch.autocast("cpu", torch.bfloat16):
        assert (model(x, timestep, context, mask) - expected).abs().max() < 0.1 * expected.std()


@pytest.mark.parametrize("kind", ["none", "boolean", "float"])
def test_attention_in_bfloat16_is_attention(kind: str) -> None:
    """Numbers and gradients."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, 8, generator=generator).requires_grad_() for n in (6, 5, 5))
    seen = (torch.arange(5) < torch.tensor([5, 3])[:, None])[:, None, None, :]
    mask = {"none": None, "boolean": seen, "float": torch.zeros(seen.shape).masked_fill(~seen, -10000.0)}[kind]
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    low = mask.bfloat16() if kind == "float" and mask is not None else mask
    got = attend(q.bfloat16(), k.bfloat16(), v.bfloat16(), low)
    assert got.dtype == torch.bfloat16
    assert_close(got.float(), expected, atol=0.03, rtol=0.03)
    assert_close(attend(q, k, v, mask), expected)
    gradients = [torch.autograd.grad(out.float().square().sum(), (q, k, v)) for out in (got, expected)]
    for one, other in zip(*gradients, strict=True):
        assert other.abs().max() > 0.1
        assert_close(one, other, atol=0.05, rtol=0.05)


def test_attention_by_products_has_the_gradients_of_its_formula() -> None:
    """In float64, by finite differences."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 2, n, 4, dtype=torch.float64).requires_grad_() for n in (3, 5, 5))
    mask = torch.tensor([True, True, True, False, True])[None, None, None]
    for shown in (None, mask, torch.where(mask, 0.0, -10000.0).double()):
        assert torch.autograd.gradcheck(lambda *given, shown=shown: AttendByProducts.apply(*given, shown), (q, k, v))


def test_a_dit_is_one_graph_whatever_its_mask() -> None:
    """Nothing in it depends on what the numbers are, as torch.compile(fullgraph=True) and an export need it."""
    model = shaken()
    x, timestep, context, mask = inputs()
    graph = torch.export.export(model, (x, timestep, context, mask)).module()
    for seen in (mask, torch.ones_like(mask)):
        assert_close(graph(x, timestep, context, seen), model(x, timestep, context, seen))
    with torch.device("meta"):      # where numbers cannot be looked at
        assert DiT(CONFIG)(*(tensor.to("meta") for tensor in inputs())).shape == x.shape


def test_embeddings_are_diffusers() -> None:
    from diffusers.models.embeddings import get_2d_sincos_pos_embed, get_timestep_embedding

    time = torch.tensor([0.0, 0.5, 999.0])
    for shift in (0.0, 1.0):
        assert_close(timestep_embedding(time, 32, freq_shift=shift),
                     get_timestep_embedding(time, 32, flip_sin_to_cos=True, downscale_freq_shift=shift))
    expected = get_2d_sincos_pos_embed(24, (3, 5), base_size=4, interpolation_scale=2.0, output_type="pt")
    assert_close(position_table(24, 3, 5, base_size=4, interpolation_scale=2.0), expected.float())


@pytest.mark.parametrize("bias", [True, False])
def test_a_patch_projection_is_a_convolution_and_leaves_out_narrow_borders(bias: bool) -> None:
    layer, x = PatchProjection(3, 8, 2, bias=bias), torch.randn(2, 3, 7, 9)
    expected = torch.nn.functional.conv2d(x, layer.weight, layer.bias, stride=2)
    assert expected.shape == (2, 8, 3, 4)
    assert_close(layer(x), expected.flatten(2).transpose(1, 2))


def test_what_does_not_fit_is_said_at_the_door() -> None:
    model = shaken()
    x, timestep, context, mask = inputs()
    with pytest.raises(ValueError, match="multiples of 2"):
        model(x[..., :7], timestep, context, mask)
    with pytest.raises(ValueError, match="2 captions for 3 latents"):
        model(x, timestep, context[:2], mask[:2])
    with pytest.raises(ValueError, match="multiple of 4 and of heads=6"):
        DiTConfig(hidden_size=100, heads=6)
    with pytest.raises(ValueError, match="even"):
        timestep_embedding(timestep, 7)
    with pytest.raises(ValueError, match="multiple of 4"):
        position_table(6, 2, 2)
