"""Few steps: targets, scalings and losses against diffusers and formulas, and that a network has nothing to learn where it is
right already."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler, LCMScheduler
from torch import Tensor

from minidiff.diffusion.analytic import mixture
from minidiff.diffusion.distillation import (
    as_flow,
    consistency_scalings,
    pseudo_huber,
    reflow_loss,
    two_step_target,
    x0_of_step,
)
from minidiff.diffusion.samplers import sample, step
from minidiff.diffusion.schedules import get_schedule
from minidiff.diffusion.timesteps import uniform

COSINE = get_schedule("cosine")
STABLE = get_schedule("scaled_linear")


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", ["cosine", "scaled_linear", "flow"])
@pytest.mark.parametrize(("t", "s"), [(1.0, 0.75), (0.5, 0.25), (0.25, 0.0)])
def test_one_step_of_the_target_ends_where_two_of_the_teacher_do(name: str, t: float, s: float) -> None:
    schedule, x = get_schedule(name), noise(5, 2, 3, 3)
    teacher = mixture(schedule, [-1.0, 0.4, 2.0], 0.3)
    times = torch.tensor([t, (t + s) / 2, s], dtype=torch.float64)
    *_, two = sample(teacher, x, schedule, times)
    aim = two_step_target(schedule, teacher, x, times[0], times[2])
    eps = (x - schedule.alpha(times[0]) * aim) / schedule.sigma(times[0])
    torch.testing.assert_close(step(schedule, aim, eps, times[0], times[2]), two.x)


def test_each_example_has_times_of_its_own() -> None:
    x, t = noise(3, 2, 2, 2), torch.tensor([1.0, 0.5, 0.25], dtype=torch.float64)

    def teacher(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        return x * 0.3 + t.view(-1, *[1] * (x.ndim - 1)), x.square()

    together = two_step_target(COSINE, teacher, x, t, t - 0.25)
    alone = [two_step_target(COSINE, teacher, x[k : k + 1], t[k : k + 1], t[k : k + 1] - 0.25) for k in range(3)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_the_target_holds_no_gradient() -> None:
    weight = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    aim = two_step_target(COSINE, lambda x, t: (weight * x, x), noise(1, 1, 2, 2), torch.tensor(0.5), torch.tensor(0.25))
    assert not aim.requires_grad


def test_a_step_of_diffusers_from_x0_leads_where_it_says() -> None:
    """Of Stable Diffusion's table, from entry 759 to entry 259."""
    theirs = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="sample",
                           clip_sample=False, set_alpha_to_one=False, steps_offset=0)  # fmt: skip
    theirs.set_timesteps(2)
    t, x, x_s = torch.tensor(0.76, dtype=torch.float64), noise(1, 4, 3, 3), noise(1, 4, 3, 3, seed=1)
    aim = x0_of_step(STABLE, x, t, x_s, torch.tensor(0.26, dtype=torch.float64))
    assert int(theirs.config.num_train_timesteps / theirs.num_inference_steps) == 500
    torch.testing.assert_close(theirs.step(aim, 759, x).prev_sample, x_s, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("t", [0.02, 0.26, 1.0])
def test_consistency_scalings_are_those_of_diffusers(t: float) -> None:
    theirs = LCMScheduler(timestep_scaling=10.0)
    skip, out = consistency_scalings(torch.tensor(t, dtype=torch.float64))
    expected = theirs.get_scalings_for_boundary_condition_discrete(1000 * t)
    torch.testing.assert_close(torch.stack([skip, out]), torch.tensor(expected, dtype=torch.float64))


def test_at_time_0_a_consistency_function_returns_x() -> None:
    assert [float(share) for share in consistency_scalings(torch.tensor(0.0))] == [1.0, 0.0]


def test_pseudo_huber_is_the_absolute_error_with_a_round_bottom() -> None:
    a = torch.tensor([3.0, -2.0], requires_grad=True)
    assert pseudo_huber(a, torch.zeros(2), c=1e-3).item() == pytest.approx(2.5, abs=1e-3)
    assert pseudo_huber(a, a.detach()).item() == 0
    pseudo_huber(a, a.detach()).backward()
    assert torch.equal(a.grad, torch.zeros(2))  # type: ignore[arg-type]
    assert float(pseudo_huber(torch.tensor([0.02]), torch.zeros(1), c=1.0)) == pytest.approx(0.02**2 / 2, rel=1e-2)


@pytest.mark.parametrize("name", ["cosine", "scaled_linear", "flow"])
def test_any_model_is_a_flow_that_eulers_steps_of_diffusers_sample(name: str) -> None:
    """The same times in the flow's own clock: DDIM's steps on the one side, straight Euler steps on the other."""
    schedule = get_schedule(name)
    model = mixture(schedule, [-0.7, 1.1], 0.2)
    times = uniform(schedule, 12)
    x = noise(2, 3, 4, 4)
    *_, ddim = sample(model, x * schedule.sigma(times[0]), schedule, times)
    clock = schedule.sigma(times) / (schedule.alpha(times) + schedule.sigma(times))
    euler, velocity = FlowMatchEulerDiscreteScheduler(shift=1.0), as_flow(model, schedule)
    euler.set_timesteps(sigmas=clock[:-1].tolist())
    flow = x * clock[0]
    for k, t in enumerate(clock[:-1]):
        flow = euler.step(velocity(flow, t), euler.timesteps[k], flow, return_dict=False)[0]
    torch.testing.assert_close(flow.double(), ddim.x, rtol=1e-4, atol=1e-4)


def test_a_straight_flow_has_no_reflow_loss_and_a_bent_one_has() -> None:
    x0, t = noise(4, 2, 3, 3), torch.rand(4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    shift = torch.tensor(1.5, dtype=torch.float64)
    assert float(reflow_loss(lambda x, t: shift.expand_as(x), x0, x0 + shift, t)) < 1e-12
    assert float(reflow_loss(lambda x, t: shift * t.view(-1, 1, 1, 1), x0, x0 + shift, t)) > 0.1
