"""Batches from prepared shards: which pictures they hold, that these are read whole or not at all, and what bad drives do."""

from __future__ import annotations

import os
import pickle
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_shards import SIZES, make_shards, words
from torch.testing import assert_close

from minidiff.data.images import encoded
from minidiff.data.images.encoded import EncodedShards, Wanted
from minidiff.data.shards import ShardError
from minidiff.train.loop import micro_batch_number
from minidiff.train.options import LoopConfig
from minidiff.train.sharded import BucketOrder, ShardedExamples, TextNorm, shuffled


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Shards that a test may damage."""
    return make_shards(tmp_path / "shards", {"64x64": 20})


def damage(path: Path, offset: int) -> None:
    """Changes one byte, counted from the file's end when negative."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


# --- order ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 16, 17, 1000, 4097])
def test_shuffling_moves_every_number_to_a_place_of_its_own(count: int) -> None:
    places = [shuffled(k, count, key=5) for k in range(count)]
    assert sorted(places) == list(range(count))
    if count > 16:
        assert places != list(range(count)) and places != [shuffled(k, count, key=6) for k in range(count)]
        assert abs(float(np.corrcoef(places, range(count))[0, 1])) < 0.2


def test_shuffling_needs_no_list_of_a_hundred_million() -> None:
    began = time.perf_counter()
    assert len({shuffled(k, 10**8, 0) for k in range(1000)}) == 1000 and time.perf_counter() - began < 1


def test_no_picture_is_seen_twice_before_all_of_its_size_are_seen_once() -> None:
    order = BucketOrder([10, 30], groups=60, size=8, seed=3)
    seen: dict[int, list[int]] = {0: [], 1: []}
    for group in range(60):
        for first in (0, 4):
            bucket, numbers = order.samples(group, first, 4)
            seen[bucket] += numbers
    for bucket, count in ((0, 10), (1, 30)):
        epochs = [seen[bucket][k : k + count] for k in range(0, len(seen[bucket]) - count + 1, count)]
        assert len(epochs) > 2 and all(sorted(epoch) == list(range(count)) for epoch in epochs)
        assert epochs[0] != epochs[1]


def test_sizes_are_drawn_in_their_share_and_a_longer_run_begins_alike() -> None:
    order, longer = (BucketOrder([100, 300], groups, 4, seed=1) for groups in (2000, 3000))
    assert 0.22 < Counter(order.bucket.tolist())[0] / 2000 < 0.28
    assert all(order.samples(k, 0, 4) == longer.samples(k, 0, 4) for k in range(0, 2000, 7))


def examples(folder: Path, **changes: Any) -> ShardedExamples:
    settings: dict[str, Any] = {"steps": 12, "batch": 16, "micro": 2, "seed": 7, "sizes": 2, "tokens": 6, "held": 6}
    return ShardedExamples(EncodedShards(folder), **{**settings, **changes})


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_all_processes_hold_one_size_at_a_time_and_their_batches_are_those_of_one(ready: Path, ranks: int) -> None:
    made, alone, config = examples(ready), examples(ready), LoopConfig(batch=16 // ranks, accumulate=8 // ranks)
    sizes = []
    for step in range(12):
        numbers = [[micro_batch_number(step, turn, config, ranks, rank) for rank in range(ranks)] for turn in range(8 // ranks)]
        for together in numbers:
            batches = [made.make_batch(number, 2, 7) for number in together]
            assert len({batch["latents"].shape for batch in batches} | {batch["context"].shape for batch in batches}) == 2
            sizes.append((step, batches[0]["latents"].shape[2:]))
            for number, batch in zip(together, batches, strict=True):
                for name, value in alone.make_batch(number, 2, 7).items():
                    assert torch.equal(batch[name], value)
        assert sorted(sum(numbers, [])) == list(range(8 * step, 8 * step + 8))
    assert len({size for _, size in sizes}) == 3
    assert max(len({size for at, size in sizes if at == step}) for step in range(12)) == 2, "two sizes a step"


def test_held_out_pictures_are_never_learnt(ready: Path) -> None:
    made = examples(ready, steps=40)
    learnt, held = set(), set()
    for number in range(320):
        learnt |= {row.numpy().tobytes() for row in made.make_batch(number, 2, 7)["latents"]}
    for batch in made.held_out():
        held |= {row.numpy().tobytes() for row in batch["latents"]}
    assert sum(made.held.values()) == len(held) and 6 <= len(held) <= 8 and not learnt & held
    assert len(learnt) == 2 * (sum(SIZES.values()) - len(held)), "each picture and its mirror image"


def test_captions_are_padded_cut_and_left_empty_in_their_share(ready: Path) -> None:
    made = examples(ready, dropout=0.5, tokens=3, steps=60)
    batches = [made.make_batch(number, 2, 7) for number in range(480)]
    lengths = Counter(int(row.sum()) for batch in batches for row in batch["mask"])
    assert set(lengths) == {1, 3} and 0.42 < lengths[1] / 960 < 0.58
    (empty,) = words(16, [""])
    for batch in batches[:20]:
        for vectors, mask in zip(batch["context"], batch["mask"], strict=True):
            assert not vectors[~mask].any()
            if mask.sum() == 1:
                assert_close(vectors[:1], torch.from_numpy(empty).float())


# --- reading ----------------------------------------------------------------------------------------------------------------


def test_samples_are_what_the_encoders_made(ready: Path) -> None:
    shards = EncodedShards(ready)
    assert len(shards) == 36 and {name: one.shape for name, one in shards.buckets.items()} == {
        "48x96": (4, 12, 6), "64x64": (4, 8, 8), "96x48": (4, 6, 12)
    }  # fmt: skip
    latents, captions = (np.load(ready / "64x64" / f"shard-000001.{name}.npy") for name in ("latents", "captions"))
    assert captions[:, 0].tolist() == [0, 1, 1, 2, 3, 3, 4, 5, 5, 6, 7, 7]
    wanted = [Wanted("64x64", 8 + k, bool(k % 2), 0.99 * (k % 3 > 0)) for k in range(8)]
    for k, (one, found) in enumerate(zip(wanted, shards.fetch(wanted), strict=True)):
        assert np.array_equal(found.latents, latents[k, int(one.mirror)]) and found.replaces == ""
        second = k % 2 and one.caption
        text = f"it is number {15 + k}" if second else f"picture {15 + k} of 64x64"
        assert np.array_equal(found.tokens, words(16, [text])[0])
    assert np.array_equal(shards.fetch([Wanted("64x64", 3, False, None)])[0].tokens, words(16, [""])[0])


def test_few_files_stay_open_and_shards_can_be_sent_to_processes(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoded, "OPEN", 2)
    shards = EncodedShards(ready)
    wanted = [Wanted(name, k, False, 0.5) for name, count in SIZES.items() for k in range(count)]
    expected = [one.latents.tobytes() for one in shards.fetch(wanted)]
    assert len(shards._files) <= 2
    with ProcessPoolExecutor(1) as pool:
        assert pool.submit(first_bytes, pickle.dumps(shards), wanted[5]).result() == expected[5]
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:  # threads don't live through it; the child makes its own
        os.write(writer, expected[5] == shards.fetch([wanted[5]])[0].latents.tobytes() and b"same" or b"else")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 4) == b"same"


def test_parts_that_were_prepared_apart_are_learnt_from_together(ready: Path, tmp_path: Path) -> None:
    first, second = make_shards(tmp_path / "all" / "a"), make_shards(tmp_path / "all" / "b", {"64x64": 3})
    both, one = EncodedShards(tmp_path / "all"), EncodedShards(second)
    assert len(both) == 39 and both.buckets["64x64"].ends == (8, 16, 20, 23)
    wanted = Wanted("64x64", 21, False, 0.5)
    assert np.array_equal(both.fetch([wanted])[0].tokens, one.fetch([wanted._replace(number=1)])[0].tokens)
    assert len({both.digest, one.digest, EncodedShards(first).digest}) == 3
    assert EncodedShards(first).digest == EncodedShards(ready).digest, "it doesn't matter where they lie"
    make_shards(tmp_path / "all" / "c", {"64x64": 3}, by="another model")
    with pytest.raises(ShardError, match="c was made by other encoders .another model. than .*a .a made up model."):
        EncodedShards(tmp_path / "all")


def first_bytes(pickled: bytes, one: Wanted) -> bytes:
    return pickle.loads(pickled).fetch([one])[0].latents.tobytes()


@pytest.mark.parametrize("suffix", ["latents", "checks", "tokens", "captions"])
def test_a_corrupted_sample_is_replaced_by_the_next_and_counted(own: Path, suffix: str, capsys: Any) -> None:
    good = EncodedShards(own).fetch([Wanted("64x64", k, True, 0.0) for k in range(20)])
    offset = {"latents": -40, "checks": -4, "tokens": -40, "captions": -8}[suffix]
    damage(own / "64x64" / f"shard-000001.{suffix}.npy", offset)
    shards = EncodedShards(own)
    last = 0.99 if suffix in ("tokens", "captions") else 0.0    # the second caption is the last in the file
    found = shards.fetch([Wanted("64x64", k, True, last if k == 15 else 0.0) for k in range(20)])
    for k, one in enumerate(found):
        meant = 16 if k == 15 else k
        assert np.array_equal(one.latents, good[meant].latents) and bool(one.replaces) == (k == 15)
    assert "sample 7 of" in found[15].replaces and "shard-000001" in found[15].replaces
    made, again = (examples(own, held=0, sizes=1, dropout=0.0) for _ in range(2))
    counts, others = ([float(one.make_batch(k, 2, 7)["replaced"].sum()) for k in range(96)] for one in (made, again))
    assert counts == others
    assert 0 < sum(counts) < 20 and "sample 7 of" in capsys.readouterr().err


def test_a_shard_of_corrupted_samples_is_named(own: Path) -> None:
    path = own / "64x64" / "shard-000000.checks.npy"
    np.save(path, np.load(path) + 1)
    with pytest.raises(ShardError, match=r"From sample 0 of .*shard-000000.tar on, 8 samples in a row are corrupted"):
        EncodedShards(own).fetch([Wanted("64x64", 0, False, None)])
    assert EncodedShards(own).fetch([Wanted("64x64", 1, False, None)])[0].replaces


def test_a_missing_shard_is_tried_again_with_growing_pauses_then_named(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards, paused = EncodedShards(own), []
    path = own / "64x64" / "shard-000001.latents.npy"
    path.rename(own / "away")
    monkeypatch.setattr(encoded.time, "sleep", paused.append)
    with pytest.raises(ShardError, match=r"The shard .*shard-000001.tar cannot be read, though it was tried 5 times .*No such"):
        shards.fetch([Wanted("64x64", 9, False, None)])
    assert paused == list(encoded.PAUSES) == sorted(paused) and len(paused) == 4

    def back(seconds: float) -> None:
        paused.append(seconds)
        if len(paused) == 6:
            (own / "away").rename(path)

    monkeypatch.setattr(encoded.time, "sleep", back)
    assert shards.fetch([Wanted("64x64", 9, False, None)])[0].replaces == "" and len(paused) == 6


def test_a_file_cut_short_under_an_open_run_is_named(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoded, "PAUSES", (0.0,))
    shards = EncodedShards(own)
    path = own / "64x64" / "shard-000002.tokens.npy"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ShardError, match=r"shard-000002.tar cannot be read, though it was tried 2 times .*ends before row"):
        shards.fetch([Wanted("64x64", 19, False, 0.99)])


def test_a_drive_that_does_not_answer_is_asked_again(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoded, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(encoded, "PATIENCE", 0.1)
    shards, calls, real = EncodedShards(own), [], EncodedShards.read

    def slow(self: EncodedShards, one: Wanted) -> Any:
        calls.append(one)
        if len(calls) <= slow_calls:
            time.sleep(0.4)
        return real(self, one)

    monkeypatch.setattr(EncodedShards, "read", slow)
    slow_calls = 1
    assert shards.fetch([Wanted("64x64", 4, False, None)])[0].replaces == "" and len(calls) == 2
    slow_calls = 99
    with pytest.raises(ShardError, match=r"shard-000000.tar cannot be read, though it was tried 3 times \(no answer within"):
        shards.fetch([Wanted("64x64", 4, False, None)])


def test_folders_that_cannot_be_learnt_from_get_one_sentence(own: Path, tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="There is no .*nowhere.*run `minidiff prepare images` first"):
        EncodedShards(tmp_path / "nowhere")
    captions = own / "64x64" / "shard-000001.captions.npy"
    old = np.load(captions)
    captions.unlink()
    with pytest.raises(ShardError, match="There is no .*shard-000001.captions.npy: .*--latents MODEL"):
        EncodedShards(own)
    np.save(captions, old)
    first = own / "64x64" / "shard-000000.captions.npy"
    np.save(first, np.load(first)[:, :2])
    with pytest.raises(ShardError, match="other forms than this version of minidiff writes"):
        EncodedShards(own)
    (own / "empty.tokens.npy").unlink()
    with pytest.raises(ShardError, match="doesn't say how its latents were made"):
        EncodedShards(own)


# --- the text tower's last norm ---------------------------------------------------------------------------------------------


def test_a_norm_that_learnt_on_kept_vectors_is_the_towers_own_with_other_weights() -> None:
    torch.manual_seed(0)
    own = torch.nn.LayerNorm(8)
    torch.nn.init.normal_(own.weight)
    torch.nn.init.normal_(own.bias)
    norm, x = TextNorm(8, rate=0.01), torch.randn(2, 3, 8)
    assert_close(norm(own(x)), own(x))
    optimizer = torch.optim.AdamW(norm.parameters(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        (norm(own(x).detach()) - 1).square().mean().backward()
        optimizer.step()
    learnt = norm(own(x))
    moved = 0.01 * float(norm.scale.detach().abs().max())
    assert 1e-4 < moved < 3.1e-4, "three steps of 0.01, a hundredth of the network's"
    weight, bias = norm.folded(own.weight, own.bias)
    assert_close(torch.nn.functional.layer_norm(x, (8,), weight, bias), learnt.detach())
