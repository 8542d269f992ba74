"""The small image metrics, written out: PSNR, SSIM, Frechet distance, KID, precision and recall, perceptual distance.

What it is not: a feature extractor. With our own features the results are called FD-mini, KID-mini and PD-mini, never FID or
LPIPS, which stand for fixed weights. Tests compare each function with torchmetrics, scikit-image or torch-fidelity.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from minidiff.utils.images import gaussian_window


def _same_shape(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape or a.ndim != 4:
        raise ValueError(
            f"Two batches of equal shape (B, C, H, W) are needed, not {tuple(a.shape)} and {tuple(b.shape)}: "
            "resize one of them or add a batch axis."
        )


def psnr(a: Tensor, b: Tensor, data_range: float = 1.0) -> Tensor:
    """Peak signal-to-noise ratio in dB, 10 log10(range^2 / MSE), of images a, b (B, C, H, W); returns (B,), infinite for equal
    images. Raises ValueError when the shapes differ."""
    _same_shape(a, b)
    error = (a.double() - b.double()).pow(2).mean(dim=(1, 2, 3))                           # (B,)
    return (10 * torch.log10(data_range**2 / error)).float()


def _blur(x: Tensor, window: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C, H - size + 1, W - size + 1)."""
    channels = x.shape[1]
    w = window.to(x).expand(channels, 1, 1, -1)
    x = F.conv2d(x, w, groups=channels)
    return F.conv2d(x, w.transpose(-1, -2), groups=channels)


def ssim(a: Tensor, b: Tensor, data_range: float = 1.0) -> Tensor:
    """Structural similarity (Wang et al. 2004, eq. 13), mean over channels and over the 11-pixel Gaussian windows inside the
    image. a, b (B, C, H, W), sides at least 11; returns (B,). Raises ValueError when shapes differ or an image is too small."""
    _same_shape(a, b)
    window = gaussian_window()
    if min(a.shape[-2:]) < len(window):
        raise ValueError(f"SSIM needs sides of at least {len(window)} pixels, not {tuple(a.shape[-2:])}.")
    a, b = a.double(), b.double()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_a, mean_b = _blur(a, window), _blur(b, window)
    var_a = _blur(a * a, window) - mean_a**2
    var_b = _blur(b * b, window) - mean_b**2
    cov = _blur(a * b, window) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * cov + c2) / (var_a + var_b + c2)
    return (luminance * structure).mean(dim=(1, 2, 3)).float()


def _two_sets(real: Tensor, fake: Tensor, least: int) -> tuple[Tensor, Tensor]:
    """Two feature sets (N, D), (M, D), checked and in float64."""
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise ValueError(f"Features must be (N, D) and (M, D), not {tuple(real.shape)} and {tuple(fake.shape)}.")
    if min(len(real), len(fake)) < least:
        raise ValueError(f"At least {least} rows are needed in each set, not {len(real)} and {len(fake)}.")
    return real.double(), fake.double()


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """Frechet distance of two Gaussians fitted to features (Heusel et al. 2017, eq. 6):
    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). real (N, D), fake (M, D).

    With C1 = X^T X and C2 = Y^T Y, where X and Y are the centred rows over (N - 1)^(1/2), the trace of (C1 C2)^(1/2) is the sum
    of the singular values of X Y^T. Below about 10 D rows the estimate is biased upwards: print N beside it.
    """
    real, fake = _two_sets(real, fake, least=2)
    shift = (real.mean(0) - fake.mean(0)).square().sum()
    centred = [(rows - rows.mean(0)) / math.sqrt(len(rows) - 1) for rows in (real, fake)]
    x, y = (torch.linalg.qr(rows, mode="r").R for rows in centred)             # at most D rows each, and the same X^T X
    cross = torch.linalg.svdvals(x @ y.T).sum()
    return float(shift + x.square().sum() + y.square().sum() - 2 * cross)


def polynomial_kernel(x: Tensor, y: Tensor) -> Tensor:
    """(x y^T / D + 1)^3, the kernel of KID (Binkowski et al. 2018, section 4). x (N, D), y (M, D); returns (N, M)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def mmd2(x: Tensor, y: Tensor) -> Tensor:
    """Unbiased squared maximum mean discrepancy of two sets of n rows (Gretton et al. 2012, eq. 3), which may be slightly
    negative: mean similarity within the sets (without a row's own) minus that across them."""
    n = len(x)
    xx, yy, xy = polynomial_kernel(x, x), polynomial_kernel(y, y), polynomial_kernel(x, y)
    within = (xx.sum() - xx.trace() + yy.sum() - yy.trace()) / (n * (n - 1))
    return within - 2 * xy.mean()


def kid(
    real: Tensor, fake: Tensor, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Kernel distance: mean and standard deviation of `mmd2` over random subsets of at most `subset_size` rows.

    real (N, D), fake (M, D). The deviation says how much subsets of these rows differ; it is not the error of the mean.
    """
    real, fake = _two_sets(real, fake, least=2)
    size = min(subset_size, len(real), len(fake))
    generator = torch.Generator().manual_seed(seed)
    values = torch.stack([
        mmd2(
            real[torch.randperm(len(real), generator=generator)[:size]],
            fake[torch.randperm(len(fake), generator=generator)[:size]],
        )
        for _ in range(subsets)
    ])
    return float(values.mean()), float(values.std(correction=0))


def _radii(x: Tensor, k: int) -> Tensor:
    """Distance of each row to its k-th nearest other row, (N,)."""
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").kthvalue(k + 1).values  # the first is itself


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall (Kynkaanniemi et al. 2019, eq. 1-3), each in 0..1.

    Precision: share of fakes in a ball around some real row that reaches to its k-th neighbour. Recall: share of reals in such
    a ball around a fake.
    """
    fakes, reals = covered(real, fake, k)
    return float(fakes.double().mean()), float(reals.double().mean())


def covered(real: Tensor, fake: Tensor, k: int = 3) -> tuple[Tensor, Tensor]:
    """What `precision_recall` counts: whether each fake lies in a ball of the reals, (M,), and each real in one of the fakes,
    (N,)."""
    real, fake = _two_sets(real, fake, least=k + 1)
    distance = torch.cdist(fake, real, compute_mode="donot_use_mm_for_euclid_dist")        # (M, N)
    return (distance <= _radii(real, k)).any(dim=1), (distance.T <= _radii(fake, k)).any(dim=1)


def perceptual_distance(a: Sequence[Tensor], b: Sequence[Tensor], weights: Sequence[Tensor] | None = None) -> Tensor:
    """Distance of two batches in feature maps (Zhang et al. 2018, eq. 1), (B,).

    a, b: for each layer, (B, C, H, W), scaled to length 1 at each position. Squared differences are summed over channels,
    averaged over positions and summed over layers. weights: for each layer one number for each channel, (C,), as LPIPS has
    learnt them from people; 1 without them.
    """
    if len(a) != len(b) or not a:
        raise ValueError(f"Both need the same number of layers, at least one, not {len(a)} and {len(b)}.")
    total = torch.zeros(len(a[0]), dtype=a[0].dtype, device=a[0].device)
    for k, (x, y) in enumerate(zip(a, b, strict=True)):
        _same_shape(x, y)
        error = (F.normalize(x, dim=1) - F.normalize(y, dim=1)).square()                   # (B, C, H, W)
        total = total + (error if weights is None else error * weights[k].view(1, -1, 1, 1)).sum(1).mean(dim=(1, 2))
    return total


def bootstrap_interval(
    values: Tensor | Sequence[float], level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval (low, high) of the mean of values (N,) (Efron 1979); (nan, nan) when there are none."""
    x = torch.as_tensor(values, dtype=torch.float64)
    if not len(x):
        return math.nan, math.nan
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(len(x), (resamples, len(x)), generator=generator)
    means = x[rows].mean(dim=1)
    tail = (1 - level) / 2
    low, high = torch.quantile(means, torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return low, high


def spread_interval(
    statistic: Callable[[Tensor, Tensor], float], real: Tensor, fake: Tensor, level: float = 0.95, resamples: int = 40,
    seed: int = 0,
) -> tuple[float, float]:  # fmt: skip
    """Normal bootstrap interval (low, high) of a statistic of two sets (Efron & Tibshirani 1993, section 12.2): its value, and
    as many deviations to either side as `level` wants, taken over sets whose rows were drawn with replacement.

    Percentiles would not do: rows that are there twice make two sets look further apart, so all resamples lie to one side.
    """
    generator = torch.Generator().manual_seed(seed)

    def again(rows: Tensor) -> Tensor:
        return rows[torch.randint(len(rows), (len(rows),), generator=generator)]

    deviation = torch.tensor([statistic(again(real), again(fake)) for _ in range(resamples)], dtype=torch.float64).std()
    half = float(deviation * torch.special.ndtri(torch.tensor((1 + level) / 2, dtype=torch.float64)))
    value = statistic(real, fake)
    return value - half, value + half
