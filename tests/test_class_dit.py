"""The class-conditional DiT gives diffusers' numbers, and those of the original's layout as the paper's formulas and timm's
layers have them, from the same weights in both directions."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import diffusers
import pytest
import torch
import torch.nn.functional as F
from diffusers.models.embeddings import get_2d_sincos_pos_embed
from parity_table import Agree
from timm.layers import Attention, Mlp, PatchEmbed
from torch import Tensor, nn
from torch.testing import assert_close

from minidiff.models.class_dit import ClassDiT, ClassDiTConfig, published_config
from minidiff.pretrained.assemble import load_strict
from minidiff.pretrained.state_dicts import from_diffusers_dit, from_original_dit, to_diffusers_dit, to_original_dit

CONFIG = ClassDiTConfig(sample_size=8, out_channels=8, hidden_size=32, depth=3, heads=4, num_classes=7)
AS_DIFFUSERS = dataclasses.replace(CONFIG, freq_shift=1.0, mlp_norm_eps=1e-5)


def shaken(model: Any, seed: int = 0) -> Any:
    """Everything learnt made random: at its start a DiT predicts 0, which would agree with anything."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in filter(lambda p: p.requires_grad, model.parameters()):
            parameter.add_(0.15 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def inputs(config: ClassDiTConfig = CONFIG) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, config.in_channels, config.sample_size, config.sample_size, generator=generator)
    return x, torch.tensor([3, 421, 999]), torch.tensor([0, config.num_classes - 1, config.num_classes])


def diffusers_dit(config: ClassDiTConfig) -> Any:
    model = diffusers.DiTTransformer2DModel(
        num_attention_heads=config.heads, attention_head_dim=config.hidden_size // config.heads,
        in_channels=config.in_channels, out_channels=config.out_channels, num_layers=config.depth,
        sample_size=config.sample_size, patch_size=config.patch_size, num_embeds_ada_norm=config.num_classes,
    ).eval()  # fmt: skip
    return model


class OriginalBlock(nn.Module):
    """One block of Peebles & Xie 2023, figure 3 right, from timm's layers."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn = Attention(width, heads, qkv_bias=True)
        self.mlp = Mlp(width, 4 * width, act_layer=lambda: nn.GELU(approximate="tanh"))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.adaLN_modulation(c).chunk(6, dim=1)
        x = x + gate1[:, None] * self.attn(scaled_and_shifted(x, scale1, shift1))
        return x + gate2[:, None] * self.mlp(scaled_and_shifted(x, scale2, shift2))


class FinalLayer(nn.Module):
    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, out)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(c).chunk(2, dim=1)
        return self.linear(scaled_and_shifted(x, scale, shift))


class Original(nn.Module):
    """The network of the paper under the names of the original repository's weights, written for this test."""

    def __init__(self, config: ClassDiTConfig) -> None:
        super().__init__()
        width, self.patch = config.hidden_size, config.patch_size
        grid = config.sample_size // config.patch_size
        self.x_embedder = PatchEmbed(config.sample_size, config.patch_size, config.in_channels, width)
        table = get_2d_sincos_pos_embed(width, grid, base_size=grid, output_type="pt").float()
        self.pos_embed = nn.Parameter(table[None], requires_grad=False)
        self.t_embedder = nn.Module()
        self.t_embedder.mlp = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))
        self.y_embedder = nn.Module()
        self.y_embedder.embedding_table = nn.Embedding(config.num_classes + 1, width)
        self.blocks = nn.ModuleList(OriginalBlock(width, config.heads) for _ in range(config.depth))
        self.final_layer = FinalLayer(width, config.patch_size**2 * (config.out_channels or config.in_channels))

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        angles = t[:, None] * torch.exp(-math.log(10_000) * torch.arange(128) / 128)
        c = self.t_embedder.mlp(torch.cat([angles.cos(), angles.sin()], 1)) + self.y_embedder.embedding_table(y)
        tokens = self.x_embedder(x) + self.pos_embed
        for block in self.blocks:
            tokens = block(tokens, c)
        out = self.final_layer(tokens, c)                           # fold puts channels before patch, the paper after
        patches = out.unflatten(2, (self.patch**2, -1)).transpose(2, 3).flatten(2).transpose(1, 2)
        return F.fold(patches, x.shape[2:], self.patch, stride=self.patch)


def scaled_and_shifted(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    normed = (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-6).sqrt()
    return normed * (1 + scale[:, None]) + shift[:, None]


@pytest.mark.parity("class DiT", "diffusers DiTTransformer2DModel, tiny")
def test_class_dit_is_diffusers_in_both_directions(agree: Agree) -> None:
    ours, theirs = shaken(ClassDiT(AS_DIFFUSERS)), diffusers_dit(AS_DIFFUSERS)
    theirs.load_state_dict(to_diffusers_dit(ours.state_dict()), strict=True)
    x, timestep, label = inputs()
    expected = theirs(x, timestep, label).sample
    assert expected.std() > 0.1 and expected.shape == (3, 8, 8, 8)
    agree(ours(x, timestep, label), expected)
    again = ClassDiT(AS_DIFFUSERS)
    load_strict(again, from_diffusers_dit(theirs.state_dict()), "diffusers")
    agree(again.eval()(x, timestep, label), expected)


@pytest.mark.parity("class DiT", "the original's layout, tiny")
def test_class_dit_is_the_original_in_both_directions(agree: Agree) -> None:
    theirs = shaken(Original(CONFIG))
    x, timestep, label = inputs()
    expected = theirs(x, timestep, label)
    ours = ClassDiT(CONFIG).eval()
    load_strict(ours, from_original_dit(theirs.state_dict()), "the original")
    assert expected.std() > 0.1
    agree(ours(x, timestep, label), expected)
    back = to_original_dit(ours.state_dict(), grid=4)
    Original(CONFIG).load_state_dict(back, strict=True)
    for name, tensor in theirs.state_dict().items():
        agree(back[name], tensor, msg=lambda m, name=name: f"{name}: {m}")


def test_the_two_settings_differ_where_the_two_libraries_do() -> None:
    """diffusers computes the original's weights with other frequencies and another epsilon; both matter."""
    x, timestep, label = inputs()
    base = shaken(ClassDiT(CONFIG))
    for change in ({"freq_shift": 1.0}, {"mlp_norm_eps": 1e-5}):
        other = ClassDiT(dataclasses.replace(CONFIG, **change)).eval()
        other.load_state_dict(base.state_dict())
        assert not torch.equal(other(x, timestep, label), base(x, timestep, label))


def test_blocks_that_disagree_about_the_embedding_are_refused() -> None:
    state = dict(diffusers_dit(AS_DIFFUSERS).state_dict())          # drawn anew for every block
    with pytest.raises(ValueError, match="not the same as in other blocks"):
        from_diffusers_dit(state)


def test_a_new_class_dit_predicts_zero_and_still_learns() -> None:
    model = ClassDiT(CONFIG)
    x, timestep, label = inputs()
    out = model(x, timestep, label)
    assert torch.count_nonzero(out) == 0
    (out[:, :4] - x).square().mean().backward()
    assert model.proj_out_2.weight.grad is not None and model.proj_out_2.weight.grad.abs().max() > 0


def test_one_time_for_all_may_be_given_once_and_other_sizes_work() -> None:
    model, theirs = shaken(ClassDiT(AS_DIFFUSERS)), diffusers_dit(AS_DIFFUSERS)
    theirs.load_state_dict(to_diffusers_dit(model.state_dict()), strict=True)
    x, _, label = inputs()
    assert_close(model(x, torch.tensor([250]), label), model(x, torch.full((3,), 250), label))
    large = torch.randn(1, 4, 12, 12)
    assert_close(model(large, torch.tensor([250]), label[:1]), theirs(large, torch.tensor([250]), label[:1]).sample)


@pytest.mark.parametrize(("name", "millions"), [("S/2", 33), ("B/2", 130), ("L/2", 458), ("XL/2", 675)])
def test_published_sizes_have_the_papers_number_of_parameters(name: str, millions: int) -> None:
    """In millions, as the paper's appendix lists them (Peebles & Xie 2023, table 4)."""
    with torch.device("meta"):
        model = ClassDiT(published_config(name))
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == millions


def test_xl_has_the_names_and_shapes_of_diffusers() -> None:
    """Whose defaults are the published model at 256 pixels, but for the learnt variance."""
    with torch.device("meta"):
        ours, theirs = ClassDiT(published_config("XL/2")), diffusers.DiTTransformer2DModel(out_channels=8)
    expected = {name: tensor.shape for name, tensor in theirs.state_dict().items()}
    assert {name: tensor.shape for name, tensor in to_diffusers_dit(ours.state_dict()).items()} == expected


def test_no_device_is_waited_for() -> None:
    """On a device the program doesn't look at labels, which would make it wait; nor in a graph, where it can't."""
    model, (x, timestep, label) = shaken(ClassDiT(CONFIG)), inputs()
    graph = torch.export.export(model, (x, timestep, label)).module()
    assert_close(graph(x, timestep, label.flip(0)), model(x, timestep, label.flip(0)))
    with torch.device("meta"):      # any look at a number raises an error
        out = ClassDiT(CONFIG)(x.to("meta"), timestep.to("meta"), label.to("meta"))
    assert out.shape == (3, 8, 8, 8)


def test_what_does_not_fit_is_said_at_the_door() -> None:
    model = ClassDiT(CONFIG)
    x, timestep, label = inputs()
    with pytest.raises(ValueError, match="multiples of 2"):
        model(x[..., :7], timestep, label)
    with pytest.raises(ValueError, match="for 3 latents; give one each"):
        model(x, timestep, label[:2])
    with pytest.raises(ValueError, match=r"from 0 to 7 \(7: no class\)"):
        model(x, timestep, label + 1)
    for name in ("XXL/2", "XL", "XL/3"):
        with pytest.raises(ValueError, match="S, B, L, XL"):
            published_config(name)


@pytest.mark.parity("class DiT", "diffusers DiT-XL/2, 675 M, full size")
@pytest.mark.full
@pytest.mark.timeout(900)
@torch.inference_mode()
def test_full_size_class_dit_is_diffusers(agree: Agree) -> None:
    """DiT-XL/2 at 256 pixels, 675 M parameters, once for each library and never both."""
    config = dataclasses.replace(published_config("XL/2"), freq_shift=1.0, mlp_norm_eps=1e-5)
    ours = shaken_gently(ClassDiT(config))
    x, timestep, label = inputs(config)
    got, state = ours(x, timestep, label), ours.state_dict()
    del ours
    with torch.device("meta"):
        theirs = diffusers_dit(config)
    theirs.load_state_dict(to_diffusers_dit(state), strict=True, assign=True)
    theirs.pos_embed.pos_embed = diffusers_dit(dataclasses.replace(config, depth=0)).pos_embed.pos_embed
    expected = theirs.eval()(x, timestep, label).sample
    print(f"DiT-XL/2: greatest difference {(got - expected).abs().max():.2e}, deviation {expected.std():.3f}")
    assert expected.std() > 0.1
    agree(got, expected, rtol=1e-4, atol=1e-4)


def shaken_gently(model: Any) -> Any:
    """Random as `shaken`, but in proportion to the width, as it must be where that is large."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 0.1)
    return model.eval()
