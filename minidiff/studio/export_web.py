"""`minidiff export web DIR`: a static page that draws in the reader's own browser, with nothing behind it but files.

    index.html, style.css, sw.js, js/    the page (studio/browser/), as it is
    ort/                                 ONNX Runtime Web, fetched once from npm by its hash
    model/about.json                     what the page must know: sampler's weights, tokenizer, words, the parts' tables
    model/{text,network,vae}.onnx        the networks without their large weights
    model/{text,network,vae}.bin         these, as 8-bit numbers with a scale for each row, or as float16
    model/student.bin                    the LoRA that makes the network one of few steps

The page widens weights to float32, adds the student's update to them, and hands them to ONNX Runtime as external data. So one
download serves both the teacher and the student. What it is not: the networks' export (pipelines/export_onnx.py).
"""

from __future__ import annotations

import json
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from torch import Tensor, nn

from minidiff import __version__
from minidiff.data.npm import Package, fetch, members
from minidiff.inference.latent_preview import LatentPreview
from minidiff.nn.attention_maps import record_attention
from minidiff.nn.lora import Factors
from minidiff.pipelines.export_onnx import Axes, check_installed, networks, write_network
from minidiff.pipelines.export_onnx import about as samplers_about
from minidiff.pipelines.loading import find_model, load_pipeline
from minidiff.pipelines.loras import part_of
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.pretrained import zoo
from minidiff.pretrained.adapters import read_lora
from minidiff.text.tokenizer import Tokenizer
from minidiff.utils.files import check_replaceable, replaced_folder

PAGE = Path(__file__).with_name("browser")
MARK = "model/about.json"
STAMP = "@STAMP@"
LARGE = 1024  # tensors with fewer numbers stay in the graph
RUNTIME = Package(
    "onnxruntime-web", "1.30.0",
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
    "MIT", "Microsoft Corporation",
)  # fmt: skip
RUNTIME_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
Weights = Literal["int8", "float16"]


@dataclass
class WebExport:
    """Write a page that draws in the reader's browser: a folder of files for any static host."""

    folder: tyro.conf.Positional[Path]
    """Where to: a new or an empty folder, or an earlier export, which is replaced."""
    model: str = "world-dit-4"
    """A model of few steps, such as world-dit-4; the page can draw with its teacher as well."""
    weights: Weights = "int8"
    """How large weights are stored: int8 with a scale for each row (half the download), or float16."""
    packages: Path = Path("data/packages")
    """Folder where the npm tarball of ONNX Runtime Web lies or is put."""
    course: str = ""
    """Where the course's notebooks are read, an address or a folder beside the page, as in COURSE/en/00_tour.ipynb; without
    it the page links to no lesson."""


class Watched(nn.Module):
    """A network that also says where it looked: the mean over layers and heads of its attention to each token."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.side = network.config.sample_size // network.config.patch_size

    def forward(self, x: Tensor, timestep: Tensor, context: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(prediction (B, C, h, w), maps (B, L, h / p, w / p))."""
        with record_attention(self.network, "attn2") as maps:
            prediction = self.network(x, timestep, context, mask)
        looked = torch.stack([weights.mean(dim=1) for _, weights in maps]).mean(dim=0)               # (B, N, L)
        return prediction, looked.transpose(1, 2).unflatten(2, (self.side, self.side))


def export_web(config: WebExport) -> None:
    """Writes the folder, whole or not at all, and prints its files. Raises ValueError for models that can't be exported, for a
    folder that holds something else, and where onnx or npm is missing."""
    check_replaceable(config.folder, MARK)
    check_installed()
    name, root = find_model(config.model)
    row = zoo.entry(name, root)
    base = zoo.lora_base(row) or name
    teacher, student = load_pipeline(base, "cpu", "float32"), load_pipeline(config.model, "cpu", "float32")
    if not isinstance(teacher.tokenizer, Tokenizer):
        raise ValueError(f"{config.model!r} is no model of the zoo that reads captions: choose world-dit-4, say.")
    tarball = fetch(RUNTIME, config.packages)
    with replaced_folder(config.folder, MARK) as draft:
        shutil.copytree(PAGE, draft, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
        runtime = members(tarball, *(f"dist/{file}" for file in RUNTIME_FILES))
        for folder in ("ort", "model"):
            (draft / folder).mkdir()
        for file in RUNTIME_FILES:
            (draft / "ort" / file).write_bytes(runtime[f"dist/{file}"])
        (draft / "ort" / "LICENSE").write_text(f"{RUNTIME.name} {RUNTIME.version}: MIT, (c) {RUNTIME.holder}\n", "utf-8")
        parts = {
            part: write_part(draft / "model", part, module, inputs, axes, config.weights)
            for part, (module, inputs, axes) in watched(teacher).items()
        }
        said: dict[str, Any] = {"parts": parts}
        if base != name:
            kind = part_of(teacher.network)
            factors = read_lora(zoo.path(name, root), {kind: teacher.network})[kind]
            tensors = parts["network"]["tensors"]
            said["student"] = write_student(draft / "model" / "student.bin", factors, tensors, config.weights)
        told = page_settings(teacher, student, row) | said | {"course": config.course.rstrip("/")}
        told |= {"runtime": checked(draft / "ort" / RUNTIME_FILES[-1]), "files": page_files(draft)}
        (draft / MARK).write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
        stamp(draft, told)
    for path in sorted(path for path in config.folder.rglob("*") if path.is_file()):
        print(f"{path} ({path.stat().st_size / 1e6:.2f} MB)")


def watched(pipeline: TextToImage) -> dict[str, tuple[nn.Module, dict[str, Tensor], Axes]]:
    """The networks to write, the one that draws with its maps."""
    found = dict(networks(pipeline))
    network, inputs, axes = found["network"]
    found["network"] = (Watched(network), inputs, axes)
    return found


def page_files(folder: Path) -> list[str]:
    """What a browser must keep to show the page without a network; the models' parts are added when they were read."""
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in paths if path.endswith((".html", ".css", ".js", ".mjs")) and path != "sw.js")


def stamp(folder: Path, told: dict[str, Any]) -> None:
    """Writes into sw.js which export this is. A browser looks for a new one only in that file, and keeps the old page until
    it finds another stamp."""
    crc = 0
    for name in (*told["files"], MARK):
        crc = zlib.crc32((folder / name).read_bytes(), crc)
    path = folder / "sw.js"
    text = path.read_text(encoding="utf-8")
    if STAMP not in text:
        raise ValueError(f"{PAGE / 'sw.js'} has no {STAMP}, where an export is named.")
    path.write_text(text.replace(STAMP, f"{told['version']}-{told['model_hash'][:10]}-{crc:08x}"), encoding="utf-8")


def manner(pipeline: TextToImage) -> dict[str, Any]:
    """How a pipeline draws where nothing else is asked for."""
    return {"sampler": pipeline.scheduler.sampler, "steps": pipeline.steps, "guidance_scale": pipeline.guidance_scale}


def page_settings(teacher: TextToImage, student: TextToImage, row: dict[str, Any]) -> dict[str, Any]:
    """What about.json says beside the parts' tables: the sampler's weights of `export_onnx.about`, of few steps; the tokenizer;
    words that the models have seen."""
    tokenizer = teacher.tokenizer
    assert isinstance(tokenizer, Tokenizer)
    bpe = json.loads(tokenizer.published())["model"]
    told = samplers_about(teacher, bool(row["config"].get("tell_places")))
    kept = sorted({1, 2, 4, 8, 20, teacher.steps, student.steps})
    told["samplers"] = {name: {n: table[n] for n in kept} for name, table in told["samplers"].items()}
    return told | {
        "format": "minidiff-web-2", "version": __version__, "teacher": teacher.model, "model": student.model,
        "guidance_scale": teacher.guidance_scale, "steps": student.steps, "image_size": teacher.image_size,
        "how": {"student": manner(student), "teacher": manner(teacher)}, "rough": rough_colours(teacher),
        "tokenizer": {"vocab": bpe["vocab"], "merges": bpe["merges"]}, "words": sorted(tokenizer.words),
    }  # fmt: skip


def rough_colours(pipeline: TextToImage) -> list[list[float]]:
    """(C + 1, 3): what makes a latent's channels, and a constant 1, red, green and blue, for looks before the VAE's."""
    preview = LatentPreview(pipeline.pixels, pipeline.latent_shape, pipeline.device, torch.float32)
    return [[round(number, 4) for number in row] for row in preview.latent_rgb_factors.tolist()]


def rows_as_int8(values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """(whole numbers -127 to 127, like values; scales (rows,)): a row is all that shares its first index. A row of zeros has
    scale 1."""
    largest = np.abs(values).reshape(len(values), -1).max(axis=1)
    scales = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    whole = np.rint(values / scales.reshape(-1, *[1] * (values.ndim - 1))).clip(-127, 127)
    return whole.astype(np.int8), scales


def write_part(folder: Path, part: str, module: nn.Module, inputs: Any, axes: Any, weights: Weights) -> dict[str, Any]:
    """A network's graph and its large weights, as two files; returns its table: for each tensor its name in the graph, the
    parameter's name and whether it is transposed, its shape, where it begins among float32 numbers (offset) and in the file."""
    import onnx

    path = folder / f"{part}.onnx"
    write_network(path, module, inputs, axes, half=False)
    model = onnx.load(str(path))
    parameters = {name: value.detach().numpy() for name, value in module.named_parameters()}
    turned = {value.T.tobytes(): name for name, value in parameters.items() if value.ndim == 2}
    data, tensors, offset = bytearray(), [], 0
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < LARGE:
            continue
        name = tensor.name if tensor.name in parameters else turned.get(values.tobytes(), "")
        if not name:  # a table such as that of the positions: nothing that was learnt, and exact
            continue
        across = name != tensor.name
        row = {"name": tensor.name, "parameter": name, "transposed": across, "shape": list(values.shape), "offset": offset}
        kept = np.ascontiguousarray(values.T) if across else values  # a scale for each output
        large = values.ndim >= 2 and values.size >= 16 * LARGE
        tensors.append(row | append(data, kept, weights if large else "float16"))
        onnx.external_data_helper.set_external_data(tensor, f"{part}.bin", 4 * offset, 4 * values.size)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        offset += values.size
    path.write_bytes(model.SerializeToString())
    (folder / f"{part}.bin").write_bytes(data)
    return {
        "graph": checked(path), "weights": checked(folder / f"{part}.bin"), "external": f"{part}.bin", "floats": offset,
        "tensors": tensors,
    }  # fmt: skip


def append(data: bytearray, values: NDArray[np.float32], weights: Weights) -> dict[str, Any]:
    """Numbers behind those of a file; returns where they are and how they are to be read."""
    row: dict[str, Any] = {"kind": weights, "at": len(data)}
    if weights == "int8":
        whole, scales = rows_as_int8(values)
        row["rows"] = len(scales)
        data += scales.tobytes() + whole.tobytes()
    else:
        data += values.astype(np.float16).tobytes()
    data += bytes(-len(data) % 4)  # so that float32 numbers begin where a browser can read them
    return row


def checked(path: Path) -> dict[str, Any]:
    """A file's name, and what a browser checks it by."""
    data = path.read_bytes()
    return {"file": path.name, "bytes": len(data), "crc32": zlib.crc32(data)}


def write_student(
    path: Path, factors: dict[str, Factors], tensors: list[dict[str, Any]], weights: Weights
) -> dict[str, Any]:
    """The LoRA as one file: for each layer down (r, in), then up (out, r) times alpha / r; returns its table."""
    names = {row["parameter"].removeprefix("network.").removesuffix(".weight"): row["name"] for row in tensors}
    data, layers = bytearray(), []
    for layer, one in factors.items():
        if layer not in names:
            raise ValueError(f"the LoRA changes {layer}, which is no large weight of the exported network.")
        down, up = (append(data, part.flatten(1).float().numpy(), weights) for part in (one.down, one.scale * one.up))
        layers.append({"tensor": names[layer], "rank": one.rank, "down": down, "up": up})
    path.write_bytes(data)
    return {"weights": checked(path), "layers": layers}
