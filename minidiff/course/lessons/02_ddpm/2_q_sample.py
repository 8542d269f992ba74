"""Exercise 02.2, q_sample: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="2" minutes="10"
# ## Noise in one jump
#
# **The jump.** Noise each example to its own step: $x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \epsilon$. `x0`
# may be pictures `(B, 3, H, W)` or points `(B, 2)`, so make the weights fit any shape.
#
# Below it, your function sinks two portraits in noise, to step 21 of 30, and the network brings them up again. It can do so
# only if there is as much noise as it is told.
# %% [markdown] lang="vi" of="db92a458"
# ## Thêm nhiễu trong một bước nhảy
#
# **Bước nhảy.** Thêm nhiễu cho mỗi mẫu đến bước riêng của nó:
# $x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \epsilon$. `x0` có thể là ảnh `(B, 3, H, W)` hoặc điểm `(B, 2)`,
# nên hãy làm cho hệ số vừa với mọi kích thước.
#
# Bên dưới, hàm của bạn dìm hai bức ảnh vào nhiễu, đến bước 21 trên 30, rồi mạng vớt chúng lên. Nó chỉ làm được nếu lượng nhiễu
# đúng như nó được báo.

# %% [markdown] lang="en" role="hints"
# `alpha_bar[t]` with `t` of shape `(B,)` gives `(B,)`: one number for each example. Which axis of `x0` must it multiply along?
# ---
# `per_example(weights, x0)`, imported above, reshapes `(B,)` to `(B, 1, ..., 1)`. So does `.view(-1, *[1] * (x0.ndim - 1))`.
# ---
# Take a = alpha_bar at t, reshaped. The data's weight is the root of a, the noise's the root of 1 - a.
# %% [markdown] lang="vi" of="dc75f1d1"
# `alpha_bar[t]` với `t` kích thước `(B,)` cho `(B,)`: mỗi mẫu một số. Nó phải nhân dọc theo trục nào của `x0`?
# ---
# `per_example(weights, x0)`, đã import ở trên, đưa `(B,)` về `(B, 1, ..., 1)`. `.view(-1, *[1] * (x0.ndim - 1))` cũng vậy.
# ---
# Lấy a = alpha_bar tại t, đã đổi kích thước. Hệ số của dữ liệu là căn của a, của nhiễu là căn của 1 - a.

# %% [markdown] lang="en" role="stub"
# x at step t, each example at its own. x0, eps: (B, ...); t: (B,) int64, steps
# in 0..T; alpha_bar: (T + 1,), of the dtype of x0 and eps. Returns (B, ...).
# ---
# 1. alpha_bar of each example                              # (B,)
# 2. reshape it so that it multiplies along the batch       # (B, 1, ..., 1)
# 3. mix data and noise                                     # (B, ...)
# %% [markdown] lang="vi" of="33c53c43"
# x tại bước t, mỗi mẫu một bước riêng. x0, eps: (B, ...); t: (B,) int64, các
# bước trong 0..T; alpha_bar: (T + 1,), cùng kiểu số với x0 và eps. Trả về
# (B, ...).
# ---
# 1. alpha_bar của từng mẫu                                 # (B,)
# 2. đổi kích thước để nó nhân dọc theo lô                  # (B, 1, ..., 1)
# 3. trộn dữ liệu với nhiễu                                 # (B, ...)

# %% role="solution"
def q_sample(x0: Tensor, eps: Tensor, t: Tensor, alpha_bar: Tensor) -> Tensor:
    a = per_example(alpha_bar[t], x0)                           # (B, 1, ..., 1)
    return a.sqrt() * x0 + (1 - a).sqrt() * eps                 # (B, ...)

# %% [markdown] lang="en" role="checks"
# - shape of pictures
# - shape and numbers for 2-D points
# - dtype kept
# - four pictures, each with a t of its own
# - at t = 0 nothing changes
# - variance stays near 1 at every t
# %% [markdown] lang="vi" of="8fb226d9"
# - kích thước khi là ảnh
# - kích thước và giá trị với điểm 2 chiều
# - giữ nguyên kiểu số
# - bốn ảnh, mỗi ảnh một t riêng
# - tại t = 0 không có gì thay đổi
# - phương sai giữ gần 1 tại mọi t

# %% role="probes"
import torch

ALPHA_BAR = [1.0, 0.9, 0.72, 0.432, 0.216]                  # T = 4


def given(*shape, dtype=torch.float64):
    """Data and noise of this shape, always the same, with a step for each example."""
    generator = torch.Generator().manual_seed(2)
    return {
        "x0": torch.randn(shape, generator=generator, dtype=dtype),
        "eps": torch.randn(shape, generator=generator, dtype=dtype),
        "t": torch.tensor([4, 1, 3, 2])[: shape[0]],
        "alpha_bar": torch.tensor(ALPHA_BAR, dtype=dtype),
    }


def even(x):
    """Each row with mean 0 and variance 1."""
    return (x - x.mean(1, keepdim=True)) / x.std(1, correction=0, keepdim=True)


def noised(f, x0, eps, t, alpha_bar):
    return f(x0, eps, t, alpha_bar)


def shape(f, **inputs):
    return list(noised(f, **inputs).shape)


def dtype(f, **inputs):
    return str(noised(f, **inputs).dtype)


clean = {**given(2, 2), "t": torch.zeros(2, dtype=torch.long)}
many = given(4, 4096)
many |= {"x0": even(many["x0"]), "eps": even(many["eps"])}

probe(shape, **given(2, 3, 2, 2))
probe(noised, **given(2, 2))
probe(dtype, **given(4, 3, 4, 4, dtype=torch.float32))
probe(noised, points=3, **given(4, 3, 4, 4))
probe(noised, **clean)
probe(lambda f, **inputs: noised(f, **inputs).var(1, correction=0), **many)

# %% [markdown] lang="en" role="mistake" name="no_roots"
# The square roots are missing. alpha_bar and 1 - alpha_bar are variances; x0 and eps are multiplied by standard deviations,
# which are their roots.
# %% [markdown] lang="vi" of="48f7b40e"
# Thiếu căn bậc hai. alpha_bar và 1 - alpha_bar là phương sai; còn x0 và eps phải nhân với độ lệch chuẩn, tức căn của chúng.
# %% role="wrong" name="no_roots"
patch("a.sqrt() * x0 + (1 - a).sqrt() * eps", "a * x0 + (1 - a) * eps")

# %% [markdown] lang="en" role="mistake" name="std_for_variance"
# The noise is multiplied by its variance, 1 - alpha_bar, where its standard deviation belongs: there is too little noise at
# every t. Which of the two weights has a root, and which has not?
# %% [markdown] lang="vi" of="6b445e61"
# Nhiễu đang được nhân với phương sai 1 - alpha_bar, trong khi phải nhân với độ lệch chuẩn: tại mọi t đều quá ít nhiễu. Hệ số
# nào đã có căn, hệ số nào chưa?
# %% role="wrong" name="std_for_variance"
patch("(1 - a).sqrt()", "(1 - a)")

# %% [markdown] lang="en" role="mistake" name="data_without_root"
# The noise has its root, the data has not: x0 is multiplied by alpha_bar, a variance, where its root belongs. At every t too
# little of the data is left.
# %% [markdown] lang="vi" of="09c33b0a"
# Nhiễu đã có căn, còn dữ liệu thì chưa: x0 đang nhân với alpha_bar, một phương sai, thay vì căn của nó. Tại mọi t, dữ liệu còn
# lại quá ít.
# %% role="wrong" name="data_without_root"
patch("a.sqrt() * x0", "a * x0")

# %% [markdown] lang="en" role="mistake" name="root_of_a_root"
# The root was kept under the name of alpha_bar, so the noise's weight is the root of 1 - sqrt(alpha_bar). It should be the root
# of 1 - alpha_bar: the squares of the two weights add up to 1.
# %% [markdown] lang="vi" of="5a618f21"
# Căn đã bị giữ lại dưới tên alpha_bar, nên hệ số của nhiễu thành căn của 1 - sqrt(alpha_bar). Phải là căn của 1 - alpha_bar:
# bình phương của hai hệ số có tổng bằng 1.
# %% role="wrong" name="root_of_a_root"
patch("(1 - a).sqrt()", "(1 - a.sqrt()).sqrt()")

# %% [markdown] lang="en" role="mistake" name="weights_add_up_to_1"
# The two weights add up to 1: the noise's is 1 - sqrt(alpha_bar). It is the variances that add up to 1, the squares of the
# weights; this way the variance of x drops below 1.
# %% [markdown] lang="vi" of="c058493d"
# Hai hệ số đang có tổng bằng 1: hệ số của nhiễu là 1 - sqrt(alpha_bar). Thứ có tổng bằng 1 là các phương sai, tức bình phương
# của hệ số; còn thế này thì phương sai của x tụt xuống dưới 1.
# %% role="wrong" name="weights_add_up_to_1"
patch("(1 - a).sqrt()", "(1 - a.sqrt())")

# %% [markdown] lang="en" role="mistake" name="swapped"
# The two weights are swapped: this gives pure noise at t = 0 and the clean picture at the end. Which one falls with t?
# %% [markdown] lang="vi" of="f9851684"
# Hai hệ số bị đổi chỗ: như vậy t = 0 là nhiễu thuần, còn cuối cùng lại là ảnh sạch. Hệ số nào giảm theo t?
# %% role="wrong" name="swapped"
patch("a.sqrt() * x0 + (1 - a).sqrt() * eps", "(1 - a).sqrt() * x0 + a.sqrt() * eps")

# %% [markdown] lang="en" role="mistake" name="data_kept_whole"
# x0 is added as it is, without a weight, so the variance of x grows beyond 1. A step takes from the data what it adds in noise:
# x0 is multiplied by the root of alpha_bar.
# %% [markdown] lang="vi" of="15470a76"
# x0 được cộng nguyên vẹn, không có hệ số, nên phương sai của x vượt quá 1. Mỗi bước lấy đi của dữ liệu đúng phần mà nó thêm vào
# bằng nhiễu: x0 phải nhân với căn của alpha_bar.
# %% role="wrong" name="data_kept_whole"
patch("a.sqrt() * x0", "x0")

# %% [markdown] lang="en" role="mistake" name="one_t_for_all"
# All examples were noised as much as the first. t holds one step for each example: (B,) of them.
# %% [markdown] lang="vi" of="1fa6121d"
# Mọi mẫu đều bị thêm nhiễu như mẫu đầu tiên. t chứa một bước cho mỗi mẫu: tất cả có (B,) giá trị.
# %% role="wrong" name="one_t_for_all"
patch("per_example(alpha_bar[t], x0)", "alpha_bar[t[0]]")

# %% [markdown] lang="en" role="mistake" name="off_by_one"
# This is x at step t - 1. Our table already holds a 1 for clean data as entry 0, so entry t is step t.
# %% [markdown] lang="vi" of="08852f17"
# Đây là x tại bước t - 1. Bảng của ta đã có số 1 cho dữ liệu sạch ở phần tử 0, nên phần tử t chính là bước t.
# %% role="wrong" name="off_by_one"
patch("alpha_bar[t]", "alpha_bar[t - 1]")

# %% [markdown] lang="en" role="mistake" name="along_the_width"
# The weights (B,) were spread along the last axis, not along the batch: it ran only where both are equally long. Make them (B,
# 1, ..., 1) first, for instance with `per_example`, which is imported above.
# %% [markdown] lang="vi" of="5dfd298d"
# Các hệ số (B,) bị trải dọc theo trục cuối chứ không theo lô: mã chỉ chạy được ở chỗ hai trục dài bằng nhau. Hãy đưa về dạng
# (B, 1, ..., 1) trước, chẳng hạn bằng `per_example` đã import ở trên.
# %% role="wrong" name="along_the_width"
patch("per_example(alpha_bar[t], x0)", "alpha_bar[t]")

# %% [markdown] lang="en" role="mistake" name="pictures_only"
# The weights are (B, 1, 1, 1), which fits pictures alone: with points (B, 2) it makes a tensor (B, 1, B, 2). Add as many axes
# as x0 has, with x0.ndim or with `per_example`.
# %% [markdown] lang="vi" of="c8edc350"
# Các hệ số có dạng (B, 1, 1, 1), chỉ vừa với ảnh: với điểm (B, 2) sẽ thành một tensor (B, 1, B, 2). Hãy thêm đúng số trục mà x0
# có, bằng x0.ndim hoặc bằng `per_example`.
# %% role="wrong" name="pictures_only"
patch("per_example(alpha_bar[t], x0)", "alpha_bar[t].view(-1, 1, 1, 1)")

# %% [markdown] lang="en" role="mistake" name="points_only"
# The weights are (B, 1), which fits points alone: with pictures they run along the rows, not along the batch. Add as many axes
# as x0 has, with x0.ndim or with `per_example`.
# %% [markdown] lang="vi" of="2b3e8745"
# Các hệ số có dạng (B, 1), chỉ vừa với điểm: với ảnh, chúng chạy dọc theo các hàng chứ không theo lô. Hãy thêm đúng số trục mà
# x0 có, bằng x0.ndim hoặc bằng `per_example`.
# %% role="wrong" name="points_only"
patch("per_example(alpha_bar[t], x0)", "alpha_bar[t].unsqueeze(1)")

# %% [markdown] lang="en" role="mistake" name="own_noise"
# It draws noise of its own, and the eps that it was given is not used. The network is to guess that eps later, so it must be
# the one in x.
# %% [markdown] lang="vi" of="f3206226"
# Hàm tự sinh nhiễu riêng, còn eps được truyền vào thì không dùng đến. Sau này mạng phải đoán chính eps ấy, nên trong x phải là
# nó.
# %% role="wrong" name="own_noise"
patch("* eps", "* torch.randn_like(x0)")

# %% [markdown] lang="en" role="mistake" name="multiplied_again"
# alpha_bar was multiplied along the steps once more. The bar says that it holds the products already: entry t is what is left
# after all steps up to t.
# %% [markdown] lang="vi" of="4404ae52"
# alpha_bar bị nhân dồn dọc theo các bước thêm một lần nữa. Dấu gạch trên đầu cho biết nó đã là các tích: phần tử t là phần còn
# lại sau mọi bước cho đến t.
# %% role="wrong" name="multiplied_again"
patch("alpha_bar[t]", "alpha_bar.cumprod(0)[t]")

# %% [markdown] lang="en" role="mistake" name="clamped"
# The result was clamped to -1..1. Pictures lie there, but noise doesn't: x_t has to keep what goes beyond, or there is less
# noise in it than the network is told.
# %% [markdown] lang="vi" of="d2652d47"
# Kết quả bị cắt về -1..1. Ảnh nằm trong khoảng đó, nhưng nhiễu thì không: x_t phải giữ cả phần vượt ra ngoài, nếu không lượng
# nhiễu trong nó sẽ ít hơn mức mà mạng được báo.
# %% role="wrong" name="clamped"
patch("return a.sqrt() * x0", "return (a.sqrt() * x0")
patch("* eps", "* eps).clamp(-1, 1)")

# %% role="library"
from minidiff.diffusion.schedules import get_schedule


def q_sample(x0, eps, t, alpha_bar):
    """The cosine schedule's `mix`, at the times when it has the table's alpha_bar."""
    schedule, a = get_schedule("cosine"), alpha_bar[t].double()
    return schedule.mix(x0, eps, schedule.time((a / (1 - a)).log() / 2))

# %% role="payoff"
def draw(q_sample: Callable) -> Tensor:
    x0 = to_tensor(portraits(6))[[3, 4]]                        # (2, 3, 32, 32)
    sunk = q_sample(x0, noises[0], torch.tensor([21, 21]), alpha_bar)
    timesteps = torch.arange(21, -1, -1, dtype=torch.float64) / 30
    denoiser = pipe.denoiser(["star", "heart"], ["", ""], 2.0)
    *_, last = samplers.sample(
        denoiser, sunk, schedule, timesteps, eta=1.0, noise=lambda k: noises[k + 1]
    )
    return torch.cat([sunk, last.x])


payoff(draw, q_sample, tolerance=0.01)
