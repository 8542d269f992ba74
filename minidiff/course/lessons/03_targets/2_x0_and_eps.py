"""Exercise 03.2, x0_and_eps: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="15"
# ## Two equations, two unknowns
#
# Read x0 and eps out of a prediction of any type, with any noise schedule: two equations, two unknowns.
# `prediction_weights(prediction_type, alpha, sigma)` gives (a, b) of `pred = a eps + b x0`. Only times with 0 < t < 1 are used.
# %% [markdown] lang="vi" of="df1486e6"
# ## Hai phương trình, hai ẩn
#
# Đọc x0 và eps ra từ một dự đoán thuộc kiểu bất kỳ, với lịch nhiễu bất kỳ: hai phương trình, hai ẩn.
# `prediction_weights(prediction_type, alpha, sigma)` cho (a, b) của `pred = a eps + b x0`. Chỉ dùng những thời điểm 0 < t < 1.

# %% [markdown] lang="en" role="hints"
# You may treat the four prediction types one by one; it is shorter not to.
# ---
# Multiply the first equation by a and the second by sigma, and subtract: eps is gone.
# ---
# det = alpha a - sigma b. x0 = (a x - sigma pred) / det; for eps, do away with x0 in the same way.
# %% [markdown] lang="vi" of="bb12717d"
# Bạn có thể xử lý từng kiểu dự đoán một; nhưng không tách ra thì ngắn hơn.
# ---
# Nhân phương trình thứ nhất với a, phương trình thứ hai với sigma rồi trừ: eps biến mất.
# ---
# det = alpha a - sigma b. x0 = (a x - sigma pred) / det; với eps, hãy khử x0 theo cùng cách.

# %% [markdown] lang="en" role="stub"
# What a prediction says that x is made of: pred, x (B, ...); t (B,)
# with 0 < t < 1, all of one dtype; to (x0, eps), each like x.
# ---
# 1. alpha, sigma of the schedule at t, and a, b of the prediction type  # (B,)
# 2. per_example(weight, x) shapes each of them            # (B, 1, ..., 1)
# 3. the determinant of  x = alpha x0 + sigma eps,  pred = b x0 + a eps
# 4. x0 and eps by Cramer's rule                           # (B, ...)
# %% [markdown] lang="vi" of="66ec20be"
# x0 và eps tạo nên x, theo dự đoán: pred, x (B, ...); t (B,) với 0 < t < 1, tất cả
# cùng kiểu số; thành (x0, eps), mỗi đại lượng có kích thước và kiểu số của x.
# ---
# 1. alpha, sigma của lịch nhiễu tại t, và a, b của kiểu dự đoán  # (B,)
# 2. per_example(weight, x) đổi kích thước từng hệ số      # (B, 1, ..., 1)
# 3. định thức của hệ  x = alpha x0 + sigma eps,  pred = b x0 + a eps
# 4. x0 và eps theo quy tắc Cramer                         # (B, ...)

# %% role="solution"
def x0_and_eps(
    schedule: NoiseSchedule, prediction_type: str, pred: Tensor, x: Tensor, t: Tensor
) -> tuple[Tensor, Tensor]:
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)     # (B,)
    a, b = prediction_weights(prediction_type, alpha, sigma)
    alpha, sigma, a, b = (per_example(weight, x) for weight in (alpha, sigma, a, b))
    det = alpha * a - sigma * b                             # (B, 1, ..., 1)
    return (a * x - sigma * pred) / det, (alpha * pred - b * x) / det

# %% [markdown] lang="en" role="checks"
# - x0 and eps have the shape of x
# - float32 stays float32
# - a prediction of eps
# - a prediction of x0
# - a prediction of v
# - a prediction of flow
# - v with the schedule `flow`, where alpha^2 + sigma^2 is not 1
# - x0 and eps mix to x again
# - pictures in float32, up to t = 0.99
# %% [markdown] lang="vi" of="28535af7"
# - x0 và eps có kích thước của x
# - float32 vẫn là float32
# - dự đoán kiểu eps
# - dự đoán kiểu x0
# - dự đoán kiểu v
# - dự đoán kiểu flow
# - v với lịch `flow`, nơi alpha^2 + sigma^2 không bằng 1
# - trộn x0 và eps cho lại x
# - ảnh ở float32, đến tận t = 0.99

# %% role="probes"
import torch

from minidiff.diffusion.prediction import PREDICTION_TYPES
from minidiff.diffusion.schedules import get_schedule

generator = torch.Generator().manual_seed(32)  # any numbers will do: nothing is learned
PRED, X = torch.randn(2, 5, 2, 3, generator=generator, dtype=torch.float64)
TIMES = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95], dtype=torch.float64)
GIVEN = {"pred": PRED, "x": X, "t": TIMES}
FLOATS = {name: value.float() for name, value in GIVEN.items()}

PICTURE_PRED, PICTURE_X = torch.randn(2, 4, 3, 4, 4, generator=generator)
PICTURES = {
    "pred": PICTURE_PRED,
    "x": PICTURE_X,
    "t": torch.tensor([0.08, 0.35, 0.7, 0.99]),
}


def read(f, pred, x, t, prediction_type, schedule="cosine"):
    return list(f(get_schedule(schedule), prediction_type, pred, x, t))


def remixed(f, pred, x, t):
    """What x0 and eps mix to, for every prediction type: x again."""
    cosine = get_schedule("cosine")
    pairs = [f(cosine, kind, pred, x, t) for kind in PREDICTION_TYPES]
    return [cosine.mix(x0, eps, t) for x0, eps in pairs]


def of_all_types(f, pred, x, t):
    return {kind: read(f, pred, x, t, kind) for kind in PREDICTION_TYPES}


def shapes(f, pred, x, t):
    return [list(part.shape) for part in read(f, pred, x, t, "v")]


def dtypes(f, pred, x, t):
    return [str(part.dtype) for part in read(f, pred, x, t, "x0")]


probe(shapes, **GIVEN)
probe(dtypes, **FLOATS)
probe(read, prediction_type="eps", **GIVEN)
probe(read, prediction_type="x0", **GIVEN)
probe(read, prediction_type="v", **GIVEN)
probe(read, prediction_type="flow", **GIVEN)
probe(read, prediction_type="v", schedule="flow", **GIVEN)
probe(remixed, **GIVEN)
probe(of_all_types, rtol=1e-4, atol=1e-4, **PICTURES)

# %% [markdown] lang="en" role="mistake" name="swapped_pair"
# Both are right, but in the wrong order: x0 comes first, eps second.
# %% [markdown] lang="vi" of="1dad4b88"
# Cả hai đều đúng nhưng sai thứ tự: x0 trước, eps sau.
# %% role="wrong" name="swapped_pair"
patch(
    "return (a * x - sigma * pred) / det, (alpha * pred - b * x) / det",
    "return (alpha * pred - b * x) / det, (a * x - sigma * pred) / det",
)

# %% [markdown] lang="en" role="mistake" name="eps_not_divided"
# For eps: x - sigma eps is alpha x0, not yet x0. What is left is to divide, and near t = 1 that divisor is almost 0.
# %% [markdown] lang="vi" of="5dae1a18"
# Với eps: x - sigma eps mới là alpha x0, chưa phải x0. Còn thiếu một phép chia, và gần t = 1 số chia đó gần bằng 0.
# %% role="wrong" name="eps_not_divided"
patch("    det =", """\
    if prediction_type == "eps":
        return x - sigma * pred, pred
    det =""")

# %% [markdown] lang="en" role="mistake" name="eps_sign"
# For eps: the noise is added once more instead of taken away. Solve x = alpha x0 + sigma eps for x0, one step at a time.
# %% [markdown] lang="vi" of="1b993e7c"
# Với eps: nhiễu bị cộng thêm lần nữa thay vì bị trừ đi. Hãy giải x = alpha x0 + sigma eps theo x0, từng bước một.
# %% role="wrong" name="eps_sign"
patch("    det =", """\
    if prediction_type == "eps":
        return (x + sigma * pred) / alpha, pred
    det =""")

# %% [markdown] lang="en" role="mistake" name="x0_not_divided"
# For x0: x - alpha x0 is sigma eps, not yet eps. What is left is to divide, and near t = 0 that divisor is almost 0.
# %% [markdown] lang="vi" of="3d3a8956"
# Với x0: x - alpha x0 mới là sigma eps, chưa phải eps. Còn thiếu một phép chia, và gần t = 0 số chia đó gần bằng 0.
# %% role="wrong" name="x0_not_divided"
patch("    det =", """\
    if prediction_type == "x0":
        return pred, x - alpha * pred
    det =""")

# %% [markdown] lang="en" role="mistake" name="v_sign"
# For v: turned the wrong way. Put v = alpha eps - sigma x0 and x = alpha x0 + sigma eps into your formula for x0 and see
# whether eps cancels.
# %% [markdown] lang="vi" of="c2b511b0"
# Với v: xoay ngược chiều. Hãy thế v = alpha eps - sigma x0 và x = alpha x0 + sigma eps vào công thức x0 của bạn, xem eps có
# triệt tiêu không.
# %% role="wrong" name="v_sign"
patch("    det =", """\
    if prediction_type == "v":
        pred = -pred
    det =""")

# %% [markdown] lang="en" role="mistake" name="v_swapped"
# For v: alpha and sigma are swapped. At t = 0 the picture is all there, so x0 must be x itself.
# %% [markdown] lang="vi" of="2feb100d"
# Với v: alpha và sigma bị đổi chỗ. Tại t = 0 bức ảnh còn nguyên, nên x0 phải chính là x.
# %% role="wrong" name="v_swapped"
patch("    det =", """\
    if prediction_type == "v":
        norm = alpha**2 + sigma**2
        return (sigma * x - alpha * pred) / norm, (alpha * x + sigma * pred) / norm
    det =""")

# %% [markdown] lang="en" role="mistake" name="v_on_the_circle"
# For v: right where alpha^2 + sigma^2 = 1, as with the schedule `cosine`. With other schedules the result is too large or too
# small by just that sum: it is the determinant of the two equations.
# %% [markdown] lang="vi" of="6820a301"
# Với v: đúng khi alpha^2 + sigma^2 = 1, như với lịch `cosine`. Với lịch khác, kết quả bị lệch đúng một thừa số bằng tổng đó: nó
# là định thức của hệ hai phương trình.
# %% role="wrong" name="v_on_the_circle"
patch("    det =", """\
    if prediction_type == "v":
        return alpha * x - sigma * pred, sigma * x + alpha * pred
    det =""")

# %% [markdown] lang="en" role="mistake" name="flow_sign"
# For flow: wrong sign. flow = eps - x0, so eps = x0 + flow; put that into x = alpha x0 + sigma eps.
# %% [markdown] lang="vi" of="bf72d14b"
# Với flow: sai dấu. flow = eps - x0 nên eps = x0 + flow; hãy thế vào x = alpha x0 + sigma eps.
# %% role="wrong" name="flow_sign"
patch("    det =", """\
    if prediction_type == "flow":
        pred = -pred
    det =""")

# %% [markdown] lang="en" role="mistake" name="flow_on_the_line"
# For flow: x - sigma flow is right where alpha + sigma = 1, as with the schedule `flow`. With the schedule `cosine` the sum is
# another number, and you must divide by it.
# %% [markdown] lang="vi" of="218fa4f6"
# Với flow: x - sigma flow chỉ đúng khi alpha + sigma = 1, như với lịch `flow`. Với lịch `cosine`, tổng đó là một số khác và bạn
# phải chia cho nó.
# %% role="wrong" name="flow_on_the_line"
patch("    det =", """\
    if prediction_type == "flow":
        x0 = x - sigma * pred
        return x0, (x - alpha * x0) / sigma
    det =""")

# %% [markdown] lang="en" role="mistake" name="flow_both_on_the_line"
# For flow: both formulas are those of a straight line, where alpha + sigma = 1. With the schedule `cosine` that sum is the
# determinant, and both are too large by it.
# %% [markdown] lang="vi" of="315835bd"
# Với flow: cả hai công thức là của đường thẳng, nơi alpha + sigma = 1. Với lịch `cosine`, tổng đó chính là định thức, và cả hai
# kết quả đều lớn hơn đúng ngần ấy lần.
# %% role="wrong" name="flow_both_on_the_line"
patch("    det =", """\
    if prediction_type == "flow":
        return x - sigma * pred, x + alpha * pred
    det =""")

# %% [markdown] lang="en" role="mistake" name="det_sign"
# The sign in the determinant is wrong. Do away with eps once by hand: what is then left before x0 is a difference of two
# products. (For eps it doesn't show, since there b is 0.)
# %% [markdown] lang="vi" of="ec937fdc"
# Sai dấu trong định thức. Hãy tự tay khử eps một lần: thứ còn lại trước x0 là hiệu của hai tích. (Với eps thì không lộ ra, vì
# khi đó b bằng 0.)
# %% role="wrong" name="det_sign"
patch("alpha * a - sigma * b", "alpha * a + sigma * b")

# %% [markdown] lang="en" role="mistake" name="no_det"
# The numerators are right, but the division by the determinant is missing. It is 1 only for v with alpha^2 + sigma^2 = 1; for
# eps it is alpha, for x0 it is -sigma.
# %% [markdown] lang="vi" of="78741479"
# Tử số đúng nhưng thiếu phép chia cho định thức. Định thức chỉ bằng 1 với v khi alpha^2 + sigma^2 = 1; với eps nó là alpha, với
# x0 nó là -sigma.
# %% role="wrong" name="no_det"
patch(
    "return (a * x - sigma * pred) / det, (alpha * pred - b * x) / det",
    "return a * x - sigma * pred, alpha * pred - b * x",
)

# %% [markdown] lang="en" role="mistake" name="a_and_b_swapped"
# a and b have changed places: `prediction_weights` gives the weight of eps first, then that of x0.
# %% [markdown] lang="vi" of="84920c81"
# a và b bị đổi chỗ: `prediction_weights` cho hệ số của eps trước, rồi mới đến hệ số của x0.
# %% role="wrong" name="a_and_b_swapped"
patch("a, b = prediction_weights", "b, a = prediction_weights")

# %% [markdown] lang="en" role="mistake" name="eps_negated"
# x0 is right, eps has the wrong sign. Both are divided by the same determinant, so the order in which you subtract matters:
# put x0 and eps back into x = alpha x0 + sigma eps.
# %% [markdown] lang="vi" of="fe7502b9"
# x0 đúng, còn eps sai dấu. Cả hai chia cho cùng một định thức nên thứ tự khi trừ là quan trọng: hãy thế x0 và eps trở lại
# x = alpha x0 + sigma eps.
# %% role="wrong" name="eps_negated"
patch("alpha * pred - b * x", "b * x - alpha * pred")

# %% [markdown] lang="en" role="mistake" name="clamped"
# x0 was clamped to -1..1. Reading a prediction is exact: where the clamp bites, x0 and eps no longer mix to x, and the next
# step starts from another place.
# %% [markdown] lang="vi" of="6ca5b6a5"
# Bạn đã kẹp x0 vào khoảng -1..1. Đọc dự đoán là phép tính chính xác: chỗ nào bị kẹp thì x0 và eps không còn trộn ra x nữa, và
# bước sau sẽ xuất phát từ một chỗ khác.
# %% role="wrong" name="clamped"
patch("(a * x - sigma * pred) / det", "((a * x - sigma * pred) / det).clamp(-1, 1)")

# %% [markdown] lang="en" role="mistake" name="as_alpha_bar"
# The schedule's alpha was taken for the `alpha_bar` of lesson 02. It is the weight of the data itself, so no root is taken,
# and sigma is a method of its own.
# %% [markdown] lang="vi" of="73a0d18b"
# Bạn đã coi alpha của lịch nhiễu là `alpha_bar` ở bài 02. Nó chính là hệ số của dữ liệu nên không lấy căn, và sigma có phương
# thức riêng.
# %% role="wrong" name="as_alpha_bar"
patch(
    "schedule.alpha(t), schedule.sigma(t)",
    "schedule.alpha(t).sqrt(), (1 - schedule.alpha(t)).sqrt()",
)

# %% [markdown] lang="en" role="mistake" name="sigma_from_alpha"
# sigma was worked out as the root of 1 - alpha^2. That holds for the schedule `cosine`, not for `flow`, where alpha + sigma is
# 1: ask the schedule for sigma, too.
# %% [markdown] lang="vi" of="e5166ff5"
# Bạn tính sigma là căn của 1 - alpha^2. Điều đó đúng với lịch `cosine` nhưng sai với lịch `flow`, nơi alpha + sigma bằng 1: hãy
# hỏi lịch nhiễu cả sigma.
# %% role="wrong" name="sigma_from_alpha"
patch("schedule.sigma(t)", "(1 - schedule.alpha(t) ** 2).sqrt()")

# %% [markdown] lang="en" role="mistake" name="cosine_only"
# alpha and sigma are those of `cosine`, whatever the schedule. The schedule is handed in: ask it.
# %% [markdown] lang="vi" of="60ab6953"
# alpha và sigma luôn là của `cosine`, bất kể lịch nào. Lịch nhiễu đã được truyền vào: hãy hỏi nó.
# %% role="wrong" name="cosine_only"
patch("schedule.alpha(t)", "torch.cos(torch.pi / 2 * t)")
patch("schedule.sigma(t)", "torch.sin(torch.pi / 2 * t)")

# %% [markdown] lang="en" role="mistake" name="pictures_only"
# The weights are shaped (B, 1, 1, 1), which fits pictures alone. x may have any number of dimensions, and with three of them
# the result gets a fourth: `per_example` counts those of x.
# %% [markdown] lang="vi" of="f0c02c8b"
# Các hệ số có kích thước (B, 1, 1, 1), chỉ hợp với ảnh. x có thể có bao nhiêu chiều cũng được, và nếu là ba thì kết quả mọc
# thêm chiều thứ tư: `per_example` đếm số chiều của x.
# %% role="wrong" name="pictures_only"
patch("per_example(weight, x)", "weight.view(-1, 1, 1, 1)")

# %% [markdown] lang="en" role="mistake" name="unshaped"
# Weights (B,) are lined up with the last dimension of x, not with its batch: PyTorch stops where the lengths differ, and
# where they happen to agree the numbers are wrong. Shape them to (B, 1, ..., 1) first.
# %% [markdown] lang="vi" of="f847743b"
# Hệ số (B,) được khớp với chiều cuối của x chứ không phải với chiều lô: PyTorch báo lỗi khi hai độ dài khác nhau, còn khi tình
# cờ bằng nhau thì số ra sai. Hãy đổi kích thước chúng thành (B, 1, ..., 1) trước.
# %% role="wrong" name="unshaped"
patch("per_example(weight, x)", "weight")

# %% role="library"
from minidiff.diffusion.prediction import to_x0_eps


def x0_and_eps(schedule, prediction_type, pred, x, t):
    return to_x0_eps(schedule, prediction_type, pred, x, t)

# %% role="payoff"
def draw(x0_and_eps):
    pictures = []
    for prediction_type in PREDICTION_TYPES:    # as if the network were trained for it
        def denoise(x, t, prediction_type=prediction_type):
            true_pair = denoiser(network, schedule, "v")(x, t)
            t = t.float().expand(len(x)).to(x.device)
            pred = target(schedule, prediction_type, *true_pair, t)
            return x0_and_eps(schedule, prediction_type, pred, x, t)

        pictures.append(drawn(denoise, first=0.99)[:2])
    return torch.cat(pictures)                  # (8, 3, 32, 32): eps, x0, v, flow


payoff(draw, x0_and_eps, tolerance=0.01)
