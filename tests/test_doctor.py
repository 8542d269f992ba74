"""`minidiff doctor`: what it finds, what it misses, and when it exits with 1."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
from pathlib import Path

import pytest

from minidiff import cli, doctor
from minidiff.doctor import CORE, EXTRAS, Package, numbers, package_finding
from minidiff.evaluate.published_weights import KNOWN, Published, sha256_of
from minidiff.utils import devices

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def small(tiny_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDIFF_ZOO", str(tiny_zoo))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "MEASURED", 0.01)


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stop:
        cli.main(["doctor", *argv])
    return int(stop.value.code or 0), capsys.readouterr().out


def without(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version

    def version(asked: str) -> str:
        if asked == name:
            raise importlib.metadata.PackageNotFoundError(asked)
        return real(asked)

    monkeypatch.setattr(importlib.metadata, "version", version)


def test_the_tables_are_those_of_pyproject() -> None:
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    told = {"core": project["dependencies"], **project["optional-dependencies"]}
    del told["test"]
    ours = {"core": CORE, **EXTRAS}
    assert {name: [f"{one.name}>={one.least}" for one in packages] for name, packages in ours.items()} == told
    assert all(one.purpose for packages in ours.values() for one in packages)


def test_everything_is_told_with_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "--needs", "interop", "app", "evaluate", "course")
    assert code == 0 and out.endswith("Nothing is missing of what was asked for: app, core, course, evaluate, interop.\n")
    for name in ("torch", "gradio", "diffusers", "torchmetrics"):
        assert re.search(rf"^ +{name} +{re.escape(importlib.metadata.version(name))} +\w", out, re.M), name
    for line in ("machine", "processor", "GB free of", "world-dit", "MB, verified", "DejaVu Sans"):
        assert line in out
    assert re.search(r"precision +(float32|bfloat16) is \d+\.\d times as fast as", out)


def test_what_was_asked_for_and_is_missing_makes_it_fail(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without("torchmetrics", monkeypatch)
    code, out = run(capsys, "--needs", "app", "--json", "a.json")
    assert code == 0 and re.search(r"^ +missing torchmetrics", out, re.M), "it was not asked for"
    code, out = run(capsys, "--needs", "app", "evaluate", "--json", "b.json")
    assert code == 1 and re.search(r"^ +MISSING torchmetrics", out, re.M)
    assert "Missing of what was asked for: torchmetrics.\npip install 'minidiff[eval]' brings the packages." in out
    found = [json.loads(Path(name).read_text()) for name in ("a.json", "b.json")]
    assert [one["lacking"] for one in found] == [[], ["torchmetrics"]]
    assert {"machine", "core packages", "tools"} <= {one["group"] for one in found[0]["findings"]}


def test_without_torch_it_still_says_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without("torch", monkeypatch)
    monkeypatch.setattr(devices, "product_seconds", lambda **_: pytest.fail("torch was used"))
    code, out = run(capsys)
    assert code == 1 and "Missing of what was asked for: torch." in out and "diffusers" in out


def test_an_old_package_is_told_with_what_is_needed() -> None:
    found = package_finding(Package("tyro", "99.1", "this"), "core", "g")
    assert found.state == "old" and found.found == f"{importlib.metadata.version('tyro')}, needs 99.1"
    assert package_finding(Package("tyro", importlib.metadata.version("tyro"), "this"), "core", "g").state == "ok"
    assert numbers("2.15.0+cu130") == (2, 15, 0) > numbers("2.4") and numbers("10") > numbers("9.9.9") and numbers("x") == ()


def test_programs_are_looked_for_on_the_path(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/chromium" if name == "chromium" else None)
    monkeypatch.delenv("CHROMIUM", raising=False)
    assert run(capsys, "--needs", "browser")[0] == 0
    for need in ("npm", "emoji"):
        code, out = run(capsys, "--needs", need)
        assert code == 1 and "Missing of what was asked for: npm." in out, "emoji come from npm"
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert run(capsys, "--needs", "browser")[0] == 1


def test_damaged_weights_make_it_fail(
    tiny_zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(tiny_zoo, tmp_path / "zoo")
    (copy / "world-vae.safetensors").write_bytes(b"no weights")
    monkeypatch.setenv("MINIDIFF_ZOO", str(copy))
    code, out = run(capsys)
    assert code == 1 and re.search(r"DAMAGED +world-vae .*incomplete", out) and "world-dit" in out
    monkeypatch.setenv("MINIDIFF_ZOO", str(tmp_path / "nothing"))
    assert run(capsys)[0] == 1


def test_published_files_are_verified_where_they_lie(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / KNOWN["lpips"][0].file
    file.write_bytes(b"weights")
    code, out = run(capsys, "--weights", ".")
    assert code == 1 and re.search(r"DAMAGED +vgg16-397923af.pth .*is not a published file", out)
    assert re.search(r"- +alexnet-owt-7be5be79.pth +not there", out)
    monkeypatch.setitem(KNOWN, "lpips", (Published("vgg", file.name, sha256_of(file)),))
    code, out = run(capsys, "--weights", ".")
    assert code == 0 and f"SHA-256 {sha256_of(file)[:16]}..., verified" in out
