"""`minidiff evaluate vae`: a VAE that changes nothing is as good as the world itself, one that blurs is worse everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from minidiff.cli import main
from minidiff.evaluate import vae as measured
from minidiff.evaluate.vae import VAEQualityRun, evaluate
from minidiff.utils.images import gaussian_blur


class Copy(nn.Module):
    """Its latents are the image; decoding blurs it by `sigma`, if at all."""

    def __init__(self, sigma: float = 0.0) -> None:
        super().__init__()
        self.weight, self.sigma = nn.Parameter(torch.zeros(1)), sigma

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, torch.zeros_like(x)

    def decode(self, z: Tensor) -> Tensor:
        return gaussian_blur(z, 9, self.sigma) if self.sigma else z


def figures_of(model: nn.Module, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(measured, "build_model", lambda *args: model)
    return evaluate(VAEQualityRun(json=folder / "vae.json", held=6, samples=16, per_category=1))


def test_a_copy_loses_nothing_and_a_blur_loses_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy, blur = (figures_of(Copy(sigma), tmp_path, monkeypatch) for sigma in (0.0, 2.0))
    assert copy["kept"]["psnr"] > 50 and copy["kept"]["ssim"] > 0.999 and blur["kept"]["psnr_inside"] < 28
    assert copy["right"]["real"] == copy["right"]["through the VAE"]
    (same, floor), (far, _) = ([row["fd"] for row in figures["distance"].values()] for figures in (copy, blur))
    assert same == pytest.approx(floor, rel=1e-3) and far > 1.15 * floor
    assert copy["shapes"]["all"]["ratio"] == pytest.approx(1, abs=0.02) and blur["shapes"]["all"]["ratio"] > 1.3
    out = capsys.readouterr().out
    assert "psnr_inside" in out and "FD-mini" in out and "as drawn" in out and "| all " in out
    saved = json.loads((tmp_path / "vae.json").read_text())
    assert saved["kept"].keys() == blur["kept"].keys()
    assert Image.open(tmp_path / "vae.png").size[0] > 18 * 100


@pytest.mark.parametrize(
    ("options", "word"), [(["--held", "1"], "held"), (["--json", "out.txt"], "out.txt"), (["--model", "nothing"], "nothing")]
)
def test_wrong_options_are_told_in_a_sentence(options: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "vae", *options])
    error = capsys.readouterr().err
    assert end.value.code and word in error and "Traceback" not in error
