"""Losses: the mean squared error, the times it is taken at, and the weights, against torch and diffusers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from minidiff.diffusion.losses import TIME_SAMPLINGS, diffusion_loss, example_losses, min_snr_weight, sample_times
from minidiff.diffusion.prediction import PREDICTION_TYPES, target, to_x0_eps
from minidiff.diffusion.schedules import SCHEDULES, get_schedule


def batch(n: int = 6) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """pred, x0, eps (n, 4, 3, 3) and times (n,)."""
    generator = torch.Generator().manual_seed(0)
    pred, x0, eps = torch.randn(3, n, 4, 3, 3, generator=generator, dtype=torch.float64).unbind()
    return pred, x0, eps, torch.linspace(0.05, 0.95, n, dtype=torch.float64)


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_the_loss_is_the_mean_squared_error_to_the_target(schedule, prediction_type: str) -> None:
    pred, x0, eps, t = batch()
    loss = diffusion_loss(pred, x0, eps, t, schedule, prediction_type)
    assert loss.dtype == torch.float32
    assert_close(loss, F.mse_loss(pred, target(schedule, prediction_type, x0, eps, t)).float())


def test_a_perfect_prediction_loses_nothing() -> None:
    _, x0, eps, t = batch()
    pred = target(get_schedule("cosine"), "v", x0, eps, t)
    assert diffusion_loss(pred, x0, eps, t, get_schedule("cosine"), "v") == 0


def test_examples_have_their_own_losses_and_weights() -> None:
    pred, x0, eps, t = batch()
    args = (pred, x0, eps, t, get_schedule("flow"), "flow")
    losses = example_losses(*args)
    assert losses.shape == (6,)
    weight = torch.arange(6.0)
    assert_close(diffusion_loss(*args, weight=weight), (losses * weight).sum() / 6)
    assert_close(losses[2], example_losses(pred[2:3], x0[2:3], eps[2:3], t[2:3], get_schedule("flow"), "flow")[0])


def test_a_bfloat16_prediction_is_compared_in_float32() -> None:
    pred, x0, eps, t = (value.float() for value in batch())
    pred = pred.bfloat16().requires_grad_()
    loss = diffusion_loss(pred, x0, eps, t, get_schedule("cosine"), "v")
    loss.backward()
    expected = F.mse_loss(pred.float(), target(get_schedule("cosine"), "v", x0, eps, t))
    assert loss.dtype == torch.float32 and pred.grad is not None and pred.grad.abs().sum() > 0
    assert_close(loss, expected.detach(), check_dtype=False)


@pytest.mark.parametrize("prediction_type", ["eps", "v"])
def test_min_snr_is_that_of_the_diffusers_training_scripts(prediction_type: str) -> None:
    entries = torch.arange(0, 1000, 37)
    snr = compute_snr(DDPMScheduler(1000), entries).double()
    expected = snr.clamp(max=5.0) / (snr if prediction_type == "eps" else snr + 1)
    got = min_snr_weight(get_schedule("linear"), prediction_type, (entries.double() + 1) / 1000)
    assert_close(got, expected, rtol=1e-4, atol=1e-6)


@settings(deadline=None, max_examples=40)
@given(
    schedule=st.sampled_from(list(SCHEDULES.values())), prediction_type=st.sampled_from(PREDICTION_TYPES),
    t=st.floats(0.01, 0.99),
)  # fmt: skip
def test_with_min_snr_every_kind_has_the_same_loss(schedule, prediction_type: str, t: float) -> None:
    pred, x0, eps, _ = batch(1)
    time = torch.tensor([t], dtype=torch.float64)
    x = schedule.mix(x0, eps, time)
    x0_said, _ = to_x0_eps(schedule, prediction_type, pred, x, time)
    snr = (schedule.alpha(time) / schedule.sigma(time)) ** 2
    expected = snr.clamp(max=5) * (x0_said - x0).square().mean()
    error = pred - target(schedule, prediction_type, x0, eps, time)
    got = min_snr_weight(schedule, prediction_type, time) * error.square().mean()
    assert_close(got, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_min_snr_is_finite_at_the_ends(schedule, prediction_type: str) -> None:
    weight = min_snr_weight(schedule, prediction_type, torch.tensor([0.0, 1.0]))
    assert weight.isfinite().all() and (weight >= 0).all()


def test_min_snr_stops_a_little_before_the_ends_and_changes_nothing_between() -> None:
    schedule = get_schedule("cosine")
    t = torch.tensor([0.0, 1e-4, 2e-4, 1 - 2e-4, 1 - 1e-4, 1.0], dtype=torch.float64)
    weight = min_snr_weight(schedule, "x0", t)
    assert_close(weight[:3], torch.full((3,), 5.0, dtype=torch.float64))        # SNR is above 5 there
    snr = (schedule.alpha(t) / schedule.sigma(t)) ** 2
    assert_close(weight[3:], torch.stack([snr[3], snr[4], snr[4]]))
    assert_close(min_snr_weight(schedule, "eps", t)[1:3], 5 / snr[1:3])
    assert min_snr_weight(schedule, "eps", t)[0] == min_snr_weight(schedule, "eps", t)[1]


@pytest.mark.parametrize("how", TIME_SAMPLINGS)
def test_times_are_reproducible_and_in_range(how: str) -> None:
    first, second = (sample_times(1000, how, torch.Generator().manual_seed(3)) for _ in range(2))
    assert_close(first, second, rtol=0, atol=0)
    assert first.shape == (1000,) and first.dtype == torch.float32
    assert 0 <= first.min() and first.max() <= 1 and first.unique().numel() > 990
    assert not torch.equal(first, sample_times(1000, how, torch.Generator().manual_seed(4)))


def test_stratified_times_fall_one_into_each_part() -> None:
    t = sample_times(50, "stratified", torch.Generator().manual_seed(0))
    assert_close((t * 50).floor().long().sort().values, torch.arange(50))


@pytest.mark.parametrize(("how", "quartiles"), [
    ("uniform", [0.25, 0.5, 0.75]),
    ("logit_normal", [0.3375, 0.5, 0.6625]),        # sigmoid of the normal quartiles, -0.6745, 0, 0.6745
])
def test_times_have_their_distribution(how: str, quartiles: list[float]) -> None:
    t = sample_times(20_000, how, torch.Generator().manual_seed(0))
    assert_close(t.quantile(torch.tensor([0.25, 0.5, 0.75])), torch.tensor(quartiles), rtol=0, atol=0.01)


def test_an_unknown_way_to_sample_times_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'cosmap'.*uniform, stratified, logit_normal"):
        sample_times(4, "cosmap")
