"""Lesson 02: the forward process, its loss, a training loop and ancestral sampling, from one number to pictures."""

# %% [markdown] lang="en" slide="slide"
# # 02 DDPM: noise in, noise out
#
# Two pictures appear out of pure noise below. The network behind them was only ever asked one thing: *here is a noisy
# picture; what in it is noise, and what is picture?* In lesson 01 the same question, asked once, gave a blur. Asked fifty
# times, with a little fresh noise put back each time, it gives a star and a house. Why should putting noise **in** help to
# take noise **out**?
# %% [markdown] lang="vi" of="68233b64"
# # 02 DDPM: nhiễu vào, nhiễu ra
#
# Dưới đây, hai bức tranh hiện ra từ nhiễu thuần. Mạng đứng sau chúng chỉ từng được hỏi đúng một câu: *đây là một bức ảnh có
# nhiễu; trong đó đâu là nhiễu, đâu là hình?* Ở bài 01, cũng câu hỏi ấy, hỏi một lần, chỉ cho ra một vệt nhòe. Hỏi năm mươi
# lần, mỗi lần trả lại một ít nhiễu mới, thì được ngôi sao và ngôi nhà. Vì sao đưa nhiễu **vào** lại giúp lấy nhiễu **ra**?

# %% slide="fragment"
import math

import torch

from minidiff import load_pipeline
from minidiff.diffusion import samplers

pipe = load_pipeline("world-pixels", device="cpu", dtype="float32")
denoiser = pipe.denoiser(["star", "house"], ["", ""], 2.0)
schedule, dice = pipe.scheduler.schedule, torch.Generator().manual_seed(0)
opening = [torch.randn(2, 3, 32, 32, generator=dice) for _ in range(51)]    # 50 steps
states = list(samplers.run(
    "ddpm", denoiser, opening[0], schedule, 50, noise=lambda k: opening[k + 1]
))
some = (0, 8, 16, 24, 32, 40, 45, 49)
show(torch.stack([states[k].x for k in some], dim=1))       # (2, 8, 3, 32, 32)

# %% [markdown] lang="en" role="notes"
# Ask who would have bet on noise going in. Leave the question open; section 8 answers it with a broken sampler.
# %% [markdown] lang="vi" of="0479aa6e"
# Hỏi xem có ai từng nghĩ phải đưa nhiễu vào. Để ngỏ câu hỏi; mục 8 trả lời bằng một bộ lấy mẫu bị hỏng.

# %% [markdown] lang="en"
# [[map]]
#
# **Aims.** You can noise a picture to any step in one jump, derive the loss and write its training loop, write ancestral
# sampling, and see from the samples that a variance was used where a standard deviation belongs.
#
# **Time:** [[time]]. **You need:** lesson 01, and the normal distribution. Two small networks are trained here. On a CPU each
# takes about twenty seconds; on a GPU the second one is trained for ten times as many steps.
# %% [markdown] lang="vi" of="c08f1e52"
# [[map]]
#
# **Mục tiêu.** Bạn thêm nhiễu vào ảnh đến bước bất kỳ trong một lần nhảy, suy ra được hàm mất mát (loss) và viết vòng lặp
# huấn luyện (training), viết được phép lấy mẫu tổ tiên (ancestral sampling), và nhìn mẫu là nhận ra lỗi dùng phương sai
# (variance) ở chỗ của độ lệch chuẩn (standard deviation).
#
# **Thời gian:** [[time]]. **Cần biết:** bài 01 và phân phối chuẩn. Ở đây ta huấn luyện hai mạng nhỏ. Trên CPU, mỗi mạng mất
# khoảng hai mươi giây; trên GPU, mạng thứ hai được huấn luyện số bước gấp mười lần.

# %% [markdown] lang="en" role="think"
# **Three quick questions** from the lessons so far.
#
# 1. A network sees a picture that is almost pure noise and gives one guess at the clean picture. Why is the guess a blur?
# 2. How does the U-Net know how noisy its input is?
# 3. $a$ and $b$ are independent, with variances 4 and 9. What are the variance and the standard deviation of $a + b$?
# ---
# 1. Many clean pictures fit; the mean squared error is smallest for their average, and an average of pictures is a blur.
# 2. It is told a number, the timestep, which becomes sinusoids, a vector, and a shift in every residual block.
# 3. Variances add: 13. Standard deviations don't: $\sqrt{13} \approx 3.6$, not 5. This whole lesson rests on that line.
# %% [markdown] lang="vi" of="a3022ce0"
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
# 3. Phương sai thì cộng: 13. Độ lệch chuẩn thì không: $\sqrt{13} \approx 3.6$, chứ không phải 5. Cả bài này dựa vào dòng đó.

# %% [markdown] lang="en" slide="slide"
# ## 1. By hand: one number sinks into noise
#
# One step of the **forward process** keeps a share $1 - \beta$ of the variance and fills the rest with noise:
#
# $$x_t = \sqrt{1 - \beta_t}\; x_{t-1} + \sqrt{\beta_t}\; \epsilon_t, \qquad \epsilon_t \sim \mathcal N(0, 1)$$
#
# Take $x_0 = 5$, $\beta = 0.36$ (so the roots are 0.8 and 0.6), and let the dice give $\epsilon_1 = 1$, $\epsilon_2 = -1$:
# $x_1 = 4 + 0.6 = 4.6$ and $x_2 = 3.68 - 0.6 = 3.08$.
# %% [markdown] lang="vi" of="c5b9293b"
# ## 1. Tính tay: một con số chìm vào nhiễu
#
# Một bước của **quá trình thuận (forward process)** giữ lại tỉ lệ $1 - \beta$ của phương sai và bù phần thiếu bằng nhiễu:
#
# $$x_t = \sqrt{1 - \beta_t}\; x_{t-1} + \sqrt{\beta_t}\; \epsilon_t, \qquad \epsilon_t \sim \mathcal N(0, 1)$$
#
# Lấy $x_0 = 5$, $\beta = 0.36$ (hai căn là 0.8 và 0.6), và giả sử xúc xắc ra $\epsilon_1 = 1$, $\epsilon_2 = -1$:
# $x_1 = 4 + 0.6 = 4.6$ và $x_2 = 3.68 - 0.6 = 3.08$.

# %%
x0, beta = 5.0, 0.36
x = x0
for eps in (1.0, -1.0):
    x = math.sqrt(1 - beta) * x + math.sqrt(beta) * eps
    print(f"{x:.2f}")

# %% [markdown] lang="en" role="think"
# **Predict.** Now let the dice fall as they will. Over many throws, what are the mean and the variance of $x_2$? Put the first
# step into the second, collect what multiplies $x_0$, then add up the variances of the two noises.
# ---
# $x_2 = 0.8 \cdot 0.8\, x_0 + 0.8 \cdot 0.6\, \epsilon_1 + 0.6\, \epsilon_2$. Mean: $0.64 \cdot 5 = 3.2$. Variance:
# $0.48^2 + 0.6^2 = 0.2304 + 0.36 = 0.5904$, which is $1 - 0.64^2 = 1 - 0.4096$. That is no accident: if $x_0$ had variance 1,
# so would every $x_t$.
# %% [markdown] lang="vi" of="8ec6e669"
# **Đoán xem.** Giờ cứ để xúc xắc ra sao thì ra. Qua nhiều lần gieo, trung bình và phương sai của $x_2$ là bao nhiêu? Thế bước
# một vào bước hai, gom hệ số của $x_0$, rồi cộng phương sai của hai nhiễu.
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
# Whether we walk or jump, the histogram is the same. So training never walks.
# %% [markdown] lang="vi" of="9980051c"
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
histogram({"2 steps": walked, "1 jump": jumped}, x="$x_2$")

# %% [markdown] lang="en"
# Mean 3.2 and variance 0.59 both times, as on paper. This one line is the heart of the lesson; below we only make it longer
# (1000 steps), wider (pictures), and then run it backwards.
# %% [markdown] lang="vi" of="5bd6ff9a"
# Cả hai lần đều có trung bình 3.2 và phương sai 0.59, đúng như tính trên giấy. Một dòng này là trái tim của cả bài; phần sau chỉ
# làm nó dài hơn (1000 bước), rộng hơn (ảnh), rồi chạy nó ngược lại.

# %% [markdown] lang="en" slide="slide"
# ## 2. A noise schedule: 1000 betas
#
# DDPM takes $T = 1000$ steps, with $\beta_t$ rising evenly from 0.0001 to 0.02: a **noise schedule**. All that is needed
# afterwards is the table of products: `alpha_bar`, of shape `(1001,)`, from $\bar\alpha_0 = 1$ (clean) to
# $\bar\alpha_{1000} \approx 0.00004$ (noise).
# %% [markdown] lang="vi" of="2a178116"
# ## 2. Lịch nhiễu: 1000 giá trị beta
#
# DDPM đi $T = 1000$ bước, với $\beta_t$ tăng đều từ 0.0001 đến 0.02: đó là một **lịch nhiễu (noise schedule)**. Về sau chỉ còn
# cần bảng các tích: `alpha_bar`, kích thước `(1001,)`, từ $\bar\alpha_0 = 1$ (sạch) đến $\bar\alpha_{1000} \approx 0.00004$
# (nhiễu).

# %% slide="fragment"
from minidiff.diffusion.schedules import (
    get_schedule, linear_betas, per_example, squared_cosine_betas,
)


def table(betas):
    return torch.cat([torch.ones(1), (1 - betas).cumprod(0)])       # (T + 1,)


linear = table(linear_betas())                                      # (1001,)
cosine = table(squared_cosine_betas())                              # (1001,)
curves, (left, right) = {"linear": linear, "cosine": cosine}, panels(2)
lines(curves, left, r"$\bar\alpha_t$", x="t")
ratios = {name: a[1:-1] / (1 - a[1:-1]) for name, a in curves.items()}
lines(ratios, right, r"$\bar\alpha_t\, /\, (1 - \bar\alpha_t)$", x="t", log="y")

# %% [markdown] lang="en"
# With `linear` half of the data's variance is gone at step 260, and the last third of the steps looks like pure noise; with
# `cosine` (Nichol & Dhariwal 2021) half is gone at step 500. The right-hand plot shows the same as a ratio of data to noise.
# Lesson 03 looks at where each of them spends its steps, and which pictures that suits.
#
# In the library such a table is a `NoiseSchedule`, with time from 0 to 1 instead of steps. Mind the names: there are three alphas.
#
# | in papers | meaning | in the library |
# |---|---|---|
# | $\alpha_t = 1 - \beta_t$ | variance kept by **one step** | (not needed) |
# | $\bar\alpha_t$ | variance kept by **all steps** up to $t$ | `schedule.alpha(t) ** 2` |
# | $\sqrt{\bar\alpha_t},\ \sqrt{1 - \bar\alpha_t}$ | what $x_0$ and $\epsilon$ are **multiplied** by | `schedule.alpha(t)`, `schedule.sigma(t)` |
# %% [markdown] lang="vi" of="5ed9caee"
# Với `linear`, đến bước 260 đã mất nửa phương sai của dữ liệu, và một phần ba số bước cuối trông như nhiễu thuần; với
# `cosine` (Nichol & Dhariwal 2021) thì đến bước 500 mới mất một nửa. Hình bên phải cũng cho thấy điều đó, viết thành tỉ số dữ
# liệu trên nhiễu. Bài 03 xem mỗi lịch dành các bước của nó cho những mức nhiễu nào, và như thế hợp với loại ảnh nào.
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
# A picture is 3 · 32 · 32 numbers, and each of them sinks by itself. Only the shapes are new: `t` is `(B,)`, a step for each
# picture, and the weights have to become `(B, 1, 1, 1)`, or they would multiply the wrong axis. Below, nine pictures, each at
# a step of its own.
# %% [markdown] lang="vi" of="6a36469b"
# ## 3. Một bức ảnh chìm dần
#
# Một bức ảnh là 3 · 32 · 32 con số, và mỗi số tự chìm một mình. Chỉ có kích thước là mới: `t` có dạng `(B,)`, mỗi ảnh một bước,
# và các hệ số phải thành `(B, 1, 1, 1)`, nếu không chúng sẽ nhân nhầm trục. Dưới đây là chín bức ảnh, mỗi bức ở một bước riêng.

# %%
from minidiff.data.world.scenes import SHAPES
from minidiff.train.pixels import portraits
from minidiff.utils.images import to_tensor


def q_sample(x0, eps, t, alpha_bar):
    a = per_example(alpha_bar[t], x0)                   # (B,) to (B, 1, 1, 1)
    return a.sqrt() * x0 + (1 - a).sqrt() * eps         # (B, 3, H, W)


pictures = to_tensor(portraits(len(SHAPES)))            # (18, 3, 32, 32), one of a kind
eps = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(1))
t = torch.linspace(0, 1000, 18).long()                  # (18,)
show(q_sample(pictures, eps, t, cosine)[::2], titles=t[::2].tolist(), columns=9)

# %% [markdown] lang="en" role="think"
# **Predict.** Now follow one star, always with the same noise. Under `linear` and under `cosine`, at which step can you no
# longer say what it is? Write two numbers down, then run the cell: `linear` is above, `cosine` below.
# ---
# It is hard to see from about 400 on under `linear`, and from about 700 on under `cosine`. In both cases $\bar\alpha_t$ is
# near 0.2 there. The steps beyond look alike to us, and nearly so to a network: it learns little from them.
# %% [markdown] lang="vi" of="0b5c4ba1"
# **Đoán xem.** Giờ hãy theo dõi một ngôi sao, luôn với cùng một nhiễu. Với `linear` và với `cosine`, từ bước nào bạn không còn
# nhận ra nó nữa? Hãy viết ra hai con số, rồi chạy ô: `linear` ở trên, `cosine` ở dưới.
# ---
# Với `linear`, từ khoảng bước 400 trở đi đã khó thấy; với `cosine` thì từ khoảng 700. Trong cả hai trường hợp, $\bar\alpha_t$ ở
# đó gần bằng 0.2. Những bước sau đó trông như nhau đối với ta, và gần như thế đối với mạng: mạng chẳng học được bao nhiêu từ
# chúng.

# %% slide="fragment"
star, its_noise = pictures[3:4], eps[3:4]               # (1, 3, 32, 32); 6:7 is a house
times = torch.arange(0, 1001, 100)                      # (11,)
sinking = [q_sample(star, its_noise, times, curve) for curve in (linear, cosine)]
show(torch.stack(sinking), titles=times.tolist())       # (2, 11, 3, 32, 32)

# %% [markdown] lang="en"
# In the library this line is called `mix`, and it is the same for every noise schedule:
# %% [markdown] lang="vi" of="a99274a6"
# Trong thư viện, dòng này tên là `mix`, và giống nhau với mọi lịch nhiễu:

# %%
from minidiff.diffusion.schedules import NoiseSchedule

mine = q_sample(pictures, eps, t, linear)
torch.testing.assert_close(mine, schedule.mix(pictures, eps, t.double() / 1000))
source(NoiseSchedule.mix)

# %% [markdown] lang="en" slide="slide"
# ## 4. One step back, if $x_0$ were known
#
# Going forward is easy. Now backward: $x_0 = 5$ and $x_2 = 3.08$ are known. Where was $x_1$? There are two witnesses.
#
# - $x_0$ says: $x_1 = 0.8 \cdot 5 + 0.6\, \epsilon_1$. A bell around **4**, with variance $0.6^2 = $ **0.36**.
# - $x_2$ says: $3.08 = 0.8\, x_1 + 0.6\, \epsilon_2$, so $x_1 = 3.85 - 0.75\, \epsilon_2$. A bell around **3.85**, with variance
#   $0.75^2 = $ **0.5625**.
# %% [markdown] lang="vi" of="f8d1beef"
# ## 4. Một bước ngược, nếu biết $x_0$
#
# Chiều thuận thì dễ. Giờ đi ngược: đã biết $x_0 = 5$ và $x_2 = 3.08$. Vậy $x_1$ đã ở đâu? Có hai nhân chứng.
#
# - $x_0$ nói: $x_1 = 0.8 \cdot 5 + 0.6\, \epsilon_1$. Một hình chuông quanh **4**, phương sai $0.6^2 = $ **0.36**.
# - $x_2$ nói: $3.08 = 0.8\, x_1 + 0.6\, \epsilon_2$, vậy $x_1 = 3.85 - 0.75\, \epsilon_2$. Một hình chuông quanh **3.85**, phương
#   sai $0.75^2 = $ **0.5625**.

# %% [markdown] lang="en" slide="sub"
# The two noises are independent, so by Bayes' rule the two densities multiply: $p(x_1 \mid x_0, x_2) \propto p(x_1 \mid x_0)\,
# p(x_2 \mid x_1)$. The exponents add, and the sum of two parabolas is a parabola, so the product is a bell again:
#
# $$-\frac{(x_1 - 4)^2}{2 \cdot 0.36} - \frac{(x_1 - 3.85)^2}{2 \cdot 0.5625} = -\frac{(x_1 - 3.941)^2}{2 \cdot 0.2195} + \text{const}$$
#
# Compare both sides. What multiplies $x_1^2$: the inverse variances, called **precisions**, add up,
# $2.778 + 1.778 = 4.556$, and $1 / 4.556 = 0.2195$. What multiplies $x_1$: each witness counts by its precision,
# $(2.778 \cdot 4 + 1.778 \cdot 3.85) / 4.556 = 3.941$.
# %% [markdown] lang="vi" of="60bd3a99"
# Hai nhiễu độc lập, nên theo quy tắc Bayes hai mật độ nhân với nhau: $p(x_1 \mid x_0, x_2) \propto p(x_1 \mid x_0)\,
# p(x_2 \mid x_1)$. Số mũ thì cộng, và tổng của hai parabol lại là một parabol, nên tích lại là một hình chuông:
#
# $$-\frac{(x_1 - 4)^2}{2 \cdot 0.36} - \frac{(x_1 - 3.85)^2}{2 \cdot 0.5625} = -\frac{(x_1 - 3.941)^2}{2 \cdot 0.2195} + \text{const}$$
#
# So sánh hai vế. Hệ số của $x_1^2$: nghịch đảo của phương sai, gọi là **độ chính xác (precision)**, cộng lại với nhau,
# $2.778 + 1.778 = 4.556$, và $1 / 4.556 = 0.2195$. Hệ số của $x_1$: mỗi nhân chứng có trọng lượng bằng độ chính xác của mình,
# $(2.778 \cdot 4 + 1.778 \cdot 3.85) / 4.556 = 3.941$.

# %% [markdown] lang="en" role="think"
# **Predict.** At 3.08 the witnesses nearly agree. Let $x_2 = 2$ instead: now $x_2$ says 2.5, and $x_0$ still says 4. Which of
# them is the bell of $x_1$ closer to, and is it wider than at 3.08? To test it, we throw the dice 400,000 times and keep the
# runs that end near $x_2$. Then turn the knob: the histogram of these runs is grey.
# ---
# It is closer to 4, whose bell is narrower: $(2.778 \cdot 4 + 1.778 \cdot 2.5) / 4.556 = 3.415$. Its variance is 0.2195 as
# before: precisions don't depend on what the witnesses say. And it is narrower than either bell, for two know more than one.
# %% [markdown] lang="vi" of="f1772e36"
# **Đoán xem.** Ở 3.08 hai nhân chứng gần như đồng ý. Thay vào đó, lấy $x_2 = 2$: giờ $x_2$ nói 2.5, còn $x_0$ vẫn nói 4. Hình
# chuông của $x_1$ gần bên nào hơn, và có rộng hơn so với ở 3.08 không? Để kiểm tra, ta gieo xúc xắc 400 000 lần và giữ những lần
# kết thúc gần $x_2$. Rồi hãy vặn núm: biểu đồ tần suất của những lần ấy có màu xám.
# ---
# Nó gần 4 hơn, vì hình chuông ở đó hẹp hơn: $(2.778 \cdot 4 + 1.778 \cdot 2.5) / 4.556 = 3.415$. Phương sai vẫn là 0.2195: độ
# chính xác không phụ thuộc vào điều nhân chứng nói. Và nó hẹp hơn cả hai hình chuông kia, vì hai bên biết nhiều hơn một bên.

# %%
torch.manual_seed(1)
x1 = 0.8 * 5 + 0.6 * torch.randn(400_000)
x2 = 0.8 * x1 + 0.6 * torch.randn(400_000)
precision_0, precision_2 = 1 / 0.36, 1 / 0.5625             # of the two witnesses
variance = 1 / (precision_0 + precision_2)


def known(end):                                             # x0 = 5 and x2 = end
    mean = variance * (precision_0 * 4 + precision_2 * end / 0.8)
    return mean, x1[(x2 - end).abs() < 0.05]                # (some thousand,)


for end in (3.08, 2.0):
    mean, kept = known(end)
    print(f"by hand {mean:.3f} {variance:.3f}, dice {kept.mean():.3f} {kept.var():.3f}")

# %%
from torch.distributions import Normal, kl_divergence


def witnesses(end, axis):
    mean, kept = known(end)
    bells = {"$x_0$": Normal(4, 0.6), "$x_2$": Normal(end / 0.8, 0.75),
             "both": Normal(mean, variance**0.5)}
    places = torch.linspace(0, 10, 200)
    densities = {name: bell.log_prob(places).exp() for name, bell in bells.items()}
    histogram({"": kept}, axis, bins=30, color="silver")
    lines({name: (places, density) for name, density in densities.items()}, axis)


slider(witnesses, "x2", [2.0, 3.08, 4.0, 5.0])

# %% [markdown] lang="en" slide="sub"
# The same in letters, from step $t$ to an earlier step $s$, with $\alpha = \bar\alpha_t / \bar\alpha_s$ and
# $\beta = 1 - \alpha$. $x_0$ says $\sqrt{\bar\alpha_s}\, x_0$, with variance $1 - \bar\alpha_s$; $x_t$ says
# $x_t / \sqrt\alpha$, with variance $\beta / \alpha$. The precisions add up:
#
# $$\frac{1}{\tilde\beta} = \frac{1}{1 - \bar\alpha_s} + \frac{\alpha}{\beta}
# = \frac{\beta + \alpha - \alpha \bar\alpha_s}{(1 - \bar\alpha_s)\, \beta} = \frac{1 - \bar\alpha_t}{(1 - \bar\alpha_s)\, \beta}$$
# %% [markdown] lang="vi" of="985cf359"
# Cũng điều ấy bằng chữ, từ bước $t$ về một bước $s$ sớm hơn, với $\alpha = \bar\alpha_t / \bar\alpha_s$ và
# $\beta = 1 - \alpha$. $x_0$ nói $\sqrt{\bar\alpha_s}\, x_0$, phương sai $1 - \bar\alpha_s$; $x_t$ nói
# $x_t / \sqrt\alpha$, phương sai $\beta / \alpha$. Cộng các độ chính xác:
#
# $$\frac{1}{\tilde\beta} = \frac{1}{1 - \bar\alpha_s} + \frac{\alpha}{\beta}
# = \frac{\beta + \alpha - \alpha \bar\alpha_s}{(1 - \bar\alpha_s)\, \beta} = \frac{1 - \bar\alpha_t}{(1 - \bar\alpha_s)\, \beta}$$

# %% [markdown] lang="en" slide="slide"
# ## The formula of the step back
#
# The mean weighs both witnesses by their precisions (Ho et al. 2020, eq. 7):
#
# $$\tilde\mu = \frac{\sqrt{\bar\alpha_s}\,\beta}{1 - \bar\alpha_t}\, x_0 + \frac{\sqrt{\alpha}\,(1 - \bar\alpha_s)}{1 - \bar\alpha_t}\, x_t,
# \qquad \tilde\beta = \frac{1 - \bar\alpha_s}{1 - \bar\alpha_t}\,\beta$$
#
# $$x_s = \tilde\mu + \sqrt{\tilde\beta}\;\epsilon'$$
# %% [markdown] lang="vi" of="2edfca76"
# ## Công thức của bước ngược
#
# Trung bình cân hai nhân chứng theo độ chính xác của mỗi bên (Ho và cộng sự 2020, công thức 7):
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
for end in (3.08, 2.0):
    print(ancestral_step(end, 5.0, by_hand[2], by_hand[1], noise=0.0))

# %% [markdown] lang="en"
# Two things to see. Nothing says that $s = t - 1$: a step may skip as many as it likes. And at the last step $s = 0$, where
# $\bar\alpha_0 = 1$: then $\tilde\beta = 0$ and $x_s = x_0$, no noise left.
#
# The library writes the same step in other words. $x_t$ is made of `x0` and `eps`; of the noise that is due at $s$, a part is
# new, with weight $c$, and the rest is the old `eps`, with weight $\sqrt{1 - c^2}$. `eta = 1` is our step; lesson 04 shows what
# other values do.
# %% [markdown] lang="vi" of="10c2c8a9"
# Hai điều cần thấy. Không có gì bắt $s = t - 1$: một bước có thể nhảy qua bao nhiêu bước cũng được. Và ở bước cuối $s = 0$, nơi
# $\bar\alpha_0 = 1$: khi đó $\tilde\beta = 0$ và $x_s = x_0$, không còn nhiễu.
#
# Thư viện viết cùng bước ấy theo cách khác. $x_t$ gồm `x0` và `eps`; trong lượng nhiễu phải có tại $s$, một phần là mới, với hệ số
# $c$, phần còn lại là `eps` cũ, với hệ số $\sqrt{1 - c^2}$. `eta = 1` là bước của ta; bài 04 cho thấy các giá trị khác làm gì.

# %%
x0, x, noise = torch.randn(3, 5, 2, dtype=torch.float64).unbind()       # (5, 2) each
t, s = torch.tensor([0.50, 0.48], dtype=torch.float64)                  # steps 500, 480
eps = (x - schedule.alpha(t) * x0) / schedule.sigma(t)
theirs = samplers.step(schedule, x0, eps, t, s, eta=1.0, noise=noise)
mine = ancestral_step(x, x0, linear[500], linear[480], noise)
torch.testing.assert_close(mine, theirs)
source(samplers.step)

# %% [markdown] lang="en" slide="slide"
# ## 5. What the network learns: the noise
#
# We don't know $x_0$. So a network guesses the noise, and its guess gives an $\hat x_0$ to put in the place of $x_0$:
#
# $$\hat x_0 = \frac{x_t - \sqrt{1 - \bar\alpha_t}\;\epsilon_\theta(x_t, t)}{\sqrt{\bar\alpha_t}}$$
#
# How bad is a wrong guess? The true step and ours are bells of one width, and their KL divergence is the squared distance of
# the means, over twice the variance. The means differ by a multiple of $\epsilon - \epsilon_\theta$:
#
# $$\mathrm{KL} = \frac{\beta_t^2}{2\,\tilde\beta_t\,\alpha_t\,(1 - \bar\alpha_t)}\;(\epsilon - \epsilon_\theta)^2$$
# %% [markdown] lang="vi" of="09c4d45d"
# ## 5. Điều mạng học: nhiễu
#
# Ta không biết $x_0$. Vậy mạng đoán nhiễu, và lời đoán ấy cho ra một $\hat x_0$ để đặt vào chỗ của $x_0$:
#
# $$\hat x_0 = \frac{x_t - \sqrt{1 - \bar\alpha_t}\;\epsilon_\theta(x_t, t)}{\sqrt{\bar\alpha_t}}$$
#
# Đoán sai thì tệ đến đâu? Bước thật và bước của ta là hai hình chuông cùng bề rộng, và phân kỳ KL giữa chúng là bình phương
# khoảng cách hai trung bình, chia cho hai lần phương sai. Hai trung bình chênh nhau một bội của $\epsilon - \epsilon_\theta$:
#
# $$\mathrm{KL} = \frac{\beta_t^2}{2\,\tilde\beta_t\,\alpha_t\,(1 - \bar\alpha_t)}\;(\epsilon - \epsilon_\theta)^2$$

# %%
x0, eps, guess = torch.tensor([5.0, 1.0, 0.7], dtype=torch.float64)
for t in (2, 10, 100, 1000):
    a, b = linear[t], linear[t - 1]
    x = a.sqrt() * x0 + (1 - a).sqrt() * eps
    steps_back = []
    for answer in (eps, guess):
        x0_hat = (x - (1 - a).sqrt() * answer) / a.sqrt()
        mean = ancestral_step(x, x0_hat, a, b, noise=0.0)
        steps_back.append(Normal(mean, ((1 - b) / (1 - a) * (1 - a / b)).sqrt()))
    weight = (1 - a / b) ** 2 / (2 * steps_back[0].variance * (a / b) * (1 - a))
    kl, formula = kl_divergence(*steps_back), weight * (eps - guess) ** 2
    print(f"t = {t:4d}   weight {weight:.4f}   KL {kl:.6f}   formula {formula:.6f}")

# %% [markdown] lang="en" slide="sub"
# They agree to the last digit. The weight alone makes step 2 count sixty times more than step 1000, though nobody can see so
# little noise. Ho et al. drop the weight:
#
# $$L_\text{simple} = \mathbb E_{x_0, \epsilon, t}\; \big\lVert \epsilon - \epsilon_\theta(\sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \epsilon,\; t) \big\rVert^2$$
#
# Guess the noise, square the difference, take the mean. That is the whole **loss**.
# %% [markdown] lang="vi" of="7bdb9703"
# Chúng khớp nhau đến chữ số cuối. Riêng hệ số đã làm bước 2 nặng gấp sáu mươi lần bước 1000, dù chẳng ai nhìn thấy được chút
# nhiễu ít ỏi ấy. Ho và cộng sự bỏ luôn hệ số:
#
# $$L_\text{simple} = \mathbb E_{x_0, \epsilon, t}\; \big\lVert \epsilon - \epsilon_\theta(\sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \epsilon,\; t) \big\rVert^2$$
#
# Đoán nhiễu, bình phương hiệu, lấy trung bình. Toàn bộ **hàm mất mát** chỉ có thế.

# %%
from minidiff.diffusion.losses import diffusion_loss


def ddpm_loss(network, x0, t, eps, alpha_bar):
    x_t = q_sample(x0, eps, t, alpha_bar)                   # (B, ...)
    return (network(x_t, t) - eps).square().mean()          # one number


def lazy(x, t):
    return torch.zeros_like(x)                              # always says: no noise


t = torch.randint(1, 1001, (18,), generator=torch.Generator().manual_seed(0))
eps = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))
mine = ddpm_loss(lazy, pictures, t, eps, linear)
answer = lazy(pictures, t)
theirs = diffusion_loss(answer, pictures, eps, t / 1000, schedule, "eps")
torch.testing.assert_close(mine, theirs)
print(f"{mine:.2f}")
source(diffusion_loss)

# %% [markdown] lang="en" role="think"
# **Predict.** The lazy network's loss is near 1. Why? And can a perfect network reach 0?
# ---
# It is the mean of $\epsilon^2$, the variance of the noise: 1. And no: at small $t$ the network must tell a trace of noise
# from the texture of a picture it has never seen, and nobody can. A loss that stops falling is not a failure; only
# comparisons between runs say something.
# %% [markdown] lang="vi" of="780dfcdc"
# **Đoán xem.** Giá trị mất mát của mạng lười gần bằng 1. Vì sao? Và một mạng hoàn hảo có đưa được hàm mất mát về 0 không?
# ---
# Đó là trung bình của $\epsilon^2$, tức phương sai của nhiễu: 1. Và không: khi $t$ nhỏ, mạng phải phân biệt chút nhiễu li ti với
# vân của một bức ảnh chưa từng thấy, điều không ai làm được. Giá trị mất mát ngừng giảm không phải là thất bại; chỉ khi so các
# lần chạy với nhau nó mới nói lên điều gì.

# %% [markdown] lang="en" slide="slide"
# ## 6. Train it, on something that fits on a plot
#
# Data: points on a heart, `(B, 2)`. Network: a small MLP that is told $t$ by the sinusoids of lesson 01. The loop: take some
# data, a random step for each example, noise, loss, gradient, and repeat. You will write this loop yourself in exercise 02.6.
# %% [markdown] lang="vi" of="bca51f6a"
# ## 6. Huấn luyện, trên thứ vẽ vừa một đồ thị
#
# Dữ liệu: các điểm trên hình trái tim, `(B, 2)`. Mạng: một MLP nhỏ, được báo $t$ qua các sóng sin của bài 01. Vòng lặp: lấy dữ
# liệu, mỗi mẫu một bước ngẫu nhiên, nhiễu, hàm mất mát, gradient, rồi lặp lại. Bạn sẽ tự viết vòng lặp này ở bài tập 02.6.

# %%
from itertools import pairwise

from torch import nn

from minidiff.nn.embeddings import timestep_embedding


def heart(n):
    u = 2 * math.pi * torch.rand(n)
    y = 13 * u.cos() - 5 * (2 * u).cos() - 2 * (3 * u).cos() - (4 * u).cos()
    return torch.stack([16 * u.sin() ** 3, y + 2.5], dim=1) / 10.5  # (n, 2), variance 1


class PointNet(nn.Module):
    def __init__(self, width=128):
        super().__init__()
        sizes = [2 + 32, width, width, width]
        layers = [f for a, b in pairwise(sizes) for f in (nn.Linear(a, b), nn.SiLU())]
        self.layers = nn.Sequential(*layers, nn.Linear(width, 2))

    def forward(self, x, t):                                            # (B, 2), (B,)
        return self.layers(torch.cat([x, timestep_embedding(t, 32)], dim=1))    # (B, 2)

# %% slide="fragment"
def train(network, data, alpha_bar, steps):
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    calm = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, steps)   # lr falls
    losses, T = [], len(alpha_bar) - 1
    for _ in range(steps):
        x0 = data()                                                         # (B, ...)
        t = torch.randint(1, T + 1, (len(x0),), device=x0.device)           # (B,)
        eps = torch.randn_like(x0)                                          # (B, ...)
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

means = losses.view(25, 100).mean(1)                                        # (25,)
(axis,) = panels(1)
lines({"one step": losses}, axis, lw=0.3)
lines({"mean of 100": (range(50, 2500, 100), means)}, axis, "loss", x="step")

# %% [markdown] lang="en"
# The loss falls from 1 at once, then only slowly, and the jitter of single steps hides the progress: always look at a running
# mean. The curve doesn't tell whether the network is any good. To find out, we have to sample.
# %% [markdown] lang="vi" of="c00dede3"
# Giá trị mất mát tụt xuống từ 1 ngay lập tức, rồi chỉ giảm chậm, và dao động của từng bước che mất tiến bộ: hãy luôn nhìn trung
# bình trượt. Đường cong của hàm mất mát không cho biết mạng có tốt hay không. Muốn biết, ta phải lấy mẫu.

# %% [markdown] lang="en" slide="slide"
# ## 7. Ancestral sampling: the reverse process
#
# Begin with noise. For $t = T, \dots, 1$: ask the network, step back, put fresh noise in. Predict first: after half of the 1000
# steps, what will 800 points look like?
# %% [markdown] lang="vi" of="16779404"
# ## 7. Lấy mẫu tổ tiên: quá trình nghịch (reverse process)
#
# Bắt đầu từ nhiễu. Với $t = T, \dots, 1$: hỏi mạng, lùi một bước, thêm nhiễu mới. Đoán trước đã: sau một nửa trong 1000 bước,
# 800 điểm sẽ trông thế nào?

# %%
def guess_x0(network, alpha_bar):
    def denoise(x, t):                                              # (B, ...), (B,)
        a = per_example(alpha_bar[t], x)
        return (x - (1 - a).sqrt() * network(x, t)) / a.sqrt()      # (B, ...)
    return denoise


@torch.no_grad()
def sample_ddpm(denoise, x, alpha_bar, noise, step=ancestral_step):
    for t in range(len(alpha_bar) - 1, 0, -1):
        x0 = denoise(x, torch.full((len(x),), t, device=x.device))  # what it thinks
        x = step(x, x0, alpha_bar[t], alpha_bar[t - 1], noise(t))   # from t to t - 1
        yield x


def fresh(shape, seed):
    dice = torch.Generator().manual_seed(seed)
    return lambda t=None: torch.randn(shape, generator=dice)

# %% slide="fragment"
noise, alpha_bar = fresh((800, 2), seed=0), linear.float()
guess = guess_x0(points, alpha_bar)
film = [noise(), *sample_ddpm(guess, noise(), alpha_bar, noise)]    # 1001 of (800, 2)
for t, axis in zip((1000, 500, 250, 120, 40, 0), panels(6, 1.5), strict=True):
    cloud(film[1000 - t], axis, f"t = {t}", limit=2.6)

# %% [markdown] lang="en"
# For half of the time nothing seems to happen, as the curve of `linear` foretold. Then the cloud contracts to the heart. Nobody
# told the points to spread over all of it: in this sampler, it is the fresh noise that keeps them apart.
#
# The library's loop is the same. It takes a list of times, the *timesteps*, instead of a table; here with 20 steps, the same
# start and the same noise:
# %% [markdown] lang="vi" of="bfeea594"
# Suốt nửa thời gian dường như chẳng có gì xảy ra, đúng như đường cong của `linear` đã báo. Rồi đám mây co lại về trái tim. Không
# ai bảo các điểm phải trải khắp trái tim: với bộ lấy mẫu (sampler) này, chính nhiễu mới giữ chúng cách xa nhau.
#
# Vòng lặp của thư viện cũng thế. Nó nhận danh sách các thời điểm, gọi là *các bước thời gian*, thay cho bảng; dưới đây là 20
# bước, cùng điểm xuất phát và cùng nhiễu:

# %%
from minidiff.diffusion.prediction import denoiser as as_denoiser
from minidiff.diffusion.timesteps import uniform


def guess_coarse(x, t):
    return guess(x, 50 * t)


coarse, start = alpha_bar[::50], torch.randn(800, 2)        # (21,): 0, 50, ..., 1000
kept = [torch.randn(800, 2) for _ in range(21)]
*_, mine = sample_ddpm(guess_coarse, start, coarse, lambda t: kept[t])

# published tables leave out step 0, so their networks are told t - 1
theirs = as_denoiser(lambda x, timestep: points(x, timestep + 1), schedule, "eps")
with torch.no_grad():
    *_, last = samplers.sample(
        theirs, start, schedule, uniform(schedule, 20), eta=1.0,
        noise=lambda k: kept[20 - k],
    )
torch.testing.assert_close(mine, last.x, rtol=0, atol=1e-3)
source(samplers.sample)

# %% [markdown] lang="en"
# There is one trap on the way: published tables begin with the first *noisy* step, so networks made for them are told $t - 1$.
# An error of one in 1000 can't be seen in a picture, which is why it lives on in so much code. The library's
# `schedule.timestep` takes care of it.
# %% [markdown] lang="vi" of="a8bf69e6"
# Có một cái bẫy dọc đường: các bảng đã công bố bắt đầu từ bước *có nhiễu* đầu tiên, nên mạng huấn luyện theo các bảng ấy được
# báo $t - 1$. Lệch một trong 1000 thì nhìn ảnh không thấy, vì thế lỗi này sống dai trong rất nhiều mã nguồn.
# `schedule.timestep` của thư viện đã lo việc đó.

# %% [markdown] lang="en" slide="slide"
# ## 8. Break it on purpose
#
# Three sampling steps, each wrong in one place:
#
# - noise times the **variance** $\tilde\beta$ instead of its root;
# - $\sqrt{\bar\alpha_t}$ where $\sqrt{\alpha}$ belongs, in the weight of $x_t$;
# - **no** fresh noise at all.
#
# The right step stands first, for comparison. Last comes a step that has no fresh noise either, but keeps the old.
# %% [markdown] lang="vi" of="e0f825f1"
# ## 8. Cố tình làm hỏng
#
# Ba cách lấy mẫu, mỗi cách sai đúng một chỗ:
#
# - nhiễu nhân với **phương sai** $\tilde\beta$ thay vì căn của nó;
# - $\sqrt{\bar\alpha_t}$ ở chỗ của $\sqrt{\alpha}$, trong hệ số của $x_t$;
# - **không** có nhiễu mới nào cả.
#
# Bước đúng đứng đầu để so sánh. Cuối cùng là một bước cũng không có nhiễu mới, nhưng giữ lại nhiễu cũ.

# %% [markdown] lang="en" role="think"
# **Predict** each of the clouds before you run the cell: a point, a blob, a heart, an explosion?
# ---
# Variance for standard deviation: $\tilde\beta$ is about 0.02 here and its root 0.14, so six sevenths of the noise are missing,
# and the points run together. Without noise all of them end in one point. $\bar\alpha$ for $\alpha$: at every step $x_t$ counts
# for less than it should, $x$ shrinks, the network is shown clouds that it never saw, and a blob is left. And the last one is
# a heart, without any fresh noise: see below.
# %% [markdown] lang="vi" of="a07e8477"
# **Hãy đoán** từng đám mây trước khi chạy ô bên dưới: một điểm, một cục, một trái tim, hay nổ tung?
# ---
# Phương sai thay cho độ lệch chuẩn: ở đây $\tilde\beta$ cỡ 0.02, căn của nó là 0.14, nên thiếu mất sáu phần bảy lượng nhiễu và
# các điểm dồn vào nhau. Không có nhiễu thì tất cả kết thúc ở một điểm. $\bar\alpha$ thay cho $\alpha$: ở mỗi bước $x_t$ bị tính
# nhẹ đi, $x$ co lại, mạng phải nhìn những đám mây chưa từng thấy, và chỉ còn một cục tròn. Còn đám mây cuối là một trái tim, dù
# không có chút nhiễu mới nào: xem bên dưới.

# %% slide="fragment"
from functools import partial


# a, b: alpha_bar at t and at s
def broken(x, x0, a, b, noise, root=0.5, bar=False, dice=1):
    alpha, variance = a / b, (1 - a / b) * (1 - b) / (1 - a)
    mean_x0 = b.sqrt() * (1 - alpha) / (1 - a) * x0
    mean_x = (a if bar else alpha).sqrt() * (1 - b) / (1 - a) * x
    return mean_x0 + mean_x + dice * variance**root * noise


def old_noise(x, x0, a, b, noise):
    eps = (x - a.sqrt() * x0) / (1 - a).sqrt()                  # what the network said
    return b.sqrt() * x0 + (1 - b).sqrt() * eps


ways = {
    r"$\sqrt{\tilde\beta}$": broken,
    r"$\tilde\beta$": partial(broken, root=1),
    r"$\bar\alpha$ for $\alpha$": partial(broken, bar=True),
    "no noise": partial(broken, dice=0),
    "old noise": old_noise,
}
for (name, step), axis in zip(ways.items(), panels(5, 1.8), strict=True):
    noise, half = fresh((400, 2), seed=0), alpha_bar[::2]           # 500 steps
    *_, x = sample_ddpm(lambda x, t: guess(x, 2 * t), noise(), half, noise, step)
    cloud(x, axis, name, limit=2.6)

# %% [markdown] lang="en" role="pitfall" slide="slide"
# **Pitfall: a variance where a standard deviation belongs.**
#
# - *Symptom:* samples clump together or come out smooth and alike; no error, no warning, and the loss curve is fine.
# - *Cause:* `variance * noise`. A standard normal number has to be multiplied by a **standard deviation**.
# - *Fix:* `variance.sqrt() * noise`; and a test: noise a number by hand, step back, compare the histogram.
# %% [markdown] lang="vi" of="bfa407b8"
# **Bẫy: phương sai ở chỗ của độ lệch chuẩn.**
#
# - *Triệu chứng:* các mẫu dồn cục, hoặc trơn và giống nhau; không lỗi, không cảnh báo, đường cong hàm mất mát vẫn đẹp.
# - *Nguyên nhân:* `variance * noise`. Số chuẩn tắc phải nhân với **độ lệch chuẩn**.
# - *Cách sửa:* `variance.sqrt() * noise`; và một phép thử: tự thêm nhiễu vào một số, lùi lại, so biểu đồ tần suất.

# %% [markdown] lang="en" slide="slide"
# **So why does noise have to go in?** At step $s$ the noise in $x_s$ should have variance $1 - \bar\alpha_s$. The mean
# $\tilde\mu$ brings less, because it counts on fresh noise for the other $\tilde\beta$. In section 4, 0.36 is due at step 1: the
# mean brings 0.14, the dice 0.22. Without the dice, $x$ is cleaner at each step than the network is told, and the points run
# together into one average.
#
# The last cloud has no fresh noise either, but gives the *old* noise its full weight. So the amount is right at every step, and
# the points stay apart, because each keeps its own noise:
#
# $$x_s = \sqrt{\bar\alpha_s}\; \hat x_0 + \sqrt{1 - \bar\alpha_s}\; \epsilon_\theta$$
#
# This is **DDIM**. Lesson 04 shows that it and our step differ only in the setting of one knob.
# %% [markdown] lang="vi" of="5a46341e"
# **Vậy vì sao phải đưa nhiễu vào?** Tại bước $s$, nhiễu trong $x_s$ phải có phương sai $1 - \bar\alpha_s$. Riêng trung bình
# $\tilde\mu$ mang tới ít hơn, vì nó trông vào nhiễu mới để có phần $\tilde\beta$ còn lại. Ở mục 4, tại bước 1 phải có 0.36: trung
# bình mang tới 0.14, xúc xắc 0.22. Không có xúc xắc, ở mỗi bước $x$ sạch hơn mức mà mạng được báo, và các điểm dồn cả vào một
# trung bình.
#
# Đám mây cuối cũng không có nhiễu mới, nhưng cho nhiễu *cũ* trọn hệ số. Vì thế lượng nhiễu đúng ở mọi bước, và các điểm vẫn cách
# xa nhau, vì mỗi điểm giữ nhiễu của riêng mình:
#
# $$x_s = \sqrt{\bar\alpha_s}\; \hat x_0 + \sqrt{1 - \bar\alpha_s}\; \epsilon_\theta$$
#
# Đó là **DDIM**. Bài 04 cho thấy nó và bước của ta chỉ khác nhau ở vị trí của một núm vặn.

# %% [markdown] lang="en" role="think"
# **The second classic mistake.** `sample_ddpm` runs under `torch.no_grad()`. Without it every number is the same. What is
# not?
# ---
# Memory. Each step's `x` was computed from the last one, so PyTorch keeps the inputs of every layer of every step, in case
# someone calls `backward`. Below we count those bytes for a tiny network. A large U-Net fills a GPU within a few dozen steps.
# %% [markdown] lang="vi" of="d3bd41b7"
# **Lỗi kinh điển thứ hai.** `sample_ddpm` chạy dưới `torch.no_grad()`. Bỏ nó đi, mọi con số vẫn y nguyên. Vậy cái gì khác?
# ---
# Bộ nhớ. `x` của mỗi bước tính từ bước trước, nên PyTorch giữ lại đầu vào của mọi lớp ở mọi bước, phòng khi ai đó gọi
# `backward`. Dưới đây ta đếm số byte ấy với một mạng tí hon. Với một U-Net lớn, vài chục bước là đầy bộ nhớ GPU.

# %%
def memory(denoise, x, alpha_bar):
    weights = {p.data_ptr() for p in points.parameters()}           # there anyway
    megabytes = [0.0]

    def keep(tensor):
        megabytes[-1] += (tensor.data_ptr() not in weights) * tensor.nbytes / 2**20
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        for t in range(len(alpha_bar) - 1, 0, -1):
            megabytes.append(megabytes[-1])
            x0, noise = denoise(x, torch.full((len(x),), t)), torch.randn_like(x)
            x = ancestral_step(x, x0, alpha_bar[t], alpha_bar[t - 1], noise)
    return megabytes


kept = {"with gradients": memory(guess_coarse, start, coarse)}
with torch.no_grad():
    kept["no_grad"] = memory(guess_coarse, start, coarse)
lines(kept, title="MB kept after each step", x="step")

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

device, steps = ("cuda", 3000) if torch.cuda.is_available() else ("cpu", 300)
drawn = np.stack([portrait("heart", random.Random(n)) for n in range(96)])
hearts = nn.functional.avg_pool2d(to_tensor(drawn), 2).to(device)   # (96, 3, 16, 16)
torch.manual_seed(0)
config = UNetConfig(
    sample_size=16, in_channels=3, out_channels=3, channels=(32, 64), layers=1,
    attention=(False, True), head_dim=32, context_dim=None, groups=8,
)
unet, curve = UNet(config).to(device), cosine.float().to(device)
losses = train(unet, lambda: hearts[torch.randint(96, (16,))], curve, steps)

# %% [markdown] lang="en"
# `cosine` this time: it leaves more of a small picture to learn from. One more line is needed: at $t = 1000$ hardly any data is
# left, $\hat x_0$ is divided by a number near 0, and a small error becomes a huge one. Pictures lie in $-1..1$, so we keep the
# guess there. We take 100 steps, every tenth of the table.
# %% [markdown] lang="vi" of="1c61dbaf"
# Lần này dùng `cosine`: nó để lại nhiều thứ hơn cho một bức ảnh nhỏ học. Cần thêm một dòng: tại $t = 1000$ gần như không còn dữ
# liệu, $\hat x_0$ bị chia cho một số gần 0, và sai số nhỏ thành rất lớn. Ảnh nằm trong $-1..1$, nên ta giữ lời đoán trong khoảng
# đó. Ta đi 100 bước, cứ mười bước của bảng lấy một.

# %% slide="fragment"
guess_heart, dice = guess_x0(unet, curve), fresh((8, 3, 16, 16), seed=0)


def every_tenth(x, t):
    return guess_heart(x, 10 * t).clamp(-1, 1)


*_, x = sample_ddpm(
    every_tenth, dice().to(device), curve[::10], lambda t: dice().to(device)
)
show(torch.stack([hearts[:8], x]), titles=["data"] * 8 + ["drawn"] * 8)

# %% [markdown] lang="en"
# Hearts, after so little training: dented and mottled, but nobody drew them. They get better with more steps of training, not
# with other code. The next network has the same code and was trained for much longer.
# %% [markdown] lang="vi" of="6dd19cb8"
# Những trái tim, dù mới huấn luyện rất ít: móp méo, loang lổ, nhưng không ai vẽ chúng. Muốn đẹp hơn thì huấn luyện nhiều
# bước hơn, chứ không cần mã khác. Mạng tiếp theo dùng cùng mã ấy và đã được huấn luyện lâu hơn nhiều.

# %% [markdown] lang="en" slide="slide"
# ## 10. Our loop, the shipped network
#
# `world-pixels` is a wider U-Net from the same file, at 32 × 32, trained on tens of thousands of pictures. Our loop needs a
# `denoise(x, t)` and an `alpha_bar` of 51 entries. The pipeline's denoiser counts time from 0 to 1 and answers `(x0, eps)`.
# Hidden inside are two more things: the network was taught *v*, not $\epsilon$ (lesson 03), and it knows the word "star"
# (lesson 05).
# %% [markdown] lang="vi" of="c4016d54"
# ## 10. Vòng lặp của ta, mạng có sẵn
#
# `world-pixels` là một U-Net rộng hơn từ cùng tệp mã ấy, cỡ 32 × 32, huấn luyện trên hàng chục nghìn bức ảnh. Vòng lặp của ta
# cần `denoise(x, t)` và một `alpha_bar` gồm 51 phần tử. Bộ khử nhiễu của pipeline tính thời gian từ 0 đến 1 và trả lời
# `(x0, eps)`. Bên trong còn giấu hai điều: mạng được dạy *v* chứ không phải $\epsilon$ (bài 03), và nó biết từ "star" (bài
# 05).

# %% slide="fragment"
fifty = pipe.scheduler.schedule.alpha(torch.arange(51).double() / 50) ** 2      # (51,)
guesses = []


def denoise(x, t):
    guesses.append(denoiser(x, t[0].double() / 50)[0])                          # x0
    return guesses[-1]


film = list(sample_ddpm(denoise, opening[0], fifty, lambda t: opening[51 - t]))
torch.testing.assert_close(film[-1], states[-1].x, rtol=0, atol=1e-3)
titles = [rf"$x_{{{49 - k}}}$" for k in some] + [r"$\hat x_0$"] * len(some)
show([row[k][0] for row in (film, guesses) for k in some], titles)

# %% [markdown] lang="en"
# It is the star from the opening, now from our own twenty lines; the `assert` says that every pixel agrees. Above is $x_t$,
# below what the network believes at that moment. The first belief is a pale mean of stars; then the network commits itself,
# and only details change.
#
# You can try all 1000 steps, with `arange(1001) / 1000`: that takes twenty times as long, on a CPU the better part of a minute,
# and the pictures are no better.
# %% [markdown] lang="vi" of="d3cfa665"
# Đây chính là ngôi sao mở đầu, giờ đến từ hai mươi dòng của chính ta; `assert` xác nhận mọi điểm ảnh đều khớp. Hàng trên là
# $x_t$, hàng dưới là điều mạng tin vào lúc đó. Niềm tin đầu tiên là trung bình nhạt màu của các ngôi sao; rồi mạng quyết định, và
# chỉ còn chi tiết thay đổi.
#
# Bạn có thể thử đủ 1000 bước, với `arange(1001) / 1000`: lâu gấp hai mươi lần, trên CPU mất gần một phút, mà tranh không đẹp hơn.

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
# from missing noise by the look of the samples.
#
# **What still bothers.** We clamped a guess because it was divided by nearly 0: is the noise the right thing to ask for? Lesson
# 03 asks for other things. And a picture costs fifty calls of a network, with dice at each: lesson 04 throws the dice away.
#
# **Exercises:** [[notebook]].
#
# ### Sources
#
# - J. Sohl-Dickstein et al. 2015, *Deep Unsupervised Learning using Nonequilibrium Thermodynamics*: the forward and reverse process.
# - J. Ho, A. Jain, P. Abbeel 2020, *Denoising Diffusion Probabilistic Models*: eq. 4 (jump), 6–7 (step back), 12 (weighted loss),
#   14 (simple loss), section 4 (the betas).
# - A. Nichol, P. Dhariwal 2021, *Improved Denoising Diffusion Probabilistic Models*: eq. 17 (cosine schedule).
# - J. Song, C. Meng, S. Ermon 2021, *Denoising Diffusion Implicit Models*: eq. 12 and 16 (the step as the library writes it).
# %% [markdown] lang="vi" of="5fbbe8ee"
# **Giờ bạn có thể** thêm nhiễu vào bất cứ thứ gì bằng một lần nhảy, nói được vì sao hàm mất mát là sai số bình phương trung bình,
# huấn luyện, lấy mẫu, và nhìn mẫu là phân biệt được thiếu căn với thiếu nhiễu.
#
# **Điều còn vướng.** Ta phải cắt lời đoán vì nó bị chia cho một số gần 0: hỏi về nhiễu có phải là câu hỏi đúng không? Bài 03 sẽ hỏi
# những thứ khác. Và mỗi bức ảnh tốn năm mươi lần gọi mạng, lần nào cũng gieo xúc xắc: bài 04 vứt xúc xắc đi.
#
# **Bài tập:** [[notebook]].
#
# ### Nguồn
#
# - J. Sohl-Dickstein và cộng sự 2015, *Deep Unsupervised Learning using Nonequilibrium Thermodynamics*: quá trình thuận và
#   quá trình nghịch.
# - J. Ho, A. Jain, P. Abbeel 2020, *Denoising Diffusion Probabilistic Models*: công thức 4 (nhảy), 6–7 (bước ngược), 12 (hàm mất mát
#   có trọng số), 14 (hàm mất mát đơn giản), mục 4 (các beta).
# - A. Nichol, P. Dhariwal 2021, *Improved Denoising Diffusion Probabilistic Models*: công thức 17 (lịch cosine).
# - J. Song, C. Meng, S. Ermon 2021, *Denoising Diffusion Implicit Models*: công thức 12 và 16 (bước theo cách viết của thư viện).

# %% [markdown] lang="en" only="exercise"
# # 02 DDPM: exercises
#
# You write the functions of a diffusion model: the table of the schedule, the jump into noise, the loss, the step back (which
# comes broken), the sampling loop, and the training loop. The first ones then run inside a trained network; the last one trains
# a network of your own. Each time the picture must be the same as with the reference solution.
#
# Steps count as in the lesson: 0 is clean, $T$ is noise, and `alpha_bar` has $T + 1$ entries. Fill in one function, run its cell
# and the check below it, then go on. Nothing here needs a GPU.
# %% [markdown] lang="vi" of="2f9204f3" only="exercise"
# # 02 DDPM: bài tập
#
# Bạn sẽ viết các hàm của một mô hình khuếch tán: bảng của lịch nhiễu, bước nhảy vào nhiễu, hàm mất mát, bước ngược (được giao
# trong tình trạng hỏng), vòng lặp lấy mẫu, và vòng lặp huấn luyện. Những hàm đầu sau đó chạy bên trong một mạng đã huấn luyện; hàm
# cuối huấn luyện một mạng của riêng bạn. Lần nào bức tranh cũng phải giống bức vẽ bằng lời giải mẫu.
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
schedule = pipe.scheduler.schedule                      # cosine, time t in 0..1
alpha_bar = schedule.alpha(torch.arange(31) / 30) ** 2  # (31,): T = 30 steps
dice = torch.Generator().manual_seed(1)
noises = [torch.randn(2, 3, 32, 32, generator=dice) for _ in range(31)]
