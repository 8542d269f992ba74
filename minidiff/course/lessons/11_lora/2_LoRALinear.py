"""Exercise 11.2, LoRALinear: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="2" minutes="15"
# ## A layer that learns by LoRA
#
# **Write a module.** It takes the place of a linear layer, `base`, and computes
#
# $$y = \text{base}(x) + \frac{\alpha}{r}\;\text{up}(\text{down}(x))$$
#
# `self.base` is the very layer that was given, frozen. `self.down` and `self.up` are `nn.Linear` without bias, from in to r
# numbers and from r to out, in the dtype of base's weight. `down` starts with small random numbers, such as `nn.Linear` draws
# by itself, and `up` with zeros, so that a fresh layer gives exactly what base gives. Keep `alpha` as `self.alpha`: a file
# needs it beside the factors.
#
# The cell at the end puts your layers into `world-dit`, with the factors of a style, at a strength of 0, of one half and of 1.
# %% [markdown] lang="vi" of="f446c290"
# ## Một lớp học bằng LoRA
#
# **Viết một module.** Nó thay chỗ một lớp tuyến tính, `base` (lớp gốc), và tính
#
# $$y = \text{base}(x) + \frac{\alpha}{r}\;\text{up}(\text{down}(x))$$
#
# `self.base` chính là lớp được truyền vào, đã đóng băng. `self.down` và `self.up` là `nn.Linear` không có bias, từ in số xuống
# r số và từ r số lên out số, cùng kiểu số với trọng số của base. `down` bắt đầu bằng những số ngẫu nhiên nhỏ, chẳng hạn những
# số mà `nn.Linear` tự sinh, còn `up` bắt đầu toàn số 0, nhờ vậy lớp mới tạo cho đúng kết quả của base. Hãy giữ `alpha` trong
# `self.alpha`: tệp cần có nó bên cạnh các thừa số.
#
# Ô ở cuối đặt các lớp của bạn vào `world-dit`, với các thừa số của một phong cách, ở độ mạnh 0, một nửa và 1.

# %% [markdown] lang="en" role="hints"
# Which of the three layers may learn? Write the two sizes of each `nn.Linear` beside it: in, r, out.
# ---
# `base.requires_grad_(False)` freezes it. `nn.init.zeros_` fills a weight with zeros. At the end of `__init__`,
# `self.to(device, dtype)` brings everything to base's device and dtype.
# ---
# forward: `self.base(x) + self.alpha / rank * self.up(self.down(x))`; the rank is `self.down.out_features`.
# %% [markdown] lang="vi" of="4dfbe639"
# Trong ba lớp, lớp nào được phép học? Hãy viết hai kích thước của mỗi `nn.Linear` ngay bên cạnh: in, r, out.
# ---
# `base.requires_grad_(False)` đóng băng nó. `nn.init.zeros_` điền số 0 vào trọng số. Ở cuối `__init__`,
# `self.to(device, dtype)` đưa mọi thứ về thiết bị và kiểu số của base.
# ---
# forward: `self.base(x) + self.alpha / rank * self.up(self.down(x))`; hạng là `self.down.out_features`.

# %% [markdown] lang="en" role="stub"
# A frozen linear layer, `base`, with an update of low rank beside it: `down` (in
# to rank) and `up` (rank to out), times alpha / rank. At first the update is 0.
# ---
# 1. begin as every module does, and keep alpha
# 2. keep base, frozen
# 3. down and up, without bias                              # (r, in), (out, r)
# 4. up starts with zeros
# 5. all in the dtype (and on the device) of base's weight
# ---
# 1. what base gives, plus alpha / rank times the update    # (..., out)
# %% [markdown] lang="vi" of="01e86c77"
# Một lớp tuyến tính đóng băng, `base`, và bên cạnh là phần cập nhật hạng thấp:
# `down` (in xuống rank), `up` (rank lên out), nhân alpha / rank. Lúc đầu nó là 0.
# ---
# 1. mở đầu như mọi module, và giữ lại alpha
# 2. giữ base, đóng băng nó
# 3. down và up, không có bias                              # (r, in), (out, r)
# 4. up bắt đầu toàn số 0
# 5. tất cả cùng kiểu số (và thiết bị) với trọng số của base
# ---
# 1. kết quả của base, cộng alpha / rank nhân phần cập nhật # (..., out)

# %% role="solution"
class LoRALinear(nn.Module):
    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.base = base.requires_grad_(False)
        self.down = nn.Linear(base.in_features, rank, bias=False)   # (r, in)
        self.up = nn.Linear(rank, base.out_features, bias=False)    # (out, r)
        nn.init.zeros_(self.up.weight)
        self.to(base.weight.device, base.weight.dtype)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.alpha / self.down.out_features
        return self.base(x) + scale * self.up(self.down(x))         # (..., out)

# %% [markdown] lang="en" role="checks"
# - names and sizes of all weights
# - dtypes: the factors follow base, and so does the result
# - base is the layer that was given, and alpha is kept
# - what may learn: the factors, and nothing else
# - a fresh layer gives what base gives, to the last bit
# - the start: `up` is 0, `down` is random, small and another for each layer, and the first step can teach something
# - with trained factors, rank 3, alpha 6
# - alpha equal to the rank and smaller than it; rank 1
# - in, out and rank all 4, without bias; a single vector and a grid of tokens
# - called twice, then again after another step of training, and in evaluation mode
# - gradients: of x and both factors, and none for base
# %% [markdown] lang="vi" of="f25a0571"
# - tên và kích thước của mọi trọng số
# - kiểu số: các thừa số theo base, và kết quả cũng vậy
# - base chính là lớp được truyền vào, và alpha được giữ lại
# - những gì được học: các thừa số, ngoài ra không gì khác
# - lớp mới tạo cho đúng kết quả của base, đến từng bit
# - lúc bắt đầu: `up` bằng 0, `down` ngẫu nhiên, nhỏ, mỗi lớp một khác, và ngay bước đầu đã học được
# - với các thừa số đã huấn luyện, hạng 3, alpha 6
# - alpha bằng hạng và nhỏ hơn hạng; hạng 1
# - in, out và hạng đều bằng 4, không có bias; một vector đơn lẻ và một lưới token
# - gọi hai lần, rồi gọi lại sau một bước huấn luyện nữa, và ở chế độ đánh giá
# - gradient: của x và hai thừa số, còn base thì không có

# %% role="probes"
from copy import deepcopy

import torch
from torch import nn


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def linear(width, out, bias=True):
    """A layer in float64 with the same weights each time."""
    layer = nn.Linear(width, out, bias=bias).double()
    for k, parameter in enumerate(layer.parameters()):
        parameter.data = normal(*parameter.shape, seed=20 + k)
    return layer


NAMES = ("base.weight", "base.bias", "down.weight", "up.weight")


@torch.no_grad()
def fill(layer, seed):
    """Factors as if they were trained; the weights of base are those of `linear`, whatever was made of them."""
    layer.down.weight, layer.up.weight
    places = dict(zip(NAMES, (20, 21, seed, seed + 1), strict=True))
    for name, parameter in layer.named_parameters():
        parameter.copy_(normal(*parameter.shape, seed=places.get(name, seed + 2)))


def trained(f, base, rank, alpha):
    layer = f(base, rank, alpha)
    fill(layer, seed=3)
    return layer


def named(weights):
    """Those that are called as they should be, with their sizes, and how many others there are."""
    found = {name: list(weight.shape) for name, weight in weights.items()}
    return [[[name, found.get(name)] for name in NAMES], len(found.keys() - {*NAMES})]


def weights(f, base):
    layer = f(base, 3, 6.0)
    return [named(dict(layer.named_parameters())), [hasattr(layer, part) for part in ("base", "down", "up")]]


def dtypes(f, base, x):
    found = []
    for kind in (torch.float64, torch.float32, torch.bfloat16):
        layer = f(base.to(kind), 3, 6.0)
        found += [sorted({str(weight.dtype) for weight in layer.parameters()}), str(layer(x.to(kind)).dtype)]
    return found


def kept(f, base):
    layer = f(base, 3, 6.0)
    return {"the same layer": layer.base is base, "alpha": float(torch.as_tensor(layer.alpha).detach())}


def learners(f, base):
    return named({name: weight for name, weight in f(base, 3, 6.0).named_parameters() if weight.requires_grad})


def fresh(f, base, plain, x):
    """Whether a new layer gives the same numbers, without any tolerance."""
    return [torch.equal(f(layer, 3, 6.0)(x.to(layer.weight.dtype)), layer(x.to(layer.weight.dtype)))
            for layer in (base, plain, deepcopy(base).float())]  # fmt: skip


def start(f, base, x):
    layer = f(base, 3, 6.0)
    found = {"up is 0": bool((layer.up.weight == 0).all())}
    found["rank of down"] = int(torch.linalg.matrix_rank(layer.down.weight.detach().double()))
    wide, other = (f(linear(96, 4), 32, 6.0).down.weight.detach() for _ in range(2))
    spread = float(wide.std())                                 # nn.Linear: 0.06
    found["numbers of down"] = "too large" if spread > 0.5 else "too small" if spread < 0.005 else "small"
    found["another down for each layer"] = not torch.equal(wide, other)
    layer(x).square().sum().backward()
    found |= {f"{name} learns": bool(getattr(layer, name).weight.grad.abs().sum() > 0) for name in ("down", "up")}
    return found


def result(f, base, x):
    return trained(f, base, 3, 6.0)(x)


def other_scales(f, base, x):
    return [trained(f, base, rank, alpha)(x) for rank, alpha in ((3, 3), (3, 1), (1, 0.5))]


def squares(f, base, vector, grid):
    layer = trained(f, base, 4, 6.0)
    return [layer(vector), layer(grid.transpose(1, 2))]


def three_calls(f, base, x):
    layer = trained(f, base, 3, 6.0)
    found = [layer(x), layer(x), base.weight.clone()]
    fill(layer, seed=5)
    return [*found, layer(x), layer.eval()(x)]


def gradients(f, base, x):
    layer = trained(f, base, 3, 6.0)
    layer(x.requires_grad_()).square().sum().backward()
    none = all(weight.grad is None for weight in base.parameters())
    found = {"gradient of x": x.grad} | {f"gradient of {name}": getattr(layer, name).weight.grad for name in ("down", "up")}
    return found | {"base gets none": none}


X, BASE = normal(2, 5, 7, seed=1), linear(7, 4)

FREE = {"changes": ("base",)}                           # it is frozen, or turned to another dtype

probe(weights, base=BASE, **FREE)
probe(dtypes, base=BASE, x=X, **FREE)
probe(kept, base=BASE, **FREE)
probe(learners, base=BASE, **FREE)
probe(fresh, base=BASE, plain=linear(7, 4, bias=False), x=X, changes=("base", "plain"))
probe(start, base=BASE, x=X, **FREE)
probe(result, points=2, base=BASE, x=X, **FREE)
probe(other_scales, base=BASE, x=X, **FREE)
probe(squares, base=linear(4, 4, bias=False), vector=normal(4, seed=7), grid=normal(2, 3, 5, 4, seed=8), changes=("base",))
probe(three_calls, base=BASE, x=X, **FREE)
probe(gradients, base=BASE, x=X, changes=("base", "x"))

# %% [markdown] lang="en" role="mistake" name="no_super"
# PyTorch cannot register a layer before `nn.Module` itself is set up. The first line of `__init__` is `super().__init__()`.
# %% [markdown] lang="vi" of="1400d69e"
# PyTorch chưa ghi nhận được lớp nào khi chính `nn.Module` chưa được dựng. Dòng đầu tiên của `__init__` là `super().__init__()`.
# %% role="wrong" name="no_super"
patch("        super().__init__()\n", "")

# %% [markdown] lang="en" role="mistake" name="both_zero"
# Both factors are 0, and so it stays: the gradient of `up` is a product with `down`, that of `down` a product with `up`, and
# both are 0 forever. The loss never falls and no error is raised. Only `up` starts with zeros.
# %% [markdown] lang="vi" of="aaa9b5c1"
# Cả hai thừa số đều bằng 0, và mãi như vậy: gradient của `up` là tích với `down`, gradient của `down` là tích với `up`, nên cả
# hai luôn bằng 0. Hàm mất mát không hề giảm mà cũng không có lỗi nào. Chỉ `up` bắt đầu toàn số 0.
# %% role="wrong" name="both_zero"
patch("nn.init.zeros_(self.up.weight)", "nn.init.zeros_(self.up.weight), nn.init.zeros_(self.down.weight)")

# %% [markdown] lang="en" role="mistake" name="both_random"
# Both factors start at random, so every layer adds noise before anything was learnt: the model is ruined at step 0, and
# training spends its time on mending that. `up` must start with zeros.
# %% [markdown] lang="vi" of="233fcfc3"
# Cả hai thừa số bắt đầu ngẫu nhiên, nên lớp nào cũng cộng thêm nhiễu khi chưa học được gì: mô hình hỏng ngay ở bước 0, và việc
# huấn luyện mất công sửa lại. `up` phải bắt đầu toàn số 0.
# %% role="wrong" name="both_random"
patch("        nn.init.zeros_(self.up.weight)\n", "")

# %% [markdown] lang="en" role="mistake" name="down_zero"
# `down` is 0 at the start, and `up` is random. That would learn, too, but every paper, library and file has it the other way
# round: zeros in `up`, random numbers in `down`.
# %% [markdown] lang="vi" of="b4b5cf6b"
# Lúc đầu `down` bằng 0 còn `up` ngẫu nhiên. Như thế cũng học được, nhưng mọi bài báo, thư viện và tệp đều làm ngược lại: số 0 ở
# `up`, số ngẫu nhiên ở `down`.
# %% role="wrong" name="down_zero"
patch("nn.init.zeros_(self.up.weight)", "nn.init.zeros_(self.down.weight)")

# %% [markdown] lang="en" role="mistake" name="all_alike"
# All rows of `down` start with the same numbers. They get the same gradients and stay the same, so the rank is 1, however large
# you chose it. The start must be random.
# %% [markdown] lang="vi" of="1a2c26b4"
# Mọi hàng của `down` bắt đầu bằng cùng những con số. Chúng nhận cùng một gradient và mãi giống nhau, nên hạng chỉ là 1 dù bạn
# chọn lớn đến đâu. Giá trị ban đầu phải ngẫu nhiên.
# %% role="wrong" name="all_alike"
patch("nn.init.zeros_(self.up.weight)", "nn.init.zeros_(self.up.weight), nn.init.constant_(self.down.weight, 0.1)")

# %% [markdown] lang="en" role="mistake" name="down_too_large"
# `down` starts with numbers around 1. Whatever `up` learns is multiplied by them, so the first steps change the model far too
# much, most of all in layers with many inputs. Leave `down` as `nn.Linear` made it.
# %% [markdown] lang="vi" of="82074bfa"
# `down` bắt đầu bằng những số cỡ 1. Những gì `up` học được đều nhân với chúng, nên các bước đầu làm mô hình thay đổi quá nhiều,
# nhất là ở các lớp nhiều đầu vào. Hãy để nguyên `down` như `nn.Linear` đã tạo.
# %% role="wrong" name="down_too_large"
patch("nn.init.zeros_(self.up.weight)", "nn.init.zeros_(self.up.weight), nn.init.normal_(self.down.weight)")

# %% [markdown] lang="en" role="mistake" name="seeded"
# `__init__` sets the seed, so all layers of one size start with the same `down`, and whatever the caller draws afterwards is no
# longer random. The seed is the caller's business.
# %% [markdown] lang="vi" of="b116f282"
# `__init__` đặt lại seed, nên mọi lớp cùng kích thước bắt đầu với cùng một `down`, và những gì nơi gọi sinh ra sau đó không còn
# ngẫu nhiên nữa. Seed là việc của nơi gọi.
# %% role="wrong" name="seeded"
patch("        super().__init__()\n", "        super().__init__()\n        torch.manual_seed(0)\n")

# %% [markdown] lang="en" role="mistake" name="scale_forgotten"
# alpha / rank is missing in `forward`. At alpha = rank nobody notices; with any other alpha the style comes out at the wrong
# strength.
# %% [markdown] lang="vi" of="1c5d3c70"
# Trong `forward` thiếu alpha / rank. Khi alpha bằng hạng thì không ai nhận ra; với alpha khác, phong cách hiện ra sai độ mạnh.
# %% role="wrong" name="scale_forgotten"
patch("scale * self.up", "self.up")

# %% [markdown] lang="en" role="mistake" name="not_divided_by_rank"
# The update is multiplied by alpha, but not divided by the rank.
# %% [markdown] lang="vi" of="c7f10909"
# Phần cập nhật được nhân với alpha nhưng chưa chia cho hạng.
# %% role="wrong" name="not_divided_by_rank"
patch("self.alpha / self.down.out_features", "self.alpha")

# %% [markdown] lang="en" role="mistake" name="divided_by_in"
# The update is divided by the number of inputs. `self.down.in_features` is in; the rank is its `out_features`.
# %% [markdown] lang="vi" of="a54eb6dd"
# Phần cập nhật bị chia cho số đầu vào. `self.down.in_features` là in; hạng là `out_features` của nó.
# %% role="wrong" name="divided_by_in"
patch("self.down.out_features", "self.down.in_features")

# %% [markdown] lang="en" role="mistake" name="upside_down"
# The fraction is upside down: rank / alpha. A larger alpha must give a stronger update.
# %% [markdown] lang="vi" of="3de48e91"
# Phân số bị lộn ngược: rank / alpha. Alpha lớn hơn phải cho phần cập nhật mạnh hơn.
# %% role="wrong" name="upside_down"
patch("self.alpha / self.down.out_features", "self.down.out_features / self.alpha")

# %% [markdown] lang="en" role="mistake" name="whole_division"
# `//` cuts the fraction: with alpha below the rank the update is 0. Divide with `/`.
# %% [markdown] lang="vi" of="cb41d3c4"
# `//` cắt mất phần lẻ: khi alpha nhỏ hơn hạng, phần cập nhật bằng 0. Hãy chia bằng `/`.
# %% role="wrong" name="whole_division"
patch("self.alpha / self", "self.alpha // self")

# %% [markdown] lang="en" role="mistake" name="root_of_the_rank"
# The update is divided by the root of the rank. That is rsLoRA (Kalajdzievski 2023); the LoRA of this lesson divides by the
# rank itself.
# %% [markdown] lang="vi" of="9cc8589e"
# Phần cập nhật bị chia cho căn bậc hai của hạng. Đó là rsLoRA (Kalajdzievski 2023); LoRA của bài này chia cho chính hạng.
# %% role="wrong" name="root_of_the_rank"
patch("self.down.out_features", "self.down.out_features ** 0.5")

# %% [markdown] lang="en" role="mistake" name="base_not_frozen"
# base still learns. Then the model changes where the file doesn't: the factors alone no longer give the style, it cannot be
# taken out again, and every weight needs memory for its gradient. Freeze base.
# %% [markdown] lang="vi" of="8d3255d2"
# base vẫn còn học. Khi ấy mô hình thay đổi ở những chỗ tệp không ghi lại: chỉ các thừa số thì không còn cho ra phong cách,
# không gỡ phong cách ra được nữa, và trọng số nào cũng tốn bộ nhớ cho gradient. Hãy đóng băng base.
# %% role="wrong" name="base_not_frozen"
patch("base.requires_grad_(False)", "base")

# %% [markdown] lang="en" role="mistake" name="bias_not_frozen"
# base's weight is frozen, but its bias still learns, and no file of factors would hold that. Freeze the whole layer.
# %% [markdown] lang="vi" of="0042f606"
# Trọng số của base đã đóng băng, nhưng bias của nó vẫn học, mà tệp thừa số nào cũng không chứa phần ấy. Hãy đóng băng cả lớp.
# %% role="wrong" name="bias_not_frozen"
patch("self.base = base.requires_grad_(False)", "self.base = base\n        base.weight.requires_grad_(False)")

# %% [markdown] lang="en" role="mistake" name="all_frozen"
# Everything is frozen, the factors as well, so nothing can learn. Freeze base alone.
# %% [markdown] lang="vi" of="6117b199"
# Mọi thứ đều bị đóng băng, cả các thừa số, nên không gì học được. Chỉ đóng băng base thôi.
# %% role="wrong" name="all_frozen"
patch("base.weight.dtype)", "base.weight.dtype).requires_grad_(False)")

# %% [markdown] lang="en" role="mistake" name="factors_with_bias"
# The factors have biases: `bias=False`. The update is a matrix that can be added to base's weight, and files have no place for
# more.
# %% [markdown] lang="vi" of="e55413c0"
# Các thừa số có bias: hãy dùng `bias=False`. Phần cập nhật là một ma trận cộng được vào trọng số của base, và tệp không có chỗ
# cho thứ gì khác.
# %% role="wrong" name="factors_with_bias"
patch("base.in_features, rank, bias=False", "base.in_features, rank")
patch("rank, base.out_features, bias=False", "rank, base.out_features")

# %% [markdown] lang="en" role="mistake" name="up_with_bias"
# `up` has a bias. In a fresh layer it is random, so the layer doesn't start as base, and no file keeps it: `bias=False`.
# %% [markdown] lang="vi" of="22f202af"
# `up` có bias. Trong lớp mới tạo, nó ngẫu nhiên, nên lớp không bắt đầu giống base, và không tệp nào giữ nó: `bias=False`.
# %% role="wrong" name="up_with_bias"
patch("rank, base.out_features, bias=False", "rank, base.out_features")

# %% [markdown] lang="en" role="mistake" name="base_left_out"
# Only the update came back. A fresh layer then gives 0 for everything; what the model has learnt is in base: add its result.
# %% [markdown] lang="vi" of="07e4a880"
# Kết quả chỉ có phần cập nhật. Khi ấy lớp mới tạo cho 0 với mọi thứ; những gì mô hình đã học nằm trong base: hãy cộng kết quả
# của nó.
# %% role="wrong" name="base_left_out"
patch("self.base(x) + scale", "scale")

# %% [markdown] lang="en" role="mistake" name="x_for_base"
# x was added in place of base's result. LoRA is no skip connection: it stands beside a layer, and the layer still works.
# %% [markdown] lang="vi" of="2f53958b"
# x bị cộng thay cho kết quả của base. LoRA không phải kết nối tắt: nó đứng bên cạnh một lớp, và lớp ấy vẫn làm việc.
# %% role="wrong" name="x_for_base"
patch("self.base(x) + scale", "x + scale")

# %% [markdown] lang="en" role="mistake" name="bias_lost"
# base's bias is missing: only its weight was used. Call the layer itself, `self.base(x)`.
# %% [markdown] lang="vi" of="1767d77f"
# Thiếu bias của base: chỉ có trọng số của nó được dùng. Hãy gọi chính lớp ấy, `self.base(x)`.
# %% role="wrong" name="bias_lost"
patch("self.base(x) + scale", "x @ self.base.weight.T + scale")

# %% [markdown] lang="en" role="mistake" name="after_base"
# The update reads what base gives, not x. It stands *beside* base, so both read the same x; only then can the product of the
# factors be added to base's weight.
# %% [markdown] lang="vi" of="eb1a3a05"
# Phần cập nhật đọc kết quả của base chứ không đọc x. Nó đứng *bên cạnh* base, nên cả hai đọc cùng một x; chỉ khi đó tích của
# hai thừa số mới cộng được vào trọng số của base.
# %% role="wrong" name="after_base"
patch("self.up(self.down(x))", "self.up(self.down(self.base(x)))")

# %% [markdown] lang="en" role="mistake" name="up_first"
# The factors are applied in the wrong order: first `down`, from in to the rank, then `up`, from the rank to out.
# %% [markdown] lang="vi" of="56ad918b"
# Hai thừa số bị áp dụng sai thứ tự: trước hết `down`, từ in xuống hạng, rồi `up`, từ hạng lên out.
# %% role="wrong" name="up_first"
patch("self.up(self.down(x))", "self.down(self.up(x))")

# %% [markdown] lang="en" role="mistake" name="in_and_out_swapped"
# The sizes are swapped: `down` reads x, which is in wide, and `up` writes out numbers. `nn.Linear` takes the width that it
# reads first.
# %% [markdown] lang="vi" of="914a40c7"
# Các kích thước bị đổi chỗ: `down` đọc x, rộng in, còn `up` ghi ra out số. `nn.Linear` nhận bề rộng đầu vào trước.
# %% role="wrong" name="in_and_out_swapped"
patch("nn.Linear(base.in_features, rank", "nn.Linear(base.out_features, rank")
patch("nn.Linear(rank, base.out_features", "nn.Linear(rank, base.in_features")

# %% [markdown] lang="en" role="mistake" name="activation"
# There is an activation between the factors. Without it the update is a matrix, which can be merged into base's weight; with
# it, it never could.
# %% [markdown] lang="vi" of="aee17c04"
# Giữa hai thừa số có một hàm kích hoạt. Không có nó, phần cập nhật là một ma trận, gộp được vào trọng số của base; có nó thì
# không bao giờ gộp được.
# %% role="wrong" name="activation"
patch("self.up(self.down(x))", "self.up(self.down(x).relu())")

# %% [markdown] lang="en" role="mistake" name="base_copied"
# base was copied. It costs the memory of a second layer, and whoever takes the LoRA out again expects the layer that was there
# before. Keep what was given.
# %% [markdown] lang="vi" of="c19b09e5"
# base đã bị sao chép. Như thế tốn bộ nhớ cho một lớp thứ hai, và ai gỡ LoRA ra cũng muốn lại đúng lớp đã có trước đó. Hãy giữ
# chính lớp được truyền vào.
# %% role="wrong" name="base_copied"
patch("        self.base = base.requires", "        from copy import deepcopy\n\n        self.base = deepcopy(base).requires")

# %% [markdown] lang="en" role="mistake" name="base_made_anew"
# A new layer of base's sizes was made, with random weights: all that the model has learnt is gone. Keep the layer that was
# given.
# %% [markdown] lang="vi" of="4e7ec4ba"
# Bạn tạo một lớp mới cùng kích thước với base, với trọng số ngẫu nhiên: mọi điều mô hình đã học mất sạch. Hãy giữ chính lớp
# được truyền vào.
# %% role="wrong" name="base_made_anew"
patch("self.base = base.requires", "self.base = nn.Linear(base.in_features, base.out_features, base.bias is not None).requires")

# %% [markdown] lang="en" role="mistake" name="always_float32"
# The factors are float32 whatever base is. In half precision, or in float64, base and update then don't fit together.
# %% [markdown] lang="vi" of="f56e5ea3"
# Các thừa số luôn là float32, bất kể base là gì. Khi ấy, ở độ chính xác một nửa hay ở float64, base và phần cập nhật không khớp
# nhau.
# %% role="wrong" name="always_float32"
patch("        self.to(base.weight.device, base.weight.dtype)\n", "")

# %% [markdown] lang="en" role="mistake" name="other_names"
# It computes the right thing, but the factors have other names. Files, and the exercises that follow, find them as `down` and
# `up`.
# %% [markdown] lang="vi" of="73383028"
# Phép tính thì đúng, nhưng các thừa số mang tên khác. Các tệp, và những bài tập sau, tìm chúng với tên `down` và `up`.
# %% role="wrong" name="other_names"
class LoRALinear(nn.Module):
    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.base = base.requires_grad_(False)
        self.lora_A = nn.Linear(base.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.lora_B.weight)
        self.to(base.weight.device, base.weight.dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.alpha / self.lora_A.out_features * self.lora_B(self.lora_A(x))

# %% [markdown] lang="en" role="mistake" name="bare_parameters"
# `down` and `up` are bare parameters. They must be layers, `nn.Linear` without bias, so that their weights are called
# `down.weight` and `up.weight`.
# %% [markdown] lang="vi" of="3c2447ad"
# `down` và `up` là những tham số trần. Chúng phải là lớp, `nn.Linear` không có bias, để trọng số có tên `down.weight` và
# `up.weight`.
# %% role="wrong" name="bare_parameters"
class LoRALinear(nn.Module):
    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.base = base.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, base.in_features))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))
        self.to(base.weight.device, base.weight.dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.alpha / len(self.down) * (x @ self.down.T @ self.up.T)

# %% [markdown] lang="en" role="mistake" name="bare_tensors"
# `down` and `up` are plain tensors, which `nn.Module` doesn't know: an optimizer never sees them and no file keeps them. Make
# each an `nn.Linear` without bias.
# %% [markdown] lang="vi" of="49503417"
# `down` và `up` là tensor thường, `nn.Module` không biết đến: optimizer không thấy chúng và không tệp nào giữ chúng. Hãy tạo
# mỗi cái là một `nn.Linear` không có bias.
# %% role="wrong" name="bare_tensors"
class LoRALinear(nn.Module):
    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.base = base.requires_grad_(False)
        self.down = torch.randn(rank, base.in_features).to(base.weight).requires_grad_()
        self.up = torch.zeros(base.out_features, rank).to(base.weight).requires_grad_()

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.alpha / len(self.down) * (x @ self.down.T @ self.up.T)

# %% [markdown] lang="en" role="mistake" name="alpha_not_kept"
# There is no `self.alpha`. The factors mean nothing without it, so whoever writes a file asks the layer for it.
# %% [markdown] lang="vi" of="3d4d9c6a"
# Không có `self.alpha`. Thiếu nó thì các thừa số không có ý nghĩa gì, nên ai ghi tệp cũng hỏi lớp về nó.
# %% role="wrong" name="alpha_not_kept"
patch("self.alpha = alpha", "self.scale = alpha / rank")
patch("scale = self.alpha / self.down.out_features", "scale = self.scale")

# %% [markdown] lang="en" role="mistake" name="product_made_once"
# The product of the factors was made once, in `__init__`, and stays what it was: what the factors learn later has no effect.
# Compute it in `forward`.
# %% [markdown] lang="vi" of="75237151"
# Tích của hai thừa số được tính một lần trong `__init__` và giữ nguyên từ đó: những gì các thừa số học về sau không có tác
# dụng. Hãy tính nó trong `forward`.
# %% role="wrong" name="product_made_once"
patch("base.weight.dtype)\n",
      "base.weight.dtype)\n        self.product = (alpha / rank * self.up.weight @ self.down.weight).detach()\n")
patch("scale * self.up(self.down(x))", "(scale * 0 + 1) * (x @ self.product.to(x).T)")

# %% [markdown] lang="en" role="mistake" name="written_into_base"
# `forward` writes the update into base's weight, once more in every call: the frozen weights drift, and the style grows from
# picture to picture. Leave base as it is, and add the results.
# %% [markdown] lang="vi" of="b662e970"
# `forward` ghi phần cập nhật vào trọng số của base, mỗi lần gọi lại thêm một lần: trọng số đóng băng bị trôi đi, và phong cách
# đậm dần từ bức này sang bức khác. Hãy để nguyên base và cộng các kết quả.
# %% role="wrong" name="written_into_base"
patch("        return self.base(x) + scale * self.up(self.down(x)) ",
      "        self.base.weight.data += scale * self.up.weight.data @ self.down.weight.data\n        return self.base(x) ")

# %% [markdown] lang="en" role="mistake" name="no_gradients"
# The results are right, but gradients are off in `forward`, so the factors learn nothing. Freezing base is enough: its weights
# get no gradient, and yet gradients pass through it.
# %% [markdown] lang="vi" of="1950c372"
# Kết quả đúng, nhưng gradient bị tắt trong `forward`, nên các thừa số không học được gì. Đóng băng base là đủ: trọng số của nó
# không nhận gradient, mà gradient vẫn đi qua nó được.
# %% role="wrong" name="no_gradients"
patch("    def forward(", "    @torch.no_grad()\n    def forward(")

# %% [markdown] lang="en" role="mistake" name="base_without_gradients"
# No gradient passes through base: its result was computed under `torch.no_grad()` or detached, so layers before this one hear
# only of the update. Freezing the weights is enough.
# %% [markdown] lang="vi" of="8e67be8f"
# Không có gradient nào đi qua base: kết quả của nó được tính trong `torch.no_grad()` hoặc bị detach, nên các lớp phía trước chỉ
# biết đến phần cập nhật. Đóng băng trọng số là đủ.
# %% role="wrong" name="base_without_gradients"
patch("self.base(x) + scale", "self.base(x).detach() + scale")

# %% role="library"
from torch import nn

from minidiff.nn.lora import LoRALayer


class LoRALinear(nn.Module):
    """The library's layer, under the names of the exercise."""

    def __init__(self, base, rank, alpha):
        super().__init__()
        made = LoRALayer(base.requires_grad_(False), rank, alpha)
        self.base, self.down, self.up, self.alpha = made.base, made.update.down, made.update.up, alpha
        self._made = [made]                                     # in a list: not registered a second time

    def forward(self, x):
        return self._made[0](x)

# %% role="payoff"
def draw(LoRALinear: type[nn.Module]) -> Tensor:
    found = []
    for strength in (0.0, 0.5, 1.0):
        network = deepcopy(pipe.network)
        for name, style in neon.items():
            layer = network.get_submodule(name)
            mine = LoRALinear(deepcopy(layer), style.rank, strength * style.alpha)
            mine.down.weight.data, mine.up.weight.data = style.down, style.up
            layer.forward = mine.forward                        # asked in its place
        found.append(pictures(network, prompts[0]))
    return torch.cat(found)                                     # (3, 3, 128, 128)


payoff(draw, LoRALinear)
