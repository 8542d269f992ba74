"""Exercise 03.1, v_target: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="1" minutes="5"
# ## The line that makes v
#
# Complete the line: the target of a network that predicts v. alpha and sigma come shaped so that they multiply pictures.
# %% [markdown] lang="vi" of="750b22b8"
# ## Dòng lệnh tạo ra v
#
# Hoàn thành một dòng: mục tiêu của mạng dự đoán v. alpha và sigma đã có kích thước nhân được với ảnh.

# %% [markdown] lang="en" role="hints"
# Look at the ends: at t = 0 v is eps, at t = 1 it is -x0.
# ---
# x and v are two rows of a rotation matrix. If one row is (alpha, sigma), what is the other?
# ---
# A weight of eps times eps, minus a weight of x0 times x0; the weight that is 1 at t = 0 belongs to eps.
# %% [markdown] lang="vi" of="3fee7b73"
# Hãy nhìn hai đầu: tại t = 0, v là eps; tại t = 1, v là -x0.
# ---
# x và v là hai hàng của một ma trận quay. Nếu một hàng là (alpha, sigma) thì hàng kia là gì?
# ---
# Một hệ số nhân eps, trừ đi một hệ số nhân x0; hệ số bằng 1 tại t = 0 thuộc về eps.

# %% [markdown] lang="en" role="stub"
# The target v: x0, eps (B, C, H, W); alpha, sigma (B, 1, 1, 1) or (), from 0 to 1,
# both ends included; to v (B, C, H, W), of the same dtype.
# ---
# 1. v is at a right angle to x = alpha x0 + sigma eps, and points towards the noise
# return ...                              # (B, C, H, W), the missing line
# %% [markdown] lang="vi" of="fa62427f"
# Mục tiêu v: x0, eps (B, C, H, W); alpha, sigma (B, 1, 1, 1) hoặc (), từ 0 đến 1,
# kể cả hai đầu; thành v (B, C, H, W), cùng kiểu số.
# ---
# 1. v vuông góc với x = alpha x0 + sigma eps, và chỉ về phía nhiễu
# return ...                              # (B, C, H, W), dòng còn thiếu

# %% role="solution"
def v_target(x0: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    return alpha * eps - sigma * x0                         # (B, C, H, W)

# %% [markdown] lang="en" role="checks"
# - v has the shape of x0
# - v keeps the dtype
# - v, number by number
# - turned back, x and v give x0 and eps
# - one alpha and one sigma for all pictures, at the ends t = 0 and t = 1
# %% [markdown] lang="vi" of="c32dc63a"
# - v có kích thước của x0
# - v giữ nguyên kiểu số
# - từng giá trị của v
# - xoay ngược lại, x và v cho lại x0 và eps
# - một alpha và một sigma chung cho mọi ảnh, ở hai đầu t = 0 và t = 1

# %% role="probes"
import torch

from minidiff.diffusion.schedules import get_schedule, per_example

generator = torch.Generator().manual_seed(31)
X0, EPS = torch.randn(2, 4, 3, 2, 2, generator=generator, dtype=torch.float64)
TIMES = torch.tensor([0.1, 0.3, 0.6, 0.9], dtype=torch.float64)
COSINE = get_schedule("cosine")
MIXED = {
    "x0": X0,
    "eps": EPS,
    "alpha": per_example(COSINE.alpha(TIMES), X0),          # (4, 1, 1, 1)
    "sigma": per_example(COSINE.sigma(TIMES), X0),
}
NONE, ALL = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)


def undo(f, x0, eps, alpha, sigma):
    """The quarter turn back: from x and v to x0 and eps."""
    x = alpha * x0 + sigma * eps
    v = f(x0, eps, alpha, sigma)
    return {
        "alpha x - sigma v": alpha * x - sigma * v,
        "sigma x + alpha v": sigma * x + alpha * v,
    }


def at_the_ends(f, x0, eps, none, all_):
    return {"v at t = 0": f(x0, eps, all_, none), "v at t = 1": f(x0, eps, none, all_)}


probe(lambda f, x0, eps, alpha, sigma: list(f(x0, eps, alpha, sigma).shape), **MIXED)
probe(
    lambda f, x0, eps, alpha, sigma: str(f(x0, eps, alpha, sigma).dtype),
    **{name: value.float() for name, value in MIXED.items()},
)
probe(lambda f, x0, eps, alpha, sigma: f(x0, eps, alpha, sigma), points=2, **MIXED)
probe(undo, **MIXED)
probe(at_the_ends, x0=X0, eps=EPS, none=NONE, all_=ALL)

# %% [markdown] lang="en" role="mistake" name="sign"
# This is v with the opposite sign. v points the way in which x moves when t grows, towards the noise: which of the two, eps
# or x0, must then come with a plus?
# %% [markdown] lang="vi" of="4002d196"
# Đây là v nhưng ngược dấu. v chỉ theo hướng x di chuyển khi t tăng, tức là về phía nhiễu: vậy eps hay x0 phải mang dấu cộng?
# %% role="wrong" name="sign"
patch("alpha * eps - sigma * x0", "sigma * x0 - alpha * eps")

# %% [markdown] lang="en" role="mistake" name="swapped"
# alpha and sigma are swapped. Check the ends: at t = 0 (alpha 1, sigma 0) v must be pure eps, and yours is -x0.
# %% [markdown] lang="vi" of="0674c9f9"
# alpha và sigma bị đổi chỗ. Hãy thử ở hai đầu: tại t = 0 (alpha bằng 1, sigma bằng 0), v phải là eps thuần túy, còn của bạn
# là -x0.
# %% role="wrong" name="swapped"
patch("alpha * eps - sigma * x0", "sigma * eps - alpha * x0")

# %% [markdown] lang="en" role="mistake" name="that_is_x"
# This is x_t itself: the network has it already, so it would learn to copy its input. v is at a right angle to it.
# %% [markdown] lang="vi" of="32d35b7c"
# Đây chính là x_t: mạng đã có sẵn nó nên sẽ chỉ học cách chép lại đầu vào. v vuông góc với x_t.
# %% role="wrong" name="that_is_x"
patch("alpha * eps - sigma * x0", "alpha * x0 + sigma * eps")

# %% [markdown] lang="en" role="mistake" name="plus"
# The weights are right, but one sign is not: with two pluses v is not at a right angle to x = alpha x0 + sigma eps (multiply
# the weights pairwise and add: the sum should be 0).
# %% [markdown] lang="vi" of="e95afbaf"
# Hệ số đúng nhưng sai một dấu: với hai dấu cộng, v không vuông góc với x = alpha x0 + sigma eps (nhân từng cặp hệ số rồi cộng
# lại: tổng phải bằng 0).
# %% role="wrong" name="plus"
patch("alpha * eps - sigma * x0", "alpha * eps + sigma * x0")

# %% [markdown] lang="en" role="mistake" name="flow"
# This is the target of flow, eps - x0, without weights. For v each of the two has a weight that depends on the time.
# %% [markdown] lang="vi" of="5cd948c7"
# Đây là mục tiêu của flow, eps - x0, không có hệ số. Với v, mỗi đại lượng có một hệ số phụ thuộc thời gian.
# %% role="wrong" name="flow"
patch("alpha * eps - sigma * x0", "eps - x0")

# %% [markdown] lang="en" role="mistake" name="places_changed"
# x0 and eps have changed places: at t = 0 (alpha 1, sigma 0) this is x0, and v must be eps there.
# %% [markdown] lang="vi" of="d8ffa8e1"
# x0 và eps bị đổi chỗ: tại t = 0 (alpha bằng 1, sigma bằng 0), kết quả này là x0, trong khi v ở đó phải là eps.
# %% role="wrong" name="places_changed"
patch("alpha * eps - sigma * x0", "alpha * x0 - sigma * eps")

# %% [markdown] lang="en" role="mistake" name="roots"
# Roots are taken of alpha and sigma. In lesson 02 the root of `alpha_bar` was the weight of the data; alpha and sigma are such
# weights already, with alpha^2 + sigma^2 = 1.
# %% [markdown] lang="vi" of="9408d79f"
# Bạn đã lấy căn của alpha và sigma. Ở bài 02, căn của `alpha_bar` mới là hệ số của dữ liệu; còn alpha và sigma vốn đã là những
# hệ số như thế, với alpha^2 + sigma^2 = 1.
# %% role="wrong" name="roots"
patch("alpha * eps - sigma * x0", "alpha.sqrt() * eps - sigma.sqrt() * x0")

# %% [markdown] lang="en" role="mistake" name="shaped_again"
# alpha and sigma have the shape (B, 1, 1, 1) or () already. With three dimensions more they give v dimensions that x0 doesn't
# have: multiply with them as they are.
# %% [markdown] lang="vi" of="56fd9591"
# alpha và sigma đã có kích thước (B, 1, 1, 1) hoặc () rồi. Thêm ba chiều nữa thì v sẽ thừa chiều: hãy nhân thẳng với chúng.
# %% role="wrong" name="shaped_again"
def v_target(x0, eps, alpha, sigma):
    alpha = alpha[:, None, None, None]
    sigma = sigma[:, None, None, None]
    return alpha * eps - sigma * x0

# %% [markdown] lang="en" role="mistake" name="divides_by_sigma"
# Right in between, but at t = 0, where sigma is 0, this divides 0 by 0. The line needs no division: only eps and x0, each
# with a weight.
# %% [markdown] lang="vi" of="8a7eaf10"
# Ở giữa thì đúng, nhưng tại t = 0, nơi sigma bằng 0, bạn đang chia 0 cho 0. Dòng này không cần phép chia nào: chỉ có eps và x0,
# mỗi thứ nhân một hệ số.
# %% role="wrong" name="divides_by_sigma"
patch("alpha * eps - sigma * x0", "(alpha * (alpha * x0 + sigma * eps) - x0) / sigma")

# %% [markdown] lang="en" role="mistake" name="divides_by_alpha"
# Right in between, but at t = 1, where sampling begins, alpha is 0, and this divides 0 by 0. v can be made of eps and x0
# without any division.
# %% [markdown] lang="vi" of="103e733b"
# Ở giữa thì đúng, nhưng tại t = 1, nơi bắt đầu lấy mẫu, alpha bằng 0 và bạn đang chia 0 cho 0. Có thể tạo ra v từ eps và x0 mà
# không cần chia.
# %% role="wrong" name="divides_by_alpha"
patch("alpha * eps - sigma * x0", "(eps - sigma * (alpha * x0 + sigma * eps)) / alpha")

# %% role="library"
from minidiff.diffusion.prediction import prediction_weights


def v_target(x0, eps, alpha, sigma):
    a, b = prediction_weights("v", alpha, sigma)
    return a * eps + b * x0

# %% role="payoff"
def draw(v_target):
    shipped = denoiser(network, schedule, "v")

    def through_v(x, t):            # take the answer apart, and make v of it once more
        x0, eps = shipped(x, t)
        v = v_target(x0, eps, schedule.alpha(t).to(x), schedule.sigma(t).to(x))
        return to_x0_eps(schedule, "v", v, x, t)

    return drawn(through_v)


payoff(draw, v_target)
