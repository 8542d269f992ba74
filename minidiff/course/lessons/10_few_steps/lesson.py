"""Lesson 10: few steps: what skipping costs, two steps of a teacher in one, straight flows, and averages as teachers."""

# %% [markdown] lang="en" slide="slide"
# # 10 Few steps
#
# `world-dit` drew two captions, each from a noise of its own, with 1, 2, 4, 8 and 20 steps. With 20 steps, a picture costs 20
# times as much as with 1, but 1 step draws only fog. Are so many steps needed? In this lesson, a network learns to draw in 4
# steps what its teacher draws in 8, with a quarter of the calls.
# %% [markdown] lang="vi" of="3efc62d9"
# # 10 Vẽ với ít bước
#
# `world-dit` vẽ hai câu mô tả, mỗi câu từ một nhiễu riêng, với 1, 2, 4, 8 và 20 bước. Với 20 bước, một bức tranh tốn gấp 20 lần
# so với 1 bước, nhưng 1 bước chỉ vẽ ra một màn sương. Có nhất thiết phải cần nhiều bước như thế không? Trong bài này, một mạng
# học vẽ trong 4 bước những gì thầy của nó vẽ trong 8 bước, với một phần tư số lần gọi mạng.

# %%
import math
import time
from copy import deepcopy
from functools import partial

import torch
from torch import Tensor, nn
from torch.testing import assert_close

from minidiff import load_pipeline
from minidiff.diffusion.samplers import run, step
from minidiff.diffusion.timesteps import trailing, uniform

# %% slide="sub"
dit = load_pipeline("world-dit", device="cpu", dtype="float32")
captions = ["a big red house in a meadow", "a blue fish by the sea"]
counts, columns = (1, 2, 4, 8, 20), []
for n in counts:
    how = {"sampler": "ddim", "steps": n, "guidance_scale": 3.0}
    *_, (_, x, _) = dit.sample(captions, [3, 1], ["", ""], **how)   # (2, 4, 16, 16)
    columns.append(dit.pixels(x))
show(torch.stack(columns, dim=1), ["1 step", *(f"{n} steps" for n in counts[1:])])

# %% [markdown] lang="en" role="notes"
# Ask the class: what gets better from left to right, place and colour of the thing, or its edges?
# %% [markdown] lang="vi" of="6030e9cc"
# Hãy hỏi lớp: từ trái sang phải, cái gì tốt lên: vị trí và màu của vật, hay các đường viền?

# %% [markdown] lang="en"
# [[map]]
#
# **Aims.** You can measure what a sampler loses when it skips times; turn two steps of a teacher into the target of one; distil
# a guided network into one that needs fewer calls; straighten a flow; and recognise five mistakes by their symptoms.
#
# **Time:** [[time]]. **You need:** what networks predict (lesson 03), DDIM and DDPM (04), guidance (05). The training of
# section 4 takes about a minute on a CPU; on a GPU it is longer and better.
# %% [markdown] lang="vi" of="ec4496c2"
# [[map]]
#
# **Mục tiêu.** Bạn đo được bộ lấy mẫu (sampler) mất gì khi bỏ bớt thời điểm; biến hai bước của thầy thành mục tiêu cho một
# bước; chưng cất (distillation) một mạng có dẫn hướng (guidance) thành mạng cần ít lần gọi hơn; làm thẳng một dòng chảy (flow);
# và nhận ra năm lỗi qua triệu chứng.
#
# **Thời gian:** [[time]]. **Cần biết:** mạng dự đoán cái gì (bài 03), DDIM và DDPM (04), dẫn hướng (05). Phần huấn luyện
# (training) ở mục 4 mất khoảng một phút trên CPU; trên GPU nó chạy lâu hơn và tốt hơn.

# %% [markdown] lang="en" role="think"
# **Three quick questions** from earlier lessons.
#
# 1. (03) The plain loss of a $v$ network is the $x_0$ loss, multiplied by which weight?
# 2. (04) What decides the picture that DDIM draws? And that of DDPM?
# 3. (05) How often does a guided picture of 20 steps call the network?
# ---
# 1. By $\text{SNR} + 1$, where $\text{SNR} = \alpha^2/\sigma^2$.
# 2. DDIM: the first noise alone. DDPM: also the fresh noise of every step.
# 3. 40 times: at each step once with the condition and once without.
# %% [markdown] lang="vi" of="58668ffd"
# **Ba câu hỏi nhanh** từ các bài trước.
#
# 1. (03) Hàm mất mát (loss) thường của mạng dự đoán $v$ bằng hàm mất mát theo $x_0$ nhân với trọng số nào?
# 2. (04) Điều gì quyết định bức tranh mà DDIM vẽ? Còn DDPM?
# 3. (05) Một bức tranh có dẫn hướng, 20 bước, phải gọi mạng bao nhiêu lần?
# ---
# 1. Với $\text{SNR} + 1$, trong đó $\text{SNR} = \alpha^2/\sigma^2$.
# 2. DDIM: chỉ nhiễu đầu tiên. DDPM: thêm cả nhiễu mới ở mỗi bước.
# 3. 40 lần: mỗi bước một lần có điều kiện và một lần không.

# %% [markdown] lang="en" slide="slide"
# ## 1. What skipping does
#
# Training treats each time by itself (lesson 04), so a sampler may visit any of them. DDPM was published with all 1000; DDIM
# visits a few. Counted from 0 to 999 and spaced as *trailing*, step $k$ of $n$ begins at
#
# $$\text{round}(1000 - 1000\,k/n) - 1$$
#
# By hand, $n = 4$: $999, 749, 499, 249$.
# %% [markdown] lang="vi" of="ae38320f"
# ## 1. Bỏ bớt bước thì sao
#
# Khi huấn luyện, mỗi thời điểm được xét riêng (bài 04), nên bộ lấy mẫu có thể đi qua bất kỳ thời điểm nào. DDPM trong bài gốc
# đi hết 1000 thời điểm; DDIM chỉ đi qua vài thời điểm. Đếm từ 0 đến 999 và rải theo kiểu *trailing*, bước thứ $k$ trong $n$
# bước bắt đầu tại
#
# $$\text{round}(1000 - 1000\,k/n) - 1$$
#
# Tính tay với $n = 4$: $999, 749, 499, 249$.

# %%
pipe = load_pipeline("world-pixels", dtype="float32")           # of lessons 02 to 05
unet, schedule, device = pipe.network.unet, pipe.scheduler.schedule, pipe.device
for n in (4, 20, 1000):
    by_hand = [round(1000 - 1000 * k / n) - 1 for k in range(n)]
    library = trailing(schedule, n)[:-1] * 1000 - 1             # (n,), times to entries
    assert_close(library, torch.tensor(by_hand, dtype=torch.float64))
    print(f"{n:4} steps: {by_hand[:5]} ... {by_hand[-1]}")

# %% [markdown] lang="en" role="think" slide="sub"
# **Predict.** The data are the four clumps of points of lesson 04, at $(\pm1, \pm1)$ with standard deviation 0.15, and their
# exact denoiser. Two thousand points start from fixed noise. Which claims will the numbers support?
#
# 1. With a tenth of the steps, DDIM ends near where it ends with all 1000.
# 2. From the same noise, DDPM ends at the same place each time.
# 3. DDPM with 20 steps keeps the width of the clumps.
# ---
# Only the first, as the table shows.
# %% [markdown] lang="vi" of="017ae277"
# **Đoán xem.** Dữ liệu là bốn cụm điểm ở bài 04, tại $(\pm1, \pm1)$ với độ lệch chuẩn (standard deviation) 0.15, cùng bộ khử
# nhiễu (denoiser) chính xác của chúng. Hai nghìn điểm xuất phát từ nhiễu cố định. Các con số sẽ ủng hộ những nhận định nào?
#
# 1. Với một phần mười số bước, DDIM kết thúc gần nơi nó kết thúc khi đi đủ 1000 bước.
# 2. Từ cùng một nhiễu, lần nào DDPM cũng kết thúc ở cùng một chỗ.
# 3. DDPM với 20 bước giữ được độ rộng của các cụm.
# ---
# Chỉ nhận định đầu tiên, như bảng dưới đây cho thấy.

# %%
from minidiff.diffusion.analytic import mixture

clumps = mixture(schedule, [-1.0, 1.0], 0.15)
dice = torch.Generator().manual_seed(0)
start = torch.randn(2000, 2, generator=dice, dtype=torch.float64)


def ends(name: str, n: int, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)                                     # of the fresh noise
    *_, last = run(name, clumps, start, schedule, n)
    return last.x                                               # (2000, 2)


def apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).square().mean().sqrt())                # root mean square


# %% slide="sub"
everything = ends("ddim", 1000)
print("steps   DDIM to DDIM 1000   DDPM, two runs   width: DDIM   DDPM")
for n in (4, 20, 100, 1000):
    ddim, ddpm = ends("ddim", n), ends("ddpm", n)
    wide = [float((x.abs() - 1).std()) for x in (ddim, ddpm)]   # of the clumps
    print(f"{n:5} {apart(ddim, everything):15.3f}", end=" ")
    print(f"{apart(ddpm, ends('ddpm', n, 1)):18.2f} {wide[0]:17.3f} {wide[1]:8.3f}")

# %% [markdown] lang="en"
# - **Claim 1 holds:** 100 steps of DDIM end only about 0.005 away.
# - **Claim 2 fails:** two runs of DDPM lie more than 1 apart, since points end in another clump.
# - **Claim 3 fails:** with 20 steps, the clumps are clearly narrower than 0.15. (With 4 steps, many points are still between
#   the clumps.)
#
# So we skip with DDIM. For pictures, the next cells make denoisers of `world-pixels`, as in lesson 05.
# %% [markdown] lang="vi" of="d46e0f8e"
# - **Nhận định 1 đúng:** 100 bước DDIM kết thúc chỉ cách khoảng 0.005.
# - **Nhận định 2 sai:** hai lần chạy DDPM cách nhau hơn 1, vì có điểm kết thúc ở một cụm khác.
# - **Nhận định 3 sai:** với 20 bước, các cụm hẹp hơn 0.15 thấy rõ. (Với 4 bước, nhiều điểm vẫn còn nằm giữa các cụm.)
#
# Vì vậy ta bỏ bước với DDIM. Để vẽ tranh, các ô tiếp theo tạo bộ khử nhiễu từ `world-pixels`, như ở bài 05.

# %%
from minidiff.data.world.scenes import SHAPES
from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import Denoiser, denoiser, to_x0_eps

null = len(SHAPES)                                              # the label of nothing


def plain(network: nn.Module, labels: Tensor) -> Denoiser:
    """No guidance: asks about B rows. Of 2B rows, the second half gets no label."""
    both = torch.cat([labels, torch.full_like(labels, null)])   # (2B,)
    predict = lambda x, timestep: network(x, timestep, labels=both[: len(x)])
    return denoiser(predict, schedule, "v")


def guided(network: nn.Module, labels: Tensor, scale: float = 2.0) -> Denoiser:
    return cfg(plain(network, labels), scale)                   # two evaluations a step


# %%
def noise_of(seeds) -> Tensor:
    dice = [torch.Generator().manual_seed(seed) for seed in seeds]
    some = [torch.randn(3, 32, 32, generator=one) for one in dice]
    return torch.stack(some).to(device)                         # (B, 3, 32, 32)


@torch.no_grad()
def path(model: Denoiser, x: Tensor, n: int, name: str = "ddim") -> Tensor:
    """x and where each of n steps leads, (n + 1, B, ...)."""
    return torch.stack([x, *(state.x for state in run(name, model, x, schedule, n))])


# %% slide="sub"
balloon, counts = torch.tensor([SHAPES.index("balloon")], device=device), (4, 8, 16, 32)
torch.manual_seed(0)
rows = []
for name in ("ddim", "ddpm", "ddpm"):
    drawn = [path(guided(unet, balloon), noise_of([16]), n, name)[-1] for n in counts]
    rows.append(torch.cat(drawn))                               # (4, 3, 32, 32)
show(torch.stack(rows), [f"{n} steps" for n in counts])

# %% [markdown] lang="en"
# One noise, one label. First row: DDIM. Other rows: two runs of DDPM. DDIM always draws the same balloon; more steps only
# settle its colour and edges. DDPM draws a new one each time. *Exercises 10.1 and 10.2.*
# %% [markdown] lang="vi" of="ed0877b1"
# Cùng một nhiễu, cùng một nhãn. Hàng đầu: DDIM. Hai hàng sau: hai lần chạy DDPM. DDIM lúc nào cũng vẽ cùng một quả bóng bay;
# thêm bước chỉ làm màu và đường viền của nó đúng hơn. DDPM mỗi lần vẽ một quả khác. *Bài tập 10.1 và 10.2.*

# %% [markdown] lang="en" slide="slide"
# ## 2. Curved paths
#
# Why does DDIM need more than one step? Take the flow schedule, $x = (1 - t)\,x_0 + t\,\epsilon$. Between *one* $x_0$ and *one*
# $\epsilon$ this is a straight line with velocity $\epsilon - x_0$. One step of length 1, from $x = \epsilon$ at $t = 1$, would
# be exact:
#
# $$\epsilon - 1\cdot(\epsilon - x_0) = x_0$$
#
# But at $t = 1$ nobody knows which $x_0$ belongs to $\epsilon$. The best answer is the mean of all, $E[x_0\mid x_t]$.
# %% [markdown] lang="vi" of="ed890a17"
# ## 2. Đường đi cong
#
# Vì sao DDIM cần hơn một bước? Lấy lịch nhiễu flow, $x = (1 - t)\,x_0 + t\,\epsilon$. Giữa *một* $x_0$ và *một* $\epsilon$, đó
# là đường thẳng với vận tốc (velocity) $\epsilon - x_0$. Một bước dài 1, từ $x = \epsilon$ tại $t = 1$, sẽ chính xác:
#
# $$\epsilon - 1\cdot(\epsilon - x_0) = x_0$$
#
# Nhưng tại $t = 1$ không ai biết $x_0$ nào ứng với $\epsilon$. Câu trả lời tốt nhất là trung bình của mọi dữ liệu,
# $E[x_0\mid x_t]$.

# %% [markdown] lang="en" role="think" slide="sub"
# **Predict.** The four clumps again, now with the flow schedule. Where does *one* Euler step take any noise?
# ---
# To $(0, 0)$, the mean of the data, where there are no data. The fog of the opening picture comes from such a mean. Later the
# denoiser is surer of a clump, and the path turns towards it. A long step cuts off the bend.
# %% [markdown] lang="vi" of="d321c2d0"
# **Đoán xem.** Vẫn bốn cụm, giờ với lịch flow. *Một* bước Euler đưa nhiễu bất kỳ đến đâu?
# ---
# Đến $(0, 0)$, trung bình của dữ liệu, nơi chẳng có dữ liệu nào. Màn sương của bức hình mở đầu cũng từ một trung bình như thế
# mà ra. Về sau, bộ khử nhiễu chắc chắn hơn về một cụm, và đường đi rẽ về cụm ấy. Bước dài thì cắt ngang chỗ cong.

# %% slide="sub"
from minidiff.diffusion.schedules import get_schedule

flow = get_schedule("flow")
flow_clumps = mixture(flow, [-1.0, 1.0], 0.15)
ring = torch.arange(12, dtype=torch.float64) * math.pi / 6 + 0.2
ring = 1.7 * torch.stack([ring.cos(), ring.sin()], dim=1)       # (12, 2)


def flow_path(model: Denoiser, x: Tensor, n: int) -> Tensor:
    return torch.stack([x, *(state.x for state in run("ddim", model, x, flow, n))])


def corners(n: int, axis) -> None:
    lines({"": flow_path(flow_clumps, ring, 100).unbind(-1)}, axis, color="0.8", lw=3)
    way = flow_path(flow_clumps, ring, n)                       # (n + 1, 12, 2)
    lines({"": way.unbind(-1)}, axis, lw=0.8, marker=".")
    cloud(way[-1], axis, limit=2, s=12, color="black")


slider(corners, "steps", [1, 2, 4, 8])

# %% [markdown] lang="en"
# The grey curves are paths of 100 steps; with more steps, the points stay closer to them. How far is a path from straight? Liu
# et al. (2023) average the squared difference between its velocity and that of the straight line between its ends:
# %% [markdown] lang="vi" of="a0adddbf"
# Màu xám là các đường đi với 100 bước; càng nhiều bước, các điểm càng bám sát chúng. Một đường đi lệch khỏi đường thẳng bao
# nhiêu? Liu và cộng sự (2023) lấy trung bình của bình phương hiệu giữa vận tốc của nó và vận tốc của đường thẳng nối hai đầu:

# %%
def bend(way: Tensor) -> float:
    """way: (n + 1, B, 2), from noise to data, with steps of 1/n."""
    velocity = (way[:-1] - way[1:]) * (len(way) - 1)            # (n, B, 2)
    straight = way[0] - way[-1]                                 # (B, 2), eps - x0
    return float((velocity - straight).square().sum(-1).mean())


eps = torch.randn(4096, 2, generator=dice)
many = flow_path(flow_clumps, eps.double(), 100)                # (101, 4096, 2)
print(f"bend of the exact paths: {bend(many):.2f}")
print(f"bend of straight lines:  {bend(torch.stack([many[0], many[-1]])):.2f}")

# %% [markdown] lang="en" slide="slide"
# ## 3. Two steps in one
#
# Two methods make few steps enough. **Reflow** (section 6) straightens the paths. **Distillation** leaves them curved: a
# student learns to see, at the beginning of a long step, where it ends.
#
# The teacher makes two DDIM steps, from $t$ to halfway and on to $s$, and ends at $x_s$. Which $x_0$ must the student predict
# at $t$, so that *one* step ends there? A step is $x_s = \alpha_s x_0 + \sigma_s\,\epsilon$ with
# $\epsilon = (x - \alpha_t x_0)/\sigma_t$. Solved for $x_0$, with $r = \sigma_s/\sigma_t$:
#
# $$x_0 = \frac{x_s - r\,x}{\alpha_s - r\,\alpha_t}$$
#
# This is the **target** of *progressive distillation* (Salimans & Ho 2022, algorithm 2 and appendix G).
# %% [markdown] lang="vi" of="5ac21308"
# ## 3. Hai bước gộp thành một
#
# Có hai cách để chỉ cần ít bước. **Reflow** (mục 6) làm thẳng các đường đi. **Chưng cất** thì để chúng cong: ngay ở đầu một
# bước dài, trò học cách biết cuối bước nằm ở đâu.
#
# Thầy đi hai bước DDIM, từ $t$ đến nửa đường rồi đến $s$, và kết thúc tại $x_s$. Tại $t$, trò phải dự đoán $x_0$ nào để chỉ
# *một* bước cũng kết thúc ở đó? Một bước là $x_s = \alpha_s x_0 + \sigma_s\,\epsilon$ với
# $\epsilon = (x - \alpha_t x_0)/\sigma_t$. Giải ra $x_0$, với $r = \sigma_s/\sigma_t$:
#
# $$x_0 = \frac{x_s - r\,x}{\alpha_s - r\,\alpha_t}$$
#
# Đó là **mục tiêu** của *chưng cất dần (progressive distillation)* (Salimans & Ho 2022, thuật toán 2 và phụ lục G).

# %% [markdown] lang="en" slide="sub"
# By hand, one number: $x = 0.2$, from $(\alpha_t, \sigma_t) = (0.6, 0.8)$ over $(0.707, 0.707)$ to
# $(\alpha_s, \sigma_s) = (0.8, 0.6)$. The teacher first predicts $x_0 = 1$, and halfway $x_0 = 1.2$.
#
# 1. $\epsilon = (0.2 - 0.6\cdot 1)/0.8 = -0.5$, so halfway $x = 0.707\cdot(1 - 0.5) = 0.354$.
# 2. There $\epsilon = 0.354/0.707 - 1.2 = -0.7$, so $x_s = 0.8\cdot 1.2 - 0.6\cdot 0.7 = 0.54$.
# 3. $r = 0.75$, and the target is $(0.54 - 0.75\cdot 0.2)/(0.8 - 0.75\cdot 0.6) = 0.39/0.35 = 1.114$.
# %% [markdown] lang="vi" of="0f9105b1"
# Tính tay với một con số: $x = 0.2$, từ $(\alpha_t, \sigma_t) = (0.6, 0.8)$ qua $(0.707, 0.707)$ đến
# $(\alpha_s, \sigma_s) = (0.8, 0.6)$. Lúc đầu thầy dự đoán $x_0 = 1$, ở nửa đường thầy dự đoán $x_0 = 1.2$.
#
# 1. $\epsilon = (0.2 - 0.6\cdot 1)/0.8 = -0.5$, nên ở nửa đường $x = 0.707\cdot(1 - 0.5) = 0.354$.
# 2. Tại đó $\epsilon = 0.354/0.707 - 1.2 = -0.7$, nên $x_s = 0.8\cdot 1.2 - 0.6\cdot 0.7 = 0.54$.
# 3. $r = 0.75$, và mục tiêu là $(0.54 - 0.75\cdot 0.2)/(0.8 - 0.75\cdot 0.6) = 0.39/0.35 = 1.114$.

# %%
from minidiff.diffusion.distillation import two_step_target, x0_of_step


def my_target(teacher: Denoiser, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
    halfway = (t + s) / 2
    x_half = step(schedule, *teacher(x, t), t, halfway)         # (B, ...)
    x_s = step(schedule, *teacher(x_half, halfway), halfway, s)
    r = schedule.sigma(s) / schedule.sigma(t)
    return (x_s - r * x) / (schedule.alpha(s) - r * schedule.alpha(t))


def teacher_by_hand(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    x0 = torch.full_like(x, 1.0 if t > 0.55 else 1.2)
    return to_x0_eps(schedule, "x0", x0, x, t)


half_snr = torch.tensor([0.6 / 0.8, 0.8 / 0.6], dtype=torch.float64).log()
t, s = schedule.time(half_snr)                                  # 0.59 and 0.41
x = torch.tensor([0.2], dtype=torch.float64)
target = my_target(teacher_by_hand, x, t, s)
print("target", target, "like the library's:")
assert_close(two_step_target(schedule, teacher_by_hand, x, t, s), target)
source(two_step_target)
source(x0_of_step)

# %% [markdown] lang="en" role="think"
# **Predict.** Now with tensors (8, 3, 32, 32): pure noise, $t = 1$ and $s = 3/4$. The first row is what the guided teacher
# predicts at $t = 1$, the second the student's target. Which is sharper?
# ---
# The target, a little, and its colours are clearer: the teacher's second look is part of it. The third row shows a mistake.
# %% [markdown] lang="vi" of="9f4df640"
# **Đoán xem.** Giờ với tensor (8, 3, 32, 32): nhiễu thuần, $t = 1$ và $s = 3/4$. Hàng đầu là dự đoán của thầy có dẫn hướng tại
# $t = 1$, hàng hai là mục tiêu cho trò. Hàng nào rõ nét hơn?
# ---
# Mục tiêu, rõ hơn một chút và màu cũng rõ hơn: nó chứa cả cái nhìn thứ hai của thầy. Hàng thứ ba cho thấy một lỗi.

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 1: halfway by index
#
# **Symptom.** The target equals the teacher's own prediction (rows 3 and 1), so the student gets no better than its teacher
# with 4 steps. **Cause:** halfway was looked up in the student's list of times: `times[(i + i + 1) // 2]` is `times[i]` again,
# and the first "step" has length 0. **Fix:** halfway is a *time*, `(t + s) / 2`. *Exercise 10.3.*
# %% [markdown] lang="vi" of="f74dd5d1"
# ## Cạm bẫy 1: nửa đường tính theo chỉ số
#
# **Triệu chứng.** Mục tiêu trùng với dự đoán của chính thầy (hàng 3 và hàng 1), nên trò không giỏi hơn thầy với 4 bước.
# **Nguyên nhân:** nửa đường được tra trong danh sách thời điểm của trò: `times[(i + i + 1) // 2]` lại chính là `times[i]`, và
# "bước" thứ nhất dài 0. **Cách chữa:** nửa đường là một *thời điểm*, `(t + s) / 2`. *Bài tập 10.3.*

# %% slide="sub"
kinds = ["square", "tree", "car", "fish", "bird", "moon", "balloon", "umbrella"]
shown = torch.tensor([SHAPES.index(kind) for kind in kinds], device=device)
fresh, teacher = noise_of([1000 + int(label) for label in shown]), guided(unet, shown)
times, i = uniform(schedule, 4), 0
t, s, halfway = times[i], times[i + 1], times[(i + i + 1) // 2]
with torch.no_grad():
    said = teacher(fresh, t)[0]                                 # (8, 3, 32, 32)
    right, x_half = two_step_target(schedule, teacher, fresh, t, s), fresh
    x_s = step(schedule, *teacher(x_half, halfway), halfway, s)     # halfway is t
    wrong = x0_of_step(schedule, fresh, t, x_s, s)
off = apart(right, said), apart(wrong, said)
print(f"target to teacher: right {off[0]:.3f}, by index {off[1]:.3f}")
show(torch.stack([said, right, wrong]))

# %% [markdown] lang="en" slide="slide"
# ## 4. Train it
#
# Each stage halves the steps: 16 guided steps become 8 without guidance, then 4. A student begins with its teacher's weights.
# The first teacher is guided, so its student learns the guidance too (Meng et al. 2023): one call says what two calls of the
# teacher said.
#
# Salimans & Ho add noise to real data and ask the teacher anew in each update, as you do in exercise 10.4. To save time, we
# **record** paths of the teacher; every two steps of a path are an example. A CPU makes one stage, from 8 steps to 4; a GPU
# makes both, with more paths.
# %% [markdown] lang="vi" of="ba5d09da"
# ## 4. Huấn luyện
#
# Mỗi giai đoạn giảm một nửa số bước: 16 bước có dẫn hướng thành 8 bước không dẫn hướng, rồi thành 4. Trò khởi đầu bằng trọng số
# của thầy. Người thầy đầu tiên có dẫn hướng, nên trò học luôn cả dẫn hướng (Meng và cộng sự 2023): một lần gọi mạng nói được
# điều mà thầy phải gọi hai lần.
#
# Salimans & Ho thêm nhiễu vào dữ liệu thật và hỏi lại thầy ở mỗi lần cập nhật; bạn cũng làm thế trong bài tập 10.4. Để tiết
# kiệm thời gian, ta **ghi lại** các đường đi của thầy; cứ hai bước trên một đường là một ví dụ. Trên CPU chỉ có một giai đoạn,
# từ 8 bước xuống 4; trên GPU có cả hai, với nhiều đường hơn.

# %%
on = "cuda" if device.type == "cuda" else "cpu"
settings = {"cpu": (96, 120, 8, (4,)), "cuda": (2048, 2000, 64, (8, 4))}
M, updates, B, students = settings[on]                          # more on a GPU
print(f"on {on}: {M} noises, {updates} updates of {B}, students of {students} steps")
labels = (torch.arange(M) % null).to(device)                    # every kind in turn


def record(teacher_of, n: int) -> Tensor:
    """Ways of n steps from noises 0 ... M - 1: (n + 1, M, 3, 32, 32)."""
    chunks = torch.arange(M).split(32)
    ways = [path(teacher_of(labels[i]), noise_of(i.tolist()), n) for i in chunks]
    return torch.cat(ways, dim=1)


def examples(ways: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """x, t and target of a student of n steps; ways: (2n + 1, M, 3, 32, 32). Example
    k M + m is step k from noise m, and labels[m] is its label."""
    x, x_s = ways[:-1:2].flatten(0, 1), ways[2::2].flatten(0, 1)    # (n M, 3, 32, 32)
    times = uniform(schedule, n).to(device, torch.float32).repeat_interleave(M)
    t, s = times[:-M], times[M:]                                # (n M,)
    return x, t, x0_of_step(schedule, x, t, x_s, s)

# %% [markdown] lang="en" slide="sub"
# **The loss** is the squared error of the student's $x_0$, with a weight for each time. The plain loss of an $\epsilon$ network
# has the weight SNR (lesson 03). At $t = 1$ that is 0, so the first step, which decides the most, would not be learnt at all.
# Salimans & Ho (section 4) take the **truncated SNR**, $\max(\text{SNR}, 1)$. For a student of 4 steps:
#
# | $t$ | 1 | 3/4 | 1/2 | 1/4 |
# |---|---|---|---|---|
# | SNR | 0 | 0.17 | 1 | 5.83 |
# | max(SNR, 1) | 1 | 1 | 1 | 5.83 |
# %% [markdown] lang="vi" of="3062d930"
# **Hàm mất mát** là bình phương sai số của $x_0$ mà trò dự đoán, với một trọng số cho mỗi thời điểm. Hàm mất mát thường của
# mạng dự đoán $\epsilon$ có trọng số SNR (bài 03). Tại $t = 1$ nó bằng 0, nên bước đầu tiên, bước quyết định nhiều nhất, sẽ
# không được học chút nào. Salimans & Ho (mục 4) lấy **SNR bị chặn (truncated SNR)**, $\max(\text{SNR}, 1)$. Với trò 4 bước:
#
# | $t$ | 1 | 3/4 | 1/2 | 1/4 |
# |---|---|---|---|---|
# | SNR | 0 | 0.17 | 1 | 5.83 |
# | max(SNR, 1) | 1 | 1 | 1 | 5.83 |

# %%
def weighted_loss(network, x, t, target, labels) -> Tensor:
    said = network(x, schedule.timestep(t), labels=labels)      # v, (B, 3, 32, 32)
    x0, _ = to_x0_eps(schedule, "v", said, x, t)
    snr = (schedule.alpha(t) / schedule.sigma(t)).square()      # (B,)
    errors = (x0 - target).square().flatten(1).mean(1)          # (B,)
    return (snr.clamp(min=1) * errors).mean()


def distil(student: nn.Module, x: Tensor, t: Tensor, target: Tensor) -> list[float]:
    optimizer = torch.optim.Adam(student.parameters(), lr=3e-4)
    fall = lambda k: min((k + 1) / 5, 1) * (1 - k / updates)    # after five to warm up
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, fall)
    dice, curve = torch.Generator().manual_seed(0), []
    rounds = range(1 + updates * B // len(x))
    order = torch.cat([torch.randperm(len(x), generator=dice) for _ in rounds])
    for i in order.split(B)[:updates]:
        loss = weighted_loss(student, x[i], t[i], target[i], labels[i % M])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
        curve.append(float(loss.detach()))
        if len(curve) % (updates // 4) == 0:
            print(f"update {len(curve)}: loss {sum(curve[-30:]) / 30:.4f}")
    return curve

# %% slide="sub"
student, curves = deepcopy(unet).requires_grad_(True), {}
teacher_of = partial(guided, unet)                              # the first teacher
for n in students:
    print(f"a student of {n} steps")
    x, t, target = examples(record(teacher_of, 2 * n), n)
    begin, end = uniform(schedule, n)[:2]                       # two recorded steps:
    library = two_step_target(schedule, teacher_of(labels[:4]), x[:4], begin, end)
    assert_close(target[:4], library, rtol=1e-3, atol=1e-3)
    curves[f"{n} steps"] = distil(student, x, t, target)
    teacher_of = partial(plain, deepcopy(student))              # of the next stage
student.requires_grad_(False)
for name, curve in curves.items():
    smooth = torch.tensor(curve).unfold(0, 15, 1).mean(1)       # of 15 updates
    lines({name: smooth}, x="update", y="loss, mean of 15")

# %% [markdown] lang="en" role="think"
# **Predict.** The loss falls clearly. Now from fresh noise: the teacher with 8, 4 and 2 guided steps (16, 8 and 4 calls of the
# network), and the student with 4 (4 calls). Which of the last three rows comes nearest to the first?
# ---
# The student's or the teacher's with 4 steps; they may be about equally near. But a fair comparison is that of the last two
# rows, which cost the same.
# %% [markdown] lang="vi" of="f528bd06"
# **Đoán xem.** Giá trị của hàm mất mát giảm rõ rệt. Giờ vẽ từ nhiễu mới: thầy với 8, 4 và 2 bước có dẫn hướng (16, 8 và 4 lần
# gọi mạng), và trò với 4 bước (4 lần gọi). Trong ba hàng sau, hàng nào gần hàng đầu nhất?
# ---
# Hàng của trò hoặc hàng của thầy với 4 bước; hai hàng ấy có thể gần như nhau. Nhưng so công bằng thì phải so hai hàng cuối, vốn
# có cùng chi phí.

# %% slide="sub"
pupil, rows = plain(student, shown), {}
for who, n in [("teacher", 8), ("teacher", 4), ("teacher", 2), ("student", 4)]:
    name, begun = f"{who}, {n} steps", time.process_time()
    rows[name] = path(teacher if who == "teacher" else pupil, fresh, n)[-1]
    spent, calls = time.process_time() - begun, n * (1 + (who == "teacher"))
    off = apart(rows[name], rows["teacher, 8 steps"])           # rows: (8, 3, 32, 32)
    print(f"{name}: {calls:2} calls, {spent:.1f} s, off by {off:.3f}")
show(torch.stack([*rows.values()]), kinds)

# %% [markdown] lang="en"
# With 2 steps, the teacher's colours are dull mixtures, and some shapes have flaws. "Off by" is the distance from the first row
# (root mean square): with the same 4 calls, the student is clearly less far off than this teacher. Eight pictures are few, but
# the gap is large. The student isn't perfect (compare its colours with the first row's); on a CPU it learnt only for a minute.
# *Exercises 10.3 and 10.4.*
# %% [markdown] lang="vi" of="6ab8fd62"
# Với 2 bước, màu của thầy xỉn đi như bị pha trộn, và vài hình bị hỏng. "Off by" là khoảng cách đến hàng đầu (căn của trung bình
# bình phương): cũng với 4 lần gọi, trò lệch ít hơn hẳn người thầy này. Tám bức tranh là ít, nhưng chênh lệch này rất rõ. Trò
# chưa hoàn hảo (hãy so màu của nó với hàng đầu); trên CPU nó chỉ học một phút. *Bài tập 10.3 và 10.4.*

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 2: SNR without the truncation
#
# **Symptom.** The loss falls, but the pictures stay pale, as without guidance. **Cause:** the weight is 0 at $t = 1$, so the
# first step gets no gradient. **Fix:** $\max(\text{SNR}, 1)$; print the mean loss of each time.
#
# Upper row: our student. Lower row: about the best that SNR alone could give, with the first step by the network before
# distillation and the other three by our student.
# %% [markdown] lang="vi" of="4c780d35"
# ## Cạm bẫy 2: SNR không bị chặn
#
# **Triệu chứng.** Hàm mất mát giảm, mà tranh vẫn nhạt như khi không dẫn hướng. **Nguyên nhân:** trọng số bằng 0 tại $t = 1$,
# nên bước đầu tiên không nhận gradient nào. **Cách chữa:** $\max(\text{SNR}, 1)$; in giá trị mất mát trung bình của từng thời
# điểm.
#
# Hàng trên: trò của ta. Hàng dưới: gần như kết quả tốt nhất có thể đạt được nếu chỉ dùng SNR, với bước đầu do mạng trước khi
# chưng cất đi và ba bước sau do trò của ta đi.

# %% slide="sub"
untaught = plain(unet, shown)
mixed = path(lambda x, t: (untaught if t == 1 else pupil)(x, t), fresh, 4)[-1]
for name, drawn in {"max(SNR, 1)": rows["student, 4 steps"], "SNR": mixed}.items():
    print(f"{name:12} off by {apart(drawn, rows['teacher, 8 steps']):.3f}")
show(torch.stack([rows["student, 4 steps"], mixed]), kinds)

# %% [markdown] lang="en" slide="slide"
# ## 5. What was lost
#
# The student has guidance 2 in its weights. Another scale needs another student, or one that is told the scale (Meng et al.
# 2023). A negative prompt (lesson 07) has no place any more, since no call is made without the label.
#
# Many programs guide by default. By hand: the student predicts $u + 2(c - u)$ for a label, and still about $u$ for `null`.
# Guide it again with $w$:
#
# $$u + w\,\big(u + 2(c - u) - u\big) = u + 2w\,(c - u)$$
#
# **Scales multiply:** 2 on top of 2 is 4, and 4 on top of 2 is 8.
# %% [markdown] lang="vi" of="dd62cb43"
# ## 5. Đã mất những gì
#
# Trong trọng số của trò đã có dẫn hướng 2. Muốn hệ số khác phải dạy một trò khác, hoặc dạy một trò được cho biết hệ số (Meng và
# cộng sự 2023). Prompt phủ định (negative prompt, bài 07) cũng không còn chỗ để đặt, vì không còn lần gọi mạng nào không có
# nhãn.
#
# Nhiều chương trình mặc định có dẫn hướng. Tính tay: với một nhãn, trò dự đoán $u + 2(c - u)$, còn với `null` vẫn dự đoán gần
# như $u$. Dẫn hướng thêm một lần với $w$:
#
# $$u + w\,\big(u + 2(c - u) - u\big) = u + 2w\,(c - u)$$
#
# **Các hệ số nhân với nhau:** 2 chồng lên 2 là 4, và 4 chồng lên 2 là 8.

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 3: guidance applied again
#
# **Symptom.** Burnt pictures: dark, glaring, few colours (lesson 05). **Cause:** a program's default scale, applied to a model
# with distilled guidance. **Fix:** scale 1.
#
# Rows: the student as it is; guided again with 2; with 4; last, the *teacher* with scale 4.
# %% [markdown] lang="vi" of="1ab85d00"
# ## Cạm bẫy 3: dẫn hướng thêm lần nữa
#
# **Triệu chứng.** Tranh bị cháy: tối sầm, chói gắt, ít màu (bài 05). **Nguyên nhân:** hệ số dẫn hướng mặc định của chương trình
# được áp lên một mô hình đã chưng cất sẵn dẫn hướng. **Cách chữa:** đặt hệ số bằng 1.
#
# Các hàng: trò để nguyên; bị dẫn hướng thêm với 2; với 4; cuối cùng là *thầy* với hệ số 4.

# %% slide="sub"
burnt = {"student": rows["student, 4 steps"]}
for scale in (2.0, 4.0):
    burnt[f"again, {scale:g}"] = path(guided(student, shown, scale), fresh, 4)[-1]
burnt["teacher, 4"] = path(guided(unet, shown, 4.0), fresh, 8)[-1]
for name, drawn in burnt.items():
    beyond = float((drawn.abs() > 1).float().mean())
    print(f"{name:10} values beyond ±1: {beyond:.3f}")
show(torch.stack([*burnt.values()]), kinds)

# %% [markdown] lang="en"
# The second row comes near the last one: 2 times 2 is 4. The third is burnt like scale 8 in lesson 05. The rule is approximate,
# because nobody taught the student what to predict for `null`.
#
# `minidiff train world-dit-4` distils the text-to-image model in the same way. Its student is a small addition to the teacher's
# weights; lesson 11 shows how.
# %% [markdown] lang="vi" of="b135b686"
# Hàng hai gần giống hàng cuối: 2 nhân 2 là 4. Hàng ba cháy như hệ số 8 ở bài 05. Quy tắc này chỉ gần đúng, vì không ai dạy trò
# phải dự đoán gì cho `null`.
#
# `minidiff train world-dit-4` chưng cất mô hình vẽ tranh từ chữ theo cùng một cách. Trò của nó là một phần thêm nhỏ vào trọng
# số của thầy; bài 11 sẽ cho thấy cách làm.

# %% [markdown] lang="en" slide="slide"
# ## 6. Straight flows
#
# Every diffusion network can be *used* as a flow, without new training. A point of the cosine schedule, divided by
# $\alpha + \sigma$, lies on the straight line between $x_0$ and $\epsilon$, at the flow's time $\sigma/(\alpha + \sigma)$. By
# hand, with $\alpha = 0.6$, $\sigma = 0.8$: $x/1.4 = 0.43\,x_0 + 0.57\,\epsilon$. The library's `as_flow` does this, exactly
# (Kingma & Gao 2023, section 3):
# %% [markdown] lang="vi" of="be87f8e6"
# ## 6. Dòng chảy thẳng
#
# Mạng khuếch tán nào cũng *dùng* được như một dòng chảy mà không phải huấn luyện lại. Một điểm của lịch cosine, chia cho
# $\alpha + \sigma$, nằm trên đường thẳng giữa $x_0$ và $\epsilon$, tại thời điểm $\sigma/(\alpha + \sigma)$ của dòng chảy. Tính
# tay với $\alpha = 0.6$, $\sigma = 0.8$: $x/1.4 = 0.43\,x_0 + 0.57\,\epsilon$. Hàm `as_flow` của thư viện đổi như thế, và phép
# đổi này chính xác (Kingma & Gao 2023, mục 3):

# %%
from minidiff.diffusion.distillation import as_flow, reflow_loss

velocity, time_now = as_flow(clumps, schedule), torch.tensor(0.6, dtype=torch.float64)
x0_flow, eps_flow = flow_clumps(ring, time_now)
assert_close(velocity(ring, time_now), eps_flow - x0_flow)
source(as_flow)

# %% [markdown] lang="en" slide="sub"
# But a change of schedule doesn't straighten a path. **Reflow** does (Liu et al. 2023). Let the flow run from a noise
# $\epsilon$ to its end $x_0$, keep the pair, and train a new flow on the straight line between *these two*:
#
# $$x = (1 - t)\,x_0 + t\,\epsilon,\qquad \text{loss} = \big(\text{velocity}(x, t) - (\epsilon - x_0)\big)^2$$
#
# Now each $\epsilon$ has only one $x_0$: there is nothing to average over. By hand: $x_0 = 1$, $\epsilon = -0.5$, $t = 0.4$
# give $x = 0.4$ and target $-1.5$. A network that predicts $-1$ has loss $0.25$.
# %% [markdown] lang="vi" of="77ab96fe"
# Nhưng đổi lịch không làm cho đường đi thẳng ra. **Reflow** thì có (Liu và cộng sự 2023). Hãy để dòng chảy đi từ nhiễu
# $\epsilon$ đến điểm cuối $x_0$, giữ lại cặp ấy, rồi huấn luyện một dòng chảy mới trên đường thẳng giữa *đúng hai điểm này*:
#
# $$x = (1 - t)\,x_0 + t\,\epsilon,\qquad \text{loss} = \big(\text{velocity}(x, t) - (\epsilon - x_0)\big)^2$$
#
# Giờ mỗi $\epsilon$ chỉ có một $x_0$: không còn gì để lấy trung bình. Tính tay: $x_0 = 1$, $\epsilon = -0.5$, $t = 0.4$ cho
# $x = 0.4$ và mục tiêu $-1.5$. Một mạng dự đoán $-1$ có giá trị hàm mất mát là $0.25$.

# %%
def my_reflow_loss(velocity, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    share = t[:, None]                                          # (B, 1)
    x = (1 - share) * x0 + share * eps                          # (B, 2)
    return (velocity(x, t) - (eps - x0)).square().mean()


says = lambda x, t: torch.full_like(x, -1.0)
one = torch.tensor([[1.0]]), torch.tensor([[-0.5]]), torch.tensor([0.4])
print("by hand", my_reflow_loss(says, *one))
assert_close(my_reflow_loss(says, *one), reflow_loss(says, *one))


class Small(nn.Module):
    """x (B, 2) and t (B,) to (B, 2)."""

    def __init__(self) -> None:
        super().__init__()
        layers = nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2)
        self.layers = nn.Sequential(nn.Linear(3, 64), *layers)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.layers(torch.cat([x, t[:, None]], dim=1))

# %%
def fit(loss_of, steps: int = 1200, after=lambda network: None) -> tuple[Small, list]:
    torch.manual_seed(0)
    network, curve = Small(), []
    optimizer = torch.optim.Adam(network.parameters(), lr=4e-3)
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 1 - k / steps)
    for _ in range(steps):
        loss = loss_of(network)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
        after(network)
        curve.append(float(loss.detach()))
    return network, curve


def straighten(x0: Tensor, eps: Tensor) -> tuple[Small, list]:
    def loss_of(network: Small) -> Tensor:
        i = torch.randint(len(x0), (256,))
        return my_reflow_loss(network, x0[i], eps[i], torch.rand(256))

    return fit(loss_of)

# %% [markdown] lang="en" role="think"
# **Predict.** We train twice on the same 4096 noises and ends. First each noise has *its own* end, then the ends are shuffled.
# Where does one step of each network lead?
# ---
# The first leads to the clumps or near them. The second learns the mean velocity of all pairs, that of the curved flow we began
# with, so one step leads near the middle.
# %% [markdown] lang="vi" of="d621b773"
# **Đoán xem.** Ta huấn luyện hai lần trên cùng 4096 nhiễu và điểm cuối. Lần đầu, mỗi nhiễu đi với điểm cuối *của chính nó*; lần
# sau, các điểm cuối bị xáo trộn. Một bước của mỗi mạng dẫn đến đâu?
# ---
# Mạng thứ nhất dẫn đến các cụm hoặc gần đó. Mạng thứ hai học vận tốc trung bình của mọi cặp, tức là vận tốc của dòng chảy cong
# ban đầu, nên một bước dẫn đến gần giữa.

# %%
x0, shuffled = many[-1].float(), torch.randperm(4096, generator=dice)
straight, curve = straighten(x0, eps)
unrelated, other = straighten(x0[shuffled], eps)
own, mixed_up = (sum(losses[-50:]) / 50 for losses in (curve, other))
print(f"loss: own ends {own:.3f}, shuffled {mixed_up:.3f}")


def flow_of(network: Small) -> Denoiser:
    def denoise(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        v = network(x.float(), t.float().expand(len(x)))        # (B, 2)
        return to_x0_eps(flow, "flow", v, x, t)

    return denoise

# %% slide="sub"
flows = {"exact": flow_clumps, "reflow": flow_of(straight)}
flows["shuffled"] = flow_of(unrelated)
test = torch.randn(1000, 2, generator=dice, dtype=torch.float64)
ends_of = {}
with torch.no_grad():
    for (name, model), axis in zip(flows.items(), panels(3), strict=True):
        way, ends_of[name] = flow_path(model, ring, 50), flow_path(model, test, 1)[-1]
        print(f"{name}: bend {bend(flow_path(model, test, 50)):.2f}")
        lines({"": way.unbind(-1)}, axis, color="0.6", lw=1)
        cloud(way[-1], axis, f"{name}, 50 steps", 2, s=12, color="black")
for (name, points), axis in zip(ends_of.items(), panels(3), strict=True):
    cloud(points, axis, f"{name}, 1 step", 2)

# %% [markdown] lang="en"
# The upper panels show paths of 50 steps, the lower ones where one step leads from 1000 fresh noises. After reflow, the paths
# are nearly straight, and one step leads to a clump or, for many points, in between: near a border two neighbours must go to
# different clumps, and a small network can't jump. *Exercise 10.5; its loss makes the pairs itself.*
# %% [markdown] lang="vi" of="45fa73dd"
# Phía trên là các đường đi 50 bước, phía dưới là điểm cuối của một bước từ 1000 nhiễu mới. Sau reflow, các đường gần như thẳng,
# và một bước dẫn đến một cụm hoặc, với nhiều điểm, vào khoảng giữa các cụm: gần ranh giới, hai điểm cạnh nhau phải đi về hai
# cụm khác nhau, mà một mạng nhỏ thì không nhảy vọt được. *Bài tập 10.5; hàm mất mát ở đó tự tạo các cặp.*

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 4: reflow on unrelated pairs
#
# **Symptom.** The loss stays high, the paths stay curved, and one step leads near the mean: the panels on the right. **Cause:**
# $x_0$ is some picture from the data set, or a data loader shuffled the pairs. That trains a new, curved flow. **Fix:** save
# $\epsilon$ beside the $x_0$ that the teacher made of it.
# %% [markdown] lang="vi" of="e4889ff5"
# ## Cạm bẫy 4: reflow trên các cặp không liên quan
#
# **Triệu chứng.** Giá trị của hàm mất mát vẫn cao, các đường vẫn cong, và một bước dẫn đến gần trung bình: các khung bên phải.
# **Nguyên nhân:** $x_0$ là một bức ảnh nào đó trong tập dữ liệu, hoặc trình nạp dữ liệu (data loader) đã xáo trộn các cặp. Như
# thế chỉ huấn luyện ra một dòng chảy mới, vẫn cong. **Cách chữa:** lưu $\epsilon$ bên cạnh $x_0$ mà thầy tạo ra từ nó.

# %% [markdown] lang="en" slide="slide"
# ## 7. Your own average as the teacher
#
# Three families share one idea: the prediction at $t$ must agree with predictions nearer to the data.
#
# | | what is learnt | target from |
# |---|---|---|
# | progressive | one step = two steps | the student before |
# | shortcut (Frans et al. 2024, eq. 5) | one step of size $2h$ = two of size $h$ | its own average |
# | consistency (Song et al. 2023) | all points of a path predict its end | its own average |
#
# A **consistency model** $f$ is fixed at the end, $f(x, 0) = x$; from there, what is right spreads to larger $t$. The average
# is the EMA of lesson 03, $\bar w \leftarrow d\,\bar w + (1 - d)\,w$.
# %% [markdown] lang="vi" of="dab94bf9"
# ## 7. Lấy trung bình của chính mình làm thầy
#
# Ba họ có chung một ý tưởng: dự đoán tại $t$ phải khớp với các dự đoán ở gần dữ liệu hơn.
#
# | | học điều gì | mục tiêu từ |
# |---|---|---|
# | progressive | một bước = hai bước | trò của giai đoạn trước |
# | đi tắt (shortcut; Frans và cộng sự 2024, công thức 5) | một bước cỡ $2h$ = hai bước cỡ $h$ | trung bình của chính mình |
# | nhất quán (consistency; Song và cộng sự 2023) | mọi điểm trên đường đi dự đoán điểm cuối | trung bình của chính mình |
#
# **Mô hình nhất quán (consistency model)** $f$ được cố định ở cuối đường, $f(x, 0) = x$; từ đó, cái đúng lan dần lên các $t$
# lớn hơn. Trung bình ở đây là EMA của bài 03, $\bar w \leftarrow d\,\bar w + (1 - d)\,w$.

# %%
N = 16
ways = flow_path(flow_clumps, eps.double(), N).float()          # (17, 4096, 2)
times = uniform(flow, N).float()                                # (17,)


def f(network: Small, x: Tensor, t: Tensor) -> Tensor:
    return torch.where(t[:, None] == 0, x, network(x, t))       # at time 0: x itself


def consistency(keeps_gradient: bool, decay: float = 0.8) -> tuple[Small, list]:
    average = Small().requires_grad_(False)

    def loss_of(network: Small) -> Tensor:
        i, k = torch.randint(4096, (256,)), torch.randint(N, (256,))
        teacher = network if keeps_gradient else average
        target = f(teacher, ways[k + 1, i], times[k + 1])       # further down
        return (f(network, ways[k, i], times[k]) - target).square().mean()

    @torch.no_grad()
    def follow(network: Small) -> None:
        for mean, w in zip(average.parameters(), network.parameters(), strict=True):
            mean.lerp_(w, 1 - decay)                            # d mean + (1 - d) w

    return fit(loss_of, after=follow)

# %% [markdown] lang="en" role="think"
# **Predict.** The network must predict the same for neighbours on a path of the exact flow. First the target comes from the
# average, without gradient; then from the network itself, and *keeps its gradient*. Which loss is smaller at the end, and which
# network draws the better clumps in one step?
# ---
# The second loss is no higher, often lower, since training can also move the target. But its points are worse: when both sides
# move, they agree most easily on a smooth map without clumps.
# %% [markdown] lang="vi" of="c56675df"
# **Đoán xem.** Mạng phải dự đoán như nhau cho các điểm cạnh nhau trên một đường đi của dòng chảy chính xác. Lần đầu, mục tiêu
# đến từ trung bình, không có gradient; lần sau, nó đến từ chính mạng và *giữ gradient*. Cuối cùng, hàm mất mát nào nhỏ hơn, và
# mạng nào vẽ các cụm đẹp hơn trong một bước?
# ---
# Hàm mất mát của lần sau không cao hơn, thường còn thấp hơn, vì huấn luyện có thể dịch cả mục tiêu. Nhưng các điểm của nó tệ
# hơn: khi cả hai bên cùng di chuyển, chúng dễ khớp nhau nhất ở một ánh xạ trơn không có cụm nào.

# %% slide="sub"
exact, ones = flow_path(flow_clumps, test, 100)[-1], torch.ones(1000)
tried = {"target: average": consistency(False), "keeps its gradient": consistency(True)}
clouds = {"exact, 100 steps": exact}
for name, (network, curve) in tried.items():
    clouds[name] = network(test.float(), ones).detach()         # one step, (1000, 2)
    print(f"{name:19} loss {sum(curve[-50:]) / 50:.4f}", end=" ")
    print(f"off by {apart(clouds[name], exact):.2f}")
for (name, points), axis in zip(clouds.items(), panels(3), strict=True):
    cloud(points, axis, name, 2)

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 5: the target keeps its gradient
#
# **Symptom.** The loss looks fine, but the clumps are gone (right panel); in the middle panel, most points lie at the corners
# or between them. **Cause:** `target` was computed without `torch.no_grad()` or `.detach()`. **Fix:** take it from the average,
# without gradient; `target.requires_grad` must be `False`. Judge by samples: this loss compares the network with itself.
# *Exercise 10.6.*
# %% [markdown] lang="vi" of="65182505"
# ## Cạm bẫy 5: mục tiêu giữ gradient
#
# **Triệu chứng.** Giá trị của hàm mất mát trông ổn, nhưng các cụm biến mất (khung bên phải); ở khung giữa, phần lớn các điểm
# nằm ở các góc hoặc giữa chúng. **Nguyên nhân:** `target` được tính mà không có `torch.no_grad()` hay `.detach()`. **Cách
# chữa:** lấy mục tiêu từ trung bình, không có gradient; `target.requires_grad` phải là `False`. Hãy đánh giá bằng các mẫu vẽ
# ra: hàm mất mát này chỉ so mạng với chính nó. *Bài tập 10.6.*

# %% [markdown] lang="en" slide="slide"
# ## Summary
#
# | what | formula or code | shapes |
# |---|---|---|
# | visited times | $\text{round}(T - T k/n) - 1$ for $k = 0 \dots n - 1$ | (n,) |
# | two-step target | $(x_s - r x)/(\alpha_s - r\alpha_t)$, $r = \sigma_s/\sigma_t$; weight $\max(\text{SNR}, 1)$ | (B, ...) |
# | guidance on guidance | $u + 2w\,(c - u)$ | (B, 3, 32, 32) |
# | diffusion as a flow | $x/(\alpha + \sigma)$ at $\sigma/(\alpha + \sigma)$ | (B, ...) |
# | reflow | $(\text{velocity} - (\epsilon - x_0))^2$ on own pairs | (B, 2) |
# | consistency | $f(x_t, t) \approx \bar f(x_s, s)$, $f(x, 0) = x$ | (B, 2) |
# %% [markdown] lang="vi" of="e0a0807b"
# ## Tóm tắt
#
# | cái gì | công thức hay mã | kích thước |
# |---|---|---|
# | các thời điểm đi qua | $\text{round}(T - T k/n) - 1$ với $k = 0 \dots n - 1$ | (n,) |
# | mục tiêu hai bước | $(x_s - rx)/(\alpha_s - r\alpha_t)$, $r = \sigma_s/\sigma_t$; trọng số $\max(\text{SNR},1)$ | (B, ...) |
# | dẫn hướng chồng dẫn hướng | $u + 2w\,(c - u)$ | (B, 3, 32, 32) |
# | khuếch tán thành dòng chảy | $x/(\alpha + \sigma)$ tại $\sigma/(\alpha + \sigma)$ | (B, ...) |
# | reflow | $(\text{velocity} - (\epsilon - x_0))^2$ trên các cặp của chính nó | (B, 2) |
# | nhất quán | $f(x_t, t) \approx \bar f(x_s, s)$, $f(x, 0) = x$ | (B, 2) |

# %% [markdown] lang="en"
# **You can now** say what skipping costs, build a two-step target, distil a guided network, straighten a flow, and recognise
# five mistakes.
#
# **What still bothers:** our student is a second network as large as the first. Does every scale and every number of steps need
# another copy of all weights? Lesson 11 learns a small addition to them instead.
#
# **Sources.** Salimans & Ho 2022, *Progressive distillation for fast sampling of diffusion models*, section 4, algorithm 2,
# appendix G. Meng et al. 2023, *On distillation of guided diffusion models*. Liu, Gong, Liu 2023, *Flow straight and fast*.
# Song et al. 2023, *Consistency models*, eq. 5. Luo et al. 2023, *Latent consistency models*. Frans et al. 2024, *One step
# diffusion via shortcut models*, eq. 5. Song, Meng, Ermon 2021, *Denoising diffusion implicit models*. Kingma & Gao 2023,
# *Understanding diffusion objectives as the ELBO with simple data augmentation*, section 3.
# %% [markdown] lang="vi" of="d56e6659"
# **Giờ bạn đã biết** bỏ bước thì mất gì, cách dựng mục tiêu hai bước, chưng cất một mạng có dẫn hướng, làm thẳng một dòng chảy,
# và nhận ra năm lỗi.
#
# **Điều còn vướng:** trò của ta là một mạng thứ hai lớn bằng mạng đầu. Chẳng lẽ mỗi hệ số, mỗi số bước lại cần một bản sao của
# mọi trọng số? Bài 11 chỉ học một phần thêm nhỏ vào trọng số.
#
# **Nguồn.** Salimans & Ho 2022, *Progressive distillation for fast sampling of diffusion models* (chưng cất dần), mục 4, thuật
# toán 2, phụ lục G. Meng và cộng sự 2023, *On distillation of guided diffusion models*. Liu, Gong, Liu 2023, *Flow straight and
# fast*. Song và cộng sự 2023, *Consistency models*, công thức 5. Luo và cộng sự 2023, *Latent consistency models*. Frans và
# cộng sự 2024, *One step diffusion via shortcut models*, công thức 5. Song, Meng, Ermon 2021, *Denoising diffusion implicit
# models*. Kingma & Gao 2023, *Understanding diffusion objectives as the ELBO with simple data augmentation*, mục 3.

# %% [markdown] lang="en" slide="slide"
# ## 8. Optional: published models, LCM
#
# For Stable Diffusion, **latent consistency models** (Luo et al. 2023) combine sections 4 and 7. The next point on the path
# comes from a *guided* DDIM step of the teacher; the target is what the student's average predicts there. The end is fixed by
# $f(x, t) = c_\text{skip}\,x + c_\text{out}\,x_0$ (Song et al. 2023, eq. 5): at $t = 0$ the factors are 1 and 0, almost
# everywhere else about 0 and 1.
#
# On a GPU, `minidiff finetune lcm photos --model ./stable-diffusion-v1-5` trains such a model on a folder of photos.
# %% [markdown] lang="vi" of="d4b0ad1b"
# ## 8. Không bắt buộc (optional): các mô hình đã công bố, LCM
#
# Với Stable Diffusion, **latent consistency model** (Luo và cộng sự 2023) kết hợp mục 4 và mục 7. Điểm kế tiếp trên đường đi
# đến từ một bước DDIM *có dẫn hướng* của thầy; mục tiêu là dự đoán tại đó của trung bình các trọng số của trò. Điểm cuối được
# cố định nhờ $f(x, t) = c_\text{skip}\,x + c_\text{out}\,x_0$ (Song và cộng sự 2023, công thức 5). Tại $t = 0$ hai hệ số là 1
# và 0, hầu như ở mọi nơi khác chúng xấp xỉ 0 và 1.
#
# Trên GPU, `minidiff finetune lcm photos --model ./stable-diffusion-v1-5` huấn luyện một mô hình như thế với một thư mục ảnh.

# %% [markdown] lang="en" only="exercise"
# # 10 Exercises: the same picture in fewer steps
#
# Which times does a sampler visit, and what is lost when it skips? Then you build what makes up for it: the target that holds
# two of a teacher's steps, the training step that distils guidance and steps into one network, the loss that straightens a
# flow, and a consistency model, which somebody else left broken. `check` says what is right and what isn't. Then your function
# works: the upper row is made with the solution, the lower row with yours, and they must be the same.
#
# The first cell loads `world-pixels`, with four labels and a noise for each. `denoiser_of(network, schedule, labels, scale)`
# makes a denoiser of a network that predicts v; it takes times of shape () or (B,). The second cell measures DDPM and DDIM with
# few and many steps. The third has data that are five points of the plane, whose exact denoiser is a formula, and small
# networks for them. All times in it are (B,).
# %% [markdown] lang="vi" of="19d76102" only="exercise"
# # 10 Bài tập: cùng bức tranh với ít bước hơn
#
# Bộ lấy mẫu ghé qua những thời điểm nào, và mất gì khi nó bỏ bớt bước? Rồi bạn dựng những thứ bù lại điều đó: mục tiêu chứa hai
# bước của mạng thầy, bước huấn luyện chưng cất cả dẫn hướng lẫn các bước vào một mạng, hàm mất mát làm thẳng một dòng chảy
# (flow), và một mô hình nhất quán (consistency model) mà ai đó bỏ lại khi còn lỗi. `check` cho biết chỗ nào đúng, chỗ nào chưa.
# Sau đó hàm của bạn làm việc: hàng trên tạo bằng lời giải, hàng dưới tạo bằng phần của bạn, và hai hàng phải giống nhau.
#
# Ô đầu tiên nạp `world-pixels`, với bốn nhãn và mỗi nhãn một nhiễu. `denoiser_of(network, schedule, labels, scale)` biến một
# mạng dự đoán v thành bộ khử nhiễu; nó nhận thời điểm có kích thước () hoặc (B,). Ô thứ hai đo DDPM và DDIM với ít bước và
# nhiều bước. Ô thứ ba có dữ liệu là năm điểm trên mặt phẳng, với bộ khử nhiễu chính xác là một công thức, cùng các mạng nhỏ cho
# chúng. Mọi thời điểm trong ô đó là (B,).

# %% only="exercise"
import math
import time
from collections.abc import Callable, Sequence
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff import load_pipeline
from minidiff.diffusion.distillation import as_flow
from minidiff.diffusion.prediction import Denoiser, to_x0_eps
from minidiff.diffusion.samplers import run, sample, step
from minidiff.diffusion.schedules import NoiseSchedule, get_schedule, per_example
from minidiff.diffusion.timesteps import uniform
from minidiff.train.pixels import portraits
from minidiff.utils.images import to_tensor
from minidiff.utils.plots import show

Velocity = Callable[[Tensor, Tensor], Tensor]       # (x (B, ...), t (B,)) -> eps - x0

pipe = load_pipeline("world-pixels", device="cpu", dtype="float32")
unet, schedule = pipe.network.unet, pipe.scheduler.schedule
labels = torch.tensor([6, 8, 11, 12])               # house, car, bird, cat
dice = [torch.Generator().manual_seed(seed) for seed in (6, 8, 11, 12)]
noise = torch.stack([torch.randn(3, 32, 32, generator=one) for one in dice])


def denoiser_of(
    network: nn.Module, schedule: NoiseSchedule, labels: Tensor, scale: float = 1.0
) -> Denoiser:
    """A network that predicts v as a denoiser of pictures with labels (B,), guided with
    `scale`; 1 is no guidance. Times are () or (B,)."""
    both = torch.cat([labels, torch.full_like(labels, 18)])         # 18 says nothing

    def denoise(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        timestep = schedule.timestep(t).to(x.dtype).expand(len(x))  # (B,)
        if scale == 1:
            v = network(x, timestep, labels=labels)
        else:
            v = network(torch.cat([x, x]), torch.cat([timestep, timestep]), labels=both)
            v = torch.lerp(*reversed(v.chunk(2)), scale)
        return to_x0_eps(schedule, "v", v, x, t)

    return denoise


def tiled(rows: Sequence) -> Tensor:
    """Rows of pictures (..., 3, H, W) as one picture each."""
    return torch.cat([torch.cat(list(row), dim=-1) for row in rows], dim=-2)

# %% only="exercise"
FEW, MANY = 5, 50
results, seconds = {}, {}
house = torch.full((8,), 6)
four = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
for name in ("ddim", "ddpm"):
    for steps in (FEW, MANY):
        torch.manual_seed(1)                        # the fresh noise of DDPM
        begin = time.process_time()
        with torch.inference_mode():                # two runs of four noises at once
            model = denoiser_of(unet, schedule, house)
            *_, last = run(name, model, four.repeat(2, 1, 1, 1), schedule, steps)
        seconds[name, steps] = time.process_time() - begin
        drawn = last.x.clamp(-1, 1).reshape(2, 4, -1)
        results[name, steps] = drawn.clone()                    # (R, S, N)
        print(f"{name}, {steps:2d} steps: {seconds[name, steps]:5.2f} s")


def pictures_of(x: Tensor) -> Tensor:
    """Results (R, S, N) as pictures (R, S, 3, 32, 32)."""
    return x.unflatten(2, (3, 32, 32))


def framed(picture: Tensor, holds: bool) -> Tensor:
    """A picture on a square of 140 pixels: green if the claim holds, else grey."""
    colour = torch.tensor([-0.8, 0.4, -0.6] if holds else [0.5, 0.5, 0.5])
    made = colour[:, None, None].repeat(1, 140, 140)
    top, left = ((140 - size) // 2 for size in picture.shape[1:])
    made[:, top : top + picture.shape[1], left : left + picture.shape[2]] = picture
    return made


def bars(*lengths: float) -> Tensor:
    """Two numbers as bars: (3, 128, 128)."""
    made = torch.ones(3, 128, 128)
    for k, length in enumerate(lengths):
        made[:, 24 + 48 * k : 56 + 48 * k, : round(110 * length / max(lengths))] = -0.5
    return made

# %% only="exercise"
cosine, flow = get_schedule("cosine"), get_schedule("flow")
turns = torch.arange(5, dtype=torch.float64) * 2 * math.pi / 5
spots = 1.5 * torch.stack([turns.sin(), turns.cos()], dim=1)        # (5, 2) the data


def exact(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The exact denoiser of the five spots, which are all as far from the middle."""
    alpha, sigma = (per_example(share(t), x) for share in (cosine.alpha, cosine.sigma))
    x0 = (alpha / sigma**2 * x @ spots.T).softmax(dim=1) @ spots    # (B, 2)
    return x0, (x - alpha * x0) / sigma


class Field(nn.Module):
    """A small network of points (B, 2) and times (B,): a velocity, say."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2)
        ).double()

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.layers(torch.cat([x, t[:, None]], dim=1))       # (B, 2)


class Consistent(Field):
    """A consistency function: whatever its weights, at time 0 it returns x."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return x + t[:, None] * super().forward(x, t)


def points(count: int, seed: int) -> Tensor:
    """Noise (count, 2)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 2, generator=generator, dtype=torch.float64)


@torch.no_grad()
def path(velocity: Velocity, x: Tensor, steps: int) -> Tensor:
    """Euler's steps from noise down to data, all of them: (steps + 1, B, 2)."""
    made = [x]
    for k in range(steps, 0, -1):
        t = x.new_full((len(x),), k / steps)
        made.append(made[-1] - velocity(made[-1], t) / steps)
    return torch.stack(made)


def drawing(dots: Tensor, size: float = 0.05) -> Tensor:
    """Points (N, 2) as soft dots on white: (3, 128, 128)."""
    places = torch.linspace(-2.6, 2.6, 128, dtype=dots.dtype)
    near = ((dots[:, :, None] - places) / size).square()        # (N, 2, 128)
    across, up = torch.exp(-near).unbind(1)
    return (1 - 2 * (up.flip(1).T @ across).clamp(max=1)).float().expand(3, -1, -1)
