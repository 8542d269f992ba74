"""Lesson 11: LoRA, a low-rank update beside frozen weights: written, trained, merged, mixed, and broken on purpose."""

# %% [markdown] lang="en" slide="slide"
# # 11 LoRA: a style in half a megabyte
#
# On the left is one of the weight matrices of `world-dit`. In the middle is what a **style** adds to it, and on the right is
# the sum. The change is faint, and it looks like woven cloth. The pictures after it are drawn with none, half and all of this
# change in the model's layers. The file that holds it is tiny beside the model's 25 megabytes. How can so little change every
# picture?
# %% [markdown] lang="vi" of="e549a4d3"
# # 11 LoRA: một phong cách trong nửa megabyte
#
# Bên trái là một trong các ma trận trọng số của `world-dit`. Ở giữa là phần mà một **phong cách** cộng thêm vào nó, bên phải là
# tổng. Thay đổi ấy rất mờ, và trông như vải dệt. Các bức tranh tiếp theo được vẽ khi các lớp của mô hình không nhận, nhận một
# nửa, rồi nhận trọn thay đổi ấy. Tệp chứa nó rất nhỏ so với 25 megabyte của mô hình. Làm sao một chút như thế lại đổi được mọi
# bức tranh?

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
# Ask what the weave means: many rows that are multiples of one another. Then ask how few numbers could describe such a matrix.
# Keep the guesses until section 1.
# %% [markdown] lang="vi" of="420e9321"
# Hỏi lớp kiểu dệt ấy nghĩa là gì: nhiều hàng là bội của nhau. Rồi hỏi cần ít nhất bao nhiêu số để mô tả một ma trận như vậy.
# Giữ các phỏng đoán đến mục 1.

# %% [markdown] lang="en"
# [[map]]
#
# **Aims.** You can write a LoRA layer, put it into a network by the names of its layers, and train a style with it; set its
# strength, take it out to the last bit, and mix two styles; say why so few numbers are enough, and what LoRA saves and what it
# doesn't; and recognise its four classic mistakes by their symptoms.
#
# **Time:** [[time]]. **You need:** the DiT and its layers (lesson 09), latents (08), the target $v$ (03). Section 4 trains a
# LoRA, section 7 the whole network: together about a minute and a half on a CPU, longer and with more data on a GPU.
# %% [markdown] lang="vi" of="9127ea8a"
# [[map]]
#
# **Mục tiêu.** Bạn viết được một lớp LoRA, đặt nó vào một mạng theo tên các lớp và huấn luyện (training) một phong cách bằng
# nó; chỉnh được độ mạnh, gỡ nó ra chính xác đến từng bit, và trộn hai phong cách; nói được vì sao chỉ ngần ấy số đã đủ, LoRA
# tiết kiệm được gì và không tiết kiệm được gì; và nhìn triệu chứng là nhận ra bốn lỗi kinh điển của nó.
#
# **Thời gian:** [[time]]. **Cần biết:** DiT và các lớp của nó (bài 09), latent (08), mục tiêu $v$ (03). Mục 4 huấn luyện một
# LoRA, mục 7 huấn luyện cả mạng: tổng cộng khoảng một phút rưỡi trên CPU; có GPU thì lâu hơn, với nhiều dữ liệu hơn.

# %% [markdown] lang="en" role="think"
# **Three quick questions** from earlier lessons.
#
# 1. (07) Which four linear layers does an attention have, and what is each for?
# 2. (09) Why do the gates and the last layer of a fresh DiT start at 0?
# 3. (09) The loss of a single training step depends mostly on chance. How did we compare five networks all the same?
# ---
# 1. `to_q`, `to_k` and `to_v` make queries, keys and values; `to_out.0` combines what the heads found. In `world-dit` each
#    weight is (256, 256).
# 2. Then the network begins as something harmless, and a block learns to act only where that lowers the loss.
# 3. By the loss on examples that were held out, at the same times and with the same noise for all.
# %% [markdown] lang="vi" of="af060977"
# **Ba câu hỏi nhanh** từ các bài trước.
#
# 1. (07) Một lớp chú ý (attention) gồm bốn lớp tuyến tính nào, mỗi lớp để làm gì?
# 2. (09) Vì sao các cổng và lớp cuối của một DiT mới tạo khởi đầu bằng 0?
# 3. (09) Giá trị của hàm mất mát (loss) ở một bước huấn luyện phần lớn là ngẫu nhiên. Vậy mà ta vẫn so sánh được năm mạng, bằng
#    cách nào?
# ---
# 1. `to_q`, `to_k`, `to_v` tạo query, key, value; `to_out.0` kết hợp những gì các đầu tìm được. Trong `world-dit`, mỗi trọng số
#    có kích thước (256, 256).
# 2. Khi đó mạng khởi đầu vô hại, và một khối chỉ học làm gì đó ở nơi việc ấy làm giảm hàm mất mát.
# 3. Bằng hàm mất mát trên các ví dụ để riêng, với cùng thời điểm và cùng nhiễu cho mọi mạng.

# %% [markdown] lang="en" slide="slide"
# ## 1. One matrix out of two thin ones
#
# A column times a row is a matrix:
#
# $$\begin{pmatrix}1\\2\end{pmatrix}\begin{pmatrix}3&-1\end{pmatrix}=\begin{pmatrix}3&-1\\6&-2\end{pmatrix}$$
#
# Every row of it is a multiple of $(3, -1)$: the matrix has **rank** 1. We need not build it to multiply it by $x = (2, 1)$.
# First go *down* to a single number, $3\cdot 2 - 1\cdot 1 = 5$; then go *up* to two, $(5, 10)$. Check on paper that the big
# matrix gives the same.
# %% [markdown] lang="vi" of="7f0cfe60"
# ## 1. Một ma trận từ hai ma trận mỏng
#
# Một cột nhân với một hàng cho ra một ma trận:
#
# $$\begin{pmatrix}1\\2\end{pmatrix}\begin{pmatrix}3&-1\end{pmatrix}=\begin{pmatrix}3&-1\\6&-2\end{pmatrix}$$
#
# Mọi hàng của nó đều là bội của $(3, -1)$: ma trận có **hạng** (rank) 1. Muốn nhân nó với $x = (2, 1)$ thì không cần dựng nó
# lên. Trước hết đi *xuống* (down) còn một số, $3\cdot 2 - 1\cdot 1 = 5$; rồi đi *lên* (up) thành hai số, $(5, 10)$. Hãy kiểm
# tra trên giấy rằng ma trận lớn cho cùng kết quả.

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
# `down` is (r, in) and `up` is (out, r); the paper calls them $A$ and $B$. $\alpha$ is a number that is chosen once. A higher
# rank adds more terms, and the division by $r$ makes up for it, so a learning rate found for one rank serves roughly for
# others.
# %% [markdown] lang="vi" of="310e6b4d"
# Với $r$ cột và $r$ hàng, tích là tổng của $r$ ma trận như thế: hạng của nó nhiều nhất là $r$. **LoRA**, *thích nghi hạng thấp*
# (low-rank adaptation, Hu và cộng sự 2021, mục 4.1), viết thay đổi của một trọng số $W$ dưới dạng này và không đụng đến chính
# $W$:
#
# $$W' = W + \frac{\alpha}{r}\;\text{up}\;\text{down}$$
#
# `down` có kích thước (r, in), `up` là (out, r); bài báo gọi chúng là $A$ và $B$. $\alpha$ là một số chọn một lần. Hạng cao hơn
# thì tổng có nhiều thành phần hơn, và phép chia cho $r$ bù lại điều đó, nên một tốc độ học tìm được cho hạng này cũng tạm dùng
# được cho hạng khác.

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
# The layer keeps its weight, frozen, and adds the update. What should the two factors be at the start? Take single numbers, $u$
# for `up` and $d$ for `down`: $y = Wx + u\,d\,x$. The loss sends back $g = \partial\,\text{loss}/\partial y$, and by the chain
# rule
#
# $$\frac{\partial\,\text{loss}}{\partial u} = g\,d\,x, \qquad \frac{\partial\,\text{loss}}{\partial d} = g\,u\,x$$
#
# With $x = 3$, $d = 2$, $u = 0$ and $g = 1$ these are 6 and 0. The gradient of each factor contains the *other* factor.
# %% [markdown] lang="vi" of="d58a8318"
# ## 2. Một lớp khởi đầu y như lớp gốc
#
# Lớp mới giữ trọng số cũ, đóng băng nó, rồi cộng phần cập nhật vào. Lúc đầu hai thừa số nên là gì? Hãy lấy mỗi thứ chỉ một số,
# $u$ cho `up` và $d$ cho `down`: $y = Wx + u\,d\,x$. Hàm mất mát gửi về $g = \partial\,\text{loss}/\partial y$, và theo quy tắc
# dây chuyền
#
# $$\frac{\partial\,\text{loss}}{\partial u} = g\,d\,x, \qquad \frac{\partial\,\text{loss}}{\partial d} = g\,u\,x$$
#
# Với $x = 3$, $d = 2$, $u = 0$ và $g = 1$, chúng bằng 6 và 0. Gradient của thừa số này chứa thừa số *kia*.

# %% [markdown] lang="en" role="think"
# **Predict** for three starts: only `up` is 0; both are 0; neither is 0. Does the output differ from the base's? Which factors
# get a gradient?
# ---
# - **Only `up` is 0.** The output is the base's. `up` gets a gradient and moves in the first step; from the second step on,
#   `down` gets one too.
# - **Both are 0.** The output is the base's, and no factor gets a gradient, now or ever.
# - **Neither is 0.** Both get gradients, but the output has changed before anything was learnt.
#
# So `down` starts at random and `up` at 0.
# %% [markdown] lang="vi" of="5e2cd631"
# **Đoán xem** với ba cách khởi đầu: chỉ `up` bằng 0; cả hai bằng 0; không cái nào bằng 0. Đầu ra có khác lớp gốc không? Thừa số
# nào nhận được gradient?
# ---
# - **Chỉ `up` bằng 0.** Đầu ra giống lớp gốc. `up` nhận gradient và thay đổi ngay ở bước đầu; từ bước thứ hai, `down` cũng có
#   gradient.
# - **Cả hai bằng 0.** Đầu ra giống lớp gốc, và không thừa số nào nhận gradient, bây giờ cũng như mãi về sau.
# - **Không cái nào bằng 0.** Cả hai nhận gradient, nhưng đầu ra đã khác đi khi chưa học được gì.
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
# Which layers get an update? Any could get one. The paper updates only those of the attention (section 4.2), and so do we:
# `to_q`, `to_k`, `to_v` and `to_out.0`. `named_modules()` yields every layer with its full name, such as
# `transformer_blocks.3.attn2.to_v`, and we look at how the name ends.
#
# The order matters: first **freeze the whole model**, then put the new layers in, so that their factors are the only things
# that can learn.
# %% [markdown] lang="vi" of="60fef1fb"
# ## 3. Vào mạng theo tên
#
# Những lớp nào được cập nhật? Lớp nào cũng được. Bài báo chỉ lấy các lớp của cơ chế chú ý (mục 4.2), và ta cũng vậy: `to_q`,
# `to_k`, `to_v` và `to_out.0`. `named_modules()` cho ra từng lớp cùng tên đầy đủ, chẳng hạn `transformer_blocks.3.attn2.to_v`,
# và ta xem phần cuối của tên.
#
# Thứ tự là quan trọng: trước hết **đóng băng cả mô hình**, rồi mới đặt các lớp mới vào, để chỉ các thừa số của chúng được học.

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
# $8\cdot 2\cdot 4 = 64$ layers with $2048$ numbers each: $131\,072$, or half a megabyte. It predicts what it did before, to the
# last bit, because every `up` is 0.
# %% [markdown] lang="vi" of="5fec8fbe"
# **Đoán xem.** `world-dit` có 8 khối, mỗi khối có hai lớp chú ý. Với hạng 4 thì có bao nhiêu tham số được học? Ngay sau
# `inject`, mạng dự đoán gì?
# ---
# $8\cdot 2\cdot 4 = 64$ lớp, mỗi lớp $2048$ số: $131\,072$ tham số, tức nửa megabyte. Mạng dự đoán y như trước, đến từng bit,
# vì mọi `up` đều bằng 0.

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
# And for Stable Diffusion 1.5? Its U-Net is our `UNetConfig` as it is, and on the device *meta*, where modules have shapes but
# no numbers (lesson 09), we can count. **Guess**: how many megabytes is a style of rank 4 in half precision, beside a U-Net of
# 1.7 GB?
# ---
# Exactly $199\,296\,r$ numbers: at rank 4, 1.6 MB.
# %% [markdown] lang="vi" of="9c3d543e"
# Còn Stable Diffusion 1.5 thì sao? U-Net của nó chính là `UNetConfig` của ta, không phải sửa gì, và trên thiết bị *meta*, nơi
# các module có kích thước mà không có số (bài 09), ta đếm được. **Đoán xem**: với độ chính xác một nửa, một phong cách hạng 4
# chiếm bao nhiêu megabyte, bên cạnh một U-Net 1.7 GB?
# ---
# Đúng $199\,296\,r$ số: ở hạng 4 là 1.6 MB.

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
# We draw scenes of the drawn world in the style "outline": pale paper, and lines in the things' own colours. Nothing moves. The
# captions stay as they are, and no word in them names the style. So as long as the LoRA is in, *every* caption should be drawn
# as an outline. Latents and captions are encoded once, before training.
# %% [markdown] lang="vi" of="04088234"
# ## 4. Một phong cách, dạy ngay tại đây
#
# Ta vẽ các cảnh của thế giới tranh vẽ theo phong cách "outline" (nét viền): giấy nhạt, và các nét mang chính màu của vật. Không
# có gì xê dịch. Câu mô tả giữ nguyên, không từ nào nói đến phong cách. Vì vậy, chừng nào LoRA còn ở trong mạng, *mọi* câu đều
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
# Top: scenes as `world-dit` knows them. Middle: the same as outlines. Bottom: the outlines after a way through the VAE, which
# softens thin lines. No LoRA of the DiT can draw finer than this row.
#
# The loss is that of lesson 09. In `fit` one thing is new: the optimizer gets a *list* of parameters, and for LoRA that list is
# short.
# %% [markdown] lang="vi" of="d4962e08"
# Trên: các cảnh như `world-dit` vẫn biết. Giữa: cũng các cảnh ấy bằng nét viền. Dưới: các nét viền sau khi đi qua VAE, vốn làm
# mềm những nét mảnh. Không LoRA nào của DiT vẽ tinh hơn được hàng này.
#
# Hàm mất mát là của bài 09. Trong `fit` chỉ có một điều mới: thuật toán tối ưu nhận một *danh sách* tham số, và với LoRA thì
# danh sách ấy ngắn.

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
# **Predict.** There is less than a minute of training. What of the style will be there, and what won't?
# ---
# The loss is a mean over all places, so first comes what covers many of them: the pale paper. Lines cover few places and come
# last. And with so few steps, something that the model could do before may suffer.
# %% [markdown] lang="vi" of="0a5bbc83"
# **Đoán xem.** Chỉ có chưa đến một phút huấn luyện. Phong cách sẽ hiện ra được những gì, còn thiếu những gì?
# ---
# Hàm mất mát là trung bình trên mọi chỗ, nên trước hết đến những gì phủ nhiều chỗ: giấy nhạt. Các nét phủ ít chỗ nên đến sau
# cùng. Và với ít bước như thế, vài điều mô hình vốn làm được có thể bị sứt mẻ.

# %%
original = {name: value.clone() for name, value in dit.state_dict().items()}
without, plain = held_out(), draw()                             # plain (4, 3, 128, 128)
torch.manual_seed(0)
names = inject(dit)
curve = fit([p for p in dit.parameters() if p.requires_grad], steps, 4e-3)
with_lora = held_out()
mine = eject(dit, names)                                        # the style: 64 Factors
print(f"held-out loss {without:.3f} without, {with_lora:.3f} with the LoRA")
smooth = torch.tensor(curve).unfold(0, 10, 2).mean(1)
lines({"": (torch.arange(len(smooth)) * 2 + 5, smooth)}, x="step", y="training loss")

# %% slide="sub"
mixer.add("outline", mine)                                      # beside the shipped one
loras.mix({"outline": 1.0})
outlined = draw()
loras.mix({})
show(torch.stack([plain, outlined]))

# %% [markdown] lang="en"
# Above without, below with the LoRA, from the same captions and noise. In our run the held-out loss has fallen by nearly half.
# The paper is there: sky, meadow and sea have turned pale. The things have darker edges and lighter insides, but they are still
# filled, and thin lines are missing. Something was lost, too: under the boat, the sea.
#
# `minidiff finetune lora` runs the same loop for longer, with a few empty captions (for guidance), and keeps the factors with
# the lowest held-out loss.
# %% [markdown] lang="vi" of="95ddb431"
# Hàng trên không có LoRA, hàng dưới có, với cùng câu và cùng nhiễu. Trong lần chạy của chúng tôi, hàm mất mát trên phần để
# riêng giảm gần một nửa. Giấy đã hiện ra: trời, đồng cỏ và biển đều nhạt đi. Các vật có viền sẫm hơn và bên trong sáng hơn,
# nhưng vẫn còn được tô kín, và chưa có nét mảnh. Cũng có thứ bị mất: biển dưới con thuyền.
#
# `minidiff finetune lora` chạy đúng vòng lặp này nhưng lâu hơn, thêm một ít câu rỗng (cho việc dẫn hướng, guidance), và giữ lại
# các thừa số có hàm mất mát thấp nhất trên phần để riêng.

# %% [markdown] lang="en" slide="slide"
# ## 5. In at any strength, and out again
#
# $W + s\,\frac{\alpha}{r}\,\text{up}\,\text{down}$ has the shape of $W$. So before drawing, the update can be **merged** into
# the weight, and then drawing takes no longer than without it (Hu et al. 2021, section 4.1). The strength $s$ is ours to
# choose: 0 is the base, 1 is what was learnt.
# %% [markdown] lang="vi" of="a8aabdb7"
# ## 5. Đưa vào với độ mạnh tùy ý, rồi gỡ ra
#
# $W + s\,\frac{\alpha}{r}\,\text{up}\,\text{down}$ có kích thước của $W$. Vì vậy trước khi vẽ có thể **gộp** (merge) phần cập
# nhật vào trọng số, và khi ấy việc vẽ không lâu hơn lúc không có nó (Hu và cộng sự 2021, mục 4.1). Độ mạnh (strength) $s$ do ta
# chọn: 0 là mô hình gốc, 1 là những gì đã học.

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
# At 0.5 it lies between base and style, though not exactly in the middle, since pictures don't change in proportion to weights.
# 2 exaggerates: nearly everything turns into paper. And $-1$ leads away from the style: dark and saturated.
# %% [markdown] lang="vi" of="95a76e44"
# **Đoán xem.** Phong cách của ta làm mọi thứ nhạt đi. Cùng một câu sẽ trông ra sao ở độ mạnh 0.5, ở 2 và ở $-1$?
# ---
# Ở 0.5, nó nằm giữa mô hình gốc và phong cách, nhưng không đúng chính giữa, vì bức tranh không thay đổi tỉ lệ với trọng số. 2
# là phóng đại: gần như mọi thứ thành giấy. Còn $-1$ đi ngược khỏi phong cách: tối và đậm màu.

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
# No. Every sum is rounded, and subtracting doesn't undo the rounding. The errors add up, and the coarser the format, the larger
# they are.
# %% [markdown] lang="vi" of="bfa607a1"
# `loras.mix` trả lại trọng số cũ đúng đến từng bit. Một số chương trình gộp bằng cách cộng phần cập nhật, rồi gỡ ra bằng cách
# **trừ** nó đi. Sau 200 lần kéo thanh trượt, độ mạnh lại là 0. Các trọng số có còn như cũ không?
# ---
# Không. Tổng nào cũng bị làm tròn, và phép trừ không xóa được phần làm tròn ấy. Sai số dồn lại, và định dạng càng thô thì sai
# số càng lớn.

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
# In float32 nobody would see it. In bfloat16, in which many large models are kept, the largest error exceeds a typical change
# by the style. `LoRAMixer` keeps a copy of each weight that it touches and computes every mix from that copy. Nothing can
# drift.
# %% [markdown] lang="vi" of="bcc19bca"
# Với float32 thì chẳng ai nhận ra. Với bfloat16, định dạng mà nhiều mô hình lớn dùng, sai số lớn nhất đã vượt quá một thay đổi
# điển hình do phong cách gây ra. `LoRAMixer` giữ một bản sao của mỗi trọng số mà nó đụng đến và luôn tính mọi cách trộn từ bản
# sao ấy. Không gì trôi đi được.

# %% [markdown] lang="en" slide="slide"
# ## 6. Two styles at once
#
# Two updates can be merged one after the other. Can they also become *one* file? By hand, with single numbers: the first style
# is $1\cdot 2 = 2$, the second $3\cdot 4 = 12$, together 14.
#
# - Adding the factors first gives $(1 + 3)(2 + 4) = 24$. The 10 too many are the **cross terms** $1\cdot 4 + 3\cdot 2$.
# - **Concatenating** them is exact:
#
# $$\begin{pmatrix}1&3\end{pmatrix}\begin{pmatrix}2\\4\end{pmatrix}=1\cdot 2+3\cdot 4=14$$
#
# The rank of the mix is the sum of the ranks.
# %% [markdown] lang="vi" of="2b31ba6a"
# ## 6. Hai phong cách cùng lúc
#
# Có thể gộp lần lượt hai phần cập nhật. Nhưng có thể biến chúng thành *một* tệp không? Tính tay, mỗi thừa số chỉ là một số:
# phong cách thứ nhất là $1\cdot 2 = 2$, thứ hai là $3\cdot 4 = 12$, tổng cộng 14.
#
# - Cộng các thừa số trước thì được $(1 + 3)(2 + 4) = 24$. Phần thừa 10 là các **tích chéo** (cross terms)
#   $1\cdot 4 + 3\cdot 2$.
# - **Nối** (concatenate) chúng lại thì chính xác:
#
# $$\begin{pmatrix}1&3\end{pmatrix}\begin{pmatrix}2\\4\end{pmatrix}=1\cdot 2+3\cdot 4=14$$
#
# Hạng của bản trộn bằng tổng các hạng.

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
# From left to right there is more of the shipped style, from top to bottom more of our own. The lower right corner has both at
# full strength, and is the most crowded: each style was learnt alone, beside the unchanged base, and knows nothing of the
# other. Two halves get along better than two wholes.
#
# **Predict.** A style mixed with *itself*, half and half, must be that style. What comes out if the factors are added before
# they are multiplied?
# ---
# Half and half: $\tfrac12\text{up} + \tfrac12\text{up} = \text{up}$, and $\text{down} + \text{down} = 2\,\text{down}$. The
# product is twice the style: strength 2. With two *different* styles the cross terms belong to neither: they are plain error.
# %% [markdown] lang="vi" of="d6289751"
# Từ trái sang phải, phong cách có sẵn tăng dần; từ trên xuống dưới, phong cách của ta tăng dần. Góc dưới bên phải có cả hai ở
# độ mạnh đầy đủ, và cũng rối nhất: mỗi phong cách được học một mình, bên cạnh mô hình gốc không đổi, và không biết gì về phong
# cách kia. Hai nửa sống chung dễ hơn hai bản đầy đủ.
#
# **Đoán xem.** Một phong cách trộn với *chính nó*, mỗi bên một nửa, phải cho ra đúng phong cách ấy. Nếu cộng các thừa số trước
# khi nhân thì ra gì?
# ---
# Mỗi bên một nửa: $\tfrac12\text{up} + \tfrac12\text{up} = \text{up}$, còn $\text{down} + \text{down} = 2\,\text{down}$. Tích
# là hai lần phong cách: độ mạnh 2. Với hai phong cách *khác nhau*, tích chéo chẳng thuộc về phong cách nào: chúng chỉ là sai
# số.

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
# We can test it. Train **all** weights on the same outlines, subtract the old ones, and take each change apart by its
# **singular values**. Every matrix is a sum of matrices of rank 1, from the largest to the smallest:
#
# $$\Delta W = s_1\,u_1 v_1^T + s_2\,u_2 v_2^T + \dots, \qquad s_1 \ge s_2 \ge \dots \ge 0$$
#
# The first $k$ terms are the best approximation of rank $k$ (Eckart and Young 1936). `torch.linalg.svd` computes them all.
# %% [markdown] lang="vi" of="cc7ebab0"
# ## 7. Vì sao ngần ấy số đã đủ
#
# LoRA dựa trên một phỏng đoán: để học điều mới, một mạng đã huấn luyện chỉ cần một thay đổi hạng thấp (Hu và cộng sự 2021, mục
# 1). Ta kiểm tra được. Huấn luyện **mọi** trọng số trên cùng các tranh nét viền, trừ đi trọng số cũ, rồi phân tích từng thay
# đổi theo các **giá trị kỳ dị** (singular values). Ma trận nào cũng là tổng của các ma trận hạng 1, từ lớn đến nhỏ:
#
# $$\Delta W = s_1\,u_1 v_1^T + s_2\,u_2 v_2^T + \dots, \qquad s_1 \ge s_2 \ge \dots \ge 0$$
#
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
# **Predict.** Training all weights has lowered the held-out loss. Now each change keeps only 4 of its 256 terms. How much of
# the gain is left: a few percent, half, nearly all?
# ---
# The table below answers. Rank 0 keeps only what isn't the weight of a linear layer, such as biases.
# %% [markdown] lang="vi" of="cbf75944"
# **Đoán xem.** Huấn luyện mọi trọng số đã làm giảm hàm mất mát trên phần để riêng. Giờ mỗi thay đổi chỉ giữ 4 trong 256 thành
# phần. Phần giảm được ấy còn lại bao nhiêu: vài phần trăm, một nửa, hay gần như tất cả?
# ---
# Bảng dưới đây trả lời. Hạng 0 chỉ giữ những gì không phải trọng số của lớp tuyến tính, chẳng hạn các bias.

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
right.set_xticks(range(6), ranks)

# %% [markdown] lang="en"
# On the left, each line falls fast and then slowly, but never to 0: the change is *not* of low rank. On the right, its largest
# term alone still brings most of the gain, and four bring nearly all. So the guess is true in this sense: a low rank is
# *enough*. Our LoRA (orange), which has no more than four terms, gets as far, with more steps. Hu et al. saw tasks of GPT-3 for
# which $r = 1$ was enough (section 7.2).
#
# This is one style, one small model and a short training. A harder task may need a higher rank.
# %% [markdown] lang="vi" of="70eaa0fb"
# Bên trái, mỗi đường giảm nhanh rồi chậm lại, nhưng không bao giờ về 0: thay đổi ấy *không* có hạng thấp. Vậy mà bên phải, chỉ
# riêng thành phần lớn nhất đã mang lại phần lớn mức giảm, và bốn thành phần mang lại gần như tất cả. Phỏng đoán vì thế đúng
# theo nghĩa này: một hạng thấp là *đủ*. LoRA của ta (đường cam), vốn chỉ có nhiều nhất bốn thành phần, cũng đi được xa như vậy,
# tuy với nhiều bước hơn. Hu và cộng sự thấy có những bài toán của GPT-3 mà $r = 1$ đã đủ (mục 7.2).
#
# Đây chỉ là một phong cách, một mô hình nhỏ và một lần huấn luyện ngắn. Bài toán khó hơn có thể cần hạng cao hơn.

# %% [markdown] lang="en" slide="sub"
# **Does LoRA save time?** Compare the seconds a step that `fit` printed in sections 4 and 7. On our CPU, training all weights
# takes about a quarter to a third longer. All layers are still computed forwards and backwards; only the gradients of frozen
# weights are spared. Hu et al. measured much the same on GPT-3: 43.1 tokens a second in place of 32.5 (section 4.2). You will
# read that LoRA trains "10 to 20 times faster". We found no measurement behind that.
#
# **It saves memory and disk.** Adam keeps two further numbers for each one that is learnt, and there is its gradient: 12 bytes.
#
# | | all weights | LoRA, rank 4 |
# |---|---|---|
# | numbers to learn | 9.1 million | 0.13 million |
# | gradients and Adam | 109 MB | 1.6 MB |
# | file, float32 | 36 MB | 0.5 MB |
# %% [markdown] lang="vi" of="49d75fb7"
# **LoRA có tiết kiệm thời gian không?** Hãy so số giây mỗi bước mà `fit` đã in ra ở mục 4 và mục 7. Trên CPU của chúng tôi,
# huấn luyện mọi trọng số lâu hơn khoảng một phần tư đến một phần ba. Mọi lớp vẫn phải tính xuôi và tính ngược; chỉ bớt được
# gradient của các trọng số đóng băng. Hu và cộng sự đo trên GPT-3 cũng gần như vậy: 43.1 token mỗi giây thay cho 32.5 (mục
# 4.2). Bạn sẽ đọc thấy ở đâu đó rằng LoRA huấn luyện "nhanh hơn 10 đến 20 lần". Chúng tôi không tìm được phép đo nào đứng sau
# câu ấy.
#
# **Nó tiết kiệm bộ nhớ và đĩa.** Với mỗi tham số được học, Adam giữ thêm hai số, cộng với gradient của nó: 12 byte.
#
# | | mọi trọng số | LoRA, hạng 4 |
# |---|---|---|
# | số tham số được học | 9.1 triệu | 0.13 triệu |
# | gradient và Adam | 109 MB | 1.6 MB |
# | tệp, float32 | 36 MB | 0.5 MB |

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 1: both factors zero
#
# **Symptom.** No error. The training loss goes up and down with the batches and never falls, and the held-out loss stays the
# same to the last digit. **Cause:** an initialisation, or an empty checkpoint, set `down` to 0 as well as `up`. **Fix:** after
# the first step, see that some `up` is no longer 0.
# %% [markdown] lang="vi" of="daa239a4"
# ## Cạm bẫy 1: cả hai thừa số bằng 0
#
# **Triệu chứng.** Không báo lỗi. Hàm mất mát khi huấn luyện lên xuống theo từng lô (batch) mà không bao giờ giảm, còn trên phần
# để riêng thì không đổi đến tận chữ số cuối. **Nguyên nhân:** một hàm khởi tạo, hoặc một checkpoint rỗng, đã đặt cả `down` lẫn
# `up` bằng 0. **Cách chữa:** sau bước đầu tiên, kiểm tra rằng có `up` nào đó đã khác 0.

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
# **Symptom.** The pictures have changed at step 0, before anything was learnt. **Cause:** `up` isn't 0. How bad it is depends
# on the size of the numbers. PyTorch's own start for `up` bends a few edges, which is easily missed. With `torch.randn` in both
# factors, the model is ruined. **Fix:** compare a prediction before and after `inject` with `torch.equal`, as in section 3.
# %% [markdown] lang="vi" of="61aa9889"
# ## Cạm bẫy 2: cả hai thừa số ngẫu nhiên
#
# **Triệu chứng.** Tranh đã đổi ngay ở bước 0, khi chưa học gì. **Nguyên nhân:** `up` khác 0. Hỏng đến đâu là tùy các số lớn hay
# nhỏ. Khởi tạo sẵn của PyTorch cho `up` chỉ làm cong vài đường viền, rất dễ bị bỏ qua. Với `torch.randn` ở cả hai thừa số thì
# mô hình hỏng hẳn. **Cách chữa:** so dự đoán trước và sau `inject` bằng `torch.equal`, như ở mục 3.

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
# **Symptom.** A style that was fine elsewhere is weak here, or wrecks every picture. **Cause:** the program that reads the file
# ignores alpha, or multiplies by alpha and doesn't divide by the rank. Ours has alpha 8 and rank 4, hence a factor of 2.
# Without alpha it is 1: half the strength. Without the rank it is 8: four times the strength. **Fix:** keep alpha with the
# factors, as `Factors` does, and compare with a picture from the training.
# %% [markdown] lang="vi" of="747161f2"
# ## Cạm bẫy 3: quên alpha / rank
#
# **Triệu chứng.** Một phong cách ở nơi khác vẫn tốt thì ở đây lại yếu, hoặc phá hỏng mọi bức tranh. **Nguyên nhân:** chương
# trình đọc tệp bỏ qua alpha, hoặc nhân với alpha mà không chia cho hạng. Của ta có alpha 8 và hạng 4, tức hệ số 2. Thiếu alpha
# thì hệ số là 1: nửa độ mạnh. Thiếu phép chia cho hạng thì là 8: gấp bốn độ mạnh. **Cách chữa:** giữ alpha cùng với các thừa
# số, như `Factors` làm, và so với một bức tranh vẽ lúc huấn luyện.

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
# **Symptom.** Training goes well, and the file has the right size. Loaded elsewhere, it does next to nothing; and in the model
# that was trained, the style can't be taken out. **Cause:** the optimizer got all of `model.parameters()`, so the base learnt
# the style, and the file holds only the factors. **Fix:** freeze first, print how many numbers are learnt, and compare a frozen
# weight before and after.
# %% [markdown] lang="vi" of="c7d6bca2"
# ## Cạm bẫy 4: không đóng băng mô hình gốc
#
# **Triệu chứng.** Huấn luyện suôn sẻ, tệp đúng cỡ. Nạp ở nơi khác thì nó gần như không có tác dụng gì; còn trong mô hình đã
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
# mix it with others, and tell from a symptom which of the four mistakes was made.
#
# **What still bothers:** a style changes *every* picture. How do you teach a model one particular cat, *this* one, so that it
# can appear in any scene while all other cats stay as they are? Lesson 12 does it, with a rare word.
#
# **Sources.** E. Hu et al. 2021, *LoRA: low-rank adaptation of large language models*, sections 1, 4.1, 4.2 and 7.2. C. Eckart,
# G. Young 1936, *The approximation of one matrix by another of lower rank*.
# %% [markdown] lang="vi" of="1ebbcf98"
# **Giờ bạn đã biết** dạy cho mô hình một phong cách chỉ với một phần trăm rưỡi số tham số của nó, vặn mạnh hay nhẹ, gỡ ra chính
# xác, trộn với phong cách khác, và nhìn triệu chứng mà nói được lỗi nào trong bốn lỗi đã xảy ra.
#
# **Điều còn vướng:** một phong cách thay đổi *mọi* bức tranh. Làm sao dạy mô hình một con mèo cụ thể, đúng con *này*, để nó
# xuất hiện được trong cảnh bất kỳ mà mọi con mèo khác vẫn như cũ? Bài 12 làm điều đó, bằng một từ hiếm.
#
# **Nguồn.** E. Hu và cộng sự 2021, *LoRA: low-rank adaptation of large language models* (thích nghi hạng thấp cho mô hình ngôn
# ngữ lớn), mục 1, 4.1, 4.2 và 7.2. C. Eckart, G. Young 1936, *The approximation of one matrix by another of lower rank*.

# %% [markdown] lang="en" slide="slide"
# ## 8. Optional: files, and peft
#
# Three kinds of LoRA files are common. They hold the same factors, but keep **alpha** in different places.
#
# | kind | what it is | where alpha is |
# |---|---|---|
# | diffusers | one file | in the file's metadata |
# | peft | a folder | in `adapter_config.json` |
# | kohya | one file, names with underscores | in a tensor for each layer |
#
# `minidiff sample "..." --lora outline.safetensors:0.8` draws with any of them.
# %% [markdown] lang="vi" of="bbebc019"
# ## 8. Không bắt buộc (optional): các loại tệp, và peft
#
# Có ba loại tệp LoRA phổ biến. Chúng chứa cùng các thừa số, nhưng giữ **alpha** ở những chỗ khác nhau.
#
# | loại | là gì | alpha ở đâu |
# |---|---|---|
# | diffusers | một tệp | trong siêu dữ liệu (metadata) của tệp |
# | peft | một thư mục | trong `adapter_config.json` |
# | kohya | một tệp, tên dùng dấu gạch dưới | trong một tensor cho mỗi lớp |
#
# `minidiff sample "..." --lora outline.safetensors:0.8` vẽ được với cả ba loại.

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
# The last line is pitfall 3 in real life. The file was opened and saved again, and its metadata got lost. Now the reader must
# take alpha for the rank, 4, and the style has half its strength. No tensor has changed.
#
# Most programs read and train LoRA with the library *peft*. Where it is installed, it must predict our numbers from our folder.
# %% [markdown] lang="vi" of="65124392"
# Dòng cuối chính là cạm bẫy 3 ngoài đời thật. Tệp được mở ra rồi lưu lại, và mất phần siêu dữ liệu. Giờ bên đọc đành coi alpha
# bằng hạng, 4, và phong cách chỉ còn nửa độ mạnh. Không một tensor nào thay đổi.
#
# Phần lớn chương trình đọc và huấn luyện LoRA bằng thư viện *peft*. Nếu máy có cài, nó đọc thư mục của ta và phải dự đoán ra
# đúng các số của ta.

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
