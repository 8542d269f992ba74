"""Exercise 08.2, kl: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="2" minutes="10"
# ## The price of a picture in nats
#
# How far is a picture's latent from pure noise? For a number whose bell has mean m and variance v, the KL divergence from it to
# the standard bell is
#
# $$\mathrm{KL}\big(\mathcal N(m, v)\,\|\,\mathcal N(0, 1)\big) = \tfrac12\,\big(m^2 + v - 1 - \log v\big)$$
#
# nats. Sum it over all numbers of a picture: (B, ...) with one or more further axes goes in, **one number for each picture**,
# (B,), comes out. You are given log v, not v. The price will be part of a loss, so gradients must reach both inputs.
#
# The last cell prints what three scenes cost. Then it treats every place of the latent as a picture of its own, and lights up
# the places that cost most: where is the information?
# %% [markdown] lang="vi" of="1f83d924"
# ## Giá của một bức tranh tính bằng nat
#
# Latent của một bức tranh cách nhiễu thuần bao xa? Với một số có quả chuông mang trung bình m và phương sai (variance) v, phân
# kỳ KL từ nó đến quả chuông chuẩn là
#
# $$\mathrm{KL}\big(\mathcal N(m, v)\,\|\,\mathcal N(0, 1)\big) = \tfrac12\,\big(m^2 + v - 1 - \log v\big)$$
#
# nat. Hãy cộng nó trên mọi số của một bức tranh: đi vào là (B, ...) với một hoặc nhiều chiều tiếp theo, đi ra là **mỗi bức
# tranh một số**, (B,). Bạn được cho log v chứ không phải v. Giá này sẽ nằm trong một hàm mất mát (loss), nên gradient phải đi
# đến được cả hai đầu vào.
#
# Ô cuối cùng in ra giá của ba cảnh. Sau đó nó coi mỗi vị trí của latent như một bức tranh riêng, và làm sáng những chỗ đắt
# nhất: thông tin nằm ở đâu?

# %% [markdown] lang="en" role="hints"
# Write the formula for one number first; PyTorch then does it for all of them at once.
# ---
# v is `log_variance.exp()`, and log v is there already. What is left is the sum over every axis but the first.
# ---
# `nats.flatten(1)` makes (B, everything else) of any shape; its sum over dim 1 is (B,).
# %% [markdown] lang="vi" of="04f07fb4"
# Trước hết hãy viết công thức cho một số; PyTorch sẽ làm cho tất cả cùng lúc.
# ---
# v là `log_variance.exp()`, còn log v thì đã có sẵn. Việc còn lại là lấy tổng trên mọi chiều trừ chiều đầu.
# ---
# `nats.flatten(1)` biến mọi kích thước thành (B, phần còn lại); tổng theo dim 1 của nó là (B,).

# %% [markdown] lang="en" role="stub"
# KL(N(mean, exp(log_variance)) || N(0, 1)) of each picture in nats, summed over
# all its numbers: (B, ...) twice to (B,), float32 or float64; gradients reach mean
# and log_variance.
# ---
# 1. the nats of every number                               # (B, ...)
# 2. their sum over all axes but the first                  # (B,)
# %% [markdown] lang="vi" of="81d64be3"
# KL(N(mean, exp(log_variance)) || N(0, 1)) của từng bức tranh tính bằng nat, là
# tổng trên mọi số của nó: hai tensor (B, ...) thành (B,), float32 hoặc float64;
# gradient đi đến được mean và log_variance.
# ---
# 1. số nat của từng số                                     # (B, ...)
# 2. tổng trên mọi chiều trừ chiều đầu                      # (B,)

# %% role="solution"
def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    nats = (mean.square() + log_variance.exp() - 1 - log_variance) / 2
    return nats.flatten(1).sum(dim=1)                           # (B,)

# %% [markdown] lang="en" role="checks"
# - one number for each picture
# - float32 stays float32
# - the standard bell costs nothing
# - three pictures of (C, h, w) numbers
# - latents with one further axis, and with four
# - one picture, numbers in another order of memory, very narrow and very wide bells
# - gradients of mean and log-variance
# %% [markdown] lang="vi" of="f42db8ec"
# - mỗi bức tranh một số
# - float32 vẫn là float32
# - quả chuông chuẩn không tốn gì
# - ba bức tranh gồm (C, h, w) số
# - latent có thêm một chiều, và thêm bốn chiều
# - một bức tranh, các số nằm theo thứ tự khác trong bộ nhớ, chuông rất hẹp và rất rộng
# - gradient của trung bình và của log phương sai

# %% role="probes"
import torch


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


MEAN, LOG_VARIANCE = 1.2 * normal(3, 2, 4, 5, seed=1), 1.5 * normal(3, 2, 4, 5, seed=2) - 0.5
NARROW_AND_WIDE = torch.tensor([[[-30.0, -8.0, 0.0], [1.0, 3.0, 5.0]]], dtype=torch.float64)     # (1, 2, 3)


def other_axes(f, mean, log_variance):
    """The same numbers as (B, 40), and as (B, 2, 2, 2, 5)."""
    shapes = (3, 40), (3, 2, 2, 2, 5)
    return [f(mean.reshape(shape), log_variance.reshape(shape)) for shape in shapes]


def gradients(f, mean, log_variance):
    leaves = mean.clone().requires_grad_(), log_variance.clone().requires_grad_()
    price = f(*leaves)
    (price * torch.arange(1, price.numel() + 1).reshape(price.shape)).sum().backward()
    return [leaf.grad for leaf in leaves]


probe(lambda f, mean, log_variance: list(f(mean, log_variance).shape), mean=MEAN, log_variance=LOG_VARIANCE)
probe(lambda f, mean, log_variance: str(f(mean, log_variance).dtype), mean=MEAN.float(), log_variance=LOG_VARIANCE.float())
probe(lambda f, mean, log_variance: f(mean, log_variance), mean=torch.zeros(2, 3), log_variance=torch.zeros(2, 3))
probe(lambda f, mean, log_variance: f(mean, log_variance), points=2, mean=MEAN, log_variance=LOG_VARIANCE)
probe(other_axes, mean=MEAN, log_variance=LOG_VARIANCE)
probe(lambda f, mean, log_variance: f(mean.transpose(1, 2), log_variance), mean=normal(1, 3, 2, seed=4),
      log_variance=NARROW_AND_WIDE)
probe(gradients, mean=MEAN, log_variance=LOG_VARIANCE)

# %% [markdown] lang="en" role="mistake" name="mean_over_numbers"
# The mean over a picture's numbers was taken, not their sum. Independent numbers cost the sum of their prices; with the mean, a
# latent of 4 numbers would cost as much as one of 4000, and the weight of the KL term would depend on the size.
# %% [markdown] lang="vi" of="ab08af09"
# Bạn lấy trung bình trên các số của một bức tranh thay vì tổng. Các số độc lập thì giá là tổng giá của từng số; nếu lấy trung
# bình, latent 4 số sẽ có giá bằng latent 4000 số, và trọng số của phần KL sẽ phụ thuộc vào kích thước.
# %% role="wrong" name="mean_over_numbers"
patch("sum(dim=1)", "mean(dim=1)")

# %% [markdown] lang="en" role="mistake" name="all_summed"
# One number came out for all pictures together: the batch was summed as well. Each picture has a price of its own; keep the
# first axis.
# %% [markdown] lang="vi" of="0a0fb890"
# Chỉ có một số cho tất cả các bức tranh: cả lô (batch) cũng bị cộng lại. Mỗi bức tranh có giá riêng; hãy giữ chiều đầu.
# %% role="wrong" name="all_summed"
patch("flatten(1).sum(dim=1)", "sum()")

# %% [markdown] lang="en" role="mistake" name="mean_of_everything"
# This is the mean over everything, one number, as `VAE.kl` in the library gives it. Here a picture's own sum is asked for:
# (B,).
# %% [markdown] lang="vi" of="72f1878d"
# Đây là trung bình trên tất cả, một số duy nhất, như `VAE.kl` trong thư viện. Ở đây cần tổng riêng của từng bức tranh: (B,).
# %% role="wrong" name="mean_of_everything"
patch("flatten(1).sum(dim=1)", "mean()")

# %% [markdown] lang="en" role="mistake" name="batch_averaged"
# The sum over a picture's numbers is right, but then the mean over the batch was taken. That comes later, in the loss; here
# each picture keeps its own price, (B,).
# %% [markdown] lang="vi" of="374af917"
# Tổng trên các số của một bức tranh thì đúng, nhưng sau đó bạn lấy trung bình trên cả lô. Việc đó để sau, trong hàm mất mát; ở
# đây mỗi bức tranh giữ giá riêng, (B,).
# %% role="wrong" name="batch_averaged"
patch("flatten(1).sum(dim=1)", "flatten(1).sum(dim=1).mean()")

# %% [markdown] lang="en" role="mistake" name="nothing_summed"
# The formula is right, but there is still a price for every number of the latent. Sum over all axes but the first.
# %% [markdown] lang="vi" of="448a9473"
# Công thức đúng, nhưng mỗi số của latent vẫn còn một giá riêng. Hãy lấy tổng trên mọi chiều trừ chiều đầu.
# %% role="wrong" name="nothing_summed"
patch("nats.flatten(1).sum(dim=1)", "nats")

# %% [markdown] lang="en" role="mistake" name="last_axis_alone"
# Only the last axis was summed. The picture's other axes (channels, rows) belong to it as well: one number a picture must
# remain.
# %% [markdown] lang="vi" of="5c95b56e"
# Bạn chỉ lấy tổng trên chiều cuối. Các chiều khác của bức tranh (kênh, hàng) cũng thuộc về nó: mỗi bức tranh chỉ còn một số.
# %% role="wrong" name="last_axis_alone"
patch("flatten(1).sum(dim=1)", "sum(dim=-1)")

# %% [markdown] lang="en" role="mistake" name="three_axes_only"
# It works for latents with exactly three further axes. Others have one (a vector) or more: `flatten(1)`, or dims from 1 to the
# last, serve all of them.
# %% [markdown] lang="vi" of="217c44c8"
# Hàm chỉ chạy được với latent có đúng ba chiều tiếp theo. Latent khác có một chiều (vector) hoặc nhiều hơn: `flatten(1)`, hay
# các dim từ 1 đến cuối, dùng được cho mọi trường hợp.
# %% role="wrong" name="three_axes_only"
patch("flatten(1).sum(dim=1)", "sum(dim=(1, 2, 3))")

# %% [markdown] lang="en" role="mistake" name="sign"
# The sign is turned: a KL divergence is never below 0. Added to a loss like this, it would pay for being far from the standard
# bell, without end.
# %% [markdown] lang="vi" of="2247b430"
# Dấu bị đảo: phân kỳ KL không bao giờ nhỏ hơn 0. Cộng vào hàm mất mát như thế, nó sẽ thưởng cho việc rời xa quả chuông chuẩn,
# xa mãi không dừng.
# %% role="wrong" name="sign"
patch("mean.square() + log_variance.exp() - 1 - log_variance", "1 + log_variance - mean.square() - log_variance.exp()")

# %% [markdown] lang="en" role="mistake" name="half_missing"
# Twice too much: the factor 1/2 in front of the bracket is missing.
# %% [markdown] lang="vi" of="219c280a"
# Lớn gấp đôi: thiếu hệ số 1/2 trước dấu ngoặc.
# %% role="wrong" name="half_missing"
patch("log_variance) / 2", "log_variance)")

# %% [markdown] lang="en" role="mistake" name="half_of_the_last"
# The 1/2 divides the last term alone. It belongs to the whole bracket: mind the parentheses.
# %% [markdown] lang="vi" of="e911574d"
# Phép chia đôi chỉ áp dụng cho số hạng cuối. Nó thuộc về cả dấu ngoặc: hãy để ý các dấu ngoặc.
# %% role="wrong" name="half_of_the_last"
patch("(mean.square() + log_variance.exp() - 1 - log_variance) / 2",
      "mean.square() + log_variance.exp() - 1 - log_variance / 2")

# %% [markdown] lang="en" role="mistake" name="mean_not_squared"
# The mean enters without its square, so a mean of -3 would be cheaper than 0. What costs is the squared distance from 0.
# %% [markdown] lang="vi" of="29425363"
# Trung bình được đưa vào mà không bình phương, nên trung bình -3 lại rẻ hơn 0. Thứ phải trả giá là bình phương khoảng cách đến
# 0.
# %% role="wrong" name="mean_not_squared"
patch("mean.square()", "mean")

# %% [markdown] lang="en" role="mistake" name="log_taken_twice"
# A logarithm was taken of the log-variance, which is one already: nan wherever it is negative. log v is log_variance as it
# stands, and v is exp(log_variance).
# %% [markdown] lang="vi" of="6071e4e3"
# Log phương sai vốn đã là logarit mà lại bị lấy logarit lần nữa: chỗ nào nó âm thì ra nan. log v chính là log_variance, còn v
# là exp(log_variance).
# %% role="wrong" name="log_taken_twice"
patch("log_variance.exp() - 1 - log_variance", "log_variance - 1 - log_variance.log()")

# %% [markdown] lang="en" role="mistake" name="deviation_for_variance"
# v is the variance, but exp(log_variance / 2) is the standard deviation. In `reparameterise` that was wanted; here it isn't.
# %% [markdown] lang="vi" of="a860da69"
# v là phương sai, còn exp(log_variance / 2) là độ lệch chuẩn (standard deviation). Trong `reparameterise` thì cần nó; ở đây thì
# không.
# %% role="wrong" name="deviation_for_variance"
patch("log_variance.exp()", "(log_variance / 2).exp()")

# %% [markdown] lang="en" role="mistake" name="one_missing"
# The -1 is missing. It makes the price of the standard bell 0; without it every number of the latent costs half a nat for
# nothing.
# %% [markdown] lang="vi" of="70c32788"
# Thiếu số -1. Nhờ nó quả chuông chuẩn có giá bằng 0; không có nó thì mỗi số của latent mất không nửa nat.
# %% role="wrong" name="one_missing"
patch(" - 1 - log_variance", " - log_variance")

# %% [markdown] lang="en" role="mistake" name="log_forgotten"
# The term -log v is missing. It is what makes a narrow bell expensive: without it, the cheapest bell has no width at all, and
# the latent becomes an ordinary code without room around it.
# %% [markdown] lang="vi" of="369034ad"
# Thiếu số hạng -log v. Chính nó làm cho chuông hẹp phải đắt: không có nó thì quả chuông rẻ nhất có bề rộng bằng 0, và latent
# thành một mã thông thường, xung quanh không còn khoảng trống nào.
# %% role="wrong" name="log_forgotten"
patch(" - 1 - log_variance", " - 1")

# %% [markdown] lang="en" role="mistake" name="log_added"
# The logarithm is added where it should be subtracted: now wide bells cost more and narrow ones may cost less than nothing.
# Look at the signs in the bracket.
# %% [markdown] lang="vi" of="d582fd3f"
# Logarit bị cộng vào trong khi phải trừ đi: giờ chuông rộng thì đắt, còn chuông hẹp có thể có giá âm. Hãy xem lại các dấu trong
# ngoặc.
# %% role="wrong" name="log_added"
patch(" - 1 - log_variance", " - 1 + log_variance")

# %% [markdown] lang="en" role="mistake" name="reversed"
# This is KL(N(0, 1) || N(m, v)), the other direction: KL is not symmetric. The picture's bell comes first, so its variance is
# nowhere in a denominator.
# %% [markdown] lang="vi" of="9fa3aeaa"
# Đây là KL(N(0, 1) || N(m, v)), tức chiều ngược lại: KL không đối xứng. Quả chuông của bức tranh đứng trước, nên phương sai của
# nó không nằm ở mẫu số nào cả.
# %% role="wrong" name="reversed"
patch("mean.square() + log_variance.exp() - 1 - log_variance", "(mean.square() + 1) / log_variance.exp() - 1 + log_variance")

# %% [markdown] lang="en" role="mistake" name="gradient_cut"
# The numbers are right, but no gradient comes back: `no_grad`, `detach` or `.item()` cut it off. The KL term trains the
# encoder, so it must stay attached.
# %% [markdown] lang="vi" of="bc03ae4f"
# Các số đều đúng, nhưng không có gradient nào đi ngược về: `no_grad`, `detach` hay `.item()` đã cắt nó. Phần KL huấn luyện
# (training) bộ mã hóa, nên phải giữ liên kết.
# %% role="wrong" name="gradient_cut"
patch("sum(dim=1)", "sum(dim=1).detach()")

# %% [markdown] lang="en" role="mistake" name="taken_for_log_deviation"
# The second input was taken for the logarithm of the standard deviation, so it counts twice. It is the logarithm of the
# variance: log v as it stands in the formula.
# %% [markdown] lang="vi" of="88de55ff"
# Đầu vào thứ hai bị coi là logarit của độ lệch chuẩn (standard deviation), nên nó bị tính gấp đôi. Nó là logarit của phương
# sai: chính là log v trong công thức.
# %% role="wrong" name="taken_for_log_deviation"
patch("log_variance.exp() - 1 - log_variance", "(2 * log_variance).exp() - 1 - 2 * log_variance")

# %% [markdown] lang="en" role="mistake" name="variance_squared"
# The exponential was squared once more. exp(log_variance) is the variance v already; a square would be due if it were the
# standard deviation.
# %% [markdown] lang="vi" of="4f7fb13c"
# Kết quả của exp lại bị bình phương thêm. exp(log_variance) đã là phương sai v rồi; chỉ khi nó là độ lệch chuẩn (standard
# deviation) thì mới cần bình phương.
# %% role="wrong" name="variance_squared"
patch("log_variance.exp()", "log_variance.exp().square()")

# %% [markdown] lang="en" role="mistake" name="log_of_deviation"
# v is right, but the logarithm that was subtracted is that of the standard deviation, half of log v.
# %% [markdown] lang="vi" of="afa7195d"
# v thì đúng, nhưng logarit bị trừ đi lại là của độ lệch chuẩn (standard deviation), chỉ bằng một nửa log v.
# %% role="wrong" name="log_of_deviation"
patch(" - 1 - log_variance", " - 1 - log_variance / 2")

# %% [markdown] lang="en" role="mistake" name="one_for_the_picture"
# The 1 was subtracted once for the whole picture. It belongs to every number of the latent: the bracket is summed with it.
# %% [markdown] lang="vi" of="8d84e50c"
# Số 1 chỉ bị trừ một lần cho cả bức tranh. Nó thuộc về từng số của latent: phải cộng cả dấu ngoặc cùng với nó.
# %% role="wrong" name="one_for_the_picture"
patch("mean.square() + log_variance.exp() - 1 - log_variance) / 2", "mean.square() + log_variance.exp() - log_variance) / 2")
patch("sum(dim=1)", "sum(dim=1) - 0.5")

# %% [markdown] lang="en" role="mistake" name="bits"
# These are bits: the nats were divided by the logarithm of 2. The formula with the natural logarithm gives nats as it is.
# %% [markdown] lang="vi" of="aca2566a"
# Đây là bit: số nat đã bị chia cho logarit của 2. Công thức với logarit tự nhiên cho sẵn nat.
# %% role="wrong" name="bits"
patch("sum(dim=1)", "sum(dim=1) / torch.tensor(2.0).log().item()")

# %% [markdown] lang="en" role="mistake" name="axis_kept"
# The prices are right, but their shape is (B, 1). Asked for is (B,), without the axis that was summed.
# %% [markdown] lang="vi" of="3c839e76"
# Giá thì đúng, nhưng kích thước là (B, 1). Đề bài cần (B,), không còn chiều đã lấy tổng.
# %% role="wrong" name="axis_kept"
patch("sum(dim=1)", "sum(dim=1, keepdim=True)")

# %% role="library"
import torch
from torch.distributions import Independent, Normal, kl_divergence


def kl(mean, log_variance):
    axes = mean.ndim - 1
    own = Independent(Normal(mean, (log_variance / 2).exp()), axes)
    standard = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), axes)
    return kl_divergence(own, standard)

# %% role="payoff"
@torch.inference_mode()
def draw(kl: Callable) -> Tensor:
    mean, log_variance = vae.encode(pictures)                   # (3, 4, 16, 16) each
    print("nats of the three pictures:", kl(mean, log_variance).round().tolist())
    at_places = [part.movedim(1, -1).reshape(-1, 4) for part in (mean, log_variance)]
    maps = kl(*at_places).reshape(3, 16, 16)
    return torch.cat([pictures, overlay(pictures, maps)])       # (6, 3, 128, 128)


payoff(draw, kl)
