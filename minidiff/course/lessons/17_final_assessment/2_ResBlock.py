"""Exercise 17.2, ResBlock: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% role="variants"
vary("ResBlock", "ResidualBlock", "TimedBlock")
vary("eps=1e-5", "eps=1e-4", "eps=1e-6")

# %% [markdown] lang="en" role="task" difficulty="3" minutes="7"
# ## Part 1, the U-Net: a residual block that knows the time
#
# Write the whole class. Two times: GroupNorm (with `groups` groups, eps=1e-5), SiLU, 3 × 3 convolution that keeps the size. The
# layers are called `norm_in`, `conv_in`, `norm_out`, `conv_out`. Between the two, `to_time`, a linear layer, turns the SiLU of
# the time vector into one number for each channel, which is added at every place. What came in is added at the end, through
# `skip`: a 1 × 1 convolution where the widths differ, else `nn.Identity()`.
#
# `conv_out` starts with weights and bias 0, so that a new block adds nothing.
# %% [markdown] lang="vi" of="65dd63de"
# ## Phần 1, U-Net: một khối residual biết thời gian
#
# Hãy viết cả lớp (class). Hai lần: GroupNorm (chia `groups` nhóm, eps=1e-5), SiLU, tích chập 3 × 3 giữ nguyên kích thước. Các
# lớp tên là `norm_in`, `conv_in`, `norm_out`, `conv_out`. Ở giữa, `to_time`, một lớp tuyến tính, biến SiLU của vector thời gian
# thành mỗi kênh một số, được cộng vào mọi vị trí. Cuối cùng cộng thêm đầu vào, qua `skip`: tích chập 1 × 1 nếu hai bề rộng khác
# nhau, nếu không thì `nn.Identity()`.
#
# `conv_out` bắt đầu với trọng số và bias bằng 0, để khối mới tạo không thêm gì.

# %% [markdown] lang="en" role="hints"
# Which of the six layers see width_in, which width_out?
# ---
# The vector (B, C) becomes (B, C, 1, 1) before it is added.
# ---
# `nn.init.zeros_` for both parameters of `conv_out`; the sum at the end takes `self.skip(x)` with the x that came in.
# %% [markdown] lang="vi" of="11dac7ca"
# Trong sáu lớp, lớp nào thấy width_in, lớp nào thấy width_out?
# ---
# Vector (B, C) thành (B, C, 1, 1) trước khi cộng.
# ---
# `nn.init.zeros_` cho cả hai tham số của `conv_out`; phép cộng cuối dùng `self.skip(x)` với x ban đầu.

# %% [markdown] lang="en" role="stub"
# A residual block: x (B, width_in, H, W) and time (B, time_width) to
# (B, width_out, H, W).
# ---
# 1. norm_in, conv_in, to_time, norm_out, conv_out, skip
# 2. conv_out starts at 0
# ---
# 1. norm, SiLU, convolution; then the time               # (B, width_out, H, W)
# 2. norm, SiLU, convolution                              # (B, width_out, H, W)
# 3. add what came in
# %% [markdown] lang="vi" of="ce2bc656"
# Một khối residual: x (B, width_in, H, W) và time (B, time_width) thành
# (B, width_out, H, W).
# ---
# 1. norm_in, conv_in, to_time, norm_out, conv_out, skip
# 2. conv_out bắt đầu từ 0
# ---
# 1. chuẩn hóa, SiLU, tích chập; rồi đến thời gian        # (B, width_out, H, W)
# 2. chuẩn hóa, SiLU, tích chập                           # (B, width_out, H, W)
# 3. cộng đầu vào

# %% role="solution"
class ResBlock(nn.Module):
    def __init__(self, width_in: int, width_out: int, time_width: int, groups: int):
        super().__init__()
        self.norm_in = nn.GroupNorm(groups, width_in, eps=1e-5)
        self.conv_in = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.to_time = nn.Linear(time_width, width_out)
        self.norm_out = nn.GroupNorm(groups, width_out, eps=1e-5)
        self.conv_out = nn.Conv2d(width_out, width_out, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)
        same = width_in == width_out
        self.skip = nn.Identity() if same else nn.Conv2d(width_in, width_out, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.conv_in(F.silu(self.norm_in(x)))               # (B, width_out, H, W)
        h = h + self.to_time(F.silu(time))[:, :, None, None]    # (B, width_out, H, W)
        h = self.conv_out(F.silu(self.norm_out(h)))             # (B, width_out, H, W)
        return self.skip(x) + h                                 # (B, width_out, H, W)

# %% [markdown] lang="en" role="checks"
# - names and shapes of the weights, with two widths and with one
# - shape: 2 pictures of 5 x 3
# - a new block of one width changes nothing
# - the last convolution of a block of two widths starts at 0
# - values with given weights, widths 4 and 6
# - values with given weights, one width
# - numbers that hardly differ
# - gradients reach every weight and the time
# %% [markdown] lang="vi" of="caecf78f"
# - tên và kích thước các trọng số, với hai bề rộng và với một
# - kích thước: 2 ảnh 5 x 3
# - khối mới có một bề rộng thì không thay đổi gì
# - tích chập cuối của khối có hai bề rộng bắt đầu từ 0
# - giá trị với trọng số cho trước, bề rộng 4 và 6
# - giá trị với trọng số cho trước, một bề rộng
# - các số gần như bằng nhau
# - gradient đến được mọi trọng số và thời gian

# %% role="probes"
import torch


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def weighted(f, widths):
    """A block whose weights are drawn by lot, by their names."""
    block = f(*widths)
    state = block.state_dict()
    for k, name in enumerate(sorted(state)):
        state[name] = 0.5 * normal(*state[name].shape, seed=k)
    block.load_state_dict(state)
    return block


def names(f):
    return [{name: list(w.shape) for name, w in f(*widths).state_dict().items()} for widths in ((4, 6, 5, 2), (4, 4, 3, 2))]


def grown(f, x, time):
    """Which weights a gradient reaches."""
    block = weighted(f, (4, 6, 5, 2))
    x, time = x.requires_grad_(), time.requires_grad_()
    block(x, time).square().sum().backward()
    return {**{n: w.grad is not None for n, w in block.named_parameters()}, "time": time.grad is not None}


def last(f):
    return [f(4, 6, 5, 2).conv_out.weight, f(4, 6, 5, 2).conv_out.bias]


X, TIME = normal(2, 4, 5, 3, seed=50), normal(2, 5, seed=51)
probe(names)
probe(lambda f, x, time: list(f(4, 6, 5, 2)(x, time).shape), x=X, time=TIME)
probe(lambda f, x, time: f(4, 4, 5, 2)(x, time), x=X, time=TIME)
probe(last)
probe(lambda f, x, time: weighted(f, (4, 6, 5, 2))(x, time), atol=1e-4, x=X, time=TIME)
probe(lambda f, x, time: weighted(f, (4, 4, 5, 2))(x, time), atol=1e-4, x=X, time=TIME)
probe(lambda f, x, time: weighted(f, (4, 6, 5, 2))(x, time), atol=1e-4, x=0.01 * X, time=TIME)
probe(grown, x=X, time=TIME, changes=("x", "time"))

# %% [markdown] lang="en" role="mistake" name="no_zero_start"
# `conv_out` starts at random. With weights and bias 0 a new block adds nothing, and a deep network starts gently.
# %% [markdown] lang="vi" of="3957e114"
# `conv_out` bắt đầu ngẫu nhiên. Với trọng số và bias bằng 0, khối mới không thêm gì, và mạng sâu khởi đầu êm.
# %% role="wrong" name="no_zero_start"
patch("        nn.init.zeros_(self.conv_out.weight)\n        nn.init.zeros_(self.conv_out.bias)\n", "")

# %% [markdown] lang="en" role="mistake" name="bias_left"
# The weights of `conv_out` start at 0, its bias doesn't: a new block still adds a constant.
# %% [markdown] lang="vi" of="0630c87a"
# Trọng số của `conv_out` bắt đầu từ 0 nhưng bias thì không: khối mới vẫn cộng thêm một hằng số.
# %% role="wrong" name="bias_left"
patch("        nn.init.zeros_(self.conv_out.bias)\n", "")

# %% [markdown] lang="en" role="mistake" name="no_skip"
# What came in is not added: without `self.skip(x)` this is no residual block.
# %% [markdown] lang="vi" of="e86cabb4"
# Đầu vào không được cộng lại: thiếu `self.skip(x)` thì đây không phải khối residual.
# %% role="wrong" name="no_skip"
patch("self.skip(x) + h", "h")

# %% [markdown] lang="en" role="mistake" name="time_as_it_is"
# The time vector goes into `to_time` without its SiLU.
# %% [markdown] lang="vi" of="608d41e9"
# Vector thời gian đi vào `to_time` mà chưa qua SiLU.
# %% role="wrong" name="time_as_it_is"
patch("F.silu(time)", "time")

# %% [markdown] lang="en" role="mistake" name="time_after"
# The time is added at the end. It comes between the two convolutions, before `norm_out`.
# %% [markdown] lang="vi" of="ecd75f2d"
# Thời gian được cộng ở cuối. Nó phải đến giữa hai tích chập, trước `norm_out`.
# %% role="wrong" name="time_after"
patch("        h = h + self.to_time(F.silu(time))[:, :, None, None]    # (B, width_out, H, W)\n", "")
patch("self.skip(x) + h ", "self.skip(x) + h + self.to_time(F.silu(time))[:, :, None, None] ")

# %% [markdown] lang="en" role="mistake" name="time_forgotten"
# The time makes no difference to what comes out.
# %% [markdown] lang="vi" of="decbc13f"
# Thời gian không ảnh hưởng gì đến kết quả.
# %% role="wrong" name="time_forgotten"
patch("        h = h + self.to_time(F.silu(time))[:, :, None, None]    # (B, width_out, H, W)\n", "")

# %% [markdown] lang="en" role="mistake" name="norm_after"
# The convolution comes first and the norm behind it. The order is norm, SiLU, convolution.
# %% [markdown] lang="vi" of="d8e8585d"
# Tích chập đến trước rồi mới chuẩn hóa. Thứ tự phải là chuẩn hóa, SiLU, tích chập.
# %% role="wrong" name="norm_after"
patch("nn.GroupNorm(groups, width_in, eps=1e-5)", "nn.GroupNorm(groups, width_out, eps=1e-5)")
patch("self.conv_in(F.silu(self.norm_in(x)))", "F.silu(self.norm_in(self.conv_in(x)))")
patch("self.conv_out(F.silu(self.norm_out(h)))", "F.silu(self.norm_out(self.conv_out(h)))")

# %% [markdown] lang="en" role="mistake" name="no_silu"
# The SiLU behind the norms is missing: two convolutions in a row are one convolution.
# %% [markdown] lang="vi" of="f989efd4"
# Thiếu SiLU sau các bước chuẩn hóa: hai tích chập liền nhau chỉ là một tích chập.
# %% role="wrong" name="no_silu"
patch("F.silu(self.norm_in(x))", "self.norm_in(x)")
patch("F.silu(self.norm_out(h))", "self.norm_out(h)")

# %% [markdown] lang="en" role="mistake" name="relu"
# That is ReLU. Every activation here is SiLU, x · sigmoid(x).
# %% [markdown] lang="vi" of="68fee4cb"
# Đó là ReLU. Mọi hàm kích hoạt ở đây là SiLU, x · sigmoid(x).
# %% role="wrong" name="relu"
patch("F.silu(self.norm_in(x))", "F.relu(self.norm_in(x))")
patch("F.silu(time)", "F.relu(time)")
patch("F.silu(self.norm_out(h))", "F.relu(self.norm_out(h))")

# %% [markdown] lang="en" role="mistake" name="always_a_convolution"
# `skip` is a convolution even where both widths are one. `nn.Identity()` is enough there, and a new block changes nothing.
# %% [markdown] lang="vi" of="086b3a92"
# `skip` là tích chập ngay cả khi hai bề rộng bằng nhau. Khi đó `nn.Identity()` là đủ, và khối mới không thay đổi gì.
# %% role="wrong" name="always_a_convolution"
patch("nn.Identity() if same else nn.Conv2d", "nn.Conv2d")

# %% [markdown] lang="en" role="mistake" name="no_padding"
# The pictures shrink: a 3 × 3 convolution keeps the size with padding=1.
# %% [markdown] lang="vi" of="388ad582"
# Ảnh bị co lại: tích chập 3 × 3 giữ nguyên kích thước khi có padding=1.
# %% role="wrong" name="no_padding"
patch("nn.Conv2d(width_in, width_out, 3, padding=1)", "nn.Conv2d(width_in, width_out, 3)")
patch("nn.Conv2d(width_out, width_out, 3, padding=1)", "nn.Conv2d(width_out, width_out, 3)")

# %% role="library"
import torch
from torch import nn

from minidiff.nn.blocks import ResBlock as Theirs


class ResBlock(nn.Module):
    """The library's block under these names, with its last convolution at 0."""

    def __init__(self, width_in, width_out, time_width, groups):
        super().__init__()
        block = Theirs(width_in, width_out, groups, eps=1e-5, time_dim=time_width)
        self.norm_in, self.conv_in, self.to_time = block.norm1, block.conv1, block.time_emb_proj
        self.norm_out, self.conv_out = block.norm2, block.conv2
        self.skip = block.conv_shortcut or nn.Identity()
        for weight in self.conv_out.parameters():
            weight.data.zero_()
        self.block = [block]

    def forward(self, x, time):
        return self.block[0](x, time)
