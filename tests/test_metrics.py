"""The small metrics against the libraries everybody quotes, with the same images and the same features."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minidiff.evaluate import metrics


@pytest.fixture
def images() -> tuple[torch.Tensor, torch.Tensor]:
    """Four smooth colour images (B, 3, 40, 48) and noisier versions of them."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(4, 3, 5, 6, generator=generator)
    a = torch.nn.functional.interpolate(coarse, size=(40, 48), mode="bilinear").clamp(0, 1)
    noise = torch.randn(a.shape, generator=generator) * torch.tensor([0.01, 0.05, 0.1, 0.3]).view(4, 1, 1, 1)
    return a, (a + noise).clamp(0, 1)


@pytest.fixture
def features() -> tuple[torch.Tensor, torch.Tensor]:
    """Correlated features (200, 12) and (180, 12) of two overlapping clouds."""
    generator = torch.Generator().manual_seed(1)
    mix = torch.randn(12, 12, generator=generator)
    return torch.randn(200, 12, generator=generator) @ mix, torch.randn(180, 12, generator=generator) @ mix * 1.3 + 0.5


def test_psnr_is_that_of_scikit_image_and_torchmetrics(images):
    from skimage.metrics import peak_signal_noise_ratio
    from torchmetrics.functional.image import peak_signal_noise_ratio as torchmetrics_psnr

    a, b = images
    ours = metrics.psnr(a, b)
    theirs = [peak_signal_noise_ratio(x.numpy(), y.numpy(), data_range=1.0) for x, y in zip(a, b, strict=True)]
    torch.testing.assert_close(ours, torch.tensor(theirs, dtype=torch.float32), rtol=1e-5, atol=1e-4)
    each = torchmetrics_psnr(a, b, data_range=1.0, reduction="none", dim=(1, 2, 3))
    torch.testing.assert_close(ours, each, rtol=1e-4, atol=1e-3)


def test_psnr_of_equal_images_is_infinite(images):
    assert torch.isinf(metrics.psnr(images[0], images[0])).all()


def test_psnr_counts_the_data_range(images):
    a, b = images
    torch.testing.assert_close(metrics.psnr(a, b), metrics.psnr(a * 255, b * 255, data_range=255.0))


def test_ssim_is_that_of_scikit_image(images):
    from skimage.metrics import structural_similarity

    a, b = images
    theirs = [
        structural_similarity(
            x.double().numpy(), y.double().numpy(), channel_axis=0, data_range=1.0,
            gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        )
        for x, y in zip(a, b, strict=True)
    ]
    torch.testing.assert_close(metrics.ssim(a, b), torch.tensor(theirs, dtype=torch.float32), rtol=0, atol=1e-6)


def test_ssim_is_that_of_torchmetrics(images):
    from torchmetrics.functional.image import structural_similarity_index_measure

    a, b = images
    _, full = structural_similarity_index_measure(
        a.double(), b.double(), sigma=1.5, kernel_size=11, data_range=1.0, reduction="none", return_full_image=True
    )
    theirs = full[..., 5:-5, 5:-5].mean(dim=(1, 2, 3))  # its border holds reflected pixels, which we do not count
    torch.testing.assert_close(metrics.ssim(a, b), theirs.float(), rtol=0, atol=1e-6)


def test_frechet_distance_is_that_of_torch_fidelity_and_torchmetrics(features):
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torchmetrics.image.fid import _compute_fid

    real, fake = (x.double() for x in features)
    ours = metrics.frechet_distance(real, fake)
    stats = [fid_features_to_statistics(x) for x in (real, fake)]
    fidelity = fid_statistics_to_metric(*stats, verbose=False)["frechet_inception_distance"]
    other = _compute_fid(real.mean(0), real.T.cov(), fake.mean(0), fake.T.cov())
    assert ours == pytest.approx(fidelity, rel=1e-7)
    assert ours == pytest.approx(float(other), rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 3.0), st.floats(-2.0, 2.0))
def test_frechet_distance_of_a_scaled_and_shifted_set_is_known(scale, shift):
    """With C2 = s^2 C1 the distance is |m1 - m2|^2 + (s - 1)^2 tr C1, whatever the set."""
    x = torch.randn(100, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    y = x * scale + shift
    expected = (x.mean(0) - y.mean(0)).square().sum() + (scale - 1) ** 2 * x.T.cov().trace()
    assert metrics.frechet_distance(x, y) == pytest.approx(float(expected), abs=1e-8)


def test_frechet_distance_survives_fewer_rows_than_columns():
    x = torch.randn(5, 20, generator=torch.Generator().manual_seed(3))
    assert metrics.frechet_distance(x, x) == pytest.approx(0.0, abs=1e-6)


def test_mmd_is_that_of_torch_fidelity_and_torchmetrics(features):
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torchmetrics.image.kid import poly_mmd

    x, y = (f[:150].double() for f in features)
    ours, deviation = metrics.kid(x, y, subsets=3, subset_size=150)
    theirs = kid_features_to_metric(
        x, y, kid_subsets=1, kid_subset_size=150, kid_kernel="poly", kid_kernel_poly_degree=3,
        kid_kernel_poly_gamma=None, kid_kernel_poly_coef0=1, rng_seed=0, verbose=False,
    )
    assert ours == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-9)
    assert ours == pytest.approx(float(poly_mmd(x, y)), rel=1e-9)
    assert deviation == pytest.approx(0.0, abs=1e-9)             # a subset of everything is always the same one


def test_kid_over_subsets_spreads_around_the_whole(features):
    """Mean and deviation over many subsets agree with torch-fidelity's, drawn by another generator."""
    from torch_fidelity.metric_kid import kid_features_to_metric

    x, y = (f.double() for f in features)
    mean, deviation = metrics.kid(x, y, subsets=800, subset_size=60)
    theirs = kid_features_to_metric(
        x, y, kid_subsets=800, kid_subset_size=60, kid_kernel="poly", kid_kernel_poly_degree=3,
        kid_kernel_poly_gamma=None, kid_kernel_poly_coef0=1, rng_seed=0, verbose=False,
    )
    error = theirs["kernel_inception_distance_std"] / math.sqrt(800)
    assert abs(mean - theirs["kernel_inception_distance_mean"]) < 6 * error
    assert deviation == pytest.approx(theirs["kernel_inception_distance_std"], rel=0.15)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_precision_and_recall_are_those_of_torch_fidelity(features, k):
    from torch_fidelity.metric_prc import calculate_precision_recall_full

    real, fake = (f.double() for f in features)
    ours = metrics.precision_recall(real, fake, k=k)
    assert ours == pytest.approx(calculate_precision_recall_full(fake, real, neighborhood=k))
    assert ours[0] != ours[1]                                    # so that swapping the two cannot pass


def test_mode_collapse_shows_in_recall_not_in_precision(features):
    real = features[0]
    collapsed = real[:10].repeat(20, 1)
    precision, recall = metrics.precision_recall(real, collapsed)
    assert precision == 1.0 and recall < 0.2


def test_perceptual_distance_is_lpips_with_unit_weights():
    from torchmetrics.functional.image.lpips import _LPIPS

    torch.manual_seed(0)
    net = _LPIPS(pretrained=False, net="squeeze", pnet_rand=True, use_dropout=False).eval()
    for layer in net.lins:
        layer.model[-1].weight.data.fill_(1.0)
    a, b = torch.rand(2, 3, 64, 64) * 2 - 1, torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        theirs = net(a, b).flatten()
        ours = metrics.perceptual_distance(net.net(net.scaling_layer(a)), net.net(net.scaling_layer(b)))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_channels_are_weighed_as_they_are_given():
    torch.manual_seed(0)
    a, b = [torch.rand(2, 4, 5, 5)], [torch.rand(2, 4, 5, 5)]
    plain = metrics.perceptual_distance(a, b)
    torch.testing.assert_close(metrics.perceptual_distance(a, b, [torch.full((4,), 3.0)]), 3 * plain)
    first = metrics.perceptual_distance(a, b, [torch.tensor([1.0, 0, 0, 0])])
    x, y = (torch.nn.functional.normalize(one[0], dim=1)[:, 0] for one in (a, b))
    torch.testing.assert_close(first, (x - y).square().mean(dim=(1, 2)))


def test_spread_interval_is_as_wide_as_the_statistic_spreads(features):
    """Of a difference of means, whose deviation is known."""
    x, y = (f[:, :1].double() for f in features)

    def difference(real, fake):
        return float(fake.mean() - real.mean())

    low, high = metrics.spread_interval(difference, x, y, resamples=400)
    half = 1.96 * math.sqrt(float(x.var()) / len(x) + float(y.var()) / len(y))
    assert (high - low) / 2 == pytest.approx(half, rel=0.15)
    assert (high + low) / 2 == pytest.approx(difference(x, y))
    low, high = metrics.spread_interval(metrics.frechet_distance, *features)
    assert low < metrics.frechet_distance(*features) < high


def test_bootstrap_interval_has_the_width_of_a_binomial():
    low, high = metrics.bootstrap_interval([1.0] * 270 + [0.0] * 30)
    half = 1.96 * math.sqrt(0.9 * 0.1 / 300)
    assert low == pytest.approx(0.9 - half, abs=0.004) and high == pytest.approx(0.9 + half, abs=0.004)
    assert all(np.isnan(metrics.bootstrap_interval([])))


def test_misuse_is_told_in_a_sentence():
    with pytest.raises(ValueError, match="equal shape"):
        metrics.psnr(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 17))
    with pytest.raises(ValueError, match="at least 11"):
        metrics.ssim(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match="Features must be"):
        metrics.frechet_distance(torch.zeros(4, 3), torch.zeros(4, 2))
    with pytest.raises(ValueError, match="same number of layers"):
        metrics.perceptual_distance([], [])
