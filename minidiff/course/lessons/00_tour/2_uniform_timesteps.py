"""Exercise 00.2, uniform_timesteps: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="1" minutes="6"
# ## The timesteps of a drawing
#
# A drawing of `n` steps visits times that fall evenly from 1 (all noise) to 0 (all picture): its *timesteps*. (The network
# itself is told 1000 times these numbers.) A step leads from one time to the next, so how many times are there? Return them
# as a float64 tensor. For `n = 4`: 1, 0.75, 0.5, 0.25, 0.
# %% [markdown] lang="vi" of="86df4f28"
# ## Các bước thời gian của một lần vẽ
#
# Một lần vẽ `n` bước đi qua các thời điểm giảm đều từ 1 (toàn nhiễu) về 0 (toàn hình), gọi là các *bước thời gian*
# (timesteps). (Riêng mạng thì được báo các số ấy nhân với 1000.) Mỗi bước dẫn từ một thời điểm đến thời điểm kế tiếp, vậy có
# bao nhiêu thời điểm? Trả về một tensor float64. Với `n = 4`: 1, 0.75, 0.5, 0.25, 0.

# %% [markdown] lang="en" role="hints"
# How many posts has a fence of four gaps?
# ---
# `torch.arange` can count downwards, and leaves out its end; `torch.linspace` takes the number of posts.
# ---
# Count n, n - 1, ..., 1, 0 in float64, then divide by n.
# %% [markdown] lang="vi" of="703c16f8"
# Hàng rào có bốn khoảng thì có mấy cột?
# ---
# `torch.arange` đếm lùi được, và không lấy điểm cuối; `torch.linspace` nhận số cột.
# ---
# Đếm n, n - 1, ..., 1, 0 ở float64, rồi chia cho n.

# %% [markdown] lang="en" role="stub"
# Times (n + 1,), float64, that fall evenly from 1 to 0, for n steps, n >= 1.
# ---
# 1. count down from n to 0, both included, in float64      # (n + 1,)
# 2. divide so that the first is 1                          # (n + 1,)
# %% [markdown] lang="vi" of="ebcebf3e"
# Các thời điểm (n + 1,), float64, giảm đều từ 1 về 0, cho n bước, n >= 1.
# ---
# 1. đếm lùi từ n về 0, lấy cả hai đầu, ở float64           # (n + 1,)
# 2. chia sao cho số đầu tiên bằng 1                        # (n + 1,)

# %% role="solution"
def uniform_timesteps(n: int) -> Tensor:
    return torch.arange(n, -1, -1, dtype=torch.float64) / n     # (n + 1,)

# %% [markdown] lang="en" role="checks"
# - a tensor, and its dtype
# - 4 and 7 steps
# - 2 steps and 1
# - 1 to 100 steps: how many times there are, and how many below 0 or above 1
# %% [markdown] lang="vi" of="8a95af2d"
# - là tensor, và kiểu số
# - 4 và 7 bước
# - 2 bước và 1 bước
# - từ 1 đến 100 bước: có bao nhiêu thời điểm, và bao nhiêu cái dưới 0 hay trên 1

# %% role="probes"
import torch

LIKE_TIMES = (torch.Tensor, list, tuple)  # anything else is returned as it is


def kind(times):
    if not isinstance(times, LIKE_TIMES):
        return times
    return [type(times).__name__, str(getattr(times, "dtype", None))]


def numbers(times):
    """In float64: a wrong dtype, or a list, costs the points of one check alone."""
    if not isinstance(times, LIKE_TIMES):
        return times
    return torch.as_tensor(times, dtype=torch.float64)


def counted(f, most):
    every = [numbers(f(n)) for n in range(1, most + 1)]
    if not isinstance(every[0], torch.Tensor):
        return every[0]
    outside = [int(((times < 0) | (times > 1)).sum()) for times in every]
    return {"n + 1": [len(times) for times in every], "< 0, > 1": outside}


probe(lambda f, n: kind(f(n)), n=4)
probe(lambda f: {"n = 4": numbers(f(4)), "n = 7": numbers(f(7))}, points=2)
probe(lambda f: {"n = 2": numbers(f(2)), "n = 1": numbers(f(1))})
probe(counted, most=100)

# %% [markdown] lang="en" role="mistake" name="n_times"
# One time is missing: n steps are n gaps, and n gaps lie between n + 1 posts. Count the posts of a fence with one gap.
# %% [markdown] lang="vi" of="1d3629ed"
# Thiếu một thời điểm: n bước là n khoảng, và n khoảng nằm giữa n + 1 cột. Hãy đếm số cột của hàng rào có một khoảng.
# %% role="wrong" name="n_times"
patch("torch.arange(n, -1, -1, dtype=torch.float64) / n", "torch.linspace(1, 0, n, dtype=torch.float64)")

# %% [markdown] lang="en" role="mistake" name="never_arrives"
# The last time is 1/n and not 0, so the drawing stops while there is still noise in it. Where does your counting end, and is
# that end included?
# %% [markdown] lang="vi" of="df4012dc"
# Thời điểm cuối là 1/n chứ không phải 0, nên bức tranh dừng khi vẫn còn nhiễu. Bạn đếm đến đâu, và điểm cuối có được tính
# không?
# %% role="wrong" name="never_arrives"
patch("n, -1, -1", "n, 0, -1")

# %% [markdown] lang="en" role="mistake" name="leaves_out_1"
# The first time is missing: n things counted from 0 end at n - 1, so the drawing begins one step below 1, where the network
# expects a trace of a picture and gets pure noise. How many times are there?
# %% [markdown] lang="vi" of="b1eecdaf"
# Thiếu thời điểm đầu tiên: đếm n thứ từ 0 thì chỉ đến n - 1, nên lần vẽ bắt đầu thấp hơn 1 một bước, nơi mạng chờ sẵn một chút
# hình mà chỉ nhận được toàn nhiễu. Có tất cả bao nhiêu thời điểm?
# %% role="wrong" name="leaves_out_1"
patch("n, -1, -1", "n - 1, -1, -1")

# %% [markdown] lang="en" role="mistake" name="goes_too_far"
# You go one step too far: the last time is below 0, beyond the finished picture. The end that arange is given is left out, so
# which end leaves 0 in and nothing after it?
# %% [markdown] lang="vi" of="39084008"
# Bạn đi quá một bước: thời điểm cuối nằm dưới 0, vượt quá bức tranh đã xong. arange không lấy điểm cuối được đưa vào, vậy điểm
# cuối nào giữ lại 0 mà không thêm gì sau đó?
# %% role="wrong" name="goes_too_far"
patch("n, -1, -1", "n, -2, -1")

# %% [markdown] lang="en" role="mistake" name="starts_late"
# The number of times is right, but they begin below 1, where the network expects a trace of a picture and gets pure noise.
# You divided by the number of times; divide by the number of steps.
# %% [markdown] lang="vi" of="711bb642"
# Số thời điểm đã đúng, nhưng chúng bắt đầu dưới 1, nơi mạng chờ sẵn một chút hình mà chỉ nhận được toàn nhiễu. Bạn đã chia cho
# số thời điểm; hãy chia cho số bước.
# %% role="wrong" name="starts_late"
patch("/ n", "/ (n + 1)")

# %% [markdown] lang="en" role="mistake" name="not_divided"
# These are whole numbers from n down to 0. How many there are is right, but a time lies between 0 and 1: the first must be 1,
# whatever n is.
# %% [markdown] lang="vi" of="4674655e"
# Đây là các số nguyên từ n về 0. Số lượng đã đúng, nhưng thời điểm phải nằm giữa 0 và 1: số đầu tiên phải là 1, dù n bằng bao
# nhiêu.
# %% role="wrong" name="not_divided"
patch(" / n", "")

# %% [markdown] lang="en" role="mistake" name="rising"
# These times rise from 0 to 1: from picture to noise. Drawing goes the other way.
# %% [markdown] lang="vi" of="2abed593"
# Các thời điểm này tăng từ 0 đến 1: từ ảnh đến nhiễu. Vẽ thì đi chiều ngược lại.
# %% role="wrong" name="rising"
patch("n, -1, -1", "0, n + 1")

# %% [markdown] lang="en" role="mistake" name="single_precision"
# The times themselves are right, but in float32. They are few and everything is computed from them, so the library keeps them
# in float64: say so with dtype=.
# %% [markdown] lang="vi" of="0cd41ca1"
# Các thời điểm đã đúng, nhưng ở float32. Chúng chỉ có vài số mà mọi thứ đều tính từ đó, nên thư viện giữ chúng ở float64: hãy
# nói rõ bằng dtype=.
# %% role="wrong" name="single_precision"
patch(", dtype=torch.float64", "")

# %% [markdown] lang="en" role="mistake" name="a_list"
# The times are right, but they are a Python list. The sampler computes with all of them at once and needs a tensor: which
# function of torch makes one from a list, and what dtype do you ask it for?
# %% [markdown] lang="vi" of="ae7efc5e"
# Các thời điểm đã đúng, nhưng là một list của Python. Bộ lấy mẫu tính với tất cả cùng một lúc nên cần tensor: hàm nào của
# torch biến list thành tensor, và bạn phải yêu cầu kiểu số nào?
# %% role="wrong" name="a_list"
patch("torch.arange(n, -1, -1, dtype=torch.float64) / n", "[k / n for k in range(n, -1, -1)]")

# %% [markdown] lang="en" role="mistake" name="counts_in_fractions"
# For some n there is a time too many, below 0: 1/n cannot be held exactly in a float, and whether arange in steps of 1/n gets
# past its end depends on how it was rounded. Count in whole numbers, and divide afterwards.
# %% [markdown] lang="vi" of="5319043b"
# Với một vài n lại thừa một thời điểm, nằm dưới 0: số thực trong máy không lưu được đúng 1/n, nên arange với bước 1/n có vượt
# điểm cuối hay không là tùy cách làm tròn. Hãy đếm bằng số nguyên, rồi mới chia.
# %% role="wrong" name="counts_in_fractions"
def uniform_timesteps(n):
    return torch.arange(1, -1 / n, -1 / n, dtype=torch.float64)

# %% [markdown] lang="en" role="mistake" name="adds_up_errors"
# For some n the last time is a hair below 0 (with 12 steps, -8e-17), and the library refuses such times. Each subtraction of
# 1/n rounds, and the errors add up. Compute each time by itself, from its number.
# %% [markdown] lang="vi" of="f86e0736"
# Với một vài n, thời điểm cuối thấp hơn 0 một chút xíu (với 12 bước là -8e-17), và thư viện từ chối những thời điểm như vậy.
# Mỗi lần trừ 1/n là một lần làm tròn, và sai số cộng dồn. Hãy tính riêng từng thời điểm, từ số thứ tự của nó.
# %% role="wrong" name="adds_up_errors"
def uniform_timesteps(n):
    times = [1.0]
    for _ in range(n):
        times.append(times[-1] - 1 / n)
    return torch.tensor(times, dtype=torch.float64)

# %% role="library"
from minidiff.diffusion.schedules import get_schedule
from minidiff.diffusion.timesteps import uniform


def uniform_timesteps(n):
    return uniform(get_schedule("cosine"), n)

# %% role="payoff"
def draw(uniform_timesteps: Callable) -> Tensor:
    denoiser = pipe.denoiser([prompt], [""], 5.0)          # (x, t) -> (x0, eps), guided
    timesteps = uniform_timesteps(12)                       # (13,)
    *_, last = samplers.sample(denoiser, noise, schedule, timesteps)
    return pipe.pixels(last.x).cpu()


payoff(draw, uniform_timesteps)
