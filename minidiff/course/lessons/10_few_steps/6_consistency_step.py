"""Exercise 10.6, consistency_step: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="4" minutes="20"
# ## Debugging: everything lands in the middle
#
# A consistency model (Song et al. 2023) should say at **every** time of a path where that path ends, so that one call is
# enough. At time 0 it returns x, whatever its weights. From there knowledge is handed on to later times: what it says at time t
# must agree with what it says at the earlier time s, for the same x0 and the same eps. Its only teacher is its own past. A slow
# *average* of its weights gives the target, and no gradient enters that. After each step of the network the average follows:
# average ← decay · average + (1 − decay) · network.
#
# The cell below trains on five points with somebody's `broken_step`. Three hundred noises should land near them, after one
# step. They gather in the middle: what agrees with itself most easily is one answer for all. **Three things** are wrong. While
# you mend them, `check` tells you what is left. The last cell trains with your function: on the left after 100 steps, on the
# right after 700.
# %% [markdown] lang="vi" of="8cb21c56"
# ## Gỡ lỗi: mọi thứ đều rơi vào giữa
#
# Mô hình nhất quán (consistency model, Song và cộng sự 2023) phải nói được, ở **mọi** thời điểm của một đường đi, đường ấy kết
# thúc ở đâu; nhờ vậy một lần gọi mạng là đủ. Ở thời điểm 0 nó trả về x, bất kể trọng số. Từ đó hiểu biết được truyền dần đến
# các thời điểm muộn hơn: điều nó nói ở thời điểm t phải khớp với điều nó nói ở thời điểm s sớm hơn, với cùng x0 và cùng eps.
# Người thầy duy nhất của nó là quá khứ của chính nó. Một *trung bình* thay đổi chậm của các trọng số cho ra mục tiêu, và không
# gradient nào đi vào đó. Sau mỗi bước của mạng, trung bình đi theo: trung bình ← decay · trung bình + (1 − decay) · mạng.
#
# Ô dưới đây huấn luyện trên năm điểm bằng `broken_step` của ai đó. Sau một bước, ba trăm nhiễu lẽ ra phải rơi gần các điểm ấy.
# Chúng lại tụ vào giữa: cách dễ nhất để tự khớp với mình là một câu trả lời cho tất cả. Có **ba lỗi**. Trong khi bạn sửa,
# `check` cho biết còn gì. Ô cuối cùng huấn luyện bằng hàm của bạn: bên trái sau 100 bước, bên phải sau 700 bước.

# %% role="shown"
def broken_step(
    network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer,
    schedule: NoiseSchedule, x0: Tensor, eps: Tensor, t: Tensor, s: Tensor,
    decay: float,
) -> float:
    x_t, x_s = schedule.mix(x0, eps, t), schedule.mix(x0, eps, s)   # (B, ...)
    target = network(x_s, s)                          # (B, ...)
    loss = F.mse_loss(network(x_t, t), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for slow, new in zip(average.parameters(), network.parameters(), strict=True):
            slow.lerp_(new, decay)
    return loss.item()


def trained(step: Callable, count: int) -> Tensor:
    """Where 300 noises land in one step of the average, after `count` steps."""
    torch.manual_seed(0)
    network, dice = Consistent(), torch.Generator().manual_seed(1)
    average = deepcopy(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for k in range(count):
        x0 = spots[torch.randint(5, (192,), generator=dice)]
        t = torch.randint(1, 13, (192,), generator=dice).double() / 12
        eps, s = points(192, seed=k), t - 1 / 12
        step(network, average, optimizer, flow, x0, eps, t, s, 0.9)
    with torch.no_grad():
        return drawing(average(points(300, seed=1001), torch.ones(300).double()))


show([drawing(spots, 0.1), trained(broken_step, 700)], titles=["the data", "one step"])

# %% [markdown] lang="en" role="hints"
# Which of the two networks gives the target, and which one learns? Say it in a sentence, then read the line of `target`.
# ---
# After `loss.backward()`, which weights have a `.grad`? The target should leave no trace: compute it under `torch.no_grad()`.
# ---
# `slow.lerp_(new, w)` makes (1 - w) slow + w new of it. With a decay of 0.9 the average keeps nine tenths of itself: which w is
# that?
# %% [markdown] lang="vi" of="461b8bc0"
# Trong hai mạng, mạng nào cho mục tiêu và mạng nào học? Hãy nói thành một câu, rồi đọc dòng của `target`.
# ---
# Sau `loss.backward()`, những trọng số nào có `.grad`? Mục tiêu không được để lại dấu vết: hãy tính nó trong `torch.no_grad()`.
# ---
# `slow.lerp_(new, w)` biến nó thành (1 - w) slow + w new. Với decay 0.9, trung bình giữ lại chín phần mười của chính nó: w nào
# làm điều đó?

# %% [markdown] lang="en" role="stub" given="as_given"
# One training step of a consistency model on x0, eps (B, ...), at times t (B,)
# against s (B,), s < t. network and average: (x, time (B,)) -> x0. The network
# learns, in one step of the optimizer; then the average follows it. Returns the
# mean squared error, a float.
# ---
# 1. mend the three mistakes above
# 2. delete the next line
# %% [markdown] lang="vi" of="e51224ea"
# Một bước huấn luyện mô hình nhất quán trên x0, eps (B, ...), ở thời điểm t (B,)
# so với s (B,), s < t. network và average: (x, thời điểm (B,)) -> x0. network học,
# qua một bước của bộ tối ưu; rồi average đi theo nó. Trả về trung bình bình phương
# sai số, kiểu float.
# ---
# 1. sửa ba lỗi ở trên
# 2. xóa dòng tiếp theo

# %% role="solution"
def consistency_step(
    network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer,
    schedule: NoiseSchedule, x0: Tensor, eps: Tensor, t: Tensor, s: Tensor,
    decay: float,
) -> float:
    x_t, x_s = schedule.mix(x0, eps, t), schedule.mix(x0, eps, s)   # (B, ...)
    with torch.no_grad():
        target = average(x_s, s)                                    # (B, ...)
    loss = F.mse_loss(network(x_t, t), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for slow, new in zip(average.parameters(), network.parameters(), strict=True):
            slow.lerp_(new, 1 - decay)
    return loss.item()

# %% [markdown] lang="en" role="checks"
# - a float
# - the loss
# - the loss of one picture against clean data, s = 0
# - the network's weights after one step
# - the average after one step
# - the target leaves no gradient behind
# - both after three steps
# - with decay 1 the average stays, with decay 0 it is the network
# %% [markdown] lang="vi" of="8d934ab6"
# - một số float
# - giá trị của hàm mất mát
# - giá trị của hàm mất mát của một bức so với dữ liệu sạch, s = 0
# - trọng số của mạng sau một bước
# - trung bình sau một bước
# - mục tiêu không để lại gradient nào
# - cả hai sau ba bước
# - decay 1 thì trung bình đứng yên, decay 0 thì nó chính là mạng

# %% role="probes"
import torch
from torch import nn

from minidiff.diffusion.schedules import get_schedule


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Consistent(nn.Module):
    """Returns x at time 0. It takes a time for each row."""

    def __init__(self, seed):
        super().__init__()
        self.gain, self.shift = nn.Parameter(0.5 + normal(3, seed=seed)), nn.Parameter(normal(3, seed=seed + 1))

    def forward(self, x, t):
        if t.shape != x.shape[:1]:
            raise ValueError(f"There are times of shape {tuple(t.shape)} for {len(x)} rows; give one each.")
        gain, shift = (part.reshape(3, *[1] * (x.ndim - 2)) for part in (self.gain, self.shift))
        return x + t.to(x).reshape(-1, *[1] * (x.ndim - 1)) * torch.tanh(gain * x + shift)


def stepped(f, times=1, schedule="flow", **inputs):
    """The losses of some steps, the network and its average, which takes part in graphs like any network."""
    network, average = Consistent(71), Consistent(81)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.3)
    losses = [f(network, average, optimizer, get_schedule(schedule), **inputs) for _ in range(times)]
    return losses, network, average


def weights(network):
    return {name: value.detach().clone() for name, value in network.named_parameters()}


def kind(f, **inputs):
    return type(stepped(f, **inputs)[0][0]).__name__


def loss(f, **inputs):
    return float(torch.as_tensor(stepped(f, **inputs)[0][0]).detach())


def of_network(f, **inputs):
    return weights(stepped(f, **inputs)[1])


def of_average(f, **inputs):
    return weights(stepped(f, **inputs)[2])


def left_behind(f, **inputs):
    _, network, average = stepped(f, **inputs)
    found = {"gradients of the average": [name for name, value in average.named_parameters() if value.grad is not None]}
    return found | {"learn": [name for name, value in network.named_parameters() if value.grad is not None]}


def after_three(f, **inputs):
    losses, network, average = stepped(f, times=3, **inputs)
    losses = [float(torch.as_tensor(loss).detach()) for loss in losses]
    return {"losses": losses, "network": weights(network), "average": weights(average)}


def extremes(f, decay, **inputs):
    return [weights(stepped(f, decay=one, **inputs)[2]) for one in decay]


GIVEN = {"x0": normal(4, 3, seed=91), "eps": normal(4, 3, seed=92)}
GIVEN |= {"t": torch.tensor([1.0, 0.5, 0.75, 0.25], dtype=torch.float64)}
GIVEN |= {"s": torch.tensor([0.75, 0.25, 0.5, 0.0], dtype=torch.float64), "decay": 0.8}
CLEAN = {"x0": normal(1, 3, 2, 4, seed=93), "eps": normal(1, 3, 2, 4, seed=94), "decay": 0.95, "schedule": "cosine"}
CLEAN |= {"t": torch.tensor([0.4], dtype=torch.float64), "s": torch.zeros(1, dtype=torch.float64)}

probe(kind, **GIVEN)
probe(loss, points=2, **GIVEN)
probe(loss, **CLEAN)
probe(of_network, **GIVEN)
probe(of_average, points=2, **GIVEN)
probe(left_behind, **GIVEN)
probe(after_three, **GIVEN)
probe(extremes, **{**GIVEN, "decay": [1.0, 0.0]})

# %% [markdown] lang="en" role="mistake" name="as_given"
# Target and prediction come from one network, and the gradient goes into both: it moves the target towards the prediction, so
# both meet in the middle. Begin with the target. And the average moves the wrong way, as in the step that was given.
# %% [markdown] lang="vi" of="2e5b13b3"
# Mục tiêu và dự đoán đến từ cùng một mạng, và gradient chạy vào cả hai: nó kéo mục tiêu về phía dự đoán, nên cả hai gặp nhau ở
# giữa. Hãy bắt đầu từ mục tiêu. Ngoài ra trung bình di chuyển sai hướng, như trong hàm được cho.
# %% role="wrong" name="as_given"
def consistency_step(
    network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer,
    schedule: NoiseSchedule, x0: Tensor, eps: Tensor, t: Tensor, s: Tensor,
    decay: float,
) -> float:
    x_t, x_s = schedule.mix(x0, eps, t), schedule.mix(x0, eps, s)   # (B, ...)
    target = network(x_s, s)                          # (B, ...)
    loss = F.mse_loss(network(x_t, t), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for slow, new in zip(average.parameters(), network.parameters(), strict=True):
            slow.lerp_(new, decay)
    return loss.item()

# %% [markdown] lang="en" role="mistake" name="one_network_with_gradient"
# The average moves as it should now. But the target still comes from the network that learns, and keeps its gradient: it is
# pulled towards the prediction.
# %% [markdown] lang="vi" of="ddfff7d4"
# Trung bình giờ đã di chuyển đúng. Nhưng mục tiêu vẫn đến từ mạng đang học, và giữ gradient: nó bị kéo về phía dự đoán.
# %% role="wrong" name="one_network_with_gradient"
patch("    with torch.no_grad():\n        target = average(x_s, s)  ", "    if True:\n        target = network(x_s, s)  ")

# %% [markdown] lang="en" role="mistake" name="one_network_and_decay"
# No gradient enters the target any more. Two things are left: it comes from the network that learns, where the average should
# be asked; and the average moves the wrong way.
# %% [markdown] lang="vi" of="51b0191c"
# Không còn gradient nào đi vào mục tiêu. Còn hai chỗ: mục tiêu đến từ mạng đang học, trong khi phải hỏi trung bình; và trung
# bình di chuyển sai hướng.
# %% role="wrong" name="one_network_and_decay"
patch("average(x_s, s)  ", "network(x_s, s)  ")
patch("lerp_(new, 1 - decay)", "lerp_(new, decay)")

# %% [markdown] lang="en" role="mistake" name="gradient_and_decay"
# The average gives the target now. Two things are left: asking it leaves gradients behind, which nobody needs; and it moves the
# wrong way.
# %% [markdown] lang="vi" of="14490109"
# Giờ trung bình đã cho mục tiêu. Còn hai chỗ: lần gọi nó để lại gradient mà không ai cần; và nó di chuyển sai hướng.
# %% role="wrong" name="gradient_and_decay"
patch("    with torch.no_grad():\n        target = average(x_s, s)  ", "    if True:\n        target = average(x_s, s)  ")
patch("lerp_(new, 1 - decay)", "lerp_(new, decay)")

# %% [markdown] lang="en" role="mistake" name="online_target"
# The target comes from the network that learns. It jumps about with every step: ask the average, which is calm.
# %% [markdown] lang="vi" of="fe6033a2"
# Mục tiêu đến từ mạng đang học. Nó nhảy theo từng bước: hãy hỏi trung bình, vốn ổn định.
# %% role="wrong" name="online_target"
patch("average(x_s, s)  ", "network(x_s, s)  ")

# %% [markdown] lang="en" role="mistake" name="target_keeps_gradient"
# All numbers are right, but the target keeps its gradient: the average collects gradients that nobody uses, and the graph of a
# second call stays in memory. Compute the target under `torch.no_grad()`.
# %% [markdown] lang="vi" of="e4af6a53"
# Mọi con số đều đúng, nhưng mục tiêu giữ gradient: trung bình gom những gradient không ai dùng, và đồ thị của lần gọi mạng thứ
# hai nằm lại trong bộ nhớ. Hãy tính mục tiêu trong `torch.no_grad()`.
# %% role="wrong" name="target_keeps_gradient"
patch("    with torch.no_grad():\n        target = average(x_s, s)  ", "    if True:\n        target = average(x_s, s)  ")

# %% [markdown] lang="en" role="mistake" name="decay_on_the_new"
# The average moves the wrong way: decay weighs the new weights, so with 0.9 it forgets nearly all of itself in every step.
# `lerp_` takes the share of the new ones, 1 − decay.
# %% [markdown] lang="vi" of="43c2c600"
# Trung bình di chuyển sai hướng: decay đang là trọng số của phần mới, nên với 0.9 mỗi bước nó quên gần hết chính mình. `lerp_`
# nhận phần của cái mới, 1 − decay.
# %% role="wrong" name="decay_on_the_new"
patch("lerp_(new, 1 - decay)", "lerp_(new, decay)")

# %% [markdown] lang="en" role="mistake" name="average_stays"
# The average never moves, so its targets stay those of the first weights. Let it follow the network after each step, in place:
# `slow = ...` would only give its name to a new tensor.
# %% [markdown] lang="vi" of="104a3c98"
# Trung bình không bao giờ di chuyển, nên mục tiêu mãi là của các trọng số ban đầu. Hãy cho nó đi theo mạng sau mỗi bước, tại
# chỗ (in-place): `slow = ...` chỉ gán tên đó cho một tensor mới.
# %% role="wrong" name="average_stays"
patch("slow.lerp_(new, 1 - decay)", "pass")

# %% [markdown] lang="en" role="mistake" name="average_copied"
# The average is a copy of the network after every step: `decay` isn't used. It should keep decay of itself.
# %% [markdown] lang="vi" of="4ad065ff"
# Sau mỗi bước trung bình là bản sao của mạng: `decay` không được dùng. Nó phải giữ lại decay phần của chính mình.
# %% role="wrong" name="average_copied"
patch("slow.lerp_(new, 1 - decay)", "slow.copy_(new)")

# %% [markdown] lang="en" role="mistake" name="average_too_early"
# The average followed before the optimizer's step, so it lags one step behind. Let it follow at the end.
# %% [markdown] lang="vi" of="15244228"
# Trung bình đi theo trước bước của bộ tối ưu, nên nó chậm mất một bước. Hãy cho nó đi theo ở cuối.
# %% role="wrong" name="average_too_early"
def consistency_step(
    network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer,
    schedule: NoiseSchedule, x0: Tensor, eps: Tensor, t: Tensor, s: Tensor,
    decay: float,
) -> float:
    x_t, x_s = schedule.mix(x0, eps, t), schedule.mix(x0, eps, s)   # (B, ...)
    with torch.no_grad():
        target = average(x_s, s)
        for slow, new in zip(average.parameters(), network.parameters(), strict=True):
            slow.lerp_(new, 1 - decay)
    loss = F.mse_loss(network(x_t, t), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()

# %% [markdown] lang="en" role="mistake" name="network_follows"
# The network is moved towards the average, and the average stays. It is the other way round: the average follows.
# %% [markdown] lang="vi" of="bc6dcbe8"
# Mạng bị kéo về phía trung bình, còn trung bình đứng yên. Phải ngược lại: trung bình đi theo.
# %% role="wrong" name="network_follows"
patch("slow.lerp_(new, 1 - decay)", "new.lerp_(slow, 1 - decay)")

# %% [markdown] lang="en" role="mistake" name="average_learns"
# The roles are swapped: the average is asked at t and the network gives the target. The network predicts at the noisier time t
# and learns; the average answers at s.
# %% [markdown] lang="vi" of="c51a0e4c"
# Vai trò bị đổi: trung bình bị hỏi ở t còn mạng cho mục tiêu. Mạng dự đoán ở thời điểm nhiễu hơn t và học; trung bình trả lời ở
# s.
# %% role="wrong" name="average_learns"
patch("average(x_s, s)  ", "network(x_s, s)  ")
patch("network(x_t, t)", "average(x_t, t)")

# %% [markdown] lang="en" role="mistake" name="times_swapped"
# The times are swapped: the network learns at s, with the average at t as its target. Knowledge comes from clean data, so the
# target belongs to the earlier time s.
# %% [markdown] lang="vi" of="cd9a60d7"
# Các thời điểm bị đổi: mạng học ở s, với mục tiêu là trung bình ở t. Hiểu biết đến từ dữ liệu sạch, nên mục tiêu phải ở thời
# điểm s, sớm hơn.
# %% role="wrong" name="times_swapped"
patch("average(x_s, s)  ", "average(x_t, t)  ")
patch("network(x_t, t)", "network(x_s, s)")

# %% [markdown] lang="en" role="mistake" name="same_point"
# The target was asked at t as well, about the same x: it only tells the network what its average says already. It belongs to s,
# where there is less noise.
# %% [markdown] lang="vi" of="ed500651"
# Mục tiêu cũng bị hỏi ở t, về cùng x: nó chỉ cho mạng biết điều mà trung bình của nó vốn đã nói. Mục tiêu phải ở s, nơi ít
# nhiễu hơn.
# %% role="wrong" name="same_point"
patch("average(x_s, s)  ", "average(x_t, t)  ")

# %% [markdown] lang="en" role="mistake" name="x_of_t"
# The average was told time s, but was given the picture of time t, which holds more noise.
# %% [markdown] lang="vi" of="4ef874e1"
# Trung bình được báo thời điểm s, nhưng nhận bức tranh của thời điểm t, chứa nhiều nhiễu hơn.
# %% role="wrong" name="x_of_t"
patch("average(x_s, s)  ", "average(x_t, s)  ")

# %% [markdown] lang="en" role="mistake" name="time_of_t"
# The average was given the picture of time s, but was told time t.
# %% [markdown] lang="vi" of="e2194785"
# Trung bình nhận bức tranh của thời điểm s, nhưng lại được báo thời điểm t.
# %% role="wrong" name="time_of_t"
patch("average(x_s, s)  ", "average(x_s, t)  ")

# %% [markdown] lang="en" role="mistake" name="other_noise"
# The picture at s has fresh noise in it, so it is a point of another path. Both points need the same x0 and the same eps.
# %% [markdown] lang="vi" of="b470bc3f"
# Bức tranh ở s chứa nhiễu mới, nên nó là điểm của một đường khác. Cả hai điểm cần cùng x0 và cùng eps.
# %% role="wrong" name="other_noise"
patch("schedule.mix(x0, eps, s)", "schedule.mix(x0, torch.randn_like(eps), s)")

# %% [markdown] lang="en" role="mistake" name="data_as_target"
# The target is the data x0. That trains an ordinary denoiser, whose answer from pure noise is the average of all data: the
# middle. The target is what the average says at s.
# %% [markdown] lang="vi" of="8b5c7e98"
# Mục tiêu là dữ liệu x0. Như thế là huấn luyện một bộ khử nhiễu thông thường, câu trả lời của nó từ toàn nhiễu là trung bình
# của mọi dữ liệu: điểm giữa. Mục tiêu là điều trung bình nói ở s.
# %% role="wrong" name="data_as_target"
patch("average(x_s, s)  ", "x0  ")

# %% [markdown] lang="en" role="mistake" name="gradients_pile_up"
# Gradients pile up from step to step. `optimizer.zero_grad()` before `backward()`.
# %% [markdown] lang="vi" of="3361bb9a"
# Gradient bị cộng dồn từ bước này sang bước khác. Hãy gọi `optimizer.zero_grad()` trước `backward()`.
# %% role="wrong" name="gradients_pile_up"
patch("    optimizer.zero_grad()\n", "")

# %% [markdown] lang="en" role="mistake" name="nothing_learns"
# The network never changes: `optimizer.step()` is missing, or finds no gradients.
# %% [markdown] lang="vi" of="4ac98dbd"
# Mạng không hề thay đổi: thiếu `optimizer.step()`, hoặc nó không thấy gradient nào.
# %% role="wrong" name="nothing_learns"
patch("    optimizer.step()\n", "")

# %% [markdown] lang="en" role="mistake" name="tensor_returned"
# All is right but the kind of what is returned: a float is asked for, `loss.item()`.
# %% [markdown] lang="vi" of="aad47712"
# Mọi thứ đúng, trừ kiểu của thứ được trả về: cần một số float, `loss.item()`.
# %% role="wrong" name="tensor_returned"
patch("return loss.item()", "return loss")

# %% [markdown] lang="en" role="mistake" name="summed"
# The squares of the errors were added up. Take their mean.
# %% [markdown] lang="vi" of="1884c327"
# Các bình phương sai số bị cộng lại. Hãy lấy trung bình.
# %% role="wrong" name="summed"
patch('F.mse_loss(network(x_t, t), target)', 'F.mse_loss(network(x_t, t), target, reduction="sum")')

# %% role="library"
import torch

from minidiff.diffusion.samplers import step


def consistency_step(network, average, optimizer, schedule, x0, eps, t, s, decay):
    """A DDIM step with the true x0 and eps leads from x at t to x at s; torch's own average follows."""
    x_s = step(schedule, x0, eps, t, s)
    loss = (network(schedule.mix(x0, eps, t), t) - average(x_s, s).detach()).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    slow, new = ([value.data for value in one.parameters()] for one in (average, network))
    torch.optim.swa_utils.get_ema_multi_avg_fn(decay)(slow, new, 1)
    for value in average.parameters():
        value.grad = None
    return float(loss.detach())

# %% role="payoff"
def draw(consistency_step: Callable) -> Tensor:
    return torch.stack([trained(consistency_step, count) for count in (100, 700)])


payoff(draw, consistency_step)
