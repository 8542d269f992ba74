"""The exercises of lesson 02: DDPM, from betas to a sampling loop.

Time is counted here as in the paper (Ho et al. 2020): step 0 is clean data, step T is noise, and a table alpha_bar has T + 1
entries, the first of them 1. The references are the library's own functions, which know times between 0 and 1 instead;
`times` translates.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from minidiff.course.exercise import Exercise, Mistake, Probe, Say
from minidiff.diffusion import samplers
from minidiff.diffusion.losses import diffusion_loss
from minidiff.diffusion.schedules import get_schedule, linear_betas, per_example

Predict = Callable[[Tensor, Tensor], Tensor]    # (x (B, ...), t (B,) int64) -> eps or x0 (B, ...)
Noise = Callable[[int], Tensor]                 # step t -> standard normal noise like x

SCHEDULE = get_schedule("cosine")


def times(alpha_bar: Tensor) -> Tensor:
    """The times at which the cosine schedule has these alpha_bar, that is, this much noise. Float64, of the same shape."""
    alpha_bar = alpha_bar.double()
    return SCHEDULE.time((alpha_bar / (1 - alpha_bar)).log() / 2)


# --- 02.1 alpha_bar from betas ----------------------------------------------------------------------------------------


def alpha_bars(betas: Tensor) -> Tensor:
    """As `TableSchedule` makes it, with a first entry for clean data."""
    return torch.cat([betas.new_ones(1), (1 - betas).cumprod(0)])


def added(betas: Tensor) -> Tensor:
    return torch.cat([betas.new_ones(1), 1 - betas.cumsum(0)])


def not_cumulated(betas: Tensor) -> Tensor:
    return torch.cat([betas.new_ones(1), 1 - betas])


def product_of_betas(betas: Tensor) -> Tensor:
    return torch.cat([betas.new_ones(1), betas.cumprod(0)])


def no_clean_entry(betas: Tensor) -> Tensor:
    return (1 - betas).cumprod(0)


def clean_at_the_end(betas: Tensor) -> Tensor:
    return torch.cat([(1 - betas).cumprod(0), betas.new_ones(1)])


FEW_BETAS = torch.tensor([0.1, 0.2, 0.4, 0.5], dtype=torch.float64)
FEW = alpha_bars(FEW_BETAS)                                             # (5,): T = 4

ALPHA_BARS = Exercise(
    number="02.1", name="alpha_bars", reference=alpha_bars, difficulty=1, minutes=5,
    title=Say("alpha_bar from betas", "alpha_bar từ các beta"),
    probes=(
        Probe(Say("one entry more than there are betas", "nhiều hơn số beta một phần tử"), lambda f: list(f(FEW_BETAS).shape)),
        Probe(Say("dtype kept", "giữ nguyên kiểu số"), lambda f: str(f(FEW_BETAS.float()).dtype)),
        Probe(Say("four betas that can be checked on paper", "bốn beta có thể tính tay"), lambda f: f(FEW_BETAS), points=2),
        Probe(Say("the 1000 betas of DDPM", "1000 beta của DDPM"), lambda f: f(linear_betas())[[0, 1, 500, 1000]]),
    ),
    mistakes=(
        Mistake("added", added, Say(
            "The betas were added up. What survives two steps is a share of a share, (1 - beta_1)(1 - beta_2): multiply "
            "along the steps, don't add. With 1000 betas the sum goes far below 0.",
            "Bạn đã cộng dồn các beta. Phần còn lại sau hai bước là một tỉ lệ của một tỉ lệ, (1 - beta_1)(1 - beta_2): "
            "phải nhân dồn chứ không cộng. Với 1000 beta, hiệu 1 trừ tổng sẽ xuống dưới 0 rất xa.",
        )),
        Mistake("not_cumulated", not_cumulated, Say(
            "These are the alphas of single steps, 1 - beta_t. alpha_bar_t is what is left after all steps up to t, so it "
            "falls at every step; look for the function that multiplies along a tensor.",
            "Đây mới là alpha của từng bước riêng lẻ, 1 - beta_t. alpha_bar_t là phần còn lại sau mọi bước cho đến t, nên "
            "phải giảm dần; hãy tìm hàm nhân dồn dọc theo một tensor.",
        )),
        Mistake("product_of_betas", product_of_betas, Say(
            "The betas themselves were multiplied. beta is the share of noise that comes in; what stays of the data is 1 "
            "- beta.",
            "Bạn đã nhân chính các beta. beta là phần nhiễu đi vào; phần dữ liệu còn lại là 1 - beta.",
        )),
        Mistake("no_clean_entry", no_clean_entry, Say(
            "The products are right, but entry 0, clean data with alpha_bar = 1, is missing: every t would be off by one.",
            "Các tích đều đúng, nhưng thiếu phần tử 0 ứng với dữ liệu sạch, alpha_bar = 1: mọi t sẽ lệch một bước.",
        )),
        Mistake("clean_at_the_end", clean_at_the_end, Say(
            "The 1 stands at the end. Step 0 is clean data and step T is noise, so the 1 comes first.",
            "Số 1 đang đứng ở cuối. Bước 0 là dữ liệu sạch, bước T là nhiễu, nên số 1 phải đứng đầu.",
        )),
    ),
)  # fmt: skip


# --- 02.2 the forward process in one jump -----------------------------------------------------------------------------


def q_sample(x0: Tensor, eps: Tensor, t: Tensor, alpha_bar: Tensor) -> Tensor:
    """The library's `mix`, at the times that have the table's alpha_bar."""
    return SCHEDULE.mix(x0, eps, times(alpha_bar[t]))


def across(values: Tensor, x: Tensor) -> Tensor:
    """(B,) as (B, 1, ..., 1)."""
    return per_example(values, x)


def no_roots(x0: Tensor, eps: Tensor, t: Tensor, alpha_bar: Tensor) -> Tensor:
    a = across(alpha_bar[t], x0)
    return a * x0 + (1 - a) * eps


def std_for_variance(x0: Tensor, eps: Tensor, t: Tensor, alpha_bar: Tensor) -> Tensor:
    a = across(alpha_bar[t], x0)
    return a.sqrt() * x0 + (1 - a) * eps


def swapped(x0: Tensor, eps: Tensor, t: Tensor, alpha_bar: Tensor) -> Tensor:
    a = across(alpha_bar[t], x0)
    return (1 - a).sqrt() * x0 + a.sqrt() * eps


def one_t_for_all(x0: Tensor, eps: Tensor, t: Tensor, alpha_bar: Tensor) -> Tensor:
    return q_sample(x0, eps, t[:1].expand(len(t)), alpha_bar)


def off_by_one(x0: Tensor, eps: Tensor, t: Tensor, alpha_bar: Tensor) -> Tensor:
    return q_sample(x0, eps, t - 1, alpha_bar)


def along_the_width(x0: Tensor, eps: Tensor, t: Tensor, alpha_bar: Tensor) -> Tensor:
    a = alpha_bar[t].to(x0.dtype)
    return a.sqrt() * x0 + (1 - a).sqrt() * eps


def pair(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 2) -> tuple[Tensor, Tensor]:
    """Data and noise of this shape, always the same."""
    generator = torch.Generator().manual_seed(seed)
    x0, eps = torch.randn(2, *shape, dtype=torch.float64, generator=generator).to(dtype)
    return x0, eps


EVERY_T = torch.tensor([4, 1, 3, 2])


def noised(answer: Callable[..., Tensor], *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return answer(*pair(*shape, dtype=dtype), EVERY_T[: shape[0]], FEW.to(dtype))


def spread(answer: Callable[..., Tensor]) -> Tensor:
    """Variance of x_t at steps 1 to 4, of 4096 examples whose data and noise have variance 1."""
    x0, eps = pair(4, 4096)
    x0, eps = ((x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True) for x in (x0, eps))
    return answer(x0, eps, EVERY_T, FEW).var(1)


Q_SAMPLE = Exercise(
    number="02.2", name="q_sample", reference=q_sample, difficulty=2, minutes=10,
    title=Say("Noise in one jump", "Thêm nhiễu trong một bước nhảy"),
    probes=(
        Probe(Say("shape of pictures", "kích thước khi là ảnh"), lambda f: list(noised(f, 2, 3, 2, 2).shape)),
        Probe(Say("shape and numbers for 2-D points", "kích thước và giá trị với điểm 2 chiều"), lambda f: noised(f, 2, 2)),
        Probe(Say("dtype kept", "giữ nguyên kiểu số"), lambda f: str(noised(f, 4, 3, 4, 4, dtype=torch.float32).dtype)),
        Probe(Say("four pictures, each with a t of its own", "bốn ảnh, mỗi ảnh một t riêng"),
              lambda f: noised(f, 4, 3, 4, 4), points=3),
        Probe(Say("at t = 0 nothing changes", "tại t = 0 không có gì thay đổi"),
              lambda f: f(*pair(2, 2), torch.zeros(2, dtype=torch.long), FEW)),
        Probe(Say("variance stays near 1 at every t", "phương sai giữ gần 1 tại mọi t"), spread),
    ),
    mistakes=(
        Mistake("no_roots", no_roots, Say(
            "The square roots are missing. alpha_bar and 1 - alpha_bar are variances; x and eps are multiplied by "
            "standard deviations, which are their roots.",
            "Thiếu căn bậc hai. alpha_bar và 1 - alpha_bar là phương sai; còn x và eps phải nhân với độ lệch chuẩn, tức "
            "căn của chúng.",
        )),
        Mistake("std_for_variance", std_for_variance, Say(
            "The noise is multiplied by its variance, 1 - alpha_bar, where its standard deviation belongs: there is too "
            "little noise at every t. Which of the two weights has a root, and which has not?",
            "Nhiễu đang được nhân với phương sai 1 - alpha_bar, trong khi phải nhân với độ lệch chuẩn: tại mọi t đều quá "
            "ít nhiễu. Hệ số nào đã có căn, hệ số nào chưa?",
        )),
        Mistake("swapped", swapped, Say(
            "The two weights are swapped: this gives pure noise at t = 0 and the clean picture at the end. Which one "
            "falls with t?",
            "Hai hệ số bị đổi chỗ: như vậy t = 0 là nhiễu thuần, còn cuối cùng lại là ảnh sạch. Hệ số nào giảm theo t?",
        )),
        Mistake("one_t_for_all", one_t_for_all, Say(
            "All examples were noised as much as the first. t holds one step for each example: (B,) of them.",
            "Mọi mẫu đều bị thêm nhiễu như mẫu đầu tiên. t chứa một bước cho mỗi mẫu: tất cả có (B,) giá trị.",
        )),
        Mistake("off_by_one", off_by_one, Say(
            "This is x at step t - 1. Our table already holds a 1 for clean data as entry 0, so entry t is step t.",
            "Đây là x tại bước t - 1. Bảng của ta đã có số 1 cho dữ liệu sạch ở phần tử 0, nên phần tử t chính là bước t.",
        )),
        Mistake("along_the_width", along_the_width, Say(
            "The weights (B,) were spread along the last axis, not along the batch: it ran only because both are equally "
            "long. Make them (B, 1, ..., 1) first, or import `per_example` from minidiff.diffusion.schedules.",
            "Các hệ số (B,) bị trải dọc theo trục cuối chứ không theo lô: đoạn mã chạy được chỉ vì hai trục dài bằng "
            "nhau. Hãy đưa về dạng (B, 1, ..., 1) trước, hoặc dùng `per_example` của minidiff.diffusion.schedules.",
        )),
    ),
)  # fmt: skip


# --- 02.3 the loss ----------------------------------------------------------------------------------------------------


def ddpm_loss(network: Predict, x0: Tensor, t: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    """The library's `diffusion_loss` with prediction type eps and its weights of 1."""
    time = times(alpha_bar[t])
    return diffusion_loss(network(SCHEDULE.mix(x0, eps, time), t), x0, eps, time, SCHEDULE, "eps")


def mse(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().mean()


def clean_target(network: Predict, x0: Tensor, t: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    return mse(network(q_sample(x0, eps, t, alpha_bar), t), x0)


def clean_input(network: Predict, x0: Tensor, t: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    return mse(network(x0, t), eps)


def summed(network: Predict, x0: Tensor, t: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    return (network(q_sample(x0, eps, t, alpha_bar), t) - eps).square().sum()


def noise_twice(network: Predict, x0: Tensor, t: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    return mse(network(q_sample(x0, eps, t, alpha_bar), t), torch.randn_like(x0))


def own_noise(network: Predict, x0: Tensor, t: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    own = torch.randn_like(x0)
    return mse(network(q_sample(x0, own, t, alpha_bar), t), own)


def no_square(network: Predict, x0: Tensor, t: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    return (network(q_sample(x0, eps, t, alpha_bar), t) - eps).abs().mean()


class Toy(nn.Module):
    """A network with two numbers to learn; it looks at x and at t."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor([0.7, 0.2]))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.weights[0] * x - self.weights[1] * across(t.float(), x)


def loss_of(answer: Callable[..., Tensor], *shape: int) -> Tensor:
    x0, eps = pair(*shape, dtype=torch.float32)
    return answer(Toy(), x0, EVERY_T[: shape[0]], eps, FEW.float())


def loss_of_the_perfect(answer: Callable[..., Tensor]) -> Tensor:
    """Of a network that knows the noise, if it is shown x_t: 0."""
    x0, eps = pair(4, 3, 4, 4, dtype=torch.float32)

    def knows(x: Tensor, t: Tensor) -> Tensor:
        alpha_bar = across(FEW.float()[t], x)
        return (x - alpha_bar.sqrt() * x0) / (1 - alpha_bar).sqrt()

    return answer(knows, x0, EVERY_T, eps, FEW.float())


def gradient_of(answer: Callable[..., Tensor]) -> Tensor | None:
    network = Toy()
    x0, eps = pair(4, 3, 4, 4, dtype=torch.float32)
    answer(network, x0, EVERY_T, eps, FEW.float()).backward()   # type: ignore[no-untyped-call]
    return network.weights.grad


DDPM_LOSS = Exercise(
    number="02.3", name="ddpm_loss", reference=ddpm_loss, difficulty=2, minutes=10,
    title=Say("The loss", "Hàm mất mát"),
    probes=(
        Probe(Say("one number for the whole batch", "một số cho cả lô"), lambda f: list(loss_of(f, 4, 3, 4, 4).shape)),
        Probe(Say("its value for pictures", "giá trị với ảnh"), lambda f: loss_of(f, 4, 3, 4, 4), points=3),
        Probe(Say("its value for 2-D points", "giá trị với điểm 2 chiều"), lambda f: loss_of(f, 2, 2)),
        Probe(Say("0 for a network that knows the noise", "bằng 0 với mạng biết đúng nhiễu"), loss_of_the_perfect, atol=1e-5),
        Probe(Say("the gradient reaches the network", "gradient đi tới được mạng"), gradient_of, points=2),
    ),
    mistakes=(
        Mistake("clean_target", clean_target, Say(
            "The prediction is compared with x0. This network predicts the noise, so its target is eps. (Networks that "
            "predict x0 exist; the sampler then has to treat their answer as x0.)",
            "Dự đoán đang được so với x0. Mạng này dự đoán nhiễu, nên mục tiêu của nó là eps. (Cũng có mạng dự đoán x0, nhưng "
            "khi đó bộ lấy mẫu phải coi câu trả lời là x0.)",
        )),
        Mistake("clean_input", clean_input, Say(
            "The network was shown the clean x0. From that nobody can tell the noise: show it x_t, made by q_sample.",
            "Mạng được cho xem x0 sạch. Từ đó không ai đoán được nhiễu: hãy cho mạng xem x_t do q_sample tạo ra.",
        )),
        Mistake("summed", summed, Say(
            "The squares are summed, so loss and gradient grow with the batch and the size of the picture. Take the mean.",
            "Các bình phương đang được cộng lại, nên giá trị và gradient lớn dần theo số mẫu và cỡ ảnh. Hãy lấy trung "
            "bình.",
        )),
        Mistake("noise_twice", noise_twice, Say(
            "Noise was drawn twice: x_t holds one, the prediction is compared with another, which nobody can know. Use "
            "the eps that was given in both places.",
            "Nhiễu được sinh hai lần: x_t chứa nhiễu này nhưng dự đoán lại bị so với nhiễu khác, thứ không ai biết được. "
            "Hãy dùng eps đã cho ở cả hai chỗ.",
        )),
        Mistake("own_noise", own_noise, Say(
            "It draws noise of its own and leaves the eps that it was given unused. It would train, but nobody could "
            "check or repeat it: take the argument.",
            "Hàm tự sinh nhiễu riêng và bỏ không eps được truyền vào. Vẫn huấn luyện được, nhưng không ai kiểm tra hay "
            "lặp lại được: hãy dùng đối số.",
        )),
        Mistake("no_square", no_square, Say(
            "The differences are not squared but made positive (an L1 loss). Its best answer is a median; the derivation "
            "needs the mean, and that is what squares give.",
            "Hiệu chưa được bình phương mà chỉ lấy trị tuyệt đối (L1). Đáp án tốt nhất của nó là trung vị; phép suy dẫn "
            "cần trung bình, và bình phương mới cho điều đó.",
        )),
    ),
)  # fmt: skip


# --- 02.4 one step back -----------------------------------------------------------------------------------------------


def ancestral_step(x: Tensor, x0: Tensor, alpha_bar_t: Tensor, alpha_bar_s: Tensor, noise: Tensor) -> Tensor:
    """The library's `step` at eta = 1, at the times that have these alpha_bar."""
    t, s = times(alpha_bar_t), times(alpha_bar_s)
    alpha, sigma = (across(weight, x) for weight in (SCHEDULE.alpha(t), SCHEDULE.sigma(t)))
    return samplers.step(SCHEDULE, x0, (x - alpha * x0) / sigma, t, s, eta=1.0, noise=noise)


def posterior(
    x: Tensor, x0: Tensor, alpha_bar_t: Tensor, alpha_bar_s: Tensor, share: Tensor | None = None, below: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Mean and variance of x_s given x_t and x0, with holes for mistakes: `share` of x that a step keeps, and what is
    divided by."""
    alpha = alpha_bar_t / alpha_bar_s
    share = alpha if share is None else share
    below = 1 - alpha_bar_t if below is None else below
    mean = (alpha_bar_s.sqrt() * (1 - alpha) * x0 + share.sqrt() * (1 - alpha_bar_s) * x) / below
    return mean, (1 - alpha) * (1 - alpha_bar_s) / (1 - alpha_bar_t)


def as_given(x: Tensor, x0: Tensor, alpha_bar_t: Tensor, alpha_bar_s: Tensor, noise: Tensor) -> Tensor:
    mean, variance = posterior(x, x0, alpha_bar_t, alpha_bar_s, share=alpha_bar_t)
    return mean + variance * noise


def variance_for_std(x: Tensor, x0: Tensor, alpha_bar_t: Tensor, alpha_bar_s: Tensor, noise: Tensor) -> Tensor:
    mean, variance = posterior(x, x0, alpha_bar_t, alpha_bar_s)
    return mean + variance * noise


def alpha_bar_for_alpha(x: Tensor, x0: Tensor, alpha_bar_t: Tensor, alpha_bar_s: Tensor, noise: Tensor) -> Tensor:
    mean, variance = posterior(x, x0, alpha_bar_t, alpha_bar_s, share=alpha_bar_t)
    return mean + variance.sqrt() * noise


def alpha_for_alpha_bar(x: Tensor, x0: Tensor, alpha_bar_t: Tensor, alpha_bar_s: Tensor, noise: Tensor) -> Tensor:
    mean, variance = posterior(x, x0, alpha_bar_t, alpha_bar_s, below=1 - alpha_bar_t / alpha_bar_s)
    return mean + variance.sqrt() * noise


def noise_at_the_end(x: Tensor, x0: Tensor, alpha_bar_t: Tensor, alpha_bar_s: Tensor, noise: Tensor) -> Tensor:
    mean, _ = posterior(x, x0, alpha_bar_t, alpha_bar_s)
    return mean + (1 - alpha_bar_t / alpha_bar_s).sqrt() * noise


def no_share_of_x(x: Tensor, x0: Tensor, alpha_bar_t: Tensor, alpha_bar_s: Tensor, noise: Tensor) -> Tensor:
    _, variance = posterior(x, x0, alpha_bar_t, alpha_bar_s)
    return alpha_bar_s.sqrt() * x0 + variance.sqrt() * noise


def no_noise(x: Tensor, x0: Tensor, alpha_bar_t: Tensor, alpha_bar_s: Tensor, noise: Tensor) -> Tensor:
    return posterior(x, x0, alpha_bar_t, alpha_bar_s)[0]


def stepped(answer: Callable[..., Tensor], t: int, s: int, dtype: torch.dtype = torch.float64) -> Tensor:
    x, x0 = pair(2, 3, 4, 4, dtype=dtype)
    noise, _ = pair(2, 3, 4, 4, dtype=dtype, seed=3)
    return answer(x, x0, FEW[t].to(dtype), FEW[s].to(dtype), noise)


def marginal(answer: Callable[..., Tensor]) -> list[Tensor]:
    """Mean and standard deviation of x_s, when x_t comes from the forward process of the number 5."""
    x0 = torch.full((20000,), 5.0, dtype=torch.float64)
    (eps, noise), a, b = pair(20000), FEW[3], FEW[2]
    x = answer(a.sqrt() * x0 + (1 - a).sqrt() * eps, x0, a, b, noise)
    return [x.mean(), x.std()]


ANCESTRAL_STEP = Exercise(
    number="02.4", name="ancestral_step", reference=ancestral_step, difficulty=3, minutes=15,
    title=Say("Debugging: one step back", "Gỡ lỗi: một bước ngược"),
    probes=(
        Probe(Say("shape", "kích thước"), lambda f: list(stepped(f, 3, 2).shape)),
        Probe(Say("dtype kept", "giữ nguyên kiểu số"), lambda f: str(stepped(f, 3, 2, torch.float32).dtype)),
        Probe(Say("from step 3 to step 2, exactly", "từ bước 3 về bước 2, chính xác"), lambda f: stepped(f, 3, 2), points=3),
        Probe(Say("across several steps, from 4 to 1", "nhảy qua nhiều bước, từ 4 về 1"), lambda f: stepped(f, 4, 1), points=2),
        Probe(Say("the last step gives x0, without noise", "bước cuối cho x0, không có nhiễu"),
              lambda f: stepped(f, 1, 0), points=2),
        Probe(Say("it lands on the forward process of x0 = 5", "rơi đúng vào quá trình thuận của x0 = 5"), marginal),
    ),
    mistakes=(
        Mistake("as_given", as_given, Say(
            "Both faults are still there. One is in a weight of the mean: compare each root with the formula. The other "
            "is in the last line: what is noise multiplied by, a variance or a standard deviation?",
            "Cả hai lỗi vẫn còn. Một lỗi nằm ở hệ số của trung bình: hãy so từng căn với công thức. Lỗi kia ở dòng cuối: "
            "nhiễu phải nhân với phương sai hay độ lệch chuẩn?",
        )),
        Mistake("variance_for_std", variance_for_std, Say(
            "The noise is multiplied by the variance. A standard normal number has to be multiplied by the standard "
            "deviation, its root; otherwise there is too little noise and the samples clump together.",
            "Nhiễu đang nhân với phương sai. Số chuẩn tắc phải nhân với độ lệch chuẩn, tức căn của nó; nếu không sẽ quá "
            "ít nhiễu và các mẫu co cụm lại.",
        )),
        Mistake("alpha_bar_for_alpha", alpha_bar_for_alpha, Say(
            "The weight of x has the root of alpha_bar_t, all steps from the start. It should be alpha, this step alone, "
            "alpha_bar_t / alpha_bar_s.",
            "Hệ số của x đang dùng căn của alpha_bar_t, tức mọi bước từ đầu. Phải là alpha của riêng bước này, "
            "alpha_bar_t / alpha_bar_s.",
        )),
        Mistake("alpha_for_alpha_bar", alpha_for_alpha_bar, Say(
            "The mean is divided by 1 - alpha, the noise of one step, where 1 - alpha_bar_t, all noise so far, belongs. "
            "The two weights then come to far more than 1 and samples explode.",
            "Trung bình đang chia cho 1 - alpha, nhiễu của một bước, thay vì 1 - alpha_bar_t, toàn bộ nhiễu đến giờ. Tổng "
            "hai hệ số khi đó lớn hơn 1 rất nhiều và mẫu bị nổ.",
        )),
        Mistake("noise_at_the_end", noise_at_the_end, Say(
            "The variance is beta, that of a step forward, so noise comes in even at the last step, where s is 0 and x0 "
            "is known. Given x0 it is smaller: beta (1 - alpha_bar_s) / (1 - alpha_bar_t). (The paper tries both; with "
            "beta it leaves out the noise of the last step by hand.)",
            "Phương sai đang là beta của bước thuận, nên ngay cả bước cuối, khi s bằng 0 và x0 đã biết, nhiễu vẫn được "
            "thêm vào. Khi biết x0 thì nó nhỏ hơn: beta (1 - alpha_bar_s) / (1 - alpha_bar_t). (Bài báo thử cả hai; với "
            "beta thì phải tự bỏ nhiễu ở bước cuối.)",
        )),
        Mistake("no_share_of_x", no_share_of_x, Say(
            "The mean is that of x0 alone, sqrt(alpha_bar_s) x0: x_t has no share in it, so every step forgets where it "
            "was.",
            "Trung bình chỉ gồm x0, sqrt(alpha_bar_s) x0: x_t không đóng góp gì, nên mỗi bước đều quên mình vừa ở đâu.",
        )),
        Mistake("no_noise", no_noise, Say(
            "This is the mean, without fresh noise. Every step would take noise away that it should put back, and the "
            "samples come out smooth and alike.",
            "Đây mới là trung bình, chưa cộng nhiễu mới. Mỗi bước sẽ bỏ đi phần nhiễu đáng lẽ phải trả lại, và các mẫu ra "
            "trơn, giống nhau.",
        )),
    ),
)  # fmt: skip


# --- 02.5 the loop ----------------------------------------------------------------------------------------------------


def sample_ddpm(denoise: Predict, x: Tensor, alpha_bar: Tensor, noise: Noise) -> Tensor:
    """The library's `sample` at eta = 1, along the times that have the table's alpha_bar."""
    grid = times(alpha_bar).flip(0)
    steps = {float(time): len(alpha_bar) - 1 - k for k, time in enumerate(grid)}

    def denoiser(x: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        x0 = denoise(x, torch.full((len(x),), steps[float(time)]))
        return x0, (x - float(SCHEDULE.alpha(time)) * x0) / float(SCHEDULE.sigma(time))

    with torch.no_grad():
        *_, last = samplers.sample(denoiser, x, SCHEDULE, grid, eta=1.0, noise=lambda k: noise(len(alpha_bar) - 1 - k))
    return last.x


def loop(
    denoise: Predict, x: Tensor, alpha_bar: Tensor, noise: Noise, ts: list[int], late: int = 0, same: bool = False
) -> Tensor:
    """The loop written out, with holes for mistakes: which steps, how late the time is, and one noise for all."""
    for t in ts:
        x0 = denoise(x, torch.full((len(x),), t - late))
        x = ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], noise(ts[0] if same else t))
    return x


def down_from(alpha_bar: Tensor) -> list[int]:
    return list(range(len(alpha_bar) - 1, 0, -1))


def missing_no_grad(denoise: Predict, x: Tensor, alpha_bar: Tensor, noise: Noise) -> Tensor:
    return loop(denoise, x, alpha_bar, noise, down_from(alpha_bar))


@torch.no_grad()
def time_after_the_step(denoise: Predict, x: Tensor, alpha_bar: Tensor, noise: Noise) -> Tensor:
    return loop(denoise, x, alpha_bar, noise, down_from(alpha_bar), late=1)


@torch.no_grad()
def stops_early(denoise: Predict, x: Tensor, alpha_bar: Tensor, noise: Noise) -> Tensor:
    return loop(denoise, x, alpha_bar, noise, down_from(alpha_bar)[:-1])


@torch.no_grad()
def same_noise(denoise: Predict, x: Tensor, alpha_bar: Tensor, noise: Noise) -> Tensor:
    return loop(denoise, x, alpha_bar, noise, down_from(alpha_bar), same=True)


@torch.no_grad()
def counts_up(denoise: Predict, x: Tensor, alpha_bar: Tensor, noise: Noise) -> Tensor:
    return loop(denoise, x, alpha_bar, noise, down_from(alpha_bar)[::-1])


class ToyDenoiser(nn.Module):
    """Guesses an x0 from x and t, and records the t of each call."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.9, dtype=torch.float64))
        self.steps: list[int] = []

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        self.steps.append(int(torch.as_tensor(t).reshape(-1)[0]))
        return torch.tanh(self.weight * x + 0.1 * self.steps[-1])


def drawn(answer: Callable[..., Tensor], denoise: Predict) -> Tensor:
    """From prepared noise; that of step t is seeded with t."""
    x, _ = pair(2, 3, 4, 4)
    return answer(denoise, x, FEW, lambda t: pair(2, 3, 4, 4, seed=10 + t)[0])


def steps_of_calls(answer: Callable[..., Tensor]) -> list[int]:
    toy = ToyDenoiser()
    drawn(answer, toy)
    return toy.steps


SAMPLE_DDPM = Exercise(
    number="02.5", name="sample_ddpm", reference=sample_ddpm, difficulty=4, minutes=20,
    title=Say("The sampling loop", "Vòng lặp lấy mẫu"),
    probes=(
        Probe(Say("shape", "kích thước"), lambda f: list(drawn(f, ToyDenoiser()).shape)),
        Probe(Say("the network is called at T, ..., 2, 1", "mạng được gọi tại T, ..., 2, 1"), steps_of_calls, points=2),
        Probe(Say("the result, with given noise", "kết quả, với nhiễu cho trước"), lambda f: drawn(f, ToyDenoiser()), points=4),
        Probe(Say("a network that always predicts 0.5 draws 0.5", "mạng luôn dự đoán 0.5 thì vẽ ra 0.5"),
              lambda f: drawn(f, lambda x, t: torch.full_like(x, 0.5))),
        Probe(Say("no graph is kept", "không giữ đồ thị tính toán"), lambda f: drawn(f, ToyDenoiser()).requires_grad, points=2),
    ),
    mistakes=(
        Mistake("missing_no_grad", missing_no_grad, Say(
            "The numbers are right, but the result requires gradients: every step of the loop is kept in memory for a "
            "backward pass that never comes. Sample under torch.no_grad().",
            "Các con số đều đúng, nhưng kết quả vẫn đòi gradient: mọi bước của vòng lặp bị giữ trong bộ nhớ cho một lượt "
            "backward không bao giờ đến. Hãy lấy mẫu trong torch.no_grad().",
        )),
        Mistake("time_after_the_step", time_after_the_step, Say(
            "The network got t - 1, where the step ends. Its input is x_t, so it must get t.",
            "Mạng nhận t - 1, tức nơi bước kết thúc. Đầu vào của mạng là x_t, nên phải đưa t.",
        )),
        Mistake("stops_early", stops_early, Say(
            "The loop stops before the step from 1 to 0, so some noise is left. range() leaves out its end.",
            "Vòng lặp dừng trước bước từ 1 về 0, nên vẫn còn sót nhiễu. range() không lấy giá trị cuối.",
        )),
        Mistake("same_noise", same_noise, Say(
            "The same noise came in at every step. It has to be drawn anew each time: call noise(t) inside the loop, with "
            "its t.",
            "Mọi bước đều dùng cùng một nhiễu. Mỗi lần phải sinh mới: hãy gọi noise(t) bên trong vòng lặp, với đúng t đó.",
        )),
        Mistake("counts_up", counts_up, Say(
            "The loop counts up, from clean to noise. Sampling begins with noise, at step T.",
            "Vòng lặp đang đếm lên, từ sạch đến nhiễu. Lấy mẫu phải bắt đầu từ nhiễu, ở bước T.",
        )),
    ),
)  # fmt: skip

EXERCISES = (ALPHA_BARS, Q_SAMPLE, DDPM_LOSS, ANCESTRAL_STEP, SAMPLE_DDPM)
