"""SigLIP gives transformers' numbers and loss from transformers' weights, in both directions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from parity_table import Agree
from torch import Tensor
from torch.testing import assert_close

from minidiff.models.siglip import SigLIP, SigLIPTextConfig, SigLIPVisionConfig, siglip_loss
from minidiff.pretrained.assemble import load_strict
from minidiff.pretrained.state_dicts import from_transformers_clip
from minidiff.pretrained.weight_file import read_weights

SHAPE: dict[str, Any] = {"hidden_size": 24, "layers": 2, "heads": 3, "intermediate": 40, "projection_dim": 24}
TEXT = SigLIPTextConfig(**SHAPE, vocab_size=30, max_length=7)
VISION = SigLIPVisionConfig(**SHAPE, image_size=20, patch_size=6)      # 20 is no multiple of 6, as 384 is none of 14


def transformers_siglip() -> Any:
    shape = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40}
    return transformers.SiglipModel(transformers.SiglipConfig(
        text_config={**shape, "vocab_size": 30, "max_position_embeddings": 7},
        vision_config={**shape, "image_size": 20, "patch_size": 6},
    )).eval()  # fmt: skip


def shaken(model: Any) -> Any:
    """Every parameter random, norms and biases too."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def batch() -> tuple[Tensor, Tensor]:
    """Three pictures and three texts padded to 7 tokens."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(2, 30, (3, 7), generator=generator)
    ids[1, 4:], ids[2, 2:] = 1, 1
    return torch.randn(3, 3, 20, 20, generator=generator), ids


@pytest.mark.parity("SigLIP", "transformers SiglipModel, tiny")
def test_siglip_is_transformers_in_both_directions(agree: Agree) -> None:
    theirs, ours = transformers_siglip(), shaken(SigLIP(TEXT, VISION))
    theirs.load_state_dict(ours.state_dict(), strict=True)
    pixels, ids = batch()
    expected = theirs(input_ids=ids, pixel_values=pixels, return_loss=True)
    image_emb, text_emb = ours(pixels, ids)
    agree(image_emb, expected.image_embeds)
    agree(text_emb, expected.text_embeds)
    agree(siglip_loss(image_emb, text_emb, ours.logit_scale, ours.logit_bias), expected.loss)
    agree(ours.text_model(ids).sequence, expected.text_model_output.last_hidden_state)
    agree(ours.vision_model(pixels).sequence, expected.vision_model_output.last_hidden_state)
    SigLIP(TEXT, VISION).load_state_dict(theirs.state_dict(), strict=True)


def test_a_file_of_transformers_loads(tmp_path: Path) -> None:
    theirs, ours = shaken(transformers_siglip()), SigLIP(TEXT, VISION).eval()
    theirs.save_pretrained(tmp_path)
    load_strict(ours, from_transformers_clip(read_weights(tmp_path / "model.safetensors")), "model.safetensors")
    pixels, ids = batch()
    assert_close(ours.embed_text(ids), theirs(input_ids=ids, pixel_values=pixels).text_embeds)


def test_the_defaults_are_siglip_base() -> None:
    with torch.device("meta"):
        ours, theirs = SigLIP(SigLIPTextConfig(), SigLIPVisionConfig()), transformers.SiglipModel(
            transformers.SiglipConfig(text_config={}, vision_config={})
        )
    shapes = {name: tensor.shape for name, tensor in theirs.state_dict().items()}
    assert {name: tensor.shape for name, tensor in ours.state_dict().items()} == shapes


def test_gradients_of_the_loss_are_transformers() -> None:
    theirs, ours = transformers_siglip(), shaken(SigLIP(TEXT, VISION))
    theirs.load_state_dict(ours.state_dict(), strict=True)
    pixels, ids = batch()
    siglip_loss(*ours(pixels, ids), ours.logit_scale, ours.logit_bias).backward()
    theirs(input_ids=ids, pixel_values=pixels, return_loss=True).loss.backward()
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        assert_close(parameter.grad, expected[name].grad, msg=lambda m, name=name: f"{name}: {m}")


def test_the_last_place_sums_up_and_every_word_reaches_it() -> None:
    model = shaken(SigLIP(TEXT, VISION)).text_model
    _, ids = batch()
    out = model(ids)
    assert_close(out.pooled, model.head(out.sequence[:, -1]))
    for place in range(7):
        changed = ids.clone()
        changed[0, place] = (ids[0, place] - 2 + 1) % 28 + 2
        assert (model(changed).sequence[0] - out.sequence[0]).abs().amax(dim=1).min() > 1e-6    # in both directions
    seen = torch.arange(7)[None] != 0
    assert_close(model(changed.index_fill(1, torch.tensor([0]), 9), seen).pooled, model(changed, seen).pooled)


def test_loss_is_that_of_independent_yes_and_no() -> None:
    generator = torch.Generator().manual_seed(0)
    image, text = (torch.nn.functional.normalize(torch.randn(4, 5, generator=generator), dim=1) for _ in range(2))
    scale, bias = torch.tensor(1.3), torch.tensor(-0.7)
    logits = scale.exp() * image @ text.T + bias
    answers = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.eye(4), reduction="sum") / 4
    assert_close(siglip_loss(image, text, scale, bias), answers)


def test_what_does_not_fit_is_said_at_the_door() -> None:
    model = SigLIP(TEXT, VISION)
    with pytest.raises(ValueError, match="at most 7"):
        model.embed_text(torch.zeros(1, 8, dtype=torch.long))
    with pytest.raises(ValueError, match=r"\(B, 3, 20, 20\)"):
        model.embed_image(torch.zeros(1, 3, 18, 18))
    with pytest.raises(ValueError, match="make them equal"):
        SigLIP(SigLIPTextConfig(**{**SHAPE, "projection_dim": 8}), VISION)
