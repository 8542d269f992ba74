"""Exercise 03.3, min_snr: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="12"
# ## How much does each time count?
#
# Min-SNR weights for every prediction type, with schedules where alpha² + sigma² = 1: min(SNR, gamma), divided by the factor
# of the type. Only times with 0 < t < 1 are used.
#
# The payoff shows what the shipped model makes of one noisy star at eight times, faded by the weight of each: what the
# weighted loss looks at.
# %% [markdown] lang="vi" of="d84441fa"
# ## Mỗi thời điểm đáng giá bao nhiêu?
#
# Trọng số min-SNR cho mọi kiểu dự đoán, với các lịch có alpha² + sigma² = 1: min(SNR, gamma), chia cho thừa số riêng của từng
# kiểu. Chỉ dùng những thời điểm 0 < t < 1.
#
# Phần thưởng: mô hình có sẵn nhìn một ngôi sao nhiễu ở tám thời điểm, mỗi ảnh mờ đi theo trọng số của nó: đó là những gì hàm
# mất mát có trọng số nhìn vào.

# %% [markdown] lang="en" role="hints"
# The table in the lesson's section on min-SNR lists the four factors.
# ---
# `tensor.clamp(max=5)` is the smaller of the two, element by element.
# ---
# SNR is (alpha / sigma) squared; the factors are SNR, 1, SNR + 1, (1 + root of SNR) squared.
# %% [markdown] lang="vi" of="3a991259"
# Bảng trong phần min-SNR của bài học liệt kê bốn thừa số.
# ---
# `tensor.clamp(max=5)` lấy số nhỏ hơn, theo từng phần tử.
# ---
# SNR là (alpha / sigma) bình phương; các thừa số là SNR, 1, SNR + 1, và (1 + căn của SNR) bình phương.

# %% [markdown] lang="en" role="stub"
# The min-SNR weight of each time: t (B,) with 0 < t < 1; to weights (B,),
# of the same dtype.
# ---
# 1. SNR, a ratio of variances                              # (B,)
# 2. what turns an x0 loss into the loss of this prediction type: eps, x0, v, flow
# 3. the smaller of SNR and gamma, divided by that          # (B,)
# %% [markdown] lang="vi" of="a7e961d3"
# Trọng số min-SNR của từng thời điểm: t (B,) với 0 < t < 1; thành các trọng
# số (B,), cùng kiểu số.
# ---
# 1. SNR, tỉ số của hai phương sai                          # (B,)
# 2. thừa số đổi hàm mất mát của x0 thành của kiểu dự đoán này: eps, x0, v, flow
# 3. số nhỏ hơn giữa SNR và gamma, chia cho thừa số đó      # (B,)

# %% role="solution"
def min_snr(
    schedule: NoiseSchedule, prediction_type: str, t: Tensor, gamma: float = 5.0
) -> Tensor:
    snr = (schedule.alpha(t) / schedule.sigma(t)) ** 2      # (B,)
    factors = {
        "eps": snr,
        "x0": torch.ones_like(snr),
        "v": snr + 1,
        "flow": (1 + snr.sqrt()) ** 2,
    }
    return snr.clamp(max=gamma) / factors[prediction_type]  # (B,)

# %% [markdown] lang="en" role="checks"
# - one weight for each time, of the dtype of t
# - weights for x0
# - weights for eps
# - weights for v
# - weights for flow
# - another schedule and another gamma
# %% [markdown] lang="vi" of="ad849f54"
# - mỗi thời điểm một trọng số, cùng kiểu số với t
# - trọng số cho x0
# - trọng số cho eps
# - trọng số cho v
# - trọng số cho flow
# - một lịch nhiễu khác và một gamma khác

# %% role="probes"
import torch

from minidiff.diffusion.schedules import get_schedule

TIMES = torch.linspace(0.05, 0.95, 9, dtype=torch.float64)


def shape_and_dtype(f, t):
    weights = f(get_schedule("cosine"), "x0", t)
    return [list(weights.shape), str(weights.dtype)]


def weights(f, prediction_type, t):
    return f(get_schedule("cosine"), prediction_type, t)


probe(shape_and_dtype, t=TIMES.float())
probe(weights, prediction_type="x0", t=TIMES)
probe(weights, prediction_type="eps", t=TIMES)
probe(weights, prediction_type="v", t=TIMES)
probe(weights, prediction_type="flow", t=TIMES)
probe(lambda f, t: f(get_schedule("linear"), "eps", t, 1.0), t=TIMES)

# %% [markdown] lang="en" role="mistake" name="max_for_min"
# This keeps the larger of SNR and gamma; min-SNR keeps the smaller, so that almost clean pictures, whose SNR is huge, don't
# rule the loss. (`clamp(min=...)` sets a floor.)
# %% [markdown] lang="vi" of="7741ec5e"
# Bạn đang giữ số lớn hơn giữa SNR và gamma; min-SNR giữ số nhỏ hơn để những ảnh gần như sạch, có SNR rất lớn, không lấn át hàm
# mất mát. (`clamp(min=...)` là đặt sàn.)
# %% role="wrong" name="max_for_min"
patch("snr.clamp(max=gamma)", "snr.clamp(min=gamma)")

# %% [markdown] lang="en" role="mistake" name="not_divided"
# min(SNR, gamma) is the weight of an x0 loss. A loss of eps or v is an x0 loss already multiplied by something (SNR for eps):
# divide that out.
# %% [markdown] lang="vi" of="f3b6845d"
# min(SNR, gamma) là trọng số cho hàm mất mát theo x0. Hàm mất mát của eps hay v vốn đã là hàm theo x0 nhân với một thừa số (với
# eps là SNR): hãy chia cho thừa số đó.
# %% role="wrong" name="not_divided"
patch(" / factors[prediction_type]", "")

# %% [markdown] lang="en" role="mistake" name="v_without_one"
# For v this divides by SNR, which belongs to eps. An error d of x0 is an error of v of -d (sigma + alpha^2 / sigma): square
# that and use alpha^2 + sigma^2 = 1.
# %% [markdown] lang="vi" of="1b19e821"
# Với v, bạn đang chia cho SNR, vốn là của eps. Sai số d của x0 gây ra sai số -d (sigma + alpha^2 / sigma) của v: hãy bình
# phương rồi dùng alpha^2 + sigma^2 = 1.
# %% role="wrong" name="v_without_one"
patch("snr + 1", "snr")

# %% [markdown] lang="en" role="mistake" name="root"
# The signal-to-noise ratio is a ratio of variances: (alpha / sigma) squared. The square is missing.
# %% [markdown] lang="vi" of="2f1b4d8d"
# Tỉ số tín hiệu trên nhiễu là tỉ số của hai phương sai: (alpha / sigma) bình phương. Bạn quên bình phương.
# %% role="wrong" name="root"
patch("schedule.sigma(t)) ** 2", "schedule.sigma(t))")

# %% [markdown] lang="en" role="mistake" name="clamps_the_quotient"
# The quotient is limited to gamma instead of SNR. For eps SNR / SNR is always 1, so nothing is weighted at all: take the
# minimum first, divide afterwards.
# %% [markdown] lang="vi" of="9ad3393a"
# Bạn đang giới hạn thương số thay vì SNR. Với eps, SNR / SNR luôn bằng 1 nên chẳng có gì được đánh trọng số: hãy lấy min trước,
# chia sau.
# %% role="wrong" name="clamps_the_quotient"
patch(
    "snr.clamp(max=gamma) / factors[prediction_type]",
    "(snr / factors[prediction_type]).clamp(max=gamma)",
)

# %% [markdown] lang="en" role="mistake" name="limited_too_early"
# SNR was limited to gamma before the factor was made of it. The factor undoes what the plain loss holds, and that is SNR
# without a limit: limit the numerator alone. (As it stands, every weight of eps is 1.)
# %% [markdown] lang="vi" of="bc956ac7"
# SNR bị giới hạn ở gamma trước khi được dùng để tính thừa số. Thừa số phải khử đúng thứ có trong hàm mất mát thường, tức là SNR
# không giới hạn: chỉ giới hạn tử số. (Như hiện tại thì mọi trọng số của eps đều bằng 1.)
# %% role="wrong" name="limited_too_early"
patch("(schedule.alpha(t) / schedule", "((schedule.alpha(t) / schedule")
patch("sigma(t)) ** 2", "sigma(t)) ** 2).clamp(max=gamma)")

# %% [markdown] lang="en" role="mistake" name="flow_like_v"
# For flow this divides by SNR + 1, which belongs to v. flow = eps - x0: an error d of x0 is one of -d alpha / sigma - d.
# Square that.
# %% [markdown] lang="vi" of="1d7736a1"
# Với flow, bạn đang chia cho SNR + 1, vốn là của v. flow = eps - x0: sai số d của x0 gây ra sai số -d alpha / sigma - d. Hãy
# bình phương nó.
# %% role="wrong" name="flow_like_v"
patch("(1 + snr.sqrt()) ** 2", "snr + 1")

# %% [markdown] lang="en" role="mistake" name="flow_without_root"
# For flow a root is missing: the factor is 1 + alpha / sigma, squared, and SNR is already the square of alpha / sigma.
# %% [markdown] lang="vi" of="5e7ac91c"
# Với flow, thiếu một phép lấy căn: thừa số là bình phương của 1 + alpha / sigma, mà SNR vốn đã là bình phương của alpha /
# sigma.
# %% role="wrong" name="flow_without_root"
patch("snr.sqrt()", "snr")

# %% [markdown] lang="en" role="mistake" name="upside_down"
# This is noise to signal. SNR is large where the picture is almost clean, near t = 0, so alpha stands above and sigma below.
# %% [markdown] lang="vi" of="54da4e8b"
# Đây là nhiễu trên tín hiệu. SNR lớn ở nơi ảnh gần như sạch, tức gần t = 0, nên alpha là tử số và sigma là mẫu số.
# %% role="wrong" name="upside_down"
patch("schedule.alpha(t) / schedule.sigma(t)", "schedule.sigma(t) / schedule.alpha(t)")

# %% [markdown] lang="en" role="mistake" name="multiplied"
# This multiplies by the factor of the type. The plain loss has that factor already, and the weight is to undo it: divide.
# %% [markdown] lang="vi" of="1cf6b119"
# Bạn đang nhân với thừa số của kiểu dự đoán. Hàm mất mát thường vốn đã chứa thừa số đó, và trọng số phải khử nó đi: hãy chia.
# %% role="wrong" name="multiplied"
patch(" / factors[prediction_type]", " * factors[prediction_type]")

# %% [markdown] lang="en" role="mistake" name="x0_by_snr"
# For x0 the factor is 1: its loss is the x0 loss itself, so its weight is min(SNR, gamma) as it stands. Divided by SNR it is
# the weight of eps.
# %% [markdown] lang="vi" of="ea13f748"
# Với x0, thừa số là 1: hàm mất mát của nó chính là hàm theo x0 nên trọng số là min(SNR, gamma), để nguyên. Chia cho SNR thì
# thành trọng số của eps.
# %% role="wrong" name="x0_by_snr"
patch("torch.ones_like(snr)", "snr")

# %% [markdown] lang="en" role="mistake" name="x0_unweighted"
# For x0 nothing is weighted: that the factor of x0 is 1 doesn't make its weight 1. Its weight is min(SNR, gamma) divided by
# that 1.
# %% [markdown] lang="vi" of="07e1dcd8"
# Với x0, chẳng có gì được đánh trọng số: thừa số của x0 bằng 1 không có nghĩa trọng số của nó bằng 1. Trọng số là min(SNR,
# gamma) chia cho số 1 ấy.
# %% role="wrong" name="x0_unweighted"
patch("torch.ones_like(snr)", "snr.clamp(max=gamma)")

# %% [markdown] lang="en" role="mistake" name="as_alpha_bar"
# The schedule's alpha was taken for the `alpha_bar` of lesson 02, for which SNR is alpha_bar / (1 - alpha_bar). Here alpha is
# its root, and both alpha and sigma must be squared.
# %% [markdown] lang="vi" of="76203ddf"
# Bạn đã coi alpha của lịch nhiễu là `alpha_bar` ở bài 02, với SNR bằng alpha_bar / (1 - alpha_bar). Ở đây alpha là căn của nó,
# và cả alpha lẫn sigma đều phải bình phương.
# %% role="wrong" name="as_alpha_bar"
patch("schedule.sigma(t)) ** 2", "(1 - schedule.alpha(t)))")

# %% [markdown] lang="en" role="mistake" name="gamma_fixed"
# The limit is 5 whatever gamma says. 5 is only gamma's default: use the parameter.
# %% [markdown] lang="vi" of="c8e05aa6"
# Giới hạn luôn là 5 dù gamma là bao nhiêu. 5 chỉ là giá trị mặc định của gamma: hãy dùng tham số.
# %% role="wrong" name="gamma_fixed"
patch("max=gamma", "max=5.0")

# %% [markdown] lang="en" role="mistake" name="cosine_only"
# SNR is that of `cosine`, whatever the schedule. Other schedules lose the signal at other times: ask the schedule that was
# handed in.
# %% [markdown] lang="vi" of="efc5a174"
# SNR luôn là của `cosine`, bất kể lịch nào. Lịch khác mất tín hiệu ở những thời điểm khác: hãy hỏi lịch nhiễu được truyền vào.
# %% role="wrong" name="cosine_only"
patch("schedule.alpha(t) / schedule.sigma(t)", "1 / torch.tan(torch.pi / 2 * t)")

# %% [markdown] lang="en" role="mistake" name="normalised"
# The weights were divided by their mean. Min-SNR leaves them as they are, so that the loss of an example doesn't depend on
# which others happen to be in its batch.
# %% [markdown] lang="vi" of="e9d21011"
# Bạn đã chia các trọng số cho trung bình của chúng. Min-SNR để nguyên, nhờ vậy giá trị của hàm mất mát ở một ví dụ không phụ
# thuộc vào việc trong lô tình cờ có những ví dụ nào khác.
# %% role="wrong" name="normalised"
patch("return snr.clamp(max=gamma) / factors[prediction_type]", """\
weight = snr.clamp(max=gamma) / factors[prediction_type]
    return weight / weight.mean()""")

# %% [markdown] lang="en" role="mistake" name="shaped_for_pictures"
# The weights should be (B,), one number for each time. As (B, 1, 1, 1) times losses (B,) they would become a table of every
# weight with every loss.
# %% [markdown] lang="vi" of="87dd2ad7"
# Trọng số phải là (B,), mỗi thời điểm một số. Ở dạng (B, 1, 1, 1) mà nhân với hàm mất mát của từng ví dụ, (B,), thì thành cả
# một bảng: trọng số nào cũng nhân với ví dụ nào.
# %% role="wrong" name="shaped_for_pictures"
patch("return snr.clamp(max=gamma) / factors[prediction_type]", """\
weight = snr.clamp(max=gamma) / factors[prediction_type]
    return weight.view(-1, 1, 1, 1)""")

# %% [markdown] lang="en" role="mistake" name="whole_tensors"
# Python's `min`, and an `if`, ask one question about a whole tensor, and PyTorch can't answer yes or no for many times at
# once. Compare element by element.
# %% [markdown] lang="vi" of="2a491cc9"
# `min` của Python, cũng như `if`, hỏi một câu về cả tensor, mà PyTorch không thể trả lời có hay không cho nhiều thời điểm cùng
# lúc. Hãy so sánh theo từng phần tử.
# %% role="wrong" name="whole_tensors"
patch("snr.clamp(max=gamma)", "min(snr, gamma)")

# %% role="library"
from minidiff.diffusion.losses import min_snr_weight


def min_snr(schedule, prediction_type, t, gamma=5.0):
    return min_snr_weight(schedule, prediction_type, t, gamma)

# %% role="payoff"
@torch.no_grad()
def draw(min_snr):
    t = torch.tensor([0.03, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 0.95])
    star = to_tensor(portraits(4))[3:].expand(8, -1, -1, -1)            # (8, 3, 32, 32)
    eps = torch.randn(star.shape, generator=torch.Generator().manual_seed(0))
    x = schedule.mix(star, eps, t).to(pipe.device)
    stars = labels[:1].expand(8)
    pred = pipe.network.unet(x, schedule.timestep(t).to(x.device), labels=stars).cpu()
    guess = to_x0_eps(schedule, "v", pred, x.cpu(), t)[0].clamp(-1, 1)
    weight = min_snr(schedule, "v", t).view(8, 1, 1, 1)
    return 1 - weight / weight.max() * (1 - guess)                      # 1 is white


payoff(draw, min_snr)
