"""Lesson 02: the forward process, its loss, a training loop and ancestral sampling, from one number to pictures."""

# %% [markdown] lang="en" slide="slide"
# # 02 DDPM: noise in, noise out
#
# Two pictures appear out of pure noise below. The network behind them was only ever asked one thing: *here is a noisy
# picture; which noise is in it?* In lesson 01 the same question, asked once, gave a blur. Asked fifty times, with a little
# fresh noise put back each time, it gives a star and a house. Why should putting noise **in** help to take noise **out**?
# %% [markdown] lang="vi" of="14cca434"
# # 02 DDPM: nhiễu vào, nhiễu ra
#
# Dưới đây, hai bức tranh hiện ra từ nhiễu thuần. Mạng đứng sau chúng chỉ từng được hỏi đúng một câu: *đây là một bức ảnh có
# nhiễu; nhiễu trong đó là gì?* Ở bài 01, cũng câu hỏi ấy, hỏi một lần, chỉ cho ra một vệt nhòe. Hỏi năm mươi lần, mỗi lần trả
# lại một ít nhiễu mới, thì được ngôi sao và ngôi nhà. Vì sao đưa nhiễu **vào** lại giúp lấy nhiễu **ra**?

# %% slide="fragment"
import math

import matplotlib.pyplot as plt
import torch

from minidiff import load_pipeline
from minidiff.diffusion import samplers

pipe = load_pipeline("world-pixels", device="cpu", dtype="float32")
denoiser = pipe.denoiser(["star", "house"], ["", ""], 2.0)
dice = torch.Generator().manual_seed(0)
opening = [torch.randn(2, 3, 32, 32, generator=dice) for _ in range(51)]    # the start, and the noise of 50 steps
schedule = pipe.scheduler.schedule
states = list(samplers.run("ddpm", denoiser, opening[0], schedule, 50, noise=lambda k: opening[k + 1]))
some = [states[k] for k in (0, 8, 16, 24, 32, 40, 45, 49)]
show(torch.cat([s.x for s in some]).unflatten(0, (8, 2)).transpose(0, 1).flatten(0, 1), columns=8)

# %% [markdown] lang="en" role="notes"
# Ask who would have bet on noise going in. Leave the question open; section 8 answers it with a broken sampler.
# %% [markdown] lang="vi" of="0479aa6e"
# Hỏi xem có ai từng nghĩ phải đưa nhiễu vào. Để ngỏ câu hỏi; mục 8 trả lời bằng một bộ lấy mẫu bị hỏng.

# %% [markdown] lang="en"
# [[map]]
#
# **Aims.** You can noise a picture to any step in one jump, derive the loss and write its training loop, write ancestral
# sampling, and recognise by its look what goes wrong when a variance is taken for a standard deviation.
#
# **Time:** [[time]]. **You need:** lesson 01, and the normal distribution. Two small networks are
# trained here: on a CPU for some twenty seconds each, on a GPU the second one ten times longer.
# %% [markdown] lang="vi" of="5eec83b6"
# [[map]]
#
# **Mục tiêu.** Bạn thêm nhiễu vào ảnh đến bước bất kỳ trong một lần nhảy, suy ra được hàm mất mát (loss) và viết vòng lặp
# huấn luyện (training), viết được phép lấy mẫu tổ tiên (ancestral sampling), và nhìn hình là nhận ra lỗi dùng phương sai
# (variance) thay cho độ lệch chuẩn (standard deviation).
#
# **Thời gian:** [[time]]. **Cần biết:** bài 01 và phân phối chuẩn. Ở đây ta huấn luyện hai mạng nhỏ: trên
# CPU mỗi mạng khoảng hai mươi giây, trên GPU thì mạng thứ hai được học lâu gấp mười lần.

# %% [markdown] lang="en" role="think"
# **Three quick questions** from the lessons so far.
#
# 1. A network sees a picture that is almost pure noise and gives one guess at the clean picture. Why is the guess a blur?
# 2. How does the U-Net know how noisy its input is?
# 3. $a$ and $b$ are independent, with variances 4 and 9. What are the variance and the standard deviation of $a + b$?
# ---
# 1. Many clean pictures fit; the mean squared error is smallest for their average, and an average of pictures is a blur.
# 2. It is told a number, the timestep, which becomes sinusoids, a vector, and a shift in every residual block.
# 3. Variances add: 13. Standard deviations don't: $\sqrt{13} \approx 3.6$, not 5. This whole lesson stands on that line.
# %% [markdown] lang="vi" of="136aec54"
# **Ba câu hỏi nhanh** từ các bài trước.
#
# 1. Mạng nhìn một bức ảnh gần như toàn nhiễu rồi đoán một lần ra ảnh sạch. Vì sao lời đoán bị nhòe?
# 2. U-Net biết đầu vào nhiễu đến mức nào bằng cách nào?
# 3. $a$ và $b$ độc lập, phương sai 4 và 9. Phương sai và độ lệch chuẩn của $a + b$ là bao nhiêu?
# ---
# 1. Có nhiều ảnh sạch cùng khớp; sai số bình phương trung bình nhỏ nhất ở trung bình của chúng, mà trung bình của nhiều ảnh
#    là một vệt nhòe.
# 2. Mạng được báo một con số, bước thời gian (timestep), rồi số ấy thành các sóng sin, thành vector, thành độ dịch trong mọi
#    khối residual.
# 3. Phương sai thì cộng: 13. Độ lệch chuẩn thì không: $\sqrt{13} \approx 3.6$, chứ không phải 5. Cả bài này đứng trên dòng đó.

# %% [markdown] lang="en" slide="slide"
# ## 1. By hand: one number sinks into noise
#
# One step of the **forward process** keeps a share $1 - \beta$ of the variance and fills up with noise:
#
# $$x_t = \sqrt{1 - \beta_t}\; x_{t-1} + \sqrt{\beta_t}\; \epsilon_t, \qquad \epsilon_t \sim \mathcal N(0, 1)$$
#
# Take $x_0 = 5$, $\beta = 0.36$ (so the roots are 0.8 and 0.6), and the dice $\epsilon_1 = 1$, $\epsilon_2 = -1$:
# $x_1 = 4 + 0.6 = 4.6$ and $x_2 = 3.68 - 0.6 = 3.08$.
# %% [markdown] lang="vi" of="bdc19ac5"
# ## 1. Tính tay: một con số chìm vào nhiễu
#
# Một bước của **quá trình thuận (forward process)** giữ lại tỉ lệ $1 - \beta$ của phương sai và bù phần thiếu bằng nhiễu:
#
# $$x_t = \sqrt{1 - \beta_t}\; x_{t-1} + \sqrt{\beta_t}\; \epsilon_t, \qquad \epsilon_t \sim \mathcal N(0, 1)$$
#
# Lấy $x_0 = 5$, $\beta = 0.36$ (hai căn là 0.8 và 0.6), và xúc xắc ra $\epsilon_1 = 1$, $\epsilon_2 = -1$:
# $x_1 = 4 + 0.6 = 4.6$ và $x_2 = 3.68 - 0.6 = 3.08$.

# %%
x0, beta = 5.0, 0.36
x = x0
for eps in (1.0, -1.0):
    x = math.sqrt(1 - beta) * x + math.sqrt(beta) * eps
    print(f"{x:.2f}")

# %% [markdown] lang="en" role="think"
# **Predict.** Don't fix the dice. Over many throws, what are mean and variance of $x_2$? Put the first step into the second,
# collect what multiplies $x_0$, then add up the variances of the two noises.
# ---
# $x_2 = 0.8 \cdot 0.8\, x_0 + 0.8 \cdot 0.6\, \epsilon_1 + 0.6\, \epsilon_2$. Mean: $0.64 \cdot 5 = 3.2$. Variance:
# $0.48^2 + 0.6^2 = 0.2304 + 0.36 = 0.5904$, which is $1 - 0.64^2 = 1 - 0.4096$. That is no accident: if $x_0$ had variance 1,
# so would every $x_t$.
# %% [markdown] lang="vi" of="27806293"
# **Đoán xem.** Giờ không cố định xúc xắc nữa. Qua nhiều lần gieo, trung bình và phương sai của $x_2$ là bao nhiêu? Thế bước một
# vào bước hai, gom hệ số của $x_0$, rồi cộng phương sai của hai nhiễu.
# ---
# $x_2 = 0.8 \cdot 0.8\, x_0 + 0.8 \cdot 0.6\, \epsilon_1 + 0.6\, \epsilon_2$. Trung bình: $0.64 \cdot 5 = 3.2$. Phương sai:
# $0.48^2 + 0.6^2 = 0.2304 + 0.36 = 0.5904$, đúng bằng $1 - 0.64^2 = 1 - 0.4096$. Không phải ngẫu nhiên: nếu $x_0$ có phương
# sai 1 thì mọi $x_t$ cũng vậy.

# %% [markdown] lang="en" slide="slide"
# ## Two steps are one jump
#
# With $\alpha_t = 1 - \beta_t$ and the product $\bar\alpha_t = \alpha_1 \alpha_2 \cdots \alpha_t$:
#
# $$x_t = \sqrt{\bar\alpha_t}\; x_0 + \sqrt{1 - \bar\alpha_t}\; \epsilon$$
#
# Walked or jumped, the histogram is the same. So training never walks.
# %% [markdown] lang="vi" of="36ecc5df"
# ## Hai bước bằng một lần nhảy
#
# Với $\alpha_t = 1 - \beta_t$ và tích $\bar\alpha_t = \alpha_1 \alpha_2 \cdots \alpha_t$:
#
# $$x_t = \sqrt{\bar\alpha_t}\; x_0 + \sqrt{1 - \bar\alpha_t}\; \epsilon$$
#
# Đi từng bước hay nhảy thẳng, biểu đồ tần suất vẫn như nhau. Vì thế huấn luyện không bao giờ phải đi từng bước.

# %% slide="fragment"
torch.manual_seed(0)
n, alpha_bar_2 = 20_000, (1 - beta) ** 2
walked = torch.full((n,), x0)
for _ in range(2):
    walked = math.sqrt(1 - beta) * walked + math.sqrt(beta) * torch.randn(n)
jumped = math.sqrt(alpha_bar_2) * x0 + math.sqrt(1 - alpha_bar_2) * torch.randn(n)
print([f"{x.mean():.2f} {x.var():.2f}" for x in (walked, jumped)])

plt.figure(figsize=(6, 2.2))
plt.hist([walked.numpy(), jumped.numpy()], bins=60, label=["2 steps", "1 jump"])
plt.legend()
plt.show()

# %% [markdown] lang="en"
# Mean 3.2 and variance 0.59 both times, as on paper. This one line is the heart of the lesson; below we only make it longer
# (1000 steps), wider (pictures), and then run it backwards.
# %% [markdown] lang="vi" of="5bd6ff9a"
# Cả hai lần đều có trung bình 3.2 và phương sai 0.59, đúng như tính trên giấy. Một dòng này là trái tim của cả bài; phần sau chỉ
# làm nó dài hơn (1000 bước), rộng hơn (ảnh), rồi chạy nó ngược lại.

# %% [markdown] lang="en" slide="slide"
# ## 2. A noise schedule: 1000 betas
#
# DDPM takes $T = 1000$ steps, with $\beta_t$ rising evenly from 0.0001 to 0.02: a **noise schedule**. All that matters
# afterwards is their product table: `alpha_bar`, of shape `(1001,)`, from $\bar\alpha_0 = 1$ (clean) to
# $\bar\alpha_{1000} \approx 0.00004$ (noise).
# %% [markdown] lang="vi" of="eaa29c7e"
# ## 2. Lịch nhiễu: 1000 giá trị beta
#
# DDPM đi $T = 1000$ bước, với $\beta_t$ tăng đều từ 0.0001 đến 0.02: đó là một **lịch nhiễu (noise schedule)**. Về sau chỉ còn
# cần bảng tích của chúng: `alpha_bar`, kích thước `(1001,)`, từ $\bar\alpha_0 = 1$ (sạch) đến
# $\bar\alpha_{1000} \approx 0.00004$ (nhiễu).

# %% slide="fragment"
from minidiff.diffusion.schedules import get_schedule, linear_betas, squared_cosine_betas


def table(betas):
    return torch.cat([torch.ones(1), (1 - betas).cumprod(0)])               # (T + 1,)


linear, cosine = table(linear_betas()), table(squared_cosine_betas())       # (1001,) each
figure, axes = plt.subplots(1, 2, figsize=(7, 2.4), layout="constrained")
for name, curve in (("linear", linear), ("cosine", cosine)):
    axes[0].plot(curve, label=name)
    axes[1].plot((curve[1:-1] / (1 - curve[1:-1])).log10())
axes[0].set_title(r"$\bar\alpha_t$")
axes[1].set_title(r"$\log_{10}\; \bar\alpha_t\, /\, (1 - \bar\alpha_t)$")
axes[0].legend()
plt.show()

# %% [markdown] lang="en"
# With `linear` half of the data's variance is gone at step 260, and the last third of the steps looks like pure noise; with
# `cosine` (Nichol & Dhariwal 2021) it is at step 500. The right-hand plot is the same as a ratio of data to noise. Which
# schedule is better, and for whom, lesson 03 measures.
#
# In the library such a table is a `NoiseSchedule`, with time from 0 to 1 instead of steps. Mind the names: there are three alphas.
#
# | in papers | meaning | in the library |
# |---|---|---|
# | $\alpha_t = 1 - \beta_t$ | variance kept by **one step** | (not needed) |
# | $\bar\alpha_t$ | variance kept by **all steps** up to $t$ | `schedule.alpha(t) ** 2` |
# | $\sqrt{\bar\alpha_t},\ \sqrt{1 - \bar\alpha_t}$ | what $x_0$ and $\epsilon$ are **multiplied** by | `schedule.alpha(t)`, `schedule.sigma(t)` |
# %% [markdown] lang="vi" of="ad222b86"
# Với `linear`, đến bước 260 đã mất nửa phương sai của dữ liệu, và một phần ba số bước cuối trông như nhiễu thuần; với `cosine`
# (Nichol & Dhariwal 2021) thì phải đến bước 500. Hình bên phải là cùng điều đó, viết thành tỉ số dữ liệu trên nhiễu. Lịch nào tốt
# hơn, và tốt cho ai, bài 03 sẽ đo.
#
# Trong thư viện, một bảng như thế là một `NoiseSchedule`, với thời gian từ 0 đến 1 thay cho số bước. Hãy để ý tên gọi: có tới ba
# alpha.
#
# | trong bài báo | ý nghĩa | trong thư viện |
# |---|---|---|
# | $\alpha_t = 1 - \beta_t$ | phương sai còn lại sau **một bước** | (không cần) |
# | $\bar\alpha_t$ | phương sai còn lại sau **mọi bước** đến $t$ | `schedule.alpha(t) ** 2` |
# | $\sqrt{\bar\alpha_t},\ \sqrt{1 - \bar\alpha_t}$ | số **nhân** với $x_0$ và $\epsilon$ | `schedule.alpha(t)`, `schedule.sigma(t)` |

# %%
schedule = get_schedule("linear")
steps = torch.arange(1001, dtype=torch.float64)
torch.testing.assert_close(schedule.alpha(steps / 1000) ** 2, linear)
source(linear_betas)

# %% [markdown] lang="en" slide="slide"
# ## 3. A picture sinks
#
# A picture is 3 · 32 · 32 numbers, each of which sinks by itself. Only the shapes are new: `t` is `(B,)`, a step for each
# picture, and the weights have to become `(B, 1, 1, 1)`, or they would multiply the wrong axis.
# %% [markdown] lang="vi" of="881f7ea3"
# ## 3. Một bức ảnh chìm dần
#
# Một bức ảnh là 3 · 32 · 32 con số, số nào chìm theo số nấy. Chỉ có kích thước là mới: `t` có dạng `(B,)`, mỗi ảnh một bước, và
# các hệ số phải thành `(B, 1, 1, 1)`, nếu không chúng sẽ nhân nhầm trục.

# %%
from minidiff.data.world.scenes import SHAPES
from minidiff.diffusion.schedules import NoiseSchedule, per_example
from minidiff.train.pixels import portraits
from minidiff.utils.images import to_tensor


def q_sample(x0, eps, t, alpha_bar):
    a = per_example(alpha_bar[t], x0)                       # (B,) to (B, 1, 1, 1)
    return a.sqrt() * x0 + (1 - a).sqrt() * eps             # (B, 3, H, W)


pictures = to_tensor(portraits(len(SHAPES)))                 # (18, 3, 32, 32), one of each kind
eps = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(1))
t = torch.linspace(0, 1000, 18).long()                      # (18,)
show(q_sample(pictures, eps, t, cosine)[::2], titles=t[::2].tolist(), columns=9)

# %% [markdown] lang="en" role="think"
# **Predict.** Follow a star and a house. Under `linear` and under `cosine`, at which step can you no longer say what
# they are? Write two numbers down, then turn the knob: `linear` is above, `cosine` below.
# ---
# Most people lose them near 450 under `linear` and near 800 under `cosine`. All steps beyond look alike to us, and to a
# network too: there it learns little.
# %% [markdown] lang="vi" of="9ffd12d4"
# **Đoán xem.** Hãy theo dõi ngôi sao và ngôi nhà. Với `linear` và với `cosine`, từ bước nào bạn không còn nhận ra chúng là
# gì? Hãy viết ra hai con số, rồi vặn núm: `linear` ở trên, `cosine` ở dưới.
# ---
# Phần lớn mọi người mất dấu ở khoảng 450 với `linear` và khoảng 800 với `cosine`. Mọi bước sau đó đều trông như nhau, với ta
# cũng như với mạng: ở đó mạng chẳng học được bao nhiêu.

# %% slide="fragment"
from minidiff.utils.plots import as_arrays

two, their_noise = pictures[[3, 6]], eps[[3, 6]]                                # (2, 3, 32, 32): star, house


def sunk(t, ax):
    rows = [q_sample(two, their_noise, torch.full((2,), t), curve) for curve in (linear, cosine)]
    ax.imshow(as_arrays(torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1))[0], interpolation="nearest")
    ax.set_axis_off()


slider(sunk, "t", [0, 100, 250, 450, 700, 1000])

# %% [markdown] lang="en"
# In the library this line is called `mix`, and it is the same for every noise schedule:
# %% [markdown] lang="vi" of="a99274a6"
# Trong thư viện, dòng này tên là `mix`, và giống nhau với mọi lịch nhiễu (noise schedule):

# %%
torch.testing.assert_close(q_sample(pictures, eps, t, linear), schedule.mix(pictures, eps, t.double() / 1000))
source(NoiseSchedule.mix)

# %% [markdown] lang="en" slide="slide"
# ## 4. One step back, if $x_0$ were known
#
# Forward is easy. Now backward: I tell you $x_0 = 5$ and $x_2 = 3.08$. Where was $x_1$?
#
# Throw the dice 400,000 times and keep only the runs that ended near 3.08. Their $x_1$ is a bell again: two witnesses,
# $x_0$ from the one side and $x_2$ from the other, each with its own say.
# %% [markdown] lang="vi" of="bf0e6ddf"
# ## 4. Một bước ngược, nếu biết $x_0$
#
# Chiều thuận thì dễ. Giờ đi ngược: biết $x_0 = 5$ và $x_2 = 3.08$. Vậy $x_1$ đã ở đâu?
#
# Gieo xúc xắc 400,000 lần và chỉ giữ những lần kết thúc gần 3.08. Các $x_1$ ấy lại làm thành hình chuông: hai nhân chứng, $x_0$
# ở một phía và $x_2$ ở phía kia, mỗi bên góp một tiếng nói.

# %%
torch.manual_seed(1)
x1 = 0.8 * 5 + 0.6 * torch.randn(400_000)
x2 = 0.8 * x1 + 0.6 * torch.randn(400_000)
kept = x1[(x2 - 3.08).abs() < 0.05]
mean = 0.8 * 0.36 / 0.5904 * 5 + 0.8 * 0.36 / 0.5904 * 3.08
variance = 0.36 * 0.36 / 0.5904
print(f"{len(kept)}: {kept.mean():.3f} {kept.var():.3f}   {mean:.3f} {variance:.3f}")

plt.figure(figsize=(6, 2.2))
plt.hist(x1.numpy(), bins=80, density=True, alpha=0.4, label="$x_1$")
plt.hist(kept.numpy(), bins=40, density=True, alpha=0.7, label="$x_1$ if $x_2 = 3.08$")
line = torch.linspace(2, 6, 200)
plt.plot(line, torch.exp(-((line - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance), "k")
plt.legend()
plt.show()

# %% [markdown] lang="en" slide="slide"
# ## The formula on the black curve
#
# From step $t$ to an earlier step $s$, with $\alpha = \bar\alpha_t / \bar\alpha_s$ and $\beta = 1 - \alpha$
# (Ho et al. 2020, eq. 7):
#
# $$\tilde\mu = \frac{\sqrt{\bar\alpha_s}\,\beta}{1 - \bar\alpha_t}\, x_0 + \frac{\sqrt{\alpha}\,(1 - \bar\alpha_s)}{1 - \bar\alpha_t}\, x_t,
# \qquad \tilde\beta = \frac{1 - \bar\alpha_s}{1 - \bar\alpha_t}\,\beta$$
#
# $$x_s = \tilde\mu + \sqrt{\tilde\beta}\;\epsilon'$$
# %% [markdown] lang="vi" of="efce668e"
# ## Công thức của đường cong đen
#
# Từ bước $t$ về một bước $s$ sớm hơn, với $\alpha = \bar\alpha_t / \bar\alpha_s$ và $\beta = 1 - \alpha$
# (Ho et al. 2020, công thức 7):
#
# $$\tilde\mu = \frac{\sqrt{\bar\alpha_s}\,\beta}{1 - \bar\alpha_t}\, x_0 + \frac{\sqrt{\alpha}\,(1 - \bar\alpha_s)}{1 - \bar\alpha_t}\, x_t,
# \qquad \tilde\beta = \frac{1 - \bar\alpha_s}{1 - \bar\alpha_t}\,\beta$$
#
# $$x_s = \tilde\mu + \sqrt{\tilde\beta}\;\epsilon'$$

# %%
def ancestral_step(x, x0, alpha_bar_t, alpha_bar_s, noise):
    alpha = alpha_bar_t / alpha_bar_s
    beta = 1 - alpha
    mean_x0 = alpha_bar_s.sqrt() * beta / (1 - alpha_bar_t) * x0
    mean_x = alpha.sqrt() * (1 - alpha_bar_s) / (1 - alpha_bar_t) * x
    variance = beta * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    return mean_x0 + mean_x + variance.sqrt() * noise       # (B, ...), like x


by_hand = torch.tensor([1.0, 0.64, 0.4096])                 # alpha_bar of our two steps
print(ancestral_step(torch.tensor(3.08), torch.tensor(5.0), by_hand[2], by_hand[1], torch.tensor(0.0)))

# %% [markdown] lang="en"
# Two things to see. Nothing says that $s = t - 1$: a step may skip as many as it likes. And at the last step $s = 0$, where
# $\bar\alpha_0 = 1$: then $\tilde\beta = 0$ and $x_s = x_0$, no noise left.
#
# The library writes the same step in other words: `x0` and `eps` are what $x_t$ is made of, and of the noise that is due at
# $s$ a share $c$ is new and the rest is the old `eps`. `eta = 1` is our step; what other values do is lesson 04.
# %% [markdown] lang="vi" of="47df7c87"
# Hai điều cần thấy. Không có gì bắt $s = t - 1$: một bước có thể nhảy qua bao nhiêu bước cũng được. Và ở bước cuối $s = 0$, nơi
# $\bar\alpha_0 = 1$: khi đó $\tilde\beta = 0$ và $x_s = x_0$, không còn nhiễu.
#
# Thư viện viết cùng bước ấy theo cách khác: `x0` và `eps` là hai thành phần của $x_t$, và trong lượng nhiễu phải có tại $s$ thì
# một phần $c$ là mới, phần còn lại là `eps` cũ. `eta = 1` là bước của ta; các giá trị khác để dành cho bài 04.

# %%
x0, x, noise = torch.randn(3, 5, 2, dtype=torch.float64).unbind()                       # (5, 2) each
t, s = torch.tensor([0.50, 0.48], dtype=torch.float64)                                  # steps 500 and 480
eps = (x - schedule.alpha(t) * x0) / schedule.sigma(t)
theirs = samplers.step(schedule, x0, eps, t, s, eta=1.0, noise=noise)
torch.testing.assert_close(ancestral_step(x, x0, linear[500], linear[480], noise), theirs)
source(samplers.step)

# %% [markdown] lang="en" slide="slide"
# ## 5. What is to be learnt: the noise
#
# We don't know $x_0$. So a network guesses, and we put the guess where $x_0$ stood. Asked for the noise, it gives
#
# $$\hat x_0 = \frac{x_t - \sqrt{1 - \bar\alpha_t}\;\epsilon_\theta(x_t, t)}{\sqrt{\bar\alpha_t}}$$
#
# How bad is a wrong guess? The true step and ours are bells of one width, and their KL divergence is the squared distance of
# the means, over twice the variance. The means differ by a multiple of $\epsilon - \epsilon_\theta$:
#
# $$\mathrm{KL} = \frac{\beta_t^2}{2\,\tilde\beta_t\,\alpha_t\,(1 - \bar\alpha_t)}\;(\epsilon - \epsilon_\theta)^2$$
# %% [markdown] lang="vi" of="69555c51"
# ## 5. Thứ cần học: nhiễu
#
# Ta không biết $x_0$. Vậy mạng sẽ đoán, và ta đặt lời đoán vào chỗ của $x_0$. Được hỏi về nhiễu, mạng cho ra
#
# $$\hat x_0 = \frac{x_t - \sqrt{1 - \bar\alpha_t}\;\epsilon_\theta(x_t, t)}{\sqrt{\bar\alpha_t}}$$
#
# Đoán sai thì tệ đến đâu? Bước thật và bước của ta là hai hình chuông cùng bề rộng, và độ lệch KL của chúng là bình phương
# khoảng cách hai trung bình, chia cho hai lần phương sai. Hai trung bình chênh nhau một bội của $\epsilon - \epsilon_\theta$:
#
# $$\mathrm{KL} = \frac{\beta_t^2}{2\,\tilde\beta_t\,\alpha_t\,(1 - \bar\alpha_t)}\;(\epsilon - \epsilon_\theta)^2$$

# %%
from torch.distributions import Normal, kl_divergence

x0, eps, guess = torch.tensor([5.0, 1.0, 0.7], dtype=torch.float64)
for t in (2, 10, 100, 1000):
    a, b = linear[t], linear[t - 1]
    x = a.sqrt() * x0 + (1 - a).sqrt() * eps
    bells = []
    for answer in (eps, guess):
        mean = ancestral_step(x, (x - (1 - a).sqrt() * answer) / a.sqrt(), a, b, torch.zeros(()))
        bells.append(Normal(mean, ((1 - b) / (1 - a) * (1 - a / b)).sqrt()))
    weight = (1 - a / b) ** 2 / (2 * bells[0].variance * (a / b) * (1 - a))
    print(f"t = {t:4d}   KL {kl_divergence(*bells):.6f}   weight * (eps - guess)^2 {weight * (eps - guess) ** 2:.6f}")

# %% [markdown] lang="en" slide="sub"
# Equal to the last digit, and the weight alone makes step 2 count sixty times more than step 1000, though nobody sees that
# little noise. Ho et al. drop the weight:
#
# $$L_\text{simple} = \mathbb E_{x_0, \epsilon, t}\; \big\lVert \epsilon - \epsilon_\theta(\sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \epsilon,\; t) \big\rVert^2$$
#
# Guess the noise, square the difference, take the mean. That is the whole **loss**.
# %% [markdown] lang="vi" of="020b11f4"
# Bằng nhau đến chữ số cuối, và riêng hệ số đã làm bước 2 nặng gấp sáu mươi lần bước 1000, dù chẳng ai nhìn thấy chút nhiễu ít ỏi
# ấy. Ho et al. bỏ luôn hệ số:
#
# $$L_\text{simple} = \mathbb E_{x_0, \epsilon, t}\; \big\lVert \epsilon - \epsilon_\theta(\sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \epsilon,\; t) \big\rVert^2$$
#
# Đoán nhiễu, bình phương hiệu, lấy trung bình. Toàn bộ **hàm mất mát (loss)** chỉ có thế.

# %%
from minidiff.diffusion.losses import diffusion_loss


def ddpm_loss(network, x0, t, eps, alpha_bar):
    x_t = q_sample(x0, eps, t, alpha_bar)                   # (B, ...)
    return (network(x_t, t) - eps).square().mean()          # one number


def lazy(x, t):
    return torch.zeros_like(x)                              # a network that always says: no noise


t = torch.randint(1, 1001, (18,), generator=torch.Generator().manual_seed(0))
eps = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))
mine = ddpm_loss(lazy, pictures, t, eps, linear)
torch.testing.assert_close(mine, diffusion_loss(lazy(pictures, t), pictures, eps, t / 1000, schedule, "eps"))
print(f"{mine:.2f}")
source(diffusion_loss)

# %% [markdown] lang="en" role="think"
# **Predict.** The lazy network's loss is near 1. Why? And can a perfect network reach 0?
# ---
# It is the mean of $\epsilon^2$, the variance of the noise: 1. And no: at small $t$ the network must tell a trace of noise
# from the texture of a picture it has never seen, and nobody can. A loss that stops falling is not a failure; only
# comparisons between runs say something.
# %% [markdown] lang="vi" of="780dfcdc"
# **Đoán xem.** Hàm mất mát của mạng lười gần bằng 1. Vì sao? Và một mạng hoàn hảo có thể đạt 0 không?
# ---
# Đó là trung bình của $\epsilon^2$, tức phương sai của nhiễu: 1. Và không: khi $t$ nhỏ, mạng phải phân biệt chút nhiễu li ti với
# vân của một bức ảnh chưa từng thấy, điều không ai làm được. Hàm mất mát ngừng giảm không phải là thất bại; chỉ khi so các lần
# chạy với nhau nó mới nói lên điều gì.

# %% [markdown] lang="en" slide="slide"
# ## 6. Train it, on something that fits on a plot
#
# Data: points on a heart, `(B, 2)`. Network: a small MLP that is told $t$ by the sinusoids of lesson 01. The loop:
# some data, a random step for each, noise, loss, gradient, repeat.
# %% [markdown] lang="vi" of="ce677878"
# ## 6. Huấn luyện, trên thứ vẽ vừa một đồ thị
#
# Dữ liệu: các điểm trên hình trái tim, `(B, 2)`. Mạng: một MLP nhỏ, được báo $t$ qua các sóng sin của bài 01. Vòng lặp: lấy dữ
# liệu, mỗi mẫu một bước ngẫu nhiên, nhiễu, hàm mất mát, gradient, rồi lặp lại.

# %%
from itertools import pairwise

from torch import nn

from minidiff.nn.embeddings import timestep_embedding


def heart(n):
    u = 2 * math.pi * torch.rand(n)
    y = 13 * u.cos() - 5 * (2 * u).cos() - 2 * (3 * u).cos() - (4 * u).cos()
    return torch.stack([16 * u.sin() ** 3, y + 2.5], dim=1) / 10.5          # (n, 2), variance about 1


class PointNet(nn.Module):
    def __init__(self, width=128):
        super().__init__()
        sizes = [2 + 32, width, width, width]
        hidden = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.SiLU())]
        self.layers = nn.Sequential(*hidden, nn.Linear(width, 2))

    def forward(self, x, t):                                                # (B, 2), (B,) to (B, 2)
        return self.layers(torch.cat([x, timestep_embedding(t, 32)], dim=1))

# %% slide="fragment"
def train(network, data, alpha_bar, steps):
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    calm = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, steps)   # smaller and smaller strides
    losses = []
    for _ in range(steps):
        x0 = data()                                                         # (B, ...)
        t = torch.randint(1, len(alpha_bar), (len(x0),), device=x0.device)  # (B,) from 1 to T
        eps = torch.randn_like(x0)
        loss = ddpm_loss(network, x0, t, eps, alpha_bar)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        calm.step()
        losses.append(loss.item())
    return torch.tensor(losses)                                             # (steps,)

# %%
torch.manual_seed(0)
points = PointNet()
losses = train(points, lambda: heart(512), linear.float(), steps=2500)

plt.figure(figsize=(6, 2))
plt.plot(losses, lw=0.3)
plt.plot(torch.arange(50, 2500, 100), losses.unflatten(0, (25, 100)).mean(1))
plt.title("loss")
plt.show()

# %% [markdown] lang="en"
# From 1 it falls at once, then crawls, and the noise of single steps hides the progress: always look at a running mean.
# The curve doesn't tell whether the network is any good. To find out, we have to sample.
# %% [markdown] lang="vi" of="d1dc9494"
# Từ 1 nó tụt xuống ngay, rồi bò chậm dần, và dao động của từng bước che mất tiến bộ: hãy luôn nhìn trung bình trượt. Mạng có tốt
# hay không thì đường này không nói được. Muốn biết phải lấy mẫu.

# %% [markdown] lang="en" slide="slide"
# ## 7. Ancestral sampling: the reverse process
#
# Begin with noise. For $t = T, \dots, 1$: ask, step back, put fresh noise in. Predict first: after half of the 1000 steps,
# what will 800 points look like?
# %% [markdown] lang="vi" of="f7b58fe2"
# ## 7. Lấy mẫu tổ tiên: quá trình nghịch
#
# Bắt đầu từ nhiễu. Với $t = T, \dots, 1$: hỏi, lùi một bước, thêm nhiễu mới. Đó là **quá trình nghịch (reverse process)**. Đoán
# trước đã: sau một nửa trong 1000 bước, 800 điểm sẽ trông thế nào?

# %%
def guess_x0(network, alpha_bar):
    def denoise(x, t):                                                      # (B, ...), (B,) to (B, ...)
        a = per_example(alpha_bar[t], x)
        return (x - (1 - a).sqrt() * network(x, t)) / a.sqrt()
    return denoise


@torch.no_grad()
def sample_ddpm(denoise, x, alpha_bar, noise, step=ancestral_step):
    for t in range(len(alpha_bar) - 1, 0, -1):
        x0 = denoise(x, torch.full((len(x),), t, device=x.device))          # what the network thinks
        x = step(x, x0, alpha_bar[t], alpha_bar[t - 1], noise(t))           # t to t - 1
        yield x


def fresh(shape, seed):
    dice = torch.Generator().manual_seed(seed)
    return lambda t=None: torch.randn(shape, generator=dice)

# %% slide="fragment"
def scatter(clouds, titles):
    _, axes = plt.subplots(1, len(clouds), figsize=(7.5, 7.5 / len(clouds) + 0.2), layout="constrained")
    for ax, cloud, title in zip(axes, clouds, titles, strict=True):
        ax.scatter(*cloud.T, s=0.5)
        ax.set(title=title, xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), xticks=[], yticks=[])
    plt.show()


noise = fresh((800, 2), seed=0)
film = [noise(), *sample_ddpm(guess_x0(points, linear.float()), noise(), linear.float(), noise)]
moments = (1000, 500, 250, 120, 40, 0)
scatter([film[1000 - t] for t in moments], [f"t = {t}" for t in moments])

# %% [markdown] lang="en"
# Half of the time nothing seems to happen, as the curve of `linear` said. Then the cloud contracts on the heart. The points
# were never told to spread over all of it: that they do is the work of the fresh noise.
#
# The library's loop is the same. It takes a list of times, the *timesteps*, instead of a table; here with 20 steps, the same
# start and the same noise:
# %% [markdown] lang="vi" of="9b07ed40"
# Suốt nửa thời gian dường như chẳng có gì xảy ra, đúng như đường cong của `linear` đã báo. Rồi đám mây co lại về trái tim. Không
# ai bảo các điểm phải trải khắp trái tim: chúng làm vậy là nhờ nhiễu mới.
#
# Vòng lặp của thư viện cũng thế. Nó nhận danh sách các thời điểm, gọi là *các bước thời gian* (timesteps), thay cho bảng; dưới
# đây là 20 bước, cùng điểm xuất phát và cùng nhiễu:

# %%
from minidiff.diffusion.prediction import denoiser as as_denoiser
from minidiff.diffusion.timesteps import uniform

coarse, start = linear.float()[::50], torch.randn(800, 2)                   # (21,): steps 0, 50, ..., 1000
guess, kept = guess_x0(points, linear.float()), [torch.randn(800, 2) for _ in range(21)]
*_, mine = sample_ddpm(lambda x, t: guess(x, 50 * t), start, coarse, lambda t: kept[t])

theirs = as_denoiser(lambda x, timestep: points(x, timestep + 1), schedule, "eps")  # published tables leave out step 0
with torch.no_grad():
    *_, last = samplers.sample(theirs, start, schedule, uniform(schedule, 20), eta=1.0, noise=lambda k: kept[20 - k])
torch.testing.assert_close(mine, last.x, rtol=0, atol=1e-3)
source(samplers.sample)

# %% [markdown] lang="en"
# One trap on the way: published tables begin with the first *noisy* step, so networks made for them are told $t - 1$. Off by
# one in 1000 is invisible in a picture, which is why it lives on in so much code. The library's `schedule.timestep` takes care
# of it.
# %% [markdown] lang="vi" of="32e07e7d"
# Một cái bẫy dọc đường: các bảng đã công bố bắt đầu từ bước *có nhiễu* đầu tiên, nên mạng làm cho chúng được báo $t - 1$. Lệch
# một trong 1000 thì nhìn ảnh không thấy, vì thế lỗi này sống dai trong rất nhiều mã nguồn. `schedule.timestep` của thư viện đã lo
# việc đó.

# %% [markdown] lang="en" slide="slide"
# ## 8. Break it on purpose
#
# Three sampling steps, each wrong in one place:
#
# - noise times the **variance** $\tilde\beta$ instead of its root;
# - $\sqrt{\bar\alpha_t}$ where $\sqrt{\alpha}$ belongs, in the weight of $x_t$;
# - **no** fresh noise at all.
# %% [markdown] lang="vi" of="9cb96724"
# ## 8. Cố tình làm hỏng
#
# Ba cách lấy mẫu, mỗi cách sai đúng một chỗ:
#
# - nhiễu nhân với **phương sai** $\tilde\beta$ thay vì căn của nó;
# - $\sqrt{\bar\alpha_t}$ ở chỗ của $\sqrt{\alpha}$, trong hệ số của $x_t$;
# - **không** có nhiễu mới nào cả.

# %% [markdown] lang="en" role="think"
# **Predict** each of the three clouds before you run the cell: a point, a blob, a heart, an explosion?
# ---
# Variance for standard deviation: $\tilde\beta$ is about 0.02 here, its root 0.14, so six sevenths of the noise are missing and
# the points run together. Without noise all end in one point. $\bar\alpha$ for $\alpha$: at every step $x_t$ counts for less
# than it should, $x$ shrinks, the network is shown clouds it never saw, and a blob is left.
# %% [markdown] lang="vi" of="233c4d1d"
# **Hãy đoán** từng đám mây trước khi chạy ô bên dưới: một điểm, một cục, một trái tim, hay nổ tung?
# ---
# Phương sai thay cho độ lệch chuẩn: ở đây $\tilde\beta$ cỡ 0.02, căn của nó là 0.14, nên thiếu mất sáu phần bảy lượng nhiễu và
# các điểm dồn vào nhau. Không có nhiễu thì tất cả kết thúc ở một điểm. $\bar\alpha$ thay cho $\alpha$: ở mỗi bước $x_t$ bị tính
# nhẹ đi, $x$ co lại, mạng phải nhìn những đám mây chưa từng thấy, và chỉ còn một cục tròn.

# %% slide="fragment"
def broken(x, x0, a, b, noise, root=0.5, share=None):
    alpha, variance = a / b, (1 - a / b) * (1 - b) / (1 - a)
    share = alpha if share is None else share
    return (b.sqrt() * (1 - alpha) * x0 + share**0.5 * (1 - b) * x) / (1 - a) + variance**root * noise


ways = {
    r"$\sqrt{\tilde\beta}$": broken,
    r"$\tilde\beta$": lambda x, x0, a, b, noise: broken(x, x0, a, b, noise, root=1),
    r"$\bar\alpha$ for $\alpha$": lambda x, x0, a, b, noise: broken(x, x0, a, b, noise, share=a),
    "no noise": lambda x, x0, a, b, noise: broken(x, x0, a, b, 0 * noise),
}
half = linear.float()[::2]                                                  # 500 steps
clouds = []
for wrong in ways.values():
    noise = fresh((400, 2), seed=0)
    *_, x = sample_ddpm(lambda x, t: guess(x, 2 * t), noise(), half, noise, wrong)
    clouds.append(x)
scatter(clouds, list(ways))

# %% [markdown] lang="en" role="pitfall" slide="slide"
# **Pitfall: a variance where a standard deviation belongs.**
#
# - *Symptom:* samples clump together or come out smooth and alike; no error, no warning, and the loss curve is fine.
# - *Cause:* `variance * noise`. A standard normal number has to be multiplied by a **standard deviation**.
# - *Fix:* `variance.sqrt() * noise`; and a test: noise a number by hand, step back, compare the histogram.
#
# So this is the answer to the opening question. The network's guess is an average; stepping towards averages alone ends in
# the average. Fresh noise makes every point choose.
# %% [markdown] lang="vi" of="cc700060"
# **Bẫy: phương sai ở chỗ của độ lệch chuẩn.**
#
# - *Triệu chứng:* các mẫu dồn cục, hoặc trơn và giống nhau; không lỗi, không cảnh báo, đường cong hàm mất mát vẫn đẹp.
# - *Nguyên nhân:* `variance * noise`. Số chuẩn tắc phải nhân với **độ lệch chuẩn**.
# - *Cách sửa:* `variance.sqrt() * noise`; và một phép thử: tự thêm nhiễu vào một số, lùi lại, so biểu đồ tần suất.
#
# Vậy đây là câu trả lời cho câu hỏi mở đầu. Lời đoán của mạng là một trung bình; chỉ bước về phía trung bình thì rốt cuộc tới
# trung bình. Nhiễu mới buộc mỗi điểm phải chọn.

# %% [markdown] lang="en" role="think"
# **The second classic.** `sample_ddpm` stands under `torch.no_grad()`. Without it every number is the same. What is not?
# ---
# Memory. Each step's `x` was computed from the last one, so PyTorch keeps the inputs of every layer of every step, in case
# someone calls `backward`. Below we count those bytes, for a tiny
# network. A large U-Net fills a GPU within a few dozen steps.
# %% [markdown] lang="vi" of="c8245859"
# **Lỗi kinh điển thứ hai.** `sample_ddpm` chạy dưới `torch.no_grad()`. Bỏ nó đi, mọi con số vẫn y nguyên. Vậy cái gì khác?
# ---
# Bộ nhớ. `x` của mỗi bước tính từ bước trước, nên PyTorch giữ lại đầu vào của mọi lớp ở mọi bước, phòng khi ai đó gọi
# `backward`. Dưới đây ta đếm số byte ấy. Với một U-Net
# lớn, vài chục bước là đầy bộ nhớ GPU.

# %%
def memory(denoise, x, alpha_bar):
    weights = {p.data_ptr() for p in points.parameters()}                   # there anyway
    megabytes = [0.0]

    def keep(tensor):
        megabytes[-1] += (tensor.data_ptr() not in weights) * tensor.nbytes / 2**20
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        for t in range(len(alpha_bar) - 1, 0, -1):
            megabytes.append(megabytes[-1])
            x = ancestral_step(x, denoise(x, torch.full((len(x),), t)), alpha_bar[t], alpha_bar[t - 1], torch.randn_like(x))
    return megabytes


plt.figure(figsize=(6, 2))
plt.plot(memory(lambda x, t: guess(x, 50 * t), start, coarse), label="with gradients")
with torch.no_grad():
    plt.plot(memory(lambda x, t: guess(x, 50 * t), start, coarse), label="no_grad")
plt.title("MB kept after each step")
plt.legend()
plt.show()

# %% [markdown] lang="en" slide="slide"
# ## 9. The same loop on pictures
#
# Nothing in `train` or `sample_ddpm` knows what `x` is. Put a small U-Net in the MLP's place, and 16 × 16 pictures of hearts,
# `(16, 3, 16, 16)`, in the points' place. On a CPU it learns for 300 steps, on a GPU for 3000.
# %% [markdown] lang="vi" of="ffaf2112"
# ## 9. Cũng vòng lặp đó, trên ảnh
#
# Trong `train` và `sample_ddpm` không có gì biết `x` là thứ gì. Hãy đặt một U-Net nhỏ vào chỗ của MLP, và ảnh trái tim 16 × 16,
# `(16, 3, 16, 16)`, vào chỗ của các điểm. Trên CPU nó học 300 bước, trên GPU 3000 bước.

# %%
import random

import numpy as np

from minidiff.models.unet import UNet, UNetConfig
from minidiff.train.pixels import portrait

device = "cuda" if torch.cuda.is_available() else "cpu"
drawn = np.stack([portrait("heart", random.Random(n)) for n in range(96)])               # (96, 32, 32, 3)
hearts = nn.functional.avg_pool2d(to_tensor(drawn), 2).to(device)                        # (96, 3, 16, 16)
torch.manual_seed(0)
unet = UNet(UNetConfig(sample_size=16, in_channels=3, out_channels=3, channels=(32, 64), attention=(False, True),
                       layers=1, head_dim=32, context_dim=None, groups=8)).to(device)
curve = cosine.float().to(device)
losses = train(unet, lambda: hearts[torch.randint(96, (16,))], curve, steps=300 if device == "cpu" else 3000)

# %% [markdown] lang="en"
# `cosine` this time: it leaves more of a small picture to learn from. One more line is needed: at $t = 1000$ hardly any data is
# left, $\hat x_0$ is divided by a number near 0, and a small error becomes a huge one. Pictures lie in $-1..1$, so we keep the
# guess there. Steps: 100, every tenth of the table.
# %% [markdown] lang="vi" of="f4d9b921"
# Lần này dùng `cosine`: nó để lại nhiều thứ hơn cho một bức ảnh nhỏ học. Cần thêm một dòng: tại $t = 1000$ gần như không còn dữ
# liệu, $\hat x_0$ bị chia cho một số gần 0, và sai số nhỏ thành rất lớn. Ảnh nằm trong $-1..1$, nên ta giữ lời đoán trong khoảng
# đó. Số bước: 100, cứ mười bước của bảng lấy một.

# %% slide="fragment"
guess_heart, dice = guess_x0(unet, curve), fresh((8, 3, 16, 16), seed=0)
*_, x = sample_ddpm(
    lambda x, t: guess_heart(x, 10 * t).clamp(-1, 1), dice().to(device), curve[::10], lambda t: dice().to(device)
)
show(torch.cat([hearts[:8], x]).cpu(), titles=["data"] * 8 + ["drawn"] * 8, columns=8)

# %% [markdown] lang="en"
# Hearts, after half a minute: dented and mottled, but nobody drew them. They get better with more steps of training, not with
# other code. Which brings us to the network that had ten minutes.
# %% [markdown] lang="vi" of="28284c8b"
# Những trái tim, chỉ sau nửa phút: móp méo, loang lổ, nhưng không ai vẽ chúng. Muốn đẹp hơn thì huấn luyện nhiều bước hơn, chứ
# không cần mã khác. Và ta đến với mạng đã được học mười phút.

# %% [markdown] lang="en" slide="slide"
# ## 10. Our loop, the shipped network
#
# `world-pixels` is a U-Net of the same file, wider, at 32 × 32, trained on 20,000 pictures. Our loop needs a `denoise(x, t)`
# and an `alpha_bar` of 51 entries. The pipeline's denoiser counts time from 0 to 1 and answers `(x0, eps)`. That it was
# taught *v*, not $\epsilon$, is hidden in there (lesson 03); that it knows "star" too (lesson 05).
# %% [markdown] lang="vi" of="500ad980"
# ## 10. Vòng lặp của ta, mạng có sẵn
#
# `world-pixels` là một U-Net từ cùng tệp mã ấy, rộng hơn, cỡ 32 × 32, huấn luyện trên 20,000 bức ảnh. Vòng lặp của ta cần
# `denoise(x, t)` và một `alpha_bar` gồm 51 phần tử. Bộ khử nhiễu của pipeline tính thời gian từ 0 đến 1 và trả lời `(x0, eps)`.
# Việc nó được dạy *v* chứ không phải $\epsilon$ được giấu bên trong (bài 03); việc nó biết "star" cũng vậy (bài 05).

# %% slide="fragment"
fifty = pipe.scheduler.schedule.alpha(torch.arange(51, dtype=torch.float64) / 50) ** 2  # (51,)
guesses = []


def denoise(x, t):
    guesses.append(denoiser(x, t[0].double() / 50)[0])
    return guesses[-1]


film = list(sample_ddpm(denoise, opening[0], fifty, lambda t: opening[51 - t]))         # the opening's noise
torch.testing.assert_close(film[-1], states[-1].x, rtol=0, atol=1e-3)
some = (0, 8, 16, 24, 32, 40, 45, 49)
rows = [[f[0] for f in film], [g[0] for g in guesses]]
show([row[k] for row in rows for k in some], titles=[rf"$x_{{{49 - k}}}$" for k in some] + [r"$\hat x_0$"] * 8, columns=8)

# %% [markdown] lang="en"
# The opening star, from our own twenty lines; the `assert` says that every pixel agrees. Above is $x_t$, below what the network
# believes at that moment. The first belief is a pale mean of stars; then it commits, and only details change. The noise
# above is what keeps it from settling too soon.
#
# All 1000 steps would take twenty times as long. You can try: `arange(1001) / 1000`. On a CPU that is the better part of a
# minute for two pictures of 32 × 32, and they don't look better.
# %% [markdown] lang="vi" of="a38dbdb6"
# Đúng ngôi sao mở đầu, từ hai mươi dòng của chính ta; `assert` xác nhận mọi pixel đều khớp. Hàng trên là $x_t$, hàng dưới là điều
# mạng tin vào lúc đó. Niềm tin đầu tiên là trung bình nhạt màu của các ngôi sao; rồi nó quyết định, và chỉ còn chi tiết thay
# đổi. Nhiễu ở hàng trên giữ cho nó đừng quyết quá sớm.
#
# Đủ 1000 bước sẽ lâu gấp hai mươi lần. Bạn có thể thử: `arange(1001) / 1000`. Trên CPU mất gần một phút cho hai bức ảnh
# 32 × 32, mà chúng không đẹp hơn.

# %% [markdown] lang="en" slide="slide"
# ## Summary
#
# | what | formula | shapes |
# |---|---|---|
# | schedule | $\bar\alpha_t = \prod_{i \le t} (1 - \beta_i)$, $\bar\alpha_0 = 1$ | `(T,)` → `(T + 1,)` |
# | forward, one jump | $x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \epsilon$ | `(B, ...)`, `t` `(B,)` |
# | loss | $\lVert \epsilon - \epsilon_\theta(x_t, t) \rVert^2$, mean | one number |
# | guess | $\hat x_0 = (x_t - \sqrt{1 - \bar\alpha_t}\, \epsilon_\theta) / \sqrt{\bar\alpha_t}$ | `(B, ...)` |
# | step back | $x_s = \tilde\mu(x_t, \hat x_0) + \sqrt{\tilde\beta}\, \epsilon'$ | `(B, ...)` |
# %% [markdown] lang="vi" of="818d23f6"
# ## Tóm tắt
#
# | gì | công thức | kích thước |
# |---|---|---|
# | lịch nhiễu | $\bar\alpha_t = \prod_{i \le t} (1 - \beta_i)$, $\bar\alpha_0 = 1$ | `(T,)` → `(T + 1,)` |
# | thuận, một lần nhảy | $x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \epsilon$ | `(B, ...)`, `t` `(B,)` |
# | hàm mất mát | $\lVert \epsilon - \epsilon_\theta(x_t, t) \rVert^2$, trung bình | một số |
# | lời đoán | $\hat x_0 = (x_t - \sqrt{1 - \bar\alpha_t}\, \epsilon_\theta) / \sqrt{\bar\alpha_t}$ | `(B, ...)` |
# | bước ngược | $x_s = \tilde\mu(x_t, \hat x_0) + \sqrt{\tilde\beta}\, \epsilon'$ | `(B, ...)` |

# %% [markdown] lang="en"
# **You can now** noise anything in one jump, say why the loss is a mean squared error, train, sample, and tell a missing root
# from a missing noise by the look of the samples.
#
# **What still bothers.** We clamped a guess because it was divided by nearly 0: is the noise the right thing to ask for? Lesson
# 03 asks for other things. And fifty calls of a network for one picture, with dice at each: lesson 04 throws the dice away.
#
# **Exercises:** `exercises/en/02_ddpm.ipynb`.
#
# ### Sources
#
# - J. Sohl-Dickstein et al. 2015, *Deep Unsupervised Learning using Nonequilibrium Thermodynamics*: the forward and reverse process.
# - J. Ho, A. Jain, P. Abbeel 2020, *Denoising Diffusion Probabilistic Models*: eq. 4 (jump), 6–7 (step back), 12 (weighted loss),
#   14 (simple loss), section 4 (the betas).
# - A. Nichol, P. Dhariwal 2021, *Improved Denoising Diffusion Probabilistic Models*: eq. 17 (cosine schedule).
# - J. Song, C. Meng, S. Ermon 2021, *Denoising Diffusion Implicit Models*: eq. 12 and 16 (the step as the library writes it).
# %% [markdown] lang="vi" of="b5fa7373"
# **Giờ bạn có thể** thêm nhiễu vào bất cứ thứ gì bằng một lần nhảy, nói được vì sao hàm mất mát là sai số bình phương trung bình,
# huấn luyện, lấy mẫu, và nhìn mẫu là phân biệt được thiếu căn với thiếu nhiễu.
#
# **Điều còn vướng.** Ta phải cắt lời đoán vì nó bị chia cho một số gần 0: hỏi về nhiễu có phải là câu hỏi đúng không? Bài 03 sẽ hỏi
# những thứ khác. Và năm mươi lần gọi mạng cho một bức ảnh, lần nào cũng gieo xúc xắc: bài 04 vứt xúc xắc đi.
#
# **Bài tập:** `exercises/vi/02_ddpm.ipynb`.
#
# ### Nguồn
#
# - J. Sohl-Dickstein et al. 2015, *Deep Unsupervised Learning using Nonequilibrium Thermodynamics*: quá trình thuận và
#   quá trình nghịch.
# - J. Ho, A. Jain, P. Abbeel 2020, *Denoising Diffusion Probabilistic Models*: công thức 4 (nhảy), 6–7 (bước ngược), 12 (hàm mất mát
#   có trọng số), 14 (hàm mất mát đơn giản), mục 4 (các beta).
# - A. Nichol, P. Dhariwal 2021, *Improved Denoising Diffusion Probabilistic Models*: công thức 17 (lịch cosine).
# - J. Song, C. Meng, S. Ermon 2021, *Denoising Diffusion Implicit Models*: công thức 12 và 16 (bước theo cách viết của thư viện).

# %% [markdown] lang="en" only="exercise"
# # 02 DDPM: exercises
#
# You write five functions of a diffusion model: the table of the schedule, the jump into noise, the loss, the step back (which
# comes broken), and the loop. After each one, it runs inside a trained network and must draw what the library draws.
#
# Steps count as in the lesson: 0 is clean, $T$ is noise, and `alpha_bar` has $T + 1$ entries. Fill in one function, run its cell
# and the check below it, then go on. Nothing here needs a GPU.
# %% [markdown] lang="vi" of="c2857789" only="exercise"
# # 02 DDPM: bài tập
#
# Bạn sẽ viết năm hàm của một mô hình khuếch tán: bảng của lịch nhiễu, bước nhảy vào nhiễu, hàm mất mát, bước ngược (được giao
# trong tình trạng hỏng), và vòng lặp. Sau mỗi bài, hàm của bạn chạy bên trong một mạng đã huấn luyện và phải vẽ đúng như thư viện vẽ.
#
# Số bước đếm như trong bài học: 0 là sạch, $T$ là nhiễu, và `alpha_bar` có $T + 1$ phần tử. Hãy điền một hàm, chạy ô của nó và ô
# kiểm tra bên dưới, rồi mới làm tiếp. Không bài nào cần GPU.

# %% only="exercise"
from collections.abc import Callable

import torch
from torch import Tensor

from minidiff import load_pipeline
from minidiff.data.world.scenes import SHAPES
from minidiff.diffusion import samplers
from minidiff.diffusion.prediction import to_x0_eps
from minidiff.diffusion.schedules import per_example
from minidiff.train.pixels import portraits
from minidiff.utils.images import to_tensor

pipe = load_pipeline("world-pixels", device="cpu", dtype="float32")
schedule = pipe.scheduler.schedule                              # cosine: alpha(t)**2 is alpha_bar at time t in 0..1
alpha_bar = schedule.alpha(torch.arange(31) / 30) ** 2          # (31,): T = 30 steps
dice = torch.Generator().manual_seed(1)
noises = [torch.randn(2, 3, 32, 32, generator=dice) for _ in range(31)]
