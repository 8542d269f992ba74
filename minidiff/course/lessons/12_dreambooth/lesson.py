"""Lesson 12: DreamBooth, one subject under a rare word: learnt with and without its class, measured, and broken on purpose."""

# %% [markdown] lang="en" slide="slide"
# # 12 DreamBooth: this cat, and no other
#
# The upper row shows Mochi, a cat with three ears (the middle one is blue), a dark spot round one eye and a blue scarf. There
# are only twelve pictures of it. The lower row is what `world-dit` draws from a description: an orange cat, but not Mochi. We
# want Mochi itself, "at night" or "left of a house", in new pictures, and all other cats should stay as they are. How do you
# teach a model one individual?
# %% [markdown] lang="vi" of="b29b88eb"
# # 12 DreamBooth: đúng con mèo này
#
# Hàng trên là Mochi, con mèo có ba tai (tai giữa màu xanh dương), một mảng lông sẫm quanh một mắt và chiếc khăn xanh dương. Chỉ
# có mười hai bức tranh về nó. Hàng dưới là những gì `world-dit` vẽ từ lời tả: một con mèo màu cam, nhưng không phải Mochi. Ta
# muốn chính Mochi, "ban đêm" hay "bên trái một ngôi nhà", trong những bức tranh mới, còn mọi con mèo khác phải vẫn như cũ. Làm
# sao dạy cho mô hình một cá thể?

# %%
import random

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from minidiff import load_pipeline
from minidiff.data.world.subjects import SUBJECTS, draw_subject, subject_scene
from minidiff.utils.images import to_tensor

device = "cuda" if torch.cuda.is_available() else "cpu"
pipe = load_pipeline("world-dit", device=device, dtype="float32")
dit, schedule, mochi = pipe.network, pipe.scheduler.schedule, SUBJECTS["mochi"]


def draw(texts: list[str], guidance: float = 3.0) -> Tensor:
    """Pictures (B, 3, 128, 128) in 10 steps, each from a seed of its own."""
    seeds, empty = range(len(texts)), [""] * len(texts)
    states = pipe.sample(texts, seeds, empty, steps=10, guidance_scale=guidance)
    *_, (_, x, _) = states
    return pipe.pixels(x).cpu().clamp(-1, 1)


# %% slide="sub"
scenes = [subject_scene(mochi, number) for number in range(12)]
pixels = to_tensor([draw_subject(mochi, scene).image for scene in scenes])
described = ["a big orange cat on a plain background", "a big orange cat in a meadow"]
described += ["a big orange cat at sea", "an orange cat left of a red house"]
show(torch.stack([pixels[[0, 4, 3, 5]], draw(described, 5.0)]))

# %% [markdown] lang="en" role="notes"
# Ask what could go wrong if we simply trained on these pictures with the caption "a cat". Collect the answers; section 5 shows
# one of them.
# %% [markdown] lang="vi" of="802fe52a"
# Hỏi: nếu cứ huấn luyện trên các bức tranh này với câu "a cat" thì điều gì có thể hỏng? Ghi lại các câu trả lời; mục 5 sẽ cho
# thấy một trong số đó.

# %% [markdown] lang="en"
# [[map]]
#
# **Aims.** You can choose a rare word and bind one subject to it; protect the other members of its class with the
# prior-preservation loss; put both into one batch; and measure identity (is it the subject?) and drift (have other cats moved
# towards it?). You know what this costs with all weights and with a LoRA.
#
# **Time:** [[time]]. **You need:** lesson 11 (fine-tuning), 08 (latents), 07 (masks of texts). The two trainings take about a
# minute on a CPU; on a GPU they are longer.
# %% [markdown] lang="vi" of="6cd511b6"
# [[map]]
#
# **Mục tiêu.** Bạn chọn được một từ hiếm và gắn một chủ thể (subject) với nó; bảo vệ những thành viên khác của lớp bằng hàm mất
# mát (loss) bảo toàn tiên nghiệm (prior preservation); đặt cả hai vào một lô (batch); và đo được identity (có đúng là chủ thể
# không?) và drift (các con mèo khác có bị kéo về phía nó không?). Bạn biết cách này tốn bao nhiêu khi học mọi trọng số và khi
# chỉ học một LoRA.
#
# Trong bài này, "lớp" (class) là loại mà chủ thể thuộc về, ở đây là mèo, không phải lớp của mạng.
#
# **Thời gian:** [[time]]. **Cần biết:** bài 11 (tinh chỉnh, fine-tuning), 08 (latent), 07 (mặt nạ của câu). Hai lần huấn luyện
# mất khoảng một phút trên CPU; trên GPU thì lâu hơn.

# %% [markdown] lang="en" role="think"
# **Three quick questions** from earlier lessons.
#
# 1. (07) Texts in a batch have different lengths. What fills the gap, and what keeps the network from reading it?
# 2. (08) Why do we encode pictures into latents once, before training?
# 3. (11) No caption named the style "outline". Which captions were drawn as outlines? Why would this be wrong for one cat?
# ---
# 1. Padding, and a mask (B, L) that is True only where a token is.
# 2. The VAE doesn't change, so neither do the latents.
# 3. All of them. Mochi should appear only when the caption names it.
# %% [markdown] lang="vi" of="b8523b5b"
# **Ba câu hỏi nhanh** từ các bài trước.
#
# 1. (07) Các câu trong một lô dài ngắn khác nhau. Cái gì lấp chỗ trống, và cái gì ngăn mạng đọc chỗ ấy?
# 2. (08) Vì sao ta mã hóa tranh thành latent một lần, trước khi huấn luyện (training)?
# 3. (11) Không câu nào nhắc đến phong cách "outline". Những câu nào được vẽ bằng nét viền? Vì sao với một con mèo thì như thế
#    là sai?
# ---
# 1. Phần đệm, và một mặt nạ (B, L) chỉ bằng True ở chỗ có token.
# 2. VAE không đổi, nên latent cũng không đổi.
# 3. Mọi câu. Còn Mochi chỉ nên xuất hiện khi câu gọi tên nó.

# %% [markdown] lang="en" slide="slide"
# ## 1. A word that means nothing yet
#
# DreamBooth (Ruiz et al. 2023, section 3.2) calls the subject by a rare word and its class: "a *sks* cat". "Cat" brings
# everything the model knows about cats. The rare word will stand for what makes this cat special, so it must not have a meaning
# yet.
#
# How common is a word? The network sees tokens, not words. By hand: the word **qe** is cut into `q` (occurs 3 times) and `e`
# (occurs 900 times). The model has already learnt what usually comes with `e`. So the safe rule is: **a word is as common as
# its most frequent token**, here 900.
# %% [markdown] lang="vi" of="c3265904"
# ## 1. Một từ chưa có nghĩa gì
#
# DreamBooth (Ruiz và cộng sự 2023, mục 3.2) gọi chủ thể bằng một từ hiếm kèm tên lớp: "a *sks* cat". "Cat" mang theo mọi điều
# mô hình biết về mèo. Từ hiếm sẽ mang những gì làm con này khác biệt, nên nó phải chưa có nghĩa gì.
#
# Một từ phổ biến đến đâu? Mạng thấy token, không thấy từ. Tính tay: từ **qe** bị cắt thành hai token `q` (xuất hiện 3 lần) và
# `e` (900 lần). Mô hình đã học những gì thường đi kèm `e`. Vì vậy quy tắc an toàn là: **một từ phổ biến bằng token hay gặp nhất
# của nó**, ở đây là 900.

# %%
def rarest_word(counts: Tensor, words: list[list[int]]) -> int:
    """The number of the least common word; among equals, the one with fewest tokens."""
    common = [int(counts[ids].max()) for ids in words]          # one a word
    return min(range(len(words)), key=lambda k: (common[k], len(words[k])))


counts = torch.tensor([900, 3, 3, 0, 0])                        # (V,): e, q, x, w, z
print(rarest_word(counts, [[1, 0], [1, 2], [3, 4, 3], [4, 3]])) # qe, qx, wzw, zw

# %% [markdown] lang="en"
# The answer is word number 3: only wzw and zw have no token that occurs, and zw is shorter.
#
# Now the real tokenizer, and captions in English, Vietnamese and Vietnamese without accents, like those of the model's
# training. Could we simply call our cat **Tim**, **Sao** or **Mochi**?
# %% [markdown] lang="vi" of="58287dfa"
# Kết quả là từ số 3: chỉ wzw và zw gồm toàn token không bao giờ xuất hiện, và zw ngắn hơn.
#
# Giờ đến tokenizer thật, và các câu mô tả bằng tiếng Anh, tiếng Việt và tiếng Việt không dấu, giống những câu mà mô hình đã học
# khi huấn luyện. Ta gọi luôn con mèo là **Tim**, **Sao** hay **Mochi** có được không?

# %%
from minidiff.data.world.captions import LANGS, describe
from minidiff.data.world.random_scenes import scene_at
from minidiff.finetune.dreambooth import token_counts, token_ids

tokenizer, dice = pipe.tokenizer, random.Random(0)
captions = [describe(scene_at(k), lang, dice) for k in range(1500) for lang in LANGS]
ids, mask = tokenizer.encode(captions)                          # (4500, L) both
ids = ids[mask & (ids != tokenizer.bos_id) & (ids != tokenizer.eos_id)]
counts = torch.bincount(ids, minlength=tokenizer.vocab_size)    # (V,)
assert token_counts(tokenizer, captions) == {k: n for k, n in enumerate(counts) if n}

# %% slide="sub"
names = ["tim", "sao", "sks", "mochi", "zwx"]
words = [token_ids(tokenizer, name) for name in names]
for name, some in zip(names, words, strict=True):
    print(f"{name:6} {tokenizer.tokens(name)} occur {counts[some].tolist()} times")
token = names[rarest_word(counts, words)]
print("our word:", token)

# %% [markdown] lang="en" role="think"
# Three words have only tokens that never occur; `sks` is the first of the two shortest. **Predict.** What does `world-dit` draw
# for "a tim cat", "a sao cat" and "a sks cat", before any fine-tuning?
# ---
# "Tim" is Vietnamese for heart, and also *tím* (purple) without accents; "sao" is star. The model can't know that we mean a
# name. In "a sks cat" it understands only "cat".
# %% [markdown] lang="vi" of="2fb3eacb"
# Ba từ gồm toàn token không bao giờ xuất hiện; `sks` đứng trước trong hai từ ngắn nhất. **Đoán xem.** Trước khi tinh chỉnh,
# `world-dit` vẽ gì cho "a tim cat", "a sao cat" và "a sks cat"?
# ---
# "Tim" có thể là trái tim, hoặc là *tím* viết không dấu; "sao" là ngôi sao. Mô hình không thể biết ta muốn nói một cái tên.
# Trong "a sks cat", nó chỉ hiểu mỗi chữ "cat".

# %% slide="sub"
grid = [draw([f"a {name} cat"] * 6, 5.0) for name in ("tim", "sao", token)]
show(torch.stack(grid))

# %% [markdown] lang="en"
# Top: the *tim* cats are purple. A cat of that name would have to unlearn the colour first. Middle: *sao* brings stars and
# shapes between star and cat. Bottom: *sks* gives plain cats, and with this small model sometimes none.
#
# The paper draws its words at random from rare tokens of at most three characters. `sks` became a habit through early public
# implementations, although a model of the whole Internet knows it as a rifle. So count the tokens of your word, and look at
# what *your* base model draws for it.
# %% [markdown] lang="vi" of="6775a210"
# Trên: các con mèo *tim* đều tím. Một con mèo tên như vậy trước hết phải quên màu ấy đi. Giữa: *sao* kéo theo ngôi sao và những
# hình nửa sao nửa mèo. Dưới: *sks* cho những con mèo bình thường, và với mô hình nhỏ này, đôi khi không có con nào.
#
# Bài báo chọn ngẫu nhiên trong các token hiếm dài nhiều nhất ba ký tự. `sks` thành thói quen do các bản cài đặt công khai đầu
# tiên, dù một mô hình học từ cả Internet biết đó là một khẩu súng trường. Vì vậy hãy đếm các token của từ bạn chọn, và xem mô
# hình gốc *của bạn* vẽ gì cho nó.

# %% [markdown] lang="en" slide="slide"
# ## 2. Twelve pictures and their captions
#
# Each caption names the subject and the setting. It says nothing about what the subject looks like.
# %% [markdown] lang="vi" of="fc78908a"
# ## 2. Mười hai bức tranh và các câu mô tả
#
# Mỗi câu nêu chủ thể và bối cảnh, không nói gì về ngoại hình của chủ thể.

# %%
from minidiff.data.world.subjects import subject_caption

sizes = {"cpu": (140, 2, 24, 1e-3), "cuda": (800, 8, 192, 3e-4)}     # more on a GPU
steps, B, count, rate = sizes[device]
print(f"on {device}: {steps} steps of {B} and {B} pictures, {count} of the class")
subject_texts = [subject_caption(mochi, scene, token) for scene in scenes]


@torch.no_grad()
def encode(pixels: Tensor) -> Tensor:
    """Pictures (B, 3, 128, 128) to latents as the network sees them, (B, 4, 16, 16)."""
    means = torch.cat([pipe.vae.encode(x.to(device))[0] for x in pixels.split(32)])
    return (means - pipe.latent_mean) / pipe.latent_std


def read(texts: list[str]) -> tuple[Tensor, Tensor]:
    """Vectors (B, L, 256) and mask (B, L) that may be trained with."""
    context, mask = pipe.encode(texts)
    return context.clone(), mask.clone()


# %% slide="sub"
subject = encode(pixels), *read(subject_texts)                  # latents, context, mask
print(*subject_texts[2:6], [tuple(part.shape) for part in subject], sep="\n")
with torch.no_grad():
    latents = subject[0][2:10] * pipe.latent_std + pipe.latent_mean
    decoded = pipe.vae.decode(latents).cpu()
show(torch.stack([pixels[2:10], decoded]))

# %% [markdown] lang="en" role="think"
# The lower row has been through the VAE; the DiT can't draw finer than this. **Predict:** a caption says "at sea", but none
# says "with a blue scarf". To which word will the model bind the sea, and to which the scarf?
# ---
# "Sea" already explains the sea. The scarf is in all twelve pictures, and *sks* is the one word in all twelve captions that has
# no meaning yet. **What the captions name stays free; what they leave out is bound to the rare word.** If every picture were at
# sea and no caption said so, the sea would become a part of Mochi.
# %% [markdown] lang="vi" of="2624fcb0"
# Hàng dưới đã đi qua VAE; DiT không thể vẽ tinh hơn thế. **Đoán xem:** có câu nói "at sea" (trên biển), nhưng không câu nào nói
# "đeo khăn xanh dương". Mô hình sẽ gắn biển với từ nào, chiếc khăn với từ nào?
# ---
# "Sea" đã giải thích biển rồi. Chiếc khăn có trong cả mười hai bức tranh, và *sks* là từ duy nhất vừa có mặt trong cả mười hai
# câu vừa chưa có nghĩa. **Điều câu mô tả có nói thì vẫn tự do; điều không nói thì gắn vào từ hiếm.** Nếu bức nào cũng ở trên
# biển mà không câu nào nói ra, biển sẽ thành một phần của Mochi.

# %% [markdown] lang="en" slide="slide"
# ## 3. The class, drawn by the model itself
#
# Every caption contains "sks" and "cat". So the model could just as well bind the scarf to *cat*: the loss on our twelve
# pictures would be the same. The paper's answer: **the model draws pictures of the class before training**, and during training
# it must still predict these. What it knew of the class before is its *prior*, so the method is called **prior preservation**.
#
# The paper uses one prompt, "a [class noun]", and about a thousand pictures. We have time for few, so we name colours to get
# different cats.
# %% [markdown] lang="vi" of="231c81b0"
# ## 3. Lớp, do chính mô hình vẽ
#
# Câu nào cũng có cả "sks" lẫn "cat". Vì vậy mô hình cũng có thể gắn chiếc khăn với *cat*: hàm mất mát trên mười hai bức tranh
# vẫn như thế. Cách của bài báo: **trước khi huấn luyện, mô hình vẽ các bức tranh của lớp**, và trong lúc huấn luyện nó vẫn phải
# dự đoán đúng những bức này. Những gì nó vốn biết về lớp gọi là *tiên nghiệm* (prior), nên cách làm này gọi là **bảo toàn tiên
# nghiệm**.
#
# Bài báo dùng một prompt duy nhất, "a [tên lớp]", và khoảng một nghìn bức. Ta chỉ đủ thời gian cho một ít, nên nêu thêm màu để
# có những con mèo khác nhau.

# %% slide="sub"
colours = ["red", "blue", "green", "black", "white", "yellow"]
class_texts = [f"a {colours[k % 6]} cat" for k in range(count)]
states = pipe.sample(
    class_texts, range(100, 100 + count), [""] * count, steps=10, guidance_scale=5.0
)
*_, (_, drawn, _) = states
others = drawn.clone(), *read(class_texts)                      # (24, 4, 16, 16), ...
show(torch.cat([pipe.pixels(x) for x in others[0][:16].split(8)]).cpu())

# %% [markdown] lang="en" slide="sub"
# These pictures don't have to be beautiful. They show what the model draws *now*, and that is what we want to keep. The loss
# has two parts (Ruiz et al. 2023, eq. 2; the paper predicts $x_0$, we predict $v$):
#
# $$L = \text{mean}\,(\hat v_{\text{subject}} - v_{\text{subject}})^2 +
# \lambda\;\text{mean}\,(\hat v_{\text{class}} - v_{\text{class}})^2$$
#
# $\lambda$ is the weight of the class. By hand, with two numbers in each half: the errors are 1 and 3 for Mochi, 2 and 0 for
# the other cats. With $\lambda = 0.5$:
#
# $$\frac{1 + 9}{2} + 0.5\cdot\frac{4 + 0}{2} = 5 + 1 = 6$$
# %% [markdown] lang="vi" of="444666a8"
# Những bức này không cần đẹp. Chúng cho thấy mô hình *lúc này* vẽ gì, và đó là điều ta muốn giữ. Hàm mất mát có hai phần (Ruiz
# và cộng sự 2023, phương trình 2; bài báo dự đoán $x_0$, ta dự đoán $v$):
#
# $$L = \text{mean}\,(\hat v_{\text{subject}} - v_{\text{subject}})^2 +
# \lambda\;\text{mean}\,(\hat v_{\text{class}} - v_{\text{class}})^2$$
#
# $\lambda$ là trọng số của lớp. Tính tay, mỗi nửa hai số: sai số là 1 và 3 với Mochi, 2 và 0 với các con mèo khác. Với
# $\lambda = 0.5$:
#
# $$\frac{1 + 9}{2} + 0.5\cdot\frac{4 + 0}{2} = 5 + 1 = 6$$

# %%
from types import SimpleNamespace

from minidiff.finetune.dreambooth import DreamBoothTask


def prior_preservation_loss(prediction: Tensor, truth: Tensor, weight: float) -> Tensor:
    """Both (2B, ...), the subject's rows first, to a scalar."""
    errors = (prediction.float() - truth.float()).square()     # (2B, ...)
    subject, others = errors.chunk(2)                           # (B, ...) each
    return subject.mean() + weight * others.mean()


off = torch.tensor([1.0, 3.0, 2.0, 0.0])
loss = prior_preservation_loss(off, torch.zeros(4), 0.5)
task = SimpleNamespace(config=SimpleNamespace(prior=0.5))       # the library's settings
assert_close(loss, DreamBoothTask.weighted_mean(task, off.square()))
print(loss)
source(DreamBoothTask.weighted_mean)

# %% [markdown] lang="en" slide="slide"
# ## 4. Two halves of one batch
#
# Both halves go through the network together: latents (B, 4, 16, 16) twice become (2B, 4, 16, 16). The captions have different
# lengths, so we pad the shorter contexts with zeros and their masks with False: (B, L1, D) and (B, L2, D) become (2B, max(L1,
# L2), D).
#
# With the mask, the prediction for a half is the same as for this half alone. Without it, softmax gives the padding a share of
# the attention (lesson 07). The second cell tests both.
# %% [markdown] lang="vi" of="57379f00"
# ## 4. Hai nửa của một lô
#
# Cả hai nửa cùng đi qua mạng: hai lần latent (B, 4, 16, 16) thành (2B, 4, 16, 16). Các câu dài ngắn khác nhau, nên ta đệm thêm
# số 0 sau các vector của câu ngắn và thêm False vào mặt nạ của nó: (B, L1, D) và (B, L2, D) thành (2B, max(L1, L2), D).
#
# Có mặt nạ thì dự đoán cho một nửa vẫn như khi nửa ấy đi một mình. Không có thì softmax chia cho phần đệm một phần sự chú ý
# (attention, bài 07). Ô thứ hai kiểm tra cả hai trường hợp.

# %%
Half = tuple[Tensor, Tensor, Tensor]                            # latents, context, mask


def lengthen(words: Tensor, length: int) -> Tensor:
    """(B, L, ...) to (B, length, ...): zeros, or False, behind."""
    missing = words.new_zeros(len(words), length - words.shape[1], *words.shape[2:])
    return torch.cat([words, missing], dim=1)


def paired_batch(subject: Half, others: Half) -> Half:
    longest = max(subject[1].shape[1], others[1].shape[1])      # L1 or L2
    latents = torch.cat([subject[0], others[0]])                # (2B, 4, 16, 16)
    context, mask = (
        torch.cat([lengthen(subject[k], longest), lengthen(others[k], longest)])
        for k in (1, 2)
    )
    return latents, context, mask                               # the subject first


# %%
short = [part[:2] for part in (others[0], *read(["a red cat", "a blue cat"]))]
long_text = [f"a {token} cat to the left of a small red house under a starry night sky"]
longer = [part[:2] for part in (subject[0], *read(long_text * 2))]
x, context, mask = paired_batch(longer, short)                  # (4, 4, 16, 16), ...
t = torch.full((4,), 500.0, device=device)
print(tuple(short[1].shape), "and", tuple(longer[1].shape), "to", tuple(context.shape))
with torch.no_grad():
    alone = dit(short[0], t[:2], *short[1:])                    # (2, 4, 16, 16)
    assert_close(dit(x, t, context, mask)[2:], alone, rtol=1e-3, atol=1e-4)
    unmasked = dit(x, t, context, torch.ones_like(mask))[2:]
print(f"without the mask off by up to {(unmasked - alone).abs().max():.2f}")

# %% [markdown] lang="en" slide="sub"
# **Each half has its own times.** In every step, the $t$ of each half should be spread over the whole range from 0 to 1, so we
# draw them separately; eq. 2, too, gives the class its own time and noise. `mix` and the network must get the same $t$: pitfall
# 2 shows what happens otherwise.
#
# Like the paper, we train **all weights** of the network. The next cells are one step, its loss, and the training, whose
# learning rate rises for ten steps and then falls to 0.
# %% [markdown] lang="vi" of="0b3adf95"
# **Mỗi nửa có các thời điểm riêng.** Ở mỗi bước, các $t$ của mỗi nửa nên trải khắp khoảng từ 0 đến 1, nên ta chọn chúng riêng
# cho từng nửa; phương trình 2 cũng cho lớp một thời điểm và nhiễu riêng. `mix` và mạng phải nhận cùng một $t$: nếu không thì
# hậu quả như ở cạm bẫy 2.
#
# Như bài báo, ta huấn luyện **mọi trọng số** của mạng. Các ô tiếp theo là một bước, hàm mất mát của nó, và vòng huấn luyện với
# tốc độ học tăng trong mười bước đầu rồi giảm về 0.

# %%
from minidiff.diffusion.prediction import target


def rows(half: Half, dice: torch.Generator) -> Half:
    chosen = torch.randint(len(half[0]), (B,), generator=dice)
    return tuple(part[chosen] for part in half)


def predict(x0, context, mask, dice, shared_t=False) -> tuple[Tensor, Tensor]:
    """Predicted and true v, (B or 2B, 4, 16, 16). shared_t: a fault, see pitfall 2."""
    first, second = torch.rand(2, generator=dice)
    spread = torch.arange(B) / B                                # (B,)
    t = torch.cat([first + spread, second + spread]) % 1        # (2B,)
    eps = torch.randn(2 * B, 4, 16, 16, generator=dice).to(device)[: len(x0)]
    t = t.to(device)[: len(x0)]
    noised = t[:B].repeat(2) if shared_t else t
    x_t = schedule.mix(x0, eps, noised)                         # (B or 2B, 4, 16, 16)
    v = dit(x_t, schedule.timestep(t), context, mask)
    return v, target(schedule, "v", x0, eps, t)


# %%
def losses_of(weight: float, dice: torch.Generator) -> tuple[Tensor, Tensor]:
    """The loss of one step, and that of the subject's half alone."""
    one, other = rows(subject, dice), rows(others, dice)
    v, truth = predict(*(paired_batch(one, other) if weight else one), dice)
    own = F.mse_loss(v[:B], truth[:B])
    return prior_preservation_loss(v, truth, weight) if weight else own, own


# %%
original = {name: value.clone() for name, value in dit.state_dict().items()}


def train(weight: float) -> list[float]:
    """From the original weights. Returns loss of the subject's half in each step."""
    dit.load_state_dict(original)
    parameters = list(dit.requires_grad_(True).parameters())
    optimizer = torch.optim.AdamW(parameters, rate, (0.9, 0.99), weight_decay=0.0)
    pace = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda k: min(1, (k + 1) / 10) * (1 - k / steps)
    )
    dice, curve = torch.Generator().manual_seed(0), []
    for _ in range(steps):
        loss, own = losses_of(weight, dice)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pace.step()
        curve.append(own.item())
    return curve


# %% [markdown] lang="en" slide="slide"
# ## 5. Without the class, and with it
#
# Two trainings start from the same weights. The first sees only Mochi ($\lambda = 0$), the second also the class
# ($\lambda = 1$). Mochi's pictures, times and noise are the same in both.
# %% [markdown] lang="vi" of="d4bc98f5"
# ## 5. Khi không có lớp, và khi có lớp
#
# Hai lần huấn luyện bắt đầu từ cùng trọng số. Lần đầu chỉ thấy Mochi ($\lambda = 0$), lần sau thấy thêm cả lớp ($\lambda = 1$).
# Tranh, thời điểm và nhiễu của Mochi đều như nhau trong cả hai lần.

# %% [markdown] lang="en" role="think"
# **Predict.** After the same number of steps, which of the two has the lower loss on Mochi? And what will the first one draw
# for "a blue cat in a meadow"?
# ---
# The loss on Mochi falls in both; at the end it is a little lower in the first, which has nothing else to learn. The second
# group of pictures below shows the blue cat.
# %% [markdown] lang="vi" of="3d4eb866"
# **Đoán xem.** Sau cùng số bước, lần nào có hàm mất mát trên Mochi thấp hơn? Và mô hình của lần đầu vẽ gì cho "a blue cat in a
# meadow" (một con mèo xanh dương trên đồng cỏ)?
# ---
# Hàm mất mát trên Mochi giảm trong cả hai lần; cuối cùng lần đầu thấp hơn một chút, vì không phải học gì khác. Còn con mèo xanh
# thì ở nhóm tranh thứ hai dưới đây.

# %%
import time

clock = time.process_time if device == "cpu" else time.perf_counter
curves, learnt = {}, {"the base": original}
for name, weight in {"without the class": 0.0, "with the class": 1.0}.items():
    begun = clock()
    curves[name] = train(weight)
    print(f"{name}: {(clock() - begun) / steps:.2f} seconds a step")
    learnt[name] = {n: value.clone() for n, value in dit.state_dict().items()}
smooth = {n: torch.tensor(c).unfold(0, 20, 5).mean(1) for n, c in curves.items()}
x = torch.arange(len(smooth["with the class"])) * 5 + 10
lines({n: (x, c) for n, c in smooth.items()}, x="step", y="loss of Mochi's half")

# %% slide="sub"
places = ["at sea", "in a meadow", "by day", "at night", "at sunset", "indoors"]
others_in = ["left of a red house", "above a tree", "below a yellow star"]
called = [f"a {token} cat {where}" for where in places + others_in]
shades = ["red", "blue", "black", "yellow", "purple", "pink"]
plain = [f"a {shade} cat {where}" for shade, where in zip(shades, places, strict=True)]
plain += ["a white cat in a meadow", "a green cat by day", "a red cat at sunset"]
drawings = {}
for name, state in learnt.items():
    dit.load_state_dict(state)
    drawings[name] = draw(called), draw(plain)                  # (9, 3, 128, 128) each
show(torch.stack([subject[:6] for subject, _ in drawings.values()]), places)

# %% [markdown] lang="en"
# Top: the base. Middle: trained without the class. Bottom: with it. The prompts are "a sks cat at sea" and so on. The base
# draws some cat or none. After so little training, most pictures show a sketch of Mochi: orange with white and blue patches,
# large. The spot and the third ear are hardly there, and with the class a cat may still be plain. The model is small and the
# training short.
#
# Now the other cats, in prompts without *sks*:
# %% [markdown] lang="vi" of="8b88cdf4"
# Trên: mô hình gốc. Giữa: huấn luyện không có lớp. Dưới: có lớp. Các prompt là "a sks cat at sea", v.v. Mô hình gốc vẽ một con
# mèo nào đó, hoặc không có con nào. Mới huấn luyện rất ít mà phần lớn các bức đã cho thấy phác thảo của Mochi: màu cam với các
# mảng trắng và xanh dương, thân to. Mảng lông quanh mắt và cái tai thứ ba hầu như chưa có, và khi có lớp thì vẫn có thể gặp một
# con mèo bình thường. Mô hình nhỏ, thời gian lại ngắn.
#
# Giờ đến những con mèo khác, với các prompt không có *sks*:

# %% slide="sub"
titles = [text.removeprefix("a ").replace(" cat", "") for text in plain[:6]]
show(torch.stack([cats[:6] for _, cats in drawings.values()]), titles)

# %% [markdown] lang="en" slide="sub"
# Middle: without the class, **every cat becomes *the* cat**. Whatever colour the prompt names, patches of Mochi's colours
# appear. The paper calls this *language drift*: the model slowly forgets how to draw other members of the class (section 3.3).
# Bottom: with the class, cats keep the colours that their prompts name, even purple and pink, which no class picture had.
#
# The last prompts ask for something that none of the twelve pictures shows: Mochi *beside something else*. What "left of" and
# "above" mean, the model can only know from before.
# %% [markdown] lang="vi" of="df341667"
# Giữa: không có lớp thì **con mèo nào cũng thành *chính* con mèo ấy**. Dù prompt nói màu gì, các mảng màu của Mochi vẫn hiện
# ra. Bài báo gọi hiện tượng này là *language drift* (trôi ngôn ngữ): mô hình dần quên cách vẽ những thành viên khác của lớp
# (mục 3.3). Dưới: có lớp thì các con mèo giữ được màu mà prompt nêu, kể cả tím và hồng, hai màu không có trong tranh của lớp.
#
# Các prompt cuối yêu cầu một điều mà cả mười hai bức tranh đều không có: Mochi *bên cạnh vật khác*. "Left of" (bên trái) và
# "above" (phía trên) nghĩa là gì, mô hình chỉ có thể biết từ trước.

# %% slide="sub"
def beside(place: str, axis) -> None:
    k = 6 + others_in.index(place)
    rows = [subject[k] for subject, _ in drawings.values()]     # three of (3, H, W)
    axis.imshow((torch.cat(rows, dim=1).clamp(-1, 1).permute(1, 2, 0) + 1) / 2)
    axis.set_axis_off()


slider(beside, "place", others_in)

# %% [markdown] lang="en"
# In both trained rows, the cat mostly stands where the caption says. But Mochi's colours can spread to the other things, more so
# without the class: compare the stars.
# %% [markdown] lang="vi" of="3ccc0dc3"
# Ở cả hai hàng đã huấn luyện, con mèo thường đứng đúng chỗ mà câu nói. Nhưng màu của Mochi có thể lan sang các vật kia, nhất là
# khi không có lớp: hãy so hai ngôi sao.

# %% [markdown] lang="en" slide="slide"
# ## 6. Is it the one? Identity and drift
#
# **Identity:** which share of the pictures drawn for "a sks cat ..." shows the subject? **Drift:** which share of those drawn
# for other cats shows it, too? Identity should be near 1, drift near 0.
#
# A picture *counts as the subject* when the nearest true picture is one of the subject's. Nearest means the largest cosine
# between features (lesson 06). By hand: Mochi's features are (1, 0), another cat's (0, 1). A drawing with (3, 1) has the
# cosines $3/\sqrt{10}$ and $1/\sqrt{10}$, so it counts as Mochi. One with (1, 2) doesn't.
# %% [markdown] lang="vi" of="f814983c"
# ## 6. Có đúng là nó không? Identity và drift
#
# **Identity (đúng danh tính):** trong các bức vẽ cho "a sks cat ...", tỉ lệ bức cho thấy chủ thể là bao nhiêu? **Drift
# (trôi):** trong các bức vẽ những con mèo khác, tỉ lệ ấy là bao nhiêu? Identity nên gần 1, drift nên gần 0.
#
# Một bức *được coi là chủ thể* khi bức tranh thật gần nó nhất là của chủ thể. Gần nhất nghĩa là cosin giữa các đặc trưng
# (feature) lớn nhất (bài 06). Tính tay: Mochi có đặc trưng (1, 0), một con mèo khác có (0, 1). Bức vẽ có (3, 1) cho hai cosin
# $3/\sqrt{10}$ và $1/\sqrt{10}$, nên được coi là Mochi. Bức có (1, 2) thì không.

# %%
def is_subject(drawn: Tensor, subject: Tensor, others: Tensor) -> Tensor:
    """Features (N, P), (S, P), (O, P) to (N,) bool."""
    true = F.normalize(torch.cat([subject, others]), dim=1)     # (S + O, P), length 1
    nearest = (F.normalize(drawn, dim=1) @ true.T).argmax(1)    # (N,)
    return nearest < len(subject)


one, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
print(is_subject(torch.tensor([[3.0, 1.0], [1.0, 2.0]]), one, other))

# %% [markdown] lang="en"
# The features come from `world-judge`, a network that finds and names things (see lesson 14). We cut out the thing that it is
# surest of, so that the background doesn't count. The true pictures are newly rendered: Mochi in scenes outside the training,
# and ordinary cats in all colours and sizes.
# %% [markdown] lang="vi" of="a5e5ac55"
# Các đặc trưng lấy từ `world-judge`, một mạng tìm và gọi tên các vật (xem bài 14). Ta cắt ra vật mà nó chắc chắn nhất, để phần
# nền không được tính. Các bức thật được vẽ mới: Mochi trong những cảnh không dùng để huấn luyện, và mèo thường đủ màu, đủ cỡ.

# %%
from minidiff.data.world.random_scenes import complete
from minidiff.data.world.scenes import COLOURS, Group, Scene
from minidiff.evaluate import subjects as measures
from minidiff.evaluate.judge import Detection, load_judge

judge, nothing = load_judge(), Detection("cat", "red", 0.5, 0.5, 0.25, 0.0)


def features(pictures: Tensor) -> Tensor:
    """(N, 3, 128, 128) in -1..1 to (N, P): of the surest thing in each."""
    bright = (pictures + 1) / 2                                 # the judge wants 0..1
    found = measures.candidates(judge, bright)
    best = [max(things or [nothing], key=lambda thing: thing.score) for things in found]
    cuts = [measures.squares(x, [thing]) for x, thing in zip(bright, best, strict=True)]
    return measures.described(judge, torch.cat(cuts))


def rendered(scenes: list[Scene]) -> Tensor:
    return to_tensor([draw_subject(mochi, scene).image for scene in scenes])


# %% slide="sub"
some = [("small", "big", measures.CLOSE)[k % 3] for k in range(48)]
groups = [Group("cat", COLOURS[k % len(COLOURS)], size) for k, size in enumerate(some)]
cats = [complete(Scene(None, (one,)), random.Random(k)) for k, one in enumerate(groups)]
true = rendered([subject_scene(mochi, 100 + k) for k in range(24)]), rendered(cats)
known = [features(pictures) for pictures in true]               # (24, P), (48, P)
new = rendered([subject_scene(mochi, 200 + k) for k in range(12)])
share = is_subject(features(new), *known).float().mean()
print(f"{share:.0%} of new true pictures of Mochi count as Mochi")
show(torch.stack([true[0][:8], true[1][:8]]))

# %% [markdown] lang="en" role="think"
# The measure passes a first test: new true pictures of Mochi count as Mochi. **Predict** identity and drift of the base and of
# the two trainings, from nine pictures each.
# ---
# The base should be near 0 in both. Without the class, both should be high. With the class, drift should be near 0, and
# identity lower than without, because the same number of steps had to serve two aims.
# %% [markdown] lang="vi" of="5ce259ed"
# Phép đo qua được bài kiểm tra đầu tiên: các bức thật mới của Mochi được coi là Mochi. **Đoán xem** identity và drift của mô
# hình gốc và của hai lần huấn luyện, mỗi số tính từ chín bức.
# ---
# Mô hình gốc nên gần 0 ở cả hai. Không có lớp thì cả hai nên cao. Có lớp thì drift nên gần 0, còn identity thấp hơn khi không
# có, vì cùng số bước ấy phải phục vụ hai mục tiêu.

# %% slide="sub"
print(f"{'':18} identity   drift   identity by the library")
for name, (one, other) in drawings.items():
    counted = [is_subject(features(x), *known).float().mean() for x in (one, other)]
    theirs = measures.identity((one + 1) / 2, mochi).mean()
    print(f"{name:18} {counted[0]:8.0%} {counted[1]:7.0%} {theirs:12.2f}")
source(measures.identity)

# %% [markdown] lang="en"
# The library's measure is stricter. It says *how much* of the subject a thing is, from 0 to 1: a linear map of the features,
# fitted to drawings of Mochi with and without its marks. A sketch without the third ear counts in part.
#
# Nine pictures are few: one more or less is 11 percentage points. So read the columns only as "most", "about half" or "hardly
# any". The paper compares DINO and CLIP features by their cosines (section 4.1).
# %% [markdown] lang="vi" of="553fa99c"
# Phép đo của thư viện nghiêm hơn. Nó cho biết một vật là chủ thể *bao nhiêu phần*, từ 0 đến 1: một ánh xạ tuyến tính của các
# đặc trưng, khớp trên những hình vẽ Mochi có và không có từng nét riêng. Một phác thảo thiếu cái tai thứ ba chỉ được tính một
# phần.
#
# Chín bức là ít: thêm bớt một bức là lệch 11 điểm phần trăm. Vì vậy chỉ nên đọc các cột như "phần lớn", "khoảng một nửa" hay
# "hầu như không". Bài báo so các đặc trưng của DINO và CLIP bằng cosin (mục 4.1).

# %% [markdown] lang="en" slide="slide"
# ## 7. LoRA, DreamBooth, both, or everything
#
# *What* is learnt (the pictures alone, or also the class) and *which numbers* learn (all weights, or the factors of a LoRA) are
# two separate choices. Together they give four ways of fine-tuning:
#
# | | the pictures alone | with the class |
# |---|---|---|
# | **a LoRA learns** | LoRA (lesson 11) | DreamBooth by LoRA |
# | **all weights learn** | full fine-tuning | DreamBooth |
# %% [markdown] lang="vi" of="f93f30c9"
# ## 7. LoRA, DreamBooth, cả hai, hay tất cả
#
# Học *cái gì* (chỉ các bức tranh, hay thêm cả lớp) và *những số nào* được học (mọi trọng số, hay các thừa số của LoRA) là hai
# lựa chọn riêng. Kết hợp lại có bốn cách tinh chỉnh:
#
# | | chỉ các bức tranh | cùng với lớp |
# |---|---|---|
# | **một LoRA học** | LoRA (bài 11) | DreamBooth bằng LoRA |
# | **mọi trọng số học** | tinh chỉnh toàn bộ | DreamBooth |

# %% [markdown] lang="en" role="think"
# **Guess** for `world-dit` and a LoRA of rank 8: how many times smaller is its file? And which of the two choices slows a step
# down more?
# ---
# A file holds the numbers that were learnt: about 35 times fewer. The class slows a step down more, since it doubles the rows:
# in section 5, by about a half. Training all weights in place of a LoRA cost a fifth to a third in lesson 11.
# %% [markdown] lang="vi" of="d5ce8db9"
# **Đoán xem**, với `world-dit` và một LoRA hạng 8: tệp nhỏ hơn bao nhiêu lần? Và trong hai lựa chọn, cái nào làm mỗi bước chậm
# đi nhiều hơn?
# ---
# Tệp chứa những số đã học: ít hơn khoảng 35 lần. Lớp làm mỗi bước chậm đi nhiều hơn, vì số hàng tăng gấp đôi: ở mục 5, lâu hơn
# khoảng một nửa. Ở bài 11, huấn luyện mọi trọng số thay cho LoRA tốn thêm từ một phần năm đến một phần ba.

# %%
from minidiff.finetune.claims import lora_parameters, published_claims
from minidiff.nn.lora import ATTENTION

every = sum(p.numel() for p in dit.parameters())
few = lora_parameters(dit, 8, ATTENTION)
ways = {"LoRA": (few, B), "DreamBooth by LoRA": (few, 2 * B)}
ways |= {"full": (every, B), "DreamBooth": (every, 2 * B)}
for name, (learning, batch) in ways.items():
    print(f"{name:20}{learning / 1e6:6.2f} million numbers learn, "
          f"file {4 * learning / 1e6:5.1f} MB, {batch} rows a step")

# %% [markdown] lang="en"
# Minutes, memory and quality must be measured. One command trains all four ways and draws many more pictures than we did. The
# next cell prints its results if your copy of the library has them, otherwise the command.
# %% [markdown] lang="vi" of="53e7088d"
# Số phút, bộ nhớ và chất lượng thì phải đo mới biết. Một lệnh huấn luyện cả bốn cách và vẽ nhiều bức hơn ta nhiều. Ô tiếp theo
# in kết quả nếu bản thư viện của bạn có sẵn; nếu không, nó in lệnh ấy.

# %%
import json
from pathlib import Path

import minidiff
from minidiff.finetune.compare import report

measured = Path(minidiff.__file__).parents[1] / "docs" / "finetuning.json"
if measured.exists():
    print(report(json.loads(measured.read_text(encoding="utf-8"))).split("\n\n")[0])
else:
    print("minidiff finetune compare --subject mochi --out runs/compare")

# %% slide="sub"
for claim in published_claims():
    said = claim.claimed or "-"
    print(f"{claim.what:46}{claim.parameters:7.2f} M {claim.megabytes:7.1f} MB  {said}")

# %% [markdown] lang="en"
# The last table is about published models, counted on their architectures, without weights; file sizes are in half precision.
# The last column is what people often write. "4-8 M parameters, 4-8 MB" hardly fits together: a million numbers in half
# precision take 2 MB, so 4-8 million take 8-16 MB. At rank 16, which is common, it is 3.2 million and 6.4 MB.
#
# DreamBooth with all weights needs a file as large as the network for *each* subject. So a LoRA is far easier to share.
# %% [markdown] lang="vi" of="fe74a268"
# Bảng cuối nói về các mô hình đã công bố, đếm trên kiến trúc, không cần trọng số; cỡ tệp tính ở độ chính xác một nửa. Cột cuối
# là những gì người ta hay viết. "4-8 triệu tham số, 4-8 MB" không khớp với nhau: ở độ chính xác một nửa, một triệu số chiếm
# 2 MB, nên 4-8 triệu số chiếm 8-16 MB. Ở hạng 16, vốn hay dùng, là 3.2 triệu số và 6.4 MB.
#
# DreamBooth trên mọi trọng số cần cho *mỗi* chủ thể một tệp to bằng cả mạng. Vì vậy chia sẻ một LoRA dễ hơn nhiều.

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 1: no class
#
# **Symptom.** The subject looks good, and its loss is even lower than with the class. But every other cat has Mochi's colours
# (the middle row of section 5), and they spread to other things. **Cause:** nothing protects the other cats: $\lambda$ is 0, or
# there are no pictures of the class. **Fix:** use prior preservation, and always test with a few prompts *without* the rare
# word.
# %% [markdown] lang="vi" of="e95cf21b"
# ## Cạm bẫy 1: thiếu lớp
#
# **Triệu chứng.** Chủ thể trông ổn, giá trị của hàm mất mát trên nó còn thấp hơn khi có lớp. Nhưng con mèo nào khác cũng mang
# màu của Mochi (hàng giữa ở mục 5), và màu ấy lan sang cả vật khác. **Nguyên nhân:** không có gì bảo vệ các con mèo khác:
# $\lambda$ bằng 0, hoặc không có tranh của lớp. **Cách chữa:** dùng bảo toàn tiên nghiệm, và luôn vẽ thử vài prompt *không* có
# từ hiếm.

# %% [markdown] lang="en" slide="slide" role="pitfall"
# ## Pitfall 2: the class is noised with the subject's t
#
# **Symptom.** There is no error message, and after a short training the pictures still look right. But before the first step,
# the loss of the class's half is clearly higher than with correct times. **Cause:** `mix` used the subject's times `t[:B]` for
# both halves, while the network was told the class's own `t`: "hardly any noise" where there is much, or the reverse. So this
# half no longer keeps the network as it was; it trains it for cases that never occur in sampling. **Fix:** one `t` of 2B
# numbers for `mix`, `timestep` and `target`. Print the loss of each half *before* the first step.
# %% [markdown] lang="vi" of="26e54e62"
# ## Cạm bẫy 2: làm nhiễu tranh của lớp bằng t của chủ thể
#
# **Triệu chứng.** Không báo lỗi, và sau một lần huấn luyện ngắn, tranh trông vẫn ổn. Nhưng trước bước đầu tiên, giá trị của hàm
# mất mát ở nửa thuộc về lớp cao hơn hẳn so với khi thời điểm đúng. **Nguyên nhân:** `mix` dùng các thời điểm `t[:B]` của chủ
# thể cho cả hai nửa, còn mạng lại được báo `t` riêng của lớp: "hầu như không có nhiễu" ở nơi đầy nhiễu, hoặc ngược lại. Vì vậy
# nửa này không còn giữ mạng như cũ nữa, mà luyện nó cho những trường hợp không bao giờ gặp khi vẽ. **Cách chữa:** một `t` gồm
# 2B số cho `mix`, `timestep` và `target`. Hãy in giá trị mất mát của từng nửa *trước* bước đầu tiên.

# %%
dit.load_state_dict(original)
for kind in ("t of its own", "t of the subject"):
    dice, losses = torch.Generator().manual_seed(0), []
    for _ in range(16):
        batch = paired_batch(rows(subject, dice), rows(others, dice))
        with torch.no_grad():
            v, truth = predict(*batch, dice, shared_t=kind == "t of the subject")
        errors = (v - truth).square()                           # (2B, 4, 16, 16)
        losses.append([half.mean() for half in errors.chunk(2)])
    one, other = torch.tensor(losses).mean(0).tolist()
    print(f"class with {kind:17} loss of Mochi {one:.2f}, of the class {other:.2f}")

# %% slide="sub"
from minidiff.diffusion.prediction import to_x0_eps


@torch.no_grad()
def guess(told: float, noised: float, n: int = 6) -> Tensor:
    """The network's x0 of class pictures in one step, as pixels (n, 3, 128, 128)."""
    x0, context, mask = (part[:n] for part in others)           # (n, 4, 16, 16), ...
    t, true_t = (torch.full((n,), value, device=device) for value in (told, noised))
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0)).to(device)
    x_t = schedule.mix(x0, eps, true_t)
    v = dit(x_t, schedule.timestep(t), context, mask)
    return pipe.pixels(to_x0_eps(schedule, "v", v, x_t, t)[0]).cpu()


show(torch.stack([guess(0.4, 0.4), guess(0.2, 0.6)]))

# %% [markdown] lang="en"
# Both rows are what the base makes of noised class pictures in one step. Top: noise 0.4, and the network is told 0.4. It finds
# its cats. Bottom: noise 0.6, told 0.2. It takes much of the noise for a part of the picture.
# %% [markdown] lang="vi" of="3d7d9d64"
# Cả hai hàng là những gì mô hình gốc đoán ra, chỉ trong một bước, từ tranh của lớp đã thêm nhiễu. Trên: nhiễu ở mức 0.4, và
# mạng được báo 0.4. Nó nhận ra các con mèo của mình. Dưới: nhiễu ở mức 0.6 mà được báo 0.2. Nó coi nhiều nhiễu là một phần của
# bức tranh.

# %% [markdown] lang="en" slide="slide"
# ## Summary
#
# | what | formula or code | shapes |
# |---|---|---|
# | rare word | smallest count of its most frequent token | counts (V,) |
# | caption | rare word + class + what should stay free | "a sks cat at night" |
# | loss | $\text{mean}\,(\hat v_s - v_s)^2 + \lambda\,\text{mean}\,(\hat v_c - v_c)^2$ | (2B, C, h, w) → scalar |
# | batch | subject first, contexts padded, mask False there | (2B, max(L1, L2), D) |
# | times | for each half; the same in `mix`, `timestep`, `target` | (2B,) |
# | identity | share of "a sks cat" nearest to a true subject | (N, P), (S, P), (O, P) → near 1 |
# | drift | the same for other cats | (M, P), (S, P), (O, P) → near 0 |
# %% [markdown] lang="vi" of="c271601f"
# ## Tóm tắt
#
# | cái gì | công thức hay mã | kích thước |
# |---|---|---|
# | từ hiếm | token hay gặp nhất của nó có số lần nhỏ nhất | counts (V,) |
# | câu mô tả | từ hiếm + tên lớp + những gì phải còn tự do | "a sks cat at night" |
# | hàm mất mát | $\text{mean}\,(\hat v_s - v_s)^2 + \lambda\,\text{mean}\,(\hat v_c - v_c)^2$ | (2B, C, h, w) → một số |
# | lô | chủ thể trước, ngữ cảnh được đệm, mặt nạ ở đó là False | (2B, max(L1, L2), D) |
# | thời điểm | riêng cho mỗi nửa; giống nhau trong `mix`, `timestep`, `target` | (2B,) |
# | identity | tỉ lệ "a sks cat" gần nhất với chủ thể thật | (N, P), (S, P), (O, P) → gần 1 |
# | drift | cũng tỉ lệ ấy với các con mèo khác | (M, P), (S, P), (O, P) → gần 0 |

# %% [markdown] lang="en"
# **You can now** teach a model one individual under a word of its own, protect the rest of its class, and show with pictures
# and numbers that both worked.
#
# **What still bothers:** Each picture of Mochi is new as a whole. What if you like *one* picture and want to change only the
# colour of a star in it? Lesson 13 edits pictures.
#
# **Sources.** N. Ruiz et al. 2023, *DreamBooth: fine tuning text-to-image diffusion models for subject-driven generation*,
# CVPR, sections 3.2, 3.3 (eq. 2) and 4.1.
# %% [markdown] lang="vi" of="6bb8cae2"
# **Giờ bạn đã biết** dạy cho mô hình một cá thể dưới một từ riêng, bảo vệ phần còn lại của lớp, và chứng tỏ cả hai điều bằng
# tranh và bằng số.
#
# **Điều còn vướng:** Bức nào về Mochi cũng mới hoàn toàn. Nếu bạn ưng *một* bức và chỉ muốn đổi màu một ngôi sao trong đó thì
# sao? Bài 13 sẽ chỉnh sửa tranh.
#
# **Nguồn.** N. Ruiz và cộng sự 2023, *DreamBooth: fine tuning text-to-image diffusion models for subject-driven generation*
# (tinh chỉnh mô hình khuếch tán để vẽ theo chủ thể), CVPR, mục 3.2, 3.3 (phương trình 2) và 4.1.

# %% [markdown] lang="en" slide="slide"
# ## 8. Optional: your own subject
#
# The library does the same for photographs, with `world-dit` or a folder of Stable Diffusion:
#
# ```
# minidiff finetune dreambooth photos --token sks --class-prompts "a cat" --how lora
# ```
#
# - `photos` holds pictures (the paper needs three to five) and their captions, each with the rare word.
# - Vary what should stay free: place, light, pose.
# - For Stable Diffusion the paper uses about a thousand steps at a rate of $5\cdot10^{-6}$. A LoRA takes more, such as
#   $10^{-4}$.
#
# Use only pictures of people who have agreed to it.
# %% [markdown] lang="vi" of="d4133dce"
# ## 8. Không bắt buộc (optional): chủ thể của riêng bạn
#
# Thư viện làm đúng như vậy với ảnh chụp, trên `world-dit` hoặc một thư mục Stable Diffusion:
#
# ```
# minidiff finetune dreambooth photos --token sks --class-prompts "a cat" --how lora
# ```
#
# - `photos` chứa các bức ảnh (bài báo chỉ cần ba đến năm bức) và câu mô tả, câu nào cũng có từ hiếm.
# - Hãy thay đổi những gì phải còn tự do: nơi chốn, ánh sáng, tư thế.
# - Với Stable Diffusion, bài báo dùng khoảng một nghìn bước ở tốc độ học $5\cdot10^{-6}$. LoRA chịu được nhiều hơn, chẳng hạn
#   $10^{-4}$.
#
# Chỉ dùng ảnh của những người đã đồng ý.

# %% [markdown] lang="en" only="exercise"
# # 12 Exercises: one fish, and all the others
#
# You choose the rare word, build the loss that keeps the class, put both halves into one batch, measure what came of it, and
# mend a step that ruins everything. `check` says what is right and what isn't. Then your part works on the shipped model
# `world-dit`: the upper row is drawn with the solution, the lower row with yours, and they must be the same.
#
# The next cell loads the model and counts tokens in captions. The one after it draws twelve pictures of the subject, Lumi, a
# fish that no caption of the training has ever described, and other fish as the model draws them before it learns anything.
# Then a LoRA learns Lumi from the twelve pictures alone, **without** a prior: the network `forgetful`. That takes about half a
# minute on a slow computer, and the last row shows what comes of it: "a fish" is Lumi, too. The third cell is for measuring.
# %% [markdown] lang="vi" of="f61fe46c" only="exercise"
# # 12 Bài tập: một con cá, và mọi con cá khác
#
# Bạn chọn từ hiếm, dựng hàm mất mát giữ gìn cả lớp, ghép hai nửa vào một lô, đo kết quả, và sửa một bước làm hỏng mọi thứ.
# `check` cho biết chỗ nào đúng, chỗ nào chưa. Sau đó phần bạn viết làm việc với mô hình có sẵn `world-dit`: hàng trên vẽ bằng
# lời giải, hàng dưới vẽ bằng phần của bạn, và hai hàng phải giống nhau.
#
# Ô tiếp theo nạp mô hình và đếm token trong các câu mô tả. Ô sau đó vẽ mười hai bức của chủ thể Lumi, một con cá mà chưa chú
# thích huấn luyện nào tả, và những con cá khác theo cách mô hình vẽ trước khi học thêm gì. Rồi một LoRA học Lumi chỉ từ mười
# hai bức ấy, **không có** tiên nghiệm: đó là mạng `forgetful` (hay quên). Việc này mất khoảng nửa phút trên máy chậm, và hàng
# cuối cho thấy hậu quả: "a fish" cũng thành Lumi. Ô thứ ba dùng để đo.

# %% only="exercise"
from collections.abc import Callable, Sequence
from copy import deepcopy
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff import load_pipeline
from minidiff.data.world.captions import LANGS, describe
from minidiff.data.world.random_scenes import complete, scene_at
from minidiff.data.world.rendering import render
from minidiff.data.world.scenes import Group, Scene
from minidiff.data.world.subjects import SUBJECTS, subject_image
from minidiff.diffusion.prediction import target, to_x0_eps
from minidiff.diffusion.schedules import NoiseSchedule
from minidiff.evaluate.judge import load_judge, look
from minidiff.finetune.dreambooth import token_counts, token_ids
from minidiff.inference import Prepared
from minidiff.models.clip import CLIP, TextConfig, VisionConfig
from minidiff.nn.lora import add_lora
from minidiff.pretrained import zoo
from minidiff.utils.images import to_tensor
from minidiff.utils.plots import show

pipe = load_pipeline("world-dit", device="cpu", dtype="float32", batch=4)
schedule = pipe.scheduler.schedule
captions = [describe(scene_at(k), LANGS[k % 3], Random(k)) for k in range(600)]
counts = torch.zeros(pipe.tokenizer.vocab_size, dtype=torch.int64)      # (V,)
for number, often in token_counts(pipe.tokenizer, captions).items():
    counts[number] = often
candidates = ["red", "zwx", "night", "sks"]         # which of these means nothing?


def pictures(network: nn.Module, *sentences: str) -> Tensor:
    """Sentences drawn by a network, each from its own noise: (B, 3, 128, 128)."""
    pipe.fast_network = Prepared(network)           # the network as it is, no shortcuts
    seeds, empty = range(1, len(sentences) + 1), [""] * len(sentences)
    *_, (_, x, _) = pipe.sample(sentences, seeds, empty, steps=8, guidance_scale=3.0)
    return pipe.pixels(x)


@torch.no_grad()
def read(*sentences: str) -> tuple[Tensor, Tensor]:
    """Their context (B, L, D) and mask (B, L)."""
    context, mask = pipe.encode(sentences)
    return context.clone(), mask.clone()


@torch.no_grad()
def latents_of(images: Tensor) -> Tensor:
    """Pictures (B, 3, 128, 128) as the network sees them: (B, 4, 16, 16)."""
    return (pipe.vae.encode(images)[0] - pipe.latent_mean) / pipe.latent_std


@torch.no_grad()
def guesses(
    network: nn.Module, x0: Tensor, context: Tensor, mask: Tensor, at: float = 0.5
) -> Tensor:
    """What a network takes latents for when they are noised to time `at`."""
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    t = torch.full((len(x0),), at)
    x = schedule.mix(x0, eps, t)
    v = network(x, schedule.timestep(t), context, mask)
    return pipe.pixels(to_x0_eps(schedule, "v", v, x, t)[0])    # (B, 3, 128, 128)


# %% only="exercise"
lumi = SUBJECTS["lumi"]
photographs = to_tensor(np.stack([subject_image(lumi, k).image for k in range(12)]))
fish = pictures(pipe.network, *["a fish"] * 8)      # drawn before anything is learnt
seen = look(load_judge(), fish / 2 + 0.5)           # some show nothing: left out
fish = fish[[any(thing.kind == "fish" for thing in one.things) for one in seen]]
x_lumi, x_fish = latents_of(photographs), latents_of(fish)
names = read(*["a sks fish"] * 2, *["a fish"] * 2)  # context and mask of 2B captions


def rows(count: int, dice: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Latents of Lumi, then of other fish, `count` each, with a time and noise each."""
    some = torch.randint(len(x_lumi), (count,), generator=dice)
    others = torch.randint(len(x_fish), (count,), generator=dice)
    x0 = torch.cat([x_lumi[some], x_fish[others]])          # (2B, 4, 16, 16)
    t = torch.rand(2 * count, generator=dice)
    return x0, t, torch.randn(x0.shape, generator=dice)


def learn(network: nn.Module, steps: int, loss_of: Callable) -> nn.Module:
    """`steps` steps of what may learn in it. loss_of(network, dice): a batch's loss."""
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(weights, lr=3e-3)
    dice = torch.Generator().manual_seed(0)
    for _ in range(steps):
        loss = loss_of(network, dice)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def lumi_alone(network: nn.Module, dice: torch.Generator) -> Tensor:
    """The loss of three pictures of Lumi, without a prior."""
    x0, t, eps = (part[:3] for part in rows(3, dice))
    prediction = network(schedule.mix(x0, eps, t), schedule.timestep(t), *three)
    return F.mse_loss(prediction, target(schedule, "v", x0, eps, t))


torch.manual_seed(0)                                # where the LoRA begins
three, forgetful = read(*["a sks fish"] * 3), deepcopy(pipe.network)
add_lora(forgetful, rank=8)
learn(forgetful, 60, lumi_alone)
show([*photographs[:4], *fish[:4], *pictures(forgetful, *["a fish"] * 4)], columns=4,
     titles=["Lumi"] * 4 + ["a fish, before"] * 4 + ["a fish, after"] * 4)

# %% only="exercise"
config, state = zoo.load("world-clip")
clip = CLIP(TextConfig(**config["text"]), VisionConfig(**config["vision"]))
clip.load_state_dict(state)
clip.eval().requires_grad_(False)
dice = [Random(k) for k in range(12)]
pond = [render(complete(Scene(None, (Group("fish"),)), one)).image for one in dice]
true_fish = to_tensor(np.stack(pond))               # (12, 3, 128, 128)


def features(images: Tensor) -> Tensor:
    """What world-clip makes of pictures (B, 3, 128, 128): (B, P)."""
    small = F.interpolate(images, size=clip.vision_model.config.image_size, mode="area")
    return clip.visual_projection(clip.vision_model(small).pooled)


def framed(images: Tensor, marks: Sequence[float]) -> Tensor:
    """Pictures in frames: green for a mark of 1, grey for 0."""
    green, grey = torch.tensor([[-0.8, 0.4, -0.6], [0.5, 0.5, 0.5]])
    colours = torch.stack([mark * green + (1 - mark) * grey for mark in marks])
    inside = F.pad(torch.ones(112, 112), (8, 8, 8, 8)) > 0  # (128, 128)
    return torch.where(inside, images, colours[:, :, None, None])
