"""Exercise 09.6, text_to_image: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="5" minutes="25"
# ## From words to pictures
#
# **Wire it all.** Sentences and noise go in, pictures come out. `model` has everything:
# `tokenizer.encode(texts)` gives ids and mask, both (B, L), True for tokens; `text_encoder(ids, mask).sequence` (B, L, D) is
# what the DiT reads; `network(x, timestep, context, mask)` predicts, with a context and a mask for each row of x; `schedule`
# and `prediction_type` say how it was trained; its latents are (latent − `latent_mean`) / `latent_std`; `vae.decode(latents)`
# makes the pictures. Guide towards the prompts and away from the empty prompt "", and sample with DPM++ 2M, as in lesson 05:
# `denoiser`, `cfg` and `run` are imported. Mind that `cfg` calls the denoiser with 2B rows, and at scale 1 with B.
#
# Read the texts once, not at every step. Nothing is learnt here, so keep no gradients; but leave the model as it is: it may be
# trained further. The last cell asks for what no training picture showed: a purple bird, and a yellow cat.
# %% [markdown] lang="vi" of="2321dc73"
# ## Từ lời đến tranh
#
# **Lắp ráp tất cả.** Các câu và nhiễu đi vào, tranh đi ra. `model` có đủ mọi thứ:
# `tokenizer.encode(texts)` cho ids và mask, đều là (B, L), True ở chỗ có token; `text_encoder(ids, mask).sequence` (B, L, D) là
# thứ DiT đọc; `network(x, timestep, context, mask)` dự đoán, với một context và một mask cho mỗi hàng của x; `schedule` và
# `prediction_type` cho biết nó được huấn luyện thế nào; latent của nó là (latent − `latent_mean`) / `latent_std`;
# `vae.decode(latents)` tạo ra tranh. Hãy dẫn hướng về phía các prompt và ra xa prompt rỗng "", rồi lấy mẫu bằng DPM++ 2M, như ở
# bài 05: `denoiser`, `cfg` và `run` đã được import. Lưu ý: `cfg` gọi bộ khử nhiễu với 2B hàng, còn ở hệ số 1 thì B hàng.
#
# Chỉ đọc các câu một lần, không phải ở mỗi bước. Ở đây không học gì cả, nên đừng giữ gradient; nhưng hãy để nguyên mô hình, vì
# sau này nó có thể được huấn luyện tiếp. Ô cuối cùng yêu cầu những thứ mà không bức ảnh huấn luyện nào có: một con chim tím, và
# một con mèo vàng.

# %% [markdown] lang="en" role="hints"
# Draw the chain: texts → ids, mask → context → function of `(x, timestep)` → denoiser → guided → states → latents → pictures.
# What has to happen between the last two?
# ---
# Encode 2B texts in one call, the prompts first: then they have one length L. Inside the function, `len(x)` tells how many rows
# of context and mask are wanted.
# ---
# `context[: len(x)]` and `mask[: len(x)]` serve both cases. Then `denoiser`, `cfg`, `run`; the last state's x times
# `latent_std` plus `latent_mean` goes to `vae.decode`. And `@torch.no_grad()` above the function.
# %% [markdown] lang="vi" of="064aad3d"
# Hãy vẽ dây chuyền: các câu → ids, mask → context → hàm của `(x, timestep)` → bộ khử nhiễu → có dẫn hướng → các trạng thái →
# latent → tranh. Giữa hai bước cuối phải có gì?
# ---
# Mã hóa 2B câu trong một lần gọi, các prompt đứng trước: như vậy chúng có cùng độ dài L. Bên trong hàm, `len(x)` cho biết cần
# bao nhiêu hàng của context và mask.
# ---
# `context[: len(x)]` và `mask[: len(x)]` dùng được cho cả hai trường hợp. Rồi `denoiser`, `cfg`, `run`; x của trạng thái cuối
# nhân `latent_std` cộng `latent_mean` được đưa vào `vae.decode`. Và `@torch.no_grad()` ở trên hàm.

# %% [markdown] lang="en" role="stub"
# Pictures (B, 3, H, W) of B prompts, as the VAE decodes them, not clamped.
# noise (B, C, h, w): the latents at the start; scale: of guidance, from 0 (the prompt
# is ignored) up; 1 is none.
# ---
# 1. keep no gradients
# 2. read the prompts, and after them as many empty ones      # (2B, L, D), (2B, L)
# 3. a function of x and timestep that calls the network with a context and a mask
#    for each row of x; make a denoiser of it, and guide that
# 4. sample from the noise to the last state                  # (B, C, h, w)
# 5. back to the VAE's scale, and decode                      # (B, 3, H, W)
# %% [markdown] lang="vi" of="be9ac118"
# Tranh (B, 3, H, W) của B prompt, như VAE giải mã ra, không cắt giá trị.
# noise, nhiễu (B, C, h, w): các latent lúc bắt đầu; scale: hệ số dẫn hướng, từ 0 (bỏ
# qua prompt) trở lên; 1 là không dẫn hướng.
# ---
# 1. không giữ gradient
# 2. đọc các prompt, rồi chừng ấy prompt rỗng                 # (2B, L, D), (2B, L)
# 3. một hàm của x và bước thời gian, gọi mạng với một context và một mask cho mỗi
#    hàng của x; từ hàm ấy tạo bộ khử nhiễu, rồi dẫn hướng nó
# 4. lấy mẫu từ nhiễu đến trạng thái cuối                     # (B, C, h, w)
# 5. đưa về thang của VAE, rồi giải mã                        # (B, 3, H, W)

# %% role="solution"
@torch.no_grad()
def text_to_image(
    model: SimpleNamespace, prompts: list[str], noise: Tensor, steps: int, scale: float
) -> Tensor:
    texts = [*prompts, *[""] * len(prompts)]                        # 2B
    ids, mask = model.tokenizer.encode(texts)                       # (2B, L) each
    context = model.text_encoder(ids, mask).sequence                # (2B, L, D)

    def predict(x: Tensor, timestep: Tensor) -> Tensor:
        rows = len(x)                                               # 2B, or B
        return model.network(x, timestep, context[:rows], mask[:rows])

    pair = denoiser(predict, model.schedule, model.prediction_type)
    *_, last = run("dpmpp_2m", cfg(pair, scale), noise, model.schedule, steps)
    latents = last.x * model.latent_std + model.latent_mean         # (B, C, h, w)
    return model.vae.decode(latents)                                # (B, 3, H, W)

# %% [markdown] lang="en" role="checks"
# - shape: 2 pictures of 3 x 8 x 12 from latents of 4 x 4 x 6
# - dtype float32
# - two sentences of different length at scale 3
# - scale 1
# - one sentence alone, at scale 0.5
# - a network that predicts x0, with another noise schedule
# - a picture depends on its own sentence alone, however long the other one is
# - the texts are read once, and every step answers for the prompts and the empty ones
# - no gradients: neither in the text tower, the network and the VAE, nor in the result; the model can still learn afterwards
# %% [markdown] lang="vi" of="d165bd59"
# - kích thước: 2 tranh 3 x 8 x 12 từ latent 4 x 4 x 6
# - kiểu số float32
# - hai câu dài ngắn khác nhau với hệ số 3
# - hệ số 1
# - chỉ một câu, với hệ số 0.5
# - mạng dự đoán x0, với một lịch nhiễu khác
# - mỗi bức tranh chỉ phụ thuộc vào câu của nó, dù câu kia dài bao nhiêu
# - các câu được đọc một lần, và mỗi bước trả lời cho cả các prompt lẫn các prompt rỗng
# - không có gradient: cả trong bộ mã hóa văn bản, mạng và VAE, lẫn ở kết quả; sau đó mô hình vẫn học được

# %% role="probes"
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import nn

from minidiff.diffusion.schedules import get_schedule


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Output(NamedTuple):
    sequence: torch.Tensor
    pooled: torch.Tensor


class ToyTokenizer:
    """An id for each word, between a 1 and a 2; 0 is padding."""

    max_tokens = 62

    def encode(self, texts):
        if isinstance(texts, str):
            raise ValueError("encode takes a list of texts, and was given one string: write encode([text]).")
        rows = [[1, *(3 + sum(map(ord, word)) % 17 for word in text.split()), 2] for text in texts]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        return ids, torch.arange(longest) < torch.tensor([[len(row)] for row in rows])


class Toy(nn.Module):
    """A part that notes whether gradients are kept, and how often it is called."""

    def __init__(self, *shape, seed):
        super().__init__()
        self.weight = nn.Parameter(normal(*shape, seed=seed))
        self.gradients, self.rows = [], 0

    def note(self):
        self.gradients.append(torch.is_grad_enabled())


def mean_of(vectors, mask):
    """The mean of the tokens, (B, D); of all vectors when there is no mask."""
    weights = torch.ones(vectors.shape[:2]) if mask is None else mask
    weights = weights.to(vectors)[..., None]
    return (weights * vectors).sum(1) / weights.sum(1)


class ToyTower(Toy):
    """Each token's vector, with the mean of all that may be seen."""

    def forward(self, ids, mask=None):
        self.note()
        vectors = self.weight[ids]                              # (B, L, D)
        mean = mean_of(vectors, mask)                           # (B, D)
        return Output(torch.tanh(vectors + mean[:, None]), mean)


class ToyNetwork(Toy):
    """Predicts from x, the time and the mean of the context. It takes a context and a mask for each row of x."""

    def forward(self, x, timestep, context, mask=None):
        self.note()
        for name, given in (("contexts", context), ("masks", mask)):
            if given is not None and len(given) != len(x):
                raise ValueError(f"There are {len(given)} {name} for {len(x)} latents; give one each.")
        self.rows += len(x)
        said = torch.tanh(mean_of(context, mask) @ self.weight)[..., None, None]     # (B, C, 1, 1)
        when = timestep.reshape(-1, 1, 1, 1).to(x) / 1000
        return torch.tanh(x * (1 - when) + 2 * said) + 0.3 * said * when


class ToyVAE(Toy):
    """Every latent pixel becomes 2 x 2 pixels of three colours."""

    def decode(self, latents):
        self.note()
        colours = torch.einsum("bchw,cd->bdhw", latents, self.weight)
        return colours.repeat_interleave(2, 2).repeat_interleave(2, 3)


def toys(prediction_type="v", schedule="cosine", dtype=torch.float64):
    tower, network, vae = ToyTower(20, 5, seed=1), ToyNetwork(5, 4, seed=2), ToyVAE(4, 3, seed=3)
    mean, std = normal(1, 4, 1, 1, seed=4), normal(1, 4, 1, 1, seed=5).exp()
    return SimpleNamespace(
        tokenizer=ToyTokenizer(), text_encoder=tower.to(dtype), network=network.to(dtype), vae=vae.to(dtype),
        schedule=get_schedule(schedule), prediction_type=prediction_type, latent_mean=mean.to(dtype), latent_std=std.to(dtype),
    )


def drawn(f, prompts, noise, scale=3.0, prediction_type="v", schedule="cosine", steps=4):
    return f(toys(prediction_type, schedule), prompts, noise, steps, scale)


def in_float32(f, prompts, noise):
    return str(f(toys(dtype=torch.float32), prompts, noise.float(), 4, 3.0).dtype)


def next_to_others(f, prompts, noise):
    """The first picture, whose neighbour has one sentence, then a long one."""
    first, second = prompts
    return [drawn(f, [first, other], noise)[0] for other in (second, second + " under a sky full of small white clouds")]


def work_done(f, prompts, noise):
    """Reading the 2B texts one by one would be 2B calls of the tower; at every step, at least 6."""
    model = toys()
    f(model, prompts, noise, 6, 3.0)
    return {
        "the texts are read once": len(model.text_encoder.gradients) <= 2 * len(prompts),
        "rows that the network answers in 6 steps": model.network.rows,
    }


def gradients(f, prompts, noise):
    model = toys()
    result = f(model, prompts, noise, 2, 3.0)
    parts = {"the text tower": model.text_encoder, "the network": model.network, "the VAE": model.vae}
    said = {f"{name} runs with gradients": any(part.gradients) for name, part in parts.items()}
    learns = all(weight.requires_grad for part in parts.values() for weight in part.parameters())
    return {**said, "the result needs a gradient": result.requires_grad, "the model can still learn": learns}


GIVEN = {"prompts": ["a red star above a blue house", "một con mèo"], "noise": normal(2, 4, 4, 6, seed=6)}

probe(lambda f, **inputs: list(drawn(f, **inputs).shape), **GIVEN)
probe(in_float32, **GIVEN)
probe(drawn, points=3, **GIVEN)
probe(drawn, **GIVEN, scale=1.0)
probe(drawn, prompts=["a house"], noise=normal(1, 4, 4, 6, seed=7), scale=0.5)
probe(drawn, **GIVEN, scale=2.0, prediction_type="x0", schedule="scaled_linear", steps=5)
probe(next_to_others, **GIVEN)
probe(work_done, **GIVEN)
probe(gradients, **GIVEN)

# %% [markdown] lang="en" role="mistake" name="missing_no_grad"
# The result requires gradients: every step of the loop, with all that each layer of the network made, is kept in memory for a
# backward pass that never comes. Sample under torch.no_grad().
# %% [markdown] lang="vi" of="863624e7"
# Kết quả vẫn đòi gradient: mọi bước của vòng lặp, cùng tất cả những gì mỗi lớp của mạng tạo ra, bị giữ trong bộ nhớ cho một
# lượt backward không bao giờ đến. Hãy lấy mẫu trong torch.no_grad().
# %% role="wrong" name="missing_no_grad"
patch("@torch.no_grad()\n", "")

# %% [markdown] lang="en" role="mistake" name="detached"
# The result is detached, but everything ran with gradients: until detach(), whatever a backward pass would need was kept in
# memory. Under torch.no_grad() it is not kept at all.
# %% [markdown] lang="vi" of="d218e86e"
# Kết quả đã detach, nhưng mọi thứ vẫn chạy có gradient: cho đến lúc detach(), mọi thứ mà một lượt backward cần đều bị giữ trong
# bộ nhớ. Trong torch.no_grad() thì chúng không hề được giữ.
# %% role="wrong" name="detached"
patch("@torch.no_grad()\n", "")
patch("model.vae.decode(latents) ", "model.vae.decode(latents).detach() ")

# %% [markdown] lang="en" role="mistake" name="text_with_gradients"
# The loop runs without gradients, but the texts were read with them: the tower's layers are kept in memory. Put the whole
# function under torch.no_grad().
# %% [markdown] lang="vi" of="9bde02d8"
# Vòng lặp chạy không có gradient, nhưng các câu lại được đọc có gradient: các lớp của bộ mã hóa văn bản bị giữ trong bộ nhớ.
# Hãy đặt cả hàm trong torch.no_grad().
# %% role="wrong" name="text_with_gradients"
patch("context = model.text_encoder(ids, mask).sequence ",
      "context = torch.enable_grad()(model.text_encoder)(ids, mask).sequence.detach() ")

# %% [markdown] lang="en" role="mistake" name="decoded_with_gradients"
# The loop runs without gradients, but the VAE decodes with them; of all parts it works on the largest tensors. Put the whole
# function under torch.no_grad().
# %% [markdown] lang="vi" of="300414ea"
# Vòng lặp chạy không có gradient, nhưng VAE lại giải mã có gradient, mà nó là bộ phận làm việc trên các tensor lớn nhất. Hãy
# đặt cả hàm trong torch.no_grad().
# %% role="wrong" name="decoded_with_gradients"
patch("model.vae.decode(latents) ", "torch.enable_grad()(model.vae.decode)(latents) ")

# %% [markdown] lang="en" role="mistake" name="frozen"
# The model's weights were frozen for good by `requires_grad_(False)`: whoever trains it on finds that nothing learns any more.
# Under torch.no_grad() no gradients are kept anyway.
# %% [markdown] lang="vi" of="395ad59b"
# Trọng số của mô hình bị đóng băng luôn bởi `requires_grad_(False)`: ai huấn luyện tiếp sẽ thấy không gì học được nữa. Trong
# torch.no_grad() vốn đã không gradient nào được giữ.
# %% role="wrong" name="frozen"
patch("    texts = [*prompts", "    for part in (model.text_encoder, model.network, model.vae):\n"
      "        part.requires_grad_(False)\n    texts = [*prompts")

# %% [markdown] lang="en" role="mistake" name="empty_first"
# The empty prompts come first in the batch. `cfg` expects the B conditions first and the B empty ones after them; the other way
# round, guidance flees from the prompt, and at scale 1 the prompt is never read.
# %% [markdown] lang="vi" of="d8755486"
# Các prompt rỗng đang đứng trước trong lô. `cfg` cần B điều kiện trước, rồi mới đến B điều kiện rỗng; ngược lại thì dẫn hướng
# chạy trốn khỏi prompt, và với hệ số 1 prompt không hề được đọc.
# %% role="wrong" name="empty_first"
patch('[*prompts, *[""] * len(prompts)]', '[*[""] * len(prompts), *prompts]')

# %% [markdown] lang="en" role="mistake" name="alternating"
# Prompts and empty prompts alternate. `cfg` takes the first half of the rows for conditions and the second for empty ones: all
# prompts come first.
# %% [markdown] lang="vi" of="75fb0e72"
# Prompt và prompt rỗng đứng xen kẽ. `cfg` coi nửa đầu các hàng là điều kiện, nửa sau là rỗng: mọi prompt phải đứng trước.
# %% role="wrong" name="alternating"
patch('[*prompts, *[""] * len(prompts)]', '[text for prompt in prompts for text in (prompt, "")]')

# %% [markdown] lang="en" role="mistake" name="prompts_in_both"
# Both halves of the batch hold the prompts, so the two predictions are the same and there is nothing to enlarge: the pictures
# are those of scale 1, at twice the price. The second half says nothing, "".
# %% [markdown] lang="vi" of="0e28445f"
# Cả hai nửa của lô đều chứa prompt, nên hai dự đoán giống hệt nhau và chẳng có gì để phóng đại: tranh là tranh của hệ số 1, mà
# tốn gấp đôi. Nửa sau không nói gì cả: "".
# %% role="wrong" name="prompts_in_both"
patch('*[""] * len(prompts)', "*prompts")

# %% [markdown] lang="en" role="mistake" name="zeros_for_empty"
# The second half of the context is zeros. The network never saw those: in training, a dropped caption was the empty prompt,
# which the text tower reads like any other text. Encode "" and use its vectors.
# %% [markdown] lang="vi" of="fd0b80fb"
# Nửa sau của context toàn số 0. Mạng chưa từng thấy thứ đó: khi huấn luyện, câu bị bỏ được thay bằng prompt rỗng, và bộ mã hóa
# văn bản đọc nó như mọi câu khác. Hãy mã hóa "" và dùng các vector của nó.
# %% role="wrong" name="zeros_for_empty"
patch("context = model.text_encoder(ids, mask).sequence                # (2B, L, D)\n",
      "context = model.text_encoder(ids, mask).sequence\n"
      "    context = torch.cat([context[: len(prompts)], 0 * context[: len(prompts)]])\n")

# %% [markdown] lang="en" role="mistake" name="one_empty"
# There is a single empty prompt for all: with several prompts the network gets fewer contexts than rows of x. Each prompt needs
# an empty one of its own, 2B texts in all.
# %% [markdown] lang="vi" of="f7bed796"
# Chỉ có một prompt rỗng cho tất cả: khi có nhiều prompt, mạng nhận ít context hơn số hàng của x. Mỗi prompt cần một prompt rỗng
# riêng, tổng cộng 2B câu.
# %% role="wrong" name="one_empty"
patch('*[""] * len(prompts)', '""')

# %% [markdown] lang="en" role="mistake" name="never_cut"
# It works where `cfg` asks about 2B rows. At scale 1 it asks about B, and there were still 2B contexts. Hand the network as
# many rows of context and mask as x has.
# %% [markdown] lang="vi" of="165fe71e"
# Hàm chạy được khi `cfg` hỏi về 2B hàng. Ở hệ số 1 nó chỉ hỏi B hàng, mà context thì vẫn có 2B. Hãy đưa cho mạng số hàng của
# context và mask đúng bằng số hàng của x.
# %% role="wrong" name="never_cut"
patch("context[:rows], mask[:rows]", "context, mask")

# %% [markdown] lang="en" role="mistake" name="prompts_alone"
# It works at scale 1 alone. At every other scale `cfg` asks about 2B rows, and only the B prompts were read: the second half
# needs as many empty prompts.
# %% [markdown] lang="vi" of="2d8360d6"
# Hàm chỉ chạy được ở hệ số 1. Ở mọi hệ số khác, `cfg` hỏi về 2B hàng mà chỉ có B prompt được đọc: nửa sau cần chừng ấy prompt
# rỗng.
# %% role="wrong" name="prompts_alone"
patch('[*prompts, *[""] * len(prompts)]', "prompts")

# %% [markdown] lang="en" role="mistake" name="scale_forgotten"
# The pictures are those of scale 1, whatever the scale: it never reached `cfg`, or the denoiser was sampled without it. Follow
# `scale` from the arguments to where it is used.
# %% [markdown] lang="vi" of="9df93360"
# Tranh luôn là tranh của hệ số 1, bất kể hệ số: nó chưa đến được `cfg`, hoặc bạn lấy mẫu từ bộ khử nhiễu chưa dẫn hướng. Hãy
# lần theo `scale` từ tham số đến chỗ dùng.
# %% role="wrong" name="scale_forgotten"
patch("cfg(pair, scale)", "pair")

# %% [markdown] lang="en" role="mistake" name="scale_of_the_model"
# The guidance scale is 3 whatever is asked for: a number is written out where `scale` should be.
# %% [markdown] lang="vi" of="eede95df"
# Hệ số dẫn hướng luôn là 3, dù yêu cầu bao nhiêu: có một con số viết cứng ở chỗ của `scale`.
# %% role="wrong" name="scale_of_the_model"
patch("cfg(pair, scale)", "cfg(pair, 3.0)")

# %% [markdown] lang="en" role="mistake" name="only_above_one"
# Below 1 there is no guidance. The scale may be any number from 0 up: between 0 and 1 the empty prompt keeps a share, and only
# at exactly 1 is its prediction not needed. `cfg` knows all these cases.
# %% [markdown] lang="vi" of="c36d3757"
# Dưới 1 không có dẫn hướng. Hệ số có thể là số bất kỳ từ 0 trở lên: giữa 0 và 1, prompt rỗng vẫn góp một phần, và chỉ khi bằng
# đúng 1 mới không cần dự đoán của nó. `cfg` xử lý được mọi trường hợp này.
# %% role="wrong" name="only_above_one"
patch("cfg(pair, scale)", "cfg(pair, max(scale, 1.0))")

# %% [markdown] lang="en" role="mistake" name="weight_of_the_paper"
# The guidance is stronger by 1 than asked for: scale was taken as the w of Ho & Salimans, which is scale - 1. Here 1 is no
# guidance, as in `cfg`: empty + scale (prompt - empty).
# %% [markdown] lang="vi" of="40473e8d"
# Dẫn hướng mạnh hơn yêu cầu 1 đơn vị: scale bị hiểu là w của Ho & Salimans, tức scale - 1. Ở đây 1 là không dẫn hướng, như
# trong `cfg`: rỗng + scale (prompt - rỗng).
# %% role="wrong" name="weight_of_the_paper"
patch("cfg(pair, scale)", "cfg(pair, scale + 1)")

# %% [markdown] lang="en" role="mistake" name="mask_dropped"
# The network got no mask, so it reads the padding of the shorter texts as words. Most of an empty prompt is padding then, and a
# picture changes with the length of its neighbour's sentence.
# %% [markdown] lang="vi" of="259642f4"
# Mạng không nhận mask, nên nó đọc phần đệm của các câu ngắn như thể là từ. Khi ấy phần lớn của prompt rỗng là phần đệm, và một
# bức tranh thay đổi theo độ dài câu của bức bên cạnh.
# %% role="wrong" name="mask_dropped"
patch("context[:rows], mask[:rows]", "context[:rows], None")

# %% [markdown] lang="en" role="mistake" name="mask_dropped_in_the_tower"
# The text tower got no mask, so its tokens attend to the padding, and a sentence means something else when its neighbour is
# longer. Pass the mask to both, the tower and the network.
# %% [markdown] lang="vi" of="15117b0e"
# Bộ mã hóa văn bản không nhận mask, nên các token của nó chú ý cả vào phần đệm, và một câu mang nghĩa khác khi câu bên cạnh dài
# hơn. Hãy truyền mask cho cả hai: bộ mã hóa và mạng.
# %% role="wrong" name="mask_dropped_in_the_tower"
patch("model.text_encoder(ids, mask)", "model.text_encoder(ids, None)")

# %% [markdown] lang="en" role="mistake" name="mask_nowhere"
# The mask is used nowhere: neither the text tower nor the network knows where a text ends, and both read the padding. Pass it
# to both.
# %% [markdown] lang="vi" of="1872f92b"
# Mask không được dùng ở đâu cả: bộ mã hóa văn bản lẫn mạng đều không biết câu kết thúc ở đâu, và cả hai đọc luôn phần đệm. Hãy
# truyền nó cho cả hai.
# %% role="wrong" name="mask_nowhere"
patch("model.text_encoder(ids, mask)", "model.text_encoder(ids, None)")
patch("context[:rows], mask[:rows]", "context[:rows], None")

# %% [markdown] lang="en" role="mistake" name="mask_of_the_prompts"
# The empty prompts got the masks of the prompts: the first half of the mask was used for both. Behind an empty prompt
# everything is padding; give each context its own row of the mask.
# %% [markdown] lang="vi" of="d9b5c6af"
# Các prompt rỗng nhận mask của các prompt: nửa đầu của mask bị dùng cho cả hai. Sau một prompt rỗng, mọi thứ đều là phần đệm;
# hãy đưa cho mỗi context đúng hàng mask của nó.
# %% role="wrong" name="mask_of_the_prompts"
patch("mask[:rows])", "mask[: len(prompts)].repeat(rows // len(prompts), 1))")

# %% [markdown] lang="en" role="mistake" name="pooled"
# The network got one vector for each text, `pooled`. It reads words one by one with cross-attention: give it the `sequence`, a
# vector for each token.
# %% [markdown] lang="vi" of="2ee0a5dd"
# Mạng nhận một vector cho mỗi câu, `pooled`. Nó đọc từng từ bằng chú ý chéo: hãy đưa cho nó `sequence`, mỗi token một vector.
# %% role="wrong" name="pooled"
patch(".sequence ", ".pooled[:, None].expand(-1, ids.shape[1], -1) ")

# %% [markdown] lang="en" role="mistake" name="time_in_0_to_1"
# The network got times from 0 to 1. It learnt with timesteps from 0 to 1000, and takes these for almost no noise at every step.
# `denoiser` hands your function the timestep already: pass it on as it is.
# %% [markdown] lang="vi" of="bcc533d0"
# Mạng nhận thời gian từ 0 đến 1. Nó được học với bước thời gian từ 0 đến 1000, nên tưởng rằng bước nào cũng gần như không có
# nhiễu. `denoiser` vốn đã đưa cho hàm của bạn bước thời gian: hãy truyền nguyên nó.
# %% role="wrong" name="time_in_0_to_1"
patch("model.network(x, timestep,", "model.network(x, timestep / 1000,")

# %% [markdown] lang="en" role="mistake" name="time_times_1000"
# The timesteps were multiplied by 1000 once more. `denoiser` hands your function numbers from 0 to 1000 already: pass them on
# as they are.
# %% [markdown] lang="vi" of="bebbae6b"
# Bước thời gian bị nhân thêm một lần 1000. `denoiser` vốn đã đưa cho hàm của bạn các số từ 0 đến 1000: hãy truyền nguyên chúng.
# %% role="wrong" name="time_times_1000"
patch("model.network(x, timestep,", "model.network(x, 1000 * timestep,")

# %% [markdown] lang="en" role="mistake" name="always_v"
# It works only for a network that predicts v: the prediction type is fixed somewhere. Pass the model's own to `denoiser`.
# %% [markdown] lang="vi" of="d954ff52"
# Hàm chỉ đúng với mạng dự đoán v: kiểu dự đoán bị cố định ở đâu đó. Hãy đưa cho `denoiser` kiểu của chính mô hình.
# %% role="wrong" name="always_v"
patch("model.prediction_type", '"v"')

# %% [markdown] lang="en" role="mistake" name="always_eps"
# The prediction was taken for noise. What a network predicts is in `model.prediction_type`, and it differs from model to model.
# %% [markdown] lang="vi" of="fc0fa47f"
# Dự đoán bị coi là nhiễu. Mạng dự đoán cái gì thì xem `model.prediction_type`, mỗi mô hình một khác.
# %% role="wrong" name="always_eps"
patch("model.prediction_type", '"eps"')

# %% [markdown] lang="en" role="mistake" name="always_cosine"
# It works only for the cosine schedule: the noise schedule is fixed somewhere. A network knows only the amounts of noise that
# it was trained on: use the model's own `schedule`, in the denoiser and in the sampler.
# %% [markdown] lang="vi" of="7f318479"
# Hàm chỉ đúng với lịch nhiễu cosine: lịch nhiễu bị cố định ở đâu đó. Mạng chỉ biết các mức nhiễu của lúc huấn luyện: hãy dùng
# `schedule` của chính mô hình, cả trong bộ khử nhiễu lẫn bộ lấy mẫu.
# %% role="wrong" name="always_cosine"
patch("    texts = [*prompts", "    from minidiff.diffusion.schedules import get_schedule\n\n    texts = [*prompts")
patch("predict, model.schedule", "predict, get_schedule(\"cosine\")")
patch("noise, model.schedule", "noise, get_schedule(\"cosine\")")

# %% [markdown] lang="en" role="mistake" name="first_order"
# The steps are of first order (DDIM, Euler). DPM++ 2M also uses the prediction of the step before, which makes few steps go
# further: ask `run` for "dpmpp_2m".
# %% [markdown] lang="vi" of="59449879"
# Các bước này là bậc nhất (DDIM, Euler). DPM++ 2M còn dùng cả dự đoán của bước trước, nhờ vậy ít bước mà đi được xa hơn: hãy
# gọi `run` với "dpmpp_2m".
# %% role="wrong" name="first_order"
patch('"dpmpp_2m"', '"ddim"')

# %% [markdown] lang="en" role="mistake" name="own_noise"
# Noise was drawn anew and the given one ignored, so nobody could repeat the drawing. Start from `noise`.
# %% [markdown] lang="vi" of="ed9538dc"
# Hàm tự sinh nhiễu mới và bỏ qua nhiễu đã cho, nên không ai vẽ lại được. Hãy xuất phát từ `noise`.
# %% role="wrong" name="own_noise"
patch("scale), noise,", "scale), torch.randn_like(noise),")

# %% [markdown] lang="en" role="mistake" name="first_state"
# The latents after the first step were decoded, still nearly all noise. The sampler yields one state for each step: go through
# all of them and take the last.
# %% [markdown] lang="vi" of="b8e329d4"
# Latent được giải mã ngay sau bước đầu tiên, khi gần như toàn nhiễu. Bộ lấy mẫu sinh ra một trạng thái cho mỗi bước: hãy đi hết
# và lấy trạng thái cuối.
# %% role="wrong" name="first_state"
patch('*_, last = run("dpmpp_2m", cfg(pair, scale), noise, model.schedule, steps)',
      'last = next(run("dpmpp_2m", cfg(pair, scale), noise, model.schedule, steps))')

# %% [markdown] lang="en" role="mistake" name="not_unscaled"
# The VAE got the latents as the network sees them: each channel with mean 0 and deviation 1. Its own have other means and
# deviations; colours and contrast come out wrong. Multiply by `latent_std` and add `latent_mean`.
# %% [markdown] lang="vi" of="7669a719"
# VAE nhận latent theo cách mạng nhìn: mỗi kênh có trung bình 0 và độ lệch 1. Latent của chính nó có trung bình và độ lệch khác;
# màu sắc và độ tương phản ra sai. Hãy nhân với `latent_std` rồi cộng `latent_mean`.
# %% role="wrong" name="not_unscaled"
patch("last.x * model.latent_std + model.latent_mean", "last.x")

# %% [markdown] lang="en" role="mistake" name="scaled_again"
# The latents were scaled the way training does it, (x − mean) / std, for the second time. On the way to the VAE it has to be
# undone: times `latent_std`, plus `latent_mean`.
# %% [markdown] lang="vi" of="adf7e2d4"
# Latent bị co giãn theo cách của lúc huấn luyện, (x − mean) / std, thêm lần thứ hai. Trên đường đến VAE phải làm ngược lại:
# nhân `latent_std`, cộng `latent_mean`.
# %% role="wrong" name="scaled_again"
patch("last.x * model.latent_std + model.latent_mean", "(last.x - model.latent_mean) / model.latent_std")

# %% [markdown] lang="en" role="mistake" name="mean_first"
# The mean was added before multiplying, so it is multiplied too. Undo the last thing first: training subtracted the mean and
# then divided, so here multiply, then add.
# %% [markdown] lang="vi" of="1fe2be82"
# Trung bình được cộng trước khi nhân, nên nó cũng bị nhân. Hãy tháo thứ làm sau cùng trước: lúc huấn luyện đã trừ trung bình
# rồi mới chia, nên ở đây hãy nhân rồi mới cộng.
# %% role="wrong" name="mean_first"
patch("last.x * model.latent_std + model.latent_mean", "(last.x + model.latent_mean) * model.latent_std")

# %% [markdown] lang="en" role="mistake" name="mean_forgotten"
# The latents were multiplied by the deviations, but the means are missing: each channel of the VAE's latents has its own.
# %% [markdown] lang="vi" of="4d452ec9"
# Latent đã được nhân với độ lệch, nhưng thiếu trung bình: mỗi kênh trong latent của VAE có trung bình riêng.
# %% role="wrong" name="mean_forgotten"
patch("last.x * model.latent_std + model.latent_mean", "last.x * model.latent_std ")

# %% [markdown] lang="en" role="mistake" name="stable_diffusions_factor"
# The latents were divided by 0.18215. That is the factor of Stable Diffusion's VAE; this model has its own numbers, one mean
# and one deviation for each channel.
# %% [markdown] lang="vi" of="14ba168a"
# Latent bị chia cho 0.18215. Đó là hệ số của VAE trong Stable Diffusion; mô hình này có các số riêng, mỗi kênh một trung bình
# và một độ lệch.
# %% role="wrong" name="stable_diffusions_factor"
patch("last.x * model.latent_std + model.latent_mean", "last.x / 0.18215")

# %% [markdown] lang="en" role="mistake" name="every_step_unscaled"
# The network itself got latents on the VAE's scale. It was trained on scaled ones: undo the scaling once, after the last step.
# %% [markdown] lang="vi" of="8139a7e1"
# Chính mạng nhận latent theo thang của VAE. Nó được huấn luyện trên latent đã co giãn: chỉ đổi ngược một lần, sau bước cuối.
# %% role="wrong" name="every_step_unscaled"
patch("model.network(x, timestep,", "model.network(x * model.latent_std + model.latent_mean, timestep,")

# %% [markdown] lang="en" role="mistake" name="not_decoded"
# Latents came back, not pictures: the VAE's decoder is missing at the end.
# %% [markdown] lang="vi" of="7fc46d8b"
# Hàm trả về latent chứ không phải tranh: thiếu bộ giải mã của VAE ở cuối.
# %% role="wrong" name="not_decoded"
patch("model.vae.decode(latents) ", "latents ")

# %% [markdown] lang="en" role="mistake" name="clamped"
# The pictures were clamped to [-1, 1]. That is done where they are shown; return what the VAE decodes, as it is.
# %% [markdown] lang="vi" of="bb5ba83c"
# Tranh đã bị cắt về [-1, 1]. Đó là việc của nơi hiển thị; yêu cầu ở đây là những gì VAE giải mã ra.
# %% role="wrong" name="clamped"
patch("model.vae.decode(latents) ", "model.vae.decode(latents).clamp(-1, 1) ")

# %% [markdown] lang="en" role="mistake" name="zero_to_one"
# The pictures were moved from -1..1 to 0..1. The library shows pictures in -1..1: return what the VAE decodes.
# %% [markdown] lang="vi" of="febf3aee"
# Tranh đã bị chuyển từ -1..1 sang 0..1. Thư viện hiển thị tranh trong -1..1: hãy trả về những gì VAE giải mã ra.
# %% role="wrong" name="zero_to_one"
patch("model.vae.decode(latents) ", "model.vae.decode(latents) / 2 + 0.5 ")

# %% [markdown] lang="en" role="mistake" name="read_at_every_step"
# The pictures are right, but the texts are read again at every step. They don't change while sampling: read them once, before
# the function that the denoiser calls.
# %% [markdown] lang="vi" of="002ffe28"
# Tranh đúng, nhưng các câu bị đọc lại ở mỗi bước. Chúng không đổi trong lúc lấy mẫu: hãy đọc một lần, trước hàm mà bộ khử nhiễu
# gọi.
# %% role="wrong" name="read_at_every_step"
patch("    context = model.text_encoder(ids, mask).sequence                # (2B, L, D)\n", "")
patch("        rows = len(x) ", "        context, rows = model.text_encoder(ids, mask).sequence, len(x) ")

# %% role="library"
import torch

from minidiff.diffusion.guidance import combine
from minidiff.diffusion.prediction import to_x0_eps
from minidiff.diffusion.samplers import sample
from minidiff.diffusion.timesteps import get_spacing


@torch.inference_mode()
def text_to_image(model, prompts, noise, steps, scale):
    """Two calls of the tower, and two of the network in each step; guides the prediction in place of x0 and eps."""

    def read(texts):
        ids, mask = model.tokenizer.encode(texts)
        return model.text_encoder(ids, mask).sequence, mask

    said, empty = read(prompts), read([""])
    empty = empty[0].expand(len(prompts), -1, -1), empty[1].expand(len(prompts), -1)

    def denoise(x, t):
        timestep = model.schedule.timestep(t).float().repeat(len(x))
        conditional, unconditional = (model.network(x, timestep, *words) for words in (said, empty))
        guided = combine(conditional, unconditional, scale)
        return to_x0_eps(model.schedule, model.prediction_type, guided, x, t)

    times = get_spacing("uniform")(model.schedule, steps)
    *_, last = sample(denoise, noise, model.schedule, times, order=2)
    return model.vae.decode(last.x * model.latent_std + model.latent_mean)

# %% role="payoff"
def draw(text_to_image: Callable) -> Tensor:
    dice = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    noise = torch.stack([torch.randn(4, 16, 16, generator=one) for one in dice])
    return text_to_image(model, unseen, noise, 12, 3.0)


payoff(draw, text_to_image)
