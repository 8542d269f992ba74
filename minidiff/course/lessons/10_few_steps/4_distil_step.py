"""Exercise 10.4, distil_step: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="4" minutes="20"
# ## One step of distillation
#
# **Wire it.** The student `network` with `steps` steps learns from a teacher that makes twice as many, guided with `scale`. The
# times t (B,) are where steps of the student begin, so a step ends at t − 1/steps. The student itself is **not** guided: what
# guidance does is in its target already.
#
# `denoiser_of(network, schedule, labels, scale)` makes a denoiser of a network, and your `two_step_target` makes the target.
# The loss is the squared error of the student's x0 against it, each picture with the weight $\max(\alpha^2/\sigma^2, 1)$ of its
# own time t (Salimans & Ho 2022, section 4): near pure noise $\alpha^2/\sigma^2$ alone is 0, and the student would learn
# nothing where it has the most to learn. It is averaged over the numbers of a picture, weighted, and averaged over the
# pictures. Then the optimizer makes one step.
#
# The last cell distils with the solution, then with your function, for half a minute each. Each picture has four tiles: the
# teacher without guidance and your student above, both with 2 steps and 2 evaluations. Below: the guided teacher with 2 steps
# (4 evaluations) and with 4 steps (8), which the student imitates. Your student should come nearer to that one with 2
# evaluations than the guided teacher does with 4.
# %% [markdown] lang="vi" of="c38a4f6e"
# ## Một bước chưng cất
#
# **Lắp ráp.** Mạng trò `network` với `steps` bước học từ một mạng thầy đi gấp đôi số bước, được dẫn hướng với hệ số `scale`.
# Các thời điểm t (B,) là nơi các bước của trò bắt đầu, nên một bước kết thúc ở t − 1/steps. Bản thân trò **không** được dẫn
# hướng: tác dụng của dẫn hướng đã nằm trong mục tiêu của nó.
#
# `denoiser_of(network, schedule, labels, scale)` biến mạng thành bộ khử nhiễu, còn `two_step_target` của bạn tạo ra mục tiêu.
# Hàm mất mát là bình phương sai số của x0 của trò so với mục tiêu, mỗi bức có trọng số $\max(\alpha^2/\sigma^2, 1)$ theo thời
# điểm t của nó (Salimans & Ho 2022, mục 4): gần toàn nhiễu thì riêng $\alpha^2/\sigma^2$ bằng 0, và trò sẽ không học được gì
# ngay ở nơi nó phải học nhiều nhất. Sai số được lấy trung bình trên các con số của một bức, nhân trọng số, rồi lấy trung bình
# trên các bức. Sau đó bộ tối ưu (optimizer) đi một bước.
#
# Ô cuối cùng chưng cất bằng lời giải, rồi bằng hàm của bạn, mỗi lần nửa phút. Mỗi bức có bốn ô. Trên: thầy không dẫn hướng và
# trò của bạn, cả hai với 2 bước, 2 lần gọi mạng. Dưới: thầy có dẫn hướng với 2 bước (4 lần gọi mạng) và với 4 bước (8 lần); trò
# bắt chước bức cuối này. Với 2 lần gọi mạng, trò của bạn phải gần bức ấy hơn thầy có dẫn hướng với 4 lần.

# %% [markdown] lang="en" role="hints"
# Two denoisers: the teacher's, with `scale`, and the student's, without. Both are asked about the same x at the same t.
# ---
# The weight is a number for each picture, (B,): so make the error (B,) first, `(...).square().flatten(1).mean(1)`, then weight
# it, then take the mean.
# ---
# `x = schedule.mix(x0, eps, t)`; `two_step_target(schedule, guided, x, t, t - 1 / steps)`; the weight
# `(schedule.alpha(t) / schedule.sigma(t)).square().clamp(min=1)`; then zero_grad, backward, step.
# %% [markdown] lang="vi" of="7426be8a"
# Hai bộ khử nhiễu: của thầy, với `scale`, và của trò, không có. Cả hai được hỏi về cùng x ở cùng t.
# ---
# Trọng số là một số cho mỗi bức, (B,): vậy trước hết hãy đưa sai số về (B,), `(...).square().flatten(1).mean(1)`, rồi nhân
# trọng số, rồi lấy trung bình.
# ---
# `x = schedule.mix(x0, eps, t)`; `two_step_target(schedule, guided, x, t, t - 1 / steps)`; trọng số
# `(schedule.alpha(t) / schedule.sigma(t)).square().clamp(min=1)`; rồi zero_grad, backward, step.

# %% [markdown] lang="en" role="stub"
# One training step of the student `network`; returns its loss, a float. x0, eps
# (B, ...); t (B,), beginnings of the student's `steps` steps; labels (B,). Both
# networks predict v; the optimizer holds the student's weights.
# ---
# 1. the noisy pictures                                       # (B, ...)
# 2. the guided teacher's two-step target for them            # (B, ...)
# 3. the student's x0, without guidance                       # (B, ...)
# 4. weight max(alpha^2 / sigma^2, 1) of each picture         # (B,)
# 5. the loss                                                 # ()
# 6. one step of the optimizer
# %% [markdown] lang="vi" of="34d466c7"
# Một bước huấn luyện mạng trò `network`; trả về giá trị của hàm mất mát, là một
# float. x0, eps (B, ...); t (B,), nơi bắt đầu của `steps` bước của trò; labels (B,).
# Cả hai mạng dự đoán v; bộ tối ưu giữ các trọng số của trò.
# ---
# 1. các bức tranh có nhiễu                                   # (B, ...)
# 2. mục tiêu hai bước của thầy có dẫn hướng cho chúng        # (B, ...)
# 3. x0 của trò, không dẫn hướng                              # (B, ...)
# 4. trọng số max(alpha^2 / sigma^2, 1) của mỗi bức           # (B,)
# 5. giá trị của hàm mất mát                                  # ()
# 6. một bước của bộ tối ưu

# %% role="solution"
def distil_step(
    network: nn.Module, teacher: nn.Module, optimizer: torch.optim.Optimizer,
    schedule: NoiseSchedule, x0: Tensor, eps: Tensor, t: Tensor, labels: Tensor,
    steps: int, scale: float,
) -> float:
    x = schedule.mix(x0, eps, t)                                # (B, ...)
    guided = denoiser_of(teacher, schedule, labels, scale)
    aim = two_step_target(schedule, guided, x, t, t - 1 / steps)
    guess, _ = denoiser_of(network, schedule, labels)(x, t)     # (B, ...)
    weight = (schedule.alpha(t) / schedule.sigma(t)).square().clamp(min=1)
    loss = (weight * (guess - aim).square().flatten(1).mean(1)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()

# %% [markdown] lang="en" role="checks"
# - a float
# - the loss at three times, with a guided teacher
# - the loss with a teacher that isn't guided, as in a second stage
# - the loss at pure noise, of one picture
# - the loss near clean data, of vectors, with the flow schedule
# - the student's weights after one step
# - the student's weights after three steps
# - the teacher stays as it is and gets no gradient; both networks stay in training mode
# %% [markdown] lang="vi" of="a8ca11cb"
# - một số float
# - giá trị của hàm mất mát ở ba thời điểm, thầy có dẫn hướng
# - giá trị của hàm mất mát khi thầy không dẫn hướng, như ở giai đoạn hai
# - giá trị của hàm mất mát ở toàn nhiễu, với một bức
# - giá trị của hàm mất mát gần dữ liệu sạch, với các vector, lịch flow
# - trọng số của trò sau một bước
# - trọng số của trò sau ba bước
# - thầy giữ nguyên và không nhận gradient; cả hai mạng vẫn ở chế độ huấn luyện

# %% role="probes"
import torch
from torch import nn

from minidiff.diffusion.schedules import get_schedule


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Network(nn.Module):
    """Predicts v of pictures or vectors with three channels, for labels 0 to 17 and 18 for none."""

    def __init__(self, seed):
        super().__init__()
        self.mix = nn.Parameter(0.6 * normal(3, 3, seed=seed))
        self.gains = nn.Parameter(2 * normal(19, 3, seed=seed + 1))

    def forward(self, x, timestep, labels):
        for name, given in (("labels", labels), ("timesteps", timestep)):
            if given.shape != x.shape[:1]:
                raise ValueError(f"There are {name} of shape {tuple(given.shape)} for {len(x)} pictures; give one each.")
        shaped = timestep.to(x).reshape(-1, *[1] * (x.ndim - 1))
        mixed = torch.tanh(torch.einsum("ij,bj...->bi...", self.mix, x) + (shaped / 300).sin())
        return mixed * self.gains[labels].reshape(len(x), 3, *[1] * (x.ndim - 2))


def stepped(f, times, schedule, **inputs):
    """The losses of some steps, and both networks."""
    network, teacher = Network(31), Network(41)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.5)
    losses = [f(network, teacher, optimizer, get_schedule(schedule), **inputs) for _ in range(times)]
    return losses, network, teacher


def kind(f, **inputs):
    return type(stepped(f, 1, "cosine", **inputs)[0][0]).__name__


def loss(f, schedule="cosine", **inputs):
    return float(torch.as_tensor(stepped(f, 1, schedule, **inputs)[0][0]).detach())


def weights(f, times, **inputs):
    return {name: value.clone() for name, value in stepped(f, times, "cosine", **inputs)[1].named_parameters()}


def of_the_teacher(f, **inputs):
    _, network, teacher = stepped(f, 1, "cosine", **inputs)
    same = all(map(torch.equal, Network(41).parameters(), teacher.parameters()))
    found = {"unchanged": same, "has gradients": any(value.grad is not None for value in teacher.parameters())}
    found["could learn"] = all(value.requires_grad for value in teacher.parameters())
    return found | {"networks in training mode": [network.training, teacher.training]}


GIVEN = {"x0": normal(3, 3, 4, 2, seed=51), "eps": normal(3, 3, 4, 2, seed=52), "labels": torch.tensor([4, 0, 17])}
GIVEN |= {"t": torch.tensor([1.0, 0.25, 0.5], dtype=torch.float64), "steps": 4, "scale": 3.0}
PURE = {**{name: GIVEN[name][:1] for name in ("x0", "eps", "labels")}, "t": torch.ones(1, dtype=torch.float64)}
PURE |= {"steps": 2, "scale": 2.0}
FLAT = {"x0": normal(4, 3, seed=53), "eps": normal(4, 3, seed=54), "labels": torch.tensor([1, 1, 2, 9])}
FLAT |= {"t": torch.tensor([0.125, 0.25, 0.125, 0.375], dtype=torch.float64), "steps": 8, "scale": 2.5}

probe(kind, **GIVEN)
probe(loss, points=2, **GIVEN)
probe(loss, **{**GIVEN, "scale": 1.0})
probe(loss, **PURE)
probe(loss, schedule="flow", **FLAT)
probe(weights, points=2, times=1, **GIVEN)
probe(weights, times=3, **GIVEN)
probe(of_the_teacher, **GIVEN)

# %% [markdown] lang="en" role="mistake" name="guided_again"
# The student's prediction is guided, too. The target holds the teacher's guidance already, so a student that needs guidance to
# reach it learns a weaker one; and whoever guides a student that has learnt it gets burnt colours. Ask the student with the
# labels alone, in one call.
# %% [markdown] lang="vi" of="34f996f0"
# Dự đoán của trò cũng bị dẫn hướng. Mục tiêu đã chứa dẫn hướng của thầy, nên trò mà phải nhờ dẫn hướng mới đạt mục tiêu thì học
# yếu hơn; và ai dẫn hướng một trò đã học xong sẽ nhận được màu cháy. Hãy hỏi trò chỉ với các nhãn, bằng một lần gọi mạng.
# %% role="wrong" name="guided_again"
patch("denoiser_of(network, schedule, labels)", "denoiser_of(network, schedule, labels, scale)")

# %% [markdown] lang="en" role="mistake" name="teacher_not_guided"
# The teacher isn't guided: `scale` reaches nobody. Then the student learns the plain, washed-out teacher in fewer steps.
# %% [markdown] lang="vi" of="bceb485c"
# Thầy không được dẫn hướng: `scale` không đến được đâu. Khi đó trò học đúng người thầy nhạt nhòa không dẫn hướng, chỉ ít bước
# hơn.
# %% role="wrong" name="teacher_not_guided"
patch("denoiser_of(teacher, schedule, labels, scale)", "denoiser_of(teacher, schedule, labels)")

# %% [markdown] lang="en" role="mistake" name="guidance_swapped"
# The guidance is with the wrong one: the student is guided and the teacher isn't. Guide the teacher, and let the student do
# without.
# %% [markdown] lang="vi" of="7727c428"
# Dẫn hướng đặt nhầm chỗ: trò được dẫn hướng còn thầy thì không. Hãy dẫn hướng thầy, và để trò tự đi.
# %% role="wrong" name="guidance_swapped"
patch("denoiser_of(teacher, schedule, labels, scale)", "denoiser_of(teacher, schedule, labels)")
patch("denoiser_of(network, schedule, labels)", "denoiser_of(network, schedule, labels, scale)")

# %% [markdown] lang="en" role="mistake" name="snr_not_truncated"
# The weight is α²/σ² alone. At t = 1 it is 0: the loss dies there, and the first step of every picture, in which the most is
# decided, is never learnt. The weight is at least 1.
# %% [markdown] lang="vi" of="8e2c06e3"
# Trọng số chỉ là α²/σ². Ở t = 1 nó bằng 0: hàm mất mát tắt ở đó, và bước đầu tiên của mọi bức, nơi quyết định nhiều nhất, không
# bao giờ được học. Trọng số phải ít nhất là 1.
# %% role="wrong" name="snr_not_truncated"
patch(".square().clamp(min=1)", ".square()")

# %% [markdown] lang="en" role="mistake" name="at_most_one"
# The weight is cut at the wrong end: it is at most 1 here, and still 0 at pure noise. The larger of α²/σ² and 1 is meant.
# %% [markdown] lang="vi" of="f009d7cb"
# Trọng số bị chặn sai đầu: ở đây nó nhiều nhất là 1, và vẫn bằng 0 ở toàn nhiễu. Cần số lớn hơn trong hai số α²/σ² và 1.
# %% role="wrong" name="at_most_one"
patch("clamp(min=1)", "clamp(max=1)")

# %% [markdown] lang="en" role="mistake" name="no_weight"
# Every picture counts the same. Near clean data an error in x0 shows the most in the picture: weight with max(α²/σ², 1).
# %% [markdown] lang="vi" of="5fd7b1c9"
# Mọi bức đều được tính như nhau. Gần dữ liệu sạch, sai số của x0 lộ rõ nhất trong tranh: hãy dùng trọng số max(α²/σ², 1).
# %% role="wrong" name="no_weight"
patch("weight * (guess - aim)", "(guess - aim)")

# %% [markdown] lang="en" role="mistake" name="snr_plus_one"
# The weight is α²/σ² + 1. It is the other one in the paper (the error of v); here the larger of α²/σ² and 1 is asked for.
# %% [markdown] lang="vi" of="a1ebe34b"
# Trọng số là α²/σ² + 1. Đó là lựa chọn còn lại trong bài báo (sai số của v); ở đây cần số lớn hơn trong hai số α²/σ² và 1.
# %% role="wrong" name="snr_plus_one"
patch(".square().clamp(min=1)", ".square() + 1")

# %% [markdown] lang="en" role="mistake" name="snr_upside_down"
# The weight is made of σ²/α², which is infinite at pure noise. The signal stands above: α²/σ².
# %% [markdown] lang="vi" of="ad6e2703"
# Trọng số được tính từ σ²/α², vô hạn ở toàn nhiễu. Tín hiệu phải ở trên: α²/σ².
# %% role="wrong" name="snr_upside_down"
patch("(schedule.alpha(t) / schedule.sigma(t))", "(schedule.sigma(t) / schedule.alpha(t))")

# %% [markdown] lang="en" role="mistake" name="snr_not_squared"
# The weight is α/σ, without the square. The signal-to-noise ratio is one of powers: α²/σ².
# %% [markdown] lang="vi" of="0a8ed473"
# Trọng số là α/σ, thiếu bình phương. Tỉ số tín hiệu trên nhiễu là tỉ số công suất: α²/σ².
# %% role="wrong" name="snr_not_squared"
patch(".square().clamp(min=1)", ".clamp(min=1)")

# %% [markdown] lang="en" role="mistake" name="weighted_mean"
# The loss was divided by the sum of the weights. Average over the pictures: divide by B.
# %% [markdown] lang="vi" of="7087d678"
# Hàm mất mát bị chia cho tổng các trọng số. Hãy lấy trung bình trên các bức: chia cho B.
# %% role="wrong" name="weighted_mean"
patch(".flatten(1).mean(1)).mean()", ".flatten(1).mean(1)).sum() / weight.sum()")

# %% [markdown] lang="en" role="mistake" name="averaged_before_weighted"
# The error was averaged over the whole batch, and then multiplied with the average weight. Each picture's error belongs to its
# own weight.
# %% [markdown] lang="vi" of="baca147e"
# Sai số bị lấy trung bình trên cả lô (batch), rồi mới nhân với trọng số trung bình. Sai số của bức nào đi với trọng số của bức
# ấy.
# %% role="wrong" name="averaged_before_weighted"
patch("(weight * (guess - aim).square().flatten(1).mean(1)).mean()", "weight.mean() * (guess - aim).square().mean()")

# %% [markdown] lang="en" role="mistake" name="summed"
# The squares of a picture were added up, not averaged, so large pictures get large losses.
# %% [markdown] lang="vi" of="c476b551"
# Các bình phương của một bức bị cộng lại thay vì lấy trung bình, nên với bức lớn thì hàm mất mát có giá trị lớn.
# %% role="wrong" name="summed"
patch(".flatten(1).mean(1)", ".flatten(1).sum(1)")

# %% [markdown] lang="en" role="mistake" name="teachers_step"
# The step ends half as far as it should: 1/(2 steps) is the *teacher's* step. The student goes from t to t − 1/steps.
# %% [markdown] lang="vi" of="e5dbe241"
# Bước đi kết thúc ở nửa đường: 1/(2 steps) là bước của *thầy*. Trò đi từ t đến t − 1/steps.
# %% role="wrong" name="teachers_step"
patch("t - 1 / steps", "t - 1 / (2 * steps)")

# %% [markdown] lang="en" role="mistake" name="down_to_data"
# The target leads down to clean data, s = 0, whatever the time. A student of several steps goes one step further only, to
# t − 1/steps.
# %% [markdown] lang="vi" of="c3c248af"
# Mục tiêu dẫn thẳng đến dữ liệu sạch, s = 0, bất kể thời điểm. Trò đi nhiều bước thì mỗi lần chỉ đi thêm một bước, đến
# t − 1/steps.
# %% role="wrong" name="down_to_data"
patch("t - 1 / steps", "torch.zeros_like(t)")

# %% [markdown] lang="en" role="mistake" name="learns_from_data"
# The student is compared with the data x0, and the teacher isn't used. That is ordinary training; the average of all pictures
# that fit is what it ends at, and that is blurred in few steps. Compare with the two-step target.
# %% [markdown] lang="vi" of="9244b7c8"
# Trò bị so với dữ liệu x0, còn thầy thì không dùng đến. Đó là huấn luyện thông thường; kết quả của nó là trung bình của mọi bức
# phù hợp, và với ít bước thì nhòe. Hãy so với mục tiêu hai bước.
# %% role="wrong" name="learns_from_data"
patch("(guess - aim)", "(guess - x0)")

# %% [markdown] lang="en" role="mistake" name="student_teaches_itself"
# The target is made by the student itself. It has to come from the teacher, which knows how the picture goes on.
# %% [markdown] lang="vi" of="76417b18"
# Mục tiêu do chính trò tạo ra. Nó phải đến từ thầy, người biết bức tranh tiếp diễn ra sao.
# %% role="wrong" name="student_teaches_itself"
patch("denoiser_of(teacher,", "denoiser_of(network,")

# %% [markdown] lang="en" role="mistake" name="networks_swapped"
# Teacher and student are swapped: the gradient goes to the teacher, and the student's weights stay as they are.
# %% [markdown] lang="vi" of="f9aee38e"
# Thầy và trò bị đổi chỗ: gradient chạy vào thầy, còn trọng số của trò đứng yên.
# %% role="wrong" name="networks_swapped"
patch("denoiser_of(teacher,", "denoiser_of(network,")
patch("denoiser_of(network, schedule, labels)", "denoiser_of(teacher, schedule, labels)")

# %% [markdown] lang="en" role="mistake" name="gradients_pile_up"
# Gradients pile up from step to step: after the first one the student runs on with old gradients. `optimizer.zero_grad()`
# before `backward()`.
# %% [markdown] lang="vi" of="dd78589b"
# Gradient bị cộng dồn từ bước này sang bước khác: sau bước đầu, trò vẫn chạy theo gradient cũ. Gọi `optimizer.zero_grad()`
# trước `backward()`.
# %% role="wrong" name="gradients_pile_up"
patch("    optimizer.zero_grad()\n", "")

# %% [markdown] lang="en" role="mistake" name="zeroed_too_late"
# The loss is right, but the student's weights never change: `optimizer.step()` is missing, or it finds no gradients, since they
# were cleared after `backward()`. Clear them before it.
# %% [markdown] lang="vi" of="5f794a31"
# Giá trị của hàm mất mát đúng, nhưng trọng số của trò không hề đổi: thiếu `optimizer.step()`, hoặc nó không thấy gradient nào
# vì gradient bị xóa sau `backward()`. Hãy xóa trước đó.
# %% role="wrong" name="zeroed_too_late"
patch("    optimizer.zero_grad()\n    loss.backward()\n", "    loss.backward()\n    optimizer.zero_grad()\n")

# %% [markdown] lang="en" role="mistake" name="tensor_returned"
# All is right but the kind of the loss: a float is asked for, `loss.item()`. A tensor would keep the graph of every step alive.
# %% [markdown] lang="vi" of="f1ea5573"
# Mọi thứ đúng, trừ kiểu của giá trị hàm mất mát: cần một số float, `loss.item()`. Tensor sẽ giữ đồ thị của mọi bước trong bộ
# nhớ.
# %% role="wrong" name="tensor_returned"
patch("return loss.item()", "return loss")

# %% [markdown] lang="en" role="mistake" name="weight_of_s"
# The weight is that of the step's end, s. It belongs to t, where the student is asked. (At s = 0 it is infinite.)
# %% [markdown] lang="vi" of="285f6854"
# Trọng số này là của điểm cuối bước, s. Nó phải ứng với t, nơi trò được hỏi. (Ở s = 0 nó vô hạn.)
# %% role="wrong" name="weight_of_s"
patch("(schedule.alpha(t) / schedule.sigma(t))", "(schedule.alpha(t - 1 / steps) / schedule.sigma(t - 1 / steps))")

# %% [markdown] lang="en" role="mistake" name="absolute_error"
# These are absolute errors. Square them.
# %% [markdown] lang="vi" of="66b97979"
# Đây là sai số tuyệt đối. Hãy bình phương.
# %% role="wrong" name="absolute_error"
patch("(guess - aim).square()", "(guess - aim).abs()")

# %% [markdown] lang="en" role="mistake" name="x0_by_hand"
# α x − σ v is x0 only where α² + σ² = 1, as in the cosine schedule. The flow schedule mixes otherwise. `denoiser_of` makes the
# right x0 of v for every schedule.
# %% [markdown] lang="vi" of="494f5ee9"
# α x − σ v chỉ là x0 khi α² + σ² = 1, như ở lịch cosine. Lịch flow trộn theo cách khác. `denoiser_of` tính đúng x0 từ v cho mọi
# lịch nhiễu.
# %% role="wrong" name="x0_by_hand"
patch("guess, _ = denoiser_of(network, schedule, labels)(x, t) ",
      "v = network(x, schedule.timestep(t), labels=labels)\n"
      "    guess = per_example(schedule.alpha(t), x) * x - per_example(schedule.sigma(t), x) * v ")

# %% [markdown] lang="en" role="mistake" name="weight_squared"
# The error was multiplied with the weight before it was squared, so the weight is squared as well. Square first.
# %% [markdown] lang="vi" of="27901b0a"
# Sai số được nhân trọng số trước khi bình phương, nên trọng số cũng bị bình phương. Hãy bình phương trước.
# %% role="wrong" name="weight_squared"
patch("(weight * (guess - aim).square().flatten(1).mean(1))", "(weight * (guess - aim).flatten(1).T).square().mean(0)")

# %% role="library"
import torch

from minidiff.diffusion.distillation import two_step_target
from minidiff.diffusion.guidance import combine
from minidiff.diffusion.prediction import to_x0_eps


def distil_step(network, teacher, optimizer, schedule, x0, eps, t, labels, steps, scale):
    """The loss as one of v, whose errors are those of x0 over sigma (with the cosine schedule alone)."""
    nothing = torch.full_like(labels, 18)

    def guided(x, t):
        two = [teacher(x, schedule.timestep(t), labels=one) for one in (labels, nothing)]
        return to_x0_eps(schedule, "v", combine(*two, scale), x, t)

    x = schedule.mix(x0, eps, t)
    aim = two_step_target(schedule, guided, x, t, t - 1 / steps)
    guess, _ = to_x0_eps(schedule, "v", network(x, schedule.timestep(t), labels=labels), x, t)
    snr = (2 * schedule.log_snr_half(t)).exp()
    rows = torch.stack([torch.nn.functional.mse_loss(one, other) for one, other in zip(guess, aim)])
    loss = torch.dot(torch.maximum(snr, torch.ones_like(snr)), rows) / len(rows)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())

# %% role="payoff"
data = to_tensor(portraits(18 * 24)).unflatten(0, (24, 18))[:, labels]


def draw(distil_step: Callable) -> Tensor:
    student = deepcopy(unet).requires_grad_(True)
    calm = torch.optim.swa_utils.AveragedModel(student)         # of its last 16 weights
    dice = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(student.parameters(), lr=2e-4)
    for k in range(40):
        x0 = data[k % 24]                                       # (4, 3, 32, 32)
        t = torch.randint(1, 3, (4,), generator=dice) / 2
        eps = torch.randn(x0.shape, generator=dice)
        distil_step(student, unet, optimizer, schedule, x0, eps, t, labels, 2, 2.0)
        if k >= 24:
            calm.update_parameters(student)
    who = [(unet, 1, 2), (calm, 1, 2), (unet, 2, 2), (unet, 2, 4)]
    tiles = []
    for network, scale, steps in who:
        model = denoiser_of(network, schedule, labels, scale)
        with torch.inference_mode():
            *_, last = sample(model, noise, schedule, uniform(schedule, steps))
        tiles.append(last.x)
    return tiled([tiles[:2], tiles[2:]])                        # (4, 3, 64, 64)


payoff(draw, distil_step, tolerance=0.02)
