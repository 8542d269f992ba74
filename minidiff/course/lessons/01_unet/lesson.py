"""Lesson 01: the parts of a U-Net, built one by one, and why its single guess is a blur."""

# %% [markdown] lang="en" slide="slide"
# # 01 A U-Net that removes noise
#
# The upper row is a cat under more and more noise. The lower row is what a network, asked only once, sees beneath it.
# %% [markdown] lang="vi" of="30724396"
# # 01 Một U-Net biết xóa nhiễu
#
# Hàng trên là một con mèo dưới lớp nhiễu mỗi lúc một dày. Hàng dưới là điều một mạng, chỉ được hỏi đúng một lần, nhìn ra bên
# dưới.

# %%
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from minidiff import load_pipeline
from minidiff.data.world.scenes import SHAPES
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.schedules import get_schedule
from minidiff.train.pixels import ANYTHING, portraits
from minidiff.utils.images import to_tensor

pipe = load_pipeline("world-pixels", device="cpu", dtype="float32")
unet = pipe.network.unet
schedule = get_schedule("cosine")
clean = to_tensor(portraits(18, "validation"))      # (18, 3, 32, 32), one of each kind
CAT = SHAPES.index("cat")

# %% slide="sub"
@torch.no_grad()
def guess(x, t, label):
    """x (1, 3, 32, 32) at noise level t in 0..1 -> (1, 3, 32, 32)."""

    def network(x, timestep):
        return unet(x, timestep, labels=torch.tensor([label]))

    return denoiser(network, schedule, "v")(x, torch.tensor(t))[0]


eps = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
levels = [0.1, 0.3, 0.5, 0.7, 0.85, 1.0]
cat = clean[CAT : CAT + 1]                                      # (1, 3, 32, 32)
noisy = [schedule.mix(cat, eps, torch.tensor(t)) for t in levels]
guesses = [guess(x, t, CAT) for x, t in zip(noisy, levels, strict=True)]
show(torch.cat(noisy + guesses), [f"t = {t}" for t in levels], columns=6)

# %% [markdown] lang="en"
# Two things ask for an explanation. How can a stack of convolutions find a cat that we can no longer see? And why does its
# answer turn **soft** on the right, instead of just being some other sharp cat?
#
# The network is `world-pixels`, shipped with the course: 2.7 million weights, 32 × 32 pixels, 18 kinds of things. The picture
# is one that it never saw in training. At the end of this lesson you'll have rebuilt its parts. (`denoiser` turns the
# network's output into a picture; lesson 03 shows how.)
# %% [markdown] lang="vi" of="8ad36cca"
# Có hai điều cần giải thích. Làm sao một chồng lớp tích chập tìm ra con mèo mà mắt ta không còn thấy? Và vì sao càng sang
# phải câu trả lời càng **nhòe**, chứ không đơn giản là một con mèo sắc nét khác?
#
# Mạng ở đây là `world-pixels`, đi kèm khóa học: 2.7 triệu trọng số, 32 × 32 điểm ảnh (pixel), 18 loại vật. Bức tranh này nó
# chưa từng thấy khi huấn luyện. Cuối bài, bạn sẽ tự dựng lại được các bộ phận của nó. (`denoiser` đổi kết quả của mạng thành
# một bức tranh; bài 03 cho thấy cách làm.)

# %% [markdown] lang="en" role="think"
# **Three quick questions from lesson 00**
#
# 1. What does the seed of a picture decide?
# 2. A picture is drawn in 20 steps. What does the network get in each step, and what does it give back?
# 3. What changes when we draw with more steps?
# ---
# 1. The noise that drawing starts from. (And, where there are such, the noise that a sampler adds on the way and the places
#    that `generate_image` adds to a vague prompt.)
# 2. It gets the noisy picture of that step, the time and what to draw; it gives a prediction of the same size as the picture.
# 3. The network is asked more often, so drawing takes longer; up to a point the picture gets better.
# %% [markdown] lang="vi" of="716a5e98"
# **Ba câu hỏi nhanh từ bài 00**
#
# 1. Seed của một bức tranh quyết định điều gì?
# 2. Một bức tranh được vẽ trong 20 bước. Ở mỗi bước, mạng nhận gì và trả về gì?
# 3. Điều gì thay đổi khi vẽ với nhiều bước hơn?
# ---
# 1. Lớp nhiễu mà từ đó quá trình vẽ bắt đầu. (Và, nếu có, nhiễu mà bộ lấy mẫu thêm dọc đường cùng những vị trí mà
#    `generate_image` thêm vào một prompt mơ hồ.)
# 2. Nó nhận bức tranh nhiễu của bước đó, thời gian và thứ cần vẽ; nó trả về một dự đoán cùng kích thước với bức tranh.
# 3. Mạng được hỏi nhiều lần hơn nên vẽ lâu hơn; đến một mức nào đó, tranh sẽ đẹp hơn.

# %% [markdown] lang="en"
# [[map]]
#
# **Aims.** You can
#
# - say why a picture needs to be looked at in several sizes, and measure how far a network sees
# - build GroupNorm, a residual block, the way down and up, skip connections, the embedding of time
# - find the bug when a U-Net runs but doesn't work
# - explain why one guess is a blur
#
# **Time:** [[time]]. **You need:** PyTorch modules and convolutions, lesson 00. Two CPU cores and 1 GB of memory are enough.
# Three tiny networks are trained, for 120 steps each on a CPU, for 1500 on a GPU.
# %% [markdown] lang="vi" of="30918d91"
# [[map]]
#
# **Mục tiêu.** Bạn sẽ
#
# - giải thích vì sao phải nhìn ảnh ở nhiều kích thước, và đo xem một mạng nhìn được xa tới đâu
# - tự dựng GroupNorm, khối residual (residual block), đường xuống và đường lên, kết nối tắt (skip connection), vector nhúng
#   (embedding) của thời gian
# - tìm ra lỗi khi một U-Net vẫn chạy mà kết quả thì hỏng
# - giải thích vì sao một lần đoán cho ra ảnh nhòe
#
# **Thời gian:** [[time]]. **Cần biết:** module và phép tích chập trong PyTorch, bài 00. Hai nhân CPU và 1 GB bộ nhớ là đủ. Có
# huấn luyện ba mạng tí hon, mỗi mạng 120 bước trên CPU, 1500 bước trên GPU.

# %% [markdown] lang="en" slide="slide"
# ## 1. The task, with one number
#
# A noisy pixel is a mix of the clean one, $x_0$, and a random number $\epsilon$ from the normal distribution:
#
# $$x = \alpha\, x_0 + \sigma\, \epsilon, \qquad \alpha^2 + \sigma^2 = 1$$
#
# With $\alpha = 0.8$, $\sigma = 0.6$, $x_0 = 0.5$, $\epsilon = -1$: $\;x = 0.4 - 0.6 = -0.2$.
# %% [markdown] lang="vi" of="d9a21a62"
# ## 1. Bài toán, với một con số
#
# Một điểm ảnh nhiễu là hỗn hợp của điểm ảnh sạch $x_0$ và một số ngẫu nhiên $\epsilon$ lấy từ phân phối chuẩn:
#
# $$x = \alpha\, x_0 + \sigma\, \epsilon, \qquad \alpha^2 + \sigma^2 = 1$$
#
# Với $\alpha = 0.8$, $\sigma = 0.6$, $x_0 = 0.5$, $\epsilon = -1$: $\;x = 0.4 - 0.6 = -0.2$.

# %% [markdown] lang="en"
# The network sees $-0.2$ and should say $0.5$. The noise schedule, how $\alpha$ and $\sigma$ depend on $t$, is the subject of
# lesson 02; here $t = 0$ is clean and $t = 1$ is all noise.
# %% [markdown] lang="vi" of="d66243c9"
# Mạng thấy $-0.2$ và phải nói ra $0.5$. Lịch nhiễu (noise schedule), tức $\alpha$ và $\sigma$ phụ thuộc vào $t$ ra sao, là
# chuyện của bài 02; ở đây $t = 0$ là sạch và $t = 1$ là toàn nhiễu.

# %%
x0, t = cat, torch.tensor(0.5)                                  # (1, 3, 32, 32), ()
alpha, sigma = schedule.alpha(t), schedule.sigma(t)
x = alpha * x0 + sigma * eps                                    # (1, 3, 32, 32)
torch.testing.assert_close(x, schedule.mix(x0, eps, t))
print(f"alpha {alpha:.3f}, sigma {sigma:.3f}, squares {alpha**2 + sigma**2:.3f}")

# %% [markdown] lang="en" slide="slide"
# ## 2. A convolution sees three pixels
#
# One pixel alone can't be denoised: $-0.2$ may be anything. Its neighbours help, so we use convolutions. On a line, a stack
# of convolutions of width 3 sees
#
# | layers | 1 | 2 | 3 | $n$ |
# |---|---|---|---|---|
# | pixels seen | 3 | 5 | 7 | $2n + 1$ |
#
# What one output can see is its **receptive field**.
# %% [markdown] lang="vi" of="9bbce7ee"
# ## 2. Một phép tích chập thấy ba điểm ảnh
#
# Chỉ nhìn một điểm ảnh thì không khử nhiễu (denoise) được: $-0.2$ có thể là bất cứ gì. Phải nhờ các điểm lân cận, nên ta dùng
# phép tích chập. Trên một đường thẳng, các lớp tích chập rộng 3 nhìn thấy
#
# | số lớp | 1 | 2 | 3 | $n$ |
# |---|---|---|---|---|
# | số điểm ảnh thấy được | 3 | 5 | 7 | $2n + 1$ |
#
# Vùng mà một đầu ra nhìn thấy gọi là **trường tiếp nhận (receptive field)**.

# %% [markdown] lang="en"
# We can measure it: pick the output pixel in the middle, and ask how much it changes when an input pixel changes. That is a
# gradient, and `backward` gives it for all input pixels at once. We show it as a picture on a logarithmic scale: white where
# the change is largest, black where it is less than 1/10000 of that. (SiLU, $x \cdot \text{sigmoid}(x)$, is a smooth ReLU; a
# U-Net has it everywhere.)
# %% [markdown] lang="vi" of="622ae8c0"
# Ta đo được nó: chọn điểm ảnh đầu ra ở chính giữa, rồi hỏi nó thay đổi bao nhiêu khi một điểm ảnh đầu vào thay đổi. Đó chính
# là gradient, và `backward` cho ra nó với mọi điểm ảnh đầu vào cùng lúc. Ta vẽ nó thành ảnh theo thang logarit: trắng ở nơi
# thay đổi lớn nhất, đen ở nơi nhỏ hơn 1/10000 mức ấy. (SiLU, $x \cdot \text{sigmoid}(x)$, là một ReLU trơn; U-Net dùng nó
# khắp nơi.)

# %%
def stack(layers, width=32):
    """layers 3 x 3 convolutions in a row, (B, 3, H, W) -> (B, 3, H, W)."""
    sizes = [3] + [width] * (layers - 1) + [3]
    modules = []
    for k in range(layers):
        modules += [nn.Conv2d(sizes[k], sizes[k + 1], 3, padding=1), nn.SiLU()]
    return nn.Sequential(*modules[:-1])


def seen(network, x):
    """x (B, 3, 32, 32) -> (1, 32, 32): a picture of how much each input pixel changes
    the output pixel in the middle."""
    x = x.clone().requires_grad_()
    network(x)[:, :, 16, 16].sum().backward()
    influence = x.grad.abs().sum(dim=(0, 1))                    # (32, 32)
    share = influence / influence.max()                         # (32, 32), 0..1
    return share.clamp(min=1e-4).log10()[None] / 2 + 1          # (1, 32, 32), -1..1

# %% [markdown] lang="en" role="think"
# The picture is 32 wide. How many layers does the pixel in the middle need before it sees all of it? Guess before you run the
# next cell.
# ---
# It has to reach 16 pixels to each side, and every layer adds one: 16 layers, all of them at full size, which is expensive.
# Photographs of 512 pixels would need 256.
# %% [markdown] lang="vi" of="364474b9"
# Ảnh rộng 32. Điểm ảnh ở giữa cần bao nhiêu lớp thì mới thấy toàn bộ ảnh? Hãy đoán trước khi chạy ô tiếp theo.
# ---
# Nó phải vươn tới 16 điểm ảnh mỗi bên, mà mỗi lớp chỉ thêm được một: cần 16 lớp, lớp nào cũng ở kích thước đầy đủ, rất tốn
# kém. Ảnh chụp 512 điểm ảnh sẽ cần tới 256 lớp.

# %% slide="sub"
torch.manual_seed(0)
noise = torch.randn(4, 3, 32, 32)
depths = (1, 3, 7, 15)
show([seen(stack(n), noise) for n in depths], [f"{n} conv" for n in depths])

# %% [markdown] lang="en"
# The squares are 3, 7, 15 and 31 pixels wide, as counted. And even inside the square the rim is dark: few ways lead from
# there to the middle, so the area that is really used is smaller still (Luo et al. 2016). Under heavy noise a network has to
# average over *many* pixels; it needs a wider view, at a lower cost.
# %% [markdown] lang="vi" of="fd9fa002"
# Các hình vuông rộng 3, 7, 15 và 31 điểm ảnh, đúng như đã đếm. Ngay trong hình vuông, phần rìa vẫn tối: có ít đường đi từ đó
# vào giữa, nên vùng thật sự được dùng còn nhỏ hơn nữa (Luo và cộng sự 2016). Khi nhiễu nặng, mạng phải lấy trung bình trên
# *rất nhiều* điểm ảnh; nó cần tầm nhìn rộng hơn mà rẻ hơn.

# %% [markdown] lang="en" slide="slide"
# ## 3. Down, and up again
#
# Halve the picture, and the same three pixels span six of the original. Going down, a convolution takes every second position
# (stride 2). Going up, each value is repeated 2 × 2 (nearest neighbour), then convolved.
#
# $$\begin{pmatrix}1&3\\5&7\end{pmatrix}\ \text{averaged}\ \to\ 4\ \ \text{and up:}\ \begin{pmatrix}4&4\\4&4\end{pmatrix}$$
#
# The mean survives. The differences don't.
# %% [markdown] lang="vi" of="e9d15a49"
# ## 3. Đi xuống, rồi đi lên
#
# Thu ảnh còn một nửa, thì vẫn ba điểm ảnh ấy lại trải trên sáu điểm của ảnh gốc. Khi đi xuống, phép tích chập nhảy cách một
# vị trí (stride 2). Khi đi lên, mỗi giá trị được lặp lại 2 × 2 (láng giềng gần nhất, nearest neighbour), rồi tích chập.
#
# $$\begin{pmatrix}1&3\\5&7\end{pmatrix}\ \text{trung bình}\ \to\ 4\ \ \text{rồi đi lên:}
# \ \begin{pmatrix}4&4\\4&4\end{pmatrix}$$
#
# Giá trị trung bình còn lại. Các khác biệt thì mất.

# %%
from minidiff.nn.blocks import Downsample, Upsample

features = torch.randn(1, 8, 32, 32)
halved = Downsample(8, all_round=True)(features)                # (1, 8, 16, 16)
doubled = Upsample(8)(halved)                                   # (1, 8, 32, 32)
print("down to", tuple(halved.shape), "and up to", tuple(doubled.shape))

small = F.avg_pool2d(cat, 4)                                    # (1, 3, 8, 8)
back = F.interpolate(small, scale_factor=4)                     # (1, 3, 32, 32)
show(torch.cat([cat, back, cat - back]), ["32 x 32", "8 x 8 -> 32 x 32", "lost"])

# %% [markdown] lang="en"
# (Here we averaged by hand; the library's `Downsample` learns what to keep.) What is lost is exactly the edges. So the
# features from before each halving are **handed across** and laid beside those that come up: a skip connection (Ronneberger
# et al. 2015). Draw the way down on the left, the way up on the right, the skips as bridges, and you see the letter that gave
# the network its name.
# %% [markdown] lang="vi" of="d274fae4"
# (Ở đây ta tự lấy trung bình; còn `Downsample` của thư viện tự học xem nên giữ lại gì.) Thứ bị mất chính là các đường nét. Vì
# vậy, các đặc trưng có trước mỗi lần thu nhỏ được **chuyển thẳng sang bên kia** và đặt cạnh các đặc trưng đi lên: đó là kết
# nối tắt (Ronneberger và cộng sự 2015). Hãy vẽ đường xuống bên trái, đường lên bên phải, các kết nối tắt là những cây cầu,
# bạn sẽ thấy chữ cái đã đặt tên cho mạng.

# %% [markdown] lang="en"
# ## 4. A U in seven convolutions
#
# Two levels down, two up, no other tricks. The switch `skips` puts zeros where the skips would be, so that both variants have
# the same number of weights.
# %% [markdown] lang="vi" of="e982a078"
# ## 4. Chữ U với bảy phép tích chập
#
# Hai tầng xuống, hai tầng lên, không thêm gì khác. Công tắc `skips` đặt số 0 vào chỗ của các kết nối tắt, nên hai biến thể có
# số trọng số bằng nhau.

# %%
class TinyU(nn.Module):
    def __init__(self, width=32, skips=True):
        super().__init__()
        self.skips = float(skips)
        self.enter = nn.Conv2d(3, width, 3, padding=1)
        self.down = nn.ModuleList(
            nn.Conv2d(width, width, 3, stride=2, padding=1) for _ in range(2)
        )
        self.middle = nn.Conv2d(width, width, 3, padding=1)
        self.up = nn.ModuleList(
            nn.Conv2d(2 * width, width, 3, padding=1) for _ in range(2)
        )
        self.leave = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x):
        fine = F.silu(self.enter(x))                            # (B, C, 32, 32)
        half = F.silu(self.down[0](fine))                       # (B, C, 16, 16)
        h = F.silu(self.down[1](half))                          # (B, C, 8, 8)
        h = F.silu(self.middle(h))                              # (B, C, 8, 8)
        for conv, skip in zip(self.up, (half, fine), strict=True):
            h = F.interpolate(h, scale_factor=2)                # (B, C, H, W) of skip
            h = torch.cat([h, self.skips * skip], dim=1)        # (B, 2 C, H, W)
            h = F.silu(conv(h))                                 # (B, C, H, W)
        return self.leave(h)                                    # (B, 3, 32, 32)

# %%
torch.manual_seed(0)
show([seen(stack(7), noise), seen(TinyU(), noise)], ["7 conv", "U, 7 conv"])

# %% [markdown] lang="en"
# Seven convolutions again, and the view has grown from 15 pixels to about 25; a third level would cover the picture. It even
# costs less: most of the work is done on small maps.
#
# Now the test. Three networks learn to denoise at $t = 0.5$: the stack, the U without its skips, the U. They get the same
# pictures, the same noise, the same few steps, and the plainest loss there is, $\lVert f(x) - x_0 \rVert^2$.
# %% [markdown] lang="vi" of="61a732b4"
# Vẫn bảy phép tích chập, mà tầm nhìn đã mở từ 15 lên khoảng 25 điểm ảnh; thêm một tầng nữa là phủ hết ảnh. Chi phí còn rẻ
# hơn: phần lớn công việc làm trên các bản đồ nhỏ.
#
# Giờ thử nghiệm. Ba mạng cùng học khử nhiễu ở $t = 0.5$: chồng tích chập, chữ U không có kết nối tắt, chữ U đầy đủ. Chúng có
# cùng tranh, cùng nhiễu, cùng số bước ít ỏi, và hàm mất mát (loss) đơn giản nhất, $\lVert f(x) - x_0 \rVert^2$.

# %%
device = "cuda" if torch.cuda.is_available() else "cpu"
steps = 1500 if device == "cuda" else 120               # a GPU has time for more
data = to_tensor(portraits(360))                        # (360, 3, 32, 32)


def train(network, t=0.5, batch=16):
    """The same pictures and noise for every network; returns it and its losses."""
    generator, losses = torch.Generator().manual_seed(0), []
    network = network.to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(steps):
        lot = torch.randint(len(data), (batch,), generator=generator)       # (B,)
        x0 = data[lot]                                          # (B, 3, 32, 32)
        noise = torch.randn(x0.shape, generator=generator)
        x = schedule.mix(x0, noise, torch.tensor(t))            # (B, 3, 32, 32)
        loss = (network(x.to(device)) - x0.to(device)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return network.cpu(), torch.tensor(losses)

# %% [markdown] lang="en" role="think"
# Rank the three before you run: whose pictures will be sharpest? Whose colours will be right?
# ---
# Look at the picture below first. The U without skips has the blurriest edges: everything passes through 8 × 8. The stack
# keeps edges, but can't see far, so it is unsure about areas: spots of colour float on the background. The U with skips gets
# both right.
# %% [markdown] lang="vi" of="fcf888ff"
# Xếp hạng ba mạng trước khi chạy: tranh của mạng nào sẽ nét nhất? Mạng nào tô đúng màu?
# ---
# Hãy nhìn hình bên dưới trước. Chữ U không có kết nối tắt có đường nét nhòe nhất: mọi thứ phải chui qua 8 × 8. Chồng tích
# chập giữ được nét nhưng không nhìn xa, nên lưỡng lự ở các mảng lớn: những đốm màu trôi trên nền. Chữ U có kết nối tắt thì
# được cả hai.

# %%
makers = {
    "stack": lambda: stack(7), "U, no skips": lambda: TinyU(skips=False), "U": TinyU,
}
networks, curves = {}, {}
for name, make in makers.items():
    torch.manual_seed(0)
    networks[name], losses = train(make())
    curves[name] = losses.unfold(0, 10, 1).mean(dim=1)          # means of ten steps
lines(curves, title="loss", x="step", log="y")
print({name: round(curve[-1].item(), 4) for name, curve in curves.items()})

# %% slide="sub"
kinds = ("star", "cat", "house", "boat", "flower", "umbrella")
x0 = clean[[SHAPES.index(kind) for kind in kinds]]              # (6, 3, 32, 32)
fresh = torch.randn(x0.shape, generator=torch.Generator().manual_seed(1))
x = schedule.mix(x0, fresh, torch.tensor(0.5))                  # (6, 3, 32, 32)
with torch.no_grad():
    rows = [network(x) for network in networks.values()]
show(torch.stack([x, *rows]))
for name, row in zip(networks, rows, strict=True):
    print(f"{name:12} mean squared error {(row - x0).square().mean():.4f}")

# %% [markdown] lang="en" role="notes"
# Rows: noisy, stack of 7, U without skips, U. Let people say what is wrong with each row before naming it.
# %% [markdown] lang="vi" of="819e941b"
# Các hàng: ảnh nhiễu, chồng 7 lớp, U không có kết nối tắt, U. Hãy để người học tự nói mỗi hàng hỏng ở đâu trước khi gọi tên.

# %% [markdown] lang="en"
# From top to bottom: the noisy pictures, the stack, the U without skips, the U. After a few seconds of training the U is no
# artist yet, but green is green. To make it deep enough to become one, we need two more parts: a norm, and a block that can
# be stacked.
# %% [markdown] lang="vi" of="75345f08"
# Từ trên xuống: ảnh nhiễu, chồng tích chập, U không có kết nối tắt, U. Mới huấn luyện vài giây thì chữ U chưa là họa sĩ,
# nhưng xanh lá đã ra xanh lá. Để nó đủ sâu mà giỏi lên, ta cần thêm hai bộ phận: một lớp chuẩn hóa và một loại khối có thể
# xếp chồng.

# %% [markdown] lang="en" slide="slide"
# ## 5. GroupNorm, with two numbers in a group
#
# A pixel has four channels, in two groups: $(1, 3)$ and $(10, 30)$.
#
# | group | mean | standard deviation | normalised |
# |---|---|---|---|
# | $1, 3$ | $2$ | $1$ | $-1, 1$ |
# | $10, 30$ | $20$ | $10$ | $-1, 1$ |
#
# $$y = \frac{x - \text{mean}}{\sqrt{\text{variance} + \texttt{eps}}} \cdot \texttt{weight} + \texttt{bias}$$
# %% [markdown] lang="vi" of="c714a241"
# ## 5. GroupNorm, mỗi nhóm hai con số
#
# Một điểm ảnh có bốn kênh, chia hai nhóm: $(1, 3)$ và $(10, 30)$.
#
# | nhóm | trung bình | độ lệch chuẩn (standard deviation) | sau chuẩn hóa |
# |---|---|---|---|
# | $1, 3$ | $2$ | $1$ | $-1, 1$ |
# | $10, 30$ | $20$ | $10$ | $-1, 1$ |
#
# $$y = \frac{x - \text{trung bình}}{\sqrt{\text{phương sai} + \texttt{eps}}} \cdot \texttt{weight} + \texttt{bias}$$
#
# (phương sai, variance, là bình phương của độ lệch chuẩn)

# %%
x = torch.tensor([1.0, 3.0, 10.0, 30.0]).view(1, 4, 1, 1)       # (B, C, H, W)
parts = rearrange(x, "b (g c) h w -> b g (c h w)", g=2)         # (B, G, C/G * H * W)
mean = parts.mean(dim=2, keepdim=True)                          # (B, G, 1)
variance = parts.var(dim=2, keepdim=True, unbiased=False)       # (B, G, 1)
normalised = (parts - mean) / (variance + 1e-5).sqrt()          # (B, G, C/G * H * W)
print("mean", mean.flatten().tolist(), " variance", variance.flatten().tolist())
print("normalised", [round(v, 3) for v in normalised.flatten().tolist()])
torch.testing.assert_close(normalised.view(1, 4, 1, 1), nn.GroupNorm(2, 4)(x))

# %% [markdown] lang="en" role="think"
# Most image classifiers use BatchNorm, which averages over the batch as well. In a batch for training a denoiser every
# picture has its own noise level. What would go wrong?
# ---
# A nearly clean picture would be shifted and scaled by the statistics of its noisy neighbours: the result for one picture
# would depend on which others happen to be in the batch, and when you draw a single picture there are none. GroupNorm looks
# at one picture at a time (Wu & He 2018).
# %% [markdown] lang="vi" of="2b4de11c"
# Phần lớn mạng phân loại ảnh dùng BatchNorm, vốn lấy trung bình trên cả lô (batch). Trong một lô để huấn luyện mạng khử
# nhiễu, mỗi ảnh có mức nhiễu riêng. Chuyện gì sẽ hỏng?
# ---
# Một ảnh gần như sạch sẽ bị dịch và co giãn theo thống kê của những ảnh nhiễu nặng bên cạnh: kết quả của một ảnh phụ thuộc
# vào việc tình cờ có ảnh nào khác trong lô, mà lúc vẽ một bức thì chẳng có ảnh nào khác. GroupNorm chỉ nhìn từng ảnh một (Wu
# & He 2018).

# %% [markdown] lang="en"
# What is it good for? Send a signal through 30 convolutions, fresh from PyTorch's initialisation, and look at two things on
# the way: how large the gradient still is, and how much of the input is still recognisable (the cosine between a layer's
# features and the first ones).
# %% [markdown] lang="vi" of="7f40ab57"
# Nó để làm gì? Cho tín hiệu đi qua 30 phép tích chập vừa khởi tạo theo mặc định của PyTorch, rồi xem hai điều dọc đường:
# gradient còn lớn bao nhiêu, và còn nhận ra bao nhiêu phần đầu vào (cosin giữa đặc trưng của một lớp với đặc trưng ban đầu).

# %%
def through(norm, residual, depth=30, width=32):
    """(size of the gradient, likeness to the input) after each of depth layers."""
    torch.manual_seed(0)
    h = torch.randn(4, width, 8, 8, requires_grad=True)         # (B, C, H, W)
    states = [h]
    for _ in range(depth):
        conv = nn.Conv2d(width, width, 3, padding=1)
        change = conv(F.silu(F.group_norm(h, 8) if norm else h))
        h = h + change if residual else change
        h.retain_grad()
        states.append(h)
    (h * torch.randn_like(h)).sum().backward()
    first = states[0].flatten()
    likeness = [F.cosine_similarity(s.flatten(), first, dim=0).item() for s in states]
    return [s.grad.std().item() for s in states], likeness


stacks = {"conv": (False, False), "norm": (True, False), "norm, x + ...": (True, True)}
gradient, likeness = {}, {}
for name, (norm, residual) in stacks.items():
    gradient[name], likeness[name] = through(norm, residual)
left, right = panels(2)
lines(gradient, left, "gradient", x="layer", log="y")
lines(likeness, right, "likeness to the input", x="layer")
print("gradient at layer 1:", {name: f"{g[1]:.0e}" for name, g in gradient.items()})

# %% [markdown] lang="en"
# Without a norm the gradient that reaches the first layer is $10^{-16}$ of what was sent: that layer learns nothing.
# GroupNorm cures it. But on the right blue and orange drop to nothing at once: the input has been scrambled beyond
# recognition. The green line is the next idea.
# %% [markdown] lang="vi" of="9efb0943"
# Không có chuẩn hóa, gradient về tới lớp đầu chỉ còn $10^{-16}$ so với lúc gửi đi: lớp ấy không học được gì. GroupNorm chữa
# được bệnh này. Nhưng ở bên phải, đường xanh dương và đường cam rơi ngay về không: đầu vào đã bị xáo trộn đến mức không nhận
# ra. Đường xanh lá là ý tưởng tiếp theo.

# %% [markdown] lang="en" slide="slide"
# ## 6. The residual block
#
# Don't compute the new features; compute what to **add** to the old ones (He et al. 2016):
#
# $$y = x + f(x), \qquad \frac{dy}{dx} = 1 + f'(x)$$
# %% [markdown] lang="vi" of="fa9d0914"
# ## 6. Khối residual
#
# Đừng tính đặc trưng mới; hãy tính phần cần **cộng thêm** vào đặc trưng cũ (He và cộng sự 2016):
#
# $$y = x + f(x), \qquad \frac{dy}{dx} = 1 + f'(x)$$

# %% [markdown] lang="en"
# If $f = 0$, then $y = x$: a block that has learnt nothing does no harm. The library starts the last layer of every $f$ at 0,
# so that in a fresh U-Net, however deep, no block disturbs what passes through.
# %% [markdown] lang="vi" of="0561328c"
# Nếu $f = 0$ thì $y = x$: một khối chưa học được gì thì cũng không làm hỏng gì. Thư viện khởi tạo lớp cuối của mọi $f$ bằng
# 0, nên trong một U-Net mới toanh, dù sâu đến đâu, không khối nào làm xáo trộn những gì đi qua.

# %% [markdown] lang="en"
# $f$ is norm, SiLU, convolution, and the same once more. Between these two halves the block is told the time: one number per
# channel, the same at every pixel, shape $(B, C) \to (B, C, 1, 1)$. Where the number of channels changes, $x$ goes through a
# 1 × 1 convolution, `conv_shortcut`, before $f(x)$ is added.
# %% [markdown] lang="vi" of="d21f0b8b"
# $f$ là chuẩn hóa, SiLU, tích chập, rồi một lần nữa như thế. Ở giữa hai lần đó, khối được cho biết thời gian: mỗi kênh một
# con số, giống nhau ở mọi điểm ảnh, kích thước $(B, C) \to (B, C, 1, 1)$. Ở chỗ số kênh thay đổi, $x$ đi qua một phép tích
# chập 1 × 1, `conv_shortcut`, trước khi cộng $f(x)$.

# %%
from minidiff.nn.blocks import ResBlock

torch.manual_seed(0)
block = ResBlock(32, 64, groups=8, time_dim=128)
x, time = torch.randn(2, 32, 16, 16), torch.randn(2, 128)       # (B, C, H, W), (B, D)

h = block.conv1(F.silu(block.norm1(x)))                         # (2, 64, 16, 16)
shift = block.time_emb_proj(F.silu(time))                       # (2, 64)
h = h + shift[:, :, None, None]                                 # (2, 64, 16, 16)
h = block.conv2(F.silu(block.norm2(h)))                         # (2, 64, 16, 16)
y = block.conv_shortcut(x) + h                                  # (2, 64, 16, 16)
torch.testing.assert_close(y, block(x, time))
source(ResBlock)

# %% [markdown] lang="en" slide="slide"
# ## 7. Telling the time
#
# The time is one number, 0 to 1000. A network reads many small numbers better than a large one, so we write it on the dials
# of many **clocks**, fast and slow:
#
# $$\omega_k = 10000^{-k / \text{half}}, \quad k = 0, \dots, \text{half} - 1$$
#
# By hand, with $\text{half} = 2$ and $t = 100$: $\omega = (1, 0.01)$, angles $(100, 1)$, and
# $(\cos 100, \cos 1, \sin 100, \sin 1) = (0.86, 0.54, -0.51, 0.84)$.
# %% [markdown] lang="vi" of="45931a60"
# ## 7. Báo giờ cho mạng
#
# Thời gian là một con số từ 0 đến 1000. Mạng đọc nhiều số nhỏ dễ hơn một số lớn, nên ta ghi nó lên mặt của nhiều chiếc
# **đồng hồ**, có cái chạy nhanh, có cái chạy chậm:
#
# $$\omega_k = 10000^{-k / \text{half}}, \quad k = 0, \dots, \text{half} - 1$$
#
# Tính tay với $\text{half} = 2$ và $t = 100$: $\omega = (1, 0.01)$, các góc $(100, 1)$, và
# $(\cos 100, \cos 1, \sin 100, \sin 1) = (0.86, 0.54, -0.51, 0.84)$.

# %% slide="sub"
from minidiff.nn.embeddings import timestep_embedding

half, times = 16, torch.arange(0, 1001, 4)                      # (251,)
omega = 10000.0 ** (-torch.arange(half) / half)                 # (half,)
angle = times[:, None] * omega                                  # (251, half)
clocks = torch.cat([angle.cos(), angle.sin()], dim=1)           # (251, 2 half)
alike = F.cosine_similarity(clocks[:1], clocks, dim=1)          # (251,)

left, right = panels(2, width_ratios=[2, 1])
left.imshow(clocks.T, aspect="auto", extent=(0, 1000, 2 * half, 0), cmap="coolwarm")
left.set(xlabel="t", ylabel="sin | cos", title="timestep_embedding")
lines({"": (times, alike)}, right, "likeness", x="difference in t")
library = timestep_embedding(times, 2 * half)
torch.testing.assert_close(clocks, library, rtol=0, atol=1e-3)

# %% [markdown] lang="en"
# Each column on the left is the fingerprint of one time, cosines above, sines below. In each half the top rows flicker (the
# seconds), the lower ones hardly move (the hours). The curve on the right says how alike two fingerprints are, by how far
# apart their times are: neighbouring times look alike, distant ones less so, and that is what we want. Two linear layers
# (`TimestepEmbedding`) turn the fingerprint into the vector that all residual blocks read; the label's vector is added to it
# (lesson 05 makes use of that).
# %% [markdown] lang="vi" of="38652cd6"
# Mỗi cột bên trái là dấu vân tay của một thời điểm, cos ở trên, sin ở dưới. Trong mỗi nửa, các hàng trên nhấp nháy (kim
# giây), các hàng dưới gần như đứng yên (kim giờ). Đường bên phải cho biết hai dấu vân tay giống nhau đến đâu khi hai thời
# điểm cách nhau bấy nhiêu: gần nhau thì giống nhau, xa nhau thì ít giống hơn, đúng như ta muốn. Hai lớp tuyến tính
# (`TimestepEmbedding`) biến dấu vân tay thành vector mà mọi khối residual đều đọc; vector của nhãn được cộng vào đó (bài 05
# sẽ khai thác điều này).

# %% [markdown] lang="en" role="think"
# Does the network believe what it is told, or does it judge the noise by itself? We show it the cat at $t = 0.5$, which is
# timestep 500, but tell it another time. What do you expect when the time that we tell it is too small? Too large?
# ---
# The picture comes out clean only near 500: the network believes us. If the time is wrong in either direction, noise is left
# over, but not in the same way, as the pictures show. (A network never told the time can learn to judge the noise from the
# picture; this one didn't have to.)
# %% [markdown] lang="vi" of="98593141"
# Mạng tin lời ta báo, hay tự đánh giá mức nhiễu? Ta cho nó xem con mèo ở $t = 0.5$, tức bước thời gian (timestep) 500, nhưng
# báo một giờ khác. Bạn đoán gì nếu báo số nhỏ hơn? Lớn hơn?
# ---
# Bức tranh chỉ sạch khi báo quanh 500: mạng tin lời ta. Báo sai về phía nào thì cũng còn nhiễu, nhưng không giống nhau, như
# các hình cho thấy. (Một mạng không bao giờ được báo giờ vẫn có thể học cách tự đoán mức nhiễu từ ảnh; mạng này thì không
# cần.)

# %%
@torch.no_grad()
def guess_at(timestep, x, t, label=CAT):
    """x (1, 3, 32, 32) of noise level t -> the guess (1, 3, 32, 32) of a network that
    is told this timestep."""
    v = unet(x, torch.tensor([float(timestep)]), labels=torch.tensor([label]))
    return schedule.alpha(t) * x - schedule.sigma(t) * v        # (1, 3, 32, 32)


def draw_guess(timestep, axis):
    (picture,) = guess_at(timestep, noisy[2], torch.tensor(0.5))
    axis.imshow(picture.clamp(-1, 1).permute(1, 2, 0) / 2 + 0.5)    # (32, 32, 3)
    axis.set_axis_off()


slider(draw_guess, "timestep", [100, 350, 500, 900])

# %% [markdown] lang="en"
# The noise is worth a second look. When the time is too large (900), the network takes away too little, and part of the noise
# stays. When it is too small (100), the network takes away too much: the noise comes back with its **colours reversed**, and
# the cat is pale. Compare a few dots of colour. (`alpha * x - sigma * v` is what `denoiser` does for this network; with what
# lesson 03 says about $v$ you can work out why.)
# %% [markdown] lang="vi" of="834b5b63"
# Lớp nhiễu đáng nhìn lại lần nữa. Báo số quá lớn (900), mạng xóa quá ít, và một phần nhiễu còn lại. Báo số quá nhỏ (100), nó
# xóa quá tay: nhiễu quay lại với **màu bị đảo ngược**, còn con mèo thì nhợt đi. Hãy so thử vài chấm màu.
# (`alpha * x - sigma * v` chính là việc `denoiser` làm cho mạng này; với những gì bài 03 nói về $v$, bạn sẽ tự suy ra được vì
# sao.)

# %% [markdown] lang="en" role="pitfall" slide="slide"
# ### Pitfall: the clock that stands still
#
# **Symptom.** Everything runs, the shapes fit, there is no warning; but every picture comes out as noisy as it went in, and
# the noisier it was, the worse it is.
#
# **Cause.** The network was trained with times from 0 to 1000, and somebody calls it with $t$ between 0 and 1. To the clocks
# that is always the first second of the day.
#
# **Cure.** `schedule.timestep(t)`. And look at the numbers that go in: print `timestep.min(), timestep.max()` once.
# %% [markdown] lang="vi" of="397511fb"
# ### Bẫy: chiếc đồng hồ đứng yên
#
# **Triệu chứng.** Mọi thứ vẫn chạy, kích thước khớp, không một lời cảnh báo; nhưng ảnh ra nhiễu chẳng kém lúc vào, ảnh càng
# nhiễu càng tệ.
#
# **Nguyên nhân.** Mạng được huấn luyện với thời gian từ 0 đến 1000, còn ai đó lại gọi nó với $t$ từ 0 đến 1. Với những chiếc
# đồng hồ kia, lúc nào cũng là giây đầu tiên trong ngày.
#
# **Cách chữa.** `schedule.timestep(t)`. Và hãy nhìn các con số đưa vào: in `timestep.min(), timestep.max()` một lần.

# %%
right, wrong, titles = [], [], []
for t in torch.tensor([0.1, 0.3, 0.5, 0.8]):
    x = schedule.mix(cat, eps, t)                               # (1, 3, 32, 32)
    right.append(guess_at(schedule.timestep(t), x, t))
    wrong.append(guess_at(t, x, t))
    titles.append(f"{schedule.timestep(t):.0f} | {t:.1f}")
show(torch.stack([torch.cat(right), torch.cat(wrong)]), titles)

# %% [markdown] lang="en"
# ## 8. The whole U
#
# Now every part is in your hands. The library's `UNet` puts them together: on each level one residual block down
# (`DownBlock`) and two up (`UpBlock`), each of the two reads **the features so far and one skip, side by side**; in the
# middle (`MidBlock`) two residual blocks with attention between them.
#
# Attention lets every position look at every other; here it works on the small 8 × 8 maps only. We build it in lesson 07.
# %% [markdown] lang="vi" of="9d37528c"
# ## 8. Toàn bộ chữ U
#
# Giờ bạn đã nắm mọi bộ phận. `UNet` của thư viện ráp chúng lại: mỗi tầng có một khối residual khi xuống (`DownBlock`), hai
# khối khi lên (`UpBlock`), mỗi khối khi lên đọc **các đặc trưng đã có và một kết nối tắt, đặt cạnh nhau**; ở giữa
# (`MidBlock`) là hai khối residual, xen giữa là cơ chế chú ý (attention).
#
# Cơ chế chú ý cho mỗi vị trí nhìn mọi vị trí khác; ở đây nó chỉ làm việc trên các bản đồ nhỏ 8 × 8. Ta sẽ dựng nó ở bài 07.

# %%
from minidiff.models.unet import UNet, UpBlock

source(UNet.forward)
source(UpBlock.forward)

# %% [markdown] lang="en" role="think"
# `skips` is a list: the way down adds to its end, the way up takes from its end. The network has three levels. How many skips
# are there, and which of them does the very last residual block on the way up get?
# ---
# Six: one from the first convolution, one from the residual block of each of three levels, one from each of two halvings. The
# last residual block on the way up gets the first skip that was made, from `conv_in`: last in, first out. Exercise 01.4 shows
# what happens otherwise.
# %% [markdown] lang="vi" of="c8201b3d"
# `skips` là một danh sách: đường xuống thêm vào cuối, đường lên lấy ra từ cuối. Mạng có ba tầng. Có bao nhiêu kết nối tắt, và
# khối residual cuối cùng trên đường lên nhận cái nào?
# ---
# Sáu: một từ phép tích chập đầu tiên, ba từ khối residual của ba tầng, hai từ hai lần thu nhỏ. Khối residual cuối cùng trên
# đường lên nhận cái được tạo ra đầu tiên, từ `conv_in`: vào sau, ra trước. Bài tập 01.4 cho thấy nếu làm khác thì sao.

# %% [markdown] lang="en"
# Let's watch one picture go through. Hooks note the shape of what each residual block gives, and we look at the liveliest
# channel of each.
# %% [markdown] lang="vi" of="bb1cbb03"
# Hãy theo dõi một bức tranh đi qua mạng. Các hook ghi lại kích thước đầu ra của từng khối residual, và ta xem kênh biến động
# mạnh nhất của mỗi khối.

# %%
made = []               # (channels in, features out) of every residual block


def note(block, given, h):
    made.append((given[0].shape[1], h))


blocks = [block for block in unet.modules() if isinstance(block, ResBlock)]
hooks = [block.register_forward_hook(note) for block in blocks]
guess(noisy[1], 0.3, CAT)
for hook in hooks:
    hook.remove()

sides = ["down"] * 3 + ["middle"] * 2 + ["up"] * 6
maps, titles = [], []
for side, (channels, h) in zip(sides, made, strict=True):
    print(f"{side:7}{channels:4} -> {tuple(h.shape)}")
    liveliest = h[0, h.std(dim=(0, 2, 3)).argmax()]             # (H, W)
    maps.append((liveliest / liveliest.abs().max())[None])      # (1, H, W), -1..1
    titles.append(f"{side} {h.shape[2]} x {h.shape[3]}")
show(maps, titles, columns=6)

# %% [markdown] lang="en"
# On the way down the maps shrink from 32 to 8 and widen from 32 to 128 channels; on the way up the first number of each line
# is larger, because a skip lies beside the features. In the middle there is hardly any noise left to see.
#
# And how far does the trained network look? The same gradient as in section 2, at five noise levels:
# %% [markdown] lang="vi" of="e94cd6df"
# Trên đường xuống, bản đồ thu từ 32 còn 8 và nở từ 32 lên 128 kênh; trên đường lên, con số đầu mỗi dòng lớn hơn vì có kết nối
# tắt nằm cạnh các đặc trưng. Ở các bản đồ giữa gần như không còn thấy nhiễu.
#
# Vậy mạng đã huấn luyện nhìn xa tới đâu? Vẫn gradient như ở mục 2, với năm mức nhiễu:

# %% slide="slide"
from functools import partial

fresh = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(2))
fields = {}
for t in torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9]):
    x = schedule.mix(clean[:6], fresh, t)                       # (6, 3, 32, 32)
    told = partial(unet, timestep=schedule.timestep(t)[None], labels=torch.arange(6))
    fields[f"t = {t:.1f}"] = seen(told, x)                      # (1, 32, 32)
show(list(fields.values()), list(fields))

# %% [markdown] lang="en" role="notes"
# Nobody programmed this. Ask why a good denoiser would look further when there is more noise.
# %% [markdown] lang="vi" of="c524eab6"
# Không ai lập trình điều này. Hãy hỏi: vì sao một mạng khử nhiễu tốt lại nhìn xa hơn khi nhiễu nhiều hơn?

# %% [markdown] lang="en"
# When there is little noise it looks at the nearest pixels, when there is much it looks at the whole picture: the less each
# pixel can be trusted, the more of them have to be asked. Nobody told it to do so. It is told the time, and it has found out
# which view serves best.
# %% [markdown] lang="vi" of="719a2761"
# Nhiễu ít thì nó nhìn các điểm ảnh gần nhất, nhiễu nhiều thì nhìn cả bức tranh: mỗi điểm ảnh càng kém tin cậy thì càng phải
# hỏi nhiều điểm. Không ai dạy nó điều đó. Nó được báo giờ, và tự tìm ra tầm nhìn nào có lợi nhất.

# %% [markdown] lang="en" slide="slide"
# ## 9. Why one guess is a blur
#
# One pixel, two possible pictures, equally likely: $x_0 = 0$ or $x_0 = 1$; the noise hides which. We answer $a$. The expected
# loss is
#
# $$L(a) = \tfrac12 (a - 0)^2 + \tfrac12 (a - 1)^2, \qquad L'(a) = 2a - 1 = 0 \;\Rightarrow\; a = \tfrac12$$
# %% [markdown] lang="vi" of="051deda6"
# ## 9. Vì sao một lần đoán lại nhòe
#
# Một điểm ảnh, hai bức tranh khả dĩ với xác suất bằng nhau: $x_0 = 0$ hoặc $x_0 = 1$; nhiễu che mất là bức nào. Ta trả lời
# $a$. Kỳ vọng của hàm mất mát là
#
# $$L(a) = \tfrac12 (a - 0)^2 + \tfrac12 (a - 1)^2, \qquad L'(a) = 2a - 1 = 0 \;\Rightarrow\; a = \tfrac12$$

# %% [markdown] lang="en"
# Grey! It is neither of the two pictures but their **mean**, like the thousand streets of lesson 00. With a squared loss, the
# best answer is always the mean of everything that $x_0$ could be, given what was seen:
#
# $$f(x) = \mathbb{E}[x_0 \mid x]$$
# %% [markdown] lang="vi" of="db76d53a"
# Màu xám! Không phải bức nào trong hai bức, mà là **trung bình** của chúng, như một nghìn con phố ở bài 00. Với hàm mất mát
# bình phương, câu trả lời tốt nhất luôn là trung bình của mọi $x_0$ có thể có, khi đã biết những gì ta thấy:
#
# $$f(x) = \mathbb{E}[x_0 \mid x]$$

# %% [markdown] lang="en" role="think"
# At $t = 1$ the picture is noise and nothing else. What should the network answer when it is told "star"? When it is told
# "cat"? And when it is told "anything", the 19th label?
# ---
# The noise says nothing, so the best answers are the mean of all stars, the mean of all cats, and the mean of all pictures of
# the world. The next cell computes these means from 540 drawings and shows the network's guesses below them.
# %% [markdown] lang="vi" of="33e327cd"
# Ở $t = 1$, bức tranh chỉ toàn nhiễu. Mạng nên trả lời gì khi được bảo "ngôi sao"? Khi được bảo "con mèo"? Và khi được bảo
# "gì cũng được", nhãn thứ 19?
# ---
# Nhiễu không nói lên điều gì, nên câu trả lời tốt nhất là trung bình của mọi ngôi sao, trung bình của mọi con mèo, và trung
# bình của mọi bức tranh. Ô tiếp theo tính các trung bình này từ 540 bức vẽ rồi đặt lời đoán của mạng bên dưới.

# %% slide="slide"
def apart(a, b):
    return (a - b).square().mean().sqrt()


many = to_tensor(portraits(540))                                # (540, 3, 32, 32)
wanted = {name: SHAPES.index(name) for name in ("star", "cat", "tree")}
groups = {name: many[k::18] for name, k in wanted.items()}      # picture n: kind n % 18
wanted["anything"], groups["anything"] = ANYTHING, many
means = torch.stack([g.mean(dim=0) for g in groups.values()])       # (4, 3, 32, 32)
shots = torch.cat([guess(eps, 1.0, k) for k in wanted.values()])    # (4, 3, 32, 32)
titles = [f"mean: {name}" for name in wanted] + ["one guess, t = 1"] * 4
show(torch.cat([means, shots]), titles, columns=4)

print("root mean square distance to the mean")
for (name, group), mean, shot in zip(groups.items(), means, shots, strict=True):
    print(f"{name:9} picture {apart(group, mean):.2f}, guess {apart(shot, mean):.2f}")

# %% [markdown] lang="en"
# The guess lies far closer to the mean than the pictures themselves do. It isn't perfect: some grain of the noise is left,
# since a network of this size doesn't learn to ignore it altogether. But the blur of the opening picture isn't a weakness of
# the network. It is the **right answer to the question that was asked**: with less and less noise, fewer and fewer pictures
# remain possible, and their mean gets sharp.
#
# Does that mean we can't draw? Below the same network starts from the same noise, but it is asked ten times, and we go only a
# small step each time.
# %% [markdown] lang="vi" of="a7ea10f6"
# Lời đoán gần giá trị trung bình hơn hẳn so với chính các bức tranh. Nó không hoàn hảo: vẫn còn chút hạt nhiễu, vì một mạng
# cỡ này chưa học được cách phớt lờ nhiễu hoàn toàn. Nhưng vẻ nhòe của bức hình mở đầu không phải điểm yếu của mạng. Đó là
# **câu trả lời đúng cho câu hỏi đã đặt ra**: nhiễu càng ít thì càng ít bức tranh còn khả dĩ, và trung bình của chúng trở nên
# sắc nét.
#
# Vậy là không vẽ được ư? Dưới đây, vẫn mạng ấy bắt đầu từ lớp nhiễu ấy, nhưng được hỏi mười lần, và mỗi lần ta chỉ đi một
# bước nhỏ.

# %% slide="slide"
seeds = [0, 1, 2]
dice = [torch.Generator().manual_seed(seed) for seed in seeds]
start = torch.stack([torch.randn(3, 32, 32, generator=die) for die in dice])
once = torch.cat([guess(x[None], 1.0, CAT) for x in start])     # (3, 3, 32, 32)
drawn = pipe.sample(["cat"] * 3, seeds, [""] * 3, steps=10, guidance_scale=1.0)
*_, (_, ten, _) = drawn                                         # (3, 3, 32, 32)
show(torch.stack([start, once, ten], dim=1), ["noise", "1 call", "10 calls"])

# %% [markdown] lang="en"
# ## Summary
#
# | part | what it does | shapes |
# |---|---|---|
# | mix | $x = \alpha x_0 + \sigma \epsilon$ | $(B, 3, H, W)$, same |
# | $n$ convolutions | see $2n + 1$ pixels | $(B, C, H, W)$, same |
# | `Downsample` / `Upsample` | stride 2 / repeat, convolve | $H \to H/2 \to H$ |
# | skip | `cat([h, skip], dim=1)` | $C_h, C_s \to C_h + C_s$ |
# | GroupNorm | $(x - \text{mean}) / \sqrt{\text{var} + \texttt{eps}}$ per picture and group | $(B, G, \cdot)$ |
# | `ResBlock` | $x + f(x, \text{time})$ | $(B, C, H, W), (B, D)$ |
# | time | $\cos, \sin$ of $t \cdot 10000^{-k/\text{half}}$ | $(B,) \to (B, 2\,\text{half})$ |
# | one guess | $\mathbb{E}[x_0 \mid x]$: a mean, so a blur | $(B, 3, H, W)$ |
# %% [markdown] lang="vi" of="4f3508e3"
# ## Tóm tắt
#
# | bộ phận | làm gì | kích thước |
# |---|---|---|
# | trộn nhiễu | $x = \alpha x_0 + \sigma \epsilon$ | $(B, 3, H, W)$, giữ nguyên |
# | $n$ lớp tích chập | thấy $2n + 1$ điểm ảnh | $(B, C, H, W)$, giữ nguyên |
# | `Downsample` / `Upsample` | stride 2 / lặp lại rồi tích chập | $H \to H/2 \to H$ |
# | kết nối tắt | `cat([h, skip], dim=1)` | $C_h, C_s \to C_h + C_s$ |
# | GroupNorm | $(x - \text{mean}) / \sqrt{\text{var} + \texttt{eps}}$ theo từng ảnh và nhóm | $(B, G, \cdot)$ |
# | `ResBlock` | $x + f(x, \text{time})$ | $(B, C, H, W), (B, D)$ |
# | thời gian | $\cos, \sin$ của $t \cdot 10000^{-k/\text{half}}$ | $(B,) \to (B, 2\,\text{half})$ |
# | một lần đoán | $\mathbb{E}[x_0 \mid x]$: một giá trị trung bình, nên nhòe | $(B, 3, H, W)$ |

# %% [markdown] lang="en"
# ## What you can do now, and what still bothers
#
# You can read `models/unet.py` from top to bottom, measure what a network sees, and say why its single guess is soft. In the
# exercises your own parts draw inside the shipped network.
#
# What still bothers: ten calls gave sharp cats where one gave fog. What is a "small step", how much noise is there at each,
# and how was the network trained for all of them at once? That is **lesson 02: DDPM**.
# %% [markdown] lang="vi" of="03279a2f"
# ## Giờ bạn đã làm được, và điều còn vướng
#
# Bạn đọc được `models/unet.py` từ đầu đến cuối, đo được một mạng nhìn thấy gì, và nói được vì sao một lần đoán lại nhòe.
# Trong phần bài tập, chính các bộ phận bạn viết sẽ vẽ tranh bên trong mạng có sẵn.
#
# Còn vướng: mười lần hỏi cho những con mèo sắc nét, một lần hỏi chỉ cho sương mù. "Bước nhỏ" là gì, ở mỗi bước có bao nhiêu
# nhiễu, và mạng đã được huấn luyện cho tất cả các bước cùng lúc ra sao? Đó là **bài 02: DDPM**.

# %% [markdown] lang="en"
# **Sources.** Ronneberger, Fischer & Brox 2015, *U-Net*, figure 1. He et al. 2016, *Identity mappings in deep residual
# networks*, eq. 1–5. Luo et al. 2016, *Understanding the effective receptive field*. Odena, Dumoulin & Olah 2016,
# *Deconvolution and checkerboard artifacts* (why we repeat, then convolve). Vaswani et al. 2017, *Attention is all you need*,
# section 3.5 (the sinusoids). Wu & He 2018, *Group normalization*, eq. 1–7. Ho, Jain & Abbeel 2020, *DDPM*, appendix B (this
# U-Net). Dhariwal & Nichol 2021, *Diffusion models beat GANs*, section 3 (its later form).
# %% [markdown] lang="vi" of="5c6b44fb"
# **Nguồn.** Ronneberger, Fischer & Brox 2015, *U-Net*, hình 1. He và cộng sự 2016, *Identity mappings in deep residual
# networks*, công thức 1–5. Luo và cộng sự 2016, *Understanding the effective receptive field*. Odena, Dumoulin & Olah 2016,
# *Deconvolution and checkerboard artifacts* (vì sao lặp lại rồi mới tích chập). Vaswani và cộng sự 2017, *Attention is all
# you need* (bài báo về cơ chế chú ý), mục 3.5 (các sóng sin). Wu & He 2018, *Group normalization*, công thức 1–7. Ho, Jain &
# Abbeel 2020, *DDPM*, phụ lục B (chính U-Net này). Dhariwal & Nichol 2021, *Diffusion models beat GANs*, mục 3 (dạng về sau).

# %% [markdown] lang="en" only="exercise"
# # 01 A U-Net that removes noise: exercises
#
# You write parts of the U-Net, one after the other. `check` says what is right and what isn't. Then your part takes the place
# of the library's in the shipped network `world-pixels` and draws: the upper row is drawn with the solution, the lower row
# with yours.
#
# The next cell loads the network. It also defines two functions that you need towards the end: `down_path` is the left half
# of the U, and `up_levels` lists the blocks of its right half.
# %% [markdown] lang="vi" of="e858ad65"
# # 01 Một U-Net biết xóa nhiễu: bài tập
#
# Bạn viết lần lượt các bộ phận của U-Net. `check` cho biết chỗ nào đúng, chỗ nào chưa. Sau đó phần bạn viết thay chỗ phần của
# thư viện trong mạng có sẵn `world-pixels` và vẽ tranh: hàng trên vẽ bằng lời giải, hàng dưới vẽ bằng phần của bạn.
#
# Ô tiếp theo nạp mạng. Nó cũng định nghĩa hai hàm bạn sẽ cần ở những bài cuối: `down_path` là nửa trái của chữ U, `up_levels`
# liệt kê các khối của nửa phải.

# %% only="exercise"
from functools import partial
from unittest.mock import patch

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from minidiff import load_pipeline
from minidiff.data.world.scenes import SHAPES
from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run
from minidiff.models import unet as unet_file
from minidiff.models.unet import UNet
from minidiff.nn.blocks import ResBlock

pipe = load_pipeline("world-pixels", device="cpu", dtype="float32")
unet, schedule = pipe.network.unet, pipe.scheduler.schedule
names = ("star", "cat", "house", "boat")
labels = torch.tensor([SHAPES.index(name) for name in names])   # (4,)
anything = torch.full_like(labels, len(SHAPES))                 # (4,), any kind
noise = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def down_path(unet: UNet, x: Tensor, time: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The down path, the left half of the U: x (B, 3, H, W) and the time's embedding
    (B or 1, D) to the deepest features h (B, C, h, w), and the skips in the order in
    which they are made, finest first."""
    h = unet.conv_in(x)                                         # (B, C, H, W)
    skips = [h]
    for level in unet.down_blocks:
        h, made = level(h, time, None, None)                    # no caption, no mask
        skips += made
    return h, skips


def up_levels(unet: UNet, time: Tensor) -> list:
    """The parts of the up path, the right half of the U, deepest level first: for each
    level (blocks, double).

    A block is a function of features and skip side by side, (B, C + S, h, w) to
    (B, C', h, w). double(h, size) enlarges h to the size (H, W); it is None in the last
    level, which has the size of the picture."""
    levels = []
    for level in unet.up_blocks:
        count = len(level.resnets)
        blocks = [partial(level.layer, k, time=time) for k in range(count)]
        double = level.upsamplers[0] if level.upsamplers else None
        levels.append((blocks, double))
    return levels


@torch.inference_mode()
def pictures() -> Tensor:
    """Four pictures (4, 3, 32, 32), drawn by the shipped network in 8 steps, with the
    guidance that lesson 05 explains."""

    def network(x: Tensor, timestep: Tensor) -> Tensor:
        return unet(x, timestep, labels=torch.cat([labels, anything])[: len(x)])

    guided = cfg(denoiser(network, schedule, "v"), 2.0)
    *_, last = run("dpmpp_2m", guided, noise, schedule, steps=8)
    return last.x
