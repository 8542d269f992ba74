"""Samplers: step by step the same as the schedulers of diffusers, and the properties that hold for any of them.

The network is an analytic one: the exact denoiser of a mixture of two Gaussians. Noise is injected into both sides. The
references insist on float32; here they are made to compute in float64, so that "the same" means seven digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, product
from types import ModuleType
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity_table import Agree
from torch import Tensor
from torch.testing import assert_close

from minidiff.diffusion.analytic import mixture
from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import PREDICTION_TYPES, Denoiser, denoiser, target, to_x0_eps
from minidiff.diffusion.samplers import (
    ALIASES,
    SAMPLERS,
    State,
    get_sampler,
    heun,
    lookaheads,
    run,
    sample,
    step,
    step_weights,
)
from minidiff.diffusion.schedules import SCHEDULES, TABLE_LENGTH, NoiseSchedule, get_schedule
from minidiff.diffusion.timesteps import SPACINGS, flow_shift, get_spacing, karras, leading, trailing, uniform

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")      # numpy's, inside diffusers
quick = settings(deadline=None, max_examples=40)
schedules = st.sampled_from(list(SCHEDULES.values()))
names = st.sampled_from(list(SAMPLERS))
SHAPE = (3, 2, 2, 2)


def model_of(schedule: NoiseSchedule) -> Denoiser:
    """Exact for data that is N(1, 0.3^2) or N(-1, 0.3^2) with equal chances, pixel by pixel. For any x (B, ...)."""
    return mixture(schedule, [-1, 1], 0.3)


def predict(schedule: NoiseSchedule, prediction_type: str, x: Tensor, t: Tensor) -> Tensor:
    """What a perfect network of this prediction type says."""
    return target(schedule, prediction_type, *model_of(schedule)(x, t), t)


def by_type(schedule: NoiseSchedule, prediction_type: str) -> Denoiser:
    """The same denoiser by way of such a network."""
    return lambda x, t: to_x0_eps(schedule, prediction_type, predict(schedule, prediction_type, x, t), x, t)


def start(seed: int = 0) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


NOISE = [start(1000 + index) for index in range(20)]


def fresh(index: int) -> Tensor:
    """The noise of a step."""
    return NOISE[index % len(NOISE)]


def last(states) -> Tensor:
    return [state.x for state in states][-1]


# ---------------------------------------------------------------------------------------------- parity with diffusers

BETAS = {
    "linear": {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 2e-2},
    "scaled_linear": {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    "squaredcos_cap_v2": {"beta_schedule": "squaredcos_cap_v2"},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},       # continuous, unknown there: is given our table or sigmas
}
PREDICTIONS = {"eps": "epsilon", "x0": "sample", "v": "v_prediction", "flow": "flow_prediction"}


class InDouble:
    """A module in which float32 is float64."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, "float64" if name == "float32" else name)


@dataclass(frozen=True)
class Row:
    """A row of the parity table: a sampler, and the scheduler of diffusers that must do the same.

    state: what the scheduler calls x. "x"; or "x / alpha", as if noise were added to data that stays as it is; or "flow".
    types: the predictions the scheduler understands. no_spacings: those it cannot follow, for a reason told beside it.
    """

    sampler: str
    scheduler: str
    state: str = "x"
    types: Sequence[str] = ("eps", "x0", "v")
    no_spacings: Sequence[str] = ()
    config: tuple[tuple[str, Any], ...] = ()
    eta: float | None = None
    noise: str = ""         # how it is told the noise: the argument's name, or "drawn" by itself


PLAIN = (("clip_sample", False),)
STABLE_DIFFUSION = (*PLAIN, ("set_alpha_to_one", False), ("steps_offset", 1))
SDE = (("algorithm_type", "sde-dpmsolver++"),)
FLOW = (("use_flow_sigmas", True),)
# DDIMScheduler goes to the entry 1000 // n below, whatever the next timestep is: with linspace it asks the network about
# other times than those it steps to. It and DDPMScheduler know entries only, and Karras' times lie between them.
DDIM_GRIDS, DDPM_GRIDS = ("linspace", "karras"), ("karras",)
ROWS = {
    "DDIM": Row("ddim", "DDIMScheduler", config=PLAIN, no_spacings=DDIM_GRIDS),
    "DDIM to entry 0": Row("ddim", "DDIMScheduler", config=STABLE_DIFFUSION, no_spacings=DDIM_GRIDS),
    "DDIM, eta 0.4": Row("ddim", "DDIMScheduler", config=PLAIN, no_spacings=DDIM_GRIDS, eta=0.4, noise="variance_noise"),
    "DDIM, eta 1": Row("ddpm", "DDIMScheduler", config=PLAIN, no_spacings=DDIM_GRIDS, eta=1.0, noise="variance_noise"),
    "DDPM": Row("ddpm", "DDPMScheduler", config=PLAIN, no_spacings=DDPM_GRIDS, noise="drawn"),
    "Euler": Row("euler", "EulerDiscreteScheduler", state="x / alpha"),
    "Euler A": Row(     # its x0 prediction is not implemented
        "euler_a", "EulerAncestralDiscreteScheduler", state="x / alpha", types=("eps", "v"), noise="drawn"
    ),
    "Heun": Row("heun", "HeunDiscreteScheduler", state="x / alpha"),
    "DPM++ 2M": Row("dpmpp_2m", "DPMSolverMultistepScheduler"),
    "DPM++ 2M SDE": Row("dpmpp_2m_sde", "DPMSolverMultistepScheduler", config=SDE, noise="variance_noise"),
    "flow Euler": Row("euler", "FlowMatchEulerDiscreteScheduler", state="flow", types=("flow",)),
    "flow DPM++ 2M": Row("dpmpp_2m", "DPMSolverMultistepScheduler", state="flow", types=("flow", "x0"), config=FLOW),
    "flow DPM++ 2M SDE": Row(
        "dpmpp_2m_sde", "DPMSolverMultistepScheduler", state="flow", types=("flow", "x0"), config=(*FLOW, *SDE),
        noise="variance_noise",
    ),
}  # fmt: skip


def possible() -> list[tuple[str, str, str]]:
    """(row, schedule, timesteps) of all that exists on both sides."""
    found = []
    for (title, row), name, timesteps in product(ROWS.items(), [*BETAS, "flow"], ["leading", "trailing", "linspace", "karras"]):
        if (row.state == "flow") != (name == "flow") or timesteps in row.no_spacings:
            continue
        # There the first sigma / alpha is infinite, and these schedulers know x or its times by that number only.
        if name == "cosine" and timesteps in ("trailing", "linspace") and not row.scheduler.startswith("DD"):
            continue
        found.append((title, name, timesteps))
    return found


def our_times(row: Row, schedule: NoiseSchedule, name: str, n: int) -> Tensor:
    """As the row's scheduler has it: Stable Diffusion begins one entry later and ends at entry 0."""
    if row.config != STABLE_DIFFUSION:
        return get_spacing(name)(schedule, n)
    timesteps = leading(schedule, n, offset=1) if name == "leading" else get_spacing(name)(schedule, n)
    timesteps[-1] = 1 / TABLE_LENGTH
    return timesteps


@cache
def reference(title: str, schedule: NoiseSchedule, prediction_type: str, spacing: str) -> Any:
    """The row's scheduler."""
    row, options = ROWS[title], dict(BETAS.get(schedule.name, {}), prediction_type=PREDICTIONS[prediction_type])
    if row.scheduler.startswith("DD"):
        options["timestep_spacing"] = spacing
    if row.scheduler.startswith("Flow"):
        options.clear()
    return getattr(diffusers, row.scheduler)(**options, **dict(row.config))


def drive(scheduler: Any, row: Row, schedule: NoiseSchedule, timesteps: Tensor) -> None:
    """Make it follow the timesteps. What it goes by is its table of alpha^2 or its sigmas; the latter are ours, and the
    former too where it has no such table."""
    n = len(timesteps) - 1
    scheduler.set_timesteps(n, **({"sigmas": timesteps[:-1].numpy()} if row.scheduler.startswith("Flow") else {}))
    table = schedule.alpha(torch.arange(1, TABLE_LENGTH + 1, dtype=torch.float64) / TABLE_LENGTH) ** 2
    if schedule.name in ("linear", "scaled_linear", "squaredcos_cap_v2"):
        assert_close(scheduler.alphas_cumprod, table, rtol=1e-9, atol=0)
    if row.scheduler.startswith("DD"):
        entries = (timesteps[:-1] * TABLE_LENGTH - 1).round().long()
        if row.scheduler == "DDPMScheduler":
            scheduler.timesteps = entries       # with one step its linspace would take the cleanest entry
        assert_close(scheduler.timesteps, entries)
        scheduler.alphas_cumprod = table
        if row.config == STABLE_DIFFUSION:
            scheduler.final_alpha_cumprod = table[0]
        return
    scheduler.set_begin_index(0)
    scheduler.is_scale_input_called = True
    sigmas = timesteps if row.state == "flow" else torch.exp(-schedule.log_snr_half(timesteps))
    scheduler.sigmas = each_inner_twice(sigmas) if row.sampler == "heun" else sigmas


def each_inner_twice(values: Tensor) -> Tensor:
    """Heun's scheduler takes a step in two turns."""
    return torch.cat([values[:1], values[1:-1].repeat_interleave(2), values[-1:]])


def follow(
    title: str, schedule: NoiseSchedule, name: str, n: int, prediction_type: str, monkeypatch: pytest.MonkeyPatch
) -> list[Tensor]:
    """The states of the row's scheduler, as x."""
    row, draws, states = ROWS[title], iter(NOISE), []
    timesteps = our_times(row, schedule, name, n)
    scheduler = reference(title, schedule, prediction_type, name)
    drive(scheduler, row, schedule, timesteps)
    if row.noise == "drawn":
        monkeypatch.setattr(f"{type(scheduler).__module__}.randn_tensor", lambda *_, **__: next(draws))
    asked = each_inner_twice(timesteps)[:-1] if row.sampler == "heun" else timesteps[:-1]
    scale = schedule.alpha if row.state == "x / alpha" else torch.ones_like
    x = start() / scale(timesteps[0])
    for i, (timestep, t) in enumerate(zip(scheduler.timesteps, asked, strict=True)):
        extra: dict[str, Any] = {"variance_noise": fresh(i)} if row.noise == "variance_noise" else {}
        if row.eta is not None:
            extra["eta"] = row.eta
        x = scheduler.step(predict(schedule, prediction_type, scale(t) * x, t), timestep, x, **extra).prev_sample
        states.append(x)
    if row.sampler == "heun":
        states = [*states[1::2], states[-1]]        # the others are looks ahead; the last step has one turn
    return [scale(s) * x for s, x in zip(timesteps[1:], states, strict=True)]


@pytest.mark.parity("sampler, {title}", "diffusers, every schedule, spacing and prediction type, 1 to 20 steps")
@pytest.mark.parametrize(("title", "name", "spacing"), possible())
def test_each_state_is_that_of_diffusers(
    title: str, name: str, spacing: str, monkeypatch: pytest.MonkeyPatch, agree: Agree
) -> None:
    """For 1, 2, 5 and 20 steps and every prediction type. A type that the scheduler doesn't know, or that says nothing
    of x0 at the first time, is compared with one that it does know: all say the same."""
    schedule, row = get_schedule(name), ROWS[title]
    module = f"{getattr(diffusers, row.scheduler).__module__}"
    monkeypatch.setattr(f"{module}.torch", InDouble(torch))
    monkeypatch.setattr(f"{module}.np", InDouble(np))
    for n, prediction_type in [*product((1, 2, 5), PREDICTION_TYPES), (20, "v")]:
        timesteps = our_times(row, schedule, spacing, n)
        known = prediction_type in row.types and (prediction_type != "eps" or schedule.alpha(timesteps[0]) > 0)
        theirs = follow(title, schedule, spacing, n, prediction_type if known else row.types[-1], monkeypatch)
        model = by_type(schedule, prediction_type)
        states = run(row.sampler, model, start(), schedule, n, timesteps=timesteps, noise=fresh, eta=row.eta)
        agree(torch.stack([state.x for state in states]), torch.stack(theirs), rtol=1e-7, atol=1e-7)


# ------------------------------------------------------------------------------------------------------------ the spacings


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_spacings_are_those_of_diffusers(spacing: str) -> None:
    """For any number of steps. For one step, the reference's linspace takes the cleanest entry, from which no picture
    comes; for some numbers from 61 on, its trailing has an entry -1 too many."""
    scheduler = diffusers.DDIMScheduler(timestep_spacing=spacing)
    for n in range(2 if spacing == "linspace" else 1, 1001):
        scheduler.set_timesteps(n)
        theirs = torch.cat([(scheduler.timesteps[:n].double() + 1) / TABLE_LENGTH, torch.zeros(1)])
        assert_close(SPACINGS[spacing](get_schedule("linear"), n), theirs)


@pytest.mark.parametrize("name", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_the_karras_grid_is_that_of_diffusers(name: str) -> None:
    schedule = get_schedule(name)
    scheduler = diffusers.DPMSolverMultistepScheduler(**BETAS[name], use_karras_sigmas=True)
    for n in (1, 2, 5, 20, 100):
        scheduler.set_timesteps(n)
        ours = torch.exp(-schedule.log_snr_half(karras(schedule, n)))
        assert_close(ours, scheduler.sigmas.double(), rtol=1e-3, atol=0)     # entry 0 in float32 is no better


@quick
@given(schedule=schedules, name=st.sampled_from(list(SPACINGS)), n=st.integers(1, 1000))
def test_grids_fall_from_noise_to_0(schedule: NoiseSchedule, name: str, n: int) -> None:
    timesteps = SPACINGS[name](schedule, n)
    assert timesteps.shape == (n + 1,) and timesteps.dtype == torch.float64
    assert timesteps[0] <= 1 and timesteps[-1] == 0 and (timesteps.diff() < 0).all()
    if name in ("uniform", "trailing", "flow_shift"):
        assert timesteps[0] == 1


def test_uniform_is_trailing_where_no_rounding_is_needed() -> None:
    schedule = get_schedule("cosine")
    assert_close(uniform(schedule, 20), trailing(schedule, 20))


def test_unknown_grids_and_shifts_are_refused() -> None:
    with pytest.raises(ValueError, match="'even'.*uniform, leading"):
        get_spacing("even")
    with pytest.raises(ValueError, match="shift of the timesteps is 0"):
        flow_shift(get_schedule("flow"), 3, 0)


# ------------------------------------------------------------------------------------------------------------- the step


@quick
@given(schedule=schedules, times=st.tuples(st.floats(0, 1), st.floats(0, 1)), eta=st.floats(0, 3))
def test_a_step_has_the_right_data_and_the_right_variance(
    schedule: NoiseSchedule, times: tuple[float, float], eta: float
) -> None:
    s, t = sorted(times)
    if t - s < 1e-6:
        return
    t, s = torch.tensor([t, s], dtype=torch.float64)
    to_x0, to_eps, to_noise = step_weights(schedule, t, s, eta)
    assert_close(to_x0, schedule.alpha(s))
    assert_close(to_eps**2 + to_noise**2, schedule.sigma(s) ** 2)


@quick
@given(schedule=schedules, times=st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 0.99)))
def test_eta_1_is_the_posterior_of_the_noising_process(schedule: NoiseSchedule, times: tuple[float, float]) -> None:
    """q(x_s | x_t, x0) by Bayes' rule: x_s given x0, and x_t = ratio x_s + noise."""
    s, t = sorted(times)
    if t - s < 1e-3:
        return
    t, s = torch.tensor([t, s], dtype=torch.float64)
    x0, eps = torch.tensor([0.7, -1.3], dtype=torch.float64)
    x_t = schedule.mix(x0, eps, t)
    ratio = schedule.alpha(t) / schedule.alpha(s)
    added = schedule.sigma(t) ** 2 - ratio**2 * schedule.sigma(s) ** 2      # variance of the noise added from s to t
    precision = 1 / schedule.sigma(s) ** 2 + ratio**2 / added
    mean = (schedule.alpha(s) * x0 / schedule.sigma(s) ** 2 + ratio * x_t / added) / precision
    silent, loud = (step(schedule, x0, eps, t, s, 1.0, noise=torch.tensor(z).double()) for z in (0.0, 1.0))
    assert_close(silent, mean, rtol=1e-6, atol=1e-8)
    assert_close((loud - silent) ** 2, 1 / precision, rtol=1e-6, atol=1e-8)


def test_a_step_along_a_flow_is_euler() -> None:
    x0, eps = start(), start(1)
    schedule, t, s = get_schedule("flow"), torch.tensor(0.7), torch.tensor(0.5)
    expected = schedule.mix(x0, eps, t) + (s - t) * (eps - x0)
    assert_close(step(schedule, x0, eps, t, s), expected)


def test_infinite_eta_draws_all_noise_anew() -> None:
    schedule, x0, noise = get_schedule("cosine"), start(), start(1)
    t, s = torch.tensor([0.7, 0.5])
    got = step(schedule, x0, start(2), t, s, float("inf"), noise)
    assert_close(got, schedule.mix(x0, noise, s))


def test_each_example_may_step_at_its_own_times() -> None:
    schedule, x0, eps, noise = get_schedule("scaled_linear"), start(), start(1), start(2)
    t, s = torch.tensor([0.9, 0.5, 0.3]), torch.tensor([0.8, 0.1, 0.0])
    got = step(schedule, x0, eps, t, s, 0.6, noise)
    for i in range(3):
        assert_close(got[i], step(schedule, x0[i], eps[i], t[i], s[i], 0.6, noise[i]))


@quick
@given(schedule=schedules, eta=st.sampled_from([0.0, 0.5, 1.0]))
def test_sample_is_the_step_repeated(schedule: NoiseSchedule, eta: float) -> None:
    timesteps, x = uniform(schedule, 6), start()
    states = list(sample(model_of(schedule), x, schedule, timesteps, eta=eta, noise=fresh))
    for i, (t, s) in enumerate(pairwise(timesteps)):
        x0, eps = model_of(schedule)(x, t)
        x = step(schedule, x0, eps, t, s, eta, fresh(i))
        assert_close((states[i].x, states[i].x0), (x, x0))
        assert (states[i].index, states[i].n, states[i].t, states[i].s) == (i, 6, float(t), float(s))


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_state_holds_what_the_denoiser_said_not_what_was_made_of_it(name: str) -> None:
    schedule, x = get_schedule("linear"), start()
    for state in run(name, model_of(schedule), x, schedule, 5, noise=fresh):
        said, _ = model_of(schedule)(x, torch.tensor(state.t, dtype=torch.float64))
        assert_close(state.x0, said)
        x = state.x


def test_a_noisy_step_without_noise_is_refused() -> None:
    t, s = torch.tensor([0.7, 0.5])
    with pytest.raises(ValueError, match=r"eta = 1.0 adds noise: pass `noise`"):
        step(get_schedule("flow"), start(), start(), t, s, eta=1.0)


# --------------------------------------------------------------------------------------------------------- the samplers


def forbidden(index: int) -> Tensor:
    raise AssertionError("noise was drawn")


@quick
@given(name=names, schedule=schedules, timesteps=st.sampled_from(list(SPACINGS)), n=st.integers(1, 8))
def test_eta_0_draws_no_noise_and_repeats_itself(name: str, schedule: NoiseSchedule, timesteps: str, n: int) -> None:
    once, again = (
        last(run(name, model_of(schedule), start(), schedule, n, noise=forbidden, eta=0.0, timesteps=timesteps))
        for _ in range(2)
    )
    assert_close(once, again, rtol=0, atol=0)


def test_no_noise_is_drawn_for_the_step_into_clean_data() -> None:
    drawn = []
    schedule = get_schedule("cosine")
    last(run("ddpm", model_of(schedule), start(), schedule, 4, noise=lambda i: drawn.append(i) or fresh(i)))
    assert drawn == [0, 1, 2]


def test_noise_is_drawn_where_none_is_given() -> None:
    schedule = get_schedule("cosine")
    torch.manual_seed(0)
    once, again = (last(run("ddpm", model_of(schedule), start(), schedule, 5)) for _ in range(2))
    assert not torch.allclose(once, again)


@quick
@given(
    name=names, schedule=schedules, timesteps=st.sampled_from(list(SPACINGS)), n=st.integers(1, 8),
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4),
)  # fmt: skip
def test_a_batch_is_its_examples_one_by_one(
    name: str, schedule: NoiseSchedule, timesteps: str, n: int, shape: list[int]
) -> None:
    """With any spacing, for x of any shape."""
    x, *noises = torch.randn(n + 1, *shape, dtype=torch.float64)
    together = last(run(name, model_of(schedule), x, schedule, n, noise=lambda k: noises[k], timesteps=timesteps))
    assert together.shape == x.shape
    for i in range(len(x)):
        one = slice(i, i + 1)
        own = [noise[one] for noise in noises]
        alone = last(run(name, model_of(schedule), x[one], schedule, n, noise=own.__getitem__, timesteps=timesteps))
        assert_close(alone, together[one])


@pytest.mark.parametrize("n", [1, 20])
@pytest.mark.parametrize("timesteps", ["uniform", "karras"])
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_nothing_blows_up_from_pure_noise_in_float32(name: str, schedule: NoiseSchedule, timesteps: str, n: int) -> None:
    for prediction_type in PREDICTION_TYPES:
        states = list(run(name, by_type(schedule, prediction_type), start().float(), schedule, n, timesteps=timesteps))
        assert len(states) == n
        assert all(state.x.isfinite().all() and state.x.dtype == torch.float32 for state in states)
        # Heun averages eps over a step. From sigma / alpha = 20000 to 13 in one, as here, that says nothing of x0.
        if n == 20 and not (name == "heun" and schedule.name == "squaredcos_cap_v2" and timesteps == "uniform"):
            assert 0.5 < states[-1].x.abs().mean() < 1.5        # the data is about 1 or -1


@pytest.mark.parametrize(("name", "expected"), [("linear", 2 * 5 - 1), ("flow", 2 * 5 - 2)])
def test_heun_pays_twice_only_where_it_corrects(name: str, expected: int) -> None:
    schedule, asked = get_schedule(name), []

    def counted(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        asked.append(float(t))
        return model_of(schedule)(x, t)

    last(run("heun", counted, start(), schedule, 5))
    assert len(asked) == expected       # a flow begins in pure noise, which Heun does not correct


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_the_second_order_is_not_asked_of_first_and_infinite_steps(schedule: NoiseSchedule) -> None:
    ahead = lookaheads(schedule, uniform(schedule, 5))
    assert ahead[0] == ahead[-1] == 0 and min(ahead[2:-1]) > 0
    assert (ahead[1] == 0) == (schedule.name in ("cosine", "flow"))     # after a step out of pure noise
    assert lookaheads(schedule, uniform(schedule, 1)) == [0.0]
    assert lookaheads(schedule, uniform(schedule, 2)) == [0.0, 0.0]


@pytest.mark.parametrize("scale", [1.0, 5.0])
@pytest.mark.parametrize("name", SAMPLERS)
def test_no_value_is_read_back_while_sampling(name: str, scale: float) -> None:
    """Tensors on the meta device have no values: reading one, as a wait for the accelerator would, is an error."""
    schedule, x = get_schedule("cosine"), torch.empty(SHAPE, device="meta")

    def network(x: Tensor, timestep: Tensor) -> Tensor:
        assert timestep.device.type == "meta" and timestep.shape == (len(x),) and timestep.dtype == torch.float32
        return timestep.view(-1, 1, 1, 1) * x

    model = cfg(denoiser(network, schedule, "v"), scale, interval=(0.2, 0.9), rescale=0.5, schedule=schedule)
    states = list(run(name, model, x, schedule, 4))
    assert states[-1].x.shape == SHAPE and states[-1].x.device.type == "meta"
    with pytest.raises(RuntimeError, match="meta"):
        states[-1].x.sum().item()


@pytest.mark.parametrize("name", SAMPLERS)
def test_guidance_doubles_the_rows_and_not_the_evaluations(name: str) -> None:
    """And scale 1 does not even do that."""
    schedule = get_schedule("cosine")
    rows: dict[float, list[int]] = {1.0: [], 5.0: []}
    for scale, asked in rows.items():

        def network(x: Tensor, timestep: Tensor, asked: list[int] = asked) -> Tensor:
            asked.append(len(x))
            return x

        last(run(name, cfg(denoiser(network, schedule, "v"), scale), start(), schedule, 4, noise=fresh))
    assert rows[5.0] == [2 * count for count in rows[1.0]] and set(rows[1.0]) == {len(start())}
    assert len(rows[1.0]) == (2 * 4 - 2 if name == "heun" else 4)       # Heun corrects neither the first nor the last


def test_names_and_aliases() -> None:
    assert set(SAMPLERS) == {"ddpm", "ddim", "euler", "euler_a", "heun", "dpmpp_2m", "dpmpp_2m_sde"}
    assert get_sampler("dpmpp") is SAMPLERS["dpmpp_2m"]
    assert not set(ALIASES) & set(SAMPLERS)
    with pytest.raises(ValueError, match="'plms'.*ddpm, ddim, .*dpmpp"):
        get_sampler("plms")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "plms"}, "no sampler called 'plms'"),
        ({"steps": 0}, "Steps is 0, but it must be a whole number from 1 to 1000"),
        ({"steps": 2.5}, "Steps is 2.5"),
        ({"steps": True}, "Steps is True"),
        ({"steps": 1001}, "Steps is 1001"),
        ({"eta": -0.1}, "eta is -0.1"),
        ({"eta": float("nan")}, "eta is nan"),
        ({"name": "heun", "eta": 0.5}, "Heun adds no noise"),
        ({"timesteps": "even"}, "no spacing called 'even'"),
        ({"timesteps": torch.tensor([1.0, 0.0])}, "make 1 steps, but steps is 4"),
        ({"timesteps": torch.tensor([0.0, 0.5, 0.7, 0.8, 1.0])}, "falling times"),
        ({"timesteps": torch.tensor([2.0, 0.7, 0.5, 0.1, 0.0])}, "falling times"),
        ({"timesteps": torch.tensor([1.0, 0.7, float("nan"), 0.1, 0.0])}, "falling times"),
    ],
)
def test_run_refuses_at_once(given: dict, message: str) -> None:
    schedule = get_schedule("cosine")
    given = {"name": "ddim", "steps": 4, **given}
    with pytest.raises(ValueError, match=message):
        run(given.pop("name"), model_of(schedule), start(), schedule, given.pop("steps"), **given)


@pytest.mark.parametrize("loop", [sample, heun])
def test_a_loop_called_directly_refuses_timesteps_that_do_not_fall(loop: Callable[..., Iterator[State]]) -> None:
    schedule = get_schedule("cosine")
    with pytest.raises(ValueError, match="falling times"):
        next(loop(model_of(schedule), start(), schedule, torch.tensor([0.5, 0.7, 0.0])))


@pytest.mark.parametrize("loop", [sample, heun])
def test_timesteps_may_be_of_any_dtype_and_part_of_a_graph(loop: Callable[..., Iterator[State]]) -> None:
    """The denoiser is given float64 times, so that no time is rounded, and without a graph."""
    schedule, asked = get_schedule("cosine"), []

    def noted(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        asked.append(t)
        return model_of(schedule)(x, t)

    times = [1.0, 0.5, 0.25, 0.0]
    got = last(loop(noted, start(), schedule, torch.tensor(times, dtype=torch.float32, requires_grad=True)))
    assert all(t.dtype == torch.float64 and not t.requires_grad for t in asked)
    assert_close(got, last(loop(model_of(schedule), start(), schedule, torch.tensor(times, dtype=torch.float64))))


def test_only_orders_1_and_2() -> None:
    schedule = get_schedule("cosine")
    with pytest.raises(ValueError, match="order is 3"):
        last(sample(model_of(schedule), start(), schedule, uniform(schedule, 3), order=3))


def test_heun_says_where_each_step_begins_and_ends() -> None:
    schedule = get_schedule("cosine")
    states = list(heun(model_of(schedule), start(), schedule, uniform(schedule, 4)))
    assert [(state.index, state.n, state.t, state.s) for state in states] == [
        (0, 4, 1.0, 0.75), (1, 4, 0.75, 0.5), (2, 4, 0.5, 0.25), (3, 4, 0.25, 0.0)
    ]  # fmt: skip


def test_heun_can_be_called_directly() -> None:
    schedule, timesteps = get_schedule("cosine"), karras(get_schedule("cosine"), 5)
    assert_close(
        last(heun(model_of(schedule), start(), schedule, timesteps)),
        last(run("heun", model_of(schedule), start(), schedule, 5, timesteps="karras")),
    )
