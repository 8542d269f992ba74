"""Weights come back as they went in, and anything wrong with their files is said in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from minidiff.pretrained import zoo


@pytest.fixture()
def small(tmp_path: Path) -> Path:
    zoo.add("one", {"w": torch.linspace(-1, 1, 640), "n": torch.arange(3)}, {"width": 64}, root=tmp_path, images_seen=9)
    return tmp_path


def test_add_then_load(small: Path) -> None:
    config, state = zoo.load("one", small)
    assert config == {"width": 64}
    torch.testing.assert_close(state["w"], torch.linspace(-1, 1, 640).half().float(), rtol=0, atol=0)
    assert state["w"].dtype == torch.float32
    assert state["n"].tolist() == [0, 1, 2]
    assert zoo.entry("one", small)["images_seen"] == 9
    assert zoo.entry("one", small)["bytes"] < 640 * 4  # stored in half precision


def test_adding_again_replaces_and_keeps_the_others(small: Path) -> None:
    zoo.add("two", {"w": torch.ones(2)}, {}, root=small, dtype=torch.bfloat16)
    zoo.add("one", {"w": torch.zeros(2)}, {"width": 2}, root=small)
    assert zoo.load("one", small)[0] == {"width": 2}
    assert zoo.load("two", small)[1]["w"].tolist() == [1, 1]
    assert not list(small.glob("*.tmp*"))


def test_unknown_name_lists_the_known(small: Path) -> None:
    with pytest.raises(zoo.ZooError, match="no weights called 'world-cat'.*holds one"):
        zoo.load("world-cat", small)


def test_truncated_changed_and_missing_files(small: Path) -> None:
    path = small / "one.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(zoo.ZooError, match="incomplete"):
        zoo.load("one", small)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(zoo.ZooError, match="SHA-256"):
        zoo.load("one", small)
    path.unlink()
    with pytest.raises(zoo.ZooError, match="missing"):
        zoo.load("one", small)
    text, healthy = zoo.table(small)
    assert not healthy
    assert "missing" in text


def test_a_manifest_cannot_point_outside(small: Path) -> None:
    entries = json.loads((small / "manifest.json").read_text())
    (small.parent / "outside").write_bytes(b"x" * entries["one"]["bytes"])
    entries["one"]["file"] = "../outside"
    (small / "manifest.json").write_text(json.dumps(entries))
    with pytest.raises(zoo.ZooError, match="file is '../outside', but it must be the name of a file beside the manifest"):
        zoo.load("one", small)


def test_broken_manifest(small: Path) -> None:
    (small / "manifest.json").write_text("{")
    with pytest.raises(zoo.ZooError, match="not JSON"):
        zoo.load("one", small)


@pytest.mark.parametrize("text", ["[]", '{"one": {"file": "x"}}', '{"one": 3}'])
def test_a_manifest_of_another_form_is_named(small: Path, text: str) -> None:
    (small / "manifest.json").write_text(text)
    with pytest.raises(zoo.ZooError, match="not a table of weights"):
        zoo.table(small)


def test_an_empty_zoo_is_not_a_healthy_one(tmp_path: Path) -> None:
    with pytest.raises(zoo.ZooError, match="There is no zoo in"):
        zoo.table(tmp_path)


def test_weights_that_no_longer_fit_each_other_are_named(small: Path) -> None:
    zoo.add("two", {"w": torch.ones(2)}, {"made_with": {"one": zoo.entry("one", small)["sha256"]}}, root=small)
    assert zoo.table(small)[1]
    zoo.add("one", {"w": torch.zeros(2)}, {}, root=small)  # trained again: now "two" draws in a space that is gone
    text, healthy = zoo.table(small)
    assert not healthy and "'two' was trained with another 'one'" in text
    with pytest.raises(zoo.ZooError, match="another 'one'"):
        zoo.check_dependencies("two", small)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e6])
def test_numbers_that_half_precision_cannot_hold_are_refused(tmp_path: Path, bad: float) -> None:
    with pytest.raises(zoo.ZooError, match="not finite"):
        zoo.add("bad", {"w": torch.tensor([bad])}, {}, root=tmp_path)
    assert not zoo.manifest(tmp_path)


def test_environment_names_the_zoo(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDIFF_ZOO", str(small))
    assert zoo.load("one")[0] == {"width": 64}
    monkeypatch.delenv("MINIDIFF_ZOO")
    assert zoo.zoo_root() == zoo.SHIPPED


def test_shipped_weights_are_whole_and_small() -> None:
    text, healthy = zoo.table(zoo.SHIPPED)
    assert healthy, text
    assert sum(row["bytes"] for row in zoo.manifest(zoo.SHIPPED).values()) <= 95e6
