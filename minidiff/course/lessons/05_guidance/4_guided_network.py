"""Exercise 05.4, guided_network: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="12"
# ## Debugging: the label has no effect
#
# "Whatever label I ask for, I get the same picture." The cell below shows it: house, car, bird and cat were asked for, from one
# noise. The function guides the network's own prediction (fine: any prediction type can be guided), but **three** lines of it
# are wrong. Mend one, and the symptom changes before it goes; `check` tells you what is left.
#
# In the batch the labels come first and the nulls after them, as `cfg` and `pair` have them. The last cell asks for the same
# four pictures again, with your function.
# %% [markdown] lang="vi" of="c4485182"
# ## Gỡ lỗi: nhãn không có tác dụng
#
# "Yêu cầu nhãn nào tôi cũng nhận được cùng một bức tranh." Ô dưới đây cho thấy điều đó: đã yêu cầu house, car, bird và cat từ
# cùng một nhiễu. Hàm dẫn hướng chính dự đoán của mạng (không sao: kiểu dự đoán nào cũng dẫn hướng được), nhưng có **ba** dòng
# sai. Sửa một dòng thì triệu chứng đổi chứ chưa hết; `check` cho biết còn gì.
#
# Trong lô, các nhãn đứng trước, rồi mới đến các nhãn rỗng, như trong `cfg` và `pair`. Ô cuối cùng yêu cầu lại đúng bốn bức ấy,
# bằng hàm của bạn.

# %% role="shown"
def broken_network(network: Any, labels: Tensor, null: int, scale: float) -> Callable:
    empty = torch.full_like(labels, null)                       # (B,)
    both = torch.cat([empty, empty])                            # (2B,)

    def predict(x: Tensor, timestep: Tensor) -> Tensor:
        twice = torch.cat([x, x])                               # (2B, ...)
        out = network(twice, torch.cat([timestep, timestep]), labels=both)
        unconditional, conditional = out.chunk(2)               # (B, ...) each
        return torch.lerp(unconditional, conditional, 1.0)

    return predict


with torch.inference_mode():
    model = denoiser(broken_network(unet, labels, null, 3.0), schedule, prediction_type)
    *_, last = run("dpmpp_2m", model, noise[:1].repeat(4, 1, 1, 1), schedule, 8)
show(last.x, titles=["house", "car", "bird", "cat"])

# %% [markdown] lang="en" role="hints"
# Four labels, one picture: does any label reach the network? Print `both`.
# ---
# Once the labels are in: which half comes first in `both`, and which name comes first before `chunk`?
# ---
# `torch.lerp(a, b, s)` is a + s (b − a). Which number should s be, and where does the function get it from?
# %% [markdown] lang="vi" of="8867a52d"
# Bốn nhãn, một bức tranh: có nhãn nào đến được mạng không? Hãy in `both`.
# ---
# Khi nhãn đã vào: nửa nào đứng trước trong `both`, và tên nào đứng trước ở dòng `chunk`?
# ---
# `torch.lerp(a, b, s)` là a + s (b − a). s phải là số nào, và hàm lấy nó từ đâu?

# %% [markdown] lang="en" role="stub" given="null_in_both"
# labels (B,) int64: a function (`x` (B, C, H, W), `timestep` (B,)) -> guided
# prediction, like x, which is float32 or float64. It calls the network once, as
# `network(x, timestep, labels=both)` with 2B rows: the labels', then the nulls'.
# ---
# 1. mend the three mistakes above
# 2. delete the next line
# %% [markdown] lang="vi" of="42b3007f"
# labels (B,) int64: một hàm (`x` (B, C, H, W), `timestep` (B,)) -> dự đoán được
# dẫn hướng, cùng kiểu với x, là float32 hoặc float64. Hàm ấy gọi mạng một lần,
# `network(x, timestep, labels=both)` với 2B hàng: của các nhãn, rồi của nhãn rỗng.
# ---
# 1. sửa ba lỗi ở trên
# 2. xóa dòng tiếp theo

# %% role="solution"
def guided_network(
    network: Any, labels: Tensor, null: int, scale: float
) -> Callable[[Tensor, Tensor], Tensor]:
    empty = torch.full_like(labels, null)                       # (B,)
    both = torch.cat([labels, empty])                           # (2B,)

    def predict(x: Tensor, timestep: Tensor) -> Tensor:
        twice = torch.cat([x, x])                               # (2B, ...)
        out = network(twice, torch.cat([timestep, timestep]), labels=both)
        conditional, unconditional = out.chunk(2)               # (B, ...) each
        return torch.lerp(unconditional, conditional, scale)

    return predict

# %% [markdown] lang="en" role="checks"
# - one prediction, shaped like x
# - one call of the network: the labels, then as many nulls
# - labels 1 and 3 at scale 3
# - other labels, another prediction
# - scales 0 and 6
# %% [markdown] lang="vi" of="ec787a9b"
# - một dự đoán, cùng kích thước với x
# - gọi mạng một lần: các nhãn, rồi chừng ấy nhãn rỗng
# - nhãn 1 và 3 với hệ số 3
# - nhãn khác, dự đoán khác
# - hệ số 0 và 6

# %% role="probes"
import torch


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


X, TIMESTEP, NULL = normal(2, 3, 2, 2, seed=5), torch.tensor([500.0, 300.0]), 4
LABELS = torch.tensor([1, 3])


class Network:
    """A network of 20 labels that notes those of each call. It takes a label and a timestep for each row."""

    def __init__(self):
        self.labels = []
        self.gains = normal(20, 3, 1, 1, seed=4)                            # (classes, C, 1, 1)

    def __call__(self, x, timestep, *, labels):
        for name, given in (("labels", labels), ("timesteps", timestep)):
            if given.shape != x.shape[:1]:
                raise ValueError(f"There are {name} of shape {tuple(given.shape)} for {len(x)} pictures; give one each.")
        self.labels.append(labels.tolist())
        return torch.tanh(x) * self.gains[labels] + timestep.reshape(-1, 1, 1, 1).to(x) / 1000


def labels_of_calls(f, labels, null, x, timestep):
    network = Network()
    f(network, labels, null, 3.0)(x, timestep)
    return network.labels


def prediction(f, labels, null, x, timestep, scale=3.0):
    return f(Network(), labels, null, scale)(x, timestep)


def shape(f, labels, null, x, timestep):
    return list(prediction(f, labels, null, x, timestep).shape)


def two_scales(f, labels, null, x, timestep):
    return [prediction(f, labels, null, x, timestep, scale) for scale in (0.0, 6.0)]


probe(shape, labels=LABELS, null=NULL, x=X, timestep=TIMESTEP)
probe(labels_of_calls, labels=LABELS, null=NULL, x=X, timestep=TIMESTEP)
probe(prediction, points=2, labels=LABELS, null=NULL, x=X, timestep=TIMESTEP)
probe(prediction, labels=torch.tensor([0, 2]), null=NULL, x=X, timestep=TIMESTEP)
probe(two_scales, points=2, labels=LABELS, null=NULL, x=X, timestep=TIMESTEP)

# %% [markdown] lang="en" role="mistake" name="null_in_both"
# The network gets the null label in both halves, so the labels never reach it. Print `both`, and see where `labels` should be
# in it.
# %% [markdown] lang="vi" of="706d3ceb"
# Cả hai nửa đều đưa cho mạng nhãn rỗng, nên các nhãn không hề đến được mạng. Hãy in `both` ra, và xem `labels` phải nằm ở đâu
# trong đó.
# %% role="wrong" name="null_in_both"
patch("[labels, empty]) ", "[empty, empty])  ")
patch("conditional, unconditional = out.chunk(2)", "unconditional, conditional = out.chunk(2)")
patch("torch.lerp(unconditional, conditional, scale)", "torch.lerp(unconditional, conditional, 1.0)")

# %% [markdown] lang="en" role="mistake" name="label_in_both"
# Now both halves hold the labels. Their difference is 0, so the scale has nothing to enlarge; one half must hold the null
# label.
# %% [markdown] lang="vi" of="1696b2ee"
# Giờ cả hai nửa đều chứa nhãn. Chênh lệch của chúng bằng 0, nên hệ số chẳng có gì để phóng đại; một nửa phải là nhãn rỗng.
# %% role="wrong" name="label_in_both"
patch("[labels, empty]", "[labels, labels]")

# %% [markdown] lang="en" role="mistake" name="swapped_at_one"
# The labels are in the batch now, and yet the answer is that for the null label, at every scale. Two mistakes remain: which
# half is called conditional, and the number that stands where `scale` should.
# %% [markdown] lang="vi" of="696163b0"
# Nhãn đã ở trong lô, vậy mà kết quả luôn là của nhãn rỗng, với mọi hệ số. Còn hai lỗi: nửa nào được gọi là có điều kiện, và con
# số đang đứng ở chỗ của `scale`.
# %% role="wrong" name="swapped_at_one"
patch("conditional, unconditional = out.chunk(2)", "unconditional, conditional = out.chunk(2)")
patch("torch.lerp(unconditional, conditional, scale)", "torch.lerp(unconditional, conditional, 1.0)")

# %% [markdown] lang="en" role="mistake" name="chunks_swapped"
# The labels are in and the scale counts, but the halves come out in the wrong order: the larger the scale, the less of the
# label. Compare the order in `both` with the order of names before `chunk`.
# %% [markdown] lang="vi" of="d546fc8a"
# Nhãn đã vào, hệ số đã có tác dụng, nhưng hai nửa lấy ra sai thứ tự: hệ số càng lớn càng ít giống nhãn. Hãy so thứ tự trong
# `both` với thứ tự các tên đứng trước `chunk`.
# %% role="wrong" name="chunks_swapped"
patch("conditional, unconditional = out.chunk(2)", "unconditional, conditional = out.chunk(2)")

# %% [markdown] lang="en" role="mistake" name="scale_one"
# The prediction is the conditional one at every scale: there is a fixed 1 where `scale` should be. Scale 1 guides nothing,
# whatever scale the caller wants.
# %% [markdown] lang="vi" of="46dbdc12"
# Với mọi hệ số, dự đoán luôn là dự đoán có điều kiện: số 1 cố định đang đứng ở chỗ của `scale`. Hệ số 1 nghĩa là không dẫn
# hướng gì, dù nơi gọi hàm muốn hệ số nào.
# %% role="wrong" name="scale_one"
patch("torch.lerp(unconditional, conditional, scale)", "torch.lerp(unconditional, conditional, 1.0)")

# %% [markdown] lang="en" role="mistake" name="nulls_first"
# The prediction is right, but the nulls come first in the batch. In `cfg` and `pair` the labels do, so that at scale 1 the
# first B rows are enough; with two orders in one library, halves get swapped sooner or later. Turn `both` and the names before
# `chunk`.
# %% [markdown] lang="vi" of="55795eaf"
# Dự đoán đúng, nhưng trong lô các nhãn rỗng lại đứng trước. Trong `cfg` và `pair` thì nhãn đứng trước, nhờ vậy ở hệ số 1 chỉ
# cần B hàng đầu; một thư viện mà có hai thứ tự thì sớm muộn cũng lấy nhầm nửa. Hãy đảo cả `both` lẫn các tên đứng trước
# `chunk`.
# %% role="wrong" name="nulls_first"
patch("[labels, empty]", "[empty, labels]")
patch("conditional, unconditional = out.chunk(2)", "unconditional, conditional = out.chunk(2)")

# %% [markdown] lang="en" role="mistake" name="nulls_first_at_one"
# The nulls come first in the batch now, and the names before `chunk` fit that, but the order asked for is labels first, as in
# `cfg`. And one line is still as it was: the prediction doesn't change with `scale`.
# %% [markdown] lang="vi" of="d181d7e2"
# Giờ trong lô các nhãn rỗng đứng trước, và các tên trước `chunk` khớp với thứ tự đó, nhưng đề bài cần nhãn đứng trước, như
# trong `cfg`. Và vẫn còn một dòng chưa sửa: dự đoán không thay đổi theo `scale`.
# %% role="wrong" name="nulls_first_at_one"
patch("[labels, empty]", "[empty, labels]")
patch("conditional, unconditional = out.chunk(2)", "unconditional, conditional = out.chunk(2)")
patch("torch.lerp(unconditional, conditional, scale)", "torch.lerp(unconditional, conditional, 1.0)")

# %% [markdown] lang="en" role="mistake" name="nulls_taken_for_labels"
# The nulls come first in the batch, but the first half is called conditional: the larger the scale, the less of the label. The
# order in `both` and the order of names before `chunk` must agree, labels first.
# %% [markdown] lang="vi" of="549464b3"
# Trong lô các nhãn rỗng đứng trước, nhưng nửa đầu lại được gọi là có điều kiện: hệ số càng lớn càng ít giống nhãn. Thứ tự trong
# `both` và thứ tự các tên trước `chunk` phải khớp nhau, nhãn đứng trước.
# %% role="wrong" name="nulls_taken_for_labels"
patch("[labels, empty]", "[empty, labels]")

# %% [markdown] lang="en" role="mistake" name="nulls_taken_at_one"
# The nulls come first in the batch, the first half is called conditional, and the fixed 1 picks just that half: the answer is
# that for the null label, at every scale. Put the labels first in `both`, let the names before `chunk` fit, and use `scale`.
# %% [markdown] lang="vi" of="a9170485"
# Trong lô các nhãn rỗng đứng trước, nửa đầu lại được gọi là có điều kiện, và số 1 cố định chọn đúng nửa ấy: kết quả luôn là của
# nhãn rỗng, với mọi hệ số. Hãy để nhãn đứng trước trong `both`, cho các tên trước `chunk` khớp theo, và dùng `scale`.
# %% role="wrong" name="nulls_taken_at_one"
patch("[labels, empty]", "[empty, labels]")
patch("torch.lerp(unconditional, conditional, scale)", "torch.lerp(unconditional, conditional, 1.0)")

# %% [markdown] lang="en" role="mistake" name="called_twice"
# The prediction is right, but the network was called twice, with B rows each. One call of 2B rows keeps a GPU busier: put both
# halves into one batch.
# %% [markdown] lang="vi" of="c77e1146"
# Dự đoán đúng, nhưng mạng bị gọi hai lần, mỗi lần B hàng. Một lần gọi 2B hàng tận dụng GPU tốt hơn: hãy đặt cả hai nửa vào một
# lô.
# %% role="wrong" name="called_twice"
def guided_network(network: Any, labels: Tensor, null: int, scale: float) -> Callable[[Tensor, Tensor], Tensor]:
    def predict(x: Tensor, timestep: Tensor) -> Tensor:
        conditional = network(x, timestep, labels=labels)
        unconditional = network(x, timestep, labels=torch.full_like(labels, null))
        return torch.lerp(unconditional, conditional, scale)

    return predict

# %% role="library"
import torch

from minidiff.diffusion.guidance import cfg


def guided_network(network, labels, null, scale):
    """`cfg` guides whatever it is given as x0; here it is the prediction."""
    both = labels.tolist() + len(labels) * [null]

    def predict(x, timestep):
        def pair(x, t):
            made = network(x, timestep.repeat(len(x) // len(timestep)), labels=torch.tensor(both[: len(x)]))
            return made, made

        return cfg(pair, scale)(x, torch.tensor(0.5))[0]

    return predict

# %% role="payoff"
@torch.inference_mode()
def draw(guided_network: Callable) -> Tensor:
    predict = guided_network(unet, labels, null, 3.0)           # house, car, bird, cat
    model = denoiser(predict, schedule, prediction_type)
    *_, last = run("dpmpp_2m", model, noise[:1].repeat(4, 1, 1, 1), schedule, 8)
    return last.x                                               # (4, 3, 32, 32)


payoff(draw, guided_network)
