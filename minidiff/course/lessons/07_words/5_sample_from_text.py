"""Exercise 07.5, sample_from_text: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="5" minutes="35"
# ## From sentences to pictures
#
# **Wire it all.** Sentences go in, pictures come out: tokenizer, text encoder, network, guidance, DDPM, decoder. `model` holds
# the parts:
#
# - `model.tokenizer.encode(texts)` → ids and mask, both (·, L); `model.text_encoder(ids, mask).sequence` → (·, L, D)
# - `model.network(x, timestep, context, mask)` → its prediction, of type `model.prediction_type`, at timestep
#   `model.schedule.timestep(t)`
# - `model.vae.decode(latents)` → pictures; the network knows latents as (latents − `latent_mean`) / `latent_std`
#
# The empty prompt `""` says nothing: guide away from it, with one call of the network a step. With n = `len(noises)` steps the
# time falls from 1 to 0 in equal steps; `noises[0]` is x at time 1, and step k, counted from 1, adds `noises[k]`, all but the
# last. At hand are `to_x0_eps`, `step` (eta = 1 is DDPM) and `combine`. Nothing is learnt here: whatever is kept for gradients
# fills the memory.
# %% [markdown] lang="vi" of="b4198ed2"
# ## Từ câu đến tranh
#
# **Lắp ráp tất cả.** Câu đi vào, tranh đi ra: tokenizer, bộ mã hóa văn bản, mạng, dẫn hướng, DDPM, bộ giải mã. `model` chứa các
# bộ phận:
#
# - `model.tokenizer.encode(texts)` → ids và mask, đều (·, L); `model.text_encoder(ids, mask).sequence` → (·, L, D)
# - `model.network(x, timestep, context, mask)` → dự đoán của mạng, thuộc kiểu `model.prediction_type`, ở bước thời gian
#   `model.schedule.timestep(t)`
# - `model.vae.decode(latents)` → tranh; mạng nhìn latent dưới dạng (latent − `latent_mean`) / `latent_std`
#
# Prompt rỗng `""` không nói gì: hãy dẫn hướng ra xa nó, mỗi bước gọi mạng một lần. Với n = `len(noises)` bước, thời gian giảm
# đều từ 1 về 0; `noises[0]` là x ở thời điểm 1, và bước k, đếm từ 1, cộng thêm `noises[k]`, trừ bước cuối. Có sẵn `to_x0_eps`,
# `step` (eta = 1 là DDPM) và `combine`. Ở đây không học gì cả: thứ gì giữ lại cho gradient đều làm đầy bộ nhớ.

# %% [markdown] lang="en" role="hints"
# Draw the chain and write a shape on every arrow. What happens once, before the loop, what in every step, and what after it?
# ---
# Encode prompts and empty prompts in one list, so that all have one length: 2B rows, each with its own mask. In a step the
# network gets x twice; `chunk(2)` takes the two predictions apart, `combine` guides, `to_x0_eps` tells what x is made of,
# `step` goes on.
# ---
# Times: `torch.arange(n, -1, -1, dtype=torch.float64) / n`; the step from times[k] to times[k + 1] asks the network at times[k]
# and adds `noises[k + 1]`. Afterwards `x * latent_std + latent_mean`, then decode; and `@torch.no_grad()` above everything.
# %% [markdown] lang="vi" of="e86a3788"
# Hãy vẽ dây chuyền và ghi kích thước lên từng mũi tên. Việc gì làm một lần, trước vòng lặp, việc gì ở mỗi bước, việc gì sau đó?
# ---
# Mã hóa prompt và prompt rỗng trong cùng một danh sách, để tất cả dài bằng nhau: 2B hàng, mỗi hàng có mặt nạ riêng. Ở mỗi bước
# mạng nhận x hai lần; `chunk(2)` tách hai dự đoán, `combine` dẫn hướng, `to_x0_eps` cho biết x gồm những gì, `step` đi tiếp.
# ---
# Thời điểm: `torch.arange(n, -1, -1, dtype=torch.float64) / n`; bước từ times[k] đến times[k + 1] hỏi mạng ở times[k] và cộng
# `noises[k + 1]`. Sau đó `x * latent_std + latent_mean`, rồi giải mã; và `@torch.no_grad()` ở trên cùng.

# %% [markdown] lang="en" role="stub"
# B prompts as pictures (B, 3, H, W), about -1..1 and not clamped, guided with
# `scale` (1: none), sampled with DDPM, one step for each of noises (n, B, C, h, w).
# model: the parts, see above. Keeps no gradients; afterwards they
# are on as before.
# ---
# 1. keep no gradients
# 2. ids and mask of the prompts and of as many empty ones  # (2B, L)
# 3. their vectors                                          # (2B, L, D)
# 4. n + 1 times from 1 to 0; x is the first noise          # (B, C, h, w)
# 5. for each step from time t to s:
# 6.     the network's prediction for x, twice              # (2B, C, h, w)
# 7.     guided, and from it x0 and eps                     # (B, C, h, w)
# 8.     step to s, with the next noise, if there is one    # (B, C, h, w)
# 9. undo the latent factors, decode and return             # (B, 3, H, W)
# %% [markdown] lang="vi" of="6cdc9f4d"
# B prompt thành tranh (B, 3, H, W), khoảng -1..1 và không cắt, dẫn hướng với hệ số
# `scale` (1: không dẫn hướng), lấy mẫu bằng DDPM, mỗi bước một trong các nhiễu
# noises (n, B, C, h, w). model: các bộ phận, xem ở trên. Không giữ gradient;
# xong việc, gradient vẫn bật như trước.
# ---
# 1. không giữ gradient
# 2. ids và mask của các prompt và của chừng ấy prompt rỗng # (2B, L)
# 3. các vector của chúng                                   # (2B, L, D)
# 4. n + 1 thời điểm từ 1 về 0; x là nhiễu đầu tiên         # (B, C, h, w)
# 5. với mỗi bước từ thời điểm t đến s:
# 6.     dự đoán của mạng cho x, hai lần                    # (2B, C, h, w)
# 7.     dẫn hướng, rồi từ đó ra x0 và eps                  # (B, C, h, w)
# 8.     bước đến s, với nhiễu kế tiếp, nếu có              # (B, C, h, w)
# 9. trả lại tỉ lệ cũ của latent, giải mã rồi trả về        # (B, 3, H, W)

# %% role="solution"
@torch.no_grad()
def sample_from_text(
    model: SimpleNamespace, prompts: list[str], noises: Tensor, scale: float
) -> Tensor:
    n, B = noises.shape[:2]
    ids, mask = model.tokenizer.encode([*prompts, *[""] * B])   # (2B, L)
    context = model.text_encoder(ids, mask).sequence            # (2B, L, D)
    times = torch.arange(n, -1, -1, dtype=torch.float64) / n    # 1, ..., 0
    x = noises[0]                                               # (B, C, h, w)
    for k in range(n):
        t, s = times[k], times[k + 1]
        timestep = model.schedule.timestep(t).float().repeat(2 * B)
        both = model.network(torch.cat([x, x]), timestep, context, mask)
        conditional, empty = both.chunk(2)                      # (B, C, h, w) each
        guided = combine(conditional, empty, scale)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, guided, x, t)
        noise = noises[k + 1] if k + 1 < n else None
        x = step(model.schedule, x0, eps, t, s, 1.0, noise)     # (B, C, h, w)
    latents = x * model.latent_std + model.latent_mean
    return model.vae.decode(latents)                            # (B, 3, H, W)

# %% [markdown] lang="en" role="checks"
# - shape and dtype of the pictures
# - one call of the network a step, at the step's own time
# - the texts that the tokenizer gets: the prompts and the empty one
# - two prompts of unequal length at scale 3
# - a network that predicts eps, another one that predicts x0, and one with another noise schedule
# - scale 1, and scale 0
# - one step alone, and one prompt alone
# - a picture depends on its own prompt alone, not on how long its neighbour's is
# - no gradients in any of the parts, nor in the pictures, and the weights can learn as before
# %% [markdown] lang="vi" of="a4b1920d"
# - kích thước và kiểu số của tranh
# - mỗi bước gọi mạng một lần, ở đúng thời điểm của bước
# - các câu mà tokenizer nhận: các prompt và prompt rỗng
# - hai prompt dài ngắn khác nhau với hệ số 3
# - một mạng dự đoán eps, một mạng khác dự đoán x0, và một mạng với lịch nhiễu khác
# - hệ số 1, và hệ số 0
# - chỉ một bước, và chỉ một prompt
# - mỗi ảnh chỉ phụ thuộc vào prompt của nó, không phụ thuộc prompt bên cạnh dài bao nhiêu
# - không có gradient, trong bộ phận nào cũng như ở tranh, và trọng số vẫn học được như trước

# %% role="probes"
from types import SimpleNamespace

import torch
from torch import nn

from minidiff.diffusion.schedules import get_schedule


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Tokenizer:
    """A word is an id, its length; 1 begins a text, 2 ends it, 0 pads. It notes what it is asked for."""

    def __init__(self):
        self.texts = set()

    def encode(self, texts):
        if isinstance(texts, str):
            raise ValueError("encode takes a list of texts, and was given one string.")
        self.texts |= set(texts)
        rows = [[1, *(2 + len(word) for word in text.split()), 2] for text in texts]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        return ids, torch.arange(longest) < torch.tensor([[len(row)] for row in rows])


class TextEncoder(nn.Module):
    """Each token's vector, and the mean of all that the mask shows."""

    def __init__(self, kind):
        super().__init__()
        self.table, self.gradients = nn.Parameter(normal(30, 5, seed=1).to(kind)), []

    def forward(self, ids, mask=None):
        self.gradients.append(torch.is_grad_enabled())
        seen = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask
        vectors, weights = self.table[ids], seen[..., None].to(self.table)
        pooled = (vectors * weights).sum(1) / weights.sum(1)
        place = torch.arange(ids.shape[1])[:, None].to(self.table) / 10
        return SimpleNamespace(sequence=vectors + pooled[:, None] + place, pooled=pooled)


class WrongShape(ValueError):
    """Not as many dimensions as there should be."""


class Network(nn.Module):
    """Reads x, the time and whatever the mask shows of the caption; notes times and gradients of each call."""

    def __init__(self, kind):
        super().__init__()
        self.look = nn.Parameter(normal(4, 5, seed=2).to(kind))
        self.timesteps, self.gradients = [], []

    def forward(self, x, timestep, context, mask=None):
        if x.ndim != 4 or context.ndim != 3:
            raise WrongShape(f"x is {tuple(x.shape)}, context {tuple(context.shape)}: they must be (B, C, h, w) and (B, L, D).")
        if len(context) != len(x) or (mask is not None and mask.shape != context.shape[:2]):
            raise ValueError(f"There are {len(context)} captions for {len(x)} latents; give one each.")
        time = timestep.reshape(-1)
        if len(time) not in (1, len(x)):
            raise ValueError(f"There are {len(time)} timesteps for {len(x)} latents; give one each, or one for all.")
        self.timesteps.append(round(float(time[0]), 2))
        self.gradients.append(torch.is_grad_enabled())
        seen = torch.ones(context.shape[:2], dtype=torch.bool) if mask is None else mask
        said = (context * seen[..., None].to(x)).sum(1) / seen.sum(1, keepdim=True)         # (B, D)
        gain = torch.tanh(said @ self.look.T)[:, :, None, None]                             # (B, C, 1, 1)
        return torch.tanh(x + gain) + gain * (time.reshape(-1, 1, 1, 1).to(x) / 1000)


class Vae(nn.Module):
    """Four channels to three colours, twice as high and wide."""

    def __init__(self, kind):
        super().__init__()
        self.colours, self.gradients = nn.Parameter(normal(3, 4, seed=3).to(kind) / 2), []

    def decode(self, latents):
        self.gradients.append(torch.is_grad_enabled())
        mixed = torch.einsum("oc,bchw->bohw", self.colours, latents)
        return mixed.repeat_interleave(2, 2).repeat_interleave(2, 3)


def parts(kind=torch.float64, prediction_type="v", schedule="cosine"):
    """A model as in the notebook, of toys."""
    return SimpleNamespace(
        tokenizer=Tokenizer(), text_encoder=TextEncoder(kind), network=Network(kind), vae=Vae(kind),
        schedule=get_schedule(schedule), prediction_type=prediction_type,
        latent_mean=torch.tensor([0.3, -0.2, 0.5, 0.1], dtype=kind).view(1, 4, 1, 1),
        latent_std=torch.tensor([1.5, 0.7, 2.0, 1.2], dtype=kind).view(1, 4, 1, 1),
    )


def drawn(f, prompts, noises, scale, **kinds):
    return f(parts(noises.dtype, **kinds), prompts, noises, scale)


def shape_and_dtype(f, prompts, noises, scale):
    found = []
    for kind in (torch.float32, torch.float64):
        pictures = drawn(f, prompts, noises.to(kind), scale)
        found += [list(pictures.shape), str(pictures.dtype)]
    return found


def timesteps(f, prompts, noises, scale):
    model = parts()
    f(model, prompts, noises, scale)
    return model.network.timesteps


def texts(f, prompts, noises, scale):
    model = parts()
    f(model, prompts, noises, scale)
    return sorted(model.tokenizer.texts)


def other_kinds(f, **inputs):
    other = [drawn(f, prediction_type=kind, **inputs) for kind in ("eps", "x0")]
    return [*other, drawn(f, schedule="linear", **inputs)]


def weak_scales(f, prompts, noises):
    return [drawn(f, prompts, noises, scale) for scale in (1.0, 0.0)]


def smallest(f, prompts, noises, scale):
    return [drawn(f, prompts, noises[:1], scale), drawn(f, prompts[:1], noises[:, :1], scale)]


def next_to_others(f, prompts, noises, scale):
    """The first picture, whose neighbour has a short prompt, then a long one."""
    return [drawn(f, [prompts[0], other], noises, scale)[0] for other in ("a cat", "a very small boat on the sea at night")]


def gradients(f, prompts, noises, scale):
    model = parts()
    pictures = f(model, prompts, noises, scale)
    modules = {"text encoder": model.text_encoder, "network": model.network, "decoder": model.vae}
    kept = {f"the {name} runs with gradients": any(module.gradients) for name, module in modules.items()}
    kept["the pictures need a gradient"] = pictures.requires_grad
    return {**kept, "the weights can still learn": all(w.requires_grad for m in modules.values() for w in m.parameters())}


PROMPTS, NOISES = ["a red star", "three blue fish in the sea"], normal(3, 2, 4, 3, 5, seed=4)
GIVEN = {"prompts": PROMPTS, "noises": NOISES, "scale": 3.0}

probe(shape_and_dtype, **GIVEN)
probe(timesteps, **GIVEN)
probe(texts, **GIVEN)
probe(drawn, points=3, **GIVEN)
probe(other_kinds, **GIVEN)
probe(weak_scales, prompts=PROMPTS, noises=NOISES)
probe(smallest, **GIVEN)
probe(next_to_others, **GIVEN)
probe(gradients, points=2, **GIVEN)

# %% [markdown] lang="en" role="mistake" name="missing_no_grad"
# The pictures need gradients: everything that the network computed, in every step, is kept for a backward pass that never
# comes. The memory in use climbs with each step until there is none left. Sample under `torch.no_grad()`.
# %% [markdown] lang="vi" of="bdab9876"
# Tranh vẫn đòi gradient: mọi thứ mạng tính ra, ở mọi bước, đều bị giữ lại cho một lượt backward không bao giờ đến. Bộ nhớ bị
# chiếm tăng theo từng bước cho đến khi cạn. Hãy lấy mẫu trong `torch.no_grad()`.
# %% role="wrong" name="missing_no_grad"
patch("@torch.no_grad()\n", "")

# %% [markdown] lang="en" role="mistake" name="detached"
# The pictures are detached, but only at the end: until then the network ran with gradients, and the memory climbed with each
# step. Under `torch.no_grad()` nothing is kept in the first place.
# %% [markdown] lang="vi" of="c230d203"
# Tranh đã được detach, nhưng chỉ ở cuối: trước đó mạng vẫn chạy có gradient, và bộ nhớ bị chiếm tăng theo từng bước. Trong
# `torch.no_grad()` thì ngay từ đầu không gì bị giữ lại.
# %% role="wrong" name="detached"
patch("@torch.no_grad()\n", "")
patch("model.vae.decode(latents)", "model.vae.decode(latents).detach()")

# %% [markdown] lang="en" role="mistake" name="decoded_with_gradients"
# The loop runs without gradients, but the decoder doesn't, and it is the largest part of all to keep in memory. Put the whole
# function under `torch.no_grad()`.
# %% [markdown] lang="vi" of="44100f28"
# Vòng lặp chạy không có gradient, nhưng bộ giải mã thì có, mà nó là phần chiếm nhiều bộ nhớ nhất. Hãy đặt cả hàm trong
# `torch.no_grad()`.
# %% role="wrong" name="decoded_with_gradients"
patch("@torch.no_grad()\n", "")
patch("model.text_encoder(ids", "torch.no_grad()(model.text_encoder)(ids")
patch("both = model.network(", "both = torch.no_grad()(model.network)(")

# %% [markdown] lang="en" role="mistake" name="scale_forgotten"
# These are the pictures of scale 1, whatever the scale: the two predictions are not combined, or with a fixed 1. Follow `scale`
# from the arguments to `combine`.
# %% [markdown] lang="vi" of="32bd4ab4"
# Đây luôn là tranh của hệ số 1, bất kể hệ số: hai dự đoán không được kết hợp, hoặc kết hợp với số 1 cố định. Hãy lần theo
# `scale` từ tham số đến `combine`.
# %% role="wrong" name="scale_forgotten"
patch("combine(conditional, empty, scale)", "conditional")

# %% [markdown] lang="en" role="mistake" name="halves_swapped"
# The halves are swapped: prompts come first in the batch, so they come first out of `chunk(2)`. As it is, guidance flees from
# the prompt, and at scale 1 the prompt is never read.
# %% [markdown] lang="vi" of="99977b2e"
# Hai nửa bị đổi chỗ: prompt đứng trước trong lô, nên cũng ra trước từ `chunk(2)`. Như hiện tại, dẫn hướng chạy trốn khỏi
# prompt, và ở hệ số 1 prompt không hề được đọc.
# %% role="wrong" name="halves_swapped"
patch("conditional, empty = both", "empty, conditional = both")

# %% [markdown] lang="en" role="mistake" name="papers_scale"
# The predictions were combined as (1 + s) c − s u, which is the paper's formula for its own w, one less than the scale:
# guidance is one too strong, and scale 1 guides. Use `combine`, or u + s (c − u).
# %% [markdown] lang="vi" of="5e339ee5"
# Hai dự đoán được kết hợp theo (1 + s) c − s u, tức công thức của bài báo với w của nó, nhỏ hơn hệ số một đơn vị: dẫn hướng
# mạnh quá một đơn vị, và hệ số 1 lại có dẫn hướng. Hãy dùng `combine`, hoặc u + s (c − u).
# %% role="wrong" name="papers_scale"
patch("combine(conditional, empty, scale)", "combine(conditional, empty, scale + 1)")

# %% [markdown] lang="en" role="mistake" name="nothing_for_empty"
# The unconditional half got vectors of zeros. The network has never seen those: in training a dropped caption was the empty
# prompt `""`, two tokens with vectors of their own. Encode `""`.
# %% [markdown] lang="vi" of="f4785e10"
# Nửa không điều kiện nhận các vector 0. Mạng chưa từng thấy chúng: khi huấn luyện, chú thích bị bỏ được thay bằng prompt rỗng
# `""`, hai token có vector riêng. Hãy mã hóa `""`.
# %% role="wrong" name="nothing_for_empty"
patch("sequence            # (2B, L, D)\n",
      "sequence            # (2B, L, D)\n    context = torch.cat([context[:B], 0 * context[:B]])\n")
patch('[*prompts, *[""] * B]', "[*prompts, *prompts]")

# %% [markdown] lang="en" role="mistake" name="prompts_twice"
# Both halves hold the prompts, so the two predictions agree and there is nothing to enlarge: the pictures are those of scale 1,
# at twice the price. The second half is the empty prompt, `""`.
# %% [markdown] lang="vi" of="b96b849e"
# Cả hai nửa đều chứa prompt, nên hai dự đoán như nhau và chẳng có gì để phóng đại: tranh là tranh của hệ số 1, mà tốn gấp đôi.
# Nửa sau phải là prompt rỗng, `""`.
# %% role="wrong" name="prompts_twice"
patch('[*prompts, *[""] * B]', "[*prompts, *prompts]")

# %% [markdown] lang="en" role="mistake" name="network_without_mask"
# The network got no mask, so it reads the padding like words: the shorter a prompt and the longer its neighbour, the more. Pass
# the mask on with the context.
# %% [markdown] lang="vi" of="ae054bb9"
# Mạng không nhận mặt nạ nên đọc phần đệm như lời: prompt càng ngắn và prompt bên cạnh càng dài thì càng nhiều. Hãy truyền mặt
# nạ cùng với context.
# %% role="wrong" name="network_without_mask"
patch("timestep, context, mask)", "timestep, context)")

# %% [markdown] lang="en" role="mistake" name="encoder_without_mask"
# The text encoder got no mask, so its tokens attend to padding and the vectors of a short prompt change with its neighbours.
# Both the encoder and the network need the mask.
# %% [markdown] lang="vi" of="bd9858bc"
# Bộ mã hóa văn bản không nhận mặt nạ, nên các token chú ý cả đến phần đệm và vector của prompt ngắn đổi theo các prompt bên
# cạnh. Cả bộ mã hóa lẫn mạng đều cần mặt nạ.
# %% role="wrong" name="encoder_without_mask"
patch("model.text_encoder(ids, mask)", "model.text_encoder(ids)")

# %% [markdown] lang="en" role="mistake" name="no_mask_at_all"
# The mask is used nowhere, so padding counts as words, in the text encoder and in the network. Both take it: `(ids, mask)` and
# `(x, timestep, context, mask)`.
# %% [markdown] lang="vi" of="e8435ffa"
# Mặt nạ không được dùng ở đâu cả, nên phần đệm được tính như lời, trong bộ mã hóa văn bản lẫn trong mạng. Cả hai đều nhận nó:
# `(ids, mask)` và `(x, timestep, context, mask)`.
# %% role="wrong" name="no_mask_at_all"
patch("model.text_encoder(ids, mask)", "model.text_encoder(ids)")
patch("timestep, context, mask)", "timestep, context)")

# %% [markdown] lang="en" role="mistake" name="prompts_mask_twice"
# The empty prompts got the masks of the prompts, so their padding is read. Each row has its own mask: the second B rows too.
# %% [markdown] lang="vi" of="61e7aa0c"
# Các prompt rỗng nhận mặt nạ của prompt, nên phần đệm của chúng bị đọc. Mỗi hàng có mặt nạ riêng, cả B hàng sau.
# %% role="wrong" name="prompts_mask_twice"
patch("timestep, context, mask)", "timestep, context, mask[:B].repeat(2, 1))")

# %% [markdown] lang="en" role="mistake" name="pooled"
# The network got one vector for the whole sentence, `.pooled`. Cross-attention chooses among words: give it `.sequence`, a
# vector for each token.
# %% [markdown] lang="vi" of="8ae46699"
# Mạng nhận một vector cho cả câu, `.pooled`. Chú ý chéo phải chọn giữa các từ: hãy đưa `.sequence`, mỗi token một vector.
# %% role="wrong" name="pooled"
patch("(ids, mask).sequence", "(ids, mask).pooled")

# %% [markdown] lang="en" role="mistake" name="always_v"
# It works only for networks that predict v: the type is fixed somewhere. Hand `model.prediction_type` to `to_x0_eps`.
# %% [markdown] lang="vi" of="c12b72e8"
# Hàm chỉ đúng với mạng dự đoán v: kiểu dự đoán bị cố định ở đâu đó. Hãy đưa `model.prediction_type` cho `to_x0_eps`.
# %% role="wrong" name="always_v"
patch("model.schedule, model.prediction_type, guided", 'model.schedule, "v", guided')

# %% [markdown] lang="en" role="mistake" name="always_eps"
# What the network gives was taken for noise, whatever it predicts. `world-unet` predicts v: hand `model.prediction_type` to
# `to_x0_eps`.
# %% [markdown] lang="vi" of="d31944b5"
# Kết quả của mạng bị coi là nhiễu, dù mạng dự đoán gì. `world-unet` dự đoán v: hãy đưa `model.prediction_type` cho `to_x0_eps`.
# %% role="wrong" name="always_eps"
patch("model.schedule, model.prediction_type, guided", 'model.schedule, "eps", guided')

# %% [markdown] lang="en" role="mistake" name="time_after_the_step"
# The network was asked at time s, where the step ends. Its input is x at time t, so it must be told t.
# %% [markdown] lang="vi" of="24db4d75"
# Mạng được hỏi ở thời điểm s, nơi bước kết thúc. Đầu vào của nó là x ở thời điểm t, nên phải báo t.
# %% role="wrong" name="time_after_the_step"
patch("schedule.timestep(t)", "schedule.timestep(s)")

# %% [markdown] lang="en" role="mistake" name="time_from_0_to_1"
# The network was told t, from 0 to 1. It was trained with numbers from 0 to 1000: `model.schedule.timestep(t)`.
# %% [markdown] lang="vi" of="cde9a2ff"
# Mạng được báo t, từ 0 đến 1. Nó được huấn luyện với các số từ 0 đến 1000: `model.schedule.timestep(t)`.
# %% role="wrong" name="time_from_0_to_1"
patch("model.schedule.timestep(t).float()", "t.float()")

# %% [markdown] lang="en" role="mistake" name="whole_timesteps"
# The timestep was cut to a whole number. Between two entries of the old table of 1000 steps there are times too, and this
# network takes them: hand `model.schedule.timestep(t)` over as it is.
# %% [markdown] lang="vi" of="f376e37e"
# Bước thời gian bị cắt thành số nguyên. Giữa hai mục của bảng 1000 bước ngày trước cũng có thời điểm, và mạng này nhận chúng:
# hãy đưa `model.schedule.timestep(t)` nguyên như vậy.
# %% role="wrong" name="whole_timesteps"
patch("timestep(t).float()", "timestep(t).long()")

# %% [markdown] lang="en" role="mistake" name="same_noise"
# The noise of the start is added again in every step. It is in x already; each step adds a noise of its own, `noises[k]` for
# the k-th.
# %% [markdown] lang="vi" of="98e59f3e"
# Nhiễu ban đầu bị cộng lại ở mỗi bước. Nó đã nằm trong x rồi; mỗi bước cộng một nhiễu riêng, `noises[k]` cho bước thứ k.
# %% role="wrong" name="same_noise"
patch("noises[k + 1] if k + 1 < n else None", "noises[0]")

# %% [markdown] lang="en" role="mistake" name="noise_a_step_late"
# The noises come one step late: the first step adds `noises[0]`, with which x began, and the last of them is never used.
# Counted from 0, step k adds `noises[k + 1]`.
# %% [markdown] lang="vi" of="fa8d2c76"
# Các nhiễu đến chậm một bước: bước đầu cộng `noises[0]`, vốn là x ban đầu, và nhiễu cuối không bao giờ được dùng. Đếm từ 0,
# bước k cộng `noises[k + 1]`.
# %% role="wrong" name="noise_a_step_late"
patch("noises[k + 1] if k + 1 < n else None", "noises[k]")

# %% [markdown] lang="en" role="mistake" name="one_noise_too_many"
# The last step asks for a noise that is not there. It ends in clean data and adds none: pass None.
# %% [markdown] lang="vi" of="35e7982e"
# Bước cuối đòi một nhiễu không có. Nó kết thúc ở dữ liệu sạch và không cộng gì: hãy đưa None.
# %% role="wrong" name="one_noise_too_many"
patch("noises[k + 1] if k + 1 < n else None", "noises[k + 1]")

# %% [markdown] lang="en" role="mistake" name="own_noise"
# Noise was drawn anew in the steps, and the given one ignored. Only with given noise can pictures be compared and drawn again:
# use `noises`.
# %% [markdown] lang="vi" of="c17ea296"
# Các bước tự sinh nhiễu mới và bỏ qua nhiễu đã cho. Chỉ với nhiễu cho trước mới so sánh và vẽ lại được tranh: hãy dùng
# `noises`.
# %% role="wrong" name="own_noise"
patch("noises[k + 1] if k + 1 < n else None", "torch.randn_like(x)")

# %% [markdown] lang="en" role="mistake" name="ddim"
# No noise is added in the steps: with eta = 0 this is DDIM, and `noises[1:]` are never used. DDPM is eta = 1.
# %% [markdown] lang="vi" of="b55bd33b"
# Không nhiễu nào được cộng vào các bước: với eta = 0, đây là DDIM, và `noises[1:]` không hề được dùng. DDPM là eta = 1.
# %% role="wrong" name="ddim"
patch("t, s, 1.0, noise)", "t, s, 0.0, noise)")

# %% [markdown] lang="en" role="mistake" name="stops_early"
# The last step, to time 0, is missing, so some noise is left in the picture. n steps have n + 1 times, and all n are made.
# %% [markdown] lang="vi" of="eda2da15"
# Thiếu bước cuối, về thời điểm 0, nên trong tranh còn sót nhiễu. n bước có n + 1 thời điểm, và phải đi đủ n bước.
# %% role="wrong" name="stops_early"
patch("for k in range(n):", "for k in range(n - 1):")

# %% [markdown] lang="en" role="mistake" name="always_from_the_start"
# Every step begins with the first noise again: what the step before made is never used. Give the result of `step` the name x,
# so that the next step goes on from it.
# %% [markdown] lang="vi" of="88059d96"
# Bước nào cũng bắt đầu lại từ nhiễu đầu tiên: kết quả của bước trước không hề được dùng. Hãy gán kết quả của `step` cho tên x,
# để bước sau đi tiếp từ đó.
# %% role="wrong" name="always_from_the_start"
patch("x = step(model", "x_s = step(model")
patch("latents = x * ", "latents = x_s * ")

# %% [markdown] lang="en" role="mistake" name="factors_forgotten"
# The decoder got what the network draws, each channel with mean 0 and deviation 1, not latents: the picture is pale and its
# colours are off. Multiply by `latent_std` and add `latent_mean` first.
# %% [markdown] lang="vi" of="554cb5eb"
# Bộ giải mã nhận thứ mạng vẽ ra, mỗi kênh có trung bình 0 và độ lệch 1, chứ không phải latent: tranh nhạt và sai màu. Trước hết
# hãy nhân với `latent_std` rồi cộng `latent_mean`.
# %% role="wrong" name="factors_forgotten"
patch("x * model.latent_std + model.latent_mean", "x")

# %% [markdown] lang="en" role="mistake" name="factors_applied_again"
# The latent factors were applied once more, (x − mean) / std, in place of being undone. That is the way into the network; the
# way out is x * std + mean.
# %% [markdown] lang="vi" of="e35fc375"
# Tỉ lệ của latent bị áp dụng thêm lần nữa, (x − mean) / std, thay vì được trả lại. Đó là đường vào mạng; đường ra là x * std +
# mean.
# %% role="wrong" name="factors_applied_again"
patch("x * model.latent_std + model.latent_mean", "(x - model.latent_mean) / model.latent_std")

# %% [markdown] lang="en" role="mistake" name="factors_in_the_wrong_order"
# The mean was added before multiplying. To undo (latents − mean) / std, multiply first and add afterwards.
# %% [markdown] lang="vi" of="1370718e"
# Trung bình bị cộng trước khi nhân. Để trả lại (latent − mean) / std, hãy nhân trước rồi cộng sau.
# %% role="wrong" name="factors_in_the_wrong_order"
patch("x * model.latent_std + model.latent_mean", "(x + model.latent_mean) * model.latent_std")

# %% [markdown] lang="en" role="mistake" name="not_decoded"
# These are latents, not pictures: four channels, an eighth as high and wide. `model.vae.decode` makes pictures of them.
# %% [markdown] lang="vi" of="70d2e3b6"
# Đây là latent, không phải tranh: bốn kênh, cao và rộng chỉ bằng một phần tám. `model.vae.decode` biến chúng thành tranh.
# %% role="wrong" name="not_decoded"
patch("return model.vae.decode(latents) ", "return latents                   ")

# %% [markdown] lang="en" role="mistake" name="clamped"
# The pictures were clamped to [-1, 1]. Whoever shows them does that; here it hides how far strong guidance goes beyond the
# limits. Return what the decoder gives.
# %% [markdown] lang="vi" of="a4c3b5c1"
# Tranh đã bị cắt về [-1, 1]. Đó là việc của nơi hiển thị; ở đây nó che mất dẫn hướng mạnh đã vượt giới hạn bao xa. Hãy trả về
# đúng những gì bộ giải mã cho.
# %% role="wrong" name="clamped"
patch("return model.vae.decode(latents) ", "return model.vae.decode(latents).clamp(-1, 1) ")

# %% [markdown] lang="en" role="mistake" name="called_twice"
# The pictures are right, but the network is called twice in each step, with B rows each. One call with 2B rows keeps a GPU
# busier: put both halves into one batch.
# %% [markdown] lang="vi" of="a55f0986"
# Tranh đúng, nhưng mỗi bước gọi mạng hai lần, mỗi lần B hàng. Một lần gọi với 2B hàng tận dụng GPU tốt hơn: hãy đặt cả hai nửa
# vào một lô.
# %% role="wrong" name="called_twice"
patch("        both = model.network(torch.cat([x, x]), timestep, context, mask)\n",
      "        one = timestep[:B]\n        conditional = model.network(x, one, context[:B], mask[:B])\n"
      "        empty = model.network(x, one, context[B:], mask[B:])\n")
patch("        conditional, empty = both.chunk(2)                      # (B, C, h, w) each\n", "")

# %% [markdown] lang="en" role="mistake" name="decoded_then_detached"
# The pictures are detached, but the decoder ran with gradients, and until it is done all that it computed is kept: it is the
# largest part of all. Put the whole function under `torch.no_grad()`.
# %% [markdown] lang="vi" of="c4b50cb5"
# Tranh đã được detach, nhưng bộ giải mã chạy có gradient, và cho đến khi nó xong thì mọi thứ nó tính ra đều bị giữ lại: đó là
# phần lớn nhất. Hãy đặt cả hàm dưới `torch.no_grad()`.
# %% role="wrong" name="decoded_then_detached"
patch("@torch.no_grad()\n", "")
patch("model.text_encoder(ids", "torch.no_grad()(model.text_encoder)(ids")
patch("both = model.network(", "both = torch.no_grad()(model.network)(")
patch("model.vae.decode(latents)", "model.vae.decode(latents).detach()")

# %% [markdown] lang="en" role="mistake" name="encoded_with_gradients"
# Only the text encoder still runs with gradients: whatever it computed stays in memory as long as the context is in use,
# through all steps. Put the whole function under `torch.no_grad()`.
# %% [markdown] lang="vi" of="fbc3d27d"
# Chỉ còn bộ mã hóa văn bản chạy có gradient: mọi thứ nó tính ra nằm lại trong bộ nhớ chừng nào context còn được dùng, tức là
# qua mọi bước. Hãy đặt cả hàm dưới `torch.no_grad()`.
# %% role="wrong" name="encoded_with_gradients"
patch("@torch.no_grad()\n", "")
patch("both = model.network(", "both = torch.no_grad()(model.network)(")
patch("model.vae.decode(latents)", "torch.no_grad()(model.vae.decode)(latents)")

# %% [markdown] lang="en" role="mistake" name="only_the_network"
# The network runs without gradients, the text encoder and the decoder don't, and the decoder is the largest part to keep in
# memory. Put the whole function under `torch.no_grad()`.
# %% [markdown] lang="vi" of="acc36047"
# Mạng chạy không có gradient, nhưng bộ mã hóa văn bản và bộ giải mã thì vẫn có, mà bộ giải mã là phần tốn bộ nhớ nhất. Hãy đặt
# cả hàm dưới `torch.no_grad()`.
# %% role="wrong" name="only_the_network"
patch("@torch.no_grad()\n", "")
patch("both = model.network(", "both = torch.no_grad()(model.network)(")

# %% [markdown] lang="en" role="mistake" name="frozen"
# The weights were frozen for good with `requires_grad_(False)`: whoever trains this model afterwards learns nothing. Sampling
# leaves the model as it was; `torch.no_grad()` touches no weight.
# %% [markdown] lang="vi" of="a94424ab"
# Trọng số bị đóng băng luôn bằng `requires_grad_(False)`: sau đó ai huấn luyện mô hình này cũng không học được gì. Lấy mẫu thì
# phải để mô hình nguyên như cũ; `torch.no_grad()` không động đến trọng số nào.
# %% role="wrong" name="frozen"
patch("@torch.no_grad()\n", "")
patch("    n, B = noises.shape[:2]\n",
      "    n, B = noises.shape[:2]\n    for part in (model.text_encoder, model.network, model.vae):\n        part.requires_grad_(False)\n")

# %% [markdown] lang="en" role="mistake" name="timestep_by_hand"
# The network was told 1000 t, whatever the schedule. A schedule made of a table counts its entries from 0, so there it is 1000
# t − 1: ask `model.schedule.timestep(t)`.
# %% [markdown] lang="vi" of="f4ebff95"
# Mạng được báo 1000 t, bất kể lịch nhiễu nào. Lịch làm từ bảng đếm các mục từ 0, nên ở đó phải là 1000 t − 1: hãy hỏi
# `model.schedule.timestep(t)`.
# %% role="wrong" name="timestep_by_hand"
patch("model.schedule.timestep(t)", "(1000 * t)")

# %% [markdown] lang="en" role="mistake" name="one_time_short"
# There are n times where n + 1 are needed, so only n − 1 steps are made. Each step lies between two times: count the fence
# posts, not the gaps.
# %% [markdown] lang="vi" of="b01779b1"
# Chỉ có n thời điểm, trong khi cần n + 1, nên chỉ đi được n − 1 bước. Mỗi bước nằm giữa hai thời điểm: hãy đếm cọc rào, đừng
# đếm khoảng trống.
# %% role="wrong" name="one_time_short"
patch("torch.arange(n, -1, -1, dtype=torch.float64) / n ", "torch.linspace(1, 0, n, dtype=torch.float64) ")
patch("for k in range(n):", "for k in range(n - 1):")

# %% [markdown] lang="en" role="mistake" name="prompt_by_prompt"
# The pictures are right, but they are made one after the other, so the network is called B times as often, with two rows each.
# One call a step serves all prompts: put them into one batch.
# %% [markdown] lang="vi" of="9f7d9159"
# Tranh đúng, nhưng được vẽ lần lượt từng bức, nên mạng bị gọi nhiều gấp B lần, mỗi lần hai hàng. Mỗi bước gọi một lần là đủ
# cho mọi prompt: hãy đặt chúng vào một lô.
# %% role="wrong" name="prompt_by_prompt"
@torch.no_grad()
def sample_from_text(
    model: SimpleNamespace, prompts: list[str], noises: Tensor, scale: float
) -> Tensor:
    n, pictures = len(noises), []
    for i, prompt in enumerate(prompts):
        ids, mask = model.tokenizer.encode([prompt, ""])
        context = model.text_encoder(ids, mask).sequence
        times = torch.arange(n, -1, -1, dtype=torch.float64) / n
        x = noises[0, i : i + 1]
        for k in range(n):
            t, s = times[k], times[k + 1]
            timestep = model.schedule.timestep(t).float().repeat(2)
            both = model.network(torch.cat([x, x]), timestep, context, mask)
            guided = combine(both[:1], both[1:], scale)
            x0, eps = to_x0_eps(model.schedule, model.prediction_type, guided, x, t)
            noise = noises[k + 1, i : i + 1] if k + 1 < n else None
            x = step(model.schedule, x0, eps, t, s, 1.0, noise)
        latents = x * model.latent_std + model.latent_mean
        pictures.append(model.vae.decode(latents))
    return torch.cat(pictures)

# %% role="library"
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def sample_from_text(model, prompts, noises, scale):
    """`cfg` guides, `run` samples, and the mask is cut with the batch: at scale 1 the empty prompts are left out."""
    with torch.inference_mode():
        ids, mask = model.tokenizer.encode(list(prompts) + len(prompts) * [""])
        context = model.text_encoder(ids, mask).sequence

        def predict(x, timestep):
            return model.network(x, timestep, context[: len(x)], mask[: len(x)])

        guided = cfg(denoiser(predict, model.schedule, model.prediction_type), scale)
        states = run("ddpm", guided, noises[0], model.schedule, len(noises), noise=lambda k: noises[k + 1])
        *_, last = states
        return model.vae.decode(torch.addcmul(model.latent_mean, last.x, model.latent_std))

# %% role="payoff"
unseen = [                                          # training had neither
    "a yellow house left of a green tree",
    "một con mèo màu vàng bên phải một bông hoa màu đỏ",
]
noises = torch.randn(24, 2, 4, 16, 16, generator=torch.Generator().manual_seed(7))


def draw(sample_from_text: Callable) -> Tensor:
    return sample_from_text(model, unseen, noises, 5.0)         # (2, 3, 128, 128)


payoff(draw, sample_from_text, tolerance=0.01)
