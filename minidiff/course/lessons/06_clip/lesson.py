"""Lesson 06: CLIP, sentences and pictures as vectors of one space, from two vectors by hand to a tower for the next lesson."""

# %% [markdown] lang="en" slide="slide"
# # 06 CLIP: words and pictures in one space
#
# Eight pictures and eight sentences, four of them English and four Vietnamese. Nobody ever listed for this network what is in
# a picture. It was only told, many times: *this sentence belongs to that picture*. Now it gives each of the 64 pairs a number,
# and the right pairs, on the diagonal, get the largest ones. What is this number, and how does a network learn it?
# %% [markdown] lang="vi" of="f0821472"
# # 06 CLIP: lời và tranh trong cùng một không gian
#
# Tám bức tranh và tám câu, bốn câu tiếng Anh, bốn câu tiếng Việt. Chưa ai từng liệt kê cho mạng này trong tranh có những gì.
# Nó chỉ được bảo rất nhiều lần: *câu này đi với bức tranh kia*. Giờ nó cho mỗi cặp trong 64 cặp một con số, và các cặp đúng,
# nằm trên đường chéo, được những số lớn nhất. Con số ấy là gì, và mạng học nó thế nào?

# %%
import random

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minidiff.data.world.random_scenes import scene_at
from minidiff.models.clip import CLIP, TextConfig, VisionConfig
from minidiff.pretrained import zoo
from minidiff.text.tokenizer import Tokenizer
from minidiff.train.clip import rendered
from minidiff.utils.plots import heatmap

config, weights = zoo.load("world-clip")
world = CLIP(TextConfig(**config["text"]), VisionConfig(**config["vision"]))
world.load_state_dict(weights)
world.eval().requires_grad_(False)
tokenizer = Tokenizer.load(zoo.path("tokenizer"))

# %%
eight = {                                                       # scene: its sentence
    10: "a small red cloud by day",
    53: "một chiếc thuyền to màu xanh lá trên đồng cỏ",
    57: "a small purple house by the sea",
    33: "một con chim nhỏ màu hồng trong phòng",
    42: "two big red fish on a plain background",
    24: "một hình tam giác to màu cam vào ban đêm",
    9: "a big black cat in a meadow",
    23: "bốn ngôi sao nhỏ màu đỏ lúc hoàng hôn",
}

# %% slide="sub"
pictures = rendered([scene_at(k, "test") for k in eight], 64)   # (8, 3, 64, 64)
sentences, names = [*eight.values()], [f"picture {k}" for k in range(1, 9)]
images = world.embed_image(pictures)                            # (8, P)
texts = world.embed_text(*tokenizer.encode(sentences))          # (8, P)
similarity = texts @ images.T                                   # (8, 8)
show(pictures, names)
heatmap(similarity, sentences, names)

# %% [markdown] lang="en" role="notes"
# Cover the sentences and let the class match them first. Then ask: could a network learn this from pairs alone? Keep the
# answers.
# %% [markdown] lang="vi" of="2b17f983"
# Che các câu lại và cho lớp ghép thử trước. Rồi hỏi: chỉ từ các cặp, một mạng có học được điều này không? Giữ lại các câu trả
# lời.

# %% [markdown] lang="en"
# [[map]]
#
# **Aims.** You can write CLIP's loss and say why it needs vectors of length 1, two directions and a temperature. You train a
# small CLIP, and find and name pictures by sentences in two languages. You know what one vector for a whole sentence loses.
#
# **Time:** [[time]]. **You need:** lesson 01 (convolutions), lesson 05 (embeddings). Training takes about a minute on a CPU;
# on a GPU the CLIP is larger and sees ten times as many pictures.
# %% [markdown] lang="vi" of="9e9441de"
# [[map]]
#
# **Mục tiêu.** Bạn viết được hàm mất mát (loss) của CLIP và nói được vì sao nó cần các vector độ dài 1, cần hai chiều và cần
# nhiệt độ. Bạn tự huấn luyện một CLIP nhỏ, tìm tranh và gọi tên tranh bằng câu văn trong hai ngôn ngữ. Bạn biết một vector cho
# cả câu đánh mất điều gì.
#
# **Thời gian:** [[time]]. **Cần biết:** bài 01 (tích chập), bài 05 (vector nhúng, embedding). Việc huấn luyện (training) mất
# khoảng một phút trên CPU; trên GPU thì CLIP lớn hơn và được xem số tranh gấp mười.

# %% [markdown] lang="en" role="think"
# **Three quick questions** from earlier lessons.
#
# 1. (05) How did the label "house" enter the network?
# 2. (05) Why can no such table hold "a red star left of a blue house"?
# 3. (01) What does a convolution with stride 2 do to the shape (B, 3, 32, 32)?
# ---
# 1. As a row of a table, an embedding, which was added to the vector of the time.
# 2. A table needs a row for each sentence, and there are far too many sentences.
# 3. It halves height and width, and gives one channel for each filter: (B, 32, 16, 16) for 32 filters.
# %% [markdown] lang="vi" of="5ecc8a1e"
# **Ba câu hỏi nhanh** từ các bài trước.
#
# 1. (05) Nhãn "house" đi vào mạng bằng cách nào?
# 2. (05) Vì sao không bảng nào như thế chứa nổi "ngôi sao đỏ bên trái ngôi nhà màu xanh dương"?
# 3. (01) Tích chập với bước nhảy (stride) 2 làm gì với kích thước (B, 3, 32, 32)?
# ---
# 1. Dưới dạng một hàng của bảng, tức một vector nhúng (embedding), được cộng vào vector thời gian.
# 2. Bảng cần một hàng cho mỗi câu, mà số câu thì quá nhiều.
# 3. Nó giảm chiều cao và chiều rộng còn một nửa, và mỗi bộ lọc cho một kênh: (B, 32, 16, 16) nếu có 32 bộ lọc.

# %% [markdown] lang="en" slide="slide"
# ## 1. By hand: two sentences, two pictures
#
# One network turns each sentence into a vector, another turns each picture into one. Here they have two numbers each:
#
# | sentence | vector | picture | vector | length |
# |---|---|---|---|---|
# | "a red star" | (1, 0) | the star | (4, 3) | $\sqrt{16+9} = 5$ |
# | "a blue house" | (0, 2) | the house | (6, 8) | $\sqrt{36+64} = 10$ |
#
# Compare them by the **dot product**, $a \cdot b = a_1 b_1 + a_2 b_2$. "A red star" gets $1 \cdot 4 + 0 \cdot 3 = 4$ with the
# star and $1 \cdot 6 + 0 \cdot 8 = 6$ with the house: the wrong picture wins.
# %% [markdown] lang="vi" of="14bc0d46"
# ## 1. Tính tay: hai câu, hai bức tranh
#
# Một mạng biến mỗi câu thành một vector, một mạng khác biến mỗi bức tranh thành một vector. Ở đây mỗi vector có hai con số:
#
# | câu | vector | tranh | vector | độ dài |
# |---|---|---|---|---|
# | "a red star" | (1, 0) | ngôi sao | (4, 3) | $\sqrt{16+9} = 5$ |
# | "a blue house" | (0, 2) | ngôi nhà | (6, 8) | $\sqrt{36+64} = 10$ |
#
# Ta so chúng bằng **tích vô hướng (dot product)**, $a \cdot b = a_1 b_1 + a_2 b_2$. "A red star" được
# $1 \cdot 4 + 0 \cdot 3 = 4$ với ngôi sao và $1 \cdot 6 + 0 \cdot 8 = 6$ với ngôi nhà: bức tranh sai lại thắng.

# %% [markdown] lang="en" slide="sub"
# The house wins because its vector is **long**, not because its direction fits better. So we divide each vector by its length,
# the *L2 norm* $\lVert a \rVert = \sqrt{a_1^2 + a_2^2}$. What remains is the direction, and the dot product of two such
# vectors is the cosine of the angle between them, from $-1$ to $1$:
#
# $$\cos(a, b) = \frac{a \cdot b}{\lVert a \rVert\, \lVert b \rVert}, \qquad
# (0.8,\ 0.6) \cdot (1, 0) = 0.8, \qquad (0.6,\ 0.8) \cdot (1, 0) = 0.6$$
#
# Now the star wins.
# %% [markdown] lang="vi" of="70c8c2e2"
# Ngôi nhà thắng vì vector của nó **dài**, chứ không phải vì hướng của nó hợp hơn. Vậy ta chia mỗi vector cho độ dài của nó,
# tức *chuẩn L2 (L2 norm)* $\lVert a \rVert = \sqrt{a_1^2 + a_2^2}$. Cái còn lại là hướng, và tích vô hướng của hai vector như
# thế là cosin của góc giữa chúng, từ $-1$ đến $1$:
#
# $$\cos(a, b) = \frac{a \cdot b}{\lVert a \rVert\, \lVert b \rVert}, \qquad
# (0.8,\ 0.6) \cdot (1, 0) = 0.8, \qquad (0.6,\ 0.8) \cdot (1, 0) = 0.6$$
#
# Giờ thì ngôi sao thắng.

# %%
def normalise(vectors: Tensor) -> Tensor:
    lengths = vectors.square().sum(dim=-1, keepdim=True).sqrt()     # (..., 1)
    return vectors / lengths                                        # (..., P)


words = torch.tensor([[1.0, 0.0], [0.0, 2.0]])                      # (2, P) sentences
looks = torch.tensor([[4.0, 3.0], [6.0, 8.0]])                      # (2, P) pictures
cosines = normalise(words) @ normalise(looks).T                     # (2, 2)
print("dot products", (words @ looks.T).tolist())
print("cosines", cosines.tolist())
torch.testing.assert_close(normalise(looks), F.normalize(looks, dim=-1))

# %% slide="sub"
labels = ["a red star", "a blue house", "star", "house"]
for axis, prepare in zip(panels(2), (lambda v: v, normalise), strict=True):
    arrows = prepare(torch.cat([words, looks]))                     # (4, 2)
    lines({n: ([0, x], [0, y]) for n, (x, y) in zip(labels, arrows)}, axis, marker="o")
    axis.set_aspect("equal", "datalim")

# %% [markdown] lang="en"
# On the left are the vectors as they were, on the right the same ones at length 1: there each sentence is closest to its own
# picture. The numbers in the opening heatmap are such cosines, of longer lists of numbers.
# %% [markdown] lang="vi" of="064b2c54"
# Bên trái là các vector ban đầu, bên phải là chính chúng với độ dài 1: ở đó, mỗi câu gần bức tranh của mình nhất. Các con số
# trong bản đồ nhiệt (heatmap) mở đầu chính là những cosin như thế, của các vector có nhiều con số hơn.

# %% [markdown] lang="en" slide="slide"
# ## 2. The loss: which picture is mine?
#
# A row of cosines becomes an exam question: *which of these pictures belongs to the sentence?* Divide the row by a
# **temperature** $\tau$ and take the softmax: raise $e$ to each number, and divide by the sum. The results are probabilities.
# The loss is minus the logarithm of the right picture's probability (*cross-entropy*). With $\tau = 0.1$ the row $(0.8,\ 0.6)$
# becomes $(8, 6)$:
#
# $$p = \frac{e^8}{e^8 + e^6} = \frac{1}{1 + e^{-2}} = 0.881, \qquad -\ln p = 0.127$$
#
# Guessing would cost $\ln 2 = 0.693$ with two pictures, and $\ln B$ with $B$ pictures.
# %% [markdown] lang="vi" of="d50a686d"
# ## 2. Hàm mất mát: tranh nào là của tôi?
#
# Một hàng cosin trở thành một câu hỏi thi: *trong các bức tranh này, bức nào đi với câu?* Chia hàng cho **nhiệt độ
# (temperature)** $\tau$ rồi lấy softmax: nâng $e$ lên từng số, rồi chia cho tổng. Kết quả là các xác suất. Hàm mất mát là trừ
# logarit của xác suất dành cho bức tranh đúng (*cross-entropy*). Với $\tau = 0.1$, hàng $(0.8,\ 0.6)$ thành $(8, 6)$:
#
# $$p = \frac{e^8}{e^8 + e^6} = \frac{1}{1 + e^{-2}} = 0.881, \qquad -\ln p = 0.127$$
#
# Đoán bừa thì mất $\ln 2 = 0.693$ với hai bức tranh, và $\ln B$ với $B$ bức.

# %% [markdown] lang="en" role="think"
# The cosines of two sentences (rows) and two pictures (columns) are $\begin{pmatrix}0.9&0.8\\0.6&0.7\end{pmatrix}$. Does each
# sentence find its picture? Does each picture find its sentence?
# ---
# Both sentences do: $0.9 > 0.8$ and $0.7 > 0.6$. The second picture doesn't: in its column $0.8$ is larger than $0.7$. Rows
# alone would not notice this. So CLIP asks the rows **and** the columns, and takes the mean of both losses.
# %% [markdown] lang="vi" of="633dbe89"
# Cosin của hai câu (hàng) và hai bức tranh (cột) là $\begin{pmatrix}0.9&0.8\\0.6&0.7\end{pmatrix}$. Mỗi câu có tìm được tranh
# của mình không? Mỗi tranh có tìm được câu của mình không?
# ---
# Cả hai câu đều tìm được: $0.9 > 0.8$ và $0.7 > 0.6$. Bức tranh thứ hai thì không: trong cột của nó, $0.8$ lớn hơn $0.7$. Chỉ
# hỏi theo hàng thì không phát hiện được điều này. Vì vậy CLIP hỏi cả hàng **lẫn** cột, rồi lấy trung bình hai giá trị mất mát.

# %%
import math

from minidiff.models.clip import clip_loss


def contrast(images: Tensor, texts: Tensor, logit_scale: Tensor) -> Tensor:
    scale = logit_scale.clamp(max=math.log(100)).exp()              # 1 / temperature
    logits = scale * normalise(texts) @ normalise(images).T         # (B, B)
    own = torch.arange(len(logits))                                 # (B,) the diagonal
    rows = F.cross_entropy(logits, own)                             # to pictures
    columns = F.cross_entropy(logits.T, own)                        # to sentences
    return (rows + columns) / 2


warm = torch.tensor(1 / 0.1).log()                                  # temperature 0.1
print(f"loss {contrast(looks, words, warm):.3f}")
ours, theirs = contrast(images, texts, warm), clip_loss(images, texts, warm)
torch.testing.assert_close(ours, theirs)
source(clip_loss)

# %% [markdown] lang="en" slide="sub"
# The library puts pictures in the rows; the mean of both directions is the same. In a batch of $B$ pairs each sentence has
# $B - 1$ wrong pictures at no extra cost: they are the right ones of other sentences. A loss that sets right pairs against
# wrong ones is called **contrastive**.
#
# Why a temperature? A cosine is never more than 1. Even a perfect row, 1 for the right picture and $-1$ for 127 wrong ones,
# has a loss of $\ln(1 + 127\, e^{-2}) = 2.90$ at $\tau = 1$. CLIP starts at 0.07 and **learns** $s = \ln(1/\tau)$; $e^s$ is
# positive for every $s$. Above $\ln 100$ training became unstable, so $s$ ends there (Radford et al. 2021, section 2.5).
# %% [markdown] lang="vi" of="b317c96c"
# Thư viện đặt tranh ở hàng; trung bình hai chiều vẫn như nhau. Trong một lô (batch) gồm $B$ cặp, mỗi câu có $B - 1$ bức tranh
# sai mà chẳng tốn thêm gì: chúng là tranh đúng của các câu khác. Hàm mất mát đặt cặp đúng bên cạnh các cặp sai như thế gọi là
# hàm **tương phản (contrastive)**.
#
# Vì sao cần nhiệt độ? Cosin không bao giờ vượt quá 1. Ngay cả một hàng hoàn hảo, 1 cho bức tranh đúng và $-1$ cho 127 bức sai,
# vẫn mất $\ln(1 + 127\, e^{-2}) = 2.90$ khi $\tau = 1$. CLIP bắt đầu ở 0.07 rồi **học** $s = \ln(1/\tau)$; $e^s$ dương với mọi
# $s$. Vượt quá $\ln 100$ thì việc huấn luyện mất ổn định, nên $s$ dừng ở đó (Radford và cộng sự 2021, mục 2.5).

# %% [markdown] lang="en" role="think"
# **Predict.** All eight sentences of the opening find their picture. Below, each row goes through a softmax at temperature 1,
# 0.3 and 0.07; dark is 0, yellow is 1. At which temperature is the loss near 0?
# ---
# Only at the lowest. At 1 the right picture gets little more than the wrong ones, although every row is right. At 0.07 a
# cosine that is higher by 0.5 makes a probability $e^{0.5 / 0.07} \approx 1300$ times as large. Too low is bad as well: when
# two pictures fit almost equally, a tiny difference then counts as a large one.
# %% [markdown] lang="vi" of="d41d32ba"
# **Đoán xem.** Cả tám câu mở đầu đều tìm được tranh của mình. Dưới đây, mỗi hàng đi qua softmax ở nhiệt độ 1, 0.3 và 0.07; tối
# là 0, vàng là 1. Ở nhiệt độ nào thì hàm mất mát gần bằng 0?
# ---
# Chỉ ở nhiệt độ thấp nhất. Ở 1, bức đúng chỉ được nhiều hơn các bức sai một chút, dù hàng nào cũng đúng. Ở 0.07, cosin cao hơn
# 0.5 làm xác suất lớn gấp $e^{0.5 / 0.07} \approx 1300$ lần. Thấp quá cũng không tốt: khi hai bức tranh hợp gần như nhau, một
# chênh lệch rất nhỏ lại bị coi là lớn.

# %% slide="sub"
def rows_at(temperature: float, axis) -> None:
    chances = (similarity / temperature).softmax(dim=1)         # (8, 8), rows sum to 1
    heatmap(chances, axis=axis, digits=-1, vmin=0, vmax=1)


slider(rows_at, "temperature", [1, 0.3, 0.07])
for temperature in (1, 0.3, 0.07):
    loss = clip_loss(images, texts, torch.tensor(1 / temperature).log())
    print(f"temperature {temperature}: loss {loss:.3f}")
print(f"world-clip learnt the temperature {1 / world.logit_scale.exp():.3f}")

# %% [markdown] lang="en" slide="slide"
# ## 3. The two towers
#
# **Text.** A tokenizer cuts the sentence into tokens, and each token looks up its row in a table (lesson 05). Then the layers
# of a *transformer* let the tokens look at each other, so that "star" can learn that it is red. This is called attention;
# lesson 07 builds it.
#
# **Pictures.** A *ViT* (vision transformer) treats patches of the picture as tokens (lesson 09).
#
# At the end of each tower many vectors are **pooled** into one. A matrix, the *projection*, takes it into the common space.
# %% [markdown] lang="vi" of="457d09a4"
# ## 3. Hai tháp
#
# **Văn bản.** Tokenizer cắt câu thành các token, và mỗi token tra hàng của mình trong một bảng (bài 05). Rồi các lớp của một
# *transformer* cho các token nhìn nhau, nhờ đó "star" có thể biết rằng nó màu đỏ. Đó là cơ chế chú ý (attention); bài 07 sẽ
# dựng nó.
#
# **Tranh.** Một *ViT* (vision transformer) coi các patch của bức tranh như token (bài 09).
#
# Ở cuối mỗi tháp, nhiều vector được **gộp (pool)** thành một. Một ma trận, gọi là *phép chiếu (projection)*, đưa nó vào không
# gian chung.

# %%
both = ["a red star", "một ngôi sao màu đỏ"]
ids, mask = tokenizer.encode(both)                                  # (2, L) each
for sentence, row in zip(both, ids.tolist(), strict=True):
    print(tokenizer.tokens(sentence), row)
sequence, pooled = world.text_model(ids, mask)                      # (2, L, D), (2, D)
print("tokens", tuple(sequence.shape), "pooled", tuple(pooled.shape))
print("projected", tuple(world.text_projection(pooled).shape))
patches, pooled = world.vision_model(pictures)                   # (8, 1 + N, D), (8, D)
print("patches", tuple(patches.shape), "pooled", tuple(pooled.shape))
print("projected", tuple(world.visual_projection(pooled).shape))

# %% [markdown] lang="en"
# Read the shapes aloud: *two sentences, L places, D numbers at each place*. Ids 1 and 2 mark the beginning and the end, 0 is
# padding; `mask` is True where there is a token. A picture of $64 \times 64$ pixels has $4 \times 4$ patches of
# $16 \times 16$. One more place, the *class token*, stands for the whole picture.
#
# There are two common ways of pooling a text. CLIP takes the vector of **one token**, the end mark, which has looked at all
# others. The other is the **mean over the tokens**. It has a trap: the padding.
# %% [markdown] lang="vi" of="59d04e8f"
# Đọc to kích thước: *hai câu, L chỗ, mỗi chỗ D con số*. Số 1 và số 2 là dấu mở đầu và dấu kết thúc, 0 là phần đệm; `mask` là
# True ở nơi có token. Bức tranh $64 \times 64$ điểm ảnh (pixel) có $4 \times 4$ patch cỡ $16 \times 16$. Thêm một chỗ nữa,
# *class token*, đại diện cho cả bức.
#
# Có hai cách gộp văn bản phổ biến. CLIP lấy vector của **một token**, dấu kết thúc, vì nó đã nhìn mọi token khác. Cách kia là
# **trung bình qua các token**. Cách này có một cái bẫy: phần đệm.

# %%
def masked_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    kept = torch.where(mask[..., None], tokens, 0)                  # (B, L, D)
    return kept.sum(dim=1) / mask.sum(dim=1, keepdim=True)          # (B, D)


short, long = "a red star", "a small red star left of a big blue house in a meadow"
for company in ([short], [short, long]):
    ids, mask = tokenizer.encode(company)
    tokens = world.text_model(ids, mask).sequence                   # (1 or 2, L, D)
    plain, masked = tokens.mean(dim=1), masked_mean(tokens, mask)   # (1 or 2, D)
    print(f"{len(company)} in the batch: mean {plain[0, 0]:+.3f},",
          f"masked mean {masked[0, 0]:+.3f}")

# %% [markdown] lang="en"
# The lines show the first number of the pooled "a red star". Its plain mean changes when a longer sentence joins the batch,
# because most places are then padding. The masked mean stays the same. No error message tells you.
# %% [markdown] lang="vi" of="69366250"
# Mỗi dòng in con số đầu tiên của vector gộp "a red star". Trung bình thường (mean) của nó thay đổi khi một câu dài hơn vào
# cùng lô, vì lúc đó phần lớn các chỗ là phần đệm. Trung bình có mask (masked mean) thì giữ nguyên. Không có thông báo lỗi nào
# cho bạn biết.

# %% [markdown] lang="en" slide="slide"
# ## 4. Train one
#
# Each picture has one or two things on a plain background, at 32 pixels; a thing is about ten pixels wide. Each sentence gives
# kind, colour and relation, in English or Vietnamese, in words chosen anew each time.
#
# On a CPU the picture tower is three convolutions (lesson 01); five of the paper's eight CLIPs have convolutional ones too. It
# is pooled by the largest value of each channel over all places, which keeps *what* is there and forgets *where*.
#
# 64 more pictures, made in the same way, are kept for the test. They are new drawings, though their things may have been seen.
# %% [markdown] lang="vi" of="ae9ec357"
# ## 4. Huấn luyện một CLIP
#
# Mỗi bức tranh có một hoặc hai vật trên nền trơn, cỡ 32 điểm ảnh; một vật rộng khoảng mười điểm ảnh. Mỗi câu nói loại vật, màu
# và quan hệ, bằng tiếng Anh hoặc tiếng Việt, mỗi lần chọn lời lại từ đầu.
#
# Trên CPU, tháp tranh là ba phép tích chập (bài 01); năm trong tám CLIP của bài báo cũng có tháp tranh bằng tích chập. Nó được
# gộp bằng giá trị lớn nhất của mỗi kênh trên mọi chỗ, nhờ đó giữ lại trong tranh *có gì* và quên *ở đâu*.
#
# 64 bức nữa, làm theo cùng cách, được giữ lại để kiểm tra. Đó là những hình vẽ mới, dù các vật trong đó có thể đã gặp.

# %%
from dataclasses import replace

from minidiff.data.world.captions import describe, phrase
from minidiff.data.world.scenes import COLOURS, SHAPES, Group, Scene


def drawn(dice: random.Random, things: int) -> Scene:
    kinds, colours = dice.sample(SHAPES, things), dice.sample(COLOURS, things)
    groups = tuple(Group(*look, "big") for look in zip(kinds, colours, strict=True))
    relation = dice.choice(("left", "right", "above", "below")) if things > 1 else None
    return Scene("plain", groups, relation, dice.getrandbits(32))


def claim(scene: Scene) -> Scene:                                   # what is told of it
    groups = tuple(replace(group, size=None) for group in scene.groups)
    return replace(scene, setting=None, groups=groups)


# %%
from minidiff.models.clip import TowerOutput


class Eye(nn.Module):
    """Pictures (B, 3, 32, 32) to one vector each, (B, 64)."""

    def __init__(self) -> None:
        super().__init__()
        layers, width = [], 3
        for wider in (32, 64, 128):                                 # 16, 8, 4 pixels
            conv = nn.Conv2d(width, wider, 3, stride=2, padding=1)
            layers, width = [*layers, conv, nn.GroupNorm(8, wider), nn.SiLU()], wider
        pool = nn.AdaptiveMaxPool2d(1)                              # (B, 128, 1, 1)
        self.layers = nn.Sequential(*layers, pool, nn.Flatten(), nn.Linear(128, 64))

    def forward(self, pixels: Tensor) -> TowerOutput:
        pooled = self.layers(pixels)                                # (B, 64)
        return TowerOutput(pooled[:, None], pooled)


# %%
device = "cuda" if torch.cuda.is_available() else "cpu"
small = {"size": 32, "scenes": 4000, "batch": 128, "steps": 400, "lr": 1.5e-3}
large = {"size": 64, "scenes": 40_000, "batch": 512, "steps": 4000, "lr": 1e-3}
plan = large if device == "cuda" else small
print(f"on a GPU: {large}\non a CPU: {small}\nhere: {device}")
torch.manual_seed(0)
if device == "cuda":
    mine = CLIP(TextConfig(**config["text"]), VisionConfig(**config["vision"]))
else:
    shape = {"hidden_size": 64, "layers": 2, "heads": 2, "intermediate": 128}
    words_of = TextConfig(vocab_size=tokenizer.vocab_size, projection_dim=64, **shape)
    mine = CLIP(words_of, VisionConfig(projection_dim=64, **shape))
    mine.vision_model = Eye()
mine = mine.to(device)

# %%
dice = random.Random(0)
known = [drawn(dice, dice.choice((1, 1, 2))) for _ in range(plan["scenes"])]
pixels = rendered(known, plan["size"])                              # (N, 3, size, size)
fresh: dict[tuple, Scene] = {}
while len(fresh) < 64:                                             # no two say the same
    scene = drawn(dice, dice.choice((1, 1, 2)))
    fresh[scene.groups] = scene
held_out = [*fresh.values()]
fresh_pixels = rendered(held_out, plan["size"])                    # (64, 3, size, size)
for k, (scene, lang) in enumerate(zip(held_out, ("en", "vi") * 3), start=1):
    print(f"{k}. {phrase(claim(scene), lang, dice)}")
show(fresh_pixels[:6], range(1, 7), columns=6)

# %%
@torch.no_grad()
def matrix(model: CLIP, captions: list[str], pixels: Tensor) -> Tensor:
    ids, mask = tokenizer.encode(captions)                          # (T, L) each
    texts = model.embed_text(ids.to(device), mask.to(device))       # (T, P)
    return (texts @ model.embed_image(pixels.to(device)).T).cpu()   # (T, I) cosines


def recall(model: CLIP, lang: str) -> tuple[float, Tensor]:
    captions = [phrase(claim(s), lang, random.Random(0)) for s in held_out]
    table = matrix(model, captions, fresh_pixels)                   # (64, 64)
    return float((table.argmax(dim=1) == torch.arange(64)).float().mean()), table


_, before = recall(mine, "en")

# %%
from minidiff.train.optim import warmup_cosine

steps, batch, losses = plan["steps"], plan["batch"], []
optimizer = torch.optim.AdamW(mine.parameters(), lr=plan["lr"], weight_decay=0.1)
pace = torch.optim.lr_scheduler.LambdaLR(
    optimizer, lambda step: warmup_cosine(step, steps, warmup=20)
)

# %%
for step in range(1, steps + 1):
    pick = torch.randint(len(known), (batch,))                      # (B,)
    langs = dice.choices(("en", "vi"), k=batch)
    told = [describe(claim(known[k]), lang, dice) for k, lang in zip(pick, langs)]
    ids, mask = (part.to(device) for part in tokenizer.encode(told))    # (B, L) each
    loss = clip_loss(*mine(pixels[pick].to(device), ids, mask), mine.logit_scale)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    pace.step()
    losses.append(loss.item())
    if step % (steps // 5) == 0:
        print(f"step {step}: loss {sum(losses[-30:]) / 30:.2f}")
mine = mine.eval().requires_grad_(False)

# %% slide="sub"
guess = [math.log(batch)] * len(losses)
lines({"loss": losses, "guessing, ln B": guess}, x="step", lw=1)
found = {lang: recall(mine, lang) for lang in ("en", "vi")}
for axis, (name, table) in zip(
    panels(2), {"before": before, "after": found["en"][1]}.items(), strict=True
):
    heatmap(table, axis=axis, title=name, digits=-1)
for lang, (share, _) in found.items():
    print(f"{lang}: own picture first {share:.2f}, by chance {1 / 64:.3f}")

# %% [markdown] lang="en"
# The loss begins above guessing, $\ln B$: the cosines of an untrained network differ at random, and dividing them by 0.07
# makes the differences large. In "before" some columns are bright in nearly every row. Then the loss falls, and "after" has a
# bright diagonal. Nobody told this network that "đỏ" means "red"; both languages were pulled to the same pictures, and so to
# each other.
#
# The share of sentences whose own picture comes first is **R@1**, recall at 1. One sentence of 64 is 0.016, so a difference of
# a few hundredths between the languages may be chance.
# %% [markdown] lang="vi" of="a92e0419"
# Lúc đầu hàm mất mát nằm trên mức đoán bừa, $\ln B$: các cosin của mạng chưa huấn luyện chênh nhau một cách ngẫu nhiên, và
# chia cho 0.07 thì các chênh lệch ấy thành lớn. Ở "before" (trước), có những cột sáng ở gần như mọi hàng. Rồi hàm mất mát
# giảm, và "after" (sau) có một đường chéo sáng. Không ai bảo mạng này "đỏ" nghĩa là "red"; cả hai ngôn ngữ được kéo về cùng
# những bức tranh, nhờ thế về gần nhau.
#
# Tỉ lệ các câu có bức tranh của mình đứng đầu gọi là **R@1** (recall at 1). Một câu trong 64 là 0.016, nên chênh lệch vài phần
# trăm giữa hai ngôn ngữ có thể chỉ là ngẫu nhiên.

# %% [markdown] lang="en" slide="slide"
# ## 5. Find and name
#
# `world-clip` was trained with the same loss (section 7 says what was added) for longer, on scenes with settings, sizes,
# numbers and up to three things. First we **find**: 64 scenes that it has never seen, each with a caption that leaves out some
# details. `vi_unaccented` is Vietnamese typed without accents; `en_to_vi` looks for the translation of an English sentence.
# %% [markdown] lang="vi" of="b6673029"
# ## 5. Tìm và gọi tên
#
# `world-clip` được huấn luyện với cùng hàm mất mát (mục 7 nói rõ có thêm gì) nhưng lâu hơn, trên những cảnh có bối cảnh, kích
# cỡ, số lượng và tới ba vật. Trước hết ta **tìm**: 64 cảnh nó chưa từng thấy, mỗi cảnh có một chú thích (caption) bỏ bớt vài
# chi tiết. `vi_unaccented` là tiếng Việt gõ không dấu; `en_to_vi` là tìm bản dịch của một câu tiếng Anh.

# %%
from minidiff.train.clip import retrieval

for name, share in retrieval(world, tokenizer, count=64).items():
    print(f"{name:23} R@1 {share:.2f}   by chance {1 / 64:.3f}")

# %% slide="sub"
album = rendered([scene_at(k, "test") for k in range(64)], 64)      # (64, 3, 64, 64)
asked = [
    "two big red fish", "hai con cá to màu đỏ",
    "a purple house by the sea", "căn nhà màu tím bên bờ biển",
]
scores = world.embed_text(*tokenizer.encode(asked)) @ world.embed_image(album).T
best = scores.topk(5).indices                                       # (4, 5)
show(album[best], [f"{place}." for place in range(1, 6)])           # (4, 5, 3, 64, 64)
twins = world.embed_text(*tokenizer.encode(asked))                  # (4, P)
print(f"English and Vietnamese: cosines {(twins[::2] * twins[1::2]).sum(1).tolist()}")

# %% [markdown] lang="en"
# Each row shows the five best of 64 pictures for one sentence, in the order of `asked`. A sentence and its translation have a
# cosine near 1, although the network was never shown the two together.
#
# Look at the pictures that were *not* asked for: more of them share a colour or the setting with the sentence than the kind of
# thing.
# %% [markdown] lang="vi" of="96e0b96b"
# Mỗi hàng là năm bức hợp nhất trong 64 bức với một câu, theo thứ tự của `asked`. Một câu và bản dịch của nó có cosin gần 1, dù
# mạng chưa bao giờ được xem hai câu cùng nhau.
#
# Hãy nhìn những bức *không* được hỏi đến: số bức có chung màu hay bối cảnh với câu nhiều hơn số bức có chung loại vật.

# %% [markdown] lang="en" slide="sub"
# Then we **name**. A classifier needs labelled pictures; CLIP needs only the names. Write a sentence for each name; the one
# nearest to the picture is the answer: **zero-shot** classification. One phrasing may be unlucky, so take several, average
# their unit vectors, and bring the mean to length 1 again.
#
# Below, `many` says each kind in ten phrasings, one with each colour; `shades` says each colour with all eighteen kinds.
# %% [markdown] lang="vi" of="d43a52e1"
# Sau đó ta **gọi tên**. Bộ phân loại cần tranh có nhãn; CLIP chỉ cần các tên. Viết một câu cho mỗi tên; câu gần bức tranh nhất
# là câu trả lời: phân loại **zero-shot** (không cần ví dụ nào). Một cách nói có thể không may, nên hãy lấy nhiều cách, tính
# trung bình các vector đơn vị của chúng, rồi đưa trung bình về độ dài 1.
#
# Dưới đây, `many` nói mỗi loại vật theo mười cách, mỗi cách một màu; `shades` nói mỗi màu với cả mười tám loại.

# %%
def named(model: CLIP, pixels: Tensor, prompts: list[list[str]]) -> Tensor:
    flat = [sentence for phrasings in prompts for sentence in phrasings]
    ids, mask = tokenizer.encode(flat)                              # (K * T, L) each
    with torch.no_grad():
        vectors = model.embed_text(ids.to(device), mask.to(device)) # (K * T, P)
        images = model.embed_image(pixels.to(device))               # (B, P)
    classes = normalise(vectors.view(len(prompts), -1, vectors.shape[1]).mean(dim=1))
    return (images @ classes.T).argmax(dim=1).cpu()                 # (B,) of K classes


# %%
looks = [(kind, colour) for kind in range(18) for colour in range(10)]
things = [Scene("plain", (Group(SHAPES[k], COLOURS[c], "big"),), None, 7 * k + c)
          for k, c in looks]
kind, colour = torch.tensor(looks).T                                # (180,) each
alone = rendered(things, plan["size"])                              # (180, 3, 32, 32)
one = [[f"a {name}"] for name in SHAPES]
many = [[f"a {shade} {name}" for shade in COLOURS] for name in SHAPES]
shades = [[f"a {shade} {name}" for name in SHAPES] for shade in COLOURS]
says, says_colour = named(mine, alone, many), named(mine, alone, shades)
for what, answer, truth in (("kind, 1 phrasing", named(mine, alone, one), kind),
                            ("kind, 10 phrasings", says, kind),
                            ("colour, 18 phrasings", says_colour, colour)):
    share, chance = (answer == truth).float().mean(), 1 / (int(truth.max()) + 1)
    print(f"{what:21} right {share:.2f}   by chance {chance:.2f}")

# %% slide="sub"
def confusion(answer: Tensor, truth: Tensor, names: tuple[str, ...], axis) -> None:
    table = torch.zeros(len(names), len(names))
    table.index_put_((truth, answer), torch.ones(()), accumulate=True)
    heatmap(table, names, names, axis, digits=-1)


left, right = panels(2, height=3.2)
confusion(says, kind, SHAPES, left)
confusion(says_colour, colour, COLOURS, right)

# %% [markdown] lang="en"
# Rows are the truth, columns the answer; brighter means more often. Colours (right) are nearly all on the diagonal. Kinds
# (left), after the short training on a CPU, are better than guessing and still mostly wrong: circles are usually called
# squares, which look alike at 32 pixels, and some columns, such as "house", catch pictures of many kinds. Ten phrasings do
# not help here. For OpenAI's CLIP, 80 gave 3.5 points on ImageNet (Radford et al. 2021, section 3.1.4).
#
# Colours come before kinds because they are easy to see and tell most pictures of a batch apart.
# %% [markdown] lang="vi" of="c9cf1bf9"
# Hàng là sự thật, cột là câu trả lời; càng sáng thì càng nhiều lần. Màu (bên phải) gần như nằm cả trên đường chéo. Loại vật
# (bên trái), sau đợt huấn luyện ngắn trên CPU, thì hơn đoán bừa mà vẫn sai phần lớn: hình tròn (circle) thường bị gọi là
# hình vuông (square), vì ở 32 điểm ảnh chúng giống nhau, và vài cột, như "house" (ngôi nhà), hút tranh của nhiều loại. Ở đây
# mười cách nói không giúp gì thêm. Với CLIP của OpenAI, 80 cách nói giúp tăng 3.5 điểm trên ImageNet (Radford và cộng sự
# 2021, mục 3.1.4).
#
# Màu được học trước loại vật vì màu dễ thấy và đủ để phân biệt phần lớn các bức tranh trong một lô.

# %% [markdown] lang="en" slide="slide"
# ## 6. One vector, or one per token?
#
# To rank pictures, one vector for the sentence is enough: the pooled one, (B, D). To **draw** a picture, more is needed. Take
# two sentences with the same words in another order:
#
# - a red star left of a blue house
# - a blue star left of a red house
#
# Before pooling, the text tower had a vector for each token: the **sequence**, (B, L, D). In our towers L is at most 64; in
# OpenAI's CLIP it is always 77: (B, 77, D).
#
# **Predict** two cosines: that of the two pooled vectors, and that of the two vectors of "star".
# %% [markdown] lang="vi" of="f2896b98"
# ## 6. Một vector, hay mỗi token một vector?
#
# Để xếp hạng tranh thì một vector cho cả câu là đủ: vector gộp, (B, D). Để **vẽ** một bức tranh thì cần hơn thế. Lấy hai câu
# có cùng các từ, theo thứ tự khác:
#
# - a red star left of a blue house (ngôi sao đỏ bên trái ngôi nhà xanh dương)
# - a blue star left of a red house (ngôi sao xanh dương bên trái ngôi nhà đỏ)
#
# Trước khi gộp, tháp văn bản có một vector cho mỗi token: **chuỗi (sequence)**, (B, L, D). Ở các tháp của ta, L nhiều nhất là
# 64; ở CLIP của OpenAI, L luôn là 77: (B, 77, D).
#
# **Đoán xem** hai cosin: của hai vector gộp, và của hai vector ở "star".

# %% slide="sub"
pair = ["a red star left of a blue house", "a blue star left of a red house"]
ids, mask = tokenizer.encode(pair)                                  # (2, L) each
sequence, pooled = world.text_model(ids, mask)                      # (2, L, D), (2, D)
first, second = normalise(sequence)                                 # (L, D) each
heads, tails = (["<bos>", *tokenizer.tokens(s), "<eos>"] for s in pair)
heatmap(first @ second.T, heads, tails)                             # (L, L)
print(f"pooled: {F.cosine_similarity(pooled[0], pooled[1], dim=0):.3f}")

# %% [markdown] lang="en"
# The diagonal compares the same place of both sentences. The last place, `<eos>`, is the pooled vector: its cosine is almost
# 1, because both sentences hold the same words. At "star" it is lower: one has read "red", the other "blue". It is lowest
# where the words themselves differ.
#
# Is the star's colour lost in the pooled vector, or only hard to see? On 1,500 sentences we fit a linear map (least squares)
# that answers *which colour is the star?* from the star's own vector, or from the pooled one. Then we ask it about 500 others.
# %% [markdown] lang="vi" of="d6ebac85"
# Đường chéo so cùng một chỗ của hai câu. Chỗ cuối cùng, `<eos>`, chính là vector gộp: cosin gần như bằng 1, vì hai câu có cùng
# các từ. Ở "star", cosin thấp hơn: một bên đã đọc "red", bên kia đọc "blue". Nó thấp nhất ở chỗ chính các từ khác nhau.
#
# Màu của ngôi sao đã mất trong vector gộp, hay chỉ khó thấy? Trên 1500 câu, ta khớp một phép biến đổi tuyến tính (bình phương
# tối thiểu) để trả lời *ngôi sao màu gì?* từ vector của chính ngôi sao, hoặc từ vector gộp. Rồi ta hỏi nó về 500 câu khác.

# %%
def questions(count: int, dice: random.Random) -> tuple[list[str], Tensor]:
    asked, answers = [], []
    for _ in range(count):
        (right, other), kind = dice.sample(COLOURS, 2), dice.choice(SHAPES)
        two = [f"a {right} star", f"a {other} {kind if kind != 'star' else 'house'}"]
        dice.shuffle(two)
        asked.append(f" {dice.choice(('left of', 'above'))} ".join(two))
        answers.append(COLOURS.index(right))
    return asked, F.one_hot(torch.tensor(answers), 10).float()      # (count, 10)


# %%
def features(model: CLIP, asked: list[str]) -> tuple[Tensor, Tensor]:
    ids, mask = tokenizer.encode(asked)                             # (count, L) each
    sequence = model.cpu().text_model(ids, mask).sequence           # (count, L, D)
    star = (ids == tokenizer.encode(["star"])[0][0, 1]).int().argmax(dim=1)
    return sequence[torch.arange(len(ids)), star], model.embed_text(ids, mask)


dice = random.Random(0)
(learn, answers), (test, truth) = questions(1500, dice), questions(500, dice)
for name, model in (("ours", mine), ("world-clip", world)):
    pairs = zip(features(model, learn), features(model, test), strict=True)
    for what, (x, y) in zip(("star's token", "pooled"), pairs):
        mean, spread = x.mean(dim=0), x.std(dim=0) + 1e-6           # (D,) each
        x, y = (F.pad((part - mean) / spread, (0, 1), value=1.0) for part in (x, y))
        ridge = x.T @ x + 1e-2 * len(x) * torch.eye(x.shape[1])     # (D + 1, D + 1)
        readout = torch.linalg.solve(ridge, x.T @ answers)          # (D + 1, 10)
        right = ((y @ readout).argmax(1) == truth.argmax(1)).float().mean()
        print(f"{name:10} {what:12} right {right:.2f}")

# %% [markdown] lang="en"
# A vector that knows only *which* two colours a sentence has must guess between them: right in half of the cases. Both of ours
# are about there. In `world-clip` the star's own vector knows the colour, and the pooled one has kept only a part of it.
#
# So a network that draws gets the **sequence**. Each place of the picture can then ask: *which word am I about, and which
# colour does it have?* The pooled vector says the same to all places. This asking is cross-attention, in lesson 07.
# %% [markdown] lang="vi" of="1a4511bd"
# Vector chỉ biết câu có *những* màu nào thì phải đoán một trong hai: đúng một nửa số lần. Cả hai vector của mạng ta đứng
# khoảng mức đó. Ở `world-clip`, vector của chính ngôi sao biết màu, còn vector gộp chỉ giữ lại một phần.
#
# Vì vậy mạng dùng để vẽ sẽ nhận cả **chuỗi**. Khi đó mỗi chỗ của bức tranh hỏi được: *tôi ứng với từ nào, và từ ấy màu gì?*
# Vector gộp thì nói cùng một điều với mọi chỗ. Việc hỏi ấy là cơ chế chú ý chéo (cross-attention), ở bài 07.

# %% [markdown] lang="en" slide="slide"
# ## 7. What a contrastive loss does not bind
#
# Which colour belongs to which thing? A network knows this **binding** if it prefers the true sentence to the one with the
# colours exchanged. We ask both CLIPs about 200 new pictures, each with two things of different kinds and colours.
# %% [markdown] lang="vi" of="151e40f2"
# ## 7. Điều mà hàm mất mát tương phản không gắn được
#
# Màu nào của vật nào? Mạng biết **gắn (binding)** màu với vật nếu nó thích câu đúng hơn câu bị tráo màu. Ta hỏi cả hai CLIP về
# 200 bức tranh mới, mỗi bức có hai vật khác loại và khác màu.

# %% [markdown] lang="en" role="think"
# **Predict.** Guessing is right in half of the cases. Ours finds most of its pictures among 64. How often does it prefer the
# true colours?
# ---
# About half of the time, no better than guessing. A batch of random pairs hardly ever holds a caption with the same words in
# another order. To find its picture, a sentence needs its colours and its kinds, and hardly ever which belongs to which. So
# hardly any gradient teaches that.
# %% [markdown] lang="vi" of="7208e9c0"
# **Đoán xem.** Đoán bừa thì đúng một nửa. Mạng của ta tìm đúng phần lớn tranh trong 64 bức. Nó thích câu đúng màu hơn trong
# bao nhiêu phần?
# ---
# Khoảng một nửa, không hơn gì đoán bừa. Một lô gồm các cặp ngẫu nhiên hầu như không bao giờ chứa một câu có cùng các từ theo
# thứ tự khác. Để tìm bức tranh của mình, một câu cần các màu và các loại vật, mà hầu như không cần biết màu nào của vật nào.
# Vì vậy hầu như không có gradient nào dạy điều ấy.

# %%
def swapped(scene: Scene) -> Scene:
    one, two = scene.groups
    groups = replace(one, colour=two.colour), replace(two, colour=one.colour)
    return replace(scene, groups=groups)


def two_scores(model: CLIP, scenes: list[Scene], size: int) -> Tensor:
    texts = [model.embed_text(*tokenizer.encode(
        [phrase(change(claim(s)), "en", random.Random(k)) for k, s in enumerate(scenes)]
    )) for change in (lambda scene: scene, swapped)]                # 2 x (N, P)
    return (torch.stack(texts) * model.embed_image(rendered(scenes, size))).sum(-1)


duos = [drawn(dice, 2) for _ in range(200)]
for name, model, size in (("ours", mine, plan["size"]), ("world-clip", world, 64)):
    true, false = two_scores(model, duos, size)                     # (200,) each
    print(f"{name}: prefers the true colours {(true > false).float().mean():.2f}")

# %% slide="sub"
examples = duos[:4]
show(rendered(examples, plan["size"]), range(1, 5))
scores = two_scores(mine, examples, plan["size"]).T                 # (4, 2)
for k, (scene, both) in enumerate(zip(examples, scores), start=1):
    for label, what, score in zip(("true", "false"), (scene, swapped(scene)), both):
        words = phrase(claim(what), "en", random.Random(0))
        print(f"{k}. {label:5} {score:.3f}  {words}")

# %% [markdown] lang="en"
# In each pair of lines the scores differ by a few hundredths at most, and the false sentence often has the higher one. With
# 200 pictures, guessing nearly always gives a share between 0.43 and 0.57.
#
# `world-clip` is often wrong too, although its word vectors know the answer (section 6). They learnt it because a small head,
# thrown away afterwards, asked the text tower questions in training, such as *which colour is the star?* Nobody asked the
# picture tower. Large CLIPs have the same weakness (Yuksekgonul et al. 2023); captions with exchanged words in the batch help.
# %% [markdown] lang="vi" of="ac24b133"
# Trong mỗi cặp dòng, hai điểm số chênh nhau nhiều nhất vài phần trăm, và câu sai nhiều khi lại cao điểm hơn. Với 200 bức
# tranh, đoán bừa hầu như luôn cho tỉ lệ từ 0.43 đến 0.57.
#
# `world-clip` cũng sai nhiều, dù vector của các từ biết câu trả lời (mục 6). Chúng học được vì khi huấn luyện, một bộ phận
# nhỏ, sau đó bị bỏ đi, đã hỏi tháp văn bản những câu như *ngôi sao màu gì?* Không ai hỏi tháp tranh. Các CLIP lớn có cùng điểm
# yếu này (Yuksekgonul và cộng sự 2023); đưa những câu bị tráo từ vào lô thì đỡ hơn.

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall: the missing L2 norm
#
# **Symptom.** One picture is the answer to nearly every sentence: the heatmap has a bright column. The code runs, and all
# shapes are right.
#
# **Cause.** The vectors weren't brought to length 1, so the longest one wins (section 1). The loss divides by the lengths, so
# nothing in training keeps them equal.
#
# **Fix.** Normalise both sides, over the **last** axis: `F.normalize(x, dim=-1)`. If in doubt, print the lengths.
# %% [markdown] lang="vi" of="439bda79"
# ## Cạm bẫy: quên chuẩn L2
#
# **Triệu chứng.** Một bức tranh là câu trả lời cho gần như mọi câu: bản đồ nhiệt có một cột sáng. Mã vẫn chạy, mọi kích thước
# đều đúng.
#
# **Nguyên nhân.** Các vector chưa được đưa về độ dài 1, nên vector dài nhất thắng (mục 1). Hàm mất mát chia cho độ dài, nên
# khi huấn luyện không có gì giữ cho chúng dài bằng nhau.
#
# **Cách chữa.** Chuẩn hóa cả hai bên, theo trục **cuối cùng**: `F.normalize(x, dim=-1)`. Nếu nghi ngờ, hãy in các độ dài ra.

# %% slide="sub"
raw = world.visual_projection(world.vision_model(pictures).pooled)  # (8, P), any length
print("lengths", [round(length, 1) for length in raw.norm(dim=1).tolist()])
usual = float(raw.norm(dim=1).median())
tall = int(similarity.amin(dim=0).argmax())                         # fits no row badly
raw[tall] *= 10                                                     # the same direction
rows, (left, right) = [f"sentence {k}" for k in range(1, 9)], panels(2, height=3.2)
heatmap(texts @ normalise(raw).T, rows, names, left, "length 1", vmin=-0.5, vmax=1)
heatmap(texts @ raw.T, rows, names, right, "as they are", digits=0,
        vmin=-0.5 * usual, vmax=usual)
print(f"ten times as long: {names[tall]}; best picture of each row, not normalised:",
      ((texts @ raw.T).argmax(dim=1) + 1).tolist())

# %% [markdown] lang="en"
# These are the opening's pictures and sentences. The printed lengths are those that the picture tower gives; then one vector
# was made ten times as long, in the same direction. At length 1 (left) nothing changes. As they are (right), the long picture
# has the largest number of nearly every row. It loses only where its cosine is near 0 or negative.
# %% [markdown] lang="vi" of="0376d4e0"
# Đây là tranh và câu của hình mở đầu. Những độ dài in ra là do chính tháp tranh cho; sau đó một vector được kéo dài gấp mười,
# giữ nguyên hướng. Với độ dài 1 (bên trái) thì không có gì thay đổi. Để nguyên (bên phải), bức tranh dài có số lớn nhất ở gần
# như mọi hàng. Nó chỉ thua ở nơi cosin của nó gần 0 hoặc âm.

# %% [markdown] lang="en" slide="slide"
# ## Optional: a published CLIP
#
# `load_clip` reads both towers of a published CLIP, or of a *SigLIP*, which judges each pair by itself, with a sigmoid in
# place of the softmax (Zhai et al. 2023). Put a folder, or the hub's "owner/name", into `MINIDIFF_CLIP`, and `clip` or
# `siglip` into `MINIDIFF_CLIP_KIND`. Then the eight opening scenes are compared with a sentence of each language: 8 English
# rows, then 8 Vietnamese ones. Only a multilingual model, such as `google/siglip-base-patch16-256-multilingual`, reads
# Vietnamese well.
# %% [markdown] lang="vi" of="8698a42c"
# ## Tùy chọn: một CLIP đã công bố
#
# `load_clip` đọc cả hai tháp của một CLIP đã công bố, hoặc của một *SigLIP*, mô hình xét riêng từng cặp, dùng sigmoid thay cho
# softmax (Zhai và cộng sự 2023). Hãy đặt một thư mục, hoặc "owner/name" trên hub, vào `MINIDIFF_CLIP`, và `clip` hoặc `siglip`
# vào `MINIDIFF_CLIP_KIND`. Khi đó tám cảnh mở đầu được so với một câu của mỗi ngôn ngữ: 8 hàng tiếng Anh, rồi 8 hàng tiếng
# Việt. Chỉ mô hình đa ngôn ngữ, như `google/siglip-base-patch16-256-multilingual`, mới đọc tốt tiếng Việt.

# %%
import os

from PIL import Image

from minidiff.data.world.rendering import render
from minidiff.models.clip import TextEncoder
from minidiff.text.published_clip import load_clip


def compared(kind: str, folder: str) -> None:
    scenes, published = [scene_at(k, "test") for k in eight], load_clip(kind, folder)
    drawings = [Image.fromarray(render(scene, 256).image) for scene in scenes]
    claims = [replace(scene, groups=tuple(replace(g, place=None) for g in scene.groups))
              for scene in scenes]                              # without their places
    told = [phrase(c, lang, random.Random(1)) for lang in ("en", "vi") for c in claims]
    tables = {
        "world-clip": world.embed_text(*tokenizer.encode(told)) @ images.T,    # (16, 8)
        "published": published.embed_text(told) @ published.embed_image(drawings).T,
    }
    for axis, (name, table) in zip(panels(2, height=5), tables.items(), strict=True):
        rows = told if name == "world-clip" else ()
        heatmap(table, rows, names, axis, name, digits=-1)
        right = (table.argmax(dim=1) == torch.arange(8).repeat(2)).view(2, 8).sum(dim=1)
        print(f"{name}: own picture first in {right[0]} English, {right[1]} Vietnamese")


# %%
if folder := os.environ.get("MINIDIFF_CLIP"):
    compared(os.environ.get("MINIDIFF_CLIP_KIND", "clip"), folder)
else:
    with torch.device("meta"):                                      # shapes, no numbers
        tower = TextEncoder(TextConfig(
            vocab_size=49408, max_length=77, hidden_size=768, layers=12, heads=12,
            intermediate=3072, projection_dim=768, causal=True, eos_id=None,
        ))
        out = tower(torch.zeros(3, 77, dtype=torch.long))
    size = sum(p.numel() for p in tower.parameters()) / 1e6
    print("MINIDIFF_CLIP isn't set: here are the shapes of a published text tower.")
    print(f"CLIP ViT-L/14, text: {size:.0f} million numbers,",
          f"sequence {tuple(out.sequence.shape)}, pooled {tuple(out.pooled.shape)}")

# %% [markdown] lang="en" slide="slide"
# ## Summary
#
# | what | formula | shapes |
# |---|---|---|
# | masked pooling | sum over tokens / number of tokens | (B, L, D), (B, L) → (B, D) |
# | length 1 | $a / \lVert a \rVert$ | (B, P) → (B, P), over the last axis |
# | logits | $e^s\, T\, I^\top$, $\ s = \ln(1/\tau) \le \ln 100$ | (B, P), (B, P) → (B, B) |
# | loss | mean of cross-entropy of rows and of columns | (B, B) → scalar; guessing: $\ln B$ |
# | zero-shot | nearest of K class vectors | (B, P), (K, T, P) → (B,) |
# | pooled against sequence | one vector, or one per token | (B, D) against (B, L, D) |
# %% [markdown] lang="vi" of="d2cff190"
# ## Tóm tắt
#
# | cái gì | công thức | kích thước |
# |---|---|---|
# | gộp có mask | tổng qua các token / số token | (B, L, D), (B, L) → (B, D) |
# | độ dài 1 | $a / \lVert a \rVert$ | (B, P) → (B, P), theo trục cuối |
# | logit | $e^s\, T\, I^\top$, $\ s = \ln(1/\tau) \le \ln 100$ | (B, P), (B, P) → (B, B) |
# | hàm mất mát | trung bình cross-entropy của hàng và của cột | (B, B) → một số; đoán bừa: $\ln B$ |
# | zero-shot | gần nhất trong K vector của các lớp | (B, P), (K, T, P) → (B,) |
# | gộp và chuỗi | một vector, hoặc mỗi token một vector | (B, D) và (B, L, D) |

# %% [markdown] lang="en"
# **You can now** write and train a CLIP, find and name pictures by sentences, and say what a pooled vector knows and what it
# doesn't.
#
# The picture tower isn't used when a picture is generated: there is no picture yet to look at. Only the **text tower** goes
# on, with its sequence.
#
# **What still bothers:** we have vectors for words, (B, L, D), and a U-Net that reads one vector for a label. How can every
# place of a picture ask every word? Lesson 07 builds that: cross-attention.
#
# **Sources.** A. Radford et al. 2021, *Learning transferable visual models from natural language supervision*, figure 3
# (loss), sections 2.4, 2.5, 3.1. A. van den Oord, Y. Li, O. Vinyals 2018, *Representation learning with contrastive predictive
# coding*, eq. 4 (InfoNCE). M. Yuksekgonul et al. 2023, *When and why vision-language models behave like bags-of-words, and
# what to do about it*. X. Zhai et al. 2023, *Sigmoid loss for language image pre-training*.
# %% [markdown] lang="vi" of="94896f07"
# **Giờ bạn đã biết** viết và huấn luyện một CLIP, tìm tranh và gọi tên tranh bằng câu văn, và nói được vector gộp biết gì và
# không biết gì.
#
# Khi sinh tranh thì không dùng đến tháp tranh: lúc ấy chưa có bức tranh nào để nhìn. Chỉ **tháp văn bản** đi tiếp, cùng với
# chuỗi vector của nó.
#
# **Điều còn vướng:** ta có vector cho các từ, (B, L, D), và một U-Net chỉ đọc một vector cho nhãn. Làm sao để mọi chỗ của bức
# tranh hỏi được mọi từ? Bài 07 dựng điều đó: cơ chế chú ý chéo (cross-attention).
#
# **Nguồn.** A. Radford và cộng sự 2021, *Learning transferable visual models from natural language supervision*, hình 3 (hàm
# mất mát), mục 2.4, 2.5, 3.1. A. van den Oord, Y. Li, O. Vinyals 2018, *Representation learning with contrastive predictive
# coding*, công thức 4 (InfoNCE). M. Yuksekgonul và cộng sự 2023, *When and why vision-language models behave like
# bags-of-words, and what to do about it*. X. Zhai và cộng sự 2023, *Sigmoid loss for language image pre-training*.

# %% [markdown] lang="en" only="exercise"
# # 06 Exercises: your code between words and pictures
#
# From one vector for a sentence to a training step of CLIP. Fill in each function, run its cell, and `check` says what is
# right. Then your function works with the shipped `world-clip`, on six scenes whose things never had these colours in its
# training, and what it finds must be what the solution finds.
# %% [markdown] lang="vi" of="b1108671" only="exercise"
# # 06 Bài tập: mã của bạn giữa từ ngữ và tranh
#
# Từ một vector cho cả câu đến một bước huấn luyện của CLIP. Hãy điền từng hàm, chạy ô của nó, và `check` cho biết chỗ nào đúng.
# Sau đó hàm của bạn làm việc với `world-clip` có sẵn, trên sáu cảnh mà các vật chưa từng mang màu ấy trong lúc huấn luyện;
# những gì nó tìm được phải trùng với lời giải.

# %% only="exercise"
import math
import random
from collections.abc import Callable
from itertools import combinations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from minidiff.data.world.captions import COLOURS_VI, SETTINGS_EN, SETTINGS_VI, phrase
from minidiff.data.world.scenes import COLOURS, SHAPES, Group, Scene
from minidiff.models.clip import CLIP, TextConfig, VisionConfig
from minidiff.pretrained import zoo
from minidiff.text.tokenizer import Tokenizer
from minidiff.train.clip import rendered
from minidiff.utils.plots import heatmap, lines, show

config, state = zoo.load("world-clip")
clip = CLIP(TextConfig(**config["text"]), VisionConfig(**config["vision"]))
clip.load_state_dict(state)
clip.eval().requires_grad_(False)
tokenizer = Tokenizer.load(zoo.path("tokenizer"))

things = {"cat": ("yellow", "room"), "heart": ("white", "night"),
          "bird": ("purple", "sunset"), "fish": ("black", "sea"),
          "umbrella": ("pink", "meadow"), "boat": ("brown", "day")}
scenes = [Scene(where, (Group(kind, colour, "big"),), seed=4)
          for kind, (colour, where) in things.items()]
english = [phrase(scene, "en", random.Random(3)) for scene in scenes]
vietnamese = [phrase(scene, "vi", random.Random(3)) for scene in scenes]
pictures = rendered(scenes, 128)                                # (6, 3, 128, 128)
show(pictures, titles=list(things))


def embed_texts(sentences: list[str]) -> Tensor:
    """One vector for each sentence, of any length: (B, P)."""
    ids, mask = tokenizer.encode(sentences)
    return clip.text_projection(clip.text_model(ids, mask).pooled)


def embed_images(pixels: Tensor) -> Tensor:
    """One vector for each picture, of any length: (B, P)."""
    return clip.visual_projection(clip.vision_model(pixels).pooled)

# %% only="exercise"
def heat(values: Tensor) -> Tensor:
    """Numbers (R, C) as a picture of squares: blue for 0 or less, yellow for 1."""
    blue, green, yellow = torch.tensor(
        [[-0.5, -1.0, -0.3], [-0.7, 0.2, 0.0], [1.0, 0.8, -0.7]]
    )
    share = values.float().clamp(0, 1)[..., None]               # (R, C, 1)
    low, high = 2 * share.clamp(max=0.5), (2 * share - 1).clamp(min=0)
    colours = blue + low * (green - blue) + high * (yellow - green)     # (R, C, 3)
    return F.interpolate(colours.permute(2, 0, 1)[None], size=128)  # (1, 3, 128, 128)


def bars(values: list[float]) -> Tensor:
    """Positive numbers as a picture of bars: the largest is as high as the picture."""
    tall = 128 * torch.tensor(values) / max(values)             # (N,)
    rows = torch.arange(128, 0, -1)[:, None]                    # (128, 1)
    light = 1 - 2 * (tall - rows + 1).clamp(0, 1)               # (128, N)
    return F.interpolate(light.expand(1, 3, -1, -1), size=128)  # (1, 3, 128, 128)


def labelled(picture: Tensor, *names: str) -> Tensor:
    """A picture (3, 128, 128) with a line for each name below it."""
    from matplotlib import font_manager
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 12)
    strip = Image.new("L", (128, 18 * len(names)), 255)
    for k, name in enumerate(names):
        middle = (64, 18 * k + 9)
        ImageDraw.Draw(strip).text(middle, name, fill=0, font=font, anchor="mm")
    light = torch.tensor(list(strip.getdata())).reshape(1, -1, 128) / 127.5 - 1
    return torch.cat([picture, light.expand(3, -1, -1)], dim=1)
