"""Lesson 08: a VAE from one number to a trained network, what its latents save, and the scale factor."""

# %% [markdown] lang="en" slide="slide"
# # 08 Latents: a VAE and why it pays
#
# In lesson 07 the U-Net drew a latent: a grid of 16 × 16 places with four numbers in each. A decoder, which we didn't explain,
# turned it into a picture. Below, an encoder turns a picture into four small maps, and the decoder paints the picture again
# from these maps alone. The last tile is the difference, amplified eight times (grey: none). How can so few numbers be enough?
# %% [markdown] lang="vi" of="689ad5e4"
# # 08 Latent: VAE và lợi ích của nó
#
# Ở bài 07, U-Net vẽ một latent: lưới 16 × 16 ô, mỗi ô bốn con số. Sau đó một bộ giải mã mà ta chưa giải thích biến lưới ấy
# thành tranh. Dưới đây, bộ mã hóa biến một bức tranh thành bốn bản đồ nhỏ, rồi bộ giải mã vẽ lại bức tranh chỉ từ bốn bản đồ
# ấy. Ô cuối là sai khác, khuếch đại tám lần (màu xám: không sai khác). Vì sao chỉ ngần ấy con số đã đủ?

# %%
import math
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from minidiff import load_pipeline
from minidiff.evaluate.reliability import rendered, test_scenes
from minidiff.models.vae import VAE, VAEConfig

pipe = load_pipeline("world-unet", device="cpu", dtype="float32")
vae = pipe.vae.requires_grad_(False)
images = rendered(test_scenes(32)) * 2 - 1                      # (32, 3, 128, 128)
mean, log_variance = vae.encode(images)                         # each (32, 4, 16, 16)
decoded = vae.decode(mean[:4])                                  # (4, 3, 128, 128)
print(*(tuple(x.shape) for x in (images, mean, decoded)))

# %% slide="sub"
k = 3
# latents are about -4..4, pictures -1..1
maps = F.interpolate(mean[k, :, None] / 4, size=128)            # (4, 1, 128, 128)
difference = 8 * (decoded[k] - images[k])
row = [images[k], *maps.expand(-1, 3, -1, -1), decoded[k], difference]
names = ["picture", *(f"channel {c}" for c in range(4)), "decoded", "difference × 8"]
show(torch.stack(row), names)

# %% [markdown] lang="en" role="notes"
# Ask what the four channels show. Each mixes shape and colour; nobody told the network what a channel should mean.
# %% [markdown] lang="vi" of="2fb265da"
# Hỏi xem bốn kênh cho thấy gì. Kênh nào cũng lẫn cả hình lẫn màu; không ai bảo mạng mỗi kênh phải mang nghĩa gì.

# %% [markdown] lang="en"
# [[map]]
#
# **Aims.** You can pass a gradient through a sample of a Gaussian, compute its KL divergence to $N(0, 1)$, train a small VAE
# and say what each part of its loss does; you know how many seconds latents save, and you recognise a wrong scale factor by
# sight.
#
# **Time:** [[time]]. **You need:** lesson 01 (residual blocks), lesson 04 (samplers), lesson 07 (`world-unet`). On a CPU a
# small VAE is trained here, in about a minute; on a GPU a larger one with many more steps.
# %% [markdown] lang="vi" of="f01ac9d2"
# [[map]]
#
# **Mục tiêu.** Bạn lấy mẫu được từ một phân phối Gauss sao cho gradient đi qua được, tính được phân kỳ KL của nó với
# $N(0, 1)$, huấn luyện (training) được một VAE nhỏ và nói được mỗi phần của hàm mất mát (loss) làm gì với bức tranh; biết
# latent tiết kiệm được bao nhiêu giây, và nhìn tranh là nhận ra hệ số tỉ lệ sai.
#
# **Thời gian:** [[time]]. **Cần biết:** bài 01 (khối residual), bài 04 (bộ lấy mẫu, sampler), bài 07 (`world-unet`). Trên CPU,
# ta huấn luyện một VAE nhỏ ngay tại đây trong khoảng một phút; trên GPU là một VAE lớn hơn, với nhiều bước hơn hẳn.

# %% [markdown] lang="en" role="think"
# **Three quick questions** from earlier lessons.
#
# 1. (01) A network that is trained with squared error doesn't know exactly where an edge is. What does it paint?
# 2. (03) In $x_t = \alpha_t x_0 + \sigma_t \epsilon$, which deviation should $x_0$ have so that $x_t$ has deviation 1 at every
#    $t$?
# 3. (04) Which two numbers decide how long sampling takes?
# ---
# 1. A soft edge: the average of all places where it may be.
# 2. Deviation 1, since $\alpha_t^2 + \sigma_t^2 = 1$. Remember this one for section 7.
# 3. How often the network is called, and how many seconds one call takes. Lesson 04 reduced the first; this one reduces the
#    second.
# %% [markdown] lang="vi" of="55428aaf"
# **Ba câu hỏi nhanh** từ các bài trước.
#
# 1. (01) Một mạng được huấn luyện bằng sai số bình phương không biết chính xác cạnh nằm ở đâu. Nó vẽ gì?
# 2. (03) Trong $x_t = \alpha_t x_0 + \sigma_t \epsilon$, $x_0$ phải có độ lệch chuẩn bao nhiêu để $x_t$ có độ lệch chuẩn 1 với
#    mọi $t$?
# 3. (04) Hai con số nào quyết định việc lấy mẫu mất bao lâu?
# ---
# 1. Một cạnh mềm: trung bình của mọi chỗ mà cạnh có thể nằm.
# 2. Độ lệch chuẩn 1, vì $\alpha_t^2 + \sigma_t^2 = 1$. Hãy nhớ điều này cho đến mục 7.
# 3. Số lần gọi mạng và số giây của mỗi lần gọi. Bài 04 đã giảm số thứ nhất; bài này giảm số thứ hai.

# %% [markdown] lang="en" slide="slide"
# ## 1. One number, by hand
#
# An autoencoder has an **encoder**, picture to latent, and a **decoder**, latent to picture. In a *variational* one, a
# **VAE**, the encoder doesn't give the latent number itself. It gives a Gaussian, as two numbers: a mean $\mu$ and a
# log-variance $\ell = \ln \sigma^2$. The latent is a sample:
#
# $$z = \mu + e^{\ell/2}\,\epsilon, \qquad \epsilon \sim N(0, 1)$$
#
# On paper: $\mu = 2$, $\sigma^2 = 0.25$, so $\ell = \ln 0.25 = -1.386$ and $e^{\ell/2} = 0.5$. The noise $\epsilon = 1$ gives
# $z = 2.5$, and $\epsilon = -2$ gives $z = 1$.
# %% [markdown] lang="vi" of="5e37df0f"
# ## 1. Tính tay một con số
#
# Một bộ tự mã hóa (autoencoder) gồm **bộ mã hóa (encoder)**, từ tranh ra latent, và **bộ giải mã (decoder)**, từ latent ra
# tranh. Ở loại *biến phân* (variational), tức **VAE**, bộ mã hóa không cho ra chính con số latent. Nó cho ra một phân phối
# Gauss bằng hai số: trung bình $\mu$ và log phương sai $\ell = \ln \sigma^2$. Latent là một mẫu:
#
# $$z = \mu + e^{\ell/2}\,\epsilon, \qquad \epsilon \sim N(0, 1)$$
#
# Trên giấy: $\mu = 2$, $\sigma^2 = 0.25$, nên $\ell = \ln 0.25 = -1.386$ và $e^{\ell/2} = 0.5$. Nhiễu $\epsilon = 1$ cho
# $z = 2.5$, còn $\epsilon = -2$ cho $z = 1$.

# %%
mean_1, log_variance_1 = 2.0, math.log(0.25)                    # the latter is -1.386
std_1 = math.exp(0.5 * log_variance_1)                          # 0.5
for noise_1 in (1.0, -2.0):
    print(f"{mean_1} + {std_1} * {noise_1:+} = {mean_1 + std_1 * noise_1}")

# %% [markdown] lang="en" role="think"
# Why does the network give $\ln \sigma^2$, and not $\sigma$ itself?
# ---
# The last layer may give any number, also a negative one, and $e^{\ell/2}$ is a valid deviation for all of them. A change from
# $\sigma = 0.1$ to $0.01$ is small, but $\ell$ changes by 4.6, which is easier to learn.
# %% [markdown] lang="vi" of="ba76ee09"
# Vì sao mạng cho ra $\ln \sigma^2$ mà không cho ra chính $\sigma$?
# ---
# Lớp cuối có thể cho ra số bất kỳ, kể cả số âm, và với mọi số ấy $e^{\ell/2}$ đều là một độ lệch chuẩn hợp lệ. Hơn nữa, từ
# $\sigma = 0.1$ xuống $0.01$ là thay đổi nhỏ, còn $\ell$ đổi 4.6, nên dễ học hơn.

# %% [markdown] lang="en" slide="sub"
# Now a whole batch: mean, log-variance and noise are each (32, 4, 16, 16). The library's `VAE.sample` draws its noise from a
# generator, so with the same seed both must agree. The typical $\sigma$ printed here is small: the latents themselves range
# over several units.
# %% [markdown] lang="vi" of="2baf15df"
# Giờ là cả một lô (batch): trung bình, log phương sai và nhiễu đều có kích thước (32, 4, 16, 16). `VAE.sample` của thư viện lấy
# nhiễu từ một generator, nên với cùng seed, hai bên phải cho kết quả như nhau. $\sigma$ điển hình in ra ở đây rất nhỏ, trong
# khi chính các latent trải rộng vài đơn vị.

# %%
def reparameterise(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    return mean + torch.exp(0.5 * log_variance) * noise         # (B, 4, 16, 16), all


noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))
library = VAE.sample(mean, log_variance, torch.Generator().manual_seed(0))
assert_close(reparameterise(mean, log_variance, noise), library)
print(f"typical deviation: {torch.exp(0.5 * log_variance).median():.3f}")
source(VAE.sample)

# %% [markdown] lang="en" role="think"
# **Predict.** The decoder's error sends a gradient back to $z$. With $\mu = 2$, $\sigma = 0.5$, $\epsilon = -2$: what are
# $\partial z / \partial \mu$ and $\partial z / \partial \ell$?
# ---
# $\partial z/\partial\mu = 1$, and
# $\partial z/\partial\ell = \tfrac12 e^{\ell/2}\epsilon = \tfrac12 \cdot 0.5 \cdot (-2) = -0.5$. Both exist, because the noise
# comes **from outside**: $\epsilon$ is drawn without the network, and $z$ is then an ordinary sum and product of it with $\mu$
# and $\ell$. This is the **reparameterisation trick** (Kingma and Welling 2014, section 2.4). PyTorch's `sample()` cuts the
# gradient; `rsample()` is the formula above.
# %% [markdown] lang="vi" of="e5490b55"
# **Đoán xem.** Sai số của bộ giải mã gửi gradient ngược về $z$. Với $\mu = 2$, $\sigma = 0.5$, $\epsilon = -2$:
# $\partial z / \partial \mu$ và $\partial z / \partial \ell$ bằng bao nhiêu?
# ---
# $\partial z/\partial\mu = 1$, và
# $\partial z/\partial\ell = \tfrac12 e^{\ell/2}\epsilon = \tfrac12 \cdot 0.5 \cdot (-2) = -0.5$. Cả hai đều tồn tại vì nhiễu
# đến **từ bên ngoài**: $\epsilon$ được rút mà không cần đến mạng, rồi $z$ chỉ là phép nhân và cộng thông thường giữa nó với
# $\mu$ và $\ell$. Đó là **mẹo tham số hóa lại (reparameterisation trick)** (Kingma và Welling 2014, mục 2.4). Hàm `sample()`
# của PyTorch cắt đứt gradient; `rsample()` chính là công thức trên.

# %%
m = torch.tensor(2.0, requires_grad=True)
log_v = torch.tensor(math.log(0.25), requires_grad=True)
reparameterise(m, log_v, torch.tensor(-2.0)).backward()
print(f"gradients: mean {m.grad:.2f}, log-variance {log_v.grad:.2f}")

normal = torch.distributions.Normal(m, torch.exp(0.5 * log_v))
print("sample() has a gradient:", normal.sample().requires_grad)
print("rsample() has a gradient:", normal.rsample().requires_grad)

# %% [markdown] lang="en" slide="slide"
# ## 2. KL: how far from N(0, 1)?
#
# So far the encoder may choose huge means and tiny deviations, and then the noise changes nothing. The **KL divergence** puts a
# price on that. For one Gaussian against $N(0, 1)$:
#
# $$\mathrm{KL} = \tfrac12\left(\mu^2 + \sigma^2 - 1 - \ln\sigma^2\right)$$
#
# With our numbers: $\tfrac12(4 + 0.25 - 1 + 1.386) = 2.318$ nats (bits would be counted with $\log_2$). By definition, KL is
# the mean of $\ln q(z) - \ln p(z)$ over samples $z$ of $q$, where $q$ is our Gaussian and $p$ is $N(0, 1)$. Averaging checks
# the formula.
# %% [markdown] lang="vi" of="b20c40b7"
# ## 2. KL: cách N(0, 1) bao xa?
#
# Đến đây bộ mã hóa vẫn được tùy ý chọn trung bình rất lớn và độ lệch rất nhỏ, khi ấy nhiễu chẳng còn tác dụng gì. **Phân kỳ
# KL** (KL divergence) bắt phải trả giá cho việc đó. Với một phân phối Gauss so với $N(0, 1)$:
#
# $$\mathrm{KL} = \tfrac12\left(\mu^2 + \sigma^2 - 1 - \ln\sigma^2\right)$$
#
# Với các số của ta: $\tfrac12(4 + 0.25 - 1 + 1.386) = 2.318$ nat (nếu dùng $\log_2$ thì tính bằng bit). Theo định nghĩa, KL là
# trung bình của $\ln q(z) - \ln p(z)$ trên các mẫu $z$ của $q$, với $q$ là phân phối Gauss của ta và $p$ là $N(0, 1)$. Ta kiểm
# tra công thức bằng cách lấy trung bình.

# %%
def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)


q, p = (torch.distributions.Normal(*pair) for pair in ((2.0, 0.5), (0.0, 1.0)))
print("formula:", kl(torch.tensor(2.0), torch.tensor(math.log(0.25))).item())
torch.manual_seed(0)
for n in (10, 1000, 100_000):
    z = q.sample((n,))
    print(f"{n:7} samples:", (q.log_prob(z) - p.log_prob(z)).mean().item())

# %% [markdown] lang="en" role="think"
# The mean of ten samples is far off; that of a hundred thousand agrees to two decimals. Training uses the formula, which has no
# noise.
#
# **Predict** the two curves below: KL over the mean, with variance 1, and over the log-variance, with mean 0. Where is each 0,
# and which side is steeper?
# ---
# Both are 0 at 0, and nowhere else. Over the mean, KL is a parabola. Over the log-variance, it grows exponentially on the right
# and only like $-\ell/2$ on the left: each halving of $\sigma$ costs at most $\ln 2 = 0.69$ nats, or one bit. A small $\sigma$
# is therefore not expensive.
# %% [markdown] lang="vi" of="0b5e5d35"
# Trung bình của mười mẫu còn lệch nhiều; của một trăm nghìn mẫu thì khớp đến hai chữ số thập phân. Khi huấn luyện ta dùng công
# thức, vì nó không có nhiễu.
#
# **Đoán xem** hai đường cong dưới đây: KL theo trung bình, với phương sai 1, và theo log phương sai, với trung bình 0. Mỗi
# đường bằng 0 ở đâu, và phía nào dốc hơn?
# ---
# Cả hai bằng 0 tại 0 và chỉ tại đó. Theo trung bình, KL là một parabol. Theo log phương sai (log-variance), nó tăng theo hàm mũ
# ở bên phải, còn bên trái chỉ tăng cỡ $-\ell/2$: mỗi lần giảm $\sigma$ một nửa tốn nhiều nhất $\ln 2 = 0.69$ nat, tức một bit.
# Vì vậy $\sigma$ nhỏ không đắt lắm.

# %% slide="sub"
where = torch.linspace(-4, 4, 161)
left, right = panels(2, sharey=True)
zero = torch.zeros(161)
lines({"": (where, kl(where, zero))}, left, "variance 1", "mean", "KL in nats")
lines({"": (where, kl(zero, where))}, right, "mean 0", "log-variance")

# %% slide="sub"
def bell(log_variance: float, axis) -> None:
    std, z = math.exp(log_variance / 2), torch.linspace(-4, 4, 161)
    nats = kl(torch.tensor(0.0), torch.tensor(log_variance))
    ours, normal = (torch.distributions.Normal(0.0, width) for width in (std, 1.0))
    curves = {f"q, KL {nats:.2f}": ours, "N(0, 1)": normal}
    lines({name: (z, one.log_prob(z).exp()) for name, one in curves.items()}, axis)


slider(bell, "log-variance", [-3.0, 0.0, 2.0])

# %% [markdown] lang="en"
# The slider shows three Gaussians $q$ with mean 0 beside $N(0, 1)$, each with its KL.
#
# Now for all latent numbers of 32 pictures. The library takes the **mean** over all numbers, papers take the **sum** over a
# picture: a factor of 4 · 16 · 16 = 1024. A weight that is right for one is a thousand times wrong for the other.
# %% [markdown] lang="vi" of="e2453f69"
# Thanh trượt cho thấy ba phân phối Gauss $q$ có trung bình 0 bên cạnh $N(0, 1)$, mỗi cái kèm KL của nó.
#
# Giờ tính cho mọi con số latent của 32 bức tranh. Thư viện lấy **trung bình** trên mọi con số, còn các bài báo lấy **tổng**
# trên một bức tranh: chênh nhau 4 · 16 · 16 = 1024 lần. Một trọng số đúng với cách này thì lớn hay nhỏ quá cả nghìn lần với
# cách kia.

# %%
nats = kl(mean, log_variance)                                   # (32, 4, 16, 16)
assert_close(nats.mean(), VAE.kl(mean, log_variance))
print("nats per number:", nats.mean().item())
print("nats per picture:", nats.sum(dim=(1, 2, 3)).mean().item())
source(VAE.kl)

# %% [markdown] lang="en" slide="slide"
# ## 3. A small VAE, trained here
#
# The loss has two terms that pull in opposite directions:
#
# $$\text{loss} = \text{mean}\,|\,\text{decode}(z) - x\,| + \text{weight}\cdot\mathrm{KL}$$
#
# Our VAE takes 32 × 32 × 3 to 4 × 4 × 4: height and width are divided by 8, which is called **f8**, and 3072 numbers become
# 64, 48 times fewer. `PixelUnshuffle(8)` puts each 8 × 8 patch of three colours into one place with 192 channels,
# `PixelShuffle(8)` undoes it, and between them are the residual blocks of lesson 01, without the time embedding. (On a GPU we
# train the library's `VAE` in place of this one.)
# %% [markdown] lang="vi" of="6481f238"
# ## 3. Một VAE nhỏ, huấn luyện ngay tại đây
#
# Hàm mất mát có hai số hạng kéo về hai phía ngược nhau:
#
# $$\text{loss} = \text{mean}\,|\,\text{decode}(z) - x\,| + \text{weight}\cdot\mathrm{KL}$$
#
# VAE của ta đưa 32 × 32 × 3 về 4 × 4 × 4: chiều cao và chiều rộng chia cho 8, gọi là **f8**, và 3072 số còn 64, ít hơn 48 lần.
# `PixelUnshuffle(8)` đưa mỗi patch 8 × 8 ba màu vào một ô có 192 kênh, `PixelShuffle(8)` làm ngược lại, và ở giữa là các khối
# residual của bài 01, không có vector nhúng thời gian. (Trên GPU, ta huấn luyện lớp `VAE` của thư viện thay cho lớp này.)

# %%
from minidiff.nn.blocks import ResBlock


class SmallVAE(nn.Module):
    """Pictures (B, 3, 32, 32) to latents (B, 4, 4, 4) and back."""

    def __init__(self, width: int = 96) -> None:
        super().__init__()
        blocks = [ResBlock(width, width, groups=8) for _ in range(5)]
        inwards, outwards = nn.Conv2d(192, width, 1), nn.Conv2d(width, 192, 1)
        start, end = nn.Conv2d(4, width, 3, padding=1), nn.Conv2d(width, 8, 1)
        self.encoder = nn.Sequential(nn.PixelUnshuffle(8), inwards, *blocks[:2], end)
        self.decoder = nn.Sequential(start, *blocks[2:], outwards, nn.PixelShuffle(8))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(x).chunk(2, dim=1)    # each (B, 4, 4, 4)
        return mean, log_variance.clamp(-30, 20)                # exp won't overflow

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z)                                  # (B, 3, 32, 32)

# %% [markdown] lang="en" slide="sub"
# The pictures are those of `world-pixels`: one thing each, 32 pixels wide. Training never shows those in `held`. Convolution
# kernels are trained with the optimiser Muon (Jordan et al. 2024), which needs far fewer steps than AdamW here; how it works
# doesn't matter here. `extra` is an optional third term of the loss, for section 4.
# %% [markdown] lang="vi" of="236e9fa8"
# Tranh là loại tranh của `world-pixels`: mỗi bức một vật, rộng 32 điểm ảnh (pixel). Những bức trong `held` không có trong lúc
# huấn luyện. Các kernel tích chập được huấn luyện bằng thuật toán tối ưu Muon (Jordan và cộng sự 2024), ở đây cần ít bước hơn
# AdamW nhiều; bên trong nó ra sao thì ở đây không cần biết. `extra` là số hạng thứ ba của hàm mất mát, không bắt buộc, dành
# cho mục 4.

# %%
from minidiff.train.optim import Muon
from minidiff.train.pixels import portraits
from minidiff.utils.images import to_tensor

on_gpu = torch.cuda.is_available()
device = "cuda" if on_gpu else "cpu"
first, further = (8000, 2000) if on_gpu else (200, 40)          # steps
data = to_tensor(portraits(6000 if on_gpu else 1536)).to(device)
held = to_tensor(portraits(54, "validation")).to(device)        # (54, 3, 32, 32)
print(f"on {device}: {first} steps, then {further} each; pictures {tuple(data.shape)}")

# %%
def train(model: nn.Module, steps: int, lr: float, kl_weight: float = 1e-3, extra=None):
    kernels = [weight for weight in model.parameters() if weight.ndim == 4]
    others = [weight for weight in model.parameters() if weight.ndim < 4]
    optimizers = Muon(kernels, lr, dtype=torch.float32), torch.optim.AdamW(others, lr)
    errors = []
    torch.manual_seed(1)
    for step in range(steps):
        for optimizer in optimizers:
            # the rate rises over 20 steps and falls in the second half
            rate = lr * min(1, (step + 1) / 20, 2 - 2 * step / steps)
            optimizer.param_groups[0]["lr"] = rate
        x = data[torch.randint(len(data), (32,))]               # (32, 3, 32, 32)
        mean, log_variance = model.encode(x)                    # each (32, 4, 4, 4)
        output = model.decode(VAE.sample(mean, log_variance))   # (32, 3, 32, 32)
        error = (output - x).abs().mean()
        loss = error + kl_weight * VAE.kl(mean, log_variance)
        loss = loss + (extra(output, x) if extra else 0)
        model.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        errors.append(error.item())
    return errors

# %% [markdown] lang="en" role="think"
# **Predict.** A picture of 3072 numbers is held in 64. After less than a minute of training, what will be right in the
# reconstructions of pictures that the VAE never saw, and what will be wrong?
# ---
# Right: colour, place, size and most of the outline, because most of the error lies there. Wrong: windows, wheels, eyes. They
# are few pixels, so blurring them costs little.
# %% [markdown] lang="vi" of="3bf5c7bd"
# **Đoán xem.** Bức tranh 3072 số chỉ được giữ lại trong 64 số. Sau chưa đến một phút huấn luyện, khi VAE dựng lại những bức nó
# chưa từng thấy, điều gì sẽ đúng và điều gì sẽ sai?
# ---
# Đúng: màu, vị trí, kích thước và phần lớn đường viền, vì phần lớn sai số nằm ở đó. Sai: cửa sổ, bánh xe, mắt. Chúng chỉ là
# vài điểm ảnh nên vẽ nhòe cũng không mất bao nhiêu.

# %%
torch.manual_seed(0)
config = VAEConfig((16, 32, 64, 128), 4, 1, 8)                  # that of world-vae
small = (VAE(config) if on_gpu else SmallVAE()).to(device)


@torch.no_grad()
def through(model: nn.Module, x: Tensor) -> Tensor:
    return model.decode(model.encode(x)[0])                     # the mean, no noise


some = [2, 3, 6, 7, 8, 10, 11, 12]
before = through(small, held[some])
errors = train(small, first, 6e-3)
lines({"": errors}, title="mean |error| while training", x="step")

show(torch.stack([held[some], before, through(small, held[some])]).cpu())

# %% [markdown] lang="en"
# From top to bottom: pictures, the untrained VAE, the trained one. After training, colours, places and sizes are right, and
# most things can be recognised. On a CPU, the house's window, the eye of the fish and the legs of the bird are blurred away.
# %% [markdown] lang="vi" of="34a8e05f"
# Từ trên xuống: tranh gốc, VAE chưa huấn luyện, VAE đã huấn luyện. Sau huấn luyện, màu, vị trí và kích thước đều đúng, và nhận
# ra được phần lớn các vật. Trên CPU, cửa sổ của ngôi nhà, mắt cá và chân chim thì nhòe mất.

# %% [markdown] lang="en" slide="slide"
# ## 4. KL, perceptual, adversarial
#
# An error per pixel hardly punishes blur: a soft edge costs less than a sharp edge in the wrong place. Two other terms look at
# more than single pixels.
#
# - **Perceptual**: compare what a trained network sees (Zhang et al. 2018). Ours is the picture tower of `world-clip` (lesson
#   06); the distance is 1 − cosine, averaged over its layers.
# - **Adversarial**: a second network, the discriminator $D$, learns to tell patches of pictures $x$ from those of decoded ones
#   $\hat x$, and the decoder learns to fool it. $D$ gives one number per patch. It learns $D(x) > 1$ and
#   $D(\hat x) < -1$ (hinge loss, printed below); the decoder minimises $-\text{mean}\,D(\hat x)$.
# %% [markdown] lang="vi" of="5670a18a"
# ## 4. KL, cảm nhận, đối kháng
#
# Sai số từng điểm ảnh hầu như không phạt sự nhòe: một cạnh mềm ít tốn hơn một cạnh sắc đặt sai chỗ. Hai số hạng sau nhìn rộng
# hơn từng điểm ảnh riêng lẻ.
#
# - **Cảm nhận (perceptual)**: so sánh những gì một mạng đã huấn luyện nhìn thấy (Zhang và cộng sự 2018). Ở đây là tháp ảnh của
#   `world-clip` (bài 06); khoảng cách là 1 − cosin, lấy trung bình trên các lớp.
# - **Đối kháng (adversarial)**: mạng thứ hai, gọi là mạng phân biệt (discriminator) $D$, học cách phân biệt patch của tranh
#   thật $x$ với patch của tranh giải mã $\hat x$, còn bộ giải mã học cách đánh lừa nó. Với mỗi patch, $D$ cho một số. Nó học
#   sao cho $D(x) > 1$ và $D(\hat x) < -1$ (hàm mất mát hinge, in ở dưới); bộ giải mã cực tiểu hóa
#   $-\text{mean}\,D(\hat x)$.

# %%
from copy import deepcopy

from minidiff.train.patch_discriminator import (
    PatchDiscriminator, discriminator_loss, generator_loss,
)
from minidiff.train.perceptual import ImageTower

tower = ImageTower.load()                                       # of world-clip


class Opponent:
    def __init__(self, weight: float) -> None:
        self.network, self.weight = PatchDiscriminator().to(device), weight
        self.optimizer = torch.optim.AdamW(self.network.parameters(), 1e-3)

    def __call__(self, output: Tensor, x: Tensor) -> Tensor:
        # one number per patch, each (B, 1, 6, 6); detach: only D learns from these
        judged = self.network(x), self.network(output.detach())
        self.optimizer.zero_grad()
        discriminator_loss(*judged).backward()
        self.optimizer.step()
        return self.weight * generator_loss(self.network, output)


source(discriminator_loss)

# %% [markdown] lang="en" role="think"
# **Predict.** Four copies of the trained VAE are trained a few steps more: with the same loss, with a thousand times the KL
# weight, with the perceptual term, with the adversarial one. Which will have the best PSNR (squared error per pixel in
# decibels, higher is better), the crispest edges, the worst picture?
# ---
# The first copy should have the best PSNR: both its loss and PSNR count pixels. Edges should be crisper with the two new terms.
# The large KL weight should ruin the picture, because storing it in the latent now costs more than a wrong picture does.
# %% [markdown] lang="vi" of="7c05cc9d"
# **Đoán xem.** Bốn bản sao của VAE vừa huấn luyện học thêm ít bước nữa: với hàm mất mát như cũ, với trọng số KL gấp nghìn lần,
# với số hạng cảm nhận, với số hạng đối kháng. Bản nào có PSNR cao nhất (sai số bình phương từng điểm ảnh, tính bằng decibel,
# càng cao càng tốt), bản nào có cạnh sắc nhất, bản nào có tranh tệ nhất?
# ---
# Bản thứ nhất sẽ có PSNR cao nhất: cả hàm mất mát của nó lẫn PSNR đều tính từng điểm ảnh. Cạnh sẽ sắc hơn với hai số hạng mới.
# Trọng số KL lớn sẽ làm hỏng tranh, vì ghi bức tranh vào latent giờ đắt hơn là vẽ sai.

# %%
plans = {
    "the same": {},
    "KL × 1000": {"kl_weight": 1.0},
    "perceptual": {"extra": lambda output, x: 2 * tower.distance(output, x)},
    "adversarial": {"extra": Opponent(0.05)},
}
models = {}
for name, plan in plans.items():
    began = time.process_time()
    models[name] = deepcopy(small)
    train(models[name], further, 6e-3, **plan)
    print(f"{name:12} {time.process_time() - began:.0f} s of processor time")

# %% slide="sub"
from minidiff.evaluate.metrics import psnr
from minidiff.train.vae_losses import sobel

three = held[[6, 8, 12]]
columns = [three, *(through(model, three) for model in models.values())]
show(torch.stack(columns, dim=1).cpu(), ["picture", *models])   # (3, 5, 3, 32, 32)

print(f"{'':12}   PSNR  edges  tower  KL per number")
for name, model in models.items():
    with torch.no_grad():
        output, nats = through(model, held), VAE.kl(*model.encode(held))
        edges = sobel(output).abs().mean() / sobel(held).abs().mean()
        seen = tower.distance(output, held)
    decibels = psnr(output / 2, held / 2).mean()                # a range of 1
    print(f"{name:12} {decibels:6.2f} {edges:6.2f} {seen:6.3f} {nats:8.2f}")

# %% [markdown] lang="en"
# *Edges* is the contrast between neighbouring pixels (Sobel filter), divided by that of the pictures. A 1 alone doesn't mean
# crisp, because speckle counts too. *Tower* is the perceptual distance.
#
# - **KL × 1000**: the same blot for every picture. A latent number carries a few hundredths of a nat, so the decoder knows
#   nothing of the picture and paints a mean of all.
# - **Perceptual**: slightly more contrast at edges, slightly lower PSNR. *Tower* is the lowest, but this copy was trained to
#   lower it, so that proves little.
# - **Adversarial**: the same tendency in edges and PSNR.
#
# After so few steps both differences are small, and no loss restores a window that the latent doesn't hold. Large VAEs switch
# the discriminator on late and limit its weight (Esser et al. 2021, eq. 7).
# %% [markdown] lang="vi" of="a6aabff8"
# *Edges* là độ tương phản giữa các điểm ảnh cạnh nhau (bộ lọc Sobel), chia cho độ tương phản ở tranh gốc. Bằng 1 chưa chắc là
# sắc nét, vì đốm nhiễu cũng được tính. *Tower* là khoảng cách cảm nhận.
#
# - **KL × 1000**: cùng một vết mờ cho mọi bức tranh. Mỗi con số latent chỉ mang vài phần trăm nat, nên bộ giải mã chẳng biết gì
#   về bức tranh và chỉ vẽ một thứ trung bình của tất cả.
# - **Cảm nhận**: cạnh tương phản hơn một chút, PSNR thấp hơn một chút. *Tower* thấp nhất, nhưng bản này được huấn luyện để giảm
#   chính nó, nên điều đó không chứng minh được mấy.
# - **Đối kháng**: cùng xu hướng ấy về cạnh và PSNR.
#
# Sau ngần ấy bước, cả hai khác biệt đều nhỏ, và không hàm mất mát nào trả lại được cái cửa sổ mà latent không chứa. Các VAE
# lớn bật mạng phân biệt (discriminator) muộn và giới hạn trọng số của nó (Esser và cộng sự 2021, công thức 7).

# %% [markdown] lang="en" slide="slide"
# ## 5. What the KL buys
#
# The KL term keeps latents close to $N(0, 1)$, where diffusion starts. It also keeps $\sigma$ from vanishing, so the decoder
# learns to tolerate small errors, such as a diffusion model makes. Left: weight 0.001. Right: weight 1, where the histogram
# fits almost perfectly, but we have seen the pictures. So the weight is kept small, and latents are only roughly normal.
# %% [markdown] lang="vi" of="c54f7ad1"
# ## 5. KL đem lại điều gì
#
# Số hạng KL giữ latent gần $N(0, 1)$, nơi khuếch tán bắt đầu. Nó cũng không để $\sigma$ triệt tiêu, nên bộ giải mã học cách
# chịu được sai số nhỏ, loại sai số mà mô hình khuếch tán luôn mắc. Bên trái: trọng số 0.001. Bên phải: trọng số 1, biểu đồ khớp
# gần như hoàn hảo, nhưng tranh của nó ra sao thì ta đã thấy. Vì thế người ta giữ trọng số nhỏ, và latent chỉ gần giống phân
# phối chuẩn.

# %% slide="sub"
gauss = torch.randn(100_000)
for axis, name in zip(panels(2, sharey=True), ("the same", "KL × 1000"), strict=True):
    with torch.no_grad():
        latents = VAE.sample(*models[name].encode(held)).cpu()  # (54, 4, 4, 4)
    histogram({"N(0, 1)": gauss, "latents": latents}, axis, name)

# %% [markdown] lang="en" role="think"
# **Predict.** We draw latents for `world-vae` from a Gaussian (`pipe.pixels` gives them the right mean and deviation) and
# decode them: a picture without diffusion. What will it show?
# ---
# Coloured blobs (upper row). Neighbouring numbers of a latent must fit together, and these are independent. The VAE alone
# doesn't generate. The lower row is the same noise after the U-Net has worked on it.
# %% [markdown] lang="vi" of="432a5450"
# **Đoán xem.** Ta rút latent cho `world-vae` từ một phân phối Gauss (`pipe.pixels` đưa về đúng trung bình và độ lệch) rồi giải
# mã: có tranh mà không cần khuếch tán. Tranh ấy sẽ cho thấy gì?
# ---
# Những đốm màu hỗn độn (hàng trên). Các số cạnh nhau trong latent phải ăn khớp, mà ở đây chúng độc lập với nhau. Riêng VAE
# không sinh ra tranh. Hàng dưới là cùng nhiễu ấy sau khi qua U-Net.

# %% slide="sub"
latent_mean, latent_std = pipe.latent_mean, pipe.latent_std     # each (1, 4, 1, 1)
wish = pipe.prompt_expander("a red house and a green tree", 0)
states = pipe.sample([wish] * 4, range(4), [""] * 4, steps=15)
*_, (_, x, _) = states                                          # (4, 4, 16, 16)
dice = [torch.Generator().manual_seed(seed) for seed in range(4)]
start = torch.stack([torch.randn(4, 16, 16, generator=one) for one in dice])
show(torch.stack([pipe.pixels(start), pipe.pixels(x)]), columns=4)

# %% [markdown] lang="en" slide="slide"
# ## 6. 48 times fewer numbers
#
# | | pixels | latent | ratio |
# |---|---|---|---|
# | Stable Diffusion at 256 | 256 × 256 × 3 = 196,608 | 32 × 32 × 4 = 4,096 | 48 |
# | `world-vae` at 128 | 128 × 128 × 3 = 49,152 | 16 × 16 × 4 = 1,024 | 48 |
#
# **Predict** how many times faster one call of the network is. A convolution's cost is proportional to the number of *places*,
# which is 64 times smaller; the cost of attention is proportional to its square.
# %% [markdown] lang="vi" of="38eac562"
# ## 6. Ít con số hơn 48 lần
#
# | | điểm ảnh | latent | tỉ số |
# |---|---|---|---|
# | Stable Diffusion ở 256 | 256 × 256 × 3 = 196 608 | 32 × 32 × 4 = 4096 | 48 |
# | `world-vae` ở 128 | 128 × 128 × 3 = 49 152 | 16 × 16 × 4 = 1024 | 48 |
#
# **Đoán xem** một lần gọi mạng nhanh hơn bao nhiêu lần. Chi phí của tích chập tỉ lệ với số *ô*, ít hơn 64 lần; chi phí của cơ
# chế chú ý (attention) tỉ lệ với bình phương số ô.

# %%
from dataclasses import replace

from minidiff.models.unet import UNet


def seconds_for(channels: int, size: int, repeats: int) -> float:
    shape = {"sample_size": size, "in_channels": channels, "out_channels": channels}
    # world-unet's sizes, without text and untrained: only the time matters
    unet = UNet(replace(pipe.network.config, **shape, context_dim=None))
    x, timestep = torch.randn(1, channels, size, size), torch.tensor([500.0])
    with torch.inference_mode():
        unet(x, timestep)                                       # warm-up
        began = time.process_time()
        for _ in range(repeats):
            unet(x, timestep)
    return (time.process_time() - began) / repeats


pixels, latents = seconds_for(3, 128, 1), seconds_for(4, 16, 10)
print(f"pixels {pixels:.2f} s, latents {latents:.4f} s: {pixels / latents:.0f} times")

# %% [markdown] lang="en" slide="sub"
# Some tens of times; it varies with the machine. Convolutions cost 64 times less and attention still less, but each layer also
# has a fixed cost. Training gains about as much.
#
# Now the number of calls: how few steps are enough? The prompts are compositions that training never shows. `world-judge` looks
# at each picture, which is right only if everything that the prompt says is there: kinds, colours, numbers, places. Seconds are
# of processor time: two busy cores count twice.
# %% [markdown] lang="vi" of="f20c1910"
# Vài chục lần, tùy máy: tích chập tốn ít hơn 64 lần, cơ chế chú ý còn ít hơn nữa, nhưng mỗi lớp cũng có một chi phí cố định.
# Huấn luyện cũng lợi khoảng ngần ấy.
#
# Giờ đến số lần gọi: bao nhiêu bước là đủ? Các prompt là những tổ hợp không xuất hiện khi huấn luyện. `world-judge` nhìn từng
# bức tranh, và tranh chỉ được tính là đúng nếu có đủ mọi điều prompt nói: loại vật, màu, số lượng, vị trí. Số giây là thời gian
# của bộ xử lý: hai nhân cùng chạy thì tính gấp đôi.

# %%
from minidiff.evaluate.judge import load_judge, look
from minidiff.evaluate.prompt_following import best_verdict
from minidiff.evaluate.suites import suite

prompts = suite(4 if on_gpu else 1, seed=2)                     # 24 or 6
texts = [prompt.texts["en"] for prompt in prompts]
told = [pipe.prompt_expander(text, seed) for seed, text in enumerate(texts)]
judge = load_judge()
print(*texts[:6], sep="\n")

# %%
drawer = load_pipeline("world-unet", dtype="float32") if on_gpu else pipe
drawer.batch = len(prompts)                                     # pictures at once


def measure(sampler: str, steps: int, count: int) -> tuple[Tensor, int, float]:
    began = time.process_time()
    runs = drawer.sample(
        told[:count], range(count), [""] * count, sampler, steps, drawer.guidance_scale
    )
    *_, (_, x, _) = runs                                        # (count, 4, 16, 16)
    pictures = drawer.pixels(x).clamp(-1, 1).cpu()              # (count, 3, 128, 128)
    seconds = (time.process_time() - began) / count
    seen = look(judge, (pictures + 1) / 2)
    right = sum(best_verdict(p, s).right for p, s in zip(prompts, seen, strict=False))
    return pictures, right, seconds

# %% [markdown] lang="en" role="think"
# **Predict.** DDPM with 1000 steps, DDIM with 30, Euler with 20, DPM-Solver++ with 10. What will the table say about quality,
# and what about seconds?
# ---
# Seconds are proportional to steps. Quality should hardly differ: a good solver gets close to the end of the curve in few
# steps. DDIM and Euler are the same step (lesson 04), so only their numbers of steps differ.
# %% [markdown] lang="vi" of="544a8b13"
# **Đoán xem.** DDPM 1000 bước, DDIM 30 bước, Euler 20 bước, DPM-Solver++ 10 bước. Bảng sẽ nói gì về chất lượng, và nói gì về
# số giây?
# ---
# Số giây tỉ lệ với số bước. Chất lượng hầu như không khác: một bộ giải tốt chỉ cần ít bước đã đến gần điểm cuối của đường đi.
# DDIM và Euler là cùng một bước (bài 04), nên chúng chỉ khác nhau ở số bước.

# %%
drawn = {}
for sampler, steps in (("ddpm", 1000), ("ddim", 30), ("euler", 20), ("dpmpp_2m", 10)):
    # on a CPU, 1000 steps for one prompt only
    count = 1 if steps == 1000 and not on_gpu else len(prompts)
    pictures, right, seconds = measure(sampler, steps, count)
    drawn[f"{sampler} {steps}"] = pictures[0]
    result = f"{right:3} of {count:2} right {seconds:7.2f} s each"
    print(f"{sampler:9} {steps:4} steps {result}")

show(torch.stack([*drawn.values()]), [*drawn])

# %% [markdown] lang="en"
# The seconds grow with the number of steps, but the quality doesn't: 10 steps of DPM-Solver++ get about as many prompts right
# as 30 of DDIM. With so few prompts a difference of one or two may be chance, and on a CPU DDPM draws a single picture, which
# says little about its quality. (Its step also costs more, because drawing several pictures at once is cheaper.)
#
# From the same noise, DDIM, Euler and DPM-Solver++ follow the same curve to nearly the same picture. DDPM adds fresh noise at
# every step and arrives at another picture of the same words.
# %% [markdown] lang="vi" of="1e1e3880"
# Số giây tăng theo số bước, còn chất lượng thì không: DPM-Solver++ với 10 bước vẽ đúng khoảng bằng số prompt mà DDIM vẽ đúng
# với 30 bước. Với ít prompt như vậy, chênh một hay hai bức có thể chỉ là ngẫu nhiên, và trên CPU, DDPM chỉ vẽ một bức nên chưa
# nói được mấy về chất lượng. (Mỗi bước của nó cũng tốn hơn, vì vẽ nhiều bức cùng lúc thì rẻ hơn.)
#
# Từ cùng một nhiễu, DDIM, Euler và DPM-Solver++ đi theo cùng một đường đến gần như cùng một bức tranh. DDPM thêm nhiễu mới ở
# mỗi bước nên đến một bức tranh khác cho cùng lời văn.

# %% [markdown] lang="en" slide="slide"
# ## 7. The scale factor
#
# The noise schedule mixes $x_t = \alpha_t x_0 + \sigma_t \epsilon$, and it is made for an $x_0$ of deviation 1. A VAE's latents
# have some other deviation. So they are divided by their measured deviation before the network sees them, and multiplied by it
# again before the decoder. `world-vae` keeps a mean and a deviation for each channel. Stable Diffusion keeps one factor for
# all, $0.18215 = 1 / 5.49$ (the rule is in Rombach et al. 2022, appendix G, the number in the published configuration).
# %% [markdown] lang="vi" of="f68e495d"
# ## 7. Hệ số tỉ lệ (scale factor)
#
# Lịch nhiễu (noise schedule) trộn $x_t = \alpha_t x_0 + \sigma_t \epsilon$, và nó được làm cho $x_0$ có độ lệch chuẩn (standard
# deviation) 1. Latent của VAE thì có độ lệch khác. Vì thế chúng được chia cho độ lệch chuẩn đo được trước khi vào mạng, rồi
# nhân lại trước khi giải mã. `world-vae` giữ một trung bình và một độ lệch cho mỗi kênh. Stable Diffusion giữ một hệ số cho tất
# cả, $0.18215 = 1 / 5.49$ (quy tắc ở Rombach và cộng sự 2022, phụ lục G; con số ở cấu hình đã công bố).

# %%
deviation = mean.std(dim=(0, 2, 3))                             # (4,)
print("measured here:", deviation.tolist())
print("kept with the weights:", latent_std.flatten().tolist())

# %% [markdown] lang="en" role="think"
# **Predict.** One latent is scaled to deviation 0.2, 1 and 5 (the three rows), and noised by the cosine schedule at four times
# (the columns). We divide by $\alpha_t$ and by the deviation, and decode. What will be left of the picture at $t = 0.5$ in each
# row?
# ---
# Both $\alpha_t$ and $\sigma_t$ are 0.707, so the signal has 0.2, 1 or 5 times the deviation of the noise. With 0.2 the picture
# is lost in noise; with 5 it hardly changes.
# %% [markdown] lang="vi" of="96df95e1"
# **Đoán xem.** Một latent được co giãn về độ lệch 0.2, 1 và 5 (ba hàng), rồi làm nhiễu theo lịch cosine tại bốn thời điểm (bốn
# cột). Ta chia cho $\alpha_t$ và cho độ lệch, rồi giải mã. Tại $t = 0.5$, tranh ở mỗi hàng còn lại gì?
# ---
# Cả $\alpha_t$ lẫn $\sigma_t$ đều là 0.707, nên tín hiệu có độ lệch bằng 0.2, 1 hay 5 lần độ lệch của nhiễu. Với
# 0.2, bức tranh chìm trong nhiễu; với 5, nó hầu như không đổi.

# %% slide="sub"
schedule = pipe.scheduler.schedule
times = torch.tensor([0.25, 0.5, 0.75, 0.9], dtype=torch.float64)
z = (mean[k] - latent_mean[0]) / latent_std[0]                  # (4, 16, 16)
eps = torch.randn(z.shape, generator=torch.Generator().manual_seed(1))
rows = []
for size in (0.2, 1.0, 5.0):
    for t in times:
        x = schedule.mix(size * z, eps, t)                      # (4, 16, 16)
        x = x / (size * schedule.alpha(t)).float()              # signal as before
        rows.append(vae.decode(x * latent_std + latent_mean)[0])
show(torch.stack(rows), [f"t = {t:.2f}" for t in times.tolist()], columns=4)

# %% [markdown] lang="en"
# In the top row little is left even at $t = 0.25$: at nearly all times the network would see almost nothing but noise. In the
# bottom row the things can be made out even at 0.9. Training would hardly ever show the network a picture without a trace of
# them, but sampling starts from pure noise. Only in the middle row does the picture fade gradually.
# %% [markdown] lang="vi" of="710b6081"
# Ở hàng trên, ngay tại $t = 0.25$ đã chẳng còn gì nhiều: ở hầu hết mọi thời điểm, mạng chỉ thấy gần như toàn nhiễu. Ở hàng
# dưới, đến tận 0.9 vẫn còn nhận ra các vật. Lúc huấn luyện, mạng hầu như luôn thấy ít nhiều dấu vết của vật, trong khi lấy
# mẫu lại bắt đầu từ nhiễu thuần. Chỉ ở hàng giữa, bức tranh mới mờ đi từ từ.

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall: no scale factor, or twice, or somebody else's
#
# **Symptom.** All shapes are there, but the picture is pale with fringed outlines, or too bright and soft. There is no error
# message. **Cause:** the decoder gets latents of a deviation that it never saw: the factor was forgotten, applied twice, or
# taken from another VAE (0.18215 is Stable Diffusion's). **Fix:** print the deviation of what enters the network (it should be
# about 1) and of what enters the decoder (it should be that of `vae.encode`).
# %% [markdown] lang="vi" of="4f213164"
# ## Cạm bẫy: thiếu hệ số tỉ lệ, nhân hai lần, hay dùng hệ số của người khác
#
# **Triệu chứng.** Hình dạng còn đủ cả, nhưng tranh nhợt nhạt, đường viền có quầng, hoặc màu chói và cạnh mềm. Không có thông
# báo lỗi nào. **Nguyên nhân:** bộ giải mã nhận latent có độ lệch mà nó chưa từng thấy: quên hệ số, dùng hệ số hai lần, hoặc lấy
# hệ số của VAE khác (0.18215 là của Stable Diffusion). **Cách chữa:** in độ lệch của latent đi vào mạng (phải khoảng 1) và của
# latent đi vào bộ giải mã (phải bằng độ lệch của `vae.encode`).

# %% slide="sub"
scale = 1 / mean.std()                                          # our one number
made = mean * scale                                             # deviation 1
cases = {
    "right": made / scale,
    "none": made,
    "twice": made / scale / scale,
    "0.18215": made / 0.18215,
}
for name, latents in cases.items():
    print(f"{name:8} deviation {latents.std():.2f}")
three = [vae.decode(latents[[3, 13, 20]]) for latents in cases.values()]
show(torch.stack(three, dim=1), [*cases])                       # (3, 4, 3, 128, 128)

# %% [markdown] lang="en"
# With `none`, colours are pale and outlines have fringes. With `twice`, colours are too strong and edges soft; with 0.18215
# more so. The damage is mild because the decoder's GroupNorms undo part of it: they bring features back to deviation 1,
# whatever size comes in. The eye may miss a wrong factor, so print the deviation.
# %% [markdown] lang="vi" of="66b39667"
# Với `none`, màu nhợt và đường viền có quầng. Với `twice`, màu quá gắt và cạnh mềm đi; với 0.18215 còn hơn thế. Hư hại không
# nặng vì các lớp GroupNorm của bộ giải mã bù được một phần: đặc trưng đi vào lớn nhỏ thế nào, chúng cũng đưa về độ lệch
# chuẩn 1. Mắt có thể bỏ sót một hệ số sai, nên hãy in độ lệch.

# %% [markdown] lang="en" slide="slide"
# ## Summary
#
# | what | formula | shapes |
# |---|---|---|
# | encode | $x \to \mu, \ell$ | (B, 3, H, W) → 2 × (B, 4, H/8, W/8) |
# | sample | $z = \mu + e^{\ell/2}\epsilon$ | (B, 4, h, w), the noise too |
# | KL | $\tfrac12(\mu^2 + e^{\ell} - 1 - \ell)$ | (B, 4, h, w) → sum or mean |
# | loss | error + weight · KL (+ perceptual + adversarial) | → () |
# | scale | $(z - m)/s$ for the network, $z\,s + m$ for the decoder | $m, s$: (1, 4, 1, 1) |
# %% [markdown] lang="vi" of="308c8111"
# ## Tóm tắt
#
# | cái gì | công thức | kích thước |
# |---|---|---|
# | mã hóa | $x \to \mu, \ell$ | (B, 3, H, W) → 2 × (B, 4, H/8, W/8) |
# | lấy mẫu | $z = \mu + e^{\ell/2}\epsilon$ | (B, 4, h, w), nhiễu cũng vậy |
# | KL | $\tfrac12(\mu^2 + e^{\ell} - 1 - \ell)$ | (B, 4, h, w) → tổng hoặc trung bình |
# | hàm mất mát | sai số + trọng số · KL (+ cảm nhận + đối kháng) | → () |
# | tỉ lệ | $(z - m)/s$ cho mạng, $z\,s + m$ cho bộ giải mã | $m, s$: (1, 4, 1, 1) |

# %% [markdown] lang="en"
# **You can now** pass a gradient through a sample, compute a KL divergence by hand, say what the terms of a VAE's loss do,
# measure what latents save, and recognise a wrong scale factor.
#
# **What still bothers:** the U-Net was designed for pixels, with convolutions, several resolutions and skips. A latent has only
# 16 × 16 = 256 places, a short sequence for a transformer. In lesson 09 a transformer replaces the U-Net.
#
# **Sources.** D. Kingma, M. Welling 2014, *Auto-encoding variational Bayes*, section 2.4 and appendix B. R. Rombach et al.
# 2022, *High-resolution image synthesis with latent diffusion models*, section 3.1 and appendix G. P. Esser et al. 2021,
# *Taming transformers for high-resolution image synthesis*, eq. 7. P. Isola et al. 2017, *Image-to-image translation with
# conditional adversarial networks* (patch discriminator). J. Lim, J. Ye 2017, *Geometric GAN* (hinge loss). R. Zhang et al.
# 2018, *The unreasonable effectiveness of deep features as a perceptual metric*. K. Jordan et al. 2024, *Muon: an optimizer for
# hidden layers in neural networks*.
# %% [markdown] lang="vi" of="24902206"
# **Giờ bạn đã biết** cho gradient đi qua một mẫu, tính phân kỳ KL bằng tay, nói được các số hạng trong hàm mất mát của VAE
# làm gì, đo được latent tiết kiệm bao nhiêu, và nhận ra hệ số tỉ lệ sai.
#
# **Điều còn vướng:** U-Net được thiết kế cho điểm ảnh: tích chập, nhiều độ phân giải, kết nối tắt. Latent chỉ có 16 × 16 = 256
# ô, một dãy ngắn đối với transformer. Ở bài 09, transformer sẽ thay U-Net.
#
# **Nguồn.** D. Kingma, M. Welling 2014, *Auto-encoding variational Bayes*, mục 2.4 và phụ lục B. R. Rombach và cộng sự 2022,
# *High-resolution image synthesis with latent diffusion models*, mục 3.1 và phụ lục G. P. Esser và cộng sự 2021, *Taming
# transformers for high-resolution image synthesis*, công thức 7. P. Isola và cộng sự 2017, *Image-to-image translation with
# conditional adversarial networks* (mạng phân biệt theo patch). J. Lim, J. Ye 2017, *Geometric GAN* (hàm mất mát hinge). R.
# Zhang và cộng sự 2018, *The unreasonable effectiveness of deep features as a perceptual metric*. K. Jordan và cộng sự 2024,
# *Muon: an optimizer for hidden layers in neural networks*.

# %% [markdown] lang="en" slide="slide"
# ## 8. Optional: Stable Diffusion's VAE in the same class
#
# `VAE()` by default has the sizes of Stable Diffusion's VAE and the weight names of diffusers' `AutoencoderKL`, so published
# files load as they are. On the `meta` device a network has shapes but needs no memory.
#
# To use the real weights, set the environment variable `MINIDIFF_SD` to a folder of Stable Diffusion 1.x, or to its
# "owner/name" on the Hugging Face hub, before you start the notebook.
# %% [markdown] lang="vi" of="1c0ba168"
# ## 8. Không bắt buộc: VAE của Stable Diffusion trong cùng một lớp
#
# `VAE()` mặc định có kích thước của VAE trong Stable Diffusion, và các trọng số mang đúng tên như trong `AutoencoderKL` của
# diffusers, nên nạp được thẳng các tệp đã công bố. Trên thiết bị `meta`, mạng có kích thước nhưng không tốn bộ nhớ.
#
# Muốn dùng trọng số thật, hãy đặt biến môi trường `MINIDIFF_SD` là một thư mục Stable Diffusion 1.x, hoặc
# "owner/name" của nó trên Hugging Face, trước khi mở notebook.

# %%
with torch.device("meta"):                                      # shapes without memory
    published = VAE(VAEConfig())
count = sum(weight.numel() for weight in published.parameters())
ours = sum(weight.numel() for weight in vae.parameters())
print(f"Stable Diffusion's {count:,} weights, world-vae's {ours:,}")

# %%
import os

from minidiff.pretrained.from_diffusers import read_model
from minidiff.pretrained.hub import locate

name = os.environ.get("MINIDIFF_SD")                            # folder or hub name
try:
    if not name:
        raise ValueError("MINIDIFF_SD isn't set")
    real, _ = read_model(locate(name, ["vae/*"]) / "vae")
    with torch.inference_mode():
        z, _ = real.eval().encode(images[[k]])                  # (1, 4, 16, 16)
        show(torch.cat([images[[k]], real.decode(z)]), ["picture", "decoded"])
    print(f"deviation {z.std():.2f}, times the factor {z.std() * 0.18215:.2f}")
except ValueError as error:
    print("No weights of Stable Diffusion here:", error)

# %% [markdown] lang="en" only="exercise"
# # 08 Exercises: your latents inside the shipped models
#
# Five functions: a sample of a picture's bell, its price in nats, the factors of each channel, the whole way from pixels to
# latents and back, and the loss that trains a VAE. `check` says what is right; then your function works inside `world-vae` and
# `world-dit`, and its pictures must be the solution's.
#
# The cell below loads the models and draws three scenes. The one after it defines a toy VAE for 08.5: pictures of a sun in the
# sky, and a latent of two numbers.
# %% [markdown] lang="vi" of="a1a0d6cc" only="exercise"
# # 08 Bài tập: latent của bạn trong các mô hình có sẵn
#
# Năm hàm: một mẫu từ quả chuông của một bức tranh, cái giá của nó tính bằng nat, các hệ số của từng kênh, trọn đường đi từ điểm
# ảnh (pixel) sang latent rồi trở về, và hàm mất mát (loss) để huấn luyện (training) VAE. `check` cho biết chỗ nào đúng; sau đó
# hàm của bạn làm việc trong `world-vae` và `world-dit`, và tranh của nó phải trùng với tranh của lời giải.
#
# Ô dưới đây nạp các mô hình và vẽ ba cảnh. Ô tiếp theo định nghĩa một VAE đồ chơi cho bài 08.5: tranh mặt trời trên bầu trời,
# với latent gồm hai số.

# %% only="exercise"
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minidiff import load_pipeline
from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import render
from minidiff.data.world.scenes import Group, Scene
from minidiff.diffusion.samplers import run
from minidiff.diffusion.schedules import NoiseSchedule
from minidiff.utils.images import to_tensor
from minidiff.utils.plots import overlay, show


def drawn(*scenes: Scene) -> Tensor:
    return to_tensor(np.stack([render(scene).image for scene in scenes]))


pipe = load_pipeline("world-dit", device="cpu", dtype="float32")
vae, schedule = pipe.vae, pipe.scheduler.schedule               # the VAE is world-vae
shipped_mean, shipped_std = pipe.latent_mean.flatten(), pipe.latent_std.flatten()
pictures = drawn(
    Scene("day", (Group("house", "red", "big", place="middle"),), seed=1),
    Scene("day", (Group("cat", "orange", "big", place="left"),), seed=2),
    Scene("night", (Group("star", "yellow", "big", place="right"),), seed=3),
)                                                               # (3, 3, 128, 128)
dice = torch.Generator().manual_seed(8)
latent_noise = torch.randn(3, *pipe.latent_shape, generator=dice)
show(pictures)

# %% only="exercise"
class SunVAE(nn.Module):
    """Pictures of 16 x 16 pixels, latents of two numbers."""

    def __init__(self) -> None:
        super().__init__()
        to_moments = nn.Linear(768, 48), nn.SiLU(), nn.Linear(48, 4)
        self.encoder = nn.Sequential(nn.Flatten(), *to_moments)
        deep = nn.Linear(2, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU()
        to_pixels = nn.Linear(64, 768), nn.Unflatten(1, (3, 16, 16))
        self.decoder = nn.Sequential(*deep, *to_pixels)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(x).chunk(2, dim=1)    # (B, 2) each
        return mean, log_variance.clamp(-10, 10)

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z)                                  # (B, 3, 16, 16)


def suns(count: int, seed: int = 0) -> Tensor:
    """A sun that may stand anywhere, and the higher, the brighter the sky."""
    places = torch.rand(2, count, 1, 1, generator=torch.Generator().manual_seed(seed))
    x, y = places.double()
    down, right = torch.meshgrid(*[torch.linspace(0, 1, 16)] * 2, indexing="ij")
    far = (right - 0.1 - 0.8 * x) ** 2 + (down - 0.1 - 0.8 * y) ** 2
    sun, day = torch.exp(-far / 0.03), 1 - y                    # (count, 16, 16)
    shades = sun.new_tensor([[0, 0.3], [0, 0.5], [0.25, 0.7]])  # of night, of day
    sky = [(dark + light * day) * (1 - sun) for dark, light in shades]
    return 2 * (torch.stack(sky, 1) + torch.stack([sun, 0.8 * sun, 0 * sun], 1)) - 1


def trained(vae_loss: Callable, steps: int = 300) -> tuple[SunVAE, list[float]]:
    """A SunVAE after that many steps with a loss, and the loss of each."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sun_vae = SunVAE().double()
    dice, data, losses = torch.Generator().manual_seed(0), suns(512), []
    optimizer = torch.optim.Adam(sun_vae.parameters(), lr=5e-3)
    for k in range(steps):
        noise = torch.randn(64, 2, generator=dice).double()
        images = data[64 * k % 512 :][:64]                      # (64, 3, 16, 16)
        loss = vae_loss(sun_vae, images, noise, 0.001)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sun_vae, losses


@torch.no_grad()
def plane(sun_vae: SunVAE) -> Tensor:
    """What the latents from -2 to 2 mean: 8 x 8 decoded pictures as one."""
    places = torch.linspace(-2, 2, 8).double()
    tiles = sun_vae.decode(torch.cartesian_prod(places, places))
    tiles = tiles.reshape(8, 8, 3, 16, 16).permute(2, 0, 3, 1, 4)
    return tiles.reshape(1, 3, 128, 128)
