"""The exact denoiser of a mixture of Gaussians, against Bayes' rule by brute force."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from minidiff.diffusion.analytic import mixture
from minidiff.diffusion.schedules import SCHEDULES, NoiseSchedule, get_schedule

times = st.floats(0.05, 1)


@settings(deadline=None, max_examples=40)
@given(
    schedule=st.sampled_from(list(SCHEDULES.values())),
    means=st.lists(st.floats(-2, 2), min_size=1, max_size=4),
    std=st.floats(0.2, 1),
    t=times,
)
def test_x0_is_the_mean_of_all_data_that_may_lie_behind_x(
    schedule: NoiseSchedule, means: list[float], std: float, t: float
) -> None:
    time = torch.tensor(t, dtype=torch.float64)
    alpha, sigma = schedule.alpha(time), schedule.sigma(time)
    x = torch.linspace(-3, 3, 7, dtype=torch.float64)
    data = torch.linspace(-10, 10, 20_001, dtype=torch.float64)
    prior = sum(torch.exp(-0.5 * ((data - mean) / std) ** 2) for mean in means)
    posterior = prior * torch.exp(-0.5 * ((x[:, None] - alpha * data) / sigma) ** 2)           # (7, 20001)
    expected = (posterior * data).sum(1) / posterior.sum(1)
    x0, eps = mixture(schedule, means, std)(x, time)
    assert_close(x0, expected, rtol=1e-6, atol=1e-8)
    assert_close(schedule.mix(x0, eps, time), x)


@pytest.mark.parametrize("t", [0.0, 1.0])
def test_it_is_finite_where_there_is_no_noise_and_where_there_is_no_data(t: float) -> None:
    schedule, x = get_schedule("flow"), torch.randn(2, 3, 4)
    x0, eps = mixture(schedule, [-1, 1], 0.3)(x, torch.tensor(t, dtype=torch.float64))
    assert x0.dtype == torch.float32 and eps.isfinite().all()
    assert_close(x0, x if t == 0 else torch.zeros_like(x))


def test_a_spread_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match=r"deviation is 0, but it must be above 0"):
        mixture(get_schedule("flow"), [0.0], 0)
