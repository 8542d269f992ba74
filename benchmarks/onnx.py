"""onnxruntime against PyTorch: `minidiff export onnx DIR && python -m benchmarks.onnx DIR`. How far the same image is off, and
seconds a picture in turns, text and decoding counted."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from benchmarks.timing import interleaved
from minidiff import load_pipeline
from minidiff.pipelines.onnx_runner import Drawer

PROMPT, ROUNDS = "a big red star left of a small blue house at night", 9


def main(folder: Path) -> None:
    threads = torch.get_num_threads()
    drawer = Drawer(folder, threads)
    pipeline = load_pipeline(drawer.settings["model"], "cpu", "float32")
    request = pipeline.request(PROMPT, expand_prompt=False)
    images = drawer.draw(PROMPT), pipeline(request)[0]
    off = np.abs(np.diff([np.asarray(image, np.int16) for image in images], axis=0))
    print(f"The same picture differs by {off.mean():.4f} of 255 on average, at most by {off.max()}.")
    theirs, ours = interleaved([lambda: drawer.draw(PROMPT), lambda: pipeline(request)], ROUNDS)
    print(f"{drawer.settings['model']}, 20 steps, {threads} threads, median of {ROUNDS} in turns: onnxruntime {theirs:.3f} s a "
          f"picture, PyTorch {ours:.3f} s; {ours / theirs:.2f} times as many pictures.")  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
