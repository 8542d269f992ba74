"""Lesson 05: labels go into the U-Net, and classifier-free guidance makes them count."""

# %% [markdown] lang="en" slide="slide"
# # 05 Conditions and classifier-free guidance
#
# The six pictures below come from one network, one noise and one label, "house". Only one number differs between them: it goes
# from 0 to 15. At 0 there is no house; at 15 there is one, and something has gone badly wrong with it. What does the number do?
# %% [markdown] lang="vi" of="a4ac596c"
# # 05 Điều kiện và dẫn hướng không cần bộ phân loại (classifier-free guidance)
#
# Sáu bức tranh dưới đây do cùng một mạng vẽ, từ cùng một nhiễu và cùng một nhãn, "house" (ngôi nhà). Giữa chúng chỉ có một con
# số thay đổi, từ 0 đến 15. Ở 0 không có ngôi nhà nào; ở 15 thì có, nhưng hỏng nặng. Con số ấy làm gì?

# %% slide="sub"
import torch
from torch import Tensor, nn

from minidiff import load_pipeline

pipe = load_pipeline("world-pixels", device="cpu", dtype="float32")
scales, houses = (0, 1, 2, 4, 8, 15), []
for scale in scales:
    states = pipe.sample(["house"], [6], [""], steps=10, guidance_scale=float(scale))
    *_, (_, x, _) = states                                      # x of the last step
    houses.append(x)                                            # (1, 3, 32, 32)
titles = [str(scale) for scale in scales]
show(torch.cat(houses), titles)

# %% [markdown] lang="en" role="notes"
# Collect guesses: contrast? number of steps? strength of the label? Keep them on the board until section 6.
# %% [markdown] lang="vi" of="8bb069c6"
# Thu thập các phỏng đoán: độ tương phản? số bước? độ mạnh của nhãn? Giữ trên bảng đến mục 6.

# %% [markdown] lang="en"
# [[map]]
#
# **Aims.** You can tell a network what to draw; you know why a tenth of the labels is dropped in training; you write
# classifier-free guidance from memory, measure what it gives and what it costs, and recognise its two classic bugs by sight.
#
# **Time:** [[time]]. **You need:** lesson 03 (what is predicted), lesson 04 (samplers).
# Everything runs on a CPU. The only network trained here is a toy, which takes a few seconds; a GPU changes nothing.
# %% [markdown] lang="vi" of="05c81312"
# [[map]]
#
# **Mục tiêu.** Bạn bảo được mạng phải vẽ gì; biết vì sao một phần mười số nhãn bị bỏ khi huấn luyện (training); viết được
# dẫn hướng không cần bộ phân loại mà không cần xem lại, đo được nó cho gì và lấy đi gì, và chỉ nhìn tranh là nhận ra hai lỗi
# kinh điển của nó.
#
# **Thời gian:** [[time]]. **Cần biết:** bài 03 (dự đoán cái gì), bài 04 (bộ lấy mẫu, sampler). Mọi thứ chạy trên CPU. Mạng duy
# nhất được huấn luyện ở đây là một mô hình đồ chơi, mất vài giây, và có GPU cũng không khác gì.

# %% [markdown] lang="en" role="think"
# **Three quick questions** from earlier lessons.
#
# 1. (01) The vector of the time is added inside every residual block, as $(B, C, 1, 1)$. Could a vector that enters like
#    this say *what* to draw? Could it say *where*?
# 2. (03) For the same $x$ a network predicts $v_1$ when told one thing, $v_2$ when told another. By how much do the two
#    $x_0$ differ?
# 3. (04) A sampler calls a denoiser with `(x, t)`. What does it get back, and does it matter what the denoiser is made of?
# ---
# 1. What, yes: it moves whole channels. Where, no: it adds the same numbers at every place.
# 2. By $-\sigma\,(v_1 - v_2)$, since $x_0 = \alpha x - \sigma v$: $x$ drops out. The two $\epsilon$ differ by
#    $\alpha\,(v_1 - v_2)$.
# 3. The pair `(x0, eps)`. It doesn't matter, and today we put guidance between the network and the sampler.
# %% [markdown] lang="vi" of="969ed623"
# **Ba câu hỏi nhanh** từ các bài trước.
#
# 1. (01) Vector thời gian được cộng vào trong từng khối residual, dưới dạng $(B, C, 1, 1)$. Một vector đi vào như thế có
#    nói được phải vẽ *gì* không? Có nói được vẽ *ở đâu* không?
# 2. (03) Với cùng một $x$, mạng dự đoán $v_1$ khi được bảo một điều, $v_2$ khi được bảo điều khác. Hai $x_0$ chênh nhau bao
#    nhiêu?
# 3. (04) Bộ lấy mẫu gọi bộ khử nhiễu bằng `(x, t)`. Nó nhận lại gì, và bộ khử nhiễu được làm từ gì có quan trọng không?
# ---
# 1. Vẽ gì thì được: nó dịch cả một kênh. Ở đâu thì không: nó cộng cùng những số ấy vào mọi chỗ.
# 2. Chênh nhau $-\sigma\,(v_1 - v_2)$, vì $x_0 = \alpha x - \sigma v$: $x$ triệt tiêu. Hai $\epsilon$ thì chênh nhau
#    $\alpha\,(v_1 - v_2)$.
# 3. Cặp `(x0, eps)`. Không quan trọng, và hôm nay ta sẽ đặt phần dẫn hướng vào giữa mạng và bộ lấy mẫu.

# %% [markdown] lang="en" slide="slide"
# ## 1. A label is a row of a table
#
# The network works on vectors, and a label is a number from a list. So we keep a table with one vector per label, an
# **embedding**, and learn its rows along with everything else. Looking up row 2 is the same as multiplying a *one-hot* row by
# the table. On paper:
#
# $$\begin{pmatrix}0&0&1\end{pmatrix}\begin{pmatrix}1&2\\3&4\\5&6\end{pmatrix}=\begin{pmatrix}5&6\end{pmatrix}$$
# %% [markdown] lang="vi" of="177f21c9"
# ## 1. Nhãn là một hàng của bảng
#
# Mạng làm việc với vector, còn nhãn là một số thứ tự. Vì vậy ta giữ một bảng, mỗi nhãn một vector, gọi là **vector nhúng
# (embedding)**, và học các hàng ấy cùng với mọi thứ khác. Tra hàng 2 cũng chính là nhân một hàng *one-hot* với bảng. Tính tay:
#
# $$\begin{pmatrix}0&0&1\end{pmatrix}\begin{pmatrix}1&2\\3&4\\5&6\end{pmatrix}=\begin{pmatrix}5&6\end{pmatrix}$$

# %%
table = nn.Embedding.from_pretrained(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
one_hot = torch.tensor([[0.0, 0.0, 1.0]])                       # (B, classes)
print(one_hot @ table.weight, table(torch.tensor([2])))         # (B, width) both

# %% [markdown] lang="en" slide="sub"
# Where does the vector enter? One vector reaches every residual block already: that of the time. **Add** the label's vector to
# it, and no block needs a new input. In `world-pixels` the table has 19 rows of width 128: 18 kinds of things and, as the last,
# one row that stands for *nothing said*. We call that label `null`.
# %% [markdown] lang="vi" of="3496ec14"
# Vector ấy đi vào ở đâu? Đã có sẵn một vector đến được mọi khối residual: vector thời gian. Chỉ cần **cộng** vector của nhãn
# vào đó, không khối nào phải thêm đầu vào. Trong `world-pixels`, bảng có 19 hàng, mỗi hàng rộng 128: 18
# loại vật và, ở cuối, một hàng nghĩa là *không nói gì*. Ta gọi nhãn đó là `null` (nhãn rỗng).

# %%
from minidiff.data.world.scenes import SHAPES
from minidiff.models.unet import UNet

unet, null = pipe.network.unet, len(SHAPES)
schedule, prediction_type = pipe.scheduler.schedule, pipe.prediction_type
print("table:", tuple(unet.class_embedding.weight.shape), "null:", null)
print("the network predicts", prediction_type)
source(UNet._time)

# %% [markdown] lang="en" role="think"
# **Predict.** Below, one noise is drawn under seven labels: circle, heart, house, fish, cat, umbrella, and `null`. What will the
# pictures share, and what does the last one show?
# ---
# They share what the noise decides before the kind matters: the colour of the paper, and often the colour and the place of
# the thing. The last one is *some* thing: `null` leaves the kind to the noise. It may well be half one kind and half another,
# and that is honest: asked for "anything", a small network wavers between kinds.
# %% [markdown] lang="vi" of="1c88cfd4"
# **Đoán xem.** Dưới đây, cùng một nhiễu được vẽ theo bảy nhãn: circle, heart, house, fish, cat, umbrella và `null`. Các bức
# tranh có gì chung, và bức cuối cho thấy gì?
# ---
# Chúng có chung những gì nhiễu đã quyết định trước khi loại vật có ảnh hưởng: màu giấy, và thường cả màu và vị trí của vật.
# Bức cuối là *một thứ gì đó*: `null` để nhiễu quyết định loại vật. Nó có thể nửa giống loại này, nửa giống loại kia, và như
# thế là thành thật: được yêu cầu "gì cũng được", một mạng nhỏ sẽ lưỡng lự giữa các loại.

# %% slide="sub"
from minidiff.diffusion.prediction import Denoiser, denoiser
from minidiff.diffusion.samplers import run


def noise_of(seeds) -> Tensor:
    dice = [torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.stack([torch.randn(3, 32, 32, generator=one) for one in dice])


@torch.inference_mode()
def draw(model: Denoiser, noise: Tensor, steps: int = 10) -> Tensor:
    *_, last = run("dpmpp_2m", model, noise, schedule, steps)
    return last.x                                               # (B, 3, 32, 32)


names = ["circle", "heart", "house", "fish", "cat", "umbrella"]
labels = torch.tensor([*map(SHAPES.index, names), null])        # (B,)
model = denoiser(
    lambda x, timestep: unet(x, timestep, labels=labels), schedule, prediction_type
)
show(draw(model, noise_of([5] * 7)), [*names, "null"])

# %% [markdown] lang="en" slide="slide"
# ## 2. By hand: two opinions and an arrow
#
# A world of one number: half of all $x$ come from a bell around $-1$ ("left"), half from one around $+1$ ("right"), standard
# deviation 1. The **score**, the slope of $\log p$, says which way is likelier:
#
# $$\nabla\log p(x\mid \text{right}) = 1 - x,\qquad \nabla\log p(x) = \tanh x - x$$
#
# Their difference points from "anything" to "right". Guidance takes this difference $w$ times:
#
# $$\text{guided} = \nabla\log p(x) + w\,\big(\nabla\log p(x\mid\text{right}) - \nabla\log p(x)\big)$$
# %% [markdown] lang="vi" of="3e111ac9"
# ## 2. Tính tay: hai ý kiến và một mũi tên
#
# Một thế giới chỉ có một con số: một nửa số $x$ đến từ quả chuông quanh $-1$ ("trái"), một nửa từ quả chuông quanh $+1$
# ("phải"), độ lệch chuẩn (standard deviation) bằng 1. **Score**, tức độ dốc của $\log p$, cho biết phía nào khả dĩ hơn:
#
# $$\nabla\log p(x\mid \text{right}) = 1 - x,\qquad \nabla\log p(x) = \tanh x - x$$
#
# Hiệu của chúng là mũi tên đi từ "gì cũng được" đến "phải". Dẫn hướng lấy hiệu đó $w$ lần:
#
# $$\text{guided} = \nabla\log p(x) + w\,\big(\nabla\log p(x\mid\text{right}) - \nabla\log p(x)\big)$$

# %%
for x in (torch.tensor(0.0), torch.tensor(1.0)):
    conditional, unconditional = 1 - x, torch.tanh(x) - x
    print(f"x = {x}: with label {conditional:+.3f}, without {unconditional:+.3f}")
    for w in (0, 1, 3):
        guided = unconditional + w * (conditional - unconditional)
        print(f"    guided with w = {w}: {guided:+.3f}")

# %% [markdown] lang="en" role="think"
# At $x = 1$, the very middle of "right", the conditional score is 0: stay. With $w = 3$ the guided one is $+0.477$. Which way
# does it push, and why would anyone want that?
# ---
# Further right, **past** the mode. At $x = 1$ a "left" is still possible, $p(\text{right}\mid 1) = 0.88$, and guidance wants to be
# surer than that: it looks for what is *typical of right* in the sense of *least like left*. A caricature exaggerates in the
# same way.
# %% [markdown] lang="vi" of="bcb63396"
# Tại $x = 1$, ngay giữa "phải", score có điều kiện bằng 0: đứng yên. Với $w = 3$, score được dẫn hướng là $+0.477$. Nó đẩy về
# đâu, và ai lại muốn thế?
# ---
# Đẩy xa hơn về bên phải, **vượt qua** đỉnh. Tại $x = 1$ vẫn có thể là "trái", $p(\text{right}\mid 1) = 0.88$, mà dẫn hướng
# muốn chắc chắn hơn: nó tìm cái *đặc trưng của phải* theo nghĩa *ít giống trái nhất*. Tranh biếm họa cũng phóng đại như vậy.

# %% [markdown] lang="en" slide="sub"
# Which density has that slope? By Bayes, $\log p(x\mid c) - \log p(x) = \log p(c\mid x) + \text{const}$, so the guided score
# belongs to
#
# $$p_w(x) \;\propto\; p(x)\; p(c\mid x)^{\,w}$$
#
# $p(c\mid x)$ is what a **classifier** would say. Nobody trained one: the two opinions of a single network imply it. Hence the
# name *classifier-free*. With $w=0$ the label $c$ is forgotten, $w=1$ gives $p(x\mid c)$, and a larger $w$ makes the density
# sharper.
# %% [markdown] lang="vi" of="3a062633"
# Mật độ nào có độ dốc đó? Theo Bayes, $\log p(x\mid c) - \log p(x) = \log p(c\mid x) + \text{const}$, nên score được dẫn hướng
# ứng với
#
# $$p_w(x) \;\propto\; p(x)\; p(c\mid x)^{\,w}$$
#
# $p(c\mid x)$ là điều một **bộ phân loại** sẽ nói. Không ai huấn luyện nó cả: hai ý kiến của cùng một mạng đã ngầm chứa nó. Vì
# thế mới gọi là *không cần bộ phân loại*. Với $w=0$, nhãn $c$ bị quên; $w=1$ cho $p(x\mid c)$; $w$ lớn hơn thì mật độ nhọn hơn.

# %% slide="sub"
grid = torch.linspace(-4, 6, 501, dtype=torch.float64)


def sharpened(w: float) -> Tensor:
    """p(x) p(right | x)^w on the grid, scaled to area 1."""
    p_x = torch.exp(-((grid + 1) ** 2) / 2) + torch.exp(-((grid - 1) ** 2) / 2)
    p = p_x * torch.sigmoid(2 * grid) ** w
    return p / (p.sum() * (grid[1] - grid[0]))


def draw_density(w: float, axis) -> None:
    curves = {"$p_w$": (grid, sharpened(w)), "p(x | right)": (grid, sharpened(1))}
    lines({**curves, "x = 1": ([1, 1], [0, 0.6])}, axis, lw=1)


slider(draw_density, "w", [0, 0.5, 1, 2, 4, 8])

# %% [markdown] lang="en"
# The blue hill is $p_w$, the orange one $p(x\mid\text{right})$. As $w$ grows, two things happen at once: the blue hill gets
# **narrower** (fewer different pictures), and its top moves to the **right of 1** (pictures more typical than typical ones).
# Remember both for section 6.
# %% [markdown] lang="vi" of="60a693f3"
# Quả đồi xanh là $p_w$, quả đồi cam là $p(x\mid\text{right})$. Khi $w$ tăng, hai điều xảy ra cùng lúc: quả đồi xanh **hẹp** lại
# (tranh bớt đa dạng), và đỉnh của nó dời sang **bên phải số 1** (tranh điển hình hơn cả điển hình). Hãy nhớ cả hai cho đến mục
# 6.

# %% [markdown] lang="en" slide="slide"
# ## 3. From scores to networks
#
# The score of noisy data is the noise to be expected in it, scaled: $\nabla\log p_t(x) = -E[\epsilon\mid x]/\sigma_t$. And
# $\epsilon$, $x_0$, $v$ are weighted sums of one another and $x$ (lesson 03). A rule whose weights, $w$ and $1-w$, add up to
# 1 passes through weighted sums unchanged, so **one line guides them all**:
#
# `unconditional + scale * (conditional - unconditional)`
#
# The paper counts from the conditional one: its $w$ is our `scale - 1`. Here, as in most libraries, `scale = 1` is *no* guidance.
# %% [markdown] lang="vi" of="c10dfbad"
# ## 3. Từ score đến mạng
#
# Score của dữ liệu có nhiễu chính là kỳ vọng của nhiễu trong đó, nhân hệ số:
# $\nabla\log p_t(x) = -E[\epsilon\mid x]/\sigma_t$. Còn $\epsilon$, $x_0$, $v$ là tổng có trọng số của nhau và của $x$ (bài
# 03). Quy tắc nào có các trọng số, $w$ và $1-w$, cộng lại bằng 1 thì đi qua tổng có trọng số mà không đổi, nên **một dòng
# dẫn hướng được tất cả**:
#
# `unconditional + scale * (conditional - unconditional)`
#
# Bài báo tính từ dự đoán có điều kiện: $w$ của họ là `scale - 1` của ta. Ở đây, như đa số thư viện, `scale = 1` là *không* dẫn
# hướng.

# %%
from minidiff.diffusion.guidance import combine

x, t = noise_of([5]), torch.tensor(0.5, dtype=torch.float64)
with torch.inference_mode():
    v_cond = unet(x, torch.tensor([500.0]), labels=torch.tensor([SHAPES.index("cat")]))
    v_uncond = unet(x, torch.tensor([500.0]), labels=torch.tensor([null]))
v = v_uncond + 4.0 * (v_cond - v_uncond)                        # (1, 3, 32, 32)
torch.testing.assert_close(combine(v_cond, v_uncond, 4.0), v)

alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
x0_cond, x0_uncond = alpha * x - sigma * v_cond, alpha * x - sigma * v_uncond
x0 = x0_uncond + 4.0 * (x0_cond - x0_uncond)                    # (1, 3, 32, 32)
torch.testing.assert_close(x0, alpha * x - sigma * v)           # v or x0: the same
source(combine)

# %% [markdown] lang="en" slide="slide"
# ## 4. Where the second opinion comes from
#
# We could train two networks, one with the label and one without. But one network can be both. While training, replace a share
# of the labels, a **tenth**, by `null`. Squared error makes a network answer with the mean of what it cannot tell apart:
#
# - in rows with a label, that is $E[x_0\mid x_t, c]$;
# - in rows with `null`, where all kinds meet, it is $E[x_0\mid x_t]$.
# %% [markdown] lang="vi" of="5758cd57"
# ## 4. Ý kiến thứ hai từ đâu ra
#
# Có thể huấn luyện hai mạng, một mạng có nhãn và một mạng không có. Nhưng một mạng cũng đóng được cả hai vai. Trong lúc huấn
# luyện, thay một phần các nhãn, **một phần mười**, bằng `null`. Sai số bình phương khiến mạng trả lời bằng trung bình của những
# gì nó không phân biệt được:
#
# - ở hàng có nhãn, đó là $E[x_0\mid x_t, c]$;
# - ở hàng `null`, nơi mọi loại trộn chung, đó là $E[x_0\mid x_t]$.

# %%
from minidiff.diffusion.prediction import target


class Toy(nn.Module):
    """x and t (B,), labels (B,): 0 left, 1 right, 2 null. Predicts v (B,)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.table = nn.Linear(2, 64), nn.Embedding(3, 64)
        layers = nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1)
        self.rest = nn.Sequential(*layers)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        hidden = self.first(torch.stack([x, t], dim=1))         # (B, 64)
        return self.rest(hidden + self.table(labels))[:, 0]     # (B,)


# %%
def train(drop: float, steps: int = 800) -> Toy:
    torch.manual_seed(0)
    toy = Toy()
    optimizer = torch.optim.Adam(toy.parameters(), lr=5e-3)
    for _ in range(steps):
        labels = torch.randint(2, (256,))                       # (B,), like all below
        eps, t = torch.randn(256), torch.rand(256)
        x0 = 2.0 * labels - 1 + 0.5 * torch.randn(256)          # around -1 or +1
        seen = torch.where(torch.rand(256) < drop, 2, labels)   # the dropout mask
        v = target(schedule, "v", x0, eps, t)
        loss = (toy(schedule.mix(x0, eps, t), t, seen) - v).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return toy


# %% [markdown] lang="en" role="think"
# **Predict.** We train this toy twice, with `drop = 0.1` and with `drop = 0`. Both learn "left" and "right". What does the second
# one predict for the label `null`?
# ---
# Whatever its random start left there: row 2 of its table was never looked up, so it never got a gradient. No error, no
# warning: just a second opinion that means nothing, and an arrow that starts at a place without meaning.
# %% [markdown] lang="vi" of="5c065be3"
# **Đoán xem.** Ta huấn luyện mô hình đồ chơi này hai lần, với `drop = 0.1` và `drop = 0`. Cả hai đều học được "trái" và
# "phải". Với nhãn `null`, mô hình thứ hai dự đoán gì?
# ---
# Bất cứ thứ gì mà khởi tạo ngẫu nhiên để lại: hàng 2 của bảng chưa bao giờ được tra, nên chưa bao giờ nhận gradient. Không báo
# lỗi, không cảnh báo: chỉ có một ý kiến thứ hai vô nghĩa, và một mũi tên xuất phát từ một chỗ vô nghĩa.

# %% slide="sub"
from minidiff.diffusion.analytic import mixture

x, half = torch.linspace(-2, 2, 81), torch.tensor(0.5, dtype=torch.float64)
exact, _ = mixture(schedule, [-1.0, 1.0], 0.5)(x, half)         # (81,)
for axis, drop in zip(panels(2, sharey=True), (0.1, 0.0), strict=True):
    toy, curves = train(drop), {"null, exact": (x, exact)}
    for label, name in enumerate(("left", "right", "null")):
        v = toy(x, torch.full_like(x, 0.5), torch.full((81,), label)).detach()
        curves[name] = x, schedule.alpha(half) * x - schedule.sigma(half) * v
    lines(curves, axis, f"drop = {drop}", "$x_t$", "$x_0$")

# %% [markdown] lang="en"
# Blue is the exact answer for `null`; for bells there is a formula. In the left panel the network's own answer, the red curve,
# lies close to it. Far from 0 both join "left" or "right", because there $x_t$ gives the label away. In the right panel the red
# curve is wrong.
#
# The shipped U-Net was trained in the same way. Here its batch is made; `ANYTHING` is `null`:
# %% [markdown] lang="vi" of="9c952cf9"
# Đường xanh dương là đáp án chính xác cho `null`, vì với các quả chuông đã có công thức. Ở khung trái, đường đỏ, câu trả lời của
# mạng, nằm sát đường xanh. Ở xa số 0, cả hai nhập vào "trái" hoặc "phải", vì ở đó $x_t$ đã để lộ nhãn. Ở khung phải, đường đỏ
# sai hẳn.
#
# U-Net có sẵn được huấn luyện đúng như vậy. Đây là chỗ tạo lô (batch) của nó; `ANYTHING` chính là `null`:

# %%
from minidiff.train.pixels import PixelsTask

source(PixelsTask.make_batch)

# %% [markdown] lang="en" slide="slide"
# ## 5. Both opinions in one call
#
# Put the batch in twice, $(B, 3, 32, 32) \to (2B, 3, 32, 32)$, under the labels `[c, ..., c, null, ..., null]`; the answer falls
# into two halves. One call of $2B$ rows keeps a GPU busier than two of $B$. At scale 1 the second half has weight 0, so there we
# don't ask for it.
# %% [markdown] lang="vi" of="eb81b472"
# ## 5. Hai ý kiến trong một lần gọi
#
# Đưa lô vào hai lần, $(B, 3, 32, 32) \to (2B, 3, 32, 32)$, với các nhãn `[c, ..., c, null, ..., null]`; câu trả lời tách thành
# hai nửa. Một lần gọi $2B$ hàng tận dụng GPU tốt hơn hai lần $B$ hàng. Ở hệ số 1, nửa sau có trọng số 0 nên ta không hỏi đến
# nó.

# %%
def pair_of(labels: Tensor, empty: Tensor) -> Denoiser:
    both = torch.cat([labels, empty])                           # (2B,)

    def predict(x: Tensor, timestep: Tensor) -> Tensor:
        return unet(x, timestep, labels=both[: len(x)])         # (B or 2B, 3, 32, 32)

    return denoiser(predict, schedule, prediction_type)


def guided_by_hand(pair: Denoiser, scale: float) -> Denoiser:
    def guided(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        if scale == 1:
            return pair(x, t)                                   # B rows: the conditions
        x0, eps = pair(torch.cat([x, x]), t)                    # (2B, ...) each
        x0_cond, x0_uncond = x0.chunk(2)                        # (B, ...) each
        eps_cond, eps_uncond = eps.chunk(2)                     # (B, ...) each
        return combine(x0_cond, x0_uncond, scale), combine(eps_cond, eps_uncond, scale)

    return guided


# %%
from minidiff.diffusion.guidance import cfg

labels = torch.tensor([SHAPES.index("cat"), SHAPES.index("boat")])
pair, noise = pair_of(labels, torch.full_like(labels, null)), noise_of([0, 1])
with torch.inference_mode():
    for scale in (0.0, 1.0, 4.0):
        by_hand, library = guided_by_hand(pair, scale), cfg(pair, scale)
        torch.testing.assert_close(by_hand(noise, half), library(noise, half))
source(cfg)

# %% [markdown] lang="en"
# The library's `cfg` is the same with two extras, `interval` and `rescale`; we'll need them in section 7. It takes a denoiser
# and gives a denoiser: the samplers of lesson 04 don't know that it exists.
# %% [markdown] lang="vi" of="f888e2c9"
# `cfg` của thư viện cũng vậy, thêm hai thứ là `interval` và `rescale`; mục 7 sẽ cần đến. Nó nhận một bộ khử nhiễu và trả về
# một bộ khử nhiễu: các bộ lấy mẫu ở bài 04 không hề biết nó tồn tại.

# %% [markdown] lang="en" role="think"
# **Predict.** Back to one number: we guide the exact denoisers of "right" and "anything" with $w = 4$ and sample 4,000 numbers.
# Will their histogram be $p_4$, the blue hill of section 2?
# ---
# No: it lies further right. At every noise level the arrow sharpens the *noisy* density, and a sharpened noisy density is not
# the noisy version of the sharpened one. $p_w$ is the intuition; the sampler goes further (Bradley & Nakkiran 2024).
# %% [markdown] lang="vi" of="48cce9c1"
# **Đoán xem.** Trở lại với một con số: ta dẫn hướng hai bộ khử nhiễu chính xác của "phải" và "gì cũng được" với $w = 4$, rồi
# lấy mẫu 4000 số. Biểu đồ tần suất có phải là $p_4$, quả đồi xanh ở mục 2 không?
# ---
# Không: nó nằm xa hơn về bên phải. Ở mỗi mức nhiễu, mũi tên làm nhọn mật độ *có nhiễu*, mà mật độ có nhiễu được làm nhọn thì
# không phải là bản có nhiễu của mật độ đã làm nhọn. $p_w$ cho ta trực giác; bộ lấy mẫu còn đi xa hơn (Bradley & Nakkiran 2024).

# %%
right, anything = mixture(schedule, [1.0], 1.0), mixture(schedule, [-1.0, 1.0], 1.0)
dice = torch.Generator().manual_seed(0)
start = torch.randn(4000, generator=dice, dtype=torch.float64)


def bells(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    answers = right(x[:4000], t), anything(x[4000:], t)
    return torch.cat([a[0] for a in answers]), torch.cat([a[1] for a in answers])


for axis, w in zip(panels(3, sharey=True), (1.0, 2.0, 4.0), strict=True):
    *_, last = run("ddim", cfg(bells, w), start, schedule, 50)
    mean = (sharpened(w) * grid).sum() / sharpened(w).sum()
    print(f"w = {w:g}: mean by the formula {mean:.2f}, of samples {last.x.mean():.2f}")
    histogram({"samples": last.x}, axis, color="0.6")
    lines({"$p_w$": (grid, sharpened(w))}, axis, f"w = {w:g}", lw=1.5)

# %% [markdown] lang="en" slide="slide"
# ## 6. The sweep
#
# We draw two portraits of each of 18 kinds at six scales, always from the same noise, and measure four things:
#
# - **recognised**: the share in which the shipped judge (lesson 14) sees the kind asked for;
# - **diversity**: the distance between a kind's two portraits, after both were brought to the same contrast;
# - **contrast**: the standard deviation of a picture's values;
# - **outside**: the share of values beyond ±1, which no screen shows.
#
# Guess the four curves first.
# %% [markdown] lang="vi" of="835042d6"
# ## 6. Quét qua các hệ số
#
# Ta vẽ hai bức cho mỗi loại trong 18 loại, ở sáu hệ số, luôn từ cùng một nhiễu, và đo bốn thứ:
#
# - **recognised**: tỉ lệ tranh mà giám khảo có sẵn (bài 14) nhìn ra đúng loại được yêu cầu;
# - **diversity**: khoảng cách giữa hai bức cùng loại, sau khi đưa về cùng độ tương phản;
# - **contrast**: độ lệch chuẩn của các giá trị trong ảnh;
# - **outside**: tỉ lệ giá trị vượt ±1, không màn hình nào hiển thị được.
#
# Hãy đoán bốn đường trước.

# %%
from minidiff.evaluate.judge import load_judge
from minidiff.evaluate.portraits import recognised
from minidiff.train.pixels import portraits

judge, every = load_judge(), torch.arange(18).repeat(2)         # (36,): each kind twice


def diversity(pictures: Tensor) -> float:
    x = pictures.clamp(-1, 1).flatten(1)                        # (36, 3072)
    x = (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)
    return float((x[:18] - x[18:]).square().mean(1).sqrt().mean())


def contrast(pictures: Tensor) -> float:
    return float(pictures.clamp(-1, 1).flatten(1).std(1).mean())


def outside(pictures: Tensor) -> float:
    return float((pictures.abs() > 1).float().mean())


def measure(pictures: Tensor) -> dict[str, float]:
    return {
        "recognised": float(recognised(judge, pictures, every).float().mean()),
        "diversity": diversity(pictures),
        "contrast": contrast(pictures),
        "outside": outside(pictures),
    }


# %%
pair, noise = pair_of(every, torch.full_like(every, null)), noise_of(range(36))
swept = {scale: draw(cfg(pair, float(scale)), noise) for scale in scales}
figures = [measure(pictures) for pictures in swept.values()]
real = torch.from_numpy(portraits(36, "validation")).permute(0, 3, 1, 2) / 127.5 - 1
data = measure(real)

# %% slide="sub"
for axis, name in zip(panels(4, 2), data, strict=True):
    drawn, real = [figure[name] for figure in figures], [data[name]] * 6
    lines({"drawn": (titles, drawn), "real": (titles, real)}, axis, name)

# %% slide="sub"
some = torch.tensor([0, 8, 10, 12])                             # circle, car, fish, cat
show(torch.stack([pictures[some] for pictures in swept.values()], dim=1), titles)

# %% [markdown] lang="en"
# Each row is one kind, and each column one scale. In the curves, orange is what the same measures give for real portraits.
#
# - From 0 to 1 the label arrives. This world is small and clean, so at scale 1 the label is obeyed already. What is missing is
#   **contrast**: the pictures are paler than the data. At 2 they match it, and 2 is this model's default. Text-to-image models
#   have far more to draw and obey less at 1: `world-dit` works best with 3, Stable Diffusion with about 7.5.
# - **Diversity** falls all the way. This is the narrow hill of section 2: the pictures of a kind become more and more alike.
# - From 4 on, values leave ±1 and are cut off: black becomes blacker than black. At 15 a good part of all values is lost, and
#   details are burnt out. The top of the hill has moved past the mode.
# - **Recognised** is near 1 from scale 1 on. Does the judge begin to doubt at 15? A few misses of 36 may be chance. So we
#   look at which kinds it missed, and draw twelve new pictures of a kind with fine parts, the flower.
# %% [markdown] lang="vi" of="b57c7b64"
# Mỗi hàng là một loại, mỗi cột là một hệ số. Trên đồ thị, đường cam là kết quả của cùng phép đo trên tranh thật.
#
# - Từ 0 đến 1, nhãn bắt đầu có tác dụng. Thế giới này nhỏ và sạch, nên ở hệ số 1 mạng đã vẽ đúng nhãn. Cái còn thiếu là **độ
#   tương phản**: tranh nhạt hơn dữ liệu. Ở 2 thì vừa khớp, và 2 là giá trị mặc định của mô hình này. Các mô hình vẽ theo lời
#   văn phải vẽ nhiều thứ hơn hẳn và kém nghe lời hơn ở hệ số 1: `world-dit` hợp nhất với 3, Stable Diffusion với khoảng 7.5.
# - **Độ đa dạng** giảm suốt. Đó chính là quả đồi hẹp ở mục 2: tranh của cùng một loại ngày càng giống nhau.
# - Từ 4 trở đi, các giá trị vượt khỏi ±1 và bị cắt: đen hơn cả đen. Ở 15, một phần đáng kể số giá trị bị mất, chi tiết cháy
#   hết. Đỉnh đồi đã vượt quá đỉnh của mật độ có điều kiện.
# - **Recognised** gần bằng 1 kể từ hệ số 1. Ở 15, giám khảo có bắt đầu ngờ vực không? Trượt vài bức trong 36 có thể là ngẫu
#   nhiên. Vì thế ta xem giám khảo trượt những loại nào, rồi vẽ thêm mười hai bức mới của một loại có chi tiết nhỏ, bông hoa.

# %% slide="sub"
missed = every[~recognised(judge, swept[15], every)].tolist()
print("missed at 15:", [SHAPES[label] for label in missed])
flowers = torch.full((12,), SHAPES.index("flower"))
pair, fresh = pair_of(flowers, torch.full_like(flowers, null)), noise_of(range(36, 48))
twelve = {scale: draw(cfg(pair, float(scale)), fresh) for scale in (1, 15)}
for scale, pictures in twelve.items():
    seen = recognised(judge, pictures, flowers)
    print(f"scale {scale:2}: {int(seen.sum())} of 12 flowers recognised")
show(torch.stack([*twelve.values()]))

# %% [markdown] lang="en"
# The upper row is drawn at scale 1, the lower one at scale 15. Compare the two counts: at 15 the judge recognises far fewer
# of the new flowers than at 1, so it does doubt. Both faults are plain to see: the flowers are dark and glaring, and nearly
# all of them are alike, though each came from a noise of its own.
# %% [markdown] lang="vi" of="3f2d78ae"
# Hàng trên là hệ số 1, hàng dưới là hệ số 15. Hãy so hai con số đếm: ở 15, giám khảo nhận ra ít hoa mới hơn hẳn so với ở 1,
# vậy nó ngờ vực thật. Ở đây thấy rõ cả hai chỗ hỏng: hoa tối sẫm mà chói, và gần như giống hệt nhau, dù mỗi bông được vẽ từ
# một nhiễu riêng.

# %% [markdown] lang="en" slide="slide"
# ## 7. Where it breaks, and three remedies
#
# - `interval=(0.2, 0.8)`: guide only in the middle. Near $t = 1$ the arrow kills diversity, near $t = 0$ it only adds contrast
#   (Kynkäänniemi et al. 2024).
# - `rescale=0.7`: bring each $x_0$ back towards the standard deviation of its conditional one (Lin et al. 2024).
# - `clip_x0`: keep $x_0$ within ±1. For pixels; a latent has no such limits.
# %% [markdown] lang="vi" of="b84ddbf2"
# ## 7. Hỏng ở đâu, và ba cách chữa
#
# - `interval=(0.2, 0.8)`: chỉ dẫn hướng ở khoảng giữa. Gần $t = 1$ mũi tên làm mất độ đa dạng, gần $t = 0$ nó chỉ thêm tương
#   phản (Kynkäänniemi và cộng sự 2024).
# - `rescale=0.7`: kéo mỗi $x_0$ về gần độ lệch chuẩn của bản có điều kiện (Lin và cộng sự 2024).
# - `clip_x0`: giữ $x_0$ trong ±1. Dành cho điểm ảnh (pixel); latent không có giới hạn như thế.

# %% slide="sub"
from minidiff.diffusion.guidance import clip_x0, match_std

strong = pair_of(some, torch.full_like(some, null))
remedies = {
    "none": cfg(strong, 8.0),
    "interval": cfg(strong, 8.0, interval=(0.2, 0.8)),
    "rescale": cfg(strong, 8.0, rescale=0.7, schedule=schedule),
    "clip_x0": clip_x0(cfg(strong, 8.0), schedule),
}
healed = {name: draw(model, noise[some]) for name, model in remedies.items()}
for name, pictures in healed.items():
    print(f"{name:9} outside {outside(pictures):.3f} contrast {contrast(pictures):.3f}")
show(torch.stack([*healed.values()], dim=1), [*healed] * 2, columns=8)

# %% [markdown] lang="en"
# The same four kinds with each remedy, all at scale 8 and from the same noise. The interval is the best trade here: the
# light colours are back. Rescale tames the contrast, yet the colours stay those of strong guidance: it repairs the exposure,
# not the choice. Its core is `match_std`:
# %% [markdown] lang="vi" of="c17d5563"
# Vẫn bốn loại ấy với từng cách chữa, đều ở hệ số 8 và từ cùng một nhiễu. Ở đây interval có lợi nhất: các màu sáng đã trở lại.
# Rescale ghìm được tương phản, nhưng màu vẫn là màu của dẫn hướng mạnh: nó sửa độ phơi sáng chứ không sửa lựa chọn. Phần cốt
# lõi của nó là `match_std`:

# %%
source(match_std)

# %% [markdown] lang="en" slide="slide"
# ## 8. Negative prompts: the other end of the arrow
#
# The arrow starts at "anything", but it need not. Put another label in the second half of the batch, and it starts there:
#
# $$x_0^{\text{neg}} + w\,\big(x_0^{\text{cond}} - x_0^{\text{neg}}\big)$$
#
# "House, and **not** square." A *negative prompt* is no more than that. The network doesn't understand "not"; it just gets
# another label in the second half.
# %% [markdown] lang="vi" of="e46e77c0"
# ## 8. Prompt phủ định: đầu kia của mũi tên
#
# Mũi tên xuất phát từ "gì cũng được", nhưng không bắt buộc phải thế. Đặt một nhãn khác vào nửa sau của lô, nó sẽ xuất phát từ
# đó:
#
# $$x_0^{\text{neg}} + w\,\big(x_0^{\text{cond}} - x_0^{\text{neg}}\big)$$
#
# "Ngôi nhà, và **không** vuông." *Prompt phủ định* (negative prompt) chỉ có vậy. Mạng không hiểu chữ "không"; nó chỉ nhận một
# nhãn khác ở nửa sau.

# %% slide="sub"
numbers = {**{name: k for k, name in enumerate(SHAPES)}, "anything": null}
wishes = ["house", "balloon", "cloud", "star", "anything"]
dislikes = ["square", "circle", "circle", "heart", "circle"]
wanted = torch.tensor([numbers[name] for name in wishes])
unwanted = torch.tensor([numbers[name] for name in dislikes])
dots = noise_of([3, 2, 1, 6, 7])
plainly = draw(cfg(pair_of(wanted, torch.full_like(wanted, null)), 3.0), dots)
negated = draw(cfg(pair_of(wanted, unwanted), 3.0), dots)
show(torch.stack([plainly, negated]), wishes + [f"not {name}" for name in dislikes])

# %% [markdown] lang="en"
# The house loses its straight walls, the balloon and the cloud are less round, and the star is less full. "Anything but a
# circle" becomes a thing that is far from round. Note that nothing was *removed*: a negative prompt is a direction.
# %% [markdown] lang="vi" of="b6bd8f53"
# Ngôi nhà mất những bức tường thẳng, quả bóng và đám mây bớt tròn, ngôi sao bớt đầy. Còn "gì cũng được trừ hình tròn" thì ra
# một vật khác xa hình tròn. Hãy để ý rằng chẳng có gì bị *xóa đi*: prompt phủ định là một hướng đi.

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall: the label or the negative prompt does nothing
#
# **Symptom 1.** The negative prompt changes, and no pixel does. **Cause:** the guidance scale is 1, so the second half has
# weight 0. **Fix:** print the scale that reaches `cfg`.
#
# **Symptom 2.** The larger the scale, the *less* the picture shows the label. **Cause:** the halves are swapped. $c + s(u - c)$
# is scale $1 - s$, so 3 acts like $-2$. **Fix:** use the same order in `cat` and in `chunk`.
# %% [markdown] lang="vi" of="76750982"
# ## Cạm bẫy: nhãn hay prompt phủ định không có tác dụng
#
# **Triệu chứng 1.** Đổi prompt phủ định mà không một điểm ảnh nào đổi. **Nguyên nhân:** hệ số dẫn hướng bằng 1 nên nửa sau có
# trọng số 0. **Cách chữa:** in ra hệ số thật sự đến được `cfg`.
#
# **Triệu chứng 2.** Hệ số càng lớn, tranh càng *ít* giống nhãn. **Nguyên nhân:** hai nửa bị đổi chỗ. $c + s(u - c)$ là hệ số
# $1 - s$, nên 3 tác dụng như $-2$. **Cách chữa:** dùng cùng một thứ tự trong `cat` và trong `chunk`.

# %% slide="sub"
without = draw(cfg(pair_of(wanted, torch.full_like(wanted, null)), 1.0), dots)
negated = draw(cfg(pair_of(wanted, unwanted), 1.0), dots)
print("scale 1, pictures change:", not torch.equal(without, negated))

words, noise = ["moon", "balloon", "tree", "star"], noise_of([0, 2, 5, 6])
labels = torch.tensor([numbers[word] for word in words])
empty = torch.full_like(labels, null)
fine = draw(cfg(pair_of(labels, empty), 3.0), noise)
swapped = draw(cfg(pair_of(empty, labels), 3.0), noise)
show(torch.stack([fine, swapped]), words + [f"swapped: {word}" for word in words])

# %% [markdown] lang="en" role="think"
# With the halves swapped, is there a scale at which nobody notices?
# ---
# Yes: $s = 1 - s$ at $s = \tfrac12$, exactly between the two, and near it the damage is small. At scale 1 the swapped version
# gives the unconditional picture. At 3 it flees from the label: we asked for a moon and got as little moon as possible.
# %% [markdown] lang="vi" of="76351c7d"
# Khi hai nửa bị đổi chỗ, có hệ số nào mà không ai nhận ra không?
# ---
# Có: $s = 1 - s$ khi $s = \tfrac12$, đúng chính giữa, và gần đó thì thiệt hại nhỏ. Ở hệ số 1, bản đổi chỗ cho ra tranh không
# điều kiện. Ở 3, nó chạy trốn khỏi nhãn: ta yêu cầu mặt trăng thì nhận được thứ ít giống mặt trăng nhất có thể.

# %% [markdown] lang="en" slide="slide"
# ## Summary
#
# | what | formula | shapes |
# |---|---|---|
# | label | `time + table(labels)` | (B, 128) + (B,) → (B, 128) |
# | dropout mask | `where(lots < 0.1, null, labels)` | (B,) → (B,) |
# | guidance | $u + s\,(c - u)$ | (B, C, H, W), every channel |
# | in one call | `cat([x, x])`, `[labels, nulls]`, `chunk(2)` | (B, ...) → (2B, ...) → 2 × (B, ...) |
# | what it means | $p(x)\,p(c\mid x)^s$, roughly | $s$ = 0 forgets, 1 obeys, more exaggerates |
# | negative prompt | another label for $u$ | no further cost |
# %% [markdown] lang="vi" of="804d2354"
# ## Tóm tắt
#
# | cái gì | công thức | kích thước |
# |---|---|---|
# | nhãn | `time + table(labels)` | (B, 128) + (B,) → (B, 128) |
# | mặt nạ bỏ nhãn | `where(lots < 0.1, null, labels)` | (B,) → (B,) |
# | dẫn hướng | $u + s\,(c - u)$ | (B, C, H, W), mọi kênh |
# | trong một lần gọi | `cat([x, x])`, `[labels, nulls]`, `chunk(2)` | (B, ...) → (2B, ...) → 2 × (B, ...) |
# | ý nghĩa | $p(x)\,p(c\mid x)^s$, xấp xỉ | $s$ = 0 quên, 1 nghe lời, hơn nữa là phóng đại |
# | prompt phủ định | nhãn khác cho $u$ | không tốn thêm |

# %% [markdown] lang="en"
# **You can now** condition a network on a label, train it so that it has both opinions, guide any sampler with one line, choose
# a scale by measuring, and say from a picture whether guidance is missing, too strong, or the wrong way round.
#
# **What still bothers:** 18 labels are 18 rows of a table. "A red star left of a small blue house" has no row, and never will.
# We need vectors for *sentences*, in which similar meanings lie close together. Lesson 06 makes them, from pictures.
#
# **Sources.** J. Ho, T. Salimans 2022, *Classifier-free diffusion guidance*, eq. 6, algorithms 1 and 2. P. Dhariwal, A. Nichol
# 2021, *Diffusion models beat GANs on image synthesis*, section 4 (guidance with a classifier, class embeddings). T. Kynkäänniemi
# et al. 2024, *Applying guidance in a limited interval improves sample and distribution quality in diffusion models*. S. Lin et
# al. 2024, *Common diffusion noise schedules and sample steps are flawed*, eq. 15 and 16. A. Bradley, P. Nakkiran 2024,
# *Classifier-free guidance is a predictor-corrector*.
# %% [markdown] lang="vi" of="7b9b45c2"
# **Giờ bạn đã biết** đặt điều kiện cho mạng bằng nhãn, huấn luyện để nó có cả hai ý kiến, dẫn hướng bất kỳ bộ lấy mẫu nào bằng
# một dòng, chọn hệ số bằng cách đo, và nhìn tranh là nói được dẫn hướng đang thiếu, quá tay, hay ngược chiều.
#
# **Điều còn vướng:** 18 nhãn là 18 hàng của bảng. "Ngôi sao đỏ bên trái ngôi nhà nhỏ màu xanh" không có hàng nào, và sẽ không
# bao giờ có. Ta cần vector cho cả *câu*, sao cho các câu gần nghĩa nằm gần nhau. Bài 06 tạo ra chúng, từ tranh.
#
# **Nguồn.** J. Ho, T. Salimans 2022, *Classifier-free diffusion guidance*, công thức 6, thuật toán 1 và 2 (dẫn hướng không cần
# bộ phân loại). P. Dhariwal, A. Nichol 2021, *Diffusion models beat GANs on image synthesis*, mục 4 (dẫn hướng bằng bộ phân
# loại, vector nhúng của lớp). T. Kynkäänniemi và cộng sự 2024, *Applying guidance in a limited interval improves sample and
# distribution quality in diffusion models*. S. Lin và cộng sự 2024, *Common diffusion noise schedules and sample steps are
# flawed*, công thức 15 và 16. A. Bradley, P. Nakkiran 2024, *Classifier-free guidance is a predictor-corrector*.

# %% [markdown] lang="en" only="exercise"
# # 05 Exercises: your guidance inside the shipped model
#
# From the dropout mask to a sampler that draws what its labels say. Fill in each function, run its cell, and `check` says what is
# right. Then your function draws inside `world-pixels`, and its pictures must be the library's.
# %% [markdown] lang="vi" of="5cb2f0e1" only="exercise"
# # 05 Bài tập: dẫn hướng của bạn trong mô hình có sẵn
#
# Từ mặt nạ bỏ nhãn đến một bộ lấy mẫu biết nghe lời. Hãy điền từng hàm, chạy ô của nó, và `check` cho biết chỗ nào đúng. Sau
# đó hàm của bạn vẽ bên trong `world-pixels`, và tranh phải trùng với tranh của thư viện.

# %% only="exercise"
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from minidiff import load_pipeline
from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import Denoiser, denoiser
from minidiff.diffusion.samplers import run
from minidiff.diffusion.schedules import NoiseSchedule
from minidiff.utils.plots import show

pipe = load_pipeline("world-pixels", device="cpu", dtype="float32")
unet, null = pipe.network.unet, 18                              # label 18 says nothing
schedule, prediction_type = pipe.scheduler.schedule, pipe.prediction_type
labels = torch.tensor([6, 8, 11, 12])                           # house, car, bird, cat
dice = [torch.Generator().manual_seed(seed) for seed in (6, 8, 11, 12)]
noise = torch.stack([torch.randn(3, 32, 32, generator=one) for one in dice])
both = torch.cat([labels, torch.full_like(labels, null)])       # (2B,)


def predict_pair(x: Tensor, timestep: Tensor) -> Tensor:
    return unet(x, timestep, labels=both[: len(x)])             # (B or 2B, 3, 32, 32)


pair = denoiser(predict_pair, schedule, prediction_type)


@torch.inference_mode()
def sampled(model: Denoiser) -> Tensor:
    *_, last = run("dpmpp_2m", model, noise, schedule, steps=8)
    return last.x                                               # (4, 3, 32, 32)
