"""Lesson 04: one step, every sampler. Source of the notebooks and slides in both languages; its format is explained in
minidiff/course/source.py, its exercises are in minidiff/course/checks/lesson04.py."""

# %% [markdown] lang="en" slide="slide"
# # 04 One step, every sampler
#
# One trained network, one noise, one wish ("star"), six famous names. Above with 4 steps, below with 16.
# %% [markdown] lang="vi" of="90e29791"
# # 04 Một bước, mọi bộ lấy mẫu (sampler)
#
# Một mạng đã huấn luyện, một nhiễu đầu, một yêu cầu ("star": ngôi sao), sáu cái tên nổi tiếng. Hàng trên 4 bước, hàng dưới
# 16 bước.

# %%
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import torch

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

    *_, last = run(name, model, fresh(), schedule, steps, noise=fresh, timesteps=timesteps)
    return last.x.cpu()

# %% slide="slide"
names = ["ddim", "euler", "ddpm", "euler_a", "dpmpp_2m", "heun"]
few, many = (torch.cat([draw(name, steps) for name in names]) for steps in (4, 16))
show([*few, *many], titles=[SAMPLERS[name].label for name in names], columns=6)

# %% [markdown] lang="en" role="think" slide="fragment"
# Look closely before you read on. Which columns are the same picture? Why would that be, when their names come from
# different papers? And why is one pair of columns another colour altogether?
# ---
# DDIM equals Euler, and DDPM equals Euler ancestral, to the last bit. DPM++ 2M and Heun end at the same star as DDIM, only
# nearer to where many steps lead. At the end of this lesson all six are rows of one small table.
# %% [markdown] lang="vi" of="febdd36c"
# Nhìn kỹ trước khi đọc tiếp. Những cột nào là cùng một bức ảnh? Vì sao lại thế, khi các tên này đến từ những bài báo khác
# nhau? Và vì sao có một cặp cột mang hẳn màu khác?
# ---
# DDIM trùng với Euler, DDPM trùng với Euler ancestral, đến bit cuối cùng. DPM++ 2M và Heun đi tới cùng ngôi sao với DDIM, chỉ
# gần hơn với kết quả của rất nhiều bước. Cuối bài, cả sáu sẽ là các hàng của một bảng nhỏ.

# %% [markdown] lang="en" role="think"
# **Three quick questions from earlier lessons**
#
# 1. How do you make $x_t$ from $x_0$ in one go?
# 2. Our network predicts $v$. How do you get $x_0$ and $\epsilon$?
# 3. How often did the ancestral sampling of lesson 02 call the network for one picture?
# ---
# 1. $x_t=\alpha_t x_0+\sigma_t\epsilon$, with $\alpha_t^2+\sigma_t^2=1$ with our noise schedule (lesson 02; the papers
#    write $\bar\alpha_t=\alpha_t^2$).
# 2. Two equations, two unknowns: $x_0=\alpha_t x_t-\sigma_t v$ and $\epsilon=\sigma_t x_t+\alpha_t v$ (lesson 03).
# 3. Once for every timestep it visits; as published, 1000 times. That is what we are about to save.
# %% [markdown] lang="vi" of="502d8760"
# **Ba câu hỏi nhanh từ các bài trước**
#
# 1. Làm sao có ngay $x_t$ từ $x_0$ chỉ bằng một phép tính?
# 2. Mạng của ta dự đoán $v$. Lấy $x_0$ và $\epsilon$ ra thế nào?
# 3. Phép lấy mẫu tổ tiên (ancestral sampling) ở bài 02 gọi mạng bao nhiêu lần cho một bức ảnh?
# ---
# 1. $x_t=\alpha_t x_0+\sigma_t\epsilon$, với $\alpha_t^2+\sigma_t^2=1$ với lịch nhiễu (noise schedule) của ta (bài 02; các
#    bài báo viết $\bar\alpha_t=\alpha_t^2$).
# 2. Hai phương trình, hai ẩn: $x_0=\alpha_t x_t-\sigma_t v$ và $\epsilon=\sigma_t x_t+\alpha_t v$ (bài 03).
# 3. Mỗi bước thời gian (timestep) đi qua là một lần; theo bài báo gốc là 1000 lần. Đó chính là thứ ta sắp tiết kiệm.

# %% [markdown] lang="en"
# [[map]]
#
# **Aims.** You can write the step that all samplers share; say what DDIM, DDPM, Euler, flow Euler, DPM++ 2M and
# Heun are and where they agree; choose the timesteps they visit; read a plot of error against steps; recognise a broken loop by
# its picture.
#
# **Time:** [[time]]. **You need:** lessons 02 and 03. Nothing is trained here, and the
# notebook runs in about a minute on 2 CPU cores; on a GPU the last measurement uses ten times as many pictures.
# %% [markdown] lang="vi" of="1edb0548"
# [[map]]
#
# **Mục tiêu.** Bạn viết được bước chung của mọi bộ lấy mẫu; nói được DDIM, DDPM, Euler, flow Euler, DPM++ 2M và
# Heun là gì và trùng nhau ở đâu; chọn các bước thời gian (timesteps) để đi qua; đọc đồ thị sai số theo số bước; nhìn ảnh mà đoán ra vòng lặp
# hỏng ở đâu.
#
# **Thời gian:** [[time]]. **Cần có:** bài 02 và 03. Bài này không huấn luyện gì, cả notebook chạy
# khoảng một phút trên 2 nhân CPU; nếu có GPU, phép đo cuối dùng số ảnh gấp mười.

# %% [markdown] lang="en" slide="slide"
# ## 1. A step, by hand
#
# The denoiser looks at $x_t$ and says what it is made of: $(x_0,\epsilon)$. To stand at an earlier time $s$, mix the same two
# again, in the proportions of $s$:
#
# $$x_s=\alpha_s x_0+\sigma_s\,\epsilon$$
#
# On paper: $x_0=1$, $\epsilon=-0.5$, from $(\alpha_t,\sigma_t)=(0.6,\,0.8)$ to $(\alpha_s,\sigma_s)=(0.8,\,0.6)$.
# %% [markdown] lang="vi" of="4cc3253f"
# ## 1. Tính tay một bước
#
# Bộ khử nhiễu (denoiser) nhìn $x_t$ và nói nó gồm những gì: $(x_0,\epsilon)$. Muốn đứng ở thời điểm sớm hơn $s$, ta trộn lại đúng hai
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

alpha_ts = alpha_t / alpha_s                                    # one noising step, from s to t
var_ts = sigma_t**2 - alpha_ts**2 * sigma_s**2
mean = (alpha_ts * sigma_s**2 * x_t + alpha_s * var_ts * x0) / sigma_t**2
ddpm = mean, sigma_s * var_ts**0.5 / sigma_t                    # Ho et al. 2020, eq. 6-7
print(f"r = {r:.4f}, c = {c:.4f}\nours  {ours[0]:.5f} + {ours[1]:.5f} z\nDDPM  {ddpm[0]:.5f} + {ddpm[1]:.5f} z")
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
# - ở giữa: DDIM với $\eta$ (Song và cộng sự 2021, pt. 12 và 16).

# %% [markdown] lang="en"
# Now with tensors. $x_0$, $\epsilon$ and the noise are (B, C, H, W); the four numbers $\alpha,\sigma$ at $t$ and $s$ are single
# values. Note who is absent: $x_t$. It is inside $x_0$ and $\epsilon$.
# %% [markdown] lang="vi" of="73c33e7e"
# Bây giờ dùng tensor. $x_0$, $\epsilon$ và nhiễu có kích thước (B, C, H, W); bốn số $\alpha,\sigma$ tại $t$ và $s$ là số đơn.
# Để ý ai vắng mặt: $x_t$. Nó đã nằm trong $x_0$ và $\epsilon$.

# %%
def my_step(schedule, x0, eps, t, s, eta, noise):
    r = schedule.sigma(s) * schedule.alpha(t) / (schedule.alpha(s) * schedule.sigma(t))
    c = eta * (1 - r**2).sqrt()
    return schedule.alpha(s) * x0 + schedule.sigma(s) * ((1 - c**2).sqrt() * eps + c * noise)


from minidiff.diffusion.samplers import step, step_weights

generator = torch.Generator().manual_seed(0)
x0, eps, noise = torch.randn(3, 2, 3, 32, 32, generator=generator, dtype=torch.float64)
t, s = torch.tensor([0.8, 0.5], dtype=torch.float64)
for eta in (0.0, 0.3, 1.0):
    library = step(schedule, x0, eps, t, s, eta, noise)
    torch.testing.assert_close(my_step(schedule, x0, eps, t, s, eta, noise), library)

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
# With the schedule of flow matching, $\alpha=1-t$, $\sigma=t$, the same step is $x_s=x_t+(s-t)(\epsilon-x_0)$: Euler again.
# %% [markdown] lang="vi" of="d4b5384a"
# ## 3. Vì sao DDIM là Euler, hai lần
#
# Chia bước có $\eta=0$ cho $\alpha_s$. Đặt $u=x/\alpha$ và $\rho=\sigma/\alpha$:
#
# $$u_s=x_0+\rho_s\,\epsilon=u_t+(\rho_s-\rho_t)\,\epsilon$$
#
# "Giá trị mới = giá trị cũ + độ dài × độ dốc": đó là phương pháp Euler trên phương trình vi phân dòng xác suất
# (probability-flow ODE) $\dfrac{du}{d\rho}=\epsilon$ (Song và cộng sự 2021, pt. 14).
#
# Với lịch nhiễu của flow matching, $\alpha=1-t$, $\sigma=t$, cũng bước ấy thành $x_s=x_t+(s-t)(\epsilon-x_0)$: lại là Euler.

# %%
def ode_euler(schedule, x0, eps, t, s):
    rho_t, rho_s = schedule.sigma(t) / schedule.alpha(t), schedule.sigma(s) / schedule.alpha(s)
    u = schedule.mix(x0, eps, t) / schedule.alpha(t)            # x_t / alpha_t
    return schedule.alpha(s) * (u + (rho_s - rho_t) * eps)


def flow_euler(flow, x0, eps, t, s):
    return flow.mix(x0, eps, t) + (s - t) * (eps - x0)


from minidiff.diffusion.schedules import get_schedule

flow = get_schedule("flow")
torch.testing.assert_close(ode_euler(schedule, x0, eps, t, s), step(schedule, x0, eps, t, s))
torch.testing.assert_close(flow_euler(flow, x0, eps, t, s), step(flow, x0, eps, t, s))

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
# Bộ lấy mẫu đi qua một dãy thời điểm giảm dần, gọi là **các bước thời gian** (timesteps), từ 1 (nhiễu) về 0 (dữ liệu). $n$ bước
# có $n+1$ thời điểm.
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


start = torch.randn(12, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
timesteps = uniform(schedule, 8)
library = [state.x for state in run("ddim", clumps, start, schedule, 8)]
torch.testing.assert_close(my_sample(clumps, start, timesteps)[1:], torch.stack(library))
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
def trails(states, axis):
    axis.plot(*states.unbind(-1), linewidth=0.7)
    axis.plot(*states[-1].T, "k.", markersize=5)
    axis.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[], aspect="equal")


def with_eta(eta, axis):
    torch.manual_seed(1)
    trails(my_sample(clumps, start, uniform(schedule, 40), eta), axis)


slider(with_eta, "eta", [0.0, 0.3, 0.6, 1.0])

# %% [markdown] lang="en" slide="slide"
# ## 5. Which times? What DDPM visits, and why DDIM may skip
#
# Published networks count time in 1000 timesteps, 0 to 999. DDPM was published walking through **all** of them; DDIM picks $n$
# and jumps. Nobody trains the network again for that. Why is it allowed?
#
# - The loss of lesson 02 takes **one** $t$ at a time. It never says which time comes next.
# - The step needs $\alpha,\sigma$ at $t$ and $s$ alone; the two need not be neighbours.
# %% [markdown] lang="vi" of="573127c8"
# ## 5. Đi qua thời điểm nào? DDPM đi hết, vì sao DDIM được nhảy cóc
#
# Các mạng đã công bố đếm thời gian bằng 1000 bước thời gian, từ 0 đến 999. DDPM trong bài gốc đi qua **tất cả**; DDIM chọn $n$
# bước rồi nhảy. Không ai huấn luyện lại mạng cho việc này. Vì sao được phép?
#
# - Hàm mất mát (loss) ở bài 02 mỗi lần chỉ xét **một** $t$. Nó không hề nói thời điểm nào kế tiếp.
# - Bước đi chỉ cần $\alpha,\sigma$ tại $t$ và $s$; hai thời điểm không cần kề nhau.

# %% [markdown] lang="en" role="notes"
# Song et al. 2021, section 4.2: a whole family of processes shares the marginals q(x_t | x_0), hence the loss. DDPM is the one
# with the most noise. Skipping is allowed for it too (Nichol & Dhariwal 2021 respaced it), but it pays more, as the next cell
# shows.
# %% [markdown] lang="vi" of="e8e6ab30"
# Song và cộng sự 2021, mục 4.2: cả một họ quá trình có chung phân phối biên q(x_t | x_0), vì thế chung hàm mất mát. DDPM là
# thành viên nhiều nhiễu nhất. DDPM cũng được phép nhảy (Nichol & Dhariwal 2021 đã chia lại bước), nhưng phải trả giá nhiều
# hơn, như ô sau cho thấy.

# %% [markdown] lang="en" role="think"
# DDPM ($\eta=1$) may skip too: the formula allows it. But its step was derived with a *known* $x_0$. The network's $x_0$ is only
# a guess, which does not matter while steps are small. Data: $N(0,\,0.5^2)$. After few large steps, will the standard deviation of the
# samples be 0.5, more, or less? And DDIM's?
# ---
# Less, for both, because $x_0$ is a mean, and means have less spread than data. But DDIM's error is only the bend of the curve
# that it cuts across, while DDPM draws its noise as if $x_0$ were certain, and that doubt is lost at every step: for each
# number of steps it is further off. So DDPM was run through all timesteps, and DDIM may skip.
# %% [markdown] lang="vi" of="a74bff2a"
# DDPM ($\eta=1$) cũng nhảy được: công thức không phản đối. Nhưng bước của nó được suy ra với $x_0$ *đã biết*; khi bước nhỏ thì
# việc $x_0$ của mạng chỉ là dự đoán không ảnh hưởng gì. Dữ liệu: $N(0,\,0.5^2)$. Sau vài bước dài, độ lệch chuẩn (standard deviation) của
# mẫu sẽ bằng 0.5, lớn hơn hay nhỏ hơn? Còn DDIM?
# ---
# Cả hai đều nhỏ hơn, vì $x_0$ là một trung bình, mà trung bình thì ít phân tán hơn dữ liệu. Nhưng sai số của DDIM chỉ là chỗ
# cong mà nó đi tắt, còn DDPM rút nhiễu như thể $x_0$ là chắc chắn, và mỗi bước lại đánh mất phần không chắc chắn ấy: với cùng
# số bước nó luôn lệch xa hơn. Vì thế DDPM đi qua mọi bước thời gian, còn DDIM được nhảy.

# %%
bell = mixture(schedule, [0.0], 0.5)
x = torch.randn(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
print("steps   DDPM   DDIM")
for n in (4, 10, 50, 250):
    torch.manual_seed(0)
    ends = [list(run(name, bell, x, schedule, n))[-1].x.std() for name in ("ddpm", "ddim")]
    print(f"{n:5d}  {ends[0]:.3f}  {ends[1]:.3f}")

# %% [markdown] lang="en" slide="sub"
# Three ways to spread $n=5$ steps over 1000 timesteps (Lin et al. 2024, table 2): **leading** counts up from 0,
# **linspace** includes both ends, **trailing** counts down from 999. Time $t=1$ is timestep 999, pure noise.
# %% [markdown] lang="vi" of="75320ac5"
# Ba cách rải $n=5$ bước trên 1000 bước thời gian (Lin và cộng sự 2024, bảng 2): **leading** đếm lên từ 0, **linspace** gồm cả
# hai đầu, **trailing** đếm lùi từ 999. Thời điểm $t=1$ là bước 999, nhiễu thuần.

# %% slide="sub"
spacings = ["leading", "linspace", "trailing"]
_, axis = plt.subplots(figsize=(7, 1.3), layout="constrained")
for row, name in enumerate(spacings):
    entries = (SPACINGS[name](schedule, 5)[:-1] * 1000 - 1).round().long()
    axis.plot(entries, [row] * 5, "o")
    print(f"{name:9s}", entries.tolist())
axis.set(yticks=range(3), yticklabels=spacings, xlim=(-20, 1020), ylim=(2.5, -0.5))
axis.axvline(999, color="0.8", zorder=0)
plt.show()
wishes = ("star", "boat", "car")
drawn = torch.cat([draw("ddim", 5, wishes, timesteps=name) for name in spacings])
show(drawn, titles=[name for name in spacings for _ in wishes], columns=9)

# %% [markdown] lang="en"
# *Leading* begins at 800: the timestep says "a fifth of the way is done", but the network is given pure noise. It takes some of
# that noise for picture, and never gets rid of it: grains. Stable Diffusion shipped with leading. That is one of the reasons why
# its pictures are never very dark or very bright (Lin et al. 2024). *Trailing* begins where training ended. Exercise 04.1 asks for it.
# %% [markdown] lang="vi" of="b9f5c609"
# *Leading* bắt đầu ở 800: bước thời gian (timestep) nói "đã đi một phần năm đường", trong khi đầu vào là nhiễu thuần. Mạng tưởng một phần nhiễu
# ấy là ảnh và không bao giờ bỏ được: còn lại những hạt lấm tấm. Stable Diffusion khi phát hành dùng leading, một trong những
# khiếm khuyết khiến ảnh của nó không bao giờ rất tối hay rất sáng (Lin và cộng sự 2024). *Trailing* bắt đầu đúng nơi huấn luyện kết thúc. Bài tập 04.1 sẽ viết
# nó.

# %% [markdown] lang="en" role="pitfall" slide="slide"
# ## Pitfall: the timesteps
#
# | symptom | cause | fix |
# |---|---|---|
# | the picture, under grains | the last time is above 0: noise is left | $n+1$ times for $n$ steps, the last one 0 |
# | pure noise | times in rising order | from 1 down to 0 |
# | grains, other colours | first time below 1, yet given pure noise | trailing or uniform, not leading |
# | other picture, soft edges | $\eta=1$ with very few steps | more steps, or $\eta=0$ |
# %% [markdown] lang="vi" of="f73c3d7d"
# ## Cạm bẫy: các bước thời gian (timesteps)
#
# | triệu chứng | nguyên nhân | cách sửa |
# |---|---|---|
# | ảnh đúng nhưng phủ hạt nhiễu | thời điểm cuối lớn hơn 0: nhiễu còn sót | $n+1$ thời điểm cho $n$ bước, cuối cùng là 0 |
# | toàn nhiễu | thời điểm xếp tăng dần | đi từ 1 xuống 0 |
# | lấm tấm hạt, màu khác đi | thời điểm đầu nhỏ hơn 1 mà đầu vào là nhiễu thuần | dùng trailing hoặc uniform, không dùng leading |
# | ra ảnh khác, viền mờ | $\eta=1$ mà quá ít bước | thêm bước, hoặc $\eta=0$ |

# %% slide="fragment"
model = pipe.denoiser(["star"], [""], 2.0)
x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(4)).to(pipe.device)


def loop(timesteps):
    z = x
    for t, s in pairwise(timesteps):
        z = step(schedule, *model(z, t), t, s)
    return z.cpu()[0]


good = uniform(schedule, 8)
late, coarse = draw("ddim", 4, timesteps="leading")[0], draw("ddpm", 3)[0]
pictures = [loop(good), loop(good[:-1]), loop(good.flip(0)), late, coarse]
show(pictures, titles=["right", "stops at 1/8", "rising", "leading, 4", "eta 1, 3 steps"])

# %% [markdown] lang="en"
# The library refuses at once what nobody can mean: timesteps that rise raise an error. Timesteps that stop above 0 are allowed
# (editing needs them, lesson 13), so you have to notice that mistake yourself.
# %% [markdown] lang="vi" of="a44df0ce"
# Thư viện từ chối ngay những gì không ai cố ý làm: các bước thời gian (timesteps) tăng dần sẽ báo lỗi. Dãy dừng trên 0 thì được
# phép (bài 13, chỉnh sửa ảnh, cần đến), nên lỗi này bạn phải tự nhận ra.

# %%
try:
    run("ddim", model, x, schedule, 8, timesteps=good.flip(0))
except ValueError as error:
    print(error)

# %% [markdown] lang="en" slide="slide"
# ## 6. Order two, the first way: look back
#
# Euler uses the $x_0$ of the step's *beginning* for the whole step. But $x_0$ moves. **DPM-Solver++ 2M** draws a line through
# the last two and aims at the step's *middle*:
#
# $$x_0\leftarrow x_0+\frac{h}{2\,h_{\text{prev}}}\,(x_0-x_{0,\text{prev}}),\qquad h=\lambda_s-\lambda_t,\quad
# \lambda=\log\frac{\alpha}{\sigma}$$
#
# $\epsilon$ is worked out again, so that both still make $x_t$. No extra call of the network. With $\eta=1$ on top it is called
# DPM++ 2M SDE.
# %% [markdown] lang="vi" of="835ed756"
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
print(f"aim {aim:.2f}, eps {eps_aim:.2f}, still x: {alpha * aim + sigma * eps_aim:.4f} = {x:.4f}")

timesteps = schedule.time(torch.tensor([-1.0, 0.0, 0.5], dtype=torch.float64))
ahead = lookaheads(schedule, timesteps)
torch.testing.assert_close(extrapolate(x0, eps, x0_prev, ahead[1], alpha / sigma), (aim, eps_aim))
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

timesteps = schedule.time(torch.tensor([alpha_t / sigma_t, alpha_s / sigma_s], dtype=torch.float64).log())
(state,) = heun(mixture(schedule, [0.0], 1.0), x, schedule, timesteps)
torch.testing.assert_close(state.x, mine)
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
exact = torch.stack([ring, *(state.x for state in run("heun", clumps, ring, schedule, 200))])
_, axes = plt.subplots(1, 4, figsize=(7.5, 2.2), layout="constrained")
for axis, name in zip(axes, ["ddim", "dpmpp_2m", "heun", "euler_a"], strict=True):
    torch.manual_seed(1)
    states = torch.stack([ring, *(state.x for state in run(name, clumps, ring, schedule, 5))])
    axis.plot(*exact.unbind(-1), color="0.8", linewidth=4)
    trails(states, axis)
    axis.plot(*states.flatten(0, 1).T, "k.", markersize=2)
    limit = 1.9 if SAMPLERS[name].eta == 0 else 3
    axis.set(xlim=(-limit, limit), ylim=(-limit, limit))
    axis.set_title(SAMPLERS[name].label, fontsize=8)
plt.show()

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
# bước thời gian (timesteps): chia đều, và cách của Karras với nhiều bước tí hon gần dữ liệu (Karras và cộng sự 2022, pt. 5).

# %%
two, points = mixture(schedule, [-1.0, 1.0], 0.3), 2**16
share = (torch.arange(points, dtype=torch.float64) + 0.5) / points
noise = torch.special.ndtri(share)                              # quantiles of the noise
value = torch.linspace(-3, 3, 60_001, dtype=torch.float64)
below = (torch.special.ndtr((value + 1) / 0.3) + torch.special.ndtr((value - 1) / 0.3)) / 2
truth = torch.from_numpy(np.interp(share, below, value))        # quantiles of the data


def mirrored(_):
    half = torch.randn(points // 2, dtype=torch.float64)
    return torch.cat([half, -half.flip(0)])


def error(name, steps, spacing):
    torch.manual_seed(0)
    *_, last = run(name, two, noise, schedule, steps, timesteps=spacing, noise=mirrored)
    return (last.x.sort().values - truth).abs().mean().item()

# %% slide="slide"
families = {"ddim": "DDIM = Euler", "ddpm": "DDPM = Euler a", "dpmpp_2m": "DPM++ 2M", "dpmpp_2m_sde": "DPM++ 2M SDE",
            "heun": "Heun"}  # fmt: skip
steps = [10, 20, 40, 80]
_, axes = plt.subplots(1, 2, figsize=(7.5, 3), sharey=True, layout="constrained")
for axis, spacing in zip(axes, ["uniform", "karras"], strict=True):
    for (name, label), marker in zip(families.items(), "so^vD", strict=True):
        errors = [error(name, n, spacing) for n in steps]
        axis.loglog(steps, errors, marker=marker, label=label)
        slope = np.polyfit(np.log(steps[1:]), np.log(errors[1:]), 1)[0]
        print(f"{spacing:8s} {label:15s} " + "  ".join(f"{e:.4f}" for e in errors) + f"   slope {slope:.2f}")
    axis.set(title=spacing, xlabel="steps", xticks=steps, xticklabels=steps)
    axis.minorticks_off()
axes[0].set_ylabel("error")
axes[0].legend(fontsize=7)
plt.show()

# %% [markdown] lang="en"
# Did it come out as you guessed? Right, with Karras' spacing: slopes near -1 for DDIM and DDPM, -2 or steeper for the other three.
# Left, with uniform timesteps, everything is smaller at first, but DPM++ 2M has a kink: its last step, into clean data, has
# infinite $h$ and is made with order 1, and here that step is long. Karras' last step is tiny, which is why his lines are
# straight. **Order is a promise about many small steps. What counts at 10 steps is read off at 10 steps.**
# %% [markdown] lang="vi" of="703a4edd"
# Có đúng như bạn đoán? Bên phải, với cách chia của Karras: độ dốc gần -1 với DDIM và DDPM, -2 hoặc dốc hơn với ba phương pháp còn
# lại. Bên trái, với các bước thời gian (timesteps) chia đều, ban đầu mọi sai số đều nhỏ hơn, nhưng DPM++ 2M bị gãy khúc: bước cuối,
# về dữ liệu sạch, có $h$ vô hạn nên phải đi bằng bậc 1, mà ở đây bước ấy dài. Bước cuối của Karras rất nhỏ, nên các đường của ông thẳng. **Bậc là lời hứa khi
# có nhiều bước nhỏ. Muốn biết ở 10 bước thế nào thì phải đo ở 10 bước.**

# %% [markdown] lang="en" role="think" slide="slide"
# ## 10. And in pictures?
#
# Now our network draws, and a judge's features say how far the pictures are from real ones: **FD-mini**, a Fréchet distance
# (lesson 14; smaller is better). Heun calls the network twice a step, so count *calls*: 4, 8, 16. Who wins at 4? Who at 16?
# ---
# See below. Few calls: one order more helps only if it costs no calls; Heun has 3 steps where the others have 4. Many calls:
# all come near the floor (dashed: as many real pictures), where the network's own error is what is left.
# %% [markdown] lang="vi" of="7056f8bb"
# ## 10. Còn với ảnh thì sao?
#
# Giờ mạng của ta vẽ, và đặc trưng của một mạng giám khảo cho biết ảnh cách ảnh thật bao xa: **FD-mini**, một khoảng cách
# Fréchet (bài 14; càng nhỏ càng tốt). Heun gọi mạng hai lần mỗi bước, nên ta đếm *số lần gọi*: 4, 8, 16. Ai thắng ở 4? Ai
# thắng ở 16?
# ---
# Xem bên dưới. Ít lần gọi: thêm một bậc chỉ có ích nếu không tốn thêm lần gọi; Heun chỉ có 3 bước khi các bộ lấy mẫu khác có 4.
# Nhiều lần gọi: tất cả đều gần mức sàn (nét đứt: ngần ấy ảnh thật), chỉ còn lại sai số của chính mạng.

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
    """Pictures (N, 3, 32, 32) in -1..1 to features (N, 120), each scaled by its spread over real pictures."""
    shown = F.interpolate(pictures.clamp(-1, 1) / 2 + 0.5, scale_factor=2, mode="bicubic").clamp(0, 1)
    return torch.cat([judge(part).features for part in shown.split(64)])


photos = torch.from_numpy(portraits(540 + count, "validation")).permute(0, 3, 1, 2) / 127.5 - 1
real = features(photos)
scale = real.std(0).clamp(min=1e-6)
real, others = (real / scale).split([540, count])
print("floor", round(frechet_distance(real, others), 1))

# %%
labels = [SHAPES[n % 18] for n in range(count)]
noise_32 = torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(0)).to(pipe.device)
model = pipe.denoiser(labels, [""] * count, 1.0)                # guidance off
calls = [4, 8, 16]
fd, sheets = {}, []


def fresh(_):
    return torch.randn(noise_32.shape).to(pipe.device)


for name, label in families.items():
    for n in calls:
        torch.manual_seed(1)
        steps = n // 2 + 1 if name == "heun" else n             # 2 calls a step, but 1 into clean data and out of noise
        *_, last = run(name, model, noise_32, schedule, steps, noise=fresh)
        fd.setdefault(label, []).append(frechet_distance(real, features(last.x.cpu()) / scale))
        sheets.append(last.x.cpu()[3])

# %% slide="slide"
_, axis = plt.subplots(figsize=(7, 2.6), layout="constrained")
for (label, row), marker in zip(fd.items(), "so^vD", strict=True):
    axis.plot(calls, row, marker=marker, label=label)
    print(f"{label:15s}", "  ".join(f"{value:5.1f}" for value in row))
axis.axhline(frechet_distance(real, others), color="0.5", linestyle="--")
axis.set(xscale="log", xlabel="calls of the network", ylabel="FD-mini", xticks=calls, xticklabels=calls)
axis.minorticks_off()
axis.legend(fontsize=7)
plt.show()

# %%
show(sheets, titles=[f"{label}, {n}" for label in families.values() for n in calls], columns=6)

# %% [markdown] lang="en"
# The curves fall, and order pays where it is free: DPM++ 2M stays below DDIM, call for call, while Heun, which pays for its
# order in calls, is behind both at 4 and at 8. At 16 all are near the floor: from there a better network would help, not a better
# sampler. And look at the pictures: without fresh noise more steps refine one picture; with it every number of steps draws
# another one.
#
# Read the numbers with care. On a CPU these are 54 pictures, fewer than the 120 features, so every value is too large by
# about the floor, and with other noise close neighbours change places; whether fresh noise helps can't be told from them.
# Lesson 14 is about that.
# %% [markdown] lang="vi" of="44460492"
# Các đường đi xuống, và bậc cao có ích khi không phải trả thêm: với cùng số lần gọi, DPM++ 2M luôn thấp hơn DDIM, còn Heun phải
# trả cho bậc hai bằng số lần gọi nên đứng sau cả hai ở 4 và 8. Ở 16, tất cả đều gần mức sàn: từ đó trở đi cần mạng tốt hơn, không
# phải bộ lấy mẫu tốt hơn. Và hãy nhìn ảnh: không thêm nhiễu thì nhiều bước hơn chỉ làm nét cùng một bức; có thêm nhiễu thì mỗi
# số bước vẽ ra một bức khác.
#
# Hãy đọc các con số cẩn thận. Trên CPU chỉ có 54 bức ảnh, ít hơn 120 đặc trưng, nên giá trị nào cũng bị lớn hơn thật cỡ mức
# sàn, và với nhiễu khác thì những giá trị sát nhau có thể đổi chỗ; không thể dựa vào chúng để nói nhiễu mới có lợi hay không.
# Bài 14 bàn kỹ chuyện này.

# %% [markdown] lang="en" slide="slide"
# ## 11. All of them are one table
#
# A sampler is a spacing of the timesteps, an $\eta$ and an order. Only Heun needs a loop of its own.
# %% [markdown] lang="vi" of="55dee414"
# ## 11. Tất cả chỉ là một bảng
#
# Một bộ lấy mẫu là một cách chia các bước thời gian (timesteps), một $\eta$ và một bậc. Chỉ Heun cần vòng lặp riêng.

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
# | DPM++ 2M | $x_0+\frac{h}{2h_\text{prev}}(x_0-x_{0,\text{prev}})$ | (B, C, H, W) |
# | Heun | slope $(\epsilon_t+\epsilon_s)/2$ | (B, C, H, W) |
# | timesteps | from 1 down to 0 | (n + 1,) |
# %% [markdown] lang="vi" of="928628cf"
# ## Tóm tắt
#
# | gì | công thức | kích thước |
# |---|---|---|
# | bước | $x_s=\alpha_s x_0+\sigma_s(\sqrt{1-c^2}\,\epsilon+c\,z)$ | (B, C, H, W) |
# | phần nhiễu mới | $c=\eta\sqrt{1-r^2},\ r=\sigma_s\alpha_t/(\alpha_s\sigma_t)$ | số |
# | ODE | $du/d\rho=\epsilon,\ u=x/\alpha,\ \rho=\sigma/\alpha$ | (B, C, H, W) |
# | DPM++ 2M | $x_0+\frac{h}{2h_\text{prev}}(x_0-x_{0,\text{prev}})$ | (B, C, H, W) |
# | Heun | độ dốc $(\epsilon_t+\epsilon_s)/2$ | (B, C, H, W) |
# | các bước thời gian | từ 1 xuống 0 | (n + 1,) |

# %% [markdown] lang="en" slide="sub"
# **Which one to use?** DPM++ 2M with 15 to 25 steps. DDIM where you want to follow the same trail back and forth.
# $\eta=1$ where there is time for many steps: fresh noise can wash out earlier errors. Heun where the last bit of accuracy
# counts.
#
# **You can now** build any of them from one formula, and say from a picture which part of the loop is broken.
#
# **What still bothers:** we said "star", and the network obeyed, but how? And what was that `2.0`? Lesson 05: conditions and
# classifier-free guidance.
# %% [markdown] lang="vi" of="81f8f88d"
# **Nên dùng cái nào?** DPM++ 2M với 15 đến 25 bước. DDIM khi cần đi tới đi lui trên cùng một vệt. $\eta=1$ khi có thời gian cho
# nhiều bước: nhiễu mới có thể xóa bớt sai sót trước đó. Heun khi cần chính xác đến cùng.
#
# **Giờ bạn có thể** dựng mọi phương pháp trên từ một công thức, và nhìn ảnh mà nói phần nào của vòng lặp bị hỏng.
#
# **Điều còn băn khoăn:** ta nói "star" và mạng nghe theo, nhưng bằng cách nào? Và số `2.0` kia là gì? Bài 05: điều kiện và
# dẫn hướng không cần bộ phân loại (classifier-free guidance).

# %% [markdown] lang="en"
# **Sources.** Ho, Jain & Abbeel 2020, *Denoising Diffusion Probabilistic Models*, eq. 6-7. Song, Meng & Ermon 2021, *Denoising
# Diffusion Implicit Models*, eq. 12, 14, 16 and section 4.2. Nichol & Dhariwal 2021, *Improved DDPM*. Lu et al. 2022,
# *DPM-Solver++*, algorithm 2. Karras et al. 2022, *Elucidating the Design Space*, eq. 5 and algorithm 1. Lipman et al. 2023,
# *Flow Matching*. Lin et al. 2024, *Common Diffusion Noise Schedules and Sample Steps are Flawed*, table 2. Heusel et al. 2017
# (Fréchet distance), eq. 6.
#
# **Exercises:** `exercises/en/04_samplers.ipynb`.
# %% [markdown] lang="vi" of="a23f34d3"
# **Nguồn.** Ho, Jain & Abbeel 2020, *Denoising Diffusion Probabilistic Models*, pt. 6-7. Song, Meng & Ermon 2021, *Denoising
# Diffusion Implicit Models*, pt. 12, 14, 16 và mục 4.2. Nichol & Dhariwal 2021, *Improved DDPM*. Lu và cộng sự 2022,
# *DPM-Solver++*, thuật toán 2. Karras và cộng sự 2022, *Elucidating the Design Space*, pt. 5 và thuật toán 1. Lipman và cộng sự
# 2023, *Flow Matching*. Lin và cộng sự 2024, *Common Diffusion Noise Schedules and Sample Steps are Flawed*, bảng 2. Heusel và
# cộng sự 2017 (khoảng cách Fréchet), pt. 6.
#
# **Bài tập:** `exercises/vi/04_samplers.ipynb`.

# %% [markdown] lang="en" only="exercise"
# # Exercises of lesson 04
#
# Five functions; each one then draws inside the trained model and must give the same picture as the library. A `schedule` has
# `schedule.alpha(t)` and `schedule.sigma(t)` ($\alpha^2=\bar\alpha$), a `denoiser` takes `(x, t)` and returns `(x0, eps)`, and
# times are tensors of shape ().
# %% [markdown] lang="vi" of="0997dc7d"
# # Bài tập của bài 04
#
# Năm hàm; sau đó mỗi hàm vẽ bên trong mô hình đã huấn luyện và phải cho đúng bức ảnh như thư viện. `schedule` có
# `schedule.alpha(t)` và `schedule.sigma(t)` ($\alpha^2=\bar\alpha$), `denoiser` nhận `(x, t)` và trả về `(x0, eps)`, các thời
# điểm là tensor kích thước ().

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
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(seed)).to(pipe.device)
