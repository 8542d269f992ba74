"""Exercise 00.4, sample_along: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="12"
# ## Wire it: the loop that draws
#
# All parts are there: a `denoiser` that takes `(x, t)` and returns its guess `(x0, eps)`, a `step` that leads from time `t` to
# time `s` with `step(x0, eps, t, s)`, the first noise `x`, and the falling `timesteps`. Go along the timesteps, denoise and
# step, and return `x` at the last time. Hand the times over as they stand in `timesteps`, as 0-dim tensors, and ask the
# denoiser once a step: it holds the network, and that is what costs time. Four lines, and you have a program that draws.
# %% [markdown] lang="vi" of="089bef87"
# ## Lắp ráp: vòng lặp vẽ tranh
#
# Mọi bộ phận đã có: `denoiser` nhận `(x, t)` và trả về lời đoán `(x0, eps)`, `step` đi từ thời điểm `t` đến thời điểm `s` bằng
# `step(x0, eps, t, s)`, nhiễu ban đầu `x`, và các bước thời gian `timesteps` giảm dần. Hãy đi dọc các thời điểm đó, khử nhiễu
# rồi bước, và trả về `x` ở thời điểm cuối. Hãy truyền các thời điểm nguyên như trong `timesteps`, là tensor 0 chiều, và mỗi
# bước chỉ hỏi `denoiser` một lần: bên trong nó là mạng, và chính mạng mới tốn thời gian. Bốn dòng, và bạn có một chương trình
# biết vẽ.

# %% [markdown] lang="en" role="hints"
# Each step needs two neighbouring times. What are the pairs of 1, 0.5, 0?
# ---
# `pairwise(timesteps)` gives the pairs. x is at time t when the denoiser is asked, so tell it t.
# ---
# Within the loop: one line asks the denoiser about x at t, one line sets x to what the step gives. After the loop, return x.
# %% [markdown] lang="vi" of="07078971"
# Mỗi bước cần hai thời điểm kề nhau. Các cặp của 1, 0.5, 0 là gì?
# ---
# `pairwise(timesteps)` cho các cặp ấy. Khi hỏi bộ khử nhiễu, x đang ở thời điểm t, nên hãy báo t.
# ---
# Trong vòng lặp: một dòng hỏi bộ khử nhiễu về x ở t, một dòng gán cho x kết quả của bước. Sau vòng lặp, trả về x.

# %% [markdown] lang="en" role="stub"
# From x (B, ...) at timesteps[0] to x (B, ...) at timesteps[-1].
#
# denoiser(x, t): (x0, eps), each like x. step(x0, eps, t, s): x at time s < t.
# timesteps: (n + 1,), float64, falling.
# ---
# 1. for each pair of neighbouring times, t and the smaller s:
# 2.     ask the denoiser about x at time t         # x0, eps: (B, ...) each
# 3.     step from t to s                           # x: (B, ...) at time s
# 4. return x
# %% [markdown] lang="vi" of="122766a8"
# Từ x (B, ...) ở timesteps[0] đến x (B, ...) ở timesteps[-1].
#
# denoiser(x, t): (x0, eps), đều giống x. step(x0, eps, t, s): x ở thời điểm s < t.
# timesteps: các bước thời gian (n + 1,), float64, giảm dần.
# ---
# 1. với mỗi cặp thời điểm kề nhau, t và s nhỏ hơn:
# 2.     hỏi bộ khử nhiễu về x ở thời điểm t        # x0, eps: (B, ...) mỗi cái
# 3.     bước từ t đến s                            # x: (B, ...) ở thời điểm s
# 4. trả về x

# %% role="solution"
def sample_along(
    denoiser: Callable,
    step: Callable,
    x: Tensor,
    timesteps: Tensor,
) -> Tensor:
    for t, s in pairwise(timesteps):
        x0, eps = denoiser(x, t)                                # (B, ...) each
        x = step(x0, eps, t, s)                                 # (B, ...) at time s
    return x

# %% [markdown] lang="en" role="checks"
# - the shape
# - the times are handed over as 0-dim tensors
# - what the denoiser is given, and between which times the steps lead
# - four steps to a picture
# - a walk that stops half-way
# - guesses beyond -1..1, as latents have them
# %% [markdown] lang="vi" of="c39a0c07"
# - kích thước
# - các thời điểm được truyền dưới dạng tensor 0 chiều
# - đưa gì cho bộ khử nhiễu, và mỗi bước đi giữa những thời điểm nào
# - bốn bước đến bức tranh
# - đi nửa đường rồi dừng
# - lời đoán vượt ra ngoài -1..1, như latent vẫn có

# %% role="probes"
import torch

from minidiff.diffusion.analytic import mixture
from minidiff.diffusion.samplers import step
from minidiff.diffusion.schedules import get_schedule

COSINE = get_schedule("cosine")
TWO_STEPS = torch.tensor([1, 0.5, 0], dtype=torch.float64)
FOUR_STEPS = torch.tensor([1, 0.75, 0.5, 0.25, 0], dtype=torch.float64)
HALF_WAY = torch.tensor([1, 0.7, 0.4], dtype=torch.float64)


def noise(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def kind(time):
    shape = f" {tuple(time.shape)}" if isinstance(time, torch.Tensor) else ""
    return f"{type(time).__name__}{shape}"


def usable(time):
    """As the library wants it: anything else costs the points of one check alone."""
    return torch.as_tensor(time, dtype=torch.float64).flatten()[0]


class Walk:
    """A denoiser that is exact for data around some means, a step, and their inputs."""

    def __init__(self, f, x, timesteps, means=(-0.6, 0.7), std=0.2):
        self.exact = mixture(COSINE, means, std)
        self.asked, self.seen, self.stepped = [], [], []
        self.end = f(self.denoiser, self.step, x, timesteps)

    def denoiser(self, x, t):
        self.asked.append(t)
        self.seen.append(float(x.mean()))
        return self.exact(x, usable(t))

    def step(self, x0, eps, t, s):
        self.stepped.append((t, s))
        return step(COSINE, x0, eps, usable(t), usable(s))


def kinds(f, x, timesteps):
    walk = Walk(f, x, timesteps)
    return {
        "denoiser": sorted({kind(t) for t in walk.asked}),
        "step": sorted({kind(time) for times in walk.stepped for time in times}),
    }


def calls(f, x, timesteps):
    """When the denoiser was asked, the mean of x then, and where steps led."""
    walk = Walk(f, x, timesteps, means=(0.4,), std=0.3)
    steps = [[float(usable(t)), float(usable(s))] for t, s in walk.stepped]
    return {
        "t": [float(usable(t)) for t in walk.asked],
        "x": walk.seen,
        "t -> s": [[t, s] for t, s in steps if s > 0],  # x0 may be taken as x at time 0
    }


def end(f, x, timesteps):
    return Walk(f, x, timesteps).end


def end_of_latents(f, x, timesteps):
    return Walk(f, x, timesteps, means=(-2.5, 3.0)).end


X = noise(2, 3, 4, 4)

probe(lambda f, **given: list(end(f, **given).shape), x=X, timesteps=TWO_STEPS)
probe(kinds, x=X, timesteps=TWO_STEPS)
probe(calls, points=2, x=noise(1, 2, 3, 3), timesteps=FOUR_STEPS)
probe(end, points=2, x=X, timesteps=FOUR_STEPS)
probe(end, points=2, x=X, timesteps=HALF_WAY)
probe(end_of_latents, x=X, timesteps=FOUR_STEPS)

# %% [markdown] lang="en" role="mistake" name="one_step_short"
# The last step is missing: n + 1 times make n pairs (t, s), and you made fewer. What is the last pair?
# %% [markdown] lang="vi" of="c888d59f"
# Thiếu bước cuối: n + 1 thời điểm tạo ra n cặp (t, s), nhưng bạn đi ít hơn. Cặp cuối cùng là gì?
# %% role="wrong" name="one_step_short"
patch("pairwise(timesteps)", "pairwise(timesteps[:-1])")

# %% [markdown] lang="en" role="mistake" name="returns_in_the_loop"
# Only the first step is made: return stands inside the loop and ends it there. How far must it be indented?
# %% [markdown] lang="vi" of="28670dbe"
# Chỉ đi được bước đầu tiên: return nằm trong vòng lặp và kết thúc luôn ở đó. Nó phải thụt vào bao nhiêu?
# %% role="wrong" name="returns_in_the_loop"
patch("    return x", "        return x")

# %% [markdown] lang="en" role="mistake" name="asks_about_the_old_x"
# The denoiser gets the first noise again and again: what the step returns must be the x of the next call.
# %% [markdown] lang="vi" of="585d54b6"
# Bộ khử nhiễu cứ nhận mãi nhiễu ban đầu: kết quả của mỗi bước phải là x của lần gọi kế tiếp.
# %% role="wrong" name="asks_about_the_old_x"
patch("x = step(", "state = step(")
patch("return x", "return state")

# %% [markdown] lang="en" role="mistake" name="asks_at_s"
# The denoiser gets the time at which the step ends. But x is still at time t, and has as much noise in it as belongs to t:
# which of the two times should it get?
# %% [markdown] lang="vi" of="1afbbded"
# Bạn đưa cho bộ khử nhiễu thời điểm mà bước kết thúc. Nhưng x vẫn đang ở thời điểm t, với lượng nhiễu của t: phải đưa thời
# điểm nào?
# %% role="wrong" name="asks_at_s"
patch("denoiser(x, t)", "denoiser(x, s)")

# %% [markdown] lang="en" role="mistake" name="changed_over"
# x0 and eps have changed places: noise is kept where the picture should be. The denoiser returns (x0, eps), and the step wants
# them in this order.
# %% [markdown] lang="vi" of="0205030e"
# x0 và eps bị đổi chỗ: nhiễu được giữ lại ở chỗ đáng lẽ là hình. Bộ khử nhiễu trả về (x0, eps), và bước đi cũng nhận theo thứ
# tự này.
# %% role="wrong" name="changed_over"
patch("step(x0, eps, t, s)", "step(eps, x0, t, s)")

# %% [markdown] lang="en" role="mistake" name="x_for_eps"
# The step got x in place of eps. x is picture and noise together, eps is the noise alone: with x, some of the old picture is
# mixed in once more.
# %% [markdown] lang="vi" of="1827601b"
# Bước đi nhận x thay cho eps. x gồm cả hình lẫn nhiễu, còn eps chỉ là nhiễu: đưa x vào thì một phần hình cũ bị trộn thêm lần
# nữa.
# %% role="wrong" name="x_for_eps"
patch("step(x0, eps, t, s)", "step(x0, x, t, s)")

# %% [markdown] lang="en" role="mistake" name="steps_backwards"
# Your step leads from s to t, so x gets its old amount of noise again and never comes any nearer to the picture. In which order
# does the step take its two times?
# %% [markdown] lang="vi" of="2b802127"
# Bước của bạn đi từ s đến t, nên x nhận lại lượng nhiễu cũ và chẳng bao giờ đến gần bức tranh hơn. Hàm step nhận hai thời điểm
# theo thứ tự nào?
# %% role="wrong" name="steps_backwards"
patch("step(x0, eps, t, s)", "step(x0, eps, s, t)")

# %% [markdown] lang="en" role="mistake" name="turned_round"
# You turned the timesteps round, so the walk goes from 0 up to 1, from picture to noise. They fall already: take them as they
# are.
# %% [markdown] lang="vi" of="d72e495d"
# Bạn đảo ngược các bước thời gian, nên đường đi tăng từ 0 lên 1, từ hình đến nhiễu. Chúng vốn đã giảm dần: cứ dùng nguyên như
# vậy.
# %% role="wrong" name="turned_round"
patch("pairwise(timesteps)", "pairwise(timesteps.flip(0))")

# %% [markdown] lang="en" role="mistake" name="adds_the_step"
# You add what the step returns to x. But a step gives x at time s itself, whole, and not a change of it: the old x has to go.
# %% [markdown] lang="vi" of="4fa4f990"
# Bạn cộng kết quả của bước vào x. Nhưng step trả về chính x ở thời điểm s, trọn vẹn, chứ không phải phần thay đổi: x cũ phải
# bị thay thế.
# %% role="wrong" name="adds_the_step"
patch("x = step(", "x = x + step(")

# %% [markdown] lang="en" role="mistake" name="clamped"
# You clamp the guess to -1..1. That is right for pixels; this loop walks in latents, whose numbers reach 5, and what is cut
# off is missing in the picture.
# %% [markdown] lang="vi" of="5e11d993"
# Bạn chặn lời đoán trong -1..1. Với điểm ảnh thì đúng; nhưng vòng lặp này đi trong latent, nơi các số lên đến 5, và phần bị
# cắt đi sẽ thiếu trong bức tranh.
# %% role="wrong" name="clamped"
patch("step(x0, eps, t, s)", "step(x0.clamp(-1, 1), eps, t, s)")

# %% [markdown] lang="en" role="mistake" name="asks_twice"
# The picture is right, but you ask the denoiser twice a step, once for x0 and once for eps. Each time the whole network runs,
# so drawing takes twice as long: one call gives both.
# %% [markdown] lang="vi" of="89785240"
# Bức tranh đã đúng, nhưng mỗi bước bạn hỏi bộ khử nhiễu hai lần, một lần lấy x0 và một lần lấy eps. Lần nào cả mạng cũng phải
# chạy, nên vẽ lâu gấp đôi: một lần gọi đã cho cả hai.
# %% role="wrong" name="asks_twice"
patch("denoiser(x, t)", "denoiser(x, t)[0], denoiser(x, t)[1]")

# %% [markdown] lang="en" role="mistake" name="times_as_numbers"
# The times became Python numbers. Denoiser and step of the library take tensors and ask for their shape, which a number lacks:
# hand over the items of timesteps as they are.
# %% [markdown] lang="vi" of="a04118c8"
# Các thời điểm đã thành số Python. Bộ khử nhiễu và step của thư viện nhận tensor và hỏi kích thước của nó, thứ mà một con số
# không có: hãy truyền nguyên các phần tử của timesteps, tensor chứa các bước thời gian.
# %% role="wrong" name="times_as_numbers"
patch("pairwise(timesteps)", "pairwise(timesteps.tolist())")

# %% [markdown] lang="en" role="mistake" name="asks_once_more"
# After the last step you ask the denoiser once more and return its guess. When the walk ends at 0 that changes nothing and
# costs a run of the network; when it stops earlier, x should still have noise in it.
# %% [markdown] lang="vi" of="5978dc3f"
# Sau bước cuối, bạn hỏi bộ khử nhiễu thêm lần nữa và trả về lời đoán của nó. Khi đường đi kết thúc ở 0 thì việc đó không đổi gì
# mà tốn một lần chạy mạng; khi dừng sớm hơn, x đáng lẽ vẫn còn nhiễu.
# %% role="wrong" name="asks_once_more"
patch("return x", "return denoiser(x, timesteps[-1])[0]")

# %% [markdown] lang="en" role="mistake" name="returns_x0"
# You return x0, the last guess, and not x, the place where the walk stands. At time 0 both are the same, so pictures come out
# right; stop earlier and x still has noise in it.
# %% [markdown] lang="vi" of="5eddef9b"
# Bạn trả về x0, lần đoán cuối, chứ không phải x, nơi đang đứng. Ở thời điểm 0 hai thứ trùng nhau nên tranh vẫn đúng; nhưng
# dừng sớm hơn thì x vẫn còn nhiễu.
# %% role="wrong" name="returns_x0"
patch("return x", "return x0")

# %% role="library"
from collections import deque
from unittest import mock

from minidiff.diffusion import samplers
from minidiff.diffusion.schedules import get_schedule


def sample_along(denoiser, step, x, timesteps):
    """The library's own loop, with the step that is handed over in place of its own."""

    def given(schedule, x0, eps, t, s, eta, noise):
        return step(x0, eps, t, s)

    with mock.patch.object(samplers, "step", given):
        states = samplers.sample(denoiser, x, get_schedule("cosine"), timesteps)
        (last,) = deque(states, maxlen=1)
    return last.x

# %% role="payoff"
from minidiff.diffusion.timesteps import uniform


def draw(sample_along: Callable) -> Tensor:
    timesteps = uniform(schedule, 20)
    prompts = (prompt, "một con mèo màu cam trên đồng cỏ")
    step = partial(samplers.step, schedule)
    denoisers = [pipe.denoiser([text], [""], 5.0) for text in prompts]
    latents = [sample_along(denoiser, step, noise, timesteps) for denoiser in denoisers]
    return pipe.pixels(torch.cat(latents)).cpu()


payoff(draw, sample_along)
