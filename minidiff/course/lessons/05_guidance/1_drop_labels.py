"""Exercise 05.1, drop_labels: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="1" minutes="5"
# ## Drop some labels
#
# Training needs batches in which some labels say nothing. Each picture has drawn a lot, a number in [0, 1); where it is below
# `drop`, its label becomes `null`. So `drop = 0` drops none and `drop = 1` drops all. One line is missing. Make a new tensor:
# the labels belong to the data set.
# %% [markdown] lang="vi" of="7f3e58a7"
# ## Bỏ bớt một số nhãn
#
# Huấn luyện cần những lô mà một số nhãn không nói gì. Mỗi ảnh đã bốc một lá thăm, là một số trong [0, 1); thăm nào nhỏ hơn
# `drop` thì nhãn của ảnh đó thành `null`. Vậy `drop = 0` không bỏ nhãn nào, còn `drop = 1` bỏ tất cả. Còn thiếu một dòng. Hãy
# tạo tensor mới: các nhãn thuộc về tập dữ liệu.

# %% [markdown] lang="en" role="hints"
# What is `lots < drop`? Look at its shape and dtype.
# ---
# You have to choose, place by place, between two things: `null` and the label that is there.
# ---
# `torch.where(condition, a, b)` takes `a` where the condition holds and `b` elsewhere; `a` may be a plain integer.
# %% [markdown] lang="vi" of="8cad90dc"
# `lots < drop` là gì? Hãy xem kích thước và kiểu của nó.
# ---
# Ở từng vị trí, bạn phải chọn giữa hai thứ: `null` và nhãn đang có.
# ---
# `torch.where(condition, a, b)` lấy `a` ở chỗ điều kiện đúng và `b` ở chỗ còn lại; `a` có thể là một số nguyên thường.

# %% [markdown] lang="en" role="stub"
# labels (B,) int64 and lots (B,) in [0, 1): new labels (B,) int64, `null` where
# the lot is below `drop`.
# ---
# return torch.where(...)                                   # (B,), the missing line
# %% [markdown] lang="vi" of="58c88e73"
# labels (B,) int64 và lots (B,) trong [0, 1): nhãn mới (B,) int64, là `null` ở chỗ
# số bốc thăm nhỏ hơn `drop`.
# ---
# return torch.where(...)                                   # (B,), dòng còn thiếu

# %% role="solution"
def drop_labels(labels: Tensor, lots: Tensor, drop: float, null: int) -> Tensor:
    return torch.where(lots < drop, null, labels)               # (B,)

# %% [markdown] lang="en" role="checks"
# - one label for each picture
# - labels stay whole numbers
# - 3 of 8 labels dropped
# - drop = 0 drops none, not even one whose lot is 0; drop = 1 drops all
# - the given labels are left as they were
# %% [markdown] lang="vi" of="310fa860"
# - mỗi ảnh một nhãn
# - nhãn vẫn là số nguyên
# - bỏ 3 trong 8 nhãn
# - drop = 0 không bỏ nhãn nào, kể cả nhãn bốc trúng số 0; drop = 1 bỏ tất cả
# - nhãn đưa vào không bị sửa

# %% role="probes"
import torch

LABELS = torch.tensor([3, 0, 7, 7, 2, 5, 1, 6])
LOTS = torch.tensor([0.05, 0.62, 0.31, 0.90, 0.08, 0.55, 0.17, 0.71])
A_LOT_OF_ZERO = torch.tensor([0.62, 0.31, 0.0, 0.90, 0.08, 0.55, 0.17, 0.71])
NULL = 9


def at_two_rates(f, labels, lots, null):
    return [f(labels.clone(), lots, drop, null) for drop in (0.3, 0.4)]


def none_and_all(f, labels, lots, null):
    return [f(labels.clone(), lots, drop, null) for drop in (0.0, 1.0)]


def afterwards(f, labels, lots, null):
    """The labels that were handed in, as they are after the call."""
    f(labels, lots, 0.3, null)
    return labels


probe(lambda f, labels, lots, null: list(f(labels, lots, 0.3, null).shape), labels=LABELS, lots=LOTS, null=NULL)
probe(lambda f, labels, lots, null: str(f(labels, lots, 0.3, null).dtype), labels=LABELS, lots=LOTS, null=NULL)
probe(at_two_rates, points=2, labels=LABELS, lots=LOTS, null=NULL)
probe(none_and_all, labels=LABELS, lots=A_LOT_OF_ZERO, null=NULL)
probe(afterwards, labels=LABELS, lots=LOTS, null=NULL)

# %% [markdown] lang="en" role="mistake" name="keeps_the_share"
# A share of `drop` was kept and the rest dropped: with drop = 0.1 the network would hardly ever see a label. A lot below `drop`
# means: this label goes. Look at which branch of your condition holds `null`.
# %% [markdown] lang="vi" of="bf4f6b78"
# Bạn đã giữ lại tỉ lệ `drop` và bỏ phần còn lại: với drop = 0.1, mạng gần như không bao giờ thấy nhãn. Số bốc thăm nhỏ hơn
# `drop` nghĩa là nhãn đó bị bỏ. Hãy xem `null` đang nằm ở nhánh nào của điều kiện.
# %% role="wrong" name="keeps_the_share"
patch("null, labels", "labels, null")

# %% [markdown] lang="en" role="mistake" name="above"
# Labels whose lot is above `drop` were dropped, and those below it kept: with drop = 0.1 nearly all would go. A lot below
# `drop` means: this label goes. Turn the comparison round.
# %% [markdown] lang="vi" of="12147dcc"
# Những nhãn có số bốc thăm lớn hơn `drop` đã bị bỏ, còn những nhãn nhỏ hơn thì được giữ: với drop = 0.1, gần như mọi nhãn sẽ
# mất. Số bốc thăm nhỏ hơn `drop` nghĩa là nhãn đó bị bỏ. Hãy đảo chiều phép so sánh.
# %% role="wrong" name="above"
patch("lots < drop", "lots > drop")

# %% [markdown] lang="en" role="mistake" name="at_most"
# A label whose lot equals `drop` was dropped too: "below" is `<`, not `<=`. Lots lie in [0, 1), so 0 can be drawn, and with
# drop = 0, which should drop nothing, such a label would be lost.
# %% [markdown] lang="vi" of="9e309918"
# Nhãn có số bốc thăm đúng bằng `drop` cũng bị bỏ: "nhỏ hơn" là `<` chứ không phải `<=`. Các số nằm trong [0, 1), nên có thể bốc
# trúng 0, và với drop = 0, lẽ ra không bỏ gì, nhãn đó sẽ mất.
# %% role="wrong" name="at_most"
patch("lots < drop", "lots <= drop")

# %% [markdown] lang="en" role="mistake" name="all_at_once"
# One lot decided for the whole batch, so all labels go or all stay. Every picture has its own lot: compare the tensor `lots`
# with `drop`, not one number of it.
# %% [markdown] lang="vi" of="edcdcc19"
# Chỉ một số bốc thăm quyết định cho cả lô, nên mọi nhãn cùng bị bỏ hoặc cùng được giữ. Mỗi ảnh có số riêng: hãy so sánh cả
# tensor `lots` với `drop`, chứ không phải một phần tử của nó.
# %% role="wrong" name="all_at_once"
patch("lots < drop", "lots[0] < drop")

# %% [markdown] lang="en" role="mistake" name="only_if_all"
# One decision was made for the whole batch: unless all labels are to go, none goes. Every picture has its own lot: compare place
# by place, without `all()` or a mean.
# %% [markdown] lang="vi" of="034f36fa"
# Chỉ có một quyết định chung cho cả lô: nếu không phải bỏ mọi nhãn thì chẳng nhãn nào bị bỏ. Mỗi ảnh có số riêng: hãy so sánh
# từng vị trí, không dùng `all()` hay trung bình.
# %% role="wrong" name="only_if_all"
patch("lots < drop", "(lots < drop).all()")

# %% [markdown] lang="en" role="mistake" name="own_lots"
# The share is right, but lots were drawn anew inside the function and `lots` was ignored. What the caller draws can be repeated
# and tested; use the numbers that are given.
# %% [markdown] lang="vi" of="ddf1cb49"
# Tỉ lệ thì đúng, nhưng hàm tự bốc các số mới và bỏ qua `lots`. Những số do nơi gọi hàm bốc thì lặp lại và kiểm tra được; hãy
# dùng các số đã cho.
# %% role="wrong" name="own_lots"
patch("lots < drop", "torch.rand(len(labels)) < drop")

# %% [markdown] lang="en" role="mistake" name="label_zero"
# Dropped labels became 0, but 0 is a kind too (the circle): the network would learn that a circle is anything. The label that
# says nothing is `null`, one past the last kind.
# %% [markdown] lang="vi" of="2a922c96"
# Nhãn bị bỏ đã thành 0, nhưng 0 cũng là một loại (hình tròn): mạng sẽ học rằng hình tròn là bất cứ thứ gì. Nhãn "không nói gì"
# là `null`, đứng ngay sau loại cuối cùng.
# %% role="wrong" name="label_zero"
patch("null, labels", "0, labels")

# %% [markdown] lang="en" role="mistake" name="eighteen"
# Dropped labels became 18. That is `null` in world-pixels alone; another data set has another number of kinds, and the function
# is told its `null`: use the argument.
# %% [markdown] lang="vi" of="3f79737b"
# Nhãn bị bỏ đã thành 18. Đó chỉ là `null` của world-pixels; tập dữ liệu khác có số loại khác, và hàm đã được cho biết `null`
# của nó: hãy dùng tham số ấy.
# %% role="wrong" name="eighteen"
patch("null, labels", "18, labels")

# %% [markdown] lang="en" role="mistake" name="taken_out"
# The dropped labels were taken out, so there are fewer labels than pictures, and the two no longer belong together. To drop a
# label here is to replace it: its place stays, with `null` in it.
# %% [markdown] lang="vi" of="5290001f"
# Các nhãn bị bỏ đã bị lấy hẳn ra, nên nhãn ít hơn ảnh và không còn khớp với ảnh. Ở đây, bỏ một nhãn là thay nó: chỗ của nó vẫn
# còn, với `null` ở trong.
# %% role="wrong" name="taken_out"
patch("torch.where(lots < drop, null, labels)", "labels[lots >= drop]")

# %% [markdown] lang="en" role="mistake" name="in_place"
# The result is right, but the labels that were handed in were overwritten. If they belong to the data set, in the next epoch
# some are gone for good, and after a few epochs nearly all. Make a new tensor.
# %% [markdown] lang="vi" of="1a80ec69"
# Kết quả đúng, nhưng các nhãn đưa vào đã bị ghi đè. Nếu chúng thuộc tập dữ liệu thì ở epoch sau một số nhãn mất hẳn, và sau vài
# epoch gần như mất sạch. Hãy tạo một tensor mới.
# %% role="wrong" name="in_place"
patch("torch.where(lots < drop, null, labels)", "labels.masked_fill_(lots < drop, null)")

# %% [markdown] lang="en" role="mistake" name="as_floats"
# The labels came back as floating-point numbers, and an embedding table can only be indexed by whole ones. Arithmetic with a
# float mask or a float `null` does that; choose between two integers instead.
# %% [markdown] lang="vi" of="9dc251e3"
# Nhãn trả về là số thực, mà bảng vector nhúng chỉ nhận chỉ số nguyên. Lý do là phép tính với mặt nạ kiểu float hoặc `null` kiểu
# float; hãy chọn giữa hai số nguyên.
# %% role="wrong" name="as_floats"
patch("null, labels", "float(null), labels.float()")

# %% role="library"
import torch


def drop_labels(labels, lots, drop, null):
    """One by one, as `PixelsTask.make_batch` in minidiff/train/pixels.py does it."""
    pairs = zip(labels.tolist(), lots.tolist(), strict=True)
    return torch.tensor([null if lot < drop else label for label, lot in pairs])

# %% role="payoff"
def draw(drop_labels: Callable) -> Tensor:
    lots = torch.tensor([0.7, 0.2, 0.9, 0.4])                   # the second and last go
    some = drop_labels(labels, lots, 0.5, null)

    def predict(x: Tensor, timestep: Tensor) -> Tensor:
        return unet(x, timestep, labels=some)

    return sampled(denoiser(predict, schedule, prediction_type))


payoff(draw, drop_labels)
