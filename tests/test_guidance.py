"""Guidance: what it costs, what it touches, and that its (x0, eps) still explain x."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from minidiff.diffusion.guidance import cfg, clip_x0, combine
from minidiff.diffusion.prediction import PREDICTION_TYPES, Denoiser, denoiser, to_x0_eps
from minidiff.diffusion.schedules import SCHEDULES, NoiseSchedule, get_schedule

HALF = torch.tensor(0.5, dtype=torch.float64)
COSINE = get_schedule("cosine")


class Network:
    """A network of any type under 2 conditions and, after them, 2 empty ones; it notes how many rows it was given."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.conditions = torch.randn(4, 5, 2, 2, dtype=torch.float64)      # (2B, C, H, W)

    def __call__(self, x: Tensor, timestep: Tensor) -> Tensor:
        self.rows.append(len(x))
        return torch.tanh(x) + self.conditions[: len(x)]


def pair(prediction_type: str = "v", schedule: NoiseSchedule = COSINE) -> tuple[Network, Denoiser, Tensor]:
    torch.manual_seed(0)
    network = Network()
    return network, denoiser(network, schedule, prediction_type), torch.randn(2, 5, 2, 2, dtype=torch.float64)


def test_scale_1_costs_one_evaluation() -> None:
    network, model, x = pair()
    got = cfg(model, 1.0)(x, HALF)
    assert network.rows == [2]
    assert_close(got, model(x, HALF))


def test_any_other_scale_is_one_evaluation_of_both_halves() -> None:
    network, model, x = pair()
    cfg(model, 3.0)(x, HALF)
    assert network.rows == [4]


def test_every_channel_is_guided() -> None:
    """Code that has been copied far and wide guides the first 3 of 4 latent channels, as if they were colours."""
    _, model, x = pair()
    weak, strong = cfg(model, 1.0)(x, HALF), cfg(model, 4.0)(x, HALF)
    for before, after in zip(weak, strong, strict=True):
        assert ((after - before).abs().amax((0, 2, 3)) > 1e-3).all()


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_row_i_is_guided_by_condition_i_and_the_empty_one_n_rows_on(n: int) -> None:
    def model(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        row = torch.arange(len(x), dtype=x.dtype)
        return x + row, x - row

    x, row = torch.randn(n, dtype=torch.float64), torch.arange(n)
    assert_close(cfg(model, 3.0)(x, HALF), (x + row - 2 * n, x - row + 2 * n))      # u + 3 (c - u), where u is c + n


def test_scale_0_is_the_unconditional_half() -> None:
    _, model, x = pair()
    both = model(torch.cat([x, x]), HALF)
    assert_close(cfg(model, 0.0)(x, HALF), (both[0][2:], both[1][2:]))


@settings(deadline=None, max_examples=40)
@given(
    schedule=st.sampled_from(list(SCHEDULES.values())),
    prediction_type=st.sampled_from(PREDICTION_TYPES),
    scale=st.floats(0, 15),
    t=st.floats(0.05, 0.95),
)
def test_guiding_x0_and_eps_is_guiding_the_prediction(
    schedule: NoiseSchedule, prediction_type: str, scale: float, t: float
) -> None:
    network, model, x = pair(prediction_type, schedule)
    time = torch.tensor(t, dtype=torch.float64)
    conditional, unconditional = network(torch.cat([x, x]), time).chunk(2)
    pred = unconditional + scale * (conditional - unconditional)
    x0, eps = cfg(model, scale)(x, time)
    assert_close((x0, eps), to_x0_eps(schedule, prediction_type, pred, x, time))
    assert_close(schedule.mix(x0, eps, time), x)


@pytest.mark.parametrize(("t", "rows"), [(0.1, 2), (0.3, 4), (0.5, 4), (0.8, 4), (0.9, 2)])
def test_outside_the_interval_there_is_no_guidance(t: float, rows: int) -> None:
    network, model, x = pair()
    cfg(model, 3.0, interval=(0.3, 0.8))(x, torch.tensor(t, dtype=torch.float64))
    assert network.rows == [rows]


@pytest.mark.parametrize("t", [0.0, 0.5, 1.0])
def test_a_schedule_changes_nothing_without_a_rescale(t: float) -> None:
    _, model, x = pair()
    time = torch.tensor(t, dtype=torch.float64)
    assert_close(cfg(model, 3.0, schedule=COSINE)(x, time), cfg(model, 3.0)(x, time), rtol=0, atol=0)


@pytest.mark.parametrize("amount", [0.3, 1.0])
def test_rescale_brings_each_picture_to_the_conditional_deviation(amount: float) -> None:
    _, model, x = pair()
    plain, conditional = cfg(model, 6.0)(x, HALF)[0], model(x, HALF)[0]
    x0, eps = cfg(model, 6.0, rescale=amount, schedule=COSINE)(x, HALF)
    for i in range(2):
        expected = (1 - amount) * plain[i].std() + amount * conditional[i].std()
        assert_close(x0[i].std(), expected)
        assert_close(x0[i] / x0[i].std(), plain[i] / plain[i].std())
    assert_close(COSINE.mix(x0, eps, HALF), x)


def test_clipped_x0_stays_inside_and_explains_x() -> None:
    _, model, x = pair()
    x0, eps = clip_x0(model, COSINE, 0.5)(x, HALF)
    assert model(x, HALF)[0].abs().max() > 0.5 == x0.abs().max()
    assert_close(COSINE.mix(x0, eps, HALF), x)


@pytest.mark.parametrize(("options", "limit"), [({}, 1.0), ({"limit": 0.5}, 0.5)])
def test_only_what_lies_outside_the_limit_is_moved_to_it(options: dict[str, float], limit: float) -> None:
    x = torch.tensor([[-3.0, -0.4, 0.2, 3.0]], dtype=torch.float64)
    x0, _ = clip_x0(lambda x, t: (x, x), COSINE, **options)(x, HALF)
    assert_close(x0, torch.tensor([[-limit, -0.4, 0.2, limit]], dtype=torch.float64))


def test_combine_goes_beyond_the_conditional() -> None:
    assert_close(combine(torch.tensor([2.0]), torch.tensor([1.0]), 7.0), torch.tensor([8.0]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale": float("nan")}, "scale is nan"),
        ({"scale": float("inf")}, "scale is inf"),
        ({"scale": -1.0}, "scale is -1.0"),
        ({"scale": 3.0, "interval": (0.8, 0.2)}, "interval is"),
        ({"scale": 3.0, "interval": (-0.1, 0.2)}, "interval is"),
        ({"scale": 3.0, "interval": (0.8, 1.1)}, "interval is"),
        ({"scale": 3.0, "rescale": -0.5, "schedule": COSINE}, "rescale is -0.5"),
        ({"scale": 3.0, "rescale": 2.0, "schedule": COSINE}, "rescale is 2.0"),
        ({"scale": 3.0, "rescale": 0.5}, "pass `schedule`"),
    ],
)
def test_what_cannot_be_done_is_refused_at_the_door(settings: dict, message: str) -> None:
    _, model, _ = pair()
    with pytest.raises(ValueError, match=message):
        cfg(model, **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"interval": (0.5, 0.5)}, {"interval": (0.0, 1.0)}, {"rescale": 0.0}, {"rescale": 1.0, "schedule": COSINE},
        {"rescale": 0.0, "schedule": COSINE}, {"scale": 0.0},
    ],
)  # fmt: skip
def test_the_ends_of_what_is_allowed_are_allowed(settings: dict) -> None:
    _, model, x = pair()
    x0, eps = cfg(model, **{"scale": 3.0, **settings})(x, HALF)
    assert_close(COSINE.mix(x0, eps, HALF), x)


@pytest.mark.parametrize("limit", [0, -1.0])
def test_a_limit_of_zero_or_below_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match=f"limit of x0 is {limit}"):
        clip_x0(pair()[1], COSINE, limit)
