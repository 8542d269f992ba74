"""A fresh process that loads a model, makes one image and says how much memory it took at most:
`python -m benchmarks.first_picture ours|theirs FOLDER`. Started by `against_diffusers`, which takes the time.

Nothing is imported that the one or the other does not need."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

PROMPT = "a big red star left of a small blue house at night"


def peak_memory() -> int:
    """Most bytes this program ever held. Linux counts `ru_maxrss` from before the program was started, so there the
    kernel's own high-water mark is read."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def ours() -> None:
    """As a user would: import, ask, get."""
    from minidiff import generate_image

    generate_image(PROMPT)


def theirs(folder: Path) -> None:
    """diffusers reads weights in its own format, and is spared the text encoder: the vectors are in a file."""
    import torch
    from diffusers import AutoencoderKL, PixArtTransformer2DModel

    from benchmarks.peers import Peer

    dit = PixArtTransformer2DModel.from_pretrained(folder / "dit")
    vae = AutoencoderKL.from_pretrained(folder / "vae").eval()
    saved = torch.load(folder / "text.pt")
    Peer(dit, vae, saved["prediction_type"], saved["scale"])(saved["vectors"], saved["mask"], saved["mean"], saved["std"])


if __name__ == "__main__":
    ours() if sys.argv[1] == "ours" else theirs(Path(sys.argv[2]))
    print(json.dumps({"peak": peak_memory()}))
