"""Exercise 04.4, dpmpp_2m_step: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="25"
# ## DPM-Solver++ 2M: aim where x0 is going
#
# Make one step of DPM-Solver++ 2M. With $\lambda=\log(\alpha/\sigma)$, which is `schedule.log_snr_half`,
# $h=\lambda_s-\lambda_t$ and $h_\text{prev}=\lambda_t-\lambda_{t_\text{prev}}$:
#
# $$\text{aim}=x_0+\frac{h}{2\,h_\text{prev}}(x_0-x_{0,\text{prev}})$$
#
# $$\epsilon=\frac{x-\alpha_t\,\text{aim}}{\sigma_t}\qquad
# x_s=\alpha_s\,\text{aim}+\sigma_s\,\epsilon$$
#
# At the first step `x0_prev` and `t_prev` are `None`: then the aim is $x_0$. At time 1, $\lambda$ may be $-\infty$; after a
# step out of it $h_\text{prev}$ is infinite, and $h/(2\,h_\text{prev})$ is 0. A step into clean data, $s=0$, is given no
# `x0_prev` either, since its $h$ is infinite.
# %% [markdown] lang="vi" of="210429df"
# ## DPM-Solver++ 2M: nhắm tới nơi x0 đang đi đến
#
# Đi một bước DPM-Solver++ 2M. Với $\lambda=\log(\alpha/\sigma)$, tức `schedule.log_snr_half`, $h=\lambda_s-\lambda_t$ và
# $h_\text{prev}=\lambda_t-\lambda_{t_\text{prev}}$:
#
# $$\text{aim}=x_0+\frac{h}{2\,h_\text{prev}}(x_0-x_{0,\text{prev}})$$
#
# $$\epsilon=\frac{x-\alpha_t\,\text{aim}}{\sigma_t}\qquad
# x_s=\alpha_s\,\text{aim}+\sigma_s\,\epsilon$$
#
# Ở bước đầu tiên, `x0_prev` và `t_prev` là `None`: khi đó điểm nhắm (aim) chính là $x_0$. Tại thời điểm 1, $\lambda$ có thể là
# $-\infty$; ngay sau bước rời khỏi đó thì $h_\text{prev}$ là vô hạn, và $h/(2\,h_\text{prev})$ bằng 0. Bước đi tới dữ liệu
# sạch, $s=0$, cũng không nhận `x0_prev`, vì $h$ của nó là vô hạn.

# %% [markdown] lang="en" role="hints"
# Write the first step first: without a previous prediction this is DDIM.
# ---
# h is the step to be made, h_prev the one behind us, both positive. The weight of the change is half of their ratio.
# ---
# eps has to be worked out after the aim and with the aim, otherwise x is no longer made of the two.
# %% [markdown] lang="vi" of="5a9118d7"
# Hãy viết bước đầu tiên trước: khi chưa có dự đoán nào trước đó, đây là DDIM.
# ---
# h là bước sắp đi, h_prev là bước vừa đi, cả hai đều dương. Hệ số của độ thay đổi là một nửa tỉ số của chúng.
# ---
# eps phải tính sau và bằng điểm nhắm, nếu không hai thứ sẽ không còn ghép lại thành x.

# %% [markdown] lang="en" role="stub"
# x (B, ...) at time t, where the denoiser says x0 (B, ...), to x (B, ...) at
# time s < t. x0_prev (B, ...) is what it said at t_prev > t. t, s, t_prev: ().
# ---
# 1. where there is a previous prediction: the lengths h and h_prev, each (),
#    and the aim (B, ...)
# 2. eps (B, ...), from x and the aim
# 3. the step
# %% [markdown] lang="vi" of="b8485f81"
# x (B, ...) tại thời điểm t, nơi bộ khử nhiễu dự đoán x0 (B, ...), thành
# x (B, ...) tại thời điểm s < t. x0_prev (B, ...) là dự đoán tại t_prev > t.
# t, s, t_prev: ().
# ---
# 1. khi có dự đoán trước đó: các độ dài h và h_prev, mỗi thứ (),
#    và điểm nhắm (B, ...)
# 2. eps (B, ...), từ x và điểm nhắm
# 3. bước đi

# %% role="solution"
def dpmpp_2m_step(
    schedule: NoiseSchedule, x: Tensor, x0: Tensor, t: Tensor, s: Tensor,
    x0_prev: Tensor | None = None, t_prev: Tensor | None = None,
) -> Tensor:
    aim = x0                                                        # (B, ...)
    if x0_prev is not None:
        h = schedule.log_snr_half(s) - schedule.log_snr_half(t)     # ()
        h_prev = schedule.log_snr_half(t) - schedule.log_snr_half(t_prev)
        aim = x0 + h / (2 * h_prev) * (x0 - x0_prev)
    eps = (x - schedule.alpha(t) * aim) / schedule.sigma(t)         # (B, ...)
    return schedule.alpha(s) * aim + schedule.sigma(s) * eps

# %% [markdown] lang="en" role="checks"
# - shape
# - float32 stays float32
# - the first step, with nothing before it
# - a later step with the cosine schedule
# - a later step with the schedule of Stable Diffusion
# - an x0 that stands still: plain DDIM
# - a step of length 0 leaves x as it is
# - out of pure noise (t = 1), the step after that (t_prev = 1), and into clean data (s = 0)
# %% [markdown] lang="vi" of="c5de41b6"
# - kích thước
# - float32 vẫn là float32
# - bước đầu tiên, chưa có gì ở trước
# - một bước sau đó với lịch cosine
# - một bước sau đó với lịch nhiễu của Stable Diffusion
# - x0 đứng yên: chính là DDIM
# - bước dài 0 thì x giữ nguyên
# - rời khỏi nhiễu thuần (t = 1), bước ngay sau đó (t_prev = 1), và bước tới dữ liệu sạch (s = 0)

# %% role="probes"
import torch

from minidiff.diffusion.schedules import get_schedule

COSINE, TABLE = get_schedule("cosine"), get_schedule("scaled_linear")


def number(value):
    """A time as the library passes it: () float64."""
    return torch.tensor(value, dtype=torch.float64)


def normal(seed, *shape):
    """Standard normal noise that is the same in every call, float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def stepped(schedule=COSINE):
    """One step that has a previous prediction."""
    return lambda f, x, x0, x0_prev, t, s, t_prev: f(schedule, x, x0, t, s, x0_prev, t_prev)


def at_the_ends(f, x, x0, x0_prev, times):
    """Steps at both ends of sampling: where alpha is 0, with a previous step that began there, and where sigma becomes 0."""
    noise, early, later, late, clean = times
    return [f(COSINE, x, x0, noise, early, None, None), f(COSINE, x, x0, early, later, x0_prev, noise),
            f(COSINE, x, x0, late, clean, None, None)]  # fmt: skip


NAMES = ("x", "x0", "x0_prev")
PICTURES = {name: normal(seed, 2, 3, 4, 4) for seed, name in enumerate(NAMES, start=7)}
FLOATS = {name: picture.float() for name, picture in PICTURES.items()}
ROWS = {name: normal(seed, 2, 8) for seed, name in enumerate(NAMES, start=7)}
TIMES = {"t": number(0.6), "s": number(0.4), "t_prev": number(0.9)}     # unevenly spaced

probe(lambda f, **given: list(stepped()(f, **given).shape), **PICTURES, **TIMES)
probe(lambda f, **given: str(stepped()(f, **given).dtype), **FLOATS, **TIMES)
probe(lambda f, x, x0, t, s: f(COSINE, x, x0, t, s), x=PICTURES["x"], x0=PICTURES["x0"], t=number(0.6), s=number(0.4))
probe(stepped(), points=2, **PICTURES, **TIMES)
probe(stepped(TABLE), **PICTURES, **TIMES)
probe(stepped(), x=ROWS["x"], x0=ROWS["x0"], x0_prev=ROWS["x0"].clone(), **TIMES)
probe(stepped(), **ROWS, t=number(0.6), s=number(0.6), t_prev=number(0.9))
probe(at_the_ends, **ROWS, times=[number(1.0), number(0.8), number(0.6), number(0.2), number(0.0)])

# %% [markdown] lang="en" role="mistake" name="ratio_inverted"
# The ratio of the two lengths stands upside down. A short step looks a little ahead, so the new length h belongs above and the
# previous one, over which x0 changed, below.
# %% [markdown] lang="vi" of="6d4dee43"
# Tỉ số hai độ dài bị lộn ngược. Bước ngắn thì chỉ nhìn trước một chút, nên độ dài mới h phải ở tử số, còn độ dài trước đó,
# quãng mà x0 đã thay đổi, ở mẫu số.
# %% role="wrong" name="ratio_inverted"
patch("h / (2 * h_prev)", "h_prev / (2 * h)")

# %% [markdown] lang="en" role="mistake" name="minus_sign"
# The aim lies on the wrong side of x0: it goes back to x0_prev instead of on from it. Look at the sign of the change, x0 -
# x0_prev, and of what multiplies it (h and h_prev are both positive).
# %% [markdown] lang="vi" of="867157ec"
# Điểm nhắm nằm sai phía của x0: quay lại x0_prev thay vì đi tiếp. Xem lại dấu của độ thay đổi x0 - x0_prev và của hệ số nhân
# với nó (h và h_prev đều dương).
# %% role="wrong" name="minus_sign"
patch("h / (2 * h_prev)", "-h / (2 * h_prev)")

# %% [markdown] lang="en" role="mistake" name="eps_not_recomputed"
# x0 was moved and eps was not, so alpha_t x0 + sigma_t eps is no longer x. Work out eps from x and the new aim.
# %% [markdown] lang="vi" of="b654f5b4"
# x0 đã dời đi mà eps thì không, nên alpha_t x0 + sigma_t eps không còn bằng x. Hãy tính lại eps từ x và điểm nhắm mới.
# %% role="wrong" name="eps_not_recomputed"
patch("schedule.alpha(t) * aim", "schedule.alpha(t) * x0")

# %% [markdown] lang="en" role="mistake" name="extrapolates_at_first"
# At the first step there is no previous prediction, but one of 0 was taken, which sends x0 half as far again. Without x0_prev
# the aim is x0 itself.
# %% [markdown] lang="vi" of="fe312160"
# Ở bước đầu chưa có dự đoán nào trước đó, nhưng lại dùng giá trị 0 thay thế, làm x0 bị đẩy xa thêm một nửa. Khi chưa có x0_prev
# thì điểm nhắm chính là x0.
# %% role="wrong" name="extrapolates_at_first"
def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    h = schedule.log_snr_half(s) - schedule.log_snr_half(t)
    h_prev = h if t_prev is None else schedule.log_snr_half(t) - schedule.log_snr_half(t_prev)
    aim = x0 + h / (2 * h_prev) * (x0 - (0 if x0_prev is None else x0_prev))
    eps = (x - schedule.alpha(t) * aim) / schedule.sigma(t)
    return schedule.alpha(s) * aim + schedule.sigma(s) * eps

# %% [markdown] lang="en" role="mistake" name="inf_over_inf"
# At the first step x0 stands in for x0_prev, so that the change is 0, but with t = 1 or s = 0 its weight is inf / inf, which is
# nan, and nan times 0 is nan. Leave the correction out where there is no previous prediction.
# %% [markdown] lang="vi" of="6488dfd0"
# Ở bước đầu, x0 được dùng thay cho x0_prev nên độ thay đổi bằng 0, nhưng khi t = 1 hoặc s = 0 thì hệ số của nó là inf / inf,
# tức nan, và nan nhân 0 vẫn là nan. Khi chưa có dự đoán trước đó, hãy bỏ hẳn phần hiệu chỉnh.
# %% role="wrong" name="inf_over_inf"
def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    h = schedule.log_snr_half(s) - schedule.log_snr_half(t)
    h_prev = h if t_prev is None else schedule.log_snr_half(t) - schedule.log_snr_half(t_prev)
    aim = x0 + h / (2 * h_prev) * (x0 - (x0 if x0_prev is None else x0_prev))
    eps = (x - schedule.alpha(t) * aim) / schedule.sigma(t)
    return schedule.alpha(s) * aim + schedule.sigma(s) * eps

# %% [markdown] lang="en" role="mistake" name="line_from_x0_prev"
# The line is drawn from x0_prev, so that its lambda is subtracted from two others. With t_prev = 1 that lambda is -inf, and inf
# / inf is nan. Start from x0 and add the change times h / (2 h_prev), which is 0 there.
# %% [markdown] lang="vi" of="d3c93f61"
# Đường thẳng được kẻ từ x0_prev, nên lambda của nó bị trừ khỏi cả hai lambda kia. Khi t_prev = 1, lambda đó là -inf, và inf /
# inf là nan. Hãy xuất phát từ x0 rồi cộng độ thay đổi nhân h / (2 h_prev), số này khi ấy bằng 0.
# %% role="wrong" name="line_from_x0_prev"
def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    aim = x0
    if x0_prev is not None:
        start, now, end = (schedule.log_snr_half(time) for time in (t_prev, t, s))
        aim = x0_prev + (x0 - x0_prev) * ((now + end) / 2 - start) / (now - start)
    eps = (x - schedule.alpha(t) * aim) / schedule.sigma(t)
    return schedule.alpha(s) * aim + schedule.sigma(s) * eps

# %% [markdown] lang="en" role="mistake" name="no_half"
# The aim is where x0 will be at the end of the step. A straight line's mean over the step is its middle, half of h ahead: a
# factor of 2 is missing.
# %% [markdown] lang="vi" of="2e3d2f3c"
# Điểm nhắm đang là x0 ở cuối bước. Trung bình của một đường thẳng trên cả bước nằm ở giữa bước, tức là trước nửa h: còn thiếu
# hệ số 2.
# %% role="wrong" name="no_half"
patch("h / (2 * h_prev)", "h / h_prev")

# %% [markdown] lang="en" role="mistake" name="lengths_in_time"
# The lengths were measured in time, s - t. This method measures in lambda = log(alpha / sigma), in which x0 changes most
# evenly; equal steps in time are not equal there.
# %% [markdown] lang="vi" of="edc324f3"
# Các độ dài được đo theo thời gian, s - t. Phương pháp này đo theo lambda = log(alpha / sigma), thang mà trên đó x0 thay đổi
# đều hơn; các bước bằng nhau theo thời gian thì ở đó không bằng nhau.
# %% role="wrong" name="lengths_in_time"
patch("schedule.log_snr_half(s) - schedule.log_snr_half(t)", "s - t")
patch("schedule.log_snr_half(t) - schedule.log_snr_half(t_prev)", "t - t_prev")

# %% [markdown] lang="en" role="mistake" name="h_prev_over_both"
# h_prev reaches from t_prev to s, over both steps. The change x0 - x0_prev came about between t_prev and t alone, so it is
# divided by too great a length.
# %% [markdown] lang="vi" of="cdd9d69a"
# h_prev đi từ t_prev đến tận s, qua cả hai bước. Độ thay đổi x0 - x0_prev chỉ xảy ra giữa t_prev và t, nên nó bị chia cho một
# độ dài quá lớn.
# %% role="wrong" name="h_prev_over_both"
patch("h_prev = schedule.log_snr_half(t)", "h_prev = schedule.log_snr_half(s)")

# %% [markdown] lang="en" role="mistake" name="change_alone"
# The aim is only the correction: x0 itself, to which it has to be added, is missing.
# %% [markdown] lang="vi" of="b75e27c1"
# Điểm nhắm chỉ còn là phần hiệu chỉnh: còn thiếu chính x0 để cộng phần này vào.
# %% role="wrong" name="change_alone"
patch("aim = x0 + h / (2 * h_prev)", "aim = h / (2 * h_prev)")

# %% [markdown] lang="en" role="mistake" name="stays_at_t"
# The aim and eps were mixed with alpha and sigma of time t, and that is x again: nothing has become cleaner. The step ends at
# s.
# %% [markdown] lang="vi" of="2059464f"
# Điểm nhắm và eps được trộn bằng alpha và sigma tại thời điểm t, tức là lại ra đúng x: ảnh không sạch hơn chút nào. Bước này
# kết thúc tại s.
# %% role="wrong" name="stays_at_t"
patch("schedule.alpha(s) * aim + schedule.sigma(s) * eps", "schedule.alpha(t) * aim + schedule.sigma(t) * eps")

# %% [markdown] lang="en" role="mistake" name="no_first_step"
# With x0_prev the step is right, but the first step has none: there x0_prev and t_prev are None, with which nothing can be
# computed. Then the aim is x0.
# %% [markdown] lang="vi" of="3cd994bc"
# Khi có x0_prev thì bước đi đúng, nhưng bước đầu tiên thì chưa có: lúc đó x0_prev và t_prev là None, không tính toán gì được.
# Khi ấy điểm nhắm là x0.
# %% role="wrong" name="no_first_step"
def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    h = schedule.log_snr_half(s) - schedule.log_snr_half(t)
    h_prev = schedule.log_snr_half(t) - schedule.log_snr_half(t_prev)
    aim = x0 + h / (2 * h_prev) * (x0 - x0_prev)
    eps = (x - schedule.alpha(t) * aim) / schedule.sigma(t)
    return schedule.alpha(s) * aim + schedule.sigma(s) * eps

# %% [markdown] lang="en" role="mistake" name="truth_of_a_tensor"
# The first step is right, the later ones stop: most likely at `if x0_prev:`, which asks a tensor of many numbers whether it is
# true. Compare with None instead, by `is not None`.
# %% [markdown] lang="vi" of="73b08998"
# Bước đầu tiên đúng, các bước sau thì dừng vì lỗi: nhiều khả năng tại `if x0_prev:`, câu lệnh hỏi một tensor nhiều số là đúng
# hay sai. Hãy so với None bằng `is not None`.
# %% role="wrong" name="truth_of_a_tensor"
patch("if x0_prev is not None:", "if x0_prev:")

# %% role="library"
import torch

from minidiff.diffusion import samplers


def dpmpp_2m_step(schedule, x, x0, t, s, x0_prev=None, t_prev=None):
    """The library's `lookaheads`, `extrapolate` and `step`, with the learner's arguments."""
    eps = (x - schedule.alpha(t) * x0) / schedule.sigma(t)
    if x0_prev is not None and t_prev is not None:
        ahead = samplers.lookaheads(schedule, torch.stack([t_prev, t, s]))[1]
        x0, eps = samplers.extrapolate(x0, eps, x0_prev, ahead, float(schedule.alpha(t) / schedule.sigma(t)))
    return samplers.step(schedule, x0, eps, t, s)

# %% role="payoff"
def draw(one_step):
    x, x0_prev, t_prev = start_noise(), None, None
    for t, s in pairwise(uniform(trained_schedule, 6)):
        x0, _ = model(x, t)
        # into clean data h is infinite: order 1
        history = (x0_prev, t_prev) if s > 0 else (None, None)
        x = one_step(trained_schedule, x, x0, t, s, *history)
        x0_prev, t_prev = x0, t
    return x.cpu()


payoff(draw, dpmpp_2m_step)
