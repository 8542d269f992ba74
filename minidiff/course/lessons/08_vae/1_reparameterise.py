"""Exercise 08.1, reparameterise: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="1" minutes="6"
# ## A sample through which gradients flow
#
# For each latent number the encoder gives a bell: its mean, and the **logarithm of its variance**. Turn them and some standard
# normal `noise` into a sample of that bell. The noise is drawn elsewhere and handed in, so the sample is an ordinary formula of
# the mean and the log-variance, and gradients reach both.
#
# All three tensors have the same shape: (B, C, h, w), or any other. The last cell decodes samples of one picture's bells, with
# the noise as it is and then 10, 30 and 100 times as strong. How much room do the bells leave?
# %% [markdown] lang="vi" of="1db96259"
# ## Một mẫu để gradient đi qua được
#
# Với mỗi số của latent, bộ mã hóa cho một quả chuông: trung bình của nó, và **logarit của phương sai (variance)**. Từ hai thứ
# đó và nhiễu chuẩn `noise`, hãy tạo ra một mẫu của quả chuông ấy. Nhiễu được rút ở nơi khác rồi truyền vào, nên mẫu chỉ là một
# công thức thông thường của trung bình và log phương sai, và gradient đi đến được cả hai.
#
# Cả ba tensor có cùng kích thước: (B, C, h, w), hoặc kích thước nào khác. Ô cuối cùng giải mã các mẫu từ quả chuông của một bức
# tranh, với nhiễu giữ nguyên, rồi mạnh gấp 10, 30 và 100 lần. Các quả chuông ấy chừa ra bao nhiêu chỗ?

# %% [markdown] lang="en" role="hints"
# A bell with mean m and standard deviation s is a standard bell, stretched s times and moved by m.
# ---
# You are given neither s nor s², but log s². Which function undoes the logarithm, and what turns a variance into a standard
# deviation?
# ---
# Half the logarithm is the logarithm of the root: the standard deviation is exp(log_variance / 2). Multiply the noise by it,
# and add the mean.
# %% [markdown] lang="vi" of="913ca953"
# Một quả chuông có trung bình m và độ lệch chuẩn s là quả chuông chuẩn được kéo giãn s lần rồi dời đi m.
# ---
# Bạn không có s, cũng không có s², mà có log s². Hàm nào khử logarit, và phép gì biến phương sai thành độ lệch chuẩn?
# ---
# Một nửa của logarit là logarit của căn: độ lệch chuẩn là exp(log_variance / 2). Hãy nhân nó với nhiễu, rồi cộng trung bình.

# %% [markdown] lang="en" role="stub"
# A sample of N(mean, exp(log_variance)), made of the given standard normal noise.
# All have one shape (...), float32 or float64; gradients reach mean and
# log_variance.
# ---
# 1. the standard deviation                                 # (...)
# 2. stretch the noise, and move it to the mean             # (...)
# %% [markdown] lang="vi" of="0c26cf37"
# Một mẫu của N(mean, exp(log_variance)), tạo từ nhiễu chuẩn đã cho. Tất cả có cùng
# kích thước (...), float32 hoặc float64; gradient đi đến được mean và
# log_variance.
# ---
# 1. độ lệch chuẩn                                          # (...)
# 2. kéo giãn nhiễu rồi dời đến trung bình                  # (...)

# %% role="solution"
def reparameterise(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    std = torch.exp(log_variance / 2)                           # (...)
    return mean + std * noise                                   # (...)

# %% [markdown] lang="en" role="checks"
# - shape of the mean
# - float32 stays float32
# - samples of (B, C, h, w)
# - without noise, the mean
# - one picture, numbers in another order of memory, very narrow and very wide bells
# - gradients of mean and log-variance
# %% [markdown] lang="vi" of="72f72fce"
# - cùng kích thước với trung bình
# - float32 vẫn là float32
# - các mẫu cỡ (B, C, h, w)
# - không có nhiễu thì là trung bình
# - một bức tranh, các số nằm theo thứ tự khác trong bộ nhớ, chuông rất hẹp và rất rộng
# - gradient của trung bình và của log phương sai

# %% role="probes"
import torch


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


MEAN, NOISE = normal(2, 3, 4, 5, seed=1), normal(2, 3, 4, 5, seed=2)
LOG_VARIANCE = 1.5 * normal(2, 3, 4, 5, seed=3) - 0.5
BELLS = {"mean": MEAN, "log_variance": LOG_VARIANCE, "noise": NOISE}
NARROW_AND_WIDE = torch.tensor([[[-30.0, -8.0, 0.0], [1.0, 9.0, 20.0]]], dtype=torch.float64)     # (1, 2, 3)


def sample(f, mean, log_variance, noise):
    return f(mean, log_variance, noise)


def gradients(f, mean, log_variance, noise):
    leaves = mean.clone().requires_grad_(), log_variance.clone().requires_grad_()
    f(*leaves, noise).square().sum().backward()
    return [leaf.grad for leaf in leaves]


def turned(f, mean, log_variance, noise):
    return f(mean.transpose(1, 2), log_variance, noise.transpose(1, 2))


probe(lambda f, **bells: list(sample(f, **bells).shape), **BELLS)
probe(lambda f, **bells: str(sample(f, **bells).dtype), **{name: tensor.float() for name, tensor in BELLS.items()})
probe(sample, points=2, **BELLS)
probe(sample, **{**BELLS, "noise": torch.zeros_like(NOISE)})
probe(turned, mean=normal(1, 3, 2, seed=4), log_variance=NARROW_AND_WIDE, noise=normal(1, 3, 2, seed=5))
probe(gradients, points=2, **BELLS)

# %% [markdown] lang="en" role="mistake" name="log_variance_as_deviation"
# The log-variance itself multiplies the noise. It is a logarithm: -6 would mean a bell that is six wide and turned round, and 0
# no noise at all, while it stands for a standard deviation of 1.
# %% [markdown] lang="vi" of="34a41e2c"
# Chính log phương sai đang nhân với nhiễu. Nó là một logarit: như vậy -6 sẽ thành quả chuông rộng 6 và bị lật ngược, còn 0
# thành không có nhiễu, trong khi 0 ứng với độ lệch chuẩn bằng 1.
# %% role="wrong" name="log_variance_as_deviation"
patch("torch.exp(log_variance / 2)", "log_variance")

# %% [markdown] lang="en" role="mistake" name="variance_as_deviation"
# The noise is multiplied by the variance. What stretches it is the standard deviation, its root: as it is, narrow bells come
# out far too narrow and wide ones too wide.
# %% [markdown] lang="vi" of="e9479db2"
# Nhiễu bị nhân với phương sai. Thứ kéo giãn nhiễu là độ lệch chuẩn, tức căn của nó: như hiện giờ thì chuông hẹp thành quá hẹp,
# chuông rộng thành quá rộng.
# %% role="wrong" name="variance_as_deviation"
patch("torch.exp(log_variance / 2)", "torch.exp(log_variance)")

# %% [markdown] lang="en" role="mistake" name="halved_after_exp"
# The variance was divided by two. The half belongs inside: half of the logarithm makes a root, while half of the variance is no
# standard deviation.
# %% [markdown] lang="vi" of="bccc3953"
# Phương sai bị chia đôi. Phép chia đôi phải nằm bên trong: một nửa của logarit mới thành căn, còn một nửa phương sai thì không
# phải độ lệch chuẩn.
# %% role="wrong" name="halved_after_exp"
patch("torch.exp(log_variance / 2)", "torch.exp(log_variance) / 2")

# %% [markdown] lang="en" role="mistake" name="root_of_logarithm"
# The root was taken of the logarithm, which may be negative: then it is nan. First undo the logarithm, then take the root of
# the variance.
# %% [markdown] lang="vi" of="08c828f5"
# Bạn lấy căn của logarit, mà logarit có thể âm: khi đó kết quả là nan. Hãy khử logarit trước, rồi mới lấy căn của phương sai.
# %% role="wrong" name="root_of_logarithm"
patch("torch.exp(log_variance / 2)", "torch.sqrt(log_variance)")

# %% [markdown] lang="en" role="mistake" name="exp_forgotten"
# The log-variance was halved, but it is still a logarithm: `exp` is missing.
# %% [markdown] lang="vi" of="2753898f"
# Log phương sai đã được chia đôi nhưng vẫn còn là logarit: thiếu `exp`.
# %% role="wrong" name="exp_forgotten"
patch("torch.exp(log_variance / 2)", "log_variance / 2")

# %% [markdown] lang="en" role="mistake" name="sign_turned"
# The sign in the exponent is turned, so this is 1 / standard deviation: where the encoder is sure, the sample is all noise.
# %% [markdown] lang="vi" of="64144d41"
# Dấu trong số mũ bị đảo, nên đây là 1 / độ lệch chuẩn: chỗ nào bộ mã hóa chắc chắn thì mẫu lại toàn nhiễu.
# %% role="wrong" name="sign_turned"
patch("torch.exp(log_variance / 2)", "torch.exp(-log_variance / 2)")

# %% [markdown] lang="en" role="mistake" name="noise_as_it_is"
# The noise was added at full size, whatever the log-variance: every bell is taken to be one wide. The encoder can then say
# nothing about how sure it is.
# %% [markdown] lang="vi" of="c396b524"
# Nhiễu được cộng nguyên cỡ, bất kể log phương sai: chuông nào cũng bị coi là rộng 1. Như thế bộ mã hóa không nói được nó chắc
# chắn đến đâu.
# %% role="wrong" name="noise_as_it_is"
patch("mean + std * noise", "mean + noise")

# %% [markdown] lang="en" role="mistake" name="mean_stretched_too"
# The mean was multiplied by the standard deviation as well. Only the noise is stretched; the mean is where the bell stands.
# %% [markdown] lang="vi" of="5623c6a0"
# Cả trung bình cũng bị nhân với độ lệch chuẩn. Chỉ nhiễu mới được kéo giãn; trung bình là chỗ quả chuông đứng.
# %% role="wrong" name="mean_stretched_too"
patch("mean + std * noise", "std * (mean + noise)")

# %% [markdown] lang="en" role="mistake" name="mean_forgotten"
# Every bell stands at 0: the mean is missing, and with it all that the latent says about the picture.
# %% [markdown] lang="vi" of="693d3071"
# Quả chuông nào cũng đứng ở 0: thiếu trung bình, và cùng với nó là mọi điều latent nói về bức tranh.
# %% role="wrong" name="mean_forgotten"
patch("mean + std * noise", "std * noise")

# %% [markdown] lang="en" role="mistake" name="own_noise"
# The sample has the right bell, but noise of its own: `noise` is not used. Then nobody can draw the same sample twice, and no
# two answers can be compared.
# %% [markdown] lang="vi" of="eb08221c"
# Mẫu có đúng quả chuông, nhưng nhiễu là do hàm tự rút: `noise` không được dùng. Như thế không ai rút lại được cùng một mẫu, và
# không so sánh được hai bài làm.
# %% role="wrong" name="own_noise"
patch("std * noise", "std * torch.randn_like(mean)")

# %% [markdown] lang="en" role="mistake" name="softplus"
# This is softplus, with which some networks make a positive standard deviation out of any number. This encoder's second output
# means something else: the logarithm of the variance.
# %% [markdown] lang="vi" of="3371786f"
# Đây là softplus, cách mà một số mạng dùng để biến số bất kỳ thành độ lệch chuẩn dương. Đầu ra thứ hai của bộ mã hóa này có
# nghĩa khác: logarit của phương sai.
# %% role="wrong" name="softplus"
patch("torch.exp(log_variance / 2)", "torch.nn.functional.softplus(log_variance)")

# %% [markdown] lang="en" role="mistake" name="no_gradient_at_all"
# The numbers are right, but the sample hangs on nothing: `no_grad`, `detach` or `.data` cut it off from mean and log-variance.
# The decoder's error must reach the encoder through it; that is the point of the trick.
# %% [markdown] lang="vi" of="2894b756"
# Các số đều đúng, nhưng mẫu không nối với gì cả: `no_grad`, `detach` hoặc `.data` đã cắt nó khỏi trung bình và log phương sai.
# Sai số của bộ giải mã phải đi qua mẫu để đến bộ mã hóa; đó chính là mục đích của mẹo này.
# %% role="wrong" name="no_gradient_at_all"
patch("return mean + std * noise", "return (mean + std * noise).detach()")

# %% [markdown] lang="en" role="mistake" name="deviation_cut_off"
# The numbers are right and the mean gets its gradient, but the log-variance gets none: it was detached. The encoder then never
# learns how sure it may be.
# %% [markdown] lang="vi" of="cf75062e"
# Các số đều đúng và trung bình có gradient, nhưng log phương sai thì không: nó đã bị detach. Như vậy bộ mã hóa không bao giờ
# học được nó nên chắc chắn đến đâu.
# %% role="wrong" name="deviation_cut_off"
patch("torch.exp(log_variance / 2)", "torch.exp(log_variance / 2).detach()")

# %% [markdown] lang="en" role="mistake" name="mean_cut_off"
# The numbers are right and the log-variance gets its gradient, but the mean gets none: it was detached. The encoder then never
# learns where to put a picture.
# %% [markdown] lang="vi" of="b11dde9f"
# Các số đều đúng và log phương sai có gradient, nhưng trung bình thì không: nó đã bị detach. Như vậy bộ mã hóa không bao giờ
# học được phải đặt bức tranh ở đâu.
# %% role="wrong" name="mean_cut_off"
patch("return mean + std", "return mean.detach() + std")

# %% role="library"
import torch
from torch.distributions.transforms import AffineTransform


def reparameterise(mean, log_variance, noise):
    """As torch.distributions moves and stretches the standard normal."""
    return AffineTransform(loc=mean, scale=log_variance.exp().sqrt())(noise)

# %% role="payoff"
@torch.inference_mode()
def draw(reparameterise: Callable) -> Tensor:
    mean, log_variance = vae.encode(pictures[:1])               # (1, 4, 16, 16) each
    samples = [
        reparameterise(mean, log_variance, strength * latent_noise[:1])
        for strength in (1, 10, 30, 100)
    ]
    return vae.decode(torch.cat(samples))                       # (4, 3, 128, 128)


payoff(draw, reparameterise)
