"""`minidiff doctor`: what is here, what is missing, and what each thing is for.

Python, torch, the processor and which precision is faster on it, GPU, memory, disk; every optional package with its version;
fonts, npm, a browser; the shipped weights and the published files of metrics, verified. What it is not: an installer.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from minidiff.utils.browser import chromium

State = Literal["ok", "missing", "old", "damaged", "none"]
FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile", "asimd", "bf16", "sve")  # as Linux calls them
MEASURED = 1.0  # seconds


@dataclass(frozen=True)
class Package:
    """A package of an extra in pyproject.toml, the least version that will do, and what it is for."""

    name: str
    least: str
    purpose: str


CORE = (
    Package("torch", "2.4", "all computing"), Package("numpy", "1.26", "arrays"), Package("pillow", "10", "pictures"),
    Package("einops", "0.7", "shapes in words"), Package("safetensors", "0.4.3", "files of weights"),
    Package("tokenizers", "0.15", "prompts to tokens"), Package("tqdm", "4.60", "progress"),
    Package("accelerate", "0.34", "training on several GPUs"), Package("tyro", "1.0", "this command line"),
)  # fmt: skip
EXTRAS: dict[str, tuple[Package, ...]] = {
    "app": (Package("gradio", "6", "the studio, minidiff app"),),
    "course": (
        Package("jupyterlab", "4", "opening notebooks"), Package("nbconvert", "7.16", "slides and handouts"),
        Package("nbclient", "0.10", "running notebooks"), Package("ipywidgets", "8", "sliders in notebooks"),
        Package("matplotlib", "3.8", "plots"), Package("nbmake", "1.5", "timing lessons"),
        Package("mistune", "3", "the cheat sheet"), Package("latex2mathml", "3.77", "its formulas"),
    ),
    "interop": (
        Package("torchvision", "0.19", "pictures for published models"), Package("diffusers", "0.31", "comparison, and export"),
        Package("transformers", "4.44", "published text encoders, CLIPScore, PickScore"),
        Package("open_clip_torch", "2.26", "open_clip's text encoders"), Package("peft", "0.13", "comparison of LoRAs"),
        Package("sentencepiece", "0.2", "PixArt's tokenizer"), Package("protobuf", "4", "PixArt's tokenizer"),
    ),
    "eval": (
        Package("torchvision", "0.19", "LPIPS's trunks"), Package("torchmetrics", "1.4", "LPIPS's channel weights"),
        Package("torch-fidelity", "0.4", "FID's network"), Package("scikit-image", "0.22", "edge consistency"),
        Package("matplotlib", "3.8", "plots"),
    ),
    "emoji": (Package("resvg-py", "0.2", "drawing emoji"),),
    "prepare": (
        Package("pyarrow", "15", "captions in parquet files"), Package("datasets", "2.19", "minidiff prepare images hf:NAME"),
        Package("ray[data]", "2.31", "minidiff prepare images --engine ray"),
        Package("nudenet", "3.4", "minidiff prepare images --nsfw"), Package("matplotlib", "3.8", "histograms"),
    ),
    "scale": (
        Package("tensorboard", "2.14", "minidiff train dit_b_256 --tensorboard"),
        Package("wandb", "0.16", "minidiff train dit_b_256 --wandb"),
    ),
    "onnx": (
        Package("onnx", "1.17", "minidiff export onnx"), Package("onnxscript", "0.5", "minidiff export onnx"),
        Package("onnxruntime", "1.20", "minidiff serve --onnx"),
    ),
}  # fmt: skip
Need = Literal["app", "course", "interop", "evaluate", "emoji", "prepare", "scale", "onnx", "gpu", "npm", "browser", "fonts"]
EXTRA_OF = {"evaluate": "eval"}  # where a need isn't called as its extra
ALSO = {"emoji": "npm"}          # a need that brings another one with it


@dataclass
class DoctorOptions:
    """Say what is here and what is missing. Exits with 1 when something is missing that was asked for."""

    needs: tuple[Need, ...] = ()
    """What you want to do: app, course, interop, evaluate, emoji, prepare, scale, onnx, gpu, npm, browser, fonts. core is
    always asked for."""
    weights: Path | None = None
    """A folder in which to look for published files of metrics (Inception, LPIPS, aesthetic), by their names."""
    json: Path | None = None
    """Where the findings go as JSON, if anywhere."""


@dataclass(frozen=True)
class Finding:
    """One line. group: its heading; need: what it is part of, "core" for what is always asked for, empty for what never is."""

    group: str
    name: str
    state: State
    found: str
    purpose: str = ""
    need: str = ""


def doctor(options: DoctorOptions) -> int:
    """Looks, prints, and returns the exit code: 1 when something that was asked for isn't there, or isn't whole."""
    findings = list(examine(options))
    wanted = {"core", *options.needs, *(ALSO[need] for need in options.needs if need in ALSO)}
    lacking = [one for one in findings if one.need in wanted and one.state != "ok"]
    print(report(findings, wanted))
    if options.json:
        from minidiff.utils.files import write_whole

        told = [asdict(one) for one in findings]
        record = {"needs": sorted(wanted), "lacking": [one.name for one in lacking], "findings": told}
        write_whole(options.json, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    extras = sorted({EXTRA_OF.get(one.need, one.need) for one in lacking if EXTRA_OF.get(one.need, one.need) in EXTRAS})
    if lacking:
        print(f"Missing of what was asked for: {', '.join(dict.fromkeys(one.name for one in lacking))}.")
    if extras:
        print(f"pip install 'minidiff[{','.join(extras)}]' brings the packages.")
    if not lacking:
        print("Nothing is missing of what was asked for: " + ", ".join(sorted(wanted)) + ".")
    return 1 if lacking else 0


def report(findings: list[Finding], wanted: Collection[str]) -> str:
    """The findings as text, a paragraph for each group; loud where something lacks that is wanted."""
    lines: list[str] = []
    widths = [max(len(text) for text in column) for column in zip(*((one.name, one.found) for one in findings), strict=True)]
    widths[1] = min(widths[1], 44)
    for k, one in enumerate(findings):
        if not k or findings[k - 1].group != one.group:
            lines += ["", one.group]
        state = {"ok": "", "none": "-", "old": "too old"}.get(one.state, one.state)
        state = state.upper() if one.need in wanted else state
        lines.append(f"  {state:<8}{one.name:<{widths[0]}}  {one.found:<{widths[1]}}  {one.purpose}".rstrip())
    return "\n".join([*lines[1:], ""])


def examine(options: DoctorOptions) -> Iterator[Finding]:
    """Everything, in the order in which it is printed. A part that can't be examined is a finding, not an error."""
    python: State = "ok" if sys.version_info >= (3, 10) else "old"
    yield Finding("machine", "Python", python, platform.python_version(), "3.10 or newer", "core")
    core = [package_finding(one, "core", "core packages") for one in CORE]
    able = all(one.state == "ok" for one in core)
    if able:
        yield from machine()
    yield disk()
    yield from core
    for extra, packages in EXTRAS.items():
        need = next((name for name, other in EXTRA_OF.items() if other == extra), extra)
        yield from (package_finding(one, need, f"packages for {need} (extra {extra})") for one in packages)
    yield from tools(able)
    if able:
        yield from shipped_weights()
        yield from published_weights(options.weights)


def package_finding(package: Package, need: str, group: str) -> Finding:
    """Whether a package is installed, and new enough."""
    try:
        version = importlib.metadata.version(package.name.partition("[")[0])  # "ray[data]" is of ray
    except importlib.metadata.PackageNotFoundError:
        return Finding(group, package.name, "missing", f"{package.least} or newer", package.purpose, need)
    old = numbers(version) < numbers(package.least)
    return Finding(group, package.name, "old" if old else "ok", f"{version}, needs {package.least}" if old else version,
                   package.purpose, need)  # fmt: skip


def numbers(version: str) -> tuple[int, ...]:
    """The release of a version, "2.15.0+cu130" as (2, 15, 0)."""
    release = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in release[0].split(".")) if release else ()


def processor() -> tuple[str, list[str]]:
    """Its name and its features, as far as the system tells them."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = told.get("model name") or platform.processor() or platform.machine()
    return name, (told.get("flags") or told.get("Features") or "").split()


def machine() -> Iterator[Finding]:
    """Processor, precision, GPU, memory. Needs torch."""
    import torch

    from minidiff.utils import devices

    name, flags = processor()
    yield Finding("machine", "processor", "ok", f"{name}, {os.cpu_count()} cores", ", ".join(f for f in FEATURES if f in flags))
    seconds = devices.product_seconds(limit=MEASURED)
    faster, slower = sorted(seconds, key=seconds.__getitem__)
    used = str(devices.fastest_dtype("cpu")).removeprefix("torch.")
    times = seconds[slower] / seconds[faster]
    found = f"{faster} is {times:.1f} times as fast as {slower}"
    yield Finding("machine", "precision", "ok", found, f"measured on a product; {used} is used")
    if torch.cuda.is_available():
        for k in range(torch.cuda.device_count()):
            told_of = torch.cuda.get_device_properties(k)
            yield Finding("machine", f"GPU {k}", "ok", f"{told_of.name}, {told_of.total_memory / 1e9:.0f} GB", need="gpu")
    elif devices.best_device() == "mps":
        yield Finding("machine", "GPU", "ok", "Apple's, by mps", need="gpu")
    else:
        yield Finding("machine", "GPU", "missing", "none that torch can use", "training is quicker on one", "gpu")
    yield Finding("machine", "memory", "ok", memory(), "a lesson takes at most 3 GB")


def memory() -> str:
    """How much there is, and how much of it is free, where the system says so."""
    file = Path("/proc/meminfo")
    if not file.exists():
        return "unknown"
    sizes = dict(re.findall(r"(\w+):\s+(\d+) kB", file.read_text()))
    return f"{int(sizes['MemAvailable']) / 1e6:.1f} GB free of {int(sizes['MemTotal']) / 1e6:.1f} GB"


def disk() -> Finding:
    usage = shutil.disk_usage(Path.cwd())
    return Finding("machine", "disk", "ok", f"{usage.free / 1e9:.1f} GB free of {usage.total / 1e9:.1f} GB", f"at {Path.cwd()}")


def tools(able: bool) -> Iterator[Finding]:
    """Programs and fonts. able: whether the core is there."""
    npm = shutil.which("npm")
    yield Finding("tools", "npm", "ok" if npm else "missing", npm or "not on the path", "emoji, and slides", "npm")
    browser = chromium()
    state: State = "ok" if browser else "missing"
    yield Finding("tools", "Chromium", state, browser or "not on the path", "PDFs, and browser tests", "browser")
    if able:
        font, whole = vietnamese_font()
        found = font if whole else f"{font} lacks Vietnamese letters"
        yield Finding("tools", "fonts", "ok" if whole else "missing", found, "captions; matplotlib brings one", "fonts")


def vietnamese_font() -> tuple[str, bool]:
    """The font of captions, and whether it has Vietnamese letters: they aren't drawn like a letter that no font has."""
    from minidiff.utils.images import readable_font

    font = readable_font(16)
    strange = bytes(font.getmask("\uffff"))
    return " ".join(font.getname()), all(bytes(font.getmask(letter)) != strange for letter in "ộữđắ")


def shipped_weights() -> Iterator[Finding]:
    """Every row of the zoo, read and verified."""
    from minidiff.pretrained import zoo

    def size_of(name: str) -> str:
        return f"{len(zoo.read(name)) / 1e6:.2f} MB, verified"

    group, rows = f"shipped weights in {zoo.zoo_root()}", tuple(zoo.manifest())
    if not rows:
        yield Finding(group, "zoo", "missing", "no manifest", "the shipped models", "core")
    for name in rows:
        if zoo.waits(name):
            yield Finding(group, name, "none", "not here yet", "fetched when first used, or by `minidiff zoo fetch`")
            continue
        yield attempt(group, name, "core", partial(size_of, name))


def published_weights(folder: Path | None) -> Iterator[Finding]:
    """The published files of metrics that lie in a folder, verified."""
    from minidiff.evaluate.published_weights import KNOWN, verify

    def hash_of(role: str, place: Path) -> str:
        return f"SHA-256 {verify(role, place).sha256[:16]}..., verified"

    group = f"published weights in {folder}" if folder else "published weights (name a folder by --weights)"
    for role in ("inception", "lpips", "aesthetic"):
        for one in KNOWN[role]:
            place = folder / one.file if folder else None
            if place is None or not place.is_file():
                yield Finding(group, one.file, "none", "not looked for" if folder is None else "not there", f"for {role}")
            else:
                yield attempt(group, one.file, "core", partial(hash_of, role, place))


def attempt(group: str, name: str, need: str, look: Callable[[], Any]) -> Finding:
    """What `look` says, or why it refused."""
    try:
        return Finding(group, name, "ok", str(look()), need=need)
    except (ValueError, OSError) as error:
        return Finding(group, name, "damaged", " ".join(str(error).split()), need=need)
