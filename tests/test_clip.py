"""The CLIP towers give the numbers of transformers and of open_clip from their weights, and what those cannot check, we
say."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
import transformers
from parity_table import Agree
from torch.testing import assert_close

from minidiff.models.clip import (
    CLIP,
    TextConfig,
    TextEncoder,
    TextTransformer,
    VisionConfig,
    VisionTransformer,
    clip_loss,
    locality,
)
from minidiff.pretrained.assemble import load_strict
from minidiff.pretrained.state_dicts import (
    from_open_clip_clip,
    from_transformers_clip,
    to_open_clip_clip,
    to_transformers_clip,
)
from minidiff.pretrained.weight_file import read_weights

EOS = 5
TEXT: dict[str, Any] = {"vocab_size": 40, "hidden_size": 16, "layers": 2, "heads": 2, "intermediate": 32,
                        "max_length": 9, "eos_id": EOS, "projection_dim": 12}
VISION: dict[str, Any] = {"image_size": 16, "patch_size": 8, "hidden_size": 24, "layers": 2, "heads": 3,
                          "intermediate": 40, "projection_dim": 12}


def their_text_config(activation: str, eos: int = EOS) -> Any:
    return transformers.CLIPTextConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=9, hidden_act=activation, eos_token_id=eos, bos_token_id=4, pad_token_id=0,
        projection_dim=12,
    )


def their_vision_config(activation: str) -> Any:
    return transformers.CLIPVisionConfig(
        image_size=16, patch_size=8, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
        hidden_act=activation, projection_dim=12,
    )


def captions() -> tuple[torch.Tensor, torch.Tensor]:
    """Three captions of 9, 6 and 4 tokens: begin, random words, end, padding."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(6, 40, (3, 9), generator=generator)
    ids[:, 0] = 4
    lengths = torch.tensor([9, 6, 4])
    ids[torch.arange(3), lengths - 1] = EOS
    mask = torch.arange(9) < lengths[:, None]
    return ids * mask, mask


def shaken(model: torch.nn.Module) -> torch.nn.Module:
    """Norms and biases start at 0 and 1, where many mistakes do not show; move every parameter off its start."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.parity("CLIP text", "transformers CLIPTextModelWithProjection, tiny")
@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
def test_text_encoder_is_transformers_with_projection(activation: str, agree: Agree) -> None:
    theirs = shaken(transformers.CLIPTextModelWithProjection(their_text_config(activation)))
    ours = TextEncoder(TextConfig(**TEXT, activation=activation, causal=True)).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    ids, mask = captions()
    expected = theirs(input_ids=ids, attention_mask=mask.long())
    sequence, pooled = ours(ids, mask)
    agree(sequence[mask], expected.last_hidden_state[mask])
    agree(ours.text_projection(pooled), expected.text_embeds)
    agree(ours.embed(ids, mask), torch.nn.functional.normalize(expected.text_embeds, dim=-1))
    theirs.load_state_dict(ours.state_dict(), strict=True)


@pytest.mark.parity("CLIP", "transformers CLIPModel, tiny")
def test_clip_is_transformers_clip_in_both_directions(agree: Agree) -> None:
    config = transformers.CLIPConfig(
        text_config=their_text_config("gelu").to_dict(), vision_config=their_vision_config("gelu").to_dict(),
        projection_dim=12,
    )
    theirs = transformers.CLIPModel(config).eval()
    ours = shaken(CLIP(TextConfig(**TEXT, causal=True), VisionConfig(**VISION)))
    theirs.load_state_dict(ours.state_dict(), strict=True)
    ids, mask = captions()
    pixels = torch.randn(3, 3, 16, 16)
    expected = theirs(input_ids=ids, attention_mask=mask.long(), pixel_values=pixels, return_loss=True)
    image_emb, text_emb = ours(pixels, ids, mask)
    agree(image_emb, expected.image_embeds)
    agree(text_emb, expected.text_embeds)
    agree(clip_loss(image_emb, text_emb, ours.logit_scale), expected.loss)
    vision = theirs.vision_model(pixel_values=pixels).last_hidden_state
    agree(ours.vision_model(pixels).sequence, vision)
    ours.load_state_dict(theirs.state_dict(), strict=True)


@pytest.mark.parity("CLIP text", "transformers CLIPTextModel, tiny")
@pytest.mark.parametrize(("configured", "ours_id"), [(EOS, EOS), (2, None)])
def test_the_text_tower_alone_is_transformers_text_model_and_its_file(
    configured: int, ours_id: int | None, tmp_path: Path, agree: Agree) -> None:
    """The text encoder of Stable Diffusion: files say `text_model.`, and old ones claim that the end token is 2."""
    theirs = shaken(transformers.CLIPTextModel(their_text_config("quick_gelu", configured)))
    ours = TextTransformer(TextConfig(**{**TEXT, "eos_id": ours_id}, activation="quick_gelu", causal=True)).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    load_strict(ours, from_transformers_clip(read_weights(tmp_path / "theirs" / "model.safetensors")), "their file")
    ids, _ = captions()
    expected = theirs(input_ids=ids)
    agree(ours(ids).sequence, expected.last_hidden_state)
    agree(ours(ids).pooled, expected.pooler_output)

    ours = shaken(ours)
    state = to_transformers_clip(ours.state_dict()) | {"text_model.embeddings.position_ids": torch.arange(9)[None]}
    old = transformers.CLIPTextModel.from_pretrained(None, config=theirs.config, state_dict=dict(state)).eval()
    agree(ours(ids).pooled, old(input_ids=ids).pooler_output)
    load_strict(TextTransformer(ours.config), from_transformers_clip(state), "an old file")
    load_strict(TextTransformer(ours.config), from_transformers_clip(theirs.state_dict()), "a model in memory")


@pytest.mark.parity("CLIP vision", "transformers CLIPVisionModel, tiny")
def test_the_vision_tower_alone_is_transformers_vision_model(agree: Agree) -> None:
    theirs = shaken(transformers.CLIPVisionModel(their_vision_config("quick_gelu")))
    ours = VisionTransformer(VisionConfig(**VISION, activation="quick_gelu")).eval()
    state = to_transformers_clip(theirs.state_dict(), "vision_model")
    load_strict(ours, from_transformers_clip(state), "a file of the vision tower")
    pixels = torch.randn(2, 3, 16, 16)
    expected = theirs(pixel_values=pixels)
    agree(ours(pixels).sequence, expected.last_hidden_state)
    agree(ours(pixels).pooled, expected.pooler_output)
    theirs.load_state_dict(ours.state_dict(), strict=True)


@pytest.mark.parity("CLIP", "open_clip CLIP, tiny")
@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
def test_clip_is_open_clip_in_both_directions(activation: str, agree: Agree) -> None:
    theirs = shaken(open_clip.model.CLIP(
        12,
        {"layers": 2, "width": 24, "head_width": 8, "mlp_ratio": 40 / 24, "patch_size": 8, "image_size": 16},
        {"context_length": 9, "vocab_size": 40, "width": 16, "heads": 2, "layers": 2, "mlp_ratio": 2.0},
        quick_gelu=activation == "quick_gelu",
    ))
    text = TextConfig(**{**TEXT, "eos_id": None}, activation=activation, causal=True)
    ours = CLIP(text, VisionConfig(**VISION, activation=activation)).eval()
    load_strict(ours, from_open_clip_clip(theirs.state_dict()), "open_clip")
    ids, _ = captions()
    pixels = torch.randn(3, 3, 16, 16)
    image_emb, text_emb = ours(pixels, ids)
    expected_image, expected_text, scale = theirs(pixels, ids)
    agree(image_emb, expected_image)
    agree(text_emb, expected_text)
    expected_loss = open_clip.loss.ClipLoss()(expected_image, expected_text, scale)
    agree(clip_loss(image_emb, text_emb, ours.logit_scale), expected_loss)
    back = to_open_clip_clip(ours.state_dict())
    theirs.load_state_dict(back, strict=True)
    assert all(torch.equal(back[name], tensor) for name, tensor in theirs.state_dict().items())


@pytest.mark.parity("CLIP text", "transformers, CLIP-L, 123 M, full size")
@pytest.mark.full
@pytest.mark.timeout(600)
@torch.inference_mode()
def test_full_size_text_tower_is_clip_l(agree: Agree) -> None:
    """openai/clip-vit-large-patch14's text tower, which reads prompts for Stable Diffusion 1: 123 M parameters."""
    config = transformers.CLIPTextConfig(
        vocab_size=49408, hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072,
        max_position_embeddings=77, hidden_act="quick_gelu", projection_dim=768, eos_token_id=2,
    )
    torch.manual_seed(0)
    theirs = transformers.CLIPTextModel(config).eval()
    ours = TextTransformer(TextConfig(
        vocab_size=49408, hidden_size=768, layers=12, heads=12, intermediate=3072, max_length=77,
        activation="quick_gelu", causal=True, eos_id=None,
    )).eval()
    load_strict(ours, theirs.state_dict(), "transformers")
    ids = torch.randint(0, 49406, (2, 77))
    ids[:, 0], ids[0, 40:], ids[1, 76] = 49406, 49407, 49407
    expected, got = theirs(input_ids=ids), ours(ids)
    difference = (got.sequence - expected.last_hidden_state).abs().max()
    print(f"CLIP-L text: greatest difference {difference:.2e}, deviation {expected.last_hidden_state.std():.3f}")
    agree(got.sequence, expected.last_hidden_state, rtol=1e-4, atol=1e-4)
    agree(got.pooled, expected.pooler_output, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("causal", [True, False])
def test_later_words_reach_earlier_ones_only_without_the_causal_mask(causal: bool) -> None:
    model = shaken(TextEncoder(TextConfig(**TEXT, causal=causal)))
    ids, mask = captions()
    changed = ids.clone()
    changed[0, 7] = (ids[0, 7] - 6 + 1) % 34 + 6
    before, after = model(ids, mask).sequence, model(changed, mask).sequence
    assert torch.equal(before[0, :7], after[0, :7]) is causal
    assert not torch.allclose(before[0, 7:], after[0, 7:])
    assert_close(before[1:], after[1:])


def test_padding_changes_nothing_that_is_read() -> None:
    model = shaken(TextEncoder(TextConfig(**TEXT)))
    ids, mask = captions()
    noisy = torch.where(mask, ids, 33)
    assert_close(model(noisy, mask).sequence[mask], model(ids, mask).sequence[mask])
    alone = model(ids[2:, :4])          # the same caption without its padding, and without a mask
    assert_close(alone.sequence[0], model(ids, mask).sequence[2, :4])
    assert_close(alone.pooled[0], model(ids, mask).pooled[2])


def test_pooled_is_the_sequence_at_the_first_eos() -> None:
    model = shaken(TextEncoder(TextConfig(**TEXT)))
    ids, mask = captions()
    out = model(ids, mask)
    assert_close(out.pooled, torch.stack([out.sequence[0, 8], out.sequence[1, 5], out.sequence[2, 3]]))


def test_text_encoder_of_a_clip_shares_its_weights() -> None:
    clip = CLIP(TextConfig(**TEXT), VisionConfig(**VISION))
    encoder = clip.text_encoder()
    ids, mask = captions()
    assert_close(encoder.embed(ids, mask), clip.embed_text(ids, mask))
    clip.text_projection.weight.data.mul_(-1)
    assert_close(encoder.embed(ids, mask), clip.embed_text(ids, mask))


def test_loss_is_zero_for_perfect_pairs_and_log_n_for_no_information() -> None:
    eye = torch.eye(4)
    assert clip_loss(eye, eye, torch.tensor(10.0)) < 1e-6
    assert_close(clip_loss(eye[:1].expand(4, 4), eye, torch.tensor(-50.0)), torch.tensor(math.log(4)))
    hot, hottest = (clip_loss(eye.roll(1, 0), eye, torch.tensor(s)) for s in (math.log(100), 20.0))
    assert_close(hot, hottest)      # the temperature is held


def test_what_does_not_fit_is_said_at_the_door() -> None:
    model = CLIP(TextConfig(**TEXT), VisionConfig(**VISION))
    with pytest.raises(ValueError, match="at most 9"):
        model.embed_text(torch.full((1, 10), EOS))
    with pytest.raises(ValueError, match=r"\(B, 3, 16, 16\)"):
        model.embed_image(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ValueError, match="gelu, quick_gelu"):
        TextConfig(activation="relu")
    with pytest.raises(ValueError, match="multiple"):
        TextConfig(hidden_size=10, heads=4)
    with pytest.raises(ValueError, match="equal"):
        CLIP(TextConfig(projection_dim=8), VisionConfig(projection_dim=9))


def test_locality_prefers_neighbours_in_the_direction_of_the_head() -> None:
    """Head 0 looks back, head 1 ahead, head 2 both ways, head 3 anywhere; nobody minds looking at itself."""
    bias = locality(4, 6)[0]
    assert bias.shape == (4, 6, 6) and torch.all(bias.diagonal(dim1=1, dim2=2) == 0)
    assert bias[0, 3, 2] > bias[0, 3, 4] and bias[1, 3, 4] > bias[1, 3, 2]
    assert bias[2, 3, 1] == bias[2, 3, 5] < bias[2, 3, 4] and not bias[3].any()
    assert locality(6, 4).shape == (1, 6, 4, 4)


def test_a_local_tower_ignores_padding_and_differs_from_a_plain_one() -> None:
    config = TextConfig(vocab_size=50, hidden_size=64, layers=2, heads=4, intermediate=128, local=True)
    torch.manual_seed(0)
    local, plain = TextEncoder(config), TextEncoder(dataclasses.replace(config, local=False))
    plain.load_state_dict(local.state_dict())
    ids = torch.tensor([[1, 7, 9, 12, 2]])
    longer = torch.nn.functional.pad(ids, (0, 3))
    mask = torch.arange(8)[None] < 5
    torch.testing.assert_close(local(longer, mask).sequence[:, :5], local(ids).sequence)
    assert (local(ids).sequence - plain(ids).sequence).abs().max() > 1e-3
