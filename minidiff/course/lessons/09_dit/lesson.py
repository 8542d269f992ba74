"""Lesson 09: the diffusion transformer, written from its parts, and the whole way from a sentence to a picture."""

# %% [markdown] lang="en" slide="slide"
# # 09 DiT: the full latent text-to-image model
#
# On the left is a drawing by `world-dit`. In the middle, it is cut into 64 squares; on the right, they are together again. The
# network behind it has no U, and no convolution that looks past the edge of a square. It sees a row of such squares, as a
# sentence is a row of words. How does a network that reads a row draw a picture?
# %% [markdown] lang="vi" of="ae52b971"
# # 09 DiT: mô hình sinh ảnh từ chữ hoàn chỉnh, trên latent
#
# Bên trái là một bức tranh do `world-dit` vẽ. Ở giữa, nó bị cắt thành 64 ô vuông; bên phải, các ô được ghép lại. Mạng vẽ ra nó
# không có hình chữ U, cũng không có phép tích chập nào nhìn ra ngoài mép của ô. Mạng chỉ thấy một dãy ô, giống như câu là một
# dãy từ. Làm sao một mạng đọc một dãy lại vẽ được tranh?

# %%
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from minidiff import load_pipeline
from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser, target
from minidiff.diffusion.samplers import run

pipe = load_pipeline("world-dit", device="cpu", dtype="float32")
dit, schedule = pipe.network, pipe.scheduler.schedule
*_, (_, drawn, _) = pipe.sample(["a big red star above a blue boat"], [3], [""])
latent, picture = drawn.clone(), pipe.pixels(drawn)             # (1, 4, 16, 16)

# %% slide="sub"
tiles = rearrange(picture[0], "c (h p) (w q) -> h w c p q", p=16, q=16)
apart = F.pad(tiles, (3, 3, 3, 3), value=1.0)                   # (8, 8, 3, 22, 22)
mosaic = rearrange(apart, "h w c p q -> c (h p) (w q)")         # (3, 176, 176)
again = rearrange(tiles, "h w c p q -> c (h p) (w q)")          # (3, 128, 128)
show([picture[0], mosaic, again], ["drawn", "64 patches", "together again"])

# %% [markdown] lang="en" role="notes"
# Ask what a network would need to know about a single square to draw it right: what stands beside it, where it is, what time it
# is, what the sentence says. Sections 2 to 4 give it these four.
# %% [markdown] lang="vi" of="7f45f66b"
# Hỏi lớp: để vẽ đúng một ô vuông, mạng cần biết những gì về nó? Bên cạnh có gì, nó ở đâu, đang là thời điểm nào, câu nói gì.
# Các mục 2 đến 4 cho mạng biết bốn điều đó.

# %% [markdown] lang="en"
# [[map]]
#
# **Aims.** You can cut a latent into tokens and put it together again; say what positions, adaLN-zero and cross-attention are
# for, and what goes wrong without each; write a DiT that takes the shipped weights; and wire text tower, DiT, guidance, sampler
# and VAE into a program that draws.
#
# **Time:** [[time]]. **You need:** attention with heads (lesson 07), latents and their factors (08), guidance (05) and samplers
# (04). Section 6 trains five tiny networks: about a minute on a CPU, bigger ones on a GPU.
# %% [markdown] lang="vi" of="26afd6cb"
# [[map]]
#
# **Mục tiêu.** Bạn cắt được latent thành token rồi ghép lại; nói được vị trí, adaLN-zero và chú ý chéo (cross-attention) dùng
# để làm gì, và thiếu mỗi thứ thì hỏng ra sao; viết được một DiT nhận trọng số có sẵn; và nối tháp văn bản (text tower), DiT,
# dẫn hướng (guidance), bộ lấy mẫu (sampler) với VAE thành một chương trình biết vẽ.
#
# **Thời gian:** [[time]]. **Cần biết:** cơ chế chú ý (attention) nhiều đầu (bài 07), latent và các hệ số của nó (08), dẫn hướng
# (05) và bộ lấy mẫu (04). Mục 6 huấn luyện năm mạng tí hon: khoảng một phút trên CPU; có GPU thì mạng lớn hơn.

# %% [markdown] lang="en" role="think"
# **Three quick questions** from earlier lessons.
#
# 1. (07) In cross-attention, what are the queries made from, and what the keys and values?
# 2. (08) The VAE turns 128 × 128 × 3 into 16 × 16 × 4. What is done to the latent before the network sees it?
# 3. (01) What do the skip connections of a U-Net carry, and from where to where?
# ---
# 1. Queries from the image's tokens, (B, N, D); keys and values from the text's, (B, L, D). Each head has an N × L table of
#    weights.
# 2. Its mean is subtracted and it is divided by its deviation, channel by channel. After drawing, both are undone.
# 3. The features of each level on the way down, to the same level on the way up: the places and edges that the small maps in
#    between have lost. Today's network needs none, since it never makes its maps smaller.
# %% [markdown] lang="vi" of="c309e5d4"
# **Ba câu hỏi nhanh** từ các bài trước.
#
# 1. (07) Trong chú ý chéo, query được tạo từ đâu, key và value được tạo từ đâu?
# 2. (08) VAE biến 128 × 128 × 3 thành 16 × 16 × 4. Trước khi mạng thấy latent, ta làm gì với nó?
# 3. (01) Các kết nối tắt (skip connection) của U-Net mang gì, từ đâu đến đâu?
# ---
# 1. Query từ các token của ảnh, (B, N, D); key và value từ các token của văn bản, (B, L, D). Mỗi đầu có bảng trọng số N × L.
# 2. Trừ trung bình rồi chia cho độ lệch, theo từng kênh. Vẽ xong thì làm ngược lại.
# 3. Đặc trưng của mỗi tầng trên đường xuống, đưa sang cùng tầng ấy trên đường lên: những vị trí và đường nét mà các bản đồ nhỏ
#    ở giữa đã đánh mất. Mạng hôm nay không cần chúng, vì nó không bao giờ thu nhỏ các bản đồ của mình.

# %% [markdown] lang="en" slide="slide"
# ## 1. From a picture to a row, and back
#
# A grid of 4 × 4 numbers, cut into **patches** of side $p = 2$. The first patch holds 0, 1, 4, 5. Write down the other three.
#
# $$\begin{pmatrix}0&1&2&3\\4&5&6&7\\8&9&10&11\\12&13&14&15\end{pmatrix}$$
#
# The code splits each side into two axes, which patch and where in the patch, and moves the two "which patch" axes to the
# front.
# %% [markdown] lang="vi" of="a2b51fbd"
# ## 1. Từ bức tranh đến một dãy, rồi trở lại
#
# Một bảng 4 × 4 số, cắt thành các **patch** (mảnh) cạnh $p = 2$. Patch đầu tiên chứa 0, 1, 4, 5. Hãy viết ra ba patch còn lại.
#
# $$\begin{pmatrix}0&1&2&3\\4&5&6&7\\8&9&10&11\\12&13&14&15\end{pmatrix}$$
#
# Đoạn mã tách mỗi cạnh thành hai trục, "patch nào" và "chỗ nào trong patch", rồi đưa hai trục "patch nào" lên trước.

# %%
grid, p = torch.arange(16.0).view(1, 1, 4, 4), 2                # (B, C, H, W)
split = grid.view(1, 1, 2, p, 2, p)                             # (B, C, h, p, w, p)
tokens = split.permute(0, 2, 4, 1, 3, 5)                        # (B, h, w, C, p, p)
tokens = tokens.flatten(3).flatten(1, 2)                        # (B, h w, C p p)
print(tokens[0])


def cut(x: Tensor, p: int) -> Tensor:
    """(B, C, H, W) to (B, N, C p p): channel, row, column within a patch."""
    return rearrange(x, "b c (h p) (w q) -> b (h w) (c p q)", p=p, q=p)


assert torch.equal(tokens, cut(grid, p))

# %% [markdown] lang="en" slide="sub"
# So the four **tokens** are (0 1 4 5), (2 3 6 7), (8 9 12 13), (10 11 14 15). Nothing is lost and nothing is computed.
#
# Our latent, (1, 4, 16, 16), becomes $8\times 8 = 64$ tokens of $4\cdot 2\cdot 2 = 16$ numbers: (1, 64, 16). Each stands for
# one square of the opening picture. With $p = 4$ there would be 16 tokens, and attention, which compares all pairs, would make
# 16 times fewer comparisons.
#
# A linear layer takes each token to the width of the network, 256. That is a convolution of lesson 01 with kernel 2 and stride
# 2: it looks at every patch once, with the same weights, and never at two patches together.
#
# **The way back** is *unpatchify*. DiT's last layer writes a patch as row, column, channel, while the first layer reads
# channel, row, column. This is only a convention, but weights trained with one order are useless with the other.
# %% [markdown] lang="vi" of="b8b6dd98"
# Vậy bốn **token** là (0 1 4 5), (2 3 6 7), (8 9 12 13), (10 11 14 15). Không mất gì, cũng chưa tính gì.
#
# Latent của ta, (1, 4, 16, 16), thành $8\times 8 = 64$ token, mỗi token $4\cdot 2\cdot 2 = 16$ số: (1, 64, 16). Mỗi token ứng
# với một ô vuông trong bức tranh mở đầu. Nếu $p = 4$ thì chỉ có 16 token, và cơ chế chú ý, vốn so mọi cặp với nhau, phải so ít
# hơn 16 lần.
#
# Một lớp tuyến tính đưa mỗi token lên bề rộng của mạng, 256. Đó chính là phép tích chập ở bài 01 với kernel 2 và stride (bước
# nhảy) 2: nó nhìn mỗi patch một lần, với cùng trọng số, và không bao giờ nhìn hai patch cùng lúc.
#
# **Đường về** là *unpatchify*. Lớp cuối của DiT viết một patch theo thứ tự hàng, cột, kênh, còn lớp đầu đọc theo kênh, hàng,
# cột. Đây chỉ là quy ước, nhưng trọng số học theo thứ tự này thì vô dụng với thứ tự kia.

# %%
from minidiff.nn.embeddings import PatchProjection

proj = dit.pos_embed.proj                                       # weight (256, 4, 2, 2)
patches = cut(latent, 2)                                        # (1, 64, 16)
linear = patches @ proj.weight.flatten(1).T + proj.bias         # (1, 64, 256)
strided = F.conv2d(latent, proj.weight, proj.bias, stride=2)    # (1, 256, 8, 8)
torch.testing.assert_close(linear, strided.flatten(2).mT)
torch.testing.assert_close(linear, proj(latent))
source(PatchProjection)

# %%
from minidiff.models.dit import unpatchify


def put_together(tokens: Tensor, rows: int, columns: int, p: int) -> Tensor:
    """(B, N, p p C), channels last within a patch, to (B, C, H, W)."""
    axes = tokens.unflatten(1, (rows, columns)).unflatten(3, (p, p, -1))
    return axes.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)  # b c (h p) (w p)


last = rearrange(latent, "b c (h p) (w q) -> b (h w) (p q c)", p=2, q=2)
assert torch.equal(put_together(last, 8, 8, 2), latent)
assert torch.equal(unpatchify(last, latent, 2), latent)

# %% [markdown] lang="en" slide="slide"
# ## 2. Where does each patch belong?
#
# Attention treats its tokens as a **bag**: it compares contents and never asks for the order. So each token gets a vector added
# that says where it is. It is the clock of lesson 01, used twice: half of the channels for the column, half for the row.
# Neighbours get similar vectors.
#
# With width 8, a place is 4 + 4 numbers, of frequencies $1$ and $10000^{-1/2} = 0.01$. Column 5 is
#
# $$(\sin 5,\ \sin 0.05,\ \cos 5,\ \cos 0.05) = (-0.96,\ 0.05,\ 0.28,\ 1.00)$$
#
# On a square grid like ours, the library's options `base_size` and `interpolation_scale` change nothing.
# %% [markdown] lang="vi" of="d09cd78d"
# ## 2. Mỗi patch thuộc về chỗ nào?
#
# Với cơ chế chú ý, các token như nằm trong một cái **túi**: nó so nội dung và không bao giờ hỏi thứ tự. Vì thế mỗi token được
# cộng thêm một vector cho biết nó ở đâu. Đó chính là chiếc đồng hồ của bài 01, dùng hai lần: một nửa số kênh cho cột, một nửa
# cho hàng. Các vị trí gần nhau có vector gần giống nhau.
#
# Với bề rộng 8, một vị trí gồm 4 + 4 số, tần số $1$ và $10000^{-1/2} = 0.01$. Cột 5 là
#
# $$(\sin 5,\ \sin 0.05,\ \cos 5,\ \cos 0.05) = (-0.96,\ 0.05,\ 0.28,\ 1.00)$$
#
# Trên lưới vuông như ở đây, `base_size` và `interpolation_scale` của thư viện không làm thay đổi gì.

# %%
from minidiff.nn.embeddings import position_table


def wave(place: float) -> Tensor:
    angle = place * torch.tensor([1.0, 0.01])                   # (2,)
    return torch.cat([angle.sin(), angle.cos()])                # (4,)


place = torch.cat([wave(5.0), wave(3.0)])                       # column 5, row 3: (8,)
print(place)
torch.testing.assert_close(position_table(8, 8, 8)[3 * 8 + 5], place)
source(position_table)

# %% slide="sub"
table = position_table(256, 8, 8)                               # (64, 256)


def like(place: int, axis) -> None:
    alike = F.cosine_similarity(table, table[place], dim=-1)    # (64,)
    axis.imshow(alike.view(8, 8))


slider(like, "place", [0, 29, 58])

# %% [markdown] lang="en"
# Each map compares the vector of one place with those of all 64: the brighter, the more alike. Place 29 is column 5 of row 3.
# The likeness falls off in all directions, slowest along its own row and column, where half of the vector stays the same.
# %% [markdown] lang="vi" of="2e1a91c2"
# Mỗi bản đồ so vector của một vị trí với vector của cả 64 vị trí: càng sáng càng giống nhau. Vị trí (place) 29 là cột 5 của
# hàng 3. Độ giống giảm dần về mọi phía, chậm nhất dọc theo hàng và cột của chính nó, vì ở đó một nửa vector không đổi.

# %% [markdown] lang="en" role="think"
# **Predict.** We draw twice with the trained DiT, but tamper with its table: once all positions are 0, once the rows of the
# table are shuffled. (`draw` guides and samples as in lessons 05 and 04.) What comes out?
# ---
# Without positions, no token knows which part of the picture to draw: there is no scene. With the shuffled table, each token
# draws what belongs to *another* place, so moving the 64 pieces to their own places must bring the picture back.
# %% [markdown] lang="vi" of="c8d16539"
# **Đoán xem.** Ta vẽ hai lần bằng DiT đã huấn luyện, nhưng sửa bảng vị trí của nó: một lần mọi vị trí bằng 0, một lần các hàng
# của bảng bị xáo trộn. (`draw` dẫn hướng và lấy mẫu như ở bài 05 và 04.) Kết quả là gì?
# ---
# Không có vị trí, không token nào biết mình phải vẽ phần nào của bức tranh: không còn cảnh nào cả. Với bảng bị xáo, mỗi token
# vẽ phần thuộc về một chỗ *khác*, nên chuyển 64 mảnh về đúng chỗ thì phải được lại bức tranh.

# %%
@torch.inference_mode()
def draw(network, prompts: list[str], noise: Tensor, scale: float = 3.0) -> Tensor:
    """Latents (B, 4, 16, 16) that a network draws in 12 steps from noise like them."""
    words, mask = pipe.encode([*prompts, *[""] * len(prompts)])     # (2B, L, 256)

    def predict(x: Tensor, timestep: Tensor) -> Tensor:
        return network(x, timestep, words[: len(x)], mask[: len(x)])

    model = cfg(denoiser(predict, schedule, "v"), scale)
    *_, end = run("dpmpp_2m", model, noise, schedule, steps=12)
    return end.x


def noise_of(*seeds: int) -> Tensor:
    dice = [torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.stack([torch.randn(4, 16, 16, generator=one) for one in dice])


# %% slide="sub"
sentence, places = ["a big red star above a blue boat"], dit.pos_embed.pos_embed
table = position_table(256, 8, 8)                               # (64, 256)
order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
fine = draw(dit, sentence, noise_of(3))                         # (1, 4, 16, 16)
places.copy_(torch.zeros_like(table))
nowhere = draw(dit, sentence, noise_of(3))
places.copy_(table[order])
shuffled = draw(dit, sentence, noise_of(3))
places.copy_(table)                                             # as it was

seats = rearrange(shuffled, "b c (h p) (w q) -> b (h w) (p q c)", p=2, q=2)
back = put_together(seats[:, order.argsort()], 8, 8, 2)         # (1, 4, 16, 16)
titles = ["positions", "no positions", "shuffled", "put back"]
show(pipe.pixels(torch.cat([fine, nowhere, shuffled, back])), titles)

# %% [markdown] lang="en"
# The shuffled drawing is a jigsaw, and the last picture is its solution. (It differs a little from the first, because each
# place got another piece of the noise.) So a token knows its place *only* from the vector that we added.
# %% [markdown] lang="vi" of="39304a32"
# Bức bị xáo là một trò ghép hình, và bức cuối là lời giải. (Nó hơi khác bức đầu, vì mỗi chỗ nhận một mảnh nhiễu khác.) Vậy
# token biết chỗ của mình *chỉ* nhờ vector mà ta cộng vào.

# %% [markdown] lang="en" slide="slide"
# ## 3. The time turns the knobs: adaLN-zero
#
# The U-Net added the time to its channels. DiT lets it **scale, shift and gate** them. By hand, the token $(1, 3)$:
#
# - LayerNorm: mean 2, standard deviation 1, so $(-1, 1)$;
# - the time says scale $(1, 0)$ and shift $(0, 5)$: times $1 +$ scale, plus shift, makes $(-2, 6)$.
#
# $$\text{adaLN}(x) = \text{LayerNorm}(x)\,(1 + \text{scale}) + \text{shift}$$
#
# One scale and one shift for each channel, the same for all tokens: the time is the same everywhere in the picture.
# %% [markdown] lang="vi" of="b7ce34ef"
# ## 3. Thời gian vặn các núm: adaLN-zero
#
# U-Net cộng thời gian vào các kênh. DiT để thời gian **nhân, dịch và mở cổng** cho các kênh. Tính tay với token $(1, 3)$:
#
# - LayerNorm: trung bình 2, độ lệch chuẩn (standard deviation) 1, được $(-1, 1)$;
# - thời gian cho scale $(1, 0)$ và shift $(0, 5)$: nhân với $1 +$ scale rồi cộng shift, được $(-2, 6)$.
#
# $$\text{adaLN}(x) = \text{LayerNorm}(x)\,(1 + \text{scale}) + \text{shift}$$
#
# Mỗi kênh một scale và một shift, chung cho mọi token: ở đâu trong tranh thì thời gian cũng như nhau.

# %%
from minidiff.models.dit import modulated_norm


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x (B, N, D); shift and scale (B or 1, 1, D)."""
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


token = torch.tensor([[[1.0, 3.0]]])                            # (1, 1, 2)
shift, scale = torch.tensor([[[0.0, 5.0]]]), torch.tensor([[[1.0, 0.0]]])
by_hand = modulate(token, shift, scale)                         # (1, 1, 2)
print(by_hand)
torch.testing.assert_close(modulated_norm(token, shift, scale), by_hand)

# %% [markdown] lang="en" slide="sub"
# A third vector, the **gate**, says how much of a layer's result is added at all:
#
# $$x \leftarrow x + \text{gate}\cdot f\big(\text{adaLN}(x)\big)$$
#
# $f$ is self-attention, then the MLP: six vectors a block. **Zero** means that all gates start at 0. Then every block starts as
# the *identity*, however deep the network is, and learns to do something only where that lowers the loss (Peebles & Xie 2023,
# section 3.2). In our block, cross-attention has no gate; its output layer starts at 0 instead. So does the network's last
# layer.
# %% [markdown] lang="vi" of="c22d0c50"
# Vector thứ ba, **gate** (cổng), quyết định kết quả của một lớp được cộng vào bao nhiêu:
#
# $$x \leftarrow x + \text{gate}\cdot f\big(\text{adaLN}(x)\big)$$
#
# $f$ là tự chú ý (self-attention), rồi đến MLP: mỗi khối sáu vector. **Zero** nghĩa là mọi cổng khởi đầu bằng 0. Khi đó khối
# nào cũng khởi đầu là *phép đồng nhất*, dù mạng sâu bao nhiêu, và chỉ học làm gì đó ở nơi việc ấy làm giảm hàm mất mát (loss)
# (Peebles & Xie 2023, mục 3.2). Trong khối của ta, chú ý chéo không có cổng; thay vào đó, lớp ra của nó khởi đầu bằng 0. Lớp
# cuối của cả mạng cũng vậy.

# %%
from minidiff.models.dit import DiT

torch.manual_seed(0)
fresh = DiT(dit.config)                                         # untrained
words, mask = pipe.encode(sentence)                             # (1, L, 256), (1, L)
with torch.inference_mode():
    clock, _ = fresh.adaln_single(torch.tensor([500.0]))        # (1, 6, 256)
    caption = fresh.caption_projection(words)                   # (1, L, 256)
    before = after = fresh.pos_embed(latent)                    # (1, 64, 256)
    for block in fresh.transformer_blocks:
        after = block(after, clock, caption, None)
    prediction = fresh(latent, torch.tensor([500.0]), words, mask)
assert torch.equal(after, before)                               # 8 blocks, no change
print("largest number predicted:", float(prediction.abs().max()))

# %% [markdown] lang="en" role="think"
# The untrained network predicts 0 everywhere. Its target is $v = \alpha\,\epsilon - \sigma\,x_0$, with latents of variance
# about 1. What is its first loss?
# ---
# The mean of $v^2$. Noise and latent are independent, so it is $\alpha^2\cdot 1 + \sigma^2\cdot 1 = 1$. A first loss far from 1
# is a bug, and you know it after one step.
# %% [markdown] lang="vi" of="4928c431"
# Mạng chưa huấn luyện dự đoán 0 ở mọi nơi. Mục tiêu của nó là $v = \alpha\,\epsilon - \sigma\,x_0$, và phương sai của latent
# xấp xỉ 1. Giá trị đầu tiên của hàm mất mát là bao nhiêu?
# ---
# Là trung bình của $v^2$. Nhiễu và latent độc lập với nhau, nên nó bằng $\alpha^2\cdot 1 + \sigma^2\cdot 1 = 1$. Giá trị đầu
# tiên khác xa 1 nghĩa là có lỗi, và chỉ sau một bước bạn đã biết.

# %% [markdown] lang="en" slide="sub"
# Who computes the six vectors? The time goes through the clock of lesson 01 (256 sines and cosines) and an MLP. Then:
#
# - **DiT**: a linear layer from $D$ to $6D$ in *every* block.
# - **PixArt-α**: *one* such layer for the whole network, and in each block a table of $6 \times D$ numbers that is added
#   (**adaLN-single**; Chen et al. 2023, section 2.3). Our DiT does this.
#
# In DiT-XL/2, the largest of the paper (28 blocks, $D = 1152$), these layers have $28\cdot 6\cdot 1152^2\approx 223$ million
# weights. A single one has 8 million.
#
# In the code, `zero` sets a layer to 0, and the names are those of the shipped weights.
# %% [markdown] lang="vi" of="dd4b3ae9"
# Ai tính sáu vector ấy? Thời gian đi qua chiếc đồng hồ của bài 01 (256 giá trị sin và cos) và một MLP. Sau đó:
#
# - **DiT**: *mỗi* khối một lớp tuyến tính từ $D$ lên $6D$.
# - **PixArt-α**: *một* lớp như thế cho cả mạng, và mỗi khối có một bảng $6 \times D$ số được cộng vào (**adaLN-single**; Chen
#   và cộng sự 2023, mục 2.3). DiT của ta làm theo cách này.
#
# Trong DiT-XL/2, cỡ lớn nhất của bài báo (28 khối, $D = 1152$), các lớp ấy có $28\cdot 6\cdot 1152^2\approx 223$ triệu trọng
# số. Một lớp duy nhất có 8 triệu.
#
# Trong đoạn mã, `zero` đặt một lớp bằng 0, còn các tên là tên của trọng số có sẵn.

# %%
from functools import partial

from minidiff.nn.embeddings import TimestepEmbedding, timestep_embedding


def zero(layer: nn.Linear) -> nn.Linear:
    for part in layer.parameters():
        nn.init.zeros_(part)
    return layer


class MyTime(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.clock = partial(timestep_embedding, dim=256)
        self.emb = nn.ModuleDict({"timestep_embedder": TimestepEmbedding(256, width)})
        self.linear = zero(nn.Linear(width, 6 * width))

    def forward(self, timestep):
        embedded = self.emb["timestep_embedder"](self.clock(timestep))  # (B, D)
        return embedded, self.linear(F.silu(embedded)).unflatten(1, (6, -1))

# %% [markdown] lang="en" slide="slide"
# ## 4. The whole DiT, yours
#
# Now we write the rest. First attention: lesson 07's heads, for self-attention and cross-attention alike. `bias` is 0 for words
# and $-10000$ for padding, and is added to the logits, the numbers that go into the softmax.
# %% [markdown] lang="vi" of="1a8acc80"
# ## 4. Trọn vẹn DiT, do bạn viết
#
# Giờ ta viết phần còn lại. Đầu tiên là cơ chế chú ý: các đầu của bài 07, dùng cho cả tự chú ý lẫn chú ý chéo. `bias` bằng 0 ở
# chỗ có chữ và $-10000$ ở phần đệm, được cộng vào các logit, tức là những số đi vào softmax.

# %%
from minidiff.nn.attention import merge_heads, split_heads
from minidiff.nn.blocks import FeedForward


class MyAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x, context=None, bias=0.0):
        context = x if context is None else context             # self-attention
        q = split_heads(self.to_q(x), self.heads)               # (B, heads, N, d)
        k = split_heads(self.to_k(context), self.heads)         # (B, heads, L, d)
        v = split_heads(self.to_v(context), self.heads)         # (B, heads, L, d)
        logits = q @ k.mT / q.shape[-1] ** 0.5 + bias           # (B, heads, N, L)
        return self.to_out[0](merge_heads(logits.softmax(dim=-1) @ v))


# %% [markdown] lang="en"
# The block has three steps: look round the picture (self-attention), look at the words (cross-attention), think alone (an MLP
# on each token; `FeedForward` is two linear layers with a GELU between them). The block's table is added to the time's six
# vectors.
# %% [markdown] lang="vi" of="d36f6e97"
# Khối gồm ba bước: nhìn quanh bức tranh (tự chú ý), nhìn vào câu chữ (chú ý chéo), rồi tự nghĩ (MLP trên từng token;
# `FeedForward` là hai lớp tuyến tính với GELU ở giữa). Bảng của khối được cộng với sáu vector của thời gian.

# %%
class MyBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.scale_shift_table = nn.Parameter(torch.zeros(6, width))
        self.attn1, self.attn2 = MyAttention(width, heads), MyAttention(width, heads)
        zero(self.attn2.to_out[0])
        self.ff = FeedForward(width, 4 * width)

    def forward(self, x, time, caption, bias):
        six = (self.scale_shift_table + time).unsqueeze(2)      # (B, 6, 1, D)
        shift, scale, gate, shift2, scale2, gate2 = six.unbind(1)   # (B, 1, D) each
        x = x + gate * self.attn1(modulate(x, shift, scale))    # (B, N, D)
        x = x + self.attn2(x, caption, bias)                    # (B, N, D)
        return x + gate2 * self.ff(modulate(x, shift2, scale2))


# %% [markdown] lang="en"
# Now the whole network, and first its parts. `CaptionProjection`, two linear layers again, takes the text tower's vectors to
# the width $D$. Then comes the forward pass.
# %% [markdown] lang="vi" of="a39466f0"
# Giờ đến toàn bộ mạng, trước hết là các bộ phận. `CaptionProjection`, cũng là hai lớp tuyến tính, đưa các vector của tháp văn
# bản về bề rộng $D$. Rồi đến lượt tính (forward).

# %%
from minidiff.models.dit import CaptionProjection, DiTConfig


class Parts(nn.Module):
    def __init__(self, c: DiTConfig) -> None:
        super().__init__()
        width, p, side = c.hidden_size, c.patch_size, c.sample_size // c.patch_size
        proj = PatchProjection(c.in_channels, width, p)
        self.pos_embed = nn.ModuleDict({"proj": proj})
        self.register_buffer("places", position_table(width, side, side), False)
        self.adaln_single = MyTime(width)
        self.caption_projection = CaptionProjection(c.caption_channels, width)
        blocks = [MyBlock(width, c.heads) for _ in range(c.depth)]
        self.transformer_blocks = nn.ModuleList(blocks)
        self.scale_shift_table = nn.Parameter(torch.zeros(2, width))
        self.proj_out = zero(nn.Linear(width, p * p * c.in_channels))
        self.put_together = partial(put_together, rows=side, columns=side, p=p)


# %%
class MyDiT(Parts):
    def forward(self, x, timestep, context, mask):
        embedded, time = self.adaln_single(timestep)            # (B, D), (B, 6, D)
        caption = self.caption_projection(context)              # (B, L, D)
        bias = torch.where(mask, 0.0, -10000.0)[:, None, None]  # (B, 1, 1, L)
        tokens = self.pos_embed["proj"](x) + self.places        # (B, N, D)
        for block in self.transformer_blocks:
            tokens = block(tokens, time, caption, bias)
        two = (self.scale_shift_table + embedded[:, None]).unsqueeze(2)
        out = self.proj_out(modulate(tokens, *two.unbind(1)))   # (B, N, p p C)
        return self.put_together(out)                           # (B, C, H, W)


# %% [markdown] lang="en" role="think"
# The shipped weights go in with `strict=True`: every name and every shape must fit, none missing, none left over. Does that
# prove that our network computes the same?
# ---
# No. Swap `gate` and `scale`, or forget a division, and all names still fit. Only numbers prove it: we compare the predictions,
# and then the pictures after 12 steps, in which small differences could grow.
# %% [markdown] lang="vi" of="afe9f81d"
# Trọng số có sẵn được nạp với `strict=True`: mọi tên và mọi kích thước phải khớp, không thiếu, không thừa. Điều đó có chứng tỏ
# mạng của ta tính ra cùng kết quả không?
# ---
# Không. Đổi chỗ `gate` với `scale`, hay quên một phép chia, thì mọi tên vẫn khớp. Chỉ con số mới chứng tỏ được: ta so các dự
# đoán, rồi so các bức tranh sau 12 bước, nơi sai khác nhỏ có thể lớn dần.

# %% slide="sub"
from minidiff.data.world.compositions import held_out

prompts = ["a big yellow house in the middle at night"]
prompts += ["một con mèo vàng lớn ở giữa trên đồng cỏ"]
assert held_out("house yellow") and held_out("cat yellow")      # never seen in training
mine = MyDiT(dit.config).eval()
print(mine.load_state_dict(dit.state_dict(), strict=True))

start, (words, mask) = noise_of(1, 2), pipe.encode(prompts)     # (2, 4, 16, 16)
with torch.inference_mode():
    half = torch.tensor([500.0, 500.0])                         # (B,)
    ours, library = mine(start, half, words, mask), dit(start, half, words, mask)
torch.testing.assert_close(ours, library, rtol=0, atol=1e-5)
both = [pipe.pixels(draw(network, prompts, start)) for network in (mine, dit)]
torch.testing.assert_close(*both, rtol=0, atol=1e-5)            # -1..1
show(torch.cat(both), ["mine, en", "mine, vi", "library, en", "library, vi"])

# %% [markdown] lang="en"
# A yellow house and a yellow cat, which training never showed, drawn by a network of which you know every line. The two on the
# right are the library's, and no number differs by more than 0.00001.
# %% [markdown] lang="vi" of="eef1ea56"
# Ngôi nhà vàng và con mèo vàng chưa từng xuất hiện khi huấn luyện, nay do một mạng mà bạn hiểu từng dòng vẽ ra. Hai bức bên
# phải là của thư viện, và không số nào lệch quá 0.00001.

# %% [markdown] lang="en" slide="slide"
# ## 5. Wire the whole
#
# Five parts, each from its own lesson. Say the shapes aloud:
#
# 1. text tower (06): prompts and as many empty ones → (2B, L, 256) and a mask (2B, L)
# 2. DiT (09): x (2B, 4, 16, 16), timestep (2B,) → $v$ (2B, 4, 16, 16)
# 3. guidance (05): two halves → one $v$ (B, 4, 16, 16)
# 4. sampler (04): noise → latent (B, 4, 16, 16), here DDIM by hand
# 5. VAE (08): times deviation, plus mean, decode → pixels (B, 3, 128, 128)
# %% [markdown] lang="vi" of="0d17ccf0"
# ## 5. Nối tất cả lại
#
# Năm bộ phận, mỗi bộ phận từ một bài. Hãy đọc to các kích thước:
#
# 1. tháp văn bản (06): các prompt và bấy nhiêu prompt rỗng → (2B, L, 256) và mặt nạ (mask) (2B, L)
# 2. DiT (09): x (2B, 4, 16, 16), bước thời gian (timestep) (2B,) → $v$ (2B, 4, 16, 16)
# 3. dẫn hướng (05): hai nửa → một $v$ (B, 4, 16, 16)
# 4. bộ lấy mẫu (04): nhiễu → latent (B, 4, 16, 16), ở đây là DDIM viết tay
# 5. VAE (08): nhân độ lệch, cộng trung bình, giải mã → điểm ảnh (pixel) (B, 3, 128, 128)

# %%
@torch.no_grad()
def text_to_image(prompts, noise, steps=16, scale=3.0):
    ids, mask = pipe.tokenizer.encode([*prompts, *[""] * len(prompts)])     # (2B, L)
    words = pipe.words.tower(ids, mask).sequence                # (2B, L, 256)
    x, times = noise, torch.linspace(1, 0, steps + 1)           # cosine: 1 is all noise
    for t, s in zip(times[:-1], times[1:], strict=True):
        timestep = (1000 * t).expand(len(words))                # (2B,)
        v, v_empty = mine(torch.cat([x, x]), timestep, words, mask).chunk(2)
        v = v_empty + scale * (v - v_empty)                     # guidance
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        x0, eps = alpha * x - sigma * v, sigma * x + alpha * v  # lesson 03
        x = schedule.alpha(s) * x0 + schedule.sigma(s) * eps    # DDIM, lesson 04
    return pipe.vae.decode(x * pipe.latent_std + pipe.latent_mean)  # lesson 08


# %% slide="sub"
wishes = [*prompts, "a big white heart above a small black car by day"]
wishes += ["a big pink umbrella on the left by the sea"]
wishes += ["ba bông hoa đỏ nhỏ trên đồng cỏ"]
wishes += ["con cá đen lớn bên trái ngôi sao vàng trên biển"]
show(text_to_image(wishes, noise_of(1, 2, 3, 4, 1, 1)), columns=6)
for wish in wishes:
    print(wish)

# %% [markdown] lang="en"
# Compare each picture with its line, from left to right; training has seen no yellow cat, white heart, pink umbrella or black
# fish. A small model still makes mistakes with several things, and one picture per sentence is no measurement. But the whole
# way from words to pixels stands in one cell, and you know every part of it.
# %% [markdown] lang="vi" of="50f4038d"
# So từng bức với dòng của nó, từ trái sang phải; khi huấn luyện chưa từng có mèo vàng, trái tim trắng, ô hồng hay cá đen. Khi
# có nhiều vật, một mô hình nhỏ vẫn còn nhầm, và mỗi câu một bức thì chưa phải là phép đo. Nhưng cả con đường từ chữ đến điểm
# ảnh nằm trong một ô mã, và bạn biết mọi bộ phận của nó.

# %% [markdown] lang="en" slide="slide"
# ## 6. What does each part buy?
#
# Change one part at a time, train again with the same data, seed and steps, and look at the loss on scenes that were held back.
# The task is small: one thing, 4 kinds, 4 colours, left or right, three settings, such as "a big green house on the left side
# by day"; 64 pixels, so the latents are 8 × 8 × 4.
# %% [markdown] lang="vi" of="40ccb953"
# ## 6. Mỗi bộ phận mang lại gì?
#
# Mỗi lần đổi một bộ phận, huấn luyện lại với cùng dữ liệu, cùng seed, cùng số bước, rồi xem hàm mất mát trên các cảnh đã để
# riêng. Bài toán nhỏ thôi: một vật, 4 loại, 4 màu, trái hoặc phải, ba bối cảnh, chẳng hạn "a big green house on the left side
# by day" (ngôi nhà lớn màu lục ở bên trái, ban ngày); ảnh 64 × 64, nên latent là 8 × 8 × 4.

# %%
import random
import time

from minidiff.data.world.captions import phrase
from minidiff.data.world.rendering import render
from minidiff.data.world.scenes import Group, Scene
from minidiff.utils.images import to_tensor

device = "cuda" if torch.cuda.is_available() else "cpu"
sizes = {"cpu": (640, 200, 32, 64, 3), "cuda": (4096, 3000, 128, 192, 6)}
scenes, steps, B, width, depth = sizes[device]                  # more on a GPU
print(f"on {device}: {scenes} scenes, {steps} steps of {B}, {depth} blocks of {width}")

# %%
dice, world = random.Random(0), []
for number in range(scenes):
    kind = dice.choice(["circle", "star", "heart", "house"])
    colour = dice.choice(["red", "blue", "yellow", "green"])
    thing = Group(kind, colour, "big", 1, dice.choice(["left", "right"]))
    world.append(Scene(dice.choice(["plain", "day", "night"]), (thing,), None, number))
pixels = to_tensor([render(scene, 64).image for scene in world])    # (640, 3, 64, 64)
with torch.no_grad():
    means = torch.cat([pipe.vae.encode(some)[0] for some in pixels.split(64)])
latents = ((means - pipe.latent_mean) / pipe.latent_std).to(device)     # (640, 4, 8, 8)

encoded = pipe.encode([phrase(scene, "en", dice) for scene in world])
words, mask = (part.clone().to(device) for part in encoded)     # (640, L, 256)
show(pixels[:8])

# %% [markdown] lang="en" role="think"
# **Predict** which of four changes hurts most, and which least. **no positions**: the table is 0. **gates 1**: gates start at
# 1, and no output layer starts at 0. **no words**: the caption's vectors are 0. **patch 4**: 4 tokens in place of 16.
# ---
# The table below answers. A loss near 1 would mean that nothing was learnt.
# %% [markdown] lang="vi" of="0a9fd59c"
# **Đoán** xem trong bốn thay đổi sau, cái nào hại nhất, cái nào ít hại nhất. **no positions**: bảng vị trí bằng 0. **gates 1**:
# các cổng khởi đầu bằng 1, và không lớp ra nào khởi đầu bằng 0. **no words**: các vector của câu bằng 0. **patch 4**: 4 token
# thay cho 16.
# ---
# Bảng bên dưới sẽ trả lời. Hàm mất mát gần 1 nghĩa là mạng chưa học được gì.

# %%
def variant(name: str) -> MyDiT:
    torch.manual_seed(0)
    p = 4 if name == "patch 4" else 2
    small = {"sample_size": 8, "hidden_size": width, "depth": depth, "heads": 4}
    model = MyDiT(DiTConfig(patch_size=p, **small))
    if name == "no positions":
        model.places.zero_()
    if name == "gates 1":
        model.proj_out.reset_parameters()                       # PyTorch's random start
        for block in model.transformer_blocks:
            block.attn2.to_out[0].reset_parameters()
            block.scale_shift_table.data[[2, 5]] = 1            # the two gates
    return model.to(device)


# %%
def loss_of(model: MyDiT, name: str, chosen: Tensor, seed: int) -> Tensor:
    dice = torch.Generator().manual_seed(seed)
    context = words[chosen] * (name != "no words")              # (B, L, 256)
    x0, t = latents[chosen], torch.rand(len(chosen), generator=dice).to(device)
    eps = torch.randn(x0.shape, generator=dice).to(device)      # (B, 4, 8, 8)
    v = target(schedule, "v", x0, eps, t)
    out = model(schedule.mix(x0, eps, t), 1000 * t, context, mask[chosen])
    return (out - v).square().mean()


# %%
def fit(model: MyDiT, name: str, steps: int, rate: float = 3e-3) -> list[float]:
    dice, curve = torch.Generator().manual_seed(0), []
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    fall = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 1 - k / steps)
    for step in range(steps):
        chosen = torch.randint(scenes - 128, (B,), generator=dice)  # 128 are held out
        loss = loss_of(model, name, chosen, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        fall.step()
        curve.append(float(loss.detach()))
    return curve


# %%
names = ["whole", "no positions", "gates 1", "no words", "patch 4"]
curves, test = {}, torch.arange(scenes - 128, scenes)
print("held-out loss   minutes")
for name in names:
    begun, model = time.process_time(), variant(name)
    curves[name] = fit(model, name, steps)
    spent = (time.process_time() - begun) / 60
    with torch.no_grad():
        end = [loss_of(model, name, test, 10**6 + k) for k in range(4)]
    print(f"{float(torch.stack(end).mean()):13.3f}   {spent:7.2f}   {name}")

# %% slide="sub"
smooth = {k: torch.tensor(c).unfold(0, 20, 5).mean(1) for k, c in curves.items()}
at = torch.arange(len(smooth["whole"])) * 5 + 10
lines({k: (at, c) for k, c in smooth.items()}, x="step", y="training loss")

# %% [markdown] lang="en"
# In our run on a CPU, **no positions** costs most: a token knows neither where it is nor which tokens are its neighbours. **No
# words** doesn't know what to draw; **patch 4** draws with a coarse brush (and is the cheapest to train). **Gates 1** starts
# higher and is still behind at the end.
#
# This is one seed, a tiny network and few steps. Small differences could turn with another seed.
# %% [markdown] lang="vi" of="aa16de6e"
# Trong lần chạy của chúng tôi trên CPU, **no positions** hại nhất: một token không biết mình ở đâu, cũng không biết token nào ở
# cạnh mình. **No words** không biết phải vẽ gì; **patch 4** vẽ bằng một cây cọ quá to (bù lại, huấn luyện rẻ nhất). **Gates 1**
# khởi đầu cao hơn và đến cuối vẫn còn kém.
#
# Đây là một seed, một mạng tí hon và ít bước. Chênh lệch nhỏ có thể đảo chiều với một seed khác.

# %% [markdown] lang="en" slide="slide"
# ## 7. U-Net and DiT, side by side
#
# `world-unet` (lesson 07) and `world-dit` learnt the same world on the same latents. Each draws with its own text tower and its
# own guidance scale, from the same noise.
# %% [markdown] lang="vi" of="a4c6488c"
# ## 7. U-Net và DiT, đặt cạnh nhau
#
# `world-unet` (bài 07) và `world-dit` học cùng một thế giới, trên cùng loại latent. Mỗi mô hình vẽ với tháp văn bản và hệ số
# dẫn hướng của riêng nó, từ cùng một nhiễu.

# %% slide="sub"
asked = ["a blue fish", "a red house at night", "a green tree left of a white cat"]
asked += ["hai bông hoa hồng", "mặt trăng vàng phía trên chiếc thuyền"]
print(*asked, sep="\n")
sides = []
for name in ("world-unet", "world-dit"):
    model = load_pipeline(name, device="cpu", dtype="float32")
    w, count = model.guidance_scale, sum(p.numel() for p in model.network.parameters())
    *_, (_, x, _) = model.sample(asked, range(5), [""] * 5, steps=12, guidance_scale=w)
    print(f"{name:10} {count / 1e6:4.1f} M weights, scale {w}")
    sides.append(model.pixels(x))
show(torch.stack(sides))

# %% [markdown] lang="en"
# Above the U-Net, below the DiT, from the same noise. Five pictures don't say which is better; lesson 14 measures. What
# speaks for the DiT is its simplicity: one block, repeated. To make it bigger, change the width and the depth. Peebles & Xie
# (section 5) found that the more their DiTs computed, the better they drew.
# %% [markdown] lang="vi" of="12c0a4c1"
# Hàng trên là U-Net, hàng dưới là DiT, từ cùng một nhiễu. Năm bức tranh không cho biết mạng nào tốt hơn; bài 14 sẽ đo. Điều ủng
# hộ DiT là nó đơn giản: một khối, lặp lại. Muốn lớn hơn thì đổi bề rộng và số khối. Peebles & Xie (mục 5) thấy rằng các DiT của
# họ tính càng nhiều thì vẽ càng đẹp.

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 1: rows and columns swapped
#
# **Symptom.** No error, all shapes right, and the picture is a jumble of tiles. **Cause:** one pair of letters in *unpatchify*.
# `(w h)` for `(h w)` lays the tiles column by column; `(q p c)` for `(p q c)` mirrors each tile at its diagonal. No shape
# changes, so nothing crashes. **Fix:** test on the grid 0..15: cut, put together, compare.
# %% [markdown] lang="vi" of="cc296800"
# ## Cạm bẫy 1: đổi chỗ hàng và cột
#
# **Triệu chứng.** Không báo lỗi, mọi kích thước đều đúng, còn bức tranh là một mớ ô lộn xộn. **Nguyên nhân:** một cặp chữ cái
# trong *unpatchify*. Viết `(w h)` thay cho `(h w)` thì các ô được xếp theo cột; viết `(q p c)` thay cho `(p q c)` thì từng ô bị
# lật qua đường chéo. Không kích thước nào đổi, nên chương trình không dừng. **Cách chữa:** thử trên bảng 0..15: cắt ra, ghép
# lại, so sánh.

# %% slide="sub"
last = rearrange(fine, "b c (h p) (w q) -> b (h w) (p q c)", p=2, q=2)
once, always = [], []
for axes in ("(h w) (p q c)", "(w h) (p q c)", "(h w) (q p c)"):
    pattern = f"b {axes} -> b c (h p) (w q)"
    wrong = partial(rearrange, pattern=pattern, h=8, w=8, p=2, q=2)
    once.append(wrong(last))                                    # a finished latent
    mine.put_together = wrong                                   # in every step
    always.append(draw(mine, sentence, noise_of(3)))
mine.put_together = partial(put_together, rows=8, columns=8, p=2)
titles = ["right", "tiles swapped", "tiles turned"]
show(pipe.pixels(torch.cat(once + always)), titles, columns=3)

# %% [markdown] lang="en"
# Upper row: a finished latent, put together wrongly once. The scene lies on its side although each tile stands upright
# (middle), or all edges are frayed (right). Lower row: the mistake is in the network and acts in all 12 steps, as in a real
# program. Little more than confetti is left.
# %% [markdown] lang="vi" of="35135989"
# Hàng trên: một latent đã vẽ xong, bị ghép sai đúng một lần. Cảnh nằm nghiêng tuy từng ô vẫn đứng thẳng (giữa), hoặc mọi đường
# viền bị tưa ra (phải). Hàng dưới: lỗi nằm trong mạng, ở cả 12 bước, như trong một chương trình thật. Gần như
# chỉ còn lại một mớ giấy vụn.

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 2: gates that are not zero
#
# **Symptom.** The first loss is far above 1, and the first step makes it worse. **Cause:** some `init` ran over all
# layers and tables *after* the zeros were set. **Fix:** set the zeros last, and check two things before training: the blocks
# change nothing, and the prediction is 0.
# %% [markdown] lang="vi" of="5bb80a04"
# ## Cạm bẫy 2: cổng không bằng 0
#
# **Triệu chứng.** Giá trị đầu tiên của hàm mất mát cao hơn 1 nhiều, và bước đầu tiên còn làm nó tệ hơn. **Nguyên nhân:** một
# hàm khởi tạo chạy qua mọi lớp và mọi bảng *sau khi* đã đặt các số 0. **Cách chữa:** đặt các số 0 sau cùng, và trước khi huấn
# luyện hãy kiểm tra hai điều: các khối không đổi gì, và dự đoán bằng 0.

# %% slide="sub"
from minidiff.models.dit import initialise_layers

random_start = variant("whole")
initialise_layers(random_start)                                 # after the zeros
for part in (random_start, *random_start.transformer_blocks):
    nn.init.normal_(part.scale_shift_table)
starts = {"zero": variant("whole"), "random": random_start}
first = {name: fit(model, "whole", 30, 1e-2) for name, model in starts.items()}
for name, curve in first.items():
    print(f"{name:8} first loss {curve[0]:5.2f}, highest {max(curve):5.2f}")
lines(first, x="step", y="loss", log="y")

# %% [markdown] lang="en"
# From zero, the loss starts near 1 and falls, but for a small bump. With everything random, it starts several times higher, and
# the first step throws it further off. Such a small network still comes back; by then the other one is well ahead.
# %% [markdown] lang="vi" of="7db8e890"
# Khởi đầu bằng 0 thì giá trị của hàm mất mát bắt đầu gần 1 rồi giảm, chỉ nảy lên một chút. Khi mọi thứ ngẫu nhiên, nó bắt đầu
# cao gấp mấy lần, và bước đầu tiên còn hất nó đi xa hơn. Mạng nhỏ như thế này vẫn quay về được; đến lúc ấy mạng kia đã bỏ khá
# xa.

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 3: the wrong width of the time embedding
#
# **Symptom, if you are lucky:** a crash. We make 128 sines and cosines for an MLP that wants 256. The message says
# `2x128 and 256x256`: 2 rows of 128 numbers meet a layer with 256 inputs.
#
# **Fix:** make 256. It is tempting to make the number fit: pad with zeros, or cut a longer vector. The pictures show both.
# %% [markdown] lang="vi" of="e09a7668"
# ## Cạm bẫy 3: vector nhúng (embedding) của thời gian sai bề rộng
#
# **Triệu chứng, nếu bạn may mắn:** chương trình dừng. Ta tạo 128 giá trị sin, cos cho một MLP cần 256. Thông báo lỗi viết
# `2x128 and 256x256`: 2 hàng, mỗi hàng 128 số, gặp một lớp có 256 đầu vào.
#
# **Cách chữa:** tạo đủ 256 giá trị. Nhiều người muốn làm cho con số vừa khớp: thêm số 0 cho đủ, hoặc cắt bớt một vector dài
# hơn. Các bức tranh cho thấy cả hai cách.

# %% slide="sub"
mine.adaln_single.clock = partial(timestep_embedding, dim=128)
try:
    mine(start, half, *pipe.encode(prompts))                    # as in section 4
except RuntimeError as error:
    print(error)

clocks = {
    "256": partial(timestep_embedding, dim=256),
    "128, padded": lambda t: F.pad(timestep_embedding(t, 128), (0, 128)),
    "512, cut": lambda t: timestep_embedding(t, 512)[:, :256],
}
results = []
for mine.adaln_single.clock in clocks.values():
    results.append(draw(mine, sentence, noise_of(3)))
show(pipe.pixels(torch.cat(results)), [*clocks])
mine.adaln_single.clock = clocks["256"]

# %% [markdown] lang="en"
# Padded or cut, there is no error, only a spoilt picture: the network reads a time that doesn't exist, and takes away the wrong
# amount of noise. The more can still be made out, the worse: such a bug passes for a badly trained model.
# %% [markdown] lang="vi" of="bc6fb2c5"
# Thêm số 0 hay cắt bớt thì không báo lỗi, chỉ có bức tranh bị hỏng: mạng đọc một thời điểm không tồn tại và xóa sai lượng
# nhiễu. Càng còn nhận ra được nhiều thứ thì càng nguy hiểm: lỗi này dễ bị tưởng là do mô hình huấn luyện kém.

# %% [markdown] lang="en" slide="slide"
# ## Summary
#
# | what | formula or code | shapes |
# |---|---|---|
# | patchify | `b c (h p) (w q) -> b (h w) (c p q)` | (B, 4, 16, 16) → (B, 64, 16) |
# | into the network | a linear layer | (B, 64, 16) → (B, 64, 256) |
# | position | column sines and cosines, then the row's | (64, 256), added |
# | adaLN | $\text{LN}(x)(1 + \text{scale}) + \text{shift}$ | (B, N, D), two of (B, 1, D) |
# | gate | $x + \text{gate}\cdot f(\text{adaLN}(x))$, gate 0 at the start | (B, 1, D) |
# | adaLN-single | `table + linear(silu(time))` | (6, D) + (B, 6, D) |
# | block | self-attention, cross-attention, MLP | (B, N, D) → (B, N, D) |
# | unpatchify | `b (h w) (p q c) -> b c (h p) (w q)` | (B, 64, 16) → (B, 4, 16, 16) |
# %% [markdown] lang="vi" of="20ace8b8"
# ## Tóm tắt
#
# | cái gì | công thức hay mã | kích thước |
# |---|---|---|
# | cắt patch | `b c (h p) (w q) -> b (h w) (c p q)` | (B, 4, 16, 16) → (B, 64, 16) |
# | vào mạng | một lớp tuyến tính | (B, 64, 16) → (B, 64, 256) |
# | vị trí | sin, cos của cột, rồi của hàng | (64, 256), cộng vào |
# | adaLN | $\text{LN}(x)(1 + \text{scale}) + \text{shift}$ | (B, N, D), hai cái (B, 1, D) |
# | cổng (gate) | $x + \text{gate}\cdot f(\text{adaLN}(x))$, gate khởi đầu bằng 0 | (B, 1, D) |
# | adaLN-single | `table + linear(silu(time))` | (6, D) + (B, 6, D) |
# | khối | tự chú ý, chú ý chéo, MLP | (B, N, D) → (B, N, D) |
# | ghép patch | `b (h w) (p q c) -> b c (h p) (w q)` | (B, 64, 16) → (B, 4, 16, 16) |

# %% [markdown] lang="en"
# **You can now** write a DiT that takes published weights, prove it by its predictions, tell from a picture or from the first
# loss which part is broken, and wire five parts into a program that draws from words.
#
# **What still bothers:** every picture asked the network twelve to twenty times, and twice each time for guidance. Could it be
# four? Lesson 10 straightens the path from noise to picture.
#
# **Sources.** W. Peebles, S. Xie 2023, *Scalable diffusion models with transformers*, sections 3.2 and 5, table 1. J. Chen et
# al. 2023, *PixArt-α: fast training of diffusion transformer for photorealistic text-to-image synthesis*, section 2.3. A.
# Dosovitskiy et al. 2021, *An image is worth 16x16 words*, eq. 1. A. Vaswani et al. 2017, *Attention is all you need*, eq. 1
# and section 3.5. P. Esser et al. 2024, *Scaling rectified flow transformers for high-resolution image synthesis*, sections 4
# and 5.
# %% [markdown] lang="vi" of="7d68d80c"
# **Giờ bạn đã biết** viết một DiT nhận trọng số đã công bố, chứng minh nó đúng bằng các dự đoán, nhìn tranh hoặc giá trị đầu
# tiên của hàm mất mát mà biết bộ phận nào hỏng, và nối năm bộ phận thành một chương trình vẽ theo lời.
#
# **Điều còn vướng:** mỗi bức tranh phải hỏi mạng từ mười hai đến hai mươi lần, mỗi lần lại gấp đôi vì dẫn hướng. Bốn lần có
# được không? Bài 10 sẽ làm thẳng con đường từ nhiễu đến tranh.
#
# **Nguồn.** W. Peebles, S. Xie 2023, *Scalable diffusion models with transformers*, mục 3.2 và 5, bảng 1. J. Chen và cộng sự
# 2023, *PixArt-α: fast training of diffusion transformer for photorealistic text-to-image synthesis* (huấn luyện nhanh), mục
# 2.3. A. Dosovitskiy và cộng sự 2021, *An image is worth 16x16 words*, công thức 1. A. Vaswani và cộng sự 2017, *Attention is
# all you need* (chỉ cần chú ý), công thức 1 và mục 3.5. P. Esser và cộng sự 2024, *Scaling rectified flow transformers for
# high-resolution image synthesis*, mục 4 và 5.

# %% [markdown] lang="en" slide="slide"
# ## 8. Optional: the big ones, on the *meta* device
#
# A module on the device `meta` has shapes but no numbers, so the largest network fits into any laptop. PixArt-α is our
# `DiTConfig` with other numbers: width 1152, depth 28, heads 16, captions from T5 (4096 wide, up to 120 tokens). Like DiT it
# also predicts a variance, hence 8 output channels.
# %% [markdown] lang="vi" of="021fb36b"
# ## 8. Không bắt buộc (optional): các mô hình lớn, trên thiết bị *meta*
#
# Một module trên thiết bị `meta` có kích thước nhưng không có số, nên mạng lớn nhất cũng vừa mọi máy tính xách tay. PixArt-α
# chính là `DiTConfig` của ta với các con số khác: bề rộng 1152, sâu 28 khối, 16 đầu, câu mô tả từ T5 (rộng 4096, tối đa 120
# token). Giống DiT, nó còn dự đoán một phương sai (variance), vì thế có 8 kênh ra.

# %%
from minidiff.models.class_dit import ClassDiT, published_config

xl = {"hidden_size": 1152, "depth": 28, "heads": 16, "out_channels": 8}
with torch.device("meta"):
    pixart = DiT(DiTConfig(sample_size=32, caption_channels=4096, **xl))
    class_dit = ClassDiT(published_config("XL/2"))
for name, model in {"PixArt-α": pixart, "DiT-XL/2": class_dit, "ours": dit}.items():
    print(f"{name:9} {sum(w.numel() for w in model.parameters()) / 1e6:6.1f} M")

# %% [markdown] lang="en"
# DiT-XL/2 draws ImageNet classes and needs no words. PixArt-α adds cross-attention in every block, and yet is the smaller one.
# Cross-attention costs $28\cdot 4\cdot 1152^2\approx 149$ million weights; adaLN-single saves 215 million (section 3). The
# paper says 0.6 billion in all (Chen et al. 2023).
#
# **Stable Diffusion 3** keeps the skeleton. These lines of ours would change (Esser et al. 2024, sections 4 and 5):
#
# | our line | in SD3's MM-DiT |
# |---|---|
# | `self.attn2(x, caption, bias)` | gone: text tokens join the picture's in one attention over N + L |
# | `to_q`, `to_k`, `to_v` | two sets, one for each kind of token; heads then attend to all |
# | `caption` is the same in all blocks | changes in every block, with its own adaLN and MLP |
# | `table + time` | a linear layer in each block, for each kind of token |
# | `adaln_single(timestep)` | time plus a pooled vector of the caption, from two CLIPs |
# | `q @ k.mT` | q and k are normalised first (RMSNorm), which steadies training at high resolution |
# | 4 latent channels, target $v$ | 16 channels, target of rectified flow (lesson 10) |
# %% [markdown] lang="vi" of="d65dd215"
# DiT-XL/2 vẽ các lớp của ImageNet và không cần chữ. PixArt-α thêm chú ý chéo vào mọi khối mà lại nhỏ hơn. Chú ý chéo tốn
# $28\cdot 4\cdot 1152^2\approx 149$ triệu trọng số; adaLN-single tiết kiệm 215 triệu (mục 3). Bài báo viết tổng cộng 0.6 tỉ
# (Chen và cộng sự 2023).
#
# **Stable Diffusion 3** giữ nguyên bộ khung. Những dòng sau của ta sẽ đổi (Esser và cộng sự 2024, mục 4 và 5):
#
# | dòng của ta | trong MM-DiT của SD3 |
# |---|---|
# | `self.attn2(x, caption, bias)` | bỏ: token của câu nhập cùng token của tranh trong một lớp chú ý trên N + L token |
# | `to_q`, `to_k`, `to_v` | hai bộ, mỗi loại token một bộ; sau đó các đầu nhìn mọi token |
# | `caption` như nhau ở mọi khối | thay đổi qua từng khối, có adaLN và MLP riêng |
# | `table + time` | mỗi khối một lớp tuyến tính, cho từng loại token |
# | `adaln_single(timestep)` | thời gian cộng với vector gộp (pooled) của câu, từ hai CLIP |
# | `q @ k.mT` | q và k được chuẩn hóa (RMSNorm) trước, giúp huấn luyện ổn định ở độ phân giải cao |
# | 4 kênh latent, mục tiêu $v$ | 16 kênh, mục tiêu của rectified flow (bài 10) |

# %% [markdown] lang="en" only="exercise"
# # 09 Exercises: your parts inside the text-to-image model
#
# You write the parts of a DiT one after the other, and in the end you wire the whole system: words in, pictures out. `check`
# says what is right and what isn't. Then your part takes the place of the library's in the shipped model `world-dit` and draws:
# the upper row is drawn with the solution, the lower row with yours, and they must be the same.
#
# The next cell loads the model. `pictures()` draws two sentences with the network as it is at that moment. `model` holds the
# parts that you will wire in the last exercise.
# %% [markdown] lang="vi" of="41b8f225" only="exercise"
# # 09 Bài tập: các bộ phận của bạn trong mô hình vẽ tranh từ lời
#
# Bạn viết lần lượt các bộ phận của một DiT, và cuối cùng lắp cả hệ thống: lời đi vào, tranh đi ra. `check` cho biết chỗ nào
# đúng, chỗ nào chưa. Sau đó phần bạn viết thay chỗ phần của thư viện trong mô hình có sẵn `world-dit` và vẽ tranh: hàng trên vẽ
# bằng lời giải, hàng dưới vẽ bằng phần của bạn, và hai hàng phải giống nhau.
#
# Ô tiếp theo nạp mô hình. `pictures()` vẽ hai câu bằng mạng đúng như nó đang có vào lúc đó. `model` chứa các bộ phận mà bạn sẽ
# lắp lại ở bài cuối.

# %% only="exercise"
from collections.abc import Callable
from types import SimpleNamespace
from unittest.mock import patch

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from minidiff import load_pipeline
from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run
from minidiff.inference import Prepared
from minidiff.models import dit as dit_file
from minidiff.models.dit import Block
from minidiff.nn.attention import Attention, merge_heads, split_heads
from minidiff.nn.embeddings import PatchProjection
from minidiff.utils.plots import show

pipe = load_pipeline("world-dit", device="cpu", dtype="float32", batch=2)
pipe.fast_network = Prepared(pipe.network)          # the plain network, no shortcuts
embedding = pipe.network.pos_embed                  # patches to tokens with positions
prompts = ["a red star above a blue house",
           "một chiếc thuyền đỏ bên trái một chiếc ô tô xanh dương"]
unseen = ["a purple bird left of a green tree",     # training has no purple birds
          "một con mèo vàng bên phải một bông hoa đỏ"]  # and no yellow cats

model = SimpleNamespace(
    tokenizer=pipe.tokenizer,                       # encode(texts): ids, mask (B, L)
    text_encoder=pipe.words.tower,                  # (ids, mask).sequence: (B, L, D)
    network=pipe.network,                           # (x, timestep, context, mask)
    vae=pipe.vae,                                   # decode(latents): (B, 3, H, W)
    schedule=pipe.scheduler.schedule,
    prediction_type=pipe.prediction_type,
    latent_mean=pipe.latent_mean,                   # (1, C, 1, 1)
    latent_std=pipe.latent_std,                     # (1, C, 1, 1)
)


def pictures(*sentences: str) -> Tensor:
    """Two sentences, or the two prompts, drawn by the network as it is just now:
    (2, 3, 128, 128)."""
    texts, settings = sentences or prompts, {"steps": 8, "guidance_scale": 3.0}
    *_, (_, latents, _) = pipe.sample(texts, [1, 2], ["", ""], **settings)
    return pipe.pixels(latents)
