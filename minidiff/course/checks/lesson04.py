"""Exercises of lesson 04, one step and every sampler: the timesteps, the step, Heun, DPM-Solver++ 2M, a broken loop.

The references are the library's samplers and timesteps, with the learner's signatures. Every probe is in float64 on denoisers
that are formulas (analytic.py), so that a wrong weight can't hide behind a network's rounding. What it is not: the lesson's
text (lessons/source/04_samplers.py).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from minidiff.course.exercise import Exercise, Mistake, Probe, Say
from minidiff.diffusion import samplers
from minidiff.diffusion.analytic import mixture
from minidiff.diffusion.prediction import Denoiser
from minidiff.diffusion.schedules import TABLE_LENGTH, NoiseSchedule, get_schedule
from minidiff.diffusion.timesteps import trailing, uniform

COSINE, TABLE = get_schedule("cosine"), get_schedule("scaled_linear")
SHAPE = Say("shape", "kích thước")


def number(value: float) -> Tensor:
    """A time as the library passes it: () float64."""
    return torch.tensor(value, dtype=torch.float64)


def normal(seed: int, *shape: int) -> Tensor:
    """Standard normal noise that is the same in every call, float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def spied(model: Denoiser, times: list[float]) -> Denoiser:
    """The same denoiser, which also appends the times of its calls to `times`."""

    def spy(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        times.append(float(t))
        return model(x, t)

    return spy


# --- 04.1 which timesteps ---------------------------------------------------------------------------------------------


def trailing_timesteps(n: int) -> Tensor:
    """The library's timesteps as indices of the table, (n,) int64."""
    return (trailing(COSINE, n)[:-1] * TABLE_LENGTH - 1).round().long()


def _leading(n: int) -> Tensor:
    return (torch.arange(n) * (TABLE_LENGTH // n)).flip(0)


def _ascending(n: int) -> Tensor:
    return trailing_timesteps(n).flip(0)


def _off_by_one(n: int) -> Tensor:
    return trailing_timesteps(n) + 1


def _linspace(n: int) -> Tensor:
    return torch.linspace(TABLE_LENGTH - 1, 0, n, dtype=torch.float64).round().long()


def _cut_off(n: int) -> Tensor:
    return (TABLE_LENGTH - torch.arange(n, dtype=torch.float64) * TABLE_LENGTH / n).long() - 1


EX1 = Exercise(
    number="04.1",
    name="trailing_timesteps",
    reference=trailing_timesteps,
    title=Say("Which of the 1000 timesteps?", "Chọn bước nào trong 1000 bước thời gian?"),
    difficulty=1,
    minutes=10,
    probes=(
        Probe(Say("shape for 10 steps", "kích thước khi có 10 bước"), lambda f: list(f(10).shape)),
        Probe(Say("dtype: whole numbers", "kiểu số: số nguyên"), lambda f: str(f(10).dtype)),
        Probe(Say("4 steps", "4 bước"), lambda f: f(4), points=2),
        Probe(Say("7 steps, which do not divide 1000", "7 bước, không chia hết 1000"), lambda f: f(7)),
        Probe(Say("begins at the last entry, also with a single step", "bắt đầu ở phần tử cuối, kể cả khi chỉ có một bước"),
              lambda f: [f(50)[0], f(1)[0]]),
    ),
    mistakes=(
        Mistake("leading", _leading, Say(
            "This is the spacing called leading: it counts up from timestep 0, so the first step starts well below 999. There "
            "the network expects a trace of the picture, and gets pure noise. Count down from the end.",
            "Đây là kiểu chia leading: đếm lên từ bước 0, nên bước đầu tiên nằm xa dưới 999. Ở đó mạng chờ sẵn chút dấu vết "
            "của ảnh, trong khi đầu vào chỉ là nhiễu thuần. Hãy đếm lùi từ cuối bảng.")),
        Mistake("ascending", _ascending, Say(
            "The timesteps are the right ones in the wrong order: sampling goes from noise, timestep 999, down to the data. "
            "Which sign should the stride have?",
            "Các bước thời gian thì đúng nhưng ngược thứ tự: lấy mẫu đi từ nhiễu, bước 999, xuống dữ liệu. Bước nhảy phải "
            "mang dấu gì?")),
        Mistake("off_by_one", _off_by_one, Say(
            "Every timestep is 1 too large: 1000, 900, ... count the steps, but a table of 1000 entries has indices 0 to "
            "999. Look at what has to be done after rounding.",
            "Mỗi bước thời gian bị lớn hơn 1: 1000, 900, ... là số thứ tự đếm từ 1, còn bảng 1000 phần tử có chỉ số từ 0 đến "
            "999. Xem lại việc cần làm sau khi làm tròn.")),
        Mistake("linspace", _linspace, Say(
            "These timesteps include both 999 and 0, so the stride is 999 / (n - 1): the spacing called linspace. Trailing "
            "keeps the stride 1000 / n and leaves the last jump, to clean data, as long as the others.",
            "Dãy này chứa cả 999 lẫn 0, nên bước nhảy là 999 / (n - 1): đó là kiểu chia linspace. Kiểu trailing giữ bước "
            "nhảy 1000 / n và để cú nhảy cuối, về dữ liệu sạch, dài bằng các cú nhảy khác.")),
        Mistake("cut_off", _cut_off, Say(
            "Where 1000 / n is not whole, decimals were cut off instead of rounded: 428.57 became 428. Converting to int "
            "cuts; something has to come before it.",
            "Khi 1000 / n không nguyên, phần thập phân đã bị cắt bỏ thay vì làm tròn: 428.57 thành 428. Đổi sang int là cắt; "
            "cần một phép tính nữa đứng trước nó.")),
    ),
)  # fmt: skip


# --- 04.2 the step --------------------------------------------------------------------------------------------------


def _share(schedule: NoiseSchedule, t: Tensor, s: Tensor, eta: float) -> Tensor:
    """c, the share of fresh noise."""
    r = schedule.sigma(s) * schedule.alpha(t) / (schedule.alpha(s) * schedule.sigma(t))
    return eta * (1 - r**2).sqrt()


def _keeps_all_eps(schedule: NoiseSchedule, x0: Tensor, eps: Tensor, t: Tensor, s: Tensor, eta: float, noise: Tensor) -> Tensor:
    return schedule.alpha(s) * x0 + schedule.sigma(s) * (eps + _share(schedule, t, s, eta) * noise)


def _eta_outside(schedule: NoiseSchedule, x0: Tensor, eps: Tensor, t: Tensor, s: Tensor, eta: float, noise: Tensor) -> Tensor:
    c = _share(schedule, t, s, 1.0)
    return schedule.alpha(s) * x0 + schedule.sigma(s) * ((1 - c**2).sqrt() * eps + eta * c * noise)


def _alpha_bar(schedule: NoiseSchedule, x0: Tensor, eps: Tensor, t: Tensor, s: Tensor, eta: float, noise: Tensor) -> Tensor:
    a_t, a_s = schedule.alpha(t), schedule.alpha(s)
    c = eta * (1 - (1 - a_s) * a_t / (a_s * (1 - a_t))).sqrt()
    return a_s.sqrt() * x0 + (1 - a_s).sqrt() * ((1 - c**2).sqrt() * eps + c * noise)


def _noise_always(schedule: NoiseSchedule, x0: Tensor, eps: Tensor, t: Tensor, s: Tensor, eta: float, noise: Tensor) -> Tensor:
    return samplers.step(schedule, x0, eps, t, s, 1.0, noise)


def _stays_at_t(schedule: NoiseSchedule, x0: Tensor, eps: Tensor, t: Tensor, s: Tensor, eta: float, noise: Tensor) -> Tensor:
    c = _share(schedule, t, s, eta)
    return schedule.alpha(t) * x0 + schedule.sigma(t) * ((1 - c**2).sqrt() * eps + c * noise)


def _ratio_over(schedule: NoiseSchedule, x0: Tensor, eps: Tensor, t: Tensor, s: Tensor, eta: float, noise: Tensor) -> Tensor:
    c = _share(schedule, s, t, eta)
    return schedule.alpha(s) * x0 + schedule.sigma(s) * ((1 - c**2).sqrt() * eps + c * noise)


def stepped(
    eta: float, t: float, s: float, schedule: NoiseSchedule = COSINE, dtype: torch.dtype = torch.float64
) -> Callable[[Any], Any]:
    """A probe's run: one step of two tiny pictures with noise from fixed seeds."""
    x0, eps, noise = (normal(seed, 2, 3, 4, 4).to(dtype) for seed in (1, 2, 3))
    return lambda f: f(schedule, x0, eps, number(t), number(s), eta, noise)


def kept_variance(f: Any) -> list[float]:
    """Variance of x_s less alpha_s^2 + sigma_s^2, which is 1, for x0, eps and noise that are independent with variance 1:
    how much of each is in x_s is read off by giving one of them at a time."""
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    left = []
    for eta in (0.0, 0.3, 1.0):
        weights = [f(COSINE, *(one if k == j else zero for j in (0, 1)), number(0.7), number(0.4), eta, one if k == 2 else zero)
                   for k in range(3)]  # fmt: skip
        left.append(float(sum(w**2 for w in weights)) - 1)
    return left


def other_noise(f: Any) -> Tensor:
    """How far two steps with eta 0 and different noise are apart."""
    x0, eps = normal(1, 2, 3, 4, 4), normal(2, 2, 3, 4, 4)
    first, second = (f(COSINE, x0, eps, number(0.8), number(0.5), 0.0, normal(seed, 2, 3, 4, 4)) for seed in (3, 4))
    return first - second


EX2 = Exercise(
    number="04.2",
    name="ddim_step",
    reference=samplers.step,
    title=Say("The step, with eta", "Một bước, có eta"),
    difficulty=2,
    minutes=20,
    probes=(
        Probe(SHAPE, lambda f: list(stepped(0.5, 0.8, 0.5)(f).shape)),
        Probe(Say("float32 pictures stay float32", "ảnh float32 vẫn là float32"),
              lambda f: str(stepped(0.5, 0.8, 0.5, dtype=torch.float32)(f).dtype)),
        Probe(Say("eta 0", "eta bằng 0"), stepped(0.0, 0.8, 0.5), points=2),
        Probe(Say("eta 0.5", "eta bằng 0.5"), stepped(0.5, 0.8, 0.5), points=2),
        Probe(Say("eta 1, with the schedule of Stable Diffusion", "eta bằng 1, với lịch nhiễu của Stable Diffusion"),
              stepped(1.0, 0.9, 0.6, TABLE)),
        Probe(Say("without new noise for eta 0: the same x0 and eps give the same x_s",
                  "không thêm nhiễu khi eta bằng 0: cùng x0 và eps thì cùng x_s"), other_noise),
        Probe(Say("variance kept for eta 0, 0.3 and 1", "giữ nguyên phương sai khi eta bằng 0, 0.3 và 1"), kept_variance),
    ),
    mistakes=(
        Mistake("keeps_all_eps", _keeps_all_eps, Say(
            "Fresh noise is added on top of all the old noise, so x_s has more noise than sigma_s allows. When c noise comes "
            "in, only sqrt(1 - c^2) of eps may stay: look at what multiplies eps.",
            "Nhiễu mới được cộng thêm trong khi nhiễu cũ vẫn giữ nguyên, nên x_s có nhiều nhiễu hơn mức sigma_s cho phép. "
            "Khi thêm c phần nhiễu mới, chỉ được giữ sqrt(1 - c^2) phần eps: xem lại hệ số của eps.")),
        Mistake("eta_outside", _eta_outside, Say(
            "eta scales the fresh noise, but the share that eps keeps was worked out as if eta were 1: variance is lost, and "
            "with eta 0 this is not DDIM. The same c, with eta in it, belongs in both places.",
            "eta nhân vào nhiễu mới, nhưng phần eps giữ lại vẫn tính như khi eta bằng 1: phương sai bị hụt, và với eta bằng "
            "0 thì đây không phải DDIM. Cả hai chỗ phải dùng cùng một c, trong đó có eta.")),
        Mistake("alpha_bar", _alpha_bar, Say(
            "You took schedule.alpha for the alpha_bar of the papers, and its square root. But alpha_bar = alpha^2: here alpha "
            "and sigma multiply x0 and eps as they are, without a root.",
            "schedule.alpha bị hiểu là alpha_bar trong các bài báo nên đã bị lấy căn. alpha_bar = alpha^2: ở đây alpha và "
            "sigma nhân thẳng với x0 và eps, không lấy căn.")),
        Mistake("noise_always", _noise_always, Say(
            "The noise does not depend on eta: the step is the ancestral one even with eta 0, where the same start should "
            "always give the same picture. Look at c: where is eta in it?",
            "Lượng nhiễu không phụ thuộc eta: ngay cả khi eta bằng 0 đây vẫn là bước tổ tiên, trong khi lẽ ra cùng điểm "
            "xuất phát phải cho cùng bức ảnh. Xem lại c: eta nằm ở đâu?")),
        Mistake("stays_at_t", _stays_at_t, Say(
            "x0 and eps are mixed with alpha and sigma of time t: that is where we come from, so nothing becomes cleaner. "
            "The step ends at s.",
            "x0 và eps được trộn bằng alpha và sigma tại thời điểm t: đó là nơi xuất phát, nên ảnh không sạch hơn chút nào. "
            "Bước này kết thúc tại s.")),
        Mistake("ratio_over", _ratio_over, Say(
            "r is above 1, so 1 - r^2 is negative and its root is nan: times t and s are swapped in r. There is less noise "
            "at s, the later stop; r must be (sigma_s / alpha_s) over (sigma_t / alpha_t).",
            "r lớn hơn 1 nên 1 - r^2 âm và căn của nó là nan: t và s trong r bị đổi chỗ. Tại s ít nhiễu hơn; r phải là "
            "(sigma_s / alpha_s) chia cho (sigma_t / alpha_t).")),
    ),
)  # fmt: skip


# --- 04.3 Heun ------------------------------------------------------------------------------------------------------


def heun_step(denoiser: Denoiser, x: Tensor, schedule: NoiseSchedule, t: Tensor, s: Tensor) -> Tensor:
    """The library's sampler, for a single step."""
    return next(samplers.heun(denoiser, x, schedule, torch.stack([t, s]))).x


def _heun_like(
    finish: Callable[[Tensor, Tensor], Tensor], *, ahead: str = "guess", sign: int = 1
) -> Callable[[Denoiser, Tensor, NoiseSchedule, Tensor, Tensor], Tensor]:
    """Heun's step with another way to join the two slopes, another place to ask for the second, or another sign."""

    def answer(denoiser: Denoiser, x: Tensor, schedule: NoiseSchedule, t: Tensor, s: Tensor) -> Tensor:
        u = x / schedule.alpha(t)
        length = sign * (schedule.sigma(s) / schedule.alpha(s) - schedule.sigma(t) / schedule.alpha(t))
        _, eps = denoiser(x, t)
        guess = u + length * eps
        ends = schedule.alpha(s) * guess
        points = {"guess": (ends, s), "start": (x, s), "unscaled": (guess, s), "old time": (ends, t)}
        _, eps_ahead = denoiser(*points[ahead])
        return schedule.alpha(s) * (u + length * finish(eps, eps_ahead))

    return answer


def _mean(a: Tensor, b: Tensor) -> Tensor:
    return (a + b) / 2


def heuned(t: float, s: float, schedule: NoiseSchedule = COSINE, dtype: torch.dtype = torch.float64) -> Callable[[Any], Any]:
    """A probe's run: one step towards points around -1 and 1."""
    x = normal(5, 4, 2).to(dtype)
    return lambda f: f(mixture(schedule, [-1.0, 1.0], 0.3), x, schedule, number(t), number(s))


def heun_error(f: Any) -> list[float]:
    """Mean error of one long step and of two half as long. For data N(0.5, 0.4^2) the answer is known: x stays as many
    standard deviations from the mean as it was."""
    model, x, t, s = mixture(COSINE, [0.5], 0.4), normal(6, 64), number(0.7), number(0.3)
    mean_t, mean_s = (0.5 * COSINE.alpha(u) for u in (t, s))
    std_t, std_s = (((0.4 * COSINE.alpha(u)) ** 2 + COSINE.sigma(u) ** 2).sqrt() for u in (t, s))
    exact = mean_s + (x - mean_t) / std_t * std_s
    half = f(model, f(model, x, COSINE, t, number(0.5)), COSINE, number(0.5), s)
    return [float((end - exact).abs().mean()) for end in (f(model, x, COSINE, t, s), half)]


def call_times(f: Any) -> list[float]:
    """The times at which the denoiser was called."""
    times: list[float] = []
    f(spied(lambda x, t: (x, x), times), normal(5, 4, 2), COSINE, number(0.6), number(0.4))
    return times


EX3 = Exercise(
    number="04.3",
    name="heun_step",
    reference=heun_step,
    title=Say("Heun: look ahead, then average", "Heun: nhìn trước rồi lấy trung bình"),
    difficulty=3,
    minutes=20,
    probes=(
        Probe(SHAPE, lambda f: list(heuned(0.7, 0.4)(f).shape)),
        Probe(Say("float32 stays float32", "float32 vẫn là float32"),
              lambda f: str(heuned(0.7, 0.4, dtype=torch.float32)(f).dtype)),
        Probe(Say("a step with the cosine schedule", "một bước với lịch cosine"), heuned(0.7, 0.4), points=2),
        Probe(Say("a step with the schedule of flow matching", "một bước với lịch nhiễu của flow matching"),
              heuned(0.9, 0.5, get_schedule("flow"))),
        Probe(Say("two calls of the denoiser, at t and at s", "gọi bộ khử nhiễu hai lần, tại t và tại s"), call_times),
        Probe(Say("error of one step and of two halves", "sai số của một bước và của hai nửa bước"), heun_error),
    ),
    mistakes=(
        Mistake("no_average", _heun_like(lambda first, second: second), Say(
            "Only the second slope was used. That is no better than Euler, which uses only the first: the two err to "
            "opposite sides, and their mean is what cancels.",
            "Chỉ dùng độ dốc thứ hai. Như vậy không hơn gì Euler, vốn chỉ dùng độ dốc thứ nhất: hai sai số lệch về hai phía, "
            "và chính trung bình của chúng mới triệt tiêu nhau.")),
        Mistake("euler", _heun_like(lambda first, second: first), Say(
            "The result is Euler's step: if there is a second slope, it does not reach the result. Go again from x, with the "
            "mean of both.",
            "Kết quả chính là bước Euler: độ dốc thứ hai dù có tính hay không cũng không góp vào kết quả. Hãy đi lại từ x "
            "bằng trung bình của cả hai.")),
        Mistake("second_slope_at_x", _heun_like(_mean, ahead="start"), Say(
            "The second slope comes from the old x with the new time. x has far more noise than belongs to that time; call the "
            "denoiser at the point to which Euler's step leads.",
            "Độ dốc thứ hai được tính tại x cũ nhưng với thời điểm mới. x có nhiều nhiễu hơn hẳn mức của thời điểm đó; hãy gọi "
            "bộ khử nhiễu tại điểm mà bước Euler dẫn tới.")),
        Mistake("unscaled_guess", _heun_like(_mean, ahead="unscaled"), Say(
            "The denoiser was given u = x / alpha, on which it was not trained. Multiply by alpha_s to make it an x again "
            "before asking.",
            "Bộ khử nhiễu nhận u = x / alpha, thứ nó chưa từng thấy khi huấn luyện. Nhân với alpha_s để trở lại thành x rồi "
            "mới hỏi.")),
        Mistake("second_slope_at_t", _heun_like(_mean, ahead="old time"), Say(
            "The second call has the right point but the old time t. The point is where the step ends, so its time is s.",
            "Lần gọi thứ hai đúng điểm nhưng vẫn dùng thời điểm cũ t. Đó là điểm cuối của bước, nên thời điểm của nó là s.")),
        Mistake("wrong_sign", _heun_like(_mean, sign=-1), Say(
            "The step goes backwards, into more noise: rho = sigma / alpha falls on the way to the data, so rho_s - rho_t is "
            "negative. Look at the order of the two.",
            "Bước này đi ngược, về phía nhiều nhiễu hơn: rho = sigma / alpha giảm dần khi về dữ liệu, nên rho_s - rho_t phải "
            "âm. Xem lại thứ tự của hiệu này.")),
        Mistake("sum_of_slopes", _heun_like(lambda first, second: first + second), Say(
            "The two slopes were added, not averaged: the step is twice as long as it should be.",
            "Hai độ dốc được cộng lại chứ chưa lấy trung bình: bước đi dài gấp đôi.")),
    ),
)  # fmt: skip


# --- 04.4 DPM-Solver++ 2M -------------------------------------------------------------------------------------------


def dpmpp_2m_step(
    schedule: NoiseSchedule, x: Tensor, x0: Tensor, t: Tensor, s: Tensor,
    x0_prev: Tensor | None = None, t_prev: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The library's `lookaheads`, `extrapolate` and `step`, with the learner's arguments."""
    eps = (x - schedule.alpha(t) * x0) / schedule.sigma(t)
    if x0_prev is not None and t_prev is not None:
        ahead = samplers.lookaheads(schedule, torch.stack([t_prev, t, s]))[1]
        x0, eps = samplers.extrapolate(x0, eps, x0_prev, ahead, float(schedule.alpha(t) / schedule.sigma(t)))
    return samplers.step(schedule, x0, eps, t, s)


def _dpmpp_like(
    ratio: Callable[[Tensor, Tensor], Tensor], *, recompute: bool = True, from_zero: bool = False
) -> Callable[..., Tensor]:
    """DPM-Solver++ 2M with another weight on the change of x0, with the eps of before, or with 0 for a missing x0_prev."""

    def answer(
        schedule: NoiseSchedule, x: Tensor, x0: Tensor, t: Tensor, s: Tensor,
        x0_prev: Tensor | None = None, t_prev: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        h, aim = schedule.log_snr_half(s) - schedule.log_snr_half(t), x0
        if x0_prev is not None and t_prev is not None:
            aim = x0 + ratio(h, schedule.log_snr_half(t) - schedule.log_snr_half(t_prev)) * (x0 - x0_prev)
        elif from_zero:
            aim = x0 + ratio(h, h) * x0
        eps = (x - schedule.alpha(t) * (aim if recompute else x0)) / schedule.sigma(t)
        return schedule.alpha(s) * aim + schedule.sigma(s) * eps

    return answer


def _right(h: Tensor, h_prev: Tensor) -> Tensor:
    return h / (2 * h_prev)


def leapt(schedule: NoiseSchedule = COSINE, first: bool = False, dtype: torch.dtype = torch.float64) -> Callable[[Any], Any]:
    """A probe's run: one step between three unevenly spaced times, without the first of them where it is a first step."""
    x, x0, x0_prev = (normal(seed, 2, 3, 4, 4).to(dtype) for seed in (7, 8, 9))
    before = (None, None) if first else (x0_prev, number(0.9))
    return lambda f: f(schedule, x, x0, number(0.6), number(0.4), *before)


def same_aim(f: Any) -> Tensor:
    """A step where x0 has not changed since the last: there is nothing to extrapolate."""
    x, x0 = normal(7, 2, 8), normal(8, 2, 8)
    return f(COSINE, x, x0, number(0.6), number(0.4), x0, number(0.9))


def still_x(f: Any) -> Tensor:
    """A step of length 0, which must leave x where it is."""
    x, x0, x0_prev = (normal(seed, 2, 8) for seed in (7, 8, 9))
    return f(COSINE, x, x0, number(0.6), number(0.6), x0_prev, number(0.9)) - x


EX4 = Exercise(
    number="04.4",
    name="dpmpp_2m_step",
    reference=dpmpp_2m_step,
    title=Say("DPM-Solver++ 2M: aim where x0 is going", "DPM-Solver++ 2M: nhắm tới nơi x0 đang đi đến"),
    difficulty=3,
    minutes=25,
    probes=(
        Probe(SHAPE, lambda f: list(leapt()(f).shape)),
        Probe(Say("float32 stays float32", "float32 vẫn là float32"), lambda f: str(leapt(dtype=torch.float32)(f).dtype)),
        Probe(Say("the first step, with nothing before it", "bước đầu tiên, chưa có gì ở trước"), leapt(first=True)),
        Probe(Say("a later step with the cosine schedule", "một bước sau đó với lịch cosine"), leapt(), points=2),
        Probe(Say("a later step with the schedule of Stable Diffusion", "một bước sau đó với lịch nhiễu của Stable Diffusion"),
              leapt(TABLE)),
        Probe(Say("an x0 that stands still: plain DDIM", "x0 đứng yên: chính là DDIM"), same_aim),
        Probe(Say("a step of length 0 leaves x as it is", "bước dài 0 thì x giữ nguyên"), still_x),
    ),
    mistakes=(
        Mistake("ratio_inverted", _dpmpp_like(lambda h, h_prev: h_prev / (2 * h)), Say(
            "The ratio of the two lengths stands upside down. A short step looks a little ahead, so the new length h belongs "
            "above and the previous one, over which x0 changed, below.",
            "Tỉ số hai độ dài bị lộn ngược. Bước ngắn thì chỉ nhìn trước một chút, nên độ dài mới h phải ở tử số, còn độ dài "
            "trước đó, quãng mà x0 đã thay đổi, ở mẫu số.")),
        Mistake("minus_sign", _dpmpp_like(lambda h, h_prev: -h / (2 * h_prev)), Say(
            "The aim lies on the wrong side of x0: it goes back to x0_prev instead of on from it. Look at the sign of the "
            "change, x0 - x0_prev, and of what multiplies it (h and h_prev are both positive).",
            "Điểm nhắm nằm sai phía của x0: quay lại x0_prev thay vì đi tiếp. Xem lại dấu của độ thay đổi x0 - x0_prev và "
            "của hệ số nhân với nó (h và h_prev đều dương).")),
        Mistake("eps_not_recomputed", _dpmpp_like(_right, recompute=False), Say(
            "x0 was moved and eps was not, so alpha_t x0 + sigma_t eps is no longer x. Work out eps from x and the new aim.",
            "x0 đã dời đi mà eps thì không, nên alpha_t x0 + sigma_t eps không còn bằng x. Hãy tính lại eps từ x và điểm "
            "nhắm mới.")),
        Mistake("extrapolates_at_first", _dpmpp_like(_right, from_zero=True), Say(
            "At the first step there is no previous prediction, but one of 0 was taken, which sends x0 half as far again. "
            "Without x0_prev the aim is x0 itself.",
            "Ở bước đầu chưa có dự đoán nào trước đó, nhưng lại dùng giá trị 0 thay thế, làm x0 bị đẩy xa thêm một nửa. Khi "
            "chưa có x0_prev thì điểm nhắm chính là x0.")),
        Mistake("no_half", _dpmpp_like(lambda h, h_prev: h / h_prev), Say(
            "The aim is where x0 will be at the end of the step. A straight line's mean over the step is its middle, half of "
            "h ahead: a factor of 2 is missing.",
            "Điểm nhắm đang là x0 ở cuối bước. Trung bình của một đường thẳng trên cả bước nằm ở giữa bước, tức là trước nửa "
            "h: còn thiếu hệ số 2.")),
    ),
)  # fmt: skip


# --- 04.5 the broken loop -------------------------------------------------------------------------------------------


def sample_loop(denoiser: Denoiser, x: Tensor, schedule: NoiseSchedule, n: int) -> Tensor:
    """The library's sampler with uniform timesteps, its last state."""
    *_, last = samplers.sample(denoiser, x, schedule, uniform(schedule, n))
    return last.x


def _loop_like(times: Callable[[int], Tensor], given: str = "t") -> Callable[[Denoiser, Tensor, NoiseSchedule, int], Tensor]:
    """The loop with other times, or with the wrong one given to the denoiser."""

    def answer(denoiser: Denoiser, x: Tensor, schedule: NoiseSchedule, n: int) -> Tensor:
        for t, s in pairwise(times(n)):
            x0, eps = denoiser(x, t if given == "t" else s)
            x = schedule.alpha(s) * x0 + schedule.sigma(s) * eps
        return x

    return answer


def _down_to_one_nth(n: int) -> Tensor:
    return torch.arange(n, 0, -1, dtype=torch.float64) / n


def _down(n: int) -> Tensor:
    return uniform(COSINE, n)


def looped(n: int) -> Callable[[Any], Any]:
    """A probe's run: n steps from noise to points around -1 and 1, and how often the denoiser was called."""
    x = torch.linspace(-2, 2, 12, dtype=torch.float64).view(6, 2)

    def run(f: Any) -> list[Any]:
        times: list[float] = []
        return [f(spied(mixture(COSINE, [-1.0, 1.0], 0.3), times), x, COSINE, n), len(times)]

    return run


def loop_times(f: Any) -> list[float]:
    """The times at which the denoiser was called in 4 steps."""
    times: list[float] = []
    f(spied(mixture(COSINE, [-1.0, 1.0], 0.3), times), normal(5, 4, 2), COSINE, 4)
    return times


def leftover(f: Any) -> list[float]:
    """Spread of the result where the data are a single value with hardly any spread; and the number of calls."""
    times: list[float] = []
    end = f(spied(mixture(COSINE, [0.5], 1e-6), times), normal(6, 256), COSINE, 10)
    return [float(end.std()), len(times)]


EX5 = Exercise(
    number="04.5",
    name="sample_loop",
    reference=sample_loop,
    title=Say("Debugging: grey grains that will not go", "Gỡ lỗi: những hạt nhiễu không chịu biến mất"),
    difficulty=3,
    minutes=20,
    probes=(
        Probe(SHAPE, lambda f: list(looped(4)(f)[0].shape)),
        Probe(Say("the times given to the denoiser, 4 steps", "các thời điểm đưa cho bộ khử nhiễu, 4 bước"),
              loop_times, points=2),
        Probe(Say("result of 4 steps, and number of calls", "kết quả sau 4 bước, và số lần gọi"), looped(4)),
        Probe(Say("result of 10 steps, and number of calls", "kết quả sau 10 bước, và số lần gọi"), looped(10)),
        Probe(Say("no noise is left at the end", "cuối cùng không còn nhiễu"), leftover),
    ),
    mistakes=(
        Mistake("as_it_was", _loop_like(_down_to_one_nth, "s"), Say(
            "This does what the broken loop did. There are two bugs: print the timesteps, and compare them with the times "
            "that the denoiser gets.",
            "Kết quả vẫn như vòng lặp hỏng ban đầu. Có hai lỗi: hãy in các bước thời gian (timesteps) ra và so với thời điểm "
            "đưa cho bộ khử nhiễu.")),
        Mistake("ends_early", _loop_like(_down_to_one_nth), Say(
            "The denoiser gets the right times now, but the last of the timesteps stays above 0: n steps have n + 1 times, "
            "and the one that makes the picture clean is missing.",
            "Bộ khử nhiễu giờ đã nhận đúng thời điểm, nhưng thời điểm cuối của dãy vẫn lớn hơn 0: n bước cần n + 1 thời điểm, "
            "và còn thiếu thời điểm làm ảnh sạch hẳn.")),
        Mistake("end_of_the_step", _loop_like(_down, "s"), Say(
            "The timesteps are right, but the denoiser gets the time at which the step ends instead of the one at which x is "
            "now: x has the noise of time t.",
            "Các bước thời gian đã đúng, nhưng bộ khử nhiễu lại nhận thời điểm cuối bước thay vì thời điểm hiện tại của x: x "
            "đang có lượng nhiễu của thời điểm t.")),
        Mistake("one_step_short", _loop_like(lambda n: torch.linspace(1, 0, n, dtype=torch.float64)), Say(
            "There are n timesteps from 1 to 0, which make n - 1 steps. Count the gaps, not the posts: n steps have n + 1 "
            "times.",
            "Dãy có n thời điểm từ 1 đến 0, tức là chỉ n - 1 bước. Hãy đếm khoảng cách chứ đừng đếm cột mốc: n bước cần n + "
            "1 thời điểm.")),
        Mistake("rising", _loop_like(lambda n: torch.arange(n + 1, dtype=torch.float64) / n), Say(
            "The times rise, from data to noise, so the loop ends with noise. Sampling starts at 1 and goes down.",
            "Các thời điểm tăng dần, từ dữ liệu về nhiễu, nên vòng lặp kết thúc ở nhiễu. Lấy mẫu bắt đầu từ 1 và đi xuống.")),
    ),
)  # fmt: skip

EXERCISES: tuple[Exercise, ...] = (EX1, EX2, EX3, EX4, EX5)
