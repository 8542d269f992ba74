"""The exercises of lesson 05: labels that are dropped, two predictions combined, and a sampler with labels.

The networks here are formulas of a line or two that record their inputs: an answer is judged by what comes out and by how
many rows it put in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from minidiff.course.exercise import Exercise, Mistake, Probe, Say
from minidiff.diffusion.guidance import cfg, combine
from minidiff.diffusion.prediction import Denoiser, denoiser, to_x0_eps
from minidiff.diffusion.samplers import State, run
from minidiff.diffusion.schedules import NoiseSchedule, get_schedule

Predict = Callable[[Tensor, Tensor], Tensor]    # (x (B, ...), timestep (B,)) -> prediction (B, ...)

SCHEDULE = get_schedule("cosine")
HALF = torch.tensor(0.5, dtype=torch.float64)


def normal(*shape: int, seed: int = 0) -> Tensor:
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- 05.1 which labels are dropped ------------------------------------------------------------------------------------


def drop_labels(labels: Tensor, lots: Tensor, drop: float, null: int) -> Tensor:
    """As `train/pixels.py` does it one by one."""
    return torch.where(lots < drop, null, labels)


def keeps_the_share(labels: Tensor, lots: Tensor, drop: float, null: int) -> Tensor:
    return torch.where(lots < drop, labels, null)


def all_at_once(labels: Tensor, lots: Tensor, drop: float, null: int) -> Tensor:
    return torch.where(lots[0] < drop, null, labels)


def label_zero(labels: Tensor, lots: Tensor, drop: float, null: int) -> Tensor:
    return torch.where(lots < drop, 0, labels)


def in_place(labels: Tensor, lots: Tensor, drop: float, null: int) -> Tensor:
    return labels.masked_fill_(lots < drop, null)


def as_floats(labels: Tensor, lots: Tensor, drop: float, null: int) -> Tensor:
    return torch.where(lots < drop, float(null), labels.float())


LABELS = torch.tensor([3, 0, 7, 7, 2, 5, 1, 6])
LOTS = torch.tensor([0.05, 0.62, 0.31, 0.90, 0.08, 0.55, 0.17, 0.71])
NULL = 8


def labels_afterwards(answer: Callable[..., Tensor]) -> Tensor:
    """The labels that were handed in, as they are after the call."""
    labels = LABELS.clone()
    answer(labels, LOTS, 0.3, NULL)
    return labels


DROP_LABELS = Exercise(
    number="05.1", name="drop_labels", reference=drop_labels, difficulty=1, minutes=5,
    title=Say("Drop some labels", "Bỏ bớt một số nhãn"),
    probes=(
        Probe(Say("one label for each picture", "mỗi ảnh một nhãn"), lambda f: list(f(LABELS.clone(), LOTS, 0.3, NULL).shape)),
        Probe(Say("labels stay whole numbers", "nhãn vẫn là số nguyên"),
              lambda f: str(f(LABELS.clone(), LOTS, 0.3, NULL).dtype)),
        Probe(Say("3 of 8 labels dropped", "bỏ 3 trong 8 nhãn"), lambda f: f(LABELS.clone(), LOTS, 0.3, NULL), points=2),
        Probe(Say("drop = 0 drops none, drop = 1 all", "drop = 0 không bỏ nhãn nào, drop = 1 bỏ tất cả"),
              lambda f: [f(LABELS.clone(), LOTS, drop, NULL) for drop in (0.0, 1.0)]),
        Probe(Say("the given labels are left as they were", "nhãn đưa vào không bị sửa"), labels_afterwards),
    ),
    mistakes=(
        Mistake("keeps_the_share", keeps_the_share, Say(
            "A share of `drop` was kept and the rest dropped: with drop = 0.1 the network would hardly ever see a label. A "
            "lot below `drop` means: this label goes. Look at which branch of your condition holds `null`.",
            "Bạn đã giữ lại tỉ lệ `drop` và bỏ phần còn lại: với drop = 0.1, mạng gần như không bao giờ thấy nhãn. Số bốc "
            "thăm nhỏ hơn `drop` nghĩa là nhãn đó bị bỏ. Hãy xem `null` đang nằm ở nhánh nào của điều kiện.",
        )),
        Mistake("all_at_once", all_at_once, Say(
            "One lot decided for the whole batch, so all labels go or all stay. Every picture has its own lot: compare the "
            "tensor `lots` with `drop`, not one number of it.",
            "Chỉ một số bốc thăm quyết định cho cả lô, nên mọi nhãn cùng bị bỏ hoặc cùng được giữ. Mỗi ảnh có số riêng: hãy "
            "so sánh cả tensor `lots` với `drop`, chứ không phải một phần tử của nó.",
        )),
        Mistake("label_zero", label_zero, Say(
            "Dropped labels became 0, but 0 is a kind too (the circle): the network would learn that a circle is anything. "
            "The label that says nothing is `null`, one past the last kind.",
            "Nhãn bị bỏ đã thành 0, nhưng 0 cũng là một loại (hình tròn): mạng sẽ học rằng hình tròn là bất cứ thứ gì. Nhãn "
            "“không nói gì” là `null`, đứng ngay sau loại cuối cùng.",
        )),
        Mistake("in_place", in_place, Say(
            "The result is right, but the labels that were handed in were overwritten. If they belong to the data set, in the "
            "next epoch some are gone for good, and after a few epochs nearly all. Make a new tensor.",
            "Kết quả đúng, nhưng các nhãn đưa vào đã bị ghi đè. Nếu chúng thuộc tập dữ liệu thì ở epoch sau một số nhãn mất "
            "hẳn, và sau vài epoch gần như mất sạch. Hãy tạo một tensor mới.",
        )),
        Mistake("as_floats", as_floats, Say(
            "The labels came back as floating-point numbers, and an embedding table can only be indexed by whole ones. "
            "Arithmetic with a float mask or a float `null` does that; choose between two integers instead.",
            "Nhãn trả về là số thực, mà bảng vector nhúng chỉ nhận chỉ số nguyên. Lý do là phép tính với mặt nạ kiểu float "
            "hoặc `null` kiểu float; hãy chọn giữa hai số nguyên.",
        )),
    ),
)  # fmt: skip


# --- 05.2 two predictions, one scale ----------------------------------------------------------------------------------


def swapped(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    return conditional + scale * (unconditional - conditional)


def wrong_sign(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    return unconditional - scale * (conditional - unconditional)


def papers_scale(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    return conditional + scale * (conditional - unconditional)


def three_channels(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    guided = combine(conditional[:, :3], unconditional[:, :3], scale)
    return torch.cat([guided, conditional[:, 3:]], dim=1)


def no_start(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    return scale * (conditional - unconditional)


C, U = normal(2, 4, 3, 3, seed=1), normal(2, 4, 3, 3, seed=2)
THREE, ONE = torch.full((1, 4, 1, 1), 3.0, dtype=torch.float64), torch.ones(1, 4, 1, 1, dtype=torch.float64)

COMBINE = Exercise(
    number="05.2", name="combine", reference=combine, difficulty=2, minutes=8,
    title=Say("Guidance in one line", "Dẫn hướng trong một dòng"),
    probes=(
        Probe(Say("shape kept", "giữ nguyên kích thước"), lambda f: list(f(C, U, 2.0).shape)),
        Probe(Say("dtype kept", "giữ nguyên kiểu số"), lambda f: str(f(C.float(), U.float(), 2.0).dtype)),
        Probe(Say("3 and 1 at scale 2, on paper", "3 và 1 với hệ số 2, tính tay"), lambda f: f(THREE, ONE, 2.0), points=2),
        Probe(Say("four channels at scale 7.5", "bốn kênh với hệ số 7.5"), lambda f: f(C, U, 7.5), points=2),
        Probe(Say("scale 0 ignores the condition, scale 1 is the condition", "hệ số 0 bỏ qua điều kiện, hệ số 1 giữ nguyên"),
              lambda f: [f(C, U, 0.0), f(C, U, 1.0)]),
    ),
    mistakes=(
        Mistake("swapped", swapped, Say(
            "Conditional and unconditional changed places: the arrow now leads away from the label, and the larger the scale "
            "the less the picture shows it. Start at the unconditional prediction and walk towards the conditional one.",
            "Hai dự đoán có và không có điều kiện đã đổi chỗ: mũi tên giờ đi ra xa nhãn, hệ số càng lớn thì ảnh càng không "
            "giống nhãn. Hãy xuất phát từ dự đoán không điều kiện và đi về phía dự đoán có điều kiện.",
        )),
        Mistake("wrong_sign", wrong_sign, Say(
            "It starts in the right place but walks the wrong way: the difference is taken off. At scale 1 the result must be "
            "the conditional prediction; put scale = 1 into your line and see what is left.",
            "Điểm xuất phát đúng nhưng đi sai hướng: phần chênh lệch bị trừ đi. Với hệ số 1 kết quả phải là dự đoán có điều "
            "kiện; hãy thay scale = 1 vào dòng của bạn xem còn lại gì.",
        )),
        Mistake("papers_scale", papers_scale, Say(
            "This is the paper's w (Ho & Salimans 2022, eq. 6), which counts from the conditional prediction: w = 0 is no "
            "guidance. Here, as in most libraries, scale = w + 1: 1 is no guidance, and one starts at the unconditional "
            "prediction.",
            "Đây là w của bài báo (Ho & Salimans 2022, công thức 6), tính từ dự đoán có điều kiện: w = 0 là không dẫn hướng. "
            "Ở đây, như đa số thư viện, scale = w + 1: 1 là không dẫn hướng, và ta xuất phát từ dự đoán không điều kiện.",
        )),
        Mistake("three_channels", three_channels, Say(
            "Only the first three channels were guided. They are colours when there are three; a latent has four, and all of "
            "them are picture. This bug was copied from one well-known repository into many: guide every channel.",
            "Mới chỉ ba kênh đầu được dẫn hướng. Ba kênh là màu khi ảnh có ba kênh; vector ẩn có bốn, và kênh nào cũng là "
            "ảnh. Lỗi này đã được chép từ một kho mã nổi tiếng sang nhiều nơi: hãy dẫn hướng mọi kênh.",
        )),
        Mistake("no_start", no_start, Say(
            "This is the arrow alone, without the place it starts from: `scale` multiplies both predictions. It belongs to "
            "the difference only, and the unconditional prediction is added to it once.",
            "Đây mới chỉ là mũi tên, thiếu điểm xuất phát: `scale` đã nhân vào cả hai dự đoán. Hệ số chỉ nhân với phần chênh "
            "lệch, rồi cộng thêm dự đoán không điều kiện một lần.",
        )),
    ),
)  # fmt: skip


# --- 05.3 both halves in one evaluation -------------------------------------------------------------------------------


class Pair:
    """A denoiser under two conditions and, after them, two empty ones, that notes how many rows each call has."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.conditions = normal(4, 3, 2, 2, seed=3)                        # (2B, C, H, W)

    def __call__(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        self.rows.append(len(x))
        x0 = torch.tanh(x) + self.conditions[: len(x)]
        return to_x0_eps(SCHEDULE, "x0", x0, x, t)


def guided(pair: Denoiser, x: Tensor, t: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """The library's `cfg`, called at once."""
    return cfg(pair, scale)(x, t)


def halves_combined(out: Tensor, scale: float) -> Tensor:
    """Conditional rows and, after them, unconditional ones (2B, ...) to guided ones (B, ...)."""
    conditional, unconditional = out.chunk(2)
    return combine(conditional, unconditional, scale)


def always_both(pair: Denoiser, x: Tensor, t: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    x0, eps = pair(torch.cat([x, x]), t)
    return halves_combined(x0, scale), halves_combined(eps, scale)


def called_twice(pair: Denoiser, x: Tensor, t: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    if scale == 1:
        return pair(x, t)
    (x0, eps), (x0_empty, eps_empty) = pair(x, t), pair(x, t)
    return combine(x0, x0_empty, scale), combine(eps, eps_empty, scale)


def halves_swapped(pair: Denoiser, x: Tensor, t: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    return pair(x, t) if scale == 1 else always_both(pair, x, t, 1 - scale)


def interleaved(pair: Denoiser, x: Tensor, t: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    if scale == 1:
        return pair(x, t)
    x0, eps = pair(x.repeat_interleave(2, dim=0), t)
    return combine(x0[::2], x0[1::2], scale), combine(eps[::2], eps[1::2], scale)


def eps_left(pair: Denoiser, x: Tensor, t: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    if scale == 1:
        return pair(x, t)
    x0, eps = pair(torch.cat([x, x]), t)
    return halves_combined(x0, scale), eps[: len(x)]


X = normal(2, 3, 2, 2)


def rows_of_calls(scale: float) -> Callable[[Any], list[int]]:
    """Runs an answer and returns the rows of each evaluation that it made."""

    def run_it(answer: Any) -> list[int]:
        pair = Pair()
        answer(pair, X, HALF, scale)
        return pair.rows

    return run_it


def x0_and_eps(scale: float) -> Callable[[Any], dict[str, Tensor]]:
    return lambda answer: dict(zip(("x0", "eps"), answer(Pair(), X, HALF, scale), strict=True))


def mixed_again(answer: Any) -> Tensor:
    """What the guided x0 and eps add up to."""
    x0, eps = answer(Pair(), X, HALF, 5.0)
    return SCHEDULE.mix(x0, eps, HALF)


GUIDED = Exercise(
    number="05.3", name="guided", reference=guided, difficulty=3, minutes=12,
    title=Say("A guided denoiser, in one evaluation", "Bộ khử nhiễu có dẫn hướng, chỉ một lần gọi mạng"),
    probes=(
        Probe(Say("x0 and eps, shaped like x", "x0 và eps, cùng kích thước với x"),
              lambda f: [list(out.shape) for out in f(Pair(), X, HALF, 3.0)]),
        Probe(Say("scale 3: one evaluation of 2B rows", "hệ số 3: gọi mạng một lần với 2B hàng"), rows_of_calls(3.0), points=2),
        Probe(Say("scale 1: one evaluation of B rows", "hệ số 1: gọi mạng một lần với B hàng"), rows_of_calls(1.0)),
        Probe(Say("values at scale 3", "giá trị với hệ số 3"), x0_and_eps(3.0), points=2),
        Probe(Say("values at scale 1", "giá trị với hệ số 1"), x0_and_eps(1.0)),
        Probe(Say("x0 and eps still make up x", "x0 và eps vẫn ghép lại thành x"), mixed_again),
    ),
    mistakes=(
        Mistake("always_both", always_both, Say(
            "At scale 1 the unconditional half has weight 0, and still it was computed: twice the work for nothing. Call "
            "`pair` with x alone there; then it uses the conditions.",
            "Với hệ số 1, nửa không điều kiện có trọng số 0 mà vẫn bị tính: tốn gấp đôi vô ích. Khi đó chỉ cần gọi `pair` với "
            "riêng x; nó sẽ dùng các điều kiện.",
        )),
        Mistake("called_twice", called_twice, Say(
            "`pair` was called twice with B rows. Both times it used the conditions, so the difference is 0 and nothing is "
            "guided. Give it x twice in one batch: the second half gets the empty conditions.",
            "Bạn đã gọi `pair` hai lần, mỗi lần B hàng. Cả hai lần nó đều dùng các điều kiện, nên chênh lệch bằng 0 và chẳng "
            "có gì được dẫn hướng. Hãy đưa x hai lần trong một lô: nửa sau nhận điều kiện rỗng.",
        )),
        Mistake("halves_swapped", halves_swapped, Say(
            "The halves were taken in the wrong order. The first B rows hold the conditions, the last B the empty ones; "
            "swapped, scale s acts like 1 - s and leads away from the label. Look at the order of names before `chunk`.",
            "Hai nửa bị lấy sai thứ tự. B hàng đầu là có điều kiện, B hàng sau là điều kiện rỗng; đổi chỗ thì hệ số s tác "
            "dụng như 1 - s và đi ra xa nhãn. Hãy xem thứ tự các tên đứng trước `chunk`.",
        )),
        Mistake("interleaved", interleaved, Say(
            "The rows were doubled as x1 x1 x2 x2, but `pair` holds its conditions as c1 c2, then two empty ones: x1 met c2, "
            "and x2 no condition at all. The batch must be all of x, then all of x again.",
            "Các hàng được nhân đôi thành x1 x1 x2 x2, nhưng `pair` xếp điều kiện là c1 c2 rồi đến hai điều kiện rỗng: x1 gặp "
            "c2, còn x2 chẳng gặp điều kiện nào. Lô phải là toàn bộ x, rồi lại toàn bộ x.",
        )),
        Mistake("eps_left", eps_left, Say(
            "x0 was guided and eps was not. The sampler takes both as two parts of the same x; now they no longer add up to "
            "it. Combine eps with the same scale.",
            "x0 đã được dẫn hướng còn eps thì chưa. Bộ lấy mẫu coi chúng là hai phần của cùng một x; giờ chúng không còn ghép "
            "lại thành x nữa. Hãy kết hợp eps với cùng hệ số.",
        )),
    ),
)  # fmt: skip


# --- 05.4 a prompt without effect -------------------------------------------------------------------------------------


class Network:
    """A network of 5 labels that notes those of each call."""

    def __init__(self) -> None:
        self.labels: list[list[int]] = []
        self.gains = normal(5, 3, 1, 1, seed=4)                             # (classes, C, 1, 1)

    def __call__(self, x: Tensor, timestep: Tensor, *, labels: Tensor) -> Tensor:
        if labels.shape != x.shape[:1]:
            raise ValueError(f"There are labels of shape {tuple(labels.shape)} for {len(x)} pictures; give one each.")
        self.labels.append(sorted(labels.tolist()))
        return torch.tanh(x) * self.gains[labels] + timestep.reshape(-1, 1, 1, 1).to(x) / 1000


def guided_network(network: Any, labels: Tensor, null: int, scale: float) -> Predict:
    """Guidance of the network's own prediction, whatever its type."""
    return _guided_network(network, labels, torch.full_like(labels, null), scale)


def _guided_network(network: Any, first: Tensor, second: Tensor, scale: float, turned: bool = False) -> Predict:
    both = torch.cat([first, second])

    def predict(x: Tensor, timestep: Tensor) -> Tensor:
        out = network(torch.cat([x, x]), torch.cat([timestep, timestep]), labels=both)
        conditional, unconditional = reversed(out.chunk(2)) if turned else out.chunk(2)
        return combine(conditional, unconditional, scale)

    return predict


def null_in_both(network: Any, labels: Tensor, null: int, scale: float) -> Predict:
    empty = torch.full_like(labels, null)
    return _guided_network(network, empty, empty, scale)


def label_in_both(network: Any, labels: Tensor, null: int, scale: float) -> Predict:
    return _guided_network(network, labels, labels, scale)


def chunks_swapped(network: Any, labels: Tensor, null: int, scale: float) -> Predict:
    return _guided_network(network, labels, torch.full_like(labels, null), scale, turned=True)


def scale_one(network: Any, labels: Tensor, null: int, scale: float) -> Predict:
    return guided_network(network, labels, null, 1.0)


def swapped_at_one(network: Any, labels: Tensor, null: int, scale: float) -> Predict:
    return chunks_swapped(network, labels, null, 1.0)


def predictions(labels: list[int], scales: tuple[float, ...]) -> Callable[[Any], dict[str, Any]]:
    """Runs an answer once for each scale; returns the predictions, and the labels of the calls."""

    def run_it(answer: Any) -> dict[str, Any]:
        network, timestep = Network(), torch.full((2,), 500.0)
        made = [answer(network, torch.tensor(labels), 4, scale)(X, timestep) for scale in scales]
        return {"prediction": torch.stack(made), "labels": network.labels}

    return run_it


GUIDED_NETWORK = Exercise(
    number="05.4", name="guided_network", reference=guided_network, difficulty=3, minutes=12,
    title=Say("Debugging: the label has no effect", "Gỡ lỗi: nhãn không có tác dụng"),
    probes=(
        Probe(Say("one prediction, shaped like x", "một dự đoán, cùng kích thước với x"),
              lambda f: list(f(Network(), torch.tensor([1, 3]), 4, 3.0)(X, torch.full((2,), 500.0)).shape)),
        Probe(Say("labels 1 and 3 at scale 3", "nhãn 1 và 3 với hệ số 3"), predictions([1, 3], (3.0,)), points=2),
        Probe(Say("other labels, another prediction", "nhãn khác, dự đoán khác"), predictions([0, 2], (3.0,))),
        Probe(Say("scales 0 and 6", "hệ số 0 và 6"), predictions([1, 3], (0.0, 6.0)), points=2),
    ),
    mistakes=(
        Mistake("null_in_both", null_in_both, Say(
            "The network gets the null label in both halves, so the labels never reach it. Print `both`, and see where "
            "`labels` should be in it.",
            "Cả hai nửa đều đưa cho mạng nhãn rỗng, nên các nhãn không hề đến được mạng. Hãy in `both` ra, và xem `labels` "
            "phải nằm ở đâu trong đó.",
        )),
        Mistake("label_in_both", label_in_both, Say(
            "Now both halves hold the labels. Their difference is 0, so the scale has nothing to enlarge; one half must hold "
            "the null label.",
            "Giờ cả hai nửa đều chứa nhãn. Chênh lệch của chúng bằng 0, nên hệ số chẳng có gì để phóng đại; một nửa phải là "
            "nhãn rỗng.",
        )),
        Mistake("chunks_swapped", chunks_swapped, Say(
            "The labels are in and the scale counts, but the halves come out in the wrong order: the larger the scale, the "
            "less of the label. Compare the order in `both` with the order of names before `chunk`.",
            "Nhãn đã vào, hệ số đã có tác dụng, nhưng hai nửa lấy ra sai thứ tự: hệ số càng lớn càng ít giống nhãn. Hãy so "
            "thứ tự trong `both` với thứ tự các tên đứng trước `chunk`.",
        )),
        Mistake("scale_one", scale_one, Say(
            "The prediction is the conditional one at every scale: there is a fixed 1 where `scale` should be. Scale 1 guides "
            "nothing, whatever scale the caller wants.",
            "Với mọi hệ số, dự đoán luôn là dự đoán có điều kiện: số 1 cố định đang đứng ở chỗ của `scale`. Hệ số dẫn hướng 1 "
            "nghĩa là không dẫn hướng gì, dù bạn yêu cầu hệ số lớn đến đâu.",
        )),
        Mistake("swapped_at_one", swapped_at_one, Say(
            "The labels are in the batch now, and yet the answer is that for the null label, at every scale. Two mistakes "
            "remain: which half is called conditional, and the number that stands where `scale` should.",
            "Nhãn đã ở trong lô, vậy mà kết quả luôn là của nhãn rỗng, với mọi hệ số. Còn hai lỗi: nửa nào được gọi là có "
            "điều kiện, và con số đang đứng ở chỗ của `scale`.",
        )),
    ),
)  # fmt: skip


# --- 05.5 from labels to pictures -------------------------------------------------------------------------------------


def sample_from_labels(
    network: Any, labels: Tensor, null: int, noise: Tensor,
    schedule: NoiseSchedule, prediction_type: str, steps: int, scale: float,
) -> Tensor:  # fmt: skip
    """As the pipeline does it, for labels instead of captions."""
    both = torch.cat([labels, torch.full_like(labels, null)])
    *_, last = _states(network, both, noise, schedule, prediction_type, steps, scale)
    return last.x


def _states(
    network: Any, both: Tensor, noise: Tensor, schedule: NoiseSchedule, prediction_type: str, steps: int, scale: float
) -> Iterator[State]:
    pair = denoiser(lambda x, timestep: network(x, timestep, labels=both[: len(x)]), schedule, prediction_type)
    return run("dpmpp_2m", cfg(pair, scale), noise, schedule, steps)


# The mistakes take the same arguments; `rest` is those that they leave alone.


def scale_forgotten(*rest: Any) -> Tensor:
    return sample_from_labels(*(*rest[:-1], 1.0))


def null_first(network: Any, labels: Tensor, null: int, *rest: Any) -> Tensor:
    *_, last = _states(network, torch.cat([torch.full_like(labels, null), labels]), *rest)
    return last.x


def zero_for_null(network: Any, labels: Tensor, null: int, *rest: Any) -> Tensor:
    return sample_from_labels(network, labels, 0, *rest)


def always_v(
    network: Any, labels: Tensor, null: int, noise: Tensor, schedule: NoiseSchedule, prediction_type: str, *rest: Any
) -> Tensor:
    return sample_from_labels(network, labels, null, noise, schedule, "v", *rest)


def first_state(network: Any, labels: Tensor, null: int, *rest: Any) -> Tensor:
    return next(_states(network, torch.cat([labels, torch.full_like(labels, null)]), *rest)).x


def drawn(labels: list[int], prediction_type: str, scale: float) -> Callable[[Any], Tensor]:
    return lambda answer: answer(Network(), torch.tensor(labels), 4, X, SCHEDULE, prediction_type, 4, scale)


def labels_of_calls(answer: Any) -> list[Any]:
    """The labels of each evaluation, at scale 3 and at scale 1."""
    labels = []
    for scale in (3.0, 1.0):
        network = Network()
        answer(network, torch.tensor([1, 3]), 4, X, SCHEDULE, "v", 2, scale)
        labels += network.labels
    return labels


SAMPLE_FROM_LABELS = Exercise(
    number="05.5", name="sample_from_labels", reference=sample_from_labels, difficulty=4, minutes=20,
    title=Say("From labels to pictures", "Từ nhãn đến ảnh"),
    probes=(
        Probe(Say("shape of the noise", "cùng kích thước với nhiễu"), lambda f: list(drawn([1, 3], "v", 3.0)(f).shape)),
        Probe(Say("dtype of the noise", "cùng kiểu số với nhiễu"), lambda f: str(drawn([1, 3], "v", 3.0)(f).dtype)),
        Probe(Say("labels of each evaluation: 2B at scale 3, B at scale 1", "nhãn mỗi lần gọi mạng: 2B ở hệ số 3, B ở hệ số 1"),
              labels_of_calls, points=2),
        Probe(Say("labels 1 and 3 at scale 3", "nhãn 1 và 3 với hệ số 3"), drawn([1, 3], "v", 3.0), points=2),
        Probe(Say("a network that predicts x0", "mạng dự đoán x0"), drawn([1, 3], "x0", 2.0), points=2),
        Probe(Say("a picture depends on its own label alone", "mỗi ảnh chỉ phụ thuộc vào nhãn của mình"),
              lambda f: [drawn(labels, "v", 3.0)(f)[0] for labels in ([1, 3], [1, 2])]),
    ),
    mistakes=(
        Mistake("scale_forgotten", scale_forgotten, Say(
            "The pictures are those of scale 1, whatever the scale: it never reached `cfg`, or the denoiser was sampled "
            "without it. Follow `scale` from the arguments to where it is used.",
            "Ảnh luôn là ảnh của hệ số 1, bất kể hệ số: nó chưa đến được `cfg`, hoặc bạn lấy mẫu từ bộ khử nhiễu chưa dẫn "
            "hướng. Hãy lần theo `scale` từ tham số đến chỗ dùng.",
        )),
        Mistake("null_first", null_first, Say(
            "The null labels come first in the batch. `cfg` expects the B conditions first and the B empty ones after them; "
            "the other way round, guidance flees from the label, and at scale 1 the label is never seen.",
            "Nhãn rỗng đang đứng trước trong lô. `cfg` cần B điều kiện trước, rồi mới đến B điều kiện rỗng; ngược lại thì dẫn "
            "hướng chạy trốn khỏi nhãn, và với hệ số 1 nhãn không hề được đọc.",
        )),
        Mistake("zero_for_null", zero_for_null, Say(
            "The empty half was filled with label 0, a kind of its own: that is a negative prompt, away from circles. Fill it "
            "with `null`.",
            "Nửa rỗng được điền nhãn 0, vốn là một loại thật: như thế là prompt phủ định, tránh xa hình tròn. Hãy điền "
            "`null`.",
        )),
        Mistake("always_v", always_v, Say(
            "It works only for a network that predicts v: the prediction type is fixed somewhere. Pass `prediction_type` on to "
            "what makes a denoiser of the network.",
            "Hàm chỉ đúng với mạng dự đoán v: kiểu dự đoán bị cố định ở đâu đó. Hãy truyền `prediction_type` cho chỗ biến mạng "
            "thành bộ khử nhiễu.",
        )),
        Mistake("first_state", first_state, Say(
            "This is x after the first step, still nearly all noise. The sampler yields one state for each step: go through "
            "all of them and take the last.",
            "Đây là x sau bước đầu tiên, gần như toàn nhiễu. Bộ lấy mẫu sinh ra một trạng thái cho mỗi bước: hãy đi hết và "
            "lấy trạng thái cuối.",
        )),
    ),
)  # fmt: skip


EXERCISES = (DROP_LABELS, COMBINE, GUIDED, GUIDED_NETWORK, SAMPLE_FROM_LABELS)
