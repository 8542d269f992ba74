"""Noise schedules: their ends, their tables against diffusers; and every prediction type says the same (x0, eps)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from minidiff.diffusion.prediction import PREDICTION_TYPES, denoiser, target, to_x0_eps, weighted_sum
from minidiff.diffusion.schedules import SCHEDULES, NoiseSchedule, TableSchedule, get_schedule

quick = settings(deadline=None, max_examples=40)

TABLES = ["linear", "scaled_linear", "squaredcos_cap_v2"]
NO_DATA_AT_THE_END = ["cosine", "flow"]     # schedules whose alpha reaches 0

schedules = st.sampled_from(list(SCHEDULES.values()))
types = st.sampled_from(PREDICTION_TYPES)
times = st.floats(0, 1)


def double(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def reference(name: str) -> DDPMScheduler:
    start, end = {"scaled_linear": (0.00085, 0.012)}.get(name, (1e-4, 2e-2))
    return DDPMScheduler(1000, beta_schedule=name, beta_start=start, beta_end=end)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_time_0_is_exactly_the_data(schedule: NoiseSchedule, dtype: torch.dtype) -> None:
    zero = torch.zeros(1, dtype=dtype)
    assert schedule.alpha(zero) == 1 and schedule.sigma(zero) == 0 and schedule.log_snr_half(zero) == torch.inf


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NO_DATA_AT_THE_END)
def test_time_1_is_exactly_noise(name: str, dtype: torch.dtype) -> None:
    schedule, one = get_schedule(name), torch.ones(1, dtype=dtype)
    assert schedule.alpha(one) == 0 and schedule.sigma(one) == 1 and schedule.log_snr_half(one) == -torch.inf


@pytest.mark.parametrize("name", ["cosine", *TABLES])
def test_variance_is_preserved(name: str) -> None:
    schedule, t = get_schedule(name), torch.linspace(0, 1, 77, dtype=torch.float64)
    assert_close(schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2, torch.ones_like(t))


def test_flow_is_a_straight_line() -> None:
    x0, eps = torch.randn(2, 5, 3)
    t = torch.linspace(0, 1, 5)
    assert_close(get_schedule("flow").mix(x0, eps, t), torch.lerp(x0, eps, t[:, None]))


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_those_of_diffusers(name: str) -> None:
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    alpha_bar = reference(name).alphas_cumprod.double()
    assert_close(get_schedule(name).alpha(t) ** 2, alpha_bar, rtol=2e-4, atol=0)     # they are float32
    assert_close(get_schedule(name).timestep(t), torch.arange(1000, dtype=torch.float64))


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_no_entry_cleaner_than_0(name: str) -> None:
    """Training draws times down to 0, where 1000 t - 1 is below every index that a network knows."""
    assert_close(get_schedule(name).timestep(double(0, 1e-4, 1e-3, 2e-3)), double(0, 0, 0, 1))


@pytest.mark.parametrize("name", TABLES)
def test_mix_and_v_are_those_of_diffusers(name: str) -> None:
    x0, eps = torch.randn(2, 4, 3, 2, 2)
    entries = torch.tensor([0, 7, 500, 999])
    t = (entries + 1) / 1000
    assert_close(get_schedule(name).mix(x0, eps, t), reference(name).add_noise(x0, eps, entries), rtol=0, atol=2e-5)
    v = target(get_schedule(name), "v", x0, eps, t)
    assert_close(v, reference(name).get_velocity(x0, eps, entries), rtol=0, atol=2e-5)


def test_the_cosine_table_is_the_cosine_path_begun_late_and_cut() -> None:
    """Clean data never is quite clean: offset 0.008. Noise never is all there is: the last beta is 0.999."""
    t = torch.linspace(0.05, 0.95, 50, dtype=torch.float64)
    table, cosine = get_schedule("squaredcos_cap_v2"), get_schedule("cosine")
    assert_close(table.alpha(t), cosine.alpha((t + 0.008) / 1.008) / cosine.alpha(double(0.008 / 1.008)), rtol=1e-4, atol=0)
    assert 0 < table.alpha(double(1.0)) < 1e-4


@pytest.mark.parametrize("name", TABLES)
def test_between_entries_sigma_over_alpha_is_linear(name: str) -> None:
    """As Euler's scheduler has it."""
    schedule, entries = get_schedule(name), np.array([0.0, 0.25, 7.5, 500.9, 998.5, 999.0])
    t = (torch.from_numpy(entries) + 1) / 1000
    table = ((1 - reference(name).alphas_cumprod) / reference(name).alphas_cumprod).sqrt().numpy()
    expected = torch.from_numpy(np.interp(entries, np.arange(1000), table))
    assert_close(schedule.sigma(t) / schedule.alpha(t), expected, rtol=1e-3, atol=0, check_dtype=False)


@pytest.mark.parametrize("betas", [torch.full((10,), 0.1), torch.linspace(0, 0.5, 1000), torch.linspace(0.1, 1, 1000)])
def test_a_table_is_1000_betas_between_0_and_1(betas: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="must be 1000 betas between 0 and 1"):
        TableSchedule("mine", betas)


@quick
@given(a=st.sampled_from([0.0, 1.0, 0.3, -2.0]), b=st.sampled_from([0.0, 1.0, 0.3, -2.0]))
def test_a_weighted_sum(a: float, b: float) -> None:
    x, y = torch.randn(2, 3, 4, dtype=torch.float64)
    assert_close(weighted_sum(a, x, b, y), a * x + b * y)


@quick
@given(schedule=schedules, t=times, s=times)
def test_signal_to_noise_falls_with_time(schedule: NoiseSchedule, t: float, s: float) -> None:
    low, high = sorted((t, s))
    if high - low > 1e-9:
        assert schedule.log_snr_half(double(low)) > schedule.log_snr_half(double(high))


@quick
@given(schedule=schedules, t=times)
def test_time_is_the_inverse_of_log_snr(schedule: NoiseSchedule, t: float) -> None:
    assert_close(schedule.time(schedule.log_snr_half(double(t))), double(t), rtol=1e-9, atol=1e-12)


@quick
@given(schedule=schedules, prediction_type=types, t=st.floats(0.001, 0.999))
def test_every_kind_says_the_same(schedule: NoiseSchedule, prediction_type: str, t: float) -> None:
    x0, eps = torch.randn(2, 3, 4, dtype=torch.float64)
    x = schedule.mix(x0, eps, double(t))
    got = to_x0_eps(schedule, prediction_type, target(schedule, prediction_type, x0, eps, double(t)), x, double(t))
    assert_close(got, (x0, eps), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("t", [0.0, 1e-30, 1.0])
@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_ends_are_finite_and_explain_x(schedule: NoiseSchedule, prediction_type: str, t: float) -> None:
    x0, eps = torch.randn(2, 3, 4, dtype=torch.float64)
    time = torch.tensor(t, dtype=torch.float64)
    x = schedule.mix(x0, eps, time)
    got_x0, got_eps = to_x0_eps(schedule, prediction_type, target(schedule, prediction_type, x0, eps, time), x, time)
    assert got_x0.isfinite().all() and got_eps.isfinite().all()
    assert_close(schedule.mix(got_x0, got_eps, time), x)


@pytest.mark.parametrize("name", NO_DATA_AT_THE_END)
def test_where_x_and_prediction_say_the_same_the_unknown_is_its_mean(name: str) -> None:
    x, pred = torch.randn(2, 3, 4)
    x0, eps = to_x0_eps(get_schedule(name), "eps", pred, x, torch.tensor(1.0))
    assert_close((x0, eps), (torch.zeros_like(x), pred))
    x0, eps = to_x0_eps(get_schedule(name), "x0", pred, x, torch.tensor(0.0))
    assert_close((x0, eps), (pred, torch.zeros_like(x)))


@quick
@given(schedule=schedules, prediction_type=types)
def test_a_batch_of_times_is_each_on_its_own(schedule: NoiseSchedule, prediction_type: str) -> None:
    pred, x = torch.randn(2, 5, 2, 2, 2)
    t = torch.linspace(0, 1, 5)
    x0, eps = to_x0_eps(schedule, prediction_type, pred, x, t)
    for i in range(5):
        alone = to_x0_eps(schedule, prediction_type, pred[i : i + 1], x[i : i + 1], t[i])
        assert_close(alone, (x0[i : i + 1], eps[i : i + 1]), rtol=1e-5, atol=1e-5)


def test_x_keeps_its_dtype() -> None:
    schedule, x, t = get_schedule("cosine"), torch.randn(2, 3), torch.tensor(0.3, dtype=torch.float64)
    x0, eps = to_x0_eps(schedule, "v", x.bfloat16(), x, t)
    assert_close((x0, eps), to_x0_eps(schedule, "v", x.bfloat16().float(), x, t), rtol=0, atol=0)
    assert x0.dtype == eps.dtype == schedule.mix(x, x, torch.rand(2, dtype=torch.float64)).dtype == torch.float32


def test_a_network_is_fed_one_timestep_per_example() -> None:
    fed = []

    def network(x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        fed.append(timestep)
        return x

    for name in ("cosine", "flow", "linear"):
        denoiser(network, get_schedule(name), "v")(torch.randn(3, 2), torch.tensor(0.5, dtype=torch.float64))
    assert_close(fed, [torch.full((3,), value) for value in (500.0, 500.0, 499.0)])


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'sine'.*cosine, linear, scaled_linear, squaredcos_cap_v2, flow"):
        get_schedule("sine")
    with pytest.raises(ValueError, match="'noise'.*eps, x0, v, flow"):
        target(get_schedule("flow"), "noise", torch.zeros(1), torch.zeros(1), torch.zeros(1))
