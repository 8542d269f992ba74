"""Exercises of lesson 03, what to predict: v, reading any prediction, min-SNR, EMA, and a training step to mend."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from minidiff.course.exercise import Exercise, Mistake, Probe, Say
from minidiff.diffusion.losses import diffusion_loss, min_snr_weight
from minidiff.diffusion.prediction import PREDICTION_TYPES, prediction_weights, target, to_x0_eps
from minidiff.diffusion.schedules import NoiseSchedule, get_schedule, per_example
from minidiff.train.ema import EMA

# --- 03.1: the target v -----------------------------------------------------------------------------------------------


def v_target(x0: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """The library's weights for "v", with the learner's signature."""
    a, b = prediction_weights("v", alpha, sigma)
    return a * eps + b * x0


def mixed(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x0, eps (4, 3, 2, 2), alpha, sigma (4, 1, 1, 1) at four times of the cosine schedule."""
    generator = torch.Generator().manual_seed(31)
    x0, eps = torch.randn(2, 4, 3, 2, 2, generator=generator, dtype=dtype)
    t, schedule = torch.tensor([0.1, 0.3, 0.6, 0.9], dtype=dtype), get_schedule("cosine")
    return x0, eps, per_example(schedule.alpha(t), x0), per_example(schedule.sigma(t), x0)


def undo_v(answer: Callable[..., Tensor]) -> dict[str, Tensor]:
    """The quarter turn back: from x and v to x0 and eps."""
    x0, eps, alpha, sigma = mixed()
    x, v = alpha * x0 + sigma * eps, answer(x0, eps, alpha, sigma)
    return {"alpha x - sigma v": alpha * x - sigma * v, "sigma x + alpha v": sigma * x + alpha * v}


V_TARGET = Exercise(
    number="03.1",
    name="v_target",
    reference=v_target,
    title=Say("The line that makes v", "Dòng lệnh tạo ra v"),
    difficulty=1,
    minutes=5,
    probes=(
        Probe(Say("v has the shape of x0", "v có kích thước của x0"), lambda f: list(f(*mixed()).shape)),
        Probe(Say("v keeps the dtype", "v giữ nguyên kiểu số"), lambda f: str(f(*mixed(torch.float32)).dtype)),
        Probe(Say("v, number by number", "từng giá trị của v"), lambda f: f(*mixed()), points=2),
        Probe(Say("turned back, x and v give x0 and eps", "xoay ngược lại, x và v cho lại x0 và eps"), undo_v),
    ),
    mistakes=(
        Mistake("sign", lambda x0, eps, alpha, sigma: sigma * x0 - alpha * eps, Say(
            "This is v with the opposite sign. v points the way in which x moves when t grows, towards the noise: which of "
            "the two, eps or x0, must then come with a plus?",
            "Đây là v nhưng ngược dấu. v chỉ theo hướng x di chuyển khi t tăng, tức là về phía nhiễu: vậy eps hay x0 phải "
            "mang dấu cộng?",
        )),
        Mistake("swapped", lambda x0, eps, alpha, sigma: sigma * eps - alpha * x0, Say(
            "alpha and sigma are swapped. Check the ends: at t = 0 (alpha 1, sigma 0) v must be pure eps, and yours is -x0.",
            "alpha và sigma bị đổi chỗ. Hãy thử ở hai đầu: tại t = 0 (alpha bằng 1, sigma bằng 0), v phải là eps thuần túy, "
            "còn của bạn là -x0.",
        )),
        Mistake("that_is_x", lambda x0, eps, alpha, sigma: alpha * x0 + sigma * eps, Say(
            "This is x_t itself: the network has it already, so it would learn to copy its input. v is at a right angle to "
            "it.",
            "Đây chính là x_t: mạng đã có sẵn nó nên sẽ chỉ học cách chép lại đầu vào. v vuông góc với x_t.",
        )),
        Mistake("plus", lambda x0, eps, alpha, sigma: alpha * eps + sigma * x0, Say(
            "The weights are right, but one sign is not: with two pluses v is not at a right angle to x = alpha x0 + sigma "
            "eps (multiply the weights pairwise and add: the sum should be 0).",
            "Hệ số đúng nhưng sai một dấu: với hai dấu cộng, v không vuông góc với x = alpha x0 + sigma eps (nhân từng cặp "
            "hệ số rồi cộng lại: tổng phải bằng 0).",
        )),
        Mistake("flow", lambda x0, eps, alpha, sigma: eps - x0, Say(
            "This is the target of flow, eps - x0, without weights. For v each of the two has a weight that depends on the "
            "time.",
            "Đây là mục tiêu của flow, eps - x0, không có hệ số. Với v, mỗi đại lượng có một hệ số phụ thuộc thời gian.",
        )),
    ),
)  # fmt: skip

# --- 03.2: reading a prediction ---------------------------------------------------------------------------------------


def predictions(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """pred, x (5, 2, 3), t (5,): any numbers will do, since nothing is learned here."""
    generator = torch.Generator().manual_seed(32)
    pred, x = torch.randn(2, 5, 2, 3, generator=generator, dtype=dtype)
    return pred, x, torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95], dtype=dtype)


def read(answer: Callable[..., Any], prediction_type: str, schedule: str = "cosine") -> list[Tensor]:
    pred, x, t = predictions()
    return list(answer(get_schedule(schedule), prediction_type, pred, x, t))


def remixed(answer: Callable[..., Any]) -> list[Tensor]:
    """What x0 and eps mix to, for every prediction type: x again."""
    pred, x, t = predictions()
    schedule = get_schedule("cosine")
    pairs = [answer(schedule, prediction_type, pred, x, t) for prediction_type in PREDICTION_TYPES]
    return [schedule.mix(x0, eps, t) for x0, eps in pairs]


def misread(
    prediction_type: str, wrong: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
) -> Callable[..., Any]:
    """Right for every prediction type but one, for which `wrong` makes (x0, eps) of (pred, x, alpha, sigma)."""

    def answer(schedule: NoiseSchedule, given: str, pred: Tensor, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        if given != prediction_type:
            return to_x0_eps(schedule, given, pred, x, t)
        return wrong(pred, x, per_example(schedule.alpha(t), x), per_example(schedule.sigma(t), x))

    return answer


def with_x0(
    x0_of: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
) -> Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """A wrong x0, and the eps that makes x of it."""

    def wrong(pred: Tensor, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        x0 = x0_of(pred, x, alpha, sigma)
        return x0, (x - alpha * x0) / sigma

    return wrong


READ = Exercise(
    number="03.2",
    name="x0_and_eps",
    reference=to_x0_eps,
    title=Say("Two equations, two unknowns", "Hai phương trình, hai ẩn"),
    difficulty=3,
    minutes=15,
    probes=(
        Probe(Say("x0 and eps have the shape of x", "x0 và eps có kích thước của x"),
              lambda f: [list(part.shape) for part in read(f, "v")]),
        Probe(Say("float32 stays float32", "float32 vẫn là float32"),
              lambda f: [str(part.dtype) for part in f(get_schedule("cosine"), "x0", *predictions(torch.float32))]),
        Probe(Say("a prediction of eps", "dự đoán kiểu eps"), lambda f: read(f, "eps")),
        Probe(Say("a prediction of x0", "dự đoán kiểu x0"), lambda f: read(f, "x0")),
        Probe(Say("a prediction of v", "dự đoán kiểu v"), lambda f: read(f, "v")),
        Probe(Say("a prediction of flow", "dự đoán kiểu flow"), lambda f: read(f, "flow")),
        Probe(Say("v with the schedule `flow`, where alpha^2 + sigma^2 is not 1",
                  "v với lịch `flow`, nơi alpha^2 + sigma^2 không bằng 1"), lambda f: read(f, "v", "flow")),
        Probe(Say("x0 and eps mix to x again", "trộn x0 và eps cho lại x"), remixed),
    ),
    mistakes=(
        Mistake("swapped_pair", lambda *args: to_x0_eps(*args)[::-1], Say(
            "Both are right, but in the wrong order: x0 comes first, eps second.",
            "Cả hai đều đúng nhưng sai thứ tự: x0 trước, eps sau.",
        )),
        Mistake("eps_not_divided", misread("eps", lambda pred, x, alpha, sigma: (x - sigma * pred, pred)), Say(
            "For eps: x - sigma eps is alpha x0, not yet x0. What is left is to divide, and near t = 1 that divisor is "
            "almost 0.",
            "Với eps: x - sigma eps mới là alpha x0, chưa phải x0. Còn thiếu một phép chia, và gần t = 1 số chia đó gần bằng "
            "0.",
        )),
        Mistake("eps_sign", misread("eps", lambda pred, x, alpha, sigma: ((x + sigma * pred) / alpha, pred)), Say(
            "For eps: the noise is added once more instead of taken away. Solve x = alpha x0 + sigma eps for x0, one step at "
            "a time.",
            "Với eps: nhiễu bị cộng thêm lần nữa thay vì bị trừ đi. Hãy giải x = alpha x0 + sigma eps theo x0, từng bước một.",
        )),
        Mistake("x0_not_divided", misread("x0", lambda pred, x, alpha, sigma: (pred, x - alpha * pred)), Say(
            "For x0: x - alpha x0 is sigma eps, not yet eps. What is left is to divide, and near t = 0 that divisor is "
            "almost 0.",
            "Với x0: x - alpha x0 mới là sigma eps, chưa phải eps. Còn thiếu một phép chia, và gần t = 0 số chia đó gần bằng "
            "0.",
        )),
        Mistake("v_sign", misread("v", lambda pred, x, alpha, sigma:
                                  ((alpha * x + sigma * pred) / (alpha**2 + sigma**2),
                                   (sigma * x - alpha * pred) / (alpha**2 + sigma**2))), Say(
            "For v: turned the wrong way. Put v = alpha eps - sigma x0 and x = alpha x0 + sigma eps into your formula for x0 "
            "and see whether eps cancels.",
            "Với v: xoay ngược chiều. Hãy thế v = alpha eps - sigma x0 và x = alpha x0 + sigma eps vào công thức x0 của bạn, "
            "xem eps có triệt tiêu không.",
        )),
        Mistake("v_swapped", misread("v", lambda pred, x, alpha, sigma:
                                     ((sigma * x - alpha * pred) / (alpha**2 + sigma**2),
                                      (alpha * x + sigma * pred) / (alpha**2 + sigma**2))), Say(
            "For v: alpha and sigma are swapped. At t = 0 the picture is all there, so x0 must be x itself.",
            "Với v: alpha và sigma bị đổi chỗ. Tại t = 0 bức ảnh còn nguyên, nên x0 phải chính là x.",
        )),
        Mistake("v_on_the_circle", misread("v", lambda pred, x, alpha, sigma:
                                           (alpha * x - sigma * pred, sigma * x + alpha * pred)), Say(
            "For v: right where alpha^2 + sigma^2 = 1, as with the schedule `cosine`. With other schedules the result is too "
            "large or too small by just that sum: it is the determinant of the two equations.",
            "Với v: đúng khi alpha^2 + sigma^2 = 1, như với lịch `cosine`. Với lịch khác, kết quả bị lệch đúng một thừa số "
            "bằng tổng đó: nó là định thức của hệ hai phương trình.",
        )),
        Mistake("flow_sign", misread("flow", with_x0(lambda pred, x, alpha, sigma: (x + sigma * pred) / (alpha + sigma))), Say(
            "For flow: wrong sign. flow = eps - x0, so eps = x0 + flow; put that into x = alpha x0 + sigma eps.",
            "Với flow: sai dấu. flow = eps - x0 nên eps = x0 + flow; hãy thế vào x = alpha x0 + sigma eps.",
        )),
        Mistake("flow_on_the_line", misread("flow", with_x0(lambda pred, x, alpha, sigma: x - sigma * pred)), Say(
            "For flow: x - sigma flow is right where alpha + sigma = 1, as with the schedule `flow`. With the schedule "
            "`cosine` the sum is another number, and you must divide by it.",
            "Với flow: x - sigma flow chỉ đúng khi alpha + sigma = 1, như với lịch `flow`. Với lịch `cosine`, tổng đó là một "
            "số khác và bạn phải chia cho nó.",
        )),
    ),
)  # fmt: skip

# --- 03.3: min-SNR ----------------------------------------------------------------------------------------------------


def weights(answer: Callable[..., Tensor], prediction_type: str, schedule: str = "cosine", **options: float) -> Tensor:
    return answer(get_schedule(schedule), prediction_type, torch.linspace(0.05, 0.95, 9, dtype=torch.float64), **options)


def weigher(rule: Callable[[Tensor, Tensor, float], Tensor]) -> Callable[..., Tensor]:
    """A wrong weight: `rule` of SNR, of what turns the prediction type's loss into one of x0, and of gamma."""

    def answer(schedule: NoiseSchedule, prediction_type: str, t: Tensor, gamma: float = 5.0) -> Tensor:
        snr = (schedule.alpha(t) / schedule.sigma(t)) ** 2
        factors = {"eps": snr, "x0": torch.ones_like(snr), "v": snr + 1, "flow": (1 + snr.sqrt()) ** 2}
        return rule(snr, factors[prediction_type], gamma)

    return answer


def v_as_eps(schedule: NoiseSchedule, prediction_type: str, t: Tensor, gamma: float = 5.0) -> Tensor:
    return min_snr_weight(schedule, "eps" if prediction_type == "v" else prediction_type, t, gamma)


def root_snr(schedule: NoiseSchedule, prediction_type: str, t: Tensor, gamma: float = 5.0) -> Tensor:
    snr = schedule.alpha(t) / schedule.sigma(t)
    factors = {"eps": snr, "x0": torch.ones_like(snr), "v": snr + 1, "flow": (1 + snr.sqrt()) ** 2}
    return snr.clamp(max=gamma) / factors[prediction_type]


def flow_as_v(schedule: NoiseSchedule, prediction_type: str, t: Tensor, gamma: float = 5.0) -> Tensor:
    return min_snr_weight(schedule, "v" if prediction_type == "flow" else prediction_type, t, gamma)


MIN_SNR = Exercise(
    number="03.3",
    name="min_snr",
    reference=min_snr_weight,
    title=Say("How much does each time count?", "Mỗi thời điểm đáng giá bao nhiêu?"),
    difficulty=3,
    minutes=12,
    probes=(
        Probe(Say("one weight for each time", "mỗi thời điểm một trọng số"), lambda f: list(weights(f, "x0").shape)),
        Probe(Say("weights for x0", "trọng số cho x0"), lambda f: weights(f, "x0")),
        Probe(Say("weights for eps", "trọng số cho eps"), lambda f: weights(f, "eps")),
        Probe(Say("weights for v", "trọng số cho v"), lambda f: weights(f, "v")),
        Probe(Say("weights for flow", "trọng số cho flow"), lambda f: weights(f, "flow")),
        Probe(Say("another schedule and another gamma", "một lịch nhiễu khác và một gamma khác"),
              lambda f: weights(f, "eps", "linear", gamma=1.0)),
    ),
    mistakes=(
        Mistake("max_for_min", weigher(lambda snr, factor, gamma: snr.clamp(min=gamma) / factor), Say(
            "This keeps the larger of SNR and gamma; min-SNR keeps the smaller, so that almost clean pictures, whose SNR is "
            "huge, don't rule the loss. (`clamp(min=...)` sets a floor.)",
            "Bạn đang giữ số lớn hơn giữa SNR và gamma; min-SNR giữ số nhỏ hơn để những ảnh gần như sạch, có SNR rất lớn, "
            "không lấn át hàm mất mát. (`clamp(min=...)` là đặt sàn.)",
        )),
        Mistake("not_divided", weigher(lambda snr, factor, gamma: snr.clamp(max=gamma)), Say(
            "min(SNR, gamma) is the weight of an x0 loss. A loss of eps or v is an x0 loss already multiplied by something "
            "(SNR for eps): divide that out.",
            "min(SNR, gamma) là trọng số cho hàm mất mát theo x0. Hàm mất mát của eps hay v vốn đã là hàm theo x0 nhân với "
            "một thừa số (với eps là SNR): hãy chia thừa số đó ra.",
        )),
        Mistake("v_without_one", v_as_eps, Say(
            "For v this divides by SNR, which belongs to eps. An error d of x0 is an error of v of -d (sigma + alpha^2 / "
            "sigma): square that and use alpha^2 + sigma^2 = 1.",
            "Với v, bạn đang chia cho SNR, vốn là của eps. Sai số d của x0 gây ra sai số -d (sigma + alpha^2 / sigma) của v: "
            "hãy bình phương rồi dùng alpha^2 + sigma^2 = 1.",
        )),
        Mistake("root", root_snr, Say(
            "The signal-to-noise ratio is a ratio of variances: (alpha / sigma) squared. The square is missing.",
            "Tỉ số tín hiệu trên nhiễu là tỉ số của hai phương sai: (alpha / sigma) bình phương. Bạn quên bình phương.",
        )),
        Mistake("clamps_the_quotient", weigher(lambda snr, factor, gamma: (snr / factor).clamp(max=gamma)), Say(
            "The quotient is limited to gamma instead of SNR. For eps SNR / SNR is always 1, so nothing is weighted at all: "
            "take the minimum first, divide afterwards.",
            "Bạn đang giới hạn thương số thay vì SNR. Với eps, SNR / SNR luôn bằng 1 nên chẳng có gì được đánh trọng số: hãy "
            "lấy min trước, chia sau.",
        )),
        Mistake("flow_like_v", flow_as_v, Say(
            "For flow this divides by SNR + 1, which belongs to v. flow = eps - x0: an error d of x0 is one of -d alpha / "
            "sigma - d. Square that.",
            "Với flow, bạn đang chia cho SNR + 1, vốn là của v. flow = eps - x0: sai số d của x0 gây ra sai số -d alpha / "
            "sigma - d. Hãy bình phương nó.",
        )),
    ),
)  # fmt: skip

# --- 03.4: EMA --------------------------------------------------------------------------------------------------------

Average = dict[str, Tensor]


def ema_update(average: Average, model: nn.Module, decay: float, updates: int) -> None:
    """The library's EMA, made to go on from a given average."""
    ema = EMA(model, decay)
    ema.average, ema.updates = average, updates
    ema.update(model)


def small_model() -> nn.Module:
    """Parameters, float buffers (running mean and variance) and an integer buffer (batches seen)."""
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).double()
    for index, value in enumerate(model.state_dict().values()):
        value.copy_(index + torch.arange(value.numel()).reshape(value.shape) / 8 + (value.ndim == 0) * 7)
    return model


def averaged(answer: Callable[..., Any], updates: int, decay: float = 0.8) -> tuple[Average, Average, nn.Module]:
    """(average after an update, the same tensors as they were held before it, the model)."""
    model = small_model()
    average = {k: torch.full_like(v, -1) for k, v in model.state_dict().items()}
    held = dict(average)
    answer(average, model, decay, updates)
    return average, held, model


def learned(answer: Callable[..., Any], updates: int) -> Average:
    """The average of what has gradients."""
    average, _, model = averaged(answer, updates)
    return {name: average[name] for name, _ in model.named_parameters()}


def first_and_late(answer: Callable[..., Any]) -> dict[str, Tensor]:
    """A weight after the first update, and after one of many."""
    return {"first": averaged(answer, 0)[0]["0.weight"], "late": averaged(answer, 500)[0]["0.weight"]}


def manners(answer: Callable[..., Any]) -> dict[str, bool]:
    """What an update must leave alone."""
    average, held, model = averaged(answer, 500)
    fresh = small_model().state_dict()
    return {
        "same tensors as before": all(average[k] is held[k] for k in held),
        "average needs a gradient": any(v.requires_grad for v in average.values()),
        "model is untouched": all(bool((v == fresh[k]).all()) for k, v in model.state_dict().items()),
    }


def averager(rule: Callable[[Tensor, Tensor, float, int], Tensor], parameters_only: bool = False) -> Callable[..., None]:
    """An in-place update by `rule` of (average, value, decay, updates)."""

    def answer(average: Average, model: nn.Module, decay: float, updates: int) -> None:
        named = dict(model.named_parameters()) if parameters_only else model.state_dict()
        for name, value in named.items():
            new = rule(average[name], value.detach(), decay, updates) if value.is_floating_point() else value
            average[name].copy_(new.detach())

    return answer


def warm(decay: float, updates: int) -> float:
    return min(decay, (1 + updates) / (10 + updates))


def right(average: Tensor, value: Tensor, decay: float, updates: int) -> Tensor:
    d = warm(decay, updates)
    return d * average + (1 - d) * value


def swapped_decay(average: Tensor, value: Tensor, decay: float, updates: int) -> Tensor:
    d = warm(decay, updates)
    return (1 - d) * average + d * value


def new_tensors(average: Average, model: nn.Module, decay: float, updates: int) -> None:
    for name, value in model.state_dict().items():
        average[name] = right(average[name], value, decay, updates) if value.is_floating_point() else value.clone()


def lost(average: Average, model: nn.Module, decay: float, updates: int) -> None:
    average = {k: v.clone() for k, v in average.items()}
    ema_update(average, model, decay, updates)


def with_graph(average: Average, model: nn.Module, decay: float, updates: int) -> None:
    ema_update(average, model, decay, updates)
    for value in average.values():
        if value.is_floating_point():
            value.requires_grad_()


EMA_UPDATE = Exercise(
    number="03.4",
    name="ema_update",
    reference=ema_update,
    title=Say("An average that follows", "Một trung bình biết đi theo"),
    difficulty=2,
    minutes=12,
    probes=(
        Probe(Say("nothing is lost and no shape changes", "không mất tensor nào, không đổi kích thước"),
              lambda f: {k: list(v.shape) for k, v in averaged(f, 500)[0].items()}),
        Probe(Say("weights after many updates", "trọng số sau nhiều lần cập nhật"), lambda f: learned(f, 500), points=2),
        Probe(Say("weights at the first update (warm-up)", "trọng số ở lần cập nhật đầu tiên (khởi động)"), first_and_late),
        Probe(Say("buffers follow too; counters are copied", "buffer cũng đi theo; bộ đếm thì được chép lại"),
              lambda f: averaged(f, 500)[0]),
        Probe(Say("in place, without a graph, and the model is left alone",
                  "tại chỗ, không giữ đồ thị, không đụng vào mô hình"), manners),
    ),
    mistakes=(
        Mistake("changes_nothing", lost, Say(
            "The average is as it was. If the name `average` was given a new dictionary or tensor, the caller's never heard "
            "of it: change the tensors themselves (an in-place operation ends in _).",
            "Giá trị trung bình vẫn y như cũ. Nếu bạn gán cho tên `average` (hoặc biến lặp) một đối tượng mới thì nơi gọi "
            "hàm không hề biết: hãy sửa chính các tensor (phép toán tại chỗ có tên kết thúc bằng _).",
        )),
        Mistake("decay_swapped", averager(swapped_decay), Say(
            "The decay weighs the wrong one of the two. A decay near 1 means: keep almost all of the average, take in a "
            "little of the new weights.",
            "Hệ số decay đang nhân nhầm đại lượng. Decay gần 1 nghĩa là: giữ gần hết giá trị trung bình cũ, chỉ nhận một "
            "chút trọng số mới.",
        )),
        Mistake("no_warm_up", averager(lambda a, v, d, n: d * a + (1 - d) * v), Say(
            "The decay is used from the first update on, so the untrained weights stay in the average for long. At update n "
            "it is min(decay, (1 + n) / (10 + n)): 0.1 at first.",
            "Bạn dùng ngay decay từ lần cập nhật đầu, nên các trọng số chưa học còn nằm lại rất lâu trong trung bình. Ở lần "
            "cập nhật n, nó là min(decay, (1 + n) / (10 + n)): lúc đầu chỉ 0.1.",
        )),
        Mistake("late_warm_up", averager(lambda a, v, d, n: right(a, v, max(d, warm(d, n)), n) if n > 10 else a), Say(
            "The first updates are skipped, so the average stays at the untrained weights. The warm-up is the opposite: the "
            "first updates take in most of the new weights.",
            "Bạn bỏ qua những lần cập nhật đầu nên trung bình vẫn là trọng số chưa học. Khởi động thì ngược lại: những lần "
            "đầu nhận gần hết trọng số mới.",
        )),
        Mistake("only_parameters", averager(right, parameters_only=True), Say(
            "Only parameters are followed. Buffers, such as a normalisation's running mean, are part of what the model "
            "computes with: state_dict() has both, and integer counters in it are copied.",
            "Mới chỉ có tham số được đi theo. Buffer, chẳng hạn trung bình chạy của lớp chuẩn hóa, cũng tham gia tính toán: "
            "state_dict() chứa cả hai, còn bộ đếm số nguyên trong đó thì chép lại.",
        )),
        Mistake("new_tensors", new_tensors, Say(
            "The numbers are right, but `average` now holds new tensors. Whoever had the old ones (a model that samples with "
            "them) goes on with stale weights, and every step needs new memory: update in place, with lerp_ or mul_ and add_.",
            "Số thì đúng, nhưng `average` giờ giữ các tensor mới. Ai đang giữ tensor cũ (chẳng hạn mô hình dùng để sinh ảnh) "
            "sẽ tiếp tục chạy với trọng số cũ, và bước nào cũng phải xin thêm bộ nhớ: hãy cập nhật tại chỗ bằng lerp_ hoặc "
            "mul_ rồi add_.",
        )),
        Mistake("keeps_the_graph", with_graph, Say(
            "The average requires gradients: every update keeps the graph of the one before, and memory grows until it is "
            "full. Work under torch.no_grad() or on detached values.",
            "Giá trị trung bình đang đòi gradient: mỗi lần cập nhật giữ lại đồ thị của lần trước, bộ nhớ phình ra đến khi "
            "đầy. Hãy làm trong torch.no_grad() hoặc trên giá trị đã detach.",
        )),
    ),
)  # fmt: skip

# --- 03.5: a training step to mend ------------------------------------------------------------------------------------

Network = Callable[[Tensor, Tensor], Tensor]


def training_loss(
    network: Network, x0: Tensor, eps: Tensor, t: Tensor, schedule: NoiseSchedule, prediction_type: str
) -> Tensor:
    """The library's loss with the library's weights."""
    pred = network(schedule.mix(x0, eps, t), schedule.timestep(t))
    return diffusion_loss(pred, x0, eps, t, schedule, prediction_type, min_snr_weight(schedule, prediction_type, t))


def examples() -> tuple[Tensor, Tensor, Tensor]:
    """x0, eps (4, 3, 2, 2), t (4,)."""
    generator = torch.Generator().manual_seed(35)
    x0, eps = torch.randn(2, 4, 3, 2, 2, generator=generator)
    return x0, eps, torch.tensor([0.1, 0.4, 0.6, 0.9])


def loss_of(answer: Callable[..., Tensor], prediction_type: str) -> Tensor:
    """The loss of a network that halves what it sees, whatever the time."""
    return answer(lambda x, timestep: x / 2, *examples(), get_schedule("cosine"), prediction_type)


def shown(answer: Callable[..., Tensor]) -> dict[str, Tensor]:
    """What the network is given."""
    seen: dict[str, Tensor] = {}

    def network(x: Tensor, timestep: Tensor) -> Tensor:
        seen.update(x=x, timestep=timestep)
        return torch.zeros_like(x)

    answer(network, *examples(), get_schedule("cosine"), "v")
    return seen


def perfect(answer: Callable[..., Tensor]) -> dict[str, Tensor]:
    """The loss of a network that knows the answer, for each prediction type."""
    x0, eps, t = examples()
    schedule = get_schedule("cosine")
    return {k: answer(lambda x, _, k=k: target(schedule, k, x0, eps, t), x0, eps, t, schedule, k) for k in PREDICTION_TYPES}


def broken(time: bool = False, goal: str = "", weight: str = "", early_mean: bool = False) -> Callable[..., Tensor]:
    """The stub's code with only some of its faults."""

    def answer(network: Network, x0: Tensor, eps: Tensor, t: Tensor, schedule: NoiseSchedule, prediction_type: str) -> Tensor:
        pred = network(schedule.mix(x0, eps, t), t if time else schedule.timestep(t))
        error = (pred - target(schedule, goal or prediction_type, x0, eps, t)).square().flatten(1).mean(1)
        weights = min_snr_weight(schedule, weight or prediction_type, t)
        return error.mean() * weights.mean() if early_mean else (error * weights).mean()

    return answer


def unweighted(network: Network, x0: Tensor, eps: Tensor, t: Tensor, schedule: NoiseSchedule, prediction_type: str) -> Tensor:
    return diffusion_loss(network(schedule.mix(x0, eps, t), schedule.timestep(t)), x0, eps, t, schedule, prediction_type)


MEND = Exercise(
    number="03.5",
    name="training_loss",
    reference=training_loss,
    title=Say("Debugging: it learns, but what?", "Gỡ lỗi: nó có học, nhưng học gì?"),
    difficulty=4,
    minutes=15,
    probes=(
        Probe(Say("the loss is one number", "hàm mất mát là một số"), lambda f: list(loss_of(f, "x0").shape)),
        *(Probe(Say(f"the loss of a network that predicts {name}", f"hàm mất mát của mạng dự đoán {name}"),
                partial(loss_of, prediction_type=name)) for name in ("x0", "v", "flow", "eps")),
        Probe(Say("a perfect network has loss 0, whatever its prediction type",
                  "mạng hoàn hảo có hàm mất mát bằng 0, bất kể kiểu dự đoán"), perfect),
        Probe(Say("what the network is shown", "mạng được cho xem gì"), shown),
    ),
    mistakes=(
        Mistake("time_not_timestep", broken(time=True), Say(
            "The network is fed t, between 0 and 1. It was made for timesteps between 0 and 1000: to its sinusoids all these "
            "times look the same. The schedule has a method for that.",
            "Mạng đang nhận t nằm giữa 0 và 1. Nó được thiết kế cho bước thời gian từ 0 đến 1000: với các hàm sin của nó, "
            "mọi t đó trông như nhau. Lịch nhiễu (schedule) có một phương thức cho việc này.",
        )),
        Mistake("target_of_eps", broken(goal="eps"), Say(
            "The prediction is compared with eps, whatever its type. The loss falls all the same, and the sampler then reads "
            "eps as v: the pitfall of this lesson.",
            "Dự đoán luôn bị so với eps, bất kể kiểu. Hàm mất mát vẫn giảm, rồi bộ lấy mẫu sẽ đọc eps như là v: đúng cái bẫy "
            "của bài này.",
        )),
        Mistake("weight_of_eps", broken(weight="eps"), Say(
            "The weights are those of eps, whatever is predicted. A weight undoes how the loss of this prediction type relates "
            "to that of x0, so it depends on the type.",
            "Trọng số luôn là của eps, bất kể dự đoán cái gì. Trọng số chia đi mối liên hệ giữa hàm mất mát của kiểu này với "
            "của x0: nó phải biết kiểu.",
        )),
        Mistake("eps_throughout", broken(goal="eps", weight="eps"), Say(
            "Target and weight are both still those of eps, whatever the prediction type.",
            "Cả mục tiêu lẫn trọng số vẫn là của eps, bất kể kiểu.",
        )),
        Mistake("mean_too_early", broken(early_mean=True), Say(
            "Errors and weights are averaged apart and then multiplied: every example ends up with the same weight. Multiply "
            "example by example, then take the mean.",
            "Sai số và trọng số được lấy trung bình riêng rồi mới nhân: rốt cuộc mọi ví dụ có cùng trọng số. Hãy nhân theo "
            "từng ví dụ, sau đó mới lấy trung bình.",
        )),
        Mistake("as_it_was", broken(True, "eps", "eps", True), Say(
            "This still has more than one of the faults it came with. Go line by line: what the network is fed, what it is "
            "compared with, what each example weighs, and when the mean is taken.",
            "Hàm vẫn còn nhiều hơn một lỗi ban đầu. Hãy xem từng dòng: mạng được cho ăn gì, so với cái gì, mỗi ví dụ nặng "
            "bao nhiêu, và lấy trung bình lúc nào.",
        )),
        Mistake("no_weight", unweighted, Say(
            "The weights are gone: this is the plain loss. The step is meant to use min-SNR.",
            "Trọng số đã biến mất: đây là hàm mất mát thường. Bước này phải dùng min-SNR.",
        )),
    ),
)  # fmt: skip

EXERCISES: tuple[Exercise, ...] = (V_TARGET, READ, MIN_SNR, EMA_UPDATE, MEND)
