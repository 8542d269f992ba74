"""Exercise 16.2, accumulated_gradient: the task, its stub and solution, the checks, and the mistakes that people make."""

# %% [markdown] lang="en" role="task" difficulty="3" minutes="15"
# ## One gradient out of unequal parts
#
# A batch that is too large for the memory is cut into micro-batches. They need not be equal: the last one of an epoch is
# smaller, and pictures of different sizes are put together as they fit. The result must still be the gradient of the whole
# batch, in which **every picture counts alike**.
#
# `loss(model, batch)` is the mean loss over the pictures of one micro-batch (B, ...), a tensor (). `batches` is a list of them,
# of different B. Return the gradients of the mean loss over *all* pictures, one tensor for each weight that learns
# (`requires_grad`), in the order of `model.parameters()`:
#
# - one micro-batch's graph is in memory at a time;
# - at the end the gradients as a whole are clipped to the norm `max_norm`: when their common norm is above it, all of them are
#   multiplied by the same factor;
# - gradients that stood in the weights before count for nothing, and none are left in the weights afterwards. The weights
#   themselves stay as they are.
#
# The last cell teaches `world-pixels` to draw in evening light, in a few steps of unequal parts.
# %% [markdown] lang="vi" of="79e41295"
# ## Một gradient từ những phần không bằng nhau
#
# Một lô quá lớn so với bộ nhớ được cắt thành các lô nhỏ (micro-batch). Chúng không nhất thiết bằng nhau: lô nhỏ cuối cùng của
# một epoch nhỏ hơn, và ảnh khác cỡ thì được ghép theo chỗ còn trống. Kết quả vẫn phải là gradient của cả lô, trong đó **mọi bức
# ảnh được tính ngang nhau**.
#
# `loss(model, batch)` là giá trị trung bình của hàm mất mát (loss) trên các ảnh của một lô nhỏ (B, ...), một tensor ().
# `batches` là danh sách các lô nhỏ, với B khác nhau. Hãy trả về gradient của trung bình ấy trên *tất cả* các ảnh, mỗi trọng số
# được học (`requires_grad`) một tensor, theo thứ tự của `model.parameters()`:
#
# - mỗi lúc chỉ có đồ thị của một lô nhỏ nằm trong bộ nhớ;
# - cuối cùng toàn bộ gradient được cắt (clip) về chuẩn `max_norm`: khi chuẩn chung của chúng lớn hơn số này, tất cả được nhân
#   với cùng một hệ số;
# - gradient có sẵn trong các trọng số từ trước không được tính, và sau đó không còn gradient nào trong các trọng số. Bản thân
#   các trọng số giữ nguyên.
#
# Ô cuối cùng dạy `world-pixels` vẽ trong ánh chiều, chỉ vài bước với những phần không bằng nhau.

# %% [markdown] lang="en" role="hints"
# The mean of means is not the mean of all when the parts have different sizes. With which weight does a part's mean enter the
# mean of all?
# ---
# The weight is the part's share of the pictures, `len(batch)` over the sum of all sizes. What happens in the loop, and what
# only once after it?
# ---
# Clear; for each batch `(loss(model, batch) * len(batch) / total).backward()`; after the loop `nn.utils.clip_grad_norm_`, then
# collect `w.grad`, and clear again so that the collected tensors live on (`zero_grad()` lets go of them).
# %% [markdown] lang="vi" of="84606053"
# Trung bình của các trung bình không phải là trung bình của tất cả khi các phần có kích thước khác nhau. Trung bình của một
# phần góp vào trung bình chung với trọng số nào?
# ---
# Trọng số là tỉ lệ số ảnh của phần đó: `len(batch)` chia cho tổng các kích thước. Việc gì làm trong vòng lặp, việc gì chỉ làm
# một lần sau đó?
# ---
# Xóa gradient; với mỗi lô: `(loss(model, batch) * len(batch) / total).backward()`; sau vòng lặp: `nn.utils.clip_grad_norm_`,
# rồi gom các `w.grad`, và xóa lần nữa sao cho các tensor đã gom vẫn còn (`zero_grad()` chỉ buông chúng ra).

# %% [markdown] lang="en" role="stub" given="1"
# loss(model, batch): the mean loss over a batch (B, ...), (); batches: of
# different B. The gradients of the mean over all pictures, clipped as a whole to
# `max_norm`, one for each weight that learns; the weights keep no gradient.
# ---
# 1. clear what is there
# 2. part by part: the loss times the part's share of the pictures; its gradient
# 3. clip once, collect, and clear again
# %% [markdown] lang="vi" of="0bc3ba95"
# loss(model, batch): hàm mất mát, trung bình trên một lô (B, ...), (); batches:
# các lô có B khác nhau. Gradient của trung bình trên mọi ảnh, cắt chung về chuẩn
# `max_norm`, mỗi trọng số được học một tensor; các trọng số không giữ lại gì.
# ---
# 1. xóa những gì có sẵn
# 2. từng phần: hàm mất mát, nhân với tỉ lệ số ảnh của phần đó; gradient của nó
# 3. cắt một lần, gom lại, rồi xóa lần nữa

# %% role="solution"
def accumulated_gradient(
    model: nn.Module, loss: Callable[[nn.Module, Tensor], Tensor],
    batches: list[Tensor], max_norm: float,
) -> list[Tensor]:
    total = sum(len(batch) for batch in batches)                # pictures in all
    model.zero_grad()
    for batch in batches:
        part = loss(model, batch) * len(batch) / total          # ()
        part.backward()                                         # adds to the gradients
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    gradients = [w.grad for w in model.parameters() if w.requires_grad]
    model.zero_grad()
    return gradients

# %% [markdown] lang="en" role="checks"
# - one gradient for each weight that learns, of its shape and dtype
# - parts of 3, 1 and 6 pictures, not clipped
# - other parts of the same pictures, and the whole batch at once
# - parts whose pictures are of different sizes: each picture counts alike
# - clipped: the norm of the whole is above the limit
# - parts that pull in opposite directions: the norm is that of the whole
# - gradients that were there before count for nothing, not even in the norm those of frozen weights
# - no gradient is left, the weights are the same, and the network is still in training mode
# - one part's graph at a time
# - one part of one picture
# %% [markdown] lang="vi" of="98ea8bbb"
# - mỗi trọng số được học một gradient, cùng kích thước và kiểu số
# - các phần gồm 3, 1 và 6 ảnh, không cắt
# - chia cùng những ảnh ấy theo cách khác, và cả lô một lần
# - các phần có ảnh khác cỡ: bức nào cũng được tính ngang nhau
# - có cắt: chuẩn của toàn bộ vượt giới hạn
# - các phần kéo về hai phía ngược nhau: chuẩn phải là của toàn bộ
# - gradient có từ trước không được tính, kể cả trong chuẩn và kể cả của trọng số bị đóng băng
# - không còn gradient nào, các trọng số vẫn như cũ, và mạng vẫn ở chế độ huấn luyện
# - mỗi lúc chỉ một đồ thị của một phần
# - chỉ một phần có một ảnh

# %% role="probes"
import weakref

import torch
from torch import nn


def normal(*shape, seed):
    """The same float64 noise in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network():
    """Two layers in float64, always with the same weights; the first bias is frozen."""
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    for k, weight in enumerate(model.parameters()):
        weight.data = normal(*weight.shape, seed=70 + k)
    model[0].bias.requires_grad_(False)
    return model


def loss(model, batch):
    """The mean square of the outputs' distance from a goal."""
    return (model(batch[:, :3]) - batch[:, 3:]).square().mean()


def gradients(f, batches, max_norm):
    return f(network(), loss, batches, max_norm)


def forms(f, batches):
    """Shapes and dtypes, in float64 and in float32."""
    half = [batch.float() for batch in batches]
    both = [*gradients(f, batches, 1e9), *f(network().float(), loss, half, 1e9)]
    return [[str(gradient.dtype), *gradient.shape] for gradient in both]


def cut_otherwise(f, batch, cuts):
    return [gradients(f, list(batch.split(sizes)), 1e9) for sizes in cuts]


def of_sizes(f, sizes):
    """Parts (B, size, 5): the loss of a picture is the mean over its `size` points."""

    def by_points(model, part):
        return loss(model, part.flatten(0, 1))

    return f(network(), by_points, [normal(*size, 5, seed=sum(size)) for size in sizes], 1e9)


def opposite(f, batch, max_norm):
    """The losses of both parts nearly cancel, so the whole is not to be clipped though each part would be."""

    def pulled(model, part):
        return (1.0 if len(part) > 2 else -1.4) * loss(model, part)

    return f(network(), pulled, [batch, batch[:2]], max_norm)


def stale(f, batches):
    model = network()
    (50 * loss(model, batches[0] + 1)).backward()
    model[0].bias.grad = torch.full((5,), 1e6, dtype=torch.float64)         # frozen; it learned before
    return f(model, loss, batches, 1e3)


def afterwards(f, batches):
    """Whether gradients are left, how far the weights moved, and what a second call gives."""
    model = network()
    first = f(model, loss, batches, 1e9)
    left = [weight.grad is not None and bool(weight.grad.any()) for weight in model.parameters()]
    moved = [weight - before for weight, before in zip(model.parameters(), network().parameters(), strict=True)]
    f(model, loss, batches[:1], 0.1)
    return {"gradients are left": any(left), "moved": moved, "the first gradients": first, "training mode": model.training}


class Kept:
    """What a graph keeps for its backward pass."""

    def __init__(self, tensor):
        self.tensor = tensor


def order(f, batches):
    """What happens one after another: how many pictures each loss is of, how many graphs of earlier ones are still in memory
    then, and its gradient."""
    events, graphs = [], []

    def noted(model, batch):
        alive = sum(any(kept() is not None for kept in graph) for graph in graphs)
        events.append(f"loss of {len(batch)}, graphs in memory before it: {alive}")
        graph = []
        graphs.append(graph)

        def keep(tensor):
            kept = Kept(tensor)
            graph.append(weakref.ref(kept))
            return kept

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept.tensor):
            value = loss(model, batch)
        value.register_hook(lambda gradient: events.append("gradient"))
        return value

    f(network(), noted, batches, 1e9)
    return events


ALL = 2 * normal(10, 5, seed=81)
BATCHES = list(ALL.split([3, 1, 6]))

probe(forms, batches=BATCHES)
probe(gradients, rtol=1e-9, atol=1e-12, batches=BATCHES, max_norm=1e9)
probe(cut_otherwise, rtol=1e-9, atol=1e-12, batch=ALL, cuts=[[5, 5], [7, 3], [10]])
probe(of_sizes, sizes=[[3, 4], [1, 9], [2, 1]])
probe(gradients, rtol=1e-4, atol=1e-5, batches=BATCHES, max_norm=0.25)
probe(opposite, rtol=1e-4, atol=1e-5, batch=ALL, max_norm=4.0)
probe(stale, batches=BATCHES)
probe(afterwards, batches=BATCHES)
probe(order, batches=BATCHES)
probe(gradients, batches=[ALL[:1]], max_norm=1e9)

# %% [markdown] lang="en" role="mistake" name="mean_of_means"
# Each part counts alike, whatever its size: a picture that is alone in its part weighs as much as six others together. Weight
# each part by its share of the pictures.
# %% [markdown] lang="vi" of="aa101094"
# Các phần được tính như nhau bất kể kích thước: một bức ảnh đứng riêng trong phần của nó nặng bằng sáu bức khác cộng lại. Hãy
# nhân mỗi phần với tỉ lệ số ảnh của nó.
# %% role="wrong" name="mean_of_means"
patch("* len(batch) / total", "/ len(batches)")

# %% [markdown] lang="en" role="mistake" name="not_divided"
# The parts' losses are added up and divided by nothing. The gradient grows with the number of parts, which works like a larger
# learning rate: cut the batch into more pieces, and training diverges.
# %% [markdown] lang="vi" of="fe0b3373"
# Giá trị mất mát của các phần được cộng lại mà không chia. Gradient lớn theo số phần, giống như tăng tốc độ học: chỉ cần cắt lô
# thành nhiều mảnh hơn là việc huấn luyện phân kỳ.
# %% role="wrong" name="not_divided"
patch("loss(model, batch) * len(batch) / total ", "loss(model, batch)")

# %% [markdown] lang="en" role="mistake" name="sum_over_pictures"
# This is the gradient of the sum over all pictures: each part is weighted by its size, but nothing divides by the number of all
# pictures. The larger the batch, the larger the step.
# %% [markdown] lang="vi" of="4341fc98"
# Đây là gradient của tổng trên mọi ảnh: mỗi phần được nhân với kích thước của nó, nhưng không chỗ nào chia cho tổng số ảnh. Lô
# càng lớn thì bước đi càng lớn.
# %% role="wrong" name="sum_over_pictures"
patch("* len(batch) / total", "* len(batch)")

# %% [markdown] lang="en" role="mistake" name="divided_twice"
# The shares of the parts add up to 1 already; dividing by the number of parts as well makes the gradient that many times too
# small.
# %% [markdown] lang="vi" of="c67a9bca"
# Tổng tỉ lệ của các phần đã bằng 1 rồi; chia thêm cho số phần làm gradient nhỏ đi bấy nhiêu lần.
# %% role="wrong" name="divided_twice"
patch("* len(batch) / total", "* len(batch) / total / len(batches)")

# %% [markdown] lang="en" role="mistake" name="sizes_forgotten"
# Each part's mean is divided by the number of all pictures, but not multiplied by its own. `loss` gives a mean; times
# `len(batch)` it is the sum over the part, and sums may be added.
# %% [markdown] lang="vi" of="2c7db6ff"
# Trung bình của mỗi phần được chia cho tổng số ảnh mà không nhân với số ảnh của phần đó. `loss` cho trung bình; nhân với
# `len(batch)` mới thành tổng của phần ấy, và các tổng thì cộng được với nhau.
# %% role="wrong" name="sizes_forgotten"
patch("* len(batch) / total", "/ total")

# %% [markdown] lang="en" role="mistake" name="size_of_the_first"
# All parts are weighted by the size of the first one, as if they were equal. That only holds when they are; take the size of
# the part at hand.
# %% [markdown] lang="vi" of="33340037"
# Mọi phần đều được nhân với kích thước của phần đầu tiên, như thể chúng bằng nhau. Điều đó chỉ đúng khi chúng thật sự bằng
# nhau; hãy lấy kích thước của chính phần đang xét.
# %% role="wrong" name="size_of_the_first"
patch("* len(batch) / total", "* len(batches[0]) / total")

# %% [markdown] lang="en" role="mistake" name="clipped_in_the_loop"
# The gradients are clipped after every part, while they are still incomplete. Parts that pull in opposite directions are then
# cut although the whole is small, and the result depends on how the batch was cut up. Clip once, after the loop.
# %% [markdown] lang="vi" of="d0e5c2d6"
# Gradient bị cắt sau mỗi phần, khi nó còn chưa đủ. Những phần kéo về hai phía ngược nhau bị cắt dù toàn bộ thì nhỏ, và kết quả
# phụ thuộc vào cách chia lô. Hãy cắt một lần, sau vòng lặp.
# %% role="wrong" name="clipped_in_the_loop"
def accumulated_gradient(model, loss, batches, max_norm):
    total = sum(len(batch) for batch in batches)
    model.zero_grad()
    for batch in batches:
        (loss(model, batch) * len(batch) / total).backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    gradients = [w.grad for w in model.parameters() if w.requires_grad]
    model.zero_grad()
    return gradients

# %% [markdown] lang="en" role="mistake" name="each_weight_clipped"
# Each weight's gradient is clipped by its own norm. That bends the direction of the step, for the large ones shrink and the
# small ones don't. There is one norm, of all gradients together, and one factor.
# %% [markdown] lang="vi" of="ce96246f"
# Gradient của mỗi trọng số bị cắt theo chuẩn của riêng nó. Như vậy hướng của bước đi bị bẻ lệch, vì cái lớn bị thu nhỏ còn cái
# nhỏ thì không. Chỉ có một chuẩn, của tất cả gradient cộng lại, và một hệ số.
# %% role="wrong" name="each_weight_clipped"
def accumulated_gradient(model, loss, batches, max_norm):
    total = sum(len(batch) for batch in batches)
    model.zero_grad()
    for batch in batches:
        (loss(model, batch) * len(batch) / total).backward()
    for w in model.parameters():
        nn.utils.clip_grad_norm_([w], max_norm)
    gradients = [w.grad for w in model.parameters() if w.requires_grad]
    model.zero_grad()
    return gradients

# %% [markdown] lang="en" role="mistake" name="numbers_clipped"
# Every single number was cut to ±`max_norm`. `max_norm` bounds the length of the whole gradient, not its numbers; its direction
# must stay.
# %% [markdown] lang="vi" of="b947d5de"
# Từng con số bị chặn trong ±`max_norm`. `max_norm` giới hạn độ dài của toàn bộ gradient chứ không phải từng con số của nó;
# hướng của gradient phải giữ nguyên.
# %% role="wrong" name="numbers_clipped"
patch("nn.utils.clip_grad_norm_", "nn.utils.clip_grad_value_")

# %% [markdown] lang="en" role="mistake" name="never_clipped"
# Nothing is clipped: `max_norm` has no effect. One odd batch can then throw the weights far away.
# %% [markdown] lang="vi" of="d2674aaf"
# Không có gì bị cắt: `max_norm` không có tác dụng. Khi đó chỉ một lô bất thường cũng đủ hất các trọng số đi rất xa.
# %% role="wrong" name="never_clipped"
patch("    nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n", "")

# %% [markdown] lang="en" role="mistake" name="always_to_the_limit"
# The gradient always gets the norm `max_norm`, small ones are blown up to it. Only what is above the limit is scaled down: the
# factor is never above 1.
# %% [markdown] lang="vi" of="815c6adc"
# Gradient luôn có chuẩn đúng bằng `max_norm`, cái nhỏ cũng bị phóng lên. Chỉ cái vượt giới hạn mới bị thu nhỏ: hệ số không bao
# giờ lớn hơn 1.
# %% role="wrong" name="always_to_the_limit"
def accumulated_gradient(model, loss, batches, max_norm):
    total = sum(len(batch) for batch in batches)
    model.zero_grad()
    for batch in batches:
        (loss(model, batch) * len(batch) / total).backward()
    gradients = [w.grad for w in model.parameters() if w.requires_grad]
    model.zero_grad()
    norm = torch.stack([g.norm() for g in gradients]).norm()
    return [g * (max_norm / norm) for g in gradients]

# %% [markdown] lang="en" role="mistake" name="stale_gradients"
# Gradients from before are still in the weights, and `backward()` adds to them. Clear them before the first part.
# %% [markdown] lang="vi" of="370e06af"
# Gradient từ trước vẫn còn trong các trọng số, và `backward()` cộng thêm vào đó. Hãy xóa chúng trước phần đầu tiên.
# %% role="wrong" name="stale_gradients"
patch("    model.zero_grad()\n    for batch", "    for batch")

# %% [markdown] lang="en" role="mistake" name="left_in_the_weights"
# The gradients are returned, but they also stay in the weights: they cost memory, and the next `backward()` adds to them, even
# to the tensors that you returned. Clear them at the end as well.
# %% [markdown] lang="vi" of="9f8a9326"
# Gradient được trả về nhưng vẫn nằm lại trong các trọng số: chúng tốn bộ nhớ, và lần `backward()` sau sẽ cộng thêm vào, kể cả
# vào những tensor bạn đã trả về. Hãy xóa chúng cả ở cuối hàm.
# %% role="wrong" name="left_in_the_weights"
patch("    model.zero_grad()\n    return gradients", "    return gradients")

# %% [markdown] lang="en" role="mistake" name="zeros_returned"
# Only zeros come back: `set_to_none=False` fills the gradients with 0, and those are the very tensors that are returned. Let
# the weights go of them (`zero_grad()` as it is by default), or return copies.
# %% [markdown] lang="vi" of="ac0cbf9d"
# Hàm chỉ trả về toàn số 0: `set_to_none=False` điền số 0 vào các gradient, mà đó chính là những tensor được trả về. Hãy để các
# trọng số buông chúng ra (`zero_grad()` theo mặc định), hoặc trả về bản sao.
# %% role="wrong" name="zeros_returned"
patch("    model.zero_grad()\n    return gradients", "    model.zero_grad(set_to_none=False)\n    return gradients")

# %% [markdown] lang="en" role="mistake" name="cleared_in_the_loop"
# The gradients are cleared before every part, so only the last one counts. Clear once, before the loop; within it gradients
# have to add up.
# %% [markdown] lang="vi" of="62e2f327"
# Gradient bị xóa trước mỗi phần, nên chỉ phần cuối cùng có tác dụng. Hãy xóa một lần trước vòng lặp; bên trong vòng lặp thì
# gradient phải được cộng dồn.
# %% role="wrong" name="cleared_in_the_loop"
def accumulated_gradient(model, loss, batches, max_norm):
    total = sum(len(batch) for batch in batches)
    for batch in batches:
        model.zero_grad()
        (loss(model, batch) * len(batch) / total).backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    gradients = [w.grad for w in model.parameters() if w.requires_grad]
    model.zero_grad()
    return gradients

# %% [markdown] lang="en" role="mistake" name="one_large_batch"
# The gradients are right, but all parts were put together again into one batch, and that is what the memory has no room for.
# Compute one part's loss and gradient at a time.
# %% [markdown] lang="vi" of="2ea5891d"
# Gradient đúng, nhưng các phần lại bị ghép thành một lô, mà đó chính là thứ bộ nhớ không đủ chỗ chứa. Hãy tính hàm mất mát
# và gradient của từng phần một.
# %% role="wrong" name="one_large_batch"
def accumulated_gradient(model, loss, batches, max_norm):
    model.zero_grad()
    loss(model, torch.cat(batches)).backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    gradients = [w.grad for w in model.parameters() if w.requires_grad]
    model.zero_grad()
    return gradients

# %% [markdown] lang="en" role="mistake" name="graphs_kept"
# The gradients are right, but all losses are added up first and `backward()` comes once, at the end: until then the graphs of
# all parts are in memory, as for one large batch. Call it for each part.
# %% [markdown] lang="vi" of="cb970337"
# Gradient đúng, nhưng mọi giá trị mất mát được cộng lại trước rồi mới gọi `backward()` một lần ở cuối: cho đến lúc đó đồ thị
# của tất cả các phần đều nằm trong bộ nhớ, như với một lô lớn. Hãy gọi nó cho từng phần.
# %% role="wrong" name="graphs_kept"
def accumulated_gradient(model, loss, batches, max_norm):
    total = sum(len(batch) for batch in batches)
    model.zero_grad()
    sum(loss(model, batch) * len(batch) / total for batch in batches).backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    gradients = [w.grad for w in model.parameters() if w.requires_grad]
    model.zero_grad()
    return gradients

# %% [markdown] lang="en" role="mistake" name="frozen_too"
# The list also has a place for weights that don't learn, and their `grad` is None. Leave out what has no `requires_grad`.
# %% [markdown] lang="vi" of="f8c3771c"
# Danh sách có chỗ cho cả những trọng số không được học, mà `grad` của chúng là None. Hãy bỏ qua trọng số không có
# `requires_grad`.
# %% role="wrong" name="frozen_too"
patch("for w in model.parameters() if w.requires_grad", "for w in model.parameters()")

# %% [markdown] lang="en" role="mistake" name="by_numbers"
# The parts are weighted by how many *numbers* they hold (`numel`), so a large picture counts more than a small one.
# `len(batch)` is the number of pictures, whatever their size.
# %% [markdown] lang="vi" of="d761a205"
# Các phần được nhân với số lượng *con số* bên trong (`numel`), nên ảnh to được tính nhiều hơn ảnh nhỏ. `len(batch)` mới là số
# ảnh, bất kể cỡ ảnh.
# %% role="wrong" name="by_numbers"
patch("sum(len(batch) for batch in batches) ", "sum(batch.numel() for batch in batches)")
patch("* len(batch) / total", "* batch.numel() / total")

# %% [markdown] lang="en" role="mistake" name="clipped_before_dividing"
# The gradient was clipped while it was still the sum over all pictures, and divided after that: it comes out that many times
# shorter than `max_norm` allows. Clip what is handed out: the gradient of the mean.
# %% [markdown] lang="vi" of="e9878db1"
# Gradient bị cắt khi còn là tổng trên mọi ảnh, rồi mới được chia: kết quả ngắn hơn mức `max_norm` cho phép bấy nhiêu lần. Hãy
# cắt đúng cái được trả về: gradient của trung bình.
# %% role="wrong" name="clipped_before_dividing"
patch("* len(batch) / total ", "* len(batch)")
patch("[w.grad for w", "[w.grad / total for w")

# %% [markdown] lang="en" role="mistake" name="graph_retained"
# The gradients are right, but `retain_graph=True` keeps a part's graph after its backward pass, and the next part is computed
# while it is still in memory. Let `backward()` free it.
# %% [markdown] lang="vi" of="cdf8acaa"
# Gradient đúng, nhưng `retain_graph=True` giữ lại đồ thị của một phần sau lượt tính ngược, và phần kế tiếp được tính khi nó vẫn
# còn trong bộ nhớ. Hãy để `backward()` giải phóng nó.
# %% role="wrong" name="graph_retained"
patch("part.backward()  ", "part.backward(retain_graph=True)  ")

# %% [markdown] lang="en" role="mistake" name="frozen_in_the_norm"
# Only the weights that learn were cleared, but all of them were clipped: a gradient that a frozen weight has from before enters
# the common norm and makes all others too small. Clear it, or clip only what learns.
# %% [markdown] lang="vi" of="6ec6fe1b"
# Chỉ các trọng số được học mới được xóa gradient, nhưng phép cắt lại tính trên tất cả: gradient cũ của một trọng số bị đóng
# băng lọt vào chuẩn chung và làm mọi gradient khác quá nhỏ. Hãy xóa nó, hoặc chỉ cắt những gì được học.
# %% role="wrong" name="frozen_in_the_norm"
def accumulated_gradient(model, loss, batches, max_norm):
    total = sum(len(batch) for batch in batches)
    learning = [w for w in model.parameters() if w.requires_grad]
    torch.optim.SGD(learning).zero_grad()
    for batch in batches:
        (loss(model, batch) * len(batch) / total).backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    gradients = [w.grad for w in learning]
    model.zero_grad()
    return gradients

# %% role="library"
import torch


def accumulated_gradient(model, loss, batches, max_norm):
    """By torch.autograd.grad, which touches no weight's `grad`."""
    learning = [w for w in model.parameters() if w.requires_grad]
    weighted = [(len(batch), torch.autograd.grad(loss(model, batch), learning)) for batch in batches]
    total = sum(size for size, _ in weighted)
    sums = [sum(size / total * g for (size, _), g in zip(weighted, column, strict=True))
            for column in zip(*(gradients for _, gradients in weighted), strict=True)]
    norm = torch.cat([g.flatten() for g in sums]).norm()
    return [g * min(1.0, max_norm / float(norm)) for g in sums]

# %% role="payoff"
def draw(accumulated_gradient: Callable) -> Tensor:
    model = deepcopy(unet).requires_grad_()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-4)
    dice = torch.Generator().manual_seed(0)

    def loss(model: nn.Module, pictures: Tensor) -> Tensor:
        return evening_loss(model, pictures, dice)

    for step in range(5):
        batches = [pictures_of(2 * step, 1), pictures_of(2 * step + 1, 5)]
        found = accumulated_gradient(model, loss, batches, 1.0)
        for w, gradient in zip(model.parameters(), found, strict=True):
            w.grad = gradient
        optimizer.step()
    return drawn(model)


payoff(draw, accumulated_gradient, tolerance=0.05)      # rounding grows in training
