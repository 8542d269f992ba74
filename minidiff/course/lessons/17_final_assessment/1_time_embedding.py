"""Exercise 17.1, time_embedding: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% role="variants"
vary("time_embedding", "time_code", "embed_time")
vary("period: float = 10_000.0", "period: float = 5_000.0", "period: float = 20_000.0")
vary(("[angle.sin(), angle.cos()]", "s_0, c_0, s_1, c_1, ...", "sine first", "sin trước", "sine, then cosine", "sin rồi đến cos"),
     ("[angle.cos(), angle.sin()]", "c_0, s_0, c_1, s_1, ...", "cosine first", "cos trước", "cosine, then sine", "cos rồi đến sin"))

# %% [markdown] lang="en" role="task" difficulty="2" minutes="5"
# ## Part 1, the U-Net: the time as a vector
#
# t (B,) is a share of noise, from 0 (data) to 1 (noise). Multiply it by 1000. Frequency k of `width // 2` is
# $\text{period}^{-k / \lfloor \text{width} / 2 \rfloor}$, k = 0, 1, ... The sine and the cosine of one frequency stand **side by
# side**, sine first: s_0, c_0, s_1, c_1, ... If `width` is odd, one column of zeros ends the row. The result is float32,
# whatever t is.
# %% [markdown] lang="vi" of="b995c38f"
# ## Phần 1, U-Net: thời gian thành vector
#
# t (B,) là tỉ lệ nhiễu, từ 0 (dữ liệu) đến 1 (nhiễu). Nhân nó với 1000. Tần số thứ k trong `width // 2` tần số là
# $\text{period}^{-k / \lfloor \text{width} / 2 \rfloor}$, k = 0, 1, ... Sin và cos của cùng một tần số đứng **cạnh nhau**,
# sin trước: s_0, c_0, s_1, c_1, ... Nếu `width` lẻ, hàng kết thúc bằng một cột số 0. Kết quả có kiểu float32, dù t có kiểu gì.

# %% [markdown] lang="en" role="hints"
# One table of angles (B, half) serves both.
# ---
# `torch.stack` along a new last axis, then flatten it.
# ---
# `F.pad(x, (0, width % 2))` adds the column where one is missing.
# %% [markdown] lang="vi" of="dc97a3db"
# Một bảng góc (B, half) dùng được cho cả hai.
# ---
# `torch.stack` theo một trục cuối mới, rồi làm phẳng trục ấy.
# ---
# `F.pad(x, (0, width % 2))` thêm cột ấy khi còn thiếu.

# %% [markdown] lang="en" role="stub"
# Shares of noise t (B,) in 0..1 to (B, width), float32.
# ---
# 1. the angles                                               # (B, width // 2)
# 2. sine, then cosine, of each, side by side
# 3. a column of zeros for an odd width                       # (B, width)
# %% [markdown] lang="vi" of="2cbc215b"
# Tỉ lệ nhiễu t (B,) trong 0..1 thành (B, width), float32.
# ---
# 1. các góc                                                  # (B, width // 2)
# 2. sin rồi đến cos của từng góc, cạnh nhau
# 3. một cột số 0 nếu width lẻ                                # (B, width)

# %% role="solution"
def time_embedding(t: Tensor, width: int, period: float = 10_000.0) -> Tensor:
    half = width // 2
    k = torch.arange(half, device=t.device)                     # (half,)
    angle = 1000 * t.float()[:, None] * period ** (-k / half)   # (B, half)
    pairs = torch.stack([angle.sin(), angle.cos()], dim=2)      # (B, half, 2)
    return F.pad(pairs.flatten(1), (0, width % 2))              # (B, width)

# %% [markdown] lang="en" role="checks"
# - shape, for even and odd widths
# - float32, also for a t in float64
# - three times, width 8
# - an odd width
# - another period
# %% [markdown] lang="vi" of="97875f89"
# - kích thước, với width chẵn và lẻ
# - float32, kể cả khi t là float64
# - ba thời điểm, width 8
# - width lẻ
# - chu kỳ (period) khác

# %% role="probes"
import torch

T = torch.tensor([0.0, 0.0375, 1.0])

probe(lambda f, t: [list(f(t, width).shape) for width in (8, 7, 2)], t=T)
probe(lambda f, t: [str(f(t, 6).dtype), str(f(t.double(), 6).dtype)], t=T)
probe(lambda f, t: f(t, 8), points=2, atol=2e-4, t=T)
probe(lambda f, t: f(t, 7), atol=2e-4, t=T)
probe(lambda f, t: f(t, 10, period=300.0), atol=2e-4, t=T)

# %% [markdown] lang="en" role="mistake" name="halves"
# All sines come first and all cosines behind them. Here the two of one frequency stand side by side.
# %% [markdown] lang="vi" of="d6257ec9"
# Mọi sin đứng trước rồi mới đến mọi cos. Ở đây hai giá trị của cùng một tần số phải đứng cạnh nhau.
# %% role="wrong" name="halves"
patch("torch.stack([angle.sin(), angle.cos()], dim=2)", "torch.cat([angle.sin(), angle.cos()], dim=1)")

# %% [markdown] lang="en" role="mistake" name="wrong_first"
# In each pair the two have changed places: sine first.
# %% [markdown] lang="vi" of="212693a5"
# Trong mỗi cặp, hai giá trị bị đổi chỗ: sin trước.
# %% role="wrong" name="wrong_first"
patch("pairs.flatten(1)", "pairs.flip(2).flatten(1)")

# %% [markdown] lang="en" role="mistake" name="share_as_it_is"
# t was not multiplied by 1000: between 0 and 1 most of the frequencies hardly turn, and the times look alike.
# %% [markdown] lang="vi" of="f08f2ad7"
# t chưa được nhân với 1000: từ 0 đến 1 thì phần lớn các tần số hầu như chưa quay, và các thời điểm trông giống nhau.
# %% role="wrong" name="share_as_it_is"
patch("1000 * t.float()", "t.float()")

# %% [markdown] lang="en" role="mistake" name="one_fewer"
# The exponent is divided by half - 1, so the last frequency is exactly 1 / period. Divide by half.
# %% [markdown] lang="vi" of="f5820169"
# Số mũ bị chia cho half - 1, nên tần số cuối đúng bằng 1 / period. Hãy chia cho half.
# %% role="wrong" name="one_fewer"
patch("(-k / half)", "(-k / max(half - 1, 1))")

# %% [markdown] lang="en" role="mistake" name="by_width"
# The exponent is divided by the whole width. There are only width // 2 frequencies: divide by their number.
# %% [markdown] lang="vi" of="265f0d16"
# Số mũ bị chia cho cả width. Chỉ có width // 2 tần số: hãy chia cho số tần số.
# %% role="wrong" name="by_width"
patch("(-k / half)", "(-k / width)")

# %% [markdown] lang="en" role="mistake" name="faster"
# The frequencies rise: the minus in the exponent is missing.
# %% [markdown] lang="vi" of="272a5b90"
# Các tần số lại tăng: thiếu dấu trừ ở số mũ.
# %% role="wrong" name="faster"
patch("(-k / half)", "(k / half)")

# %% [markdown] lang="en" role="mistake" name="odd_forgotten"
# An odd width gives one column too few. Add the column of zeros.
# %% [markdown] lang="vi" of="3d2a4b42"
# Với width lẻ, kết quả thiếu một cột. Hãy thêm cột số 0.
# %% role="wrong" name="odd_forgotten"
patch("F.pad(pairs.flatten(1), (0, width % 2))", "pairs.flatten(1)")

# %% [markdown] lang="en" role="mistake" name="zeros_in_front"
# The column of zeros stands in front. It ends the row.
# %% [markdown] lang="vi" of="259342d6"
# Cột số 0 đứng ở đầu. Nó phải kết thúc hàng.
# %% role="wrong" name="zeros_in_front"
patch("(0, width % 2)", "(width % 2, 0)")

# %% [markdown] lang="en" role="mistake" name="keeps_the_type"
# A t in float64 gives a result in float64. It is float32 always, as the weights are.
# %% [markdown] lang="vi" of="0d47902d"
# t kiểu float64 cho kết quả float64. Kết quả luôn phải là float32, như các trọng số.
# %% role="wrong" name="keeps_the_type"
patch("t.float()", "t")

# %% [markdown] lang="en" role="mistake" name="period_fixed"
# The period is always the same number, whatever was handed over. Use the argument.
# %% [markdown] lang="vi" of="ce0a9c18"
# Chu kỳ lúc nào cũng là một số, dù được truyền vào số nào. Hãy dùng đối số.
# %% role="wrong" name="period_fixed"
patch("period ** (", "10_000.0 ** (")

# %% [markdown] lang="en" role="mistake" name="whole_times"
# 1000 times t was made a whole number. A time may lie between two: keep the fraction.
# %% [markdown] lang="vi" of="1f2471f0"
# 1000 lần t bị đổi thành số nguyên. Thời điểm có thể nằm giữa hai số nguyên: hãy giữ phần lẻ.
# %% role="wrong" name="whole_times"
patch("1000 * t.float()", "(1000 * t).long().float()")

# %% role="library"
import torch

from minidiff.nn.embeddings import timestep_embedding


def time_embedding(t, width, period: float = 10_000.0):
    """The library's halves, shuffled together."""
    halves = timestep_embedding(1000 * t.float(), width - width % 2, period)
    cosines, sines = halves.chunk(2, dim=1)
    columns = dict(zip(["angle.sin()", "angle.cos()"], [sines, cosines]))
    order = "[angle.sin(), angle.cos()]".strip("[]").split(", ")
    found = torch.zeros(len(t), width)
    for first, name in enumerate(order):
        found[:, first : width - width % 2 : 2] = columns[name]
    return found
