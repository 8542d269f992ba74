"""Exercise 11.1, lora_update: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="1" minutes="5"
# ## The update beside a layer
#
# A linear layer computes $x W^\top$. LoRA leaves $W$ (out, in) alone and adds the result of two small matrices, `down` (r, in)
# and `up` (out, r), where the rank r is much smaller than in and out:
#
# $$\Delta(x) = \frac{\alpha}{r}\; x\, \text{down}^\top\, \text{up}^\top$$
#
# The first two lines are given. **Complete the last one.** x (..., in) may have any number of dimensions in front; the result
# is (..., out). Gradients must reach both factors, which are to be trained, and x, for the layers before this one. The cell at
# the end adds your update to the layers of `world-dit`, with the factors of a style that somebody has trained: the first two
# pictures are drawn without it, the last two with it.
# %% [markdown] lang="vi" of="d0ecc273"
# ## Phần cập nhật bên cạnh một lớp
#
# Một lớp tuyến tính tính $x W^\top$. LoRA không đụng đến $W$ (out, in) mà cộng thêm kết quả của hai ma trận nhỏ, `down` (r, in)
# và `up` (out, r), trong đó hạng (rank) r nhỏ hơn nhiều so với in và out:
#
# $$\Delta(x) = \frac{\alpha}{r}\; x\, \text{down}^\top\, \text{up}^\top$$
#
# Hai dòng đầu đã có sẵn. **Hãy hoàn thành dòng cuối.** x (..., in) có thể có bao nhiêu chiều phía trước cũng được; kết quả là
# (..., out). Gradient phải đến được hai thừa số, vì chúng sẽ được huấn luyện, và cả x, vì các lớp phía trước cần nó. Ô ở cuối
# cộng phần cập nhật của bạn vào các lớp của `world-dit`, với các thừa số của một phong cách đã được huấn luyện sẵn: hai bức đầu
# vẽ không có nó, hai bức sau vẽ với nó.

# %% [markdown] lang="en" role="hints"
# Write the shapes down: `low` is (..., r). Which matrix takes r numbers to out numbers, and which way round must it stand?
# ---
# `low @ up.T` is (..., out). What of the formula is still missing?
# ---
# `alpha / rank * (low @ up.T)`, with the `/` that divides exactly.
# %% [markdown] lang="vi" of="2fe6507c"
# Hãy viết các kích thước ra: `low` là (..., r). Ma trận nào đưa r số thành out số, và nó phải xoay theo chiều nào?
# ---
# `low @ up.T` là (..., out). Trong công thức còn thiếu gì?
# ---
# `alpha / rank * (low @ up.T)`, với `/` là phép chia chính xác.

# %% [markdown] lang="en" role="stub" given="2"
# x (..., in), down (r, in), up (out, r), of one dtype; alpha: a number, whole or
# not. Returns alpha / r times up(down(x)): (..., out), of x's dtype.
# ---
# 1. up to out numbers, times alpha / r                     # (..., out)
# %% [markdown] lang="vi" of="e33b619d"
# x (..., in), down (r, in), up (out, r), cùng kiểu số; alpha: một số, nguyên hay
# không. Trả về alpha / r nhân up(down(x)): (..., out), cùng kiểu số với x.
# ---
# 1. đưa lên out số, nhân với alpha / r                     # (..., out)

# %% role="solution"
def lora_update(x: Tensor, down: Tensor, up: Tensor, alpha: float) -> Tensor:
    rank = len(down)                                            # r
    low = x @ down.T                                            # (..., r)
    return alpha / rank * (low @ up.T)                          # (..., out)

# %% [markdown] lang="en" role="checks"
# - shape and dtype of the result, also in half precision
# - two images of five tokens, rank 3, alpha 6
# - alpha equal to the rank, then smaller than the rank
# - a single vector, a batch of one token, and a grid of tokens that lies transposed in memory
# - rank 1, and a rank larger than in and out
# - in, out and rank all 4
# - `up` full of zeros: the update is 0
# - gradients, which reach x and both factors
# %% [markdown] lang="vi" of="c4ed62db"
# - kích thước và kiểu số của kết quả, kể cả ở độ chính xác một nửa
# - hai ảnh, mỗi ảnh năm token, hạng 3, alpha 6
# - alpha bằng hạng, rồi nhỏ hơn hạng
# - một vector duy nhất, một lô chỉ có một token, và một lưới token nằm chuyển vị trong bộ nhớ
# - hạng 1, và một hạng lớn hơn cả in lẫn out
# - in, out và hạng đều bằng 4
# - `up` toàn số 0: phần cập nhật bằng 0
# - gradient, đến được x và cả hai thừa số

# %% role="probes"
import torch


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def factors(width, rank, out):
    return {"down": normal(rank, width, seed=2), "up": normal(out, rank, seed=3)}


def shape_and_dtype(f, x, down, up):
    found = []
    for kind in (torch.float32, torch.float64, torch.float16):
        y = f(x.to(kind), down.to(kind), up.to(kind), 6.0)
        found += [list(y.shape), str(y.dtype)]
    return found


def update(f, x, down, up, alpha):
    return f(x, down, up, alpha)


def two_alphas(f, x, down, up):
    return [f(x, down, up, 3), f(x, down, up, 1)]


def other_dimensions(f, x, grid, down, up):
    return [f(some, down, up, 4.5) for some in (x, x[None, None], grid.transpose(1, 2))]


def two_ranks(f, x, one, many):
    return [f(x, one["down"], one["up"], 0.5), f(x, many["down"], many["up"], 20)]


def gradients(f, x, down, up):
    for tensor in (x, down, up):
        tensor.requires_grad_()
    f(x, down, up, 6.0).square().sum().backward()
    return {"gradient of x": x.grad, "gradient of down": down.grad, "gradient of up": up.grad}


X = normal(2, 5, 7, seed=1)
GIVEN = {"x": X, **factors(7, 3, 4)}
ZEROS = {**GIVEN, "up": torch.zeros(4, 3, dtype=torch.float64)}

probe(shape_and_dtype, **GIVEN)
probe(update, points=2, **GIVEN, alpha=6.0)
probe(two_alphas, **GIVEN)
probe(other_dimensions, x=X[0, 0], grid=normal(2, 3, 5, 7, seed=4), **factors(7, 3, 4))
probe(two_ranks, x=X, one=factors(7, 1, 4), many=factors(7, 9, 4))
probe(update, x=normal(5, 4, seed=5), **factors(4, 4, 4), alpha=6.0)
probe(update, **ZEROS, alpha=6.0)
probe(gradients, **GIVEN, changes=("x", "down", "up"))

# %% [markdown] lang="en" role="mistake" name="scale_forgotten"
# The factor alpha / rank is missing. At alpha = rank it is 1 and nobody notices; with any other alpha the style comes out at
# the wrong strength, and a file from elsewhere draws many times too much or too little of it.
# %% [markdown] lang="vi" of="b7a41b6e"
# Thiếu hệ số alpha / rank. Khi alpha bằng hạng thì nó là 1 và không ai nhận ra; với alpha khác, phong cách hiện ra sai độ mạnh,
# và một tệp lấy từ nơi khác sẽ vẽ quá đậm hoặc quá nhạt nhiều lần.
# %% role="wrong" name="scale_forgotten"
patch("alpha / rank * (low @ up.T)", "low @ up.T")

# %% [markdown] lang="en" role="mistake" name="not_divided_by_rank"
# It is multiplied by alpha, but not divided by the rank. The division is what lets one learning rate serve all ranks: a sum
# over more ranks would otherwise be larger.
# %% [markdown] lang="vi" of="d0913afa"
# Bạn đã nhân với alpha nhưng chưa chia cho hạng. Nhờ phép chia này mà một tốc độ học dùng được cho mọi hạng: nếu không, tổng
# trên nhiều hạng hơn sẽ lớn hơn.
# %% role="wrong" name="not_divided_by_rank"
patch("alpha / rank * (", "alpha * (")

# %% [markdown] lang="en" role="mistake" name="alpha_forgotten"
# It is divided by the rank, but alpha has no effect: two files with different alphas would draw the same.
# %% [markdown] lang="vi" of="46926a11"
# Bạn đã chia cho hạng nhưng alpha không có tác dụng gì: hai tệp có alpha khác nhau lại vẽ như nhau.
# %% role="wrong" name="alpha_forgotten"
patch("alpha / rank * (low @ up.T)", "low @ up.T / rank")

# %% [markdown] lang="en" role="mistake" name="upside_down"
# The fraction is upside down: it is multiplied by rank / alpha. A larger alpha must give a stronger update.
# %% [markdown] lang="vi" of="d574fab0"
# Phân số bị lộn ngược: bạn đang nhân với rank / alpha. Alpha lớn hơn phải cho phần cập nhật mạnh hơn.
# %% role="wrong" name="upside_down"
patch("alpha / rank", "rank / alpha")

# %% [markdown] lang="en" role="mistake" name="whole_division"
# `//` cuts the fraction: with alpha below the rank it gives 0, and the update is gone; 4.5 / 3 becomes 1. Divide with `/`.
# %% [markdown] lang="vi" of="0f202dab"
# `//` cắt mất phần lẻ: khi alpha nhỏ hơn hạng, nó cho 0 và phần cập nhật biến mất; 4.5 / 3 thành 1. Hãy chia bằng `/`.
# %% role="wrong" name="whole_division"
patch("alpha / rank", "alpha // rank")

# %% [markdown] lang="en" role="mistake" name="root_of_the_rank"
# It is divided by the root of the rank. That is the rule of rsLoRA (Kalajdzievski 2023), which some files ask for; the LoRA of
# this lesson divides by the rank itself.
# %% [markdown] lang="vi" of="ee2a1317"
# Bạn chia cho căn bậc hai của hạng. Đó là quy tắc của rsLoRA (Kalajdzievski 2023), một số tệp dùng nó; LoRA của bài này chia
# cho chính hạng.
# %% role="wrong" name="root_of_the_rank"
patch("alpha / rank", "alpha / rank ** 0.5")

# %% [markdown] lang="en" role="mistake" name="rank_from_in"
# It is divided by in, the width of x. The rank is the number of *rows* of `down`, (r, in): its first dimension.
# %% [markdown] lang="vi" of="13c1305f"
# Bạn chia cho in, bề rộng của x. Hạng là số *hàng* của `down`, (r, in): chiều đầu tiên của nó.
# %% role="wrong" name="rank_from_in"
patch("rank = len(down) ", "rank = down.shape[1] ")

# %% [markdown] lang="en" role="mistake" name="rank_from_out"
# It is divided by out, the number of rows of `up`. The rank is what both factors share: the rows of `down`, the columns of
# `up`.
# %% [markdown] lang="vi" of="05ea0fd6"
# Bạn chia cho out, số hàng của `up`. Hạng là chiều chung của hai thừa số: số hàng của `down`, cũng là số cột của `up`.
# %% role="wrong" name="rank_from_out"
patch("rank = len(down) ", "rank = len(up) ")

# %% [markdown] lang="en" role="mistake" name="scaled_twice"
# alpha / rank is applied twice, to the low numbers and to the result: the update is that much stronger or weaker once more.
# %% [markdown] lang="vi" of="addeadf1"
# alpha / rank bị nhân hai lần, một lần vào `low` và một lần vào kết quả: phần cập nhật lại mạnh lên hay yếu đi thêm chừng ấy.
# %% role="wrong" name="scaled_twice"
patch("alpha / rank * (", "(alpha / rank) ** 2 * (")

# %% [markdown] lang="en" role="mistake" name="up_not_transposed"
# `up` is (out, r), so `low @ up` fits only where out happens to equal the rank, and is wrong even there. Weights stand as
# (out, in) in PyTorch: multiply with `up.T`.
# %% [markdown] lang="vi" of="788044e2"
# `up` là (out, r), nên `low @ up` chỉ khớp kích thước khi out tình cờ bằng hạng, và ngay cả khi đó cũng sai. Trong PyTorch,
# trọng số có dạng (out, in): hãy nhân với `up.T`.
# %% role="wrong" name="up_not_transposed"
patch("low @ up.T", "low @ up")

# %% [markdown] lang="en" role="mistake" name="nothing_transposed"
# Neither matrix is transposed. Weights stand as (out, in) in PyTorch, and x has its numbers last: `x @ down.T`, then `@ up.T`.
# %% [markdown] lang="vi" of="f4c4f439"
# Cả hai ma trận đều chưa được chuyển vị. Trong PyTorch trọng số có dạng (out, in), còn các số của x nằm ở chiều cuối: `x @
# down.T`, rồi `@ up.T`.
# %% role="wrong" name="nothing_transposed"
patch("x @ down.T", "x @ down")
patch("low @ up.T", "low @ up")

# %% [markdown] lang="en" role="mistake" name="up_first"
# The factors come in the wrong order: first `down` takes in numbers to the few r, then `up` takes them to out.
# %% [markdown] lang="vi" of="db57631f"
# Hai thừa số bị đổi thứ tự: trước hết `down` đưa in số xuống còn r số, rồi `up` đưa chúng lên out số.
# %% role="wrong" name="up_first"
patch("x @ down.T", "x @ up.T")
patch("low @ up.T", "low @ down.T")

# %% [markdown] lang="en" role="mistake" name="x_added"
# x was added to the result. The update stands beside the *layer*: it is added to what the layer gives, and not here.
# %% [markdown] lang="vi" of="891e81c4"
# x đã bị cộng vào kết quả. Phần cập nhật đứng bên cạnh *lớp*: nó được cộng vào kết quả của lớp, và không phải ở đây.
# %% role="wrong" name="x_added"
patch("return alpha", "return x + alpha")

# %% [markdown] lang="en" role="mistake" name="activation"
# There is an activation between the factors. Without one the update is a matrix, up @ down, and can be added to W; with one it
# could never be merged.
# %% [markdown] lang="vi" of="200ad976"
# Giữa hai thừa số có một hàm kích hoạt. Không có nó, phần cập nhật là một ma trận, up @ down, và cộng được vào W; có nó thì
# không bao giờ gộp được.
# %% role="wrong" name="activation"
patch("x @ down.T ", "(x @ down.T).relu() ")

# %% [markdown] lang="en" role="mistake" name="low_returned"
# Only `low`, the r numbers in the middle, came back: `up` was not used.
# %% [markdown] lang="vi" of="442b2809"
# Kết quả chỉ là r số trong `low`: `up` chưa được dùng.
# %% role="wrong" name="low_returned"
patch("(low @ up.T)", "low")

# %% [markdown] lang="en" role="mistake" name="matrices_alone"
# It works for a matrix x alone: `torch.mm` and `.t()` know two dimensions. In a transformer x is (B, N, in), and elsewhere it
# has more: use `@`, which multiplies along the last one.
# %% [markdown] lang="vi" of="93efdca1"
# Hàm chỉ chạy khi x là ma trận: `torch.mm` và `.t()` chỉ biết hai chiều. Trong transformer x là (B, N, in), ở nơi khác còn
# nhiều chiều hơn: hãy dùng `@`, nó nhân theo chiều cuối.
# %% role="wrong" name="matrices_alone"
patch("x @ down.T ", "torch.mm(x, down.T) ")

# %% [markdown] lang="en" role="mistake" name="tokens_alone"
# It works only for x with three dimensions, (B, N, in). Layers also get single vectors (the time) and grids: let `...` or `@`
# stand for whatever comes before the last dimension.
# %% [markdown] lang="vi" of="857925b4"
# Hàm chỉ chạy khi x có ba chiều, (B, N, in). Các lớp còn nhận cả vector đơn lẻ (thời gian) và lưới: hãy để `...` hay `@` lo cho
# mọi chiều đứng trước chiều cuối.
# %% role="wrong" name="tokens_alone"
patch("x @ down.T ", 'torch.einsum("bni,ri->bnr", x, down) ')

# %% [markdown] lang="en" role="mistake" name="always_float32"
# Everything was turned to float32. The result must have x's dtype, or the layer's own output and the update no longer fit
# together in half precision.
# %% [markdown] lang="vi" of="749eb5c3"
# Mọi thứ bị đổi sang float32. Kết quả phải cùng kiểu số với x, nếu không thì ở độ chính xác một nửa, đầu ra của lớp và phần cập
# nhật không còn khớp nhau.
# %% role="wrong" name="always_float32"
patch("x @ down.T ", "x.float() @ down.float().T ")
patch("low @ up.T", "low @ up.float().T")

# %% [markdown] lang="en" role="mistake" name="no_gradient"
# The numbers are right, but no gradient gets through, so the factors could never learn: no `detach()`, `.data`, NumPy or
# `torch.no_grad()` on the way.
# %% [markdown] lang="vi" of="f88c068f"
# Các con số đúng, nhưng không gradient nào đi qua được, nên hai thừa số không bao giờ học được: dọc đường không được có
# `detach()`, `.data`, NumPy hay `torch.no_grad()`.
# %% role="wrong" name="no_gradient"
patch("(low @ up.T)", "(low @ up.T).detach()")

# %% [markdown] lang="en" role="mistake" name="squeezed"
# `squeeze()` takes out every dimension of size 1, so a batch of one image, or one token, comes back with dimensions missing.
# The result has all dimensions of x; only the last one changes its size.
# %% [markdown] lang="vi" of="4ae8cc99"
# `squeeze()` bỏ mọi chiều có kích thước 1, nên một lô chỉ có một ảnh, hay chỉ một token, bị thiếu chiều khi trả về. Kết quả có
# đủ mọi chiều của x; chỉ chiều cuối đổi kích thước.
# %% role="wrong" name="squeezed"
patch("(low @ up.T)", "(low @ up.T).squeeze()")

# %% [markdown] lang="en" role="mistake" name="scale_in_float32"
# The scale is a float32 tensor with a dimension of its own, so in half precision the product becomes float32. A plain number,
# `alpha / rank`, takes the dtype of x.
# %% [markdown] lang="vi" of="23df6571"
# Hệ số là một tensor float32 có chiều riêng, nên ở độ chính xác một nửa, tích bị đổi thành float32. Một số thường, `alpha /
# rank`, thì theo kiểu số của x.
# %% role="wrong" name="scale_in_float32"
patch("alpha / rank * (", "torch.tensor([alpha / rank], dtype=torch.float32) * (")

# %% role="library"
from minidiff.nn.lora import Factors


def lora_update(x, down, up, alpha):
    """The whole product first, as it would be added to W."""
    weight = Factors(down, up, alpha).product()                 # (out, in)
    return x @ weight.transpose(0, 1)

# %% role="payoff"
def draw(lora_update: Callable) -> Tensor:
    network = deepcopy(pipe.network)
    for name, style in neon.items():
        def beside(layer, inputs, output, style=style):
            update = lora_update(inputs[0], style.down, style.up, style.alpha)
            return output + update

        network.get_submodule(name).register_forward_hook(beside)
    return torch.cat([plain, pictures(network)])                # (4, 3, 128, 128)


payoff(draw, lora_update)
