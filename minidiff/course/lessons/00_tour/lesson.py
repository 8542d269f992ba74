"""Lesson 00: the whole way from a sentence to a picture, seen once from outside, and the map of the course."""

# %% [markdown] lang="en" slide="slide"
# # 00 From prompt to picture: a tour
#
# A sentence goes in, a picture comes out; in between, noise turns into something, step by step. Below you see one drawing
# while it is being made. Why does it begin as noise, and why is it so coarse? Who decides what becomes of it? At the end of
# this lesson you will have turned every knob, and you'll know where in the course you build each part yourself.
# %% [markdown] lang="vi" of="871f51ff"
# # 00 Từ prompt đến bức tranh: một chuyến tham quan
#
# Một câu đi vào, một bức tranh đi ra; ở giữa, nhiễu dần thành hình, từng bước một. Dưới đây là một lần vẽ, nhìn ngay khi nó
# đang được vẽ. Vì sao bắt đầu từ nhiễu, và sao lại thô đến thế? Ai quyết định nó sẽ thành gì? Đến cuối bài, bạn đã vặn thử
# mọi núm, và biết mình sẽ tự dựng mỗi bộ phận ở bài nào.

# %% slide="sub"
import torch

from minidiff import generate_image, load_pipeline

pipe = load_pipeline("world-dit")
prompt = "a big red star left of a small blue house at night"
moments = list(pipe.stream(pipe.request(prompt, steps=20, seed=42)))
some = [moments[k] for k in (0, 5, 11, 19)]
names = [f"step {m.index}" for m in some]
rough = [pipe.preview(m.latents)[0] for m in some]
show(rough + moments[-1].images, titles=[*names, "picture"])

# %% [markdown] lang="en" role="notes"
# Let the room describe the pictures before saying anything. Ask when they first knew what it would be.
# %% [markdown] lang="vi" of="30837311"
# Để cả lớp tự mô tả các bức tranh trước khi nói gì. Hỏi xem từ lúc nào họ biết nó sẽ thành gì.

# %% [markdown] lang="en"
# [[map]]
#
# **Aims.** You draw with the shipped model in English and Vietnamese; you can say what each part takes and gives, with
# shapes; you know what seed, steps, guidance, sampler and negative prompt do; you can tell a wrong range of numbers by the
# look of the picture.
#
# **Time:** [[time]]. **You need:** Python, and what a PyTorch tensor and its shape are. Everything runs on a laptop's CPU;
# nothing is trained in this lesson, not even on a GPU.
# %% [markdown] lang="vi" of="0b1a1643"
# [[map]]
#
# **Mục tiêu.** Bạn vẽ bằng mô hình có sẵn, bằng tiếng Anh và tiếng Việt; nói được mỗi bộ phận nhận gì và trả về gì, kèm kích
# thước tensor; biết seed, số bước, hệ số dẫn hướng (guidance scale), bộ lấy mẫu (sampler) và prompt phủ định (negative
# prompt) làm gì; nhìn tranh là nhận ra ngay khi các con số nằm sai khoảng.
#
# **Thời gian:** [[time]]. **Cần biết:** Python, tensor của PyTorch và kích thước của nó. Mọi thứ chạy được trên CPU của
# laptop; bài này không huấn luyện gì cả, kể cả khi có GPU.

# %% [markdown] lang="en" role="think"
# **Three quick questions**, from everyday life.
#
# 1. How many numbers are there in a colour picture of 128 × 128 pixels?
# 2. You shuffle two new packs of cards in exactly the same way. What do you know about their order?
# 3. You take the mean of a thousand photographs of a thousand different streets. What does it look like?
# ---
# 1. 128 · 128 · 3 = 49,152: each pixel has a red, a green and a blue.
# 2. It is the same order. Computers shuffle that way: a *seed* fixes all "random" numbers that follow.
# 3. A blur: light above, dark below. Keep this one in mind: it is what a model answers when it does not know yet.
# %% [markdown] lang="vi" of="942a69df"
# **Ba câu hỏi nhanh**, lấy từ đời thường.
#
# 1. Một bức ảnh màu 128 × 128 điểm ảnh (pixel) gồm bao nhiêu con số?
# 2. Bạn xào hai bộ bài mới theo cùng một cách, giống hệt nhau. Thứ tự hai bộ bài thế nào?
# 3. Bạn lấy trung bình một nghìn bức ảnh chụp một nghìn con phố. Kết quả trông ra sao?
# ---
# 1. 128 · 128 · 3 = 49 152: mỗi điểm ảnh có đỏ, lục và lam.
# 2. Giống hệt nhau. Máy tính cũng xào bài như thế: một *seed* định sẵn mọi con số "ngẫu nhiên" theo sau.
# 3. Một vệt nhòe: trên sáng, dưới tối. Hãy nhớ câu này. Đó là điều mô hình trả lời khi nó chưa biết.

# %% [markdown] lang="en" slide="slide"
# ## 1. Draw something
#
# `generate_image` does everything. The model reads English, Vietnamese, and Vietnamese typed without accents, with one and
# the same set of weights. The three prompts below mean the same and start from the same seed.
# %% [markdown] lang="vi" of="fef0b41c"
# ## 1. Vẽ thử
#
# `generate_image` lo hết mọi việc. Mô hình đọc được tiếng Anh, tiếng Việt, và tiếng Việt gõ không dấu, với cùng một bộ trọng
# số. Ba prompt dưới đây cùng nghĩa và bắt đầu từ cùng một seed.

# %% slide="sub"
same = {
    "English": "a big purple balloon at sunset",
    "Vietnamese": "một quả bóng bay to màu tím lúc hoàng hôn",
    "unaccented": "mot qua bong bay to mau tim luc hoang hon",
}
show([generate_image(text, seed=3)[0] for text in same.values()], titles=list(same))

# %% [markdown] lang="en"
# The pictures are related (same noise) but not equal: different words become different vectors, and the vectors lead the
# drawing. Change the prompts and run the cell again. What this model knows is small: a drawn world of 18 kinds of things in
# 10 colours, 2 sizes and 7 settings, one to four of a kind. Even there it errs: when a thing is missing or has a wrong
# colour, your prompt is not to blame. Section 7 looks at that.
# %% [markdown] lang="vi" of="b778424f"
# Ba bức tranh có họ hàng với nhau (cùng một nhiễu) mà vẫn không giống hệt: lời khác nhau thành các vector khác nhau, và
# vector dẫn dắt nét vẽ. Hãy đổi prompt rồi chạy lại ô trên. Thế giới mà mô hình biết rất nhỏ: 18 loại vật, 10 màu, 2 cỡ, 7
# bối cảnh, mỗi loại từ một đến bốn vật. Ngay trong đó nó vẫn sai: khi thiếu một vật hay sai màu, lỗi không phải ở prompt của
# bạn. Mục 7 sẽ xem kỹ chuyện này.

# %%
from minidiff.data.world.scenes import COLOURS, SETTINGS, SHAPES

print(*(" ".join(words) for words in (SHAPES, COLOURS, SETTINGS)), sep="\n")

# %% [markdown] lang="en" role="think"
# **Predict.** `num_images=3, seed=42` draws three pictures, with seeds 42, 43 and 44. Then we ask for seed 43 alone. Is it
# the middle picture again: exactly, nearly, or not at all?
# ---
# Exactly, to the last pixel. Each picture owns its dice: its noise comes from its own seed and not from a common pot. That is
# not a law of nature but a decision in the code, and exercise 00.3 shows what happens without it. (A GPU draws all three at
# once and may round differently than when it draws one alone: there the last digit of a pixel can differ.)
# %% [markdown] lang="vi" of="b14628e6"
# **Đoán xem.** `num_images=3, seed=42` vẽ ba bức, với seed 42, 43 và 44. Sau đó ta xin riêng seed 43. Nó có phải là bức ở
# giữa không: đúng hệt, gần giống, hay khác hẳn?
# ---
# Đúng hệt, đến từng điểm ảnh. Mỗi bức có xúc xắc riêng: nhiễu của nó đến từ seed của chính nó chứ không lấy từ một hũ chung.
# Đó không phải luật tự nhiên mà là một quyết định trong mã nguồn, và bài tập 00.3 cho thấy điều gì xảy ra nếu không làm vậy.
# (GPU vẽ cả ba bức cùng lúc và có thể làm tròn khác khi vẽ riêng: ở đó, chữ số cuối của một điểm ảnh có thể lệch.)

# %%
text = "một con mèo màu cam trên đồng cỏ"
three = generate_image(text, seed=42, num_images=3)
(alone,) = generate_image(text, seed=43)
show([*three, alone], titles=["seed 42", "seed 43", "seed 44", "seed 43, alone"])
print("equal:", alone.tobytes() == three[1].tobytes())

# %% [markdown] lang="en" slide="slide"
# ## 2. By hand: one number, and noise
#
# Mix a number $x_0$ with noise $\epsilon$, at a time $t$ between 0 (data) and 1 (noise):
#
# $$x_t = \alpha_t\, x_0 + \sigma_t\, \epsilon, \qquad \alpha_t = \cos\tfrac{\pi t}{2},\quad \sigma_t = \sin\tfrac{\pi t}{2}$$
#
# The **noise schedule**, $\alpha_t$ and $\sigma_t$, says how much there is of each at each time; this one is called *cosine*.
# Take $x_0 = 0.8$, $\epsilon = -0.4$, $t = \tfrac23$, which is 60°: $x_t = 0.5 \cdot 0.8 - 0.866 \cdot 0.4 = 0.0536$.
# %% [markdown] lang="vi" of="89b218b4"
# ## 2. Tính tay: một con số và nhiễu
#
# Trộn một số $x_0$ với nhiễu $\epsilon$, ở thời điểm $t$ từ 0 (dữ liệu) đến 1 (nhiễu):
#
# $$x_t = \alpha_t\, x_0 + \sigma_t\, \epsilon, \qquad \alpha_t = \cos\tfrac{\pi t}{2},\quad \sigma_t = \sin\tfrac{\pi t}{2}$$
#
# **Lịch nhiễu (noise schedule)**, tức $\alpha_t$ và $\sigma_t$, cho biết ở mỗi thời điểm có bao nhiêu dữ liệu, bao nhiêu
# nhiễu; lịch này tên là *cosine*. Lấy $x_0 = 0.8$, $\epsilon = -0.4$, $t = \tfrac23$, tức 60°:
# $x_t = 0.5 \cdot 0.8 - 0.866 \cdot 0.4 = 0.0536$.

# %%
from minidiff.diffusion.schedules import get_schedule

schedule = get_schedule("cosine")
x0, eps, t = torch.tensor([0.8, -0.4, 2 / 3], dtype=torch.float64)
alpha, sigma = schedule.alpha(t), schedule.sigma(t)
x_t = alpha * x0 + sigma * eps
print(f"alpha {alpha:.4f}, sigma {sigma:.4f}, x_t {x_t:.4f}")
assert torch.equal(x_t, schedule.mix(x0, eps, t))

# %% [markdown] lang="en"
# For a picture the same sum is done for each of its numbers: $x_0$ is `(1, 3, 32, 32)`, and so is $\epsilon$: the dice are
# thrown once for each of the 3,072 numbers. Below, a small scene of our drawn world goes from data to noise. This direction,
# the **forward process**, needs no network, and at $t = 1$ nothing is left of the scene.
# %% [markdown] lang="vi" of="47a4a5a9"
# Với một bức tranh, vẫn là tổng ấy, tính cho từng con số: $x_0$ có kích thước `(1, 3, 32, 32)`, $\epsilon$ cũng vậy: xúc xắc
# được gieo riêng cho từng số trong 3072 số. Dưới đây, một cảnh nhỏ trong thế giới vẽ của ta đi từ dữ liệu đến nhiễu. Chiều
# này, **quá trình thuận (forward process)**, không cần mạng nào cả, và ở $t = 1$ cảnh không còn lại gì.

# %% slide="slide"
from minidiff.data.world.random_scenes import scene_at
from minidiff.data.world.rendering import render
from minidiff.utils.images import to_tensor

scene = to_tensor(render(scene_at(8), size=32).image[None])     # (1, 3, 32, 32), -1..1
noise = torch.randn(scene.shape, generator=torch.Generator().manual_seed(0))
times = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
film = torch.cat([schedule.mix(scene, noise, torch.tensor(t)) for t in times])
show(film, titles=[f"t = {t}" for t in times])                  # (6, 3, 32, 32)

# %% [markdown] lang="en" role="notes"
# Read the row from right to left as well: that is the direction of drawing. Ask at which t they could name the things.
# %% [markdown] lang="vi" of="f8c1e260"
# Xem hàng ảnh từ phải sang trái nữa: đó là chiều vẽ. Hỏi xem ở t nào thì gọi được tên các vật.

# %% [markdown] lang="en" slide="slide"
# ## 3. The step back
#
# Suppose somebody tells you $x_0$ and $\epsilon$. Then you can go to any earlier time $s < t$ by mixing them again, with less
# noise:
#
# $$x_s = \alpha_s\, x_0 + \sigma_s\, \epsilon$$
#
# For our number and $s = \tfrac13$ (30°): $0.866 \cdot 0.8 - 0.5 \cdot 0.4 = 0.4928$. And for $s = 0$: $0.8$, the data.
# %% [markdown] lang="vi" of="ed64aa61"
# ## 3. Bước ngược lại
#
# Giả sử có ai mách bạn $x_0$ và $\epsilon$. Khi đó bạn đến được mọi thời điểm sớm hơn $s < t$ bằng cách trộn lại, ít nhiễu
# hơn:
#
# $$x_s = \alpha_s\, x_0 + \sigma_s\, \epsilon$$
#
# Với con số của ta và $s = \tfrac13$ (30°): $0.866 \cdot 0.8 - 0.5 \cdot 0.4 = 0.4928$. Còn $s = 0$ thì ra $0.8$, chính là dữ
# liệu.

# %%
from minidiff.diffusion.samplers import step


def step_back(x0, eps, s):
    return schedule.alpha(s) * x0 + schedule.sigma(s) * eps


for s in torch.tensor([1 / 3, 0], dtype=torch.float64):
    x_s = step_back(x0, eps, s)
    print(f"s {s:.3f}, x_s {x_s:.4f}")
    torch.testing.assert_close(x_s, step(schedule, x0, eps, t, s))

# %% [markdown] lang="en"
# That is what the library's `step` does. Here it is in full. The part with `eta` adds fresh noise on the way: DDPM wants that
# (lesson 02), and we leave `eta` at 0.
# %% [markdown] lang="vi" of="098bed22"
# Hàm `step` của thư viện làm đúng việc ấy. Đây là toàn văn. Phần có `eta` thêm nhiễu mới trên đường đi: DDPM cần điều đó
# (bài 02), còn ta để `eta` bằng 0.

# %%
source(step)

# %% [markdown] lang="en" slide="slide"
# ## 4. Who tells us $x_0$ and $\epsilon$?
#
# Nobody does: a network *guesses* them, from $x_t$, from $t$ and from the sentence. We make a step with the guess, and then
# the network guesses again, with less noise in the way.
#
# ```
# sentence -> tokens -> text tower -> vectors --+
#                                               v
# seed -> noise x_1 ------------------------> network -> (x0, eps) -> step -> ... -> latent -> VAE -> pixels
#                                               ^______________________|
# ```
# %% [markdown] lang="vi" of="c3bc5d14"
# ## 4. Ai mách ta $x_0$ và $\epsilon$?
#
# Không ai cả: một mạng nơ-ron *đoán* chúng, dựa vào $x_t$, $t$ và câu văn. Ta đi một bước theo lời đoán, rồi mạng đoán lại,
# lần này nhiễu đã bớt cản tầm nhìn.
#
# ```
# câu -> token -> tháp văn bản -> vector -------+
#                                               v
# seed -> nhiễu x_1 ------------------------> mạng -> (x0, eps) -> bước -> ... -> latent -> VAE -> điểm ảnh
#                                               ^___________________|
# ```

# %% [markdown] lang="en"
# **The words.** A tokenizer cuts the sentence into tokens, and the text tower makes a vector of each. Say the shapes aloud:
# *one sentence, L places, 256 numbers a place*. The places are the tokens, a mark for the beginning, one for the end, and
# padding up to a multiple of 8, which the mask hides from the network.
# %% [markdown] lang="vi" of="88913310"
# **Lời.** Tokenizer cắt câu thành các token, và tháp văn bản (text tower) biến mỗi token thành một vector. Hãy đọc to kích
# thước: *một câu, L chỗ, mỗi chỗ 256 con số*. Các chỗ gồm token, một dấu mở đầu, một dấu kết thúc, và phần đệm cho đủ bội số
# của 8; phần đệm được mask che đi, mạng không thấy.

# %%
vectors, mask = pipe.encode([prompt])                           # (1, L, 256), (1, L)
print(pipe.tokenizer.tokens(prompt))
print(pipe.tokenizer.tokens("một ngôi sao to màu đỏ"))
print("vectors", tuple(vectors.shape), "mask", tuple(mask.shape))
print("places with a token or a mark:", int(mask.sum()))

# %% [markdown] lang="en"
# **The network.** It does not work on pixels but on a *latent*, a small code of a picture: *one picture, 4 channels, 16 rows,
# 16 columns*. It gets the noisy latent, the time as a *timestep* from 0 to 1000 (that is $1000\,t$) and the vectors, and
# returns something of the latent's own shape. Ours returns $v = \alpha_t\,\epsilon - \sigma_t\,x_0$; from $v$ and $x_t$ both
# $x_0$ and $\epsilon$ follow (lesson 03). At $t = 1$ that is easy to check: $\alpha = 0$ and $\sigma = 1$, so $x_0 = -v$.
# %% [markdown] lang="vi" of="873ea557"
# **Mạng.** Nó không làm việc trên điểm ảnh mà trên *latent*, một mã nhỏ gọn của bức tranh: *một bức, 4 kênh, 16 hàng, 16
# cột*. Nó nhận latent đầy nhiễu, thời điểm dưới dạng *bước thời gian* (timestep) từ 0 đến 1000 (tức $1000\,t$) và các
# vector, rồi trả về thứ có đúng kích thước của latent. Mạng của ta trả về $v = \alpha_t\,\epsilon - \sigma_t\,x_0$; từ $v$
# và $x_t$ suy ra cả $x_0$ lẫn $\epsilon$ (bài 03). Ở $t = 1$ thì kiểm tra rất dễ: $\alpha = 0$ và $\sigma = 1$, nên
# $x_0 = -v$.

# %%
from minidiff.diffusion.prediction import to_x0_eps

like = next(pipe.network.parameters())                          # its device and dtype
x_1 = torch.randn(1, *pipe.latent_shape, generator=torch.Generator().manual_seed(42))
x_1, timestep = x_1.to(like), torch.tensor([1000.0]).to(like)   # (1, 4, 16, 16), (1,)
v = pipe.network(x_1, timestep, vectors.to(like), mask)         # (1, 4, 16, 16)
x0, eps = to_x0_eps(schedule, "v", v, x_1, torch.tensor(1.0))
print("x_1", tuple(x_1.shape), "v", tuple(v.shape), "x0", tuple(x0.shape))
torch.testing.assert_close(x0, -v)

# %% [markdown] lang="en"
# **The VAE** turns a latent into pixels: `(1, 4, 16, 16)` to `(1, 3, 128, 128)`. Below are the four channels of the latent
# that was drawn at the very top, and what the VAE makes of them: 49,152 pixel numbers from 1,024. The network has 48 times
# fewer numbers to care about, and that is why it can draw on a laptop.
# %% [markdown] lang="vi" of="0d641d97"
# **VAE** biến latent thành điểm ảnh: `(1, 4, 16, 16)` thành `(1, 3, 128, 128)`. Dưới đây là bốn kênh của latent đã vẽ ở đầu
# bài, và bức tranh VAE dựng từ chúng: 49 152 con số của điểm ảnh từ 1024 con số. Mạng chỉ phải lo một lượng số ít hơn 48 lần,
# nhờ vậy nó vẽ được trên laptop.

# %%
latent = moments[-1].latents                                    # (1, 4, 16, 16)
pixels = pipe.pixels(latent)                                    # (1, 3, 128, 128)
channels = latent[0, :, None] / 3                               # (4, 1, 16, 16)
show([*channels, pixels[0]], titles=[*(f"channel {k}" for k in range(4)), "VAE"])
print(f"{pixels.numel()} / {latent.numel()} = {pixels.numel() // latent.numel()}")
print(f"pixels from {pixels.min():.2f} to {pixels.max():.2f}")
parts = {"text tower": pipe.words.tower, "network": pipe.network, "VAE": pipe.vae}
for name, part in parts.items():
    print(f"{name:10} {sum(p.numel() for p in part.parameters()):>10,} parameters")

# %% [markdown] lang="en" role="think"
# **Predict.** Below, the upper row is $x_t$ again, where the drawing stands after a step: the latent's 16 × 16 dots in rough
# colours. The lower row is the guess $x_0$ that the step used, decoded by the VAE. What will the very first guess look like,
# made from pure noise? And after the last step, are $x$ and $x_0$ two different latents?
# ---
# The first guess is a blur: from pure noise, every picture that fits the sentence is still possible, and the best single
# answer to "which one?" is their mean, like the thousand streets of question 3. As the noise goes away, fewer pictures remain
# possible, and the guess gets sharp. At the end $x$ and $x_0$ are one and the same latent, since at $s = 0$ the step is
# $x_s = 1 \cdot x_0 + 0 \cdot \epsilon$; only our view of it differs.
# %% [markdown] lang="vi" of="cf2379c6"
# **Đoán xem.** Ở hình dưới, hàng trên vẫn là $x_t$, nơi bức vẽ đang đứng sau mỗi bước: 16 × 16 ô của latent bằng màu ước
# lượng. Hàng dưới là lời đoán $x_0$ mà bước ấy đã dùng, do VAE giải mã. Lời đoán đầu tiên, đoán từ toàn nhiễu, trông ra sao?
# Và sau bước cuối, $x$ và $x_0$ có phải hai latent khác nhau không?
# ---
# Lời đoán đầu là một vệt nhòe: khi chỉ có nhiễu, mọi bức tranh hợp với câu văn đều còn khả năng, và câu trả lời duy nhất tốt
# nhất cho "bức nào?" là trung bình của chúng, như một nghìn con phố ở câu hỏi 3. Nhiễu vơi đi, số bức còn khả năng ít dần,
# lời đoán rõ nét dần. Cuối cùng $x$ và $x_0$ là cùng một latent, vì ở $s = 0$ bước đi là
# $x_s = 1 \cdot x_0 + 0 \cdot \epsilon$; chỉ khác cách nhìn.

# %% slide="slide"
guesses = [pipe.pixels(m.x0)[0] for m in some]                  # (3, 128, 128) each
titles = [f"{row}, {name}" for row in ("x", "x0") for name in names]
show(rough + guesses, titles, columns=4)
assert torch.equal(moments[-1].latents, moments[-1].x0)

# %% [markdown] lang="en" role="notes"
# Cover the lower row first. Point out that the guess is a whole picture from the first step on; what shrinks is its doubt.
# %% [markdown] lang="vi" of="9d228ff1"
# Che hàng dưới trước. Nhấn mạnh rằng ngay từ bước đầu lời đoán đã là cả bức tranh; thứ giảm dần là sự phân vân của nó.

# %%
last = moments[-1].x0                                           # (1, 4, 16, 16)
apart = [float((m.x0 - last).square().mean().sqrt()) for m in moments]
steps = [str(m.index) for m in moments]                         # a tick for every step
lines({"": (steps, apart)}, title="each guess to the last (RMS)", x="step", marker="o")
print({step: round(apart[step - 1], 2) for step in (1, 5, 10, 15, 20)})

# %% [markdown] lang="en"
# The curve measures how far each guess still was from the last one. It falls steeply at first, then slowly: the large things
# (where, what colour) are decided in the first few steps, the rest is detail. Remember this when you turn the next knob.
# %% [markdown] lang="vi" of="9dea9220"
# Đường cong đo xem mỗi lời đoán còn cách lời đoán cuối bao xa. Lúc đầu nó giảm rất nhanh, sau đó chậm dần: những điều lớn (ở
# đâu, màu gì) được quyết định trong vài bước đầu, phần còn lại là chi tiết. Hãy nhớ điều này khi vặn núm kế tiếp.

# %% [markdown] lang="en" slide="slide"
# ## 5. The knobs
#
# | knob | here | what it does |
# |---|---|---|
# | seed | 42 | the noise at the start, and so which of all fitting pictures you get |
# | steps | 20 | how often the network is asked |
# | guidance scale | 3 | how much the words are exaggerated |
# | negative prompt | empty | what to move away from |
# | sampler | DPM++ 2M | how a step is made from the guesses |
# %% [markdown] lang="vi" of="2404a6eb"
# ## 5. Các núm vặn
#
# | núm | ở đây | tác dụng |
# |---|---|---|
# | seed | 42 | nhiễu lúc đầu, tức là bức nào trong mọi bức hợp với lời |
# | steps | 20 | hỏi mạng bao nhiêu lần |
# | hệ số dẫn hướng | 3 | phóng đại lời văn đến đâu |
# | prompt phủ định (negative prompt) | rỗng | cần tránh xa điều gì |
# | bộ lấy mẫu | DPM++ 2M | tạo một bước từ các lời đoán thế nào |

# %% [markdown] lang="en"
# **Steps.** One step is one guess: you already know what it looks like. Each further step asks the network once more (time
# grows in proportion) and gains less and less. From which number on do you no longer see a difference?
# %% [markdown] lang="vi" of="adf03603"
# **Số bước.** Một bước là một lời đoán: bạn đã biết nó trông thế nào. Mỗi bước thêm tốn một lần hỏi mạng (thời gian tăng theo
# tỉ lệ) và được lợi ngày càng ít. Từ con số nào trở đi bạn không thấy khác nữa?

# %%
counts = (1, 2, 6, 20)
drawn = [generate_image(prompt, steps=n)[0] for n in counts]
show(drawn, titles=[f"steps = {n}" for n in counts])

# %% [markdown] lang="en" slide="slide"
# **Guidance.** The network guesses twice: with your words, and with the negative prompt (empty by default). The difference is
# what the words bring about, and it is multiplied by `scale`:
#
# $$x_0 = x_0^{\text{neg}} + \text{scale} \cdot (x_0^{\text{words}} - x_0^{\text{neg}})$$
#
# By hand: with 0.3 and 0.1, and scale 5: $0.1 + 5 \cdot 0.2 = 1.1$.
# %% [markdown] lang="vi" of="36a8ccdc"
# **Dẫn hướng.** Mạng đoán hai lần: một lần với lời của bạn, một lần với prompt phủ định (mặc định là rỗng). Hiệu của hai lời
# đoán là phần do lời văn mang lại, và nó được nhân với `scale`:
#
# $$x_0 = x_0^{\text{neg}} + \text{scale} \cdot (x_0^{\text{words}} - x_0^{\text{neg}})$$
#
# Tính tay: với 0.3 và 0.1, scale 5: $0.1 + 5 \cdot 0.2 = 1.1$.

# %%
from minidiff.diffusion.guidance import combine

words, negative = torch.tensor(0.3), torch.tensor(0.1)
for scale in (0.0, 1.0, 5.0):
    print(f"scale {scale}: {combine(words, negative, scale):.1f}")

# %% [markdown] lang="en" role="think"
# **Predict.** What does scale 0 draw? And scale 1? Is more always better? Then turn the knob.
# ---
# At 0 the words cancel out: any picture of this world may come out, and it ignores you. At 1 the negative guess cancels out:
# you get an honest picture of what the network makes of your words, often a little vague. Above 1 the words are exaggerated:
# the picture gets clearer, and beyond some point it is too much, with glaring colours and torn shapes. In the example by
# hand, 1.1 already lay outside 0.1..0.3.
# %% [markdown] lang="vi" of="cbf7eaf4"
# **Đoán xem.** Scale 0 vẽ gì? Còn scale 1? Có phải càng lớn càng tốt? Rồi hãy vặn núm.
# ---
# Ở 0, lời văn bị triệt tiêu: có thể ra bất kỳ bức nào của thế giới này, nó phớt lờ bạn. Ở 1, lời đoán của prompt phủ định bị
# triệt tiêu: ra đúng điều mạng hiểu từ lời của bạn, thường hơi mơ hồ. Lớn hơn 1, lời văn được phóng đại: tranh rõ hơn, và quá
# một ngưỡng thì thái quá, màu gắt, hình rách. Trong ví dụ tính tay, 1.1 đã vượt ra ngoài khoảng 0.1..0.3.

# %% slide="sub"
def guided(scale, axes):
    axes.imshow(generate_image(prompt, guidance_scale=scale)[0])
    axes.axis("off")


slider(guided, "scale", [0, 1, 5, 15])

# %% [markdown] lang="en" role="notes"
# Ask for a show of hands before each value. Scale 0 surprises most people: the prompt is the same, and nothing of it is
# there.
# %% [markdown] lang="vi" of="9a19faf2"
# Cho cả lớp giơ tay đoán trước mỗi giá trị. Scale 0 làm nhiều người ngạc nhiên: vẫn prompt ấy mà trong tranh chẳng có gì của
# nó.

# %% [markdown] lang="en" role="think"
# **The negative prompt** takes the place of the empty words in the formula above. The next prompt leaves the setting open,
# and each negative prompt gets two pictures. Guess what each pair has in common. And what does a negative prompt do at
# scale 1?
# ---
# Each pair keeps away from the setting that it denies, and often lands in one that is most unlike it. At scale 1 it does
# nothing at all: its term has the weight $1 - \text{scale} = 0$, and the library does not even compute it. If you lower the
# guidance scale to 1, you switch the negative prompt off, and nothing warns you.
# %% [markdown] lang="vi" of="a9856186"
# **Prompt phủ định** thế chỗ cho lời rỗng trong công thức trên. Prompt tiếp theo để ngỏ bối cảnh; mỗi prompt phủ định vẽ hai
# bức. Đoán xem mỗi cặp có điểm gì chung. Và: ở scale 1, prompt phủ định làm được gì?
# ---
# Mỗi cặp tránh bối cảnh bị phủ định, và thường rơi vào bối cảnh khác nó nhất. Ở scale 1 nó không làm gì cả: số hạng của nó có
# trọng số $1 - \text{scale} = 0$, và thư viện thậm chí không tính. Hạ hệ số dẫn hướng xuống 1 là bạn đã tắt prompt phủ định
# mà không hề có cảnh báo.

# %%
import textwrap

denied = ("", "on a plain background", "at night")
heart, pictures, titles = "a big red heart", [], []
for text in denied:
    pictures += generate_image(heart, negative_prompt=text, seed=1, num_images=2)
    titles += [textwrap.fill(f"not: {text or '-'}", 20)] * 2
show(pictures, titles, columns=6)
one, other = (
    generate_image(prompt, negative_prompt=text, guidance_scale=1)[0]
    for text in ("at night", "")
)
print("scale 1, with and without it, equal:", one.tobytes() == other.tobytes())

# %% [markdown] lang="en"
# **Samplers.** All of them ask the same network; they differ in how they use its guesses. Some look back at the previous
# guess, one asks twice a step, some add fresh noise on the way, and those with noise end elsewhere. Below they draw in few
# steps (10), where differences show. Some of the pictures are equal to the last pixel. Which ones, and why?
# %% [markdown] lang="vi" of="a79665eb"
# **Bộ lấy mẫu.** Tất cả đều hỏi cùng một mạng; chúng chỉ khác ở cách dùng lời đoán. Có loại nhìn lại lời đoán trước, có loại
# hỏi hai lần mỗi bước, có loại thêm nhiễu mới trên đường đi, và những loại thêm nhiễu sẽ đi đến nơi khác. Dưới đây dùng ít
# bước (10) cho dễ thấy khác biệt. Có những bức giống nhau đến từng điểm ảnh. Bức nào, và vì sao?

# %%
from minidiff.diffusion.samplers import SAMPLERS

drawn = {name: generate_image(prompt, sampler=name, steps=10)[0] for name in SAMPLERS}
show(list(drawn.values()), [sampler.label for sampler in SAMPLERS.values()], columns=7)
for name, sampler in SAMPLERS.items():
    print(f"{name:13} eta {sampler.eta:g}, order {sampler.order}, {sampler.method}")

# %% [markdown] lang="en" role="think"
# Look at the table that was printed: which names share all their settings?
# ---
# DDIM and Euler have the same row, and so have DDPM and Euler ancestral: one formula under two names, from different papers.
# Lesson 04 derives them all from the one `step` you saw in section 3.
# %% [markdown] lang="vi" of="bcdab25e"
# Nhìn bảng vừa in: những tên nào có mọi thiết lập giống nhau?
# ---
# DDIM và Euler cùng một hàng, DDPM và Euler ancestral cũng vậy: một công thức mang hai tên, đến từ những bài báo khác nhau.
# Bài 04 suy ra tất cả từ chính hàm `step` bạn đã thấy ở mục 3.

# %%
assert drawn["ddim"].tobytes() == drawn["euler"].tobytes()
assert drawn["ddpm"].tobytes() == drawn["euler_a"].tobytes()

# %% [markdown] lang="en" role="pitfall" slide="slide"
# ## 6. Pitfall: which range?
#
# Networks like numbers in -1..1, plotting functions want 0..1, files want 0..255. **Symptom:** a picture that is half black,
# washed out, or speckled in loud colours. **Cause:** the range was mistaken. **Fix:** print `x.min(), x.max(), x.dtype`
# first; then clamp, shift, stretch, round, in this order.
# %% [markdown] lang="vi" of="4acb87b2"
# ## 6. Bẫy: khoảng số nào?
#
# Mạng thích số trong -1..1, hàm vẽ muốn 0..1, tệp ảnh muốn 0..255. **Triệu chứng:** bức tranh đen một nửa, bạc màu, hoặc lốm
# đốm màu chói. **Nguyên nhân:** nhầm khoảng số. **Cách sửa:** trước hết in `x.min(), x.max(), x.dtype`; rồi chặn, dịch, kéo
# giãn, làm tròn, đúng thứ tự ấy.

# %% slide="sub"
from minidiff.utils.images import to_images

x = pixels[0].cpu().permute(1, 2, 0)                            # (128, 128, 3), -1..1
versions = {
    "right": to_images(pixels)[0],                              # (128, 128, 3), 0..255
    "taken for 0..1": (x.clamp(0, 1) * 255).byte().numpy(),
    "shifted twice": (((x.clamp(-1, 1) + 1) / 2 + 1) * 127.5).byte().numpy(),
    "wrapped": (x * 255).long().byte().numpy(),                 # -200 becomes 56
}
show(list(versions.values()), titles=list(versions))
for name, v in versions.items():
    print(f"{name:15} {v.dtype}, from {v.min()} to {v.max()}, mean {v.mean():.0f}")

# %% [markdown] lang="en"
# All four come from the same tensor; no error was raised, no warning given. That is what makes it a pitfall. The last one is
# arithmetic modulo 256: uint8 has no room for a negative number, so it comes round from above. In the library one function
# owns this conversion; you write it in exercise 00.1.
# %% [markdown] lang="vi" of="5c02a59f"
# Cả bốn bức đều từ cùng một tensor; không có lỗi, không có cảnh báo. Vì vậy nó mới là bẫy. Bức cuối là phép tính theo modulo
# 256: uint8 không chứa được số âm, nên số âm quay vòng từ phía trên xuống. Trong thư viện, một hàm lo việc đổi này; bạn tự
# viết nó ở bài tập 00.1.

# %%
source(to_images)

# %% [markdown] lang="en" slide="slide"
# ## 7. Where it fails
#
# The model has never seen anything but its drawn world. It does not say "I don't know": it draws *something*. So ask the
# tokenizer first which words were never in a caption. Then comes a prompt in which every word is known, but which asks for
# much at once: judge each of the four pictures.
# %% [markdown] lang="vi" of="37d78aa6"
# ## 7. Chỗ nó thất bại
#
# Mô hình chưa từng thấy gì ngoài thế giới vẽ của nó. Nó không nói "tôi không biết": nó vẽ *một cái gì đó*. Vậy hãy hỏi
# tokenizer trước xem từ nào chưa từng có trong chú thích. Sau đó là một prompt mà từ nào cũng quen, nhưng đòi hỏi nhiều thứ
# một lúc: hãy chấm từng bức trong bốn bức.

# %%
outside = (
    "an astronaut riding a horse", "một con cáo bằng màu nước", "the idea of freedom",
)
for text in outside:
    print(f"{text!r}: unknown {pipe.tokenizer.unknown_words(text)}")
pictures = [generate_image(text, seed=5)[0] for text in outside]
show(pictures, titles=[textwrap.fill(text, 20) for text in outside])

# %%
hard = "two red hearts, a yellow moon and a white cat in a room"
show(generate_image(hard, num_images=4, seed=0))

# %% [markdown] lang="en" role="think"
# For each of the four: exactly two hearts, both red? One moon, yellow? One cat, white? A room, and nothing else? How many of
# the four would you accept?
# ---
# Count strictly: a picture is right when *everything* is. One thing too many, a cat that is missing or has taken the hearts'
# colour, and it is wrong. These are the typical faults: things **left out**, **miscounted**, or with **another's colour**.
# The library counts in the same way, with a separate detector and compositions that training never showed:
# `minidiff evaluate prompts`. Its figures are in the README; read them before you believe anybody's chosen pictures, ours
# included. Lesson 14 is about how such figures are made, and how they lie.
# %% [markdown] lang="vi" of="acfa3b03"
# Với từng bức trong bốn bức: có đúng hai trái tim, đều đỏ? Một mặt trăng, màu vàng? Một con mèo, màu trắng? Trong phòng, và
# không có gì khác? Bạn chấp nhận mấy bức?
# ---
# Hãy đếm nghiêm: một bức chỉ đúng khi *mọi thứ* đều đúng. Thừa một vật, thiếu con mèo hay mèo lấy màu của trái tim, là sai.
# Đó là các lỗi điển hình: **bỏ sót**, **đếm sai**, hoặc **lấy màu của vật khác**. Thư viện cũng đếm như thế, bằng một bộ dò
# riêng và những tổ hợp chưa từng xuất hiện khi huấn luyện: `minidiff evaluate prompts`. Kết quả nằm trong README; hãy đọc
# trước khi tin vào những bức tranh được chọn sẵn của bất kỳ ai, kể cả của chúng tôi. Bài 14 nói về cách tạo ra các con số ấy,
# và cách chúng nói dối.

# %% [markdown] lang="en"
# Most mistakes happen when the prompt doesn't say **where** things stand. "A cat left of a house" leaves the network nothing
# to decide. With "a cat and a house" it has to decide from the noise what stands where, and often it decides twice, or not at
# all. That is why large systems let a language model write a short prompt out in full before they draw: **prompt expansion**
# (prompt upsampling in Betker et al. 2023, DALL-E 3). `generate_image` does the same on a small scale: if a prompt leaves
# places open, it adds some, and the seed chooses which. The first row draws the prompt as it is; the second draws what its
# titles say.
# %% [markdown] lang="vi" of="251fa89d"
# Phần lớn lỗi xảy ra khi prompt không nói các vật đứng **ở đâu**. Với "một con mèo bên trái một ngôi nhà", mạng không phải
# quyết định gì. Với "một con mèo và một ngôi nhà", từ nhiễu nó phải tự quyết định vật nào đứng chỗ nào, và thường quyết định
# hai lần, hoặc không lần nào. Vì thế các hệ thống lớn cho một mô hình ngôn ngữ viết prompt ngắn thành dài rồi mới vẽ:
# **mở rộng prompt** (prompt expansion; Betker và cộng sự 2023, DALL-E 3, gọi là prompt upsampling). `generate_image` làm điều
# tương tự ở quy mô nhỏ: nếu prompt để ngỏ vị trí, nó thêm vào, và seed chọn thêm gì. Hàng đầu vẽ prompt nguyên văn; hàng sau
# vẽ theo câu ghi trên mỗi bức.

# %%
vague = "a cat and a house"
request = pipe.request(vague, seed=0, num_images=4)
as_it_is = generate_image(vague, seed=0, num_images=4, expand_prompt=False)
rows = as_it_is + pipe(request)
titles = [textwrap.fill(text, 20) for text in pipe.expanded_prompts(request)]
show(rows, titles=[vague] * 4 + titles, columns=4)

# %% [markdown] lang="en" slide="slide"
# ## The map of the course
#
# | you saw | you build it in |
# |---|---|
# | a network that takes noise away | 01 U-Net, 02 DDPM, 03 what to predict |
# | the step, the samplers, few steps | 04 samplers, 10 distillation |
# | guidance, negative prompt | 05 conditions, 07 cross-attention |
# | tokens, text tower | 06 CLIP |
# | latent and VAE; the shipped network | 08 VAE, 09 DiT |
# | what it cannot draw, or draws wrong | 11 LoRA, 12 DreamBooth, 13 editing |
# | how good it is; larger models | 14 measuring, 15 Stable Diffusion, 16 many machines, 17 assessment |
# %% [markdown] lang="vi" of="c902c4ae"
# ## Bản đồ khóa học
#
# | bạn đã thấy | bạn sẽ tự dựng ở bài |
# |---|---|
# | mạng khử nhiễu (denoise) | 01 U-Net, 02 DDPM, 03 dự đoán cái gì |
# | bước đi, bộ lấy mẫu, vẽ ít bước | 04 bộ lấy mẫu, 10 chưng cất (distillation) |
# | dẫn hướng, prompt phủ định | 05 điều kiện, 07 chú ý chéo (cross-attention) |
# | token, tháp văn bản | 06 CLIP |
# | latent và VAE; mạng có sẵn | 08 VAE, 09 DiT |
# | những gì nó không vẽ được, hoặc vẽ sai | 11 LoRA, 12 DreamBooth, 13 chỉnh sửa |
# | nó tốt đến đâu; mô hình lớn hơn | 14 đo lường, 15 Stable Diffusion, 16 nhiều máy, 17 bài thi cuối |

# %% [markdown] lang="en"
# ## Summary
#
# | part | formula, code | shapes |
# |---|---|---|
# | mix | $x_t = \alpha_t x_0 + \sigma_t \epsilon$, `schedule.mix` | all `(B, 4, 16, 16)` |
# | text tower | `pipe.encode` | B sentences to `(B, L, 256)`, mask `(B, L)` |
# | network | $v$ from $x_t, t$, words | `(B, 4, 16, 16)` to the same |
# | guidance | neg + scale · (words − neg), `combine` | as $x_0$ |
# | step | $x_s = \alpha_s x_0 + \sigma_s \epsilon$, `step` | as $x_t$ |
# | VAE | `pipe.pixels` | to `(B, 3, 128, 128)`, -1..1 |
# %% [markdown] lang="vi" of="6868c5cd"
# ## Tóm tắt
#
# | bộ phận | công thức, mã | kích thước |
# |---|---|---|
# | trộn | $x_t = \alpha_t x_0 + \sigma_t \epsilon$, `schedule.mix` | đều là `(B, 4, 16, 16)` |
# | tháp văn bản | `pipe.encode` | B câu thành `(B, L, 256)`, mask `(B, L)` |
# | mạng | $v$ từ $x_t, t$ và lời | `(B, 4, 16, 16)`, ra cùng kích thước |
# | dẫn hướng | neg + scale · (words − neg), `combine` | như $x_0$ |
# | bước đi | $x_s = \alpha_s x_0 + \sigma_s \epsilon$, `step` | như $x_t$ |
# | VAE | `pipe.pixels` | ra `(B, 3, 128, 128)`, -1..1 |

# %% [markdown] lang="en"
# **You can now** draw in two languages, choose every knob on purpose, read the trajectory of a drawing, name each part with
# its shapes, and see from a picture that its range was mistaken. The exercises (notebook [[notebook]]) put
# your own code into the shipped model; the last one is the whole drawing loop, in four lines.
#
# **What still bothers:** "a network guesses $x_0$" was taken on trust. How can anything see a picture in noise? Lesson 01
# builds a network that does, from convolutions up, and shows why a single guess is not enough: it blurs.
# %% [markdown] lang="vi" of="39b55372"
# **Giờ bạn có thể** vẽ bằng hai thứ tiếng, chủ động chọn từng núm, đọc được hành trình của một bức vẽ, gọi tên mỗi bộ phận
# kèm kích thước, và nhìn tranh là biết khoảng số bị nhầm. Các bài tập (notebook [[notebook]]) đưa mã của
# chính bạn vào mô hình có sẵn; bài cuối là toàn bộ vòng lặp vẽ, chỉ bốn dòng.
#
# **Điều còn băn khoăn:** câu "mạng đoán $x_0$" bạn mới chỉ tin suông. Làm sao nhìn ra được bức tranh trong nhiễu? Bài 01 dựng
# một mạng như thế, bắt đầu từ phép tích chập (convolution), và cho thấy vì sao một lời đoán là chưa đủ: nó nhòe.

# %% [markdown] lang="en"
# ### Sources
#
# - Mixing data and noise: Ho, Jain, Abbeel 2020, *Denoising Diffusion Probabilistic Models*, eq. 4; the quarter turn of
#   cosine and sine, and $v$: Salimans, Ho 2022, *Progressive Distillation for Fast Sampling of Diffusion Models*, appendix D.
# - The step: Song, Meng, Ermon 2021, *Denoising Diffusion Implicit Models*, eq. 12.
# - Guidance: Ho, Salimans 2022, *Classifier-Free Diffusion Guidance*, eq. 6. DPM++ 2M: Lu et al. 2022, *DPM-Solver++*.
# - Drawing in latents: Rombach et al. 2022, *High-Resolution Image Synthesis with Latent Diffusion Models*. The network:
#   Peebles, Xie 2023, *Scalable Diffusion Models with Transformers*, and Chen et al. 2023, *PixArt-α*.
# - Text towers trained with pictures: Radford et al. 2021, *Learning Transferable Visual Models From Natural Language
#   Supervision*.
# %% [markdown] lang="vi" of="e1d7fe16"
# ### Nguồn
#
# - Trộn dữ liệu và nhiễu: Ho, Jain, Abbeel 2020, *Denoising Diffusion Probabilistic Models*, công thức 4; một phần tư vòng
#   quay của cosin và sin, cùng với $v$: Salimans, Ho 2022, *Progressive Distillation for Fast Sampling of Diffusion Models*
#   (chưng cất dần), phụ lục D.
# - Bước đi: Song, Meng, Ermon 2021, *Denoising Diffusion Implicit Models*, công thức 12.
# - Dẫn hướng: Ho, Salimans 2022, *Classifier-Free Diffusion Guidance*, công thức 6. DPM++ 2M: Lu và cộng sự 2022,
#   *DPM-Solver++*.
# - Vẽ trong latent: Rombach và cộng sự 2022, *High-Resolution Image Synthesis with Latent Diffusion Models*. Mạng: Peebles,
#   Xie 2023, *Scalable Diffusion Models with Transformers*, và Chen và cộng sự 2023, *PixArt-α*.
# - Tháp văn bản học cùng tranh: Radford và cộng sự 2021, *Learning Transferable Visual Models From Natural Language
#   Supervision*.

# %% [markdown] lang="en" only="exercise"
# # 00 Exercises: your code inside the shipped model
#
# These are small functions that stand on the way from noise to a file. Fill each in, run its cell, and `check` tells you what
# is right. Then your function draws inside the shipped model; the picture must be the same as the library's. (The model
# computes in float32 here: bfloat16 is faster, but in its last digits two equal formulas already differ visibly.)
# %% [markdown] lang="vi" of="f058021a"
# # 00 Bài tập: mã của bạn trong mô hình có sẵn
#
# Những hàm nhỏ, nằm trên đường từ nhiễu đến tệp ảnh. Hãy điền từng hàm, chạy ô của nó, và `check` cho biết chỗ nào đúng. Sau
# đó hàm của bạn vẽ bên trong mô hình có sẵn; bức tranh phải trùng với bức của thư viện. (Ở đây mô hình tính bằng float32:
# bfloat16 nhanh hơn, nhưng ở những chữ số cuối, hai công thức bằng nhau cũng đã lệch nhau thấy được.)

# %% only="exercise"
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from minidiff import load_pipeline
from minidiff.diffusion import samplers

pipe = load_pipeline("world-dit", dtype="float32")
schedule = pipe.scheduler.schedule
prompt = "a big red star left of a small blue house at night"
generator = torch.Generator().manual_seed(42)
noise = torch.randn(1, *pipe.latent_shape, generator=generator).to(pipe.device)
