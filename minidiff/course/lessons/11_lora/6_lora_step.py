"""Exercise 11.6, lora_step: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="4" minutes="20"
# ## Debugging: the file does not draw what the model learnt
#
# `lora_step` is one step of training. The model has `LoRALinear`s inside, put in by `inject`, and predicts v. The step returns
# the loss, the mean squared error of that prediction, and the updates (down, up, alpha) of the LoRA layers, in the order of
# `modules()`: the layers' own weights, not copies. They are what `merge` takes and a file keeps. The caller then lets every
# weight learn that got a gradient.
#
# The cell below goes on training a style for six steps with somebody's `broken_step`, and with your `inject` and `merge`. The
# first picture is drawn by the model that has learnt, the second by a fresh model with the updates merged in. They should be
# equal, and in neon. **Three things** are wrong in the step. While you mend them one by one, the symptom changes before it goes
# away; `check` tells you what is left. The last cell trains with your step.
# %% [markdown] lang="vi" of="1b580bb3"
# ## Gỡ lỗi: tệp không vẽ được những gì mô hình đã học
#
# `lora_step` là một bước huấn luyện. Trong mô hình có các `LoRALinear` do `inject` đặt vào, và nó dự đoán v. Bước này trả về
# giá trị của hàm mất mát, tức trung bình bình phương sai số của dự đoán ấy, và các phần cập nhật (down, up, alpha) của các lớp
# LoRA, theo thứ tự của `modules()`: chính các trọng số của lớp, không phải bản sao. Đó là thứ `merge` nhận vào và tệp giữ lại.
# Sau đó nơi gọi cho mọi trọng số có gradient học.
#
# Ô dưới đây huấn luyện tiếp một phong cách thêm sáu bước bằng `broken_step` của ai đó, cùng `inject` và `merge` của bạn. Bức
# đầu do mô hình đã học vẽ, bức sau do một mô hình mới được gộp các phần cập nhật vẽ. Chúng phải giống nhau, và theo phong cách
# neon. Trong bước này có **ba lỗi**. Sửa được một lỗi thì triệu chứng đổi chứ chưa hết; `check` cho biết còn gì. Ô cuối cùng
# huấn luyện bằng hàm của bạn.

# %% role="shown"
def broken_step(
    model: nn.Module, x0: Tensor, noise: Tensor, t: Tensor,
    schedule: NoiseSchedule, context: Tensor, mask: Tensor,
) -> tuple[Tensor, list[tuple[Tensor, Tensor, float]]]:
    model.requires_grad_(True)                              # it is going to learn
    updates = [
        (layer.down.weight, layer.up.weight, len(layer.down.weight))
        for layer in model.modules() if hasattr(layer, "down")
    ]
    x = schedule.mix(x0, noise, t)                          # (B, C, H, W)
    prediction = model(x, schedule.timestep(t), context, mask)
    return F.mse_loss(prediction, noise), updates


def trained(step: Callable) -> Tensor:
    """Six more steps of neon. The same sentence by the network that learnt, and by a
    fresh one with the updates of the last step merged in: (2, 3, 128, 128)."""
    network, style = deepcopy(pipe.network), neon.items()
    rank, alpha = next((f.rank, f.alpha) for _, f in style)
    # alpha four times as large, the ups a quarter: the same style, and alpha matters
    names = inject(network, list(neon), rank, 4 * alpha)
    copy_in(network, {n: Factors(f.down, f.up / 4, 4 * f.alpha) for n, f in style})
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    x0, context, mask = neon_scenes(4)
    schedule, dice = pipe.scheduler.schedule, torch.Generator().manual_seed(0)
    for _ in range(6):
        t, noise = torch.rand(4, generator=dice), torch.randn(x0.shape, generator=dice)
        loss, updates = step(network, x0, noise, t, schedule, context, mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    fresh = deepcopy(pipe.network)
    for name, update in zip(names, updates, strict=True):
        layer = fresh.get_submodule(name)
        layer.weight.data = merge(layer.weight.data, [update], [1.0]).data
    return torch.cat([pictures(network, prompts[0]), pictures(fresh, prompts[0])])


show(trained(broken_step), titles=["the model", "its updates, merged"])

# %% [markdown] lang="en" role="hints"
# Which weights get a gradient? After `loss.backward()`, print the names of those whose `.grad` is not None: only factors should
# be among them.
# ---
# The model predicts v: how is v made of noise and x0? And what does `merge` do with the third number of each update, which a
# `LoRALinear` keeps?
# ---
# No `requires_grad_(True)`: `inject` has frozen what must be frozen. `layer.alpha` as the third number. The target is
# `target(schedule, "v", x0, noise, t)`.
# %% [markdown] lang="vi" of="43517247"
# Những trọng số nào nhận gradient? Sau `loss.backward()`, hãy in tên những cái có `.grad` khác None: trong đó chỉ nên có các
# thừa số.
# ---
# Mô hình dự đoán v: v được tạo từ nhiễu và x0 như thế nào? Và `merge` làm gì với số thứ ba của mỗi phần cập nhật, số mà
# `LoRALinear` giữ?
# ---
# Không có `requires_grad_(True)`: `inject` đã đóng băng những gì phải đóng băng. Số thứ ba là `layer.alpha`. Mục tiêu là
# `target(schedule, "v", x0, noise, t)`.

# %% [markdown] lang="en" role="stub" given="as_given"
# One step's loss, and the updates that learn in it. x0, noise (B, C, H, W); t (B,)
# from 0 to 1; context (B, L, D) and mask (B, L) of the captions. The model, called
# as model(x, timestep, context, mask), predicts v; LoRALinears in it learn, and
# nothing else. Returns the loss () and (down, up, alpha) of each of these layers.
# ---
# 1. mend the three mistakes above and below
# 2. delete the next line
# %% [markdown] lang="vi" of="c7a8247e"
# Giá trị của hàm mất mát ở một bước, và các phần cập nhật. x0, noise (B, C, H, W);
# t (B,) từ 0 đến 1; context (B, L, D) và mask (B, L) của câu mô tả. Mô hình, gọi
# bằng model(x, bước thời gian, context, mask), dự đoán v; chỉ các LoRALinear trong
# đó được học. Trả về giá trị mất mát () và (down, up, alpha) của mỗi lớp ấy.
# ---
# 1. sửa ba lỗi ở trên và ở dưới
# 2. xóa dòng tiếp theo

# %% role="solution"
def lora_step(
    model: nn.Module, x0: Tensor, noise: Tensor, t: Tensor,
    schedule: NoiseSchedule, context: Tensor, mask: Tensor,
) -> tuple[Tensor, list[tuple[Tensor, Tensor, float]]]:
    updates = [
        (layer.down.weight, layer.up.weight, layer.alpha)
        for layer in model.modules() if hasattr(layer, "down")
    ]
    x = schedule.mix(x0, noise, t)                          # (B, C, H, W)
    prediction = model(x, schedule.timestep(t), context, mask)
    return F.mse_loss(prediction, target(schedule, "v", x0, noise, t)), updates

# %% [markdown] lang="en" role="checks"
# - a loss of one number, and two updates of the layers' sizes, one from inside a block
# - the loss with the cosine schedule
# - the loss with a table of betas, whose timesteps are not 1000 t
# - one picture; what stands in the padding counts for nothing
# - which weights get a gradient: the factors alone
# - the gradients of the factors
# - the updates: alpha, and the layers' own weights
# - merged into a fresh model, the updates give what the model gives
# - no weight changes: learning is the caller's business
# %% [markdown] lang="vi" of="843fcd7a"
# - giá trị của hàm mất mát là một con số, và hai phần cập nhật có kích thước của các lớp, một phần từ bên trong một khối
# - giá trị mất mát với lịch cosine
# - giá trị mất mát với một bảng beta, có bước thời gian không phải 1000 t
# - một bức ảnh; nội dung của phần đệm không có tác dụng gì
# - những trọng số nhận gradient: chỉ các thừa số
# - gradient của các thừa số
# - các phần cập nhật: alpha, và chính các trọng số của lớp
# - gộp vào một mô hình mới, các phần cập nhật cho đúng kết quả của mô hình
# - không trọng số nào thay đổi: việc học là của nơi gọi

# %% role="probes"
import inspect

import torch
from torch import nn

from minidiff.diffusion.schedules import get_schedule


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class LoRALayer(nn.Module):
    """A layer as exercise 11.2 makes it, where the answer knows none."""

    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.alpha = base.requires_grad_(False), alpha
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)

    def forward(self, x):
        return self.base(x) + self.alpha / self.down.out_features * self.up(self.down(x))


def kind_of_layer(f):
    """The `LoRALinear` that the answer means."""
    answer = inspect.unwrap(f)
    return getattr(getattr(answer, "func", answer), "__globals__", {}).get("LoRALinear", LoRALayer)


class Network(nn.Module):
    """Reads a picture pixel by pixel, a timestep and a caption, where padding counts for nothing."""

    def __init__(self):
        super().__init__()
        self.first, self.caption = nn.Linear(3, 6), nn.Linear(5, 6)
        self.blocks = nn.ModuleDict({"last": nn.Linear(6, 3)})

    def forward(self, x, timestep, context, mask=None):
        mask = torch.ones(context.shape[:2], dtype=torch.bool) if mask is None else mask
        if timestep.shape != x.shape[:1]:
            raise ValueError(f"There are timesteps of shape {tuple(timestep.shape)} for {len(x)} pictures; give one each.")
        said = torch.where(mask[..., None], context, 0).sum(1) / mask.sum(1, keepdim=True)      # (B, 5)
        extra = self.caption(said) + (timestep / 1000).sin()[:, None].to(x)                     # (B, 6)
        return self.blocks["last"](torch.tanh(self.first(x.movedim(1, -1)) + extra[:, None, None])).movedim(-1, 1)


SEEDS = {"weight": 0, "bias": 1, "base.weight": 0, "base.bias": 1, "down.weight": 2, "up.weight": 3}


@torch.no_grad()
def fill(network):
    """In float64, with weights that depend on their names alone, whether there are LoRA layers or not."""
    for name, weight in network.double().named_parameters():
        layer, _, end = name.removeprefix("blocks.").partition(".")
        seed = 10 * ["first", "caption", "last"].index(layer) + SEEDS[end]
        weight.copy_(0.5 * normal(*weight.shape, seed=seed))
    return network


def with_layers(f):
    """The network as `inject` leaves it: frozen, but for the factors of two layers, one of them inside a block."""
    network, kind = Network().requires_grad_(False), kind_of_layer(f)
    network.first, network.blocks["last"] = kind(network.first, 2, 6.0), kind(network.blocks["last"], 3, 2)
    return fill(network)


def two_layers(network):
    return network.first, network.blocks["last"]


def stepped(f, schedule, **inputs):
    network = with_layers(f)
    return network, *f(network, schedule=get_schedule(schedule), **inputs)


def shapes(f, **inputs):
    _, loss, updates = stepped(f, "cosine", **inputs)
    return [list(loss.shape), [[list(down.shape), list(up.shape)] for down, up, _ in updates]]


def loss_alone(f, schedule, **inputs):
    return float(torch.as_tensor(stepped(f, schedule, **inputs)[1]).detach())


def other_padding(f, context, mask, **inputs):
    other = torch.where(mask[..., None], context, context + 100)
    return [loss_alone(f, "cosine", context=words, mask=mask, **inputs) for words in (context, other)]


def learners(f, **inputs):
    network, loss, _ = stepped(f, "cosine", **inputs)
    if loss.requires_grad:
        loss.backward()
    weights = sorted(network.named_parameters())
    found = {"may learn": [name for name, weight in weights if weight.requires_grad]}
    return found | {"get a gradient": [name for name, weight in weights if weight.grad is not None]}


def gradients(f, **inputs):
    network, loss, _ = stepped(f, "cosine", **inputs)
    loss.backward()
    parts = {f"{name}.{part}": getattr(layer, part) for name, layer in zip(("first", "last"), two_layers(network), strict=True)
             for part in ("down", "up")}  # fmt: skip
    return {f"gradient of {name}": part.weight.grad for name, part in parts.items()}


def kept(f, **inputs):
    network, _, updates = stepped(f, "cosine", **inputs)
    pairs = list(zip(two_layers(network), updates, strict=True))
    own = [one.data_ptr() == part.weight.data_ptr() for layer, update in pairs
           for one, part in zip(update, (layer.down, layer.up))]  # fmt: skip
    return {"alphas": [float(alpha) for _, _, alpha in updates], "the layers' own weights": own}


@torch.no_grad()
def in_a_fresh_model(f, x0, noise, t, context, mask):
    _, _, updates = stepped(f, "cosine", x0=x0, noise=noise, t=t, context=context, mask=mask)
    fresh = fill(Network())
    for layer, (down, up, alpha) in zip(two_layers(fresh), updates, strict=True):
        layer.weight += alpha / len(down) * up @ down
    return fresh(x0, 1000 * t, context, mask)


def weights_stay(f, **inputs):
    network = with_layers(f)
    before = [weight.clone() for weight in network.parameters()]
    f(network, schedule=get_schedule("cosine"), **inputs)
    return all(map(torch.equal, before, network.parameters()))


GIVEN = {"x0": normal(2, 3, 4, 6, seed=101), "noise": normal(2, 3, 4, 6, seed=102)}
GIVEN |= {"t": torch.tensor([0.2, 0.7], dtype=torch.float64), "context": normal(2, 4, 5, seed=103)}
GIVEN |= {"mask": torch.arange(4) < torch.tensor([[4], [2]])}
ONE = {name: value[1:] for name, value in GIVEN.items()}

probe(shapes, **GIVEN)
probe(loss_alone, schedule="cosine", **GIVEN)
probe(loss_alone, schedule="linear", **GIVEN)
probe(other_padding, **ONE)
probe(learners, **GIVEN)
probe(gradients, **GIVEN)
probe(kept, **GIVEN)
probe(in_a_fresh_model, **GIVEN)
probe(weights_stay, **GIVEN)

# %% [markdown] lang="en" role="mistake" name="as_given"
# The target is wrong, so the loss is: this model predicts v, and it is compared with the noise. Begin there. And two more
# things are wrong, as in the step that was given: what learns, and what the updates say.
# %% [markdown] lang="vi" of="c719f04f"
# Mục tiêu sai nên giá trị của hàm mất mát cũng sai: mô hình này dự đoán v mà lại bị so với nhiễu. Hãy bắt đầu từ đó. Và còn hai
# chỗ sai nữa, như trong bước được đưa: cái gì được học, và các phần cập nhật nói gì.
# %% role="wrong" name="as_given"
def lora_step(
    model: nn.Module, x0: Tensor, noise: Tensor, t: Tensor,
    schedule: NoiseSchedule, context: Tensor, mask: Tensor,
) -> tuple[Tensor, list[tuple[Tensor, Tensor, float]]]:
    model.requires_grad_(True)                              # it is going to learn
    updates = [
        (layer.down.weight, layer.up.weight, len(layer.down.weight))
        for layer in model.modules() if hasattr(layer, "down")
    ]
    x = schedule.mix(x0, noise, t)                          # (B, C, H, W)
    prediction = model(x, schedule.timestep(t), context, mask)
    return F.mse_loss(prediction, noise), updates

# %% [markdown] lang="en" role="mistake" name="base_and_alpha"
# The target is right now. Two things remain: more than the factors gets gradients, and the updates carry the wrong alpha.
# %% [markdown] lang="vi" of="ac444dde"
# Mục tiêu giờ đã đúng. Còn hai chỗ: không chỉ các thừa số nhận gradient, và các phần cập nhật mang sai alpha.
# %% role="wrong" name="base_and_alpha"
patch("    updates = [\n", "    model.requires_grad_(True)\n    updates = [\n")
patch("layer.alpha", "len(layer.down.weight)")

# %% [markdown] lang="en" role="mistake" name="base_and_target"
# The updates say the right alpha now. Two things remain: more than the factors gets gradients, and the prediction of v is
# compared with the noise.
# %% [markdown] lang="vi" of="b24f1c92"
# Các phần cập nhật giờ đã mang đúng alpha. Còn hai chỗ: không chỉ các thừa số nhận gradient, và dự đoán của v bị so với nhiễu.
# %% role="wrong" name="base_and_target"
patch("    updates = [\n", "    model.requires_grad_(True)\n    updates = [\n")
patch('target(schedule, "v", x0, noise, t)', "noise")

# %% [markdown] lang="en" role="mistake" name="alpha_and_target"
# Only the factors learn now. Two things remain: the updates carry the wrong alpha, and the prediction of v is compared with the
# noise.
# %% [markdown] lang="vi" of="4c3c0b30"
# Giờ chỉ các thừa số được học. Còn hai chỗ: các phần cập nhật mang sai alpha, và dự đoán của v bị so với nhiễu.
# %% role="wrong" name="alpha_and_target"
patch("layer.alpha", "len(layer.down.weight)")
patch('target(schedule, "v", x0, noise, t)', "noise")

# %% [markdown] lang="en" role="mistake" name="base_not_frozen"
# The frozen weights get gradients again, so the caller lets them learn, too. What they learn is in no file: a fresh model with
# the updates draws something else, the style can't be taken out, and training needs memory for every weight. Leave what
# `inject` has frozen.
# %% [markdown] lang="vi" of="4dbe2e0f"
# Các trọng số đóng băng lại nhận gradient, nên nơi gọi cho cả chúng học. Điều chúng học không nằm trong tệp nào: mô hình mới
# với các phần cập nhật vẽ ra thứ khác, không gỡ phong cách ra được, và việc huấn luyện tốn bộ nhớ cho mọi trọng số. Hãy để
# nguyên những gì `inject` đã đóng băng.
# %% role="wrong" name="base_not_frozen"
patch("    updates = [\n", "    model.requires_grad_(True)\n    updates = [\n")

# %% [markdown] lang="en" role="mistake" name="alpha_lost"
# The updates say alpha = rank, so whoever merges them multiplies by 1, while the layers multiply by alpha / rank: the file
# draws at another strength than the model. The third number is `layer.alpha`.
# %% [markdown] lang="vi" of="1b3e7c74"
# Các phần cập nhật ghi alpha = hạng, nên ai gộp chúng sẽ nhân với 1, trong khi các lớp nhân với alpha / hạng: tệp vẽ với độ
# mạnh khác với mô hình. Số thứ ba là `layer.alpha`.
# %% role="wrong" name="alpha_lost"
patch("layer.alpha", "len(layer.down.weight)")

# %% [markdown] lang="en" role="mistake" name="noise_for_v"
# The prediction is compared with the noise, but this model predicts v = alpha · noise − sigma · x0, with the shares of the
# noise schedule. The factors learn to turn a good model into a bad one of another kind.
# %% [markdown] lang="vi" of="7ba3c5bd"
# Dự đoán bị so với nhiễu, nhưng mô hình này dự đoán v = alpha · noise − sigma · x0, với các tỉ lệ của lịch nhiễu.
# Các thừa số học cách biến một mô hình tốt thành một mô hình tồi thuộc loại khác.
# %% role="wrong" name="noise_for_v"
patch('target(schedule, "v", x0, noise, t)', "noise")

# %% [markdown] lang="en" role="mistake" name="x0_for_v"
# The prediction is compared with x0. This model predicts v = alpha · noise − sigma · x0.
# %% [markdown] lang="vi" of="ad32b450"
# Dự đoán bị so với x0. Mô hình này dự đoán v = alpha · noise − sigma · x0.
# %% role="wrong" name="x0_for_v"
patch('target(schedule, "v", x0, noise, t)', "x0")

# %% [markdown] lang="en" role="mistake" name="shares_swapped"
# The shares are swapped in v: it is alpha · noise − sigma · x0. Noise gets the share that x0 has in x, and x0 that of the
# noise, with a minus.
# %% [markdown] lang="vi" of="5f275751"
# Các tỉ lệ trong v bị đổi chỗ: v là alpha · noise − sigma · x0. Nhiễu nhận tỉ lệ của x0 trong x, còn x0 nhận tỉ lệ của nhiễu,
# với dấu trừ.
# %% role="wrong" name="shares_swapped"
patch('target(schedule, "v", x0, noise, t)', 'schedule.mix(-x0, noise, t)')

# %% [markdown] lang="en" role="mistake" name="v_of_the_noisy"
# v was made of x, which holds noise already. It is made of the clean x0 and the noise.
# %% [markdown] lang="vi" of="b78026f5"
# v bị tính từ x, vốn đã có nhiễu. Nó được tính từ x0 sạch và nhiễu.
# %% role="wrong" name="v_of_the_noisy"
patch('"v", x0, noise', '"v", x, noise')

# %% [markdown] lang="en" role="mistake" name="sign_of_v"
# v has the wrong sign: it is alpha · noise − sigma · x0, not the other way round.
# %% [markdown] lang="vi" of="9a9a7f4d"
# v bị ngược dấu: nó là alpha · noise − sigma · x0, không phải ngược lại.
# %% role="wrong" name="sign_of_v"
patch('target(schedule, "v"', '-target(schedule, "v"')

# %% [markdown] lang="en" role="mistake" name="flow_for_v"
# The target is noise − x0, that of flow matching. v weighs the two: alpha · noise − sigma · x0.
# %% [markdown] lang="vi" of="d45ea7b1"
# Mục tiêu là noise − x0, của flow matching. v có tỉ lệ cho từng thứ: alpha · noise − sigma · x0.
# %% role="wrong" name="flow_for_v"
patch('schedule, "v"', 'schedule, "flow"')

# %% [markdown] lang="en" role="mistake" name="all_frozen"
# Everything is frozen now, the factors as well, so nothing can learn. `inject` has frozen what must be frozen: touch no
# `requires_grad` here.
# %% [markdown] lang="vi" of="50ac8f17"
# Giờ mọi thứ đều bị đóng băng, cả các thừa số, nên không gì học được. `inject` đã đóng băng những gì phải đóng băng: đừng động
# đến `requires_grad` ở đây.
# %% role="wrong" name="all_frozen"
patch("    updates = [\n", "    model.requires_grad_(False)\n    updates = [\n")

# %% [markdown] lang="en" role="mistake" name="alpha_divided"
# The updates carry alpha / rank in place of alpha. `merge` divides by the rank itself, so it is divided twice: hand on
# `layer.alpha`.
# %% [markdown] lang="vi" of="a096a864"
# Các phần cập nhật mang alpha / hạng thay cho alpha. `merge` tự chia cho hạng, nên phép chia xảy ra hai lần: hãy chuyển nguyên
# `layer.alpha`.
# %% role="wrong" name="alpha_divided"
patch("layer.alpha", "layer.alpha / len(layer.down.weight)")

# %% [markdown] lang="en" role="mistake" name="copies"
# The updates hold copies of the weights, made before the optimizer's step, so what is kept is always one step behind what the
# model has learnt. Hand on the layers' own weights.
# %% [markdown] lang="vi" of="157b450b"
# Các phần cập nhật chứa bản sao của trọng số, làm trước bước của optimizer, nên thứ được giữ luôn chậm một bước so với điều mô
# hình đã học. Hãy trả về chính các trọng số của lớp.
# %% role="wrong" name="copies"
patch("(layer.down.weight, layer.up.weight, ", "(layer.down.weight.detach().clone(), layer.up.weight.detach().clone(), ")

# %% [markdown] lang="en" role="mistake" name="time_in_0_to_1"
# The model got t, from 0 to 1. It learnt with timesteps up to 1000, and takes these for almost no noise:
# `schedule.timestep(t)`.
# %% [markdown] lang="vi" of="de33dc51"
# Mô hình nhận t, từ 0 đến 1. Nó được học với bước thời gian đến 1000, nên tưởng rằng gần như không có nhiễu:
# `schedule.timestep(t)`.
# %% role="wrong" name="time_in_0_to_1"
patch("schedule.timestep(t)", "t")

# %% [markdown] lang="en" role="mistake" name="times_1000"
# 1000 t is right for some noise schedules alone: a table of betas counts otherwise. Let `schedule.timestep(t)` say it.
# %% [markdown] lang="vi" of="6db8d7af"
# 1000 t chỉ đúng với một số lịch nhiễu: một bảng beta đếm khác. Hãy để `schedule.timestep(t)` trả lời.
# %% role="wrong" name="times_1000"
patch("schedule.timestep(t)", "1000 * t")

# %% [markdown] lang="en" role="mistake" name="clean"
# The model got the clean x0. It must see what it will see in sampling, x0 with noise: x.
# %% [markdown] lang="vi" of="11dc7f1f"
# Mô hình nhận x0 sạch. Nó phải thấy thứ nó sẽ gặp khi lấy mẫu, x0 có nhiễu: x.
# %% role="wrong" name="clean"
patch("model(x, ", "model(x0, ")

# %% [markdown] lang="en" role="mistake" name="own_noise"
# Noise was drawn anew, so the step cannot be repeated, and with two draws the target isn't that of x. Use the one that is
# given.
# %% [markdown] lang="vi" of="0da21cce"
# Nhiễu bị sinh mới, nên không lặp lại được bước này, và nếu sinh hai lần thì mục tiêu không còn ứng với x. Hãy dùng nhiễu đã
# cho.
# %% role="wrong" name="own_noise"
patch("    updates = [\n", "    noise = torch.randn_like(noise)\n    updates = [\n")

# %% [markdown] lang="en" role="mistake" name="mask_dropped"
# The model got no mask, so it reads the padding as words. Training would then teach the style to captions of one length only.
# %% [markdown] lang="vi" of="402a268a"
# Mô hình không nhận mask, nên nó đọc phần đệm như thể đó là lời. Khi ấy việc huấn luyện chỉ dạy phong cách cho các câu mô tả
# cùng một độ dài.
# %% role="wrong" name="mask_dropped"
patch("context, mask)\n", "context, None)\n")

# %% [markdown] lang="en" role="mistake" name="summed"
# The squared errors were added up. Their mean is the loss, which doesn't grow with the batch or the picture.
# %% [markdown] lang="vi" of="961f2beb"
# Các bình phương sai số bị cộng lại. Hàm mất mát là trung bình của chúng, không tăng theo lô hay cỡ ảnh.
# %% role="wrong" name="summed"
patch("noise, t)), updates", 'noise, t), reduction="sum"), updates')

# %% [markdown] lang="en" role="mistake" name="absolute"
# The errors were taken without their signs, not squared. The best answer to that loss is a median, and diffusion needs the
# mean.
# %% [markdown] lang="vi" of="c6fc204e"
# Sai số được lấy trị tuyệt đối chứ không bình phương. Câu trả lời tốt nhất cho hàm mất mát ấy là trung vị, còn mô hình khuếch
# tán cần trung bình.
# %% role="wrong" name="absolute"
patch("F.mse_loss", "F.l1_loss")

# %% [markdown] lang="en" role="mistake" name="no_gradient"
# No gradient comes out of the loss: it was detached, or computed under `torch.no_grad()`. Nothing can learn from it.
# %% [markdown] lang="vi" of="911c6930"
# Không có gradient nào ra khỏi hàm mất mát: nó bị detach, hoặc được tính trong `torch.no_grad()`. Không gì học được từ nó.
# %% role="wrong" name="no_gradient"
patch("context, mask)\n", "context, mask).detach()\n")

# %% [markdown] lang="en" role="mistake" name="backward_inside"
# `backward()` was called inside. The caller does it, and a second time it stops. (With accumulation it would even count twice.)
# %% [markdown] lang="vi" of="8e9a6b7e"
# `backward()` bị gọi ngay bên trong. Nơi gọi sẽ làm việc đó, và lần thứ hai thì nó dừng. (Nếu tích lũy gradient, nó còn bị tính
# hai lần.)
# %% role="wrong" name="backward_inside"
patch('    return F.mse_loss(prediction, target(schedule, "v", x0, noise, t)), updates',
      '    loss = F.mse_loss(prediction, target(schedule, "v", x0, noise, t))\n    loss.backward()\n    return loss, updates')

# %% [markdown] lang="en" role="mistake" name="children_alone"
# Only the model's own children were searched. LoRA layers lie deeper, in attention inside blocks, and `modules()` finds them
# all.
# %% [markdown] lang="vi" of="a66a6aac"
# Chỉ các module con trực tiếp của mô hình được tìm. Các lớp LoRA nằm sâu hơn, trong phần chú ý bên trong các khối, và
# `modules()` tìm được hết.
# %% role="wrong" name="children_alone"
patch("model.modules()", "model.children()")

# %% [markdown] lang="en" role="mistake" name="alpha_of_the_first"
# All updates carry the alpha of the first layer. Each layer has its own, and one model may hold several.
# %% [markdown] lang="vi" of="c76cc2da"
# Mọi phần cập nhật mang alpha của lớp đầu tiên. Mỗi lớp có alpha riêng, và trong một mô hình có thể có nhiều giá trị.
# %% role="wrong" name="alpha_of_the_first"
patch("layer.alpha", 'next(part.alpha for part in model.modules() if hasattr(part, "down"))')

# %% [markdown] lang="en" role="mistake" name="bases_alone_frozen"
# Everything was allowed to learn, and then only the bases of the LoRA layers were frozen: all other layers still learn. Leave
# what `inject` has frozen.
# %% [markdown] lang="vi" of="145668b8"
# Mọi thứ được cho học, rồi chỉ lớp gốc của các lớp LoRA bị đóng băng: mọi lớp khác vẫn học. Hãy để nguyên những gì `inject` đã
# đóng băng.
# %% role="wrong" name="bases_alone_frozen"
patch("    updates = [\n", """    model.requires_grad_(True)
    for layer in model.modules():
        if hasattr(layer, "down"):
            layer.base.requires_grad_(False)
    updates = [
""")

# %% [markdown] lang="en" role="mistake" name="loss_alone"
# Only the loss came back. The caller also needs the updates: what learns is what the file must keep.
# %% [markdown] lang="vi" of="ea2776c8"
# Chỉ giá trị của hàm mất mát được trả về. Nơi gọi còn cần các phần cập nhật: thứ được học chính là thứ tệp phải giữ.
# %% role="wrong" name="loss_alone"
patch("noise, t)), updates", "noise, t))")

# %% role="library"
from minidiff.diffusion.losses import example_losses


def lora_step(model, x0, noise, t, schedule, context, mask):
    """The library's loss, and layers found by what they have."""
    said = model(schedule.mix(x0, noise, t), schedule.timestep(t), context, mask)
    layers = [module for _, module in model.named_modules() if hasattr(module, "down") and hasattr(module, "up")]
    kept = [(layer.down.weight, layer.up.weight, layer.alpha) for layer in layers]
    return example_losses(said, x0, noise, t, schedule, "v").mean(), kept

# %% role="payoff"
def draw(lora_step: Callable) -> Tensor:
    return trained(lora_step)                                   # (2, 3, 128, 128)


payoff(draw, lora_step, tolerance=0.05)                         # rounding errors grow
