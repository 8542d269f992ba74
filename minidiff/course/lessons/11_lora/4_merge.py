"""Exercise 11.4, merge: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="2" minutes="10"
# ## Styles inside a weight
#
# **Merge.** A layer beside another costs time at every step of sampling. But an update is only a matrix, so it can be added to
# the weight itself, and several at once, each at a strength $s_i$ of its own:
#
# $$W' = W + \sum_i s_i\,\frac{\alpha_i}{r_i}\;\text{up}_i\,\text{down}_i$$
#
# `weight` is (out, in), `updates` a list of (down, up, alpha), whose ranks may differ, and `strengths` has a number for each:
# 0 leaves a style out, a negative number reverses it. Both lists may be empty, and the factors may have another dtype than the
# weight, as when a file in float32 meets a model in half precision. Return a **new** tensor in the dtype of `weight`. The old
# one stays as it is: with it, every style can be taken out again.
#
# The cell at the end merges `neon` into `world-dit` at the strengths -0.5, 0.5 and 1, and then two styles together.
# %% [markdown] lang="vi" of="8d86c699"
# ## Phong cách nằm trong một trọng số
#
# **Gộp.** Một lớp đứng bên cạnh lớp khác làm tốn thời gian ở mỗi bước lấy mẫu. Nhưng phần cập nhật chỉ là một ma trận, nên có
# thể cộng nó vào chính trọng số, và cộng nhiều phần cùng lúc, mỗi phần một độ mạnh $s_i$ riêng:
#
# $$W' = W + \sum_i s_i\,\frac{\alpha_i}{r_i}\;\text{up}_i\,\text{down}_i$$
#
# `weight` là (out, in), `updates` là danh sách các bộ (down, up, alpha), hạng của chúng có thể khác nhau, và `strengths` có một
# số cho mỗi bộ: 0 là bỏ phong cách ấy ra, số âm là đảo ngược nó. Hai danh sách có thể rỗng, và các thừa số có thể khác kiểu
# số với trọng số, như khi một tệp float32 gặp một mô hình ở độ chính xác một nửa. Hãy trả về một tensor **mới** cùng kiểu số
# với `weight`. Tensor cũ giữ nguyên: còn nó thì còn gỡ được mọi phong cách ra.
#
# Ô ở cuối gộp `neon` vào `world-dit` với độ mạnh -0.5, 0.5 và 1, rồi gộp hai phong cách cùng nhau.

# %% [markdown] lang="en" role="hints"
# Which of `up @ down` and `down @ up` has the shape of the weight?
# ---
# Begin with a copy of the weight. For each update add strength · alpha / rank · (up @ down); `zip(updates, strengths)` brings
# the pairs.
# ---
# `merged = merged + strength * alpha / len(down) * (up @ down)` makes a new tensor in each round; `+=` is safe only on a copy
# of the weight. At the end: `.to(weight.dtype)`.
# %% [markdown] lang="vi" of="0a56c112"
# Giữa `up @ down` và `down @ up`, cái nào có kích thước của trọng số?
# ---
# Bắt đầu từ một bản sao của trọng số. Với mỗi phần cập nhật, cộng thêm độ mạnh · alpha / hạng · (up @ down);
# `zip(updates, strengths)` cho từng cặp.
# ---
# `merged = merged + strength * alpha / len(down) * (up @ down)` tạo một tensor mới ở mỗi vòng; `+=` chỉ an toàn trên một
# bản sao của trọng số. Cuối cùng: `.to(weight.dtype)`.

# %% [markdown] lang="en" role="stub"
# weight (out, in); updates: (down (r, in), up (out, r), alpha) each, of ranks of
# their own, in any dtype; strengths: a number for each. Returns weight plus every
# strength times alpha / r times up @ down: a new tensor (out, in) in its dtype.
# ---
# 1. begin with a copy of the weight                         # (out, in)
# 2. for each update and its strength: add the product       # (out, in)
# 3. back to the weight's dtype
# %% [markdown] lang="vi" of="909757c0"
# weight (out, in); updates: các phần (down (r, in), up (out, r), alpha), hạng
# riêng, kiểu số tùy ý; strengths: mỗi phần một số. Trả về weight cộng từng độ mạnh
# nhân alpha / r nhân up @ down: một tensor mới (out, in) cùng kiểu số với weight.
# ---
# 1. bắt đầu từ một bản sao của trọng số                     # (out, in)
# 2. với mỗi phần cập nhật và độ mạnh: cộng tích vào         # (out, in)
# 3. đưa về kiểu số của trọng số

# %% role="solution"
def merge(
    weight: Tensor,
    updates: Sequence[tuple[Tensor, Tensor, float]],
    strengths: Sequence[float],
) -> Tensor:
    merged = weight.clone()                                         # (out, in)
    for (down, up, alpha), strength in zip(updates, strengths, strict=True):
        merged = merged + strength * alpha / len(down) * (up @ down)
    return merged.to(weight.dtype)

# %% [markdown] lang="en" role="checks"
# - shape and dtype, also of a weight in half precision
# - one style at strength 1
# - two styles of different ranks, one of them negative
# - three of one rank, at strengths from 0 to 2
# - in, out and rank all 4
# - strength 0, and no style at all: the weight to the last bit, in new memory
# - merged and taken out again
# - half precision: numbers close to the exact ones
# %% [markdown] lang="vi" of="cd3645e9"
# - kích thước và kiểu số, kể cả khi trọng số ở độ chính xác một nửa
# - một phong cách với độ mạnh 1
# - hai phong cách khác hạng, một cái âm
# - ba phong cách cùng hạng, độ mạnh từ 0 đến 2
# - in, out và hạng đều bằng 4
# - độ mạnh 0, và không có phong cách nào: đúng trọng số cũ đến từng bit, trong bộ nhớ mới
# - gộp vào rồi gỡ ra
# - độ chính xác một nửa: các con số gần đúng

# %% role="probes"
import torch


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def update(rank, alpha, seed, out=5, width=7):
    return normal(rank, width, seed=seed), normal(out, rank, seed=seed + 1), alpha


def merged(f, weight, updates, strengths):
    return f(weight, updates, strengths)


def shape_and_dtype(f, weight, updates, strengths):
    """The factors are float32, as files hold them, or float64."""
    found = []
    for kind, factors in ((torch.float32, torch.float32), (torch.float64, torch.float64), (torch.bfloat16, torch.float32)):
        y = f(weight.to(kind), [(down.to(factors), up.to(factors), alpha) for down, up, alpha in updates], strengths)
        found += [list(y.shape), str(y.dtype)]
    return found


def left_out(f, weight, updates):
    weight, updates = weight.float(), [(down.float(), up.float(), alpha) for down, up, alpha in updates]
    found = [f(weight, updates, [0.0, 0]), f(weight, [], [])]
    fresh = all(one is not weight and one.data_ptr() != weight.data_ptr() for one in found)
    return [*(torch.equal(one, weight) for one in found), fresh]


def there_and_back(f, weight, updates, strengths):
    return f(f(weight, updates, strengths), updates, [-strength for strength in strengths])


def in_half(f, weight, updates, strengths):
    updates = [(down.float(), up.float(), alpha) for down, up, alpha in updates]
    return f(weight.bfloat16(), updates, strengths).double()


WEIGHT = normal(7, 5, seed=1).T                         # (out, in), lying transposed in memory
ONE, OTHER, THIRD = update(2, 6.0, seed=2), update(3, 2, seed=4), update(2, 1, seed=6)

probe(shape_and_dtype, weight=WEIGHT, updates=[ONE, OTHER], strengths=[0.7, -0.4])
probe(merged, weight=WEIGHT, updates=[ONE], strengths=[1])
probe(merged, points=2, weight=WEIGHT, updates=[ONE, OTHER], strengths=[0.7, -0.4])
probe(merged, weight=WEIGHT, updates=[ONE, THIRD, update(2, 3.0, seed=8)], strengths=[2, 0, 1.5])
probe(merged, weight=normal(4, 4, seed=1), updates=[update(4, 6.0, seed=2, out=4, width=4)], strengths=[0.5])
probe(left_out, weight=WEIGHT, updates=[ONE, OTHER])
probe(there_and_back, weight=WEIGHT, updates=[ONE, OTHER], strengths=[0.7, -0.4])
probe(in_half, rtol=2e-2, atol=5e-2, weight=WEIGHT, updates=[ONE, OTHER], strengths=[0.7, -0.4])

# %% [markdown] lang="en" role="mistake" name="cross_terms"
# The ups and the downs were added up before they were multiplied. (up₁ + up₂)(down₁ + down₂) also holds up₁ down₂ and
# up₂ down₁, which mix each style with the other's factors. Multiply each pair first, then add the products.
# %% [markdown] lang="vi" of="8b8fd249"
# Các up và các down bị cộng lại trước khi nhân. (up₁ + up₂)(down₁ + down₂) còn chứa up₁ down₂ và up₂ down₁, chúng trộn phong
# cách này với thừa số của phong cách kia. Hãy nhân từng cặp trước, rồi mới cộng các tích.
# %% role="wrong" name="cross_terms"
def merge(weight: Tensor, updates: Sequence[tuple[Tensor, Tensor, float]], strengths: Sequence[float]) -> Tensor:
    downs = sum(down for down, _, _ in updates)
    ups = sum(strength * alpha / len(down) * up for (down, up, alpha), strength in zip(updates, strengths))
    return (weight + ups @ downs).to(weight.dtype)

# %% [markdown] lang="en" role="mistake" name="strength_in_both"
# The strength counts twice: it was multiplied into both factors, so a half gives a quarter, and a negative one the same as a
# positive one.
# %% [markdown] lang="vi" of="d4de2aef"
# Độ mạnh bị tính hai lần: nó được nhân vào cả hai thừa số, nên một nửa thành một phần tư, và số âm cho kết quả như số dương.
# %% role="wrong" name="strength_in_both"
patch("strength * alpha", "strength**2 * alpha")

# %% [markdown] lang="en" role="mistake" name="strength_forgotten"
# The strengths have no effect: every style comes in full.
# %% [markdown] lang="vi" of="71d6a05e"
# Các độ mạnh không có tác dụng: phong cách nào cũng vào trọn vẹn.
# %% role="wrong" name="strength_forgotten"
patch("strength * alpha", "alpha")

# %% [markdown] lang="en" role="mistake" name="scale_forgotten"
# alpha / rank is missing. The layer multiplied by it, so the merged weight must, too: otherwise it draws the style many times
# too strong or too weak.
# %% [markdown] lang="vi" of="1112b6a3"
# Thiếu alpha / rank. Lớp LoRA đã nhân với nó nên trọng số gộp cũng phải nhân: nếu không, phong cách quá đậm hoặc quá nhạt nhiều
# lần.
# %% role="wrong" name="scale_forgotten"
patch("strength * alpha / len(down)", "strength")

# %% [markdown] lang="en" role="mistake" name="not_divided_by_rank"
# The products are multiplied by alpha, but not divided by the rank.
# %% [markdown] lang="vi" of="3508cdb2"
# Các tích được nhân với alpha nhưng chưa chia cho hạng.
# %% role="wrong" name="not_divided_by_rank"
patch("alpha / len(down)", "alpha")

# %% [markdown] lang="en" role="mistake" name="alpha_forgotten"
# The products are divided by the rank, but alpha has no effect. Each update brings an alpha of its own.
# %% [markdown] lang="vi" of="5ead56d9"
# Các tích đã được chia cho hạng nhưng alpha không có tác dụng. Mỗi phần cập nhật có alpha riêng.
# %% role="wrong" name="alpha_forgotten"
patch("strength * alpha", "strength")

# %% [markdown] lang="en" role="mistake" name="whole_division"
# `//` cuts the fraction, so weak styles vanish. Divide with `/`.
# %% [markdown] lang="vi" of="f11b6b3d"
# `//` cắt mất phần lẻ, nên những phong cách yếu biến mất. Hãy chia bằng `/`.
# %% role="wrong" name="whole_division"
patch("alpha / len(down)", "alpha // len(down)")

# %% [markdown] lang="en" role="mistake" name="rank_from_in"
# It is divided by in, the columns of `down`. The rank is the number of its rows.
# %% [markdown] lang="vi" of="e3ecf3a8"
# Bạn chia cho in, số cột của `down`. Hạng là số hàng của nó.
# %% role="wrong" name="rank_from_in"
patch("len(down)", "down.shape[1]")

# %% [markdown] lang="en" role="mistake" name="rank_from_out"
# It is divided by out, the rows of `up`. The rank is the number of its columns, and of the rows of `down`.
# %% [markdown] lang="vi" of="c6c06487"
# Bạn chia cho out, số hàng của `up`. Hạng là số cột của nó, và là số hàng của `down`.
# %% role="wrong" name="rank_from_out"
patch("len(down)", "len(up)")

# %% [markdown] lang="en" role="mistake" name="scale_of_the_first"
# Rank and alpha of the first update were used for all. Each has its own.
# %% [markdown] lang="vi" of="d2804038"
# Hạng và alpha của phần cập nhật đầu tiên bị dùng cho tất cả. Mỗi phần có hạng và alpha riêng.
# %% role="wrong" name="scale_of_the_first"
patch("strength * alpha / len(down)", "strength * updates[0][2] / len(updates[0][0])")

# %% [markdown] lang="en" role="mistake" name="transposed"
# The product is the wrong way round: (in, out). The weight is (out, in), and so is up @ down.
# %% [markdown] lang="vi" of="34a83e47"
# Tích bị xoay ngược: (in, out). Trọng số là (out, in), và up @ down cũng vậy.
# %% role="wrong" name="transposed"
patch("(up @ down)", "(up @ down).T")

# %% [markdown] lang="en" role="mistake" name="down_first"
# `down @ up` multiplies along the wrong side. The rank must stand in the middle: (out, r) @ (r, in), which is `up @ down`.
# %% [markdown] lang="vi" of="d1ab8bae"
# `down @ up` nhân nhầm phía. Hạng phải nằm ở giữa: (out, r) @ (r, in), tức là `up @ down`.
# %% role="wrong" name="down_first"
patch("(up @ down)", "(down @ up)")

# %% [markdown] lang="en" role="mistake" name="last_alone"
# Only the last style is in the weight: each round begins again with the frozen one. Add to what has been merged so far.
# %% [markdown] lang="vi" of="f9b4bb5e"
# Trong trọng số chỉ có phong cách cuối: mỗi vòng lại bắt đầu từ trọng số đóng băng. Hãy cộng vào phần đã gộp được cho đến lúc
# đó.
# %% role="wrong" name="last_alone"
patch("merged = merged +", "merged = weight +")

# %% [markdown] lang="en" role="mistake" name="first_alone"
# Only the first style is in the weight: the loop ends after one round. Is the `return` inside it?
# %% [markdown] lang="vi" of="f3d96fd4"
# Trong trọng số chỉ có phong cách đầu tiên: vòng lặp kết thúc sau một vòng. Có phải `return` nằm bên trong nó không?
# %% role="wrong" name="first_alone"
patch("    return merged", "        return merged")

# %% [markdown] lang="en" role="mistake" name="normalised"
# The strengths were divided by their sum. They are no shares: two styles may both come in full, and one alone at a half must
# stay a half.
# %% [markdown] lang="vi" of="76792c0d"
# Các độ mạnh bị chia cho tổng của chúng. Chúng không phải tỉ lệ phần: hai phong cách có thể cùng vào trọn vẹn, và một phong
# cách ở mức một nửa phải vẫn là một nửa.
# %% role="wrong" name="normalised"
patch("strength * alpha", "strength / sum(strengths) * alpha")

# %% [markdown] lang="en" role="mistake" name="averaged"
# The updates were averaged, so each is weaker the more there are. They are added up.
# %% [markdown] lang="vi" of="a46bf952"
# Các phần cập nhật bị lấy trung bình, nên càng nhiều thì mỗi phần càng yếu. Chúng phải được cộng lại.
# %% role="wrong" name="averaged"
patch("len(down) *", "len(down) / len(updates) *")

# %% [markdown] lang="en" role="mistake" name="only_positive"
# Negative strengths have no effect. They are meant: they move the weight away from a style, and take out what was merged.
# %% [markdown] lang="vi" of="cee982e1"
# Các độ mạnh âm không có tác dụng. Chúng có ý nghĩa: chúng đẩy trọng số ra xa một phong cách, và gỡ những gì đã gộp.
# %% role="wrong" name="only_positive"
patch("strength * alpha", "max(strength, 0) * alpha")

# %% [markdown] lang="en" role="mistake" name="clipped"
# Strengths were clipped to 0 to 1. Beyond that range lie exaggerated and inverted styles, and the caller may want them.
# %% [markdown] lang="vi" of="81a190fc"
# Các độ mạnh bị cắt về khoảng 0 đến 1. Ngoài khoảng ấy là những phong cách cường điệu hay đảo ngược, và nơi gọi có thể cần.
# %% role="wrong" name="clipped"
patch("strength * alpha", "min(max(strength, 0), 1) * alpha")

# %% [markdown] lang="en" role="mistake" name="absolute"
# The sign of the strengths is lost: -0.4 adds the style as 0.4 does.
# %% [markdown] lang="vi" of="0e31c8bf"
# Dấu của các độ mạnh bị mất: -0.4 cũng cộng phong cách vào như 0.4.
# %% role="wrong" name="absolute"
patch("strength * alpha", "abs(strength) * alpha")

# %% [markdown] lang="en" role="mistake" name="weight_left_out"
# Only the sum of the updates came back; the weight, with all that the model has learnt, is missing.
# %% [markdown] lang="vi" of="9333bc83"
# Kết quả chỉ là tổng các phần cập nhật; thiếu trọng số, cùng mọi điều mô hình đã học.
# %% role="wrong" name="weight_left_out"
patch("weight.clone()", "torch.zeros_like(weight)")

# %% [markdown] lang="en" role="mistake" name="weight_each_time"
# The weight is in the sum once for each update: with two styles it is doubled. It is added once.
# %% [markdown] lang="vi" of="60468ee1"
# Trọng số có mặt trong tổng mỗi phần cập nhật một lần: với hai phong cách nó bị nhân đôi. Chỉ cộng nó một lần.
# %% role="wrong" name="weight_each_time"
patch("weight.clone()", "torch.zeros_like(weight)")
patch("merged = merged + strength", "merged = merged + weight + strength")

# %% [markdown] lang="en" role="mistake" name="interpolated"
# The weight fades as the strength grows, (1 - s) W + s update. LoRA is no mixture of the model and the style: W stays whole,
# and the update is added to it.
# %% [markdown] lang="vi" of="48656432"
# Trọng số mờ đi khi độ mạnh tăng, (1 - s) W + s nhân phần cập nhật. LoRA không phải phép pha giữa mô hình và phong cách: W giữ
# trọn vẹn, và phần cập nhật được cộng thêm vào.
# %% role="wrong" name="interpolated"
patch("merged = merged + strength", "merged = (1 - strength) * merged + strength")

# %% [markdown] lang="en" role="mistake" name="in_place"
# It writes into `weight` itself. The frozen weight is lost then: calling it twice adds the style twice, and no strength brings
# the old one back exactly. Begin with `weight.clone()`, or write `merged = merged + ...`.
# %% [markdown] lang="vi" of="66369f78"
# Hàm ghi vào chính `weight`. Khi ấy trọng số đóng băng mất đi: gọi hai lần thì phong cách được cộng hai lần, và không độ mạnh
# nào đưa lại đúng trọng số cũ. Hãy bắt đầu bằng `weight.clone()`, hoặc viết `merged = merged + ...`.
# %% role="wrong" name="in_place"
patch("weight.clone()", "weight")
patch("merged = merged + strength", "merged += strength")

# %% [markdown] lang="en" role="mistake" name="weight_itself"
# Without an update the weight itself comes back, not a new tensor: whoever changes the result changes the frozen weight, too.
# Begin with `weight.clone()`.
# %% [markdown] lang="vi" of="feb3dc49"
# Khi không có phần cập nhật nào, hàm trả về chính trọng số chứ không phải tensor mới: ai sửa kết quả cũng sửa luôn trọng số
# đóng băng. Hãy bắt đầu bằng `weight.clone()`.
# %% role="wrong" name="weight_itself"
patch("weight.clone()", "weight")

# %% [markdown] lang="en" role="mistake" name="dtype_lost"
# The result has the dtype of the factors. Put into a model in half precision, such a weight stops it at the first layer: turn
# the sum back to `weight.dtype`.
# %% [markdown] lang="vi" of="b74a61c5"
# Kết quả mang kiểu số của các thừa số. Đặt vào một mô hình ở độ chính xác một nửa, trọng số ấy làm nó dừng ngay ở lớp đầu: hãy
# đưa tổng về `weight.dtype`.
# %% role="wrong" name="dtype_lost"
patch("return merged.to(weight.dtype)", "return merged")

# %% [markdown] lang="en" role="mistake" name="one_dtype_alone"
# It works only where the weight and the factors have one dtype: `addmm` doesn't convert them. Files are often float32 and
# models bfloat16. Add the product with `+`, which takes both.
# %% [markdown] lang="vi" of="0c2c7a77"
# Hàm chỉ chạy khi trọng số và các thừa số cùng kiểu số: `addmm` không tự đổi kiểu. Tệp thường là float32 còn mô hình là
# bfloat16. Hãy cộng tích bằng `+`, nó nhận được cả hai.
# %% role="wrong" name="one_dtype_alone"
patch("merged = merged + strength * alpha / len(down) * (up @ down)",
      "merged = torch.addmm(merged, up, down, alpha=strength * alpha / len(down))")

# %% [markdown] lang="en" role="mistake" name="nothing_to_put_together"
# With no style at all it stops: `torch.stack` and `torch.cat` need at least one tensor. Begin with the weight and add to it,
# and an empty list needs no case of its own.
# %% [markdown] lang="vi" of="11092f3c"
# Khi không có phong cách nào, hàm dừng lại: `torch.stack` và `torch.cat` cần ít nhất một tensor. Hãy bắt đầu từ trọng số rồi
# cộng vào, khi ấy danh sách rỗng không cần xử lý riêng.
# %% role="wrong" name="nothing_to_put_together"
def merge(weight: Tensor, updates: Sequence[tuple[Tensor, Tensor, float]], strengths: Sequence[float]) -> Tensor:
    pairs = zip(updates, strengths, strict=True)
    products = torch.stack([strength * alpha / len(down) * (up @ down) for (down, up, alpha), strength in pairs])
    return (weight + products.sum(0)).to(weight.dtype)

# %% [markdown] lang="en" role="mistake" name="always_float32"
# The result is always float32. It must have the dtype of `weight`, whatever that is.
# %% [markdown] lang="vi" of="4e126121"
# Kết quả luôn là float32. Nó phải cùng kiểu số với `weight`, dù đó là kiểu nào.
# %% role="wrong" name="always_float32"
patch("merged.to(weight.dtype)", "merged.float()")

# %% role="library"
import torch
from torch import nn

from minidiff.nn.lora import Factors, LoRAMixer


def merge(weight, updates, strengths):
    """A model of one layer, and the library's mixer, which keeps the old weight by itself."""
    model = nn.Sequential(nn.Linear(weight.shape[1], weight.shape[0], bias=False).requires_grad_(False))
    model[0].weight.data = weight.clone()
    mixer = LoRAMixer(model)
    for k, (down, up, alpha) in enumerate(updates):
        mixer.add(str(k), {"0": Factors(down, up, alpha)})
    mixer.mix({str(k): strength for k, strength in enumerate(strengths)})
    return model[0].weight.data

# %% role="payoff"
def draw(merge: Callable) -> Tensor:
    found = []
    for strengths in ([-0.5, 0.0], [0.5, 0.0], [1.0, 0.0], [0.6, 0.6]):
        network = deepcopy(pipe.network)
        for name in neon:
            layer = network.get_submodule(name)
            both = [(f.down, f.up, f.alpha) for f in (neon[name], outline[name])]
            layer.weight.data = merge(layer.weight.data, both, strengths)
        found.append(pictures(network, prompts[0]))
    return torch.cat(found)                                         # (4, 3, 128, 128)


payoff(draw, merge)
