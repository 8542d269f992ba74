"""Exercise 08.4, redraw: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="4" minutes="18"
# ## Redraw a picture: into the latent space and back
#
# **Wire it.** A picture goes in, is turned into a latent, noised as far as time t, denoised towards a new prompt and decoded:
# what was coarse stays, what was fine is drawn anew. In order: encode, and take the **mean** of the bell (no sample); normalise
# with the factors of each channel; mix with noise, `schedule.alpha(t)` of the latent and `schedule.sigma(t)` of the noise; let
# `denoise(x, t)` make a clean latent of it, normalised as well; undo the normalisation; decode.
#
# `vae.encode(images)` gives mean and log-variance, `vae.decode(z)` pictures. Call `denoise` once, with the whole batch (each
# picture has a prompt of its own) and with t as it is. Nothing here is trained, so nothing may be kept for gradients; but
# leave the VAE as it was, since others may train it. The last cell redraws a house, a cat and a star as a heart, a star and a
# tree.
# %% [markdown] lang="vi" of="2b6cee4e"
# ## Vẽ lại một bức tranh: vào không gian ẩn (latent space) rồi trở ra
#
# **Lắp ráp.** Một bức tranh đi vào, được biến thành latent, thêm nhiễu đến thời điểm t, khử nhiễu (denoise) theo một prompt mới
# rồi giải mã: những gì thô thì ở lại, những gì chi tiết được vẽ lại. Lần lượt: mã hóa và lấy **trung bình** của quả chuông
# (không lấy mẫu); chuẩn hóa bằng các hệ số của từng kênh; trộn với nhiễu, `schedule.alpha(t)` phần latent và
# `schedule.sigma(t)` phần nhiễu; để `denoise(x, t)` tạo ra latent sạch, cũng ở dạng chuẩn hóa; hoàn tác phép chuẩn hóa; giải
# mã.
#
# `vae.encode(images)` cho trung bình và log phương sai (log-variance), `vae.decode(z)` cho tranh. Hãy gọi `denoise` một lần cho
# cả lô (batch), vì mỗi bức tranh có prompt riêng, và truyền t nguyên như đã cho. Ở đây không huấn luyện gì, nên không được giữ
# lại gì cho gradient; nhưng hãy để VAE nguyên như cũ, vì nơi khác có thể còn huấn luyện nó. Ô cuối cùng vẽ lại một ngôi nhà,
# một con mèo và một ngôi sao thành trái tim, ngôi sao và cái cây.

# %% [markdown] lang="en" role="hints"
# Write one line for each step of the task. One step undoes an earlier one: which?
# ---
# mean and std are (C,), the latent is (B, C, h, w): give them the shape (C, 1, 1). Whatever was done last when normalising is
# undone first.
# ---
# `z = (z - mean) / std`, `x_t = alpha * z + sigma * noise`, `clean = denoise(x_t, t)`, `vae.decode(clean * std + mean)`. All of
# it under `torch.no_grad()`, as a decorator or in a `with`.
# %% [markdown] lang="vi" of="ab23e680"
# Hãy viết mỗi bước của đề bài thành một dòng. Có một bước hoàn tác một bước trước đó: là bước nào?
# ---
# mean và std có kích thước (C,), còn latent là (B, C, h, w): hãy đổi chúng sang (C, 1, 1). Khi chuẩn hóa, việc gì làm sau cùng
# thì được hoàn tác trước tiên.
# ---
# `z = (z - mean) / std`, `x_t = alpha * z + sigma * noise`, `clean = denoise(x_t, t)`, `vae.decode(clean * std + mean)`. Tất cả
# nằm dưới `torch.no_grad()`, viết ở dạng decorator hoặc trong `with`.

# %% [markdown] lang="en" role="stub"
# images (B, 3, H, W), factors mean and std (C,), t () in float64, noise as large
# as the latents, (B, C, h, w): pictures like the images, redrawn from time t, not
# clamped, float32 or float64. denoise takes the whole batch x (B, C, h, w) and t ()
# as given, and returns clean latents, normalised. vae is left as it was.
# ---
# 1. nothing below is kept for gradients
# 2. encode: the mean of the bell                           # (B, C, h, w)
# 3. normalise each channel
# 4. noise it to time t
# 5. denoise from there
# 6. undo the normalisation, and decode                     # (B, 3, H, W)
# %% [markdown] lang="vi" of="06fdf1ae"
# images (B, 3, H, W), các hệ số mean và std (C,), t () kiểu float64, noise
# (B, C, h, w) cùng cỡ với latent: tranh cùng kích thước với images, vẽ lại từ thời
# điểm t, không cắt giá trị, float32 hoặc float64. denoise nhận cả lô x (B, C, h, w)
# cùng t () như đã cho, và trả về latent sạch đã chuẩn hóa. vae giữ nguyên như cũ.
# ---
# 1. mọi việc dưới đây không giữ lại gì cho gradient
# 2. mã hóa: trung bình của quả chuông                      # (B, C, h, w)
# 3. chuẩn hóa từng kênh
# 4. thêm nhiễu đến thời điểm t
# 5. khử nhiễu từ đó
# 6. hoàn tác phép chuẩn hóa rồi giải mã                    # (B, 3, H, W)

# %% role="solution"
@torch.no_grad()
def redraw(
    vae: Any, denoise: Callable, images: Tensor, mean: Tensor, std: Tensor,
    schedule: NoiseSchedule, t: Tensor, noise: Tensor,
) -> Tensor:
    mean, std = mean.reshape(-1, 1, 1), std.reshape(-1, 1, 1)   # (C, 1, 1) each
    z, _ = vae.encode(images)                                   # (B, C, h, w)
    z = (z - mean) / std
    x_t = schedule.alpha(t) * z + schedule.sigma(t) * noise
    clean = denoise(x_t, t)                                     # (B, C, h, w)
    return vae.decode(clean * std + mean)                       # (B, 3, H, W)

# %% [markdown] lang="en" role="checks"
# - shape of the images
# - float32 stays float32
# - what the denoiser is given at t = 0.7
# - two pictures, redrawn from t = 0.7
# - one picture of another size and the flow schedule, from t = 0.3
# - from t = 0, with a denoiser that changes nothing: the reconstruction
# - nothing is kept for gradients, not in encoder, denoiser or decoder, and the VAE can still be trained afterwards
# %% [markdown] lang="vi" of="5c9559be"
# - cùng kích thước với images
# - float32 vẫn là float32
# - bộ khử nhiễu nhận được gì ở t = 0.7
# - hai bức tranh, vẽ lại từ t = 0.7
# - một bức tranh kích thước khác và lịch flow, từ t = 0.3
# - từ t = 0, với bộ khử nhiễu không đổi gì: ra đúng bản tái tạo
# - không giữ lại gì cho gradient trong bộ mã hóa, bộ khử nhiễu và bộ giải mã, và sau đó vẫn huấn luyện được VAE

# %% role="probes"
import torch

from minidiff.diffusion.schedules import get_schedule


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


C = 5


class Coder(torch.nn.Module):
    """Pictures (B, 3, 2h, 2w) to bells of (B, 5, h, w) and back; it notes whether gradients are kept."""

    def __init__(self):
        super().__init__()
        self.weights = torch.nn.Parameter(normal(2 * C, 12, seed=1) / 2)
        self.backward_weights = torch.nn.Parameter(normal(12, C, seed=2))
        self.kept = []

    def encode(self, x):
        self.kept.append(torch.is_grad_enabled())
        parts = torch.nn.functional.pixel_unshuffle(x, 2)                   # (B, 12, h, w)
        moments = torch.einsum("oc,bchw->bohw", self.weights, parts)
        mean, log_variance = moments.chunk(2, dim=1)
        return 1 + 2 * torch.tanh(mean), log_variance - 1

    def decode(self, z):
        self.kept.append(torch.is_grad_enabled())
        parts = torch.einsum("oc,bchw->bohw", self.backward_weights, torch.tanh(z / 2))
        return torch.nn.functional.pixel_shuffle(parts, 2)


class Denoise:
    """Notes what it is given, and whether gradients are kept. Its result depends on x and t."""

    def __init__(self):
        self.given, self.kept = [], []

    def __call__(self, x, t):
        self.given += [x, t]
        self.kept.append(torch.is_grad_enabled())
        return torch.sin(x) * (0.5 + float(torch.as_tensor(t).flatten()[0])) + 0.2


GIVEN = {
    "images": normal(2, 3, 6, 8, seed=3), "mean": normal(C, seed=4), "std": 0.6 + normal(C, seed=5).abs(),
    "t": torch.tensor(0.7, dtype=torch.float64), "noise": normal(2, C, 3, 4, seed=6),
}
SINGLE = {name: tensor if name == "t" else tensor.float() for name, tensor in GIVEN.items()}
ONE = {
    **GIVEN, "images": normal(1, 3, 6, 2 * C, seed=7), "noise": normal(1, C, 3, C, seed=8),   # as many columns as channels
    "t": torch.tensor(0.3, dtype=torch.float64),
}
START = {**GIVEN, "t": torch.tensor(0.0, dtype=torch.float64)}


def redrawn(f, vae, images, mean, std, t, noise, denoise=None, schedule="cosine"):
    return f(vae, denoise or Denoise(), images, mean, std, get_schedule(schedule), t, noise)


def given_to_denoise(f, **inputs):
    denoise = Denoise()
    redrawn(f, **inputs, denoise=denoise)
    return denoise.given


def kept_for_gradients(f, vae, **inputs):
    denoise = Denoise()
    made = redrawn(f, vae, **inputs, denoise=denoise)
    places = {"grad in encode": vae.kept[:1], "grad in denoise": denoise.kept, "grad in decode": vae.kept[1:]}
    trainable = all(weights.requires_grad for weights in vae.parameters())
    return {**{place: any(kept) for place, kept in places.items()}, "requires_grad": made.requires_grad,
            "vae can be trained": trainable}


probe(lambda f, **inputs: list(redrawn(f, **inputs).shape), vae=Coder(), **GIVEN)
probe(lambda f, **inputs: str(redrawn(f, **inputs).dtype), vae=Coder().float(), **SINGLE)
probe(given_to_denoise, points=2, vae=Coder(), **GIVEN)
probe(redrawn, points=2, vae=Coder(), **GIVEN)
probe(redrawn, vae=Coder(), **ONE, schedule="flow")
probe(lambda f, **inputs: redrawn(f, denoise=lambda x, t: x, **inputs), vae=Coder(), **START)
probe(kept_for_gradients, vae=Coder(), **GIVEN)

# %% [markdown] lang="en" role="mistake" name="not_normalised"
# The latent went into the noise as the encoder gave it. The denoiser was trained on latents of mean 0 and deviation 1: subtract
# the mean and divide by std first.
# %% [markdown] lang="vi" of="d35803e9"
# Latent được trộn với nhiễu y như bộ mã hóa cho ra. Bộ khử nhiễu được huấn luyện trên latent có trung bình 0 và độ lệch chuẩn
# 1: hãy trừ mean và chia cho std trước.
# %% role="wrong" name="not_normalised"
patch("z = (z - mean) / std", "")

# %% [markdown] lang="en" role="mistake" name="normalised_twice"
# The latent was normalised twice. The second time it no longer has that mean and that deviation, so the denoiser sees a picture
# that is too faint and shifted.
# %% [markdown] lang="vi" of="94aa72f6"
# Latent bị chuẩn hóa hai lần. Đến lần thứ hai nó không còn trung bình và độ lệch chuẩn ấy nữa, nên bộ khử nhiễu thấy một bức
# tranh quá nhạt và bị lệch.
# %% role="wrong" name="normalised_twice"
patch("z = (z - mean) / std", "z = ((z - mean) / std - mean) / std")

# %% [markdown] lang="en" role="mistake" name="factors_not_undone"
# The clean latent was decoded as it is, still normalised. The decoder knows latents as the encoder gives them; otherwise all
# colours are pale and wrong.
# %% [markdown] lang="vi" of="1fc9a15b"
# Latent sạch được giải mã ngay khi vẫn còn ở dạng chuẩn hóa. Bộ giải mã chỉ quen latent như bộ mã hóa cho ra; nếu không thì màu
# nào cũng nhạt và sai.
# %% role="wrong" name="factors_not_undone"
patch("clean * std + mean", "clean")

# %% [markdown] lang="en" role="mistake" name="factors_ignored"
# mean and std are not used at all, neither before the denoiser nor after it. Without them the denoiser gets latents of a scale
# that it never saw.
# %% [markdown] lang="vi" of="d13231fa"
# mean và std hoàn toàn không được dùng, cả trước lẫn sau bộ khử nhiễu. Không có chúng, bộ khử nhiễu nhận latent ở thang đo nó
# chưa từng thấy.
# %% role="wrong" name="factors_ignored"
patch("z = (z - mean) / std", "")
patch("clean * std + mean", "clean")

# %% [markdown] lang="en" role="mistake" name="undone_in_wrong_order"
# The factors are undone in the wrong order: the mean was added and then multiplied by std as well. When normalising, the
# division comes last, so its opposite comes first here.
# %% [markdown] lang="vi" of="89bb8ee4"
# Các hệ số được hoàn tác sai thứ tự: mean được cộng vào rồi lại bị nhân với std. Khi chuẩn hóa, phép chia làm sau cùng, nên ở
# đây phép ngược của nó phải làm trước.
# %% role="wrong" name="undone_in_wrong_order"
patch("clean * std + mean", "(clean + mean) * std")

# %% [markdown] lang="en" role="mistake" name="divided_on_the_way_out"
# On the way out the latent was divided by std once more. To undo a division, multiply.
# %% [markdown] lang="vi" of="2805b7bf"
# Trên đường ra, latent lại bị chia cho std thêm lần nữa. Muốn hoàn tác phép chia thì phải nhân.
# %% role="wrong" name="divided_on_the_way_out"
patch("clean * std + mean", "clean / std + mean")

# %% [markdown] lang="en" role="mistake" name="normalised_again_on_the_way_out"
# The way out repeats the way in: the clean latent was normalised again where that should be undone.
# %% [markdown] lang="vi" of="76c47690"
# Đường ra lặp lại đường vào: latent sạch lại bị chuẩn hóa thêm, trong khi phải hoàn tác.
# %% role="wrong" name="normalised_again_on_the_way_out"
patch("clean * std + mean", "(clean - mean) / std")

# %% [markdown] lang="en" role="mistake" name="multiplied_and_divided"
# Multiplication and division are swapped, on the way in and on the way out. Without noise that cancels out, so a reconstruction
# looks right; but the denoiser gets latents that are too strong.
# %% [markdown] lang="vi" of="5ae2c3cc"
# Phép nhân và phép chia bị đổi chỗ, cả ở đường vào lẫn đường ra. Khi không có nhiễu thì chúng triệt tiêu nhau nên bản tái tạo
# trông vẫn đúng; nhưng bộ khử nhiễu nhận latent quá mạnh.
# %% role="wrong" name="multiplied_and_divided"
patch("(z - mean) / std", "(z - mean) * std")
patch("clean * std + mean", "clean / std + mean")

# %% [markdown] lang="en" role="mistake" name="multiplied_on_the_way_in"
# The latent was multiplied by std where it should be divided by it. std is how wide the channel is: dividing makes it one wide.
# %% [markdown] lang="vi" of="0ba698d5"
# Latent bị nhân với std trong khi phải chia. std là bề rộng của kênh: chia cho nó thì bề rộng thành 1.
# %% role="wrong" name="multiplied_on_the_way_in"
patch("(z - mean) / std", "(z - mean) * std")

# %% [markdown] lang="en" role="mistake" name="mean_subtracted_last"
# Divided first, then the mean subtracted: the mean belongs to the latent as it was, so it must go before the division.
# %% [markdown] lang="vi" of="46dd780b"
# Bạn chia trước rồi mới trừ mean: mean là của latent lúc chưa chia, nên phải trừ trước khi chia.
# %% role="wrong" name="mean_subtracted_last"
patch("(z - mean) / std", "z / std - mean")

# %% [markdown] lang="en" role="mistake" name="means_forgotten"
# Only std is used, both ways; the mean is neither subtracted nor added. The denoiser sees channels that are shifted.
# %% [markdown] lang="vi" of="85bb9778"
# Cả hai chiều chỉ dùng std; mean không được trừ cũng không được cộng. Bộ khử nhiễu thấy các kênh bị lệch.
# %% role="wrong" name="means_forgotten"
patch("(z - mean) / std", "z / std")
patch("clean * std + mean", "clean * std")

# %% [markdown] lang="en" role="mistake" name="factors_not_shaped"
# mean and std, (C,), meet the last axis of (B, C, h, w), which is w. Give them the shape (C, 1, 1), so that each channel meets
# its own factor. (With w = C there would be no error, only wrong pictures.)
# %% [markdown] lang="vi" of="3a4a05f8"
# mean và std cỡ (C,) khớp vào chiều cuối của (B, C, h, w), tức w. Hãy đổi chúng sang (C, 1, 1) để mỗi kênh gặp đúng hệ số của
# mình. (Nếu w = C thì không có lỗi nào hiện ra, chỉ có tranh sai.)
# %% role="wrong" name="factors_not_shaped"
patch("mean, std = mean.reshape(-1, 1, 1), std.reshape(-1, 1, 1) ", "pass ")

# %% [markdown] lang="en" role="mistake" name="a_sample"
# A sample was taken in place of the mean, with noise that nobody handed in. The picture is then another one in every call; the
# only noise asked for is `noise`, at time t.
# %% [markdown] lang="vi" of="9c7edcc3"
# Bạn lấy một mẫu thay cho trung bình, với nhiễu chẳng ai truyền vào. Như thế mỗi lần gọi lại ra một bức tranh khác; nhiễu duy
# nhất cần đến là `noise`, ở thời điểm t.
# %% role="wrong" name="a_sample"
patch("z, _ = vae.encode(images)         ", "m, v = vae.encode(images); z = reparameterise(m, v, torch.randn_like(m)) ")

# %% [markdown] lang="en" role="mistake" name="a_sample_with_the_same_noise"
# A sample was taken in place of the mean, with the noise that belongs to time t. Take the mean, the encoder's first output.
# %% [markdown] lang="vi" of="c4b59ad5"
# Bạn lấy một mẫu thay cho trung bình, lại dùng chính nhiễu dành cho thời điểm t. Hãy lấy trung bình, tức đầu ra thứ nhất của bộ
# mã hóa.
# %% role="wrong" name="a_sample_with_the_same_noise"
patch("z, _ = vae.encode(images) ", "z = reparameterise(*vae.encode(images), noise) ")

# %% [markdown] lang="en" role="mistake" name="second_output"
# The encoder's second output was taken, the log-variance. It says how sure the encoder is, not what it saw; the mean is the
# first.
# %% [markdown] lang="vi" of="c3f3e119"
# Bạn lấy đầu ra thứ hai của bộ mã hóa, tức log phương sai. Nó cho biết bộ mã hóa chắc chắn đến đâu chứ không phải đã thấy gì;
# trung bình là đầu ra thứ nhất.
# %% role="wrong" name="second_output"
patch("z, _ = vae", "_, z = vae")

# %% [markdown] lang="en" role="mistake" name="alpha_and_sigma_swapped"
# alpha and sigma are swapped. alpha(t) is the share of the latent, which falls with t; sigma(t) is that of the noise.
# %% [markdown] lang="vi" of="3ef976de"
# alpha và sigma bị đổi chỗ. alpha(t) là phần của latent, giảm dần theo t; sigma(t) là phần của nhiễu.
# %% role="wrong" name="alpha_and_sigma_swapped"
patch("schedule.alpha(t) * z + schedule.sigma(t) * noise", "schedule.sigma(t) * z + schedule.alpha(t) * noise")

# %% [markdown] lang="en" role="mistake" name="squares_of_the_shares"
# The shares were squared. alpha² and sigma² are shares of the variance; latent and noise themselves are multiplied by alpha and
# sigma.
# %% [markdown] lang="vi" of="2d1e9b48"
# Các hệ số bị bình phương. alpha² và sigma² là phần của phương sai; còn chính latent và nhiễu thì nhân với alpha và sigma.
# %% role="wrong" name="squares_of_the_shares"
patch("schedule.alpha(t) * z + schedule.sigma(t) * noise", "schedule.alpha(t) ** 2 * z + schedule.sigma(t) ** 2 * noise")

# %% [markdown] lang="en" role="mistake" name="noise_on_top"
# The noise was added on top of the whole latent. At time t only alpha(t) of it is left: the denoiser expects that mixture.
# %% [markdown] lang="vi" of="adda9f70"
# Nhiễu được cộng chồng lên toàn bộ latent. Ở thời điểm t chỉ còn alpha(t) phần của nó: bộ khử nhiễu chờ đúng hỗn hợp ấy.
# %% role="wrong" name="noise_on_top"
patch("schedule.alpha(t) * z", "z")

# %% [markdown] lang="en" role="mistake" name="no_noise"
# No noise was added. The denoiser is told that the latent is noisy, and finds nothing to replace: the picture can hardly
# change.
# %% [markdown] lang="vi" of="b799b4ea"
# Nhiễu không được thêm vào. Bộ khử nhiễu được báo là latent có nhiễu mà chẳng thấy gì để thay: bức tranh hầu như không đổi
# được.
# %% role="wrong" name="no_noise"
patch("schedule.alpha(t) * z + schedule.sigma(t) * noise", "z")

# %% [markdown] lang="en" role="mistake" name="noise_before_factors"
# The noise was mixed in before normalising, so it was normalised too and is no longer of deviation sigma(t). First normalise,
# then add noise.
# %% [markdown] lang="vi" of="d5cca598"
# Nhiễu được trộn vào trước khi chuẩn hóa, nên chính nó cũng bị chuẩn hóa và không còn độ lệch chuẩn sigma(t). Hãy chuẩn hóa
# trước, rồi mới thêm nhiễu.
# %% role="wrong" name="noise_before_factors"
patch("z = (z - mean) / std", "")
patch("schedule.alpha(t) * z + schedule.sigma(t) * noise", "(schedule.alpha(t) * z + schedule.sigma(t) * noise - mean) / std")

# %% [markdown] lang="en" role="mistake" name="told_a_thousand_times_t"
# The denoiser was told 1000 t, as networks are. `denoise` is above that: it takes the time itself, between 0 and 1, and tells
# its network whatever that needs.
# %% [markdown] lang="vi" of="53c44a1f"
# Bộ khử nhiễu được báo 1000 t, như cách báo cho mạng. `denoise` đứng ở tầng trên: nó nhận chính thời điểm, từ 0 đến 1, và tự
# báo cho mạng điều mạng cần.
# %% role="wrong" name="told_a_thousand_times_t"
patch("denoise(x_t, t)", "denoise(x_t, schedule.timestep(t))")

# %% [markdown] lang="en" role="mistake" name="told_one"
# The denoiser was told time 1, pure noise, whatever t is. It then ignores what is left of your picture: hand on t.
# %% [markdown] lang="vi" of="646b4cd6"
# Bộ khử nhiễu luôn được báo thời điểm 1, tức nhiễu thuần, bất kể t. Khi đó nó bỏ qua phần còn lại của bức tranh: hãy truyền t.
# %% role="wrong" name="told_one"
patch("denoise(x_t, t)", "denoise(x_t, torch.ones_like(t))")

# %% [markdown] lang="en" role="mistake" name="noisy_latent_decoded"
# The noisy latent was decoded, and the denoiser's answer is lost. Decode what it gives back.
# %% [markdown] lang="vi" of="ffd4b131"
# Latent còn nhiễu bị đem giải mã, còn kết quả của bộ khử nhiễu thì bị bỏ. Hãy giải mã thứ mà nó trả về.
# %% role="wrong" name="noisy_latent_decoded"
patch("clean * std + mean", "x_t * std + mean")

# %% [markdown] lang="en" role="mistake" name="old_latent_decoded"
# The picture's own latent was decoded, so this is its reconstruction, whatever the prompt. Decode what the denoiser gives back.
# %% [markdown] lang="vi" of="f35d7f26"
# Chính latent của bức tranh bị đem giải mã, nên đây chỉ là bản tái tạo, bất kể prompt nào. Hãy giải mã thứ mà bộ khử nhiễu trả
# về.
# %% role="wrong" name="old_latent_decoded"
patch("clean * std + mean", "z * std + mean")

# %% [markdown] lang="en" role="mistake" name="gradients_kept"
# The picture is right, but every layer keeps what it computed for gradients that nobody will ask for: with a real model that is
# gigabytes. Put all of it under `torch.no_grad()`.
# %% [markdown] lang="vi" of="856616dd"
# Bức tranh đúng, nhưng mỗi lớp đều giữ lại những gì đã tính cho gradient mà chẳng ai cần: với mô hình thật thì đó là hàng
# gigabyte. Hãy đặt tất cả dưới `torch.no_grad()`.
# %% role="wrong" name="gradients_kept"
patch("@torch.no_grad()", "")

# %% [markdown] lang="en" role="mistake" name="detached_at_the_end"
# The result is detached, but by then every layer has already kept what it computed for gradients. `torch.no_grad()` has to be
# in force while the models run.
# %% [markdown] lang="vi" of="d4c4cccb"
# Kết quả đã được detach, nhưng lúc đó mọi lớp đã giữ lại những gì tính cho gradient rồi. `torch.no_grad()` phải có hiệu lực
# trong khi các mô hình chạy.
# %% role="wrong" name="detached_at_the_end"
patch("@torch.no_grad()", "")
patch("vae.decode(clean * std + mean)", "vae.decode(clean * std + mean).detach()")

# %% [markdown] lang="en" role="mistake" name="clamped"
# The picture was clamped to [-1, 1]. Whoever shows it does that; here it hides what the decoder really gave.
# %% [markdown] lang="vi" of="9159eb86"
# Bức tranh đã bị cắt về [-1, 1]. Đó là việc của nơi hiển thị; ở đây nó che mất kết quả thật của bộ giải mã.
# %% role="wrong" name="clamped"
patch("vae.decode(clean * std + mean)", "vae.decode(clean * std + mean).clamp(-1, 1)")

# %% [markdown] lang="en" role="mistake" name="float64_slips_in"
# In float32 it fails: t is float64, and once it is given axes (`reshape`, `view`), its type spreads to all that it multiplies.
# Leave the shares without axes, or convert them to the latent's type.
# %% [markdown] lang="vi" of="484b1e29"
# Với float32 thì hàm hỏng: t có kiểu float64, và một khi được thêm chiều (`reshape`, `view`), kiểu của nó lan sang mọi thứ nhân
# với nó. Hãy để các hệ số không có chiều nào, hoặc đổi chúng sang kiểu của latent.
# %% role="wrong" name="float64_slips_in"
patch("schedule.alpha(t) * z + schedule.sigma(t) * noise",
      "schedule.alpha(t).reshape(1, 1, 1, 1) * z + schedule.sigma(t).reshape(1, 1, 1, 1) * noise")

# %% [markdown] lang="en" role="mistake" name="division_before_subtraction"
# Only the mean was divided by std: `z - mean / std` divides before it subtracts. Brackets are missing.
# %% [markdown] lang="vi" of="8cd57d3f"
# Chỉ có mean bị chia cho std: `z - mean / std` chia trước rồi mới trừ. Thiếu dấu ngoặc.
# %% role="wrong" name="division_before_subtraction"
patch("(z - mean) / std", "z - mean / std")

# %% [markdown] lang="en" role="mistake" name="one_constant"
# 0.18215 is the factor of one VAE, Stable Diffusion's. Another VAE needs other factors, and here each channel has its own:
# mean and std.
# %% [markdown] lang="vi" of="408a0add"
# 0.18215 là hệ số của riêng VAE trong Stable Diffusion. VAE khác cần hệ số khác, và ở đây mỗi kênh có hệ số riêng: mean và
# std.
# %% role="wrong" name="one_constant"
patch("(z - mean) / std", "z * 0.18215")
patch("clean * std + mean", "clean / 0.18215")

# %% [markdown] lang="en" role="mistake" name="factors_measured_anew"
# The factors were measured anew, from these few pictures. The denoiser was trained with those that are handed in: take mean
# and std.
# %% [markdown] lang="vi" of="a1b5e696"
# Các hệ số bị đo lại từ mấy bức tranh này. Bộ khử nhiễu được huấn luyện với các hệ số được truyền vào: hãy dùng mean và std.
# %% role="wrong" name="factors_measured_anew"
patch("z = (z - mean) / std", "mean, std = z.mean((0, 2, 3), keepdim=True), z.std((0, 2, 3), keepdim=True)\n"
      "    z = (z - mean) / std")

# %% [markdown] lang="en" role="mistake" name="roots_of_the_shares"
# The roots of alpha and 1 - alpha were taken, as is done with DDPM's alpha-bar. `schedule.alpha(t)` and `schedule.sigma(t)`
# are the shares themselves.
# %% [markdown] lang="vi" of="50fac62c"
# Bạn lấy căn của alpha và của 1 - alpha, như vẫn làm với alpha-bar của DDPM. `schedule.alpha(t)` và `schedule.sigma(t)` đã là
# chính các hệ số để nhân.
# %% role="wrong" name="roots_of_the_shares"
patch("schedule.alpha(t) * z + schedule.sigma(t)", "schedule.alpha(t).sqrt() * z + (1 - schedule.alpha(t)).sqrt()")

# %% [markdown] lang="en" role="mistake" name="sigma_from_alpha"
# sigma was computed from alpha so that their squares sum to 1. That holds for the cosine schedule but not for every one, such
# as flow: ask `schedule.sigma(t)`.
# %% [markdown] lang="vi" of="c01c3bf6"
# sigma được tính từ alpha sao cho tổng bình phương bằng 1. Điều đó đúng với lịch cosine nhưng không đúng với mọi lịch, chẳng
# hạn flow: hãy dùng `schedule.sigma(t)`.
# %% role="wrong" name="sigma_from_alpha"
patch("schedule.sigma(t)", "(1 - schedule.alpha(t) ** 2).sqrt()")

# %% [markdown] lang="en" role="mistake" name="own_noise"
# The noise at time t was drawn anew, and `noise` is not used. Use the one that is handed in, so that a picture can be drawn
# twice alike.
# %% [markdown] lang="vi" of="fff2fd10"
# Nhiễu ở thời điểm t bị rút mới, còn `noise` không được dùng. Hãy dùng nhiễu được truyền vào, để có thể vẽ lại đúng bức tranh
# ấy.
# %% role="wrong" name="own_noise"
patch("* noise", "* torch.randn_like(z)")

# %% [markdown] lang="en" role="mistake" name="clean_taken_for_noise"
# What `denoise` returns was taken for predicted noise, and a clean latent computed from it. It is the clean latent already.
# %% [markdown] lang="vi" of="a305dd99"
# Kết quả của `denoise` bị coi là nhiễu dự đoán, rồi từ đó tính ra latent sạch. Nó đã là latent sạch rồi.
# %% role="wrong" name="clean_taken_for_noise"
patch("clean = denoise(x_t, t) ", "clean = (x_t - schedule.sigma(t) * denoise(x_t, t)) / schedule.alpha(t) ")

# %% [markdown] lang="en" role="mistake" name="told_a_time_for_each"
# `denoise` was told a time for each picture, as networks are in training. It takes t as it is, one time for all, of shape ().
# %% [markdown] lang="vi" of="1724411b"
# `denoise` nhận mỗi bức tranh một thời điểm, như khi huấn luyện mạng. Nó cần t nguyên như đã cho: một thời điểm cho tất cả,
# kích thước ().
# %% role="wrong" name="told_a_time_for_each"
patch("denoise(x_t, t)", "denoise(x_t, t.expand(len(x_t)))")

# %% [markdown] lang="en" role="mistake" name="told_a_plain_number"
# `denoise` was told a plain Python number. It may need t's dtype or device: hand on t as it is, a tensor.
# %% [markdown] lang="vi" of="562aea51"
# `denoise` nhận một số Python thông thường. Nó có thể cần đến dtype hoặc device của t: hãy truyền t nguyên như đã cho, là một
# tensor.
# %% role="wrong" name="told_a_plain_number"
patch("denoise(x_t, t)", "denoise(x_t, float(t))")

# %% [markdown] lang="en" role="mistake" name="picture_by_picture"
# The pictures went to `denoise` one at a time. Each has a prompt of its own, and `denoise` holds those of the whole batch: call
# it once, with all latents.
# %% [markdown] lang="vi" of="52efad96"
# Các bức tranh được đưa vào `denoise` từng bức một. Mỗi bức có prompt riêng, còn `denoise` giữ prompt của cả lô: hãy gọi nó một
# lần, với mọi latent.
# %% role="wrong" name="picture_by_picture"
@torch.no_grad()
def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    mean, std, made = mean.reshape(-1, 1, 1), std.reshape(-1, 1, 1), []
    for image, its_noise in zip(images.split(1), noise.split(1)):
        z = (vae.encode(image)[0] - mean) / std
        x_t = schedule.alpha(t) * z + schedule.sigma(t) * its_noise
        made.append(vae.decode(denoise(x_t, t) * std + mean))
    return torch.cat(made)

# %% [markdown] lang="en" role="mistake" name="frozen_in_place_of_no_grad"
# The VAE's weights were told for good to need no gradients. Whoever trains it afterwards wonders why nothing is learnt, and the
# denoiser still keeps what it computes: `torch.no_grad()` leaves the VAE as it was and covers everything.
# %% [markdown] lang="vi" of="f61d4458"
# Trọng số của VAE bị đặt vĩnh viễn thành không cần gradient. Ai huấn luyện nó sau đó sẽ không hiểu vì sao nó chẳng học được gì,
# còn bộ khử nhiễu thì vẫn giữ lại những gì đã tính: `torch.no_grad()` để VAE nguyên như cũ và có hiệu lực với mọi thứ.
# %% role="wrong" name="frozen_in_place_of_no_grad"
patch("@torch.no_grad()", "")
patch("z, _ = vae.encode(images) ", "z, _ = vae.requires_grad_(False).encode(images) ")

# %% [markdown] lang="en" role="mistake" name="frozen_as_well"
# `torch.no_grad()` is there, and yet the VAE's weights were also told to need no gradients. That stays so after the function:
# nobody can train this VAE any more. Leave its weights alone.
# %% [markdown] lang="vi" of="a3af37da"
# Đã có `torch.no_grad()`, vậy mà trọng số của VAE vẫn bị đặt thành không cần gradient. Điều đó còn lại cả sau khi hàm kết thúc:
# không ai huấn luyện được VAE này nữa. Đừng động đến trọng số của nó.
# %% role="wrong" name="frozen_as_well"
patch("z, _ = vae.encode(images) ", "z, _ = vae.requires_grad_(False).encode(images) ")

# %% role="library"
import torch
from torch.nn import functional as F


def redraw(vae, denoise, images, mean, std, schedule, t, noise):
    """The factors as a BatchNorm layer applies them, and its opposite; the noise as schedules mix it in."""
    with torch.inference_mode():
        z = F.batch_norm(vae.encode(images)[0], mean, std.square(), eps=0)
        clean = denoise(schedule.mix(z, noise, t), t)
        ones = torch.ones_like(std)
        return vae.decode(F.batch_norm(clean, torch.zeros_like(mean), ones, weight=std, bias=mean, eps=0))

# %% role="payoff"
model = pipe.denoiser(
    ["a big red heart", "a big red star", "a big green tree"], [""] * 3, 3.0
)


def denoise(x: Tensor, t: Tensor, steps: int = 10) -> Tensor:
    timesteps = torch.linspace(float(t), 0, steps + 1, dtype=torch.float64)
    states = run("dpmpp_2m", model, x, schedule, steps, timesteps=timesteps)
    *_, last = states
    return last.x                                               # (3, 4, 16, 16)


def draw(redraw: Callable) -> Tensor:
    t, factors = torch.tensor(0.7).double(), (shipped_mean, shipped_std)
    made = redraw(vae, denoise, pictures, *factors, schedule, t, latent_noise)
    return torch.cat([pictures, made])                          # (6, 3, 128, 128)


payoff(draw, redraw)
