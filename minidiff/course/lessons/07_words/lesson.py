"""Lesson 07: words go into the U-Net by cross-attention, and a sentence is drawn by parts that are wired by hand."""

# %% [markdown] lang="en" slide="slide"
# # 07 Words in the U-Net
#
# A small network drew the picture on the left from one sentence. The other four show the same picture, lit up where the network
# looked at one word of that sentence. Nobody told the network where to look. How does a word find its place?
# %% [markdown] lang="vi" of="c74843e7"
# # 07 Lời văn đi vào U-Net
#
# Một mạng nhỏ đã vẽ bức tranh bên trái từ một câu tiếng Anh có nghĩa là "ngôi sao đỏ bên trái ngôi nhà xanh dương". Bốn bức còn
# lại là chính bức tranh ấy, chỗ sáng là nơi mạng nhìn vào một từ của câu. Không ai bảo mạng phải nhìn vào đâu. Vậy một từ tìm
# ra chỗ của nó bằng cách nào?

# %%
import torch
from torch import Tensor
from torch.testing import assert_close

from minidiff import load_pipeline
from minidiff.nn.attention_maps import record_attention, token_maps
from minidiff.utils.plots import heatmap, overlay

pipe = load_pipeline("world-unet", device="cpu", dtype="float32")
unet, tokenizer = pipe.network, pipe.tokenizer


def look(prompt: str, seed: int):
    """Tokens, attention maps and the x0 after each of 12 steps."""
    with record_attention(unet, "attn2") as maps:
        scale = pipe.guidance_scale
        states = pipe.sample([prompt], [seed], [""], steps=12, guidance_scale=scale)
        x0s = [x0 for _, _, x0 in states]
    return ["<bos>", *tokenizer.tokens(prompt), "<eos>"], maps, x0s


# %% slide="sub"
prompt = "a red star to the left of a blue house"
tokens, maps, x0s = look(prompt, seed=2)
picture = pipe.pixels(x0s[-1])                                  # (1, 3, 128, 128)
some = [tokens.index(word) for word in ("red", "star", "left", "house")]
lit = overlay(picture.expand(4, -1, -1, -1), token_maps(maps, 8, 8)[0, some])
show(torch.cat([picture, lit]), ["the picture", "red", "star", "left", "house"])

# %% [markdown] lang="en" role="notes"
# "red" is a colour, yet it lights up the star; "left" isn't a thing, yet it lights up something. Come back to both in section
# 5.
# %% [markdown] lang="vi" of="a85e9270"
# "red" (đỏ) là màu mà làm sáng ngôi sao; "left" (trái) không phải một vật mà cũng làm sáng một vùng. Quay lại cả hai ở mục 5.

# %% [markdown] lang="en"
# [[map]]
#
# **Aims.** You compute attention on paper and in tensors; you say which of Q, K and V come from the picture and which from the
# words; you read attention maps and know what they don't tell; you write sampling from prompt to latent; you recognise four
# classic bugs by their symptoms.
#
# **Time:** [[time]]. **You need:** lesson 02 (ancestral sampling), lesson 05 (guidance), lesson 06 (a vector for every token).
# Nothing is trained here; everything runs on a CPU.
#
# This U-Net draws no pixels but a **latent** of 4 × 16 × 16 numbers, and a decoder makes a 128 × 128 picture of it. Lesson 08
# explains the decoder.
# %% [markdown] lang="vi" of="9ef40495"
# [[map]]
#
# **Mục tiêu.** Bạn tính được cơ chế chú ý (attention) trên giấy và bằng tensor; nói được trong Q, K và V cái nào lấy từ tranh,
# cái nào lấy từ lời; đọc được bản đồ chú ý và biết nó không cho biết điều gì; viết được phép lấy mẫu từ prompt đến latent; nhận
# ra bốn lỗi kinh điển qua triệu chứng của chúng.
#
# **Thời gian:** [[time]]. **Cần biết:** bài 02 (lấy mẫu tổ tiên), bài 05 (dẫn hướng, guidance), bài 06 (mỗi token một vector).
# Bài này không huấn luyện gì, mọi thứ chạy trên CPU.
#
# U-Net này không vẽ điểm ảnh (pixel) mà vẽ một **latent** gồm 4 × 16 × 16 con số, rồi một bộ giải mã biến latent thành ảnh 128
# × 128. Bài 08 sẽ giải thích bộ giải mã.

# %% [markdown] lang="en" role="think"
# **Three quick questions** from earlier lessons.
#
# 1. (02) How many noises does ancestral sampling in $n$ steps need?
# 2. (05) Write classifier-free guidance with predictions $c$ (with condition) and $u$ (without). What happens at scale 1?
# 3. (06) The text tower gives `pooled` (B, D) and `sequence` (B, L, D). Which has a vector for each token?
# ---
# 1. $n$: the first is the start, then one is added after every step but the last.
# 2. $u + s\,(c - u)$. At $s = 1$ it is $c$: the weight of $u$ is 0.
# 3. `sequence`. Today the U-Net reads all its $L$ vectors.
# %% [markdown] lang="vi" of="6f0dbce1"
# **Ba câu hỏi nhanh** từ các bài trước.
#
# 1. (02) Lấy mẫu tổ tiên trong $n$ bước cần bao nhiêu nhiễu?
# 2. (05) Viết công thức dẫn hướng không cần bộ phân loại (classifier-free guidance) với dự đoán có điều kiện $c$ và không điều
#    kiện $u$. Ở hệ số 1 thì sao?
# 3. (06) Tháp văn bản cho `pooled` (B, D) và `sequence` (B, L, D). Cái nào có một vector cho mỗi token?
# ---
# 1. $n$: nhiễu đầu tiên là điểm xuất phát, sau đó mỗi bước thêm một nhiễu, trừ bước cuối.
# 2. $u + s\,(c - u)$. Ở $s = 1$ nó bằng $c$: trọng số của $u$ là 0.
# 3. `sequence`. Hôm nay U-Net đọc cả $L$ vector của nó.

# %% [markdown] lang="en" slide="slide"
# ## 1. By hand: one position asks two words
#
# Each position in the picture has a **query**, a vector that says what it is looking for. Each word has a **key**, which says
# what it can be asked about, and a **value**, which is its answer. On paper, with $d = 2$ numbers in each vector:
#
# - query $q=(2,0)$; keys $(1,0)$ for "red", $(0,1)$ for "house"; the **scores** are the dot products of $q$ with the keys: $2$
#   and $0$;
# - divided by $\sqrt d=1.414$: $1.414$ and $0$; **softmax** makes weights of them:
#   $\dfrac{e^{1.414}}{e^{1.414}+1}=\dfrac{4.11}{5.11}=0.804$, and $0.196$;
# - values $(10,0)$ and $(0,10)$; their **weighted mean**: $0.804\,(10,0)+0.196\,(0,10)=(8.04,\;1.96)$.
#
# The position receives mostly the answer of "red".
# %% [markdown] lang="vi" of="7b9e2b29"
# ## 1. Tính tay: một vị trí trong tranh hỏi hai từ
#
# Mỗi vị trí trong tranh có một **truy vấn (query)**: vector cho biết nó đang tìm gì. Mỗi từ có một **khóa (key)**, cho biết có
# thể hỏi từ ấy về điều gì, và một **giá trị (value)**, tức câu trả lời của từ ấy. Tính trên giấy, mỗi vector có $d = 2$ số:
#
# - truy vấn $q=(2,0)$; khóa $(1,0)$ cho "red" (đỏ), $(0,1)$ cho "house" (nhà); **điểm số** là tích vô hướng của $q$ với từng
#   khóa: $2$ và $0$;
# - chia cho $\sqrt d=1.414$: $1.414$ và $0$; **softmax** biến chúng thành trọng số:
#   $\dfrac{e^{1.414}}{e^{1.414}+1}=\dfrac{4.11}{5.11}=0.804$, và $0.196$;
# - giá trị $(10,0)$ và $(0,10)$; **trung bình có trọng số** của chúng: $0.804\,(10,0)+0.196\,(0,10)=(8.04,\;1.96)$.
#
# Vị trí ấy nhận được chủ yếu là câu trả lời của "red".

# %%
def attend_by_hand(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5     # (..., N, L)
    weights = scores.softmax(dim=-1)                                    # rows sum to 1
    return weights @ value                                              # (..., N, d)


query = torch.tensor([[2.0, 0.0]])                              # (N, d): one position
key = torch.tensor([[1.0, 0.0], [0.0, 1.0]])                    # (L, d): two words
value = torch.tensor([[10.0, 0.0], [0.0, 10.0]])                # (L, d)
print(attend_by_hand(query, key, value))

# %% [markdown] lang="en" slide="sub"
# $N$ positions ask $L$ words at once, in one matrix product:
#
# $$\text{attention}(Q,K,V)=\text{softmax}\!\left(\frac{QK^\top}{\sqrt d}\right)V$$
#
# $Q$ is $(N, d)$, $K$ and $V$ are $(L, d)$, the weights are $(N, L)$, the result is $(N, d)$: one answer for each position. The
# library's `attend` also takes a mask (section 3), records weights (section 5) and chooses the faster of two computations.
# %% [markdown] lang="vi" of="ccd46547"
# $N$ vị trí hỏi $L$ từ cùng một lúc, chỉ bằng một phép nhân ma trận:
#
# $$\text{attention}(Q,K,V)=\text{softmax}\!\left(\frac{QK^\top}{\sqrt d}\right)V$$
#
# $Q$ là $(N, d)$, $K$ và $V$ là $(L, d)$, các trọng số là $(N, L)$, kết quả là $(N, d)$: mỗi vị trí nhận một câu trả lời. Hàm
# `attend` của thư viện còn nhận mặt nạ (mục 3), ghi lại trọng số (mục 5) và chọn cách tính nhanh hơn trong hai cách.

# %%
from minidiff.nn.attention import attend

dice = torch.Generator().manual_seed(0)
query = torch.randn(1, 4, 64, 32, generator=dice)               # (B, h, N, d)
key, value = torch.randn(2, 1, 4, 12, 32, generator=dice)       # (B, h, L, d) each
assert_close(attend_by_hand(query, key, value), attend(query, key, value))
source(attend)

# %% [markdown] lang="en" slide="slide"
# ## 2. Why $\sqrt d$
#
# The division looks like a detail. Without it a network with a large $d$ hardly learns where to look.
# %% [markdown] lang="vi" of="0ad40873"
# ## 2. Vì sao có $\sqrt d$
#
# Phép chia trông như một chi tiết nhỏ. Nhưng nếu bỏ nó đi, mạng có $d$ lớn khó học được phải nhìn vào đâu.

# %% [markdown] lang="en" role="think"
# **Predict.** Queries and keys have $d$ random numbers with standard deviation 1. How does the standard deviation of their dot
# products change from $d=1$ to $d=256$, and what does softmax make of it?
# ---
# A dot product is a sum of $d$ independent terms of variance 1. Variances add, so the standard deviation is $\sqrt d$: 16 at
# $d=256$. With scores so far apart, softmax gives nearly everything to one word.
# %% [markdown] lang="vi" of="70c61390"
# **Đoán xem.** Các truy vấn và khóa gồm $d$ số ngẫu nhiên có độ lệch chuẩn (standard deviation) bằng 1. Độ lệch chuẩn của các
# tích vô hướng thay đổi ra sao từ $d=1$ đến $d=256$, và softmax biến chúng thành gì?
# ---
# Một tích vô hướng là tổng của $d$ số hạng độc lập có phương sai (variance) bằng 1. Phương sai thì cộng lại, nên độ lệch chuẩn
# là $\sqrt d$: bằng 16 khi $d=256$. Điểm số cách xa nhau như thế thì softmax dồn gần hết trọng số cho một từ.

# %%
dims, spread, top = [1, 4, 16, 64, 256], [], {"as they are": [], "divided by √d": []}
for d in dims:
    query = torch.randn(2000, 1, d, generator=dice)             # 2000 positions
    key = torch.randn(2000, 12, d, generator=dice)              # and 12 words for each
    scores = (query * key).sum(dim=-1)                          # (2000, 12)
    spread.append(float(scores.std()))
    for name, divisor in zip(top, (1, d**0.5), strict=True):
        largest = (scores / divisor).softmax(dim=-1).amax(dim=-1)       # (2000,)
        top[name].append(float(largest.mean()))

# %% slide="sub"
left, right = panels(2)
roots = [d**0.5 for d in dims]
curves = {"measured": (dims, spread), "√d": (dims, roots)}
lines(curves, left, "spread of the scores", "d", log="xy", marker="o")
curves = {name: (dims, values) for name, values in top.items()}
lines(curves, right, "mean weight of the top word", "d", log="x", marker="o")

# %% [markdown] lang="en"
# Left: the measured standard deviation lies on $\sqrt d$. Right: without the division, one of 12 words gets nearly all the
# weight at $d=256$. Then hardly any gradient flows: the slope of a weight $w$ in its own score is $w\,(1-w)$, close to 0 for
# $w$ near 0 or 1. With the division the largest weight is about the same at every $d$. (Vaswani et al. 2017, section 3.2.1.)
# %% [markdown] lang="vi" of="60cbc8e4"
# Trái: độ lệch chuẩn đo được nằm đúng trên $\sqrt d$. Phải: nếu không chia, ở $d=256$ một trong 12 từ nhận gần hết trọng số.
# Khi đó gần như không có gradient: độ dốc của trọng số $w$ theo điểm số của chính nó là $w\,(1-w)$, gần bằng 0 khi $w$ gần 0
# hoặc 1. Nếu chia thì trọng số lớn nhất gần như nhau với mọi $d$. (Vaswani và cộng sự 2017, mục 3.2.1.)

# %% [markdown] lang="en" slide="slide"
# ## 3. Cross-attention: the picture asks, the words answer
#
# In **cross-attention** a linear layer makes each of Q, K and V:
#
# - $Q$ from the **picture**: a feature map of the U-Net, (B, D, 8, 8), flattened to $x$ of shape (B, N, D), one vector for each
#   of $N=64$ positions;
# - $K$ **and** $V$ from the **words**: the context (B, L, 256), the `sequence` of a text tower like that of lesson 06.
#
# The result has the shape of $x$ and is folded back to (B, D, 8, 8).
# %% [markdown] lang="vi" of="42e66fec"
# ## 3. Chú ý chéo: tranh hỏi, lời trả lời
#
# Trong **chú ý chéo (cross-attention)**, mỗi thứ Q, K, V do một lớp tuyến tính tạo ra:
#
# - $Q$ lấy từ **tranh**: một bản đồ đặc trưng (feature map) của U-Net, (B, D, 8, 8), được trải phẳng thành $x$ kích thước (B,
#   N, D), mỗi vị trí trong $N=64$ vị trí một vector;
# - $K$ **và** $V$ lấy từ **lời**: ngữ cảnh (B, L, 256), tức `sequence` của một tháp văn bản như ở bài 06.
#
# Kết quả có kích thước của $x$ và được xếp lại thành (B, D, 8, 8).

# %%
def read(prompts: list[str]) -> tuple[Tensor, Tensor]:
    """Prompts to context (B, L, 256) and mask (B, L), True for tokens."""
    ids, mask = tokenizer.encode(prompts)                       # (B, L) both
    return pipe.words.tower(ids, mask).sequence, mask


context, mask = read([prompt])
layer = unet.up_blocks[1].attentions[1].transformer_blocks[0].attn2
x = torch.randn(1, 64, 128, generator=dice)                     # (B, N, D), N = 8 x 8
query, key, value = layer.to_q(x), layer.to_k(context), layer.to_v(context)
print("x", tuple(x.shape), "context", tuple(context.shape))
print("Q", tuple(query.shape), "K", tuple(key.shape), "V", tuple(value.shape))

# %% [markdown] lang="en" slide="sub"
# **Heads.** With one set of weights, each position can ask only one question. So the 128 numbers are split into $h=4$ **heads**
# of $d=32$; each head asks its own question, and the answers are joined again:
#
# (B, N, 128) → (B, N, 4, 32) → (B, 4, N, 32), weights (B, 4, N, L), and back.
#
# On paper, with 2 tokens of 4 numbers and 2 heads:
#
# $$\begin{pmatrix}0&1&2&3\\4&5&6&7\end{pmatrix}\;\to\;\text{head 0: }\begin{pmatrix}0&1\\4&5\end{pmatrix}\quad
# \text{head 1: }\begin{pmatrix}2&3\\6&7\end{pmatrix}$$
#
# Each head has all tokens, and a part of each token's numbers.
# %% [markdown] lang="vi" of="192aaca1"
# **Các đầu (head).** Với một bộ trọng số, mỗi vị trí chỉ hỏi được một câu. Vì thế 128 số được tách thành $h=4$ **đầu**, mỗi đầu
# $d=32$ số; mỗi đầu hỏi câu của riêng nó, rồi các câu trả lời được ghép lại:
#
# (B, N, 128) → (B, N, 4, 32) → (B, 4, N, 32), trọng số (B, 4, N, L), rồi ngược lại.
#
# Trên giấy, với 2 token gồm 4 số và 2 đầu:
#
# $$\begin{pmatrix}0&1&2&3\\4&5&6&7\end{pmatrix}\;\to\;\text{đầu 0: }\begin{pmatrix}0&1\\4&5\end{pmatrix}\quad
# \text{đầu 1: }\begin{pmatrix}2&3\\6&7\end{pmatrix}$$
#
# Đầu nào cũng có đủ các token, nhưng chỉ có một phần các số của mỗi token.

# %%
def split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)         # (B, h, L, d)


def merge(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)                         # (B, L, h d)


print(split(torch.arange(8).reshape(1, 2, 4), 2))
query, key, value = (split(tensor, layer.heads) for tensor in (query, key, value))
answer = layer.to_out[0](merge(attend_by_hand(query, key, value)))      # (B, N, D)
assert_close(answer, layer(x, context))
print("Q", tuple(query.shape), "K, V", tuple(key.shape), "answer", tuple(answer.shape))
source(type(layer))

# %% [markdown] lang="en" slide="sub"
# **The padding mask.** In a batch, shorter sentences are filled up with padding. It means nothing, but it has vectors too. The
# mask sets its scores to $-\infty$ before softmax; then its weight is $e^{-\infty}=0$, and the words share the whole 1. (The
# library adds −10 000, with the same effect.) On paper: scores $(1.414,\,0,\,3)$, the third is padding. Without the mask the
# weights are $0.16,\ 0.04,\ 0.80$; with it $0.804,\ 0.196,\ 0$.
# %% [markdown] lang="vi" of="071c0072"
# **Mặt nạ phần đệm (padding mask).** Trong một lô (batch), câu ngắn được thêm phần đệm. Phần đệm vô nghĩa nhưng cũng có vector.
# Mặt nạ đặt điểm số của nó thành $-\infty$ trước softmax; khi đó trọng số của nó là $e^{-\infty}=0$, và các từ chia nhau trọn
# vẹn 1. (Thư viện cộng thêm −10 000, hiệu quả cũng như vậy.) Trên giấy: điểm số $(1.414,\,0,\,3)$, số thứ ba là của phần đệm.
# Không có mặt nạ, trọng số là $0.16,\ 0.04,\ 0.80$; có mặt nạ là $0.804,\ 0.196,\ 0$.

# %% [markdown] lang="en" role="think"
# **Predict.** "a red star" goes through the U-Net twice with one noise: alone, and in a batch with a long sentence. Does its
# prediction change, with the mask and without?
# ---
# With the mask only rounding differs. Without it the positions look at the padding too, and the longest sentence of the batch
# decides how much there is. A test with a single prompt can't find this bug.
# %% [markdown] lang="vi" of="71ce6d8b"
# **Đoán xem.** "a red star" (ngôi sao đỏ) đi qua U-Net hai lần với cùng một nhiễu: một mình, và trong một lô cùng với một câu
# dài. Dự đoán cho nó có thay đổi không, khi có mặt nạ và khi không?
# ---
# Có mặt nạ thì chỉ khác nhau do làm tròn. Không có mặt nạ thì các vị trí nhìn cả phần đệm, mà phần đệm nhiều hay ít lại tùy vào
# câu dài nhất trong lô. Nếu chỉ thử với một prompt thì không thể phát hiện lỗi này.

# %%
scores, padding = torch.tensor([1.414, 0.0, 3.0]), torch.tensor([False, False, True])
print(scores.softmax(0), scores.masked_fill(padding, -torch.inf).softmax(0))

noise = torch.randn(1, *pipe.latent_shape, generator=dice).repeat(2, 1, 1, 1)
half = torch.tensor([500.0])                                    # t = 0.5
alone, in_pair = read(["a red star"]), read(["a red star", prompt])
for name in ("with mask", "without"):
    one, two = (mask if name == "with mask" else None for _, mask in (alone, in_pair))
    with torch.no_grad():
        first = unet(noise[:1], half, alone[0], one)            # (1, 4, 16, 16)
        second = unet(noise, half, in_pair[0], two)[:1]
    print(f"{name}: largest difference {(first - second).abs().max():.6f}")

# %% [markdown] lang="en" slide="slide"
# ## 4. Where cross-attention sits in the U-Net
#
# **Self-attention** is the same computation with `context = x`: positions ask positions. In this U-Net both come after a
# ResBlock, in the same order as in Stable Diffusion:
#
# ResBlock → self-attention → **cross-attention** → feed-forward network (FFN)
#
# The FFN is a small MLP on each position alone. Each of the last three gets $x$ normalised, and its result is added to $x$.
# %% [markdown] lang="vi" of="348eeb95"
# ## 4. Chú ý chéo nằm ở đâu trong U-Net
#
# **Tự chú ý (self-attention)** cũng là phép tính ấy với `context = x`: các vị trí hỏi lẫn nhau. Trong U-Net này, cả hai đứng
# sau một khối residual (ResBlock), theo đúng thứ tự của Stable Diffusion:
#
# ResBlock → tự chú ý → **chú ý chéo** → mạng truyền thẳng (feed-forward network, FFN)
#
# FFN là một MLP nhỏ, tính riêng cho từng vị trí. Mỗi phần trong ba phần sau nhận $x$ đã chuẩn hóa, và kết quả của nó được cộng
# vào $x$.

# %%
from minidiff.models.unet import TransformerBlock

block = unet.up_blocks[1].attentions[1].transformer_blocks[0]
assert_close(block.attn1(x), block.attn1(x, x))                 # self: context = x
source(TransformerBlock.forward)
for name, weights in maps[:7]:                                  # of the first step
    _, heads, places, length = weights.shape                    # (2B, h, N, L)
    name = name.split(".transformer")[0]
    print(f"{name:28} {heads} heads {places:3} positions {length} tokens")

# %% [markdown] lang="en"
# Seven layers look at the words. (`sample` has padded our 12 tokens to 16.) The finest level of the U-Net, 16 × 16, has none:
# words enter where there are 8 × 8 or 4 × 4 positions. A position of the 8 × 8 grid covers 16 × 16 pixels; finer details come
# from the ResBlocks and the skip connections.
# %% [markdown] lang="vi" of="89dc2256"
# Có bảy lớp nhìn vào lời. (`sample` đã đệm 12 token của ta thành 16.) Mức mịn nhất của U-Net, 16 × 16, không có lớp nào: lời
# đi vào ở những mức có 8 × 8 hoặc 4 × 4 vị trí. Một vị trí của lưới 8 × 8 phủ 16 × 16 điểm ảnh; các chi tiết nhỏ hơn là nhờ các
# khối residual và các kết nối tắt (skip connection).

# %% [markdown] lang="en" slide="slide"
# ## 5. What the attention maps show
#
# Each layer gives weights (B, h, N, L) at each step. `token_maps` takes their mean over layers, heads and steps, and returns an
# 8 × 8 map for every token: how much each position looked at it. At each position the weights of all tokens add up to 1.
#
# **Predict.** The tokens are the start mark `<bos>`, ten words and the end mark `<eos>`. Which light up the star, which the
# house, which the background? Guess for "to" and "of" as well.
# %% [markdown] lang="vi" of="91d89d92"
# ## 5. Bản đồ chú ý cho thấy gì
#
# Mỗi lớp, mỗi bước cho các trọng số (B, h, N, L). `token_maps` lấy trung bình của chúng theo lớp, đầu và bước, rồi trả về một
# bản đồ 8 × 8 cho mỗi token: mỗi vị trí nhìn token ấy nhiều hay ít. Tại mỗi vị trí, trọng số của mọi token có tổng bằng 1.
#
# **Đoán xem.** Các token gồm dấu mở đầu `<bos>`, mười từ và dấu kết thúc `<eos>`. Token nào làm sáng ngôi sao, token nào ngôi
# nhà, token nào nền? Hãy đoán cả cho "to" và "of".

# %% slide="sub"
def all_words(tokens: list[str], maps, picture: Tensor) -> None:
    looks = token_maps(maps, 8, 8)[0, : len(tokens)]            # (L, 8, 8)
    show(overlay(picture.expand(len(tokens), -1, -1, -1), looks), tokens, columns=6)


all_words(tokens, maps, picture)

# %% slide="sub"
vi_tokens, vi_maps, vi_x0s = look("ngôi sao đỏ bên trái ngôi nhà xanh dương", seed=2)
all_words(vi_tokens, vi_maps, pipe.pixels(vi_x0s[-1]))

# %% [markdown] lang="en"
# The second picture was drawn from the same sentence in Vietnamese. "red" and "star" look at the star, "blue" and "house" at
# the house; so do "đỏ" (red), "sao" (star) and "nhà" (house). "left" looks at the star and into the gap beside it. So do "to"
# and "of": the text tower, which reads in both directions, has mixed their neighbours into their vectors. `<bos>`, the first
# word and `<eos>` light up the background **around** the things.
#
# No map was a target in training, but an extra loss (`minidiff/train/world_losses.py`) asked the network's inner vectors which
# thing covers their position. Stable Diffusion had no such help, and its maps find their things as well (Tang et al. 2023).
# %% [markdown] lang="vi" of="aeb4cb34"
# Bức thứ hai được vẽ từ chính câu ấy bằng tiếng Việt. "red" (đỏ) và "star" (sao) nhìn ngôi sao, "blue" (xanh dương) và "house"
# (nhà) nhìn ngôi nhà; "đỏ", "sao", "nhà" cũng vậy. "left" (trái) nhìn ngôi sao và khoảng trống bên cạnh. "to" và "of" cũng thế:
# tháp văn bản, vốn đọc theo cả hai chiều, đã trộn các từ lân cận vào vector của chúng. `<bos>`, từ đầu tiên và `<eos>` làm sáng
# nền **xung quanh** các vật.
#
# Khi huấn luyện, không bản đồ nào được dùng làm đích, nhưng một hàm mất mát (loss) phụ (`minidiff/train/world_losses.py`) có
# hỏi các vector bên trong mạng xem vật nào nằm ở vị trí của chúng. Stable Diffusion không được giúp như thế mà bản đồ của nó
# vẫn tìm ra vật (Tang và cộng sự 2023).

# %% slide="sub"
rows, shares = [], []
for k in range(7):                                              # the seven layers
    mine = maps[k::7]                                           # of all 12 steps
    shares.append(token_maps(mine, 8, 8)[0, : len(tokens)].mean(dim=(1, 2)))    # (L,)
    rows.append(mine[0].name.split(".transformer")[0].replace(".attentions", ""))
heatmap(torch.stack(shares), rows, tokens, title="mean weight", vmin=0, vmax=1)

# %% [markdown] lang="en"
# Each map above was stretched to the full range of brightness. This table has the weights themselves, averaged over positions
# and steps. `<bos>` and the word after it get **most** of all attention, "star" or "house" a few hundredths. The weights of a
# position must add up to 1, so a position that needs no word still has to look *somewhere*. A token that takes up this
# attention is called an **attention sink** (Xiao et al. 2024, on language models).
# %% [markdown] lang="vi" of="0bc72616"
# Mỗi bản đồ ở trên đã được kéo giãn cho đủ từ tối đến sáng. Bảng này cho biết chính các trọng số, lấy trung bình theo vị trí
# và bước; mỗi hàng một lớp, mỗi cột một token. `<bos>` và từ ngay sau nó nhận **phần lớn** toàn bộ sự chú ý, còn "star" hay
# "house" chỉ được vài phần trăm. Các trọng số của một vị trí phải có tổng bằng 1, nên vị trí không cần từ nào vẫn phải nhìn
# *vào đâu đó*. Token gánh phần chú ý này gọi là **điểm hút chú ý (attention sink)** (Xiao và cộng sự 2024, với mô hình ngôn
# ngữ).

# %% slide="sub"
def house_at(step: int, axis) -> None:
    looks = token_maps(maps[7 * step - 7 : 7 * step], 8, 8)[0]  # (L, 8, 8)
    sight = pipe.pixels(x0s[step - 1])                          # (1, 3, 128, 128)
    lit = overlay(sight, looks[[tokens.index("house")]])[0]     # (3, 128, 128)
    axis.imshow((lit.clamp(-1, 1) + 1).permute(1, 2, 0) / 2)
    axis.set_axis_off()


slider(house_at, "step", [1, 2, 3, 5, 8, 12])

# %% [markdown] lang="en"
# The map of "house" at six of the steps is laid over the $x_0$ that the network predicts there. At the first step the network is
# given pure noise, and "house" lights up the right-hand side already: here the position is decided before the shape.
# %% [markdown] lang="vi" of="08aae85c"
# Bản đồ của "house" ở sáu bước (step), đặt trên $x_0$ mà mạng dự đoán ở bước ấy. Ở bước đầu tiên, mạng chỉ nhận được nhiễu, vậy
# mà "house" đã làm sáng phía bên phải: ở đây vị trí được quyết định trước hình dáng.

# %% [markdown] lang="en" role="think"
# **Predict.** Is the star red because its positions look at "red"? We hide tokens from the U-Net (mask False; the empty prompt
# keeps all its tokens) and draw from the same noise. What happens without "red"? Without all ten words? Without the sinks
# `<bos>`, the first "a" and `<eos>`?
# ---
# As a rule the star stays red. Only the background is drawn. The drawing gets cluttered. The text below the pictures says
# why.
# %% [markdown] lang="vi" of="85ac2c5d"
# **Đoán xem.** Ngôi sao có màu đỏ là vì các vị trí của nó nhìn vào "red" chăng? Ta giấu một số token khỏi U-Net (mặt nạ False;
# prompt rỗng giữ đủ token) rồi vẽ từ cùng một nhiễu. Bỏ "red" thì sao? Bỏ cả mười từ? Bỏ các điểm hút `<bos>`, chữ "a" đầu tiên
# và `<eos>`?
# ---
# Thường thì ngôi sao vẫn đỏ. Chỉ còn nền. Tranh lộn xộn. Phần chữ dưới các bức tranh giải thích vì sao.

# %%
from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run

schedule, kind = pipe.scheduler.schedule, pipe.prediction_type
scale = pipe.guidance_scale
words = list(range(1, len(tokens) - 1))
hidden = {word: [tokens.index(word)] for word in ("red", "star", "house")}
hidden = {"nothing": [], **hidden, "all words": words}
hidden["the sinks"] = [0, 1, len(tokens) - 1]
context, mask = read([prompt, ""])                              # (2, L, 256), (2, L)
masks = mask[:1].repeat(len(hidden), 1)                         # (6, L)
for row, places in zip(masks, hidden.values(), strict=True):
    row[places] = False
contexts = context.repeat_interleave(len(hidden), dim=0)        # (12, L, 256)
masks = torch.cat([masks, mask[1:].expand_as(masks)])           # (12, L)

# %% slide="sub"
dice = torch.Generator().manual_seed(2)
noise = torch.randn(1, *pipe.latent_shape, generator=dice).repeat(len(hidden), 1, 1, 1)
pair = denoiser(lambda x, t: unet(x, t, contexts, masks), schedule, kind)
with torch.no_grad():
    *_, state = run("dpmpp_2m", cfg(pair, scale), noise, schedule, 10)
show(pipe.pixels(state.x), [f"hidden: {name}" for name in hidden])

# %% [markdown] lang="en"
# Without "red" the star is mostly **still red**, so other tokens carry the colour: the tower has mixed "red" into its
# neighbours' vectors. Without "star" or "house" a part of the thing is left for the same reason, but smaller and poorer in
# colour. Without any word only the background is drawn, although `<bos>` and `<eos>` have read the sentence too. Without the
# sinks there is clutter: positions that need no word now have to look at words.
#
# So a map says **where** a layer looked, not **why** something was drawn (compare Jain and Wallace 2019). To learn why, take a
# token away and look again, with more noises than the one used here.
# %% [markdown] lang="vi" of="06d06b4a"
# Từ trái sang phải, lần lượt giấu: không gì cả, "red", "star", "house", mọi từ, các điểm hút. Không có "red", ngôi sao
# thường **vẫn đỏ**, vậy màu đến từ token khác: tháp đã trộn "red" vào vector của các từ bên cạnh. Không có "star" hay
# "house" thì vẫn còn lại một phần của vật, cũng vì lý do ấy, nhưng nhỏ hơn và màu kém hơn. Không còn từ nào thì chỉ còn nền,
# mặc dù `<bos>` và `<eos>` cũng đã đọc cả câu. Thiếu các điểm hút thì tranh lộn xộn: những vị trí không cần từ nào nay phải
# nhìn vào các từ.
#
# Vậy bản đồ cho biết một lớp đã nhìn **vào đâu**, chứ không cho biết **vì sao** một thứ được vẽ (xem Jain và Wallace 2019).
# Muốn biết vì sao, hãy bỏ một token đi rồi xem lại, với nhiều nhiễu hơn chứ không chỉ một nhiễu như ở đây.

# %% [markdown] lang="en" slide="slide"
# ## 6. From a prompt to a picture
#
# In lesson 05 the unconditional prediction $u$ came from the label `null`. Here it comes from the **empty prompt** "", which
# stood in place of some captions in training. The steps:
#
# 1. prompt → tokens → context (lesson 06), for prompts and empty prompts together: (2B, L, 256);
# 2. the U-Net predicts $v$ for both halves; guide: $u+s\,(c-u)$ (lesson 05);
# 3. $x_0=\alpha x-\sigma v$, $\epsilon=\sigma x+\alpha v$ (lesson 03); an ancestral step with fresh noise (lessons 02 and 04);
# 4. after the last step: latent → picture (lesson 08).
# %% [markdown] lang="vi" of="73ead897"
# ## 6. Từ prompt đến tranh
#
# Ở bài 05, dự đoán không điều kiện $u$ đến từ nhãn `null`. Ở đây nó đến từ **prompt rỗng** "", thứ đã thế chỗ một phần các chú
# thích trong lúc huấn luyện (training). Các bước:
#
# 1. prompt → token → ngữ cảnh (bài 06), cho các prompt và các prompt rỗng cùng lúc: (2B, L, 256);
# 2. U-Net dự đoán $v$ cho cả hai nửa; dẫn hướng: $u+s\,(c-u)$ (bài 05);
# 3. $x_0=\alpha x-\sigma v$, $\epsilon=\sigma x+\alpha v$ (bài 03); một bước tổ tiên với nhiễu mới (bài 02 và 04);
# 4. sau bước cuối: latent → tranh (bài 08).

# %%
from itertools import pairwise

from minidiff.diffusion.samplers import step
from minidiff.diffusion.timesteps import uniform


@torch.no_grad()
def draw_from_text(
    prompts: list[str], noises: Tensor, scale: float, negative: str = ""
) -> Tensor:
    """noises (steps, B, 4, 16, 16): the first starts, the others are added."""
    context, mask = read([*prompts, *[negative] * len(prompts)])        # (2B, L, 256)
    x = noises[0]
    for k, (t, s) in enumerate(pairwise(uniform(schedule, len(noises)))):
        alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
        v = unet(torch.cat([x, x]), schedule.timestep(t)[None], context, mask)
        cond, uncond = v.chunk(2)                               # (B, 4, 16, 16) each
        v = uncond + scale * (cond - uncond)
        x0, eps = alpha * x - sigma * v, sigma * x + alpha * v
        fresh = noises[k + 1] if s > 0 else None                # none at the end
        x = step(schedule, x0, eps, t, s, eta=1.0, noise=fresh)
    return x                                                    # (B, 4, 16, 16)

# %% [markdown] lang="en"
# Training never showed a yellow cat, a fish left of a tree, a pink umbrella or a yellow house; `is_unseen` checks this. We ask
# for all four from the same noises, twice in Vietnamese: "a pink umbrella to the right of a green house" and "a yellow house
# below a red heart".
# %% [markdown] lang="vi" of="e6f7612b"
# Lúc huấn luyện chưa hề có con mèo vàng, con cá ở bên trái cái cây, chiếc ô hồng hay ngôi nhà vàng nào; `is_unseen` kiểm tra
# điều đó. Ta yêu cầu cả bốn từ cùng các nhiễu, hai câu đầu tiên bằng tiếng Anh, nghĩa là "con mèo vàng bên trái chiếc xe đỏ" và
# "con cá xanh dương bên trái cái cây cam".

# %%
from minidiff.data.world.compositions import is_unseen
from minidiff.data.world.scenes import Group, Scene

unseen = {
    "a yellow cat to the left of a red car": ("cat yellow", "left", "car red"),
    "a blue fish to the left of an orange tree": ("fish blue", "left", "tree orange"),
    "chiếc ô hồng bên phải ngôi nhà xanh lá": ("umbrella pink", "right", "house green"),
    "ngôi nhà vàng phía dưới trái tim đỏ": ("house yellow", "below", "heart red"),
}
for first, relation, second in unseen.values():
    groups = tuple(Group(*words.split()) for words in (first, second))
    assert is_unseen(Scene(None, groups, relation))
sentences = list(unseen)


def noises_of(seed: int, steps: int, count: int) -> Tensor:
    dice = torch.Generator().manual_seed(seed)
    noises = torch.randn(steps, 1, *pipe.latent_shape, generator=dice)
    return noises.repeat(1, count, 1, 1, 1)                     # all prompts share it


# %% slide="sub"
noises = noises_of(7, 50, 4)
latents = draw_from_text(sentences, noises, scale)
titles = ["yellow cat, car", "fish, tree", "ô hồng, nhà", "nhà vàng, tim"]
show(pipe.pixels(latents), titles)

# %% [markdown] lang="en"
# The words were known, their combination was not. Some details are rough, and with other noises a sentence may fail. From the
# same noises the library's `run` must give the same latents:
# %% [markdown] lang="vi" of="aed7c2a5"
# Từ thì đã biết, cách kết hợp thì chưa. Vài chi tiết còn thô, và với nhiễu khác, có câu có thể vẽ sai. Từ cùng các nhiễu ấy,
# `run` của thư viện phải cho cùng các latent:

# %%
context, mask = read([*sentences, *[""] * 4])
pair = denoiser(lambda x, t: unet(x, t, context, mask), schedule, kind)
with torch.no_grad():
    states = run(
        "ddpm", cfg(pair, scale), noises[0], schedule, 50, noise=lambda k: noises[k + 1]
    )
    *_, state = states
assert_close(latents, state.x, rtol=0, atol=1e-4)
print("largest difference:", float((latents - state.x).abs().max()))

# %% [markdown] lang="en" slide="slide"
# ## 7. Negative prompts
#
# A **negative prompt** takes the place of the empty one (lesson 05, section 8): $u$ is then the prediction for what you don't
# want, and guidance leads away from it.
# %% [markdown] lang="vi" of="3b6d74d5"
# ## 7. Prompt phủ định
#
# **Prompt phủ định** (negative prompt) thế chỗ prompt rỗng (bài 05, mục 8): khi đó $u$ là dự đoán cho thứ bạn không muốn, và
# phép dẫn hướng đẩy kết quả ra xa nó.

# %%
def draw(prompts: list[str], seeds, scale: float, negative: str = "") -> Tensor:
    """The library's own sampling in 12 steps: (B, 3, 128, 128)."""
    negatives = [negative] * len(prompts)
    states = pipe.sample(prompts, seeds, negatives, steps=12, guidance_scale=scale)
    *_, (_, x, _) = states
    return pipe.pixels(x)


# %% [markdown] lang="en" role="think"
# **Predict.** We draw "a yellow moon above a tree" from six noises in three ways: as it is; with "**not at night**" added to
# the prompt; with "at night" as the *negative* prompt. Which row is darkest?
# ---
# The second one. "not" hardly ever stands in a caption: the tokenizer cuts it into single letters, which mean nothing to the
# model, and "at night" remains.
# %% [markdown] lang="vi" of="3c1fa89d"
# **Đoán xem.** Ta vẽ "a yellow moon above a tree" (mặt trăng vàng phía trên cái cây) từ sáu nhiễu theo ba cách: để nguyên; viết
# thêm "**not at night**" (không phải ban đêm) vào prompt; dùng "at night" (ban đêm) làm prompt *phủ định*. Hàng nào tối nhất?
# ---
# Hàng thứ hai. "not" hầu như không bao giờ có trong chú thích: tokenizer cắt nó thành từng chữ cái, vô nghĩa đối với mô hình,
# và thứ còn lại là "at night".

# %% slide="sub"
print(tokenizer.tokens("not at night"))
moon, seeds = "a yellow moon above a tree", range(6)
plainly = draw([moon] * 6, seeds, 4.0)
written = draw([moon + ", not at night"] * 6, seeds, 4.0)
negated = draw([moon] * 6, seeds, 4.0, negative="at night")
for name, pictures in (("as it is", plainly), ("not", written), ("negative", negated)):
    print(f"{name:9} mean brightness {pictures.mean():+.2f}")
show(torch.stack([plainly, written, negated]))

# %% [markdown] lang="en"
# Top: the prompt as it is. Middle: night everywhere. Bottom: no night, but all the backgrounds are now pale and much alike. A
# negative prompt doesn't erase one thing; it is a direction away from "at night", towards bright pictures.
# %% [markdown] lang="vi" of="31b13891"
# Trên: để nguyên. Giữa: đâu cũng là đêm. Dưới: không có đêm, nhưng nay nền nào cũng nhạt và na ná nhau. Prompt phủ định không
# xóa riêng một thứ; nó là một hướng đi ra xa "at night", về phía những cảnh sáng.

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 1: four prompts, one picture
#
# **Symptom.** No word has any effect: with one noise, four prompts give exactly the same picture. **Cause:** K and V are made
# from the picture: `to_k(x)` in place of `to_k(context)`. This is a second self-attention, and no error is raised. **Fix:**
# test that the prediction changes when only the prompt changes.
#
# Our `to_k` expects width 256, so we add zeros to the picture's vectors; where all widths are equal, nobody would notice.
# `patch.object` replaces a function within its `with` block. Top: right; bottom: the fault, with poor shapes because the
# weights were trained for words.
# %% [markdown] lang="vi" of="5f09a523"
# ## Cạm bẫy 1: bốn prompt, một bức tranh
#
# **Triệu chứng.** Không từ nào có tác dụng: cùng một nhiễu, bốn prompt cho đúng một bức tranh như nhau. **Nguyên nhân:** K và V
# lấy từ tranh: `to_k(x)` thay vì `to_k(context)`. Đó là tự chú ý lần thứ hai, và không có báo lỗi nào. **Cách chữa:** kiểm tra
# rằng dự đoán thay đổi khi chỉ đổi prompt.
#
# `to_k` của ta cần bề rộng 256, nên ta thêm các số 0 vào vector của tranh; nếu mọi bề rộng bằng nhau thì không ai nhận ra lỗi.
# `patch.object` thay một hàm bằng hàm khác trong phạm vi khối `with`. Hàng trên: đúng; hàng dưới: có lỗi, hình xấu vì các trọng
# số được huấn luyện để đọc lời.

# %%
from unittest.mock import patch

from minidiff.nn.attention import Attention

right = Attention.forward


def from_image(self, x: Tensor, context=None, mask=None) -> Tensor:
    if context is None:
        return right(self, x)                                   # self-attention stays
    room = context.shape[-1] - x.shape[-1]                      # 256 wide, x is less
    return right(self, x, torch.nn.functional.pad(x, (0, room)))        # the fault


# %% slide="sub"
few = noises_of(7, 20, 4)
fine = pipe.pixels(draw_from_text(sentences, few, scale))
with patch.object(Attention, "forward", from_image):
    deaf = pipe.pixels(draw_from_text(sentences, few, scale))
print("all the same:", all(torch.equal(deaf[0], other) for other in deaf))
show(torch.stack([fine, deaf]))

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 2: `view` without `transpose`
#
# **Symptom.** All shapes are right and nothing fails, but the pictures are scrambled. **Cause:** `x.view(B, heads, L, d)`
# leaves the numbers in the order of memory, token by token. So head 0 gets **all the numbers of the first tokens**, cut into
# pieces, instead of some numbers of every token. Its answers also reach other positions than those that asked. **Fix:**
# `view(B, L, heads, d)`, then `transpose(1, 2)`; test it with tensors that hold each token's own number. Bottom row: the fault.
# %% [markdown] lang="vi" of="fe359f79"
# ## Cạm bẫy 2: `view` mà không `transpose`
#
# **Triệu chứng.** Mọi kích thước đều đúng, không có gì báo lỗi, nhưng tranh bị xáo trộn. **Nguyên nhân:**
# `x.view(B, heads, L, d)` giữ các số theo thứ tự trong bộ nhớ, hết token này đến token khác. Vì thế đầu 0 nhận **tất cả các số
# của những token đầu tiên**, bị cắt vụn, thay vì một phần các số của mọi token. Câu trả lời của nó cũng đến những vị trí không
# phải là vị trí đã hỏi. **Cách chữa:** `view(B, L, heads, d)`, rồi `transpose(1, 2)`; hãy thử với tensor chứa số thứ tự của
# chính mỗi token. Hàng dưới: có lỗi.

# %% slide="sub"
from minidiff.nn import attention


def only_view(x: Tensor, heads: int) -> Tensor:
    return x.view(len(x), heads, x.shape[1], -1)                # the shape is right


names = torch.arange(4).repeat_interleave(4).view(1, 4, 4)      # each token's number
print("right, head 0:", split(names, 2)[0, 0, :, 0].tolist())
print("wrong, head 0:", only_view(names, 2)[0, 0, :, 0].tolist())
with patch.object(attention, "split_heads", only_view):
    scrambled = pipe.pixels(draw_from_text(sentences, few, scale))
show(torch.stack([fine, scrambled]))

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 3: guidance scale 1
#
# **Symptom.** The prompt is followed weakly, and the negative prompt does nothing, as in lesson 05. **Cause:** the guidance
# scale is 1, so the second half of the batch has weight 0: $u+1\cdot(c-u)=c$. **Fix:** print the scale that reaches the loop;
# look for a default of 1. Below: without a negative prompt (top) and with "at night" (bottom).
# %% [markdown] lang="vi" of="29044968"
# ## Cạm bẫy 3: hệ số dẫn hướng bằng 1
#
# **Triệu chứng.** Tranh bám theo prompt rất yếu, còn prompt phủ định không có tác dụng, như ở bài 05. **Nguyên nhân:** hệ số
# dẫn hướng (guidance scale) bằng 1, nên nửa sau của lô có trọng số 0: $u+1\cdot(c-u)=c$. **Cách chữa:** in ra hệ số thật sự
# đến được vòng lặp; tìm xem có mặc định nào bằng 1 không. Dưới đây: không có prompt phủ định (hàng trên) và có "at night"
# (hàng dưới).

# %% slide="sub"
weak = draw([moon] * 6, seeds, 1.0)
weak_negated = draw([moon] * 6, seeds, 1.0, negative="at night")
print("scale 1, the negative prompt changes:", not torch.equal(weak, weak_negated))
print("scale 4, the negative prompt changes:", not torch.equal(plainly, negated))
show(torch.stack([weak, weak_negated]))

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 4: `no_grad` is missing
#
# **Symptom.** The pictures are right, but memory grows with every step until none is left, as in lesson 02. **Cause:**
# autograd keeps what it would need to go back through **all** steps, since each $x$ is made from the one before. **Fix:**
# `@torch.no_grad()` around the whole loop.
#
# `saved_tensors_hooks` calls our `pack` for every tensor that autograd keeps. We add up their bytes, without the weights.
# %% [markdown] lang="vi" of="9a6cf4a5"
# ## Cạm bẫy 4: thiếu `no_grad`
#
# **Triệu chứng.** Tranh vẫn đúng, nhưng bộ nhớ bị chiếm thêm sau mỗi bước cho đến khi cạn, như ở bài 02. **Nguyên nhân:**
# autograd giữ lại mọi thứ cần để đi ngược qua **tất cả** các bước, vì mỗi $x$ được tính từ $x$ trước đó. **Cách chữa:** đặt
# `@torch.no_grad()` cho cả vòng lặp.
#
# `saved_tensors_hooks` gọi hàm `pack` của ta cho mỗi tensor mà autograd giữ lại. Ta cộng số byte của chúng, không kể các trọng
# số của mạng.

# %%
from torch.autograd.graph import saved_tensors_hooks


def megabytes(gradients: bool, steps: int = 8) -> list[float]:
    """What autograd keeps after each step of one picture."""
    weights = {weight.untyped_storage().data_ptr() for weight in unet.parameters()}
    kept, curve, x = {}, [], few[0, :1]

    def pack(tensor: Tensor) -> Tensor:
        memory = tensor.untyped_storage()
        if memory.data_ptr() not in weights:
            kept[memory.data_ptr()] = memory.nbytes()
        return tensor.detach()

    unpack = torch.Tensor.detach
    with torch.set_grad_enabled(gradients), saved_tensors_hooks(pack, unpack):
        for t, s in pairwise(uniform(schedule, steps)):
            v = unet(x, schedule.timestep(t)[None], context[:1], mask[:1])
            alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
            x = step(schedule, alpha * x - sigma * v, sigma * x + alpha * v, t, s)
            curve.append(sum(kept.values()) / 2**20)
    return curve


# %% slide="sub"
unet.requires_grad_(True)                                       # as in training
curves = {"without no_grad": megabytes(True), "with no_grad": megabytes(False)}
unet.requires_grad_(False)
numbers = list(range(1, 9))
curves = {name: (numbers, curve) for name, curve in curves.items()}
lines(curves, x="step", y="MB kept", marker="o")

# %% [markdown] lang="en"
# With `no_grad` nothing is kept; without it every step adds the same amount. Multiply this amount by 50 steps, four pictures
# and both halves of guidance: about 3 GB for this small network. (`load_pipeline` switches gradients off for its weights; we
# had to switch them on, as in training.)
# %% [markdown] lang="vi" of="1c871fb4"
# Có `no_grad` thì không giữ gì; không có thì mỗi bước giữ thêm một lượng như nhau. Nhân lượng ấy với 50 bước, bốn bức tranh và
# hai nửa của dẫn hướng: khoảng 3 GB với mạng nhỏ này. (`load_pipeline` tắt gradient cho các trọng số của nó; ta đã phải bật
# lên, như khi huấn luyện.)

# %% [markdown] lang="en" slide="slide"
# ## Summary
#
# | what | formula | shapes |
# |---|---|---|
# | query | `to_q(x)`, from the picture | (B, N, D) → (B, N, h d) |
# | key, value | `to_k(context)`, `to_v(context)`, from the words | (B, L, 256) → (B, L, h d) |
# | heads | `unflatten(-1, (h, d)).transpose(1, 2)` | (B, L, h d) → (B, h, L, d) |
# | weights | $\text{softmax}(QK^\top/\sqrt d)$, padding at $-\infty$ | (B, h, N, L), rows sum to 1 |
# | answer | weights · V, heads merged, `to_out` | (B, h, N, d) → (B, N, D) |
# | self-attention | the same with `context = x` | weights (B, h, N, N) |
# | guidance | $u+s\,(c-u)$, $u$ from "" or a negative prompt | (2B, 4, 16, 16) → (B, 4, 16, 16) |
# | sampling | $v\to(x_0,\epsilon)\to$ ancestral step | noises (steps, B, 4, 16, 16) |
# %% [markdown] lang="vi" of="73671c64"
# ## Tóm tắt
#
# | cái gì | công thức | kích thước |
# |---|---|---|
# | truy vấn | `to_q(x)`, từ tranh | (B, N, D) → (B, N, h d) |
# | khóa, giá trị | `to_k(context)`, `to_v(context)`, từ lời | (B, L, 256) → (B, L, h d) |
# | các đầu | `unflatten(-1, (h, d)).transpose(1, 2)` | (B, L, h d) → (B, h, L, d) |
# | trọng số | $\text{softmax}(QK^\top/\sqrt d)$, phần đệm là $-\infty$ | (B, h, N, L), mỗi hàng có tổng bằng 1 |
# | câu trả lời | trọng số · V, gộp các đầu, `to_out` | (B, h, N, d) → (B, N, D) |
# | tự chú ý | như trên với `context = x` | trọng số (B, h, N, N) |
# | dẫn hướng | $u+s\,(c-u)$, $u$ từ "" hoặc một prompt phủ định | (2B, 4, 16, 16) → (B, 4, 16, 16) |
# | lấy mẫu | $v\to(x_0,\epsilon)\to$ bước tổ tiên | nhiễu (steps, B, 4, 16, 16) |

# %% [markdown] lang="en"
# **You can now** compute attention by hand, say where Q, K and V come from, read an attention map with due caution, sample from
# a sentence with parts that you wired yourself, and name four bugs from their symptoms.
#
# **What still bothers:** the U-Net drew 4 × 16 × 16 numbers, and a decoder made 128 × 128 pictures of them. Where do these
# numbers come from, and what gets lost when they are only a 48th of the picture's? That is lesson 08.
#
# **Sources.** A. Vaswani et al. 2017, *Attention is all you need*, eq. 1 and section 3.2. R. Rombach et al. 2022,
# *High-resolution image synthesis with latent diffusion models*, section 3.3. R. Tang et al. 2023, *What the DAAM: interpreting
# Stable Diffusion using cross attention*. G. Xiao et al. 2024, *Efficient streaming language models with attention sinks*. S.
# Jain, B. Wallace 2019, *Attention is not explanation*. J. Ho, T. Salimans 2022, *Classifier-free diffusion guidance*. J. Ho et
# al. 2020, *Denoising diffusion probabilistic models*, eq. 6 and 7, algorithm 2.
# %% [markdown] lang="vi" of="656d589a"
# **Giờ bạn đã biết** tính cơ chế chú ý bằng tay, nói được Q, K và V từ đâu đến, đọc bản đồ chú ý một cách thận trọng, lấy mẫu
# từ một câu bằng những bộ phận tự tay lắp, và gọi tên bốn lỗi qua triệu chứng của chúng.
#
# **Điều còn vướng:** U-Net chỉ vẽ 4 × 16 × 16 con số, rồi một bộ giải mã biến chúng thành ảnh 128 × 128. Các con số ấy từ đâu
# ra, và điều gì bị mất khi chúng chỉ bằng một phần 48 số của bức ảnh? Bài 08 sẽ trả lời.
#
# **Nguồn.** A. Vaswani và cộng sự 2017, *Attention is all you need*, công thức 1 và mục 3.2 (cơ chế chú ý). R. Rombach và cộng
# sự 2022, *High-resolution image synthesis with latent diffusion models*, mục 3.3 (chú ý chéo trong U-Net). R. Tang và cộng sự
# 2023, *What the DAAM: interpreting Stable Diffusion using cross attention*. G. Xiao và cộng sự 2024, *Efficient streaming
# language models with attention sinks*. S. Jain, B. Wallace 2019, *Attention is not explanation*. J. Ho, T. Salimans 2022,
# *Classifier-free diffusion guidance* (dẫn hướng không cần bộ phân loại). J. Ho và cộng sự 2020, *Denoising diffusion
# probabilistic models*, công thức 6 và 7, thuật toán 2 (khử nhiễu).

# %% [markdown] lang="en" only="exercise"
# # 07 Exercises: your words inside the shipped U-Net
#
# From the two reshapes of attention to a function that turns sentences into pictures. Fill in each one, run its cell, and
# `check` says what is right. Then it works inside `world-unet`, with the weights that are shipped, and its pictures must be the
# library's.
# %% [markdown] lang="vi" of="3c50eb6c" only="exercise"
# # 07 Bài tập: lời của bạn bên trong U-Net có sẵn
#
# Từ hai lần đổi kích thước của chú ý đến một hàm biến câu thành tranh. Hãy điền từng hàm, chạy ô của nó, và `check` cho biết
# chỗ nào đúng. Sau đó nó làm việc bên trong `world-unet`, với trọng số có sẵn, và tranh phải trùng với tranh của thư viện.

# %% only="exercise"
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff import load_pipeline
from minidiff.diffusion.guidance import cfg, combine
from minidiff.diffusion.prediction import denoiser, to_x0_eps
from minidiff.diffusion.samplers import run, step
from minidiff.models.unet import TransformerBlock
from minidiff.nn import attention
from minidiff.utils.plots import show

pipe = load_pipeline("world-unet", device="cpu", dtype="float32")
model = SimpleNamespace(
    tokenizer=pipe.tokenizer,           # .encode(texts) -> ids (B, L), mask (B, L) bool
    text_encoder=pipe.words.tower,      # (ids, mask) -> .sequence (B, L, D)
    network=pipe.network,               # (x, timestep, context, mask) -> prediction
    vae=pipe.vae,                       # .decode(latents) -> pictures (B, 3, H, W)
    latent_mean=pipe.latent_mean,       # (1, C, 1, 1): the network's x is
    latent_std=pipe.latent_std,         # (1, C, 1, 1): (latents - mean) / std
    schedule=pipe.scheduler.schedule,
    prediction_type=pipe.prediction_type,
)

sentences = [
    "a red star above a blue house", "three yellow fish in the sea",
    "một con mèo màu đen bên trái một cái cây", "a pink balloon at night",
]
words, seen = pipe.encode([*sentences, *[""] * 4])              # (8, L, 256), (8, L)
dice = torch.Generator().manual_seed(1)
start = torch.randn(4, 4, 16, 16, generator=dice)


@torch.inference_mode()
def draw_with(network: Callable, noise: Tensor = start) -> Tensor:
    """The four sentences as pictures, guided with 4, in ten steps."""

    def predict(x: Tensor, timestep: Tensor) -> Tensor:
        return network(x, timestep, words[: len(x)], seen[: len(x)])

    guided = cfg(denoiser(predict, model.schedule, model.prediction_type), 4.0)
    *_, last = run("dpmpp_2m", guided, noise, model.schedule, steps=10)
    return model.vae.decode(last.x * model.latent_std + model.latent_mean)


# %% only="exercise"
class Fitted(nn.Module):
    """A cross-attention of yours in the place of `layer`, one of the library's, which
    gets the mask as numbers that are added to the logits: 0 for tokens."""

    def __init__(self, kind: type[nn.Module], layer: nn.Module) -> None:
        super().__init__()
        inner, query_dim = layer.to_q.weight.shape
        context_dim, head_dim = layer.to_k.in_features, inner // layer.heads
        self.mine = kind(query_dim, context_dim, layer.heads, head_dim)
        weights = layer.state_dict()
        named = {name.replace("to_out.0", "to_out"): weights[name] for name in weights}
        self.mine.load_state_dict(named)                        # strict: no name amiss

    def forward(self, x: Tensor, context: Tensor, bias: Tensor) -> Tensor:
        return self.mine(x, context, bias[:, 0, 0] == 0)        # (B, 1, 1, L) -> (B, L)


@contextmanager
def cross_attention_of(kind: type[nn.Module]) -> Iterator[nn.Module]:
    """The U-Net, all of whose cross-attention is yours."""
    found = [m for m in model.network.modules() if isinstance(m, TransformerBlock)]
    layers = [block.attn2 for block in found]
    try:
        for block, layer in zip(found, layers, strict=True):
            block.attn2 = Fitted(kind, layer).eval()
        yield model.network
    finally:
        for block, layer in zip(found, layers, strict=True):
            block.attn2 = layer


# %% only="exercise"
class TakesMask(nn.Module):
    """Attention of the library that takes the mask as yours does: (B, L) bool."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(
        self, x: Tensor, context: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        return self.layer(x, context, attention.padding_bias(mask, x))


@contextmanager
def blocks_run_by(text_block: Callable) -> Iterator[nn.Module]:
    """The U-Net, all of whose transformer blocks are run by `text_block`."""

    def forward(block: Any, x: Tensor, context: Tensor, bias: Tensor) -> Tensor:
        layers = ("norm1", "norm2", "norm3", "ff")
        parts = {name: getattr(block, name) for name in layers}
        parts |= {name: TakesMask(getattr(block, name)) for name in ("attn1", "attn2")}
        return text_block(SimpleNamespace(**parts), x, context, bias[:, 0, 0] == 0)

    with mock.patch.object(TransformerBlock, "forward", forward):
        yield model.network
