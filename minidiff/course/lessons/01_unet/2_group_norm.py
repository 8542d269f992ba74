"""Exercise 01.2, group_norm: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="2" minutes="12"
# ## GroupNorm by hand
#
# GroupNorm as in section 5, now for whole feature maps. Each group of each picture has its own mean and variance; each
# channel has its own weight and bias.
# %% [markdown] lang="vi" of="6bb49281"
# ## Tự tay viết GroupNorm
#
# GroupNorm như ở mục 5, giờ cho cả bản đồ đặc trưng. Mỗi nhóm của mỗi ảnh có trung bình và phương sai riêng; mỗi kênh có
# weight và bias riêng.

# %% [markdown] lang="en" role="hints"
# `x.reshape(B, groups, -1)` puts neighbouring channels into one row.
# ---
# GroupNorm's variance divides by n, not by n - 1: `var(..., unbiased=False)`. `keepdim=True` keeps the shapes broadcastable.
# ---
# `weight[:, None, None]` has shape (C, 1, 1) and multiplies (B, C, H, W) channel by channel.
# %% [markdown] lang="vi" of="9a3571ae"
# `x.reshape(B, groups, -1)` đưa các kênh liền nhau vào cùng một hàng.
# ---
# Phương sai của GroupNorm chia cho n, không phải n - 1: `var(..., unbiased=False)`. `keepdim=True` giữ cho các kích thước
# khớp nhau.
# ---
# `weight[:, None, None]` có kích thước (C, 1, 1) và nhân với (B, C, H, W) theo từng kênh.

# %% [markdown] lang="en" role="stub"
# GroupNorm: x (B, C, H, W), weight and bias (C,) to (B, C, H, W) of x's dtype;
# a group is C / groups neighbouring channels.
# ---
# 1. parts (B, groups, n): all numbers of a group in one row
# 2. mean and variance of each row, (B, groups, 1)
# 3. subtract the mean, divide by the root of variance + eps
# 4. back to (B, C, H, W), then times weight, plus bias, channel by channel
# %% [markdown] lang="vi" of="32737816"
# GroupNorm: x (B, C, H, W), weight và bias (C,) thành (B, C, H, W) cùng kiểu số
# với x; mỗi nhóm gồm C / groups kênh liền nhau.
# ---
# 1. parts (B, groups, n): mọi số của một nhóm nằm trên một hàng
# 2. trung bình và phương sai của từng hàng, (B, groups, 1)
# 3. trừ trung bình, chia cho căn bậc hai của phương sai + eps
# 4. trở lại (B, C, H, W), rồi nhân weight, cộng bias, theo từng kênh

# %% role="solution"
def group_norm(
    x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float = 1e-5
) -> Tensor:
    parts = rearrange(x, "b (g c) h w -> b g (c h w)", g=groups)    # (B, G, n)
    mean = parts.mean(dim=2, keepdim=True)                          # (B, G, 1)
    variance = parts.var(dim=2, keepdim=True, unbiased=False)       # (B, G, 1)
    parts = (parts - mean) / (variance + eps).sqrt()                # (B, G, n)
    y = parts.reshape(x.shape)                                      # (B, C, H, W)
    return y * weight[:, None, None] + bias[:, None, None]          # (B, C, H, W)

# %% [markdown] lang="en" role="checks"
# - shape and dtype stay
# - values, with a large eps
# - one group, then a group for each channel
# - a flat picture gives the bias, no nan
# - a picture does not depend on its batch
# - values for an x that isn't contiguous (its channels lie last in memory)
# %% [markdown] lang="vi" of="d556ec5d"
# - kích thước và kiểu số giữ nguyên
# - giá trị, với eps lớn
# - một nhóm duy nhất, rồi mỗi kênh một nhóm
# - ảnh phẳng cho ra bias, không có nan
# - một ảnh không phụ thuộc vào lô chứa nó
# - giá trị khi x không nằm liền mạch trong bộ nhớ (các kênh được xếp sau cùng)

# %% role="probes"
import torch


def features(dtype=torch.float64):
    """x (3, 4, 3, 4), no two channels or pictures alike, weight (4,) and bias (4,). It
    is as wide as it has channels: a weight that lies along the width fits too."""
    generator = torch.Generator().manual_seed(1)
    scale = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(4, 1, 1)
    x = torch.randn(3, 4, 3, 4, generator=generator) * scale + scale.flip(0)
    x = x + torch.arange(3).view(3, 1, 1, 1)
    weight, bias = torch.randn(2, 4, generator=generator)
    return {"x": x.to(dtype), "weight": weight.to(dtype), "bias": bias.to(dtype)}


def kind(f, x, weight, bias):
    out = f(x, 2, weight, bias)
    return [list(out.shape), str(out.dtype)]


def extremes(f, x, weight, bias):
    return [f(x, groups, weight, bias) for groups in (1, 4)]


def company(f, x, weight, bias):
    """What the other pictures of the batch change in the first one."""
    return f(x, 2, weight, bias)[0] - f(x[:1], 2, weight, bias)[0]


def channels_last(f, x, weight, bias):
    return f(x.to(memory_format=torch.channels_last), 2, weight, bias)


FLAT = features() | {"x": torch.full((1, 4, 3, 4), 2.0, dtype=torch.float64)}

probe(kind, **features(torch.float32))
probe(lambda f, x, weight, bias: f(x, 2, weight, bias, eps=0.5), points=2, **features())
probe(extremes, **features())
probe(lambda f, x, weight, bias: f(x, 2, weight, bias), **FLAT)
probe(company, **features())
probe(channels_last, **features())

# %% [markdown] lang="en" role="mistake" name="whole_sample"
# One mean for all channels of a picture: that is LayerNorm's. Each group needs a mean and a variance of its own; over which
# axes do you average?
# %% [markdown] lang="vi" of="f64f4886"
# Một trung bình chung cho mọi kênh của ảnh: đó là LayerNorm. Mỗi nhóm cần trung bình và phương sai riêng; bạn đang lấy
# trung bình theo những trục nào?
# %% role="wrong" name="whole_sample"
patch("g=groups", "g=1")

# %% [markdown] lang="en" role="mistake" name="per_channel"
# Each channel is normalised by itself (InstanceNorm): the channels of a group share one mean and one variance.
# %% [markdown] lang="vi" of="f3e99135"
# Mỗi kênh bị chuẩn hóa riêng (InstanceNorm): các kênh trong một nhóm phải dùng chung trung bình và phương sai.
# %% role="wrong" name="per_channel"
patch("g=groups", "g=x.shape[1]")

# %% [markdown] lang="en" role="mistake" name="over_the_batch"
# The batch's axis is averaged too, so a picture's result depends on its neighbours, as in BatchNorm: keep axis 0.
# %% [markdown] lang="vi" of="86b3658f"
# Trục lô cũng bị lấy trung bình, nên kết quả của một ảnh phụ thuộc vào các ảnh bên cạnh, như BatchNorm: hãy giữ trục 0.
# %% role="wrong" name="over_the_batch"
patch("parts.mean(dim=2", "parts.mean(dim=(0, 2)")
patch("parts.var(dim=2", "parts.var(dim=(0, 2)")

# %% [markdown] lang="en" role="mistake" name="groups_of_that_size"
# You make groups of `groups` channels: groups says how many groups there are, and each has C / groups channels. With 4
# channels and groups = 2 both are the same, with groups = 1 they are not.
# %% [markdown] lang="vi" of="590fdb14"
# Bạn chia thành các nhóm có `groups` kênh: groups là số nhóm, và mỗi nhóm có C / groups kênh. Với 4 kênh và groups = 2 thì
# hai cách như nhau, với groups = 1 thì không.
# %% role="wrong" name="groups_of_that_size"
patch("g=groups", "c=groups")

# %% [markdown] lang="en" role="mistake" name="interleaved_groups"
# Your groups are made of channels that lie apart (0 and 2, 1 and 3): a group is made of neighbours, so the group's axis
# comes first when the channels are split.
# %% [markdown] lang="vi" of="7999a951"
# Các nhóm của bạn được ghép từ những kênh cách quãng (0 và 2, 1 và 3): một nhóm gồm các kênh liền nhau, nên khi tách trục
# kênh thì trục nhóm đứng trước.
# %% role="wrong" name="interleaved_groups"
patch("b (g c) h w", "b (c g) h w")
patch(
    "parts.reshape(x.shape)",
    "parts.unflatten(2, (-1, *x.shape[2:])).transpose(1, 2).reshape(x.shape)",
)

# %% [markdown] lang="en" role="mistake" name="bessel"
# Your variance is a little too large: var and std of PyTorch divide by n - 1 unless told otherwise (Bessel's correction),
# GroupNorm divides by n.
# %% [markdown] lang="vi" of="cdf79939"
# Phương sai hơi lớn: var và std của PyTorch mặc định chia cho n - 1 (hiệu chỉnh Bessel), còn GroupNorm chia cho n.
# %% role="wrong" name="bessel"
patch(", unbiased=False", "")

# %% [markdown] lang="en" role="mistake" name="mean_kept"
# The mean is never subtracted: GroupNorm first shifts each group to mean 0, then divides.
# %% [markdown] lang="vi" of="25913031"
# Trung bình chưa hề được trừ: GroupNorm dịch mỗi nhóm về trung bình 0 trước, rồi mới chia.
# %% role="wrong" name="mean_kept"
patch("(parts - mean)", "parts")

# %% [markdown] lang="en" role="mistake" name="rms_norm"
# That is RMSNorm: x divided by the root of its mean square. GroupNorm subtracts the mean first, and the variance is the mean
# square of what is left.
# %% [markdown] lang="vi" of="71834726"
# Đó là RMSNorm: x chia cho căn của trung bình bình phương. GroupNorm trừ trung bình trước, và phương sai là trung bình bình
# phương của phần còn lại.
# %% role="wrong" name="rms_norm"
patch("(parts - mean)", "parts")
patch("parts.var(dim=2, keepdim=True, unbiased=False)", "parts.square().mean(2, True)")

# %% [markdown] lang="en" role="mistake" name="mean_square"
# You subtract the mean, but your variance is the mean square of x as it came in: take the mean square after the mean was
# subtracted.
# %% [markdown] lang="vi" of="a11bbdc2"
# Bạn có trừ trung bình, nhưng phương sai lại là trung bình bình phương của x lúc mới vào: hãy lấy trung bình bình phương sau
# khi đã trừ trung bình.
# %% role="wrong" name="mean_square"
patch("parts.var(dim=2, keepdim=True, unbiased=False)", "parts.square().mean(2, True)")

# %% [markdown] lang="en" role="mistake" name="no_eps"
# eps is missing: where all numbers of a group are equal you divide 0 by 0.
# %% [markdown] lang="vi" of="48546575"
# Thiếu eps: khi mọi số trong nhóm bằng nhau, bạn lấy 0 chia cho 0.
# %% role="wrong" name="no_eps"
patch("(variance + eps)", "variance")

# %% [markdown] lang="en" role="mistake" name="fixed_eps"
# The argument eps makes no difference to your answer: 1e-5 is written out somewhere.
# %% [markdown] lang="vi" of="5ee759ca"
# Kết quả không thay đổi theo đối số eps: có chỗ nào đó viết cứng số 1e-5.
# %% role="wrong" name="fixed_eps"
patch("(variance + eps)", "(variance + 1e-5)")

# %% [markdown] lang="en" role="mistake" name="eps_outside_the_root"
# eps is added to the standard deviation: it belongs to the variance, under the root.
# %% [markdown] lang="vi" of="43947145"
# eps được cộng vào độ lệch chuẩn: nó phải cộng vào phương sai, bên trong dấu căn.
# %% role="wrong" name="eps_outside_the_root"
patch("(variance + eps).sqrt()", "(variance.sqrt() + eps)")

# %% [markdown] lang="en" role="mistake" name="variance_for_std"
# You divide by the variance: take its root first.
# %% [markdown] lang="vi" of="587cdf98"
# Bạn đang chia cho phương sai: hãy lấy căn bậc hai trước đã.
# %% role="wrong" name="variance_for_std"
patch("(variance + eps).sqrt()", "(variance + eps)")

# %% [markdown] lang="en" role="mistake" name="affine_forgotten"
# weight and bias are not used: after normalising, each channel is scaled by its weight and shifted by its bias.
# %% [markdown] lang="vi" of="3ec450b0"
# weight và bias chưa được dùng: sau khi chuẩn hóa, mỗi kênh được nhân với weight và cộng bias của nó.
# %% role="wrong" name="affine_forgotten"
patch("y * weight[:, None, None] + bias[:, None, None]", "y")

# %% [markdown] lang="en" role="mistake" name="bias_before_weight"
# The bias was added before the weight multiplies, so that it is scaled too: first times weight, then plus bias.
# %% [markdown] lang="vi" of="4c783967"
# bias được cộng trước khi nhân weight nên cũng bị nhân theo: nhân weight trước, rồi mới cộng bias.
# %% role="wrong" name="bias_before_weight"
patch("y * weight[:, None, None]", "(y")
patch("bias[:, None, None]", "bias[:, None, None]) * weight[:, None, None]")

# %% [markdown] lang="en" role="mistake" name="affine_along_the_width"
# weight and bias (C,) meet (B, C, H, W) as they are, and PyTorch lines up the last axes: they lie along the width, one number
# per column. They need two more axes of size 1 behind.
# %% [markdown] lang="vi" of="fe879629"
# weight và bias (C,) gặp thẳng (B, C, H, W), và PyTorch khớp các trục cuối: chúng nằm dọc theo chiều rộng, mỗi cột một số.
# Cần thêm hai trục kích thước 1 ở phía sau.
# %% role="wrong" name="affine_along_the_width"
patch("weight[:, None, None]", "weight")
patch("bias[:, None, None]", "bias")

# %% [markdown] lang="en" role="mistake" name="view"
# `view` only works where the numbers of x lie one behind the other in memory, and a feature map needn't: after a transpose,
# or with its channels last, it doesn't. `reshape` copies where it must.
# %% [markdown] lang="vi" of="ec50f2ff"
# `view` chỉ chạy khi các số của x nằm nối tiếp nhau trong bộ nhớ, mà bản đồ đặc trưng thì không nhất thiết như vậy: sau một
# phép chuyển vị, hay khi các kênh xếp sau cùng, điều đó không đúng nữa. `reshape` sẽ sao chép khi cần.
# %% role="wrong" name="view"
patch('rearrange(x, "b (g c) h w -> b g (c h w)", g=', "x.view(len(x), ")
patch("groups)    #", "groups, -1)    #")

# %% [markdown] lang="en" role="mistake" name="always_float32"
# The numbers are right, but always float32: a tensor made by torch.zeros(shape) doesn't ask for x's dtype, one made by
# torch.empty_like(x) does.
# %% [markdown] lang="vi" of="fa6bcae1"
# Các số đều đúng, nhưng luôn ở kiểu float32: tensor tạo bằng torch.zeros(shape) không để ý đến kiểu số của x.
# torch.empty_like(x) thì có.
# %% role="wrong" name="always_float32"
patch("return y", "return (y")
patch("bias[:, None, None]", "bias[:, None, None]).float()")

# %% role="library"
import torch.nn.functional as F


def group_norm(x, groups, weight, bias, eps=1e-5):
    return F.group_norm(x, groups, weight, bias, eps)

# %% role="payoff"
def draw(function):
    def forward(self, x):
        return function(x, self.num_groups, self.weight, self.bias, self.eps)

    with patch.object(nn.GroupNorm, "forward", forward):
        return pictures()


payoff(draw, group_norm)
