"""`minidiff export onnx DIR`: a text-to-image model of the zoo as three ONNX networks, and all that is needed to draw with them
without torch.

    text.onnx      ids (B, L) int64, mask (B, L) bool                                   -> context (B, L, D)
    network.onnx   x (B, C, h, w), timestep (B,), context (B, L, D), mask (B, L) bool   -> prediction (B, C, h, w)
    vae.onnx       normalised latents (B, C, h, w)                                      -> pixels (B, 3, H, W), about -1 to 1
    model.json     what the sampler needs: each step's weights, worked out beforehand (inference/fused_sampling.py)
    tokenizer.json, run.py (onnx_runner.py as it is), README.md

Batch and number of tokens are free. Numbers are float32; with float16, weights are kept in half the bytes, and runtimes widen
them when they load. That loses nothing of ours, which the zoo holds in float16 as well.
"""

from __future__ import annotations

import io
import json
import shutil
import warnings
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from torch import Tensor, nn
from torch.export import Dim

from minidiff import __version__
from minidiff.diffusion.prediction import timestep_at
from minidiff.inference.fused_sampling import run_weights
from minidiff.models.dit import DiT
from minidiff.models.unet import UNet
from minidiff.pipelines.loading import find_model, load_pipeline
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pretrained import zoo
from minidiff.text.tokenizer import Tokenizer
from minidiff.utils.files import check_replaceable, replaced_folder

OPSET = 18  # of 23, onnxruntime refuses the mask of Attention
MOST_STEPS = 50
SAMPLERS = {"dpmpp_2m": 2, "ddim": 1}  # by order
SMALL = 1024  # tensors with fewer numbers stay float32
ABOUT = "model.json"
Axes = dict[str, dict[int, Any]]  # by name of an input, and by number of the axis
RUNNER = Path(__file__).with_name("onnx_runner.py")

README = """# {model}, exported by minidiff

A text-to-image model as ONNX networks, and `run.py`, which draws with them; prompts in English or Vietnamese.

    pip install numpy onnxruntime tokenizers pillow
    python run.py "a red star above a blue house" --seed 1 --out star.png

From the same seed `minidiff sample --no-expand --model {model}` draws the same picture. `model.json` holds each step's weights
for DPM++ 2M and DDIM, so that sampling needs no formula: x0 = p x + q prediction, and the next x = a x + b prediction + c (x0
before).
"""
TENSORRT = """# Not run where this was written. ModelOpt writes float16 into the network, and trtexec makes an engine of it.
python - <<END
import onnx
from modelopt.onnx import autocast
onnx.save(autocast.convert_to_mixed_precision("network.onnx", low_precision_type="fp16", keep_io_types=True), "half.onnx")
END
trtexec --onnx=half.onnx --saveEngine=network.engine \\
  --minShapes={least} \\
  --optShapes={usual} \\
  --maxShapes={most}
"""


@dataclass
class OnnxExport:
    """Write a text-to-image model as ONNX networks, with a small program that draws with them without torch."""

    folder: tyro.conf.Positional[Path]
    """Where to: a new or an empty folder, or an earlier export, which is replaced."""
    model: str = "world-dit"
    """A name that `minidiff zoo` lists: world-dit or world-unet."""
    dtype: Literal["float16", "float32"] = "float16"
    """How weights are stored. Ours were rounded to float16 before, so float32 holds the same numbers in twice the bytes."""
    tensorrt: bool = False
    """Also write tensorrt.sh, the commands that make a TensorRT engine of the network. They are not run."""


class Words(nn.Module):
    """The text tower, of which one vector per token is wanted."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.tower.text_model.read(ids, mask)  # type: ignore[union-attr, operator]


class Decoder(nn.Module):
    """The VAE's decoder behind what normalised latents are multiplied with."""

    def __init__(self, vae: nn.Module, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.vae = vae
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, latents: Tensor) -> Tensor:
        return self.vae.decode(latents * self.std + self.mean)  # type: ignore[operator]


def export_onnx(config: OnnxExport) -> None:
    """Writes the folder, whole or not at all, and prints its files. Raises ValueError for another model than those of the zoo
    that read captions, for a folder that holds something else, and where onnx is not installed."""
    check_replaceable(config.folder, ABOUT)
    check_installed()
    pipeline = load_pipeline(config.model, "cpu", "float32")
    if not isinstance(pipeline.network, DiT | UNet) or not isinstance(pipeline.tokenizer, Tokenizer):
        raise ValueError(f"{config.model!r} is no model of the zoo that reads captions: choose world-dit, say.")
    row = zoo.entry(*find_model(config.model))
    with replaced_folder(config.folder, ABOUT) as draft:
        for name, (module, inputs, axes) in networks(pipeline).items():
            write_network(draft / f"{name}.onnx", module, inputs, axes, config.dtype == "float16")
        (draft / ABOUT).write_text(json.dumps(about(pipeline, bool(row["config"].get("tell_places")))), encoding="utf-8")
        (draft / "tokenizer.json").write_text(pipeline.tokenizer.published(), encoding="utf-8")
        shutil.copy(RUNNER, draft / "run.py")
        (draft / "README.md").write_text(README.format(model=config.model), encoding="utf-8")
        if config.tensorrt:
            (draft / "tensorrt.sh").write_text(tensorrt(pipeline), encoding="utf-8")
    for path in sorted(config.folder.iterdir()):
        print(f"{path} ({path.stat().st_size / 1e6:.2f} MB)")


def check_installed() -> None:
    """Raises ValueError where what writes ONNX is missing."""
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise ValueError(f"writing ONNX needs {', '.join(missing)}: pip install 'minidiff[onnx]'.")


def networks(pipeline: TextToImage) -> dict[str, tuple[nn.Module, dict[str, Tensor], Axes]]:
    """The three networks with inputs to trace them with, by name, and which of their axes are free."""
    batch, tokens = Dim("batch", min=1, max=256), Dim("tokens", min=2, max=pipeline.tokenizer.max_tokens + 2)
    ids, mask = pipeline.tokenizer.encode(["a star", "a blue house at night"])
    words = Words(pipeline.words.tower)
    latents, caption = torch.randn(2, *pipeline.latent_shape), {0: batch, 1: tokens}
    asked = {"x": latents, "timestep": torch.tensor([0.2, 0.8]), "context": words(ids, mask), "mask": mask}
    decoder = Decoder(pipeline.vae, pipeline.latent_mean, pipeline.latent_std)
    return {
        "text": (words, {"ids": ids, "mask": mask}, {"ids": caption, "mask": caption}),
        "network": (
            pipeline.network, asked, {"x": {0: batch}, "timestep": {0: batch}, "context": caption, "mask": caption},
        ),
        "vae": (decoder, {"latents": latents}, {"latents": {0: batch}}),
    }  # fmt: skip


@torch.no_grad()
def write_network(path: Path, module: nn.Module, inputs: dict[str, Tensor], axes: Axes, half: bool) -> None:
    """One network as a file."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of axes that share a name
        program = torch.onnx.export(
            module.eval(), (), kwargs=inputs, dynamic_shapes=axes, input_names=list(inputs), opset_version=OPSET, dynamo=True
        )
    import onnx

    model = program.model_proto  # type: ignore[union-attr]
    for node in model.graph.node:
        del node.metadata_props[:]  # lines of code, with the paths of the machine that wrote it
    onnx.save(halved(model) if half else model, str(path))


def halved(model: Any) -> Any:
    """The same network, its large tensors stored as float16 and widened by a node that runtimes work out when they load."""
    import onnx

    graph, casts = model.graph, []
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size >= SMALL:
            name = tensor.name
            tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def about(pipeline: TextToImage, places: bool) -> dict[str, Any]:
    """What model.json says. places: whether prompts should say where things are. samplers: by name and number of steps, each
    step's timestep and weights p, q, a, b, c: x0 = p x + q prediction, and the next x = a x + b prediction + c (x0 before)."""
    schedule = pipeline.scheduler.schedule
    tables: dict[str, dict[int, list[list[float]]]] = {}
    for name, order in SAMPLERS.items():
        tables[name] = {}
        for steps in range(1, MOST_STEPS + 1):
            times = tuple(pipeline.scheduler.timesteps(schedule, steps).tolist())
            weights = run_weights(schedule, pipeline.prediction_type, times, 0.0, order)
            tables[name][steps] = [
                [float(f"{number:.9g}") for number in (timestep_at(schedule, t), *step[:5])]
                for t, step in zip(times[:-1], weights, strict=True)
            ]
    return {
        "format": "minidiff-onnx-1", "model": pipeline.model, "model_hash": pipeline.model_hash, "version": __version__,
        "guidance_scale": pipeline.guidance_scale, "max_tokens": pipeline.tokenizer.max_tokens,
        "latent_shape": pipeline.latent_shape, "tell_places": places, "samplers": tables,
    }  # fmt: skip


def tensorrt(pipeline: TextToImage) -> str:
    """The commands that make an engine of network.onnx. TensorRT since version 11 has no switch for float16: the types are
    written into the network before."""
    c, h, w = pipeline.latent_shape
    width, most = pipeline.encode(["a star"])[0].shape[-1], pipeline.tokenizer.max_tokens + 2

    def shapes(batch: int, tokens: int) -> str:
        return f"x:{batch}x{c}x{h}x{w},timestep:{batch},context:{batch}x{tokens}x{width},mask:{batch}x{tokens}"

    return TENSORRT.format(least=shapes(1, 2), usual=shapes(2, 16), most=shapes(16, most))
