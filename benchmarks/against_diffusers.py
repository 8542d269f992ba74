"""Ours against diffusers holding the same weights, in one run: `python -m benchmarks.against_diffusers`.

Measured: one guided 20-step image from a prompt, both in fp32, and ours as shipped against diffusers in fp32; one
training step of the DiT, in bf16 where the processor is faster in it; and, each in a process of its own, start-up to first
image and peak memory. A ratio below 1 means that ours needs less. Medians of interleaved rounds; before any clock runs,
both must give equal output.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.first_picture import PROMPT
from benchmarks.peers import Peer, diffusers_dit, diffusers_vae, peer_of, random_zoo
from benchmarks.timing import interleaved
from minidiff.pipelines.loading import load_pipeline
from minidiff.pipelines.request import Request
from minidiff.pipelines.text_to_image import TextToImage
from minidiff.utils.devices import autocast

BARS = {
    "image, fp32": 0.63, "image, as shipped": 0.5, "training step": 0.7,
    "start-up to first image": 0.4, "peak memory": 0.8,
}  # fmt: skip


def ours_once(pipeline: TextToImage) -> Callable[[], object]:
    """One image by our pipeline, from text to PIL."""
    request = Request(PROMPT, guidance_scale=pipeline.guidance_scale)
    return lambda: pipeline(request)


def theirs_once(peer: Peer, pipeline: TextToImage) -> Callable[[], object]:
    """One image by diffusers, from text (our encoder) to pixels on the CPU."""

    def run() -> object:
        vectors, mask = pipeline.encode([PROMPT, ""])
        pixels = peer(vectors, mask, pipeline.latent_mean, pipeline.latent_std)
        return (pixels[0].clamp(-1, 1) * 127.5 + 127.5).round().byte().permute(1, 2, 0).numpy()

    return run


@torch.inference_mode()
def difference(pipeline: TextToImage, peer: Peer) -> dict[str, float]:
    """Largest difference of the DiTs' and of the VAEs' outputs, over the largest output: the weights are the same."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, *pipeline.latent_shape, generator=generator)
    t = torch.tensor([800.0, 20.0])
    vectors, mask = pipeline.encode([PROMPT, ""])
    ours = pipeline.network(x, t, vectors, mask)
    sizes: dict[str, Any] = {"resolution": None, "aspect_ratio": None}
    theirs = peer.dit(x, encoder_hidden_states=vectors, encoder_attention_mask=mask, timestep=t,
                      added_cond_kwargs=sizes, return_dict=False)[0]  # fmt: skip
    decoded, expected = pipeline.vae.decode(x), peer.vae.decode(x, return_dict=False)[0]
    return {
        "dit": float((ours - theirs).abs().max() / theirs.abs().max()),
        "vae": float((decoded - expected).abs().max() / expected.abs().max()),
    }


def training_step(model: nn.Module, predict: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor], batch: int,
                  shape: tuple[int, int, int], width: int) -> Callable[[], object]:  # fmt: skip
    """Forward, backward and AdamW, in the dtype that training takes here, on random latents and 24-token captions."""
    model.train().requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
    generator = torch.Generator().manual_seed(0)
    x, target = (torch.randn(batch, *shape, generator=generator) for _ in range(2))
    t = torch.rand(batch, generator=generator) * 1000
    vectors = torch.randn(batch, 24, width, generator=generator)
    mask = torch.arange(24) < torch.randint(8, 25, (batch, 1), generator=generator)

    def run() -> object:
        with autocast(torch.device("cpu")):
            loss = F.mse_loss(predict(x, t, vectors, mask).float(), target)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss

    return run


def training_pair(pipeline: TextToImage, batch: int) -> list[Callable[[], object]]:
    """The same step with our DiT and with diffusers', from the same weights."""
    from minidiff.models.dit import DiT

    config = pipeline.network.config
    ours = DiT(config)
    ours.load_state_dict(pipeline.network.state_dict())
    theirs = diffusers_dit(config, pipeline.network.state_dict())
    sizes: dict[str, Any] = {"resolution": None, "aspect_ratio": None}

    def predict(x: Tensor, t: Tensor, vectors: Tensor, mask: Tensor) -> Tensor:
        return theirs(x, encoder_hidden_states=vectors, encoder_attention_mask=mask, timestep=t,
                      added_cond_kwargs=sizes, return_dict=False)[0]  # fmt: skip

    shape, width = pipeline.latent_shape, config.caption_channels
    return [training_step(ours, ours, batch, shape, width), training_step(theirs, predict, batch, shape, width)]


# --- one process each -----------------------------------------------------------------------------------------------


def in_processes(pipeline: TextToImage, peer: Peer, rounds: int) -> dict[str, tuple[float, float]]:
    """(ours, theirs) for start-up to first image (s) and peak memory (MB), medians over fresh processes in turns."""
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    peak: dict[str, list[float]] = {"ours": [], "theirs": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peer.dit.save_pretrained(folder / "dit")
        diffusers_vae(pipeline.vae).save_pretrained(folder / "vae")
        vectors, mask = pipeline.encode([PROMPT, ""])
        rest = {"prediction_type": pipeline.prediction_type, "scale": pipeline.guidance_scale}
        statistics_ = {"mean": pipeline.latent_mean, "std": pipeline.latent_std}
        torch.save({"vectors": vectors.clone(), "mask": mask.clone(), **statistics_, **rest}, folder / "text.pt")
        for _ in range(rounds):
            for who in seconds:
                began = time.perf_counter()
                command = [sys.executable, "-m", "benchmarks.first_picture", who, str(folder)]
                out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                seconds[who].append(time.perf_counter() - began)
                peak[who].append(json.loads(out.splitlines()[-1])["peak"] / 1e6)
    start, memory = ((statistics.median(x["ours"]), statistics.median(x["theirs"])) for x in (seconds, peak))
    return {"start-up to first image": start, "peak memory": memory}


# --- the whole ------------------------------------------------------------------------------------------------------


def measure(rounds: int, batch: int, processes: int) -> dict[str, Any]:
    """Everything, as the JSON holds it: {"rows": {name: {ours, diffusers, ratio, unit, bar}}, ...}."""
    pipeline, shipped = load_pipeline(device="cpu", dtype="float32"), load_pipeline(device="cpu")
    peer = peer_of(pipeline)
    unlike = difference(pipeline, peer)
    if max(unlike.values()) > 1e-3:
        raise RuntimeError(f"The two do not hold the same weights: relative differences are {unlike}.")
    contestants = [ours_once(pipeline), ours_once(shipped), theirs_once(peer, pipeline)]
    ours, fast, theirs = interleaved(contestants, rounds)
    step, their_step = interleaved(training_pair(pipeline, batch), max(3, rounds // 2))
    rows = {
        "image, fp32": row(ours, theirs, "s", "image, fp32"),
        "image, as shipped": row(fast, theirs, "s", "image, as shipped"),
        "training step": row(step, their_step, "s", "training step"),
    }
    for name, (mine, other) in in_processes(pipeline, peer, processes).items():
        rows[name] = row(mine, other, "MB" if name == "peak memory" else "s", name)
    parameters = sum(p.numel() for p in pipeline.network.parameters())
    return {
        "rows": rows, "difference": unlike, "parameters": parameters, "shipped_dtype": str(shipped.dtype),
        "training_batch": batch, "training_images_per_second": batch / step, "threads": torch.get_num_threads(),
        "machine": platform.processor() or platform.machine(), "torch": torch.__version__,
        "weights": pipeline.model_hash,
    }  # fmt: skip


def row(ours: float, theirs: float, unit: str, name: str) -> dict[str, Any]:
    """A line of the table."""
    return {"ours": ours, "diffusers": theirs, "ratio": ours / theirs, "unit": unit, "bar": BARS.get(name)}


def show(figures: dict[str, Any]) -> None:
    """Print the table."""
    from minidiff.evaluate.report import table

    lines = []
    for name, r in figures["rows"].items():
        bar = "" if r["bar"] is None else f"<= {r['bar']}"
        both = [f"{r[who]:.3f} {r['unit']}" for who in ("ours", "diffusers")]
        lines.append([name, *both, f"{r['ratio']:.2f}", bar])
    import diffusers

    size, dtype = figures["parameters"] / 1e6, figures["shipped_dtype"].removeprefix("torch.")
    print(f"minidiff against diffusers {diffusers.__version__}, same weights, {size:.1f} M in the DiT, "
          f"{figures['threads']} threads; shipped: {dtype}")  # fmt: skip
    print(table(["", "ours", "diffusers", "ratio", "bar"], lines))
    print(f"training: {figures['training_images_per_second']:.0f} images/s at a batch of {figures['training_batch']}")
    unlike = figures["difference"]
    print(f"largest relative difference of outputs: DiT {unlike['dit']:.1e}, VAE {unlike['vae']:.1e}")


def main() -> None:
    """Options, then measure, print and perhaps write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="rounds of each timing (default 15)")
    parser.add_argument("--batch", type=int, default=64, help="training batch (default 64)")
    parser.add_argument("--processes", type=int, default=3, help="fresh processes for start-up and memory (default 3)")
    parser.add_argument("--json", type=Path, default=None, help="also write the figures to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        from minidiff.pretrained import zoo

        if "world-dit" not in zoo.manifest():
            print("There are no trained weights in the zoo: random ones of the same size are timed instead.")
            os.environ["MINIDIFF_ZOO"] = str(random_zoo(Path(folder)))
        figures = measure(options.rounds, options.batch, options.processes)
    show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
