"""Samplers: step by step the same as the schedulers of diffusers, and the properties that hold for any of them.

The network is an analytic one: the exact denoiser of a mixture of two Gaussians. Noise is injected into both sides, and
the references are driven by their own sigmas, since some of them round their timesteps.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from minidiff import grids
from minidiff.paths import KINDS, PATHS, Denoiser, Path, denoiser, get_path, target, to_x0_eps
from minidiff.samplers import ALIASES, SAMPLERS, get_sampler, heun, lookaheads, run, sample, step, step_weights

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")      # numpy's, inside diffusers
quick = settings(deadline=None, max_examples=40)
paths = st.sampled_from(list(PATHS.values()))
names = st.sampled_from(list(SAMPLERS))

BETAS = {"linear": (1e-4, 2e-2), "scaled_linear": (0.00085, 0.012)}
SHAPE = (3, 2, 2, 2)


def mixture(path: Path) -> Denoiser:
    """E[x0 | x_t] and the eps that goes with it, for data that is N(1, 0.3^2) or N(-1, 0.3^2) with equal chances,
    pixel by pixel. Works on any x (B, ...)."""

    def denoise(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma = path.alpha(t).to(x.dtype), path.sigma(t).to(x.dtype)
        variance = alpha**2 * 0.09 + sigma**2
        which = torch.tanh(alpha * x / variance)                    # chance of +1 less chance of -1
        x0 = which + alpha * 0.09 / variance * (x - alpha * which)
        return x0, (x - alpha * x0) / sigma

    return denoise


def predictor(path: Path, kind: str) -> Callable[[Tensor, Tensor], Tensor]:
    """The same as a network of some kind, but told the time instead of a timestep: for the references."""
    return lambda x, t: target(path, kind, *mixture(path)(x, t), t)


def network_denoiser(path: Path, kind: str) -> Denoiser:
    """The same again, by way of a network of some kind."""

    def network(x: Tensor, timestep: Tensor) -> Tensor:
        t = (timestep[0].double() - path.timestep(torch.zeros(()))) / 1000      # tables begin at -1
        return predictor(path, kind)(x.double(), t).to(x.dtype)

    return denoiser(network, path, kind)


def start(seed: int = 0) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fresh(index: int) -> Tensor:
    """The noise of a step."""
    return start(1000 + index)


def last(states) -> Tensor:
    return [state.x for state in states][-1]


def same(ours, theirs: list[Tensor]) -> None:
    """Every state, not only the last, to the accuracy of the references, which compute in float32."""
    assert_close(torch.stack([state.x for state in ours]), torch.stack(theirs), rtol=0, atol=3e-4)


def betas(name: str) -> dict:
    return {"beta_schedule": name, "beta_start": BETAS[name][0], "beta_end": BETAS[name][1]}


def with_end(timesteps: Tensor, end: float = 0.0) -> Tensor:
    """A reference's timesteps as a grid."""
    return torch.cat([(timesteps.double() + 1) / 1000, torch.tensor([end], dtype=torch.float64)])


# ---------------------------------------------------------------------------------------------- parity with diffusers


@pytest.mark.parametrize("kind", [("eps", "epsilon"), ("v", "v_prediction"), ("x0", "sample")])
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("name", BETAS)
def test_ddim(name: str, spacing: str, eta: float, kind: tuple[str, str]) -> None:
    path, n = get_path(name), 10
    to_one = name == "linear"       # Stable Diffusion stops at entry 0 instead of clean data
    scheduler = DDIMScheduler(
        1000, **betas(name), timestep_spacing=spacing, prediction_type=kind[1], clip_sample=False,
        set_alpha_to_one=to_one, steps_offset=1 if spacing == "leading" and not to_one else 0,
    )
    scheduler.set_timesteps(n)
    x, theirs = start(), []
    for i, timestep in enumerate(scheduler.timesteps):
        pred = predictor(path, kind[0])(x, (timestep.double() + 1) / 1000)
        x = scheduler.step(pred, timestep, x, eta=eta, variance_noise=fresh(i) if eta else None).prev_sample
        theirs.append(x)
    grid = grids.leading(path, n, 0 if to_one else 1) if spacing == "leading" else grids.trailing(path, n)
    if not to_one:
        grid[-1] = 1 / 1000
    same(run("ddim", network_denoiser(path, kind[0]), start(), path, n, noise=fresh, eta=eta, grid=grid), theirs)


def injected(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """Make a scheduler that insists on its own noise use ours."""
    draws = iter(range(1000))
    monkeypatch.setattr(f"diffusers.schedulers.{module}.randn_tensor", lambda *_, **__: fresh(next(draws)))


@pytest.mark.parametrize("name", BETAS)
def test_ddpm(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    injected(monkeypatch, "scheduling_ddpm")
    path = get_path(name)
    scheduler = DDPMScheduler(1000, **betas(name), clip_sample=False, variance_type="fixed_small")
    scheduler.set_timesteps(20)
    x, theirs = start(), []
    for timestep in scheduler.timesteps:
        x = scheduler.step(predictor(path, "eps")(x, (timestep.double() + 1) / 1000), timestep, x).prev_sample
        theirs.append(x)
    same(run("ddpm", mixture(path), start(), path, 20, noise=fresh, grid="leading"), theirs)


def scaled_run(scheduler, path: Path, grid: Tensor) -> list[Tensor]:
    """The states of a reference that keeps x / alpha, multiplied by alpha again. grid: its times, for the denoiser."""
    x, theirs = start() / path.alpha(grid[0]), []
    for timestep, (t, s) in zip(scheduler.timesteps, pairwise(grid), strict=True):
        pred = predictor(path, "eps")(path.alpha(t) * x, t)
        x = scheduler.step(pred, timestep, x).prev_sample
        theirs.append(path.alpha(s) * x)
    return theirs


@pytest.mark.parametrize("name", BETAS)
def test_euler(name: str) -> None:
    path, n = get_path(name), 10        # 999 / 9 is whole: the spacing needs no rounding
    scheduler = EulerDiscreteScheduler(1000, **betas(name), timestep_spacing="linspace")
    scheduler.set_timesteps(n)
    theirs = scaled_run(scheduler, path, with_end(scheduler.timesteps))
    same(run("euler", mixture(path), start(), path, n, grid="linspace"), theirs)


@pytest.mark.parametrize("name", BETAS)
def test_euler_ancestral(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    injected(monkeypatch, "scheduling_euler_ancestral_discrete")
    path = get_path(name)
    scheduler = EulerAncestralDiscreteScheduler(1000, **betas(name), timestep_spacing="trailing")
    scheduler.set_timesteps(20)
    theirs = scaled_run(scheduler, path, with_end(scheduler.timesteps))
    same(run("euler_a", mixture(path), start(), path, 20, noise=fresh, grid="trailing"), theirs)


@pytest.mark.parametrize("name", BETAS)
def test_heun(name: str) -> None:
    path, n = get_path(name), 10
    scheduler = HeunDiscreteScheduler(1000, **betas(name), timestep_spacing="trailing")
    scheduler.set_timesteps(n)
    grid = with_end(scheduler.timesteps)        # every inner time twice: two evaluations per step
    grid[-1] = 0.0
    corrected = scaled_run(scheduler, path, grid)[1::2]      # it ends a step where it looks ahead from the next
    states = list(run("heun", mixture(path), start(), path, n, grid="trailing"))
    same(states[:-1], corrected)


def multistep(name: str, path: Path, grid: Tensor, kind: str, **config) -> list[Tensor]:
    """The states of DPMSolverMultistepScheduler, which takes only sigmas seriously: they are set to the grid's."""
    scheduler = DPMSolverMultistepScheduler(1000, **betas(name), prediction_type=kind, solver_order=2, **config)
    scheduler.set_timesteps(len(grid) - 1)
    sigmas = path.sigma(grid) if config.get("use_flow_sigmas") else path.sigma(grid) / path.alpha(grid)
    assert_close(scheduler.sigmas.double(), sigmas, rtol=1e-3, atol=1e-3)
    scheduler.sigmas = sigmas
    ours = {"epsilon": "eps", "v_prediction": "v", "flow_prediction": "flow"}[kind]
    x, theirs = start(), []
    for i, timestep in enumerate(scheduler.timesteps):
        pred = predictor(path, ours)(x, grid[i])
        x = scheduler.step(pred, timestep, x, variance_noise=fresh(i)).prev_sample
        theirs.append(x)
    return theirs


@pytest.mark.parametrize("n", [1, 2, 5, 20])
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("sampler", [("dpmpp_2m", "dpmsolver++"), ("dpmpp_2m_sde", "sde-dpmsolver++")])
@pytest.mark.parametrize("name", BETAS)
def test_dpm_solver_multistep(name: str, sampler: tuple[str, str], kind: str, n: int) -> None:
    path = get_path(name)
    theirs = multistep(
        name, path, grids.trailing(path, n), kind, algorithm_type=sampler[1], timestep_spacing="trailing"
    )
    same(run(sampler[0], mixture(path), start(), path, n, noise=fresh, grid="trailing"), theirs)


@pytest.mark.parametrize("name", BETAS)
def test_dpm_solver_multistep_on_the_karras_grid(name: str) -> None:
    path = get_path(name)
    theirs = multistep(name, path, grids.karras(path, 12), "epsilon", use_karras_sigmas=True)
    same(run("dpmpp", mixture(path), start(), path, 12, grid="karras"), theirs)


def test_dpm_solver_multistep_on_a_flow() -> None:
    path, n = get_path("flow"), 10
    scheduler = DPMSolverMultistepScheduler(use_flow_sigmas=True, flow_shift=3.0)
    scheduler.set_timesteps(n)
    grid = scheduler.sigmas.double()
    theirs = multistep("linear", path, grid, "flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    same(run("dpmpp_2m", mixture(path), start(), path, n, grid=grid), theirs)


def test_flow_matching_euler() -> None:
    path, n = get_path("flow"), 10
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(n, sigmas=list(np.linspace(1, 1 / n, n)))
    x, theirs = start(), []
    for timestep, t in zip(scheduler.timesteps, scheduler.sigmas.double(), strict=False):
        x = scheduler.step(predictor(path, "flow")(x, t), timestep, x).prev_sample
        theirs.append(x)
    same(run("euler", mixture(path), start(), path, n, grid="flow_shift"), theirs)


# ------------------------------------------------------------------------------------------------------------ the grids


@pytest.mark.parametrize("n", [2, 7, 20, 50, 1000])     # for 1, the reference's linspace takes the cleanest entry
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_spacings_are_those_of_diffusers(spacing: str, n: int) -> None:
    scheduler = DDIMScheduler(1000, timestep_spacing=spacing)
    scheduler.set_timesteps(n)
    assert_close(grids.GRIDS[spacing](get_path("linear"), n), with_end(scheduler.timesteps))


@quick
@given(path=paths, name=st.sampled_from(list(grids.GRIDS)), n=st.integers(1, 1000))
def test_grids_fall_from_noise_to_0(path: Path, name: str, n: int) -> None:
    grid = grids.GRIDS[name](path, n)
    assert grid.shape == (n + 1,) and grid.dtype == torch.float64
    assert grid[0] <= 1 and grid[-1] == 0 and (grid.diff() < 0).all()
    if name in ("uniform", "trailing", "flow_shift"):
        assert grid[0] == 1


def test_uniform_is_trailing_where_no_rounding_is_needed() -> None:
    path = get_path("cosine")
    assert_close(grids.uniform(path, 20), grids.trailing(path, 20))


def test_unknown_grids_and_shifts_are_refused() -> None:
    with pytest.raises(ValueError, match="'even'.*uniform, leading"):
        grids.get_grid("even")
    with pytest.raises(ValueError, match="shift of a grid is 0"):
        grids.flow_shift(get_path("flow"), 3, 0)


# ------------------------------------------------------------------------------------------------------------- the step


@quick
@given(path=paths, times=st.tuples(st.floats(0, 1), st.floats(0, 1)), eta=st.floats(0, 3))
def test_a_step_has_the_right_data_and_the_right_variance(path: Path, times: tuple[float, float], eta: float) -> None:
    s, t = sorted(times)
    if t - s < 1e-6:
        return
    t, s = torch.tensor([t, s], dtype=torch.float64)
    to_x0, to_eps, to_noise = step_weights(path, t, s, eta)
    assert_close(to_x0, path.alpha(s))
    assert_close(to_eps**2 + to_noise**2, path.sigma(s) ** 2)


@quick
@given(path=paths, times=st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 0.99)))
def test_eta_1_is_the_posterior_of_the_noising_process(path: Path, times: tuple[float, float]) -> None:
    """q(x_s | x_t, x0) by Bayes' rule: x_s given x0, and x_t = ratio x_s + noise."""
    s, t = sorted(times)
    if t - s < 1e-3:
        return
    t, s = torch.tensor([t, s], dtype=torch.float64)
    x0, eps = torch.tensor([0.7, -1.3], dtype=torch.float64)
    x_t = path.mix(x0, eps, t)
    ratio = path.alpha(t) / path.alpha(s)
    added = path.sigma(t) ** 2 - ratio**2 * path.sigma(s) ** 2      # variance of the noise added from s to t
    precision = 1 / path.sigma(s) ** 2 + ratio**2 / added
    mean = (path.alpha(s) * x0 / path.sigma(s) ** 2 + ratio * x_t / added) / precision
    silent, loud = (step(path, x0, eps, t, s, 1.0, noise=torch.tensor(z).double()) for z in (0.0, 1.0))
    assert_close(silent, mean, rtol=1e-6, atol=1e-8)
    assert_close((loud - silent) ** 2, 1 / precision, rtol=1e-6, atol=1e-8)


def test_a_step_along_a_flow_is_euler() -> None:
    x0, eps = start(), start(1)
    path, t, s = get_path("flow"), torch.tensor(0.7), torch.tensor(0.5)
    expected = path.mix(x0, eps, t) + (s - t) * (eps - x0)
    assert_close(step(path, x0, eps, t, s), expected)


def test_infinite_eta_draws_all_noise_anew() -> None:
    path, x0, noise = get_path("cosine"), start(), start(1)
    t, s = torch.tensor([0.7, 0.5])
    got = step(path, x0, start(2), t, s, float("inf"), noise)
    assert_close(got, path.mix(x0, noise, s))


def test_each_example_may_step_at_its_own_times() -> None:
    path, x0, eps, noise = get_path("scaled_linear"), start(), start(1), start(2)
    t, s = torch.tensor([0.9, 0.5, 0.3]), torch.tensor([0.8, 0.1, 0.0])
    got = step(path, x0, eps, t, s, 0.6, noise)
    for i in range(3):
        assert_close(got[i], step(path, x0[i], eps[i], t[i], s[i], 0.6, noise[i]))


@quick
@given(path=paths, eta=st.sampled_from([0.0, 0.5, 1.0]))
def test_sample_is_the_step_repeated(path: Path, eta: float) -> None:
    grid, x = grids.uniform(path, 6), start()
    states = list(sample(mixture(path), x, path, grid, eta=eta, noise=fresh))
    for i, (t, s) in enumerate(pairwise(grid)):
        x0, eps = mixture(path)(x, t)
        x = step(path, x0, eps, t, s, eta, fresh(i))
        assert_close((states[i].x, states[i].x0), (x, x0))
        assert (states[i].index, states[i].n, states[i].t, states[i].s) == (i, 6, float(t), float(s))


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_state_holds_what_the_denoiser_said_not_what_was_made_of_it(name: str) -> None:
    path, x = get_path("linear"), start()
    for state in run(name, mixture(path), x, path, 5, noise=fresh):
        said, _ = mixture(path)(x, torch.tensor(state.t, dtype=torch.float64))
        assert_close(state.x0, said)
        x = state.x


def test_a_noisy_step_without_noise_is_refused() -> None:
    t, s = torch.tensor([0.7, 0.5])
    with pytest.raises(ValueError, match=r"eta = 1.0 adds noise: pass `noise`"):
        step(get_path("flow"), start(), start(), t, s, eta=1.0)


# --------------------------------------------------------------------------------------------------------- the samplers


def test_eta_0_needs_no_noise_and_repeats_itself() -> None:
    def forbidden(index: int) -> Tensor:
        raise AssertionError("noise was drawn")

    path = get_path("cosine")
    for name in ("ddim", "euler", "heun", "dpmpp_2m"):
        once, again = (last(run(name, mixture(path), start(), path, 5, noise=forbidden)) for _ in range(2))
        assert_close(once, again, rtol=0, atol=0)


def test_no_noise_is_drawn_for_the_step_into_clean_data() -> None:
    drawn = []
    path = get_path("cosine")
    last(run("ddpm", mixture(path), start(), path, 4, noise=lambda i: drawn.append(i) or fresh(i)))
    assert drawn == [0, 1, 2]


def test_noise_is_drawn_where_none_is_given() -> None:
    path = get_path("cosine")
    torch.manual_seed(0)
    once, again = (last(run("ddpm", mixture(path), start(), path, 5)) for _ in range(2))
    assert not torch.allclose(once, again)


@quick
@given(name=names, path=paths, n=st.integers(1, 8))
def test_a_batch_of_three_is_three_batches_of_one(name: str, path: Path, n: int) -> None:
    together = last(run(name, mixture(path), start(), path, n, noise=fresh))
    for i in range(3):
        alone = last(
            run(name, mixture(path), start()[i : i + 1], path, n, noise=lambda k, i=i: fresh(k)[i : i + 1])
        )
        assert_close(alone, together[i : i + 1])


@pytest.mark.parametrize("n", [1, 2, 20])
@pytest.mark.parametrize("grid", ["uniform", "karras"])
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
@pytest.mark.parametrize("name", SAMPLERS)
def test_nothing_blows_up_from_pure_noise_in_float32(name: str, path: Path, grid: str, n: int) -> None:
    for kind in KINDS:
        states = list(run(name, network_denoiser(path, kind), start().float(), path, n, grid=grid))
        assert len(states) == n
        assert all(state.x.isfinite().all() and state.x.dtype == torch.float32 for state in states)
        if n == 20:
            assert 0.5 < states[-1].x.abs().mean() < 1.5        # the data is about 1 or -1


@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("heun", 2), ("dpmpp_2m", 2)])
@pytest.mark.parametrize("path", ["linear", "flow"])
def test_halving_the_steps_shows_the_order(name: str, order: int, path: str) -> None:
    """Between two times with finite log SNR, so that every step but the first is of the sampler's order."""
    where = get_path(path)

    def end(name: str, n: int) -> Tensor:
        grid = where.time(torch.linspace(-2, 2, n + 1, dtype=torch.float64))
        return last(run(name, mixture(where), start(), where, n, grid=grid))

    exact = end("dpmpp_2m", 640)
    ratio = (end(name, 20) - exact).norm() / (end(name, 40) - exact).norm()
    assert 0.8 < torch.log2(ratio) / order < 1.3


def test_eta_1_keeps_the_variance_of_gaussian_data() -> None:
    """Data N(0, 0.5^2), whose denoiser is linear: at every time x has variance alpha^2 0.25 + sigma^2."""
    path = get_path("cosine")

    def denoise(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        return to_x0_eps(path, "x0", 0.25 * path.alpha(t) / marginal(t) * x, x, t)

    def marginal(t: Tensor) -> Tensor:
        return 0.25 * path.alpha(t) ** 2 + path.sigma(t) ** 2

    torch.manual_seed(0)
    x = torch.randn(20_000, dtype=torch.float64)
    for eta in (0.0, 0.5, 1.0):
        for state in sample(denoise, x, path, grids.uniform(path, 250), eta=eta):
            expected = marginal(torch.tensor(state.s, dtype=torch.float64))
            assert_close(state.x.var(), expected, rtol=0.05, atol=0)


@pytest.mark.parametrize(("name", "expected"), [("linear", 2 * 5 - 1), ("flow", 2 * 5 - 2)])
def test_heun_pays_twice_only_where_it_corrects(name: str, expected: int) -> None:
    path, asked = get_path(name), []

    def counted(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        asked.append(float(t))
        return mixture(path)(x, t)

    last(run("heun", counted, start(), path, 5))
    assert len(asked) == expected       # a flow begins in pure noise, which Heun does not correct


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_the_second_order_is_not_asked_of_first_and_infinite_steps(path: Path) -> None:
    ahead = lookaheads(path, grids.uniform(path, 5))
    assert ahead[0] == ahead[-1] == 0 and min(ahead[2:-1]) > 0
    assert (ahead[1] == 0) == (path.name in ("cosine", "flow"))     # after a step out of pure noise
    assert lookaheads(path, grids.uniform(path, 1)) == [0.0]
    assert lookaheads(path, grids.uniform(path, 2)) == [0.0, 0.0]


@pytest.mark.parametrize("name", SAMPLERS)
def test_no_value_is_read_back_while_sampling(name: str) -> None:
    """Tensors on the meta device have no values: reading one, as a wait for the accelerator would, is an error."""
    path, x = get_path("cosine"), torch.empty(SHAPE, device="meta")
    states = list(run(name, denoiser(lambda x, timestep: timestep.view(-1, 1, 1, 1) * x, path, "v"), x, path, 4))
    assert states[-1].x.shape == SHAPE and states[-1].x.device.type == "meta"


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
        ({"grid": "even"}, "no grid called 'even'"),
        ({"grid": torch.tensor([1.0, 0.0])}, "has 1 steps, but steps is 4"),
        ({"grid": torch.tensor([0.0, 0.5, 0.7, 0.8, 1.0])}, "falling times"),
        ({"grid": torch.tensor([2.0, 0.7, 0.5, 0.1, 0.0])}, "falling times"),
        ({"grid": torch.tensor([1.0, 0.7, float("nan"), 0.1, 0.0])}, "falling times"),
    ],
)
def test_run_refuses_at_once(given: dict, message: str) -> None:
    path = get_path("cosine")
    given = {"name": "ddim", "steps": 4, **given}
    with pytest.raises(ValueError, match=message):
        run(given.pop("name"), mixture(path), start(), path, given.pop("steps"), **given)


def test_only_orders_1_and_2() -> None:
    path = get_path("cosine")
    with pytest.raises(ValueError, match="order is 3"):
        last(sample(mixture(path), start(), path, grids.uniform(path, 3), order=3))


def test_heun_can_be_called_directly() -> None:
    path, grid = get_path("cosine"), grids.karras(get_path("cosine"), 5)
    assert_close(
        last(heun(mixture(path), start(), path, grid)),
        last(run("heun", mixture(path), start(), path, 5, grid="karras")),
    )
