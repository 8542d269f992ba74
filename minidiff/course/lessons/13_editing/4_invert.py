"""Exercise 13.4, invert: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="15"
# ## From a picture back to its noise
#
# DDIM without fresh noise is an ordinary differential equation, and its steps can be made backwards (Song et al. 2021, section
# 4.3): from a clean picture up to the noise that it would have been drawn from. A step up goes from time $s$ to the noisier
# time $t > s$:
#
# $$\hat x_0, \hat\epsilon = \text{model}(x_s, s) \qquad x_t = \alpha_t\,\hat x_0 + \sigma_t\,\hat\epsilon$$
#
# The way down would ask the model at $t$, but $x_t$ isn't known yet. So the prediction is made at the clean end of the step and
# used for the whole of it. Small steps make that a small mistake.
#
# `timesteps` are the falling times of a sampler, $(n + 1,)$; go along them from the last to the first, and return x at the
# first, the noisiest. The last cell climbs from a drawn scene (left) to its noise and comes down again: with the same words
# (middle), and with words for a green star (right).
# %% [markdown] lang="vi" of="8c19b3ba"
# ## Từ bức tranh trở về nhiễu của nó
#
# DDIM không thêm nhiễu mới là một phương trình vi phân thường, và các bước của nó có thể đi ngược lại (Song và cộng sự 2021,
# mục 4.3): từ bức tranh sạch lên đến nhiễu mà lẽ ra nó được vẽ từ đó. Một bước đi lên từ thời điểm $s$ đến thời điểm nhiễu hơn
# $t > s$:
#
# $$\hat x_0, \hat\epsilon = \text{model}(x_s, s) \qquad x_t = \alpha_t\,\hat x_0 + \sigma_t\,\hat\epsilon$$
#
# Đường đi xuống sẽ hỏi mô hình tại $t$, nhưng $x_t$ thì chưa biết. Vì vậy dự đoán được lấy ở đầu sạch của bước và dùng cho cả
# bước. Bước nhỏ thì sai số nhỏ.
#
# `timesteps` là dãy thời điểm giảm dần của bộ lấy mẫu, $(n + 1,)$; hãy đi dọc theo nó từ cuối lên đầu, và trả về x tại thời
# điểm đầu, nhiễu nhất. Ô cuối cùng đi từ một cảnh vẽ sẵn (trái) lên nhiễu của nó rồi xuống lại: với cùng lời (giữa), và với lời
# tả ngôi sao xanh lá (phải).

# %% [markdown] lang="en" role="hints"
# For times 1, 0.5, 0: which two steps are made, from where to where, and at which time is the model asked in each?
# ---
# `timesteps.flip(0)` rises, and `pairwise` of it gives pairs (s, t) with s < t.
# ---
# In the loop over these pairs: ask the model about x at s, and give both of its answers to `schedule.mix`, with the time t.
# %% [markdown] lang="vi" of="e57bfb4e"
# Với các thời điểm 1, 0.5, 0: hai bước nào được đi, từ đâu đến đâu, và ở mỗi bước mô hình được hỏi tại thời điểm nào?
# ---
# `timesteps.flip(0)` tăng dần, và `pairwise` của nó cho các cặp (s, t) với s < t.
# ---
# Trong vòng lặp qua các cặp ấy: hỏi mô hình về x tại s, rồi đưa cả hai kết quả của nó cho `schedule.mix`, với thời điểm t.

# %% [markdown] lang="en" role="stub"
# x0 (B, ...) at the last of the falling timesteps (n + 1,), to x (B, ...) at the
# first of them: DDIM's steps backwards. model: (x, t) -> (x0, eps), t: ().
# ---
# 1. begin with x0
# 2. for each step, from the last to the first: clean end s, noisy end t
# 3. the prediction at s, mixed in the shares of t           # (B, ...)
# %% [markdown] lang="vi" of="c22af918"
# x0 (B, ...) tại bước thời gian cuối của dãy giảm dần timesteps (n + 1,), thành x
# (B, ...) tại bước đầu tiên của dãy: DDIM đi ngược. model: (x, t) -> (x0, eps),
# t: ().
# ---
# 1. bắt đầu với x0
# 2. với mỗi bước, từ cuối lên đầu: đầu sạch s, đầu nhiễu t
# 3. dự đoán tại s, trộn theo tỉ lệ của t                     # (B, ...)

# %% role="solution"
def invert(
    model: Denoiser, x0: Tensor, schedule: NoiseSchedule, timesteps: Tensor
) -> Tensor:
    x = x0
    for s, t in pairwise(timesteps.flip(0)):                    # s < t
        x = schedule.mix(*model(x, s), t)                       # (B, ...) at time t
    return x

# %% [markdown] lang="en" role="checks"
# - shape and dtype, float32 and float64
# - the times at which the model is asked, from clean to noisy
# - up to time 0.9 in three uneven steps
# - up to pure noise, time 1
# - one step
# - the schedule of Stable Diffusion
# - the flow schedule, where alpha² + sigma² isn't 1
# - up, and down again with DDIM in 40 steps
# %% [markdown] lang="vi" of="9e01e55e"
# - kích thước và kiểu số, float32 và float64
# - các thời điểm mà mô hình được hỏi, từ sạch đến nhiễu
# - lên đến thời điểm 0.9 bằng ba bước không đều
# - lên đến nhiễu thuần, thời điểm 1
# - một bước
# - lịch nhiễu của Stable Diffusion
# - lịch nhiễu flow, nơi alpha² + sigma² không bằng 1
# - đi lên, rồi đi xuống lại bằng DDIM với 40 bước

# %% role="probes"
import torch

from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import sample
from minidiff.diffusion.schedules import get_schedule

COSINE, TABLE, FLOW = (get_schedule(name) for name in ("cosine", "scaled_linear", "flow"))


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def falling(*values):
    return torch.tensor(values, dtype=torch.float64)


def network(x, timestep):
    """A smooth prediction that depends on the time and on neighbours."""
    return torch.tanh(0.7 * x + 0.4 * x.roll(1, -1)) - timestep.reshape(-1, *[1] * (x.ndim - 1)).to(x) / 1500


def spied(f, x0, times, schedule=COSINE):
    inner, asked = denoiser(network, schedule, "v"), []

    def model(x, t):
        asked.append(float(t))
        return inner(x, t)

    return f(model, x0, schedule, times), asked


def shapes_and_dtypes(f, x0, times):
    made = [spied(f, x0.to(kind), times)[0] for kind in (torch.float32, torch.float64)]
    return [[list(one.shape), str(one.dtype)] for one in made]


def times_asked(f, x0, times):
    return spied(f, x0, times)[1]


def result(f, x0, times):
    return spied(f, x0, times)[0]


def by_table(f, x0, times):
    return spied(f, x0, times, TABLE)[0]


def by_flow(f, x0, times):
    return spied(f, x0, times, FLOW)[0]


def there_and_back(f, x0, times):
    noise = spied(f, x0, times)[0]
    *_, last = sample(denoiser(network, COSINE, "v"), noise, COSINE, times)
    return last.x


TWO, ONE, ROWS = normal(2, 3, 4, 5, seed=1), normal(1, 2, 3, 3, seed=2), normal(5, 4, seed=3).T

probe(shapes_and_dtypes, x0=TWO, times=falling(1, 0.6, 0.2, 0))
probe(times_asked, x0=TWO, times=falling(1, 0.6, 0.2, 0))
probe(result, points=2, x0=TWO, times=falling(0.9, 0.55, 0.1, 0))
probe(result, x0=ONE, times=falling(1, 0.75, 0.5, 0.25, 0))
probe(result, x0=ROWS, times=falling(0.5, 0))
probe(by_table, x0=ROWS, times=falling(0.8, 0.5, 0.3, 0.05, 0))
probe(by_flow, x0=TWO, times=falling(0.7, 0.4, 0))
probe(there_and_back, points=2, x0=ONE, times=torch.arange(40, -1, -1, dtype=torch.float64) / 40)

# %% [markdown] lang="en" role="mistake" name="noisy_end"
# The model is asked at the noisy end t, but x is still at time s: it is told of noise that isn't there and takes parts of the
# picture away as noise. Ask at s.
# %% [markdown] lang="vi" of="93d7b853"
# Mô hình bị hỏi tại đầu nhiễu t, trong khi x vẫn còn ở thời điểm s: nó được báo về nhiễu chưa hề có và lấy đi những phần của
# bức tranh như thể là nhiễu. Hãy hỏi tại s.
# %% role="wrong" name="noisy_end"
patch("model(x, s)", "model(x, t)")

# %% [markdown] lang="en" role="mistake" name="downwards"
# This is DDIM itself, from the noisy end down, and a clean picture is fed to it as noise. Go along the times from the last to
# the first.
# %% [markdown] lang="vi" of="0ece0141"
# Đây chính là DDIM, đi từ đầu nhiễu xuống, và bức tranh sạch được đưa vào như thể là nhiễu. Hãy đi dọc theo dãy thời điểm từ
# cuối lên đầu.
# %% role="wrong" name="downwards"
patch("pairwise(timesteps.flip(0))", "pairwise(timesteps)")

# %% [markdown] lang="en" role="mistake" name="stays_at_s"
# The prediction is mixed in the shares of s, where x is already, so nothing becomes noisier. Mix for t.
# %% [markdown] lang="vi" of="bc812a96"
# Dự đoán được trộn theo tỉ lệ của s, nơi x đang đứng sẵn, nên không gì nhiễu thêm. Hãy trộn cho t.
# %% role="wrong" name="stays_at_s"
patch("schedule.mix(*model(x, s), t)", "schedule.mix(*model(x, s), s)")

# %% [markdown] lang="en" role="mistake" name="names_swapped"
# The times rise, but the names of each pair are swapped: the model is asked at the noisy end and x is mixed for the clean one.
# In a rising list the first of a pair is s.
# %% [markdown] lang="vi" of="92db53c0"
# Dãy thời điểm tăng dần, nhưng hai tên trong mỗi cặp bị đổi chỗ: mô hình được hỏi ở đầu nhiễu, còn x được trộn cho đầu sạch.
# Trong dãy tăng, phần tử đầu của cặp là s.
# %% role="wrong" name="names_swapped"
patch("for s, t in", "for t, s in")

# %% [markdown] lang="en" role="mistake" name="first_picture_kept"
# The true x0 is mixed with the predicted noise at each step. It must be the *predicted* x0: only that pair belongs to x, and
# only then do DDIM's steps lead back.
# %% [markdown] lang="vi" of="d9b7ec2e"
# Ở mỗi bước, x0 thật được trộn với nhiễu dự đoán. Phải là x0 *dự đoán*: chỉ cặp ấy mới ứng với x, và chỉ khi đó các bước DDIM
# mới dẫn trở về.
# %% role="wrong" name="first_picture_kept"
patch("schedule.mix(*model(x, s), t)", "schedule.mix(x0, model(x, s)[1], t)")

# %% [markdown] lang="en" role="mistake" name="x_for_x0"
# x itself is mixed with the predicted noise. It is at time s and holds noise already; what belongs into the mix is the
# *predicted* x0.
# %% [markdown] lang="vi" of="5aa082f0"
# Chính x bị trộn với nhiễu dự đoán. Nó đang ở thời điểm s và đã chứa sẵn nhiễu; thứ cần đem trộn là x0 *dự đoán*.
# %% role="wrong" name="x_for_x0"
patch("schedule.mix(*model(x, s), t)", "schedule.mix(x, model(x, s)[1], t)")

# %% [markdown] lang="en" role="mistake" name="prediction_shown"
# The model is shown the x0 that it has predicted the step before, a clean picture, and told that it is noisy. Show it x at time
# s, and keep x and the predicted x0 apart.
# %% [markdown] lang="vi" of="bbe5d038"
# Mô hình được cho xem x0 mà nó dự đoán ở bước trước, một bức sạch, nhưng lại được bảo là có nhiễu. Hãy cho nó xem x tại thời
# điểm s, và đừng để x lẫn với x0 dự đoán.
# %% role="wrong" name="prediction_shown"
def invert(model, x0, schedule, timesteps):
    for s, t in pairwise(timesteps.flip(0)):
        x0, eps = model(x0, s)
        x = schedule.mix(x0, eps, t)
    return x

# %% [markdown] lang="en" role="mistake" name="variance_of_one"
# The noise's share was worked out from alpha, so that the squares of both sum to 1. That isn't so for every schedule, such as
# flow: ask the schedule for sigma, or use `schedule.mix`.
# %% [markdown] lang="vi" of="fc28207d"
# Tỉ lệ nhiễu được tính từ alpha, sao cho tổng bình phương của hai tỉ lệ bằng 1. Không phải lịch nhiễu nào cũng vậy, chẳng hạn
# flow: hãy lấy sigma từ lịch nhiễu, hoặc dùng `schedule.mix`.
# %% role="wrong" name="variance_of_one"
def invert(model, x0, schedule, timesteps):
    x = x0
    for s, t in pairwise(timesteps.flip(0)):
        predicted, eps = model(x, s)
        alpha = schedule.alpha(t)
        x = alpha * predicted + (1 - alpha**2).sqrt() * eps
    return x

# %% [markdown] lang="en" role="mistake" name="asked_twice"
# The result is right, but it takes twice as long: the model is called once for x0 and once more for the noise. One call gives
# both.
# %% [markdown] lang="vi" of="37f6cbd6"
# Kết quả đúng, nhưng mất gấp đôi thời gian: mô hình được gọi một lần để lấy x0 rồi thêm một lần để lấy nhiễu. Một lần gọi trả
# về cả hai.
# %% role="wrong" name="asked_twice"
patch("schedule.mix(*model(x, s), t)", "schedule.mix(model(x, s)[0], model(x, s)[1], t)")

# %% [markdown] lang="en" role="mistake" name="always_from_x0"
# At each step the model is shown the clean picture again. Show it the x that the step before has made.
# %% [markdown] lang="vi" of="08e1beea"
# Bước nào mô hình cũng được cho xem lại bức tranh sạch. Hãy cho nó xem x mà bước trước vừa tạo ra.
# %% role="wrong" name="always_from_x0"
patch("model(x, s)", "model(x0, s)")

# %% [markdown] lang="en" role="mistake" name="random_noise"
# The picture was noised with random noise. From that DDIM draws some picture, but not this one: the noise must be what the
# model predicts, step by step.
# %% [markdown] lang="vi" of="d99220d7"
# Bức tranh bị thêm nhiễu ngẫu nhiên. Từ đó DDIM vẽ ra một bức nào đó chứ không phải bức này: nhiễu phải là thứ mô hình dự đoán,
# từng bước một.
# %% role="wrong" name="random_noise"
def invert(model, x0, schedule, timesteps):
    return schedule.mix(x0, torch.randn_like(x0), timesteps[0])

# %% [markdown] lang="en" role="mistake" name="last_step_missing"
# The step to the noisiest time is missing: n + 1 times make n steps, and x has to reach the first of them.
# %% [markdown] lang="vi" of="3d640780"
# Thiếu bước đến thời điểm nhiễu nhất: n + 1 thời điểm là n bước, và x phải đến được thời điểm đầu.
# %% role="wrong" name="last_step_missing"
patch("timesteps.flip(0)", "timesteps[1:].flip(0)")

# %% [markdown] lang="en" role="mistake" name="clean_end_left_out"
# The step from the clean end is missing: x0 is taken for x at the last but one of the times. Begin at the last, the clean one.
# %% [markdown] lang="vi" of="3e7b9b6c"
# Thiếu bước đi từ đầu sạch: x0 bị coi là x tại thời điểm áp chót. Hãy bắt đầu từ thời điểm cuối, thời điểm sạch.
# %% role="wrong" name="clean_end_left_out"
patch("timesteps.flip(0)", "timesteps[:-1].flip(0)")

# %% [markdown] lang="en" role="mistake" name="noise_returned"
# The predicted noise came back in place of x. The two are the same only at time 1; below it a part of the picture is in x.
# %% [markdown] lang="vi" of="803286af"
# Kết quả là nhiễu dự đoán thay vì x. Hai thứ chỉ trùng nhau tại thời điểm 1; thấp hơn thì trong x còn một phần bức tranh.
# %% role="wrong" name="noise_returned"
def invert(model, x0, schedule, timesteps):
    x = x0
    for s, t in pairwise(timesteps.flip(0)):
        x0, eps = model(x, s)
        x = schedule.mix(x0, eps, t)
    return eps

# %% [markdown] lang="en" role="mistake" name="data_and_noise_swapped"
# The predicted x0 and eps are swapped: the model gives x0 first, and `mix` wants it first.
# %% [markdown] lang="vi" of="591086e4"
# x0 và eps dự đoán bị đổi chỗ: mô hình trả về x0 trước, và `mix` cũng cần x0 trước.
# %% role="wrong" name="data_and_noise_swapped"
patch("schedule.mix(*model(x, s), t)", "schedule.mix(*model(x, s)[::-1], t)")

# %% [markdown] lang="en" role="mistake" name="one_great_step"
# The whole way was made in one step, with the prediction of the clean end alone. The steps have to be small: go through all the
# times.
# %% [markdown] lang="vi" of="642bce16"
# Cả quãng đường bị đi trong một bước, chỉ với dự đoán ở đầu sạch. Các bước phải nhỏ: hãy đi qua mọi thời điểm.
# %% role="wrong" name="one_great_step"
def invert(model, x0, schedule, timesteps):
    return schedule.mix(*model(x0, timesteps[-1]), timesteps[0])

# %% [markdown] lang="en" role="mistake" name="path_returned"
# All states of the way came back. Only the last one is wanted, x at the noisiest time.
# %% [markdown] lang="vi" of="ae5bd15a"
# Hàm trả về mọi trạng thái trên đường đi. Chỉ cần trạng thái cuối: x tại thời điểm nhiễu nhất.
# %% role="wrong" name="path_returned"
def invert(model, x0, schedule, timesteps):
    path = [x0]
    for s, t in pairwise(timesteps.flip(0)):
        path.append(schedule.mix(*model(path[-1], s), t))
    return path

# %% [markdown] lang="en" role="mistake" name="corrected"
# Each step is made twice, the second time with the prediction at the end that the first has found. That comes closer, for twice
# the price; here the prediction of the clean end alone is wanted.
# %% [markdown] lang="vi" of="c9c1ccc4"
# Mỗi bước được đi hai lần, lần sau với dự đoán tại điểm mà lần đầu tìm ra. Như thế chính xác hơn, với giá gấp đôi; ở đây chỉ
# cần dự đoán ở đầu sạch.
# %% role="wrong" name="corrected"
def invert(model, x0, schedule, timesteps):
    x = x0
    for s, t in pairwise(timesteps.flip(0)):
        ahead = schedule.mix(*model(x, s), t)
        x = ahead + x - step(schedule, *model(ahead, t), t, s)
    return x

# %% role="library"
from minidiff.pipelines.inversion import climb


def invert(model, x0, schedule, timesteps):
    *_, noise = climb(model, x0, schedule, timesteps, corrections=0)
    return noise

# %% role="payoff"
@torch.inference_mode()
def draw(invert: Callable) -> Tensor:
    same = pipe.denoiser([red], [""], 1.0)                      # no guidance
    other = pipe.denoiser([green], [red], 3.0)                  # away from `red`
    fine = uniform(schedule, 24)                                # (25,) falling
    start = invert(same, latent, schedule, fine)                # (1, 4, 16, 16)
    ends = [latent]
    for model in (same, other):
        *_, last = sample(model, start, schedule, fine)
        ends.append(last.x)
    return pipe.pixels(torch.cat(ends))                         # (3, 3, 128, 128)


payoff(draw, invert)
