"""Lesson 03: the four prediction types of a network, how much each time counts, and the averaged weights; measured."""

# %% [markdown] lang="en" slide="slide"
# # 03 What to predict
#
# One network, one seed, one sampler, four runs: a column each. A single word differs between them, the *prediction type*, which
# tells the sampler what the network's answer means. The network was trained with only one of the four. Which one? And why are
# the other three wrong in such different ways: black, noise, and almost right?
# %% [markdown] lang="vi" of="e3647278"
# # 03 Dự đoán cái gì
#
# Một mạng, một seed, một bộ lấy mẫu (sampler), bốn lần chạy: mỗi lần một cột. Giữa các lần chỉ đổi đúng một từ, *kiểu dự đoán*
# (prediction type), cho bộ lấy mẫu biết câu trả lời của mạng mang nghĩa gì. Mạng chỉ được huấn luyện với một trong bốn kiểu.
# Kiểu nào? Và vì sao ba kiểu kia sai theo ba cách khác hẳn nhau: đen kịt, toàn nhiễu, và gần đúng?

# %% slide="sub"
import torch

from minidiff import load_pipeline
from minidiff.data.world.scenes import SHAPES
from minidiff.diffusion.prediction import PREDICTION_TYPES, denoiser
from minidiff.diffusion.samplers import sample
from minidiff.diffusion.schedules import get_schedule
from minidiff.diffusion.timesteps import uniform

pipe = load_pipeline("world-pixels", dtype="float32")
schedule = get_schedule("cosine")       # alpha = cos(pi t / 2), sigma = sin(pi t / 2)
wanted = ("star", "house", "fish", "flower")
labels = torch.tensor([SHAPES.index(name) for name in wanted], device=pipe.device)
generator = torch.Generator().manual_seed(3)
noise = torch.randn(4, 3, 32, 32, generator=generator).to(pipe.device)


@torch.no_grad()
def network(x, timestep):
    return pipe.network.unet(x, timestep, labels=labels)        # (4, 3, 32, 32)


runs = {}
for prediction_type in PREDICTION_TYPES:
    model = denoiser(network, schedule, prediction_type)
    states = sample(model, noise, schedule, uniform(schedule, 12))
    runs[prediction_type] = [state.x for state in states]       # 12 of (4, 3, 32, 32)
pictures = torch.stack([xs[-1] for xs in runs.values()], dim=1)     # a column each
show(pictures[:2], titles=["?"] * 4)

# %% [markdown] lang="en" role="notes"
# Don't give the answer away. Ask for guesses, and let the class describe each of the wrong columns in one word; the pitfall
# near the end of the lesson comes back to them.
# %% [markdown] lang="vi" of="6187ec9e"
# Đừng nói đáp án. Hãy cho cả lớp đoán, và tả mỗi cột tranh hỏng bằng một từ; phần cái bẫy ở gần cuối bài sẽ quay lại với chúng.

# %% [markdown] lang="en"
# [[map]]
#
# **Aims.** You can convert each of eps, x0, v and flow into the others, by hand and in code; you can say where each of them
# is badly conditioned, and why v never is; you know what the cosine schedule, min-SNR weights and EMA change; you have
# compared prediction types, weights and EMA with equal compute, and you know what such a measurement can't tell.
#
# **Time:** [[time]]. **You need:** lessons 01 and 02 (a U-Net, the forward process, the training loop). The networks trained
# here are tiny and run on the CPU of any machine: a GPU would not be faster, and so everybody's numbers can be compared.
# %% [markdown] lang="vi" of="0b787102"
# [[map]]
#
# **Mục tiêu.** Bạn đổi được qua lại giữa eps, x0, v và flow, bằng tay và bằng mã; nói được mỗi kiểu kém ổn định (badly
# conditioned) ở đâu và vì sao v không bao giờ như thế; biết lịch cosine, trọng số min-SNR và EMA thay đổi điều gì; đã tự so
# các kiểu dự đoán, trọng số và EMA với cùng một lượng tính toán, và biết phép đo như vậy không nói lên được điều gì.
#
# **Thời gian:** [[time]]. **Cần có:** bài 01 và 02 (U-Net, quá trình thuận (forward process), vòng lặp huấn luyện). Các mạng
# được huấn luyện ở đây rất nhỏ và chạy trên CPU của máy nào cũng được: GPU không nhanh hơn, và nhờ vậy con số của mọi người so
# sánh được với nhau.

# %% [markdown] lang="en" role="think"
# **Three quick questions** from the lessons before.
#
# 1. `x_t = alpha x0 + sigma eps`. What are alpha and sigma of the cosine schedule at t = 0, at t = 1, and what is
#    alpha² + sigma² in between?
# 2. In lesson 02 the loss compared the network's answer with `eps`. What did the sampler then do to get `x0`?
# 3. Several pictures fit what a network sees, each with an eps of its own, and it is trained with a squared loss. Which eps
#    does it answer?
# ---
# 1. (1, 0), (0, 1), and 1 throughout: cos² + sin². (Lesson 02 wrote alpha as the root of `alpha_bar`.)
# 2. It solved for it: `x0 = (x_t - sigma eps) / alpha`. Look at that division again where t is near 1.
# 3. The mean of them all, E[eps | x_t], just as the network of lesson 01 answered E[x0 | x_t]. Every prediction in this
#    lesson is a mean like that.
# %% [markdown] lang="vi" of="7422f730"
# **Ba câu hỏi nhanh** từ các bài trước.
#
# 1. `x_t = alpha x0 + sigma eps`. Alpha và sigma của lịch cosine bằng bao nhiêu tại t = 0, tại t = 1, và ở giữa thì
#    alpha² + sigma² bằng bao nhiêu?
# 2. Ở bài 02, hàm mất mát (loss) so câu trả lời của mạng với `eps`. Sau đó bộ lấy mẫu làm gì để có `x0`?
# 3. Nhiều bức ảnh cùng khớp với điều mạng nhìn thấy, mỗi bức ứng với một eps riêng, và mạng được huấn luyện bằng sai số
#    bình phương. Nó trả lời eps nào?
# ---
# 1. (1, 0), (0, 1), và luôn bằng 1: cos² + sin². (Bài 02 viết alpha là căn bậc hai của `alpha_bar`.)
# 2. Nó giải phương trình: `x0 = (x_t - sigma eps) / alpha`. Hãy nhìn lại phép chia này khi t gần 1.
# 3. Trung bình của tất cả, E[eps | x_t], cũng như mạng ở bài 01 trả lời E[x0 | x_t]. Mọi dự đoán trong bài này đều là một
#    trung bình như thế.

# %% [markdown] lang="en" slide="slide"
# ## By hand: one pixel, four answers
#
# A pixel $x_0 = 1$, noise $\epsilon = -0.5$, at a time with $\alpha = 0.6$, $\sigma = 0.8$. The network sees $x$. Four targets:
#
# $$\epsilon \qquad x_0 \qquad v = \alpha\,\epsilon - \sigma\,x_0 \qquad \text{flow} = \epsilon - x_0$$
#
# Work out $x$, $v$ and flow on paper first.
# %% [markdown] lang="vi" of="8dacb943"
# ## Tính tay: một điểm ảnh, bốn câu trả lời
#
# Một điểm ảnh (pixel) $x_0 = 1$, nhiễu $\epsilon = -0.5$, ở thời điểm $\alpha = 0.6$, $\sigma = 0.8$. Mạng nhìn thấy $x$. Bốn
# mục tiêu:
#
# $$\epsilon \qquad x_0 \qquad v = \alpha\,\epsilon - \sigma\,x_0 \qquad \text{flow} = \epsilon - x_0$$
#
# Hãy tính $x$, $v$ và flow ra giấy trước.

# %%
alpha, sigma, x0, eps = 0.6, 0.8, 1.0, -0.5
x = alpha * x0 + sigma * eps
v = alpha * eps - sigma * x0
flow = eps - x0
print(f"x {x:.2f}   eps {eps}   x0 {x0}   v {v:.2f}   flow {flow}")
print(f"x0 from eps  {(x - sigma * eps) / alpha:.2f}")
print(f"x0 from v    {alpha * x - sigma * v:.2f}")      # as alpha^2 + sigma^2 = 1
print(f"x0 from flow {(x - sigma * flow) / (alpha + sigma):.2f}")

# %% [markdown] lang="en" role="think"
# Whichever of the four the network predicts, the other three follow from it and $x$: **two equations, two unknowns**. So why
# should it matter which one we ask for? Suppose that each answer is wrong by 0.1. Which of the four now gives the worst $x_0$?
# ---
# A network is never exactly right, and its error goes through the same formulas. It is multiplied by $\sigma/\alpha = 1.33$ for
# eps, by 1 for x0, by $\sigma = 0.8$ for v, by $\sigma/(\alpha+\sigma) = 0.57$ for flow. Here eps is the worst, but not by
# much. The next cell computes these factors for every time.
# %% [markdown] lang="vi" of="fe47059d"
# Mạng dự đoán đại lượng nào trong bốn cái thì từ nó và $x$ ta cũng tính ra ba cái còn lại: **hai phương trình, hai ẩn**. Vậy
# hỏi cái nào thì có gì khác nhau? Giả sử mỗi câu trả lời sai 0.1. Kiểu nào bây giờ cho $x_0$ tệ nhất?
# ---
# Mạng không bao giờ đúng tuyệt đối, và sai số của nó cũng đi qua chính các công thức ấy. Nó được nhân với $\sigma/\alpha =
# 1.33$ nếu là eps, với 1 nếu là x0, với $\sigma = 0.8$ nếu là v, với $\sigma/(\alpha+\sigma) = 0.57$ nếu là flow. Ở đây eps tệ
# nhất, nhưng không tệ hơn nhiều. Ô tiếp theo tính các hệ số này cho mọi thời điểm.

# %% slide="sub"
def into_x0(a, s):
    """The factor by which an error of each answer reaches x0."""
    return {"eps": s / a, "x0": a / a, "v": s, "flow": s / (a + s)}


t = torch.linspace(0.005, 0.995, 199)
a, s = schedule.alpha(t), schedule.sigma(t)
to_data = {name: (t, factor) for name, factor in into_x0(a, s).items()}
to_noise = {"eps": (t, a / a), "x0": (t, a / s), "v": (t, a), "flow": (t, a / (a + s))}
left, right = panels(2, sharey=True)
lines(to_data, left, "error of x0 / error of the answer", "t", log="y")
lines(to_noise, right, "error of eps / error of the answer", "t", log="y")

# %% [markdown] lang="en"
# **eps is badly conditioned near t = 1**: on its way to $x_0$ the error is multiplied by $\sigma/\alpha$, which is 64 at
# t = 0.99. **x0 is badly conditioned near t = 0**: on its way to eps the error is multiplied by $\alpha/\sigma$. **v and flow
# never amplify an error**: their factors are at most 1 everywhere.
# %% [markdown] lang="vi" of="34f9deb7"
# **eps kém ổn định khi t gần 1**: khi truyền sang $x_0$, sai số bị nhân với $\sigma/\alpha$, tức 64 lần tại t = 0.99. **x0 kém
# ổn định khi t gần 0**: khi truyền sang eps, sai số bị nhân với $\alpha/\sigma$. **v và flow không bao giờ khuếch đại sai số**:
# hệ số của chúng ở đâu cũng không quá 1.

# %% [markdown] lang="en"
# Now the same for a picture. Each column takes the *true* answer of its prediction type, adds the same error of standard
# deviation 0.1, and computes $x_0$ from it. Rows: t = 0.1, 0.5, 0.95. Before you run it: which of the twelve will be ruined?
# %% [markdown] lang="vi" of="8e5c9791"
# Giờ hãy làm như vậy với một bức ảnh. Mỗi cột lấy câu trả lời *đúng* theo kiểu dự đoán của nó, cộng cùng một sai số có độ lệch
# chuẩn (standard deviation) 0.1, rồi tính $x_0$ từ đó. Các hàng: t = 0.1, 0.5, 0.95. Trước khi chạy: ảnh nào trong mười hai ảnh
# sẽ hỏng?

# %%
from minidiff.diffusion.prediction import target, to_x0_eps
from minidiff.train.pixels import portraits
from minidiff.utils.images import to_tensor

portrait = to_tensor(portraits(4))[3:]          # (1, 3, 32, 32), number 3 is a star
generator = torch.Generator().manual_seed(0)
eps, error = torch.randn(2, 1, 3, 32, 32, generator=generator)
rows = []
for t in torch.tensor([0.1, 0.5, 0.95]):
    x = schedule.mix(portrait, eps, t)
    for prediction_type in PREDICTION_TYPES:
        answer = target(schedule, prediction_type, portrait, eps, t) + 0.1 * error
        rows.append(to_x0_eps(schedule, prediction_type, answer, x, t)[0][0])
show(rows, titles=PREDICTION_TYPES, columns=4)

# %% [markdown] lang="en"
# Only the picture of eps at t = 0.95, where the error of 0.1 became 1.27. Such times belong to the first steps of sampling,
# when everything is decided. (The weakness of x0 does not show in pictures of $x_0$: what goes wrong is the *eps* computed from
# it at small t.)
# %% [markdown] lang="vi" of="870da828"
# Chỉ ảnh của eps tại t = 0.95, nơi sai số 0.1 đã thành 1.27. Những thời điểm như thế thuộc về các bước lấy mẫu đầu tiên, lúc
# mọi thứ được quyết định. (Điểm yếu của x0 không hiện ra khi nhìn $x_0$: cái hỏng là *eps* tính từ nó khi t nhỏ.)

# %% [markdown] lang="en" slide="slide"
# ## The picture behind it: a rotation
#
# Put $x_0$ on one axis and eps on the other: data and noise are one point. The network sees only $x$, the shadow of the point
# on the line in direction $(\alpha, \sigma)$, at the angle $\varphi = \pi t / 2$. Its answer is the shadow on a second line.
# The two shadows fix the point: **best when the lines are perpendicular, not at all when they coincide**.
# %% [markdown] lang="vi" of="8a70734a"
# ## Hình học phía sau: một phép quay
#
# Đặt $x_0$ lên một trục, eps lên trục kia: dữ liệu và nhiễu là một điểm. Mạng chỉ nhìn thấy $x$, tức bóng của điểm ấy trên
# đường thẳng có hướng $(\alpha, \sigma)$, nghiêng góc $\varphi = \pi t / 2$. Câu trả lời của nó là bóng trên một đường thứ hai.
# Hai cái bóng xác định điểm: **tốt nhất khi hai đường vuông góc, và vô ích khi chúng trùng nhau**.

# %% slide="sub"
from math import cos, pi, sin


def shadows(t, axis):
    """The line of x, which the network sees (black), and those of the four answers."""
    a, s = cos(pi * t / 2), sin(pi * t / 2)
    answers = {"eps": (0, 1), "x0": (1, 0), "v": (-s, a), "flow": (-0.707, 0.707)}
    through_0 = {name: ([-i, i], [-j, j]) for name, (i, j) in answers.items()}
    lines({"x": ([-a, a], [-s, s])}, axis, color="black", lw=5)
    lines(through_0, axis)
    axis.set(xlim=(-1.1, 2.5), ylim=(-1.1, 1.1), aspect="equal", xticks=[], yticks=[])


slider(shadows, "t", [0.0, 0.25, 0.5, 0.75, 0.9, 1.0])

# %% [markdown] lang="en"
# As t grows, the black line makes a quarter turn, from $x_0$ to eps. **The line of v turns with it, always at a right angle**.
# The line of eps stands still, and the black one reaches it at t = 1: there, asking for eps is asking for what is already seen.
# For x0 the same is true at t = 0. The line of flow stands at 135°, never less than 45° from the black one.
# %% [markdown] lang="vi" of="9bdf3b26"
# Khi t tăng, đường đen quay một phần tư vòng, từ $x_0$ đến eps. **Đường của v quay theo nó, luôn vuông góc**. Đường của eps
# đứng yên, và tại t = 1 đường đen trùng với nó: ở đó, hỏi eps là hỏi điều đã nhìn thấy. Với x0, điều ấy xảy ra tại t = 0. Đường
# của flow đứng ở 135°, luôn lệch đường đen ít nhất 45°.

# %% [markdown] lang="en"
# In numbers: x and v are the coordinates of the point $(x_0, \epsilon)$ on axes that are **rotated** by $\varphi$, so the way
# back is the same matrix, transposed.
# $$\begin{pmatrix} x \\ v \end{pmatrix} = \begin{pmatrix} \alpha & \sigma \\ -\sigma & \alpha \end{pmatrix}
# \begin{pmatrix} x_0 \\ \epsilon \end{pmatrix}$$
# %% [markdown] lang="vi" of="86e62100"
# Bằng con số: x và v là tọa độ của điểm $(x_0, \epsilon)$ trên hệ trục được **quay** một góc $\varphi$, nên muốn đổi ngược lại
# chỉ cần dùng ma trận chuyển vị.
# $$\begin{pmatrix} x \\ v \end{pmatrix} = \begin{pmatrix} \alpha & \sigma \\ -\sigma & \alpha \end{pmatrix}
# \begin{pmatrix} x_0 \\ \epsilon \end{pmatrix}$$

# %%
rotation = torch.tensor([[0.6, 0.8], [-0.8, 0.6]])  # [[alpha, sigma], [-sigma, alpha]]
x_and_v = rotation @ torch.tensor([1.0, -0.5])      # x0 and eps of the pixel from above
print("x, v    ", x_and_v)
print("x0, eps ", rotation.T @ x_and_v)

# %% [markdown] lang="en"
# ## All four in one formula
#
# Every prediction is a weighted sum, $\text{pred} = a\,\epsilon + b\,x_0$, and so is $x = \sigma\,\epsilon + \alpha\,x_0$.
# Cramer's rule solves these two equations for any weights:
#
# $$\det = \alpha a - \sigma b \qquad x_0 = \frac{a\,x - \sigma\,\text{pred}}{\det} \qquad
# \epsilon = \frac{\alpha\,\text{pred} - b\,x}{\det}$$
# %% [markdown] lang="vi" of="e7371d41"
# ## Cả bốn trong một công thức
#
# Mỗi dự đoán là một tổng có trọng số, $\text{pred} = a\,\epsilon + b\,x_0$, và $x = \sigma\,\epsilon + \alpha\,x_0$ cũng vậy.
# Quy tắc Cramer giải hệ hai phương trình này với mọi trọng số:
#
# $$\det = \alpha a - \sigma b \qquad x_0 = \frac{a\,x - \sigma\,\text{pred}}{\det} \qquad
# \epsilon = \frac{\alpha\,\text{pred} - b\,x}{\det}$$

# %%
WEIGHTS = {                                             # the (a, b) of a eps + b x0
    "eps": lambda alpha, sigma: (1, 0),
    "x0": lambda alpha, sigma: (0, 1),
    "v": lambda alpha, sigma: (alpha, -sigma),
    "flow": lambda alpha, sigma: (1, -1),
}


def read(prediction_type, pred, x, alpha, sigma):
    """x0 and eps, each of the shape of x."""
    a, b = WEIGHTS[prediction_type](alpha, sigma)
    det = alpha * a - sigma * b
    return (a * x - sigma * pred) / det, (alpha * pred - b * x) / det

# %% [markdown] lang="en"
# The library does the same, and also handles the two places where det is 0.
# %% [markdown] lang="vi" of="78a082b2"
# Thư viện cũng làm đúng như vậy, và xử lý thêm hai chỗ mà det bằng 0.

# %%
source(target)
source(to_x0_eps)
x0, eps = torch.randn(2, 5, 3, 8, 8, generator=generator)   # (B, C, H, W), B = 5
t = torch.tensor([0.05, 0.3, 0.5, 0.7, 0.95])               # (B,)
a, s = (part.view(5, 1, 1, 1) for part in (schedule.alpha(t), schedule.sigma(t)))
x = schedule.mix(x0, eps, t)                                # (B, C, H, W)
for prediction_type in PREDICTION_TYPES:
    pred = target(schedule, prediction_type, x0, eps, t)    # (B, C, H, W), like x
    library = to_x0_eps(schedule, prediction_type, pred, x, t)
    torch.testing.assert_close(read(prediction_type, pred, x, a, s), library)

# %% [markdown] lang="en" role="think"
# With the cosine schedule alpha is 0 at t = 1, and $x_0$ can't be computed from `eps`. What should a sampler use instead in the
# very first step?
# ---
# The library takes $x_0 = 0$, the middle of the data's range: plain grey. An eps network can't say more there. (Stable
# Diffusion 1 predicts eps; its schedule ends a little before alpha = 0, so it divides by about 0.07.) A v network says
# something useful even at t = 1: its answer is then $-E[x_0]$.
#
# *Now is a good time for exercises 03.1 and 03.2.*
# %% [markdown] lang="vi" of="4c791603"
# Với lịch cosine, tại t = 1 alpha bằng 0 nên không tính được $x_0$ từ `eps`. Bạn sẽ cho bộ lấy mẫu dùng gì thay thế ở bước đầu
# tiên?
# ---
# Thư viện lấy $x_0 = 0$, điểm giữa khoảng giá trị của dữ liệu: một màu xám. Ở đó mạng eps không nói được gì hơn. (Stable
# Diffusion 1 dự đoán eps; lịch của nó dừng ngay trước khi alpha = 0, nên nó chia cho khoảng 0.07.) Mạng v thì nói được điều có
# ích ngay cả tại t = 1: câu trả lời của nó khi đó là $-E[x_0]$.
#
# *Đây là lúc thích hợp để làm bài tập 03.1 và 03.2.*

# %% [markdown] lang="en" slide="slide"
# ## Which times are trained on: the schedule
#
# How hard the network's task is depends on the **signal-to-noise ratio**, $\text{SNR} = \alpha^2 / \sigma^2$, and not on t
# itself. A noise schedule says how fast SNR falls as t goes from 0 to 1, and so at which SNRs the training time is spent.
# %% [markdown] lang="vi" of="5fcae914"
# ## Huấn luyện ở những thời điểm nào: lịch nhiễu
#
# Việc mạng phải làm khó hay dễ tùy thuộc vào **tỉ số tín hiệu trên nhiễu** (signal-to-noise ratio), $\text{SNR} = \alpha^2 /
# \sigma^2$, chứ không phải vào bản thân t. Lịch nhiễu (noise schedule) quy định SNR giảm nhanh thế nào khi t đi từ 0 đến 1, và
# qua đó thời gian huấn luyện được dành cho những SNR nào.

# %% slide="sub"
t = torch.linspace(0.005, 0.995, 199, dtype=torch.float64)
names = ("cosine", "linear", "scaled_linear", "flow")
log_snr = {name: 2 * get_schedule(name).log_snr_half(t) for name in names}
left, right = panels(2)
lines({name: (t, log_snr[name]) for name in names}, left, "log SNR", "t")
histogram(log_snr, right, "where uniform t spends its time", "log SNR", 24, lw=1.5,
          histtype="step", alpha=1)

# %%
for name in ("linear", "cosine"):
    share = float((log_snr[name] < -5).double().mean())
    print(f"{name:7} share of times with log SNR below -5: {share:.2f}")
t = torch.tensor([0.1, 0.25, 0.4, 0.55, 0.7, 0.85])         # (6,)
stars = portrait.expand(6, -1, -1, -1)                      # (6, 3, 32, 32)
eps = torch.randn(6, 3, 32, 32, generator=generator)
both = [get_schedule(name).mix(stars, eps, t) for name in ("linear", "cosine")]
show(torch.stack(both), titles=[f"t = {float(k):.2f}" for k in t])

# %% [markdown] lang="en"
# The upper row is the linear schedule (DDPM's), the lower row cosine. With 32 × 32 pixels, linear has almost hidden the star by
# t = 0.55. It spends 30 % of its times at a log SNR below -5, where there is hardly anything to see; cosine, which falls more
# evenly, spends 5 % there (Nichol & Dhariwal 2021). Larger pictures need more noise before as much is hidden, because
# neighbouring pixels say nearly the same, so the balance shifts.
# %% [markdown] lang="vi" of="df7d9c65"
# Hàng trên là lịch linear (của DDPM), hàng dưới là cosine. Với 32 × 32 điểm ảnh, linear gần như đã che mất ngôi sao từ t =
# 0.55. Nó dành 30 % thời gian cho log SNR dưới -5, nơi hầu như chẳng còn gì để nhìn; cosine giảm đều hơn, chỉ dành 5 % cho vùng
# đó (Nichol & Dhariwal 2021). Ảnh lớn hơn cần nhiều nhiễu hơn mới bị che như thế, vì các điểm ảnh cạnh nhau gần như giống nhau,
# nên thế cân bằng thay đổi.

# %% [markdown] lang="en" slide="slide"
# ## How much each time counts: min-SNR
#
# All four losses measure the same error, in different units. If $x_0$ is off by $d$, then eps is off by $-d\,\alpha/\sigma$,
# and $a\,\epsilon + b\,x_0$ by $d\,(b - a\,\alpha/\sigma)$. Squared:
#
# | prediction type | its plain loss = x0 loss times |
# |---|---|
# | eps | SNR |
# | x0 | 1 |
# | v | SNR + 1 |
# | flow | (1 + √SNR)² |
# %% [markdown] lang="vi" of="1af6d1a7"
# ## Mỗi thời điểm đáng giá bao nhiêu: min-SNR
#
# Cả bốn hàm mất mát đo cùng một sai số, bằng những đơn vị khác nhau. Nếu $x_0$ sai $d$ thì eps sai $-d\,\alpha/\sigma$, và
# $a\,\epsilon + b\,x_0$ sai $d\,(b - a\,\alpha/\sigma)$. Bình phương lên:
#
# | kiểu dự đoán | hàm mất mát thường = hàm mất mát theo x0 nhân với |
# |---|---|
# | eps | SNR |
# | x0 | 1 |
# | v | SNR + 1 |
# | flow | (1 + √SNR)² |

# %% [markdown] lang="en"
# Choosing a prediction type silently chooses a weight, too. At t = 0.02 SNR is about 1000: there the loss of eps counts an
# $x_0$ error a thousand times as much as in the middle, where SNR is 1, and the loss of v five hundred times as much.
# **Min-SNR** (Hang et al. 2023) makes the choice openly: it multiplies the squared $x_0$ error by $\min(\text{SNR}, \gamma)$,
# with $\gamma = 5$, for every prediction type. So divide by the factor of the type:
#
# $$w = \frac{\min(\text{SNR}, \gamma)}{(b - a\,\alpha/\sigma)^2}$$
# %% [markdown] lang="vi" of="83e2f242"
# Chọn kiểu dự đoán tức là cũng ngầm chọn trọng số. Tại t = 0.02, SNR vào khoảng 1000: ở đó hàm mất mát của eps coi sai số của
# $x_0$ nặng gấp một nghìn lần so với ở giữa, nơi SNR bằng 1, còn của v thì gấp năm trăm lần. **Min-SNR** (Hang và cộng
# sự 2023) chọn một cách công khai: với mọi kiểu dự đoán, bình phương sai số của $x_0$ được nhân với $\min(\text{SNR}, \gamma)$,
# với $\gamma = 5$. Vậy chỉ việc chia cho thừa số riêng của từng kiểu:
#
# $$w = \frac{\min(\text{SNR}, \gamma)}{(b - a\,\alpha/\sigma)^2}$$

# %% slide="sub"
from minidiff.diffusion.losses import min_snr_weight

t = torch.linspace(0.01, 0.99, 99)
snr = (schedule.alpha(t) / schedule.sigma(t)) ** 2
clipped = snr.clamp(max=5)                                  # min(SNR, 5)
plain = {"eps": snr, "x0": snr / snr, "v": snr + 1, "flow": (1 + snr.sqrt()) ** 2}
weights = {name: min_snr_weight(schedule, name, t) for name in PREDICTION_TYPES}
for name, weight in weights.items():
    torch.testing.assert_close(weight, clipped / plain[name], rtol=1e-4, atol=1e-6)

on_x0 = {name: (t, factor) for name, factor in plain.items()}
on_x0["min(SNR, 5)"] = (t, clipped)
on_loss = {name: (t, weight) for name, weight in weights.items()}
left, right = panels(2)
lines(on_x0, left, "weight of an x0 error", "t", log="y")
lines(on_loss, right, "min-SNR weight of each loss", "t")

# %%
source(min_snr_weight)

# %% [markdown] lang="en" role="think"
# Take *any* guess of $x_0$, convert it into a prediction of each type, and compute the four losses: first plain, then with
# min-SNR weights. Which of these eight numbers will be equal?
# ---
# The four weighted ones, up to float32's rounding; the plain ones differ by large factors. This makes a sharp test of code: a
# wrong weight or a wrong target of any type breaks it.
# %% [markdown] lang="vi" of="3d9ab9de"
# Lấy *một* ước đoán bất kỳ của $x_0$, đổi nó thành dự đoán theo từng kiểu rồi tính bốn giá trị mất mát: trước tiên là loại
# thường, sau đó nhân trọng số min-SNR. Những số nào trong tám số này sẽ bằng nhau?
# ---
# Bốn số có trọng số, chỉ chênh nhau do float32 làm tròn; các số thường thì khác nhau nhiều lần. Đây là một phép thử sắc bén cho
# mã: chỉ cần một trọng số hay một mục tiêu sai ở kiểu nào đó là nó không còn đúng.

# %%
from minidiff.diffusion.losses import diffusion_loss

t = torch.linspace(0.05, 0.95, 64)
x0, eps, wrong = torch.randn(3, 64, 2, generator=generator)
x = schedule.mix(x0, eps, t)
guess = x0 + 0.1 * wrong
_, its_eps = to_x0_eps(schedule, "x0", guess, x, t)         # the eps that goes with it
for prediction_type in PREDICTION_TYPES:
    pred = target(schedule, prediction_type, guess, its_eps, t)
    weight = min_snr_weight(schedule, prediction_type, t)
    given = (pred, x0, eps, t, schedule, prediction_type)
    plain_loss, weighted = diffusion_loss(*given), diffusion_loss(*given, weight)
    print(f"{prediction_type:5} plain {plain_loss:.4f}   min-SNR {weighted:.4f}")

# %% [markdown] lang="en" slide="slide"
# ## The last trick: average the weights (EMA)
#
# Training ends wherever the last noisy step has left the weights. When a walk jitters around a goal, its average is usually
# nearer to the goal than the walk itself. So keep a second copy of the weights that follows slowly, and sample with **that**
# (EMA: exponential moving average; exercise 02.6 had it without the warm-up below):
#
# $$\bar w \leftarrow d\,\bar w + (1 - d)\,w$$
# %% [markdown] lang="vi" of="c001dc5b"
# ## Mẹo cuối: lấy trung bình các trọng số (EMA)
#
# Huấn luyện kết thúc với trọng số ở chỗ mà bước cập nhật cuối cùng, vốn đầy nhiễu, để lại. Khi một đường đi dao động quanh
# đích, trung bình của nó thường gần đích hơn chính nó. Vậy hãy giữ một bản sao thứ hai của trọng số, đi theo thật chậm, và
# lấy mẫu bằng **bản đó** (EMA: exponential moving average, trung bình trượt hàm mũ; bài tập 02.6 đã viết nó, chưa có phần
# khởi động dưới đây):
#
# $$\bar w \leftarrow d\,\bar w + (1 - d)\,w$$

# %% slide="sub"
steps = torch.arange(400)
jitter = torch.randn(400, generator=torch.Generator().manual_seed(0))
walk = (1 - 2 * torch.exp(-steps / 40) + 0.3 * jitter).tolist()     # from -1 to 1


def averaged(walk, decay, warm_up=True):
    """The average after each update; like the walk it starts at -1."""
    average, trace = -1.0, []
    for n, w in enumerate(walk):
        d = min(decay, (1 + n) / (10 + n)) if warm_up else decay
        average = d * average + (1 - d) * w
        trace.append(average)
    return trace


def follow(decay, axis):
    with_it, without = averaged(walk, decay), averaged(walk, decay, warm_up=False)
    lines({"weight": walk}, axis, color="0.8", lw=0.7)
    lines({"no warm-up": without, "average": with_it}, axis)


slider(follow, "decay", [0.0, 0.9, 0.98, 0.995])

# %% [markdown] lang="en"
# Grey: the weight. Orange: its average. A decay of 0 does not average at all; 0.98 remembers about $1/(1-d) = 50$ steps, and
# 0.995 about 200. But look at the blue line there: it still remembers the untrained beginning. The **warm-up**,
# $d = \min(\text{decay}, (1+n)/(10+n))$ at update n, forgets it in time.
# %% [markdown] lang="vi" of="cf1dd45c"
# Xám: trọng số. Cam: trung bình của nó. Decay bằng 0 là không lấy trung bình; 0.98 nhớ khoảng $1/(1-d) = 50$ bước, còn 0.995
# nhớ khoảng 200. Nhưng hãy nhìn đường màu xanh ở đó: nó vẫn còn nhớ lúc khởi đầu, khi chưa học gì. **Khởi động** (warm-up),
# $d = \min(\text{decay}, (1+n)/(10+n))$ ở lần cập nhật n, giúp quên phần đó kịp lúc.

# %%
from torch import nn

from minidiff.train.ema import EMA

source(EMA.update)
weight = nn.Linear(1, 1, bias=False)
nn.init.constant_(weight.weight, -1.0)
ema = EMA(weight, decay=0.98)
for w in walk:
    nn.init.constant_(weight.weight, w)                 # as an optimiser's step does
    ema.update(weight)
assert abs(float(ema.average["weight"]) - averaged(walk, 0.98)[-1]) < 1e-4

# %% [markdown] lang="en"
# *Now is a good time for exercises 03.3 and 03.4.* Next comes the question of what all this is worth.
# %% [markdown] lang="vi" of="dd2cb238"
# *Đây là lúc thích hợp để làm bài tập 03.3 và 03.4.* Tiếp theo, hãy xem tất cả những thứ ấy đáng giá bao nhiêu.

# %% [markdown] lang="en" slide="slide"
# ## Measured: four prediction types, two weightings, with and without EMA
#
# To know how wrong a network is, you need the right answer. For data made of Gaussians it is a formula (`analytic.mixture`). So
# the data are points in the plane around four places, every network's $x_0$ is compared with the exact $E[x_0 \mid x_t]$, and
# everything else is **equal**: the same starting weights, batches, noise, steps and learning rate.
# %% [markdown] lang="vi" of="aaba6abf"
# ## Đo đạc: bốn kiểu dự đoán, hai cách đánh trọng số, có và không có EMA
#
# Muốn biết mạng sai bao nhiêu thì phải có đáp án đúng. Với dữ liệu tạo từ phân phối Gauss, đáp án là một công thức
# (`analytic.mixture`). Vậy nên dữ liệu là các điểm trên mặt phẳng quanh bốn vị trí, $x_0$ của từng mạng được so với
# $E[x_0 \mid x_t]$ chính xác, và mọi thứ khác **như nhau**: cùng trọng số ban đầu, cùng lô (batch), cùng nhiễu, cùng số bước
# và tốc độ học.

# %%
from minidiff.diffusion.analytic import mixture

MEANS, STD = (-1.0, 1.0), 0.2
exact = mixture(schedule, MEANS, STD)       # (x, t) -> (x0, eps), the best there is


def points(shape, generator):
    """Each coordinate normal around -1 or around 1."""
    centres = torch.tensor(MEANS)[torch.randint(2, shape, generator=generator)]
    return centres + STD * torch.randn(shape, generator=generator)


generator = torch.Generator().manual_seed(2)
x0 = points((512, 2), generator)
eps, start = torch.randn(2, 512, 2, generator=generator)
t = torch.tensor(0.5)
x = schedule.mix(x0, eps, t)
clouds = {"x0": x0, "x at t = 0.5": x, "E[x0 | x]": exact(x, t)[0]}
for axis, (name, where) in zip(panels(3), clouds.items(), strict=True):
    cloud(where, axis, name, limit=2.8)

# %% [markdown] lang="en"
# Eight ways to train (4 prediction types, plain or min-SNR) with three seeds each make 24 small networks. They are trained
# **side by side**, as one stack of matrices; a batched product keeps them apart. R = 8 runs, S = 3 seeds.
# %% [markdown] lang="vi" of="bbf5a9fe"
# Tám cách huấn luyện (4 kiểu dự đoán, thường hoặc min-SNR), mỗi cách ba seed, thành 24 mạng nhỏ. Chúng được huấn luyện **song
# song** như một chồng ma trận; phép nhân theo lô giữ chúng tách rời nhau. R = 8 cách, S = 3 seed.

# %%
from itertools import pairwise

import torch.nn.functional as F

from minidiff.nn.embeddings import timestep_embedding

RUNS = [(name, snr) for name in PREDICTION_TYPES for snr in (False, True)]
R, SEEDS, BATCH, STEPS = len(RUNS), 3, 128, 800             # R = 8

# %% [markdown] lang="en"
# Each network has two hidden layers of 64. A point and its time go in, as 2 + 32 numbers; a prediction, of the point's shape,
# comes out. Weights are (R, S, in, out), so `h @ weight` is R × S products at once.
# %% [markdown] lang="vi" of="4109632a"
# Mỗi mạng có hai lớp ẩn rộng 64. Đầu vào là một điểm và thời điểm của nó, gồm 2 + 32 số; đầu ra là một dự đoán cùng kích thước
# với điểm. Trọng số có kích thước (R, S, vào, ra), nên `h @ weight` là R × S phép nhân cùng lúc.

# %%
class Crowd(nn.Module):
    """R x S networks: x (..., S, B, 2) and timestep to predictions (R, S, B, 2)."""

    def __init__(self, runs, seeds, width=64):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for i, o in pairwise([2 + 32, width, width, 2]):
            weight = torch.randn(1, seeds, i, o, generator=generator) * (2 / i) ** 0.5
            self.weights.append(weight.repeat(runs, 1, 1, 1))   # all runs start alike
            self.biases.append(torch.zeros(runs, seeds, 1, o))
        nn.init.zeros_(self.weights[-1])

    def forward(self, x, timestep):
        time = timestep_embedding(timestep.reshape(-1), 32).view(*timestep.shape, 32)
        h = torch.cat([x, time.expand(*x.shape[:-1], 32)], dim=-1)  # (..., S, B, 34)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            h = F.silu(h @ weight + bias)                           # (R, S, B, 64)
        return h @ self.weights[-1] + self.biases[-1]

# %% [markdown] lang="en"
# The loop is that of lesson 02; only the goal and its weight are new. EMA needs no training of its own: the same run gives both
# its last weights and their average.
# %% [markdown] lang="vi" of="161e3b9a"
# Vòng lặp chính là của bài 02; chỉ mục tiêu và trọng số của nó là mới. EMA không cần huấn luyện riêng: cùng một lần chạy cho
# cả trọng số cuối lẫn trung bình của chúng.

# %%
crowd = Crowd(R, SEEDS)
ema = EMA(crowd, decay=0.99)
optimizer = torch.optim.Adam(crowd.parameters(), lr=3e-3)
generator = torch.Generator().manual_seed(1)
n, ones = SEEDS * BATCH, torch.ones(SEEDS * BATCH)
for _ in range(STEPS):
    data = points((n, 2), generator)                        # (S B, 2)
    its_noise = torch.randn(n, 2, generator=generator)
    t = torch.rand(n, generator=generator)                  # (S B,)
    x, timestep = schedule.mix(data, its_noise, t), schedule.timestep(t)
    pred = crowd(x.view(SEEDS, BATCH, 2), timestep.view(SEEDS, BATCH))  # (R, S, B, 2)
    goals = [target(schedule, name, data, its_noise, t) for name, _ in RUNS]
    difference = pred - torch.stack(goals).view(pred.shape)
    weights = [min_snr_weight(schedule, name, t) if snr else ones for name, snr in RUNS]
    losses = difference.square().mean(-1) * torch.stack(weights).view(R, SEEDS, BATCH)
    optimizer.zero_grad()
    losses.mean(-1).sum().backward()    # a sum: no network touches another's gradient
    optimizer.step()
    ema.update(crowd)
smoothed = Crowd(R, SEEDS)
ema.copy_to(smoothed)

# %% [markdown] lang="en" role="think"
# Two things will be measured: how far each network's $x_0$ is from the exact one at every time, and how far its *samples* are
# from those that the exact denoiser makes from the same noise. Commit yourself: which prediction type will be worst at t =
# 0.98, which at t = 0.02, and by what factor? Will the samples differ as much?
# ---
# At both ends, the left plot below should look like the amplification curves near the start of this lesson. The samples are
# another matter: later steps look again, and repair part of an error made at t = 0.98. Read the table before you believe
# anything.
# %% [markdown] lang="vi" of="38946365"
# Ta sẽ đo hai thứ: $x_0$ của mỗi mạng cách đáp án bao xa tại từng thời điểm, và các *mẫu* của nó cách bao xa so với những mẫu
# mà bộ khử nhiễu chính xác tạo ra từ cùng nhiễu đó. Hãy chốt trước: kiểu dự đoán nào tệ nhất tại t = 0.98, kiểu nào tại t =
# 0.02, và gấp mấy lần? Các mẫu có chênh nhau nhiều như thế không?
# ---
# Ở hai đầu, hình bên trái dưới đây sẽ giống các đường khuếch đại ở đầu bài. Các mẫu lại là chuyện khác: các bước sau nhìn lại
# và sửa bớt sai số đã mắc tại t = 0.98. Hãy đọc bảng trước khi tin bất cứ điều gì.

# %%
def denoise_with(net):
    """All networks as one denoiser: x (R, S, N, 2), t () to x0 and eps, like x."""
    @torch.no_grad()
    def denoise(x, t):
        pred = net(x, schedule.timestep(t))
        parts = zip(RUNS, pred, x, strict=True)
        pairs = [to_x0_eps(schedule, name, p, x, t) for (name, _), p, x in parts]
        return tuple(torch.stack(part) for part in zip(*pairs, strict=True))
    return denoise

# %% [markdown] lang="en"
# First, the distance between a network's $x_0$ and the exact one, at one time, over 512 fresh points.
# %% [markdown] lang="vi" of="6bb12fb0"
# Thứ nhất, khoảng cách giữa $x_0$ của mạng và $x_0$ chính xác, tại một thời điểm, trên 512 điểm mới.

# %%
def rms(difference):
    return difference.square().sum(-1).mean(-1).sqrt()      # (..., N, 2) to (...)


def x0_error(net, t):
    x = schedule.mix(x0, eps, t)                            # (N, 2)
    found, _ = denoise_with(net)(x.expand(R, SEEDS, -1, -1), t)
    return rms(found - exact(x, t)[0])                      # (R, S)


TIMES = torch.tensor([2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98]) / 100   # (T,)
nets = {"last": crowd, "EMA": smoothed}
errors = {
    name: torch.stack([x0_error(net, t) for t in TIMES], dim=-1)    # (R, S, T)
    for name, net in nets.items()
}

# %% [markdown] lang="en"
# Second, the distance between the samples after 40 steps from the same 512 draws of noise.
# %% [markdown] lang="vi" of="f5c4b3a9"
# Thứ hai, khoảng cách giữa các mẫu sau 40 bước, xuất phát từ cùng 512 mẫu nhiễu.

# %%
def landing(denoise, x):
    *_, last = sample(denoise, x, schedule, uniform(schedule, 40))
    return last.x


right_place = landing(exact, start)                         # (512, 2)
starts = start.expand(R, SEEDS, -1, -1)                     # (R, S, 512, 2)
ends = {
    name: rms(landing(denoise_with(net), starts) - right_place)     # (R, S)
    for name, net in nets.items()
}

# %%
from math import comb

print("             error of x0 (EMA) at t =   samples, mean ± std of the seeds")
print("              0.02    0.50    0.98      last weights      EMA")
for k, (name, snr) in enumerate(RUNS):
    by_time = errors["EMA"][k].mean(0)[[0, 6, -1]]          # at t = 0.02, 0.5 and 0.98
    middle = "".join(f"{error:8.3f}" for error in by_time)
    samples = [f"{end[k].mean():.3f} ± {end[k].std():.3f}" for end in ends.values()]
    print(f"{name:5}{'min-SNR' if snr else '':8}{middle}", *samples, sep="     ")

min_snr_wins = ends["EMA"][1::2] < ends["EMA"][::2]         # (4, S)
pairs = {"EMA": ends["EMA"] < ends["last"], "min-SNR": min_snr_wins}
for name, wins in pairs.items():
    k, n = int(wins.sum()), wins.numel()
    by_chance = sum(comb(n, j) for j in range(k, n + 1)) / 2**n
    print(f"{name} is nearer {k} times out of {n} (a fair coin: {by_chance:.2f})")

# %% slide="sub"
plain = errors["EMA"][::2].mean(1)                          # (4, T), mean of the seeds
error = dict(zip(PREDICTION_TYPES, plain, strict=True))
factor = into_x0(schedule.alpha(TIMES), schedule.sigma(TIMES))
x0s = {name: (TIMES, error[name]) for name in PREDICTION_TYPES}
owns = {name: (TIMES, error[name] / factor[name]) for name in PREDICTION_TYPES}
left, right = panels(2, sharey=True)
lines(x0s, left, "error of x0", "t", log="y")
lines(owns, right, "error of the network's own answer", "t", log="y")

# %% slide="sub"
recipes = [f"{name}\nmin-SNR" if snr else name for name, snr in RUNS]
dots = {name: (recipes * SEEDS, end.T.flatten()) for name, end in ends.items()}
title = "distance of the samples from the exact ones, a dot for each seed"
lines(dots, title=title, marker="o", ms=5, ls="", alpha=0.6)

# %%
at_098, at_002 = errors["EMA"][..., -1], errors["EMA"][..., 0]      # (R, S)
assert (at_098[0] > 3 * at_098[2::2]).all()             # eps is worst, for every seed
assert (at_002[2] > 3 * at_002[[0, 4, 6]]).all()        # x0 is worst, for every seed

# %% [markdown] lang="en" slide="slide"
# ### What this says
#
# - **The ends behave as computed**, for every seed: eps is by far the worst at t = 0.98, and x0 at t = 0.02. The networks'
#   *own* errors are far more alike (right plot).
# - **EMA costs one copy of the weights and mostly helps**: see the count below the table.
# - **Min-SNR moves errors elsewhere**: it gives little weight to the noisy end, and there x0, v and flow become several times
#   worse.
# %% [markdown] lang="vi" of="5f5ce0f6"
# ### Điều phép đo này nói
#
# - **Hai đầu đúng như đã tính**, với mọi seed: eps tệ hơn hẳn các kiểu khác tại t = 0.98, và x0 tại t = 0.02. Sai số *của chính
#   câu trả lời* thì gần nhau hơn nhiều (hình phải).
# - **EMA chỉ tốn một bản sao trọng số và phần lớn là có ích**: xem con số đếm dưới bảng.
# - **Min-SNR dời sai số đi chỗ khác**: nó cho đầu nhiều nhiễu trọng số rất nhỏ, và ở đó x0, v và flow tệ đi mấy lần.

# %% [markdown] lang="en" slide="sub"
# ### What it can't say
#
# Look at the dots: three seeds of *one* recipe can lie further apart than two recipes do (v most of all). A ranking of the
# prediction types by these dots **may not survive** three other seeds or another learning rate, and twelve pairs do not settle
# whether min-SNR helps.
# %% [markdown] lang="vi" of="d4aa2395"
# ### Điều nó không thể nói
#
# Hãy nhìn các chấm: ba seed của *cùng* một cách huấn luyện có thể chênh nhau hơn cả hai cách khác nhau (nhất là v). Thứ hạng
# các kiểu dự đoán theo những chấm này **có thể không còn đúng** với ba seed khác hay tốc độ học khác, và mười hai cặp cũng chưa
# đủ để nói min-SNR có ích hay không.

# %% [markdown] lang="en"
# The probability for a fair coin assumes independent seeds and rows, which is not quite true of networks that share batches.
# And this was a plane with four heaps, one size of network, one learning rate, 800 steps. Pictures fill only a thin part of a
# space of thousands of dimensions, while noise fills all of it, so what is *easy to output* matters too, not only how errors
# convert; with large patches (lesson 09) this favours x0. All four used the cosine schedule here, though flow usually has a
# schedule of its own, a straight line from data to noise (lesson 10). A fair test trains each prediction type at its best
# learning rate, on the real data, with several seeds, and measures samples (lesson 14).
#
# What v and flow offer is not a better last digit but **no time at which errors are amplified**. That is no accident of the
# seeds: it follows from the determinant, and it is why minidiff's own models predict v.
# %% [markdown] lang="vi" of="25712a55"
# Xác suất của đồng xu cân đối giả định các seed và các dòng độc lập với nhau, điều không hẳn đúng với những mạng học chung
# các lô. Và đây là một mặt phẳng với bốn cụm điểm, một cỡ mạng, một tốc độ học, 800 bước. Ảnh chỉ chiếm một phần rất mỏng của
# không gian hàng nghìn chiều, còn nhiễu lấp đầy cả không gian, nên cái gì *dễ xuất ra* cũng quan trọng, không chỉ chuyện sai
# số được đổi ra sao; với patch lớn (bài 09), điều đó có lợi cho x0. Ở đây cả bốn dùng chung lịch cosine, dù flow thường có
# lịch nhiễu riêng, một đường thẳng từ dữ liệu đến nhiễu (bài 10). Muốn so công bằng phải huấn luyện mỗi kiểu dự đoán với tốc
# độ học tốt nhất của nó, trên dữ liệu thật, với nhiều seed, rồi đo các mẫu (bài 14).
#
# Thứ v và flow mang lại không phải chữ số cuối đẹp hơn mà là **không khuếch đại sai số ở thời điểm nào**. Điều đó không phải
# do seed may rủi: nó suy ra từ định thức, và vì thế các mô hình của minidiff dự đoán v.

# %% [markdown] lang="en" role="pitfall" slide="slide"
# ## The pitfall: one prediction type read as another
#
# Back to the opening. The shipped network predicts **v**. The tensor has the right shape whatever it means, so no error is
# raised.
#
# **Symptom**: pictures that are black and glowing, pure noise, or right but grainy. **Cause**: sampler and training disagree on
# the prediction type. **Fix**: store `prediction_type` beside the weights, and read it from there.
# %% [markdown] lang="vi" of="2737058e"
# ## Cái bẫy: đọc kiểu dự đoán này thành kiểu kia
#
# Trở lại với hình mở đầu. Mạng có sẵn dự đoán **v**. Tensor có đúng kích thước dù mang nghĩa nào, nên chẳng có lỗi nào được
# báo.
#
# **Triệu chứng**: ảnh đen và lóa, toàn nhiễu, hoặc đúng nhưng lấm tấm hạt. **Nguyên nhân**: bộ lấy mẫu và lúc huấn luyện không
# thống nhất về kiểu dự đoán. **Cách sửa**: lưu `prediction_type` cùng trọng số, và đọc nó từ đó.

# %% slide="sub"
print("prediction type that the pipeline read from the zoo:", pipe.prediction_type)
show(pictures[:2], titles=list(runs))
for name, xs in runs.items():
    spread = " ".join(f"{float(xs[k].std()):.2f}" for k in (0, 3, 7, 11))
    print(f"{name:5} std of x at steps 1, 4, 8, 12: {spread}")

# %% [markdown] lang="en" role="think"
# v is about $-x_0$ near t = 1, and about eps near t = 0. Explain the three wrong columns.
# ---
# *As eps*: at the start the answer (about $-x_0$, small) is taken for the noise, so the noise vanishes at once (std falls far
# below 1), and $x - \sigma v$ is divided by a small alpha: dark, overblown blobs. *As x0*: at the end the answer is eps, and
# it is returned as the picture: noise. *As flow*: the lines of v and flow are never more than 45° apart, so the picture comes
# out, but the $x_0$ that is read still holds $\sigma(1 - \alpha)/(\alpha + \sigma)$ of the noise: grain stays. The last is
# the dangerous one: it looks like a badly trained model.
# %% [markdown] lang="vi" of="d40c1a8f"
# v xấp xỉ $-x_0$ khi t gần 1, và xấp xỉ eps khi t gần 0. Hãy giải thích ba cột tranh hỏng.
# ---
# *Đọc là eps*: lúc đầu câu trả lời (khoảng $-x_0$, nhỏ) bị coi là nhiễu, nên nhiễu biến mất ngay (std tụt xuống thấp hơn 1
# nhiều), còn $x - \sigma v$ lại bị chia cho alpha rất nhỏ: những mảng tối, cháy. *Đọc là x0*: ở cuối, câu trả lời là eps và
# được trả về làm bức ảnh: nhiễu. *Đọc là flow*: đường của v và đường của flow không bao giờ lệch nhau quá 45°, nên bức ảnh
# vẫn hiện ra, nhưng $x_0$ đọc được còn chứa $\sigma(1 - \alpha)/(\alpha + \sigma)$ lần nhiễu: hạt còn lại. Trường hợp sau
# cùng mới nguy hiểm: trông hệt như một mô hình học dở.

# %% [markdown] lang="en"
# **How to find out a network's prediction type:** add noise to some real pictures, run the network once, and compute the
# min-SNR loss against the target of each type. Those four numbers are in the same unit (they are all $x_0$ losses), so they can
# be compared, and the smallest one names the type.
# %% [markdown] lang="vi" of="c0bff8ad"
# **Làm sao biết kiểu dự đoán của một mạng:** thêm nhiễu vào vài bức ảnh thật, chạy mạng một lần, rồi tính hàm mất mát min-SNR
# so với mục tiêu của từng kiểu. Bốn số ấy cùng đơn vị (đều là giá trị mất mát theo $x_0$) nên so sánh được, và số nhỏ nhất cho
# biết kiểu.

# %%
real = to_tensor(portraits(18, "validation"))   # (18, 3, 32, 32), all kinds of things
t = torch.linspace(0.1, 0.9, 18)
its_noise = torch.randn(real.shape, generator=generator)
with torch.no_grad():
    x, timestep = schedule.mix(real, its_noise, t), schedule.timestep(t)
    kinds = torch.arange(18, device=pipe.device)
    pred = pipe.network.unet(x.to(pipe.device), timestep.to(pipe.device), labels=kinds)
found = {}
for name in PREDICTION_TYPES:
    weight = min_snr_weight(schedule, name, t)
    loss = diffusion_loss(pred.cpu(), real, its_noise, t, schedule, name, weight)
    found[name] = round(float(loss), 3)
print(found)
assert min(found, key=found.get) == pipe.prediction_type

# %% [markdown] lang="en" slide="slide"
# ## Summary
#
# | prediction type | target (shape of x) | x0 = | x0 error × | min-SNR weight |
# |---|---|---|---|---|
# | eps | $\epsilon$ | $(x - \sigma\epsilon)/\alpha$ | $\sigma/\alpha$ | min(SNR, γ) / SNR |
# | x0 | $x_0$ | pred | 1 | min(SNR, γ) |
# | v | $\alpha\epsilon - \sigma x_0$ | $\alpha x - \sigma v$ | $\sigma$ | min(SNR, γ) / (SNR + 1) |
# | flow | $\epsilon - x_0$ | $(x - \sigma\,\text{flow})/(\alpha+\sigma)$ | $\sigma/(\alpha+\sigma)$ | min(SNR, γ) / (1 + √SNR)² |
#
# EMA: $\bar w \leftarrow d\,\bar w + (1-d)\,w$, $d = \min(\text{decay}, (1+n)/(10+n))$.
# %% [markdown] lang="vi" of="d1a8f06c"
# ## Tóm tắt
#
# | kiểu dự đoán | mục tiêu (kích thước của x) | x0 = | sai số x0 × | trọng số min-SNR |
# |---|---|---|---|---|
# | eps | $\epsilon$ | $(x - \sigma\epsilon)/\alpha$ | $\sigma/\alpha$ | min(SNR, γ) / SNR |
# | x0 | $x_0$ | pred | 1 | min(SNR, γ) |
# | v | $\alpha\epsilon - \sigma x_0$ | $\alpha x - \sigma v$ | $\sigma$ | min(SNR, γ) / (SNR + 1) |
# | flow | $\epsilon - x_0$ | $(x - \sigma\,\text{flow})/(\alpha+\sigma)$ | $\sigma/(\alpha+\sigma)$ | min(SNR, γ) / (1 + √SNR)² |
#
# EMA: $\bar w \leftarrow d\,\bar w + (1-d)\,w$, $d = \min(\text{decay}, (1+n)/(10+n))$.

# %% [markdown] lang="en"
# (The row of v holds where alpha² + sigma² = 1, as with the cosine schedule; `to_x0_eps` knows the general case.)
#
# **You can now** choose a prediction type and say why; convert one into another; read a weight as a statement about SNR; keep
# an average of the weights; and recognise a wrong prediction type by its pictures. *Exercise 03.5 has a training step to mend.*
#
# **What still bothers:** every picture here took a dozen steps or more. We simply used the step itself, from t to s. Where does
# it come from, why do so many samplers with so many names exist, and how few steps are enough? That is lesson 04.
#
# **Sources.** Ho, Jain, Abbeel 2020, eq. 14 (eps). Salimans & Ho 2022, section 4 and appendix D (v, why eps fails when SNR
# nears 0). Lipman et al. 2023, eq. 23; Liu et al. 2023 (flow). Nichol & Dhariwal 2021, section 3.2 (cosine). Hang et al. 2023,
# section 3.4 (min-SNR). Kingma & Gao 2023 (losses as weighted ELBOs). Polyak & Juditsky 1992 (averaging iterates). Karras et
# al. 2022, appendix B.3 (the exact denoiser). Li & He 2025 (x0 and large patches).
# %% [markdown] lang="vi" of="91cc901b"
# (Dòng của v đúng khi alpha² + sigma² = 1, như với lịch cosine; `to_x0_eps` biết trường hợp tổng quát.)
#
# **Giờ bạn có thể** chọn một kiểu dự đoán và nói vì sao; đổi qua lại giữa các kiểu; đọc một trọng số như một phát biểu về SNR;
# giữ trung bình của trọng số mạng; và nhìn ảnh mà nhận ra kiểu dự đoán bị nhầm. *Bài tập 03.5 có một bước huấn luyện cần sửa.*
#
# **Điều còn vướng:** bức ảnh nào ở đây cũng cần cả chục bước trở lên. Bản thân bước đi, từ t đến s, ta chỉ mới dùng. Nó từ đâu
# mà có, vì sao có nhiều bộ lấy mẫu với nhiều cái tên đến thế, và ít nhất cần bao nhiêu bước? Đó là bài 04.
#
# **Nguồn.** Ho, Jain, Abbeel 2020, công thức 14 (eps). Salimans & Ho 2022, mục 4 và phụ lục D (v, vì sao eps hỏng khi SNR gần
# 0). Lipman và cộng sự 2023, công thức 23; Liu và cộng sự 2023 (flow). Nichol & Dhariwal 2021, mục 3.2 (cosine). Hang và cộng
# sự 2023, mục 3.4 (min-SNR). Kingma & Gao 2023 (hàm mất mát như ELBO có trọng số). Polyak & Juditsky 1992 (trung bình các bước
# lặp). Karras và cộng sự 2022, phụ lục B.3 (bộ khử nhiễu chính xác). Li & He 2025 (x0 và patch lớn).

# %% [markdown] lang="en" only="exercise"
# # Exercises 03: what to predict
#
# The next cell loads the shipped model `world-pixels`, which predicts **v**, and defines `drawn`, which samples four pictures
# with any denoiser. After each exercise your function is put to work inside that model.
# %% [markdown] lang="vi" of="e3617819" only="exercise"
# # Bài tập 03: dự đoán cái gì
#
# Ô tiếp theo nạp mô hình `world-pixels` có sẵn, vốn dự đoán **v**, và định nghĩa `drawn`, hàm lấy mẫu bốn bức tranh bằng một bộ
# khử nhiễu bất kỳ. Sau mỗi bài tập, hàm của bạn sẽ làm việc bên trong mô hình đó.

# %% only="exercise"
import torch
from torch import Tensor, nn

from minidiff import load_pipeline
from minidiff.data.world.scenes import SHAPES
from minidiff.diffusion.losses import min_snr_weight
from minidiff.diffusion.prediction import (
    PREDICTION_TYPES, denoiser, prediction_weights, target, to_x0_eps,
)
from minidiff.diffusion.samplers import sample
from minidiff.diffusion.schedules import NoiseSchedule, get_schedule, per_example
from minidiff.diffusion.timesteps import uniform
from minidiff.train.pixels import portraits
from minidiff.utils.images import to_tensor

pipe = load_pipeline("world-pixels", dtype="float32")
schedule = get_schedule("cosine")
wanted = ("star", "house", "fish", "flower")
labels = torch.tensor([SHAPES.index(name) for name in wanted], device=pipe.device)
generator = torch.Generator().manual_seed(3)
noise = torch.randn(4, 3, 32, 32, generator=generator).to(pipe.device)


@torch.no_grad()
def network(x, timestep):
    return pipe.network.unet(x, timestep, labels=labels)        # v, (4, 3, 32, 32)


@torch.no_grad()
def drawn(denoise, first=1.0, steps=12):
    *_, last = sample(denoise, noise, schedule, first * uniform(schedule, steps))
    return last.x.clamp(-1, 1).cpu()
