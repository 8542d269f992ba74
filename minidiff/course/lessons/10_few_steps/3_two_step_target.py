"""Exercise 10.3, two_step_target: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="20"
# ## Two steps of the teacher in one
#
# A student stands at x (B, ...) at time t and is to be at time s after **one** DDIM step. Where should it go? To where the
# teacher gets in **two**: from t to the time halfway, $(t + s)/2$, and from there to s. `teacher(x, t)` gives (x0, eps), and
# `step(schedule, x0, eps, t, s)` is the DDIM step of lesson 04.
#
# The student learns by its prediction, so you return the x0 that it has to predict. A DDIM step is linear in x0,
# $x_s = \alpha_s x_0 + \sigma_s\,(x - \alpha_t x_0)/\sigma_t$, and solved for $x_0$ that is
#
# $$x_0 = \frac{x_s - r\,x}{\alpha_s - r\,\alpha_t}, \qquad r = \frac{\sigma_s}{\sigma_t}.$$
#
# A target is given, not learnt: no gradient goes through it. Times are () or (B,), and s may be 0.
#
# The last cell shows a perfect student, whose prediction is your target. Above: the teacher with 2 and with 4 steps. Below: the
# perfect student with 2 and with 4. It draws what the teacher draws with 4 and with 8, so the tile below on the left is the
# same as the one above on the right.
# %% [markdown] lang="vi" of="0cb06015"
# ## Hai bước của thầy gộp làm một
#
# Mạng trò đang ở x (B, ...) tại thời điểm t và phải đến thời điểm s chỉ sau **một** bước DDIM. Nó nên đi đến đâu? Đến chỗ mà
# mạng thầy đến được sau **hai** bước: từ t đến thời điểm chính giữa, $(t + s)/2$, rồi từ đó đến s. `teacher(x, t)` cho (x0,
# eps), còn `step(schedule, x0, eps, t, s)` là bước DDIM của bài 04.
#
# Mạng trò học qua dự đoán của nó, nên bạn trả về x0 mà nó phải dự đoán. Một bước DDIM là tuyến tính theo x0,
# $x_s = \alpha_s x_0 + \sigma_s\,(x - \alpha_t x_0)/\sigma_t$, và giải ra $x_0$ thì được
#
# $$x_0 = \frac{x_s - r\,x}{\alpha_s - r\,\alpha_t}, \qquad r = \frac{\sigma_s}{\sigma_t}.$$
#
# Mục tiêu là thứ cho sẵn, không phải thứ để học: không gradient nào đi qua nó. Thời điểm là () hoặc (B,), và s có thể bằng 0.
#
# Ô cuối cùng cho thấy một mạng trò hoàn hảo, có dự đoán chính là mục tiêu của bạn. Trên: thầy với 2 và 4 bước. Dưới: trò hoàn
# hảo với 2 và 4 bước. Nó vẽ đúng những gì thầy vẽ với 4 và 8 bước, nên ô dưới bên trái giống hệt ô trên bên phải.

# %% [markdown] lang="en" role="hints"
# Walk first, solve later: the teacher is asked at (x, t) and at (x halfway, the time halfway).
# ---
# `step(schedule, *teacher(x, t), t, middle)` is the first step. The formula needs x_s, x, and the schedule's alpha and sigma at
# t and s. With times (B,) a coefficient has to be shaped like x: `per_example(r, x)`.
# ---
# `(x_s - per_example(r, x) * x) / per_example(schedule.alpha(s) - r * schedule.alpha(t), x)`, and `@torch.no_grad()` above
# `def`.
# %% [markdown] lang="vi" of="596ede29"
# Đi trước, giải phương trình sau: thầy được hỏi ở (x, t) và ở (x chính giữa, thời điểm chính giữa).
# ---
# `step(schedule, *teacher(x, t), t, middle)` là bước đầu. Công thức cần x_s, x, và alpha, sigma của lịch nhiễu ở t và s. Với
# thời điểm (B,), hệ số phải có kích thước hợp với x: `per_example(r, x)`.
# ---
# `(x_s - per_example(r, x) * x) / per_example(schedule.alpha(s) - r * schedule.alpha(t), x)`, và `@torch.no_grad()` trên `def`.

# %% [markdown] lang="en" role="stub"
# The x0 (B, ...), like x, that the student has to predict at x and time t, so that
# one DDIM step lands where two of the teacher's land, at time s < t. No gradient.
# teacher: (x, t) -> (x0, eps); t, s: both () or both (B,).
# ---
# 1. the time halfway                                         # () or (B,)
# 2. the teacher's step to it                                 # (B, ...)
# 3. the teacher's step from there to s                       # (B, ...)
# 4. solve for x0                                             # (B, ...)
# 5. see that no gradient goes through any of it
# %% [markdown] lang="vi" of="2c5f011a"
# x0 (B, ...), cùng kiểu với x, sao cho một bước DDIM dẫn từ x tại thời điểm t đến
# nơi mà hai bước của thầy dẫn đến, tại thời điểm s < t. Không có gradient. teacher:
# (x, t) -> (x0, eps); t, s: cùng là () hoặc cùng là (B,).
# ---
# 1. thời điểm chính giữa                                     # () hoặc (B,)
# 2. bước của thầy đến đó                                     # (B, ...)
# 3. bước của thầy từ đó đến s                                # (B, ...)
# 4. giải ra x0                                               # (B, ...)
# 5. bảo đảm không gradient nào đi qua

# %% role="solution"
@torch.no_grad()
def two_step_target(
    schedule: NoiseSchedule, teacher: Denoiser, x: Tensor, t: Tensor, s: Tensor
) -> Tensor:
    middle = (t + s) / 2                                        # () or (B,)
    x_middle = step(schedule, *teacher(x, t), t, middle)        # (B, ...)
    x_s = step(schedule, *teacher(x_middle, middle), middle, s)
    r = schedule.sigma(s) / schedule.sigma(t)                   # () or (B,)
    share = per_example(schedule.alpha(s) - r * schedule.alpha(t), x)
    return (x_s - per_example(r, x) * x) / share                # (B, ...)

# %% [markdown] lang="en" role="checks"
# - shape of x
# - dtype of x: float32, with times in float64
# - a time for each picture
# - one time for all, with the flow schedule
# - from pure noise, and down to clean data
# - a table of betas, a single row of numbers
# - the teacher is asked twice, at t and at the time halfway
# - where one step with this x0 leads
# - no gradient, neither to the teacher nor to x, and a loss can use it
# %% [markdown] lang="vi" of="fda4f96b"
# - kích thước của x
# - kiểu số của x: float32, còn thời điểm là float64
# - mỗi bức một thời điểm
# - một thời điểm chung, với lịch flow
# - từ toàn nhiễu, và xuống đến dữ liệu sạch
# - một bảng beta, một hàng số duy nhất
# - thầy được hỏi hai lần, ở t và ở thời điểm chính giữa
# - một bước với x0 này dẫn đến đâu
# - không có gradient, cả về phía thầy lẫn phía x, và dùng được trong hàm mất mát

# %% role="probes"
import torch
from torch import nn

from minidiff.diffusion.prediction import to_x0_eps
from minidiff.diffusion.samplers import step as ddim
from minidiff.diffusion.schedules import get_schedule


def normal(*shape, seed, dtype=torch.float64):
    """The same noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


class Teacher(nn.Module):
    """A denoiser that predicts x0, and notes the times at which it was asked."""

    def __init__(self, schedule, dtype=torch.float64):
        super().__init__()
        self.gain, self.schedule, self.asked = nn.Parameter(torch.tensor(1.4, dtype=dtype)), schedule, []

    def forward(self, x, t):
        if t.ndim and t.shape != x.shape[:1]:
            raise ValueError(f"There are times of shape {tuple(t.shape)} for {len(x)} pictures.")
        self.asked.append(t.detach().clone())
        shaped = t.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1)) if t.ndim else t.to(x.dtype)
        return to_x0_eps(self.schedule, "x0", 1.5 * torch.tanh(self.gain * x + shaped - 0.5), x, t)


def aim(f, schedule, x, t, s):
    schedule = get_schedule(schedule)
    return f(schedule, Teacher(schedule, x.dtype), x, t, s)


def times_asked(f, schedule, x, t, s):
    teacher = Teacher(get_schedule(schedule))
    f(teacher.schedule, teacher, x, t, s)
    return teacher.asked


def landing(f, schedule, x, t, s):
    x0 = aim(f, schedule, x, t, s)
    schedule = get_schedule(schedule)
    return ddim(schedule, *to_x0_eps(schedule, "x0", x0, x, t), t, s)


def gradients(f, schedule, x, t, s):
    schedule = get_schedule(schedule)
    teacher, x = Teacher(schedule), x.clone().requires_grad_(True)
    found = f(schedule, teacher, x, t, s)
    guess = torch.ones_like(found).requires_grad_(True)
    nn.functional.mse_loss(guess, found).backward()             # as in training
    return {"has a gradient": found.requires_grad, "values": found, "teacher learns": teacher.gain.requires_grad}


X = normal(2, 3, 4, 5, seed=11).transpose(2, 3)
MANY = {"schedule": "cosine", "x": X, "t": torch.tensor([0.8007, 0.4111], dtype=torch.float64)}
MANY |= {"s": torch.tensor([0.5502, 0.1613], dtype=torch.float64)}
SAME = {"schedule": "flow", "x": X, "t": torch.tensor(0.9, dtype=torch.float64), "s": torch.tensor(0.4, dtype=torch.float64)}
ENDS = {**MANY, "t": torch.tensor([1.0, 0.25], dtype=torch.float64), "s": torch.tensor([0.75, 0.0], dtype=torch.float64)}
ROW = {"schedule": "linear", "x": normal(1, 7, seed=12), "t": torch.tensor([0.62], dtype=torch.float64)}
ROW |= {"s": torch.tensor([0.3704], dtype=torch.float64)}
SINGLE = {**MANY, "x": X.float()}

probe(lambda f, **inputs: list(aim(f, **inputs).shape), **MANY)
probe(lambda f, **inputs: str(aim(f, **inputs).dtype), **SINGLE)
probe(aim, points=2, **MANY)
probe(aim, **SAME)
probe(aim, **ENDS)
probe(aim, **ROW)
probe(times_asked, **MANY)
probe(landing, **{**MANY, "t": torch.tensor([0.6, 0.95], dtype=torch.float64)})
probe(gradients, **MANY)

# %% [markdown] lang="en" role="mistake" name="keeps_gradient"
# The numbers are right, but the target keeps a gradient, and training would go through it as well as through the prediction.
# Nothing here needs one, neither the teacher's calls nor the solving for x0: put all of it under `torch.no_grad()`.
# %% [markdown] lang="vi" of="f8f10cc1"
# Các số đúng, nhưng mục tiêu vẫn giữ gradient, và huấn luyện sẽ đi qua cả mục tiêu chứ không chỉ qua dự đoán. Ở đây không gì
# cần gradient, cả các lần gọi thầy lẫn việc giải ra x0: hãy đặt tất cả trong `torch.no_grad()`.
# %% role="wrong" name="keeps_gradient"
patch("@torch.no_grad()\n", "")

# %% [markdown] lang="en" role="mistake" name="detached_late"
# The target itself has no gradient, but x was changed into a tensor without one on the way, or the teacher was frozen. Leave
# what is handed over as it is, and only see that nothing is recorded.
# %% [markdown] lang="vi" of="b68cb37a"
# Bản thân mục tiêu không có gradient, nhưng x hoặc thầy đã bị biến thành thứ không nhận gradient. Hãy để nguyên những gì được
# truyền vào, và chỉ cần không ghi lại đồ thị.
# %% role="wrong" name="detached_late"
patch("@torch.no_grad()\n", "")
patch("    middle = (t + s) / 2 ", "    teacher.requires_grad_(False)\n    x = x.detach()\n    middle = (t + s) / 2 ")

# %% [markdown] lang="en" role="mistake" name="one_step"
# The teacher was asked once: this is its own x0 at t, so the student would learn what the teacher already does. Its second
# step, from the time halfway, is missing.
# %% [markdown] lang="vi" of="3313ecfb"
# Thầy chỉ được hỏi một lần: đây chính là x0 của thầy ở t, nên trò sẽ học đúng thứ thầy vẫn làm. Thiếu bước thứ hai, từ thời
# điểm chính giữa.
# %% role="wrong" name="one_step"
patch("x_s = step(schedule, *teacher(x_middle, middle), middle, s)", "x_s = step(schedule, *teacher(x, t), t, s)")
patch("x_middle = step(schedule, *teacher(x, t), t, middle) ", "pass ")

# %% [markdown] lang="en" role="mistake" name="second_x0"
# This is the x0 that the teacher sees from halfway. The student begins at x, with other noise in it, so one step with that x0
# does not end at x_s: solve for the x0 that does.
# %% [markdown] lang="vi" of="2d14a8ce"
# Đây là x0 mà thầy thấy từ điểm chính giữa. Trò thì bắt đầu ở x, với phần nhiễu khác, nên một bước với x0 ấy không đến được
# x_s: hãy giải ra x0 đưa được đến đó.
# %% role="wrong" name="second_x0"
patch("return (x_s - per_example(r, x) * x) / share", "return teacher(x_middle, middle)[0]")

# %% [markdown] lang="en" role="mistake" name="averaged"
# The two predictions of x0 were averaged. That is near, but one step with it doesn't land where two steps do. Walk both steps,
# then solve the DDIM step for x0.
# %% [markdown] lang="vi" of="b2098352"
# Hai dự đoán x0 bị lấy trung bình. Gần đúng, nhưng một bước với nó không đến chỗ mà hai bước đến. Hãy đi cả hai bước, rồi giải
# bước DDIM ra x0.
# %% role="wrong" name="averaged"
patch("return (x_s - per_example(r, x) * x) / share",
      "return (teacher(x, t)[0] + teacher(x_middle, middle)[0]) / 2")

# %% [markdown] lang="en" role="mistake" name="x_s_itself"
# This is x_s, where the two steps end: a picture with noise in it. Asked for is the x0 that leads there.
# %% [markdown] lang="vi" of="ef0aa6b5"
# Đây là x_s, nơi hai bước kết thúc: bức tranh còn lẫn nhiễu. Cái cần là x0 dẫn đến đó.
# %% role="wrong" name="x_s_itself"
patch("return (x_s - per_example(r, x) * x) / share", "return x_s")

# %% [markdown] lang="en" role="mistake" name="halfway_by_index"
# The time halfway was rounded to a table of 1000 entries. Times are continuous here: halfway between t and s is their mean, and
# an index lies a little beside it.
# %% [markdown] lang="vi" of="96403676"
# Thời điểm chính giữa bị làm tròn về bảng 1000 phần tử. Ở đây thời gian là liên tục: chính giữa t và s là trung bình của chúng,
# còn chỉ số thì lệch đi một chút.
# %% role="wrong" name="halfway_by_index"
patch("middle = (t + s) / 2 ", "middle = ((t + s) / 2 * 1000).floor() / 1000 ")

# %% [markdown] lang="en" role="mistake" name="halfway_by_rounded_index"
# The time halfway was rounded to whole thousandths. Times are continuous here: halfway between t and s is their mean, as it is.
# %% [markdown] lang="vi" of="449f7f94"
# Thời điểm chính giữa bị làm tròn đến phần nghìn. Ở đây thời gian là liên tục: chính giữa t và s là trung bình của chúng, giữ
# nguyên như vậy.
# %% role="wrong" name="halfway_by_rounded_index"
patch("middle = (t + s) / 2 ", "middle = ((t + s) / 2 * 1000).round() / 1000 ")

# %% [markdown] lang="en" role="mistake" name="halfway_in_noise"
# This is halfway in log(alpha / sigma), not in time. A student with N steps and its teacher with 2N walk along even times: take
# the mean of t and s. (And at s = 0 the logarithm is infinite.)
# %% [markdown] lang="vi" of="8c7177d1"
# Đây là điểm giữa theo log(alpha / sigma), không phải theo thời gian. Trò với N bước và thầy với 2N bước đi qua các thời điểm
# cách đều: hãy lấy trung bình của t và s. (Hơn nữa, ở s = 0 logarit là vô hạn.)
# %% role="wrong" name="halfway_in_noise"
patch("middle = (t + s) / 2 ", "middle = schedule.time((schedule.log_snr_half(t) + schedule.log_snr_half(s)) / 2) ")

# %% [markdown] lang="en" role="mistake" name="half_of_t"
# Half of t is the time halfway only when s is 0. Halfway between t and s is their mean.
# %% [markdown] lang="vi" of="cabe56ef"
# Một nửa của t chỉ là chính giữa khi s bằng 0. Chính giữa t và s là trung bình của chúng.
# %% role="wrong" name="half_of_t"
patch("(t + s) / 2 ", "t / 2 ")

# %% [markdown] lang="en" role="mistake" name="half_the_distance"
# (t − s) / 2 is half the *distance*, not the time halfway: add where you subtract.
# %% [markdown] lang="vi" of="4e8b0561"
# (t − s) / 2 là nửa *khoảng cách*, không phải thời điểm chính giữa: hãy cộng thay vì trừ.
# %% role="wrong" name="half_the_distance"
patch("(t + s) / 2 ", "(t - s) / 2 ")

# %% [markdown] lang="en" role="mistake" name="time_stayed"
# The teacher's second answer is for time t, but x is halfway by then and has less noise: ask at the time halfway.
# %% [markdown] lang="vi" of="398d5d2e"
# Câu trả lời thứ hai của thầy ứng với thời điểm t, nhưng lúc đó x đã ở chính giữa và ít nhiễu hơn: hãy hỏi ở thời điểm chính
# giữa.
# %% role="wrong" name="time_stayed"
patch("teacher(x_middle, middle)", "teacher(x_middle, t)")

# %% [markdown] lang="en" role="mistake" name="x_stayed"
# The teacher was asked about x again, at the time halfway. Its second step begins where its first one ended.
# %% [markdown] lang="vi" of="a0fd5ded"
# Thầy lại bị hỏi về x, ở thời điểm chính giữa. Bước thứ hai của thầy bắt đầu ở chỗ bước đầu kết thúc.
# %% role="wrong" name="x_stayed"
patch("teacher(x_middle, middle)", "teacher(x, middle)")

# %% [markdown] lang="en" role="mistake" name="first_step_to_s"
# The first step already goes to s. It ends at the time halfway.
# %% [markdown] lang="vi" of="d2c1299a"
# Bước đầu đã đi luôn đến s. Nó phải dừng ở thời điểm chính giữa.
# %% role="wrong" name="first_step_to_s"
patch("*teacher(x, t), t, middle)", "*teacher(x, t), t, s)")

# %% [markdown] lang="en" role="mistake" name="ratio_upside_down"
# r is upside down: it is sigma at s over sigma at t, below 1, and 0 at s = 0.
# %% [markdown] lang="vi" of="77ee03c6"
# r bị ngược: nó là sigma ở s chia cho sigma ở t, nhỏ hơn 1, và bằng 0 ở s = 0.
# %% role="wrong" name="ratio_upside_down"
patch("schedule.sigma(s) / schedule.sigma(t)", "schedule.sigma(t) / schedule.sigma(s)")

# %% [markdown] lang="en" role="mistake" name="ratio_of_alphas"
# r is the ratio of the noise, sigma at s over sigma at t; here the ratio of the alphas was taken.
# %% [markdown] lang="vi" of="f3b866d1"
# r là tỉ số của nhiễu, sigma ở s chia cho sigma ở t; ở đây tỉ số của các alpha bị dùng.
# %% role="wrong" name="ratio_of_alphas"
patch("schedule.sigma(s) / schedule.sigma(t)", "schedule.alpha(s) / schedule.alpha(t)")

# %% [markdown] lang="en" role="mistake" name="not_divided"
# The last division is missing: by α at s minus r times α at t.
# %% [markdown] lang="vi" of="ddca41cf"
# Thiếu phép chia cuối: cho α ở s trừ đi r nhân α ở t.
# %% role="wrong" name="not_divided"
patch(" * x) / share", " * x)")

# %% [markdown] lang="en" role="mistake" name="divided_by_alpha_s"
# It was divided by α at s alone. The r x that was taken off held some of the picture, too: r α at t of it.
# %% [markdown] lang="vi" of="dde13bbf"
# Phép chia chỉ dùng α ở s. Phần r x bị trừ đi cũng chứa một phần bức tranh: r nhân α ở t.
# %% role="wrong" name="divided_by_alpha_s"
patch("schedule.alpha(s) - r * schedule.alpha(t)", "schedule.alpha(s)")

# %% [markdown] lang="en" role="mistake" name="alphas_swapped"
# The two alphas are swapped below the fraction line: α at s, minus r times α at t.
# %% [markdown] lang="vi" of="894127e4"
# Hai alpha dưới dấu gạch phân số bị đổi chỗ: α ở s, trừ r nhân α ở t.
# %% role="wrong" name="alphas_swapped"
patch("schedule.alpha(s) - r * schedule.alpha(t)", "schedule.alpha(t) - r * schedule.alpha(s)")

# %% [markdown] lang="en" role="mistake" name="x_added"
# r x was added in the numerator. Take it off: it is what is left of x after the step.
# %% [markdown] lang="vi" of="38792833"
# r x bị cộng vào tử số. Hãy trừ nó: đó là phần của x còn lại sau bước đi.
# %% role="wrong" name="x_added"
patch("(x_s - per_example(r, x) * x)", "(x_s + per_example(r, x) * x)")

# %% [markdown] lang="en" role="mistake" name="noise_of_t"
# x_s was freed of noise with the eps that the teacher saw at t. A student that predicts this x0 also has another eps, since
# both must make up its x: use the formula.
# %% [markdown] lang="vi" of="4c6e402a"
# x_s được khử nhiễu bằng eps mà thầy thấy ở t. Nhưng mạng trò dự đoán x0 này thì cũng có eps khác, vì cả hai phải hợp thành x
# của nó: hãy dùng công thức.
# %% role="wrong" name="noise_of_t"
patch("return (x_s - per_example(r, x) * x) / share",
      "return to_x0_eps(schedule, 'eps', teacher(x, t)[1], x_s, s)[0]")

# %% [markdown] lang="en" role="mistake" name="not_shaped"
# It works with one time for all. With a time for each picture, a coefficient (B,) has to be multiplied with x (B, C, H, W):
# shape it to (B, 1, 1, 1) first, as `per_example` does.
# %% [markdown] lang="vi" of="37a45d15"
# Hàm chỉ chạy với một thời điểm chung. Khi mỗi bức một thời điểm, hệ số (B,) phải nhân với x (B, C, H, W): hãy đưa nó về (B, 1,
# 1, 1) trước, như `per_example` làm.
# %% role="wrong" name="not_shaped"
patch("per_example(schedule.alpha(s) - r * schedule.alpha(t), x)", "(schedule.alpha(s) - r * schedule.alpha(t))")
patch("per_example(r, x) * x", "r * x")

# %% [markdown] lang="en" role="mistake" name="inference_mode"
# The numbers are right, but `inference_mode` makes tensors that a loss can't use: in training, `backward()` needs the target,
# and PyTorch refuses. `torch.no_grad()` makes ordinary ones.
# %% [markdown] lang="vi" of="0e355021"
# Các số đúng, nhưng `inference_mode` tạo ra những tensor mà hàm mất mát không dùng được: khi huấn luyện, `backward()` cần đến
# mục tiêu và PyTorch từ chối. `torch.no_grad()` tạo ra tensor thông thường.
# %% role="wrong" name="inference_mode"
patch("@torch.no_grad()", "@torch.inference_mode()")

# %% [markdown] lang="en" role="mistake" name="clamped"
# The target was clamped to −1 ... 1. It isn't a picture to look at: it may lie outside, and a step with the clamped one ends
# somewhere else than the teacher's two.
# %% [markdown] lang="vi" of="9da16884"
# Mục tiêu bị cắt vào khoảng −1 ... 1. Nó không phải bức tranh để xem: nó có thể nằm ngoài khoảng đó, và một bước với mục tiêu
# đã cắt sẽ dừng ở chỗ khác hai bước của thầy.
# %% role="wrong" name="clamped"
patch("return (x_s - per_example(r, x) * x) / share", "return ((x_s - per_example(r, x) * x) / share).clamp(-1, 1)")

# %% [markdown] lang="en" role="mistake" name="dtype_of_t"
# With pictures in float32 and times in float64, a target in float64 comes out: the coefficients keep the dtype of the times.
# Bring them to the dtype of x, as `per_example(..., x)` does.
# %% [markdown] lang="vi" of="4325eb99"
# Với tranh float32 và thời điểm float64, mục tiêu trở thành float64: các hệ số giữ kiểu số của thời điểm. Hãy đưa chúng về kiểu
# số của x, như `per_example(..., x)` vẫn làm.
# %% role="wrong" name="dtype_of_t"
patch("per_example(r, x) * x", "per_example(r, x.to(t.dtype)) * x")

# %% role="library"
import torch

from minidiff.diffusion.distillation import x0_of_step
from minidiff.diffusion.prediction import to_x0_eps


def two_step_target(schedule, teacher, x, t, s):
    """Mixes x0 and eps anew at each time."""
    with torch.no_grad():
        x_half = schedule.mix(*teacher(x, t), 0.5 * t + 0.5 * s)
        x0, _ = teacher(x_half, 0.5 * t + 0.5 * s)
        _, eps = to_x0_eps(schedule, "x0", x0, x_half, 0.5 * t + 0.5 * s)
        return x0_of_step(schedule, x, t, schedule.mix(x0, eps, s), s)

# %% role="payoff"
@torch.inference_mode()
def draw(two_step_target: Callable) -> Tensor:
    teacher, tiles = denoiser_of(unet, schedule, labels, 2.0), []
    for steps in (2, 4):
        times = uniform(schedule, steps)

        def perfect(x: Tensor, t: Tensor, steps: int = steps) -> tuple[Tensor, Tensor]:
            x0 = two_step_target(schedule, teacher, x, t, t - 1 / steps)
            return to_x0_eps(schedule, "x0", x0, x, t)

        for model in (teacher, perfect):
            *_, last = sample(model, noise, schedule, times)
            tiles.append(last.x)                                # (4, 3, 32, 32)
    return tiled([tiles[::2], tiles[1::2]])                     # (4, 3, 64, 64)


payoff(draw, two_step_target)
