"""Weights come back as they went in, and anything wrong with their files is said in a sentence."""

from __future__ import annotations

import json
import subprocess
import sys
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


WRITER = """
import sys, torch
from minidiff.pretrained import zoo
for number in range(40):
    zoo.add(f"{sys.argv[2]}-{number}", {"w": torch.full((4,), float(number))}, {"number": number}, root=sys.argv[1])
"""


def test_two_processes_that_add_keep_every_row(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [subprocess.Popen([*command, name]) for name in ("first", "second")]
    assert [writer.wait(timeout=150) for writer in writers] == [0, 0]
    assert sorted(zoo.manifest(tmp_path)) == sorted(f"{name}-{number}" for name in ("first", "second") for number in range(40))
    assert all(zoo.load(name, tmp_path)[0]["number"] == int(name.split("-")[1]) for name in zoo.manifest(tmp_path))
    assert len(list(tmp_path.iterdir())) == 81  # no lock and no draft is left


def test_a_writer_that_stays_is_waited_for_and_then_named(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "PATIENCE", 0.1)
    held = zoo.locked(small / ".manifest.json.lock", "It")
    with held, pytest.raises(ValueError, match="manifest of the zoo.*in use by process"):
        zoo.add("two", {"w": torch.ones(2)}, {}, root=small)
    zoo.add("two", {"w": torch.ones(2)}, {}, root=small)


@pytest.mark.parametrize("name", ["../outside", "a/b", "", ".hidden", "a b", "x" * 200])
def test_a_name_is_the_name_of_a_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(zoo.ZooError, match="is no name for weights"):
        zoo.add(name, {"w": torch.ones(2)}, {}, root=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int8, torch.bool, torch.int32])
def test_numbers_that_no_weights_have_are_not_stored(tmp_path: Path, dtype: torch.dtype) -> None:
    with pytest.raises(zoo.ZooError, match="the zoo holds float16, bfloat16, float32, float64, and int64"):
        zoo.add("bad", {"w": torch.ones(2).to(dtype)}, {}, root=tmp_path)


def test_what_a_caller_gets_is_the_caller_s_own(small: Path) -> None:
    config, state = zoo.load("one", small)
    config["width"] = 0
    state["w"].zero_()
    again, fresh = zoo.load("one", small)
    assert again == {"width": 64} and float(fresh["w"].abs().max()) > 0.9


def test_environment_names_the_zoo(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDIFF_ZOO", str(small))
    assert zoo.load("one")[0] == {"width": 64}
    monkeypatch.delenv("MINIDIFF_ZOO")
    assert zoo.zoo_root() == zoo.SHIPPED


def test_shipped_weights_are_whole_and_small() -> None:
    text, healthy = zoo.table(zoo.SHIPPED)
    assert healthy, text
    assert sum(row["bytes"] for row in zoo.manifest(zoo.SHIPPED).values()) <= 150e6
