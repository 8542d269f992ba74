"""Exercise 17.15, time_grid: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% role="variants"
vary("time_grid", "visited_times", "falling_times")
vary(("**1.5", "^{1.5}", "(1.5)"), ("**2.0", "^{2}", "(2)"), ("**1.25", "^{1.25}", "(1.25)"))

# %% [markdown] lang="en" role="task" difficulty="2" minutes="4"
# ## Part 4, sampling: which times to visit
#
# Small steps are needed where the details are made, at low noise. For `steps` steps take
# $\text{last} \cdot (1 - k / \text{steps})^{1.5}$ for k = 0, 1, ..., steps, rounded to whole numbers, falling from `last` to 0.
# Where two fall together, one stays. The result is int64.
# %% [markdown] lang="vi" of="11cdab6b"
# ## Phần 4, lấy mẫu: thăm những thời điểm nào
#
# Cần bước nhỏ ở nơi tạo ra chi tiết, tức khi ít nhiễu. Với `steps` bước, hãy lấy
# $\text{last} \cdot (1 - k / \text{steps})^{1.5}$ cho k = 0, 1, ..., steps, làm tròn thành số nguyên, giảm từ `last` xuống 0.
# Nơi hai giá trị trùng nhau thì giữ một. Kết quả kiểu int64.

# %% [markdown] lang="en" role="hints"
# steps + 1 numbers: count the posts of the fence.
# ---
# Work in float64, and round before you make whole numbers.
# ---
# `unique()` sorts upwards; `flip(0)` turns it round.
# %% [markdown] lang="vi" of="3916ed8a"
# steps + 1 số: hãy đếm cọc rào.
# ---
# Tính bằng float64, và làm tròn trước khi đổi sang số nguyên.
# ---
# `unique()` xếp tăng dần; `flip(0)` đảo lại.

# %% [markdown] lang="en" role="stub"
# The whole times that a sampler visits: falling from last to 0, int64, (n,).
# ---
# 1. the shares 1 - k / steps                                 # (steps + 1,)
# 2. times, rounded; each once, falling                       # (n,)
# %% [markdown] lang="vi" of="0bc1f83c"
# Các thời điểm nguyên mà bộ lấy mẫu đi qua: giảm từ last xuống 0, int64, (n,).
# ---
# 1. các tỉ lệ 1 - k / steps                                  # (steps + 1,)
# 2. thời điểm, làm tròn; mỗi giá trị một lần, giảm dần       # (n,)

# %% role="solution"
def time_grid(steps: int, last: int) -> Tensor:
    share = 1 - torch.arange(steps + 1, dtype=torch.float64) / steps    # (steps + 1,)
    return (last * share**1.5).round().long().unique().flip(0)          # (n,)

# %% [markdown] lang="en" role="checks"
# - int64, both ends, and one step
# - 10 steps of 1000
# - 7 steps of 250
# - more steps than there are times
# %% [markdown] lang="vi" of="eddecde8"
# - int64, hai đầu, và một bước
# - 10 bước trong 1000
# - 7 bước trong 250
# - nhiều bước hơn số thời điểm

# %% role="probes"
import torch

probe(lambda f: [str(f(5, 100).dtype), f(5, 100)[[0, -1]], f(1, 400)])
probe(lambda f: f(10, 1000))
probe(lambda f: f(7, 250))
probe(lambda f: f(40, 17))

# %% [markdown] lang="en" role="mistake" name="even"
# The times are evenly spaced: the power is missing.
# %% [markdown] lang="vi" of="92a13ca7"
# Các thời điểm cách đều nhau: thiếu lũy thừa.
# %% role="wrong" name="even"
patch("share**1.5", "share")

# %% [markdown] lang="en" role="mistake" name="root"
# The steps are small at high noise: 1 divided by the exponent was taken for it.
# %% [markdown] lang="vi" of="3ddb96f1"
# Bước nhỏ lại nằm ở chỗ nhiều nhiễu: số mũ bị lấy nghịch đảo.
# %% role="wrong" name="root"
patch("share**1.5", "(share ** (1 / (1.5)))")

# %% [markdown] lang="en" role="mistake" name="doubles"
# Some times come twice: a step from a time to itself. `unique` leaves one of each.
# %% [markdown] lang="vi" of="4d76fb97"
# Có thời điểm xuất hiện hai lần: một bước từ một thời điểm đến chính nó. `unique` giữ mỗi giá trị một lần.
# %% role="wrong" name="doubles"
patch(".unique().flip(0)", "")

# %% [markdown] lang="en" role="mistake" name="rising"
# The times rise. A sampler goes from noise to data: turn them round.
# %% [markdown] lang="vi" of="6ba0f761"
# Các thời điểm tăng dần. Bộ lấy mẫu đi từ nhiễu đến dữ liệu: hãy đảo lại.
# %% role="wrong" name="rising"
patch(".flip(0)", "")

# %% [markdown] lang="en" role="mistake" name="cut_off"
# The numbers are cut off, not rounded: call `round` before `long`.
# %% [markdown] lang="vi" of="04e70221"
# Các số bị cắt chứ không làm tròn: hãy gọi `round` trước `long`.
# %% role="wrong" name="cut_off"
patch(".round().long()", ".long()")

# %% [markdown] lang="en" role="mistake" name="one_short"
# There is one time too few: n steps lie between n + 1 times.
# %% [markdown] lang="vi" of="92f62a6d"
# Thiếu một thời điểm: n bước nằm giữa n + 1 thời điểm.
# %% role="wrong" name="one_short"
patch("torch.arange(steps + 1, dtype=torch.float64) / steps ", "torch.linspace(0, 1, steps, dtype=torch.float64) ")

# %% [markdown] lang="en" role="mistake" name="no_0"
# 0 is missing: the last step has to reach clean data.
# %% [markdown] lang="vi" of="19d6f834"
# Thiếu 0: bước cuối phải đến được dữ liệu sạch.
# %% role="wrong" name="no_0"
patch("torch.arange(steps + 1,", "torch.arange(steps,")

# %% [markdown] lang="en" role="mistake" name="from_last_minus_1"
# The times begin at last - 1. Our table has T + 1 entries, and entry `last` is pure noise.
# %% [markdown] lang="vi" of="5f67820d"
# Các thời điểm bắt đầu từ last - 1. Bảng của ta có T + 1 giá trị, và giá trị thứ `last` là nhiễu thuần túy.
# %% role="wrong" name="from_last_minus_1"
patch("(last * share", "((last - 1) * share")

# %% [markdown] lang="en" role="mistake" name="floats"
# The times are no whole numbers, so they can't be indices: `.long()` after rounding.
# %% [markdown] lang="vi" of="47ee9a3e"
# Các thời điểm không phải kiểu số nguyên, nên không làm chỉ số được: `.long()` sau khi làm tròn.
# %% role="wrong" name="floats"
patch(".round().long()", ".round()")

# %% role="library"
import numpy as np
import torch


def time_grid(steps, last):
    """NumPy's spacing; a set leaves doubles out."""
    times = np.rint(last * np.linspace(1, 0, steps + 1)**1.5).astype(int)
    return torch.tensor(sorted(set(times.tolist()), reverse=True))
