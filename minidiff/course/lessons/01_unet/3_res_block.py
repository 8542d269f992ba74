"""Exercise 01.3, res_block: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="12"
# ## A residual block
#
# The forward pass of a residual block, from its layers. `block` has `norm1`, `conv1`, `time_emb_proj`, `norm2`, `conv2` and
# `conv_shortcut` (None where the widths are equal). Don't call `block` itself: in the network below, that calls your function.
# %% [markdown] lang="vi" of="b1d32743"
# ## Một khối residual
#
# Lượt truyền xuôi của một khối residual, từ các lớp của nó. `block` có `norm1`, `conv1`, `time_emb_proj`, `norm2`, `conv2`
# và `conv_shortcut` (None khi số kênh vào và ra bằng nhau). Đừng gọi chính `block`: trong mạng bên dưới, làm vậy là gọi hàm
# của bạn.

# %% [markdown] lang="en" role="hints"
# Keep `x` as it came in until the end: call everything else `h`.
# ---
# The order within each half is norm, `F.silu`, convolution; the time goes in between the halves.
# ---
# `[:, :, None, None]` makes (B, C) a (B, C, 1, 1), which is added at every pixel.
# %% [markdown] lang="vi" of="02f81d9e"
# Giữ nguyên `x` lúc mới vào cho tới cuối: mọi thứ khác gọi là `h`.
# ---
# Thứ tự trong mỗi nửa là chuẩn hóa, `F.silu`, tích chập; thời gian được đưa vào giữa hai nửa.
# ---
# `[:, :, None, None]` biến (B, C) thành (B, C, 1, 1), rồi được cộng vào mọi điểm ảnh.

# %% [markdown] lang="en" role="stub"
# The forward pass of a residual block: x (B, C_in, H, W) and the time's embedding
# time (B or 1, D) to (B, C_out, H, W).
# ---
# 1. norm1, SiLU, conv1
# 2. add the time: SiLU, time_emb_proj, then two axes more, (B, C_out, 1, 1)
# 3. norm2, SiLU, conv2
# 4. add x, through conv_shortcut if there is one
# %% [markdown] lang="vi" of="cdab0a78"
# Lượt truyền xuôi của một khối residual: x (B, C_in, H, W) và vector nhúng của
# thời gian time (B hoặc 1, D) thành (B, C_out, H, W).
# ---
# 1. norm1, SiLU, conv1
# 2. cộng thời gian: SiLU, time_emb_proj, rồi thêm hai trục, (B, C_out, 1, 1)
# 3. norm2, SiLU, conv2
# 4. cộng x, đi qua conv_shortcut nếu có

# %% role="solution"
def res_block(block: ResBlock, x: Tensor, time: Tensor) -> Tensor:
    h = block.conv1(F.silu(block.norm1(x)))                         # (B, C_out, H, W)
    h = h + block.time_emb_proj(F.silu(time))[:, :, None, None]     # (B, C_out, H, W)
    h = block.conv2(F.silu(block.norm2(h)))                         # (B, C_out, H, W)
    if block.conv_shortcut is not None:
        x = block.conv_shortcut(x)                                  # (B, C_out, H, W)
    return x + h                                                    # (B, C_out, H, W)

# %% [markdown] lang="en" role="checks"
# - 4 channels to 8: shape (3, 8, 3, 8)
# - values where widths differ
# - values where widths are equal
# - one time for the whole batch
# - conv2 of zeros: the block changes nothing
# %% [markdown] lang="vi" of="02283339"
# - 4 kênh thành 8: kích thước (3, 8, 3, 8)
# - giá trị khi số kênh vào và ra khác nhau
# - giá trị khi số kênh vào và ra bằng nhau
# - một bước thời gian chung cho cả lô
# - conv2 toàn số 0: khối không thay đổi gì

# %% role="probes"
import torch
from torch import nn

from minidiff.nn.blocks import ResBlock


class Layers(ResBlock):
    """A residual block whose own forward pass says 0: the answer's is wanted."""

    def forward(self, x, time=None):
        return x.new_zeros(len(x), self.conv2.out_channels, *x.shape[2:])


def given(channels):
    """A block from that many channels to 8 in float64, every weight drawn by lot. x is
    as high as the batch is large, and as wide as the block has channels: a time whose
    axes are in the wrong place fits too."""
    generator = torch.Generator().manual_seed(channels)
    block = Layers(channels, 8, groups=2, time_dim=6).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    x = torch.randn(3, channels, 3, 8, dtype=torch.float64, generator=generator)
    time = torch.randn(3, 6, dtype=torch.float64, generator=generator)
    return {"block": block, "x": x, "time": time}


def fresh():
    """A block whose last convolution is 0."""
    parts = given(8)
    for parameter in parts["block"].conv2.parameters():
        nn.init.zeros_(parameter)
    return parts


probe(lambda f, block, x, time: list(f(block, x, time).shape), **given(4))
probe(lambda f, block, x, time: f(block, x, time), points=2, **given(4))
probe(lambda f, block, x, time: f(block, x, time), **given(8))
probe(lambda f, block, x, time: f(block, x, time[:1]), **given(4))
probe(lambda f, block, x, time: f(block, x, time) - x, **fresh())

# %% [markdown] lang="en" role="mistake" name="no_skip"
# What came in is never added at the end: without x + ... this is no residual block. Where widths differ, conv_shortcut brings
# x to the new width.
# %% [markdown] lang="vi" of="c9218cbc"
# Đầu vào không được cộng lại ở cuối: thiếu x + ... thì không còn là khối residual. Khi số kênh khác nhau, conv_shortcut đưa
# x về số kênh mới.
# %% role="wrong" name="no_skip"
patch("return x + h", "return h")

# %% [markdown] lang="en" role="mistake" name="skip_from_the_normalised_x"
# You add the normalised and activated x: was x overwritten on the way? What is added is x as it came in.
# %% [markdown] lang="vi" of="0ebef090"
# Bạn cộng x đã chuẩn hóa và kích hoạt: có phải x bị ghi đè giữa chừng? Thứ cần cộng là x lúc mới vào.
# %% role="wrong" name="skip_from_the_normalised_x"
patch("h = block.conv1(F.silu(block.norm1(x)))", "x = F.silu(block.norm1(x))")
patch("h = h + block", "h = block.conv1(x) + block")

# %% [markdown] lang="en" role="mistake" name="shortcut_forgotten"
# Where the widths differ, x doesn't fit to what was computed: there conv_shortcut brings x, as it came in, to the new width.
# %% [markdown] lang="vi" of="ab5376d2"
# Khi số kênh vào và ra khác nhau, x không khớp với phần vừa tính: lúc ấy conv_shortcut đưa x, như lúc mới vào, về số kênh mới.
# %% role="wrong" name="shortcut_forgotten"
patch("x = block.conv_shortcut(x)", "pass")

# %% [markdown] lang="en" role="mistake" name="shortcut_always"
# conv_shortcut is called even where it is None: a block whose widths are equal has none, and adds x as it is.
# %% [markdown] lang="vi" of="0c642aa2"
# conv_shortcut bị gọi cả khi nó là None: khối có số kênh vào và ra bằng nhau thì không có nó, và cộng thẳng x.
# %% role="wrong" name="shortcut_always"
patch("if block.conv_shortcut is not None:", "if True:")

# %% [markdown] lang="en" role="mistake" name="silu_after_the_sum"
# A SiLU comes after the sum (as the ReLU did in the first residual networks, of 2015): then x doesn't pass unchanged any more.
# The sum is the result.
# %% [markdown] lang="vi" of="3e3f1a9e"
# Có một SiLU sau phép cộng (như ReLU trong các mạng residual đầu tiên, năm 2015): khi đó x không còn đi qua nguyên vẹn. Chính
# tổng là kết quả.
# %% role="wrong" name="silu_after_the_sum"
patch("return x + h", "return F.silu(x + h)")

# %% [markdown] lang="en" role="mistake" name="time_before_conv1"
# The time is added before conv1, where the features still have C_in channels; time_emb_proj gives C_out. It belongs between
# conv1 and norm2.
# %% [markdown] lang="vi" of="c376bd71"
# Thời gian được cộng trước conv1, nơi đặc trưng còn C_in kênh; time_emb_proj cho ra C_out kênh. Nó phải nằm giữa conv1 và
# norm2.
# %% role="wrong" name="time_before_conv1"
patch("h = block.conv1(F.silu(block.norm1(x)))", "h = F.silu(block.norm1(x))")
patch("F.silu(block.norm2(h))", "F.silu(block.norm2(block.conv1(h)))")

# %% [markdown] lang="en" role="mistake" name="time_after_norm2"
# The time is added after the second norm and its SiLU: it belongs between conv1 and norm2.
# %% [markdown] lang="vi" of="ff1d7685"
# Thời gian được cộng sau lớp chuẩn hóa thứ hai và SiLU của nó: nó phải nằm giữa conv1 và norm2.
# %% role="wrong" name="time_after_norm2"
patch("h = h + block", "shift = block")
patch("F.silu(block.norm2(h))", "F.silu(block.norm2(h)) + shift")

# %% [markdown] lang="en" role="mistake" name="time_at_the_end"
# The time is added after conv2, where it only shifts whole channels of the result: it belongs between conv1 and norm2.
# %% [markdown] lang="vi" of="434225ed"
# Thời gian được cộng sau conv2, ở đó nó chỉ dịch cả kênh của kết quả: nó phải nằm giữa conv1 và norm2.
# %% role="wrong" name="time_at_the_end"
patch("h = h + block", "shift = block")
patch("return x + h", "return x + h + shift")

# %% [markdown] lang="en" role="mistake" name="time_ignored"
# The time makes no difference to your answer: is the sum of h and the projected time kept?
# %% [markdown] lang="vi" of="87e2dc87"
# Thời gian không ảnh hưởng gì đến kết quả: tổng của h và thời gian đã chiếu có được giữ lại không?
# %% role="wrong" name="time_ignored"
patch("h = h + block", "h + block")

# %% [markdown] lang="en" role="mistake" name="time_multiplied"
# h is multiplied by the projected time: in this block the time is added.
# %% [markdown] lang="vi" of="b52ff259"
# h bị nhân với thời gian đã chiếu: trong khối này, thời gian được cộng vào.
# %% role="wrong" name="time_multiplied"
patch("h = h + block", "h = h * block")

# %% [markdown] lang="en" role="mistake" name="time_without_silu"
# The time goes into its projection as it is: a SiLU comes first.
# %% [markdown] lang="vi" of="f1239721"
# Vector thời gian được đưa thẳng vào phép chiếu: trước đó phải qua SiLU.
# %% role="wrong" name="time_without_silu"
patch("F.silu(time)", "time")

# %% [markdown] lang="en" role="mistake" name="silu_behind_the_projection"
# SiLU and the time's projection have changed places: SiLU first, then time_emb_proj.
# %% [markdown] lang="vi" of="b21f5438"
# SiLU và phép chiếu thời gian bị đổi chỗ: SiLU trước, rồi mới đến time_emb_proj.
# %% role="wrong" name="silu_behind_the_projection"
patch("block.time_emb_proj(F.silu(time))", "F.silu(block.time_emb_proj(time))")

# %% [markdown] lang="en" role="mistake" name="time_without_axes"
# (B, C) was added to (B, C, H, W) as it is, and PyTorch lines up the last axes: the time ended up along height and width. It
# needs two more axes of size 1 behind.
# %% [markdown] lang="vi" of="0f7a88df"
# (B, C) được cộng thẳng vào (B, C, H, W), và PyTorch khớp các trục cuối: thời gian rơi vào chiều cao và chiều rộng. Cần thêm
# hai trục kích thước 1 ở phía sau.
# %% role="wrong" name="time_without_axes"
patch("[:, :, None, None]", "")

# %% [markdown] lang="en" role="mistake" name="a_time_for_each_picture"
# Your answer needs a time for each picture, and time may be (1, D), one for the whole batch: two more axes of size 1 fit both.
# %% [markdown] lang="vi" of="94f2825e"
# Cách của bạn đòi mỗi ảnh một bước thời gian, mà time có thể là (1, D), chung cho cả lô: thêm hai trục kích thước 1 thì hợp
# với cả hai.
# %% role="wrong" name="a_time_for_each_picture"
patch("[:, :, None, None]", ".view(len(x), -1, 1, 1)")

# %% [markdown] lang="en" role="mistake" name="no_silu"
# There is no SiLU after the norms: without one, two convolutions in a row are hardly more than one.
# %% [markdown] lang="vi" of="3a49b649"
# Thiếu SiLU sau các lớp chuẩn hóa: không có nó, hai phép tích chập liên tiếp gần như chỉ là một.
# %% role="wrong" name="no_silu"
patch("F.silu(block.norm1(x))", "block.norm1(x)")
patch("F.silu(block.norm2(h))", "block.norm2(h)")

# %% [markdown] lang="en" role="mistake" name="relu"
# ReLU stands where SiLU should: the network's weights were learnt with SiLU, x times sigmoid(x).
# %% [markdown] lang="vi" of="3811065b"
# ReLU đứng ở chỗ của SiLU: trọng số của mạng được học với SiLU, tức x nhân sigmoid(x).
# %% role="wrong" name="relu"
patch("F.silu(block.norm1(x))", "F.relu(block.norm1(x))")
patch("F.silu(time)", "F.relu(time)")
patch("F.silu(block.norm2(h))", "F.relu(block.norm2(h))")

# %% [markdown] lang="en" role="mistake" name="silu_before_norm"
# SiLU comes before the norm in each half: the order is norm, SiLU, convolution.
# %% [markdown] lang="vi" of="4f304165"
# Trong mỗi nửa, SiLU đứng trước lớp chuẩn hóa: thứ tự đúng là chuẩn hóa, SiLU, tích chập.
# %% role="wrong" name="silu_before_norm"
patch("F.silu(block.norm1(x))", "block.norm1(F.silu(x))")
patch("F.silu(block.norm2(h))", "block.norm2(F.silu(h))")

# %% [markdown] lang="en" role="mistake" name="convolution_first"
# In each half the convolution comes first, then norm and SiLU. This block normalises first: norm, SiLU, convolution; norm1 is
# as wide as what comes in.
# %% [markdown] lang="vi" of="761c17e5"
# Trong mỗi nửa, phép tích chập đứng trước, rồi mới đến chuẩn hóa và SiLU. Khối này chuẩn hóa trước: chuẩn hóa, SiLU, tích
# chập; norm1 có số kênh của đầu vào.
# %% role="wrong" name="convolution_first"
patch("block.conv1(F.silu(block.norm1(x)))", "F.silu(block.norm1(block.conv1(x)))")
patch("block.conv2(F.silu(block.norm2(h)))", "F.silu(block.norm2(block.conv2(h)))")

# %% [markdown] lang="en" role="mistake" name="calls_the_block"
# You call the block itself, whose forward pass you are to write: in the network, block(x, time) calls your function, which
# calls the block, without end. Call its layers, one after the other.
# %% [markdown] lang="vi" of="20f56582"
# Bạn gọi chính khối mà bạn phải viết lượt truyền xuôi: trong mạng, block(x, time) gọi hàm của bạn, hàm ấy lại gọi khối, cứ
# thế mãi. Hãy gọi từng lớp của nó, lần lượt.
# %% role="wrong" name="calls_the_block"
def res_block(block, x, time):
    return block(x, time)

# %% role="library"
from minidiff.nn.blocks import ResBlock


def res_block(block, x, time):
    return ResBlock.forward(block, x, time)

# %% role="payoff"
def draw(function):
    with patch.object(ResBlock, "forward", function):
        return pictures()


payoff(draw, res_block)
