"""Edge consistency. No definition of it is established, so these are ours:

`border_consistency`, for inpainting: is there a seam where the mask ends? The jump across the border is compared with the jumps
just inside and outside. How large it may be is read off the real pictures under the same masks: of their own jumps 95 % pass,
so they get 0.95 (or more, where all of them are too small to be seen), and a part pasted from elsewhere gets much less.
`edge_f1` and `soft_edge_ssim`, for pictures with a true one to compare with: are the edges where they should be?

What it is not: an opinion on what is in the hole. Something else, softly blended in, is consistent at its edge.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from minidiff.evaluate.metrics import ssim
from minidiff.pretrained.hub import require

PASSING = 0.95  # share of the real pictures' own jumps that count as none
VISIBLE = 4 / 255  # jumps up to this one never count: nobody sees them
LUMA = (0.299, 0.587, 0.114)  # of ITU-R BT.601

Picture = NDArray[np.uint8]  # (H, W, 3)
Hole = NDArray[np.bool_]  # (H, W), True where the picture was repainted


def seams(picture: Picture, hole: Hole) -> NDArray[np.float64]:
    """For each pair of neighbouring pixels of which the mask separates one from the other: how much larger the step between
    them is than the mean of the steps before and behind it, -1..1. Pairs without such neighbours are left out. (M,)."""
    found = []
    for values, inside in ((picture, hole), (picture.swapaxes(0, 1), hole.T)):
        step = np.abs(np.diff(values.astype(np.float64) / 255, axis=0)).mean(axis=-1)  # (H - 1, W)
        border = inside[1:-2] != inside[2:-1]  # (H - 3, W)
        found.append((step[1:-1] - (step[:-2] + step[2:]) / 2)[border])
    return np.concatenate(found)


def allowed_seam(real: Iterable[tuple[Picture, Hole]]) -> float:
    """What the real pictures' own steps rarely exceed under these masks, but at least VISIBLE; for `border_consistency`."""
    steps = np.concatenate([np.zeros(1), *(seams(picture, hole) for picture, hole in real)])
    return max(float(np.quantile(steps, PASSING)), VISIBLE)


def border_consistency(picture: Picture, hole: Hole, allowed: float) -> float:
    """Share of the border, 0..1, along which there is no seam: no step larger than `allowed` (see `allowed_seam`). NaN for a
    mask without a border inside the picture."""
    steps = seams(picture, hole)
    return float((steps <= allowed).mean()) if len(steps) else float("nan")


def luma(pictures: Tensor) -> Tensor:
    """(B, 3, H, W) to brightness (B, 1, H, W), in the same range."""
    return (pictures * torch.tensor(LUMA, dtype=pictures.dtype).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def canny(picture: Picture) -> NDArray[np.bool_]:
    """Edges (H, W) after Canny (1986): a Gaussian of 1 pixel, thresholds 0.1 and 0.2 of the range. Raises ValueError where
    scikit-image, which finds them, isn't installed."""
    require("skimage", "Edge consistency", "eval")
    from skimage.feature import canny as find

    return find(picture @ np.array(LUMA) / 255, sigma=1.0, low_threshold=0.1, high_threshold=0.2)


def edge_f1(picture: Picture, true: Picture) -> float:
    """F1 of the edges of a picture against those of the true one, 0..1: an edge pixel counts as found when the other picture
    has one at most 1 pixel away. 1 when neither has edges."""
    a, b = canny(picture), canny(true)
    if not a.any() and not b.any():
        return 1.0
    if not a.any() or not b.any():
        return 0.0
    precision, recall = (one[_wider(other)].sum() / one.sum() for one, other in ((a, b), (b, a)))
    return float(2 * precision * recall / max(precision + recall, 1e-12))


def _wider(edges: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Edges and the eight pixels round each."""
    return F.max_pool2d(torch.from_numpy(edges)[None].float(), 3, stride=1, padding=1)[0].numpy() > 0


def soft_edge_ssim(a: Tensor, b: Tensor) -> Tensor:
    """SSIM of how strong the edges are, without a threshold: of the lengths of the Sobel gradients. a, b (B, 3, H, W) in 0..1;
    returns (B,). Raises ValueError as `metrics.ssim`."""
    return ssim(_gradient(a), _gradient(b))


def _gradient(pictures: Tensor) -> Tensor:
    """Lengths of the gradients of the brightness, (B, 1, H - 2, W - 2): 1 for a sharp step from black to white."""
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=pictures.dtype) / 4
    across = F.conv2d(luma(pictures), torch.stack([sobel, sobel.T])[:, None])  # (B, 2, H - 2, W - 2)
    return across.square().sum(dim=1, keepdim=True).sqrt()
