"""Fused sampling: the same states as the plain samplers, for everything that can be asked of them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from minidiff.diffusion.prediction import PREDICTION_TYPES, denoiser
from minidiff.diffusion.samplers import SAMPLERS, State, run
from minidiff.diffusion.schedules import SCHEDULES, NoiseSchedule, get_schedule
from minidiff.diffusion.timesteps import SPACINGS, uniform
from minidiff.inference.fused_sampling import run_fused

quick = settings(deadline=None, max_examples=150)
X, *NOISE = torch.randn(12, 2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def network(x: Tensor, timestep: Tensor) -> Tensor:
    """Not linear in x, and told the time row by row."""
    return torch.sin(2 * x) + timestep.to(x.dtype).view(-1, 1, 1) / 1000


def both(name: str, schedule: NoiseSchedule, prediction_type: str, n: int, **settings: object) -> list[list[State]]:
    fresh = {"noise": lambda i: NOISE[i], **settings}
    plain = run(name, denoiser(network, schedule, prediction_type), X, schedule, n, **fresh)  # type: ignore[arg-type]
    return [list(plain), list(run_fused(name, network, X, schedule, prediction_type, n, **fresh))]  # type: ignore[arg-type]


@quick
@given(
    name=st.sampled_from(list(SAMPLERS)), schedule=st.sampled_from(list(SCHEDULES.values())),
    prediction_type=st.sampled_from(PREDICTION_TYPES), spacing=st.sampled_from([None, *SPACINGS]), n=st.integers(1, 10),
    eta=st.sampled_from([None, 0.0, 0.3, 1.0, float("inf")]),
)  # fmt: skip
def test_every_state_is_that_of_the_plain_sampler(
    name: str, schedule: NoiseSchedule, prediction_type: str, spacing: str | None, n: int, eta: float | None
) -> None:
    eta = None if name == "heun" else eta
    plain, fused = both(name, schedule, prediction_type, n, timesteps=spacing, eta=eta)
    assert len(plain) == len(fused) == n
    for ours, theirs in zip(fused, plain, strict=True):
        assert (ours.index, ours.n, ours.t, ours.s) == (theirs.index, theirs.n, theirs.t, theirs.s)
        assert_close(ours.x, theirs.x, rtol=1e-8, atol=1e-8 * float(theirs.x.abs().max()))
        assert_close(ours.x0, theirs.x0, rtol=1e-8, atol=1e-8 * float(theirs.x0.abs().max()))


@quick
@given(name=st.sampled_from(list(SAMPLERS)), schedule=st.sampled_from(list(SCHEDULES.values())), n=st.integers(2, 6))
def test_sampling_goes_on_from_what_a_state_was_changed_to(name: str, schedule: NoiseSchedule, n: int) -> None:
    ends = []
    fresh = {"noise": lambda i: NOISE[i], "timesteps": "uniform"}
    for states in (
        run(name, denoiser(network, schedule, "v"), X, schedule, n, **fresh),  # type: ignore[arg-type]
        run_fused(name, network, X, schedule, "v", n, **fresh),  # type: ignore[arg-type]
    ):
        for state in states:
            state.x = state.x + NOISE[-1] * (state.index + 1)
        ends.append(state.x)
    untouched = both(name, schedule, "v", n, timesteps="uniform")[0][-1].x
    assert_close(ends[1], ends[0], rtol=1e-8, atol=1e-8 * float(ends[0].abs().max()))
    assert float((ends[0] - NOISE[-1] * n - untouched).abs().max()) > 1e-3, "only the last change counts"


def test_times_may_be_given_and_the_network_is_fed_one_timestep_per_example() -> None:
    fed: list[Tensor] = []

    def listening(x: Tensor, timestep: Tensor) -> Tensor:
        fed.append(timestep)
        return x

    schedule = get_schedule("linear")
    states = list(run_fused("ddim", listening, X, schedule, "v", 2, timesteps=torch.tensor([0.75, 0.5, 0.0])))
    assert [(state.t, state.s) for state in states] == [(0.75, 0.5), (0.5, 0.0)]
    assert_close(torch.stack(fed), torch.tensor([[749.0] * 2, [499.0] * 2]))


def test_a_flow_s_euler_step_is_two_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for the x0 that is shown and one for the next x: neither multiplies by 1."""
    done: list[str] = []

    class Counting(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            done.append(str(func))
            return func(*args, **(kwargs or {}))

    states = run_fused("euler", lambda x, timestep: x, X, get_schedule("flow"), "flow", 20)
    next(states)
    for _ in range(18):
        done.clear()
        with Counting():
            next(states)
        assert done == ["aten.add.Tensor"] * 2


def test_noise_is_drawn_where_none_is_given_and_not_into_clean_data() -> None:
    drawn: list[int] = []
    list(run_fused("ddpm", network, X, get_schedule("cosine"), "v", 4, noise=lambda i: drawn.append(i) or NOISE[i]))
    assert drawn == [0, 1, 2]
    once, again = (list(run_fused("ddpm", network, X, get_schedule("cosine"), "v", 4))[-1].x for _ in range(2))
    assert not torch.allclose(once, again)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "plms"}, "no sampler called 'plms'"),
        ({"steps": 0}, "Steps is 0"),
        ({"steps": True}, "Steps is True"),
        ({"eta": -1.0}, "eta is -1.0"),
        ({"name": "heun", "eta": 0.5}, "Heun adds no noise"),
        ({"timesteps": "even"}, "no spacing called 'even'"),
        ({"timesteps": uniform(get_schedule("cosine"), 5)}, "make 5 steps, but steps is 4"),
        ({"timesteps": torch.tensor([0.0, 1.0])}, "falling times"),
    ],
)
def test_it_refuses_what_the_plain_sampler_refuses_at_once(given: dict, message: str) -> None:
    given = {"name": "ddim", "steps": 4, **given}
    with pytest.raises(ValueError, match=message):
        run_fused(given.pop("name"), network, X, get_schedule("cosine"), "v", given.pop("steps"), **given)
