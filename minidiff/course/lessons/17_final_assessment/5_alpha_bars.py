"""Exercise 17.5, alpha_bars: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% role="variants"
vary("alpha_bars", "kept_signal", "signal_table")
vary("0.00085", "0.0009", "0.0006")
vary("0.012", "0.015", "0.018")

# %% [markdown] lang="en" role="task" difficulty="3" minutes="5"
# ## Part 2, training: a noise schedule that ends in pure noise
#
# A table for any number of steps T.
#
# 1. The **roots** of the betas run evenly from $\sqrt{0.00085}$ to $\sqrt{0.012}$, T of them.
# 2. The betas (the squares) are multiplied by 1000 / T, so that 20 steps end where 1000 do, and are at most 0.999.
# 3. $\bar\alpha_t$ is the product of the first t factors $1 - \beta$; $\bar\alpha_0 = 1$ is clean data.
# 4. The last one is not 0 yet, so some data is left at the end. Take the roots $r_t = \sqrt{\bar\alpha_t}$; shift and scale
#    them so that $r_T$ becomes 0 and $r_0$ stays 1; square them again.
#
# All in float64.
# %% [markdown] lang="vi" of="587335e1"
# ## Phần 2, huấn luyện: lịch nhiễu kết thúc ở nhiễu thuần túy
#
# Một bảng cho số bước T bất kỳ.
#
# 1. **Căn** của các beta chạy đều từ $\sqrt{0.00085}$ đến $\sqrt{0.012}$, có T giá trị.
# 2. Các beta (bình phương) được nhân với 1000 / T, để 20 bước kết thúc ở cùng chỗ với 1000 bước, và không quá 0.999.
# 3. $\bar\alpha_t$ là tích của t thừa số $1 - \beta$ đầu tiên; $\bar\alpha_0 = 1$ là dữ liệu sạch.
# 4. Giá trị cuối chưa bằng 0, nên cuối cùng vẫn còn sót dữ liệu. Lấy căn $r_t = \sqrt{\bar\alpha_t}$; dời và co giãn chúng sao
#    cho $r_T$ thành 0 còn $r_0$ vẫn là 1; rồi bình phương lại.
#
# Tất cả ở kiểu float64.

# %% [markdown] lang="en" role="hints"
# `torch.linspace(first, last, steps, dtype=torch.float64)`, squared.
# ---
# `cumprod`, with a 1 in front.
# ---
# $(r_t - r_T) / (1 - r_T)$.
# %% [markdown] lang="vi" of="2fd2f5d8"
# `torch.linspace(first, last, steps, dtype=torch.float64)`, rồi bình phương.
# ---
# `cumprod`, với số 1 ở đầu.
# ---
# $(r_t - r_T) / (1 - r_T)$.

# %% [markdown] lang="en" role="stub"
# The alpha_bar of T = steps: (T + 1,) float64, from 1 down to 0.
# ---
# 1. the betas                                                # (T,)
# 2. their alpha_bar, with the clean data in front            # (T + 1,)
# 3. the end at 0
# %% [markdown] lang="vi" of="90e77583"
# alpha_bar với T = steps: (T + 1,) float64, từ 1 xuống 0.
# ---
# 1. các beta                                                 # (T,)
# 2. alpha_bar của chúng, có dữ liệu sạch ở đầu               # (T + 1,)
# 3. kết thúc ở 0

# %% role="solution"
def alpha_bars(steps: int) -> Tensor:
    ends = math.sqrt(0.00085), math.sqrt(0.012)
    roots = torch.linspace(*ends, steps, dtype=torch.float64)   # (T,)
    betas = (roots**2 * (1000 / steps)).clamp(max=0.999)        # (T,)
    alpha_bar = (1 - betas).cumprod(0)                          # (T,)
    kept = torch.cat([torch.ones(1).double(), alpha_bar]).sqrt()    # (T + 1,)
    return ((kept - kept[-1]) / (1 - kept[-1])) ** 2            # (T + 1,)

# %% [markdown] lang="en" role="checks"
# - shape, for 20 and for 1000 steps
# - in float64
# - 20 steps
# - 1000 steps, every hundredth
# - 8 steps, where a beta would reach 1
# %% [markdown] lang="vi" of="4f568a44"
# - kích thước, với 20 và với 1000 bước
# - ở float64
# - 20 bước
# - 1000 bước, cứ một trăm bước lấy một
# - 8 bước, khi một beta lẽ ra vượt 1

# %% role="probes"
import torch

probe(lambda f: [list(f(steps).shape) for steps in (20, 1000)])
probe(lambda f: str(f(20).dtype))
probe(lambda f: f(20), atol=1e-7)
probe(lambda f: f(1000)[::100], rtol=1e-9, atol=1e-11)     # float32 inside shows
probe(lambda f: f(8), atol=1e-9)

# %% [markdown] lang="en" role="mistake" name="not_0_at_the_end"
# Step 4 is missing: the last entry isn't 0, so a trace of data is left where sampling begins with none.
# %% [markdown] lang="vi" of="9b8822df"
# Thiếu bước 4: giá trị cuối không bằng 0, nên vẫn sót dữ liệu ở chỗ mà việc lấy mẫu bắt đầu khi không có gì.
# %% role="wrong" name="not_0_at_the_end"
patch("((kept - kept[-1]) / (1 - kept[-1])) ** 2", "kept**2")

# %% [markdown] lang="en" role="mistake" name="only_shifted"
# The roots were shifted, not scaled: clean data has less than 1 now.
# %% [markdown] lang="vi" of="c1da5dfb"
# Các căn mới được dời chứ chưa co giãn: dữ liệu sạch giờ nhỏ hơn 1.
# %% role="wrong" name="only_shifted"
patch("((kept - kept[-1]) / (1 - kept[-1])) ** 2", "(kept - kept[-1]) ** 2")

# %% [markdown] lang="en" role="mistake" name="without_roots"
# The values themselves were shifted and scaled. It is their roots that are, before they are squared again.
# %% [markdown] lang="vi" of="1bf826de"
# Chính các giá trị bị dời và co giãn. Phải làm vậy với căn của chúng, rồi mới bình phương lại.
# %% role="wrong" name="without_roots"
patch("alpha_bar]).sqrt()", "alpha_bar])")
patch("(1 - kept[-1])) ** 2", "(1 - kept[-1]))")

# %% [markdown] lang="en" role="mistake" name="roots_returned"
# These are the roots: square them again at the end.
# %% [markdown] lang="vi" of="afce976e"
# Đây là các căn: cuối cùng hãy bình phương lại.
# %% role="wrong" name="roots_returned"
patch("(1 - kept[-1])) ** 2", "(1 - kept[-1]))")

# %% [markdown] lang="en" role="mistake" name="even_betas"
# The betas run evenly. Their roots should: take the roots of both ends, and square what lies between.
# %% [markdown] lang="vi" of="ebd7016b"
# Các beta chạy đều. Phải là căn của chúng: lấy căn của hai đầu, rồi bình phương những gì nằm giữa.
# %% role="wrong" name="even_betas"
patch("math.sqrt(0.00085), math.sqrt(0.012)", "0.00085, 0.012")
patch("roots**2", "roots")

# %% [markdown] lang="en" role="mistake" name="not_for_any_number"
# The betas are not multiplied by 1000 / T, so 20 steps make hardly any noise.
# %% [markdown] lang="vi" of="2c1c808b"
# Các beta chưa được nhân với 1000 / T, nên 20 bước hầu như không tạo ra nhiễu.
# %% role="wrong" name="not_for_any_number"
patch("roots**2 * (1000 / steps)", "roots**2")

# %% [markdown] lang="en" role="mistake" name="beyond_1"
# With few steps a beta is larger than 1 and the product changes its sign. Betas are at most 0.999.
# %% [markdown] lang="vi" of="1886466c"
# Khi có ít bước, một beta lớn hơn 1 và tích đổi dấu. Beta không được quá 0.999.
# %% role="wrong" name="beyond_1"
patch(".clamp(max=0.999)", "")

# %% [markdown] lang="en" role="mistake" name="no_clean_data"
# The entry of clean data, alpha_bar 1, is missing in front: T steps have T + 1 entries.
# %% [markdown] lang="vi" of="a7ff6b2e"
# Thiếu giá trị của dữ liệu sạch, alpha_bar bằng 1, ở đầu: T bước có T + 1 giá trị.
# %% role="wrong" name="no_clean_data"
patch("torch.cat([torch.ones(1).double(), alpha_bar]).sqrt()", "alpha_bar.sqrt()")

# %% [markdown] lang="en" role="mistake" name="float32_inside"
# The result is in float64, but something on the way was in float32, and its digits are lost. Begin in float64.
# %% [markdown] lang="vi" of="f73eda28"
# Kết quả ở kiểu float64, nhưng trên đường tính có chỗ ở float32, nên các chữ số đã mất. Hãy dùng float64 ngay từ đầu.
# %% role="wrong" name="float32_inside"
patch("dtype=torch.float64", "dtype=torch.float32")

# %% [markdown] lang="en" role="mistake" name="float32"
# The table is in float32. Near 0 and 1 its last digits matter: float64 throughout.
# %% [markdown] lang="vi" of="391d354a"
# Bảng ở kiểu float32. Gần 0 và 1 thì các chữ số cuối đều quan trọng: hãy dùng float64 từ đầu đến cuối.
# %% role="wrong" name="float32"
patch("dtype=torch.float64", "dtype=torch.float32")
patch("torch.ones(1).double()", "torch.ones(1)")

# %% role="library"
import numpy as np
import torch


def alpha_bars(steps):
    """NumPy, with sums of logarithms for the product."""
    betas = np.minimum(np.linspace(0.00085**0.5, 0.012**0.5, steps) ** 2 * 1000 / steps, 0.999)
    kept = np.exp(np.concatenate([[0.0], np.log1p(-betas).cumsum()]) / 2)
    return torch.from_numpy(np.interp(kept, [kept[-1], 1.0], [0.0, 1.0]) ** 2)
