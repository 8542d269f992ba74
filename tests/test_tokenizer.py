"""The tokenizer: any text goes in and comes back, ids mean what the encoder expects, and it knows what it has not
seen."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minidiff.data.world import captions
from minidiff.pretrained import zoo
from minidiff.text import Tokenizer, normalise

TEXTS = ["a big red star left of a small house", "một ngôi nhà màu xanh lá ở bên trái", "mot ngoi nha mau xanh la",
         "three cats at night"] * 4


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(TEXTS, vocab_size=400)


def test_rows_begin_end_and_are_padded_to_the_longest(tokenizer: Tokenizer) -> None:
    ids, mask = tokenizer.encode(["a red star", "", "một ngôi nhà ở bên trái"])
    assert ids.dtype == torch.int64 and mask.dtype == torch.bool and ids.shape == mask.shape
    lengths = mask.sum(1)
    assert ids.shape[1] == lengths.max() and lengths[1] == 2
    assert (ids[:, 0] == Tokenizer.bos_id).all()
    assert (ids[torch.arange(3), lengths - 1] == Tokenizer.eos_id).all()
    assert (ids[~mask] == Tokenizer.pad_id).all() and (ids[mask] != Tokenizer.pad_id).all()
    assert ids.max() < tokenizer.vocab_size


def test_long_texts_are_cut_and_still_end(tokenizer: Tokenizer) -> None:
    ids, mask = tokenizer.encode(["red star " * 100], max_length=10)
    assert ids.shape == (1, 10) and mask.all() and ids[0, -1] == Tokenizer.eos_id
    full, _ = tokenizer.encode(["red star " * 100], max_length=300)
    assert torch.equal(ids[0, :9], full[0, :9])


def test_frequent_words_are_one_token_wherever_they_stand(tokenizer: Tokenizer) -> None:
    assert tokenizer.tokens("nhà red") == ["nhà", "red"]
    first, last = tokenizer.encode(["star house", "house star"])[0]
    assert first[1] == last[2]


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    ids, _ = tokenizer.encode([text], max_length=1000)
    assert tokenizer.decode(ids[0].tolist()) == normalise(text)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40))
def test_normalising_twice_is_normalising_once(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once and unicodedata.is_normalized("NFC", once) and once == " ".join(once.split())


def test_two_ways_of_typing_vietnamese_are_one(tokenizer: Tokenizer) -> None:
    composed = "Một NGÔI   nhà"
    decomposed = unicodedata.normalize("NFD", composed)
    assert composed != decomposed and normalise(composed) == normalise(decomposed) == "một ngôi nhà"
    ids, _ = tokenizer.encode([composed, decomposed])
    assert torch.equal(ids[0], ids[1])


def test_specials_cannot_be_typed(tokenizer: Tokenizer) -> None:
    ids, mask = tokenizer.encode(["<eos> a <pad> star <bos>"])
    assert mask.all() and (ids[0, 1:-1] > 2).all()
    assert tokenizer.decode(ids[0].tolist()) == "<eos> a <pad> star <bos>"


def test_broken_unicode_is_survived(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode(["star \ud83d"])[1].all() and normalise("\ud83d") == "?"


def test_no_word_of_any_caption_is_new_to_the_shipped_tokenizer() -> None:
    """Those of spots too, which only later captions tell."""
    shipped, words = Tokenizer.load(zoo.path("tokenizer", zoo.SHIPPED)), []
    for grammar in (captions.ENGLISH, captions.VIETNAMESE):
        tables = (grammar.relations, grammar.places, grammar.settings, {"": grammar.between}, {"": grammar.openings})
        words += [way for table in tables for ways in table.values() for way in ways]
        words += [*grammar.spots.values(), grammar.conjunction]
    for table in (captions.SHAPES_VI, captions.COLOURS_VI, captions.SIZES_VI, captions.SIZES_EN):
        words += [way for ways in table.values() for way in ways]
    words += [name for ways in captions.SHAPES_EN.values() for pair in ways for name in pair]
    assert len(words) > 150 and "ở góc trên bên trái" in words
    assert [new for text in words for f in (str, captions.strip_accents) for new in shipped.unknown_words(f(text))] == []


def test_unknown_words(tokenizer: Tokenizer) -> None:
    assert tokenizer.unknown_words("A RED zebra, a 'star' and (một) con VOI; zebra!") == ["zebra", "and", "con", "voi"]
    assert tokenizer.unknown_words("a big red star.") == []
    assert tokenizer.unknown_words("cat's 🦓 thrée") == ["cat's", "🦓", "thrée"]


def test_saved_and_loaded_is_the_same(tokenizer: Tokenizer, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "tokenizer.json"
    tokenizer.save(file)
    assert [path.name for path in file.parent.iterdir()] == ["tokenizer.json"]
    again = Tokenizer.load(file)
    text = ["<eos> một ngôi sao đỏ", "zebra"]
    assert all(torch.equal(a, b) for a, b in zip(tokenizer.encode(text), again.encode(text), strict=True))
    assert again.words == tokenizer.words and again.vocab_size == tokenizer.vocab_size


def test_training_twice_gives_the_same_tokenizer(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "a.json")
    Tokenizer.train(TEXTS, vocab_size=400).save(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_what_does_not_fit_is_said_at_the_door(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"write encode\(\[text\]\)"):
        tokenizer.encode("a red star")
    with pytest.raises(ValueError, match="at least one text"):
        tokenizer.encode([])
    with pytest.raises(ValueError, match="at least 259 "):
        Tokenizer.train(TEXTS, vocab_size=100)
    with pytest.raises(FileNotFoundError):
        Tokenizer.load(tmp_path / "missing.json")
    file = tmp_path / "bad.json"
    for content in (b"not json", json.dumps({"format": "other"}).encode(), b"[1]", b"\xed\xa0\x80"):
        file.write_bytes(content)
        with pytest.raises(ValueError, match="is not a minidiff tokenizer"):
            Tokenizer.load(file)
