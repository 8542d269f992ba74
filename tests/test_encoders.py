"""Every text encoder gives the numbers of the library it comes from, and answers to the same contract."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import published
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch.testing import assert_close

from minidiff.models.clip import TextConfig, TextEncoder
from minidiff.models.siglip import SigLIPText
from minidiff.pretrained import zoo
from minidiff.text import published_tokenizers
from minidiff.text.encoders import WordEncoder, load_encoder
from minidiff.text.published_clip import load_clip
from minidiff.text.tokenizer import Tokenizer as OurTokenizer

TEXTS = ["a red cat", "một ngôi nhà đỏ, rất đỏ", ""]
Made = tuple[WordEncoder, Callable[[list[str]], tuple[torch.Tensor, torch.Tensor]]]


def of_ours(folder: Path) -> Made:
    """A folder as `minidiff export` writes it."""
    tokenizer = OurTokenizer.train(TEXTS, 300)
    tokenizer.save(folder / "tokenizer.json")
    config = TextConfig(vocab_size=tokenizer.vocab_size, hidden_size=16, layers=1, heads=2, intermediate=32, projection_dim=8)
    tower = published.shaken(TextEncoder(config))
    (folder / "config.json").write_text(json.dumps(asdict(config)))
    save_file(tower.state_dict(), folder / "model.safetensors")

    def reference(texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        out = tower(*tokenizer.encode(texts))
        return out.sequence, tower.text_projection(out.pooled)

    return load_encoder("ours", folder), reference


def of_clip(folder: Path) -> Made:
    tokenizer = published.clip_tokenizer(folder / "words")
    tokenizer.save_pretrained(folder)
    vision = {"image_size": 16, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
              "intermediate_size": 32, "projection_dim": 12}  # fmt: skip
    text = published.clip_config(tokenizer).to_dict()
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)
    theirs = published.shaken(transformers.CLIPModel(config))
    theirs.save_pretrained(folder)

    def reference(texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        ids = tokenizer(texts, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
        out = theirs.text_model(input_ids=ids)
        return out.last_hidden_state, theirs.text_projection(out.pooler_output)

    return load_encoder("clip", folder), reference


def of_siglip(folder: Path) -> Made:
    tokenizer = word_pieces(folder, pad="</s>")
    text = {"vocab_size": len(tokenizer), "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 2, "max_position_embeddings": 20, "projection_size": 16}  # fmt: skip
    vision = {"image_size": 16, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
              "intermediate_size": 32}  # fmt: skip
    theirs = published.shaken(transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=vision)))
    theirs.save_pretrained(folder)

    def reference(texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        ids = tokenizer(texts, padding="max_length", max_length=20, truncation=True, return_tensors="pt").input_ids
        out = theirs.text_model(input_ids=ids)
        return out.last_hidden_state, out.pooler_output

    return load_encoder("siglip", folder), reference


def of_t5(folder: Path) -> Made:
    tokenizer = published.t5_tokenizer()
    theirs = published.t5_model(tokenizer)
    for part in (tokenizer, theirs):
        part.save_pretrained(folder)

    def reference(texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = tokenizer(texts, padding="longest", return_tensors="pt")
        sequence = theirs(**tokens).last_hidden_state
        pairs = zip(sequence, tokens.attention_mask.bool(), strict=True)
        return sequence, torch.stack([row[seen].mean(0) for row, seen in pairs])

    return load_encoder("t5", folder), reference


def word_pieces(folder: Path, pad: str) -> Any:
    """A tokenizer of letters for models that have none of their own."""
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces = [*((name, 0.0) for name in specials), ("▁", -2.0), ("▁red", -1.0), *((c, -3.0) for c in published.LETTERS)]
    core = Tokenizer(models.Unigram(pieces, unk_id=3))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token=pad, model_max_length=20
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def open_clip_folder(folder: Path, text: dict[str, Any]) -> Any:
    """A random model of open_clip with this text tower, saved as the hub's repositories are."""
    vision = {"image_size": 16, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16}
    config = {"embed_dim": 12, "vision_cfg": vision, "text_cfg": text}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    model = published.shaken(open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False))
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()},
              folder / "open_clip_model.safetensors")  # fmt: skip
    return model


def of_open_clip(folder: Path) -> Made:
    text = {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
    theirs = open_clip_folder(folder, text)
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")

    def reference(texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        ids = tokenizer(texts)
        last = theirs.forward_intermediates(text=ids, text_indices=1, normalize_intermediates=True)["text_intermediates"][-1]
        return last, theirs.encode_text(ids)

    return load_encoder("open_clip", folder), reference


def of_multilingual_open_clip(folder: Path) -> Made:
    """XLM-R, as in open_clip's multilingual models, with their pooling and projection."""
    tokenizer = word_pieces(folder, pad="<pad>")
    config = transformers.XLMRobertaConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=30, pad_token_id=1, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    config.save_pretrained(folder)
    theirs = open_clip_folder(folder, {
        "hf_model_name": str(folder), "hf_tokenizer_name": str(folder), "hf_pooler_type": "mean_pooler",
        "hf_proj_type": "mlp", "context_length": 20,
    })  # fmt: skip
    cut = open_clip.get_tokenizer(f"local-dir:{folder}")

    def reference(texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        theirs.text.output_tokens = True
        pooled, tokens = theirs.text(cut(texts))
        return tokens, pooled

    return load_encoder("open_clip", folder), reference


MAKERS = {
    "ours": of_ours, "clip": of_clip, "siglip": of_siglip, "t5": of_t5, "open_clip": of_open_clip,
    "open_clip xlm-r": of_multilingual_open_clip,
}  # fmt: skip


@pytest.fixture(scope="module", params=MAKERS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return MAKERS[request.param](tmp_path_factory.mktemp("encoder"))


def test_the_numbers_are_those_of_the_library_it_comes_from(made: Made) -> None:
    encoder, reference = made
    with torch.inference_mode():
        expected, pooled = reference(TEXTS)
    sequence, mask = encoder.encode(TEXTS)
    seen = mask[:, : expected.shape[1]]
    assert not mask[:, expected.shape[1] :].any()
    assert_close(sequence[:, : expected.shape[1]][seen], expected[:, : mask.shape[1]][seen], rtol=1e-4, atol=1e-5)
    assert_close(encoder.pooled(TEXTS), pooled, rtol=1e-4, atol=1e-5)


def test_one_contract_for_all(made: Made) -> None:
    encoder, _ = made
    sequence, mask = encoder.encode(TEXTS)
    assert sequence.shape[:2] == mask.shape and mask.dtype == torch.bool
    assert mask.any(dim=1).all()  # the empty prompt, too, is something to look at
    assert encoder.pooled(TEXTS).shape[0] == 3 and encoder.pooled(TEXTS).ndim == 2
    assert not torch.allclose(*encoder.pooled(["a red cat", "a blue cat"]))
    alone, seen = encoder.encode(TEXTS[:1])
    assert_close(alone[seen], sequence[:1][mask[:1]], rtol=1e-4, atol=1e-5)
    assert encoder.tokenizer.tokens("red")
    assert not encoder.tokenizer.tokens("")
    assert not encoder.tokenizer.unread("a red cat")
    assert encoder.tokenizer.unread(" ".join(["red"] * encoder.tokenizer.max_tokens)) == ""
    assert encoder.tokenizer.unread(" ".join(["red"] * (encoder.tokenizer.max_tokens + 2))) == "red red"
    assert not any(parameter.requires_grad for parameter in encoder.tower.parameters())


def test_published_weights_of_clip_and_siglip_are_in_our_towers(tmp_path: Path) -> None:
    classes = {"clip": TextEncoder, "siglip": SigLIPText, "open_clip": TextEncoder}
    for name, expected in classes.items():
        (tmp_path / name).mkdir()
        assert type(MAKERS[name](tmp_path / name)[0].tower) is expected


@pytest.mark.parametrize("name", ["CLIPTextModel", "CLIPTextModelWithProjection"])
def test_clip_s_text_tower_alone(tmp_path: Path, name: str) -> None:
    tokenizer = published.clip_tokenizer(tmp_path / "words")
    theirs = published.shaken(getattr(transformers, name)(published.clip_config(tokenizer)))
    for part in (tokenizer, theirs):
        part.save_pretrained(tmp_path)
    encoder = load_encoder("clip", tmp_path)
    ids = tokenizer(TEXTS, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
    with torch.inference_mode():
        expected = theirs(input_ids=ids)
    assert_close(encoder.encode(TEXTS)[0], expected.last_hidden_state, rtol=1e-4, atol=1e-5)
    assert_close(encoder.pooled(TEXTS), expected.get("text_embeds", expected.get("pooler_output")), rtol=1e-4, atol=1e-5)


def test_a_name_of_the_zoo_is_a_text_encoder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    encoder, _ = of_ours(folder)
    tower, root = encoder.tower, tmp_path / "zoo"
    state = {**tower.state_dict(), "vision_model.something": torch.zeros(2)}
    zoo.add("world-clip", state, {"text": asdict(tower.config)}, root=root, dtype=torch.float32)
    zoo.add_file("tokenizer", (folder / "tokenizer.json").read_bytes(), root=root)
    monkeypatch.setenv("MINIDIFF_ZOO", str(root))
    assert_close(load_encoder("ours", "world-clip").pooled(TEXTS), encoder.pooled(TEXTS))


def test_words_that_a_published_tokenizer_cannot_say_are_pointed_out(tmp_path: Path) -> None:
    encoder, _ = of_t5(tmp_path)
    assert encoder.tokenizer.unknown_words("a red đô ngữ, ngữ") == ["ngữ"]
    assert "red" in encoder.tokenizer.tokens("a red cat")
    clip = published.clip_tokenizer(tmp_path / "clip")
    words = published_tokenizers.transformers_tokenizer(clip, 77)
    assert words.unknown_words("ngữ") == []  # bytes can say anything
    assert words.tokens("red a") == ["red", "a"]


def test_long_texts_are_cut(made: Made) -> None:
    encoder, _ = made
    sequence, mask = encoder.encode(["red " * 200])
    assert sequence.shape[1] == mask.shape[1] <= 120


def spoilt_open_clip(folder: Path, **changes: object) -> None:
    of_open_clip(folder)
    file = folder / "open_clip_config.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "model_cfg": {**content["model_cfg"], **changes}}))


BAD: list[tuple[str, Callable[[Path], object], str]] = [
    ("clip", lambda folder: None, "no config.json"),
    ("magic", lambda folder: None, "choose one of ours, clip, open_clip, siglip, t5"),
    ("open_clip", lambda folder: None, "no open_clip_config.json"),
    ("open_clip", lambda folder: (folder / "open_clip_config.json").write_text("{}"), "no weights in"),
    ("open_clip", lambda folder: spoilt_open_clip(folder, text_cfg={"width": 16, "heads": 3}), "open_clip cannot build"),
    ("open_clip", lambda folder: spoilt_open_clip(folder, embed_dim="12"), "embed_dim is '12', but it must"),
    ("open_clip", lambda folder: spoilt_open_clip(folder, text_cfg={"layers": 10**9}), "layers of text_cfg is 10"),
    ("open_clip", lambda folder: spoilt_open_clip(folder, text_cfg={"width": 4096}), "and the file holds"),
    ("t5", of_clip, "of type 'clip_text_model', but a t5 one is needed"),
    ("siglip", of_clip, "a siglip one is needed"),
    ("clip", lambda folder: (of_clip(folder), (folder / "model.safetensors").unlink()), "no weights in"),
    ("clip", lambda folder: (of_clip(folder), (folder / "config.json").write_text("[")), "cannot be read as JSON"),
    ("clip", lambda folder: (of_clip(folder), (folder / "config.json").write_text('{"model_type": "x"}')), "no model that"),
    ("clip", lambda folder: (of_clip(folder), (folder / "tokenizer.json").write_text("{")), "cannot be read by transformers"),
    ("t5", lambda folder: (of_t5(folder), save_file({}, folder / "model.safetensors")), "2 layers, and there are only 0"),
]


@pytest.mark.parametrize(("kind", "make", "says"), BAD, ids=[f"{kind}: {says[:20]}" for kind, _, says in BAD])
def test_bad_folders_are_refused_in_one_sentence(
    tmp_path: Path, kind: str, make: Callable[[Path], object], says: str
) -> None:
    make(tmp_path)
    with pytest.raises(ValueError, match=says) as refusal:
        load_encoder(kind, tmp_path)
    assert "\n" not in str(refusal.value)


def test_a_tokenizer_of_sentencepiece_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_t5(tmp_path)
    (tmp_path / "spiece.model").write_bytes(b"pieces")
    monkeypatch.setattr(published_tokenizers, "find_spec", lambda name: None)
    assert load_encoder("t5", tmp_path).tokenizer.tokens("red") == ["red"]  # tokenizer.json holds everything
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match="pip install sentencepiece protobuf"):
        load_encoder("t5", tmp_path)


@pytest.mark.parametrize(
    ("kind", "package"),
    [("clip", "transformers"), ("siglip", "transformers"), ("t5", "transformers"), ("open_clip", "open_clip")],
)
def test_a_missing_package_is_named_before_anything_is_fetched(
    kind: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"{kind!r} needs {package}, which is not here: pip install 'minidiff\[interop\]'.$"):
        load_encoder(kind, "nobody/nothing")


def test_a_tower_of_open_clip_that_is_neither_clip_s_nor_transformers_is_refused(tmp_path: Path) -> None:
    text = {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1, "no_causal_mask": True}
    open_clip_folder(tmp_path, text)
    with pytest.raises(ValueError, match="no_causal_mask.*kind siglip"):
        load_encoder("open_clip", tmp_path)


# --- both towers ----------------------------------------------------------------------------------------------------


def clip_folder(folder: Path) -> tuple[Any, Any]:
    """A tiny CLIP and what makes its inputs ready."""
    of_clip(folder)
    processor = transformers.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    processor.save_pretrained(folder)
    return transformers.CLIPModel.from_pretrained(folder).eval(), processor


def siglip_folder(folder: Path) -> tuple[Any, Any]:
    of_siglip(folder)
    processor = transformers.SiglipImageProcessor(size={"height": 16, "width": 16})
    processor.save_pretrained(folder)
    return transformers.SiglipModel.from_pretrained(folder).eval(), processor


@pytest.mark.parity("CLIP and SigLIP, both towers", "transformers, sentences and images, tiny")
@pytest.mark.parametrize(("kind", "make", "length"), [("clip", clip_folder, 77), ("siglip", siglip_folder, 20)])
def test_both_towers_agree_with_transformers_from_sentence_and_image(
    kind: str, make: Callable[[Path], tuple[Any, Any]], length: int, tmp_path: Path, agree: Any
) -> None:
    theirs, processor = make(tmp_path)
    ours = load_clip(kind, tmp_path)
    dice = np.random.default_rng(0)
    sizes = ((16, 16, 3), (40, 23, 3), (9, 30, 3))
    images = [Image.fromarray(dice.integers(0, 256, size, np.uint8)) for size in sizes]
    images.append(images[1].convert("L"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ids = tokenizer(TEXTS, padding="max_length", max_length=length, truncation=True, return_tensors="pt").input_ids
    pixels = processor(images=[image.convert("RGB") for image in images], return_tensors="pt").pixel_values
    with torch.no_grad():
        expected = theirs(input_ids=ids, pixel_values=pixels)
    agree(ours.embed_text(TEXTS), torch.nn.functional.normalize(expected.text_embeds, dim=-1))
    found = ours.embed_image(images)
    torch.testing.assert_close(found, torch.nn.functional.normalize(expected.image_embeds, dim=-1), rtol=0, atol=0.02)
    assert not torch.allclose(found[0], found[1], atol=0.02), "an image counts"


def test_what_is_no_pair_of_towers_is_said(tmp_path: Path) -> None:
    clip_folder(tmp_path)
    for kind, says in (("blip", "There is no kind 'blip'"), ("siglip", "of type 'clip_text_model', but a siglip one")):
        with pytest.raises(ValueError, match=says):
            load_clip(kind, tmp_path)
    settings = tmp_path / "preprocessor_config.json"
    said = json.loads(settings.read_text())
    for change, says in (({"image_mean": [0.5]}, "must be three numbers each"), ({"resample": "best"}, "resample is 'best'")):
        settings.write_text(json.dumps({**said, **change}))
        with pytest.raises(ValueError, match=says):
            load_clip("clip", tmp_path)
    settings.unlink()
    with pytest.raises(ValueError, match="has no preprocessor_config.json"):
        load_clip("clip", tmp_path)
