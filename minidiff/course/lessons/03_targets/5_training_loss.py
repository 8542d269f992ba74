"""Exercise 03.5, training_loss: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="4" minutes="15"
# ## Debugging: it learns, but what?
#
# **Debugging.** The training step below runs, its loss falls, and yet the pictures are those of the pitfall unless
# `prediction_type` is eps, and not good even then. It has four faults. Mend them: min-SNR weights, any prediction type, one
# weight for each example.
#
# The payoff: your loss finds out the prediction type of the shipped network. It is computed once for each type on real
# pictures, and the type with the smallest loss draws.
# %% [markdown] lang="vi" of="c2832e5a"
# ## Gỡ lỗi: nó có học, nhưng học gì?
#
# **Gỡ lỗi.** Bước huấn luyện dưới đây chạy được, hàm mất mát giảm, vậy mà ảnh lại giống trong cái bẫy trừ khi `prediction_type`
# là eps, và ngay cả khi đó cũng không đẹp. Nó có bốn lỗi. Hãy sửa: trọng số min-SNR, kiểu dự đoán nào cũng được, mỗi ví dụ một
# trọng số.
#
# Phần thưởng: hàm mất mát của bạn tìm ra kiểu dự đoán của mạng có sẵn. Nó được tính một lần cho mỗi kiểu trên ảnh thật, và kiểu
# có giá trị mất mát nhỏ nhất được dùng để vẽ.

# %% [markdown] lang="en" role="hints"
# Two of the faults are the same word.
# ---
# `schedule.timestep` turns t into what the network was made for. And the mean of a product is not the product of means.
# ---
# `.flatten(1).mean(1)` gives one error for each example, (B,): multiply that by the weights (B,), then average.
# %% [markdown] lang="vi" of="af7a279a"
# Hai trong các lỗi là cùng một từ.
# ---
# `schedule.timestep` đổi t thành thứ mà mạng được thiết kế để nhận. Và trung bình của tích không bằng tích của các trung bình.
# ---
# `.flatten(1).mean(1)` cho mỗi ví dụ một sai số, (B,): hãy nhân với trọng số (B,) rồi mới lấy trung bình.

# %% [markdown] lang="en" role="stub" given="as_it_was"
# The loss of one training step: network, (x, timestep) to a prediction; x0, eps
# (B, C, H, W); t (B,) in 0..1; to a 0-dim tensor through which gradients reach the
# network.
# ---
# 1. what does the network expect for a time?
# 2. what should it be compared with?
# 3. whose weight is that?
# 4. when is the mean taken, over what?
# %% [markdown] lang="vi" of="551c576d"
# Hàm mất mát của một bước huấn luyện: network, từ (x, bước thời gian) thành một dự
# đoán; x0, eps (B, C, H, W); t (B,) trong 0..1; thành một tensor 0 chiều mà gradient
# qua đó đến được mạng.
# ---
# 1. mạng chờ nhận gì cho một thời điểm?
# 2. phải so dự đoán với cái gì?
# 3. đó là trọng số của kiểu nào?
# 4. lấy trung bình lúc nào, trên những gì?

# %% role="solution"
def training_loss(
    network, x0: Tensor, eps: Tensor, t: Tensor,
    schedule: NoiseSchedule, prediction_type: str,
) -> Tensor:
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))      # (B, C, H, W)
    error = pred - target(schedule, prediction_type, x0, eps, t)        # (B, C, H, W)
    losses = error.square().flatten(1).mean(1)                          # (B,)
    weights = min_snr_weight(schedule, prediction_type, t)              # (B,)
    return (losses * weights).mean()

# %% [markdown] lang="en" role="checks"
# - the loss is one number
# - the loss of a network that predicts x0
# - the loss of a network that predicts v
# - the loss of a network that predicts flow
# - the loss of a network that predicts eps
# - a perfect network has loss 0, whatever its prediction type
# - what the network is shown, with two schedules
# - the gradient that the loss gives a network of one weight
# %% [markdown] lang="vi" of="7a780657"
# - giá trị mất mát là một số
# - giá trị mất mát của mạng dự đoán x0
# - giá trị mất mát của mạng dự đoán v
# - giá trị mất mát của mạng dự đoán flow
# - giá trị mất mát của mạng dự đoán eps
# - mạng hoàn hảo có giá trị mất mát bằng 0, bất kể kiểu dự đoán
# - mạng được cho xem gì, với hai lịch nhiễu
# - gradient mà hàm mất mát trao cho một mạng chỉ có một trọng số

# %% role="probes"
import torch

from minidiff.diffusion.prediction import PREDICTION_TYPES, target
from minidiff.diffusion.schedules import get_schedule

X0, EPS = torch.randn(2, 4, 3, 2, 2, generator=torch.Generator().manual_seed(35))
EXAMPLES = {"x0": X0, "eps": EPS, "t": torch.tensor([0.1, 0.4, 0.6, 0.9])}
AT_ODD_TIMES = {**EXAMPLES, "t": torch.tensor([0.1004, 0.4017, 0.6029, 0.9])}
TWO_EXAMPLES = {name: value[:2] for name, value in EXAMPLES.items()}


def loss_of(f, prediction_type, x0, eps, t):
    """The loss of a network that halves what it sees, whatever the time."""
    cosine = get_schedule("cosine")
    return f(lambda x, timestep: x / 2, x0, eps, t, cosine, prediction_type)


def perfect(f, x0, eps, t):
    """The loss of a network that knows the answer, for each prediction type."""
    cosine = get_schedule("cosine")

    def loss(kind):
        answer = target(cosine, kind, x0, eps, t)
        return f(lambda x, timestep: answer, x0, eps, t, cosine, kind)

    return {kind: loss(kind) for kind in PREDICTION_TYPES}


def shown(f, x0, eps, t):
    """What the network is given."""
    seen = {}
    for name in ("cosine", "linear"):

        def network(x, timestep, name=name):
            seen[name] = {"x": x.clone(), "timestep": timestep}
            return torch.zeros_like(x)

        f(network, x0, eps, t, get_schedule(name), "v")
    return seen


def gradient(f, x0, eps, t):
    """Of the one weight of a network; 0 where none arrives."""
    weight = torch.tensor(0.5, requires_grad=True)
    loss = f(lambda x, timestep: weight * x, x0, eps, t, get_schedule("cosine"), "v")
    if isinstance(loss, torch.Tensor) and loss.requires_grad:
        loss.backward()
    return torch.zeros(()) if weight.grad is None else weight.grad


probe(lambda f, x0, eps, t: list(loss_of(f, "x0", x0, eps, t).shape), **EXAMPLES)
probe(loss_of, prediction_type="x0", **EXAMPLES)
probe(loss_of, prediction_type="v", **EXAMPLES)
probe(loss_of, prediction_type="flow", **EXAMPLES)
probe(loss_of, prediction_type="eps", **EXAMPLES)
probe(perfect, **EXAMPLES)
probe(shown, **AT_ODD_TIMES)
probe(gradient, **TWO_EXAMPLES)

# %% [markdown] lang="en" role="mistake" name="time_not_timestep"
# The network is fed t, between 0 and 1. It was made for timesteps between 0 and 1000: to its sinusoids all these times look
# the same. The schedule has a method for that.
# %% [markdown] lang="vi" of="dcd163d2"
# Mạng đang nhận t nằm giữa 0 và 1. Nó được thiết kế cho bước thời gian từ 0 đến 1000: với các hàm sin của nó, mọi t đó trông
# như nhau. Lịch nhiễu có một phương thức cho việc này.
# %% role="wrong" name="time_not_timestep"
patch("schedule.timestep(t)", "t")

# %% [markdown] lang="en" role="mistake" name="target_of_eps"
# The prediction is compared with eps, whatever its type. The loss falls all the same, and the sampler then reads eps as v: the
# pitfall of this lesson.
# %% [markdown] lang="vi" of="51f3dc1f"
# Dự đoán luôn bị so với eps, bất kể kiểu. Hàm mất mát vẫn giảm, rồi bộ lấy mẫu sẽ đọc eps như là v: đúng cái bẫy của bài này.
# %% role="wrong" name="target_of_eps"
patch("target(schedule, prediction_type,", 'target(schedule, "eps",')

# %% [markdown] lang="en" role="mistake" name="weight_of_eps"
# The weights are those of eps, whatever is predicted. A weight undoes how the loss of this prediction type relates to that of
# x0, so it depends on the type.
# %% [markdown] lang="vi" of="c381ed81"
# Trọng số luôn là của eps, bất kể dự đoán cái gì. Trọng số khử đi mối liên hệ giữa hàm mất mát của kiểu này với của x0, nên nó
# phụ thuộc vào kiểu dự đoán.
# %% role="wrong" name="weight_of_eps"
patch("min_snr_weight(schedule, prediction_type,", 'min_snr_weight(schedule, "eps",')

# %% [markdown] lang="en" role="mistake" name="eps_throughout"
# Target and weight are both still those of eps, whatever the prediction type.
# %% [markdown] lang="vi" of="f3a347bb"
# Cả mục tiêu lẫn trọng số vẫn là của eps, bất kể kiểu dự đoán.
# %% role="wrong" name="eps_throughout"
patch("target(schedule, prediction_type,", 'target(schedule, "eps",')
patch("min_snr_weight(schedule, prediction_type,", 'min_snr_weight(schedule, "eps",')

# %% [markdown] lang="en" role="mistake" name="v_throughout"
# Target and weight are always those of v. The shipped network does predict v, but the step is told the type of the network
# that it trains: use `prediction_type`.
# %% [markdown] lang="vi" of="279034d9"
# Mục tiêu và trọng số luôn là của v. Mạng có sẵn đúng là dự đoán v, nhưng bước này được cho biết kiểu dự đoán của mạng mà nó
# huấn luyện: hãy dùng `prediction_type`.
# %% role="wrong" name="v_throughout"
patch("target(schedule, prediction_type,", 'target(schedule, "v",')
patch("min_snr_weight(schedule, prediction_type,", 'min_snr_weight(schedule, "v",')

# %% [markdown] lang="en" role="mistake" name="mean_too_early"
# Errors and weights are averaged apart and then multiplied: every example ends up with the same weight. Multiply example by
# example, then take the mean.
# %% [markdown] lang="vi" of="ac92d588"
# Sai số và trọng số được lấy trung bình riêng rồi mới nhân: rốt cuộc mọi ví dụ có cùng trọng số. Hãy nhân theo từng ví dụ, sau
# đó mới lấy trung bình.
# %% role="wrong" name="mean_too_early"
patch("(losses * weights).mean()", "losses.mean() * weights.mean()")

# %% [markdown] lang="en" role="mistake" name="weight_of_eps_and_mean_too_early"
# Two faults are left, both in the weights: they are still those of eps, and they are averaged before they meet the errors of
# their examples.
# %% [markdown] lang="vi" of="5066a293"
# Còn hai lỗi, đều ở trọng số: chúng vẫn là của eps, và bị lấy trung bình trước khi nhân với sai số của từng ví dụ.
# %% role="wrong" name="weight_of_eps_and_mean_too_early"
patch("min_snr_weight(schedule, prediction_type,", 'min_snr_weight(schedule, "eps",')
patch("(losses * weights).mean()", "losses.mean() * weights.mean()")

# %% [markdown] lang="en" role="mistake" name="as_it_was"
# This still has more than one of the faults it came with. Go line by line: what the network is fed, what it is compared with,
# what each example weighs, and when the mean is taken.
# %% [markdown] lang="vi" of="589e1f4d"
# Hàm vẫn còn nhiều hơn một lỗi ban đầu. Hãy xem từng dòng: mạng nhận vào gì, được so với cái gì, mỗi ví dụ có trọng số bao
# nhiêu, và lấy trung bình lúc nào.
# %% role="wrong" name="as_it_was"
def training_loss(
    network, x0: Tensor, eps: Tensor, t: Tensor,
    schedule: NoiseSchedule, prediction_type: str,
) -> Tensor:
    x = schedule.mix(x0, eps, t)
    pred = network(x, t)
    wanted = target(schedule, "eps", x0, eps, t)
    weight = min_snr_weight(schedule, "eps", t)
    return weight.mean() * (pred - wanted).square().mean()

# %% [markdown] lang="en" role="mistake" name="no_weight"
# The weights are gone: this is the plain loss. The step is meant to use min-SNR.
# %% [markdown] lang="vi" of="9e37410f"
# Trọng số đã biến mất: đây là hàm mất mát thường. Bước này phải dùng min-SNR.
# %% role="wrong" name="no_weight"
patch("(losses * weights).mean()", "losses.mean()")

# %% [markdown] lang="en" role="mistake" name="no_gradient"
# The number is right, but no gradient flows from it to the network, which would learn nothing: no `detach()` and no
# `torch.no_grad()` in a loss.
# %% [markdown] lang="vi" of="8dd2ce28"
# Con số thì đúng, nhưng từ nó không có gradient nào chảy về mạng nên mạng sẽ chẳng học được gì: trong hàm mất mát không được có
# `detach()` hay `torch.no_grad()`.
# %% role="wrong" name="no_gradient"
patch("(losses * weights).mean()", "(losses * weights).mean().detach()")

# %% [markdown] lang="en" role="mistake" name="item"
# `.item()` and `float()` make a plain Python number, which has forgotten how it came about: nothing can be trained with it.
# Return the 0-dim tensor.
# %% [markdown] lang="vi" of="3c794d48"
# `.item()` và `float()` tạo ra một con số Python thuần túy, đã quên mình được tính từ đâu: không huấn luyện được gì với nó. Hãy
# trả về tensor 0 chiều.
# %% role="wrong" name="item"
patch("(losses * weights).mean()", "(losses * weights).mean().item()")

# %% [markdown] lang="en" role="mistake" name="one_loss_each"
# The last mean is missing: this is one loss for each example, (B,), and a training step needs one number.
# %% [markdown] lang="vi" of="ba9d9ade"
# Thiếu phép lấy trung bình cuối cùng: đây là hàm mất mát của từng ví dụ, (B,), còn bước huấn luyện cần một số duy nhất.
# %% role="wrong" name="one_loss_each"
patch("(losses * weights).mean()", "losses * weights")

# %% [markdown] lang="en" role="mistake" name="sum_over_examples"
# The examples are added up, not averaged. Then the loss, and with it the size of a training step, grows with the batch.
# %% [markdown] lang="vi" of="0f2432a7"
# Các ví dụ được cộng lại chứ không lấy trung bình. Khi đó hàm mất mát, và cùng với nó là độ lớn của bước huấn luyện, tăng theo
# cỡ lô.
# %% role="wrong" name="sum_over_examples"
patch("(losses * weights).mean()", "(losses * weights).sum()")

# %% [markdown] lang="en" role="mistake" name="sum_over_pixels"
# The errors are added up over the pixels of a picture, not averaged. Then the loss grows with the size of the picture.
# %% [markdown] lang="vi" of="e7b05941"
# Sai số được cộng lại trên các điểm ảnh của một bức ảnh chứ không lấy trung bình. Khi đó hàm mất mát tăng theo cỡ ảnh.
# %% role="wrong" name="sum_over_pixels"
patch("flatten(1).mean(1)", "flatten(1).sum(1)")

# %% [markdown] lang="en" role="mistake" name="root_of_each"
# A root is taken of each example's mean square. Then large errors count for less, and the best answer is no longer the mean of
# what may lie behind the noise.
# %% [markdown] lang="vi" of="9aa00263"
# Bạn lấy căn của trung bình bình phương ở từng ví dụ. Khi đó sai số lớn bị coi nhẹ đi, và câu trả lời tốt nhất không còn là
# trung bình của những gì có thể nằm sau lớp nhiễu.
# %% role="wrong" name="root_of_each"
patch("flatten(1).mean(1)", "flatten(1).mean(1).sqrt()")

# %% [markdown] lang="en" role="mistake" name="root_of_all"
# A root is taken of the whole loss. The loss is the mean of squares itself: its root has another gradient, which has no bound
# where the loss nears 0.
# %% [markdown] lang="vi" of="ebb1827a"
# Bạn lấy căn của cả hàm mất mát. Hàm mất mát chính là trung bình của các bình phương: căn của nó có gradient khác, và gradient
# ấy lớn vô hạn khi hàm mất mát gần 0.
# %% role="wrong" name="root_of_all"
patch("(losses * weights).mean()", "(losses * weights).mean().sqrt()")

# %% [markdown] lang="en" role="mistake" name="absolute"
# The mean of absolute errors is another loss: its best answer is a median, not the mean on which all formulas of sampling
# rest. Square the errors.
# %% [markdown] lang="vi" of="4c0f3855"
# Trung bình của sai số tuyệt đối là một hàm mất mát khác: câu trả lời tốt nhất của nó là trung vị, không phải trung bình, mà
# mọi công thức lấy mẫu đều dựa vào trung bình. Hãy bình phương sai số.
# %% role="wrong" name="absolute"
patch("square()", "abs()")

# %% [markdown] lang="en" role="mistake" name="weight_squared"
# The weight is squared together with the error. Square the error first, then multiply by the weight.
# %% [markdown] lang="vi" of="3896c7e8"
# Trọng số bị bình phương cùng với sai số. Hãy bình phương sai số trước, rồi mới nhân với trọng số.
# %% role="wrong" name="weight_squared"
patch("(losses * weights).mean()", "(losses * weights.square()).mean()")

# %% [markdown] lang="en" role="mistake" name="mean_by_weights"
# This divides by the sum of the weights. Min-SNR doesn't: a batch of almost clean pictures, which weigh little with v, is
# meant to have a small loss.
# %% [markdown] lang="vi" of="e9a12a58"
# Bạn đang chia cho tổng các trọng số. Min-SNR không làm thế: một lô toàn ảnh gần như sạch, vốn có trọng số nhỏ khi dự đoán v,
# phải cho hàm mất mát nhỏ.
# %% role="wrong" name="mean_by_weights"
patch("(losses * weights).mean()", "(losses * weights).sum() / weights.sum()")

# %% [markdown] lang="en" role="mistake" name="weights_unshaped"
# Weights (B,) times pictures (B, C, H, W) are lined up with the columns of the pictures, not with the batch: PyTorch stops, or
# weighs columns where W happens to be B. Average each picture first.
# %% [markdown] lang="vi" of="aa63ee8a"
# Trọng số (B,) nhân với ảnh (B, C, H, W) thì được khớp với các cột của ảnh chứ không phải với chiều lô: PyTorch báo lỗi, hoặc
# đánh trọng số cho các cột nếu W tình cờ bằng B. Hãy lấy trung bình trên từng ảnh trước.
# %% role="wrong" name="weights_unshaped"
patch("error.square().flatten(1).mean(1)", "error.square()")

# %% [markdown] lang="en" role="mistake" name="times_1000"
# 1000 t is right for `cosine` alone. A table such as `linear` counts its entries from 0, so there it is 1000 t - 1: let the
# schedule say it.
# %% [markdown] lang="vi" of="e013abc7"
# 1000 t chỉ đúng với `cosine`. Một bảng như `linear` đánh số các mục từ 0 nên ở đó là 1000 t - 1: hãy để lịch nhiễu tự trả lời.
# %% role="wrong" name="times_1000"
patch("schedule.timestep(t)", "1000 * t")

# %% [markdown] lang="en" role="mistake" name="whole_timesteps"
# The timesteps were cut to whole numbers. The network takes any number, and most times lie between whole ones: hand on what
# `schedule.timestep` gives.
# %% [markdown] lang="vi" of="bf6e3e8f"
# Bạn đã cắt bước thời gian thành số nguyên. Mạng nhận số nào cũng được, và phần lớn các thời điểm nằm giữa hai số nguyên: hãy
# chuyển thẳng kết quả của `schedule.timestep`.
# %% role="wrong" name="whole_timesteps"
patch("schedule.timestep(t)", "schedule.timestep(t).long()")

# %% role="library"
from minidiff.diffusion.losses import diffusion_loss, min_snr_weight


def training_loss(network, x0, eps, t, schedule, prediction_type):
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    weight = min_snr_weight(schedule, prediction_type, t)
    return diffusion_loss(pred, x0, eps, t, schedule, prediction_type, weight)

# %% role="payoff"
@torch.no_grad()
def draw(training_loss):
    x0 = to_tensor(portraits(18, "validation"))             # (18, 3, 32, 32)
    t = torch.linspace(0.1, 0.9, 18)                        # (18,)
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    things = torch.arange(18, device=pipe.device)

    def predict(x, timestep):
        x, timestep = x.to(pipe.device), timestep.to(pipe.device)
        return pipe.network.unet(x, timestep, labels=things).cpu()

    losses = {
        name: float(training_loss(predict, x0, eps, t, schedule, name))
        for name in PREDICTION_TYPES
    }
    print({name: round(loss, 3) for name, loss in losses.items()})
    return drawn(denoiser(network, schedule, min(losses, key=losses.get)))


payoff(draw, training_loss)
