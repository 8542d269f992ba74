"""Exercise 17.6, add_noise: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% role="variants"
vary("add_noise", "jump", "noised")

# %% [markdown] lang="en" role="task" difficulty="3" minutes="4"
# ## Part 2, training: the jump to time t
#
# x (B, ...) is at the times s (B,), whole numbers from 0 to T. Take each row to its own later time t (B,) in **one** jump, with
# standard normal `eps` like x. With s = 0, x is clean data. A jump from 0 to s and then one from s to t must together do what
# one jump from 0 to t does: so only the ratio $\bar\alpha_t / \bar\alpha_s$ decides. Where t equals s, nothing changes. The
# result has x's dtype.
# %% [markdown] lang="vi" of="ead0c955"
# ## Phần 2, huấn luyện: bước nhảy đến thời điểm t
#
# x (B, ...) đang ở các thời điểm s (B,), số nguyên từ 0 đến T. Hãy đưa mỗi hàng đến thời điểm t (B,) muộn hơn của riêng nó
# bằng **một** bước nhảy, với `eps` chuẩn tắc cùng kích thước với x. Khi s = 0, x là dữ liệu sạch. Nhảy từ 0 đến s rồi từ s đến
# t phải cho kết quả như một bước nhảy từ 0 đến t: vì thế chỉ tỉ số $\bar\alpha_t / \bar\alpha_s$ quyết định. Nơi t bằng s thì
# không có gì thay đổi. Kết quả cùng kiểu số với x.

# %% [markdown] lang="en" role="hints"
# With s = 0 this is the closed form of lesson 02. What takes the place of alpha_bar?
# ---
# One ratio for each row, shaped (B, 1, ..., 1).
# ---
# $\sqrt{r}\,x + \sqrt{1 - r}\,\epsilon$.
# %% [markdown] lang="vi" of="71c8fd65"
# Với s = 0, đây là công thức đóng của bài 02. Cái gì thay chỗ alpha_bar?
# ---
# Mỗi hàng một tỉ số, có kích thước (B, 1, ..., 1).
# ---
# $\sqrt{r}\,x + \sqrt{1 - r}\,\epsilon$.

# %% [markdown] lang="en" role="stub"
# x (B, ...) at times s (B,) to times t (B,) >= s, with noise eps (B, ...).
# table: alpha_bar, (T + 1,). Returns (B, ...) of x's dtype.
# ---
# 1. a ratio for each row                                     # (B, 1, ..., 1)
# 2. both shares, and their sum                               # (B, ...)
# %% [markdown] lang="vi" of="da6dd5ea"
# x (B, ...) ở các thời điểm s (B,) đến t (B,) >= s, với nhiễu eps (B, ...).
# table: alpha_bar, (T + 1,). Trả về (B, ...) cùng kiểu số với x.
# ---
# 1. mỗi hàng một tỉ số                                       # (B, 1, ..., 1)
# 2. hai phần, và tổng của chúng                              # (B, ...)

# %% role="solution"
def add_noise(x: Tensor, s: Tensor, t: Tensor, eps: Tensor, table: Tensor) -> Tensor:
    ratio = (table[t] / table[s]).view(-1, *[1] * (x.ndim - 1))     # (B, 1, ..., 1)
    kept, added = ratio.sqrt().to(x.dtype), (1 - ratio).sqrt().to(x.dtype)
    return kept * x + added * eps                                   # (B, ...)

# %% [markdown] lang="en" role="checks"
# - shape, for pictures and for points
# - dtype of x
# - from clean data
# - from noisier times, each row its own
# - nothing changes where t equals s
# %% [markdown] lang="vi" of="378d4daf"
# - kích thước, với ảnh và với điểm
# - cùng kiểu số với x
# - từ dữ liệu sạch
# - từ các thời điểm nhiễu hơn, mỗi hàng một thời điểm
# - không có gì thay đổi nơi t bằng s

# %% role="probes"
import torch


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


TABLE = torch.cos(torch.linspace(0, 1.5, 13, dtype=torch.float64)) ** 2
X, EPS = normal(4, 3, 2, 2, seed=1), normal(4, 3, 2, 2, seed=2)
ZERO, S, T = torch.zeros(4).long(), torch.tensor([1, 3, 5, 9]), torch.tensor([2, 8, 11, 12])
KIT = dict(x=X, eps=EPS, table=TABLE)

probe(lambda f, x, s, t, eps, table: [list(f(x, s, t, eps, table).shape), list(f(x[:, :, 0, 0], s, t, eps[:, :, 0, 0], table).shape)],
      s=S, t=T, **KIT)
probe(lambda f, x, s, t, eps, table: str(f(x.float(), s, t, eps.float(), table).dtype), s=S, t=T, **KIT)
probe(lambda f, x, s, t, eps, table: f(x, s, t, eps, table), s=ZERO, t=T, **KIT)
probe(lambda f, x, s, t, eps, table: f(x, s, t, eps, table), s=S, t=T, **KIT)
probe(lambda f, x, s, t, eps, table: f(x, s, t, eps, table), s=T, t=T, **KIT)

# %% [markdown] lang="en" role="mistake" name="variance_for_deviation"
# The noise is multiplied by its variance, 1 - ratio. Its standard deviation is the root of that.
# %% [markdown] lang="vi" of="c315748f"
# Nhiễu bị nhân với phương sai của nó, 1 - tỉ số. Độ lệch chuẩn là căn của số đó.
# %% role="wrong" name="variance_for_deviation"
patch("(1 - ratio).sqrt()", "(1 - ratio)")

# %% [markdown] lang="en" role="mistake" name="data_without_root"
# x is multiplied by the ratio, without its root.
# %% [markdown] lang="vi" of="c6501579"
# x bị nhân với tỉ số mà chưa lấy căn.
# %% role="wrong" name="data_without_root"
patch("ratio.sqrt().to", "ratio.to")

# %% [markdown] lang="en" role="mistake" name="from_clean_data"
# s makes no difference: the jump is made as if x were clean data, and the noise in it counts for nothing.
# %% [markdown] lang="vi" of="832e7c6f"
# s không có tác dụng gì: bước nhảy được làm như thể x là dữ liệu sạch, còn nhiễu sẵn có thì không được tính.
# %% role="wrong" name="from_clean_data"
patch("table[t] / table[s]", "table[t]")

# %% [markdown] lang="en" role="mistake" name="difference"
# The difference of the two alpha_bar was taken. Signal is multiplied from step to step, so it is their ratio that counts.
# %% [markdown] lang="vi" of="cf18d265"
# Bạn đã lấy hiệu của hai alpha_bar. Tín hiệu được nhân dần qua từng bước, nên phải là tỉ số.
# %% role="wrong" name="difference"
patch("table[t] / table[s]", "1 - table[s] + table[t]")

# %% [markdown] lang="en" role="mistake" name="times_swapped"
# s and t have changed places: the ratio is larger than 1, and the noise not a number.
# %% [markdown] lang="vi" of="eb547b4a"
# s và t bị đổi chỗ: tỉ số lớn hơn 1, và nhiễu không còn là một số.
# %% role="wrong" name="times_swapped"
patch("table[t] / table[s]", "table[s] / table[t]")

# %% [markdown] lang="en" role="mistake" name="shares_swapped"
# The two shares have changed places: the root of the ratio belongs to x.
# %% [markdown] lang="vi" of="df375dd2"
# Hai phần bị đổi chỗ: căn của tỉ số thuộc về x.
# %% role="wrong" name="shares_swapped"
patch("kept * x + added * eps", "added * x + kept * eps")

# %% [markdown] lang="en" role="mistake" name="not_per_row"
# The ratio (B,) meets the last axis in place of the rows: shape it (B, 1, ..., 1) first.
# %% [markdown] lang="vi" of="28edb748"
# Tỉ số (B,) gặp trục cuối thay vì các hàng: trước hết hãy đổi nó thành (B, 1, ..., 1).
# %% role="wrong" name="not_per_row"
patch(".view(-1, *[1] * (x.ndim - 1))", "")

# %% [markdown] lang="en" role="mistake" name="only_pictures"
# It works for pictures alone: four dimensions were written down. Points (B, 3) have two.
# %% [markdown] lang="vi" of="1eddeadd"
# Hàm chỉ chạy với ảnh: bốn chiều đã bị viết cứng. Điểm (B, 3) chỉ có hai chiều.
# %% role="wrong" name="only_pictures"
patch(".view(-1, *[1] * (x.ndim - 1))", ".view(-1, 1, 1, 1)")

# %% [markdown] lang="en" role="mistake" name="tables_type"
# The result has the table's dtype, float64. Bring the shares to x's.
# %% [markdown] lang="vi" of="b8510065"
# Kết quả có kiểu số của bảng, float64. Hãy đưa các phần về kiểu số của x.
# %% role="wrong" name="tables_type"
patch("ratio.sqrt().to(x.dtype), (1 - ratio).sqrt().to(x.dtype)", "ratio.sqrt(), (1 - ratio).sqrt()")

# %% role="library"
import torch

from minidiff.diffusion.schedules import Cosine


def add_noise(x, s, t, eps, table):
    """The library's mix, at the time when a cosine schedule has this ratio."""
    ratio = table[t] / table[s]
    time = torch.atan2((1 - ratio).sqrt(), ratio.sqrt()) * 2 / torch.pi
    return Cosine().mix(x, eps, time)
