"""Lesson 11: LoRA, a low-rank update beside frozen weights: written, trained, merged, mixed, and broken on purpose."""

# %% [markdown] lang="en" slide="slide"
# # 11 LoRA: a style in half a megabyte
#
# On the left is a weight matrix of `world-dit`. In the middle is what a **style** adds to it, and on the right is the sum. The
# change is faint, and it looks like woven cloth. The style changes 64 matrices in this way. The pictures that follow are drawn
# with none, half and all of these changes. The style's file has half a megabyte, the model's has 25. How can so little change
# every picture?
# %% [markdown] lang="vi" of="3e2127c0"
# # 11 LoRA: một phong cách trong nửa megabyte
#
# Bên trái là một ma trận trọng số của `world-dit`. Ở giữa là phần mà một **phong cách** cộng thêm vào nó, bên phải là tổng.
# Thay đổi ấy rất mờ, và trông như vải dệt. Phong cách này thay đổi 64 ma trận như thế. Các bức tranh tiếp theo được vẽ khi mô
# hình không nhận, nhận một nửa, rồi nhận trọn các thay đổi ấy. Tệp của phong cách chỉ nửa megabyte, còn tệp của mô hình là 25
# megabyte. Vì sao một thay đổi nhỏ như vậy lại đổi được mọi bức tranh?

# %%
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from minidiff import load_pipeline
from minidiff.pipelines.loras import LoRAs
from minidiff.utils.plots import heatmap

device = "cuda" if torch.cuda.is_available() else "cpu"
pipe = load_pipeline("world-dit", device=device, dtype="float32")
dit, schedule = pipe.network, pipe.scheduler.schedule
loras = LoRAs(pipe)
shipped = loras.load("neon-dit")                                # a style, by name
mixer = loras.mixers["transformer"]                             # the part for the DiT

# %% slide="sub"
style = mixer.updates[shipped]                                  # by the layers' names
strongest = max(style, key=lambda name: float(style[name].product().norm()))
weight = dit.get_submodule(strongest).weight.detach().cpu()     # (out, in)
update = style[strongest].product()                             # (out, in)
print(strongest, tuple(weight.shape), "rank of the update:", style[strongest].rank)
three = {"weight": weight, "update": update, "weight + update": weight + update}
for axis, (name, matrix) in zip(panels(3), three.items(), strict=True):
    heatmap(matrix, (), (), axis, name, -1, cmap="RdBu", vmin=-0.2, vmax=0.2)

# %% slide="sub"
prompts = ["a red star above a blue house in a meadow", "a big green tree by day"]
prompts += ["a yellow boat on the sea", "two orange hearts at sunset"]


def draw(texts: list[str] = prompts) -> Tensor:
    """Pictures (B, 3, 128, 128) in 10 steps, each from a seed of its own."""
    seeds, empty = range(len(texts)), [""] * len(texts)
    states = pipe.sample(texts, seeds, empty, steps=10, guidance_scale=3.0)
    *_, (_, x, _) = states
    return pipe.pixels(x).cpu()


columns = []
for strength in (0.0, 0.5, 1.0):
    loras.mix({shipped: strength})
    columns.append(draw(prompts[:2]))
loras.mix({})                                                   # out again
show(torch.stack(columns, dim=1), ["strength 0", "0.5", "1"])

# %% [markdown] lang="en" role="notes"
# Ask what the weave means (many rows are nearly multiples of one another), and how few numbers could describe such a matrix.
# Section 1 answers.
# %% [markdown] lang="vi" of="6d8a8ca7"
# Hỏi cả lớp: hoa văn như vải dệt ấy cho biết điều gì? (Nhiều hàng gần như là bội của nhau.) Rồi hỏi: cần ít nhất bao nhiêu số
# để mô tả một ma trận như vậy? Mục 1 sẽ trả lời.

# %% [markdown] lang="en"
# [[map]]
#
# **Aims.** You can write a LoRA layer, put it into a network by the layers' names, and train a style with it; set its strength,
# take it out exactly, and mix two styles; say why so few numbers are enough and what LoRA saves; and recognise its classic
# mistakes by their symptoms.
#
# **Time:** [[time]]. **You need:** the DiT and its layers (lesson 09), latents (08), the target $v$ (03). Section 4 trains a
# LoRA, section 7 the whole network: together one to two minutes on a CPU, longer and with more data on a GPU.
# %% [markdown] lang="vi" of="fcb2a938"
# [[map]]
#
# **Mục tiêu.** Bạn viết được một lớp LoRA, đặt nó vào mạng theo tên các lớp và huấn luyện (training) một phong cách bằng nó;
# chỉnh được độ mạnh (strength), gỡ nó ra mà không sai một bit, và trộn hai phong cách; nói được vì sao chỉ ít tham số mà vẫn
# đủ, LoRA tiết kiệm được gì; và nhìn triệu chứng là nhận ra các lỗi kinh điển của nó.
#
# **Thời gian:** [[time]]. **Cần biết:** DiT và các lớp của nó (bài 09), latent (08), mục tiêu $v$ (03). Mục 4 huấn luyện một
# LoRA, mục 7 huấn luyện cả mạng: tổng cộng một đến hai phút trên CPU; có GPU thì lâu hơn, với nhiều dữ liệu hơn.

# %% [markdown] lang="en" role="think"
# **Three quick questions** from earlier lessons.
#
# 1. (07) Which four linear layers does an attention have, and what is each for?
# 2. (09) Why do the gates and the last layer of a fresh DiT start at 0?
# 3. (09) The loss of a single training step depends mostly on chance. What did we use to compare five networks?
# ---
# 1. `to_q`, `to_k` and `to_v` make queries, keys and values; `to_out.0` combines the heads. In `world-dit` each weight is 256 ×
#    256.
# 2. Then at first the blocks change nothing and the prediction is 0. A block learns to act only where that lowers the loss.
# 3. The loss on held-out examples, at the same times and with the same noise for all.
# %% [markdown] lang="vi" of="3873f2e8"
# **Ba câu hỏi nhanh** từ các bài trước.
#
# 1. (07) Một lớp chú ý (attention) gồm bốn lớp tuyến tính nào, mỗi lớp để làm gì?
# 2. (09) Vì sao các cổng và lớp cuối của một DiT mới tạo khởi đầu bằng 0?
# 3. (09) Giá trị của hàm mất mát (loss) ở một bước huấn luyện phần lớn là ngẫu nhiên. Ta đã dùng gì để so sánh năm mạng?
# ---
# 1. `to_q`, `to_k`, `to_v` tạo query, key, value; `to_out.0` kết hợp các đầu. Trong `world-dit`, mỗi trọng số là 256 × 256.
# 2. Nhờ vậy lúc đầu các khối không thay đổi gì và dự đoán bằng 0. Một khối chỉ học can thiệp ở nơi việc ấy làm giảm hàm mất
#    mát.
# 3. Hàm mất mát trên các ví dụ để riêng (held-out), với cùng thời điểm và cùng nhiễu cho mọi mạng.

# %% [markdown] lang="en" slide="slide"
# ## 1. One matrix out of two thin ones
#
# A column times a row is a matrix:
#
# $$\begin{pmatrix}1\\2\end{pmatrix}\begin{pmatrix}3&-1\end{pmatrix}=\begin{pmatrix}3&-1\\6&-2\end{pmatrix}$$
#
# Every row of it is a multiple of $(3, -1)$: the matrix has **rank** 1. To multiply it by $x = (2, 1)$, we need not build it.
# First go *down* to a single number, $3\cdot 2 - 1\cdot 1 = 5$; then go *up* to two, $(5, 10)$. Check on paper that the big
# matrix gives the same.
# %% [markdown] lang="vi" of="231c3255"
# ## 1. Một ma trận từ hai ma trận mỏng
#
# Một cột nhân với một hàng cho ra một ma trận:
#
# $$\begin{pmatrix}1\\2\end{pmatrix}\begin{pmatrix}3&-1\end{pmatrix}=\begin{pmatrix}3&-1\\6&-2\end{pmatrix}$$
#
# Mọi hàng của nó đều là bội của $(3, -1)$: ma trận có **hạng** (rank) 1. Muốn nhân nó với $x = (2, 1)$, ta không cần tính ra cả
# ma trận. Trước hết đi *xuống* (down) còn một số, $3\cdot 2 - 1\cdot 1 = 5$; rồi đi *lên* (up) thành hai số, $(5, 10)$. Hãy
# kiểm tra trên giấy rằng ma trận lớn cho cùng kết quả.

# %%
up, down = torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0, -1.0]])    # (2, 1), (1, 2)
x = torch.tensor([2.0, 1.0])
print(up @ down)
print("down", down @ x, "then up", up @ (down @ x), "or at once", (up @ down) @ x)

# %% [markdown] lang="en" slide="sub"
# With $r$ columns and $r$ rows, the product is a sum of $r$ such matrices: its rank is at most $r$. **LoRA**, *low-rank
# adaptation* (Hu et al. 2021, section 4.1), writes the change of a weight $W$ in this form and leaves $W$ itself alone:
#
# $$W' = W + \frac{\alpha}{r}\;\text{up}\;\text{down}$$
#
# The two **factors** are `down`, (r, in), and `up`, (out, r); the paper calls them $A$ and $B$. $\alpha$ is a number that is
# chosen once. A higher rank adds more terms. The division by $r$ makes up for it, so a learning rate found for one rank roughly
# serves for others.
# %% [markdown] lang="vi" of="f7161bcb"
# Với $r$ cột và $r$ hàng, tích là tổng của $r$ ma trận như thế: hạng của nó nhiều nhất là $r$. **LoRA**, *thích nghi hạng thấp*
# (low-rank adaptation, Hu và cộng sự 2021, mục 4.1), viết thay đổi của một trọng số $W$ dưới dạng này và giữ nguyên chính $W$:
#
# $$W' = W + \frac{\alpha}{r}\;\text{up}\;\text{down}$$
#
# Hai **thừa số** (factor) là `down`, kích thước (r, in), và `up`, kích thước (out, r); bài báo gọi chúng là $A$ và $B$.
# $\alpha$ là một số, chọn một lần. Hạng cao hơn thì tổng có nhiều thành phần hơn, và phép chia cho $r$ bù lại điều đó, nên tốc
# độ học (learning rate) tìm được cho một hạng cũng tạm dùng được cho hạng khác.

# %% [markdown] lang="en" role="think"
# **Predict.** $W$ is 256 × 256. How many numbers are in `down` and `up` together at $r = 4$? At which $r$ are there as many as
# in $W$?
# ---
# $2\cdot 4\cdot 256 = 2048$ against $65\,536$: 32 times fewer. At $r = 128$ there are as many, and nothing is saved.
# %% [markdown] lang="vi" of="3f817497"
# **Đoán xem.** $W$ là 256 × 256. Với $r = 4$, `down` và `up` có tất cả bao nhiêu số? Với $r$ nào thì chúng có nhiều bằng $W$?
# ---
# $2\cdot 4\cdot 256 = 2048$ so với $65\,536$: ít hơn 32 lần. Với $r = 128$ thì nhiều bằng nhau, và không tiết kiệm được gì.

# %%
from minidiff.nn.lora import Factors


def lora_update(x: Tensor, down: Tensor, up: Tensor, alpha: float) -> Tensor:
    """x (..., in), down (r, in), up (out, r) to (..., out)."""
    narrow = F.linear(x, down)                                  # (..., r)
    return alpha / len(down) * F.linear(narrow, up)             # (..., out)


torch.manual_seed(0)
x = torch.randn(2, 64, 256)                                     # (B, N, D)
down, up = torch.randn(4, 256) / 16, torch.randn(256, 4)
whole = Factors(down, up, 8.0).product()                        # (256, 256)
assert_close(lora_update(x, down, up, 8.0), x @ whole.T, rtol=1e-4, atol=1e-4)
print("rank:", int(torch.linalg.matrix_rank(whole)))
source(Factors.product)

# %% [markdown] lang="en" slide="slide"
# ## 2. A layer that begins as its base
#
# A LoRA layer keeps the old layer, its **base**, frozen, and adds the update. What should the two factors be at the start? Take
# single numbers, $u$ for `up` and $d$ for `down`: $y = Wx + u\,d\,x$. The loss sends back
# $g = \partial\,\text{loss}/\partial y$, and by the chain rule
#
# $$\frac{\partial\,\text{loss}}{\partial u} = g\,d\,x, \qquad \frac{\partial\,\text{loss}}{\partial d} = g\,u\,x$$
#
# With $x = 3$, $d = 2$, $u = 0$ and $g = 1$ these are 6 and 0. The gradient of each factor contains the *other* factor.
# %% [markdown] lang="vi" of="a5fbcbe3"
# ## 2. Một lớp khởi đầu y như lớp gốc
#
# Lớp LoRA giữ lại lớp cũ, gọi là **lớp gốc** (base), đóng băng (freeze) nó, rồi cộng phần cập nhật (update) vào. Lúc đầu hai
# thừa số nên là gì? Hãy xét trường hợp mỗi thừa số chỉ là một số, $u$ cho `up` và $d$ cho `down`: $y = Wx + u\,d\,x$. Hàm mất
# mát truyền ngược về $g = \partial\,\text{loss}/\partial y$, và theo quy tắc dây chuyền (chain rule)
#
# $$\frac{\partial\,\text{loss}}{\partial u} = g\,d\,x, \qquad \frac{\partial\,\text{loss}}{\partial d} = g\,u\,x$$
#
# Với $x = 3$, $d = 2$, $u = 0$ và $g = 1$, chúng bằng 6 và 0. Gradient của mỗi thừa số chứa thừa số *kia*.

# %% [markdown] lang="en" role="think"
# **Predict** for three starts: only `up` is 0; both are 0; neither is 0. Does the output differ from the base's? Which factors
# get a gradient?
# ---
# - **Only `up` is 0.** The output is the base's. `up` gets a gradient at once, `down` from the second step on.
# - **Both are 0.** The output is the base's, and no factor ever gets a gradient.
# - **Neither is 0.** Both get gradients, but the output has changed before anything was learnt.
#
# So `down` starts at random and `up` at 0.
# %% [markdown] lang="vi" of="19e851cf"
# **Đoán xem** với ba cách khởi đầu: chỉ `up` bằng 0; cả hai bằng 0; không thừa số nào bằng 0. Đầu ra có khác lớp gốc không?
# Thừa số nào nhận được gradient?
# ---
# - **Chỉ `up` bằng 0.** Đầu ra giống lớp gốc. `up` nhận gradient ngay ở bước đầu, `down` từ bước thứ hai.
# - **Cả hai bằng 0.** Đầu ra giống lớp gốc, và không bao giờ thừa số nào nhận được gradient.
# - **Không thừa số nào bằng 0.** Cả hai nhận gradient, nhưng đầu ra đã khác đi khi chưa học được gì.
#
# Vì vậy `down` khởi đầu ngẫu nhiên, còn `up` bằng 0.

# %%
class LoRALinear(nn.Module):
    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.base, self.alpha = base.requires_grad_(False), alpha
        self.down = nn.Linear(base.in_features, rank, bias=False)   # random
        self.up = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.up.weight)
        self.to(base.weight)                                    # its device and dtype

    def forward(self, x: Tensor) -> Tensor:
        down, up = self.down.weight, self.up.weight             # (r, in), (out, r)
        return self.base(x) + lora_update(x, down, up, self.alpha)

# %% slide="sub"
base, x = nn.Linear(256, 256), torch.randn(2, 64, 256)
print("largest change of output   gradient of down   of up")
for zeros in (["up"], ["down", "up"], []):
    layer = LoRALinear(base, 4, 8.0)
    layer.up.reset_parameters()                                 # random as well
    for name in zeros:
        nn.init.zeros_(layer.get_submodule(name).weight)
    y = layer(x)                                                # (2, 64, 256)
    (y - 1).square().mean().backward()                          # any loss
    figures = y - base(x), layer.down.weight.grad, layer.up.weight.grad
    row = "".join(f"{figure.abs().max():17.4f}" for figure in figures)
    print(row, "  zero at the start:", *zeros or ["none"])

# %%
from minidiff.nn.lora import LoRALayer, LoRAUpdate

theirs = LoRALayer(base, 4, 8.0)                                # the library's
theirs.update.down, theirs.update.up = layer.down, layer.up     # both random
assert_close(theirs(x), layer(x))
source(LoRAUpdate)

# %% [markdown] lang="en" slide="slide"
# ## 3. Into the network, by name
#
# Any linear layer could get an update. The paper updates only those of the attention (section 4.2), and so do we: `to_q`,
# `to_k`, `to_v` and `to_out.0`. `named_modules()` yields every layer with its full name, such as
# `transformer_blocks.3.attn2.to_v`, and we look at how the name ends.
#
# The order matters: first **freeze the whole model**, then put the new layers in. Then only their factors can learn.
# %% [markdown] lang="vi" of="a90f194c"
# ## 3. Vào mạng theo tên
#
# Lớp tuyến tính nào cũng có thể nhận phần cập nhật. Bài báo chỉ chọn các lớp của cơ chế chú ý (mục 4.2), và ta cũng vậy:
# `to_q`, `to_k`, `to_v` và `to_out.0`. `named_modules()` cho ra từng lớp cùng tên đầy đủ, chẳng hạn
# `transformer_blocks.3.attn2.to_v`, và ta xem phần cuối của tên.
#
# Thứ tự là quan trọng: trước hết **đóng băng cả mô hình**, sau đó mới đặt các lớp mới vào. Như vậy chỉ các thừa số của chúng
# được học.

# %%
TARGETS = ("to_q", "to_k", "to_v", "to_out.0")


def put(model: nn.Module, name: str, layer: nn.Module) -> None:
    """A layer into the place called "transformer_blocks.0.attn1.to_q", say."""
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, layer)


def inject(model: nn.Module, targets=TARGETS, rank=4, alpha=8.0) -> list[str]:
    model.requires_grad_(False)
    linear = [n for n, layer in model.named_modules() if isinstance(layer, nn.Linear)]
    names = [n for n in linear if any(f".{n}".endswith(f".{t}") for t in targets)]
    for name in names:
        put(model, name, LoRALinear(model.get_submodule(name), rank, alpha))
    return names


# %%
def eject(model: nn.Module, names: list[str]) -> dict[str, Factors]:
    """The old layers back in their places; returns what the new ones learnt."""
    learnt = {}
    for name in names:
        layer = model.get_submodule(name)
        down, up = (part.weight.detach().cpu() for part in (layer.down, layer.up))
        learnt[name] = Factors(down, up, layer.alpha)
        put(model, name, layer.base)
    return learnt


# %% [markdown] lang="en" role="think"
# **Predict.** `world-dit` has 8 blocks with two attention layers each. How many numbers are learnt at rank 4? What does the
# network predict right after `inject`?
# ---
# $8\cdot 2\cdot 4 = 64$ layers with $2048$ numbers each: $131\,072$, in float32 half a megabyte. It predicts what it did
# before, to the last bit, because every `up` is 0.
# %% [markdown] lang="vi" of="ffbacab7"
# **Đoán xem.** `world-dit` có 8 khối, mỗi khối có hai lớp chú ý. Với hạng 4 thì có bao nhiêu tham số được học? Ngay sau
# `inject`, mạng dự đoán gì?
# ---
# $8\cdot 2\cdot 4 = 64$ lớp, mỗi lớp $2048$ số: $131\,072$ tham số, tức nửa megabyte ở float32. Mạng dự đoán y như trước, đến
# từng bit, vì mọi `up` đều bằng 0.

# %%
from minidiff.nn.lora import add_lora, targeted

x, t = torch.randn(1, 4, 16, 16).to(device), torch.tensor([500.0]).to(device)
words, mask = pipe.encode(prompts[:1])                          # (1, L, 256), (1, L)
library = [*targeted(dit, TARGETS)]                             # names
with torch.no_grad():
    before = dit(x, t, words, mask)                             # (1, 4, 16, 16)
    names = inject(dit)
    assert names == library and torch.equal(dit(x, t, words, mask), before)
learning = sum(p.numel() for p in dit.parameters() if p.requires_grad)
print(f"{len(names)} layers, {learning} numbers to learn, {4 * learning / 1e6:.2f} MB")
eject(dit, names)
source(add_lora)

# %% [markdown] lang="en" role="think"
# **And Stable Diffusion 1.5?** Its U-Net is `UNetConfig` with the default values. We count on the device *meta* (lesson 08).
# **Guess**: how many megabytes is a style of rank 4 in half precision (2 bytes a number), beside a U-Net of 1.7 GB?
# ---
# 1.6 MB. The cell counts $199\,296\,r$ numbers, at rank 4 less than a thousandth of the network.
# %% [markdown] lang="vi" of="cc08de24"
# **Còn Stable Diffusion 1.5?** U-Net của nó là `UNetConfig` với các giá trị mặc định. Ta đếm trên thiết bị *meta* (bài 08).
# **Đoán xem**: ở nửa độ chính xác (half precision, mỗi số 2 byte), một phong cách hạng 4 chiếm bao nhiêu megabyte, bên cạnh một
# U-Net 1.7 GB?
# ---
# 1.6 MB. Ô mã đếm được $199\,296\,r$ số; ở hạng 4, chúng chưa đến một phần nghìn số tham số của mạng.

# %%
from minidiff.models.unet import UNet, UNetConfig

with torch.device("meta"):
    stable_diffusion = UNet(UNetConfig())
for name, model in {"world-dit": dit, "Stable Diffusion": stable_diffusion}.items():
    layers = targeted(model, TARGETS).values()
    each = sum(layer.in_features + layer.out_features for layer in layers)
    share = 4 * each / sum(p.numel() for p in model.parameters())
    print(f"{name}: {len(layers)} layers, {each} r numbers; at rank 4 "
          f"{8 * each / 1e6:.2f} MB as float16, {share:.2%} of the network")

# %% [markdown] lang="en" slide="slide"
# ## 4. A style, taught here
#
# We draw scenes of the drawn world in the style "outline": pale paper, and lines in the things' own colours. Everything stays
# in its place. No word in the captions names the style. So with the LoRA in the network, *every* caption should be drawn as an
# outline. Latents and captions are encoded once, before training.
# %% [markdown] lang="vi" of="8efe6b02"
# ## 4. Một phong cách, dạy ngay tại đây
#
# Ta vẽ các cảnh của thế giới tranh vẽ theo phong cách "outline" (nét viền): giấy nhạt, và các nét mang chính màu của vật. Mọi
# vật vẫn ở nguyên chỗ. Trong câu mô tả (caption) không từ nào nói đến phong cách. Vì vậy, khi có LoRA trong mạng, *mọi* câu đều
# phải được vẽ bằng nét viền. Latent và câu chỉ được mã hóa một lần, trước khi huấn luyện.

# %%
import random

from minidiff.data.world.captions import describe
from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import render
from minidiff.utils.images import to_tensor

sizes = {"cpu": (128, 90, 50, 8), "cuda": (2048, 1500, 1000, 32)}   # more on a GPU
count, steps, full_steps, B = sizes[device]
print(f"on {device}: {count} scenes, {steps} steps of {B}; all weights: {full_steps}")
scenes = [scene_at(10**6 + k) for k in range(count)]            # the last 32 held out
dice = random.Random(0)
encoded = pipe.encode([describe(scene, "en", dice) for scene in scenes])
words, mask = (part.clone() for part in encoded)                # (128, L, 256)


def drawn(style: str, some: list) -> Tensor:
    return to_tensor([render(scene, 128, style).image for scene in some])


# %% slide="sub"
pixels = drawn("outline", scenes)                               # (128, 3, 128, 128)
with torch.no_grad():
    few = [pipe.vae.encode(some.to(device))[0] for some in pixels.split(32)]
    means = torch.cat(few)                                      # (128, 4, 16, 16)
    decoded = pipe.vae.decode(means[:8]).cpu()
latents = (means - pipe.latent_mean) / pipe.latent_std          # (128, 4, 16, 16)
show(torch.stack([drawn("flat", scenes[:8]), pixels[:8], decoded]))

# %% [markdown] lang="en"
# Top: scenes as `world-dit` knows them. Middle: the same scenes as outlines. Bottom: the outlines, encoded and decoded by the
# VAE, which softens thin lines. No LoRA of the DiT can draw finer.
#
# The loss is that of lesson 09, except that the times of a batch are spread evenly over 0 to 1, so the loss varies less. In
# `fit` one thing is new: the optimizer gets a *list* of parameters, and for LoRA that list is short.
# %% [markdown] lang="vi" of="f31bf679"
# Trên: các cảnh như `world-dit` vẫn biết. Giữa: cũng các cảnh ấy bằng nét viền. Dưới: các tranh nét viền sau khi được VAE mã
# hóa rồi giải mã; VAE làm mềm những nét mảnh. Không LoRA nào của DiT vẽ tinh hơn thế được.
#
# Hàm mất mát là của bài 09, chỉ khác là các thời điểm trong một lô (batch) được rải đều từ 0 đến 1, nên giá trị của hàm ít dao
# động hơn. Trong `fit` có một điều mới: thuật toán tối ưu (optimizer) nhận một *danh sách* tham số, và với LoRA thì danh sách
# ấy ngắn.

# %%
from minidiff.diffusion.prediction import target


def loss_of(chosen: Tensor, dice: torch.Generator) -> Tensor:
    """Mean squared error of v for the scenes with these numbers."""
    x0, n = latents[chosen], len(chosen)                        # (B, 4, 16, 16)
    t = (torch.rand(1, generator=dice) + torch.arange(n) / n) % 1   # spread over 0..1
    eps, t = torch.randn(x0.shape, generator=dice).to(device), t.to(device)
    x_t = schedule.mix(x0, eps, t)                              # (B, 4, 16, 16)
    v = dit(x_t, schedule.timestep(t), words[chosen], mask[chosen])
    return (v - target(schedule, "v", x0, eps, t)).square().mean()


@torch.no_grad()
def held_out() -> float:
    """The loss on the last 32 scenes, at the same times and noise in every call."""
    last = torch.arange(count - 32, count)
    return float(loss_of(last, torch.Generator().manual_seed(1)))


# %%
clock = time.process_time if device == "cpu" else time.perf_counter


def fit(parameters: list, steps: int, rate: float) -> list[float]:
    optimizer = torch.optim.AdamW(parameters, rate, weight_decay=0.0)
    fall = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 1 - k / steps)
    dice, curve, begun = torch.Generator().manual_seed(0), [], clock()
    for _ in range(steps):
        loss = loss_of(torch.randint(count - 32, (B,), generator=dice), dice)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        fall.step()
        curve.append(loss.item())
    learning, spent = sum(p.numel() for p in parameters), (clock() - begun) / steps
    print(f"{learning} numbers to learn, {spent:.2f} seconds a step")
    return curve


# %% [markdown] lang="en" role="think"
# **Predict.** Training takes less than a minute on a CPU. Which part of the style will be learnt first, and which last?
# ---
# First the pale paper: the loss is a mean over all places, and paper covers most of them. Lines cover few places and come last.
# %% [markdown] lang="vi" of="c8e97a87"
# **Đoán xem.** Trên CPU, việc huấn luyện chưa đến một phút. Phần nào của phong cách được học trước, phần nào sau cùng?
# ---
# Trước hết là giấy nhạt: hàm mất mát là trung bình trên mọi chỗ, mà giấy phủ phần lớn số chỗ. Các nét phủ ít chỗ nên đến sau
# cùng.

# %%
original = {name: value.clone() for name, value in dit.state_dict().items()}
without, plain = held_out(), draw()                             # plain (4, 3, 128, 128)
torch.manual_seed(0)
names = inject(dit)
curve = fit([p for p in dit.parameters() if p.requires_grad], steps, 4e-3)
with_lora = held_out()
mine = eject(dit, names)                                        # the style: 64 Factors
print(f"held-out loss {without:.3f} without, {with_lora:.3f} with the LoRA")
smooth = torch.tensor(curve).unfold(0, 10, 2).mean(1)           # of ten steps each
lines({"": (torch.arange(len(smooth)) * 2 + 5, smooth)}, x="step", y="training loss")

# %% slide="sub"
mixer.add("outline", mine)                                      # beside the shipped one
loras.mix({"outline": 1.0})
outlined = draw()
loras.mix({})
show(torch.stack([plain, outlined]))

# %% [markdown] lang="en"
# Above without, below with the LoRA, from the same captions and noise. In our run the held-out loss has fallen by nearly half.
# The paper is coming: most backgrounds have turned pale. The things have darker edges and lighter insides, but they are still
# filled, and thin lines are missing. Something may get lost, too: look for the sea in the third picture.
#
# `minidiff finetune lora` runs such a loop for longer, with a few empty captions for guidance, and keeps the factors with the
# lowest held-out loss.
# %% [markdown] lang="vi" of="89e3fe9e"
# Hàng trên không có LoRA, hàng dưới có, với cùng câu và cùng nhiễu. Trong lần chạy của chúng tôi, hàm mất mát trên các ví dụ để
# riêng giảm gần một nửa. Giấy đang hiện ra: phần lớn các nền đều nhạt đi. Các vật có viền sẫm hơn và bên trong sáng hơn, nhưng
# vẫn được tô kín, và chưa có nét mảnh. Cũng có thứ có thể bị mất: hãy tìm biển trong bức thứ ba.
#
# `minidiff finetune lora` chạy một vòng lặp như vậy nhưng lâu hơn, thêm một ít câu rỗng (cho việc dẫn hướng, guidance), và giữ
# lại các thừa số có hàm mất mát thấp nhất trên các ví dụ để riêng.

# %% [markdown] lang="en" slide="slide"
# ## 5. In at any strength, and out again
#
# The product of `up` and `down` has the shape of $W$. So before drawing, the update can be **merged** into the weight:
#
# $$W' = W + s\,\frac{\alpha}{r}\;\text{up}\;\text{down}$$
#
# Then drawing takes no longer than without it (Hu et al. 2021, section 4.1). We choose the strength $s$: 0 gives the base, 1
# gives what was learnt.
# %% [markdown] lang="vi" of="3187a336"
# ## 5. Đưa vào với độ mạnh tùy ý, rồi gỡ ra
#
# Tích của `up` và `down` có cùng kích thước với $W$. Vì vậy trước khi vẽ, có thể **gộp** (merge) phần cập nhật vào trọng số:
#
# $$W' = W + s\,\frac{\alpha}{r}\;\text{up}\;\text{down}$$
#
# Khi ấy việc vẽ không lâu hơn lúc không có nó (Hu và cộng sự 2021, mục 4.1). Ta chọn độ mạnh $s$: 0 cho mô hình gốc, 1 cho
# những gì đã học.

# %%
from minidiff.nn.lora import LoRAMixer


def merge(weight: Tensor, updates: list[Factors], strengths: list[float]) -> Tensor:
    """W + sum of s alpha / r up down, as a new (out, in)."""
    total = weight.float()
    for one, s in zip(updates, strengths, strict=True):
        total = total + s * one.alpha / one.rank * one.up @ one.down
    return total.to(weight.dtype)


name = names[0]
weight, layer = original[f"{name}.weight"].cpu(), dit.get_submodule(name)
loras.mix({"outline": 0.7})
assert_close(layer.weight.cpu(), merge(weight, [mine[name]], [0.7]))
loras.mix({})
assert torch.equal(layer.weight.cpu(), weight)                  # to the bit
source(LoRAMixer.mix)

# %% [markdown] lang="en" role="think"
# **Predict.** Our style makes things pale. What does the same sentence look like at strength 0.5, at 2, and at $-1$?
# ---
# At 0.5 it lies between base and style, though not exactly in the middle: pictures don't change in proportion to weights. At 2
# nearly everything turns into paper. At $-1$ the picture moves away from the style: it is dark and saturated.
# %% [markdown] lang="vi" of="a7cc11f7"
# **Đoán xem.** Phong cách của ta làm mọi thứ nhạt đi. Cùng một câu sẽ trông ra sao ở độ mạnh 0.5, ở 2 và ở $-1$?
# ---
# Ở 0.5, bức tranh nằm giữa mô hình gốc và phong cách, nhưng không đúng chính giữa, vì tranh không thay đổi tỉ lệ với trọng số.
# Ở 2 thì quá đà: gần như mọi thứ thành giấy. Còn $-1$ đi ngược hướng với phong cách: tối và đậm màu.

# %% slide="sub"
def stronger(strength: float, axis) -> None:
    loras.mix({"outline": strength})
    picture = draw(prompts[:1])[0].clamp(-1, 1)                 # (3, 128, 128)
    axis.imshow((picture.permute(1, 2, 0) + 1) / 2)
    axis.set_axis_off()


slider(stronger, "strength", [-1.0, 0.0, 0.5, 1.0, 1.5, 2.0])
loras.mix({})

# %% [markdown] lang="en" role="think"
# `loras.mix` gave back the old weight to the bit. Some programs merge by adding the update and take it out by **subtracting**
# it. After 200 moves of the slider the strength is 0 again. Are the weights what they were?
# ---
# No. Every sum is rounded, and subtracting doesn't undo the rounding. The errors add up, and they are larger in coarser
# formats.
# %% [markdown] lang="vi" of="ae4a23f2"
# `loras.mix` trả lại trọng số cũ đúng đến từng bit. Một số chương trình gộp bằng cách cộng phần cập nhật, rồi gỡ ra bằng cách
# **trừ** nó đi. Sau 200 lần kéo thanh trượt, độ mạnh lại về 0. Các trọng số có còn như cũ không?
# ---
# Không. Tổng nào cũng bị làm tròn, và phép trừ không khôi phục được phần đã làm tròn. Sai số dồn lại, và định dạng số càng thô
# thì sai số càng lớn.

# %% slide="sub"
def drift(kind: str, moves: int = 200) -> list[float]:
    """The largest error of a weight after each move of a slider that subtracts."""
    dice, dtype = random.Random(0), getattr(torch, kind)
    now, errors = weight.to(dtype), []
    for _ in range(moves):
        part = (dice.uniform(-1, 2) * change).to(dtype)         # (256, 256)
        now = (now + part) - part
        errors.append(float((now - weight.to(dtype)).abs().max()))
    return errors


change = mine[name].product()
curves = {kind: drift(kind) for kind in ("float32", "float16", "bfloat16")}
lines(curves, x="moves of the slider", y="largest error", log="y")
print(f"a typical weight: {weight.abs().median():.3f}, "
      f"its change by the style: {change.abs().median():.3f}")

# %% [markdown] lang="en"
# In float32 nobody would see the error. In bfloat16, in which many large models are kept, the largest error exceeds a typical
# change by the style. `LoRAMixer` keeps a copy of each weight that it touches and computes every mix from that copy, so nothing
# drifts.
# %% [markdown] lang="vi" of="df2f55f3"
# Với float32 thì chẳng ai nhận ra sai số. Với bfloat16, định dạng mà nhiều mô hình lớn dùng, sai số lớn nhất đã vượt quá mức
# thay đổi điển hình do phong cách gây ra. `LoRAMixer` giữ một bản sao của mỗi trọng số mà nó đụng đến và tính mọi cách trộn từ
# bản sao ấy, nên không gì trôi đi được.

# %% [markdown] lang="en" slide="slide"
# ## 6. Two styles at once
#
# Two updates can be merged one after the other. Can they also become *one* file? By hand, with single numbers: the first style
# is $1\cdot 2 = 2$, the second $3\cdot 4 = 12$, together 14.
#
# - Adding the factors first gives $(1 + 3)(2 + 4) = 24$. The extra 10 comes from the **cross terms** $1\cdot 4 + 3\cdot 2$.
# - **Concatenating** them is exact:
#
# $$\begin{pmatrix}1&3\end{pmatrix}\begin{pmatrix}2\\4\end{pmatrix}=1\cdot 2+3\cdot 4=14$$
#
# The rank of the mix is the sum of the ranks. Each `up` is first multiplied by its $s\,\alpha/r$.
# %% [markdown] lang="vi" of="c7448672"
# ## 6. Hai phong cách cùng lúc
#
# Có thể gộp lần lượt hai phần cập nhật. Vậy có biến chúng thành *một* tệp được không? Tính tay, mỗi thừa số chỉ là một số:
# phong cách thứ nhất là $1\cdot 2 = 2$, thứ hai là $3\cdot 4 = 12$, tổng cộng 14.
#
# - Cộng các thừa số trước thì được $(1 + 3)(2 + 4) = 24$. Phần thừa 10 là do các **tích chéo** (cross terms)
#   $1\cdot 4 + 3\cdot 2$.
# - **Nối** (concatenate) chúng lại thì chính xác:
#
# $$\begin{pmatrix}1&3\end{pmatrix}\begin{pmatrix}2\\4\end{pmatrix}=1\cdot 2+3\cdot 4=14$$
#
# Hạng của bản trộn bằng tổng các hạng. Trước khi nối, mỗi `up` được nhân với $s\,\alpha/r$ của nó.

# %%
from minidiff.nn.lora import concatenated


def concatenate(updates: list[Factors], strengths: list[float]) -> Factors:
    """One update whose rank is the sum of the ranks, and its alpha that rank."""
    down = torch.cat([one.down for one in updates])             # (r1 + r2, in)
    ups = [s * one.alpha / one.rank * one.up for one, s in zip(updates, strengths)]
    return Factors(down, torch.cat(ups, dim=1), len(down))      # up (out, r1 + r2)


pairs = [torch.tensor([[up, down]]) for up, down in ((1.0, 2.0), (3.0, 4.0))]
hand = [Factors(pair[:, 1:], pair[:, :1], 1.0) for pair in pairs]   # (1, 1) each
print("by hand:", float(concatenate(hand, [1.0, 1.0]).product()))
n = next(n for n in mine if n in style)
both = concatenated([(mine, 0.6), (style, 0.5)])                # the library's
mixed = concatenate([mine[n], style[n]], [0.6, 0.5]).product()  # (256, 256)
assert_close(mixed, 0.6 * mine[n].product() + 0.5 * style[n].product())
assert_close(mixed, both[n].product())
print("ranks:", mine[n].rank, "+", style[n].rank, "=", both[n].rank)

# %% slide="sub"
grid, some = [], (0.0, 0.5, 1.0)
for ours in some:
    for other in some:
        loras.mix({"outline": ours, shipped: other})
        grid.append(draw(prompts[:1])[0])                       # (3, 128, 128)
loras.mix({})
show(torch.stack(grid), [f"{shipped} {s}" for s in some], columns=3)

# %% [markdown] lang="en" role="think"
# From left to right there is more of the shipped `neon-dit`, from top to bottom more of our own. At half and half (the middle)
# the scene is whole, but neither style is strong. With both at full strength (bottom right) it falls apart: each style was
# learnt alone, beside the unchanged base.
#
# **Predict.** A style mixed with *itself*, half and half, must be that style. What comes out if the factors are added before
# they are multiplied?
# ---
# The two halves of `up` add up to `up`, but $\text{down} + \text{down} = 2\,\text{down}$. So the product is the style at
# strength 2: nearly blank paper, as in section 5. With *different* styles, the cross terms belong to neither.
# %% [markdown] lang="vi" of="dc58948e"
# Từ trái sang phải, phong cách có sẵn `neon-dit` tăng dần; từ trên xuống dưới, phong cách của ta tăng dần. Khi mỗi bên một nửa
# (ô giữa), cảnh còn nguyên vẹn, nhưng không phong cách nào rõ. Khi cả hai ở độ mạnh đầy đủ (góc dưới bên phải), cảnh bị vỡ: mỗi
# phong cách được học một mình, bên cạnh mô hình gốc không đổi.
#
# **Đoán xem.** Một phong cách trộn với *chính nó*, mỗi bên một nửa, phải cho ra đúng phong cách ấy. Nếu cộng các thừa số trước
# khi nhân thì ra gì?
# ---
# Hai nửa của `up` cộng lại thành `up`, nhưng $\text{down} + \text{down} = 2\,\text{down}$. Vì vậy tích là phong cách ở độ mạnh
# 2: tờ giấy gần như trống, như ở mục 5. Với hai phong cách *khác nhau*, các tích chéo không thuộc về phong cách nào.

# %% slide="sub"
def added(one: Factors, other: Factors, s: float) -> Factors:
    """Wrong: both at strength s, but downs and ups added before they are multiplied."""
    up = s * one.scale * one.up + s * other.scale * other.up    # scale: alpha / r
    return Factors(one.down + other.down, up, one.rank)         # down (r, in)


joined = {n: concatenate([part, part], [0.5, 0.5]) for n, part in mine.items()}
mixer.add("concatenated", joined)
mixer.add("factors added", {n: added(part, part, 0.5) for n, part in mine.items()})
columns, kinds = [outlined[:2]], ("concatenated", "factors added")
for kind in kinds:
    mixer.mix({kind: 1.0})
    columns.append(draw(prompts[:2]))
mixer.mix({})
show(torch.stack(columns, dim=1), ["the style", *kinds])

# %% [markdown] lang="en" slide="slide"
# ## 7. Why so few numbers are enough
#
# LoRA rests on a guess: to learn something new, a trained network needs only a change of low rank (Hu et al. 2021, section 1).
# We test it. Train **all** weights on the same outlines, subtract the old ones, and split each change $\Delta W$ into matrices
# of rank 1, from the largest to the smallest:
#
# $$\Delta W = s_1\,u_1 v_1^T + s_2\,u_2 v_2^T + \dots, \qquad s_1 \ge s_2 \ge \dots \ge 0$$
#
# The vectors $u_k$ and $v_k$ have length 1; the **singular values** $s_k$ say how large each term is. The first $k$ terms are
# the best approximation of rank $k$ (Eckart and Young 1936). `torch.linalg.svd` computes them all.
# %% [markdown] lang="vi" of="40446c05"
# ## 7. Vì sao ít tham số mà vẫn đủ
#
# LoRA dựa trên một phỏng đoán: để học điều mới, một mạng đã huấn luyện chỉ cần một thay đổi hạng thấp (Hu và cộng sự 2021, mục
# 1). Ta hãy kiểm tra. Huấn luyện **mọi** trọng số trên cùng các tranh nét viền, trừ đi trọng số cũ, rồi tách mỗi thay đổi
# $\Delta W$ thành các ma trận hạng 1, từ lớn đến nhỏ:
#
# $$\Delta W = s_1\,u_1 v_1^T + s_2\,u_2 v_2^T + \dots, \qquad s_1 \ge s_2 \ge \dots \ge 0$$
#
# Các vector $u_k$ và $v_k$ có độ dài 1; các **giá trị kỳ dị** (singular values) $s_k$ cho biết mỗi thành phần lớn bao nhiêu.
# $k$ thành phần đầu là xấp xỉ tốt nhất có hạng $k$ (Eckart và Young 1936). `torch.linalg.svd` tính ra tất cả.

# %% slide="sub"
dit.requires_grad_(True)
fit(list(dit.parameters()), full_steps, 3e-4)
three = torch.stack([plain[:2], outlined[:2], draw(prompts[:2])], dim=1)
show(three, ["base", "LoRA, rank 4", "all weights"])

# %%
linear = [n for n, layer in dit.named_modules() if isinstance(layer, nn.Linear)]
parts = {}
for n in linear:
    change = dit.get_submodule(n).weight.detach() - original[f"{n}.weight"]
    parts[n] = torch.linalg.svd(change, full_matrices=False)    # U, S, V


@torch.no_grad()
def kept(k: int) -> float:
    """The held-out loss when each change keeps its k largest terms."""
    for n, (U, S, V) in parts.items():
        change = (U[:, :k] * S[:k]) @ V[:k]                     # (out, in), rank k
        dit.get_submodule(n).weight.copy_(original[f"{n}.weight"] + change)
    return held_out()


# %% [markdown] lang="en" role="think"
# **Predict.** The held-out loss has fallen. Now each change keeps only 4 of its 256 terms. How much of this gain is left: a few
# percent, half, nearly all?
# ---
# The table below answers. At rank 0 only what isn't the weight of a linear layer has changed, such as biases.
# %% [markdown] lang="vi" of="19a065e0"
# **Đoán xem.** Hàm mất mát trên các ví dụ để riêng đã giảm. Giờ mỗi thay đổi chỉ giữ 4 trong 256 thành phần. Mức giảm ấy còn
# lại bao nhiêu: vài phần trăm, một nửa, hay gần như tất cả?
# ---
# Bảng dưới đây trả lời. Ở hạng 0, chỉ những gì không phải trọng số của lớp tuyến tính là thay đổi, chẳng hạn các bias.

# %% slide="sub"
ranks = (0, 1, 4, 16, 64, 256)
losses = [kept(k) for k in ranks]
dit.load_state_dict(original)
for k, loss in zip(ranks, losses, strict=True):
    gain = (without - loss) / (without - losses[-1])
    print(f"rank {k:3}: held-out loss {loss:.3f}, {gain:4.0%} of the gain")
left, right = panels(2)
for n in names[::16]:
    S = parts[n][1].cpu()                                       # (256,)
    lines({n.split(".", 1)[1]: S / S[0]}, left, "singular values", "number", log="y")
curves = {"all weights, cut": (range(6), losses), "LoRA": ([0, 5], [with_lora] * 2)}
lines(curves, right, "held-out loss", "rank kept")
_ = right.set_xticks(range(6), ranks)

# %% [markdown] lang="en"
# On the left are the singular values of four changes (`to_q` of the self-attention in blocks 0, 2, 4 and 6), divided by the
# largest. They fall fast, then slowly, and the hundredth is still a few percent: the change is *not* of low rank. On the right
# (blue), the largest term alone still brings most of the gain, and four bring nearly all. So the guess is true in this sense: a
# low rank is *enough*. Our LoRA (orange), with at most four terms and in the attention layers alone, gets as far, in more
# steps. For some tasks of GPT-3, $r = 1$ was enough (Hu et al. 2021, section 7.2).
#
# This is one style, one small model and a short training. A harder task may need a higher rank.
# %% [markdown] lang="vi" of="c71b9509"
# Bên trái là các giá trị kỳ dị của bốn thay đổi (`to_q` của tự chú ý ở khối 0, 2, 4 và 6), chia cho giá trị lớn nhất. Chúng
# giảm nhanh rồi chậm lại, và giá trị thứ một trăm vẫn còn vài phần trăm: thay đổi ấy *không* có hạng thấp. Vậy mà bên phải
# (đường xanh dương), chỉ riêng thành phần lớn nhất đã mang lại phần lớn mức giảm, và bốn thành phần mang lại gần như tất cả.
# Phỏng đoán vì thế đúng theo nghĩa này: một hạng thấp là *đủ*. LoRA của ta (đường cam), với nhiều nhất bốn thành phần và chỉ ở
# các lớp chú ý, cũng đi được xa như vậy, tuy cần nhiều bước hơn. Với một số bài toán của GPT-3, $r = 1$ đã đủ (Hu và cộng sự
# 2021, mục 7.2).
#
# Đây chỉ là một phong cách, một mô hình nhỏ và một lần huấn luyện ngắn. Bài toán khó hơn có thể cần hạng cao hơn.

# %% [markdown] lang="en" slide="sub"
# **Does LoRA save time?** Compare the seconds a step that `fit` printed in sections 4 and 7. In our runs on a CPU, a step with
# all weights took a fifth to a third longer. All layers are still computed forwards and backwards; only the gradients of frozen
# weights are spared. For GPT-3, LoRA gave 43.1 tokens a second per GPU in place of 32.5 (Hu et al. 2021, section 4.2).
#
# **It saves memory and disk.** For each number that is learnt, Adam keeps two more, and there is its gradient: 12 bytes. For
# the DiT alone, in float32:
#
# | | all weights | LoRA, rank 4 |
# |---|---|---|
# | gradients and Adam | 109 MB | 1.6 MB |
# | file | 36 MB | 0.5 MB |
# %% [markdown] lang="vi" of="c0dd1513"
# **LoRA có tiết kiệm thời gian không?** Hãy so số giây mỗi bước mà `fit` đã in ra ở mục 4 và mục 7. Trong các lần chạy của
# chúng tôi trên CPU, một bước với mọi trọng số lâu hơn từ một phần năm đến một phần ba. Mọi lớp vẫn phải tính xuôi và tính
# ngược; chỉ bớt được gradient của các trọng số đóng băng. Với GPT-3, huấn luyện bằng LoRA đạt 43.1 token mỗi giây trên mỗi GPU,
# so với 32.5 (Hu và cộng sự 2021, mục 4.2).
#
# **Nó tiết kiệm bộ nhớ và đĩa.** Với mỗi tham số được học, Adam giữ thêm hai số, cộng với gradient của nó: 12 byte. Riêng DiT,
# ở float32:
#
# | | mọi trọng số | LoRA, hạng 4 |
# |---|---|---|
# | gradient và Adam | 109 MB | 1.6 MB |
# | tệp | 36 MB | 0.5 MB |

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 1: both factors zero
#
# **Symptom.** No error. The training loss goes up and down with the batches but never falls, and the held-out loss stays the
# same to the last digit. (The orange line is the training of section 4, on the same batches.) **Cause:** an initialisation, or
# an empty checkpoint, set `down` to 0 as well. **Fix:** after the first step, check that some `up` is no longer 0.
# %% [markdown] lang="vi" of="e8c4e37d"
# ## Cạm bẫy 1: cả hai thừa số bằng 0
#
# **Triệu chứng.** Không báo lỗi. Hàm mất mát khi huấn luyện lên xuống theo từng lô mà không bao giờ giảm, còn trên các ví dụ để
# riêng thì không đổi đến tận chữ số cuối. (Đường cam là lần huấn luyện ở mục 4, với cùng các lô.) **Nguyên nhân:** một hàm khởi
# tạo, hoặc một checkpoint rỗng, đã đặt luôn cả `down` bằng 0. **Cách chữa:** sau bước đầu tiên, kiểm tra rằng có `up` nào đó đã
# khác 0.

# %% slide="sub"
names = inject(dit)
for n in names:
    nn.init.zeros_(dit.get_submodule(n).down.weight)            # up is 0 already
flat = fit([p for p in dit.parameters() if p.requires_grad], 8, 4e-3)
print("held-out loss before and after:", without, held_out())
eject(dit, names)
lines({"both zero": flat, "only up zero": curve[:8]}, x="step", y="training loss")

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 2: both factors random
#
# **Symptom.** The pictures have changed at step 0, before anything was learnt. **Cause:** `up` isn't 0. PyTorch's own start for
# `up` (`nn.Linear`) changes only details, which is easily missed. With the larger numbers of `torch.randn` in both factors, the
# model is ruined. **Fix:** compare a prediction before and after `inject` with `torch.equal`, as in section 3.
# %% [markdown] lang="vi" of="a641d3ac"
# ## Cạm bẫy 2: cả hai thừa số ngẫu nhiên
#
# **Triệu chứng.** Tranh đã đổi ngay ở bước 0, khi chưa học gì. **Nguyên nhân:** `up` khác 0. Khởi tạo sẵn của PyTorch cho `up`
# (`nn.Linear`) chỉ làm đổi vài chi tiết, nên rất dễ bị bỏ qua. Với các số lớn hơn của `torch.randn` ở cả hai thừa số, mô hình
# hỏng hẳn. **Cách chữa:** so dự đoán trước và sau `inject` bằng `torch.equal`, như ở mục 3.

# %% slide="sub"
columns, starts = [plain[:2]], {"nn.Linear": None, "torch.randn": nn.init.normal_}
for start, fill in starts.items():
    torch.manual_seed(0)
    names = inject(dit)
    for n in names:
        layer = dit.get_submodule(n)
        layer.up.reset_parameters()                             # as nn.Linear starts
        for factor in (layer.down, layer.up) if fill else ():
            fill(factor.weight)
    print(f"{start:12} held-out loss {held_out():.2f}, without LoRA {without:.2f}")
    columns.append(draw(prompts[:2]))
    eject(dit, names)
show(torch.stack(columns, dim=1), ["the base", *starts])

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 3: alpha / rank forgotten
#
# **Symptom.** A style that is fine in one program is weak in another, or wrecks every picture. **Cause:** the program that
# reads the file ignores alpha, or multiplies by alpha and doesn't divide by the rank. Ours has alpha 8 and rank 4, so the
# factor is 2. Without alpha it is 1, half the strength; without the division it is 8, four times the strength. **Fix:** keep
# alpha with the factors, as `Factors` does, and compare with a picture drawn after training.
# %% [markdown] lang="vi" of="31671b16"
# ## Cạm bẫy 3: quên alpha / rank
#
# **Triệu chứng.** Một phong cách dùng tốt trong chương trình này lại yếu trong chương trình khác, hoặc phá hỏng mọi bức tranh.
# **Nguyên nhân:** chương trình đọc tệp bỏ qua alpha, hoặc nhân với alpha mà không chia cho hạng. Của ta có alpha 8 và hạng 4,
# tức hệ số 2. Thiếu alpha thì hệ số là 1, nửa độ mạnh; thiếu phép chia thì hệ số là 8, gấp bốn độ mạnh. **Cách chữa:** giữ
# alpha cùng với các thừa số, như `Factors` làm, và so với một bức tranh đã vẽ ngay sau khi huấn luyện.

# %% slide="sub"
columns, faults = [], {"alpha / rank": 8.0, "alpha lost": 4.0, "rank forgotten": 32.0}
for fault, alpha in faults.items():
    wrong = {n: Factors(part.down, part.up, alpha) for n, part in mine.items()}
    mixer.add(fault, wrong)
    mixer.mix({fault: 1.0})
    columns.append(draw(prompts[:2]))
mixer.mix({})
show(torch.stack(columns, dim=1), [*faults])

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 4: the base is not frozen
#
# **Symptom.** Training goes well, and the file has the right size. But loaded elsewhere, it does next to nothing, and in the
# model that was trained, the style can't be taken out. **Cause:** the optimizer got all of `model.parameters()`, so the base
# learnt the style, and the file holds only the factors. **Fix:** freeze first, print how many numbers are learnt, and compare a
# frozen weight before and after.
# %% [markdown] lang="vi" of="450e1cb9"
# ## Cạm bẫy 4: không đóng băng mô hình gốc
#
# **Triệu chứng.** Huấn luyện suôn sẻ, tệp đúng cỡ. Nhưng nạp ở nơi khác thì nó gần như không có tác dụng, còn trong mô hình đã
# huấn luyện thì không gỡ được phong cách ra. **Nguyên nhân:** thuật toán tối ưu nhận toàn bộ `model.parameters()`, nên chính mô
# hình gốc đã học phong cách, mà tệp chỉ chứa các thừa số. **Cách chữa:** đóng băng trước, in ra có bao nhiêu tham số được học,
# và so một trọng số đóng băng trước với sau.

# %% slide="sub"
names = inject(dit)
dit.requires_grad_(True)                                        # the mistake
fit(list(dit.parameters()), 14, 1e-3)
trained = draw(prompts[:2])
saved = eject(dit, names)                                       # style taken out
empty = draw(prompts[:2])
moved = sum(not torch.equal(original[n], p) for n, p in dit.state_dict().items())
print(f"{moved} of {len(original)} tensors of the base have changed")
dit.load_state_dict(original)                                   # a fresh model
mixer.add("saved", saved)
mixer.mix({"saved": 1.0})
loaded = draw(prompts[:2])
mixer.mix({})
titles = ["as trained", "taken out", "its file, elsewhere", "the base"]
show(torch.stack([trained, empty, loaded, plain[:2]], dim=1), titles)

# %% [markdown] lang="en" slide="slide"
# ## Summary
#
# | what | formula or code | shapes |
# |---|---|---|
# | update | $\frac{\alpha}{r}\,\text{up}(\text{down}(x))$ | (..., in) → (..., r) → (..., out) |
# | numbers | $r\,(\text{in} + \text{out})$ | in place of in · out |
# | start | down random, up 0 | the base to the bit |
# | inject | freeze all, then replace layers by name | `to_q`, `to_k`, `to_v`, `to_out.0` |
# | merge | $W + \sum s\,\frac{\alpha}{r}\,\text{up}\,\text{down}$ | (out, in), drawing costs nothing more |
# | take out | copy the kept $W$ back | exact; subtracting drifts |
# | two styles | `cat` the downs, and the scaled ups | (r1 + r2, in), (out, r1 + r2) |
# %% [markdown] lang="vi" of="82f0de80"
# ## Tóm tắt
#
# | cái gì | công thức hay mã | kích thước |
# |---|---|---|
# | phần cập nhật | $\frac{\alpha}{r}\,\text{up}(\text{down}(x))$ | (..., in) → (..., r) → (..., out) |
# | số tham số | $r\,(\text{in} + \text{out})$ | thay cho in · out |
# | khởi đầu | down ngẫu nhiên, up bằng 0 | giống lớp gốc đến từng bit |
# | đặt vào | đóng băng tất cả, rồi thay các lớp theo tên | `to_q`, `to_k`, `to_v`, `to_out.0` |
# | gộp | $W + \sum s\,\frac{\alpha}{r}\,\text{up}\,\text{down}$ | (out, in), vẽ không tốn thêm |
# | gỡ ra | chép lại $W$ đã giữ | chính xác; trừ đi thì trôi dần |
# | hai phong cách | `cat` các down, và các up đã nhân hệ số | (r1 + r2, in), (out, r1 + r2) |

# %% [markdown] lang="en"
# **You can now** teach a model a style with one and a half percent of its numbers, turn it up and down, take it out exactly,
# mix it with others, and recognise the classic mistakes by their symptoms.
#
# **What still bothers:** a style changes *every* picture. How do you teach a model one particular cat, which can then appear in
# any scene, while all other cats stay as they are? Lesson 12 does it, with a rare word.
#
# **Sources.** E. Hu et al. 2021, *LoRA: low-rank adaptation of large language models*, sections 1, 4.1, 4.2 and 7.2. C. Eckart,
# G. Young 1936, *The approximation of one matrix by another of lower rank*.
# %% [markdown] lang="vi" of="f3cee2af"
# **Giờ bạn đã biết** dạy cho mô hình một phong cách chỉ với một phần trăm rưỡi số tham số của nó, chỉnh nó mạnh lên hay nhẹ đi,
# gỡ ra chính xác, trộn với phong cách khác, và nhìn triệu chứng mà nhận ra các lỗi kinh điển.
#
# **Điều còn vướng:** một phong cách thay đổi *mọi* bức tranh. Làm sao dạy mô hình một con mèo cụ thể, để nó xuất hiện được
# trong bất kỳ cảnh nào mà mọi con mèo khác vẫn như cũ? Bài 12 làm điều đó, bằng một từ hiếm.
#
# **Nguồn.** E. Hu và cộng sự 2021, *LoRA: low-rank adaptation of large language models* (thích nghi hạng thấp cho mô hình ngôn
# ngữ lớn), mục 1, 4.1, 4.2 và 7.2. C. Eckart, G. Young 1936, *The approximation of one matrix by another of lower rank*.

# %% [markdown] lang="en" slide="slide"
# ## 8. Optional: files, and peft
#
# Three kinds of LoRA files hold the same factors, but keep **alpha** in different places.
#
# | kind | what it is | where alpha is |
# |---|---|---|
# | diffusers | one file | in the file's metadata |
# | peft | a folder | in `adapter_config.json` |
# | kohya | one file, names with underscores | in a tensor for each layer |
#
# `minidiff sample "..." --lora outline.safetensors:0.8` draws with any of them; the number is the strength.
# %% [markdown] lang="vi" of="7357c6c8"
# ## 8. Không bắt buộc (optional): các loại tệp, và peft
#
# Ba loại tệp LoRA phổ biến chứa cùng các thừa số, nhưng giữ **alpha** ở những chỗ khác nhau.
#
# | loại | là gì | alpha ở đâu |
# |---|---|---|
# | diffusers | một tệp | trong siêu dữ liệu (metadata) của tệp |
# | peft | một thư mục | trong `adapter_config.json` |
# | kohya | một tệp, tên dùng dấu gạch dưới | trong một tensor cho mỗi lớp |
#
# `minidiff sample "..." --lora outline.safetensors:0.8` vẽ được với cả ba loại; con số là độ mạnh.

# %%
import tempfile
from pathlib import Path

from safetensors.torch import load_file, save_file

from minidiff.pretrained.adapters import FORMATS, read_lora, write_lora

folder = Path(tempfile.mkdtemp())
for form in FORMATS:
    path = folder / (form if form == "peft" else f"{form}.safetensors")
    file = write_lora(path, {"transformer": mine}, form)
    (read,) = read_lora(path, {"transformer": dit}).values()
    print(f"{form}: {file.stat().st_size} bytes, alpha {read[name].alpha}")
    print(*sorted(load_file(file))[:2], sep="\n")
bare = folder / "bare.safetensors"
save_file(load_file(folder / "diffusers.safetensors"), bare)    # without metadata
print("alpha now:", read_lora(bare, {"transformer": dit})["transformer"][name].alpha)

# %% [markdown] lang="en"
# The last line is pitfall 3 in real life. The file was opened and saved again without its metadata. `read_lora` then has to
# assume that alpha equals the rank, 4, and the style has half its strength, though no tensor has changed.
#
# Many programs read and train LoRA with the library *peft*. Where it is installed, it must make the same prediction from our
# folder.
# %% [markdown] lang="vi" of="ebe1b3be"
# Dòng cuối chính là cạm bẫy 3 ngoài đời thật. Tệp được mở ra rồi lưu lại mà thiếu phần siêu dữ liệu. Khi đó `read_lora` phải
# coi alpha bằng hạng, tức 4, và phong cách chỉ còn nửa độ mạnh, dù không tensor nào thay đổi.
#
# Nhiều chương trình đọc và huấn luyện LoRA bằng thư viện *peft*. Nếu máy có cài, nó phải cho ra đúng dự đoán như trên từ thư
# mục của ta.

# %%
import importlib.util

if importlib.util.find_spec("peft") is None:
    print("peft isn't installed here")
else:
    from peft import PeftModel

    given = latents[:4], torch.full((4,), 500.0).to(device), words[:4], mask[:4]
    with torch.no_grad():
        loras.mix({"outline": 1.0})
        ours = dit(*given)                                      # (4, 4, 16, 16)
        loras.mix({})
        theirs = PeftModel.from_pretrained(dit, folder / "peft").eval()
        assert_close(theirs(*given), ours, rtol=1e-3, atol=1e-4)
    print("peft predicts the same")

# %% [markdown] lang="en" only="exercise"
# # 11 Exercises: a style beside frozen weights
#
# You build LoRA from its one line of arithmetic to a step of training: the update, the layer, a whole network full of such
# layers, and two styles at once. `check` says what is right and what isn't. Then your part carries a trained style into the
# shipped model `world-dit` and draws: the upper row is drawn with the solution, the lower row with yours, and they must be the
# same.
#
# The next cell loads the model and two styles. `neon` and `outline` are factors by the names of the layers that they
# belong to: `neon[name].down` (r, in), `.up` (out, r), `.alpha` and `.rank`. `pictures(network)` draws two sentences, and
# `plain` is what the model draws without any style.
# %% [markdown] lang="vi" of="c230eebb" only="exercise"
# # 11 Bài tập: một phong cách bên cạnh trọng số đóng băng
#
# Bạn dựng LoRA từ một dòng tính toán cho đến một bước huấn luyện: phần cập nhật, lớp, cả một mạng đầy những lớp như thế, và hai
# phong cách cùng lúc. `check` cho biết chỗ nào đúng, chỗ nào chưa. Sau đó phần bạn viết đưa một phong cách đã huấn luyện vào mô
# hình có sẵn `world-dit` và vẽ tranh: hàng trên vẽ bằng lời giải, hàng dưới vẽ bằng phần của bạn, và hai hàng phải giống nhau.
#
# Ô tiếp theo nạp mô hình và hai phong cách. `neon` và `outline` (nét viền) là các thừa số, xếp theo tên của lớp mà chúng
# thuộc về: `neon[name].down` (r, in), `.up` (out, r), `.alpha` và `.rank`. `pictures(network)` vẽ hai câu, còn `plain` là những
# gì mô hình vẽ khi không có phong cách nào.

# %% only="exercise"
from collections.abc import Callable, Sequence
from copy import deepcopy
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff import load_pipeline
from minidiff.data.world.captions import describe
from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import render
from minidiff.diffusion.prediction import target
from minidiff.diffusion.schedules import NoiseSchedule
from minidiff.inference import Prepared
from minidiff.nn.lora import Factors, LoRAMixer
from minidiff.pretrained import zoo
from minidiff.pretrained.adapters import read_lora
from minidiff.utils.images import to_tensor
from minidiff.utils.plots import show

pipe = load_pipeline("world-dit", device="cpu", dtype="float32", batch=2)
parts = {"transformer": pipe.network}               # what files call the network
neon, outline = (read_lora(zoo.path(name), parts)["transformer"]
                 for name in ("neon-dit", "outline-dit"))
prompts = ["a red star above a blue house",
           "một chiếc thuyền đỏ bên trái một chiếc ô tô xanh dương"]


def pictures(network: nn.Module, *sentences: str) -> Tensor:
    """The two prompts, or other sentences, drawn by a network: (B, 3, 128, 128)."""
    pipe.fast_network = Prepared(network)           # the network as it is, no shortcuts
    texts = sentences or prompts
    seeds, empty = range(1, len(texts) + 1), [""] * len(texts)
    *_, (_, latents, _) = pipe.sample(texts, seeds, empty, steps=8, guidance_scale=3.0)
    return pipe.pixels(latents)


@torch.no_grad()
def copy_in(network: nn.Module, style: dict[str, Factors]) -> None:
    """A style's factors into the LoRA layers of a network."""
    for name, factors in style.items():
        layer = network.get_submodule(name)
        layer.down.weight.copy_(factors.down)       # (r, in)
        layer.up.weight.copy_(factors.up)           # (out, r)


@torch.no_grad()
def neon_scenes(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Scenes in neon and their captions, as the network reads them: latents
    (B, 4, 16, 16), context (B, L, D), mask (B, L)."""
    scenes = [scene_at(number) for number in range(count)]
    images = np.stack([render(scene, style="neon").image for scene in scenes])
    latents = pipe.vae.encode(to_tensor(images))[0]
    context, mask = pipe.encode([describe(scene, "en", Random(0)) for scene in scenes])
    x0 = (latents - pipe.latent_mean) / pipe.latent_std
    return x0, context.clone(), mask.clone()


plain = pictures(pipe.network)                      # (2, 3, 128, 128), without a style
