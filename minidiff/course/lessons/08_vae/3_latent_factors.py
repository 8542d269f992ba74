"""Exercise 08.3, latent_factors: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="2" minutes="10"
# ## The factors of each channel
#
# A diffusion model begins from noise of mean 0 and standard deviation 1, so the latents that it learns should have these too.
# The VAE doesn't see to that: **measure** the mean and the standard deviation of each channel, over all pictures and all
# places, and return both.
#
# Take the standard deviation as `Tensor.std` does by default, with n - 1 in the denominator and nothing added. With a thousand
# pictures, dividing by n would make no difference, but the checks use few numbers.
#
# The last cell measures 64 scenes. Your factors should be close to those that ship with `world-dit`, and close enough to decode
# what it draws.
# %% [markdown] lang="vi" of="1fd41e7d"
# ## Các hệ số của từng kênh
#
# Mô hình khuếch tán xuất phát từ nhiễu có trung bình 0 và độ lệch chuẩn (standard deviation) 1, nên các latent mà nó học cũng
# nên như vậy. VAE không lo việc đó: hãy **đo** trung bình và độ lệch chuẩn của từng kênh, trên mọi bức tranh và mọi vị trí, rồi
# trả về cả hai.
#
# Hãy lấy độ lệch chuẩn như `Tensor.std` vẫn làm theo mặc định, với n - 1 ở mẫu số và không cộng thêm gì. Với một nghìn bức
# tranh thì chia cho n cũng chẳng khác, nhưng các phép kiểm tra ở đây chỉ dùng ít số.
#
# Ô cuối cùng đo 64 cảnh. Các hệ số của bạn phải gần với các hệ số đi kèm `world-dit`, và đủ gần để giải mã những gì nó vẽ.

# %% [markdown] lang="en" role="hints"
# How many numbers should come out for 4 channels? Over which axes does that leave you to measure?
# ---
# Both `mean` and `std` take several axes at once as `dim=(...)`. The channel axis, 1, is the one to keep.
# ---
# `latents.mean(dim=(0, 2, 3))` is (C,), and `std` takes the same.
# %% [markdown] lang="vi" of="4a51aeb1"
# Với 4 kênh thì phải ra bao nhiêu số? Như vậy phải đo trên những chiều nào?
# ---
# Cả `mean` và `std` đều nhận nhiều chiều cùng lúc qua `dim=(...)`. Chiều phải giữ lại là chiều kênh, số 1.
# ---
# `latents.mean(dim=(0, 2, 3))` có kích thước (C,), và `std` cũng dùng y như vậy.

# %% [markdown] lang="en" role="stub"
# Mean and standard deviation of each channel over pictures and places, as
# `Tensor.std` has it (n - 1): latents (N, C, h, w) to two tensors (C,), float32 or
# float64.
# ---
# 1. the mean of each channel                               # (C,)
# 2. the standard deviation of each channel                 # (C,)
# 3. return both, the mean first
# %% [markdown] lang="vi" of="d4e818bd"
# Trung bình và độ lệch chuẩn của từng kênh trên mọi bức tranh và mọi vị trí, theo
# cách của `Tensor.std` (n - 1): latents (N, C, h, w) thành hai tensor (C,), float32
# hoặc float64.
# ---
# 1. trung bình của từng kênh                               # (C,)
# 2. độ lệch chuẩn của từng kênh                            # (C,)
# 3. trả về cả hai, trung bình trước

# %% role="solution"
def latent_factors(latents: Tensor) -> tuple[Tensor, Tensor]:
    mean = latents.mean(dim=(0, 2, 3))                          # (C,)
    std = latents.std(dim=(0, 2, 3))                            # (C,)
    return mean, std

# %% [markdown] lang="en" role="checks"
# - two results, a number for each channel in both, with a single channel too
# - float32 stays float32
# - the means
# - the standard deviations
# - one picture, numbers in another order of memory, a channel that hardly varies
# - latents that are normalised with them have mean 0 and standard deviation 1
# %% [markdown] lang="vi" of="41aaf5c4"
# - hai kết quả, mỗi kết quả có một số cho mỗi kênh, cả khi chỉ có một kênh
# - float32 vẫn là float32
# - các trung bình
# - các độ lệch chuẩn
# - một bức tranh, các số nằm theo thứ tự khác trong bộ nhớ, một kênh hầu như không đổi
# - latent được chuẩn hóa bằng chúng có trung bình 0 và độ lệch chuẩn 1

# %% role="probes"
import torch


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


WIDTHS = torch.tensor([0.5, 2.0, 1.2, 3.0, 0.8], dtype=torch.float64).reshape(5, 1, 1)
OFFSETS = torch.tensor([1.0, -2.0, 0.3, 0.0, 4.0], dtype=torch.float64).reshape(5, 1, 1)
PICTURES = 1 + normal(3, 1, 1, 1, seed=2) + 0.7 * normal(1, 1, 2, 4, seed=3)    # each picture and each place differs
LATENTS = OFFSETS + WIDTHS * (normal(3, 5, 2, 4, seed=1) + PICTURES)            # (3, 5, 2, 4)


def shapes(f, latents):
    return [[list(part.shape) for part in f(some)] for some in (latents, latents[:1, :1])]


def normalised(f, latents):
    """Mean and variance of each channel after normalising."""
    mean, std = f(latents)
    z = (latents - mean.reshape(-1, 1, 1)) / std.reshape(-1, 1, 1)
    return [z.mean(dim=(0, 2, 3)), z.var(dim=(0, 2, 3))]


probe(shapes, latents=LATENTS)
probe(lambda f, latents: [str(part.dtype) for part in f(latents)], latents=LATENTS.float())
probe(lambda f, latents: f(latents)[0], points=2, latents=LATENTS)
probe(lambda f, latents: f(latents)[1], points=2, latents=LATENTS)
HARDLY = torch.tensor([2.0, 0.05], dtype=torch.float64) + normal(1, 3, 4, 2, seed=4) * torch.tensor([1.0, 1e-4])
probe(lambda f, latents: list(f(latents.permute(0, 3, 1, 2))), atol=1e-9, latents=HARDLY)
probe(normalised, latents=LATENTS)

# %% [markdown] lang="en" role="mistake" name="one_for_all"
# One mean and one standard deviation came out for all channels together. The channels differ: normalised by a common factor,
# one would stay wide and another narrow. Keep the channel axis.
# %% [markdown] lang="vi" of="e4ca6aee"
# Chỉ có một trung bình và một độ lệch chuẩn cho tất cả các kênh. Các kênh khác nhau: chuẩn hóa bằng một hệ số chung thì kênh
# này vẫn rộng, kênh kia vẫn hẹp. Hãy giữ chiều kênh.
# %% role="wrong" name="one_for_all"
patch("latents.mean(dim=(0, 2, 3))", "latents.mean()")
patch("latents.std(dim=(0, 2, 3))", "latents.std()")

# %% [markdown] lang="en" role="mistake" name="one_for_all_repeated"
# The shape is right, but all channels got the same two numbers, measured over all channels together. Stable Diffusion has a
# single factor, 0.18215; here each channel has its own.
# %% [markdown] lang="vi" of="b9c79315"
# Kích thước đúng, nhưng mọi kênh nhận cùng hai số, đo trên tất cả các kênh gộp lại. Stable Diffusion dùng một hệ số duy nhất,
# 0.18215; ở đây mỗi kênh có hệ số riêng.
# %% role="wrong" name="one_for_all_repeated"
patch("latents.mean(dim=(0, 2, 3)) ", "latents.mean().repeat(latents.shape[1]) ")
patch("latents.std(dim=(0, 2, 3)) ", "latents.std().repeat(latents.shape[1]) ")

# %% [markdown] lang="en" role="mistake" name="per_place"
# Only the pictures were averaged, so every place kept factors of its own. A network that is moved over the latent should see
# the same scale everywhere: measure over rows and columns too.
# %% [markdown] lang="vi" of="d0c2ef55"
# Bạn chỉ lấy trung bình trên các bức tranh, nên mỗi vị trí vẫn giữ hệ số riêng. Mạng phải thấy cùng một thang đo ở mọi nơi trên
# latent: hãy đo cả trên hàng và cột.
# %% role="wrong" name="per_place"
patch("latents.mean(dim=(0, 2, 3))", "latents.mean(dim=0)")
patch("latents.std(dim=(0, 2, 3))", "latents.std(dim=0)")

# %% [markdown] lang="en" role="mistake" name="per_picture"
# Every picture got factors of its own. Then a picture that is bright everywhere comes out like a dark one, and a drawn latent
# belongs to no picture whose factors could be used: measure over the pictures too.
# %% [markdown] lang="vi" of="c15e511a"
# Mỗi bức tranh có hệ số riêng. Như thế bức tranh sáng toàn bộ sẽ giống bức tối, và latent do mô hình vẽ thì chẳng thuộc bức
# tranh nào để mà lấy hệ số: hãy đo cả trên các bức tranh.
# %% role="wrong" name="per_picture"
patch("latents.mean(dim=(0, 2, 3))", "latents.mean(dim=(2, 3))")
patch("latents.std(dim=(0, 2, 3))", "latents.std(dim=(2, 3))")

# %% [markdown] lang="en" role="mistake" name="batch_kept"
# The axis that was kept is the first, the pictures. Channels are axis 1.
# %% [markdown] lang="vi" of="203edb63"
# Chiều được giữ lại là chiều đầu, tức các bức tranh. Kênh là chiều 1.
# %% role="wrong" name="batch_kept"
patch("latents.mean(dim=(0, 2, 3))", "latents.mean(dim=(1, 2, 3))")
patch("latents.std(dim=(0, 2, 3))", "latents.std(dim=(1, 2, 3))")

# %% [markdown] lang="en" role="mistake" name="deviations_averaged"
# The standard deviation of each picture was measured, and then their mean taken. That leaves out how much the pictures differ
# from one another, so it comes out too small.
# %% [markdown] lang="vi" of="5deb3d22"
# Bạn đo độ lệch chuẩn của từng bức tranh rồi lấy trung bình. Cách đó bỏ qua việc các bức tranh khác nhau đến đâu, nên kết quả
# quá nhỏ.
# %% role="wrong" name="deviations_averaged"
patch("latents.std(dim=(0, 2, 3))", "latents.std(dim=(2, 3)).mean(dim=0)")

# %% [markdown] lang="en" role="mistake" name="places_averaged"
# The standard deviation of each place over the pictures was measured, and then their mean taken. That leaves out how much the
# places of a picture differ, so it comes out too small, and with one picture there is none at all.
# %% [markdown] lang="vi" of="2bd0b1b6"
# Bạn đo độ lệch chuẩn của từng vị trí trên các bức tranh rồi lấy trung bình. Cách đó bỏ qua việc các vị trí trong tranh khác
# nhau đến đâu, nên kết quả quá nhỏ, và với một bức tranh thì không đo được gì.
# %% role="wrong" name="places_averaged"
patch("latents.std(dim=(0, 2, 3))", "latents.std(dim=0).mean(dim=(1, 2))")

# %% [markdown] lang="en" role="mistake" name="reciprocal"
# The second result is 1 / standard deviation. Some models keep their factor in that form (0.18215 is about 1 / 5.5), but here
# latents are divided by `std`: return the deviation itself.
# %% [markdown] lang="vi" of="343e836c"
# Kết quả thứ hai là 1 / độ lệch chuẩn. Một số mô hình giữ hệ số ở dạng đó (0.18215 vào khoảng 1 / 5.5), nhưng ở đây latent được
# chia cho `std`: hãy trả về chính độ lệch chuẩn.
# %% role="wrong" name="reciprocal"
patch("std = latents.std(dim=(0, 2, 3))", "std = 1 / latents.std(dim=(0, 2, 3))")

# %% [markdown] lang="en" role="mistake" name="variance"
# The second result is the variance. Latents are divided by its root, the standard deviation; divided by the variance, wide
# channels become too narrow and narrow ones too wide.
# %% [markdown] lang="vi" of="10319d91"
# Kết quả thứ hai là phương sai (variance). Latent được chia cho căn của nó, tức độ lệch chuẩn; nếu chia cho phương sai thì kênh
# rộng thành quá hẹp, kênh hẹp thành quá rộng.
# %% role="wrong" name="variance"
patch("latents.std(", "latents.var(")

# %% [markdown] lang="en" role="mistake" name="divided_by_n"
# Nearly: the sum of squares was divided by n, which is what numpy's `std` and `correction=0` do. Asked for is n - 1, the
# default of `Tensor.std`, with which the shipped factors were measured. With a thousand pictures it makes no difference.
# %% [markdown] lang="vi" of="c046a748"
# Gần đúng rồi: tổng bình phương được chia cho n, như `std` của numpy và `correction=0` vẫn làm. Đề bài cần n - 1, mặc định của
# `Tensor.std`, cũng là cách đã dùng để đo các hệ số đi kèm. Với một nghìn bức tranh thì không có gì khác biệt.
# %% role="wrong" name="divided_by_n"
patch("latents.std(dim=(0, 2, 3))", "latents.std(dim=(0, 2, 3), correction=0)")

# %% [markdown] lang="en" role="mistake" name="distance_from_zero"
# The root of the mean square measures how far the numbers are from 0, not from their own mean. The mean is subtracted before
# dividing, so subtract it here too.
# %% [markdown] lang="vi" of="a248ed97"
# Căn của trung bình bình phương đo khoảng cách của các số đến 0, không phải đến trung bình của chúng. Trước khi chia ta đã trừ
# trung bình, nên ở đây cũng phải trừ.
# %% role="wrong" name="distance_from_zero"
patch("latents.std(dim=(0, 2, 3))", "latents.square().mean(dim=(0, 2, 3)).sqrt()")

# %% [markdown] lang="en" role="mistake" name="mixed_by_reshape"
# `reshape` keeps the order of the numbers, so a row of (C, N h w) made in that way holds pieces of several channels. First
# bring the channel axis to the front (`transpose`, `movedim`), then flatten.
# %% [markdown] lang="vi" of="8bd0b901"
# `reshape` giữ nguyên thứ tự các số, nên mỗi hàng của (C, N h w) tạo ra như vậy chứa các mảnh của nhiều kênh. Trước hết hãy đưa
# chiều kênh lên đầu (`transpose`, `movedim`), rồi mới làm phẳng.
# %% role="wrong" name="mixed_by_reshape"
patch("latents.mean(dim=(0, 2, 3)) ", "latents.reshape(latents.shape[1], -1).mean(dim=1) ")
patch("latents.std(dim=(0, 2, 3)) ", "latents.reshape(latents.shape[1], -1).std(dim=1) ")

# %% [markdown] lang="en" role="mistake" name="axes_kept"
# The numbers are right, but the shape is (1, C, 1, 1): asked for is (C,). Whoever needs it for broadcasting gives it that
# shape.
# %% [markdown] lang="vi" of="dc1da386"
# Các số đều đúng, nhưng kích thước là (1, C, 1, 1): đề bài cần (C,). Nơi nào cần broadcasting sẽ tự đổi sang dạng đó.
# %% role="wrong" name="axes_kept"
patch("latents.mean(dim=(0, 2, 3))", "latents.mean(dim=(0, 2, 3), keepdim=True)")
patch("latents.std(dim=(0, 2, 3))", "latents.std(dim=(0, 2, 3), keepdim=True)")

# %% [markdown] lang="en" role="mistake" name="swapped"
# The two results are in the wrong order: the mean comes first.
# %% [markdown] lang="vi" of="e7e9e568"
# Hai kết quả bị trả về sai thứ tự: trung bình phải đứng trước.
# %% role="wrong" name="swapped"
patch("return mean, std", "return std, mean")

# %% [markdown] lang="en" role="mistake" name="first_picture_alone"
# Only the first picture was measured. A night is dark and a day is bright: the factors must serve all of them.
# %% [markdown] lang="vi" of="1a98e8eb"
# Bạn chỉ đo bức tranh đầu tiên. Cảnh đêm thì tối, cảnh ngày thì sáng: các hệ số phải dùng được cho tất cả.
# %% role="wrong" name="first_picture_alone"
patch("latents.mean(dim=(0, 2, 3))", "latents[0].mean(dim=(1, 2))")
patch("latents.std(dim=(0, 2, 3))", "latents[0].std(dim=(1, 2))")

# %% [markdown] lang="en" role="mistake" name="small_number_added"
# A small number was added to the standard deviation, as layers do that fear a division by 0. Here it falsifies what was
# measured, most of all for a channel that hardly varies.
# %% [markdown] lang="vi" of="9a64d9d1"
# Độ lệch chuẩn bị cộng thêm một số nhỏ, như những lớp vẫn làm để tránh chia cho 0. Ở đây việc đó làm sai kết quả đo, nhất là
# với kênh hầu như không đổi.
# %% role="wrong" name="small_number_added"
patch("latents.std(dim=(0, 2, 3))", "latents.std(dim=(0, 2, 3)) + 1e-6")

# %% [markdown] lang="en" role="mistake" name="deviation_of_the_means"
# Each picture was averaged first, and then the standard deviation of these means was taken. That leaves out how much a picture
# varies within itself; of a single picture nothing can be measured.
# %% [markdown] lang="vi" of="2cc8b2ff"
# Bạn lấy trung bình từng bức tranh trước, rồi mới lấy độ lệch chuẩn của các trung bình ấy. Cách đó bỏ qua việc các số trong một
# bức tranh khác nhau đến đâu; chỉ có một bức tranh thì không đo được gì.
# %% role="wrong" name="deviation_of_the_means"
patch("latents.std(dim=(0, 2, 3))", "latents.mean(dim=(2, 3)).std(dim=0)")

# %% [markdown] lang="en" role="mistake" name="mixed_by_reshape_to_columns"
# `reshape(-1, C)` takes C neighbours in memory for a row, and these are numbers of one channel. The columns then hold a bit of
# everything: first bring the channel axis to the end (`movedim`), then flatten.
# %% [markdown] lang="vi" of="836a5de6"
# `reshape(-1, C)` lấy C số nằm cạnh nhau trong bộ nhớ làm một hàng, mà đó là các số của cùng một kênh. Khi ấy cột nào cũng lẫn
# lộn các kênh: trước hết hãy đưa chiều kênh về cuối (`movedim`), rồi mới làm phẳng.
# %% role="wrong" name="mixed_by_reshape_to_columns"
patch("latents.mean(dim=(0, 2, 3)) ", "latents.reshape(-1, latents.shape[1]).mean(dim=0) ")
patch("latents.std(dim=(0, 2, 3)) ", "latents.reshape(-1, latents.shape[1]).std(dim=0) ")

# %% [markdown] lang="en" role="mistake" name="four_channels"
# It works for four channels only, those of `world-vae`. Other VAEs have 8 or 16: take the number from `latents.shape[1]`.
# %% [markdown] lang="vi" of="8f0ca2f3"
# Hàm chỉ chạy với bốn kênh như của `world-vae`. VAE khác có 8 hoặc 16 kênh: hãy lấy số kênh từ `latents.shape[1]`.
# %% role="wrong" name="four_channels"
patch("latents.mean(dim=(0, 2, 3)) ", "torch.stack([latents[:, c].mean() for c in range(4)]) ")
patch("latents.std(dim=(0, 2, 3)) ", "torch.stack([latents[:, c].std() for c in range(4)]) ")

# %% role="library"
import torch


def latent_factors(latents):
    """As a BatchNorm layer measures its running statistics from one batch."""
    norm = torch.nn.BatchNorm2d(latents.shape[1], momentum=1.0, dtype=latents.dtype)
    norm(latents)
    return norm.running_mean, norm.running_var.sqrt()

# %% role="payoff"
wishes = ["a big red heart", "a big green tree at night", "a big yellow fish at sea"]
states = pipe.sample(wishes, [1, 2, 3], [""] * 3, steps=10, guidance_scale=3.0)
*_, (_, drawn_latents, _) = states                              # (3, 4, 16, 16)
scenes = drawn(*map(scene_at, range(64)))                       # (64, 3, 128, 128)
with torch.inference_mode():
    latents = torch.cat([vae.encode(some)[0] for some in scenes.split(8)])


@torch.inference_mode()
def draw(latent_factors: Callable) -> Tensor:
    mean, std = latent_factors(latents)                         # (4,) each
    print("mean", mean.numpy().round(2), "std", std.numpy().round(2))
    z = drawn_latents * std.reshape(-1, 1, 1) + mean.reshape(-1, 1, 1)
    return vae.decode(z)                                        # (3, 3, 128, 128)


payoff(draw, latent_factors)
print("shipped:", shipped_mean.numpy().round(2), shipped_std.numpy().round(2))
