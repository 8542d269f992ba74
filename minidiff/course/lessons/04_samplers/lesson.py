"""Lesson 04: the step that all samplers share, the times that they visit and, in an optional second part, order two."""

# %% [markdown] lang="en" slide="slide"
# # 04 One step, every sampler
#
# One trained network, one noise, one wish ("star"), six famous names. Above with 4 steps, below with 16.
# %% [markdown] lang="vi" of="90e29791"
# # 04 Một bước, mọi bộ lấy mẫu (sampler)
#
# Một mạng đã huấn luyện, một nhiễu khởi đầu, một yêu cầu ("star": ngôi sao), sáu cái tên nổi tiếng. Hàng trên 4 bước, hàng dưới
# 16 bước.

# %%
from itertools import pairwise

import numpy as np
import torch
from torch.testing import assert_close

from minidiff import load_pipeline
from minidiff.diffusion.samplers import SAMPLERS, run
from minidiff.diffusion.timesteps import SPACINGS, uniform

pipe = load_pipeline("world-pixels")
schedule = pipe.scheduler.schedule


def draw(name, steps, prompts=("star",), timesteps=None, seed=4):
    """One picture for each prompt: (B, 3, 32, 32)."""
    model = pipe.denoiser(list(prompts), [""] * len(prompts), 2.0)
    generator = torch.Generator().manual_seed(seed)

    def fresh(_=0):
        return torch.randn(len(prompts), 3, 32, 32, generator=generator).to(pipe.device)

    states = run(
        name, model, fresh(), schedule, steps, noise=fresh, timesteps=timesteps
    )
    return list(states)[-1].x.cpu()

# %% slide="slide"
names = ["ddim", "euler", "ddpm", "euler_a", "dpmpp_2m", "heun"]
few, many = (torch.cat([draw(name, steps) for name in names]) for steps in (4, 16))
show(torch.stack([few, many]), titles=[SAMPLERS[name].label for name in names])

# %% [markdown] lang="en" role="think" slide="fragment"
# Look closely. Which columns are the same picture, though their names come from different papers? And why does one pair have
# another colour altogether?
# ---
# DDIM equals Euler, and DDPM equals Euler ancestral, to the last bit. DDPM and Euler ancestral draw fresh noise at every step,
# so they arrive at another star. DPM++ 2M and Heun end at the same star as DDIM, only nearer to where many steps lead. At
# the end of part one all six are rows of one small table.
# %% [markdown] lang="vi" of="f6aa1c12"
# Hãy nhìn kỹ. Những cột nào là cùng một bức ảnh, dù tên của chúng đến từ những bài báo khác nhau? Và vì sao có một cặp mang
# hẳn màu khác?
# ---
# DDIM trùng với Euler, DDPM trùng với Euler ancestral, đến bit cuối cùng. DDPM và Euler ancestral rút thêm nhiễu mới ở mỗi
# bước nên đi tới một ngôi sao khác. DPM++ 2M và Heun đi tới cùng ngôi sao với DDIM, chỉ gần hơn với kết quả của rất nhiều bước.
# Cuối phần một, cả sáu sẽ là các hàng của một bảng nhỏ.

# %% [markdown] lang="en" role="think"
# **Three quick questions from earlier lessons**
#
# 1. In lesson 02 the points ran together without fresh noise, and yet "old noise" drew the heart. What did it put in the
#    place of fresh noise, and how much of it?
# 2. Our network predicts $v$. How do you get $x_0$ and $\epsilon$?
# 3. How often did the ancestral sampling of lesson 02 call the network for one picture?
# ---
# 1. The noise that the network found in $x_t$, at the full weight of time $s$: $x_s=\alpha_s x_0+\sigma_s\epsilon$, where
#    $\alpha_s^2+\sigma_s^2=1$ in our noise schedule (the papers write $\bar\alpha_s=\alpha_s^2$).
# 2. Two equations, two unknowns: $x_0=\alpha_t x_t-\sigma_t v$ and $\epsilon=\sigma_t x_t+\alpha_t v$ (lesson 03).
# 3. Once for every timestep it visits; as published, 1000 times. That is what we are about to save.
# %% [markdown] lang="vi" of="b6ebd143"
# **Ba câu hỏi nhanh từ các bài trước**
#
# 1. Ở bài 02, thiếu nhiễu mới thì các điểm dồn vào một chỗ, vậy mà "old noise" (nhiễu cũ) vẫn vẽ ra trái tim. Nó đặt gì vào
#    chỗ của nhiễu mới, và đặt bao nhiêu?
# 2. Mạng của ta dự đoán $v$. Lấy $x_0$ và $\epsilon$ ra thế nào?
# 3. Phép lấy mẫu tổ tiên (ancestral sampling) ở bài 02 gọi mạng bao nhiêu lần cho một bức ảnh?
# ---
# 1. Chính nhiễu mà mạng tìm thấy trong $x_t$, với trọn hệ số của thời điểm $s$: $x_s=\alpha_s x_0+\sigma_s\epsilon$, trong
#    đó $\alpha_s^2+\sigma_s^2=1$ với lịch nhiễu (noise schedule) của ta (các bài báo viết $\bar\alpha_s=\alpha_s^2$).
# 2. Hai phương trình, hai ẩn: $x_0=\alpha_t x_t-\sigma_t v$ và $\epsilon=\sigma_t x_t+\alpha_t v$ (bài 03).
# 3. Mỗi bước thời gian (timestep) đi qua là một lần; theo bài báo gốc là 1000 lần. Đó chính là thứ ta sắp tiết kiệm.

# %% [markdown] lang="en"
# [[map]]
#
# **Aims.** After part one you can write the step that all samplers share; say what DDIM, DDPM, Euler and flow Euler are and where
# they agree; choose the timesteps they visit, and say why DDIM may skip most of them; recognise a broken loop by its picture.
# After part two you can also say what DPM++ 2M and Heun add, and read a plot of error against steps.
#
# **Two parts.** Part one is sections 1 to 5, the pitfall, the table of samplers and the summary. **Part two, sections 6 to 10, is
# optional:** it comes after the summary, and later lessons don't build on it. The exercises on Heun and on DPM-Solver++ 2M belong
# to part two, all others to part one.
#
# **Time for both parts:** [[time]]. **You need:** lessons 02 and 03. Nothing is trained here, and the
# notebook runs in about a minute on 2 CPU cores; on a GPU the last measurement uses ten times as many pictures.
# %% [markdown] lang="vi" of="b4ec6c02"
# [[map]]
#
# **Mục tiêu.** Sau phần một, bạn viết được bước chung của mọi bộ lấy mẫu; nói được DDIM, DDPM, Euler, flow Euler là gì và trùng
# nhau ở đâu; chọn được các bước thời gian cần đi qua và nói được vì sao DDIM có thể bỏ qua phần lớn trong số đó; nhìn ảnh mà đoán
# ra vòng lặp hỏng ở đâu. Sau phần hai, bạn còn nói được DPM++ 2M và Heun thêm điều gì, và đọc được đồ thị sai số theo số bước.
#
# **Hai phần.** Phần một gồm mục 1 đến 5, cạm bẫy, bảng các bộ lấy mẫu và phần tóm tắt. **Phần hai, mục 6 đến 10, không bắt buộc:**
# nó nằm sau phần tóm tắt, và các bài sau không dùng đến. Các bài tập về Heun và về DPM-Solver++ 2M thuộc phần hai, các bài tập còn
# lại thuộc phần một.
#
# **Thời gian cho cả hai phần:** [[time]]. **Cần có:** bài 02 và 03. Bài này không huấn luyện gì, cả notebook chạy
# khoảng một phút trên 2 nhân CPU; nếu có GPU, phép đo cuối dùng số ảnh gấp mười.

# %% [markdown] lang="en" slide="slide"
# ## 1. A step, by hand
#
# The denoiser looks at $x_t$ and says what it is made of: $(x_0,\epsilon)$. To get to an earlier time $s$, mix the same two
# again, in the proportions of $s$:
#
# $$x_s=\alpha_s x_0+\sigma_s\,\epsilon$$
#
# On paper: $x_0=1$, $\epsilon=-0.5$, from $(\alpha_t,\sigma_t)=(0.6,\,0.8)$ to $(\alpha_s,\sigma_s)=(0.8,\,0.6)$.
# %% [markdown] lang="vi" of="a435df7e"
# ## 1. Tính tay một bước
#
# Bộ khử nhiễu (denoiser) nhìn $x_t$ và nói nó gồm những gì: $(x_0,\epsilon)$. Muốn tới thời điểm sớm hơn $s$, ta trộn lại đúng hai
# thứ đó theo tỉ lệ của $s$:
#
# $$x_s=\alpha_s x_0+\sigma_s\,\epsilon$$
#
# Trên giấy: $x_0=1$, $\epsilon=-0.5$, đi từ $(\alpha_t,\sigma_t)=(0.6,\,0.8)$ đến $(\alpha_s,\sigma_s)=(0.8,\,0.6)$.

# %%
alpha_t, sigma_t = 0.6, 0.8
alpha_s, sigma_s = 0.8, 0.6
x0, eps = 1.0, -0.5
x_t = alpha_t * x0 + sigma_t * eps
x_s = alpha_s * x0 + sigma_s * eps
print(f"x_t = {x_t:.2f}   x_s = {x_s:.2f}")

# %% [markdown] lang="en" slide="sub"
# **Fresh noise.** Some of the old $\epsilon$ may be swapped for noise drawn anew. Independent variances add, so if the new
# noise has weight $c$, the old keeps $\sqrt{1-c^2}$:
#
# $$x_s=\alpha_s x_0+\sigma_s\left(\sqrt{1-c^2}\,\epsilon+c\,z\right),\qquad z\sim N(0,1)$$
#
# $(1-c^2)+c^2=1$: whatever $c$ is, $x_s$ has exactly the noise that belongs to time $s$.
# %% [markdown] lang="vi" of="71a45bc2"
# **Nhiễu mới.** Một phần $\epsilon$ cũ có thể được thay bằng nhiễu vừa rút ra. Phương sai (variance) của các đại lượng độc lập
# thì cộng lại, nên nếu nhiễu mới có hệ số $c$ thì nhiễu cũ giữ $\sqrt{1-c^2}$:
#
# $$x_s=\alpha_s x_0+\sigma_s\left(\sqrt{1-c^2}\,\epsilon+c\,z\right),\qquad z\sim N(0,1)$$
#
# $(1-c^2)+c^2=1$: dù $c$ là bao nhiêu, $x_s$ luôn có đúng lượng nhiễu của thời điểm $s$.

# %% [markdown] lang="en" role="think"
# Lesson 02's ancestral step is $x_s=\mu+\text{std}\cdot z$ with a mean made of $x_t$ and $x_0$. That looks quite different. Is
# there a $c$ that makes both the same? Guess: does it depend on $x$?
# ---
# There is, and it depends on the two times alone: $c=\sqrt{1-r^2}$, where $r=\dfrac{\sigma_s/\alpha_s}{\sigma_t/\alpha_t}$ is
# the noise-to-signal ratio at $s$ over that at $t$. Replace $x_t$ in the mean by $\alpha_t x_0+\sigma_t\epsilon$ and collect
# terms. The next cell does it in numbers.
# %% [markdown] lang="vi" of="35092a10"
# Bước tổ tiên ở bài 02 là $x_s=\mu+\text{std}\cdot z$, với trung bình ghép từ $x_t$ và $x_0$. Trông khác hẳn. Có giá trị $c$
# nào làm hai công thức trùng nhau không? Thử đoán: nó có phụ thuộc $x$ không?
# ---
# Có, và chỉ phụ thuộc hai thời điểm: $c=\sqrt{1-r^2}$, với $r=\dfrac{\sigma_s/\alpha_s}{\sigma_t/\alpha_t}$ là tỉ số nhiễu trên
# tín hiệu tại $s$ chia cho tại $t$. Thay $x_t$ trong trung bình bằng $\alpha_t x_0+\sigma_t\epsilon$ rồi gom các số hạng. Ô
# sau kiểm tra bằng số.

# %%
r = (sigma_s / alpha_s) / (sigma_t / alpha_t)
c = (1 - r**2) ** 0.5
ours = alpha_s * x0 + sigma_s * (1 - c**2) ** 0.5 * eps, sigma_s * c

alpha_ts = alpha_t / alpha_s                            # one noising step, from s to t
var_ts = sigma_t**2 - alpha_ts**2 * sigma_s**2
mean = (alpha_ts * sigma_s**2 * x_t + alpha_s * var_ts * x0) / sigma_t**2
ddpm = mean, sigma_s * var_ts**0.5 / sigma_t            # Ho et al. 2020, eq. 6-7
print(f"r = {r:.4f}, c = {c:.4f}")
for name, (mean, std) in {"ours": ours, "DDPM": ddpm}.items():
    print(f"{name}  {mean:.5f} + {std:.5f} z")
assert np.allclose(ours, ddpm)

# %% [markdown] lang="en" slide="slide"
# ## 2. One knob: eta
#
# $$r=\frac{\sigma_s\,\alpha_t}{\alpha_s\,\sigma_t}\qquad c=\eta\sqrt{1-r^2}\qquad
# x_s=\alpha_s x_0+\sigma_s\left(\sqrt{1-c^2}\,\epsilon+c\,z\right)$$
#
# - $\eta=0$: no fresh noise. **DDIM.** The first $x$ decides everything.
# - $\eta=1$: **DDPM**, ancestral. The reverse of the noising process.
# - between: DDIM with $\eta$ (Song et al. 2021, eq. 12 and 16).
# %% [markdown] lang="vi" of="f304aa83"
# ## 2. Một núm vặn: eta
#
# $$r=\frac{\sigma_s\,\alpha_t}{\alpha_s\,\sigma_t}\qquad c=\eta\sqrt{1-r^2}\qquad
# x_s=\alpha_s x_0+\sigma_s\left(\sqrt{1-c^2}\,\epsilon+c\,z\right)$$
#
# - $\eta=0$: không có nhiễu mới. **DDIM.** $x$ đầu tiên quyết định tất cả.
# - $\eta=1$: **DDPM**, lấy mẫu tổ tiên. Quá trình làm nhiễu chạy ngược.
# - ở giữa: DDIM với $\eta$ (Song và cộng sự 2021, công thức 12 và 16).

# %% [markdown] lang="en"
# Now with tensors. $x_0$, $\epsilon$ and the noise are (B, C, H, W); the four numbers $\alpha,\sigma$ at $t$ and $s$ are single
# values. Note that $x_t$ does not appear: $x_0$ and $\epsilon$ together already say what it is.
# %% [markdown] lang="vi" of="620af735"
# Bây giờ dùng tensor. $x_0$, $\epsilon$ và nhiễu có kích thước (B, C, H, W); bốn số $\alpha,\sigma$ tại $t$ và $s$ là những số
# vô hướng. Để ý rằng $x_t$ không xuất hiện: $x_0$ và $\epsilon$ cùng nhau đã cho biết nó là gì.

# %%
def my_step(schedule, x0, eps, t, s, eta, noise):
    r = schedule.sigma(s) * schedule.alpha(t) / (schedule.alpha(s) * schedule.sigma(t))
    c = eta * (1 - r**2).sqrt()
    mixed = (1 - c**2).sqrt() * eps + c * noise                 # (B, C, H, W)
    return schedule.alpha(s) * x0 + schedule.sigma(s) * mixed


from minidiff.diffusion.samplers import step, step_weights

generator = torch.Generator().manual_seed(0)
x0, eps, noise = torch.randn(3, 2, 3, 32, 32, generator=generator, dtype=torch.float64)
t, s = torch.tensor([0.8, 0.5], dtype=torch.float64)
for eta in (0.0, 0.3, 1.0):
    library = step(schedule, x0, eps, t, s, eta, noise)
    assert_close(my_step(schedule, x0, eps, t, s, eta, noise), library)

# %%
source(step_weights)
source(step)

# %% [markdown] lang="en" slide="slide"
# ## 3. Why DDIM is Euler, twice
#
# Divide the step with $\eta=0$ by $\alpha_s$. With $u=x/\alpha$ and $\rho=\sigma/\alpha$:
#
# $$u_s=x_0+\rho_s\,\epsilon=u_t+(\rho_s-\rho_t)\,\epsilon$$
#
# "New value = old value + length × slope": Euler's method on the probability-flow ODE $\dfrac{du}{d\rho}=\epsilon$
# (Song et al. 2021, eq. 14).
#
# With the schedule of flow matching (lesson 10), $\alpha=1-t$, $\sigma=t$, the same step is $x_s=x_t+(s-t)(\epsilon-x_0)$:
# Euler again.
# %% [markdown] lang="vi" of="97e670b1"
# ## 3. Vì sao DDIM là Euler, hai lần
#
# Chia bước có $\eta=0$ cho $\alpha_s$. Đặt $u=x/\alpha$ và $\rho=\sigma/\alpha$:
#
# $$u_s=x_0+\rho_s\,\epsilon=u_t+(\rho_s-\rho_t)\,\epsilon$$
#
# "Giá trị mới = giá trị cũ + độ dài × độ dốc": đó là phương pháp Euler trên phương trình vi phân dòng xác suất
# (probability-flow ODE) $\dfrac{du}{d\rho}=\epsilon$ (Song và cộng sự 2021, công thức 14).
#
# Với lịch nhiễu của flow matching (bài 10), $\alpha=1-t$, $\sigma=t$, cũng bước ấy thành $x_s=x_t+(s-t)(\epsilon-x_0)$: lại
# là Euler.

# %%
def ode_euler(schedule, x0, eps, t, s):
    rho_t = schedule.sigma(t) / schedule.alpha(t)
    rho_s = schedule.sigma(s) / schedule.alpha(s)
    u = schedule.mix(x0, eps, t) / schedule.alpha(t)            # x_t / alpha_t
    return schedule.alpha(s) * (u + (rho_s - rho_t) * eps)


def flow_euler(flow, x0, eps, t, s):
    return flow.mix(x0, eps, t) + (s - t) * (eps - x0)


from minidiff.diffusion.schedules import get_schedule

flow = get_schedule("flow")
assert_close(ode_euler(schedule, x0, eps, t, s), step(schedule, x0, eps, t, s))
assert_close(flow_euler(flow, x0, eps, t, s), step(flow, x0, eps, t, s))

# %% [markdown] lang="en" slide="slide"
# ## 4. A sampler is the step, repeated
#
# A sampler visits a falling list of times, its **timesteps**, from 1 (noise) to 0 (data). $n$ steps have $n+1$ of them.
#
# To see what happens, the data are points now: four clumps at $(\pm1,\pm1)$. For such data the perfect denoiser is a formula
# (`minidiff.diffusion.analytic.mixture`), so whatever goes wrong is the sampler's doing, not the network's.
# %% [markdown] lang="vi" of="89ed08df"
# ## 4. Bộ lấy mẫu là bước ấy, lặp lại
#
# Bộ lấy mẫu đi qua một dãy thời điểm giảm dần, gọi là **các bước thời gian**, từ 1 (nhiễu) về 0 (dữ liệu). $n$ bước có $n+1$
# thời điểm.
#
# Để nhìn cho rõ, dữ liệu bây giờ là các điểm: bốn cụm tại $(\pm1,\pm1)$. Với dữ liệu này, bộ khử nhiễu hoàn hảo là một công
# thức (`minidiff.diffusion.analytic.mixture`), nên mọi sai lệch đều do bộ lấy mẫu, không phải do mạng.

# %% slide="sub"
from minidiff.diffusion.analytic import mixture

clumps = mixture(schedule, [-1.0, 1.0], 0.15)


def my_sample(denoiser, x, timesteps, eta=0.0):
    states = [x]
    for t, s in pairwise(timesteps):
        x0, eps = denoiser(x, t)                                # each (B, 2)
        x = my_step(schedule, x0, eps, t, s, eta, torch.randn_like(x))
        states.append(x)
    return torch.stack(states)                                  # (n + 1, B, 2)


generator = torch.Generator().manual_seed(2)
start = torch.randn(12, 2, generator=generator, dtype=torch.float64)
timesteps = uniform(schedule, 8)
library = [state.x for state in run("ddim", clumps, start, schedule, 8)]
assert_close(my_sample(clumps, start, timesteps)[1:], torch.stack(library))
print(timesteps.tolist())

# %% [markdown] lang="en" role="think"
# Next comes a knob: $\eta$ from 0 to 1, and 12 points on their way from noise to the clumps, in 40 steps. Before you look: how
# will the trails differ, and how will the places where they end?
# ---
# With $\eta=0$ smooth curves, each point falling to the clump on whose side it began. The more fresh noise, the more
# the trails jitter, and a point may end in another clump. But they all end in clumps: every $\eta$ has the right amount of
# noise at each time, so each samples the same data.
# %% [markdown] lang="vi" of="293cadcf"
# Tiếp theo là một núm vặn: $\eta$ từ 0 đến 1, và 12 điểm đi từ nhiễu về các cụm trong 40 bước. Trước khi xem: các vệt đường đi
# sẽ khác nhau thế nào, còn nơi chúng kết thúc thì sao?
# ---
# Với $\eta=0$ là các đường cong trơn, mỗi điểm rơi về cụm ở phía nó xuất phát. Càng nhiều nhiễu mới, vệt càng rung, và một
# điểm có thể kết thúc ở cụm khác. Nhưng tất cả đều kết thúc trong các cụm: với mọi $\eta$, lượng nhiễu tại mỗi thời điểm đều
# đúng, nên đều lấy mẫu từ cùng một dữ liệu.

# %% slide="slide"
def trails(states, axis, title="", limit=3):
    lines({"": states.unbind(-1)}, axis, linewidth=0.7)         # x and y: (n + 1, B)
    cloud(states[-1], axis, title, limit, s=12, color="black", zorder=3)


def with_eta(eta, axis):
    torch.manual_seed(1)
    trails(my_sample(clumps, start, uniform(schedule, 40), eta), axis)


slider(with_eta, "eta", [0.0, 0.3, 0.6, 1.0])

# %% [markdown] lang="en" slide="slide"
# ## 5. Which times? What DDPM visits, and why DDIM may skip
#
# Published networks count time in 1000 timesteps, 0 to 999. DDPM was published walking through **all** of them; DDIM picks $n$
# of them and skips the others. Nobody trains the network again for that. Two things make it possible:
#
# - The loss of lesson 02 takes **one** $t$ at a time. It never says which time comes next.
# - The step needs $\alpha,\sigma$ at $t$ and $s$ alone; the two need not be neighbours.
#
# But both hold for DDPM too. So why is it DDIM that skips?
# %% [markdown] lang="vi" of="22ae2ebc"
# ## 5. Đi qua thời điểm nào? DDPM đi hết, và vì sao DDIM được nhảy cóc
#
# Các mạng đã công bố đếm thời gian bằng 1000 bước thời gian, từ 0 đến 999. DDPM trong bài gốc đi qua **tất cả**; DDIM chọn ra
# $n$ bước và bỏ qua các bước khác. Không ai huấn luyện lại mạng cho việc này. Có hai điều cho phép làm vậy:
#
# - Hàm mất mát (loss) ở bài 02 mỗi lần chỉ xét **một** $t$. Nó không hề nói thời điểm nào kế tiếp.
# - Bước đi chỉ cần $\alpha,\sigma$ tại $t$ và $s$; hai thời điểm không cần kề nhau.
#
# Nhưng cả hai điều cũng đúng với DDPM. Vậy vì sao lại là DDIM được nhảy cóc?

# %% [markdown] lang="en" role="notes"
# Song et al. 2021, section 4.2: a whole family of processes shares the marginals q(x_t | x_0), hence the loss. DDPM is the one
# with the most noise. It may skip too (Nichol & Dhariwal 2021 respaced it), but it pays more, as the numbers below show.
# %% [markdown] lang="vi" of="3044e2eb"
# Song và cộng sự 2021, mục 4.2: cả một họ quá trình có chung phân phối biên q(x_t | x_0), vì thế chung hàm mất mát. DDPM là
# thành viên nhiều nhiễu nhất. DDPM cũng được phép nhảy (Nichol & Dhariwal 2021 đã chia lại bước), nhưng phải trả giá nhiều
# hơn, như các con số bên dưới cho thấy.

# %% [markdown] lang="en" role="think"
# DDPM's step ($\eta=1$) was derived with a *known* $x_0$. The network's $x_0$ is only a guess: the mean of everything from which
# $x_t$ may have come. Take data $N(0,\,0.5^2)$. After a few large steps, will the standard deviation of the samples be 0.5, more,
# or less? And which is further off, DDPM or DDIM?
# ---
# Less, for both: they aim at means, and means have less spread than the data. DDPM is further off for each number of steps.
# Below the numbers you find out why.
# %% [markdown] lang="vi" of="74b1b952"
# Bước của DDPM ($\eta=1$) được suy ra với $x_0$ *đã biết*. $x_0$ của mạng chỉ là dự đoán: trung bình của mọi thứ có thể đã sinh
# ra $x_t$. Lấy dữ liệu $N(0,\,0.5^2)$. Sau vài bước dài, độ lệch chuẩn (standard deviation) của mẫu sẽ bằng 0.5, lớn hơn hay nhỏ
# hơn? Và DDPM hay DDIM lệch xa hơn?
# ---
# Cả hai đều nhỏ hơn: chúng nhắm tới các trung bình, mà trung bình thì ít phân tán hơn dữ liệu. Với cùng số bước, DDPM lệch xa
# hơn. Phần ngay dưới các con số giải thích vì sao.

# %%
bell = mixture(schedule, [0.0], 0.5)
generator = torch.Generator().manual_seed(0)
x = torch.randn(20_000, generator=generator, dtype=torch.float64)
x = x / x.std()


def spread(name, n):
    *_, last = run(name, bell, x, schedule, n)
    return last.x.std()


print("steps   DDPM   DDIM")
for n in (4, 10, 50, 250):
    torch.manual_seed(0)
    print(f"{n:5d}  {spread('ddpm', n):.3f}  {spread('ddim', n):.3f}")

# %% [markdown] lang="en" slide="sub"
# **Why may DDIM skip steps?** No network has to be trained again, because the loss takes each time by itself. And a long step
# costs DDIM little, because nothing is random after the first $x$:
#
# - **DDIM** ($\eta=0$) follows one smooth curve (section 3). A step goes straight on with the slope at its beginning, so a long
#   step cuts a bend. That is all that it does wrong.
# - **DDPM** ($\eta=1$) cuts the same bends, and it draws its fresh noise as if $x_0$ were certain. But $x_0$ is a mean, and
#   every step ignores how far the true value may be from it: the longer the step, the more is ignored.
#
# In the table, DDPM misses 0.5 by more than DDIM in every row, with 50 steps by twice as much. So DDPM was published with all
# 1000 timesteps, while DDIM makes pictures of similar quality 10 to 50 times faster (Song et al. 2021).
# %% [markdown] lang="vi" of="51b76edb"
# **Vì sao DDIM được nhảy cóc?** Không phải huấn luyện lại mạng nào, vì hàm mất mát xét từng thời điểm riêng rẽ. Và một bước dài
# không làm DDIM sai nhiều, vì sau $x$ đầu tiên không còn gì ngẫu nhiên nữa:
#
# - **DDIM** ($\eta=0$) đi theo một đường cong trơn (mục 3). Mỗi bước đi thẳng theo độ dốc ở đầu bước, nên bước dài thì cắt ngang
#   chỗ cong. Toàn bộ sai số của nó chỉ có vậy.
# - **DDPM** ($\eta=1$) cũng cắt ngang những chỗ cong ấy, lại còn rút nhiễu mới như thể $x_0$ là chắc chắn. Nhưng $x_0$ chỉ là
#   trung bình, còn giá trị thật có thể cách nó bao xa thì bước nào cũng bỏ qua: bước càng dài, phần bị bỏ qua càng nhiều.
#
# Trong bảng, hàng nào DDPM cũng lệch khỏi 0.5 nhiều hơn DDIM; với 50 bước thì lệch gấp đôi. Vì thế DDPM trong bài gốc đi hết 1000
# bước thời gian, còn DDIM cho ảnh có chất lượng tương đương nhanh hơn 10 đến 50 lần (Song và cộng sự 2021).

# %% [markdown] lang="en" slide="sub"
# Three ways to spread $n=5$ steps over 1000 timesteps (Lin et al. 2024, table 2): **leading** counts up from 0,
# **linspace** includes both ends, **trailing** counts down from 999. Time $t=1$ is timestep 999, pure noise.
# %% [markdown] lang="vi" of="75320ac5"
# Ba cách rải $n=5$ bước trên 1000 bước thời gian (Lin và cộng sự 2024, bảng 2): **leading** đếm lên từ 0, **linspace** gồm cả
# hai đầu, **trailing** đếm lùi từ 999. Thời điểm $t=1$ là bước 999, nhiễu thuần.

# %% slide="sub"
spacings = ["leading", "linspace", "trailing"]
times = torch.stack([SPACINGS[name](schedule, 5)[:-1] for name in spacings])
entries = (times * 1000 - 1).round().long()                     # (3, 5)
for name, row in zip(spacings, entries.tolist(), strict=True):
    print(f"{name:9s}", row)
dots = entries.flip(0).flatten(), np.repeat(spacings[::-1], 5)
(axis,) = panels(1, 1.4)
axis.margins(y=0.3)
lines({"": dots}, axis, x="timestep", linestyle="", marker="o")
wishes = ("star", "boat", "car")
drawn = [draw("ddim", 5, wishes, timesteps=name) for name in spacings]
show(torch.stack(drawn, dim=1), titles=spacings)

# %% [markdown] lang="en"
# *Leading* begins at 800: the timestep says "a fifth of the way is done", but the network is given pure noise. It takes some of
# that noise for a part of the picture and never removes it: grains. Stable Diffusion was published with leading. That is one of
# the reasons why its pictures are never very dark or very bright (Lin et al. 2024). *Trailing* begins at 999, as training did.
# You write it in the exercises.
# %% [markdown] lang="vi" of="657cc3fb"
# *Leading* bắt đầu ở 800: bước thời gian nói "đã đi một phần năm đường", trong khi đầu vào là nhiễu thuần. Mạng tưởng một phần
# nhiễu ấy là ảnh và không bao giờ bỏ được: còn lại những hạt lấm tấm. Stable Diffusion khi phát hành dùng leading, một trong những
# lý do khiến ảnh của nó không bao giờ rất tối hay rất sáng (Lin và cộng sự 2024). *Trailing* bắt đầu ở 999, như khi huấn luyện.
# Bạn sẽ tự viết nó trong phần bài tập.

# %% [markdown] lang="en" role="pitfall" slide="slide"
# ## Pitfall: the timesteps
#
# | symptom | cause | fix |
# |---|---|---|
# | the picture, under grains | the last time is above 0: noise is left | $n+1$ times for $n$ steps, the last one 0 |
# | pure noise | times in rising order | from 1 down to 0 |
# | grains, other colours | first time below 1, yet given pure noise | trailing or uniform, not leading |
# | burnt colours, pale parts white | the denoiser is told the time of the step before | after each step the new time: `now = s` |
# %% [markdown] lang="vi" of="4e846fed"
# ## Cạm bẫy: các bước thời gian
#
# | triệu chứng | nguyên nhân | cách sửa |
# |---|---|---|
# | ảnh đúng nhưng phủ hạt nhiễu | thời điểm cuối lớn hơn 0: nhiễu còn sót | $n+1$ thời điểm cho $n$ bước, cuối cùng là 0 |
# | toàn nhiễu | thời điểm xếp tăng dần | đi từ 1 xuống 0 |
# | lấm tấm hạt, màu khác đi | thời điểm đầu nhỏ hơn 1 mà đầu vào là nhiễu thuần | dùng trailing hoặc uniform, không dùng leading |
# | màu cháy, phần nhạt thành trắng | bộ khử nhiễu được báo thời điểm của bước trước | sau mỗi bước phải là thời điểm mới: `now = s` |

# %% slide="fragment"
model = pipe.denoiser(["boat"], [""], 2.0)
generator = torch.Generator().manual_seed(4)
x = torch.randn(1, 3, 32, 32, generator=generator).to(pipe.device)


def loop(timesteps, late=False):
    z, now = x, timesteps[0]                                    # now: the time of z
    for t, s in pairwise(timesteps):
        z = step(schedule, *model(z, now), t, s)
        now = t if late else s
    return z.cpu()


good, leading = uniform(schedule, 8), SPACINGS["leading"](schedule, 4)
pictures = [loop(good), loop(good[:-1]), loop(good.flip(0)), loop(leading)]
titles = ["right", "stops at 1/8", "rising", "leading, 4", "told a step late"]
show(torch.cat([*pictures, loop(good, late=True)]), titles)

# %% [markdown] lang="en"
# The last mistake is the hardest to notice, since its picture is free of noise. At each step the denoiser is told that there is
# more noise and less picture in $z$ than there is, so it makes the picture too strong. The grey background becomes white, and so
# do the sails. More steps do not help: try `loop(uniform(schedule, 32), late=True)`.
#
# The library rejects at once what can only be a mistake: timesteps that rise raise an error. Timesteps that begin below 1 or
# stop above 0 are allowed (editing begins below 1, lesson 13), and no check can know which time *your* loop should tell the
# denoiser. Those mistakes you have to notice in the picture.
# %% [markdown] lang="vi" of="266fc83f"
# Lỗi cuối khó nhận ra nhất, vì bức ảnh không còn nhiễu. Ở mỗi bước, bộ khử nhiễu được báo rằng trong $z$ có nhiều nhiễu hơn và ít
# ảnh hơn thực tế, nên nó vẽ ảnh quá đậm. Nền xám thành trắng, và cánh buồm cũng vậy. Thêm bước cũng không đỡ: hãy thử
# `loop(uniform(schedule, 32), late=True)`.
#
# Thư viện từ chối ngay những gì chỉ có thể là nhầm lẫn: các bước thời gian tăng dần sẽ báo lỗi. Dãy bắt đầu dưới 1 hoặc dừng
# trên 0 thì được phép (chỉnh sửa ảnh, ở bài 13, bắt đầu dưới 1), và không phép kiểm tra nào biết được vòng lặp *của bạn* phải
# báo thời điểm nào cho bộ khử nhiễu. Những lỗi ấy bạn phải tự nhận ra khi nhìn ảnh.

# %%
try:
    run("ddim", model, x, schedule, 8, timesteps=good.flip(0))
except ValueError as error:
    print(error)

# %% [markdown] lang="en" slide="slide"
# ## All of them are one table
#
# A sampler is a spacing of the timesteps, an $\eta$ and an order. Order 1 is the step that you have built; order 2 uses a second
# prediction to correct it (part two). Only Heun needs a loop of its own.
# %% [markdown] lang="vi" of="bfd03116"
# ## Tất cả chỉ là một bảng
#
# Một bộ lấy mẫu là một cách chia các bước thời gian, một $\eta$ và một bậc. Bậc 1 là bước bạn đã dựng; bậc 2 dùng thêm một dự đoán
# thứ hai để hiệu chỉnh bước ấy (phần hai). Chỉ Heun cần vòng lặp riêng.

# %% slide="fragment"
for name, row in SAMPLERS.items():
    print(f"{name:13s} eta {row.eta:.0f}   order {row.order}   loop {row.method}")

# %% [markdown] lang="en" slide="slide"
# ## Summary
#
# | what | formula | shape |
# |---|---|---|
# | step | $x_s=\alpha_s x_0+\sigma_s(\sqrt{1-c^2}\,\epsilon+c\,z)$ | (B, C, H, W) |
# | share of fresh noise | $c=\eta\sqrt{1-r^2},\ r=\sigma_s\alpha_t/(\alpha_s\sigma_t)$ | number |
# | ODE | $du/d\rho=\epsilon,\ u=x/\alpha,\ \rho=\sigma/\alpha$ | (B, C, H, W) |
# | timesteps | from 1 down to 0 | (n + 1,) |
# %% [markdown] lang="vi" of="434f3c94"
# ## Tóm tắt
#
# | gì | công thức | kích thước |
# |---|---|---|
# | bước | $x_s=\alpha_s x_0+\sigma_s(\sqrt{1-c^2}\,\epsilon+c\,z)$ | (B, C, H, W) |
# | phần nhiễu mới | $c=\eta\sqrt{1-r^2},\ r=\sigma_s\alpha_t/(\alpha_s\sigma_t)$ | số |
# | ODE | $du/d\rho=\epsilon,\ u=x/\alpha,\ \rho=\sigma/\alpha$ | (B, C, H, W) |
# | các bước thời gian | từ 1 xuống 0 | (n + 1,) |

# %% [markdown] lang="en" slide="sub"
# **Which one to use?** DPM++ 2M with 15 to 25 steps (part two shows why). DDIM where you want to follow the same way back and
# forth. $\eta=1$ where there is time for many steps: fresh noise can wash out earlier errors.
#
# **You can now** build DDIM, DDPM and Euler from one formula, say why DDIM may skip steps, and say from a picture which part of
# the loop is broken.
#
# **What still bothers:** we said "star", and the network obeyed, but how? And what was that `2.0`? Lesson 05: conditions and
# classifier-free guidance.
# %% [markdown] lang="vi" of="e9526fc5"
# **Nên dùng cái nào?** DPM++ 2M với 15 đến 25 bước (phần hai cho thấy vì sao). DDIM khi cần đi tới đi lui trên cùng một đường.
# $\eta=1$ khi có thời gian cho nhiều bước: nhiễu mới có thể xóa bớt sai sót trước đó.
#
# **Giờ bạn có thể** dựng DDIM, DDPM và Euler từ một công thức, nói được vì sao DDIM được nhảy cóc, và nhìn ảnh mà nói phần nào của
# vòng lặp bị hỏng.
#
# **Điều còn băn khoăn:** ta nói "star" và mạng nghe theo, nhưng bằng cách nào? Và số `2.0` kia là gì? Bài 05: điều kiện và
# dẫn hướng không cần bộ phân loại (classifier-free guidance).

# %% [markdown] lang="en" slide="slide"
# # Part two, optional: order two
#
# You may stop here: later lessons don't build on what follows. Part two shows two ways to end nearer to the exact answer with the
# same number of steps, DPM++ 2M and Heun. Then it measures all samplers, first on data that we know exactly, then in pictures.
# %% [markdown] lang="vi" of="cc46dc53"
# # Phần hai, không bắt buộc: bậc hai
#
# Bạn có thể dừng ở đây: các bài sau không dùng đến những gì dưới đây. Phần hai cho thấy hai cách để cùng số bước mà kết thúc gần
# đáp án đúng hơn, là DPM++ 2M và Heun. Sau đó ta đo mọi bộ lấy mẫu, trước hết trên dữ liệu biết chính xác, rồi trên ảnh.

# %% [markdown] lang="en" slide="slide"
# ## 6. Order two, the first way: look back
#
# Euler uses the $x_0$ of the step's *beginning* for the whole step. But $x_0$ moves. **DPM-Solver++ 2M** draws a line through
# the last two and aims at the step's *middle*:
#
# $$x_0\leftarrow x_0+\frac{h}{2\,h_{\text{prev}}}\,(x_0-x_{0,\text{prev}}),\qquad h=\lambda_s-\lambda_t,\quad
# \lambda=\log\frac{\alpha}{\sigma}$$
#
# $\epsilon$ is worked out again, so that both still make $x_t$. This costs no extra call of the network. With $\eta=1$ the
# method is called DPM++ 2M SDE.
# %% [markdown] lang="vi" of="1779ed33"
# ## 6. Bậc hai, cách thứ nhất: nhìn lại
#
# Euler dùng $x_0$ ở *đầu* bước cho cả bước. Nhưng $x_0$ thay đổi dần. **DPM-Solver++ 2M** kẻ đường thẳng qua hai giá trị gần
# nhất và nhắm vào *giữa* bước:
#
# $$x_0\leftarrow x_0+\frac{h}{2\,h_{\text{prev}}}\,(x_0-x_{0,\text{prev}}),\qquad h=\lambda_s-\lambda_t,\quad
# \lambda=\log\frac{\alpha}{\sigma}$$
#
# $\epsilon$ được tính lại để hai thứ vẫn ghép thành $x_t$. Không tốn thêm lần gọi mạng nào. Thêm $\eta=1$ thì nó mang tên DPM++
# 2M SDE.

# %% [markdown] lang="en"
# By hand: at $\lambda=-1$ the network said $x_0=2.0$, at $\lambda=0$ it says $1.4$ (and $\epsilon=0.3$), and the step goes on
# to $\lambda=0.5$. So $x_0$ falls by 0.6 per unit of $\lambda$, and the middle of the step is 0.25 ahead: aim at
# $1.4-0.15=1.25$.
# %% [markdown] lang="vi" of="75030690"
# Tính tay: tại $\lambda=-1$ mạng nói $x_0=2.0$, tại $\lambda=0$ nó nói $1.4$ (và $\epsilon=0.3$), bước này đi tới
# $\lambda=0.5$. Vậy $x_0$ giảm 0.6 cho mỗi đơn vị $\lambda$, và giữa bước cách 0.25 về phía trước: nhắm vào $1.4-0.15=1.25$.

# %%
from minidiff.diffusion.samplers import extrapolate, lookaheads

x0_prev, x0, eps = torch.tensor([2.0, 1.4, 0.3], dtype=torch.float64)
h_prev, h = 1.0, 0.5
aim = x0 + h / (2 * h_prev) * (x0 - x0_prev)
alpha = sigma = 0.5**0.5                                        # where lambda = 0
x = alpha * x0 + sigma * eps
eps_aim = (x - alpha * aim) / sigma
print(f"aim {aim:.2f}, eps {eps_aim:.2f}")
print(f"still x: {alpha * aim + sigma * eps_aim:.4f} = {x:.4f}")

timesteps = schedule.time(torch.tensor([-1.0, 0.0, 0.5], dtype=torch.float64))
ahead = lookaheads(schedule, timesteps)
aimed = extrapolate(x0, eps, x0_prev, ahead[1], alpha / sigma)
assert_close(aimed, (aim, eps_aim))
print("h / (2 h_prev) of each step:", [round(value, 3) for value in ahead])
source(extrapolate)

# %% [markdown] lang="en" slide="slide"
# ## 7. Order two, the second way: look ahead
#
# **Heun** makes Euler's step, asks for the slope *there*, goes back, and steps again with the mean of both slopes:
#
# $$u_s=u_t+(\rho_s-\rho_t)\,\frac{\epsilon_t+\epsilon_s}{2}$$
#
# It costs a second call of the network in each step. (Karras et al. 2022, algorithm 1.)
#
# By hand: data $N(0,1)$, where $\epsilon=\sigma x$ exactly, and the true answer from $x=1$ is 1.
# %% [markdown] lang="vi" of="5c3458f2"
# ## 7. Bậc hai, cách thứ hai: nhìn trước
#
# **Heun** đi bước Euler, hỏi độ dốc *tại đó*, quay lại, rồi đi lại bằng trung bình của hai độ dốc:
#
# $$u_s=u_t+(\rho_s-\rho_t)\,\frac{\epsilon_t+\epsilon_s}{2}$$
#
# Mỗi bước tốn thêm một lần gọi mạng. (Karras và cộng sự 2022, thuật toán 1.)
#
# Tính tay: dữ liệu $N(0,1)$, khi đó đúng $\epsilon=\sigma x$, và từ $x=1$ đáp án thật là 1.

# %%
from minidiff.diffusion.samplers import heun

x = torch.ones(1, dtype=torch.float64)
rho_t, rho_s = sigma_t / alpha_t, sigma_s / alpha_s             # 4/3 and 3/4
eps_t = sigma_t * x
euler = alpha_s * (x / alpha_t + (rho_s - rho_t) * eps_t)
eps_s = sigma_s * euler                                         # the slope at the end
mine = alpha_s * (x / alpha_t + (rho_s - rho_t) * (eps_t + eps_s) / 2)
print(f"Euler {euler.item():.4f}, Heun {mine.item():.4f}, exact 1.0000")

ratios = torch.tensor([alpha_t / sigma_t, alpha_s / sigma_s], dtype=torch.float64)
timesteps = schedule.time(ratios.log())
(state,) = heun(mixture(schedule, [0.0], 1.0), x, schedule, timesteps)
assert_close(state.x, mine)
source(heun)

# %% [markdown] lang="en" slide="slide"
# ## 8. Four samplers, five steps
#
# Grey: the way of 200 steps, which all three without fresh noise aim at. Look at the bends: who keeps to the grey, who leaves
# it? And Euler ancestral: does it follow any one way at all?
# %% [markdown] lang="vi" of="baf3b832"
# ## 8. Bốn bộ lấy mẫu, năm bước
#
# Màu xám: đường đi của 200 bước, đích chung của ba phương pháp không thêm nhiễu. Nhìn các chỗ cong: ai bám theo vệt xám, ai
# lệch ra? Còn Euler ancestral, nó có theo một đường nào không?

# %% slide="fragment"
angle = 2 * torch.pi * (torch.arange(8, dtype=torch.float64) + 0.2) / 8
ring = 1.6 * torch.stack([angle.cos(), angle.sin()], dim=1)     # (8, 2)


def way(name, steps):
    torch.manual_seed(1)
    states = run(name, clumps, ring, schedule, steps)
    return torch.stack([ring, *(state.x for state in states)])  # (n + 1, 8, 2)


exact = way("heun", 200)
for name, axis in zip(["ddim", "dpmpp_2m", "heun", "euler_a"], panels(4), strict=True):
    states, limit = way(name, 5), 1.9 if SAMPLERS[name].eta == 0 else 3
    lines({"": exact.unbind(-1)}, axis, color="0.8", linewidth=4)
    trails(states, axis, SAMPLERS[name].label, limit)
    cloud(states.flatten(0, 1), axis, SAMPLERS[name].label, limit, s=3, color="black")

# %% [markdown] lang="en" role="think" slide="slide"
# ## 9. Error against steps
#
# A method of **order** $p$ has an error like $1/n^p$. On log-log axes that is a straight line of slope $-p$. Predict: you double
# the steps. What becomes of Euler's error, and of Heun's?
# ---
# Euler, order 1: half. Heun and DPM++ 2M, order 2: a quarter. Now measured: one-dimensional data, half around -1 and half
# around 1, of which we know every quantile. The error is the mean distance between sorted samples and those quantiles. We do it
# with two spacings of the timesteps: uniform, and Karras', which makes many tiny steps near the data (Karras et al. 2022, eq. 5).
# %% [markdown] lang="vi" of="30cbd772"
# ## 9. Sai số theo số bước
#
# Phương pháp **bậc** $p$ có sai số cỡ $1/n^p$. Trên trục log-log đó là đường thẳng độ dốc $-p$. Thử đoán: tăng gấp đôi số bước
# thì sai số của Euler còn bao nhiêu, của Heun còn bao nhiêu?
# ---
# Euler, bậc 1: một nửa. Heun và DPM++ 2M, bậc 2: một phần tư. Giờ thì đo: dữ liệu một chiều, một nửa quanh -1, một nửa quanh 1,
# mà ta biết mọi phân vị. Sai số là khoảng cách trung bình giữa các mẫu đã sắp xếp và các phân vị ấy. Ta đo với hai cách chia các
# bước thời gian: chia đều, và cách của Karras với nhiều bước tí hon gần dữ liệu (Karras và cộng sự 2022, công thức 5).

# %%
two, points = mixture(schedule, [-1.0, 1.0], 0.3), 2**16
share = (torch.arange(points, dtype=torch.float64) + 0.5) / points
noise = torch.special.ndtri(share)                              # quantiles of the noise
value = torch.linspace(-3, 3, 60_001, dtype=torch.float64)
below = sum(torch.special.ndtr((value - mean) / 0.3) for mean in (-1, 1)) / 2
truth = torch.from_numpy(np.interp(share, below, value))        # quantiles of the data


def mirrored(_):
    half = torch.randn(points // 2, dtype=torch.float64)
    return torch.cat([half, -half.flip(0)])


def error(name, steps, spacing):
    torch.manual_seed(0)
    *_, last = run(
        name, two, noise, schedule, steps, timesteps=spacing, noise=mirrored
    )
    return (last.x.sort().values - truth).abs().mean().item()

# %% slide="slide"
families = {"ddim": "DDIM = Euler", "ddpm": "DDPM = Euler a", "dpmpp_2m": "DPM++ 2M",
            "dpmpp_2m_sde": "DPM++ 2M SDE", "heun": "Heun"}  # fmt: skip
steps = [10, 20, 40, 80]
for spacing, axis in zip(["uniform", "karras"], panels(2, 3, sharey=True), strict=True):
    curves = {}
    for name, label in families.items():
        errors = [error(name, n, spacing) for n in steps]
        slope = np.polyfit(np.log(steps[1:]), np.log(errors[1:]), 1)[0]
        shown = "  ".join(f"{e:.4f}" for e in errors)
        print(f"{spacing:8s} {label:15s} {shown}   slope {slope:.2f}")
        curves[label] = (steps, errors)
    lines(curves, axis, spacing, "steps", "error", log="xy", marker="o")
    axis.set_xticks(steps, steps)
    axis.minorticks_off()

# %% [markdown] lang="en"
# Did it come out as you guessed? On the right, with Karras' spacing, the slopes are near -1 for DDIM and DDPM, and -2 or steeper
# for the other three. On the left, with uniform timesteps, every error is smaller at first, but DPM++ 2M has a kink: its last
# step, into clean data, has infinite $h$ and is made with order 1, and here that step is long. Karras' last step is tiny, so his
# lines are straight. **Order is a promise about many small steps. What counts at 10 steps has to be measured at 10 steps.**
# %% [markdown] lang="vi" of="f37d8ee9"
# Có đúng như bạn đoán? Bên phải, với cách chia của Karras, độ dốc gần -1 với DDIM và DDPM, -2 hoặc dốc hơn với ba phương pháp còn
# lại. Bên trái, với các bước thời gian chia đều, ban đầu mọi sai số đều nhỏ hơn, nhưng DPM++ 2M bị gãy khúc: bước cuối, về dữ liệu
# sạch, có $h$ vô hạn nên phải đi bằng bậc 1, mà ở đây bước ấy dài. Bước cuối của Karras rất nhỏ, nên các đường của ông thẳng.
# **Bậc là lời hứa khi có nhiều bước nhỏ. Muốn biết ở 10 bước thế nào thì phải đo ở 10 bước.**

# %% [markdown] lang="en" role="think" slide="slide"
# ## 10. And in pictures?
#
# Now our network draws, and a judge's features say how far the pictures are from real ones: **FD-mini**, a Fréchet distance
# (lesson 14; smaller is better). Heun calls the network twice a step, so count *calls*: 4, 8, 16. Who wins at 4? Who at 16?
# ---
# With few calls, a higher order helps only if it costs no extra calls; Heun has 3 steps where the others have 4. With many calls,
# all come near the floor (dashed: as many real pictures), where only the network's own error is left.
# %% [markdown] lang="vi" of="6df2d1ce"
# ## 10. Còn với ảnh thì sao?
#
# Giờ mạng của ta vẽ, và đặc trưng của một mạng giám khảo cho biết ảnh cách ảnh thật bao xa: **FD-mini**, một khoảng cách
# Fréchet (bài 14; càng nhỏ càng tốt). Heun gọi mạng hai lần mỗi bước, nên ta đếm *số lần gọi*: 4, 8, 16. Ai thắng ở 4? Ai
# thắng ở 16?
# ---
# Với ít lần gọi, bậc cao hơn chỉ có ích nếu không tốn thêm lần gọi; Heun chỉ có 3 bước khi các bộ lấy mẫu khác có 4. Với nhiều
# lần gọi, tất cả đều gần mức sàn (nét đứt: cùng ngần ấy ảnh thật), chỉ còn lại sai số của chính mạng.

# %%
import torch.nn.functional as F

from minidiff.data.world.scenes import SHAPES
from minidiff.evaluate.judge import load_judge
from minidiff.evaluate.metrics import frechet_distance
from minidiff.train.pixels import portraits

count = 540 if torch.cuda.is_available() else 54
judge = load_judge()


@torch.no_grad()
def features(pictures):
    """Pictures (N, 3, 32, 32) in -1..1 to features (N, 120)."""
    small = pictures.clamp(-1, 1) / 2 + 0.5
    shown = F.interpolate(small, scale_factor=2, mode="bicubic").clamp(0, 1)
    return torch.cat([judge(part).features for part in shown.split(64)])


photos = torch.from_numpy(portraits(540 + count, "validation"))  # (N, 32, 32, 3)
real = features(photos.permute(0, 3, 1, 2) / 127.5 - 1)
scale = real.std(0).clamp(min=1e-6)                             # spread of each feature
real, others = (real / scale).split([540, count])
floor = frechet_distance(real, others)
print(f"floor {floor:.1f}")

# %%
labels = [SHAPES[n % 18] for n in range(count)]
generator = torch.Generator().manual_seed(0)
noise_32 = torch.randn(count, 3, 32, 32, generator=generator).to(pipe.device)
model = pipe.denoiser(labels, [""] * count, 1.0)                # guidance off
calls = [4, 8, 16]
fd, sheets = {}, []


def fresh(_):
    return torch.randn(noise_32.shape).to(pipe.device)


for name, label in families.items():
    for n in calls:
        torch.manual_seed(1)
        # Heun: 2 calls a step, but 1 out of pure noise and 1 into clean data
        steps = n // 2 + 1 if name == "heun" else n
        *_, last = run(name, model, noise_32, schedule, steps, noise=fresh)
        drawn = last.x.cpu()
        distance = frechet_distance(real, features(drawn) / scale)
        fd.setdefault(label, []).append(distance)
        sheets.append(drawn[3])

# %% slide="slide"
curves = {label: (calls, row) for label, row in fd.items()}
(axis,) = panels(1)
lines({"": (calls, [floor] * 3)}, axis, linestyle="--", color="0.5")
lines(curves, axis, x="calls of the network", y="FD-mini", marker="o")
for label, row in fd.items():
    print(f"{label:15s}", "  ".join(f"{value:5.1f}" for value in row))

# %%
titles = [f"{label}, {n}" for label in families.values() for n in calls]
show(sheets, titles, columns=6)

# %% [markdown] lang="en"
# The curves fall, and a higher order pays where it is free: DPM++ 2M stays below DDIM for each number of calls, while Heun, which
# pays for its order in calls, is behind both at 4 and at 8. At 16 all are near the floor: from there a better network would help,
# not a better sampler. And look at the pictures: without fresh noise, more steps refine one picture; with it, every number of
# steps draws another one.
#
# Read the numbers with care. On a CPU these are 54 pictures, fewer than the 120 features, so every value is too large by about
# the floor. With other noise, values that are close to each other change places, so these numbers cannot tell whether fresh noise
# helps. Lesson 14 is about that.
# %% [markdown] lang="vi" of="18a1a923"
# Các đường đi xuống, và bậc cao có ích khi không phải trả thêm: với cùng số lần gọi, DPM++ 2M luôn thấp hơn DDIM, còn Heun phải
# trả cho bậc hai bằng số lần gọi nên đứng sau cả hai ở 4 và 8. Ở 16, tất cả đều gần mức sàn: từ đó trở đi cần mạng tốt hơn, không
# phải bộ lấy mẫu tốt hơn. Và hãy nhìn ảnh: không thêm nhiễu thì nhiều bước hơn chỉ làm nét cùng một bức; có thêm nhiễu thì mỗi
# số bước vẽ ra một bức khác.
#
# Hãy đọc các con số cẩn thận. Trên CPU chỉ có 54 bức ảnh, ít hơn 120 đặc trưng, nên giá trị nào cũng bị lớn hơn thật cỡ mức
# sàn, và với nhiễu khác thì những giá trị sát nhau có thể đổi chỗ; không thể dựa vào chúng để nói nhiễu mới có lợi hay không.
# Bài 14 bàn kỹ chuyện này.

# %% [markdown] lang="en" slide="slide"
# ## Summary of part two
#
# | what | formula | calls of the network |
# |---|---|---|
# | DPM++ 2M | $x_0+\frac{h}{2h_\text{prev}}(x_0-x_{0,\text{prev}})$ in place of $x_0$ | 1 a step |
# | Heun | slope $(\epsilon_t+\epsilon_s)/2$ in place of $\epsilon_t$ | 2 a step |
# | order $p$ | error like $1/n^p$ | |
#
# DPM++ 2M gets its second order without an extra call, so it is the usual choice. Heun is for where the last bit of accuracy
# counts.
# %% [markdown] lang="vi" of="d39bea7a"
# ## Tóm tắt phần hai
#
# | gì | công thức | số lần gọi mạng |
# |---|---|---|
# | DPM++ 2M | $x_0+\frac{h}{2h_\text{prev}}(x_0-x_{0,\text{prev}})$ thay cho $x_0$ | 1 mỗi bước |
# | Heun | độ dốc $(\epsilon_t+\epsilon_s)/2$ thay cho $\epsilon_t$ | 2 mỗi bước |
# | bậc $p$ | sai số cỡ $1/n^p$ | |
#
# DPM++ 2M có bậc hai mà không tốn thêm lần gọi nào, nên là lựa chọn quen thuộc. Heun dành cho khi cần chính xác đến cùng.

# %% [markdown] lang="en"
# **Sources.** Ho, Jain & Abbeel 2020, *Denoising Diffusion Probabilistic Models*, eq. 6-7. Song, Meng & Ermon 2021, *Denoising
# Diffusion Implicit Models*, eq. 12, 14, 16 and section 4.2. Nichol & Dhariwal 2021, *Improved DDPM*. Lu et al. 2022,
# *DPM-Solver++*, algorithm 2. Karras et al. 2022, *Elucidating the Design Space*, eq. 5 and algorithm 1. Lipman et al. 2023,
# *Flow Matching*. Lin et al. 2024, *Common Diffusion Noise Schedules and Sample Steps are Flawed*, table 2. Heusel et al. 2017
# (Fréchet distance), eq. 6.
#
# **Exercises:** [[notebook]].
# %% [markdown] lang="vi" of="ead0ab89"
# **Nguồn.** Ho, Jain & Abbeel 2020, *Denoising Diffusion Probabilistic Models*, công thức 6-7. Song, Meng & Ermon 2021,
# *Denoising Diffusion Implicit Models*, công thức 12, 14, 16 và mục 4.2. Nichol & Dhariwal 2021, *Improved DDPM*. Lu và cộng
# sự 2022, *DPM-Solver++*, thuật toán 2. Karras và cộng sự 2022, *Elucidating the Design Space*, công thức 5 và thuật toán 1.
# Lipman và cộng sự 2023, *Flow Matching*. Lin và cộng sự 2024, *Common Diffusion Noise Schedules and Sample Steps are
# Flawed*, bảng 2. Heusel và cộng sự 2017 (khoảng cách Fréchet), công thức 6.
#
# **Bài tập:** [[notebook]].

# %% [markdown] lang="en" only="exercise"
# # Exercises of lesson 04
#
# Each of your functions is checked, then draws inside the trained model and must give the same picture as the library. The
# exercises on Heun and on DPM-Solver++ 2M belong to the lesson's optional second part.
#
# A `schedule` has `schedule.alpha(t)` and `schedule.sigma(t)` ($\alpha^2=\bar\alpha$), a `denoiser` takes `(x, t)` and returns
# `(x0, eps)`, and times are tensors of shape ().
# %% [markdown] lang="vi" of="fa93a29f"
# # Bài tập của bài 04
#
# Mỗi hàm của bạn được kiểm tra, rồi vẽ bên trong mô hình đã huấn luyện và phải cho đúng bức ảnh như thư viện. Các bài tập về
# Heun và về DPM-Solver++ 2M thuộc phần hai không bắt buộc của bài học.
#
# `schedule` có `schedule.alpha(t)` và `schedule.sigma(t)` ($\alpha^2=\bar\alpha$), `denoiser` nhận `(x, t)` và trả về
# `(x0, eps)`, các thời điểm là tensor kích thước ().

# %% only="exercise"
from itertools import pairwise

import torch
from torch import Tensor

from minidiff import load_pipeline
from minidiff.diffusion.prediction import Denoiser
from minidiff.diffusion.samplers import step
from minidiff.diffusion.schedules import NoiseSchedule
from minidiff.diffusion.timesteps import SPACINGS, uniform

wishes = ["star", "boat", "cat"]
pipe = load_pipeline("world-pixels", dtype="float32")
model, trained_schedule = pipe.denoiser(wishes, [""] * 3, 2.0), pipe.scheduler.schedule


def start_noise(seed: int = 4) -> Tensor:
    """(3, 3, 32, 32)"""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 3, 32, 32, generator=generator).to(pipe.device)
