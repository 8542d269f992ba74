"""Exercise 17.7, weighted_loss: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% role="variants"
vary("weighted_loss", "v_loss", "mean_v_error")

# %% [markdown] lang="en" role="task" difficulty="3" minutes="5"
# ## Part 2, training: the loss of v
#
# The network is given the noisy pictures, `a` (B,) (the alpha_bar of each row, in x0's dtype), the words and their bias:
# `network(x, a, words, bias)`. It should answer $v = \sqrt{\bar\alpha_t}\,\epsilon - \sqrt{1 - \bar\alpha_t}\,x_0$. Take the
# squared error, its mean for each picture, and then the mean over the batch, in which row i counts `weight[i]` times: a weighted
# mean, which doesn't change when all weights are doubled. Gradients have to pass.
#
# `add_noise` is there as you wrote it.
# %% [markdown] lang="vi" of="c459b22e"
# ## Phần 2, huấn luyện: hàm mất mát của v
#
# Mạng nhận các ảnh đã thêm nhiễu, `a` (B,) (alpha_bar của từng hàng, cùng kiểu số với x0), các từ và bias của chúng:
# `network(x, a, words, bias)`. Nó phải trả lời $v = \sqrt{\bar\alpha_t}\,\epsilon - \sqrt{1 - \bar\alpha_t}\,x_0$. Lấy bình
# phương sai số, trung bình của nó trên từng ảnh, rồi trung bình trên cả lô, trong đó hàng i được tính `weight[i]` lần: một trung
# bình có trọng số, không đổi khi mọi trọng số cùng gấp đôi. Gradient phải đi qua được.
#
# Có sẵn `add_noise` như bạn đã viết.

# %% [markdown] lang="en" role="hints"
# Clean data is at time 0, which is what `s` says.
# ---
# `.flatten(1).mean(1)` leaves a number for each picture.
# ---
# The sum of weight times error, divided by the sum of the weights.
# %% [markdown] lang="vi" of="3a9684b9"
# Dữ liệu sạch ở thời điểm 0; `s` nói điều đó.
# ---
# `.flatten(1).mean(1)` để lại mỗi ảnh một số.
# ---
# Tổng của trọng số nhân sai số, chia cho tổng các trọng số.

# %% [markdown] lang="en" role="stub"
# x0, eps (B, ...), t (B,) from 1 to T, weight (B,); table: alpha_bar, (T + 1,).
# Returns the weighted mean of the squared errors of v, ().
# ---
# 1. the noisy pictures, and what the network says of them    # (B, ...)
# 2. v, and the squared error of each picture                 # (B,)
# 3. the weighted mean                                        # ()
# %% [markdown] lang="vi" of="5a3c850e"
# x0, eps (B, ...), t (B,) từ 1 đến T, weight (B,); table: alpha_bar, (T + 1,).
# Trả về trung bình có trọng số của bình phương sai số của v, ().
# ---
# 1. ảnh đã thêm nhiễu, và câu trả lời của mạng về chúng      # (B, ...)
# 2. v, và bình phương sai số của từng ảnh                    # (B,)
# 3. trung bình có trọng số                                   # ()

# %% role="solution"
def weighted_loss(
    network: Callable, x0: Tensor, t: Tensor, eps: Tensor, words: Tensor, bias: Tensor,
    weight: Tensor, table: Tensor,
) -> Tensor:
    x = add_noise(x0, torch.zeros_like(t), t, eps, table)       # (B, ...)
    a = table[t].to(x0.dtype)                                   # (B,)
    rows = a.view(-1, *[1] * (x0.ndim - 1))                     # (B, 1, ..., 1)
    v = rows.sqrt() * eps - (1 - rows).sqrt() * x0              # (B, ...)
    error = (network(x, a, words, bias) - v).square()           # (B, ...)
    each = error.flatten(1).mean(1)                             # (B,)
    return (weight * each).sum() / weight.sum()                 # ()

# %% [markdown] lang="en" role="checks"
# - shape and dtype
# - what the network is given
# - the loss, all weights 1
# - the loss, weights of several sizes
# - gradients reach the network
# %% [markdown] lang="vi" of="d26e030f"
# - kích thước và kiểu số
# - những gì mạng nhận được
# - giá trị hàm mất mát, mọi trọng số bằng 1
# - giá trị hàm mất mát, trọng số lớn nhỏ khác nhau
# - gradient đến được mạng

# %% role="probes"
import torch


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(x, a, words, bias):
    return x.sin() + a.view(-1, 1, 1, 1) + words.mean((1, 2)).view(-1, 1, 1, 1) + bias.exp().mean()


def kind(f, **kit):
    small = {name: value.float() if value.is_floating_point() and name != "table" else value for name, value in kit.items()}
    found = f(network, **small)
    return [list(found.shape), str(found.dtype)]


def told(f, **kit):
    seen = {}

    def spy(*given):
        seen.update(zip(("x", "a", "words", "bias"), given, strict=True))
        return torch.zeros_like(given[0])

    f(spy, **kit)
    return seen


def slope(f, **kit):
    """The gradient of one number in the network."""
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    loss = f(lambda x, a, words, bias: scale * network(x, a, words, bias), **kit)
    return torch.autograd.grad(loss, scale)[0] if loss.requires_grad else None


KIT = dict(
    x0=normal(3, 2, 4, 2, seed=1), t=torch.tensor([1, 5, 10]), eps=normal(3, 2, 4, 2, seed=2), words=normal(3, 5, 4, seed=3),
    bias=0.3 * normal(3, 1, 1, 5, seed=4), weight=torch.tensor([0.05, 0.2, 0.025]).double(),
    table=torch.cos(torch.linspace(0, 1.5, 11, dtype=torch.float64)) ** 2,
)
EVEN = {**KIT, "weight": torch.ones(3).double()}

probe(kind, **KIT)
probe(told, **KIT)
probe(lambda f, **kit: f(network, **kit), **EVEN)
probe(lambda f, **kit: f(network, **kit), **KIT)
probe(slope, **KIT)

# %% [markdown] lang="en" role="mistake" name="eps_for_v"
# The error is that of the noise. This network answers v.
# %% [markdown] lang="vi" of="97acc5ff"
# Đây là sai số của nhiễu. Mạng này trả lời v.
# %% role="wrong" name="eps_for_v"
patch("v = rows.sqrt() * eps - (1 - rows).sqrt() * x0 ", "v = eps ")

# %% [markdown] lang="en" role="mistake" name="x0_for_v"
# The error is that of the clean picture. This network answers v.
# %% [markdown] lang="vi" of="d7f6adc6"
# Đây là sai số của ảnh sạch. Mạng này trả lời v.
# %% role="wrong" name="x0_for_v"
patch("v = rows.sqrt() * eps - (1 - rows).sqrt() * x0 ", "v = x0 ")

# %% [markdown] lang="en" role="mistake" name="v_with_plus"
# There is a plus between the two parts of v. That would be the noisy picture again, turned round.
# %% [markdown] lang="vi" of="da14cb8f"
# Giữa hai phần của v là dấu cộng. Như vậy lại là ảnh nhiễu, chỉ đảo vai.
# %% role="wrong" name="v_with_plus"
patch("* eps - (1", "* eps + (1")

# %% [markdown] lang="en" role="mistake" name="v_turned_round"
# v has the opposite sign: the noise counts positive, the data negative.
# %% [markdown] lang="vi" of="8a58fb93"
# v bị ngược dấu: nhiễu mang dấu dương, dữ liệu mang dấu âm.
# %% role="wrong" name="v_turned_round"
patch("bias) - v)", "bias) + v)")

# %% [markdown] lang="en" role="mistake" name="v_without_roots"
# The two weights of v lack their roots.
# %% [markdown] lang="vi" of="d2caf929"
# Hai hệ số của v chưa lấy căn.
# %% role="wrong" name="v_without_roots"
patch("rows.sqrt() * eps - (1 - rows).sqrt() * x0", "rows * eps - (1 - rows) * x0")

# %% [markdown] lang="en" role="mistake" name="weights_ignored"
# All pictures count alike: `weight` is not used.
# %% [markdown] lang="vi" of="5005d745"
# Mọi ảnh được tính như nhau: `weight` không được dùng.
# %% role="wrong" name="weights_ignored"
patch("(weight * each).sum() / weight.sum()", "each.mean()")

# %% [markdown] lang="en" role="mistake" name="divided_by_the_number"
# The weighted sum was divided by the number of pictures. A weighted mean divides by the sum of the weights.
# %% [markdown] lang="vi" of="597d681b"
# Tổng có trọng số bị chia cho số ảnh. Trung bình có trọng số chia cho tổng các trọng số.
# %% role="wrong" name="divided_by_the_number"
patch("/ weight.sum()", "/ len(weight)")

# %% [markdown] lang="en" role="mistake" name="weights_squared"
# The weights went in before squaring, so they count squared. Weigh each picture's squared error.
# %% [markdown] lang="vi" of="a8526e5d"
# Trọng số được nhân trước khi bình phương, nên chúng bị bình phương theo. Hãy nhân vào bình phương sai số của từng ảnh.
# %% role="wrong" name="weights_squared"
patch("(weight * each).sum()", "(weight.square() * each).sum()")

# %% [markdown] lang="en" role="mistake" name="told_t"
# The network was told t. It wants to know alpha_bar, how much of the signal is left.
# %% [markdown] lang="vi" of="bd0d5ec2"
# Mạng được báo t. Nó cần biết alpha_bar, tức còn lại bao nhiêu tín hiệu.
# %% role="wrong" name="told_t"
patch("network(x, a, words", "network(x, t.to(x0.dtype), words")

# %% [markdown] lang="en" role="mistake" name="clean_pictures"
# The network was shown the clean pictures.
# %% [markdown] lang="vi" of="cb9021ce"
# Mạng được cho xem ảnh sạch.
# %% role="wrong" name="clean_pictures"
patch("network(x, a", "network(x0, a")

# %% [markdown] lang="en" role="mistake" name="sum_of_the_pixels"
# The errors of a picture were added up. Take their mean, so that the loss doesn't grow with the picture.
# %% [markdown] lang="vi" of="a7e55ef7"
# Các sai số của một ảnh bị cộng lại. Hãy lấy trung bình, để hàm mất mát không lớn theo kích thước ảnh.
# %% role="wrong" name="sum_of_the_pixels"
patch("flatten(1).mean(1)", "flatten(1).sum(1)")

# %% [markdown] lang="en" role="mistake" name="cut_off"
# No gradient reaches the network: this loss can't teach it. Look for detach, item or no_grad.
# %% [markdown] lang="vi" of="cb47b011"
# Không gradient nào đến được mạng: hàm mất mát này không dạy được gì. Hãy tìm detach, item hay no_grad.
# %% role="wrong" name="cut_off"
patch("each = error.flatten(1)", "each = error.detach().flatten(1)")

# %% [markdown] lang="en" role="mistake" name="bias_ignored"
# The network was not told `bias`: it reads the padding as words.
# %% [markdown] lang="vi" of="516429ed"
# Mạng không được báo `bias`: nó đọc cả phần đệm như từ.
# %% role="wrong" name="bias_ignored"
patch("network(x, a, words, bias)", "network(x, a, words, torch.zeros_like(bias))")

# %% [markdown] lang="en" role="mistake" name="at_least_1"
# The sum of the weights is taken as 1 where it is smaller, so small weights make a small loss. Divide by the sum itself.
# %% [markdown] lang="vi" of="6ddfbef5"
# Tổng các trọng số bị coi là 1 khi nó nhỏ hơn 1, nên trọng số nhỏ cho hàm mất mát nhỏ. Hãy chia cho chính tổng ấy.
# %% role="wrong" name="at_least_1"
patch("/ weight.sum()", "/ weight.sum().clamp(min=1)")

# %% role="library"
import torch

from minidiff.diffusion.prediction import target
from minidiff.diffusion.schedules import Cosine


def weighted_loss(network, x0, t, eps, words, bias, weight, table):
    """The library's mix and target, at the cosine schedule's time of this alpha_bar."""
    a = table[t].to(x0.dtype)
    time = torch.atan2((1 - table[t]).sqrt(), table[t].sqrt()) * 2 / torch.pi
    found = network(Cosine().mix(x0, eps, time), a, words, bias)
    error = torch.nn.functional.mse_loss(found, target(Cosine(), "v", x0, eps, time), reduction="none")
    return torch.dot(error.flatten(1).mean(1), weight / weight.sum())
