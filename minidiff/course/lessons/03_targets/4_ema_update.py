"""Exercise 03.4, ema_update: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="2" minutes="12"
# ## An average that follows
#
# One update of an EMA, with the warm-up. `average` maps the names of `model.state_dict()` to tensors. What is floating point
# follows the model; the rest (counters) is copied. Change the tensors in place, and keep no graph.
#
# The payoff lets the weights of the shipped model jitter, after a start from nothing, and draws with your average of 60 such
# models. The row at the bottom is the last of them alone, without averaging.
# %% [markdown] lang="vi" of="594a75e9"
# ## Một trung bình biết đi theo
#
# Một lần cập nhật EMA, có khởi động. `average` ánh xạ các tên trong `model.state_dict()` tới tensor. Số thực thì đi theo mô
# hình; phần còn lại (bộ đếm) thì chép lại. Hãy sửa tensor tại chỗ, và không giữ đồ thị.
#
# Phần thưởng: trọng số của mô hình có sẵn bị làm rung, sau khi bắt đầu từ con số không; ta vẽ bằng trung bình của bạn trên 60
# mô hình như thế. Hàng dưới cùng là riêng mô hình cuối cùng trong số đó, không lấy trung bình.

# %% [markdown] lang="en" role="hints"
# `value.is_floating_point()` tells weights from counters.
# ---
# `average[name] = ...` puts a new tensor into the dictionary; `average[name].something_(...)` changes the one that is there.
# ---
# `a.lerp_(b, w)` makes a of (1 - w) a + w b, in place.
# %% [markdown] lang="vi" of="fc014ea7"
# `value.is_floating_point()` phân biệt trọng số với bộ đếm.
# ---
# `average[name] = ...` đặt một tensor mới vào dictionary; `average[name].something_(...)` sửa chính tensor đang ở đó.
# ---
# `a.lerp_(b, w)` biến a thành (1 - w) a + w b, tại chỗ.

# %% [markdown] lang="en" role="stub"
# One update of the average, in place: average, a tensor for each name in
# model.state_dict(), of the same shape and dtype; decay, 0 to 1; updates, how many
# were made before this one, 0 at first. Returns nothing.
# ---
# 1. the decay of this update: min(decay, (1 + n) / (10 + n))
# 2. for every name and value of the model's state_dict:
#    floating point: average <- decay average + (1 - decay) value, in place
#    else: copy
# %% [markdown] lang="vi" of="13446cd0"
# Một lần cập nhật trung bình, tại chỗ: average, mỗi tên trong model.state_dict()
# một tensor, cùng kích thước và kiểu số; decay, từ 0 đến 1; updates, số lần đã cập
# nhật trước lần này, lúc đầu là 0. Không trả về gì.
# ---
# 1. decay của lần cập nhật này: min(decay, (1 + n) / (10 + n))
# 2. với từng tên và giá trị trong state_dict của mô hình:
#    số thực: average <- decay average + (1 - decay) giá trị, tại chỗ
#    còn lại: chép

# %% role="solution"
@torch.no_grad()
def ema_update(
    average: dict[str, Tensor], model: nn.Module, decay: float, updates: int
) -> None:
    decay = min(decay, (1 + updates) / (10 + updates))
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)

# %% [markdown] lang="en" role="checks"
# - nothing is lost and no shape changes
# - weights after many updates
# - weights at the first update (warm-up)
# - buffers follow too; counters are copied
# - in place, without a graph, and the model is left alone
# - twenty updates in a row, of a model without buffers
# %% [markdown] lang="vi" of="f2afaa32"
# - không mất tensor nào, không đổi kích thước
# - trọng số sau nhiều lần cập nhật
# - trọng số ở lần cập nhật đầu tiên (khởi động)
# - buffer cũng đi theo; bộ đếm thì được chép lại
# - tại chỗ, không giữ đồ thị, không đụng vào mô hình
# - hai mươi lần cập nhật liên tiếp, với mô hình không có buffer

# %% role="probes"
import torch
from torch import nn

# parameters, float buffers (running mean and variance), an integer one (batches seen)
MODEL = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).double()
for index, value in enumerate(MODEL.state_dict().values()):
    value.copy_(index + torch.arange(value.numel()).reshape(value.shape) / 8)
MODEL[1].num_batches_tracked.fill_(13)
AVERAGE = {k: torch.full_like(v, -1) for k, v in MODEL.state_dict().items()}
BEFORE = {"average": AVERAGE, "model": MODEL}
DECAY = 0.8
WALK = torch.randn(20, 1, 2, generator=torch.Generator().manual_seed(34))


def shapes(f, average, model):
    f(average, model, DECAY, 500)
    return {name: list(value.shape) for name, value in average.items()}


def of_weights(f, average, model):
    """The average of what has gradients."""
    f(average, model, DECAY, 500)
    return {name: average[name] for name, _ in model.named_parameters()}


def first_and_late(f, average, model):
    """A weight after the first update, and after one of many."""
    late = {name: value.clone() for name, value in average.items()}
    f(average, model, DECAY, 0)
    f(late, model, DECAY, 500)
    return {"first": average["0.weight"], "late": late["0.weight"]}


def of_all(f, average, model):
    f(average, model, DECAY, 500)
    return average


def manners(f, average, model):
    """What an update must leave alone."""
    held = dict(average)
    fresh = {name: value.clone() for name, value in model.state_dict().items()}
    f(average, model, DECAY, 500)
    now = model.state_dict()
    return {
        "same tensors as before": all(average[name] is held[name] for name in held),
        "average needs a gradient": any(v.requires_grad for v in average.values()),
        "model is untouched": all(torch.equal(now[k], fresh[k]) for k in fresh),
    }


def in_a_row(f, average, walk):
    """The average after each update, while the model's one weight walks."""
    model = nn.Linear(2, 1, bias=False).requires_grad_(False)
    trace = []
    for updates, weight in enumerate(walk):
        model.weight.copy_(weight)
        f(average, model, 0.6, updates)
        trace.append(average["weight"].clone())
    return torch.stack(trace)


probe(shapes, changes=("average",), **BEFORE)
probe(of_weights, points=2, changes=("average",), **BEFORE)
probe(first_and_late, changes=("average",), **BEFORE)
probe(of_all, changes=("average",), **BEFORE)
probe(manners, changes=("average",), **BEFORE)
probe(in_a_row, changes=("average",), average={"weight": torch.zeros(1, 2)}, walk=WALK)

# %% [markdown] lang="en" role="mistake" name="changes_nothing"
# The average is as it was. If the name `average`, or the loop's variable, was given a new dictionary or tensor, the caller's
# never heard of it: change the tensors themselves (an in-place operation ends in _).
# %% [markdown] lang="vi" of="1c4cb8ee"
# Giá trị trung bình vẫn y như cũ. Nếu bạn gán cho tên `average`, hoặc cho biến lặp, một dictionary hay tensor mới thì nơi gọi
# hàm không hề biết: hãy sửa chính các tensor (phép toán tại chỗ có tên kết thúc bằng _).
# %% role="wrong" name="changes_nothing"
patch("average[name].lerp_(", "average[name].lerp(")
patch("average[name].copy_(value)", "value.clone()")

# %% [markdown] lang="en" role="mistake" name="decay_swapped"
# The decay weighs the wrong one of the two. A decay near 1 means: keep almost all of the average, take in a little of the new
# weights.
# %% [markdown] lang="vi" of="2773fb31"
# Hệ số decay đang nhân nhầm đại lượng. Decay gần 1 nghĩa là: giữ gần hết giá trị trung bình cũ, chỉ nhận một chút trọng số mới.
# %% role="wrong" name="decay_swapped"
patch("lerp_(value, 1 - decay)", "lerp_(value, decay)")

# %% [markdown] lang="en" role="mistake" name="no_warm_up"
# The decay is used from the first update on, so the untrained weights stay in the average for long. At update n it is
# min(decay, (1 + n) / (10 + n)): 0.1 at first.
# %% [markdown] lang="vi" of="ae2550cb"
# Bạn dùng ngay decay từ lần cập nhật đầu, nên các trọng số chưa học còn nằm lại rất lâu trong trung bình. Ở lần cập nhật n, nó
# là min(decay, (1 + n) / (10 + n)): lúc đầu chỉ 0.1.
# %% role="wrong" name="no_warm_up"
patch("min(decay, (1 + updates) / (10 + updates))", "decay")

# %% [markdown] lang="en" role="mistake" name="late_warm_up"
# The first updates are skipped, so the average stays at the untrained weights. The warm-up is the opposite: the first updates
# take in most of the new weights.
# %% [markdown] lang="vi" of="d3198313"
# Bạn bỏ qua những lần cập nhật đầu nên trung bình vẫn là trọng số chưa học. Khởi động thì ngược lại: những lần đầu nhận gần hết
# trọng số mới.
# %% role="wrong" name="late_warm_up"
patch("min(decay, (1 + updates) / (10 + updates))", "decay if updates > 10 else 1.0")

# %% [markdown] lang="en" role="mistake" name="only_parameters"
# Only parameters are followed. Buffers, such as a normalisation's running mean, are part of what the model computes with:
# state_dict() has both, and integer counters in it are copied.
# %% [markdown] lang="vi" of="62c0c64c"
# Mới chỉ có tham số được đi theo. Buffer, chẳng hạn trung bình chạy của lớp chuẩn hóa, cũng tham gia tính toán: state_dict()
# chứa cả hai, còn bộ đếm số nguyên trong đó thì chép lại.
# %% role="wrong" name="only_parameters"
patch("model.state_dict().items()", "model.named_parameters()")

# %% [markdown] lang="en" role="mistake" name="new_tensors"
# The numbers are right, but `average` now holds new tensors. Whoever had the old ones (a model that samples with them) goes on
# with stale weights, and every step needs new memory: update in place, with lerp_ or mul_ and add_.
# %% [markdown] lang="vi" of="b117d31b"
# Số thì đúng, nhưng `average` giờ giữ các tensor mới. Ai đang giữ tensor cũ (chẳng hạn mô hình dùng để sinh ảnh) sẽ tiếp tục
# chạy với trọng số cũ, và bước nào cũng phải xin thêm bộ nhớ: hãy cập nhật tại chỗ bằng lerp_ hoặc mul_ rồi add_.
# %% role="wrong" name="new_tensors"
patch("average[name].lerp_(", "average[name] = average[name].lerp(")
patch("average[name].copy_(value)", "average[name] = value.clone()")

# %% [markdown] lang="en" role="mistake" name="keeps_the_graph"
# The average requires gradients: every update keeps the graph of the one before, and memory grows until it is full. Work under
# torch.no_grad() or on detached values.
# %% [markdown] lang="vi" of="52c69af8"
# Giá trị trung bình đang đòi gradient: mỗi lần cập nhật giữ lại đồ thị của lần trước, bộ nhớ phình ra đến khi đầy. Hãy làm
# trong torch.no_grad() hoặc trên giá trị đã detach.
# %% role="wrong" name="keeps_the_graph"
patch("@torch.no_grad()\n", "")
patch("model.state_dict()", "model.state_dict(keep_vars=True)")

# %% [markdown] lang="en" role="mistake" name="one_ahead"
# The warm-up is one update ahead. `updates` counts those made before this one, so it is n itself: the first decay is 1 / 10,
# not 2 / 11.
# %% [markdown] lang="vi" of="f6f8a317"
# Khởi động bị lệch trước một lần cập nhật. `updates` đếm những lần trước lần này nên nó chính là n: decay đầu tiên là 1 / 10,
# không phải 2 / 11.
# %% role="wrong" name="one_ahead"
patch("(1 + updates) / (10 + updates)", "(2 + updates) / (11 + updates)")

# %% [markdown] lang="en" role="mistake" name="larger_decay"
# The larger of the two decays is taken. So the warm-up never lets go of the untrained weights, and later, when
# (1 + n) / (10 + n) nears 1, the average stands still: take the smaller.
# %% [markdown] lang="vi" of="8c590a91"
# Bạn lấy số lớn hơn trong hai decay. Như vậy phần khởi động không hề buông các trọng số chưa học, và về sau, khi
# (1 + n) / (10 + n) gần 1, trung bình đứng yên: hãy lấy số nhỏ hơn.
# %% role="wrong" name="larger_decay"
patch("min(decay,", "max(decay,")

# %% [markdown] lang="en" role="mistake" name="no_limit"
# `decay` itself is never used: (1 + n) / (10 + n) grows towards 1, so late updates hardly change the average. It holds for the
# beginning, until it exceeds `decay`.
# %% [markdown] lang="vi" of="6d39342b"
# Chính `decay` thì không được dùng: (1 + n) / (10 + n) tiến dần đến 1 nên các lần cập nhật muộn hầu như không đổi được trung
# bình. Nó chỉ áp dụng lúc đầu, cho đến khi vượt `decay`.
# %% role="wrong" name="no_limit"
patch("min(decay, (1 + updates) / (10 + updates))", "(1 + updates) / (10 + updates)")

# %% [markdown] lang="en" role="mistake" name="counters_forgotten"
# Counters stay as they were. What isn't floating point, such as the number of batches that a normalisation has seen, must be
# copied, or a model loaded from the average goes on with an old count.
# %% [markdown] lang="vi" of="01210861"
# Bộ đếm vẫn như cũ. Thứ không phải số thực, chẳng hạn số lô mà lớp chuẩn hóa đã thấy, phải được chép lại, nếu không mô hình nạp
# từ bản trung bình sẽ chạy tiếp với số đếm cũ.
# %% role="wrong" name="counters_forgotten"
patch("average[name].copy_(value)", "pass")

# %% [markdown] lang="en" role="mistake" name="counters_averaged"
# Counters were averaged like weights, and what was left of them cut to a whole number. A mean of counts means nothing: copy
# them.
# %% [markdown] lang="vi" of="eb96d994"
# Bộ đếm bị lấy trung bình như trọng số, rồi phần lẻ bị cắt bỏ. Trung bình của các số đếm không có nghĩa gì: hãy chép lại.
# %% role="wrong" name="counters_averaged"
patch(
    "average[name].copy_(value)",
    "average[name].copy_(decay * average[name] + (1 - decay) * value)",
)

# %% [markdown] lang="en" role="mistake" name="counters_lerped"
# A counter is an integer tensor, and `lerp_` is not made for integers: PyTorch stops. Ask each value whether it is floating
# point, and copy those that aren't.
# %% [markdown] lang="vi" of="75b4284c"
# Bộ đếm là tensor số nguyên, mà `lerp_` không làm việc với số nguyên: PyTorch báo lỗi. Hãy hỏi từng giá trị xem nó có phải số
# thực không, và chép lại những giá trị không phải.
# %% role="wrong" name="counters_lerped"
patch("value.is_floating_point()", "True")

# %% [markdown] lang="en" role="mistake" name="counters_scaled"
# A counter is an integer tensor, which can't take the fractions that `mul_` and `add_` would put into it: PyTorch stops. Only
# what is floating point is averaged, the rest is copied.
# %% [markdown] lang="vi" of="ecf661e6"
# Bộ đếm là tensor số nguyên, không chứa được số lẻ mà `mul_` và `add_` muốn ghi vào: PyTorch báo lỗi. Chỉ lấy trung bình những
# gì là số thực, phần còn lại thì chép.
# %% role="wrong" name="counters_scaled"
patch(
    "average[name].copy_(value)",
    "average[name].mul_(decay).add_(value, alpha=1 - decay)",
)

# %% [markdown] lang="en" role="mistake" name="all_anew"
# Two things: `average` holds new tensors, where those that are there should be changed; and counters were averaged and became
# fractions, where they should be copied.
# %% [markdown] lang="vi" of="35b97205"
# Có hai chuyện: `average` giữ các tensor mới, trong khi phải sửa những tensor đang có; và bộ đếm bị lấy trung bình thành số lẻ,
# trong khi phải được chép lại.
# %% role="wrong" name="all_anew"
def ema_update(average, model, decay, updates):
    decay = min(decay, (1 + updates) / (10 + updates))
    for name, value in model.state_dict().items():
        average[name] = decay * average[name] + (1 - decay) * value

# %% [markdown] lang="en" role="mistake" name="buffers_copied"
# Buffers of floating point, such as a running mean, were copied. They belong to what the model computes with, so they are
# averaged as the weights are: only integers are copied.
# %% [markdown] lang="vi" of="e081a175"
# Các buffer số thực, chẳng hạn trung bình chạy, bị chép lại. Chúng cũng tham gia tính toán nên phải được lấy trung bình như
# trọng số: chỉ chép số nguyên.
# %% role="wrong" name="buffers_copied"
patch("value.is_floating_point()", "name in dict(model.named_parameters())")

# %% role="library"
from minidiff.train.ema import EMA


def ema_update(average, model, decay, updates):
    ema = EMA(model, decay)
    ema.average, ema.updates = average, updates     # goes on from a given average
    ema.update(model)

# %% role="payoff"
from copy import deepcopy

own, jittery = pipe.network.unet, deepcopy(pipe.network.unet).requires_grad_(False)


def drawn_by(unet):
    def jittered(x, timestep):
        return unet(x, timestep, labels=labels)

    return drawn(denoiser(jittered, schedule, "v"))


def draw(ema_update):
    generator = torch.Generator().manual_seed(0)
    average = {k: torch.zeros_like(v) for k, v in own.state_dict().items()}
    for n in range(60):
        for value, goal in zip(jittery.parameters(), own.parameters(), strict=True):
            jitter = torch.randn(goal.shape, generator=generator).to(goal)
            value.copy_(goal + 0.2 * goal.std(correction=0) * jitter)
        ema_update(average, jittery, 0.98, n)
    averaged = deepcopy(own)
    averaged.load_state_dict(average)
    return drawn_by(averaged)


payoff(draw, ema_update)
show(drawn_by(jittery))
