"""Exercise 02.5, sample_ddpm: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="4" minutes="20"
# ## The sampling loop
#
# **Wire it.** From noise at step $T$ to data at step 0. At each step ask `denoise` for its guess at the clean data, then step
# back with your `ancestral_step`. Nothing is learnt here, so the network runs without gradients. The noise comes from outside,
# `noise(t)` for the step that begins at $t$, so that a drawing can be repeated.
# %% [markdown] lang="vi" of="5cbabee3"
# ## Vòng lặp lấy mẫu
#
# **Lắp ráp.** Từ nhiễu ở bước $T$ về dữ liệu ở bước 0. Ở mỗi bước, hỏi `denoise` để lấy lời đoán về dữ liệu sạch, rồi lùi một
# bước bằng `ancestral_step` của bạn. Ở đây không học gì cả, nên mạng chạy mà không tính gradient. Nhiễu đến từ bên ngoài,
# `noise(t)` cho bước bắt đầu ở $t$, để có thể vẽ lại y hệt.

# %% [markdown] lang="en" role="hints"
# How many entries has `alpha_bar`, and what is T? Write down the values of t for a table of 5 entries: first and last.
# ---
# `range(T, 0, -1)` goes T, ..., 1. The network wants a step for each example: `torch.full((len(x),), t)`.
# ---
# In the loop: x0 from `denoise(x, ts)`, then x from `ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], noise(t))`. And
# `@torch.no_grad()` above the function.
# %% [markdown] lang="vi" of="3948bf16"
# `alpha_bar` có bao nhiêu phần tử, và T là mấy? Hãy viết ra các giá trị của t với bảng 5 phần tử: đầu và cuối.
# ---
# `range(T, 0, -1)` đi T, ..., 1. Mạng cần một bước cho mỗi mẫu: `torch.full((len(x),), t)`.
# ---
# Trong vòng lặp: x0 lấy từ `denoise(x, ts)`, rồi x lấy từ `ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], noise(t))`. Và
# `@torch.no_grad()` ở trên hàm.

# %% [markdown] lang="en" role="stub"
# Data (B, ...) from noise x (B, ...), without gradients.
# denoise: (x (B, ...), t (B,) int64) -> x0 (B, ...); alpha_bar: (T + 1,);
# noise: step t, an int -> standard normal (B, ...).
# ---
# 1. keep no gradients
# 2. for t from T down to 1:
# 3.     ask for x0, with t for each example                # (B,) int64 to (B, ...)
# 4.     step from t to t - 1, with noise(t)                # (B, ...)
# 5. return x
# %% [markdown] lang="vi" of="e91a586d"
# Dữ liệu (B, ...) từ nhiễu x (B, ...), không tính gradient.
# denoise, hàm khử nhiễu: (x (B, ...), t (B,) int64) -> x0 (B, ...);
# alpha_bar: (T + 1,); noise: bước t, một số int -> nhiễu chuẩn tắc (B, ...).
# ---
# 1. không giữ gradient
# 2. với t từ T xuống 1:
# 3.     hỏi x0, đưa t cho từng mẫu                     # (B,) int64 thành (B, ...)
# 4.     lùi từ t về t - 1, với noise(t)                # (B, ...)
# 5. trả về x

# %% role="solution"
@torch.no_grad()
def sample_ddpm(
    denoise: Callable, x: Tensor, alpha_bar: Tensor, noise: Callable
) -> Tensor:
    for t in range(len(alpha_bar) - 1, 0, -1):
        x0 = denoise(x, torch.full((len(x),), t))               # (B, ...)
        x = ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], noise(t))
    return x

# %% [markdown] lang="en" role="checks"
# - shape
# - the network is called at T, ..., 2, 1
# - it is told t as the lesson's networks are: (B,) int64
# - the result, with given noise and guesses beyond -1..1
# - a network that always predicts 0.5 draws 0.5, also with a table that ends in 0
# - no gradients, neither in the network nor in the result
# %% [markdown] lang="vi" of="f281f5ab"
# - kích thước
# - mạng được gọi tại T, ..., 2, 1
# - mạng được báo t như các mạng trong bài: (B,) int64
# - kết quả, với nhiễu cho trước và lời đoán vượt ra ngoài -1..1
# - mạng luôn dự đoán 0.5 thì vẽ ra 0.5, kể cả với bảng kết thúc bằng 0
# - không có gradient, cả trong mạng lẫn ở kết quả

# %% role="probes"
import torch
from torch import nn


class Toy(nn.Module):
    """Guesses an x0 in -2..2 from x and t, and notes how it is called."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.9, dtype=torch.float64))
        self.steps, self.kinds, self.gradients = [], [], []

    def forward(self, x, t):
        tensor = isinstance(t, torch.Tensor)
        self.kinds.append(f"{t.dtype} {tuple(t.shape)}" if tensor else type(t).__name__)
        self.steps.append(float(torch.as_tensor(t).reshape(-1)[0]))
        self.gradients.append(torch.is_grad_enabled())
        return 2 * torch.tanh(self.weight * x + 0.1 * self.steps[-1])


def normal(seed):
    """Standard normal numbers, the same in every call."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, 4, 4, generator=generator, dtype=torch.float64)


def drawn(f, x, alpha_bar, noises, denoise=None):
    return f(denoise or Toy(), x, alpha_bar, lambda t: noises[t])


def noted(what):
    """A call that gives what the network noted, in place of the result."""

    def call(f, **inputs):
        toy = Toy()
        drawn(f, denoise=toy, **inputs)
        return getattr(toy, what)

    return call


def always_half(f, alpha_bar, **inputs):
    def half(x, t):
        return torch.full_like(x, 0.5)

    tables = (alpha_bar, torch.cat([alpha_bar, alpha_bar.new_zeros(1)]))
    return [drawn(f, alpha_bar=table, denoise=half, **inputs) for table in tables]


def gradients(f, **inputs):
    toy = Toy()
    x = drawn(f, denoise=toy, **inputs)
    return {
        "the network runs with gradients": any(toy.gradients),
        "the result needs a gradient": x.requires_grad,
    }


ALPHA_BAR = torch.tensor([1.0, 0.9, 0.72, 0.432, 0.216], dtype=torch.float64)    # T = 4
NOISES = [normal(10 + t) for t in range(6)]
GIVEN = {"x": normal(2), "alpha_bar": ALPHA_BAR, "noises": NOISES}

probe(lambda f, **inputs: list(drawn(f, **inputs).shape), **GIVEN)
probe(noted("steps"), points=2, **GIVEN)
probe(noted("kinds"), **GIVEN)
probe(drawn, points=4, **GIVEN)
probe(always_half, **GIVEN)
probe(gradients, points=2, **GIVEN)

# %% [markdown] lang="en" role="mistake" name="missing_no_grad"
# The result requires gradients: every step of the loop is kept in memory for a backward pass that never comes. Sample under
# torch.no_grad().
# %% [markdown] lang="vi" of="633f01ed"
# Kết quả vẫn đòi gradient: mọi bước của vòng lặp bị giữ trong bộ nhớ cho một lượt backward không bao giờ đến. Hãy lấy mẫu trong
# torch.no_grad().
# %% role="wrong" name="missing_no_grad"
patch("@torch.no_grad()\n", "")

# %% [markdown] lang="en" role="mistake" name="detached"
# The result is detached, but the network ran with gradients: until detach(), whatever a backward pass would need was kept in
# memory. Under torch.no_grad() it is not kept at all.
# %% [markdown] lang="vi" of="7ef95fd8"
# Kết quả đã detach, nhưng mạng vẫn chạy có gradient: cho đến lúc detach(), mọi thứ mà một lượt backward cần đều bị giữ trong bộ
# nhớ. Trong torch.no_grad() thì chúng không hề được giữ.
# %% role="wrong" name="detached"
patch("@torch.no_grad()\n", "")
patch("return x", "return x.detach()")

# %% [markdown] lang="en" role="mistake" name="time_after_the_step"
# The network got t - 1, where the step ends. Its input is x_t, so it must get t.
# %% [markdown] lang="vi" of="2f43b365"
# Mạng nhận t - 1, tức nơi bước kết thúc. Đầu vào của mạng là x_t, nên phải đưa t.
# %% role="wrong" name="time_after_the_step"
patch("torch.full((len(x),), t)", "torch.full((len(x),), t - 1)")

# %% [markdown] lang="en" role="mistake" name="t_as_int"
# The network was told t as a plain int. The networks of this lesson look a step up for each example: give them a tensor (B,) of
# int64, filled with t.
# %% [markdown] lang="vi" of="441d77f7"
# Mạng nhận t là một số int thường. Các mạng trong bài này tra một bước cho mỗi mẫu: hãy đưa một tensor (B,) kiểu int64, điền
# đầy bằng t.
# %% role="wrong" name="t_as_int"
patch("torch.full((len(x),), t)", "t")

# %% [markdown] lang="en" role="mistake" name="t_without_batch"
# The network was told t as a tensor of shape (), one for the whole batch. It looks a step up for each example: fill a tensor
# (B,) with t.
# %% [markdown] lang="vi" of="adb0d253"
# Mạng nhận t là một tensor kích thước (), một cho cả lô. Mạng tra một bước cho mỗi mẫu: hãy điền t vào một tensor (B,).
# %% role="wrong" name="t_without_batch"
patch("torch.full((len(x),), t)", "torch.tensor(t)")

# %% [markdown] lang="en" role="mistake" name="t_as_float"
# The network was told t in floating point. t is a place in a table, and only whole numbers (int64) point to one: alpha_bar[t]
# would fail.
# %% [markdown] lang="vi" of="1a4c2496"
# Mạng nhận t là số thực. t là một vị trí trong bảng, mà chỉ số nguyên (int64) mới chỉ được vị trí: alpha_bar[t] sẽ báo lỗi.
# %% role="wrong" name="t_as_float"
patch("torch.full((len(x),), t)", "torch.full((len(x),), float(t))")

# %% [markdown] lang="en" role="mistake" name="stops_early"
# The loop stops before the step from 1 to 0, so some noise is left. range() leaves out its end.
# %% [markdown] lang="vi" of="88fa8190"
# Vòng lặp dừng trước bước từ 1 về 0, nên vẫn còn sót nhiễu. range() không lấy giá trị cuối.
# %% role="wrong" name="stops_early"
patch("len(alpha_bar) - 1, 0, -1", "len(alpha_bar) - 1, 1, -1")

# %% [markdown] lang="en" role="mistake" name="starts_late"
# The first step, from T to T - 1, is missing. The table has T + 1 entries, so T is len(alpha_bar) - 1, and the loop begins
# there.
# %% [markdown] lang="vi" of="62f6d71e"
# Thiếu bước đầu tiên, từ T về T - 1. Bảng có T + 1 phần tử, nên T là len(alpha_bar) - 1, và vòng lặp bắt đầu từ đó.
# %% role="wrong" name="starts_late"
patch("len(alpha_bar) - 1, 0", "len(alpha_bar) - 2, 0")

# %% [markdown] lang="en" role="mistake" name="counts_up"
# The loop counts up, from clean to noise. Sampling begins with noise, at step T.
# %% [markdown] lang="vi" of="a14ba8f4"
# Vòng lặp đang đếm lên, từ sạch đến nhiễu. Lấy mẫu phải bắt đầu từ nhiễu, ở bước T.
# %% role="wrong" name="counts_up"
patch("range(len(alpha_bar) - 1, 0, -1)", "range(1, len(alpha_bar))")

# %% [markdown] lang="en" role="mistake" name="same_noise"
# The same noise came in at every step. It has to be drawn anew each time: call noise(t) inside the loop, with its t.
# %% [markdown] lang="vi" of="6dcb5d54"
# Mọi bước đều dùng cùng một nhiễu. Mỗi lần phải sinh mới: hãy gọi noise(t) bên trong vòng lặp, với đúng t đó.
# %% role="wrong" name="same_noise"
patch("noise(t)", "noise(len(alpha_bar) - 1)")

# %% [markdown] lang="en" role="mistake" name="noise_of_the_next_step"
# The noise is that of the next step, noise(t - 1). A step has the number that it begins with, so the step from t to t - 1 takes
# noise(t).
# %% [markdown] lang="vi" of="059dd3b1"
# Đây là nhiễu của bước kế tiếp, noise(t - 1). Mỗi bước mang số của nơi nó bắt đầu, nên bước từ t về t - 1 dùng noise(t).
# %% role="wrong" name="noise_of_the_next_step"
patch("noise(t)", "noise(t - 1)")

# %% [markdown] lang="en" role="mistake" name="own_noise"
# The loop draws noise of its own and never calls noise(t), so nobody could repeat the drawing. Use the argument.
# %% [markdown] lang="vi" of="06ab6a42"
# Vòng lặp tự sinh nhiễu riêng và không hề gọi noise(t), nên không ai vẽ lại được. Hãy dùng đối số.
# %% role="wrong" name="own_noise"
patch("noise(t)", "torch.randn_like(x)")

# %% [markdown] lang="en" role="mistake" name="clamped_guess"
# The guess was clamped to -1..1. That suits pictures, but not every kind of data (think of points in a plane), and whoever
# makes `denoise` has to decide: use its guess as it is.
# %% [markdown] lang="vi" of="753d8017"
# Lời đoán bị cắt về -1..1. Điều đó hợp với ảnh chứ không hợp với mọi loại dữ liệu (hãy nghĩ đến các điểm trên mặt phẳng), và
# nơi làm ra `denoise` mới là nơi quyết định: hãy dùng lời đoán nguyên như vậy.
# %% role="wrong" name="clamped_guess"
patch("torch.full((len(x),), t))", "torch.full((len(x),), t)).clamp(-1, 1)")

# %% [markdown] lang="en" role="mistake" name="entries_swapped"
# ancestral_step got the two entries of the table the wrong way round, as if the step went forward; the root of a negative
# number is not a number (NaN). First comes alpha_bar[t], where x is, then alpha_bar[t - 1], where it goes.
# %% [markdown] lang="vi" of="e183ccd7"
# ancestral_step nhận hai phần tử của bảng ngược chỗ, như thể bước đi theo chiều thuận; căn của số âm thì không phải là số
# (NaN). Trước tiên là alpha_bar[t], nơi x đang ở, rồi mới đến alpha_bar[t - 1], nơi nó sẽ tới.
# %% role="wrong" name="entries_swapped"
patch("alpha_bar[t], alpha_bar[t - 1]", "alpha_bar[t - 1], alpha_bar[t]")

# %% [markdown] lang="en" role="mistake" name="always_from_the_start"
# Every step begins with the noise of step T: what the step before made is never used. Give the result the name x again, so that
# the next step goes on from it.
# %% [markdown] lang="vi" of="fd89ab8e"
# Bước nào cũng bắt đầu từ nhiễu của bước T: kết quả của bước trước không hề được dùng. Hãy gán kết quả lại cho tên x, để bước
# sau đi tiếp từ đó.
# %% role="wrong" name="always_from_the_start"
patch("x = ancestral_step(", "x_s = ancestral_step(")
patch("return x", "return x_s")

# %% role="library"
import torch

from minidiff.diffusion import samplers
from minidiff.diffusion.schedules import get_schedule


def sample_ddpm(denoise, x, alpha_bar, noise):
    """`sample` at eta = 1, along the times when the cosine schedule has these."""
    schedule, table, T = get_schedule("cosine"), alpha_bar.double(), len(alpha_bar) - 1
    grid = schedule.time((table / (1 - table)).log() / 2).flip(0)   # from noise to data
    steps = {float(time): T - k for k, time in enumerate(grid)}

    def denoiser(x, time):
        x0 = denoise(x, torch.full((len(x),), steps[float(time)]))
        return x0, (x - float(schedule.alpha(time)) * x0) / float(schedule.sigma(time))

    with torch.no_grad():
        *_, last = samplers.sample(
            denoiser, x, schedule, grid, eta=1.0, noise=lambda k: noise(T - k)
        )
    return last.x

# %% role="payoff"
def draw(sample_ddpm: Callable) -> Tensor:
    denoiser = pipe.denoiser(["cat", "flower"], ["", ""], 2.0)

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        return denoiser(x, t[0].double() / 30)[0]

    return sample_ddpm(denoise, noises[0], alpha_bar, lambda t: noises[t])


payoff(draw, sample_ddpm, tolerance=0.01)
