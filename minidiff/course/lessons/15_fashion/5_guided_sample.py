"""Exercise 15.5, guided_sample: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="4" minutes="20"
# ## Debugging: black pictures
#
# On a GPU Stable Diffusion computes in half precision (`torch.float16`), which takes half the memory and less time. But half
# precision has three decimal digits and ends at 65504, so not everything may be in it:
#
# - the **network** computes in it: `x` and context in, prediction out;
# - the **latents** between the steps, and the **guidance**, are kept in `torch.float32`;
# - the **VAE** decodes in `torch.float32`. Inside some published VAEs, SDXL's among them, there are numbers above 65504. In
#   half precision they become infinite, the norms make NaN of them, and an image file shows NaN as black.
#
# `model` is a `HalfModel`: `network`, `encode`, `decode`, `schedule`, `prediction_type`. Guidance starts at the prediction for
# the negative prompt and goes `scale` times the way from there to the prediction for the prompt. `negative` is one text for all
# pictures.
#
# The cell below draws with somebody's `broken_sample`; its VAE is `world-vae` with larger numbers inside, which gives the same
# pictures in float32. **Three things** are wrong. Mend one, and the symptom changes before it goes away; the third can't be
# seen in these pictures, but `check` sees it. The last cell draws with your function.
# %% [markdown] lang="vi" of="dde25e27"
# ## Gỡ lỗi: ảnh đen
#
# Trên GPU, Stable Diffusion tính với độ chính xác một nửa (half precision, `torch.float16`): chỉ tốn một nửa bộ nhớ và ít thời
# gian hơn. Nhưng kiểu số này chỉ có ba chữ số thập phân và dừng ở 65504, nên không phải thứ gì cũng dùng nó được:
#
# - **mạng** tính bằng kiểu ấy: đưa vào `x` và ngữ cảnh, lấy ra dự đoán;
# - **latent** giữa các bước, và **phép dẫn hướng**, được giữ ở `torch.float32`;
# - **VAE** giải mã bằng `torch.float32`. Bên trong một số VAE đã công bố, trong đó có VAE của SDXL, có những số lớn hơn 65504.
#   Ở độ chính xác một nửa chúng thành vô cực, các lớp chuẩn hóa biến chúng thành NaN, và tệp ảnh hiện NaN thành màu đen.
#
# `model` là một `HalfModel`: `network`, `encode`, `decode`, `schedule`, `prediction_type`. Dẫn hướng bắt đầu ở dự đoán cho
# prompt phủ định và đi `scale` lần quãng đường từ đó đến dự đoán cho prompt. `negative` là một văn bản chung cho mọi ảnh.
#
# Ô dưới đây vẽ bằng `broken_sample` của ai đó; VAE ở đây là `world-vae` với những số lớn hơn bên trong, ở float32 nó vẫn cho
# đúng những bức ảnh ấy. Có **ba lỗi**. Sửa được một lỗi thì triệu chứng đổi chứ chưa hết; lỗi thứ ba không nhìn thấy được trong
# các ảnh này, nhưng `check` thấy. Ô cuối cùng vẽ bằng hàm của bạn.

# %% role="shown"
@torch.no_grad()
def larger_inside(vae: nn.Module, factor: float) -> nn.Module:
    """The same VAE, but what its decoder hands from block to block is `factor` times
    as large. A norm stands before all that reads it, so the pictures stay the same."""
    vae = deepcopy(vae)
    for name, layer in vae.decoder.named_modules():
        if name.endswith(("conv_in", "conv2", "to_out.0")):     # what is added
            layer.weight.mul_(factor)
            layer.bias.mul_(factor)
        elif name.endswith(("conv_shortcut", "upsamplers.0.conv")):
            layer.bias.mul_(factor)
    return vae


def model_in_half() -> HalfModel:
    """world-unet with the LoRA, as a GPU would hold it. CPUs are slow at half
    precision: numbers are rounded to it, and the products computed in float32."""
    rounded = deepcopy(pipe.network).half().float()
    large = larger_inside(pipe.vae, 2.0**14)
    vaes = {torch.float32: large, torch.float16: deepcopy(large).half()}

    def encode(texts: list[str]) -> tuple[Tensor, Tensor]:
        context, mask = pipe.encode(texts)
        return context.half(), mask

    def network(x: Tensor, timestep: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        if x.dtype != torch.float16:
            raise RuntimeError(f"Expected x in torch.float16, but it is {x.dtype}.")
        return rounded(x.float(), timestep, context.float(), mask).half()

    def decode(latents: Tensor) -> Tensor:
        std, mean = pipe.latent_std.to(latents), pipe.latent_mean.to(latents)
        return vaes[latents.dtype].decode(latents * std + mean)

    return HalfModel(encode, network, decode, pipe.scheduler.schedule, "v")


def broken_sample(
    model: HalfModel, noise: Tensor, prompts: list[str], negative: str,
    scale: float, steps: int,
) -> Tensor:
    context, mask = model.encode([*prompts, *[negative] * len(prompts)])
    x = noise.half()                                        # (B, C, h, w)
    for t, s in pairwise(uniform(model.schedule, steps)):
        timestep = model.schedule.timestep(t).float().repeat(2 * len(x))
        both = model.network(torch.cat([x, x]).half(), timestep, context, mask)
        towards, away = both.float().chunk(2)               # (B, C, h, w) each
        guided = torch.lerp(towards, away, scale)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, guided, x, t)
        x = step(model.schedule, x0, eps, t, s)
    return model.decode(x.half())                           # (B, 3, H, W)


half_model = model_in_half()
dice = [torch.Generator().manual_seed(seed) for seed in (3, 9, 4)]
start = torch.stack([torch.randn(4, 16, 16, generator=die) for die in dice])
wishes = ["a yellow jacket", "orange shirt, long sleeves", "a green sweater"]


@torch.inference_mode()
def drawn(sample: Callable) -> Tensor:
    """Three garments; NaN is black, as in an image file."""
    return sample(half_model, start, wishes, "a blue house", 3.0, 12).nan_to_num(-1)


show(drawn(broken_sample), titles=wishes)

# %% [markdown] lang="en" role="hints"
# Is it the latents that are NaN, or the pixels? Print `x.isfinite().all()` before the last line. In which precision does
# `decode` compute?
# ---
# Once there are pictures: do they show what was asked for, or what the negative prompt says? `torch.lerp(a, b, s)` is
# a + s (b − a): where does guidance start, and where does it go?
# ---
# Which dtype has `x` in each step, and what are latents rounded to then? The network alone needs half precision, and there
# `.half()` is called already. So: `x = noise`, `torch.lerp(away, towards, scale)`, `model.decode(x)`.
# %% [markdown] lang="vi" of="5c013132"
# Cái gì là NaN: latent hay điểm ảnh? Hãy in `x.isfinite().all()` trước dòng cuối. `decode` tính ở độ chính xác nào?
# ---
# Khi đã có ảnh: chúng cho thấy điều được yêu cầu, hay điều prompt phủ định nói? `torch.lerp(a, b, s)` là a + s (b − a): dẫn
# hướng bắt đầu từ đâu và đi về đâu?
# ---
# Ở mỗi bước `x` có kiểu số nào, và khi đó latent bị làm tròn đến đâu? Chỉ mạng cần độ chính xác một nửa, và ở đó `.half()` đã
# được gọi. Vậy: `x = noise`, `torch.lerp(away, towards, scale)`, `model.decode(x)`.

# %% [markdown] lang="en" role="stub" given="as_given"
# noise (B, C, h, w) float32, prompts: B texts, negative: one text. Guided DDIM in
# `steps` uniform steps; the network computes in half precision, all else in
# float32. Returns pixels (B, 3, H, W), float32.
# ---
# 1. mend the three mistakes above and below
# 2. delete the next line
# %% [markdown] lang="vi" of="96a0a601"
# noise (B, C, h, w) float32, prompts: B văn bản, negative: một văn bản. DDIM dẫn
# hướng, `steps` bước đều nhau; mạng tính với độ chính xác một nửa, mọi thứ khác
# bằng float32. Trả về điểm ảnh (B, 3, H, W), float32.
# ---
# 1. sửa ba lỗi ở trên và ở dưới
# 2. xóa dòng tiếp theo

# %% role="solution"
def guided_sample(
    model: HalfModel, noise: Tensor, prompts: list[str], negative: str,
    scale: float, steps: int,
) -> Tensor:
    context, mask = model.encode([*prompts, *[negative] * len(prompts)])
    x = noise                                               # (B, C, h, w)
    for t, s in pairwise(uniform(model.schedule, steps)):
        timestep = model.schedule.timestep(t).float().repeat(2 * len(x))
        both = model.network(torch.cat([x, x]).half(), timestep, context, mask)
        towards, away = both.float().chunk(2)               # (B, C, h, w) each
        guided = torch.lerp(away, towards, scale)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, guided, x, t)
        x = step(model.schedule, x0, eps, t, s)
    return model.decode(x)                                  # (B, 3, H, W)

# %% [markdown] lang="en" role="checks"
# - shape and dtype of the pictures
# - two prompts: the latents to the last digits of float32
# - what the network is given: half precision, and the right timesteps
# - a network that looks at x
# - another noise schedule, and networks that predict the noise or x0
# - other negative prompts, and an empty one
# - scales 0, 1 and 12
# - one picture, with large latents: no NaN
# - a picture depends on its own prompt alone
# %% [markdown] lang="vi" of="aebabd7e"
# - kích thước và kiểu số của ảnh
# - hai prompt: latent đúng đến những chữ số cuối của float32
# - những gì mạng nhận được: độ chính xác một nửa, và đúng các bước thời gian
# - một mạng có nhìn vào x
# - một lịch nhiễu khác, và các mạng dự đoán nhiễu hoặc x0
# - các prompt phủ định khác, và một prompt rỗng
# - hệ số 0, 1 và 12
# - một bức ảnh, với latent lớn: không có NaN
# - mỗi ảnh chỉ phụ thuộc vào prompt của mình

# %% role="probes"
import torch

from minidiff.diffusion.schedules import get_schedule


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Model:
    """Encodes each word by its letters, and predicts something of the context's mean, of the timestep and, if `looks`, of x.
    The decoder overflows in half precision where a latent is beyond 1.6."""

    def __init__(self, schedule="cosine", prediction_type="v", looks=False):
        self.schedule, self.prediction_type, self.looks = get_schedule(schedule), prediction_type, looks
        self.dtypes, self.timesteps = set(), set()

    def encode(self, texts):
        if isinstance(texts, str):
            raise TypeError("encode takes a list of texts.")
        rows = [[normal(5, seed=sum(map(ord, word))) for word in ["<begin>", *text.split()]] for text in texts]
        longest = max(map(len, rows))
        context = torch.stack([torch.stack(row + [torch.full((5,), 100.0)] * (longest - len(row))) for row in rows])
        return context.half(), torch.tensor([[k < len(row) for k in range(longest)] for row in rows])

    def network(self, x, timestep, context, mask):
        for name, given in (("x", x), ("context", context)):
            if given.dtype != torch.float16:
                raise RuntimeError(f"expected {name} in torch.float16, but found {given.dtype}")
        if len(context) != len(x) or len(mask) != len(x):
            raise ValueError(f"There are {len(context)} contexts for {len(x)} latents; give one each.")
        self.dtypes |= {f"x {x.dtype}", f"context {context.dtype}", f"timestep in half: {timestep.dtype == torch.float16}"}
        self.timesteps |= {round(float(one), 3) for one in timestep.reshape(-1)}
        words = torch.where(mask[..., None], context.double(), 0).sum(1) / mask.sum(1, keepdim=True)    # (B, 5)
        said = (words @ normal(5, 3, seed=4))[..., None, None]                                          # (B, 3, 1, 1)
        when = torch.cos(timestep.double() / 400).reshape(-1, 1, 1, 1)
        places = normal(3, 4, 2, seed=6)
        out = 0.15 * torch.tanh(said + places) * when
        return (out + (0.3 * torch.tanh(x.double()) if self.looks else 0)).to(torch.float16)

    def decode(self, latents):
        large = latents * 40000                                                                         # in their dtype
        return (large - large.mean((2, 3), keepdim=True)) / 20000 + 2 * latents.mean((2, 3), keepdim=True) + 0.5


def pixels(f, noise, prompts, negative, scale=3.0, steps=4, **model):
    return f(Model(**model), noise, prompts, negative, scale, steps).float()


def shape_and_dtype(f, noise, prompts, negative):
    made = f(Model(), noise, prompts, negative, 3.0, 2)
    return [list(made.shape), str(made.dtype), bool(made.isfinite().all())]


def given_to_the_network(f, noise, prompts, negative):
    model = Model()
    f(model, noise, prompts, negative, 3.0, 7)
    return {"dtypes": sorted(model.dtypes), "timesteps": sorted(model.timesteps)}


def other_kinds(f, noise, prompts, negative):
    kinds = [("cosine", "x0"), ("linear", "eps"), ("linear", "v")]
    return [pixels(f, noise, prompts, negative, schedule=name, prediction_type=kind) for name, kind in kinds]


def negatives(f, noise, prompts, texts):
    return [pixels(f, noise, prompts, text) for text in texts]


def scales(f, noise, prompts, negative):
    return [pixels(f, noise, prompts, negative, scale) for scale in (0.0, 1.0, 12.0)]


def next_to_others(f, noise, prompts, negative):
    return [pixels(f, noise, [prompts[0], other], negative)[:1] for other in (prompts[1], "a blue hat on a white wall")]


NOISE = (0.3 * normal(2, 3, 4, 2, seed=5)).float()
PROMPTS, NEGATIVE = ["a long red dress", "a coat"], "blurred picture"
GIVEN = {"noise": NOISE, "prompts": PROMPTS, "negative": NEGATIVE}

probe(shape_and_dtype, **GIVEN)
probe(pixels, points=2, **GIVEN)
probe(given_to_the_network, **GIVEN)
probe(pixels, rtol=0, atol=5e-3, **GIVEN, looks=True)
probe(other_kinds, **GIVEN)
probe(negatives, noise=NOISE, prompts=PROMPTS, texts=["green", "a long red coat", ""])
probe(scales, **GIVEN)
probe(pixels, noise=10 * NOISE[:1], prompts=PROMPTS[:1], negative=NEGATIVE, steps=1, scale=2.0)
probe(next_to_others, **GIVEN)

# %% [markdown] lang="en" role="mistake" name="as_given"
# All three mistakes are still there. Begin with the last line: the VAE decodes in half precision, where its numbers become
# infinite and then NaN. Then look at where guidance starts, and at the dtype of `x`.
# %% [markdown] lang="vi" of="63ef9618"
# Cả ba lỗi vẫn còn. Hãy bắt đầu từ dòng cuối: VAE giải mã với độ chính xác một nửa, ở đó các số của nó thành vô cực rồi thành
# NaN. Sau đó hãy xem phép dẫn hướng bắt đầu từ đâu, và kiểu số của `x`.
# %% role="wrong" name="as_given"
def guided_sample(
    model: HalfModel, noise: Tensor, prompts: list[str], negative: str,
    scale: float, steps: int,
) -> Tensor:
    context, mask = model.encode([*prompts, *[negative] * len(prompts)])
    x = noise.half()                                        # (B, C, h, w)
    for t, s in pairwise(uniform(model.schedule, steps)):
        timestep = model.schedule.timestep(t).float().repeat(2 * len(x))
        both = model.network(torch.cat([x, x]).half(), timestep, context, mask)
        towards, away = both.float().chunk(2)               # (B, C, h, w) each
        guided = torch.lerp(towards, away, scale)
        x0, eps = to_x0_eps(model.schedule, model.prediction_type, guided, x, t)
        x = step(model.schedule, x0, eps, t, s)
    return model.decode(x.half())                           # (B, 3, H, W)

# %% [markdown] lang="en" role="mistake" name="latents_and_roles"
# The VAE decodes in float32 now, and there are pictures. Two things remain: they show what the *negative* prompt says, and the
# latents are rounded to half precision in every step.
# %% [markdown] lang="vi" of="d1bb07e5"
# VAE giờ giải mã bằng float32, và đã có ảnh. Còn hai chỗ: ảnh cho thấy điều mà prompt *phủ định* nói, và latent bị làm tròn về
# độ chính xác một nửa ở mỗi bước.
# %% role="wrong" name="latents_and_roles"
patch("x = noise  ", "x = noise.half()  ")
patch("torch.lerp(away, towards, scale)", "torch.lerp(towards, away, scale)")
patch("model.decode(x)", "model.decode(x.float())")

# %% [markdown] lang="en" role="mistake" name="roles_and_vae"
# The latents are float32 in all steps now. Two things remain: the VAE still decodes in half precision, and guidance runs the
# wrong way.
# %% [markdown] lang="vi" of="2f5516cf"
# Latent giờ là float32 ở mọi bước. Còn hai chỗ: VAE vẫn giải mã với độ chính xác một nửa, và dẫn hướng đi ngược chiều.
# %% role="wrong" name="roles_and_vae"
patch("torch.lerp(away, towards, scale)", "torch.lerp(towards, away, scale)")
patch("model.decode(x)", "model.decode(x.half())")

# %% [markdown] lang="en" role="mistake" name="latents_and_vae"
# Guidance goes the right way now. Two things remain: the latents are in half precision between the steps, and so is what
# `decode` is given.
# %% [markdown] lang="vi" of="cc423e09"
# Dẫn hướng giờ đi đúng chiều. Còn hai chỗ: latent giữa các bước ở độ chính xác một nửa, và thứ đưa cho `decode` cũng vậy.
# %% role="wrong" name="latents_and_vae"
patch("x = noise  ", "x = noise.half()  ")

# %% [markdown] lang="en" role="mistake" name="latents_in_half"
# The latents are still in half precision between the steps. Each step rounds them to three digits, and with many small steps
# the errors add up. Only what the network is *given* is rounded: `x` itself stays float32.
# %% [markdown] lang="vi" of="5974b472"
# Latent giữa các bước vẫn ở độ chính xác một nửa. Mỗi bước làm tròn chúng còn ba chữ số, và với nhiều bước nhỏ thì sai số cộng
# dồn. Chỉ thứ *đưa cho* mạng mới được làm tròn: chính `x` vẫn là float32.
# %% role="wrong" name="latents_in_half"
patch("x = noise  ", "x = noise.half()  ")
patch("model.decode(x)", "model.decode(x.float())")

# %% [markdown] lang="en" role="mistake" name="rounded_each_step"
# The latents are float32 by name, but they are rounded to half precision on the way, after each step. What was cut off doesn't
# come back by `.float()`.
# %% [markdown] lang="vi" of="c90f242b"
# Latent mang kiểu float32 nhưng vẫn bị làm tròn về độ chính xác một nửa giữa đường, sau mỗi bước. Những gì đã mất không trở lại
# nhờ `.float()`.
# %% role="wrong" name="rounded_each_step"
patch("x = step(model.schedule, x0, eps, t, s)", "x = step(model.schedule, x0, eps, t, s).half().float()")

# %% [markdown] lang="en" role="mistake" name="vae_in_half"
# The VAE still decodes in half precision. Its inner numbers go beyond 65504, become infinite, and the norms make NaN of them:
# black pictures. Give `decode` float32.
# %% [markdown] lang="vi" of="0e9cd8e1"
# VAE vẫn giải mã với độ chính xác một nửa. Các số bên trong vượt quá 65504, thành vô cực, rồi các lớp chuẩn hóa biến chúng
# thành NaN: ảnh đen. Hãy đưa float32 cho `decode`.
# %% role="wrong" name="vae_in_half"
patch("model.decode(x)", "model.decode(x.half())")

# %% [markdown] lang="en" role="mistake" name="roles_swapped"
# The roles are swapped in the guidance: it starts at the prompt and leads away from it, to what the negative prompt says. Start
# at the negative prompt's prediction, and mind which half of the batch is which.
# %% [markdown] lang="vi" of="6ac98ead"
# Vai trò trong phép dẫn hướng bị đổi chỗ: nó bắt đầu ở prompt rồi rời xa, đến điều mà prompt phủ định nói. Hãy bắt đầu từ dự
# đoán của prompt phủ định, và để ý nửa nào của lô là gì.
# %% role="wrong" name="roles_swapped"
patch("torch.lerp(away, towards, scale)", "torch.lerp(towards, away, scale)")

# %% [markdown] lang="en" role="mistake" name="guidance_in_half"
# Guidance is computed in half precision. It multiplies a small difference of two predictions by `scale`, and their rounding
# errors with it: make float32 of the predictions first.
# %% [markdown] lang="vi" of="e17446c4"
# Dẫn hướng được tính với độ chính xác một nửa. Nó nhân một hiệu nhỏ của hai dự đoán với `scale`, và nhân luôn cả sai số làm
# tròn: hãy đổi các dự đoán sang float32 trước.
# %% role="wrong" name="guidance_in_half"
patch("both.float().chunk(2)", "both.chunk(2)")

# %% [markdown] lang="en" role="mistake" name="negative_ignored"
# The negative prompt has no effect: an empty text is encoded in its place. Encode `negative`.
# %% [markdown] lang="vi" of="43e07c16"
# Prompt phủ định không có tác dụng: một văn bản rỗng bị mã hóa thay cho nó. Hãy mã hóa `negative`.
# %% role="wrong" name="negative_ignored"
patch("*[negative] * len(prompts)", '*[""] * len(prompts)')

# %% [markdown] lang="en" role="mistake" name="negative_once"
# The negative prompt is encoded once, for the first picture alone. There must be as many rows of context as of latents: repeat
# it for each prompt.
# %% [markdown] lang="vi" of="46d79e66"
# Prompt phủ định chỉ được mã hóa một lần, cho riêng bức đầu. Số hàng của ngữ cảnh phải bằng số hàng của latent: hãy lặp lại nó
# cho mỗi prompt.
# %% role="wrong" name="negative_once"
patch("*[negative] * len(prompts)", "negative")

# %% [markdown] lang="en" role="mistake" name="not_guided"
# `scale` has no effect: the prediction for the prompt is used as it is.
# %% [markdown] lang="vi" of="4f666ecd"
# `scale` không có tác dụng: dự đoán cho prompt được dùng nguyên như vậy.
# %% role="wrong" name="not_guided"
patch("torch.lerp(away, towards, scale)", "towards")

# %% [markdown] lang="en" role="mistake" name="scale_plus_one"
# Guidance is stronger by 1 than it should be: the difference was added to the prompt's prediction. In the paper (Ho and
# Salimans 2022) w = 0 is no guidance; here, as in Stable Diffusion, that is `scale` 1: away + scale (towards − away).
# %% [markdown] lang="vi" of="429f1b13"
# Dẫn hướng mạnh hơn 1 so với yêu cầu: hiệu bị cộng vào dự đoán của prompt. Trong bài báo (Ho và Salimans 2022), w = 0 là không
# dẫn hướng; ở đây, như trong Stable Diffusion, đó là `scale` bằng 1: away + scale (towards − away).
# %% role="wrong" name="scale_plus_one"
patch("torch.lerp(away, towards, scale)", "torch.lerp(away, towards, scale + 1)")

# %% [markdown] lang="en" role="mistake" name="away_from_the_prompt"
# The difference has the wrong sign: guidance starts at the negative prompt and leads still further away from the prompt. It is
# towards − away that is enlarged.
# %% [markdown] lang="vi" of="c06facda"
# Hiệu bị ngược dấu: dẫn hướng bắt đầu ở prompt phủ định rồi còn rời xa prompt hơn nữa. Thứ cần phóng đại là towards − away.
# %% role="wrong" name="away_from_the_prompt"
patch("torch.lerp(away, towards, scale)", "torch.lerp(away, towards, -scale)")

# %% [markdown] lang="en" role="mistake" name="network_in_float32"
# The network's weights are in half precision (`torch.float16`), and `x` or the context isn't: PyTorch refuses to multiply the
# two. Hand both over in `torch.float16`; nothing else is rounded.
# %% [markdown] lang="vi" of="5a5a830a"
# Trọng số của mạng ở độ chính xác một nửa (`torch.float16`), còn `x` hoặc ngữ cảnh thì không: PyTorch từ chối nhân hai thứ với
# nhau. Hãy đưa cả hai vào ở `torch.float16`; ngoài ra không làm tròn gì khác.
# %% role="wrong" name="network_in_float32"
patch("torch.cat([x, x]).half()", "torch.cat([x, x])")

# %% [markdown] lang="en" role="mistake" name="timestep_in_half"
# The timestep was rounded to half precision, too: above 512 only halves are left of its fractions. It is a time and not
# something to save memory with; leave it float32.
# %% [markdown] lang="vi" of="3623ccfc"
# Bước thời gian cũng bị làm tròn về độ chính xác một nửa: trên 512, phần lẻ của nó chỉ còn các mức 0,5. Nó là thời điểm, không
# phải thứ để tiết kiệm bộ nhớ; hãy để nguyên float32.
# %% role="wrong" name="timestep_in_half"
patch("model.schedule.timestep(t).float()", "model.schedule.timestep(t).half()")

# %% [markdown] lang="en" role="mistake" name="time_in_0_to_1"
# The network got t, from 0 to 1, and takes it for almost no noise: `model.schedule.timestep(t)`.
# %% [markdown] lang="vi" of="8f895ddf"
# Mạng nhận t, từ 0 đến 1, nên tưởng rằng gần như không có nhiễu: `model.schedule.timestep(t)`.
# %% role="wrong" name="time_in_0_to_1"
patch("model.schedule.timestep(t).float()", "t.float()")

# %% [markdown] lang="en" role="mistake" name="times_1000"
# 1000 t is right for some noise schedules alone: a table of betas counts otherwise. Ask `model.schedule.timestep(t)`.
# %% [markdown] lang="vi" of="0977b863"
# 1000 t chỉ đúng với một số lịch nhiễu: một bảng beta đếm khác. Hãy hỏi `model.schedule.timestep(t)`.
# %% role="wrong" name="times_1000"
patch("model.schedule.timestep(t).float()", "(1000 * t).float()")

# %% [markdown] lang="en" role="mistake" name="always_v"
# It works only for a network that predicts v. Stable Diffusion 1.5 predicts the noise: use `model.prediction_type`.
# %% [markdown] lang="vi" of="fc3eb15e"
# Hàm chỉ đúng với mạng dự đoán v. Stable Diffusion 1.5 dự đoán nhiễu: hãy dùng `model.prediction_type`.
# %% role="wrong" name="always_v"
patch("model.prediction_type", '"v"')

# %% [markdown] lang="en" role="mistake" name="own_noise"
# Noise was drawn anew, so the same seed gives another picture each time. Start from `noise`.
# %% [markdown] lang="vi" of="e5ffabdd"
# Nhiễu bị sinh mới, nên cùng một seed mỗi lần lại cho ảnh khác. Hãy xuất phát từ `noise`.
# %% role="wrong" name="own_noise"
patch("x = noise  ", "x = torch.randn_like(noise)  ")

# %% [markdown] lang="en" role="mistake" name="not_decoded"
# Latents came back, not pictures: decode them.
# %% [markdown] lang="vi" of="6e440a36"
# Hàm trả về latent chứ không phải ảnh: hãy giải mã chúng.
# %% role="wrong" name="not_decoded"
patch("return model.decode(x)  ", "return x  ")

# %% [markdown] lang="en" role="mistake" name="divided_by_0_18215"
# The latents were divided by 0.18215 before decoding. `model.decode` takes them as the network sees them and does that itself.
# %% [markdown] lang="vi" of="e3baa70c"
# Latent bị chia cho 0.18215 trước khi giải mã. `model.decode` nhận latent như mạng nhìn thấy và tự làm việc đó.
# %% role="wrong" name="divided_by_0_18215"
patch("model.decode(x)", "model.decode(x / 0.18215)")

# %% [markdown] lang="en" role="mistake" name="nan_hidden"
# NaN was replaced by a number. The picture is no longer NaN, but it shows nothing either: decode in float32, where there is
# none.
# %% [markdown] lang="vi" of="12d4e733"
# NaN bị thay bằng một con số. Ảnh không còn NaN nhưng cũng chẳng cho thấy gì: hãy giải mã bằng float32, ở đó không có NaN.
# %% role="wrong" name="nan_hidden"
patch("model.decode(x)", "model.decode(x.half()).float().nan_to_num(0)")

# %% role="library"
import torch

from minidiff.diffusion.guidance import cfg
from minidiff.diffusion.prediction import denoiser
from minidiff.diffusion.samplers import run


def guided_sample(model, noise, prompts, negative, scale, steps):
    """`cfg` guides x0 and eps, which are float32; the two contexts are encoded apart."""
    both = [model.encode(prompts), model.encode([negative for _ in prompts])]

    def predict(x, timestep):
        halves = zip(x.half().split(len(prompts)), timestep.split(len(prompts)), both, strict=False)
        return torch.cat([model.network(part, when, *words).float() for part, when, words in halves])

    pair = denoiser(predict, model.schedule, model.prediction_type)
    *_, last = run("ddim", cfg(pair, scale), noise, model.schedule, steps)
    return model.decode(last.x)

# %% role="payoff"
def draw(guided_sample: Callable) -> Tensor:
    return drawn(guided_sample)                                 # (3, 3, 128, 128)


payoff(draw, guided_sample, tolerance=0.05)                     # roundings differ
