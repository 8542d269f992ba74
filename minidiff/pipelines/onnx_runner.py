"""Draws with the networks in a folder that `minidiff export onnx` wrote: numpy, onnxruntime, tokenizers and Pillow, no torch.

    python run.py "a red star above a blue house" --seed 1 --out star.png
"""

from __future__ import annotations

import argparse
import json
import sys
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer

Array = NDArray[Any]
PARTS = ("text", "network", "vae")


class Drawer:
    """draw(prompt) -> a picture. threads: of the processor; 0 takes all cores."""

    def __init__(self, folder: Path, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.settings = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.parts = {part: onnxruntime.InferenceSession(folder / f"{part}.onnx", options) for part in PARTS}

    def run(self, part: str, *inputs: Array) -> Array:
        session = self.parts[part]
        return session.run(None, dict(zip([given.name for given in session.get_inputs()], inputs, strict=True)))[0]

    def encode(self, texts: list[str]) -> tuple[Array, Array]:
        """The captions as the network reads them, (B, L, D), and which of their tokens are no padding, (B, L)."""
        clean = [" ".join(unicodedata.normalize("NFC", text.lower()).split()) for text in texts]
        pieces = [self.tokenizer.encode(text).ids if text else [] for text in clean]
        rows = [[1, *piece[: self.settings["max_tokens"]], 2] for piece in pieces]  # <bos> ... <eos>, and 0 is padding
        lengths = [len(row) for row in rows]
        ids = np.array([row + [0] * (max(lengths) - len(row)) for row in rows])
        mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
        return self.run("text", ids, mask), mask

    def noise(self, seed: int) -> Array:
        """torch.randn of this seed, (C, h, w): its Mersenne Twister, and pairs by Box and Muller in blocks of 16."""
        shape = self.settings["latent_shape"]
        bits = np.random.RandomState(seed).randint(0, 2**32, np.prod(shape), dtype=np.uint32)
        u, v = np.moveaxis((bits & 0xFFFFFF).reshape(-1, 2, 8).astype(np.float32) / np.float32(2**24), 1, 0)
        radius, angle = np.sqrt(-2 * np.log(1 - u)), np.float32(2 * np.pi) * v
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(shape)

    def latent(self, prompt: str, negative: str, x: Array, steps: int, guidance: float, sampler: str) -> Array:
        """From noise (C, h, w) to a latent (1, C, h, w): a step is a weighted sum of x, the prediction and the last x0."""
        context, mask = self.encode([prompt, negative] if guidance != 1 else [prompt])
        x, before = x[None], np.zeros_like(x)[None]
        for time, p, q, a, b, c in self.settings["samplers"][sampler][str(steps)]:
            times = np.full(len(context), time, np.float32)
            both = self.run("network", np.repeat(x, len(context), axis=0), times, context, mask)
            prediction = both[:1] if guidance == 1 else both[1:] + guidance * (both[:1] - both[1:])
            x0 = p * x + q * prediction
            x, before = (a * x + b * prediction + c * before).astype(np.float32), x0
        return x

    def draw(
        self, prompt: str, negative: str = "", seed: int = 42, steps: int = 20, guidance: float | None = None,
        sampler: str = "dpmpp_2m",
    ) -> Image.Image:  # fmt: skip
        """A picture of the prompt. Raises ValueError for a sampler or a number of steps that the folder has no table of."""
        tables = self.settings["samplers"]
        if sampler not in tables or str(steps) not in tables[sampler]:
            most = len(next(iter(tables.values())))
            raise ValueError(f"There are {', '.join(tables)} with 1 to {most} steps, and no {sampler} with {steps}.")
        scale = self.settings["guidance_scale"] if guidance is None else guidance
        pixels = self.run("vae", self.latent(prompt, negative, self.noise(seed), steps, scale, sampler))[0]
        return Image.fromarray((pixels.clip(-1, 1) * 127.5 + 127.5).round().astype(np.uint8).transpose(1, 2, 0))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompt")
    parser.add_argument("--negative", default="")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--sampler", default="dpmpp_2m")
    parser.add_argument("--out", type=Path, default=Path("output.png"))
    given = vars(parser.parse_args())
    out = given.pop("out")
    try:
        Drawer(Path(__file__).parent).draw(**given).save(out)
    except ValueError as error:
        sys.exit(f"{error}")
