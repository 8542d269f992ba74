"""Prompt-to-prompt: which token is which, whose attention is used, and what stays as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import published
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_img2img import as_pixels
from torch import Tensor, nn
from torch.testing import assert_close

from minidiff.nn.attention import Attention
from minidiff.nn.attention_maps import AttentionMap
from minidiff.pipelines.alignment import alignment, rows_of, token_marks
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.prompt_to_prompt import WordChange, change_words, stream
from minidiff.pipelines.request import RequestError
from minidiff.pipelines.shared_attention import SharedAttention, Sharing
from minidiff.pipelines.text_to_image import TextToImage

BOS, EOS = 1, 2

# Which token is which


@pytest.mark.parametrize(
    ("before", "after", "moved", "added"),
    [
        ([5, 6, 7], [5, 9, 7], {(1, 1): 1, (2, 2): 1, (3, 3): 1}, []),
        ([5, 6], [5, 8, 9], {(1, 1): 1, (2, 2): 0.5, (2, 3): 0.5}, []),
        ([5, 6, 7], [8, 7], {(1, 1): 1, (2, 1): 1, (3, 2): 1}, []),
        ([5, 7], [5, 6, 7], {(1, 1): 1, (2, 3): 1}, [2]),
        ([5, 6, 7], [5, 7], {(1, 1): 1, (3, 2): 1}, []),
        ([5, 6, 5, 7], [5, 6, 5, 8], {(1, 1): 1, (2, 2): 1, (3, 3): 1, (4, 4): 1}, []),
    ],
    ids=["replaced", "by two", "two by one", "added", "left out", "said twice"],
)
def test_words_belong_together(
    before: list[int], after: list[int], moved: dict[tuple[int, int], float], added: list[int]
) -> None:
    mapping, new = alignment([BOS, *before, EOS], [BOS, *after, EOS], 8)
    expected = torch.zeros(8, 8)
    for place, share in {**moved, (0, 0): 1, (len(before) + 1, len(after) + 1): 1}.items():
        expected[place] = share
    assert_close(mapping, expected)
    assert new.nonzero().flatten().tolist() == added


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(3, 8), max_size=10), st.lists(st.integers(3, 8), max_size=10))
def test_attention_is_never_doubled(before: list[int], after: list[int]) -> None:
    """Each old token gives its attention away once or not at all, and each new one has some or is new."""
    mapping, added = alignment([BOS, *before, EOS], [BOS, *after, EOS], 12)
    assert set(mapping.sum(dim=1).round(decimals=5).tolist()) <= {0.0, 1.0}
    has = mapping.sum(dim=0) > 0
    assert torch.equal(has[: len(after) + 2], added[: len(after) + 2] == 0)


@pytest.fixture(scope="module", params=["world-dit", "stable diffusion", "pixart"])
def reader(request: pytest.FixtureRequest, whole_zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> TextToImage:
    """Three kinds of tokenizer: with <bos> and a mask, with <bos> and visible padding, without <bos>."""
    if request.param == "world-dit":
        return load_pipeline("world-dit", device="cpu", dtype="float32", root=whole_zoo)
    folder = tmp_path_factory.mktemp("published") / "model"
    {"stable diffusion": published.stable_diffusion, "pixart": published.pixart}[request.param](folder)
    return load_pipeline(folder, device="cpu", dtype="float32")


@pytest.mark.parametrize(
    ("prompt", "word", "times"),
    [("a Red star", "red", 1), ("a red, blue star", "blue", 1), ("red cat, red dog", "red", 2), ("a red star", "red star", 1)],
)
def test_a_word_s_tokens_are_found(reader: TextToImage, prompt: str, word: str, times: int) -> None:
    ids = rows_of(reader.tokenizer, [prompt])[0]
    (marks,) = token_marks(reader.tokenizer, [prompt], word, len(ids))
    own = [i for i in rows_of(reader.tokenizer, [word])[0] if i not in rows_of(reader.tokenizer, [""])[0]]
    found = [i for i, mark in zip(ids, marks.tolist(), strict=True) if mark]
    assert found == own * times


def test_vietnamese_words_are_found_and_replaced(whole_zoo: Path) -> None:
    tokenizer = load_pipeline("world-dit", device="cpu", dtype="float32", root=whole_zoo).tokenizer
    before, after = rows_of(tokenizer, ["một ngôi sao đỏ lớn", "một ngôi nhà đỏ lớn"])
    mapping, added = alignment(before, after, 40)
    (sao,) = token_marks(tokenizer, ["một ngôi sao đỏ lớn"], "ngôi sao", 40)
    (nha,) = token_marks(tokenizer, ["một ngôi nhà đỏ lớn"], "Ngôi nhà", 40)
    (red,) = token_marks(tokenizer, ["một ngôi sao đỏ lớn"], "đỏ", 40)
    (still,) = token_marks(tokenizer, ["một ngôi nhà đỏ lớn"], "đỏ", 40)
    assert_close((sao @ mapping > 0).float(), nha)
    assert_close(red @ mapping, still)
    assert not added.any()


def test_a_word_that_is_not_there_is_said_with_those_that_are(reader: TextToImage) -> None:
    for word in ("green", "", "star red", "re"):
        with pytest.raises(RequestError, match="they have a, red, star, cat"):
            token_marks(reader.tokenizer, ["a red star", "a red cat"], word, 20)


# Whose attention is used


class Layer(nn.Module):
    """One layer of attention, to words ("attn2") or within the image ("attn1")."""

    def __init__(self, name: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.add_module(name, Attention(8, 6 if name == "attn2" else None, heads=2, head_dim=4, bias=True))
        self.layer: Any = getattr(self, name)


def by_hand(layer: Attention, weights: Tensor, tokens: Tensor) -> Tensor:
    """One example: weights (heads, N, L) and tokens (L, D) to (N, D)."""
    values = (tokens @ layer.to_v.weight.T + layer.to_v.bias).unflatten(-1, (2, 4))                 # (L, heads, d)
    mixed = torch.stack([weights[h] @ values[:, h] for h in range(2)], dim=1).flatten(1)            # (N, heads d)
    return mixed @ layer.to_out[0].weight.T + layer.to_out[0].bias


def weights_of(layer: Attention, x: Tensor, tokens: Tensor, seen: int) -> Tensor:
    """(heads, N, L), of which only the first `seen` tokens are looked at."""
    query = (x @ layer.to_q.weight.T + layer.to_q.bias).unflatten(-1, (2, 4))
    key = (tokens @ layer.to_k.weight.T + layer.to_k.bias).unflatten(-1, (2, 4))[:seen]
    logits = torch.stack([query[:, h] @ key[:, h].T / 2 for h in range(2)])
    return torch.nn.functional.pad(logits.softmax(dim=-1), (0, len(tokens) - seen))


@pytest.mark.parametrize("step", [0, 1, 2, 3])
def test_words_are_looked_at_where_the_old_ones_were(step: int) -> None:
    """B = 2 pairs and their unguided copies; tokens: 0 stays, 1 is replaced, 2 is added, 3 is padding."""
    model, generator = Layer("attn2"), torch.Generator().manual_seed(1)
    x, context = (torch.randn(8, n, d, generator=generator) for n, d in ((5, 8), (4, 6)))
    bias = torch.tensor([0.0, 0, 0, -1e4]).expand(8, 1, 1, 4)
    mapping = torch.zeros(2, 4, 4)
    mapping[:, 0, 0] = mapping[:, 1, 1] = 1
    mapping[1, 1] = torch.tensor([0.0, 0.5, 0.5, 0])
    added, factors = torch.tensor([[0.0, 0, 1, 0], [0, 0, 0, 0]]), torch.tensor([[1.0, 2, 1, 1], [1, 1, -1, 1]])
    shared = SharedAttention(model, Sharing(0.5, 1.0, mapping, added, factors), steps=4)
    shared.step = step
    plain = model.layer(x, context, bias).detach()
    with shared.attached():
        output = model.layer(x, context, bias).detach()
    for row in range(8):
        if row not in (2, 3):
            assert_close(output[row], plain[row])
            continue
        pair = row - 2
        old, new = (weights_of(model.layer, x[k], context[k], 3) for k in (pair, row))
        if step < 2:
            new = old @ mapping[pair] + new * added[pair]
        assert_close(output[row], by_hand(model.layer, new * factors[pair], context[row]), rtol=0, atol=1e-5)
        assert float((output[row] - plain[row]).abs().max()) > 1e-3


@pytest.mark.parametrize(("step", "places"), [(0, 6), (3, 6), (0, 33 * 33)])
def test_places_look_at_one_another_as_the_old_ones_did(step: int, places: int) -> None:
    model = Layer("attn1")
    x = torch.randn(4, places, 8, generator=torch.Generator().manual_seed(1))
    ones = torch.ones(1, 3)
    shared = SharedAttention(model, Sharing(1.0, 0.5, torch.eye(3)[None], ones * 0, ones), steps=4)
    shared.step = step
    plain = model.layer(x)
    with shared.attached():
        output = model.layer(x)
    assert_close(output[[0, 2, 3]], plain[[0, 2, 3]])
    expected = by_hand(model.layer, weights_of(model.layer, x[0], x[0], places), x[1]) if (step, places) == (0, 6) else plain[1]
    assert_close(output[1], expected, rtol=0, atol=1e-5)


def test_nothing_changes_where_no_limit_is_looked_at() -> None:
    """The old word is looked at in one corner, the new one in another; what is between them stays."""
    ones, limits = torch.ones(1, 3), torch.tensor([[0.0, 1, 0], [0, 0, 1]])
    shared = SharedAttention(nn.Module(), Sharing(1.0, 1.0, torch.eye(3)[None], ones * 0, ones, limits), steps=10)
    weights = torch.full((2, 1, 64, 3), 0.1)
    grid = weights.unflatten(2, (8, 8))
    grid[0, :, :2, :2, 1], grid[0, :, 7, 0, 2], grid[1, :, 7, 7, 2] = 0.9, 0.9, 0.9
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for step in (1, 2, 3):
        shared.step = step
        shared.maps.append(AttentionMap("attn2", weights))
        limited = shared.limited(x)
        if step <= 2:
            assert_close(limited, x, rtol=0, atol=0)
    same = (limited[0] == limited[1]).all(dim=0)
    expected = torch.ones(8, 8, dtype=torch.bool)
    expected[:3, :3] = expected[6:, 6:] = False
    assert torch.equal(same, expected)
    assert_close(limited[0], x[0], rtol=0, atol=0)
    assert not shared.maps, "maps of past steps are not kept"


# Pictures


@pytest.fixture(scope="module", params=["world-dit", "world-unet"])
def ours(request: pytest.FixtureRequest, whole_zoo: Path) -> TextToImage:
    return stirred(load_pipeline(request.param, device="cpu", dtype="float32", root=whole_zoo))


def stirred(pipeline: TextToImage) -> TextToImage:
    """The same, its attention strong enough to be seen in pictures of random weights."""
    for module in pipeline.network.modules():
        if isinstance(module, Attention):
            for layer, factor in ((module.to_q, 4.0), (module.to_out[0], 4.0)):
                layer.weight.data.mul_(factor)  # type: ignore[operator, union-attr]
    return pipeline


def request_of(pipeline: TextToImage, **options: Any) -> Any:
    return pipeline.request("a big red star", **{"steps": 3, "num_images": 2, "expand_prompt": False, **options})


@pytest.mark.parametrize("options", [
    {}, {"guidance_scale": 1.0}, {"guidance_interval": (0.3, 0.8)}, {"sampler": "euler_a"}
], ids=str)  # fmt: skip
def test_old_pictures_are_those_of_the_request(ours: TextToImage, options: dict[str, Any]) -> None:
    request = request_of(ours, **options)
    images = change_words(ours, request, "a small blue star")
    assert_close(as_pixels(images[:2]), as_pixels(ours(request)), rtol=0, atol=2.1 / 255)
    assert len({image.tobytes() for image in images}) == 4


def test_without_any_share_new_pictures_are_those_of_the_new_prompt(ours: TextToImage) -> None:
    images = change_words(ours, request_of(ours), "a small blue star", WordChange(0, 0))
    alone = ours(ours.request("a small blue star", steps=3, num_images=2, expand_prompt=False))
    assert_close(as_pixels(images[2:]), as_pixels(alone), rtol=0, atol=2.1 / 255)
    shared = change_words(ours, request_of(ours), "a small blue star", WordChange(1, 1))
    assert float((as_pixels(shared[2:]) - as_pixels(alone)).abs().max()) > 0.02


@pytest.mark.parametrize("change", [
    WordChange(1, 0), WordChange(0, 1), WordChange(0, 0, {"star": 0}), WordChange(0, 0, {"big red": 2, "star": -2})
], ids=str)  # fmt: skip
def test_every_setting_reaches_the_picture(ours: TextToImage, change: WordChange) -> None:
    """Of a prompt with more words: each setting makes another picture than none."""
    longer = "a big red star at night"
    plain, changed = ([*stream(ours, request_of(ours), longer, one)][-1].latents for one in (WordChange(0, 0), change))
    assert float((plain[2:] - changed[2:]).abs().max()) > 1e-5
    assert_close(plain[:2], changed[:2], rtol=0, atol=1e-6)


def test_previews_count_the_steps_and_the_network_is_left_as_it_was(ours: TextToImage) -> None:
    before = ours(request_of(ours))
    previews = stream(ours, request_of(ours), "a big red star at night", WordChange(only=["night", "star"]))
    assert not any(module._forward_hooks for module in ours.network.modules())
    first = next(previews)
    assert (first.index, first.n, first.latents.shape[0], first.images) == (1, 3, 4, None)
    assert not any(module._forward_hooks for module in ours.network.modules()), "also between two steps"
    assert [preview.index for preview in previews] == [2, 3]
    assert [image.tobytes() for image in ours(request_of(ours))] == [image.tobytes() for image in before]


def test_published_models_change_words_too(reader: TextToImage) -> None:
    request = reader.request("A red star", steps=2, expand_prompt=False)
    before, after = change_words(reader, request, "A red cat", WordChange(weights={"cat": 2.0}, only=["star"]))
    assert before.size == after.size and before.tobytes() != after.tobytes()


@pytest.mark.parametrize(
    ("changed", "change", "says"),
    [
        ("A big  red STAR.", None, "The two prompts are the same"),
        ("a big red star", {"only": ["star"]}, "The two prompts are the same"),
        ("", None, "The prompt is empty"),
        ("x" * 201, None, "201 characters and at most 200"),
        ("a cat", {"weights": {"star": 2.0}}, "don't have the word 'star'; they have a, cat"),
        ("a cat", {"only": ["dog"]}, "don't have the word 'dog'; they have a, big, red, star, cat"),
        ("a cat", {"cross_share": 1.5}, "share of the steps must be a number from 0 to 1"),
        ("a cat", {"self_share": -1}, "share of the steps must be a number from 0 to 1"),
        ("a cat", {"weights": {"cat": 9}}, "weight of a word must be a number from -2 to 5"),
    ],
)
def test_what_cannot_be_done_is_said(ours: TextToImage, changed: str, change: dict[str, Any] | None, says: str) -> None:
    with pytest.raises(RequestError, match=says):
        change_words(ours, request_of(ours), changed, WordChange(**change) if change else None)


def test_a_model_that_reads_no_words_says_so(whole_zoo: Path) -> None:
    pixels = load_pipeline("world-pixels", device="cpu", dtype="float32", root=whole_zoo)
    with pytest.raises(RequestError, match="world-pixels doesn't look at single words"):
        change_words(pixels, pixels.request("star", steps=2), "cat")
