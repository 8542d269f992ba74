"""Exercise 04.5, sample_loop: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="20"
# ## Debugging: nothing but noise
#
# A colleague's loop should make `n` steps of equal length with $\eta=0$, from time 1 to time 0. But it gives back the noise that
# went in. There are two bugs; both are about being one off. Mend them. Where a picture appears, but under grains, one bug is left.
# %% [markdown] lang="vi" of="3ce7b79a"
# ## Gỡ lỗi: chỉ toàn nhiễu
#
# Vòng lặp của một đồng nghiệp đáng lẽ phải đi `n` bước dài bằng nhau với $\eta=0$, từ thời điểm 1 về thời điểm 0. Nhưng nó trả
# lại đúng nhiễu đã đưa vào. Có hai lỗi, đều là lỗi lệch một đơn vị. Hãy sửa. Nếu ảnh hiện ra mà còn phủ hạt nhiễu thì vẫn còn
# một lỗi.

# %% [markdown] lang="en" role="hints"
# For n = 4, write down on paper the times you expect, and how often the network is called. Compare.
# ---
# n steps are n gaps, and gaps need n + 1 posts. Which post is missing?
# ---
# The denoiser must get the time that says how noisy its x is *now*. And `torch.arange(n, 0, -1)` stops at 1, before 0.
# %% [markdown] lang="vi" of="7e45daac"
# Với n = 4, hãy viết ra giấy các thời điểm bạn mong đợi và số lần gọi mạng. So sánh.
# ---
# n bước là n khoảng cách, mà khoảng cách cần n + 1 cột mốc. Cột nào đang thiếu?
# ---
# Bộ khử nhiễu phải nhận thời điểm cho biết x *hiện giờ* nhiễu đến đâu. Và `torch.arange(n, 0, -1)` dừng ở 1, trước 0.

# %% [markdown] lang="en" role="stub" given="as_it_was"
# x (B, ...), standard normal noise, to data (B, ...) in n steps without fresh
# noise. denoiser: (x, t) -> (x0, eps), t: ().
# ---
# 1. print the timesteps, and the times that the denoiser gets
# 2. mend both bugs above, and take out the next line
# %% [markdown] lang="vi" of="ed20f29b"
# x (B, ...), nhiễu phân phối chuẩn tắc, thành dữ liệu (B, ...) trong n bước,
# không thêm nhiễu mới. denoiser: (x, t) -> (x0, eps), t: ().
# ---
# 1. in các bước thời gian và thời điểm mà bộ khử nhiễu nhận được
# 2. sửa cả hai lỗi ở trên, rồi xóa dòng tiếp theo

# %% role="solution"
def sample_loop(
    denoiser: Denoiser, x: Tensor, schedule: NoiseSchedule, n: int
) -> Tensor:
    timesteps = torch.arange(n, -1, -1, dtype=torch.float64) / n  # (n + 1,) from 1 to 0
    for t, s in pairwise(timesteps):
        x0, eps = denoiser(x, t)
        x = step(schedule, x0, eps, t, s)
    return x

# %% [markdown] lang="en" role="checks"
# - shape
# - the times given to the denoiser, 4 steps
# - result of 4 steps, and number of calls
# - result of 10 steps, and number of calls
# - no noise is left at the end
# %% [markdown] lang="vi" of="bd642bfc"
# - kích thước
# - các thời điểm đưa cho bộ khử nhiễu, 4 bước
# - kết quả sau 4 bước, và số lần gọi
# - kết quả sau 10 bước, và số lần gọi
# - cuối cùng không còn nhiễu

# %% role="probes"
import torch

from minidiff.diffusion.analytic import mixture
from minidiff.diffusion.schedules import get_schedule

COSINE = get_schedule("cosine")


def normal(seed, *shape):
    """Standard normal noise that is the same in every call, float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def looped(f, x, n, means, std):
    """What n steps make of x for data around these means, and the times at which the denoiser was called."""
    model, times = mixture(COSINE, means, std), []

    def spy(x, t):
        times.append(float(t))
        return model(x, t)

    return f(spy, x, COSINE, n), times


def end_and_calls(f, **given):
    """The result, and how often the denoiser was called."""
    end, times = looped(f, **given)
    return [end, len(times)]


def spread_and_calls(f, **given):
    """The spread of the result, and how often the denoiser was called."""
    end, times = looped(f, **given)
    return [float(end.std()), len(times)]


X = torch.linspace(-2, 2, 12, dtype=torch.float64).view(6, 2)
TWO = {"means": [-1.0, 1.0], "std": 0.3}

probe(lambda f, **given: list(looped(f, **given)[0].shape), x=X, n=4, **TWO)
probe(lambda f, **given: looped(f, **given)[1], points=2, x=normal(5, 4, 2), n=4, **TWO)
probe(end_and_calls, x=X, n=4, **TWO)
probe(end_and_calls, x=X, n=10, **TWO)
probe(spread_and_calls, x=normal(6, 256), n=10, means=[0.5], std=1e-6)

# %% [markdown] lang="en" role="mistake" name="as_it_was"
# This does what the broken loop did. There are two bugs: print the timesteps, and compare them with the times that the denoiser
# gets.
# %% [markdown] lang="vi" of="f0ae183f"
# Kết quả vẫn như vòng lặp hỏng ban đầu. Có hai lỗi: hãy in các bước thời gian ra và so với thời điểm đưa cho bộ khử nhiễu.
# %% role="wrong" name="as_it_was"
patch("torch.arange(n, -1, -1", "torch.arange(n, 0, -1")
patch("  # (n + 1,) from 1 to 0", "")
patch("denoiser(x, t)", "denoiser(x, s)")

# %% [markdown] lang="en" role="mistake" name="ends_early"
# The denoiser gets the right times now, but the last of the timesteps stays above 0: n steps have n + 1 times, and the one that
# makes the picture clean is missing.
# %% [markdown] lang="vi" of="7abc4dc1"
# Bộ khử nhiễu giờ đã nhận đúng thời điểm, nhưng bước thời gian cuối của dãy vẫn lớn hơn 0: n bước cần n + 1 thời điểm, và còn
# thiếu thời điểm làm ảnh sạch hẳn.
# %% role="wrong" name="ends_early"
patch("torch.arange(n, -1, -1", "torch.arange(n, 0, -1")

# %% [markdown] lang="en" role="mistake" name="end_of_the_step"
# The timesteps are right, but the denoiser gets the time at which the step ends instead of the one at which x is now: x has the
# noise of time t.
# %% [markdown] lang="vi" of="7a09d197"
# Các bước thời gian đã đúng, nhưng bộ khử nhiễu lại nhận thời điểm cuối bước thay vì thời điểm hiện tại của x: x đang có lượng
# nhiễu của thời điểm t.
# %% role="wrong" name="end_of_the_step"
patch("denoiser(x, t)", "denoiser(x, s)")

# %% [markdown] lang="en" role="mistake" name="one_step_short"
# There are n timesteps from 1 to 0, which make n - 1 steps. Count the gaps, not the posts: n steps have n + 1 times.
# %% [markdown] lang="vi" of="3795f034"
# Dãy có n bước thời gian từ 1 đến 0, tức là chỉ đi n - 1 bước. Hãy đếm khoảng cách chứ đừng đếm cột mốc: n bước cần n + 1 thời
# điểm.
# %% role="wrong" name="one_step_short"
patch("torch.arange(n, -1, -1, dtype=torch.float64) / n", "torch.linspace(1, 0, n, dtype=torch.float64)")

# %% [markdown] lang="en" role="mistake" name="one_step_more"
# There are n + 2 timesteps, which make n + 1 steps: the network is called once too often. n steps have n + 1 times.
# %% [markdown] lang="vi" of="3d23db6f"
# Dãy có n + 2 bước thời gian, tức là đi n + 1 bước: mạng bị gọi thừa một lần. n bước cần n + 1 thời điểm.
# %% role="wrong" name="one_step_more"
patch("torch.arange(n, -1, -1, dtype=torch.float64) / n", "torch.linspace(1, 0, n + 2, dtype=torch.float64)")

# %% [markdown] lang="en" role="mistake" name="begins_late"
# The last time is 0 now, but the first one is no longer 1: the whole row was shifted, and a step is missing at the noisy end.
# The denoiser takes pure noise for a picture that has already begun.
# %% [markdown] lang="vi" of="f767c943"
# Thời điểm cuối giờ đã là 0, nhưng thời điểm đầu không còn là 1: cả dãy bị dời đi, và thiếu một bước ở đầu nhiều nhiễu. Bộ khử
# nhiễu tưởng nhiễu thuần là một bức ảnh đã thành hình đôi chút.
# %% role="wrong" name="begins_late"
patch("torch.arange(n, -1, -1", "torch.arange(n - 1, -1, -1")

# %% [markdown] lang="en" role="mistake" name="rising"
# The times rise, from data to noise, so the loop ends with noise. Sampling starts at 1 and goes down.
# %% [markdown] lang="vi" of="26109ef0"
# Các thời điểm tăng dần, từ dữ liệu về nhiễu, nên vòng lặp kết thúc ở nhiễu. Lấy mẫu bắt đầu từ 1 và đi xuống.
# %% role="wrong" name="rising"
patch("torch.arange(n, -1, -1, dtype=torch.float64)", "torch.arange(n + 1, dtype=torch.float64)")

# %% [markdown] lang="en" role="mistake" name="stands_still"
# The denoiser gets the right times, but x comes out as it went in: the two times are swapped in `step`, so that every step ends
# where it began. It goes from t, the larger one, to s.
# %% [markdown] lang="vi" of="c4930272"
# Bộ khử nhiễu nhận đúng thời điểm, nhưng x vào thế nào thì ra thế ấy: hai thời điểm trong `step` bị đổi chỗ, nên bước nào cũng
# kết thúc đúng nơi nó bắt đầu. Bước đi từ t, số lớn hơn, đến s.
# %% role="wrong" name="stands_still"
patch("step(schedule, x0, eps, t, s)", "step(schedule, x0, eps, s, t)")

# %% [markdown] lang="en" role="mistake" name="fresh_noise"
# The times are right, but every step adds fresh noise. With eta = 0, the default, there is none: the first x decides
# everything.
# %% [markdown] lang="vi" of="291b7cee"
# Các thời điểm đều đúng, nhưng bước nào cũng thêm nhiễu mới. Với eta = 0, giá trị mặc định, thì không có nhiễu mới: x đầu tiên
# quyết định tất cả.
# %% role="wrong" name="fresh_noise"
patch("step(schedule, x0, eps, t, s)", "step(schedule, x0, eps, t, s, 1.0, torch.randn_like(x))")

# %% [markdown] lang="en" role="mistake" name="last_guess"
# The timesteps still end above 0, and the loop returns the last x0 instead of x. That x0 was predicted at time 2 / n: the
# grains are gone, but so are the details that the last call of the network would have drawn.
# %% [markdown] lang="vi" of="a0b63a5d"
# Các bước thời gian vẫn dừng trên 0, và vòng lặp trả về x0 cuối cùng thay vì x. x0 đó được dự đoán tại thời điểm 2 / n: hạt
# nhiễu thì hết, nhưng cũng mất những chi tiết mà lần gọi mạng cuối cùng lẽ ra sẽ vẽ.
# %% role="wrong" name="last_guess"
patch("torch.arange(n, -1, -1", "torch.arange(n, 0, -1")
patch("return x", "return x0")

# %% role="library"
from minidiff.diffusion import samplers
from minidiff.diffusion.timesteps import uniform


def sample_loop(denoiser, x, schedule, n):
    *_, last = samplers.sample(denoiser, x, schedule, uniform(schedule, n))
    return last.x

# %% role="payoff"
def draw(loop):
    return loop(model, start_noise(), trained_schedule, 8).cpu()


payoff(draw, sample_loop)
