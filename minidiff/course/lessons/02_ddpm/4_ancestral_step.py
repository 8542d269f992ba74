"""Exercise 02.4, ancestral_step: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="15"
# ## Debugging: one step back
#
# **Debugging.** Somebody wrote the step back, from $x_t$ to $x_s$, and got it wrong in two places. It runs, it warns of
# nothing, and every picture comes out dull and much like the next. Find both faults, mend them, and take out the `raise`.
#
# $$\tilde\mu = \frac{\sqrt{\bar\alpha_s}\,\beta}{1 - \bar\alpha_t}\, x_0 +
# \frac{\sqrt{\alpha}\,(1 - \bar\alpha_s)}{1 - \bar\alpha_t}\, x_t, \qquad
# \tilde\beta = \frac{1 - \bar\alpha_s}{1 - \bar\alpha_t}\,\beta, \qquad
# x_s = \tilde\mu + \sqrt{\tilde\beta}\;\epsilon'$$
#
# with $\alpha = \bar\alpha_t / \bar\alpha_s$ and $\beta = 1 - \alpha$. It must agree with the library's `step` at `eta = 1`,
# also where the sampler begins: in pure noise, $\bar\alpha_t = 0$.
# %% [markdown] lang="vi" of="8345de78"
# ## Gỡ lỗi: một bước ngược
#
# **Gỡ lỗi.** Ai đó đã viết bước ngược, từ $x_t$ về $x_s$, và sai ở hai chỗ. Mã vẫn chạy, không cảnh báo gì, mà mọi bức tranh
# đều xỉn màu và na ná nhau. Hãy tìm cả hai lỗi, sửa chúng, rồi xóa dòng `raise`.
#
# $$\tilde\mu = \frac{\sqrt{\bar\alpha_s}\,\beta}{1 - \bar\alpha_t}\, x_0 +
# \frac{\sqrt{\alpha}\,(1 - \bar\alpha_s)}{1 - \bar\alpha_t}\, x_t, \qquad
# \tilde\beta = \frac{1 - \bar\alpha_s}{1 - \bar\alpha_t}\,\beta, \qquad
# x_s = \tilde\mu + \sqrt{\tilde\beta}\;\epsilon'$$
#
# với $\alpha = \bar\alpha_t / \bar\alpha_s$ và $\beta = 1 - \alpha$. Kết quả phải khớp với `step` của thư viện khi `eta = 1`,
# kể cả ở nơi bộ lấy mẫu bắt đầu: trong nhiễu thuần, $\bar\alpha_t = 0$.

# %% [markdown] lang="en" role="hints"
# Take numbers that you know: x0 = 5, x = 3.08, alpha_bar_t = 0.4096, alpha_bar_s = 0.64, no noise. It should give 3.941.
# ---
# Go through the formula root by root. Under which of them stands $\alpha$, under which $\bar\alpha$?
# ---
# The weight of x needs the root of `alpha`; and noise is multiplied by a standard deviation, not by a variance.
# %% [markdown] lang="vi" of="973ebb2c"
# Hãy lấy các số đã biết: x0 = 5, x = 3.08, alpha_bar_t = 0.4096, alpha_bar_s = 0.64, không nhiễu. Kết quả phải là 3.941.
# ---
# Soát công thức từng dấu căn. Dưới căn nào là $\alpha$, dưới căn nào là $\bar\alpha$?
# ---
# Hệ số của x cần căn của `alpha`; và nhiễu nhân với độ lệch chuẩn, không phải với phương sai.

# %% [markdown] lang="en" role="stub" given="as_given"
# x at step s, from x at step t > s, when the data is x0. x, x0, noise: (B, ...);
# alpha_bar_t, alpha_bar_s: (), with 0 <= alpha_bar_t < alpha_bar_s <= 1.
# ---
# 1. find the two faults above, and mend them
# 2. take out the next line
# %% [markdown] lang="vi" of="942b46bc"
# x tại bước s, từ x tại bước t > s, khi dữ liệu là x0. x, x0, noise: (B, ...);
# alpha_bar_t, alpha_bar_s: (), với 0 <= alpha_bar_t < alpha_bar_s <= 1.
# ---
# 1. tìm hai lỗi ở trên và sửa chúng
# 2. xóa dòng tiếp theo

# %% role="solution"
def ancestral_step(
    x: Tensor, x0: Tensor, alpha_bar_t: Tensor, alpha_bar_s: Tensor, noise: Tensor
) -> Tensor:
    alpha = alpha_bar_t / alpha_bar_s                       # variance kept from s to t
    beta = 1 - alpha
    weight_x0 = alpha_bar_s.sqrt() * beta / (1 - alpha_bar_t)
    weight_x = alpha.sqrt() * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    variance = beta * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    x_s = weight_x0 * x0 + weight_x * x + variance.sqrt() * noise
    return x_s                                              # (B, ...)

# %% [markdown] lang="en" role="checks"
# - shape
# - dtype kept
# - from step 3 to step 2, exactly
# - across several steps, from 4 to 1
# - the last step gives x0, without noise
# - it lands on the forward process of x0 = 5
# - the first step, out of pure noise (alpha_bar_t = 0)
# %% [markdown] lang="vi" of="314e7489"
# - kích thước
# - giữ nguyên kiểu số
# - từ bước 3 về bước 2, chính xác
# - nhảy qua nhiều bước, từ 4 về 1
# - bước cuối cho x0, không có nhiễu
# - rơi đúng vào quá trình thuận của x0 = 5
# - bước đầu tiên, ra khỏi nhiễu thuần (alpha_bar_t = 0)

# %% role="probes"
import torch

TABLE = [1.0, 0.9, 0.72, 0.432, 0.216, 0.0]                 # alpha_bar, T = 5


def normal(seed, *shape):
    """Standard normal numbers, float64, the same in every call."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def given(t, s, dtype=torch.float64):
    """Two pictures at step t, which should go to step s."""
    x, x0, noise = (normal(seed, 2, 3, 4, 4).to(dtype) for seed in (1, 2, 3))
    a, b = (torch.tensor(TABLE[step], dtype=dtype) for step in (t, s))
    return {"x": x, "x0": x0, "alpha_bar_t": a, "alpha_bar_s": b, "noise": noise}


def stepped(f, x, x0, alpha_bar_t, alpha_bar_s, noise):
    return f(x, x0, alpha_bar_t, alpha_bar_s, noise)


def mean_and_std(f, **inputs):
    x_s = stepped(f, **inputs)
    return [x_s.mean(), x_s.std()]


five = {**given(3, 2), "x0": torch.full((20_000,), 5.0, dtype=torch.float64)}
five["x"] = 5 * TABLE[3] ** 0.5 + (1 - TABLE[3]) ** 0.5 * normal(4, 20_000)  # at step 3
five["noise"] = normal(5, 20_000)

probe(lambda f, **inputs: list(stepped(f, **inputs).shape), **given(3, 2))
probe(lambda f, **inputs: str(stepped(f, **inputs).dtype), **given(3, 2, torch.float32))
probe(stepped, points=3, **given(3, 2))
probe(stepped, points=2, **given(4, 1))
probe(stepped, points=2, **given(1, 0))
probe(mean_and_std, **five)
probe(stepped, **given(5, 4))

# %% [markdown] lang="en" role="mistake" name="as_given"
# Both faults are still there. One is in a weight of the mean: compare each root with the formula. The other is in the last
# line: what is noise multiplied by, a variance or a standard deviation?
# %% [markdown] lang="vi" of="6f0ee02e"
# Cả hai lỗi vẫn còn. Một lỗi nằm ở hệ số của trung bình: hãy so từng căn với công thức. Lỗi kia ở dòng cuối: nhiễu phải nhân
# với phương sai hay độ lệch chuẩn?
# %% role="wrong" name="as_given"
patch("alpha.sqrt()", "alpha_bar_t.sqrt()")
patch("variance.sqrt()", "variance")

# %% [markdown] lang="en" role="mistake" name="variance_for_std"
# The noise is multiplied by the variance. A standard normal number has to be multiplied by the standard deviation, its root;
# otherwise there is too little noise and the samples clump together.
# %% [markdown] lang="vi" of="9c1a49d2"
# Nhiễu đang nhân với phương sai. Số chuẩn tắc phải nhân với độ lệch chuẩn, tức căn của nó; nếu không sẽ quá ít nhiễu và các mẫu
# co cụm lại.
# %% role="wrong" name="variance_for_std"
patch("variance.sqrt()", "variance")

# %% [markdown] lang="en" role="mistake" name="alpha_bar_for_alpha"
# The weight of x has the root of alpha_bar_t, all steps from the start. It should be alpha, this step alone, alpha_bar_t /
# alpha_bar_s.
# %% [markdown] lang="vi" of="d8df9118"
# Hệ số của x đang dùng căn của alpha_bar_t, tức mọi bước từ đầu. Phải là alpha của riêng bước này, alpha_bar_t / alpha_bar_s.
# %% role="wrong" name="alpha_bar_for_alpha"
patch("alpha.sqrt()", "alpha_bar_t.sqrt()")

# %% [markdown] lang="en" role="mistake" name="alpha_for_alpha_bar"
# The mean is divided by 1 - alpha, the noise of one step, where 1 - alpha_bar_t, all noise so far, belongs. The two weights
# then come to far more than 1 and samples explode.
# %% [markdown] lang="vi" of="a7932239"
# Trung bình đang chia cho 1 - alpha, nhiễu của một bước, thay vì 1 - alpha_bar_t, toàn bộ nhiễu đến giờ. Tổng hai hệ số khi đó
# lớn hơn 1 rất nhiều và mẫu bị nổ.
# %% role="wrong" name="alpha_for_alpha_bar"
patch("beta / (1 - alpha_bar_t)", "beta / (1 - alpha)")
patch(
    "alpha.sqrt() * (1 - alpha_bar_s) / (1 - alpha_bar_t)",
    "alpha.sqrt() * (1 - alpha_bar_s) / (1 - alpha)",
)

# %% [markdown] lang="en" role="mistake" name="noise_at_the_end"
# The variance is beta, that of a step forward, so noise comes in even at the last step, where s is 0 and x0 is known. Given x0
# it is smaller: beta (1 - alpha_bar_s) / (1 - alpha_bar_t). (The paper tries both; with beta it leaves out the noise of the
# last step by hand.)
# %% [markdown] lang="vi" of="62773c22"
# Phương sai đang là beta của bước thuận, nên ngay cả bước cuối, khi s bằng 0 và x0 đã biết, nhiễu vẫn được thêm vào. Khi biết
# x0 thì nó nhỏ hơn: beta (1 - alpha_bar_s) / (1 - alpha_bar_t). (Bài báo thử cả hai; với beta thì phải tự bỏ nhiễu ở bước
# cuối.)
# %% role="wrong" name="noise_at_the_end"
patch("beta * (1 - alpha_bar_s) / (1 - alpha_bar_t)", "beta")

# %% [markdown] lang="en" role="mistake" name="forward_variance"
# The variance is beta, that of a step forward, and the noise of the last step was left out by hand. The paper tries that too,
# but here the smaller one is asked for, which holds when x0 is known: beta (1 - alpha_bar_s) / (1 - alpha_bar_t). It is 0 at
# the end by itself.
# %% [markdown] lang="vi" of="553b550b"
# Phương sai đang là beta của bước thuận, còn nhiễu của bước cuối thì được bỏ bằng tay. Bài báo cũng thử cách này, nhưng ở đây
# cần phương sai nhỏ hơn, đúng khi đã biết x0: beta (1 - alpha_bar_s) / (1 - alpha_bar_t). Đến cuối, nó tự bằng 0.
# %% role="wrong" name="forward_variance"
patch("beta * (1 - alpha_bar_s) / (1 - alpha_bar_t)", "beta * (alpha_bar_s < 1)")

# %% [markdown] lang="en" role="mistake" name="no_share_of_x"
# The mean is that of x0 alone, sqrt(alpha_bar_s) x0: x_t has no share in it, so every step forgets where it was.
# %% [markdown] lang="vi" of="8510b8ca"
# Trung bình chỉ gồm x0, sqrt(alpha_bar_s) x0: x_t không đóng góp gì, nên mỗi bước đều quên mình vừa ở đâu.
# %% role="wrong" name="no_share_of_x"
patch("weight_x0 * x0 + weight_x * x", "alpha_bar_s.sqrt() * x0")

# %% [markdown] lang="en" role="mistake" name="no_noise"
# This is the mean, without fresh noise. Every step would take noise away that it should put back, and the samples come out
# smooth and alike.
# %% [markdown] lang="vi" of="86e92826"
# Đây mới là trung bình, chưa cộng nhiễu mới. Mỗi bước sẽ bỏ đi phần nhiễu đáng lẽ phải trả lại, và các mẫu ra trơn, giống nhau.
# %% role="wrong" name="no_noise"
patch(" + variance.sqrt() * noise", "")

# %% [markdown] lang="en" role="mistake" name="root_of_the_wrong_step"
# The weight of x0 has the root of alpha_bar_t, the step that x comes from. x0 is to stand in x_s, so it is the root of
# alpha_bar_s.
# %% [markdown] lang="vi" of="5c564d3b"
# Hệ số của x0 đang dùng căn của alpha_bar_t, tức bước mà x xuất phát. x0 phải nằm trong x_s, nên đó là căn của alpha_bar_s.
# %% role="wrong" name="root_of_the_wrong_step"
patch("alpha_bar_s.sqrt() * beta", "alpha_bar_t.sqrt() * beta")

# %% [markdown] lang="en" role="mistake" name="upside_down"
# alpha is upside down, above 1, so beta is negative and its root is not a number (NaN). Later steps have less of the data:
# alpha_bar_t is the smaller one.
# %% [markdown] lang="vi" of="8ae35f14"
# alpha bị lật ngược, lớn hơn 1, nên beta âm và căn của nó không phải là số (NaN). Bước càng muộn càng còn ít dữ liệu:
# alpha_bar_t là số nhỏ hơn.
# %% role="wrong" name="upside_down"
patch("alpha_bar_t / alpha_bar_s", "alpha_bar_s / alpha_bar_t")

# %% [markdown] lang="en" role="mistake" name="through_eps"
# The paper's own form, which takes a share of the noise out of x and divides by the root of alpha, is the same step, except
# where alpha_bar_t is 0: there it is 0 / 0, NaN, and the picture below begins there. The weights of x0 and x in the formula
# above need no such division.
# %% [markdown] lang="vi" of="f2f701a0"
# Dạng của chính bài báo, bỏ bớt nhiễu khỏi x rồi chia cho căn của alpha, cũng là bước ấy, trừ khi alpha_bar_t bằng 0: ở đó
# thành 0 / 0, tức NaN, mà bức tranh bên dưới lại bắt đầu từ đó. Hệ số của x0 và của x trong công thức trên không cần phép chia
# như vậy.
# %% role="wrong" name="through_eps"
patch(
    "x_s = weight_x0 * x0 + weight_x * x",
    "eps = (x - alpha_bar_t.sqrt() * x0) / (1 - alpha_bar_t).sqrt()\n"
    "    x_s = (x - beta / (1 - alpha_bar_t).sqrt() * eps) / alpha.sqrt()",
)

# %% [markdown] lang="en" role="mistake" name="clamped_x0"
# x0 was clamped to -1..1. That is a matter of whoever makes the guess, and of pictures alone: this step is for any data, such
# as the number 5.
# %% [markdown] lang="vi" of="a70c489d"
# x0 bị cắt về -1..1. Việc đó thuộc về nơi đưa ra lời đoán, và chỉ dành cho ảnh: bước này dùng cho mọi dữ liệu, chẳng hạn con số
# 5.
# %% role="wrong" name="clamped_x0"
patch("weight_x0 * x0", "weight_x0 * x0.clamp(-1, 1)")

# %% [markdown] lang="en" role="mistake" name="own_noise"
# It draws noise of its own, and the noise that it was given is not used: nobody could check or repeat the step. Use the
# argument.
# %% [markdown] lang="vi" of="d353cacb"
# Hàm tự sinh nhiễu riêng, còn nhiễu được truyền vào thì không dùng đến: không ai kiểm tra hay lặp lại được bước này. Hãy dùng
# đối số.
# %% role="wrong" name="own_noise"
patch("* noise", "* torch.randn_like(x)")

# %% role="library"
import torch

from minidiff.diffusion import samplers
from minidiff.diffusion.schedules import get_schedule


def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    """`step` at eta = 1, at the times when the cosine schedule has these alpha_bar."""
    schedule = get_schedule("cosine")
    table = torch.stack([alpha_bar_t, alpha_bar_s]).double()
    t, s = schedule.time((table / (1 - table)).log() / 2)
    eps = (x - float(schedule.alpha(t)) * x0) / float(schedule.sigma(t))
    return samplers.step(schedule, x0, eps, t, s, eta=1.0, noise=noise)

# %% role="payoff"
def draw(ancestral_step: Callable) -> Tensor:
    denoiser, x = pipe.denoiser(["boat", "umbrella"], ["", ""], 2.0), noises[0]
    for t in range(30, 0, -1):
        x0, _ = denoiser(x, torch.tensor(t / 30, dtype=torch.float64))
        x = ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], noises[t])
    return x


payoff(draw, ancestral_step, tolerance=0.01)
