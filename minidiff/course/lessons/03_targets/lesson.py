"""Lesson 03: the four prediction types of a network, how much each time counts, and the averaged weights; measured."""

# %% [markdown] lang="en" slide="slide"
# # 03 What to predict
#
# One network, one seed, one sampler, four runs. A single word differs between them: the *prediction type*, which tells the
# sampler what the network's answer means. Only one of the four words is the one it was trained with. Which? And why are the
# other three wrong in such different ways: black, noise, and almost right?
# %% [markdown] lang="vi" of="54106560"
# # 03 Dự đoán cái gì
#
# Một mạng, một seed, một bộ lấy mẫu (sampler), bốn lần chạy. Giữa các lần chỉ đổi đúng một từ: *kiểu dự đoán* (prediction
# type), cho bộ lấy mẫu biết câu trả lời của mạng mang nghĩa gì. Chỉ một trong bốn từ là từ đã dùng khi huấn luyện. Từ nào? Và
# vì sao ba từ kia sai theo ba cách khác hẳn nhau: đen kịt, toàn nhiễu, và gần đúng?

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
# Don't tell. Ask for guesses, and let the room describe each of the wrong pairs in one word; the pitfall near the end of the
# lesson comes back to them.
# %% [markdown] lang="vi" of="c6108673"
# Đừng nói đáp án. Hãy cho cả lớp đoán, và tả mỗi cặp tranh hỏng bằng một từ; cái bẫy ở cuối bài sẽ quay lại với chúng.

# %% [markdown] lang="en"
# [[map]]
#
# **Aims.** You can turn any of eps, x0, v and flow into any other by hand and in code; you can say where each of them is badly
# conditioned and why v never is; you know what the cosine schedule, min-SNR weights and EMA change; you have measured all of
# it at equal compute, and know what such a measurement can't tell.
#
# **Time:** [[time]]. **You need:** lessons 01 and 02 (a U-Net, the forward process, the training
# loop). On any machine the networks trained here are tiny ones on the CPU; a GPU would not be faster, and the numbers stay
# comparable.
# %% [markdown] lang="vi" of="2c6434db"
# [[map]]
#
# **Mục tiêu.** Bạn đổi được qua lại giữa eps, x0, v và flow, bằng tay và bằng mã; nói được mỗi kiểu kém ổn định ở đâu và vì
# sao v không bao giờ như thế; biết lịch cosine, trọng số min-SNR và EMA thay đổi điều gì; đã tự đo tất cả với cùng một lượng
# tính toán, và biết phép đo như vậy không nói lên được điều gì.
#
# **Thời gian:** [[time]]. **Cần có:** bài 01 và 02 (U-Net, quá trình thuận (forward process), vòng lặp
# huấn luyện). Trên máy nào thì các mạng được huấn luyện ở đây cũng rất nhỏ và chạy trên CPU; GPU không nhanh hơn, và nhờ vậy
# các con số so sánh được với nhau.

# %% [markdown] lang="en" role="think"
# **Three quick questions** from the lessons before.
#
# 1. `x_t = alpha x0 + sigma eps`. What are alpha and sigma of the cosine schedule at t = 0, at t = 1, and what is
#    alpha² + sigma² in between?
# 2. In lesson 02 the loss compared the network's answer with `eps`. What did the sampler then do to get `x0`?
# 3. In lesson 01 one network denoised in one shot, and blurred. What was its answer the mean *of*?
# ---
# 1. (1, 0), (0, 1), and 1 throughout: cos² + sin². (Lesson 02 wrote alpha as the root of `alpha_bar`.)
# 2. It solved for it: `x0 = (x_t - sigma eps) / alpha`. Look at that division once more near t = 1.
# 3. Of all pictures that might lie behind the noise: E[x0 | x_t]. Every prediction in this lesson is a mean like that.
# %% [markdown] lang="vi" of="b12ebf43"
# **Ba câu hỏi nhanh** từ các bài trước.
#
# 1. `x_t = alpha x0 + sigma eps`. Alpha và sigma của lịch cosine bằng bao nhiêu tại t = 0, tại t = 1, và ở giữa thì
#    alpha² + sigma² bằng bao nhiêu?
# 2. Ở bài 02, hàm mất mát so câu trả lời của mạng với `eps`. Sau đó bộ lấy mẫu làm gì để có `x0`?
# 3. Ở bài 01, một mạng khử nhiễu chỉ trong một phát, và cho ảnh nhòe. Câu trả lời của nó là trung bình *của cái gì*?
# ---
# 1. (1, 0), (0, 1), và luôn bằng 1: cos² + sin². (Bài 02 viết alpha là căn bậc hai của `alpha_bar`.)
# 2. Nó giải phương trình: `x0 = (x_t - sigma eps) / alpha`. Hãy nhìn lại phép chia này khi t gần 1.
# 3. Của mọi bức ảnh có thể nằm sau lớp nhiễu: E[x0 | x_t]. Mọi dự đoán trong bài này đều là một trung bình như thế.

# %% [markdown] lang="en" slide="slide"
# ## By hand: one pixel, four answers
#
# A pixel $x_0 = 1$, noise $\epsilon = -0.5$, at a time with $\alpha = 0.6$, $\sigma = 0.8$. The network sees $x$. Four targets:
#
# $$\epsilon \qquad x_0 \qquad v = \alpha\,\epsilon - \sigma\,x_0 \qquad \text{flow} = \epsilon - x_0$$
#
# Work out $x$, $v$ and flow on paper first.
# %% [markdown] lang="vi" of="8dacb943"
# ## Tính tay: một pixel, bốn câu trả lời
#
# Một pixel $x_0 = 1$, nhiễu $\epsilon = -0.5$, ở thời điểm $\alpha = 0.6$, $\sigma = 0.8$. Mạng nhìn thấy $x$. Bốn mục tiêu:
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
# Whichever of the four the network says, together with $x$ it gives away the other three: **two equations, two unknowns**. So
# why should it matter which one we ask for? Suppose each answer is wrong by 0.1. Which of the four now gives the worst $x_0$?
# ---
# A network is never exactly right, and its error goes through the same formulas: times $\sigma/\alpha = 1.33$ for eps, 1 for
# x0, $\sigma = 0.8$ for v, $\sigma/(\alpha+\sigma) = 0.57$ for flow. Here eps is worst, but not by much. The next cell does it
# for every time.
# %% [markdown] lang="vi" of="033ccf3a"
# Mạng nói ra đại lượng nào trong bốn cái cũng vậy: cùng với $x$, nó để lộ ba cái còn lại: **hai phương trình, hai ẩn**. Vậy hỏi
# cái nào thì có gì khác nhau? Giả sử mỗi câu trả lời sai 0.1. Kiểu nào bây giờ cho $x_0$ tệ nhất?
# ---
# Mạng không bao giờ đúng tuyệt đối, và sai số của nó cũng đi qua chính các công thức ấy: nhân với $\sigma/\alpha = 1.33$ nếu là
# eps, với 1 nếu là x0, với $\sigma = 0.8$ nếu là v, với $\sigma/(\alpha+\sigma) = 0.57$ nếu là flow. Ở đây eps tệ nhất, nhưng
# không tệ hơn nhiều. Ô tiếp theo tính cho mọi thời điểm.

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
# **eps is badly conditioned near t = 1**: its error reaches $x_0$ times $\sigma/\alpha$, 64 times at t = 0.99. **x0 is badly
# conditioned near t = 0**: its error reaches eps times $\alpha/\sigma$. **v and flow never amplify**: their factors stay at 1
# or below everywhere.
# %% [markdown] lang="vi" of="ce6a1e57"
# **eps kém ổn định khi t gần 1**: sai số của nó truyền sang $x_0$ với hệ số $\sigma/\alpha$, gấp 64 lần tại t = 0.99. **x0 kém
# ổn định khi t gần 0**: sai số của nó truyền sang eps với hệ số $\alpha/\sigma$. **v và flow không bao giờ khuếch đại**: hệ số
# của chúng ở đâu cũng không quá 1.

# %% [markdown] lang="en"
# The same on a picture. Each column takes the *true* answer of its prediction type, adds the same error of standard deviation
# 0.1, and reads the $x_0$ out of it. Rows: t = 0.1, 0.5, 0.95. Before you run it: which of the twelve will be ruined?
# %% [markdown] lang="vi" of="09159bec"
# Cũng điều đó trên một bức ảnh. Mỗi cột lấy câu trả lời *đúng* theo kiểu dự đoán của nó, cộng cùng một sai số
# có độ lệch chuẩn (standard deviation) 0.1, rồi đọc $x_0$ từ đó ra. Các hàng: t = 0.1, 0.5, 0.95. Trước khi chạy: ảnh nào trong
# mười hai ảnh sẽ hỏng?

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
# Only the eps column at t = 0.95, where 0.1 became 1.27. That is a picture made in the first steps of sampling, when everything
# is decided. (x0's weakness does not show in a picture of $x_0$: it is the *eps* read out of it, at small t, that goes bad.)
# %% [markdown] lang="vi" of="1a8220b4"
# Chỉ cột eps tại t = 0.95, nơi 0.1 đã thành 1.27. Đó là bức ảnh của những bước lấy mẫu đầu tiên, lúc mọi thứ được quyết định.
# (Điểm yếu của x0 không hiện ra khi nhìn $x_0$: cái hỏng là *eps* đọc ra từ nó, khi t nhỏ.)

# %% [markdown] lang="en" slide="slide"
# ## The picture behind it: a rotation
#
# Put $x_0$ on one axis and eps on the other: data and noise are one point. Seeing $x$ is seeing the point's shadow on the line
# in direction $(\alpha, \sigma)$, at the angle $\varphi = \pi t / 2$. The answer is its shadow on a second line. Two shadows fix
# the point; **best when the lines are perpendicular, not at all when they coincide**.
# %% [markdown] lang="vi" of="638c63e7"
# ## Hình học phía sau: một phép quay
#
# Đặt $x_0$ lên một trục, eps lên trục kia: dữ liệu và nhiễu là một điểm. Nhìn thấy $x$ là thấy bóng của điểm ấy trên đường thẳng
# có hướng $(\alpha, \sigma)$, nghiêng góc $\varphi = \pi t / 2$. Câu trả lời là bóng của nó trên một đường thứ hai. Hai cái bóng
# xác định điểm; **tốt nhất khi hai đường vuông góc, và vô ích khi chúng trùng nhau**.

# %% slide="sub"
from math import cos, pi, sin


def shadows(t, axis):
    """The line of x, which the network sees (black), and those of the four answers."""
    a, s = cos(pi * t / 2), sin(pi * t / 2)
    answers = {"eps": (0, 1), "x0": (1, 0), "v": (-s, a), "flow": (-0.707, 0.707)}
    through_0 = {name: ([-i, i], [-j, j]) for name, (i, j) in answers.items()}
    lines({"x": ([-a, a], [-s, s])}, axis, color="black", lw=5)
    lines(through_0, axis)
    axis.set(xlim=(-1.7, 1.7), ylim=(-1.7, 1.7), aspect="equal", xticks=[], yticks=[])


slider(shadows, "t", [0.0, 0.25, 0.5, 0.75, 0.9, 1.0])

# %% [markdown] lang="en"
# As t grows the black line turns a quarter turn, from $x_0$ to eps. **v turns with it, always at a right angle**. eps stands
# still and is run over at t = 1: asking for it there is asking for what is seen already. x0 is run over at t = 0. flow stands at
# 135° and is never closer than 45°.
# %% [markdown] lang="vi" of="1b83425b"
# Khi t tăng, đường đen quay một phần tư vòng, từ $x_0$ đến eps. **v quay theo nó, luôn vuông góc**. eps đứng yên và bị đường đen
# đè lên tại t = 1: hỏi nó ở đó là hỏi điều đã nhìn thấy. x0 bị đè tại t = 0. flow đứng ở 135° và không bao giờ gần hơn 45°.

# %% [markdown] lang="en"
# In numbers: x and v are the point $(x_0, \epsilon)$ **rotated** by $\varphi$, so turning back is the same matrix transposed.
# $$\begin{pmatrix} x \\ v \end{pmatrix} = \begin{pmatrix} \alpha & \sigma \\ -\sigma & \alpha \end{pmatrix}
# \begin{pmatrix} x_0 \\ \epsilon \end{pmatrix}$$
# %% [markdown] lang="vi" of="0929587b"
# Bằng con số: x và v chính là điểm $(x_0, \epsilon)$ được **quay** một góc $\varphi$, nên quay ngược lại chỉ là dùng ma trận chuyển vị.
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
# Every prediction is a weighted sum $\text{pred} = a\,\epsilon + b\,x_0$, and so is $x = \sigma\,\epsilon + \alpha\,x_0$. Cramer's rule
# solves the two for any weights:
#
# $$\det = \alpha a - \sigma b \qquad x_0 = \frac{a\,x - \sigma\,\text{pred}}{\det} \qquad
# \epsilon = \frac{\alpha\,\text{pred} - b\,x}{\det}$$
# %% [markdown] lang="vi" of="a46051a7"
# ## Cả bốn trong một công thức
#
# Mỗi dự đoán là một tổng có trọng số $\text{pred} = a\,\epsilon + b\,x_0$, và $x = \sigma\,\epsilon + \alpha\,x_0$ cũng vậy. Quy tắc
# Cramer giải hệ này với mọi trọng số:
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
# The library says the same, and takes care of the two places where det is 0.
# %% [markdown] lang="vi" of="00a716f9"
# Thư viện cũng viết đúng như vậy, và lo thêm hai chỗ mà det bằng 0.

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
# With the cosine schedule alpha is 0 at t = 1, and $x_0$ can't be worked out from `eps`. What should a sampler use instead in the
# very first step?
# ---
# The library takes $x_0 = 0$, the mean of the data's range: a plain grey. That is all an eps network can say there. (Stable
# Diffusion 1 predicts eps; its schedule ends a little before alpha = 0, so there the division is by about 0.07.) A v network has a real opinion even
# at t = 1: its answer is then $-E[x_0]$.
# *Now is a good time for exercises 03.1 and 03.2.*
# %% [markdown] lang="vi" of="3d9546da"
# Với lịch cosine, tại t = 1 alpha bằng 0 nên không giải ra $x_0$ từ `eps` được. Bạn sẽ cho bộ lấy mẫu dùng gì thay thế ở
# bước đầu tiên?
# ---
# Thư viện lấy $x_0 = 0$, điểm giữa khoảng giá trị của dữ liệu: một màu xám. Mạng eps chỉ nói được có thế. (Stable
# Diffusion 1 dự đoán eps; lịch của nó dừng ngay trước khi alpha = 0, nên ở đó nó chia cho khoảng 0.07.) Mạng v thì có ý kiến thật sự ngay cả tại t = 1: câu trả lời
# của nó khi đó là $-E[x_0]$.
# *Đây là lúc thích hợp để làm bài tập 03.1 và 03.2.*

# %% [markdown] lang="en" slide="slide"
# ## Which times are trained on: the schedule
#
# What a network finds hard depends not on t but on the **signal-to-noise ratio**, $\text{SNR} = \alpha^2 / \sigma^2$. A noise
# schedule says how fast SNR falls as t goes from 0 to 1, and thereby at which SNRs the training time is spent.
# %% [markdown] lang="vi" of="6d851671"
# ## Huấn luyện ở những thời điểm nào: lịch nhiễu
#
# Mạng thấy khó hay dễ không phải do t mà do **tỉ số tín hiệu trên nhiễu** (signal-to-noise ratio), $\text{SNR} = \alpha^2 /
# \sigma^2$. Lịch nhiễu (noise schedule) quy định SNR giảm nhanh thế nào khi t đi từ 0 đến 1, và qua đó công sức huấn luyện được dồn
# vào những SNR nào.

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
# Above linear (DDPM's), below cosine. On 32 × 32 pixels linear has all but hidden the star by t = 0.55. It spends 30 % of its times
# at a log SNR below -5, where there is hardly anything to see; cosine, which falls more evenly, 5 % (Nichol & Dhariwal 2021).
# Larger pictures need more noise to hide as much, since neighbouring pixels say the same thing, so there the balance shifts.
# %% [markdown] lang="vi" of="36f9801b"
# Hàng trên là linear (của DDPM), hàng dưới là cosine. Với 32 × 32 pixel, linear gần như đã che mất ngôi sao từ t = 0.55. Nó dành 30 %
# thời gian cho log SNR dưới -5, nơi hầu như chẳng còn gì để nhìn; cosine giảm đều hơn, chỉ 5 % (Nichol & Dhariwal 2021). Ảnh lớn cần
# nhiều nhiễu hơn mới che được chừng ấy, vì các pixel cạnh nhau nói cùng một điều, nên khi đó thế cân bằng thay đổi.

# %% [markdown] lang="en" slide="slide"
# ## How much each time counts: min-SNR
#
# All four losses measure the same mistake, in different units. If $x_0$ is off by $d$, then eps is off by $-d\,\alpha/\sigma$,
# and $a\,\epsilon + b\,x_0$ by $d\,(b - a\,\alpha/\sigma)$. Squared:
#
# | prediction type | its plain loss = x0 loss times |
# |---|---|
# | eps | SNR |
# | x0 | 1 |
# | v | SNR + 1 |
# | flow | (1 + √SNR)² |
# %% [markdown] lang="vi" of="e0531cb5"
# ## Mỗi thời điểm đáng giá bao nhiêu: min-SNR
#
# Cả bốn hàm mất mát (loss) đo cùng một sai lầm, bằng những đơn vị khác nhau. Nếu $x_0$ sai $d$ thì eps sai $-d\,\alpha/\sigma$, và
# $a\,\epsilon + b\,x_0$ sai $d\,(b - a\,\alpha/\sigma)$. Bình phương lên:
#
# | kiểu dự đoán | hàm mất mát thường = hàm theo x0 nhân với |
# |---|---|
# | eps | SNR |
# | x0 | 1 |
# | v | SNR + 1 |
# | flow | (1 + √SNR)² |

# %% [markdown] lang="en"
# Who chooses a prediction type silently chooses a weight, too. At t = 0.02 SNR is about 1000: there eps counts an $x_0$ error a
# thousand times as much as in the middle, where SNR is 1, and v five hundred times. **Min-SNR** (Hang et al. 2023) makes the
# choice openly: it weighs the $x_0$ error by $\min(\text{SNR}, \gamma)$, with $\gamma = 5$, for every prediction type. So divide
# by the factor of the type:
#
# $$w = \frac{\min(\text{SNR}, \gamma)}{(b - a\,\alpha/\sigma)^2}$$
# %% [markdown] lang="vi" of="be5a3d4e"
# Chọn kiểu dự đoán tức là đã ngầm chọn trọng số. Tại t = 0.02, SNR vào khoảng 1000: ở đó eps coi sai số của
# $x_0$ nặng gấp nghìn lần so với ở giữa, nơi SNR bằng 1, còn v thì năm trăm lần. **Min-SNR** (Hang et al. 2023) chọn một cách
# công khai: kiểu nào cũng vậy, sai số của $x_0$ được nhân với $\min(\text{SNR}, \gamma)$, với $\gamma = 5$. Vậy chỉ việc chia cho
# thừa số riêng của từng kiểu:
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
on_loss = {name: (t, weight) for name, weight in weights.items()}
left, right = panels(2)
lines({"min(SNR, 5)": (t, clipped)}, left, color="black", ls="--")
lines(on_x0, left, "weight of an x0 error", "t", log="y")
lines(on_loss, right, "min-SNR weight of each loss", "t")

# %%
source(min_snr_weight)

# %% [markdown] lang="en" role="think"
# Take *any* guess of $x_0$, turn it into a prediction of each type, and compute the four losses: first plain, then with min-SNR
# weights. Which of these eight numbers will be equal?
# ---
# The four weighted ones, to the last digit that float32 keeps; the plain ones differ by large factors. That is what the
# derivation promised, and it is a sharp test of code: a wrong weight or a wrong target of any type breaks it.
# %% [markdown] lang="vi" of="434b9ca4"
# Lấy *một* ước đoán bất kỳ của $x_0$, đổi nó thành dự đoán theo từng kiểu rồi tính bốn hàm mất mát: trước tiên là loại thường, sau
# đó nhân trọng số min-SNR. Những số nào trong tám số này sẽ bằng nhau?
# ---
# Bốn số có trọng số, bằng nhau đến chữ số cuối mà float32 giữ được; các số thường thì khác nhau nhiều lần. Đó đúng là điều phép suy
# ra đã hứa, và cũng là phép thử sắc bén cho mã: chỉ cần một trọng số hay một mục tiêu sai ở kiểu nào đó là nó không còn đúng.

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
# Training ends wherever the last noisy step left the weights. A walk that jitters round a goal is, on average, nearer to the goal
# than at any one moment. So keep a second copy that follows slowly, and sample from **that**:
#
# $$\bar w \leftarrow d\,\bar w + (1 - d)\,w$$
# %% [markdown] lang="vi" of="dd1c4c80"
# ## Mẹo cuối: lấy trung bình các trọng số (EMA)
#
# Huấn luyện kết thúc ở bất cứ đâu mà bước nhiễu cuối cùng để lại. Một bước đi run rẩy quanh đích, tính trung bình, thì gần đích hơn
# so với tại một thời điểm bất kỳ. Vậy hãy giữ một bản sao đi theo thật chậm (exponential moving average), và lấy mẫu từ **bản đó**:
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
    lines({"weight": walk}, axis, color="0.8", lw=0.7)
    lines({"average": averaged(walk, decay)}, axis, color="tab:red")
    lines({"no warm-up": averaged(walk, decay, False)}, axis, color="tab:red", ls=":")


slider(follow, "decay", [0.0, 0.9, 0.98, 0.995])

# %% [markdown] lang="en"
# Grey: the weight. Red: its average. A decay of 0 is no average; 0.98 remembers about $1/(1-d) = 50$ steps; 0.995 about 200, and
# here comes the catch: the dotted line still remembers how it began, untrained. The **warm-up**, $d = \min(\text{decay}, (1+n)/(10+n))$
# at update n, lets go of that in time.
# %% [markdown] lang="vi" of="ba482fde"
# Xám: trọng số. Đỏ: trung bình của nó. Decay bằng 0 là không lấy trung bình; 0.98 nhớ khoảng $1/(1-d) = 50$ bước; 0.995 nhớ khoảng
# 200, và đây là chỗ vướng: đường chấm vẫn còn nhớ lúc khởi đầu, khi chưa học gì. **Khởi động** (warm-up), $d = \min(\text{decay},
# (1+n)/(10+n))$ ở lần cập nhật n, giúp buông phần đó kịp lúc.

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
# *Exercises 03.3 and 03.4 fit here.* Now to what all this is worth.
# %% [markdown] lang="vi" of="48c9f9fc"
# *Bài tập 03.3 và 03.4 hợp với chỗ này.* Giờ hãy xem tất cả những thứ ấy đáng giá bao nhiêu.

# %% [markdown] lang="en" slide="slide"
# ## Measured: four prediction types, two weightings, with and without EMA
#
# To know how wrong a network is, you need the right answer. For data made of Gaussians it is a formula (`analytic.mixture`). So:
# points in the plane around four places, the exact $E[x_0 \mid x_t]$ beside every network's, and everything else **equal**: the
# same starting weights, batches, noise, steps and learning rate.
# %% [markdown] lang="vi" of="ffc9d936"
# ## Đo đạc: bốn kiểu dự đoán, hai cách đánh trọng số, có và không có EMA
#
# Muốn biết mạng sai bao nhiêu thì phải có đáp án đúng. Với dữ liệu tạo từ phân phối Gauss, đáp án là một công thức
# (`analytic.mixture`). Vậy nên: các điểm trên mặt phẳng quanh bốn vị trí, $E[x_0 \mid x_t]$ chính xác đặt cạnh câu trả lời của từng
# mạng, và mọi thứ khác **như nhau**: cùng trọng số ban đầu, cùng lô (batch), cùng nhiễu, cùng số bước và tốc độ học.

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
# Eight ways to train (4 prediction types, plain or min-SNR), three seeds each: 24 small networks. They train **side by side** as one stack of
# matrices; a batched product keeps them apart. R = 8 runs, S = 3 seeds.
# %% [markdown] lang="vi" of="b6c96b7a"
# Tám cách huấn luyện (4 kiểu dự đoán, thường hoặc min-SNR), mỗi cách ba seed: 24 mạng nhỏ. Chúng được huấn luyện **song song** như một chồng
# ma trận; phép nhân theo lô giữ chúng tách rời nhau. R = 8 cách, S = 3 seed.

# %%
from itertools import pairwise

import torch.nn.functional as F

from minidiff.nn.embeddings import timestep_embedding

RUNS = [(name, snr) for name in PREDICTION_TYPES for snr in (False, True)]
R, SEEDS, BATCH, STEPS = len(RUNS), 3, 128, 800             # R = 8

# %% [markdown] lang="en"
# Each network has two hidden layers of 64: a point and its time go in, (2 + 32) numbers, a prediction of the point's shape comes out.
# Weights are (R, S, in, out), so `h @ weight` is R × S products at once.
# %% [markdown] lang="vi" of="8b097465"
# Mỗi mạng có hai lớp ẩn rộng 64: vào là một điểm cùng thời điểm của nó, (2 + 32) số; ra là một dự đoán cùng kích thước với điểm. Trọng
# số có kích thước (R, S, vào, ra), nên `h @ weight` là R × S phép nhân cùng lúc.

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
# The loop is lesson 02's, with one line changed: the goal. EMA needs no training of its own: the same run gives both its last
# weights and their average.
# %% [markdown] lang="vi" of="be32d94a"
# Vòng lặp chính là của bài 02, chỉ đổi một dòng: mục tiêu. EMA không cần huấn luyện riêng: cùng một lần chạy cho cả trọng số cuối
# lẫn trung bình của chúng.

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
# Two things will be measured: how far each network's $x_0$ is from the exact one at every time, and how far its *samples* land
# from where the exact denoiser, from the same noise, would have landed. Commit yourself: which prediction type will be worst at
# t = 0.98, which at t = 0.02, and by what factor? Will the samples differ as much?
# ---
# The left plot below should look like the amplification curves near the start of this lesson. The samples are another matter:
# the later steps look again, and repair part of an error at t = 0.98. Read the table before you believe anything.
# %% [markdown] lang="vi" of="15192e07"
# Ta sẽ đo hai thứ: $x_0$ của mỗi mạng cách đáp án bao xa tại từng thời điểm, và *mẫu* của nó rơi cách chỗ mà bộ khử nhiễu chính xác,
# xuất phát từ cùng nhiễu, sẽ rơi vào bao xa. Hãy chốt trước: kiểu dự đoán nào tệ nhất tại t = 0.98, kiểu nào
# tại t = 0.02, và gấp mấy lần?
# Các mẫu có chênh nhau nhiều như thế không?
# ---
# Hình bên trái dưới đây sẽ giống các đường khuếch đại ở đầu bài. Các mẫu lại là chuyện khác: sai số tại t = 0.98 được các bước sau
# nhìn lại và sửa bớt. Hãy đọc bảng trước khi tin bất cứ điều gì.

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
# First figure: at a fixed time, the distance between a network's $x_0$ and the exact one, over 512 fresh points.
# %% [markdown] lang="vi" of="94966b52"
# Con số thứ nhất: tại một thời điểm cố định, khoảng cách giữa $x_0$ của mạng và $x_0$ chính xác, trên 512 điểm mới.

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
# Second figure: 40 steps from the same 512 draws of noise, once with each network, once with the exact denoiser. How far apart do they
# land?
# %% [markdown] lang="vi" of="39d42496"
# Con số thứ hai: 40 bước từ cùng 512 mẫu nhiễu, một lần với từng mạng, một lần với bộ khử nhiễu chính xác. Chúng rơi cách nhau bao xa?

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

print("             error of x0 (EMA) at t =    samples, mean ± std of the seeds")
print("              0.02    0.50    0.98        last weights        EMA")
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
    print(f"with {name} nearer {k} times of {n} (a coin: {by_chance:.2f})")

# %% slide="sub"
x0s, owns = {}, {}
factors = into_x0(schedule.alpha(TIMES), schedule.sigma(TIMES))
for k, prediction_type in enumerate(PREDICTION_TYPES):
    error = errors["EMA"][2 * k].mean(0)                # plain loss, mean of the seeds
    x0s[prediction_type] = (TIMES, error)
    owns[prediction_type] = (TIMES, error / factors[prediction_type])
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
# - **The ends behave as computed**, for every seed: at t = 0.98 eps is by far the worst, at t = 0.02 x0. The networks' *own* errors
#   are far more alike (right plot).
# - **EMA costs one copy of the weights and mostly helps**: see the count.
# - **Min-SNR moves error about**: the noisy end, which it hardly weighs, gets several times worse with x0, v and flow.
# %% [markdown] lang="vi" of="a5cd8a58"
# ### Điều phép đo này nói
#
# - **Hai đầu đúng như đã tính**, với mọi seed: tại t = 0.98 eps tệ nhất và bỏ xa, tại t = 0.02 là x0. Sai số *của chính câu trả lời*
#   thì gần nhau hơn hẳn (hình phải).
# - **EMA chỉ tốn một bản sao trọng số và phần lớn là có ích**: xem con số đếm.
# - **Min-SNR dời sai số đi chỗ khác**: đầu nhiều nhiễu, nơi nó hầu như bỏ qua, tệ đi mấy lần với x0, v và flow.

# %% [markdown] lang="en" slide="sub"
# ### What it can't say
#
# Look at the dots: three seeds of the *same* recipe can lie further apart than neighbouring bars do (v most of all). A ranking of
# the prediction types by these bars **may not survive** three other seeds or another learning rate; nothing here shows that it would. Nor do
# twelve pairs settle min-SNR.
# %% [markdown] lang="vi" of="01b8750a"
# ### Điều nó không thể nói
#
# Hãy nhìn các chấm: ba seed của *cùng* một công thức có thể chênh nhau hơn cả hai cột kề nhau (nhất là v). Thứ hạng các kiểu dự
# đoán theo những cột này **có thể không còn** với ba seed khác hay tốc độ học khác; ở đây không có gì bảo đảm điều đó. Mười hai cặp cũng chưa đủ
# để phán xét min-SNR.

# %% [markdown] lang="en"
# The coin's figure takes seeds and rows for independent, which networks on shared batches are not quite. And this was a plane with
# four heaps, one size of network, one learning rate, 800 steps. What changes with pictures: the data fill only a thin part of a space of thousands of dimensions while noise fills all of it, so
# what is *easy to output* matters too, not only how errors convert; with large patches that favours x0. All four used the cosine
# schedule here, though flow is usually trained with a schedule of its own, a straight line from data to noise (lesson 10). Fair
# tests train each prediction type at its best learning rate, on the real data, with several seeds, and measure samples; lesson 14
# does the measuring.
#
# What v and flow offer is not a victory in the last digit but **no bad place at any time**, and that was not an accident of seeds:
# it is the determinant. It is why minidiff's own models predict v.
# %% [markdown] lang="vi" of="7a41a232"
# Xác suất tung đồng xu coi các seed và các dòng là độc lập, mà những mạng học chung các lô thì không hẳn. Và đây là một mặt phẳng với
# bốn cụm điểm, một cỡ mạng, một tốc độ học, 800 bước. Với ảnh thì điều gì khác: dữ liệu chỉ chiếm một phần rất mỏng của không gian hàng nghìn chiều còn nhiễu lấp đầy cả không gian, nên
# cái gì *dễ xuất ra* cũng quan trọng, không chỉ chuyện sai số được đổi ra sao; với patch lớn, điều đó có lợi cho x0. Ở đây cả bốn dùng
# chung lịch cosine, dù flow thường được huấn luyện với lịch nhiễu riêng, một đường thẳng từ dữ liệu đến nhiễu (bài 10). Muốn so công
# bằng phải huấn luyện mỗi kiểu dự đoán với tốc độ học tốt nhất của nó, trên dữ liệu thật, với nhiều seed, rồi đo các
# mẫu; bài 14 lo phần đo.
#
# Thứ v và flow mang lại không phải một chiến thắng ở chữ số cuối mà là **không có chỗ nào tệ tại mọi thời điểm**, và điều đó không
# phải do seed may rủi: nó nằm ở định thức. Vì thế các mô hình của minidiff dự đoán v.

# %% [markdown] lang="en" role="pitfall" slide="slide"
# ## The pitfall: one prediction type read as another
#
# Back to the opening. The shipped network predicts **v**. The tensor has the right shape whatever it means, and nothing raises.
#
# **Symptom**: pictures that are black and glowing, pure noise, or right but grainy.
# **Cause**: sampler and training disagree on the prediction type. **Fix**: store `prediction_type` beside the weights, and read it
# from there.
# %% [markdown] lang="vi" of="3e69f017"
# ## Cái bẫy: đọc kiểu dự đoán này thành kiểu kia
#
# Trở lại với hình mở đầu. Mạng có sẵn dự đoán **v**. Tensor có đúng kích thước dù mang nghĩa nào, và chẳng có lỗi nào được báo.
#
# **Triệu chứng**: ảnh đen và lóa, toàn nhiễu, hoặc đúng nhưng lấm tấm hạt.
# **Nguyên nhân**: bộ lấy mẫu và lúc huấn luyện không thống nhất về kiểu dự đoán. **Cách sửa**: lưu `prediction_type` cùng trọng số,
# và đọc nó từ đó.

# %% slide="sub"
print("prediction type that the pipeline read from the zoo:", pipe.prediction_type)
show(pictures[:2], titles=list(runs))
for name, xs in runs.items():
    spread = " ".join(f"{float(xs[k].std()):.2f}" for k in (0, 3, 7, 11))
    print(f"{name:5} std of x at steps 1, 4, 8, 12: {spread}")

# %% [markdown] lang="en" role="think"
# Near t = 1 v is about $-x_0$, near t = 0 about eps. Explain the three wrong pairs.
# ---
# *As eps*: at the start the answer ($-x_0$, small) is taken for noise, so the noise vanishes at once (std falls below 0.3), and $x - \sigma v$
# is divided by a small alpha: dark, overblown blobs. *As x0*: at the end the answer is eps, and is returned as the picture: noise.
# *As flow*: it agrees with v at both ends and takes away too little in between, so grain stays. The last is the dangerous one: it
# looks like a badly trained model.
# %% [markdown] lang="vi" of="e8106cb7"
# Gần t = 1 thì v xấp xỉ $-x_0$, gần t = 0 thì xấp xỉ eps. Hãy giải thích ba cặp tranh hỏng.
# ---
# *Đọc là eps*: lúc đầu câu trả lời ($-x_0$, nhỏ) bị coi là nhiễu, nên nhiễu biến mất ngay (std tụt xuống dưới 0.3), còn $x - \sigma v$ lại bị
# chia cho alpha rất nhỏ: những mảng tối, cháy. *Đọc là x0*: ở cuối, câu trả lời là eps và được trả về làm bức ảnh: nhiễu. *Đọc là
# flow*: trùng với v ở hai đầu và ở giữa bớt nhiễu quá ít, nên còn hạt. Trường hợp sau cùng mới nguy hiểm: trông hệt như một mô hình học dở.

# %% [markdown] lang="en"
# **How to find out a network's prediction type:** noise some real pictures, run it once, and compute the min-SNR loss against the
# target of each type. Those four are in the same unit (they are all $x_0$ losses), so they can be compared, and the smallest tells.
# %% [markdown] lang="vi" of="5a362d15"
# **Làm sao biết kiểu dự đoán của một mạng:** thêm nhiễu vào vài bức ảnh thật, chạy mạng một lần, rồi tính hàm mất
# mát min-SNR so với mục tiêu của từng kiểu. Bốn số ấy cùng đơn vị (đều là hàm mất mát theo $x_0$) nên so sánh được, và số nhỏ nhất cho biết đáp án.

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
# (The rows of v hold where alpha² + sigma² = 1, as with the cosine schedule; `to_x0_eps` knows the general case.)
#
# **You can now** choose a prediction type and say why; convert one into another; read a weight as a statement about SNR; keep an
# average of the weights; and recognise a mistaken prediction type by its picture. *Exercise 03.5 has a training step to mend.*
#
# **What still bothers:** every picture here took a dozen steps or more. The step itself, from t to s, was simply used. Where does it
# come from, why do so many samplers with so many names exist, and how few steps will do? That is lesson 04.
#
# **Sources.** Ho, Jain, Abbeel 2020, eq. 14 (eps). Salimans & Ho 2022, section 4 and appendix D (v, why eps fails when SNR nears 0).
# Lipman et al. 2023, eq. 23; Liu et al. 2023 (flow). Nichol & Dhariwal 2021, section 3.2 (cosine). Hang et al. 2023, section 3.4
# (min-SNR). Kingma & Gao 2023 (losses as weighted ELBOs). Polyak & Juditsky 1992 (averaging iterates). Karras et al. 2022,
# appendix B.3 (the exact denoiser). Li & He 2025 (x0 and large patches).
# %% [markdown] lang="vi" of="ba6ba649"
# (Các dòng của v đúng khi alpha² + sigma² = 1, như với lịch cosine; `to_x0_eps` biết trường hợp tổng quát.)
#
# **Giờ bạn có thể** chọn một kiểu dự đoán và nói vì sao; đổi qua lại giữa các kiểu; đọc một trọng số như một phát
# biểu về SNR; giữ trung bình của trọng số mạng; và nhìn ảnh mà nhận ra kiểu bị nhầm. *Bài tập 03.5 có một bước huấn luyện cần sửa.*
#
# **Điều còn vướng:** bức ảnh nào ở đây cũng tốn cả chục bước trở lên. Bản thân bước đi, từ t đến s, chỉ được đem ra dùng. Nó từ đâu
# mà có, vì sao có nhiều bộ lấy mẫu với nhiều cái tên đến thế, và ít nhất cần bao nhiêu bước? Đó là bài 04.
#
# **Nguồn.** Ho, Jain, Abbeel 2020, công thức 14 (eps). Salimans & Ho 2022, mục 4 và phụ lục D (v, vì sao eps hỏng khi SNR gần 0).
# Lipman et al. 2023, công thức 23; Liu et al. 2023 (flow). Nichol & Dhariwal 2021, mục 3.2 (cosine). Hang et al. 2023, mục 3.4
# (min-SNR). Kingma & Gao 2023 (hàm mất mát như ELBO có trọng số). Polyak & Juditsky 1992 (trung bình các bước lặp). Karras et al. 2022,
# phụ lục B.3 (bộ khử nhiễu chính xác). Li & He 2025 (x0 và patch lớn).

# %% [markdown] lang="en" only="exercise"
# # Exercises 03: what to predict
#
# Five exercises. The next cell loads the shipped `world-pixels`, which predicts **v**, and defines `drawn`, which samples four pictures
# with any denoiser. After each exercise your function goes to work inside that model.
# %% [markdown] lang="vi" of="dcdafad4" only="exercise"
# # Bài tập 03: dự đoán cái gì
#
# Năm bài tập. Ô tiếp theo nạp mô hình `world-pixels` có sẵn, vốn dự đoán **v**, và định nghĩa `drawn`, hàm lấy mẫu bốn bức tranh bằng một
# bộ khử nhiễu bất kỳ. Sau mỗi bài, hàm của bạn sẽ làm việc bên trong mô hình đó.

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
