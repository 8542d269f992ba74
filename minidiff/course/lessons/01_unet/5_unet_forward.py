"""Exercise 01.5, unet_forward: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="4" minutes="15"
# ## The whole U-Net
#
# The last one wires the system: the whole forward pass of a U-Net with a time and a label. `unet` has `config.channels`,
# `time_embedding` (the two linear layers), `class_embedding`, `mid_block(h, time)`, `conv_norm_out` and `conv_out`. Use your
# own `timestep_embedding` and `up_path`, and, from the top of this notebook,
# `down_path(unet, x, time)` and `up_levels(unet, time)`.
# Don't call `unet` itself: below, that calls your function.
# %% [markdown] lang="vi" of="90f04726"
# ## Cả mạng U-Net
#
# Bài cuối nối cả hệ thống: toàn bộ lượt truyền xuôi của một U-Net có thời gian và nhãn. `unet` có `config.channels`,
# `time_embedding` (hai lớp tuyến tính tạo vector nhúng), `class_embedding`, `mid_block(h, time)`, `conv_norm_out` và
# `conv_out`. Hãy dùng `timestep_embedding` và `up_path` bạn đã viết, cùng `down_path(unet, x, time)` và
# `up_levels(unet, time)` ở đầu notebook. Đừng gọi chính `unet`: bên dưới, làm vậy là gọi hàm của bạn.

# %% [markdown] lang="en" role="hints"
# Follow the six steps; each is a line or two, and each result is what the next step needs.
# ---
# `timestep_embedding` gives float32, and x may be float64: `.to(x.dtype)`.
# ---
# Time and label are added before the down path: every residual block reads the same vector.
# %% [markdown] lang="vi" of="2faa1c7c"
# Làm theo sáu bước; mỗi bước một hai dòng, và kết quả của bước này là thứ bước sau cần.
# ---
# `timestep_embedding` cho ra float32, còn x có thể là float64: dùng `.to(x.dtype)`.
# ---
# Thời gian và nhãn được cộng với nhau trước đường đi xuống: mọi khối residual đọc cùng một vector.

# %% [markdown] lang="en" role="stub"
# The forward pass of a U-Net: x (B, 3, H, W), timestep (B or 1,) in 0..1000 and
# labels (B,) int64 to a prediction (B, 3, H, W) of x's dtype, which is unet's too.
# ---
# 1. sinusoids (B or 1, C) of x's dtype, where C is unet.config.channels[0]
# 2. time (B, 4 C): through time_embedding, plus the label's vector
# 3. down_path gives h and skips
# 4. the middle, mid_block, which needs the time too
# 5. up_path, with up_levels(unet, time)
# 6. conv_norm_out, SiLU, conv_out
# %% [markdown] lang="vi" of="84557e43"
# Lượt truyền xuôi của một U-Net: x (B, 3, H, W), bước thời gian timestep
# (B hoặc 1,) trong khoảng 0..1000 và labels (B,) int64 thành dự đoán (B, 3, H, W)
# cùng kiểu số với x, cũng là kiểu số của unet.
# ---
# 1. sinusoids (B hoặc 1, C) cùng kiểu số với x, C là unet.config.channels[0]
# 2. time (B, 4 C): qua time_embedding, cộng thêm vector của nhãn
# 3. down_path cho ra h và skips
# 4. phần giữa, mid_block, cũng cần thời gian
# 5. up_path, với up_levels(unet, time)
# 6. conv_norm_out, SiLU, conv_out

# %% role="solution"
def unet_forward(unet: UNet, x: Tensor, timestep: Tensor, labels: Tensor) -> Tensor:
    width = unet.config.channels[0]                                 # C
    sinusoids = timestep_embedding(timestep, width).to(x.dtype)     # (B or 1, C)
    time = unet.time_embedding(sinusoids)                           # (B or 1, 4 C)
    time = time + unet.class_embedding(labels)                      # (B, 4 C)
    h, skips = down_path(unet, x, time)
    h = unet.mid_block(h, time)                                     # (B, C', h, w)
    h = up_path(h, skips, up_levels(unet, time))                    # (B, C, H, W)
    return unet.conv_out(F.silu(unet.conv_norm_out(h)))             # (B, 3, H, W)

# %% [markdown] lang="en" role="checks"
# - shape, also for a picture of 7 x 5
# - dtype is x's
# - values in a small U-Net
# - another label, another prediction
# - another time, another prediction
# - one timestep for the whole batch
# - the sinusoids that the network is given
# %% [markdown] lang="vi" of="c04c3a34"
# - kích thước, kể cả với ảnh 7 x 5
# - kiểu số là của x
# - giá trị trong một U-Net nhỏ
# - nhãn khác, dự đoán khác
# - bước thời gian khác, dự đoán khác
# - một bước thời gian chung cho cả lô
# - các sóng sin được đưa vào mạng

# %% role="probes"
import torch
from torch import nn

from minidiff.models.unet import UNet, UNetConfig


class Parts(UNet):
    """The parts of a U-Net. Its own forward pass says 0: the answer's is wanted."""

    def forward(self, x, *args, **options):
        return torch.zeros_like(x)


class Reader(nn.Module):
    """Stands in for the layer that reads the sinusoids: notes them and says 0."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.given = layer, []

    def forward(self, sinusoids):
        self.given.append(sinusoids)
        return self.layer.bias.new_zeros(len(sinusoids), self.layer.out_features)


def small_unet(generator):
    """Three levels and four labels in float64, every weight drawn by lot: a fresh U-Net
    predicts 0."""
    config = UNetConfig(
        sample_size=8, in_channels=3, out_channels=3, channels=(4, 8, 8), layers=1,
        attention=(False, False, True), heads=2, context_dim=None, classes=4, groups=2,
    )  # fmt: skip
    unet = Parts(config).double()
    for parameter in unet.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    return unet


def given():
    generator = torch.Generator().manual_seed(3)
    unet = small_unet(generator)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=generator)
    timestep, labels = torch.tensor([300.0, 700.0]), torch.tensor([0, 2])
    return {"unet": unet, "x": x, "timestep": timestep, "labels": labels}


def shapes(f, unet, x, timestep, labels):
    smaller = x[:, :, :7, :5]
    return [list(f(unet, picture, timestep, labels).shape) for picture in (x, smaller)]


def label_effect(f, unet, x, timestep, labels):
    """The difference that the label makes."""
    return f(unet, x, timestep, labels) - f(unet, x, timestep, labels + 1)


def time_effect(f, unet, x, timestep, labels):
    """The difference that the timestep makes."""
    return f(unet, x, timestep, labels) - f(unet, x, timestep + 100, labels)


def sinusoids(f, unet, x, timestep, labels):
    """Whether they are as wide as channels[0], and their dtype."""
    reader = Reader(unet.time_embedding.linear_1)
    unet.time_embedding.linear_1 = reader
    f(unet, x, timestep, labels)
    fits = all(s.shape[-1] == unet.config.channels[0] for s in reader.given)
    return {"width fits": fits, "dtypes": sorted({str(s.dtype) for s in reader.given})}


def values(f, unet, x, timestep, labels):
    return f(unet, x, timestep, labels)


def one_time(f, unet, x, timestep, labels):
    return f(unet, x, timestep[:1], labels)


def dtype(f, unet, x, timestep, labels):
    return str(f(unet, x, timestep, labels).dtype)


probe(shapes, **given())
probe(dtype, **given())
probe(values, points=3, **given())
probe(label_effect, **given())
probe(time_effect, **given())
probe(one_time, **given())
probe(sinusoids, changes=("unet",), **given())

# %% [markdown] lang="en" role="mistake" name="wrong_width"
# The sinusoids have another width than time_embedding reads: they are unet.config.channels[0] wide, whatever the network;
# time_embedding makes 4 times that of them.
# %% [markdown] lang="vi" of="4fa8d1f2"
# Các sóng sin không rộng như time_embedding cần: chúng rộng unet.config.channels[0], với bất kỳ mạng nào; time_embedding mới
# làm cho chúng rộng gấp 4.
# %% role="wrong" name="wrong_width"
patch("timestep_embedding(timestep, width)", "timestep_embedding(timestep, 4 * width)")

# %% [markdown] lang="en" role="mistake" name="dtype_forgotten"
# The sinusoids go in as float32, whatever x is: a network in float64 can't multiply them with its weights. Bring them to x's
# dtype first.
# %% [markdown] lang="vi" of="45402878"
# Các sóng sin được đưa vào ở kiểu float32, bất kể x: mạng ở kiểu float64 không nhân được chúng với trọng số của nó. Hãy đổi
# chúng sang kiểu số của x trước.
# %% role="wrong" name="dtype_forgotten"
patch(".to(x.dtype)", "")

# %% [markdown] lang="en" role="mistake" name="time_in_0_to_1"
# The timestep was divided by 1000: the network was trained with numbers from 0 to 1000.
# %% [markdown] lang="vi" of="133ceac7"
# Bước thời gian đã bị chia cho 1000: mạng được huấn luyện với các số từ 0 đến 1000.
# %% role="wrong" name="time_in_0_to_1"
patch("(timestep, width)", "(timestep / 1000, width)")

# %% [markdown] lang="en" role="mistake" name="time_left_out"
# The timestep makes no difference: its sinusoids go through time_embedding, and the label's vector is added to the result.
# %% [markdown] lang="vi" of="a8fd5b46"
# Bước thời gian không ảnh hưởng gì: các sóng sin của nó đi qua time_embedding, rồi vector của nhãn được cộng vào kết quả.
# %% role="wrong" name="time_left_out"
patch("unet.time_embedding(sinusoids)", "0")

# %% [markdown] lang="en" role="mistake" name="label_left_out"
# The label makes no difference: the vector of its embedding is added to the time's before the first block.
# %% [markdown] lang="vi" of="f8fb308d"
# Nhãn không ảnh hưởng gì: vector nhúng của nhãn phải được cộng vào vector thời gian trước khối đầu tiên.
# %% role="wrong" name="label_left_out"
patch(" + unet.class_embedding(labels)", "")

# %% [markdown] lang="en" role="mistake" name="time_activated"
# A SiLU was put on the sum of time and label: each residual block does that itself, so here the vector stays as it is.
# %% [markdown] lang="vi" of="c95613d2"
# Tổng của thời gian và nhãn đã bị cho qua SiLU: mỗi khối residual tự làm việc đó, nên ở đây vector được để nguyên.
# %% role="wrong" name="time_activated"
patch("down_path(unet, x, time)", "down_path(unet, x, time := F.silu(time))")

# %% [markdown] lang="en" role="mistake" name="no_middle"
# The bottom of the U is missing: mid_block stands between the down path and the up path.
# %% [markdown] lang="vi" of="4749842b"
# Thiếu đáy của chữ U: mid_block nằm giữa đường đi xuống và đường đi lên.
# %% role="wrong" name="no_middle"
patch("unet.mid_block(h, time)", "h")

# %% [markdown] lang="en" role="mistake" name="half_a_middle"
# The middle has two residual blocks, and you use one: call mid_block as a whole, with the attention between them.
# %% [markdown] lang="vi" of="13e15df8"
# Phần giữa có hai khối residual mà bạn chỉ dùng một: hãy gọi cả mid_block, có lớp chú ý xen giữa hai khối.
# %% role="wrong" name="half_a_middle"
patch("unet.mid_block(h, time)", "unet.mid_block.layer(0, h, time)")

# %% [markdown] lang="en" role="mistake" name="no_last_norm"
# conv_norm_out is not used: h is normalised once more before the last convolution.
# %% [markdown] lang="vi" of="c31cf05f"
# conv_norm_out chưa được dùng: h còn phải chuẩn hóa một lần nữa trước phép tích chập cuối cùng.
# %% role="wrong" name="no_last_norm"
patch("unet.conv_norm_out(h)", "h")

# %% [markdown] lang="en" role="mistake" name="no_last_silu"
# There is no SiLU between conv_norm_out and conv_out.
# %% [markdown] lang="vi" of="4af9f5f8"
# Thiếu SiLU giữa conv_norm_out và conv_out.
# %% role="wrong" name="no_last_silu"
patch("F.silu(unet.conv_norm_out(h))", "unet.conv_norm_out(h)")

# %% [markdown] lang="en" role="mistake" name="neither_at_the_end"
# h goes straight into conv_out: before it stand conv_norm_out and a SiLU.
# %% [markdown] lang="vi" of="b669fe34"
# h đi thẳng vào conv_out: trước đó còn conv_norm_out và một SiLU.
# %% role="wrong" name="neither_at_the_end"
patch("F.silu(unet.conv_norm_out(h))", "h")

# %% [markdown] lang="en" role="mistake" name="silu_before_the_last_norm"
# The last SiLU comes before conv_norm_out: the order at the end is conv_norm_out, SiLU, conv_out.
# %% [markdown] lang="vi" of="14b83041"
# SiLU cuối cùng đứng trước conv_norm_out: thứ tự ở cuối là conv_norm_out, SiLU, conv_out.
# %% role="wrong" name="silu_before_the_last_norm"
patch("F.silu(unet.conv_norm_out(h))", "unet.conv_norm_out(F.silu(h))")

# %% [markdown] lang="en" role="mistake" name="input_added"
# x is added to the result: a residual block does that, the whole network doesn't. Its prediction is what conv_out gives.
# %% [markdown] lang="vi" of="460a3af2"
# x bị cộng vào kết quả: khối residual làm vậy, còn cả mạng thì không. Dự đoán của mạng là những gì conv_out cho ra.
# %% role="wrong" name="input_added"
patch("return unet", "return x + unet")

# %% [markdown] lang="en" role="mistake" name="calls_the_network"
# You call the network itself, whose forward pass you are to write: in the payoff, unet(...) calls your function, which calls
# the network, without end. Put its parts together.
# %% [markdown] lang="vi" of="42878f2d"
# Bạn gọi chính mạng mà bạn phải viết lượt truyền xuôi: khi vẽ tranh bên dưới, unet(...) gọi hàm của bạn, hàm ấy lại gọi mạng,
# cứ thế mãi. Hãy ráp các bộ phận của nó lại.
# %% role="wrong" name="calls_the_network"
def unet_forward(unet, x, timestep, labels):
    return unet(x, timestep, labels=labels)

# %% role="library"
from minidiff.models.unet import UNet


def unet_forward(unet, x, timestep, labels):
    return UNet.forward(unet, x, timestep, labels=labels)

# %% role="payoff"
def draw(function):
    def forward(self, x, timestep, context=None, mask=None, labels=None):
        return function(self, x, timestep, labels)

    with patch.object(UNet, "forward", forward):
        return pictures()


payoff(draw, unet_forward)
