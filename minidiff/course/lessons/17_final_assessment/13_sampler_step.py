"""Exercise 17.13, sampler_step: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% role="variants"
vary("sampler_step", "step_down", "one_step")

# %% [markdown] lang="en" role="task" difficulty="4" minutes="5"
# ## Part 4, sampling: one step down
#
# From time t to the earlier time s, both whole numbers; a and b are their alpha_bar, `table[t]` and `table[s]`. The network
# said v at time t.
#
# 1. $x_0 = \sqrt a\,x - \sqrt{1 - a}\,v$ and $\epsilon = \sqrt{1 - a}\,x + \sqrt a\,v$.
# 2. The **variance** of the fresh noise is $\eta^2 \frac{1 - b}{1 - a}\left(1 - \frac{a}{b}\right)$. With η = 0 there is none,
#    and `noise` may be None.
# 3. The result is $\sqrt b\,x_0$, plus ε, plus fresh noise. The variances of both noises together are 1 - b.
#
# The result has x's dtype, also in float32 with a table in float64.
# %% [markdown] lang="vi" of="e2d740d5"
# ## Phần 4, lấy mẫu: một bước xuống
#
# Từ thời điểm t đến thời điểm s sớm hơn, cả hai là số nguyên; a và b là alpha_bar của chúng, `table[t]` và `table[s]`. Mạng đã
# trả lời v ở thời điểm t.
#
# 1. $x_0 = \sqrt a\,x - \sqrt{1 - a}\,v$ và $\epsilon = \sqrt{1 - a}\,x + \sqrt a\,v$.
# 2. **Phương sai** của nhiễu mới là $\eta^2 \frac{1 - b}{1 - a}\left(1 - \frac{a}{b}\right)$. Khi η = 0 thì không có nhiễu mới,
#    và `noise` có thể là None.
# 3. Kết quả là $\sqrt b\,x_0$, cộng ε, cộng nhiễu mới. Tổng phương sai của hai nhiễu là 1 - b.
#
# Kết quả cùng kiểu số với x, kể cả khi x là float32 còn bảng là float64.

# %% [markdown] lang="en" role="hints"
# A variance is known; what multiplies a noise is its root.
# ---
# What is left for ε of 1 - b, when the fresh noise has its part?
# ---
# $\sqrt b\,x_0 + \sqrt{1 - b - \text{variance}}\,\epsilon + \sqrt{\text{variance}}\,\text{noise}$.
# %% [markdown] lang="vi" of="1f2ac569"
# Phương sai đã biết; số nhân với nhiễu là căn của nó.
# ---
# Trong 1 - b, phần nào còn lại cho ε khi nhiễu mới đã có phần của nó?
# ---
# $\sqrt b\,x_0 + \sqrt{1 - b - \text{phương sai}}\,\epsilon + \sqrt{\text{phương sai}}\,\text{noise}$.

# %% [markdown] lang="en" role="stub"
# x, v (B, ...) at time t to time s < t. table: alpha_bar, (T + 1,); eta from 0
# to 1; noise (B, ...), or None where eta is 0. Returns (B, ...) of x's dtype.
# ---
# 1. x0 and eps                                               # (B, ...)
# 2. the variance of the fresh noise
# 3. x0, eps and fresh noise together                         # (B, ...)
# %% [markdown] lang="vi" of="509fb08f"
# x, v (B, ...) ở thời điểm t đến thời điểm s < t. table: alpha_bar, (T + 1,); eta
# từ 0 đến 1; noise (B, ...), hoặc None khi eta bằng 0. Trả về (B, ...) cùng kiểu
# số với x.
# ---
# 1. x0 và eps                                                # (B, ...)
# 2. phương sai của nhiễu mới
# 3. x0, eps và nhiễu mới cộng lại                            # (B, ...)

# %% role="solution"
def sampler_step(
    x: Tensor, v: Tensor, t: int, s: int, table: Tensor, eta: float,
    noise: Tensor | None,
) -> Tensor:
    a, b = float(table[t]), float(table[s])
    x0 = a**0.5 * x - (1 - a) ** 0.5 * v                        # (B, ...)
    eps = (1 - a) ** 0.5 * x + a**0.5 * v                       # (B, ...)
    variance = eta**2 * (1 - b) / (1 - a) * (1 - a / b)
    found = b**0.5 * x0 + (1 - b - variance) ** 0.5 * eps       # (B, ...)
    return found if eta == 0 else found + variance**0.5 * noise

# %% [markdown] lang="en" role="checks"
# - float32, without noise
# - eta 0, in the middle
# - eta 0, from pure noise
# - with eta 1
# - with eta 0.4
# - to clean data, at eta 1
# %% [markdown] lang="vi" of="124a0331"
# - float32, không có nhiễu
# - eta 0, ở giữa
# - eta 0, từ nhiễu thuần túy
# - với eta 1
# - với eta 0.4
# - đến dữ liệu sạch, với eta 1

# %% role="probes"
import torch


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


TABLE = torch.linspace(1, 0, 11, dtype=torch.float64) ** 1.5
KIT = dict(x=normal(2, 3, 2, 2, seed=1), v=normal(2, 3, 2, 2, seed=2), table=TABLE)
NOISE = normal(2, 3, 2, 2, seed=3)


def at(t, s, eta):
    return lambda f, x, v, table, noise=None: f(x, v, t, s, table, eta, noise)


probe(lambda f, x, v, table: str(f(x.float(), v.float(), 7, 3, table, 0.0, None).dtype), **KIT)
probe(at(7, 3, 0.0), **KIT)
probe(at(10, 8, 0.0), **KIT)
probe(at(8, 2, 1.0), noise=NOISE, **KIT)
probe(at(6, 5, 0.4), noise=NOISE, **KIT)
probe(at(3, 0, 1.0), noise=NOISE, **KIT)

# %% [markdown] lang="en" role="mistake" name="variance_for_deviation"
# The fresh noise is multiplied by its variance. Its deviation is the root of that.
# %% [markdown] lang="vi" of="cc6552a6"
# Nhiễu mới bị nhân với phương sai của nó. Độ lệch là căn của số đó.
# %% role="wrong" name="variance_for_deviation"
patch("variance**0.5 * noise", "variance * noise")

# %% [markdown] lang="en" role="mistake" name="too_much_noise"
# ε keeps all of 1 - b and the fresh noise comes on top. Together they have 1 - b.
# %% [markdown] lang="vi" of="c28ae5b8"
# ε giữ trọn 1 - b rồi nhiễu mới cộng thêm. Cả hai gộp lại mới là 1 - b.
# %% role="wrong" name="too_much_noise"
patch("(1 - b - variance) ** 0.5", "(1 - b) ** 0.5")

# %% [markdown] lang="en" role="mistake" name="no_fresh_noise"
# The fresh noise is missing: with η above 0 the result has too little noise.
# %% [markdown] lang="vi" of="8d9abf53"
# Thiếu nhiễu mới: khi η lớn hơn 0, kết quả có quá ít nhiễu.
# %% role="wrong" name="no_fresh_noise"
patch("found if eta == 0 else found + variance**0.5 * noise", "found")

# %% [markdown] lang="en" role="mistake" name="eta_ignored"
# η makes no difference: this is always DDIM.
# %% [markdown] lang="vi" of="a573c36f"
# η không có tác dụng gì: đây luôn là DDIM.
# %% role="wrong" name="eta_ignored"
patch("variance = eta**2 * ", "variance = 0 * ")

# %% [markdown] lang="en" role="mistake" name="eta_not_squared"
# η belongs to the deviation, so the variance has its square.
# %% [markdown] lang="vi" of="7010b471"
# η thuộc về độ lệch, nên phương sai mang bình phương của nó.
# %% role="wrong" name="eta_not_squared"
patch("eta**2 *", "eta *")

# %% [markdown] lang="en" role="mistake" name="x0_with_plus"
# x0 has a plus where a minus belongs: v is subtracted from what x shows.
# %% [markdown] lang="vi" of="0d7ad95a"
# Trong x0 có dấu cộng ở chỗ phải trừ: v được trừ khỏi những gì x cho thấy.
# %% role="wrong" name="x0_with_plus"
patch("x - (1 - a)", "x + (1 - a)")

# %% [markdown] lang="en" role="mistake" name="v_as_eps"
# v was taken for the noise. ε has to be found from x and v.
# %% [markdown] lang="vi" of="76d37a1a"
# v bị coi là nhiễu. Phải tìm ε từ x và v.
# %% role="wrong" name="v_as_eps"
patch("eps = (1 - a) ** 0.5 * x + a**0.5 * v ", "eps = v ")

# %% [markdown] lang="en" role="mistake" name="stays_at_t"
# x0 and ε were mixed with the shares of time t, so the step goes nowhere. Those of s are b and 1 - b.
# %% [markdown] lang="vi" of="609c5b25"
# x0 và ε được trộn theo tỉ lệ của thời điểm t, nên bước này không đi đâu cả. Tỉ lệ của s là b và 1 - b.
# %% role="wrong" name="stays_at_t"
patch("b**0.5 * x0 + (1 - b - variance)", "a**0.5 * x0 + (1 - a - variance)")

# %% [markdown] lang="en" role="mistake" name="times_swapped"
# a and b have changed places: the step goes from s to t.
# %% [markdown] lang="vi" of="63defbc9"
# a và b bị đổi chỗ: bước này đi từ s đến t.
# %% role="wrong" name="times_swapped"
patch("float(table[t]), float(table[s])", "float(table[s]), float(table[t])")

# %% [markdown] lang="en" role="mistake" name="straight_to_the_data"
# This is x0. It is the network's guess; a step goes only as far as time s.
# %% [markdown] lang="vi" of="7f4403df"
# Đây là x0. Đó là phỏng đoán của mạng; một bước chỉ đi đến thời điểm s.
# %% role="wrong" name="straight_to_the_data"
patch("found if eta == 0 else found + variance**0.5 * noise", "x0")

# %% [markdown] lang="en" role="mistake" name="without_roots"
# alpha_bar was used as it is. Data and noise are multiplied by the roots.
# %% [markdown] lang="vi" of="97950e22"
# alpha_bar bị dùng nguyên như vậy. Dữ liệu và nhiễu được nhân với các căn.
# %% role="wrong" name="without_roots"
patch("a**0.5 * x - (1 - a) ** 0.5 * v", "a * x - (1 - a) * v")
patch("(1 - a) ** 0.5 * x + a**0.5 * v", "(1 - a) * x + a * v")
patch("b**0.5 * x0 + (1 - b - variance) ** 0.5", "b * x0 + (1 - b - variance)")

# %% role="library"
import torch

from minidiff.diffusion.prediction import to_x0_eps
from minidiff.diffusion.samplers import step
from minidiff.diffusion.schedules import Cosine


def sampler_step(x, v, t, s, table, eta, noise):
    """The library's step, at the times when a cosine schedule has these alpha_bar."""
    t, s = (torch.atan2((1 - a).sqrt(), a.sqrt()) * 2 / torch.pi for a in (table[t], table[s]))
    return step(Cosine(), *to_x0_eps(Cosine(), "v", v, x, t), t, s, eta, noise)
