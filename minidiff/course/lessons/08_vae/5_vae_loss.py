"""Exercise 08.5, vae_loss: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="15"
# ## Debugging: the loss falls without end
#
# "My VAE learns well: its loss is below minus a million!" The cell below trains a VAE with a latent of two numbers on pictures
# of a sun. Its loss falls as no loss should, and its latents from -2 to 2, decoded as a map, show next to nothing. **Three**
# lines of the loss are wrong. Mend one, and the symptom changes before it goes; `check` tells you what is left.
#
# The loss is the mean squared error of the **sample's** reconstruction (the mean over all numbers), plus `weight` times the
# mean over the batch of your `kl`. The sample is your `reparameterise`'s. The last cell trains again, with your loss, and draws
# the same map.
# %% [markdown] lang="vi" of="503a45e6"
# ## Gỡ lỗi: hàm mất mát giảm mãi không dừng
#
# "VAE của tôi học tốt lắm: giá trị mất mát (loss) xuống dưới âm một triệu rồi!" Ô dưới đây huấn luyện một VAE có latent gồm hai
# số trên tranh mặt trời. Hàm mất mát của nó giảm đến mức không thể có, và các latent từ -2 đến 2, giải mã thành một bản đồ, gần
# như không có nghĩa gì. **Ba** dòng của hàm mất mát bị sai. Sửa một dòng thì triệu chứng đổi chứ chưa hết; `check` cho biết còn
# gì.
#
# Hàm mất mát gồm sai số bình phương trung bình của bản tái tạo từ **mẫu** (trung bình trên mọi số) cộng `weight` lần trung bình
# trên lô (batch) của `kl` mà bạn đã viết. Mẫu là do `reparameterise` của bạn tạo ra. Ô cuối cùng huấn luyện lại bằng hàm của
# bạn và vẽ cùng bản đồ ấy.

# %% role="shown"
def broken_loss(vae: Any, images: Tensor, noise: Tensor, weight: float) -> Tensor:
    mean, log_variance = vae.encode(images)                     # (B, 2) each
    z = mean + log_variance * noise                             # (B, 2)
    assert z.shape == mean.shape
    error = (vae.decode(mean) - images).square().mean()         # ()
    return error - weight * kl(mean, log_variance).mean()       # ()


broken_vae, losses = trained(broken_loss)
for step in (1, 100, 200, 300):
    print(f"step {step:3}: loss {losses[step - 1]:,.2f}")
show(plane(broken_vae))

# %% [markdown] lang="en" role="hints"
# A KL divergence is never negative, and neither is a squared error. How can their sum be?
# ---
# z is made; what becomes of it? And once it is used: is it the sample that your `reparameterise` makes?
# ---
# Three repairs: a plus in the last line, `vae.decode(z)`, and `reparameterise(mean, log_variance, noise)`.
# %% [markdown] lang="vi" of="f6612292"
# Phân kỳ KL không bao giờ âm, sai số bình phương cũng vậy. Làm sao tổng của chúng âm được?
# ---
# z được tạo ra, rồi sao nữa? Hãy lần theo nó đến cuối. Và khi nó đã được dùng: nó có phải là mẫu mà `reparameterise` của bạn
# tạo ra không?
# ---
# Ba chỗ cần sửa: dấu cộng ở dòng cuối, `vae.decode(z)`, và `reparameterise(mean, log_variance, noise)`.

# %% [markdown] lang="en" role="stub" given="as_given"
# images (B, 3, H, W), noise like the latents: one number (), the mean squared
# error of the sample's reconstruction, plus weight times the mean of the pictures'
# KL in nats.
# ---
# 1. mend the mistakes above, and the one in the last line
# 2. delete the next line
# %% [markdown] lang="vi" of="e2b8c525"
# images (B, 3, H, W), noise cùng kích thước với latent: một số (), là sai số bình
# phương trung bình của bản tái tạo từ mẫu, cộng weight lần trung bình KL của các bức
# tranh tính bằng nat.
# ---
# 1. sửa các lỗi ở trên, và lỗi ở dòng cuối
# 2. xóa dòng tiếp theo

# %% role="solution"
def vae_loss(vae: Any, images: Tensor, noise: Tensor, weight: float) -> Tensor:
    mean, log_variance = vae.encode(images)                     # (B, ...) each
    z = reparameterise(mean, log_variance, noise)               # (B, ...)
    error = (vae.decode(z) - images).square().mean()            # ()
    return error + weight * kl(mean, log_variance).mean()       # ()

# %% [markdown] lang="en" role="checks"
# - one number
# - float32 stays float32
# - weight 0: the error of the sample's reconstruction alone
# - weight 0.1, three pictures
# - one picture of another size, weight 2
# - latents that are vectors
# - what the encoder's and the decoder's weights learn from it
# %% [markdown] lang="vi" of="ba28c0bf"
# - một số
# - float32 vẫn là float32
# - weight bằng 0: chỉ có sai số của bản tái tạo từ mẫu
# - weight 0.1, ba bức tranh
# - một bức tranh kích thước khác, weight 2
# - latent là các vector
# - trọng số của bộ mã hóa và bộ giải mã học được gì từ đó

# %% role="probes"
import torch


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Coder(torch.nn.Module):
    """Pictures (B, 3, 2h, 2w) to bells of (B, 5, h, w), or of (B, 5 h w) where it is flat, and back."""

    def __init__(self, flat=None):
        super().__init__()
        self.weights = torch.nn.Parameter(normal(10, 12, seed=1) / 3)
        self.backward_weights = torch.nn.Parameter(normal(12, 5, seed=2) / 2)
        self.flat = flat

    def encode(self, x):
        parts = torch.nn.functional.pixel_unshuffle(x, 2)                   # (B, 12, h, w)
        moments = torch.einsum("oc,bchw->bohw", self.weights, parts).chunk(2, dim=1)
        mean, log_variance = (part.flatten(1) if self.flat else part for part in moments)
        return mean, log_variance - 0.7

    def decode(self, z):
        z = z.unflatten(1, self.flat) if self.flat else z
        parts = torch.einsum("oc,bchw->bohw", self.backward_weights, z)
        return 2 * torch.tanh(torch.nn.functional.pixel_shuffle(parts, 2))


IMAGES, NOISE = 1.5 * normal(3, 3, 4, 8, seed=3), normal(3, 5, 2, 4, seed=4)


def loss(f, vae, images, noise, weight):
    return f(vae, images, noise, weight)


def learnt(f, vae, images, noise, weight):
    f(vae, images, noise, weight).backward()
    return [weights.grad for weights in vae.parameters()]


probe(lambda f, **inputs: list(loss(f, **inputs).shape), vae=Coder(), images=IMAGES, noise=NOISE, weight=0.1)
probe(lambda f, **inputs: str(loss(f, **inputs).dtype), vae=Coder().float(), images=IMAGES.float(), noise=NOISE.float(),
      weight=0.1)
probe(loss, vae=Coder(), images=IMAGES, noise=NOISE, weight=0.0)
probe(loss, points=2, vae=Coder(), images=IMAGES, noise=NOISE, weight=0.1)
probe(loss, vae=Coder(), images=normal(1, 3, 6, 2, seed=5), noise=normal(1, 5, 3, 1, seed=6),
      weight=2.0)
probe(loss, vae=Coder(flat=(5, 2, 4)), images=IMAGES, noise=NOISE.flatten(1), weight=0.1)
probe(learnt, points=2, vae=Coder(), images=IMAGES, noise=NOISE, weight=0.1)

# %% [markdown] lang="en" role="mistake" name="as_given"
# The KL is subtracted, so it pays to be far from the standard bell: no end to that. And the mean is decoded: z is made and then
# forgotten, whatever it holds. Look at the last line, at `decode`, and then at z itself.
# %% [markdown] lang="vi" of="1b083e5a"
# KL đang bị trừ đi, nên càng xa quả chuông chuẩn càng được thưởng: không bao giờ dừng. Và trung bình bị đem giải mã: z được tạo
# ra rồi bị bỏ quên, bất kể chứa gì. Hãy xem dòng cuối, xem `decode`, rồi xem chính z.
# %% role="wrong" name="as_given"
patch("z = reparameterise(mean, log_variance, noise)               # (B, ...)",
      "z = mean + log_variance * noise                "
      "             # (B, ...)\n    assert z.shape == mean.shape")
patch("vae.decode(z) - images).square().mean()   ", "vae.decode(mean) - images).square().mean()")
patch("error + weight", "error - weight")

# %% [markdown] lang="en" role="mistake" name="sample_never_decoded"
# The KL has its sign, but the mean is decoded, not z. Then noise costs nothing, and every bell grows as wide as the KL likes,
# with a deviation of 1: the decoder never learns what lies between the means. Decode z, and see that z is a proper sample.
# %% [markdown] lang="vi" of="1239a7a2"
# KL đã đúng dấu, nhưng thứ được giải mã là trung bình chứ không phải z. Khi đó nhiễu không gây hại gì, và mọi quả chuông nở ra
# đúng như KL muốn, độ lệch chuẩn (standard deviation) bằng 1: bộ giải mã không học được gì về khoảng giữa các trung bình. Hãy
# giải mã z, và xem z có đúng là một mẫu không.
# %% role="wrong" name="sample_never_decoded"
patch("vae.decode(z)", "vae.decode(mean)")

# %% [markdown] lang="en" role="mistake" name="log_variance_as_deviation"
# One mistake is left: the noise is multiplied by the log-variance, as if that were the standard deviation. A log-variance of 0,
# a bell one wide, then means no noise at all, which suits decoder and KL alike. Your `reparameterise` does it right.
# %% [markdown] lang="vi" of="4f86508a"
# Còn một lỗi: nhiễu bị nhân với log phương sai (log-variance), như thể đó là độ lệch chuẩn (standard deviation). Log phương sai
# bằng 0, tức quả chuông rộng 1, khi ấy lại thành không có nhiễu, vừa ý cả bộ giải mã lẫn KL. Hàm `reparameterise` của bạn làm
# đúng việc này.
# %% role="wrong" name="log_variance_as_deviation"
patch("reparameterise(mean, log_variance, noise)", "mean + log_variance * noise")

# %% [markdown] lang="en" role="mistake" name="sign_of_kl"
# One mistake is left: the KL is subtracted. The loss then rewards latents that are far from the standard bell, and falls
# without end.
# %% [markdown] lang="vi" of="07a9ec53"
# Còn một lỗi: KL bị trừ đi. Hàm mất mát khi đó thưởng cho các latent ở xa quả chuông chuẩn, và giảm mãi không dừng.
# %% role="wrong" name="sign_of_kl"
patch("error + weight", "error - weight")

# %% [markdown] lang="en" role="mistake" name="sign_and_deviation"
# z is decoded now, and two mistakes are left: the KL is subtracted, and the noise is multiplied by the log-variance in place of
# the standard deviation.
# %% [markdown] lang="vi" of="1a4af759"
# Giờ z đã được giải mã, và còn hai lỗi: KL bị trừ đi, và nhiễu bị nhân với log phương sai (log-variance) thay vì độ lệch chuẩn
# (standard deviation).
# %% role="wrong" name="sign_and_deviation"
patch("reparameterise(mean, log_variance, noise)", "mean + log_variance * noise")
patch("error + weight", "error - weight")

# %% [markdown] lang="en" role="mistake" name="kl_summed_over_batch"
# The KL of all pictures was summed. The error is a mean, so with a larger batch the KL would weigh more: take its mean over the
# batch.
# %% [markdown] lang="vi" of="72014191"
# KL của mọi bức tranh bị cộng lại. Sai số là một trung bình, nên lô càng lớn thì KL càng nặng: hãy lấy trung bình trên lô.
# %% role="wrong" name="kl_summed_over_batch"
patch("kl(mean, log_variance).mean()", "kl(mean, log_variance).sum()")

# %% [markdown] lang="en" role="mistake" name="kl_per_number"
# The KL was averaged over the latent's numbers too. Asked for is the price of a whole picture, your `kl`, averaged over the
# batch alone.
# %% [markdown] lang="vi" of="122b0576"
# KL bị lấy trung bình cả trên các số của latent. Đề bài cần giá của cả bức tranh, tức `kl` của bạn, chỉ lấy trung bình trên lô.
# %% role="wrong" name="kl_per_number"
patch("kl(mean, log_variance).mean()", "kl(mean, log_variance).mean() / mean[0].numel()")

# %% [markdown] lang="en" role="mistake" name="a_loss_for_each_picture"
# A number for each picture came out. `backward` needs one: take the mean of the pictures' KL over the batch.
# %% [markdown] lang="vi" of="e02bccda"
# Kết quả là mỗi bức tranh một số. `backward` cần đúng một số: hãy lấy trung bình KL của các bức tranh trên lô.
# %% role="wrong" name="a_loss_for_each_picture"
patch("kl(mean, log_variance).mean()", "kl(mean, log_variance)")

# %% [markdown] lang="en" role="mistake" name="error_summed"
# The squared errors were summed over the whole batch. Asked for is their mean over all numbers; otherwise `weight` means
# something else for every size of picture and batch.
# %% [markdown] lang="vi" of="6060eb4b"
# Các sai số bình phương bị cộng lại trên cả lô. Đề bài cần trung bình trên mọi số; nếu không thì `weight` mang nghĩa khác nhau
# với mỗi cỡ tranh và mỗi cỡ lô.
# %% role="wrong" name="error_summed"
patch("square().mean()", "square().sum()")

# %% [markdown] lang="en" role="mistake" name="error_summed_per_picture"
# The squared errors of a picture were summed, and only then averaged over the batch. That is the form of the papers' ELBO, but
# here the error is the mean over all numbers, and `weight` is chosen for that.
# %% [markdown] lang="vi" of="cd5415c1"
# Sai số bình phương được cộng trong mỗi bức tranh rồi mới lấy trung bình trên lô. Đó là dạng ELBO trong các bài báo, nhưng ở
# đây sai số là trung bình trên mọi số, và `weight` được chọn theo đó.
# %% role="wrong" name="error_summed_per_picture"
patch("square().mean()", "square().flatten(1).sum(1).mean()")

# %% [markdown] lang="en" role="mistake" name="absolute_error"
# The error is the mean absolute one, without the square. It is a good choice for sharp pictures, but another loss than asked
# for.
# %% [markdown] lang="vi" of="44c74ebc"
# Sai số ở đây là sai số tuyệt đối trung bình, không bình phương. Đó là lựa chọn tốt cho tranh sắc nét, nhưng không phải hàm mất
# mát mà đề bài cần.
# %% role="wrong" name="absolute_error"
patch("square().mean()", "abs().mean()")

# %% [markdown] lang="en" role="mistake" name="root_of_the_error"
# The root of the mean squared error was taken. That changes how strongly it pulls against the KL; leave the square.
# %% [markdown] lang="vi" of="3b67ed83"
# Bạn đã lấy căn của sai số bình phương trung bình. Việc đó làm đổi sức kéo của nó so với KL; hãy để nguyên bình phương.
# %% role="wrong" name="root_of_the_error"
patch("square().mean()", "square().mean().sqrt()")

# %% [markdown] lang="en" role="mistake" name="weight_forgotten"
# The KL counts in full: `weight` is not used. Then it outweighs the error by far, and the encoder gives up saying anything.
# %% [markdown] lang="vi" of="ed19e331"
# KL được tính trọn vẹn: `weight` không được dùng. Khi đó nó lấn át sai số rất xa, và bộ mã hóa thôi không nói gì nữa.
# %% role="wrong" name="weight_forgotten"
patch("weight * kl", "kl")

# %% [markdown] lang="en" role="mistake" name="weight_on_the_error"
# `weight` multiplies the error. It belongs to the KL: with a small weight the pictures matter more, with a large one the
# standard bell.
# %% [markdown] lang="vi" of="04525627"
# `weight` đang nhân với sai số. Nó thuộc về KL: weight nhỏ thì tranh quan trọng hơn, weight lớn thì quả chuông chuẩn quan trọng
# hơn.
# %% role="wrong" name="weight_on_the_error"
patch("error + weight * kl", "weight * error + kl")

# %% [markdown] lang="en" role="mistake" name="weight_on_both"
# `weight` multiplies the whole sum, so it changes nothing about the balance. It belongs to the KL alone.
# %% [markdown] lang="vi" of="d1c7d61d"
# `weight` nhân với cả tổng, nên không đổi gì về sự cân bằng. Nó chỉ thuộc về KL.
# %% role="wrong" name="weight_on_both"
patch("error + weight * kl(mean, log_variance).mean()", "weight * (error + kl(mean, log_variance).mean())")

# %% [markdown] lang="en" role="mistake" name="kl_left_out"
# Only the error is left. Without the KL, the encoder makes its bells ever narrower and scatters them, and the decoder never
# learns what lies between them.
# %% [markdown] lang="vi" of="dd33b0ac"
# Chỉ còn lại sai số. Không có KL, bộ mã hóa làm các quả chuông ngày càng hẹp và rải chúng khắp nơi, và khoảng giữa chúng chẳng
# có nghĩa gì với bộ giải mã.
# %% role="wrong" name="kl_left_out"
patch("error + weight * kl(mean, log_variance).mean()", "error")

# %% [markdown] lang="en" role="mistake" name="variance_as_deviation"
# The noise is multiplied by the variance, exp(log_variance), not by its root. Your `reparameterise` makes the sample.
# %% [markdown] lang="vi" of="2142d630"
# Nhiễu bị nhân với phương sai (variance), exp(log_variance), chứ không phải căn của nó. Hãy để `reparameterise` của bạn tạo
# mẫu.
# %% role="wrong" name="variance_as_deviation"
patch("reparameterise(mean, log_variance, noise)", "mean + log_variance.exp() * noise")

# %% [markdown] lang="en" role="mistake" name="own_noise"
# The sample has noise of its own; `noise` is not used. Use the one that is handed in, so that a training can be repeated.
# %% [markdown] lang="vi" of="1846d5ea"
# Mẫu dùng nhiễu tự rút; `noise` không được dùng. Hãy dùng nhiễu được truyền vào, để lần huấn luyện (training) có thể lặp lại.
# %% role="wrong" name="own_noise"
patch("log_variance, noise)", "log_variance, torch.randn_like(mean))")

# %% [markdown] lang="en" role="mistake" name="sample_cut_off"
# The loss is right, but the sample was detached: the encoder learns from the KL and never from the pictures, so all of its
# bells end up alike.
# %% [markdown] lang="vi" of="5850bef9"
# Giá trị của hàm mất mát thì đúng, nhưng mẫu đã bị detach: bộ mã hóa chỉ học từ KL mà không bao giờ học từ tranh, nên rốt cuộc
# mọi quả chuông đều giống nhau.
# %% role="wrong" name="sample_cut_off"
patch("reparameterise(mean, log_variance, noise)", "reparameterise(mean, log_variance, noise).detach()")

# %% [markdown] lang="en" role="mistake" name="kl_cut_off"
# The loss is right, but the KL was cut off (`detach`, `.item()`, `no_grad`): a number that nobody can make smaller. The encoder
# learns from the pictures alone, as if `weight` were 0.
# %% [markdown] lang="vi" of="93676d40"
# Giá trị của hàm mất mát thì đúng, nhưng KL đã bị cắt rời (`detach`, `.item()`, `no_grad`): một con số không ai làm nhỏ đi
# được. Bộ mã hóa chỉ học từ tranh, như thể `weight` bằng 0.
# %% role="wrong" name="kl_cut_off"
patch("kl(mean, log_variance).mean()", "kl(mean, log_variance).mean().detach()")

# %% [markdown] lang="en" role="mistake" name="deviation_cut_off"
# The loss is right, but the log-variance was detached before the sample was made. The pictures then never tell the encoder how
# narrow a bell must be.
# %% [markdown] lang="vi" of="08c40cbb"
# Giá trị của hàm mất mát thì đúng, nhưng log phương sai (log-variance) đã bị detach trước khi tạo mẫu. Như thế tranh không bao
# giờ cho bộ mã hóa biết quả chuông phải hẹp đến đâu.
# %% role="wrong" name="deviation_cut_off"
patch("reparameterise(mean, log_variance, noise)", "reparameterise(mean, log_variance.detach(), noise)")

# %% [markdown] lang="en" role="mistake" name="weight_of_the_notebook"
# The KL is multiplied by a fixed 0.001, the weight of the last cell's training. `weight` is an argument: use that one.
# %% [markdown] lang="vi" of="a0e79343"
# KL được nhân với số cố định 0.001, tức trọng số trong lần huấn luyện ở ô cuối. `weight` là tham số của hàm: hãy dùng nó.
# %% role="wrong" name="weight_of_the_notebook"
patch("weight * kl", "0.001 * kl")

# %% [markdown] lang="en" role="mistake" name="encoder_cut_off"
# The loss is right, but the pictures were encoded under `no_grad` (or detached right after), so the encoder learns nothing at
# all. `redraw` trained nothing; here both halves of the VAE are trained.
# %% [markdown] lang="vi" of="72c0a600"
# Giá trị của hàm mất mát thì đúng, nhưng tranh được mã hóa dưới `no_grad` (hoặc bị detach ngay sau đó), nên bộ mã hóa chẳng học
# được gì. `redraw` không huấn luyện gì; còn ở đây cả hai nửa của VAE đều được huấn luyện (training).
# %% role="wrong" name="encoder_cut_off"
patch("mean, log_variance = vae.encode(images)                     # (B, ...) each",
      "mean, log_variance = (part.detach() for part in vae.encode(images))")

# %% role="library"
import torch
from torch.nn import functional as F

from minidiff.models.vae import VAE


def vae_loss(vae, images, noise, weight):
    """With the library's KL, which is a mean over all numbers of the latents."""
    mean, log_variance = vae.encode(images)
    z = torch.addcmul(mean, noise, log_variance.exp().sqrt())
    return F.mse_loss(vae.decode(z), images) + weight * VAE.kl(mean, log_variance) * mean.numel() / len(mean)

# %% role="payoff"
def draw(vae_loss: Callable) -> Tensor:
    sun_vae, losses = trained(vae_loss)
    print(f"loss at first {losses[0]:.3f}, at last {losses[-1]:.3f}")
    return plane(sun_vae)                                       # (1, 3, 128, 128)


payoff(draw, vae_loss)
