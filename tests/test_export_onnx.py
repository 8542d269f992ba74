"""`minidiff export onnx` with tiny models: the networks' numbers, the pictures, and a runner that never sees torch."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import Tensor

from minidiff import cli
from minidiff.pipelines import export_onnx
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.onnx_runner import Drawer
from minidiff.pipelines.serve import Handler
from minidiff.pipelines.text_to_image import TextToImage

PROMPT = "a red star"


def export(*argv: str) -> int:
    with pytest.raises(SystemExit) as left:
        cli.main(["export", "onnx", *argv])
    return int(left.value.code or 0)


@pytest.fixture(scope="module", params=["world-dit", "world-unet"])
def made(request: pytest.FixtureRequest, whole_zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TextToImage]:
    """An export in float32 of one of the tiny models, and its pipeline."""
    folder = tmp_path_factory.mktemp("onnx") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIDIFF_ZOO", str(whole_zoo))
        assert export(str(folder), "--model", request.param, "--dtype", "float32") == 0
        return folder, load_pipeline(request.param, "cpu", "float32")


def close(got: Any, wanted: Tensor, relative: float = 1e-4) -> None:
    scale = float(wanted.abs().max())
    np.testing.assert_allclose(got, wanted.numpy(), atol=relative * scale, rtol=0)


@pytest.mark.parametrize("texts", [[PROMPT], ["", "a big blue house", "một ngôi sao đỏ"], ["x" * 200, "Ệ  ở"]])
def test_each_network_gives_torch_s_numbers(texts: list[str], made: tuple[Path, TextToImage]) -> None:
    folder, pipeline = made
    drawer = Drawer(folder, threads=1)
    context, mask = drawer.encode(texts)
    wanted, seen = (tensor[:, : mask.shape[1]] for tensor in pipeline.encode(texts))  # which pads further
    assert (mask == seen.numpy()).all()
    close(context[mask], wanted[seen])
    torch.manual_seed(0)
    x, times = torch.randn(len(texts), *pipeline.latent_shape), 1000 * torch.rand(len(texts))
    with torch.no_grad():
        close(drawer.run("network", x.numpy(), times.numpy(), context, mask), pipeline.network(x, times, wanted, seen))
    close(drawer.run("vae", x.numpy()), pipeline.pixels(x))


@pytest.mark.parametrize("seed", [0, 42, 2**31 - 1])
def test_the_noise_is_torch_s(seed: int, made: tuple[Path, TextToImage]) -> None:
    folder, pipeline = made
    wanted = torch.randn(pipeline.latent_shape, generator=torch.Generator().manual_seed(seed))
    np.testing.assert_allclose(Drawer(folder).noise(seed), wanted.numpy(), atol=1e-6)


@pytest.mark.parametrize(
    "how", [{}, {"sampler": "ddim", "steps": 7}, {"guidance": 1.0, "steps": 1}, {"negative": "blue", "seed": 5, "steps": 4}]
)
def test_the_picture_is_that_of_the_pipeline(how: dict[str, Any], made: tuple[Path, TextToImage]) -> None:
    folder, pipeline = made
    names = {"negative": "negative_prompt", "guidance": "guidance_scale"}
    request = pipeline.request(PROMPT, expand_prompt=False, **{names.get(key, key): value for key, value in how.items()})
    wanted, got = (np.asarray(image).astype(int) for image in (pipeline(request)[0], Drawer(folder).draw(PROMPT, **how)))
    assert np.abs(wanted - got).mean() <= 0.1 and np.abs(wanted - got).max() <= 1


def test_the_runner_draws_without_torch_and_without_minidiff(made: tuple[Path, TextToImage], tmp_path: Path) -> None:
    folder, _ = made
    for name in ("torch", "minidiff"):  # stand in the way of the real ones
        (tmp_path / f"{name}.py").write_text("raise ImportError('not here')")
    line = [sys.executable, str(folder / "run.py"), PROMPT, "--steps", "3", "--out", str(tmp_path / "a.png")]
    subprocess.run(line, check=True, env={"PYTHONPATH": str(tmp_path), "PATH": ""}, cwd=tmp_path)
    assert Image.open(tmp_path / "a.png").size == Drawer(folder).draw(PROMPT, steps=1).size
    left = subprocess.run([*line, "--sampler", "magic"], capture_output=True, text=True)
    assert left.returncode == 1 and left.stderr == "There are dpmpp_2m, ddim with 1 to 50 steps, and no magic with 3.\n"


@pytest.fixture
def address(made: tuple[Path, TextToImage]) -> Iterator[str]:
    """Where the export is served."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, Drawer(made[0]), Lock()))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_server_draws_what_the_folder_draws(address: str, made: tuple[Path, TextToImage]) -> None:
    asked = {"prompt": PROMPT, "steps": 3, "seed": 7, "expand_prompt": False}
    with urlopen(f"{address}/generate", json.dumps(asked).encode()) as reply:
        drawn = Image.open(io.BytesIO(reply.read()))
        assert reply.headers["Content-Type"] == "image/png"
    assert drawn.tobytes() == Drawer(made[0]).draw(PROMPT, steps=3, seed=7).tobytes()
    with urlopen(address) as reply:
        assert json.load(reply)["model"] == made[1].model


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/generate", b"{}", 400, "the setting prompt is missing"),
        ("/generate", b'{"prompt": " "}', 400, "the prompt is empty"),
        ("/generate", b'{"prompt": "a", "negative_prompt": "' + b"x" * 201 + b'"}', 400, "the negative prompt has 201"),
        ("/generate", b'{"prompt": "a", "steps": 51}', 400, "from 1 to 50"),
        ("/generate", b'{"prompt": "a", "sampler": "magic"}', 400, "no magic"),
        ("/generate", b'{"prompt": "a", "size": 1}', 400, "there is no setting 'size'"),
        ("/generate", b"a red star", 400, "Expecting value"),
        ("/generate", b"\xff", 400, "utf"),
        ("/generate", b'{"prompt": "' + b"x" * 70_000 + b'"}', 413, "64,000 bytes"),
        ("/other", b"{}", 404, "nothing at /other"),
    ],
)
def test_what_cannot_be_drawn_is_answered_with_a_sentence(path: str, body: bytes, status: int, says: str, address: str) -> None:
    with pytest.raises(HTTPError) as refused:
        urlopen(f"{address}{path}", body)
    assert refused.value.code == status and says in json.load(refused.value)["error"]


def test_nothing_served_needs_torch() -> None:
    script = "import sys; from minidiff.pipelines import onnx_runner, serve; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_a_folder_that_is_no_export_is_not_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["serve", "--onnx", str(tmp_path)])
    assert "has no model.json" in capsys.readouterr().err


def test_half_the_bytes_hold_the_same_as_float16_weights(
    whole_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIDIFF_ZOO", str(whole_zoo))
    monkeypatch.setattr(export_onnx, "SMALL", 16)
    pipeline = load_pipeline("world-dit", "cpu", "float32")
    decoder, inputs, axes = export_onnx.networks(pipeline)["vae"]
    for name in ("half", "whole"):
        export_onnx.write_network(tmp_path / name, decoder, inputs, axes, name == "half")
    assert (tmp_path / "half").stat().st_size < 0.8 * (tmp_path / "whole").stat().st_size
    assert b"site-packages" not in (tmp_path / "half").read_bytes()
    run = onnxruntime.InferenceSession(tmp_path / "half").run
    close(run(None, {"latents": inputs["latents"].numpy()})[0], pipeline.pixels(inputs["latents"]), 5e-3)


def test_what_trtexec_wants_to_know_is_written_down(whole_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDIFF_ZOO", str(whole_zoo))
    said = export_onnx.tensorrt(load_pipeline("world-dit", "cpu", "float32"))
    assert "autocast.convert_to_mixed_precision" in said
    assert said.splitlines()[-3].startswith("  --minShapes=x:1x4x") and said.splitlines()[-3].endswith(" \\")


def test_what_cannot_be_exported_is_one_sentence(
    whole_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MINIDIFF_ZOO", str(whole_zoo))
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    cases = {
        (str(tmp_path / "full"),): "is not empty and no earlier export",
        (str(tmp_path / "new"), "--model", "world-pixels"): "is no model of the zoo that reads captions",
        (str(tmp_path / "new"), "--model", "nothing"): "nothing",
    }
    for argv, says in cases.items():
        assert export(*argv) == 2
        err = capsys.readouterr().err
        assert says in err and err.count("\n") == 1
    monkeypatch.setattr(export_onnx, "find_spec", lambda name: None)
    assert export(str(tmp_path / "new")) == 2 and "pip install 'minidiff[onnx]'" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
