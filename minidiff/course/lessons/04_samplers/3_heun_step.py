"""Exercise 04.3, heun_step: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="20"
# ## Heun: look ahead, then average
#
# Make one step of Heun on $du/d\rho=\epsilon$, with $u=x/\alpha$ and $\rho=\sigma/\alpha$. Both $\alpha_t$ and $\sigma_s$ are
# above 0. Each call of the denoiser is a run of the whole network: two are enough.
# %% [markdown] lang="vi" of="f692d3db"
# ## Heun: nhìn trước rồi lấy trung bình
#
# Đi một bước Heun trên $du/d\rho=\epsilon$, với $u=x/\alpha$ và $\rho=\sigma/\alpha$. Cả $\alpha_t$ lẫn $\sigma_s$ đều lớn hơn
# 0. Mỗi lần gọi bộ khử nhiễu là một lần chạy cả mạng: hai lần là đủ.

# %% [markdown] lang="en" role="hints"
# The denoiser is called twice: with (x, t), then with (guess, s). It needs an x, not a u.
# ---
# The length is negative: there is less noise at s. The guess is Euler's step, $\alpha_s(u+(\rho_s-\rho_t)\epsilon)$.
# ---
# The last line repeats the guess, with $(\epsilon_t+\epsilon_s)/2$ in place of $\epsilon_t$.
# %% [markdown] lang="vi" of="21ed2155"
# Bộ khử nhiễu được gọi hai lần: với (x, t), rồi với (guess, s). Nó cần x, không phải u.
# ---
# Độ dài là số âm: tại s ít nhiễu hơn. Điểm đoán là bước Euler, $\alpha_s(u+(\rho_s-\rho_t)\epsilon)$.
# ---
# Dòng cuối lặp lại công thức của điểm đoán, thay $\epsilon_t$ bằng $(\epsilon_t+\epsilon_s)/2$.

# %% [markdown] lang="en" role="stub"
# x (B, ...) at time t to x (B, ...) at time s < t. t, s: ().
# denoiser: (x, t) -> (x0, eps), each (B, ...).
# ---
# 1. u (B, ...) at t, and the length rho_s - rho_t, ()
# 2. the slope at t: eps (B, ...) from the denoiser
# 3. Euler's step to s: a guess of u there, and with it of x = alpha u
# 4. the slope there
# 5. from u at t once more, with the mean of both slopes; back to x
# %% [markdown] lang="vi" of="aa4d782f"
# x (B, ...) tại thời điểm t thành x (B, ...) tại thời điểm s < t. t, s: ().
# denoiser: (x, t) -> (x0, eps), mỗi thứ (B, ...).
# ---
# 1. u (B, ...) tại t, và độ dài rho_s - rho_t, ()
# 2. độ dốc tại t: eps (B, ...) lấy từ bộ khử nhiễu
# 3. bước Euler tới s: đoán u tại đó, rồi từ đó đoán x = alpha u
# 4. độ dốc tại đó
# 5. đi lại từ u tại t, bằng trung bình của hai độ dốc; đổi về x

# %% role="solution"
def heun_step(
    denoiser: Denoiser, x: Tensor, schedule: NoiseSchedule, t: Tensor, s: Tensor
) -> Tensor:
    rho_t = schedule.sigma(t) / schedule.alpha(t)               # ()
    rho_s = schedule.sigma(s) / schedule.alpha(s)               # ()
    u, length = x / schedule.alpha(t), rho_s - rho_t            # (B, ...), ()
    _, eps = denoiser(x, t)                                     # (B, ...)
    guess = schedule.alpha(s) * (u + length * eps)              # (B, ...)
    _, eps_ahead = denoiser(guess, s)                           # (B, ...)
    return schedule.alpha(s) * (u + length * (eps + eps_ahead) / 2)

# %% [markdown] lang="en" role="checks"
# - shape
# - float32 stays float32
# - a step with the cosine schedule
# - a step with the schedule of flow matching
# - two calls of the denoiser, at t and at s
# - one long step, and two half as long
# %% [markdown] lang="vi" of="e8abd323"
# - kích thước
# - float32 vẫn là float32
# - một bước với lịch cosine
# - một bước với lịch nhiễu của flow matching
# - gọi bộ khử nhiễu hai lần, tại t và tại s
# - một bước dài, và hai bước dài bằng nửa

# %% role="probes"
import torch

from minidiff.diffusion.analytic import mixture
from minidiff.diffusion.schedules import get_schedule

COSINE, FLOW = get_schedule("cosine"), get_schedule("flow")


def number(value):
    """A time as the library passes it: () float64."""
    return torch.tensor(value, dtype=torch.float64)


def normal(seed, *shape):
    """Standard normal noise that is the same in every call, float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def stepped(schedule=COSINE):
    """One step towards points around -1 and 1."""
    return lambda f, x, t, s: f(mixture(schedule, [-1.0, 1.0], 0.3), x, schedule, t, s)


def call_times(f, x, t, s):
    """The times at which the denoiser was called."""
    model, times = mixture(COSINE, [-1.0, 1.0], 0.3), []

    def spy(x, t):
        times.append(float(t))
        return model(x, t)

    f(spy, x, COSINE, t, s)
    return times


def one_and_two(f, x, t, between, s):
    """Where one long step ends, and where two half as long: data N(0.5, 0.4^2)."""
    model = mixture(COSINE, [0.5], 0.4)
    return [f(model, x, COSINE, t, s), f(model, f(model, x, COSINE, t, between), COSINE, between, s)]


X, TIMES = normal(5, 4, 2), {"t": number(0.7), "s": number(0.4)}

probe(lambda f, x, t, s: list(stepped()(f, x, t, s).shape), x=X, **TIMES)
probe(lambda f, x, t, s: str(stepped()(f, x, t, s).dtype), x=X.float(), **TIMES)
probe(stepped(), points=2, x=X, **TIMES)
probe(stepped(FLOW), x=X, t=number(0.9), s=number(0.5))
probe(call_times, x=X, t=number(0.6), s=number(0.4))
probe(one_and_two, x=normal(6, 64), t=number(0.7), between=number(0.5), s=number(0.3))

# %% [markdown] lang="en" role="mistake" name="no_average"
# Only the second slope was used. That is no better than Euler, which uses only the first: the two err to opposite sides, and
# their mean is what cancels.
# %% [markdown] lang="vi" of="c6ce6193"
# Chỉ dùng độ dốc thứ hai. Như vậy không hơn gì Euler, vốn chỉ dùng độ dốc thứ nhất: hai sai số lệch về hai phía, và chính trung
# bình của chúng mới triệt tiêu nhau.
# %% role="wrong" name="no_average"
patch("(eps + eps_ahead) / 2", "eps_ahead")

# %% [markdown] lang="en" role="mistake" name="euler"
# The result is Euler's step: the second slope does not reach the result. Go again from x, with the mean of both.
# %% [markdown] lang="vi" of="e35b687c"
# Kết quả chính là bước Euler: độ dốc thứ hai không góp gì vào kết quả. Hãy đi lại từ x bằng trung bình của cả hai.
# %% role="wrong" name="euler"
patch("(eps + eps_ahead) / 2", "eps")

# %% [markdown] lang="en" role="mistake" name="one_call"
# This is Euler's step, with a single call of the denoiser. The slope at the end of the step is missing: ask for it there, and
# go again from x with the mean of both.
# %% [markdown] lang="vi" of="f6fded3f"
# Đây là bước Euler, chỉ gọi bộ khử nhiễu một lần. Còn thiếu độ dốc ở cuối bước: hãy hỏi bộ khử nhiễu tại đó, rồi đi lại từ x
# bằng trung bình của hai độ dốc.
# %% role="wrong" name="one_call"
patch("_, eps_ahead = denoiser(guess, s)", "eps_ahead = eps")

# %% [markdown] lang="en" role="mistake" name="second_slope_at_x"
# The second slope comes from the old x with the new time. x has far more noise than belongs to that time; call the denoiser at
# the point to which Euler's step leads.
# %% [markdown] lang="vi" of="9052bb05"
# Độ dốc thứ hai được tính tại x cũ nhưng với thời điểm mới. x có nhiều nhiễu hơn hẳn mức của thời điểm đó; hãy gọi bộ khử nhiễu
# tại điểm mà bước Euler dẫn tới.
# %% role="wrong" name="second_slope_at_x"
patch("denoiser(guess, s)", "denoiser(x, s)")

# %% [markdown] lang="en" role="mistake" name="unscaled_guess"
# The denoiser was given u = x / alpha, on which it was not trained. Multiply by alpha_s to make it an x again before asking.
# %% [markdown] lang="vi" of="e5961641"
# Bộ khử nhiễu nhận u = x / alpha, thứ nó chưa từng thấy khi huấn luyện. Nhân với alpha_s để trở lại thành x rồi mới hỏi.
# %% role="wrong" name="unscaled_guess"
patch("guess = schedule.alpha(s) * (u + length * eps)", "guess = u + length * eps")

# %% [markdown] lang="en" role="mistake" name="second_slope_at_t"
# The second call has the right point but the old time t. The point is where the step ends, so its time is s.
# %% [markdown] lang="vi" of="dbd9e68d"
# Lần gọi thứ hai đúng điểm nhưng vẫn dùng thời điểm cũ t. Đó là điểm cuối của bước, nên thời điểm của nó là s.
# %% role="wrong" name="second_slope_at_t"
patch("denoiser(guess, s)", "denoiser(guess, t)")

# %% [markdown] lang="en" role="mistake" name="wrong_sign"
# The step goes backwards, into more noise: rho = sigma / alpha falls on the way to the data, so rho_s - rho_t is negative. Look
# at the order of the two.
# %% [markdown] lang="vi" of="c440e920"
# Bước này đi ngược, về phía nhiều nhiễu hơn: rho = sigma / alpha giảm dần khi về dữ liệu, nên rho_s - rho_t phải âm. Xem lại
# thứ tự của hiệu này.
# %% role="wrong" name="wrong_sign"
patch("rho_s - rho_t", "rho_t - rho_s")

# %% [markdown] lang="en" role="mistake" name="sum_of_slopes"
# The two slopes were added, not averaged: the step is twice as long as it should be.
# %% [markdown] lang="vi" of="93e8580a"
# Hai độ dốc được cộng lại chứ chưa lấy trung bình: bước đi dài gấp đôi.
# %% role="wrong" name="sum_of_slopes"
patch("(eps + eps_ahead) / 2", "(eps + eps_ahead)")

# %% [markdown] lang="en" role="mistake" name="from_the_guess"
# The mean of the slopes was applied from the guess on, so the step was made twice. The guess only serves to ask for the second
# slope: go again from u at t.
# %% [markdown] lang="vi" of="3b018efe"
# Trung bình hai độ dốc được áp dụng tiếp từ điểm đoán, nên bước bị đi hai lần. Điểm đoán chỉ dùng để hỏi độ dốc thứ hai: hãy đi
# lại từ u tại t.
# %% role="wrong" name="from_the_guess"
patch("schedule.alpha(s) * (u + length * (eps + eps_ahead) / 2)", "guess + schedule.alpha(s) * length * (eps + eps_ahead) / 2")

# %% [markdown] lang="en" role="mistake" name="u_returned"
# What you return is u, not x: at the end it has to be multiplied by alpha_s.
# %% [markdown] lang="vi" of="6c325575"
# Thứ được trả về là u chứ không phải x: cuối cùng phải nhân với alpha_s.
# %% role="wrong" name="u_returned"
patch("return schedule.alpha(s) * (u + length * (eps + eps_ahead) / 2)", "return u + length * (eps + eps_ahead) / 2")

# %% [markdown] lang="en" role="mistake" name="x_for_u"
# The step in rho was made on x itself. The slope is eps only for u = x / alpha: divide x by alpha_t first, and multiply by
# alpha_s in the end.
# %% [markdown] lang="vi" of="f40cb870"
# Bước theo rho lại được đi ngay trên x. Chỉ với u = x / alpha thì độ dốc mới là eps: hãy chia x cho alpha_t trước, và cuối cùng
# nhân với alpha_s.
# %% role="wrong" name="x_for_u"
patch("x / schedule.alpha(t)", "x")
patch("guess = schedule.alpha(s) * (u + length * eps)", "guess = u + length * eps")
patch("return schedule.alpha(s) * (u + length * (eps + eps_ahead) / 2)", "return u + length * (eps + eps_ahead) / 2")

# %% [markdown] lang="en" role="mistake" name="karras_on_x"
# This is Heun as Karras writes it, for an x that is data plus sigma times noise. In our x the data are scaled by alpha: make
# the step on u = x / alpha, with rho in place of sigma.
# %% [markdown] lang="vi" of="c26f64b7"
# Đây là Heun theo cách viết của Karras, dành cho x bằng dữ liệu cộng sigma lần nhiễu. Trong x của ta, dữ liệu bị nhân với
# alpha: hãy đi bước đó trên u = x / alpha, với rho thay cho sigma.
# %% role="wrong" name="karras_on_x"
def heun_step(denoiser, x, schedule, t, s):
    length = schedule.sigma(s) - schedule.sigma(t)
    slope = (x - denoiser(x, t)[0]) / schedule.sigma(t)
    guess = x + length * slope
    slope_ahead = (guess - denoiser(guess, s)[0]) / schedule.sigma(s)
    return x + length * (slope + slope_ahead) / 2

# %% [markdown] lang="en" role="mistake" name="midpoint"
# This is the midpoint method: it goes half of the way, asks for the slope there, and uses that one alone. It is of second order
# too, but Heun asks at the end of the step and takes the mean of both slopes.
# %% [markdown] lang="vi" of="ea7756a0"
# Đây là phương pháp trung điểm: đi nửa đường, hỏi độ dốc tại đó, rồi chỉ dùng độ dốc ấy. Phương pháp này cũng bậc hai, nhưng
# Heun hỏi ở cuối bước và lấy trung bình của hai độ dốc.
# %% role="wrong" name="midpoint"
def heun_step(denoiser, x, schedule, t, s):
    middle = (t + s) / 2
    rho_t, rho_m, rho_s = (schedule.sigma(v) / schedule.alpha(v) for v in (t, middle, s))
    u = x / schedule.alpha(t)
    _, eps = denoiser(x, t)
    _, eps_middle = denoiser(schedule.alpha(middle) * (u + (rho_m - rho_t) * eps), middle)
    return schedule.alpha(s) * (u + (rho_s - rho_t) * eps_middle)

# %% [markdown] lang="en" role="mistake" name="x0_for_eps"
# The slopes are x0, not eps: the denoiser returns (x0, eps), in this order.
# %% [markdown] lang="vi" of="e81aaab2"
# Độ dốc đang dùng là x0 chứ không phải eps: bộ khử nhiễu trả về (x0, eps), theo đúng thứ tự này.
# %% role="wrong" name="x0_for_eps"
patch("_, eps = denoiser(x, t)", "eps, _ = denoiser(x, t)")
patch("_, eps_ahead = denoiser(guess, s)", "eps_ahead, _ = denoiser(guess, s)")

# %% [markdown] lang="en" role="mistake" name="called_again"
# The numbers are right, but the denoiser is called more often than needed, at t twice. Each call runs the network and costs as
# much as a step of Euler: keep x0 and eps of the one call.
# %% [markdown] lang="vi" of="25db2133"
# Các con số thì đúng, nhưng bộ khử nhiễu bị gọi nhiều hơn mức cần, hai lần tại t. Mỗi lần gọi là một lần chạy mạng, tốn bằng cả
# một bước Euler: hãy giữ lại x0 và eps của một lần gọi.
# %% role="wrong" name="called_again"
def heun_step(denoiser, x, schedule, t, s):
    x0 = denoiser(x, t)[0]
    eps = denoiser(x, t)[1]
    eps_ahead = denoiser(schedule.alpha(s) * x0 + schedule.sigma(s) * eps, s)[1]
    length = schedule.sigma(s) / schedule.alpha(s) - schedule.sigma(t) / schedule.alpha(t)
    return schedule.alpha(s) * (x / schedule.alpha(t) + length * (eps + eps_ahead) / 2)

# %% role="library"
import torch

from minidiff.diffusion import samplers


def heun_step(denoiser, x, schedule, t, s):
    return next(samplers.heun(denoiser, x, schedule, torch.stack([t, s]))).x

# %% role="payoff"
def draw(one_step):
    x, steps = start_noise(), list(pairwise(uniform(trained_schedule, 5)))
    for k, (t, s) in enumerate(steps):
        # out of pure noise and into clean data there is nothing to correct
        inside = 0 < k < len(steps) - 1
        if inside:
            x = one_step(model, x, trained_schedule, t, s)
        else:
            x = step(trained_schedule, *model(x, t), t, s)
    return x.cpu()


payoff(draw, heun_step)
