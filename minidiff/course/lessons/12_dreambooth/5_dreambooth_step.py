"""Exercise 12.5, dreambooth_step: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="4" minutes="18"
# ## Debugging: the fish don't survive
#
# `dreambooth_step` gives the loss of one step. Its batch is one of `paired_batch`, the subject first and then its class; every
# picture has noise `eps` and a time `t` of its own, and the model predicts v. The loss is your `prior_preservation_loss`.
#
# The cell below lets `forgetful`, which takes every fish for Lumi, learn for ten more steps with somebody's `broken_step`. The
# pictures are drawn before and after: four times "a fish", and then what the network makes of two noisy pictures of Lumi. The
# prior should bring the other fish back; but now hardly anything can be recognised. **Three** things are wrong in the step.
# Mend one, and the symptom changes before it goes; `check` tells you what is left. The last cell trains with your function.
# %% [markdown] lang="vi" of="14383c20"
# ## Gỡ lỗi: đàn cá không sống nổi
#
# `dreambooth_step` cho giá trị của hàm mất mát ở một bước. Lô của nó do `paired_batch` tạo ra, chủ thể trước rồi đến lớp; mỗi
# bức có nhiễu `eps` và thời điểm `t` riêng, và mô hình dự đoán v. Hàm mất mát là `prior_preservation_loss` của bạn.
#
# Ô dưới đây cho `forgetful`, mạng coi con cá nào cũng là Lumi, học thêm mười bước bằng `broken_step` của ai đó. Tranh được vẽ
# trước và sau đó: bốn lần "a fish", rồi những gì mạng đoán ra từ hai bức Lumi có nhiễu. Lẽ ra tiên nghiệm phải đưa các con cá
# khác trở lại; nhưng giờ gần như không nhận ra được gì. Trong bước này có **ba** lỗi. Sửa được một lỗi thì triệu chứng đổi chứ
# chưa hết; `check` cho biết còn gì. Ô cuối cùng huấn luyện bằng hàm của bạn.

# %% role="shown"
def broken_step(
    model: nn.Module, x0: Tensor, context: Tensor, mask: Tensor,
    eps: Tensor, t: Tensor, schedule: NoiseSchedule, weight: float,
) -> Tensor:
    first, _ = t.chunk(2)                                   # (B,)
    x = schedule.mix(x0, eps, torch.cat([first, first]))    # (2B, C, h, w)
    prediction = model(x, schedule.timestep(t), context, mask)
    subject, others = (prediction - eps).square().chunk(2)  # (B, C, h, w) each
    return weight * subject.mean() + others.mean()


def drawn(network: nn.Module) -> Tensor:
    """Four times "a fish", and guesses of what two noisy pictures of Lumi show."""
    of_lumi = guesses(network, x_lumi[:2], *read(*["a sks fish"] * 2), at=0.7)
    return torch.cat([pictures(network, *["a fish"] * 4), of_lumi])     # (6, 3, ...)


def trained(step: Callable) -> Tensor:
    """What a network draws that learnt for ten more steps."""
    def loss(network: nn.Module, dice: torch.Generator) -> Tensor:
        x0, t, eps = rows(2, dice)                          # lumi, lumi, fish, fish
        context, mask = names
        return step(network, x0, context, mask, eps, t, schedule, 1.0)

    return drawn(learn(deepcopy(forgetful), 10, loss))


show([*drawn(forgetful), *trained(broken_step)], columns=6,
     titles=["before"] * 6 + ["after"] * 6)

# %% [markdown] lang="en" role="hints"
# Follow `t` through the function. Which times is each half noised with, and which ones is the model told?
# ---
# The model predicts v: what is v made of? And which half does `weight` multiply in `prior_preservation_loss`, and here?
# ---
# `x = schedule.mix(x0, eps, t)`; the target is `target(schedule, "v", x0, eps, t)`; and the loss is
# `prior_preservation_loss(prediction, ..., weight)`.
# %% [markdown] lang="vi" of="96c39dda"
# Hãy theo `t` qua cả hàm. Mỗi nửa được thêm nhiễu theo thời điểm nào, và mô hình được báo thời điểm nào?
# ---
# Mô hình dự đoán v: v được tạo từ những gì? Và `weight` nhân vào nửa nào trong `prior_preservation_loss`, còn ở đây thì sao?
# ---
# `x = schedule.mix(x0, eps, t)`; mục tiêu là `target(schedule, "v", x0, eps, t)`; và giá trị của hàm mất mát là
# `prior_preservation_loss(prediction, ..., weight)`.

# %% [markdown] lang="en" role="stub" given="as_given"
# The loss of one step, (). x0 and eps (2B, C, h, w), the subject's rows first; t
# (2B,) from 0 to 1, a time for each row; context (2B, L, D) and mask (2B, L) of the
# captions. The model, called as model(x, timestep, context, mask), predicts v;
# schedule.timestep says which timestep belongs to a time. The class's half counts
# weight times.
# ---
# 1. mend the three mistakes above and below
# 2. delete the next line
# %% [markdown] lang="vi" of="7eea86fd"
# Giá trị của hàm mất mát ở một bước, (). x0 và eps (2B, C, h, w), các hàng của chủ
# thể trước; t (2B,) từ 0 đến 1, mỗi hàng một thời gian; context (2B, L, D) và mask
# (2B, L) của câu mô tả. Mô hình, gọi bằng model(x, bước thời gian, context, mask), dự
# đoán v; schedule.timestep cho biết bước thời gian ứng với mỗi thời gian. Nửa của lớp
# được tính weight lần.
# ---
# 1. sửa ba lỗi ở trên và ở dưới
# 2. xóa dòng tiếp theo

# %% role="solution"
def dreambooth_step(
    model: nn.Module, x0: Tensor, context: Tensor, mask: Tensor,
    eps: Tensor, t: Tensor, schedule: NoiseSchedule, weight: float,
) -> Tensor:
    x = schedule.mix(x0, eps, t)                            # (2B, C, h, w)
    prediction = model(x, schedule.timestep(t), context, mask)
    v = target(schedule, "v", x0, eps, t)                   # (2B, C, h, w)
    return prior_preservation_loss(prediction, v, weight)   # ()

# %% [markdown] lang="en" role="checks"
# - one number
# - the loss of two pictures each, with the cosine schedule
# - with a table of betas, whose timesteps are not 1000 t
# - weights 0 and 3
# - one picture of each
# - other times for the class alone
# - what stands in the padding counts for nothing
# - the gradients of the model's weights
# - no weight changes, no gradient is left, and the model stays in its mode: learning is the caller's business
# %% [markdown] lang="vi" of="e60a06a8"
# - một con số
# - giá trị của hàm mất mát khi mỗi bên hai bức, với lịch cosine
# - với một bảng beta, có bước thời gian không phải 1000 t
# - weight bằng 0 và 3
# - mỗi bên một bức
# - thời gian khác cho riêng lớp
# - nội dung của phần đệm không có tác dụng gì
# - gradient của các trọng số trong mô hình
# - không trọng số nào thay đổi, không gradient nào để lại, mô hình giữ nguyên chế độ: việc học là của nơi gọi

# %% role="probes"
import torch
from torch import nn

from minidiff.diffusion.schedules import get_schedule


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Network(nn.Module):
    """Reads a picture pixel by pixel, a timestep and a caption, where padding counts for nothing."""

    def __init__(self):
        super().__init__()
        self.first, self.caption, self.last = nn.Linear(3, 6), nn.Linear(5, 6), nn.Linear(6, 3)
        self.double()
        with torch.no_grad():
            for seed, weight in enumerate(self.parameters(), start=1):
                weight.copy_(0.5 * normal(*weight.shape, seed=seed))

    def forward(self, x, timestep, context, mask=None):
        mask = torch.ones(context.shape[:2], dtype=torch.bool) if mask is None else mask
        if timestep.shape != x.shape[:1]:
            raise ValueError(f"There are timesteps of shape {tuple(timestep.shape)} for {len(x)} pictures; give one each.")
        said = torch.where(mask[..., None], context, 0).sum(1) / mask.sum(1, keepdim=True)      # (2B, 5)
        extra = self.caption(said) + (timestep / 300).sin()[:, None].to(x)                      # (2B, 6)
        return self.last(torch.tanh(self.first(x.movedim(1, -1)) + extra[:, None, None])).movedim(-1, 1)


def shape(f, **inputs):
    return list(f(Network(), schedule=get_schedule("cosine"), weight=0.4, **inputs).shape)


def loss(f, schedule="cosine", weight=0.4, **inputs):
    return f(Network(), schedule=get_schedule(schedule), weight=weight, **inputs).double()


def two_weights(f, **inputs):
    return [loss(f, weight=weight, **inputs) for weight in (0.0, 3.0)]


def other_times(f, t, **inputs):
    first, second = t.chunk(2)
    return [loss(f, t=torch.cat([first, changed]), **inputs) for changed in (1 - second, second.flip(0), first)]


def other_padding(f, context, mask, **inputs):
    context = torch.where(mask[..., None], context, 1000.0)
    return loss(f, context=context, mask=mask, **inputs)


def gradients(f, **inputs):
    network = Network()
    f(network, schedule=get_schedule("cosine"), weight=0.4, **inputs).backward()
    return [weight.grad for weight in network.parameters()]


def weights_stay(f, **inputs):
    network = Network()
    before = [weight.detach().clone() for weight in network.parameters()]
    f(network, schedule=get_schedule("cosine"), weight=0.4, **inputs)
    still = all(map(torch.equal, before, network.parameters()))
    found = [still, all(weight.grad is None for weight in network.parameters()), network.training]
    f(network.eval(), schedule=get_schedule("cosine"), weight=0.4, **inputs)
    return [*found, network.training]


GIVEN = {"x0": normal(4, 3, 2, 5, seed=101), "eps": normal(4, 3, 2, 5, seed=102)}
GIVEN |= {"t": torch.tensor([0.2516, 0.7034, 0.9027, 0.4045], dtype=torch.float64), "context": normal(4, 6, 5, seed=103)}
GIVEN |= {"mask": torch.arange(6) < torch.tensor([[6], [6], [3], [3]])}
ONE = {name: value[1:3] for name, value in GIVEN.items()}

probe(shape, **GIVEN)
probe(loss, points=2, **GIVEN)
probe(loss, schedule="linear", **GIVEN)
probe(two_weights, **GIVEN)
probe(loss, **ONE)
probe(other_times, **GIVEN)
probe(other_padding, **GIVEN)
probe(gradients, **GIVEN)
probe(weights_stay, **GIVEN)

# %% [markdown] lang="en" role="mistake" name="as_given"
# The step is as it was given. Begin with the target: the model predicts v, and it is compared with the noise. Two more things
# are wrong: the times, and which half the weight is on.
# %% [markdown] lang="vi" of="1eec6e1d"
# Bước này vẫn như lúc được đưa. Hãy bắt đầu từ mục tiêu: mô hình dự đoán v mà lại bị so với nhiễu. Còn hai chỗ sai nữa: thời
# gian, và nửa nào được nhân với weight.
# %% role="wrong" name="as_given"
def dreambooth_step(
    model: nn.Module, x0: Tensor, context: Tensor, mask: Tensor,
    eps: Tensor, t: Tensor, schedule: NoiseSchedule, weight: float,
) -> Tensor:
    first, _ = t.chunk(2)                                   # (B,)
    x = schedule.mix(x0, eps, torch.cat([first, first]))    # (2B, C, h, w)
    prediction = model(x, schedule.timestep(t), context, mask)
    subject, others = (prediction - eps).square().chunk(2)  # (B, C, h, w) each
    return weight * subject.mean() + others.mean()

# %% [markdown] lang="en" role="mistake" name="times_and_half"
# The target is right now. Two things remain: the class is noised with the subject's times, and the weight is on the wrong half.
# %% [markdown] lang="vi" of="9d33da41"
# Mục tiêu giờ đã đúng. Còn hai chỗ: lớp được thêm nhiễu theo thời gian của chủ thể, và weight nhân nhầm nửa.
# %% role="wrong" name="times_and_half"
patch("schedule.mix(x0, eps, t) ", "schedule.mix(x0, eps, t.chunk(2)[0].repeat(2)) ")
patch("prior_preservation_loss(prediction, v, weight)", "prior_preservation_loss(prediction.roll(len(t) // 2, 0), v.roll(len(t) // 2, 0), weight)")

# %% [markdown] lang="en" role="mistake" name="times_and_target"
# The weight is right now. Two things remain: the class is noised with the subject's times, and the prediction of v is compared
# with the noise.
# %% [markdown] lang="vi" of="5de20ca7"
# Weight giờ đã đúng. Còn hai chỗ: lớp được thêm nhiễu theo thời gian của chủ thể, và dự đoán của v bị so với nhiễu.
# %% role="wrong" name="times_and_target"
patch("schedule.mix(x0, eps, t) ", "schedule.mix(x0, eps, t.chunk(2)[0].repeat(2)) ")
patch('target(schedule, "v", x0, eps, t) ', "eps ")

# %% [markdown] lang="en" role="mistake" name="half_and_target"
# Every picture has its own time now. Two things remain: the weight is on the wrong half, and the prediction of v is compared
# with the noise.
# %% [markdown] lang="vi" of="a4607579"
# Giờ mỗi bức có thời gian của mình. Còn hai chỗ: weight nhân nhầm nửa, và dự đoán của v bị so với nhiễu.
# %% role="wrong" name="half_and_target"
patch('target(schedule, "v", x0, eps, t) ', "eps ")
patch("prior_preservation_loss(prediction, v, weight)", "prior_preservation_loss(prediction.roll(len(t) // 2, 0), v.roll(len(t) // 2, 0), weight)")

# %% [markdown] lang="en" role="mistake" name="times_of_the_subject"
# The class's pictures are noised with the subject's times, while the model is told the class's own. It sees much noise and is
# told of little, or the other way round, and so the pictures that were to be kept are ruined. Every row has a time of its own:
# mix with `t`.
# %% [markdown] lang="vi" of="b6e50e19"
# Các bức của lớp được thêm nhiễu theo thời gian của chủ thể, trong khi mô hình được báo thời gian của chính lớp. Nó thấy nhiều
# nhiễu mà được báo là ít, hoặc ngược lại, nên những bức cần giữ lại bị hỏng. Mỗi hàng có thời gian riêng: hãy trộn với `t`.
# %% role="wrong" name="times_of_the_subject"
patch("schedule.mix(x0, eps, t) ", "schedule.mix(x0, eps, t.chunk(2)[0].repeat(2)) ")

# %% [markdown] lang="en" role="mistake" name="told_the_subjects_time"
# The model is told the subject's times for both halves, while the class's pictures are noised with their own. It must be told
# how much noise it really sees: `schedule.timestep(t)`.
# %% [markdown] lang="vi" of="d7a7c37f"
# Mô hình được báo thời gian của chủ thể cho cả hai nửa, trong khi các bức của lớp được thêm nhiễu theo thời gian riêng. Nó phải
# được báo đúng lượng nhiễu mà nó thấy: `schedule.timestep(t)`.
# %% role="wrong" name="told_the_subjects_time"
patch("schedule.timestep(t)", "schedule.timestep(t.chunk(2)[0].repeat(2))")

# %% [markdown] lang="en" role="mistake" name="target_of_the_subjects_time"
# The target of the class's pictures is computed with the subject's times. v depends on the time: use `t` there, too.
# %% [markdown] lang="vi" of="2067f3a9"
# Mục tiêu cho các bức của lớp được tính theo thời gian của chủ thể. v phụ thuộc vào thời gian: ở đó cũng phải dùng `t`.
# %% role="wrong" name="target_of_the_subjects_time"
patch('"v", x0, eps, t)', '"v", x0, eps, t.chunk(2)[0].repeat(2))')

# %% [markdown] lang="en" role="mistake" name="one_time_for_both"
# Both halves have the subject's times everywhere. That is at least consistent, but the class's own times are thrown away: the
# batch then sees half as many noise levels. Use all of `t`.
# %% [markdown] lang="vi" of="2b34b495"
# Cả hai nửa đều dùng thời gian của chủ thể ở mọi chỗ. Như vậy ít ra là nhất quán, nhưng thời gian của lớp bị vứt đi: lô chỉ còn
# gặp một nửa số mức nhiễu. Hãy dùng cả `t`.
# %% role="wrong" name="one_time_for_both"
patch("    x = schedule", "    t = t.chunk(2)[0].repeat(2)\n    x = schedule")

# %% [markdown] lang="en" role="mistake" name="halves_of_t_swapped"
# The halves of `t` are swapped: the subject gets the times of the class. The subject's come first, as in the batch.
# %% [markdown] lang="vi" of="2119a79f"
# Hai nửa của `t` bị đổi chỗ: chủ thể nhận thời gian của lớp. Thời gian của chủ thể đứng trước, như trong lô.
# %% role="wrong" name="halves_of_t_swapped"
patch("schedule.mix(x0, eps, t) ", "schedule.mix(x0, eps, t.roll(len(t) // 2)) ")

# %% [markdown] lang="en" role="mistake" name="wrong_half"
# The weight is on the subject's half. It says how hard the class is held: `prior_preservation_loss` puts it there when the
# subject's rows come first.
# %% [markdown] lang="vi" of="82dda1bb"
# Weight đang nhân vào nửa của chủ thể. Nó cho biết lớp được giữ chặt đến đâu: `prior_preservation_loss` đặt nó đúng chỗ khi các
# hàng của chủ thể đứng trước.
# %% role="wrong" name="wrong_half"
patch("prior_preservation_loss(prediction, v, weight)", "prior_preservation_loss(prediction.roll(len(t) // 2, 0), v.roll(len(t) // 2, 0), weight)")

# %% [markdown] lang="en" role="mistake" name="noise_for_v"
# The prediction is compared with the noise, but this model predicts v = alpha · eps − sigma · x0. It would forget how to draw
# anything.
# %% [markdown] lang="vi" of="d5c929a0"
# Dự đoán bị so với nhiễu, nhưng mô hình này dự đoán v = alpha · eps − sigma · x0. Nó sẽ quên cách vẽ bất cứ thứ gì.
# %% role="wrong" name="noise_for_v"
patch('target(schedule, "v", x0, eps, t) ', "eps ")

# %% [markdown] lang="en" role="mistake" name="x0_for_v"
# The prediction is compared with x0. This model predicts v = alpha · eps − sigma · x0.
# %% [markdown] lang="vi" of="e213c01d"
# Dự đoán bị so với x0. Mô hình này dự đoán v = alpha · eps − sigma · x0.
# %% role="wrong" name="x0_for_v"
patch('target(schedule, "v", x0, eps, t) ', "x0 ")

# %% [markdown] lang="en" role="mistake" name="flow_for_v"
# The target is eps − x0, that of flow matching. v weighs the two: alpha · eps − sigma · x0.
# %% [markdown] lang="vi" of="8317ab94"
# Mục tiêu là eps − x0, của flow matching. v có tỉ lệ cho từng thứ: alpha · eps − sigma · x0.
# %% role="wrong" name="flow_for_v"
patch('schedule, "v"', 'schedule, "flow"')

# %% [markdown] lang="en" role="mistake" name="shares_swapped"
# The shares are swapped in v: it is alpha · eps − sigma · x0. The noise gets the share that x0 has in x, and x0 that of the
# noise, with a minus.
# %% [markdown] lang="vi" of="52ca5d3f"
# Các tỉ lệ trong v bị đổi chỗ: v là alpha · eps − sigma · x0. Nhiễu nhận tỉ lệ của x0 trong x, còn x0 nhận tỉ lệ của nhiễu, với
# dấu trừ.
# %% role="wrong" name="shares_swapped"
patch('target(schedule, "v", x0, eps, t) ', "schedule.mix(-x0, eps, t) ")

# %% [markdown] lang="en" role="mistake" name="weight_forgotten"
# Both halves count alike: `weight` has no effect.
# %% [markdown] lang="vi" of="80756179"
# Hai nửa được tính như nhau: `weight` không có tác dụng.
# %% role="wrong" name="weight_forgotten"
patch("prediction, v, weight)", "prediction, v, 1.0)")

# %% [markdown] lang="en" role="mistake" name="one_mean"
# One mean was taken over the whole batch: the weight has no effect, and each half counts half as much.
# %% [markdown] lang="vi" of="ded9d8ea"
# Một trung bình được lấy trên cả lô: weight không có tác dụng, và mỗi nửa chỉ được tính một nửa.
# %% role="wrong" name="one_mean"
patch("prior_preservation_loss(prediction, v, weight)", "F.mse_loss(prediction, v)")

# %% [markdown] lang="en" role="mistake" name="class_left_out"
# Only the subject's half is in the loss. Without the prior, every fish becomes the fish.
# %% [markdown] lang="vi" of="ad008e84"
# Hàm mất mát chỉ có nửa của chủ thể. Không có tiên nghiệm, con cá nào cũng thành con cá ấy.
# %% role="wrong" name="class_left_out"
patch("prediction, v, weight)", "prediction, v, 0.0)")

# %% [markdown] lang="en" role="mistake" name="noise_of_the_subject"
# The class's pictures were mixed with the subject's noise, but their target was made of their own. Every row has its own `eps`.
# %% [markdown] lang="vi" of="e0af0914"
# Các bức của lớp được trộn với nhiễu của chủ thể, nhưng mục tiêu của chúng lại tạo từ nhiễu riêng. Mỗi hàng có `eps` riêng.
# %% role="wrong" name="noise_of_the_subject"
patch("schedule.mix(x0, eps, t) ", "schedule.mix(x0, eps.chunk(2)[0].repeat(2, 1, 1, 1), t) ")

# %% [markdown] lang="en" role="mistake" name="own_noise"
# Noise was drawn anew, so the step cannot be repeated. Use the one that is given.
# %% [markdown] lang="vi" of="ae2201ea"
# Nhiễu bị sinh mới, nên không lặp lại được bước này. Hãy dùng nhiễu đã cho.
# %% role="wrong" name="own_noise"
patch("    x = schedule", "    eps = torch.randn_like(eps)\n    x = schedule")

# %% [markdown] lang="en" role="mistake" name="clean"
# The model got the clean x0. It must see what it will see in sampling, x0 with noise: x.
# %% [markdown] lang="vi" of="11dc7f1f"
# Mô hình nhận x0 sạch. Nó phải thấy thứ nó sẽ gặp khi lấy mẫu, x0 có nhiễu: x.
# %% role="wrong" name="clean"
patch("model(x, ", "model(x0, ")

# %% [markdown] lang="en" role="mistake" name="time_in_0_to_1"
# The model got t, from 0 to 1. It learnt with timesteps up to 1000, and takes these for almost no noise:
# `schedule.timestep(t)`.
# %% [markdown] lang="vi" of="de33dc51"
# Mô hình nhận t, từ 0 đến 1. Nó được học với bước thời gian đến 1000, nên tưởng rằng gần như không có nhiễu:
# `schedule.timestep(t)`.
# %% role="wrong" name="time_in_0_to_1"
patch("schedule.timestep(t)", "t")

# %% [markdown] lang="en" role="mistake" name="times_1000"
# 1000 t is right for some noise schedules alone: a table of betas counts otherwise. Let `schedule.timestep(t)` say it.
# %% [markdown] lang="vi" of="6db8d7af"
# 1000 t chỉ đúng với một số lịch nhiễu: một bảng beta đếm khác. Hãy để `schedule.timestep(t)` trả lời.
# %% role="wrong" name="times_1000"
patch("schedule.timestep(t)", "1000 * t")

# %% [markdown] lang="en" role="mistake" name="mask_dropped"
# The model got no mask, so it reads the padding as words. The class's shorter captions are padded in every batch.
# %% [markdown] lang="vi" of="0184cb1b"
# Mô hình không nhận mask, nên nó đọc phần đệm như từ. Trong mỗi lô, câu mô tả ngắn hơn của lớp đều được đệm.
# %% role="wrong" name="mask_dropped"
patch("context, mask)\n    v", "context, None)\n    v")

# %% [markdown] lang="en" role="mistake" name="captions_of_the_subject"
# Both halves were read with the subject's captions, so any fish is called by the rare word. Hand on the whole context.
# %% [markdown] lang="vi" of="e909e132"
# Cả hai nửa được đọc với câu mô tả của chủ thể, nên con cá nào cũng được gọi bằng từ hiếm. Hãy chuyển cả context.
# %% role="wrong" name="captions_of_the_subject"
patch("context, mask)\n    v", "context.chunk(2)[0].repeat(2, 1, 1), mask.chunk(2)[0].repeat(2, 1))\n    v")

# %% [markdown] lang="en" role="mistake" name="no_gradient"
# No gradient comes out of the loss: it was detached, or computed under `torch.no_grad()`. Nothing can learn from it.
# %% [markdown] lang="vi" of="911c6930"
# Không có gradient nào ra khỏi hàm mất mát: nó bị detach, hoặc được tính trong `torch.no_grad()`. Không gì học được từ nó.
# %% role="wrong" name="no_gradient"
patch("loss(prediction, v", "loss(prediction.detach(), v")

# %% [markdown] lang="en" role="mistake" name="backward_inside"
# `backward()` was called inside. The caller does it, and a second time it stops with an error.
# %% [markdown] lang="vi" of="02f79458"
# `backward()` bị gọi ngay bên trong. Nơi gọi sẽ làm việc đó, và lần thứ hai thì nó báo lỗi rồi dừng.
# %% role="wrong" name="backward_inside"
patch("    return prior_preservation_loss(prediction, v, weight)   # ()", "    loss = prior_preservation_loss(prediction, v, weight)\n    loss.backward()\n    return loss")

# %% [markdown] lang="en" role="mistake" name="two_losses"
# Two losses came back, one for each half. Training needs one number, in which the weight is.
# %% [markdown] lang="vi" of="c2a4cff6"
# Kết quả là hai giá trị, mỗi nửa một giá trị của hàm mất mát. Huấn luyện cần một con số, trong đó đã có weight.
# %% role="wrong" name="two_losses"
patch("prior_preservation_loss(prediction, v, weight)", "torch.stack([F.mse_loss(a, b) for a, b in zip(prediction.chunk(2), v.chunk(2))])")

# %% [markdown] lang="en" role="mistake" name="sign_of_v"
# The signs of v are the wrong way round: it is alpha · eps − sigma · x0. The model would learn the opposite of all that it
# knows.
# %% [markdown] lang="vi" of="9daafc15"
# Dấu của v bị ngược: v là alpha · eps − sigma · x0. Mô hình sẽ học điều ngược lại với mọi thứ nó biết.
# %% role="wrong" name="sign_of_v"
patch("loss(prediction, v, weight)", "loss(prediction, -v, weight)")

# %% [markdown] lang="en" role="mistake" name="mixed_the_other_way"
# Picture and noise are swapped in `schedule.mix`: at t = 0 the model sees only noise. x0 comes first.
# %% [markdown] lang="vi" of="2a172710"
# Tranh và nhiễu bị đổi chỗ trong `schedule.mix`: ở t = 0 mô hình chỉ thấy nhiễu. x0 phải đứng trước.
# %% role="wrong" name="mixed_the_other_way"
patch("schedule.mix(x0, eps, t)", "schedule.mix(eps, x0, t)")

# %% [markdown] lang="en" role="mistake" name="cosine_by_hand"
# This is right for the cosine schedule alone. The shares of picture and noise come from the `schedule` that is handed over.
# %% [markdown] lang="vi" of="d18eab27"
# Cách này chỉ đúng với lịch cosine. Tỉ lệ của tranh và của nhiễu phải lấy từ `schedule` được truyền vào.
# %% role="wrong" name="cosine_by_hand"
def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    angle = (t * torch.pi / 2)[:, None, None, None]
    x = angle.cos() * x0 + angle.sin() * eps
    v = angle.cos() * eps - angle.sin() * x0
    return prior_preservation_loss(model(x, schedule.timestep(t), context, mask), v, weight)

# %% [markdown] lang="en" role="mistake" name="whole_timesteps"
# The timesteps were cut to whole numbers. The pictures are noised with any time, and the model is told a little less noise
# than there is.
# %% [markdown] lang="vi" of="7cea1a2b"
# Bước thời gian bị cắt thành số nguyên. Tranh được thêm nhiễu theo thời gian bất kỳ, còn mô hình được báo ít nhiễu hơn thực tế
# một chút.
# %% role="wrong" name="whole_timesteps"
patch("schedule.timestep(t)", "schedule.timestep(t).floor()")

# %% [markdown] lang="en" role="mistake" name="class_detached"
# The class's half gives no gradient: it is in the loss, but nothing is learnt from it, and every fish becomes the fish. Detach
# nothing.
# %% [markdown] lang="vi" of="7e37b4a7"
# Nửa của lớp không cho gradient: nó có trong hàm mất mát, nhưng không gì được học từ đó, và con cá nào cũng thành con cá ấy.
# Đừng detach gì cả.
# %% role="wrong" name="class_detached"
patch("loss(prediction, v, weight)", "loss(torch.cat([p if k == 0 else p.detach() for k, p in enumerate(prediction.chunk(2))]), v, weight)")

# %% [markdown] lang="en" role="mistake" name="mode_changed"
# The step left the model in another mode, by `model.eval()` or `model.train()`. Dropout depends on it, and it is for the
# caller to choose.
# %% [markdown] lang="vi" of="62152c49"
# Sau bước này mô hình ở chế độ khác, do `model.eval()` hoặc `model.train()`. Dropout phụ thuộc vào chế độ ấy, và nơi gọi mới
# là nơi chọn nó.
# %% role="wrong" name="mode_changed"
patch("    x = schedule", "    model.eval()\n    x = schedule")

# %% role="library"
from types import SimpleNamespace

from minidiff.diffusion.losses import example_losses
from minidiff.finetune.dreambooth import DreamBoothTask


def dreambooth_step(model, x0, context, mask, eps, t, schedule, weight):
    """The library's loss of each row, and the mean that `minidiff finetune dreambooth` takes."""
    said = model(schedule.mix(x0, eps, t), schedule.timestep(t), context, mask)
    losses = example_losses(said, x0, eps, t, schedule, "v")
    return DreamBoothTask.weighted_mean(SimpleNamespace(config=SimpleNamespace(prior=weight)), losses)

# %% role="payoff"
def draw(dreambooth_step: Callable) -> Tensor:
    return trained(dreambooth_step)                         # (6, 3, 128, 128)


payoff(draw, dreambooth_step, tolerance=0.05)               # rounding errors grow
